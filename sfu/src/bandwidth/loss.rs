//! What losses say: whether packets are lost at random, whatever is sent, or because more is sent than the network carries.
//!
//! Random loss is no reason to send less: half the rate has half the losses and half the picture. Losses for want of room
//! come without a growing queue where the bottleneck has hardly any, or where a policer counts bytes. The two are told apart
//! by asking which of two stories makes the last seconds likelier: a loss that is the same at every rate, or a limit beyond
//! which everything is lost. The rate varies by itself, and where it does not, [`LossFilter::wants_less`] asks for a moment
//! with less.

/// An observation covers at least so many µs and packets.
const SPAN: i64 = 200_000;
const LEAST_PACKETS: u32 = 12;
/// Observations kept: five seconds or a little more.
const KEPT: usize = 24;

/// Below so much loss nothing is asked: a bit flips everywhere.
const NOTICED: f64 = 0.02;

/// Losses come in groups; so many count as one piece of evidence.
const GROUPED: f64 = 3.0;
/// How much likelier the story of a limit must be: e^3, twenty times.
const CERTAIN: f64 = 3.0;

/// When so much is lost over a whole window, what arrives is the limit, whatever the cause: nobody can watch what is left.
const UNUSABLE: f64 = 0.45;

/// What is tried for the limit, as parts of the most that ever arrived in the window, and for the loss that remains below it.
const LIMITS: [f64; 10] = [0.45, 0.55, 0.65, 0.75, 0.82, 0.88, 0.93, 0.97, 1.0, 1.04];
const REMAINDERS: [f64; 7] = [0.0005, 0.01, 0.03, 0.06, 0.1, 0.15, 0.22];

/// A moment with less is asked for at most so often (µs): the first time, and at most, when it keeps showing nothing.
const ASKS: (i64, i64) = (3_000_000, 60_000_000);
/// How long such a moment lasts, µs.
pub const MOMENT: i64 = 700_000;

#[derive(Clone, Copy, Debug, Default)]
struct Observation {
    /// Sent, bit/s.
    rate: f64,
    packets: u32,
    lost: u32,
    bytes: usize,
    lost_bytes: usize,
    begin: i64,
    end: i64,
}

/// What the losses are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Few, or too few to say.
    Calm,
    /// The same at every rate: a part of all packets.
    Random(f64),
    /// The network carries no more than so many bit/s.
    Limited(f64),
}

/// Judges the losses of one listener.
#[derive(Clone, Debug)]
pub struct LossFilter {
    kept: [Observation; KEPT],
    count: usize,
    now: Observation,
    next_ask: i64,
    wait: i64,
    moment: Option<i64>,
}

impl Default for LossFilter {
    fn default() -> LossFilter {
        let none = Observation::default();
        LossFilter { kept: [none; KEPT], count: 0, now: none, next_ask: 0, wait: ASKS.0, moment: None }
    }
}

impl LossFilter {
    /// What became of a packet that was sent (µs of our clock), in the order of sending. Returns whether that completes an
    /// observation, so that the verdict may have changed.
    pub fn on_packet(&mut self, sent: i64, bytes: usize, is_lost: bool) -> bool {
        if self.now.packets == 0 {
            (self.now.begin, self.now.end) = (sent, sent);
        }
        let is_complete = sent - self.now.begin >= SPAN && self.now.packets >= LEAST_PACKETS;
        if is_complete {
            let mut ended = std::mem::take(&mut self.now);
            ended.rate = ended.bytes as f64 * 8e6 / (sent - ended.begin) as f64;
            ended.end = sent;
            self.kept[self.count % KEPT] = ended;
            self.count += 1;
            (self.now.begin, self.now.end) = (sent, sent);
        }
        self.now.end = self.now.end.max(sent);
        self.now.packets += 1;
        self.now.bytes += bytes;
        if is_lost {
            self.now.lost += 1;
            self.now.lost_bytes += bytes;
        }
        is_complete
    }

    /// A packet that was counted as lost came after all.
    pub fn on_late(&mut self) {
        self.now.lost = self.now.lost.saturating_sub(1);
    }

    /// The part of the packets that was lost in the observations of the last `span` µs.
    pub fn recent_loss(&self, span: i64) -> f64 {
        let newest = self.now.end;
        let counted = self.observations().filter(|one| newest - one.end <= span).chain([&self.now]);
        let (packets, lost) = counted.fold((0, 0), |(packets, lost), one| (packets + one.packets, lost + one.lost));
        if packets < LEAST_PACKETS { 0.0 } else { f64::from(lost) / f64::from(packets) }
    }

    /// What the losses of the last seconds are. To be asked when an observation is complete.
    pub fn verdict(&self) -> Verdict {
        let (packets, lost) =
            self.observations().fold((0u32, 0u32), |(packets, lost), one| (packets + one.packets, lost + one.lost));
        let part = f64::from(lost) / f64::from(packets.max(1));
        if part < NOTICED || lost < 6 {
            return Verdict::Calm;
        }
        let arrived =
            self.observations().map(|one| one.rate * (1.0 - f64::from(one.lost) / f64::from(one.packets))).fold(0.0, f64::max);
        if part > UNUSABLE {
            return Verdict::Limited(arrived);
        }
        let at_random = self.likelihood(|_| part);
        let mut limited = (f64::NEG_INFINITY, 0.0);
        for limit in LIMITS.map(|part| part * arrived) {
            for remainder in REMAINDERS {
                let likelihood = self.likelihood(|rate| remainder + (1.0 - remainder) * (1.0 - limit / rate).max(0.0));
                if likelihood > limited.0 {
                    limited = (likelihood, limit);
                }
            }
        }
        if limited.0 - at_random > CERTAIN { Verdict::Limited(limited.1) } else { Verdict::Random(part) }
    }

    /// Whether a moment with less would tell which it is: losses, and a rate that hardly varied. Begins that moment.
    pub fn wants_less(&mut self, now: i64) -> bool {
        if let Some(end) = self.moment {
            if now < end {
                return true;
            }
            self.moment = None;
            (self.next_ask, self.wait) = (now + self.wait, (2 * self.wait).min(ASKS.1));
        }
        if now < self.next_ask || !matches!(self.verdict(), Verdict::Random(_)) {
            return false;
        }
        self.moment = Some(now + MOMENT);
        true
    }

    /// What is known was acted upon, or is no longer true: observations of before say nothing of after.
    pub fn forget(&mut self) {
        self.count = 0;
        self.now = Observation::default();
        self.wait = ASKS.0;
    }

    fn observations(&self) -> impl Iterator<Item = &Observation> {
        self.kept[..self.count.min(KEPT)].iter()
    }

    /// The logarithm of how likely the losses are if each packet is lost with a probability that depends on the rate.
    fn likelihood(&self, probability: impl Fn(f64) -> f64) -> f64 {
        let one = |observation: &Observation| {
            let p = probability(observation.rate).clamp(1e-4, 0.999);
            let (packets, lost) = (f64::from(observation.packets), f64::from(observation.lost));
            lost * p.ln() + (packets - lost) * (1.0 - p).ln()
        };
        self.observations().map(one).sum::<f64>() / GROUPED
    }
}

#[cfg(test)]
mod tests;
