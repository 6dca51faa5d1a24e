//! Messages that wait for one voice node, in order.

use guildhall_protocol::fleet::{Participant, ToNode};
use guildhall_protocol::{ChannelId, RecordingId};
use std::collections::{BTreeMap, HashMap};

/// One message per participant and kind: a newer one replaces an older one in its place, so the queue is no longer than there
/// are participants and rooms, and a slow node makes nobody wait.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: BTreeMap<u64, ToNode>,
    /// The last message about each.
    last: HashMap<About, u64>,
    next: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum About {
    Participant(Participant),
    Room(ChannelId),
    Recording(RecordingId),
    Node,
}

impl Outbox {
    pub fn push(&mut self, message: ToNode) {
        let about = about(&message);
        let older = self.last.get(&about).and_then(|at| self.waiting.get_mut(at));
        match (older, &message) {
            // Whoever left and comes back needs both: the end of the old connection, and the policy of the new one.
            (Some(ToNode::Disconnect { .. }), ToNode::SetPolicy { .. }) | (None, _) => {
                self.last.insert(about, self.next);
                self.waiting.insert(self.next, message);
                self.next += 1;
            }
            (Some(older), _) => *older = message,
        }
    }

    pub fn pop(&mut self) -> Option<ToNode> {
        let (at, message) = self.waiting.pop_first()?;
        let about = about(&message);
        if self.last.get(&about) == Some(&at) {
            self.last.remove(&about);
        }
        Some(message)
    }
}

fn about(message: &ToNode) -> About {
    match message {
        ToNode::SetPolicy { participant, .. } | ToNode::Disconnect { participant, .. } => About::Participant(participant.clone()),
        ToNode::Open { room, .. } | ToNode::Close { room, .. } => About::Room(*room),
        ToNode::Record(record) => About::Recording(record.recording),
        ToNode::Welcome { .. } => About::Node,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_protocol::fleet::{Epoch, Policy};
    use guildhall_protocol::{GuildId, UserId};

    fn of(user: u64) -> Participant {
        let (guild_id, channel_id, user_id) = (GuildId::new(1), ChannelId::new(2), UserId::new(user));
        Participant { guild_id, channel_id, user_id, session_id: "s".into() }
    }

    fn policy(user: u64, can_speak: bool) -> ToNode {
        let policy =
            Policy { can_speak, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: true };
        ToNode::SetPolicy { participant: of(user), policy }
    }

    fn disconnect(user: u64, as_of_ms: u64) -> ToNode {
        ToNode::Disconnect { participant: of(user), as_of_ms }
    }

    #[test]
    fn a_newer_message_takes_an_older_ones_place_but_a_return_does_not_undo_a_leave() {
        let open = |epoch| ToNode::Open { room: ChannelId::new(2), epoch: Epoch(epoch) };
        let mut outbox = Outbox::default();
        let script = [
            policy(1, true),
            open(1),
            policy(2, true),
            policy(1, false),
            disconnect(2, 5),
            disconnect(2, 6),
            policy(2, true),
            policy(2, false),
            open(2),
        ];
        script.into_iter().for_each(|message| outbox.push(message));
        let sent: Vec<ToNode> = std::iter::from_fn(|| outbox.pop()).collect();
        assert_eq!(sent, [policy(1, false), open(2), disconnect(2, 6), policy(2, false)]);
        assert!(outbox.last.is_empty());
        outbox.push(policy(1, true));
        assert_eq!(outbox.pop(), Some(policy(1, true)));
    }
}
