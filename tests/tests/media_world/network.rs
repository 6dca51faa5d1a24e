//! A seeded network: delay, jitter, loss, reordering and address translation, on the simulated clock.

use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A small generator of our own, so that a seed means the same run for as long as this file does not change.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.next() as u8);
    }
}

/// How every path behaves.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub delay: Duration,
    /// Added to the delay at random, so packets overtake each other.
    pub jitter: Duration,
    pub loss_percent: u64,
    /// Datagrams that arrive twice.
    pub double_percent: u64,
}

impl Weather {
    pub const FINE: Weather =
        Weather { delay: Duration::from_millis(10), jitter: Duration::ZERO, loss_percent: 0, double_percent: 0 };
    pub const BAD: Weather =
        Weather { delay: Duration::from_millis(30), jitter: Duration::from_millis(50), loss_percent: 5, double_percent: 0 };
    /// Bad, and some of what arrives does so twice.
    pub const WORST: Weather = Weather { loss_percent: 15, double_percent: 10, ..Weather::BAD };
}

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

pub struct Network {
    random: Random,
    weather: Weather,
    /// Due time, then order of sending; smallest first.
    under_way: BinaryHeap<std::cmp::Reverse<(Instant, u64)>>,
    datagrams: HashMap<u64, Datagram>,
    sent: u64,
    /// Private address to the public one that its translator gave it, and back.
    outward: BTreeMap<SocketAddr, SocketAddr>,
    inward: BTreeMap<SocketAddr, SocketAddr>,
    next_public: u16,
    /// Private addresses whose network is down, and until when.
    cuts: HashMap<SocketAddr, Instant>,
    /// Private addresses whose network loses that many percent of what is from or to them, whatever the weather.
    lossy: HashMap<SocketAddr, u64>,
}

impl Network {
    pub fn new(seed: u64, weather: Weather) -> Network {
        Network {
            random: Random::new(seed),
            weather,
            under_way: BinaryHeap::new(),
            datagrams: HashMap::new(),
            sent: 0,
            outward: BTreeMap::new(),
            inward: BTreeMap::new(),
            next_public: 20_000,
            cuts: HashMap::new(),
            lossy: HashMap::new(),
        }
    }

    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Gives a private address a new public one; datagrams to the old one reach nobody from now on.
    pub fn rebind(&mut self, private: SocketAddr) -> SocketAddr {
        self.next_public += 1;
        let public = SocketAddr::from(([203, 0, 113, 9], self.next_public));
        if let Some(old) = self.outward.insert(private, public) {
            self.inward.remove(&old);
        }
        self.inward.insert(public, private);
        public
    }

    pub fn public_of(&self, private: SocketAddr) -> SocketAddr {
        self.outward.get(&private).copied().unwrap_or(private)
    }

    pub fn private_of(&self, public: SocketAddr) -> Option<SocketAddr> {
        self.inward.get(&public).copied()
    }

    pub fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        // Both draws happen for every datagram, so that one loss does not shift the luck of all later ones.
        let (fate, late) = (self.random.below(100), self.random.next());
        let lossy = |public| self.private_of(public).and_then(|private| self.lossy.get(&private)).copied().unwrap_or(0);
        let loss_percent = self.weather.loss_percent.max(lossy(from)).max(lossy(to));
        if fate < loss_percent || self.is_cut(now, from, to) {
            return;
        }
        let jitter_us = self.weather.jitter.as_micros() as u64;
        let copies = if fate >= 100 - self.weather.double_percent { 2 } else { 1 };
        for copy in 0..copies {
            // The second copy takes a way of its own.
            let late = late.rotate_left(32 * copy);
            let late = Duration::from_micros(if jitter_us == 0 { 0 } else { late % jitter_us });
            self.sent += 1;
            self.under_way.push(std::cmp::Reverse((now + self.weather.delay + late, self.sent)));
            self.datagrams.insert(self.sent, Datagram { from, to, bytes: bytes.to_vec() });
        }
    }

    /// So many percent of what is from or to this client are lost from now on.
    pub fn lose(&mut self, private: SocketAddr, percent: u64) {
        self.lossy.insert(private, percent);
    }

    /// Nothing from or to this client gets through before `until`.
    pub fn cut(&mut self, private: SocketAddr, until: Instant) {
        self.cuts.insert(private, until);
    }

    fn is_cut(&self, now: Instant, from: SocketAddr, to: SocketAddr) -> bool {
        let cut = |public| self.private_of(public).and_then(|private| self.cuts.get(&private)).is_some_and(|until| now < *until);
        cut(from) || cut(to)
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.under_way.peek().map(|due| due.0.0)
    }

    pub fn take_due(&mut self, now: Instant) -> Option<Datagram> {
        if self.next_due()? > now {
            return None;
        }
        let number = self.under_way.pop()?.0.1;
        self.datagrams.remove(&number)
    }
}
