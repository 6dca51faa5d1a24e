//! The server binary: reads the settings, starts logging, and runs what was asked for.

use clap::{ArgMatches, Command};
use guildhall::config::{self, Config};
use guildhall::{backup, serve};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let matches = Command::new("guildhall")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A self-hosted home for communities: text, voice and video over the Discord wire format")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(config::command())
        .subcommand(backup::command())
        .subcommand(backup::restore_command())
        .get_matches();
    match matches.subcommand().expect("clap asks for one") {
        ("backup", matches) => run(backup::run(matches)),
        ("restore", matches) => run(backup::run_restore(matches)),
        (_, matches) => serve(matches),
    }
}

fn serve(matches: &ArgMatches) -> ExitCode {
    let config = match Config::load(matches) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.log))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    run(serve::run(config))
}

/// Runs to the end, and says why if that is a bad one.
fn run(work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("threads and epoll are there on every supported system");
    let ran = runtime.block_on(work);
    // What still runs is past its deadline, and not waited for.
    runtime.shutdown_background();
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
