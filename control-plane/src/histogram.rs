//! How long things took, counted in buckets that Prometheus can add up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The upper ends of the buckets in milliseconds, from a read out of a cache to the longest that anyone waits.
pub const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000];

/// Counters of durations. Anyone may count; nobody waits for anyone.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one beyond.
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    micros: AtomicU64,
}

/// A snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// How many were within each bound of [`BOUNDS_MS`], the smaller ones included.
    pub within: [u64; BOUNDS_MS.len()],
    pub count: u64,
    pub sum: Duration,
}

impl Histogram {
    pub fn count(&self, took: Duration) {
        let bucket = BOUNDS_MS.iter().position(|bound| took <= Duration::from_millis(*bound)).unwrap_or(BOUNDS_MS.len());
        self.counts[bucket].fetch_add(1, Relaxed);
        self.micros.fetch_add(took.as_micros() as u64, Relaxed);
    }

    pub fn read(&self) -> Durations {
        let mut count = 0;
        let counts: [u64; BOUNDS_MS.len() + 1] = std::array::from_fn(|bucket| {
            count += self.counts[bucket].load(Relaxed);
            count
        });
        Durations {
            within: std::array::from_fn(|bucket| counts[bucket]),
            count,
            sum: Duration::from_micros(self.micros.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_within_every_bound_that_they_keep() {
        let histogram = Histogram::default();
        for millis in [1, 3, 3, 20_000] {
            histogram.count(Duration::from_millis(millis));
        }
        let read = histogram.read();
        assert_eq!((read.within[0], read.within[1], read.within[2], read.within[11]), (1, 1, 3, 3));
        assert_eq!((read.count, read.sum), (4, Duration::from_millis(20_007)));
    }
}
