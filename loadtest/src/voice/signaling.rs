//! The voice WebSocket: identify, heartbeats, who speaks under which SSRC. Versions 4 to 8.

use super::roster::Roster;
use crate::socket::{Socket, SocketError};
use crate::{Trust, VoiceGrant};
use guildhall_protocol::UserId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};

/// How long a client waits for any one answer of the voice gateway.
pub const PATIENCE: Duration = Duration::from_secs(20);
const COMMANDS: usize = 64;
/// Frames nobody asked for; op 5 and 11 of a hundred peers fit a hundred times. When full, the socket ends.
const SIGNALS: usize = 16_384;
/// From this version on, frames carry sequence numbers and heartbeats acknowledge them.
const FIRST_NUMBERED_VERSION: u8 = 8;

/// How to reach the voice gateway.
#[derive(Clone)]
pub struct Connect {
    /// The `v` of the URL; `None` leaves it out.
    pub version: Option<u8>,
    /// `wss`, as every library does; else `ws`.
    pub is_tls: bool,
    pub trust: Trust,
    /// Announced in Identify by clients that can show video.
    pub wants_video: bool,
}

impl Connect {
    fn version(&self) -> u8 {
        self.version.unwrap_or(4)
    }
}

/// A frame of the voice gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    pub op: u64,
    pub seq: Option<i64>,
    pub data: Value,
}

/// op 2.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    pub ssrc: u32,
    pub ip: IpAddr,
    pub port: u16,
    pub modes: Vec<String>,
}

/// Why the voice socket is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Closed(Option<u16>),
    Broken(String),
    MissedAck,
    Overflow,
    /// By us.
    Left,
}

#[derive(Debug, thiserror::Error)]
pub enum SignalingError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("the voice gateway did not answer in time while {0}")]
    TimedOut(&'static str),
    #[error("the voice socket ended: {0:?}")]
    Ended(End),
    #[error("the voice gateway broke the protocol: {0}")]
    Protocol(String),
}

impl SignalingError {
    /// The close code, if the server closed with one.
    pub fn close_code(&self) -> Option<u16> {
        match self {
            Self::Socket(SocketError::Closed(code)) | Self::Ended(End::Closed(code)) => *code,
            _ => None,
        }
    }
}

pub type Result<T> = std::result::Result<T, SignalingError>;

#[derive(Deserialize)]
struct Frame {
    op: u64,
    #[serde(default)]
    d: Value,
    seq: Option<i64>,
}

enum Command {
    Frame(Value),
    Text(String),
    Close(u16),
}

pub struct Signaling {
    /// The address of this machine towards the server.
    pub local_ip: IpAddr,
    connect: Connect,
    grant: VoiceGrant,
    roster: Arc<Roster>,
    last_seq: Arc<AtomicI64>,
    commands: mpsc::Sender<Command>,
    signals: mpsc::Receiver<Signal>,
    backlog: VecDeque<Signal>,
    end: watch::Receiver<Option<End>>,
    task: tokio::task::JoinHandle<()>,
}

impl Signaling {
    /// Connects and identifies with a grant; op 2 comes with it.
    pub async fn identify(connect: &Connect, grant: &VoiceGrant, roster: Arc<Roster>) -> Result<(Self, Ready)> {
        let streams = if connect.wants_video { json!([{ "type": "video", "rid": "100", "quality": 100 }]) } else { json!([]) };
        let identify = json!({ "op": 0, "d": {
            "server_id": grant.guild_id, "user_id": grant.user_id, "session_id": grant.session_id, "token": grant.token,
            "max_dave_protocol_version": 0, "video": connect.wants_video, "streams": streams,
        } });
        let mut signaling = Self::open(connect, grant, roster, identify, -1).await?;
        let ready = signaling.next(|signal| signal.op == 2).await?;
        let ready = Ready::deserialize(ready.data).map_err(|error| SignalingError::Protocol(format!("op 2: {error}")))?;
        Ok((signaling, ready))
    }

    /// Connects anew for the same session. The media path stays as it is.
    pub async fn resume(&mut self) -> Result<()> {
        let seq = self.last_seq.load(Ordering::Relaxed);
        let mut resume = json!({ "op": 7, "d": {
            "server_id": self.grant.guild_id, "session_id": self.grant.session_id, "token": self.grant.token,
        } });
        if self.connect.version() >= FIRST_NUMBERED_VERSION {
            resume["d"]["seq_ack"] = seq.into();
        }
        let mut next = Self::open(&self.connect, &self.grant, self.roster.clone(), resume, seq).await?;
        next.peek(PATIENCE, &mut |signal| signal.op == 9).await?;
        *self = next;
        Ok(())
    }

    async fn open(connect: &Connect, grant: &VoiceGrant, roster: Arc<Roster>, first: Value, seq: i64) -> Result<Self> {
        let scheme = if connect.is_tls { "wss" } else { "ws" };
        let query = connect.version.map_or_else(String::new, |version| format!("?v={version}"));
        let mut socket = Socket::connect(&format!("{scheme}://{}/{query}", grant.endpoint), &connect.trust, false).await?;
        let local_ip = socket.local_ip().map_err(|error| SignalingError::Protocol(error.to_string()))?;
        // Sent before Hello is read, as songbird does.
        socket.send(&first).await?;
        let hello = timeout(PATIENCE, socket.receive()).await.map_err(|_| SignalingError::TimedOut("waiting for Hello"))??;
        let interval = hello["d"]["heartbeat_interval"].as_f64().filter(|ms| hello["op"] == 8 && *ms > 0.0);
        let interval = interval.ok_or_else(|| SignalingError::Protocol(format!("{hello} instead of Hello")))?;
        let (command_tx, commands) = mpsc::channel(COMMANDS);
        let (signals, signal_rx) = mpsc::channel(SIGNALS);
        let (ended, end) = watch::channel(None);
        let last_seq = Arc::new(AtomicI64::new(seq));
        let driver = Driver {
            socket,
            commands,
            signals,
            roster: roster.clone(),
            last_seq: last_seq.clone(),
            is_numbered: connect.version() >= FIRST_NUMBERED_VERSION,
            unacked: None,
            beats: 0,
        };
        let task = tokio::spawn(async move {
            let why = driver.run(Duration::from_secs_f64(interval / 1000.0)).await;
            // Nobody may be left to hear it.
            let _ = ended.send(Some(why));
        });
        Ok(Self {
            local_ip,
            connect: connect.clone(),
            grant: grant.clone(),
            roster,
            last_seq,
            commands: command_tx,
            signals: signal_rx,
            backlog: VecDeque::new(),
            end,
            task,
        })
    }

    /// The first frame, in order of arrival, that `pick` wants; the others stay for later.
    pub async fn next(&mut self, mut pick: impl FnMut(&Signal) -> bool) -> Result<Signal> {
        let at = self.peek(PATIENCE, &mut pick).await?;
        self.backlog.remove(at).ok_or(SignalingError::TimedOut("taking a frame"))
    }

    /// The next Speaking of a user.
    pub async fn next_speaking(&mut self, user: UserId) -> Result<Signal> {
        let user = user.to_string();
        self.next(|signal| signal.op == 5 && signal.data["user_id"] == user.as_str()).await
    }

    async fn peek(&mut self, patience: Duration, pick: &mut impl FnMut(&Signal) -> bool) -> Result<usize> {
        if let Some(at) = self.backlog.iter().position(&mut *pick) {
            return Ok(at);
        }
        let deadline = Instant::now() + patience;
        loop {
            let signal =
                timeout_at(deadline, self.signals.recv()).await.map_err(|_| SignalingError::TimedOut("waiting for a frame"))?;
            let Some(signal) = signal else { return Err(SignalingError::Ended(self.end().await)) };
            let is_wanted = pick(&signal);
            self.backlog.push_back(signal);
            if is_wanted {
                return Ok(self.backlog.len() - 1);
            }
        }
    }

    /// Shows every frame that came and comes to `look`, until the end of the socket. The roster goes on learning.
    pub async fn attend(&mut self, mut look: impl FnMut(&Signal)) -> End {
        self.backlog.drain(..).for_each(|signal| look(&signal));
        while let Some(signal) = self.signals.recv().await {
            look(&signal);
        }
        self.end().await
    }

    /// Waits for the end of the socket and says why it came.
    pub async fn end(&mut self) -> End {
        match self.end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(End::Left),
            // The task was aborted by `cut`.
            Err(_) => End::Left,
        }
    }

    pub async fn end_within(&mut self, patience: Duration) -> Result<End> {
        timeout(patience, self.end()).await.map_err(|_| SignalingError::TimedOut("waiting for the end"))
    }

    pub async fn send(&self, op: u64, data: Value) -> Result<()> {
        self.command(Command::Frame(json!({ "op": op, "d": data }))).await
    }

    /// Any text, for malformed input.
    pub async fn send_text(&self, text: impl Into<String>) -> Result<()> {
        self.command(Command::Text(text.into())).await
    }

    async fn command(&self, command: Command) -> Result<()> {
        self.commands.send(command).await.map_err(|_| SignalingError::Ended(self.end.borrow().clone().unwrap_or(End::Left)))
    }

    /// op 5: microphone on or off. A server wants it once before the first audio.
    pub async fn speaking(&self, is_speaking: bool, ssrc: u32) -> Result<()> {
        self.send(5, json!({ "speaking": u8::from(is_speaking), "delay": 0, "ssrc": ssrc })).await
    }

    /// Drops the connection without a word; [`Signaling::resume`] continues.
    pub async fn cut(&mut self) {
        self.task.abort();
        // The task owns the socket: once it is gone, the connection is.
        let _ = self.end.wait_for(Option::is_some).await;
    }

    pub async fn close(&mut self, code: u16) {
        if self.command(Command::Close(code)).await.is_ok() {
            self.end().await;
        }
    }
}

impl Drop for Signaling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task behind a voice socket.
struct Driver {
    socket: Socket,
    commands: mpsc::Receiver<Command>,
    signals: mpsc::Sender<Signal>,
    roster: Arc<Roster>,
    last_seq: Arc<AtomicI64>,
    is_numbered: bool,
    /// The nonce of the heartbeat that waits for its answer.
    unacked: Option<u64>,
    beats: u64,
}

impl Driver {
    async fn run(mut self, interval: Duration) -> End {
        let mut beat = interval_at(Instant::now() + interval.mul_f64(rand::random::<f64>()), interval);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    if self.unacked.is_some() {
                        self.socket.close(4009).await;
                        return End::MissedAck;
                    }
                    self.beats += 1;
                    self.unacked = Some(self.beats);
                    let beat = match self.is_numbered {
                        true => json!({ "op": 3, "d": { "t": self.beats, "seq_ack": self.last_seq.load(Ordering::Relaxed) } }),
                        false => json!({ "op": 3, "d": self.beats }),
                    };
                    if let Err(error) = self.socket.send(&beat).await {
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
                    if let Some(end) = self.accept(frame) {
                        return end;
                    }
                }
            }
        }
    }

    fn accept(&mut self, frame: Frame) -> Option<End> {
        if let Some(seq) = frame.seq {
            self.last_seq.store(seq, Ordering::Relaxed);
        }
        if frame.op == 6 {
            let echo = if self.is_numbered { &frame.d["t"] } else { &frame.d };
            if echo.as_u64() != self.unacked.take() {
                return Some(End::Broken(format!("the heartbeat's answer does not echo it: {}", frame.d)));
            }
            return None;
        }
        self.roster.note(frame.op, &frame.d);
        let signal = Signal { op: frame.op, seq: frame.seq, data: frame.d };
        self.signals.try_send(signal).is_err().then_some(End::Overflow)
    }
}

fn ended(error: SocketError) -> End {
    match error {
        SocketError::Closed(code) => End::Closed(code),
        error => End::Broken(error.to_string()),
    }
}
