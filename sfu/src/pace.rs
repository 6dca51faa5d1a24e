//! When a worker looks at what its peers tell of what they were sent.
//!
//! Somebody who is shown video tells many times a second what arrived. To wake for each such message would cost more than to read
//! it. The kernel puts them (RTCP) aside, into a socket of their own, and where many come the worker looks there in steps: when it
//! is awake anyway, and at the end of a step at the latest. What was said or shown never waits for that.

use std::time::{Duration, Instant};

/// A step: a question for a packet that was lost may wait so long, which is little beside its way.
pub const STEP: Duration = Duration::from_millis(5);

/// Who is awake anyway does not look sooner than this: there would hardly be anything.
const SOONEST: Duration = Duration::from_millis(3);

/// How long messages are counted at least, and how many in that time are many: two for each step.
const WINDOW: Duration = Duration::from_millis(100);
const MANY: u32 = 40;

pub struct Pace {
    looked: Instant,
    /// Since when so many came.
    since: Instant,
    count: u32,
    is_stepping: bool,
}

impl Pace {
    pub fn new(now: Instant) -> Pace {
        Pace { looked: now, since: now, count: 0, is_stepping: false }
    }

    /// When it is to look without being woken.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.is_stepping.then(|| self.looked + STEP)
    }

    /// Whether it looks now; `is_readable`: it was woken for it.
    pub fn is_due(&self, now: Instant, is_readable: bool) -> bool {
        if self.is_stepping { now >= self.looked + SOONEST } else { is_readable }
    }

    /// It looked, and found so many. `Some` when it is to be woken for them from now on, or not any more.
    pub fn on_look(&mut self, now: Instant, found: usize) -> Option<bool> {
        self.looked = now;
        self.count += found as u32;
        let passed = now.saturating_duration_since(self.since);
        if passed < WINDOW {
            return None;
        }
        let are_many = WINDOW * self.count >= passed * MANY;
        (self.since, self.count) = (now, 0);
        let was_stepping = std::mem::replace(&mut self.is_stepping, are_many);
        (was_stepping != are_many).then_some(!are_many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For a second, so many messages come each millisecond, and something else wakes the worker every `wake` of them. Returns how
    /// often it looked and how long a message waited at most, ms.
    fn run(pace: &mut Pace, now: &mut Instant, (each, every): (usize, u64), wake: u64) -> (usize, u128) {
        let (mut waiting, mut first, mut looks, mut longest) = (0, *now, 0, 0);
        let mut is_woken_for = pace.next_timeout().is_none();
        for milli in 0..1000 {
            *now += Duration::from_millis(1);
            if milli % every == 0 {
                first = if waiting == 0 { *now } else { first };
                waiting += each;
            }
            let is_awake = milli % wake == 0 || pace.next_timeout().is_some_and(|at| at <= *now) || is_woken_for && waiting > 0;
            if is_awake && pace.is_due(*now, waiting > 0 && is_woken_for) {
                if waiting > 0 {
                    longest = longest.max((*now - first).as_millis());
                }
                is_woken_for = pace.on_look(*now, std::mem::take(&mut waiting)).unwrap_or(is_woken_for);
                assert_eq!(is_woken_for, pace.next_timeout().is_none());
                looks += 1;
            }
        }
        (looks, longest)
    }

    #[test]
    fn many_messages_are_looked_at_in_steps_and_few_at_once() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(run(&mut pace, &mut now, (1, 20), 1000), (50, 0), "few");
        let (looks, longest) = run(&mut pace, &mut now, (1, 1), 1000);
        assert!((270..=310).contains(&looks) && longest < 5, "many: {looks} looks, {longest} ms");
        let (looks, longest) = run(&mut pace, &mut now, (1, 1), 3);
        assert!((320..=340).contains(&looks) && longest < 5, "many, and something else: {looks} looks, {longest} ms");
        let (looks, _) = run(&mut pace, &mut now, (1, 20), 1000);
        assert!((50..=90).contains(&looks), "few again: {looks}");
        assert_eq!(run(&mut pace, &mut now, (1, 20), 1000), (50, 0), "few still");
    }

    #[test]
    fn a_long_silence_does_not_make_few_messages_many() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..100 {
            now += Duration::from_millis(500);
            assert_eq!(pace.on_look(now, 3), None);
        }
        assert_eq!(pace.next_timeout(), None);
    }
}
