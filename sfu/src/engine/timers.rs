//! What is due when, for all peers of a worker: a heap whose entries are never removed early; whoever pops one checks that
//! it still means something.

use crate::PeerId;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// IP discovery wants its answer.
    Discovery,
    /// str0m wants to be called.
    Handshake,
    /// A WebRTC peer wants looking after.
    Care,
    /// A speaker may have fallen silent.
    Silence,
    /// A publisher of video wants to hear what is wanted of it.
    Uplink,
}

#[derive(Default)]
pub struct Timers(BinaryHeap<Reverse<(Instant, PeerId, u32, Timer)>>);

impl Timers {
    pub fn arm(&mut self, at: Instant, id: PeerId, key: u32, timer: Timer) {
        self.0.push(Reverse((at, id, key, timer)));
    }

    pub fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, ..))| *at)
    }

    pub fn pop_due(&mut self, now: Instant) -> Option<(PeerId, u32, Timer)> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, id, key, timer)) = self.0.pop()?;
        Some((id, key, timer))
    }
}
