//! The client against a scripted server, so that a failing journey is the server's failure and not ours.

use super::*;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

type Served = WebSocketStream<TcpStream>;

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("ws://{}/gateway", listener.local_addr().expect("bound"));
    (listener, url)
}

/// A heartbeat interval that no test lives to see.
const QUIET_MS: u64 = 41_250;

async fn accept(listener: &TcpListener, interval_ms: u64) -> Served {
    let (tcp, _) = listener.accept().await.expect("a client");
    let mut socket = accept_async(tcp).await.expect("an upgrade");
    tell(&mut socket, json!({ "op": 10, "d": { "heartbeat_interval": interval_ms } })).await;
    socket
}

async fn tell(socket: &mut Served, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.expect("a client that listens");
}

/// The next frame that is not a heartbeat; heartbeats are answered.
async fn told(socket: &mut Served) -> Option<Value> {
    loop {
        let frame: Value = match socket.next().await? {
            Ok(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            Ok(_) => continue,
            Err(_) => return None,
        };
        if frame["op"] != 1 {
            return Some(frame);
        }
        tell(socket, json!({ "op": 11 })).await;
    }
}

fn dispatch(seq: u64, name: &str, data: Value) -> Value {
    json!({ "op": 0, "s": seq, "t": name, "d": data })
}

fn ready(url: &str) -> Value {
    dispatch(1, "READY", json!({ "session_id": "abc", "resume_gateway_url": url, "user": { "id": "5" } }))
}

#[tokio::test]
async fn a_session_identifies_keeps_events_for_later_and_resumes_after_a_cut() {
    let (listener, url) = listen().await;
    let resume_url = url.clone();
    let server = tokio::spawn(async move {
        let mut socket = accept(&listener, QUIET_MS).await;
        let identify = told(&mut socket).await.expect("Identify");
        tell(&mut socket, ready(&resume_url)).await;
        for (seq, text) in [(2, "one"), (3, "two"), (4, "three")] {
            tell(&mut socket, dispatch(seq, "MESSAGE_CREATE", json!({ "content": text }))).await;
        }
        assert_eq!(told(&mut socket).await, None, "cut without a close frame");
        let mut socket = accept(&listener, QUIET_MS).await;
        let resume = told(&mut socket).await.expect("Resume");
        tell(&mut socket, dispatch(5, "MESSAGE_CREATE", json!({ "content": "missed" }))).await;
        tell(&mut socket, dispatch(6, "RESUMED", json!({}))).await;
        while told(&mut socket).await.is_some() {}
        (identify, resume)
    });
    let config = Connect { intents: 513, ..Connect::new(&url, "secret") };
    let mut gateway = Gateway::connect(&config).await.expect("a session");
    assert_eq!((gateway.session_id(), gateway.user_id().map(|id| id.to_string())), ("abc", Some("5".to_owned())));
    let three = gateway.next_named("MESSAGE_CREATE", |message| message["content"] == "three").await.expect("the last first");
    assert_eq!(three["content"], "three");
    let events = gateway.events_until(|event| event.seq == 3).await.expect("both others, in order");
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [2, 3]);
    let resumable = gateway.cut().await;
    assert_eq!(resumable.seq, 4);
    let mut gateway = Gateway::resume(&config, &resumable).await.expect("the same session");
    let events = gateway.events_until(|event| event.name == "RESUMED").await.expect("the missed event and RESUMED");
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [5, 6]);
    drop(gateway);
    let (identify, resume) = server.await.expect("the script");
    assert_eq!((&identify["op"], &identify["d"]["token"], &identify["d"]["intents"]), (&json!(2), &json!("secret"), &json!(513)));
    assert_eq!(resume["d"], json!({ "token": "secret", "session_id": "abc", "seq": 4 }));
}

#[tokio::test]
async fn a_refusal_is_told_with_its_close_code() {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let mut socket = accept(&listener, QUIET_MS).await;
        told(&mut socket).await;
        let close = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 4004.into(), reason: "".into() };
        socket.send(Message::Close(Some(close))).await.expect("a client that listens");
    });
    let error = Gateway::connect(&Connect::new(&url, "wrong")).await.err().expect("no session");
    assert!(matches!(error, GatewayError::Ended(End::Closed(Some(4004)))), "{error}");
}

#[tokio::test]
async fn a_server_that_answers_no_heartbeat_is_given_up() {
    let (listener, url) = listen().await;
    let resume_url = url.clone();
    tokio::spawn(async move {
        let mut socket = accept(&listener, 20).await;
        tell(&mut socket, ready(&resume_url)).await;
        while socket.next().await.is_some() {}
    });
    let mut gateway = Gateway::connect(&Connect::new(&url, "secret")).await.expect("a session");
    assert_eq!(gateway.end().await, End::MissedAck);
}

#[tokio::test]
async fn a_voice_grant_is_both_events_in_either_order_and_only_ours() {
    let (listener, url) = listen().await;
    let resume_url = url.clone();
    tokio::spawn(async move {
        let mut socket = accept(&listener, QUIET_MS).await;
        told(&mut socket).await;
        tell(&mut socket, ready(&resume_url)).await;
        let join = told(&mut socket).await.expect("op 4");
        assert_eq!(join["d"], json!({ "guild_id": "1", "channel_id": "2", "self_mute": false, "self_deaf": false }));
        let state = |session: &str, user: &str| json!({ "channel_id": "2", "user_id": user, "session_id": session });
        tell(&mut socket, dispatch(2, "VOICE_STATE_UPDATE", state("other", "9"))).await;
        tell(&mut socket, dispatch(3, "VOICE_SERVER_UPDATE", json!({ "guild_id": "1", "token": "t", "endpoint": "host:1" })))
            .await;
        tell(&mut socket, dispatch(4, "VOICE_STATE_UPDATE", state("abc", "5"))).await;
        while told(&mut socket).await.is_some() {}
    });
    let mut gateway = Gateway::connect(&Connect::new(&url, "secret")).await.expect("a session");
    let (guild, channel): (GuildId, ChannelId) = ("1".parse().expect("an id"), "2".parse().expect("an id"));
    let grant = gateway.join_voice(guild, channel).await.expect("a grant");
    assert_eq!((grant.user_id.to_string(), grant.session_id.as_str()), ("5".to_owned(), "abc"));
    assert_eq!((grant.token.as_str(), grant.endpoint.as_str()), ("t", "host:1"));
}
