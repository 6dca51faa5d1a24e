//! Calls at a real node: signaling over TLS with a certificate of its own, a real media engine, no control plane.

use super::*;
use axum::Router;
use axum::extract::{Query, WebSocketUpgrade};
use axum::routing::any;
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::{Epoch, FromNode, NodeId, PROBES_FROM, Participant, Policy, Secret, ToNode};
use guildhall_protocol::voice_token::{LIFETIME_MS, VoiceClaims, VoiceKey};
use guildhall_sfu::Sfu;
use guildhall_signaling::{Config, LINE_QUEUE, Signaling, VoiceQuery};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

const KEY: [u8; 32] = [3; 32];
const ROOM: u64 = PROBES_FROM | 5;

struct World {
    address: SocketAddr,
    sfu: Sfu,
    signaling: Signaling,
    _to_node: mpsc::Sender<ToNode>,
    from_node: mpsc::Receiver<FromNode>,
}

impl World {
    /// `advertise`: the address that clients are told for media; empty: where the node listens.
    async fn new(advertise: Vec<IpAddr>) -> Self {
        let bind = vec!["127.0.0.1:0".parse().unwrap()];
        let sfu = Sfu::start(guildhall_sfu::Config { bind, advertise, tcp_port: None, room_share: guildhall_sfu::ROOM_SHARE });
        let sfu = sfu.unwrap();
        let (id, region, endpoint) = (NodeId::from("node"), "here".parse().unwrap(), "voice.example:443".to_owned());
        let signaling = Signaling::start(Config { id, region, endpoint, egress_cap_bps: 1 << 30, turn: None }, sfu.clone());
        let (to_control, from_node) = mpsc::channel(LINE_QUEUE);
        let (to_node, from_control) = mpsc::channel(8);
        let following = signaling.clone();
        tokio::spawn(async move { following.follow(to_control, from_control).await });
        to_node.send(ToNode::Welcome { voice_key: Secret(KEY) }).await.unwrap();
        let address = serve(signaling.clone()).await;
        let mut world = Self { address, sfu, signaling, _to_node: to_node, from_node };
        assert!(matches!(world.from_node.recv().await, Some(FromNode::Hello { .. })));
        world
    }

    fn call(&self, key: [u8; 32]) -> Call {
        let expires_at_ms = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64 + LIFETIME_MS;
        let caller = |number: u64| {
            let (user_id, session_id) = (UserId::new(PROBES_FROM | number), format!("probe-{number}"));
            let (guild_id, channel_id) = (GuildId::new(PROBES_FROM), ChannelId::new(ROOM));
            let claims = VoiceClaims {
                participant: Participant { guild_id, channel_id, user_id, session_id: session_id.clone() },
                policy: Policy {
                    can_speak: true,
                    self_mute: false,
                    is_deafened: false,
                    is_priority: false,
                    bitrate_bps: None,
                    can_stream: false,
                },
                token_id: u64::from_be_bytes(media::words()[8..16].try_into().unwrap()),
                node: NodeId::from("node"),
                epoch: Epoch::default(),
                issuer: 1,
                expires_at_ms,
            };
            Caller { user_id, session_id, token: VoiceKey::new(&key).sign(&claims) }
        };
        Call { endpoint: self.address.to_string(), guild_id: GuildId::new(PROBES_FROM), callers: [caller(1), caller(2)] }
    }
}

/// How a call ends on a machine that has time to make it: a busy one says so, which says nothing of the node, and tries again.
async fn judged(prober: &Prober, calls: impl Fn() -> Call) -> Result<Duration, Failure> {
    loop {
        let outcome = prober.call(&calls()).await;
        if outcome != Err(Failure::Starved) {
            return outcome;
        }
    }
}

/// The voice WebSocket over TLS, with a certificate that nobody signed.
async fn serve(signaling: Signaling) -> SocketAddr {
    let upgrade = move |upgrade: WebSocketUpgrade, Query(query): Query<VoiceQuery>| {
        let signaling = signaling.clone();
        async move { signaling.upgrade(upgrade, query, None) }
    };
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let behind = plain.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(plain, Router::new().route("/", any(upgrade))).await });
    let own = rcgen::generate_simple_self_signed(["voice.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let mut inner = TcpStream::connect(behind).await.unwrap();
                // Either end may hang up as it likes.
                let _ = copy_bidirectional(&mut stream, &mut inner).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn callers_hear_each_other_and_nobody_is_told_of_them() {
    let mut world = World::new(Vec::new()).await;
    let (prober, mut most) = (Prober::default(), (0, 0));
    let used = loop {
        let call = world.call(KEY);
        let mut calling = std::pin::pin!(prober.call(&call));
        let outcome = loop {
            tokio::select! {
                outcome = &mut calling => break outcome,
                stats = world.sfu.stats() => most = most.max((stats.peers(), stats.rooms())),
            }
        };
        if outcome != Err(Failure::Starved) {
            assert!(outcome.is_ok_and(|took| took < CALL), "{outcome:?}");
            break call.clone();
        }
    };
    assert_eq!(most, (0, 0), "they count as nobody");
    assert_eq!(judged(&prober, || used.clone()).await, Err(Failure::Refused(4006)), "a token is worth one call");
    // Whatever the node had to say of them it would have said before this.
    world.signaling.leave(Duration::from_secs(20)).await;
    loop {
        match world.from_node.recv().await.expect("the line stands") {
            FromNode::Goodbye => break,
            FromNode::Alive | FromNode::Leaving { .. } => {}
            FromNode::Load(load) => assert_eq!((load.peers, load.rooms), (0, 0)),
            other => panic!("{other:?}"),
        }
    }
    world.signaling.shutdown().await;
    world.sfu.shutdown();
}

#[tokio::test]
async fn what_is_wrong_is_told_apart() {
    // 127.0.0.2 is this machine, too, and the node does not listen there.
    let world = World::new(vec![[127, 0, 0, 2].into()]).await;
    let prober = Prober::default();
    assert_eq!(judged(&prober, || world.call(KEY)).await, Err(Failure::NoWay));
    assert_eq!(judged(&prober, || world.call([4; 32])).await, Err(Failure::Refused(4004)));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let elsewhere = || Call { endpoint: endpoint.clone(), ..world.call(KEY) };
    assert_eq!(judged(&prober, elsewhere).await, Err(Failure::Unreachable));
    world.signaling.shutdown().await;
    assert_eq!(judged(&prober, || world.call(KEY)).await, Err(Failure::Full), "it stops");
    world.sfu.shutdown();
}

#[tokio::test]
async fn a_prober_that_had_no_time_says_nothing_of_the_node() {
    let world = World::new(Vec::new()).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let call = Call { endpoint: nobody.local_addr().unwrap().to_string(), ..world.call(KEY) };
    // The connection ends at once, and this thread does nothing for a while before it hears of that.
    let stall = async {
        drop(nobody.accept().await);
        std::thread::sleep(2 * pulse::STARVED);
    };
    let prober = Prober::default();
    assert_eq!(tokio::join!(prober.call(&call), stall).0, Err(Failure::Starved));
    world.signaling.shutdown().await;
    world.sfu.shutdown();
}
