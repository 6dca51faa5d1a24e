//! Which cores the server and the generator run on, so that neither's work is counted as the other's.

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::OnceLock;

/// The first half of the cores we may use serves, the second half generates; with a single core both share it.
#[derive(Clone, Debug)]
pub struct Cores {
    pub server: Vec<usize>,
    pub generator: Vec<usize>,
}

impl Cores {
    pub fn split() -> Result<Self> {
        let all = allowed()?;
        let half = all.len().div_ceil(2);
        let generator = if all.len() > 1 { all[half..].to_vec() } else { all.clone() };
        Ok(Self { server: all[..half].to_vec(), generator })
    }

    pub fn are_separate(&self) -> bool {
        self.server != self.generator
    }
}

/// The cores that this process had at first: each run pins its threads, and the next one in the same process splits anew.
fn allowed() -> Result<Vec<usize>> {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    if let Some(known) = ALLOWED.get() {
        return Ok(known.clone());
    }
    let set = sched_getaffinity(None).context("reading the allowed cores")?;
    Ok(ALLOWED.get_or_init(|| (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()).clone())
}

/// Pins the calling thread; threads and processes that it starts inherit it.
pub fn pin(cores: &[usize]) -> rustix::io::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set)
}

/// Thousands of sockets need thousands of descriptors; the server inherits the limit.
pub fn raise_file_limit() -> rustix::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_was_pinned_leaves_the_next_one_all_cores() {
        let first = Cores::split().unwrap();
        pin(&first.generator).unwrap();
        let second = Cores::split().unwrap();
        assert_eq!((first.server, first.generator), (second.server, second.generator));
    }
}
