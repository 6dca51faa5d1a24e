//! The control plane as a whole: what it is configured with, what it consists of, how it starts and stops.

use crate::api;
use crate::api::passwords::Passwords;
#[cfg(test)]
use crate::api::rate_limit::Identity;
use crate::api::rate_limit::{Limiter, Verdict};
use crate::atlas::Atlas;
use crate::bus::Bus;
use crate::files::{self, FileStats, Files, janitor, serve};
use crate::fleet::{self, views::FleetCensus};
use crate::gateway::cloakroom::Cloakroom;
use crate::hub::{self, Census, Hub};
use crate::ids::unix_ms;
use crate::probes::{ProbeStats, Tally as ProbeTally, Watch};
use crate::recordings::{Intake, Keeper, KeeperStats};
use crate::requests::{ClassStats, Requests};
use crate::store::{self, HeldIssuer, Location, Publication, Store, WriterStats};
use crate::tail::Tail;
use crate::tally::{Tally, Window};
use anyhow::Context;
use guildhall_protocol::voice_token::VoiceKey;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The database file below the data folder.
const DATABASE: &str = "guildhall.db";
/// The name of the key that signs links to files.
const FILES_SECRET: &str = "files";
/// And of the one that signs voice tokens, on a shared database.
const VOICE_SECRET: &str = "voice";

/// How often idle threads are looked for: they say hours, and a hundred at a time keep up with any guild.
const ARCHIVE_EVERY: Duration = Duration::from_secs(15);

/// How long a stop waits for the last pieces of recordings to be stored.
const LAST_PIECES: Duration = Duration::from_secs(3);

/// Whether strangers may make accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    Open,
    Closed,
}

#[derive(Clone)]
pub struct Config {
    /// Holds what a process keeps for itself, and the files unless they are elsewhere; must exist.
    pub data_dir: PathBuf,
    pub database: Location,
    /// The URL of the bus between the control planes that share the database.
    pub bus: Option<String>,
    /// `host:port` that voice clients are sent to; `None`: the `Host` that their gateway connection came with.
    pub public_host: Option<String>,
    /// Signs the tokens that voice nodes admit. Control planes on one database have one, which the database keeps: `None` takes
    /// it from there.
    pub voice_key: Option<VoiceKey>,
    pub registration: Registration,
    pub heartbeat_interval: Duration,
    /// `false` lets everything pass and is meant for load tests only.
    pub rate_limits: bool,
    pub files: files::Config,
    /// How many days recordings of voice channels are kept; 0: nothing may be recorded.
    pub recording_days: u32,
    pub fleet: fleet::Config,
    /// How far clients are that do not measure it; `None`: nothing is known of them.
    pub atlas: Option<Arc<Atlas>>,
    /// How often each voice node of another process is called to hear whether it works; `None`: never.
    pub probe_every: Option<Duration>,
}

impl Config {
    /// The defaults of everything that has one.
    pub fn new(data_dir: PathBuf, voice_key: impl Into<Option<VoiceKey>>) -> Self {
        Self {
            database: Location::File(database_file(&data_dir)),
            data_dir,
            bus: None,
            public_host: None,
            voice_key: voice_key.into(),
            registration: Registration::Open,
            // Discord's own; libraries are tested against it.
            heartbeat_interval: Duration::from_millis(41_250),
            rate_limits: true,
            files: files::Config::default(),
            recording_days: 30,
            fleet: fleet::Config { issuer: 0, default_region: None },
            atlas: None,
            probe_every: None,
        }
    }
}

/// What the first start tells its operator, once.
#[derive(Clone, Debug)]
pub struct OwnerCredentials {
    pub login: String,
    pub password: String,
}

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    config: Config,
    store: Store,
    hub: Hub,
    limiter: Mutex<Limiter>,
    /// Counts instead, if there may be other control planes.
    tally: Option<Tally>,
    passwords: Passwords,
    files: Files,
    requests: Requests,
    recordings: Intake,
    probes: Arc<ProbeTally>,
    bus: Option<Bus>,
}

impl App {
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    #[cfg(test)]
    pub(crate) fn bus(&self) -> &Bus {
        self.0.bus.as_ref().expect("the test has one")
    }

    /// Until Redis counts.
    #[cfg(test)]
    pub(crate) async fn counts_together(&self) {
        let limit = crate::api::rate_limit::GLOBAL;
        let window = Window { identity: Identity::User(guildhall_protocol::UserId::new(1)), bucket: "test", major: 0, limit };
        let tally = self.0.tally.as_ref().expect("the test has a bus and limits");
        while tally.look(&[window]).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    pub fn files(&self) -> &Files {
        &self.0.files
    }

    pub fn requests(&self) -> &Requests {
        &self.0.requests
    }

    /// Counts one request in all of the windows, up to the first that is full; the verdict of each that was looked at.
    pub async fn count(&self, windows: &[Window]) -> Vec<Verdict> {
        if let Some(tally) = &self.0.tally
            && let Some(verdicts) = tally.take(windows).await
        {
            return verdicts;
        }
        let (now, mut verdicts) = (Instant::now(), Vec::with_capacity(windows.len()));
        let mut limiter = self.0.limiter.lock().expect("nothing panics while it counts a request");
        for Window { identity, bucket, major, limit } in windows {
            let verdict = limiter.take(now, *identity, bucket, *major, *limit);
            verdicts.push(verdict);
            if !verdict.is_allowed {
                break;
            }
        }
        verdicts
    }
}

/// How the control plane is, for health checks and metrics. Cheap to clone; nothing in it names a user.
#[derive(Clone)]
pub struct Vitals(App);

impl Vitals {
    /// Whether the database answers a read.
    pub async fn check_database(&self) -> store::Result<()> {
        self.0.store().check().await
    }

    /// Whether other control planes are heard; `None`: there is no bus.
    pub fn is_bus_up(&self) -> Option<bool> {
        self.0.0.bus.as_ref().map(Bus::is_up)
    }

    pub fn census(&self) -> Census {
        self.0.hub().census()
    }

    pub fn fleet(&self) -> FleetCensus {
        self.0.hub().fleet_census()
    }

    /// The probe calls that this process made.
    pub fn probes(&self) -> ProbeStats {
        self.0.0.probes.read()
    }

    pub fn writer(&self) -> WriterStats {
        self.0.store().writer_stats()
    }

    /// What was asked over HTTP, by class of routes.
    pub fn requests(&self) -> Vec<ClassStats> {
        self.0.requests().read()
    }

    pub fn files(&self) -> FileStats {
        self.0.files().stats()
    }

    pub fn recordings(&self) -> KeeperStats {
        self.0.0.recordings.stats()
    }

    /// What all attachments take together, in bytes.
    pub async fn attachment_bytes(&self) -> store::Result<u64> {
        self.0.store().all_stored_bytes().await
    }
}

pub struct ControlPlane {
    pub(crate) app: App,
    publisher: JoinHandle<()>,
    janitor: JoinHandle<()>,
    archivist: JoinHandle<()>,
    /// Calls the voice nodes.
    watch: Option<JoinHandle<()>>,
    /// Of recordings, and what ends it.
    keeper: JoinHandle<()>,
    stop_keeping: oneshot::Sender<()>,
    /// On a shared database.
    _issuer: Option<HeldIssuer>,
}

impl ControlPlane {
    /// Opens the database and starts the tasks. Voice nodes come by [`Hub::serve_node`].
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let does_not_open = || format!("the database {} does not open", config.database);
        let issuer = if matches!(config.database, Location::Postgres(_)) {
            let held = config.database.hold_issuer(config.fleet.issuer).await.with_context(does_not_open)?;
            Some(held.context(
                "another control plane on this database runs with the same issuer.key: give each a data folder of its own, and copy none",
            )?)
        } else {
            None
        };
        let (store, mut publications) = Store::open(&config.database).await.with_context(does_not_open)?;
        let shared = match config.bus.as_deref().filter(|_| store.is_shared()) {
            Some(url) => Some((url, early(store.fleet_name(), &mut publications).await?)),
            None => None,
        };
        let tally = match &shared {
            Some((url, fleet)) if config.rate_limits => Some(Tally::new(url, fleet)?),
            _ => None,
        };
        let (intake, pieces) = Intake::new();
        let hub = hub::Config {
            public_host: config.public_host.clone(),
            voice_key: agree_on_voice_key(&config, &store, &mut publications).await?,
            heartbeat_interval: config.heartbeat_interval,
            fleet: config.fleet.clone(),
            atlas: config.atlas.clone(),
            rate_limits: config.rate_limits,
            tally: tally.clone(),
            recorded: intake.clone(),
            cloakroom: shared.as_ref().map(|(url, fleet)| Cloakroom::new(url, fleet)).transpose()?,
        };
        let hub = Hub::start(hub, store.clone());
        let (bus, heard) = match shared {
            Some((url, fleet)) => {
                let (bus, listening) = Bus::start(url, &fleet)?;
                hub.meet(bus.clone(), listening.people);
                (Some(bus), listening.events)
            }
            None => (None, mpsc::channel(1).1),
        };
        let tail = Tail::new(store.clone(), hub.clone(), bus.clone(), heard).await?;
        hub.take_up_sessions(&config.data_dir).await;
        let publisher = tokio::spawn(tail.run(publications));
        let passwords = Passwords::new();
        let secret = store.secret(FILES_SECRET).await?;
        let (files, abandoned) = Files::open(config.files.clone(), &config.data_dir, config.public_host.clone(), &secret)?;
        let janitor = tokio::spawn(janitor::run(files.clone(), store.clone(), abandoned));
        let keeper = Keeper {
            files: files.clone(),
            store: store.clone(),
            hub: hub.clone(),
            intake: intake.clone(),
            days: config.recording_days,
        };
        let (stop_keeping, stop) = oneshot::channel();
        let keeper = tokio::spawn(keeper.run(pieces, stop));
        let probes = Arc::new(ProbeTally::default());
        let watch = |every| Watch::new(hub.clone(), store.clone(), every, Arc::clone(&probes));
        let watch = config.probe_every.map(|every| tokio::spawn(watch(every).run()));
        let app = App(Arc::new(Inner {
            config,
            store,
            hub,
            limiter: Mutex::default(),
            tally,
            passwords,
            files,
            requests: Requests::default(),
            recordings: intake,
            probes,
            bus,
        }));
        let archivist = tokio::spawn(archive_idle_threads(app.store().clone()));
        Ok(Self { app, publisher, janitor, archivist, watch, keeper, stop_keeping, _issuer: issuer })
    }

    /// `/api/…`, complete with CORS, and `/cdn/…`. Wants a [`Connection`](guildhall_protocol::connection::Connection) in every request's
    /// extensions; without it callers who are not logged in count as one.
    pub fn router(&self) -> axum::Router {
        api::router(self.app.clone()).merge(serve::router(self.app.clone()))
    }

    /// For the main gateway's upgrades ([`crate::gateway::upgrade`]), which share a path with the voice gateway's.
    pub fn hub(&self) -> &Hub {
        self.app.hub()
    }

    #[cfg(test)]
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    pub fn vitals(&self) -> Vitals {
        Vitals(self.app.clone())
    }

    /// On the first start: makes the owner's account and a guild that it owns. Later: `None`.
    pub async fn ensure_owner(&self) -> anyhow::Result<Option<OwnerCredentials>> {
        api::first_start::ensure_owner(&self.app).await
    }

    /// Sends the sessions away, finishes what was accepted, keeps the sessions for the next start, closes the database. Requests that come later are refused.
    pub async fn shutdown(self) {
        self.archivist.abort();
        if let Some(watch) = &self.watch {
            watch.abort();
        }
        let (hub, store) = (self.app.hub(), self.app.store());
        hub.shutdown().await;
        // The nodes have said their last word; what it cannot store in time is lost.
        let _ = self.stop_keeping.send(());
        let _ = timeout(LAST_PIECES, self.keeper).await;
        store.stop_writing().await;
        // What it leaves undone is done after the next start.
        self.janitor.abort();
        // The writer has dropped its end, so the publisher ends when everything is told.
        if let Err(error) = self.publisher.await {
            tracing::error!(%error, "the publisher did not end cleanly");
        }
        if let Some(last_event) = hub.last_event().await {
            hub.keep_sessions(&self.app.config().data_dir, last_event).await;
        }
        store.close().await;
    }
}

/// The database file of a data folder, unless it is elsewhere.
pub fn database_file(data_dir: &Path) -> PathBuf {
    data_dir.join(DATABASE)
}

/// Waits for a job that is needed before anybody publishes: it is answered here, and has no events.
async fn early<T>(
    job: impl Future<Output = store::Result<T>>,
    publications: &mut mpsc::Receiver<Publication>,
) -> store::Result<T> {
    let mut job = std::pin::pin!(job);
    loop {
        tokio::select! {
            outcome = &mut job => return outcome,
            Some(publication) = publications.recv() => publication.complete(),
        }
    }
}

/// Control planes on one database sign alike, so that a voice node can believe all of them.
async fn agree_on_voice_key(
    config: &Config,
    store: &Store,
    publications: &mut mpsc::Receiver<Publication>,
) -> anyhow::Result<VoiceKey> {
    let own = config.voice_key.as_ref();
    if let Some(own) = own.filter(|_| !store.is_shared()) {
        return Ok(own.clone());
    }
    let kept = early(store.secret_or(VOICE_SECRET, own.map(|own| own.secret().0)), publications).await?;
    let kept: [u8; 32] = kept.try_into().ok().context("the database's voice key is damaged")?;
    if own.is_some_and(|own| own.secret().0 != kept) {
        anyhow::bail!(
            "{} is not the key that the control planes on this database share: remove it, and the database's is used",
            config.data_dir.join("voice.key").display()
        );
    }
    Ok(VoiceKey::new(&kept))
}

/// Archives threads that nobody writes in, a hundred at a time.
async fn archive_idle_threads(store: Store) {
    let mut interval = tokio::time::interval(ARCHIVE_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = store.archive_idle_threads(unix_ms()).await {
            tracing::error!(%error, "idle threads cannot be archived");
        }
    }
}
