//! `run`: a scenario from its plan to a judged report. The conductor: it starts what there is to start, opens and shuts the
//! measured windows, and hands what came out to [`crate::report`].

mod floor;
mod text;
mod window;

use crate::callers::shared::Shared;
use crate::callers::{Callers, library::Library};
use crate::cores::{self, Cores};
use crate::crowd::{Crowd, Hall};
use crate::measure::probe::Probe;
use crate::measure::stream::Rules;
use crate::plan::Plan;
use crate::report::{self, Report};
use crate::scenario::Scenario;
use crate::server::Server;
use crate::world::World;
use crate::{Trust, progress};
use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Where a run goes and what it leaves behind; `capacity` takes the same.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The server binary to start privately; by default `guildhall` beside this program
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    server: Option<PathBuf>,
    /// A running deployment instead (rate limits off), as in https://guildhall.example
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The token of a user of that deployment who may make guilds and bots; without it, one registers
    #[arg(long, requires = "url", env = "GUILDHALL_LOADTEST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The running server's process on this machine, whose CPU and memory are read from /proc
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// The authority behind an https server's certificate; for a server that made its own, tls/ca.pem in its data folder
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
    /// Changes a key of the scenario, as in --set rooms.0.size=50; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct Options {
    /// A shipped scenario's name (`guildhall-loadtest scenarios` lists them) or a TOML file
    scenario: String,
    #[command(flatten)]
    target: Target,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a report with plots, one HTML file that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// An objective was missed.
const MISSED: u8 = 1;
/// Nothing could be judged, because the generator itself was not fit.
const UNFIT: u8 = 3;

pub fn run(options: &Options) -> Result<ExitCode> {
    let scenario = Scenario::load(&options.scenario, &options.target.settings)?;
    let report = perform(&options.scenario, &scenario, &options.target)?;
    print!("{report}");
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &options.html {
        std::fs::write(path, report::html::page(&report)).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(match report.verdict() {
        report::Verdict::Met => ExitCode::SUCCESS,
        report::Verdict::Missed => ExitCode::from(MISSED),
        report::Verdict::Unfit => ExitCode::from(UNFIT),
    })
}

impl Target {
    pub fn settings(&self) -> &[String] {
        &self.settings
    }
}

/// One whole run, server included.
pub fn perform(name: &str, scenario: &Scenario, target: &Target) -> Result<Report> {
    cores::raise_file_limit().context("raising the limit of open files")?;
    let cores = Cores::split()?;
    let server = match &target.url {
        Some(_) => None,
        None => Some(Server::start_with(target.server.clone(), None, &cores, scenario.server)?),
    };
    let generator = cores.generator.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .on_thread_start(move || {
            // Unpinned threads only make the numbers noisier.
            let _ = cores::pin(&generator);
        })
        .enable_all()
        .build()?;
    let _ = cores::pin(&cores.generator);
    let outcome = runtime.block_on(async {
        let mut stage = Stage::set(scenario, target, &cores, server.as_ref()).await?;
        let report = stage.perform(name).await;
        stage.clear(target).await;
        if let Some(server) = server {
            server.stop().await?;
        }
        report
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    outcome
}

/// Everything a run stands on.
struct Stage<'a> {
    scenario: &'a Scenario,
    cores: &'a Cores,
    hall: Arc<Hall>,
    callers: Arc<Callers>,
    probe: Probe,
    is_private: bool,
}

impl<'a> Stage<'a> {
    async fn set(scenario: &'a Scenario, target: &Target, cores: &'a Cores, server: Option<&Server>) -> Result<Self> {
        let (url, pid) = match (server, &target.url) {
            (Some(server), _) => (server.url.as_str(), Some(server.pid)),
            (None, Some(url)) => (url.trim_end_matches('/'), target.pid),
            (None, None) => anyhow::bail!("neither a server of our own nor a URL"),
        };
        let trust = match &target.ca {
            Some(ca) => Trust::file(ca).with_context(|| format!("reading {}", ca.display()))?,
            None => Trust::none(),
        };
        let plan = Plan::of(scenario);
        let speech = &scenario.speech;
        let library = Library::record(scenario.seed, speech.bitrate_bps, speech.packet_ms).context("recording voices")?;
        let rules = Rules { frame: u64::from(speech.packet_ms) * 1_000_000, gap: (scenario.measure.gap_ms * 1e6) as u64 };
        let speakers = plan.people.len() + floor::speakers(&plan, cores.generator.len());
        let shared = Shared::new(rand::random(), rules, library, speech, speakers);
        let callers = Arc::new(Callers::start(shared, &cores.generator)?);
        let probe = Probe::new(url, pid, &trust)?;
        let world = World::at(url, trust.clone(), target.token.as_deref()).await?;
        let hall = Hall::build(world, plan, callers.clone(), trust, (scenario.measure.decoded_listeners, scenario.video)).await?;
        Ok(Self { scenario, cores, hall: Arc::new(hall), callers, probe, is_private: server.is_some() })
    }

    async fn perform(&mut self, name: &str) -> Result<Report> {
        let plan = &self.hall.plan;
        let people = plan.people.len() as u64;
        let mut report = Report::new(name, self.scenario, self.cores, plan);
        let text = match &self.scenario.text {
            Some(text) => Some(text::Text::prepare(text, &self.hall).await?),
            None => None,
        };
        let bar = bar("callers", people);
        let mut crowd = Crowd::gather(self.hall.clone(), |done| bar.inc(done)).await?;
        bar.finish_and_clear();
        // Memory that the accounts and sessions took is not the voice's.
        let before = self.probe.look().await;
        let bar = self::bar("joins", plan.people.iter().filter(|person| !person.is_late).count() as u64);
        let join = &self.scenario.join;
        if people > 0 {
            crowd.join(join.at_once, Duration::from_secs_f64(join.within_s), |done| bar.inc(done)).await?;
        }
        bar.finish_and_clear();
        let idle = if self.scenario.measure.memory { window::settled(&self.probe).await } else { self.probe.look().await };
        let floor = floor::lay(self.scenario, &self.hall, self.cores)?;
        window::measure(self, &mut crowd, text, floor.is_some(), (before, idle), &mut report).await?;
        drop(floor);
        crowd.disperse().await;
        report.judge(self.scenario);
        Ok(report)
    }

    async fn clear(self, target: &Target) {
        if target.url.is_some() {
            self.hall.clear().await;
        }
    }
}

/// On a terminal a bar; elsewhere one plain line.
fn bar(what: &'static str, count: u64) -> ProgressBar {
    if count == 0 || !std::io::stderr().is_terminal() {
        if count > 0 {
            progress(&format!("{count} {what}"));
        }
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("· {msg:10} {wide_bar} {pos}/{len} {eta}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count).with_style(style).with_message(what)
}
