//! The gateway over real sockets and a real store: what a client library would see.

use super::{Origin, Parameters, Upgrade, upgrade};
use crate::guild::fixture::{member, role, user};
use crate::hub::{Config, Hub};
use crate::ids::unix_ms;
use crate::recordings::Intake;
use crate::store::testing::Place;
use crate::store::{Device, NewGuild, NewMessage, Publication, Store};
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use guildhall_protocol::model::{Channel, ChannelType, Guild, Message};
use guildhall_protocol::voice_token::VoiceKey;
use guildhall_protocol::{ChannelId, GuildId, Permissions, UserId};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const GUILD: GuildId = GuildId::new(100 << 22);
const HALL: ChannelId = ChannelId::new(200);
const OWNER: UserId = UserId::new(1);
/// Far longer than any step takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    hub: Hub,
    store: Store,
    publications: mpsc::Receiver<Publication>,
    address: std::net::SocketAddr,
    token: String,
    place: Place,
    directory: TempDir,
}

impl Server {
    /// With an owner, a guild and a channel, and nothing published: a test hands publications over itself.
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let place = Place::new(directory.path()).await;
        let (store, publications) = Store::open(&place.location).await.expect("a database");
        let mut server = Self::over(store, publications, place, directory).await;
        let store = server.store.clone();
        server.token = server
            .run(async move { store.register(user(OWNER), None, "x".to_owned(), Device::default()).await.expect("stored") })
            .await;
        let store = server.store.clone();
        server.run(async move { store.create_guild(guild()).await.expect("stored") }).await;
        server
    }

    /// The hub and its socket over a store.
    async fn over(store: Store, publications: mpsc::Receiver<Publication>, place: Place, directory: TempDir) -> Self {
        let config = Config {
            public_host: None,
            voice_key: VoiceKey::new(&[7; 32]),
            tally: None,
            recorded: Intake::new().0,
            cloakroom: None,
            heartbeat_interval: Duration::from_secs(40),
            fleet: crate::fleet::Config { issuer: 0, default_region: None },
            atlas: None,
            rate_limits: true,
        };
        let hub = Hub::start(config, store.clone());
        hub.take_up_sessions(directory.path()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route(
            "/gateway",
            get(async |State(hub): State<Hub>, request: Upgrade, query: Query<Parameters>, origin: Origin| {
                upgrade(hub, request, query, origin)
            }),
        );
        tokio::spawn(axum::serve(listener, router.with_state(hub.clone())).into_future());
        Self { hub, store, publications, address, token: String::new(), place, directory }
    }

    /// Another process on the same folder.
    async fn restart(self) -> Self {
        let Self { store, publications, token, place, directory, .. } = self;
        drop(publications);
        store.close().await;
        let (store, publications) = Store::open(&place.location).await.expect("a database");
        Self { token, ..Self::over(store, publications, place, directory).await }
    }

    /// Comes back to a session that another socket had.
    async fn resume(&self, before: &Client, ready: &Value) -> Client {
        let mut client = self.connect("?v=10&encoding=json").await;
        client.seq = before.seq;
        assert_eq!(client.next().await["op"], 10);
        let d = json!({ "token": self.token, "session_id": ready["session_id"], "seq": before.seq });
        client.say(json!({ "op": 6, "d": d })).await;
        client
    }

    /// Does something to the store, publishing what it causes.
    async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(mut publication) = self.publications.recv() => {
                    let events = std::mem::take(&mut publication.events);
                    self.hub.publish(publication.last_event - events.len() as i64 + 1, events).await;
                    publication.complete();
                }
            }
        }
    }

    async fn send(&mut self, content: &str) {
        let (store, new) = (self.store.clone(), message(content));
        self.run(async move { store.create_message(new).await.expect("stored") }).await;
    }

    /// A client after Hello.
    async fn connect(&self, query: &str) -> Client {
        let url = format!("ws://{}/gateway{query}", self.address);
        let (socket, _) = connect_async(url).await.expect("a WebSocket");
        Client { socket, seq: 0 }
    }

    /// A client that has its guild.
    async fn login(&self) -> (Client, Value) {
        let mut client = self.connect("?v=10&encoding=json").await;
        assert_eq!(client.next().await["op"], 10);
        client.say(json!({ "op": 2, "d": { "token": self.token, "properties": {}, "large_threshold": 250 } })).await;
        let ready = client.expect("READY").await;
        client.expect("GUILD_CREATE").await;
        (client, ready)
    }
}

fn guild() -> NewGuild {
    let mut guild = Guild::new(GUILD, "guild".to_owned(), OWNER);
    guild.roles = vec![role(GUILD.everyone(), Permissions::VIEW_CHANNEL | Permissions::SEND_MESSAGES)];
    let hall = Channel { guild_id: GUILD, kind: ChannelType::Text, ..crate::guild::fixture::channel(HALL, Vec::new()) };
    NewGuild { guild, channels: vec![hall], owner: member(OWNER, &[]) }
}

fn message(content: &str) -> NewMessage {
    let id = content.bytes().fold(unix_ms(), |id, byte| id << 4 ^ u64::from(byte)) >> 1;
    let message: Message = serde_json::from_value(json!({
        "id": id.to_string(), "channel_id": HALL, "author": user(OWNER), "content": content, "mentions": [], "mention_roles": [],
        "timestamp": "2026-01-01T00:00:00.000000+00:00", "edited_timestamp": null, "tts": false, "mention_everyone": false,
        "attachments": [], "embeds": [], "pinned": false, "type": 0, "flags": 0, "components": [],
    }))
    .expect("a message");
    NewMessage { guild_id: Some(GUILD), message, member: None, files: Vec::new(), enforced_nonce: None }
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    seq: u64,
}

impl Client {
    async fn frame(&mut self) -> Option<Frame> {
        let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a frame in time");
        frame.and_then(Result::ok)
    }

    async fn next(&mut self) -> Value {
        let frame = self.frame().await.expect("a frame");
        let value: Value = serde_json::from_str(frame.to_text().expect("text")).expect("JSON");
        if let Some(seq) = value["s"].as_u64() {
            assert_eq!(seq, self.seq + 1, "numbered without a gap");
            self.seq = seq;
        }
        value
    }

    /// The next frame must be this dispatch.
    async fn expect(&mut self, name: &str) -> Value {
        let next = self.next().await;
        assert_eq!(next["t"], name, "{next}");
        next["d"].clone()
    }

    async fn say(&mut self, frame: Value) {
        self.socket.send(Frame::text(frame.to_string())).await.expect("sent");
    }

    /// The code of the close frame, skipping what comes before.
    async fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.frame().await {
                Some(Frame::Close(frame)) => return frame.map(|frame| frame.code.into()),
                Some(_) => {}
                None => return None,
            }
        }
    }
}

#[tokio::test]
async fn a_cut_socket_resumes_without_losing_a_message() {
    let mut server = Server::start().await;
    let (mut client, ready) = server.login().await;
    assert_eq!(ready["resume_gateway_url"], format!("ws://{}/gateway", server.address));
    server.send("one").await;
    assert_eq!(client.expect("MESSAGE_CREATE").await["content"], "one");
    client.say(json!({ "op": 1, "d": client.seq })).await;
    assert_eq!(client.next().await["op"], 11);
    let seq = client.seq;
    drop(client);
    server.send("two").await;

    let mut client = server.connect("?v=10&encoding=json").await;
    assert_eq!(client.next().await["op"], 10);
    client.seq = seq;
    client.say(json!({ "op": 6, "d": { "token": server.token, "session_id": ready["session_id"], "seq": seq } })).await;
    assert_eq!(client.expect("MESSAGE_CREATE").await["content"], "two");
    client.expect("RESUMED").await;
    server.send("three").await;
    assert_eq!(client.expect("MESSAGE_CREATE").await["content"], "three");

    // A client that says goodbye does not come back.
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    client.socket.close(Some(goodbye)).await.expect("closed");
    assert_eq!(client.close_code().await, Some(1000));
    let mut client = server.connect("").await;
    client.next().await;
    client.say(json!({ "op": 6, "d": { "token": server.token, "session_id": ready["session_id"], "seq": seq } })).await;
    assert_eq!(client.next().await, json!({ "op": 9, "d": false, "s": null, "t": null }));
}

#[tokio::test]
async fn zlib_stream_is_one_context_for_all_frames() {
    let server = Server::start().await;
    let mut client = server.connect("?v=10&encoding=json&compress=zlib-stream").await;
    let mut inflate = flate2::Decompress::new(true);
    let mut next = async |client: &mut Client| -> Value {
        let Some(Frame::Binary(bytes)) = client.frame().await else { panic!("not a binary frame") };
        let mut text = Vec::with_capacity(1 << 16);
        inflate.decompress_vec(&bytes, &mut text, flate2::FlushDecompress::Sync).expect("a valid stream");
        serde_json::from_slice(&text).expect("JSON")
    };
    assert_eq!(next(&mut client).await["op"], 10);
    client.say(json!({ "op": 2, "d": { "token": server.token, "properties": {} } })).await;
    assert_eq!(next(&mut client).await["t"], "READY");
    assert_eq!(next(&mut client).await["t"], "GUILD_CREATE");
}

#[tokio::test]
async fn a_lost_publication_is_read_back_from_the_outbox() {
    let mut server = Server::start().await;
    let (mut client, _) = server.login().await;
    server.send("one").await;
    // The bus is a lossy hint: this message's event never arrives.
    let (store, new) = (server.store.clone(), message("two"));
    let lost = tokio::spawn(async move { store.create_message(new).await });
    server.publications.recv().await.expect("a publication").complete();
    lost.await.expect("no panic").expect("stored");
    server.send("three").await;
    for content in ["one", "two", "three"] {
        assert_eq!(client.expect("MESSAGE_CREATE").await["content"], content);
    }
}

#[tokio::test]
async fn frames_of_every_size_arrive_whole() {
    let mut server = Server::start().await;
    let (mut client, _) = server.login().await;
    // A frame's length has three forms: up to 125 bytes, up to 64 KiB, and beyond.
    for content in ["s".to_owned(), "m".repeat(2_000), "l".repeat(100_000)] {
        server.send(&content).await;
        assert_eq!(client.expect("MESSAGE_CREATE").await["content"], content);
    }
    client.socket.send(Frame::Ping(b"ping".as_slice().into())).await.expect("sent");
    assert_eq!(client.frame().await, Some(Frame::Pong(b"ping".as_slice().into())));
}

#[tokio::test]
async fn what_is_wrong_closes_with_its_code() {
    let server = Server::start().await;
    for (query, frame, code) in [
        ("?v=8", None, 4012),
        ("?v=10&encoding=etf", None, 4012),
        ("", Some(json!({ "op": 3, "d": {} }).to_string()), 4003),
        ("", Some(json!({ "op": 2, "d": { "token": "wrong" } }).to_string()), 4004),
        ("", Some("{".to_owned()), 4002),
        ("", Some("x".repeat(5_000)), 4002),
        ("", Some("x".repeat(500_000)), 4002),
    ] {
        let mut client = server.connect(query).await;
        if let Some(frame) = &frame {
            client.socket.send(Frame::text(frame.clone())).await.expect("sent");
        }
        assert_eq!(client.close_code().await, Some(code), "{query} {:?}", frame.map(|frame| frame.len()));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_makes_nobody_wait() {
    let mut server = Server::start().await;
    let (mut slow, _) = server.login().await;
    let (mut quick, _) = server.login().await;
    quick.say(json!({ "op": 3, "d": { "status": "online", "activities": [] } })).await;
    let mut typed = 0;
    // The slow client's TCP buffers fill first, then its mailbox; the quick one reads everything.
    let is_slow_gone = |server: &Server| server.hub.connections() == 1;
    while !is_slow_gone(&server) {
        server.hub.publish_typing(Some(GUILD), HALL, OWNER).await;
        quick.expect("TYPING_START").await;
        typed += 1;
        assert!(typed < 200_000, "some buffer has no bound");
    }
    assert_eq!(slow.close_code().await, None, "cut off, since it would not have read a close frame");
    assert!(slow.socket.next().await.is_none_or(|frame| frame.is_err()));
    server.send("still here").await;
    assert_eq!(quick.expect("MESSAGE_CREATE").await["content"], "still here");
}

#[tokio::test]
async fn shutdown_sends_clients_away_and_ends() {
    let server = Server::start().await;
    let (mut client, _) = server.login().await;
    let mut nobody = server.connect("").await;
    assert_eq!(nobody.next().await["op"], 10);
    let closing = tokio::spawn({
        let hub = server.hub.clone();
        async move { hub.shutdown().await }
    });
    for client in [&mut client, &mut nobody] {
        assert_eq!(client.next().await["op"], 7);
        assert_eq!(client.close_code().await, Some(4000));
        // Answers the close, so that the server need not wait.
        while client.frame().await.is_some() {}
    }
    closing.await.expect("no panic");
    assert!(server.hub.enter().is_none(), "closed to newcomers");
    assert_eq!(server.hub.connections(), 0);
}

#[tokio::test]
async fn a_guild_made_while_online_arrives_whole() {
    let mut server = Server::start().await;
    let (mut client, _) = server.login().await;
    let second = GuildId::new(101 << 22);
    let mut new = guild();
    new.guild.id = second;
    new.guild.roles[0].id = second.everyone();
    new.channels = vec![Channel { guild_id: second, ..crate::guild::fixture::channel(ChannelId::new(201), Vec::new()) }];
    let store = server.store.clone();
    server.run(async move { store.create_guild(new).await.expect("stored") }).await;
    let create = client.expect("GUILD_CREATE").await;
    assert_eq!((&create["id"], &create["channels"][0]["id"]), (&json!(second), &json!("201")));
    let store = server.store.clone();
    server.run(async move { store.delete_guild(second).await.expect("stored") }).await;
    assert_eq!(client.expect("GUILD_DELETE").await["id"], json!(second));
    assert_eq!(server.hub.with_guild(second, |_| ()).await, None);
}

#[tokio::test]
async fn the_seventeenth_session_in_five_seconds_is_asked_to_try_later() {
    let server = Server::start().await;
    let identify = json!({ "op": 2, "d": { "token": server.token, "properties": {} } });
    for _ in 0..super::starts::AT_ONCE {
        let mut client = server.connect("?v=10&encoding=json").await;
        assert_eq!(client.next().await["op"], 10);
        client.say(identify.clone()).await;
        client.expect("READY").await;
    }
    let mut client = server.connect("?v=10&encoding=json").await;
    assert_eq!(client.next().await["op"], 10);
    client.say(identify).await;
    assert_eq!(client.next().await, json!({ "t": null, "s": null, "op": 9, "d": false }));
    assert_eq!(server.hub.remaining_starts(OWNER).await.sessions, super::starts::DAILY - super::starts::AT_ONCE);
}

#[tokio::test]
async fn a_session_starts_when_it_is_its_turn() {
    let server = Server::start().await;
    let hub = server.hub.clone();
    let mut turns = Vec::new();
    while let Some(turn) = hub.turnstile().pass(Duration::ZERO).await {
        turns.push(turn);
    }
    let mut client = server.connect("?v=10&encoding=json").await;
    assert_eq!(client.next().await["op"], 10);
    client.say(json!({ "op": 2, "d": { "token": server.token, "properties": {} } })).await;
    while hub.census().starts_waiting == 0 {
        tokio::task::yield_now().await;
    }
    turns.pop();
    client.expect("READY").await;
    assert_eq!(hub.census().starts_waiting, 0);
}

#[tokio::test]
async fn a_planned_restart_loses_no_session() {
    let mut server = Server::start().await;
    let (mut client, ready) = server.login().await;
    server.send("before").await;
    client.expect("MESSAGE_CREATE").await;
    let hub = server.hub.clone();
    let going = tokio::spawn(async move { hub.shutdown().await });
    assert_eq!(client.next().await["op"], 7);
    client.socket.close(None).await.ok();
    going.await.expect("the hub ends");
    // Accepted before the store closes, told to nobody who is connected.
    server.send("meanwhile").await;
    let last_event = server.hub.last_event().await.expect("the store answers");
    server.hub.keep_sessions(server.directory.path(), last_event).await;

    let mut server = server.restart().await;
    let mut client = server.resume(&client, &ready).await;
    assert_eq!(client.expect("MESSAGE_CREATE").await["content"], "meanwhile");
    client.expect("RESUMED").await;
    server.send("after").await;
    assert_eq!(client.expect("MESSAGE_CREATE").await["content"], "after");
    assert_eq!(server.hub.census().sessions, 1);

    // The file was for one start.
    let server = server.restart().await;
    assert_eq!(server.hub.census().sessions, 0);
}

#[tokio::test]
async fn sessions_of_another_database_are_not_taken_up() {
    let mut server = Server::start().await;
    server.login().await;
    let last_event = server.hub.last_event().await.expect("the store answers");
    server.send("told to sessions that were not written down").await;
    server.hub.keep_sessions(server.directory.path(), last_event).await;
    let server = server.restart().await;
    assert_eq!(server.hub.census().sessions, 0);
}
