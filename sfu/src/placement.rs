//! Which worker has which room and peer, as the handle knows it, and which worker gets a new room.
//!
//! **The policy.** A room lives whole on one worker for as long as anyone is in it, so it is placed once, with its first
//! peer: on the worker with the least load. Load is what the worker measures (the busy share of its last second) plus what is
//! to be expected of the peers it has, because those of a room that just began to fill have cost nothing yet: a core that is
//! wholly busy counts as much as [`PEERS_PER_CORE`] peers. Joins that come together therefore spread, and idle rooms do not
//! keep talking ones away. Among equals the first wins.
//!
//! Pure but for the random SSRCs.

use crate::{PeerId, RoomId, SfuError};
use std::collections::{HashMap, HashSet};

/// Peers that one core forwards for when a few of them talk: what a peer is expected to cost.
const PEERS_PER_CORE: u64 = 4_000;

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
    peers: HashMap<PeerId, (RoomId, u32)>,
    /// Native SSRCs in use. They are random: whoever could guess one could ask for IP discovery in its owner's place.
    ssrcs: HashSet<u32>,
    /// Peers per worker.
    load: Vec<u64>,
    next_peer: u64,
}

struct Place {
    worker: usize,
    peers: usize,
}

impl Places {
    pub fn new(workers: usize) -> Places {
        Places { load: vec![0; workers], ..Places::default() }
    }

    /// Reserves a place: the room's worker, or for a new room the one with the least load. `busy_permille` tells a worker's
    /// busy share.
    pub fn reserve(&mut self, room: RoomId, busy_permille: impl Fn(usize) -> u64) -> Result<(PeerId, u32, usize), SfuError> {
        let ssrc = self.draw_ssrc()?;
        let load = &self.load;
        let place = self.rooms.entry(room).or_insert_with(|| {
            let known = |(worker, &peers)| WorkerLoad { peers, busy_permille: busy_permille(worker) };
            Place { worker: choose(load.iter().enumerate().map(known)), peers: 0 }
        });
        place.peers += 1;
        self.load[place.worker] += 1;
        self.next_peer += 1;
        let peer = PeerId(self.next_peer);
        self.peers.insert(peer, (room, ssrc));
        self.ssrcs.insert(ssrc);
        Ok((peer, ssrc, place.worker))
    }

    fn draw_ssrc(&self) -> Result<u32, SfuError> {
        loop {
            let mut bytes = [0; 4];
            // A system without randomness can serve nobody.
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SfuError::Stopped)?;
            let ssrc = u32::from_ne_bytes(bytes);
            if ssrc != 0 && !self.ssrcs.contains(&ssrc) {
                return Ok(ssrc);
            }
        }
    }

    pub fn worker_of(&self, peer: PeerId) -> Option<usize> {
        Some(self.rooms.get(&self.peers.get(&peer)?.0)?.worker)
    }

    /// Gives the place back; the worker that had it.
    pub fn release(&mut self, peer: PeerId) -> Option<usize> {
        let (room, ssrc) = self.peers.remove(&peer)?;
        self.ssrcs.remove(&ssrc);
        let place = self.rooms.get_mut(&room)?;
        place.peers -= 1;
        let worker = place.worker;
        self.load[worker] -= 1;
        if place.peers == 0 {
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
        let mut places = Places::new(2);
        let (first, ssrc, worker) = places.reserve(RoomId(1), |_| 0).expect("randomness");
        let busy = |other: usize| if other == worker { 1000 } else { 0 };
        let (second, other_ssrc, same) = places.reserve(RoomId(1), busy).expect("randomness");
        assert!(worker == same && ssrc != other_ssrc && first != second);
        let (_, _, elsewhere) = places.reserve(RoomId(2), busy).expect("randomness");
        assert_ne!(elsewhere, worker);
        assert_eq!((places.release(first), places.release(first)), (Some(worker), None));
        assert_eq!((places.worker_of(second), places.release(second)), (Some(worker), Some(worker)));
        let (_, _, anew) = places.reserve(RoomId(1), busy).expect("randomness");
        assert_eq!(anew, elsewhere, "placed anew, by what is true now");
    }

    #[test]
    fn rooms_that_come_together_spread() {
        let mut places = Places::new(4);
        for room in 0..40 {
            places.reserve(RoomId(room), |_| 250).expect("randomness");
        }
        assert_eq!(places.load, [10; 4]);
    }
}
