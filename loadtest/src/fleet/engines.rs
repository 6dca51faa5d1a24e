//! A private PostgreSQL and a private Redis. Both end with this process, however it ends: the shells that run them wait for the
//! end of their standard input.

use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// It says of itself how it works.
const POSTGRES: &str = include_str!("../../../tests/postgres.sh");
/// Debian's `redis-tools` has the program, under another name, and starts no server of its own.
const REDIS: &str = "cd \"$0\" && rm -f socket && ln -sf \"$(command -v redis-server || command -v redis-check-rdb)\" redis-server && \
     { ./redis-server --port 0 --unixsocket \"$0/socket\" --save '' --appendonly no >log 2>&1 & } && \
     { cat >/dev/null; kill -9 $!; wait; }";

/// A server with one empty database, which waits for the disk as one of production does.
pub struct Postgres {
    folder: PathBuf,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    process: Child,
}

impl Postgres {
    pub fn start() -> Result<Self> {
        let place = tempfile::Builder::new().prefix("guildhall-postgres-").tempdir()?;
        let script = place.path().join("postgres.sh");
        std::fs::write(&script, POSTGRES)?;
        let mut command = Command::new("sh");
        command.arg(&script).arg("fsync").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("a shell for PostgreSQL")?;
        let mut answers = BufReader::new(process.stdout.take().context("its output was asked for")?);
        let mut folder = String::new();
        answers.read_line(&mut folder)?;
        ensure!(!folder.is_empty(), "PostgreSQL did not start: see above");
        Ok(Self { folder: folder.trim().into(), orders: process.stdin.take(), answers, process })
    }

    /// The socket that it listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// Of the database, by way of the socket.
    pub fn url(&self) -> String {
        format!("postgres://guildhall@localhost/postgres?host={}", self.folder.display())
    }

    /// As a crash does, between two instructions.
    pub fn stop(&mut self) -> Result<()> {
        self.order("stop")
    }

    /// On what is there, after a stop. Returns when it takes connections.
    pub fn start_again(&mut self) -> Result<()> {
        self.order("start")
    }

    fn order(&mut self, word: &str) -> Result<()> {
        let orders = self.orders.as_mut().context("it runs")?;
        writeln!(orders, "{word}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(answer.trim() == word, "PostgreSQL did not {word}: see above");
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.process.wait();
    }
}

/// A server that keeps nothing.
pub struct Redis {
    folder: TempDir,
    process: Option<Child>,
}

impl Redis {
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("guildhall-redis-").tempdir()?;
        Ok(Self { process: Some(run_redis(folder.path())?), folder })
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Kills it.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }

    /// After a stop; empty.
    pub fn start_again(&mut self) -> Result<()> {
        self.stop();
        self.process = Some(run_redis(self.folder.path())?);
        Ok(())
    }
}

fn run_redis(folder: &Path) -> Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", REDIS]).arg(folder).stdin(Stdio::piped()).spawn().context("a shell for Redis")
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
