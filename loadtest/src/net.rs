//! A caller's network, emulated in its own socket path: one [`Path`] per direction says for each datagram when it arrives, if
//! at all. A pure machine: times come in, times go out; the same seed loses the same datagrams.
//!
//! Order of effects: outage, loss, the bottleneck's queue, then delay with jitter. Jitter alone never reorders (a router's
//! queue is a queue); a reordered datagram is one that takes a longer way and lets others pass.

pub mod presets;

use crate::random::SplitMix;
use serde::{Deserialize, Serialize};

/// How one direction of a network behaves. All zero: a perfect wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// One way.
    pub delay_ms: f64,
    /// Deviation of the delay; what arrives keeps its order.
    pub jitter_ms: f64,
    /// Part of the datagrams that are lost, each by itself.
    pub loss: f64,
    /// Loss in bursts, on top of `loss`.
    pub burst: Burst,
    /// Part of the datagrams that take `reorder_ms` longer and let others pass.
    pub reorder: f64,
    pub reorder_ms: f64,
    /// The bottleneck's rate; 0 is no bottleneck.
    pub bandwidth_kbps: f64,
    /// What the bottleneck holds back before it drops; 0 with a bottleneck is a queue of 200 ms.
    pub queue_ms: f64,
}

/// Gilbert and Elliott's two states: in the bad one datagrams are lost with probability `loss`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Burst {
    /// Per datagram, from good to bad; 0 is no bursts.
    pub enter: f64,
    /// Per datagram, from bad to good: a burst lasts 1 / `leave` datagrams.
    pub leave: f64,
    pub loss: f64,
}

/// A bottleneck's queue where the profile says nothing: a common router's.
const QUEUE_MS: f64 = 200.0;
/// What IP and UDP add to a payload on the wire (IPv4).
const HEADERS: usize = 28;
const MS: f64 = 1e6;

impl Profile {
    /// Whether a datagram passes untouched and at once.
    pub fn is_perfect(&self) -> bool {
        *self == Self::default()
    }

    /// `None`, or a sentence.
    pub fn fault(&self) -> Option<String> {
        let probabilities = [
            ("loss", self.loss),
            ("reorder", self.reorder),
            ("burst.enter", self.burst.enter),
            ("burst.leave", self.burst.leave),
            ("burst.loss", self.burst.loss),
        ];
        let amounts = [
            ("delay_ms", self.delay_ms),
            ("jitter_ms", self.jitter_ms),
            ("reorder_ms", self.reorder_ms),
            ("bandwidth_kbps", self.bandwidth_kbps),
            ("queue_ms", self.queue_ms),
        ];
        let improbable = probabilities.into_iter().find(|(_, value)| !(0.0..=1.0).contains(value));
        let negative = amounts.into_iter().find(|(_, value)| !(0.0..=1e7).contains(value));
        match (improbable, negative) {
            (Some((key, value)), _) => Some(format!("`{key}` is a probability between 0 and 1, not {value}")),
            (_, Some((key, value))) => Some(format!("`{key}` cannot be {value}")),
            _ if self.burst.enter > 0.0 && self.burst.leave == 0.0 => {
                Some("a network with `burst.enter` needs `burst.leave`, or the first burst never ends".to_owned())
            }
            _ => None,
        }
    }
}

/// Why a datagram never arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    Outage,
    Loss,
    QueueFull,
}

/// One direction of one caller's network. Times are nanoseconds of any one clock.
#[derive(Clone, Debug)]
pub struct Path {
    profile: Profile,
    random: SplitMix,
    is_bad: bool,
    /// When the bottleneck has sent what it holds.
    free_at: u64,
    /// The latest arrival of a datagram that kept its order.
    latest: u64,
    outage_until: u64,
    pub lost: u64,
}

impl Path {
    pub fn new(profile: Profile, random: SplitMix) -> Self {
        Self { profile, random, is_bad: false, free_at: 0, latest: 0, outage_until: 0, lost: 0 }
    }

    /// Nothing passes before `until`.
    pub fn cut(&mut self, until: u64) {
        self.outage_until = self.outage_until.max(until);
    }

    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// It is another network from now on; what is on its way stays so.
    pub fn change(&mut self, profile: Profile) {
        self.profile = profile;
    }

    /// When a datagram of `len` bytes, sent `now`, arrives.
    pub fn send(&mut self, now: u64, len: usize) -> Result<u64, Lost> {
        let fate = self.fate(now, len);
        self.lost += u64::from(fate.is_err());
        fate
    }

    fn fate(&mut self, now: u64, len: usize) -> Result<u64, Lost> {
        let Profile { delay_ms, jitter_ms, loss, burst, reorder, reorder_ms, bandwidth_kbps, .. } = self.profile;
        if now < self.outage_until {
            return Err(Lost::Outage);
        }
        if burst.enter > 0.0 {
            self.is_bad = if self.is_bad { !self.random.is_hit(burst.leave) } else { self.random.is_hit(burst.enter) };
        }
        let is_lost = (loss > 0.0 && self.random.is_hit(loss)) || (self.is_bad && self.random.is_hit(burst.loss));
        if is_lost {
            return Err(Lost::Loss);
        }
        let mut at = now;
        if bandwidth_kbps > 0.0 {
            let queue_ms = if self.profile.queue_ms > 0.0 { self.profile.queue_ms } else { QUEUE_MS };
            let begin = self.free_at.max(now);
            if (begin - now) as f64 > queue_ms * MS {
                return Err(Lost::QueueFull);
            }
            self.free_at = begin + ((len + HEADERS) as f64 * 8.0 / bandwidth_kbps * MS) as u64;
            at = self.free_at;
        }
        // Jitter delays, it does not hurry: half of a normal distribution.
        let jitter = if jitter_ms > 0.0 { (self.random.normal() * jitter_ms).abs() } else { 0.0 };
        at += ((delay_ms + jitter) * MS) as u64;
        if reorder > 0.0 && self.random.is_hit(reorder) {
            return Ok(at + (reorder_ms * MS) as u64);
        }
        self.latest = self.latest.max(at);
        Ok(self.latest)
    }
}

#[cfg(test)]
mod tests;
