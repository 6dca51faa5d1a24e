//! The way to the voice node. There is one, in this process: a room needs no placement yet, only messages in order.

use guildhall_protocol::fleet::{Participant, ToNode};
use std::collections::VecDeque;

/// Messages that wait for the node, in order. One per participant: a newer one replaces an older one in its place, so the
/// queue is no longer than there are participants, and a slow node makes nobody wait.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<ToNode>,
}

impl Outbox {
    pub fn push(&mut self, message: ToNode) {
        let of = participant(&message).clone();
        match self.waiting.iter_mut().rev().find(|older| *participant(older) == of) {
            // Whoever left and comes back needs both: the end of the old connection, and the policy of the new one.
            Some(older @ ToNode::SetPolicy { .. }) => *older = message,
            Some(older @ ToNode::Disconnect { .. }) if matches!(message, ToNode::Disconnect { .. }) => *older = message,
            Some(ToNode::Disconnect { .. }) | None => self.waiting.push_back(message),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn pop(&mut self) -> Option<ToNode> {
        self.waiting.pop_front()
    }
}

fn participant(message: &ToNode) -> &Participant {
    match message {
        ToNode::SetPolicy { participant, .. } | ToNode::Disconnect { participant, .. } => participant,
    }
}
