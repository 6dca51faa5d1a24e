//! The voice WebSocket (signaling): who may join a room, under which keys, and who hears of it. It drives the media engine
//! through [`guildhall_sfu::Sfu`] and knows no packet; it knows rights only from signed tokens and from what the control
//! plane says over [`guildhall_protocol::fleet`].
//!
//! `session.rs` decides, `rooms.rs` and `tokens.rs` remember, `task.rs` waits and carries out, `socket.rs` writes.

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod limits;
mod node;
mod replay;
mod rooms;
mod session;
mod socket;
mod task;
mod tokens;

use axum::extract::ws::WebSocketUpgrade;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use guildhall_protocol::connection::Lodging;
use guildhall_protocol::fleet::{FromNode, ToNode};
use guildhall_protocol::voice_gateway::{VERSION_MAX, VERSION_MIN};
use guildhall_protocol::voice_token::VoiceKey;
use guildhall_sfu::Sfu;
use node::Node;
use serde::Deserialize;
use socket::Socket;
use std::sync::Arc;
use tokio::sync::mpsc;

pub struct Config {
    /// Shared with the control plane, which signs.
    pub voice_key: VoiceKey,
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
    /// Starts to follow the control plane. Must be called within a tokio runtime.
    pub fn start(config: Config, sfu: Sfu, from_node: mpsc::Sender<FromNode>, to_node: mpsc::Receiver<ToNode>) -> Self {
        let node = Arc::new(Node::new(sfu, config.voice_key, from_node));
        let follower = Arc::clone(&node);
        tokio::spawn(async move { follower.follow(to_node).await });
        Self(node)
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

    /// Closes every socket with 1001, takes every peer out of the media engine and returns when all sessions have ended.
    pub async fn shutdown(&self) {
        self.0.stop.send_replace(true);
        self.0.stop.closed().await;
    }
}

#[cfg(test)]
mod tests;
