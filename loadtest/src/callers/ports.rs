//! Who had a UDP port before. A server goes on sending to a caller that vanished until it knows (a voice session may be resumed
//! for half a minute, a new source port shows with the next authentic packet), and the system gives the port to the next one:
//! what it finds there was sealed for someone else, which is no fault of anybody.
//!
//! A datagram is laid to a former owner only if it is provably its own: it opens under that one's key, or is of a slot that was
//! that one's. What comes later than a server may still believe in the former owner is not excused.

use crate::voice::cipher::Cipher;
use crate::voice::rtp;
use guildhall_protocol::discovery;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// For how long a server may send to who is gone, in nanoseconds: a broken voice session may be resumed for 30 s, and the
/// thread that reads may be late.
const EXCUSED: u64 = 35_000_000_000;

/// Former owners remembered per port: a port that changes hands more often within [`EXCUSED`] has several that are still sent to.
const REMEMBERED: usize = 4;

/// What proves whose a datagram is.
#[derive(Clone)]
pub enum Owner {
    Native(Arc<Cipher>),
    /// The SSRCs that the server sends its slots under.
    WebRtc(Arc<[u32]>),
}

#[derive(Clone)]
struct Former {
    owner: Owner,
    /// When it left the port.
    until: u64,
}

/// By port; so there are never more than 65,536.
#[derive(Default)]
pub struct Ports(Mutex<HashMap<u16, Vec<Former>>>);

impl Ports {
    /// The owner leaves the port now.
    pub fn leave(&self, port: u16, owner: Owner, now: u64) {
        let mut ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let formers = ports.entry(port).or_default();
        formers.retain(|former| now < former.until + EXCUSED);
        formers.truncate(REMEMBERED - 1);
        formers.insert(0, Former { owner, until: now });
    }

    /// Whose datagrams may still come to the port's new owner.
    pub fn before(&self, port: u16, now: u64) -> Formers {
        let ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |former: &&Former| now < former.until + EXCUSED;
        Formers(ports.get(&port).into_iter().flatten().filter(recent).cloned().collect())
    }
}

/// A port's former owners, as its new one knows them.
#[derive(Default)]
pub struct Formers(Vec<Former>);

impl Formers {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a datagram that arrived now was for one of them.
    pub fn own(&self, datagram: &[u8], now: u64) -> bool {
        self.0.iter().any(|former| now < former.until + EXCUSED && former.owner.owns(datagram))
    }
}

impl Owner {
    fn owns(&self, datagram: &[u8]) -> bool {
        let is_rtp = datagram.first().is_some_and(|byte| byte >> 6 == 2);
        match self {
            // A late answer of IP discovery, or the echo of a keep-alive.
            Owner::Native(_) if !is_rtp => datagram.len() == discovery::LEN || datagram.len() == size_of::<u64>(),
            Owner::Native(cipher) => cipher.open_in_place(&mut datagram.to_vec()).is_ok(),
            // STUN (RFC 7983: 0 to 3) and DTLS (20 to 63), which are sent to nobody else.
            Owner::WebRtc(_) if !is_rtp => datagram.first().is_some_and(|byte| matches!(byte, 0..=3 | 20..=63)),
            Owner::WebRtc(ssrcs) => rtp::Header::read(datagram).is_some_and(|header| ssrcs.contains(&header.ssrc)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::Suite;

    fn packet(cipher: &Cipher, ssrc: u32) -> Vec<u8> {
        cipher.seal_rtp(7, &rtp::Header::opus(1, 960, ssrc), &[], b"opus")
    }

    #[test]
    fn only_what_is_provably_a_former_owners_is_excused_and_only_for_a_while() {
        let cipher = |byte| Arc::new(Cipher::new(Suite::Aes256Gcm, [byte; 32]));
        let ports = Ports::default();
        assert!(ports.before(9, 0).is_empty());
        ports.leave(9, Owner::Native(cipher(1)), 1_000);
        ports.leave(9, Owner::WebRtc([77].into()), 2_000);
        let formers = ports.before(9, 3_000);
        assert!(ports.before(10, 3_000).is_empty(), "another port");
        for (datagram, is_theirs) in [
            (packet(&cipher(1), 5), true),
            (packet(&cipher(2), 5), false),
            (packet(&cipher(2), 77), true),
            (vec![0; 8], true),
            (vec![22; 60], true),
            (vec![90; 60], false),
        ] {
            assert_eq!(formers.own(&datagram, 3_000), is_theirs, "{datagram:?}");
            assert!(!formers.own(&datagram, 2_000 + EXCUSED), "the server knows by then");
        }
        assert!(ports.before(9, 2_000 + EXCUSED).is_empty());
    }

    #[test]
    fn a_port_remembers_its_latest_owners() {
        let ports = Ports::default();
        for owner in 0..10 {
            ports.leave(9, Owner::WebRtc([owner].into()), u64::from(owner));
        }
        let formers = ports.before(9, 10);
        let slot = |ssrc| packet(&Cipher::new(Suite::Aes256Gcm, [0; 32]), ssrc);
        assert_eq!((0..10).filter(|&ssrc| formers.own(&slot(ssrc), 10)).collect::<Vec<_>>(), [6, 7, 8, 9]);
    }
}
