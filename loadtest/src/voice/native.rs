//! Native transport: one UDP socket, IP discovery, RTP under an rtpsize mode, keep-alives.

use super::cipher::{Cipher, OpenError, Suite};
use super::ear::{Counters, Ear};
use super::{VoiceError, rtp};
use guildhall_protocol::discovery;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

pub(crate) const DISCOVERY_TRIES: u32 = 5;
pub(crate) const DISCOVERY_TIMEOUT: Duration = Duration::from_millis(1000);
/// As discord.js: an eight-byte counter every five seconds.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Larger than any datagram of this protocol.
const DATAGRAM: usize = 2048;
/// 20 ms at Opus' 48 kHz.
pub const FRAME_SAMPLES: u32 = 960;

/// The socket before keys are known.
pub struct Discovered {
    socket: Arc<UdpSocket>,
    /// Our address as the server sees it: what Select Protocol tells.
    pub address: SocketAddr,
}

/// Binds towards the server's media address and asks it for ours.
pub async fn discover(server: SocketAddr, ssrc: u32) -> Result<Discovered, VoiceError> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let question = discovery::question(ssrc);
    let mut buffer = [0; DATAGRAM];
    for _ in 0..DISCOVERY_TRIES {
        socket.send(&question).await?;
        if let Ok(received) = timeout(DISCOVERY_TIMEOUT, socket.recv(&mut buffer)).await {
            let address =
                discovery::read_answer(&buffer[..received?], ssrc).ok_or(VoiceError::Discovery("an answer of another form"))?;
            return Ok(Discovered { socket: Arc::new(socket), address });
        }
    }
    Err(VoiceError::Discovery("no answer"))
}

/// Sequence, time and nonce of what we send.
struct Outgoing {
    sequence: u16,
    timestamp: u32,
    nonce: u32,
}

/// A native media path with keys.
pub struct Link {
    socket: Arc<UdpSocket>,
    cipher: Arc<Cipher>,
    ssrc: u32,
    outgoing: Arc<Mutex<Outgoing>>,
    pub counters: Arc<Counters>,
    task: tokio::task::JoinHandle<()>,
}

impl Link {
    pub(super) fn start(discovered: Discovered, ssrc: u32, suite: Suite, secret: [u8; 32], ear: Ear) -> Self {
        let cipher = Arc::new(Cipher::new(suite, secret));
        // Random starts of sequence and time, as RFC 3550 §5.1 asks; the nonce counts from zero, as most libraries do.
        let outgoing = Arc::new(Mutex::new(Outgoing { sequence: rand::random(), timestamp: rand::random(), nonce: 0 }));
        let counters = ear.counters.clone();
        let (socket, ours) = (discovered.socket.clone(), outgoing.clone());
        let receiver = Receiver { socket, ssrc, cipher: cipher.clone(), ear, ours, last_nonce: None };
        let task = tokio::spawn(receiver.run());
        Self { socket: discovered.socket, cipher, ssrc, outgoing, counters, task }
    }

    pub async fn send_opus(&self, opus: &[u8]) -> io::Result<()> {
        let (nonce, header) = self.next_header();
        self.send_datagram(&self.cipher.seal_rtp(nonce, &header, &[], opus)).await
    }

    /// With a one-byte header extension before the payload, as Discord's own client sends it. `body` is a multiple of four.
    pub async fn send_opus_with_extension(&self, body: &[u8], opus: &[u8]) -> io::Result<()> {
        let (nonce, header) = self.next_header();
        let header = rtp::Header { extension_words: Some((body.len() / 4) as u16), clear_len: header.clear_len + 4, ..header };
        self.send_datagram(&self.cipher.seal_rtp(nonce, &header, body, opus)).await
    }

    /// The next packet as it would go out, unsent: to be changed, repeated or sent from elsewhere.
    pub fn seal_opus(&self, opus: &[u8]) -> Vec<u8> {
        let (nonce, header) = self.next_header();
        self.cipher.seal_rtp(nonce, &header, &[], opus)
    }

    /// Any bytes from this peer's address.
    pub async fn send_datagram(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram).await.map(|_| ())
    }

    /// Where this peer sends from and to.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.socket.local_addr()?, self.socket.peer_addr()?))
    }

    fn next_header(&self) -> (u32, rtp::Header) {
        let mut next = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        let header = rtp::Header::opus(next.sequence, next.timestamp, self.ssrc);
        let nonce = next.nonce;
        next.sequence = next.sequence.wrapping_add(1);
        next.timestamp = next.timestamp.wrapping_add(FRAME_SAMPLES);
        next.nonce = next.nonce.wrapping_add(1);
        (nonce, header)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task that listens and keeps the path open.
struct Receiver {
    socket: Arc<UdpSocket>,
    ssrc: u32,
    cipher: Arc<Cipher>,
    ear: Ear,
    ours: Arc<Mutex<Outgoing>>,
    last_nonce: Option<u32>,
}

impl Receiver {
    async fn run(mut self) {
        let mut buffer = [0; DATAGRAM];
        let mut keep_alive = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beats = 0u64;
        loop {
            tokio::select! {
                received = self.socket.recv(&mut buffer) => match received {
                    Ok(len) => self.accept(&buffer[..len]),
                    // A refused port (ICMP) while the server is away: it may come back.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(_) => return,
                },
                _ = keep_alive.tick() => {
                    // A lost keep-alive is followed by another.
                    let _ = self.socket.send(&beats.to_le_bytes()).await;
                    beats += 1;
                }
            }
        }
    }

    fn accept(&mut self, datagram: &[u8]) {
        let opened = match datagram {
            // The echo of a keep-alive.
            _ if datagram.len() == size_of::<u64>() => return,
            // IP discovery is answered more than once.
            _ if discovery::read_answer(datagram, self.ssrc).is_some() => return,
            _ if rtp::is_rtcp(datagram) => self.cipher.open_rtcp(datagram).map(|(nonce, _)| (nonce, None)),
            _ => self.cipher.open_rtp(datagram).map(|opened| (opened.nonce, Some(opened))),
        };
        match opened {
            Err(OpenError::Form | OpenError::Tag) => Counters::add(&self.ear.counters.bad),
            Ok((nonce, opened)) => {
                let ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner).nonce;
                if nonce < ours || self.last_nonce.is_some_and(|last| nonce <= last) {
                    Counters::add(&self.ear.counters.reused_nonces);
                }
                self.last_nonce = Some(nonce);
                if let Some(opened) = opened {
                    let header = opened.header;
                    self.ear.hear(header.ssrc, header.sequence, header.timestamp, opened.payload.into());
                }
            }
        }
    }
}
