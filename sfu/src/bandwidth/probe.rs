//! Probes: packets sent for a moment at a higher rate, to see whether the network carries it. Padding fills what the media do
//! not. When one is due, how high and how long it is, and what came of it.
//!
//! A probe lasts long enough that jitter of tens of milliseconds does not decide it, and short enough that the queue it makes
//! when the network does not carry it is over in a moment.

use super::ledger::{Cluster, News, Outcome};

/// How long a probe lasts (µs), how many bytes it has at least, and how many packets must arrive to judge it.
const LENGTH: i64 = 160_000;
const LEAST_BYTES: usize = 2_400;
const LEAST_ARRIVED: usize = 3;

/// How much more than now a probe asks: carefully where the limit was met, boldly where the last one was carried.
const CAREFUL: f64 = 1.3;
const BOLD: f64 = 2.0;

/// How long a limit is remembered, µs.
const REMEMBERED: i64 = 30_000_000;

/// Between probes (µs): after one that was carried, and after others from the first to the longest wait.
const AFTER_SUCCESS: i64 = 100_000;
const AFTER_FAILURE: (i64, i64) = (2_500_000, 5_000_000);

/// A probe that the network carries arrives at least at this part of its speed, with this part of its packets.
const CARRIED: f64 = 0.88;
const COMPLETE: f64 = 0.75;

/// Nobody waits longer than that for feedback of a probe, µs.
const PATIENCE: i64 = 1_000_000;

/// What the pacer is asked to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    pub cluster: Cluster,
    /// All packets together, bit/s.
    pub rate_bps: u64,
    /// Until so many bytes have left, or the cluster is no longer asked for.
    pub bytes: usize,
}

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// The network carries so many bit/s at least.
    Carried(f64),
    /// The network carried so many bit/s, which is less than was sent.
    Limit(f64),
    /// Too little of it was sent or told of.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    probe: Probe,
    begun: i64,
    sent_bytes: usize,
    /// When the pacer was done with it.
    done: Option<i64>,
    told: Told,
}

/// What feedback told of a probe.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    packets: usize,
    received: usize,
    bytes: usize,
    received_bytes: usize,
    /// First and last time of sending and of arrival, and the sizes that do not count: of the last sent, the first arrived.
    sent: (i64, i64),
    arrived: (i64, i64),
    last_bytes: usize,
    first_bytes: usize,
}

/// Plans and judges the probes of one listener.
#[derive(Clone, Debug)]
pub struct Prober {
    running: Option<Running>,
    next_cluster: u8,
    next_at: i64,
    wait: i64,
    bold: bool,
    /// The last limit that was found (bit/s), and when.
    limit: (f64, i64),
    /// When the last one ended.
    ended: i64,
}

impl Default for Prober {
    fn default() -> Prober {
        Prober {
            running: None,
            next_cluster: 1,
            next_at: 0,
            wait: AFTER_FAILURE.0,
            bold: true,
            limit: (0.0, i64::MIN / 2),
            ended: i64::MIN / 2,
        }
    }
}

impl Prober {
    /// Begins a probe if one is due: `rate` is what may be sent now, `wanted` what there would be to send (bit/s).
    pub fn plan(&mut self, now: i64, rate: f64, wanted: f64) {
        if self.running.is_some() || now < self.next_at || wanted < 1.03 * rate {
            return;
        }
        // Where a limit was not long ago, it is asked for and little more.
        let most = if now - self.limit.1 < REMEMBERED { self.limit.0 * CAREFUL } else { f64::INFINITY };
        let target = if self.bold { (BOLD * rate).min(most).max(CAREFUL * rate) } else { CAREFUL * rate };
        self.begin(now, target.min(1.1 * wanted));
    }

    /// Begins a probe of that rate now, unless one runs.
    pub fn begin(&mut self, now: i64, rate: f64) {
        if self.running.is_some() {
            return;
        }
        let cluster = Cluster(self.next_cluster);
        self.next_cluster = self.next_cluster % u8::MAX + 1;
        let bytes = (rate * LENGTH as f64 / 8e6) as usize;
        let probe = Probe { cluster, rate_bps: rate as u64, bytes: bytes.max(LEAST_BYTES) };
        self.running = Some(Running { probe, begun: now, sent_bytes: 0, done: None, told: Told::default() });
    }

    /// What the pacer is to send now.
    pub fn current(&self) -> Option<Probe> {
        self.running.filter(|running| running.done.is_none()).map(|running| running.probe)
    }

    /// A packet of a cluster left.
    pub fn on_sent(&mut self, now: i64, cluster: Cluster, bytes: usize) {
        if let Some(running) = self.running.as_mut().filter(|running| running.probe.cluster == cluster && running.done.is_none())
        {
            running.sent_bytes += bytes;
            if running.sent_bytes >= running.probe.bytes {
                running.done = Some(now);
                self.ended = now;
            }
        }
    }

    /// Feedback told of a packet, or of one after it. `delay` is how much later than it was sent a packet arrives now, by the
    /// two clocks, for those that nobody told of.
    pub fn on_outcome(&mut self, outcome: &Outcome, delay: i64) {
        let Some(running) = &mut self.running else { return };
        if outcome.cluster != Some(running.probe.cluster) {
            return;
        }
        let arrived = match outcome.news {
            News::Arrived(at) => Some(at),
            News::Untold => Some(outcome.sent + delay),
            News::Missing => None,
            News::ArrivedLate(_) => return,
        };
        let told = &mut running.told;
        if told.packets == 0 {
            told.sent.0 = outcome.sent;
        }
        told.packets += 1;
        told.bytes += outcome.bytes;
        (told.sent.1, told.last_bytes) = (outcome.sent, outcome.bytes);
        if let Some(arrived) = arrived {
            if told.received == 0 {
                (told.arrived, told.first_bytes) = ((arrived, arrived), outcome.bytes);
            }
            told.received += 1;
            told.received_bytes += outcome.bytes;
            told.arrived.1 = told.arrived.1.max(arrived);
        }
    }

    /// Judges the probe when all of it was told of, or when nobody waits longer. `random_loss` is the part of all packets that
    /// is lost anyway.
    pub fn judge(&mut self, now: i64, random_loss: f64) -> Option<Finding> {
        let running = self.running?;
        let told = running.told;
        let is_told = running.done.is_some() && told.bytes >= running.sent_bytes;
        if !is_told && now - running.begun < PATIENCE {
            return None;
        }
        self.running = None;
        self.ended = self.ended.max(now);
        let sent_time = (told.sent.1 - told.sent.0) as f64;
        let arrived_time = (told.arrived.1 - told.arrived.0) as f64;
        if told.received < LEAST_ARRIVED || sent_time < 0.25 * LENGTH as f64 || arrived_time < 1_000.0 {
            self.fail(now);
            return Some(Finding::Nothing);
        }
        let sent = (told.bytes - told.last_bytes) as f64 * 8e6 / sent_time;
        let arrived = (told.received_bytes - told.first_bytes) as f64 * 8e6 / arrived_time.max(0.5 * sent_time);
        let expected = 1.0 - random_loss.clamp(0.0, 0.3);
        let part = told.received as f64 / told.packets as f64;
        if arrived >= CARRIED * expected * sent && part >= COMPLETE * expected {
            self.bold = true;
            self.wait = AFTER_FAILURE.0;
            self.next_at = now + AFTER_SUCCESS;
            let carried = (arrived / expected).min(sent);
            if carried > self.limit.0 {
                self.limit.1 = i64::MIN / 2;
            }
            return Some(Finding::Carried(carried));
        }
        self.fail(now);
        let limit = (arrived / expected).min(sent);
        self.limit = (limit, now);
        Some(Finding::Limit(limit))
    }

    /// Forgets a probe that nobody told of in time.
    pub fn expire(&mut self, now: i64) {
        if self.running.is_some_and(|running| now - running.begun >= PATIENCE) {
            self.renew(now);
        }
    }

    /// Forgets what runs and what failed: the network is another one, or away.
    pub fn renew(&mut self, now: i64) {
        self.running = None;
        (self.next_at, self.wait, self.bold) = (now, AFTER_FAILURE.0, true);
    }

    /// Ends a probe that does harm. What was sent of it is not judged.
    pub fn abort(&mut self, now: i64) {
        if self.running.take().is_some() {
            self.ended = now;
            self.fail(now);
        }
    }

    /// No probe before that time (µs).
    pub fn not_before(&mut self, at: i64) {
        self.next_at = self.next_at.max(at);
    }

    /// Whether a probe runs, or its queue may not be gone: it ended less than so many µs ago.
    pub fn is_recent(&self, now: i64, within: i64) -> bool {
        self.running.is_some() || now - self.ended < within
    }

    fn fail(&mut self, now: i64) {
        self.bold = false;
        self.next_at = now + self.wait;
        self.wait = (self.wait * 3 / 2).min(AFTER_FAILURE.1);
    }
}

#[cfg(test)]
mod tests;
