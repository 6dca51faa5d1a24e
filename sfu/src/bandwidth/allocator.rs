//! Which layer of which track one listener gets for what its network carries. Audio first; then somebody in every slot, the
//! focused and the larger ones before the others; then better pictures in the same order. Nobody else's budget is in it, so a
//! bad network costs only whoever has it.
//!
//! Going down is immediate, because what does not fit hurts at once. Going up waits until it fits with room to spare and one
//! step at a time, and ever longer when it did not last.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

/// Slots of one listener.
pub const MOST_SLOTS: usize = 64;

/// Layers of one track: four resolutions with three frame rates each.
pub const MOST_LAYERS: usize = 12;

/// A better layer must fit into this part of the budget: its bitrate varies, and so does the estimate.
const ROOM: f64 = 0.92;

/// A layer that flows is kept until it exceeds the budget by this factor: measured bitrates are never exact.
const GRACE: f64 = 1.04;

/// Time between steps up in one slot, which a keyframe may cost each, and between those of different slots, so that their
/// keyframes do not come together.
const STEP: Duration = Duration::from_millis(1_000);
const STAGGER: Duration = Duration::from_millis(250);

/// After a step down, the first and the longest wait for a step up; a step up that lasted so long was right.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(20));
const LASTED: Duration = Duration::from_secs(10);

/// A layer with this part of the wanted pixels is good enough: scaling a picture up by a tenth is not seen.
const ENOUGH: f64 = 0.8;

/// A probe for the next step goes so far beyond what it needs.
const AHEAD: f64 = 1.1;

/// One encoding of a track, or a frame rate of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// Measured, or what it will have when it is off at its sender; with the layers that it depends on.
    pub bitrate_bps: u64,
    /// Width times height.
    pub pixels: u32,
}

/// What a listener wants to see in one slot.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    pub slot: u8,
    /// The size it is shown at, width times height; zero when it is not shown.
    pub pixels: u32,
    /// The picture that matters most.
    pub is_focus: bool,
    /// From the worst to the best, of one resolution from the slowest to the fastest. At most [`MOST_LAYERS`] count.
    pub layers: &'a [Layer],
}

impl Wish<'_> {
    /// Whether there is anything to be shown.
    pub fn is_shown(&self) -> bool {
        self.pixels > 0 && !self.layers.is_empty()
    }

    /// The fastest layer of the first resolution that is enough for the size wanted.
    pub fn best_of_use(&self) -> usize {
        let layers = layers_of(self);
        let last = layers.len().saturating_sub(1);
        let enough = layers.iter().find(|layer| f64::from(layer.pixels) >= ENOUGH * f64::from(self.pixels));
        let Some(enough) = enough else { return last };
        layers.iter().rposition(|layer| layer.pixels == enough.pixels).unwrap_or(last)
    }
}

/// What a slot gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub slot: u8,
    /// Index into the wish's layers; `None` is a pause.
    pub layer: Option<usize>,
}

/// What all slots get together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Of all granted layers, bit/s.
    pub video_bps: u64,
    /// What the estimate must show, audio included, before the next better choice is made: to be probed for. Zero when nothing
    /// better is wanted.
    pub next_bps: u64,
    /// What everything that is wanted would need, audio included.
    pub wanted_bps: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Granted last time.
    layer: Option<usize>,
    /// What was wished for then; of another number of layers is another track.
    layers: usize,
    pixels: u32,
    is_focus: bool,
    /// No step up before.
    until: Option<Instant>,
}

impl Slot {
    fn is_wished(&self, wish: &Wish) -> bool {
        (self.layers, self.pixels, self.is_focus) == (layers_of(wish).len(), wish.pixels, wish.is_focus)
    }
}

/// Chooses for one listener, and remembers what it chose.
#[derive(Clone, Debug)]
pub struct Allocator {
    slots: [Slot; MOST_SLOTS],
    /// When any slot got better, and whether none got worse since.
    raised: Option<Instant>,
    is_lasting: bool,
    /// The budget was less than what it was thought to be: no step up before, and how long the wait was.
    until: Option<Instant>,
    backoff: Duration,
}

impl Default for Allocator {
    fn default() -> Allocator {
        let slots = [Slot::default(); MOST_SLOTS];
        Allocator { slots, raised: None, is_lasting: false, until: None, backoff: BACKOFF.0 }
    }
}

/// One wish while choosing.
#[derive(Clone, Copy, Default)]
struct Choice {
    /// Into the wishes.
    wish: usize,
    layer: Option<usize>,
    /// The best layer that is of use.
    best: usize,
    /// May not be better than this now; `None` for no bound.
    most: Option<usize>,
}

impl Allocator {
    /// Another track is in a slot: nothing that was learnt about it is true.
    pub fn reset(&mut self, slot: u8) {
        if let Some(slot) = self.slots.get_mut(usize::from(slot)) {
            *slot = Slot::default();
        }
    }

    /// Chooses. `budget_bps` is the estimate, `audio_bps` what audio takes of it: zero when audio does not count in the
    /// estimate because it carries no transport-wide numbers. Wishes for slots from [`MOST_SLOTS`] on are left out, as is all
    /// but the first for one slot. One grant for every other wish is added to `grants`, which is cleared first.
    pub fn allocate(&mut self, now: Instant, budget_bps: u64, audio_bps: u64, wishes: &[Wish], grants: &mut Vec<Grant>) -> Sum {
        let mut choices = [Choice::default(); MOST_SLOTS];
        let mut count = 0;
        let mut is_taken = [false; MOST_SLOTS];
        for (index, wish) in wishes.iter().enumerate() {
            let Some(is_taken) = is_taken.get_mut(usize::from(wish.slot)).filter(|is_taken| !**is_taken) else { continue };
            *is_taken = true;
            choices[count] = Choice { wish: index, best: wish.best_of_use(), ..Choice::default() };
            count += 1;
        }
        let choices = &mut choices[..count];
        choices.sort_unstable_by_key(|choice| {
            let wish = &wishes[choice.wish];
            (!wish.is_focus, u32::MAX - wish.pixels, wish.slot)
        });

        // Who wishes for something else gets it at once, and what others lose by it is no sign of a smaller budget.
        let is_new = |choice: &Choice| !self.slots[usize::from(wishes[choice.wish].slot)].is_wished(&wishes[choice.wish]);
        let is_asked = choices.iter().any(is_new);
        let budget = budget_bps.saturating_sub(audio_bps) as f64;
        for choice in choices.iter_mut() {
            choice.most = self.bound(now, &wishes[choice.wish], choice.best);
        }
        let video_bps = fill(choices, wishes, budget, |choice| {
            let slot = &self.slots[usize::from(wishes[choice.wish].slot)];
            slot.layer.filter(|_| slot.layers == layers_of(&wishes[choice.wish]).len())
        });

        let mut sum = Sum { video_bps, ..Sum::default() };
        let mut next = f64::INFINITY;
        grants.clear();
        let (mut is_raised, mut is_lowered) = (false, false);
        for choice in choices.iter() {
            let wish = &wishes[choice.wish];
            match self.remember(now, wish, choice.layer) {
                Ordering::Greater => is_raised = true,
                Ordering::Less => is_lowered |= wish.is_shown(),
                Ordering::Equal => {}
            }
            grants.push(Grant { slot: wish.slot, layer: choice.layer });
            if wish.is_shown() {
                let layers = layers_of(wish);
                sum.wanted_bps += layers[choice.best].bitrate_bps;
                // A whole resolution further at once: frame rates on the way are not worth a probe each.
                let better = choice.layer.map_or(0, |layer| next_step(wish, layer, choice.best));
                if choice.layer.is_none_or(|layer| layer < choice.best) {
                    let more = layers[better].bitrate_bps.saturating_sub(bitrate(wish, choice.layer));
                    next = next.min((video_bps + more) as f64 / ROOM);
                }
            }
        }
        if is_raised {
            (self.raised, self.is_lasting) = (Some(now), true);
        }
        if is_lowered && !is_asked {
            self.back_off(now);
        }
        sum.wanted_bps = sum.wanted_bps.max(video_bps) + audio_bps;
        if next.is_finite() {
            sum.next_bps = (next * AHEAD) as u64 + audio_bps;
        }
        sum
    }

    /// The best layer that a slot may have now, considering what it has and had.
    fn bound(&self, now: Instant, wish: &Wish, best: usize) -> Option<usize> {
        let slot = &self.slots[usize::from(wish.slot)];
        if !slot.is_wished(wish) {
            return None;
        }
        let is_early = |until: Option<Instant>| until.is_some_and(|until| now < until);
        let is_waiting = is_early(slot.until) || is_early(self.until) || is_early(self.raised.map(|raised| raised + STAGGER));
        match slot.layer {
            // A paused slot comes back with its worst layer, and waits for it as others do for better ones.
            None if is_waiting => Some(NOTHING),
            None => Some(0),
            Some(layer) if is_waiting => Some(layer),
            Some(layer) => Some(next_step(wish, layer, best)),
        }
    }

    /// Remembers what a slot gets, and says how it compares to what it had.
    fn remember(&mut self, now: Instant, wish: &Wish, layer: Option<usize>) -> Ordering {
        let slot = &mut self.slots[usize::from(wish.slot)];
        let was_wished = slot.is_wished(wish);
        let change = if was_wished { layer.cmp(&slot.layer) } else { Ordering::Equal };
        if change == Ordering::Greater || !was_wished {
            slot.until = Some(now + STEP);
        }
        *slot = Slot { layer, layers: layers_of(wish).len(), pixels: wish.pixels, is_focus: wish.is_focus, until: slot.until };
        change
    }

    /// Something did not fit any more: the longer, the sooner after the last step up.
    fn back_off(&mut self, now: Instant) {
        // One fall may take several steps: it counts once.
        if std::mem::take(&mut self.is_lasting) {
            let has_lasted = self.raised.is_none_or(|raised| now >= raised + LASTED);
            self.backoff = if has_lasted { (self.backoff / 2).max(BACKOFF.0) } else { (2 * self.backoff).min(BACKOFF.1) };
        }
        self.until = Some(now + self.backoff);
    }
}

/// Stands for a pause where a bound is meant.
const NOTHING: usize = usize::MAX;

fn layers_of<'a>(wish: &Wish<'a>) -> &'a [Layer] {
    &wish.layers[..wish.layers.len().min(MOST_LAYERS)]
}

fn bitrate(wish: &Wish, layer: Option<usize>) -> u64 {
    layer.map_or(0, |layer| layers_of(wish)[layer].bitrate_bps)
}

/// One resolution further, with all its frame rates.
fn next_step(wish: &Wish, layer: usize, best: usize) -> usize {
    let layers = layers_of(wish);
    let Some(next) = layers[layer + 1..].iter().find(|next| next.pixels != layers[layer].pixels) else { return best };
    let last = layers.iter().rposition(|layer| layer.pixels == next.pixels).unwrap_or(best);
    last.min(best).max(layer)
}

/// Gives layers until the budget is used, and returns what it used.
fn fill(choices: &mut [Choice], wishes: &[Wish], budget: f64, current: impl Fn(&Choice) -> Option<usize>) -> u64 {
    let mut used = 0u64;
    // What a slot has may use all of the budget; what is better must leave room.
    let fits = |used: u64, is_kept: bool| used as f64 <= budget * if is_kept { GRACE } else { ROOM };
    let mut raise = |choice: &mut Choice, layer: usize, is_owed: bool| {
        let wish = &wishes[choice.wish];
        if choice.most.is_some_and(|most| most == NOTHING || layer > most) || layer > choice.best {
            return false;
        }
        let more = layers_of(wish)[layer].bitrate_bps.saturating_sub(bitrate(wish, choice.layer));
        let is_kept = is_owed || current(choice).is_some_and(|current| layer <= current);
        if !fits(used + more, is_kept) {
            return false;
        }
        used += more;
        choice.layer = Some(layer);
        true
    };
    // Somebody in every slot. What a later one has, an earlier one may have.
    for index in 0..choices.len() {
        let is_owed = choices[index + 1..].iter().any(|later| current(later).is_some());
        if wishes[choices[index].wish].is_shown() {
            raise(&mut choices[index], 0, is_owed);
        }
    }
    // The focused ones as good as possible.
    for choice in choices.iter_mut().filter(|choice| choice.layer.is_some() && wishes[choice.wish].is_focus) {
        (1..=choice.best).for_each(|layer| {
            raise(choice, layer, false);
        });
    }
    // The others in turns, so that equals are treated equally; what does not fit one may fit the next.
    for layer in 1..MOST_LAYERS {
        for choice in choices.iter_mut().filter(|choice| choice.layer.is_some() && layer <= choice.best) {
            if choice.layer < Some(layer) {
                raise(choice, layer, false);
            }
        }
    }
    used
}

#[cfg(test)]
mod tests;
