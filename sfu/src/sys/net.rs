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

/// Has the kernel put RTCP (RFC 5761 §4) into the second socket that is bound to an address, and everything else into the first;
/// both share their port, and either may be given.
pub fn put_rtcp_aside(socket: RawFd) -> io::Result<()> {
    const BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    // A datagram that has no such byte is answered with the first socket.
    let mut program = [
        step(BYTE, 0, 0, 0),
        step(AT_LEAST, 128, 0, 5),
        step(AT_LEAST, 192, 4, 0),
        step(BYTE, 1, 0, 0),
        step(AT_LEAST, 192, 0, 2),
        step(AT_LEAST, 224, 1, 0),
        step(ANSWER, 1, 0, 0),
        step(ANSWER, 0, 0, 0),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives through the call and has the length that is said.
    let result = unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as u32,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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
    /// How many headers the kernel wrote to since they were last made ready.
    used: usize,
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
        Receiver { buffers, controls, messages, used: BATCH }
    }

    /// Takes what has arrived, without waiting. An empty socket is `Ok(0)`.
    pub fn receive(&mut self, socket: RawFd) -> io::Result<usize> {
        for header in &mut self.messages.headers[..std::mem::take(&mut self.used)] {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            header.msg_hdr.msg_controllen = size_of::<Control>() as _;
        }
        // SAFETY: the headers point into boxes that this value owns and that never move or change length; the kernel writes
        // at most the lengths given.
        let received = unsafe {
            libc::recvmmsg(socket, self.messages.headers.as_mut_ptr(), BATCH as u32, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        if received >= 0 {
            self.used = received as usize;
            return Ok(self.used);
        }
        // One that was refused may have been written to.
        self.used = 1;
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

/// What one message takes: every kernel that has segmentation cuts into so many.
const MOST_SEGMENTS: usize = 64;

/// And so many bytes: what an IP packet's length says, less its headers.
const MOST_RUN: usize = 65_000;

/// Places of the table of destinations: hardly any two of a batch fall into one.
const PLACES: usize = 1024;

/// No datagram, and no run.
const NONE: u16 = u16::MAX;

/// A datagram that waits.
#[derive(Clone, Copy)]
struct Queued {
    start: u32,
    len: u32,
    /// The one behind it in its run.
    next: u16,
}

/// Datagrams to one destination that leave as one message, which the kernel (or the network's hardware) cuts: of one length, but
/// for a shorter last one. What is spared is the kernel's way through routes and queues for each of them.
#[derive(Clone, Copy)]
struct Run {
    to: SocketAddr,
    first: u16,
    last: u16,
    count: usize,
    /// Of each but the last. Nothing is cut into empty ones.
    len: usize,
    bytes: usize,
    is_closed: bool,
}

/// Collects datagrams and sends them together.
pub struct Sender {
    arena: Box<[u8]>,
    /// Where the next datagram is written.
    start: usize,
    queued: Vec<Queued>,
    runs: Vec<Run>,
    /// The newest run of a destination, found by its address; and which places to clear.
    table: Box<[u16; PLACES]>,
    taken: Vec<u16>,
    messages: Messages<SEND_BATCH>,
    controls: Box<[Control; SEND_BATCH]>,
    is_ipv6: bool,
    /// Not every system cuts.
    is_cutting: bool,
}

impl Sender {
    /// `is_ipv6` says that the socket is an IPv6 one, which reaches IPv4 through mapped addresses.
    pub fn new(is_ipv6: bool) -> Sender {
        Sender {
            arena: vec![0; ARENA].into_boxed_slice(),
            start: 0,
            queued: Vec::with_capacity(SEND_BATCH),
            runs: Vec::with_capacity(SEND_BATCH),
            table: Box::new([NONE; PLACES]),
            taken: Vec::with_capacity(SEND_BATCH),
            messages: Messages::new(),
            controls: Box::new([Control([0; 64]); SEND_BATCH]),
            is_ipv6,
            is_cutting: true,
        }
    }

    pub fn is_full(&self) -> bool {
        self.queued.len() == SEND_BATCH || self.start + SEND_CAPACITY > ARENA
    }

    pub fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Where the next datagram is to be written. Not to be called when full.
    #[inline]
    pub fn slot(&mut self) -> &mut [u8] {
        &mut self.arena[self.start..self.start + SEND_CAPACITY]
    }

    /// Queues the first `len` bytes of the slot for `to`. Datagrams to one destination keep their order.
    #[inline]
    pub fn commit(&mut self, len: usize, to: SocketAddr) {
        debug_assert!(len <= SEND_CAPACITY);
        let number = self.queued.len() as u16;
        self.queued.push(Queued { start: self.start as u32, len: len as u32, next: NONE });
        self.start += len.next_multiple_of(64);
        let place = self.place(to);
        if let Some(run) = self.runs.get_mut(usize::from(self.table[place]))
            && !run.is_closed
            && (1..=run.len).contains(&len)
            && run.count < MOST_SEGMENTS
            && run.bytes + len <= MOST_RUN
        {
            self.queued[usize::from(run.last)].next = number;
            (run.last, run.count, run.bytes) = (number, run.count + 1, run.bytes + len);
            run.is_closed = len < run.len;
            return;
        }
        if self.table[place] == NONE {
            self.taken.push(place as u16);
        }
        self.table[place] = self.runs.len() as u16;
        self.runs.push(Run {
            to,
            first: number,
            last: number,
            count: 1,
            len,
            bytes: len,
            is_closed: !self.is_cutting || len == 0,
        });
    }

    /// The place of a destination in the table: its own, or a free one.
    #[inline]
    fn place(&self, to: SocketAddr) -> usize {
        let address = match to.ip() {
            std::net::IpAddr::V4(ip) => u64::from(u32::from(ip)),
            std::net::IpAddr::V6(ip) => {
                let bits = u128::from(ip);
                (bits >> 64) as u64 ^ bits as u64
            }
        };
        // Fibonacci hashing: the upper bits of the product depend on all bits of the address.
        let hash = (address ^ u64::from(to.port()) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut place = (hash >> (64 - PLACES.trailing_zeros())) as usize;
        // A quarter of the places is taken at most, so a free one is near.
        while let Some(run) = self.runs.get(usize::from(self.table[place]))
            && run.to != to
        {
            place = (place + 1) % PLACES;
        }
        place
    }

    /// Sends everything. One refused destination costs only its own datagrams. When the socket's buffer is full the rest is
    /// dropped: late audio is worth less than the time of everyone behind it.
    pub fn flush(&mut self, socket: RawFd) -> Sent {
        self.wire();
        let mut sent = Sent::default();
        let mut next = 0;
        while next < self.runs.len() {
            // SAFETY: the headers of `runs` point to names, vectors and controls of this value; the vectors point into its arena.
            let result = unsafe {
                libc::sendmmsg(
                    socket,
                    self.messages.headers.as_mut_ptr().add(next),
                    (self.runs.len() - next) as u32,
                    libc::MSG_DONTWAIT,
                )
            };
            if result > 0 {
                for run in &self.runs[next..next + result as usize] {
                    sent.packets += run.count as u64;
                    sent.bytes += run.bytes as u64;
                }
                next += result as usize;
                continue;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    sent.buffer_full += self.runs[next..].iter().map(|run| run.count as u64).sum::<u64>();
                    break;
                }
                _ if self.runs[next].count > 1 => {
                    // That no device cuts is about the system; anything else is about the destination or the way to it.
                    self.is_cutting &= error.raw_os_error() != Some(libc::EIO);
                    self.send_singly(socket, next, &mut sent);
                    next += 1;
                }
                _ => {
                    sent.refused += 1;
                    next += 1;
                }
            }
        }
        self.queued.clear();
        self.runs.clear();
        self.taken.drain(..).for_each(|place| self.table[usize::from(place)] = NONE);
        self.start = 0;
        sent
    }

    /// Describes every run to the kernel.
    fn wire(&mut self) {
        let Sender { arena, queued, runs, messages, controls, is_ipv6, .. } = self;
        let mut vector = 0;
        for (at, run) in runs.iter().enumerate() {
            let to = match run.to {
                SocketAddr::V4(to) if *is_ipv6 => SocketAddr::new(to.ip().to_ipv6_mapped().into(), to.port()),
                to => to,
            };
            let header = &mut messages.headers[at].msg_hdr;
            header.msg_namelen = write_address(&mut messages.names[at], to);
            header.msg_iov = &mut messages.vectors[vector];
            header.msg_iovlen = run.count as _;
            let mut datagram = run.first;
            while let Some(&Queued { start, len, next }) = queued.get(usize::from(datagram)) {
                let bytes = &mut arena[start as usize..(start + len) as usize];
                messages.vectors[vector] = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
                (vector, datagram) = (vector + 1, next);
            }
            if run.count > 1 {
                header.msg_controllen = write_segment(&mut controls[at], run.len as u16) as _;
                header.msg_control = (&raw mut controls[at].0).cast();
            } else {
                (header.msg_control, header.msg_controllen) = (std::ptr::null_mut(), 0);
            }
        }
    }

    /// Sends a run's datagrams one by one.
    fn send_singly(&mut self, socket: RawFd, run: usize, sent: &mut Sent) {
        let mut header = self.messages.headers[run].msg_hdr;
        (header.msg_control, header.msg_controllen) = (std::ptr::null_mut(), 0);
        let mut datagram = self.runs[run].first;
        while let Some(&Queued { start, len, next }) = self.queued.get(usize::from(datagram)) {
            let bytes = &mut self.arena[start as usize..(start + len) as usize];
            let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            (header.msg_iov, header.msg_iovlen) = (&raw mut vector, 1);
            // SAFETY: the header points to this value's name and to `vector`, which live through the call.
            if unsafe { libc::sendmsg(socket, &raw const header, libc::MSG_DONTWAIT) } >= 0 {
                (sent.packets, sent.bytes) = (sent.packets + 1, sent.bytes + u64::from(len));
            } else if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                sent.buffer_full += 1;
            } else {
                sent.refused += 1;
            }
            datagram = next;
        }
    }
}

/// The control message that has the kernel cut a message into datagrams of so many bytes. Returns its length.
fn write_segment(control: &mut Control, len: u16) -> usize {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let header = libc::cmsghdr {
        // SAFETY: plain arithmetic on lengths.
        cmsg_len: unsafe { libc::CMSG_LEN(size_of::<u16>() as u32) } as _,
        cmsg_level: libc::SOL_UDP,
        cmsg_type: libc::UDP_SEGMENT,
    };
    // SAFETY: both lie within the buffer, and writing unaligned asks for no alignment. The data follows the header, whose size is
    // a multiple of the alignment.
    unsafe {
        let start = control.0.as_mut_ptr();
        start.cast::<libc::cmsghdr>().write_unaligned(header);
        start.add(HEADER).cast::<u16>().write_unaligned(len);
        libc::CMSG_SPACE(size_of::<u16>() as u32) as usize
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
