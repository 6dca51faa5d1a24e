//! Which worker gets a peer. A room lives whole on one worker while that can carry it: placed with its first peer on the
//! worker with the least load. Load is what the worker measures (the busy share of its last second) plus what is to be expected
//! of the peers it has, because those of a room that just began to fill have cost nothing yet: a core that is wholly busy counts
//! as much as [`PEERS_PER_CORE`] peers. Joins that come together therefore spread, and idle rooms do not keep talking ones away.
//! Among equals the first wins.
//!
//! A room that is larger than its worker's budget has *branches* on others, where whoever comes then sits; nobody is moved. A
//! part of a room is full when it has its share of peers ([`Places::new`]), or fewer ([`CROWDED_FROM`]) on a worker that is
//! [`CROWDED_PERMILLE`] busy. When all are full, another worker gets a branch; otherwise the least loaded part gets who comes,
//! and the home first when it is far from full, so that branches empty. An empty branch is gone.
//!
//! Pure but for the random SSRCs.

use crate::engine::{Life, Part};
use crate::{PeerId, RoomId, SfuError};
use std::collections::{HashMap, HashSet};

/// Peers that one core forwards for when a few of them talk: what a peer is expected to cost.
const PEERS_PER_CORE: u64 = 4_000;

/// From here on a worker is too busy to take more of a room that it could share: what is left is for bursts.
const CROWDED_PERMILLE: u64 = 700;

/// A busy worker is relieved by sharing rooms of this size and more: what each branch costs (a copy per packet, and a core that
/// wakes for it) is little beside as many sends.
const CROWDED_FROM: usize = 128;

/// A branch is opened for a busy worker only where there is this much less to do, or two would push a room to and fro.
const RELIEF_PERMILLE: u64 = 200;

/// A home with less to do than this, and half its share of peers, takes newcomers before its branches do.
const RELAXED_PERMILLE: u64 = 400;

/// What is known of one worker when a room is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLoad {
    pub peers: u64,
    /// Thousandths of its last second.
    pub busy_permille: u64,
}

impl WorkerLoad {
    /// In peers.
    fn expected(self) -> u64 {
        self.peers + self.busy_permille * PEERS_PER_CORE / 1000
    }
}

/// The worker for a new room.
pub fn choose(workers: impl Iterator<Item = WorkerLoad>) -> usize {
    workers.enumerate().min_by_key(|(index, load)| (load.expected(), *index)).map_or(0, |(index, _)| index)
}

#[derive(Default)]
pub struct Places {
    rooms: HashMap<RoomId, Place>,
    peers: HashMap<PeerId, Sitting>,
    /// Native SSRCs in use. They are random: whoever could guess one could ask for IP discovery in its owner's place.
    ssrcs: HashSet<u32>,
    /// Peers per worker.
    load: Vec<u64>,
    /// Peers of one room that one worker takes while others have room.
    share: usize,
    next_peer: u64,
    next_life: u64,
}

struct Place {
    life: Life,
    /// The workers that have a part of it, and how many peers on each; the home first, which stays to the end.
    parts: Vec<(usize, usize)>,
}

struct Sitting {
    room: RoomId,
    ssrc: u32,
    worker: usize,
}

/// What a newcomer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    pub peer: PeerId,
    pub ssrc: u32,
    pub worker: usize,
    pub life: Life,
    pub part: Part,
}

impl Place {
    /// The worker for one more peer, which may be one that has no part of the room yet.
    fn worker(&self, share: usize, loads: &[WorkerLoad]) -> usize {
        let &(home, at_home) = self.parts.first().expect("a room has a home");
        let expected = |worker: &usize| (loads[*worker].expected(), *worker);
        let is_full = |&(worker, peers): &(usize, usize)| {
            peers >= share || (peers >= CROWDED_FROM && loads[worker].busy_permille >= CROWDED_PERMILLE)
        };
        if at_home < share / 2 && loads[home].busy_permille < RELAXED_PERMILLE {
            return home;
        }
        let open = self.parts.iter().filter(|part| !is_full(part)).map(|(worker, _)| *worker).min_by_key(expected);
        if let Some(worker) = open {
            return worker;
        }
        let least = self.parts.iter().map(|(worker, _)| *worker).min_by_key(expected).unwrap_or(home);
        let is_relief = |worker: &usize| {
            let is_crowded = self.parts.iter().all(|(_, peers)| *peers >= share);
            let relief = loads[least].busy_permille.saturating_sub(loads[*worker].busy_permille);
            expected(worker) < expected(&least) && (is_crowded || relief >= RELIEF_PERMILLE)
        };
        let others = (0..loads.len()).filter(|worker| self.parts.iter().all(|(part, _)| part != worker));
        others.min_by_key(expected).filter(is_relief).unwrap_or(least)
    }

    fn peers(&self) -> usize {
        self.parts.iter().map(|(_, peers)| peers).sum()
    }
}

impl Places {
    /// `share`: how many peers of one room sit on one worker before others get a branch.
    pub fn new(workers: usize, share: usize) -> Places {
        Places { load: vec![0; workers], share: share.max(1), ..Places::default() }
    }

    /// Reserves a place. `busy_permille` tells a worker's busy share.
    pub fn reserve(&mut self, room: RoomId, busy_permille: impl Fn(usize) -> u64) -> Result<Seat, SfuError> {
        let ssrc = self.draw_ssrc()?;
        let load = |(worker, &peers): (usize, &u64)| WorkerLoad { peers, busy_permille: busy_permille(worker) };
        let loads: Vec<WorkerLoad> = self.load.iter().enumerate().map(load).collect();
        let next_life = &mut self.next_life;
        let place = self.rooms.entry(room).or_insert_with(|| {
            *next_life += 1;
            Place { life: Life { room, number: *next_life }, parts: vec![(choose(loads.iter().copied()), 0)] }
        });
        let worker = place.worker(self.share, &loads);
        match place.parts.iter_mut().find(|(part, _)| *part == worker) {
            Some((_, peers)) => *peers += 1,
            None => place.parts.push((worker, 1)),
        }
        let home = place.parts[0].0;
        let part = if worker == home { Part::Home } else { Part::Branch { home } };
        let life = place.life;
        self.load[worker] += 1;
        self.next_peer += 1;
        let peer = PeerId(self.next_peer);
        self.peers.insert(peer, Sitting { room, ssrc, worker });
        self.ssrcs.insert(ssrc);
        Ok(Seat { peer, ssrc, worker, life, part })
    }

    fn draw_ssrc(&self) -> Result<u32, SfuError> {
        loop {
            let mut bytes = [0; 4];
            // A system without randomness can serve nobody.
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SfuError::Stopped)?;
            let ssrc = u32::from_ne_bytes(bytes);
            // The largest stands for nobody where speakers are named by their SSRCs.
            if ssrc != 0 && ssrc != u32::MAX && !self.ssrcs.contains(&ssrc) {
                return Ok(ssrc);
            }
        }
    }

    pub fn worker_of(&self, peer: PeerId) -> Option<usize> {
        Some(self.peers.get(&peer)?.worker)
    }

    pub fn ssrc_of(&self, peer: PeerId) -> Option<u32> {
        Some(self.peers.get(&peer)?.ssrc)
    }

    /// Gives the place back; the worker that had it.
    pub fn release(&mut self, peer: PeerId) -> Option<usize> {
        let Sitting { room, ssrc, worker } = self.peers.remove(&peer)?;
        self.ssrcs.remove(&ssrc);
        self.load[worker] -= 1;
        let place = self.rooms.get_mut(&room)?;
        if let Some((_, peers)) = place.parts.iter_mut().find(|(part, _)| *part == worker) {
            *peers -= 1;
        }
        let home = place.parts[0].0;
        place.parts.retain(|&(part, peers)| part == home || peers > 0);
        if place.peers() == 0 {
            self.rooms.remove(&room);
        }
        Some(worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_loaded_worker_gets_the_room() {
        let table: [(&[(u64, u64)], usize); 7] = [
            (&[(0, 0)], 0),
            (&[(0, 0), (0, 0)], 0),
            (&[(1, 0), (0, 0)], 1),
            // Few who talk cost more than many who do not.
            (&[(10, 800), (1000, 100)], 1),
            (&[(10, 800), (3000, 300)], 0),
            (&[(4000, 0), (0, 1000)], 0),
            (&[(500, 500), (499, 500), (500, 499)], 2),
        ];
        for (workers, expected) in table {
            let chosen = choose(workers.iter().map(|&(peers, busy_permille)| WorkerLoad { peers, busy_permille }));
            assert_eq!(chosen, expected, "{workers:?}");
        }
    }

    #[test]
    fn a_room_stays_where_it_is_until_it_is_empty() {
        let mut places = Places::new(2, 1000);
        let first = places.reserve(RoomId(1), |_| 0).expect("randomness");
        let worker = first.worker;
        let busy = |other: usize| if other == worker { 1000 } else { 0 };
        let second = places.reserve(RoomId(1), busy).expect("randomness");
        assert!(second.worker == worker && first.ssrc != second.ssrc && first.peer != second.peer);
        assert_eq!((first.part, second.part, first.life), (Part::Home, Part::Home, second.life));
        let elsewhere = places.reserve(RoomId(2), busy).expect("randomness").worker;
        assert_ne!(elsewhere, worker);
        assert_eq!((places.release(first.peer), places.release(first.peer)), (Some(worker), None));
        assert_eq!((places.worker_of(second.peer), places.release(second.peer)), (Some(worker), Some(worker)));
        let anew = places.reserve(RoomId(1), busy).expect("randomness");
        assert_eq!(anew.worker, elsewhere, "placed anew, by what is true now");
        assert_ne!(anew.life, first.life);
    }

    #[test]
    fn rooms_that_come_together_spread() {
        let mut places = Places::new(4, 1000);
        for room in 0..40 {
            places.reserve(RoomId(room), |_| 250).expect("randomness");
        }
        assert_eq!(places.load, [10; 4]);
    }

    /// Joins `count` times; how many of them sit on each of three workers.
    fn join(places: &mut Places, count: usize, busy: [u64; 3]) -> Vec<Seat> {
        (0..count).map(|_| places.reserve(RoomId(1), |worker| busy[worker]).expect("randomness")).collect()
    }

    fn spread(places: &Places) -> Vec<(usize, usize)> {
        places.rooms[&RoomId(1)].parts.clone()
    }

    #[test]
    fn a_room_larger_than_a_workers_share_has_branches_and_nobody_is_moved() {
        let mut places = Places::new(3, 10);
        let seats = join(&mut places, 25, [0; 3]);
        assert_eq!(spread(&places), [(0, 10), (1, 10), (2, 5)]);
        assert!(seats[..10].iter().all(|seat| seat.part == Part::Home));
        assert!(seats[10..].iter().all(|seat| seat.part == Part::Branch { home: 0 } && seat.life == seats[0].life));
        join(&mut places, 20, [0; 3]);
        assert_eq!(spread(&places), [(0, 15), (1, 15), (2, 15)], "when all are full they fill alike");
    }

    #[test]
    fn an_empty_branch_is_gone_and_an_empty_home_is_not() {
        let mut places = Places::new(3, 10);
        let seats = join(&mut places, 15, [0; 3]);
        for seat in &seats[..10] {
            assert_eq!(places.release(seat.peer), Some(0));
        }
        assert_eq!(spread(&places), [(0, 0), (1, 5)], "it chooses the speakers of its branch");
        let next = join(&mut places, 1, [0; 3])[0];
        assert_eq!((next.worker, next.part), (0, Part::Home), "and takes newcomers first");
        for seat in &seats[10..] {
            places.release(seat.peer);
        }
        assert_eq!(spread(&places), [(0, 1)]);
        places.release(next.peer);
        assert!(places.rooms.is_empty());
        assert_eq!(places.load, [0; 3]);
    }

    #[test]
    fn a_busy_worker_shares_a_room_that_is_worth_it_with_one_that_is_less_busy() {
        let mut places = Places::new(3, 1000);
        join(&mut places, CROWDED_FROM - 1, [0; 3]);
        let one = |places: &mut Places, busy| join(places, 1, busy)[0].worker;
        assert_eq!(one(&mut places, [900, 0, 0]), 0, "a small room stays whole");
        assert_eq!(one(&mut places, [699, 0, 0]), 0, "and so does one that its worker can carry");
        assert_eq!(one(&mut places, [900, 750, 800]), 0, "nobody has much less to do");
        assert_eq!(one(&mut places, [900, 600, 650]), 1);
        // From now on it has two parts, and the one with less to do grows.
        assert_eq!(one(&mut places, [650, 600, 0]), 1);
        assert_eq!(one(&mut places, [500, 690, 0]), 0);
        assert_eq!(one(&mut places, [399, 100, 0]), 0, "branches empty when the home can carry all");
    }
}
