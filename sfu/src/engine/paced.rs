//! The bandwidth of one listener of video: what its network carries, which layers fit into that, and when each packet leaves.
//! It is nobody else's: a bad network costs only whoever has it.
//!
//! A packet waits as the place where it is remembered ([`Queued`]), and gets its numbers when it leaves: what is dropped while
//! it waits leaves no hole in the listener's stream.

use crate::bandwidth::allocator::{Allocator, Grant};
use crate::bandwidth::estimator::{Bounds, Estimator};
use crate::bandwidth::pacer::{Pacer, RESEND_QUEUE};
use crate::sys::thread::prefetch;
use crate::video::rewrite::Origin;
use std::collections::VecDeque;
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

/// A packet is not sent again before the one that was has had the time to arrive, and its listener that to say so: this part of
/// a round trip, for feedback waits a little, or as long as that while none is known. Whoever asks more often asks for the same.
const REPEATS_APART: (u32, u32) = (3, 4);
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);

/// Voices are sent again unasked when a queue shoots up: what was said in this time, and so many packets at most, the newest. Of
/// what was said before more got through than not, and all of it stands in the way of what comes next: a dozen packets for a
/// twentieth of a second on a link of 300 kbit/s.
pub const DOUBTED: (Duration, usize) = (Duration::from_millis(250), 24);

/// Before them so many bytes could have left: the queue that may be full gets shorter by as much, or it would drop them as well.
pub const BEFORE_DOUBTED: usize = 1_000;

/// What is to be left for a smaller picture goes on until that comes, unless it waits longer than this to leave: then it would
/// only fill the queue that the smaller one has to pass.
const LEFT_BEHIND: Duration = Duration::from_millis(150);

/// What the allocator wants of room for a layer that is new to a slot.
const ROOM: (u64, u64) = (11, 10);

/// A packet that waits to leave, by where it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    pub slot: u8,
    pub origin: Origin,
    /// The publisher's.
    pub index: u64,
    /// Packets before it that this listener was not sent, of a layered stream, and the largest layer that it is sent.
    pub left_out: u32,
    pub top: u8,
    /// Nothing is sent under its number: it is not for this listener.
    pub is_blank: bool,
    /// The slot's stream begins anew with it.
    pub begins: bool,
}

impl Queued {
    /// What its number in the slot's stream is derived from.
    pub fn number(&self) -> u64 {
        self.index.wrapping_sub(u64::from(self.left_out))
    }
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
    /// What was sent again in the last round trip, and when; at most [`RESEND_QUEUE`].
    repeated: VecDeque<(Instant, Queued)>,
    /// The queue has shot up: since when nobody knows what of the voices gets through. Once the pacer lets something leave again
    /// they are chosen that are sent again.
    pub doubt: Option<Instant>,
    /// Those, by SSRC and number, oldest first: bounded by [`DOUBTED`]. They leave before video does.
    pub doubted: VecDeque<(u32, u16)>,
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
            repeated: VecDeque::new(),
            doubt: None,
            doubted: VecDeque::new(),
        };
        paced.apply(now);
        paced
    }

    /// What layers may be chosen for, bit/s, when the smallest of everything shown have `least` together.
    pub fn budget(&mut self, now: Instant, least: u64) -> u64 {
        let bps = self.estimator.bps();
        let least = least * ROOM.0 / ROOM.1;
        if bps >= least {
            self.short_since = None;
            return bps;
        }
        let since = *self.short_since.get_or_insert(now);
        if now.saturating_duration_since(since) < PATIENCE { least } else { bps }
    }

    /// Asks for what sending a packet touches.
    #[inline]
    pub fn ask(&self) {
        prefetch(&self.pacer, size_of::<Pacer<Queued>>());
        self.estimator.ask();
    }

    /// What is known of the network goes to where it matters.
    pub fn apply(&mut self, now: Instant) {
        self.pacer.set(self.estimator.pace_bps(), self.estimator.probe(), self.estimator.burst(now));
    }

    /// Whether a packet that was asked for may be sent again now; then it counts as sent.
    pub fn may_repeat(&mut self, now: Instant, queued: Queued) -> bool {
        let round_trip = self.estimator.estimate().round_trip.unwrap_or(FIRST_ROUND_TRIP);
        let apart = round_trip * REPEATS_APART.0 / REPEATS_APART.1 + self.pacer.delay();
        while self.repeated.pop_front_if(|(at, _)| now.saturating_duration_since(*at) >= apart).is_some() {}
        let may = self.repeated.len() < RESEND_QUEUE && self.repeated.iter().all(|(_, other)| *other != queued);
        if may {
            self.repeated.push_back((now, queued));
        }
        may
    }

    /// The queue has shot up, and of what left since then nobody knows whether it gets through.
    pub fn doubt(&mut self, now: Instant, since: Instant) {
        self.doubted.clear();
        self.doubt = Some(since);
        // At the rate of now, and not that of before.
        self.apply(now);
        self.pacer.passed(now, BEFORE_DOUBTED);
    }

    /// Whether what waits would only be in the way of a smaller picture.
    pub fn is_left_behind(&self) -> bool {
        self.pacer.delay() > LEFT_BEHIND
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
        let doubted = (self.doubt.is_some() || !self.doubted.is_empty()).then(|| self.pacer.due());
        [choice, silence, doubted, self.pacer.next_timeout()].into_iter().flatten().min()
    }
}
