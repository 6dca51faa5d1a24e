//! Who owns a room. A lease has an epoch that only grows: whoever holds an older one is a stranger.
//!
//! [`Leases`] is the control plane's table (a fleet keeps the same rules in its shared store, behind the same four
//! operations). [`Ownership`] is the node's side: it serves a room under an epoch until it hears of a newer one. A node that
//! is cut off goes on serving whom it has, because silencing a call that works is worse than two halves that do not hear
//! each other for a moment; but it can neither renew nor end the room of another.

use crate::Millis;
use crate::node::NodeId;
use guildhall_protocol::ChannelId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How long a lease holds without being renewed. Nodes renew each second; three missed reports lose the node anyway.
pub const LEASE_MS: Millis = 10_000;

/// Counts the owners of one room, over the fleet's whole life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub node: NodeId,
    pub epoch: Epoch,
    pub expires: Millis,
}

/// Somebody else owns the room, or nobody does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease is not this one any more")]
pub struct Stale {
    pub current: Option<Lease>,
}

#[derive(Debug, Default)]
pub struct Leases {
    rooms: HashMap<ChannelId, Lease>,
    /// Epochs are drawn from one counter for all rooms, so that a room that was released does not begin anew at one.
    last_epoch: u64,
}

impl Leases {
    /// The first owner, or the next one after a lease ran out. Whoever holds a lease keeps it.
    pub fn acquire(&mut self, now: Millis, room: ChannelId, node: &NodeId) -> Result<Lease, Stale> {
        match self.rooms.get(&room) {
            Some(lease) if lease.expires > now && lease.node != *node => Err(Stale { current: Some(lease.clone()) }),
            Some(lease) if lease.expires > now => Ok(lease.clone()),
            _ => Ok(self.grant(now, room, node)),
        }
    }

    /// Hands the room from the owner of `epoch` to another: a node was lost, or is emptied. Two who decide at once do not
    /// both succeed.
    pub fn transfer(&mut self, now: Millis, room: ChannelId, epoch: Epoch, to: &NodeId) -> Result<Lease, Stale> {
        match self.rooms.get(&room) {
            Some(lease) if lease.epoch == epoch => Ok(self.grant(now, room, to)),
            current => Err(Stale { current: current.cloned() }),
        }
    }

    /// The owner is alive and has the room still.
    pub fn renew(&mut self, now: Millis, room: ChannelId, node: &NodeId, epoch: Epoch) -> Result<(), Stale> {
        match self.rooms.get_mut(&room) {
            Some(lease) if lease.epoch == epoch && lease.node == *node => {
                lease.expires = lease.expires.max(now + LEASE_MS);
                Ok(())
            }
            current => Err(Stale { current: current.cloned() }),
        }
    }

    /// The room is empty. An owner from before ends nothing.
    pub fn release(&mut self, room: ChannelId, epoch: Epoch) -> Result<(), Stale> {
        match self.rooms.get(&room) {
            Some(lease) if lease.epoch == epoch => {
                self.rooms.remove(&room);
                Ok(())
            }
            current => Err(Stale { current: current.cloned() }),
        }
    }

    pub fn of(&self, room: ChannelId) -> Option<&Lease> {
        self.rooms.get(&room)
    }

    /// The rooms of a node, with their epochs, in no particular order.
    pub fn on<'a>(&'a self, node: &'a NodeId) -> impl Iterator<Item = (ChannelId, Epoch)> + 'a {
        self.rooms.iter().filter(move |(_, lease)| lease.node == *node).map(|(room, lease)| (*room, lease.epoch))
    }

    fn grant(&mut self, now: Millis, room: ChannelId, node: &NodeId) -> Lease {
        self.last_epoch += 1;
        let lease = Lease { node: node.clone(), epoch: Epoch(self.last_epoch), expires: now + LEASE_MS };
        self.rooms.insert(room, lease.clone());
        lease
    }
}

/// The rooms that a node serves, and under which epoch.
#[derive(Debug, Default)]
pub struct Ownership {
    rooms: HashMap<ChannelId, Epoch>,
}

impl Ownership {
    /// The control plane gives the room, or someone shows a token that names an epoch. `false`: a newer owner is known here,
    /// and what is asked for is refused.
    pub fn accept(&mut self, room: ChannelId, epoch: Epoch) -> bool {
        let held = self.rooms.entry(room).or_insert(epoch);
        *held = (*held).max(epoch);
        *held == epoch
    }

    /// The control plane says who owns the room. `true`: not us any more; stop serving it and tell nobody that it ended.
    pub fn supersede(&mut self, room: ChannelId, epoch: Epoch) -> bool {
        match self.rooms.get(&room) {
            Some(held) if *held < epoch => {
                self.rooms.remove(&room);
                true
            }
            _ => false,
        }
    }

    /// The room is empty here: what to release, if it is ours.
    pub fn end(&mut self, room: ChannelId) -> Option<Epoch> {
        self.rooms.remove(&room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: ChannelId = ChannelId::new(7);

    #[test]
    fn a_room_has_one_owner_and_only_its_epoch_can_renew_move_or_end_it() {
        let (mut leases, a, b) = (Leases::default(), NodeId::from("a"), NodeId::from("b"));
        let first = leases.acquire(0, ROOM, &a).unwrap();
        assert_eq!(leases.acquire(5, ROOM, &a), Ok(first.clone()), "asking twice changes nothing");
        assert_eq!(leases.acquire(5, ROOM, &b), Err(Stale { current: Some(first.clone()) }));
        let second = leases.transfer(6, ROOM, first.epoch, &b).unwrap();
        assert!(second.epoch > first.epoch);
        assert!(leases.transfer(6, ROOM, first.epoch, &a).is_err(), "who decided at the same time comes too late");
        assert!(leases.renew(7, ROOM, &a, first.epoch).is_err());
        assert!(leases.release(ROOM, first.epoch).is_err(), "a partitioned owner ends nothing");
        assert_eq!(leases.of(ROOM), Some(&second));
        assert_eq!(leases.on(&b).collect::<Vec<_>>(), [(ROOM, second.epoch)]);
        leases.release(ROOM, second.epoch).unwrap();
        let third = leases.acquire(8, ROOM, &a).unwrap();
        assert!(third.epoch > second.epoch, "an epoch never comes back");
    }

    #[test]
    fn a_lease_that_ran_out_is_free_and_a_renewed_one_is_not() {
        let (mut leases, a, b) = (Leases::default(), NodeId::from("a"), NodeId::from("b"));
        let first = leases.acquire(0, ROOM, &a).unwrap();
        leases.renew(LEASE_MS - 1, ROOM, &a, first.epoch).unwrap();
        assert!(leases.acquire(LEASE_MS, ROOM, &b).is_err());
        let second = leases.acquire(2 * LEASE_MS, ROOM, &b).unwrap();
        assert!(leases.renew(2 * LEASE_MS, ROOM, &a, first.epoch).is_err());
        assert_eq!(second.node, b);
    }

    #[test]
    fn a_node_serves_the_newest_epoch_that_it_heard_of() {
        let mut owned = Ownership::default();
        assert!(owned.accept(ROOM, Epoch(3)));
        assert!(owned.accept(ROOM, Epoch(3)));
        assert!(!owned.accept(ROOM, Epoch(2)), "a token from before the room came back here");
        assert!(owned.accept(ROOM, Epoch(5)));
        assert!(!owned.supersede(ROOM, Epoch(5)));
        assert!(owned.supersede(ROOM, Epoch(6)));
        assert_eq!(owned.end(ROOM), None, "what is another's is not ours to release");
        assert!(owned.accept(ROOM, Epoch(7)));
        assert_eq!(owned.end(ROOM), Some(Epoch(7)));
    }
}
