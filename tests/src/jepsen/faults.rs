//! What happens to the processes and networks of a round, drawn from a seed.

use super::cluster::PLANES;
use super::wire::Weather;
use rand::{RngExt, rngs::StdRng};
use std::fmt;
use std::time::Duration;

/// The first fault begins this long after the writers, and the second up to so much after the first.
const CALM_MS: std::ops::Range<u64> = 100..800;
const APART_MS: std::ops::Range<u64> = 0..1_500;
/// How long one lasts. A writer that stands still for five seconds in a transaction loses it, so some are longer than that.
const SHORT_MS: std::ops::Range<u64> = 50..2_000;
const LONG_MS: std::ops::Range<u64> = 4_000..9_000;
/// One of so many is long.
const LONG_ONE_IN: u32 = 6;

/// Which of a control plane's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Database,
    Redis,
    Both,
}

/// Numbers are of control planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// By SIGKILL; its end is the restart.
    Kill(usize),
    /// By SIGSTOP; its end is SIGCONT.
    Pause(usize),
    Network(usize, Place, Weather),
    /// Killed, and started again with nothing in it.
    Redis,
    /// An immediate stop, as in a crash; its end is the recovery.
    Postgres,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(plane) => write!(formatter, "control plane {plane} is killed"),
            Self::Pause(plane) => write!(formatter, "control plane {plane} stands still"),
            Self::Network(plane, place, weather) => {
                let place = match place {
                    Place::Database => "the database",
                    Place::Redis => "Redis",
                    Place::Both => "the database and Redis",
                };
                write!(formatter, "the network from control plane {plane} to {place} {weather}")
            }
            Self::Redis => formatter.write_str("Redis is killed"),
            Self::Postgres => formatter.write_str("PostgreSQL crashes"),
        }
    }
}

/// A fault and its time, from the round's begin.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub fault: Fault,
    pub from: Duration,
    pub to: Duration,
}

/// What is done at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Begin(Fault),
    End(Fault),
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(fault) => fault.fmt(formatter),
            Self::End(fault) => write!(formatter, "over: {fault}"),
        }
    }
}

/// Two faults at once, or one, or one and another after it. Never the same process twice, and a control plane is only started again on
/// engines that it can reach: that is what a supervisor tries until it succeeds.
pub fn draw(random: &mut StdRng) -> Vec<(Duration, Step)> {
    let ms = |random: &mut StdRng, range: std::ops::Range<u64>| Duration::from_millis(random.random_range(range));
    let first = Trouble::new(process(random), ms(random, CALM_MS), random);
    let mut all = vec![first];
    if random.random_bool(0.7) {
        let from = all[0].from + ms(random, APART_MS);
        let second = Trouble::new(surroundings(random), from, random);
        if matches!(all[0].fault, Fault::Kill(_)) {
            all[0].to = all[0].to.max(second.to + Duration::from_millis(1));
        }
        all.push(second);
    }
    let mut steps: Vec<(Duration, Step)> =
        all.iter().flat_map(|Trouble { fault, from, to }| [(*from, Step::Begin(*fault)), (*to, Step::End(*fault))]).collect();
    steps.sort_by_key(|(at, _)| *at);
    steps
}

impl Trouble {
    fn new(fault: Fault, from: Duration, random: &mut StdRng) -> Self {
        let range = if random.random_range(0..LONG_ONE_IN) == 0 { LONG_MS } else { SHORT_MS };
        Self { fault, from, to: from + Duration::from_millis(random.random_range(range)) }
    }
}

fn process(random: &mut StdRng) -> Fault {
    let plane = random.random_range(0..PLANES);
    match random.random_range(0..5) {
        0 | 1 => Fault::Kill(plane),
        2 | 3 => Fault::Pause(plane),
        _ => network(random),
    }
}

fn surroundings(random: &mut StdRng) -> Fault {
    match random.random_range(0..5) {
        0 => Fault::Redis,
        1 | 2 => Fault::Postgres,
        _ => network(random),
    }
}

fn network(random: &mut StdRng) -> Fault {
    let place = [Place::Database, Place::Redis, Place::Both][random.random_range(0..3)];
    Fault::Network(random.random_range(0..PLANES), place, Weather::draw(random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_fault_ends_and_a_control_plane_starts_last() {
        for seed in 0..2_000 {
            let steps = draw(&mut StdRng::seed_from_u64(seed));
            assert_eq!(steps, draw(&mut StdRng::seed_from_u64(seed)), "the same seed draws the same");
            let mut under_way = Vec::new();
            for (_, step) in &steps {
                match step {
                    Step::Begin(fault) => under_way.push(*fault),
                    Step::End(fault) => {
                        under_way.retain(|other| other != fault);
                        assert!(!matches!(fault, Fault::Kill(_)) || under_way.is_empty(), "{seed}: {steps:?}");
                    }
                }
            }
            assert!(under_way.is_empty(), "{seed}: {steps:?}");
        }
    }
}
