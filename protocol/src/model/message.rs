//! Messages.

use super::{Attachment, Empty, Member, Reaction, Thread, User};
use crate::{ApplicationId, ChannelId, GuildId, MessageId, RoleId, WebhookId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A client's own key for a message, echoed back: a string of at most 25 characters or an integer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Nonce {
    Number(i64),
    Text(String),
}

/// The flag of a message that a thread was started from.
pub const HAS_THREAD: u32 = 1 << 5;
/// The flag of a forward.
pub const HAS_SNAPSHOT: u32 = 1 << 14;

/// A message as REST and MESSAGE_CREATE / MESSAGE_UPDATE write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    pub id: MessageId,
    pub channel_id: ChannelId,
    /// Gateway events only; REST leaves it out as Discord does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<GuildId>,
    pub author: User,
    /// Gateway events only: the author's membership without its `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<serde_json::Value>,
    pub content: String,
    pub timestamp: String,
    pub edited_timestamp: Option<String>,
    pub tts: bool,
    pub mention_everyone: bool,
    pub mentions: Vec<User>,
    pub mention_roles: Vec<RoleId>,
    pub attachments: Vec<Attachment>,
    pub embeds: Vec<serde_json::Value>,
    pub pinned: bool,
    /// 0 default, 7 member joined, 19 reply.
    #[serde(rename = "type")]
    pub kind: u8,
    pub flags: u32,
    pub components: Vec<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_reference: Option<MessageReference>,
    /// Present for replies; `null` inside when the original was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referenced_message: Option<Option<Box<Message>>>,
    #[serde(default)]
    pub sticker_items: Empty,
    /// Set if no account sent it: `author` is then what the webhook (or the interaction's application) calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_id: Option<WebhookId>,
    /// Set on answers to interactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_id: Option<ApplicationId>,
    /// Which interaction it answers, in the documented form …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction_metadata: Option<serde_json::Value>,
    /// … and in the deprecated one, which libraries still read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<serde_json::Value>,
    /// What a forward shows of its original, unchanged by later edits of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub message_snapshots: Vec<MessageSnapshot>,
    /// The thread that was started from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Box<Thread>>,
    /// REST reads only: whose `me` would an event say?
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageReference {
    /// 0 reply, 1 forward.
    #[serde(default, rename = "type")]
    pub kind: u8,
    /// `None`: a channel as such, as in the news that a thread was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<ChannelId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<GuildId>,
}

/// What a forward shows of its original: not who wrote it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSnapshot {
    pub message: SnapshotMessage,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotMessage {
    #[serde(rename = "type")]
    pub kind: u8,
    pub content: String,
    pub mentions: Vec<User>,
    pub mention_roles: Vec<RoleId>,
    /// Copies, which belong to the forward.
    pub attachments: Vec<Attachment>,
    pub embeds: Vec<serde_json::Value>,
    pub timestamp: String,
    pub edited_timestamp: Option<String>,
    pub flags: u32,
    pub components: Vec<serde_json::Value>,
    #[serde(default)]
    pub sticker_items: Empty,
}

impl SnapshotMessage {
    /// The message as it is now; a forward's own original, if it is one.
    pub fn of(message: &Message) -> Self {
        if let Some(snapshot) = message.message_snapshots.first() {
            return snapshot.message.clone();
        }
        Self {
            kind: message.kind,
            content: message.content.clone(),
            mentions: message.mentions.clone(),
            mention_roles: message.mention_roles.clone(),
            attachments: message.attachments.clone(),
            embeds: message.embeds.clone(),
            timestamp: message.timestamp.clone(),
            edited_timestamp: message.edited_timestamp.clone(),
            flags: message.flags,
            components: message.components.clone(),
            sticker_items: [],
        }
    }
}

impl Message {
    /// Kinds 0 (someone wrote it), 19 (as a reply), 20 and 23 (as the answer to a command); the others say that something
    /// happened.
    pub const fn is_written(&self) -> bool {
        matches!(self.kind, 0 | 19 | 20 | 23)
    }

    /// A plain message by an account, without an id: the store gives it one, and its moment.
    pub fn new(channel_id: ChannelId, author: User, content: String) -> Self {
        Self {
            id: MessageId::default(),
            channel_id,
            guild_id: None,
            author,
            member: None,
            content,
            timestamp: String::new(),
            edited_timestamp: None,
            tts: false,
            mention_everyone: false,
            mentions: Vec::new(),
            mention_roles: Vec::new(),
            attachments: Vec::new(),
            embeds: Vec::new(),
            pinned: false,
            kind: 0,
            flags: 0,
            components: Vec::new(),
            nonce: None,
            message_reference: None,
            referenced_message: None,
            sticker_items: [],
            webhook_id: None,
            application_id: None,
            interaction_metadata: None,
            interaction: None,
            message_snapshots: Vec::new(),
            thread: None,
            reactions: Vec::new(),
        }
    }
}

/// A pinned message, as the list of pins shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pin {
    pub pinned_at: String,
    pub message: Message,
}

/// The author's membership in the form that message and voice events nest it: a member without `user`.
pub fn partial_member(member: &Member) -> serde_json::Value {
    let mut value = serde_json::to_value(member).expect("a member is plain data");
    if let Some(object) = value.as_object_mut() {
        object.remove("user");
    }
    value
}
