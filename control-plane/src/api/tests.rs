//! The API as a client sees it, without a socket: requests go to the router, and nothing else is looked at.

mod accounts;
mod audit_log;
mod authorization;
mod bad_input;
mod commands;
mod conformance;
mod files;
mod fleet;
mod guilds;
mod interactions;
mod member_care;
mod messages;
mod model;
mod moderation;
mod people;
mod pins;
mod private;
mod reactions;
mod recordings;
mod reference;
mod search;
mod settings;
mod shapes;
mod streams;
mod threads;
mod transport;
mod voice_states;
mod webhooks;

use crate::app::{Config, ControlPlane, Registration};
use crate::gateway::Origin;
use crate::hub::core::Attached;
use crate::hub::world::hello;
use crate::hub::world::told;
use crate::store::testing::Place;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use guildhall_protocol::fleet::{FromNode, ToNode};
use guildhall_protocol::gateway::{Identify, Intents, Shard};
use guildhall_protocol::voice_token::VoiceKey;
use serde_json::{Value, json};
use shapes::SCHEMAS;
use std::collections::BTreeSet;
use std::sync::Mutex;
use tokio::sync::mpsc;
use tower::ServiceExt;

/// A control plane on a folder of its own, with the owner of the first start logged in.
struct World {
    control_plane: ControlPlane,
    router: Router,
    owner: Session,
    /// The first guild and its channels.
    guild: String,
    text: String,
    voice: String,
    place: Place,
    folder: tempfile::TempDir,
    /// The described operations that have answered in here, and rightly.
    validated: Mutex<BTreeSet<String>>,
    /// The node's ends of its line.
    _node: (mpsc::Receiver<ToNode>, mpsc::Sender<FromNode>),
}

/// Someone who is logged in.
#[derive(Clone)]
struct Session {
    /// The Authorization header.
    token: String,
    id: String,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Value,
    text: String,
    bytes: Bytes,
}

impl Reply {
    #[track_caller]
    fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        self.body
    }

    /// Asserts a refusal in the documented form.
    #[track_caller]
    fn refused(self, status: u16, code: i64) -> Value {
        assert_eq!((self.status, self.body["code"].as_i64()), (status, Some(code)), "{}", self.body);
        assert!(self.body["message"].as_str().is_some_and(|message| !message.is_empty()));
        assert_eq!(self.headers["content-type"], "application/json");
        self.body
    }

    /// Asserts error 50035 with this code at this place of the tree.
    #[track_caller]
    fn form_error(self, pointer: &str, code: &str) {
        let body = self.refused(400, 50035);
        let found = body["errors"].pointer(&format!("{pointer}/_errors/0/code"));
        assert_eq!(found.and_then(Value::as_str), Some(code), "{body}");
    }

    #[track_caller]
    fn no_content(self) {
        assert_eq!((self.status, self.text.as_str()), (204, ""), "a 204 has no body");
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A voice node that says hello and nothing more.
async fn node(control_plane: &ControlPlane) -> (mpsc::Receiver<ToNode>, mpsc::Sender<FromNode>) {
    let (to_node, mut for_node) = mpsc::channel(64);
    let (of_node, from_node) = mpsc::channel(64);
    let hello = FromNode::Hello { hello: hello("local", "local", "", 1), rooms: Vec::new(), sittings: Vec::new() };
    of_node.send(hello).await.unwrap();
    let hub = control_plane.hub().clone();
    tokio::spawn(async move { hub.serve_node(from_node, to_node).await });
    assert!(matches!(for_node.recv().await, Some(ToNode::Welcome { .. })));
    (for_node, of_node)
}

impl World {
    /// Without rate limits: a fast machine would run into them in the middle of a test.
    async fn new() -> Self {
        Self::with(|config| config.rate_limits = false).await
    }

    /// As in production.
    async fn limited() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path()).await;
        Self::at(place, folder, configure).await
    }

    async fn at(place: Place, folder: tempfile::TempDir, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(folder.path().to_owned(), VoiceKey::new(&[7; 32]));
        config.database = place.location.clone();
        configure(&mut config);
        let control_plane = ControlPlane::start(config).await.unwrap();
        let node = node(&control_plane).await;
        let credentials = control_plane.ensure_owner().await.unwrap().expect("this is the first start");
        assert!(control_plane.ensure_owner().await.unwrap().is_none(), "there is one first start");
        let router = control_plane.router();
        let nobody = Session { token: String::new(), id: String::new() };
        let mut world = Self {
            control_plane,
            router,
            owner: nobody.clone(),
            guild: String::new(),
            text: String::new(),
            voice: String::new(),
            place,
            folder,
            validated: Mutex::default(),
            _node: node,
        };
        let body = json!({ "login": credentials.login, "password": credentials.password });
        let reply = world.post(&nobody, "/auth/login", body).await.ok();
        world.owner = Session { token: text(&reply["token"]), id: text(&reply["user_id"]) };
        world.guild = text(&world.get(&world.owner, "/users/@me/guilds").await.ok()[0]["id"]);
        let channels = world.get(&world.owner, &format!("/guilds/{}/channels", world.guild)).await.ok();
        let first = |kind: i64| text(&channels.as_array().unwrap().iter().find(|channel| channel["type"] == kind).unwrap()["id"]);
        (world.text, world.voice) = (first(0), first(2));
        world
    }

    fn nobody(&self) -> Session {
        Session { token: String::new(), id: String::new() }
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let reply = Reply { status, headers, body, text: String::from_utf8_lossy(&bytes).into_owned(), bytes };
        // Whatever a test is about: a success has the shape that the world expects of it.
        let described = path.strip_prefix("/api/v10").filter(|_| (200..300).contains(&status));
        if let Some(name) = described.and_then(|path| SCHEMAS.check_success(&method, path, &reply)) {
            self.validated.lock().unwrap().insert(name.to_owned());
        }
        reply
    }

    fn request(&self, who: &Session, method: Method, path: &str) -> axum::http::request::Builder {
        let prefix = if path.starts_with("/api") { "" } else { "/api/v10" };
        let request = Request::builder().method(method).uri(format!("{prefix}{path}")).header("host", "hall.example:8080");
        if who.token.is_empty() { request } else { request.header("authorization", &who.token) }
    }

    async fn call(&self, who: &Session, method: Method, path: &str, body: Option<Value>) -> Reply {
        let request = self.request(who, method, path);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    async fn get(&self, who: &Session, path: &str) -> Reply {
        self.call(who, Method::GET, path, None).await
    }
    async fn post(&self, who: &Session, path: &str, body: Value) -> Reply {
        self.call(who, Method::POST, path, Some(body)).await
    }
    async fn put(&self, who: &Session, path: &str, body: Value) -> Reply {
        self.call(who, Method::PUT, path, Some(body)).await
    }
    async fn patch(&self, who: &Session, path: &str, body: Value) -> Reply {
        self.call(who, Method::PATCH, path, Some(body)).await
    }
    async fn delete(&self, who: &Session, path: &str) -> Reply {
        self.call(who, Method::DELETE, path, None).await
    }

    /// A gateway session, past its greeting, and its READY.
    async fn listen(&self, who: &Session, intents: Option<Intents>) -> (Attached, Value) {
        let (token, shard) = (who.token.clone(), Shard::WHOLE);
        let identify = Identify { token, intents, large_threshold: 50, shard, presence: None };
        let origin = Origin { host: "hall.example:8080".to_owned(), is_tls: false, address: None };
        let attached = self.control_plane.hub().identify(identify, &origin, 10).await.expect("the session opens");
        let greeting = told(&attached);
        assert_eq!(greeting[0].0, "READY");
        (attached, greeting[0].1.clone())
    }

    async fn befriend(&self, one: &Session, other: &Session) {
        self.put(one, &format!("/users/@me/relationships/{}", other.id), json!({})).await.no_content();
        self.put(other, &format!("/users/@me/relationships/{}", one.id), json!({})).await.no_content();
    }

    /// The path of the two's DM.
    async fn dm(&self, one: &Session, other: &Session) -> String {
        let dm = self.post(one, "/users/@me/channels", json!({ "recipient_id": other.id })).await.ok();
        format!("/channels/{}", text(&dm["id"]))
    }

    async fn register(&self, name: &str) -> Session {
        let body = json!({ "username": name, "password": "correct horse", "consent": true });
        let token = text(&self.post(&self.nobody(), "/auth/register", body).await.ok()["token"]);
        let id = text(&self.get(&Session { token: token.clone(), id: String::new() }, "/users/@me").await.ok()["id"]);
        Session { token, id }
    }

    /// A code for the first guild.
    async fn invite(&self) -> String {
        let reply = self.post(&self.owner, &format!("/channels/{}/invites", self.text), json!({})).await.ok();
        text(&reply["code"])
    }

    /// Someone who is a member of the first guild.
    async fn member(&self, name: &str) -> Session {
        let session = self.register(name).await;
        let code = self.invite().await;
        self.post(&session, &format!("/invites/{code}"), json!({})).await.ok();
        session
    }

    /// A member with a role of their own that holds these permissions; roles made later stand lower.
    async fn member_with(&self, name: &str, permissions: u64) -> (Session, String) {
        let session = self.member(name).await;
        let role = self.role(name, permissions).await;
        self.put(&self.owner, &format!("/guilds/{}/members/{}/roles/{role}", self.guild, session.id), json!({}))
            .await
            .no_content();
        (session, role)
    }

    async fn role(&self, name: &str, permissions: u64) -> String {
        let body = json!({ "name": name, "permissions": permissions.to_string() });
        text(&self.post(&self.owner, &format!("/guilds/{}/roles", self.guild), body).await.ok()["id"])
    }

    /// A bot that is a member of the first guild.
    async fn bot(&self, name: &str, permissions: u64) -> (Session, String) {
        let application = text(&self.post(&self.owner, "/applications", json!({ "name": name })).await.ok()["id"]);
        let token = text(&self.post(&self.owner, &format!("/applications/{application}/bot"), json!({})).await.ok()["token"]);
        let consent = json!({ "guild_id": self.guild, "permissions": permissions.to_string(), "authorize": true });
        self.post(&self.owner, &format!("/oauth2/authorize?client_id={application}"), consent).await.ok();
        let bot = Session { token: format!("Bot {token}"), id: String::new() };
        let id = text(&self.get(&bot, "/users/@me").await.ok()["id"]);
        (Session { id, ..bot }, application)
    }

    fn messages_path(&self) -> String {
        format!("/channels/{}/messages", self.text)
    }

    async fn say(&self, who: &Session, content: &str) -> Value {
        self.post(who, &self.messages_path(), json!({ "content": content })).await.ok()
    }

    /// What people wrote in the first text channel, oldest first.
    async fn said(&self) -> Vec<String> {
        let messages = self.get(&self.owner, &format!("{}?limit=100", self.messages_path())).await.ok();
        let written = messages.as_array().unwrap().iter().filter(|message| message["type"] != 7).rev();
        written.map(|message| text(&message["content"])).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string, not {value}")).to_owned()
}

fn closed(config: &mut Config) {
    config.registration = Registration::Closed;
}
