//! `guildhall-loadtest`: load against a Guildhall server, as an unmodified client makes it.

use clap::{Args, Parser, Subcommand};
use guildhall_loadtest::measure::figures::FIGURES;
use guildhall_loadtest::net::presets::PRESETS;
use guildhall_loadtest::scenario::{Scenario, shipped};
use guildhall_loadtest::{bench, capacity, check, fleet, run, tables};
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about = "Load against a Guildhall server, as unmodified clients make it")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays a scenario and judges it: exit code 0 if its objectives hold, 1 if not, 3 if this machine was too busy to judge.
    Run(run::Options),
    /// Raises a scenario's load step by step until an objective breaks, and says which and at what size.
    Capacity(capacity::Options),
    /// Lists the shipped scenarios, or prints one to start from.
    Scenarios(Listing),
    /// Plays the scenarios behind the README's voice figures and writes them as tables.
    Tables(tables::Options),
    /// CPU per forwarded Opus packet beside a bare forwarder, durable sends, and the cost of an idle gateway session.
    Bench(bench::Options),
    /// Whether text and voice work from this machine: every transport hears every other, bit for bit
    Check(check::Options),
    /// A whole fleet on this machine
    #[command(subcommand)]
    Fleet(Fleet),
}

#[derive(Subcommand)]
enum Fleet {
    /// Shows a fleet over three emulated regions: placement, a node killed, one emptied, a region cut off. Needs root
    Demo(fleet::demo::Options),
    /// Measures what failures and works of a fleet cost its people, on loopback
    Figures(fleet::figures::Options),
}

#[derive(Args)]
struct Listing {
    /// Print this one's file
    name: Option<String>,
    /// List the figures that objectives may name
    #[arg(long)]
    figures: bool,
    /// List the networks that rooms may name
    #[arg(long)]
    networks: bool,
}

fn list(listing: &Listing) -> anyhow::Result<ExitCode> {
    if let Some(name) = &listing.name {
        let text = shipped::find(name).ok_or_else(|| anyhow::anyhow!("there is no scenario {name:?}"))?;
        print!("{text}");
    } else if listing.figures {
        for (name, unit, meaning) in FIGURES {
            println!("{name:<32} {unit:<12} {meaning}");
        }
    } else if listing.networks {
        for (name, meaning, up, down) in PRESETS {
            println!("{name:<10} {meaning}\n           up:   {up:?}\n           down: {down:?}");
        }
    } else {
        for (name, _) in shipped::SHIPPED {
            println!("{name:<18} {}", Scenario::load(name, &[])?.about);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let done = |outcome: anyhow::Result<()>| outcome.map(|()| ExitCode::SUCCESS);
    let outcome = match Arguments::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Capacity(options) => capacity::run(&options),
        Command::Scenarios(listing) => list(&listing),
        Command::Tables(options) => tables::run(&options),
        Command::Bench(options) => done(bench::run(&options)),
        Command::Check(options) => done(check::run(&options)),
        Command::Fleet(Fleet::Demo(options)) => fleet::demo::run(&options),
        Command::Fleet(Fleet::Figures(options)) => fleet::figures::run(&options),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
