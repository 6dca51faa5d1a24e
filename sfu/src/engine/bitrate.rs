//! How much one speaker may send: its channel's bitrate, with room for how encoders vary, enforced over some seconds.
//!
//! A bucket that drains at the allowed rate and overflows after [`BURST`]; what overflows is lost. Headers count, so that many
//! tiny packets, each of which costs as much as a large one per listener, are no way around it.

use std::time::{Duration, Instant};

/// How far above the channel's bitrate is still allowed: encoders with a variable bitrate go above now and then, nobody goes
/// to the double by accident.
const FACTOR: u64 = 2;

/// What is allowed in every channel: bots do not ask for its bitrate, and their libraries encode music with 128 kbit/s.
const LEAST_BPS: u64 = FACTOR * 128_000;

/// Headers of IP, UDP and RTP.
const HEADERS: usize = 40;

/// What headers cost at the usual 50 packets a second, allowed on top of the channel's bitrate.
const HEADERS_BPS: u64 = 50 * 8 * HEADERS as u64;

/// How long one may go far beyond the rate before packets are lost.
const BURST: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// Bits in the bucket, as of when.
    bits: u64,
    at: Option<Instant>,
}

impl Bucket {
    /// Where the part begins that may be sent of a payload of `len` bytes: at zero, or at its newest packet, when the copies
    /// before that (redundant audio; `newest` is zero without) are too much. `None`: even the newest is.
    #[inline]
    pub fn admit(&mut self, now: Instant, bitrate_bps: Option<u32>, len: usize, newest: usize) -> Option<usize> {
        if self.spend(now, bitrate_bps, len) {
            return Some(0);
        }
        (newest > 0 && self.spend(now, bitrate_bps, len - newest)).then_some(newest)
    }

    /// Whether a packet with `len` bytes of audio is within what `bitrate_bps` allows; it counts if it is.
    #[inline]
    fn spend(&mut self, now: Instant, bitrate_bps: Option<u32>, len: usize) -> bool {
        let Some(bitrate) = bitrate_bps else { return true };
        let rate = (FACTOR * u64::from(bitrate)).max(LEAST_BPS) + FACTOR * HEADERS_BPS;
        let passed = self.at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        // A pause longer than a burst empties the bucket at any rate.
        let drained = passed.min(BURST).as_micros() as u64 * rate / 1_000_000;
        self.bits = self.bits.saturating_sub(drained);
        let cost = 8 * (len + HEADERS) as u64;
        let is_within = self.bits + cost <= rate * BURST.as_secs();
        if is_within {
            self.bits += cost;
        }
        is_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends packets of `len` bytes every `interval_ms` for so many seconds; how many of them are within the budget.
    fn check(bitrate: Option<u32>, len: usize, interval_ms: u64, seconds: u64) -> (u64, u64) {
        let start = Instant::now();
        let mut budget = Bucket::default();
        let times = (0..seconds * 1000 / interval_ms).map(|n| start + Duration::from_millis(n * interval_ms));
        let (within, beyond): (Vec<_>, Vec<_>) = times.partition(|&at| budget.spend(at, bitrate, len));
        (within.len() as u64, beyond.len() as u64)
    }

    #[test]
    fn a_channels_bitrate_and_its_double_are_within_and_more_is_cut_to_it() {
        let bytes = |bps: usize| bps / 8 / 50;
        assert_eq!(check(Some(64_000), bytes(64_000), 20, 60), (3000, 0));
        assert_eq!(check(Some(384_000), bytes(510_000), 20, 60), (3000, 0));
        assert_eq!(check(Some(8_000), bytes(256_000), 20, 60), (3000, 0), "a bot's music in a channel of speech");
        let (within, beyond) = check(Some(64_000), bytes(512_000), 20, 60);
        assert!((1600..1850).contains(&within) && within + beyond == 3000, "{within}: 288 of 528 kbit/s, and a burst");
        assert_eq!(check(None, 1400, 1, 10), (10_000, 0));
    }

    #[test]
    fn three_seconds_of_excess_are_forgiven() {
        let (_, beyond) = check(Some(64_000), 1600, 20, 1);
        assert_eq!(beyond, 0, "a second of 640 kbit/s");
        assert!(check(Some(64_000), 1600, 20, 3).1 > 0);
    }

    #[test]
    fn many_tiny_packets_are_no_way_around_it() {
        let (within, beyond) = check(Some(64_000), 40, 1, 10);
        assert!(beyond > within / 2, "a thousand packets a second are 640 kbit/s, half of it audio: {within} {beyond}");
    }

    #[test]
    fn copies_go_before_the_newest_packet_does() {
        let start = Instant::now();
        // Three copies of 128 kbit/s each are too much; the packet alone is not.
        let (newest, len) = (5 + 3 * 320, 5 + 4 * 320);
        let mut bucket = Bucket::default();
        let times = (0..3000).map(|n| start + Duration::from_millis(20 * n));
        let admitted: Vec<_> = times.map(|at| bucket.admit(at, Some(64_000), len, newest)).collect();
        assert!(admitted.iter().all(Option::is_some), "no packet is lost");
        let whole = admitted.iter().filter(|at| **at == Some(0)).count();
        assert!((500..2000).contains(&whole), "{whole}: some of the copies pass");
        assert!((0..3000).any(|_| bucket.admit(start, Some(64_000), len, newest).is_none()), "and the newest counts");
    }

    #[test]
    fn a_clock_that_stands_still_or_jumps_breaks_nothing() {
        let now = Instant::now();
        let mut budget = Bucket::default();
        while budget.spend(now, Some(8_000), 1000) {}
        assert!(!budget.spend(now, Some(8_000), 1000));
        assert!(budget.spend(now + Duration::from_secs(1 << 40), Some(8_000), 1000));
        assert!(budget.spend(now, Some(u32::MAX), usize::from(u16::MAX)));
    }
}
