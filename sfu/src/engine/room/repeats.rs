//! Audio once more, for a listener that lost it and negotiated to say so, and unasked for one whose network has just become
//! so narrow that nobody knows what of the last moment got through.
//!
//! Before a queue that fills within a moment is known of, it is full, and drops voices as well as pictures. A listener can tell
//! of what it missed only when something later has come through that queue: by then its player is past it. The same packets sent
//! again at the first sign stand in the queue right behind where they were dropped.

use super::super::paced::{DOUBTED, Paced};
use super::super::past::PACKETS;
use super::super::slots::{Gone, Place};
use super::super::{Egress, MAX_PAYLOAD, budget};
use super::{Format, Frame, Room, Target};
use crate::PeerId;
use crate::engine::activity::Spoken;
use crate::stats::Reason;
use std::time::Instant;

/// Headers of IP and UDP.
const DATAGRAM_OVERHEAD: usize = 28;

impl Room {
    /// A listener lost the packet that it was sent under this SSRC with this number: it gets the same again, if it is still
    /// known. Returns how many bytes left; `None`: the SSRC is none of its voices'.
    pub fn repeat_audio(
        &mut self,
        now: Instant,
        listener: usize,
        ssrc: u32,
        sequence: u16,
        egress: &mut impl Egress,
    ) -> Result<Option<usize>, Reason> {
        let listener = &mut self.listeners[listener];
        let Target::Webrtc { format, slots, repeats } = &mut listener.target else { return Ok(None) };
        if !format.repeats || !slots.has(ssrc) {
            return Ok(None);
        }
        let Some(gone) = slots.gone(ssrc, sequence, PACKETS) else { return Ok(Some(0)) };
        let Gone { speaker, index, out_index, timestamp_offset, is_first } = gone;
        let Some(said) = self.past.as_ref().and_then(|past| past.get(speaker, index)) else { return Ok(Some(0)) };
        if !repeats.spend(now, budget::AUDIO_REPEATS) {
            return Err(Reason::OverBudget);
        }
        let mut copy = [0; MAX_PAYLOAD];
        let payload = &mut copy[..said.payload.len()];
        payload.copy_from_slice(said.payload);
        let mut frame = Frame {
            speaker,
            // Who it is and how loud has no part in a copy.
            speaker_id: PeerId(0),
            listener: None,
            is_priority: false,
            spoken: Spoken { index, loudness: 0, is_voice: false },
            timestamp: said.timestamp,
            marker: said.marker,
            audio_level: said.audio_level,
            payload,
            newest: said.newest,
            labelled: said.labelled,
        };
        let timestamp = said.timestamp.wrapping_add(timestamp_offset);
        let (outgoing, payload) = frame.copy_for(format, &Place { ssrc, index: out_index, timestamp, is_first });
        let out = egress.slot();
        let header_len = outgoing.write(out);
        let len = listener.outbound.seal(out, header_len, out_index, payload);
        egress.commit(len, listener.address);
        self.errands.audio_repeated += 1;
        Ok(Some(len))
    }

    /// Of what was said to a listener since a moment: the newest, as much as may be sent again unasked, in the order of time.
    fn doubtful(&self, now: Instant, listener: usize, since: Instant) -> [Option<(Instant, u32, u16)>; DOUBTED.1] {
        let mut doubted = [None; DOUBTED.1];
        let Target::Webrtc { format: Format { repeats: true, .. }, slots, .. } = &self.listeners[listener].target else {
            return doubted;
        };
        let Some(past) = &self.past else { return doubted };
        let since = now.checked_sub(DOUBTED.0).map_or(since, |recent| since.max(recent));
        let said = |ssrc, sequence| {
            let gone = slots.gone(ssrc, sequence, PACKETS)?;
            past.get(gone.speaker, gone.index).map(|said| said.at).filter(|at| *at >= since)
        };
        for (ssrc, newest) in slots.newest() {
            for back in 0..PACKETS as u16 {
                let sequence = newest.wrapping_sub(back);
                let Some(at) = said(ssrc, sequence) else { continue };
                // The oldest of those that are kept gives way.
                let least = doubted.iter_mut().min_by_key(|each| each.map(|(at, ..)| at));
                if let Some(least) = least.filter(|least| least.is_none_or(|(other, ..)| other < at)) {
                    *least = Some((at, ssrc, sequence));
                }
            }
        }
        doubted.sort_unstable();
        doubted
    }

    /// Sends again what may leave now of the voices of which nobody knows whether they get through.
    pub(super) fn repeat_doubted(&mut self, now: Instant, listener: usize, egress: &mut impl Egress) {
        loop {
            let Some(paced) = self.paced(listener).filter(|paced| paced.pacer.is_open(now)) else { return };
            if let Some(since) = paced.doubt.take() {
                let doubtful = self.doubtful(now, listener, since).into_iter().flatten();
                let Some(paced) = self.paced(listener) else { return };
                paced.doubted.extend(doubtful.map(|(_, ssrc, sequence)| (ssrc, sequence)));
                continue;
            }
            let Some((ssrc, sequence)) = paced.doubted.pop_front() else { return };
            let left = self.repeat_audio(now, listener, ssrc, sequence, egress);
            let Some(paced) = self.paced(listener) else { return };
            match left {
                Ok(Some(len)) if len > 0 => paced.pacer.passed(now, len + DATAGRAM_OVERHEAD),
                // It is not known any more, and its slot may be another's.
                Ok(_) => {}
                Err(_) => paced.doubted.clear(),
            }
        }
    }

    fn paced(&mut self, listener: usize) -> Option<&mut Paced> {
        self.listeners[listener].sink.as_mut()?.paced.as_deref_mut()
    }
}
