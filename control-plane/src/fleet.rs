//! The voice nodes of this control plane, and which of them has which room: the machines of [`guildhall_fleet`] put together.
//!
//! Pure: told what nodes say and what time it is, it answers where a room lives and whom that concerns, and fills the nodes'
//! outboxes. The hub's core owns it and knows the people; the hub's shell carries the outboxes to the nodes. There is one path
//! for all nodes, whether they run in this process or elsewhere.

pub mod calls;
pub mod outbox;
pub mod views;

use crate::store::NodeOrder;
use calls::Calls;
use guildhall_fleet::drain::Drain;
use guildhall_fleet::lease::Leases;
use guildhall_fleet::node::State;
use guildhall_fleet::placement::{Because, Current, Decision, Limits, Outcome, Query, relieve};
use guildhall_fleet::probes::{HOLD_MS, Reports, Verdict};
use guildhall_fleet::registry::{Change, Registry, RegistryError};
use guildhall_fleet::relief::Relief;
use guildhall_fleet::{Millis, NodeId, Reach, RegionId, place};
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::{CONTRACT_VERSION, Epoch, Hello, Load, ToNode};
use outbox::Outbox;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;

/// Nodes that are understood: ours and the version before.
const VERSIONS: RangeInclusive<u16> = CONTRACT_VERSION.saturating_sub(1)..=CONTRACT_VERSION;

/// How long a node whose line broke may take to dial again before its rooms are moved. A node whose connection failed dials
/// at once; one whose process died does not.
const REDIAL_MS: Millis = 500;

/// A tick that comes so late means that this process was asleep or starved, and silence says nothing about the nodes.
const OWN_STALL_MS: Millis = 1_000;

/// How long a room that moves may have people on both nodes. Clients connect within a second or two; who has not come by
/// then is cut off from the old node, and asks the gateway again.
const MOVE_MS: Millis = 10_000;

/// How long everyone stays on the old node when all are admitted at the new one: they negotiate and find their paths there
/// after that, and publish their video. A browser on a slow telephone needs about as long.
pub const SETTLE_MS: Millis = 2_000;

/// How often a place is looked for again for rooms that have none.
const RETRY_MS: Millis = 1_000;

/// Rooms that are placed anew in one tick, so that the loss of a large node does not hold the core for long. A tick follows
/// in 100 ms.
const PLACED_PER_TICK: usize = 256;

/// Decisions that are kept for operators: of every room its last ones, and of all rooms the last that changed something.
const DECISIONS_OF_A_ROOM: usize = 8;
const DECISIONS: usize = 512;

/// Rooms that operators pinned to a node.
pub const MAX_PINS: usize = 10_000;

/// What a control plane knows of the fleet by configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tells this control plane from others, and is the same after a restart.
    pub issuer: u64,
    /// Where rooms go of whose people nothing is known.
    pub default_region: Option<RegionId>,
}

/// Where a room is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    pub node: NodeId,
    pub epoch: Epoch,
    /// As in [`Hello::endpoint`].
    pub endpoint: String,
}

/// The answer to [`Fleet::settle`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// `None`: nobody has room for it. It waits, and everyone in it is called when that changes.
    pub spot: Option<Spot>,
    /// It was elsewhere before: everyone in it must be told.
    pub has_moved: bool,
    /// It had no node before: whoever waits in it must be told.
    pub is_awaited: bool,
}

/// A decision, and when it was made by the clock that people use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub unix_ms: u64,
    #[serde(flatten)]
    pub decision: Decision,
}

/// One node's connection. A node that dials again has another number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineId {
    pub node: NodeId,
    number: u64,
}

#[derive(Debug)]
struct Line {
    number: u64,
    outbox: Outbox,
    /// Rings when there is something in the outbox, or when the line is over.
    bell: Arc<Notify>,
}

/// What the carrier of a line does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Errand {
    Carry(ToNode),
    Wait,
    HangUp,
}

/// A room as the fleet knows it, beside its lease.
#[derive(Debug, Default)]
struct Room {
    since: Millis,
    decisions: VecDeque<Record>,
    /// People were told that there is no node for them.
    is_waiting: bool,
    /// Its node started anew: nobody in it is connected any more.
    is_cut: bool,
}

/// A room that is on its way from one node to another.
#[derive(Clone, Debug)]
struct Leaving {
    from: NodeId,
    until: Millis,
    /// Since when everyone whom we know of is connected to the new node.
    arrived: Option<Millis>,
    /// They were taken off the old one.
    is_left: bool,
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

    // --- what nodes say ---

    /// A node is on the line, with what it serves. `true`: its process is a new one, or this one is, so what was known of its
    /// people before is nothing.
    pub fn hello(
        &mut self,
        now: Millis,
        hello: Hello,
        rooms: &[(ChannelId, Epoch)],
        bell: Arc<Notify>,
    ) -> Result<(LineId, bool), RegistryError> {
        let node = hello.id.clone();
        let mut changes = Vec::new();
        self.registry.hello(now, &self.limits, hello, &mut changes)?;
        let is_new = changes.contains(&Change::Arrived(node.clone()));
        self.apply(now, changes);
        self.hang_up(&node);
        self.last_line += 1;
        let number = self.last_line;
        self.lines.insert(node.clone(), Line { number, outbox: Outbox::default(), bell });
        if is_new && self.left_by_themselves.remove(&node) {
            self.drains.remove(&node);
            // The node is known: it just said hello.
            let _ = self.registry.set_state(&node, State::Serving);
        }
        for (room, epoch) in rooms {
            self.opened(now, &node, *room, *epoch);
        }
        let held: HashSet<ChannelId> = rooms.iter().map(|(room, _)| *room).collect();
        let missing: Vec<_> = self.leases.on(&node).filter(|(room, _)| !held.contains(room)).collect();
        for (room, epoch) in missing {
            if is_new {
                // Its process of before had them, and they went with it.
                let _ = self.leases.release(room, epoch);
                self.rooms.entry(room).or_default().is_cut = true;
                self.homeless.insert(room, now);
            } else {
                // What it was given while it could not hear.
                self.tell(&node, ToNode::Open { room, epoch });
            }
        }
        Ok((LineId { node, number }, is_new))
    }

    /// Whether the line is the one that the node speaks by.
    pub fn is_current(&self, line: &LineId) -> bool {
        self.lines.get(&line.node).is_some_and(|current| current.number == line.number)
    }

    pub fn alive(&mut self, now: Millis, node: &NodeId) {
        let mut changes = Vec::new();
        if self.registry.alive(now, node, &mut changes).is_ok() {
            self.apply(now, changes);
        }
    }

    pub fn load(&mut self, now: Millis, node: &NodeId, load: Load) {
        let mut changes = Vec::new();
        if self.registry.report(now, node, load, &mut changes).is_ok() {
            self.apply(now, changes);
        }
    }

    /// The node serves the room under this epoch, whoever gave it. `true`: the room was believed to be elsewhere, and everyone
    /// in it must be told.
    pub fn opened(&mut self, now: Millis, node: &NodeId, room: ChannelId, epoch: Epoch) -> bool {
        let before = self.leases.of(room).cloned();
        match self.leases.adopt(now, room, node, epoch) {
            Ok(()) => {
                if self.rooms.get(&room).is_some_and(|known| known.is_waiting) {
                    self.homeless.insert(room, now);
                } else {
                    self.homeless.remove(&room);
                }
                let is_news = before.as_ref().is_none_or(|before| before.node != *node);
                if is_news {
                    self.rooms.entry(room).or_default().since = now;
                }
                match before.filter(|before| before.node != *node) {
                    Some(before) => {
                        self.begin_move(now, room, before.node);
                        true
                    }
                    None => false,
                }
            }
            Err(stale) => {
                if let Some(current) = stale.current {
                    self.tell(node, ToNode::Close { room, epoch: current.epoch });
                }
                false
            }
        }
    }

    /// The room is empty at the node. `is_wanted`: people are in it by what is known here, on their way perhaps.
    pub fn ended(&mut self, node: &NodeId, room: ChannelId, epoch: Epoch, is_wanted: bool) {
        if self.leases.of(room).is_none_or(|lease| lease.epoch != epoch || lease.node != *node) {
            return;
        }
        if is_wanted {
            self.tell(node, ToNode::Open { room, epoch });
        } else {
            self.release(room);
        }
    }

    /// The node will stop within this time.
    pub fn leaving(&mut self, now: Millis, node: &NodeId, within_ms: Millis, sizes: impl Fn(ChannelId) -> u32) {
        // Most of the time is for moving, the rest is the node's to stop in.
        if self.drain(now, node, now.saturating_add(within_ms * 3 / 4), sizes).is_ok() {
            self.left_by_themselves.insert(node.clone());
        }
    }

    pub fn goodbye(&mut self, now: Millis, node: &NodeId) {
        let mut changes = Vec::new();
        self.registry.goodbye(node, &mut changes);
        self.apply(now, changes);
    }

    /// A node in this process needs no heartbeats: while its line stands it is there, however busy the process is.
    fn hear_ourselves(&mut self, now: Millis) {
        let is_here = |node: &&guildhall_fleet::Node| node.hello.endpoint.is_empty() && self.lines.contains_key(&node.hello.id);
        let here: Vec<NodeId> = self.registry.nodes().filter(is_here).map(|node| node.hello.id.clone()).collect();
        here.iter().for_each(|node| self.alive(now, node));
    }

    /// The line is over. The node may dial again at once.
    pub fn line_ended(&mut self, now: Millis, line: &LineId) {
        if self.is_current(line) {
            self.hang_up(&line.node);
            self.registry.cut(now, &self.limits, &line.node, REDIAL_MS);
        }
    }

    /// Ends the line: whoever carries its messages is told by the bell.
    fn hang_up(&mut self, node: &NodeId) {
        if let Some(line) = self.lines.remove(node) {
            line.bell.notify_one();
        }
    }

    fn apply(&mut self, now: Millis, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Lost(node) => {
                    tracing::warn!(%node, "a voice node is lost; its rooms are placed anew");
                    // A node that is heard again says hello, and hears then what is not its own any more.
                    self.hang_up(&node);
                    self.losses += 1;
                    self.drains.remove(&node);
                    let rooms: Vec<ChannelId> = self.leases.on(&node).map(|(room, _)| room).collect();
                    self.homeless.extend(rooms.into_iter().map(|room| (room, now)));
                }
                Change::Arrived(node) => tracing::info!(%node, "a voice node has arrived"),
                Change::Returned(node) => tracing::info!(%node, "a voice node is back"),
            }
        }
    }

    // --- messages to nodes ---

    /// For a node that is on the line; who is not hears everything with its next hello.
    pub fn tell(&mut self, node: &NodeId, message: ToNode) {
        if let Some(line) = self.lines.get_mut(node) {
            line.outbox.push(message);
            line.bell.notify_one();
        }
    }

    /// To the node that has the room, and to the one that it is leaving.
    pub fn tell_room(&mut self, room: ChannelId, message: ToNode) {
        if let Some(leaving) = self.leaving.get(&room) {
            let from = leaving.from.clone();
            self.tell(&from, message.clone());
        }
        if let Some(lease) = self.leases.of(room) {
            let node = lease.node.clone();
            self.tell(&node, message);
        }
    }

    /// What the line's carrier does next.
    pub fn errand(&mut self, line: &LineId) -> Errand {
        match self.lines.get_mut(&line.node).filter(|current| current.number == line.number) {
            Some(current) => current.outbox.pop().map_or(Errand::Wait, Errand::Carry),
            None => Errand::HangUp,
        }
    }

    // --- rooms ---

    /// The room's lease, if it has one.
    pub fn lease(&self, room: ChannelId) -> Option<(&NodeId, Epoch)> {
        self.leases.of(room).map(|lease| (&lease.node, lease.epoch))
    }

    /// Whether the room's node runs in this process, or it has none: then it ends with this process.
    pub fn is_local(&self, room: ChannelId) -> bool {
        let node = self.leases.of(room).and_then(|lease| self.registry.node(&lease.node));
        node.is_none_or(|node| node.hello.endpoint.is_empty())
    }

    /// The node that a room is leaving.
    pub fn origin(&self, room: ChannelId) -> Option<&NodeId> {
        self.leaving.get(&room).map(|leaving| &leaving.from)
    }

    /// Whether nobody can be connected to the room: it has no node, or a lost one.
    pub fn is_without_node(&self, room: ChannelId) -> bool {
        self.leases.of(room).is_none_or(|lease| self.registry.is_lost(&lease.node))
    }

    /// Whether the room's people have been told already that they must wait; from now on they have.
    pub fn is_told_to_wait(&mut self, room: ChannelId) -> bool {
        std::mem::replace(&mut self.rooms.entry(room).or_default().is_waiting, true)
    }

    /// Somebody is sent to the node.
    pub fn expect_join(&mut self, now: Millis, node: &NodeId) {
        self.registry.expect_join(now, node);
    }

    /// Where the room is, or is to be from now on.
    pub fn settle(
        &mut self,
        now: Millis,
        unix_ms: u64,
        room: ChannelId,
        members: &[Reach],
        wish: Option<&RegionId>,
        draw: u64,
    ) -> Settled {
        let pin = self.pins.get(&room).cloned();
        self.decide(now, unix_ms, room, members, wish, draw, pin.as_ref())
    }

    /// An operator wants the room on this node, if it can take it.
    #[allow(clippy::too_many_arguments)] // the facts of a decision, each of them plain
    pub fn decide(
        &mut self,
        now: Millis,
        unix_ms: u64,
        room: ChannelId,
        members: &[Reach],
        wish: Option<&RegionId>,
        draw: u64,
        asked: Option<&NodeId>,
    ) -> Settled {
        self.hear_ourselves(now);
        let lease = self.leases.of(room).cloned();
        let since = self.rooms.get(&room).map_or(now, |known| known.since);
        let current = lease.as_ref().map(|lease| Current { node: lease.node.clone(), since });
        let query = Query {
            room,
            members,
            wish,
            current: current.as_ref(),
            default_region: self.default_region.as_ref(),
            versions: VERSIONS,
            draw,
        };
        // A node that was asked for and cannot take the room is no reason to have none.
        let asked = asked.and_then(|asked| self.registry.node(asked)).map(|node| {
            let mut decision = place(now, &self.limits, [node], &query);
            decision.because = Because::Asked;
            decision
        });
        let decision = asked
            .filter(|decision| decision.outcome != Outcome::Refuse)
            .unwrap_or_else(|| place(now, &self.limits, self.registry.nodes(), &query));
        self.carry_out(now, unix_ms, decision)
    }

    /// Does with the room what was decided.
    fn carry_out(&mut self, now: Millis, unix_ms: u64, decision: Decision) -> Settled {
        let (room, outcome) = (decision.room, decision.outcome.clone());
        let lease = self.leases.of(room).cloned();
        let before = lease.as_ref().map(|lease| lease.node.clone());
        self.keep(unix_ms, decision);
        let (lease, has_moved) = match (outcome, lease) {
            (Outcome::Keep { .. }, Some(lease)) => {
                // It is this control plane's own table, and the lease was just read from it.
                let _ = self.leases.renew(now, room, &lease.node, lease.epoch);
                (Some(lease), false)
            }
            (Outcome::Place { node }, _) => (self.leases.acquire(now, room, &node).ok(), false),
            (Outcome::Move { to, .. }, Some(old)) => {
                let lease = self.leases.transfer(now, room, old.epoch, &to).ok();
                self.begin_move(now, room, old.node);
                (lease, true)
            }
            _ => (None, false),
        };
        let known = self.rooms.entry(room).or_default();
        let Some(lease) = lease else {
            self.homeless.entry(room).or_insert(now + RETRY_MS);
            return Settled { spot: None, has_moved: false, is_awaited: false };
        };
        let (is_awaited, is_cut) = (std::mem::take(&mut known.is_waiting), std::mem::take(&mut known.is_cut));
        if before.is_none_or(|before| before != lease.node) {
            known.since = now;
            self.tell(&lease.node, ToNode::Open { room, epoch: lease.epoch });
        }
        self.homeless.remove(&room);
        let endpoint = self.registry.node(&lease.node).map(|node| node.hello.endpoint.clone()).unwrap_or_default();
        let spot = Spot { node: lease.node, epoch: lease.epoch, endpoint };
        Settled { spot: Some(spot), has_moved: has_moved || is_cut, is_awaited }
    }

    /// The room is over.
    pub fn release(&mut self, room: ChannelId) {
        self.finish_move(room);
        if let Some(epoch) = self.leases.of(room).map(|lease| lease.epoch) {
            // Just read from the same table.
            let _ = self.leases.release(room, epoch);
        }
        self.rooms.remove(&room);
        self.homeless.remove(&room);
        self.drains.values_mut().for_each(|drain| drain.done(room));
    }

    fn keep(&mut self, unix_ms: u64, decision: Decision) {
        let record = Record { unix_ms, decision };
        if !matches!(record.decision.outcome, Outcome::Keep { .. }) {
            if self.decisions.len() == DECISIONS {
                self.decisions.pop_front();
            }
            self.decisions.push_back(record.clone());
        }
        let of_room = &mut self.rooms.entry(record.decision.room).or_default().decisions;
        // A room that stays is asked about with every join: the last of those is enough.
        let is_again = |last: &Record| last.decision.outcome == record.decision.outcome;
        if of_room.back().is_some_and(is_again) {
            of_room.pop_back();
        }
        if of_room.len() == DECISIONS_OF_A_ROOM {
            of_room.pop_front();
        }
        of_room.push_back(record);
    }

    // --- operators ---

    /// Takes over what operators said, here or at other control planes; what of it is new.
    pub fn take_orders(&mut self, orders: BTreeMap<NodeId, NodeOrder>) -> Vec<(NodeId, Option<NodeOrder>)> {
        let before = std::mem::replace(&mut self.orders, orders);
        let gone = before.keys().filter(|node| !self.orders.contains_key(*node)).map(|node| (node.clone(), None));
        let new = self.orders.iter().filter(|(node, order)| before.get(*node) != Some(order));
        gone.chain(new.map(|(node, order)| (node.clone(), Some(*order)))).collect()
    }

    pub fn note_order(&mut self, node: &NodeId, order: Option<NodeOrder>) {
        match order {
            Some(order) => self.orders.insert(node.clone(), order),
            None => self.orders.remove(node),
        };
    }

    pub fn order(&self, node: &NodeId) -> Option<NodeOrder> {
        self.orders.get(node).copied()
    }

    /// Empties the node until then.
    pub fn drain(
        &mut self,
        now: Millis,
        node: &NodeId,
        deadline: Millis,
        sizes: impl Fn(ChannelId) -> u32,
    ) -> Result<(), RegistryError> {
        self.registry.set_state(node, State::Draining { deadline })?;
        let rooms: Vec<(ChannelId, u32)> = self.leases.on(node).map(|(room, _)| (room, sizes(room))).collect();
        self.drains.insert(node.clone(), Drain::new(now, deadline, rooms));
        Ok(())
    }

    /// The node serves again, or (`is_cordoned`) takes no new rooms. What has moved away does not come back by itself.
    pub fn undrain(&mut self, node: &NodeId, is_cordoned: bool) -> Result<(), RegistryError> {
        self.registry.set_state(node, if is_cordoned { State::Cordoned } else { State::Serving })?;
        self.drains.remove(node);
        self.left_by_themselves.remove(node);
        Ok(())
    }

    /// Keeps the room on the node whenever the node can take it; `None`: wherever placement puts it.
    pub fn pin(&mut self, room: ChannelId, node: Option<NodeId>) {
        match node {
            Some(node) => self.pins.insert(room, node),
            None => self.pins.remove(&room),
        };
    }

    /// Whether another room may be pinned, or this one elsewhere.
    pub fn can_pin(&self, room: ChannelId) -> bool {
        self.pins.len() < MAX_PINS || self.pins.contains_key(&room)
    }

    /// All pins there are.
    pub fn set_pins(&mut self, pins: BTreeMap<ChannelId, NodeId>) {
        self.pins = pins;
    }

    pub fn knows(&self, node: &NodeId) -> bool {
        self.registry.node(node).is_some()
    }

    // --- overload ---

    /// The node that a room should leave now because it has too much to do. `planes` control planes ask this.
    pub fn to_relieve(&mut self, now: Millis, planes: u32) -> Option<NodeId> {
        self.hear_ourselves(now);
        let alive = self.registry.nodes().filter(|node| !self.registry.is_lost(&node.hello.id));
        let node = self.relief.next(now, alive, planes)?;
        // While rooms of it are on their way it is not known what it will have to do.
        let is_settled = !self.leaving.values().any(|leaving| leaving.from == node && !leaving.is_left);
        is_settled.then_some(node)
    }

    /// Whether a room may leave its node only because that has too much to do.
    pub fn may_be_relieved(&self, now: Millis, room: ChannelId) -> bool {
        !self.pins.contains_key(&room) && !self.leaving.contains_key(&room) && self.relief.is_rested(now, room)
    }

    /// Moves the room to a node with headroom, if there is one. `true`: everyone in it must be told.
    pub fn relieve(
        &mut self,
        now: Millis,
        unix_ms: u64,
        room: ChannelId,
        members: &[Reach],
        wish: Option<&RegionId>,
        draw: u64,
    ) -> bool {
        let Some(node) = self.leases.of(room).and_then(|lease| self.registry.node(&lease.node)) else { return false };
        let cost = members.len() as f32 * node.peer_cost();
        let since = self.rooms.get(&room).map_or(now, |known| known.since);
        let current = Current { node: node.hello.id.clone(), since };
        let query = Query {
            room,
            members,
            wish,
            current: Some(&current),
            default_region: self.default_region.as_ref(),
            versions: VERSIONS,
            draw,
        };
        let Some(decision) = relieve(now, &self.limits, self.registry.nodes(), &query, members.len() as u32) else {
            return false;
        };
        self.relief.moved(now, room, &current.node, cost);
        self.reliefs += 1;
        self.carry_out(now, unix_ms, decision).has_moved
    }

    // --- probe calls ---

    /// Nodes of other processes that are alive and not being emptied, with their endpoints.
    pub fn nodes_to_probe(&self) -> BTreeMap<NodeId, String> {
        let serves = |node: &&guildhall_fleet::Node| {
            let is_leaving = matches!(node.state, State::Draining { .. });
            !node.hello.endpoint.is_empty() && !is_leaving && !self.registry.is_lost(&node.hello.id)
        };
        self.registry.nodes().filter(serves).map(|node| (node.hello.id.clone(), node.hello.endpoint.clone())).collect()
    }

    /// Nodes fail, or do not any more. What is said of a node holds until it is said anew, or its time is over.
    pub fn heed_probes(&mut self, now: Millis, unix_ms: u64, reports: &Reports, verdict: &Verdict) {
        let known: Vec<(NodeId, Millis)> =
            self.registry.nodes().map(|node| (node.hello.id.clone(), node.failing_until)).collect();
        for (node, until) in known {
            let left = verdict.failing.get(&node).map_or(0, |until| until.saturating_sub(unix_ms).min(HOLD_MS));
            match (now < until, left > 0) {
                (false, true) => {
                    let trouble = reports.get(&node).map_or("", |report| &report.trouble);
                    tracing::error!(%node, trouble, "a voice node fails its probe calls; its rooms go elsewhere");
                    self.fled = 0;
                }
                (true, false) => tracing::info!(%node, "a voice node passes its probe calls again"),
                _ => {}
            }
            // It was just read from the registry.
            let _ = self.registry.set_failing(&node, if left > 0 { now + left } else { 0 });
        }
        if verdict.is_deaf && !self.is_deaf {
            tracing::error!("nobody is heard by a probe call at any voice node: can this machine reach them as users do?");
        }
        self.is_deaf = verdict.is_deaf;
        if verdict.spared != self.spared && !verdict.spared.is_empty() {
            tracing::error!(nodes = ?verdict.spared, "too many voice nodes fail their probe calls; these keep their rooms");
        }
        self.spared.clone_from(&verdict.spared);
        self.probed.clone_from(reports);
    }

    // --- time ---

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

    /// The rooms that a node has.
    pub fn rooms_of(&self, node: &NodeId) -> Vec<ChannelId> {
        self.leases.on(node).map(|(room, _)| room).collect()
    }

    /// Rooms on their way, whose people were not taken off the old node yet.
    pub fn moving(&self) -> Vec<ChannelId> {
        self.leaving.iter().filter(|(_, leaving)| !leaving.is_left).map(|(room, _)| *room).collect()
    }

    /// Everyone whom we know of has arrived: the drain may go on. Answers, when they have settled, with the node that they may
    /// be taken off, once. That node keeps the room for those of other control planes until the move's time is over.
    pub fn all_arrived(&mut self, now: Millis, room: ChannelId) -> Option<NodeId> {
        let leaving = self.leaving.get_mut(&room).filter(|leaving| !leaving.is_left)?;
        if let Some(drain) = self.drains.get_mut(&leaving.from) {
            drain.done(room);
        }
        let arrived = *leaving.arrived.get_or_insert(now);
        leaving.is_left = now >= arrived + SETTLE_MS;
        leaving.is_left.then(|| leaving.from.clone())
    }

    fn begin_move(&mut self, now: Millis, room: ChannelId, from: NodeId) {
        self.moves += 1;
        // Wherever it was still leaving.
        self.finish_move(room);
        self.leaving.insert(room, Leaving { from, until: now + MOVE_MS, arrived: None, is_left: false });
    }

    fn finish_move(&mut self, room: ChannelId) {
        let Some(leaving) = self.leaving.remove(&room) else { return };
        // Whoever has not arrived by now has had their time.
        if let Some(drain) = self.drains.get_mut(&leaving.from) {
            drain.done(room);
        }
        if let Some(lease) = self.leases.of(room).filter(|lease| lease.node != leaving.from) {
            let epoch = lease.epoch;
            self.tell(&leaving.from, ToNode::Close { room, epoch });
        }
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
}
