//! The synthetic client: an account that registers, writes, listens to the gateway and talks, over the public wire only.
//!
//! Tests and the load generator share it. It knows the protocol from its documentation (`guildhall-protocol`'s wire objects
//! included) and never looks into the server, so that agreement between the two means something.
//!
//! - [`rest::Rest`]: the HTTP API; [`gateway::Gateway`]: the main WebSocket; [`voice::Peer`]: one participant of a room, by
//!   native UDP or by WebRTC.
//! - [`opus`]: real Opus audio to send, and what a listener can measure of it.
//! - [`scenario`], [`plan`], [`net`], [`callers`], [`measure`], [`report`]: the load harness behind `guildhall-loadtest run`, from
//!   a TOML file to a judged result; [`run`] composes them.
//! - [`ports`]: ports for processes that are started again and again.
//! - [`fleet`]: PostgreSQL, Redis, control planes and voice nodes on one machine, shown and measured while they fail.
//! - [`tables`]: the README's voice figures from those scenarios. [`bench`] and [`check`]: the benchmark and the self-test behind `guildhall-loadtest`.

pub mod bench;
pub mod callers;
pub mod capacity;
pub mod check;
pub mod fleet;
pub mod gateway;
pub mod measure;
pub mod net;
pub mod opus;
pub mod plan;
pub mod ports;
pub mod random;
pub mod report;
pub mod rest;
pub mod run;
pub mod scenario;
pub mod tables;
pub mod trust;
pub mod voice;

mod cores;
mod crowd;
mod server;
mod socket;
mod world;

pub use gateway::{Gateway, VoiceGrant};
pub use rest::Rest;
pub use trust::Trust;

/// Says on stderr what a long command is doing; stdout is for its result.
fn progress(line: &str) {
    eprintln!("· {line}");
}
