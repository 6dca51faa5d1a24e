//! The line between voice nodes and control planes over gRPC: a node dials out to every control plane that it was given
//! ([`node::keep_dialling`]), and a control plane listens ([`control::serve`]).
//!
//! Nothing is decided here. Both ends are a pair of bounded channels with the values of [`guildhall_protocol::fleet`], the same
//! that a node in the control plane's own process is connected by. When a queue is full the line is cut: the next one begins
//! with everything that there is.

pub mod control;
mod convert;
mod io;
pub mod node;
mod secret;
mod trust;
/// Generated from `protocol/proto/fleet.proto`; `protocol/tests/generated.rs` keeps it so.
#[allow(clippy::all, clippy::pedantic)]
#[rustfmt::skip]
mod wire;

#[cfg(test)]
mod tests;

pub use secret::{BadSecret, JoinSecrets};
pub use trust::{Badge, Gate};

/// Messages to a node that wait on their way: the rest waits in its outbox, where newer ones replace older ones.
const TO_NODE: usize = 64;

/// Messages of a node that wait to be applied.
const FROM_NODE: usize = 1_024;

/// The largest message: the hello of a node with 20,000 participants is some 3 MB.
const MESSAGE_BYTES: usize = 16 << 20;
