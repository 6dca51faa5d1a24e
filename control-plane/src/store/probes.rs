//! Probe calls at voice nodes: who makes the next one, and what came of those before. Control planes on one database share them,
//! so that each node is called once however many of them there are.

use super::{Result, Store};
use guildhall_fleet::probes::{Report, UnixMs};
use guildhall_protocol::fleet::NodeId;
use std::collections::BTreeMap;

/// What is known of a node that nobody calls any more is forgotten after a day.
const FORGET_AFTER_MS: UnixMs = 24 * 3_600_000;

impl Store {
    /// When each node's next call is due, and what is known of it.
    pub async fn probes(&self) -> Result<BTreeMap<NodeId, (UnixMs, Report)>> {
        let rows: Vec<(String, i64, String)> =
            sqlx::query_as("SELECT node, due, report FROM probes").fetch_all(self.readers()).await?;
        // A report that another version wrote, and that is not understood, begins anew.
        let read = |(node, due, report): (String, i64, String)| {
            Some((node.parse().ok()?, (due as UnixMs, serde_json::from_str(&report).unwrap_or_default())))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Moves the time at which the node's call is due, if it is still as it was `seen`. `true`: this caller has moved it.
    pub async fn claim_probe(&self, node: &NodeId, seen: Option<UnixMs>, due: UnixMs) -> Result<bool> {
        let node = node.to_string();
        self.write(move |tx| {
            Box::pin(async move {
                let claimed = match seen {
                    Some(seen) => sqlx::query("UPDATE probes SET due = $2 WHERE node = $1 AND due = $3")
                        .bind(node)
                        .bind(due as i64)
                        .bind(seen as i64),
                    None => {
                        sqlx::query("INSERT INTO probes (node, due, report) VALUES ($1, $2, '{}') ON CONFLICT (node) DO NOTHING")
                            .bind(node)
                            .bind(due as i64)
                    }
                };
                Ok(claimed.execute(tx.sql()).await?.rows_affected() == 1)
            })
        })
        .await
    }

    /// What came of a call that ended now, and when the next one is due.
    pub async fn report_probe(&self, node: &NodeId, due: UnixMs, report: &Report) -> Result<()> {
        let (node, forgotten) = (node.to_string(), report.at.saturating_sub(FORGET_AFTER_MS));
        let report = serde_json::to_string(report).expect("a report is plain data");
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("UPDATE probes SET due = $2, report = $3 WHERE node = $1")
                    .bind(node)
                    .bind(due as i64)
                    .bind(report)
                    .execute(tx.sql())
                    .await?;
                sqlx::query("DELETE FROM probes WHERE due < $1").bind(forgotten as i64).execute(tx.sql()).await?;
                Ok(())
            })
        })
        .await
    }
}
