//! A copy of the database while the server runs, what is in a database file, and the way back.

use super::BUSY_TIMEOUT;
use super::recordings::{DELETED, medium_of};
use crate::files::recordings::{TrackId, piece_key};
use crate::files::{attachment_key, emoji_path, picture_path};
use anyhow::{Context, bail};
use futures_util::TryStreamExt;
use guildhall_protocol::{AttachmentId, ChannelId, EmojiId, RecordingId, Snowflake, UserId};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What is counted, so that a copy can be compared with what it was made of.
const COUNTED: [(&str, &str); 7] = [
    ("users", "SELECT COUNT(*) FROM users"),
    ("guilds", "SELECT COUNT(*) FROM guilds"),
    ("channels", "SELECT COUNT(*) FROM channels"),
    ("members", "SELECT COUNT(*) FROM members"),
    ("messages", "SELECT COUNT(*) FROM messages"),
    ("attachments", "SELECT COUNT(*) FROM attachments WHERE message_id IS NOT NULL"),
    ("emojis", "SELECT COUNT(*) FROM emojis"),
];

/// Where rows say that they have a picture: its folder, its owner, its hash.
const PICTURES: [(&str, &str); 7] = [
    ("avatars", "SELECT id, avatar FROM users WHERE avatar IS NOT NULL"),
    ("avatars", "SELECT id, avatar FROM webhooks WHERE avatar IS NOT NULL"),
    ("icons", "SELECT id, icon FROM guilds WHERE icon IS NOT NULL"),
    ("banners", "SELECT id, banner FROM guilds WHERE banner IS NOT NULL"),
    ("splashes", "SELECT id, splash FROM guilds WHERE splash IS NOT NULL"),
    ("channel-icons", "SELECT id, icon FROM private_channels WHERE icon IS NOT NULL"),
    ("app-icons", "SELECT id, icon FROM applications WHERE icon IS NOT NULL"),
];

/// Damages that are named; one is enough to give a database up.
const DAMAGES: usize = 3;

/// What is in a sound database file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The form of its tables; [`known_schema`] is ours.
    pub schema: i64,
    /// Rows by what they are.
    pub counts: BTreeMap<String, u64>,
    /// When it was last changed as far as it knows, Unix milliseconds.
    pub last_change_ms: Option<u64>,
}

/// The form that this version makes of every database that it opens.
pub fn known_schema() -> i64 {
    sqlx::migrate!("migrations/sqlite").iter().map(|migration| migration.version).max().unwrap_or(0)
}

async fn read(database: &Path) -> anyhow::Result<SqliteConnection> {
    if !database.is_file() {
        bail!("There is no database at {}.", database.display());
    }
    let options = SqliteConnectOptions::new().filename(database).read_only(true).busy_timeout(BUSY_TIMEOUT);
    Ok(SqliteConnection::connect_with(&options.disable_statement_logging()).await?)
}

/// Writes everything that is committed now to a new database file, which only its owner may read. `target` must not exist.
/// A server may be running on the database.
pub async fn copy_database(database: &Path, target: &Path) -> anyhow::Result<()> {
    let mut connection = read(database).await?;
    // Absolute, because SQLite would take some relative names (`file:…`) for something else.
    let target = std::path::absolute(target)?;
    let Some(name) = target.to_str() else { bail!("The name {} is not Unicode.", target.display()) };
    // SQLite accepts an empty file; making it here is what keeps an old one and sets the mode.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!("{name} exists already; it is not overwritten."),
        Err(error) => return Err(error).with_context(|| format!("{name} cannot be created")),
    }
    let copied = async {
        sqlx::query("VACUUM INTO $1").bind(name).execute(&mut connection).await?;
        connection.close().await?;
        // SQLite leaves it to the system when the copy reaches the disk.
        sync(&target)
    };
    let copied = copied.await;
    if copied.is_err() {
        // Half a copy is worse than none. If it cannot be removed, the error still says that there is none.
        let _ = fs::remove_file(&target);
    }
    copied.with_context(|| format!("{} cannot be copied to {name}", database.display()))
}

/// The file and its name are on the disk after this.
fn sync(file: &Path) -> anyhow::Result<()> {
    File::open(file)?.sync_all()?;
    if let Some(folder) = file.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Puts a copy in the database's place, whole or not at all, after it was found to be sound. No process may have the
/// database open; one that is there already is replaced.
pub async fn put_database(copy: &Path, database: &Path) -> anyhow::Result<Inspection> {
    let draft = database.with_extension("restored");
    let copied = (|| {
        let _ = fs::remove_file(&draft);
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        std::io::copy(&mut File::open(copy)?, &mut to)?;
        to.sync_all()
    })();
    let checked = match copied.with_context(|| format!("{} cannot be copied to {}", copy.display(), draft.display())) {
        // The copy is checked: it is what will be used, and a backup on a read-only disk stays untouched.
        Ok(()) => inspect(&draft).await.with_context(|| format!("{} cannot be restored", copy.display())),
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
    sync(database)?;
    checked
}

/// Refuses a file that is damaged, that is no database of ours, or that a newer version wrote, and tells what is in it.
pub async fn inspect(database: &Path) -> anyhow::Result<Inspection> {
    let mut connection = read(database).await?;
    let found: Vec<String> = sqlx::query_scalar("SELECT integrity_check FROM pragma_integrity_check LIMIT $1")
        .bind(DAMAGES as i64)
        .fetch_all(&mut connection)
        .await?;
    if found != ["ok"] {
        bail!("It is damaged: {}.", found.join("; "));
    }
    let version: sqlx::Result<i64> =
        sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&mut connection).await;
    let Ok(schema) = version else { bail!("It is no database of Guildhall.") };
    let known = known_schema();
    if schema > known {
        bail!("A newer version of Guildhall wrote it (its form is {schema}, this version knows {known}).");
    }
    let mut counts = BTreeMap::new();
    for (name, query) in COUNTED {
        // An older form may lack the table.
        if let Ok(count) = sqlx::query_scalar::<_, i64>(query).fetch_one(&mut connection).await {
            counts.insert(name.to_owned(), count as u64);
        }
    }
    let last_change: Option<i64> =
        sqlx::query_scalar("SELECT created_at FROM outbox ORDER BY id DESC LIMIT 1").fetch_optional(&mut connection).await?;
    connection.close().await?;
    Ok(Inspection { schema, counts, last_change_ms: last_change.map(|ms| ms as u64) })
}

/// Tells `each` the path of every file that the database says is there, below the place for files. The database must be in
/// the form of this version.
pub async fn named_files(database: &Path, mut each: impl FnMut(&str)) -> anyhow::Result<()> {
    let mut connection = read(database).await?;
    let mut attachments = sqlx::query_as::<_, (i64, i64)>(
        "SELECT channel_id, id FROM attachments WHERE message_id IS NOT NULL AND content_type IS NOT NULL",
    )
    .fetch(&mut connection);
    while let Some((channel, id)) = attachments.try_next().await? {
        each(attachment_key(ChannelId::from_sql(channel), AttachmentId::from_sql(id)).as_ref());
    }
    drop(attachments);
    for (folder, query) in PICTURES {
        let mut pictures = sqlx::query_as::<_, (i64, String)>(query).fetch(&mut connection);
        while let Some((owner, hash)) = pictures.try_next().await? {
            each(&picture_path(folder, Snowflake(owner as u64), &hash));
        }
    }
    let mut emojis = sqlx::query_scalar::<_, i64>("SELECT id FROM emojis").fetch(&mut connection);
    while let Some(id) = emojis.try_next().await? {
        each(&emoji_path(EmojiId::from_sql(id)));
    }
    drop(emojis);
    let mut pieces = sqlx::query_as::<_, (i64, i64, i64, i64, i64)>(
        "SELECT p.recording_id, p.user_id, p.medium, p.start_ms, p.number FROM all_pieces p \
         JOIN recordings r ON r.id = p.recording_id WHERE r.state <> $1",
    )
    .bind(DELETED)
    .fetch(&mut connection);
    while let Some((recording, user, medium, start_ms, number)) = pieces.try_next().await? {
        let (recording, user) = (RecordingId::from_sql(recording), UserId::from_sql(user));
        let track = TrackId { recording, user, medium: medium_of(medium), start_ms: start_ms as u64 };
        each(piece_key(track, number as u32).as_ref());
    }
    drop(pieces);
    connection.close().await?;
    Ok(())
}
