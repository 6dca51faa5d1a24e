//! A switch of frames in user space, whose cables have lengths.

use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send, socket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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

/// The running switch.
pub struct Sky {
    is_connected: Vec<Arc<AtomicBool>>,
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Sky {
    /// `enter` brings its thread into the namespace of the ports.
    pub fn start(ports: Vec<Port>, enter: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Self> {
        let is_connected: Vec<Arc<AtomicBool>> = ports.iter().map(|_| Arc::new(AtomicBool::new(true))).collect();
        let is_over = Arc::new(AtomicBool::new(false));
        let (said, heard) = std::sync::mpsc::channel();
        let (connected, over) = (is_connected.clone(), is_over.clone());
        let thread = std::thread::Builder::new().name("sky".to_owned()).spawn(move || {
            let opened = enter().and_then(|()| ports.iter().map(|port| open(&port.device)).collect::<Result<Vec<_>>>());
            let opened = opened.map(|sockets| Switch::new(ports, sockets, connected));
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
        Ok(Self { is_connected, is_over, thread: Some(thread) })
    }

    pub fn connect(&self, port: usize, is_connected: bool) {
        self.is_connected[port].store(is_connected, Relaxed);
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
    ports: Vec<Port>,
    sockets: Vec<OwnedFd>,
    is_connected: Vec<Arc<AtomicBool>>,
    /// Behind which port an address was seen last.
    places: HashMap<[u8; 6], usize>,
    under_way: BinaryHeap<Reverse<Flight>>,
    nth: u64,
}

impl Switch {
    fn new(ports: Vec<Port>, sockets: Vec<OwnedFd>, is_connected: Vec<Arc<AtomicBool>>) -> Self {
        Self { ports, sockets, is_connected, places: HashMap::new(), under_way: BinaryHeap::new(), nth: 0 }
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
            let Some(Reverse(Flight { to, frame, .. })) = self.under_way.pop() else { return };
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
            self.carry(from, &frame[..length.min(FRAME)]);
        }
    }

    fn carry(&mut self, from: usize, frame: &[u8]) {
        let (Some(target), Some(source)) = (address(frame, 0), address(frame, 6)) else { return };
        self.places.insert(source, from);
        let known = self.places.get(&target).copied();
        for to in (0..self.ports.len()).filter(|to| *to != from && known.is_none_or(|known| known == *to)) {
            let is_connected = [from, to].iter().all(|port| self.is_connected[*port].load(Relaxed));
            if is_connected && self.under_way.len() < UNDER_WAY {
                let at = Instant::now() + self.ports[from].one_way + self.ports[to].one_way;
                self.nth += 1;
                self.under_way.push(Reverse(Flight { at, nth: self.nth, to, frame: frame.to_vec() }));
            }
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

    fn flights(switch: &mut Switch) -> Vec<(usize, Duration)> {
        let now = Instant::now();
        let mut flights: Vec<_> = switch.under_way.drain().map(|Reverse(flight)| (flight.to, flight.at - now)).collect();
        flights.sort_unstable();
        flights
    }

    #[test]
    fn frames_go_where_their_address_was_seen_after_the_length_of_both_cables_and_not_over_a_cut_one() {
        let ports = [10, 40, 90].map(|ms| Port::new(format!("port{ms}"), Duration::from_millis(ms)));
        let is_connected: Vec<_> = (0..3).map(|_| Arc::new(AtomicBool::new(true))).collect();
        let mut switch = Switch::new(ports.into(), Vec::new(), is_connected.clone());
        let about = |flights: Vec<(usize, Duration)>| -> Vec<(usize, u128)> {
            flights.into_iter().map(|(to, left)| (to, (left.as_millis() + 5) / 10 * 10)).collect()
        };
        switch.carry(0, &frame(2, 1));
        assert_eq!(about(flights(&mut switch)), [(1, 50), (2, 100)], "nobody knows where 2 is");
        switch.carry(1, &frame(1, 2));
        assert_eq!(about(flights(&mut switch)), [(0, 50)]);
        switch.carry(2, &frame(2, 3));
        assert_eq!(about(flights(&mut switch)), [(1, 130)]);
        is_connected[1].store(false, Relaxed);
        switch.carry(2, &frame(2, 3));
        switch.carry(1, &frame(1, 2));
        assert!(flights(&mut switch).is_empty(), "port 1 is cut");
        switch.carry(0, &[1; 11]);
        assert!(flights(&mut switch).is_empty(), "half a frame is none");
    }
}
