//! The control plane as a whole: what it is configured with, what it consists of, how it starts and stops.

use crate::api;
use crate::api::passwords::Passwords;
use crate::api::rate_limit::Limiter;
use crate::bus::Bus;
use crate::files::{self, FileStats, Files, janitor, serve};
use crate::fleet::{self, views::FleetCensus};
use crate::hub::{self, Census, Hub};
use crate::ids::unix_ms;
use crate::requests::{ClassStats, Requests};
use crate::store::{self, Location, Publication, Store, WriterStats};
use crate::tail::Tail;
use anyhow::Context;
use guildhall_protocol::voice_token::VoiceKey;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The database file below the data folder.
const DATABASE: &str = "guildhall.db";
/// The name of the key that signs links to files.
const FILES_SECRET: &str = "files";

/// How often idle threads are looked for: they say hours, and a hundred at a time keep up with any guild.
const ARCHIVE_EVERY: Duration = Duration::from_secs(15);

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
    pub voice_key: VoiceKey,
    pub registration: Registration,
    pub heartbeat_interval: Duration,
    /// `false` lets everything pass and is meant for load tests only.
    pub rate_limits: bool,
    pub files: files::Config,
    pub fleet: fleet::Config,
}

impl Config {
    /// The defaults of everything that has one.
    pub fn new(data_dir: PathBuf, voice_key: VoiceKey) -> Self {
        Self {
            database: Location::File(database_file(&data_dir)),
            data_dir,
            bus: None,
            public_host: None,
            voice_key,
            registration: Registration::Open,
            // Discord's own; libraries are tested against it.
            heartbeat_interval: Duration::from_millis(41_250),
            rate_limits: true,
            files: files::Config::default(),
            fleet: fleet::Config { issuer: 0, default_region: None },
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
    passwords: Passwords,
    files: Files,
    requests: Requests,
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

    pub fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    pub fn files(&self) -> &Files {
        &self.0.files
    }

    pub fn requests(&self) -> &Requests {
        &self.0.requests
    }

    pub fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.0.limiter.lock().expect("nothing panics while it counts a request")
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
}

impl ControlPlane {
    /// Opens the database and starts the tasks. Voice nodes come by [`Hub::serve_node`].
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let (store, mut publications) =
            Store::open(&config.database).await.with_context(|| format!("the database {} does not open", config.database))?;
        let hub = hub::Config {
            public_host: config.public_host.clone(),
            voice_key: config.voice_key.clone(),
            heartbeat_interval: config.heartbeat_interval,
            fleet: config.fleet.clone(),
            rate_limits: config.rate_limits,
        };
        let hub = Hub::start(hub, store.clone());
        let (bus, heard) = match config.bus.as_deref().filter(|_| store.is_shared()) {
            Some(url) => {
                let (bus, heard) = Bus::start(url, &fleet_name(&store, &mut publications).await?)?;
                (Some(bus), heard)
            }
            None => (None, mpsc::channel(1).1),
        };
        if bus.is_some() {
            tracing::info!(
                "control planes on this database share all that is stored and tell each other of it; sessions (with their resumes), \
                 presence, typing, voice and rate limits are each one's own"
            );
        }
        let tail = Tail::new(store.clone(), hub.clone(), bus.clone(), heard).await?;
        hub.take_up_sessions(&config.data_dir).await;
        let publisher = tokio::spawn(tail.run(publications));
        let passwords = Passwords::new();
        let secret = store.secret(FILES_SECRET).await?;
        let (files, abandoned) = Files::open(config.files.clone(), &config.data_dir, config.public_host.clone(), &secret)?;
        let janitor = tokio::spawn(janitor::run(files.clone(), store.clone(), abandoned));
        let app = App(Arc::new(Inner {
            config,
            store,
            hub,
            limiter: Mutex::default(),
            passwords,
            files,
            requests: Requests::default(),
            bus,
        }));
        let archivist = tokio::spawn(archive_idle_threads(app.store().clone()));
        Ok(Self { app, publisher, janitor, archivist })
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
        let (hub, store) = (self.app.hub(), self.app.store());
        hub.shutdown().await;
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

/// What the database is called on the bus. Nobody publishes yet, so the job that makes it is answered here; it has no events.
async fn fleet_name(store: &Store, publications: &mut mpsc::Receiver<Publication>) -> store::Result<String> {
    let mut name = std::pin::pin!(store.fleet_name());
    loop {
        tokio::select! {
            name = &mut name => return name,
            Some(publication) = publications.recv() => publication.complete(),
        }
    }
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
