//! Where the rooms are: their leases, and how a room comes to a node.

use super::decisions::Record;
use super::{Fleet, RETRY_MS, VERSIONS};
use guildhall_fleet::placement::{Because, Current, Decision, Outcome, Query};
use guildhall_fleet::{Millis, NodeId, Reach, RegionId, place};
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::{Epoch, ToNode};
use std::collections::VecDeque;

/// Where a room is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    pub node: NodeId,
    pub epoch: Epoch,
    /// As in [`Hello::endpoint`](guildhall_protocol::fleet::Hello::endpoint).
    pub endpoint: String,
}

/// A room that a node is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Seeker<'a> {
    pub room: ChannelId,
    /// How far its people are from regions.
    pub members: &'a [Reach],
    /// The region that the channel itself asks for.
    pub wish: Option<&'a RegionId>,
    /// As [`Query::draw`].
    pub draw: u64,
}

impl<'a> Seeker<'a> {
    pub(super) fn query(self, current: Option<&'a Current>, default_region: Option<&'a RegionId>) -> Query<'a> {
        let Self { room, members, wish, draw } = self;
        Query { room, members, wish, current, default_region, versions: VERSIONS, draw }
    }
}

/// The answer to [`Fleet::settle`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// `None`: nobody has room for it. It waits, and everyone in it is called when that changes.
    pub spot: Option<Spot>,
    /// It was elsewhere before: everyone in it must be told.
    pub has_moved: bool,
    /// It had no node before: whoever waits in it must be told.
    pub is_awaited: bool,
}

/// A room as the fleet knows it, beside its lease.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) since: Millis,
    pub(super) decisions: VecDeque<Record>,
    /// People were told that there is no node for them.
    pub(super) is_waiting: bool,
    /// Its node started anew: nobody in it is connected any more.
    pub(super) is_cut: bool,
}

impl Fleet {
    /// The room's lease, if it has one.
    pub fn lease(&self, room: ChannelId) -> Option<(&NodeId, Epoch)> {
        self.leases.of(room).map(|lease| (&lease.node, lease.epoch))
    }

    /// Whether the room's node runs in this process, or it has none: then it ends with this process.
    pub fn is_local(&self, room: ChannelId) -> bool {
        let node = self.leases.of(room).and_then(|lease| self.registry.node(&lease.node));
        node.is_none_or(|node| node.hello.endpoint.is_empty())
    }

    /// Whether nobody can be connected to the room: it has no node, or a lost one.
    pub fn is_without_node(&self, room: ChannelId) -> bool {
        self.leases.of(room).is_none_or(|lease| self.registry.is_lost(&lease.node))
    }

    /// The rooms that a node has.
    pub fn rooms_of(&self, node: &NodeId) -> Vec<ChannelId> {
        self.leases.on(node).map(|(room, _)| room).collect()
    }

    /// Whether the room's people have been told already that they must wait; from now on they have.
    pub fn is_told_to_wait(&mut self, room: ChannelId) -> bool {
        std::mem::replace(&mut self.rooms.entry(room).or_default().is_waiting, true)
    }

    /// Somebody is sent to the node.
    pub fn expect_join(&mut self, now: Millis, node: &NodeId) {
        self.registry.expect_join(now, node);
    }

    /// The node serves the room under this epoch, whoever gave it. `true`: the room was believed to be elsewhere, and everyone
    /// in it must be told.
    pub fn opened(&mut self, now: Millis, node: &NodeId, room: ChannelId, epoch: Epoch) -> bool {
        let before = self.leases.of(room).cloned();
        match self.leases.adopt(now, room, node, epoch) {
            Ok(()) => {
                if self.rooms.get(&room).is_some_and(|known| known.is_waiting) {
                    self.homeless.insert(room, now);
                } else {
                    self.homeless.remove(&room);
                }
                let is_news = before.as_ref().is_none_or(|before| before.node != *node);
                if is_news {
                    self.rooms.entry(room).or_default().since = now;
                }
                match before.filter(|before| before.node != *node) {
                    Some(before) => {
                        self.begin_move(now, room, before.node);
                        true
                    }
                    None => false,
                }
            }
            Err(stale) => {
                if let Some(current) = stale.current {
                    self.tell(node, ToNode::Close { room, epoch: current.epoch });
                }
                false
            }
        }
    }

    /// The room is empty at the node. `is_wanted`: people are in it by what is known here, on their way perhaps.
    pub fn ended(&mut self, node: &NodeId, room: ChannelId, epoch: Epoch, is_wanted: bool) {
        if self.leases.of(room).is_none_or(|lease| lease.epoch != epoch || lease.node != *node) {
            return;
        }
        if is_wanted {
            self.tell(node, ToNode::Open { room, epoch });
        } else {
            self.release(room);
        }
    }

    /// Where the room is, or is to be from now on.
    pub fn settle(&mut self, now: Millis, unix_ms: u64, seeker: Seeker) -> Settled {
        let pin = self.pins.get(&seeker.room).cloned();
        self.decide(now, unix_ms, seeker, pin.as_ref())
    }

    /// An operator wants the room on this node, if it can take it.
    pub fn decide(&mut self, now: Millis, unix_ms: u64, seeker: Seeker, asked: Option<&NodeId>) -> Settled {
        self.hear_ourselves(now);
        let current = self.current(now, seeker.room);
        let query = seeker.query(current.as_ref(), self.default_region.as_ref());
        // A node that was asked for and cannot take the room is no reason to have none.
        let asked = asked.and_then(|asked| self.registry.node(asked)).map(|node| {
            let mut decision = place(now, &self.limits, [node], &query);
            decision.because = Because::Asked;
            decision
        });
        let decision = asked
            .filter(|decision| decision.outcome != Outcome::Refuse)
            .unwrap_or_else(|| place(now, &self.limits, self.registry.nodes(), &query));
        self.carry_out(now, unix_ms, decision)
    }

    /// Where the room is by its lease, and since when.
    pub(super) fn current(&self, now: Millis, room: ChannelId) -> Option<Current> {
        let since = self.rooms.get(&room).map_or(now, |known| known.since);
        self.leases.of(room).map(|lease| Current { node: lease.node.clone(), since })
    }

    /// Does with the room what was decided.
    pub(super) fn carry_out(&mut self, now: Millis, unix_ms: u64, decision: Decision) -> Settled {
        let (room, outcome) = (decision.room, decision.outcome.clone());
        let lease = self.leases.of(room).cloned();
        let before = lease.as_ref().map(|lease| lease.node.clone());
        self.keep(unix_ms, decision);
        let (lease, has_moved) = match (outcome, lease) {
            (Outcome::Keep { .. }, Some(lease)) => {
                // It is this control plane's own table, and the lease was just read from it.
                let _ = self.leases.renew(now, room, &lease.node, lease.epoch);
                (Some(lease), false)
            }
            (Outcome::Place { node }, _) => (self.leases.acquire(now, room, &node).ok(), false),
            (Outcome::Move { to, .. }, Some(old)) => {
                let lease = self.leases.transfer(now, room, old.epoch, &to).ok();
                self.begin_move(now, room, old.node);
                (lease, true)
            }
            _ => (None, false),
        };
        let known = self.rooms.entry(room).or_default();
        let Some(lease) = lease else {
            self.homeless.entry(room).or_insert(now + RETRY_MS);
            return Settled { spot: None, has_moved: false, is_awaited: false };
        };
        let (is_awaited, is_cut) = (std::mem::take(&mut known.is_waiting), std::mem::take(&mut known.is_cut));
        if before.is_none_or(|before| before != lease.node) {
            known.since = now;
            self.tell(&lease.node, ToNode::Open { room, epoch: lease.epoch });
        }
        self.homeless.remove(&room);
        let endpoint = self.registry.node(&lease.node).map(|node| node.hello.endpoint.clone()).unwrap_or_default();
        let spot = Spot { node: lease.node, epoch: lease.epoch, endpoint };
        Settled { spot: Some(spot), has_moved: has_moved || is_cut, is_awaited }
    }

    /// The room is over.
    pub fn release(&mut self, room: ChannelId) {
        self.finish_move(room);
        if let Some(epoch) = self.leases.of(room).map(|lease| lease.epoch) {
            // Just read from the same table.
            let _ = self.leases.release(room, epoch);
        }
        self.rooms.remove(&room);
        self.homeless.remove(&room);
        self.drains.values_mut().for_each(|drain| drain.done(room));
    }
}
