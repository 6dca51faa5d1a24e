//! One worker: a pinned thread with its own UDP socket, engine and command queue. The only place of the crate, with
//! [`crate::handle`], that does I/O or reads a clock.

use crate::stats::WorkerStats;
use crate::{Answer, NativeSuite, PeerEvent, PeerId, RoomId, SfuError};
use guildhall_protocol::fleet::Policy;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for a worker. A full queue makes signaling wait, never the worker.
const REQUESTS: usize = 1024;

/// What signaling asks of a worker.
pub enum Request {
    Join {
        room: RoomId,
        peer: PeerId,
        ssrc: u32,
        policy: Policy,
        events: mpsc::Sender<PeerEvent>,
        reply: oneshot::Sender<Result<(), SfuError>>,
    },
    ConnectNative {
        peer: PeerId,
        suite: NativeSuite,
        claimed: SocketAddr,
        reply: oneshot::Sender<Result<[u8; 32], SfuError>>,
    },
    ConnectWebrtc {
        peer: PeerId,
        offer_sdp: String,
        reply: oneshot::Sender<Result<Answer, SfuError>>,
    },
    SetPolicy {
        peer: PeerId,
        policy: Policy,
        reply: oneshot::Sender<Result<(), SfuError>>,
    },
    Leave {
        peer: PeerId,
    },
    Stats {
        reply: oneshot::Sender<WorkerStats>,
    },
    Stop,
}

/// The handle's end of a worker.
pub struct Link {
    /// What clients are told.
    pub address: SocketAddr,
    requests: mpsc::Sender<Request>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Link {
    pub async fn send(&self, request: Request) -> Result<(), SfuError> {
        self.requests.send(request).await.map_err(|_| SfuError::Stopped)
    }

    pub fn try_send(&self, request: Request) {
        let _ = self.requests.try_send(request);
    }

    pub fn stop(&self) {
        let _ = self.requests.try_send(Request::Stop);
        if let Some(thread) = self.thread.lock().expect("no code panics while it holds the thread").take() {
            let _ = thread.join();
        }
    }
}

/// Binds the socket and starts the thread.
pub fn start(index: usize, bind: SocketAddr, advertise: IpAddr) -> io::Result<Link> {
    let socket = std::net::UdpSocket::bind(bind)?;
    let address = SocketAddr::new(advertise, socket.local_addr()?.port());
    let (requests, mut inbox) = mpsc::channel(REQUESTS);
    let thread = std::thread::Builder::new().name(format!("sfu-{index}")).spawn(move || {
        while let Some(request) = inbox.blocking_recv() {
            if matches!(request, Request::Stop) {
                return;
            }
        }
    })?;
    Ok(Link { address, requests, thread: Mutex::new(Some(thread)) })
}
