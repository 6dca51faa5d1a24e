//! A guild's own emojis.

use super::attachments::{doom_file, spare_file};
use super::engine::{Connection, Row};
use super::users::find_user;
use super::{Conflict, Result, Store, Tx};
use crate::audit::{By, Entry};
use crate::event::Event;
use crate::files::{FAREWELL_MS, emoji_path};
use guildhall_protocol::model::{AuditAction, Emoji};
use guildhall_protocol::{EmojiId, GuildId, RoleId, UserId};
use serde_json::{Value, json};
use sqlx::Row as _;

/// Emojis of a guild that stand still, and as many again that move.
pub const EMOJIS_PER_GUILD: i64 = 50;

/// An emoji, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEmoji {
    pub guild_id: GuildId,
    pub user_id: Option<UserId>,
    pub emoji: Emoji,
}

fn emoji_of(row: &Row) -> Result<StoredEmoji> {
    let roles: Option<&str> = row.try_get("roles")?;
    let roles = roles.map_or_else(|| Ok(Vec::new()), serde_json::from_str::<Vec<RoleId>>)?;
    let emoji = Emoji::new(EmojiId::from_sql(row.try_get("id")?), row.try_get("name")?, roles, row.try_get("animated")?);
    Ok(StoredEmoji {
        guild_id: GuildId::from_sql(row.try_get("guild_id")?),
        user_id: row.try_get::<Option<i64>, _>("user_id")?.map(UserId::from_sql),
        emoji,
    })
}

/// The guild's emojis, oldest first.
pub(super) async fn emojis_of(connection: &mut Connection, guild: GuildId) -> Result<Vec<Emoji>> {
    let rows =
        sqlx::query("SELECT * FROM emojis WHERE guild_id = $1 ORDER BY id").bind(guild.to_sql()).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(emoji_of(row)?.emoji)).collect()
}

async fn find(connection: &mut Connection, id: EmojiId) -> Result<Option<StoredEmoji>> {
    let row = sqlx::query("SELECT * FROM emojis WHERE id = $1").bind(id.to_sql()).fetch_optional(connection).await?;
    row.as_ref().map(emoji_of).transpose()
}

/// What the audit log may show.
fn facts(emoji: &Emoji) -> Value {
    json!({ "name": emoji.name, "roles": (!emoji.roles.is_empty()).then_some(&emoji.roles) })
}

fn roles_column(emoji: &Emoji) -> Result<Option<String>> {
    Ok(if emoji.roles.is_empty() { None } else { Some(serde_json::to_string(&emoji.roles)?) })
}

/// Tells everyone what the guild's emojis are now.
async fn tell(tx: &mut Tx<'_>, guild_id: GuildId) -> Result<()> {
    let emojis = emojis_of(tx.sql(), guild_id).await?;
    tx.emit(Event::EmojisUpdate { guild_id, emojis }).await?;
    Ok(())
}

impl Store {
    /// An emoji of any guild.
    pub async fn find_emoji(&self, id: EmojiId) -> Result<Option<StoredEmoji>> {
        let mut connection = self.readers().acquire().await?;
        find(&mut connection, id).await
    }

    /// The guild's emojis with who made them, oldest first.
    pub async fn emojis(&self, guild: GuildId) -> Result<Vec<Emoji>> {
        let mut connection = self.snapshot().await?;
        let rows = sqlx::query("SELECT * FROM emojis WHERE guild_id = $1 ORDER BY id")
            .bind(guild.to_sql())
            .fetch_all(&mut *connection)
            .await?;
        let mut emojis = Vec::with_capacity(rows.len());
        for row in &rows {
            let StoredEmoji { user_id, mut emoji, .. } = emoji_of(row)?;
            if let Some(id) = user_id {
                emoji.user = find_user(&mut connection, id).await?;
            }
            emojis.push(emoji);
        }
        Ok(emojis)
    }

    /// Its picture is in the store.
    pub async fn create_emoji(&self, by: By, guild_id: GuildId, emoji: Emoji) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let known: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM emojis WHERE guild_id = $1 AND animated = $2")
                    .bind(guild_id.to_sql())
                    .bind(emoji.animated)
                    .fetch_one(tx.sql())
                    .await?;
                if known >= EMOJIS_PER_GUILD {
                    return Err(Conflict::Full.into());
                }
                let inserted = sqlx::query(
                    "INSERT INTO emojis (id, guild_id, name, roles, user_id, animated) \
                     SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT 1 FROM guilds WHERE id = $2)",
                )
                .bind(emoji.id.to_sql())
                .bind(guild_id.to_sql())
                .bind(&emoji.name)
                .bind(roles_column(&emoji)?)
                .bind(by.user.map(UserId::to_sql))
                .bind(emoji.animated)
                .execute(tx.sql())
                .await?;
                if inserted.rows_affected() == 0 {
                    return Err(Conflict::Missing.into());
                }
                spare_file(tx, &emoji_path(emoji.id)).await?;
                tell(tx, guild_id).await?;
                tx.audit(guild_id, &by, Entry::created(AuditAction::EMOJI_CREATE, emoji.id, facts(&emoji))).await
            })
        })
        .await
    }

    /// Changes name and roles.
    pub async fn change_emoji(
        &self,
        by: By,
        guild_id: GuildId,
        id: EmojiId,
        change: impl FnOnce(&mut Emoji) + Send + 'static,
    ) -> Result<Emoji> {
        self.write(move |tx| {
            Box::pin(async move {
                let known = find(tx.sql(), id).await?.filter(|known| known.guild_id == guild_id).ok_or(Conflict::Missing)?;
                let before = facts(&known.emoji);
                let mut emoji = known.emoji;
                change(&mut emoji);
                sqlx::query("UPDATE emojis SET name = $2, roles = $3 WHERE id = $1")
                    .bind(id.to_sql())
                    .bind(&emoji.name)
                    .bind(roles_column(&emoji)?)
                    .execute(tx.sql())
                    .await?;
                tell(tx, guild_id).await?;
                tx.audit(guild_id, &by, Entry::changed(AuditAction::EMOJI_UPDATE, id, before, facts(&emoji))).await?;
                if let Some(user) = known.user_id {
                    emoji.user = find_user(tx.sql(), user).await?;
                }
                Ok(emoji)
            })
        })
        .await
    }

    pub async fn delete_emoji(&self, by: By, guild_id: GuildId, id: EmojiId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let known = find(tx.sql(), id).await?.filter(|known| known.guild_id == guild_id).ok_or(Conflict::Missing)?;
                sqlx::query("DELETE FROM emojis WHERE id = $1").bind(id.to_sql()).execute(tx.sql()).await?;
                // Messages that show it are still there; those who read them meanwhile see it for a while.
                let at = tx.now_ms + FAREWELL_MS;
                doom_file(tx, &emoji_path(id), at).await?;
                tell(tx, guild_id).await?;
                tx.audit(guild_id, &by, Entry::deleted(AuditAction::EMOJI_DELETE, id, facts(&known.emoji))).await
            })
        })
        .await
    }
}
