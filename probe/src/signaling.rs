//! The voice WebSocket as far as a short call needs it. Version 8; no heartbeats, which are due after the call is over.

use crate::{Caller, Failure};
use futures_util::{SinkExt, StreamExt};
use guildhall_protocol::GuildId;
use guildhall_protocol::voice_gateway::{MODE_AES256_GCM, opcode};
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

/// TCP, TLS and upgrade together.
const CONNECT: Duration = Duration::from_secs(4);
/// For any one answer.
const ANSWER: Duration = Duration::from_secs(4);
/// No frame of a room of two is nearly as large.
const FRAME_BYTES: usize = 64 * 1024;
/// The answer of a node that is full or stopping.
const UNAVAILABLE: u16 = 503;

/// op 2, as much as is needed.
#[derive(Debug, Deserialize)]
pub struct Ready {
    pub ssrc: u32,
    pub ip: IpAddr,
    pub port: u16,
}

#[derive(Deserialize)]
struct Frame {
    op: u8,
    #[serde(default)]
    d: Value,
}

pub struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Line {
    pub async fn open(endpoint: &str, tls: &Arc<ClientConfig>) -> Result<Self, Failure> {
        let config = WebSocketConfig::default().max_message_size(Some(FRAME_BYTES)).max_frame_size(Some(FRAME_BYTES));
        let url = format!("wss://{endpoint}/?v=8");
        let connecting = connect_async_tls_with_config(url, Some(config), true, Some(Connector::Rustls(Arc::clone(tls))));
        match timeout(CONNECT, connecting).await {
            Ok(Ok((socket, _))) => Ok(Self(socket)),
            Ok(Err(Error::Http(answer))) if answer.status().as_u16() == UNAVAILABLE => Err(Failure::Full),
            Ok(Err(Error::Http(answer))) => Err(Failure::Refused(answer.status().as_u16())),
            Ok(Err(_)) | Err(_) => Err(Failure::Unreachable),
        }
    }

    pub async fn identify(&mut self, guild_id: GuildId, caller: &Caller) -> Result<Ready, Failure> {
        let Caller { user_id, session_id, token } = caller;
        let identify = json!({
            "server_id": guild_id, "user_id": user_id, "session_id": session_id, "token": token, "max_dave_protocol_version": 0,
        });
        self.say(opcode::IDENTIFY, identify).await?;
        Ready::deserialize(self.hear(opcode::READY).await?).map_err(|_| Failure::Broken)
    }

    /// Selects the protocol, and answers with the key.
    pub async fn select(&mut self, address: SocketAddr) -> Result<[u8; 32], Failure> {
        let data = json!({ "address": address.ip(), "port": address.port(), "mode": MODE_AES256_GCM });
        self.say(opcode::SELECT_PROTOCOL, json!({ "protocol": "udp", "data": data })).await?;
        let description = self.hear(opcode::SESSION_DESCRIPTION).await?;
        <[u8; 32]>::deserialize(&description["secret_key"]).map_err(|_| Failure::Broken)
    }

    /// Audio comes from now on.
    pub async fn speak(&mut self, ssrc: u32) -> Result<(), Failure> {
        self.say(opcode::SPEAKING, json!({ "speaking": 1, "delay": 0, "ssrc": ssrc })).await
    }

    /// Says goodbye for good.
    pub async fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: Default::default() };
        // A socket that is gone already is closed enough.
        let _ = self.0.close(Some(frame)).await;
    }

    async fn say(&mut self, op: u8, d: Value) -> Result<(), Failure> {
        let text = json!({ "op": op, "d": d }).to_string();
        match timeout(ANSWER, self.0.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            // Why is said before the end.
            Ok(Err(_)) => Err(self.hear(op).await.err().unwrap_or(Failure::Broken)),
            Err(_) => Err(Failure::Mute),
        }
    }

    /// The body of the next frame of this kind; others are passed over.
    async fn hear(&mut self, op: u8) -> Result<Value, Failure> {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => match serde_json::from_str::<Frame>(&text) {
                        Ok(frame) if frame.op == op => return Ok(frame.d),
                        Ok(_) => {}
                        Err(_) => return Err(Failure::Broken),
                    },
                    Some(Ok(Message::Close(Some(frame)))) => return Err(Failure::Refused(frame.code.into())),
                    Some(Ok(Message::Close(None)) | Err(_)) | None => return Err(Failure::Broken),
                    Some(Ok(_)) => {}
                }
            }
        };
        timeout(ANSWER, next).await.unwrap_or(Err(Failure::Mute))
    }
}
