//! ICE over TCP (RFC 6544, passive) for clients whose network lets no UDP through, on the port that everything else has.
//!
//! Each connection gets a UDP socket of its own on this machine: what is in a frame (RFC 4571) goes on to the worker as a
//! datagram, and what comes back goes into a frame. So the worker knows nothing of TCP, and no rule of it has an exception:
//! the address of that socket is believed by the same proofs as any. A client that reads too slowly loses datagrams here, as
//! it would on a full link: audio that waits is worth less than audio that is lost.

use crate::sys::net::{RECV_CAPACITY, SEND_CAPACITY, unsent};
use crate::{PeerId, webrtc};
use socket2::SockRef;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout};

/// From the connection's beginning to a connectivity check that names a peer of ours.
const FIRST_CHECK: Duration = Duration::from_secs(10);

/// A client sends a consent check every few seconds (RFC 7675: it has 30 s to be heard of).
const SILENCE: Duration = Duration::from_secs(30);

/// What the network has not taken yet beyond this makes the next datagram late: half a second of four voices.
const LATE_BYTES: usize = 16 << 10;

/// The length that stands before each datagram.
const HEAD: usize = 2;

/// Whether a connection whose first byte is this speaks RFC 4571: its first frame is a connectivity check of a few hundred
/// bytes. HTTP starts with a letter, TLS with 22.
pub const fn is_framed(first_byte: u8) -> bool {
    first_byte < 4
}

/// What all connections share.
#[derive(Debug, Default)]
pub struct Counters {
    open: AtomicUsize,
    dropped: AtomicU64,
}

/// A snapshot of [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpStats {
    /// Connections that carry a client's media now.
    pub open: usize,
    /// Datagrams that their clients did not read in time.
    pub dropped: u64,
}

impl Counters {
    pub fn snapshot(&self) -> TcpStats {
        TcpStats { open: self.open.load(Ordering::Relaxed), dropped: self.dropped.load(Ordering::Relaxed) }
    }
}

/// One of [`Counters::open`].
struct Open<'a>(&'a Counters);

impl<'a> Open<'a> {
    fn new(counters: &'a Counters) -> Open<'a> {
        counters.open.fetch_add(1, Ordering::Relaxed);
        Open(counters)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Carries one connection until the client leaves, is silent, or says what nobody understands. `worker_of` tells where the
/// worker of a peer is bound.
pub async fn carry(client: TcpStream, counters: &Counters, worker_of: impl FnOnce(PeerId) -> Option<SocketAddr>) -> io::Error {
    match begin(client, counters, worker_of).await {
        Ok(relay) => relay.run().await,
        Err(error) => error,
    }
}

/// Waits for the first check and opens the way to the worker that it is meant for.
async fn begin(
    mut client: TcpStream,
    counters: &Counters,
    worker_of: impl FnOnce(PeerId) -> Option<SocketAddr>,
) -> io::Result<Relay<'_>> {
    let mut frames = Frames::new();
    let first = timeout(FIRST_CHECK, frames.first(&mut client)).await.map_err(|_| ErrorKind::TimedOut)??;
    let peer = webrtc::local_ufrag(&frames.buffer[first.clone()]).and_then(webrtc::peer_of).ok_or(ErrorKind::InvalidData)?;
    let worker = at_home(worker_of(peer).ok_or(ErrorKind::NotFound)?);
    let any: IpAddr = if worker.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let datagrams = UdpSocket::bind((any, 0)).await?;
    datagrams.connect(worker).await?;
    let _ = client.set_nodelay(true);
    // Nobody's audio: more than this only waits.
    let _ = SockRef::from(&client).set_send_buffer_size(8 * LATE_BYTES);
    datagrams.send(&frames.buffer[first]).await?;
    let (from_client, to_client) = client.into_split();
    Ok(Relay {
        from_client,
        to_client,
        datagrams,
        frames,
        rest: Vec::new(),
        heard: Instant::now(),
        counters,
        _open: Open::new(counters),
    })
}

/// The worker's address as seen from this machine.
fn at_home(bound: SocketAddr) -> SocketAddr {
    // A socket that is bound to both families hears IPv4, too.
    if bound.ip().is_unspecified() { (Ipv4Addr::LOCALHOST, bound.port()).into() } else { bound }
}

struct Relay<'a> {
    from_client: OwnedReadHalf,
    to_client: OwnedWriteHalf,
    datagrams: UdpSocket,
    frames: Frames,
    /// Of a frame that the client's connection took only in part.
    rest: Vec<u8>,
    heard: Instant,
    counters: &'a Counters,
    _open: Open<'a>,
}

impl Relay<'_> {
    async fn run(mut self) -> io::Error {
        match self.relay().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn relay(&mut self) -> io::Result<Infallible> {
        let mut frame = [0; HEAD + SEND_CAPACITY];
        loop {
            tokio::select! {
                read = self.from_client.read(self.frames.space()) => {
                    self.frames.add(read?)?;
                    self.heard = Instant::now();
                    self.pass_on()?;
                }
                received = self.datagrams.recv(&mut frame[HEAD..]) => {
                    // The worker's socket is refused while the process stops.
                    let len = received?;
                    frame[..HEAD].copy_from_slice(&(len as u16).to_be_bytes());
                    self.send(&frame[..HEAD + len])?;
                }
                ready = self.to_client.writable(), if !self.rest.is_empty() => {
                    ready?;
                    let taken = self.write(&self.rest)?;
                    self.rest.drain(..taken);
                }
                () = sleep_until(self.heard + SILENCE) => return Err(ErrorKind::TimedOut.into()),
            }
        }
    }

    /// Gives the worker every datagram that is complete.
    fn pass_on(&mut self) -> io::Result<()> {
        while let Some(datagram) = self.frames.next()? {
            match self.datagrams.try_send(&self.frames.buffer[datagram]) {
                Ok(_) => {}
                // Its queue is full: a loss like any.
                Err(error) if error.kind() == ErrorKind::WouldBlock => _ = self.counters.dropped.fetch_add(1, Ordering::Relaxed),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A frame for the client, now or never; one that is taken in part is finished later.
    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        let is_late = !self.rest.is_empty() || unsent(self.to_client.as_ref().as_raw_fd())? > LATE_BYTES;
        let taken = if is_late { 0 } else { self.write(frame)? };
        if taken == 0 {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.rest.extend_from_slice(&frame[taken..]);
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.to_client.try_write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }
}

/// Whether a frame that begins so may hold a binding request (RFC 8489 §5).
fn can_be_check(read: &[u8]) -> bool {
    const TYPE_AND_COOKIE: [(usize, u8); 6] = [(2, 0), (3, 1), (6, 0x21), (7, 0x12), (8, 0xA4), (9, 0x42)];
    TYPE_AND_COOKIE.iter().all(|&(at, byte)| read.get(at).is_none_or(|&found| found == byte))
}

/// Cuts what was read into frames. An empty frame is skipped; one that no datagram of ours could be ends the connection.
struct Frames {
    /// Two of the largest: while one is incomplete there is always room to read.
    buffer: Box<[u8; 2 * (HEAD + RECV_CAPACITY)]>,
    /// What is read and not taken yet.
    unread: Range<usize>,
}

impl Frames {
    fn new() -> Frames {
        Frames { buffer: Box::new([0; 2 * (HEAD + RECV_CAPACITY)]), unread: 0..0 }
    }

    /// Waits for one whole frame; not for what cannot become a connectivity check.
    async fn first(&mut self, client: &mut TcpStream) -> io::Result<Range<usize>> {
        loop {
            if !can_be_check(&self.buffer[self.unread.clone()]) {
                return Err(ErrorKind::InvalidData.into());
            }
            if let Some(frame) = self.next()? {
                return Ok(frame);
            }
            let read = client.read(self.space()).await?;
            self.add(read)?;
        }
    }

    /// Room for what is read next; never empty once [`Frames::next`] returned `None`.
    fn space(&mut self) -> &mut [u8] {
        if self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        &mut self.buffer[self.unread.end..]
    }

    /// So many bytes were read into [`Frames::space`]; none: the client is gone.
    fn add(&mut self, read: usize) -> io::Result<()> {
        self.unread.end += read;
        if read > 0 { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    /// Where in the buffer the next datagram is; it stays there until [`Frames::space`].
    fn next(&mut self) -> io::Result<Option<Range<usize>>> {
        loop {
            let Some(head) = self.buffer[self.unread.clone()].first_chunk::<HEAD>() else { return Ok(None) };
            let len = usize::from(u16::from_be_bytes(*head));
            if len > RECV_CAPACITY {
                return Err(ErrorKind::InvalidData.into());
            }
            if self.unread.len() < HEAD + len {
                return Ok(None);
            }
            let start = self.unread.start + HEAD;
            self.unread.start = start + len;
            if len > 0 {
                return Ok(Some(start..start + len));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let datagrams: Vec<Vec<u8>> = [1, 300, RECV_CAPACITY, 2, RECV_CAPACITY].iter().map(|&len| vec![len as u8; len]).collect();
        let mut stream = vec![0, 0];
        for datagram in &datagrams {
            stream.extend((datagram.len() as u16).to_be_bytes());
            stream.extend(datagram);
        }
        for piece in [1, 2, 3, 700, 5000] {
            let (mut frames, mut found, mut rest) = (Frames::new(), Vec::new(), &stream[..]);
            while !rest.is_empty() {
                let space = frames.space();
                let len = piece.min(space.len()).min(rest.len());
                assert!(len > 0, "there is always room");
                space[..len].copy_from_slice(&rest[..len]);
                rest = &rest[len..];
                frames.add(len).expect("the client is there");
                while let Some(frame) = frames.next().expect("nothing is too long") {
                    found.push(frames.buffer[frame].to_vec());
                }
            }
            assert_eq!(found, datagrams, "in pieces of {piece}");
        }
    }

    #[test]
    fn nobody_waits_for_the_rest_of_what_is_no_check() {
        let check = [0, 100, 0, 1, 0, 80, 0x21, 0x12, 0xA4, 0x42, 7];
        assert!((0..=check.len()).all(|len| can_be_check(&check[..len])));
        for at in [2, 3, 6, 7, 8, 9] {
            let mut junk = check;
            junk[at] ^= 1;
            assert!(!can_be_check(&junk) && can_be_check(&junk[..at]), "byte {at}");
        }
    }

    #[test]
    fn what_no_datagram_can_be_is_refused() {
        let mut frames = Frames::new();
        frames.space()[..2].copy_from_slice(&(RECV_CAPACITY as u16 + 1).to_be_bytes());
        frames.add(2).expect("the client is there");
        assert_eq!(frames.next().expect_err("it is too long").kind(), ErrorKind::InvalidData);
        assert_eq!(frames.add(0).expect_err("the client is gone").kind(), ErrorKind::UnexpectedEof);
    }
}
