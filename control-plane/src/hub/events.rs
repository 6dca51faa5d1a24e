//! Committed events: applied to the guild they belong to, then told to the sessions that asked for them and may know.
//!
//! A body is encoded when the first session wants it, and shared by all. Who may know is asked before or after the change,
//! whichever knew the object.

use super::core::{Core, Missing, Moment};
use super::seats::{Room, Seat};
use super::threads;
use crate::event::{Committed, Ended, Event, Topic};
use crate::gateway::mailbox::Dispatch;
use crate::guild::{Viewers, Views};
use crate::siblings::words::Word;
use guildhall_protocol::fleet::Way;
use guildhall_protocol::gateway::Intents;
use guildhall_protocol::model::{AuditEntry, Channel, Invite, Member, Message, Role, User, VoiceState};
use guildhall_protocol::{ChannelId, GuildId, MessageId, Permissions, RoleId, UserId};
use serde::Serialize;
use serde_json::json;
use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::Arc;

/// What each user with a session here sees.
type Seen = HashMap<UserId, Sight>;

#[derive(PartialEq)]
struct Sight {
    channels: Arc<[ChannelId]>,
    /// Private threads; the others are seen with their channels.
    private: Vec<ChannelId>,
}

/// An object with the guild it belongs to, as member and message events nest it.
#[derive(Serialize)]
struct InGuild<'a, T> {
    guild_id: GuildId,
    #[serde(flatten)]
    object: &'a T,
}

/// What people do in a place that holds messages: bots subscribe to each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Talk {
    Messages,
    Reactions,
    Typing,
    Pins,
}

impl Talk {
    const fn in_guild(self) -> Intents {
        match self {
            Self::Messages => Intents::GUILD_MESSAGES,
            Self::Reactions => Intents::GUILD_MESSAGE_REACTIONS,
            Self::Typing => Intents::GUILD_TYPING,
            Self::Pins => Intents::GUILDS,
        }
    }
}

/// Where an event stands in its topic.
enum Turn {
    Next,
    /// Known already, or about a guild that nobody here listens to.
    Past,
    Gap(u64),
}

impl Core {
    /// Takes one event. An event is told once: what was seen before is ignored; what comes too early is given back, with what
    /// is missing.
    pub fn publish(&mut self, committed: Committed, at: Moment) -> Result<(), (Missing, Committed)> {
        let Some(committed) = self.wait_for_loading(committed) else { return Ok(()) };
        if let Some(missing) = self.guild_to_load(&committed.event) {
            return Err((Missing::Guild(missing), committed));
        }
        if let Some(missing) = self.private_to_load(&committed.event) {
            return Err((Missing::Private(missing), committed));
        }
        match self.turn(&committed) {
            Turn::Past => return Ok(()),
            Turn::Gap(known) => return Err((Missing::Events(committed.topic, known), committed)),
            Turn::Next => {}
        }
        let changes_lists = !matches!(committed.event, Event::AuditEntryCreate { .. });
        // Somebody elsewhere may have been connected to a channel before it, or their membership, was known here.
        let makes_room = matches!(committed.event, Event::ChannelCreate { .. } | Event::MemberAdd { .. });
        self.tell(committed.event, at);
        if let Topic::Guild(guild) = committed.topic
            && makes_room
        {
            self.mirror_guild(guild, at);
        }
        if let Topic::Guild(guild) = committed.topic
            && changes_lists
        {
            self.lists_changed(guild);
        }
        self.sweep(at);
        Ok(())
    }

    /// Someone online came into a guild that nobody here was in before.
    fn guild_to_load(&self, event: &Event) -> Option<GuildId> {
        let (guild, is_wanted) = match event {
            // Whose guild it is the event does not say; loading it seats them.
            Event::GuildCreate { guild_id } => (*guild_id, self.is_anyone_expected()),
            Event::MemberAdd { guild_id, member } => (*guild_id, self.is_expected(member.user.id)),
            _ => return None,
        };
        (is_wanted && !self.rooms.contains_key(&guild)).then_some(guild)
    }

    /// Checks the event's number against its topic's last, and takes it over if it is the next.
    fn turn(&mut self, committed: &Committed) -> Turn {
        let last = match committed.topic {
            Topic::Guild(id) => self.rooms.get_mut(&id).map(|room| &mut room.seq),
            // A guild that is loaded later has no last number for its channels yet: the first one seen begins.
            Topic::Channel(id) => match self.channel_guild(id) {
                Some(guild) => self.rooms.get_mut(&guild).map(|room| room.channel_seqs.entry(id).or_insert(committed.seq - 1)),
                None => self.private_seq(id, committed.seq),
            },
            Topic::User(id) => self.accounts.get_mut(&id).map(|account| account.seq.get_or_insert(committed.seq - 1)),
        };
        match last {
            None if matches!(committed.topic, Topic::User(_)) => Turn::Next,
            None => Turn::Past,
            Some(last) if committed.seq <= *last => Turn::Past,
            Some(last) if committed.seq == *last + 1 => {
                *last = committed.seq;
                Turn::Next
            }
            Some(last) => Turn::Gap(*last),
        }
    }

    fn tell(&mut self, event: Event, at: Moment) {
        match event {
            // Its snapshot was loaded and seated its members before the event's turn came.
            Event::GuildCreate { .. } => {}
            Event::GuildUpdate { ref guild } => self.guild_update(guild.id, &event, at),
            Event::GuildDelete { guild_id } => self.guild_delete(guild_id, at),
            Event::ChannelCreate { ref channel } => {
                self.apply(channel.guild_id, &event);
                self.know_channel(channel.id, channel.guild_id);
                self.tell_viewers(
                    channel.guild_id,
                    channel.id,
                    Permissions::VIEW_CHANNEL,
                    Intents::GUILDS,
                    "CHANNEL_CREATE",
                    channel,
                );
            }
            Event::ChannelUpdate { ref channel } => self.channel_update(channel, &event, at),
            Event::ChannelDelete { ref channel } => self.channel_delete(channel, &event, at),
            Event::ThreadCreate { ref thread, .. } => self.thread_create(thread, &event),
            Event::ThreadUpdate { ref thread, .. } => self.thread_update(thread, &event),
            Event::ThreadDelete { ref thread } => self.thread_delete(thread, &event),
            Event::ThreadMembersUpdate { .. } => self.thread_members_update(&event),
            Event::RoleCreate { guild_id, ref role } => {
                self.apply(guild_id, &event);
                self.tell_role(guild_id, "GUILD_ROLE_CREATE", role);
            }
            Event::RoleUpdate { guild_id, ref role } => self.role_update(guild_id, role, &event, at),
            Event::RoleDelete { guild_id, role_id } => self.role_delete(guild_id, role_id, &event, at),
            Event::MemberAdd { guild_id, ref member } => self.member_add(guild_id, member, &event),
            Event::MemberUpdate { guild_id, ref member } => self.member_update(guild_id, member, &event, at),
            Event::MemberRemove { guild_id, ref user } => self.member_remove(guild_id, user, &event, at),
            Event::EmojisUpdate { guild_id, ref emojis } => {
                self.apply(guild_id, &event);
                let Some(room) = self.rooms.get(&guild_id) else { return };
                let dispatch = Dispatch::new("GUILD_EMOJIS_UPDATE", &json!({ "guild_id": guild_id, "emojis": emojis }));
                room.tell_all(&mut self.lost, Intents::GUILD_EXPRESSIONS, &dispatch);
            }
            Event::BanAdd { guild_id, user } => self.tell_ban(guild_id, "GUILD_BAN_ADD", &user, at),
            Event::BanRemove { guild_id, user } => self.tell_ban(guild_id, "GUILD_BAN_REMOVE", &user, at),
            Event::AuditEntryCreate { guild_id, entry } => self.tell_audit_entry(guild_id, &entry, at),
            Event::InviteCreate { guild_id, channel_id, invite } => self.invite_create(guild_id, channel_id, &invite),
            Event::WebhooksUpdate { guild_id, channel_id } => {
                let d = json!({ "guild_id": guild_id, "channel_id": channel_id });
                let needed = Permissions::VIEW_CHANNEL | Permissions::MANAGE_WEBHOOKS;
                self.tell_viewers(guild_id, channel_id, needed, Intents::GUILD_WEBHOOKS, "WEBHOOKS_UPDATE", &d);
            }
            Event::InviteDelete { guild_id, channel_id, code } => {
                let d = json!({ "guild_id": guild_id, "channel_id": channel_id, "code": code });
                self.tell_viewers(
                    guild_id,
                    channel_id,
                    Permissions::MANAGE_CHANNELS,
                    Intents::GUILD_INVITES,
                    "INVITE_DELETE",
                    &d,
                );
            }
            Event::Access { user_id, ended } => match ended {
                Ended::Nothing => {}
                Ended::These(hashes) => {
                    hashes.iter().for_each(|hash| self.invalidate_token(hash, at));
                    self.end_streams(user_id, at, |session| hashes.iter().any(|hash| Way::is_of_key(session, hash)));
                }
                Ended::All => {
                    self.close_user_sessions(user_id, at);
                    self.end_streams(user_id, at, |_| true);
                }
            },
            Event::MessageCreate { guild_id, .. }
            | Event::MessageUpdate { guild_id, .. }
            | Event::MessageDelete { guild_id, .. }
            | Event::MessageDeleteBulk { guild_id, .. }
            | Event::ReactionAdd { guild_id, .. }
            | Event::ReactionRemove { guild_id, .. }
            | Event::ReactionRemoveEmoji { guild_id, .. }
            | Event::ReactionRemoveAll { guild_id, .. } => {
                if let Some(guild) = guild_id {
                    self.apply(guild, &event);
                }
                self.tell_talk(event);
            }
            Event::ChannelPinsUpdate { guild_id, channel_id, ref last_pin_timestamp } => {
                if let Some(guild) = guild_id {
                    self.apply(guild, &event);
                }
                if guild_id.is_none() {
                    self.set_private_pin(channel_id, last_pin_timestamp.clone());
                }
                let d = json!({ "guild_id": guild_id, "channel_id": channel_id, "last_pin_timestamp": last_pin_timestamp });
                self.tell_readers(guild_id, channel_id, Talk::Pins, "CHANNEL_PINS_UPDATE", &d);
            }
            Event::UserUpdate { ref user } => self.user_update(user, &event),
            Event::PrivateChannel { channel, news } => self.tell_private_channel(&channel, news),
            Event::Personal { user_id, news } => self.tell_personal(user_id, news),
        }
    }

    /// What people say in a place, to those who read there. It changes nothing that is kept here.
    pub(super) fn tell_talk(&mut self, event: Event) {
        match event {
            Event::MessageCreate { guild_id, message } => self.tell_message(guild_id, "MESSAGE_CREATE", *message),
            Event::MessageUpdate { guild_id, message } => self.tell_message(guild_id, "MESSAGE_UPDATE", *message),
            Event::MessageDelete { guild_id, channel_id, message_id } => {
                let d = json!({ "id": message_id, "channel_id": channel_id, "guild_id": guild_id });
                self.tell_readers(guild_id, channel_id, Talk::Messages, "MESSAGE_DELETE", &d);
            }
            Event::MessageDeleteBulk { guild_id, channel_id, ref message_ids } => {
                let d = json!({ "ids": message_ids as &Vec<MessageId>, "channel_id": channel_id, "guild_id": guild_id });
                self.tell_readers(guild_id, channel_id, Talk::Messages, "MESSAGE_DELETE_BULK", &d);
            }
            Event::ReactionAdd { guild_id, channel_id, message_id, user_id, author_id, emoji } => {
                let d = json!({
                    "user_id": user_id,
                    "channel_id": channel_id,
                    "message_id": message_id,
                    "guild_id": guild_id,
                    "member": guild_id.and_then(|guild| self.guild(guild)?.member(user_id)),
                    "message_author_id": author_id,
                    "emoji": emoji,
                    "burst": false,
                    "burst_colors": [],
                    "type": 0,
                });
                self.tell_readers(guild_id, channel_id, Talk::Reactions, "MESSAGE_REACTION_ADD", &d);
            }
            Event::ReactionRemove { guild_id, channel_id, message_id, user_id, emoji } => {
                let d = json!({
                    "user_id": user_id,
                    "channel_id": channel_id,
                    "message_id": message_id,
                    "guild_id": guild_id,
                    "emoji": emoji,
                    "burst": false,
                    "type": 0,
                });
                self.tell_readers(guild_id, channel_id, Talk::Reactions, "MESSAGE_REACTION_REMOVE", &d);
            }
            Event::ReactionRemoveEmoji { guild_id, channel_id, message_id, emoji } => {
                let d = json!({ "channel_id": channel_id, "message_id": message_id, "guild_id": guild_id, "emoji": emoji });
                self.tell_readers(guild_id, channel_id, Talk::Reactions, "MESSAGE_REACTION_REMOVE_EMOJI", &d);
            }
            Event::ReactionRemoveAll { guild_id, channel_id, message_id } => {
                let d = json!({ "channel_id": channel_id, "message_id": message_id, "guild_id": guild_id });
                self.tell_readers(guild_id, channel_id, Talk::Reactions, "MESSAGE_REACTION_REMOVE_ALL", &d);
            }
            _ => {}
        }
    }

    pub(super) fn apply(&mut self, guild: GuildId, event: &Event) {
        if let Some(room) = self.rooms.get_mut(&guild) {
            room.state.apply(event);
        }
    }

    /// Applies a change of rights and tells it with `tell`; then channels that appeared or vanished for someone, and voice
    /// participants whose rights changed.
    fn apply_rights(&mut self, guild: GuildId, event: &Event, at: Moment, tell: impl FnOnce(&mut Self)) {
        let before = self.seen_in(guild);
        self.apply(guild, event);
        tell(self);
        self.tell_flips(guild, &before);
        self.refresh_voice(guild, at);
    }

    fn seen_in(&self, guild: GuildId) -> Seen {
        let Some(room) = self.rooms.get(&guild) else { return Seen::new() };
        let mut views = Views::of(&room.state);
        let mut seen = Seen::with_capacity(room.seats.len());
        for seat in &room.seats {
            seen.entry(seat.user_id).or_insert_with(|| {
                let channels = views.seen_by(seat.user_id);
                let threads = room.state.threads_seen_by(seat.user_id, |parent| channels.contains(&parent));
                let private = threads.iter().map(|active| &active.thread).filter(|thread| thread.is_private());
                let private = private.map(|thread| thread.id).collect();
                Sight { channels, private }
            });
        }
        seen
    }

    /// CHANNEL_CREATE for what a user sees now and did not before (with who is in it and its threads), CHANNEL_DELETE for the
    /// reverse; the same for private threads of channels that stay. A
    /// channel that is gone altogether has told so itself.
    fn tell_flips(&mut self, guild: GuildId, before: &Seen) {
        let after = self.seen_in(guild);
        let Some(room) = self.rooms.get(&guild) else { return };
        let mut appeared: HashMap<ChannelId, Vec<Arc<Dispatch>>> = HashMap::new();
        let mut vanished: HashMap<ChannelId, Arc<Dispatch>> = HashMap::new();
        for seat in room.seats.iter().filter(|seat| seat.wants(Intents::GUILDS)) {
            let (Some(before), Some(after)) = (before.get(&seat.user_id), after.get(&seat.user_id)) else { continue };
            if before == after {
                continue;
            }
            let gained: Vec<ChannelId> = after.channels.iter().filter(|id| !before.channels.contains(id)).copied().collect();
            for channel in gained.iter().filter_map(|id| room.state.channel(*id)) {
                for (index, dispatch) in
                    appeared.entry(channel.id).or_insert_with(|| appearance(room, channel)).iter().enumerate()
                {
                    if index == 0 || seat.wants(Intents::GUILD_VOICE_STATES) {
                        seat.push(dispatch, &mut self.lost);
                    }
                }
            }
            if let Some(sync) = (!gained.is_empty()).then(|| threads::list_sync(room, seat, &gained)).flatten() {
                seat.push(&sync, &mut self.lost);
            }
            for active in after.private.iter().filter(|id| !before.private.contains(id)).filter_map(|id| room.state.thread(*id)) {
                if !gained.contains(&active.thread.parent_id) {
                    seat.push(&threads::appeared(seat.user_id, active), &mut self.lost);
                }
            }
            for active in before.private.iter().filter(|id| !after.private.contains(id)).filter_map(|id| room.state.thread(*id)) {
                if after.channels.contains(&active.thread.parent_id) {
                    seat.push(&threads::gone(&active.thread), &mut self.lost);
                }
            }
            let missed = before.channels.iter().filter(|id| !after.channels.contains(id));
            for channel in missed.filter_map(|id| room.state.channel(*id)) {
                let dispatch = vanished.entry(channel.id).or_insert_with(|| Dispatch::new("CHANNEL_DELETE", channel));
                seat.push(dispatch, &mut self.lost);
            }
        }
    }

    /// To the sessions with `intents` whose users hold `needed` in the channel.
    pub(super) fn tell_viewers(
        &mut self,
        guild: GuildId,
        channel: ChannelId,
        needed: Permissions,
        intents: Intents,
        name: &'static str,
        d: &impl Serialize,
    ) {
        let Some(room) = self.rooms.get(&guild) else { return };
        let mut viewers = Viewers::of(&room.state, channel, needed);
        let dispatch = LazyCell::new(|| Dispatch::new(name, d));
        room.tell(&mut self.lost, |seat| (seat.wants(intents) && viewers.include(seat.user_id)).then(|| &*dispatch));
    }

    /// To everyone who may read the place's messages. When something was last pinned is a part of the channel itself, so that is
    /// for all who see the channel.
    fn tell_readers(&mut self, guild: Option<GuildId>, channel: ChannelId, talk: Talk, name: &'static str, d: &impl Serialize) {
        let Some(guild) = guild else { return self.tell_recipients(channel, talk, name, d) };
        let needed = match talk {
            Talk::Pins => Some(Permissions::VIEW_CHANNEL),
            _ => self.rooms.get(&guild).map(|room| reading(room, channel)),
        };
        let Some(needed) = needed else { return };
        self.tell_viewers(guild, channel, needed, talk.in_guild(), name, d);
    }

    fn guild_update(&mut self, guild: GuildId, event: &Event, at: Moment) {
        self.apply_rights(guild, event, at, |core| {
            let Some(room) = core.rooms.get(&guild) else { return };
            let dispatch = Dispatch::new("GUILD_UPDATE", room.state.guild());
            room.tell_all(&mut core.lost, Intents::GUILDS, &dispatch);
        });
    }

    fn guild_delete(&mut self, guild: GuildId, at: Moment) {
        self.empty_voice(guild, at, |_| true);
        let Some(room) = self.remove_guild(guild) else { return };
        room.tell_all(&mut self.lost, Intents::GUILDS, &super::greeting::guild_gone(guild));
    }

    fn channel_update(&mut self, channel: &Channel, event: &Event, at: Moment) {
        let Some(room) = self.rooms.get(&channel.guild_id) else { return };
        let mut viewed_before = Viewers::of(&room.state, channel.id, Permissions::VIEW_CHANNEL);
        let users: Vec<UserId> = room.seats.iter().map(|seat| seat.user_id).collect();
        let viewed_before: HashMap<UserId, bool> = users.into_iter().map(|user| (user, viewed_before.include(user))).collect();
        self.apply_rights(channel.guild_id, event, at, |core| {
            let Some(room) = core.rooms.get(&channel.guild_id) else { return };
            let mut viewers = Viewers::of(&room.state, channel.id, Permissions::VIEW_CHANNEL);
            let dispatch = LazyCell::new(|| Dispatch::new("CHANNEL_UPDATE", channel));
            let mut stays = |user| viewed_before.get(&user) == Some(&true) && viewers.include(user);
            room.tell(&mut core.lost, |seat| (seat.wants(Intents::GUILDS) && stays(seat.user_id)).then(|| &*dispatch));
        });
    }

    fn channel_delete(&mut self, channel: &Channel, event: &Event, at: Moment) {
        self.empty_voice(channel.guild_id, at, |state| state.channel_id == Some(channel.id));
        // Who saw it can only be asked while it exists.
        self.tell_viewers(channel.guild_id, channel.id, Permissions::VIEW_CHANNEL, Intents::GUILDS, "CHANNEL_DELETE", channel);
        self.apply(channel.guild_id, event);
        self.forget_channel(channel.id);
        if let Some(room) = self.rooms.get_mut(&channel.guild_id) {
            room.channel_seqs.remove(&channel.id);
        }
    }

    fn tell_role(&mut self, guild: GuildId, name: &'static str, role: &Role) {
        if let Some(room) = self.rooms.get(&guild) {
            let dispatch = Dispatch::new(name, &json!({ "guild_id": guild, "role": role }));
            room.tell_all(&mut self.lost, Intents::GUILDS, &dispatch);
        }
    }

    fn role_update(&mut self, guild: GuildId, role: &Role, event: &Event, at: Moment) {
        let before = self.guild(guild).and_then(|state| state.role(role.id)).map(|role| role.permissions);
        if before == Some(role.permissions) {
            self.apply(guild, event);
            return self.tell_role(guild, "GUILD_ROLE_UPDATE", role);
        }
        self.apply_rights(guild, event, at, |core| core.tell_role(guild, "GUILD_ROLE_UPDATE", role));
    }

    fn role_delete(&mut self, guild: GuildId, role: RoleId, event: &Event, at: Moment) {
        self.apply_rights(guild, event, at, |core| {
            let Some(room) = core.rooms.get(&guild) else { return };
            let dispatch = Dispatch::new("GUILD_ROLE_DELETE", &json!({ "guild_id": guild, "role_id": role }));
            room.tell_all(&mut core.lost, Intents::GUILDS, &dispatch);
        });
    }

    fn member_add(&mut self, guild: GuildId, member: &Member, event: &Event) {
        self.apply(guild, event);
        if let Some(room) = self.rooms.get(&guild) {
            let dispatch = Dispatch::new("GUILD_MEMBER_ADD", &InGuild { guild_id: guild, object: member });
            room.tell_all(&mut self.lost, Intents::GUILD_MEMBERS, &dispatch);
        }
        // The newcomer gets the guild, not the news of having joined it.
        self.enter_guild(member.user.id, guild);
    }

    fn member_update(&mut self, guild: GuildId, member: &Member, event: &Event, at: Moment) {
        let user = member.user.id;
        let before = self.guild(guild).and_then(|state| state.member(user)).cloned();
        let has_rights_changed = before.as_ref().is_none_or(|before| before.roles != member.roles);
        let tell = |core: &mut Self| core.tell_member(guild, member);
        if has_rights_changed {
            self.apply_rights(guild, event, at, tell);
        } else {
            self.apply(guild, event);
            tell(self);
        }
        self.member_voice(guild, member, at);
    }

    /// GUILD_MEMBER_UPDATE: to whoever asked for members, and to the member itself in any case.
    fn tell_member(&mut self, guild: GuildId, member: &Member) {
        let Some(room) = self.rooms.get(&guild) else { return };
        let dispatch = Dispatch::new("GUILD_MEMBER_UPDATE", &InGuild { guild_id: guild, object: member });
        let is_for = |seat: &Seat| seat.wants(Intents::GUILD_MEMBERS) || seat.user_id == member.user.id;
        room.tell(&mut self.lost, |seat| is_for(seat).then_some(&dispatch));
    }

    fn member_remove(&mut self, guild: GuildId, user: &User, event: &Event, at: Moment) {
        self.empty_voice(guild, at, |state| state.user_id == user.id);
        self.leave_guild(user.id, guild);
        self.apply(guild, event);
        let Some(room) = self.rooms.get(&guild) else { return };
        let dispatch = Dispatch::new("GUILD_MEMBER_REMOVE", &json!({ "guild_id": guild, "user": user }));
        room.tell_all(&mut self.lost, Intents::GUILD_MEMBERS, &dispatch);
    }

    /// Bans are told to those who may see or make them.
    fn tell_ban(&mut self, guild: GuildId, name: &'static str, user: &User, at: Moment) {
        let Some(room) = self.rooms.get(&guild) else { return };
        let dispatch = Dispatch::new(name, &json!({ "guild_id": guild, "user": user }));
        let may_know = |seat: &Seat| {
            let held = room.state.permissions(seat.user_id, at.unix_ms);
            held.contains(Permissions::BAN_MEMBERS) || held.contains(Permissions::VIEW_AUDIT_LOG)
        };
        room.tell(&mut self.lost, |seat| (seat.wants(Intents::GUILD_MODERATION) && may_know(seat)).then_some(&dispatch));
    }

    /// To those who may read the log.
    fn tell_audit_entry(&mut self, guild: GuildId, entry: &AuditEntry, at: Moment) {
        let Some(room) = self.rooms.get(&guild) else { return };
        let dispatch =
            LazyCell::new(|| Dispatch::new("GUILD_AUDIT_LOG_ENTRY_CREATE", &InGuild { guild_id: guild, object: entry }));
        let may_know = |seat: &Seat| room.state.permissions(seat.user_id, at.unix_ms).contains(Permissions::VIEW_AUDIT_LOG);
        room.tell(&mut self.lost, |seat| (seat.wants(Intents::GUILD_MODERATION) && may_know(seat)).then(|| &*dispatch));
    }

    fn invite_create(&mut self, guild: GuildId, channel: ChannelId, invite: &Invite) {
        #[derive(Serialize)]
        struct InviteCreate<'a> {
            channel_id: ChannelId,
            #[serde(flatten)]
            invite: &'a Invite,
        }
        let d = InviteCreate { channel_id: channel, invite };
        self.tell_viewers(guild, channel, Permissions::MANAGE_CHANNELS, Intents::GUILD_INVITES, "INVITE_CREATE", &d);
    }

    /// A message in up to two forms: bots without MESSAGE_CONTENT get it blanked, unless they wrote it or are mentioned.
    fn tell_message(&mut self, guild: Option<GuildId>, name: &'static str, mut message: Message) {
        message.guild_id = guild;
        let Some(guild) = guild else { return self.tell_private_message(name, &message) };
        let Some(room) = self.rooms.get(&guild) else { return };
        // A webhook is no member, also if an account has its number.
        let author = Some(message.author.id).filter(|_| message.webhook_id.is_none());
        message.member = author.and_then(|author| room.state.member(author)).map(guildhall_protocol::model::partial_member);
        let channel = message.channel_id;
        let mut viewers = Viewers::of(&room.state, channel, reading(room, channel));
        let whole = LazyCell::new(|| Dispatch::new(name, &message));
        let blank = LazyCell::new(|| Dispatch::new(name, &blanked(&message)));
        let concerns = |user: UserId| message.author.id == user || message.mentions.iter().any(|mention| mention.id == user);
        room.tell(&mut self.lost, |seat| {
            if !seat.wants(Intents::GUILD_MESSAGES) || !viewers.include(seat.user_id) {
                return None;
            }
            Some(if seat.wants(Intents::MESSAGE_CONTENT) || concerns(seat.user_id) { &*whole } else { &*blank })
        });
    }

    fn user_update(&mut self, user: &User, event: &Event) {
        self.rename_in_privates(user);
        if let Some(account) = self.accounts.get_mut(&user.id) {
            account.user = user.clone();
            let dispatch = super::greeting::user_update(account);
            for key in &account.sessions {
                if let Some(session) = self.sessions.get(key)
                    && !session.link.push(dispatch.clone())
                {
                    self.lost.push(*key);
                }
            }
        }
        let guilds: Vec<GuildId> =
            self.rooms.values().filter(|room| room.state.is_member(user.id)).map(|room| room.state.id()).collect();
        for guild in guilds {
            self.apply(guild, event);
            self.lists_changed(guild);
            if let Some(member) = self.guild(guild).and_then(|state| state.member(user.id)).cloned() {
                self.tell_member(guild, &member);
            }
        }
    }

    /// TYPING_START: ephemeral, so it has no number and no row.
    pub fn typing(&mut self, guild: Option<GuildId>, channel: ChannelId, user: UserId, at: Moment) {
        if !self.siblings.is_alone() {
            let recipients = if guild.is_none() { self.recipients_of(channel) } else { Vec::new() };
            self.siblings.say(Word::Typing { guild_id: guild, channel_id: channel, user_id: user, recipients });
        }
        self.tell_typing(guild, channel, user, at);
    }

    pub(super) fn tell_typing(&mut self, guild: Option<GuildId>, channel: ChannelId, user: UserId, at: Moment) {
        let d = json!({
            "channel_id": channel,
            "guild_id": guild,
            "user_id": user,
            "timestamp": at.unix_ms / 1000,
            "member": guild.and_then(|guild| self.guild(guild)?.member(user)),
        });
        self.tell_readers(guild, channel, Talk::Typing, "TYPING_START", &d);
        self.sweep(at);
    }
}

/// What it takes to read a channel's messages as they come: a voice channel's chat needs CONNECT too.
fn reading(room: &Room, channel: ChannelId) -> Permissions {
    let is_voice = room.state.channel(channel).is_some_and(|channel| channel.kind.is_voice());
    if is_voice { Permissions::VIEW_CHANNEL | Permissions::CONNECT } else { Permissions::VIEW_CHANNEL }
}

fn blanked(message: &Message) -> Message {
    let content = String::new();
    let (attachments, embeds, components) = (Vec::new(), Vec::new(), Vec::new());
    let referenced_message =
        message.referenced_message.as_ref().map(|reference| reference.as_ref().map(|message| Box::new(blanked(message))));
    Message { content, attachments, embeds, components, referenced_message, ..message.clone() }
}

/// The channel first, then who is in it.
fn appearance(room: &Room, channel: &Channel) -> Vec<Arc<Dispatch>> {
    let with_member = |state: &VoiceState| VoiceState { member: room.state.member(state.user_id).cloned(), ..state.clone() };
    let participants = room.state.voice_states_in(channel.id).map(with_member);
    let states = participants.map(|state| Dispatch::new("VOICE_STATE_UPDATE", &state));
    std::iter::once(Dispatch::new("CHANNEL_CREATE", channel)).chain(states).collect()
}
