//! The nodes' lines: what they say over them, and what they are told.

use super::Fleet;
use super::outbox::Outbox;
use guildhall_fleet::node::State;
use guildhall_fleet::registry::{Change, RegistryError};
use guildhall_fleet::{Millis, NodeId};
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::{Epoch, Hello, Load, ToNode};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::Notify;

/// How long a node whose line broke may take to dial again before its rooms are moved. A node whose connection failed dials
/// at once; one whose process died does not.
const REDIAL_MS: Millis = 500;

/// One node's connection. A node that dials again has another number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineId {
    pub node: NodeId,
    number: u64,
}

#[derive(Debug)]
pub(super) struct Line {
    number: u64,
    outbox: Outbox,
    /// Rings when there is something in the outbox, or when the line is over.
    bell: Arc<Notify>,
}

/// What the carrier of a line does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Errand {
    Carry(ToNode),
    Wait,
    HangUp,
}

impl Fleet {
    /// A node is on the line, with what it serves. `true`: its process is a new one, or this one is, so what was known of its
    /// people before is nothing.
    pub fn hello(
        &mut self,
        now: Millis,
        hello: Hello,
        rooms: &[(ChannelId, Epoch)],
        bell: Arc<Notify>,
    ) -> Result<(LineId, bool), RegistryError> {
        let node = hello.id.clone();
        let mut changes = Vec::new();
        self.registry.hello(now, &self.limits, hello, &mut changes)?;
        let is_new = changes.contains(&Change::Arrived(node.clone()));
        self.apply(now, changes);
        self.hang_up(&node);
        self.last_line += 1;
        let number = self.last_line;
        self.lines.insert(node.clone(), Line { number, outbox: Outbox::default(), bell });
        if is_new && self.left_by_themselves.remove(&node) {
            self.drains.remove(&node);
            // The node is known: it just said hello.
            let _ = self.registry.set_state(&node, State::Serving);
        }
        for (room, epoch) in rooms {
            self.opened(now, &node, *room, *epoch);
        }
        let held: HashSet<ChannelId> = rooms.iter().map(|(room, _)| *room).collect();
        let missing: Vec<_> = self.leases.on(&node).filter(|(room, _)| !held.contains(room)).collect();
        for (room, epoch) in missing {
            if is_new {
                // Its process of before had them, and they went with it.
                let _ = self.leases.release(room, epoch);
                self.rooms.entry(room).or_default().is_cut = true;
                self.homeless.insert(room, now);
            } else {
                // What it was given while it could not hear.
                self.tell(&node, ToNode::Open { room, epoch });
            }
        }
        Ok((LineId { node, number }, is_new))
    }

    /// Whether the line is the one that the node speaks by.
    pub fn is_current(&self, line: &LineId) -> bool {
        self.lines.get(&line.node).is_some_and(|current| current.number == line.number)
    }

    pub fn alive(&mut self, now: Millis, node: &NodeId) {
        let mut changes = Vec::new();
        if self.registry.alive(now, node, &mut changes).is_ok() {
            self.apply(now, changes);
        }
    }

    pub fn load(&mut self, now: Millis, node: &NodeId, load: Load) {
        let mut changes = Vec::new();
        if self.registry.report(now, node, load, &mut changes).is_ok() {
            self.apply(now, changes);
        }
    }

    /// The node will stop within this time.
    pub fn leaving(&mut self, now: Millis, node: &NodeId, within_ms: Millis, sizes: impl Fn(ChannelId) -> u32) {
        // Most of the time is for moving, the rest is the node's to stop in.
        if self.drain(now, node, now.saturating_add(within_ms * 3 / 4), sizes).is_ok() {
            self.left_by_themselves.insert(node.clone());
        }
    }

    pub fn goodbye(&mut self, now: Millis, node: &NodeId) {
        let mut changes = Vec::new();
        self.registry.goodbye(node, &mut changes);
        self.apply(now, changes);
    }

    /// A node in this process needs no heartbeats: while its line stands it is there, however busy the process is.
    pub(super) fn hear_ourselves(&mut self, now: Millis) {
        let is_here = |node: &&guildhall_fleet::Node| node.hello.endpoint.is_empty() && self.lines.contains_key(&node.hello.id);
        let here: Vec<NodeId> = self.registry.nodes().filter(is_here).map(|node| node.hello.id.clone()).collect();
        here.iter().for_each(|node| self.alive(now, node));
    }

    /// The line is over. The node may dial again at once.
    pub fn line_ended(&mut self, now: Millis, line: &LineId) {
        if self.is_current(line) {
            self.hang_up(&line.node);
            self.registry.cut(now, &self.limits, &line.node, REDIAL_MS);
        }
    }

    /// Ends the line: whoever carries its messages is told by the bell.
    fn hang_up(&mut self, node: &NodeId) {
        if let Some(line) = self.lines.remove(node) {
            line.bell.notify_one();
        }
    }

    pub(super) fn apply(&mut self, now: Millis, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Lost(node) => {
                    tracing::warn!(%node, "a voice node is lost; its rooms are placed anew");
                    // A node that is heard again says hello, and hears then what is not its own any more.
                    self.hang_up(&node);
                    self.losses += 1;
                    self.drains.remove(&node);
                    let rooms: Vec<ChannelId> = self.leases.on(&node).map(|(room, _)| room).collect();
                    self.homeless.extend(rooms.into_iter().map(|room| (room, now)));
                }
                Change::Arrived(node) => tracing::info!(%node, "a voice node has arrived"),
                Change::Returned(node) => tracing::info!(%node, "a voice node is back"),
            }
        }
    }

    /// For a node that is on the line; who is not hears everything with its next hello.
    pub fn tell(&mut self, node: &NodeId, message: ToNode) {
        if let Some(line) = self.lines.get_mut(node) {
            line.outbox.push(message);
            line.bell.notify_one();
        }
    }

    /// To the node that has the room, and to the one that it is leaving.
    pub fn tell_room(&mut self, room: ChannelId, message: ToNode) {
        if let Some(leaving) = self.leaving.get(&room) {
            let from = leaving.from.clone();
            self.tell(&from, message.clone());
        }
        if let Some(lease) = self.leases.of(room) {
            let node = lease.node.clone();
            self.tell(&node, message);
        }
    }

    /// What the line's carrier does next.
    pub fn errand(&mut self, line: &LineId) -> Errand {
        match self.lines.get_mut(&line.node).filter(|current| current.number == line.number) {
            Some(current) => current.outbox.pop().map_or(Errand::Wait, Errand::Carry),
            None => Errand::HangUp,
        }
    }
}
