//! What a publisher's stream misses: which indices, and when to ask for them (generic NACK, RFC 4585 §6.2.1).

use std::time::{Duration, Instant};

/// Packets that may be missing at a time; a publisher that loses more needs a key frame, not packets.
const MISSING: usize = 128;

/// A packet is asked for this long after it was found missing, because the network may only have reordered it.
const REORDERING: Duration = Duration::from_millis(10);

/// Until it is asked for again: longer than most round trips, so that few come twice.
const AGAIN: Duration = Duration::from_millis(80);

/// How often one packet is asked for. After that it is too late to be shown in time.
const ASKS: u8 = 8;

#[derive(Clone, Copy, Debug)]
struct Missing {
    index: u64,
    ask_at: Instant,
    asks: u8,
}

/// The missing packets of one stream, oldest first.
#[derive(Debug)]
pub struct Gaps {
    highest: Option<u64>,
    missing: Vec<Missing>,
}

impl Default for Gaps {
    fn default() -> Gaps {
        Gaps { highest: None, missing: Vec::with_capacity(MISSING) }
    }
}

impl Gaps {
    /// An authentic packet of the stream came. `false`: so much is missing that a key frame must repair it.
    #[inline]
    pub fn on_packet(&mut self, now: Instant, index: u64) -> bool {
        let Some(highest) = self.highest else {
            self.highest = Some(index);
            return true;
        };
        if index <= highest {
            self.take(index);
            return true;
        }
        self.highest = Some(index);
        let lost = (index - highest - 1) as usize;
        if lost + self.missing.len() > MISSING {
            self.missing.clear();
            return false;
        }
        let missing = |index| Missing { index, ask_at: now + REORDERING, asks: 0 };
        self.missing.extend((highest + 1..index).map(missing));
        true
    }

    /// A packet came after all; whether it was missing.
    pub fn take(&mut self, index: u64) -> bool {
        match self.missing.iter().position(|missing| missing.index == index) {
            Some(at) => {
                self.missing.remove(at);
                true
            }
            None => false,
        }
    }

    /// The sequence numbers to ask for now, at most as many as fit. What was asked for often enough is given up.
    pub fn ask(&mut self, now: Instant, out: &mut [u16]) -> usize {
        let mut count = 0;
        self.missing.retain_mut(|missing| {
            if missing.ask_at > now || count == out.len() {
                return true;
            }
            if missing.asks == ASKS {
                return false;
            }
            missing.asks += 1;
            missing.ask_at = now + AGAIN;
            out[count] = missing.index as u16;
            count += 1;
            true
        });
        count
    }

    /// Whether there is anything to ask for, now or later.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// Forgets what is missing: nobody wants it any more.
    pub fn forget(&mut self) {
        self.missing.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(gaps: &mut Gaps, at: Instant) -> Vec<u16> {
        let mut out = [0; 16];
        let count = gaps.ask(at, &mut out);
        out[..count].to_vec()
    }

    #[test]
    fn what_is_missing_is_asked_for_after_a_moment_and_again_until_it_comes() {
        let start = Instant::now();
        let mut gaps = Gaps::default();
        for index in [65_533, 65_534, 65_537, 65_536] {
            assert!(gaps.on_packet(start, index));
        }
        assert_eq!(asked(&mut gaps, start), [] as [u16; 0], "it may only be late");
        let asks: Vec<_> = (0..100).map(|n| asked(&mut gaps, start + n * Duration::from_millis(10)).len()).collect();
        assert_eq!(asks.iter().sum::<usize>(), usize::from(ASKS));
        assert!(gaps.is_empty(), "then it is given up");

        gaps.on_packet(start, 65_540);
        assert_eq!(asked(&mut gaps, start + REORDERING), [2, 3]);
        assert!(gaps.take(65_538) && !gaps.take(65_538), "it came");
        assert_eq!(asked(&mut gaps, start + REORDERING + AGAIN), [3]);
    }

    #[test]
    fn a_stream_that_lost_too_much_asks_for_nothing() {
        let start = Instant::now();
        let mut gaps = Gaps::default();
        assert!(gaps.on_packet(start, 1) && gaps.on_packet(start, 100));
        assert!(!gaps.on_packet(start, 200));
        assert!(gaps.is_empty());
        assert!(!gaps.on_packet(start, 1 << 40), "a jump costs nothing");
        assert!(gaps.on_packet(start, (1 << 40) + 1));
    }
}
