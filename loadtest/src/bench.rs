//! The benchmark: what one server costs per forwarded packet, per durable message and per idle session.
//!
//! It starts a server of its own on loopback (or takes a running one), makes its accounts over the public API and measures
//! the server's threads from `/proc`. Beside the voice numbers runs the *floor*: a thread that only receives, seals and
//! sends, on the same core, to the same kind of receivers, so that a machine's speed cancels out of the ratio.

mod fanout;
pub(crate) mod floor;
mod history;
mod hot;
mod ready;
mod report;
pub(crate) mod sends;
mod sessions;

use crate::cores::{self, Cores};
use crate::server::Server;
use crate::world::World;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use report::Report;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The server binary to start; by default `guildhall` beside this program
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    server: Option<PathBuf>,
    /// Measure a running server instead (registration open, rate limits off), as in http://127.0.0.1:8080
    #[arg(long, value_name = "URL", requires = "pid")]
    url: Option<String>,
    /// The running server's process, whose CPU and memory are read from /proc
    #[arg(long)]
    pid: Option<u32>,
    /// Where the private server keeps its data; by default a temporary folder (durable sends measure this disk)
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data: Option<PathBuf>,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    only: Vec<Part>,
    /// Write the numbers as JSON as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Listeners of the one speaker, ascending
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100])]
    listeners: Vec<usize>,
    /// Rounds per row; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=21))]
    rounds: u32,
    /// Seconds of steady load per voice measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    window: u64,
    /// Senders that each wait for their acknowledgement
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=512))]
    senders: u32,
    /// Messages per second of the open-loop run
    #[arg(long, default_value_t = 1200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// Seconds of each run of sends
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    send_seconds: u64,
    /// Idle gateway sessions
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(10..=9000))]
    sessions: u32,
    /// Seconds over which idle sessions are watched
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=300))]
    idle_seconds: u64,
    /// Sessions that listen to one channel
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(10..=9000))]
    hot_sessions: u32,
    /// Messages that all of them hear
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    hot_messages: u32,
    /// Messages of the channel that is paged and searched
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(10_000..=10_000_000))]
    messages: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Fanout,
    Sends,
    Sessions,
    Hot,
    Ready,
    /// Needs a private server.
    History,
}

impl Part {
    const ALL: [Self; 6] = [Self::Fanout, Self::Sends, Self::Sessions, Self::Hot, Self::Ready, Self::History];
}

/// Listeners per transport that a run may ask for: two file descriptors each, and the accounts behind them take a while.
const MOST_LISTENERS: usize = 500;

pub fn run(options: &Options) -> Result<()> {
    let listeners_are_sound =
        options.listeners.is_sorted() && options.listeners.iter().all(|count| (1..=MOST_LISTENERS).contains(count));
    anyhow::ensure!(listeners_are_sound, "--listeners wants ascending numbers from 1 to {MOST_LISTENERS}");
    cores::raise_file_limit().context("raising the limit of open files")?;
    let cores = Cores::split()?;
    let server = match &options.url {
        Some(url) => Server::running(url, options.pid.context("--url needs --pid")?),
        None => Server::start(options.server.clone(), options.data.clone(), &cores)?,
    };
    let generator = cores.generator.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(generator.len())
        .on_thread_start(move || {
            // Unpinned threads only make the numbers noisier.
            let _ = cores::pin(&generator);
        })
        .enable_all()
        .build()?;
    // This thread generates load too.
    let _ = cores::pin(&cores.generator);
    let mut report = Report::new(&cores, &server);
    let outcome = runtime.block_on(measure(options, &cores, server, &mut report));
    runtime.shutdown_timeout(Duration::from_secs(5));
    // What was measured before a failure is still worth reading.
    print!("{report}");
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| format!("writing {}", path.display()))?;
    }
    outcome
}

async fn measure(options: &Options, cores: &Cores, mut server: Server, report: &mut Report) -> Result<()> {
    let mut world = World::make(&server, None).await?;
    if options.only.contains(&Part::Fanout) {
        fanout::measure(options, cores, &server, &mut world, &mut report.fanout).await?;
    }
    if options.only.contains(&Part::Sends) {
        report.sends = Some(sends::measure(options, &server, &mut world).await?);
    }
    if options.only.contains(&Part::Sessions) {
        world.members(sessions::ACCOUNTS).await?;
        server = server.restart().await?;
        report.sessions = Some(sessions::measure(options, &server, &mut world).await?);
    }
    if options.only.contains(&Part::Hot) {
        report.hot = Some(hot::measure(options, &server, &mut world).await?);
    }
    if options.only.contains(&Part::Ready) {
        let account = ready::prepare(&mut world).await?;
        server = server.restart().await?;
        report.ready = Some(ready::measure(&world, &account).await?);
    }
    if options.only.contains(&Part::History) {
        let past = history::prepare(&world).await?;
        let count = u64::from(options.messages);
        server = server.restart_after(async |data| history::fill(&data, &past, count).await).await?;
        report.history = Some(history::measure(options, &world, &past).await?);
    }
    server.stop().await
}
