//! How the value of each setting is read, and what is said of one that cannot be.

use super::keys::Key;
use super::{ConfigError, MediaTcp, TlsFiles};
use guildhall_control_plane::check_bus_url;
use guildhall_control_plane::files::check_url;
use guildhall_control_plane::store::Location;
use guildhall_dial::node::{BadUrl, ControlUrl};
use guildhall_fleet::Coordinates;
use guildhall_fleet::coordinates::BadCoordinates;
use guildhall_fleet::region::MAX_REACHES;
use guildhall_protocol::fleet::{BadRegion, RegionId};
use guildhall_signaling::turn::{BadTurnUrl, TurnUrl};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

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

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Flag,
    Environment,
    File,
    Default,
}

/// A value and where it came from.
pub struct Given {
    pub key: &'static Key,
    pub value: String,
    pub source: Source,
}

impl Given {
    /// What whoever gave the value called it.
    pub fn name(&self) -> String {
        match self.source {
            Source::Flag | Source::Default => format!("--{}", self.key.name),
            Source::Environment => format!("The environment variable {}", self.key.env()),
            Source::File => format!("{} in the configuration file", self.key.toml()),
        }
    }

    pub fn parse<T: FromStr<Err: Display>>(&self) -> Result<T, ConfigError> {
        self.value.parse().map_err(|error: T::Err| self.invalid(error.to_string()))
    }

    /// A URL may hold one, and what is wrong with it is shown.
    fn without_password(&self) -> Self {
        let value = self.value.split_once("://").map_or(self.value.clone(), |(scheme, _)| format!("{scheme}://…"));
        Self { key: self.key, value, source: self.source }
    }

    pub fn invalid(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError::Value { name: self.name(), value: self.value.clone(), reason: reason.into() }
    }
}

pub fn required<T: FromStr<Err: Display>>(given: Option<Given>) -> Result<T, ConfigError> {
    given.expect("it has a default").parse()
}

pub fn optional<T: FromStr<Err: Display>>(given: Option<Given>) -> Result<Option<T>, ConfigError> {
    given.map(|given| given.parse()).transpose()
}

/// A certificate and its key, of these names, or neither.
pub fn certificate(given: [Option<Given>; 2], names: [&'static str; 2]) -> Result<Option<TlsFiles>, ConfigError> {
    match given {
        [Some(certificate), Some(key)] => Ok(Some(TlsFiles { certificate: certificate.value.into(), key: key.value.into() })),
        [None, None] => Ok(None),
        [Some(given), None] => Err(ConfigError::HalfTls { given: given.name(), missing: names[1] }),
        [None, Some(given)] => Err(ConfigError::HalfTls { given: given.name(), missing: names[0] }),
    }
}

/// Media goes where the API listens; but `[::]` also takes IPv4 connections, while a media socket speaks one family, and the
/// one that every client has is IPv4.
pub fn media_default(listen: IpAddr) -> IpAddr {
    if listen.is_unspecified() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { listen }
}

pub fn one_of<T, const N: usize>(given: Option<Given>, choices: [(&str, T); N]) -> Result<T, ConfigError> {
    let given = given.expect("it has a default");
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let (last, others) = names.split_last().expect("a choice has choices");
    let reason = format!("it must be {} or {last}", others.join(", "));
    let chosen = choices.into_iter().find(|(name, _)| *name == given.value);
    chosen.map(|(_, choice)| choice).ok_or_else(|| given.invalid(reason))
}

pub fn probe_every(given: Given) -> Result<Option<Duration>, ConfigError> {
    match given.parse::<u64>()? {
        0 => Ok(None),
        seconds @ 1..=PROBE_SECONDS_MAX => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(given.invalid(format!("it must be {PROBE_SECONDS_MAX} at most"))),
    }
}

pub fn recording_days(given: Given) -> Result<u32, ConfigError> {
    let days = given.parse::<u32>()?;
    if days > RECORDING_DAYS_MAX {
        return Err(given.invalid(format!("it must be {RECORDING_DAYS_MAX} at most")));
    }
    Ok(days)
}

pub fn leave_within(given: Given) -> Result<Duration, ConfigError> {
    let seconds = given.parse::<u64>()?;
    if seconds > LEAVE_WITHIN_MAX_S {
        return Err(given.invalid(format!("it must be {LEAVE_WITHIN_MAX_S} at most")));
    }
    Ok(Duration::from_secs(seconds))
}

pub fn media_tcp(given: Given) -> Result<MediaTcp, ConfigError> {
    if given.value == "off" {
        return Ok(MediaTcp::Off);
    }
    match given.value.parse() {
        Ok(port @ 1..) => Ok(MediaTcp::Port(port)),
        Ok(0) | Err(_) => Err(given.invalid("it must be a port, 1 to 65535, or off")),
    }
}

pub fn turn_urls(given: Given) -> Result<Vec<TurnUrl>, ConfigError> {
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

pub fn control_planes(given: Given) -> Result<Vec<ControlUrl>, ConfigError> {
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

pub fn region_locations(given: Given) -> Result<Vec<(RegionId, Coordinates)>, ConfigError> {
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

pub fn log_filter(given: Given) -> Result<String, ConfigError> {
    given.parse::<tracing_subscriber::EnvFilter>()?;
    Ok(given.value)
}

pub fn database(given: Given) -> Result<Location, ConfigError> {
    given.value.parse().map_err(|reason: String| given.without_password().invalid(reason))
}

pub fn redis(given: Given, database: &Location) -> Result<String, ConfigError> {
    match check_bus_url(&given.value) {
        Err(reason) => Err(given.without_password().invalid(reason)),
        Ok(()) if matches!(database, Location::File(_)) => Err(given
            .without_password()
            .invalid("a SQLite file has one control plane; with --database postgres://… there may be more")),
        Ok(()) => Ok(given.value),
    }
}

/// A host that can stand in a URL's authority, with a port or without.
pub fn public_host(given: Given) -> Result<String, ConfigError> {
    match given.value.parse::<axum::http::uri::Authority>() {
        Ok(authority) if !authority.as_str().contains('@') && !authority.host().is_empty() => Ok(given.value),
        _ => Err(given.invalid("it must be a host name or address, with a port or without, and without a scheme or path")),
    }
}

pub fn files_url(given: Given) -> Result<String, ConfigError> {
    match check_url(&given.value) {
        Ok(()) => Ok(given.value),
        Err(reason) => Err(given.invalid(reason)),
    }
}

/// An absolute address, to which paths are appended.
pub fn cdn_url(given: Given) -> Result<String, ConfigError> {
    let is_web = |uri: &axum::http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some() && uri.query().is_none()
    };
    match given.value.parse::<axum::http::Uri>() {
        Ok(uri) if is_web(&uri) => Ok(given.value.trim_end_matches('/').to_owned()),
        _ => Err(given.invalid("it must be an address that begins with http:// or https://, without a query")),
    }
}

/// Bytes, with K, M or G for 1024 of the one before.
pub fn size(given: Option<Given>) -> Result<u64, ConfigError> {
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
pub fn media_ip(given: Given) -> Result<Vec<IpAddr>, ConfigError> {
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
