//! The test world: the real server process, the real client libraries and a wire that can be cut.
//!
//! A test starts a [`server::Server`] of its own, fills it through [`world::World`], and drives clients: the synthetic one of
//! `guildhall-loadtest`, or a released library in its own process ([`script::Script`]). Nothing here sleeps to let something
//! happen: every wait names the state it waits for and gives up after [`DEADLINE`].

pub mod api;
pub mod bucket;
pub mod camera;
pub mod compatibility;
pub mod frames;
/// Small databases of where addresses are, as the control plane's own tests write them.
#[path = "../../control-plane/src/atlas/fixture.rs"]
pub mod geography;
pub mod jepsen;
pub mod node;
pub mod page;
pub mod proxy;
pub mod room;
pub mod script;
pub mod server;
pub mod wire;
pub mod world;

use std::{path::PathBuf, time::Duration};

/// How long any state may take to arrive. Far longer than it takes on a loaded machine with two cores, so that only a state
/// that never comes runs into it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How often a state that nobody announces is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Asks `look` until it answers, at most for [`DEADLINE`]; then panics naming `what` was awaited.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, look).await
}

/// The same with a patience of its own, for what a machine that lacks CPU takes long for.
pub async fn eventually_within<T>(deadline: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    match tokio::time::timeout(deadline, wait).await {
        Ok(found) => found,
        Err(_) => panic!("waited {deadline:?} for {what}"),
    }
}

/// The repository's root: the tests run from a checkout.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the repository").to_path_buf()
}

/// The folder of this build (`target/debug` or `target/release`): the test executable lies in its `deps`.
pub fn build_dir() -> PathBuf {
    let executable = std::env::current_exe().expect("the running test knows its path");
    executable.ancestors().nth(2).expect("target/<profile>/deps/<test>").to_path_buf()
}

/// Where a test leaves what a person may want to look at (screenshots): `target/e2e`.
pub fn artifacts() -> PathBuf {
    let folder = build_dir().parent().expect("target/<profile>").join("e2e");
    std::fs::create_dir_all(&folder).expect("target is writable");
    folder
}
