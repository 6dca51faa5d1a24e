//! Password hashes: argon2id on the blocking pool, a few at a time.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Hashes at once: each takes 19 MiB and a core for about 20 ms. More would starve everything else; further log-ins wait.
const AT_ONCE: usize = 2;
/// Requests that hash or wait for it. The last of them waits about a second; further ones are told to come back.
const WAITING: usize = 64;
/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords wait to be hashed")]
pub struct Busy;

#[derive(Clone)]
pub struct Passwords {
    waiting: Arc<Semaphore>,
    permits: Arc<Semaphore>,
    /// A hash of nothing that anyone knows: an unknown account costs as much time as a wrong password.
    decoy: Arc<str>,
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("the constants lie within argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &[u8]) -> String {
    argon2().hash_password(password).expect("argon2 takes any password, and the system has randomness for the salt").to_string()
}

impl Passwords {
    pub fn new() -> Self {
        let mut secret = [0; 16];
        aws_lc_rs::rand::fill(&mut secret).expect("the system has randomness");
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { waiting: semaphore(WAITING), permits: semaphore(AT_ONCE), decoy: hash(&secret).into() }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let _place = self.waiting.try_acquire().map_err(|_| Busy)?;
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let work = move || {
            let _permit = permit;
            work()
        };
        Ok(tokio::task::spawn_blocking(work).await.expect("hashing does not panic"))
    }

    pub async fn hash(&self, password: String) -> Result<String, Busy> {
        self.run(move || hash(password.as_bytes())).await
    }

    /// Whether the password fits. Without a hash to compare it never does, and takes as long to say so.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Busy> {
        let decoy = self.decoy.clone();
        let is_known = hash.is_some();
        let fits = self
            .run(move || {
                let text = hash.as_deref().unwrap_or(&decoy);
                let parsed = PasswordHash::new(text);
                parsed.is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(fits && is_known)
    }
}

#[cfg(test)]
mod tests {
    use super::{Busy, Passwords, WAITING};

    #[tokio::test]
    async fn only_the_right_password_fits_and_nothing_fits_nobody() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let verify = async |password: &str, hash: Option<&str>| {
            passwords.verify(password.to_owned(), hash.map(str::to_owned)).await.unwrap()
        };
        assert!(verify("correct horse", Some(&hash)).await);
        assert!(!verify("wrong horse", Some(&hash)).await);
        assert!(!verify("correct horse", None).await);
        assert!(!verify("correct horse", Some("not a hash")).await);
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_back() {
        let passwords = Passwords::new();
        let crowd = (0..WAITING + 3).map(|_| passwords.verify("x".to_owned(), Some("no hash, so this is quick".to_owned())));
        let outcomes = futures_util::future::join_all(crowd).await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Err(Busy)).count(), 3);
    }
}
