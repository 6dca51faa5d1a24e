//! The fleet as operators see it.

use super::Fleet;
use super::decisions::Record;
use guildhall_fleet::drain::Progress;
use guildhall_fleet::node::State;
use guildhall_fleet::{Millis, NodeId, RegionId};
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::Load;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    pub id: NodeId,
    pub region: RegionId,
    pub endpoint: String,
    pub media: Vec<std::net::SocketAddr>,
    pub software: String,
    pub state: Standing,
    /// Rooms whose lease the node has.
    pub leases: usize,
    /// Milliseconds since it was heard.
    pub silent_ms: Millis,
    pub load: Load,
    /// While it is being emptied, or since it was.
    pub drain: Option<DrainView>,
    /// What came of the last probe call.
    pub probe: Option<ProbeView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Serving,
    Cordoned,
    Draining,
    /// Alive, and nobody is heard through it.
    Failing,
    Lost,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeView {
    /// From the first step of the last good call until both callers had heard the other; `None`: there was none yet.
    pub media_ms: Option<u32>,
    /// What is wrong with the node by the last call; empty: nothing.
    pub trouble: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainView {
    pub moved: usize,
    pub moving: usize,
    pub waiting: usize,
    /// Milliseconds until the deadline; 0 when it is over.
    pub left_ms: Millis,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomView {
    pub room: ChannelId,
    pub node: Option<NodeId>,
    pub region: Option<RegionId>,
    pub epoch: Option<u64>,
    /// The node that it is leaving.
    pub from: Option<NodeId>,
    pub pinned_to: Option<NodeId>,
    /// Participants by this control plane's voice states; filled in by whoever knows them.
    pub members: usize,
}

/// The fleet in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetCensus {
    /// In the order of [`Standing::ALL`].
    pub nodes: [usize; 5],
    pub rooms: usize,
    /// Rooms that wait for a node.
    pub waiting_rooms: usize,
    /// People who are about to be told where their room is now.
    pub calls: usize,
    pub moves: u64,
    pub losses: u64,
    /// Rooms that left a node because it had too much to do, and nodes that they leave or are about to.
    pub reliefs: u64,
    pub strained: usize,
    /// Probe calls are made, and by none of them is anybody heard.
    pub is_deaf: bool,
}

impl Standing {
    pub const ALL: [Self; 5] = [Self::Serving, Self::Cordoned, Self::Draining, Self::Failing, Self::Lost];

    /// The label for metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Failing => "failing",
            Self::Lost => "lost",
        }
    }
}

impl Fleet {
    pub fn census(&self) -> FleetCensus {
        let count = |standing| self.registry.nodes().filter(|node| self.standing(node) == standing).count();
        FleetCensus {
            nodes: Standing::ALL.map(count),
            rooms: self.leases.iter().count(),
            waiting_rooms: self.homeless.len(),
            calls: self.calls.len(),
            moves: self.moves,
            losses: self.losses,
            reliefs: self.reliefs,
            strained: self.relief.strained(),
            is_deaf: self.is_deaf,
        }
    }

    fn standing(&self, node: &guildhall_fleet::Node) -> Standing {
        match node.state {
            _ if self.registry.is_lost(&node.hello.id) => Standing::Lost,
            State::Draining { .. } => Standing::Draining,
            _ if self.ticked < node.failing_until => Standing::Failing,
            State::Serving => Standing::Serving,
            State::Cordoned => Standing::Cordoned,
        }
    }

    pub fn node_views(&self, now: Millis) -> Vec<NodeView> {
        let mut leases = std::collections::HashMap::<&NodeId, usize>::new();
        self.leases.iter().for_each(|(_, lease)| *leases.entry(&lease.node).or_default() += 1);
        let view = |node: &guildhall_fleet::Node| {
            let hello = &node.hello;
            let drain = self.drains.get(&hello.id).map(|drain| {
                let Progress { moved, moving, waiting, deadline } = drain.progress();
                DrainView { moved, moving, waiting, left_ms: deadline.saturating_sub(now) }
            });
            NodeView {
                id: hello.id.clone(),
                region: hello.region.clone(),
                endpoint: hello.endpoint.clone(),
                media: hello.media.clone(),
                software: hello.software.clone(),
                state: self.standing(node),
                leases: leases.get(&hello.id).copied().unwrap_or_default(),
                silent_ms: now.saturating_sub(node.heard),
                load: node.load.clone(),
                drain,
                probe: self.probed.get(&hello.id).map(|report| ProbeView {
                    media_ms: (report.heard_at > 0).then_some(report.media_ms),
                    trouble: report.trouble.clone(),
                }),
            }
        };
        self.registry.nodes().map(view).collect()
    }

    pub fn room_view(&self, room: ChannelId) -> RoomView {
        let lease = self.leases.of(room);
        RoomView {
            room,
            node: lease.map(|lease| lease.node.clone()),
            region: lease.and_then(|lease| self.registry.node(&lease.node)).map(|node| node.hello.region.clone()),
            epoch: lease.map(|lease| lease.epoch.0),
            from: self.origin(room).cloned(),
            pinned_to: self.pins.get(&room).cloned(),
            members: 0,
        }
    }

    /// Every room that has a node or waits for one.
    pub fn room_ids(&self) -> Vec<ChannelId> {
        let mut rooms: Vec<ChannelId> = self.leases.iter().map(|(room, _)| room).chain(self.homeless.keys().copied()).collect();
        rooms.sort_unstable();
        rooms.dedup();
        rooms
    }

    /// The last decisions on a room, the newest last. Rooms that are over have those that changed something.
    pub fn why(&self, room: ChannelId) -> Vec<Record> {
        match self.rooms.get(&room) {
            Some(known) => known.decisions.iter().cloned().collect(),
            None => self.decisions.iter().filter(|record| record.decision.room == room).cloned().collect(),
        }
    }

    /// The last decisions that changed something, the newest first.
    pub fn decisions(&self, count: usize) -> Vec<Record> {
        self.decisions.iter().rev().take(count).cloned().collect()
    }
}
