//! One listener's slot as one continuous stream, whatever is sent in it: sequence numbers without holes of our making,
//! timestamps that go on, and the numbers of pictures and frames, which a decoder follows.
//!
//! A *tenure* is the time in which one layer of one source is sent in the slot. It begins with a key frame, above everything
//! sent before, and within it each number is the incoming one plus a fixed difference; incoming indices are never repeated,
//! so no (SSRC, index) is ever sealed twice, which AEAD forbids. Old tenures are remembered for a while: a listener asks for
//! what it lost by our numbers, and the history knows the publisher's.

use super::CLOCK_HZ;
use super::vp8::Picture;
use std::time::Instant;

/// Tenures that a listener may still ask about. Layers change every few seconds at the most, and the history is a second long.
const TENURES: usize = 4;

/// A source whose indices jump further than this begins anew, lest a listener that misses some packets guesses a wrong
/// rollover count (it can bridge 2^15) and never decrypts again.
const MAX_GAP: u64 = 1 << 12;

/// The least time between the last frame of one tenure and the first of the next, in ticks: 5 ms.
const MIN_STEP: u32 = CLOCK_HZ / 200;

/// What a slot is filled from. The stage's number may be given anew; the generation tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub stage: u16,
    pub generation: u32,
    /// Which of its streams.
    pub layer: u8,
    /// It is layered, and the slot's numbers are those of what of it is sent: see [`super::thinner`].
    pub is_thinned: bool,
}

/// The publisher's numbers of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Of a layered stream less what the listener was not sent before it.
    pub index: u64,
    pub timestamp: u32,
    pub picture: &'a Picture,
}

/// Ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub index: u64,
    pub timestamp: u32,
    pub picture_id: u16,
    pub base: u8,
    pub frame: u16,
}

/// Why a packet has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Older than the tenure.
    BeforeTenure,
    /// So far ahead that the stream must begin anew with a key frame.
    Jumped,
}

#[derive(Clone, Copy, Debug)]
struct Tenure {
    origin: Origin,
    /// The first index, and the one after the last.
    start: u64,
    end: u64,
    index_offset: u64,
    timestamp_offset: u32,
    picture_offset: u16,
    base_offset: u8,
    frame_offset: u16,
}

impl Tenure {
    fn translate(&self, incoming: &Incoming) -> Placed {
        let picture = incoming.picture;
        Placed {
            index: incoming.index.wrapping_add(self.index_offset),
            timestamp: incoming.timestamp.wrapping_add(self.timestamp_offset),
            picture_id: picture.id.map_or(0, |(_, _, id)| id.wrapping_add(self.picture_offset)) & 0x7FFF,
            base: picture.base.map_or(0, |(_, base)| base.wrapping_add(self.base_offset)),
            frame: picture.frame.map_or(0, |frame| frame.wrapping_add(self.frame_offset)),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Rewriter {
    tenures: [Option<Tenure>; TENURES],
    /// The tenure that goes on.
    current: usize,
    next_index: u64,
    /// Of the newest frame, and when it was sent.
    timestamp: u32,
    sent_at: Instant,
    picture_id: u16,
    base: u8,
    frame: u16,
}

impl Rewriter {
    pub fn new(now: Instant) -> Rewriter {
        // Index 1 is in the lower half of the first rollover, so that losing the first packets cannot make the receiver guess
        // a wrong count.
        let (picture_id, base, frame) = (0, 0, 0);
        Rewriter { tenures: [None; TENURES], current: 0, next_index: 1, timestamp: 0, sent_at: now, picture_id, base, frame }
    }

    /// Begins a tenure with the first packet of a key frame.
    pub fn begin(&mut self, now: Instant, origin: Origin, incoming: &Incoming) -> Placed {
        let passed = now.saturating_duration_since(self.sent_at).as_micros() as u64 * u64::from(CLOCK_HZ) / 1_000_000;
        let timestamp = self.timestamp.wrapping_add((passed as u32).max(MIN_STEP));
        let tenure = Tenure {
            origin,
            start: self.next_index,
            end: self.next_index,
            index_offset: self.next_index.wrapping_sub(incoming.index),
            timestamp_offset: timestamp.wrapping_sub(incoming.timestamp),
            picture_offset: incoming.picture.id.map_or(0, |(_, _, id)| (self.picture_id + 1).wrapping_sub(id)),
            base_offset: incoming.picture.base.map_or(0, |(_, base)| self.base.wrapping_add(1).wrapping_sub(base)),
            frame_offset: incoming.picture.frame.map_or(0, |frame| self.frame.wrapping_add(1).wrapping_sub(frame)),
        };
        self.current = (self.current + 1) % TENURES;
        self.tenures[self.current] = Some(tenure);
        self.note(now, &tenure.translate(incoming), incoming.picture)
    }

    /// Whether the tenure that goes on is of this.
    #[inline]
    pub fn goes_on_with(&self, origin: Origin) -> bool {
        self.tenures[self.current].as_ref().is_some_and(|tenure| tenure.origin == origin)
    }

    /// The place of a packet of the tenure that goes on.
    #[inline]
    pub fn place(&mut self, now: Instant, incoming: &Incoming) -> Result<Placed, Refused> {
        let tenure = self.tenures[self.current].as_ref().ok_or(Refused::BeforeTenure)?;
        let placed = tenure.translate(incoming);
        // Wrapping: an index below the tenure appears as a huge distance.
        if placed.index.wrapping_sub(tenure.start) > u64::MAX / 2 {
            return Err(Refused::BeforeTenure);
        }
        if placed.index > self.next_index + MAX_GAP {
            return Err(Refused::Jumped);
        }
        Ok(self.note(now, &placed, incoming.picture))
    }

    /// Remembers what was sent last; late packets change nothing.
    #[inline]
    fn note(&mut self, now: Instant, placed: &Placed, picture: &Picture) -> Placed {
        if placed.index >= self.next_index {
            self.next_index = placed.index + 1;
            if let Some(tenure) = &mut self.tenures[self.current] {
                tenure.end = self.next_index;
            }
            if placed.timestamp.wrapping_sub(self.timestamp) as i32 > 0 {
                (self.timestamp, self.sent_at) = (placed.timestamp, now);
            }
            if picture.id.is_some() {
                self.picture_id = placed.picture_id;
            }
            if picture.base.is_some() {
                self.base = placed.base;
            }
            if picture.frame.is_some() {
                self.frame = placed.frame;
            }
        }
        *placed
    }

    /// Where the packet came from that was sent with this sequence number, and its index there.
    pub fn origin(&self, sequence: u16) -> Option<(Origin, u64)> {
        let newest = self.next_index - 1;
        let distance = sequence.wrapping_sub(newest as u16) as i16;
        let index = newest.checked_add_signed(i64::from(distance))?;
        let tenure = self.tenures.iter().flatten().find(|tenure| (tenure.start..tenure.end).contains(&index))?;
        Some((tenure.origin, index.wrapping_sub(tenure.index_offset)))
    }

    /// The numbers with which a packet was sent that [`Rewriter::origin`] found, to send it again.
    pub fn again(&self, origin: Origin, incoming: &Incoming) -> Option<Placed> {
        let holds = |tenure: &&Tenure| {
            let index = incoming.index.wrapping_add(tenure.index_offset);
            tenure.origin == origin && (tenure.start..tenure.end).contains(&index)
        };
        self.tenures.iter().flatten().find(holds).map(|tenure| tenure.translate(incoming))
    }

    /// What the stream's clock shows now.
    pub fn timestamp(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.sent_at).as_micros() as u64 * u64::from(CLOCK_HZ) / 1_000_000;
        self.timestamp.wrapping_add(passed as u32)
    }
}

#[cfg(test)]
mod tests;
