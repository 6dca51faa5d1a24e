//! Calls each voice node of other processes now and then, as its users do: a node whose heartbeats go on and whose audio does not
//! is found by nothing else.
//!
//! The shell around [`guildhall_fleet::probes`], which says what the calls mean. Control planes share the calls over the
//! database: whoever moves on the time at which a node's call is due makes it, and all of them read what came of it.

use crate::histogram::{Durations, Histogram};
use crate::hub::{Hub, random};
use crate::ids::unix_ms;
use crate::store::{self, Store};
use guildhall_fleet::NodeId;
use guildhall_fleet::probes::{Report, Reports, UnixMs, Verdict, control, judge};
use guildhall_probe::{Failure, Prober};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is read which calls are due and what came of others'.
const LOOK: Duration = Duration::from_secs(1);

/// Calls that one control plane makes at a time. In half a minute they are enough for some hundreds of nodes, even if each of them
/// takes a second.
const AT_ONCE: usize = 8;

/// For so long nobody else makes a call that somebody has begun: longer than two of the longest, one after the other.
const CLAIM_MS: UnixMs = 30_000;

/// How calls end, for metrics.
pub const OUTCOMES: [&str; 9] = ["heard", "full", "unreachable", "refused", "broken", "mute", "no_way", "silent", "starved"];

/// The calls of this process.
#[derive(Debug, Default)]
pub struct Tally {
    /// In the order of [`OUTCOMES`].
    calls: [AtomicU64; OUTCOMES.len()],
    media: Histogram,
}

/// A snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeStats {
    /// In the order of [`OUTCOMES`].
    pub calls: [u64; OUTCOMES.len()],
    /// From the first step of a call until both had heard the other.
    pub media: Durations,
}

impl Tally {
    fn count(&self, outcome: Result<Duration, Failure>) {
        let index = match outcome {
            Ok(took) => {
                self.media.count(took);
                0
            }
            Err(Failure::Full) => 1,
            Err(Failure::Unreachable) => 2,
            Err(Failure::Refused(_)) => 3,
            Err(Failure::Broken) => 4,
            Err(Failure::Mute) => 5,
            Err(Failure::NoWay) => 6,
            Err(Failure::Silent) => 7,
            Err(Failure::Starved) => 8,
        };
        self.calls[index].fetch_add(1, Relaxed);
    }

    pub fn read(&self) -> ProbeStats {
        ProbeStats { calls: std::array::from_fn(|index| self.calls[index].load(Relaxed)), media: self.media.read() }
    }
}

/// Whoever makes the calls of this control plane.
#[derive(Clone)]
pub struct Watch {
    hub: Hub,
    store: Store,
    prober: Prober,
    every_ms: UnixMs,
    tally: Arc<Tally>,
}

impl Watch {
    /// `every`: how often each node is called.
    pub fn new(hub: Hub, store: Store, every: Duration, tally: Arc<Tally>) -> Self {
        Self { hub, store, prober: Prober::default(), every_ms: every.as_millis() as UnixMs, tally }
    }

    pub async fn run(self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calls = JoinSet::new();
        loop {
            looks.tick().await;
            while calls.try_join_next().is_some() {}
            if let Err(error) = self.look(&mut calls).await {
                tracing::debug!(%error, "probe calls cannot be agreed on");
            }
        }
    }

    async fn look(&self, calls: &mut JoinSet<()>) -> store::Result<()> {
        let nodes = self.hub.nodes_to_probe();
        if nodes.is_empty() {
            self.hub.heed_probes(&Reports::new(), &Verdict::default());
            return Ok(());
        }
        let rows = self.store.probes().await?;
        let (now, reports) = (unix_ms(), reports(&rows));
        let alive: Vec<NodeId> = nodes.keys().cloned().collect();
        self.hub.heed_probes(&reports, &judge(now, &reports, &alive));
        let has_others = self.hub.has_siblings();
        let mut due: Vec<(Option<UnixMs>, NodeId, String)> =
            nodes.into_iter().map(|(node, endpoint)| (rows.get(&node).map(|(due, _)| *due), node, endpoint)).collect();
        due.sort();
        for (seen, node, endpoint) in due {
            if calls.len() >= AT_ONCE {
                break;
            }
            let is_ours = reports
                .get(&node)
                .is_none_or(|report| report.is_for(self.hub.prober(), seen.unwrap_or_default(), now, has_others));
            if is_ours && self.store.claim_probe(&node, seen, now + self.every_ms.max(CLAIM_MS)).await? {
                let watch = self.clone();
                calls.spawn(async move { watch.call(node, endpoint).await });
            }
        }
        Ok(())
    }

    async fn call(&self, node: NodeId, endpoint: String) {
        let outcome = self.try_call(&node, endpoint).await;
        // Whoever cannot hear anybody blames nobody for it.
        let is_proven = if is_fault(outcome) { self.hears_elsewhere(&node).await } else { Ok(false) };
        let reported = match is_proven {
            Ok(is_proven) => self.report(&node, outcome, is_proven).await,
            Err(error) => Err(error),
        };
        if let Err(error) = reported {
            tracing::debug!(%node, %error, "what came of a probe call is lost");
        }
    }

    async fn try_call(&self, node: &NodeId, endpoint: String) -> Result<Duration, Failure> {
        let outcome = self.prober.call(&self.hub.probe_call(node, endpoint)).await;
        self.tally.count(outcome);
        outcome
    }

    /// Whether this process hears somebody through another node, now.
    async fn hears_elsewhere(&self, failed: &NodeId) -> store::Result<bool> {
        let mut nodes = self.hub.nodes_to_probe();
        let (alive, reports) = (nodes.keys().cloned().collect::<Vec<_>>(), reports(&self.store.probes().await?));
        let Some(other) = control(&reports, &alive, failed) else { return Ok(false) };
        let outcome = self.try_call(other, nodes.remove(other).unwrap_or_default()).await;
        self.report(other, outcome, false).await?;
        Ok(outcome.is_ok())
    }

    async fn report(&self, node: &NodeId, outcome: Result<Duration, Failure>, is_proven: bool) -> store::Result<()> {
        let rows = self.store.probes().await?;
        let (now, prober) = (unix_ms(), self.hub.prober());
        let mut report = rows.get(node).map(|(_, report)| report.clone()).unwrap_or_default();
        match outcome {
            Ok(took) => report.heard(now, prober, took.as_millis() as u32),
            // Whoever has begun to leave meanwhile, or is gone, is not to blame either.
            Err(failure) if is_fault(outcome) && self.hub.nodes_to_probe().contains_key(node) => {
                tracing::warn!(%node, %failure, is_proven, "a probe call failed");
                report.failed(now, prober, failure.to_string(), is_proven);
            }
            Err(_) => report.put_off(now, prober),
        }
        let due = report.next_call(now, self.every_ms, u64::from_ne_bytes(random()));
        self.store.report_probe(node, due, &report).await
    }
}

/// Whether the outcome speaks against the node.
fn is_fault(outcome: Result<Duration, Failure>) -> bool {
    !matches!(outcome, Ok(_) | Err(Failure::Full | Failure::Starved))
}

fn reports(rows: &BTreeMap<NodeId, (UnixMs, Report)>) -> Reports {
    rows.iter().map(|(node, (_, report))| (node.clone(), report.clone())).collect()
}
