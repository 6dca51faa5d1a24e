//! The voice WebSocket (signaling): who may join a room, under which keys, and who hears of it. It drives the media engine
//! through [`guildhall_sfu::Sfu`] and knows no packet; it knows rights only from signed tokens and from what the control
//! planes say over [`guildhall_protocol::fleet`].
//!
//! Programs come by HTTP instead (`streams.rs`). `session.rs` decides, `rooms.rs` and `tokens.rs` remember, `task.rs` waits and carries out, `socket.rs` writes, `lines.rs`
//! leads to the control planes.

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod limits;
mod lines;
mod node;
mod recorder;
mod replay;
mod rooms;
mod session;
mod socket;
mod streams;
mod task;
mod tokens;
pub mod turn;
mod vitals;

use axum::extract::ws::WebSocketUpgrade;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use guildhall_protocol::connection::Lodging;
use guildhall_protocol::fleet::{CONTRACT_VERSION, FromNode, HEARTBEAT, Hello, NodeId, RegionId, ToNode};
use guildhall_protocol::voice_gateway::{VERSION_MAX, VERSION_MIN};
use guildhall_sfu::Sfu;
use node::Node;
use serde::Deserialize;
use socket::Socket;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;

pub use limits::LINE_QUEUE;
pub use recorder::RecorderStats;

/// What a node is called and where it is.
#[derive(Clone, Debug)]
pub struct Config {
    pub id: NodeId,
    pub region: RegionId,
    /// Host and port of the voice WebSocket, as clients reach it; empty: wherever the client reached the gateway.
    pub endpoint: String,
    /// Bits per second that the machine's network may carry outwards.
    pub egress_cap_bps: u64,
    /// Relays for browsers; `None`: there are none.
    pub turn: Option<turn::Turn>,
}

/// The query of a voice WebSocket. Libraries disagree on everything but `v`, and some leave that out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct VoiceQuery {
    #[serde(default)]
    pub v: Option<u8>,
}

/// The signaling of this node. Cheap to clone.
#[derive(Clone)]
pub struct Signaling(Arc<Node>);

impl Signaling {
    /// Starts to report to whoever is on a line ([`Signaling::follow`]). Must be called within a tokio runtime.
    pub fn start(config: Config, sfu: Sfu) -> Self {
        let Config { id, region, endpoint, egress_cap_bps, turn } = config;
        let mut incarnation = [0; 8];
        aws_lc_rs::rand::fill(&mut incarnation).expect("the system has randomness");
        let hello = Hello {
            id,
            region,
            endpoint,
            media: sfu.addresses(),
            version: CONTRACT_VERSION,
            software: env!("CARGO_PKG_VERSION").to_owned(),
            egress_cap_bps,
            incarnation: u64::from_ne_bytes(incarnation),
        };
        let node = Arc::new(Node::new(sfu, hello, turn));
        tokio::spawn(report(Arc::clone(&node)));
        Self(node)
    }

    /// Follows one control plane until either side hangs up; sessions live on without it. The first message is the hello.
    /// `to_control` has [`LINE_QUEUE`] places; when they are full the line ends.
    pub async fn follow(&self, to_control: mpsc::Sender<FromNode>, mut from_control: mpsc::Receiver<ToNode>) {
        let number = self.0.open_line(to_control);
        while let Some(message) = from_control.recv().await {
            self.0.hear(number, message);
        }
        self.0.close_line(number);
    }

    /// Asks the control planes to find other nodes for the rooms, and returns when nobody is left or the time is over.
    pub async fn leave(&self, within: Duration) {
        self.0.report(FromNode::Leaving { within_ms: within.as_millis() as u64 });
        let empty = async {
            while self.0.sittings() > 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        if timeout(within, empty).await.is_err() {
            tracing::warn!(left = self.0.sittings(), "some participants found no other node in time");
        }
        self.0.report(FromNode::Goodbye);
    }

    /// Accepts a voice WebSocket; the session runs in its own task from then on. 400 for a version that does not exist, 503
    /// when the node is full or stopping. The lodging is held until the client has identified.
    pub fn upgrade(&self, upgrade: WebSocketUpgrade, query: VoiceQuery, lodging: Option<Lodging>) -> Response {
        let version = query.v.unwrap_or(VERSION_MIN);
        if !(VERSION_MIN..=VERSION_MAX).contains(&version) {
            let sentence = format!("Voice gateway versions {VERSION_MIN} to {VERSION_MAX} are spoken here.");
            return (StatusCode::BAD_REQUEST, sentence).into_response();
        }
        let permit = match Arc::clone(&self.0.sockets).try_acquire_owned() {
            Ok(permit) if !*self.0.stop.borrow() => permit,
            _ => return (StatusCode::SERVICE_UNAVAILABLE, "This voice node is full.").into_response(),
        };
        let node = Arc::clone(&self.0);
        upgrade
            .read_buffer_size(limits::SOCKET_BUFFER_BYTES)
            .write_buffer_size(limits::SOCKET_BUFFER_BYTES)
            // One answer SDP more than the buffer: the next one waits in our own bounded queue.
            .max_write_buffer_size(limits::SOCKET_BUFFER_BYTES + limits::FRAME_BYTES)
            .max_message_size(limits::FRAME_BYTES)
            .max_frame_size(limits::FRAME_BYTES)
            .on_upgrade(move |socket| task::run(node, Socket::new(socket, permit, lodging), version))
    }

    /// The paths of WHIP and WHEP, to be served beside the voice WebSocket.
    pub fn streams(&self) -> axum::Router {
        streams::router(Arc::clone(&self.0))
    }

    /// What its recorders did.
    pub fn recorders(&self) -> RecorderStats {
        self.0.recorded.stats()
    }

    /// Closes every socket with 1001, takes every peer out of the media engine and returns when all sessions have ended.
    pub async fn shutdown(&self) {
        self.0.stop.send_replace(true);
        self.0.stop.closed().await;
    }
}

/// How often a leaving node looks whether it is empty.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A worker that takes longer to tell its counters hangs.
const STATS_TIMEOUT: Duration = Duration::from_millis(300);

/// Tells the control planes that the node is there, and every other time how busy it is.
async fn report(node: Arc<Node>) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let workers = node.sfu.addresses().len();
    let mut stop = node.stop.subscribe();
    let (mut before, mut measured) = (node.sfu.stats().await, Instant::now());
    let mut is_alive_only = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|is_stopping| *is_stopping) => return,
        }
        is_alive_only = !is_alive_only;
        if is_alive_only {
            node.report(FromNode::Alive);
            continue;
        }
        let now = timeout(STATS_TIMEOUT, node.sfu.stats()).await.unwrap_or_default();
        node.report(FromNode::Load(vitals::load(&before, &now, workers, measured.elapsed())));
        (before, measured) = (now, Instant::now());
        node.end_vacant(measured);
    }
}

#[cfg(test)]
mod tests;
