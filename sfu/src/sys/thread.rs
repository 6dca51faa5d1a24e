//! Waiting, waking, pinning, prefetching.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// Waits for a socket to be readable, or a second one at times, or for a [`Waker`].
pub struct Poll {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    socket: RawFd,
    aside: Option<RawFd>,
}

/// What a wait ended with: which of the sockets are readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    pub socket: bool,
    pub aside: bool,
}

/// Ends a worker's wait from any thread. Waking twice before the wait ends once is one wake.
#[derive(Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Poll {
    /// For a socket, and perhaps a second one.
    pub fn new(socket: RawFd, aside: Option<RawFd>) -> io::Result<Poll> {
        // SAFETY: both calls take no pointers; the returned descriptors are owned by nobody else.
        let (epoll, wake) = unsafe {
            let epoll = OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?);
            let wake = OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?);
            (epoll, wake)
        };
        for fd in [socket, wake.as_raw_fd()].into_iter().chain(aside) {
            let mut interest = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
            // SAFETY: `interest` lives through the call; the kernel copies it.
            check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut interest) })?;
        }
        Ok(Poll { epoll, wake: Arc::new(wake), socket, aside })
    }

    pub fn waker(&self) -> Waker {
        Waker(self.wake.clone())
    }

    /// Whether waits end for the second socket. They do at first.
    pub fn heed_aside(&self, is_heeded: bool) {
        let Some(fd) = self.aside else { return };
        let events = if is_heeded { libc::EPOLLIN as u32 } else { 0 };
        let mut interest = libc::epoll_event { events, u64: fd as u64 };
        // SAFETY: `interest` lives through the call; the kernel copies it. It fails for a descriptor that was not added, or without
        // memory; then waits go on to end, or to end in time.
        unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_MOD, fd, &mut interest) };
    }

    /// Returns when something is readable, someone woke us, or the time is over (rounded up to a millisecond).
    pub fn wait(&self, timeout: Option<Duration>) -> Ready {
        let millis = timeout.map_or(-1, |t| t.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32);
        let mut events = [libc::epoll_event { events: 0, u64: u64::MAX }; 3];
        // SAFETY: the kernel writes at most `events.len()` entries.
        unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), events.len() as i32, millis) };
        let is_ready = |fd: RawFd| events.iter().any(|event| event.u64 == fd as u64);
        if is_ready(self.wake.as_raw_fd()) {
            let mut count = 0u64;
            // SAFETY: an eventfd read writes 8 bytes; it cannot fail after a wake, and nothing would follow from it.
            unsafe { libc::read(self.wake.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
        }
        Ready { socket: is_ready(self.socket), aside: self.aside.is_some_and(is_ready) }
    }
}

impl Waker {
    pub fn wake(&self) {
        let one = 1u64;
        // SAFETY: an eventfd write reads 8 bytes. It fails only when the counter is full, and then the worker is awake anyway.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }
}

/// Pins the calling thread to the `index`-th processor that the process may use (round robin).
pub fn pin(index: usize) {
    // SAFETY: a zeroed cpu_set_t is an empty set; the calls get its true size and a pointer to it.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut allowed) != 0 {
            return;
        }
        let count = libc::CPU_COUNT(&allowed).max(1) as usize;
        let mine = (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &allowed)).nth(index % count);
        if let Some(cpu) = mine {
            let mut only: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut only);
            // A refusal leaves the thread where the scheduler puts it.
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &only);
        }
    }
}

/// Asks for the cache lines of the first `len` bytes of `value`: listeners' state is cold when a packet comes every 20 ms, and
/// asking for the next listener's while sealing for this one hides most of the misses.
#[inline(always)]
pub fn prefetch<T>(value: &T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..len.min(size_of::<T>())).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address lies inside `value`; prefetching reads nothing architecturally.
        unsafe { _mm_prefetch((&raw const *value).cast::<i8>().add(line), _MM_HINT_T0) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value, len);
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
