//! What operators said of voice nodes and rooms: it outlives the process, and holds for every control plane on the database.

use super::{Result, Store};
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::NodeId;
use std::collections::BTreeMap;

/// A node without one serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeOrder {
    /// Takes no new rooms.
    Cordoned,
    /// Is to be empty by then, in Unix milliseconds.
    Draining { deadline_ms: u64 },
}

impl Store {
    /// Every order. Nodes are named by operators only if they are known, so there are not many.
    pub async fn node_orders(&self) -> Result<BTreeMap<NodeId, NodeOrder>> {
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT node, is_draining, deadline FROM node_orders").fetch_all(self.readers()).await?;
        let order = |(node, is_draining, deadline): (String, i64, i64)| {
            let order = if is_draining == 0 { NodeOrder::Cordoned } else { NodeOrder::Draining { deadline_ms: deadline as u64 } };
            Some((node.parse().ok()?, order))
        };
        Ok(rows.into_iter().filter_map(order).collect())
    }

    pub async fn order_node(&self, node: &NodeId, order: Option<NodeOrder>) -> Result<()> {
        let node = node.to_string();
        self.write(move |tx| {
            Box::pin(async move {
                let Some(order) = order else {
                    sqlx::query("DELETE FROM node_orders WHERE node = $1").bind(node).execute(tx.sql()).await?;
                    return Ok(());
                };
                let (is_draining, deadline) = match order {
                    NodeOrder::Cordoned => (0_i64, 0),
                    NodeOrder::Draining { deadline_ms } => (1, deadline_ms as i64),
                };
                sqlx::query(
                    "INSERT INTO node_orders (node, is_draining, deadline) VALUES ($1, $2, $3) \
                     ON CONFLICT (node) DO UPDATE SET is_draining = excluded.is_draining, deadline = excluded.deadline",
                )
                .bind(node)
                .bind(is_draining)
                .bind(deadline)
                .execute(tx.sql())
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Rooms that are kept on a node, at most so many.
    pub async fn room_pins(&self, most: usize) -> Result<BTreeMap<ChannelId, NodeId>> {
        let rows: Vec<(i64, String)> = sqlx::query_as("SELECT room, node FROM room_pins ORDER BY room LIMIT $1")
            .bind(most as i64)
            .fetch_all(self.readers())
            .await?;
        Ok(rows.into_iter().filter_map(|(room, node)| Some((ChannelId::from_sql(room), node.parse().ok()?))).collect())
    }

    /// Keeps a room on a node; `None`: on none any more.
    pub async fn pin_room(&self, room: ChannelId, node: Option<&NodeId>) -> Result<()> {
        let node = node.map(NodeId::to_string);
        self.write(move |tx| {
            Box::pin(async move {
                let pinned = match node {
                    Some(node) => sqlx::query(
                        "INSERT INTO room_pins (room, node) VALUES ($1, $2) ON CONFLICT (room) DO UPDATE SET node = excluded.node",
                    )
                    .bind(room.to_sql())
                    .bind(node),
                    None => sqlx::query("DELETE FROM room_pins WHERE room = $1").bind(room.to_sql()),
                };
                pinned.execute(tx.sql()).await?;
                Ok(())
            })
        })
        .await
    }
}
