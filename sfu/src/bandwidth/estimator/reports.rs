//! A listener that gives no transport-wide feedback: what its older kinds of reports say.

use super::{Estimator, Limit};
use std::time::Instant;

/// Without transport-wide feedback: loss of more than a tenth lowers, of less than a fiftieth raises, by this part a second.
const REPORT_GROWTH: f64 = 0.06;

impl Estimator {
    /// REMB of a listener that gives no transport-wide feedback.
    pub fn remb(&mut self, bps: u64) {
        if !self.has_feedback {
            self.remb = Some(bps as f64);
            self.rate = self.clamp(self.rate.min(bps as f64));
        }
    }

    /// The loss (of 256) that a receiver report tells of our video, for a listener that gives no transport-wide feedback.
    pub fn receiver_report(&mut self, now: Instant, fraction_lost: u8) {
        if self.has_feedback {
            return;
        }
        let now = self.ledger.micros(now);
        let seconds = ((now - self.reported).max(0) as f64 / 1e6).min(5.0);
        self.reported = now;
        let lost = f64::from(fraction_lost) / 256.0;
        self.limit = if lost > 0.1 { Limit::Loss } else { Limit::Nothing };
        if lost > 0.1 {
            self.rate *= 1.0 - lost / 2.0;
        } else if lost < 0.02 && self.wanted > self.rate {
            self.rate *= 1.0 + REPORT_GROWTH * seconds;
        }
        self.rate = self.clamp(self.rate.min(self.remb.unwrap_or(f64::INFINITY)));
    }
}
