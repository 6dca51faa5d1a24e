//! One accepted voice WebSocket. Writing never waits: frames queue up to a limit and leave while the task waits for its next
//! input, so that a client that does not read holds up nobody but itself.

use crate::limits;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{Sink, Stream, StreamExt};
use guildhall_protocol::connection::Lodging;
use guildhall_protocol::voice_gateway::CloseCode;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::OwnedSemaphorePermit;

pub struct Socket {
    socket: WebSocket,
    outgoing: VecDeque<Message>,
    must_flush: bool,
    /// Its share of [`limits::SOCKETS`], given back when the socket is dropped.
    _permit: OwnedSemaphorePermit,
    lodging: Option<Lodging>,
}

/// What a client did.
pub enum Event {
    Text(axum::extract::ws::Utf8Bytes),
    Binary,
    /// Closed, broken, or it sent what no WebSocket sends.
    Closed {
        code: Option<u16>,
    },
}

impl Socket {
    pub fn new(socket: WebSocket, permit: OwnedSemaphorePermit, lodging: Option<Lodging>) -> Self {
        Self { socket, outgoing: VecDeque::new(), must_flush: false, _permit: permit, lodging }
    }

    /// Somebody has identified on it: it does not count towards its address any more.
    pub fn belongs_to_somebody(&mut self) {
        self.lodging = None;
    }

    /// Queues a frame.
    pub fn send(&mut self, frame: String) {
        self.outgoing.push_back(Message::text(frame));
    }

    /// Whether the client has let too many frames pile up: then the socket is to be dropped.
    pub fn is_stuck(&self) -> bool {
        self.outgoing.len() > limits::OUTGOING_FRAMES
    }

    /// The next thing the client does; sends what is queued meanwhile. Safe to drop and call again.
    pub async fn next(&mut self) -> Event {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Sends what is queued and a close frame, and waits a moment for the client's, so that it reads ours before the
    /// connection goes.
    pub async fn close(mut self, code: CloseCode) {
        let frame = CloseFrame { code: code.code(), reason: code.reason().into() };
        self.outgoing.push_back(Message::Close(Some(frame)));
        let goodbye = async {
            while let Some(message) = self.outgoing.pop_front() {
                if self.socket.send(message).await.is_err() {
                    return;
                }
            }
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        // Whether it heard us or not, it is gone afterwards.
        let _ = tokio::time::timeout(limits::CLOSE_TIMEOUT, goodbye).await;
    }

    /// After the client's close frame: lets the library answer it, or the client would see a broken connection.
    pub async fn answer_close(mut self) {
        let _ = tokio::time::timeout(limits::CLOSE_TIMEOUT, async { while let Some(Ok(_)) = self.socket.next().await {} }).await;
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        // A failed write says nothing that the read side does not say, too.
        if let Poll::Ready(Err(_)) = self.poll_write(cx) {
            return Poll::Ready(Event::Closed { code: None });
        }
        loop {
            let event = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Event::Text(text),
                Some(Ok(Message::Binary(_))) => Event::Binary,
                // The library answers pings while it reads.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(frame))) => Event::Closed { code: frame.map(|frame| frame.code) },
                Some(Err(_)) | None => Event::Closed { code: None },
            };
            return Poll::Ready(event);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        while !self.outgoing.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            if let Some(message) = self.outgoing.pop_front() {
                Pin::new(&mut self.socket).start_send(message)?;
                self.must_flush = true;
            }
        }
        if self.must_flush {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.must_flush = false;
        }
        Poll::Ready(Ok(()))
    }
}
