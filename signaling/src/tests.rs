//! The whole of signaling over real sockets, with a real media engine: what one client does and another hears.

mod streams;

use crate::{Config, Signaling, VoiceQuery, limits};
use axum::Router;
use axum::extract::{Query, WebSocketUpgrade};
use axum::routing::any;
use futures_util::{SinkExt, StreamExt};
use guildhall_protocol::fleet::{Epoch, FromNode, NodeId, Participant, Policy, Secret, Sitting, ToNode};
use guildhall_protocol::voice_gateway::{CloseCode, MODE_AES256_GCM, MODE_XCHACHA20_POLY1305};
use guildhall_protocol::voice_token::{LIFETIME_MS, VoiceClaims, VoiceKey};
use guildhall_protocol::{ChannelId, GuildId, UserId};
use guildhall_sfu::Sfu;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const GUILD: u64 = 10;
const CHANNEL: u64 = 20;
const AUDIBLE: Policy =
    Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: true };

/// Nothing here takes longer than a socket is left open for whoever was moved; this only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    address: SocketAddr,
    sfu: Sfu,
    signaling: Signaling,
    key: VoiceKey,
    to_node: mpsc::Sender<ToNode>,
    from_node: mpsc::Receiver<FromNode>,
    next_token: AtomicU64,
}

impl World {
    async fn new() -> Self {
        let sfu = Sfu::start(guildhall_sfu::Config {
            bind: vec!["127.0.0.1:0".parse().unwrap()],
            advertise: Vec::new(),
            tcp_port: None,
            room_share: guildhall_sfu::ROOM_SHARE,
        })
        .unwrap();
        let (id, region, endpoint) = (NodeId::from("node"), "here".parse().unwrap(), "voice.example:443".to_owned());
        let signaling = Signaling::start(Config { id, region, endpoint, egress_cap_bps: 1 << 30, turn: None }, sfu.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = signaling.clone();
        let upgrade = move |upgrade: WebSocketUpgrade, Query(query): Query<VoiceQuery>| {
            let signaling = accepting.clone();
            async move { signaling.upgrade(upgrade, query, None) }
        };
        let router = Router::new().route("/", any(upgrade));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (to_node, from_node) = line(&signaling, 3).await;
        let key = VoiceKey::new(&[3; 32]);
        Self { address, sfu, signaling, key, to_node, from_node, next_token: AtomicU64::new(1) }
    }

    fn token(&self, user: u64) -> String {
        self.token_of(user, 1)
    }

    fn token_of(&self, user: u64, epoch: u64) -> String {
        let token_id = self.next_token.fetch_add(1, Ordering::Relaxed);
        let Sitting { participant, policy, epoch, issuer, .. } = Sitting { epoch: Epoch(epoch), ..sitting(user, token_id) };
        let expires_at_ms = crate::node::unix_ms() + LIFETIME_MS;
        let node = NodeId::from("node");
        self.key.sign(&VoiceClaims { participant, policy, token_id, node, epoch, issuer, expires_at_ms })
    }

    async fn connect(&self, query: &str) -> Client {
        let (socket, _) = connect_async(format!("ws://{}/{query}", self.address)).await.unwrap();
        Client { socket, last_seq: -1 }
    }

    /// A native client up to its session description.
    async fn join(&self, user: u64, token: &str) -> (Client, u32) {
        let mut client = self.connect("?v=8").await;
        client.send(0, identify(user, token)).await;
        client.expect(8).await;
        let ready = client.expect(2).await;
        let address: SocketAddr = format!("{}:{}", ready["ip"].as_str().unwrap(), ready["port"]).parse().unwrap();
        assert!(address.ip().is_loopback());
        client.send(1, select(MODE_AES256_GCM)).await;
        let description = client.expect(4).await;
        assert_eq!(description["secret_key"].as_array().unwrap().len(), 32);
        assert_eq!((&description["mode"], &description["dave_protocol_version"]), (&json!(MODE_AES256_GCM), &json!(0)));
        (client, ready["ssrc"].as_u64().unwrap() as u32)
    }

    async fn reported(&mut self) -> FromNode {
        next_report(&mut self.from_node).await
    }

    async fn end(self) {
        tokio::time::timeout(PATIENCE, self.signaling.shutdown()).await.expect("all sessions end");
        self.sfu.shutdown();
    }
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_seq: i64,
}

impl Client {
    async fn send(&mut self, op: u8, d: Value) {
        self.socket.send(Message::text(json!({ "op": op, "d": d }).to_string())).await.unwrap();
    }

    /// The next frame, which must be this one.
    async fn expect(&mut self, op: u64) -> Value {
        let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a frame").unwrap().unwrap();
        let mut frame: Value = serde_json::from_str(message.to_text().unwrap()).unwrap_or_else(|_| panic!("{message:?}"));
        assert_eq!(frame["op"], op, "{frame}");
        self.last_seq = frame["seq"].as_i64().unwrap_or(self.last_seq);
        frame["d"].take()
    }

    /// Reads and sends heartbeats until the socket ends: whoever is silent is given up.
    async fn stay(mut self) {
        let mut beats = tokio::time::interval(crate::limits::HEARTBEAT_INTERVAL);
        loop {
            tokio::select! {
                _ = beats.tick() => self.send(3, json!(0)).await,
                message = self.socket.next() => if !matches!(message, Some(Ok(_))) { return },
            }
        }
    }

    async fn close_code(&mut self) -> u16 {
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a close frame").unwrap().unwrap() {
                Message::Close(frame) => return frame.unwrap().code.into(),
                _ => continue,
            }
        }
    }
}

fn participant(user: u64) -> Participant {
    Participant {
        guild_id: GuildId::new(GUILD),
        channel_id: ChannelId::new(CHANNEL),
        user_id: UserId::new(user),
        session_id: format!("session-{user}"),
    }
}

/// The next report of something that happened; that the node is there is said at any time.
async fn next_report(from_node: &mut mpsc::Receiver<FromNode>) -> FromNode {
    loop {
        match tokio::time::timeout(PATIENCE, from_node.recv()).await.expect("a report").unwrap() {
            FromNode::Alive | FromNode::Load(_) => {}
            report => return report,
        }
    }
}

/// A line to a control plane whose key is made of this byte, past its greeting.
async fn line(signaling: &Signaling, key: u8) -> (mpsc::Sender<ToNode>, mpsc::Receiver<FromNode>) {
    let (to_control, mut from_node) = mpsc::channel(64);
    let (to_node, from_control) = mpsc::channel(64);
    let following = signaling.clone();
    tokio::spawn(async move { following.follow(to_control, from_control).await });
    assert!(matches!(next_report(&mut from_node).await, FromNode::Hello { .. }));
    to_node.send(ToNode::Welcome { voice_key: Secret([key; 32]) }).await.unwrap();
    let (room, epoch) = (ChannelId::new(999), Epoch(1));
    to_node.send(ToNode::Open { room, epoch }).await.unwrap();
    assert_eq!(next_report(&mut from_node).await, FromNode::Opened { room, epoch });
    (to_node, from_node)
}

fn sitting(user: u64, token_id: u64) -> Sitting {
    Sitting { participant: participant(user), token_id, epoch: Epoch(1), issuer: 1, policy: AUDIBLE }
}

/// The first token that a world makes has the number 1.
fn joined(user: u64, token_id: u64) -> FromNode {
    FromNode::Joined(sitting(user, token_id))
}

fn identify(user: u64, token: &str) -> Value {
    json!({ "server_id": GUILD.to_string(), "user_id": user.to_string(), "session_id": format!("session-{user}"), "token": token })
}

fn select(mode: &str) -> Value {
    json!({ "protocol": "udp", "data": { "address": "127.0.0.1", "port": 4000, "mode": mode } })
}

#[tokio::test]
async fn two_clients_hear_of_each_other() {
    let mut world = World::new().await;
    let (mut ann, ann_ssrc) = world.join(1, &world.token(1)).await;
    assert_eq!(world.reported().await, joined(1, 1));
    ann.send(5, json!({ "speaking": 1, "delay": 0, "ssrc": ann_ssrc })).await;
    ann.send(3, json!({ "t": 5, "seq_ack": 1 })).await;
    assert_eq!(ann.expect(6).await, json!({ "t": 5 }));

    // Version 4 and its integer heartbeat, as songbird speaks it.
    let mut bob = world.connect("?v=4").await;
    assert_eq!(bob.expect(8).await["v"], 4);
    bob.send(0, identify(2, &world.token(2))).await;
    let bob_ssrc = bob.expect(2).await["ssrc"].as_u64().unwrap();
    assert_ne!(bob_ssrc, u64::from(ann_ssrc));
    bob.send(3, json!(12)).await;
    assert_eq!(bob.expect(6).await, json!(12));
    bob.send(1, select(MODE_XCHACHA20_POLY1305)).await;
    bob.expect(4).await;
    assert_eq!(bob.expect(11).await, json!({ "user_ids": ["1"] }));
    assert_eq!(bob.expect(5).await, json!({ "user_id": "1", "ssrc": ann_ssrc, "speaking": 1 }));
    assert_eq!(ann.expect(11).await, json!({ "user_ids": ["2"] }));
    assert_eq!(ann.expect(5).await, json!({ "user_id": "2", "ssrc": bob_ssrc, "speaking": 0 }));
    assert_eq!(world.reported().await, joined(2, 2));

    bob.send(5, json!({ "speaking": 1, "ssrc": bob_ssrc, "user_id": null })).await;
    assert_eq!(ann.expect(5).await, json!({ "user_id": "2", "ssrc": bob_ssrc, "speaking": 1 }));
    let muted = Policy { can_speak: false, ..AUDIBLE };
    world.to_node.send(ToNode::SetPolicy { participant: participant(2), policy: muted }).await.unwrap();
    assert_eq!(ann.expect(5).await, json!({ "user_id": "2", "ssrc": bob_ssrc, "speaking": 0 }));

    bob.socket.close(None).await.unwrap();
    drop(bob);
    world.to_node.send(ToNode::Disconnect { participant: participant(2), as_of_ms: crate::node::unix_ms() }).await.unwrap();
    assert_eq!(ann.expect(13).await, json!({ "user_id": "2" }));
    ann.socket
        .close(Some(tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 1000.into(), reason: "".into() }))
        .await
        .unwrap();
    assert_eq!(world.reported().await, FromNode::Left(sitting(1, 1)), "bob's end was ordered, not reported");
    world.end().await;
}

#[tokio::test]
async fn who_enters_a_room_of_hundreds_hears_every_name() {
    let world = World::new().await;
    let crowd = crate::limits::OUTGOING_FRAMES as u64 + 44;
    let mut others = JoinSet::new();
    for user in 1..=crowd {
        let (client, _) = world.join(user, &world.token(user)).await;
        others.spawn(client.stay());
    }
    let (mut last, _) = world.join(crowd + 1, &world.token(crowd + 1)).await;
    assert_eq!(last.expect(11).await["user_ids"].as_array().map(Vec::len), Some(crowd as usize));
    for _ in 0..crowd {
        last.expect(5).await;
    }
    drop(others);
    world.end().await;
}

#[tokio::test]
async fn tokens_work_once_and_only_as_signed() {
    let world = World::new().await;
    let token = world.token(1);
    let refused = async |user: u64, token: &str| {
        let mut client = world.connect("").await;
        client.send(0, identify(user, token)).await;
        client.close_code().await
    };
    assert_eq!(refused(1, "no token").await, CloseCode::AuthenticationFailed.code());
    assert_eq!(refused(2, &token).await, CloseCode::AuthenticationFailed.code(), "somebody else's");
    let (mut ann, _) = world.join(1, &token).await;
    assert_eq!(refused(1, &token).await, CloseCode::SessionInvalid.code(), "used");
    ann.send(3, json!({ "t": 1 })).await;
    assert_eq!(ann.expect(6).await, json!({ "t": 1 }), "a replay disturbs nobody");
    world.end().await;
}

#[tokio::test]
async fn a_cut_socket_resumes_and_gets_what_it_missed() {
    let mut world = World::new().await;
    let token = world.token(1);
    let (mut ann, ann_ssrc) = world.join(1, &token).await;
    let (mut bob, _) = world.join(2, &world.token(2)).await;
    bob.expect(11).await;
    bob.expect(5).await;
    ann.expect(11).await;
    ann.expect(5).await;
    let seen = ann.last_seq;
    drop(ann);
    let (eve, eve_ssrc) = world.join(3, &world.token(3)).await;
    bob.expect(11).await;
    bob.expect(5).await;
    let resume = |token: &str, session: &str, seq_ack: i64| json!({ "server_id": GUILD.to_string(), "session_id": session, "token": token, "seq_ack": seq_ack });
    for wrong in [resume(&world.token(1), "session-1", seen), resume(&token, "session-2", seen)] {
        let mut stranger = world.connect("?v=8").await;
        stranger.send(7, wrong).await;
        assert_eq!(stranger.close_code().await, CloseCode::SessionInvalid.code());
    }
    let mut ann = world.connect("?v=8").await;
    ann.send(7, resume(&token, "session-1", seen)).await;
    ann.expect(8).await;
    assert_eq!(ann.expect(9).await, Value::Null);
    assert_eq!(ann.expect(11).await, json!({ "user_ids": ["3"] }));
    assert_eq!(ann.expect(5).await, json!({ "user_id": "3", "ssrc": eve_ssrc, "speaking": 0 }));
    // The same seat and the same SSRC: nobody saw it leave.
    ann.send(5, json!({ "speaking": 1, "ssrc": ann_ssrc })).await;
    assert_eq!(bob.expect(5).await, json!({ "user_id": "1", "ssrc": ann_ssrc, "speaking": 1 }));
    for user in 1..=3 {
        assert_eq!(world.reported().await, joined(user, user));
    }
    drop(eve);
    world.end().await;
}

#[tokio::test]
async fn a_newer_socket_of_the_same_participant_takes_over() {
    let mut world = World::new().await;
    let (mut bob, _) = world.join(2, &world.token(2)).await;
    let (mut old, old_ssrc) = world.join(1, &world.token(1)).await;
    bob.expect(11).await;
    bob.expect(5).await;
    let (mut new, new_ssrc) = world.join(1, &world.token(1)).await;
    assert_ne!(old_ssrc, new_ssrc);
    assert_eq!(old.close_code().await, CloseCode::Disconnected.code());
    assert_eq!(bob.expect(13).await, json!({ "user_id": "1" }));
    assert_eq!(bob.expect(11).await, json!({ "user_ids": ["1"] }));
    assert_eq!(bob.expect(5).await, json!({ "user_id": "1", "ssrc": new_ssrc, "speaking": 0 }));
    new.expect(11).await;
    // An order that was meant for the connection before does not touch the new one.
    world.to_node.send(ToNode::Disconnect { participant: participant(1), as_of_ms: 0 }).await.unwrap();
    new.expect(5).await;
    new.send(3, json!({ "t": 5, "seq_ack": 1 })).await;
    new.expect(6).await;
    let ordered = Instant::now();
    world.to_node.send(ToNode::Disconnect { participant: participant(1), as_of_ms: crate::node::unix_ms() }).await.unwrap();
    assert_eq!(bob.expect(13).await, json!({ "user_id": "1" }));
    assert_eq!(new.close_code().await, CloseCode::Disconnected.code());
    assert!(ordered.elapsed() >= limits::DISCONNECT_PAUSE, "the gateway says it first");
    for (user, token) in [(2, 1), (1, 2), (1, 3)] {
        assert_eq!(world.reported().await, joined(user, token));
    }
    world.end().await;
}

#[tokio::test]
async fn a_stopping_node_says_so_and_a_wrong_version_is_refused() {
    let world = World::new().await;
    for version in ["?v=3", "?v=10", "?v=x"] {
        let refused = connect_async(format!("ws://{}/{version}", world.address)).await.unwrap_err().to_string();
        assert!(refused.contains("400"), "{refused}");
    }
    let (mut ann, _) = world.join(1, &world.token(1)).await;
    let mut greeted = world.connect("").await;
    greeted.expect(8).await;
    let stop = world.signaling.clone();
    let stopping = tokio::spawn(async move { stop.shutdown().await });
    assert_eq!(ann.close_code().await, CloseCode::GoingAway.code());
    assert_eq!(greeted.close_code().await, CloseCode::GoingAway.code());
    stopping.await.unwrap();
    assert!(connect_async(format!("ws://{}/", world.address)).await.unwrap_err().to_string().contains("503"));
    world.end().await;
}

#[tokio::test]
async fn a_call_outlives_its_control_plane_which_hears_of_it_when_it_is_back() {
    let mut world = World::new().await;
    let (mut ann, ann_ssrc) = world.join(1, &world.token(1)).await;
    assert_eq!(world.reported().await, joined(1, 1));
    // It hangs up, and its key is remembered: who holds a token comes in.
    world.to_node = mpsc::channel(1).0;
    let (mut bob, _) = world.join(2, &world.token(2)).await;
    bob.expect(11).await;
    ann.expect(11).await;
    bob.expect(5).await;
    ann.expect(5).await;
    ann.send(5, json!({ "speaking": 1, "ssrc": ann_ssrc })).await;
    assert_eq!(bob.expect(5).await["speaking"], 1);

    let (to_control, mut from_node) = mpsc::channel(64);
    let (to_node, from_control) = mpsc::channel(64);
    let following = world.signaling.clone();
    tokio::spawn(async move { following.follow(to_control, from_control).await });
    let FromNode::Hello { hello, mut rooms, mut sittings } = next_report(&mut from_node).await else { panic!("the hello first") };
    assert_eq!((hello.id.as_str(), hello.endpoint.as_str(), hello.media.len()), ("node", "voice.example:443", 1));
    rooms.sort_unstable();
    assert_eq!(rooms, [(ChannelId::new(CHANNEL), Epoch(1)), (ChannelId::new(999), Epoch(1))]);
    sittings.sort_by_key(|sitting| sitting.token_id);
    assert_eq!(sittings, [sitting(1, 1), sitting(2, 2)]);

    // The room was given to another node meanwhile.
    to_node.send(ToNode::Close { room: ChannelId::new(CHANNEL), epoch: Epoch(1) }).await.unwrap();
    to_node.send(ToNode::Close { room: ChannelId::new(CHANNEL), epoch: Epoch(2) }).await.unwrap();
    assert_eq!(ann.close_code().await, CloseCode::Disconnected.code());
    assert_eq!(bob.close_code().await, CloseCode::Disconnected.code());
    world.end().await;
}

#[tokio::test]
async fn a_token_from_before_the_room_was_elsewhere_opens_nothing() {
    let world = World::new().await;
    let (_ann, _) = world.join(1, &world.token_of(1, 7)).await;
    let mut bob = world.connect("").await;
    bob.send(0, identify(2, &world.token_of(2, 6))).await;
    assert_eq!(bob.close_code().await, CloseCode::SessionInvalid.code());
    world.end().await;
}

#[tokio::test]
async fn a_node_that_leaves_says_so_and_waits_for_its_people_to_go() {
    let mut world = World::new().await;
    let (mut ann, _) = world.join(1, &world.token(1)).await;
    assert_eq!(world.reported().await, joined(1, 1));
    let signaling = world.signaling.clone();
    let leaving = tokio::spawn(async move { signaling.leave(PATIENCE).await });
    assert_eq!(world.reported().await, FromNode::Leaving { within_ms: PATIENCE.as_millis() as u64 });
    world.to_node.send(ToNode::Disconnect { participant: participant(1), as_of_ms: u64::MAX }).await.unwrap();
    assert_eq!(ann.close_code().await, CloseCode::Disconnected.code());
    leaving.await.unwrap();
    assert_eq!(world.reported().await, FromNode::Goodbye);
    world.end().await;
}
