//! What clients send, read leniently, and the few frames of the server that are not dispatches.

use super::{Intents, op};
use crate::fleet::RegionId;
use crate::{ChannelId, GuildId, Snowflake, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// A decoded client frame.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame {
    /// The last sequence number that the client has; `None` before the first dispatch.
    Heartbeat(Option<u64>),
    Identify(Identify),
    PresenceUpdate(PresenceUpdate),
    VoiceStateUpdate(VoiceStateUpdate),
    Resume(Resume),
    RequestMembers(RequestMembers),
    Subscribe(Vec<GuildSubscription>),
    /// A number that this server does not know: people's clients send many.
    Unknown(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("not a JSON object with an opcode")]
    NotAFrame,
    #[error("op {0} lacks a field that it needs, or has it in a wrong type")]
    BadPayload(u8),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Identify {
    pub token: String,
    /// Mandatory for bots; people's clients leave it out.
    pub intents: Option<Intents>,
    /// Guilds with more members than this are sent without the offline ones. 50..=250.
    pub large_threshold: usize,
    pub shard: Shard,
    pub presence: Option<PresenceUpdate>,
}

impl Identify {
    const LARGE_THRESHOLD: std::ops::RangeInclusive<u64> = 50..=250;
}

/// Which part of a bot's guilds a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    pub id: u32,
    pub count: u32,
}

impl Shard {
    /// The one session that is for everything.
    pub const WHOLE: Self = Self { id: 0, count: 1 };

    pub const fn is_valid(self) -> bool {
        self.count > 0 && self.id < self.count
    }

    pub const fn holds(self, guild: GuildId) -> bool {
        (guild.get() >> 22) % self.count as u64 == self.id as u64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Status {
    #[default]
    Online,
    Idle,
    Dnd,
    /// Present, but shown to others as offline. Libraries also send "offline" for it.
    Invisible,
}

impl Status {
    /// What others are shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Idle => "idle",
            Self::Dnd => "dnd",
            Self::Invisible => "offline",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct PresenceUpdate {
    pub status: Status,
    /// Activity objects as the client gave them, at most [`PresenceUpdate::MAX_ACTIVITIES`].
    pub activities: Vec<Value>,
}

impl PresenceUpdate {
    /// More than any client shows.
    pub const MAX_ACTIVITIES: usize = 5;

    /// Never fails: a library's odd presence must not cost it its login.
    fn read(value: &Value) -> Self {
        let status = match value["status"].as_str() {
            Some("idle") => Status::Idle,
            Some("dnd") => Status::Dnd,
            Some("invisible" | "offline") => Status::Invisible,
            _ => Status::Online,
        };
        let activities = value["activities"].as_array().map_or(&[][..], Vec::as_slice);
        let is_named = |activity: &&Value| activity["name"].is_string();
        Self { status, activities: activities.iter().filter(is_named).take(Self::MAX_ACTIVITIES).cloned().collect() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoiceStateUpdate {
    pub guild_id: GuildId,
    /// `None`: leave.
    pub channel_id: Option<ChannelId>,
    pub self_mute: bool,
    pub self_deaf: bool,
    pub self_video: bool,
    /// An addition of ours: `"region_rtts": {"eu-west": 12, …}`, the round-trip times in milliseconds that the client measured
    /// to regions (`GET /voice/regions` says where to). Empty: it measured none; what it said before holds.
    pub region_rtts: Vec<(RegionId, u16)>,
}

impl VoiceStateUpdate {
    /// Regions that one client reports on; more are ignored. The largest operators have some forty.
    pub const MAX_REGIONS: usize = 64;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    pub token: String,
    pub session_id: String,
    pub seq: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestMembers {
    pub guild_id: GuildId,
    pub wanted: WantedMembers,
    pub presences: bool,
    /// Echoed in every chunk; one that is longer than 32 bytes is dropped, as documented.
    pub nonce: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedMembers {
    /// Names that start so, at most `limit` (0 = no limit; everyone if `query` is empty).
    Query {
        query: String,
        limit: usize,
    },
    Ids(Vec<UserId>),
}

/// Lines of a member list, both ends included.
pub type Ranges = Vec<(usize, usize)>;

/// The parts of a guild's member lists that a person's client shows (ops 14 and 37).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuildSubscription {
    pub guild_id: GuildId,
    /// For each channel the lines that are shown. `None`: the frame says nothing of channels.
    pub channels: Option<Vec<(ChannelId, Ranges)>>,
}

impl GuildSubscription {
    /// Clients show one channel's list; some ask for the one before it, too.
    pub const MAX_CHANNELS: usize = 5;
    /// What a screen shows, what is above and below it, and the top.
    pub const MAX_RANGES: usize = 5;
    /// Lines of a range (documented by what clients send).
    pub const MAX_LINES: usize = 100;

    /// Never fails as a whole: what is odd in it is left out.
    fn read(guild_id: GuildId, d: &Value) -> Self {
        let range = |range: &Value| {
            let (first, last) = (range[0].as_u64()? as usize, range[1].as_u64()? as usize);
            (first <= last && last < first.saturating_add(Self::MAX_LINES)).then_some((first, last))
        };
        let channel = |(id, ranges): (&String, &Value)| {
            let ranges = ranges.as_array()?.iter().filter_map(range).take(Self::MAX_RANGES).collect::<Vec<_>>();
            let id = snowflake(&Value::String(id.clone()))?;
            (!ranges.is_empty()).then_some((ChannelId(id), ranges))
        };
        let channels =
            d["channels"].as_object().map(|channels| channels.iter().filter_map(channel).take(Self::MAX_CHANNELS).collect());
        Self { guild_id, channels }
    }
}

impl WantedMembers {
    /// Whether it asks for a whole guild.
    pub fn is_everyone(&self) -> bool {
        matches!(self, Self::Query { query, limit: 0 } if query.is_empty())
    }
}

impl RequestMembers {
    /// The documented limit of `user_ids`; also the largest `limit` with a non-empty query.
    pub const MAX_IDS: usize = 100;
    const MAX_NONCE: usize = 32;
}

impl ClientFrame {
    pub fn read(text: &str) -> Result<Self, FrameError> {
        // Nearly every frame of an idle client is one of these, and this reads it without building a tree.
        if let Ok(Beat { op: op::HEARTBEAT, d }) = serde_json::from_str(text) {
            return Ok(Self::Heartbeat(d.and_then(|seq| u64::try_from(seq).ok())));
        }
        let frame: Value = serde_json::from_str(text).map_err(|_| FrameError::NotAFrame)?;
        let opcode = frame.as_object().and_then(|frame| frame.get("op")).and_then(Value::as_u64).ok_or(FrameError::NotAFrame)?;
        let Ok(opcode) = u8::try_from(opcode) else {
            return Ok(Self::Unknown(opcode));
        };
        let d = &frame["d"];
        let read = match opcode {
            op::HEARTBEAT => read_heartbeat(d).map(Self::Heartbeat),
            op::IDENTIFY => read_identify(d).map(Self::Identify),
            op::PRESENCE_UPDATE => d.is_object().then(|| Self::PresenceUpdate(PresenceUpdate::read(d))),
            op::VOICE_STATE_UPDATE => read_voice_state(d).map(Self::VoiceStateUpdate),
            op::RESUME => read_resume(d).map(Self::Resume),
            op::REQUEST_GUILD_MEMBERS => read_request(d).map(Self::RequestMembers),
            op::GUILD_SUBSCRIPTIONS => {
                let guild = snowflake(&d["guild_id"]).map(GuildId);
                Some(Self::Subscribe(guild.map(|guild| GuildSubscription::read(guild, d)).into_iter().collect()))
            }
            op::GUILD_SUBSCRIPTIONS_BULK => {
                let guild = |(id, d): (&String, &Value)| {
                    Some(GuildSubscription::read(GuildId(snowflake(&Value::String(id.clone()))?), d))
                };
                Some(Self::Subscribe(d["subscriptions"].as_object().into_iter().flatten().filter_map(guild).collect()))
            }
            _ => Some(Self::Unknown(u64::from(opcode))),
        };
        read.ok_or(FrameError::BadPayload(opcode))
    }
}

/// A heartbeat in its usual form.
#[derive(Deserialize)]
struct Beat {
    op: u8,
    d: Option<i64>,
}

/// `d` is a sequence number or null; an object `{"seq": n}` is what newer people's clients send.
fn read_heartbeat(d: &Value) -> Option<Option<u64>> {
    match d {
        Value::Null => Some(None),
        Value::Object(fields) => Some(fields.get("seq").and_then(Value::as_u64)),
        // A client that has seen nothing yet may say -1.
        _ => d.as_i64().map(|seq| u64::try_from(seq).ok()),
    }
}

fn read_identify(d: &Value) -> Option<Identify> {
    let intents = match &d["intents"] {
        Value::Null => None,
        intents => Some(Intents(intents.as_u64().or_else(|| intents.as_str()?.parse().ok())?)),
    };
    let shard = match d["shard"].as_array().map(Vec::as_slice) {
        None => Shard::WHOLE,
        Some([id, count]) => Shard { id: u32::try_from(id.as_u64()?).ok()?, count: u32::try_from(count.as_u64()?).ok()? },
        Some(_) => return None,
    };
    let threshold = d["large_threshold"].as_u64().unwrap_or(*Identify::LARGE_THRESHOLD.start());
    Some(Identify {
        token: d["token"].as_str()?.to_owned(),
        intents,
        large_threshold: threshold.clamp(*Identify::LARGE_THRESHOLD.start(), *Identify::LARGE_THRESHOLD.end()) as usize,
        shard,
        presence: d["presence"].is_object().then(|| PresenceUpdate::read(&d["presence"])),
    })
}

fn read_voice_state(d: &Value) -> Option<VoiceStateUpdate> {
    let channel_id = match &d["channel_id"] {
        Value::Null => None,
        id => Some(ChannelId(snowflake(id)?)),
    };
    let flag = |name: &str| d[name].as_bool().unwrap_or(false);
    Some(VoiceStateUpdate {
        guild_id: GuildId(snowflake(&d["guild_id"])?),
        channel_id,
        self_mute: flag("self_mute"),
        self_deaf: flag("self_deaf"),
        self_video: flag("self_video"),
        region_rtts: read_rtts(d),
    })
}

/// Each region's round-trip time; what is no region or no number is left out. Discord's own clients send `preferred_regions`,
/// a list with the nearest first: its order is taken for distances that differ by enough to count.
fn read_rtts(d: &Value) -> Vec<(RegionId, u16)> {
    const STEP_MS: u16 = 30;
    if let Some(measured) = d["region_rtts"].as_object() {
        let times =
            measured.iter().filter_map(|(region, ms)| Some((region.parse().ok()?, ms.as_f64()?.clamp(0.0, 10_000.0) as u16)));
        return times.take(VoiceStateUpdate::MAX_REGIONS).collect();
    }
    let ranked = d["preferred_regions"].as_array().map_or(&[][..], Vec::as_slice);
    let regions = ranked.iter().filter_map(|region| region.as_str()?.parse().ok());
    regions.take(VoiceStateUpdate::MAX_REGIONS).zip(1..).map(|(region, rank)| (region, rank * STEP_MS)).collect()
}

fn read_resume(d: &Value) -> Option<Resume> {
    Some(Resume {
        token: d["token"].as_str()?.to_owned(),
        session_id: d["session_id"].as_str()?.to_owned(),
        // A client that was cut off before READY's number reached it has none.
        seq: if d["seq"].is_null() { 0 } else { d["seq"].as_u64()? },
    })
}

fn read_request(d: &Value) -> Option<RequestMembers> {
    // Old libraries send a list with one guild.
    let guild_id = d["guild_id"].as_array().map_or(&d["guild_id"], |ids| ids.first().unwrap_or(&Value::Null));
    let wanted = match &d["user_ids"] {
        Value::Null => WantedMembers::Query {
            query: d["query"].as_str().unwrap_or_default().to_owned(),
            limit: usize::try_from(d["limit"].as_u64().unwrap_or(0)).ok()?,
        },
        Value::Array(ids) if ids.len() <= RequestMembers::MAX_IDS => {
            WantedMembers::Ids(ids.iter().map(|id| snowflake(id).map(UserId)).collect::<Option<_>>()?)
        }
        Value::Array(_) => return None,
        id => WantedMembers::Ids(vec![UserId(snowflake(id)?)]),
    };
    Some(RequestMembers {
        guild_id: GuildId(snowflake(guild_id)?),
        wanted,
        presences: d["presences"].as_bool().unwrap_or(false),
        nonce: d["nonce"].as_str().filter(|nonce| nonce.len() <= RequestMembers::MAX_NONCE).map(str::to_owned),
    })
}

fn snowflake(value: &Value) -> Option<Snowflake> {
    Snowflake::deserialize(value).ok()
}

pub fn hello(heartbeat_interval: Duration) -> String {
    let interval = heartbeat_interval.as_millis();
    format!(r#"{{"t":null,"s":null,"op":10,"d":{{"heartbeat_interval":{interval},"_trace":[]}}}}"#)
}

pub const fn heartbeat_ack() -> &'static str {
    r#"{"t":null,"s":null,"op":11,"d":null}"#
}

/// The server's own op 1: the client answers at once.
pub const fn heartbeat_request() -> &'static str {
    r#"{"t":null,"s":null,"op":1,"d":null}"#
}

pub const fn reconnect() -> &'static str {
    r#"{"t":null,"s":null,"op":7,"d":null}"#
}

pub const fn invalid_session(is_resumable: bool) -> &'static str {
    if is_resumable { r#"{"t":null,"s":null,"op":9,"d":true}"# } else { r#"{"t":null,"s":null,"op":9,"d":false}"# }
}
