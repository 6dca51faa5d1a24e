//! What of a layered stream one listener is sent: the frames of its layer, another layer from where a decoder can follow, and
//! numbers without holes for what is left out.
//!
//! A packet that did not come yet keeps its number, because nobody knows whether it will be sent; one that comes late and is
//! not for this listener leaves its number to a packet of nothing, lest the listener asks for it over and over.

use super::MAX_LAYERS;
use super::layered::Part;
use super::rewrite::Origin;

/// Packets that are remembered: as many as the history has.
const PACKETS: usize = 512;

/// Frames that are remembered: more than come out of order, or are referred to by what follows.
const FRAMES: usize = 64;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Missing,
    Sent,
    LeftOut,
}

#[derive(Clone, Copy)]
struct Entry {
    index: u64,
    /// Packets before it that were left out.
    left_out: u32,
    state: State,
    /// The largest layer that was sent then.
    top: u8,
}

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Nothing,
    /// It is sent, with its index less so many as its number. `begins`: a decoder begins with it.
    Send {
        left_out: u32,
        begins: bool,
    },
    /// Its number is taken, and nothing is sent under it.
    Fill {
        left_out: u32,
    },
}

/// A packet that was sent, or may still be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub index: u64,
    pub left_out: u32,
    pub top: u8,
    /// It had not come when what followed it was sent.
    pub was_missing: bool,
}

pub struct Thinner {
    /// The stream that this is about.
    of: Option<Origin>,
    /// The index with which the listener's decoder began.
    first: u64,
    /// The newest packet's index, and how many were left out by then.
    newest: u64,
    left_out: u32,
    entries: Box<[Entry]>,
    /// Number and whether it is sent.
    frames: [Option<(u16, bool)>; FRAMES],
    newest_frame: u16,
    /// Of the newest picture.
    timestamp: u32,
}

impl Default for Thinner {
    fn default() -> Thinner {
        let nothing = Entry { index: u64::MAX, left_out: 0, state: State::LeftOut, top: 0 };
        Thinner {
            of: None,
            first: 0,
            newest: 0,
            left_out: 0,
            entries: vec![nothing; PACKETS].into(),
            frames: [None; FRAMES],
            newest_frame: 0,
            timestamp: 0,
        }
    }
}

/// The listener's layer in this stream, if it is sent one, and the one that it is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    pub layer: Option<u8>,
    pub target: Option<u8>,
}

impl Thinner {
    /// Decides about a packet of a stream; `aim.layer` is what is sent from it on. `within`: see [`super::layered::Shape`].
    #[inline]
    pub fn take(
        &mut self,
        of: Origin,
        index: u64,
        timestamp: u32,
        part: &Part,
        within: &[u8; MAX_LAYERS],
        aim: &mut Aim,
    ) -> Verdict {
        // A publisher that counts anew begins with a key frame, too.
        let is_anew = part.is_key && index + PACKETS as u64 <= self.newest;
        let Some(layer) = aim.layer.filter(|_| self.of == Some(of) && !is_anew) else {
            let Some(target) = aim.target.filter(|target| part.is_key && part.is_for(*target)) else { return Verdict::Nothing };
            aim.layer = Some(target);
            return self.begin(of, index, timestamp, part, target);
        };
        if index <= self.newest {
            return self.take_late(index, part, layer);
        }
        // What is missing has its numbers.
        let missing = (self.newest + 1).max(index.saturating_sub(PACKETS as u64 - 1))..index;
        missing.for_each(|index| self.note(index, State::Missing, layer));
        self.newest = index;
        let (is_sent, layer) = match self.fate(part.frame) {
            Some(is_sent) => (is_sent, layer),
            None => {
                let layer = self.follow(timestamp, part, within, layer, aim.target);
                aim.layer = Some(layer);
                (self.decide(part, layer), layer)
            }
        };
        let left_out = self.left_out;
        if is_sent {
            self.note(index, State::Sent, layer);
            return Verdict::Send { left_out, begins: false };
        }
        self.note(index, State::LeftOut, layer);
        self.left_out = left_out.wrapping_add(1);
        Verdict::Nothing
    }

    fn begin(&mut self, of: Origin, index: u64, timestamp: u32, part: &Part, layer: u8) -> Verdict {
        if self.of != Some(of) {
            (self.of, self.left_out) = (Some(of), 0);
            self.entries.iter_mut().for_each(|entry| entry.index = u64::MAX);
        }
        (self.first, self.newest, self.newest_frame, self.timestamp) = (index, index, part.frame, timestamp);
        self.frames = [None; FRAMES];
        self.remember(part.frame, true);
        self.note(index, State::Sent, layer);
        Verdict::Send { left_out: self.left_out, begins: true }
    }

    fn take_late(&mut self, index: u64, part: &Part, layer: u8) -> Verdict {
        let entry = self.entries[index as usize % PACKETS];
        if index < self.first || entry.index != index || entry.state != State::Missing {
            return Verdict::Nothing;
        }
        let is_sent = self.fate(part.frame).unwrap_or_else(|| self.decide(part, layer));
        let state = if is_sent { State::Sent } else { State::LeftOut };
        self.entries[index as usize % PACKETS] = Entry { state, top: layer, ..entry };
        let left_out = entry.left_out;
        if is_sent { Verdict::Send { left_out, begins: false } } else { Verdict::Fill { left_out } }
    }

    /// The layer that is sent from a new frame on.
    fn follow(&mut self, timestamp: u32, part: &Part, within: &[u8; MAX_LAYERS], layer: u8, target: Option<u8>) -> u8 {
        if part.frame.wrapping_sub(self.newest_frame) as i16 <= 0 {
            return layer;
        }
        let is_new_picture = timestamp.wrapping_sub(self.timestamp) as i32 > 0;
        (self.newest_frame, self.timestamp) = (part.frame, timestamp);
        let Some(target) = target.filter(|target| *target != layer) else { return layer };
        let knows_all = || part.references.iter().all(|back| self.fate(part.frame.wrapping_sub(back)) == Some(true));
        let may_enter = part.is_for(target) && part.entries >> target & 1 == 1 && knows_all();
        // Everything of a layer within this one was sent.
        let is_within = is_new_picture && within.get(usize::from(layer)).is_some_and(|within| within >> target & 1 == 1);
        if may_enter || is_within { target } else { layer }
    }

    /// Whether a new frame is sent: when it is for the layer, and nothing that it refers to was left out.
    fn decide(&mut self, part: &Part, layer: u8) -> bool {
        let misses = |back: u16| self.fate(part.frame.wrapping_sub(back)) == Some(false);
        let is_sent = part.is_for(layer) && !part.references.iter().any(misses);
        self.remember(part.frame, is_sent);
        is_sent
    }

    /// Whether a frame is sent, if that was decided.
    pub fn fate(&self, frame: u16) -> Option<bool> {
        self.frames[usize::from(frame) % FRAMES].filter(|(number, _)| *number == frame).map(|(_, is_sent)| is_sent)
    }

    fn remember(&mut self, frame: u16, is_sent: bool) {
        self.frames[usize::from(frame) % FRAMES] = Some((frame, is_sent));
    }

    fn note(&mut self, index: u64, state: State, top: u8) {
        self.entries[index as usize % PACKETS] = Entry { index, left_out: self.left_out, state, top };
    }

    /// The packet of a stream whose index less what was left out before it is this.
    pub fn find(&self, of: Origin, number: u64) -> Option<Found> {
        let is_it = |entry: &&Entry| {
            entry.index != u64::MAX
                && entry.state != State::LeftOut
                && entry.index.wrapping_sub(u64::from(entry.left_out)) == number
        };
        let entry = self.entries.iter().filter(|_| self.of == Some(of)).filter(is_it).max_by_key(|entry| entry.index)?;
        let Entry { index, left_out, top, state } = *entry;
        Some(Found { index, left_out, top, was_missing: state == State::Missing })
    }
}

#[cfg(test)]
mod tests;
