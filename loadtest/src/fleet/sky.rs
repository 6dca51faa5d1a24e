//! A switch of frames in user space, whose cables have lengths, and bottlenecks where somebody wants some.

use crate::net::{Path, Profile};
use crate::random::SplitMix;
use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send, socket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Larger than any frame on these cables.
const FRAME: usize = 2048;
/// Frames under way: a second of a hundred megabits. Later ones are lost.
const UNDER_WAY: usize = 16_384;
/// Frames taken from one port before the others are looked at.
const AT_ONCE: usize = 64;
/// The thread looks up this often even when nothing happens.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);
/// `PACKET_OUTGOING` of packet(7): what we sent ourselves.
const OUTGOING: u8 = 4;
/// Of a frame's bytes, what stands before the payload of UDP: Ethernet's, IP's and UDP's heads. A [`Path`] adds the last two.
const HEADS: usize = 14 + 28;
/// A frame that leaves so much after its moment is late.
const LATE: Duration = Duration::from_millis(5);

/// A cable that ends here.
pub struct Port {
    device: String,
    one_way: Duration,
}

impl Port {
    pub fn new(device: String, one_way: Duration) -> Self {
        Self { device, one_way }
    }
}

/// What may change of a cable while frames are on it.
struct Cable {
    is_connected: AtomicBool,
    one_way: Duration,
    /// What frames to its end pass in the middle, once there was one.
    bottleneck: Mutex<Option<Path>>,
}

impl Cable {
    fn new(one_way: Duration) -> Self {
        Self { is_connected: AtomicBool::new(true), one_way, bottleneck: Mutex::new(None) }
    }

    fn bottleneck(&self) -> MutexGuard<'_, Option<Path>> {
        // A path is whole between any two of its lines.
        self.bottleneck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn narrow(&self, bandwidth_kbps: f64, queue: Duration) {
        let profile = Profile { bandwidth_kbps, queue_ms: queue.as_secs_f64() * 1e3, ..Profile::default() };
        self.bottleneck().get_or_insert_with(|| Path::new(profile, SplitMix::new(0))).change(profile);
    }

    /// When a frame of `len` bytes arrives that is in the middle at a moment after `begun`; `None`: it is lost.
    fn arrival(&self, begun: Instant, middle: Instant, len: usize) -> Option<Instant> {
        let leaves = match &mut *self.bottleneck() {
            None => middle,
            Some(path) => {
                let at = path.send((middle - begun).as_nanos() as u64, len.saturating_sub(HEADS)).ok()?;
                begun + Duration::from_nanos(at)
            }
        };
        Some(leaves + self.one_way)
    }
}

/// Frames that arrived, and those of them that this machine had no time for at their moment.
#[derive(Default)]
struct Punctuality {
    frames: AtomicU64,
    late: AtomicU64,
}

/// The running switch.
pub struct Sky {
    cables: Vec<Arc<Cable>>,
    punctuality: Arc<Punctuality>,
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Sky {
    /// `enter` brings its thread into the namespace of the ports.
    pub fn start(ports: Vec<Port>, enter: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Self> {
        let cables: Vec<_> = ports.iter().map(|port| Arc::new(Cable::new(port.one_way))).collect();
        let (punctuality, is_over) = (Arc::new(Punctuality::default()), Arc::new(AtomicBool::new(false)));
        let (said, heard) = std::sync::mpsc::channel();
        let (known, noted, over) = (cables.clone(), punctuality.clone(), is_over.clone());
        let thread = std::thread::Builder::new().name("sky".to_owned()).spawn(move || {
            let opened = enter().and_then(|()| ports.iter().map(|port| open(&port.device)).collect::<Result<Vec<_>>>());
            let opened = opened.map(|sockets| Switch::new(sockets, known, noted));
            match opened {
                Ok(mut switch) => {
                    let _ = said.send(Ok(()));
                    while !over.load(Relaxed) {
                        switch.turn();
                    }
                }
                Err(error) => drop(said.send(Err(error))),
            }
        })?;
        heard.recv().context("the sky's thread ended")??;
        Ok(Self { cables, punctuality, is_over, thread: Some(thread) })
    }

    pub fn connect(&self, port: usize, is_connected: bool) {
        self.cables[port].is_connected.store(is_connected, Relaxed);
    }

    /// What comes to a port from now on passes a bottleneck that holds back so much and drops what comes on top; 0 kbit/s: none.
    /// What is on its way stays so.
    pub fn narrow(&self, port: usize, bandwidth_kbps: f64, queue: Duration) {
        self.cables[port].narrow(bandwidth_kbps, queue);
    }

    /// The part of the frames that were late, of those since this was asked last.
    pub fn late(&self) -> f64 {
        let Punctuality { frames, late } = &*self.punctuality;
        let (frames, late) = (frames.swap(0, Relaxed), late.swap(0, Relaxed));
        late as f64 / frames.max(1) as f64
    }
}

impl Drop for Sky {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // How it ended no longer matters.
            let _ = thread.join();
        }
    }
}

/// Everything that comes in at a device.
fn open(device: &str) -> Result<OwnedFd> {
    let all = SockProtocol::EthAll;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, all)?;
    let found = getifaddrs()?.find_map(|entry| {
        let address = *entry.address?.as_link_addr()?;
        (entry.interface_name == device).then_some(address)
    });
    // What the system lists has the device's number, and no protocol: bound to it, the socket keeps the one that it was made with.
    let address: LinkAddr = found.with_context(|| format!("there is no device {device}"))?;
    bind(socket.as_raw_fd(), &address).with_context(|| format!("listening on {device}"))?;
    Ok(socket)
}

/// A frame on its way. The order is that of arrival.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    nth: u64,
    to: usize,
    frame: Vec<u8>,
}

struct Switch {
    sockets: Vec<OwnedFd>,
    cables: Vec<Arc<Cable>>,
    punctuality: Arc<Punctuality>,
    /// What the cables' times count from.
    begun: Instant,
    /// Behind which port an address was seen last.
    places: HashMap<[u8; 6], usize>,
    under_way: BinaryHeap<Reverse<Flight>>,
    nth: u64,
}

impl Switch {
    fn new(sockets: Vec<OwnedFd>, cables: Vec<Arc<Cable>>, punctuality: Arc<Punctuality>) -> Self {
        let (places, under_way) = (HashMap::new(), BinaryHeap::new());
        Self { sockets, cables, punctuality, begun: Instant::now(), places, under_way, nth: 0 }
    }

    fn turn(&mut self) {
        let next = self.under_way.peek().map(|Reverse(flight)| flight.at.saturating_duration_since(Instant::now()));
        let sleep = next.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
        let sleep = Timespec { tv_sec: 0, tv_nsec: sleep.subsec_nanos().into() };
        let mut polled: Vec<PollFd<'_>> = self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        // An interrupted wait is a short one.
        let _ = poll(&mut polled, Some(&sleep));
        let ready: Vec<usize> = (0..polled.len()).filter(|at| polled[*at].revents().contains(PollFlags::IN)).collect();
        for from in ready {
            self.receive(from);
        }
        let now = Instant::now();
        while self.under_way.peek().is_some_and(|Reverse(flight)| flight.at <= now) {
            let Some(Reverse(Flight { at, to, frame, .. })) = self.under_way.pop() else { return };
            self.punctuality.frames.fetch_add(1, Relaxed);
            self.punctuality.late.fetch_add(u64::from(now - at > LATE), Relaxed);
            // A frame that the system refuses is a lost frame.
            let _ = send(self.sockets[to].as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT);
        }
    }

    fn receive(&mut self, from: usize) {
        let mut frame = [0; FRAME];
        for _ in 0..AT_ONCE {
            let Ok((length, address)) = recvfrom::<LinkAddr>(self.sockets[from].as_raw_fd(), &mut frame) else { return };
            if address.is_some_and(|address| address.pkttype() == OUTGOING) {
                continue;
            }
            self.carry(Instant::now(), from, &frame[..length.min(FRAME)]);
        }
    }

    fn carry(&mut self, now: Instant, from: usize, frame: &[u8]) {
        let (Some(target), Some(source)) = (address(frame, 0), address(frame, 6)) else { return };
        self.places.insert(source, from);
        let known = self.places.get(&target).copied();
        for to in (0..self.cables.len()).filter(|to| *to != from && known.is_none_or(|known| known == *to)) {
            let is_connected = [from, to].iter().all(|port| self.cables[*port].is_connected.load(Relaxed));
            if !is_connected || self.under_way.len() >= UNDER_WAY {
                continue;
            }
            let middle = now + self.cables[from].one_way;
            let Some(at) = self.cables[to].arrival(self.begun, middle, frame.len()) else { continue };
            self.nth += 1;
            self.under_way.push(Reverse(Flight { at, nth: self.nth, to, frame: frame.to_vec() }));
        }
    }
}

/// One of the two addresses that an Ethernet frame begins with.
fn address(frame: &[u8], at: usize) -> Option<[u8; 6]> {
    frame.get(at..at + 6)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From one address to another, with nothing in it.
    fn frame(to: u8, from: u8) -> Vec<u8> {
        [[to; 6], [from; 6]].concat()
    }

    fn switch(ms: [u64; 3]) -> (Switch, Vec<Arc<Cable>>) {
        let cables: Vec<_> = ms.iter().map(|ms| Arc::new(Cable::new(Duration::from_millis(*ms)))).collect();
        (Switch::new(Vec::new(), cables.clone(), Arc::default()), cables)
    }

    /// Where everything goes, and in how many ms.
    fn flights(switch: &mut Switch, now: Instant) -> Vec<(usize, u128)> {
        let ms = |at: Instant| (at - now).as_millis();
        let mut flights: Vec<_> = switch.under_way.drain().map(|Reverse(flight)| (flight.to, ms(flight.at))).collect();
        flights.sort_unstable();
        flights
    }

    #[test]
    fn frames_go_where_their_address_was_seen_after_the_length_of_both_cables_and_not_over_a_cut_one() {
        let (mut switch, cables) = switch([10, 40, 90]);
        let now = Instant::now();
        switch.carry(now, 0, &frame(2, 1));
        assert_eq!(flights(&mut switch, now), [(1, 50), (2, 100)], "nobody knows where 2 is");
        switch.carry(now, 1, &frame(1, 2));
        assert_eq!(flights(&mut switch, now), [(0, 50)]);
        switch.carry(now, 2, &frame(2, 3));
        assert_eq!(flights(&mut switch, now), [(1, 130)]);
        cables[1].is_connected.store(false, Relaxed);
        switch.carry(now, 2, &frame(2, 3));
        switch.carry(now, 1, &frame(1, 2));
        assert!(switch.under_way.is_empty(), "port 1 is cut");
        switch.carry(now, 0, &[1; 11]);
        assert!(switch.under_way.is_empty(), "half a frame is none");
    }

    #[test]
    fn frames_to_a_narrow_port_queue_and_what_finds_the_queue_full_is_lost() {
        let (mut switch, cables) = switch([0, 0, 100]);
        let now = Instant::now();
        switch.carry(now, 2, &frame(1, 3));
        flights(&mut switch, now);
        // A thousand bytes without Ethernet's take 20 ms.
        cables[2].narrow(400.0, Duration::from_millis(50));
        let large = [frame(3, 1), vec![0; 1_002]].concat();
        (0..8).for_each(|_| switch.carry(now, 0, &large));
        assert_eq!(flights(&mut switch, now), [(2, 120), (2, 140), (2, 160)]);
        let later = now + Duration::from_millis(60);
        switch.carry(later, 0, &large);
        assert_eq!(flights(&mut switch, later), [(2, 120)], "the queue is empty again");
        cables[2].narrow(0.0, Duration::ZERO);
        let wide = later + Duration::from_millis(10);
        (0..8).for_each(|_| switch.carry(wide, 0, &large));
        assert_eq!(flights(&mut switch, wide), [(2, 110); 8], "nobody overtakes what still waits");
    }
}
