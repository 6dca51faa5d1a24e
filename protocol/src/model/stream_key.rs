//! Stream keys: what programs without an account publish to a voice channel and watch it with.

use crate::{ChannelId, StreamKeyId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody's key for one voice channel. Whoever has it is there as them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamKey {
    pub id: StreamKeyId,
    pub channel_id: ChannelId,
    pub user_id: UserId,
    /// What its owner knows it by.
    pub name: String,
    /// ISO 8601.
    pub created_at: String,
    /// The bearer token. Shown once, when it is made: the server keeps a hash of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where to publish (RFC 9725).
    pub whip_url: String,
    /// Where to watch.
    pub whep_url: String,
}
