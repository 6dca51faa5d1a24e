//! Who owns a room. A lease has an epoch that only grows: whoever holds an older one is a stranger.
//!
//! [`Leases`] is a control plane's table. [`Ownership`] is the node's side: it serves a room under an epoch until it hears of a
//! newer one.
//!
//! **A lease ends by a newer epoch, never by silence alone.** A node that hears from no control plane cannot know whether it
//! is the node that is cut off, or whether they are all away; in the second case its calls are the only ones that there are,
//! and voice goes on when the control plane is away. So a node renews nothing by itself and gives nothing up by itself. What
//! a stale owner could spoil is taken from it elsewhere:
//!
//! - its clients are called away: a control plane that believes the node lost gives the room to another under a new epoch, and
//!   tells each member where (the gateway reaches them by another way than the node's);
//! - who cannot be reached, and is with it on its side of the cut, goes on hearing the others there: better than silence;
//! - nobody new comes: tokens name the node and the epoch, and live for a minute;
//! - it can neither renew, move nor end the room: its reports carry the older epoch, and are not believed;
//! - with the first contact it says what it serves under which epochs, and is told which of them are over.
//!
//! On the control plane's side a lease is renewed by the owner's being heard, and holds for [`LEASE_MS`] without.
//!
//! **Several control planes** each have a table of their own and no table in common, so that voice needs no store to be there.
//! The nodes carry the news: a node tells every control plane which rooms it serves under which epochs, and the newest epoch
//! wins everywhere ([`Leases::adopt`]). Two control planes that give one room to two nodes in the same moment both hear of
//! both, and agree within a round trip; epochs of different control planes are never equal.

use crate::Millis;
use crate::node::NodeId;
use guildhall_protocol::ChannelId;
pub use guildhall_protocol::fleet::Epoch;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How long a lease holds without its owner's being heard; a node that is silent for much less is lost, and its leases are
/// transferred.
pub const LEASE_MS: Millis = 10_000;

/// How many of an epoch's lowest bits tell who granted it: more control planes than anyone has. The rest counts.
const SALT_BITS: u32 = 8;

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
    /// The lowest bits of every epoch that is granted here.
    salt: u8,
}

impl Leases {
    /// A table whose epochs are newer than all that were granted before `unix_ms`, by whomever, unless clocks differ by more
    /// than people notice; what nodes hold is adopted anyway. `salt` tells the epochs of different control planes apart.
    pub fn starting_at(unix_ms: u64, salt: u8) -> Self {
        Self { last_epoch: unix_ms << SALT_BITS, salt, ..Self::default() }
    }

    /// A node says that it serves the room under this epoch. Believed if nothing newer is known here: then it has the lease.
    pub fn adopt(&mut self, now: Millis, room: ChannelId, node: &NodeId, epoch: Epoch) -> Result<(), Stale> {
        match self.rooms.get_mut(&room) {
            Some(lease) if lease.epoch == epoch && lease.node == *node => lease.expires = lease.expires.max(now + LEASE_MS),
            Some(lease) if lease.epoch >= epoch => return Err(Stale { current: Some(lease.clone()) }),
            _ => {
                self.last_epoch = self.last_epoch.max(epoch.0);
                self.rooms.insert(room, Lease { node: node.clone(), epoch, expires: now + LEASE_MS });
            }
        }
        Ok(())
    }

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

    pub fn iter(&self) -> impl Iterator<Item = (ChannelId, &Lease)> {
        self.rooms.iter().map(|(room, lease)| (*room, lease))
    }

    /// The rooms of a node, with their epochs, in no particular order.
    pub fn on<'a>(&'a self, node: &'a NodeId) -> impl Iterator<Item = (ChannelId, Epoch)> + 'a {
        self.rooms.iter().filter(move |(_, lease)| lease.node == *node).map(|(room, lease)| (*room, lease.epoch))
    }

    fn grant(&mut self, now: Millis, room: ChannelId, node: &NodeId) -> Lease {
        self.last_epoch = (((self.last_epoch >> SALT_BITS) + 1) << SALT_BITS) | u64::from(self.salt);
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

    /// Under which epoch the room is served here.
    pub fn epoch(&self, room: ChannelId) -> Option<Epoch> {
        self.rooms.get(&room).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (ChannelId, Epoch)> {
        self.rooms.iter().map(|(room, epoch)| (*room, *epoch))
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
    fn what_two_control_planes_grant_at_once_is_settled_by_the_nodes_news() {
        let (a, b) = (NodeId::from("a"), NodeId::from("b"));
        let (mut here, mut there) = (Leases::starting_at(1_000, 1), Leases::starting_at(1_000, 2));
        let ours = here.acquire(0, ROOM, &a).unwrap();
        let theirs = there.acquire(0, ROOM, &b).unwrap();
        assert!(theirs.epoch > ours.epoch, "never equal");
        // Each node tells both what it serves.
        assert_eq!(here.adopt(1, ROOM, &b, theirs.epoch), Ok(()));
        assert_eq!(there.adopt(1, ROOM, &a, ours.epoch), Err(Stale { current: Some(theirs.clone()) }));
        let owner = |leases: &Leases| leases.of(ROOM).map(|lease| (lease.node.clone(), lease.epoch));
        assert_eq!((owner(&here), owner(&there)), (Some((b.clone(), theirs.epoch)), Some((b.clone(), theirs.epoch))));
        let next = here.transfer(2, ROOM, theirs.epoch, &a).unwrap();
        assert!(next.epoch > theirs.epoch);
        assert!(here.adopt(3, ROOM, &b, theirs.epoch).is_err(), "what is over does not come back");
        assert!(here.adopt(3, ROOM, &a, next.epoch).is_ok(), "and what is known is only renewed");
    }

    #[test]
    fn a_control_plane_that_starts_anew_grants_newer_epochs_than_the_one_before() {
        let a = NodeId::from("a");
        let before = Leases::starting_at(1_800_000_000_000, 7).acquire(0, ROOM, &a).unwrap();
        let mut anew = Leases::starting_at(1_800_000_000_001, 7);
        assert!(anew.acquire(0, ROOM, &a).unwrap().epoch > before.epoch);
        // Its clock was set back, and a node still holds a room from before.
        let mut anew = Leases::starting_at(1_700_000_000_000, 7);
        anew.adopt(0, ROOM, &a, before.epoch).unwrap();
        assert!(anew.transfer(0, ROOM, before.epoch, &"b".into()).unwrap().epoch > before.epoch);
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
