//! Who may come back now, after everyone was cut off at once.
//!
//! A token bucket lets a steady number in; everyone else is told when to try again, and those moments are handed out one
//! after another at the bucket's rate, so that a crowd comes back as a queue and not as a second crowd. A hint is no ticket:
//! who comes a little early or late may be asked to wait once more. Nobody is refused for good: the farthest hint is capped,
//! and those beyond it are spread over its last part.

use crate::Millis;

/// The farthest hint. Clients and libraries give up on hints of minutes.
const MAX_WAIT_MS: Millis = 60_000;

#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// Time between two who are let in, in microseconds: rates of thousands a second need more than milliseconds.
    interval_us: u64,
    burst_us: u64,
    /// When the next is let in, in microseconds; in the past while there is something left of the burst.
    next_us: u64,
    /// The last moment that was handed out as a hint.
    hinted_us: u64,
}

/// Come back after so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Millis);

impl Admission {
    /// `rate` a second, and `burst` of them at once. Both at least 1.
    pub fn new(rate: u32, burst: u32) -> Self {
        let interval_us = 1_000_000 / u64::from(rate.clamp(1, 1_000_000));
        Self { interval_us, burst_us: interval_us * u64::from(burst.max(1)), next_us: 0, hinted_us: 0 }
    }

    /// Somebody asks to come in. `draw` is a random number of the caller's, that spreads those of whom there are too many.
    pub fn ask(&mut self, now: Millis, draw: u64) -> Result<(), RetryAfter> {
        let now_us = now * 1000;
        // What was not used is kept, up to the burst.
        self.next_us = self.next_us.max((now_us + self.interval_us).saturating_sub(self.burst_us));
        if self.next_us <= now_us {
            self.next_us += self.interval_us;
            return Ok(());
        }
        self.hinted_us = self.hinted_us.max(now_us);
        let wait_ms = (self.hinted_us + self.interval_us - now_us).div_ceil(1000);
        if wait_ms >= MAX_WAIT_MS {
            return Err(RetryAfter(MAX_WAIT_MS * 3 / 4 + draw % (MAX_WAIT_MS / 4)));
        }
        self.hinted_us += self.interval_us;
        Err(RetryAfter(wait_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    use std::collections::BinaryHeap;

    /// Everyone comes at once and obeys: how many rounds and how long until all are in.
    fn storm(clients: u64, rate: u32, burst: u32) -> (Millis, u64, u64) {
        let mut rng = StdRng::seed_from_u64(7);
        let mut admission = Admission::new(rate, burst);
        let mut queue: BinaryHeap<(std::cmp::Reverse<Millis>, u64)> =
            (0..clients).map(|client| (std::cmp::Reverse(rng.random_range(0..1_000)), client)).collect();
        let (mut last, mut asked, mut most_per_second) = (0, 0, std::collections::HashMap::new());
        while let Some((std::cmp::Reverse(now), client)) = queue.pop() {
            asked += 1;
            match admission.ask(now, rng.random()) {
                Ok(()) => {
                    last = now;
                    *most_per_second.entry(now / 1000).or_insert(0) += 1;
                }
                Err(RetryAfter(wait)) => queue.push((std::cmp::Reverse(now + wait), client)),
            }
        }
        (last, asked, most_per_second.into_values().max().unwrap_or(0))
    }

    #[test]
    fn a_crowd_comes_back_as_a_queue() {
        let (clients, rate) = (20_000, 1_000);
        let (last, asked, most) = storm(clients, rate, 100);
        let ideal = clients * 1000 / u64::from(rate);
        assert!(last < ideal * 2, "all are in after {last} ms; at best {ideal} ms");
        assert!(asked < clients * 4, "{asked} attempts for {clients} clients");
        assert!(most <= u64::from(rate) + 100, "{most} in one second");
    }

    #[test]
    fn more_than_can_be_promised_are_not_refused_for_good() {
        let (clients, rate) = (100_000, 500);
        let (last, asked, most) = storm(clients, rate, 50);
        assert!(last < 2 * clients * 1000 / u64::from(rate), "{last} ms");
        assert!(asked < clients * 12, "{asked} attempts");
        assert!(most <= u64::from(rate) + 50);
    }

    #[test]
    fn a_quiet_time_is_kept_up_to_the_burst() {
        let mut admission = Admission::new(10, 3);
        let let_in = |admission: &mut Admission, now| (0..20).filter(|_| admission.ask(now, 0).is_ok()).count();
        assert_eq!(let_in(&mut admission, 1_000_000), 3);
        assert_eq!(let_in(&mut admission, 1_000_250), 2);
        assert_eq!(let_in(&mut admission, 2_000_000), 3);
    }
}
