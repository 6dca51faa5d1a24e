//! One worker: a pinned thread with its own UDP socket, engine and request queue. The only place of the crate, with
//! [`crate::handle`], that does I/O or reads a clock.
//!
//! The loop: wait until something is readable, a request came or a timer is due; take datagrams in batches and send what
//! they caused at the end of each batch; then requests; then timers.

use crate::engine::{Egress, Engine, Secret};
use crate::load::{Gauge, Meter};
use crate::stats::{Delays, Drops, Reason, Traffic, WorkerStats};
use crate::sys::net::{BATCH, Receiver, Sender, stamp_arrivals};
use crate::sys::thread::{Poll, Waker, pin};
use crate::webrtc::Identity;
use crate::{Addresses, Answer, NativeSuite, PeerEvent, PeerId, RoomId, SfuError, Want, addresses};
use guildhall_protocol::fleet::Policy;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for a worker. A full queue makes signaling wait, never the worker.
const REQUESTS: usize = 1024;

/// Batches taken before requests and timers get their turn: 1024 datagrams, a few milliseconds.
const ROUNDS: usize = 16;

/// Requests served before datagrams get their turn: a WebRTC join takes up to half a millisecond.
const REQUESTS_PER_TURN: usize = 16;

/// Asked of the system for each direction: 20 ms of 300,000 packets a second. It may give less.
pub const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// What signaling asks of a worker.
pub enum Request {
    Join {
        room: RoomId,
        peer: PeerId,
        ssrc: u32,
        policy: Policy,
        events: mpsc::Sender<PeerEvent>,
        reply: oneshot::Sender<Result<(), SfuError>>,
    },
    ConnectNative {
        peer: PeerId,
        suite: NativeSuite,
        claimed: SocketAddr,
        reply: oneshot::Sender<Result<Secret, SfuError>>,
    },
    ConnectWebrtc {
        peer: PeerId,
        offer_sdp: String,
        reply: oneshot::Sender<Result<Answer, SfuError>>,
    },
    SetPolicy {
        peer: PeerId,
        policy: Policy,
        reply: oneshot::Sender<Result<(), SfuError>>,
    },
    Watch {
        peer: PeerId,
        wants: Vec<Want>,
        reply: oneshot::Sender<Result<(), SfuError>>,
    },
    Leave {
        peer: PeerId,
        reply: oneshot::Sender<Result<(), SfuError>>,
    },
    Stats {
        reply: oneshot::Sender<WorkerStats>,
    },
}

/// The handle's end of a worker.
pub struct Link {
    /// What clients are told.
    pub address: SocketAddr,
    /// Where the socket is.
    pub bound: SocketAddr,
    /// How busy the worker is.
    pub load: std::sync::Arc<Gauge>,
    requests: mpsc::Sender<Request>,
    waker: Waker,
    is_stopping: std::sync::Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Link {
    /// Waits for a place in the queue.
    pub async fn send(&self, request: Request) -> Result<(), SfuError> {
        self.requests.send(request).await.map_err(|_| SfuError::Stopped)?;
        self.waker.wake();
        Ok(())
    }

    /// For a caller that cannot wait; a full queue loses the request.
    pub fn try_send(&self, request: Request) {
        if self.requests.try_send(request).is_ok() {
            self.waker.wake();
        }
    }

    /// Ends the thread and waits for it. Does nothing the second time.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.waker.wake();
        if let Some(thread) = self.thread.lock().expect("no code panics while it holds the thread").take() {
            let _ = thread.join();
        }
    }
}

/// The last handle takes the thread with it.
impl Drop for Link {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Binds the socket and starts the thread.
pub fn start(index: usize, bind: SocketAddr, advertise: &[IpAddr], tcp_port: Option<u16>) -> io::Result<Link> {
    let socket = open_socket(bind)?;
    let bound = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let addresses = Addresses { tcp_port, ..addresses::told(bound, advertise) };
    let identity = Identity::generate().ok_or_else(|| io::Error::other("no DTLS certificate could be made"))?;
    let poll = Poll::new(socket.as_raw_fd())?;
    let waker = poll.waker();
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let is_stopping = std::sync::Arc::new(AtomicBool::new(false));
    let stopping = is_stopping.clone();
    let load = std::sync::Arc::new(Gauge::new(Instant::now()));
    let gauge = load.clone();
    let thread = std::thread::Builder::new().name(format!("sfu-{index}")).spawn(move || {
        pin(index);
        let worker = Worker {
            engine: Engine::new(addresses, identity),
            receiver: Receiver::new(),
            outbox: Outbox {
                sender: Sender::new(bound.is_ipv6()),
                socket: socket.as_raw_fd(),
                packets: 0,
                bytes: 0,
                drops: Drops::default(),
            },
            socket,
            poll,
            inbox,
            events: HashMap::new(),
            busy: Duration::ZERO,
            idle: Duration::ZERO,
            meter: Meter::new(gauge, Instant::now()),
            delays: Delays::default(),
        };
        worker.run(&stopping);
    })?;
    Ok(Link { address: addresses.first, bound, load, requests, waker, is_stopping, thread: Mutex::new(Some(thread)) })
}

/// An unspecified address means IPv4 and IPv6 on one socket; a system without IPv6 gives what was asked for.
fn open_socket(bind: SocketAddr) -> io::Result<Socket> {
    if bind.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        && let Ok(socket) = open(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), bind.port()))
    {
        return Ok(socket);
    }
    open(bind)
}

fn open(bind: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
    if bind.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The system caps what it gives; a small buffer works, with less room for bursts.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    // Without them nobody knows how long a datagram waited for us; it is handled all the same.
    let _ = stamp_arrivals(socket.as_raw_fd());
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(bind))?;
    Ok(socket)
}

struct Worker {
    engine: Engine,
    receiver: Receiver,
    outbox: Outbox,
    socket: Socket,
    poll: Poll,
    inbox: mpsc::Receiver<Request>,
    /// Who is told what happens to a peer.
    events: HashMap<PeerId, mpsc::Sender<PeerEvent>>,
    busy: Duration,
    idle: Duration,
    meter: Meter,
    /// From a packet's arrival in the kernel until its copies were given back to it.
    delays: Delays,
}

/// The send batch as the engine sees it.
struct Outbox {
    sender: Sender,
    socket: i32,
    packets: u64,
    bytes: u64,
    drops: Drops,
}

impl Outbox {
    fn flush(&mut self) {
        if self.sender.is_empty() {
            return;
        }
        let sent = self.sender.flush(self.socket);
        self.packets += sent.packets;
        self.bytes += sent.bytes;
        self.drops.add(Reason::SendBufferFull, sent.buffer_full);
        self.drops.add(Reason::SendRefused, sent.refused);
    }
}

impl Egress for Outbox {
    #[inline]
    fn slot(&mut self) -> &mut [u8] {
        if self.sender.is_full() {
            self.flush();
        }
        self.sender.slot()
    }

    #[inline]
    fn commit(&mut self, len: usize, to: SocketAddr) {
        self.sender.commit(len, to);
    }
}

impl Worker {
    fn run(mut self, is_stopping: &AtomicBool) {
        let mut working_since = Instant::now();
        while !is_stopping.load(Ordering::Relaxed) {
            let timeout = self.engine.next_timeout().map(|at| at.saturating_duration_since(Instant::now()));
            let waiting_since = Instant::now();
            self.busy += waiting_since - working_since;
            self.meter.tick(waiting_since, self.busy);
            self.poll.wait(timeout);
            working_since = Instant::now();
            self.idle += working_since - waiting_since;

            self.receive();
            if !self.serve_requests() {
                return;
            }
            let now = Instant::now();
            if self.engine.next_timeout().is_some_and(|at| at <= now) {
                self.engine.handle_timeout(now, &mut self.outbox);
                self.outbox.flush();
            }
            self.deliver_events();
        }
    }

    /// Takes what arrived, a batch at a time; each batch's copies leave before the next batch is taken.
    fn receive(&mut self) {
        for _ in 0..ROUNDS {
            // An error on a UDP socket is about some earlier send; there is nothing to receive then.
            let received = self.receiver.receive(self.socket.as_raw_fd()).unwrap_or(0);
            let now = Instant::now();
            let mut forwarded = 0;
            let mut arrivals = [Duration::ZERO; BATCH];
            for index in 0..received {
                match self.receiver.get(index) {
                    Some(received) if received.is_cut => self.outbox.drops.count(Reason::Oversized),
                    Some(received) => {
                        let copies = self.engine.traffic().audio_out;
                        self.engine.handle_datagram(now, received.from, received.datagram, &mut self.outbox);
                        if self.engine.traffic().audio_out > copies
                            && let Some(arrived) = received.arrived
                        {
                            arrivals[forwarded] = arrived;
                            forwarded += 1;
                        }
                    }
                    None => self.outbox.drops.count(Reason::Noise),
                }
            }
            self.outbox.flush();
            if forwarded > 0 {
                let sent = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                // A clock that was set back in between shows no delay.
                arrivals[..forwarded].iter().for_each(|&arrived| self.delays.record(sent.saturating_sub(arrived)));
            }
            self.deliver_events();
            if received < BATCH {
                return;
            }
        }
        // More may have arrived: the wait returns at once while the socket is readable.
    }

    /// `false` when the handle is gone.
    fn serve_requests(&mut self) -> bool {
        for _ in 0..REQUESTS_PER_TURN {
            match self.inbox.try_recv() {
                Ok(request) => {
                    self.serve(request);
                    self.deliver_events();
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        // There may be more, and their wake is spent.
        self.poll.waker().wake();
        true
    }

    /// A reply that nobody waits for any more is not an error.
    fn serve(&mut self, request: Request) {
        match request {
            Request::Join { room, peer, ssrc, policy, events, reply } => {
                let outcome = self.engine.join(room, peer, ssrc, policy);
                if outcome.is_ok() {
                    self.events.insert(peer, events);
                }
                let _ = reply.send(outcome);
            }
            Request::ConnectNative { peer, suite, claimed, reply } => {
                let secret = draw_secret();
                let outcome = secret.and_then(|secret| {
                    self.engine.connect_native(peer, suite, claimed, &secret)?;
                    Ok(secret)
                });
                let _ = reply.send(outcome);
            }
            Request::ConnectWebrtc { peer, offer_sdp, reply } => {
                let secret = draw_secret();
                let outcome = secret.and_then(|secret| self.engine.connect_webrtc(Instant::now(), peer, &offer_sdp, &secret));
                let _ = reply.send(outcome);
            }
            Request::SetPolicy { peer, policy, reply } => {
                let _ = reply.send(self.engine.set_policy(peer, policy));
            }
            Request::Watch { peer, wants, reply } => {
                let _ = reply.send(self.engine.watch(Instant::now(), peer, &wants));
            }
            Request::Leave { peer, reply } => {
                self.events.remove(&peer);
                let _ = reply.send(self.engine.leave(peer));
            }
            Request::Stats { reply } => {
                let _ = reply.send(self.stats());
            }
        }
    }

    /// Tells signaling what happened. A connection that does not read its events is given up: the engine never waits.
    fn deliver_events(&mut self) {
        let mut given_up: Option<Vec<PeerId>> = None;
        for (peer, event) in self.engine.take_events() {
            if let Some(events) = self.events.get(&peer)
                && events.try_send(event).is_err()
            {
                self.outbox.drops.count(Reason::EventsFull);
                self.events.remove(&peer);
                given_up.get_or_insert_default().push(peer);
            }
        }
        for peer in given_up.into_iter().flatten() {
            let _ = self.engine.leave(peer);
        }
    }

    fn stats(&self) -> WorkerStats {
        let mut drops = *self.engine.drops();
        self.outbox.drops.iter().for_each(|(reason, count)| drops.add(reason, count));
        WorkerStats {
            address: self.engine.address(),
            rooms: self.engine.rooms(),
            peers: self.engine.peers(),
            traffic: Traffic { packets_out: self.outbox.packets, bytes_out: self.outbox.bytes, ..*self.engine.traffic() },
            drops,
            busy: self.busy,
            idle: self.idle,
            delays: self.delays,
            opinions: self.engine.opinions(),
            audience: self.engine.audience(),
        }
    }
}

fn draw_secret() -> Result<Secret, SfuError> {
    let mut secret = Secret::default();
    // Without randomness nothing can be encrypted; a system in that state can serve nobody.
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| SfuError::Stopped)?;
    Ok(secret)
}
