//! Where tests keep their databases: a file in the test's folder, or, if `GUILDHALL_TEST_DATABASE` is `postgres`, a database of
//! the test's own on a private PostgreSQL server that lives as long as the test process.

use super::Location;
use super::engine::{Connection, Options};
use sqlx::{ConnectOptions, Connection as _};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What all tests' databases are copies of.
const TEMPLATE: &str = "form";

/// Databases that were made.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A test's database. It is gone with this.
pub struct Place {
    /// `None`: a file in the test's folder.
    name: Option<String>,
    pub location: Location,
}

struct Server {
    folder: PathBuf,
    /// The server ends with its standard input, which ends with this process.
    _process: Child,
}

pub fn is_on_postgres() -> bool {
    std::env::var("GUILDHALL_TEST_DATABASE").is_ok_and(|engine| engine == "postgres")
}

impl Server {
    /// The one of this process.
    async fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _turn = STARTING.lock().await;
        if let Some(server) = SERVER.get() {
            return server;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/postgres.sh");
        let mut process = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the script starts");
        let mut folder = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut folder).unwrap();
        assert!(!folder.is_empty(), "PostgreSQL did not start: see above");
        let server = Self { folder: folder.trim().into(), _process: process };
        server.run(&format!("CREATE DATABASE {TEMPLATE}")).await;
        server.location(TEMPLATE).migrate().await.unwrap();
        SERVER.get_or_init(|| server)
    }

    fn location(&self, name: &str) -> Location {
        Location::Postgres(format!("postgres://guildhall@localhost/{name}?host={}", self.folder.display()))
    }

    async fn run(&self, statement: &str) {
        let Location::Postgres(url) = self.location("postgres") else { unreachable!("it is one") };
        let mut connection = url.parse::<Options>().unwrap().connect().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

impl Place {
    pub async fn new(folder: &Path) -> Self {
        if is_on_postgres() {
            return Self::on_postgres().await;
        }
        Self { name: None, location: Location::File(folder.join("test.db")) }
    }

    /// On PostgreSQL in any case: for what only a shared database can do.
    pub async fn on_postgres() -> Self {
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let server = Server::get().await;
        server.run(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await;
        Self { location: server.location(&name), name: Some(name) }
    }

    /// The same database, for another process on it. It goes with the first.
    pub fn beside(&self) -> Self {
        Self { name: None, location: self.location.clone() }
    }

    /// A statement from outside, for what no caller may do.
    pub async fn run(&self, statement: &'static str) {
        let mut connection: Connection = match &self.location {
            Location::File(file) => file.to_str().unwrap().parse::<Options>().unwrap().connect().await.unwrap(),
            Location::Postgres(url) => url.parse::<Options>().unwrap().connect().await.unwrap(),
        };
        sqlx::query(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

impl Drop for Place {
    /// A database takes 8 MB, and there are hundreds of tests. The test's runtime is ending, so this has one of its own.
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { Server::get().await.run(&format!("DROP DATABASE {name} WITH (FORCE)")).await });
        });
        // A test that failed says why by itself.
        let _ = dropped.join();
    }
}

/// A private Redis, reached by a socket in its folder. It ends with this, or with the process.
pub struct Redis {
    folder: PathBuf,
    process: Child,
}

impl Redis {
    /// Debian's `redis-tools` has the program, under another name, and starts no server of its own.
    pub fn start(folder: &Path) -> Self {
        const SCRIPT: &str = "cd \"$0\" && rm -f socket && ln -sf \"$(command -v redis-server || command -v redis-check-rdb)\" redis-server && \
             { ./redis-server --port 0 --unixsocket \"$0/socket\" --save '' --appendonly no >log 2>&1 & } && \
             { cat >/dev/null; kill $!; wait; }";
        let mut command = Command::new("sh");
        let process = command.args(["-c", SCRIPT]).arg(folder).stdin(Stdio::piped()).spawn().expect("there is a shell");
        Self { folder: folder.to_owned(), process }
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}/socket", self.folder.display())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
