//! The native media path of a short call: IP discovery, and audio under `aead_aes256_gcm_rtpsize`.
//!
//! packet = clear header ‖ ciphertext ‖ 16-byte tag ‖ 4-byte counter. The clear header (with CSRCs and the extension's preamble)
//! is the additional data; the counter comes first in the cipher's nonce, zeros after it.

use crate::Failure;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use guildhall_protocol::discovery;
use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, interval, timeout, timeout_at};

/// How often it is asked again, and for how long: one datagram of several may be lost.
const ASK_EVERY: Duration = Duration::from_millis(400);
const ASK_FOR: Duration = Duration::from_secs(3);

/// RTP's version, and Opus' payload type towards native clients.
const HEAD: [u8; 2] = [0x80, 120];
const HEADER: usize = 12;
const COUNTER: usize = 4;
/// 20 ms at Opus' 48 kHz.
const FRAME_SAMPLES: u32 = 960;
/// Larger than any datagram of this protocol.
const DATAGRAM: usize = 2048;

/// The socket before keys are known.
pub struct Way {
    socket: UdpSocket,
    ssrc: u32,
    /// Ours as the node sees it.
    pub address: SocketAddr,
}

/// Binds towards the node's media address and asks it for ours.
pub async fn discover(server: SocketAddr, ssrc: u32) -> Result<Way, Failure> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.map_err(|_| Failure::NoWay)?;
    socket.connect(server).await.map_err(|_| Failure::NoWay)?;
    let question = discovery::question(ssrc);
    let mut buffer = [0; DATAGRAM];
    let mut turns = interval(ASK_EVERY);
    let until = Instant::now() + ASK_FOR;
    loop {
        timeout_at(until, turns.tick()).await.map_err(|_| Failure::NoWay)?;
        // A port that refuses (ICMP) is asked again like one that is silent.
        let _ = socket.send(&question).await;
        if let Ok(Ok(length)) = timeout(ASK_EVERY, socket.recv(&mut buffer)).await
            && let Some(address) = discovery::read_answer(&buffer[..length], ssrc)
        {
            return Ok(Way { socket, ssrc, address });
        }
    }
}

/// Something to say that nobody else says. It begins as Opus of 20 ms does, and no node looks further.
pub fn words() -> [u8; 24] {
    let mut words = [0; 24];
    aws_lc_rs::rand::fill(&mut words).expect("the system has randomness");
    words[0] = 0xfc;
    words
}

pub struct Media {
    way: Way,
    key: LessSafeKey,
    sent: u32,
    buffer: [u8; DATAGRAM],
}

impl Media {
    pub fn new(way: Way, key: [u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("32 bytes are an AES-256 key");
        Self { way, key: LessSafeKey::new(key), sent: 0, buffer: [0; DATAGRAM] }
    }

    /// A packet that cannot be sent is one that is not heard.
    pub async fn send(&mut self, payload: &[u8]) {
        let packet = seal(&self.key, self.way.ssrc, self.sent, payload);
        self.sent += 1;
        let _ = self.way.socket.send(&packet).await;
    }

    /// The next authentic packet, opened: the body of a header extension, if it has one, comes before the payload.
    pub async fn receive(&mut self) -> Vec<u8> {
        loop {
            match self.way.socket.recv(&mut self.buffer).await {
                Ok(length) => {
                    if let Some(opened) = open(&self.key, &self.buffer[..length]) {
                        return opened;
                    }
                }
                // The refusal of something that was sent (ICMP): it is heard once, and then the socket waits again.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(_) => pending().await,
            }
        }
    }
}

fn seal(key: &LessSafeKey, ssrc: u32, number: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = HEAD.to_vec();
    packet.extend_from_slice(&(number as u16).to_be_bytes());
    packet.extend_from_slice(&number.wrapping_mul(FRAME_SAMPLES).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    let mut sealed = payload.to_vec();
    let counter = number.to_be_bytes();
    let outcome = key.seal_in_place_append_tag(nonce(counter), Aad::from(&packet[..]), &mut sealed);
    outcome.expect("a packet is far below the cipher's limit");
    packet.extend_from_slice(&sealed);
    packet.extend_from_slice(&counter);
    packet
}

fn open(key: &LessSafeKey, packet: &[u8]) -> Option<Vec<u8>> {
    let first = *packet.first()?;
    // RTP, and no RTCP (RFC 5761 §4).
    if first >> 6 != 2 || (192..224).contains(packet.get(1)?) {
        return None;
    }
    let clear = HEADER + 4 * usize::from(first & 0x0f) + if first & 0x10 == 0 { 0 } else { 4 };
    let (head, rest) = packet.split_at_checked(clear)?;
    let (sealed, counter) = rest.split_at_checked(rest.len().checked_sub(COUNTER)?)?;
    let mut sealed = sealed.to_vec();
    let opened = key.open_in_place(nonce(counter.try_into().ok()?), Aad::from(head), &mut sealed).ok()?.len();
    sealed.truncate(opened);
    Some(sealed)
}

fn nonce(counter: [u8; COUNTER]) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..COUNTER].copy_from_slice(&counter);
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_nothing_else_does() {
        let key = || LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
        let packet = seal(&key(), 9, 3, b"words");
        assert_eq!((&packet[..4], &packet[8..12]), (&[0x80, 120, 0, 3][..], &[0, 0, 0, 9][..]));
        assert_eq!(open(&key(), &packet).as_deref(), Some(&b"words"[..]));
        for length in 0..packet.len() {
            assert_eq!(open(&key(), &packet[..length]), None, "cut to {length}");
        }
        for at in 0..packet.len() {
            let mut other = packet.clone();
            other[at] ^= 1;
            assert_eq!(open(&key(), &other), None, "byte {at}");
        }
    }
}
