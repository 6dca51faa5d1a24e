//! What the times of arrival say about the bottleneck's queue: whether it grows (a line through the smoothed delays of the
//! last packets, with a threshold that adapts, as in draft-ietf-rmcat-gcc-02 §5), and how long it is (the least delay of the
//! last moments above the least of half a minute).
//!
//! The two answer different questions. The line is fast, but jitter bends it; the least delay is slower by a tenth of a
//! second and sees through jitter, because on a Wi-Fi that holds packets back some of them still pass without waiting, and
//! behind a queue none does. A verdict needs both.

/// Packets sent within so many µs travel as one: a frame's packets say nothing about each other.
const BURST: i64 = 5_000;

/// Groups that the line goes through: a second or less.
const WINDOW: usize = 20;

/// How much of the old the smoothed delay keeps.
const SMOOTHING: f64 = 0.9;

/// The line's slope times this (and the number of groups) is in the unit of the threshold, milliseconds.
const GAIN: f64 = 4.0;
const MOST_GROUPS: f64 = 60.0;

/// The threshold in ms: where it begins, its bounds, and how fast it follows the line up and down. It rises slowly, so that a
/// flow which fills the queue on purpose does not push us aside, and falls slower still.
const THRESHOLD: f64 = 12.5;
const THRESHOLDS: (f64, f64) = (6.0, 600.0);
const RISE: f64 = 0.0087;
const FALL: f64 = 0.039;
/// An excursion so far beyond the threshold (ms) is an event, not the usual.
const EXCURSION: f64 = 15.0;

/// The line must be beyond the threshold for so long (ms of sending).
const PERSISTENCE: f64 = 10.0;

/// The least delay of so many µs by arrival, five times, is the queue's length now; of more, up to as many as are kept, where
/// packets are held back and released together at times: by a receiver without processor, or the air.
const RECENT: i64 = 20_000;
const RECENTS: usize = 5;
const MOST_RECENTS: usize = 24;

/// How long they are held back is seen in periods of so many µs, at whose end the queue was empty all the same: the mean delay
/// above the least. So many times that is what is waited for, and of the old so much is kept from period to period.
const HELD_PERIOD: i64 = 500_000;
const HELD_TIMES: f64 = 5.0;
const HELD_KEPT: f64 = 0.75;
/// Below this (ms) it is the usual jitter, and what our own bursts make of it.
const HELD_LEAST: f64 = 20.0;

/// The least delay of so many µs, ten times, is that of an empty queue: a route that became longer is believed after half a
/// minute, and clocks that part by 0.01 % do so by 3 ms.
const PERIOD: i64 = 3_000_000;
const PERIODS: usize = 10;

/// In ms. A queue shorter than this is none, whatever the line says.
const NO_QUEUE: f64 = 8.0;
/// A queue longer than this is one, whatever the line says.
const LONG_QUEUE: f64 = 45.0;

/// So many packets that each came later than all before them, by so many ms together and by this part of the time in which they
/// came, are a surge: a bottleneck that carries a third of what is sent, or less, and whose queue is full before the least delay
/// of a moment tells. Packets that were held back do not come so: the first waited longest.
const SURGE: (u32, f64, f64) = (4, 60.0, 0.7);
/// All in µs: a rise ends with a packet that waited less by the first, and when none waited longer by the second for as many as
/// the third.
const STEPS: (i64, i64, i64) = (5_000, 1_000, 100_000);

/// A clock that jumps by more than this (µs) against ours begins anew.
const JUMP: i64 = 20_000_000;

/// What the arrivals say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// The queue is empty or getting shorter.
    Under,
    Normal,
    /// More is sent than leaves the bottleneck.
    Over,
}

/// A bottleneck's queue that shoots up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surge {
    /// When that began, µs of the listener's clock.
    pub since: i64,
    /// How long the newest packet waited.
    pub queue_ms: f64,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: i64,
    sent: i64,
    first_arrived: i64,
    arrived: i64,
}

/// Looks at the packets of one listener as they are told of.
#[derive(Clone, Debug)]
pub struct ArrivalFilter {
    group: Option<Group>,
    before: Option<Group>,
    /// Sum and smoothed sum of the differences in delay, ms.
    delay: f64,
    smoothed: f64,
    /// When a group arrived (ms since the first) and the smoothed delay then.
    points: [(f64, f64); WINDOW],
    groups: usize,
    first_arrived: i64,
    slope: f64,
    trend: f64,
    threshold: f64,
    beyond: f64,
    usage: Usage,
    recent: Minimum<MOST_RECENTS>,
    rise: Rise,
    base: Minimum<PERIODS>,
    held: Held,
    /// How far single packets are above the least of their moment: what jitter is here, ms.
    jitter: f64,
}

impl Default for ArrivalFilter {
    fn default() -> ArrivalFilter {
        ArrivalFilter {
            group: None,
            before: None,
            delay: 0.0,
            smoothed: 0.0,
            points: [(0.0, 0.0); WINDOW],
            groups: 0,
            first_arrived: 0,
            slope: 0.0,
            trend: 0.0,
            threshold: THRESHOLD,
            beyond: 0.0,
            usage: Usage::Normal,
            recent: Minimum::new(RECENT),
            // No packet waits so long, so the first one begins.
            rise: Rise { since: 0, newest: 0, steps: 0, first: 0, peak: i64::MAX / 2 },
            base: Minimum::new(PERIOD),
            held: Held::default(),
            jitter: 0.0,
        }
    }
}

impl ArrivalFilter {
    /// A packet that was sent (µs of our clock) and arrived (µs of theirs), in the order of sending. Returns whether the clocks
    /// jumped against each other: what arrived before says nothing about now.
    pub fn on_packet(&mut self, sent: i64, arrived: i64) -> bool {
        let delay = arrived - sent;
        let has_jumped = self.base.least().is_some_and(|least| (delay - least).abs() > JUMP);
        if has_jumped {
            let threshold = self.threshold;
            *self = ArrivalFilter { threshold, ..ArrivalFilter::default() };
        }
        self.base.add(arrived, delay);
        self.recent.add(arrived, delay);
        self.rise.add(arrived, delay);
        self.held.add(arrived, delay, self.base.least().unwrap_or(delay));
        if let Some(least) = self.recent.least_of(RECENTS) {
            self.jitter += ((delay - least) as f64 / 1e3 - self.jitter) / 64.0;
        }

        let Some(group) = &mut self.group else {
            self.group = Some(Group { first_sent: sent, sent, first_arrived: arrived, arrived });
            self.first_arrived = arrived;
            return has_jumped;
        };
        if sent < group.first_sent {
            return has_jumped;
        }
        // Packets that a link held back and released together are one group too: they arrived in no time.
        let released = arrived - group.arrived <= BURST
            && arrived - group.first_arrived < 100_000
            && (arrived - group.arrived) < (sent - group.sent);
        if sent - group.first_sent <= BURST || released {
            group.sent = group.sent.max(sent);
            group.arrived = group.arrived.max(arrived);
            return has_jumped;
        }
        let ended = *group;
        *group = Group { first_sent: sent, sent, first_arrived: arrived, arrived };
        if let Some(before) = self.before.replace(ended) {
            self.on_group(before, ended);
        }
        has_jumped
    }

    /// Whether more is sent than the bottleneck carries.
    pub fn usage(&self) -> Usage {
        let queue = self.queue_ms();
        match self.usage {
            Usage::Over if queue < NO_QUEUE => Usage::Normal,
            Usage::Over => Usage::Over,
            Usage::Under => Usage::Under,
            Usage::Normal if queue > LONG_QUEUE + 2.0 * self.jitter => Usage::Over,
            Usage::Normal => Usage::Normal,
        }
    }

    /// How long a packet waits in the queue now, in ms. Zero while nothing is known.
    pub fn queue_ms(&self) -> f64 {
        let recents = RECENTS + (self.patience() / RECENT) as usize;
        match (self.recent.least_of(recents), self.base.least()) {
            (Some(recent), Some(base)) => (recent - base) as f64 / 1e3,
            _ => 0.0,
        }
    }

    /// Whether the queue shoots up now, and how.
    pub fn surge(&self) -> Option<Surge> {
        let base = self.base.least()?;
        let Rise { since, newest, steps, first, peak } = self.rise;
        let (rise, took) = ((peak - first) as f64, (newest - since) as f64);
        let is_surge = steps >= SURGE.0 && rise > 1e3 * SURGE.1 && rise > SURGE.2 * took;
        is_surge.then_some(Surge { since, queue_ms: (peak - base) as f64 / 1e3 })
    }

    /// What looks like a queue is the way itself: it became longer.
    pub fn accept_queue(&mut self) {
        if let Some(recent) = self.recent.least_of(RECENTS) {
            self.base.least = self.base.least.map(|least| if least == i64::MAX { least } else { least.max(recent) });
        }
    }

    /// For how long (µs) what looks like a queue may be packets that are held back.
    pub fn patience(&self) -> i64 {
        let most = (MOST_RECENTS - RECENTS) as i64 * RECENT;
        if self.held.mean < HELD_LEAST { 0 } else { ((HELD_TIMES * self.held.mean * 1e3) as i64).min(most) }
    }

    /// By how much single packets are later than the least of their moment, in ms.
    pub fn jitter_ms(&self) -> f64 {
        self.jitter
    }

    /// The slope of the line through the delays, in the unit of the threshold.
    pub fn trend(&self) -> f64 {
        self.trend
    }

    fn on_group(&mut self, before: Group, group: Group) {
        let sent = (group.sent - before.sent) as f64 / 1e3;
        let arrived = (group.arrived - before.arrived) as f64 / 1e3;
        if sent <= 0.0 {
            return;
        }
        self.delay += arrived - sent;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.delay;
        self.points[self.groups % WINDOW] = ((group.arrived - self.first_arrived) as f64 / 1e3, self.smoothed);
        self.groups += 1;
        let slope = if self.groups >= WINDOW { slope(&self.points) } else { 0.0 };
        self.trend = slope * (self.groups as f64).min(MOST_GROUPS) * GAIN;

        if self.trend > self.threshold {
            self.beyond += sent;
            if self.beyond > PERSISTENCE && slope >= self.slope {
                self.beyond = 0.0;
                self.usage = Usage::Over;
            }
        } else {
            self.beyond = 0.0;
            self.usage = if self.trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.slope = slope;

        let beyond = self.trend.abs() - self.threshold;
        if beyond <= EXCURSION {
            let speed = if beyond < 0.0 { FALL } else { RISE };
            self.threshold += speed * beyond * arrived.clamp(0.0, 100.0);
            self.threshold = self.threshold.clamp(THRESHOLDS.0, THRESHOLDS.1);
        }
    }
}

/// The slope of the line with the least squares of distances; zero when all points are one moment.
fn slope(points: &[(f64, f64); WINDOW]) -> f64 {
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / WINDOW as f64, sum_y / WINDOW as f64);
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in points {
        above += (x - mean_x) * (y - mean_y);
        below += (x - mean_x) * (x - mean_x);
    }
    if below > 0.0 { above / below } else { 0.0 }
}

/// Packets that each come later than those before them.
#[derive(Clone, Copy, Debug)]
struct Rise {
    /// The arrival before the first of them, and of the newest.
    since: i64,
    newest: i64,
    steps: u32,
    /// The delay before the first of them, and the longest.
    first: i64,
    peak: i64,
}

impl Rise {
    fn add(&mut self, arrived: i64, delay: i64) {
        let (fall, step, pause) = STEPS;
        if delay < self.peak - fall || arrived - self.newest > pause {
            *self = Rise { since: arrived, newest: arrived, steps: 0, first: delay, peak: delay };
        } else if delay > self.peak + step {
            (self.newest, self.steps, self.peak) = (arrived, self.steps + 1, delay);
        } else if self.steps == 0 {
            (self.since, self.newest, self.first, self.peak) = (arrived, arrived, delay, self.peak.max(delay));
        }
    }
}

/// How long packets are held back although there is no queue.
#[derive(Clone, Debug, Default)]
struct Held {
    /// When the period began, and its packets: how many, the sum of their delays above the base, and the least.
    since: i64,
    count: i64,
    sum: i64,
    least: i64,
    /// Of the periods in which the queue was seen empty, smoothed, ms.
    mean: f64,
}

impl Held {
    fn add(&mut self, arrived: i64, delay: i64, base: i64) {
        let above = delay - base;
        if arrived - self.since > HELD_PERIOD {
            if self.count > 0 && self.least as f64 / 1e3 < NO_QUEUE {
                let mean = (self.sum / self.count - self.least) as f64 / 1e3;
                self.mean = HELD_KEPT * self.mean + (1.0 - HELD_KEPT) * mean;
            }
            (self.since, self.count, self.sum, self.least) = (arrived, 0, 0, above);
        }
        (self.count, self.sum, self.least) = (self.count + 1, self.sum + above, self.least.min(above));
    }
}

/// The least of a number of periods by time.
#[derive(Clone, Debug)]
struct Minimum<const N: usize> {
    period: i64,
    /// `i64::MAX` where nothing was.
    least: [i64; N],
    newest: Option<i64>,
}

impl<const N: usize> Minimum<N> {
    fn new(period: i64) -> Minimum<N> {
        Minimum { period, least: [i64::MAX; N], newest: None }
    }

    fn add(&mut self, at: i64, value: i64) {
        let number = at.div_euclid(self.period);
        let newest = *self.newest.get_or_insert(number);
        if number > newest {
            let from = (newest + 1).max(number - N as i64 + 1);
            (from..=number).for_each(|cleared| self.least[cleared.rem_euclid(N as i64) as usize] = i64::MAX);
            self.newest = Some(number);
        } else if newest - number >= N as i64 {
            return;
        }
        let least = &mut self.least[number.rem_euclid(N as i64) as usize];
        *least = (*least).min(value);
    }

    fn least(&self) -> Option<i64> {
        self.least_of(N)
    }

    /// Of the newest so many periods.
    fn least_of(&self, periods: usize) -> Option<i64> {
        let newest = self.newest?;
        let of = |back: usize| self.least[(newest - back as i64).rem_euclid(N as i64) as usize];
        (0..periods.min(N)).map(of).min().filter(|&least| least != i64::MAX)
    }
}

#[cfg(test)]
mod tests;
