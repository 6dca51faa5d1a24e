//! The voice nodes of this control plane, and which of them has which room: the machines of [`guildhall_fleet`] put together.
//!
//! Pure: told what nodes say and what time it is, it answers where a room lives and whom that concerns, and fills the nodes'
//! outboxes. The hub's core owns it and knows the people; the hub's shell carries the outboxes to the nodes. There is one path
//! for all nodes, whether they run in this process or elsewhere.

pub mod calls;
pub mod decisions;
pub mod lines;
pub mod moves;
pub mod orders;
pub mod outbox;
mod probes;
mod relief;
pub mod rooms;
pub mod views;

use crate::store::NodeOrder;
use calls::Calls;
use decisions::Record;
use guildhall_fleet::drain::Drain;
use guildhall_fleet::lease::Leases;
use guildhall_fleet::placement::Limits;
use guildhall_fleet::probes::Reports;
use guildhall_fleet::registry::Registry;
use guildhall_fleet::relief::Relief;
use guildhall_fleet::{Millis, NodeId, RegionId};
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::CONTRACT_VERSION;
use lines::Line;
use moves::Leaving;
use rooms::Room;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Instant;

/// Nodes that are understood: ours and the version before.
const VERSIONS: RangeInclusive<u16> = CONTRACT_VERSION.saturating_sub(1)..=CONTRACT_VERSION;

/// A tick that comes so late means that this process was asleep or starved, and silence says nothing about the nodes.
const OWN_STALL_MS: Millis = 1_000;

/// How often a place is looked for again for rooms that have none.
const RETRY_MS: Millis = 1_000;

/// Rooms that are placed anew in one tick, so that the loss of a large node does not hold the core for long. A tick follows
/// in 100 ms.
const PLACED_PER_TICK: usize = 256;

/// What a control plane knows of the fleet by configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tells this control plane from others, and is the same after a restart.
    pub issuer: u64,
    /// Where rooms go of whose people nothing is known.
    pub default_region: Option<RegionId>,
}

#[derive(Debug, Default)]
pub struct Fleet {
    issuer: u64,
    default_region: Option<RegionId>,
    /// The first moment that was seen; times are milliseconds since an hour before it.
    began: Option<Instant>,
    limits: Limits,
    registry: Registry,
    leases: Leases,
    rooms: HashMap<ChannelId, Room>,
    pins: BTreeMap<ChannelId, NodeId>,
    lines: HashMap<NodeId, Line>,
    last_line: u64,
    leaving: BTreeMap<ChannelId, Leaving>,
    drains: BTreeMap<NodeId, Drain>,
    /// What operators said of nodes, also of those that are not there.
    orders: BTreeMap<NodeId, NodeOrder>,
    /// Nodes that said themselves that they leave: when they are back they serve again.
    left_by_themselves: BTreeSet<NodeId>,
    /// Rooms whose node is lost or full, and since when each waits for the next try.
    homeless: BTreeMap<ChannelId, Millis>,
    decisions: VecDeque<Record>,
    pub calls: Calls,
    ticked: Millis,
    /// What probe calls say of the nodes, and whether nobody is heard through any of them.
    probed: Reports,
    is_deaf: bool,
    /// Nodes that fail their calls and are not given up, because too many do.
    spared: Vec<NodeId>,
    /// When rooms of failing nodes were last to leave, and how many of them had their turn in this round.
    fled: Millis,
    fled_rooms: usize,
    /// Since this process began: rooms that went from one node to another, and nodes that were lost.
    moves: u64,
    losses: u64,
    relief: Relief,
    /// Rooms that left a node only because it had too much to do.
    reliefs: u64,
}

impl Fleet {
    pub fn configure(&mut self, config: Config, unix_ms: u64) {
        self.issuer = config.issuer;
        self.default_region = config.default_region;
        self.leases = Leases::starting_at(unix_ms, config.issuer as u8);
    }

    pub fn issuer(&self) -> u64 {
        self.issuer
    }

    /// Milliseconds of the clock that all times here are on.
    pub fn millis(&mut self, now: Instant) -> Millis {
        const HOUR: Millis = 3_600_000;
        let began = *self.began.get_or_insert(now);
        now.saturating_duration_since(began).as_millis() as Millis + HOUR
    }

    pub fn knows(&self, node: &NodeId) -> bool {
        self.registry.node(node).is_some()
    }

    /// Regions with living nodes, in order, with the endpoints of at most `probes` nodes each.
    pub fn regions(&self, probes: usize) -> Vec<(RegionId, Vec<String>)> {
        let mut regions: BTreeMap<RegionId, Vec<String>> = BTreeMap::new();
        for node in self.registry.nodes().filter(|node| !self.registry.is_lost(&node.hello.id)) {
            let endpoints = regions.entry(node.hello.region.clone()).or_default();
            if endpoints.len() < probes {
                endpoints.push(node.hello.endpoint.clone());
            }
        }
        regions.into_iter().collect()
    }

    pub fn default_region(&self) -> Option<&RegionId> {
        self.default_region.as_ref()
    }

    /// Finds who is lost, and which rooms must be placed now: of lost nodes, of nodes that are being emptied, and those that
    /// found no node before.
    pub fn tick(&mut self, now: Millis) -> Vec<ChannelId> {
        if self.ticked > 0 && now.saturating_sub(self.ticked) > OWN_STALL_MS {
            self.registry.forgive(now);
        }
        self.ticked = now;
        self.hear_ourselves(now);
        let mut changes = Vec::new();
        self.registry.handle_timeout(now, &self.limits, &mut changes);
        self.apply(now, changes);
        let over: Vec<ChannelId> =
            self.leaving.iter().filter(|(_, leaving)| leaving.until <= now).map(|(room, _)| *room).collect();
        over.into_iter().for_each(|room| self.finish_move(room));
        let due = self.homeless.iter().filter(|(_, at)| **at <= now).map(|(room, _)| *room);
        let mut rooms: Vec<ChannelId> = due.take(PLACED_PER_TICK).collect();
        rooms.iter().for_each(|room| {
            self.homeless.insert(*room, now + RETRY_MS);
        });
        for drain in self.drains.values_mut() {
            drain.handle(now, &mut rooms);
        }
        if self.fled_rooms > 0 || now >= self.fled + RETRY_MS {
            self.fled = now;
            let failing = self.registry.nodes().filter(|node| now < node.failing_until);
            let there = failing.flat_map(|node| self.leases.on(&node.hello.id)).map(|(room, _)| room);
            let before = rooms.len();
            rooms.extend(there.skip(self.fled_rooms).take(PLACED_PER_TICK));
            let is_full = rooms.len() - before == PLACED_PER_TICK;
            self.fled_rooms = if is_full { self.fled_rooms + PLACED_PER_TICK } else { 0 };
        }
        rooms
    }
}
