//! Guilds, their roles and members.

use super::{Channel, Emoji, Empty, User, VoiceState};
use crate::{ApplicationId, ChannelId, GuildId, Permissions, RoleId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A guild as `GET /guilds/{id}` and GUILD_UPDATE write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Guild {
    pub id: GuildId,
    pub name: String,
    pub icon: Option<String>,
    pub description: Option<String>,
    pub home_header: Option<String>,
    pub splash: Option<String>,
    pub discovery_splash: Option<String>,
    pub features: Vec<String>,
    pub banner: Option<String>,
    pub owner_id: UserId,
    pub application_id: Option<ApplicationId>,
    pub region: String,
    pub afk_channel_id: Option<ChannelId>,
    /// Seconds; one of 60, 300, 900, 1800, 3600.
    pub afk_timeout: u32,
    pub system_channel_id: Option<ChannelId>,
    pub system_channel_flags: u32,
    pub widget_enabled: bool,
    pub widget_channel_id: Option<ChannelId>,
    pub verification_level: u8,
    pub roles: Vec<Role>,
    pub default_message_notifications: u8,
    pub mfa_level: u8,
    pub explicit_content_filter: u8,
    pub max_presences: Option<u32>,
    pub max_members: u32,
    pub max_stage_video_channel_users: u32,
    pub max_video_channel_users: u32,
    pub vanity_url_code: Option<String>,
    pub premium_tier: u8,
    pub premium_subscription_count: u32,
    pub preferred_locale: String,
    pub rules_channel_id: Option<ChannelId>,
    pub safety_alerts_channel_id: Option<ChannelId>,
    pub public_updates_channel_id: Option<ChannelId>,
    pub premium_progress_bar_enabled: bool,
    pub nsfw: bool,
    pub nsfw_level: u8,
    pub emojis: Vec<Emoji>,
    pub stickers: Vec<serde_json::Value>,
    pub incidents_data: Option<serde_json::Value>,
}

impl Guild {
    /// A new guild with Discord's defaults and no roles yet.
    pub fn new(id: GuildId, name: String, owner_id: UserId) -> Self {
        Self {
            id,
            name,
            icon: None,
            description: None,
            home_header: None,
            splash: None,
            discovery_splash: None,
            features: Vec::new(),
            banner: None,
            owner_id,
            application_id: None,
            region: "automatic".to_owned(),
            afk_channel_id: None,
            afk_timeout: 300,
            system_channel_id: None,
            system_channel_flags: 0,
            widget_enabled: false,
            widget_channel_id: None,
            verification_level: 0,
            roles: Vec::new(),
            default_message_notifications: 0,
            mfa_level: 0,
            explicit_content_filter: 0,
            max_presences: None,
            max_members: 500_000,
            max_stage_video_channel_users: 50,
            max_video_channel_users: 25,
            vanity_url_code: None,
            premium_tier: 0,
            premium_subscription_count: 0,
            preferred_locale: "en-US".to_owned(),
            rules_channel_id: None,
            safety_alerts_channel_id: None,
            public_updates_channel_id: None,
            premium_progress_bar_enabled: false,
            nsfw: false,
            nsfw_level: 0,
            emojis: Vec::new(),
            stickers: Vec::new(),
            incidents_data: None,
        }
    }
}

/// What READY lists for each guild before its GUILD_CREATE arrives, and what GUILD_DELETE carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnavailableGuild {
    pub id: GuildId,
    /// `true`: not loaded yet, or an outage. `false` in GUILD_DELETE: the user is no longer a member.
    pub unavailable: bool,
}

/// The GUILD_CREATE dispatch: the guild and everything in it that this session may see.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GuildCreate {
    #[serde(flatten)]
    pub guild: Guild,
    pub joined_at: String,
    pub large: bool,
    /// discord.js keeps a guild unavailable unless this is present and false.
    pub unavailable: bool,
    pub member_count: u32,
    pub voice_states: Vec<VoiceState>,
    pub members: Vec<Member>,
    pub channels: Vec<Channel>,
    pub threads: Vec<Channel>,
    pub presences: Vec<serde_json::Value>,
    pub stage_instances: Empty,
    pub guild_scheduled_events: Empty,
    pub soundboard_sounds: Empty,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Role {
    pub id: RoleId,
    pub name: String,
    pub permissions: Permissions,
    pub position: i32,
    pub color: u32,
    pub colors: RoleColors,
    pub hoist: bool,
    pub managed: bool,
    pub mentionable: bool,
    pub icon: Option<String>,
    pub unicode_emoji: Option<String>,
    /// Only managed roles have tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<RoleTags>,
    pub flags: u32,
}

impl Role {
    /// A plain role: no colour, not hoisted, not mentionable.
    pub fn new(id: RoleId, name: String, permissions: Permissions, position: i32) -> Self {
        Self {
            id,
            name,
            permissions,
            position,
            color: 0,
            colors: RoleColors::default(),
            hoist: false,
            managed: false,
            mentionable: false,
            icon: None,
            unicode_emoji: None,
            tags: None,
            flags: 0,
        }
    }
}

/// What a managed role belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleTags {
    /// The bot that came with this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_id: Option<UserId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleColors {
    pub primary_color: u32,
    pub secondary_color: Option<u32>,
    pub tertiary_color: Option<u32>,
}

/// A member as it is stored and sent; `user` is always present in what we write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    pub user: User,
    pub nick: Option<String>,
    pub avatar: Option<String>,
    pub banner: Option<String>,
    /// Role ids without `@everyone`.
    pub roles: Vec<RoleId>,
    pub joined_at: String,
    pub premium_since: Option<String>,
    /// Server-deafened.
    pub deaf: bool,
    /// Server-muted.
    pub mute: bool,
    pub flags: u32,
    pub pending: bool,
    /// Timed out until this moment.
    pub communication_disabled_until: Option<String>,
    pub avatar_decoration_data: Option<()>,
    pub collectibles: Option<()>,
}

impl Member {
    pub fn new(user: User, joined_at: String) -> Self {
        Self {
            user,
            nick: None,
            avatar: None,
            banner: None,
            roles: Vec::new(),
            joined_at,
            premium_since: None,
            deaf: false,
            mute: false,
            flags: 0,
            pending: false,
            communication_disabled_until: None,
            avatar_decoration_data: None,
            collectibles: None,
        }
    }
}
