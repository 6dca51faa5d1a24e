//! The settings of `guildhall serve`: one table of keys ([`keys`]), each a flag, an environment variable and a line of the TOML file,
//! whose values are read one by one ([`values`]) into a [`Config`] that is valid.
//!
//! A flag wins over the environment, the environment over the file, the file over the default. Everything here is pure but
//! [`Config::load`], which reads the process's arguments and environment and the file.

mod keys;
mod values;

pub use keys::{command, flags};

use crate::listener::Proxies;
use clap::{ArgMatches, parser::ValueSource};
use guildhall_control_plane::store::{Location, Quotas};
use guildhall_control_plane::{Registration, database_file, files};
use guildhall_dial::node::ControlUrl;
use guildhall_fleet::Coordinates;
use guildhall_protocol::fleet::{NodeId, RegionId};
use guildhall_signaling::turn::TurnUrl;
use keys::{CONFIG, KEYS, parse_file};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;
use values::{Given, Source, one_of, optional, required};

/// Each media worker is a thread with a socket of its own; more than cores is never of use.
const WORKERS_MAX: usize = 256;

/// Where a control plane alone listens for nodes, unless it is told otherwise.
const NODES_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7443);

/// The settings, valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub role: Role,
    pub region: RegionId,
    pub geo: Option<Geo>,
    pub node: Option<NodeId>,
    /// Where to dial, with [`Role::Voice`]; at least one then.
    pub control_planes: Vec<ControlUrl>,
    pub control_plane_ca: Option<PathBuf>,
    /// What it shows there, instead of a join secret or with it.
    pub control_plane_cert: Option<TlsFiles>,
    /// Where nodes dial in; `None`: nowhere.
    pub nodes_listen: Option<SocketAddr>,
    pub join_secret: Option<PathBuf>,
    /// Authorities below which nodes' certificates are.
    pub nodes_ca: Option<PathBuf>,
    /// `None`: no probe calls.
    pub probe_every: Option<Duration>,
    pub egress_mbit: u32,
    /// How long a voice node that is asked to stop gives its people to move to others.
    pub leave_within: Duration,
    pub data: PathBuf,
    pub database: Location,
    /// The URL of Redis; only with PostgreSQL.
    pub redis: Option<String>,
    pub listen: SocketAddr,
    pub public_host: Option<String>,
    pub media_listen: IpAddr,
    /// The first of each family counts; none: found out.
    pub media_ip: Vec<IpAddr>,
    pub media_port: u16,
    pub media_workers: usize,
    pub media_room_share: usize,
    pub media_tcp: MediaTcp,
    pub turn: Option<TurnServers>,
    pub tls: Option<TlsFiles>,
    pub files: files::Config,
    /// 0: nothing may be recorded.
    pub recording_days: u32,
    pub registration: Registration,
    pub has_rate_limits: bool,
    /// `None`: any number.
    pub connections_per_address: Option<usize>,
    /// Who is believed to ask for others.
    pub trusted_proxies: Proxies,
    pub log: String,
    pub log_format: LogFormat,
    /// The file that some of this may have come from.
    pub file: Option<PathBuf>,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    All,
    ControlPlane,
    Voice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Which TCP port browsers without UDP are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaTcp {
    /// That of [`Config::listen`].
    Listened,
    Port(u16),
    Off,
}

/// Relays that others run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnServers {
    pub urls: Vec<TurnUrl>,
    pub secret: PathBuf,
}

/// What distances are estimated by.
#[derive(Clone, Debug, PartialEq)]
pub struct Geo {
    pub database: PathBuf,
    pub regions: Vec<(RegionId, Coordinates)>,
}

/// A given certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why the server does not start, as a sentence for whoever typed the value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{name} = {value:?} is not valid: {reason}.")]
    Value { name: String, value: String, reason: String },
    #[error("The configuration file {path} cannot be read: {reason}.")]
    File { path: String, reason: String },
    #[error("The configuration file {path} has the unknown key {key:?}; see `guildhall serve --help` for the known ones.")]
    UnknownKey { path: String, key: String },
    #[error("{given} is set but --{missing} is not; a certificate needs both.")]
    HalfTls { given: String, missing: &'static str },
    #[error("{given} is set but --{missing} is not; TURN needs both.")]
    HalfTurn { given: String, missing: &'static str },
    #[error("{given} is set but --{missing} is not; estimates of distances need both.")]
    HalfGeo { given: String, missing: &'static str },
    #[error("A voice node needs --{0}.")]
    VoiceNeeds(&'static str),
    #[error("--control-plane-cert is shown by https only, and {0} is not that: give the node a join secret, too.")]
    Unshown(ControlUrl),
    /// The node inside a server has a line to that server only: to others its rooms would be nowhere.
    #[error(
        "--redis is for control planes side by side, and those have no voice node inside: start each with --role control-plane, \
         and voice nodes with --role voice."
    )]
    NodeInside,
}

impl Config {
    /// Reads the environment and the file for what `matches` (of a command with [`flags`]) leaves open.
    pub fn load(matches: &ArgMatches) -> Result<Self, ConfigError> {
        let flag = |name: &str| {
            // A subcommand may be without the flag.
            let value = matches.try_get_one::<String>(name).ok().flatten()?;
            (matches.value_source(name) == Some(ValueSource::CommandLine)).then(|| value.clone())
        };
        // An empty variable is how shells and compose files say "not set".
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = flag(CONFIG.name).or_else(|| env(&CONFIG.env()));
        let values = match path.clone() {
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => parse_file(&path, &text)?,
                Err(error) => return Err(ConfigError::File { path, reason: error.to_string() }),
            },
            None => BTreeMap::new(),
        };
        Ok(Self { file: path.map(PathBuf::from), ..Self::resolve(flag, env, &values)? })
    }

    /// Whether a server may run like this. Other subcommands need not be told everything that it is.
    pub const fn check_role(&self) -> Result<(), ConfigError> {
        if matches!(self.role, Role::All) && self.redis.is_some() { Err(ConfigError::NodeInside) } else { Ok(()) }
    }

    /// Picks each value from the strongest source that has it.
    fn resolve(
        flag: impl Fn(&str) -> Option<String>,
        env: impl Fn(&str) -> Option<String>,
        file: &BTreeMap<&'static str, String>,
    ) -> Result<Self, ConfigError> {
        let raw = |name: &str| {
            let key = KEYS.iter().find(|key| key.name == name).expect("every setting below is in the table");
            let value = flag(key.name)
                .map(|value| (value, Source::Flag))
                .or_else(|| env(&key.env()).map(|value| (value, Source::Environment)))
                .or_else(|| file.get(key.name).map(|value| (value.clone(), Source::File)))
                .or_else(|| key.default.map(|value| (value.to_owned(), Source::Default)));
            value.map(|(value, source)| Given { key, value, source })
        };
        let data = PathBuf::from(required::<String>(raw("data"))?);
        let place = raw("database").map(values::database).transpose()?.unwrap_or_else(|| Location::File(database_file(&data)));
        let listen: SocketAddr = required(raw("listen"))?;
        let names = ["tls-cert", "tls-key"];
        let tls = values::certificate(names.map(raw), names)?;
        let turn = match (raw("turn"), raw("turn-secret-file")) {
            (Some(urls), Some(secret)) => Some(TurnServers { urls: values::turn_urls(urls)?, secret: secret.value.into() }),
            (None, None) => None,
            (Some(given), None) => return Err(ConfigError::HalfTurn { given: given.name(), missing: "turn-secret-file" }),
            (None, Some(given)) => return Err(ConfigError::HalfTurn { given: given.name(), missing: "turn" }),
        };
        let geo = match (raw("geo-database"), raw("region-locations")) {
            (Some(database), Some(places)) => {
                Some(Geo { database: database.value.into(), regions: values::region_locations(places)? })
            }
            (None, None) => None,
            (Some(given), None) => return Err(ConfigError::HalfGeo { given: given.name(), missing: "region-locations" }),
            (None, Some(given)) => return Err(ConfigError::HalfGeo { given: given.name(), missing: "geo-database" }),
        };
        let workers = match raw("media-workers") {
            Some(given) => {
                let workers = given.parse::<usize>()?;
                if !(1..=WORKERS_MAX).contains(&workers) {
                    return Err(given.invalid(format!("it must be 1 to {WORKERS_MAX}")));
                }
                workers
            }
            None => std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX),
        };
        let room_share = raw("media-room-share").expect("it has a default").parse::<NonZeroUsize>()?.get();
        let media_port = raw("media-port").expect("it has a default");
        let first: u16 = media_port.parse()?;
        if first != 0 && usize::from(first) + workers - 1 > usize::from(u16::MAX) {
            return Err(media_port.invalid(format!("{workers} workers need a port each, and {} is the last", u16::MAX)));
        }
        let role = one_of(raw("role"), [("all", Role::All), ("control-plane", Role::ControlPlane), ("voice", Role::Voice)])?;
        let control_planes = raw("control-plane").map(values::control_planes).transpose()?.unwrap_or_default();
        let join_secret = raw("join-secret-file").map(|given| PathBuf::from(given.value));
        let names = ["control-plane-cert", "control-plane-key"];
        let control_plane_cert = values::certificate(names.map(raw), names)?;
        if role == Role::Voice && control_planes.is_empty() {
            return Err(ConfigError::VoiceNeeds("control-plane"));
        }
        if role == Role::Voice && join_secret.is_none() {
            if control_plane_cert.is_none() {
                return Err(ConfigError::VoiceNeeds("join-secret-file or --control-plane-cert"));
            }
            if let Some(open) = control_planes.iter().find(|url| !url.is_tls()) {
                return Err(ConfigError::Unshown(open.clone()));
            }
        }
        Ok(Self {
            redis: raw("redis").map(|given| values::redis(given, &place)).transpose()?,
            database: place,
            data,
            role,
            region: required(raw("region"))?,
            geo,
            node: optional(raw("node"))?,
            control_planes,
            control_plane_ca: raw("control-plane-ca").map(|given| PathBuf::from(given.value)),
            control_plane_cert,
            nodes_ca: raw("nodes-ca").map(|given| PathBuf::from(given.value)),
            nodes_listen: optional(raw("nodes-listen"))?.or((role == Role::ControlPlane).then_some(NODES_LISTEN)),
            join_secret,
            probe_every: values::probe_every(raw("probe-calls").expect("it has a default"))?,
            egress_mbit: required(raw("egress-mbit"))?,
            leave_within: values::leave_within(raw("leave-within").expect("it has a default"))?,
            public_host: raw("public-host").map(values::public_host).transpose()?,
            media_listen: optional(raw("media-listen"))?.unwrap_or(values::media_default(listen.ip())),
            media_ip: raw("media-ip").map(values::media_ip).transpose()?.unwrap_or_default(),
            media_port: first,
            media_workers: workers,
            media_room_share: room_share,
            media_tcp: raw("media-tcp").map(values::media_tcp).transpose()?.unwrap_or(MediaTcp::Listened),
            turn,
            files: files::Config {
                url: raw("files").map(values::files_url).transpose()?,
                cdn_url: raw("cdn-url").map(values::cdn_url).transpose()?,
                max_file: values::size(raw("max-file"))?,
                quotas: Quotas { user: values::size(raw("user-files"))?, guild: values::size(raw("guild-files"))? },
            },
            recording_days: values::recording_days(raw("recordings").expect("it has a default"))?,
            registration: one_of(raw("registration"), [("open", Registration::Open), ("closed", Registration::Closed)])?,
            has_rate_limits: one_of(raw("rate-limits"), [("on", true), ("off", false)])?,
            connections_per_address: Some(required::<usize>(raw("connections-per-address"))?).filter(|most| *most > 0),
            trusted_proxies: optional(raw("trusted-proxies"))?.unwrap_or_default(),
            log: values::log_filter(raw("log").expect("it has a default"))?,
            log_format: one_of(raw("log-format"), [("text", LogFormat::Text), ("json", LogFormat::Json)])?,
            file: None,
            listen,
            tls,
        })
    }
}

/// Any bytes as the configuration file, for the fuzz targets in `fuzz/`: they make settings, or a sentence.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse_file("f", text).and_then(|file| Config::resolve(|_| None, |_| None, &file)) {
        Ok(config) => assert!((1..=WORKERS_MAX).contains(&config.media_workers) && config.files.max_file > 0),
        Err(error) => assert!(error.to_string().ends_with(['.', '?']), "{error}"),
    }
}

#[cfg(test)]
mod tests;
