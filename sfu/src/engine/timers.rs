//! What is due when, for all peers of a worker: a heap whose entries are never removed early; whoever pops one checks that
//! it still means something.

use crate::PeerId;
use crate::bandwidth::pacer::LATE;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// What many peers wait for in their own time is done at common times this far apart: then their packets leave by few system
/// calls, and the worker wakes for all of them once. A pacer lets what is due within a while leave at once, and knows how late it
/// may be asked, so nobody is sent less for it.
const TICK: Duration = LATE;

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
    /// Packets of a publisher's picture have waited long enough for the rest of it.
    Held,
    /// A listener of video has packets that wait, or wants its layers chosen.
    Downlink,
    /// Of a room: what is shown on other parts of it, as for publishers.
    Mirrors,
    MirrorsHeld,
}

#[derive(Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, PeerId, u32, Timer)>>,
    /// From where common times are counted.
    origin: Option<Instant>,
}

impl Timers {
    pub fn arm(&mut self, at: Instant, id: PeerId, key: u32, timer: Timer) {
        self.heap.push(Reverse((at, id, key, timer)));
    }

    /// At the first common time from then on.
    pub fn arm_common(&mut self, at: Instant, id: PeerId, key: u32, timer: Timer) {
        let origin = *self.origin.get_or_insert(at);
        let ticks = at.saturating_duration_since(origin).as_nanos().div_ceil(TICK.as_nanos()) as u64;
        let common = origin + Duration::from_nanos(ticks * TICK.as_nanos() as u64);
        self.arm(if at < origin { at } else { common }, id, key, timer);
    }

    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub fn pop_due(&mut self, now: Instant) -> Option<(PeerId, u32, Timer)> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, id, key, timer)) = self.heap.pop()?;
        Some((id, key, timer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_about_the_same_time_is_done_together_and_never_early() {
        let start = Instant::now();
        let at = |micros: u64| start + Duration::from_micros(micros);
        let mut timers = Timers::default();
        let asked = [20_000, 20_001, 23_000, 25_000, 25_001, 31_000];
        asked.iter().zip(0..).for_each(|(micros, key)| timers.arm_common(at(*micros), PeerId(1), key, Timer::Downlink));
        // Earlier than the first of all, and without rounding.
        timers.arm_common(at(7), PeerId(1), 6, Timer::Downlink);
        timers.arm(at(20_500), PeerId(1), 7, Timer::Care);
        let mut done = Vec::new();
        while let Some(due) = timers.next() {
            assert!(timers.pop_due(due - Duration::from_nanos(1)).is_none());
            let (_, key, _) = timers.pop_due(due).expect("it is due");
            done.push(((due - start).as_micros(), key));
        }
        assert_eq!(done, [(7, 6), (20_000, 0), (20_500, 7), (25_000, 1), (25_000, 2), (25_000, 3), (30_000, 4), (35_000, 5)]);
    }
}
