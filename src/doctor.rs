//! `guildhall doctor`: looks at the settings, the data and the machine that a server has, or would have, and says in sentences
//! what is wrong and what to do about it. It changes nothing, and may run beside the server.
//!
//! What is looked at is in one file per place: [`storage`], [`network`], [`machine`], [`certificate`].

mod certificate;
mod machine;
mod network;
mod storage;

use crate::config::{self, Config};
use anyhow::bail;
use clap::Command;
use std::fmt::Write;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Good,
    /// The server works, for some or for now.
    Warning,
    /// The server does not start, or loses something.
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    level: Level,
    /// What was looked at.
    about: &'static str,
    /// What was found, a sentence.
    says: String,
    /// What to do about it, a sentence; empty if it is good.
    advice: String,
}

/// Everything that was found.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, about: &'static str, says: impl Into<String>) {
        self.0.push(Finding { level: Level::Good, about, says: says.into(), advice: String::new() });
    }

    fn warn(&mut self, about: &'static str, says: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Finding { level: Level::Warning, about, says: says.into(), advice: advice.into() });
    }

    fn fail(&mut self, about: &'static str, says: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Finding { level: Level::Error, about, says: says.into(), advice: advice.into() });
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { level, about, says, advice } in &self.0 {
            let word = match level {
                Level::Good => "ok",
                Level::Warning => "warning",
                Level::Error => "ERROR",
            };
            writeln!(text, "{word:<8} {about:<13} {says}").expect("a string takes everything");
            if !advice.is_empty() {
                writeln!(text, "{:22} → {advice}", "").expect("a string takes everything");
            }
        }
        text
    }
}

/// The `doctor` subcommand, with the flags of `serve`: it judges the server that these would start.
pub fn command() -> Command {
    Command::new("doctor")
        .about("Checks settings, data, network and machine, and says what to do; exits with 1 if something is wrong")
        .args(config::flags(|_| true))
}

/// Prints what it finds. An error if something is wrong.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let findings = examine(&config).await;
    let (errors, warnings) = (findings.count(Level::Error), findings.count(Level::Warning));
    print!("{}", findings.text());
    if errors > 0 {
        bail!("{errors} errors, {warnings} warnings");
    }
    println!("No errors, {warnings} warnings.");
    Ok(())
}

async fn examine(config: &Config) -> Findings {
    let mut findings = Findings::default();
    let settings = match &config.file {
        Some(file) => format!("The settings are valid; {} was read.", file.display()),
        None => "The settings are valid; there is no configuration file.".to_owned(),
    };
    findings.good("settings", settings);
    let is_running = storage::examine(config, &mut findings).await;
    network::examine(config, is_running, &mut findings).await;
    certificate::examine(config, &mut findings);
    machine::examine(&mut findings);
    findings
}

#[cfg(test)]
mod tests;
