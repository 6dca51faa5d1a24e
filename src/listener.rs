//! One TCP port for http, https, ws, wss, and media of clients without UDP: the first byte of a connection tells TLS from plain
//! HTTP and from both the frames of ICE over TCP.
//!
//! Every step of a connection has a deadline, and every kind of connection a cap, because this is what the open Internet
//! reaches first.

mod crowd;
mod patient;
mod proxies;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use crowd::Crowd;
use guildhall_protocol::connection::{Connection, Lodging};
use guildhall_sfu::Sfu;
use guildhall_sfu::tcp::is_framed;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use patient::Patient;
pub use proxies::{BadProxies, Proxies};
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tower_http::timeout::TimeoutBody;

/// A ClientHello starts with the record type "handshake" (RFC 8446 §5.1); no HTTP method does.
const TLS_HANDSHAKE: u8 = 22;

/// Open connections that are HTTP still; upgraded WebSockets are counted by the gateways. Beyond: the kernel's backlog waits.
const CONNECTIONS: usize = 8_192;

/// Connections that have not said a first byte or are in a TLS handshake. Beyond: new ones are closed at once. More than one
/// address may have, so that no one address keeps the others out.
const HALF_OPEN: usize = 4_096;

/// After a failed accept (usually out of file descriptors) there is no point in trying again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// One connection's HTTP buffer: a request's head must fit (a search that names every channel is 25 KiB), bodies stream
/// through it.
const BUFFER_BYTES: usize = 32 * 1024;

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From accept to the first byte. Browsers open spare connections; those are opened again when needed.
    pub first_byte: Duration,
    pub tls_handshake: Duration,
    /// For a request's head, and for an idle kept-alive connection: longer than the 90 s for which common HTTP clients pool
    /// connections, so that it is the client that lets go first.
    pub request_head: Duration,
    /// Between two pieces of a request's body; what reads it sees an error then.
    pub request_body: Duration,
    /// For the client to make room for more of an answer: a phone that loses its network comes back sooner, or not.
    pub write: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            tls_handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(100),
            request_body: Duration::from_secs(15),
            write: Duration::from_secs(30),
        }
    }
}

/// What addresses may do.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// How many connections one has without being logged in; `None`: any number.
    pub per_address: Option<usize>,
    /// Those that ask for others.
    pub proxies: Proxies,
}

/// Serves until `stop` turns true, then lets running requests finish. Returns when the last one has; the caller bounds that.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    router: Router,
    deadlines: Deadlines,
    media: Option<Sfu>,
    addresses: Addresses,
    mut stop: watch::Receiver<bool>,
) {
    let door = Arc::new(Door {
        tls: TlsAcceptor::from(tls),
        router,
        media,
        deadlines,
        crowd: Crowd::new(addresses.per_address),
        proxies: addresses.proxies,
        half_open: Semaphore::new(HALF_OPEN),
        stop: stop.clone(),
    });
    let open = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&open).acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|is_stopping| *is_stopping) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // One that is too many is closed at once. Whom a proxy asks for is known by its requests.
                let is_proxy = door.proxies.include(peer.ip());
                let Some(lodging) = (if is_proxy { Some(None) } else { door.crowd.admit(peer.ip()).map(Some) }) else { continue };
                let door = Arc::clone(&door);
                tokio::spawn(async move {
                    door.connection(stream, peer, lodging).await;
                    drop(permit);
                });
            }
            // The peer was gone before we looked.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let everyone = open.acquire_many(CONNECTIONS as u32).await;
    drop(everyone);
}

/// What every connection needs.
struct Door {
    tls: TlsAcceptor,
    router: Router,
    /// Where media of clients without UDP goes.
    media: Option<Sfu>,
    deadlines: Deadlines,
    crowd: Arc<Crowd>,
    proxies: Proxies,
    half_open: Semaphore,
    stop: watch::Receiver<bool>,
}

impl Door {
    /// `lodging`: the place that the connection has; `None`: it is a proxy's, whose requests have places.
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, lodging: Option<Lodging>) {
        let Ok(half_open) = self.half_open.try_acquire() else { return };
        // Gateway frames are small and must not wait for each other.
        let _ = stream.set_nodelay(true);
        let mut first = [0];
        if self.in_time(self.deadlines.first_byte, stream.peek(&mut first)).await != Some(1) {
            return;
        }
        if is_framed(first[0]) {
            drop(half_open);
            if let Some(media) = &self.media {
                let mut stop = self.stop.clone();
                // Whatever ends it, the client knows or will find out; there is nobody to tell.
                tokio::select! {
                    _ = media.carry(stream) => {}
                    _ = stop.wait_for(|is_stopping| *is_stopping) => {}
                }
            }
            return;
        }
        let stream = Patient::new(stream, self.deadlines.write);
        if first[0] == TLS_HANDSHAKE {
            let Some(stream) = self.in_time(self.deadlines.tls_handshake, self.tls.accept(stream)).await else { return };
            drop(half_open);
            self.http(stream, Connection { peer, client: peer.ip(), is_tls: true }, lodging).await;
        } else {
            drop(half_open);
            self.http(stream, Connection { peer, client: peer.ip(), is_tls: false }, lodging).await;
        }
    }

    /// One step of opening a connection: `None` when it failed, took too long, or the server stops meanwhile.
    async fn in_time<T>(&self, deadline: Duration, step: impl Future<Output = io::Result<T>>) -> Option<T> {
        let mut stop = self.stop.clone();
        tokio::select! {
            done = timeout(deadline, step) => done.ok()?.ok(),
            _ = stop.wait_for(|is_stopping| *is_stopping) => None,
        }
    }

    async fn http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        connection: Connection,
        lodging: Option<Lodging>,
    ) {
        let service = service_fn(async |request: Request<Incoming>| {
            let mut request = request.map(|body| Body::new(TimeoutBody::new(self.deadlines.request_body, body)));
            let (client, lodging) = match &lodging {
                Some(lodging) => (connection.client, Some(lodging.clone())),
                None => {
                    let client = self.proxies.client(connection.client, request.headers());
                    (client, self.crowd.admit(client))
                }
            };
            let Some(lodging) = lodging else { return Ok(too_many()) };
            request.extensions_mut().insert(Connection { client, ..connection });
            request.extensions_mut().insert(lodging.clone());
            request.extensions_mut().insert(ConnectInfo(connection.peer));
            let answer = self.router.clone().oneshot(request).await;
            // What came by a proxy has its place until here, a WebSocket until it has identified.
            drop(lodging);
            answer
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.deadlines.request_head).max_buf_size(BUFFER_BYTES);
        let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let mut stop = self.stop.clone();
        // A broken connection is the client's affair; there is nobody left to tell.
        tokio::select! {
            _ = serving.as_mut() => return,
            _ = stop.wait_for(|is_stopping| *is_stopping) => serving.as_mut().graceful_shutdown(),
        }
        let _ = serving.await;
    }
}

/// The answer to one more of an address that has as many connections as it may; the proxy's own is not to be closed for it.
fn too_many() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

#[cfg(test)]
mod tests;
