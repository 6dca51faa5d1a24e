//! The settings of `guildhall serve`: one table of keys, each a flag, an environment variable and a line of the TOML file.
//!
//! A flag wins over the environment, the environment over the file, the file over the default. Everything here is pure but
//! [`Config::load`], which reads the process's arguments and environment and the file.

use crate::listener::Proxies;
use clap::{Arg, ArgMatches, Command, parser::ValueSource};
use guildhall_control_plane::Registration;
use guildhall_control_plane::files::{self, check_url};
use guildhall_control_plane::store::{Location, Quotas};
use guildhall_control_plane::{check_bus_url, database_file};
use guildhall_dial::node::{BadUrl, ControlUrl};
use guildhall_fleet::Coordinates;
use guildhall_fleet::coordinates::BadCoordinates;
use guildhall_fleet::region::MAX_REACHES;
use guildhall_protocol::fleet::{BadRegion, NodeId, RegionId};
use guildhall_signaling::turn::{BadTurnUrl, TurnUrl};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Each media worker is a thread with a socket of its own; more than cores is never of use.
const WORKERS_MAX: usize = 256;

/// Where a control plane alone listens for nodes, unless it is told otherwise.
const NODES_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7443);

/// Each is a line that a node keeps.
const CONTROL_PLANES_MAX: usize = 16;

/// Browsers warn of slow connections from five on.
const TURN_SERVERS_MAX: usize = 4;

/// Longest time for handing a node's rooms to others: nobody waits longer for a machine to stop.
const LEAVE_WITHIN_MAX_S: u64 = 3_600;

/// Longest time between two probe calls at a node: whoever wants them more rarely wants none.
const PROBE_SECONDS_MAX: u64 = 3_600;

/// Longest time for keeping recordings: ten years.
const RECORDING_DAYS_MAX: u32 = 3_660;

/// One setting as users see it.
struct Key {
    /// The flag without dashes; in TOML with `_` for `-`, in the environment upper-case behind `GUILDHALL_`.
    name: &'static str,
    value: &'static str,
    default: Option<&'static str>,
    help: &'static str,
}

const CONFIG: Key = Key { name: "config", value: "FILE", default: None, help: "A TOML file with any of these settings" };

const KEYS: &[Key] = &[
    Key {
        name: "role",
        value: "all|control-plane|voice",
        default: Some("all"),
        help: "What this process is: everything, a control plane without voice, or a voice node that dials control planes",
    },
    Key {
        name: "data",
        value: "DIR",
        default: Some("./data"),
        help: "Where everything that must survive a restart is kept: database, secrets, certificates",
    },
    Key {
        name: "database",
        value: "FILE|URL",
        default: None,
        help: "Where the database is: a SQLite file, or postgres://user:password@host/name, which several control planes may \
               share [default: DIR/guildhall.db]",
    },
    Key {
        name: "redis",
        value: "URL",
        default: None,
        help: "Redis or Valkey between control planes on one PostgreSQL database: redis://host, rediss://host (TLS) or \
               redis+unix:///path; without it they hear of each other a little later, from the database",
    },
    Key {
        name: "listen",
        value: "ADDR",
        default: Some("0.0.0.0:8080"),
        help: "The address of http, https, ws and wss, all on one port (port 0: the system chooses)",
    },
    Key {
        name: "public-host",
        value: "HOST[:PORT]",
        default: None,
        help: "The name that clients reach this server by; without it, the Host header of each client tells",
    },
    Key {
        name: "media-listen",
        value: "IP",
        default: None,
        help: "The address of the UDP media sockets [default: the one of --listen]",
    },
    Key {
        name: "media-ip",
        value: "IP[,IP]",
        default: None,
        help: "The address that clients send media to, if it is not the one listened on (a static NAT); an IPv4 and an IPv6 one \
               may be given, with a comma between [default: --media-listen, or the addresses of the default routes]",
    },
    Key {
        name: "media-port",
        value: "PORT",
        default: Some("50000"),
        help: "The first UDP port of media, one for each worker (0: the system chooses)",
    },
    Key {
        name: "media-workers",
        value: "N",
        default: None,
        help: "Media threads, each with its own UDP port [default: one for each processor]",
    },
    Key {
        name: "media-room-share",
        value: "N",
        default: Some("1024"),
        help: "People of one voice room that one media thread takes before more of them sit on others",
    },
    Key {
        name: "media-tcp",
        value: "PORT|off",
        default: None,
        help: "The TCP port of --media-ip that browsers on networks without UDP are told for media; it must lead to --listen \
               unchanged, which a proxy for HTTP does not do [default: the port of --listen]",
    },
    Key {
        name: "turn",
        value: "URL[,URL]",
        default: None,
        help: "TURN servers that browsers may reach media by, turn:HOST[:PORT] or turns:HOST[:PORT] each, with \
               ?transport=tcp behind it if need be",
    },
    Key {
        name: "turn-secret-file",
        value: "FILE",
        default: None,
        help: "The secret of the TURN servers from which passwords that hold for a day are made (coturn: use-auth-secret)",
    },
    Key {
        name: "region",
        value: "NAME",
        default: Some("local"),
        help: "The region of the voice node in this process; of a control plane alone, the region for rooms of whose people no \
               distances are known",
    },
    Key {
        name: "geo-database",
        value: "FILE",
        default: None,
        help: "A city database in MaxMind's format (.mmdb) that says where addresses are: for clients that measure no distances, \
               bots mostly, those to --region-locations are estimated by it; read at the start",
    },
    Key {
        name: "region-locations",
        value: "NAME=LAT/LON[,NAME=LAT/LON]",
        default: None,
        help: "Where regions are, in degrees: eu-west=53.3/-6.3,us-east=39.0/-77.5",
    },
    Key {
        name: "node",
        value: "NAME",
        default: None,
        help: "The name of the voice node, unique in the fleet [default: `local`, or with --role voice the machine's name]",
    },
    Key {
        name: "control-plane",
        value: "URL[,URL]",
        default: None,
        help: "With --role voice: the addresses that control planes listen on for nodes, https://HOST:PORT each",
    },
    Key {
        name: "control-plane-ca",
        value: "FILE",
        default: None,
        help: "PEM authorities that the control planes' certificates are below, tls/ca.pem of their data for one that they made \
               themselves [default: the public ones]",
    },
    Key {
        name: "control-plane-cert",
        value: "FILE",
        default: None,
        help: "With --role voice: a PEM certificate for the node's name, which it shows to control planes instead of a join secret",
    },
    Key { name: "control-plane-key", value: "FILE", default: None, help: "The PEM private key of --control-plane-cert" },
    Key {
        name: "nodes-listen",
        value: "ADDR",
        default: None,
        help: "The address where voice nodes of other machines dial in [default: none, or 0.0.0.0:7443 with --role control-plane]",
    },
    Key {
        name: "join-secret-file",
        value: "FILE",
        default: None,
        help: "What voice nodes show to control planes, a secret in each line: a node dials with the first, a control plane takes \
               any; read again when it changes [default: DIR/join.secret, made by a control plane that listens for nodes and has \
               no --nodes-ca; a voice node needs a copy]",
    },
    Key {
        name: "nodes-ca",
        value: "FILE",
        default: None,
        help: "PEM authorities of voice nodes: a node with a certificate for its name below one of them may join; with a join secret \
               only if --join-secret-file is given, too",
    },
    Key {
        name: "probe-calls",
        value: "SECONDS",
        default: Some("30"),
        help: "How often a control plane makes a short voice call at each node of another machine, as users do; a node through \
               which nobody is heard loses its rooms to others (0: never, if this machine cannot reach the nodes as users can)",
    },
    Key {
        name: "egress-mbit",
        value: "N",
        default: Some("1000"),
        help: "Megabits per second that the voice node's network carries outwards: a node that uses most of it takes no new rooms",
    },
    Key {
        name: "leave-within",
        value: "SECONDS",
        default: Some("15"),
        help: "With --role voice: how long a node that is asked to stop takes to hand its rooms to other nodes, if it must",
    },
    Key {
        name: "tls-cert",
        value: "FILE",
        default: None,
        help: "A PEM certificate chain; without it the server makes its own and puts its authority at DIR/tls/ca.pem",
    },
    Key { name: "tls-key", value: "FILE", default: None, help: "The PEM private key of --tls-cert" },
    Key {
        name: "files",
        value: "URL",
        default: None,
        help: "Where files are kept: file:///folder, s3://bucket/prefix, az://container/prefix or gs://bucket/prefix, with \
               credentials in the usual variables (AWS_…, AZURE_…, GOOGLE_…) [default: DIR/files]",
    },
    Key {
        name: "cdn-url",
        value: "URL",
        default: None,
        help: "The base of links to files: an address that leads to /cdn here, by way of caches for example [default: /cdn on \
               the host that a client came by]",
    },
    Key {
        name: "max-file",
        value: "SIZE",
        default: Some("10M"),
        help: "The largest file that may be attached: bytes, or with K, M or G",
    },
    Key {
        name: "user-files",
        value: "SIZE",
        default: Some("10G"),
        help: "How much the files that one user attached may take together",
    },
    Key { name: "guild-files", value: "SIZE", default: Some("100G"), help: "How much the files in one guild may take together" },
    Key {
        name: "recordings",
        value: "DAYS",
        default: Some("30"),
        help: "How many days recordings of voice channels are kept; 0: nothing may be recorded",
    },
    Key { name: "registration", value: "open|closed", default: Some("open"), help: "Whether anyone may make an account" },
    Key {
        name: "rate-limits",
        value: "on|off",
        default: Some("on"),
        help: "Whether the API limits how often a caller may call; off is for load tests on a closed network",
    },
    Key {
        name: "connections-per-address",
        value: "N",
        default: Some("2000"),
        help: "Connections that one address may have open without having logged in on them; behind a proxy that is not one of \
               --trusted-proxies everyone comes from its address (0: any number)",
    },
    Key {
        name: "trusted-proxies",
        value: "CIDR[,CIDR]",
        default: None,
        help: "Addresses and ranges of the proxies in front of this server: of a request that comes from one of them, \
               X-Forwarded-For or Forwarded says whose it is, for limits and estimates by address [default: nobody's word counts]",
    },
    Key {
        name: "log",
        value: "FILTER",
        default: Some("info"),
        help: "What is logged to standard error: error, warn, info, debug or trace, also for one module (`info,guildhall_sfu=debug`); \
               `info,guildhall::requests=debug` adds a line for each request to the API",
    },
    Key {
        name: "log-format",
        value: "text|json",
        default: Some("text"),
        help: "Lines for people, or one JSON object per line for machines",
    },
];

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

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Flag,
    Environment,
    File,
    Default,
}

/// The `serve` subcommand, with a flag for each key.
pub fn command() -> Command {
    Command::new("serve").about("Runs the whole server: web page, API, gateway and voice").args(flags(|_| true))
}

/// The flags of the configuration file and of those keys that `is_wanted` names, for subcommands that need some.
pub fn flags(is_wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = Arg> {
    std::iter::once(&CONFIG).chain(KEYS.iter().filter(move |key| is_wanted(key.name))).map(|key| {
        let default = key.default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
        let help = format!("{}{default} [env: {}]", key.help, key.env());
        Arg::new(key.name).long(key.name).value_name(key.value).help(help)
    })
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
        let place = raw("database").map(database).transpose()?.unwrap_or_else(|| Location::File(database_file(&data)));
        let listen: SocketAddr = required(raw("listen"))?;
        let names = ["tls-cert", "tls-key"];
        let tls = certificate(names.map(raw), names)?;
        let turn = match (raw("turn"), raw("turn-secret-file")) {
            (Some(urls), Some(secret)) => Some(TurnServers { urls: turn_urls(urls)?, secret: secret.value.into() }),
            (None, None) => None,
            (Some(given), None) => return Err(ConfigError::HalfTurn { given: given.name(), missing: "turn-secret-file" }),
            (None, Some(given)) => return Err(ConfigError::HalfTurn { given: given.name(), missing: "turn" }),
        };
        let geo = match (raw("geo-database"), raw("region-locations")) {
            (Some(database), Some(places)) => Some(Geo { database: database.value.into(), regions: region_locations(places)? }),
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
        let control_planes = raw("control-plane").map(control_planes).transpose()?.unwrap_or_default();
        let join_secret = raw("join-secret-file").map(|given| PathBuf::from(given.value));
        let names = ["control-plane-cert", "control-plane-key"];
        let control_plane_cert = certificate(names.map(raw), names)?;
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
            redis: raw("redis").map(|given| redis(given, &place)).transpose()?,
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
            probe_every: probe_every(raw("probe-calls").expect("it has a default"))?,
            egress_mbit: required(raw("egress-mbit"))?,
            leave_within: leave_within(raw("leave-within").expect("it has a default"))?,
            public_host: raw("public-host").map(public_host).transpose()?,
            media_listen: optional(raw("media-listen"))?.unwrap_or(media_default(listen.ip())),
            media_ip: raw("media-ip").map(media_ip).transpose()?.unwrap_or_default(),
            media_port: first,
            media_workers: workers,
            media_room_share: room_share,
            media_tcp: raw("media-tcp").map(media_tcp).transpose()?.unwrap_or(MediaTcp::Listened),
            turn,
            files: files::Config {
                url: raw("files").map(files_url).transpose()?,
                cdn_url: raw("cdn-url").map(cdn_url).transpose()?,
                max_file: size(raw("max-file"))?,
                quotas: Quotas { user: size(raw("user-files"))?, guild: size(raw("guild-files"))? },
            },
            recording_days: recording_days(raw("recordings").expect("it has a default"))?,
            registration: one_of(raw("registration"), [("open", Registration::Open), ("closed", Registration::Closed)])?,
            has_rate_limits: one_of(raw("rate-limits"), [("on", true), ("off", false)])?,
            connections_per_address: Some(required::<usize>(raw("connections-per-address"))?).filter(|most| *most > 0),
            trusted_proxies: optional(raw("trusted-proxies"))?.unwrap_or_default(),
            log: log_filter(raw("log").expect("it has a default"))?,
            log_format: one_of(raw("log-format"), [("text", LogFormat::Text), ("json", LogFormat::Json)])?,
            file: None,
            listen,
            tls,
        })
    }
}

impl Key {
    fn env(&self) -> String {
        format!("GUILDHALL_{}", self.name.replace('-', "_").to_uppercase())
    }

    fn toml(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// A value and where it came from.
struct Given {
    key: &'static Key,
    value: String,
    source: Source,
}

impl Given {
    /// What whoever gave the value called it.
    fn name(&self) -> String {
        match self.source {
            Source::Flag | Source::Default => format!("--{}", self.key.name),
            Source::Environment => format!("The environment variable {}", self.key.env()),
            Source::File => format!("{} in the configuration file", self.key.toml()),
        }
    }

    fn parse<T: FromStr<Err: Display>>(&self) -> Result<T, ConfigError> {
        self.value.parse().map_err(|error: T::Err| self.invalid(error.to_string()))
    }

    /// A URL may hold one, and what is wrong with it is shown.
    fn without_password(&self) -> Self {
        let value = self.value.split_once("://").map_or(self.value.clone(), |(scheme, _)| format!("{scheme}://…"));
        Self { key: self.key, value, source: self.source }
    }

    fn invalid(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError::Value { name: self.name(), value: self.value.clone(), reason: reason.into() }
    }
}

fn required<T: FromStr<Err: Display>>(given: Option<Given>) -> Result<T, ConfigError> {
    given.expect("it has a default").parse()
}

fn optional<T: FromStr<Err: Display>>(given: Option<Given>) -> Result<Option<T>, ConfigError> {
    given.map(|given| given.parse()).transpose()
}

/// A certificate and its key, of these names, or neither.
fn certificate(given: [Option<Given>; 2], names: [&'static str; 2]) -> Result<Option<TlsFiles>, ConfigError> {
    match given {
        [Some(certificate), Some(key)] => Ok(Some(TlsFiles { certificate: certificate.value.into(), key: key.value.into() })),
        [None, None] => Ok(None),
        [Some(given), None] => Err(ConfigError::HalfTls { given: given.name(), missing: names[1] }),
        [None, Some(given)] => Err(ConfigError::HalfTls { given: given.name(), missing: names[0] }),
    }
}

/// Media goes where the API listens; but `[::]` also takes IPv4 connections, while a media socket speaks one family, and the
/// one that every client has is IPv4.
fn media_default(listen: IpAddr) -> IpAddr {
    if listen.is_unspecified() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { listen }
}

fn one_of<T, const N: usize>(given: Option<Given>, choices: [(&str, T); N]) -> Result<T, ConfigError> {
    let given = given.expect("it has a default");
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let (last, others) = names.split_last().expect("a choice has choices");
    let reason = format!("it must be {} or {last}", others.join(", "));
    let chosen = choices.into_iter().find(|(name, _)| *name == given.value);
    chosen.map(|(_, choice)| choice).ok_or_else(|| given.invalid(reason))
}

fn probe_every(given: Given) -> Result<Option<Duration>, ConfigError> {
    match given.parse::<u64>()? {
        0 => Ok(None),
        seconds @ 1..=PROBE_SECONDS_MAX => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(given.invalid(format!("it must be {PROBE_SECONDS_MAX} at most"))),
    }
}

fn recording_days(given: Given) -> Result<u32, ConfigError> {
    let days = given.parse::<u32>()?;
    if days > RECORDING_DAYS_MAX {
        return Err(given.invalid(format!("it must be {RECORDING_DAYS_MAX} at most")));
    }
    Ok(days)
}

fn leave_within(given: Given) -> Result<Duration, ConfigError> {
    let seconds = given.parse::<u64>()?;
    if seconds > LEAVE_WITHIN_MAX_S {
        return Err(given.invalid(format!("it must be {LEAVE_WITHIN_MAX_S} at most")));
    }
    Ok(Duration::from_secs(seconds))
}

fn media_tcp(given: Given) -> Result<MediaTcp, ConfigError> {
    if given.value == "off" {
        return Ok(MediaTcp::Off);
    }
    match given.value.parse() {
        Ok(port @ 1..) => Ok(MediaTcp::Port(port)),
        Ok(0) | Err(_) => Err(given.invalid("it must be a port, 1 to 65535, or off")),
    }
}

fn turn_urls(given: Given) -> Result<Vec<TurnUrl>, ConfigError> {
    let urls: Vec<TurnUrl> = given
        .value
        .split(',')
        .map(|url| url.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|error: BadTurnUrl| given.invalid(error.to_string()))?;
    if urls.len() > TURN_SERVERS_MAX {
        return Err(given.invalid(format!("{TURN_SERVERS_MAX} are possible: browsers try all of them")));
    }
    Ok(urls)
}

fn control_planes(given: Given) -> Result<Vec<ControlUrl>, ConfigError> {
    let urls: Vec<ControlUrl> = given
        .value
        .split(',')
        .map(|url| url.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|error: BadUrl| given.invalid(error.to_string()))?;
    if urls.len() > CONTROL_PLANES_MAX {
        return Err(given.invalid(format!("{CONTROL_PLANES_MAX} control planes are possible")));
    }
    Ok(urls)
}

fn region_locations(given: Given) -> Result<Vec<(RegionId, Coordinates)>, ConfigError> {
    let mut regions: Vec<(RegionId, Coordinates)> = Vec::new();
    for pair in given.value.split(',') {
        let (name, at) = pair.split_once('=').ok_or_else(|| given.invalid("regions are given as NAME=LATITUDE/LONGITUDE"))?;
        let region: RegionId = name.trim().parse().map_err(|error: BadRegion| given.invalid(error.to_string()))?;
        if regions.iter().any(|(known, _)| *known == region) {
            return Err(given.invalid(format!("{region} is in it twice")));
        }
        regions.push((region, at.parse().map_err(|error: BadCoordinates| given.invalid(error.to_string()))?));
    }
    if regions.len() > MAX_REACHES {
        return Err(given.invalid(format!("{MAX_REACHES} regions are possible")));
    }
    Ok(regions)
}

fn log_filter(given: Given) -> Result<String, ConfigError> {
    given.parse::<tracing_subscriber::EnvFilter>()?;
    Ok(given.value)
}

fn database(given: Given) -> Result<Location, ConfigError> {
    given.value.parse().map_err(|reason: String| given.without_password().invalid(reason))
}

fn redis(given: Given, database: &Location) -> Result<String, ConfigError> {
    match check_bus_url(&given.value) {
        Err(reason) => Err(given.without_password().invalid(reason)),
        Ok(()) if matches!(database, Location::File(_)) => Err(given
            .without_password()
            .invalid("a SQLite file has one control plane; with --database postgres://… there may be more")),
        Ok(()) => Ok(given.value),
    }
}

/// A host that can stand in a URL's authority, with a port or without.
fn public_host(given: Given) -> Result<String, ConfigError> {
    match given.value.parse::<axum::http::uri::Authority>() {
        Ok(authority) if !authority.as_str().contains('@') && !authority.host().is_empty() => Ok(given.value),
        _ => Err(given.invalid("it must be a host name or address, with a port or without, and without a scheme or path")),
    }
}

fn files_url(given: Given) -> Result<String, ConfigError> {
    match check_url(&given.value) {
        Ok(()) => Ok(given.value),
        Err(reason) => Err(given.invalid(reason)),
    }
}

/// An absolute address, to which paths are appended.
fn cdn_url(given: Given) -> Result<String, ConfigError> {
    let is_web = |uri: &axum::http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some() && uri.query().is_none()
    };
    match given.value.parse::<axum::http::Uri>() {
        Ok(uri) if is_web(&uri) => Ok(given.value.trim_end_matches('/').to_owned()),
        _ => Err(given.invalid("it must be an address that begins with http:// or https://, without a query")),
    }
}

/// Bytes, with K, M or G for 1024 of the one before.
fn size(given: Option<Given>) -> Result<u64, ConfigError> {
    let given = given.expect("it has a default");
    let (digits, shift) = match given.value.strip_suffix(['K', 'M', 'G']) {
        Some(digits) => (digits, 10 * (1 + "KMG".find(&given.value[digits.len()..]).unwrap_or(0))),
        None => (given.value.as_str(), 0),
    };
    // Sizes are stored in 63 bits.
    let most = (i64::MAX >> shift) as u64;
    match digits.parse::<u64>() {
        Ok(number) if (1..=most).contains(&number) => Ok(number << shift),
        _ => Err(given.invalid("it must be a number of bytes, for example 500000, 10M or 2G")),
    }
}

/// Clients get it as a literal, and 0.0.0.0 is nowhere.
fn media_ip(given: Given) -> Result<Vec<IpAddr>, ConfigError> {
    let parse = |text: &str| match text.trim().parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => Err(given.invalid("clients cannot send to it")),
        Ok(ip) => Ok(ip),
        Err(error) => Err(given.invalid(error.to_string())),
    };
    let ips: Vec<IpAddr> = given.value.split(',').map(parse).collect::<Result<_, _>>()?;
    match ips[..] {
        [one, other] if one.is_ipv4() == other.is_ipv4() => Err(given.invalid("one IPv4 and one IPv6 address are possible")),
        [_] | [_, _] => Ok(ips),
        _ => Err(given.invalid("one IPv4 and one IPv6 address are possible")),
    }
}

/// The file's values by flag name. Numbers and booleans may be written as such.
fn parse_file(path: &str, text: &str) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let table: toml::Table = toml::from_str(text)
        .map_err(|error: toml::de::Error| ConfigError::File { path: path.to_owned(), reason: error.message().to_owned() })?;
    let mut values = BTreeMap::new();
    for (name, value) in table {
        let Some(key) = KEYS.iter().find(|key| key.toml() == name) else {
            return Err(ConfigError::UnknownKey { path: path.to_owned(), key: name });
        };
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            other => {
                let reason = format!("{name} must be a string or a number, not {}", other.type_str());
                return Err(ConfigError::File { path: path.to_owned(), reason });
            }
        };
        values.insert(key.name, value);
    }
    Ok(values)
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
