//! Video in a room: who is shown what in which slot, and the forwarding of a packet to those who are.
//!
//! The hot path is as for audio: a packet was decrypted and looked at once; for each copy its numbers are patched in place and
//! it is sealed straight into the send batch. A packet costs only those who are sent its layer.

use super::super::Egress;
use super::super::budget;
use super::super::sink::{Sink, Slot, Want};
use super::super::stage::{Seat, Stage};
use super::{Ledger, Room};
use crate::cipher::Outbound;
use crate::rtp::Outgoing;
use crate::stats::Reason;
use crate::video::history::{History, Remembered};
use crate::video::rewrite::{Incoming, Origin, Placed, Refused};
use crate::video::{self, Codec, Source, vp8};
use crate::{PeerEvent, PeerId};
use std::net::SocketAddr;
use std::time::Instant;

/// The sequence number that a retransmission repeats stands before its payload (RFC 4588 §4).
pub const REPEATED_LEN: usize = 2;

/// A packet of video, decrypted.
pub struct Shot<'a> {
    pub codec: Codec,
    pub index: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a mut [u8],
}

impl Room {
    /// A place for what a publisher is going to send; whoever waits for it has it in its slots.
    pub fn open_stage(&mut self, now: Instant, publisher: (u32, PeerId), source: Source, layers: usize) -> usize {
        self.generations += 1;
        let stage = Stage::new(now, publisher, source, self.generations, layers);
        let index = match self.stages.iter().position(Option::is_none) {
            Some(index) => {
                self.stages[index] = Some(stage);
                index
            }
            None => {
                self.stages.push(Some(stage));
                self.stages.len() - 1
            }
        };
        for listener in 0..self.listeners.len() {
            let slots = self.listeners[listener].sink.as_ref().map_or(0, |sink| sink.slots.len());
            for slot in 0..slots {
                self.seat(now, Seat { listener, slot });
            }
        }
        index
    }

    /// Everything that a publisher sends ends.
    pub fn close_stages(&mut self, publisher: u32, events: &mut Vec<(PeerId, PeerEvent)>) {
        for index in 0..self.stages.len() {
            let Some(stage) = self.stages[index].take_if(|stage| stage.publisher == publisher) else { continue };
            for seat in stage.audience {
                let listener = &mut self.listeners[seat.listener];
                let listener_id = listener.peer_id;
                if let Some(slot) = listener.slot(seat.slot) {
                    slot.clear();
                    tell(listener_id, seat.slot, slot, None, events);
                }
            }
        }
    }

    pub fn stage(&mut self, index: usize) -> Option<&mut Stage> {
        self.stages.get_mut(index)?.as_mut()
    }

    /// What this listener wants to see now, in place of what it wanted before.
    pub fn watch(&mut self, now: Instant, listener: usize, wants: &[Want], events: &mut Vec<(PeerId, PeerEvent)>) {
        let slots = self.listeners[listener].sink.as_ref().map_or(0, |sink| sink.slots.len());
        for number in 0..slots {
            let want = wants.iter().find(|want| usize::from(want.slot) == number).copied();
            let seat = Seat { listener, slot: number };
            let listener_id = self.listeners[listener].peer_id;
            let Some(slot) = self.listeners[listener].slot(number) else { continue };
            let who = |want: Option<Want>| want.map(|want| (want.publisher, want.source));
            let is_same = who(slot.want) == who(want);
            slot.want = want;
            if !is_same {
                let stage = slot.stage;
                slot.clear();
                tell(listener_id, number, slot, None, events);
                if let Some(stage) = stage.and_then(|(stage, _)| self.stages[stage].as_mut()) {
                    stage.audience.retain(|other| *other != seat);
                }
                self.seat(now, seat);
            }
            self.choose(now, seat);
        }
    }

    /// Puts a slot before the stage that it wants, if there is one.
    fn seat(&mut self, now: Instant, seat: Seat) {
        let Some(slot) = self.listeners[seat.listener].slot(seat.slot) else { return };
        let (Some(want), None) = (slot.want, slot.stage) else { return };
        let is_wanted = |stage: &Stage| (stage.publisher_id, stage.source) == (want.publisher, want.source);
        let stages = self.stages.iter_mut().enumerate();
        if let Some((index, stage)) =
            stages.filter_map(|(at, stage)| Some((at, stage.as_mut()?))).find(|(_, stage)| is_wanted(stage))
        {
            slot.stage = Some((index, stage.generation));
            stage.audience.push(seat);
            self.choose(now, seat);
        }
    }

    /// Decides again which layer a slot is to be sent.
    fn choose(&mut self, now: Instant, seat: Seat) {
        let Some(slot) = self.listeners[seat.listener].slot(seat.slot) else { return };
        let (Some(want), Some((stage, _))) = (slot.want, slot.stage) else { return };
        let Some(stage) = self.stages[stage].as_mut() else { return };
        // No bandwidth is known yet.
        let target = if want.pixels == 0 { None } else { stage.layer_for(now, want.pixels, u64::MAX) };
        if want.pixels == 0 {
            slot.layer = None;
        }
        slot.target = target;
        if let Some(target) = target
            && slot.layer != Some(target)
        {
            stage.layers[usize::from(target)].need_key_frame();
        }
        self.calls.push(stage.publisher);
    }

    /// Chooses again for everyone who is shown this.
    pub fn settle(&mut self, now: Instant, stage: usize) {
        let audience = self.stages[stage].as_ref().map_or(0, |stage| stage.audience.len());
        for at in 0..audience {
            let seat = self.stages[stage].as_ref().map(|stage| stage.audience[at]);
            seat.into_iter().for_each(|seat| self.choose(now, seat));
        }
    }

    /// The layers that anybody is sent or waits for, one bit each.
    pub fn wanted(&self, stage: usize) -> u8 {
        let Some(stage) = self.stages.get(stage).and_then(Option::as_ref) else { return 0 };
        let wanted = |seat: &Seat| {
            let slot = self.listeners[seat.listener].sink.as_ref().and_then(|sink| sink.slots.get(seat.slot));
            slot.map_or(0, |slot| [slot.layer, slot.target].into_iter().flatten().fold(0, |bits, layer| bits | 1 << layer))
        };
        stage.audience.iter().fold(0, |bits, seat| bits | wanted(seat))
    }

    /// Sends one packet to everyone who is shown its layer.
    #[inline]
    pub fn show(
        &mut self,
        now: Instant,
        stage: usize,
        layer: u8,
        shot: &mut Shot,
        egress: &mut impl Egress,
        ledger: &mut Ledger,
    ) {
        let look = video::look(shot.codec, shot.payload);
        let Some(on_stage) = self.stages[stage].as_mut() else { return };
        let Some(state) = on_stage.layers.get_mut(usize::from(layer)) else { return };
        let is_change = state.on_packet(now, shot.payload.len(), look.size);
        let (codec, marker, timestamp, picture) = (shot.codec, shot.marker, shot.timestamp, look.picture);
        let remembered = Remembered { codec, marker, timestamp, picture, payload: shot.payload };
        state.history.get_or_insert_with(History::new).insert(shot.index, &remembered);
        if is_change {
            self.settle(now, stage);
        }
        let Room { stages, listeners, .. } = self;
        let Some(on_stage) = stages[stage].as_mut() else { return };
        if look.starts_key_frame {
            on_stage.layers[usize::from(layer)].on_key_frame();
        }
        let origin = Origin { stage: stage as u16, generation: on_stage.generation, layer };
        let incoming = Incoming { index: shot.index, timestamp: shot.timestamp, picture: &look.picture };
        let mut copies = 0;
        for seat in &on_stage.audience {
            let listener = &mut listeners[seat.listener];
            let Some(sink) = &mut listener.sink else { continue };
            let Some((payload_type, _)) = sink.formats.codecs[shot.codec as usize] else { continue };
            let slot = &mut sink.slots[seat.slot];
            let is_turn = slot.target == Some(layer) && look.starts_key_frame;
            let placed = if slot.layer == Some(layer) {
                slot.rewriter.place(now, &incoming)
            } else if is_turn {
                slot.layer = Some(layer);
                let showing = Some((on_stage.publisher_id, on_stage.source));
                tell(listener.peer_id, seat.slot, slot, showing, ledger.events);
                Ok(slot.rewriter.begin(now, origin, &incoming))
            } else {
                continue;
            };
            let placed = match placed {
                Ok(placed) => placed,
                Err(Refused::BeforeTenure) => {
                    ledger.drops.count(Reason::BeforeTenure);
                    continue;
                }
                Err(Refused::Jumped) => {
                    slot.layer = None;
                    on_stage.layers[usize::from(layer)].need_key_frame();
                    continue;
                }
            };
            slot.count_sent(now, shot.payload.len());
            vp8::patch(shot.payload, &look.picture, placed.picture_id, placed.base);
            let head = Head { payload_type, ssrc: slot.ssrc, index: placed.index, marker: shot.marker, placed: &placed };
            head.send(sink.number(), shot.payload, &mut listener.outbound, listener.address, egress);
            copies += 1;
        }
        ledger.traffic.video_out += copies;
    }

    /// A listener lost the packet that it was sent with this number: it gets it again, if it is still known.
    pub fn repeat(
        &mut self,
        now: Instant,
        listener: usize,
        ssrc: u32,
        sequence: u16,
        egress: &mut impl Egress,
    ) -> Result<(), Reason> {
        let Room { stages, listeners, .. } = self;
        let listener = &mut listeners[listener];
        let Some(sink) = &mut listener.sink else { return Ok(()) };
        let Some(number) = sink.slot_of(ssrc) else { return Ok(()) };
        let Some((origin, index)) = sink.slots[number].rewriter.origin(sequence) else { return Ok(()) };
        let stage = stages.get(usize::from(origin.stage)).and_then(Option::as_ref);
        let Some(stage) = stage.filter(|stage| stage.generation == origin.generation) else { return Ok(()) };
        let history = stage.layers.get(usize::from(origin.layer)).and_then(|layer| layer.history.as_ref());
        let Some(packet) = history.and_then(|history| history.get(index)) else { return Ok(()) };
        let Some((_, Some(payload_type))) = sink.formats.codecs[packet.codec as usize] else { return Ok(()) };
        let incoming = Incoming { index, timestamp: packet.timestamp, picture: &packet.picture };
        let Some(placed) = sink.slots[number].rewriter.again(origin, &incoming) else { return Ok(()) };
        if !sink.repeats.spend(now, budget::REPEATS) {
            return Err(Reason::OverBudget);
        }
        let mut payload = [0; REPEATED_LEN + super::super::MAX_PAYLOAD];
        let len = REPEATED_LEN + packet.payload.len();
        let Some(again) = payload.get_mut(..len) else { return Ok(()) };
        again[..REPEATED_LEN].copy_from_slice(&(placed.index as u16).to_be_bytes());
        again[REPEATED_LEN..].copy_from_slice(packet.payload);
        vp8::patch(&mut again[REPEATED_LEN..], &packet.picture, placed.picture_id, placed.base);
        let slot = &mut sink.slots[number];
        let (ssrc, index) = (slot.rtx_ssrc, slot.rtx_index);
        slot.rtx_index += 1;
        let head = Head { payload_type, ssrc, index, marker: packet.marker, placed: &placed };
        head.send(sink.number(), again, &mut listener.outbound, listener.address, egress);
        Ok(())
    }

    /// A listener cannot decode what it is sent in this slot without a key frame.
    pub fn want_key_frame(&mut self, listener: usize, ssrc: u32) {
        let Some(sink) = &self.listeners[listener].sink else { return };
        let Some(slot) = sink.slot_of(ssrc).map(|number| &sink.slots[number]) else { return };
        let (Some((stage, _)), Some(layer)) = (slot.stage, slot.layer) else { return };
        if let Some(stage) = self.stages[stage].as_mut() {
            stage.layers[usize::from(layer)].need_key_frame();
            self.calls.push(stage.publisher);
        }
    }

    /// A listener is gone from this place; whoever was at `last` is there now.
    pub(super) fn vacate(&mut self, place: usize, last: usize) {
        for stage in self.stages.iter_mut().flatten() {
            stage.audience.retain(|seat| seat.listener != place);
            stage.audience.iter_mut().filter(|seat| seat.listener == last).for_each(|seat| seat.listener = place);
        }
    }

    /// Whether slots and stages know of each other what they must.
    pub(super) fn shows_what_is_watched(&self) -> bool {
        let seats = || self.stages.iter().enumerate().filter_map(|(at, stage)| Some((at, stage.as_ref()?)));
        let slots = self.listeners.iter().filter_map(|listener| listener.sink.as_ref()).flat_map(|sink| &sink.slots);
        let seated = slots.filter(|slot| slot.stage.is_some()).count();
        let agrees = |(at, stage): (usize, &Stage)| {
            stage.audience.iter().all(|seat| {
                let sink = self.listeners.get(seat.listener).and_then(|listener| listener.sink.as_ref());
                sink.and_then(|sink| sink.slots.get(seat.slot)).is_some_and(|slot| slot.stage == Some((at, stage.generation)))
            })
        };
        seats().map(|(_, stage)| stage.audience.len()).sum::<usize>() == seated && seats().all(agrees)
    }
}

/// What stands before a copy.
struct Head<'a> {
    payload_type: u8,
    ssrc: u32,
    index: u64,
    marker: bool,
    placed: &'a Placed,
}

impl Head<'_> {
    #[inline]
    fn send(
        &self,
        transport: Option<(u8, u16)>,
        payload: &[u8],
        outbound: &mut Outbound,
        to: SocketAddr,
        egress: &mut impl Egress,
    ) {
        let outgoing = Outgoing {
            marker: self.marker,
            payload_type: self.payload_type,
            sequence: self.index as u16,
            timestamp: self.placed.timestamp,
            ssrc: self.ssrc,
            audio_level: None,
            transport,
        };
        let out = egress.slot();
        let header_len = outgoing.write(out);
        let len = outbound.seal(out, header_len, self.index, payload);
        egress.commit(len, to);
    }
}

/// Tells a listener who is in its slot, if it does not know.
fn tell(
    listener: PeerId,
    number: usize,
    slot: &mut Slot,
    showing: Option<(PeerId, Source)>,
    events: &mut Vec<(PeerId, PeerEvent)>,
) {
    if slot.is_told != showing.is_some() {
        slot.is_told = showing.is_some();
        events.push((listener, PeerEvent::Shown { slot: number as u8, showing }));
    }
}

impl super::Listener {
    fn slot(&mut self, number: usize) -> Option<&mut Slot> {
        self.sink.as_mut()?.slots.get_mut(number)
    }

    /// Gives the listener its video slots.
    pub fn with_sink(mut self, sink: Option<Sink>) -> super::Listener {
        self.sink = sink.map(Box::new);
        self
    }
}
