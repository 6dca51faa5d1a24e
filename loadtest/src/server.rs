//! The server under load: started, watched through `/proc`, stopped.

use crate::cores::{self, Cores};
use crate::progress;
use crate::scenario;
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A release build is ready in well under a second; this covers a debug build on a loaded machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const READY: &str = "Guildhall is ready: ";
/// The media threads' names start with this.
const MEDIA_THREADS: &str = "sfu-";
const TMPFS_MAGIC: i64 = 0x0102_1994;

pub struct Server {
    pub url: String,
    pub pid: u32,
    /// Where durable sends end, if it is ours.
    pub data: Option<PathBuf>,
    owned: Option<Owned>,
}

/// A process of ours and what it was started with.
struct Owned {
    child: Child,
    binary: PathBuf,
    cores: Vec<usize>,
    media: scenario::Server,
    /// The data folder, if it goes with us.
    _temporary: Option<TempDir>,
}

/// CPU time in nanoseconds since the process began.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime {
    pub media_ns: u64,
    pub process_ns: u64,
}

impl Server {
    pub fn running(url: &str, pid: u32) -> Self {
        Self { url: url.to_owned(), pid, data: None, owned: None }
    }

    /// Starts a private server on the server's cores, on free ports of loopback, with one media worker.
    pub fn start(binary: Option<PathBuf>, data: Option<PathBuf>, cores: &Cores) -> Result<Self> {
        Self::start_with(binary, data, cores, scenario::Server::default())
    }

    pub fn start_with(binary: Option<PathBuf>, data: Option<PathBuf>, cores: &Cores, media: scenario::Server) -> Result<Self> {
        let binary = match binary {
            Some(binary) => binary,
            None => std::env::current_exe()?.with_file_name("guildhall"),
        };
        let (folder, temporary) = match data {
            Some(folder) => (folder, None),
            None => {
                let temporary = tempfile::Builder::new().prefix("guildhall-bench-").tempdir()?;
                (temporary.path().to_path_buf(), Some(temporary))
            }
        };
        let (child, url) = launch(&binary, &folder, "127.0.0.1:0", &cores.server, media)?;
        progress(&format!("{} serves {url} on core {:?}, we generate on {:?}", binary.display(), cores.server, cores.generator));
        let pid = child.id();
        Ok(Self {
            url,
            pid,
            data: Some(folder),
            owned: Some(Owned { child, binary, cores: cores.server.clone(), media, _temporary: temporary }),
        })
    }

    /// Stops our server and starts it again over the same data and port: what it has not touched since is not in its memory.
    /// A running server stays as it is.
    pub async fn restart(self) -> Result<Self> {
        if self.owned.is_none() { Ok(self) } else { self.restart_after(async |_| Ok(())).await }
    }

    /// The same, with something done to its data folder in between. Only for a server of ours.
    pub async fn restart_after(mut self, work: impl AsyncFnOnce(PathBuf) -> Result<()>) -> Result<Self> {
        let owned_and_data = self.owned.take().zip(self.data.clone());
        let (mut owned, data) = owned_and_data.context("this part stops the server, so it needs a private one")?;
        owned.child = interrupt(owned.child).await?;
        work(data.clone()).await?;
        let listen = self.url.rsplit('/').next().context("a URL ends in its address")?;
        let (child, url) = launch(&owned.binary, &data, listen, &owned.cores, owned.media)?;
        let pid = child.id();
        Ok(Self { url, pid, data: Some(data), owned: Some(Owned { child, ..owned }) })
    }

    /// Whether "durable" means a disk.
    pub fn data_is_on_disk(&self) -> Option<bool> {
        let stat = rustix::fs::statfs(self.data.as_deref()?).ok()?;
        Some(stat.f_type as i64 != TMPFS_MAGIC)
    }

    pub fn cpu(&self) -> Result<CpuTime> {
        cpu_of(self.pid)
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        memory_of(self.pid)
    }

    /// Ctrl-C's way out for a server that we started; a running one is left alone.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(owned) = self.owned.take() {
            interrupt(owned.child).await?;
        }
        Ok(())
    }
}

/// Starts a server and waits for its ready line.
fn launch(binary: &Path, data: &Path, listen: &str, cores: &[usize], media: scenario::Server) -> Result<(Child, String)> {
    let mut command = Command::new(binary);
    command.arg("serve").arg("--data").arg(data).args(["--listen", listen, "--media-listen", "127.0.0.1"]);
    command.args(["--media-ip", "127.0.0.1", "--media-port", "0", "--registration", "open"]);
    command.args(["--media-workers", &media.media_workers.to_string()]);
    if let Some(share) = media.room_share {
        command.args(["--media-room-share", &share.to_string()]);
    }
    command.env("GUILDHALL_RATE_LIMITS", "off").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let pinned = cores.to_vec();
    // The child inherits the affinity of the thread that starts it.
    let started = std::thread::spawn(move || {
        let _ = cores::pin(&pinned);
        command.spawn()
    });
    let spawned = started.join().map_err(|_| anyhow::anyhow!("the starting thread failed"))?;
    let mut child = spawned.with_context(|| format!("starting {}", binary.display()))?;
    let output = child.stdout.take().context("the server's output was asked for")?;
    let (found, ready) = mpsc::channel();
    // Reads to the end, so that the server never waits for us to read.
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(url) = line.strip_prefix(READY) {
                // Nobody waits any more after the first.
                let _ = found.send(url.trim().to_owned());
            }
        }
    });
    match ready.recv_timeout(START_TIMEOUT) {
        Ok(url) => Ok((child, url)),
        Err(_) => {
            // It may be gone already.
            let _ = child.kill();
            bail!("{} did not become ready: {}", binary.display(), child.wait()?)
        }
    }
}

/// Ctrl-C, and the child when it has ended well.
async fn interrupt(mut child: Child) -> Result<Child> {
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)?;
    let waiting = tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            match child.try_wait()? {
                Some(status) => return Ok::<_, std::io::Error>((child, Some(status))),
                None if Instant::now() > deadline => {
                    child.kill()?;
                    child.wait()?;
                    return Ok((child, None));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    });
    match waiting.await?? {
        (child, Some(status)) if status.success() => Ok(child),
        (_, Some(status)) => bail!("the server stopped with {status}"),
        (_, None) => bail!("the server did not stop within {STOP_TIMEOUT:?} of Ctrl-C and was killed"),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(owned) = &mut self.owned {
            // A failed run must not leave a server behind; it may be gone already.
            let _ = owned.child.kill();
            let _ = owned.child.wait();
        }
    }
}

/// CPU of a server's process.
pub fn cpu_of(pid: u32) -> Result<CpuTime> {
    let threads = thread_times(pid)?;
    let media_ns = threads.values().filter(|(name, _)| name.starts_with(MEDIA_THREADS)).map(|(_, ns)| ns).sum();
    Ok(CpuTime { media_ns, process_ns: threads.values().map(|(_, ns)| ns).sum() })
}

/// Resident memory of a process in bytes.
pub fn memory_of(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// Name and CPU nanoseconds of every thread of a process.
pub fn thread_times(pid: u32) -> Result<HashMap<u32, (String, u64)>> {
    let mut times = HashMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A thread may end between the two reads; its time is then of no interest.
        if let Ok(read) = thread_time(&entry.path()) {
            times.insert(id, read);
        }
    }
    Ok(times)
}

fn thread_time(folder: &Path) -> Result<(String, u64)> {
    let name = std::fs::read_to_string(folder.join("comm"))?.trim().to_owned();
    let stat = std::fs::read_to_string(folder.join("schedstat"))?;
    Ok((name, stat.split(' ').next().context("an empty schedstat")?.parse()?))
}
