//! The audit log: lines are added with what they tell of, read in pages, and forgotten after 45 days. Nothing changes one but
//! its count.

use super::engine::{Connection, Row};
use super::users::find_user;
use super::{Result, Store, Tx};
use crate::audit::{By, Entry};
use crate::event::Event;
use guildhall_protocol::model::{AuditAction, AuditEntry, User};
use guildhall_protocol::{GuildId, Snowflake, UserId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use std::collections::BTreeSet;

/// How long a line is kept, as Discord does: 45 days.
pub const AGE_MS: u64 = 45 * 86_400_000;
/// Deeds of one kind are one line while each follows the first within this time.
const SAME_DEED_MS: u64 = 300_000;

/// Which lines of a guild's log; bounds are exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    pub user: Option<UserId>,
    pub target: Option<Snowflake>,
    pub action: Option<AuditAction>,
    pub before: Option<Snowflake>,
    /// Given: oldest first. Not given: newest first.
    pub after: Option<Snowflake>,
    pub limit: u32,
}

fn to_json<T: Serialize>(value: &T, is_empty: bool) -> Result<Option<String>> {
    Ok(if is_empty { None } else { Some(serde_json::to_string(value)?) })
}

fn from_json<T: DeserializeOwned + Default>(row: &Row, column: &str) -> Result<T> {
    let text: Option<&str> = row.try_get(column)?;
    text.map_or_else(|| Ok(T::default()), |text| Ok(serde_json::from_str(text)?))
}

fn entry_of(row: &Row) -> Result<AuditEntry> {
    let snowflake = |column| row.try_get::<Option<i64>, _>(column).map(|id| id.map(|id| Snowflake(id as u64)));
    let mut entry = AuditEntry {
        id: Snowflake(row.try_get::<i64, _>("id")? as u64),
        action_type: AuditAction(row.try_get("action")?),
        user_id: snowflake("user_id")?.map(UserId),
        target_id: snowflake("target_id")?,
        changes: from_json(row, "changes")?,
        options: from_json(row, "options")?,
        reason: row.try_get("reason")?,
    };
    if let Some(count) = row.try_get::<Option<u32>, _>("count")? {
        entry.options.insert("count".to_owned(), count.to_string().into());
    }
    Ok(entry)
}

/// Adds to the count of the line that tells of the same deed, if there is one.
async fn count_again(tx: &mut Tx<'_>, guild: GuildId, by: &By, entry: &Entry, options: Option<&str>) -> Result<bool> {
    let Some(count) = entry.count else { return Ok(false) };
    let since = Snowflake::at(tx.now_ms.saturating_sub(SAME_DEED_MS));
    let counted = sqlx::query(
        "UPDATE audit_log SET count = count + $8 WHERE id = (SELECT max(id) FROM audit_log WHERE guild_id = $1 AND id >= $2 \
         AND action = $3 AND user_id IS NOT DISTINCT FROM $4 AND target_id IS NOT DISTINCT FROM $5 \
         AND options IS NOT DISTINCT FROM $6 AND reason IS NOT DISTINCT FROM $7 AND count IS NOT NULL)",
    )
    .bind(guild.to_sql())
    .bind(since.0 as i64)
    .bind(entry.action.0)
    .bind(by.user.map(UserId::to_sql))
    .bind(entry.target.map(|id| id.0 as i64))
    .bind(options)
    .bind(&by.reason)
    .bind(count)
    .execute(tx.sql())
    .await?;
    Ok(counted.rows_affected() > 0)
}

impl Tx<'_> {
    /// Logs a deed in the transaction that does it. [`crate::audit`] says how to make the entry; `None` logs nothing.
    pub async fn audit(&mut self, guild_id: GuildId, by: &By, entry: impl Into<Option<Entry>>) -> Result<()> {
        let Some(mut entry) = entry.into() else { return Ok(()) };
        let options = to_json(&entry.options, entry.options.is_empty())?;
        if count_again(self, guild_id, by, &entry, options.as_deref()).await? {
            return Ok(());
        }
        let id: Snowflake = self.make_id();
        sqlx::query(
            "INSERT INTO audit_log (id, guild_id, action, user_id, target_id, changes, options, reason, count) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id.0 as i64)
        .bind(guild_id.to_sql())
        .bind(entry.action.0)
        .bind(by.user.map(UserId::to_sql))
        .bind(entry.target.map(|id| id.0 as i64))
        .bind(to_json(&entry.changes, entry.changes.is_empty())?)
        .bind(options)
        .bind(&by.reason)
        .bind(entry.count)
        .execute(self.sql())
        .await?;
        if let Some(count) = entry.count {
            entry = entry.option("count", count);
        }
        let entry = AuditEntry {
            id,
            action_type: entry.action,
            user_id: by.user,
            target_id: entry.target,
            changes: entry.changes,
            options: entry.options,
            reason: by.reason.clone(),
        };
        self.emit(Event::AuditEntryCreate { guild_id, entry: Box::new(entry) }).await?;
        Ok(())
    }
}

/// Deletes the oldest lines that are too old, at most `rows`; how many there were.
pub(super) async fn prune(connection: &mut Connection, now_ms: u64, rows: i64) -> Result<u64> {
    // Ids are moments, so the oldest lines are the first ones.
    let pruned = sqlx::query("DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log ORDER BY id LIMIT $1) AND id < $2")
        .bind(rows)
        .bind(Snowflake::at(now_ms.saturating_sub(AGE_MS)).0 as i64)
        .execute(connection)
        .await?;
    Ok(pruned.rows_affected())
}

impl Store {
    /// Logs a deed that has no other job, such as moving someone who is in a voice channel.
    pub async fn audit(&self, guild: GuildId, by: By, entry: Entry) -> Result<()> {
        self.write(move |tx| Box::pin(async move { tx.audit(guild, &by, entry).await })).await
    }

    /// A page of the log, with the users whom its lines name.
    pub async fn audit_log(&self, guild: GuildId, query: AuditQuery) -> Result<(Vec<AuditEntry>, Vec<User>)> {
        const NEWEST: &str = concat!(
            "SELECT * FROM audit_log WHERE guild_id = $1 AND id > $2 AND id < $3 AND ($4 IS NULL OR user_id = $4) ",
            "AND ($5 IS NULL OR target_id = $5) AND ($6 IS NULL OR action = $6) ORDER BY id DESC LIMIT $7"
        );
        const OLDEST: &str = concat!(
            "SELECT * FROM audit_log WHERE guild_id = $1 AND id > $2 AND id < $3 AND ($4 IS NULL OR user_id = $4) ",
            "AND ($5 IS NULL OR target_id = $5) AND ($6 IS NULL OR action = $6) ORDER BY id LIMIT $7"
        );
        let mut connection = self.snapshot().await?;
        let rows = sqlx::query(if query.after.is_some() { OLDEST } else { NEWEST })
            .bind(guild.to_sql())
            .bind(query.after.map_or(0, |id| id.0 as i64))
            .bind(query.before.map_or(i64::MAX, |id| id.0 as i64))
            .bind(query.user.map(UserId::to_sql))
            .bind(query.target.map(|id| id.0 as i64))
            .bind(query.action.map(|action| action.0))
            .bind(query.limit)
            .fetch_all(&mut *connection)
            .await?;
        let entries: Vec<AuditEntry> = rows.iter().map(entry_of).collect::<Result<_>>()?;
        // What a target is depends on the action; an id is a user's or is none of a user.
        let named: BTreeSet<UserId> =
            entries.iter().flat_map(|entry| [entry.user_id, entry.target_id.map(UserId)]).flatten().collect();
        let mut users = Vec::new();
        for id in named {
            users.extend(find_user(&mut connection, id).await?);
        }
        Ok((entries, users))
    }
}
