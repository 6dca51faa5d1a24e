//! Who is in a thread.

use super::find_thread;
use crate::event::Event;
use crate::store::engine::{Connection, Row};
use crate::store::{Conflict, Result, Store, Tx};
use guildhall_protocol::model::{COUNTED_MEMBERS, Thread, ThreadMember, timestamp};
use guildhall_protocol::{ChannelId, GuildId, UserId};
use sqlx::Row as _;

/// Members of one thread (COMPAT §10.5): those of active ones are in memory.
const MEMBERS: usize = 1000;

fn thread_member_of(row: &Row) -> Result<ThreadMember> {
    Ok(ThreadMember {
        id: ChannelId::from_sql(row.try_get("thread_id")?),
        user_id: UserId::from_sql(row.try_get("user_id")?),
        join_timestamp: timestamp(row.try_get::<i64, _>("joined_at")? as u64),
        flags: row.try_get("flags")?,
        member: None,
    })
}

/// By user; there are at most [`MEMBERS`].
pub(super) async fn members_of_thread(connection: &mut Connection, thread: ChannelId) -> Result<Vec<ThreadMember>> {
    let rows = sqlx::query("SELECT * FROM thread_members WHERE thread_id = $1 ORDER BY user_id")
        .bind(thread.to_sql())
        .fetch_all(connection)
        .await?;
    rows.iter().map(thread_member_of).collect()
}

pub(super) async fn find_thread_member(
    connection: &mut Connection,
    thread: ChannelId,
    user: UserId,
) -> Result<Option<ThreadMember>> {
    let row = sqlx::query("SELECT * FROM thread_members WHERE thread_id = $1 AND user_id = $2")
        .bind(thread.to_sql())
        .bind(user.to_sql())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(thread_member_of).transpose()
}

/// Whether a row was added: not for whom is in it already, or is no member of the guild.
pub(super) async fn insert_thread_member(tx: &mut Tx<'_>, thread: ChannelId, user: UserId) -> Result<bool> {
    let added = sqlx::query(
        "INSERT INTO thread_members (thread_id, user_id, guild_id, joined_at) \
         SELECT t.id, m.user_id, t.guild_id, $3 FROM threads t JOIN members m ON m.guild_id = t.guild_id AND m.user_id = $2 \
         WHERE t.id = $1 ON CONFLICT (thread_id, user_id) DO NOTHING",
    )
    .bind(thread.to_sql())
    .bind(user.to_sql())
    .bind(tx.now_ms as i64)
    .execute(tx.sql())
    .await?;
    Ok(added.rows_affected() > 0)
}

async fn count(tx: &mut Tx<'_>, thread: ChannelId) -> Result<usize> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM thread_members WHERE thread_id = $1")
        .bind(thread.to_sql())
        .fetch_one(tx.sql())
        .await?;
    Ok(count as usize)
}

async fn tell(tx: &mut Tx<'_>, guild_id: GuildId, thread_id: ChannelId, added: &[UserId], removed: Vec<UserId>) -> Result<()> {
    let mut joined = Vec::with_capacity(added.len());
    for user in added {
        joined.extend(find_thread_member(tx.sql(), thread_id, *user).await?);
    }
    let member_count = count(tx, thread_id).await?.min(COUNTED_MEMBERS) as u32;
    tx.emit(Event::ThreadMembersUpdate { guild_id, thread_id, member_count, added: joined, removed }).await?;
    Ok(())
}

/// Whoever writes in a thread, and whoever is mentioned there, is in it from then on. Nobody joins a full one by that, nor a
/// private one by a mention if only its owner may add people.
pub(super) async fn join(tx: &mut Tx<'_>, id: ChannelId, author: Option<UserId>, mentioned: Vec<UserId>) -> Result<()> {
    let mut added = Vec::new();
    if let Some(author) = author
        && insert_thread_member(tx, id, author).await?
    {
        added.push(author);
    }
    if !mentioned.is_empty() {
        let thread = find_thread(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
        let may_add = thread.thread_metadata.invitable != Some(false) || author == Some(thread.owner_id);
        let mut room = MEMBERS.saturating_sub(count(tx, id).await?);
        for user in mentioned.into_iter().filter(|_| may_add) {
            if room > 0 && insert_thread_member(tx, id, user).await? {
                room -= 1;
                added.push(user);
            }
        }
    }
    if added.is_empty() {
        return Ok(());
    }
    let guild: i64 =
        sqlx::query_scalar("SELECT guild_id FROM threads WHERE id = $1").bind(id.to_sql()).fetch_one(tx.sql()).await?;
    tell(tx, GuildId::from_sql(guild), id, &added, Vec::new()).await
}

async fn find_active(tx: &mut Tx<'_>, id: ChannelId) -> Result<Thread> {
    let thread = find_thread(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
    if thread.thread_metadata.archived { Err(Conflict::Archived.into()) } else { Ok(thread) }
}

impl Store {
    /// Fails with `Archived` and with `Full` at [`MEMBERS`]. Adding someone again changes nothing.
    pub async fn add_thread_member(&self, id: ChannelId, user: UserId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let thread = find_active(tx, id).await?;
                if insert_thread_member(tx, id, user).await? {
                    if count(tx, id).await? > MEMBERS {
                        return Err(Conflict::Full.into());
                    }
                    tell(tx, thread.guild_id, id, &[user], Vec::new()).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Removing someone who is not in it changes nothing.
    pub async fn remove_thread_member(&self, id: ChannelId, user: UserId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let thread = find_active(tx, id).await?;
                let removed = sqlx::query("DELETE FROM thread_members WHERE thread_id = $1 AND user_id = $2")
                    .bind(id.to_sql())
                    .bind(user.to_sql())
                    .execute(tx.sql())
                    .await?;
                if removed.rows_affected() > 0 {
                    tell(tx, thread.guild_id, id, &[], vec![user]).await?;
                }
                Ok(())
            })
        })
        .await
    }

    pub async fn thread_member(&self, id: ChannelId, user: UserId) -> Result<Option<ThreadMember>> {
        let mut connection = self.readers().acquire().await?;
        find_thread_member(&mut connection, id, user).await
    }

    /// By user. At most `limit`, which nobody needs above [`MEMBERS`].
    pub async fn thread_members(&self, id: ChannelId, after: UserId, limit: u32) -> Result<Vec<ThreadMember>> {
        let rows = sqlx::query("SELECT * FROM thread_members WHERE thread_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3")
            .bind(id.to_sql())
            .bind(after.to_sql())
            .bind(limit)
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(thread_member_of).collect()
    }
}
