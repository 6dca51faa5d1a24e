//! One voice node as the control plane knows it: what it said of itself, its load, and what operators made of it.

use crate::Millis;
pub use guildhall_protocol::fleet::{Hello, Load, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How long a join is not yet visible in what a node reports: a client connects within seconds, and the load of a second is
/// reported after it.
const RAMP_UP_MS: Millis = 20_000;

/// Joins that are remembered one by one; in a storm the oldest are forgotten, and the reported load has them by then.
const MAX_RECENT: usize = 4096;

/// What one participant costs of a worker before a node has enough of them to tell: 50 packets a second to ten listeners
/// at 2 µs.
const PEER_COST: f32 = 0.001;
/// Peers from which on a node's own average is believed.
const TELLING_PEERS: u32 = 50;

/// What operators made of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    #[default]
    Serving,
    /// Takes no new rooms; those that it has stay, and people may join them.
    Cordoned,
    /// Its rooms move away until the deadline.
    Draining { deadline: Millis },
}

/// A node in the registry.
#[derive(Clone, Debug)]
pub struct Node {
    pub hello: Hello,
    pub state: State,
    pub load: Load,
    /// When it was last heard of.
    pub heard: Millis,
    /// A probe call or too many failed connections say that it is half-dead; no rooms before this time.
    pub failing_until: Millis,
    recent: VecDeque<Millis>,
}

impl Node {
    pub fn new(now: Millis, hello: Hello) -> Self {
        Self { hello, state: State::Serving, load: Load::default(), heard: now, failing_until: 0, recent: VecDeque::new() }
    }

    /// Someone was sent here; counts until the node's own figures include them.
    pub fn expect_join(&mut self, now: Millis) {
        self.forget_recent(now);
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
    }

    fn forget_recent(&mut self, now: Millis) {
        while self.recent.front().is_some_and(|at| at + RAMP_UP_MS <= now) {
            self.recent.pop_front();
        }
    }

    /// The reported load and what those who were sent here since will add to it. Reports are stale by construction: without
    /// this, everyone of a join storm is sent to whoever was idle a second ago.
    pub fn expected_busy(&self, now: Millis) -> f32 {
        let first = self.recent.partition_point(|at| at + RAMP_UP_MS <= now);
        self.load.busy + (self.recent.len() - first) as f32 * self.peer_cost()
    }

    /// What one participant costs here, as a share of the busiest worker.
    pub fn peer_cost(&self) -> f32 {
        if self.load.peers < TELLING_PEERS {
            return PEER_COST;
        }
        // A node of listeners to silence looks free of charge until they speak.
        (self.load.busy / self.load.peers as f32).clamp(PEER_COST / 10.0, PEER_COST * 10.0)
    }

    /// How much of its network it uses.
    pub fn egress_share(&self) -> f32 {
        self.load.egress_bps as f32 / self.hello.egress_cap_bps.max(1) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let region = "eu".parse().unwrap();
        let (id, endpoint, software) = ("a".into(), "a:1".into(), String::new());
        let hello =
            Hello { id, region, endpoint, media: Vec::new(), version: 1, software, egress_cap_bps: 1 << 30, incarnation: 1 };
        Node::new(0, hello)
    }

    #[test]
    fn those_who_are_on_their_way_count_until_the_node_reports_them() {
        let mut node = node();
        node.load.busy = 0.5;
        for at in 0..100 {
            node.expect_join(at);
        }
        assert!((node.expected_busy(100) - 0.6).abs() < 1e-4);
        assert!((node.expected_busy(RAMP_UP_MS + 49) - 0.55).abs() < 1e-4, "half of them are in the report by now");
        assert_eq!(node.expected_busy(RAMP_UP_MS + 100), 0.5);
        node.expect_join(2 * RAMP_UP_MS);
        assert_eq!(node.recent.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn a_node_with_many_peers_tells_what_one_costs() {
        let mut node = node();
        node.load = Load { busy: 0.4, peers: 100, ..Load::default() };
        node.expect_join(0);
        assert!((node.expected_busy(1) - 0.404).abs() < 1e-4);
        node.load = Load { busy: 0.0, peers: 10_000, ..Load::default() };
        assert!(node.expected_busy(1) > 0.0, "silent listeners are not free for ever");
    }

    #[test]
    fn a_storm_is_remembered_within_a_bound() {
        let mut node = node();
        (0..2 * MAX_RECENT as u64).for_each(|_| node.expect_join(1));
        assert_eq!(node.recent.len(), MAX_RECENT);
    }
}
