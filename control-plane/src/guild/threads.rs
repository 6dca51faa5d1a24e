//! The threads of a guild that are not archived, and who sees them.

use super::State;
use crate::event::Event;
use guildhall_protocol::model::{COUNTED_MEMBERS, Message, Thread, ThreadMember};
use guildhall_protocol::permissions::channel_permissions;
use guildhall_protocol::{ChannelId, MessageId, Permissions, UserId};
use std::collections::BTreeMap;

/// A message type that does not count: the first one of a thread, which shows where it was started.
const STARTER: u8 = 21;

/// An active thread with everyone who is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    pub thread: Thread,
    pub members: BTreeMap<UserId, ThreadMember>,
}

impl Active {
    pub fn new(thread: Thread, members: Vec<ThreadMember>) -> Self {
        let mut active = Self { thread, members: members.into_iter().map(|member| (member.user_id, member)).collect() };
        active.count();
        active
    }

    fn count(&mut self) {
        self.thread.member_count = self.members.len().min(COUNTED_MEMBERS) as u32;
    }

    fn hear(&mut self, message: &Message) {
        // What the snapshot of a guild that was just loaded counts already is heard again.
        if self.thread.last_message_id >= Some(message.id) {
            return;
        }
        self.thread.last_message_id = Some(message.id);
        if message.kind != STARTER && self.thread.counts(message.id) {
            self.thread.message_count += 1;
            self.thread.total_message_sent += 1;
        }
    }

    fn forget(&mut self, messages: &[MessageId]) {
        let counted = messages.iter().filter(|id| self.thread.counts(**id)).count();
        self.thread.message_count = self.thread.message_count.saturating_sub(counted as u32);
    }
}

impl State {
    pub fn thread(&self, id: ChannelId) -> Option<&Active> {
        self.threads.get(&id)
    }

    /// In id order.
    pub fn threads(&self) -> impl Iterator<Item = &Active> {
        self.threads.values()
    }

    /// What the user may do in a thread of this guild, archived or not: as its parent says, and nothing in a private one
    /// unless they are in it or manage threads.
    pub fn thread_permissions(&self, user: UserId, thread: &Thread, is_in_it: bool, now_unix_ms: u64) -> Permissions {
        let (Some(standing), Some(parent)) = (self.standing(user, now_unix_ms), self.channel(thread.parent_id)) else {
            return Permissions::NONE;
        };
        let held = channel_permissions(&standing, |id| self.role_permissions(id), thread.kind, &parent.permission_overwrites);
        let is_seen = !thread.is_private() || is_in_it || self.manages_threads(user, thread.parent_id);
        if is_seen { held } else { Permissions::NONE }
    }

    /// Whether the user sees the private threads of a channel without being in them. A timeout takes no right to see.
    pub(super) fn manages_threads(&self, user: UserId, parent: ChannelId) -> bool {
        self.channel_permissions(user, parent, u64::MAX).contains(Permissions::MANAGE_THREADS)
    }

    /// The active threads that the user sees, in id order. `sees_channel` answers for their parents.
    pub fn threads_seen_by(&self, user: UserId, mut sees_channel: impl FnMut(ChannelId) -> bool) -> Vec<&Active> {
        let is_seen = |active: &&Active| {
            let thread = &active.thread;
            sees_channel(thread.parent_id)
                && (!thread.is_private() || active.members.contains_key(&user) || self.manages_threads(user, thread.parent_id))
        };
        self.threads.values().filter(is_seen).collect()
    }

    pub(super) fn apply_to_threads(&mut self, event: &Event) {
        match event {
            Event::ThreadCreate { thread, members } => {
                self.threads.insert(thread.id, Active::new((**thread).clone(), members.clone()));
            }
            Event::ThreadUpdate { thread, .. } if thread.thread_metadata.archived => {
                self.threads.remove(&thread.id);
            }
            Event::ThreadUpdate { thread, woken: Some(members) } => {
                self.threads.insert(thread.id, Active::new((**thread).clone(), members.clone()));
            }
            Event::ThreadUpdate { thread, woken: None } => {
                if let Some(active) = self.threads.get_mut(&thread.id) {
                    active.thread = (**thread).clone();
                    active.count();
                }
            }
            Event::ThreadDelete { thread } => {
                self.threads.remove(&thread.id);
            }
            Event::ThreadMembersUpdate { thread_id, added, removed, .. } => {
                if let Some(active) = self.threads.get_mut(thread_id) {
                    active.members.extend(added.iter().map(|member| (member.user_id, member.clone())));
                    active.members.retain(|user, _| !removed.contains(user));
                    active.count();
                }
            }
            Event::MessageCreate { message, .. } => {
                if let Some(active) = self.threads.get_mut(&message.channel_id) {
                    active.hear(message);
                }
            }
            Event::MessageDelete { channel_id, message_id, .. } => {
                if let Some(active) = self.threads.get_mut(channel_id) {
                    active.forget(&[*message_id]);
                }
            }
            Event::MessageDeleteBulk { channel_id, message_ids, .. } => {
                if let Some(active) = self.threads.get_mut(channel_id) {
                    active.forget(message_ids);
                }
            }
            Event::ChannelPinsUpdate { channel_id, last_pin_timestamp, .. } => {
                if let Some(active) = self.threads.get_mut(channel_id) {
                    active.thread.last_pin_timestamp.clone_from(last_pin_timestamp);
                }
            }
            _ => {}
        }
    }

    pub(super) fn leave_threads(&mut self, user: UserId) {
        for active in self.threads.values_mut() {
            if active.members.remove(&user).is_some() {
                active.count();
            }
        }
    }
}
