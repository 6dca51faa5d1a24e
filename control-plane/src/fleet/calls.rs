//! Who is to be told soon where their room is now.
//!
//! When a node is lost, all of its people would dial the others in the same moment. They are called one after another at a
//! rate that a node's handshakes keep up with, so the crowd arrives as a queue; whoever is called first is heard first.

use guildhall_fleet::Millis;
use guildhall_fleet::admission::{Admission, RetryAfter};
use guildhall_protocol::{GuildId, UserId};
use std::collections::{BTreeMap, BTreeSet};

/// Calls a second, and at once: a WebRTC handshake costs a worker about a millisecond, and a node has two workers at least.
const RATE: u32 = 500;
const BURST: u32 = 100;

/// Spreads those who are called at once, so that not even they dial in the same moment.
const JITTER_MS: Millis = 100;

/// Bounded by the people in voice: everyone is in it once at most.
#[derive(Debug)]
pub struct Calls {
    due: BTreeSet<(Millis, GuildId, UserId)>,
    of: BTreeMap<(GuildId, UserId), Millis>,
    pace: Admission,
}

impl Default for Calls {
    fn default() -> Self {
        Self { due: BTreeSet::new(), of: BTreeMap::new(), pace: Admission::new(RATE, BURST) }
    }
}

impl Calls {
    /// Everyone is called once, however often their room moves before it is their turn.
    pub fn add(&mut self, now: Millis, guild: GuildId, user: UserId, draw: u64) {
        if self.of.contains_key(&(guild, user)) {
            return;
        }
        let wait = match self.pace.ask(now, draw) {
            Ok(()) => 0,
            Err(RetryAfter(wait)) => wait,
        };
        let at = now + wait + draw % JITTER_MS;
        self.of.insert((guild, user), at);
        self.due.insert((at, guild, user));
    }

    /// The next whose turn it is.
    pub fn next(&mut self, now: Millis) -> Option<(GuildId, UserId)> {
        let (_, guild, user) = *self.due.first().filter(|(at, _, _)| *at <= now)?;
        self.due.pop_first();
        self.of.remove(&(guild, user));
        Some((guild, user))
    }

    pub fn len(&self) -> usize {
        self.due.len()
    }

    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_called_one_after_another_and_everyone_once() {
        let mut calls = Calls::default();
        for user in 1..=1_100 {
            calls.add(10_000, GuildId::new(1), UserId::new(user), user * 7_919);
            calls.add(10_000, GuildId::new(1), UserId::new(user), user);
        }
        assert_eq!(calls.len(), 1_100);
        let mut called_by = |now| std::iter::from_fn(|| calls.next(now)).count();
        let at_once = called_by(10_000 + JITTER_MS);
        assert!((100..200).contains(&at_once), "{at_once}");
        let in_a_second = called_by(11_000);
        assert!((400..=520).contains(&in_a_second), "{in_a_second}");
        assert_eq!(at_once + in_a_second + called_by(12_000 + 2 * JITTER_MS), 1_100);
    }
}
