//! Rooms that leave a node because it has too much to do.

use super::{Fleet, VERSIONS};
use guildhall_fleet::placement::{Current, Query, relieve};
use guildhall_fleet::{Millis, NodeId, Reach, RegionId};
use guildhall_protocol::ChannelId;

impl Fleet {
    /// The node that a room should leave now because it has too much to do. `planes` control planes ask this.
    pub fn to_relieve(&mut self, now: Millis, planes: u32) -> Option<NodeId> {
        self.hear_ourselves(now);
        let alive = self.registry.nodes().filter(|node| !self.registry.is_lost(&node.hello.id));
        let node = self.relief.next(now, alive, planes)?;
        // While rooms of it are on their way it is not known what it will have to do.
        let is_settled = !self.leaving.values().any(|leaving| leaving.from == node && !leaving.is_left);
        is_settled.then_some(node)
    }

    /// Whether a room may leave its node only because that has too much to do.
    pub fn may_be_relieved(&self, now: Millis, room: ChannelId) -> bool {
        !self.pins.contains_key(&room) && !self.leaving.contains_key(&room) && self.relief.is_rested(now, room)
    }

    /// Moves the room to a node with headroom, if there is one. `true`: everyone in it must be told.
    pub fn relieve(
        &mut self,
        now: Millis,
        unix_ms: u64,
        room: ChannelId,
        members: &[Reach],
        wish: Option<&RegionId>,
        draw: u64,
    ) -> bool {
        let Some(node) = self.leases.of(room).and_then(|lease| self.registry.node(&lease.node)) else { return false };
        let cost = members.len() as f32 * node.peer_cost();
        let since = self.rooms.get(&room).map_or(now, |known| known.since);
        let current = Current { node: node.hello.id.clone(), since };
        let query = Query {
            room,
            members,
            wish,
            current: Some(&current),
            default_region: self.default_region.as_ref(),
            versions: VERSIONS,
            draw,
        };
        let Some(decision) = relieve(now, &self.limits, self.registry.nodes(), &query, members.len() as u32) else {
            return false;
        };
        self.relief.moved(now, room, &current.node, cost);
        self.reliefs += 1;
        self.carry_out(now, unix_ms, decision).has_moved
    }
}
