//! How a node is emptied before a deadline: small rooms first, one after another, the biggest last; nothing later than the
//! deadline.
//!
//! Small rooms show early whether moving works at all, when stopping still helps; and a big room that waits may have ended
//! by itself.

use crate::Millis;
use guildhall_protocol::ChannelId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The last part of the time that is kept free, for moves that take long and rooms that came late: a fifth.
const RESERVE: u64 = 5;

/// Rooms that may be on the move at a time: each is a burst of joins somewhere.
const MAX_MOVING: usize = 8;

/// How long a move may take before it is tried again.
const RETRY_MS: Millis = 5_000;

/// The emptying of one node.
#[derive(Debug)]
pub struct Drain {
    began: Millis,
    deadline: Millis,
    total: usize,
    /// By size, the smallest first.
    waiting: BTreeSet<(u32, ChannelId)>,
    moving: Vec<(ChannelId, Millis)>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub moved: usize,
    pub moving: usize,
    pub waiting: usize,
    pub deadline: Millis,
}

impl Drain {
    /// `rooms`: what lives there, with how many peers each.
    pub fn new(now: Millis, deadline: Millis, rooms: impl IntoIterator<Item = (ChannelId, u32)>) -> Self {
        let waiting: BTreeSet<(u32, ChannelId)> = rooms.into_iter().map(|(room, peers)| (peers, room)).collect();
        Self { began: now, deadline: deadline.max(now), total: waiting.len(), waiting, moving: Vec::new() }
    }

    /// Which rooms are to be moved now. Called again after [`Drain::next_timeout`], or when a move ended.
    pub fn handle(&mut self, now: Millis, out: &mut Vec<ChannelId>) {
        for (room, since) in &mut self.moving {
            if *since + RETRY_MS <= now {
                *since = now;
                out.push(*room);
            }
        }
        let is_late = now >= self.end_of_plan();
        while !self.waiting.is_empty() && (is_late || (self.begun() < self.due(now) && self.moving.len() < MAX_MOVING)) {
            let (_, room) = self.waiting.pop_first().expect("just seen");
            self.moving.push((room, now));
            out.push(room);
        }
    }

    /// The room lives elsewhere now, or nowhere.
    pub fn done(&mut self, room: ChannelId) {
        self.moving.retain(|(moving, _)| *moving != room);
        self.waiting.retain(|(_, waiting)| *waiting != room);
    }

    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.moving.is_empty()
    }

    pub fn progress(&self) -> Progress {
        let (moving, waiting) = (self.moving.len(), self.waiting.len());
        Progress { moved: self.total - moving - waiting, moving, waiting, deadline: self.deadline }
    }

    pub fn next_timeout(&self) -> Option<Millis> {
        let retry = self.moving.iter().map(|(_, since)| since + RETRY_MS).min();
        let next = (!self.waiting.is_empty()).then(|| {
            if self.moving.len() >= MAX_MOVING {
                return self.end_of_plan();
            }
            let window = self.end_of_plan() - self.began;
            self.began + (self.begun() as u64 * window).div_ceil(self.total as u64)
        });
        [retry, next].into_iter().flatten().min()
    }

    fn begun(&self) -> usize {
        self.total - self.waiting.len()
    }

    fn end_of_plan(&self) -> Millis {
        self.deadline - (self.deadline - self.began) / RESERVE
    }

    /// How many moves should have begun by now, when they are spread evenly: one at once.
    fn due(&self, now: Millis) -> usize {
        let window = (self.end_of_plan() - self.began).max(1);
        let passed = now.saturating_sub(self.began);
        1 + (passed as u128 * self.total as u128 / window as u128) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_rooms_go_first_evenly_spread_and_the_biggest_goes_last() {
        let rooms = [(1, 50), (2, 2), (3, 900), (4, 10)].map(|(id, peers)| (ChannelId::new(id), peers));
        let mut drain = Drain::new(0, 10_000, rooms);
        let mut moves = Vec::new();
        let mut now = 0;
        while !drain.is_done() {
            let mut out = Vec::new();
            drain.handle(now, &mut out);
            for room in out {
                moves.push((now, room.0.0));
                drain.done(room);
            }
            now = drain.next_timeout().unwrap_or(now);
        }
        assert_eq!(moves, [(0, 2), (2_000, 4), (4_000, 1), (6_000, 3)]);
        assert_eq!(drain.progress(), Progress { moved: 4, moving: 0, waiting: 0, deadline: 10_000 });
    }

    #[test]
    fn a_move_that_does_not_end_is_tried_again() {
        let mut drain = Drain::new(0, 100_000, [(ChannelId::new(1), 1)]);
        let mut out = Vec::new();
        drain.handle(0, &mut out);
        drain.handle(RETRY_MS - 1, &mut out);
        assert_eq!(out.len(), 1);
        assert_eq!(drain.next_timeout(), Some(RETRY_MS));
        drain.handle(RETRY_MS, &mut out);
        assert_eq!(out.len(), 2);
    }

    proptest! {
        /// However many rooms and however little time: every room is asked to move before the deadline, once while its move
        /// goes well, and never more than the bound at a time before the plan's end.
        #[test]
        fn everything_has_begun_to_move_before_the_deadline(
            sizes in proptest::collection::vec(1_u32..2000, 1..300),
            time in 0_u64..120_000,
            took in 1_u64..3_000,
        ) {
            let rooms = sizes.iter().enumerate().map(|(at, &peers)| (ChannelId::new(at as u64 + 1), peers));
            let mut drain = Drain::new(1_000, 1_000 + time, rooms);
            let mut now = 1_000;
            let mut under_way: Vec<(u64, ChannelId)> = Vec::new();
            let mut asked = 0;
            while !drain.is_done() {
                let mut out = Vec::new();
                drain.handle(now, &mut out);
                asked += out.len();
                under_way.extend(out.into_iter().map(|room| (now + took, room)));
                prop_assert!(under_way.len() <= MAX_MOVING || now >= drain.end_of_plan());
                prop_assert!(drain.waiting.is_empty() || now < drain.end_of_plan());
                let ended = under_way.iter().map(|(at, _)| *at).min();
                now = [ended, drain.next_timeout()].into_iter().flatten().filter(|at| *at > now).min().unwrap_or(now + 1);
                under_way.retain(|(at, room)| {
                    if *at <= now { drain.done(*room); }
                    *at > now
                });
            }
            prop_assert_eq!(asked, sizes.len());
            prop_assert!(now <= 1_000 + time + took + 1);
        }
    }
}
