//! Video in a room: who is shown what in which slot, and the forwarding of a packet to those who are.
//!
//! The hot path is as for audio: a packet was decrypted and looked at once. It is remembered once, too, and waits a moment for the
//! rest of its picture; then each listener who is sent its layer gets a place in its pacer's queue, and its copy from there
//! ([`super::downlink`]). A packet costs only those.

use super::super::Egress;
use super::super::paced::{Queued, WIRE_OVERHEAD};
use super::super::sink::{Sink, Slot, Want};
use super::super::spread::mirrors::MIRRORED;
use super::super::stage::{Held, Seat, Stage};
use super::{Errands, Room};
use crate::bandwidth::pacer::MOST_IN_RUN;
use crate::sys::thread::prefetch;
use crate::video::history::{History, Remembered};
use crate::video::layered::Part;
use crate::video::rewrite::Origin;
use crate::video::vp8::Picture;
use crate::video::{self, Codec, Source};
use crate::{PeerEvent, PeerId};
use std::time::Instant;

/// The sequence number that a retransmission repeats stands before its payload (RFC 4588 §4).
pub const REPEATED_LEN: usize = 2;

/// Packets of a picture that wait for the rest of it, at most: as many as a pacer lets leave at once.
pub const MOST_HELD: usize = MOST_IN_RUN;

/// A packet of video, decrypted.
pub struct Shot<'a> {
    pub codec: Codec,
    pub index: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a [u8],
    /// What it is a part of, in a layered stream.
    pub part: Option<(Part, Picture)>,
    /// Its dependency descriptor, where there is one and the stream is layered.
    pub descriptor: &'a [u8],
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
            (0..slots).for_each(|slot| self.seat(Seat { listener, slot }));
        }
        self.settle(now, index);
        index
    }

    /// Everything that a publisher sends ends.
    pub fn close_stages(&mut self, publisher: u32) {
        for index in 0..self.stages.len() {
            if let Some(stage) = self.stages[index].take_if(|stage| stage.publisher == publisher) {
                self.clear(stage);
            }
        }
    }

    /// A stage is gone: its audience is told, and so are other parts of the room.
    pub fn clear(&mut self, stage: Stage) {
        self.tell_end(&stage);
        for seat in stage.audience {
            self.listeners[seat.listener].empty(seat.slot, &mut self.errands);
        }
    }

    pub fn stage(&mut self, index: usize) -> Option<&mut Stage> {
        self.stages.get_mut(index)?.as_mut()
    }

    /// By their places, of which some are free.
    pub fn stages(&self) -> &[Option<Stage>] {
        &self.stages
    }

    /// Frees a place, for [`Room::clear`].
    pub fn take_stage(&mut self, index: usize) -> Option<Stage> {
        self.stages.get_mut(index)?.take()
    }

    /// What this listener wants to see now, in place of what it wanted before.
    pub fn watch(&mut self, now: Instant, listener: usize, wants: &[Want]) {
        let Some(sink) = &mut self.listeners[listener].sink else { return };
        if !wants.is_empty() {
            sink.open(now);
        }
        let slots = sink.slots.len();
        for number in 0..slots {
            let want = wants.iter().find(|want| usize::from(want.slot) == number).copied();
            let seat = Seat { listener, slot: number };
            let Some(slot) = self.listeners[listener].slot(number) else { continue };
            let who = |want: Option<Want>| want.map(|want| (want.publisher, want.source));
            let before = std::mem::replace(&mut slot.want, want);
            if who(before) != who(want) {
                if let Some(stage) = slot.stage.and_then(|(stage, _)| self.stages[stage].as_mut()) {
                    stage.audience.retain(|other| *other != seat);
                    // It may be wanted less than before.
                    self.errands.calls.push(stage.publisher);
                }
                self.listeners[listener].empty(number, &mut self.errands);
                self.seat(seat);
            }
        }
        self.listeners[listener].choose_sounds(&mut self.errands.events);
        self.allocate(now, listener);
        if !self.mirrors.is_empty() {
            // Its sound may be wanted where no picture is.
            self.errands.calls.push(MIRRORED);
        }
    }

    /// Puts a slot before the stage that it wants, if there is one.
    fn seat(&mut self, seat: Seat) {
        let Some(slot) = self.listeners[seat.listener].slot(seat.slot) else { return };
        let (Some(want), None) = (slot.want, slot.stage) else { return };
        let is_wanted = |stage: &Stage| (stage.publisher_id, stage.source) == (want.publisher, want.source);
        let stages = self.stages.iter_mut().enumerate();
        if let Some((index, stage)) =
            stages.filter_map(|(at, stage)| Some((at, stage.as_mut()?))).find(|(_, stage)| is_wanted(stage))
        {
            slot.stage = Some((index, stage.generation));
            stage.audience.push(seat);
            self.listeners[seat.listener].choose_sounds(&mut self.errands.events);
        }
    }

    /// Chooses again for everyone who is shown this.
    pub fn settle(&mut self, now: Instant, stage: usize) {
        let audience = self.stages[stage].as_ref().map_or(0, |stage| stage.audience.len());
        for at in 0..audience {
            let seat = self.stages[stage].as_ref().map(|stage| stage.audience[at]);
            seat.into_iter().for_each(|seat| self.allocate(now, seat.listener));
        }
        self.aim_film(now, stage);
    }

    /// The layers that anybody is sent or waits for, one bit each.
    pub fn wanted(&self, stage: usize) -> u8 {
        let Some(stage) = self.stages.get(stage).and_then(Option::as_ref) else { return 0 };
        let wanted = |seat: &Seat| {
            let slot = self.listeners[seat.listener].sink.as_ref().and_then(|sink| sink.slots.get(seat.slot));
            slot.map_or(0, |slot| [slot.layer, slot.target].into_iter().flatten().fold(0, |bits, layer| bits | 1 << layer))
        };
        let elsewhere = stage.links.as_ref().map_or(0, |links| links.wanted());
        stage.audience.iter().fold(stage.film.wanted() | elsewhere, |bits, seat| bits | wanted(seat))
    }

    /// Whether anybody is shown it, so that its sound is heard.
    pub fn is_shown(&self, stage: usize) -> bool {
        let Some(stage) = self.stages.get(stage).and_then(Option::as_ref) else { return false };
        let is_shown = |seat: &Seat| {
            let slot = self.listeners[seat.listener].sink.as_ref().and_then(|sink| sink.slots.get(seat.slot));
            slot.is_some_and(Slot::is_shown)
        };
        stage.links.as_ref().is_some_and(|links| links.is_shown()) || stage.audience.iter().any(is_shown)
    }

    /// Gives one packet of a stream to everyone who is shown its layer, or one of its layers.
    #[inline]
    pub fn show(&mut self, now: Instant, stage: usize, layer: u8, shot: &Shot, egress: &mut impl Egress) {
        if let Some((part, picture)) = &shot.part {
            if self.is_coded(now, stage, shot.codec, part.is_key) {
                self.show_part(now, stage, layer, (shot, part, *picture), egress);
            }
            return;
        }
        let look = video::look(shot.codec, shot.payload);
        if !self.is_coded(now, stage, shot.codec, look.starts_key_frame) {
            return;
        }
        let Some(on_stage) = self.stages[stage].as_mut() else { return };
        let Some(state) = on_stage.layers.get_mut(usize::from(layer)) else { return };
        let bytes = shot.payload.len() + WIRE_OVERHEAD;
        let is_change = state.on_packet(now, shot.codec, bytes, look.size);
        let (codec, marker, timestamp, picture) = (shot.codec, shot.marker, shot.timestamp, look.picture);
        let payload = shot.payload;
        let remembered = Remembered { codec, marker, timestamp, picture, level: None, payload, descriptor: &[] };
        state.history.get_or_insert_with(History::new).insert(shot.index, &remembered);
        if is_change {
            self.settle(now, stage);
        }
        if self.is_filmed {
            self.expose(now, stage, layer, shot, look.starts_key_frame);
        }
        let Room { stages, errands, .. } = self;
        let Some(on_stage) = stages[stage].as_mut() else { return };
        let state = &mut on_stage.layers[usize::from(layer)];
        if look.starts_key_frame {
            state.on_key_frame();
        }
        state.held.reserve_exact(MOST_HELD - state.held.len());
        state.held.push(Held { index: shot.index, codec, bytes, starts_key_frame: look.starts_key_frame });
        if marker || state.held.len() == MOST_HELD {
            self.release_picture(now, stage, layer, egress);
        } else if !std::mem::replace(&mut on_stage.is_holding, true) {
            errands.held.push((on_stage.publisher_id, on_stage.publisher));
        }
    }

    /// Gives what came of a layer's picture to everyone who is shown it: the packets to one listener one behind the other, which
    /// then cost little more than one, in the kernel and in what of a listener has to be brought from memory.
    pub fn release_picture(&mut self, now: Instant, stage: usize, layer: u8, egress: &mut impl Egress) {
        let state = |room: &mut Room| Some(std::mem::take(&mut room.stages[stage].as_mut()?.layers[usize::from(layer)].held));
        let Some(mut held) = state(self).filter(|held| !held.is_empty()) else { return };
        let mut at = 0;
        while let Some(&seat) = self.stages[stage].as_ref().and_then(|stage| stage.audience.get(at)) {
            self.ask_ahead(stage, at);
            if self.queue(now, stage, layer, seat, &held) {
                self.release(now, seat.listener, egress);
            }
            at += 1;
        }
        held.clear();
        if let Some(on_stage) = &mut self.stages[stage] {
            on_stage.layers[usize::from(layer)].held = held;
        }
    }

    /// Asks for the memory of the listeners that come next, whose state is cold: from the outside in, a step for each listener.
    #[inline]
    fn ask_ahead(&self, stage: usize, at: usize) {
        let Some(audience) = self.stages[stage].as_ref().map(|stage| &stage.audience) else { return };
        if let Some(seat) = audience.get(at + 3) {
            let listener = &self.listeners[seat.listener];
            listener.ask();
            prefetch(&listener.sink, size_of::<Option<Box<Sink>>>());
        }
        if let Some(sink) = audience.get(at + 2).and_then(|seat| self.listeners[seat.listener].sink.as_ref()) {
            prefetch(&**sink, size_of::<Sink>());
        }
        if let Some(seat) = audience.get(at + 1)
            && let Some(sink) = &self.listeners[seat.listener].sink
        {
            sink.ask(seat.slot);
        }
    }

    /// Puts packets of a layer into a listener's queue, if its slot shows that layer or begins to. Whether there were any.
    #[inline]
    fn queue(&mut self, now: Instant, stage: usize, layer: u8, seat: Seat, held: &[Held]) -> bool {
        let Room { stages, listeners, errands, .. } = self;
        let Some(on_stage) = stages[stage].as_mut() else { return false };
        let listener = &mut listeners[seat.listener];
        let Some(sink) = &mut listener.sink else { return false };
        let Sink { formats, slots, paced: Some(paced), .. } = &mut **sink else { return false };
        let slot = &mut slots[seat.slot];
        let origin = Origin { stage: stage as u16, generation: on_stage.generation, layer, is_thinned: false };
        let mut is_any = false;
        for packet in held.iter().filter(|packet| formats.codecs[packet.codec as usize].is_some()) {
            let begins = slot.layer != Some(layer) && slot.target == Some(layer) && packet.starts_key_frame;
            if begins {
                if slot.layer.is_some_and(|before| on_stage.is_smaller(layer, before)) {
                    // The network does not carry the larger one, and what waits of it would only be in the way.
                    errands.superseded += paced.abandon(seat.slot);
                }
                slot.layer = Some(layer);
                let showing = Some((on_stage.publisher_id, on_stage.source));
                tell(listener.peer_id, seat.slot, slot, showing, &mut errands.events);
            } else if slot.layer != Some(layer) {
                continue;
            }
            let queued =
                Queued { slot: seat.slot as u8, origin, index: packet.index, left_out: 0, top: 0, is_blank: false, begins };
            if paced.pacer.push_video(now, queued, packet.bytes).is_ok() {
                is_any = true;
            } else {
                errands.queue_full += 1;
                errands.superseded += paced.abandon(seat.slot);
                // A gap that only a key frame closes.
                slot.layer = None;
                on_stage.layers[usize::from(layer)].need_key_frame();
            }
        }
        is_any
    }

    /// Sends everyone who is shown this what may leave now.
    #[inline]
    pub(super) fn release_all(&mut self, now: Instant, stage: usize, egress: &mut impl Egress) {
        for at in 0..self.stages[stage].as_ref().map_or(0, |stage| stage.audience.len()) {
            let seat = self.stages[stage].as_ref().map(|stage| stage.audience[at]);
            seat.into_iter().for_each(|seat| self.release(now, seat.listener, egress));
        }
    }

    /// The rest of a publisher's pictures did not come soon: what came of them leaves without it.
    pub fn release_held(&mut self, now: Instant, publisher: u32, egress: &mut impl Egress) {
        for at in 0..self.stages.len() {
            let Some(stage) = self.stages[at].as_mut().filter(|stage| stage.publisher == publisher) else { continue };
            stage.is_holding = false;
            (0..stage.layers.len() as u8).for_each(|layer| self.release_picture(now, at, layer, egress));
        }
    }

    /// A listener cannot decode what it is sent in this slot without a key frame.
    pub fn want_key_frame(&mut self, listener: usize, ssrc: u32) {
        let Some(sink) = &self.listeners[listener].sink else { return };
        let Some(slot) = sink.slot_of(ssrc).map(|number| &sink.slots[number]) else { return };
        let (Some((stage, _)), Some(layer)) = (slot.stage, slot.layer) else { return };
        if let Some(stage) = self.stages[stage].as_mut() {
            stage.layers[usize::from(layer)].need_key_frame();
            self.errands.calls.push(stage.publisher);
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

/// Tells a listener who is in its slot, if it does not know.
pub(super) fn tell(
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

    /// A slot shows nothing any more.
    fn empty(&mut self, number: usize, errands: &mut Errands) {
        let Some(sink) = &mut self.sink else { return };
        errands.superseded += sink.empty(number);
        if let Some(slot) = sink.slots.get_mut(number) {
            tell(self.peer_id, number, slot, None, &mut errands.events);
        }
        self.choose_sounds(&mut errands.events);
    }

    /// Gives the listener its video slots.
    pub fn with_sink(mut self, sink: Option<Sink>) -> super::Listener {
        self.sink = sink.map(Box::new);
        self
    }
}
