//! Who starts a session waits for a turn while many do.
//!
//! A new session is read from the database in some ten steps. When the clients of a whole control plane come at once, because it was
//! killed, they would all be late, and everybody's requests with them; so a few are read at a time, in the order in which they came.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How long a client waits for its turn. Libraries that wait for READY do so for 15 seconds and more; after this it is asked to try
/// again, which each does after a while of its own.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Its queue is as long as there are gateway sockets.
pub struct Turnstile {
    turns: Semaphore,
    waiting: AtomicUsize,
}

/// Counts one who waits, also if its connection ends meanwhile.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Turnstile {
    pub const fn new(at_once: usize) -> Self {
        Self { turns: Semaphore::const_new(at_once), waiting: AtomicUsize::new(0) }
    }

    /// A turn, until it is dropped. `None`: there was none in time.
    pub async fn pass(&self, patience: Duration) -> Option<SemaphorePermit<'_>> {
        let _waiting = Waiting::begin(&self.waiting);
        timeout(patience, self.turns.acquire()).await.ok()?.ok()
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::Turnstile;
    use futures_util::FutureExt;
    use std::time::Duration;

    #[tokio::test]
    async fn turns_come_in_the_order_of_those_who_wait_and_not_to_those_who_have_left() {
        let turnstile = Turnstile::new(2);
        let pass = || turnstile.pass(Duration::from_secs(600)).boxed();
        let (first, second) = (pass().await, pass().await);
        assert!(first.is_some() && second.is_some());
        let (mut third, mut fourth, mut fifth) = (pass(), pass(), pass());
        assert!((&mut third).now_or_never().is_none());
        assert!((&mut fourth).now_or_never().is_none());
        assert!((&mut fifth).now_or_never().is_none());
        assert_eq!(turnstile.waiting(), 3);
        drop(third);
        drop(first);
        assert!((&mut fifth).now_or_never().is_none(), "it is the fourth's turn");
        drop(fourth.await.expect("it is its turn"));
        let fifth = fifth.await;
        assert!(fifth.is_some());
        assert_eq!(turnstile.waiting(), 0);
        assert!(turnstile.pass(Duration::ZERO).await.is_none(), "nobody waits for ever");
        drop((second, fifth));
        assert!(turnstile.pass(Duration::ZERO).await.is_some());
    }
}
