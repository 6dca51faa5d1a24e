//! The data folder: whose it is, how much room it has, whether a server runs on it, and what is in its database.

use super::Findings;
use crate::backup::size;
use crate::config::Config;
use guildhall_control_plane::files;
use guildhall_control_plane::store::{Location, inspect, inspect_server, known_schema, named_files};
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// With less room than this the database may fail within the hour.
const LITTLE_ROOM: u64 = 256 * 1024 * 1024;
/// And with less than this within the weeks.
const SOME_ROOM: u64 = 2 * 1024 * 1024 * 1024;
/// Files that a full disk of tiny files has room for.
const LITTLE_FILES: u64 = 10_000;
/// Clocks are set by a network; what differs more is wrong.
const CLOCK_TOLERANCE_MS: u64 = 60_000;
/// A moment before the first version of this program, 2026-01-01, Unix milliseconds.
const PROGRAM_MS: u64 = 1_767_225_600_000;
/// Missing files that are named.
const NAMED: usize = 3;

/// Whether a server runs on the data.
pub async fn examine(config: &Config, findings: &mut Findings) -> bool {
    judge_clock(unix_ms(), None, findings);
    let data = &config.data;
    let Ok(found) = fs::metadata(data) else {
        examine_absent(data, findings);
        return false;
    };
    if !found.is_dir() {
        findings.fail("data folder", format!("{} is no folder.", data.display()), "Give another --data.");
        return false;
    }
    let is_running = is_locked(data);
    let says = if is_running { "a server runs on it" } else { "no server runs on it" };
    let is_ours = found.uid() == rustix::process::geteuid().as_raw();
    let probe = data.join(".doctor");
    let written = File::create(&probe).and_then(|file| file.sync_all());
    let _ = fs::remove_file(&probe);
    match written {
        Err(error) => findings.fail(
            "data folder",
            format!("{} cannot be written to: {error}.", data.display()),
            "Give it to the user that the server runs as (chown), and look whether the disk is full or read-only.",
        ),
        Ok(()) if !is_ours => findings.warn(
            "data folder",
            format!("{} belongs to another user; {says}.", data.display()),
            "Run this as the user that the server runs as, or it will not be able to open what others make.",
        ),
        Ok(()) if found.permissions().mode() & 0o077 != 0 => findings.warn(
            "data folder",
            format!("Others may look into {}, where messages and keys are; {says}.", data.display()),
            format!("Run `chmod 700 {}`.", data.display()),
        ),
        Ok(()) => findings.good("data folder", format!("{} is ours alone; {says}.", data.display())),
    }
    examine_room("free space", data, findings);
    let folder = files::local_folder(config.files.url.as_deref(), data);
    match &folder {
        Some(folder) if folder.starts_with(data) => {}
        Some(folder) if folder.exists() => examine_room("free space", folder, findings),
        Some(folder) => findings.warn(
            "files",
            format!("The folder {} is not there yet.", folder.display()),
            "If there should be files in it, mount the disk that they are on; otherwise the start makes it.",
        ),
        None => findings.good("files", format!("They are in {}.", config.files.url.as_deref().unwrap_or_default())),
    }
    match &config.database {
        Location::File(file) => examine_database(file, folder.as_deref(), findings).await,
        Location::Postgres(_) => examine_server(&config.database, findings).await,
    }
    is_running
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// Before the first start.
fn examine_absent(data: &Path, findings: &mut Findings) {
    let absolute = std::path::absolute(data).unwrap_or(data.to_owned());
    match absolute.ancestors().skip(1).find(|folder| folder.exists()) {
        Some(above) if rustix::fs::access(above, rustix::fs::Access::WRITE_OK).is_ok() => {
            findings.good("data folder", format!("{} is not there yet; the first start makes it.", data.display()));
            examine_room("free space", above, findings);
        }
        _ => findings.fail(
            "data folder",
            format!("{} is not there and cannot be made.", data.display()),
            "Give a --data that the server's user may write to, or make the folder and give it to that user (chown).",
        ),
    }
}

/// Asks for the lock of a running server and lets go of it at once.
fn is_locked(data: &Path) -> bool {
    match File::open(data.join("lock")) {
        Ok(lock) => matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    }
}

fn examine_room(about: &'static str, folder: &Path, findings: &mut Findings) {
    match rustix::fs::statvfs(folder) {
        Ok(found) => judge_room(about, folder, found.f_bavail * found.f_frsize, found.f_files, found.f_favail, findings),
        Err(error) => findings.warn(about, format!("{} cannot be measured: {error}.", folder.display()), "Look at `df`."),
    }
}

/// Some file systems do not count files; they say that they have room for none in all.
fn judge_room(about: &'static str, folder: &Path, bytes: u64, files: u64, free_files: u64, findings: &mut Findings) {
    let says = format!("{} has room for {}.", folder.display(), size(bytes));
    let advice = "Free some space or move the data to a larger disk: a database without room takes no messages.";
    match bytes {
        ..LITTLE_ROOM => findings.fail(about, says, advice),
        LITTLE_ROOM..SOME_ROOM => findings.warn(about, says, advice),
        _ if files > 0 && free_files < LITTLE_FILES => findings.warn(
            about,
            format!("{} has room for {free_files} more files (inodes).", folder.display()),
            "Move the files to a file system with more.",
        ),
        _ => findings.good(about, says),
    }
}

/// A PostgreSQL database.
async fn examine_server(database: &Location, findings: &mut Findings) {
    match inspect_server(database).await {
        Err(error) => findings.fail(
            "database",
            format!("{database}: {error:#}."),
            "Look whether the server runs and listens there, and whether user, password and database name of --database are right.",
        ),
        Ok(found) => {
            let form = match found.schema {
                0 => "it is empty; the first start fills it".to_owned(),
                schema if schema <= known_schema() => format!("form {schema}"),
                schema => format!("form {schema}, which a newer version made"),
            };
            findings.good("database", format!("{database} is PostgreSQL {} ({form}).", found.version));
            judge_clock(unix_ms(), found.last_change_ms, findings);
        }
    }
}

async fn examine_database(database: &Path, folder: Option<&Path>, findings: &mut Findings) {
    match fs::metadata(database) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return findings.good("database", "There is none yet; the first start makes it.");
        }
        Err(error) => {
            return findings.fail("database", format!("It cannot be looked at: {error}."), "Run this as the server's user.");
        }
        Ok(_) => {}
    }
    let found = match inspect(database).await {
        Ok(found) => found,
        Err(error) => {
            return findings.fail(
                "database",
                format!("{}: {error:#}", database.display()),
                "Put the last backup back with `guildhall restore --force`, after you have kept a copy of the data folder.",
            );
        }
    };
    let known = known_schema();
    let form = match found.schema == known {
        true => format!("form {known}"),
        false => format!("form {}; the next start brings it to {known}, so make a backup before", found.schema),
    };
    let counts: Vec<_> = found.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    findings.good("database", format!("It is sound ({form}): {}.", counts.join(", ")));
    judge_clock(unix_ms(), found.last_change_ms, findings);
    let (Some(folder), true) = (folder, found.schema == known) else { return };
    let (mut total, mut missing, mut named) = (0_u64, 0_u64, Vec::new());
    let asked = named_files(database, |path| {
        total += 1;
        if !folder.join(path).is_file() {
            missing += 1;
            if named.len() < NAMED {
                named.push(path.to_owned());
            }
        }
    });
    match asked.await {
        Err(error) => findings.fail("files", format!("They cannot be listed: {error:#}."), "See what the database says above."),
        Ok(()) if missing > 0 => findings.warn(
            "files",
            format!("{missing} of {total} files are missing in {}, for example {}.", folder.display(), named.join(", ")),
            "Put them back from a backup, or live without them: their messages stay.",
        ),
        Ok(()) => findings.good("files", format!("All {total} are in {}.", folder.display())),
    }
}

/// Without the database's last change: whether the clock can be right at all.
fn judge_clock(now_ms: u64, last_change_ms: Option<u64>, findings: &mut Findings) {
    let advice = "Set the clock (`timedatectl set-ntp true`): ids, tokens and certificates go by it.";
    match last_change_ms {
        None if now_ms < PROGRAM_MS => {
            findings.fail("clock", "It says a time before this program was written.", advice);
        }
        None => findings.good("clock", "It says a time that can be."),
        Some(last) if last > now_ms + CLOCK_TOLERANCE_MS => findings.fail(
            "clock",
            format!("The database was changed {} s in the future: the clock was set back.", (last - now_ms) / 1_000),
            advice,
        ),
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn room_is_judged_by_bytes_and_by_files() {
        const GIB: u64 = 1 << 30;
        for (bytes, files, free_files, level) in [
            (GIB / 8, 100_000, 90_000, Level::Error),
            (GIB, 100_000, 90_000, Level::Warning),
            (10 * GIB, 100_000, 90_000, Level::Good),
            (10 * GIB, 100_000, 9, Level::Warning),
            // Btrfs says so.
            (10 * GIB, 0, 0, Level::Good),
        ] {
            let mut findings = Findings::default();
            judge_room("free space", Path::new("/x"), bytes, files, free_files, &mut findings);
            assert_eq!(findings.0[0].level, level, "{bytes} {free_files}");
        }
    }

    #[test]
    fn a_clock_before_the_program_or_before_the_database_is_wrong() {
        let level = |now, last| {
            let mut findings = Findings::default();
            judge_clock(now, last, &mut findings);
            findings.0.first().map(|finding| finding.level)
        };
        assert_eq!(level(0, None), Some(Level::Error));
        assert_eq!(level(PROGRAM_MS, None), Some(Level::Good));
        assert_eq!(level(PROGRAM_MS, Some(PROGRAM_MS + CLOCK_TOLERANCE_MS)), None);
        assert_eq!(level(PROGRAM_MS, Some(PROGRAM_MS + CLOCK_TOLERANCE_MS + 1)), Some(Level::Error));
    }
}
