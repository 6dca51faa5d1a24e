//! Probe calls: which nodes are called, and what comes of what was heard.

use super::Fleet;
use guildhall_fleet::node::State;
use guildhall_fleet::probes::{HOLD_MS, Reports, Verdict};
use guildhall_fleet::{Millis, NodeId};
use std::collections::BTreeMap;

impl Fleet {
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
}
