//! One worker: a pinned thread with its own UDP socket, engine and request queue. The only place of the crate, with
//! [`crate::handle`], that does I/O or reads a clock.
//!
//! The loop: wait until something is readable, a request or a parcel came or a timer is due; take datagrams in batches and send
//! what they caused at the end of each batch, RTCP in steps ([`crate::pace`]); then other workers' parcels; then requests; then
//! timers.

use crate::engine::{Egress, Engine, Life, Parcel, Part, Secret};
use crate::load::{Gauge, Meter};
use crate::pace::Pace;
use crate::stats::{Delays, Drops, Reason, Traffic, WorkerStats};
use crate::strain::Strain;
use crate::sys::net::{BATCH, Receiver, Sender, put_rtcp_aside, stamp_arrivals};
use crate::sys::thread::{Poll, Ready, Waker, pin};
use crate::webrtc::Identity;
use crate::{Addresses, Answer, Config, Heard, NativeSuite, PeerEvent, PeerId, RoomId, Seen, SfuError, Source, Want, addresses};
use crossbeam_queue::ArrayQueue;
use guildhall_protocol::fleet::Policy;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for a worker. A full queue makes signaling wait, never the worker.
const REQUESTS: usize = 1024;

/// Batches taken before requests and timers get their turn: 1024 datagrams, a few milliseconds.
const ROUNDS: usize = 16;

/// Requests served before datagrams get their turn: a WebRTC join takes up to half a millisecond.
const REQUESTS_PER_TURN: usize = 16;

/// Parcels of others that may wait for a worker, 1.8 MB in all: what the largest room's speakers say in a sixth of a second, and
/// as many packets of pictures as two large key frames have, or nine cameras in a third of a second. A full queue loses packets,
/// and makes what must not be lost wait at its sender.
const PARCELS: usize = 1024;
const PICTURES: usize = 768;

/// How soon a worker tries again to hand over what found a full queue.
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// Asked of the system for each direction: 20 ms of 300,000 packets a second. It may give less.
pub const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// What signaling asks of a worker.
pub enum Request {
    Join {
        part: (Life, Part),
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
    Pin {
        peer: PeerId,
        /// Native SSRCs.
        speakers: Vec<u32>,
        reply: oneshot::Sender<Result<(), SfuError>>,
    },
    Tape {
        room: RoomId,
        sound: mpsc::Sender<Heard>,
        pictures: Option<mpsc::Sender<Seen>>,
        reply: oneshot::Sender<()>,
    },
    Refresh {
        peer: PeerId,
        source: Source,
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
    pub load: Arc<Gauge>,
    requests: mpsc::Sender<Request>,
    waker: Waker,
    is_stopping: Arc<AtomicBool>,
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

/// Where workers put what they have for each other: a queue each, which takes no lock and is allocated once.
#[derive(Clone)]
pub struct Mail(Arc<Vec<Mailbox>>);

struct Mailbox {
    /// With the worker that it is from.
    parcels: ArrayQueue<(usize, Parcel)>,
    /// Of the worker that it belongs to, once it runs.
    waker: OnceLock<Waker>,
}

impl Mail {
    /// A worker alone gets no mail.
    pub fn between(workers: usize) -> Mail {
        let len = if workers > 1 { PARCELS } else { 1 };
        let mailbox = || Mailbox { parcels: ArrayQueue::new(len), waker: OnceLock::new() };
        Mail(Arc::new(std::iter::repeat_with(mailbox).take(workers).collect()))
    }
}

/// Binds the socket and starts the thread.
pub fn start(index: usize, bind: SocketAddr, config: &Config, mail: Mail) -> io::Result<Link> {
    let socket = open_socket(bind)?;
    let bound = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let addresses = Addresses { tcp_port: config.tcp_port, ..addresses::told(bound, &config.advertise) };
    let identity = Identity::generate().ok_or_else(|| io::Error::other("no DTLS certificate could be made"))?;
    let aside = open_aside(&socket);
    let poll = Poll::new(socket.as_raw_fd(), aside.as_ref().map(AsRawFd::as_raw_fd))?;
    let waker = poll.waker();
    // Each worker is started once.
    let _ = mail.0[index].waker.set(waker.clone());
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let is_stopping = Arc::new(AtomicBool::new(false));
    let stopping = is_stopping.clone();
    let load = Arc::new(Gauge::new(Instant::now()));
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
            aside,
            pace: Pace::new(Instant::now()),
            poll,
            inbox,
            index,
            unsent: VecDeque::new(),
            is_written_to: vec![false; mail.0.len()],
            mail,
            events: HashMap::new(),
            tapes: HashMap::new(),
            busy: Duration::ZERO,
            idle: Duration::ZERO,
            meter: Meter::new(gauge, Instant::now()),
            strain: Strain::default(),
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

/// A second socket on the same address, for RTCP alone. `None` where the system cannot tell it from the rest. The port is shared
/// only once it is ours, so that who binds it by mistake is told.
fn open_aside(socket: &Socket) -> Option<Socket> {
    let share = || {
        let bind = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let aside = unbound(bind)?;
        socket.set_reuse_port(true)?;
        aside.set_reuse_port(true)?;
        aside.bind(&SockAddr::from(bind))?;
        put_rtcp_aside(aside.as_raw_fd())?;
        io::Result::Ok(aside)
    };
    let aside = share();
    if aside.is_err() {
        // Nobody else is to share it. What is refused changes nothing for us.
        let _ = socket.set_reuse_port(false);
    }
    aside.ok()
}

fn open(bind: SocketAddr) -> io::Result<Socket> {
    let socket = unbound(bind)?;
    socket.bind(&SockAddr::from(bind))?;
    Ok(socket)
}

fn unbound(bind: SocketAddr) -> io::Result<Socket> {
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
    Ok(socket)
}

struct Worker {
    engine: Engine,
    receiver: Receiver,
    outbox: Outbox,
    socket: Socket,
    /// Where RTCP comes, if the system puts it there.
    aside: Option<Socket>,
    pace: Pace,
    poll: Poll,
    inbox: mpsc::Receiver<Request>,
    index: usize,
    mail: Mail,
    /// What must not be lost and found a full queue: what rooms that are spread say of their branches, of who fell silent, and of
    /// what is shown and wanted, which is a few times a second for each video.
    unsent: VecDeque<(usize, Parcel)>,
    /// Who is to be woken.
    is_written_to: Vec<bool>,
    /// Who is told what happens to a peer.
    events: HashMap<PeerId, mpsc::Sender<PeerEvent>>,
    /// Who records which room.
    tapes: HashMap<RoomId, Tape>,
    busy: Duration,
    idle: Duration,
    meter: Meter,
    strain: Strain,
    /// From a packet's arrival in the kernel until its copies were given back to it.
    delays: Delays,
}

/// Somebody who records a room.
struct Tape {
    sound: mpsc::Sender<Heard>,
    /// What it had no place for since it last took something.
    lost: u32,
    /// A queue of its own, so that pictures never take the place of sound.
    pictures: Option<mpsc::Sender<Seen>>,
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
            let due = [self.engine.next_timeout(), self.pace.next_timeout()].into_iter().flatten().min();
            let timeout = due.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = if self.unsent.is_empty() { timeout } else { Some(timeout.map_or(TRY_AGAIN, |at| at.min(TRY_AGAIN))) };
            let waiting_since = Instant::now();
            self.busy += waiting_since - working_since;
            if let Some(share) = self.meter.tick(waiting_since, self.busy)
                && self.strain.handle(waiting_since, share)
            {
                self.engine.set_ceiling(self.strain.ceiling());
            }
            let ready = self.poll.wait(timeout);
            working_since = Instant::now();
            self.idle += working_since - waiting_since;

            if ready.socket {
                self.receive(self.socket.as_raw_fd());
            }
            self.look_aside(ready);
            self.open_mail();
            if !self.serve_requests() {
                return;
            }
            let now = Instant::now();
            if self.engine.next_timeout().is_some_and(|at| at <= now) {
                self.engine.handle_timeout(now, &mut self.outbox);
                self.outbox.flush();
            }
            self.hand_over();
            self.deliver_events();
        }
    }

    /// Takes what other workers have for rooms of ours.
    fn open_mail(&mut self) {
        for _ in 0..PARCELS {
            let Some((from, mut parcel)) = self.mail.0[self.index].parcels.pop() else { break };
            self.engine.handle_parcel(Instant::now(), from, &mut parcel, &mut self.outbox);
            self.hand_over();
        }
        self.outbox.flush();
        // What is shown on branches is filmed here.
        self.deliver_heard();
        self.deliver_events();
        if !self.mail.0[self.index].parcels.is_empty() {
            // Their wake is spent.
            self.poll.waker().wake();
        }
    }

    /// Puts what the engine has for other workers into their queues, and wakes them.
    fn hand_over(&mut self) {
        let Worker { engine, mail, unsent, is_written_to, outbox, index, .. } = self;
        let mut is_any = false;
        // What found a full queue comes back.
        let mut put = |to: usize, parcel: Parcel| {
            let parcels = &mail.0[to].parcels;
            // Pictures never take the place of voices.
            if parcel.is_picture() && parcels.len() >= PICTURES {
                return Some(parcel);
            }
            let refused = parcels.push((*index, parcel)).err();
            if refused.is_none() {
                (is_any, is_written_to[to]) = (true, true);
            }
            refused.map(|(_, parcel)| parcel)
        };
        // Nothing passes what waits for the same worker already.
        let waiting = unsent.len();
        for done in 0..waiting {
            let Some((to, parcel)) = unsent.pop_front() else { break };
            let is_behind = unsent.iter().skip(waiting - 1 - done).any(|(other, _)| *other == to);
            if let Some(parcel) = if is_behind { Some(parcel) } else { put(to, parcel) } {
                unsent.push_back((to, parcel));
            }
        }
        for (to, parcel) in engine.take_parcels() {
            let is_behind = unsent.iter().any(|(other, _)| *other == to);
            match if is_behind { Some(parcel) } else { put(to, parcel) } {
                None => {}
                Some(parcel) if parcel.may_be_lost() => outbox.drops.count(Reason::HandoverFull),
                Some(parcel) => unsent.push_back((to, parcel)),
            }
        }
        if is_any {
            for (to, is_written_to) in is_written_to.iter_mut().enumerate() {
                // Every worker runs before the first room is opened.
                if let (true, Some(waker)) = (std::mem::take(is_written_to), mail.0[to].waker.get()) {
                    waker.wake();
                }
            }
        }
    }

    /// Takes what peers tell of what they were sent, if it is time.
    fn look_aside(&mut self, ready: Ready) {
        let now = Instant::now();
        let Some(aside) = self.aside.as_ref().filter(|_| self.pace.is_due(now, ready.aside)) else { return };
        let found = self.receive(aside.as_raw_fd());
        if let Some(is_heeded) = self.pace.on_look(now, found) {
            self.poll.heed_aside(is_heeded);
        }
    }

    /// Takes what arrived, a batch at a time; each batch's copies leave before the next batch is taken. Returns how much it was.
    fn receive(&mut self, socket: RawFd) -> usize {
        let mut sum = 0;
        for _ in 0..ROUNDS {
            // An error on a UDP socket is about some earlier send; there is nothing to receive then.
            let received = self.receiver.receive(socket).unwrap_or(0);
            sum += received;
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
            self.hand_over();
            if forwarded > 0 {
                let sent = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                // A clock that was set back in between shows no delay.
                arrivals[..forwarded].iter().for_each(|&arrived| self.delays.record(sent.saturating_sub(arrived)));
            }
            self.deliver_heard();
            self.deliver_events();
            if received < BATCH {
                break;
            }
        }
        // More may have arrived: the wait returns at once while the socket is readable.
        sum
    }

    /// `false` when the handle is gone.
    fn serve_requests(&mut self) -> bool {
        for _ in 0..REQUESTS_PER_TURN {
            match self.inbox.try_recv() {
                Ok(request) => {
                    self.serve(request);
                    self.hand_over();
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
            Request::Join { part, peer, ssrc, policy, events, reply } => {
                let outcome = self.engine.join_part(part, peer, ssrc, policy);
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
            Request::Pin { peer, speakers, reply } => {
                let _ = reply.send(self.engine.pin(peer, &speakers));
            }
            Request::Tape { room, sound, pictures, reply } => {
                self.engine.tape(room, true);
                self.engine.film(Instant::now(), room, pictures.is_some());
                self.tapes.insert(room, Tape { sound, lost: 0, pictures });
                let _ = reply.send(());
            }
            Request::Refresh { peer, source } => self.engine.refresh(Instant::now(), peer, source),
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

    /// Gives the recorders of rooms what was said and shown there. A room whose recorder has gone is not recorded any more.
    fn deliver_heard(&mut self) {
        let mut ended: Option<Vec<RoomId>> = None;
        for heard in self.engine.take_heard() {
            let room = heard.room;
            let Some(tape) = self.tapes.get_mut(&room) else { continue };
            match tape.sound.try_send(Heard { lost_before: tape.lost, ..heard }) {
                Ok(()) => tape.lost = 0,
                Err(TrySendError::Full(_)) => {
                    self.outbox.drops.count(Reason::TapeFull);
                    tape.lost = tape.lost.saturating_add(1);
                }
                Err(TrySendError::Closed(_)) => {
                    self.tapes.remove(&room);
                    ended.get_or_insert_default().push(room);
                }
            }
        }
        for seen in self.engine.take_seen() {
            let pictures = self.tapes.get(&seen.room).and_then(|tape| tape.pictures.as_ref());
            // What is missing shows by its number. When a recorder is gone, the sound tells.
            if let Some(Err(TrySendError::Full(_))) = pictures.map(|pictures| pictures.try_send(seen)) {
                self.outbox.drops.count(Reason::TapeFull);
            }
        }
        for room in ended.into_iter().flatten() {
            self.engine.tape(room, false);
            self.engine.film(Instant::now(), room, false);
        }
    }

    fn stats(&self) -> WorkerStats {
        let mut drops = *self.engine.drops();
        self.outbox.drops.iter().for_each(|(reason, count)| drops.add(reason, count));
        WorkerStats {
            address: self.engine.address(),
            rooms: self.engine.rooms(),
            branches: self.engine.branches(),
            peers: self.engine.peers(),
            traffic: Traffic { packets_out: self.outbox.packets, bytes_out: self.outbox.bytes, ..*self.engine.traffic() },
            drops,
            busy: self.busy,
            idle: self.idle,
            delays: self.delays,
            opinions: self.engine.opinions(),
            audience: self.engine.audience(),
            video_step: self.strain.step(),
        }
    }
}

fn draw_secret() -> Result<Secret, SfuError> {
    let mut secret = Secret::default();
    // Without randomness nothing can be encrypted; a system in that state can serve nobody.
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| SfuError::Stopped)?;
    Ok(secret)
}
