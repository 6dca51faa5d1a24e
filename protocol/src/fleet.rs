//! The contract between the control plane and a voice node.
//!
//! Both sides exchange these values over bounded channels, whether the node runs in the control plane's process or has
//! dialled in from another host (then the values cross gRPC, `proto/fleet.proto`). A node may have such a line to several
//! control planes at a time. It trusts them; a client's claims reach the node only inside a signed
//! [`crate::voice_token::VoiceClaims`].
//!
//! A line begins with [`FromNode::Hello`], which says everything that the node holds, and [`ToNode::Welcome`]. Whatever a line
//! that broke has lost is therefore made good by the next one.

mod medium;
mod node;
mod way;

pub use medium::{DURATION_AT, Medium};
pub use node::{BadNode, BadRegion, CONTRACT_VERSION, Epoch, Hello, Load, NodeId, RegionId};
pub use way::Way;

use crate::{ChannelId, GuildId, RecordingId, UserId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How often a node says that it is there; every other time with its load.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// How long a node records without being told to go on: several of the control planes' rounds.
pub const RECORDING_LEASE: Duration = Duration::from_secs(15);

/// The longest piece of a recording that crosses the line in one message. Pieces are cut before they are this long.
pub const RECORDED_BYTES: usize = 256 * 1024;

/// Rooms, guilds and users from here on exist in probe calls only: control planes make such a call at each node now and then, to
/// know whether people would be heard there. Nothing that exists has such an id, because it would not fit the database's signed
/// numbers.
pub const PROBES_FROM: u64 = 1 << 63;

/// Whether the room is a probe call's. It is no lease's, nobody is told of it, and it counts nowhere as a room.
pub const fn is_probe(room: ChannelId) -> bool {
    room.get() >= PROBES_FROM
}

/// What the control plane lets one participant do in a room. The SFU enforces it per packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// May publish audio: SPEAK, not suppressed, not server-muted.
    pub can_speak: bool,
    /// The user muted itself; clients stop sending, the SFU drops what still arrives.
    pub self_mute: bool,
    /// Receives nothing: deafened by itself or by the server.
    pub is_deafened: bool,
    /// PRIORITY_SPEAKER: op 5 may carry the priority bit. For the media engine: it does.
    pub is_priority: bool,
    /// The bitrate of the channel, told to senders and enforced with some room; `None`: whatever they send.
    #[serde(default)]
    pub bitrate_bps: Option<u32>,
    /// May publish video: STREAM, not suppressed.
    #[serde(default)]
    pub can_stream: bool,
}

impl Policy {
    /// Whether this participant's audio may reach anyone.
    pub const fn is_audible(&self) -> bool {
        self.can_speak && !self.self_mute
    }
}

/// One participant of one room: which session of which user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Participant {
    pub guild_id: GuildId,
    pub channel_id: ChannelId,
    pub user_id: UserId,
    /// The gateway session that joined (`VOICE_STATE_UPDATE.session_id`), or how they came without one ([`Way`]).
    pub session_id: String,
}

/// One connection of a participant, as its node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sitting {
    pub participant: Participant,
    /// The token that the connection was opened with: the same participant may leave and come back faster than the end of
    /// the connection before is reported.
    pub token_id: u64,
    /// The lease that the token was signed under.
    pub epoch: Epoch,
    /// Which control plane signed the token, and so keeps the participant's voice state.
    pub issuer: u64,
    /// What the participant may do, as the node last heard.
    pub policy: Policy,
}

/// Sent to nodes only, and shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A room is to be recorded. It holds for [`RECORDING_LEASE`] and is said again until it is over: a node that nobody speaks to
/// any more stops by itself, and one that the room moves to begins by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingOrder {
    pub recording: RecordingId,
    pub room: ChannelId,
    /// When the recording began, in Unix milliseconds: what the tracks' times count from.
    pub since_ms: u64,
    /// Nothing more is to be recorded; what is there is to be sent.
    pub is_over: bool,
    /// Cameras and screens, too.
    pub video: bool,
}

/// A piece of one user's track: what is appended to the file. Every piece ends where the file may end, but those of a picture
/// that is larger than a piece.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    pub recording: RecordingId,
    pub user: UserId,
    pub medium: Medium,
    /// When the track begins, in milliseconds of the recording. With the user and the medium, it names the track.
    pub start_ms: u64,
    /// The piece's place in the track, from 0.
    pub number: u32,
    /// How long the track is with it.
    pub length_ms: u64,
    /// Packets that are missing in it: of a voice those that something could not keep up with, of pictures all that were left
    /// out.
    pub lost: u32,
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Recorded {
    /// Without what people said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recording, user, medium, start_ms, number, bytes, .. } = self;
        write!(f, "Recorded({recording} {user} {medium:?} {start_ms} {number}: {} bytes)", bytes.len())
    }
}

/// Control plane to voice node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToNode {
    /// The answer to [`FromNode::Hello`]: with what this control plane signs voice tokens. It comes over the line, so that a
    /// node's operator has one secret to hand out (the one to join with), and a new key reaches every node by itself.
    Welcome { voice_key: Secret },
    /// The room is this node's under this epoch, until somebody says [`ToNode::Close`].
    Open { room: ChannelId, epoch: Epoch },
    /// The room is another's, under this newer epoch: whoever sits here under an older one is to go.
    Close { room: ChannelId, epoch: Epoch },
    /// New mute, deafen or speak rights; also sent in answer to [`FromNode::Joined`], so that a change between the token
    /// and the join is not lost.
    SetPolicy { participant: Participant, policy: Policy },
    /// Left, moved, kicked, or its gateway session ended: the voice socket closes with 4014 and its token is void.
    /// `as_of_ms` (Unix milliseconds, by the control plane's clock): tokens that were signed before are void, and so are
    /// their connections. What was signed since is of a newer join, which this message may cross on its way.
    Disconnect { participant: Participant, as_of_ms: u64 },
    /// Record a room, go on recording it, or end.
    Record(RecordingOrder),
}

/// Voice node to control plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromNode {
    /// The first word of a line, and the whole truth at that moment: who the node is, which rooms it serves under which
    /// epochs, and who sits there.
    Hello { hello: Hello, rooms: Vec<(ChannelId, Epoch)>, sittings: Vec<Sitting> },
    /// It is there.
    Alive,
    /// It is there, and so busy.
    Load(Load),
    /// It serves the room under this epoch now. Said to every control plane, whichever opened the room: that is how control
    /// planes learn of each other's rooms.
    Opened { room: ChannelId, epoch: Epoch },
    /// The room has been empty for a while, and is nobody's.
    Ended { room: ChannelId, epoch: Epoch },
    /// A voice socket identified with a valid token.
    Joined(Sitting),
    /// Its socket is gone for longer than the resume window, or it closed for good.
    Left(Sitting),
    /// The node will stop within this time; its rooms should live elsewhere by then.
    Leaving { within_ms: u64 },
    /// Goes to one control plane only: the one that asked last.
    Recorded(Recorded),
    /// The node records, or (`is_over`) has sent all that it recorded.
    Recording { recording: RecordingId, is_over: bool },
    /// The node stops now.
    Goodbye,
}
