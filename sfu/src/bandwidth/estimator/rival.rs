//! Somebody else keeps the bottleneck's queue full: the rate follows losses as theirs does, until the queue is seen empty.

use super::drain::Drain;
use super::growth::GROWTH;
use super::{EMPTY, Estimator, Limit, Moment, PACKET, Phase};

/// A rival's queue is left to itself when it was empty for so long, µs.
const RIVAL_GONE: i64 = 250_000;
/// What is sent more arrives more, by this part at least, if it is a rival that gets less: then more may be sent each second.
const RIVAL_YIELDS: f64 = 0.97;
const RIVAL_MORE: f64 = 0.06;
const RIVAL_RETURN: f64 = 0.35;
/// After so long (µs) it is seen whether the queue is still somebody else's.
const RIVAL_DOUBT: i64 = 12_000_000;
/// Between cuts, at least, µs.
const RIVAL_CUTS: i64 = 150_000;
/// Beside a rival: cut on loss, and growth in packets a round trip (the pair that is as fast as one TCP).
const RIVAL_CUT: f64 = 0.8;
const RIVAL_GROWTH: f64 = 0.45;

/// Somebody else keeps the queue full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rival {
    since: i64,
    /// When the rate was cut.
    cut: i64,
    empty_since: Option<i64>,
    /// No more than this while nothing was lost.
    most: f64,
    /// Up to here the rate returns quickly: half of what was carried before there were two.
    fair: f64,
}

impl Rival {
    pub(super) fn begin(now: i64, most: f64, fair: f64) -> Rival {
        Rival { since: now, cut: now, empty_since: None, most, fair }
    }
}

impl Estimator {
    pub(super) fn beside_rival(&mut self, moment: &Moment, mut rival: Rival) {
        let Moment { now, seconds, .. } = *moment;
        self.rival_seen = now;
        self.limit = Limit::Delay;
        // Of what was sent, the part that arrives in the same time.
        let part = moment.carried / moment.offered.max(1.0);
        if moment.is_losing && now - rival.cut > (moment.round_trip as i64).max(RIVAL_CUTS) {
            rival.cut = now;
            self.rate *= RIVAL_CUT;
            self.limit = Limit::Loss;
            // It fills the queue until it loses; so may we from now on.
            rival.most = f64::INFINITY;
        } else if !moment.is_losing {
            let trip = moment.round_trip.max(50_000.0) / 1e6;
            let is_behind = self.rate < rival.fair;
            if part > RIVAL_YIELDS {
                rival.most *= 1.0 + if is_behind { RIVAL_RETURN } else { RIVAL_MORE } * seconds;
            }
            let most = if is_behind { RIVAL_RETURN } else { 2.0 * GROWTH } * self.rate;
            self.rate += if is_behind { most } else { (RIVAL_GROWTH * PACKET / (trip * trip)).min(most) } * seconds;
        }
        self.rate = self.rate.min(rival.most);
        rival.empty_since = if moment.queue < EMPTY + moment.slack { rival.empty_since.or(Some(now)) } else { None };
        self.phase = Phase::Rival(rival);
        if rival.empty_since.is_some_and(|empty| now - empty > RIVAL_GONE) {
            self.enter_growth(now, None);
        } else if now - rival.since > RIVAL_DOUBT {
            self.phase = Phase::Drain(Drain::again(moment, self.rate, 2.0 * rival.fair));
        }
    }
}
