//! How busy a worker is, told by the worker and read by whoever places rooms, without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Over how long the share of busy time is measured: long enough for bursts to even out, short enough to see a new room.
const WINDOW: Duration = Duration::from_secs(1);

/// A worker that told nothing for this long is asleep: nothing wakes it, so it has nothing to do.
const ASLEEP_AFTER: Duration = Duration::from_secs(3);

/// Thousandths of a core.
const FULL: u64 = 1000;

/// One worker's load as others see it: when its last window ended, in milliseconds since the gauge was made, and behind that
/// in 16 bits how many thousandths of it the worker was busy.
#[derive(Debug)]
pub struct Gauge {
    made: Instant,
    window: AtomicU64,
}

impl Gauge {
    pub fn new(now: Instant) -> Gauge {
        Gauge { made: now, window: AtomicU64::new(0) }
    }

    /// Thousandths of the last second that the worker was busy.
    pub fn busy_permille(&self, now: Instant) -> u64 {
        let window = self.window.load(Ordering::Relaxed);
        let ended = self.made + Duration::from_millis(window >> 16);
        if now.saturating_duration_since(ended) >= ASLEEP_AFTER { 0 } else { window & 0xFFFF }
    }
}

/// The worker's side.
pub struct Meter {
    gauge: Arc<Gauge>,
    window_start: Instant,
    busy_before: Duration,
}

impl Meter {
    pub fn new(gauge: Arc<Gauge>, now: Instant) -> Meter {
        Meter { gauge, window_start: now, busy_before: Duration::ZERO }
    }

    /// `busy` is the time spent working since the start. Cheap: tells once per window, and answers then with its share.
    #[inline]
    pub fn tick(&mut self, now: Instant, busy: Duration) -> Option<u64> {
        let window = now.saturating_duration_since(self.window_start);
        if window < WINDOW {
            return None;
        }
        let share = (busy.saturating_sub(self.busy_before).as_micros() as u64 * FULL / window.as_micros() as u64).min(FULL);
        let ended = now.saturating_duration_since(self.gauge.made).as_millis() as u64;
        self.gauge.window.store(ended << 16 | share, Ordering::Relaxed);
        self.window_start = now;
        self.busy_before = busy;
        Some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_the_last_window_is_told_until_the_worker_sleeps() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let gauge = Arc::new(Gauge::new(start));
        let mut meter = Meter::new(gauge.clone(), start);
        meter.tick(at(999), Duration::from_millis(999));
        assert_eq!(gauge.busy_permille(at(999)), 0, "the first window is not over");
        meter.tick(at(1000), Duration::from_millis(700));
        assert_eq!(gauge.busy_permille(at(1000)), 700);
        meter.tick(at(3000), Duration::from_millis(900));
        assert_eq!(gauge.busy_permille(at(3000)), 100, "200 ms of two seconds");
        assert_eq!((gauge.busy_permille(at(5999)), gauge.busy_permille(at(6000))), (100, 0));
        meter.tick(at(7000), Duration::from_secs(60));
        assert_eq!(gauge.busy_permille(at(7000)), 1000, "never more than all");
    }
}
