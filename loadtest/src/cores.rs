//! Which cores the server and the generator run on, so that neither's work is counted as the other's.

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The first half of the cores we may use serves, the second half generates; with a single core both share it.
#[derive(Clone, Debug)]
pub struct Cores {
    pub server: Vec<usize>,
    pub generator: Vec<usize>,
}

impl Cores {
    pub fn split() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("reading the allowed cores")?;
        let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let half = all.len().div_ceil(2);
        let generator = if all.len() > 1 { all[half..].to_vec() } else { all.clone() };
        Ok(Self { server: all[..half].to_vec(), generator })
    }

    pub fn are_separate(&self) -> bool {
        self.server != self.generator
    }
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
