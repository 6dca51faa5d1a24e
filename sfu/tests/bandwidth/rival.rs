//! Somebody else on the same bottleneck: a bulk transfer that does what TCP Reno does (slow start, additive increase, halving
//! on loss, a timeout), with 1,500-byte packets.

use crate::link::Link;
use std::collections::VecDeque;

const BYTES: usize = 1_500;

pub struct Rival {
    flow: usize,
    /// From and to, µs.
    active: (i64, i64),
    window: f64,
    threshold: f64,
    next: u64,
    in_flight: usize,
    /// When the sender hears of an arrival, or of a loss by the packets after it.
    news: VecDeque<(i64, u64, bool)>,
    /// Losses of packets before this one are of the window that was halved already.
    halved_until: u64,
    heard: i64,
    pub delivered: u64,
}

impl Rival {
    pub fn new(flow: usize, from: f64, to: f64) -> Rival {
        Rival {
            flow,
            active: ((from * 1e6) as i64, (to * 1e6) as i64),
            window: 10.0,
            threshold: f64::INFINITY,
            next: 0,
            in_flight: 0,
            news: VecDeque::new(),
            halved_until: 0,
            heard: 0,
            delivered: 0,
        }
    }

    pub fn is_active(&self, now: i64) -> bool {
        (self.active.0..self.active.1).contains(&now)
    }

    pub fn step(&mut self, now: i64, link: &mut Link) {
        while let Some(&(at, number, is_lost)) = self.news.front().filter(|news| news.0 <= now) {
            self.news.pop_front();
            self.heard = at;
            self.in_flight = self.in_flight.saturating_sub(1);
            if !is_lost {
                self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
            } else if number >= self.halved_until {
                self.window = (self.window / 2.0).max(2.0);
                self.threshold = self.window;
                self.halved_until = self.next;
            }
        }
        if !self.is_active(now) {
            self.heard = now;
            return;
        }
        if now - self.heard > 1_000_000 {
            (self.threshold, self.window, self.in_flight) = ((self.window / 2.0).max(2.0), 1.0, 0);
            self.heard = now;
        }
        while (self.in_flight as f64) < self.window.floor() {
            let number = self.next;
            self.next += 1;
            self.in_flight += 1;
            if link.send(now, self.flow, number, BYTES).is_err() {
                // Heard by the packets behind it: the queue and a round trip later.
                let at = now + 2 * link.distance() + 50_000;
                let place = self.news.partition_point(|news| news.0 <= at);
                self.news.insert(place, (at, number, true));
            }
        }
    }

    pub fn on_arrival(&mut self, at: i64, number: u64, distance: i64) {
        self.delivered += BYTES as u64;
        let at = at + distance;
        let place = self.news.partition_point(|news| news.0 <= at);
        self.news.insert(place, (at, number, false));
    }
}
