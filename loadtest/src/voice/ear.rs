//! What happens to audio that arrived: kept for a test to look at, or only counted for a load generator.

use super::roster::Roster;
use bytes::Bytes;
use guildhall_protocol::UserId;
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc;

/// Packets nobody asked for yet: a minute of ten speakers. Later ones are dropped and counted.
const HEARD: usize = 30_000;
/// A payload that is measured starts with the moment it was sent: nanoseconds since the tally's start.
pub const STAMP: usize = 8;

/// One Opus packet as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub ssrc: u32,
    /// Who speaks under this SSRC, if the voice gateway said so before the packet came; a bot drops the packet otherwise.
    pub user: Option<UserId>,
    pub sequence: u16,
    pub timestamp: u32,
    pub payload: Bytes,
    pub at: Instant,
}

/// Counters of one peer's media path.
#[derive(Default)]
pub struct Counters {
    pub packets: AtomicU64,
    /// Did not open: a wrong tag or not RTP.
    pub bad: AtomicU64,
    /// Came under an SSRC that nobody announced.
    pub unannounced: AtomicU64,
    /// Sealed with a nonce that the server used before, or that we use: a break of the cipher.
    pub reused_nonces: AtomicU64,
    /// Dropped here, because nobody listened.
    pub unread: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a whole run of listeners received, shared by them.
pub struct Tally {
    pub packets: AtomicU64,
    pub start: Instant,
    delays_ns: Mutex<Histogram<u64>>,
}

impl Tally {
    pub fn new() -> Arc<Self> {
        let histogram = Histogram::new_with_bounds(100, 60_000_000_000, 3).expect("fixed bounds are valid");
        Arc::new(Self { packets: AtomicU64::new(0), start: Instant::now(), delays_ns: Mutex::new(histogram) })
    }

    /// What a measured payload starts with.
    pub fn stamp(&self) -> [u8; STAMP] {
        (self.start.elapsed().as_nanos() as u64).to_be_bytes()
    }

    pub fn received(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Takes what was measured so far and starts anew.
    pub fn take_delays(&self) -> Histogram<u64> {
        let mut delays = self.delays_ns.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = delays.clone();
        delays.reset();
        taken
    }

    pub(crate) fn note(&self, payload: &[u8]) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        let now = self.start.elapsed().as_nanos() as u64;
        if let Some(stamp) = payload.first_chunk::<STAMP>() {
            let delay = now.saturating_sub(u64::from_be_bytes(*stamp));
            self.delays_ns.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(delay);
        }
    }
}

/// Where a peer's audio goes.
#[derive(Clone)]
pub enum Delivery {
    /// To [`super::Peer::hear`].
    Queue,
    /// Only counted and timed.
    Tally(Arc<Tally>),
}

/// The receiving end inside a media task.
pub(super) struct Ear {
    roster: Arc<Roster>,
    pub counters: Arc<Counters>,
    kind: Kind,
}

enum Kind {
    Queue(mpsc::Sender<Heard>),
    Tally(Arc<Tally>),
}

impl Ear {
    pub fn new(roster: Arc<Roster>, delivery: &Delivery) -> (Self, mpsc::Receiver<Heard>) {
        let (queue, heard) = mpsc::channel(HEARD);
        let kind = match delivery {
            Delivery::Queue => Kind::Queue(queue),
            Delivery::Tally(tally) => Kind::Tally(tally.clone()),
        };
        (Self { roster, counters: Arc::default(), kind }, heard)
    }

    pub fn hear(&self, ssrc: u32, sequence: u16, timestamp: u32, payload: Bytes) {
        Counters::add(&self.counters.packets);
        let user = self.roster.user(ssrc);
        if user.is_none() {
            Counters::add(&self.counters.unannounced);
        }
        match &self.kind {
            Kind::Tally(tally) => tally.note(&payload),
            Kind::Queue(queue) => {
                let heard = Heard { ssrc, user, sequence, timestamp, payload, at: Instant::now() };
                if queue.try_send(heard).is_err() {
                    Counters::add(&self.counters.unread);
                }
            }
        }
    }
}
