//! Reactions: who reacted to which message with what. They go with their message by a foreign key.

use crate::event::Event;
use crate::store::engine::Row;
use crate::store::users::user_of;
use crate::store::{Conflict, Result, Store, Tx};
use guildhall_protocol::model::{Message, Reaction, ReactionEmoji, User};
use guildhall_protocol::{ChannelId, GuildId, MessageId, Snowflake, UserId};
use sqlx::Row as _;
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
    /// Its name is what it is called if nobody has used it there yet.
    pub emoji: ReactionEmoji,
}

impl ReactionKey {
    /// What the emoji is known by: an emoji of a guild by its id, another by its characters without U+FE0F, which says how to
    /// draw some of them and is sent by some clients only.
    fn known_by(&self) -> String {
        match self.emoji.id {
            Some(id) => id.to_string(),
            None => self.emoji.name.replace('\u{FE0F}', ""),
        }
    }
}

/// An emoji as it was called by whoever used it first. No Unicode emoji is digits only.
fn emoji_of(known_by: String, name: Option<String>, is_animated: bool) -> ReactionEmoji {
    match known_by.parse() {
        Ok(id) => ReactionEmoji::own(Snowflake(id), name.unwrap_or_default(), is_animated),
        Err(_) => ReactionEmoji::unicode(name.unwrap_or(known_by)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reacted {
    Done,
    /// Nobody had reacted with it, and the caller may only join in. Nothing was stored.
    MayOnlyJoin,
    /// The message's author has blocked the caller. Nothing was stored.
    Blocked,
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

async fn has_blocked(tx: &mut Tx<'_>, user: UserId, target: UserId) -> Result<bool> {
    let blocked: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM relationships WHERE user_id = $1 AND target_id = $2 AND kind = 2")
            .bind(user.to_sql())
            .bind(target.to_sql())
            .fetch_optional(tx.sql())
            .await?;
    Ok(blocked.is_some())
}

/// What is below the message.
struct Below {
    /// How many emojis.
    emojis: i64,
    /// The emoji's place and name, if somebody reacted with it.
    place: Option<i64>,
    name: Option<String>,
    is_animated: Option<bool>,
}

async fn emojis_below(tx: &mut Tx<'_>, key: &ReactionKey) -> Result<Below> {
    let row = sqlx::query(
        "SELECT COUNT(DISTINCT emoji) AS emojis, MAX(CASE WHEN emoji = $3 THEN place END) AS place, \
         MAX(CASE WHEN emoji = $3 THEN emoji_name END) AS name, \
         MAX(CASE WHEN emoji = $3 THEN is_animated END) AS is_animated FROM reactions WHERE channel_id = $1 AND message_id = $2",
    )
    .bind(key.channel_id.to_sql())
    .bind(key.message_id.to_sql())
    .bind(key.known_by())
    .fetch_one(tx.sql())
    .await?;
    let is_animated = row.try_get::<Option<i64>, _>("is_animated")?.map(|flag| flag != 0);
    Ok(Below { emojis: row.try_get("emojis")?, place: row.try_get("place")?, name: row.try_get("name")?, is_animated })
}

fn emoji_of_row(row: &Row) -> Result<ReactionEmoji> {
    Ok(emoji_of(row.try_get("emoji")?, row.try_get("emoji_name")?, row.try_get::<i64, _>("is_animated")? != 0))
}

impl Store {
    /// Whether somebody reacted with the emoji.
    pub async fn is_below(&self, key: &ReactionKey) -> Result<bool> {
        let found: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM reactions WHERE channel_id = $1 AND message_id = $2 AND emoji = $3 LIMIT 1")
                .bind(key.channel_id.to_sql())
                .bind(key.message_id.to_sql())
                .bind(key.known_by())
                .fetch_optional(self.readers())
                .await?;
        Ok(found.is_some())
    }

    /// Reacts once; a repetition changes nothing and tells nobody. `may_begin`: with an emoji that nobody used yet, too.
    pub async fn add_reaction(&self, mut key: ReactionKey, user_id: UserId, may_begin: bool) -> Result<Reacted> {
        self.write(move |tx| {
            Box::pin(async move {
                let author_id = author_of(tx, key.channel_id, key.message_id).await?;
                if has_blocked(tx, author_id, user_id).await? {
                    return Ok(Reacted::Blocked);
                }
                let Below { emojis, place, name, is_animated } = emojis_below(tx, &key).await?;
                if place.is_none() && !may_begin {
                    return Ok(Reacted::MayOnlyJoin);
                }
                if place.is_none() && emojis >= EMOJIS {
                    return Err(Conflict::Full.into());
                }
                let known_by = key.known_by();
                // Everyone's reaction has the name of the first.
                key.emoji.name = name.unwrap_or(key.emoji.name);
                key.emoji.animated = key.emoji.id.and(is_animated.or(key.emoji.animated));
                let place = place.unwrap_or_else(|| tx.make_id::<MessageId>().to_sql());
                let added = sqlx::query(
                    "INSERT INTO reactions (channel_id, message_id, emoji, user_id, place, emoji_name, is_animated) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (channel_id, message_id, emoji, user_id) DO NOTHING",
                )
                .bind(key.channel_id.to_sql())
                .bind(key.message_id.to_sql())
                .bind(known_by)
                .bind(user_id.to_sql())
                .bind(place)
                .bind(&key.emoji.name)
                .bind(key.emoji.animated.unwrap_or(false))
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
                    "DELETE FROM reactions WHERE channel_id = $1 AND message_id = $2 AND emoji = $3 AND user_id = $4 \
                     RETURNING emoji, emoji_name, is_animated",
                )
                .bind(key.channel_id.to_sql())
                .bind(key.message_id.to_sql())
                .bind(key.known_by())
                .bind(user_id.to_sql())
                .fetch_optional(tx.sql())
                .await?;
                if let Some(row) = removed {
                    let emoji = emoji_of_row(&row)?;
                    let ReactionKey { guild_id, channel_id, message_id, .. } = key;
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
                let removed = sqlx::query(
                    "DELETE FROM reactions WHERE channel_id = $1 AND message_id = $2 AND emoji = $3 \
                     RETURNING emoji, emoji_name, is_animated",
                )
                .bind(key.channel_id.to_sql())
                .bind(key.message_id.to_sql())
                .bind(key.known_by())
                .fetch_all(tx.sql())
                .await?;
                if let Some(row) = removed.first() {
                    let emoji = emoji_of_row(row)?;
                    let ReactionKey { guild_id, channel_id, message_id, .. } = key;
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
        .bind(key.known_by())
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
            "SELECT message_id, emoji, MAX(emoji_name) AS emoji_name, MAX(is_animated) AS is_animated, COUNT(*) AS reactors, \
             MAX(CASE WHEN user_id = $4 THEN 1 ELSE 0 END) AS me FROM reactions \
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
            let reaction = Reaction::new(emoji_of_row(row)?, row.try_get("reactors")?, row.try_get::<i64, _>("me")? != 0);
            below.entry(MessageId::from_sql(row.try_get("message_id")?)).or_default().push(reaction);
        }
        for message in messages {
            message.reactions = below.remove(&message.id).unwrap_or_default();
        }
        Ok(())
    }
}
