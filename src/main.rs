//! The server binary: reads the settings, starts logging, and runs what was asked for.

use clap::Command;
use guildhall::config::{self, Config};
use guildhall::serve;
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
        .get_matches();
    let (_, matches) = matches.subcommand().expect("clap asks for one");
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
    let runtime = tokio::runtime::Runtime::new().expect("threads and epoll are there on every supported system");
    let ran = runtime.block_on(serve::run(config));
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
