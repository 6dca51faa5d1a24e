//! How many bits a second one listener's network carries, from what feedback tells of the packets we send it.
//!
//! The rate grows while there is evidence that it is carried, and falls on one of three signs: the bottleneck's queue grows
//! ([`super::delay`]), packets are lost for want of room ([`super::loss`]), or nothing is heard at all. Probes
//! ([`super::probe`]) find quickly what growing would find slowly. What the application does not use is no evidence: a still
//! screen neither raises nor lowers the estimate.
//!
//! After a growing queue the rate is what arrived while the queue was busy, which is what the bottleneck carried, less what
//! lets the queue run empty soon. When the queue stays although we send much less, somebody else fills it: then the rate
//! follows losses as theirs does, until the queue is seen empty again.

use super::delay::{ArrivalFilter, Usage};
use super::feedback::Feedback;
use super::ledger::{Class, Cluster, Ledger, News};
use super::loss::{LossFilter, Verdict};
use super::meter::Meter;
use super::probe::{Finding, Probe, Prober};
use std::time::{Duration, Instant};

/// Where the estimate begins and between what it stays, in bit/s.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub start_bps: u64,
    pub least_bps: u64,
    pub most_bps: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        // Most networks carry the beginning, and the first probes find out soon; what is least keeps feedback coming.
        Bounds { start_bps: 500_000, least_bps: 40_000, most_bps: 20_000_000 }
    }
}

/// What keeps the estimate from being higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Nothing yet: it grows.
    Nothing,
    /// The bottleneck's queue.
    Delay,
    /// Losses for want of room.
    Loss,
    /// Less is sent than could be: nobody knows whether more would be carried.
    Application,
    /// [`Bounds::most_bps`].
    Most,
    /// No feedback comes.
    Silence,
}

/// What the estimator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Sends what it may, and a little more each time.
    Growing,
    /// Lets the bottleneck's queue run empty.
    Draining,
    /// Shares a queue that somebody else keeps full.
    BesideRival,
    /// Hears nothing.
    Silent,
    /// Hears something again, and waits until the queue of before is gone.
    Returning,
}

/// What may be sent to the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// bit/s of everything that carries a transport-wide sequence number: what layers are chosen for.
    pub bps: u64,
    /// What the pacer is to send now, bit/s: for moments less than that, while a queue runs empty or losses are looked into.
    /// No layer is worth changing for those.
    pub pace_bps: u64,
    pub state: State,
    pub limit: Limit,
    /// How long packets wait in the bottleneck's queue now.
    pub queue: Duration,
    /// The part of the packets that is lost at random, in thousandths.
    pub random_loss_permille: u16,
    /// Between a packet and the feedback about it.
    pub round_trip: Option<Duration>,
}

/// Growth far from a known limit, and at most: a part of the rate in a second.
const GROWTH: f64 = 0.10;
/// Near a known limit: a packet (bits) in a response time (the round trip and so many µs), but no more than a part of the
/// rate and at least so many bit/s, each second.
const STEP: f64 = 9_600.0;
const RESPONSE: f64 = 100_000.0;
const NEAR_GROWTH: f64 = 0.03;
const LEAST_STEP: f64 = 6_000.0;

/// Growth goes so far beyond what is used: more is not known, and is what probes are for.
const AHEAD: f64 = 1.15;

/// After a limit was met the rate is this part of it: what is left lets others' bursts pass.
const BELOW: f64 = 0.93;

/// Near a limit is between these parts of it.
const NEAR: (f64, f64) = (0.80, 1.12);

/// While the queue runs empty: the rate goes down by the queue's length over this time (ms), but not below this part.
const EMPTYING: f64 = 350.0;
const EMPTYING_LEAST: f64 = 0.45;

/// A queue of less than this (ms) is empty, and no growth and no probe begin while it is longer than that: each with a part
/// of the jitter, and of the time that one packet takes at the present rate.
const EMPTY: f64 = 10.0;
const QUIET: f64 = 20.0;
const PACKET_PART: f64 = 0.6;

/// The application sends less than this part of the estimate: nothing is learnt about the estimate.
const USES: f64 = 0.72;

/// Windows of the meters, µs.
const WINDOW: i64 = 500_000;
const SHORT_WINDOW: i64 = 125_000;

/// A probe's own queue up to this length (ms) is not held against the rate, for as long (µs, and a round trip) after it.
const PROBE_QUEUE: f64 = 130.0;
const PROBE_AFTER: i64 = 250_000;

/// The queue did not get shorter for so long (µs, and a round trip) after we sent less: somebody else fills it.
const STUCK: i64 = 900_000;
/// The same, when that was so in the last so many µs.
const STUCK_AGAIN: i64 = 350_000;
const REMEMBERED_RIVAL: i64 = 15_000_000;
/// A rival's queue is left to itself when it was empty for so long, µs.
const RIVAL_GONE: i64 = 250_000;
/// What is sent more arrives more, by this part at least, if it is a rival that gets less: then more may be sent each second.
const RIVAL_YIELDS: f64 = 0.97;
const RIVAL_MORE: f64 = 0.06;
const RIVAL_RETURN: f64 = 0.35;
/// After so long (µs) it is seen whether the queue is still somebody else's.
const RIVAL_DOUBT: i64 = 12_000_000;
/// A queue that varies by less than this (ms) while we send less is no queue: the way became longer.
const STEADY: f64 = 4.0;
/// Between cuts, at least, µs.
const RIVAL_CUTS: i64 = 150_000;
/// Beside a rival: cut on loss, and growth in packets a round trip (the pair that is as fast as one TCP).
const RIVAL_CUT: f64 = 0.8;
const RIVAL_GROWTH: f64 = 0.45;

/// No news of an arrived packet for so long (µs, and two round trips) although some were sent: the network is gone. The rate
/// is halved then, and again each time.
const SILENCE: i64 = 600_000;

/// Before a probe asks whether a full queue was only a moment, µs.
const AFTER_DRAIN: i64 = 2_000_000;

/// After silence the queue must be seen empty for the first time, and is not waited for beyond the second, µs.
const RETURN: (i64, i64) = (100_000, 3_000_000);

/// After losses for want of room no growth for so long, µs.
const AFTER_LOSS: i64 = 500_000;

/// No feedback for so long (µs) although something is wanted: all video may be paused, and then only a probe can tell that
/// it need not be.
const IDLE: i64 = 1_000_000;

/// The part of the rate that is sent for a moment to see what losses are.
const TRYING_LESS: f64 = 0.72;

/// What was not used for so long (µs) is asked by a probe whether it is still true.
const STALE: i64 = 15_000_000;

/// Without transport-wide feedback: loss of more than a tenth lowers, of less than a fiftieth raises, by this part a second.
const REPORT_GROWTH: f64 = 0.06;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Grow,
    Drain(Drain),
    Rival(Rival),
    Silent,
    Return { since: i64 },
}

/// The queue is let run empty.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Drain {
    since: i64,
    /// Since when less is sent than the bottleneck carries and the queue does not get shorter than the mark.
    eased: i64,
    mark: f64,
    /// The shortest and the longest since then.
    range: (f64, f64),
    /// What the bottleneck carries.
    capacity: f64,
    /// The rate before.
    before: f64,
}

/// Somebody else keeps the queue full.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rival {
    since: i64,
    /// When the rate was cut.
    cut: i64,
    empty_since: Option<i64>,
    /// No more than this while nothing was lost.
    most: f64,
    /// Up to here the rate returns quickly: half of what was carried before there were two.
    fair: f64,
}

/// What is known when feedback came: times in µs, queues in ms, rates in bit/s.
#[derive(Clone, Copy, Debug)]
struct Moment {
    now: i64,
    /// Since the moment before.
    seconds: f64,
    round_trip: f64,
    queue: f64,
    slack: f64,
    /// What arrived and what was sent while the bottleneck was busy, or in the last half second.
    carried: f64,
    offered: f64,
    /// What was sent in the last half second.
    used: f64,
    is_unused: bool,
    is_over: bool,
    is_losing: bool,
}

/// Estimates for one listener.
#[derive(Clone, Debug)]
pub struct Estimator {
    bounds: Bounds,
    ledger: Ledger,
    filter: ArrivalFilter,
    loss: LossFilter,
    prober: Prober,
    /// What feedback told of, by when it was sent; and what arrived, by when it did.
    sent: Meter,
    arrived: Meter,
    /// From one clock's sending to the other's arrival, of the newest packet told of.
    delay: i64,
    phase: Phase,
    rate: f64,
    limit: Limit,
    /// The last limit that was met.
    capacity: Option<f64>,
    /// No growth before.
    hold: i64,
    /// A moment with less, to see what losses are.
    is_trying_less: bool,
    random_loss: f64,
    /// Smoothed, µs.
    round_trip: Option<f64>,
    /// When the queue began to be busy, of the listener's clock.
    busy: Option<i64>,
    wanted: f64,
    controlled: i64,
    /// When the first packet left after the last news of one that arrived.
    awaiting: Option<i64>,
    /// When the rate was last used or probed.
    proven: i64,
    /// The rate before silence, to be asked for again, and when it was halved for it.
    before: f64,
    halved: i64,
    /// When a probe was last thought of without feedback.
    idled: i64,
    rival_seen: i64,
    /// Whether transport-wide feedback ever came; until then the older kinds count.
    has_feedback: bool,
    remb: Option<f64>,
    reported: i64,
}

impl Estimator {
    /// Allocates all that it will ever need.
    pub fn new(now: Instant, bounds: Bounds) -> Estimator {
        Estimator {
            bounds,
            ledger: Ledger::new(now),
            filter: ArrivalFilter::default(),
            loss: LossFilter::default(),
            prober: Prober::default(),
            sent: Meter::default(),
            arrived: Meter::default(),
            delay: 0,
            phase: Phase::Grow,
            rate: bounds.start_bps as f64,
            limit: Limit::Nothing,
            capacity: None,
            hold: 0,
            is_trying_less: false,
            random_loss: 0.0,
            round_trip: None,
            busy: None,
            wanted: 0.0,
            controlled: 0,
            awaiting: None,
            proven: 0,
            before: 0.0,
            halved: i64::MIN / 2,
            idled: 0,
            rival_seen: i64::MIN / 2,
            has_feedback: false,
            remb: None,
            reported: 0,
        }
    }

    /// A packet of `bytes` on the wire leaves now; `cluster` is what the pacer says of it. Returns the transport-wide sequence
    /// number that it must carry.
    #[inline]
    pub fn sent(&mut self, now: Instant, bytes: usize, class: Class, cluster: Option<Cluster>) -> u16 {
        let at = self.ledger.micros(now);
        self.awaiting.get_or_insert(at);
        if let Some(cluster) = cluster {
            self.prober.on_sent(at, cluster, bytes);
        }
        self.ledger.sent(now, bytes, class, cluster)
    }

    /// What the application would send if it could, bit/s: the next better choice of layers. Probes go there and no further;
    /// zero when nothing better is wanted.
    pub fn set_wanted(&mut self, bps: u64) {
        self.wanted = bps as f64;
    }

    pub fn set_most(&mut self, bps: u64) {
        self.bounds.most_bps = bps.max(self.bounds.least_bps);
        self.rate = self.clamp(self.rate);
    }

    /// What may be sent.
    pub fn estimate(&self) -> Estimate {
        let state = match self.phase {
            Phase::Grow => State::Growing,
            Phase::Drain(_) => State::Draining,
            Phase::Rival(_) => State::BesideRival,
            Phase::Silent => State::Silent,
            Phase::Return { .. } => State::Returning,
        };
        let less = if self.is_trying_less { TRYING_LESS } else { 1.0 };
        let bps = match self.phase {
            Phase::Drain(drain) => self.rate.max(BELOW * drain.capacity),
            _ => self.rate,
        };
        Estimate {
            bps: self.clamp(bps) as u64,
            pace_bps: self.clamp(self.rate * less) as u64,
            state,
            limit: if self.rate >= self.bounds.most_bps as f64 { Limit::Most } else { self.limit },
            queue: Duration::from_micros((self.filter.queue_ms() * 1e3) as u64),
            random_loss_permille: (self.random_loss * 1e3) as u16,
            round_trip: self.round_trip.map(|micros| Duration::from_micros(micros as u64)),
        }
    }

    /// What the pacer is to send beside the media.
    pub fn probe(&self) -> Option<Probe> {
        self.prober.current()
    }

    /// Transport-wide feedback of the listener. A message that does not fit what was sent changes nothing.
    pub fn feedback(&mut self, now: Instant, feedback: &Feedback) {
        let mut is_observed = false;
        let (mut told, mut lost) = (0u32, 0u32);
        let Estimator { ledger, filter, loss, prober, sent, arrived, delay, busy, .. } = self;
        let age = ledger.resolve(now, feedback, |outcome| {
            told += 1;
            match outcome.news {
                News::Arrived(at) | News::ArrivedLate(at) => {
                    if filter.on_packet(outcome.sent, at) {
                        (*arrived, *busy) = (Meter::default(), None);
                    }
                    arrived.add(at, outcome.bytes);
                    *delay = at - outcome.sent;
                }
                News::Missing => lost += 1,
                // What nobody told of arrived as its neighbours did, or the rate would look lower than it is.
                News::Untold => arrived.add(outcome.sent + *delay, outcome.bytes),
            }
            match outcome.news {
                News::ArrivedLate(_) => loss.on_late(),
                News::Untold => sent.add(outcome.sent, outcome.bytes),
                News::Arrived(_) | News::Missing => {
                    sent.add(outcome.sent, outcome.bytes);
                    is_observed |= loss.on_packet(outcome.sent, outcome.bytes, outcome.news == News::Missing);
                }
            }
            prober.on_outcome(&outcome, *delay);
        });
        let now = self.ledger.micros(now);
        self.has_feedback |= age.is_some();
        if let Some(age) = age {
            let age = age.as_micros() as f64;
            self.round_trip = Some(self.round_trip.map_or(age, |smoothed| smoothed + (age - smoothed) / 8.0));
            self.awaiting = None;
            if self.phase == Phase::Silent {
                self.phase = Phase::Return { since: now };
            }
        }
        // More than is lost at random anyway.
        let is_losing = f64::from(lost) > 2.0 * self.random_loss * f64::from(told);
        self.control(now, is_observed, is_losing);
    }

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

    /// When [`Estimator::handle_timeout`] is due; `None` while nothing is awaited or wanted.
    pub fn next_timeout(&self) -> Option<Instant> {
        let due = [self.silence_due(), self.idle_due()];
        due.into_iter().flatten().min().map(|micros| self.ledger.at(micros))
    }

    /// Notices that nothing is heard any more, and asks the network when nothing else does.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.ledger.micros(now);
        if self.silence_due().is_some_and(|due| due <= now) {
            if !matches!(self.phase, Phase::Silent | Phase::Return { .. }) {
                self.before = self.rate;
            }
            if self.phase != Phase::Silent {
                self.prober.renew(now);
            }
            self.phase = Phase::Silent;
            self.limit = Limit::Silence;
            self.rate = self.clamp(self.rate / 2.0);
            self.halved = now;
        }
        if self.idle_due().is_some_and(|due| due <= now) {
            self.idled = now;
            match self.phase {
                // Who sends nothing has no queue of his own.
                Phase::Drain(Drain { capacity, .. }) => self.enter_growth(now, Some(capacity)),
                Phase::Rival(_) => self.enter_growth(now, None),
                Phase::Grow => {}
                Phase::Silent | Phase::Return { .. } => {
                    self.prober.renew(now);
                    self.prober.begin(now, 2.0 * self.bounds.least_bps as f64);
                }
            }
            if self.phase == Phase::Grow {
                self.prober.expire(now);
                self.prober.plan(now, self.rate, self.wanted.min(self.bounds.most_bps as f64));
            }
        }
    }

    fn silence_due(&self) -> Option<i64> {
        let since = self.awaiting.filter(|_| self.has_feedback)?;
        let silence = SILENCE + (2.0 * self.round_trip.unwrap_or(0.0)).min(2e6) as i64;
        Some((since + silence).max(self.halved + SILENCE / 2))
    }

    fn idle_due(&self) -> Option<i64> {
        (self.has_feedback && self.wanted > 0.0).then(|| self.controlled.max(self.idled) + IDLE)
    }

    fn clamp(&self, rate: f64) -> f64 {
        rate.clamp(self.bounds.least_bps as f64, self.bounds.most_bps as f64)
    }

    fn control(&mut self, now: i64, is_observed: bool, is_losing: bool) {
        let Some(moment) = self.moment(now, is_losing) else { return };
        if !moment.is_unused {
            self.proven = now;
        }
        if is_observed {
            self.on_observation(now, moment.carried);
        }
        self.is_trying_less = !moment.is_unused && self.phase == Phase::Grow && self.loss.wants_less(now);
        if let Some(finding) = self.prober.judge(now, self.random_loss) {
            self.on_finding(now, finding, moment.used);
        }
        match self.phase {
            Phase::Grow => self.grow(&moment),
            Phase::Drain(drain) => self.drain(&moment, drain),
            Phase::Rival(rival) => self.beside_rival(&moment, rival),
            Phase::Silent => {}
            Phase::Return { since } => {
                let is_empty = moment.queue < 2.0 * QUIET + moment.slack && now - since > RETURN.0;
                if is_empty || now - since > RETURN.1 {
                    self.enter_growth(now, None);
                    self.limit = Limit::Nothing;
                    self.prober.renew(now);
                    if self.wanted > self.rate {
                        self.prober.begin(now, self.clamp(0.8 * self.before));
                    }
                }
            }
        }
        self.rate = self.clamp(self.rate);
    }

    /// What is known now; `None` before the first packet arrived.
    fn moment(&mut self, now: i64, is_losing: bool) -> Option<Moment> {
        let (latest, latest_sent) = (self.arrived.latest()?, self.sent.latest()?);
        let seconds = ((now - self.controlled) as f64 / 1e6).clamp(0.0, 0.3);
        self.controlled = now;
        let queue = self.filter.queue_ms();
        // An empty queue may look like more than nothing: by jitter, and by a packet that is just leaving.
        let slack = 0.5 * self.filter.jitter_ms() + PACKET_PART * STEP * 1e3 / self.rate;
        if queue > 0.7 * EMPTY + slack {
            self.busy.get_or_insert(latest);
        } else {
            self.busy = None;
        }
        // What left the bottleneck while it was busy is what it carries.
        let span = self.busy.map_or(WINDOW, |since| (latest - since).clamp(SHORT_WINDOW, WINDOW));
        let used = self.sent.rate(latest_sent, WINDOW);
        Some(Moment {
            now,
            seconds,
            round_trip: self.round_trip.unwrap_or(RESPONSE),
            queue,
            slack,
            carried: self.arrived.rate(latest, span),
            offered: self.sent.rate(latest_sent, span),
            used,
            is_unused: used < USES * self.rate,
            is_over: self.filter.usage() == Usage::Over,
            is_losing,
        })
    }

    fn grow(&mut self, moment: &Moment) {
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
            let drain = Drain {
                since: now,
                eased: now,
                mark: queue,
                range: (queue, queue),
                capacity: carried.min(self.rate),
                before: self.rate,
            };
            self.drain(moment, drain);
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
            (STEP * 1e6 / (moment.round_trip + RESPONSE)).min(most * self.rate).max(LEAST_STEP)
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

    fn drain(&mut self, moment: &Moment, mut drain: Drain) {
        let Moment { now, queue, slack, carried, offered, round_trip, .. } = *moment;
        // What arrives in the first round trip was sent before the rate fell. Later the bottleneck is what arrives only if
        // it is less than was sent.
        if now - drain.since < round_trip as i64 + 100_000 {
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
            let fair = 0.5 * drain.before;
            let rival = Rival { since: now, cut: now, empty_since: None, most: BELOW * drain.capacity, fair };
            self.phase = Phase::Rival(rival);
        } else {
            self.rate = drain.capacity * (1.0 - queue / EMPTYING).clamp(EMPTYING_LEAST, BELOW);
        }
    }

    fn beside_rival(&mut self, moment: &Moment, mut rival: Rival) {
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
            self.rate += if is_behind { most } else { (RIVAL_GROWTH * STEP / (trip * trip)).min(most) } * seconds;
        }
        self.rate = self.rate.min(rival.most);
        rival.empty_since = if moment.queue < EMPTY + moment.slack { rival.empty_since.or(Some(now)) } else { None };
        self.phase = Phase::Rival(rival);
        if rival.empty_since.is_some_and(|empty| now - empty > RIVAL_GONE) {
            self.enter_growth(now, None);
        } else if now - rival.since > RIVAL_DOUBT {
            self.phase = Phase::Drain(Drain {
                since: now,
                eased: now,
                mark: moment.queue,
                range: (moment.queue, moment.queue),
                capacity: self.rate,
                before: 2.0 * rival.fair,
            });
        }
    }

    /// Grows again, not before `hold`, with what is known of the limit.
    fn enter_growth(&mut self, hold: i64, capacity: Option<f64>) {
        self.phase = Phase::Grow;
        self.capacity = capacity;
        self.hold = hold;
        // What was lost on the way here was lost to what has passed.
        self.loss.forget();
    }

    fn on_observation(&mut self, now: i64, carried: f64) {
        self.random_loss = 0.0;
        match self.loss.verdict() {
            Verdict::Calm => {}
            Verdict::Random(part) => self.random_loss = part,
            Verdict::Limited(limit) => {
                if self.phase == Phase::Grow {
                    self.prober.abort(now);
                    self.rate = self.rate.min(0.95 * limit.max(0.5 * carried));
                    self.capacity = Some(limit);
                    self.limit = Limit::Loss;
                    self.hold = now + AFTER_LOSS;
                    self.loss.forget();
                }
            }
        }
    }

    fn on_finding(&mut self, now: i64, finding: Finding, used: f64) {
        match finding {
            Finding::Carried(rate) => {
                self.proven = now;
                if self.capacity.is_some_and(|capacity| rate > NEAR.1 * capacity) {
                    self.capacity = None;
                }
                if matches!(self.phase, Phase::Grow | Phase::Return { .. }) {
                    self.rate = self.rate.max(rate);
                }
            }
            Finding::Limit(rate) => {
                self.proven = now;
                self.capacity = Some(rate);
                if BELOW * rate > self.rate {
                    self.rate = BELOW * rate;
                } else if used < USES * self.rate && rate < 0.8 * self.rate {
                    // The application did not use it, and it is no longer there.
                    self.rate = (BELOW * rate).max(used);
                }
                self.limit = Limit::Delay;
                self.hold = now + PROBE_AFTER;
            }
            Finding::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests;
