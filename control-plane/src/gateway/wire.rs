//! The WebSocket of one connection, kept small.
//!
//! The WebSocket library reads, answers pings and closes; data frames are written here, straight to the stream. The library
//! would copy each into a buffer that stays as large as the largest frame ever sent, and a connection starts with whole
//! guilds: that buffer alone would cost an idle session more than everything else about it.

use super::compress::{Codec, Stream};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use guildhall_protocol::connection::Lodging;
use guildhall_protocol::gateway::MAX_CLIENT_FRAME;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// What the library reads into; the default of 128 KiB is meant for few and busy connections.
const READ_BUFFER: usize = 1024;
/// A little above the documented limit, so that a frame that is only just too large still gets its documented close code.
const MAX_FRAME: usize = 4 * MAX_CLIENT_FRAME;
/// Frames are gathered up to this size before they are written: one system call for a burst of small ones.
const GATHER: usize = 16 << 10;

/// A request that wants to become a WebSocket (RFC 6455 §4.2.1).
pub struct Upgrade {
    accept: HeaderValue,
    on_upgrade: OnUpgrade,
    lodging: Option<Lodging>,
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let says = |name: HeaderName, word: &str| {
            let value = parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            value.split(',').any(|said| said.trim().eq_ignore_ascii_case(word))
        };
        if parts.method != Method::GET || !says(CONNECTION, "upgrade") || !says(UPGRADE, "websocket") {
            return Err((StatusCode::UPGRADE_REQUIRED, "this is a WebSocket"));
        }
        if !says(SEC_WEBSOCKET_VERSION, "13") {
            return Err((StatusCode::BAD_REQUEST, "only version 13 of the WebSocket protocol is spoken"));
        }
        let key = parts.headers.get(SEC_WEBSOCKET_KEY).ok_or((StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing"))?;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a header value");
        let on_upgrade =
            parts.extensions.remove::<OnUpgrade>().ok_or((StatusCode::BAD_REQUEST, "the connection cannot be upgraded"))?;
        Ok(Self { accept, on_upgrade, lodging: parts.extensions.remove::<Lodging>() })
    }
}

impl Upgrade {
    /// The answer that makes it one; then `serve` gets it, in a task of its own.
    pub fn accept<F: Future<Output = ()> + Send>(self, serve: impl FnOnce(Wire) -> F + Send + 'static) -> Response {
        let Self { on_upgrade, lodging, .. } = self;
        tokio::spawn(async move {
            // A client that went away before it read the answer.
            let Ok(upgraded) = on_upgrade.await else { return };
            let config = WebSocketConfig::default()
                .read_buffer_size(READ_BUFFER)
                .max_message_size(Some(MAX_FRAME))
                .max_frame_size(Some(MAX_FRAME));
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
            serve(Wire { socket, lodging, compression: None, gathered: Vec::new() }).await;
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        response
    }
}

pub struct Wire {
    socket: WebSocketStream<TokioIo<Upgraded>>,
    lodging: Option<Lodging>,
    compression: Option<Box<Stream>>,
    /// Whole frames that wait for [`Wire::flush`].
    gathered: Vec<u8>,
}

/// What came from the client.
pub enum Received {
    Frame(Message),
    /// The client's close frame, with its code.
    Closed(Option<u16>),
    /// A frame that is far too large, or text that is not UTF-8.
    Undecodable,
    Broken,
}

impl Wire {
    /// From here on frames are binary and one stream.
    pub fn compress(&mut self, codec: Codec) {
        self.compression = Some(Box::new(Stream::new(codec)));
    }

    /// Somebody has logged in on it: it does not count towards its address any more.
    pub fn belongs_to_somebody(&mut self) {
        self.lodging = None;
    }

    pub async fn receive(&mut self) -> Received {
        match self.socket.next().await {
            Some(Ok(Message::Close(frame))) => Received::Closed(frame.map(|frame| frame.code.into())),
            Some(Ok(frame)) => Received::Frame(frame),
            Some(Err(Error::Capacity(_) | Error::Utf8(_))) => Received::Undecodable,
            Some(Err(_)) | None => Received::Broken,
        }
    }

    /// Sends the parts as one message, now or with the next flush.
    pub async fn send(&mut self, parts: &[&[u8]]) -> Result<(), Error> {
        match &mut self.compression {
            Some(stream) => {
                let message = stream.message(parts);
                put_frame(&mut self.gathered, Data::Binary, &[&message]);
            }
            None => put_frame(&mut self.gathered, Data::Text, parts),
        }
        if self.gathered.len() >= GATHER { self.flush().await } else { Ok(()) }
    }

    /// Writes what was gathered. Not to be dropped half-way unless the connection ends by it.
    pub async fn flush(&mut self) -> Result<(), Error> {
        // An automatic pong may be half written; our frames come after it.
        self.socket.flush().await?;
        let gathered = std::mem::take(&mut self.gathered);
        if !gathered.is_empty() {
            let stream = self.socket.get_mut();
            stream.write_all(&gathered).await?;
            stream.flush().await?;
        }
        Ok(())
    }

    /// Sends a close frame after everything else and waits for the client's.
    pub async fn close(&mut self, code: u16, reason: &'static str) {
        if self.flush().await.is_ok()
            && self.socket.send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))).await.is_ok()
        {
            self.finish_close().await;
        }
    }

    /// Lets the closing handshake come to its end.
    pub async fn finish_close(&mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}

/// One unfragmented frame, unmasked as a server's are (RFC 6455 §5.2).
fn put_frame(out: &mut Vec<u8>, kind: Data, parts: &[&[u8]]) {
    const FIN: u8 = 0x80;
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.reserve(length + 10);
    out.push(FIN | u8::from(OpCode::Data(kind)));
    match (u16::try_from(length), length) {
        (_, 0..126) => out.push(length as u8),
        (Ok(length), _) => {
            out.push(126);
            out.extend(length.to_be_bytes());
        }
        (Err(_), _) => {
            out.push(127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
}
