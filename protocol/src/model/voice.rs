//! Voice states and regions.

use super::Member;
use crate::{ChannelId, GuildId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a user is connected and how: VOICE_STATE_UPDATE, and (without `member`) GUILD_CREATE.voice_states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VoiceState {
    pub guild_id: GuildId,
    /// `null`: not connected any more.
    pub channel_id: Option<ChannelId>,
    pub user_id: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Member>,
    pub session_id: String,
    /// Server-deafened.
    pub deaf: bool,
    /// Server-muted.
    pub mute: bool,
    pub self_deaf: bool,
    pub self_mute: bool,
    pub self_video: bool,
    pub self_stream: bool,
    pub suppress: bool,
    pub request_to_speak_timestamp: Option<String>,
}

/// `GET /voice/regions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoiceRegion {
    pub id: String,
    pub name: String,
    pub optimal: bool,
    pub deprecated: bool,
    pub custom: bool,
    /// An addition of ours: addresses that answer a GET at once, for clients to measure their distance with. A path alone is
    /// on the host of the API.
    #[serde(default)]
    pub probes: Vec<String>,
}
