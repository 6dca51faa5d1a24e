//! ICE over TCP, over real sockets on loopback.

use aws_lc_rs::hmac;
use guildhall_protocol::fleet::Policy;
use guildhall_sfu::tcp::TcpStats;
use guildhall_sfu::{Config, PeerId, ROOM_SHARE, Reason, RoomId, Sfu};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use str0m::ice::{StunMessage, TransId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const OPEN: Policy =
    Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: true };
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
const OFFER: &str = "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=rtpmap:111 opus/48000/2\r\n";

/// An engine of three workers, and a port whose connections it carries.
struct World {
    sfu: Sfu,
    port: SocketAddr,
}

impl World {
    async fn start() -> World {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("bound");
        let bind = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 3];
        let config = Config { bind, advertise: Vec::new(), tcp_port: Some(port.port()), room_share: ROOM_SHARE };
        let sfu = Sfu::start(config).expect("free ports");
        let engine = sfu.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let engine = engine.clone();
                tokio::spawn(async move { engine.carry(client).await });
            }
        });
        World { sfu, port }
    }

    /// Someone in a room of their own, with the answer's user name fragment and password.
    async fn joins(&self, room: u64) -> (PeerId, String, String) {
        let (sender, _) = mpsc::channel(16);
        let joined = self.sfu.join(RoomId(room), OPEN, sender).await.expect("there is room");
        let answer = self.sfu.connect_webrtc(joined.peer, OFFER.to_owned()).await.expect("a good offer").sdp;
        let told = format!(" tcp {} 127.0.0.1 {} typ host tcptype passive", 1_520_434_943, self.port.port());
        assert!(answer.contains(&told), "{answer}");
        let value = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).expect("it is there").to_owned();
        (joined.peer, value("a=ice-ufrag:"), value("a=ice-pwd:"))
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.port).await.expect("somebody listens")
    }
}

fn check(ufrag: &str, password: &str) -> Vec<u8> {
    let user_name = format!("{ufrag}:abcd");
    let message = StunMessage::binding_request(&user_name, TransId::new(), true, 1, 1, true);
    let mut bytes = [0; 300];
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let sign = |_: &[u8], parts: &[&[u8]]| -> [u8; 20] {
        hmac::sign(&key, &parts.concat()).as_ref().try_into().expect("SHA-1 has 20 bytes")
    };
    let len = message.to_bytes(Some(password.as_bytes()), &mut bytes, sign).expect("it fits");
    [&(len as u16).to_be_bytes(), &bytes[..len]].concat()
}

async fn read_frame(client: &mut TcpStream) -> Vec<u8> {
    let read = async {
        let mut frame = vec![0; usize::from(client.read_u16().await.expect("a length"))];
        client.read_exact(&mut frame).await.expect("a frame");
        frame
    };
    timeout(PATIENCE, read).await.expect("in time")
}

async fn is_hung_up(mut client: TcpStream) {
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, client.read_to_end(&mut rest)).await.expect("the connection must end");
    assert!(rest.is_empty(), "nothing is said to strangers");
}

#[tokio::test]
async fn a_check_over_tcp_is_answered_by_the_worker_that_it_is_meant_for() {
    let world = World::start().await;
    for room in 1..=5 {
        let (_, ufrag, password) = world.joins(room).await;
        let mut client = world.connect().await;
        let check = check(&ufrag, &password);
        // In two pieces, as a network may cut it.
        let (first, second) = check.split_at(31);
        client.write_all(first).await.expect("it is open");
        client.flush().await.expect("it is open");
        client.write_all(second).await.expect("it is open");
        let answer = read_frame(&mut client).await;
        assert!(StunMessage::parse(&answer).expect("STUN").is_successful_binding_response());
        assert_eq!(world.sfu.stats().await.tcp, TcpStats { open: 1, dropped: 0 });
        drop(client);
        let closed = async {
            while world.sfu.stats().await.tcp.open > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, closed).await.expect("the engine lets go of it");
    }
    world.sfu.shutdown();
}

#[tokio::test]
async fn who_does_not_know_a_peer_reaches_nobody() {
    let world = World::start().await;
    let (_, ufrag, _) = world.joins(1).await;
    for (name, bytes) in [
        ("too long for any datagram", vec![9, 0]),
        ("no STUN", vec![0, 4, 1, 2, 3, 4]),
        ("a name that nobody has", check("ffffff00112233", "p")),
        ("a name that is none", check("é", "p")),
    ] {
        let mut client = world.connect().await;
        client.write_all(&bytes).await.expect("it is open");
        is_hung_up(client).await;
        assert_eq!(world.sfu.stats().await.tcp.open, 0, "{name}");
    }
    // Who knows a name and no password gets as far as with UDP: to a worker that does not answer.
    let mut client = world.connect().await;
    client.write_all(&check(&ufrag, "wrong")).await.expect("it is open");
    let refused = async {
        while world.sfu.stats().await.dropped(Reason::BadStun) == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.expect("the worker has looked at it");
    world.sfu.shutdown();
}
