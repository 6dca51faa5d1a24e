//! Log-ins: each is a token, with what it was made with and when it was last used (to the hour).
//!
//! Nobody waits for a use to be written, and no request causes a write: the token cache notes at most one use per token and
//! hour, and the writer stores what was noted when it tidies.

use super::engine::{Connection, Row};
use super::tokens::{TokenHash, end_log_ins, hash_of, make_token};
use super::{Result, Store, Tx};
use guildhall_protocol::UserId;
use sqlx::Row as _;
use std::sync::Mutex;

/// Log-ins per account. Another one ends the one that was not used for longest.
const SESSIONS: i64 = 50;
/// How coarsely the last use is known.
const HOUR_MS: u64 = 3_600_000;
/// Uses that wait to be written. More tokens than this come back within a few seconds only after a restart; what is not noted
/// then is noted by the next request.
const NOTED: usize = 4096;
/// Noted uses per transaction of the writer, so that nobody waits long for it.
const WRITTEN: usize = 256;

/// The program that someone logged in with, as far as it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub os: Option<String>,
    /// The browser, or the program's own name.
    pub platform: Option<String>,
}

/// One log-in, without what it could be used by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogIn {
    /// Names the log-in; made from the token's hash, which stays here.
    pub id_hash: String,
    /// Unix milliseconds, to the hour.
    pub used_at: u64,
    pub device: Device,
}

/// A token, and those that had to go for it.
#[derive(Clone, Debug)]
pub struct Issued {
    pub token: String,
    pub ended: Vec<TokenHash>,
}

/// Uses of tokens that are not written yet.
#[derive(Default)]
pub struct Uses(Mutex<Vec<(TokenHash, u64)>>);

impl Uses {
    /// Whether a token whose use was noted at `last` was noted anew.
    pub fn note(&self, hash: TokenHash, last: u64, now_ms: u64) -> bool {
        if now_ms.saturating_sub(last) < HOUR_MS {
            return false;
        }
        let mut noted = self.0.lock().expect("nothing panics while it holds the list");
        let has_room = noted.len() < NOTED;
        if has_room {
            noted.push((hash, now_ms));
        }
        has_room
    }

    fn take(&self) -> Vec<(TokenHash, u64)> {
        let mut noted = self.0.lock().expect("nothing panics while it holds the list");
        let count = noted.len().min(WRITTEN);
        noted.drain(..count).collect()
    }

    /// Writes some of what was noted. Whether there may be more.
    pub async fn write(&self, connection: &mut Connection) -> Result<bool> {
        let uses = self.take();
        for (hash, used_at) in &uses {
            sqlx::query("UPDATE tokens SET used_at = $2 WHERE hash = $1")
                .bind(&hash[..])
                .bind(*used_at as i64)
                .execute(&mut *connection)
                .await?;
        }
        Ok(uses.len() == WRITTEN)
    }
}

fn id_hash(hash: &TokenHash) -> String {
    hash_of(&format!("{hash:02x?}")).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn token_hash(bytes: Vec<u8>) -> Option<TokenHash> {
    bytes.try_into().ok()
}

/// Stores a new log-in. One too many ends the one that was not used for longest.
pub(super) async fn open_session(tx: &mut Tx<'_>, user_id: UserId, device: &Device) -> Result<Issued> {
    let ended: Vec<Vec<u8>> = sqlx::query_scalar(
        "DELETE FROM tokens WHERE hash IN (SELECT hash FROM tokens WHERE user_id = $1 \
         ORDER BY COALESCE(used_at, created_at) DESC, created_at DESC LIMIT 1000 OFFSET $2) RETURNING hash",
    )
    .bind(user_id.to_sql())
    .bind(SESSIONS - 1)
    .fetch_all(tx.sql())
    .await?;
    let token = make_token(user_id, tx.now_ms);
    sqlx::query("INSERT INTO tokens (hash, user_id, created_at, used_at, os, platform) VALUES ($1, $2, $3, $3, $4, $5)")
        .bind(hash_of(&token).to_vec())
        .bind(user_id.to_sql())
        .bind(tx.now_ms as i64)
        .bind(&device.os)
        .bind(&device.platform)
        .execute(tx.sql())
        .await?;
    let ended: Vec<TokenHash> = ended.into_iter().filter_map(token_hash).collect();
    end_log_ins(tx, user_id, &ended).await?;
    Ok(Issued { token, ended })
}

impl Store {
    /// Logs someone in.
    pub async fn log_in(&self, user_id: UserId, device: Device) -> Result<Issued> {
        let issued = self.write(move |tx| Box::pin(async move { open_session(tx, user_id, &device).await })).await?;
        if !issued.ended.is_empty() {
            self.0.tokens.forget(user_id);
        }
        Ok(issued)
    }

    /// The account's log-ins, the last used first.
    pub async fn log_ins_of(&self, user_id: UserId) -> Result<Vec<LogIn>> {
        let rows = sqlx::query(
            "SELECT hash, COALESCE(used_at, created_at) AS used_at, os, platform FROM tokens WHERE user_id = $1 \
             ORDER BY COALESCE(used_at, created_at) DESC, created_at DESC",
        )
        .bind(user_id.to_sql())
        .fetch_all(self.readers())
        .await?;
        let log_in = |row: &Row| {
            Ok(LogIn {
                id_hash: token_hash(row.try_get("hash")?).map(|hash| id_hash(&hash)).unwrap_or_default(),
                used_at: row.try_get::<i64, _>("used_at")? as u64,
                device: Device { os: row.try_get("os")?, platform: row.try_get("platform")? },
            })
        };
        rows.iter().map(log_in).collect()
    }

    /// Ends those of the account's log-ins that are named; unknown names are passed over. Answers with the tokens' hashes.
    pub async fn end_log_ins(&self, user_id: UserId, id_hashes: Vec<String>) -> Result<Vec<TokenHash>> {
        let ended = self
            .write(move |tx| {
                Box::pin(async move {
                    let hashes: Vec<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM tokens WHERE user_id = $1")
                        .bind(user_id.to_sql())
                        .fetch_all(tx.sql())
                        .await?;
                    let hashes = hashes.into_iter().filter_map(token_hash);
                    let ended: Vec<TokenHash> = hashes.filter(|hash| id_hashes.contains(&id_hash(hash))).collect();
                    for hash in &ended {
                        sqlx::query("DELETE FROM tokens WHERE hash = $1").bind(&hash[..]).execute(tx.sql()).await?;
                    }
                    end_log_ins(tx, user_id, &ended).await?;
                    Ok(ended)
                })
            })
            .await?;
        self.0.tokens.forget(user_id);
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::{HOUR_MS, NOTED, SESSIONS, Uses};
    use crate::store::Device;
    use crate::store::tests::{World, person};
    use crate::store::tokens::hash_of;

    #[tokio::test]
    async fn the_log_in_that_nobody_used_for_longest_makes_room_for_another() {
        let world = World::new().await;
        let bob = person(&world.store, "bob").await;
        let mut tokens = Vec::new();
        for _ in 0..SESSIONS {
            tokens.push(world.store.log_in(bob.id, Device::default()).await.unwrap());
        }
        assert!(tokens.iter().all(|issued| issued.ended.is_empty()));
        let uses = Uses::default();
        // An hour later all but the eighth are in use.
        let later = crate::ids::unix_ms() + HOUR_MS;
        let idle = tokens.remove(7);
        for issued in &tokens {
            assert!(uses.note(hash_of(&issued.token), 0, later));
        }
        assert!(world.store.authenticate(&idle.token).await.unwrap().is_some());
        world.store.write(move |tx| Box::pin(async move { uses.write(tx.sql()).await })).await.unwrap();
        let another = world.store.log_in(bob.id, Device::default()).await.unwrap();
        assert_eq!(another.ended, [hash_of(&idle.token)]);
        assert_eq!(world.store.authenticate(&idle.token).await.unwrap(), None);
        for issued in tokens.iter().chain([&another]) {
            assert!(world.store.authenticate(&issued.token).await.unwrap().is_some());
        }
        assert_eq!(world.store.log_ins_of(bob.id).await.unwrap().len(), SESSIONS as usize);
    }

    #[test]
    fn a_token_in_use_is_noted_once_an_hour_and_the_notes_are_bounded() {
        let uses = Uses::default();
        let hash = hash_of("token");
        assert!(!uses.note(hash, HOUR_MS, 2 * HOUR_MS - 1));
        assert!(uses.note(hash, HOUR_MS, 2 * HOUR_MS));
        for _ in 1..NOTED {
            assert!(uses.note(hash, 0, HOUR_MS));
        }
        assert!(!uses.note(hash, 0, HOUR_MS));
        uses.take();
        assert!(uses.note(hash, 0, HOUR_MS));
    }
}
