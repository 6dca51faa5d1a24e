//! Recordings of voice channels.

use crate::{ChannelId, GuildId, RecordingId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// That a voice channel is being recorded, as everyone who sees the channel sees it. A key of ours in the channel's object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelRecording {
    pub id: RecordingId,
    /// Who began it.
    pub user_id: UserId,
    /// ISO 8601.
    pub started_at: String,
    /// Whether cameras and screens are recorded, too.
    #[serde(default)]
    pub video: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    Recording,
    /// It was stopped; the last seconds are on their way.
    Ending,
    Done,
    /// Its voice node was lost. What was stored until then is kept.
    Interrupted,
}

/// One recording, with its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recording {
    pub id: RecordingId,
    pub guild_id: GuildId,
    pub channel_id: ChannelId,
    /// Who began it.
    pub user_id: UserId,
    pub state: RecordingState,
    /// ISO 8601. What the tracks' times count from.
    pub started_at: String,
    pub ended_at: Option<String>,
    /// When it is deleted; `null` while it is recorded.
    pub expires_at: Option<String>,
    /// Whether cameras and screens were recorded, too.
    pub video: bool,
    /// Bytes of all files.
    pub size: u64,
    /// By their beginnings.
    pub tracks: Vec<RecordingTrack>,
}

/// What a track shows or lets hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackKind {
    Voice,
    Camera,
    Screen,
}

/// What one user said, from the first word on, or showed, from one key frame on: a file that plays, also while it is still
/// growing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordingTrack {
    pub user_id: UserId,
    pub kind: TrackKind,
    /// Milliseconds from the recording's beginning to the track's: laid side by side so, tracks are in time with each other.
    pub start_ms: u64,
    pub length_ms: u64,
    pub size: u64,
    /// Packets that are missing: of a voice because something could not keep up (what a speaker's network lost is not counted),
    /// of pictures all that were left out, because nothing could be decoded without those that never came.
    pub lost_packets: u64,
    pub content_type: String,
    pub filename: String,
    /// Works without a token, for a day.
    pub url: String,
}
