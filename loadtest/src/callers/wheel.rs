//! The timers of one media thread: a hashed wheel, so that thousands of callers cost one slot push per packet.
//!
//! Times are nanoseconds of the thread's clock. A timer fires at its time or up to one [`TICK`] later, never earlier; the
//! order within a tick is that of insertion. What lies beyond the wheel's turn waits in a heap and moves in when it is near.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Fine enough that pacing by the wheel is invisible beside a packet interval of 20 ms.
pub const TICK: u64 = 250_000;
/// One turn is a second: every packet timer is within it.
const SLOTS: usize = 4096;

pub struct Wheel<T> {
    slots: Vec<Vec<T>>,
    /// Bit per slot that is not empty.
    occupied: [u64; SLOTS / 64],
    /// The tick that fires next.
    next: u64,
    far: BinaryHeap<Reverse<Far<T>>>,
    inserted: u64,
}

struct Far<T> {
    tick: u64,
    /// Keeps the order of insertion among equals.
    nth: u64,
    item: T,
}

impl<T> PartialEq for Far<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.tick, self.nth) == (other.tick, other.nth)
    }
}

impl<T> Eq for Far<T> {}

impl<T> PartialOrd for Far<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Far<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.tick, self.nth).cmp(&(other.tick, other.nth))
    }
}

impl<T> Wheel<T> {
    pub fn new(now: u64) -> Self {
        let slots = std::iter::repeat_with(Vec::new).take(SLOTS).collect();
        Self { slots, occupied: [0; SLOTS / 64], next: now / TICK, far: BinaryHeap::new(), inserted: 0 }
    }

    /// A time that has passed fires at the next turn.
    pub fn insert(&mut self, at: u64, item: T) {
        let tick = at.div_ceil(TICK).max(self.next);
        if tick - self.next < SLOTS as u64 {
            self.place(tick, item);
        } else {
            self.inserted += 1;
            self.far.push(Reverse(Far { tick, nth: self.inserted, item }));
        }
    }

    fn place(&mut self, tick: u64, item: T) {
        let slot = (tick % SLOTS as u64) as usize;
        self.slots[slot].push(item);
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// Moves everything that is due by `now` to `due`.
    pub fn turn(&mut self, now: u64, due: &mut Vec<T>) {
        let last = now / TICK;
        // After a standstill of more than a turn, every slot is looked at once.
        let end = last.min(self.next + SLOTS as u64 - 1);
        while self.next <= end {
            let slot = (self.next % SLOTS as u64) as usize;
            if self.occupied[slot / 64] & 1 << (slot % 64) != 0 {
                due.append(&mut self.slots[slot]);
                self.occupied[slot / 64] &= !(1 << (slot % 64));
            }
            self.next += 1;
        }
        self.next = self.next.max(last + 1);
        while let Some(Reverse(far)) = self.far.peek()
            && far.tick < self.next + SLOTS as u64
        {
            let Some(Reverse(Far { tick, item, .. })) = self.far.pop() else { return };
            if tick < self.next {
                due.push(item);
            } else {
                self.place(tick, item);
            }
        }
    }

    /// When the next timer is due, if there is one.
    pub fn next_due(&self) -> Option<u64> {
        let begin = (self.next % SLOTS as u64) as usize;
        // From the present slot around to the one before it: the first word is looked at twice, in two parts.
        for step in 0..=SLOTS / 64 {
            let word = (begin / 64 + step) % (SLOTS / 64);
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= !0 << (begin % 64);
            } else if step == SLOTS / 64 {
                bits &= !(!0 << (begin % 64));
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                return Some((self.next + ((slot + SLOTS - begin) % SLOTS) as u64) * TICK);
            }
        }
        self.far.peek().map(|Reverse(far)| far.tick * TICK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;

    #[test]
    fn every_timer_fires_once_in_order_and_never_early() {
        let (mut random, mut wheel) = (SplitMix::new(9), Wheel::new(1_000_000_000));
        let mut expected: Vec<u64> = (0..5_000).map(|_| 1_000_000_000 + (random.unit() * 4e9) as u64).collect();
        for at in &expected {
            wheel.insert(*at, *at);
        }
        expected.sort_unstable();
        let (mut fired, mut due, mut now) = (Vec::new(), Vec::new(), 1_000_000_000);
        while let Some(next) = wheel.next_due() {
            assert!(next > now, "a wheel that was turned has nothing left that is due");
            now = next;
            wheel.turn(now, &mut due);
            assert!(!due.is_empty(), "it said that something is due");
            for at in due.drain(..) {
                assert!((at..at + TICK).contains(&now), "{at} fired at {now}");
                fired.push(at);
            }
        }
        fired.sort_unstable();
        assert_eq!(fired, expected);
    }

    #[test]
    fn a_thread_that_stood_still_catches_up_at_once() {
        let mut wheel = Wheel::new(0);
        for second in 1..=10 {
            wheel.insert(second * 1_000_000_000, second);
        }
        wheel.insert(0, 0);
        let mut due = Vec::new();
        wheel.turn(9_500_000_000, &mut due);
        assert_eq!(due, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        due.clear();
        assert_eq!(wheel.next_due(), Some(10_000_000_000));
        wheel.turn(10_000_000_000, &mut due);
        assert_eq!((due, wheel.next_due()), (vec![10], None));
    }
}
