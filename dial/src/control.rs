//! The control plane's side: a port of its own for nodes, gRPC over TLS or (in a closed network) plain.

use crate::io::{Io, Shown};
use crate::trust::{Gate, Pass, explain};
use crate::wire::fleet_server::{Fleet, FleetServer};
use crate::{FROM_NODE, MESSAGE_BYTES, TO_NODE, convert, wire};
use futures_util::Stream;
use futures_util::stream::unfold;
use guildhall_protocol::fleet::{FromNode, ToNode};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Connections of nodes, those included that have not said who they are. The largest fleets have some hundreds.
const CONNECTIONS: usize = 4_096;

/// From a connection's first byte to the end of its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// After a failed accept (usually out of file descriptors) there is no point in trying again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How often a silent connection is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// A ClientHello starts with the record type "handshake" (RFC 8446 §5.1); HTTP/2 with a P (RFC 9113 §3.4).
const TLS_HANDSHAKE: u8 = 22;

/// Serves nodes until `stop` turns true. `line` is run for each that the gate admits, with what it says and what it is told. When
/// there is a new gate, the lines end of those whom it does not admit.
pub async fn serve<Line>(
    listener: TcpListener,
    gate: watch::Receiver<Arc<Gate>>,
    line: impl Fn(mpsc::Receiver<FromNode>, mpsc::Sender<ToNode>) -> Line + Send + Sync + 'static,
    mut stop: watch::Receiver<bool>,
) where
    Line: Future<Output = ()> + Send + 'static,
{
    let (ready_in, ready) = mpsc::channel(16);
    let accepting = tokio::spawn(accept(listener, gate.clone(), ready_in));
    let incoming = unfold(ready, async |mut ready| ready.recv().await.map(|stream| (Ok::<_, io::Error>(stream), ready)));
    let join = Join { gate, line: Arc::new(move |from, to| Box::pin(line(from, to))) };
    let service = FleetServer::new(join).max_decoding_message_size(MESSAGE_BYTES);
    let stopped = async move {
        // An error means that whoever would say so is gone.
        let _ = stop.wait_for(|is_stopping| *is_stopping).await;
    };
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .max_concurrent_streams(4)
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, stopped);
    if let Err(error) = serving.await {
        tracing::error!(%error, "voice nodes cannot be served any more");
    }
    accepting.abort();
}

/// Takes connections, and hands them over when they can be spoken with.
async fn accept(listener: TcpListener, gate: watch::Receiver<Arc<Gate>>, ready: mpsc::Sender<Io>) {
    let open = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&open).acquire_owned().await.expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => continue,
            Err(error) => {
                tracing::error!(%error, "cannot accept voice nodes");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, ready) = (TlsAcceptor::from(Arc::clone(&gate.borrow().tls)), ready.clone());
        tokio::spawn(async move {
            if let Ok(Some(stream)) = timeout(HANDSHAKE, open_stream(stream, tls, permit)).await {
                // The server may be stopping.
                let _ = ready.send(stream).await;
            }
        });
    }
}

async fn open_stream(stream: TcpStream, tls: TlsAcceptor, permit: OwnedSemaphorePermit) -> Option<Io> {
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first[0] != TLS_HANDSHAKE {
        return Some(Io::new(stream, Some(permit)));
    }
    match tls.accept(stream).into_fallible().await {
        Ok(stream) => {
            let chain = stream.get_ref().1.peer_certificates().map(Arc::from);
            Some(Io::new(stream, Some(permit)).with_chain(chain))
        }
        Err((error, mut stream)) => {
            let error = explain(error);
            tracing::warn!(%error, "a connection to the port for voice nodes came to nothing");
            // What is closed with something unread is reset, and the node might not read the reason.
            let _ = stream.shutdown().await;
            let mut rest = [0; 1_024];
            while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            None
        }
    }
}

type Serve = dyn Fn(mpsc::Receiver<FromNode>, mpsc::Sender<ToNode>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

struct Join {
    gate: watch::Receiver<Arc<Gate>>,
    line: Arc<Serve>,
}

#[tonic::async_trait]
impl Fleet for Join {
    type JoinStream = Pin<Box<dyn Stream<Item = Result<wire::ToNode, Status>> + Send>>;

    async fn join(&self, request: Request<Streaming<wire::FromNode>>) -> Result<Response<Self::JoinStream>, Status> {
        let header = request.metadata().get("authorization").map(|header| header.as_bytes());
        let chain = request.extensions().get::<Shown>().and_then(|shown| shown.0.as_ref());
        let admitted = self.gate.borrow().admit(header, chain);
        let pass = admitted.map_err(|reason| {
            tracing::warn!(reason, "a voice node was refused");
            Status::unauthenticated(reason)
        })?;
        let (to_node, for_node) = mpsc::channel(TO_NODE);
        let (of_node, from_node) = mpsc::channel(FROM_NODE);
        tokio::spawn((self.line)(from_node, to_node));
        let (refusal, refused) = oneshot::channel();
        let (gate, stream) = (self.gate.clone(), request.into_inner());
        tokio::spawn(async move {
            if let Err(status) = hear(stream, &of_node, &pass, gate).await {
                tracing::warn!(reason = status.message(), "a voice node's line is ended");
                // The node may have hung up. Said before `of_node` goes, and with it the line's reason to be.
                let _ = refusal.send(status);
            }
        });
        let stream = unfold((for_node, Some(refused)), async |(mut for_node, mut refused)| {
            loop {
                tokio::select! {
                    biased;
                    status = async { refused.as_mut().expect("asked for as long as it is there").await }, if refused.is_some() => {
                        refused = None;
                        if let Ok(status) = status {
                            return Some((Err(status), (for_node, refused)));
                        }
                    }
                    message = for_node.recv() => {
                        let message: ToNode = message?;
                        return Some((Ok(convert::to_node(message)), (for_node, refused)));
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

/// Hands on what the node says, until it hangs up or nobody listens. An error is said to the node: it may not be here, or not any
/// more.
async fn hear(
    mut stream: Streaming<wire::FromNode>,
    of_node: &mpsc::Sender<FromNode>,
    pass: &Pass,
    mut gate: watch::Receiver<Arc<Gate>>,
) -> Result<(), Status> {
    loop {
        if !gate.borrow_and_update().still_admits(pass) {
            return Err(Status::unauthenticated("what this line was opened with is not taken any more"));
        }
        // Until there is another gate.
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                () = of_node.closed() => return Ok(()),
                Ok(()) = gate.changed() => break,
            };
            // The node is heard of again, or it is lost; either is said by others.
            let Ok(Some(message)) = message else { return Ok(()) };
            let Some(message) = convert::read_from_node(message) else { continue };
            if let FromNode::Hello { hello, .. } = &message {
                pass.fits(&hello.id).map_err(Status::permission_denied)?;
            }
            if of_node.send(message).await.is_err() {
                return Ok(());
            }
        }
    }
}
