//! Audio once more, for a listener that lost it and negotiated to say so.

use super::super::past::PACKETS;
use super::super::slots::{Gone, Place};
use super::super::{Egress, MAX_PAYLOAD, budget};
use super::{Frame, Room, Target};
use crate::PeerId;
use crate::engine::activity::Spoken;
use crate::stats::Reason;
use std::time::Instant;

impl Room {
    /// A listener lost the packet that it was sent under this SSRC with this number: it gets the same again, if it is still
    /// known. `false`: the SSRC is none of its voices'.
    pub fn repeat_audio(
        &mut self,
        now: Instant,
        listener: usize,
        ssrc: u32,
        sequence: u16,
        egress: &mut impl Egress,
    ) -> Result<bool, Reason> {
        let listener = &mut self.listeners[listener];
        let Target::Webrtc { format, slots, repeats } = &mut listener.target else { return Ok(false) };
        if !format.repeats || !slots.has(ssrc) {
            return Ok(false);
        }
        let Some(gone) = slots.gone(ssrc, sequence, PACKETS) else { return Ok(true) };
        let Gone { speaker, index, out_index, timestamp_offset, is_first } = gone;
        let Some(said) = self.past.as_ref().and_then(|past| past.get(speaker, index)) else { return Ok(true) };
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
        Ok(true)
    }
}
