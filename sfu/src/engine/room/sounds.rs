//! The sound of screens on its way to those who watch them: a slot each, for as long as the screen is shown.
//!
//! Which screens a listener hears follows from what it shows, and not from who is loud: those in its video slots, the one in
//! focus first, as many as it has slots for sounds.

use super::super::Egress;
use super::super::sink::{Sink, Slot};
use super::super::slots::{Place, Slots};
use super::{Listener, Room};
use crate::rtp::Outgoing;
use crate::sdp::MAX_SOUNDS;
use crate::video::Source;
use crate::{PeerEvent, PeerId};
use std::time::Instant;

/// A packet of a screen's sound, decrypted.
pub struct Sounding<'a> {
    pub index: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a [u8],
}

/// One listener's slots. In each is a screen, named by the generation of its stage.
pub struct Sounds {
    pub slots: Slots,
    payload_type: u8,
    /// The screens that it hears; zero is none's.
    heard: [u32; MAX_SOUNDS],
}

impl Sounds {
    pub fn new(now: Instant, payload_type: u8, ssrcs: &[u32]) -> Sounds {
        Sounds { slots: Slots::new(now, &ssrcs[..ssrcs.len().min(MAX_SOUNDS)]), payload_type, heard: [0; MAX_SOUNDS] }
    }
}

impl Sink {
    /// Chooses the screens that are heard; `freed` is told the slots of those that are not any more.
    fn choose_sounds(&mut self, freed: impl FnMut(u32)) {
        let Some(sounds) = &mut self.sounds else { return };
        // What is in focus; what is heard already; the rest.
        let rank = |slot: &Slot| {
            let (want, (_, screen)) = (slot.want?, slot.stage?);
            let is_screen = want.source == Source::Screen && want.pixels > 0;
            is_screen.then_some((if want.is_focus { 0 } else { 2 - u8::from(sounds.heard.contains(&screen)) }, screen))
        };
        let mut heard = [0; MAX_SOUNDS];
        let most = usize::from(sounds.slots.count());
        for wanted in 0..=2 {
            for (_, screen) in self.slots.iter().filter_map(rank).filter(|(rank, _)| *rank == wanted) {
                let free = heard[..most].iter().position(|&other| other == 0);
                if let Some(free) = free.filter(|_| !heard.contains(&screen)) {
                    heard[free] = screen;
                }
            }
        }
        let gone = std::mem::replace(&mut sounds.heard, heard).into_iter().filter(|screen| !heard.contains(screen));
        gone.filter_map(|screen| sounds.slots.free(screen)).for_each(freed);
    }
}

impl Listener {
    /// What it shows has changed, and so may what it hears.
    pub(super) fn choose_sounds(&mut self, events: &mut Vec<(PeerId, PeerEvent)>) {
        let listener = self.peer_id;
        if let Some(sink) = &mut self.sink {
            sink.choose_sounds(|ssrc| events.push((listener, PeerEvent::Sound { ssrc, publisher: None })));
        }
    }

    /// It hears nothing.
    pub(super) fn stop_sounds(&mut self, events: &mut Vec<(PeerId, PeerEvent)>) {
        let listener = self.peer_id;
        if let Some(sounds) = self.sink.as_mut().and_then(|sink| sink.sounds.as_mut()) {
            sounds.slots.free_all(|ssrc| events.push((listener, PeerEvent::Sound { ssrc, publisher: None })));
        }
    }
}

impl Room {
    /// Sends one packet to everyone who watches the screen on this stage. Returns how many copies left.
    #[inline]
    pub fn resound(
        &mut self,
        now: Instant,
        stage: usize,
        packet: &Sounding,
        egress: &mut impl Egress,
        events: &mut Vec<(PeerId, PeerEvent)>,
    ) -> u64 {
        let Some(on_stage) = self.stages.get(stage).and_then(Option::as_ref) else { return 0 };
        let (screen, publisher) = (on_stage.generation, Some(on_stage.publisher_id));
        let (mut copies, mut hint) = (0, 0);
        for seat in &on_stage.audience {
            let listener = &mut self.listeners[seat.listener];
            let Some(sink) = listener.sink.as_mut().filter(|_| listener.hearing.voices > 0) else { continue };
            let Sink { slots, sounds: Some(sounds), .. } = &mut **sink else { continue };
            // Who shows it twice hears it once.
            let is_first = slots.iter().position(|slot| slot.stage == Some((stage, screen))) == Some(seat.slot);
            if !is_first || !sounds.heard.contains(&screen) {
                continue;
            }
            let (heard, peer_id) = (sounds.heard, listener.peer_id);
            let is_heard = |other| heard.contains(&other);
            let told = |ssrc| events.push((peer_id, PeerEvent::Sound { ssrc, publisher }));
            let placed = sounds.slots.place(now, screen, packet.index, packet.timestamp, &mut hint, is_heard, told);
            // Older than its tenure: the listener has come after it was said.
            let Ok(Place { ssrc, index, timestamp, is_first }) = placed else { continue };
            sounds.slots.count_sent(packet.payload.len());
            let outgoing = Outgoing {
                marker: packet.marker || is_first,
                payload_type: sounds.payload_type,
                sequence: index as u16,
                timestamp,
                ssrc,
                audio_level: None,
                transport: None,
            };
            let out = egress.slot();
            let header_len = outgoing.write(out);
            let len = listener.outbound.seal(out, header_len, index, packet.payload);
            egress.commit(len, listener.address);
            copies += 1;
        }
        copies
    }

    /// Nothing is heard of this screen for now, and whoever heard it is told.
    pub fn hush(&mut self, stage: usize, events: &mut Vec<(PeerId, PeerEvent)>) {
        let Some(on_stage) = self.stages.get(stage).and_then(Option::as_ref) else { return };
        for seat in &on_stage.audience {
            let listener = &mut self.listeners[seat.listener];
            let sounds = listener.sink.as_mut().and_then(|sink| sink.sounds.as_mut());
            if let Some(ssrc) = sounds.and_then(|sounds| sounds.slots.free(on_stage.generation)) {
                events.push((listener.peer_id, PeerEvent::Sound { ssrc, publisher: None }));
            }
        }
    }
}

#[cfg(test)]
mod tests;
