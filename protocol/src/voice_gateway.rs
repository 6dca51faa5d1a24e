//! The voice gateway (signaling) wire: opcodes, close codes and payloads of versions 4 to 9.
//!
//! Reading is lenient, because libraries differ: ids and session ids come as strings or integers, heartbeats as an integer
//! (below version 8) or as `{t, seq_ack}`, unknown fields are ignored. Writing is one form, plus a top-level `seq` on
//! replayable messages from version 8 on.

use crate::Snowflake;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;
use std::net::{IpAddr, SocketAddr};

/// The oldest version that a client in use asks for, and what a missing `v` means (discordgo sends none).
pub const VERSION_MIN: u8 = 4;
pub const VERSION_MAX: u8 = 9;
/// From here on messages carry `seq`, heartbeats `seq_ack`, and a resume replays what was missed.
pub const VERSION_BUFFERED_RESUME: u8 = 8;

/// Opcodes that the server sends or understands. The others of the table (DAVE 21-31, 32 no route …) are read as
/// [`ClientFrame::Ignored`].
pub mod opcode {
    pub const IDENTIFY: u8 = 0;
    pub const SELECT_PROTOCOL: u8 = 1;
    pub const READY: u8 = 2;
    pub const HEARTBEAT: u8 = 3;
    pub const SESSION_DESCRIPTION: u8 = 4;
    pub const SPEAKING: u8 = 5;
    pub const HEARTBEAT_ACK: u8 = 6;
    pub const RESUME: u8 = 7;
    pub const HELLO: u8 = 8;
    pub const RESUMED: u8 = 9;
    pub const CLIENTS_CONNECT: u8 = 11;
    pub const VIDEO: u8 = 12;
    pub const CLIENT_DISCONNECT: u8 = 13;
    pub const SESSION_UPDATE: u8 = 14;
    pub const MEDIA_SINK_WANTS: u8 = 15;
    pub const BACKEND_VERSION: u8 = 16;
    /// Opcodes of our own, far above Discord's and for WebRTC clients alone. Clients ignore opcodes that they do not know, and
    /// bots, which speak the native transport, never see these.
    ///
    /// To a client: `{score, loss_up, loss_down, jitter_ms, round_trip_ms}`.
    pub const QUALITY: u8 = 200;
    /// From a client: what it shows in its video slots, each time all of it. To a client: who is in which.
    pub const VIDEO_SLOTS: u8 = 201;
    /// To a client that publishes: which encodings are worth sending.
    pub const LAYERS: u8 = 202;
    /// To a client: which of its video slots get a smaller picture than it shows, or none, because its network carries no more.
    pub const NARROWED: u8 = 203;
    /// From a client: whom it hears whoever else talks, each time all of them.
    pub const PINS: u8 = 204;
    /// To a client: the codecs that everybody in the room decodes who is shown videos; with others some would not see it.
    pub const CODECS: u8 = 205;
    /// The highest opcode that is documented anywhere; above it a client is closed with 4001.
    pub const LAST_KNOWN: u8 = 32;
}

/// Why the voice socket closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The process stops (RFC 6455 §7.4.1); clients try to resume and then ask the main gateway.
    GoingAway = 1001,
    UnknownOpcode = 4001,
    DecodeError = 4002,
    NotAuthenticated = 4003,
    AuthenticationFailed = 4004,
    AlreadyAuthenticated = 4005,
    SessionInvalid = 4006,
    SessionTimedOut = 4009,
    ServerNotFound = 4011,
    UnknownProtocol = 4012,
    /// Left, moved, kicked or replaced: do not reconnect.
    Disconnected = 4014,
    /// The node failed, or could not keep up with this client: resume.
    ServerCrashed = 4015,
    UnknownMode = 4016,
    BadRequest = 4020,
    RateLimited = 4021,
}

impl CloseCode {
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The reason phrase of the close frame (at most 123 bytes, RFC 6455 §5.5).
    pub const fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "The server is shutting down.",
            Self::UnknownOpcode => "Unknown opcode.",
            Self::DecodeError => "The payload could not be decoded.",
            Self::NotAuthenticated => "Not authenticated: identify first.",
            Self::AuthenticationFailed => "Authentication failed.",
            Self::AlreadyAuthenticated => "Already authenticated.",
            Self::SessionInvalid => "Session is no longer valid.",
            Self::SessionTimedOut => "Session timed out.",
            Self::ServerNotFound => "Server not found.",
            Self::UnknownProtocol => "Unknown protocol.",
            Self::Disconnected => "Disconnected.",
            Self::ServerCrashed => "The voice server failed: resume.",
            Self::UnknownMode => "Unknown encryption mode.",
            Self::BadRequest => "Bad request.",
            Self::RateLimited => "Too many messages.",
        }
    }
}

/// Op 5 bits.
pub mod speaking {
    pub const MICROPHONE: u8 = 1;
    pub const SOUNDSHARE: u8 = 2;
    pub const PRIORITY: u8 = 4;
}

/// The encryption modes of the `udp` protocol that we offer, in the order of op 2: libraries take the first they know.
pub const MODE_AES256_GCM: &str = "aead_aes256_gcm_rtpsize";
pub const MODE_XCHACHA20_POLY1305: &str = "aead_xchacha20_poly1305_rtpsize";
pub const MODES: [&str; 2] = [MODE_AES256_GCM, MODE_XCHACHA20_POLY1305];

/// Why a client frame is refused; each has its close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("not the JSON of a voice gateway frame")]
    Malformed,
    #[error("opcode {0} is not one that a client may send")]
    UnknownOpcode(u8),
}

/// What a client says, already checked for form.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame {
    Identify(Identify),
    SelectProtocol(SelectProtocol),
    Heartbeat(Heartbeat),
    Speaking(ClientSpeaking),
    Resume(Resume),
    Video(Published),
    SinkWants(SinkWants),
    VideoSlots(VideoSlots),
    Pins(Pins),
    SessionUpdate,
    BackendVersion,
    /// Known to exist and without meaning for this server.
    Ignored,
}

impl ClientFrame {
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            op: u8,
            #[serde(borrow, default)]
            d: Option<&'a RawValue>,
        }
        fn payload<'a, T: Deserialize<'a>>(d: Option<&'a RawValue>) -> Result<T, FrameError> {
            serde_json::from_str(d.map_or("null", RawValue::get)).map_err(|_| FrameError::Malformed)
        }

        let Envelope { op, d } = serde_json::from_str(text).map_err(|_| FrameError::Malformed)?;
        Ok(match op {
            opcode::IDENTIFY => Self::Identify(payload(d)?),
            opcode::SELECT_PROTOCOL => Self::SelectProtocol(payload(d)?),
            opcode::HEARTBEAT => Self::Heartbeat(payload(d)?),
            opcode::SPEAKING => Self::Speaking(payload(d)?),
            opcode::RESUME => Self::Resume(payload(d)?),
            opcode::VIDEO => {
                let video: ClientVideo = payload(d)?;
                Self::Video(video.published())
            }
            opcode::MEDIA_SINK_WANTS => Self::SinkWants(payload(d)?),
            opcode::VIDEO_SLOTS => Self::VideoSlots(payload(d)?),
            opcode::PINS => Self::Pins(payload(d)?),
            opcode::SESSION_UPDATE => Self::SessionUpdate,
            opcode::BACKEND_VERSION => Self::BackendVersion,
            other if other <= opcode::LAST_KNOWN => Self::Ignored,
            other => return Err(FrameError::UnknownOpcode(other)),
        })
    }
}

/// Op 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identify {
    /// The guild.
    pub server_id: Snowflake,
    pub user_id: Snowflake,
    #[serde(deserialize_with = "text_or_integer")]
    pub session_id: String,
    #[serde(deserialize_with = "text_or_integer")]
    pub token: String,
    /// Version 9 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<Snowflake>,
}

/// Op 7.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    pub server_id: Snowflake,
    #[serde(deserialize_with = "text_or_integer")]
    pub session_id: String,
    #[serde(deserialize_with = "text_or_integer")]
    pub token: String,
    /// The last `seq` that the client saw; below version 8 absent, -1 if it saw none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq_ack: Option<i64>,
}

/// Op 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectProtocol {
    Udp {
        /// What IP discovery told the client; `None` if it is no literal address with a port.
        claimed: Option<SocketAddr>,
        mode: String,
    },
    WebRtc {
        /// A full SDP offer.
        offer: String,
    },
    Unknown(String),
}

impl<'de> Deserialize<'de> for SelectProtocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            protocol: String,
            #[serde(default)]
            data: serde_json::Value,
            #[serde(default)]
            sdp: Option<String>,
        }
        let Raw { protocol, data, sdp } = Raw::deserialize(deserializer)?;
        let text = |key: &str| data.get(key).and_then(|value| value.as_str());
        match protocol.as_str() {
            "udp" => {
                // Some clients leave the NUL padding of the discovery packet on the address.
                let address: Option<IpAddr> = text("address").and_then(|address| address.trim_end_matches('\0').parse().ok());
                let port = data.get("port").and_then(|port| u16::try_from(port.as_u64()?).ok());
                let mode = text("mode").ok_or_else(|| de::Error::missing_field("mode"))?.to_owned();
                Ok(Self::Udp { claimed: address.zip(port).map(SocketAddr::from), mode })
            }
            "webrtc" => {
                let offer = data.as_str().or(text("sdp")).or(sdp.as_deref()).ok_or_else(|| de::Error::missing_field("sdp"))?;
                Ok(Self::WebRtc { offer: offer.to_owned() })
            }
            _ => Ok(Self::Unknown(protocol)),
        }
    }
}

/// Op 3, in either form; the answer takes the same form.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// The client's nonce, echoed as it came.
    pub nonce: serde_json::Value,
    /// The object form of version 8, which also acknowledges messages.
    pub is_object: bool,
    pub seq_ack: Option<i64>,
}

impl<'de> Deserialize<'de> for Heartbeat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde_json::Value;
        match Value::deserialize(deserializer)? {
            Value::Object(mut fields) => Ok(Self {
                seq_ack: fields.get("seq_ack").and_then(Value::as_i64),
                nonce: fields.remove("t").unwrap_or(Value::Null),
                is_object: true,
            }),
            nonce @ (Value::Number(_) | Value::String(_) | Value::Null) => Ok(Self { nonce, is_object: false, seq_ack: None }),
            Value::Bool(_) | Value::Array(_) => Err(de::Error::custom("a heartbeat is a number or an object")),
        }
    }
}

/// Op 5 from a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSpeaking {
    /// Bits of [`speaking`]; the boolean of version 3 is still sent by old code.
    #[serde(deserialize_with = "bits_or_boolean")]
    pub speaking: u8,
    #[serde(default)]
    pub ssrc: Option<u32>,
}

/// Op 12 from a client.
#[derive(Deserialize)]
struct ClientVideo {
    #[serde(default)]
    video_ssrc: u32,
    #[serde(default)]
    streams: Vec<ClientStream>,
}

#[derive(Deserialize)]
struct ClientStream {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default = "yes")]
    active: bool,
}

const fn yes() -> bool {
    true
}

impl ClientVideo {
    /// What is published is what some stream of it is active; without streams the SSRC says it (0: nothing).
    fn published(&self) -> Published {
        let is_active = |kind: &str| self.streams.iter().any(|stream| stream.active && stream.kind == kind);
        let is_camera = if self.streams.is_empty() { self.video_ssrc != 0 } else { is_active("video") };
        Published { camera: is_camera, screen: is_active("screen") }
    }
}

/// Which videos a participant shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Published {
    pub camera: bool,
    pub screen: bool,
}

impl Published {
    pub const NOTHING: Published = Published { camera: false, screen: false };

    pub const fn includes(self, source: VideoSource) -> bool {
        match source {
            VideoSource::Camera => self.camera,
            VideoSource::Screen => self.screen,
        }
    }

    /// What of it is shown.
    pub fn sources(self) -> impl Iterator<Item = VideoSource> {
        [VideoSource::Camera, VideoSource::Screen].into_iter().filter(move |source| self.includes(*source))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoSource {
    Camera,
    Screen,
}

/// Op 15 from a client: how much of each stream it wants, in hundredths; `any` for those that are not named.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SinkWants {
    pub any: Option<u8>,
    /// By SSRC.
    pub qualities: Vec<(u32, u8)>,
    /// Width times height of what it shows, by SSRC.
    pub pixels: Vec<(u32, u32)>,
}

impl SinkWants {
    /// Streams that one message may name; more are ignored.
    const MAX: usize = 64;
}

impl<'de> Deserialize<'de> for SinkWants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = serde_json::Map::<String, serde_json::Value>::deserialize(deserializer)?;
        let mut wants = Self::default();
        for (key, value) in &fields {
            let quality = value.as_f64().map(|quality| quality.clamp(0.0, 100.0) as u8);
            if key == "any" {
                wants.any = quality;
            } else if let (Ok(ssrc), Some(quality)) = (key.parse(), quality)
                && wants.qualities.len() < Self::MAX
            {
                wants.qualities.push((ssrc, quality));
            }
        }
        let counts = fields.get("pixelCounts").and_then(serde_json::Value::as_object).into_iter().flatten();
        let pixels = counts.filter_map(|(ssrc, count)| Some((ssrc.parse().ok()?, count.as_f64()?.clamp(0.0, 1e9) as u32)));
        wants.pixels = pixels.take(Self::MAX).collect();
        Ok(wants)
    }
}

/// [`opcode::VIDEO_SLOTS`] from a client.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VideoSlots {
    pub slots: Vec<ShownSlot>,
}

/// [`opcode::PINS`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Pins {
    pub user_ids: Vec<Snowflake>,
}

/// What a client shows in one of its slots, in its own pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct ShownSlot {
    /// From zero, in the order of the offer.
    pub slot: u8,
    pub user_id: Snowflake,
    pub source: VideoSource,
    pub width: u16,
    pub height: u16,
    #[serde(default)]
    pub focus: bool,
}

/// [`opcode::VIDEO_SLOTS`] to a client: one entry per slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FilledSlot {
    pub slot: u8,
    pub ssrc: u32,
    pub user_id: Option<Snowflake>,
    pub source: Option<VideoSource>,
}

/// [`opcode::LAYERS`]: the encodings of one video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WantedLayers {
    pub source: VideoSource,
    pub layers: Vec<WantedLayer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WantedLayer {
    /// Empty for the only one.
    pub rid: String,
    pub active: bool,
}

/// [`opcode::CODECS`]: those that fit the room, as SDP names them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoomCodecs {
    pub video: Vec<&'static str>,
}

/// [`opcode::NARROWED`]: all slots that get less than they could show; the others get what they show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NarrowedSlots {
    pub slots: Vec<NarrowedSlot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NarrowedSlot {
    pub slot: u8,
    /// It gets nothing until there is room again.
    pub paused: bool,
}

/// Op 12 to a client: what somebody publishes, and the SSRCs in which this client is sent it (0: in none).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Video {
    pub user_id: Snowflake,
    pub audio_ssrc: u32,
    pub video_ssrc: u32,
    pub streams: Vec<VideoStream>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VideoStream {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub rid: &'static str,
    pub ssrc: u32,
    pub rtx_ssrc: u32,
    pub active: bool,
    pub quality: u8,
    pub max_bitrate: u32,
    pub max_framerate: u32,
    pub max_resolution: MaxResolution,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MaxResolution {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub width: u16,
    pub height: u16,
}

impl VideoStream {
    /// A stream as a listener is told of it: what is sent fits what it shows, so no other limit is named.
    pub fn new(source: VideoSource, (ssrc, rtx_ssrc): (u32, u32)) -> Self {
        let kind = match source {
            VideoSource::Camera => "video",
            VideoSource::Screen => "screen",
        };
        let max_resolution = MaxResolution { kind: "source", width: 0, height: 0 };
        let (rid, active, quality) = ("100", true, 100);
        Self { kind, rid, ssrc, rtx_ssrc, active, quality, max_bitrate: 0, max_framerate: 0, max_resolution }
    }
}

/// Op 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    pub ssrc: u32,
    /// A literal address: songbird parses it as one.
    pub ip: String,
    pub port: u16,
    pub modes: Vec<String>,
    pub heartbeat_interval: u64,
    pub experiments: Vec<String>,
    pub streams: Vec<serde_json::Value>,
    /// Our own: relays for browsers whose network lets no media through otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ice_servers: Vec<IceServer>,
}

/// An `RTCIceServer`, as browsers take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    pub urls: Vec<String>,
    pub username: String,
    pub credential: String,
}

/// Op 4. `mode` and `secret_key` for `udp`, `sdp` for `webrtc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDescription {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Vec<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp: Option<String>,
    pub audio_codec: String,
    pub video_codec: Option<String>,
    pub media_session_id: String,
    /// Always 0, and always present: discord.py and songbird fail without it.
    pub dave_protocol_version: u8,
}

/// Op 5 to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speaking {
    pub user_id: Snowflake,
    pub ssrc: u32,
    pub speaking: u8,
}

/// Op 8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub v: u8,
    pub heartbeat_interval: u64,
}

/// Op 11.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientsConnect {
    pub user_ids: Vec<Snowflake>,
}

/// Op 13.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientDisconnect {
    pub user_id: Snowflake,
}

/// Op 16.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendVersion {
    pub voice: String,
    pub rtc_worker: String,
}

/// One server frame. `seq` only on replayable messages from [`VERSION_BUFFERED_RESUME`] on.
pub fn encode(op: u8, d: &impl Serialize, seq: Option<u16>) -> String {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        op: u8,
        d: &'a T,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u16>,
    }
    serde_json::to_string(&Envelope { op, d, seq }).expect("voice payloads are plain data")
}

/// Session ids and tokens are strings, but old clients send integers.
fn text_or_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = String;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string or an integer")
        }
        fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
            Ok(value.to_owned())
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
            Ok(value.to_string())
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }
    }
    deserializer.deserialize_any(Visitor)
}

fn bits_or_boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = u8;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("speaking bits")
        }
        fn visit_bool<E: de::Error>(self, value: bool) -> Result<u8, E> {
            Ok(u8::from(value))
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<u8, E> {
            // Bits above the known three mean nothing here.
            Ok((value & 0xFF) as u8)
        }
    }
    deserializer.deserialize_any(Visitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(text: &str) -> ClientFrame {
        ClientFrame::parse(text).expect(text)
    }

    #[test]
    fn identify_takes_ids_as_strings_and_as_integers() {
        for text in [
            r#"{"op":0,"d":{"server_id":"41","user_id":"7","session_id":"30","token":"t","max_dave_protocol_version":1}}"#,
            r#"{"op":0,"d":{"server_id":41,"user_id":7,"session_id":30,"token":"t","video":true,"streams":[]}}"#,
        ] {
            let expected = Identify {
                server_id: Snowflake(41),
                user_id: Snowflake(7),
                session_id: "30".into(),
                token: "t".into(),
                channel_id: None,
            };
            assert_eq!(parsed(text), ClientFrame::Identify(expected));
        }
    }

    #[test]
    fn a_heartbeat_keeps_its_form() {
        let flat = parsed(r#"{"op":3,"d":1501184119561}"#);
        assert_eq!(flat, ClientFrame::Heartbeat(Heartbeat { nonce: 1501184119561_u64.into(), is_object: false, seq_ack: None }));
        let object = parsed(r#"{"op":3,"d":{"t":12,"seq_ack":10}}"#);
        assert_eq!(object, ClientFrame::Heartbeat(Heartbeat { nonce: 12.into(), is_object: true, seq_ack: Some(10) }));
        assert_eq!(ClientFrame::parse(r#"{"op":3,"d":true}"#), Err(FrameError::Malformed));
    }

    #[test]
    fn select_protocol_reads_both_transports() {
        let udp = parsed(
            r#"{"op":1,"d":{"protocol":"udp","data":{"address":"127.0.0.1\u0000","port":5004,"mode":"aead_aes256_gcm_rtpsize"}}}"#,
        );
        let claimed = Some("127.0.0.1:5004".parse().unwrap());
        assert_eq!(udp, ClientFrame::SelectProtocol(SelectProtocol::Udp { claimed, mode: MODE_AES256_GCM.into() }));
        let odd = parsed(r#"{"op":1,"d":{"protocol":"udp","data":{"address":"home","port":70000,"mode":"m"}}}"#);
        assert_eq!(odd, ClientFrame::SelectProtocol(SelectProtocol::Udp { claimed: None, mode: "m".into() }));

        let expected = ClientFrame::SelectProtocol(SelectProtocol::WebRtc { offer: "v=0".into() });
        assert_eq!(parsed(r#"{"op":1,"d":{"protocol":"webrtc","data":"v=0"}}"#), expected);
        assert_eq!(parsed(r#"{"op":1,"d":{"protocol":"webrtc","data":{"sdp":"v=0"}}}"#), expected);
        assert_eq!(parsed(r#"{"op":1,"d":{"protocol":"webrtc","sdp":"v=0"}}"#), expected);
        assert_eq!(
            parsed(r#"{"op":1,"d":{"protocol":"smoke"}}"#),
            ClientFrame::SelectProtocol(SelectProtocol::Unknown("smoke".into()))
        );
        for broken in
            [r#"{"op":1,"d":{"protocol":"udp","data":{"address":"::1","port":1}}}"#, r#"{"op":1,"d":{}}"#, r#"{"op":1}"#]
        {
            assert_eq!(ClientFrame::parse(broken), Err(FrameError::Malformed), "{broken}");
        }
    }

    #[test]
    fn opcodes_outside_the_table_are_unknown_and_the_rest_is_ignored() {
        assert_eq!(ClientFrame::parse(r#"{"op":33,"d":{}}"#), Err(FrameError::UnknownOpcode(33)));
        for op in [4, 10, 23, 32] {
            assert_eq!(parsed(&format!(r#"{{"op":{op},"d":[1]}}"#)), ClientFrame::Ignored);
        }
        for broken in
            ["", "[]", "{}", r#"{"op":"0"}"#, r#"{"op":300}"#, r#"{"op":5,"d":{"speaking":"yes"}}"#, r#"{"op":0,"d":null}"#]
        {
            assert_eq!(ClientFrame::parse(broken), Err(FrameError::Malformed), "{broken}");
        }
    }

    #[test]
    fn speaking_takes_bits_and_the_old_boolean() {
        let speaking = |text| match parsed(text) {
            ClientFrame::Speaking(ClientSpeaking { speaking, ssrc }) => (speaking, ssrc),
            other => panic!("{other:?}"),
        };
        assert_eq!(speaking(r#"{"op":5,"d":{"speaking":5,"delay":0,"ssrc":9,"user_id":null}}"#), (5, Some(9)));
        assert_eq!(speaking(r#"{"op":5,"d":{"speaking":true}}"#), (1, None));
    }

    #[test]
    fn what_is_published_is_read_from_streams_or_the_ssrc() {
        let nothing = Published::NOTHING;
        for (text, expected) in [
            (r#"{"op":12,"d":{"audio_ssrc":1,"video_ssrc":0,"rtx_ssrc":0,"streams":[]}}"#, nothing),
            (r#"{"op":12,"d":{"audio_ssrc":1,"video_ssrc":7}}"#, Published { camera: true, ..nothing }),
            (
                r#"{"op":12,"d":{"video_ssrc":7,"streams":[{"type":"video","rid":"100","ssrc":7,"active":false},{"type":"screen"}]}}"#,
                Published { screen: true, ..nothing },
            ),
        ] {
            assert_eq!(parsed(text), ClientFrame::Video(expected), "{text}");
        }
    }

    #[test]
    fn wants_are_read_leniently_and_within_bounds() {
        let wants = parsed(r#"{"op":15,"d":{"any":50,"12":100,"13":-4,"x":1,"pixelCounts":{"12":230400,"y":1,"13":1e30}}}"#);
        let expected =
            SinkWants { any: Some(50), qualities: vec![(12, 100), (13, 0)], pixels: vec![(12, 230_400), (13, 1_000_000_000)] };
        assert_eq!(wants, ClientFrame::SinkWants(expected));
        let many: String = (0..500).map(|ssrc| format!(",\"{ssrc}\":1")).collect();
        match parsed(&format!(r#"{{"op":15,"d":{{"any":1{many}}}}}"#)) {
            ClientFrame::SinkWants(wants) => assert_eq!(wants.qualities.len(), SinkWants::MAX),
            other => panic!("{other:?}"),
        }
        let shown = parsed(r#"{"op":201,"d":{"slots":[{"slot":2,"user_id":"7","source":"screen","width":640,"height":360}]}}"#);
        let slot =
            ShownSlot { slot: 2, user_id: Snowflake(7), source: VideoSource::Screen, width: 640, height: 360, focus: false };
        assert_eq!(shown, ClientFrame::VideoSlots(VideoSlots { slots: vec![slot] }));
        assert_eq!(ClientFrame::parse(r#"{"op":201,"d":{"slots":[{"slot":2}]}}"#), Err(FrameError::Malformed));
    }

    #[test]
    fn seq_is_only_there_when_given() {
        assert_eq!(encode(opcode::RESUMED, &(), None), r#"{"op":9,"d":null}"#);
        let left = ClientDisconnect { user_id: Snowflake(7) };
        assert_eq!(encode(opcode::CLIENT_DISCONNECT, &left, Some(3)), r#"{"op":13,"d":{"user_id":"7"},"seq":3}"#);
    }
}
