//! A typed client of the HTTP API.
//!
//! Typed calls wait out a rate limit a few times, as every library does; [`Rest::call`] and [`Rest::call_raw`] never do, so
//! that a test sees exactly what the server said.

use crate::Trust;
use guildhall_protocol::model::{Application, Channel, ChannelType, Guild, Invite, Member, Message, User};
use guildhall_protocol::{ApplicationId, ChannelId, GuildId, MessageId, Permissions, UserId};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

/// Longer than any healthy answer, shorter than a test's own patience.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a typed call waits out a 429 before it reports it.
const RATE_LIMIT_RETRIES: u32 = 5;
/// A server may ask for more patience than a test has; then the 429 is the answer.
const LONGEST_RETRY: Duration = Duration::from_secs(15);

/// One account's view of the API (or nobody's, without a token). Cheap to clone: clones share connections.
#[derive(Clone)]
pub struct Rest {
    base: String,
    http: Client,
    authorization: Option<String>,
}

/// What the server answered, whatever it was.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    /// `Value::Null` for an empty body; a JSON string holding the text if the body is not JSON.
    pub body: Value,
}

impl Reply {
    /// The numbered error code of the body, 0 if there is none.
    pub fn code(&self) -> i64 {
        self.body["code"].as_i64().unwrap_or(0)
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no answer: {0}")]
    Transport(#[from] reqwest::Error),
    #[error("{method} {path}: HTTP {status}, code {code}: {body}")]
    Api { method: Method, path: String, status: u16, code: i64, body: Value },
    #[error("{method} {path} answered with another shape: {reason}: {body}")]
    Shape { method: Method, path: String, reason: String, body: Value },
}

impl Error {
    /// HTTP status and numbered code, if the server refused.
    pub fn refusal(&self) -> Option<(u16, i64)> {
        match self {
            Self::Api { status, code, .. } => Some((*status, *code)),
            _ => None,
        }
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// What `POST /auth/register` and `/auth/login` give, with a client that uses it.
#[derive(Clone)]
pub struct Account {
    pub rest: Rest,
    pub token: String,
    pub user: User,
}

impl Rest {
    /// `base` is scheme, host and port: `http://127.0.0.1:8080`.
    pub fn new(base: &str) -> Result<Self> {
        Self::with_trust(base, &Trust::none())
    }

    /// For `https`, with the authorities to believe.
    pub fn with_trust(base: &str, trust: &Trust) -> Result<Self> {
        let http = Client::builder()
            .tls_backend_preconfigured((*trust.config()).clone())
            .no_proxy()
            .tcp_nodelay(true)
            .http1_only()
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http, authorization: None })
    }

    /// The same connections as another account. A user's token goes in bare.
    pub fn as_user(&self, token: &str) -> Self {
        Self { authorization: Some(token.to_owned()), ..self.clone() }
    }

    /// The same connections as a bot.
    pub fn as_bot(&self, token: &str) -> Self {
        Self { authorization: Some(format!("Bot {token}")), ..self.clone() }
    }

    pub fn anonymous(&self) -> Self {
        Self { authorization: None, ..self.clone() }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Any request with an optional JSON body, answered with whatever came. `path` is below `/api/v10`, unless it says `/api/…`
    /// itself.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply> {
        match body {
            Some(body) => self.call_raw(method, path, "application/json", body.to_string().into_bytes()).await,
            None => self.send(self.request(method, path)).await,
        }
    }

    /// Any request with any bytes as a body, for malformed input.
    pub async fn call_raw(&self, method: Method, path: &str, content_type: &str, body: Vec<u8>) -> Result<Reply> {
        self.send(self.request(method, path).header(CONTENT_TYPE, content_type).body(body)).await
    }

    /// What lies at an address from an answer (a file's, an avatar's), asked for without a token, as a browser does.
    pub async fn download(&self, url: &str) -> Result<Vec<u8>> {
        Ok(self.http.get(url).send().await?.error_for_status()?.bytes().await?.to_vec())
    }

    /// The text at a path that is not the API's: a status page or metrics, with the operator's key if it wants one.
    pub async fn page(&self, path: &str, key: Option<&str>) -> Result<String> {
        let request = self.http.get(format!("{}{path}", self.base));
        let request = key.iter().fold(request, |request, key| request.bearer_auth(key));
        Ok(request.send().await?.error_for_status()?.text().await?)
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let prefix = if path.starts_with("/api") { "" } else { "/api/v10" };
        let request = self.http.request(method, format!("{}{prefix}{path}", self.base));
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Reply> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.bytes().await?;
        let body = match &text[..] {
            [] => Value::Null,
            text => serde_json::from_slice(text).unwrap_or_else(|_| String::from_utf8_lossy(text).into_owned().into()),
        };
        Ok(Reply { status, headers, body })
    }

    /// A request that must succeed and answer with a `T` (`Value::Null` fits a 204).
    pub async fn expect<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<Value>) -> Result<T> {
        let mut retries = 0;
        let reply = loop {
            let reply = self.call(method.clone(), path, body.as_ref()).await?;
            let wait = Duration::try_from_secs_f64(reply.body["retry_after"].as_f64().unwrap_or(0.0)).unwrap_or(Duration::MAX);
            if reply.status != 429 || retries == RATE_LIMIT_RETRIES || wait > LONGEST_RETRY {
                break reply;
            }
            retries += 1;
            tokio::time::sleep(wait).await;
        };
        let path = path.to_owned();
        if !reply.is_success() {
            return Err(Error::Api { method, path, status: reply.status, code: reply.code(), body: reply.body });
        }
        T::deserialize(&reply.body).map_err(|error| Error::Shape { method, path, reason: error.to_string(), body: reply.body })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.expect(Method::GET, path, None).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T> {
        self.expect(Method::POST, path, Some(body)).await
    }

    /// Requests whose answer is `204 No Content`.
    async fn tell(&self, method: Method, path: &str, body: Option<Value>) -> Result<()> {
        self.expect::<Value>(method, path, body).await.map(|_| ())
    }
}

/// Accounts and bots.
impl Rest {
    /// Registers `username` with the address `{username}@loadtest.invalid`.
    pub async fn register(&self, username: &str, password: &str) -> Result<Account> {
        let email = format!("{username}@loadtest.invalid");
        let body =
            json!({ "username": username, "email": email, "password": password, "date_of_birth": "2000-01-01", "consent": true });
        self.account(self.anonymous().post("/auth/register", body).await?).await
    }

    /// `login` is the e-mail address.
    pub async fn login(&self, login: &str, password: &str) -> Result<Account> {
        self.account(self.anonymous().post("/auth/login", json!({ "login": login, "password": password })).await?).await
    }

    async fn account(&self, reply: Value) -> Result<Account> {
        let token = text(&reply, "token", "/auth")?;
        let rest = self.as_user(&token);
        let user = rest.me().await?;
        Ok(Account { rest, token, user })
    }

    pub async fn logout(&self) -> Result<()> {
        self.tell(Method::POST, "/auth/logout", Some(json!({}))).await
    }

    pub async fn me(&self) -> Result<User> {
        self.get("/users/@me").await
    }

    pub async fn create_application(&self, name: &str) -> Result<Application> {
        self.post("/applications", json!({ "name": name })).await
    }

    /// Makes the application's bot, or a new token for it. Returns the token without the `Bot ` prefix.
    pub async fn create_bot(&self, application: ApplicationId) -> Result<String> {
        let path = format!("/applications/{application}/bot");
        text(&self.post(&path, json!({})).await?, "token", &path)
    }

    /// Lets a bot into a guild, as its "add to server" page does.
    pub async fn add_bot(&self, application: ApplicationId, guild: GuildId, permissions: Permissions) -> Result<()> {
        let path = format!("/oauth2/authorize?client_id={application}&scope=bot");
        let body = json!({ "guild_id": guild, "permissions": permissions, "authorize": true });
        self.tell(Method::POST, &path, Some(body)).await
    }

    /// How many applications this account has.
    pub async fn applications(&self) -> Result<usize> {
        Ok(self.get::<Vec<Value>>("/applications").await?.len())
    }

    /// An application's bot, ready to use, in a guild that `inviter` manages.
    pub async fn bot_in(&self, name: &str, guild: GuildId, inviter: &Rest) -> Result<Account> {
        let application = self.create_application(name).await?;
        let token = self.create_bot(application.id).await?;
        inviter.add_bot(application.id, guild, Permissions(0)).await?;
        let rest = self.as_bot(&token);
        let user = rest.me().await?;
        Ok(Account { rest, token, user })
    }

    /// The URL that `GET /gateway` tells clients to connect to.
    pub async fn gateway_url(&self) -> Result<String> {
        text(&self.get("/gateway").await?, "url", "/gateway")
    }
}

/// Guilds, channels, invites.
impl Rest {
    pub async fn create_guild(&self, name: &str) -> Result<Guild> {
        self.post("/guilds", json!({ "name": name })).await
    }

    pub async fn delete_guild(&self, guild: GuildId) -> Result<()> {
        self.tell(Method::DELETE, &format!("/guilds/{guild}"), None).await
    }

    pub async fn guild(&self, guild: GuildId) -> Result<Guild> {
        self.get(&format!("/guilds/{guild}")).await
    }

    pub async fn channels(&self, guild: GuildId) -> Result<Vec<Channel>> {
        self.get(&format!("/guilds/{guild}/channels")).await
    }

    /// The guild's first channel of a kind.
    pub async fn first_channel(&self, guild: GuildId, kind: ChannelType) -> Result<ChannelId> {
        let path = format!("/guilds/{guild}/channels");
        let channels: Vec<Channel> = self.get(&path).await?;
        let found = channels.iter().find(|channel| channel.kind == kind).map(|channel| channel.id);
        found.ok_or_else(|| shape(&path, "no channel of that kind", &json!(channels)))
    }

    pub async fn create_channel(&self, guild: GuildId, name: &str, kind: ChannelType) -> Result<Channel> {
        self.post(&format!("/guilds/{guild}/channels"), json!({ "name": name, "type": kind })).await
    }

    /// Returns the code.
    pub async fn invite(&self, channel: ChannelId) -> Result<String> {
        let invite: Invite =
            self.post(&format!("/channels/{channel}/invites"), json!({ "max_age": 0, "max_uses": 0, "unique": true })).await?;
        Ok(invite.code)
    }

    pub async fn join(&self, code: &str) -> Result<()> {
        self.post::<Value>(&format!("/invites/{code}"), json!({})).await.map(|_| ())
    }

    pub async fn member(&self, guild: GuildId, user: UserId) -> Result<Member> {
        self.get(&format!("/guilds/{guild}/members/{user}")).await
    }

    /// Server mute, deafen, nickname, voice channel …: the fields of Modify Guild Member.
    pub async fn edit_member(&self, guild: GuildId, user: UserId, change: Value) -> Result<Value> {
        self.expect(Method::PATCH, &format!("/guilds/{guild}/members/{user}"), Some(change)).await
    }

    pub async fn kick(&self, guild: GuildId, user: UserId) -> Result<()> {
        self.tell(Method::DELETE, &format!("/guilds/{guild}/members/{user}"), None).await
    }

    pub async fn leave(&self, guild: GuildId) -> Result<()> {
        self.tell(Method::DELETE, &format!("/users/@me/guilds/{guild}"), None).await
    }
}

/// Messages.
impl Rest {
    pub async fn send_message(&self, channel: ChannelId, content: &str) -> Result<Message> {
        self.post(&format!("/channels/{channel}/messages"), json!({ "content": content })).await
    }

    /// With a nonce that makes a retry harmless.
    pub async fn send_once(&self, channel: ChannelId, content: &str, nonce: &str) -> Result<Message> {
        let body = json!({ "content": content, "nonce": nonce, "enforce_nonce": true });
        self.post(&format!("/channels/{channel}/messages"), body).await
    }

    pub async fn edit_message(&self, channel: ChannelId, message: MessageId, content: &str) -> Result<Message> {
        let path = format!("/channels/{channel}/messages/{message}");
        self.expect(Method::PATCH, &path, Some(json!({ "content": content }))).await
    }

    pub async fn delete_message(&self, channel: ChannelId, message: MessageId) -> Result<()> {
        self.tell(Method::DELETE, &format!("/channels/{channel}/messages/{message}"), None).await
    }

    /// Newest first. `query` as in `limit=100&before=…`.
    pub async fn messages(&self, channel: ChannelId, query: &str) -> Result<Vec<Message>> {
        self.get(&format!("/channels/{channel}/messages?{query}")).await
    }

    /// Every message of a channel, oldest first, page by page.
    pub async fn history(&self, channel: ChannelId) -> Result<Vec<Message>> {
        let mut all = Vec::new();
        loop {
            let query = match all.last() {
                Some(Message { id, .. }) => format!("limit=100&before={id}"),
                None => "limit=100".to_owned(),
            };
            let page = self.messages(channel, &query).await?;
            if page.is_empty() {
                all.reverse();
                return Ok(all);
            }
            all.extend(page);
        }
    }

    pub async fn typing(&self, channel: ChannelId) -> Result<()> {
        self.tell(Method::POST, &format!("/channels/{channel}/typing"), Some(json!({}))).await
    }
}

fn text(reply: &Value, key: &str, path: &str) -> Result<String> {
    reply[key].as_str().map(str::to_owned).ok_or_else(|| shape(path, &format!("no text `{key}`"), reply))
}

fn shape(path: &str, reason: &str, body: &Value) -> Error {
    Error::Shape { method: Method::GET, path: path.to_owned(), reason: reason.to_owned(), body: body.clone() }
}
