//! What happened: the facts that handlers store and sessions are told.
//!
//! A durable event is written to the outbox in the transaction that made it true, with the next sequence number of its
//! topic, and reaches the hub after the commit in that order. An ephemeral event (typing, presence, voice state) has no
//! sequence and no row: losing one is harmless.

mod people;

pub use people::{Personal, PrivateNews};

use guildhall_protocol::model::{
    AuditEntry, Channel, Emoji, Guild, Invite, Member, Message, PrivateChannel, ReactionEmoji, Role, Thread, ThreadMember, User,
};
use guildhall_protocol::{ChannelId, GuildId, MessageId, RoleId, UserId};
use serde::{Deserialize, Serialize};

/// What a sequence number counts within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Messages of one channel; for a private channel all that happens to it.
    Channel(ChannelId),
    /// Everything else of one guild.
    Guild(GuildId),
    /// An account: name, friends, what it has read and set.
    User(UserId),
}

/// A durable event. Serialized as `{"t": name, "d": {...}}` into the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "d")]
pub enum Event {
    GuildCreate {
        guild_id: GuildId,
    },
    GuildUpdate {
        guild: Box<Guild>,
    },
    GuildDelete {
        guild_id: GuildId,
    },
    ChannelCreate {
        channel: Box<Channel>,
    },
    ChannelUpdate {
        channel: Box<Channel>,
    },
    ChannelDelete {
        channel: Box<Channel>,
    },
    ThreadCreate {
        thread: Box<Thread>,
        members: Vec<ThreadMember>,
    },
    ThreadUpdate {
        /// As it is after the change.
        thread: Box<Thread>,
        /// Who is in a thread that was archived and is not any more.
        woken: Option<Vec<ThreadMember>>,
    },
    ThreadDelete {
        thread: Box<Thread>,
    },
    ThreadMembersUpdate {
        guild_id: GuildId,
        thread_id: ChannelId,
        member_count: u32,
        added: Vec<ThreadMember>,
        removed: Vec<UserId>,
    },
    RoleCreate {
        guild_id: GuildId,
        role: Box<Role>,
    },
    RoleUpdate {
        guild_id: GuildId,
        role: Box<Role>,
    },
    RoleDelete {
        guild_id: GuildId,
        role_id: RoleId,
    },
    MemberAdd {
        guild_id: GuildId,
        member: Box<Member>,
    },
    MemberUpdate {
        guild_id: GuildId,
        member: Box<Member>,
    },
    /// Left, kicked or banned.
    MemberRemove {
        guild_id: GuildId,
        user: Box<User>,
    },
    EmojisUpdate {
        guild_id: GuildId,
        /// All that there are now.
        emojis: Vec<Emoji>,
    },
    BanAdd {
        guild_id: GuildId,
        user: Box<User>,
    },
    BanRemove {
        guild_id: GuildId,
        user: Box<User>,
    },
    InviteCreate {
        guild_id: GuildId,
        channel_id: ChannelId,
        invite: Box<Invite>,
    },
    InviteDelete {
        guild_id: GuildId,
        channel_id: ChannelId,
        code: String,
    },
    /// A webhook of the channel was made, changed or deleted, or moved from or to it.
    WebhooksUpdate {
        guild_id: GuildId,
        channel_id: ChannelId,
    },
    MessageCreate {
        /// `None`: in a private channel.
        guild_id: Option<GuildId>,
        message: Box<Message>,
    },
    MessageUpdate {
        guild_id: Option<GuildId>,
        message: Box<Message>,
    },
    MessageDelete {
        guild_id: Option<GuildId>,
        channel_id: ChannelId,
        message_id: MessageId,
    },
    MessageDeleteBulk {
        guild_id: Option<GuildId>,
        channel_id: ChannelId,
        message_ids: Vec<MessageId>,
    },
    ReactionAdd {
        guild_id: Option<GuildId>,
        channel_id: ChannelId,
        message_id: MessageId,
        user_id: UserId,
        /// Who wrote the message.
        author_id: UserId,
        emoji: Box<ReactionEmoji>,
    },
    ReactionRemove {
        guild_id: Option<GuildId>,
        channel_id: ChannelId,
        message_id: MessageId,
        user_id: UserId,
        emoji: Box<ReactionEmoji>,
    },
    /// Everyone's reactions with one emoji.
    ReactionRemoveEmoji {
        guild_id: Option<GuildId>,
        channel_id: ChannelId,
        message_id: MessageId,
        emoji: Box<ReactionEmoji>,
    },
    ReactionRemoveAll {
        guild_id: Option<GuildId>,
        channel_id: ChannelId,
        message_id: MessageId,
    },
    /// Pinned or unpinned.
    ChannelPinsUpdate {
        guild_id: Option<GuildId>,
        channel_id: ChannelId,
        /// When the newest pin was pinned.
        last_pin_timestamp: Option<String>,
    },
    /// A line of the audit log, new.
    AuditEntryCreate {
        guild_id: GuildId,
        entry: Box<AuditEntry>,
    },
    UserUpdate {
        user: Box<User>,
    },
    PrivateChannel {
        /// As it is after the change, with all its recipients.
        channel: Box<PrivateChannel>,
        news: PrivateNews,
    },
    Personal {
        user_id: UserId,
        news: Personal,
    },
    /// What an account may do by its tokens changed. Nobody is told; every control plane asks the store anew.
    Access {
        user_id: UserId,
        ended: Ended,
    },
}

/// Tokens that are worthless from now on: sessions that were opened with them end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    Nothing,
    /// By their hashes.
    These(Vec<[u8; 32]>),
    All,
}

impl Event {
    /// The topic whose sequence this event takes the next number of.
    pub fn topic(&self) -> Topic {
        match self {
            Self::GuildCreate { guild_id }
            | Self::GuildDelete { guild_id }
            | Self::RoleCreate { guild_id, .. }
            | Self::RoleUpdate { guild_id, .. }
            | Self::RoleDelete { guild_id, .. }
            | Self::MemberAdd { guild_id, .. }
            | Self::MemberUpdate { guild_id, .. }
            | Self::MemberRemove { guild_id, .. }
            | Self::EmojisUpdate { guild_id, .. }
            | Self::BanAdd { guild_id, .. }
            | Self::BanRemove { guild_id, .. }
            | Self::InviteCreate { guild_id, .. }
            | Self::InviteDelete { guild_id, .. }
            | Self::WebhooksUpdate { guild_id, .. }
            | Self::AuditEntryCreate { guild_id, .. } => Topic::Guild(*guild_id),
            Self::GuildUpdate { guild } => Topic::Guild(guild.id),
            Self::ThreadCreate { thread, .. } | Self::ThreadUpdate { thread, .. } | Self::ThreadDelete { thread } => {
                Topic::Guild(thread.guild_id)
            }
            Self::ThreadMembersUpdate { guild_id, .. } => Topic::Guild(*guild_id),
            Self::ChannelCreate { channel } | Self::ChannelUpdate { channel } | Self::ChannelDelete { channel } => {
                Topic::Guild(channel.guild_id)
            }
            Self::MessageCreate { message, .. } | Self::MessageUpdate { message, .. } => Topic::Channel(message.channel_id),
            Self::MessageDelete { channel_id, .. }
            | Self::MessageDeleteBulk { channel_id, .. }
            | Self::ReactionAdd { channel_id, .. }
            | Self::ReactionRemove { channel_id, .. }
            | Self::ReactionRemoveEmoji { channel_id, .. }
            | Self::ReactionRemoveAll { channel_id, .. }
            | Self::ChannelPinsUpdate { channel_id, .. } => Topic::Channel(*channel_id),
            Self::UserUpdate { user } => Topic::User(user.id),
            Self::PrivateChannel { channel, .. } => Topic::Channel(channel.id),
            Self::Personal { user_id, .. } | Self::Access { user_id, .. } => Topic::User(*user_id),
        }
    }
}

/// A durable event after its commit, in commit order.
#[derive(Clone, Debug)]
pub struct Committed {
    pub topic: Topic,
    /// 1, 2, 3 … per topic without gaps. A subscriber that sees a gap reads the outbox.
    pub seq: u64,
    pub event: Event,
}
