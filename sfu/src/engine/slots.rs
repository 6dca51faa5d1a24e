//! The fixed receive slots of one WebRTC listener: who speaks in which, and how a slot's stream stays one continuous stream
//! (one SSRC, sequence numbers and timestamps without a jump) while its speakers change. Who is heard is decided before
//! ([`super::speakers`]): as many as there are slots, so whoever is to be heard always finds one.
//!
//! A *tenure* is the time one speaker holds a slot without a gap. Within it the outgoing index is the incoming index plus a fixed offset,
//! and a tenure begins above everything sent before; incoming indices are never repeated, so no (SSRC, index) is ever sealed
//! twice, which AEAD forbids.

use crate::rtcp::SentStream;
use crate::sdp::MAX_SLOTS;
use std::time::{Duration, Instant};

/// A speaker that was silent this long holds no slot.
pub const FREE_AFTER: Duration = Duration::from_secs(2);

/// A speaker whose indices jump further than this begins a new tenure, lest a listener that misses some packets guesses a
/// wrong rollover count (it can bridge 2^15) and never decrypts again.
const MAX_GAP: u64 = 1 << 12;

/// The RTP clock of Opus.
const CLOCK_HZ: u64 = 48_000;

/// No speaker. Peer keys are indices of a bounded table and never reach this.
const NOBODY: u32 = u32::MAX;

/// Where a packet goes within a slot's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub ssrc: u32,
    pub index: u64,
    pub timestamp: u32,
    /// The first packet of a tenure, marked as the start of a talkspurt.
    pub is_first: bool,
}

/// A packet that went out in a slot, as it is to be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    pub speaker: u32,
    /// As its speaker numbered it.
    pub index: u64,
    pub out_index: u64,
    /// What is added to the speaker's timestamp.
    pub timestamp_offset: u32,
    pub is_first: bool,
}

/// Why a packet has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no slot that the speaker could have.
    NoSlot,
    /// Older than the speaker's tenure.
    BeforeTenure,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    ssrc: u32,
    /// Wrapping difference between outgoing and incoming timestamp.
    timestamp_offset: u32,
    /// Wrapping difference between outgoing and incoming index.
    index_offset: u64,
    /// The first index of this tenure.
    tenure_start: u64,
    /// The next index nobody used.
    next_index: u64,
    last_timestamp: u32,
    last_heard: Instant,
    /// Packets and bytes of payload that were sent.
    packets: u32,
    octets: u32,
}

impl Slot {
    /// The stream goes on above everything sent before; its clock ran on while nobody spoke in it.
    fn begin_tenure(&mut self, now: Instant, index: u64, timestamp: u32) -> Place {
        let pause = now.saturating_duration_since(self.last_heard);
        let ticks = (pause.as_micros() as u64 * CLOCK_HZ / 1_000_000) as u32;
        let out_timestamp = self.last_timestamp.wrapping_add(ticks.max(1));
        let out_index = self.next_index;
        self.index_offset = out_index.wrapping_sub(index);
        self.timestamp_offset = out_timestamp.wrapping_sub(timestamp);
        self.tenure_start = out_index;
        self.next_index = out_index + 1;
        self.last_timestamp = out_timestamp;
        self.last_heard = now;
        Place { ssrc: self.ssrc, index: out_index, timestamp: out_timestamp, is_first: true }
    }
}

/// The table. Who speaks where is apart from the rest, so that finding a speaker reads one cache line.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Slots {
    speakers: [u32; MAX_SLOTS],
    count: u8,
    /// The slot of the latest place.
    latest: u8,
    slots: [Slot; MAX_SLOTS],
}

impl Slots {
    /// As many slots as SSRCs, at most [`MAX_SLOTS`].
    pub fn new(now: Instant, ssrcs: &[u32]) -> Slots {
        // The stream starts at index 1, in the lower half of the first rollover, so that losing its first packets cannot make
        // the receiver guess a wrong rollover count.
        let slot = |ssrc| Slot {
            ssrc,
            timestamp_offset: 0,
            index_offset: 0,
            tenure_start: 1,
            next_index: 1,
            last_timestamp: 0,
            last_heard: now,
            packets: 0,
            octets: 0,
        };
        let mut slots = [slot(0); MAX_SLOTS];
        for (to, &ssrc) in slots.iter_mut().zip(ssrcs) {
            *to = slot(ssrc);
        }
        Slots { speakers: [NOBODY; MAX_SLOTS], count: ssrcs.len().min(MAX_SLOTS) as u8, latest: 0, slots }
    }

    /// Finds the place of a packet. A speaker without a slot gets one: the free one that was silent for longest, else that of
    /// a speaker who is not heard any more. `hint` is where to look first: listeners that came and heard together have their
    /// speakers in the same slots. `changed` is told the SSRC of a slot that was given away.
    #[inline]
    #[allow(clippy::too_many_arguments)] // every one is a word or less, and this is the innermost loop
    pub fn place(
        &mut self,
        now: Instant,
        speaker: u32,
        index: u64,
        timestamp: u32,
        hint: &mut usize,
        is_heard: impl Fn(u32) -> bool,
        changed: impl FnMut(u32),
    ) -> Result<Place, Refused> {
        if self.speakers[*hint % MAX_SLOTS] != speaker {
            match self.speakers.iter().position(|&held_by| held_by == speaker) {
                Some(which) => *hint = which,
                None => return self.give(now, speaker, index, timestamp, is_heard, changed),
            }
        }
        self.latest = *hint as u8;
        let slot = &mut self.slots[*hint % MAX_SLOTS];
        let out_index = index.wrapping_add(slot.index_offset);
        // Wrapping: an index below the tenure appears as a huge distance.
        if out_index.wrapping_sub(slot.tenure_start) > u64::MAX / 2 {
            return Err(Refused::BeforeTenure);
        }
        if out_index > slot.next_index + MAX_GAP {
            return Ok(slot.begin_tenure(now, index, timestamp));
        }
        let out_timestamp = timestamp.wrapping_add(slot.timestamp_offset);
        if out_index >= slot.next_index {
            slot.next_index = out_index + 1;
            slot.last_timestamp = out_timestamp;
        }
        slot.last_heard = now;
        Ok(Place { ssrc: slot.ssrc, index: out_index, timestamp: out_timestamp, is_first: false })
    }

    #[cold]
    fn give(
        &mut self,
        now: Instant,
        speaker: u32,
        index: u64,
        timestamp: u32,
        is_heard: impl Fn(u32) -> bool,
        mut changed: impl FnMut(u32),
    ) -> Result<Place, Refused> {
        let count = usize::from(self.count);
        let free = |&which: &usize| self.speakers[which] == NOBODY;
        let unheard = |&which: &usize| !is_heard(self.speakers[which]);
        let longest_silent = |which: &usize| self.slots[*which].last_heard;
        let which = (0..count)
            .filter(free)
            .min_by_key(longest_silent)
            .or_else(|| (0..count).filter(unheard).min_by_key(longest_silent))
            .ok_or(Refused::NoSlot)?;
        self.speakers[which] = speaker;
        self.latest = which as u8;
        let place = self.slots[which].begin_tenure(now, index, timestamp);
        changed(place.ssrc);
        Ok(place)
    }

    /// Whether one of the slots is sent under this SSRC.
    pub fn has(&self, ssrc: u32) -> bool {
        self.slots[..usize::from(self.count)].iter().any(|slot| slot.ssrc == ssrc)
    }

    /// The SSRCs of the slots in which somebody speaks, each with the number of its newest packet.
    pub fn newest(&self) -> impl Iterator<Item = (u32, u16)> {
        let held = |(slot, speaker): (&Slot, &u32)| (*speaker != NOBODY).then_some((slot.ssrc, (slot.next_index - 1) as u16));
        self.slots.iter().zip(&self.speakers).take(usize::from(self.count)).filter_map(held)
    }

    /// Which packet of the present tenure of the slot `ssrc` had this number, if it is one of the last `most`. Whether it was sent
    /// is for who remembers what was said: within a tenure, whatever came was.
    pub fn gone(&self, ssrc: u32, sequence: u16, most: u64) -> Option<Gone> {
        let which = self.slots[..usize::from(self.count)].iter().position(|slot| slot.ssrc == ssrc)?;
        let (slot, speaker) = (&self.slots[which], self.speakers[which]);
        let newest = slot.next_index - 1;
        let back = u64::from((newest as u16).wrapping_sub(sequence));
        let out_index =
            newest.checked_sub(back).filter(|&index| speaker != NOBODY && back < most && index >= slot.tenure_start)?;
        Some(Gone {
            speaker,
            index: out_index.wrapping_sub(slot.index_offset),
            out_index,
            timestamp_offset: slot.timestamp_offset,
            is_first: out_index == slot.tenure_start,
        })
    }

    /// A packet went out at the latest place.
    #[inline]
    pub fn count_sent(&mut self, octets: usize) {
        let slot = &mut self.slots[usize::from(self.latest) % MAX_SLOTS];
        slot.packets = slot.packets.wrapping_add(1);
        slot.octets = slot.octets.wrapping_add(octets as u32);
    }

    /// What was sent in the slots in which someone spoke since `since`.
    pub fn sent(&self, now: Instant, since: Instant) -> impl Iterator<Item = SentStream> {
        let spoken = move |slot: &&Slot| slot.packets > 0 && slot.last_heard >= since;
        self.slots[..usize::from(self.count)].iter().filter(spoken).map(move |slot| {
            let pause = now.saturating_duration_since(slot.last_heard).as_micros() as u64;
            let timestamp = slot.last_timestamp.wrapping_add((pause * CLOCK_HZ / 1_000_000) as u32);
            SentStream { ssrc: slot.ssrc, timestamp, packets: slot.packets, octets: slot.octets }
        })
    }

    /// How many there are.
    pub fn count(&self) -> u8 {
        self.count
    }

    /// Takes every slot away and tells their SSRCs. A listener that is not sent to for a while must not find its streams far
    /// ahead of where it left them.
    pub fn free_all(&mut self, mut freed: impl FnMut(u32)) {
        for which in 0..usize::from(self.count) {
            if std::mem::replace(&mut self.speakers[which], NOBODY) != NOBODY {
                freed(self.slots[which].ssrc);
            }
        }
    }

    /// Takes the speaker's slot away; its SSRC when it had one.
    #[inline]
    pub fn free(&mut self, speaker: u32) -> Option<u32> {
        let which = self.speakers.iter().position(|&held_by| held_by == speaker)?;
        self.speakers[which] = NOBODY;
        Some(self.slots[which].ssrc)
    }
}

#[cfg(test)]
mod tests;
