//! What was sent to one listener and not yet told of: sequence number, time, size and kind of each packet that carries a
//! transport-wide sequence number. Feedback is looked up here.
//!
//! Bounded by number and by age; a packet that is forgotten counts as neither received nor lost.

use super::feedback::{Feedback, Timeline};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets remembered for one listener: 2 s of 1,000 packets a second, 32 KiB.
pub const REMEMBERED: usize = 2048;

/// Room for so many from the start, 4 KiB: what a camera sends in a second. It grows with what is under way.
const AT_FIRST: usize = 256;

/// A packet that was told of as missing is not waited for longer, µs: feedback that was itself late, not the packet.
const LATEST: i64 = 2_000_000;

/// After so long no feedback about a packet means anything: the network of then is not that of now.
const OLDEST: i64 = 10_000_000;

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Audio,
    Video,
    /// A video packet once more, because it was asked for.
    Resend,
    /// Carries nothing that anybody waits for.
    Padding,
}

/// Packets sent at one speed to see whether the network carries it; see [`super::probe`]. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster(pub u8);

/// What feedback says of one packet of ours, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The sequence number with its rollovers.
    pub index: i64,
    /// µs since the ledger began.
    pub sent: i64,
    /// On the wire, headers included.
    pub bytes: usize,
    pub class: Class,
    pub cluster: Option<Cluster>,
    pub news: News,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// In µs of the listener's clock.
    Arrived(i64),
    Missing,
    /// It was told of as missing before.
    ArrivedLate(i64),
    /// The message that told of it was lost: nobody knows.
    Untold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Missing,
    /// Received, or handed on as untold.
    Done,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    sent: i64,
    bytes: u16,
    class: Class,
    cluster: u8,
    state: State,
}

impl Entry {
    /// Nothing that is still told of it would mean anything.
    fn is_over(&self, now: i64) -> bool {
        match self.state {
            State::Done => true,
            State::Missing => self.sent < now - LATEST,
            State::Pending => self.sent < now - OLDEST,
        }
    }
}

/// The packets of one listener.
#[derive(Clone, Debug)]
pub struct Ledger {
    start: Instant,
    entries: VecDeque<Entry>,
    /// Index of the packet after the newest.
    next: i64,
    timeline: Timeline,
    /// Index after the newest packet that was told of.
    told: i64,
}

impl Ledger {
    pub fn new(now: Instant) -> Ledger {
        Ledger { start: now, entries: VecDeque::with_capacity(AT_FIRST), next: 0, timeline: Timeline::default(), told: 0 }
    }

    /// µs since the ledger began.
    #[inline]
    pub fn micros(&self, now: Instant) -> i64 {
        now.saturating_duration_since(self.start).as_micros() as i64
    }

    /// The moment that is so many µs after the ledger began.
    pub fn at(&self, micros: i64) -> Instant {
        self.start + Duration::from_micros(micros.max(0) as u64)
    }

    /// Remembers a packet that leaves now and returns the sequence number that it must carry. Forgets the oldest when full.
    #[inline]
    pub fn sent(&mut self, now: Instant, bytes: usize, class: Class, cluster: Option<Cluster>) -> u16 {
        let sent = self.micros(now);
        while self.entries.len() == REMEMBERED || self.entries.front().is_some_and(|entry| entry.is_over(sent)) {
            self.entries.pop_front();
        }
        let cluster = cluster.map_or(0, |cluster| cluster.0);
        let bytes = bytes.min(usize::from(u16::MAX)) as u16;
        self.entries.push_back(Entry { sent, bytes, class, cluster, state: State::Pending });
        self.next += 1;
        (self.next - 1) as u16
    }

    /// Looks up what a message tells, and hands on what is new in it. Returns the age of the newest packet that it tells of:
    /// a round trip and the listener's wait for more to tell.
    pub fn resolve(&mut self, now: Instant, feedback: &Feedback, mut each: impl FnMut(Outcome)) -> Option<Duration> {
        // No message tells of more than we remember, except one that is made to keep us busy.
        if usize::from(feedback.count) > REMEMBERED {
            return None;
        }
        let first = self.next - self.entries.len() as i64;
        // Feedback is about the past: the nearest packet behind the next one that has this number.
        let behind = (self.next as u16).wrapping_sub(feedback.base);
        let base = self.next - if behind == 0 { 1 << 16 } else { i64::from(behind) };
        if base + i64::from(feedback.count) > self.next || base + i64::from(feedback.count) <= first {
            return None;
        }
        let reference = self.timeline.place(feedback);
        let outcome = |index: i64, entry: &Entry, news| {
            let cluster = (entry.cluster != 0).then_some(Cluster(entry.cluster));
            Outcome { index, sent: entry.sent, bytes: entry.bytes.into(), class: entry.class, cluster, news }
        };
        for index in self.told.max(first)..base {
            let entry = &mut self.entries[(index - first) as usize];
            entry.state = State::Done;
            each(outcome(index, entry, News::Untold));
        }
        let mut newest = None;
        for (index, status) in (base..).zip(feedback.statuses()) {
            if index < first {
                continue;
            }
            let entry = &mut self.entries[(index - first) as usize];
            let news = match (entry.state, status.arrived.map(|after| reference + after)) {
                (State::Done, _) | (State::Missing, None) => continue,
                (State::Pending, Some(at)) => News::Arrived(at),
                (State::Pending, None) => News::Missing,
                (State::Missing, Some(at)) => News::ArrivedLate(at),
            };
            if news == News::Missing {
                entry.state = State::Missing;
            } else {
                entry.state = State::Done;
                newest = newest.max(Some(entry.sent));
            }
            each(outcome(index, entry, news));
        }
        self.told = self.told.max(base + i64::from(feedback.count));
        newest.map(|sent| Duration::from_micros((self.micros(now) - sent).max(0) as u64))
    }
}

#[cfg(test)]
mod tests;
