//! Batched receives with the kernel's receive times: one `recvmmsg` per readable socket, and the delay of a packet ends when
//! it arrived, not when this program came to read it.

use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use std::io::IoSliceMut;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// A listener's socket rarely holds more than a packet per speaker; what is left is read in the next round.
const BATCH: usize = 16;
/// Larger than any datagram of these protocols.
pub const DATAGRAM: usize = 2048;

pub struct Mailbox {
    headers: MultiHeaders<()>,
    buffer: Box<[u8]>,
    /// Length and receive time of each datagram of the last batch.
    got: Vec<(usize, u64)>,
}

/// Asks for receive times on a socket.
pub fn prepare(socket: &UdpSocket) -> std::io::Result<()> {
    socket.set_nonblocking(true)?;
    Ok(setsockopt(socket, sockopt::ReceiveTimestampns, &true)?)
}

impl Default for Mailbox {
    fn default() -> Self {
        let headers = MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(TimeSpec)));
        Self { headers, buffer: vec![0; BATCH * DATAGRAM].into(), got: Vec::with_capacity(BATCH) }
    }
}

impl Mailbox {
    /// Reads what is there. Returns how many datagrams; `None` on an error (a refused port: the other side may come back).
    pub fn receive(&mut self, socket: &UdpSocket) -> Option<usize> {
        let Self { headers, buffer, got } = self;
        got.clear();
        let mut rooms = buffer.chunks_exact_mut(DATAGRAM);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
        let received = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None).ok()?;
        for message in received {
            let stamp = message.cmsgs().ok().into_iter().flatten().find_map(|control| match control {
                ControlMessageOwned::ScmTimestampns(at) => Some(at.tv_sec() as u64 * 1_000_000_000 + at.tv_nsec() as u64),
                _ => None,
            });
            got.push((message.bytes, stamp.unwrap_or_else(super::shared::clock)));
        }
        Some(got.len())
    }

    /// A datagram of the last batch and when it arrived.
    pub fn datagram(&mut self, at: usize) -> (&mut [u8], u64) {
        let (len, arrival) = self.got[at];
        (&mut self.buffer[at * DATAGRAM..][..len.min(DATAGRAM)], arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callers::shared::clock;
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant};

    /// The kernel begins to stamp what arrives a moment after the first socket of the machine asked for it, and on a busy
    /// machine delivers later than the call that sent; until then a datagram gets the time at which it is read. So what is
    /// asked for is three batches in a row that are complete and as old as they should be, however long they are waited for.
    #[test]
    fn a_batch_has_every_datagram_with_the_time_of_its_arrival_batch_after_batch() {
        let ours = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket on loopback");
        prepare(&ours).expect("receive times");
        let theirs = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket on loopback");
        let mut mailbox = Mailbox::default();
        assert_eq!(mailbox.receive(&ours), None, "nothing is there");
        let deadline = Instant::now() + Duration::from_secs(20);
        let (mut in_a_row, mut round) = (0, 0u8);
        while in_a_row < 3 {
            assert!(Instant::now() < deadline, "no three batches in a row had the times of their arrival");
            round = round.wrapping_add(1);
            let before = clock();
            for len in 1..=5u8 {
                theirs.send_to(&vec![round; len.into()], ours.local_addr().expect("bound")).expect("sending on loopback");
            }
            let after = clock();
            let (mut expected, mut batches, mut in_time) = (1, 0, true);
            while expected <= 5 {
                assert!(Instant::now() < deadline, "datagram {expected} of round {round} never came");
                let Some(count) = mailbox.receive(&ours) else { continue };
                batches += 1;
                for at in 0..count {
                    let (datagram, arrival) = mailbox.datagram(at);
                    assert_eq!(datagram, vec![round; expected]);
                    expected += 1;
                    assert!(arrival >= before, "{arrival} is before {before}");
                    in_time &= arrival <= after;
                }
            }
            in_a_row = if in_time && batches == 1 { in_a_row + 1 } else { 0 };
        }
    }
}
