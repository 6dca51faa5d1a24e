//! The bandwidth of one listener of video: what its network carries, which layers fit into that, and when each packet leaves.
//! It is nobody else's: a bad network costs only whoever has it.
//!
//! A packet waits as the place where it is remembered ([`Queued`]), and gets its numbers when it leaves: what is dropped while
//! it waits leaves no hole in the listener's stream.

use crate::bandwidth::allocator::{Allocator, Grant};
use crate::bandwidth::estimator::{Bounds, Estimator};
use crate::bandwidth::pacer::Pacer;
use crate::video::rewrite::Origin;
use std::time::{Duration, Instant};

/// How often layers are chosen again while anything is shown and no feedback comes: the allocator goes up in steps of time.
pub const CHOICE_INTERVAL: Duration = Duration::from_millis(100);

/// What a copy has beside its payload, on the wire: headers of IP, UDP and RTP with its extension, and the seal.
pub const WIRE_OVERHEAD: usize = 28 + 20 + 16;

/// Where the estimate begins for a listener that does not tell what arrives when. Its reports come once in seconds, and growing
/// from less would take it half a minute to a camera's largest layer.
const START_BY_REPORTS_BPS: u64 = 1_500_000;

/// For so long the smallest pictures go on although the network is said not to carry them: in the first moment after a fall it
/// is said to carry less than it does, and a pause costs a key frame. The voice does not suffer by it, because the pacer lets
/// out what the estimate allows and no more.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What the allocator wants of room for a layer that is new to a slot.
const ROOM: (u64, u64) = (11, 10);

/// A packet that waits to leave, by where it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    pub slot: u8,
    pub origin: Origin,
    /// The publisher's.
    pub index: u64,
    /// The slot's stream begins anew with it.
    pub begins: bool,
}

/// Slots that get less than they could show, because the network carries no more: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// A smaller picture, or none.
    pub less: u16,
    /// None.
    pub paused: u16,
}

pub struct Paced {
    pub estimator: Estimator,
    pub allocator: Allocator,
    pub pacer: Pacer<Queued>,
    pub grants: Vec<Grant>,
    /// As of the last choice.
    pub narrowed: Narrowed,
    /// Since when the network is said to carry less than the smallest pictures.
    short_since: Option<Instant>,
    /// When layers were last chosen.
    pub chosen: Instant,
    /// When the timer is due that is armed.
    pub due: Option<Instant>,
    /// The newest packet that left, to probe with.
    pub latest: Option<Queued>,
}

impl Paced {
    /// For so many slots; `tells_arrivals`: the listener gives transport-wide feedback.
    pub fn new(now: Instant, slots: usize, tells_arrivals: bool) -> Paced {
        let usual = Bounds::default();
        let start_bps = if tells_arrivals { usual.start_bps } else { START_BY_REPORTS_BPS };
        let mut paced = Paced {
            estimator: Estimator::new(now, Bounds { start_bps, ..usual }),
            allocator: Allocator::default(),
            pacer: Pacer::new(now),
            grants: Vec::with_capacity(slots),
            narrowed: Narrowed::default(),
            short_since: None,
            chosen: now,
            due: None,
            latest: None,
        };
        paced.apply();
        paced
    }

    /// What layers may be chosen for, bit/s, when the smallest of everything shown have `least` together.
    pub fn budget(&mut self, now: Instant, least: u64) -> u64 {
        let bps = self.estimator.estimate().bps;
        let least = least * ROOM.0 / ROOM.1;
        if bps >= least {
            self.short_since = None;
            return bps;
        }
        let since = *self.short_since.get_or_insert(now);
        if now.saturating_duration_since(since) < PATIENCE { least } else { bps }
    }

    /// What is known of the network goes to where it matters.
    pub fn apply(&mut self) {
        self.pacer.set(self.estimator.estimate().pace_bps, self.estimator.probe());
    }

    /// Drops what waits for a slot and says how many packets that were.
    pub fn abandon(&mut self, slot: usize) -> u64 {
        let mut dropped = 0;
        self.pacer.retain(|queued| {
            let is_kept = usize::from(queued.slot) != slot;
            dropped += u64::from(!is_kept);
            is_kept
        });
        dropped
    }

    /// When this wants to be looked at next; `is_shown`: something is to be shown.
    pub fn next_timeout(&self, is_shown: bool) -> Option<Instant> {
        let choice = is_shown.then(|| self.chosen + CHOICE_INTERVAL);
        let silence = if is_shown { self.estimator.next_timeout() } else { None };
        [choice, silence, self.pacer.next_timeout()].into_iter().flatten().min()
    }
}
