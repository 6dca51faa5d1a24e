//! Threads: channels within a channel, which are archived when nobody writes in them.

use super::{ChannelType, Member};
use crate::{ChannelId, GuildId, MessageId, TagId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the reported number of members stops, as Discord's does.
pub const COUNTED_MEMBERS: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Thread {
    /// The id of the message that it was started from, if there is one.
    pub id: ChannelId,
    #[serde(rename = "type")]
    pub kind: ChannelType,
    pub guild_id: GuildId,
    pub parent_id: ChannelId,
    pub owner_id: UserId,
    pub name: String,
    pub last_message_id: Option<MessageId>,
    pub last_pin_timestamp: Option<String>,
    /// Slowmode in seconds, 0..=21600.
    pub rate_limit_per_user: u32,
    pub flags: u32,
    pub thread_metadata: ThreadMetadata,
    /// Messages in it, without the first one and deleted ones.
    pub message_count: u32,
    /// At most [`COUNTED_MEMBERS`].
    pub member_count: u32,
    /// Messages ever sent to it, without the first one.
    pub total_message_sent: u32,
    /// In a forum, at most five. One that the forum has no more is still told, and means nothing.
    #[serde(default)]
    pub applied_tags: Vec<TagId>,
    /// The reader's own membership, where it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<ThreadMember>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadMetadata {
    pub archived: bool,
    /// When `archived` last changed, or when it was made.
    pub archive_timestamp: String,
    /// Minutes: 60, 1440, 4320 or 10080.
    pub auto_archive_duration: u32,
    /// Only who manages threads may write in it or wake it.
    pub locked: bool,
    pub create_timestamp: String,
    /// Private threads only: whether members may add others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitable: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadMember {
    /// The thread.
    pub id: ChannelId,
    pub user_id: UserId,
    pub join_timestamp: String,
    pub flags: u32,
    /// The guild membership, where it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Box<Member>>,
}

impl Thread {
    pub fn is_private(&self) -> bool {
        self.kind == ChannelType::PrivateThread
    }

    /// Whether a message in it counts: its first one, which the thread has its id from, does not.
    pub fn counts(&self, message: MessageId) -> bool {
        message.0 != self.id.0
    }
}
