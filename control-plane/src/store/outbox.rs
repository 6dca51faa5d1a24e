//! Reading back events that were committed: for a subscriber that missed some.

use super::{Result, Store};
use crate::event::{Committed, Event, Topic};
use guildhall_protocol::{ChannelId, GuildId, UserId};

/// Events per read: a gap is a few events; a subscriber that needs more asks again.
const MOST: u32 = 1000;

impl Topic {
    /// The topic's kind and id as the outbox stores them.
    pub(super) const fn to_sql(self) -> (i64, i64) {
        match self {
            Self::Channel(id) => (0, id.to_sql()),
            Self::Guild(id) => (1, id.to_sql()),
            Self::User(id) => (2, id.to_sql()),
        }
    }

    pub(super) fn from_sql(kind: i64, id: i64) -> Option<Self> {
        match kind {
            0 => Some(Self::Channel(ChannelId::from_sql(id))),
            1 => Some(Self::Guild(GuildId::from_sql(id))),
            2 => Some(Self::User(UserId::from_sql(id))),
            _ => None,
        }
    }
}

impl Store {
    /// The last event of all topics; 0 before the first.
    pub async fn last_event(&self) -> Result<i64> {
        let id: Option<i64> =
            sqlx::query_scalar("SELECT id FROM outbox ORDER BY id DESC LIMIT 1").fetch_optional(self.readers()).await?;
        Ok(id.unwrap_or(0))
    }

    /// Events of all topics in the order of their commits, with their numbers: those after `after`, at most `limit`. Starts later
    /// than `after + 1` if those were pruned.
    pub async fn events_after(&self, after: i64, limit: u32) -> Result<Vec<(i64, Committed)>> {
        let rows: Vec<(i64, i64, String)> =
            sqlx::query_as("SELECT id, seq, event FROM outbox WHERE id > $1 ORDER BY id LIMIT $2")
                .bind(after)
                .bind(limit)
                .fetch_all(self.readers())
                .await?;
        let event = |(id, seq, text): (i64, i64, String)| {
            let event: Event = serde_json::from_str(&text)?;
            Ok((id, Committed { topic: event.topic(), seq: seq as u64, event }))
        };
        rows.into_iter().map(event).collect()
    }

    /// The topic's events after `seq` in order, at most `limit`. Starts later than `seq + 1` if those were pruned.
    pub async fn outbox_after(&self, topic: Topic, seq: u64, limit: u32) -> Result<Vec<Committed>> {
        let (kind, id) = topic.to_sql();
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT seq, event FROM outbox WHERE topic_kind = $1 AND topic_id = $2 AND seq > $3 ORDER BY seq LIMIT $4",
        )
        .bind(kind)
        .bind(id)
        .bind(seq as i64)
        .bind(i64::from(limit.min(MOST)))
        .fetch_all(self.readers())
        .await?;
        rows.into_iter()
            .map(|(seq, event)| Ok(Committed { topic, seq: seq as u64, event: serde_json::from_str(&event)? }))
            .collect()
    }
}
