//! A `guildhall` process of the fleet, in the network namespace of its region.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A debug build on a loaded machine needs some of it.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A voice node hands its rooms over first, for 15 seconds at most.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const READY: &str = "Guildhall is ready: http://";
const LOGIN: &str = "Owner login:";
const PASSWORD: &str = "Owner password:";

/// Where a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A network namespace; `None`: the one of this process.
    pub namespace: Option<String>,
    pub ip: std::net::Ipv4Addr,
}

impl Host {
    /// This machine's loopback.
    pub const LOOPBACK: Self = Self { namespace: None, ip: std::net::Ipv4Addr::LOCALHOST };
}

/// The account that a first start makes: login and password.
pub type Owner = (String, String);

/// A running process. It is killed with this, and with the thread that started it.
pub struct Process {
    child: Child,
    /// `host:port` that it listens on.
    pub address: String,
    pub owner: Option<Owner>,
}

impl Process {
    /// `guildhall serve …`, ready. What it logs goes to the file's end.
    pub fn serve(binary: &Path, host: &Host, arguments: &[String], log: &Path) -> Result<Self> {
        let log_file = File::options().create(true).append(true).open(log)?;
        let mut command = within(host, binary);
        command.arg("serve").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file);
        let mut child = command.spawn().with_context(|| format!("starting {}", binary.display()))?;
        let output = child.stdout.take().context("its output was asked for")?;
        let (said, heard) = mpsc::channel();
        // Reads to the end, so that the process never waits for us to read.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more once it is ready.
                let _ = said.send(line);
            }
        });
        let deadline = Instant::now() + START_TIMEOUT;
        let (mut login, mut owner) = (None, None);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = heard.recv_timeout(left) else {
                // It may be gone already.
                let _ = child.kill();
                let _ = child.wait();
                bail!("{} did not become ready: {}", binary.display(), tail(log));
            };
            if let Some(text) = line.strip_prefix(LOGIN) {
                login = Some(text.trim().to_owned());
            } else if let Some(text) = line.strip_prefix(PASSWORD) {
                let password = text.split_whitespace().next().unwrap_or_default().to_owned();
                owner = login.take().map(|login| (login, password));
            } else if let Some(address) = line.strip_prefix(READY) {
                return Ok(Self { child, address: address.trim().to_owned(), owner });
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Between two instructions.
    pub fn kill_9(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// As a supervisor stops it.
    pub fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("a process did not stop within {STOP_TIMEOUT:?} of SIGTERM");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `guildhall …`, which ends by itself.
pub fn run(binary: &Path, host: &Host, arguments: &[String]) -> Result<Output> {
    within(host, binary).args(arguments).stdin(Stdio::null()).output().with_context(|| format!("starting {}", binary.display()))
}

/// Killed when the thread that starts it dies, however that dies. Where util-linux is missing, only an end by itself cleans up.
fn within(host: &Host, binary: &Path) -> Command {
    let setpriv = PathBuf::from("/usr/bin/setpriv");
    let mut words: Vec<String> = Vec::new();
    if setpriv.exists() {
        words.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned));
    }
    if let Some(namespace) = &host.namespace {
        // It replaces itself by the program.
        words.extend(["ip", "netns", "exec", namespace].map(str::to_owned));
    }
    match words.split_first() {
        None => Command::new(binary),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(binary);
            command
        }
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
