//! Ports that must be known before their process starts, and stay the same over its restarts.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that systems give to outgoing connections (Linux: from 32768 on), one of which could take it meanwhile.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// One that nobody has on this address, another one at each call.
pub fn free_port(ip: IpAddr) -> io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..COUNT {
        // Processes that run side by side begin far from each other.
        let place = std::process::id().wrapping_mul(7_919).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = (FIRST + place % COUNT) as u16;
        match TcpListener::bind((ip, port)) {
            Ok(_) => return Ok(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => failure = error,
            Err(error) => return Err(error),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let first = free_port(loopback).unwrap();
        let held = TcpListener::bind((loopback, first + 1));
        let second = free_port(loopback).unwrap();
        assert!(second != first && (held.is_err() || second != first + 1));
        assert!([first, second].iter().all(|&port| (10_000..30_000).contains(&port)));
    }
}
