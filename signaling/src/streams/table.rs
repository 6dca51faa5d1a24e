//! The sessions of programs, by the secret in their addresses.

use super::offer::Fragment;
use super::task::Patched;
use crate::limits;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::{mpsc, oneshot};

/// What a client asks of its session.
pub enum Errand {
    Patch { condition: String, fragment: Fragment, reply: oneshot::Sender<Patched> },
    End { reply: oneshot::Sender<()> },
}

/// The way to a session's task.
#[derive(Clone)]
pub struct Session(mpsc::Sender<Errand>);

impl Session {
    pub fn new() -> (Self, mpsc::Receiver<Errand>) {
        let (errands, received) = mpsc::channel(limits::STREAM_ERRANDS);
        (Self(errands), received)
    }

    /// `None`: the session has ended.
    pub async fn patch(&self, condition: String, fragment: Fragment) -> Option<Patched> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Errand::Patch { condition, fragment, reply }).await.ok()?;
        answer.await.ok()
    }

    /// `false`: it had ended already.
    pub async fn end(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        self.0.send(Errand::End { reply }).await.is_ok() && answer.await.is_ok()
    }
}

/// As many as there are tasks, which [`limits::SOCKETS`] bounds.
#[derive(Default)]
pub struct Streams(Mutex<HashMap<String, Session>>);

impl Streams {
    pub fn find(&self, id: &str) -> Option<Session> {
        self.table().get(id).cloned()
    }

    pub(super) fn add(&self, id: String, session: Session) {
        self.table().insert(id, session);
    }

    pub(super) fn remove(&self, id: &str) {
        self.table().remove(id);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().expect("no code panics while it holds the table")
    }
}
