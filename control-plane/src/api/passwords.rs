//! Password hashes: argon2id on the blocking pool, a few at a time.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Hashes at once: each takes 19 MiB and a core for about 20 ms. More would starve everything else; further log-ins wait.
const AT_ONCE: usize = 2;
/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

#[derive(Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    /// A hash of nothing that anyone knows: an unknown account costs as much time as a wrong password.
    decoy: Arc<str>,
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("the constants lie within argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &[u8]) -> anyhow::Result<String> {
    Ok(argon2().hash_password(password).map_err(|error| anyhow::anyhow!("{error}"))?.to_string())
}

impl Passwords {
    pub fn new() -> anyhow::Result<Self> {
        let mut secret = [0; 16];
        aws_lc_rs::rand::fill(&mut secret)?;
        Ok(Self { permits: Arc::new(Semaphore::new(AT_ONCE)), decoy: hash(&secret)?.into() })
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let work = move || {
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.expect("hashing does not panic")
    }

    pub async fn hash(&self, password: String) -> anyhow::Result<String> {
        self.run(move || hash(password.as_bytes())).await
    }

    /// Whether the password fits. Without a hash to compare it never does, and takes as long to say so.
    pub async fn verify(&self, password: String, hash: Option<String>) -> bool {
        let decoy = self.decoy.clone();
        let is_known = hash.is_some();
        let fits = self
            .run(move || {
                let text = hash.as_deref().unwrap_or(&decoy);
                let parsed = PasswordHash::new(text);
                parsed.is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await;
        fits && is_known
    }
}

#[cfg(test)]
mod tests {
    use super::Passwords;

    #[tokio::test]
    async fn only_the_right_password_fits_and_nothing_fits_nobody() {
        let passwords = Passwords::new().unwrap();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await);
        assert!(!passwords.verify("wrong horse".to_owned(), Some(hash)).await);
        assert!(!passwords.verify("correct horse".to_owned(), None).await);
        assert!(!passwords.verify("correct horse".to_owned(), Some("not a hash".to_owned())).await);
    }
}
