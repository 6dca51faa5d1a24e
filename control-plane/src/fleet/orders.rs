//! What operators said of nodes and rooms.

use super::Fleet;
use crate::store::NodeOrder;
use guildhall_fleet::drain::Drain;
use guildhall_fleet::node::State;
use guildhall_fleet::registry::RegistryError;
use guildhall_fleet::{Millis, NodeId};
use guildhall_protocol::ChannelId;
use std::collections::BTreeMap;

/// Rooms that operators pinned to a node.
pub const MAX_PINS: usize = 10_000;

impl Fleet {
    /// Takes over what operators said, here or at other control planes; what of it is new.
    pub fn take_orders(&mut self, orders: BTreeMap<NodeId, NodeOrder>) -> Vec<(NodeId, Option<NodeOrder>)> {
        let before = std::mem::replace(&mut self.orders, orders);
        let gone = before.keys().filter(|node| !self.orders.contains_key(*node)).map(|node| (node.clone(), None));
        let new = self.orders.iter().filter(|(node, order)| before.get(*node) != Some(order));
        gone.chain(new.map(|(node, order)| (node.clone(), Some(*order)))).collect()
    }

    pub fn note_order(&mut self, node: &NodeId, order: Option<NodeOrder>) {
        match order {
            Some(order) => self.orders.insert(node.clone(), order),
            None => self.orders.remove(node),
        };
    }

    pub fn order(&self, node: &NodeId) -> Option<NodeOrder> {
        self.orders.get(node).copied()
    }

    /// Empties the node until then.
    pub fn drain(
        &mut self,
        now: Millis,
        node: &NodeId,
        deadline: Millis,
        sizes: impl Fn(ChannelId) -> u32,
    ) -> Result<(), RegistryError> {
        self.registry.set_state(node, State::Draining { deadline })?;
        let rooms: Vec<(ChannelId, u32)> = self.leases.on(node).map(|(room, _)| (room, sizes(room))).collect();
        self.drains.insert(node.clone(), Drain::new(now, deadline, rooms));
        Ok(())
    }

    /// The node serves again, or (`is_cordoned`) takes no new rooms. What has moved away does not come back by itself.
    pub fn undrain(&mut self, node: &NodeId, is_cordoned: bool) -> Result<(), RegistryError> {
        self.registry.set_state(node, if is_cordoned { State::Cordoned } else { State::Serving })?;
        self.drains.remove(node);
        self.left_by_themselves.remove(node);
        Ok(())
    }

    /// Keeps the room on the node whenever the node can take it; `None`: wherever placement puts it.
    pub fn pin(&mut self, room: ChannelId, node: Option<NodeId>) {
        match node {
            Some(node) => self.pins.insert(room, node),
            None => self.pins.remove(&room),
        };
    }

    /// Whether another room may be pinned, or this one elsewhere.
    pub fn can_pin(&self, room: ChannelId) -> bool {
        self.pins.len() < MAX_PINS || self.pins.contains_key(&room)
    }

    /// All pins there are.
    pub fn set_pins(&mut self, pins: BTreeMap<ChannelId, NodeId>) {
        self.pins = pins;
    }
}
