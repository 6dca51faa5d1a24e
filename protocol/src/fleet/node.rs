//! A voice node as it introduces itself, and what it reports each second.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

/// Version of the values that control planes and voice nodes exchange. A control plane speaks with nodes of its own version
/// and of the one before, so that either side may be replaced first.
pub const CONTRACT_VERSION: u16 = 1;

/// Longest name of a node or a region.
const MAX_NAME: usize = 64;
const MAX_REGION: usize = 32;

/// A voice node's name, unique in the fleet and stable over restarts. What comes from outside is parsed: 1 to 64 of
/// `a-z`, `A-Z`, `0-9`, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct NodeId(Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node is named by 1 to {MAX_NAME} letters, digits, -, _ and .")]
pub struct BadNode;

impl FromStr for NodeId {
    type Err = BadNode;
    fn from_str(name: &str) -> Result<Self, BadNode> {
        let is_sound = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if is_sound { Ok(Self(name.into())) } else { Err(BadNode) }
    }
}

impl From<String> for NodeId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.0.as_ref().to_owned()
    }
}

impl From<&str> for NodeId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl NodeId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place with voice nodes, as its operator named it: `eu-west`. 1 to 32 of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegionId(Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region is named by 1 to {MAX_REGION} of a-z, 0-9 and -")]
pub struct BadRegion;

impl FromStr for RegionId {
    type Err = BadRegion;
    fn from_str(name: &str) -> Result<Self, BadRegion> {
        let is_sound = (1..=MAX_REGION).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if is_sound { Ok(Self(name.into())) } else { Err(BadRegion) }
    }
}

impl TryFrom<String> for RegionId {
    type Error = BadRegion;
    fn try_from(name: String) -> Result<Self, BadRegion> {
        name.parse()
    }
}

impl From<RegionId> for String {
    fn from(region: RegionId) -> Self {
        region.0.as_ref().to_owned()
    }
}

impl RegionId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts the owners of one room, over the fleet's whole life: whoever holds an older one is a stranger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// What a node says of itself when it connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub id: NodeId,
    pub region: RegionId,
    /// Host and port of its voice WebSocket, as clients reach it. Empty: the host that the client reached the gateway by, for
    /// a node in the control plane's own process.
    pub endpoint: String,
    /// The UDP addresses of its workers, as clients are told them.
    pub media: Vec<SocketAddr>,
    /// [`CONTRACT_VERSION`] of its build.
    pub version: u16,
    /// What runs there, for people.
    pub software: String,
    /// Bits per second that its network may carry outwards.
    pub egress_cap_bps: u64,
    /// Drawn at its start: a node that comes back with another has lost its rooms.
    pub incarnation: u64,
}

/// What a node reports each second, of that second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Busy share of its busiest worker, 0 to 1: rooms live whole on one, so an idle neighbour does not help. A worker that
    /// does not answer counts as fully busy.
    pub busy: f32,
    /// The same of each worker.
    pub workers: Vec<f32>,
    pub peers: u32,
    pub rooms: u32,
    pub packets_in: u32,
    pub packets_out: u32,
    pub ingress_bps: u64,
    pub egress_bps: u64,
    /// Datagrams and copies that were dropped, for whatever reason.
    pub drops: u32,
    /// From a packet's arrival in the kernel to its copies' sending: median and 99th percentile.
    pub forward_p50_us: u32,
    pub forward_p99_us: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for name in ["eu-west", "us1", "a"] {
            assert_eq!(name.parse::<RegionId>().unwrap().as_str(), name);
        }
        for name in ["", "EU", "eu west", "eu/west", &"a".repeat(33)] {
            assert_eq!(name.parse::<RegionId>(), Err(BadRegion), "{name}");
        }
        assert!(serde_json::from_str::<RegionId>("\"../etc\"").is_err());
        for name in ["voice-1.example.org", "A_1"] {
            assert_eq!(name.parse::<NodeId>().unwrap().as_str(), name);
        }
        for name in ["", "a b", "<b>", "a/b", &"a".repeat(65)] {
            assert_eq!(name.parse::<NodeId>(), Err(BadNode), "{name}");
        }
    }
}
