//! Tokens: who is calling. The database holds their SHA-256 only; a small cache answers for tokens in use.

use super::sessions::Uses;
use super::users::user_of;
use super::{Result, Store};
use crate::event::{Ended, Event, Topic};
use crate::ids::unix_ms;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use guildhall_protocol::model::User;
use guildhall_protocol::{ApplicationId, UserId};
use sqlx::Row;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Tokens per generation of the cache; a token lives for one to two generations. About 500 bytes each.
const GENERATION: usize = 8192;
/// 27 characters of the alphabet below: 160 bits.
const RANDOM_BYTES: usize = 20;

pub type TokenHash = [u8; 32];

/// Who sent a request or identified on a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub user: User,
    /// People only; may be absent for them too.
    pub email: Option<String>,
    /// The application that a bot belongs to.
    pub application_id: Option<ApplicationId>,
    /// The application's flags: which privileged intents it may ask for.
    pub application_flags: u64,
    /// Names the token without being it: what a session is bound to.
    pub token_hash: TokenHash,
}

impl Caller {
    pub const fn id(&self) -> UserId {
        self.user.id
    }

    pub const fn is_bot(&self) -> bool {
        self.user.bot
    }
}

/// A secret that cannot be guessed, in characters that fit into a path.
pub fn random_text() -> String {
    let mut random = [0; RANDOM_BYTES];
    aws_lc_rs::rand::fill(&mut random).expect("the system has randomness");
    URL_SAFE_NO_PAD.encode(random)
}

/// Makes a token: the user's id, the moment, and the secret part. Tools read the id from the first part, so it is there.
pub fn make_token(user_id: UserId, unix_ms: u64) -> String {
    format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(user_id.to_string()),
        URL_SAFE_NO_PAD.encode((unix_ms / 1000).to_be_bytes()),
        random_text()
    )
}

pub fn hash_of(token: &str) -> TokenHash {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A token in use.
#[derive(Clone)]
struct Known {
    caller: Arc<Caller>,
    /// When its last use was noted, Unix milliseconds.
    used_at: u64,
}

/// Two generations: when the young one is full it becomes the old one and the old one is forgotten.
#[derive(Default)]
struct Generations {
    young: HashMap<TokenHash, Known>,
    old: HashMap<TokenHash, Known>,
    /// Counts invalidations, so that a read that started before one does not bring back what it removed.
    epoch: u64,
}

#[derive(Default)]
pub(super) struct Cache {
    generations: Mutex<Generations>,
    /// For the writer, which stores them.
    pub uses: Arc<Uses>,
}

impl Cache {
    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations.lock().expect("nothing panics while it holds the token cache")
    }

    /// Whoever is found has used the token now.
    fn find(&self, hash: &TokenHash, now_ms: u64) -> Result<Arc<Caller>, u64> {
        let mut cache = self.lock();
        if let Some(known) = cache.old.remove(hash) {
            cache.insert(known);
        }
        let epoch = cache.epoch;
        let known = cache.young.get_mut(hash).ok_or(epoch)?;
        if self.uses.note(*hash, known.used_at, now_ms) {
            known.used_at = now_ms;
        }
        Ok(known.caller.clone())
    }

    fn remember(&self, known: Known, read_in_epoch: u64) {
        let mut cache = self.lock();
        if cache.epoch == read_in_epoch {
            cache.insert(known);
        }
    }

    /// Forgets every token of the user: it was revoked, or what it says of the user changed.
    pub fn forget(&self, user_id: UserId) {
        let mut cache = self.lock();
        cache.epoch += 1;
        cache.young.retain(|_, known| known.caller.id() != user_id);
        cache.old.retain(|_, known| known.caller.id() != user_id);
    }
}

impl Cache {
    fn forget_all(&self) {
        let mut cache = self.lock();
        *cache = Generations { epoch: cache.epoch + 1, ..Generations::default() };
    }
}

impl Generations {
    fn insert(&mut self, known: Known) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(known.caller.token_hash, known);
    }
}

impl Store {
    /// Whom the bare token (without `Bot `) belongs to; `None` if it is unknown or revoked.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Arc<Caller>>> {
        let caller = self.find_caller(token).await?;
        if let Some(caller) = &caller {
            self.saw(caller.id());
        }
        Ok(caller)
    }

    async fn find_caller(&self, token: &str) -> Result<Option<Arc<Caller>>> {
        let hash = hash_of(token);
        let now_ms = unix_ms();
        let epoch = match self.0.tokens.find(&hash, now_ms) {
            Ok(caller) => return Ok(Some(caller)),
            Err(epoch) => epoch,
        };
        let row = sqlx::query(
            "SELECT u.id, u.username, u.global_name, u.avatar, u.is_bot, u.flags, c.email, a.id AS application_id, a.flags AS application_flags, \
             COALESCE(t.used_at, t.created_at) AS used_at \
             FROM tokens t JOIN users u ON u.id = t.user_id LEFT JOIN credentials c ON c.user_id = u.id \
             LEFT JOIN applications a ON a.bot_id = u.id WHERE t.hash = $1",
        )
        .bind(&hash[..])
        .fetch_optional(self.readers())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let caller = Arc::new(Caller {
            user: user_of(&row)?,
            email: row.try_get("email")?,
            application_id: row.try_get::<Option<i64>, _>("application_id")?.map(ApplicationId::from_sql),
            application_flags: row.try_get::<Option<i64>, _>("application_flags")?.unwrap_or(0) as u64,
            token_hash: hash,
        });
        let mut used_at = row.try_get::<i64, _>("used_at")? as u64;
        if self.0.tokens.uses.note(hash, used_at, now_ms) {
            used_at = now_ms;
        }
        self.0.tokens.remember(Known { caller: caller.clone(), used_at }, epoch);
        Ok(Some(caller))
    }

    /// Makes the token worthless.
    pub async fn revoke_token(&self, user_id: UserId, hash: TokenHash) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM tokens WHERE hash = $1").bind(&hash[..]).execute(tx.sql()).await?;
                end_log_ins(tx, user_id, &[hash]).await
            })
        })
        .await?;
        self.0.tokens.forget(user_id);
        Ok(())
    }

    /// Another control plane may have committed it: what is remembered of the account is out of date.
    pub fn hear(&self, event: &Event) {
        if let Topic::User(user) = event.topic() {
            self.0.tokens.forget(user);
        }
    }

    /// After events were missed.
    pub fn forget_callers(&self) {
        self.0.tokens.forget_all();
    }
}

/// Tells every control plane that these tokens are worthless: their sessions end.
pub(super) async fn end_log_ins(tx: &mut super::Tx<'_>, user_id: UserId, hashes: &[TokenHash]) -> Result<()> {
    if !hashes.is_empty() {
        tx.emit(Event::Access { user_id, ended: Ended::These(hashes.to_vec()) }).await?;
    }
    Ok(())
}

/// A bot's token; people's come with a log-in.
pub(super) async fn insert_token(tx: &mut super::Tx<'_>, user_id: UserId, token: &str) -> Result<()> {
    sqlx::query("INSERT INTO tokens (hash, user_id, created_at) VALUES ($1, $2, $3)")
        .bind(hash_of(token).to_vec())
        .bind(user_id.to_sql())
        .bind(tx.now_ms as i64)
        .execute(tx.sql())
        .await?;
    Ok(())
}

/// Makes every token and stream key of the account worthless; its sessions end.
pub(super) async fn delete_tokens(tx: &mut super::Tx<'_>, user_id: UserId) -> Result<()> {
    sqlx::query("DELETE FROM tokens WHERE user_id = $1").bind(user_id.to_sql()).execute(tx.sql()).await?;
    sqlx::query("DELETE FROM stream_keys WHERE user_id = $1").bind(user_id.to_sql()).execute(tx.sql()).await?;
    tx.emit(Event::Access { user_id, ended: Ended::All }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Cache, Caller, GENERATION, Known, TokenHash, hash_of, make_token};
    use guildhall_protocol::UserId;
    use guildhall_protocol::model::User;
    use std::sync::Arc;

    fn known(number: u64) -> Known {
        let caller = Arc::new(Caller {
            user: User::new(UserId::new(number), "someone".to_owned(), None, false),
            email: None,
            application_id: None,
            application_flags: 0,
            token_hash: hash(number),
        });
        Known { caller, used_at: 0 }
    }

    fn hash(number: u64) -> TokenHash {
        hash_of(&number.to_string())
    }

    #[test]
    fn the_cache_stays_bounded_and_keeps_who_keeps_calling() {
        let cache = Cache::default();
        cache.remember(known(0), 0);
        for number in 1..=3 * GENERATION as u64 {
            cache.remember(known(number), 0);
            assert!(cache.find(&hash(0), 0).is_ok());
        }
        let generations = cache.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
    }

    #[test]
    fn what_was_read_before_a_revocation_is_not_remembered_after_it() {
        let cache = Cache::default();
        let Err(epoch) = cache.find(&hash(1), 0) else { panic!("nothing is known yet") };
        cache.forget(UserId::new(1));
        cache.remember(known(1), epoch);
        assert!(cache.find(&hash(1), 0).is_err());
        cache.remember(known(1), epoch + 1);
        assert!(cache.find(&hash(1), 0).is_ok());
        cache.forget(UserId::new(2));
        assert!(cache.find(&hash(1), 0).is_ok());
        cache.forget(UserId::new(1));
        assert!(cache.find(&hash(1), 0).is_err());
    }

    #[test]
    fn two_tokens_of_one_moment_differ() {
        assert_ne!(make_token(UserId::new(1), 1), make_token(UserId::new(1), 1));
    }
}
