//! Attachments as rows: who wrote which file where, and what may be deleted. The files themselves are in [`crate::files`].
//!
//! A row is there before its file and goes after it, so that whatever happens in between leaves no file that nobody knows.

use super::{Conflict, Result, Store, Tx};
use crate::files::{FAREWELL_MS, picture_path};
use guildhall_protocol::{AttachmentId, ChannelId, GuildId, MessageId, Snowflake, UserId};
use sqlx::Row;

/// An attachment whose file is about to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewAttachment {
    pub id: AttachmentId,
    pub channel_id: ChannelId,
    pub guild_id: Option<GuildId>,
    pub user_id: UserId,
    /// How long it waits for its message.
    pub patience_ms: u64,
    pub quotas: Quotas,
}

/// How many bytes of attachments there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    pub user: u64,
    pub guild: u64,
}

/// An attachment whose file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAttachment {
    pub id: AttachmentId,
    pub content_type: String,
    pub size: u64,
}

/// What an edit of a message does to its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileChange {
    pub added: Vec<AttachmentId>,
    /// To be deleted.
    pub removed: Vec<AttachmentId>,
}

/// The column `storage.kind`.
#[derive(Clone, Copy)]
enum Holder {
    User = 0,
    Guild = 1,
}

async fn add_bytes(tx: &mut Tx<'_>, holder: Holder, id: i64, bytes: i64) -> Result<u64> {
    let total: i64 = sqlx::query_scalar(
        "INSERT INTO storage (kind, id, bytes) VALUES ($1, $2, $3) \
         ON CONFLICT (kind, id) DO UPDATE SET bytes = storage.bytes + excluded.bytes RETURNING bytes",
    )
    .bind(holder as i64)
    .bind(id)
    .bind(bytes)
    .fetch_one(tx.sql())
    .await?;
    Ok(total.max(0) as u64)
}

/// Counts bytes for the user and the guild; fails if that is too many.
async fn account(tx: &mut Tx<'_>, user: UserId, guild: Option<GuildId>, bytes: i64, quotas: Quotas) -> Result<()> {
    let mut is_full = add_bytes(tx, Holder::User, user.to_sql(), bytes).await? > quotas.user;
    if let Some(guild) = guild {
        is_full |= add_bytes(tx, Holder::Guild, guild.to_sql(), bytes).await? > quotas.guild;
    }
    if is_full { Err(Conflict::StorageFull.into()) } else { Ok(()) }
}

/// Gives the attachments to their message. Fails if one is not there (any more).
pub(super) async fn claim(tx: &mut Tx<'_>, channel: ChannelId, message: MessageId, ids: &[AttachmentId]) -> Result<()> {
    for id in ids {
        let claimed = sqlx::query(
            "UPDATE attachments SET message_channel_id = $2, message_id = $3, expires_at = NULL \
             WHERE id = $1 AND channel_id = $2 AND message_id IS NULL AND content_type IS NOT NULL AND expires_at > $4",
        )
        .bind(id.to_sql())
        .bind(channel.to_sql())
        .bind(message.to_sql())
        .bind(tx.now_ms as i64)
        .execute(tx.sql())
        .await?;
        if claimed.rows_affected() == 0 {
            return Err(Conflict::Missing.into());
        }
    }
    Ok(())
}

/// Takes the attachments from their message: they will be deleted.
pub(super) async fn release(tx: &mut Tx<'_>, channel: ChannelId, message: MessageId, ids: &[AttachmentId]) -> Result<()> {
    for id in ids {
        sqlx::query("UPDATE attachments SET message_channel_id = NULL, message_id = NULL WHERE id = $1 AND message_channel_id = $2 AND message_id = $3")
            .bind(id.to_sql())
            .bind(channel.to_sql())
            .bind(message.to_sql())
            .execute(tx.sql())
            .await?;
    }
    Ok(())
}

/// Says that the file will be deleted in a while, unless it is spared before.
pub(super) async fn doom_file(tx: &mut Tx<'_>, path: &str, at_ms: u64) -> Result<()> {
    sqlx::query("INSERT INTO doomed_files (path, at) VALUES ($1, $2) ON CONFLICT (path) DO UPDATE SET at = excluded.at")
        .bind(path)
        .bind(at_ms as i64)
        .execute(tx.sql())
        .await?;
    Ok(())
}

/// Says that the file is shown now. Fails if that comes too late.
pub(super) async fn spare_file(tx: &mut Tx<'_>, path: &str) -> Result<()> {
    let spared = sqlx::query("DELETE FROM doomed_files WHERE path = $1 AND at > $2")
        .bind(path)
        .bind(tx.now_ms as i64)
        .execute(tx.sql())
        .await?;
    if spared.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(()) }
}

/// When the hash of a picture changes: the new one stays, and the old one goes in a while.
pub(super) async fn replace_picture(
    tx: &mut Tx<'_>,
    folder: &str,
    owner: Snowflake,
    old: Option<&str>,
    new: Option<&str>,
) -> Result<()> {
    if old == new {
        return Ok(());
    }
    if let Some(hash) = new {
        spare_file(tx, &picture_path(folder, owner, hash)).await?;
    }
    if let Some(hash) = old {
        let at = tx.now_ms + FAREWELL_MS;
        doom_file(tx, &picture_path(folder, owner, hash), at).await?;
    }
    Ok(())
}

impl Store {
    /// Before the file is written. Refuses those who have no room left.
    pub async fn reserve_attachment(&self, new: NewAttachment) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                account(tx, new.user_id, new.guild_id, 0, Quotas { user: new.quotas.user - 1, guild: new.quotas.guild - 1 })
                    .await?;
                sqlx::query(
                    "INSERT INTO attachments (id, channel_id, guild_id, user_id, expires_at) VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(new.id.to_sql())
                .bind(new.channel_id.to_sql())
                .bind(new.guild_id.map(GuildId::to_sql))
                .bind(new.user_id.to_sql())
                .bind((tx.now_ms + new.patience_ms) as i64)
                .execute(tx.sql())
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// After the files are durable: from now on they can be shown, and count.
    pub async fn complete_attachments(&self, stored: Vec<StoredAttachment>, quotas: Quotas) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                for StoredAttachment { id, content_type, size } in stored {
                    let row = sqlx::query(
                        "UPDATE attachments SET content_type = $2, size = $3 WHERE id = $1 AND message_id IS NULL AND expires_at > $4 \
                         RETURNING user_id, guild_id",
                    )
                    .bind(id.to_sql())
                    .bind(content_type)
                    .bind(size as i64)
                    .bind(tx.now_ms as i64)
                    .fetch_optional(tx.sql())
                    .await?
                    .ok_or(Conflict::Missing)?;
                    let guild = row.try_get::<Option<i64>, _>("guild_id")?.map(GuildId::from_sql);
                    account(tx, UserId::from_sql(row.try_get("user_id")?), guild, size as i64, quotas).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Their message was not sent: they need not wait for it any longer. Those that have one are left alone.
    pub async fn abandon_attachments(&self, ids: Vec<AttachmentId>) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                for id in ids {
                    sqlx::query("UPDATE attachments SET expires_at = NULL WHERE id = $1 AND message_id IS NULL")
                        .bind(id.to_sql())
                        .execute(tx.sql())
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// One that a message shows, or is about to.
    pub async fn find_attachment(&self, channel: ChannelId, id: AttachmentId, now_ms: u64) -> Result<Option<StoredAttachment>> {
        let row = sqlx::query(
            "SELECT content_type, size FROM attachments \
             WHERE id = $1 AND channel_id = $2 AND content_type IS NOT NULL AND (message_id IS NOT NULL OR expires_at > $3)",
        )
        .bind(id.to_sql())
        .bind(channel.to_sql())
        .bind(now_ms as i64)
        .fetch_optional(self.readers())
        .await?;
        row.map(|row| {
            Ok(StoredAttachment { id, content_type: row.try_get("content_type")?, size: row.try_get::<i64, _>("size")? as u64 })
        })
        .transpose()
    }

    /// Some of those that no message shows and none will.
    pub async fn orphaned_attachments(&self, now_ms: u64, limit: u32) -> Result<Vec<(ChannelId, AttachmentId)>> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT channel_id, id FROM attachments WHERE message_id IS NULL AND (expires_at IS NULL OR expires_at <= $1) LIMIT $2",
        )
        .bind(now_ms as i64)
        .bind(limit)
        .fetch_all(self.readers())
        .await?;
        Ok(rows.into_iter().map(|(channel, id)| (ChannelId::from_sql(channel), AttachmentId::from_sql(id))).collect())
    }

    /// After their files are gone.
    pub async fn forget_attachments(&self, ids: Vec<AttachmentId>) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                for id in ids {
                    let row = sqlx::query(
                        "DELETE FROM attachments WHERE id = $1 AND message_id IS NULL RETURNING user_id, guild_id, content_type, size",
                    )
                    .bind(id.to_sql())
                    .fetch_optional(tx.sql())
                    .await?;
                    let Some(row) = row else { continue };
                    let bytes = -row.try_get::<i64, _>("size")?;
                    add_bytes(tx, Holder::User, row.try_get("user_id")?, bytes).await?;
                    if let Some(guild) = row.try_get::<Option<i64>, _>("guild_id")? {
                        add_bytes(tx, Holder::Guild, guild, bytes).await?;
                    }
                }
                Ok(())
            })
        })
        .await
    }

    /// What the user's attachments take together.
    pub async fn stored_bytes(&self, user: UserId) -> Result<u64> {
        let bytes: Option<i64> = sqlx::query_scalar("SELECT bytes FROM storage WHERE kind = 0 AND id = $1")
            .bind(user.to_sql())
            .fetch_optional(self.readers())
            .await?;
        Ok(bytes.unwrap_or(0).max(0) as u64)
    }

    /// What everyone's attachments take together.
    pub async fn all_stored_bytes(&self) -> Result<u64> {
        let bytes: i64 = sqlx::query_scalar("SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM storage WHERE kind = 0")
            .fetch_one(self.readers())
            .await?;
        Ok(bytes.max(0) as u64)
    }

    /// Before a file that is no attachment is written: it goes again if nothing shows it by then.
    pub async fn reserve_file(&self, path: String, patience_ms: u64) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let at = tx.now_ms + patience_ms;
                doom_file(tx, &path, at).await
            })
        })
        .await
    }

    /// Some of the other files whose time has come.
    pub async fn doomed_files(&self, now_ms: u64, limit: u32) -> Result<Vec<String>> {
        let paths = sqlx::query_scalar("SELECT path FROM doomed_files WHERE at <= $1 ORDER BY at LIMIT $2");
        Ok(paths.bind(now_ms as i64).bind(limit).fetch_all(self.readers()).await?)
    }

    /// After they are gone.
    pub async fn forget_files(&self, paths: Vec<String>) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                for path in paths {
                    sqlx::query("DELETE FROM doomed_files WHERE path = $1").bind(path).execute(tx.sql()).await?;
                }
                Ok(())
            })
        })
        .await
    }
}
