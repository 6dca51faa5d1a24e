//! What strangers send, for the fuzz targets in `fuzz/`: each function takes any bytes, hands them to the code that reads
//! them in the product, and panics when that breaks a promise.
//!
//! Compiled for this crate's tests, which replay every committed corpus, and for the feature `fuzzing`; never into the server.

mod gateway;

pub use crate::api::fuzzing::{commands, json_bodies, messages, paths, queries};
pub use crate::files::fuzzing::{data_uri, multipart, strip};
pub use gateway::gateway_session;

/// A name, which is that of the file in `fuzz_targets` and of the corpus, and what is called.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("gateway_session", gateway_session),
    ("json_bodies", json_bodies),
    ("queries", queries),
    ("messages", messages),
    ("commands", commands),
    ("paths", paths),
    ("multipart", multipart),
    ("data_uri", data_uri),
    ("strip", strip),
];

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn every_input_that_fuzzing_kept_is_still_taken_and_so_are_changes_of_it() {
        super::replay::replay(super::TARGETS);
    }
}
