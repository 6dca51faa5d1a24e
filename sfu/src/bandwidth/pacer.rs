//! When each packet to one listener leaves. Audio never waits, so it never comes here; video is spread, so that a keyframe does not stand in the
//! bottleneck's queue in front of the audio that follows it; packets that were asked for again go before new ones; padding
//! goes when nothing else does, and only for probes.
//!
//! Everything is O(1) and the queues are rings that are allocated once. What does not fit is refused, and the caller knows
//! best what that means: for video it is a gap that only a keyframe closes.

use super::ledger::{Class, Cluster};
use super::probe::Probe;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Video packets that may wait: a second of 5 Mbit/s.
pub const VIDEO_QUEUE: usize = 512;

/// Packets to be sent again that may wait, and for how long. Who misses more than that wants a keyframe.
pub const RESEND_QUEUE: usize = 128;
const RESEND_PATIENCE: Duration = Duration::from_millis(500);

/// Room for so many video packets and repeated ones from the start: a camera's key frame. It grows when more wait.
const AT_FIRST: (usize, usize) = (64, 16);

/// Faster than the estimate by this factor: enough that a queue ends, little enough that the bottleneck's does not begin.
const FACTOR: f64 = 1.1;

/// What waits longer than this makes the pacer hurry, up to this factor: later than that no picture is worth its place.
const PATIENCE: Duration = Duration::from_millis(250);
const HURRY: f64 = 1.25;

/// What is due within the first of these times leaves at once, in as many packets at most: wakes are fewer, and a run of packets
/// to one destination costs one system call. It is less than anybody hears or sees. Where the network was seen to take more at
/// once, that may, up to what is due within the second: a camera's whole picture.
const RUN: (Duration, Duration) = (Duration::from_millis(8), Duration::from_millis(40));
pub const MOST_IN_RUN: usize = 16;

/// Who wakes for many listeners at common times is late by as much. Where the network takes more at once, what waits is not slowed
/// down by that.
pub const LATE: Duration = Duration::from_millis(5);

/// A probe of nothing but padding has at least so many packets, of sizes between these.
const PADDINGS: usize = 8;
const PADDING: (usize, usize) = (200, 1_100);

/// Time that passes before a run follows another.
const MOMENT: Duration = Duration::from_micros(1);

/// Nothing is slower than this, in bit/s: a packet would wait for seconds.
const LEAST: f64 = 20_000.0;

/// A packet that leaves now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure<T> {
    Packet {
        item: T,
        bytes: usize,
        class: Class,
        cluster: Option<Cluster>,
    },
    /// Anything of about so many bytes that does no harm: best a packet of before over RTX. The caller says with
    /// [`Pacer::padded`] what it sent.
    Padding {
        bytes: usize,
        cluster: Cluster,
    },
}

#[derive(Clone, Copy, Debug)]
struct Waiting<T> {
    item: T,
    bytes: usize,
    since: Instant,
}

/// The queues of one listener. `T` is whatever the caller finds a packet by.
#[derive(Clone, Debug)]
pub struct Pacer<T> {
    resend: VecDeque<Waiting<T>>,
    video: VecDeque<Waiting<T>>,
    /// Bytes in both.
    queued: usize,
    rate: f64,
    /// What is due within this time may leave at once.
    depth: Duration,
    probe: Option<Probe>,
    /// Bytes of the probe that have left.
    probed: usize,
    /// The cluster that there was no padding for.
    hopeless: Option<Cluster>,
    /// When everything that has left would have left at its speed.
    due: Instant,
    /// A run ended although more waits: that waits until `due`, for runs as long as may be.
    is_resting: bool,
    /// When the present run began, and how many packets it has.
    run: (Instant, usize),
}

impl<T> Pacer<T> {
    pub fn new(now: Instant) -> Pacer<T> {
        Pacer {
            resend: VecDeque::with_capacity(AT_FIRST.1),
            video: VecDeque::with_capacity(AT_FIRST.0),
            queued: 0,
            rate: LEAST,
            depth: RUN.0,
            probe: None,
            probed: 0,
            hopeless: None,
            due: now,
            is_resting: false,
            run: (now, 0),
        }
    }

    /// What may be sent, in bit/s, the probe to send, and how many bytes the network was seen to take at once: after each feedback
    /// and each timeout of the estimator.
    pub fn set(&mut self, rate_bps: u64, probe: Option<Probe>, burst: usize) {
        self.rate = (rate_bps as f64).max(LEAST);
        self.depth = self.duration_of(burst).clamp(RUN.0, RUN.1);
        if probe.map(|probe| probe.cluster) != self.probe.map(|probe| probe.cluster) {
            self.probed = 0;
        }
        self.probe = probe.filter(|probe| self.hopeless != Some(probe.cluster));
    }

    /// A video packet is to leave when its time comes. Given back when the queue is full.
    pub fn push_video(&mut self, now: Instant, item: T, bytes: usize) -> Result<(), T> {
        if self.video.len() == VIDEO_QUEUE {
            return Err(item);
        }
        self.queued += bytes;
        self.video.push_back(Waiting { item, bytes, since: now });
        Ok(())
    }

    /// A packet that was asked for again is to leave before new video. Given back when the queue is full, or what is in it takes
    /// too long.
    pub fn push_resend(&mut self, now: Instant, item: T, bytes: usize) -> Result<(), T> {
        let waiting: usize = self.resend.iter().map(|waiting| waiting.bytes).sum();
        if self.resend.len() == RESEND_QUEUE || self.duration_of(waiting) > RESEND_PATIENCE {
            return Err(item);
        }
        self.queued += bytes;
        self.resend.push_back(Waiting { item, bytes, since: now });
        Ok(())
    }

    /// Takes the next packet that leaves now; to be asked until there is none. All that it gives for one `now` may leave
    /// together: at most [`MOST_IN_RUN`] packets.
    pub fn pop(&mut self, now: Instant) -> Option<Departure<T>> {
        self.next_timeout()?;
        if !self.is_open(now) {
            self.is_resting = true;
            // As many packets as a run has at most may be quick.
            self.due = self.due.max(now + MOMENT);
            return None;
        }
        let cluster = self.active_probe().map(|probe| probe.cluster);
        let (waiting, class) = match self.resend.pop_front() {
            Some(waiting) => (Some(waiting), Class::Resend),
            None => (self.video.pop_front(), Class::Video),
        };
        let Some(Waiting { item, bytes, .. }) = waiting else {
            let probe = self.active_probe()?;
            return Some(Departure::Padding {
                bytes: (probe.bytes / PADDINGS).clamp(PADDING.0, PADDING.1),
                cluster: probe.cluster,
            });
        };
        self.leave(now, bytes);
        self.queued -= bytes;
        Some(Departure::Packet { item, bytes, class, cluster })
    }

    /// The packet that [`Pacer::pop`] gave last, for this cluster, did not leave: the next one need not wait for it.
    pub fn unsent(&mut self, now: Instant, bytes: usize, cluster: Option<Cluster>) {
        if cluster.is_some() {
            self.probed = self.probed.saturating_sub(bytes);
        }
        self.due -= self.time_of(now, bytes);
        self.run.1 = self.run.1.saturating_sub(1);
    }

    /// What was sent as padding, in bytes. Zero when there was nothing to send: this probe gets no more padding.
    pub fn padded(&mut self, now: Instant, bytes: usize) {
        if bytes == 0 {
            self.hopeless = self.probe.take().map(|probe| probe.cluster);
        } else {
            self.leave(now, bytes);
        }
    }

    /// Something of so many bytes left that did not wait here: what waits leaves later for it.
    pub fn passed(&mut self, now: Instant, bytes: usize) {
        self.leave(now, bytes);
    }

    /// When the next packet may leave, whether or not one waits.
    pub fn due(&self) -> Instant {
        let early = if self.rests() { Duration::ZERO } else { self.depth() };
        self.due.checked_sub(early).unwrap_or(self.due)
    }

    /// When the next packet may leave; `None` while none waits.
    pub fn next_timeout(&self) -> Option<Instant> {
        (self.queued > 0 || self.active_probe().is_some()).then(|| self.due())
    }

    /// Whether anything may leave now.
    pub fn is_open(&self, now: Instant) -> bool {
        match self.run {
            (began, taken) if began == now && taken > 0 => taken < MOST_IN_RUN && self.due <= now + self.depth(),
            _ if self.rests() => self.due <= now,
            _ => self.due <= now + self.depth(),
        }
    }

    /// Whether the next run waits for its time. Where the network takes more at once, one that is not behind another may leave
    /// before.
    fn rests(&self) -> bool {
        self.is_resting || self.depth() == RUN.0
    }

    /// A probe is sent at its own speed.
    fn depth(&self) -> Duration {
        if self.active_probe().is_some() { RUN.0 } else { self.depth }
    }

    /// How long what waits needs to leave.
    pub fn delay(&self) -> Duration {
        self.duration_of(self.queued)
    }

    fn duration_of(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / (FACTOR * self.rate))
    }

    /// Drops video that waits and is no longer wanted, for example of a layer that was left.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let queued = &mut self.queued;
        for queue in [&mut self.resend, &mut self.video] {
            queue.retain(|waiting| {
                let is_kept = keep(&waiting.item);
                *queued -= if is_kept { 0 } else { waiting.bytes };
                is_kept
            });
        }
    }

    fn active_probe(&self) -> Option<&Probe> {
        self.probe.as_ref().filter(|probe| self.probed < probe.bytes)
    }

    fn leave(&mut self, now: Instant, bytes: usize) {
        if self.run.0 != now || self.run.1 == 0 {
            // What waited for its time has had it since then, and nothing else has.
            let has_waited = self.is_resting && self.depth() > RUN.0;
            let had = if has_waited { now.saturating_duration_since(self.due).min(LATE) } else { Duration::ZERO };
            self.due = self.due.max(now.checked_sub(had).unwrap_or(now));
            (self.run, self.is_resting) = ((now, 0), false);
        }
        self.due += self.time_of(now, bytes);
        self.run.1 += 1;
        if self.active_probe().is_some() {
            self.probed += bytes;
        }
    }

    /// How long bytes take at the present speed.
    fn time_of(&self, now: Instant, bytes: usize) -> Duration {
        let oldest = self.video.front().map_or(now, |waiting| waiting.since);
        let factor = if now.saturating_duration_since(oldest) > PATIENCE { HURRY } else { FACTOR };
        let rate = self.active_probe().map_or(factor * self.rate, |probe| probe.rate_bps as f64);
        Duration::from_secs_f64(bytes as f64 * 8.0 / rate.max(LEAST))
    }
}

#[cfg(test)]
mod tests;
