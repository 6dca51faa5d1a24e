//! Events in the order of their numbers, from sources that keep none between them: a pure machine.

use crate::event::Committed;
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Order {
    /// The number of the last event that was given out.
    applied: i64,
    /// By their numbers, all of which are larger.
    waiting: BTreeMap<i64, Committed>,
}

impl Order {
    pub const fn after(applied: i64) -> Self {
        Self { applied, waiting: BTreeMap::new() }
    }

    /// The number of the last event that was given out.
    pub const fn applied(&self) -> i64 {
        self.applied
    }

    /// How many events wait for those before them.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The first event that waits.
    pub fn first(&self) -> Option<i64> {
        self.waiting.first_key_value().map(|(number, _)| *number)
    }

    /// The last event that is known.
    pub fn last(&self) -> i64 {
        self.waiting.last_key_value().map_or(self.applied, |(number, _)| *number)
    }

    /// Takes events of the numbers `first`, `first` + 1 …; those that are known already are left out.
    pub fn take(&mut self, first: i64, events: Vec<Committed>) {
        for (number, event) in (first..).zip(events).filter(|(number, _)| *number > self.applied) {
            self.waiting.entry(number).or_insert(event);
        }
    }

    /// Gives out all events that come next, with the number of the first. `None`: the next one is missing.
    pub fn next(&mut self) -> Option<(i64, Vec<Committed>)> {
        let mut events = Vec::new();
        while let Some(event) = self.waiting.remove(&(self.applied + 1)) {
            self.applied += 1;
            events.push(event);
        }
        (!events.is_empty()).then(|| (self.applied - events.len() as i64 + 1, events))
    }

    /// Events up to this one will not be given out, or were told by other means.
    pub fn go_past(&mut self, last_event: i64) {
        self.applied = last_event;
        self.waiting = self.waiting.split_off(&(last_event + 1));
    }
}
