//! Reactions: who reacted to which message with what. They go with their message by a foreign key.

use crate::event::Event;
use crate::store::users::user_of;
use crate::store::{Conflict, Result, Store, Tx};
use guildhall_protocol::model::{Message, Reaction, ReactionEmoji, User};
use guildhall_protocol::{ChannelId, GuildId, MessageId, UserId};
use sqlx::Row;
use std::collections::HashMap;

/// Different emojis below one message.
const EMOJIS: i64 = 20;

/// A message and one emoji below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactionKey {
    /// `None`: in a private channel.
    pub guild_id: Option<GuildId>,
    pub channel_id: ChannelId,
    pub message_id: MessageId,
    pub emoji: ReactionEmoji,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reacted {
    Done,
    /// Nobody had reacted with it, and the caller may only join in. Nothing was stored.
    MayOnlyJoin,
}

/// The message's author; fails if there is no such message.
async fn author_of(tx: &mut Tx<'_>, channel: ChannelId, message: MessageId) -> Result<UserId> {
    let author: Option<i64> = sqlx::query_scalar("SELECT author_id FROM messages WHERE channel_id = $1 AND id = $2")
        .bind(channel.to_sql())
        .bind(message.to_sql())
        .fetch_optional(tx.sql())
        .await?;
    Ok(UserId::from_sql(author.ok_or(Conflict::Missing)?))
}

/// The emoji's place below the message if it has one, and how many emojis are there.
async fn emojis_below(tx: &mut Tx<'_>, key: &ReactionKey) -> Result<(Option<i64>, i64)> {
    let row = sqlx::query(
        "SELECT COUNT(DISTINCT emoji) AS emojis, MAX(CASE WHEN emoji = $3 THEN place END) AS place FROM reactions \
         WHERE channel_id = $1 AND message_id = $2",
    )
    .bind(key.channel_id.to_sql())
    .bind(key.message_id.to_sql())
    .bind(&key.emoji.name)
    .fetch_one(tx.sql())
    .await?;
    Ok((row.try_get("place")?, row.try_get("emojis")?))
}

impl Store {
    /// Reacts once; a repetition changes nothing and tells nobody. `may_begin`: with an emoji that nobody used yet, too.
    pub async fn add_reaction(&self, key: ReactionKey, user_id: UserId, may_begin: bool) -> Result<Reacted> {
        self.write(move |tx| {
            Box::pin(async move {
                let author_id = author_of(tx, key.channel_id, key.message_id).await?;
                let (place, emojis) = emojis_below(tx, &key).await?;
                if place.is_none() && !may_begin {
                    return Ok(Reacted::MayOnlyJoin);
                }
                if place.is_none() && emojis >= EMOJIS {
                    return Err(Conflict::Full.into());
                }
                let place = place.unwrap_or_else(|| tx.make_id::<MessageId>().to_sql());
                let added = sqlx::query(
                    "INSERT INTO reactions (channel_id, message_id, emoji, user_id, place) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (channel_id, message_id, emoji, user_id) DO NOTHING",
                )
                .bind(key.channel_id.to_sql())
                .bind(key.message_id.to_sql())
                .bind(&key.emoji.name)
                .bind(user_id.to_sql())
                .bind(place)
                .execute(tx.sql())
                .await?;
                if added.rows_affected() > 0 {
                    let ReactionKey { guild_id, channel_id, message_id, emoji } = key;
                    tx.emit(Event::ReactionAdd { guild_id, channel_id, message_id, user_id, author_id, emoji: emoji.into() })
                        .await?;
                }
                Ok(Reacted::Done)
            })
        })
        .await
    }

    /// Takes a reaction back. One that is not there is no error: a retry finds what it wanted.
    pub async fn remove_reaction(&self, key: ReactionKey, user_id: UserId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                author_of(tx, key.channel_id, key.message_id).await?;
                let removed = sqlx::query(
                    "DELETE FROM reactions WHERE channel_id = $1 AND message_id = $2 AND emoji = $3 AND user_id = $4",
                )
                .bind(key.channel_id.to_sql())
                .bind(key.message_id.to_sql())
                .bind(&key.emoji.name)
                .bind(user_id.to_sql())
                .execute(tx.sql())
                .await?;
                if removed.rows_affected() > 0 {
                    let ReactionKey { guild_id, channel_id, message_id, emoji } = key;
                    tx.emit(Event::ReactionRemove { guild_id, channel_id, message_id, user_id, emoji: emoji.into() }).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Everyone's reactions with this emoji.
    pub async fn clear_reaction(&self, key: ReactionKey) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                author_of(tx, key.channel_id, key.message_id).await?;
                let removed = sqlx::query("DELETE FROM reactions WHERE channel_id = $1 AND message_id = $2 AND emoji = $3")
                    .bind(key.channel_id.to_sql())
                    .bind(key.message_id.to_sql())
                    .bind(&key.emoji.name)
                    .execute(tx.sql())
                    .await?;
                if removed.rows_affected() > 0 {
                    let ReactionKey { guild_id, channel_id, message_id, emoji } = key;
                    tx.emit(Event::ReactionRemoveEmoji { guild_id, channel_id, message_id, emoji: emoji.into() }).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Every reaction to the message.
    pub async fn clear_reactions(&self, guild_id: Option<GuildId>, channel_id: ChannelId, message_id: MessageId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                author_of(tx, channel_id, message_id).await?;
                let removed = sqlx::query("DELETE FROM reactions WHERE channel_id = $1 AND message_id = $2")
                    .bind(channel_id.to_sql())
                    .bind(message_id.to_sql())
                    .execute(tx.sql())
                    .await?;
                if removed.rows_affected() > 0 {
                    tx.emit(Event::ReactionRemoveAll { guild_id, channel_id, message_id }).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Who reacted with the emoji, by id. `None`: there is no such message.
    pub async fn reactors(&self, key: &ReactionKey, after: UserId, limit: u32) -> Result<Option<Vec<User>>> {
        let mut connection = self.snapshot().await?;
        let is_there: Option<i64> = sqlx::query_scalar("SELECT 1 FROM messages WHERE channel_id = $1 AND id = $2")
            .bind(key.channel_id.to_sql())
            .bind(key.message_id.to_sql())
            .fetch_optional(&mut *connection)
            .await?;
        if is_there.is_none() {
            return Ok(None);
        }
        let rows = sqlx::query(
            "SELECT u.id, u.username, u.global_name, u.avatar, u.is_bot, u.flags FROM reactions r JOIN users u ON u.id = r.user_id \
             WHERE r.channel_id = $1 AND r.message_id = $2 AND r.emoji = $3 AND r.user_id > $4 ORDER BY r.user_id LIMIT $5",
        )
        .bind(key.channel_id.to_sql())
        .bind(key.message_id.to_sql())
        .bind(&key.emoji.name)
        .bind(after.to_sql())
        .bind(limit)
        .fetch_all(&mut *connection)
        .await?;
        Ok(Some(rows.iter().map(user_of).collect::<Result<_>>()?))
    }

    /// Fills in what `reader` sees below these messages of one channel, which lie close together.
    pub async fn show_reactions(&self, channel: ChannelId, messages: &mut [Message], reader: UserId) -> Result<()> {
        let ids = || messages.iter().map(|message| message.id);
        let (Some(first), Some(last)) = (ids().min(), ids().max()) else { return Ok(()) };
        let rows = sqlx::query(
            "SELECT message_id, emoji, COUNT(*) AS reactors, MAX(user_id = $4) AS me FROM reactions \
             WHERE channel_id = $1 AND message_id BETWEEN $2 AND $3 GROUP BY message_id, emoji ORDER BY MIN(place)",
        )
        .bind(channel.to_sql())
        .bind(first.to_sql())
        .bind(last.to_sql())
        .bind(reader.to_sql())
        .fetch_all(self.readers())
        .await?;
        let mut below: HashMap<MessageId, Vec<Reaction>> = HashMap::new();
        for row in &rows {
            let emoji = ReactionEmoji::unicode(row.try_get("emoji")?);
            let reaction = Reaction::new(emoji, row.try_get("reactors")?, row.try_get::<i64, _>("me")? != 0);
            below.entry(MessageId::from_sql(row.try_get("message_id")?)).or_default().push(reaction);
        }
        for message in messages {
            message.reactions = below.remove(&message.id).unwrap_or_default();
        }
        Ok(())
    }
}
