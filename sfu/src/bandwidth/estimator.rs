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

mod drain;
mod growth;
mod reports;
mod rival;

use super::delay::{ArrivalFilter, Usage};
use super::dispersion::Dispersion;
use super::feedback::Feedback;
use super::ledger::{Class, Cluster, Ledger, News};
use super::loss::{LossFilter, Verdict};
use super::meter::Meter;
use super::probe::{Finding, Probe, Prober};
use crate::sys::thread::prefetch;
use drain::Drain;
use rival::Rival;
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

/// A packet, in bits.
const PACKET: f64 = 9_600.0;
/// Added to the round trip it is the time in which the network answers, µs.
const RESPONSE: f64 = 100_000.0;

/// After a limit was met the rate is this part of it: what is left lets others' bursts pass.
const BELOW: f64 = 0.93;

/// Near a limit is between these parts of it.
const NEAR: (f64, f64) = (0.80, 1.12);

/// A queue of less than this (ms) is empty, and no growth and no probe begin while it is longer than that: each with a part
/// of the jitter, and of the time that one packet takes at the present rate.
const EMPTY: f64 = 10.0;
const QUIET: f64 = 20.0;
const PACKET_PART: f64 = 0.6;

/// What leaves at once keeps the bottleneck busy for so long (µs) at most: what comes behind it, a voice, waits no longer.
const BURST: i64 = 3_000;
/// And only where packets are not later than each other by more than that (ms): of those that left at once all are held back, or
/// none, and a queue could not be told from that.
const BURST_JITTER: f64 = 3.0;
/// And only where news is back within this time, µs: what left at once arrives in steps, by which a queue that shoots up is noticed
/// a message later, and far away a short queue has dropped too much by then.
const BURST_ROUND_TRIP: f64 = 100_000.0;

/// The application sends less than this part of the estimate: nothing is learnt about the estimate.
const USES: f64 = 0.72;

/// Windows of the meters, µs.
const WINDOW: i64 = 500_000;
const SHORT_WINDOW: i64 = 125_000;
/// Of a queue that shoots up: what arrived before has nothing to do with it.
const SURGE_WINDOW: i64 = 100_000;

/// A probe's own queue is not held against the rate for so long after it, µs and a round trip.
const PROBE_AFTER: i64 = 250_000;

/// No news of an arrived packet for so long (µs, and two round trips) although some were sent: the network is gone. The rate
/// is halved then, and again each time.
const SILENCE: i64 = 600_000;

/// After silence the queue must be seen empty for the first time, and is not waited for beyond the second, µs.
const RETURN: (i64, i64) = (100_000, 3_000_000);

/// After losses for want of room no growth for so long, µs.
const AFTER_LOSS: i64 = 500_000;

/// No feedback for so long (µs) although something is wanted: all video may be paused, and then only a probe can tell that
/// it need not be.
const IDLE: i64 = 1_000_000;

/// The part of the rate that is sent for a moment to see what losses are.
const TRYING_LESS: f64 = 0.72;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Grow,
    Drain(Drain),
    Rival(Rival),
    Silent,
    Return { since: i64 },
}

/// What is known when feedback came: times in µs, queues in ms, rates in bit/s.
#[derive(Clone, Copy, Debug)]
struct Moment {
    now: i64,
    /// Since the moment before.
    seconds: f64,
    round_trip: f64,
    queue: f64,
    /// By how much it is longer than when feedback came before.
    jump: f64,
    /// It shoots up.
    is_surging: bool,
    slack: f64,
    /// What arrived and what was sent while the bottleneck was busy, or in the last half second.
    carried: f64,
    offered: f64,
    /// It was busy for all of that time: what arrived is what it carries.
    is_carrying: bool,
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
    dispersion: Dispersion,
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
    /// Its length (ms) when feedback came last.
    queue: f64,
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
    /// A queue was just seen to shoot up: when the newest packet had left that was told of.
    surged: Option<i64>,
    /// That this queue shot up was told, or need not be.
    is_surge_told: bool,
}

impl Estimator {
    /// Allocates what a camera needs; what it remembers grows with the rate.
    pub fn new(now: Instant, bounds: Bounds) -> Estimator {
        Estimator {
            bounds,
            ledger: Ledger::new(now),
            filter: ArrivalFilter::default(),
            loss: LossFilter::default(),
            prober: Prober::default(),
            dispersion: Dispersion::default(),
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
            queue: 0.0,
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
            surged: None,
            is_surge_told: true,
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

    /// Asks for what [`Estimator::sent`] touches.
    #[inline]
    pub fn ask(&self) {
        prefetch(&self.ledger, size_of::<Ledger>());
        prefetch(&self.awaiting, size_of::<Option<i64>>());
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
        Estimate {
            bps: self.bps(),
            pace_bps: self.pace_bps(),
            state,
            limit: if self.rate >= self.bounds.most_bps as f64 { Limit::Most } else { self.limit },
            queue: Duration::from_micros((self.filter.queue_ms() * 1e3) as u64),
            random_loss_permille: (self.random_loss * 1e3) as u16,
            round_trip: self.round_trip.map(|micros| Duration::from_micros(micros as u64)),
        }
    }

    /// [`Estimate::bps`] alone.
    #[inline]
    pub fn bps(&self) -> u64 {
        let bps = match self.phase {
            Phase::Drain(drain) => self.rate.max(BELOW * drain.capacity),
            _ => self.rate,
        };
        self.clamp(bps) as u64
    }

    /// [`Estimate::pace_bps`] alone.
    #[inline]
    pub fn pace_bps(&self) -> u64 {
        let less = if self.is_trying_less { TRYING_LESS } else { 1.0 };
        self.clamp(self.rate * less) as u64
    }

    /// What the pacer is to send beside the media.
    pub fn probe(&self) -> Option<Probe> {
        self.prober.current()
    }

    /// How many bytes may leave at once, whatever the rate: what the network was seen to take at once while it has no queue and
    /// loses nothing. Zero when that is not known. The estimate may be far below it, because it does not grow beyond what is used.
    pub fn burst(&self, now: Instant) -> usize {
        let Estimator { filter, .. } = self;
        let is_quiet = self.queue < EMPTY && filter.jitter_ms() < BURST_JITTER && filter.patience() == 0;
        let is_near = self.round_trip.is_some_and(|micros| micros < BURST_ROUND_TRIP);
        if self.phase != Phase::Grow || self.is_trying_less || !is_quiet || !is_near {
            return 0;
        }
        self.dispersion.bytes_in(self.ledger.micros(now), BURST)
    }

    /// Transport-wide feedback of the listener. A message that does not fit what was sent changes nothing.
    pub fn feedback(&mut self, now: Instant, feedback: &Feedback) {
        let mut is_observed = false;
        let (mut told, mut lost) = (0u32, 0u32);
        let Estimator { ledger, filter, loss, prober, dispersion, sent, arrived, delay, busy, .. } = self;
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
            dispersion.on_outcome(&outcome);
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

    /// Whether the bottleneck's queue was seen to shoot up since this was last asked. It may be full by now, and then it drops
    /// all kinds of packets alike: nothing is known of what left after this moment.
    pub fn take_surge(&mut self) -> Option<Instant> {
        self.surged.take().map(|micros| self.ledger.at(micros))
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
            Phase::Drain(drain) => {
                // A queue may be seen to be long a moment before it is seen that it shot up.
                self.tell_surge(&moment);
                self.drain(&moment, drain);
            }
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
        // A probe is to make a queue.
        let is_probe = self.prober.is_recent(now, PROBE_AFTER + self.round_trip.unwrap_or(RESPONSE) as i64);
        let surge = self.filter.surge().filter(|_| !is_probe);
        let queue = surge.map_or(self.filter.queue_ms(), |surge| surge.queue_ms);
        let jump = queue - std::mem::replace(&mut self.queue, queue);
        // An empty queue may look like more than nothing: by jitter, and by a packet that is just leaving.
        let slack = 0.5 * self.filter.jitter_ms() + PACKET_PART * PACKET * 1e3 / self.rate;
        if queue > 0.7 * EMPTY + slack {
            self.busy.get_or_insert(surge.map_or(latest, |surge| surge.since));
        } else {
            self.busy = None;
        }
        // What left the bottleneck while it was busy is what it carries.
        let busy = self.busy.map_or(0, |since| latest - since);
        // Of packets that are held back at times, a moment says nothing.
        let least = match surge {
            Some(_) => SURGE_WINDOW,
            None => (SHORT_WINDOW + self.filter.patience()).min(WINDOW),
        };
        let span = self.busy.map_or(WINDOW, |_| busy.clamp(least, WINDOW));
        let used = self.sent.rate(latest_sent, WINDOW);
        Some(Moment {
            now,
            seconds,
            round_trip: self.round_trip.unwrap_or(RESPONSE),
            queue,
            jump,
            is_surging: surge.is_some(),
            slack,
            carried: self.arrived.rate(latest, span),
            offered: self.sent.rate(latest_sent, span),
            is_carrying: busy >= least,
            used,
            is_unused: used < USES * self.rate,
            is_over: surge.is_some() || self.filter.usage() == Usage::Over,
            is_losing,
        })
    }

    /// Notes once for a queue that it shot up.
    fn tell_surge(&mut self, moment: &Moment) {
        if moment.is_surging && !std::mem::replace(&mut self.is_surge_told, true) {
            self.surged = self.sent.latest();
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
