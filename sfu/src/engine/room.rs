//! One room: its speakers, its listeners in one contiguous array, and the forwarding of a speaker's packet to all who hear it.
//!
//! This is the hot path: the packet was decrypted and parsed once, and its speaker's place decided once; for each listener a
//! header is written and the payload sealed straight into the send batch. No lock, no allocation, no log line.

pub mod downlink;
pub mod film;
mod layered;
mod repeats;
pub mod sounds;
pub mod video;

use super::Egress;
use super::activity::Spoken;
use super::budget::Allowance;
use super::past::Past;
use super::sink::Sink;
use super::slots::{Place, Refused, Slots};
use super::speakers::{Hearing, MAX_SPEAKERS, NO_PLACE, Placed, Speakers};
use super::spread::{Branch, Letters, Life, Order, Parcels, Part};
use super::stage::Stage;
use crate::cipher::Outbound;
use crate::red;
use crate::rtcp::SentStream;
use crate::rtp::{NATIVE_OPUS, Outgoing};
use crate::stats::{Drops, Reason, Traffic};
use crate::strain::Ceiling;
use crate::sys::thread::prefetch;
use crate::video::Codecs;
use crate::{PeerEvent, PeerId, Seen};
use std::net::SocketAddr;
use std::time::Instant;

/// Speakers that one listener may pin: about as many as anyone follows at a time. It may not fill all its slots with them, so
/// that the dominant speaker is heard in any case.
pub const MAX_PINS: usize = 4;

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
    /// What it speaks under to native clients.
    ssrc: u32,
    /// Whom it hears: as many speakers at a time as it has slots, everyone on the native transport, none when deafened.
    hearing: Hearing,
    outbound: Outbound,
    target: Target,
    /// Its video slots, when it has any.
    sink: Option<Box<Sink>>,
    /// The native SSRCs of those it hears whoever else talks; zero is nobody's.
    pins: [u32; MAX_PINS],
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
    Webrtc { format: Format, slots: Slots, repeats: Allowance },
}

impl Listener {
    /// Asks for what sending a copy touches.
    #[inline]
    fn ask(&self) {
        prefetch(self, PREFETCH_LEN);
    }
}

/// Who a new listener is and where it is sent to.
pub struct Ear {
    /// Index of the peer in the engine's table.
    pub peer: u32,
    /// What it speaks under to native clients.
    pub ssrc: u32,
    pub peer_id: PeerId,
    pub address: SocketAddr,
    pub outbound: Outbound,
    pub is_deafened: bool,
}

/// How copies to a WebRTC listener are written.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    pub payload_type: u8,
    /// The payload type of redundant audio, when the listener takes it.
    pub red: Option<u8>,
    /// The id of the audio level extension.
    pub audio_level: Option<u8>,
    /// Whether the listener may ask for what it lost.
    pub repeats: bool,
}

impl Listener {
    pub fn native(ear: Ear) -> Listener {
        Listener::new(ear, Target::Native)
    }

    pub fn webrtc(ear: Ear, format: Format, slots: Slots) -> Listener {
        Listener::new(ear, Target::Webrtc { format, slots, repeats: Allowance::default() })
    }

    fn new(ear: Ear, target: Target) -> Listener {
        let Ear { peer, ssrc, peer_id, address, outbound, is_deafened } = ear;
        let voices = if is_deafened { 0 } else { target.voices() };
        let hearing = Hearing { voices, own: NO_PLACE, pinned: 0 };
        Listener { address, peer_id, peer, ssrc, hearing, outbound, target, sink: None, pins: [0; MAX_PINS] }
    }

    pub fn set_address(&mut self, address: SocketAddr) {
        self.address = address;
    }

    pub fn set_deafened(&mut self, is_deafened: bool, events: &mut Vec<(PeerId, PeerEvent)>) {
        self.hearing.voices = if is_deafened { 0 } else { self.target.voices() };
        if let (true, Target::Webrtc { slots, .. }) = (is_deafened, &mut self.target) {
            slots.free_all(|ssrc| events.push((self.peer_id, PeerEvent::Slot { ssrc, speaker: None })));
            self.stop_sounds(events);
        }
    }

    /// What was sent to this listener in slots, since `since`. Native listeners hear every speaker's own stream.
    pub fn sent(&self, now: Instant, since: Instant) -> impl Iterator<Item = SentStream> {
        let seen = self.sink.iter().flat_map(move |sink| sink.sent(now, since));
        let slots = match &self.target {
            Target::Webrtc { slots, .. } => Some(slots),
            Target::Native => None,
        };
        slots.into_iter().flat_map(move |slots| slots.sent(now, since)).chain(seen)
    }

    /// Hears the speaker not, or not any more. Whether that was for want of a place, and not because it is deafened or the
    /// speaker itself.
    fn miss(&mut self, speaker: u32, events: &mut Vec<(PeerId, PeerEvent)>) -> bool {
        if self.hearing.voices == 0 || self.ssrc == speaker {
            return false;
        }
        // A slot that is not sent into must be left, or its stream would show a loss when the speaker is heard again.
        self.free_slot(speaker, events);
        true
    }

    fn free_slot(&mut self, speaker: u32, events: &mut Vec<(PeerId, PeerEvent)>) {
        if let Target::Webrtc { slots, .. } = &mut self.target
            && let Some(ssrc) = slots.free(speaker)
        {
            events.push((self.peer_id, PeerEvent::Slot { ssrc, speaker: None }));
        }
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

impl Target {
    fn voices(&self) -> u8 {
        match self {
            Target::Native => MAX_SPEAKERS as u8,
            Target::Webrtc { slots, .. } => slots.count(),
        }
    }
}

/// A speaker's packet, decrypted and parsed.
pub struct Frame<'a> {
    /// The speaker's native SSRC.
    pub speaker: u32,
    pub speaker_id: PeerId,
    /// Where the speaker's own listener is in this part of the room.
    pub listener: Option<usize>,
    pub is_priority: bool,
    /// Its number in the stream and how loud it is.
    pub spoken: Spoken,
    pub timestamp: u32,
    pub marker: bool,
    pub audio_level: Option<u8>,
    /// Opus, or redundant audio that ends with the newest packet.
    pub payload: &'a mut [u8],
    /// Where the newest packet begins; zero when nothing is before it.
    pub newest: usize,
    /// The payload type of Opus that stands in the headers of redundant audio.
    pub labelled: Option<u8>,
}

impl Frame<'_> {
    /// Header and payload of the copy at a place of a WebRTC listener's slot.
    #[inline]
    fn copy_for(&mut self, format: &Format, place: &Place) -> (Outgoing, &[u8]) {
        let (marker, level) = (self.marker || place.is_first, self.audio_level);
        let (payload_type, payload) = self.payload_for(format, place.is_first);
        let outgoing = Outgoing {
            marker,
            payload_type,
            sequence: place.index as u16,
            timestamp: place.timestamp,
            ssrc: place.ssrc,
            audio_level: format.audio_level.zip(level),
            transport: None,
        };
        (outgoing, payload)
    }

    /// What a copy in this format carries, and under which payload type.
    #[inline]
    fn payload_for(&mut self, format: &Format, is_first: bool) -> (u8, &[u8]) {
        match (self.labelled, format.red) {
            // What came before a tenure was another speaker's, or silence.
            (Some(labelled), Some(red)) if !is_first => {
                if labelled != format.payload_type {
                    red::relabel(self.payload, format.payload_type);
                    self.labelled = Some(format.payload_type);
                }
                (red, &*self.payload)
            }
            _ => (format.payload_type, &self.payload[self.newest..]),
        }
    }
}

/// Where forwarding writes besides the egress.
pub struct Ledger<'a> {
    pub traffic: &'a mut Traffic,
    pub drops: &'a mut Drops,
    pub events: &'a mut Vec<(PeerId, PeerEvent)>,
    pub parcels: &'a mut Parcels,
}

/// A room, or what one worker has of it.
pub struct Room {
    pub life: Life,
    pub part: Part,
    /// Its branches, at its home.
    pub branches: Vec<Branch>,
    /// At a branch: what everybody decodes who sits on other parts, and what the home was told of who sits here.
    pub decoded_elsewhere: Codecs,
    pub decoded_told: Codecs,
    /// Where the stages are of those who publish from other parts.
    pub mirrors: Vec<usize>,
    /// When these are looked at next.
    pub mirrors_due: Option<Instant>,
    /// Everyone who sits here, with and without transport.
    pub members: usize,
    /// Whether somebody records what is said here.
    pub is_taped: bool,
    /// And what is shown.
    pub is_filmed: bool,
    /// Nobody is shown larger pictures.
    pub ceiling: Ceiling,
    listeners: Vec<Listener>,
    speakers: Speakers,
    /// Whether any listener ever pinned a speaker: then new places are looked at for all.
    has_pins: bool,
    /// What was said, once somebody sat here who may ask for it.
    past: Option<Box<Past>>,
    /// Videos that are or may be published.
    stages: Vec<Option<Stage>>,
    /// Stages there were.
    generations: u32,
    /// The codecs that everybody here who is shown videos decodes, as they were told.
    codecs: Codecs,
    pub errands: Errands,
}

/// What a room leaves to the engine to do, to tell or to count after a step.
#[derive(Default)]
pub struct Errands {
    /// Publishers that something is to be asked of, by index in the engine's table.
    pub calls: Vec<u32>,
    /// Listeners of video that are to be looked at, when, and whether exactly then: a probe that leaves late tells nothing.
    pub alarms: Vec<(Instant, bool, PeerId, u32)>,
    /// Publishers of whose pictures packets are held back for the rest.
    pub held: Vec<(PeerId, u32)>,
    /// For other parts of the room.
    pub letters: Letters,
    pub events: Vec<(PeerId, PeerEvent)>,
    /// For whoever films the room.
    pub seen: Vec<Seen>,
    /// Copies of audio that were sent again.
    pub audio_repeated: u64,
    /// Copies of video that left: new ones, those sent again, and those that only probe.
    pub sent: u64,
    pub repeated: u64,
    pub padding: u64,
    /// Copies that did not, by reason.
    pub before_tenure: u64,
    pub superseded: u64,
    pub overdue: u64,
    pub queue_full: u64,
}

impl Errands {
    /// Moves the counts to where they are kept.
    #[inline]
    pub fn count(&mut self, traffic: &mut Traffic, drops: &mut Drops) {
        traffic.audio_repeated += std::mem::take(&mut self.audio_repeated);
        traffic.video_out += std::mem::take(&mut self.sent);
        traffic.video_repeated += std::mem::take(&mut self.repeated);
        traffic.padding_out += std::mem::take(&mut self.padding);
        drops.add(Reason::BeforeTenure, std::mem::take(&mut self.before_tenure));
        drops.add(Reason::Superseded, std::mem::take(&mut self.superseded));
        drops.add(Reason::Overdue, std::mem::take(&mut self.overdue));
        drops.add(Reason::QueueFull, std::mem::take(&mut self.queue_full));
    }
}

impl Room {
    pub fn new(life: Life, part: Part) -> Room {
        Room {
            life,
            part,
            branches: Vec::new(),
            decoded_elsewhere: Codecs::ALL,
            decoded_told: Codecs::ALL,
            mirrors: Vec::new(),
            mirrors_due: None,
            members: 0,
            is_taped: false,
            is_filmed: false,
            ceiling: Ceiling::NONE,
            listeners: Vec::new(),
            speakers: Speakers::new(),
            has_pins: false,
            past: None,
            stages: Vec::new(),
            generations: 0,
            codecs: Codecs::ALL,
            errands: Errands::default(),
        }
    }

    /// Adds a listener and returns where it is; [`Room::remove`] moves others.
    pub fn add(&mut self, mut listener: Listener) -> usize {
        let at = self.listeners.len();
        if let Target::Webrtc { format: Format { repeats: true, .. }, .. } = listener.target {
            self.past.get_or_insert_default();
        }
        listener.hearing.own = self.speakers.place_of(listener.ssrc);
        self.speakers.move_listener(listener.ssrc, Some(at));
        let newcomer = listener.sink.as_ref().map(|_| listener.peer_id);
        self.listeners.push(listener);
        if let (false, Some(newcomer)) = (self.agree(), newcomer) {
            self.errands.events.push((newcomer, PeerEvent::Codecs(self.codecs)));
        }
        at
    }

    /// Removes a listener; with it comes the peer whose listener now has this place, if any moved.
    pub fn remove(&mut self, index: usize) -> (Listener, Option<u32>) {
        let removed = self.listeners.swap_remove(index);
        self.vacate(index, self.listeners.len());
        self.speakers.move_listener(removed.ssrc, None);
        let moved = self.listeners.get(index);
        if let Some(moved) = moved {
            self.speakers.move_listener(moved.ssrc, Some(index));
        }
        let moved = moved.map(|moved| moved.peer);
        self.agree();
        (removed, moved)
    }

    /// Removes what a peer shows and hears here, without asking it where that is; places change.
    pub fn bury(&mut self, peer: u32) {
        self.close_stages(peer);
        while let Some(place) = self.listeners.iter().position(|listener| listener.peer == peer) {
            self.remove(place);
        }
    }

    /// Whether listeners and speakers know of each other what they must.
    pub fn agrees(&self) -> bool {
        let knows_its_place = |(at, listener): (usize, &Listener)| {
            let place = self.speakers.place_of(listener.ssrc);
            let is_known = place == NO_PLACE || self.speakers.listener_at(usize::from(place)) == Some(at);
            listener.hearing.own == place && listener.hearing.pinned == self.speakers.places_of(&listener.pins) && is_known
        };
        self.listeners.iter().enumerate().all(knows_its_place) && self.shows_what_is_watched() && self.mirrors_what_is_shown()
    }

    /// Whose listener is at each place.
    pub fn owners(&self) -> impl Iterator<Item = u32> {
        self.listeners.iter().map(|listener| listener.peer)
    }

    pub fn listener(&mut self, index: usize) -> &mut Listener {
        &mut self.listeners[index]
    }

    /// Sends one packet to everyone who hears its speaker; `false` when the room has no place for the speaker.
    #[inline]
    pub fn forward(&mut self, now: Instant, frame: &mut Frame, egress: &mut impl Egress, ledger: &mut Ledger) -> bool {
        let Some(placed) = self.speakers.hear(now, frame.speaker, frame.listener, frame.is_priority, &frame.spoken) else {
            return false;
        };
        if !placed.changed.is_empty() {
            self.note_places(&placed);
        }
        self.deliver(now, placed.place, frame, egress, ledger);
        if !self.branches.is_empty() {
            self.hand_on(placed.place, frame, ledger);
        }
        true
    }

    /// Sends a packet whose speaker has this place to everyone here who hears it.
    #[inline]
    pub fn deliver(&mut self, now: Instant, place: u8, frame: &mut Frame, egress: &mut impl Egress, ledger: &mut Ledger) {
        if let Some(past) = &mut self.past {
            past.insert(now, frame);
        }
        // Native copies differ in their seal alone.
        let native = Outgoing {
            marker: frame.marker,
            payload_type: NATIVE_OPUS,
            sequence: frame.spoken.index as u16,
            timestamp: frame.timestamp,
            ssrc: frame.speaker,
            audio_level: None,
            transport: None,
        };
        let (mut copies, mut unheard, mut hint) = (0, 0, 0);
        for next in 0..self.listeners.len() {
            if let Some(ahead) = self.listeners.get(next + PREFETCH_AHEAD) {
                ahead.ask();
            }
            let listener = &mut self.listeners[next];
            if !listener.hearing.includes(place) || listener.ssrc == frame.speaker {
                unheard += u64::from(listener.miss(frame.speaker, ledger.events));
                continue;
            }
            let (outgoing, index, payload) = match &mut listener.target {
                Target::Native => (native, frame.spoken.index, &frame.payload[frame.newest..]),
                Target::Webrtc { format, slots, .. } => {
                    let (events, listener_id) = (&mut *ledger.events, listener.peer_id);
                    let speaker_id = frame.speaker_id;
                    let changed = |ssrc| events.push((listener_id, PeerEvent::Slot { ssrc, speaker: Some(speaker_id) }));
                    let (hearing, speakers) = (listener.hearing, &self.speakers);
                    let is_heard = |speaker| hearing.includes(speakers.place_of(speaker));
                    match slots.place(now, frame.speaker, frame.spoken.index, frame.timestamp, &mut hint, is_heard, changed) {
                        Ok(place) => {
                            let (outgoing, payload) = frame.copy_for(format, &place);
                            slots.count_sent(payload.len());
                            (outgoing, place.index, payload)
                        }
                        Err(refused) => {
                            ledger.drops.count(match refused {
                                Refused::NoSlot => Reason::Unheard,
                                Refused::BeforeTenure => Reason::BeforeTenure,
                            });
                            continue;
                        }
                    }
                }
            };
            let out = egress.slot();
            let header_len = outgoing.write(out);
            let len = listener.outbound.seal(out, header_len, index, payload);
            egress.commit(len, listener.address);
            copies += 1;
        }
        ledger.traffic.audio_out += copies;
        ledger.drops.add(Reason::Unheard, unheard);
    }

    /// The order of the speakers as it is now, for a packet of the one at `place`.
    pub fn order(&self, place: u8) -> Order {
        Order::new(place, self.speakers.all())
    }

    /// Takes over the order that the room's home has decided.
    #[inline]
    pub fn follow(&mut self, order: &Order) {
        if self.speakers.follow(order.speakers()) {
            self.find_places();
        }
    }

    #[cold]
    fn find_places(&mut self) {
        for (at, listener) in self.listeners.iter_mut().enumerate() {
            listener.hearing.own = self.speakers.place_of(listener.ssrc);
            if listener.hearing.own != NO_PLACE {
                self.speakers.move_listener(listener.ssrc, Some(at));
            }
        }
        self.find_pins();
    }

    /// Whom a WebRTC listener hears whoever else talks, in place of those before; of more than it may pin, the first.
    pub fn pin(&mut self, listener: usize, speakers: &[u32]) {
        let listener = &mut self.listeners[listener];
        // Native listeners hear everyone.
        let Target::Webrtc { slots, .. } = &listener.target else { return };
        let most = MAX_PINS.min(usize::from(slots.count()).saturating_sub(1));
        let mut others = speakers.iter().copied().filter(|&speaker| speaker != listener.ssrc).take(most);
        listener.pins = std::array::from_fn(|_| others.next().unwrap_or(0));
        self.has_pins |= listener.pins[0] != 0;
        self.find_pins();
    }

    /// Where those are who are pinned.
    fn find_pins(&mut self) {
        if self.has_pins {
            for listener in &mut self.listeners {
                listener.hearing.pinned = self.speakers.places_of(&listener.pins);
            }
        }
    }

    /// Speakers changed places: their listeners must know their own.
    #[cold]
    fn note_places(&mut self, placed: &Placed) {
        for place in placed.changed.clone() {
            if let Some(listener) = self.speakers.listener_at(place) {
                self.listeners[listener].hearing.own = place as u8;
            }
        }
        if let Some(listener) = placed.displaced {
            self.listeners[listener].hearing.own = NO_PLACE;
        }
        self.find_pins();
    }

    /// The speaker is silent, muted or gone: its place and its slots are free, and who had one is told.
    pub fn silence(&mut self, speaker: u32, events: &mut Vec<(PeerId, PeerEvent)>) {
        if let Some((changed, displaced)) = self.speakers.remove(speaker) {
            self.note_places(&Placed { place: NO_PLACE, changed, displaced });
        }
        for listener in &mut self.listeners {
            listener.free_slot(speaker, events);
        }
        if let Some(past) = &mut self.past {
            past.forget(speaker);
        }
    }
}

#[cfg(test)]
mod tests;
