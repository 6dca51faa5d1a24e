//! Stream keys: who may be somebody else's program in a voice channel.

use super::engine::Row;
use super::tokens::{TokenHash, end_log_ins, hash_of, random_text};
use super::{Conflict, Result, Store};
use guildhall_protocol::{ChannelId, GuildId, StreamKeyId, UserId};
use sqlx::Row as _;

/// Keys of one account: one for each of its programs, and some that were forgotten.
const KEYS: i64 = 25;
/// What every key begins with, so that people and scanners of leaked secrets know what they have found.
const PREFIX: &str = "stream_";

/// A key without what it is used by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStreamKey {
    pub id: StreamKeyId,
    pub user_id: UserId,
    pub channel_id: ChannelId,
    pub guild_id: GuildId,
    pub name: String,
    /// Unix milliseconds.
    pub created_at: u64,
    pub hash: TokenHash,
}

fn key_of(row: &Row) -> Result<StoredStreamKey> {
    Ok(StoredStreamKey {
        id: StreamKeyId::from_sql(row.try_get("id")?),
        user_id: UserId::from_sql(row.try_get("user_id")?),
        channel_id: ChannelId::from_sql(row.try_get("channel_id")?),
        guild_id: GuildId::from_sql(row.try_get("guild_id")?),
        name: row.try_get("name")?,
        created_at: row.try_get::<i64, _>("created_at")? as u64,
        hash: row.try_get::<Vec<u8>, _>("hash")?.try_into().unwrap_or_default(),
    })
}

impl Store {
    /// Whose the key is and where; `None`: it is no key, or not any more.
    pub async fn find_stream_key(&self, key: &str) -> Result<Option<StoredStreamKey>> {
        if !key.starts_with(PREFIX) {
            return Ok(None);
        }
        let row =
            sqlx::query("SELECT k.*, c.guild_id FROM stream_keys k JOIN channels c ON c.id = k.channel_id WHERE k.hash = $1")
                .bind(&hash_of(key)[..])
                .fetch_optional(self.readers())
                .await?;
        row.as_ref().map(key_of).transpose()
    }

    /// Somebody's keys for a channel, the oldest first.
    pub async fn stream_keys_of(&self, user: UserId, channel: ChannelId) -> Result<Vec<StoredStreamKey>> {
        let rows = sqlx::query(
            "SELECT k.*, c.guild_id FROM stream_keys k JOIN channels c ON c.id = k.channel_id \
             WHERE k.user_id = $1 AND k.channel_id = $2 ORDER BY k.id",
        )
        .bind(user.to_sql())
        .bind(channel.to_sql())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(key_of).collect()
    }

    /// Makes a key; only this answer has it. [`Conflict::Full`]: the account has enough; [`Conflict::Missing`]: the channel is
    /// gone.
    pub async fn create_stream_key(&self, user: UserId, channel: ChannelId, name: String) -> Result<(StoredStreamKey, String)> {
        let id: StreamKeyId = self.make_id();
        let key = format!("{PREFIX}{}", random_text());
        let hash = hash_of(&key);
        let stored = self
            .write(move |tx| {
                Box::pin(async move {
                    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM stream_keys WHERE user_id = $1")
                        .bind(user.to_sql())
                        .fetch_one(tx.sql())
                        .await?;
                    if count >= KEYS {
                        return Err(Conflict::Full.into());
                    }
                    let guild: Option<i64> = sqlx::query_scalar("SELECT guild_id FROM channels WHERE id = $1")
                        .bind(channel.to_sql())
                        .fetch_optional(tx.sql())
                        .await?;
                    let guild_id = GuildId::from_sql(guild.ok_or(Conflict::Missing)?);
                    let created_at = tx.now_ms;
                    sqlx::query(
                        "INSERT INTO stream_keys (id, user_id, channel_id, name, hash, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
                    )
                    .bind(id.to_sql())
                    .bind(user.to_sql())
                    .bind(channel.to_sql())
                    .bind(&name)
                    .bind(&hash[..])
                    .bind(created_at as i64)
                    .execute(tx.sql())
                    .await?;
                    Ok(StoredStreamKey { id, user_id: user, channel_id: channel, guild_id, name, created_at, hash })
                })
            })
            .await?;
        Ok((stored, key))
    }

    /// Makes a key of the account worthless; who came by it goes. [`Conflict::Missing`]: the account has no such key there.
    pub async fn delete_stream_key(&self, user: UserId, channel: ChannelId, id: StreamKeyId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let hash: Option<Vec<u8>> = sqlx::query_scalar(
                    "DELETE FROM stream_keys WHERE id = $1 AND user_id = $2 AND channel_id = $3 RETURNING hash",
                )
                .bind(id.to_sql())
                .bind(user.to_sql())
                .bind(channel.to_sql())
                .fetch_optional(tx.sql())
                .await?;
                let hash: TokenHash = hash.ok_or(Conflict::Missing)?.try_into().unwrap_or_default();
                end_log_ins(tx, user, &[hash]).await
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::KEYS;
    use crate::event::{Ended, Event};
    use crate::store::tests::{World, person};
    use crate::store::{Conflict, StoreError};

    #[tokio::test]
    async fn a_key_names_its_owner_until_it_is_deleted_and_there_are_only_so_many() {
        let world = World::new().await;
        let (bob, store) = (person(&world.store, "bob").await, world.store.clone());
        let (stored, key) = store.create_stream_key(bob.id, world.text, "OBS".to_owned()).await.unwrap();
        assert_eq!(store.find_stream_key(&key).await.unwrap(), Some(stored.clone()));
        assert_eq!((stored.user_id, stored.channel_id, stored.guild_id), (bob.id, world.text, world.guild));
        for wrong in ["", "stream_", &key.replace("stream_", ""), &format!("{key}x")] {
            assert_eq!(store.find_stream_key(wrong).await.unwrap(), None, "{wrong}");
        }
        for number in 1..KEYS {
            store.create_stream_key(bob.id, world.text, number.to_string()).await.unwrap();
        }
        let one_more = store.create_stream_key(bob.id, world.text, "one more".to_owned()).await;
        assert!(matches!(one_more, Err(StoreError::Conflict(Conflict::Full))), "{one_more:?}");
        let listed = store.stream_keys_of(bob.id, world.text).await.unwrap();
        assert_eq!((listed.len(), &listed[0]), (KEYS as usize, &stored));

        let of_another = store.delete_stream_key(world.alice.id, world.text, stored.id).await;
        assert!(matches!(of_another, Err(StoreError::Conflict(Conflict::Missing))));
        store.delete_stream_key(bob.id, world.text, stored.id).await.unwrap();
        let told = world.published.lock().unwrap().last().map(|committed| committed.event.clone());
        assert_eq!(told, Some(Event::Access { user_id: bob.id, ended: Ended::These(vec![stored.hash]) }));
        assert_eq!(store.find_stream_key(&key).await.unwrap(), None);
        let again = store.delete_stream_key(bob.id, world.text, stored.id).await;
        assert!(matches!(again, Err(StoreError::Conflict(Conflict::Missing))));
    }
}
