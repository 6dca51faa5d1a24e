//! `capacity`: raises one number of a scenario step by step until an objective breaks, and says which and at what size. Each
//! step is a whole run; against a server of our own, with a fresh one.

use crate::progress;
use crate::report::{Judgement, Verdict, number};
use crate::run::{Target, perform};
use crate::scenario::Scenario;
use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Clone, Debug, Args)]
pub struct Options {
    /// A scenario with a [capacity] table: a shipped one's name or a TOML file
    scenario: String,
    #[command(flatten)]
    target: Target,
    /// Write all steps as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One size and how it went.
#[derive(Debug, Serialize)]
struct Step {
    size: f64,
    outcome: Outcome,
    core_share: Option<f64>,
    forwarded_per_s: Option<f64>,
    broken: Vec<Judgement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Holds,
    Broken,
    /// The generator was at its end before the server.
    Unfit,
}

/// The next size to try. Pure: sizes and outcomes in, a size out.
fn next(from: f64, to: f64, factor: f64, refine: u32, tried: &[(f64, Outcome)]) -> Option<f64> {
    let good = tried.iter().filter(|(_, outcome)| *outcome == Outcome::Holds).map(|(size, _)| *size).fold(0.0, f64::max);
    let bad = tried.iter().filter(|(_, outcome)| *outcome != Outcome::Holds).map(|(size, _)| *size).fold(f64::INFINITY, f64::min);
    if tried.is_empty() {
        return Some(from);
    }
    if bad.is_infinite() {
        let larger = (good * factor).round().max(good + 1.0).min(to);
        return (larger > good).then_some(larger);
    }
    // The steps up were all good but the last; every further one halves the interval.
    let halvings = tried.iter().skip_while(|(_, outcome)| *outcome == Outcome::Holds).count() as u32 - 1;
    let middle = ((good + bad) / 2.0).round();
    (good > 0.0 && halvings < refine && middle > good && middle < bad).then_some(middle)
}

pub fn run(options: &Options) -> Result<ExitCode> {
    let scenario = Scenario::load(&options.scenario, options.target.settings())?;
    let capacity = scenario.capacity.clone().context("this scenario has no [capacity] table")?;
    let mut steps: Vec<Step> = Vec::new();
    loop {
        let tried: Vec<(f64, Outcome)> = steps.iter().map(|step| (step.size, step.outcome)).collect();
        let Some(size) = next(capacity.from, capacity.to, capacity.factor, capacity.refine, &tried) else { break };
        progress(&format!("{} = {}", capacity.key, number(size)));
        let report = perform(&options.scenario, &scenario.with(&capacity.key, size)?, &options.target)?;
        let outcome = match report.verdict() {
            Verdict::Met => Outcome::Holds,
            Verdict::Missed => Outcome::Broken,
            Verdict::Unfit => Outcome::Unfit,
        };
        let step = Step {
            size,
            outcome,
            core_share: report.figures.get("server.core_share"),
            forwarded_per_s: report.figures.get("server.forwarded_per_s").or(report.figures.get("text.per_second")),
            broken: report.objectives.iter().filter(|judged| !judged.is_met).cloned().collect(),
        };
        println!("{}", line(&capacity.key, &step, report.health.as_deref()));
        steps.push(step);
    }
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&steps)?).with_context(|| format!("writing {}", path.display()))?;
    }
    println!("\n{}", summary(&capacity.key, &steps));
    // Finding the limit is success; a first step that does not hold is not.
    let holds = steps.iter().any(|step| step.outcome == Outcome::Holds);
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(key: &str, step: &Step, health: Option<&str>) -> String {
    let part = |value: Option<f64>, unit: &str| value.map_or_else(String::new, |value| format!(", {}{unit}", number(value)));
    let load =
        part(step.core_share.map(|share| share * 100.0), " % of a core") + &part(step.forwarded_per_s, " packets or messages/s");
    match step.outcome {
        Outcome::Holds => format!("{key} = {}: holds{load}", number(step.size)),
        Outcome::Broken => format!("{key} = {}: breaks {}{load}", number(step.size), broken(step)),
        Outcome::Unfit => format!("{key} = {}: not judged, {}{load}", number(step.size), health.unwrap_or_default()),
    }
}

fn broken(step: &Step) -> String {
    let each = step.broken.iter().map(|judged| {
        let value = judged.value.map_or_else(|| "not measured".to_owned(), number);
        format!("{} {} ({value})", judged.figure, judged.objective)
    });
    each.collect::<Vec<_>>().join(", ")
}

fn summary(key: &str, steps: &[Step]) -> String {
    let largest = steps.iter().filter(|step| step.outcome == Outcome::Holds).max_by(|a, b| a.size.total_cmp(&b.size));
    let smallest = steps.iter().filter(|step| step.outcome != Outcome::Holds).min_by(|a, b| a.size.total_cmp(&b.size));
    match (largest, smallest) {
        (Some(good), Some(bad)) if bad.outcome == Outcome::Broken => {
            format!("{key} = {} holds; at {} breaks {}.", number(good.size), number(bad.size), broken(bad))
        }
        (Some(good), Some(bad)) => format!(
            "{key} = {} holds; at {} the generator is at its end before the server: use more cores for it.",
            number(good.size),
            number(bad.size)
        ),
        (Some(good), None) => format!("{key} = {} holds, and no more was asked for.", number(good.size)),
        (None, Some(bad)) => format!("Even {key} = {} does not hold: {}.", number(bad.size), broken(bad)),
        (None, None) => "Nothing was tried.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries sizes against a server that holds up to `limit`.
    fn search(limit: f64, to: f64, refine: u32) -> Vec<f64> {
        let mut tried = Vec::new();
        while let Some(size) = next(10.0, to, 2.0, refine, &tried) {
            tried.push((size, if size <= limit { Outcome::Holds } else { Outcome::Broken }));
            assert!(tried.len() < 50, "{tried:?}");
        }
        tried.into_iter().map(|(size, _)| size).collect()
    }

    #[test]
    fn sizes_double_until_one_breaks_and_then_close_in_on_the_limit() {
        assert_eq!(search(100.0, 1000.0, 0), [10.0, 20.0, 40.0, 80.0, 160.0]);
        assert_eq!(search(100.0, 1000.0, 3), [10.0, 20.0, 40.0, 80.0, 160.0, 120.0, 100.0, 110.0]);
        assert_eq!(search(100.0, 50.0, 3), [10.0, 20.0, 40.0, 50.0], "never beyond what was asked");
        assert_eq!(search(5.0, 50.0, 3), [10.0], "nothing below the first step is tried");
        assert_eq!(search(11.0, 50.0, 9), [10.0, 20.0, 15.0, 13.0, 12.0, 11.0], "whole numbers end the halving");
    }
}
