//! The rate grows: quickly where no limit is known, by small steps near one, and by probes towards what is wanted.

use super::drain::Drain;
use super::{Estimator, Limit, Moment, NEAR, PACKET, PROBE_AFTER, QUIET, RESPONSE};

/// Growth far from a known limit, and at most: a part of the rate in a second.
pub(super) const GROWTH: f64 = 0.10;
/// Near a known limit: a packet in a response time, but no more than a part of the rate and at least so many bit/s, each second.
const NEAR_GROWTH: f64 = 0.03;
const LEAST_STEP: f64 = 6_000.0;

/// Growth goes so far beyond what is used: more is not known, and is what probes are for.
const AHEAD: f64 = 1.15;

/// A probe's own queue up to this length (ms) is not held against the rate.
const PROBE_QUEUE: f64 = 130.0;

/// What was not used for so long (µs) is asked by a probe whether it is still true.
const STALE: i64 = 15_000_000;

impl Estimator {
    pub(super) fn grow(&mut self, moment: &Moment) {
        let Moment { now, queue, carried, offered, .. } = *moment;
        if moment.is_over {
            let is_probe = self.prober.is_recent(now, PROBE_AFTER + moment.round_trip as i64);
            // Somebody's burst, or a Wi-Fi that holds packets back: what we send gets through.
            let is_carried = moment.is_unused && carried >= 0.9 * offered;
            if queue < PROBE_QUEUE && (is_probe || is_carried) {
                self.hold = now + PROBE_AFTER;
                return;
            }
            self.prober.abort(now);
            self.limit = Limit::Delay;
            self.is_surge_told = false;
            self.tell_surge(moment);
            self.drain(moment, Drain::begin(moment, self.rate));
        } else if now >= self.hold && queue < QUIET + moment.slack {
            if moment.is_unused {
                self.limit = Limit::Application;
            } else {
                self.step_up(moment);
            }
            if !self.is_trying_less {
                self.plan_probe(moment);
            }
        }
    }

    fn step_up(&mut self, moment: &Moment) {
        let is_near = self.capacity.is_some_and(|capacity| self.rate > NEAR.0 * capacity && self.rate < NEAR.1 * capacity);
        let step = if is_near {
            // Where the limit shows as losses, every step beyond it costs packets.
            let most = if self.limit == Limit::Loss { NEAR_GROWTH / 3.0 } else { NEAR_GROWTH };
            (PACKET * 1e6 / (moment.round_trip + RESPONSE)).min(most * self.rate).max(LEAST_STEP)
        } else {
            self.limit = Limit::Nothing;
            GROWTH * self.rate
        };
        // No further ahead of what is sent than it may be by chance.
        let most = (AHEAD * moment.used + 20_000.0).max(self.rate);
        self.rate = (self.rate + step * moment.seconds).min(most);
        if self.capacity.is_some_and(|capacity| self.rate >= NEAR.1 * capacity) {
            self.capacity = None;
        }
    }

    fn plan_probe(&mut self, moment: &Moment) {
        let most = self.bounds.most_bps as f64;
        if moment.is_unused && moment.now - self.proven > STALE && self.wanted > 1.2 * moment.used {
            self.proven = moment.now;
            self.prober.begin(moment.now, self.rate.min(self.wanted));
        } else if self.rate < 0.97 * most {
            self.prober.plan(moment.now, self.rate, self.wanted.min(most));
        }
    }
}
