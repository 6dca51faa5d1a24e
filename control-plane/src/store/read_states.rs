//! What people have read, and what mentions them that they have not.
//!
//! A message writes one row per user, role or "everyone" that it mentions and none per member: who asks what they missed joins
//! these with their own roles. In private channels every message of someone else counts.

use super::engine::Connection;
use super::messages::MEMBER_JOINED;
use super::{Result, Store, Tx};
use crate::event::{Event, Personal};
use guildhall_protocol::model::Message;
use guildhall_protocol::{ChannelId, GuildId, MessageId, RoleId, UserId};
use serde::Serialize;
use sqlx::Row;
use std::collections::BTreeMap;

/// Where someone stands in a channel, as READY lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadState {
    pub id: ChannelId,
    /// `None`: nothing was read here, but something mentions the user.
    pub last_message_id: Option<MessageId>,
    pub last_pin_timestamp: Option<String>,
    /// Of the messages after that, those that mention the user; in a private channel at most a thousand.
    pub mention_count: u32,
}

/// The user's own id, roles and guilds, each with the smallest message id that may concern them: nobody is mentioned in what
/// was said before they came. 1420070400000 and 4194304: the epoch and the scale of snowflakes.
macro_rules! with_targets {
    ($rest:literal) => {
        concat!(
            "WITH targets (id, since) AS (SELECT $1, 0 ",
            "UNION ALL SELECT guild_id, (joined_at - 1420070400000) * 4194304 FROM members WHERE user_id = $1 ",
            "UNION ALL SELECT r.role_id, (m.joined_at - 1420070400000) * 4194304 FROM member_roles r ",
            "JOIN members m ON m.guild_id = r.guild_id AND m.user_id = r.user_id WHERE r.user_id = $1) ",
            $rest
        )
    };
}

/// A message was stored: notes whom it mentions, and that its author has read as far.
pub(super) async fn note_message(tx: &mut Tx<'_>, guild_id: Option<GuildId>, message: &Message) -> Result<()> {
    if let Some(guild) = guild_id {
        let users = message.mentions.iter().map(|user| user.id.to_sql()).filter(|user| *user != message.author.id.to_sql());
        let roles = message.mention_roles.iter().copied().map(RoleId::to_sql);
        let everyone = message.mention_everyone.then(|| guild.to_sql());
        for target in users.chain(roles).chain(everyone) {
            sqlx::query("INSERT INTO mentions (channel_id, message_id, target_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
                .bind(message.channel_id.to_sql())
                .bind(message.id.to_sql())
                .bind(target)
                .execute(tx.sql())
                .await?;
        }
    }
    // Who joined may not see the channel where that is said: [`super::invites::join`] knows.
    if !message.author.bot && message.webhook_id.is_none() && message.kind != MEMBER_JOINED {
        advance(tx, message.author.id, message.channel_id, message.id).await?;
    }
    Ok(())
}

/// Moves a read state forward, never back. Whether it moved.
pub(super) async fn advance(tx: &mut Tx<'_>, user: UserId, channel: ChannelId, message: MessageId) -> Result<bool> {
    let moved = sqlx::query(
        "INSERT INTO read_states (user_id, channel_id, last_message_id) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id, channel_id) DO UPDATE SET last_message_id = excluded.last_message_id \
         WHERE read_states.last_message_id < excluded.last_message_id",
    )
    .bind(user.to_sql())
    .bind(channel.to_sql())
    .bind(message.to_sql())
    .execute(tx.sql())
    .await?;
    Ok(moved.rows_affected() > 0)
}

/// Messages of others in private channels that the user has not read: in one channel, or (`None`) in each of the open ones.
async fn unread_private(connection: &mut Connection, user: UserId, only: Option<ChannelId>) -> Result<Vec<(ChannelId, u32)>> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT r.channel_id, (SELECT count(*) FROM (SELECT 1 FROM messages m WHERE m.channel_id = r.channel_id \
           AND m.id > COALESCE(s.last_message_id, 0) AND m.id > (r.joined_at - 1 - 1420070400000) * 4194304 \
           AND m.author_id != $1 LIMIT 1000) AS few) \
         FROM recipients r LEFT JOIN read_states s ON s.user_id = r.user_id AND s.channel_id = r.channel_id \
         WHERE r.user_id = $1 AND ($2 IS NULL AND r.is_open = 1 OR r.channel_id = $2)",
    )
    .bind(user.to_sql())
    .bind(only.map(ChannelId::to_sql))
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(channel, count)| (ChannelId::from_sql(channel), count as u32)).collect())
}

/// Unread messages that mention the user in one channel of a guild.
async fn unread_mentions(connection: &mut Connection, user: UserId, channel: ChannelId) -> Result<u32> {
    let count: i64 = sqlx::query_scalar(with_targets!(
        "SELECT count(DISTINCT n.message_id) FROM mentions n JOIN targets t ON t.id = n.target_id AND n.message_id > t.since \
         WHERE n.channel_id = $2 AND n.message_id > \
           COALESCE((SELECT last_message_id FROM read_states WHERE user_id = $1 AND channel_id = $2), 0)"
    ))
    .bind(user.to_sql())
    .bind(channel.to_sql())
    .fetch_one(connection)
    .await?;
    Ok(count as u32)
}

impl Store {
    /// Where the user stands in every channel that they have read in, or that has something for them.
    pub async fn read_states_of(&self, user: UserId) -> Result<Vec<ReadState>> {
        let mut connection = self.snapshot().await?;
        let mut states: BTreeMap<ChannelId, ReadState> = BTreeMap::new();
        let rows = sqlx::query("SELECT channel_id, last_message_id FROM read_states WHERE user_id = $1")
            .bind(user.to_sql())
            .fetch_all(&mut *connection)
            .await?;
        let state = |id, last_message_id| ReadState { id, last_message_id, last_pin_timestamp: None, mention_count: 0 };
        for row in &rows {
            let id = ChannelId::from_sql(row.try_get("channel_id")?);
            states.insert(id, state(id, Some(MessageId::from_sql(row.try_get("last_message_id")?))));
        }
        let mentions: Vec<(i64, i64)> = sqlx::query_as(with_targets!(
            "SELECT n.channel_id, count(DISTINCT n.message_id) FROM targets t \
             JOIN mentions n ON n.target_id = t.id AND n.message_id > t.since \
             LEFT JOIN read_states s ON s.user_id = $1 AND s.channel_id = n.channel_id \
             WHERE n.message_id > COALESCE(s.last_message_id, 0) GROUP BY n.channel_id"
        ))
        .bind(user.to_sql())
        .fetch_all(&mut *connection)
        .await?;
        let mentions = mentions.into_iter().map(|(channel, count)| (ChannelId::from_sql(channel), count as u32));
        let private = unread_private(&mut connection, user, None).await?;
        for (id, count) in mentions.chain(private).filter(|(_, count)| *count > 0) {
            states.entry(id).or_insert_with(|| state(id, None)).mention_count = count;
        }
        Ok(states.into_values().collect())
    }

    /// The user has read these channels as far as these messages. `is_manual`: marked so on purpose, which also goes back.
    pub async fn acknowledge(&self, user_id: UserId, read: Vec<(ChannelId, MessageId)>, is_manual: bool) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                for (channel_id, message_id) in read {
                    if is_manual {
                        sqlx::query("DELETE FROM read_states WHERE user_id = $1 AND channel_id = $2")
                            .bind(user_id.to_sql())
                            .bind(channel_id.to_sql())
                            .execute(tx.sql())
                            .await?;
                    }
                    if !advance(tx, user_id, channel_id, message_id).await? {
                        continue;
                    }
                    let private = unread_private(tx.sql(), user_id, Some(channel_id)).await?;
                    let mention_count = match private.first() {
                        Some((_, count)) => *count,
                        None => unread_mentions(tx.sql(), user_id, channel_id).await?,
                    };
                    let news = Personal::MessageAck { channel_id, message_id, mention_count, is_manual };
                    tx.emit(Event::Personal { user_id, news }).await?;
                }
                Ok(())
            })
        })
        .await
    }
}
