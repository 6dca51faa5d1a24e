//! How many bits a second, over windows of up to a second and a half that end at any of the latest moments.

/// One bucket in µs, and how many are kept.
const BUCKET: i64 = 25_000;
const BUCKETS: usize = 60;

/// Bytes by the time they are counted under (µs of any clock).
#[derive(Clone, Debug)]
pub struct Meter {
    bytes: [u32; BUCKETS],
    /// Number of the newest bucket.
    newest: i64,
    /// The latest and the first time that anything was counted under.
    latest: i64,
    first: Option<i64>,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter { bytes: [0; BUCKETS], newest: i64::MIN / 2, latest: i64::MIN / 2, first: None }
    }
}

impl Meter {
    /// Counts bytes. What is older than the window is left out.
    #[inline]
    pub fn add(&mut self, at: i64, bytes: usize) {
        let bucket = at.div_euclid(BUCKET);
        if bucket > self.newest {
            let from = (self.newest + 1).max(bucket - BUCKETS as i64 + 1);
            (from..=bucket).for_each(|cleared| self.bytes[place(cleared)] = 0);
            self.newest = bucket;
        } else if self.newest - bucket >= BUCKETS as i64 {
            return;
        }
        self.first.get_or_insert(at);
        self.latest = self.latest.max(at);
        let sum = &mut self.bytes[place(bucket)];
        *sum = sum.saturating_add(bytes as u32);
    }

    /// The latest time that anything was counted under.
    pub fn latest(&self) -> Option<i64> {
        self.first.map(|_| self.latest)
    }

    /// bit/s from about `window` µs before `until` to `until`: the beginning is that of a bucket. Zero while nothing is known.
    pub fn rate(&self, until: i64, window: i64) -> f64 {
        let Some(first) = self.first else { return 0.0 };
        let last = until.div_euclid(BUCKET).min(self.newest);
        let from = ((until - window).div_euclid(BUCKET) + 1).max(self.newest - BUCKETS as i64 + 1).max(first.div_euclid(BUCKET));
        if from > last {
            return 0.0;
        }
        let bytes: u64 = (from..=last).map(|bucket| u64::from(self.bytes[place(bucket)])).sum();
        let duration = (until - (from * BUCKET).max(first)).max(BUCKET);
        bytes as f64 * 8e6 / duration as f64
    }
}

fn place(bucket: i64) -> usize {
    bucket.rem_euclid(BUCKETS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_reads_its_rate_over_every_window() {
        let mut meter = Meter::default();
        (0..3_000).for_each(|ms| meter.add(ms * 1000, 125));
        for window in [100_000, 500_000, 1_400_000] {
            let rate = meter.rate(2_999_999, window);
            assert!((rate - 1e6).abs() < 1e4, "{rate} over {window}");
        }
    }

    #[test]
    fn silence_counts_and_the_time_before_the_first_packet_does_not() {
        let mut meter = Meter::default();
        (0..100).for_each(|ms| meter.add(10_000_000 + ms * 1000, 125));
        assert!((meter.rate(10_100_000, 1_000_000) - 1e6).abs() < 5e4);
        assert!((meter.rate(11_000_000, 1_025_000) - 1e5).abs() < 1e4);
        assert_eq!(meter.rate(20_000_000, 1_000_000), 0.0);
    }

    #[test]
    fn a_jump_of_the_clock_forgets_what_was() {
        let mut meter = Meter::default();
        meter.add(0, 1_000_000);
        meter.add(i64::MAX / 4, 125);
        assert!(meter.rate(i64::MAX / 4, 1_000_000) < 1e4);
        meter.add(0, 1_000_000);
        assert!(meter.rate(i64::MAX / 4, 1_000_000) < 1e4, "too old to count");
    }
}
