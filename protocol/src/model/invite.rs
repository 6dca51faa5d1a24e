//! Invites.

use super::{ChannelType, User};
use crate::{ChannelId, GuildId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A guild invite with its metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Invite {
    /// 0: guild.
    #[serde(rename = "type")]
    pub kind: u8,
    pub code: String,
    pub guild_id: GuildId,
    pub guild: InviteGuild,
    pub channel: InviteChannel,
    pub inviter: Option<User>,
    pub expires_at: Option<String>,
    pub created_at: String,
    pub uses: u32,
    /// 0: no limit.
    pub max_uses: u32,
    /// Seconds; 0: never expires.
    pub max_age: u32,
    pub temporary: bool,
    pub flags: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approximate_member_count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approximate_presence_count: Option<u32>,
}

/// What a non-member may know of the guild.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InviteGuild {
    pub id: GuildId,
    pub name: String,
    pub icon: Option<String>,
    pub description: Option<String>,
    pub splash: Option<String>,
    pub banner: Option<String>,
    pub features: Vec<String>,
    pub verification_level: u8,
    pub vanity_url_code: Option<String>,
    pub nsfw: bool,
    pub nsfw_level: u8,
    pub premium_subscription_count: u32,
    pub premium_tier: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InviteChannel {
    pub id: ChannelId,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ChannelType,
}
