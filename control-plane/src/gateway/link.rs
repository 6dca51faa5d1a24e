//! The one thing that a session and its connections share: the mailbox, and a bell.

use super::mailbox::{Dispatch, Fill, KeptMail, Mailbox, Names, RewindError};
use guildhall_protocol::gateway::CloseCode;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// Why the hub ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Another connection resumed the session; this one is a leftover.
    Replaced,
    /// Too slow: closed so that the client resumes.
    TooSlow,
    /// Op 7: the server goes away; the client comes back and resumes or identifies anew.
    Reconnect,
    /// The session is no more: its token was revoked, or an operator ended it.
    Close(CloseCode),
}

/// Names one connection of a session, so that a leftover cannot detach its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(u64);

#[derive(Default)]
pub struct Link {
    shared: Mutex<Shared>,
    bell: Notify,
    /// Rings for a connection that is stuck in a write and cannot hear the bell.
    cut: Notify,
}

#[derive(Default)]
struct Shared {
    mailbox: Mailbox,
    /// Counts connections; the last one is the current one.
    connections: u64,
    is_connected: bool,
    /// Nothing is taken any more: what waits has been written down for another process.
    is_held: bool,
    ending: Option<Ending>,
}

/// What a connection finds when the bell rings.
pub enum Mail {
    /// In order; empty when there is nothing (left) to send.
    Dispatches(Vec<(u64, Arc<Dispatch>)>),
    Ending(Ending),
}

impl Link {
    pub fn keep(&self) -> KeptMail {
        self.lock().mailbox.keep()
    }

    /// A link that waits for its client.
    pub fn restore(kept: KeptMail, names: &mut Names) -> Option<Self> {
        let mailbox = Mailbox::restore(kept, names)?;
        Some(Self { shared: Mutex::new(Shared { mailbox, ..Shared::default() }), ..Self::default() })
    }

    /// Has the mailbox stay as it is, as far as its connection is concerned.
    pub fn hold(&self) {
        self.lock().is_held = true;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("nothing panics while it holds a mailbox")
    }

    /// Adds a dispatch; `false` if the session cannot be kept any longer.
    pub fn push(&self, dispatch: Arc<Dispatch>) -> bool {
        let mut shared = self.lock();
        match shared.mailbox.push(dispatch) {
            Fill::Fine => {}
            Fill::Lost => return false,
            Fill::TooSlow if shared.is_connected => {
                shared.ending.get_or_insert(Ending::TooSlow);
                self.cut.notify_one();
            }
            Fill::TooSlow => {}
        }
        if shared.is_connected {
            drop(shared);
            self.bell.notify_one();
        }
        true
    }

    /// A new connection takes over, with the client's last number if it resumes. What waits (READY and the guilds, or what
    /// was missed) counts towards no limit.
    pub fn connect(&self, resume_after: Option<u64>) -> Result<ConnectionId, RewindError> {
        let mut shared = self.lock();
        match resume_after {
            None => shared.mailbox.begin(),
            Some(seq) => {
                shared.mailbox.rewind(seq)?;
                shared.mailbox.end_greeting();
            }
        }
        shared.connections += 1;
        shared.is_connected = true;
        shared.ending = None;
        let connection = ConnectionId(shared.connections);
        drop(shared);
        // Wakes the leftover, if there is one, and lets the new connection look once.
        self.bell.notify_waiters();
        self.bell.notify_one();
        Ok(connection)
    }

    /// The connection is gone. `false`: it was a leftover, and its successor lives.
    pub fn disconnect(&self, connection: ConnectionId) -> bool {
        let mut shared = self.lock();
        let is_current = shared.connections == connection.0;
        if is_current {
            shared.is_connected = false;
        } else {
            // A ring meant for the successor may have woken this leftover instead.
            self.bell.notify_one();
        }
        is_current
    }

    pub fn end(&self, ending: Ending) {
        self.lock().ending = Some(ending);
        if ending == Ending::TooSlow {
            self.cut.notify_one();
        }
        self.bell.notify_waiters();
        self.bell.notify_one();
    }

    pub fn acknowledge(&self, seq: u64) {
        self.lock().mailbox.acknowledge(seq);
    }

    /// Has the connection look again.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Ends when the connection has fallen so far behind that its write is not worth waiting for.
    pub async fn cut_off(&self) {
        // A ring may be left over from a connection before this one.
        while self.lock().ending != Some(Ending::TooSlow) {
            self.cut.notified().await;
        }
    }

    /// Takes at most `limit` dispatches for the socket.
    pub fn take(&self, connection: ConnectionId, limit: usize) -> Mail {
        let mut shared = self.lock();
        if shared.connections != connection.0 {
            return Mail::Ending(Ending::Replaced);
        }
        if let Some(ending) = shared.ending {
            return Mail::Ending(ending);
        }
        if shared.is_held {
            return Mail::Dispatches(Vec::new());
        }
        Mail::Dispatches(std::iter::from_fn(|| shared.mailbox.take_next()).take(limit).collect())
    }

    pub fn is_drained(&self) -> bool {
        self.lock().mailbox.is_drained()
    }
}
