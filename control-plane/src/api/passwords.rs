//! Password hashes: argon2id on the blocking pool, a few at a time.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// Hashes at once: each takes 19 MiB and a core for about 20 ms. More would starve everything else; further log-ins wait.
const AT_ONCE: usize = 2;
/// Requests that hash or wait for it. The last of them waits about a second; further ones are told to come back.
const WAITING: usize = 64;
/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// Bytes of a hash and of its salt: argon2's own recommendations (RFC 9106 §3.1).
const HASH_LEN: usize = 32;
const SALT_LEN: usize = 16;

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords wait to be hashed")]
pub struct Busy;

#[derive(Clone)]
pub struct Passwords {
    waiting: Arc<Semaphore>,
    permits: Arc<Semaphore>,
    memory: Memory,
    /// A hash of nothing that anyone knows: an unknown account costs as much time as a wrong password.
    decoy: Arc<str>,
}

/// The blocks that hashing works in, used again: the allocator would keep what each thread of the blocking pool gives back,
/// 19 MiB apiece. There are never more sets than hashes run at once.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<Vec<Block>>>>);

impl Memory {
    fn work(&self, password: &[u8], salt: &[u8], params: Params) -> Option<[u8; HASH_LEN]> {
        let sets = || self.0.lock().expect("no code panics while it holds the list");
        let mut blocks = sets().pop().unwrap_or_default();
        blocks.resize(params.block_count(), Block::default());
        let mut out = [0; HASH_LEN];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let outcome = argon2.hash_password_into_with_memory(password, salt, &mut out, &mut blocks);
        sets().push(blocks);
        outcome.is_ok().then_some(out)
    }

    /// A PHC string.
    fn hash(&self, password: &[u8]) -> String {
        let mut salt = [0; SALT_LEN];
        aws_lc_rs::rand::fill(&mut salt).expect("the system has randomness");
        let params = Params::new(MEMORY_KIB, PASSES, 1, Some(HASH_LEN)).expect("the constants lie within argon2's limits");
        let hash = self.work(password, &salt, params).expect("argon2 takes any password");
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${hash}")
    }

    fn fits(&self, password: &[u8], hash: &str) -> bool {
        let Ok(parsed) = PasswordHash::new(hash) else { return false };
        let (Some(salt), Some(expected)) = (&parsed.salt, &parsed.hash) else { return false };
        let Ok(params) = Params::try_from(&parsed) else { return false };
        self.work(password, salt.as_ref(), params)
            .is_some_and(|made| constant_time::verify_slices_are_equal(&made, expected.as_ref()).is_ok())
    }
}

impl Passwords {
    pub fn new() -> Self {
        let mut secret = [0; 16];
        aws_lc_rs::rand::fill(&mut secret).expect("the system has randomness");
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let memory = Memory::default();
        let decoy = memory.hash(&secret).into();
        Self { waiting: semaphore(WAITING), permits: semaphore(AT_ONCE), memory, decoy }
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
        let memory = self.memory.clone();
        self.run(move || memory.hash(password.as_bytes())).await
    }

    /// Whether the password fits. Without a hash to compare it never does, and takes as long to say so.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Busy> {
        let (memory, decoy) = (self.memory.clone(), self.decoy.clone());
        let is_known = hash.is_some();
        let fits = self.run(move || memory.fits(password.as_bytes(), hash.as_deref().unwrap_or(&decoy))).await?;
        Ok(fits && is_known)
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, Busy, Passwords, WAITING};
    use std::future::Future;
    use std::task::Poll;

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
    async fn hashing_works_in_the_same_memory_again() {
        let passwords = Passwords::new();
        for _ in 0..3 {
            passwords.hash("one after the other".to_owned()).await.unwrap();
        }
        assert_eq!(passwords.memory.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn hashes_of_other_libraries_fit_too() {
        // Made by the reference implementation's command: argon2 somesalt -id -v 13 -t 2 -m 16 -p 1 (its test vectors).
        let known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(Passwords::new().verify("password".to_owned(), Some(known.to_owned())).await.unwrap());
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_back() {
        let passwords = Passwords::new();
        let verify = || passwords.verify("x".to_owned(), Some("no hash, so this is quick".to_owned()));
        let held = passwords.permits.clone().acquire_many_owned(AT_ONCE as u32).await.unwrap();
        let mut crowd: Vec<_> = (0..WAITING).map(|_| Box::pin(verify())).collect();
        for one in &mut crowd {
            let polled = std::future::poll_fn(|context| Poll::Ready(one.as_mut().poll(context))).await;
            assert!(polled.is_pending(), "it waits for its turn");
        }
        for _ in 0..3 {
            assert_eq!(verify().await, Err(Busy));
        }
        drop(held);
        assert!(futures_util::future::join_all(crowd).await.iter().all(|outcome| *outcome == Ok(false)));
        assert_eq!(verify().await, Ok(false), "there is room again");
    }
}
