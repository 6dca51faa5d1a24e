//! The main gateway: one session of one account, kept alive by its own task.
//!
//! Events wait in a backlog until somebody asks for them, so a test may ask for the second of two events first. The session's
//! task ends with the socket; [`Gateway::end`] says why.

use crate::Trust;
use crate::socket::{Socket, SocketError};
use guildhall_protocol::{ChannelId, GuildId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};

/// How long [`Gateway::next_event`] waits: far above any healthy delivery, so that a test fails by it only when it should.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Frames that may wait for the socket task; a full queue makes the sender wait.
const COMMANDS: usize = 64;
/// Events nobody has asked for yet. A test that lets more pile up is broken, and its session ends with [`End::Overflow`].
const EVENTS: usize = 65_536;
/// Every intent that is documented, the privileged ones too (bits 0-16, 20, 21, 24, 25).
pub const ALL_INTENTS: u64 = 0x0331_ffff;
/// The same without GUILD_MEMBERS, GUILD_PRESENCES and MESSAGE_CONTENT, which an application must be granted.
pub const UNPRIVILEGED_INTENTS: u64 = ALL_INTENTS & !(1 << 1 | 1 << 8 | 1 << 15);

/// How to connect.
#[derive(Clone)]
pub struct Connect {
    /// As `GET /gateway` says it.
    pub url: String,
    /// Bare, for users and bots alike.
    pub token: String,
    pub intents: u64,
    pub zlib_stream: bool,
    pub trust: Trust,
    /// Which dispatches are kept for [`Gateway::next_event`]; a session that only has to be there throws them away.
    pub keeps: Keeps,
}

/// Looks at every dispatch as it comes off the socket and says whether it is kept.
pub type Filter = Arc<dyn Fn(&Event) -> bool + Send + Sync>;

#[derive(Clone)]
pub enum Keeps {
    All,
    Nothing,
    Wanted(Filter),
}

impl Connect {
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Self {
        let (url, token) = (url.into(), token.into());
        Self { url, token, intents: UNPRIVILEGED_INTENTS, zlib_stream: false, trust: Trust::none(), keeps: Keeps::All }
    }

    fn target(&self, base: &str) -> String {
        let compress = if self.zlib_stream { "&compress=zlib-stream" } else { "" };
        // A bare host needs the slash; a path is kept as it is, as most libraries do.
        let has_path = base.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        format!("{base}{}?v=10&encoding=json{compress}", if has_path { "" } else { "/" })
    }
}

/// A dispatch, or another frame worth telling (op 7 and 9, whose `name` is empty).
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub op: u64,
    pub name: String,
    /// 0 for frames that are not dispatches.
    pub seq: u64,
    pub data: Value,
    /// When it came off the socket.
    pub at: Instant,
}

/// Why a session's socket is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By the server, with its close code.
    Closed(Option<u16>),
    Broken(String),
    /// A heartbeat was not answered before the next was due.
    MissedAck,
    /// Nobody read the events.
    Overflow,
    /// By us.
    Left,
}

#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("the server did not answer in time while {0}")]
    TimedOut(&'static str),
    #[error("the session ended: {0:?}")]
    Ended(End),
    /// op 9.
    #[error("the session is invalid (resumable: {0})")]
    Invalid(bool),
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
}

pub type Result<T> = std::result::Result<T, GatewayError>;

/// What a new socket needs to continue a session.
#[derive(Clone, Debug)]
pub struct Resume {
    pub session_id: String,
    pub resume_url: String,
    pub seq: u64,
}

/// What op 4 earned: everything that a voice client needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceGrant {
    pub guild_id: GuildId,
    pub channel_id: ChannelId,
    pub user_id: UserId,
    pub session_id: String,
    pub token: String,
    /// Host, or host and port.
    pub endpoint: String,
}

#[derive(Deserialize)]
struct Frame {
    op: u64,
    #[serde(default)]
    d: Value,
    s: Option<u64>,
    t: Option<String>,
}

enum Command {
    Frame(Value),
    Text(String),
    Close(u16),
}

/// One session.
pub struct Gateway {
    /// READY's data; for a resumed session, that of the first connection is not known and this is null.
    pub ready: Value,
    session_id: String,
    resume_url: String,
    seq: Arc<AtomicU64>,
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
    backlog: VecDeque<Event>,
    end: watch::Receiver<Option<End>>,
    task: tokio::task::JoinHandle<()>,
}

impl Gateway {
    /// Connects, identifies and waits for READY.
    pub async fn connect(config: &Connect) -> Result<Self> {
        let properties = json!({ "os": "linux", "browser": "guildhall-loadtest", "device": "guildhall-loadtest" });
        let identify = json!({ "op": 2, "d": { "token": config.token, "intents": config.intents, "properties": properties } });
        Self::open(config, &config.url, identify, None).await
    }

    /// Connects and resumes. The missed events come first in the backlog, RESUMED after them.
    pub async fn resume(config: &Connect, resume: &Resume) -> Result<Self> {
        let frame = json!({ "op": 6, "d": { "token": config.token, "session_id": resume.session_id, "seq": resume.seq } });
        Self::open(config, &resume.resume_url, frame, Some(resume)).await
    }

    async fn open(config: &Connect, url: &str, first: Value, resume: Option<&Resume>) -> Result<Self> {
        let mut socket = Socket::connect(&config.target(url), &config.trust, config.zlib_stream).await?;
        let hello = next(&mut socket, "waiting for Hello").await?;
        let interval = hello.d["heartbeat_interval"].as_f64().filter(|ms| hello.op == 10 && *ms > 0.0);
        let interval = Duration::from_secs_f64(
            interval.ok_or_else(|| GatewayError::Protocol(format!("op {} instead of Hello", hello.op)))? / 1000.0,
        );
        socket.send(&first).await?;
        let (command_tx, commands) = mpsc::channel(COMMANDS);
        let (events, event_rx) = mpsc::channel(EVENTS);
        let (ended, end) = watch::channel(None);
        let seq = Arc::new(AtomicU64::new(resume.map_or(0, |resume| resume.seq)));
        let driver = Driver { socket, commands, events, seq: seq.clone(), keeps: config.keeps.clone() };
        let task = tokio::spawn(async move {
            let why = driver.run(interval).await;
            // Nobody may be left to hear it.
            let _ = ended.send(Some(why));
        });
        let mut gateway = Self {
            ready: Value::Null,
            session_id: resume.map_or_else(String::new, |resume| resume.session_id.clone()),
            resume_url: resume.map_or_else(String::new, |resume| resume.resume_url.clone()),
            seq,
            commands: command_tx,
            events: event_rx,
            backlog: VecDeque::new(),
            end,
            task,
        };
        let expected = if resume.is_some() { "RESUMED" } else { "READY" };
        let event = gateway.peek(PATIENCE, |event| event.name == expected || event.op == 9).await?;
        if event.op == 9 {
            return Err(GatewayError::Invalid(event.data.as_bool().unwrap_or(false)));
        }
        if resume.is_none() {
            let text = |key: &str| event.data[key].as_str().map(str::to_owned).ok_or_else(|| missing(key));
            (gateway.session_id, gateway.resume_url) = (text("session_id")?, text("resume_gateway_url")?);
            gateway.backlog.retain(|event| event.name != "READY");
            gateway.ready = event.data;
        }
        Ok(gateway)
    }

    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// The account, as READY named it.
    pub fn user_id(&self) -> Option<UserId> {
        UserId::deserialize(&self.ready["user"]["id"]).ok()
    }

    /// The first event, in order of arrival, that `pick` wants; the others stay for later.
    pub async fn next_event(&mut self, pick: impl FnMut(&Event) -> bool) -> Result<Event> {
        self.next_event_within(PATIENCE, pick).await
    }

    pub async fn next_event_within(&mut self, patience: Duration, mut pick: impl FnMut(&Event) -> bool) -> Result<Event> {
        self.peek(patience, &mut pick).await?;
        let at = self.backlog.iter().position(pick).ok_or(GatewayError::TimedOut("looking at an event twice"))?;
        self.backlog.remove(at).ok_or(GatewayError::TimedOut("taking an event"))
    }

    /// The next event of a name, with what its data must satisfy.
    pub async fn next_named(&mut self, name: &str, mut pick: impl FnMut(&Value) -> bool) -> Result<Value> {
        Ok(self.next_event(|event| event.name == name && pick(&event.data)).await?.data)
    }

    /// Everything up to and including the event that `last` wants: for checks of order and of absence.
    pub async fn events_until(&mut self, mut last: impl FnMut(&Event) -> bool) -> Result<Vec<Event>> {
        self.peek(PATIENCE, &mut last).await?;
        let end = self.backlog.iter().position(last).map_or(0, |at| at + 1);
        Ok(self.backlog.drain(..end).collect())
    }

    async fn peek(&mut self, patience: Duration, mut pick: impl FnMut(&Event) -> bool) -> Result<Event> {
        if let Some(event) = self.backlog.iter().find(|event| pick(event)) {
            return Ok(event.clone());
        }
        let deadline = Instant::now() + patience;
        loop {
            let event =
                timeout_at(deadline, self.events.recv()).await.map_err(|_| GatewayError::TimedOut("waiting for an event"))?;
            let Some(event) = event else { return Err(GatewayError::Ended(self.end().await)) };
            self.backlog.push_back(event.clone());
            if pick(&event) {
                return Ok(event);
            }
        }
    }

    /// Throws away what has come so far.
    pub fn forget(&mut self) {
        self.backlog.clear();
        while self.events.try_recv().is_ok() {}
    }

    /// Waits for the end of the socket and says why it came.
    pub async fn end(&mut self) -> End {
        match self.end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(End::Left),
            // The task was aborted by `cut`.
            Err(_) => End::Left,
        }
    }

    /// Like [`Gateway::end`], with a limit.
    pub async fn end_within(&mut self, patience: Duration) -> Result<End> {
        timeout(patience, self.end()).await.map_err(|_| GatewayError::TimedOut("waiting for the end"))
    }

    /// Sends any frame.
    pub async fn send(&self, op: u64, data: Value) -> Result<()> {
        self.command(Command::Frame(json!({ "op": op, "d": data }))).await
    }

    /// Sends any text, for malformed input.
    pub async fn send_text(&self, text: impl Into<String>) -> Result<()> {
        self.command(Command::Text(text.into())).await
    }

    async fn command(&self, command: Command) -> Result<()> {
        self.commands.send(command).await.map_err(|_| GatewayError::Ended(self.end.borrow().clone().unwrap_or(End::Left)))
    }

    pub async fn set_status(&self, status: &str) -> Result<()> {
        self.send(3, json!({ "since": null, "activities": [], "status": status, "afk": false })).await
    }

    /// op 4 with a channel, then the two events that answer it, in either order.
    pub async fn join_voice(&mut self, guild: GuildId, channel: ChannelId) -> Result<VoiceGrant> {
        self.set_voice(guild, Some(channel), false, false).await?;
        self.voice_grant(guild, channel).await
    }

    /// The same from a place that is so many milliseconds from each of these regions.
    pub async fn join_voice_from(&mut self, guild: GuildId, channel: ChannelId, rtts: &[(&str, u16)]) -> Result<VoiceGrant> {
        self.ask_for_voice(guild, channel, rtts).await?;
        self.voice_grant(guild, channel).await
    }

    /// The same without waiting for the answer.
    pub async fn ask_for_voice(&self, guild: GuildId, channel: ChannelId, rtts: &[(&str, u16)]) -> Result<()> {
        let rtts: serde_json::Map<String, Value> = rtts.iter().map(|(region, ms)| ((*region).to_owned(), json!(ms))).collect();
        let flags =
            json!({ "guild_id": guild, "channel_id": channel, "self_mute": false, "self_deaf": false, "region_rtts": rtts });
        self.send(4, flags).await
    }

    /// Waits until the room of this grant lives elsewhere, and tells where. A moment without any node is passed over.
    pub async fn moved(&mut self, grant: &VoiceGrant) -> Result<VoiceGrant> {
        let guild = grant.guild_id.to_string();
        let is_it = |server: &Value| server["guild_id"] == guild.as_str() && server["endpoint"].is_string();
        let server = self.next_named("VOICE_SERVER_UPDATE", is_it).await?;
        let text = |key: &str| server[key].as_str().unwrap_or_default().to_owned();
        Ok(VoiceGrant { token: text("token"), endpoint: text("endpoint"), ..grant.clone() })
    }

    /// Waits for the grant without asking: after a move by somebody else.
    pub async fn voice_grant(&mut self, guild: GuildId, channel: ChannelId) -> Result<VoiceGrant> {
        let (session, guild_text) = (self.session_id.clone(), guild.to_string());
        let state = self
            .next_named("VOICE_STATE_UPDATE", |state| {
                state["session_id"] == session.as_str() && state["channel_id"] == channel.to_string().as_str()
            })
            .await?;
        // Without an endpoint there is no node at the moment; clients wait for the next word.
        let is_grant = |server: &Value| server["guild_id"] == guild_text.as_str() && server["endpoint"].is_string();
        let server = self.next_named("VOICE_SERVER_UPDATE", is_grant).await?;
        let text = |key: &str| server[key].as_str().map(str::to_owned).ok_or_else(|| missing(key));
        Ok(VoiceGrant {
            guild_id: guild,
            channel_id: channel,
            user_id: UserId::deserialize(&state["user_id"]).map_err(|_| missing("user_id"))?,
            session_id: session,
            token: text("token")?,
            endpoint: text("endpoint")?,
        })
    }

    /// op 4 as it is: `None` leaves.
    pub async fn set_voice(&self, guild: GuildId, channel: Option<ChannelId>, self_mute: bool, self_deaf: bool) -> Result<()> {
        let data = json!({ "guild_id": guild, "channel_id": channel, "self_mute": self_mute, "self_deaf": self_deaf });
        self.send(4, data).await
    }

    /// What is needed to continue this session elsewhere.
    pub fn resumable(&self) -> Resume {
        let seq = self.seq.load(Ordering::Relaxed);
        Resume { session_id: self.session_id.clone(), resume_url: self.resume_url.clone(), seq }
    }

    /// Drops the connection without a word; for a session that will not be resumed.
    pub fn break_off(&self) {
        self.task.abort();
    }

    /// Drops the connection without a word, as a pulled cable does, and keeps what a resume needs.
    pub async fn cut(self) -> Resume {
        self.task.abort();
        // The task owns the socket: once it is gone, the connection is.
        let _ = self.end.clone().wait_for(Option::is_some).await;
        self.resumable()
    }

    /// Closes with a code: 1000 and 1001 end the session, any other keeps it resumable.
    pub async fn close(mut self, code: u16) -> Resume {
        let resume = self.resumable();
        if self.command(Command::Close(code)).await.is_ok() {
            self.end().await;
        }
        resume
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn missing(key: &str) -> GatewayError {
    GatewayError::Protocol(format!("`{key}` is missing"))
}

async fn next(socket: &mut Socket, during: &'static str) -> Result<Frame> {
    let value = timeout(PATIENCE, socket.receive()).await.map_err(|_| GatewayError::TimedOut(during))??;
    Frame::deserialize(value).map_err(|error| GatewayError::Protocol(error.to_string()))
}

/// The task behind a session.
struct Driver {
    socket: Socket,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    seq: Arc<AtomicU64>,
    keeps: Keeps,
}

impl Driver {
    async fn run(mut self, interval: Duration) -> End {
        // The first heartbeat waits a random part of the interval, so that a thousand sessions do not beat as one.
        let mut beat = interval_at(Instant::now() + interval.mul_f64(rand::random::<f64>()), interval);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_acked = true;
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    if !std::mem::replace(&mut is_acked, false) {
                        self.socket.close(4000).await;
                        return End::MissedAck;
                    }
                    if let Err(error) = self.heartbeat().await {
                        return ended(error);
                    }
                }
                command = self.commands.recv() => {
                    let result = match command {
                        Some(Command::Frame(frame)) => self.socket.send(&frame).await,
                        Some(Command::Text(text)) => self.socket.send_text(text).await,
                        Some(Command::Close(code)) => {
                            self.socket.close(code).await;
                            return End::Left;
                        }
                        None => return End::Left,
                    };
                    if let Err(error) = result {
                        return ended(error);
                    }
                }
                received = self.socket.receive() => {
                    let frame = match received.map(Frame::deserialize) {
                        Ok(Ok(frame)) => frame,
                        Ok(Err(error)) => return End::Broken(error.to_string()),
                        Err(error) => return ended(error),
                    };
                    match frame.op {
                        0 | 7 | 9 => {
                            let event = Event { op: frame.op, name: frame.t.unwrap_or_default(), seq: frame.s.unwrap_or(0), data: frame.d, at: Instant::now() };
                            if event.seq > 0 {
                                self.seq.store(event.seq, Ordering::Relaxed);
                            }
                            let is_asked_for = match &self.keeps {
                                Keeps::All => true,
                                Keeps::Nothing => false,
                                Keeps::Wanted(filter) => filter(&event),
                            };
                            let is_wanted = is_asked_for || event.op == 9 || event.name == "READY" || event.name == "RESUMED";
                            if is_wanted && self.events.try_send(event).is_err() {
                                return End::Overflow;
                            }
                        }
                        1 => {
                            if let Err(error) = self.heartbeat().await {
                                return ended(error);
                            }
                        }
                        11 => is_acked = true,
                        _ => {}
                    }
                }
            }
        }
    }

    async fn heartbeat(&mut self) -> std::result::Result<(), SocketError> {
        let seq = match self.seq.load(Ordering::Relaxed) {
            0 => Value::Null,
            seq => seq.into(),
        };
        self.socket.send(&json!({ "op": 1, "d": seq })).await
    }
}

fn ended(error: SocketError) -> End {
    match error {
        SocketError::Closed(code) => End::Closed(code),
        error => End::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
