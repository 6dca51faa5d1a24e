//! `guildhall serve`: the roles composed into one process, from the first bind to the last flush.

use crate::config::Config;
use crate::data::DataDir;
use crate::listener::{self, Deadlines};
use crate::{operations, tls, web};
use anyhow::Context;
use axum::Router;
use axum::extract::{FromRequestParts, Query, Request, State, WebSocketUpgrade};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use guildhall_control_plane::gateway::{self, Origin, Parameters};
use guildhall_control_plane::hub::Hub;
use guildhall_control_plane::{ControlPlane, OwnerCredentials};
use guildhall_protocol::connection::Lodging;
use guildhall_sfu::Sfu;
use guildhall_signaling::{Signaling, VoiceQuery};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ServerConfig;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// Messages between control plane and voice node that may wait. Both sides only look things up for each, so this is some
/// seconds of the busiest node; a full one makes the sender wait.
const FLEET_QUEUE: usize = 4_096;

/// How long running requests may take to finish once the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the whole stop may take; what is not done by then is not waited for.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// From this gateway version on a WebSocket at `/` is meant for the main gateway; voice versions end at 9.
const MAIN_GATEWAY_VERSION: u8 = 10;

/// Runs until SIGINT or SIGTERM, then stops cleanly. A second signal ends the process at once.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    allow_many_files();
    let data = DataDir::open(&config.data)?;
    let _elsewhere = data.lock_elsewhere(&config.database)?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("Cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let tls = certificate(&config, &data)?;
    let voice_key = data.voice_key()?;

    let sfu = Sfu::start(media_config(&config)).with_context(|| {
        format!("Cannot open {} UDP port(s) from {}:{} on", config.media_workers, config.media_listen, config.media_port)
    })?;
    let (to_node_in, to_node) = mpsc::channel(FLEET_QUEUE);
    let (from_node_in, from_node) = mpsc::channel(FLEET_QUEUE);
    let signaling_config = guildhall_signaling::Config { voice_key: voice_key.clone() };
    let signaling = Signaling::start(signaling_config, sfu.clone(), from_node_in, to_node);
    let mut control_config = guildhall_control_plane::Config::new(data.path().to_owned(), voice_key);
    control_config.database.clone_from(&config.database);
    control_config.public_host.clone_from(&config.public_host);
    control_config.registration = config.registration;
    control_config.rate_limits = config.has_rate_limits;
    control_config.files.clone_from(&config.files);
    if !config.has_rate_limits {
        tracing::warn!("the rate limits are off: anyone may call as often as they like");
    }
    let control_plane = ControlPlane::start(control_config, to_node_in, from_node).await?;
    let owner = control_plane.ensure_owner().await?;

    let (stop, stopped) = watch::channel(false);
    let operations = operations::router(control_plane.vitals(), sfu.clone(), config.media_workers);
    let page = web::Page::new(config.files.cdn_url.as_deref());
    let router = router(&control_plane, signaling.clone(), page).merge(operations);
    let serving =
        tokio::spawn(listener::serve(listener, tls, router, Deadlines::default(), config.connections_per_address, stopped));
    announce(address, owner);

    signals.next().await;
    tracing::info!("stopping");
    let stopping = async {
        stop.send_replace(true);
        // Voice first: its last reports still find a control plane.
        signaling.shutdown().await;
        if timeout(DRAIN_TIMEOUT, serving).await.is_err() {
            tracing::warn!("some requests did not finish in time");
        }
        control_plane.shutdown().await;
        sfu.shutdown();
    };
    tokio::select! {
        done = timeout(STOP_TIMEOUT, stopping) => done.context("The server did not stop in time")?,
        () = signals.next() => std::process::exit(130),
    }
    tracing::info!("stopped");
    Ok(())
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

pub(crate) fn media_config(config: &Config) -> guildhall_sfu::Config {
    let port = |worker: usize| if config.media_port == 0 { 0 } else { config.media_port + worker as u16 };
    let bind = (0..config.media_workers).map(|worker| SocketAddr::new(config.media_listen, port(worker))).collect();
    guildhall_sfu::Config { bind, advertise: config.media_ip.clone() }
}

fn certificate(config: &Config, data: &DataDir) -> anyhow::Result<Arc<ServerConfig>> {
    match &config.tls {
        Some(files) => tls::given(files),
        None => tls::own(&data.path().join("tls"), &names(config), SystemTime::now()),
    }
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

#[derive(Clone)]
struct Doors {
    hub: Hub,
    signaling: Signaling,
    page: web::Page,
}

fn router(control_plane: &ControlPlane, signaling: Signaling, page: web::Page) -> Router {
    let doors = Doors { hub: control_plane.hub().clone(), signaling, page: page.clone() };
    let elsewhere = async move |method: Method, uri: Uri, headers: HeaderMap| page.show(&method, &uri, &headers);
    let own = Router::new()
        .route("/", get(root))
        .route("/gateway", get(main_gateway))
        // Libraries that take the URL for a bare host put a slash before the query.
        .route("/gateway/", get(main_gateway))
        .with_state(doors);
    own.merge(control_plane.router()).fallback(elsewhere)
}

async fn main_gateway(
    State(doors): State<Doors>,
    upgrade: gateway::Upgrade,
    parameters: Query<Parameters>,
    origin: Origin,
) -> Response {
    gateway::upgrade(doors.hub, upgrade, parameters, origin)
}

/// Libraries open both gateways at the root of their host, and tell them apart by their parameters only.
#[derive(Deserialize)]
struct RootQuery {
    v: Option<u8>,
    encoding: Option<String>,
}

/// `/`: a gateway when it is asked to upgrade, the page otherwise.
async fn root(State(doors): State<Doors>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let query = Query::<RootQuery>::try_from_uri(&parts.uri);
    let is_main = |query: &RootQuery| query.encoding.is_some() || query.v.is_some_and(|version| version >= MAIN_GATEWAY_VERSION);
    if !query.as_ref().is_ok_and(|query| is_main(query)) {
        let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
            return doors.page.show(&parts.method, &parts.uri, &parts.headers);
        };
        let lodging = parts.extensions.remove::<Lodging>();
        return match query {
            Ok(Query(query)) => doors.signaling.upgrade(upgrade, VoiceQuery { v: query.v }, lodging),
            Err(rejection) => rejection.into_response(),
        };
    }
    let Ok(upgrade) = gateway::Upgrade::from_request_parts(&mut parts, &()).await else {
        return doors.page.show(&parts.method, &parts.uri, &parts.headers);
    };
    let parameters = match Query::<Parameters>::try_from_uri(&parts.uri) {
        Ok(parameters) => parameters,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(origin) = Origin::from_request_parts(&mut parts, &()).await;
    gateway::upgrade(doors.hub, upgrade, parameters, origin)
}
