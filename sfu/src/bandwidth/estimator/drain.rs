//! The bottleneck's queue is let run empty: with less than the bottleneck carries, until nobody waits, or until it is seen that
//! it does not get shorter by that.

use super::rival::Rival;
use super::{BELOW, EMPTY, Estimator, Moment, Phase, QUIET};

/// While the queue runs empty: the rate goes down by the queue's length over this time (ms), but not below this part.
const EMPTYING: f64 = 350.0;
const EMPTYING_LEAST: f64 = 0.45;

/// The queue did not get shorter for so long (µs, and a round trip) after we sent less: somebody else fills it.
const STUCK: i64 = 900_000;
/// The same, when that was so in the last so many µs.
const STUCK_AGAIN: i64 = 350_000;
const REMEMBERED_RIVAL: i64 = 15_000_000;
/// A queue that varies by less than this (ms) while we send less is no queue: the way became longer.
const STEADY: f64 = 4.0;
/// A queue that is longer by this (ms) from one feedback to the next may be a way that became longer.
const LONGER_WAY: f64 = 50.0;
/// What is believed then, and when little was sent, to be carried at least, as parts of the rate.
const LEAST_BEHIND_JUMP: f64 = 0.25;
const LEAST_UNUSED: f64 = 0.5;
/// Before a probe asks whether a full queue was only a moment, µs.
const AFTER_DRAIN: i64 = 2_000_000;

/// The queue is let run empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Drain {
    since: i64,
    /// Since when less is sent than the bottleneck carries and the queue does not get shorter than the mark.
    eased: i64,
    mark: f64,
    /// The shortest and the longest since then.
    range: (f64, f64),
    /// What the bottleneck carries.
    pub(super) capacity: f64,
    /// The capacity was measured while the bottleneck was busy, and not in a time that reaches back beyond that: when the way
    /// becomes longer nothing arrives for a moment, and what arrived in that moment is no capacity.
    is_measured: bool,
    /// The rate before.
    before: f64,
}

impl Drain {
    /// From this moment on, with the rate before. What arrived is what the bottleneck carries, unless little was sent or the way
    /// may have become longer: then it is no less than a part of the rate until more is known.
    pub(super) fn begin(moment: &Moment, before: f64) -> Drain {
        let &Moment { now, queue, carried, .. } = moment;
        // While each packet leaves later than the one before, what arrives is all that is carried, however little was sent.
        let is_measured = moment.is_surging || moment.jump < LONGER_WAY;
        let least = match (is_measured, moment.is_unused && !moment.is_surging) {
            (false, _) => LEAST_BEHIND_JUMP,
            (true, true) => LEAST_UNUSED,
            (true, false) => 0.0,
        };
        let capacity = carried.max(least * before).min(before);
        Drain { since: now, eased: now, mark: queue, range: (queue, queue), capacity, is_measured, before }
    }

    /// Anew, with a capacity that is known.
    pub(super) fn again(moment: &Moment, capacity: f64, before: f64) -> Drain {
        let &Moment { now, queue, .. } = moment;
        Drain { since: now, eased: now, mark: queue, range: (queue, queue), capacity, is_measured: true, before }
    }
}

impl Estimator {
    pub(super) fn drain(&mut self, moment: &Moment, mut drain: Drain) {
        let Moment { now, queue, slack, carried, offered, round_trip, .. } = *moment;
        // What arrives in the first round trip was sent before the rate fell. Later the bottleneck is what arrives only if
        // it is less than was sent.
        if !drain.is_measured {
            if moment.is_carrying {
                drain.capacity = carried.min(drain.before);
                drain.is_measured = true;
            }
        } else if moment.is_unused {
            // What little is sent says nothing about what would be carried.
        } else if now - drain.since < round_trip as i64 + 100_000 {
            drain.capacity = carried.min(self.rate.max(drain.capacity));
        } else if carried < 0.92 * offered {
            drain.capacity = drain.capacity.min(carried);
        }
        // Only while less is sent and the queue does not get shorter does it mean anything that there is one.
        if offered > 0.9 * drain.capacity || queue < 0.9 * drain.mark {
            (drain.eased, drain.mark, drain.range) = (now, queue, (queue, queue));
        }
        drain.range = (drain.range.0.min(queue), drain.range.1.max(queue));
        self.phase = Phase::Drain(drain);
        let patience = if now - self.rival_seen < REMEMBERED_RIVAL { STUCK_AGAIN } else { STUCK };
        if queue < EMPTY + slack {
            self.rate = BELOW * drain.capacity;
            self.enter_growth(now + round_trip as i64, Some(drain.capacity));
            // What was lost is asked for again soon: it may have been a moment.
            self.prober.not_before(now + AFTER_DRAIN);
        } else if now - drain.eased > patience + round_trip as i64 && queue > QUIET + slack {
            if drain.range.1 - drain.range.0 < STEADY + 0.5 * self.filter.jitter_ms() {
                self.filter.accept_queue();
                self.rate = BELOW * drain.capacity;
                self.enter_growth(now, None);
                return;
            }
            self.rate = drain.capacity;
            self.phase = Phase::Rival(Rival::begin(now, BELOW * drain.capacity, 0.5 * drain.before));
        } else {
            self.rate = drain.capacity * (1.0 - queue / EMPTYING).clamp(EMPTYING_LEAST, BELOW);
        }
    }
}
