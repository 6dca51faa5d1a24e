//! Where voice rooms live: which nodes there are, which of them takes a room and why, who owns a room, how a node is emptied.
//!
//! Everything here is a pure machine: facts and the time go in, decisions come out. No I/O, no clock, no randomness of its
//! own (callers pass a draw). Times are milliseconds of a monotonic clock of the caller, so a step of the wall clock moves
//! nothing. The control plane feeds these machines and carries out what they decide.
//!
//! - [`registry::Registry`]: the nodes, what they last said, and whether they are believed to be alive;
//! - [`placement::place`]: the node for a room, as a [`placement::Decision`] that can be shown to a person;
//! - [`lease::Leases`]: one owner per room, numbered, so that an owner from before can neither speak for a room nor end it;
//! - [`drain::Drain`]: the order and the times at which the rooms of a node move away before a deadline;
//! - [`coordinates::Coordinates`]: a place, and how far another one is when nobody has measured it;
//! - [`probes`]: what calls at a node say of it;
//! - [`relief::Relief`]: rooms leave a node that has too much to do, slowly;
//! - [`admission::Admission`]: who may come back now, and when the others should try, after everyone was cut off at once.

pub mod admission;
pub mod coordinates;
pub mod drain;
pub mod lease;
pub mod node;
pub mod placement;
pub mod probes;
pub mod region;
pub mod registry;
pub mod relief;

pub use coordinates::Coordinates;
pub use node::{Load, Node, NodeId};
pub use placement::{Decision, place};
pub use region::{Reach, RegionId};

/// Milliseconds of the caller's monotonic clock.
pub type Millis = u64;
