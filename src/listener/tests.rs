//! Plain and TLS on one port, and what happens to connections that say nothing. Real sockets on loopback.

use super::*;
use axum::Extension;
use axum::routing::{get, post};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::collections::BTreeSet;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

const REQUEST: &[u8] = b"GET /who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// More than the buffers of a connection hold.
const LARGE: usize = 64 << 20;

struct Server {
    address: SocketAddr,
    client_tls: TlsConnector,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn start(deadlines: Deadlines) -> Self {
        Self::start_with(deadlines, Addresses::default()).await
    }

    async fn start_with(deadlines: Deadlines, addresses: Addresses) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hosts = BTreeSet::from(["localhost".to_owned()]);
        let tls = crate::tls::config(crate::tls::current(None, dir.path(), &hosts).unwrap()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(crate::tls::authority_path(dir.path())).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client_tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client_tls = client_tls.with_root_certificates(roots).with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let who = |Extension(connection): Extension<Connection>, ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
            format!("{} {} {}", if connection.is_tls { "tls" } else { "plain" }, connection.peer, connection.peer == peer)
        };
        let large = async || vec![0_u8; LARGE];
        let client = get(async |Extension(connection): Extension<Connection>| connection.client.to_string());
        let router = Router::new().route("/who", get(who)).route("/client", client).route("/large", get(large));
        let router = router.route("/echo", post(async |body: String| body));
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, tls, router, deadlines, None, addresses, stopped));
        Self { address, client_tls: TlsConnector::from(Arc::new(client_tls)), stop, serving, _dir: dir }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect_from(&self, address: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address.parse().unwrap()).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

fn share(per_address: usize, proxies: Proxies) -> Addresses {
    Addresses { per_address: Some(per_address), proxies }
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    ask_with(stream, REQUEST).await
}

async fn ask_with(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes without TLS close_notify is not an error here: the body is complete by its length.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// Reads until the server hangs up; fails if it does not.
async fn is_hung_up(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    let _ = read.expect("the server must close this connection");
}

#[tokio::test]
async fn one_port_speaks_plain_and_tls_and_says_which() {
    let server = Server::start(Deadlines::default()).await;
    let stream = server.connect().await;
    let expected = format!("plain {} true", stream.local_addr().unwrap());
    assert!(ask(stream).await.ends_with(&expected));

    let stream = server.connect().await;
    let expected = format!("tls {} true", stream.local_addr().unwrap());
    let name = ServerName::try_from("localhost").unwrap();
    assert!(ask(server.client_tls.connect(name, stream).await.unwrap()).await.ends_with(&expected));
}

#[tokio::test]
async fn a_client_that_stalls_at_any_step_is_hung_up_on() {
    let short = Duration::from_millis(50);
    let deadlines = Deadlines { first_byte: short, tls_handshake: short, request_head: short, request_body: short, write: short };
    let server = Server::start(deadlines).await;
    let started = Instant::now();
    is_hung_up(server.connect().await).await;
    let mut in_handshake = server.connect().await;
    in_handshake.write_all(&[TLS_HANDSHAKE, 3, 1]).await.unwrap();
    is_hung_up(in_handshake).await;
    let mut in_head = server.connect().await;
    in_head.write_all(&REQUEST[..20]).await.unwrap();
    is_hung_up(in_head).await;
    let mut in_body = server.connect().await;
    in_body.write_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhel").await.unwrap();
    let mut answer = [0; 12];
    in_body.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    is_hung_up(in_body).await;
    assert!(started.elapsed() >= 4 * short, "each had its time");
    assert!(ask(server.connect().await).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_the_port() {
    let server = Server::start(Deadlines::default()).await;
    let idle = server.connect().await;
    let mut kept_alive = server.connect().await;
    kept_alive.write_all(b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    kept_alive.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    server.stop.send_replace(true);
    is_hung_up(kept_alive).await;
    is_hung_up(idle).await;
    timeout(Duration::from_secs(10), server.serving).await.expect("nothing keeps it").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

/// Asks until there is an answer: the server sees a moment later that a connection has gone.
async fn is_served(server: &Server) {
    let asking = async {
        loop {
            let mut stream = server.connect().await;
            let mut answer = Vec::new();
            if stream.write_all(REQUEST).await.is_ok() && stream.read_to_end(&mut answer).await.is_ok() && !answer.is_empty() {
                return answer;
            }
        }
    };
    let answer = timeout(Duration::from_secs(10), asking).await.expect("there is room again");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn one_address_has_only_its_share_of_connections_that_nobody_logged_in_on() {
    let server = Server::start_with(Deadlines::default(), share(2, Proxies::default())).await;
    let held = [server.connect().await, server.connect().await];
    is_hung_up(server.connect().await).await;
    assert!(ask(server.connect_from("127.0.0.2:0").await).await.starts_with("HTTP/1.1 200"), "another address is served");
    drop(held);
    is_served(&server).await;
}

#[tokio::test]
async fn a_client_that_never_reads_its_answer_is_hung_up_on() {
    let deadlines = Deadlines { write: Duration::from_millis(50), ..Deadlines::default() };
    let server = Server::start_with(deadlines, share(1, Proxies::default())).await;
    let mut greedy = server.connect().await;
    greedy.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    // Its place is the only one.
    is_served(&server).await;
    let mut sent = Vec::new();
    let _ = timeout(Duration::from_secs(10), greedy.read_to_end(&mut sent)).await.expect("the server hung up");
    assert!(sent.len() < LARGE, "{} bytes were sent before", sent.len());
}

fn forwarded(path: &str, of: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {of}\r\nConnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn only_a_named_proxy_is_believed_for_whom_it_asks() {
    let proxies = "127.0.0.2".parse().unwrap();
    let server = Server::start_with(Deadlines::default(), Addresses { per_address: None, proxies }).await;
    let request = forwarded("/client", "203.0.113.9");
    let by_proxy = ask_with(server.connect_from("127.0.0.2:0").await, &request).await;
    assert!(by_proxy.ends_with("\r\n203.0.113.9"), "{by_proxy}");
    let by_stranger = ask_with(server.connect().await, &request).await;
    assert!(by_stranger.ends_with("\r\n127.0.0.1"), "{by_stranger}");
    // The client sent the first one, its proxy saw the second.
    let forged = ask_with(server.connect_from("127.0.0.2:0").await, &forwarded("/client", "127.0.0.1, 203.0.113.9")).await;
    assert!(forged.ends_with("\r\n203.0.113.9"), "{forged}");
}

#[tokio::test]
async fn what_comes_by_a_proxy_counts_for_its_client() {
    let server = Server::start_with(Deadlines::default(), share(1, "127.0.0.1".parse().unwrap())).await;
    let mut held = server.connect().await;
    let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.9\r\nExpect: 100-continue\r\n";
    held.write_all(format!("{head}Connection: close\r\nContent-Length: 5\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    held.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n", "the handler waits for the body");
    let of_same = ask_with(server.connect().await, &forwarded("/client", "203.0.113.9")).await;
    assert!(of_same.starts_with("HTTP/1.1 429") && of_same.contains("retry-after: 1"), "{of_same}");
    let of_other = ask_with(server.connect().await, &forwarded("/client", "203.0.113.10")).await;
    assert!(of_other.starts_with("HTTP/1.1 200"), "{of_other}");
    held.write_all(b"hello").await.unwrap();
    let mut rest = String::new();
    held.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("hello"), "{rest}");
    let again = ask_with(server.connect().await, &forwarded("/client", "203.0.113.9")).await;
    assert!(again.starts_with("HTTP/1.1 200"), "{again}");
}
