//! Rooms that leave a node because it has too much to do.

use super::Fleet;
use super::rooms::Seeker;
use guildhall_fleet::placement::relieve;
use guildhall_fleet::{Millis, NodeId};
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
    pub fn relieve(&mut self, now: Millis, unix_ms: u64, seeker: Seeker) -> bool {
        let Some(current) = self.current(now, seeker.room) else { return false };
        let Some(node) = self.registry.node(&current.node) else { return false };
        let people = seeker.members.len() as u32;
        let cost = people as f32 * node.peer_cost();
        let query = seeker.query(Some(&current), self.default_region.as_ref());
        let Some(decision) = relieve(now, &self.limits, self.registry.nodes(), &query, people) else { return false };
        self.relief.moved(now, seeker.room, &current.node, cost);
        self.reliefs += 1;
        self.carry_out(now, unix_ms, decision).has_moved
    }
}
