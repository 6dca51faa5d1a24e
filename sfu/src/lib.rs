//! The media engine: workers, rooms, forwarding. It knows rooms and peers, never guilds.
//!
//! [`Sfu`] is the small handle that signaling drives; everything behind it runs on worker threads that own their UDP socket,
//! peers and rooms and take no lock. The life of a peer: [`Sfu::join`] a room, connect by one transport
//! ([`Sfu::connect_native`] or [`Sfu::connect_webrtc`]), media flows, [`Sfu::leave`].
//!
//! Video is sent to each WebRTC listener within what its network carries: [`bandwidth`] estimates, chooses layers and paces, and
//! the engine's rooms feed it with what is published and told. A listener's state is its own, so one bad network lowers nobody
//! else; audio never waits behind video.
//!
//! Who calls it: `signaling`, and the tests and the load generator, which drive [`engine`] without a socket or a clock.

mod addresses;
pub mod bandwidth;
pub mod cipher;
mod dtls;
pub mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod handle;
mod load;
mod pace;
mod placement;
mod quality;
mod red;
pub mod replay;
mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod stats;
mod strain;
pub mod sys;
pub mod tcp;
pub mod video;
mod webrtc;
mod worker;

pub use addresses::Addresses;
pub use engine::{MAX_PINS, Want};
pub use handle::Sfu;
pub use quality::Quality;
pub use stats::{Audience, Delays, Opinions, Reason, Stats, WorkerStats};
pub use video::{Rid, Source};
pub use worker::SOCKET_BUFFER;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// One room, named by signaling (a voice channel's id serves). Its speakers are chosen on one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u64);

/// One participant's transport. Never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// Where the workers listen and what address clients are told.
#[derive(Clone, Debug)]
pub struct Config {
    /// One UDP socket and one worker thread each; port 0 lets the system choose. An unspecified address of either family
    /// means both, where the system has both.
    pub bind: Vec<SocketAddr>,
    /// The addresses that clients are told, when they differ from the bound one (a server behind a static NAT): the first of
    /// each family counts. Without them and with an unspecified bind address, those of the machine's default routes are told.
    pub advertise: Vec<IpAddr>,
    /// The TCP port that clients without UDP are told; whoever listens there gives [`Sfu::carry`] the connections.
    pub tcp_port: Option<u16>,
    /// Peers of one room that one worker takes before whoever comes sits on others; [`ROOM_SHARE`] is a good number.
    pub room_share: usize,
}

/// A room of this size, with a few who talk at a time, is half of a core's work and more.
pub const ROOM_SHARE: usize = 1024;

/// The two encryption modes of the native transport (`aead_aes256_gcm_rtpsize`, `aead_xchacha20_poly1305_rtpsize`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeSuite {
    Aes256GcmRtpsize,
    XChaCha20Poly1305Rtpsize,
}

/// What a peer is told when it has a place in a room and no transport yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    pub peer: PeerId,
    /// The native SSRC: a native client sends under it, and native listeners hear this peer under it whatever it sends with.
    pub ssrc: u32,
    /// Literal IP address and port of the peer's worker, for op 2 and for the host candidate.
    pub address: SocketAddr,
}

/// The answer to a full WebRTC offer: a full SDP with the worker's host candidate (ICE-lite, no trickle).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub sdp: String,
    /// The SSRC of each video slot, and that of its retransmissions.
    pub video_slots: Vec<(u32, u32)>,
}

/// What the engine tells a peer's signaling connection. When the channel closes without `leave`, the engine gave the peer
/// up (its channel was full, or its transport failed); the caller still calls [`Sfu::leave`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// Media can flow: a native address is believed, or DTLS is done.
    Connected,
    /// A receive slot of this WebRTC listener now carries `speaker`, or nobody.
    Slot { ssrc: u32, speaker: Option<PeerId> },
    /// A slot for sounds of this WebRTC listener now carries that of `publisher`'s screen, or nothing.
    Sound { ssrc: u32, publisher: Option<PeerId> },
    /// How well this WebRTC peer was connected in the last seconds.
    Quality(Quality),
    /// A video slot of this WebRTC listener now shows this, or nothing.
    Shown { slot: u8, showing: Option<(PeerId, Source)> },
    /// The video slots of this WebRTC listener (one bit each) that get a smaller picture than they could show, or none, because
    /// its network carries no more; and those of them that get none.
    Narrowed { less: u16, paused: u16 },
    /// Which encodings of this publisher's video anybody wants to see; it need not send the others.
    Layers { source: Source, layers: Layers },
    /// With these alone this WebRTC peer is to code its videos from now on: everybody in its room decodes them.
    Codecs(video::Codecs),
    /// A WebRTC peer sent nothing authentic for 30 s, its DTLS failed, or a native key is used up. Native peers are not lost
    /// by silence: an idle bot sends no datagram at all, and the heartbeats of its voice socket are its life.
    Lost,
}

/// One packet of Opus that a room heard, for whoever records the room. What is not forwarded (muted, silence) is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub room: RoomId,
    pub speaker: PeerId,
    /// The speaker's own RTP time, 48 kHz.
    pub timestamp: u32,
    /// When it arrived.
    pub at: Instant,
    /// Packets of the room before this one that the recorder's queue had no place for.
    pub lost_before: u32,
    pub opus: Box<[u8]>,
}

/// One packet of video that a room saw, for whoever records the room: of the largest layer that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub room: RoomId,
    pub publisher: PeerId,
    pub source: Source,
    /// Numbers and times go on within one stream; another one of the same video begins with a key frame.
    pub stream: (u32, u32),
    pub codec: video::Codec,
    /// Its number, which is never repeated in the stream. Packets come in any order, and some come not at all.
    pub index: u64,
    /// The publisher's own RTP time, [`video::CLOCK_HZ`].
    pub timestamp: u32,
    /// The last of its picture.
    pub marker: bool,
    /// When it arrived.
    pub at: Instant,
    pub payload: Box<[u8]>,
}

/// The encodings of one video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layers([Option<Layer>; video::MAX_LAYERS]);

/// One encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Empty for the only one.
    pub rid: Rid,
    /// What it is sent with, once that is known.
    pub ssrc: Option<u32>,
    pub is_wanted: bool,
}

impl Layers {
    pub fn iter(&self) -> impl Iterator<Item = &Layer> {
        self.0.iter().flatten()
    }
}

impl FromIterator<Layer> for Layers {
    /// What is beyond [`video::MAX_LAYERS`] is left out.
    fn from_iter<I: IntoIterator<Item = Layer>>(layers: I) -> Layers {
        let mut all = Layers::default();
        all.0.iter_mut().zip(layers).for_each(|(place, layer)| *place = Some(layer));
        all
    }
}

/// Why a request to the engine was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SfuError {
    #[error("no such peer")]
    UnknownPeer,
    #[error("the room is full")]
    RoomFull,
    #[error("the node is full")]
    NodeFull,
    #[error("the offer cannot be answered: {0}")]
    BadOffer(&'static str),
    #[error("the peer's transport failed")]
    Failed,
    #[error("the media engine has stopped")]
    Stopped,
}
