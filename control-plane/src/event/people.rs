//! What happens outside of guilds: to a private channel, or to one account's own things.

use guildhall_protocol::model::{Relationship, RelationshipKind, User};
use guildhall_protocol::{ChannelId, MessageId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happened to a private channel; the event carries the channel as it is afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PrivateNews {
    /// It came into the lists of these recipients.
    Opened {
        users: Vec<UserId>,
    },
    Changed,
    /// It went from one recipient's list.
    Closed {
        user_id: UserId,
    },
    Joined {
        user: Box<User>,
    },
    /// With the last one the channel is gone.
    Left {
        user: Box<User>,
    },
}

/// What only the sessions of one account are told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Personal {
    /// The address that one logs in with.
    Email {
        email: Option<String>,
    },
    /// All settings as they are now.
    Settings {
        settings: Value,
    },
    /// What is set about one guild, or about private channels, as it is now.
    GuildSettings {
        settings: Value,
    },
    /// What was noted about someone; empty: nothing any more.
    Note {
        id: UserId,
        note: String,
    },
    /// A new one, or one of another kind than before.
    RelationshipAdd {
        relationship: Box<Relationship>,
    },
    RelationshipUpdate {
        relationship: Box<Relationship>,
    },
    RelationshipRemove {
        id: UserId,
        kind: RelationshipKind,
    },
    /// A channel was read up to a message. `mention_count`: of those after it.
    MessageAck {
        channel_id: ChannelId,
        message_id: MessageId,
        mention_count: u32,
        is_manual: bool,
    },
}
