//! How well a WebRTC peer is connected: loss both ways, jitter, round trip, and the one number that people know, a mean
//! opinion score by the E-model (ITU-T G.107, in the short form for packet networks).
//!
//! Pure: the engine feeds it what RTCP says, and takes a figure for each interval.

use std::time::Duration;

/// What is told about one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// Packets of the peer's own audio that did not reach us, in thousandths.
    pub loss_up_permille: u16,
    /// Packets that we sent and the peer did not get, in thousandths.
    pub loss_down_permille: u16,
    /// The larger of both directions (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// Unknown until the peer answered a sender report.
    pub round_trip: Option<Duration>,
    /// The mean opinion score of the worse direction in hundredths: 100 is unusable, 441 is the best of this scale.
    pub score: u16,
}

/// Frames, encoder and decoder, and the smallest jitter buffer: the delay of a call whose network has none.
const FIXED_DELAY_MS: f64 = 60.0;

/// How well Opus bears random loss (`Bpl`): about as G.711 with concealment (25.1 in G.113), somewhat less for its longer
/// frames.
const LOSS_ROBUSTNESS: f64 = 20.0;

/// Collects one interval.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    /// Expected and lost, upwards.
    up: (u64, u64),
    /// Reports of the peer, and the sum of the fractions (of 256) that they told.
    down: (u32, u32),
    jitter: Duration,
    round_trip: Option<Duration>,
}

impl Collector {
    /// What arrived from the peer since the last time.
    pub fn on_reception(&mut self, expected: u64, lost: u64, jitter: Duration) {
        self.up = (self.up.0 + expected, self.up.1 + lost);
        self.jitter = self.jitter.max(jitter);
    }

    /// What the peer reports of one of our streams; `fraction_lost` is of 256.
    pub fn on_report(&mut self, fraction_lost: u8, jitter: Duration, round_trip: Option<Duration>) {
        self.down = (self.down.0 + 1, self.down.1 + u32::from(fraction_lost));
        self.jitter = self.jitter.max(jitter);
        self.round_trip = round_trip.or(self.round_trip);
    }

    /// Ends the interval; `None` when nothing was said either way. The round trip is remembered.
    pub fn take(&mut self) -> Option<Quality> {
        let ended = std::mem::take(self);
        self.round_trip = ended.round_trip;
        if ended.up.0 == 0 && ended.down.0 == 0 {
            return None;
        }
        let loss_up_permille = (ended.up.1 * 1000).checked_div(ended.up.0).unwrap_or(0).min(1000) as u16;
        let loss_down_permille = (ended.down.1 * 1000).checked_div(ended.down.0 * 256).unwrap_or(0).min(1000) as u16;
        let worse = f64::from(loss_up_permille.max(loss_down_permille)) / 1000.0;
        let score = score(worse, ended.jitter, ended.round_trip);
        Some(Quality { loss_up_permille, loss_down_permille, jitter: ended.jitter, round_trip: ended.round_trip, score })
    }
}

/// The mean opinion score in hundredths for a share of lost packets, jitter, which the receiver's buffer turns into delay, and
/// the round trip.
fn score(loss: f64, jitter: Duration, round_trip: Option<Duration>) -> u16 {
    let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let delay = FIXED_DELAY_MS + 2.0 * millis(jitter) + round_trip.map_or(0.0, millis) / 2.0;
    let delay_impairment = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
    let percent = loss * 100.0;
    let loss_impairment = 95.0 * percent / (percent + LOSS_ROBUSTNESS);
    let rating = (93.2 - delay_impairment - loss_impairment).clamp(0.0, 100.0);
    let opinion = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
    (opinion.clamp(1.0, 4.5) * 100.0).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_score_falls_with_loss_and_delay_as_the_model_says() {
        // By hand from G.107: R = 91.8, 90.6, 72.8, 73.2, 22.3, 12.6.
        let table = [
            (0.0, 0, 0, 438),
            (0.0, 0, 100, 435),
            (0.05, 0, 0, 372),
            (0.02, 10, 300, 375),
            (0.2, 30, 400, 132),
            (1.0, 0, 0, 108),
        ];
        for (loss, jitter, round_trip, expected) in table {
            let score = score(loss, jitter * MS, Some(round_trip * MS));
            assert!(score.abs_diff(expected) <= 1, "{loss} lost, {jitter} ms, {round_trip} ms: {score}, not {expected}");
        }
    }

    #[test]
    fn an_interval_tells_what_fell_into_it() {
        let mut collector = Collector::default();
        assert_eq!(collector.take(), None);
        collector.on_reception(100, 5, 3 * MS);
        collector.on_reception(100, 5, 2 * MS);
        collector.on_report(0, 9 * MS, Some(40 * MS));
        collector.on_report(64, MS, None);
        let quality = collector.take().expect("something was said");
        assert_eq!((quality.loss_up_permille, quality.loss_down_permille), (50, 125));
        assert_eq!((quality.jitter, quality.round_trip), (9 * MS, Some(40 * MS)));
        assert_eq!(collector.take(), None, "the next interval is another");
        collector.on_report(0, MS, None);
        assert_eq!(collector.take().and_then(|quality| quality.round_trip), Some(40 * MS), "the round trip stays");
    }
}
