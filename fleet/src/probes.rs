//! What the probe calls at a node say of it: when it counts as failing, and when it is called again.
//!
//! Some control plane calls each node now and then as clients do, and what came of it is a [`Report`] that all of them share.
//! A call can fail for reasons of whoever makes it. So one failure is none; the next try is another prober's, if there is one; a
//! failure counts only if the same prober hears somebody through another node right after it; and however many nodes fail,
//! only some of them are given up. Times here are Unix milliseconds: reports outlive processes and are several control planes'.

use crate::node::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Milliseconds of the clock that several machines agree on.
pub type UnixMs = u64;

/// Failures in a row that make a node failing. With the retries between them they take longer than a network's hiccup, and it is
/// worse to take a node from its people that works than to find a dead one some seconds later.
pub const FAILURES: u32 = 3;

/// How long a node is failing after the last failure that showed it: several retries. A node that was found dead has been
/// heard for a while before it gets rooms again.
pub const HOLD_MS: UnixMs = 60_000;

/// When a node is called again whose last call failed.
const RETRY_MS: UnixMs = 5_000;

/// How long the prober whose call failed leaves the next one to others.
const OTHERS_FIRST_MS: UnixMs = 5_000;

/// A time that is farther off was written by a clock that was wrong: longer than anybody lets pass between two calls.
const FAR_MS: UnixMs = 2 * 3_600_000;

/// Of so many nodes one may be given up for its probe calls. Whatever else is wrong then, the others would not bear it.
const NODES_FOR_ONE: usize = 3;

/// What came of the calls at one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Who called last, and when that call ended.
    pub prober: u64,
    pub at: UnixMs,
    /// When the last call ended by which audio came through, and how long that took from its first step.
    pub heard_at: UnixMs,
    pub media_ms: u32,
    /// Failures in a row, the end of the first of them, and what was wrong with the last.
    pub failures: u32,
    pub failing_since: UnixMs,
    /// Those of them after which whoever had called heard somebody elsewhere.
    pub proven: u32,
    pub trouble: String,
    /// No rooms before this time.
    pub failing_until: UnixMs,
}

impl Report {
    /// A call by which audio came through.
    pub fn heard(&mut self, now: UnixMs, prober: u64, media_ms: u32) {
        (self.prober, self.at, self.heard_at, self.media_ms) = (prober, now, now, media_ms);
        (self.failures, self.failing_since, self.proven) = (0, 0, 0);
        self.trouble.clear();
    }

    /// A call by which nothing was heard. `is_proven`: the same prober has then heard somebody through another node.
    pub fn failed(&mut self, now: UnixMs, prober: u64, trouble: String, is_proven: bool) {
        (self.prober, self.at, self.trouble) = (prober, now, trouble);
        if self.failures == 0 {
            self.failing_since = now;
        }
        self.failures = self.failures.saturating_add(1);
        self.proven = self.proven.saturating_add(u32::from(is_proven));
        if is_proven && self.proven >= FAILURES {
            self.failing_until = now + HOLD_MS;
        }
    }

    /// A call that says nothing of the node.
    pub fn put_off(&mut self, now: UnixMs, prober: u64) {
        (self.prober, self.at) = (prober, now);
    }

    pub fn is_failing(&self, now: UnixMs) -> bool {
        now < self.failing_until && self.failing_until < now + FAR_MS
    }

    /// When the node is to be called again, `every_ms` from now, more or less: in step, all nodes would be called at once. `draw`
    /// is a random number.
    pub fn next_call(&self, now: UnixMs, every_ms: UnixMs, draw: u64) -> UnixMs {
        let wait = if self.failures > 0 { RETRY_MS.min(every_ms) } else { every_ms };
        now + wait * 3 / 4 + draw % (wait / 2 + 1)
    }

    /// Whether this prober makes the call that is due since then.
    pub fn is_for(&self, prober: u64, due: UnixMs, now: UnixMs, has_others: bool) -> bool {
        let is_others_turn = has_others && self.failures > 0 && self.prober == prober;
        now >= if is_others_turn { due + OTHERS_FIRST_MS } else { due } || due >= now + FAR_MS
    }
}

/// The nodes' reports by their names.
pub type Reports = BTreeMap<NodeId, Report>;

/// What follows from the reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Nodes that are to have no rooms until then.
    pub failing: BTreeMap<NodeId, UnixMs>,
    /// Nodes that are no better, and too many to be given up.
    pub spared: Vec<NodeId>,
    /// Nobody is heard through any node: that says more about those who call, and no node is blamed for it.
    pub is_deaf: bool,
}

/// `alive` are the nodes that are called. All control planes come to the same answer.
pub fn judge(now: UnixMs, reports: &Reports, alive: &[NodeId]) -> Verdict {
    let called = || alive.iter().filter_map(|node| Some((node, reports.get(node)?)));
    let is_deaf = !alive.is_empty() && alive.iter().all(|node| reports.get(node).is_some_and(|it| it.failures >= FAILURES));
    let mut failing: Vec<(&NodeId, &Report)> = called().filter(|(_, report)| report.is_failing(now)).collect();
    // Who began first stays given up, whoever follows.
    failing.sort_by_key(|(node, report)| (report.failing_since, *node));
    let most = (alive.len() / NODES_FOR_ONE).max(usize::from(alive.len() > 1));
    let spared = failing.split_off(most.min(failing.len())).into_iter().map(|(node, _)| node.clone()).collect();
    let failing = failing.into_iter().map(|(node, report)| (node.clone(), report.failing_until)).collect();
    Verdict { failing, spared, is_deaf }
}

/// The node to be called at once because a call failed at this one: if somebody is heard there, it was not the prober's fault.
pub fn control<'a>(reports: &Reports, alive: &'a [NodeId], failed: &NodeId) -> Option<&'a NodeId> {
    let others = alive.iter().filter(|node| *node != failed);
    let good = others.filter(|node| reports.get(node).is_some_and(|report| report.failures == 0 && report.heard_at > 0));
    good.min_by_key(|node| reports.get(node).map(|report| report.heard_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &str) -> Vec<NodeId> {
        names.split_whitespace().map(NodeId::from).collect()
    }

    /// Calls are told as `when node` for one that was good, `when node!` for one that failed, and `when node!!` for one that failed
    /// while nobody was heard elsewhere either.
    fn reports(script: &[&str]) -> Reports {
        let mut reports = Reports::new();
        for call in script {
            let (at, node) = call.split_once(' ').unwrap();
            let now = at.parse::<UnixMs>().unwrap() * 1_000;
            let report = reports.entry(NodeId::from(node.trim_end_matches('!'))).or_default();
            match node.ends_with('!') {
                true => report.failed(now, 1, "no audio".to_owned(), !node.ends_with("!!")),
                false => report.heard(now, 1, 20),
            }
        }
        reports
    }

    fn check(script: &[&str], alive: &str, at: UnixMs, failing: &str, spared: &str, is_deaf: bool) {
        let verdict = judge(at * 1_000, &reports(script), &names(alive));
        let found: Vec<NodeId> = verdict.failing.keys().cloned().collect();
        assert_eq!((found, verdict.spared, verdict.is_deaf), (names(failing), names(spared), is_deaf), "{script:?} at {at}");
    }

    #[test]
    fn three_failures_in_a_row_make_a_node_failing_if_another_is_heard_after_each() {
        check(&["1 a", "2 b!", "7 b!"], "a b", 8, "", "", false);
        check(&["1 a", "2 b!", "7 b!", "9 b", "12 b!", "17 b!"], "a b", 18, "", "", false);
        check(&["1 a", "2 b!", "7 b!", "12 b!"], "a b", 13, "b", "", false);
        check(&["1 a", "2 b!", "7 b!", "12 b!"], "a b", 71, "b", "", false);
        check(&["1 a", "2 b!", "7 b!", "12 b!"], "a b", 72, "", "", false);
        check(&["1 a", "2 b!", "7 b!", "12 b!", "40 b!"], "a b", 99, "b", "", false);
        check(&["1 a", "2 b!", "7 b!", "12 b!", "17 b"], "a b", 30, "b", "", false);
        check(&["1 a", "2 b!", "7 b!", "12 b!", "17 b"], "a b", 75, "", "", false);
    }

    #[test]
    fn a_prober_that_hears_nobody_blames_no_node() {
        check(&["1 a", "2 b!!", "7 b!!", "12 b!!", "17 b!!", "22 b!!"], "a b", 23, "", "", false);
        check(&["1 a", "2 b!!", "7 b!", "12 b!", "17 b!!"], "a b", 18, "", "", false);
        check(&["1 a", "2 b!!", "7 b!", "12 b!", "17 b!!", "22 b!"], "a b", 23, "b", "", false);
        let deaf = ["1 a", "1 b", "2 b!!", "3 a!!", "7 b!!", "8 a!!", "12 b!!", "13 a!!"];
        check(&deaf, "a b", 14, "", "", true);
        check(&[&deaf[..], &["30 a", "31 b"]].concat(), "a b", 32, "", "", false);
        check(&["1 a!!", "5 a!!", "10 a!!"], "a", 11, "", "", true);
        // What was found before it went deaf holds for a while.
        let found = ["1 a", "2 b!", "7 b!", "12 b!", "20 a!!", "25 a!!", "30 a!!", "40 b!!", "62 b!!"];
        check(&found, "a b", 71, "b", "", true);
        check(&found, "a b", 72, "", "", true);
    }

    #[test]
    fn only_a_share_of_the_nodes_is_given_up_and_those_that_failed_first_stay_so() {
        let first = ["1 a", "2 b!", "3 c!", "4 d!", "5 d!", "6 c!", "7 b!", "9 d!", "10 c!", "11 b!"];
        check(&first, "a b c d", 13, "b", "c d", false);
        check(&first, "a b c d e f", 13, "b c", "d", false);
        check(&first, "a c d", 13, "c", "d", false);
    }

    #[test]
    fn a_failure_is_looked_into_soon_and_by_others_first() {
        let failed = &reports(&["100 a!"])[&NodeId::from("a")];
        let heard = &reports(&["100 a"])[&NodeId::from("a")];
        for draw in [0, 1, 7_777, u64::MAX] {
            assert!((22_500..=37_500).contains(&heard.next_call(0, 30_000, draw)));
            assert!((3_750..=6_250).contains(&failed.next_call(0, 30_000, draw)));
            assert!((750..=1_250).contains(&failed.next_call(0, 1_000, draw)), "as often as asked for");
        }
        assert!(heard.is_for(1, 50, 50, true) && !heard.is_for(1, 50, 49, true));
        assert!(failed.is_for(2, 50, 50, true) && !failed.is_for(1, 50, 5_049, true));
        assert!(failed.is_for(1, 50, 5_050, true) && failed.is_for(1, 50, 50, false));
    }

    #[test]
    fn what_a_wrong_clock_wrote_neither_blames_a_node_nor_keeps_calls_away() {
        let script = ["90000 b!", "90005 b!", "90010 b!"];
        check(&script, "a b", 90_011, "b", "", false);
        check(&script, "a b", 3_600, "", "", false);
        let report = &reports(&["90000 b"])[&NodeId::from("b")];
        assert!(report.is_for(1, 90_000_000, 3_600_000, false) && !report.is_for(1, 7_200_000, 3_600_000, false));
    }

    #[test]
    fn the_node_that_was_heard_longest_ago_is_asked_for_its_word() {
        let reports = reports(&["1 a!", "2 b", "3 c", "4 d!"]);
        assert_eq!(control(&reports, &names("a b c d e"), &"d".into()), Some(&"b".into()));
        assert_eq!(control(&reports, &names("a c d e"), &"d".into()), Some(&"c".into()));
        assert_eq!(control(&reports, &names("a d e"), &"d".into()), None);
    }
}
