//! The truth: accounts, guilds, messages and the events that made them, in one SQLite file or a PostgreSQL database.
//!
//! Reads go to a small pool of read-only connections. Every change is a job of one writer task ([`writer`]): it runs many
//! jobs in one transaction, commits, hands the events over for publication and only then answers. So what was answered is
//! durable and has been told. All SQL of the product lives in this folder, in the subset that SQLite and PostgreSQL share;
//! [`engine`] is where they meet. A SQLite file has one process; control planes on one PostgreSQL database write one after
//! another ([`turn`]), so that there is one order of all events.

mod applications;
mod attachments;
mod audit;
mod backup;
mod channels;
mod commands;
mod emojis;
mod engine;
mod farewell;
mod guilds;
mod interactions;
mod invites;
mod location;
mod members;
mod messages;
mod orders;
mod outbox;
mod presence;
mod private_channels;
mod probes;
mod profiles;
mod read_states;
mod recordings;
mod relationships;
mod roles;
mod search;
mod secrets;
mod sessions;
mod settings;
mod stream_keys;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod threads;
mod tokens;
mod turn;
mod users;
mod webhooks;
mod writer;

pub use applications::NewApplication;
pub use attachments::{FileChange, NewAttachment, Quotas, StoredAttachment};
pub use audit::AuditQuery;
pub use backup::{Inspection, copy_database, inspect, known_schema, named_files, put_database};
pub use commands::{CommandIndex, Scope, most_commands};
pub use emojis::StoredEmoji;
pub use guilds::NewGuild;
pub use interactions::{ANSWER_MS, Context, Interaction, InteractionKind, InteractionState};
pub use invites::StoredInvite;
pub use location::{Location, ServerInspection, inspect_server};
pub use members::{Ban, Left};
pub use messages::{NewMessage, Page, REPLY, Reacted, ReactionKey, Sent, WEBHOOK_DISCRIMINATOR};
pub use orders::NodeOrder;
pub use private_channels::{RECIPIENTS, Reach};
pub use profiles::{MutualGuild, Profile};
pub use read_states::ReadState;
pub use recordings::{StoredPiece, StoredRecording, StoredTrack};
pub use relationships::Asked;
pub use search::{Facet, MATCHES, Order, Question, Search, SearchOutcome, Sender, Thing};
#[cfg(any(test, feature = "fuzzing"))]
pub use search::{bare, link_hosts};
pub use secrets::HeldIssuer;
pub use sessions::{Device, Issued, LogIn};
pub use stream_keys::StoredStreamKey;
pub use threads::{Archive, Author, FoundThread, NewThread, PrivateThread, Start, ThreadPage};
pub use tokens::{Caller, TokenHash};
pub use users::{Credentials, Secrets};
pub use writer::{Publication, WriterStats};

use crate::ids::Ids;
use engine::{Db, Engine, Pool};
use guildhall_protocol::Snowflake;
use sqlx::Connection as _;
use sqlx::pool::PoolOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use writer::{Tx, Writer};

/// Readers hold a connection for one short query, so a few serve thousands of requests a second.
const READERS: u32 = 4;
/// A server is further away than a file: a query waits for it more than for the processor.
const POSTGRES_READERS: u32 = 12;
/// Another process (a backup, a shell) may hold the file's lock for a moment; the writer itself never competes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A reader pool that stays exhausted this long means overload: the request fails rather than piles up.
const READER_WAIT: Duration = Duration::from_secs(5);
/// A connection that was just used works; one that was not for this long is tried before it is lent out.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("the name is taken")]
    UsernameTaken,
    #[error("the e-mail address is taken")]
    EmailTaken,
    #[error("another object of the same scope has the name")]
    NameTaken,
    #[error("there was an answer already")]
    AlreadyAnswered,
    #[error("no such object")]
    Missing,
    #[error("the invite is unknown, used up or has expired")]
    InviteSpent,
    #[error("the user is banned")]
    Banned,
    #[error("the user is a member already")]
    AlreadyMember,
    #[error("nobody wrote the message: it says that something happened")]
    System,
    #[error("guilds of its own are in the way")]
    Owner,
    #[error("the thread is archived")]
    Archived,
    #[error("there is one already")]
    AlreadyThere,
    #[error("as many threads as may be are active")]
    TooManyThreads,
    #[error("a documented maximum is reached")]
    Full,
    #[error("the user or the guild has no room left for files")]
    StorageFull,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The job found the world otherwise than its author assumed; nothing was stored.
    #[error("{0}")]
    Conflict(#[from] Conflict),
    /// The writer's queue is full: nothing was stored.
    #[error("the writer's queue is full")]
    Busy,
    /// The writer has stopped, or the commit failed: nothing was stored.
    #[error("the change could not be committed")]
    NotCommitted,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Without the error's own words: they quote what was stored, and that does not reach the log.
    #[error("a stored value cannot be read ({:?}, column {})", .0.classify(), .0.column())]
    Corrupt(#[from] serde_json::Error),
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A cheap handle; clones share connections, writer and caches.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    engine: Engine,
    readers: Pool,
    writer: Writer,
    tokens: tokens::Cache,
    seen: presence::Seen,
    ids: Arc<Ids>,
    searches: Semaphore,
}

impl Store {
    /// Opens the database, a file also if there is none yet, brings its schema up to date and starts the writer. The receiver
    /// yields every job's events in commit order; whoever holds it must complete each [`Publication`], or the job's author
    /// waits for ever.
    pub async fn open(location: &Location) -> anyhow::Result<(Self, mpsc::Receiver<Publication>)> {
        location.migrate().await?;
        let ids = Arc::new(Ids::new(0));
        let mut link = turn::Link::new(location.writer_options()?, ids.clone());
        let connection = link.connection().await?;
        let engine = connection.engine();
        // If the clock was set back while we were away, new ids still come after the old ones.
        let last: Option<(i64, i64)> =
            sqlx::query_as("SELECT id, created_at FROM outbox ORDER BY id DESC LIMIT 1").fetch_optional(connection).await?;
        ids.go_past(last.map_or(0, |(_, ms)| ms as u64));
        let readers = PoolOptions::<Db>::new()
            .max_connections(if engine == Engine::Sqlite { READERS } else { POSTGRES_READERS })
            .acquire_timeout(READER_WAIT)
            .test_before_acquire(false)
            .before_acquire(|connection, lent| {
                Box::pin(async move {
                    // A server may have gone and come back.
                    let is_tried = connection.engine() == Engine::Postgres && lent.idle_for > FRESH;
                    if is_tried { Ok(connection.ping().await.is_ok()) } else { Ok(true) }
                })
            })
            .connect_with(location.reader_options()?)
            .await?;
        let tokens = tokens::Cache::default();
        let last_event = last.map_or(0, |(id, _)| id);
        let (writer, publications) = Writer::start(link, last_event, ids.clone(), tokens.uses.clone());
        let searches = Semaphore::new(search::SEARCHES);
        let inner = Inner { engine, readers, writer, tokens, seen: presence::Seen::default(), ids, searches };
        Ok((Self(Arc::new(inner)), publications))
    }

    /// Whether other processes may write to the database, too.
    pub fn is_shared(&self) -> bool {
        self.0.engine == Engine::Postgres
    }

    /// An id for a new object. Messages get theirs in the writer, so that their ids are in commit order.
    pub fn make_id<T: From<Snowflake>>(&self) -> T {
        self.0.ids.make()
    }

    fn readers(&self) -> &Pool {
        &self.0.readers
    }

    /// Several reads that must agree with each other: one snapshot of the database.
    async fn snapshot(&self) -> Result<sqlx::Transaction<'static, Db>> {
        Ok(self.0.readers.begin().await?)
    }

    /// Runs `work` in the writer's next transaction and answers after its commit and publication.
    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> futures_util::future::BoxFuture<'t, Result<T>> + Send + 'static,
    {
        self.0.writer.run(work).await
    }

    /// Whether a read works now.
    pub async fn check(&self) -> Result<()> {
        sqlx::query("SELECT seq FROM topics LIMIT 1").fetch_optional(self.readers()).await?;
        Ok(())
    }

    pub fn writer_stats(&self) -> WriterStats {
        self.0.writer.stats()
    }

    /// Lets the writer finish what is queued. Later writes fail with `NotCommitted`; reads go on.
    pub async fn stop_writing(&self) {
        self.0.writer.stop().await;
    }

    /// Lets the writer finish what is queued, then closes every connection.
    pub async fn close(&self) {
        self.stop_writing().await;
        self.0.readers.close().await;
    }
}
