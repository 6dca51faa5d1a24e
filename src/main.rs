//! The server binary: reads the settings, starts logging, and runs what was asked for.

use clap::{ArgMatches, Command};
use guildhall::config::{self, Config, LogFormat};
use guildhall::operator::cli;
use guildhall::{backup, doctor, serve};
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
        .subcommand(doctor::command())
        .subcommand(cli::node_command())
        .subcommand(cli::room_command())
        .get_matches();
    match matches.subcommand().expect("clap asks for one") {
        ("backup", matches) => configured(matches, |config| run(backup::run(config, matches))),
        ("restore", matches) => configured(matches, |config| run(backup::run_restore(config, matches))),
        ("node", matches) => {
            let (verb, matches) = matches.subcommand().expect("clap asks for one");
            configured(matches, |config| run(cli::run_node(config, verb, matches)))
        }
        ("room", matches) => {
            let (verb, matches) = matches.subcommand().expect("clap asks for one");
            configured(matches, |config| run(cli::run_room(config, verb, matches)))
        }
        ("doctor", matches) => configured(matches, |config| run(doctor::run(config))),
        (_, matches) => configured(matches, serve),
    }
}

/// With valid settings, or not at all.
fn configured(matches: &ArgMatches, go: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match Config::load(matches) {
        Ok(config) => go(config),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn serve(config: Config) -> ExitCode {
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.log))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
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
