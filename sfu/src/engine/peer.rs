//! One participant: its place, its rights, and the receiving side of its transport.

use super::Egress;
use super::activity::Activity;
use super::bitrate::Bucket;
use super::budget::Allowances;
use super::sink::{Formats, Want};
use super::sound::Sound;
use super::uplink::Publisher;
use crate::PeerId;
use crate::cipher::{Inbound, RtcpInbound, RtcpOutbound};
use crate::quality::Collector;
use crate::replay::ReplayWindow;
use crate::rtcp::Reception;
use crate::sdp::Opus;
use crate::webrtc::Session;
use guildhall_protocol::fleet::Policy;
use std::net::SocketAddr;
use std::time::Instant;

/// Addresses that one WebRTC client may prove at a time: a few interfaces, both IP versions, some rebinding.
pub const MAX_ADDRESSES: usize = 8;

/// Checks that a client's later ones are compared with: a minute and more of a connected browser's.
const REMEMBERED_CHECKS: usize = 32;

pub struct Peer {
    pub id: PeerId,
    /// Index of the room in the engine's table.
    pub room: usize,
    /// The native SSRC.
    pub ssrc: u32,
    pub policy: Policy,
    /// The last address from which IP discovery with this peer's SSRC came.
    pub discovered: Option<SocketAddr>,
    /// How many answers to that were given, while another is on its way.
    pub discovery_answers: Option<usize>,
    pub transport: Transport,
    /// Where this peer's listener is in its room, once media can be sent to it.
    pub listener: Option<usize>,
    /// How loud this peer is, on either transport.
    pub activity: Activity,
    /// What its channel's bitrate leaves it.
    pub bitrate: Bucket,
    /// And the sound of its screen.
    pub sound_bitrate: Bucket,
    /// When something that it said was last forwarded.
    pub last_spoken: Option<Instant>,
    /// Whether a timer watches for this speaker's silence.
    pub is_silence_watched: bool,
    /// Whether a timer looks after this WebRTC peer.
    pub is_cared_for: bool,
    /// When the earliest handshake timer of this peer that is in the heap is due.
    pub handshake_armed: Option<Instant>,
    /// What it may still cost.
    pub allowances: Allowances,
    /// What it wants to see, as of its last word.
    pub wants: Vec<Want>,
    /// Whom it hears whoever else talks, by their native SSRCs.
    pub pins: Vec<u32>,
}

/// Boxed, because the ciphers are large and most of the table is cold.
pub enum Transport {
    None,
    Native(Box<Native>),
    Webrtc(Box<Webrtc>),
}

/// A client of Discord's UDP voice.
pub struct Native {
    pub inbound: Inbound,
    pub window: ReplayWindow,
    /// What op 1 said.
    pub claimed: SocketAddr,
    /// Believed: an authentic packet or matching discovery came from it.
    pub address: Option<SocketAddr>,
    /// The sealing side, until the address is believed and it moves to the listener.
    pub outbound: Option<crate::cipher::Outbound>,
}

/// A WebRTC client.
pub struct Webrtc {
    pub session: Session,
    /// Id and version of the last answer (RFC 8866 §5.2): the same session goes on with the next version.
    pub sdp_session: (u64, u32),
    pub ufrag: String,
    /// Every address from which an authentic check came, newest last.
    pub addresses: Vec<SocketAddr>,
    /// The pair the client uses.
    pub address: Option<SocketAddr>,
    /// When its offer was answered.
    pub answered: Instant,
    pub last_alive: Instant,
    pub transactions: Transactions,
    pub slot_opus: Option<Opus>,
    pub slot_ssrcs: Vec<u32>,
    pub upstream: Option<crate::sdp::Upstream>,
    /// How video is written for it, and the SSRCs of its video slots with those of retransmissions.
    pub video_formats: Formats,
    pub video_ssrcs: Vec<(u32, u32)>,
    /// The video that it sends, if its offer has any.
    pub publisher: Option<Box<Publisher>>,
    /// The sound of its screen, if its offer has that.
    pub sound: Option<Box<Sound>>,
    /// How the sound of others' screens is sent to it, and the SSRCs of its slots for that.
    pub sound_payload_type: Option<u8>,
    pub sound_ssrcs: Vec<u32>,
    /// Once DTLS is done.
    pub media: Option<Media>,
}

/// The latest checks of a client. Nothing in a check says where it was sent from, so someone on the path could send it again
/// from elsewhere and draw the media there.
#[derive(Default)]
pub struct Transactions {
    seen: [[u8; 12]; REMEMBERED_CHECKS],
    next: usize,
}

impl Transactions {
    /// Remembers a transaction; whether it was known already.
    pub fn is_repeated(&mut self, transaction: [u8; 12]) -> bool {
        if self.seen.contains(&transaction) {
            return true;
        }
        self.seen[self.next] = transaction;
        self.next = (self.next + 1) % REMEMBERED_CHECKS;
        false
    }
}

/// The SRTP side of a WebRTC client.
pub struct Media {
    pub inbound: Inbound,
    pub window: ReplayWindow,
    pub rtcp_inbound: RtcpInbound,
    pub rtcp_window: ReplayWindow,
    pub rtcp_outbound: RtcpOutbound,
    /// The stream that is received, since its first packet.
    pub reception: Option<Reception>,
    pub quality: Collector,
    /// When it was told, or media began.
    pub quality_told: Instant,
}

impl Media {
    /// Seals a compound packet and sends it.
    pub fn send_rtcp(&mut self, packet: &[u8], to: SocketAddr, egress: &mut impl Egress) {
        if let Some(len) = self.rtcp_outbound.seal(egress.slot(), packet) {
            egress.commit(len, to);
        }
    }
}

impl Transport {
    pub fn webrtc(&mut self) -> Option<&mut Webrtc> {
        match self {
            Transport::Webrtc(webrtc) => Some(webrtc),
            _ => None,
        }
    }

    pub fn native(&mut self) -> Option<&mut Native> {
        match self {
            Transport::Native(native) => Some(native),
            _ => None,
        }
    }
}
