//! One JSON WebSocket: connecting (plain or TLS), frames in and out, `zlib-stream`. Both gateway clients stand on it.

use crate::Trust;
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::{net::IpAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

/// TCP, TLS and upgrade together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The library's default of 128 KiB a socket would make thousands of idle sessions expensive on our side.
const READ_BUFFER: usize = 4096;
/// How an inflated message ends on the wire (RFC 1951's empty stored block after a sync flush).
const SYNC_FLUSH: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// A GUILD_CREATE of a large guild is a few megabytes; this is where a client stops believing a deflate stream.
const LARGEST_INFLATED: usize = 32 << 20;

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("the connection failed: {0}")]
    Connect(Box<WsError>),
    #[error("the server did not complete the upgrade in time")]
    TimedOut,
    /// The server closed, with its code if it sent one.
    #[error("the server closed the socket: code {0:?}")]
    Closed(Option<u16>),
    #[error("the connection broke: {0}")]
    Broken(Box<WsError>),
    #[error("the server sent what is not a JSON frame: {0}")]
    Malformed(String),
}

pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    inflate: Option<Inflate>,
}

impl Socket {
    pub async fn connect(url: &str, trust: &Trust, zlib_stream: bool) -> Result<Self, SocketError> {
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(0);
        let connector = Connector::Rustls(trust.config());
        let connecting = connect_async_tls_with_config(url, Some(config), true, Some(connector));
        let (stream, _) = timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| SocketError::TimedOut)?
            .map_err(|error| SocketError::Connect(Box::new(error)))?;
        Ok(Self { stream, inflate: zlib_stream.then(Inflate::new) })
    }

    /// The address this machine uses towards the server.
    pub fn local_ip(&self) -> std::io::Result<IpAddr> {
        let tcp = match self.stream.get_ref() {
            MaybeTlsStream::Plain(tcp) => tcp,
            MaybeTlsStream::Rustls(tls) => tls.get_ref().0,
            _ => return Err(std::io::ErrorKind::Unsupported.into()),
        };
        Ok(tcp.local_addr()?.ip())
    }

    /// The next JSON frame. Cancel-safe.
    pub async fn receive(&mut self) -> Result<Value, SocketError> {
        loop {
            let message = match self.stream.next().await {
                None => return Err(SocketError::Closed(None)),
                Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed)) => return Err(SocketError::Closed(None)),
                Some(Err(error)) => return Err(SocketError::Broken(Box::new(error))),
                Some(Ok(message)) => message,
            };
            match message {
                Message::Text(text) if self.inflate.is_none() => return parse(text.as_bytes()),
                Message::Binary(bytes) => {
                    let Some(inflate) = &mut self.inflate else { return Err(malformed("a binary frame on a JSON socket")) };
                    if let Some(text) = inflate.push(bytes)? {
                        return parse(&text);
                    }
                }
                Message::Text(_) => return Err(malformed("a text frame on a zlib-stream socket")),
                Message::Close(frame) => return Err(SocketError::Closed(frame.map(|frame| frame.code.into()))),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    pub async fn send(&mut self, frame: &Value) -> Result<(), SocketError> {
        self.send_text(frame.to_string()).await
    }

    /// Any text, for malformed input.
    pub async fn send_text(&mut self, text: String) -> Result<(), SocketError> {
        self.stream.send(Message::text(text)).await.map_err(|error| match error {
            WsError::ConnectionClosed | WsError::AlreadyClosed => SocketError::Closed(None),
            error => SocketError::Broken(Box::new(error)),
        })
    }

    /// Says goodbye with a code and does not wait for the answer.
    pub async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: Default::default() };
        // A socket that is gone already is closed enough.
        let _ = self.stream.close(Some(frame)).await;
    }
}

fn parse(text: &[u8]) -> Result<Value, SocketError> {
    serde_json::from_slice(text).map_err(|error| SocketError::Malformed(error.to_string()))
}

fn malformed(reason: &str) -> SocketError {
    SocketError::Malformed(reason.to_owned())
}

/// `compress=zlib-stream`: one deflate context for the whole connection, a message per sync flush.
struct Inflate {
    context: Decompress,
    pending: Vec<u8>,
}

impl Inflate {
    fn new() -> Self {
        Self { context: Decompress::new(true), pending: Vec::new() }
    }

    fn push(&mut self, frame: Bytes) -> Result<Option<Vec<u8>>, SocketError> {
        self.pending.extend_from_slice(&frame);
        if !self.pending.ends_with(&SYNC_FLUSH) {
            return Ok(None);
        }
        let mut text = Vec::with_capacity(self.pending.len() * 4);
        let mut input = &self.pending[..];
        loop {
            let before = (self.context.total_in(), text.len());
            let status = self.context.decompress_vec(input, &mut text, FlushDecompress::Sync);
            let status = status.map_err(|error| SocketError::Malformed(error.to_string()))?;
            input = &input[(self.context.total_in() - before.0) as usize..];
            let is_full = text.len() == text.capacity();
            if status == Status::StreamEnd || text.len() > LARGEST_INFLATED {
                return Err(malformed("the deflate stream ended or is too large"));
            }
            if input.is_empty() && !is_full {
                break;
            }
            if !is_full && text.len() == before.1 {
                return Err(malformed("the deflate stream is stuck"));
            }
            text.reserve(text.capacity().max(4096));
        }
        self.pending.clear();
        Ok(Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    fn deflate(context: &mut Compress, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 64);
        context.compress_vec(text, &mut out, FlushCompress::Sync).expect("deflating into memory");
        out
    }

    #[test]
    fn messages_inflate_one_by_one_from_one_shared_context_however_they_are_cut() {
        let (mut deflater, mut inflate) = (Compress::new(Compression::default(), true), Inflate::new());
        for size in [2, 100, 5_000, 200_000] {
            let text: Vec<u8> = (0..size).map(|at: u64| b"abcdefgh ijklmnop"[(at * at % 17) as usize]).collect();
            let packed = deflate(&mut deflater, &text);
            let (head, tail) = packed.split_at(packed.len() / 2);
            assert_eq!(inflate.push(Bytes::copy_from_slice(head)).expect("half a message"), None);
            assert_eq!(inflate.push(Bytes::copy_from_slice(tail)).expect("a whole message"), Some(text));
        }
    }

    #[test]
    fn noise_is_refused() {
        let noise = [&[0x12, 0x34, 0x56][..], &SYNC_FLUSH].concat();
        assert!(matches!(Inflate::new().push(noise.into()), Err(SocketError::Malformed(_))));
    }
}
