//! [`Sfu`]: the handle that signaling drives. It places peers on workers, names peers, and carries requests to the worker
//! threads; it never touches a packet.
//!
//! The table of rooms and peers is behind a mutex that only joins and leaves take, never a worker.

use crate::placement::{Places, Seat};
use crate::tcp;
use crate::worker::{self, Link, Mail, Request};
use crate::{Answer, Config, Heard, Joined, NativeSuite, PeerEvent, PeerId, RoomId, Seen, SfuError, Source, Stats, Want};
use guildhall_protocol::fleet::Policy;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// The running media engine. Cheap to clone; the threads stop at [`Sfu::shutdown`].
#[derive(Clone)]
pub struct Sfu(Arc<Inner>);

struct Inner {
    workers: Vec<Link>,
    places: Mutex<Places>,
    tcp: tcp::Counters,
}

/// Undoes a reservation whose join failed or whose caller went away before the worker answered.
struct Reservation<'a> {
    sfu: &'a Sfu,
    peer: PeerId,
    is_kept: bool,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let worker = self.sfu.places().release(self.peer);
        if let Some(worker) = worker {
            // When the queue is full the peer stays, without a transport and harmless.
            let (reply, _) = oneshot::channel();
            self.sfu.0.workers[worker].try_send(Request::Leave { peer: self.peer, reply });
        }
    }
}

impl Sfu {
    /// Binds every socket and starts every worker; on an error nothing is left running.
    pub fn start(config: Config) -> io::Result<Sfu> {
        if config.bind.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the media engine needs at least one bind address"));
        }
        let mut workers: Vec<Link> = Vec::with_capacity(config.bind.len());
        let mail = Mail::between(config.bind.len());
        for (index, &bind) in config.bind.iter().enumerate() {
            match worker::start(index, bind, &config, mail.clone()) {
                Ok(link) => workers.push(link),
                Err(error) => {
                    workers.iter().for_each(Link::stop);
                    return Err(error);
                }
            }
        }
        let places = Places::new(workers.len(), config.room_share);
        Ok(Sfu(Arc::new(Inner { workers, places: Mutex::new(places), tcp: tcp::Counters::default() })))
    }

    /// A place in a room, created with its first peer. `events` is never waited for: when it is full the peer is given up.
    pub async fn join(&self, room: RoomId, policy: Policy, events: mpsc::Sender<PeerEvent>) -> Result<Joined, SfuError> {
        let now = Instant::now();
        let busy_permille = |worker: usize| self.0.workers[worker].load.busy_permille(now);
        let Seat { peer, ssrc, worker, life, part } = self.places().reserve(room, busy_permille)?;
        let mut reservation = Reservation { sfu: self, peer, is_kept: false };
        self.ask(worker, |reply| Request::Join { part: (life, part), peer, ssrc, policy, events, reply }).await??;
        reservation.is_kept = true;
        Ok(Joined { peer, ssrc, address: self.0.workers[worker].address })
    }

    /// Gives the peer the native transport and returns its key. `claimed` is the address of op 1; it is believed when IP
    /// discovery came from it or when a packet from it decrypts. Called again (a client that reconnected), it makes a new key.
    pub async fn connect_native(&self, peer: PeerId, suite: NativeSuite, claimed: SocketAddr) -> Result<[u8; 32], SfuError> {
        let worker = self.worker_of(peer)?;
        self.ask(worker, |reply| Request::ConnectNative { peer, suite, claimed, reply }).await?
    }

    /// Gives the peer a WebRTC transport: full offer in, full answer out. Called again, it replaces the transport.
    pub async fn connect_webrtc(&self, peer: PeerId, offer_sdp: String) -> Result<Answer, SfuError> {
        let worker = self.worker_of(peer)?;
        self.ask(worker, |reply| Request::ConnectWebrtc { peer, offer_sdp, reply }).await?
    }

    /// Changes what the peer may do; holds from the next packet on.
    pub async fn set_policy(&self, peer: PeerId, policy: Policy) -> Result<(), SfuError> {
        let worker = self.worker_of(peer)?;
        self.ask(worker, |reply| Request::SetPolicy { peer, policy, reply }).await?
    }

    /// What a WebRTC peer wants to see in its video slots from now on; slots that are not named are empty.
    pub async fn watch(&self, peer: PeerId, wants: Vec<Want>) -> Result<(), SfuError> {
        let worker = self.worker_of(peer)?;
        self.ask(worker, |reply| Request::Watch { peer, wants, reply }).await?
    }

    /// Whom a WebRTC peer hears whoever else talks, in place of those before: at most [`crate::MAX_PINS`], and one fewer than it
    /// has slots. Whoever is not there (any more) is left out.
    pub async fn pin(&self, peer: PeerId, speakers: &[PeerId]) -> Result<(), SfuError> {
        let (worker, speakers) = {
            let places = self.places();
            let worker = places.worker_of(peer).ok_or(SfuError::UnknownPeer)?;
            (worker, speakers.iter().filter_map(|&speaker| places.ssrc_of(speaker)).collect())
        };
        self.ask(worker, |reply| Request::Pin { peer, speakers, reply }).await?
    }

    /// Takes the peer out of its room; its address and keys are dead when this returns.
    pub async fn leave(&self, peer: PeerId) -> Result<(), SfuError> {
        let worker = self.places().release(peer).ok_or(SfuError::UnknownPeer)?;
        // The engine may have given the peer up before; then it is gone already, which is what was asked for.
        let _ = self.ask(worker, |reply| Request::Leave { peer, reply }).await?;
        Ok(())
    }

    /// Records a room, in which nobody need be yet: `sound` gets what is said there until its receiver is dropped, and until
    /// then `pictures` what is shown. Neither is ever waited for; what they have no place for is counted in what follows, or
    /// missing by its number. They take the place of those before.
    pub async fn tape(
        &self,
        room: RoomId,
        sound: mpsc::Sender<Heard>,
        pictures: Option<mpsc::Sender<Seen>>,
    ) -> Result<(), SfuError> {
        // A room that empties and fills again may come to another worker.
        for worker in 0..self.0.workers.len() {
            let (sound, pictures) = (sound.clone(), pictures.clone());
            self.ask(worker, |reply| Request::Tape { room, sound, pictures, reply }).await?;
        }
        Ok(())
    }

    /// Whoever records needs a key frame of this video to go on. It may be lost, and is coalesced with others' requests.
    pub fn refresh(&self, peer: PeerId, source: Source) {
        if let Ok(worker) = self.worker_of(peer) {
            self.0.workers[worker].try_send(Request::Refresh { peer, source });
        }
    }

    /// Carries the media of a client that has no UDP, over a connection of which nothing was read yet and whose first byte is
    /// one of [`tcp::is_framed`]. Returns when the connection is over, and why.
    pub async fn carry(&self, client: TcpStream) -> io::Error {
        let worker_of = |peer| self.places().worker_of(peer).map(|worker| self.0.workers[worker].bound);
        tcp::carry(client, &self.0.tcp, worker_of).await
    }

    /// Where clients send media: one address for each worker.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.workers.iter().map(|worker| worker.address).collect()
    }

    /// A snapshot of every worker's counters; workers that stopped are missing.
    pub async fn stats(&self) -> Stats {
        let mut stats = Stats { tcp: self.0.tcp.snapshot(), ..Stats::default() };
        for worker in 0..self.0.workers.len() {
            if let Ok(snapshot) = self.ask(worker, |reply| Request::Stats { reply }).await {
                stats.workers.push(snapshot);
            }
        }
        stats
    }

    /// Stops and joins the threads. Peers' event channels close.
    pub fn shutdown(&self) {
        self.0.workers.iter().for_each(Link::stop);
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.places.lock().expect("no code panics while it holds the table")
    }

    fn worker_of(&self, peer: PeerId) -> Result<usize, SfuError> {
        self.places().worker_of(peer).ok_or(SfuError::UnknownPeer)
    }

    async fn ask<T>(&self, worker: usize, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, SfuError> {
        let (reply, answer) = oneshot::channel();
        self.0.workers[worker].send(request(reply)).await?;
        answer.await.map_err(|_| SfuError::Stopped)
    }
}
