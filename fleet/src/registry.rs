//! The nodes of the fleet and whether they are believed to be alive.
//!
//! Fed with what nodes say and with the time; answers what changed. A node that is silent is lost; one that comes back with
//! the same incarnation was only away and has its rooms still, one with another has none.

use crate::Millis;
use crate::node::{Hello, Load, Node, NodeId, State};
use crate::placement::Limits;
use std::collections::BTreeMap;

/// Nodes in a fleet. Ten million users need some hundreds.
pub const MAX_NODES: usize = 4096;

/// A node that was lost for so long is forgotten: its machine is gone.
const FORGET_AFTER_MS: Millis = 24 * 3_600_000;

/// What others must learn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Serves from now on. Its rooms of before, if any, are gone.
    Arrived(NodeId),
    /// Silent for too long, or it said goodbye: its rooms must be placed anew.
    Lost(NodeId),
    /// It was lost and is heard again, with its rooms: those that were placed elsewhere meanwhile must end there.
    Returned(NodeId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    #[error("no such node")]
    UnknownNode,
    #[error("the fleet has as many nodes as it can have ({MAX_NODES})")]
    Full,
    #[error("another node has this name, and it is alive")]
    NameTaken,
}

#[derive(Debug, Default)]
pub struct Registry {
    nodes: BTreeMap<NodeId, Entry>,
}

#[derive(Debug)]
struct Entry {
    node: Node,
    is_lost: bool,
}

impl Registry {
    /// A node connected. A living node of the same name from another endpoint keeps its name.
    pub fn hello(&mut self, now: Millis, limits: &Limits, hello: Hello, out: &mut Vec<Change>) -> Result<(), RegistryError> {
        let id = hello.id.clone();
        let is_full = self.nodes.len() >= MAX_NODES;
        match self.nodes.get_mut(&id) {
            Some(entry) => {
                let is_alive = !entry.is_lost && now.saturating_sub(entry.node.heard) < limits.lost_after_ms;
                if is_alive && entry.node.hello.endpoint != hello.endpoint {
                    return Err(RegistryError::NameTaken);
                }
                if entry.node.hello.incarnation != hello.incarnation {
                    if !entry.is_lost {
                        out.push(Change::Lost(id.clone()));
                    }
                    // What operators decided outlives the process: a cordoned machine stays so.
                    let state = entry.node.state;
                    *entry = Entry { node: Node::new(now, hello), is_lost: false };
                    entry.node.state = state;
                    out.push(Change::Arrived(id));
                } else {
                    entry.node.hello = hello;
                    entry.hear(now, out);
                }
            }
            None if is_full => return Err(RegistryError::Full),
            None => {
                self.nodes.insert(id.clone(), Entry { node: Node::new(now, hello), is_lost: false });
                out.push(Change::Arrived(id));
            }
        }
        Ok(())
    }

    /// The report of a second.
    pub fn report(&mut self, now: Millis, id: &NodeId, load: Load, out: &mut Vec<Change>) -> Result<(), RegistryError> {
        let entry = self.nodes.get_mut(id).ok_or(RegistryError::UnknownNode)?;
        entry.node.load = load;
        entry.hear(now, out);
        Ok(())
    }

    /// It is there, and says no more than that.
    pub fn alive(&mut self, now: Millis, id: &NodeId, out: &mut Vec<Change>) -> Result<(), RegistryError> {
        self.nodes.get_mut(id).ok_or(RegistryError::UnknownNode)?.hear(now, out);
        Ok(())
    }

    /// Its line broke: its process may be gone, or only the connection. It has `grace` to be heard again.
    pub fn cut(&mut self, now: Millis, limits: &Limits, id: &NodeId, grace: Millis) {
        if let Some(entry) = self.nodes.get_mut(id)
            && !entry.is_lost
        {
            let heard = (now + grace).saturating_sub(limits.lost_after_ms);
            entry.node.heard = entry.node.heard.min(heard);
        }
    }

    /// The caller itself was asleep: that nobody was heard meanwhile says nothing about them.
    pub fn forgive(&mut self, now: Millis) {
        for entry in self.nodes.values_mut().filter(|entry| !entry.is_lost) {
            entry.node.heard = entry.node.heard.max(now);
        }
    }

    /// It stops on purpose.
    pub fn goodbye(&mut self, id: &NodeId, out: &mut Vec<Change>) {
        if let Some(entry) = self.nodes.get_mut(id)
            && !entry.is_lost
        {
            entry.is_lost = true;
            entry.node.heard = entry.node.heard.saturating_sub(Limits::default().lost_after_ms);
            out.push(Change::Lost(id.clone()));
        }
    }

    /// An operator's word.
    pub fn set_state(&mut self, id: &NodeId, state: State) -> Result<(), RegistryError> {
        self.nodes.get_mut(id).ok_or(RegistryError::UnknownNode)?.node.state = state;
        Ok(())
    }

    /// A probe call failed there, or too many connections did.
    pub fn set_failing(&mut self, id: &NodeId, until: Millis) -> Result<(), RegistryError> {
        self.nodes.get_mut(id).ok_or(RegistryError::UnknownNode)?.node.failing_until = until;
        Ok(())
    }

    /// Someone is sent to the node.
    pub fn expect_join(&mut self, now: Millis, id: &NodeId) {
        if let Some(entry) = self.nodes.get_mut(id) {
            entry.node.expect_join(now);
        }
    }

    /// Who has been silent for too long. To be called at least as often as half of that.
    pub fn handle_timeout(&mut self, now: Millis, limits: &Limits, out: &mut Vec<Change>) {
        self.nodes.retain(|_, entry| !entry.is_lost || now.saturating_sub(entry.node.heard) < FORGET_AFTER_MS);
        for (id, entry) in &mut self.nodes {
            if !entry.is_lost && now.saturating_sub(entry.node.heard) >= limits.lost_after_ms {
                entry.is_lost = true;
                out.push(Change::Lost(id.clone()));
            }
        }
    }

    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.get(id).map(|entry| &entry.node)
    }

    /// All that are known, lost ones too: a decision says so of them.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().map(|entry| &entry.node)
    }

    pub fn is_lost(&self, id: &NodeId) -> bool {
        self.nodes.get(id).is_none_or(|entry| entry.is_lost)
    }
}

impl Entry {
    fn hear(&mut self, now: Millis, out: &mut Vec<Change>) {
        // A late report does not make a node older than it is.
        self.node.heard = self.node.heard.max(now);
        if std::mem::take(&mut self.is_lost) {
            out.push(Change::Returned(self.node.hello.id.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(incarnation: u64, endpoint: &str) -> Hello {
        let region = "eu".parse().unwrap();
        let (id, endpoint, software) = ("a".into(), endpoint.into(), String::new());
        Hello { id, region, endpoint, media: Vec::new(), version: 1, software, egress_cap_bps: 1, incarnation }
    }

    /// What each step tells.
    fn check(script: &[(Millis, &str, &[Change])]) {
        let (mut registry, limits) = (Registry::default(), Limits::default());
        let id = NodeId::from("a");
        for (now, step, expected) in script {
            let mut out = Vec::new();
            match *step {
                "hello 1" => registry.hello(*now, &limits, hello(1, "x"), &mut out).unwrap(),
                "hello 2" => registry.hello(*now, &limits, hello(2, "x"), &mut out).unwrap(),
                "report" => registry.report(*now, &id, Load::default(), &mut out).unwrap(),
                "alive" => registry.alive(*now, &id, &mut out).unwrap(),
                "cut" => registry.cut(*now, &limits, &id, 500),
                "forgive" => registry.forgive(*now),
                "timeout" => registry.handle_timeout(*now, &limits, &mut out),
                "goodbye" => registry.goodbye(&id, &mut out),
                _ => unreachable!(),
            }
            assert_eq!(out, *expected, "{step} at {now}");
        }
    }

    #[test]
    fn silence_is_loss_and_a_return_says_whether_the_rooms_are_still_there() {
        let id = NodeId::from("a");
        let (arrived, lost, returned) = (Change::Arrived(id.clone()), Change::Lost(id.clone()), Change::Returned(id));
        check(&[
            (0, "hello 1", std::slice::from_ref(&arrived)),
            (1_999, "timeout", &[]),
            (2_000, "timeout", std::slice::from_ref(&lost)),
            (3_500, "timeout", &[]),
            (4_000, "report", std::slice::from_ref(&returned)),
            (5_000, "hello 2", &[lost.clone(), arrived.clone()]),
            (5_500, "goodbye", std::slice::from_ref(&lost)),
            (5_600, "goodbye", &[]),
            (6_000, "hello 1", std::slice::from_ref(&arrived)),
        ]);
    }

    #[test]
    fn a_broken_line_is_loss_unless_the_node_dials_again_soon() {
        let id = NodeId::from("a");
        let (arrived, lost) = (Change::Arrived(id.clone()), Change::Lost(id));
        check(&[
            (0, "hello 1", std::slice::from_ref(&arrived)),
            (900, "alive", &[]),
            (1_000, "cut", &[]),
            (1_499, "timeout", &[]),
            (1_499, "hello 1", &[]),
            (3_000, "timeout", &[]),
            (3_050, "alive", &[]),
            (3_100, "cut", &[]),
            (3_600, "timeout", std::slice::from_ref(&lost)),
        ]);
        check(&[
            (0, "hello 1", std::slice::from_ref(&arrived)),
            (60_000, "forgive", &[]),
            (60_000, "timeout", &[]),
            (62_000, "timeout", std::slice::from_ref(&lost)),
        ]);
    }

    #[test]
    fn a_living_nodes_name_is_not_taken_over_and_its_cordon_outlives_a_restart() {
        let (mut registry, limits, mut out) = (Registry::default(), Limits::default(), Vec::new());
        let id = NodeId::from("a");
        registry.hello(0, &limits, hello(1, "x"), &mut out).unwrap();
        assert_eq!(registry.hello(10, &limits, hello(2, "elsewhere"), &mut out), Err(RegistryError::NameTaken));
        registry.set_state(&id, State::Cordoned).unwrap();
        registry.hello(20, &limits, hello(2, "x"), &mut out).unwrap();
        assert_eq!(registry.node(&id).unwrap().state, State::Cordoned);
        registry.handle_timeout(4_000, &limits, &mut out);
        registry.hello(4_000, &limits, hello(3, "elsewhere"), &mut out).unwrap();
        assert_eq!(registry.node(&id).unwrap().hello.endpoint, "elsewhere");
    }

    #[test]
    fn a_machine_that_is_gone_for_a_day_is_forgotten() {
        let (mut registry, limits, mut out) = (Registry::default(), Limits::default(), Vec::new());
        registry.hello(0, &limits, hello(1, "x"), &mut out).unwrap();
        registry.handle_timeout(4_000, &limits, &mut out);
        registry.handle_timeout(FORGET_AFTER_MS, &limits, &mut out);
        assert_eq!(registry.nodes().count(), 0);
        assert_eq!(registry.report(FORGET_AFTER_MS, &"a".into(), Load::default(), &mut out), Err(RegistryError::UnknownNode));
    }
}
