//! A simulated network: one bottleneck with a queue that drops at its tail, what comes before it (losses) and behind it
//! (distance, and a Wi-Fi that holds packets back and releases them together). Times are µs since the run began.

use std::collections::VecDeque;

/// SplitMix64: the same seed, the same run.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From zero to one.
    pub fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.part()
    }

    /// Exponentially distributed around a mean.
    pub fn around(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.part()).ln()
    }
}

/// How much the bottleneck carries at a time, bit/s.
#[derive(Clone, Debug)]
pub enum Capacity {
    /// From so many seconds on so much.
    Steps(Vec<(f64, f64)>),
    /// Mean, amplitude, period in seconds.
    Wave(f64, f64, f64),
}

impl Capacity {
    pub fn at(&self, time: i64) -> f64 {
        let seconds = time as f64 / 1e6;
        match self {
            Capacity::Steps(steps) => steps.iter().rev().find(|step| step.0 <= seconds).map_or(0.0, |step| step.1),
            Capacity::Wave(mean, amplitude, period) => mean + amplitude * (seconds / period * std::f64::consts::TAU).sin(),
        }
    }
}

/// What is lost before the bottleneck.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    None,
    Random(f64),
    /// Part lost in a bad time; mean seconds of a good and of a bad time.
    Bursts(f64, f64, f64),
}

/// What happens to the times behind the bottleneck.
#[derive(Clone, Copy, Debug)]
pub enum Jitter {
    None,
    /// Up to so many ms more for each packet; none overtakes.
    Uniform(f64),
    /// The air is taken by others: mean ms between such times, mean and most ms that they last.
    Wifi(f64, f64, f64),
    /// The receiver has no processor and reads late: mean ms between such times, least and most ms that they last.
    Stalls(f64, f64, f64),
}

/// What a link is like.
#[derive(Clone, Debug)]
pub struct Conditions {
    pub capacity: Capacity,
    pub queue_bytes: usize,
    /// One way, µs.
    pub distance: i64,
    /// The way becomes longer: from when, and by how much, µs.
    pub detour: Option<(i64, i64)>,
    pub loss: Loss,
    pub jitter: Jitter,
}

/// A packet under way.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Whose it is, and what that one knows it by.
    pub flow: usize,
    pub number: u64,
    pub bytes: usize,
    entered: i64,
}

/// A packet that came out.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub packet: Packet,
    pub at: i64,
    /// In the bottleneck's queue, µs.
    pub waited: i64,
}

/// Why a packet does not come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    Chance,
    QueueFull,
}

pub struct Link {
    conditions: Conditions,
    random: Random,
    queue: VecDeque<Packet>,
    queued: usize,
    /// Bits of the first packet that have left.
    served: f64,
    /// The bad time of [`Loss::Bursts`] and when it changes.
    bad: (bool, i64),
    /// When the air was taken, and until when.
    held: (i64, i64),
    last: i64,
}

impl Link {
    pub fn new(conditions: Conditions, seed: u64) -> Link {
        Link {
            conditions,
            random: Random(seed),
            queue: VecDeque::new(),
            queued: 0,
            served: 0.0,
            bad: (false, 0),
            held: (0, 0),
            last: 0,
        }
    }

    pub fn capacity(&self, time: i64) -> f64 {
        self.conditions.capacity.at(time)
    }

    pub fn distance(&self) -> i64 {
        self.conditions.distance
    }

    /// A packet enters.
    pub fn send(&mut self, now: i64, flow: usize, number: u64, bytes: usize) -> Result<(), Lost> {
        let lost = match self.conditions.loss {
            Loss::None => 0.0,
            Loss::Random(part) => part,
            Loss::Bursts(part, good, bad) => {
                while now >= self.bad.1 {
                    let mean = if self.bad.0 { good } else { bad };
                    let lasts = self.random.around(if self.bad.1 == 0 { good } else { mean });
                    self.bad = (self.bad.1 != 0 && !self.bad.0, self.bad.1.max(now) + (lasts * 1e6) as i64 + 1);
                }
                if self.bad.0 { part } else { 0.0 }
            }
        };
        if self.random.part() < lost {
            return Err(Lost::Chance);
        }
        if self.queued + bytes > self.conditions.queue_bytes && !self.queue.is_empty() {
            return Err(Lost::QueueFull);
        }
        self.queued += bytes;
        self.queue.push_back(Packet { flow, number, bytes, entered: now });
        Ok(())
    }

    /// What comes out of what the bottleneck serves between two times.
    pub fn serve(&mut self, from: i64, to: i64, out: &mut Vec<Arrival>) {
        let mut time = from as f64;
        while let Some(&packet) = self.queue.front() {
            let bits_per_micro = self.capacity(from) / 1e6;
            if bits_per_micro <= 0.0 {
                return;
            }
            time = time.max(packet.entered as f64);
            let needed = (packet.bytes as f64 * 8.0 - self.served) / bits_per_micro;
            if time + needed > to as f64 {
                self.served += (to as f64 - time).max(0.0) * bits_per_micro;
                return;
            }
            time += needed;
            self.served = 0.0;
            self.queue.pop_front();
            self.queued -= packet.bytes;
            let own = (packet.bytes as f64 * 8.0 / bits_per_micro) as i64;
            let at = self.behind(time as i64);
            out.push(Arrival { packet, at, waited: (time as i64 - packet.entered - own).max(0) });
        }
    }

    /// When a packet is through that comes at `at` to where all are held back at times; these last `lasts` ms.
    fn held_back(&mut self, at: i64, between: f64, lasts: impl Fn(&mut Random) -> f64) -> i64 {
        while at > self.held.1 {
            let begin = self.held.1 + (self.random.around(between) * 1e3) as i64;
            self.held = (begin, begin + (lasts(&mut self.random) * 1e3) as i64 + 1);
        }
        // Released together: a packet in a tenth of a millisecond.
        if at >= self.held.0 { self.held.1.max(self.last + 100) } else { at }
    }

    /// When a packet that leaves the bottleneck now is there.
    fn behind(&mut self, left: i64) -> i64 {
        let detour = self.conditions.detour.filter(|detour| detour.0 <= left);
        let mut at = left + self.conditions.distance + detour.map_or(0, |detour| detour.1);
        match self.conditions.jitter {
            Jitter::None => {}
            Jitter::Uniform(most) => at += (self.random.part() * most * 1e3) as i64,
            Jitter::Wifi(between, mean, most) => at = self.held_back(at, between, |random| random.around(mean).min(most)),
            Jitter::Stalls(between, least, most) => at = self.held_back(at, between, |random| random.between(least, most)),
        }
        self.last = self.last.max(at);
        self.last
    }
}
