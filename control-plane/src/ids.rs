//! Makes snowflakes: unique and ascending within a process, whatever the clock does.

use guildhall_protocol::{Snowflake, id::EPOCH_MS};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// 4096 ids per millisecond fit into the counter; more borrow from the next millisecond.
const COUNTER_BITS: u32 = 12;
const PROCESS_BITS: u32 = 10;

/// One per process. Cheap to share behind an `Arc`.
pub struct Ids {
    /// `milliseconds since the snowflake epoch << 12 | counter` of the last id.
    last: AtomicU64,
    /// Tells apart the processes of a fleet, 0..1024.
    process: AtomicU64,
}

impl Ids {
    pub fn new(process: u64) -> Self {
        assert!(process < 1 << PROCESS_BITS, "a process number has ten bits");
        Self { last: AtomicU64::new(0), process: AtomicU64::new(process) }
    }

    /// Every id from now on will lie after this millisecond, whatever the clock says.
    pub fn go_past(&self, unix_ms: u64) {
        let next_ms = (unix_ms + 1).saturating_sub(EPOCH_MS) << COUNTER_BITS;
        self.last.fetch_max(next_ms.saturating_sub(1), Ordering::Relaxed);
    }

    /// The moment of the last id, Unix milliseconds.
    pub fn last_ms(&self) -> u64 {
        (self.last.load(Ordering::Relaxed) >> COUNTER_BITS) + EPOCH_MS
    }

    pub fn process(&self) -> u64 {
        self.process.load(Ordering::Relaxed)
    }

    /// The number to try when this one is taken; after all of them it is this one again.
    pub const fn another_process(number: u64) -> u64 {
        (number + 1) % (1 << PROCESS_BITS)
    }

    pub fn set_process(&self, number: u64) {
        self.process.store(number, Ordering::Relaxed);
    }

    /// The next id, now.
    pub fn make<T: From<Snowflake>>(&self) -> T {
        self.at(unix_ms())
    }

    /// The next id for a given moment. If the clock went back or the counter is full, the id takes the earliest later place.
    pub fn at<T: From<Snowflake>>(&self, unix_ms: u64) -> T {
        let earliest = unix_ms.saturating_sub(EPOCH_MS) << COUNTER_BITS;
        let next = |last: u64| earliest.max(last + 1);
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        let place = next(last.expect("the update never declines"));
        let (ms, counter) = (place >> COUNTER_BITS, place & ((1 << COUNTER_BITS) - 1));
        // Documented as five bits of worker and five of process; both together are our process number.
        Snowflake(ms << (COUNTER_BITS + PROCESS_BITS) | self.process() << COUNTER_BITS | counter).into()
    }
}

/// The wall clock, in Unix milliseconds.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::{EPOCH_MS, Ids, Snowflake};

    #[test]
    fn ids_ascend_when_the_clock_goes_back_and_when_the_counter_is_full() {
        let ids = Ids::new(1023);
        let first: Snowflake = ids.at(EPOCH_MS + 10_000);
        assert_eq!(first.unix_ms(), EPOCH_MS + 10_000);
        let mut last: Snowflake = ids.at(EPOCH_MS + 5_000);
        assert!(last > first);
        for _ in 0..10_000 {
            let next: Snowflake = ids.at(EPOCH_MS + 10_000);
            assert!(next > last);
            assert_eq!(next.0 >> 12 & 1023, 1023);
            last = next;
        }
        // 10,002 ids at 4096 per millisecond reach into the second millisecond after.
        assert_eq!((last.unix_ms(), ids.last_ms()), (EPOCH_MS + 10_002, EPOCH_MS + 10_002));
        ids.go_past(EPOCH_MS + 20_000);
        ids.go_past(EPOCH_MS + 15_000);
        let next: Snowflake = ids.at(EPOCH_MS + 10_000);
        assert_eq!(next.unix_ms(), EPOCH_MS + 20_001, "someone else's clock is ahead");
    }
}
