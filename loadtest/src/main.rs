//! `guildhall-loadtest`: load against a Guildhall server, as an unmodified client makes it.

use clap::{Parser, Subcommand};
use guildhall_loadtest::{bench, check};
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about = "Load against a Guildhall server, as unmodified clients make it")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// CPU per forwarded Opus packet beside a bare forwarder, durable sends, and the cost of an idle gateway session.
    Bench(bench::Options),
    /// Whether text and voice work from this machine: every transport hears every other, bit for bit
    Check(check::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Bench(options) => bench::run(&options),
        Command::Check(options) => check::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
