//! Where the database is, how it is connected to, and how it comes into the form of this version.

use super::BUSY_TIMEOUT;
use super::engine::Options;
use anyhow::Context;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Different statements that a connection keeps prepared: the store has some hundreds.
const STATEMENTS: usize = 512;
/// A writer whose process was stopped or cut off between two statements holds up every other control plane. The server ends its
/// transaction after this long.
const IDLE_IN_TRANSACTION: &str = "5s";
/// A turn comes within milliseconds, or when a writer that stands still has lost its own; after this long the jobs are refused.
const LOCK_TIMEOUT: &str = "10s";
/// No read takes this long unless something is wrong.
const STATEMENT_TIMEOUT: &str = "10s";

/// How long a server that is only looked at may take to answer.
const INSPECTION: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file.
    File(PathBuf),
    /// The URL of a PostgreSQL database; it may hold a password.
    Postgres(String),
}

impl From<&Path> for Location {
    fn from(file: &Path) -> Self {
        Self::File(file.to_owned())
    }
}

impl FromStr for Location {
    type Err = String;

    /// A path, or a URL that begins with `postgres://` or `postgresql://`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            // Its words may quote the URL, and the password in it.
            PgConnectOptions::from_str(text).map_err(|_| "the URL cannot be understood".to_owned())?;
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.split_once("://") {
            Some((scheme, _)) => {
                Err(format!("there is no database of the kind {scheme}; it must be a path or a postgres:// URL"))
            }
            None if text.is_empty() => Err("it must be a path or a postgres:// URL".to_owned()),
            None => Ok(Self::File(text.into())),
        }
    }
}

/// Without the password.
impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Postgres(url) => match PgConnectOptions::from_str(url) {
                Ok(options) => {
                    let database = options.get_database().unwrap_or(options.get_username());
                    write!(formatter, "{database} on {}", options.get_host())
                }
                Err(_) => formatter.write_str("PostgreSQL"),
            },
        }
    }
}

impl Location {
    /// Brings the schema up to date. Control planes that start together do it one after the other.
    pub(super) async fn migrate(&self) -> anyhow::Result<()> {
        match self {
            Self::File(path) => {
                let mut connection = SqliteConnection::connect_with(&sqlite(path).create_if_missing(true)).await?;
                sqlx::migrate!("migrations/sqlite").run(&mut connection).await?;
                connection.close().await?;
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect_with(&postgres(url, &[])?).await?;
                // While a fleet is upgraded, a newer version may have been here.
                sqlx::migrate!("migrations/postgres").set_ignore_missing(true).run(&mut connection).await?;
                connection.close().await?;
            }
        }
        Ok(())
    }

    pub(super) fn writer_options(&self) -> anyhow::Result<Options> {
        match self {
            Self::File(path) => Ok(Options::Sqlite(sqlite(path))),
            Self::Postgres(url) => {
                let settings = [("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION), ("lock_timeout", LOCK_TIMEOUT)];
                Ok(Options::Postgres(postgres(url, &settings)?))
            }
        }
    }

    pub(super) fn reader_options(&self) -> anyhow::Result<Options> {
        match self {
            Self::File(path) => Ok(Options::Sqlite(sqlite(path).read_only(true).pragma("query_only", "ON"))),
            Self::Postgres(url) => {
                let settings = [("default_transaction_read_only", "on"), ("statement_timeout", STATEMENT_TIMEOUT)];
                Ok(Options::Postgres(postgres(url, &settings)?))
            }
        }
    }
}

/// What is known of a PostgreSQL database without looking into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInspection {
    /// Of the server, as it says.
    pub version: String,
    /// The form of its tables; 0: there are none.
    pub schema: i64,
    /// When it was last changed as far as it knows, Unix milliseconds.
    pub last_change_ms: Option<u64>,
}

/// Looks at a PostgreSQL database and changes nothing. A server may be running on it.
pub async fn inspect_server(location: &Location) -> anyhow::Result<ServerInspection> {
    let connecting = async { anyhow::Ok(location.reader_options()?.connect().await?) };
    let mut connection = tokio::time::timeout(INSPECTION, connecting)
        .await
        .context("it did not answer in time")?
        .context("it cannot be reached")?;
    let version =
        sqlx::query_scalar("SELECT split_part(current_setting('server_version'), ' ', 1)").fetch_one(&mut connection).await?;
    let is_ours: bool =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut connection).await?;
    let (mut schema, mut last_change_ms) = (0, None);
    if is_ours {
        schema = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations").fetch_one(&mut connection).await?;
        let last: Option<i64> =
            sqlx::query_scalar("SELECT created_at FROM outbox ORDER BY id DESC LIMIT 1").fetch_optional(&mut connection).await?;
        last_change_ms = last.map(|ms| ms as u64);
    }
    connection.close().await?;
    Ok(ServerInspection { version, schema, last_change_ms })
}

fn sqlite(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
}

fn postgres(url: &str, settings: &[(&str, &str)]) -> anyhow::Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url).context("the URL of the database cannot be understood")?;
    let options = options.application_name("guildhall").statement_cache_capacity(STATEMENTS);
    Ok(options.options(settings.iter().copied()).disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::Location;

    #[test]
    fn a_location_is_a_path_or_a_url_and_never_shows_its_password() {
        assert_eq!("some/file.db".parse(), Ok(Location::File("some/file.db".into())));
        let postgres: Location = "postgres://ann:secret@db.example:5433/hall".parse().unwrap();
        assert_eq!(postgres.to_string(), "hall on db.example");
        assert!("mysql://x/y".parse::<Location>().unwrap_err().contains("mysql"));
        assert!("".parse::<Location>().is_err());
        assert!("postgres://x:secret@:bad:/".parse::<Location>().is_err_and(|error| !error.contains("secret")));
    }
}
