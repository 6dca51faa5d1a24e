//! One `guildhall serve` process on a data folder of its own, on ports that the system chose.
//!
//! The process is ended by its id when the [`Server`] goes; if the test is failing then, what the server logged is printed.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A debug build makes its keys, certificate and owner within a second; two cores under full load need more.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How long an asked-for shutdown may take before it counts as hanging.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// How much of the log a failing test prints.
const LOG_TAIL: usize = 120;

/// The account that the first start creates and shows once.
#[derive(Clone, Debug)]
pub struct Owner {
    pub login: String,
    pub password: String,
}

pub struct Server {
    process: Option<Child>,
    data: TempDir,
    extra: Vec<String>,
    /// Variables beside those of the test run.
    environment: Vec<(String, String)>,
    address: SocketAddr,
    owner: Owner,
    log: Arc<Mutex<Vec<String>>>,
}

/// What a start printed before it was ready.
struct Ready {
    address: SocketAddr,
    owner: Option<Owner>,
}

impl Server {
    /// Starts a server on an empty data folder and waits until it says that it is ready.
    pub fn start() -> Server {
        Self::start_with(&[])
    }

    /// The same with further arguments to `serve`.
    pub fn start_with(extra: &[&str]) -> Server {
        Self::start_among(extra, &[])
    }

    /// The same on an address of a network that the calling thread is in.
    pub fn start_at(ip: Ipv4Addr) -> Server {
        Self::start_on(&format!("{ip}:0"), &[], &[])
    }

    /// On loopback, among environment variables.
    pub fn start_among(extra: &[&str], environment: &[(String, String)]) -> Server {
        Self::start_on("127.0.0.1:0", extra, environment)
    }

    fn start_on(listen: &str, extra: &[&str], environment: &[(String, String)]) -> Server {
        let data = tempfile::Builder::new().prefix("guildhall-test-").tempdir().expect("a temporary folder");
        let extra: Vec<String> = extra.iter().map(|argument| argument.to_string()).collect();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (process, ready) = launch(data.path(), listen, &extra, environment, &log);
        let owner = ready.owner.expect("the first start shows the owner's login and password");
        Server { process: Some(process), data, extra, environment: environment.to_vec(), address: ready.address, owner, log }
    }

    /// Starts on a data folder that a backup was restored to; `owner` is the one of the server that the backup is of.
    pub fn start_restored(data: TempDir, owner: Owner, extra: &[&str]) -> Server {
        let extra: Vec<String> = extra.iter().map(|argument| argument.to_string()).collect();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (process, ready) = launch(data.path(), "127.0.0.1:0", &extra, &[], &log);
        assert!(ready.owner.is_none(), "the owner is in the backup");
        Server { process: Some(process), data, extra, environment: Vec::new(), address: ready.address, owner, log }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The certificate authority that the server made for itself; clients that speak TLS to it trust this file.
    pub fn ca(&self) -> PathBuf {
        self.data.path().join("tls").join("ca.pem")
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Everything that the server wrote to its standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no reader panics").join("\n")
    }

    /// Ends the process between two instructions, as a power cut would.
    pub fn kill_9(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        process.kill().expect("a child can be killed");
        process.wait().expect("a killed child ends");
    }

    /// Sends SIGTERM, SIGINT … and waits for the exit.
    pub fn signal(&mut self, name: &str) -> ExitStatus {
        let mut process = self.process.take().expect("the server runs");
        send_signal(&process, name);
        wait_for_exit(&mut process, STOP_DEADLINE)
    }

    /// Stops the process where it is, until [`Server::go_on`].
    pub fn pause(&self) {
        send_signal(self.process.as_ref().expect("the server runs"), "STOP");
    }

    pub fn go_on(&self) {
        send_signal(self.process.as_ref().expect("the server runs"), "CONT");
    }

    /// Starts again on the same data and the same port. The server must not run.
    pub fn restart(&mut self) {
        self.relaunch(&self.address.to_string());
    }

    /// Starts again on the same data and a port that the system chooses.
    pub fn restart_elsewhere(&mut self) {
        self.relaunch("127.0.0.1:0");
    }

    fn relaunch(&mut self, listen: &str) {
        assert!(self.process.is_none(), "the server still runs");
        let (process, ready) = launch(self.data.path(), listen, &self.extra, &self.environment, &self.log);
        assert!(ready.owner.is_none(), "only the first start creates an owner");
        self.process = Some(process);
        self.address = ready.address;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have died on its own; the test has failed for another reason then.
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let tail = &log[log.len().saturating_sub(LOG_TAIL)..];
            eprintln!("--- the server's log ({} lines, the last {}) ---\n{}\n---", log.len(), tail.len(), tail.join("\n"));
        }
    }
}

/// The server binary of this build.
pub fn binary() -> PathBuf {
    let binary = crate::build_dir().join("guildhall");
    assert!(binary.exists(), "{} is missing: run `cargo build --bins` first (`make test` does)", binary.display());
    binary
}

fn launch(
    data: &Path,
    listen: &str,
    extra: &[String],
    environment: &[(String, String)],
    log: &Arc<Mutex<Vec<String>>>,
) -> (Child, Ready) {
    let (ip, _) = listen.rsplit_once(':').expect("an address and a port");
    // A test may have people told another address.
    let is_told = extra.iter().any(|argument| argument == "--media-ip");
    let media_ip: &[&str] = if is_told { &[] } else { &["--media-ip", ip] };
    let mut process = bound_to_this_thread(&binary())
        .arg("serve")
        .args(["--data".as_ref(), data.as_os_str()])
        .args(["--listen", listen, "--media-listen", ip, "--media-port", "0"])
        .args(media_ip)
        .args(extra)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server binary starts");

    let stderr = BufReader::new(process.stderr.take().expect("piped"));
    let keep = Arc::clone(log);
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            keep.lock().expect("no reader panics").push(line);
        }
    });

    let stdout = BufReader::new(process.stdout.take().expect("piped"));
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            // Once it is ready nobody listens, but the pipe must still be emptied.
            let _ = said.send(line);
        }
    });

    let deadline = Instant::now() + START_DEADLINE;
    let mut owner_login = None;
    let mut owner = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = match heard.recv_timeout(left) {
            Ok(line) => line,
            Err(why) => {
                let _ = process.kill();
                let _ = process.wait();
                panic!("the server did not become ready ({why}): {}", log.lock().expect("no reader panics").join("\n"));
            }
        };
        if let Some(login) = line.strip_prefix("Owner login:") {
            owner_login = Some(login.trim().to_string());
        } else if let Some(password) = line.strip_prefix("Owner password:") {
            let login = owner_login.take().expect("the login is shown before the password");
            let password = password.split_whitespace().next().expect("a password is shown").to_string();
            owner = Some(Owner { login, password });
        } else if let Some(url) = line.strip_prefix("Guildhall is ready: http://") {
            let address = url.trim().parse().expect("the ready line names address and port");
            return (process, Ready { address, owner });
        }
    }
}

/// Starts a process that is no server of its own and has no owner: where it listens.
pub(crate) fn launch_at(data: &Path, listen: &str, extra: &[String], log: &Arc<Mutex<Vec<String>>>) -> (Child, SocketAddr) {
    let (process, ready) = launch(data, listen, extra, &[], log);
    assert!(ready.owner.is_none(), "only a control plane has an owner");
    (process, ready.address)
}

/// A port of loopback that nobody has, for what must be known before the process starts and again after its restart.
pub(crate) fn free_port() -> u16 {
    guildhall_loadtest::ports::free_port(std::net::Ipv4Addr::LOCALHOST.into()).expect("loopback has free ports")
}

/// A command whose process is killed when the test's thread dies, however it dies: a test run that is killed runs no
/// destructor. Where util-linux is missing, only a run that ends by itself cleans up.
pub(crate) fn bound_to_this_thread(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    // It replaces itself by the program, so the process id stays.
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// By way of the shell, because calling `kill(2)` needs unsafe code.
fn send_signal(process: &Child, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", process.id())]).status().expect("a shell starts");
    assert!(status.success(), "signal {name} was delivered");
}

/// Polls, because the standard library has no wait with a deadline.
fn wait_for_exit(process: &mut Child, limit: Duration) -> ExitStatus {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = process.try_wait().expect("a child can be waited for") {
            return status;
        }
        if Instant::now() > deadline {
            let _ = process.kill();
            let _ = process.wait();
            panic!("the server did not end within {limit:?} of the signal");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
