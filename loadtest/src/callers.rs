//! The callers: thousands of media paths on a few threads. A thread owns its callers' sockets, one epoll, one timer wheel and
//! one mailbox for batched receives; the async side (voice gateways, joins, churn) tells it what to do by commands and hears
//! of it by events.
//!
//! Sends are open-loop: each talker's packets have their moments, whatever comes back. How late they really left is kept
//! ([`crate::measure::health`]), so that a tired generator does not pass for a slow server.

pub mod camera;
pub mod leg;
pub mod library;
pub mod mailbox;
pub mod ports;
pub mod shared;
mod thread;
pub mod wheel;

use crate::cores;
use crate::measure::book::{Book, Party};
use crate::measure::health::Health;
use crate::net::Profile;
use crate::server::thread_times;
use crate::voice::Suite;
use anyhow::{Context, Result};
use leg::NewLeg;
use rustix::event::{EventfdFlags, eventfd};
use shared::Shared;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;

/// Threads' names start with this.
const THREAD: &str = "caller-";

/// What a thread is told.
pub enum Command {
    Adopt(Box<NewLeg>),
    /// The keys of a native leg: media may flow.
    Keys {
        leg: u64,
        suite: Suite,
        secret: [u8; 32],
    },
    /// Whether the caller may send at all: off before op 5, while muted by itself, and while a change of its rights is under way.
    Mouth {
        leg: u64,
        is_open: bool,
    },
    /// What it says from now on must not be heard.
    Muted {
        leg: u64,
        is_muted: bool,
    },
    Rebind {
        leg: u64,
    },
    Outage {
        leg: u64,
        until: u64,
    },
    /// Another network from now on.
    Network {
        leg: u64,
        up: Profile,
        down: Profile,
    },
    /// Which of a camera's layers are worth sending, one bit each.
    Layers {
        leg: u64,
        wanted: u8,
    },
    Drop {
        leg: u64,
    },
    /// Everybody is silent: settle what is missing, and hand over the books.
    Close(oneshot::Sender<Account>),
}

/// What one thread, or all, came to since the last close.
#[derive(Default)]
pub struct Account {
    pub server: Book,
    pub floor: Book,
    pub direct: Book,
    pub health: Health,
}

impl Account {
    pub fn book(&mut self, party: Party) -> &mut Book {
        match party {
            Party::Server => &mut self.server,
            Party::Floor => &mut self.floor,
            Party::Direct => &mut self.direct,
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.server.add(&other.server);
        self.floor.add(&other.floor);
        self.direct.add(&other.direct);
        self.health.add(&other.health);
    }
}

struct Link {
    commands: mpsc::Sender<Command>,
    wake: Arc<OwnedFd>,
}

/// The running threads. Dropping them ends them.
pub struct Callers {
    pub shared: Arc<Shared>,
    links: Vec<Link>,
    threads: Vec<std::thread::JoinHandle<()>>,
    next_leg: AtomicU64,
}

impl Callers {
    /// One thread per core of the generator.
    pub fn start(shared: Shared, generator: &[usize]) -> Result<Self> {
        let shared = Arc::new(shared);
        let (mut links, mut threads) = (Vec::new(), Vec::new());
        for (at, core) in generator.iter().enumerate() {
            let (commands, receiver) = mpsc::channel();
            let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).context("an eventfd")?);
            let epoll = thread::watch(&wake)?;
            let (core, shared, theirs) = (*core, shared.clone(), wake.clone());
            let spawned = std::thread::Builder::new().name(format!("{THREAD}{at}")).spawn(move || {
                // An unpinned thread only makes the numbers noisier.
                let _ = cores::pin(&[core]);
                thread::Thread::new(shared, receiver, theirs, epoll).run();
            })?;
            links.push(Link { commands, wake });
            threads.push(spawned);
        }
        Ok(Self { shared, links, threads, next_leg: AtomicU64::new(1) })
    }

    pub fn threads(&self) -> usize {
        self.links.len()
    }

    pub fn next_leg(&self) -> u64 {
        self.next_leg.fetch_add(1, Ordering::Relaxed)
    }

    /// To the thread that has (or will have) this leg.
    pub fn tell(&self, leg: u64, command: Command) {
        self.tell_thread(leg as usize % self.links.len(), command);
    }

    pub fn tell_thread(&self, thread: usize, command: Command) {
        let link = &self.links[thread];
        // A thread that is gone hears nothing; the run's end says why it went.
        if link.commands.send(command).is_ok() {
            let _ = rustix::io::write(&link.wake, &1u64.to_ne_bytes());
        }
    }

    /// Takes all books. To be called in silence, a moment after the last packets went out.
    pub async fn close(&self) -> Result<Account> {
        let mut sum = Account::default();
        for thread in 0..self.links.len() {
            let (reply, account) = oneshot::channel();
            self.tell_thread(thread, Command::Close(reply));
            sum.add(&account.await.context("a media thread of the generator has ended")?);
        }
        Ok(sum)
    }

    /// CPU nanoseconds of each thread since its begin.
    pub fn cpu() -> HashMap<u32, u64> {
        let threads = thread_times(std::process::id()).unwrap_or_default();
        threads.into_iter().filter(|(_, (name, _))| name.starts_with(THREAD)).map(|(id, (_, ns))| (id, ns)).collect()
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        for link in self.links.drain(..) {
            // The closed channel ends the thread; the event wakes it to see that.
            drop(link.commands);
            let _ = rustix::io::write(&link.wake, &1u64.to_ne_bytes());
        }
        for thread in self.threads.drain(..) {
            // How it ended no longer matters.
            let _ = thread.join();
        }
    }
}
