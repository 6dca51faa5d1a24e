//! The two engines behind one set of names: what the rest of the store calls [`Connection`], [`Row`] and [`Pool`] is a SQLite
//! file or a PostgreSQL server, decided when the store is opened.
//!
//! This is a driver of `sqlx` in its own right that hands everything on to one of two others, so that `sqlx::query` and its
//! kin work on it unchanged. (`sqlx::Any`, which is meant for this, copies every value of every row, knows no unsigned numbers
//! and cannot read a flag from SQLite.) Values are 64-bit integers, texts and bytes; a flag is an integer in both engines. What
//! else differs is asked for by [`Connection::engine`] where it is written: search, the lock, and lists as values.

mod values;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use sqlx::database::Database;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, PgStatement, Postgres};
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Column, ColumnIndex, ConnectOptions, Either, Error, Execute, Executor, SqlStr, Statement, Transaction};
use sqlx_core::transaction::TransactionManager;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::time::timeout;
use values::{Arguments, Held, Kind, Value, ValueRef};

/// How long a PostgreSQL server may say nothing while it is asked something. A statement that takes longer is ended by the server itself
/// (`lock_timeout`, `statement_timeout`), so after this long the server is gone, or the network to it, without a word: no error of
/// the connection would come for a quarter of an hour.
const ANSWER: Duration = Duration::from_secs(12);
/// The same for a question that takes no work.
const PING: Duration = Duration::from_secs(1);

pub type Pool = sqlx::Pool<Db>;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// The driver.
#[derive(Debug)]
pub struct Db;

impl Database for Db {
    type Connection = Connection;
    type TransactionManager = Transactions;
    type Row = Row;
    type QueryResult = Outcome;
    type Column = NoColumn;
    type TypeInfo = Kind;
    type Value = Held;
    type ValueRef<'r> = ValueRef<'r>;
    type Arguments = Arguments;
    type ArgumentBuffer = Vec<Value>;
    type Statement = NoStatement;
    const NAME: &'static str = "SQLite or PostgreSQL";
    const URL_SCHEMES: &'static [&'static str] = &[];
}

#[derive(Debug)]
pub enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Connection {
    pub const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs statements without values, in one trip.
    pub async fn run(&mut self, statements: &'static str) -> Result<(), Error> {
        match self {
            // Prepared once, which a plain text would be every time.
            Self::Sqlite(connection) => sqlx::query(statements).execute(connection).await.map(drop),
            // PostgreSQL prepares no more than one statement at a time; a plain text may have several.
            Self::Postgres(connection) => answered(ANSWER, sqlx::raw_sql(statements).execute(connection)).await.map(drop),
        }
    }
}

/// Forwards a call to whichever connection it is.
macro_rules! either {
    ($connection:expr, $each:ident => $call:expr) => {
        match $connection {
            Connection::Sqlite($each) => $call,
            Connection::Postgres($each) => $call,
        }
    };
}

impl sqlx::Connection for Connection {
    type Database = Db;
    type Options = Options;

    async fn close(self) -> Result<(), Error> {
        either!(self, each => each.close().await)
    }

    async fn close_hard(self) -> Result<(), Error> {
        either!(self, each => each.close_hard().await)
    }

    async fn ping(&mut self) -> Result<(), Error> {
        match self {
            Self::Sqlite(each) => each.ping().await,
            Self::Postgres(each) => answered(PING, each.ping()).await,
        }
    }

    fn begin(&mut self) -> impl Future<Output = Result<Transaction<'_, Db>, Error>> + Send + '_ {
        Transaction::begin(self, None)
    }

    fn shrink_buffers(&mut self) {
        either!(self, each => each.shrink_buffers());
    }

    async fn flush(&mut self) -> Result<(), Error> {
        either!(self, each => each.flush().await)
    }

    fn should_flush(&self) -> bool {
        either!(self, each => each.should_flush())
    }
}

/// What a server answers, or that it does not. The connection is of no use then: whatever comes later is an answer to something else.
async fn answered<T>(within: Duration, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(within, answer).await.unwrap_or_else(|_| Err(silent()))
}

/// The same for each step of a longer answer.
fn each_answered<'e, T: Send + 'e>(within: Duration, steps: BoxStream<'e, Result<T, Error>>) -> BoxStream<'e, Result<T, Error>> {
    let next = move |steps: Option<BoxStream<'e, Result<T, Error>>>| async move {
        let mut steps = steps?;
        match timeout(within, steps.next()).await {
            Ok(step) => Some((step?, Some(steps))),
            Err(_) => Some((Err(silent()), None)),
        }
    };
    stream::unfold(Some(steps), next).boxed()
}

fn silent() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database does not answer"))
}

/// How a connection is made.
#[derive(Clone, Debug)]
pub enum Options {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

impl std::str::FromStr for Options {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            url.parse().map(Self::Postgres)
        } else {
            url.parse().map(Self::Sqlite)
        }
    }
}

impl ConnectOptions for Options {
    type Connection = Connection;

    fn from_url(url: &url::Url) -> Result<Self, Error> {
        url.as_str().parse()
    }

    async fn connect(&self) -> Result<Connection, Error> {
        match self {
            Self::Sqlite(options) => options.connect().await.map(Connection::Sqlite),
            Self::Postgres(options) => options.connect().await.map(Connection::Postgres),
        }
    }

    fn log_statements(self, level: log::LevelFilter) -> Self {
        match self {
            Self::Sqlite(options) => Self::Sqlite(options.log_statements(level)),
            Self::Postgres(options) => Self::Postgres(options.log_statements(level)),
        }
    }

    fn log_slow_statements(self, level: log::LevelFilter, duration: std::time::Duration) -> Self {
        match self {
            Self::Sqlite(options) => Self::Sqlite(options.log_slow_statements(level, duration)),
            Self::Postgres(options) => Self::Postgres(options.log_slow_statements(level, duration)),
        }
    }
}

/// Transactions of readers. The writer begins and ends its own.
pub struct Transactions;

impl TransactionManager for Transactions {
    type Database = Db;

    async fn begin(connection: &mut Connection, statement: Option<SqlStr>) -> Result<(), Error> {
        match connection {
            Connection::Sqlite(each) => <Sqlite as Database>::TransactionManager::begin(each, statement).await,
            Connection::Postgres(each) => {
                // Without this every statement would see what was committed before it, not before the first.
                let one_snapshot = || sqlx::SqlSafeStr::into_sql_str("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
                let statement = statement.unwrap_or_else(one_snapshot);
                answered(ANSWER, <Postgres as Database>::TransactionManager::begin(each, Some(statement))).await
            }
        }
    }

    async fn commit(connection: &mut Connection) -> Result<(), Error> {
        match connection {
            Connection::Sqlite(each) => <Sqlite as Database>::TransactionManager::commit(each).await,
            Connection::Postgres(each) => answered(ANSWER, <Postgres as Database>::TransactionManager::commit(each)).await,
        }
    }

    async fn rollback(connection: &mut Connection) -> Result<(), Error> {
        match connection {
            Connection::Sqlite(each) => <Sqlite as Database>::TransactionManager::rollback(each).await,
            Connection::Postgres(each) => <Postgres as Database>::TransactionManager::rollback(each).await,
        }
    }

    fn start_rollback(connection: &mut Connection) {
        match connection {
            Connection::Sqlite(each) => <Sqlite as Database>::TransactionManager::start_rollback(each),
            Connection::Postgres(each) => <Postgres as Database>::TransactionManager::start_rollback(each),
        }
    }

    fn get_transaction_depth(connection: &Connection) -> usize {
        match connection {
            Connection::Sqlite(each) => <Sqlite as Database>::TransactionManager::get_transaction_depth(each),
            Connection::Postgres(each) => <Postgres as Database>::TransactionManager::get_transaction_depth(each),
        }
    }
}

pub enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl sqlx::Row for Row {
    type Database = Db;

    fn len(&self) -> usize {
        match self {
            Self::Sqlite(row) => row.len(),
            Self::Postgres(row) => row.len(),
        }
    }

    /// Nobody asks for a row's columns but for their number, which is above.
    fn columns(&self) -> &[NoColumn] {
        &[]
    }

    fn try_get_raw<I: ColumnIndex<Self>>(&self, index: I) -> Result<ValueRef<'_>, Error> {
        let index = index.index(self)?;
        match self {
            Self::Sqlite(row) => row.try_get_raw(index).map(ValueRef::Sqlite),
            Self::Postgres(row) => row.try_get_raw(index).map(ValueRef::Postgres),
        }
    }
}

impl ColumnIndex<Row> for usize {
    fn index(&self, row: &Row) -> Result<usize, Error> {
        match row {
            Row::Sqlite(row) => self.index(row),
            Row::Postgres(row) => self.index(row),
        }
    }
}

impl ColumnIndex<Row> for &'_ str {
    fn index(&self, row: &Row) -> Result<usize, Error> {
        match row {
            Row::Sqlite(row) => self.index(row),
            Row::Postgres(row) => self.index(row),
        }
    }
}

/// What a statement that changes something did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    rows_affected: u64,
}

impl Outcome {
    pub const fn rows_affected(self) -> u64 {
        self.rows_affected
    }
}

impl Extend<Self> for Outcome {
    fn extend<T: IntoIterator<Item = Self>>(&mut self, others: T) {
        self.rows_affected += others.into_iter().map(Self::rows_affected).sum::<u64>();
    }
}

/// What PostgreSQL is asked.
struct Asked {
    sql: SqlStr,
    /// `None`: a plain text, which is not prepared.
    arguments: Option<PgArguments>,
}

impl Execute<'_, Postgres> for Asked {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        Ok(self.arguments.take())
    }

    /// A statement stays prepared for as long as its connection lives, unless it takes all columns that there are: when a later
    /// version adds one, while this one runs beside it, PostgreSQL refuses to go on with what was prepared before.
    fn persistent(&self) -> bool {
        let takes_all = ["SELECT *", "RETURNING *", ".*"].iter().any(|all| self.sql.as_str().contains(all));
        !takes_all
    }
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Db;

    fn fetch_many<'e, 'q: 'e, E>(self, mut query: E) -> BoxStream<'e, Result<Either<Outcome, Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Db>,
    {
        let arguments = match query.take_arguments() {
            Ok(arguments) => arguments,
            Err(error) => return stream::iter([Err(Error::Encode(error))]).boxed(),
        };
        match self {
            Connection::Sqlite(connection) => match arguments.map(Arguments::for_sqlite).transpose() {
                Ok(arguments) => connection
                    .fetch_many((query.sql(), arguments))
                    .map(|step| match step? {
                        Either::Left(done) => Ok(Either::Left(Outcome { rows_affected: done.rows_affected() })),
                        Either::Right(row) => Ok(Either::Right(Row::Sqlite(row))),
                    })
                    .boxed(),
                Err(error) => stream::iter([Err(Error::Encode(error))]).boxed(),
            },
            Connection::Postgres(connection) => match arguments.map(Arguments::for_postgres).transpose() {
                Ok(arguments) => each_answered(ANSWER, connection.fetch_many(Asked { sql: query.sql(), arguments }))
                    .map(|step| match step? {
                        Either::Left(done) => Ok(Either::Left(Outcome { rows_affected: done.rows_affected() })),
                        Either::Right(row) => Ok(Either::Right(Row::Postgres(row))),
                    })
                    .boxed(),
                Err(error) => stream::iter([Err(Error::Encode(error))]).boxed(),
            },
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, mut query: E) -> BoxFuture<'e, Result<Option<Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Db>,
    {
        Box::pin(async move {
            let arguments = query.take_arguments().map_err(Error::Encode)?;
            match self {
                Connection::Sqlite(connection) => {
                    let arguments = arguments.map(Arguments::for_sqlite).transpose().map_err(Error::Encode)?;
                    Ok(connection.fetch_optional((query.sql(), arguments)).await?.map(Row::Sqlite))
                }
                Connection::Postgres(connection) => {
                    let arguments = arguments.map(Arguments::for_postgres).transpose().map_err(Error::Encode)?;
                    Ok(answered(ANSWER, connection.fetch_optional(Asked { sql: query.sql(), arguments }))
                        .await?
                        .map(Row::Postgres))
                }
            }
        })
    }

    fn prepare_with<'e>(self, _: SqlStr, _: &'e [Kind]) -> BoxFuture<'e, Result<NoStatement, Error>>
    where
        'c: 'e,
    {
        Box::pin(async { Err(not_offered()) })
    }

    fn describe<'e>(self, _: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Db>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async { Err(not_offered()) })
    }
}

/// Both engines prepare and remember statements by their text; nobody holds one by itself.
fn not_offered() -> Error {
    Error::Protocol("statements are not prepared by hand".to_owned())
}

/// There is no value of this type.
#[derive(Clone, Debug)]
pub enum NoColumn {}

impl Column for NoColumn {
    type Database = Db;

    fn ordinal(&self) -> usize {
        match *self {}
    }

    fn name(&self) -> &str {
        match *self {}
    }

    fn type_info(&self) -> &Kind {
        match *self {}
    }
}

/// There is no value of this type.
#[derive(Clone, Debug)]
pub enum NoStatement {}

impl Statement for NoStatement {
    type Database = Db;

    fn into_sql(self) -> SqlStr {
        match self {}
    }

    fn sql(&self) -> &SqlStr {
        match *self {}
    }

    fn parameters(&self) -> Option<Either<&[Kind], usize>> {
        match *self {}
    }

    fn columns(&self) -> &[NoColumn] {
        match *self {}
    }

    fn query(&self) -> sqlx::query::Query<'_, Db, Arguments> {
        match *self {}
    }

    fn query_with<A: sqlx::IntoArguments<Db>>(&self, _: A) -> sqlx::query::Query<'_, Db, A> {
        match *self {}
    }

    fn query_as<O: for<'r> sqlx::FromRow<'r, Row>>(&self) -> sqlx::query::QueryAs<'_, Db, O, Arguments> {
        match *self {}
    }

    fn query_as_with<'s, O, A>(&'s self, _: A) -> sqlx::query::QueryAs<'s, Db, O, A>
    where
        O: for<'r> sqlx::FromRow<'r, Row>,
        A: sqlx::IntoArguments<Db>,
    {
        match *self {}
    }

    fn query_scalar<O>(&self) -> sqlx::query::QueryScalar<'_, Db, O, Arguments>
    where
        (O,): for<'r> sqlx::FromRow<'r, Row>,
    {
        match *self {}
    }

    fn query_scalar_with<'s, O, A>(&'s self, _: A) -> sqlx::query::QueryScalar<'s, Db, O, A>
    where
        (O,): for<'r> sqlx::FromRow<'r, Row>,
        A: sqlx::IntoArguments<Db>,
    {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_silence<T>(answer: &Result<T, Error>) -> bool {
        matches!(answer, Err(Error::Io(error)) if error.kind() == io::ErrorKind::TimedOut)
    }

    /// Nobody answers in these tests, ever: only how long is waited for it depends on this.
    const SOON: Duration = Duration::from_millis(5);

    #[tokio::test]
    async fn a_server_that_falls_silent_is_given_up_also_in_the_middle_of_an_answer() {
        assert!(is_silence(&answered(SOON, std::future::pending::<Result<(), Error>>()).await));
        assert_eq!(answered(PING, async { Ok(7) }).await.ok(), Some(7));

        let steps = stream::iter([Ok(1), Ok(2)]).chain(stream::pending()).boxed();
        let steps: Vec<Result<u8, Error>> = each_answered(SOON, steps).collect().await;
        assert!(matches!(&steps[..], [Ok(1), Ok(2), last] if is_silence(last)), "{steps:?}");
        let whole: Vec<Result<u8, Error>> = each_answered(ANSWER, stream::iter([Ok(1)]).boxed()).collect().await;
        assert!(matches!(&whole[..], [Ok(1)]), "{whole:?}");
    }
}
