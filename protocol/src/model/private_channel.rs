//! Channels outside of guilds: between two accounts, or in a group of people.

use super::{ChannelType, User};
use crate::{ChannelId, MessageId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A DM or a group DM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrivateChannel {
    pub id: ChannelId,
    #[serde(rename = "type")]
    pub kind: ChannelType,
    pub last_message_id: Option<MessageId>,
    pub last_pin_timestamp: Option<String>,
    pub flags: u32,
    /// Everyone in it, oldest first; on the wire without who reads it ([`PrivateChannel::seen_by`]).
    pub recipients: Vec<User>,
    /// Groups only.
    #[serde(flatten)]
    pub group: Option<Group>,
}

/// What a group has and a DM has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    pub name: Option<String>,
    pub icon: Option<String>,
    pub owner_id: UserId,
}

impl PrivateChannel {
    pub fn is_recipient(&self, user: UserId) -> bool {
        self.recipients.iter().any(|recipient| recipient.id == user)
    }

    pub fn is_group(&self) -> bool {
        self.group.is_some()
    }

    /// The other one in a DM.
    pub fn partner_of(&self, user: UserId) -> Option<&User> {
        if self.is_group() { None } else { self.recipients.iter().find(|recipient| recipient.id != user) }
    }

    /// As the wire shows it to one of its recipients: nobody is listed as one's own partner.
    #[must_use]
    pub fn seen_by(&self, user: UserId) -> Self {
        let recipients = self.recipients.iter().filter(|recipient| recipient.id != user).cloned().collect();
        Self { recipients, ..self.clone() }
    }
}
