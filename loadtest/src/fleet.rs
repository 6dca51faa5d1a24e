//! A fleet on one machine: the engines and processes that it is made of, people who call each other in it, and what becomes of them.

pub mod caller;
pub mod demo;
pub mod figures;
pub mod machines;
pub mod process;
pub mod regions;
pub mod room;

mod engines;
mod sky;

pub use engines::{Postgres, Redis};

use anyhow::{Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long anything may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often what nobody announces is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The server's, by default the one beside this program.
fn binary(given: Option<&Path>) -> Result<PathBuf> {
    let binary = match given {
        Some(binary) => binary.to_owned(),
        None => std::env::current_exe()?.with_file_name("guildhall"),
    };
    ensure!(binary.exists(), "{} is missing: build it with cargo build --workspace --bins", binary.display());
    Ok(std::path::absolute(binary)?)
}

/// Of a node in what `node list` shows: the first word.
fn state_of(list: &str, node: &str) -> String {
    let line = list.lines().find(|line| line.split_whitespace().next() == Some(node));
    line.and_then(|line| line.split_whitespace().nth(2)).unwrap_or_default().trim_end_matches(':').to_owned()
}

/// Ctrl-C ends the work as a failure does: what it has made is removed.
async fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        done = work => done,
        _ = interrupted.recv() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

/// Waits until something holds. Answers how long that took.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<Duration> {
    let begun = Instant::now();
    while !holds().await? {
        if begun.elapsed() > PATIENCE {
            bail!("waited {PATIENCE:?} for {what}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_node_is_read_from_the_list() {
        let list = "NODE    REGION  STATE                       ROOMS\n\
                    eu-1    eu      serving                     2\n\
                    eu-10   eu      lost for 4 s                0\n\
                    us-1    us      draining: 1 moved, 0 moving 0\n";
        let states = ["eu-1", "eu-10", "us-1", "us-2"].map(|node| state_of(list, node));
        assert_eq!(states, ["serving", "lost", "draining", ""]);
    }
}
