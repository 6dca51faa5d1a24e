//! A WebSocket that says anything: for clients that break the protocol on purpose.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{Bytes, Message},
};

use crate::DEADLINE;

/// Bytes; the kernel doubles it.
const NARROW: u32 = 4096;

pub struct Wire(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Wire {
    pub async fn open(url: &str) -> Wire {
        let (stream, _) = connect_async(url).await.unwrap_or_else(|error| panic!("{url} opens: {error}"));
        Wire(stream)
    }

    /// Through a receive buffer of the smallest size, so that not reading is felt soon.
    pub async fn open_narrow(address: SocketAddr, path: &str) -> Wire {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(NARROW).expect("a small buffer");
        let stream = socket.connect(address).await.expect("the port is open");
        let url = format!("ws://{address}{path}");
        let (stream, _) =
            client_async(&url, MaybeTlsStream::Plain(stream)).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        Wire(stream)
    }

    /// Reads whatever is there until the connection is over, whichever way; how many frames came.
    pub async fn drain(&mut self) -> usize {
        let wait = async {
            let mut frames = 0;
            while let Some(Ok(message)) = self.0.next().await {
                frames += usize::from(message.is_text());
            }
            frames
        };
        within(DEADLINE, "the end of the connection", wait).await
    }

    pub async fn text(&mut self, text: impl Into<String>) {
        self.send(Message::text(text.into())).await;
    }

    pub async fn json(&mut self, frame: Value) {
        self.text(frame.to_string()).await;
    }

    pub async fn binary(&mut self, bytes: impl Into<Bytes>) {
        self.send(Message::binary(bytes)).await;
    }

    /// The server may close while more is being said; the test asks for the close code then.
    async fn send(&mut self, message: Message) {
        let _ = self.0.send(message).await;
    }

    /// The next frame that `pick` wants; panics if the socket closes before.
    pub async fn hear(&mut self, what: &str, mut pick: impl FnMut(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let frame: Value = serde_json::from_str(&text).expect("the server writes JSON");
                        if pick(&frame) {
                            return frame;
                        }
                    }
                    Some(Ok(Message::Close(close))) => panic!("closed with {close:?} before {what}"),
                    Some(Ok(_)) => {}
                    other => panic!("{other:?} before {what}"),
                }
            }
        };
        within(DEADLINE, what, wait).await
    }

    /// The next frame with this opcode.
    pub async fn hear_op(&mut self, op: u64) -> Value {
        self.hear(&format!("op {op}"), |frame| frame["op"] == op).await
    }

    /// Reads on until the server closes; the code that it gave.
    pub async fn close_code(&mut self) -> u16 {
        let wait = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(Some(close)))) => return close.code.into(),
                    Some(Ok(Message::Close(None))) => panic!("closed without a code"),
                    Some(Ok(_)) => {}
                    other => panic!("{other:?} instead of a close with a code"),
                }
            }
        };
        within(DEADLINE, "a close", wait).await
    }
}

async fn within<T>(limit: Duration, what: &str, wait: impl Future<Output = T>) -> T {
    timeout(limit, wait).await.unwrap_or_else(|_| panic!("waited {limit:?} for {what}"))
}
