//! Who sees a channel, and which channels someone sees: resolved once per class of equal roles.

use super::{Active, State};
use guildhall_protocol::model::{Channel, Overwrite, OverwriteKind, Thread};
use guildhall_protocol::{ChannelId, Permissions, UserId};
use std::sync::Arc;

/// Answers for one event in one channel which members hold `needed` there. Made per event: its memory of classes cannot
/// outlive a role or overwrite change.
pub struct Viewers<'a> {
    state: &'a State,
    /// A thread is viewed with the rights in its parent.
    channel: Option<&'a Channel>,
    /// Set for a private thread: who is in it. `None` inside: nobody is known to be.
    insiders: Option<Option<&'a Active>>,
    needed: Permissions,
    by_class: Vec<Option<bool>>,
}

impl<'a> Viewers<'a> {
    /// Nobody views a channel that does not exist.
    pub fn of(state: &'a State, channel: ChannelId, needed: Permissions) -> Self {
        match state.thread(channel) {
            Some(active) => Self::of_thread(state, &active.thread, needed),
            None => {
                Self { state, channel: state.channel(channel), insiders: None, needed, by_class: vec![None; state.classes.len()] }
            }
        }
    }

    /// Also of a thread that is archived.
    pub fn of_thread(state: &'a State, thread: &Thread, needed: Permissions) -> Self {
        let insiders = thread.is_private().then(|| state.thread(thread.id));
        Self { state, channel: state.channel(thread.parent_id), insiders, needed, by_class: vec![None; state.classes.len()] }
    }

    pub fn include(&mut self, user: UserId) -> bool {
        self.include_in_channel(user) && self.insiders.is_none_or(|insiders| self.is_inside(user, insiders))
    }

    fn is_inside(&self, user: UserId, insiders: Option<&Active>) -> bool {
        insiders.is_some_and(|active| active.members.contains_key(&user))
            || self.channel.is_some_and(|parent| self.state.manages_threads(user, parent.id))
    }

    fn include_in_channel(&mut self, user: UserId) -> bool {
        let (Some(channel), Some(seat)) = (self.channel, self.state.members.get(&user)) else {
            return false;
        };
        if self.state.stands_alone(user, channel) {
            return self.resolve(user, channel);
        }
        if let Some(known) = self.by_class[seat.class.index()] {
            return known;
        }
        let answer = self.resolve(user, channel);
        self.by_class[seat.class.index()] = Some(answer);
        answer
    }

    fn resolve(&self, user: UserId, channel: &Channel) -> bool {
        self.state.untimed_permissions(user, channel).contains(self.needed)
    }
}

/// The channels that members see, in id order: compared before and after a change, it says what appears and vanishes.
pub struct Views<'a> {
    state: &'a State,
    by_class: Vec<Option<Arc<[ChannelId]>>>,
}

impl<'a> Views<'a> {
    pub fn of(state: &'a State) -> Self {
        Self { state, by_class: vec![None; state.classes.len()] }
    }

    pub fn seen_by(&mut self, user: UserId) -> Arc<[ChannelId]> {
        let Some(seat) = self.state.members.get(&user) else {
            return Arc::default();
        };
        if self.state.channels().any(|channel| self.state.stands_alone(user, channel)) {
            return self.resolve(user);
        }
        if let Some(known) = &self.by_class[seat.class.index()] {
            return known.clone();
        }
        let seen = self.resolve(user);
        self.by_class[seat.class.index()] = Some(seen.clone());
        seen
    }

    fn resolve(&self, user: UserId) -> Arc<[ChannelId]> {
        let is_seen = |channel: &&Channel| self.state.untimed_permissions(user, channel).contains(Permissions::VIEW_CHANNEL);
        self.state.channels().filter(is_seen).map(|channel| channel.id).collect()
    }
}

impl State {
    /// Whether the user's rights in this channel may differ from those of their class.
    fn stands_alone(&self, user: UserId, channel: &Channel) -> bool {
        let names_user = |overwrite: &Overwrite| overwrite.kind == OverwriteKind::Member && UserId(overwrite.id) == user;
        user == self.guild.owner_id || channel.permission_overwrites.iter().any(names_user)
    }

    /// A timeout takes no right to see or read, so views need no clock.
    fn untimed_permissions(&self, user: UserId, channel: &Channel) -> Permissions {
        self.channel_permissions(user, channel.id, u64::MAX)
    }
}
