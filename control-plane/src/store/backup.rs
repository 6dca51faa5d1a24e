//! A copy of the database while the server runs, and the way back.

use super::BUSY_TIMEOUT;
use anyhow::{Context, bail};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes everything that is committed now to a new database file, which only its owner may read. `target` must not exist.
pub async fn backup(database: &Path, target: &Path) -> anyhow::Result<()> {
    if !database.is_file() {
        bail!("There is no database at {}.", database.display());
    }
    // Absolute, because SQLite would take some relative names (`file:…`) for something else.
    let target = std::path::absolute(target)?;
    let Some(name) = target.to_str() else { bail!("The name {} is not Unicode.", target.display()) };
    // SQLite accepts an empty file; making it here is what keeps an old backup and sets the mode.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!("{name} exists already; it is not overwritten."),
        Err(error) => return Err(error).with_context(|| format!("{name} cannot be created")),
    }
    let copied = copy(database, &target, name).await;
    if copied.is_err() {
        // Half a backup is worse than none. If it cannot be removed, the error still says that there is none.
        let _ = fs::remove_file(&target);
    }
    copied.with_context(|| format!("{} cannot be copied to {name}", database.display()))
}

async fn copy(database: &Path, target: &Path, name: &str) -> anyhow::Result<()> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true).busy_timeout(BUSY_TIMEOUT);
    let mut connection = SqliteConnection::connect_with(&options.disable_statement_logging()).await?;
    sqlx::query("VACUUM INTO $1").bind(name).execute(&mut connection).await?;
    connection.close().await?;
    // SQLite leaves it to the system when the copy reaches the disk.
    File::open(target)?.sync_all()?;
    if let Some(folder) = target.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Puts the backup in the database's place, whole or not at all, after it was found to be whole and not of a newer version.
/// No process may have the database open.
pub async fn restore(backup: &Path, database: &Path, may_replace: bool) -> anyhow::Result<()> {
    if !backup.is_file() {
        bail!("There is no backup at {}.", backup.display());
    }
    if database.exists() && !may_replace {
        bail!("There is a database at {} already; it is replaced only with --force.", database.display());
    }
    let draft = database.with_extension("restored");
    let copied = (|| {
        let _ = fs::remove_file(&draft);
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        std::io::copy(&mut File::open(backup)?, &mut to)?;
        to.sync_all()
    })();
    let checked = match copied.with_context(|| format!("{} cannot be copied to {}", backup.display(), draft.display())) {
        // The copy is checked: it is what will be used, and a backup on a read-only disk stays untouched.
        Ok(()) => check(&draft).await.with_context(|| format!("{} cannot be restored", backup.display())),
        Err(error) => Err(error),
    };
    if checked.is_err() {
        let _ = fs::remove_file(&draft);
        return checked;
    }
    // What the old database had not yet taken in belongs to it, and would damage the new one.
    for end in ["-wal", "-shm"] {
        let mut name = database.as_os_str().to_owned();
        name.push(end);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context("The old database's log cannot be removed");
            }
            _ => {}
        }
    }
    fs::rename(&draft, database).with_context(|| format!("{} cannot be replaced", database.display()))?;
    if let Some(folder) = database.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Refuses a file that is damaged, that is no database of ours, or that a newer version wrote.
async fn check(file: &Path) -> anyhow::Result<()> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options.disable_statement_logging()).await?;
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_all(&mut connection).await?;
    if found != ["ok"] {
        bail!("It is damaged: {}.", found.join("; "));
    }
    let version: sqlx::Result<i64> =
        sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&mut connection).await;
    let Ok(version) = version else { bail!("It is no database of Guildhall.") };
    let known = sqlx::migrate!("migrations/sqlite").iter().map(|migration| migration.version).max().unwrap_or(0);
    if version > known {
        bail!("A newer version of Guildhall wrote it (its form is {version}, this version knows {known}).");
    }
    connection.close().await?;
    Ok(())
}
