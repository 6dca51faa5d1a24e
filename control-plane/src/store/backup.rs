//! A copy of the database while the server runs.

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
