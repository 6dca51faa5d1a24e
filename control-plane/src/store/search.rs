//! Search in what was written: an index that changes in the same transaction as the messages, so it never lags and never
//! misses one. In SQLite it is FTS5's; in PostgreSQL it is a GIN index ([`postgres`]).

mod index;
mod postgres;
mod terms;
#[cfg(test)]
mod tests;

pub(super) use index::{index_backlog, index_touched, watch};
pub use terms::{Facet, Question, Sender, Thing};
#[cfg(any(test, feature = "fuzzing"))]
pub use terms::{bare, link_hosts};

use super::engine::{Connection, Engine, Row};
use super::messages::find;
use super::{Result, Store};
use guildhall_protocol::model::Message;
use guildhall_protocol::{ChannelId, MessageId};
use sqlx::Row as _;

/// Matches that are counted and ranked: what a page can reach. Beyond it "more than anybody pages through" is all there is to
/// know, and the cost of a search stays bounded however common its words are.
pub const MATCHES: i64 = 10_000;
/// Searches at a time, so that readers of history always find a connection.
pub(super) const SEARCHES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Newest,
    Oldest,
    /// The best first, of the newest [`MATCHES`].
    Relevance,
}

/// One page of an answer. The question's groups must name the channels that the asker may read.
#[derive(Clone, Debug)]
pub struct Search {
    pub question: Question,
    /// Bounds are exclusive.
    pub after: Option<MessageId>,
    pub before: Option<MessageId>,
    pub order: Order,
    pub offset: u32,
    pub limit: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SearchOutcome {
    /// Messages that are older than the index are still being indexed: this many are.
    NotReady(u64),
    Found {
        /// At most [`MATCHES`].
        total: u64,
        messages: Vec<Message>,
    },
}

impl Store {
    pub async fn search(&self, search: Search) -> Result<SearchOutcome> {
        const COUNT: &str =
            "SELECT COUNT(*) FROM (SELECT 1 FROM search WHERE search MATCH $1 AND rowid > $2 AND rowid < $3 LIMIT $4)";
        const NEWEST: &str = "SELECT rowid AS id, channel_id FROM search WHERE search MATCH $1 AND rowid > $2 AND rowid < $3 \
             ORDER BY rowid DESC LIMIT $4 OFFSET $5";
        const OLDEST: &str = "SELECT rowid AS id, channel_id FROM search WHERE search MATCH $1 AND rowid > $2 AND rowid < $3 \
             ORDER BY rowid LIMIT $4 OFFSET $5";
        // Facets say whether a message is meant, never how well it fits.
        const RELEVANCE: &str = "SELECT id, channel_id FROM (SELECT rowid AS id, channel_id, bm25(search, 1.0, 0.0) AS score FROM search \
             WHERE search MATCH $1 AND rowid > $2 AND rowid < $3 ORDER BY rowid DESC LIMIT $6) ORDER BY score, id DESC LIMIT $4 OFFSET $5";
        let _turn = self.0.searches.acquire().await.expect("nobody closes it");
        let mut connection = self.snapshot().await?;
        if let Some(indexed) = index::backlog(&mut connection).await? {
            return Ok(SearchOutcome::NotReady(indexed));
        }
        if connection.engine() == Engine::Postgres {
            return postgres::search(&mut connection, &search).await;
        }
        let Some(expression) = search.question.expression() else {
            return Ok(SearchOutcome::Found { total: 0, messages: Vec::new() });
        };
        let after = search.after.map_or(0, MessageId::to_sql);
        let before = search.before.map_or(i64::MAX, MessageId::to_sql);
        let total: i64 = sqlx::query_scalar(COUNT)
            .bind(&expression)
            .bind(after)
            .bind(before)
            .bind(MATCHES)
            .fetch_one(&mut *connection)
            .await?;
        let page = match search.order {
            Order::Newest => NEWEST,
            Order::Oldest => OLDEST,
            Order::Relevance => RELEVANCE,
        };
        let mut page = sqlx::query(page).bind(expression).bind(after).bind(before).bind(search.limit).bind(search.offset);
        if search.order == Order::Relevance {
            page = page.bind(MATCHES);
        }
        let rows = page.fetch_all(&mut *connection).await?;
        found(&mut connection, total, rows).await
    }
}

/// The answer, of how many there are and the rows of one page.
async fn found(connection: &mut Connection, total: i64, rows: Vec<Row>) -> Result<SearchOutcome> {
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        let (channel, id) = (ChannelId::from_sql(row.try_get("channel_id")?), MessageId::from_sql(row.try_get("id")?));
        messages.extend(find(connection, channel, id, true).await?);
    }
    Ok(SearchOutcome::Found { total: total as u64, messages })
}
