//! Messages: the one hot table.
//!
//! Sending is one INSERT (and one more with `enforce_nonce`) beside the outbox row: authors and mentioned users come from
//! memory, not from a query. Reading joins the authors and looks the mentioned users up.

use super::attachments::{FileChange, claim, release};
use super::engine::{Connection, Row};
use super::private_channels::reopen;
use super::read_states::note_message;
use super::threads::{self, THREAD_STARTER, find_thread};
use super::users::{find_user, user_of};
use super::writer::NONCE_AGE_MS;
use super::{Conflict, Result, Store, Tx};
use crate::audit::{By, Entry};
use crate::event::{Event, Topic};
use crate::ids::unix_ms;
use guildhall_protocol::model::{AuditAction, HAS_THREAD, Message, MessageReference, User, timestamp};
use guildhall_protocol::{ApplicationId, AttachmentId, ChannelId, GuildId, MessageId, RoleId, Snowflake, UserId, WebhookId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use std::collections::HashMap;

/// A message to be stored: complete but for its id, its moment and its sequence number, which the writer gives.
pub struct NewMessage {
    /// `None`: in a private channel.
    pub guild_id: Option<GuildId>,
    /// As it is answered; the event also carries `guild_id` and `member`.
    pub message: Message,
    /// The author's membership without its user, for the event.
    pub member: Option<serde_json::Value>,
    /// Files that were uploaded for it, also those that only its embeds show.
    pub files: Vec<AttachmentId>,
    /// If set, the same author's message with this key of the last minutes is answered instead of storing another.
    pub enforced_nonce: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    New(Box<Message>),
    /// An earlier try had succeeded.
    Before(Box<Message>),
}

/// Which part of a channel's history; bounds are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Latest,
    Before(MessageId),
    After(MessageId),
    Around(MessageId),
}

macro_rules! select_message {
    ($tail:literal) => {
        concat!(
            "SELECT u.id, u.username, u.global_name, u.avatar, u.is_bot, u.flags, m.id AS message_id, m.channel_id, m.kind, m.content, ",
            "m.flags AS message_flags, m.is_tts, m.mention_everyone, m.mentions, m.mention_roles, m.embeds, m.reference, m.edited_at, ",
            "m.attachments, m.components, m.webhook_id, m.author_name, m.author_avatar, m.application_id, m.interaction, m.snapshots, m.pinned_at ",
            "FROM messages m JOIN users u ON u.id = m.author_id WHERE m.channel_id = $1 AND ",
            $tail
        )
    };
}

mod pins;
mod reactions;

pub use reactions::{Reacted, ReactionKey};

/// An empty list is stored as NULL.
fn to_json<T: Serialize>(list: &[T]) -> Result<Option<String>> {
    Ok(if list.is_empty() { None } else { Some(serde_json::to_string(list)?) })
}

fn from_json<T: DeserializeOwned + Default>(row: &Row, column: &str) -> Result<T> {
    let text: Option<&str> = row.try_get(column)?;
    text.map_or_else(|| Ok(T::default()), |text| Ok(serde_json::from_str(text)?))
}

/// The column `interaction`.
#[derive(Default, Serialize, Deserialize)]
struct Interaction {
    metadata: Option<serde_json::Value>,
    deprecated: Option<serde_json::Value>,
}

/// Who sent it; a webhook by the name and the picture that it used then.
fn author_of(row: &Row) -> Result<User> {
    let mut author = user_of(row)?;
    let webhook: Option<i64> = row.try_get("webhook_id")?;
    // An answer to an interaction bears its application's number, and its author is the application's own account.
    if webhook.is_some() && webhook != row.try_get("application_id")? {
        author.username = row.try_get::<Option<String>, _>("author_name")?.unwrap_or(author.username);
        author.avatar = row.try_get::<Option<String>, _>("author_avatar")?.or(author.avatar);
        author.discriminator = WEBHOOK_DISCRIMINATOR.to_owned();
    }
    Ok(author)
}

/// Rows become messages in two steps: this one leaves `mentions` to [`complete`].
fn message_of(row: &Row) -> Result<(Message, Vec<UserId>)> {
    let id = MessageId::from_sql(row.try_get("message_id")?);
    let interaction: Interaction = from_json(row, "interaction")?;
    let message = Message {
        id,
        channel_id: ChannelId::from_sql(row.try_get("channel_id")?),
        guild_id: None,
        author: author_of(row)?,
        member: None,
        content: row.try_get("content")?,
        timestamp: timestamp(id.0.unix_ms()),
        edited_timestamp: row.try_get::<Option<i64>, _>("edited_at")?.map(|ms| timestamp(ms as u64)),
        tts: row.try_get("is_tts")?,
        mention_everyone: row.try_get("mention_everyone")?,
        mentions: Vec::new(),
        mention_roles: from_json::<Vec<RoleId>>(row, "mention_roles")?,
        attachments: from_json(row, "attachments")?,
        embeds: from_json(row, "embeds")?,
        pinned: row.try_get::<Option<i64>, _>("pinned_at")?.is_some(),
        kind: row.try_get("kind")?,
        flags: row.try_get("message_flags")?,
        components: from_json(row, "components")?,
        nonce: None,
        message_reference: from_json::<Option<MessageReference>>(row, "reference")?,
        referenced_message: None,
        sticker_items: [],
        webhook_id: row.try_get::<Option<i64>, _>("webhook_id")?.map(WebhookId::from_sql),
        application_id: row.try_get::<Option<i64>, _>("application_id")?.map(ApplicationId::from_sql),
        interaction_metadata: interaction.metadata,
        interaction: interaction.deprecated,
        message_snapshots: from_json(row, "snapshots")?,
        thread: None,
        reactions: Vec::new(),
    };
    Ok((message, from_json(row, "mentions")?))
}

/// Messages from rows, with their mentioned users and, if asked for, what they reply to.
async fn complete(connection: &mut Connection, rows: &[Row], with_referenced: bool) -> Result<Vec<Message>> {
    let mut users: HashMap<UserId, Option<User>> = HashMap::new();
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        let (mut message, mentions) = message_of(row)?;
        users.entry(message.author.id).or_insert_with(|| Some(message.author.clone()));
        for id in mentions {
            if let std::collections::hash_map::Entry::Vacant(place) = users.entry(id) {
                place.insert(find_user(connection, id).await?);
            }
            message.mentions.extend(users[&id].clone());
        }
        if with_referenced
            && matches!(message.kind, REPLY | THREAD_STARTER)
            && let Some(reference) = message.message_reference
            && let Some(original) = reference.message_id
        {
            let channel = reference.channel_id.unwrap_or(message.channel_id);
            message.referenced_message = Some(Box::pin(find(connection, channel, original, false)).await?.map(Box::new));
        }
        if message.flags & HAS_THREAD != 0 {
            message.thread = find_thread(connection, ChannelId(message.id.0)).await?.map(Box::new);
        }
        messages.push(message);
    }
    Ok(messages)
}

/// The tag of an author that is no account.
pub const WEBHOOK_DISCRIMINATOR: &str = "0000";
/// The message type of a reply.
pub const REPLY: u8 = 19;
/// The message type of "someone joined".
pub const MEMBER_JOINED: u8 = 7;

pub(super) async fn find(
    connection: &mut Connection,
    channel: ChannelId,
    id: MessageId,
    with_referenced: bool,
) -> Result<Option<Message>> {
    let rows =
        sqlx::query(select_message!("m.id = $2")).bind(channel.to_sql()).bind(id.to_sql()).fetch_all(&mut *connection).await?;
    Ok(complete(connection, &rows, with_referenced).await?.pop())
}

/// Stores the message and its event; answers with the message as REST shows it.
pub(super) async fn insert_message(tx: &mut Tx<'_>, new: NewMessage) -> Result<Message> {
    let NewMessage { guild_id, mut message, member, files, .. } = new;
    if guild_id.is_none() {
        reopen(tx, message.channel_id).await?;
    }
    // The first message of a post has its thread's id.
    if message.id == MessageId::default() {
        message.id = tx.make_id();
    }
    message.timestamp = timestamp(message.id.0.unix_ms());
    let seq = tx.next_seq(Topic::Channel(message.channel_id)).await?;
    let mentions: Vec<UserId> = message.mentions.iter().map(|user| user.id).collect();
    let interaction = Interaction { metadata: message.interaction_metadata.clone(), deprecated: message.interaction.clone() };
    let has_interaction = interaction.metadata.is_some() || interaction.deprecated.is_some();
    let is_answer = message.webhook_id.map(|id| id.0) == message.application_id.map(|id| id.0);
    let webhook_author = message.webhook_id.filter(|_| !is_answer).map(|_| &message.author);
    let inserted = sqlx::query(
        "INSERT INTO messages (channel_id, id, seq, author_id, kind, content, flags, is_tts, mention_everyone, mentions, mention_roles, \
         embeds, reference, attachments, components, webhook_id, author_name, author_avatar, application_id, interaction, snapshots) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21 \
         WHERE EXISTS (SELECT 1 FROM channels WHERE id = $1) \
         OR EXISTS (SELECT 1 FROM recipients WHERE channel_id = $1 AND user_id = $4) \
         RETURNING (SELECT t.is_archived FROM threads t WHERE t.id = channel_id) AS in_archived_thread",
    )
    .bind(message.channel_id.to_sql())
    .bind(message.id.to_sql())
    .bind(seq as i64)
    .bind(message.author.id.to_sql())
    .bind(message.kind)
    .bind(&message.content)
    .bind(message.flags)
    .bind(message.tts)
    .bind(message.mention_everyone)
    .bind(to_json(&mentions)?)
    .bind(to_json(&message.mention_roles)?)
    .bind(to_json(&message.embeds)?)
    .bind(message.message_reference.map(|reference| serde_json::to_string(&reference)).transpose()?)
    .bind(to_json(&message.attachments)?)
    .bind(to_json(&message.components)?)
    .bind(message.webhook_id.map(WebhookId::to_sql))
    .bind(webhook_author.map(|author| &author.username))
    .bind(webhook_author.and_then(|author| author.avatar.as_ref()))
    .bind(message.application_id.map(ApplicationId::to_sql))
    .bind(has_interaction.then(|| serde_json::to_string(&interaction)).transpose()?)
    .bind(to_json(&message.message_snapshots)?)
    .fetch_optional(tx.sql())
    .await?;
    // The channel was deleted, or its author left the group, between the permission check and the write.
    let inserted = inserted.ok_or(Conflict::Missing)?;
    if let Some(is_archived) = inserted.try_get::<Option<bool>, _>("in_archived_thread")? {
        threads::on_message(tx, &message, is_archived).await?;
    }
    claim(tx, message.channel_id, message.id, &files).await?;
    let event = Message { guild_id, member, ..message.clone() };
    tx.emit(Event::MessageCreate { guild_id, message: Box::new(event) }).await?;
    note_message(tx, guild_id, &message).await?;
    Ok(message)
}

/// Remembers the nonce, or answers with the message that it already stands for.
async fn claim_nonce(tx: &mut Tx<'_>, message: &Message, nonce: &str) -> Result<Option<MessageId>> {
    let now = tx.now_ms as i64;
    let claimed = sqlx::query(
        "INSERT INTO nonces (channel_id, author_id, nonce, message_id, created_at) VALUES ($1, $2, $3, 0, $4) \
         ON CONFLICT (channel_id, author_id, nonce) DO UPDATE SET message_id = 0, created_at = excluded.created_at \
         WHERE nonces.created_at < $5",
    )
    .bind(message.channel_id.to_sql())
    .bind(message.author.id.to_sql())
    .bind(nonce)
    .bind(now)
    .bind(now - NONCE_AGE_MS as i64)
    .execute(tx.sql())
    .await?;
    if claimed.rows_affected() > 0 {
        return Ok(None);
    }
    let before: i64 = sqlx::query_scalar("SELECT message_id FROM nonces WHERE channel_id = $1 AND author_id = $2 AND nonce = $3")
        .bind(message.channel_id.to_sql())
        .bind(message.author.id.to_sql())
        .bind(nonce)
        .fetch_one(tx.sql())
        .await?;
    Ok(Some(MessageId::from_sql(before)))
}

/// Deletes those of the messages that exist; which these were, and whose. A thread's first message stays as long as the thread.
async fn delete_existing(tx: &mut Tx<'_>, channel: ChannelId, ids: Vec<MessageId>) -> Result<Vec<(MessageId, UserId)>> {
    let mut deleted = Vec::with_capacity(ids.len());
    let mut is_thread = false;
    for id in ids {
        let row = sqlx::query(
            "DELETE FROM messages WHERE channel_id = $1 AND id = $2 AND kind <> $3 \
             RETURNING author_id, EXISTS (SELECT 1 FROM threads t WHERE t.id = channel_id) AS is_in_thread",
        )
        .bind(channel.to_sql())
        .bind(id.to_sql())
        .bind(THREAD_STARTER)
        .fetch_optional(tx.sql())
        .await?;
        if let Some(row) = row {
            is_thread = row.try_get("is_in_thread")?;
            deleted.push((id, UserId::from_sql(row.try_get("author_id")?)));
        }
    }
    if is_thread {
        threads::on_deleted(tx, channel, &ids_of(&deleted)).await?;
    }
    Ok(deleted)
}

fn ids_of(messages: &[(MessageId, UserId)]) -> Vec<MessageId> {
    messages.iter().map(|(id, _)| *id).collect()
}

/// The author's messages of the last seconds, in every channel of the guild: what a ban may take along.
pub(super) async fn delete_recent_of(tx: &mut Tx<'_>, guild_id: GuildId, author: UserId, seconds: u64) -> Result<()> {
    let since = Snowflake::at(tx.now_ms.saturating_sub(seconds * 1000)).0 as i64;
    let channels: Vec<i64> = sqlx::query_scalar(
        "SELECT c.id FROM channels c LEFT JOIN threads t ON t.id = c.id \
         WHERE c.guild_id = $1 AND (t.id IS NULL OR t.last_message_id >= $2)",
    )
    .bind(guild_id.to_sql())
    .bind(since)
    .fetch_all(tx.sql())
    .await?;
    for channel in channels {
        let theirs: Vec<i64> =
            sqlx::query_scalar("SELECT id FROM messages WHERE channel_id = $1 AND id >= $2 AND author_id = $3")
                .bind(channel)
                .bind(since)
                .bind(author.to_sql())
                .fetch_all(tx.sql())
                .await?;
        let channel_id = ChannelId::from_sql(channel);
        let deleted = delete_existing(tx, channel_id, theirs.into_iter().map(MessageId::from_sql).collect()).await?;
        let message_ids = ids_of(&deleted);
        if !message_ids.is_empty() {
            tx.emit(Event::MessageDeleteBulk { guild_id: Some(guild_id), channel_id, message_ids }).await?;
        }
    }
    Ok(())
}

impl Store {
    pub async fn create_message(&self, new: NewMessage) -> Result<Sent> {
        self.write(move |tx| {
            Box::pin(async move {
                let Some(nonce) = new.enforced_nonce.clone() else {
                    return Ok(Sent::New(Box::new(insert_message(tx, new).await?)));
                };
                // If the message was deleted meanwhile, its nonce may be sent again.
                if let Some(id) = claim_nonce(tx, &new.message, &nonce).await?
                    && let Some(before) = find(tx.sql(), new.message.channel_id, id, true).await?
                {
                    return Ok(Sent::Before(Box::new(Message { nonce: new.message.nonce, ..before })));
                }
                let message = insert_message(tx, new).await?;
                sqlx::query("UPDATE nonces SET message_id = $4 WHERE channel_id = $1 AND author_id = $2 AND nonce = $3")
                    .bind(message.channel_id.to_sql())
                    .bind(message.author.id.to_sql())
                    .bind(nonce)
                    .bind(message.id.to_sql())
                    .execute(tx.sql())
                    .await?;
                Ok(Sent::New(Box::new(message)))
            })
        })
        .await
    }

    /// The message that the author sent with this enforced nonce of late, if it is still there. One that is being sent
    /// meanwhile is not found: [`Store::create_message`] has the last word.
    pub async fn find_retried(&self, channel: ChannelId, author: UserId, nonce: &str) -> Result<Option<Message>> {
        let mut connection = self.snapshot().await?;
        let id: Option<i64> = sqlx::query_scalar(
            "SELECT message_id FROM nonces WHERE channel_id = $1 AND author_id = $2 AND nonce = $3 AND created_at >= $4",
        )
        .bind(channel.to_sql())
        .bind(author.to_sql())
        .bind(nonce)
        .bind(unix_ms().saturating_sub(NONCE_AGE_MS) as i64)
        .fetch_optional(&mut *connection)
        .await?;
        match id {
            Some(id) => find(&mut connection, channel, MessageId::from_sql(id), true).await,
            None => Ok(None),
        }
    }

    pub async fn find_message(&self, channel: ChannelId, id: MessageId) -> Result<Option<Message>> {
        let mut connection = self.readers().acquire().await?;
        find(&mut connection, channel, id, true).await
    }

    /// A page of the channel's history, newest first.
    pub async fn messages(&self, channel: ChannelId, page: Page, limit: u32) -> Result<Vec<Message>> {
        const BEFORE: &str = select_message!("m.id < $2 ORDER BY m.id DESC LIMIT $3");
        const AFTER: &str = select_message!("m.id > $2 ORDER BY m.id LIMIT $3");
        let mut connection = self.snapshot().await?;
        let mut rows = Vec::new();
        // Each part: the query, its bound, how many rows, and whether they come oldest first.
        let parts = match page {
            Page::Latest => vec![(BEFORE, i64::MAX, limit, false)],
            Page::Before(id) => vec![(BEFORE, id.to_sql(), limit, false)],
            Page::After(id) => vec![(AFTER, id.to_sql(), limit, true)],
            // The message itself belongs to the older half.
            Page::Around(id) => {
                vec![(AFTER, id.to_sql(), limit / 2, true), (BEFORE, id.to_sql().saturating_add(1), limit - limit / 2, false)]
            }
        };
        for (query, bound, limit, is_ascending) in parts {
            let mut part = sqlx::query(query).bind(channel.to_sql()).bind(bound).bind(limit).fetch_all(&mut *connection).await?;
            if is_ascending {
                part.reverse();
            }
            rows.append(&mut part);
        }
        complete(&mut connection, &rows, true).await
    }

    /// `change` sees the stored message; content, embeds, attachments, components, flags and mentions are
    /// written back.
    pub async fn change_message(
        &self,
        guild_id: Option<GuildId>,
        channel: ChannelId,
        id: MessageId,
        files: FileChange,
        change: impl FnOnce(&mut Message, u64) + Send + 'static,
    ) -> Result<Message> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut message = find(tx.sql(), channel, id, true).await?.ok_or(Conflict::Missing)?;
                change(&mut message, tx.now_ms);
                release(tx, channel, id, &files.removed).await?;
                claim(tx, channel, id, &files.added).await?;
                let edited_at = message.edited_timestamp.as_deref().and_then(guildhall_protocol::model::parse_timestamp);
                let mentions: Vec<UserId> = message.mentions.iter().map(|user| user.id).collect();
                sqlx::query(
                    "UPDATE messages SET content = $3, embeds = $4, flags = $5, mentions = $6, mention_roles = $7, mention_everyone = $8, \
                     edited_at = $9, attachments = $10, components = $11 WHERE channel_id = $1 AND id = $2",
                )
                .bind(channel.to_sql())
                .bind(id.to_sql())
                .bind(&message.content)
                .bind(to_json(&message.embeds)?)
                .bind(message.flags)
                .bind(to_json(&mentions)?)
                .bind(to_json(&message.mention_roles)?)
                .bind(message.mention_everyone)
                .bind(edited_at.map(|ms| ms as i64))
                .bind(to_json(&message.attachments)?)
                .bind(to_json(&message.components)?)
                .execute(tx.sql())
                .await?;
                let event = Message { guild_id, ..message.clone() };
                tx.emit(Event::MessageUpdate { guild_id, message: Box::new(event) }).await?;
                Ok(message)
            })
        })
        .await
    }

    /// Somebody else's message that goes is a line of the audit log.
    pub async fn delete_message(
        &self,
        by: By,
        guild_id: Option<GuildId>,
        channel_id: ChannelId,
        message_id: MessageId,
    ) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let deleted = delete_existing(tx, channel_id, vec![message_id]).await?;
                let Some(&(_, author)) = deleted.first() else {
                    let is_there = find(tx.sql(), channel_id, message_id, false).await?.is_some();
                    return Err(if is_there { Conflict::System } else { Conflict::Missing }.into());
                };
                tx.emit(Event::MessageDelete { guild_id, channel_id, message_id }).await?;
                if let Some(guild) = guild_id.filter(|_| by.user.is_some_and(|user| user != author)) {
                    let entry = Entry::new(AuditAction::MESSAGE_DELETE, author).option("channel_id", channel_id);
                    tx.audit(guild, &by, entry.counted(1)).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Deletes those of the messages that exist; the event lists these.
    pub async fn delete_messages(
        &self,
        by: By,
        guild_id: Option<GuildId>,
        channel_id: ChannelId,
        ids: Vec<MessageId>,
    ) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let deleted = delete_existing(tx, channel_id, ids).await?;
                let count = deleted.len();
                if count == 0 {
                    return Ok(());
                }
                tx.emit(Event::MessageDeleteBulk { guild_id, channel_id, message_ids: ids_of(&deleted) }).await?;
                if let Some(guild) = guild_id {
                    let entry = Entry::new(AuditAction::MESSAGE_BULK_DELETE, channel_id).option("count", count);
                    tx.audit(guild, &by, entry).await?;
                }
                Ok(())
            })
        })
        .await
    }
}
