//! The one task that writes: group commit.
//!
//! A commit costs an fsync (milliseconds), a job costs microseconds. So the writer takes whatever is waiting, up to
//! [`GROUP`] jobs, runs each under a savepoint (one that fails leaves no trace and harms no other), commits once, and hands
//! each job's events over in order. While a group is being published the next one is already running.

use super::engine::Connection;
use super::sessions::Uses;
use super::turn::{self, Caused, Heads, Link};
use super::{Result, StoreError, search};
use crate::event::{Committed, Event, Topic};
use crate::histogram::{Durations, Histogram};
use crate::ids::{Ids, unix_ms};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use guildhall_protocol::Snowflake;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Jobs per transaction. More would not raise throughput (the fsync is amortized by then) but delay the first of them.
const GROUP: usize = 64;
/// Jobs that wait. At 5,000 jobs a second this is a fifth of a second; beyond it callers are told to come back.
const QUEUE: usize = 1024;
/// Committed jobs that wait for publication; when the hub lags this far behind, the writer waits for it.
const PUBLICATIONS: usize = 1024;
/// How long an event stays in the outbox: longer than any session may resume.
const OUTBOX_AGE_MS: u64 = 3_600_000;
/// How long `enforce_nonce` recognizes a retry.
pub const NONCE_AGE_MS: u64 = 300_000;
/// Pruning is done by the writer itself, a little at a time so that no caller notices: at most this many rows per table …
const PRUNE_ROWS: i64 = 512;
/// … this often while there is more, which keeps up with 2,000 events a second …
const PRUNE_EVERY: Duration = Duration::from_millis(250);
/// … and this often to see whether there is something again.
const PRUNE_REST: Duration = Duration::from_secs(5);
/// How often the partitions of the months to come are looked for; there are some for months.
const PARTITIONS_EVERY: Duration = Duration::from_secs(3600);
/// Messages that are older than the search index come into it in steps this far apart: half of the time is everyone else's.
const INDEX_EVERY: Duration = Duration::from_millis(20);

/// A committed job's events on their way to the hub.
pub struct Publication {
    pub events: Vec<Committed>,
    /// The same as JSON, as they are stored.
    pub texts: Vec<String>,
    /// The number of the last of them; those before it have the numbers before it.
    pub last_event: i64,
    answer: Box<dyn FnOnce() + Send>,
}

impl Publication {
    /// Answers the job's author. To be called when every reader of this process would see the events' effects.
    pub fn complete(self) {
        (self.answer)();
    }
}

/// What a job works with: the transaction, and the events it will have caused.
pub struct Tx<'c> {
    connection: &'c mut Connection,
    heads: &'c mut Heads,
    ids: &'c Ids,
    /// The moment that the job's rows are stamped with, Unix milliseconds.
    pub now_ms: u64,
}

impl Tx<'_> {
    pub fn sql(&mut self) -> &mut Connection {
        self.connection
    }

    /// The next id; ids that jobs make are in commit order.
    pub fn make_id<T: From<Snowflake>>(&self) -> T {
        self.ids.make()
    }

    /// Stores the event with the next sequence number of its topic and returns that number.
    pub async fn emit(&mut self, event: Event) -> Result<u64> {
        let seq = 1 + self.heads.last(self.connection, event.topic()).await?;
        self.heads.draft(seq, event, self.now_ms as i64)
    }

    /// The sequence number that the next [`Tx::emit`] on this topic will give, for a row that carries it.
    pub async fn next_seq(&mut self, topic: Topic) -> Result<u64> {
        Ok(1 + self.heads.last(self.connection, topic).await?)
    }
}

/// A job without its types.
trait Job: Send {
    /// Runs the work and keeps its value.
    fn run<'t>(&'t mut self, tx: &'t mut Tx<'_>) -> BoxFuture<'t, Result<()>>;
    /// Answers: with the kept value, or with the error.
    fn finish(self: Box<Self>, outcome: Result<()>);
}

struct Pending<T, F> {
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Pending<T, F>
where
    T: Send,
    F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T>> + Send,
{
    fn run<'t>(&'t mut self, tx: &'t mut Tx<'_>) -> BoxFuture<'t, Result<()>> {
        let work = self.work.take().expect("the writer runs a job once");
        Box::pin(async move {
            self.value = Some(work(tx).await?);
            Ok(())
        })
    }

    fn finish(self: Box<Self>, outcome: Result<()>) {
        let Self { value, reply, .. } = *self;
        let answer = outcome.and_then(|()| value.ok_or(StoreError::NotCommitted));
        // The author may have hung up (its client did); what it asked for is done all the same.
        let _ = reply.send(answer);
    }
}

/// What the task did since the start. Only it counts.
#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    jobs: AtomicU64,
    failures: AtomicU64,
    /// Of transactions that were committed, from their first job to the disk.
    durations: Histogram,
}

/// A snapshot of the writer, for metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct WriterStats {
    /// Transactions with jobs that were committed; pruning is not counted.
    pub commits: u64,
    /// Jobs that those transactions made durable. One that found a conflict is none of them.
    pub jobs: u64,
    /// Transactions that could not be committed.
    pub failures: u64,
    /// Jobs that wait now.
    pub waiting: usize,
    /// How long the committed transactions took, from their first job to the disk.
    pub durations: Durations,
}

/// The handle through which jobs reach the task.
pub struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
    counters: Arc<Counters>,
    stop: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Writer {
    /// `last_event`: the number of the last one that was ever committed.
    pub fn start(link: Link, last_event: i64, ids: Arc<Ids>, uses: Arc<Uses>) -> (Self, mpsc::Receiver<Publication>) {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let (publications, published) = mpsc::channel(PUBLICATIONS);
        let (stop, stopped) = oneshot::channel();
        let counters = Arc::<Counters>::default();
        let task = tokio::spawn(run(link, Heads::new(last_event), ids, uses, waiting, publications, stopped, counters.clone()));
        (Self { jobs, counters, stop: Mutex::new(Some((stop, task))) }, published)
    }

    pub fn stats(&self) -> WriterStats {
        let Counters { commits, jobs, failures, durations } = &*self.counters;
        WriterStats {
            commits: commits.load(Relaxed),
            jobs: jobs.load(Relaxed),
            failures: failures.load(Relaxed),
            waiting: self.jobs.max_capacity() - self.jobs.capacity(),
            durations: durations.read(),
        }
    }

    pub async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending { work: Some(work), value: None, reply });
        self.jobs.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::NotCommitted,
        })?;
        answer.await.unwrap_or(Err(StoreError::NotCommitted))
    }

    /// Takes no new jobs, finishes the queue, closes the connection.
    pub async fn stop(&self) {
        if let Some((stop, task)) = self.stop.lock().await.take() {
            let _ = stop.send(());
            let _ = task.await;
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "a task's own things, given once")]
async fn run(
    mut link: Link,
    mut heads: Heads,
    ids: Arc<Ids>,
    uses: Arc<Uses>,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    publications: mpsc::Sender<Publication>,
    mut stopped: oneshot::Receiver<()>,
    counters: Arc<Counters>,
) {
    let (mut prune_at, mut partitions_at) = (Instant::now(), Instant::now());
    loop {
        if partitions_at <= Instant::now() {
            if let Err(error) = turn::make_partitions(&mut link).await {
                tracing::warn!(%error, "messages of the months to come have no partitions yet; it will be tried again");
                link.roll_back().await;
            }
            partitions_at = Instant::now() + PARTITIONS_EVERY;
        }
        if prune_at <= Instant::now() {
            let pause = tidy(&mut link, &mut heads, &ids, &uses).await;
            prune_at = Instant::now() + pause;
        }
        let first = tokio::select! {
            biased;
            _ = &mut stopped, if !waiting.is_closed() => {
                waiting.close();
                continue;
            }
            job = waiting.recv() => job,
            () = tokio::time::sleep_until(prune_at.into()) => continue,
        };
        let Some(first) = first else { break };
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = waiting.try_recv()
        {
            group.push(job);
        }
        for publication in commit_group(&mut link, &mut heads, &ids, &counters, group).await {
            if publications.send(publication).await.is_err() {
                return; // the publisher is gone: nobody is left to answer to
            }
        }
    }
    link.close().await;
}

/// One transaction. Jobs that failed are answered here; the others' answers wait for their publication.
async fn commit_group(
    link: &mut Link,
    heads: &mut Heads,
    ids: &Ids,
    counters: &Counters,
    group: Vec<Box<dyn Job>>,
) -> Vec<Publication> {
    let mut done = Vec::with_capacity(group.len());
    let mut group = group.into_iter();
    let begin = Instant::now();
    let outcome = match link.connection().await {
        Ok(connection) => transaction(connection, heads, ids, &mut group, &mut done).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => {
            counters.durations.count(begin.elapsed());
            counters.commits.fetch_add(1, Relaxed);
            counters.jobs.fetch_add(done.len() as u64, Relaxed);
            let caused = heads.take(done.iter().map(|(_, events)| *events));
            let publication = |((job, _), Caused { events, texts, last_event }): (Done, Caused)| Publication {
                events,
                texts,
                last_event,
                answer: Box::new(move || job.finish(Ok(()))),
            };
            done.into_iter().zip(caused).map(publication).collect()
        }
        Err(error) => {
            counters.failures.fetch_add(1, Relaxed);
            tracing::error!(%error, jobs = done.len() + group.len(), "a transaction failed; its jobs are refused");
            heads.forget();
            link.roll_back().await;
            for job in done.into_iter().map(|(job, _)| job).chain(group) {
                job.finish(Err(StoreError::NotCommitted));
            }
            Vec::new()
        }
    }
}

/// A job that succeeded, and how many events it caused.
type Done = (Box<dyn Job>, usize);

async fn transaction(
    connection: &mut Connection,
    heads: &mut Heads,
    ids: &Ids,
    group: &mut std::vec::IntoIter<Box<dyn Job>>,
    done: &mut Vec<Done>,
) -> Result<()> {
    turn::begin(connection, heads, ids).await?;
    let now_ms = unix_ms();
    for mut job in group.by_ref() {
        // The savepoint of a job that failed is as good as new; that of one that succeeded must be moved on.
        if !done.is_empty() {
            connection.run("RELEASE job; SAVEPOINT job").await?;
        }
        let mut tx = Tx { connection: &mut *connection, heads: &mut *heads, ids, now_ms };
        let outcome = AssertUnwindSafe(job.run(&mut tx)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("a job of the writer panicked; it is refused");
            Err(StoreError::NotCommitted)
        });
        match outcome {
            Ok(()) => done.push((job, heads.keep_job())),
            Err(error) => {
                heads.undo_job();
                let undone = connection.run("ROLLBACK TO job").await;
                job.finish(Err(error));
                undone?;
            }
        }
    }
    turn::commit(connection, heads, ids).await
}

/// What nobody waits for: old rows go, old messages come into the search index, uses of tokens are noted. A turn of its own, so
/// that a failure concerns nobody. Answers how long to wait before the next.
async fn tidy(link: &mut Link, heads: &mut Heads, ids: &Ids, uses: &Uses) -> Duration {
    let tidied = async {
        let connection = link.connection().await?;
        turn::begin(connection, heads, ids).await?;
        let has_more = prune(connection, unix_ms()).await? | uses.write(connection).await?;
        let has_backlog = search::index_backlog(connection).await?;
        turn::commit(connection, heads, ids).await?;
        Ok::<_, StoreError>((has_more, has_backlog))
    };
    match tidied.await {
        Ok((_, true)) => INDEX_EVERY,
        Ok((true, false)) => PRUNE_EVERY,
        Ok((false, false)) => PRUNE_REST,
        Err(error) => {
            tracing::error!(%error, "old rows cannot be deleted or indexed");
            heads.forget();
            link.roll_back().await;
            PRUNE_REST
        }
    }
}

/// Deletes some of what nobody can ask for any more. Whether a table may hold more of it.
pub(super) async fn prune(connection: &mut Connection, now_ms: u64) -> Result<bool> {
    // `id` is commit order, so the oldest rows are the first ones and no index on the time is needed.
    let events = sqlx::query("DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT $1) AND created_at < $2")
        .bind(PRUNE_ROWS)
        .bind(now_ms.saturating_sub(OUTBOX_AGE_MS) as i64)
        .execute(&mut *connection)
        .await?;
    let nonces = sqlx::query(
        "DELETE FROM nonces WHERE (channel_id, author_id, nonce) IN \
         (SELECT channel_id, author_id, nonce FROM nonces WHERE created_at < $2 ORDER BY created_at LIMIT $1)",
    )
    .bind(PRUNE_ROWS)
    .bind(now_ms.saturating_sub(NONCE_AGE_MS) as i64)
    .execute(&mut *connection)
    .await?;
    let audited = super::audit::prune(connection, now_ms, PRUNE_ROWS).await?;
    let interactions = super::interactions::prune(connection, now_ms, PRUNE_ROWS).await?;
    let has_more_graves = empty_a_grave(connection).await?;
    let is_full = |rows: u64| rows >= PRUNE_ROWS as u64;
    let pruned = [events.rows_affected(), nonces.rows_affected(), audited, interactions];
    Ok(has_more_graves || pruned.into_iter().any(is_full))
}

/// A thread that begins at a message has that message's id, and so had one there that was deleted before: what is left of that
/// one goes at once, or the new one's messages would follow it.
pub(super) async fn close_grave(connection: &mut Connection, channel: i64) -> Result<()> {
    let closed = sqlx::query("DELETE FROM graves WHERE channel_id = $1").bind(channel).execute(&mut *connection).await?;
    if closed.rows_affected() > 0 {
        sqlx::query("DELETE FROM messages WHERE channel_id = $1").bind(channel).execute(&mut *connection).await?;
        sqlx::query("DELETE FROM read_states WHERE channel_id = $1").bind(channel).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Deletes some messages of a deleted channel and some of what people had read there, and its grave with the last of them. Whether there was one.
async fn empty_a_grave(connection: &mut Connection) -> Result<bool> {
    let grave: Option<i64> =
        sqlx::query_scalar("SELECT channel_id FROM graves ORDER BY channel_id LIMIT 1").fetch_optional(&mut *connection).await?;
    let Some(channel) = grave else { return Ok(false) };
    let messages = sqlx::query(
        "DELETE FROM messages WHERE channel_id = $1 AND id IN (SELECT id FROM messages WHERE channel_id = $1 ORDER BY id LIMIT $2)",
    )
    .bind(channel)
    .bind(PRUNE_ROWS)
    .execute(&mut *connection)
    .await?;
    let read = sqlx::query(
        "DELETE FROM read_states WHERE channel_id = $1 AND user_id IN \
         (SELECT user_id FROM read_states WHERE channel_id = $1 ORDER BY user_id LIMIT $2)",
    )
    .bind(channel)
    .bind(PRUNE_ROWS)
    .execute(&mut *connection)
    .await?;
    if messages.rows_affected().max(read.rows_affected()) < PRUNE_ROWS as u64 {
        sqlx::query("DELETE FROM graves WHERE channel_id = $1").bind(channel).execute(&mut *connection).await?;
    }
    Ok(true)
}
