//! Threads: making, changing, deleting and listing them. Who is in one is in [`members`].
//!
//! A thread is a row of `channels` and one of `threads`. The active ones of a loaded guild are in memory; the archived ones,
//! of which there may be very many, are read when someone asks for them.

mod members;

use super::engine::{Connection, Row};
use super::messages::{NewMessage, find, insert_message};
use super::writer::close_grave;
use super::{Conflict, Result, Store, Tx};
use crate::audit::{By, Entry};
use crate::event::Event;
use crate::guild::Active;
use guildhall_protocol::model::{
    AuditAction, ChannelType, HAS_THREAD, Message, MessageReference, PINNED_POST, Thread, ThreadMember, ThreadMetadata, User,
    timestamp,
};
use guildhall_protocol::{ChannelId, GuildId, MessageId, UserId, WebhookId};
use members::{insert_thread_member, join, members_of_thread};
use serde_json::{Value, json};
use sqlx::Row as _;

/// Threads of one guild that are not archived (COMPAT §10.5): all of them are in memory.
const ACTIVE: i64 = 1000;
/// Private threads that one search looks into: the newest. A question names each of them.
const SEARCHED: u32 = 1000;
/// Idle threads that one transaction archives.
const IDLE_AT_ONCE: i64 = 100;
/// The message type of "someone started a thread".
const THREAD_CREATED: u8 = 18;
/// The message type of a thread's first message, which shows the one that it was started from.
pub const THREAD_STARTER: u8 = 21;

/// What a new thread begins with.
pub enum Start {
    /// This message of the parent's, whose id the thread takes.
    Message(MessageId, Author),
    /// Nothing. The parent says that it was started, unless it is private.
    Empty(Author),
    /// A message that follows under the thread's own id, which it has already: a post in a forum. One that comes in through a
    /// webhook is the webhook's, and nobody is in it.
    Post { webhook: Option<WebhookId> },
}

/// Whoever starts a thread, as its first messages show them.
pub struct Author {
    pub user: User,
    /// Their membership without its user.
    pub member: Option<Value>,
}

pub struct NewThread {
    /// Without an id, unless it is a post; the writer gives it one and its moments.
    pub thread: Thread,
    pub start: Start,
}

/// A thread that need not be in memory, as one of the guild's members sees it.
pub struct FoundThread {
    pub thread: Thread,
    /// The reader's membership of it.
    pub own: Option<ThreadMember>,
}

/// A private thread, archived or not, as search asks for it.
pub struct PrivateThread {
    pub id: ChannelId,
    pub parent_id: ChannelId,
    /// Whether the reader is in it.
    pub is_joined: bool,
}

/// A page of archived threads.
pub struct ThreadPage {
    /// With the reader's own memberships.
    pub threads: Vec<Thread>,
    pub has_more: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// By when they were archived, Unix milliseconds; bounds are exclusive.
    Public {
        before: Option<u64>,
    },
    Private {
        before: Option<u64>,
    },
    /// The private ones that the reader is in, by id.
    Joined {
        before: Option<ChannelId>,
    },
}

macro_rules! select_thread {
    ($tail:literal) => {
        concat!(
            "SELECT t.*, c.kind, c.name, c.rate_limit_per_user, c.flags, c.last_pin_at, (SELECT count(*) FROM \
             (SELECT 1 FROM thread_members m WHERE m.thread_id = t.id LIMIT 50) AS few) AS member_count \
             FROM threads t JOIN channels c ON c.id = t.id WHERE ",
            $tail
        )
    };
}

fn moment(row: &Row, column: &str) -> Result<String> {
    Ok(timestamp(row.try_get::<i64, _>(column)? as u64))
}

fn thread_of(row: &Row) -> Result<Thread> {
    let kind = ChannelType::from_number(row.try_get("kind")?).unwrap_or(ChannelType::PublicThread);
    let is_invitable = row.try_get("is_invitable")?;
    Ok(Thread {
        id: ChannelId::from_sql(row.try_get("id")?),
        kind,
        guild_id: GuildId::from_sql(row.try_get("guild_id")?),
        parent_id: ChannelId::from_sql(row.try_get("parent_id")?),
        owner_id: UserId::from_sql(row.try_get::<Option<i64>, _>("webhook_id")?.unwrap_or(row.try_get("owner_id")?)),
        name: row.try_get("name")?,
        last_message_id: row.try_get::<Option<i64>, _>("last_message_id")?.map(MessageId::from_sql),
        last_pin_timestamp: row.try_get::<Option<i64>, _>("last_pin_at")?.map(|ms| timestamp(ms as u64)),
        rate_limit_per_user: row.try_get("rate_limit_per_user")?,
        flags: row.try_get("flags")?,
        thread_metadata: ThreadMetadata {
            archived: row.try_get("is_archived")?,
            archive_timestamp: moment(row, "archived_at")?,
            auto_archive_duration: row.try_get("auto_archive_minutes")?,
            locked: row.try_get("is_locked")?,
            create_timestamp: moment(row, "created_at")?,
            invitable: (kind == ChannelType::PrivateThread).then_some(is_invitable),
        },
        message_count: row.try_get("message_count")?,
        member_count: row.try_get("member_count")?,
        total_message_sent: row.try_get("total_sent")?,
        applied_tags: serde_json::from_str(row.try_get("applied_tags")?)?,
        member: None,
    })
}

pub(super) async fn find_thread(connection: &mut Connection, id: ChannelId) -> Result<Option<Thread>> {
    let row = sqlx::query(select_thread!("t.id = $1")).bind(id.to_sql()).fetch_optional(connection).await?;
    row.as_ref().map(thread_of).transpose()
}

/// The guild's active threads with their members, in id order.
pub(super) async fn active_threads_of(connection: &mut Connection, guild: GuildId) -> Result<Vec<Active>> {
    let rows = sqlx::query(select_thread!("t.guild_id = $1 AND t.is_archived = 0 ORDER BY t.id"))
        .bind(guild.to_sql())
        .fetch_all(&mut *connection)
        .await?;
    let mut threads = Vec::with_capacity(rows.len());
    for row in &rows {
        let thread = thread_of(row)?;
        let members = members_of_thread(connection, thread.id).await?;
        threads.push(Active::new(thread, members));
    }
    Ok(threads)
}

/// What the audit log shows of a thread.
fn facts(thread: &Thread) -> Value {
    let metadata = &thread.thread_metadata;
    json!({
        "name": thread.name,
        "type": thread.kind,
        "archived": metadata.archived,
        "locked": metadata.locked,
        "invitable": metadata.invitable,
        "auto_archive_duration": metadata.auto_archive_duration,
        "rate_limit_per_user": thread.rate_limit_per_user,
        "flags": thread.flags,
        "applied_tags": thread.applied_tags,
    })
}

async fn check_room_for_active(tx: &mut Tx<'_>, guild: GuildId) -> Result<()> {
    let active: i64 = sqlx::query_scalar("SELECT count(*) FROM threads WHERE guild_id = $1 AND is_archived = 0")
        .bind(guild.to_sql())
        .fetch_one(tx.sql())
        .await?;
    if active >= ACTIVE { Err(Conflict::TooManyThreads.into()) } else { Ok(()) }
}

/// A forum shows one post above the others (COMPAT §10.5).
async fn check_nothing_pinned(tx: &mut Tx<'_>, forum: ChannelId) -> Result<()> {
    let pinned: Option<i64> = sqlx::query_scalar(
        "SELECT c.id FROM threads t JOIN channels c ON c.id = t.id WHERE t.parent_id = $1 AND t.is_archived = 0 AND c.flags & $2 <> 0 LIMIT 1",
    )
    .bind(forum.to_sql())
    .bind(PINNED_POST)
    .fetch_optional(tx.sql())
    .await?;
    if pinned.is_some() { Err(Conflict::Full.into()) } else { Ok(()) }
}

async fn insert_thread(tx: &mut Tx<'_>, thread: &Thread, webhook: Option<WebhookId>) -> Result<()> {
    close_grave(tx.sql(), thread.id.to_sql()).await?;
    sqlx::query(
        "INSERT INTO channels (id, guild_id, kind, name, position, parent_id, rate_limit_per_user) VALUES ($1, $2, $3, $4, 0, $5, $6)",
    )
    .bind(thread.id.to_sql())
    .bind(thread.guild_id.to_sql())
    .bind(thread.kind.number())
    .bind(&thread.name)
    .bind(thread.parent_id.to_sql())
    .bind(thread.rate_limit_per_user)
    .execute(tx.sql())
    .await?;
    let metadata = &thread.thread_metadata;
    let now = tx.now_ms as i64;
    sqlx::query(
        "INSERT INTO threads (id, guild_id, parent_id, owner_id, created_at, is_invitable, archived_at, auto_archive_minutes, idle_at, \
         applied_tags, webhook_id) VALUES ($1, $2, $3, CASE WHEN $10 IS NULL THEN $4 ELSE (SELECT owner_id FROM guilds WHERE id = $2) END, \
         $5, $6, $5, $7, $8, $9, $10)",
    )
    .bind(thread.id.to_sql())
    .bind(thread.guild_id.to_sql())
    .bind(thread.parent_id.to_sql())
    .bind(thread.owner_id.to_sql())
    .bind(now)
    .bind(metadata.invitable.unwrap_or(true))
    .bind(metadata.auto_archive_duration)
    .bind(now + i64::from(metadata.auto_archive_duration) * 60_000)
    .bind(serde_json::to_string(&thread.applied_tags)?)
    .bind(webhook.map(WebhookId::to_sql))
    .execute(tx.sql())
    .await?;
    Ok(())
}

/// The message shows its thread from now on, and the thread begins by showing the message.
async fn tie_to_message(tx: &mut Tx<'_>, thread: &Thread, source: MessageId, Author { user, member }: Author) -> Result<()> {
    let guild_id = Some(thread.guild_id);
    sqlx::query("UPDATE messages SET flags = flags | $3 WHERE channel_id = $1 AND id = $2")
        .bind(thread.parent_id.to_sql())
        .bind(source.to_sql())
        .bind(HAS_THREAD)
        .execute(tx.sql())
        .await?;
    let shown = find(tx.sql(), thread.parent_id, source, true).await?.ok_or(Conflict::Missing)?;
    let update = Message { guild_id, ..shown.clone() };
    tx.emit(Event::MessageUpdate { guild_id, message: Box::new(update) }).await?;
    let reference = MessageReference { kind: 0, message_id: Some(source), channel_id: Some(thread.parent_id), guild_id };
    let original = Message { referenced_message: None, thread: None, ..shown };
    let starter = Message {
        kind: THREAD_STARTER,
        message_reference: Some(reference),
        referenced_message: Some(Some(Box::new(original))),
        ..Message::new(thread.id, user, String::new())
    };
    insert_message(tx, NewMessage { guild_id, message: starter, member, files: Vec::new(), enforced_nonce: None }).await?;
    Ok(())
}

/// Archives it or wakes it up. A thread's list pages go by the moment, so each of a parent's needs one of its own.
async fn set_archived(tx: &mut Tx<'_>, thread: &Thread, is_archived: bool) -> Result<()> {
    if !is_archived {
        check_room_for_active(tx, thread.guild_id).await?;
    }
    let last: Option<i64> = sqlx::query_scalar("SELECT max(archived_at) FROM threads WHERE parent_id = $1 AND is_archived = 1")
        .bind(thread.parent_id.to_sql())
        .fetch_one(tx.sql())
        .await?;
    let now = tx.now_ms as i64;
    let moment = if is_archived { last.map_or(0, |last| last + 1).max(now) } else { now };
    sqlx::query(
        "UPDATE threads SET is_archived = $2, archived_at = $3, idle_at = $4 + auto_archive_minutes * 60000 WHERE id = $1",
    )
    .bind(thread.id.to_sql())
    .bind(is_archived)
    .bind(moment)
    .bind(now)
    .execute(tx.sql())
    .await?;
    Ok(())
}

/// Tells of the thread as it is stored now. `was_archived`: before the change.
async fn tell_update(tx: &mut Tx<'_>, id: ChannelId, was_archived: bool) -> Result<Thread> {
    let thread = find_thread(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
    let is_woken = was_archived && !thread.thread_metadata.archived;
    let woken = if is_woken { Some(members_of_thread(tx.sql(), id).await?) } else { None };
    tx.emit(Event::ThreadUpdate { thread: Box::new(thread.clone()), woken }).await?;
    Ok(thread)
}

/// What a new message means for the thread that it is sent to: it wakes up, lives on, counts one more, and whoever writes or
/// is mentioned is in it. To be called before the message's own event.
pub(super) async fn on_message(tx: &mut Tx<'_>, message: &Message, is_archived: bool) -> Result<()> {
    let id = message.channel_id;
    if is_archived {
        let thread = find_thread(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
        set_archived(tx, &thread, false).await?;
        tell_update(tx, id, true).await?;
    }
    let counts = message.kind != THREAD_STARTER && message.id.0 != id.0;
    sqlx::query(
        "UPDATE threads SET message_count = message_count + $2, total_sent = total_sent + $2, last_message_id = $3, \
         idle_at = $4 + auto_archive_minutes * 60000 WHERE id = $1",
    )
    .bind(id.to_sql())
    .bind(i64::from(counts))
    .bind(message.id.to_sql())
    .bind(tx.now_ms as i64)
    .execute(tx.sql())
    .await?;
    if message.kind == THREAD_STARTER {
        return Ok(());
    }
    let author = message.webhook_id.is_none().then_some(message.author.id);
    let mentioned = message.mentions.iter().map(|user| user.id);
    join(tx, id, author, mentioned.collect()).await
}

/// Messages of the thread are gone.
pub(super) async fn on_deleted(tx: &mut Tx<'_>, id: ChannelId, messages: &[MessageId]) -> Result<()> {
    let counted = messages.iter().filter(|message| message.0 != id.0).count() as i64;
    sqlx::query(
        "UPDATE threads SET message_count = CASE WHEN message_count > $2 THEN message_count - $2 ELSE 0 END WHERE id = $1",
    )
    .bind(id.to_sql())
    .bind(counted)
    .execute(tx.sql())
    .await?;
    Ok(())
}

/// Deletes a channel's threads: the active ones with an event each. Their messages go one by one later.
pub(super) async fn delete_threads_of(tx: &mut Tx<'_>, parent: ChannelId) -> Result<()> {
    let rows = sqlx::query(select_thread!("t.parent_id = $1 AND t.is_archived = 0 ORDER BY t.id"))
        .bind(parent.to_sql())
        .fetch_all(tx.sql())
        .await?;
    for row in &rows {
        let thread = thread_of(row)?;
        tx.emit(Event::ThreadDelete { thread: Box::new(thread) }).await?;
    }
    sqlx::query("INSERT INTO graves (channel_id) SELECT id FROM threads WHERE parent_id = $1")
        .bind(parent.to_sql())
        .execute(tx.sql())
        .await?;
    sqlx::query("DELETE FROM channels WHERE id IN (SELECT id FROM threads WHERE parent_id = $1)")
        .bind(parent.to_sql())
        .execute(tx.sql())
        .await?;
    Ok(())
}

impl Store {
    /// Fails with `Missing` (the parent or the message is gone), `AlreadyThere` (the message has a thread) and
    /// `TooManyThreads`.
    pub async fn create_thread(&self, by: By, new: NewThread) -> Result<Thread> {
        self.write(move |tx| {
            Box::pin(async move {
                let NewThread { mut thread, start } = new;
                check_room_for_active(tx, thread.guild_id).await?;
                thread.id = match &start {
                    Start::Message(source, _) => {
                        let known = find(tx.sql(), thread.parent_id, *source, false).await?.ok_or(Conflict::Missing)?;
                        if !known.is_written() {
                            return Err(Conflict::System.into());
                        }
                        let id = ChannelId(source.0);
                        if find_thread(tx.sql(), id).await?.is_some() {
                            return Err(Conflict::AlreadyThere.into());
                        }
                        id
                    }
                    Start::Empty(_) => tx.make_id(),
                    Start::Post { .. } => thread.id,
                };
                let webhook = match start {
                    Start::Post { webhook } => webhook,
                    Start::Message(..) | Start::Empty(_) => None,
                };
                insert_thread(tx, &thread, webhook).await?;
                if webhook.is_none() {
                    insert_thread_member(tx, thread.id, thread.owner_id).await?;
                }
                let thread = find_thread(tx.sql(), thread.id).await?.ok_or(Conflict::Missing)?;
                let members = members_of_thread(tx.sql(), thread.id).await?;
                tx.emit(Event::ThreadCreate { thread: Box::new(thread.clone()), members }).await?;
                let guild_id = Some(thread.guild_id);
                match start {
                    Start::Message(source, author) => tie_to_message(tx, &thread, source, author).await?,
                    Start::Post { .. } => {}
                    Start::Empty(_) if thread.is_private() => {}
                    Start::Empty(Author { user, member }) => {
                        let reference = MessageReference { kind: 0, message_id: None, channel_id: Some(thread.id), guild_id };
                        let notice = Message {
                            kind: THREAD_CREATED,
                            message_reference: Some(reference),
                            ..Message::new(thread.parent_id, user, thread.name.clone())
                        };
                        insert_message(
                            tx,
                            NewMessage { guild_id, message: notice, member, files: Vec::new(), enforced_nonce: None },
                        )
                        .await?;
                    }
                }
                let entry = Entry::created(AuditAction::THREAD_CREATE, thread.id, facts(&thread));
                tx.audit(thread.guild_id, &by, entry).await?;
                Ok(find_thread(tx.sql(), thread.id).await?.ok_or(Conflict::Missing)?)
            })
        })
        .await
    }

    /// `change` sees the stored thread; name, slowmode, flags, tags and metadata but the moments are written back. Fails with
    /// `Full` if it is to be pinned and another one of its forum is.
    pub async fn change_thread(
        &self,
        by: By,
        id: ChannelId,
        change: impl FnOnce(&mut Thread) + Send + 'static,
    ) -> Result<Thread> {
        self.write(move |tx| {
            Box::pin(async move {
                let before = find_thread(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
                let mut after = before.clone();
                change(&mut after);
                if after == before {
                    return Ok(after);
                }
                let metadata = &after.thread_metadata;
                if after.flags & PINNED_POST != 0 && before.flags & PINNED_POST == 0 {
                    check_nothing_pinned(tx, after.parent_id).await?;
                }
                sqlx::query("UPDATE channels SET name = $2, rate_limit_per_user = $3, flags = $4 WHERE id = $1")
                    .bind(id.to_sql())
                    .bind(&after.name)
                    .bind(after.rate_limit_per_user)
                    .bind(after.flags)
                    .execute(tx.sql())
                    .await?;
                sqlx::query(
                    "UPDATE threads SET is_locked = $2, is_invitable = $3, auto_archive_minutes = $4, idle_at = $5 + $4 * 60000, \
                     applied_tags = $6 WHERE id = $1",
                )
                .bind(id.to_sql())
                .bind(metadata.locked)
                .bind(metadata.invitable.unwrap_or(true))
                .bind(metadata.auto_archive_duration)
                .bind(tx.now_ms as i64)
                .bind(serde_json::to_string(&after.applied_tags)?)
                .execute(tx.sql())
                .await?;
                let was_archived = before.thread_metadata.archived;
                if metadata.archived != was_archived {
                    set_archived(tx, &before, metadata.archived).await?;
                }
                let after = tell_update(tx, id, was_archived).await?;
                let entry = Entry::changed(AuditAction::THREAD_UPDATE, id, facts(&before), facts(&after));
                tx.audit(after.guild_id, &by, entry).await?;
                Ok(after)
            })
        })
        .await
    }

    /// Its messages are out of reach at once and go one by one later; the message that it was started from stays.
    pub async fn delete_thread(&self, by: By, id: ChannelId) -> Result<Thread> {
        self.write(move |tx| {
            Box::pin(async move {
                let thread = find_thread(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
                sqlx::query("INSERT INTO graves (channel_id) VALUES ($1)").bind(id.to_sql()).execute(tx.sql()).await?;
                sqlx::query("DELETE FROM channels WHERE id = $1").bind(id.to_sql()).execute(tx.sql()).await?;
                tx.emit(Event::ThreadDelete { thread: Box::new(thread.clone()) }).await?;
                let freed = sqlx::query("UPDATE messages SET flags = flags & ~$3 WHERE channel_id = $1 AND id = $2")
                    .bind(thread.parent_id.to_sql())
                    .bind(id.to_sql())
                    .bind(HAS_THREAD)
                    .execute(tx.sql())
                    .await?;
                if freed.rows_affected() > 0
                    && let Some(message) = find(tx.sql(), thread.parent_id, MessageId(id.0), true).await?
                {
                    let guild_id = Some(thread.guild_id);
                    let message = Box::new(Message { guild_id, ..message });
                    tx.emit(Event::MessageUpdate { guild_id, message }).await?;
                }
                let entry = Entry::deleted(AuditAction::THREAD_DELETE, id, facts(&thread));
                tx.audit(thread.guild_id, &by, entry).await?;
                Ok(thread)
            })
        })
        .await
    }

    /// Archives threads in which nobody has written for as long as they say, at most a hundred. How many. Pinned posts stay.
    pub async fn archive_idle_threads(&self, now_ms: u64) -> Result<usize> {
        let idle: Vec<i64> = sqlx::query_scalar(
            "SELECT t.id FROM threads t JOIN channels c ON c.id = t.id \
                 WHERE t.is_archived = 0 AND t.idle_at <= $1 AND c.flags & $3 = 0 ORDER BY t.idle_at LIMIT $2",
        )
        .bind(now_ms as i64)
        .bind(IDLE_AT_ONCE)
        .bind(PINNED_POST)
        .fetch_all(self.readers())
        .await?;
        if idle.is_empty() {
            return Ok(0);
        }
        self.write(move |tx| {
            Box::pin(async move {
                for id in &idle {
                    // Someone may have written meanwhile.
                    let is_idle: Option<i64> =
                        sqlx::query_scalar("SELECT id FROM threads WHERE id = $1 AND is_archived = 0 AND idle_at <= $2")
                            .bind(id)
                            .bind(now_ms as i64)
                            .fetch_optional(tx.sql())
                            .await?;
                    let Some(id) = is_idle.map(ChannelId::from_sql) else { continue };
                    let thread = find_thread(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
                    set_archived(tx, &thread, true).await?;
                    tell_update(tx, id, false).await?;
                }
                Ok(idle.len())
            })
        })
        .await
    }

    /// Any thread, archived or not.
    pub async fn find_thread(&self, id: ChannelId, reader: UserId) -> Result<Option<FoundThread>> {
        let mut connection = self.snapshot().await?;
        let Some(thread) = find_thread(&mut connection, id).await? else { return Ok(None) };
        let own = members::find_thread_member(&mut connection, id, reader).await?;
        Ok(Some(FoundThread { thread, own }))
    }

    /// Private threads of the guild, the newest first: all of them, or those that the reader is in. At most [`SEARCHED`].
    pub async fn private_threads(&self, guild: GuildId, reader: UserId, all: bool) -> Result<Vec<PrivateThread>> {
        const ALL: &str = "SELECT t.id, t.parent_id, m.user_id IS NOT NULL AS is_joined FROM channels c JOIN threads t ON t.id = c.id \
             LEFT JOIN thread_members m ON m.thread_id = t.id AND m.user_id = $2 \
             WHERE c.guild_id = $1 AND c.kind = 12 ORDER BY t.id DESC LIMIT $3";
        const JOINED: &str = "SELECT t.id, t.parent_id, m.user_id IS NOT NULL AS is_joined FROM thread_members m \
             JOIN threads t ON t.id = m.thread_id JOIN channels c ON c.id = t.id \
             WHERE m.guild_id = $1 AND m.user_id = $2 AND c.kind = 12 ORDER BY t.id DESC LIMIT $3";
        let rows = sqlx::query(if all { ALL } else { JOINED })
            .bind(guild.to_sql())
            .bind(reader.to_sql())
            .bind(SEARCHED)
            .fetch_all(self.readers())
            .await?;
        let thread = |row: &Row| {
            Ok(PrivateThread {
                id: ChannelId::from_sql(row.try_get("id")?),
                parent_id: ChannelId::from_sql(row.try_get("parent_id")?),
                is_joined: row.try_get("is_joined")?,
            })
        };
        rows.iter().map(thread).collect()
    }

    /// A page of the archived threads of a channel, the last archived first.
    pub async fn archived_threads(&self, parent: ChannelId, which: Archive, reader: UserId, limit: u32) -> Result<ThreadPage> {
        const PUBLIC: &str = select_thread!(
            "t.parent_id = $1 AND t.is_archived = 1 AND t.archived_at < $2 AND c.kind <> 12 ORDER BY t.archived_at DESC LIMIT $3"
        );
        const PRIVATE: &str = select_thread!(
            "t.parent_id = $1 AND t.is_archived = 1 AND t.archived_at < $2 AND c.kind = 12 ORDER BY t.archived_at DESC LIMIT $3"
        );
        const JOINED: &str = select_thread!(
            "t.parent_id = $1 AND t.is_archived = 1 AND t.id < $2 AND c.kind = 12 \
             AND EXISTS (SELECT 1 FROM thread_members m WHERE m.thread_id = t.id AND m.user_id = $4) ORDER BY t.id DESC LIMIT $3"
        );
        let moment = |before: Option<u64>| before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
        let (query, bound) = match which {
            Archive::Public { before } => (PUBLIC, moment(before)),
            Archive::Private { before } => (PRIVATE, moment(before)),
            Archive::Joined { before } => (JOINED, before.map_or(i64::MAX, ChannelId::to_sql)),
        };
        let mut connection = self.snapshot().await?;
        let query = sqlx::query(query).bind(parent.to_sql()).bind(bound).bind(limit + 1);
        let query = if matches!(which, Archive::Joined { .. }) { query.bind(reader.to_sql()) } else { query };
        let rows = query.fetch_all(&mut *connection).await?;
        let has_more = rows.len() > limit as usize;
        let mut threads = Vec::new();
        for row in rows.iter().take(limit as usize) {
            let mut thread = thread_of(row)?;
            thread.member = members::find_thread_member(&mut connection, thread.id, reader).await?;
            threads.push(thread);
        }
        Ok(ThreadPage { threads, has_more })
    }
}
