//! Pinned messages.

use super::{NewMessage, complete, find, insert_message};
use crate::audit::{By, Entry};
use crate::event::Event;
use crate::store::{Conflict, Result, Store, Tx};
use guildhall_protocol::model::{AuditAction, Message, MessageReference, Pin, User, timestamp};
use guildhall_protocol::{ChannelId, GuildId, MessageId};
use sqlx::Row;

/// Pins of one channel (COMPAT §10.5).
const PINS: i64 = 250;
/// The message type of "someone pinned a message".
const PINNED: u8 = 6;

/// A pinned or unpinned message: the row, and what follows from it. `pinned_at`: Unix milliseconds; `None` unpins.
async fn set_pin(tx: &mut Tx<'_>, guild_id: Option<GuildId>, mut message: Message, pinned_at: Option<i64>) -> Result<()> {
    let channel_id = message.channel_id;
    sqlx::query("UPDATE messages SET pinned_at = $3 WHERE channel_id = $1 AND id = $2")
        .bind(channel_id.to_sql())
        .bind(message.id.to_sql())
        .bind(pinned_at)
        .execute(tx.sql())
        .await?;
    let last: Option<i64> = newest_pin(tx, channel_id).await?;
    let set_last = match guild_id {
        Some(_) => "UPDATE channels SET last_pin_at = $2 WHERE id = $1",
        None => "UPDATE private_channels SET last_pin_at = $2 WHERE id = $1",
    };
    sqlx::query(set_last).bind(channel_id.to_sql()).bind(last).execute(tx.sql()).await?;
    message.pinned = pinned_at.is_some();
    message.guild_id = guild_id;
    tx.emit(Event::MessageUpdate { guild_id, message: Box::new(message) }).await?;
    let last_pin_timestamp = last.map(|ms| timestamp(ms as u64));
    tx.emit(Event::ChannelPinsUpdate { guild_id, channel_id, last_pin_timestamp }).await?;
    Ok(())
}

async fn newest_pin(tx: &mut Tx<'_>, channel: ChannelId) -> Result<Option<i64>> {
    let newest = sqlx::query_scalar("SELECT max(pinned_at) FROM messages WHERE channel_id = $1 AND pinned_at IS NOT NULL");
    Ok(newest.bind(channel.to_sql()).fetch_one(tx.sql()).await?)
}

fn audited(action: AuditAction, message: &Message) -> Entry {
    Entry::new(action, message.author.id).option("channel_id", message.channel_id).option("message_id", message.id)
}

impl Store {
    /// Pins the message and says so in the channel; a repetition does nothing. Fails with `System` on a message that nobody
    /// wrote and with `Full` at [`PINS`]. It is `author` who says so, with
    /// `member`: their membership without its user.
    pub async fn pin_message(
        &self,
        by: By,
        guild_id: Option<GuildId>,
        channel: ChannelId,
        id: MessageId,
        author: User,
        member: Option<serde_json::Value>,
    ) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let message = find(tx.sql(), channel, id, true).await?.ok_or(Conflict::Missing)?;
                if message.pinned {
                    return Ok(());
                }
                if !message.is_written() {
                    return Err(Conflict::System.into());
                }
                let pins: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM messages WHERE channel_id = $1 AND pinned_at IS NOT NULL")
                        .bind(channel.to_sql())
                        .fetch_one(tx.sql())
                        .await?;
                if pins >= PINS {
                    return Err(Conflict::Full.into());
                }
                // Pages go by this moment, so that each pin of a channel needs one of its own.
                let pinned_at = newest_pin(tx, channel).await?.map_or(0, |newest| newest + 1).max(tx.now_ms as i64);
                let entry = audited(AuditAction::MESSAGE_PIN, &message);
                set_pin(tx, guild_id, message, Some(pinned_at)).await?;
                if let Some(guild) = guild_id {
                    tx.audit(guild, &by, entry).await?;
                }
                let reference = MessageReference { kind: 0, message_id: Some(id), channel_id: Some(channel), guild_id };
                let notice =
                    Message { kind: PINNED, message_reference: Some(reference), ..Message::new(channel, author, String::new()) };
                insert_message(tx, NewMessage { guild_id, message: notice, member, files: Vec::new(), enforced_nonce: None })
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// A message that is not pinned stays so.
    pub async fn unpin_message(&self, by: By, guild_id: Option<GuildId>, channel: ChannelId, id: MessageId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let message = find(tx.sql(), channel, id, true).await?.ok_or(Conflict::Missing)?;
                if message.pinned {
                    let entry = audited(AuditAction::MESSAGE_UNPIN, &message);
                    set_pin(tx, guild_id, message, None).await?;
                    if let Some(guild) = guild_id {
                        tx.audit(guild, &by, entry).await?;
                    }
                }
                Ok(())
            })
        })
        .await
    }

    /// The channel's pins from before a moment (Unix milliseconds), the last pinned first, and whether there are more.
    pub async fn pins(&self, channel: ChannelId, before: Option<u64>, limit: u32) -> Result<(Vec<Pin>, bool)> {
        let mut connection = self.snapshot().await?;
        let mut rows = sqlx::query(select_message!("m.pinned_at < $2 ORDER BY m.pinned_at DESC LIMIT $3"))
            .bind(channel.to_sql())
            .bind(before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX)))
            .bind(limit + 1)
            .fetch_all(&mut *connection)
            .await?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let moments: Vec<i64> = rows.iter().map(|row| row.try_get("pinned_at")).collect::<Result<_, _>>()?;
        let messages = complete(&mut connection, &rows, true).await?;
        let pins = moments.into_iter().zip(messages);
        Ok((pins.map(|(ms, message)| Pin { pinned_at: timestamp(ms as u64), message }).collect(), has_more))
    }
}
