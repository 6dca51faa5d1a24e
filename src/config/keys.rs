//! The table of settings as users see them, and the two forms of it: flags and the TOML file.

use super::ConfigError;
use clap::{Arg, Command};
use std::collections::BTreeMap;

/// One setting as users see it.
pub struct Key {
    /// The flag without dashes; in TOML with `_` for `-`, in the environment upper-case behind `GUILDHALL_`.
    pub name: &'static str,
    pub value: &'static str,
    pub default: Option<&'static str>,
    pub help: &'static str,
}

pub const CONFIG: Key = Key { name: "config", value: "FILE", default: None, help: "A TOML file with any of these settings" };

pub const KEYS: &[Key] = &[
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

impl Key {
    pub fn env(&self) -> String {
        format!("GUILDHALL_{}", self.name.replace('-', "_").to_uppercase())
    }

    pub fn toml(&self) -> String {
        self.name.replace('-', "_")
    }
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

/// The file's values by flag name. Numbers and booleans may be written as such.
pub fn parse_file(path: &str, text: &str) -> Result<BTreeMap<&'static str, String>, ConfigError> {
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
