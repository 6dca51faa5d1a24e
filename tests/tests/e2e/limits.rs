//! Limits hold: whatever strangers do, an honest client is served meanwhile, the server's memory stays below a stated bound,
//! and afterwards it has let go of everything.
//!
//! The attackers come from an address of their own, as they would. What each attack cost is printed and written to
//! `target/e2e/limits.txt`: the README's table is made of it.

use std::{
    io::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use guildhall_loadtest::{Gateway, rest::Account};
use guildhall_protocol::ChannelId;
use guildhall_tests::{DEADLINE, artifacts, eventually, server::Server, world::World};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

/// Where attackers come from: all of 127.0.0.0/8 is this machine, and no part of it is the honest client's.
const ELSEWHERE: &str = "127.0.0.2:0";

const MIB: u64 = 1 << 20;

/// Files that the server may have opened meanwhile and keeps: connections to its database, and those of the honest client.
const KEPT_FILES: usize = 16;

/// So many times at least the honest client is served during an attack.
const SERVED: usize = 3;

/// A world under attack: a server whose memory is watched, and an honest client that is served all the time.
struct Siege {
    world: World,
    files: usize,
    memory: u64,
    is_over: Arc<AtomicBool>,
    honest: JoinHandle<usize>,
}

impl Siege {
    async fn lay(world: World) -> Siege {
        let ann = world.member("ann").await;
        let session = world.session(&ann).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, channel) = (Arc::clone(&is_over), world.text);
        let honest = tokio::spawn(async move { live(ann, session, channel, &over).await });
        let pid = world.server.pid();
        // From here on the kernel counts the peak anew.
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the server is ours");
        Siege { files: files(pid), memory: memory(pid, "VmRSS"), world, is_over, honest }
    }

    fn address(&self) -> SocketAddr {
        self.world.server.address()
    }

    async fn connect(&self) -> TcpStream {
        connect(self.address()).await
    }

    /// The attackers are gone: nothing of them is left, and it cost no more than `bound` bytes at any moment.
    async fn lift(self, attack: &str, bound: u64) {
        let pid = self.world.server.pid();
        let most = self.files + KEPT_FILES;
        eventually("the attackers' connections to be closed", async || (files(pid) <= most).then_some(())).await;
        self.is_over.store(true, Ordering::Relaxed);
        let served = timeout(DEADLINE, self.honest).await.expect("the honest client ends").expect("it was served");
        assert!(served >= SERVED, "the honest client was served {served} times only");
        let peak = memory(pid, "VmHWM");
        let cost = peak.saturating_sub(self.memory);
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        let line = format!(
            "{attack}: {:.0} MiB before, {:.0} MiB at its peak (+{:.1}, bound +{:.0}); the honest client was served {served} times",
            mib(self.memory),
            mib(peak),
            mib(cost),
            mib(bound),
        );
        println!("{line}");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(artifacts().join("limits.txt"));
        writeln!(file.expect("target is writable"), "{line}").expect("target is writable");
        assert!(cost <= bound, "{line}");
        assert_eq!(self.world.server.log().matches("panicked").count(), 0, "{}", self.world.server.log());
    }
}

/// Writes, and waits to hear of it on the gateway, again and again.
async fn live(ann: Account, mut session: Gateway, channel: ChannelId, is_over: &AtomicBool) -> usize {
    let mut served = 0;
    while !is_over.load(Ordering::Relaxed) {
        let sent = ann.rest.send_message(channel, &format!("still here {served}")).await.expect("the honest client may write");
        session.next_named("MESSAGE_CREATE", |message| message["id"] == json!(sent.id)).await.expect("it is delivered");
        served += 1;
    }
    served
}

fn files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the server runs").count()
}

/// A line of `/proc/<pid>/status` in bytes.
fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("the kernel says so");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB") * 1024
}

async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(ELSEWHERE.parse().expect("an address")).expect("all of 127.0.0.0/8 is ours");
    timeout(DEADLINE, socket.connect(address)).await.expect("in time").expect("the server listens")
}

/// Reads until the server hangs up. What came before.
async fn hung_up(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is a way to hang up, too.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("the server hangs up");
    rest
}

/// Says something and reads the answer's status; `None`: the server hung up without one.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> Option<u16> {
    // The server may stop reading in the middle.
    let _ = stream.write_all(request).await;
    let answer = hung_up(stream).await;
    let head = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
    head.strip_prefix("HTTP/1.1 ").and_then(|status| status.parse().ok())
}

fn post(path: &str, token: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn gateway(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = connect(address).await;
    let url = format!("ws://{address}/gateway?v=10&encoding=json");
    timeout(DEADLINE, client_async(url, stream)).await.expect("in time").expect("the gateway opens").0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_junk_requests_are_refused_and_cost_nothing() {
    const REQUESTS: usize = 10_000;
    const AT_ONCE: usize = 16;
    let siege = Siege::lay(World::start().await).await;
    let mallory = siege.world.member("mallory").await;
    let messages = format!("/api/v10/channels/{}/messages", siege.world.text);
    let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
    let many = [b"{\"embeds\":[".as_slice(), &b"{},".repeat(100_000), b"{}]}"].concat();
    let huge = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "x".repeat(100_000)).into_bytes();
    let headers = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(1_000)).into_bytes();
    let kinds: Arc<Vec<Vec<u8>>> = Arc::new(vec![
        b"\x00\xff\xfe\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"BREW /api/v10/users/@me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        b"GET /api/v10/users/@me HTTP/9.9\r\nHost: x\r\n\r\n".to_vec(),
        b"POST /api/v10/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        b"POST /api/v10/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n".to_vec(),
        b"GET /api/v10/users/@me HTTP/1.1\r\nHost: x\r\nAuthorization: Bot nonsense\r\nConnection: close\r\n\r\n".to_vec(),
        b"GET /api/v10/guilds/%ff%00/../../etc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        b"GET /gateway?v=10 HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        huge,
        headers,
        post("/api/v10/auth/login", "", b"{\"login\": \"a\", "),
        post("/api/v10/auth/register", "", &deep),
        post(&messages, &mallory.token, b"{\"content\": 5, \"embeds\": [[]], \"components\": [{}]}"),
        post(&messages, &mallory.token, &deep),
        post(&messages, &mallory.token, &many),
        post(&messages, "nobody", b"{}"),
        b"\x16\x03\x01\x00\x05hello".to_vec(),
    ]);
    let address = siege.address();
    let mut attackers = JoinSet::new();
    for attacker in 0..AT_ONCE {
        let kinds = Arc::clone(&kinds);
        attackers.spawn(async move {
            for number in (attacker..REQUESTS).step_by(AT_ONCE) {
                let request = &kinds[number % kinds.len()];
                let status = ask(&mut connect(address).await, request).await;
                let is_refused = status.is_none_or(|status| (400..500).contains(&status));
                assert!(is_refused, "{status:?} for {}", String::from_utf8_lossy(&request[..request.len().min(80)]));
            }
        });
    }
    while let Some(attacker) = attackers.join_next().await {
        attacker.expect("every request is refused");
    }
    siege.lift("10,000 junk requests", 64 * MIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_hardly_say_anything_hold_up_nobody_and_are_hung_up_on() {
    const EACH: usize = 300;
    // With them few of the bodies would be read at all.
    let siege = Siege::lay(World::on(Server::start_with(&["--rate-limits", "off"])).await).await;
    let mut silent = Vec::new();
    let mut in_handshake = Vec::new();
    let mut in_head = Vec::new();
    let mut in_body = Vec::new();
    for _ in 0..EACH {
        silent.push(siege.connect().await);
        let mut stream = siege.connect().await;
        stream.write_all(&[22, 3, 1, 2, 0, 1]).await.expect("the beginning of a ClientHello");
        in_handshake.push(stream);
        let mut stream = siege.connect().await;
        stream.write_all(b"GET /api/v10/gateway HTTP/1.1\r\nHost: ").await.expect("the beginning of a head");
        in_head.push(stream);
        let mut stream = siege.connect().await;
        let head = "POST /api/v10/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.expect("the beginning of a body");
        in_body.push(stream);
    }
    // Now and then a byte, until those who owe the server a handshake are out of time.
    let patient = tokio::spawn(async move {
        for stream in silent.iter_mut().chain(&mut in_handshake) {
            hung_up(stream).await;
        }
    });
    let mut now_and_then = tokio::time::interval(Duration::from_secs(1));
    while !patient.is_finished() {
        now_and_then.tick().await;
        for stream in in_head.iter_mut().chain(&mut in_body) {
            stream.write_all(b"x").await.expect("it is not out of time yet");
        }
    }
    patient.await.expect("the server hangs up on who never comes to the point");
    drop((in_head, in_body));
    siege.lift("1,200 slow sockets (silent, in a handshake, in a head, in a body)", 64 * MIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_gateway_connections_that_never_identify_cost_little_and_an_address_has_its_share() {
    const CONNECTIONS: usize = 1_000;
    let server = Server::start_with(&["--connections-per-address", &(CONNECTIONS + 1).to_string()]);
    let siege = Siege::lay(World::on(server).await).await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut socket = gateway(siege.address()).await;
        let hello = timeout(DEADLINE, socket.next()).await.expect("in time").expect("open").expect("sound");
        assert!(hello.to_text().is_ok_and(|hello| hello.contains("\"op\":10")), "{hello:?}");
        idle.push(socket);
    }
    // The last place; then the address has none left, and another one is not concerned.
    let mut last = siege.connect().await;
    let mut refused = siege.connect().await;
    assert_eq!(hung_up(&mut refused).await, b"");
    assert_eq!(ask(&mut last, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await, Some(200));

    // Who logs in takes no place: a household, or everyone behind a proxy, may have any number of sessions.
    let ben = siege.world.member("ben").await;
    let identify = json!({ "op": 2, "d": { "token": ben.token, "properties": {} } });
    let mut live = idle.pop().expect("there are a thousand");
    live.send(Message::text(identify.to_string())).await.expect("it is open");
    let ready = async {
        while let Some(Ok(frame)) = live.next().await {
            if frame.to_text().is_ok_and(|frame| frame.contains("\"t\":\"READY\"")) {
                return;
            }
        }
        panic!("closed before READY");
    };
    timeout(DEADLINE, ready).await.expect("in time");
    for _ in 0..2 {
        idle.push(gateway(siege.address()).await);
    }
    drop((idle, live));
    siege.lift("1,000 gateway connections that never identify", 64 * MIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_never_read_are_cut_off_while_others_hear_everything() {
    const DEAF: usize = 20;
    let world = World::on(Server::start_with(&["--rate-limits", "off"])).await;
    let ben = world.member("ben").await;
    let siege = Siege::lay(world).await;
    let identify = json!({ "op": 2, "d": { "token": ben.token, "properties": {} } }).to_string();
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket.bind(ELSEWHERE.parse().expect("an address")).expect("loopback");
        let stream = socket.connect(siege.address()).await.expect("the server listens");
        let url = format!("ws://{}/gateway?v=10&encoding=json", siege.address());
        let (mut socket, _) = client_async(url, stream).await.expect("the gateway opens");
        socket.send(Message::text(identify.clone())).await.expect("it is open");
        deaf.push(socket);
    }
    let owner = siege.world.owner.rest.clone();
    let (text, long) = (siege.world.text, "x".repeat(2_000));
    let metrics = reqwest::Client::builder().no_proxy().build().expect("a client");
    let page = format!("{}/metrics", siege.world.server.base());
    // Events flow until nobody is left but the honest client.
    loop {
        for _ in 0..50 {
            owner.send_message(text, &long).await.expect("the owner may write");
        }
        let page = metrics.get(&page).send().await.expect("an answer").text().await.expect("text");
        if page.contains("guildhall_gateway_connections 1\n") {
            break;
        }
    }
    drop(deaf);
    siege.lift("20 subscribers that never read", 64 * MIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_without_an_end_are_refused_and_leave_nothing() {
    const UPLOADS: usize = 8;
    let siege = Siege::lay(World::start().await).await;
    let path = format!("/api/v10/channels/{}/messages", siege.world.text);
    let mut uploads = JoinSet::new();
    for number in 0..UPLOADS {
        let mallory = siege.world.member(&format!("mallory{number}")).await;
        let (address, path) = (siege.address(), path.clone());
        uploads.spawn(async move {
            let head = |length: &str| {
                format!(
                    "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: multipart/form-data; boundary=b\r\n\
                     {length}\r\nConnection: close\r\n\r\n",
                    mallory.token
                )
            };
            // Ten gigabytes by its own word.
            let status = ask(&mut connect(address).await, head("Content-Length: 10737418240").as_bytes()).await;
            assert_eq!(status, Some(413));

            let mut stream = connect(address).await;
            stream.write_all(head("Transfer-Encoding: chunked").as_bytes()).await.expect("open");
            let begin = "--b\r\nContent-Disposition: form-data; name=\"files[0]\"; filename=\"endless.bin\"\r\n\r\n";
            let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
            stream.write_all(&chunk(begin.as_bytes())).await.expect("open");
            let piece = chunk(&[0xAB; 64 << 10]);
            let (mut reader, mut writer) = stream.split();
            let write = async { while writer.write_all(&piece).await.is_ok() {} };
            let mut answer = [0; 12];
            tokio::select! {
                () = write => {}
                read = reader.read_exact(&mut answer) => drop(read.expect("an answer")),
            }
            // Whoever writes on may find the connection reset before the answer is read.
            assert!(answer == *b"HTTP/1.1 413" || answer == *b"HTTP/1.1 400" || answer == [0; 12], "{answer:?}");
        });
    }
    while let Some(upload) = uploads.join_next().await {
        upload.expect("every upload is refused");
    }
    let folder = siege.world.server.data().join("files");
    let is_empty = async || (count_files(&folder) == 0).then_some(());
    eventually("the pieces of uploads to be deleted", is_empty).await;
    siege.lift("8 uploads that never end", 128 * MIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_that_never_end_share_one_budget() {
    const BODIES: usize = 60;
    /// Less than a picture may have; sixty are far more than the budget.
    const SENT: usize = 10 << 20;
    let siege = Siege::lay(World::on(Server::start_with(&["--rate-limits", "off"])).await).await;
    let mallory = siege.world.member("mallory").await;
    let head = format!(
        "PATCH /api/v10/users/@me HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: {}\r\n\r\n{{\"avatar\": \"",
        mallory.token,
        SENT + 100,
    );
    let sent = Arc::new(vec![b'A'; SENT]);
    let mut bodies = JoinSet::new();
    for _ in 0..BODIES {
        let (address, head, sent) = (siege.address(), head.clone(), Arc::clone(&sent));
        bodies.spawn(async move {
            let mut stream = connect(address).await;
            stream.write_all(head.as_bytes()).await.expect("open");
            // Refused ones are reset.
            let is_taken = stream.write_all(&sent).await.is_ok();
            (stream, is_taken)
        });
    }
    let held = bodies.join_all().await;
    assert!(held.iter().any(|(_, is_taken)| *is_taken), "the budget is there to be used");
    // The rest of those that were taken never comes; they go as their senders do.
    drop(held);
    siege.lift("60 bodies of 10 MiB that never end", 160 * MIB).await;
}

fn count_files(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |entry: std::io::Result<std::fs::DirEntry>| {
        // A file may be deleted while we look.
        let Ok(entry) = entry else { return 0 };
        if entry.path().is_dir() { count_files(&entry.path()) } else { 1 }
    };
    entries.map(count).sum()
}
