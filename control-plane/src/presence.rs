//! Who is online: the sessions of an account combined into what others are shown.

use crate::gateway::mailbox::Dispatch;
use crate::hub::core::{Core, Moment};
use crate::hub::seats::Seat;
use guildhall_protocol::gateway::{Intents, PresenceUpdate, Status};
use guildhall_protocol::{GuildId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::LazyCell;
use std::time::Duration;

/// How often others are told of one user's presence: each change goes to everyone who shares a guild with them.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// What others see of an account. The default is offline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    pub status: Status,
    pub activities: Vec<Value>,
}

impl Default for Shown {
    fn default() -> Self {
        Self { status: Status::Invisible, activities: Vec::new() }
    }
}

impl Shown {
    /// The most present session decides, except that "do not disturb" on any device counts for all. An invisible session
    /// shows nothing. Activities are those of all visible sessions.
    pub fn combine<'a>(sessions: impl Iterator<Item = &'a PresenceUpdate>) -> Self {
        let mut shown = Self::default();
        sessions.for_each(|presence| shown.add(presence.status, &presence.activities));
        shown
    }

    /// One more of the user's sessions, or all of them elsewhere.
    fn add(&mut self, status: Status, activities: &[Value]) {
        const RANKED: [Status; 4] = [Status::Invisible, Status::Idle, Status::Online, Status::Dnd];
        let rank = |status: Status| RANKED.iter().position(|ranked| *ranked == status);
        if status == Status::Invisible {
            return;
        }
        if rank(status) > rank(self.status) {
            self.status = status;
        }
        let room = PresenceUpdate::MAX_ACTIVITIES.saturating_sub(self.activities.len());
        self.activities.extend(activities.iter().take(room).cloned());
    }

    pub fn is_online(&self) -> bool {
        self.status != Status::Invisible
    }

    /// The presence object of PRESENCE_UPDATE, GUILD_CREATE and GUILD_MEMBERS_CHUNK.
    pub fn object(&self, guild: GuildId, user: UserId) -> Value {
        let client_status = if self.is_online() { json!({ "web": self.status.name() }) } else { json!({}) };
        json!({
            "user": { "id": user },
            "guild_id": guild,
            "status": self.status.name(),
            "activities": self.activities,
            "client_status": client_status,
        })
    }
}

impl Core {
    /// Recomputes what is shown of a user, and tells the guilds if it changed: at once, or later if they were told of this
    /// user just now. Who flickers is seen once.
    pub(crate) fn refresh_presence(&mut self, user: UserId, at: Moment) {
        let Some(account) = self.accounts.get(&user) else { return };
        match account.presence_told_at.map(|told_at| told_at + INTERVAL) {
            Some(then) if then > at.now => self.look_at_presence(user, then),
            _ => self.tell_presence(user, at),
        }
    }

    /// Tells the guilds if what is to be shown is not what they know.
    pub(crate) fn tell_presence(&mut self, user: UserId, at: Moment) {
        let Some(account) = self.accounts.get_mut(&user) else { return };
        let sessions = account.sessions.iter().filter_map(|key| self.sessions.get(key)).map(|session| &session.presence);
        let mut shown = Shown::combine(sessions);
        if !self.siblings.is_alone() {
            account.announce(&shown, &mut self.siblings);
            self.siblings.shown(user).for_each(|elsewhere| shown.add(elsewhere.status, &elsewhere.activities));
        }
        if account.shown == shown {
            return;
        }
        account.shown = shown;
        account.presence_told_at = Some(at.now);
        let guilds = account.guilds.clone();
        self.tell_friends_presence(user);
        for guild in guilds {
            self.tell_presence_in(user, guild);
        }
    }

    pub(crate) fn tell_presence_in(&mut self, user: UserId, guild: GuildId) {
        self.lists_changed(guild);
        let (Some(account), Some(room)) = (self.accounts.get(&user), self.rooms.get(&guild)) else { return };
        let dispatch = LazyCell::new(|| Dispatch::new("PRESENCE_UPDATE", &account.shown.object(guild, user)));
        let members = room.state.member_count();
        let hears = |seat: &Seat| seat.wants(Intents::GUILD_PRESENCES) && members <= seat.lazy_above;
        room.tell(&mut self.lost, |seat| hears(seat).then(|| &*dispatch));
    }
}
