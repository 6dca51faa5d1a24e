//! The control plane's side: a port of its own for nodes, gRPC over TLS or (in a closed network) plain.

use crate::io::Io;
use crate::secret::JoinSecret;
use crate::wire::fleet_server::{Fleet, FleetServer};
use crate::{FROM_NODE, MESSAGE_BYTES, TO_NODE, convert, wire};
use futures_util::Stream;
use futures_util::stream::unfold;
use guildhall_protocol::fleet::{FromNode, ToNode};
use rustls::ServerConfig;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
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

/// Serves nodes until `stop` turns true. `line` is run for each that knows the secret, with what it says and what it is told.
pub async fn serve<Line>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    secret: JoinSecret,
    line: impl Fn(mpsc::Receiver<FromNode>, mpsc::Sender<ToNode>) -> Line + Send + Sync + 'static,
    mut stop: watch::Receiver<bool>,
) where
    Line: Future<Output = ()> + Send + 'static,
{
    let mut tls = ServerConfig::clone(&tls);
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let (ready_in, ready) = mpsc::channel(16);
    let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), ready_in));
    let incoming = unfold(ready, async |mut ready| ready.recv().await.map(|stream| (Ok::<_, io::Error>(stream), ready)));
    let join = Join { secret, line: Arc::new(move |from, to| Box::pin(line(from, to))) };
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
async fn accept(listener: TcpListener, tls: TlsAcceptor, ready: mpsc::Sender<Io>) {
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
        let (tls, ready) = (tls.clone(), ready.clone());
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
    if first[0] == TLS_HANDSHAKE {
        Some(Io::new(tls.accept(stream).await.ok()?, Some(permit)))
    } else {
        Some(Io::new(stream, Some(permit)))
    }
}

type Serve = dyn Fn(mpsc::Receiver<FromNode>, mpsc::Sender<ToNode>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

struct Join {
    secret: JoinSecret,
    line: Arc<Serve>,
}

#[tonic::async_trait]
impl Fleet for Join {
    type JoinStream = Pin<Box<dyn Stream<Item = Result<wire::ToNode, Status>> + Send>>;

    async fn join(&self, request: Request<Streaming<wire::FromNode>>) -> Result<Response<Self::JoinStream>, Status> {
        let authorization = request.metadata().get("authorization");
        if !authorization.is_some_and(|header| self.secret.is_in(header.as_bytes())) {
            tracing::warn!("a voice node was refused: it does not know the join secret");
            return Err(Status::unauthenticated("the join secret is not this one"));
        }
        let (to_node, for_node) = mpsc::channel(TO_NODE);
        let (of_node, from_node) = mpsc::channel(FROM_NODE);
        tokio::spawn((self.line)(from_node, to_node));
        tokio::spawn(hear(request.into_inner(), of_node));
        let stream = unfold(for_node, async |mut for_node| {
            let message: ToNode = for_node.recv().await?;
            Some((Ok(convert::to_node(message)), for_node))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

/// Hands on what the node says, until it hangs up or nobody listens.
async fn hear(mut stream: Streaming<wire::FromNode>, of_node: mpsc::Sender<FromNode>) {
    loop {
        let message = tokio::select! {
            message = stream.message() => message,
            () = of_node.closed() => return,
        };
        match message {
            Ok(Some(message)) => {
                if let Some(message) = convert::read_from_node(message)
                    && of_node.send(message).await.is_err()
                {
                    return;
                }
            }
            // The node is heard of again, or it is lost; either is said by others.
            Ok(None) | Err(_) => return,
        }
    }
}
