//! The shell of the fleet: carries messages between the core and the voice nodes' lines, looks at the clock for it, and does
//! what operators ask.

use super::core::Core;
use super::{Hub, random};
use crate::fleet::decisions::Record;
use crate::fleet::lines::{Errand, LineId};
use crate::fleet::orders::MAX_PINS;
use crate::fleet::views::{FleetCensus, NodeView, RoomView};
use crate::ids::unix_ms;
use crate::store::{self, NodeOrder};
use guildhall_fleet::registry::RegistryError;
use guildhall_fleet::{NodeId, RegionId};
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::{FromNode, RecordingOrder, ToNode, is_probe};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often lost nodes and due calls are looked for: a part of what people wait when a node is lost.
const TICK: Duration = Duration::from_millis(100);
/// How often it is read what operators said at other control planes.
const ORDERS: Duration = Duration::from_secs(1);
/// How long a node may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// Nodes of each region that clients may measure their distance to: a second one for when the first is down.
const PROBES: usize = 2;
/// Rooms and decisions that one answer to operators lists.
pub const LISTED: usize = 1_000;

/// Why an operator's wish was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    #[error("there is no such node")]
    UnknownNode,
    #[error("nobody is in that room")]
    EmptyRoom,
    #[error("the node cannot take the room now")]
    CannotTake,
    #[error("there are too many pinned rooms")]
    TooManyPins,
    #[error("the database does not take it now")]
    NotStored,
}

impl From<RegistryError> for NodeError {
    fn from(_: RegistryError) -> Self {
        Self::UnknownNode
    }
}

impl Hub {
    /// Serves one line to a voice node, in this process or from elsewhere, until either side hangs up. `to_node` should have
    /// few places: what waits for a slow node waits in its outbox, where newer messages replace older ones.
    pub async fn serve_node(&self, mut from_node: mpsc::Receiver<FromNode>, to_node: mpsc::Sender<ToNode>) {
        let mut over = self.0.are_nodes_over.subscribe();
        let Ok(Some(FromNode::Hello { hello, mut rooms, mut sittings })) = timeout(HELLO, from_node.recv()).await else { return };
        // Nodes of the version before tell of probe calls as of any other.
        rooms.retain(|(room, _)| !is_probe(*room));
        sittings.retain(|sitting| !is_probe(sitting.participant.channel_id));
        let node = hello.id.clone();
        let mut guilds: Vec<_> = sittings.iter().map(|sitting| sitting.participant.guild_id).collect();
        guilds.sort_unstable();
        guilds.dedup();
        for guild in guilds {
            self.load(guild).await;
        }
        let bell = Arc::new(Notify::new());
        let voice_key = self.0.config.voice_key.secret().clone();
        let arrived = self.change(|core, at| core.node_arrived(hello, &rooms, sittings, voice_key, Arc::clone(&bell), at));
        let line = match arrived {
            Ok(line) => line,
            Err(error) => return tracing::error!(%node, %error, "a voice node is refused"),
        };
        tokio::select! {
            () = self.carry(&line, &bell, to_node) => {}
            () = async {
                while let Some(message) = from_node.recv().await {
                    if is_of_probe(&message) {
                        continue;
                    }
                    if let FromNode::Joined(sitting) = &message {
                        self.load(sitting.participant.guild_id).await;
                    }
                    match message {
                        FromNode::Recorded(_) | FromNode::Recording { .. } => self.keep(message),
                        message => self.change(|core, at| core.from_node(&line, message, at)),
                    }
                }
            } => {}
            _ = over.wait_for(|are_over| *are_over) => {}
        }
        self.change(|core, at| core.node_gone(&line, at));
    }

    /// A piece of a recording, or word of one, goes to whoever keeps them.
    fn keep(&self, recorded: FromNode) {
        self.0.config.recorded.take(recorded);
    }

    /// Whether there is anybody in the room, at a node that could record it.
    pub fn is_meeting(&self, room: ChannelId) -> bool {
        self.core().is_meeting(room)
    }

    /// Whether it is known that nobody is in the room.
    pub fn is_deserted(&self, room: ChannelId) -> bool {
        self.core().is_deserted(room)
    }

    /// Has the room's node record it, or go on, or end.
    pub fn record(&self, record: RecordingOrder) {
        self.change(|core, _| core.record(record));
    }

    /// Brings the node its messages, in order. Only this waits for a slow node.
    async fn carry(&self, line: &LineId, bell: &Notify, to_node: mpsc::Sender<ToNode>) {
        loop {
            // A statement of its own, so that the core is not held while the node is waited for.
            let errand = self.core_mut().errand(line);
            match errand {
                Errand::Carry(message) => {
                    if to_node.send(message).await.is_err() {
                        return;
                    }
                }
                Errand::HangUp => return,
                Errand::Wait => bell.notified().await,
            }
        }
    }

    pub(super) async fn watch_nodes(self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.change(|core, at| core.tick_fleet(u64::from_ne_bytes(random()), at));
            while self.change(|core, at| core.call_next(&self.door(), at)) {}
        }
    }

    /// Regions with living nodes, and hosts in each that clients may measure their distance to (empty: the host that they
    /// reached us by).
    pub fn regions(&self) -> Vec<(RegionId, Vec<String>)> {
        self.core().fleet.regions(PROBES)
    }

    pub fn default_region(&self) -> Option<RegionId> {
        self.core().fleet.default_region().cloned()
    }

    pub fn fleet_census(&self) -> FleetCensus {
        self.core().fleet.census()
    }

    pub fn nodes(&self) -> Vec<NodeView> {
        self.change(|core, at| {
            let now = core.fleet.millis(at.now);
            core.fleet.node_views(now)
        })
    }

    /// At most [`LISTED`] rooms, those with the most people first, and how many there are.
    pub fn voice_rooms(&self) -> (Vec<RoomView>, usize) {
        let core = self.core();
        let mut rooms: Vec<RoomView> = core.fleet.room_ids().into_iter().map(|room| view(&core, room)).collect();
        let count = rooms.len();
        rooms.sort_by_key(|room| (std::cmp::Reverse(room.members), room.room));
        rooms.truncate(LISTED);
        (rooms, count)
    }

    /// Where the room is, and the last decisions on it.
    pub fn why(&self, room: ChannelId) -> (RoomView, Vec<Record>) {
        let core = self.core();
        (view(&core, room), core.fleet.why(room))
    }

    /// The last decisions that changed something, the newest first.
    pub fn decisions(&self, count: usize) -> Vec<Record> {
        self.core().fleet.decisions(count)
    }

    /// Has the node's rooms live elsewhere within this time. Every control plane on the database does its part.
    pub async fn drain_node(&self, node: &NodeId, within: Duration) -> Result<(), NodeError> {
        let deadline_ms = unix_ms().saturating_add(within.as_millis() as u64);
        self.order(node, Some(NodeOrder::Draining { deadline_ms })).await
    }

    /// The node serves again, or takes no new rooms, at every control plane on the database.
    pub async fn undrain_node(&self, node: &NodeId, is_cordoned: bool) -> Result<(), NodeError> {
        self.order(node, is_cordoned.then_some(NodeOrder::Cordoned)).await
    }

    async fn order(&self, node: &NodeId, order: Option<NodeOrder>) -> Result<(), NodeError> {
        if !self.core().fleet.knows(node) {
            return Err(NodeError::UnknownNode);
        }
        // Nobody reads what there was before in between.
        let _turn = self.0.ordering.lock().await;
        stored(self.0.store.order_node(node, order).await)?;
        self.change(|core, at| core.give_order(node, order, at));
        Ok(())
    }

    /// Does what operators said lately, wherever they said it.
    pub async fn follow_orders(&self) {
        let _turn = self.0.ordering.lock().await;
        let store = &self.0.store;
        match tokio::try_join!(store.node_orders(), store.room_pins(MAX_PINS)) {
            Ok((orders, pins)) => self.change(|core, at| {
                core.follow_orders(orders, at);
                core.fleet.set_pins(pins);
            }),
            Err(error) => tracing::debug!(%error, "operators' orders cannot be read"),
        }
    }

    pub(super) async fn watch_orders(self) {
        let mut ticks = interval(ORDERS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.follow_orders().await;
            if !self.0.store.is_shared() {
                return; // nobody else gives any
            }
        }
    }

    /// Moves a room once.
    pub fn move_room(&self, room: ChannelId, to: &NodeId) -> Result<(), NodeError> {
        if !self.core().fleet.knows(to) {
            return Err(NodeError::UnknownNode);
        }
        match self.change(|core, at| core.move_room(room, to, u64::from_ne_bytes(random()), at)) {
            None => Err(NodeError::EmptyRoom),
            Some(false) => Err(NodeError::CannotTake),
            Some(true) => Ok(()),
        }
    }

    /// Keeps a room on a node as long as the node can take it, from its next placement on, whichever control plane places it;
    /// `None`: no more.
    pub async fn pin_room(&self, room: ChannelId, to: Option<NodeId>) -> Result<(), NodeError> {
        let _turn = self.0.ordering.lock().await;
        if let Some(to) = &to {
            let core = self.core();
            if !core.fleet.knows(to) {
                return Err(NodeError::UnknownNode);
            }
            if !core.fleet.can_pin(room) {
                return Err(NodeError::TooManyPins);
            }
        }
        stored(self.0.store.pin_room(room, to.as_ref()).await)?;
        self.core_mut().fleet.pin(room, to);
        Ok(())
    }
}

/// Whether a node of the version before tells of a probe call.
fn is_of_probe(message: &FromNode) -> bool {
    match message {
        FromNode::Opened { room, .. } | FromNode::Ended { room, .. } => is_probe(*room),
        FromNode::Joined(sitting) | FromNode::Left(sitting) => is_probe(sitting.participant.channel_id),
        _ => false,
    }
}

fn stored(outcome: store::Result<()>) -> Result<(), NodeError> {
    outcome.map_err(|error| {
        tracing::error!(%error, "an operator's order cannot be stored");
        NodeError::NotStored
    })
}

fn view(core: &Core, room: ChannelId) -> RoomView {
    RoomView { members: core.members_of(room).count(), ..core.fleet.room_view(room) }
}
