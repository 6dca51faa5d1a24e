//! What happens outside of guilds, told: private channels to their recipients, personal things to one account's sessions.
//!
//! A private channel is read from the store when something happens in it and forgotten when none of its recipients is online:
//! its rows are the truth, and what is kept here only says who is told. Bots hear of messages in their DMs (on shard 0), not of
//! the channels themselves, as documented.

use super::core::{Account, Core, Moment, Session, SessionKey};
use super::events::Talk;
use crate::event::{Event, Personal, PrivateNews};
use crate::gateway::link::Ending;
use crate::gateway::mailbox::Dispatch;
use crate::guild::Viewers;
use crate::store::ReadState;
use guildhall_protocol::gateway::Intents;
use guildhall_protocol::model::{ChannelType, Message, PrivateChannel, Relationship, RelationshipKind, User};
use guildhall_protocol::{ChannelId, Permissions, UserId};
use serde::Serialize;
use serde_json::{Value, json};
use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Private channels in memory before those without anyone online are forgotten: some 5 MB of DMs.
const TIDY_AT: usize = 4_096;
/// If so many have someone online, all are forgotten: to read one again costs a query.
const MOST: usize = 65_536;

/// The private channels in use.
pub struct Privates {
    rooms: HashMap<ChannelId, PrivateRoom>,
    tidy_at: usize,
}

impl Default for Privates {
    fn default() -> Self {
        Self { rooms: HashMap::new(), tidy_at: TIDY_AT }
    }
}

struct PrivateRoom {
    channel: PrivateChannel,
    /// The last event of the channel's topic that was told here, once there was one.
    seq: Option<u64>,
}

/// What is someone's own, for READY: people only.
#[derive(Clone, Debug, Default)]
pub struct Belongings {
    /// Those in the list, with all their recipients.
    pub private_channels: Vec<PrivateChannel>,
    pub relationships: Vec<Relationship>,
    pub read_states: Vec<ReadState>,
    /// As clients see them; `null` for bots.
    pub settings: Value,
    pub guild_settings: Vec<Value>,
}

impl Belongings {
    /// Messages may have come since the channels were read.
    pub(super) fn catch_up(&mut self, privates: &Privates) {
        for channel in &mut self.private_channels {
            let newer = privates.rooms.get(&channel.id).and_then(|room| room.channel.last_message_id);
            channel.last_message_id = channel.last_message_id.max(newer);
        }
    }

    pub(super) fn friends(&self) -> HashSet<UserId> {
        let friends = self.relationships.iter().filter(|relationship| relationship.kind == RelationshipKind::Friend);
        friends.map(|friend| friend.id).collect()
    }
}

impl Talk {
    const fn in_private(self) -> Intents {
        match self {
            Self::Messages | Self::Pins => Intents::DIRECT_MESSAGES,
            Self::Reactions => Intents::DIRECT_MESSAGE_REACTIONS,
            Self::Typing => Intents::DIRECT_MESSAGE_TYPING,
        }
    }
}

impl Core {
    pub fn private(&self, id: ChannelId) -> Option<&PrivateChannel> {
        self.privates.rooms.get(&id).map(|room| &room.channel)
    }

    /// Takes a private channel in, if it is not known yet.
    pub fn insert_private(&mut self, channel: PrivateChannel) {
        if self.privates.rooms.len() >= self.privates.tidy_at {
            self.tidy_privates();
        }
        self.privates.rooms.entry(channel.id).or_insert(PrivateRoom { channel, seq: None });
    }

    fn tidy_privates(&mut self) {
        let Self { privates, accounts, .. } = self;
        let is_here = |user: &User| accounts.get(&user.id).is_some_and(Account::is_here);
        privates.rooms.retain(|_, room| room.channel.recipients.iter().any(is_here));
        if privates.rooms.len() >= MOST {
            privates.rooms.clear();
        }
        // Twice what is left: tidying stays cheap however many are in use.
        privates.tidy_at = (2 * privates.rooms.len()).clamp(TIDY_AT, MOST);
    }

    /// The last event told of a private channel's topic, which begins with the first one that is seen.
    pub(super) fn private_seq(&mut self, id: ChannelId, seen: u64) -> Option<&mut u64> {
        self.privates.rooms.get_mut(&id).map(|room| room.seq.get_or_insert(seen - 1))
    }

    /// The private channel that must be known before this event can be told. A channel's own event brings it along.
    pub(super) fn private_to_load(&mut self, event: &Event) -> Option<ChannelId> {
        if let Event::PrivateChannel { channel, .. } = event {
            self.insert_private((**channel).clone());
            return None;
        }
        let channel = event.private_channel()?;
        (!self.privates.rooms.contains_key(&channel)).then_some(channel)
    }

    /// Events of the channel are lost: its recipients start anew.
    pub(super) fn give_up_private(&mut self, id: ChannelId, at: Moment) {
        let Some(room) = self.privates.rooms.remove(&id) else { return };
        let accounts = room.channel.recipients.iter().filter_map(|user| self.accounts.get(&user.id));
        let keys: Vec<SessionKey> = accounts.flat_map(|account| account.sessions.iter().copied()).collect();
        for key in keys {
            if let Some(session) = self.sessions.get(&key) {
                session.link.end(Ending::Reconnect);
            }
            self.end_session(key, at);
        }
        self.sweep(at);
    }

    /// To the user's sessions of which `is_for` holds.
    fn tell_user(&mut self, user: UserId, dispatch: &Arc<Dispatch>, is_for: impl Fn(&Session) -> bool) {
        let Some(account) = self.accounts.get(&user) else { return };
        for key in account.sessions.iter().filter(|key| self.only.is_none_or(|only| only == **key)) {
            if let Some(session) = self.sessions.get(key).filter(|session| is_for(session))
                && !session.link.push(dispatch.clone())
            {
                self.lost.push(*key);
            }
        }
    }

    fn tell_person(&mut self, user: UserId, name: &'static str, d: &impl Serialize) {
        self.note_news(user);
        if self.is_here(user) {
            self.tell_user(user, &Dispatch::new(name, d), |session| !session.is_bot);
        }
    }

    pub(super) fn recipients_of(&self, id: ChannelId) -> Vec<UserId> {
        self.private(id).map(|channel| channel.recipients.iter().map(|user| user.id).collect()).unwrap_or_default()
    }

    pub(super) fn tell_private_channel(&mut self, channel: &PrivateChannel, news: PrivateNews) {
        if let Some(room) = self.privates.rooms.get_mut(&channel.id) {
            room.channel = channel.clone();
        }
        let id = channel.id;
        match news {
            PrivateNews::Opened { users } => {
                for user in users {
                    self.tell_person(user, "CHANNEL_CREATE", &channel.seen_by(user));
                }
            }
            PrivateNews::Changed => {
                for user in self.recipients_of(id) {
                    self.tell_person(user, "CHANNEL_UPDATE", &channel.seen_by(user));
                }
            }
            PrivateNews::Closed { user_id } => self.tell_person(user_id, "CHANNEL_DELETE", &channel.seen_by(user_id)),
            PrivateNews::Joined { user } => {
                self.tell_person(user.id, "CHANNEL_CREATE", &channel.seen_by(user.id));
                let d = json!({ "channel_id": id, "user": user });
                for other in self.recipients_of(id).into_iter().filter(|other| *other != user.id) {
                    self.tell_person(other, "CHANNEL_RECIPIENT_ADD", &d);
                }
            }
            PrivateNews::Left { user } => {
                self.tell_person(user.id, "CHANNEL_DELETE", &channel.seen_by(user.id));
                let d = json!({ "channel_id": id, "user": user });
                for other in self.recipients_of(id) {
                    self.tell_person(other, "CHANNEL_RECIPIENT_REMOVE", &d);
                }
                if channel.recipients.is_empty() {
                    self.privates.rooms.remove(&id);
                }
            }
        }
    }

    /// Someone has another name or picture.
    pub(super) fn rename_in_privates(&mut self, user: &User) {
        let recipients = self.privates.rooms.values_mut().flat_map(|room| &mut room.channel.recipients);
        recipients.filter(|recipient| recipient.id == user.id).for_each(|recipient| *recipient = user.clone());
    }

    /// A message was pinned in it, or not any more.
    pub(super) fn set_private_pin(&mut self, id: ChannelId, last_pin_timestamp: Option<String>) {
        if let Some(room) = self.privates.rooms.get_mut(&id) {
            room.channel.last_pin_timestamp = last_pin_timestamp;
        }
    }

    /// What is done in a private channel. Keys that only guilds fill are left out, as libraries expect.
    pub(super) fn tell_recipients(&mut self, id: ChannelId, talk: Talk, name: &'static str, d: &impl Serialize) {
        let dispatch = LazyCell::new(|| {
            let mut d = serde_json::to_value(d).expect("wire objects have string keys and serialize without fail");
            if let Some(d) = d.as_object_mut() {
                d.retain(|key, value| !(value.is_null() && matches!(key.as_str(), "guild_id" | "member")));
            }
            Dispatch::new(name, &d)
        });
        for user in self.recipients_of(id) {
            if self.is_here(user) {
                let wants = |session: &Session| session.shard.id == 0 && session.intents.contains(talk.in_private());
                self.tell_user(user, &dispatch, wants);
            }
        }
    }

    /// TYPING_START of someone at another control plane, which knows who is in the channel.
    pub(super) fn tell_typing_elsewhere(&mut self, id: ChannelId, user: UserId, recipients: &[UserId], at: Moment) {
        let d = json!({ "channel_id": id, "user_id": user, "timestamp": at.unix_ms / 1000 });
        let dispatch = LazyCell::new(|| Dispatch::new("TYPING_START", &d));
        let wants = |session: &Session| session.shard.id == 0 && session.intents.contains(Talk::Typing.in_private());
        for recipient in recipients.iter().filter(|recipient| self.accounts.contains_key(recipient)).copied().collect::<Vec<_>>()
        {
            self.tell_user(recipient, &dispatch, wants);
        }
    }

    /// Bots read the content of their DMs without MESSAGE_CONTENT.
    pub(super) fn tell_private_message(&mut self, name: &'static str, message: &Message) {
        if let Some(room) = self.privates.rooms.get_mut(&message.channel_id) {
            room.channel.last_message_id = room.channel.last_message_id.max(Some(message.id));
        }
        /// With the channel's type: by it libraries know what to make of a channel that they never saw.
        #[derive(Serialize)]
        struct InPrivate<'a> {
            channel_type: Option<ChannelType>,
            #[serde(flatten)]
            message: &'a Message,
        }
        let channel_type = self.private(message.channel_id).map(|channel| channel.kind);
        self.tell_recipients(message.channel_id, Talk::Messages, name, &InPrivate { channel_type, message });
    }

    pub(super) fn tell_personal(&mut self, user: UserId, news: Personal) {
        match news {
            Personal::Email { email } => {
                self.note_news(user);
                if let Some(account) = self.accounts.get_mut(&user) {
                    account.email = email;
                    let dispatch = super::greeting::user_update(account);
                    self.tell_user(user, &dispatch, |_| true);
                }
            }
            Personal::Settings { settings } => self.tell_person(user, "USER_SETTINGS_UPDATE", &settings),
            Personal::GuildSettings { settings } => self.tell_person(user, "USER_GUILD_SETTINGS_UPDATE", &settings),
            Personal::Note { id, note } => self.tell_person(user, "USER_NOTE_UPDATE", &json!({ "id": id, "note": note })),
            Personal::RelationshipAdd { relationship } => {
                self.tell_person(user, "RELATIONSHIP_ADD", &relationship);
                let is_friend = relationship.kind == RelationshipKind::Friend;
                self.set_friend(user, relationship.id, is_friend);
            }
            Personal::RelationshipUpdate { relationship } => self.tell_person(user, "RELATIONSHIP_UPDATE", &relationship),
            Personal::MessageAck { channel_id, message_id, mention_count, is_manual } => {
                let d = json!({
                    "channel_id": channel_id, "message_id": message_id, "mention_count": mention_count, "manual": is_manual,
                });
                self.tell_person(user, "MESSAGE_ACK", &d);
            }
            Personal::RelationshipRemove { id, kind } => {
                self.tell_person(user, "RELATIONSHIP_REMOVE", &json!({ "id": id, "type": kind }));
                self.set_friend(user, id, false);
            }
        }
    }

    /// Whether READY may speak of the channel: its existence is not told to those who do not see it.
    pub(super) fn may_hear_of(&self, user: UserId, channel: ChannelId, own: &[PrivateChannel]) -> bool {
        match self.channel_guild(channel).and_then(|guild| self.guild(guild)) {
            Some(state) => Viewers::of(state, channel, Permissions::VIEW_CHANNEL).include(user),
            None => own.iter().any(|own| own.id == channel),
        }
    }

    /// A new friend who is online is seen at once.
    fn set_friend(&mut self, user: UserId, other: UserId, is_friend: bool) {
        let Some(account) = self.accounts.get_mut(&user) else { return };
        if !is_friend {
            account.friends.remove(&other);
        } else if account.friends.insert(other)
            && let Some(presence) = self.friend_presence(other)
        {
            self.tell_person(user, "PRESENCE_UPDATE", &presence);
        }
    }

    /// What friends see of someone who is online, whether or not they share a guild.
    fn friend_presence(&self, user: UserId) -> Option<Value> {
        self.accounts.get(&user).filter(|account| account.shown.is_online()).map(presence)
    }

    pub(super) fn friend_presences(&self, friends: impl IntoIterator<Item = UserId>) -> Vec<Value> {
        friends.into_iter().filter_map(|friend| self.friend_presence(friend)).collect()
    }

    /// PRESENCE_UPDATE to the user's friends.
    pub(crate) fn tell_friends_presence(&mut self, user: UserId) {
        let Some(account) = self.accounts.get(&user) else { return };
        let online: Vec<UserId> = if account.is_here() {
            account.friends.iter().copied().filter(|friend| self.is_here(*friend)).collect()
        } else if account.user.bot {
            return;
        } else {
            // Another control plane knows the user's friends; here it is known whose friend the user is.
            self.accounts.iter().filter(|(_, other)| other.friends.contains(&user)).map(|(friend, _)| *friend).collect()
        };
        if online.is_empty() {
            return;
        }
        let dispatch = Dispatch::new("PRESENCE_UPDATE", &presence(account));
        for friend in online {
            self.tell_user(friend, &dispatch, |session| !session.is_bot && session.intents.contains(Intents::GUILD_PRESENCES));
        }
    }
}

fn presence(account: &Account) -> Value {
    let mut presence = account.shown.object(guildhall_protocol::GuildId::default(), account.user.id);
    presence["user"] = json!(account.user);
    if let Some(presence) = presence.as_object_mut() {
        presence.remove("guild_id");
    }
    presence
}

impl Event {
    /// The private channel that it happened in.
    pub(super) fn private_channel(&self) -> Option<ChannelId> {
        match self {
            Self::MessageCreate { guild_id: None, message } | Self::MessageUpdate { guild_id: None, message } => {
                Some(message.channel_id)
            }
            Self::MessageDelete { guild_id: None, channel_id, .. }
            | Self::MessageDeleteBulk { guild_id: None, channel_id, .. }
            | Self::ChannelPinsUpdate { guild_id: None, channel_id, .. }
            | Self::ReactionAdd { guild_id: None, channel_id, .. }
            | Self::ReactionRemove { guild_id: None, channel_id, .. }
            | Self::ReactionRemoveEmoji { guild_id: None, channel_id, .. }
            | Self::ReactionRemoveAll { guild_id: None, channel_id, .. } => Some(*channel_id),
            _ => None,
        }
    }
}
