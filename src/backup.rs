//! `guildhall backup` copies everything that a server keeps to a new folder, also while the server runs; `guildhall restore`
//! checks such a folder and puts it in place.
//!
//! A backup is a folder of plain files: `guildhall.db`, `files/`, `data/` (keys and certificates as they lie in the data
//! folder), `guildhall.toml` if the server has one, `SHA256SUMS` of all of them (`sha256sum -c` reads it) and, written last,
//! `manifest.json`: a folder without it is half a backup.

mod manifest;
mod put;
mod save;
mod tree;

use crate::config::{self, Config};
use anyhow::bail;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use guildhall_control_plane::store::Location;
use std::path::{Path, PathBuf};

/// The database in a backup.
const DATABASE: &str = "guildhall.db";
/// The folder of files in a backup.
const FILES: &str = "files";
/// The folder of what else lies in the data folder.
const DATA: &str = "data";
/// The configuration file in a backup.
const CONFIG: &str = "guildhall.toml";
/// What else of the data folder a server cannot make again: the keys that its tokens and certificates hang on.
const KEPT: [&str; 8] =
    ["voice.key", "issuer.key", "join.secret", "tls/ca.key", "tls/ca.pem", "tls/leaf.key", "tls/leaf.pem", "tls/leaf.txt"];
/// What was made of files in other sizes; it is made again when someone asks.
const THUMBNAILS: &str = "thumbnails";
/// Missing files that are named; the rest is counted.
const NAMED: usize = 20;

/// The `backup` subcommand.
pub fn command() -> Command {
    Command::new("backup")
        .about("Copies database, files, keys and certificates to a new folder, also while the server runs")
        .args(flags())
        .arg(folder().help("The folder to make; it must not exist"))
}

/// The `restore` subcommand.
pub fn restore_command() -> Command {
    let force = Arg::new("force").long("force").action(ArgAction::SetTrue);
    Command::new("restore")
        .about("Checks a backup and puts it in the place of a stopped server's data")
        .args(flags())
        .arg(force.help("Replace what is there already"))
        .arg(folder().help("What `guildhall backup` made"))
}

/// The settings that say where things are; they must be the server's.
fn flags() -> impl Iterator<Item = Arg> {
    config::flags(|name| matches!(name, "data" | "database" | "files"))
}

fn folder() -> Arg {
    Arg::new("folder").value_name("FOLDER").required(true).value_parser(value_parser!(PathBuf))
}

fn given(matches: &ArgMatches) -> &Path {
    matches.get_one::<PathBuf>("folder").expect("clap asks for it")
}

/// Makes the backup and says what is in it.
pub async fn run(config: Config, matches: &ArgMatches) -> anyhow::Result<()> {
    print!("{}", save::save(&config, given(matches)).await?);
    Ok(())
}

/// Checks the backup, puts it in place, checks what is there then, and says what it found.
pub async fn run_restore(config: Config, matches: &ArgMatches) -> anyhow::Result<()> {
    print!("{}", put::put(&config, given(matches), matches.get_flag("force")).await?);
    Ok(())
}

/// The database file. A PostgreSQL database is saved by its own tools.
fn database_file(config: &Config) -> anyhow::Result<&Path> {
    match &config.database {
        Location::File(file) => Ok(file),
        Location::Postgres(_) => bail!(
            "The database {} is PostgreSQL's: save it with `pg_dump --format=custom`, after it the files ({}), and put it back with \
             `pg_restore`.",
            config.database,
            config.files.url.as_deref().unwrap_or("the folder `files` of --data"),
        ),
    }
}

/// Some paths of many, for people.
fn named(paths: &[String], total: u64) -> String {
    let mut lines: String = paths.iter().map(|path| format!("    {path}\n")).collect();
    if total > paths.len() as u64 {
        lines += &format!("    … and {} more\n", total - paths.len() as u64);
    }
    lines
}

/// What takes so many bytes, for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{size:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests;
