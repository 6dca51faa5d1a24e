//! Layered streams in a room: what of a packet goes to whom, and which codecs everybody can be sent.
//!
//! All layers come in one stream and have one history; each listener's slot has a machine that chooses of it
//! ([`crate::video::thinner`]). What a listener's descriptors call active is limited where they bring a structure: who goes
//! down in between is told at the next key frame, which browsers do not wait for.

use super::super::Egress;
use super::super::paced::{Queued, WIRE_OVERHEAD};
use super::super::sink::Sink;
use super::super::stage::Stage;
use super::Room;
use super::video::{Shot, tell};
use crate::PeerEvent;
use crate::video::history::{History, Level, Remembered};
use crate::video::layered::Part;
use crate::video::rewrite::Origin;
use crate::video::thinner::{Aim, Verdict};
use crate::video::vp8::Picture;
use crate::video::{Codec, Codecs, MAX_LAYERS};
use std::time::Instant;

impl Room {
    /// Whether a packet is coded as the video is. One that begins a key frame in another codec is what it is from now on.
    pub(super) fn is_coded(&mut self, now: Instant, stage: usize, codec: Codec, starts_key_frame: bool) -> bool {
        let Some(before) = self.stages[stage].as_ref().map(Stage::codec) else { return false };
        match before {
            None => return true,
            Some(before) if before == codec => return true,
            Some(_) if !starts_key_frame => return false,
            Some(_) => {}
        }
        self.recode(now, stage);
        true
    }

    /// The video is coded otherwise from now on.
    pub fn recode(&mut self, now: Instant, stage: usize) {
        let Room { stages, listeners, errands, .. } = self;
        let Some(stage) = stages[stage].as_mut() else { return };
        stage.recode(now);
        for seat in &stage.audience {
            let Some(sink) = &mut listeners[seat.listener].sink else { continue };
            let Sink { slots, paced: Some(paced), .. } = &mut **sink else { continue };
            errands.superseded += paced.abandon(seat.slot);
            (slots[seat.slot].layer, slots[seat.slot].thinner) = (None, None);
        }
    }

    /// Gives one packet of a layered stream to those who are sent its layer.
    pub(super) fn show_part(
        &mut self,
        now: Instant,
        stage: usize,
        stream: u8,
        (shot, part, picture): (&Shot, &Part, Picture),
        egress: &mut impl Egress,
    ) {
        let Some(on_stage) = self.stages[stage].as_mut() else { return };
        if usize::from(stream) >= on_stage.layers.len() {
            return;
        }
        if let Some(largest) = part.layers.checked_ilog2() {
            on_stage.widen(now, stream, largest as u8);
        }
        let bytes = shot.payload.len() + shot.descriptor.len() + WIRE_OVERHEAD;
        let places = (0..MAX_LAYERS as u8 - stream).filter(|layer| part.is_for(*layer));
        let mut is_change = false;
        for layer in places.clone() {
            let state = &mut on_stage.layers[usize::from(stream + layer)];
            // A key frame begins all layers, whichever is the first.
            if layer == part.spatial || part.is_key {
                let size = part.shape.and_then(|shape| shape.sizes[usize::from(layer)]);
                is_change |= state.on_packet(now, shot.codec, bytes, size);
            } else {
                state.on_other(bytes);
            }
        }
        if let Some(shape) = part.shape {
            let shifted = on_stage.within.iter_mut().skip(usize::from(stream));
            shifted.zip(shape.within).for_each(|(place, within)| *place = within << stream);
        }
        let remembered = Remembered {
            codec: shot.codec,
            marker: shot.marker,
            timestamp: shot.timestamp,
            picture,
            level: Some(Level { spatial: part.spatial, ends: part.ends, layers: part.layers }),
            payload: shot.payload,
            descriptor: shot.descriptor,
        };
        on_stage.layers[usize::from(stream)].history.get_or_insert_with(History::new).insert(shot.index, &remembered);
        if is_change {
            self.settle(now, stage);
        }
        if self.is_filmed {
            self.expose(now, stage, stream, shot, part.is_key);
        }
        let Room { stages, listeners, errands, .. } = self;
        let Some(on_stage) = stages[stage].as_mut() else { return };
        // Of one that came in part before its structure did, the listeners miss something.
        if part.is_key && !std::mem::take(&mut on_stage.is_torn) {
            places.for_each(|layer| on_stage.layers[usize::from(stream + layer)].on_key_frame());
        }
        let origin = Origin { stage: stage as u16, generation: on_stage.generation, layer: stream, is_thinned: true };
        let within =
            std::array::from_fn(|layer| on_stage.within.get(usize::from(stream) + layer).map_or(0, |bits| bits >> stream));
        for at in 0..on_stage.audience.len() {
            let seat = on_stage.audience[at];
            let listener = &mut listeners[seat.listener];
            let Some(sink) = &mut listener.sink else { continue };
            let Sink { formats, slots, paced: Some(paced), .. } = &mut **sink else { continue };
            if formats.codecs[shot.codec as usize].is_none() {
                continue;
            }
            let slot = &mut slots[seat.slot];
            let in_stream = |place: Option<u8>| {
                let is_here = |place: &u8| on_stage.layers.get(usize::from(*place)).is_some_and(|layer| layer.stream == stream);
                place.filter(is_here)?.checked_sub(stream)
            };
            let before = slot.layer;
            let mut aim = Aim { layer: in_stream(before), target: in_stream(slot.target) };
            let thinner = slot.thinner.get_or_insert_default();
            let verdict = thinner.take(origin, shot.index, shot.timestamp, part, &within, &mut aim);
            let Some(layer) = aim.layer else { continue };
            slot.layer = Some(stream + layer);
            let (left_out, begins, is_blank) = match verdict {
                Verdict::Nothing => continue,
                Verdict::Send { left_out, begins } => (left_out, begins, false),
                Verdict::Fill { left_out } => (left_out, false, true),
            };
            if begins {
                if before.is_some_and(|before| on_stage.is_smaller(stream + layer, before)) {
                    errands.superseded += paced.abandon(seat.slot);
                }
                let showing = Some((on_stage.publisher_id, on_stage.source));
                tell(listener.peer_id, seat.slot, slot, showing, &mut errands.events);
            }
            let (number, index) = (seat.slot as u8, shot.index);
            let queued = Queued { slot: number, origin, index, left_out, top: layer, is_blank, begins };
            if paced.pacer.push_video(now, queued, bytes).is_err() {
                errands.queue_full += 1;
                errands.superseded += paced.abandon(seat.slot);
                // A gap that only a key frame closes.
                slot.layer = None;
                on_stage.layers[usize::from(stream + layer)].need_key_frame();
            }
        }
        self.release_all(now, stage, egress);
    }

    /// A packet of a layered stream cannot be understood: its key frame's structure did not come.
    pub fn miss_structure(&mut self, stage: usize, stream: u8) {
        let Some(stage) = self.stages.get_mut(stage).and_then(Option::as_mut) else { return };
        stage.is_torn = true;
        stage.layers.iter_mut().filter(|layer| layer.stream == stream).for_each(|layer| {
            layer.need_key_frame();
        });
    }

    /// Finds out which codecs everybody decodes who is shown videos, here and on other parts of the room, and tells those who
    /// sit here when these are others than before; whether they are.
    pub fn agree(&mut self) -> bool {
        let sinks = self.listeners.iter().filter_map(|listener| Some((listener.peer_id, listener.sink.as_ref()?)));
        let here = sinks.clone().fold(Codecs::ALL, |codecs: Codecs, (_, sink)| codecs.and(sink.formats.decoded()));
        let codecs = here.and(self.decoded_elsewhere());
        let has_changed = std::mem::replace(&mut self.codecs, codecs) != codecs;
        if has_changed {
            self.errands.events.extend(sinks.map(|(peer, _)| (peer, PeerEvent::Codecs(codecs))));
        }
        self.tell_decoded(here);
        has_changed
    }
}

#[cfg(test)]
mod tests;
