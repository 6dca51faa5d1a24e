//! `guildhall serve`: one role or all of them composed into a process, from the first bind to the last flush.

use crate::config::{Config, Geo, MediaTcp, Role};
use crate::data::DataDir;
use crate::listener::{self, Addresses, Deadlines};
use crate::{doors, nodes, operations, operator, tls, web};
use anyhow::Context;
use guildhall_control_plane::atlas::Atlas;
use guildhall_control_plane::fleet::Config as FleetConfig;
use guildhall_control_plane::store::Location;
use guildhall_control_plane::{ControlPlane, OwnerCredentials};
use guildhall_sfu::Sfu;
use guildhall_signaling::Signaling;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long running requests may take to finish once the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the whole stop may take, after a voice node's people have left; what is not done by then is not waited for.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs until SIGINT or SIGTERM, then stops cleanly. A second signal ends the process at once.
pub async fn run(config: Config) -> anyhow::Result<()> {
    config.check_role()?;
    let mut signals = Signals::new()?;
    allow_many_files();
    let data = DataDir::open(&config.data)?;
    let _elsewhere = data.lock_elsewhere(&config.database)?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("Cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let tls = tls::config(tls::current(config.tls.as_ref(), &data.path().join("tls"), &names(&config))?)?;
    let (stop, stopped) = watch::channel(false);

    let voice = if config.role == Role::ControlPlane { None } else { Some(Voice::start(&config, address)?) };
    let control = if config.role == Role::Voice { None } else { Some(start_control(&config, &data).await?) };
    let mut owner = None;
    let of_voice = voice.as_ref().map(|voice| (voice.sfu.clone(), voice.signaling.clone())).unzip();
    let mut router = operations::router(control.as_ref().map(ControlPlane::vitals), of_voice.0, of_voice.1);
    match (&control, &voice) {
        (Some(control), voice) => {
            owner = control.ensure_owner().await?;
            if let Some(voice) = voice {
                tokio::spawn(nodes::stay_here(voice.signaling.clone(), control.hub().clone(), stopped.clone()));
                nodes::arrived(control.hub()).await;
            }
            nodes::listen(&config, &data, Arc::clone(&tls), control.hub().clone(), stopped.clone()).await?;
            let page = web::Page::new(config.files.cdn_url.as_deref());
            let signaling = voice.as_ref().map(|voice| voice.signaling.clone());
            let (_, operators_key) = data.shown_secret(operator::KEY_FILE)?;
            router = router
                .merge(doors::router(control, signaling, page))
                .merge(operator::router(control.hub().clone(), &operators_key));
        }
        (None, Some(voice)) => {
            nodes::dial(&config, &voice.signaling, &stopped)?;
            router = router.merge(doors::voice_router(voice.signaling.clone()));
        }
        (None, None) => unreachable!("every role has one of them"),
    }
    let media = voice.as_ref().map(|voice| voice.sfu.clone());
    let addresses = Addresses { per_address: config.connections_per_address, proxies: config.trusted_proxies.clone() };
    let serving = tokio::spawn(listener::serve(listener, tls, router, Deadlines::default(), media, addresses, stopped));
    announce(address, owner);

    signals.next().await;
    tracing::info!("stopping");
    let stopping = async {
        if let Some(voice) = &voice {
            if config.role == Role::Voice {
                // Others take the rooms while we still forward.
                voice.signaling.leave(config.leave_within).await;
            }
            // Voice first: its last reports still find a control plane.
            voice.signaling.shutdown().await;
        }
        stop.send_replace(true);
        if timeout(DRAIN_TIMEOUT, serving).await.is_err() {
            tracing::warn!("some requests did not finish in time");
        }
        if let Some(control) = control {
            control.shutdown().await;
        }
        if let Some(voice) = &voice {
            voice.sfu.shutdown();
        }
    };
    let patience = if config.role == Role::Voice { config.leave_within + STOP_TIMEOUT } else { STOP_TIMEOUT };
    tokio::select! {
        done = timeout(patience, stopping) => done.context("The server did not stop in time")?,
        () = signals.next() => std::process::exit(130),
    }
    tracing::info!("stopped");
    Ok(())
}

/// The media engine and its signaling.
struct Voice {
    sfu: Sfu,
    signaling: Signaling,
}

impl Voice {
    /// `listen` is where the voice WebSocket is.
    fn start(config: &Config, listen: SocketAddr) -> anyhow::Result<Self> {
        let sfu = Sfu::start(media_config(config, listen.port())).with_context(|| {
            format!("Cannot open {} UDP port(s) from {}:{} on", config.media_workers, config.media_listen, config.media_port)
        })?;
        let signaling = Signaling::start(nodes::identity(config, listen)?, sfu.clone());
        Ok(Self { sfu, signaling })
    }
}

async fn start_control(config: &Config, data: &DataDir) -> anyhow::Result<ControlPlane> {
    let is_shared = matches!(config.database, Location::Postgres(_));
    let voice_key = if is_shared { data.known_voice_key()? } else { Some(data.voice_key()?) };
    let mut control = guildhall_control_plane::Config::new(data.path().to_owned(), voice_key);
    control.database.clone_from(&config.database);
    control.bus.clone_from(&config.redis);
    control.public_host.clone_from(&config.public_host);
    control.registration = config.registration;
    control.rate_limits = config.has_rate_limits;
    control.files.clone_from(&config.files);
    control.recording_days = config.recording_days;
    control.fleet = FleetConfig { issuer: data.issuer()?, default_region: Some(config.region.clone()) };
    control.probe_every = config.probe_every;
    if let Some(Geo { database, regions }) = &config.geo {
        control.atlas = Some(Arc::new(Atlas::open(database, regions.clone())?));
        tracing::info!(database = %database.display(), "distances that clients do not measure are estimated by their addresses");
    }
    if !config.has_rate_limits {
        tracing::warn!("the rate limits are off: anyone may call as often as they like");
    }
    ControlPlane::start(control).await
}

/// A connection is an open file, and shells give programs 1,024 unless they ask for all that they may have.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "no more than {:?} connections are possible", limit.current);
    }
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What programs that start the server wait for, and what its operator reads.
fn announce(address: SocketAddr, owner: Option<OwnerCredentials>) {
    let mut lines = String::new();
    if let Some(OwnerCredentials { login, password }) = owner {
        lines += &format!("Owner login:    {login}\nOwner password: {password}   (shown once)\n");
    }
    let host = match address.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    lines += &format!("Guildhall is ready: http://{host}:{}\n", address.port());
    let mut stdout = std::io::stdout().lock();
    if stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        tracing::warn!("nobody reads standard output");
    }
}

/// `listened` is the port that the process listens on.
pub(crate) fn media_config(config: &Config, listened: u16) -> guildhall_sfu::Config {
    let port = |worker: usize| if config.media_port == 0 { 0 } else { config.media_port + worker as u16 };
    let bind = (0..config.media_workers).map(|worker| SocketAddr::new(config.media_listen, port(worker))).collect();
    let tcp_port = match config.media_tcp {
        // What only this machine reaches is behind a proxy.
        MediaTcp::Listened if config.listen.ip().is_loopback() && !config.media_listen.is_loopback() => None,
        MediaTcp::Listened => Some(listened),
        MediaTcp::Port(port) => Some(port),
        MediaTcp::Off => None,
    };
    guildhall_sfu::Config { bind, advertise: config.media_ip.clone(), tcp_port, room_share: config.media_room_share }
}

/// Every name and address that clients may reach this server by, as far as it can know.
pub(crate) fn names(config: &Config) -> BTreeSet<String> {
    let mut names = BTreeSet::from(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let listened = if config.listen.ip().is_unspecified() { default_route() } else { Some(config.listen.ip()) };
    names.extend(listened.iter().chain(&config.media_ip).map(IpAddr::to_string));
    if let Some(authority) = config.public_host.as_ref().and_then(|host| host.parse::<axum::http::uri::Authority>().ok()) {
        names.insert(authority.host().trim_matches(['[', ']']).to_ascii_lowercase());
    }
    // A machine without a usable name has one name less.
    let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_ascii_lowercase();
    if !host_name.is_empty() && host_name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
        names.insert(host_name);
    }
    names
}

/// The address that this machine speaks to the world from. Connecting a UDP socket sends nothing.
pub(crate) fn default_route() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // TEST-NET-1 (RFC 5737): routed like any public address, owned by nobody.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}
