//! How far apart packets arrive that left together: the dispersion of a packet train, which is what the bottleneck needs for
//! each of them. It says how much may leave at once without standing in the bottleneck's queue for long, and nothing else: what
//! waits behind the bottleneck and is released together looks as if the network carried more than it does, so no estimate
//! follows it.

use super::ledger::{News, Outcome};

/// A train of fewer packets says too little.
const LEAST_PACKETS: u32 = 3;

/// What feedback tells of arrivals is no finer, µs: added to each train's time.
const RESOLUTION: i64 = 250;

/// The part of a new train in what is known. A train that the receiver or the air held back once does not decide.
const SMOOTHING: f64 = 1.0 / 8.0;

/// Nothing is said before so many trains.
const LEAST_TRAINS: u32 = 8;

/// No train for so long (µs): the network may be another one.
const OLDEST: i64 = 5_000_000;

/// After a packet was lost nothing is said for so long (µs): a short queue would lose the end of a train.
const AFTER_LOSS: i64 = 2_000_000;

#[derive(Clone, Copy, Debug)]
struct Train {
    sent: i64,
    /// The first and the last arrival.
    first: i64,
    last: i64,
    packets: u32,
    /// Without the first one's: that had left the bottleneck when the time began.
    bytes: usize,
}

/// The trains of one listener.
#[derive(Clone, Debug, Default)]
pub struct Dispersion {
    train: Option<Train>,
    trains: u32,
    /// µs that the bottleneck needs for a byte, smoothed.
    micros_per_byte: f64,
    /// When the newest train was sent.
    newest: i64,
    /// Nothing is said before, µs of our clock.
    not_before: i64,
}

impl Dispersion {
    /// What feedback told of a packet, in the order of sending.
    #[inline]
    pub fn on_outcome(&mut self, outcome: &Outcome) {
        let &Outcome { sent, bytes, .. } = outcome;
        match (outcome.news, &mut self.train) {
            (News::Arrived(at), Some(train)) if train.sent == sent => {
                train.last = train.last.max(at);
                train.first = train.first.min(at);
                train.packets += 1;
                train.bytes += bytes;
            }
            (News::Arrived(at), _) => {
                self.end();
                self.train = Some(Train { sent, first: at, last: at, packets: 1, bytes: 0 });
            }
            (News::Missing, _) => {
                self.train = None;
                self.not_before = self.not_before.max(sent + AFTER_LOSS);
            }
            // Where it was in its train is not known.
            (News::Untold | News::ArrivedLate(_), _) => self.train = None,
        }
    }

    fn end(&mut self) {
        let Some(train) = self.train.take().filter(|train| train.packets >= LEAST_PACKETS) else { return };
        if train.sent - self.newest > OLDEST {
            self.trains = 0;
        }
        self.newest = train.sent;
        let micros = (train.last - train.first + RESOLUTION) as f64 / train.bytes.max(1) as f64;
        // The mean of the first ones, so that the very first does not count for more than others.
        self.trains = self.trains.saturating_add(1);
        let part = SMOOTHING.max(1.0 / f64::from(self.trains));
        self.micros_per_byte += (micros - self.micros_per_byte) * part;
    }

    /// How many bytes the bottleneck takes in so many µs when they come at once; zero while that is not known. `now` is by our
    /// clock.
    pub fn bytes_in(&self, now: i64, micros: i64) -> usize {
        let is_known = self.trains >= LEAST_TRAINS && now >= self.not_before && now - self.newest < OLDEST;
        if is_known { (micros as f64 / self.micros_per_byte) as usize } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Class;
    use super::*;

    /// Trains of so many packets of 1,000 bytes, one in 33 ms, over a bottleneck of so many bit/s, 30 ms away.
    fn feed(dispersion: &mut Dispersion, trains: std::ops::Range<i64>, packets: i64, bps: i64) {
        for train in trains {
            let sent = train * 33_000;
            for packet in 1..=packets {
                // Told of in steps of a quarter of a millisecond.
                let at = (sent + 30_000 + packet * 8_000_000_000 / bps) / RESOLUTION * RESOLUTION;
                dispersion.on_outcome(&outcome(sent, News::Arrived(at)));
            }
        }
    }

    fn outcome(sent: i64, news: News) -> Outcome {
        Outcome { index: 0, sent, bytes: 1_000, class: Class::Video, cluster: None, news }
    }

    #[test]
    fn a_bottleneck_shows_what_it_takes_at_once() {
        for (bps, most) in [(2_000_000, 1_250), (20_000_000, 12_500)] {
            let mut dispersion = Dispersion::default();
            feed(&mut dispersion, 0..20, 6, bps);
            let bytes = dispersion.bytes_in(660_000, 5_000);
            assert!((most * 8 / 10..=most).contains(&bytes), "{bytes} at {bps}");
        }
        // Everything at once, as over a network within a machine.
        let mut dispersion = Dispersion::default();
        feed(&mut dispersion, 0..20, 6, 1_000_000_000_000);
        assert!(dispersion.bytes_in(660_000, 5_000) > 50_000);
    }

    #[test]
    fn little_says_nothing() {
        let mut dispersion = Dispersion::default();
        feed(&mut dispersion, 0..LEAST_TRAINS.into(), 6, 20_000_000);
        assert_eq!(dispersion.bytes_in(260_000, 5_000), 0, "the last train may not be over");
        feed(&mut dispersion, 8..9, 6, 20_000_000);
        assert!(dispersion.bytes_in(300_000, 5_000) > 0);
        let mut dispersion = Dispersion::default();
        feed(&mut dispersion, 0..100, 2, 20_000_000);
        assert_eq!(dispersion.bytes_in(3_300_000, 5_000), 0, "two packets are no train");
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut dispersion = Dispersion::default();
        feed(&mut dispersion, 0..20, 6, 20_000_000);
        assert_eq!(dispersion.bytes_in(6_000_000, 5_000), 0);
        feed(&mut dispersion, 300..303, 6, 2_000_000);
        assert_eq!(dispersion.bytes_in(303 * 33_000, 5_000), 0, "two trains of another network");
        feed(&mut dispersion, 303..320, 6, 2_000_000);
        assert!((1..1_300).contains(&dispersion.bytes_in(320 * 33_000, 5_000)));
    }

    #[test]
    fn a_lost_packet_makes_careful_for_a_while() {
        let mut dispersion = Dispersion::default();
        feed(&mut dispersion, 0..20, 6, 20_000_000);
        dispersion.on_outcome(&outcome(660_000, News::Missing));
        feed(&mut dispersion, 21..80, 6, 20_000_000);
        assert_eq!(dispersion.bytes_in(2_600_000, 5_000), 0);
        assert!(dispersion.bytes_in(2_661_000, 5_000) > 0);
    }

    #[test]
    fn one_train_that_was_held_back_does_not_decide() {
        let mut dispersion = Dispersion::default();
        feed(&mut dispersion, 0..20, 6, 50_000_000);
        let before = dispersion.bytes_in(660_000, 5_000);
        feed(&mut dispersion, 20..21, 6, 4_000_000);
        feed(&mut dispersion, 21..22, 6, 50_000_000);
        let after = dispersion.bytes_in(730_000, 5_000);
        assert!(after < before && after > before / 3, "{after} after {before}");
        feed(&mut dispersion, 22..60, 6, 4_000_000);
        assert!(dispersion.bytes_in(60 * 33_000, 5_000) < 2_600, "one after the other does");
    }
}
