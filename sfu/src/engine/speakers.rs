//! Who is heard in a room: its speakers in the order in which listeners are given them.
//!
//! The decision is made once per packet, for the room and not per listener. Every speaker holds a *place*; a listener that
//! can take four voices hears places 0 to 3, one that can take sixteen hears 0 to 15, and native listeners, who know every
//! speaker by its SSRC, hear all [`MAX_SPEAKERS`]. One's own speech takes no place from oneself: a listener that speaks hears
//! one place further. The first place is the dominant speaker's.
//!
//! Places are sticky, so that nobody is cut off in mid-sentence and no stream changes hands without need:
//!
//! - A speaker *holds* its place while it is heard to talk and for [`HOLD`] after.
//! - Whoever talks takes the highest place whose speaker does not hold it, with its very first packet.
//! - Otherwise a newcomer takes the place of someone who is [`CLEARLY`] less loud, after it was so for [`CHALLENGE`].
//! - A priority speaker stands before all who are not, at once.
//!
//! So a first syllable is lost only to listeners all of whose places are held by people who talk at that moment, and then for
//! [`CHALLENGE`] and the packet or two that loudness takes to rise.
//!
//! Pure: the caller says what was heard and is told which places changed. [`super::activity`] measures.

use super::activity::Spoken;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Speakers of a room at a time, and so what a native listener is sent at most: 1,600 packets a second. More people than
/// that talking at once is noise, or an attack.
pub const MAX_SPEAKERS: usize = 32;

/// The place of nobody, behind all others.
pub const NO_PLACE: u8 = u8::MAX;

/// A pause within speech. Shorter ones are between words, longer ones between turns.
const HOLD: Duration = Duration::from_millis(400);

/// How long one must be clearly louder than a speaker to take its place: longer than a cough or a key stroke.
const CHALLENGE: Duration = Duration::from_millis(200);

/// "Clearly louder": 6 dB, twice the amplitude.
const CLEARLY: u8 = 6;

/// Someone with a place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Speaker {
    /// Its native SSRC, which is its own on all workers.
    key: u32,
    /// Where its listener is in the room, if it has one: what it hears depends on its own place.
    listener: Option<usize>,
    is_priority: bool,
    loudness: u8,
    last_voice: Option<Instant>,
    /// Since when it is clearly louder than someone before it.
    challenging_since: Option<Instant>,
}

impl Speaker {
    fn holds(&self, now: Instant) -> bool {
        self.last_voice.is_some_and(|at| now.saturating_duration_since(at) < HOLD)
    }
}

/// Where a packet's speaker stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub place: u8,
    /// Places whose speaker is another than before; see [`Speakers::listener_at`].
    pub changed: Range<usize>,
    /// The listener of a speaker that has no place any more.
    pub displaced: Option<usize>,
}

impl Placed {
    fn unchanged(at: usize) -> Placed {
        Placed { place: at as u8, changed: 0..0, displaced: None }
    }

    fn and_changed(mut self, more: Range<usize>) -> Placed {
        self.changed = match (self.changed.is_empty(), more.is_empty()) {
            (true, _) => more,
            (_, true) => self.changed,
            _ => self.changed.start.min(more.start)..self.changed.end.max(more.end),
        };
        self
    }
}

/// The places, from the first.
#[derive(Debug)]
pub struct Speakers(Vec<Speaker>);

impl Speakers {
    pub fn new() -> Speakers {
        Speakers(Vec::with_capacity(MAX_SPEAKERS))
    }

    /// A packet of `key` is to be forwarded: from which place? `None`: all places are held by others.
    #[inline]
    pub fn hear(
        &mut self,
        now: Instant,
        key: u32,
        listener: Option<usize>,
        is_priority: bool,
        spoken: &Spoken,
    ) -> Option<Placed> {
        let Some(at) = self.0.iter().position(|speaker| speaker.key == key) else {
            return self.enter(now, key, listener, is_priority, spoken);
        };
        let speaker = &mut self.0[at];
        speaker.loudness = spoken.loudness;
        speaker.is_priority = is_priority;
        if !spoken.is_voice {
            return Some(Placed::unchanged(at));
        }
        if !speaker.holds(now) {
            speaker.challenging_since = None;
        }
        speaker.last_voice = Some(now);
        Some(if at > 0 { self.rise(now, at) } else { Placed::unchanged(at) })
    }

    /// Whoever comes takes the last place, and from there what it can. When there is none, silence does not come in, and
    /// voice takes the place of who is silent, or of one that is not a priority speaker.
    #[cold]
    fn enter(&mut self, now: Instant, key: u32, listener: Option<usize>, is_priority: bool, spoken: &Spoken) -> Option<Placed> {
        let last_voice = spoken.is_voice.then_some(now);
        let speaker = Speaker { key, listener, is_priority, loudness: spoken.loudness, last_voice, challenging_since: None };
        if self.0.len() < MAX_SPEAKERS {
            let at = self.0.len();
            self.0.push(speaker);
            let placed = if spoken.is_voice { self.rise(now, at) } else { Placed::unchanged(at) };
            return Some(placed.and_changed(at..at + 1));
        }
        if !spoken.is_voice {
            return None;
        }
        let is_before = |other: &Speaker| is_priority && !other.is_priority;
        let taken = self.silent_before(now, self.0.len()).or_else(|| self.0.iter().rposition(is_before))?;
        let displaced = std::mem::replace(&mut self.0[taken], speaker).listener;
        let placed = self.settle(now, taken, self.0.len()).and_changed(taken..taken + 1);
        Some(Placed { displaced, ..placed })
    }

    /// Lets the speaker at `at`, who is talking, take a better place if one is to be had. At most one who was heard by a
    /// listener is not any more, which is what lets slots follow: the newcomer takes the slot of the one that it displaced.
    #[inline]
    fn rise(&mut self, now: Instant, at: usize) -> Placed {
        if let Some(silent) = self.silent_before(now, at) {
            self.0.swap(silent, at);
            return self.settle(now, silent, at).and_changed(silent..at + 1);
        }
        let placed = self.settle(now, at, at);
        if usize::from(placed.place) < at {
            return placed;
        }
        match self.challenge(now, at) {
            Some(quieter) => {
                self.0.swap(quieter, at);
                Placed { place: quieter as u8, changed: quieter..at + 1, displaced: None }
            }
            None => placed,
        }
    }

    /// Puts a priority speaker that came to `at` before all that are not, and another behind those before `end` that talk.
    fn settle(&mut self, now: Instant, at: usize, end: usize) -> Placed {
        let is_priority = |speaker: &Speaker| speaker.is_priority && speaker.holds(now);
        if self.0[at].is_priority {
            let front = self.0[..at].iter().position(|speaker| !speaker.is_priority).unwrap_or(at);
            self.0[front..=at].rotate_right(1);
            Placed::unchanged(front).and_changed(if front < at { front..at + 1 } else { 0..0 })
        } else if let Some(behind) = self.0[at..end].iter().rposition(is_priority) {
            self.0[at..=at + behind].rotate_left(1);
            Placed::unchanged(at + behind).and_changed(at..at + behind + 1)
        } else {
            Placed::unchanged(at)
        }
    }

    /// The first place before `at` that is not held.
    #[inline]
    fn silent_before(&self, now: Instant, at: usize) -> Option<usize> {
        self.0[..at].iter().position(|speaker| !speaker.holds(now))
    }

    /// The nearest place before `at` whose speaker is clearly quieter, once someone there was so for long enough.
    fn challenge(&mut self, now: Instant, at: usize) -> Option<usize> {
        let (before, speaker) = self.0.split_at_mut(at);
        let speaker = &mut speaker[0];
        let is_quieter =
            |other: &Speaker| other.is_priority <= speaker.is_priority && other.loudness + CLEARLY <= speaker.loudness;
        let Some(quieter) = before.iter().rposition(is_quieter) else {
            speaker.challenging_since = None;
            return None;
        };
        let since = *speaker.challenging_since.get_or_insert(now);
        (now.saturating_duration_since(since) >= CHALLENGE).then_some(quieter)
    }

    /// Takes away the speaker's place. The places whose speakers are others now, and the listener of the one without.
    pub fn remove(&mut self, key: u32) -> Option<(Range<usize>, Option<usize>)> {
        let at = self.0.iter().position(|speaker| speaker.key == key)?;
        let removed = self.0.remove(at);
        Some((at..self.0.len(), removed.listener))
    }

    /// The place of a speaker; [`NO_PLACE`] when it has none.
    pub fn place_of(&self, key: u32) -> u8 {
        self.0.iter().position(|speaker| speaker.key == key).map_or(NO_PLACE, |at| at as u8)
    }

    /// The places of these speakers, a bit each.
    pub fn places_of(&self, keys: &[u32]) -> u32 {
        let is_one = |(_, speaker): &(usize, &Speaker)| keys.contains(&speaker.key);
        self.0.iter().enumerate().filter(is_one).fold(0, |places, (at, _)| places | 1 << at)
    }

    /// Every speaker, from the first place.
    pub fn all(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|speaker| speaker.key)
    }

    /// Takes over an order that was decided elsewhere. Whether it is another than before; then nobody's listener is known.
    pub fn follow(&mut self, order: &[u32]) -> bool {
        if self.all().eq(order.iter().copied()) {
            return false;
        }
        self.0.clear();
        self.0.extend(order.iter().map(|&key| Speaker {
            key,
            listener: None,
            is_priority: false,
            loudness: 0,
            last_voice: None,
            challenging_since: None,
        }));
        true
    }

    /// Where the listener of the speaker at a place is.
    pub fn listener_at(&self, place: usize) -> Option<usize> {
        self.0.get(place)?.listener
    }

    /// The speaker's listener is elsewhere now, or nowhere.
    pub fn move_listener(&mut self, key: u32, listener: Option<usize>) {
        if let Some(speaker) = self.0.iter_mut().find(|speaker| speaker.key == key) {
            speaker.listener = listener;
        }
    }
}

/// What of the order concerns one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hearing {
    /// How many voices it takes; none when it is deafened.
    pub voices: u8,
    /// The place of its own speech, or [`NO_PLACE`].
    pub own: u8,
    /// The places of those it pinned, a bit each; fewer than it takes voices.
    pub pinned: u32,
}

impl Hearing {
    /// Whether the listener hears a place: one of the first that it can take, after those it pinned.
    #[inline]
    pub fn includes(self, place: u8) -> bool {
        let Hearing { voices, own, pinned } = self;
        if pinned == 0 {
            return place - u8::from(own < place) < voices;
        }
        let bit = 1u32.checked_shl(u32::from(place)).unwrap_or(0);
        let pinned_before = (pinned & bit.wrapping_sub(1)).count_ones() as u8;
        let others_before = place - u8::from(own < place) - pinned_before;
        voices > 0 && (pinned & bit != 0 || others_before < voices.saturating_sub(pinned.count_ones() as u8))
    }
}

#[cfg(test)]
mod tests;
