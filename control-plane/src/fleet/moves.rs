//! Rooms on their way from one node to another.

use super::Fleet;
use guildhall_fleet::{Millis, NodeId};
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::ToNode;

/// How long a room that moves may have people on both nodes. Clients connect within a second or two; who has not come by
/// then is cut off from the old node, and asks the gateway again.
const MOVE_MS: Millis = 10_000;

/// How long everyone stays on the old node when all are admitted at the new one: they negotiate and find their paths there
/// after that, and publish their video. A browser on a slow telephone needs about as long.
pub const SETTLE_MS: Millis = 2_000;

/// A room that is on its way from one node to another.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    pub(super) from: NodeId,
    pub(super) until: Millis,
    /// Since when everyone whom we know of is connected to the new node.
    pub(super) arrived: Option<Millis>,
    /// They were taken off the old one.
    pub(super) is_left: bool,
}

impl Fleet {
    /// The node that a room is leaving.
    pub fn origin(&self, room: ChannelId) -> Option<&NodeId> {
        self.leaving.get(&room).map(|leaving| &leaving.from)
    }

    /// Rooms on their way, whose people were not taken off the old node yet.
    pub fn moving(&self) -> Vec<ChannelId> {
        self.leaving.iter().filter(|(_, leaving)| !leaving.is_left).map(|(room, _)| *room).collect()
    }

    /// Everyone whom we know of has arrived: the drain may go on. Answers, when they have settled, with the node that they may
    /// be taken off, once. That node keeps the room for those of other control planes until the move's time is over.
    pub fn all_arrived(&mut self, now: Millis, room: ChannelId) -> Option<NodeId> {
        let leaving = self.leaving.get_mut(&room).filter(|leaving| !leaving.is_left)?;
        if let Some(drain) = self.drains.get_mut(&leaving.from) {
            drain.done(room);
        }
        let arrived = *leaving.arrived.get_or_insert(now);
        leaving.is_left = now >= arrived + SETTLE_MS;
        leaving.is_left.then(|| leaving.from.clone())
    }

    pub(super) fn begin_move(&mut self, now: Millis, room: ChannelId, from: NodeId) {
        self.moves += 1;
        // Wherever it was still leaving.
        self.finish_move(room);
        self.leaving.insert(room, Leaving { from, until: now + MOVE_MS, arrived: None, is_left: false });
    }

    pub(super) fn finish_move(&mut self, room: ChannelId) {
        let Some(leaving) = self.leaving.remove(&room) else { return };
        // Whoever has not arrived by now has had their time.
        if let Some(drain) = self.drains.get_mut(&leaving.from) {
            drain.done(room);
        }
        if let Some(lease) = self.leases.of(room).filter(|lease| lease.node != leaving.from) {
            let epoch = lease.epoch;
            self.tell(&leaving.from, ToNode::Close { room, epoch });
        }
    }
}
