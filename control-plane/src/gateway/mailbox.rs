//! What a session has been told: the dispatches that wait for its socket and those that a resume may ask for again.
//!
//! One ring serves both. The hub pushes at the end, the socket's task reads on, a heartbeat lets go of what the client has.
//! The number of a dispatch is its place, so the ring holds shared pointers only: an event costs a session 8 bytes. The hub
//! never waits: a mailbox that is too full says so, and the session's connection (or the session) ends.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Dispatches that may wait for a connected socket. A client that is this far behind is not reading; it may resume.
pub const MAX_BACKLOG: usize = 2_048;
/// The same in bytes: some 4,000 messages of ordinary length.
pub const MAX_BACKLOG_BYTES: usize = 4 << 20;
/// While nobody is connected more may gather, so that a client which was closed for being slow still finds everything. Beyond
/// this the session is lost and its client starts anew.
pub const MAX_DETACHED: usize = 4 * MAX_BACKLOG;
pub const MAX_DETACHED_BYTES: usize = 2 * MAX_BACKLOG_BYTES;
/// Dispatches that were sent, but that the client's heartbeats have not confirmed yet. A socket that breaks has at most its
/// TCP buffers in flight; two heartbeats of a busy session fit as well.
pub const MAX_HISTORY: usize = 4_096;
pub const MAX_HISTORY_BYTES: usize = 1 << 20;

/// An event in the form that goes to sockets: everything but the number, encoded once for all sessions.
#[derive(Debug, PartialEq, Eq)]
pub struct Dispatch {
    pub name: &'static str,
    /// The JSON of `d`.
    pub body: Bytes,
}

impl Dispatch {
    pub fn new(name: &'static str, d: &impl Serialize) -> Arc<Self> {
        let body = serde_json::to_vec(d).expect("wire objects have string keys and serialize without fail");
        Arc::new(Self { name, body: body.into() })
    }

    /// The frame up to the body, which a single `}` follows.
    pub fn head(&self, seq: u64) -> String {
        format!(r#"{{"t":"{}","s":{seq},"op":0,"d":"#, self.name)
    }
}

/// How a push found the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    Fine,
    /// More waits than a connected client may leave.
    TooSlow,
    /// More waits than a session may keep.
    Lost,
}

/// Why a mailbox cannot replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewindError {
    /// What follows that number is not kept any more.
    Gone,
    /// The number was never sent.
    Future,
}

/// A mailbox that outlives its process: numbers and dispatches as [`Mailbox`] has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptMail {
    floor: u64,
    sent: u64,
    unkept: u64,
    /// Names and bodies.
    ring: Vec<(String, String)>,
}

impl KeptMail {
    /// Of names and bodies.
    pub fn bytes(&self) -> usize {
        self.ring.iter().map(|(name, body)| name.len() + body.len()).sum()
    }
}

/// The names of dispatches that another process made, each made `'static` once. There are some eighty of them.
#[derive(Default)]
pub struct Names(HashMap<String, &'static str>);

impl Names {
    /// More are not ours.
    const MAX: usize = 500;

    pub(crate) fn of(&mut self, name: String) -> Option<&'static str> {
        if let Some(known) = self.0.get(&name) {
            return Some(known);
        }
        if self.0.len() >= Self::MAX {
            return None;
        }
        let known: &'static str = Box::leak(name.clone().into_boxed_str());
        self.0.insert(name, known);
        Some(known)
    }
}

#[derive(Debug, Default)]
pub struct Mailbox {
    ring: VecDeque<Arc<Dispatch>>,
    /// The number of the last dispatch that was let go of; the ring starts with the next.
    floor: u64,
    /// The number of the last dispatch that a socket took.
    sent: u64,
    /// The number of the last dispatch that waited when the socket connected: READY and the guilds, or what a resume replays.
    /// It may be larger than any limit on what waits.
    greeted: u64,
    /// The number of the last dispatch that is not kept once it is sent: a client that breaks off during its greeting starts
    /// anew, and an idle session need not hold a copy of its guilds.
    unkept: u64,
    /// Whether the greeting is complete: until then nothing is too much.
    has_begun: bool,
    /// What of `unsent_bytes` is of such dispatches.
    unkept_bytes: usize,
    unsent_bytes: usize,
    sent_bytes: usize,
}

impl Mailbox {
    pub fn keep(&self) -> KeptMail {
        let text = |dispatch: &Arc<Dispatch>| {
            (dispatch.name.to_owned(), String::from_utf8(dispatch.body.to_vec()).expect("JSON is UTF-8"))
        };
        KeptMail { floor: self.floor, sent: self.sent, unkept: self.unkept, ring: self.ring.iter().map(text).collect() }
    }

    /// `None`: the numbers do not belong together.
    pub fn restore(kept: KeptMail, names: &mut Names) -> Option<Self> {
        let KeptMail { floor, sent, unkept, ring } = kept;
        let ring: Option<VecDeque<_>> =
            ring.into_iter().map(|(name, body)| Some(Arc::new(Dispatch { name: names.of(name)?, body: body.into() }))).collect();
        let ring = ring?;
        let last = floor.checked_add(ring.len() as u64)?;
        let waiting = usize::try_from(sent.checked_sub(floor)?).ok().filter(|_| sent <= last && unkept <= last)?;
        let bytes = |from: usize, to: usize| ring.range(from..to.max(from)).map(|dispatch| dispatch.body.len()).sum();
        let unkept_end = usize::try_from(unkept.saturating_sub(floor)).ok()?;
        let (sent_bytes, unsent_bytes) = (bytes(0, waiting), bytes(waiting, ring.len()));
        let unkept_bytes = bytes(waiting, unkept_end);
        Some(Self { floor, sent, greeted: last, unkept, has_begun: true, unkept_bytes, unsent_bytes, sent_bytes, ring })
    }

    /// The sequence number of the newest dispatch.
    pub fn last(&self) -> u64 {
        self.floor + self.ring.len() as u64
    }

    pub fn push(&mut self, dispatch: Arc<Dispatch>) -> Fill {
        self.unsent_bytes += dispatch.body.len();
        self.ring.push_back(dispatch);
        if !self.has_begun {
            return Fill::Fine;
        }
        let last = self.last();
        let kept = last - self.sent.max(self.unkept);
        // However often a client connects without reading, what is kept for it stays within this.
        if kept > MAX_DETACHED as u64 || self.unsent_bytes - self.unkept_bytes > MAX_DETACHED_BYTES {
            return Fill::Lost;
        }
        let behind = last - self.sent.max(self.greeted);
        let is_greeted = self.sent >= self.greeted;
        if behind > MAX_BACKLOG as u64 || (is_greeted && self.unsent_bytes > MAX_BACKLOG_BYTES) {
            return Fill::TooSlow;
        }
        Fill::Fine
    }

    /// Everything pushed so far waits because nobody was connected, not because a client is slow.
    pub fn end_greeting(&mut self) {
        self.greeted = self.last();
    }

    /// Everything pushed so far is READY and the guilds of a new session.
    pub fn begin(&mut self) {
        self.end_greeting();
        self.has_begun = true;
        self.unkept = self.last();
        self.unkept_bytes = self.unsent_bytes;
    }

    /// The next dispatch for the socket, with its number.
    pub fn take_next(&mut self) -> Option<(u64, Arc<Dispatch>)> {
        let dispatch = self.ring.get((self.sent - self.floor) as usize)?.clone();
        self.sent += 1;
        self.unsent_bytes -= dispatch.body.len();
        self.sent_bytes += dispatch.body.len();
        if self.sent <= self.unkept {
            self.unkept_bytes -= dispatch.body.len();
        }
        let next = (self.sent, dispatch);
        while self.sent <= self.unkept && self.floor < self.sent {
            self.let_go();
        }
        while (self.sent - self.floor) as usize > MAX_HISTORY || self.sent_bytes > MAX_HISTORY_BYTES {
            self.let_go();
        }
        Some(next)
    }

    pub fn is_drained(&self) -> bool {
        self.sent == self.last()
    }

    /// A heartbeat said that the client has everything up to `seq`.
    pub fn acknowledge(&mut self, seq: u64) {
        while self.floor < seq.min(self.sent) {
            self.let_go();
        }
        if self.ring.is_empty() {
            // An idle session keeps no memory of its busy past.
            self.ring = VecDeque::new();
        }
    }

    /// A resuming client has everything up to `seq`: what follows is sent again.
    pub fn rewind(&mut self, seq: u64) -> Result<(), RewindError> {
        if seq < self.floor {
            return Err(RewindError::Gone);
        }
        if seq > self.sent {
            return Err(RewindError::Future);
        }
        let again: usize =
            self.ring.range((seq - self.floor) as usize..(self.sent - self.floor) as usize).map(|d| d.body.len()).sum();
        self.sent = seq;
        self.sent_bytes -= again;
        self.unsent_bytes += again;
        self.acknowledge(seq);
        Ok(())
    }

    fn let_go(&mut self) {
        if let Some(dispatch) = self.ring.pop_front() {
            self.floor += 1;
            self.sent_bytes -= dispatch.body.len();
        }
    }
}
