//! One room: its listeners in one contiguous array, and the forwarding of one speaker's packet to all of them.
//!
//! This is the hot path: the packet was decrypted and parsed once; for each listener a header is written and the payload
//! sealed straight into the send batch. No lock, no allocation, no log line.

use super::Egress;
use super::slots::{Refused, Slots};
use crate::cipher::Outbound;
use crate::rtcp::SentStream;
use crate::rtp::{NATIVE_OPUS, Outgoing};
use crate::stats::{Drops, Reason, Traffic};
use crate::sys::thread::prefetch;
use crate::{PeerEvent, PeerId, RoomId};
use std::net::SocketAddr;
use std::time::Instant;

/// How many listeners ahead memory is asked for. One is too late at 0.1 µs per seal, three evicts what was asked for.
const PREFETCH_AHEAD: usize = 2;

/// One participant's receiving side: everything that sending a copy touches, in one block and in the order of its use, so
/// that what is asked for ahead is the start of the block.
#[repr(C)]
pub struct Listener {
    address: SocketAddr,
    peer_id: PeerId,
    /// Index of the peer in the engine's table.
    peer: u32,
    is_deafened: bool,
    outbound: Outbound,
    target: Target,
}

/// What of a listener is asked for ahead: all but the slots' own state, of which a packet needs one line of many.
const PREFETCH_LEN: usize = std::mem::offset_of!(Listener, target) + 192;

/// How copies look on this listener's transport. The slots lie in the block on purpose: behind a pointer they would be two
/// more misses per copy, and what is not touched of a block costs nothing but memory.
#[allow(clippy::large_enum_variant)]
enum Target {
    /// Every speaker under its own native SSRC, sequence numbers and timestamps as the speaker sent them.
    Native,
    /// Speakers in slots.
    Webrtc { payload_type: u8, audio_level: Option<u8>, slots: Slots },
}

impl Listener {
    pub fn native(peer: u32, peer_id: PeerId, address: SocketAddr, outbound: Outbound, is_deafened: bool) -> Listener {
        Listener { address, peer_id, peer, is_deafened, outbound, target: Target::Native }
    }

    pub fn webrtc(
        peer: u32,
        peer_id: PeerId,
        address: SocketAddr,
        outbound: Outbound,
        is_deafened: bool,
        format: (u8, Option<u8>),
        slots: Slots,
    ) -> Listener {
        let (payload_type, audio_level) = format;
        Listener { address, peer_id, peer, is_deafened, outbound, target: Target::Webrtc { payload_type, audio_level, slots } }
    }

    pub fn set_address(&mut self, address: SocketAddr) {
        self.address = address;
    }

    pub fn set_deafened(&mut self, is_deafened: bool, events: &mut Vec<(PeerId, PeerEvent)>) {
        self.is_deafened = is_deafened;
        if let (true, Target::Webrtc { slots, .. }) = (is_deafened, &mut self.target) {
            slots.free_all(|ssrc| events.push((self.peer_id, PeerEvent::Slot { ssrc, speaker: None })));
        }
    }

    /// What was sent to this listener in slots, since `since`. Native listeners hear every speaker's own stream.
    pub fn sent(&self, now: Instant, since: Instant) -> impl Iterator<Item = SentStream> {
        let slots = match &self.target {
            Target::Webrtc { slots, .. } => Some(slots),
            Target::Native => None,
        };
        slots.into_iter().flat_map(move |slots| slots.sent(now, since))
    }

    /// See [`Outbound::observe`].
    pub fn observe(&mut self, client_nonce: u32) -> bool {
        self.outbound.observe(client_nonce) && !self.outbound.is_used_up()
    }

    /// The key, for a peer that is to be heard of again from another address.
    pub fn into_outbound(self) -> Outbound {
        self.outbound
    }
}

/// A speaker's packet, decrypted and parsed.
pub struct Frame<'a> {
    /// Index of the speaker in the engine's table.
    pub speaker: u32,
    pub speaker_id: PeerId,
    /// The speaker's native SSRC.
    pub ssrc: u32,
    /// Rollover count and sequence number.
    pub index: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub audio_level: Option<u8>,
    pub payload: &'a [u8],
}

/// Where forwarding writes besides the egress.
pub struct Ledger<'a> {
    pub traffic: &'a mut Traffic,
    pub drops: &'a mut Drops,
    pub events: &'a mut Vec<(PeerId, PeerEvent)>,
}

pub struct Room {
    pub id: RoomId,
    /// Everyone in the room, with and without transport.
    pub members: usize,
    listeners: Vec<Listener>,
}

impl Room {
    pub fn new(id: RoomId) -> Room {
        Room { id, members: 0, listeners: Vec::new() }
    }

    /// Adds a listener and returns where it is; [`Room::remove`] moves others.
    pub fn add(&mut self, listener: Listener) -> usize {
        self.listeners.push(listener);
        self.listeners.len() - 1
    }

    /// Removes a listener; with it comes the peer whose listener now has this place, if any moved.
    pub fn remove(&mut self, index: usize) -> (Listener, Option<u32>) {
        let removed = self.listeners.swap_remove(index);
        (removed, self.listeners.get(index).map(|listener| listener.peer))
    }

    /// Removes every trace of a peer that cannot be asked where it is; places change.
    pub fn bury(&mut self, peer: u32, events: &mut Vec<(PeerId, PeerEvent)>) {
        while let Some(place) = self.listeners.iter().position(|listener| listener.peer == peer) {
            self.remove(place);
        }
        self.free_slots(peer, events);
    }

    /// Whose listener is at each place.
    pub fn owners(&self) -> impl Iterator<Item = u32> {
        self.listeners.iter().map(|listener| listener.peer)
    }

    pub fn listener(&mut self, index: usize) -> &mut Listener {
        &mut self.listeners[index]
    }

    /// Sends one packet to everyone but its speaker. Returns whether the speaker took a slot somewhere.
    #[inline]
    pub fn forward(&mut self, now: Instant, frame: &Frame, egress: &mut impl Egress, ledger: &mut Ledger) -> bool {
        let mut took_slot = false;
        // Native copies differ in their seal alone.
        let native = Outgoing {
            marker: frame.marker,
            payload_type: NATIVE_OPUS,
            sequence: frame.index as u16,
            timestamp: frame.timestamp,
            ssrc: frame.ssrc,
            audio_level: None,
        };
        for next in 0..self.listeners.len() {
            if let Some(ahead) = self.listeners.get(next + PREFETCH_AHEAD) {
                prefetch(ahead, PREFETCH_LEN);
            }
            let listener = &mut self.listeners[next];
            if listener.peer == frame.speaker || listener.is_deafened {
                continue;
            }
            let (outgoing, index) = match &mut listener.target {
                Target::Native => (native, frame.index),
                Target::Webrtc { payload_type, audio_level, slots } => {
                    let events = &mut *ledger.events;
                    let listener_id = listener.peer_id;
                    let changed = |ssrc| {
                        took_slot = true;
                        events.push((listener_id, PeerEvent::Slot { ssrc, speaker: Some(frame.speaker_id) }));
                    };
                    match slots.place(now, frame.speaker, frame.index, frame.timestamp, changed) {
                        Ok(place) => {
                            let outgoing = Outgoing {
                                marker: frame.marker || place.is_first,
                                payload_type: *payload_type,
                                sequence: place.index as u16,
                                timestamp: place.timestamp,
                                ssrc: place.ssrc,
                                audio_level: audio_level.zip(frame.audio_level),
                            };
                            slots.count_sent(frame.payload.len());
                            (outgoing, place.index)
                        }
                        Err(refused) => {
                            ledger.drops.count(match refused {
                                Refused::NoSlot => Reason::NoSlot,
                                Refused::BeforeTenure => Reason::BeforeTenure,
                            });
                            continue;
                        }
                    }
                }
            };
            let out = egress.slot();
            let header_len = outgoing.write(out);
            let len = listener.outbound.seal(out, header_len, index, frame.payload);
            egress.commit(len, listener.address);
            ledger.traffic.audio_out += 1;
        }
        took_slot
    }

    /// Frees the speaker's slot at every listener and tells them.
    pub fn free_slots(&mut self, speaker: u32, events: &mut Vec<(PeerId, PeerEvent)>) {
        for listener in &mut self.listeners {
            if let Target::Webrtc { slots, .. } = &mut listener.target
                && let Some(ssrc) = slots.free(speaker)
            {
                events.push((listener.peer_id, PeerEvent::Slot { ssrc, speaker: None }));
            }
        }
    }
}
