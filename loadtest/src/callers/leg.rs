//! One caller's media path in a room: a leg. Native or WebRTC, or a side of the floor or of the direct path.

use super::camera::Camera;
use super::ports::{Formers, Owner};
use super::shared::Shared;
use crate::measure::picture::Viewer;
use crate::measure::player::Player;
use crate::measure::stream::Stream;
use crate::measure::{book::Party, stamp::Kind};
use crate::net::Path;
use crate::opus::Judge;
use crate::plan::talk::Clock;
use crate::voice::Roster;
use crate::voice::cipher::Cipher;
use crate::voice::webrtc::Negotiated;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// Streams of one listener that its sample decodes, and packets of each: half a minute.
pub const DECODED_STREAMS: usize = 4;
pub const DECODED_PACKETS: usize = 1500;

/// What a thread adopts.
pub struct NewLeg {
    pub id: u64,
    pub person: u32,
    pub room: u32,
    pub party: Party,
    /// Non-blocking with receive times; connected, for a native leg.
    pub socket: UdpSocket,
    pub start: Start,
    /// Up and down.
    pub network: Option<(Path, Path)>,
    /// When its owner wished to join; 0 where that is not measured.
    pub wished_at: u64,
    /// Comes back after losing everything.
    pub is_return: bool,
    /// Has fewer slots than its room has talkers.
    pub selects: bool,
    pub decodes: bool,
    pub talk: Option<Clock>,
    pub camera: Option<Box<Camera>>,
    /// The cameras that it shows.
    pub viewers: Vec<Viewer>,
    /// Its network changes: what it sees goes into a book of its own.
    pub is_shifted: bool,
    pub seed: u64,
    pub roster: Option<Arc<Roster>>,
    /// At most a handful per leg.
    pub events: UnboundedSender<LegEvent>,
}

pub enum Start {
    /// Asks the server for our address first; keys come later.
    Discover {
        ssrc: u32,
    },
    /// Has keys from the start.
    Keyed {
        cipher: Box<Cipher>,
        ssrc: u32,
    },
    WebRtc(Box<Negotiated>),
}

/// What a leg tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// Our address as the server sees it.
    Discovered(SocketAddr),
    /// Media can flow, since then.
    Ready(u64),
    Failed(String),
}

pub(super) enum Media {
    Discovering { ssrc: u32, tries: u32 },
    Native { cipher: Arc<Cipher>, ssrc: u32, nonce: u32, sequence: u16, beats: u64 },
    WebRtc(Box<Web>),
}

pub(super) struct Web {
    pub negotiated: Negotiated,
    pub remote: Option<SocketAddr>,
    pub sequence: u64,
    /// When the next timer of the `Rtc` fires; `u64::MAX` without one.
    pub wake_at: u64,
    /// When the audio packet that is being written goes on the wire, decided before it was sealed.
    pub audio_at: Option<u64>,
}

/// The side that talks.
pub(super) struct Mouth {
    pub clock: Clock,
    pub is_open: bool,
    pub is_muted: bool,
    pub is_talking: bool,
    /// The moment of the next packet.
    pub due: u64,
    pub timestamp: u32,
    pub spurt: u16,
    pub position: u16,
    /// Frames of silence that a pause still begins with.
    pub silences: usize,
    pub comfort_at: u64,
    pub voice: u64,
    pub place: u64,
}

impl Mouth {
    pub fn kind(&self) -> Kind {
        if self.is_muted { Kind::Muted } else { Kind::Speech }
    }
}

/// A datagram on its way through the emulated network.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    pub at: u64,
    pub nth: u64,
    pub is_up: bool,
    pub bytes: Vec<u8>,
}

pub(super) struct Leg {
    pub id: u64,
    pub person: u32,
    pub room: u32,
    pub party: Party,
    pub socket: UdpSocket,
    pub media: Media,
    /// Who had the socket's port before.
    pub formers: Formers,
    pub up: Option<Path>,
    pub down: Option<Path>,
    pub held: BinaryHeap<Reverse<Held>>,
    pub held_count: u64,
    pub mouth: Option<Mouth>,
    pub camera: Option<Box<Camera>>,
    pub viewers: Vec<Viewer>,
    pub is_shifted: bool,
    pub streams: Vec<Stream>,
    /// What is heard where its network changes: whose, in which spurt.
    pub players: Vec<(u32, u16, Player)>,
    /// Talkers of the room and their numbers when this leg became ready: who is never heard at all is missing from there on.
    pub expected: Vec<(u32, u32)>,
    pub wished_at: u64,
    pub is_return: bool,
    pub selects: bool,
    pub judges: Option<Vec<(u32, usize, Judge)>>,
    pub has_heard: bool,
    /// 0 before.
    pub ready_at: u64,
    /// From here on its listening time is not in a book yet.
    pub listened_from: u64,
    pub roster: Option<Arc<Roster>>,
    pub events: UnboundedSender<LegEvent>,
}

impl Leg {
    pub fn new(new: NewLeg, now: u64, shared: &Shared) -> Self {
        let media = match new.start {
            Start::Discover { ssrc } => Media::Discovering { ssrc, tries: 0 },
            // Sequence numbers begin anywhere (RFC 3550 §5.1); nonces from zero, as most libraries do.
            Start::Keyed { cipher, ssrc } => {
                Media::Native { cipher: Arc::from(cipher), ssrc, nonce: 0, sequence: new.seed as u16, beats: 0 }
            }
            Start::WebRtc(negotiated) => Media::WebRtc(Box::new(Web {
                negotiated: *negotiated,
                remote: None,
                sequence: new.seed & 0x7fff,
                wake_at: u64::MAX,
                audio_at: None,
            })),
        };
        let mouth = new.talk.map(|clock| Mouth {
            clock,
            is_open: false,
            is_muted: false,
            is_talking: false,
            // Talkers are not in step with each other.
            due: now + new.seed % shared.rules.frame,
            timestamp: new.seed as u32,
            spurt: new.seed as u16,
            position: 0,
            silences: 0,
            comfort_at: 0,
            voice: new.seed >> 8,
            place: new.seed >> 16,
        });
        let (up, down) = new.network.unzip();
        Self {
            id: new.id,
            person: new.person,
            room: new.room,
            party: new.party,
            socket: new.socket,
            media,
            formers: Formers::default(),
            up,
            down,
            held: BinaryHeap::new(),
            held_count: 0,
            mouth,
            camera: new.camera,
            viewers: new.viewers,
            is_shifted: new.is_shifted,
            streams: Vec::new(),
            players: Vec::new(),
            expected: Vec::new(),
            wished_at: new.wished_at,
            is_return: new.is_return,
            selects: new.selects,
            judges: new.decodes.then(Vec::new),
            has_heard: false,
            ready_at: 0,
            listened_from: u64::MAX,
            roster: new.roster,
            events: new.events,
        }
    }

    /// The port of its socket.
    pub fn port(&self) -> u16 {
        self.socket.local_addr().map_or(0, |address| address.port())
    }

    /// What proves that a datagram is for it, once it has keys.
    pub fn owner(&self) -> Option<Owner> {
        match &self.media {
            Media::Discovering { .. } => None,
            Media::Native { cipher, .. } => Some(Owner::Native(cipher.clone())),
            Media::WebRtc(web) => Some(Owner::WebRtc(web.negotiated.slots.clone())),
        }
    }

    /// Its owner may be gone; then nobody needs to know.
    pub fn say(&self, event: LegEvent) {
        let _ = self.events.send(event);
    }
}
