//! A writer's turn: how its transactions begin and end, and what it knows of those who wrote before.
//!
//! In SQLite there is one writer. In PostgreSQL there is one for each control plane, and a transaction begins with a lock that
//! is released by its commit: transactions come one after another, whoever's they are. Under the lock a writer reads the number
//! of the last event; if another control plane wrote since its own last turn, it reads what of its knowledge is out of date. So
//! events are numbered without gaps in the order of their commits, and so is each topic. A group of jobs is one turn.

use super::engine::{Connection, Engine, Options};
use super::{Result, StoreError, search};
use crate::event::{Committed, Event, Topic};
use crate::ids::Ids;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Topics whose last sequence number is remembered. Forgetting one costs a read.
const HEADS: usize = 65_536;
/// Events of others that are looked through for topics that we know; of more, everything that we know is forgotten instead.
const NEWS: i64 = 4_096;
/// The first half of the advisory locks that stand for the numbers of control planes, a random choice.
const NUMBERS: i32 = 0x6775_6c64;
/// How long a connection may take to come about. Jobs wait for it.
const CONNECT: Duration = Duration::from_secs(5);

/// Statements that store so many events at once, the largest first. Each is prepared once, and each call of SQLite is a trip to
/// another thread, which costs more than a row.
static OUTBOX_INSERTS: LazyLock<[(usize, String); 3]> = LazyLock::new(|| {
    [32, 8, 1].map(|rows| {
        let values = vec!["(?, ?, ?, ?, ?, ?)"; rows].join(", ");
        (rows, format!("INSERT INTO outbox (id, topic_kind, topic_id, seq, event, created_at) VALUES {values}"))
    })
});

/// The writer's connection, which is made anew if a server went away.
pub struct Link {
    options: Options,
    connection: Option<Connection>,
    ids: Arc<Ids>,
}

impl Link {
    pub const fn new(options: Options, ids: Arc<Ids>) -> Self {
        Self { options, connection: None, ids }
    }

    /// Connects if need be.
    pub async fn connection(&mut self) -> Result<&mut Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => tokio::time::timeout(CONNECT, self.connect()).await.map_err(|_| StoreError::NotCommitted)??,
        };
        Ok(self.connection.insert(connection))
    }

    async fn connect(&self) -> Result<Connection> {
        let mut connection = self.options.connect().await?;
        search::watch(&mut connection).await?;
        if connection.engine() == Engine::Postgres {
            // This control plane's number in the ids that it makes is one that nobody else has: an advisory lock that lives as
            // long as the connection.
            let mut number = self.ids.process();
            while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1::INTEGER, $2::INTEGER)")
                .bind(NUMBERS)
                .bind(number as i64)
                .fetch_one(&mut connection)
                .await?
            {
                number = Ids::another_process(number);
                if number == self.ids.process() {
                    tracing::error!("every number of a control plane is taken");
                    return Err(StoreError::NotCommitted);
                }
            }
            self.ids.set_process(number);
        }
        Ok(connection)
    }

    /// After a failed transaction: ends it, and gives up a connection that no longer works.
    pub async fn roll_back(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        if connection.engine() == Engine::Postgres && connection.ping().await.is_err() {
            tracing::warn!("the writer has lost the database");
            self.connection = None;
            return;
        }
        // Whether a transaction is still open depends on what failed; a rollback without one is a harmless error.
        let _ = connection.run("ROLLBACK").await;
    }

    pub async fn close(self) {
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::error!(%error, "the database did not close cleanly");
        }
    }
}

/// Begins a turn, with the savepoint of its first job. `heads` is up to date after it.
pub async fn begin(connection: &mut Connection, heads: &mut Heads, ids: &Ids) -> Result<()> {
    if heads.known.len() > HEADS {
        heads.known.clear();
    }
    match connection.engine() {
        Engine::Sqlite => connection.run("BEGIN IMMEDIATE; SAVEPOINT job").await?,
        Engine::Postgres => {
            // The number is as random as NUMBERS.
            let rows = sqlx::raw_sql(
                "BEGIN; SELECT pg_advisory_xact_lock(7454127125268785004); SELECT last_event, last_id_ms FROM commits; SAVEPOINT job",
            )
            .fetch_all(&mut *connection)
            .await?;
            let last = rows.last().ok_or(sqlx::Error::RowNotFound)?;
            let (last_event, last_id_ms): (i64, i64) = (last.try_get("last_event")?, last.try_get("last_id_ms")?);
            if last_event != heads.last_event {
                heads.catch_up(connection, last_event).await?;
            }
            if last_id_ms as u64 != heads.last_id_ms {
                // Ids are in commit order, also if the clocks of two machines differ.
                ids.go_past(last_id_ms as u64);
                heads.last_id_ms = last_id_ms as u64;
            }
        }
    }
    heads.committed_event = heads.last_event;
    Ok(())
}

/// In PostgreSQL: sees to it that the months to come have their partitions. It needs the table for itself for a moment; while
/// somebody reads it for long (a backup does), nobody is made to wait behind this, and it is tried again later.
pub async fn make_partitions(link: &mut Link) -> Result<()> {
    let connection = link.connection().await?;
    if connection.engine() == Engine::Postgres {
        connection
            .run(
                "BEGIN; SET LOCAL lock_timeout = '1s'; SELECT pg_advisory_xact_lock(7454127125268785004); \
                 SELECT make_message_partitions(3); COMMIT",
            )
            .await?;
    }
    Ok(())
}

/// Ends a turn: writes what its jobs caused, and commits.
pub async fn commit(connection: &mut Connection, heads: &mut Heads, ids: &Ids) -> Result<()> {
    search::index_touched(connection).await?;
    heads.store(connection, ids).await?;
    connection.run("COMMIT").await?;
    Ok(())
}

/// An event that is given its number and not yet stored.
struct Draft {
    committed: Committed,
    /// As it is stored.
    text: String,
    at: i64,
}

/// What a job caused.
#[derive(Default)]
pub struct Caused {
    pub events: Vec<Committed>,
    /// The same as JSON, for those who are told over the bus.
    pub texts: Vec<String>,
    /// The number of the last of them.
    pub last_event: i64,
}

/// The last sequence number of each topic in use, and the events of this turn.
#[derive(Default)]
pub struct Heads {
    known: HashMap<Topic, u64>,
    /// Changed in this transaction, with the value before this *job*, newest last: what a failed job takes back.
    undo: Vec<(Topic, u64)>,
    /// Changed in this transaction: what is written before its commit.
    changed: Vec<Topic>,
    drafts: Vec<Draft>,
    /// Drafts of the jobs before this one.
    kept: usize,
    /// The number of the last event, with those of this transaction and without.
    last_event: i64,
    committed_event: i64,
    /// What `commits` says of the last id.
    last_id_ms: u64,
}

impl Heads {
    pub fn new(last_event: i64) -> Self {
        Self { last_event, committed_event: last_event, ..Self::default() }
    }

    pub async fn last(&mut self, connection: &mut Connection, topic: Topic) -> Result<u64> {
        if let Some(&seq) = self.known.get(&topic) {
            return Ok(seq);
        }
        let (kind, id) = topic.to_sql();
        let stored: Option<i64> = sqlx::query_scalar("SELECT seq FROM topics WHERE kind = $1 AND id = $2")
            .bind(kind)
            .bind(id)
            .fetch_optional(connection)
            .await?;
        let seq = stored.unwrap_or(0) as u64;
        self.known.insert(topic, seq);
        Ok(seq)
    }

    /// Gives the event the numbers after the last ones; the sequence number of its topic.
    pub fn draft(&mut self, seq: u64, event: Event, at: i64) -> Result<u64> {
        let topic = event.topic();
        let text = serde_json::to_string(&event)?;
        let before = self.known.insert(topic, seq).unwrap_or(0);
        self.undo.push((topic, before));
        if !self.changed.contains(&topic) {
            self.changed.push(topic);
        }
        self.last_event += 1;
        self.drafts.push(Draft { committed: Committed { topic, seq, event }, text, at });
        Ok(seq)
    }

    /// The job is done; how many events it caused.
    pub fn keep_job(&mut self) -> usize {
        self.undo.clear();
        let caused = self.drafts.len() - self.kept;
        self.kept = self.drafts.len();
        caused
    }

    pub fn undo_job(&mut self) {
        while let Some((topic, before)) = self.undo.pop() {
            self.known.insert(topic, before);
        }
        self.last_event -= (self.drafts.len() - self.kept) as i64;
        self.drafts.truncate(self.kept);
    }

    /// What jobs caused, after the commit: for each of them so many events.
    pub fn take(&mut self, counts: impl Iterator<Item = usize>) -> Vec<Caused> {
        let mut drafts = std::mem::take(&mut self.drafts).into_iter();
        let mut last_event = self.committed_event;
        self.kept = 0;
        self.committed_event = self.last_event;
        let caused = counts.map(|count| {
            last_event += count as i64;
            let (events, texts) = drafts.by_ref().take(count).map(|draft| (draft.committed, draft.text)).unzip();
            Caused { events, texts, last_event }
        });
        caused.collect()
    }

    /// Others wrote, up to this event: what of it concerns topics that we know is read, or they are forgotten.
    async fn catch_up(&mut self, connection: &mut Connection, last_event: i64) -> Result<()> {
        let missed = last_event - self.last_event;
        let rows: Vec<(i64, i64, i64)> = if (1..=NEWS).contains(&missed) {
            sqlx::query_as("SELECT topic_kind, topic_id, seq FROM outbox WHERE id > $1 AND id <= $2 ORDER BY id")
                .bind(self.last_event)
                .bind(last_event)
                .fetch_all(connection)
                .await?
        } else {
            Vec::new()
        };
        // Pruned, or too many.
        if rows.len() as i64 != missed {
            self.known.clear();
        }
        for (kind, id, seq) in rows {
            if let Some(known) = Topic::from_sql(kind, id).and_then(|topic| self.known.get_mut(&topic)) {
                *known = seq as u64;
            }
        }
        self.last_event = last_event;
        Ok(())
    }

    /// Writes the events, the topics and the last numbers. A topic changed only by a job that failed is written with its old
    /// value.
    async fn store(&mut self, connection: &mut Connection, ids: &Ids) -> Result<()> {
        match connection.engine() {
            Engine::Sqlite => self.store_in_few(connection).await,
            Engine::Postgres => self.store_at_once(connection, ids).await,
        }
    }

    async fn store_in_few(&mut self, connection: &mut Connection) -> Result<()> {
        let mut drafts = self.drafts.iter();
        let mut id = self.committed_event;
        while let Some((rows, statement)) = OUTBOX_INSERTS.iter().find(|(rows, _)| *rows <= drafts.len()) {
            let mut insert = sqlx::query(AssertSqlSafe(statement.as_str()));
            for draft in drafts.by_ref().take(*rows) {
                let (kind, topic_id) = draft.committed.topic.to_sql();
                id += 1;
                insert =
                    insert.bind(id).bind(kind).bind(topic_id).bind(draft.committed.seq as i64).bind(&draft.text).bind(draft.at);
            }
            insert.execute(&mut *connection).await?;
        }
        for topic in self.changed.drain(..) {
            let (kind, id) = topic.to_sql();
            sqlx::query(
                "INSERT INTO topics (kind, id, seq) VALUES ($1, $2, $3) ON CONFLICT (kind, id) DO UPDATE SET seq = excluded.seq",
            )
            .bind(kind)
            .bind(id)
            .bind(self.known[&topic] as i64)
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }

    /// One trip to the server for all of it.
    async fn store_at_once(&mut self, connection: &mut Connection, ids: &Ids) -> Result<()> {
        let topics: Vec<(i64, i64)> = self.changed.iter().map(|topic| topic.to_sql()).collect();
        let seqs: Vec<i64> = self.changed.iter().map(|topic| self.known[topic] as i64).collect();
        let drafts = || self.drafts.iter();
        let of: Vec<(i64, i64)> = drafts().map(|draft| draft.committed.topic.to_sql()).collect();
        let last_id_ms = ids.last_ms().max(self.last_id_ms);
        sqlx::query(
            "WITH told AS (INSERT INTO outbox (id, topic_kind, topic_id, seq, event, created_at) \
               SELECT a, b, c, d, e, f FROM unnest($1, $2, $3, $4, $5, $6) AS told (a, b, c, d, e, f)), \
             counted AS (INSERT INTO topics (kind, id, seq) SELECT a, b, c FROM unnest($7, $8, $9) AS counted (a, b, c) \
               ON CONFLICT (kind, id) DO UPDATE SET seq = excluded.seq) \
             UPDATE commits SET last_event = $10, last_id_ms = $11",
        )
        .bind((self.committed_event + 1..=self.last_event).collect::<Vec<i64>>())
        .bind(of.iter().map(|(kind, _)| *kind).collect::<Vec<i64>>())
        .bind(of.iter().map(|(_, id)| *id).collect::<Vec<i64>>())
        .bind(drafts().map(|draft| draft.committed.seq as i64).collect::<Vec<i64>>())
        .bind(drafts().map(|draft| draft.text.clone()).collect::<Vec<String>>())
        .bind(drafts().map(|draft| draft.at).collect::<Vec<i64>>())
        .bind(topics.iter().map(|(kind, _)| *kind).collect::<Vec<i64>>())
        .bind(topics.iter().map(|(_, id)| *id).collect::<Vec<i64>>())
        .bind(seqs)
        .bind(self.last_event)
        .bind(last_id_ms as i64)
        .execute(connection)
        .await?;
        self.changed.clear();
        self.last_id_ms = last_id_ms;
        Ok(())
    }

    /// After a failed transaction nothing that is remembered can be trusted.
    pub fn forget(&mut self) {
        *self = Self::new(self.committed_event);
    }
}
