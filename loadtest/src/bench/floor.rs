//! The floor: the least that a forwarder can do per packet. It receives, opens once, seals a copy per listener with
//! AES-256-GCM and sends them all with one `sendmmsg`. No rooms, no rights, no order, no feedback.

use crate::cores;
use crate::server::thread_times;
use crate::voice::cipher::{Cipher, Suite};
use crate::voice::{STAMP, Tally, rtp};
use anyhow::{Context, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, addr::SocketAddrArg, sendmmsg};
use std::collections::HashMap;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const THREAD: &str = "floor";
const HEADER: usize = 12;
const TAG: usize = 16;
const NONCE: usize = 4;
const DATAGRAM: usize = 2048;
/// A message's room in the send buffer: of audio, and of video.
const SLOT: usize = 512;
const LARGE_SLOT: usize = 1536;
/// `UIO_MAXIOV`: what one `sendmmsg` takes.
const LARGEST_BATCH: usize = 1024;
/// How long the thread sleeps in `recv` before it looks whether it should end.
const LOOK_UP: Duration = Duration::from_millis(200);
/// What speakers seal with.
pub const SPEAKER_KEY: [u8; 32] = [1; 32];

/// The floor thread and its receivers.
pub struct Floor {
    speaker: Speaker,
    /// How many of the listeners get copies now; `STOP` ends the thread.
    active: Arc<AtomicUsize>,
    receivers: Vec<tokio::task::JoinHandle<()>>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

const STOP: usize = usize::MAX;

/// Sends to the floor as a native client does.
pub struct Speaker {
    socket: UdpSocket,
    cipher: Cipher,
    sequence: u16,
    nonce: u32,
}

impl Speaker {
    pub fn send(&mut self, opus: &[u8]) -> std::io::Result<()> {
        let header = rtp::Header::opus(self.sequence, u32::from(self.sequence) * 960, 1);
        let packet = self.cipher.seal_rtp(self.nonce, &header, &[], opus);
        (self.sequence, self.nonce) = (self.sequence.wrapping_add(1), self.nonce.wrapping_add(1));
        self.socket.send(&packet).map(|_| ())
    }
}

/// One speaker and who hears it.
pub struct Group {
    speaker: SocketAddr,
    listeners: Vec<Listener>,
}

/// One listener as the floor knows it.
pub struct Listener {
    address: SocketAddrAny,
    key: LessSafeKey,
    counter: u32,
}

impl Listener {
    pub fn new(address: SocketAddr, secret: &[u8; 32]) -> Result<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, secret).context("an AES key")?);
        Ok(Self { address: address.as_any(), key, counter: 0 })
    }
}

impl Group {
    pub fn new(speaker: SocketAddr, listeners: Vec<Listener>) -> Self {
        Self { speaker, listeners }
    }
}

/// A floor for callers that bring sockets of their own.
pub struct Ground {
    active: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Ground {
    /// `socket` is where speakers send to.
    pub fn start(socket: UdpSocket, groups: Vec<Group>, cores: &[usize]) -> Result<Self> {
        let widest = groups.iter().map(|group| group.listeners.len()).max().unwrap_or(0);
        anyhow::ensure!(widest <= LARGEST_BATCH, "one sendmmsg takes {LARGEST_BATCH} messages");
        socket.set_read_timeout(Some(LOOK_UP))?;
        let active = Arc::new(AtomicUsize::new(widest));
        let thread = spawn(socket, groups, cores, &active)?;
        Ok(Self { active, thread: Some(thread) })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.active.store(STOP, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It looks up within LOOK_UP; how it ended no longer matters.
            let _ = thread.join();
        }
    }
}

fn spawn(
    socket: UdpSocket,
    mut groups: Vec<Group>,
    cores: &[usize],
    active: &Arc<AtomicUsize>,
) -> Result<std::thread::JoinHandle<std::io::Result<()>>> {
    let (pinned, theirs) = (cores.to_vec(), active.clone());
    Ok(std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
        // An unpinned floor only makes the numbers noisier.
        let _ = cores::pin(&pinned);
        forward(&socket, &mut groups, &theirs)
    })?)
}

impl Floor {
    /// Binds `count` receivers and starts the thread on the server's cores.
    pub async fn start(count: usize, cores: &[usize], tally: &Arc<Tally>) -> Result<Self> {
        anyhow::ensure!(count <= LARGEST_BATCH, "one sendmmsg takes {LARGEST_BATCH} messages");
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(LOOK_UP))?;
        let speaker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        speaker.connect(socket.local_addr()?)?;
        let (mut listeners, mut receivers) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for at in 0..count {
            let secret: [u8; 32] = std::array::from_fn(|byte| (at * 31 + byte) as u8);
            let receiver = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address: SocketAddr = receiver.local_addr()?;
            listeners.push(Listener::new(address, &secret)?);
            receivers.push(tokio::spawn(receive(receiver, Cipher::new(Suite::Aes256Gcm, secret), tally.clone())));
        }
        let active = Arc::new(AtomicUsize::new(0));
        let thread = spawn(socket, vec![Group::new(speaker.local_addr()?, listeners)], cores, &active)?;
        let speaker = Speaker { socket: speaker, cipher: Cipher::new(Suite::Aes256Gcm, SPEAKER_KEY), sequence: 0, nonce: 0 };
        Ok(Self { speaker, active, receivers, thread: Some(thread) })
    }

    /// The speaker, with the first `count` listeners listening.
    pub fn speak_to(&mut self, count: usize) -> &mut Speaker {
        self.active.store(count.min(self.receivers.len()), Ordering::Relaxed);
        &mut self.speaker
    }

    /// CPU time of the floor thread, read as the server's is.
    pub fn cpu_ns() -> Result<u64> {
        let threads = thread_times(std::process::id())?;
        Ok(threads.values().filter(|(name, _)| name == THREAD).map(|(_, ns)| ns).sum())
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.active.store(STOP, Ordering::Relaxed);
        for receiver in &self.receivers {
            receiver.abort();
        }
        if let Some(thread) = self.thread.take() {
            // It looks up within LOOK_UP; how it ended no longer matters.
            let _ = thread.join();
        }
    }
}

/// The floor thread.
fn forward(socket: &UdpSocket, groups: &mut [Group], active: &AtomicUsize) -> std::io::Result<()> {
    let speaker = Cipher::new(Suite::Aes256Gcm, SPEAKER_KEY);
    let mut datagram = [0; DATAGRAM];
    let widest = groups.iter().map(|group| group.listeners.len()).max().unwrap_or(0);
    let mut slots = vec![0u8; LARGE_SLOT * widest];
    let places: HashMap<SocketAddr, usize> = groups.iter().enumerate().map(|(at, group)| (group.speaker, at)).collect();
    let mut sequence = 0u16;
    loop {
        let received = socket.recv_from(&mut datagram);
        let active = active.load(Ordering::Relaxed);
        if active == STOP {
            return Ok(());
        }
        let (len, source) = match received {
            Ok(received) => received,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error),
        };
        let Some(listeners) = places.get(&source).map(|at| &mut groups[*at].listeners) else { continue };
        let active = active.min(listeners.len());
        let Ok(opened) = speaker.open_rtp(&datagram[..len]) else { continue };
        let sealed_len = HEADER + opened.payload.len() + TAG + NONCE;
        if sealed_len > LARGE_SLOT || active == 0 {
            continue;
        }
        let slot_len = if sealed_len > SLOT { LARGE_SLOT } else { SLOT };
        sequence = sequence.wrapping_add(1);
        for (listener, slot) in listeners[..active].iter_mut().zip(slots.chunks_exact_mut(slot_len)) {
            seal(listener, sequence, opened.header.timestamp, &opened.payload, &mut slot[..sealed_len]);
        }
        let parts: Vec<[IoSlice<'_>; 1]> =
            slots.chunks_exact(slot_len).take(active).map(|slot| [IoSlice::new(&slot[..sealed_len])]).collect();
        let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> = (0..active).map(|_| SendAncillaryBuffer::default()).collect();
        let mut messages: Vec<MMsgHdr<'_>> = listeners[..active]
            .iter()
            .zip(&parts)
            .zip(&mut controls)
            .map(|((listener, parts), control)| MMsgHdr::new_with_addr(&listener.address, parts, control))
            .collect();
        let mut sent = 0;
        while sent < messages.len() {
            sent += sendmmsg(socket, &mut messages[sent..], SendFlags::empty())?;
        }
    }
}

fn seal(listener: &mut Listener, sequence: u16, timestamp: u32, payload: &[u8], out: &mut [u8]) {
    out[..4].copy_from_slice(&[0x80, rtp::OPUS, (sequence >> 8) as u8, sequence as u8]);
    out[4..8].copy_from_slice(&timestamp.to_be_bytes());
    out[8..HEADER].copy_from_slice(&1u32.to_be_bytes());
    let (header, rest) = out.split_at_mut(HEADER);
    let (body, trailer) = rest.split_at_mut(payload.len());
    body.copy_from_slice(payload);
    let mut nonce = [0; 12];
    nonce[..NONCE].copy_from_slice(&listener.counter.to_be_bytes());
    let sealed = listener.key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&*header), body);
    trailer[..TAG].copy_from_slice(sealed.expect("a small packet can be sealed").as_ref());
    trailer[TAG..].copy_from_slice(&nonce[..NONCE]);
    listener.counter = listener.counter.wrapping_add(1);
}

async fn receive(socket: tokio::net::UdpSocket, cipher: Cipher, tally: Arc<Tally>) {
    let mut buffer = [0; DATAGRAM];
    while let Ok(len) = socket.recv(&mut buffer).await {
        if let Ok(opened) = cipher.open_rtp(&buffer[..len])
            && opened.payload.len() >= STAMP
        {
            tally.note(&opened.payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_floor_forwards_every_packet_to_each_active_listener() {
        let tally = Tally::new();
        let mut floor = Floor::start(3, &[], &tally).await.expect("sockets on loopback");
        for (active, expected) in [(2, 2), (3, 5)] {
            let payload = [&tally.stamp()[..], &[7; 100]].concat();
            floor.speak_to(active).send(&payload).expect("sending on loopback");
            tokio::time::timeout(Duration::from_secs(10), async {
                while tally.received() < expected {
                    tokio::task::yield_now().await;
                }
            })
            .await
            .expect("all copies arrive");
        }
        assert_eq!(tally.take_delays().len(), 5);
    }
}
