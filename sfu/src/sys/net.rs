//! Batches of datagrams: one system call receives or sends up to a batch.

use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;
use std::time::Duration;

/// Datagrams per system call in both directions. At 64 the cost per datagram is within 2 % of its limit.
pub const BATCH: usize = 64;

/// Room for one received datagram: an Ethernet frame's worth and some, a multiple of the cache line with an odd count of
/// lines, so that the buffers' first lines do not all fall into the same cache sets.
pub const RECV_CAPACITY: usize = 33 * 64;

/// Copies that wait for one `sendmmsg`: a room of 250 listeners leaves in one call.
pub const SEND_BATCH: usize = 256;

/// The longest datagram that is sent: what an Ethernet path carries.
pub const SEND_CAPACITY: usize = 1536;

/// Bytes for copies that wait. Datagrams are packed at cache line bounds, so a batch of audio touches few pages.
const ARENA: usize = 256 * 1024;

/// The kernel's description of `N` datagrams of one piece each, wired together once.
struct Messages<const N: usize> {
    names: Box<[libc::sockaddr_storage; N]>,
    vectors: Box<[libc::iovec; N]>,
    headers: Box<[libc::mmsghdr; N]>,
}

impl<const N: usize> Messages<N> {
    fn new() -> Messages<N> {
        // SAFETY: all three are plain C structs for which zero is a valid value.
        let mut messages: Messages<N> =
            unsafe { Messages { names: Box::new(zeroed()), vectors: Box::new(zeroed()), headers: Box::new(zeroed()) } };
        for i in 0..N {
            messages.headers[i].msg_hdr.msg_iov = &mut messages.vectors[i];
            messages.headers[i].msg_hdr.msg_iovlen = 1;
            messages.headers[i].msg_hdr.msg_name = (&raw mut messages.names[i]).cast();
        }
        messages
    }
}

/// Room for what the kernel says besides the datagram: one time of arrival.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Receives up to [`BATCH`] datagrams per call.
pub struct Receiver {
    buffers: Box<[[u8; RECV_CAPACITY]; BATCH]>,
    controls: Box<[Control; BATCH]>,
    messages: Messages<BATCH>,
}

/// One received datagram; `is_cut` when it was longer than the buffer.
pub struct Received<'a> {
    pub from: SocketAddr,
    pub datagram: &'a mut [u8],
    pub is_cut: bool,
    /// When the kernel took it, since the Unix epoch, if the socket tells ([`stamp_arrivals`]).
    pub arrived: Option<Duration>,
}

/// Asks the kernel to say when each datagram arrived.
pub fn stamp_arrivals(socket: RawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads the four bytes of `on`, which lives through the call.
    let result = unsafe {
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, (&raw const on).cast(), size_of::<libc::c_int>() as u32)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What a TCP connection has to send and the network has not taken yet, in bytes.
pub fn unsent(socket: RawFd) -> io::Result<usize> {
    const SIOCOUTQNSD: libc::Ioctl = 0x894B;
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one `int` to `bytes`, which lives through the call.
    let result = unsafe { libc::ioctl(socket, SIOCOUTQNSD, &raw mut bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(bytes.max(0) as usize) }
}

impl Receiver {
    pub fn new() -> Receiver {
        let mut buffers: Box<[[u8; RECV_CAPACITY]; BATCH]> =
            vec![[0; RECV_CAPACITY]; BATCH].into_boxed_slice().try_into().expect("the length is BATCH");
        let mut messages = Messages::new();
        for (vector, buffer) in messages.vectors.iter_mut().zip(buffers.iter_mut()) {
            *vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: RECV_CAPACITY };
        }
        let mut controls = Box::new([Control([0; 64]); BATCH]);
        for (header, control) in messages.headers.iter_mut().zip(controls.iter_mut()) {
            header.msg_hdr.msg_control = (&raw mut control.0).cast();
        }
        Receiver { buffers, controls, messages }
    }

    /// Takes what has arrived, without waiting. An empty socket is `Ok(0)`.
    pub fn receive(&mut self, socket: RawFd) -> io::Result<usize> {
        for header in self.messages.headers.iter_mut() {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            header.msg_hdr.msg_controllen = size_of::<Control>() as _;
        }
        // SAFETY: the headers point into boxes that this value owns and that never move or change length; the kernel writes
        // at most the lengths given.
        let received = unsafe {
            libc::recvmmsg(socket, self.messages.headers.as_mut_ptr(), BATCH as u32, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        if received >= 0 {
            return Ok(received as usize);
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            error => Err(error),
        }
    }

    /// The `index`-th datagram of the last [`Receiver::receive`]; `None` for an address family that is not IP.
    pub fn get(&mut self, index: usize) -> Option<Received<'_>> {
        let header = &self.messages.headers[index];
        let from = read_address(&self.messages.names[index])?;
        let is_cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        let len = (header.msg_len as usize).min(RECV_CAPACITY);
        let arrived = read_arrival(&self.controls[index], header.msg_hdr.msg_controllen);
        Some(Received { from, datagram: &mut self.buffers[index][..len], is_cut, arrived })
    }
}

impl Default for Receiver {
    fn default() -> Receiver {
        Receiver::new()
    }
}

// SAFETY: the raw pointers lead into the value's own boxes.
unsafe impl Send for Receiver {}
// SAFETY: as for Receiver.
unsafe impl Send for Sender {}

/// What became of a flushed batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub packets: u64,
    pub bytes: u64,
    /// Dropped because the socket's buffer was full.
    pub buffer_full: u64,
    /// Dropped because the system refused the destination.
    pub refused: u64,
}

/// Collects datagrams and sends them together.
pub struct Sender {
    arena: Box<[u8]>,
    /// Where the next datagram is written.
    start: usize,
    len: usize,
    messages: Messages<SEND_BATCH>,
    is_ipv6: bool,
}

impl Sender {
    /// `is_ipv6` says that the socket is an IPv6 one, which reaches IPv4 through mapped addresses.
    pub fn new(is_ipv6: bool) -> Sender {
        Sender { arena: vec![0; ARENA].into_boxed_slice(), start: 0, len: 0, messages: Messages::new(), is_ipv6 }
    }

    pub fn is_full(&self) -> bool {
        self.len == SEND_BATCH || self.start + SEND_CAPACITY > ARENA
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the next datagram is to be written. Not to be called when full.
    #[inline]
    pub fn slot(&mut self) -> &mut [u8] {
        &mut self.arena[self.start..self.start + SEND_CAPACITY]
    }

    /// Queues the first `len` bytes of the slot for `to`.
    #[inline]
    pub fn commit(&mut self, len: usize, to: SocketAddr) {
        debug_assert!(len <= SEND_CAPACITY);
        let datagram = &mut self.arena[self.start..self.start + len];
        self.messages.vectors[self.len] = libc::iovec { iov_base: datagram.as_mut_ptr().cast(), iov_len: len };
        let to = match to {
            SocketAddr::V4(to) if self.is_ipv6 => SocketAddr::new(to.ip().to_ipv6_mapped().into(), to.port()),
            to => to,
        };
        self.messages.headers[self.len].msg_hdr.msg_namelen = write_address(&mut self.messages.names[self.len], to);
        self.start += len.next_multiple_of(64);
        self.len += 1;
    }

    /// Sends everything. One refused destination costs only its own datagram. When the socket's buffer is full the rest is
    /// dropped: late audio is worth less than the time of everyone behind it.
    pub fn flush(&mut self, socket: RawFd) -> Sent {
        let mut sent = Sent::default();
        let mut next = 0;
        while next < self.len {
            // SAFETY: headers `next..len` point to names and vectors of this value, which point into its arena.
            let result = unsafe {
                libc::sendmmsg(socket, self.messages.headers.as_mut_ptr().add(next), (self.len - next) as u32, libc::MSG_DONTWAIT)
            };
            if result > 0 {
                for vector in &self.messages.vectors[next..next + result as usize] {
                    sent.bytes += vector.iov_len as u64;
                }
                sent.packets += result as u64;
                next += result as usize;
                continue;
            }
            match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    sent.buffer_full += (self.len - next) as u64;
                    break;
                }
                _ => {
                    sent.refused += 1;
                    next += 1;
                }
            }
        }
        self.len = 0;
        self.start = 0;
        sent
    }
}

/// The time of arrival in the first control message, which is the only one that was asked for.
fn read_arrival(control: &Control, len: usize) -> Option<Duration> {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    const STAMP: usize = size_of::<libc::timespec>();
    if len < HEADER + STAMP {
        return None;
    }
    // SAFETY: both are plain C structs for which any bytes are valid, both lie within the buffer, and reading unaligned asks
    // for no alignment. The data of a control message follows its header, whose size is a multiple of the alignment.
    let (header, stamp) = unsafe {
        let start = control.0.as_ptr();
        (start.cast::<libc::cmsghdr>().read_unaligned(), start.add(HEADER).cast::<libc::timespec>().read_unaligned())
    };
    let is_stamp = header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_TIMESTAMPNS;
    let (seconds, nanos) = (u64::try_from(stamp.tv_sec).ok()?, u32::try_from(stamp.tv_nsec).ok()?);
    is_stamp.then(|| Duration::new(seconds, nanos))
}

/// A dual-stack socket shows IPv4 senders as mapped IPv6 addresses; the engine knows them as IPv4.
fn read_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage holds a sockaddr_in, which is smaller and no more aligned.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(name.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let (ip, port) = (Ipv6Addr::from(name.sin6_addr.s6_addr), u16::from_be(name.sin6_port));
            Some(match ip.to_ipv4_mapped() {
                Some(v4) => SocketAddr::V4(SocketAddrV4::new(v4, port)),
                None => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, name.sin6_scope_id)),
            })
        }
        _ => None,
    }
}

#[inline]
fn write_address(name: &mut libc::sockaddr_storage, to: SocketAddr) -> u32 {
    match to {
        SocketAddr::V4(to) => {
            // SAFETY: sockaddr_storage is large and aligned enough for every sockaddr.
            let name = unsafe { &mut *(&raw mut *name).cast::<libc::sockaddr_in>() };
            name.sin_family = libc::AF_INET as libc::sa_family_t;
            name.sin_port = to.port().to_be();
            name.sin_addr.s_addr = u32::from(*to.ip()).to_be();
            size_of::<libc::sockaddr_in>() as u32
        }
        SocketAddr::V6(to) => {
            // SAFETY: as above.
            let name = unsafe { &mut *(&raw mut *name).cast::<libc::sockaddr_in6>() };
            name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            name.sin6_port = to.port().to_be();
            name.sin6_flowinfo = 0;
            name.sin6_addr.s6_addr = to.ip().octets();
            name.sin6_scope_id = to.scope_id();
            size_of::<libc::sockaddr_in6>() as u32
        }
    }
}

#[cfg(test)]
mod tests;
