//! The protocol of one gateway connection, as a pure machine.
//!
//! It decides what a frame means and when a silent client is gone. What outlives a connection (the mailbox, the guilds, the
//! presence) belongs to the hub; this machine asks for it by effects and hears the outcome as inputs.

use guildhall_protocol::gateway::{
    ClientFrame, CloseCode, FrameError, GuildSubscription, Identify, MAX_CLIENT_FRAME, PresenceUpdate, RequestMembers, Resume,
    VoiceStateUpdate, heartbeat_ack, heartbeat_request, hello, invalid_session,
};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// A client that connects and says nothing holds a socket: libraries identify within a second.
pub const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(30);
/// Documented: 120 frames per 60 s, heartbeats included.
pub const MAX_FRAMES: u32 = 120;
pub const FRAME_WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub enum Input<'a> {
    /// A text frame, or a binary one (some clients send JSON so).
    Frame(&'a [u8]),
    Identified(Result<Account, Refusal>),
    Resumed(Result<Account, Refusal>),
    /// The time that [`Session::next_timeout`] named has come, or may have.
    Timeout,
}

/// What the connection needs to know of who identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub is_bot: bool,
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Op 9, and the connection stays: nothing to resume, or too many sessions were opened just now. The client identifies
    /// anew, a moment later.
    Invalid,
    Close(CloseCode),
}

impl From<CloseCode> for Refusal {
    fn from(code: CloseCode) -> Self {
        Self::Close(code)
    }
}

#[derive(Debug, PartialEq)]
pub enum Output {
    Send(Cow<'static, str>),
    Identify(Box<Identify>),
    Resume(Resume),
    /// The client has every dispatch up to this number.
    Acknowledge(u64),
    Presence(PresenceUpdate),
    Voice(VoiceStateUpdate),
    RequestMembers(RequestMembers),
    Subscribe(Vec<GuildSubscription>),
    Close(CloseCode),
}

#[derive(Debug)]
pub struct Session {
    state: State,
    heartbeat_interval: Duration,
    /// When the connection ends or is asked for a sign of life.
    deadline: Instant,
    window_start: Instant,
    frames: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitingIdentify,
    /// An effect is under way; the shell reads no frame until its outcome came.
    Authenticating,
    Live {
        is_bot: bool,
        /// The server has asked for a heartbeat and hears nothing: one more deadline and the client is gone.
        is_asked: bool,
    },
    Closed,
}

impl Session {
    /// A connection opened: says Hello.
    pub fn new(now: Instant, heartbeat_interval: Duration, out: &mut Vec<Output>) -> Self {
        out.push(Output::Send(hello(heartbeat_interval).into()));
        let deadline = now + IDENTIFY_TIMEOUT;
        Self { state: State::AwaitingIdentify, heartbeat_interval, deadline, window_start: now, frames: 0 }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        (self.state != State::Closed).then_some(self.deadline)
    }

    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match (self.state, input) {
            (State::Closed, _) => {}
            (_, Input::Frame(frame)) => self.frame(now, frame, out),
            (State::Authenticating, Input::Identified(Ok(account)) | Input::Resumed(Ok(account))) => {
                self.state = State::Live { is_bot: account.is_bot, is_asked: false };
                self.deadline = now + self.patience();
            }
            (State::Authenticating, Input::Identified(Err(Refusal::Invalid)) | Input::Resumed(Err(Refusal::Invalid))) => {
                out.push(Output::Send(invalid_session(false).into()));
                self.state = State::AwaitingIdentify;
                self.deadline = now + IDENTIFY_TIMEOUT;
            }
            (State::Authenticating, Input::Identified(Err(Refusal::Close(code))) | Input::Resumed(Err(Refusal::Close(code)))) => {
                self.close(code, out)
            }
            (_, Input::Timeout) if now < self.deadline => {}
            (State::Live { is_bot, is_asked: false }, Input::Timeout) => {
                out.push(Output::Send(heartbeat_request().into()));
                self.state = State::Live { is_bot, is_asked: true };
                self.deadline = now + self.heartbeat_interval / 2;
            }
            (_, Input::Timeout) => self.close(CloseCode::SessionTimedOut, out),
            // An outcome that nobody waits for: the connection closed meanwhile.
            (_, Input::Identified(_) | Input::Resumed(_)) => {}
        }
    }

    /// A heartbeat may be late by network and scheduling, and the first one by the client's own jitter.
    fn patience(&self) -> Duration {
        self.heartbeat_interval + self.heartbeat_interval / 4
    }

    fn frame(&mut self, now: Instant, frame: &[u8], out: &mut Vec<Output>) {
        if now.duration_since(self.window_start) >= FRAME_WINDOW {
            (self.window_start, self.frames) = (now, 0);
        }
        self.frames += 1;
        if self.frames > MAX_FRAMES {
            return self.close(CloseCode::RateLimited, out);
        }
        if frame.len() > MAX_CLIENT_FRAME {
            return self.close(CloseCode::DecodeError, out);
        }
        let frame = std::str::from_utf8(frame).map_err(|_| FrameError::NotAFrame).and_then(ClientFrame::read);
        let Ok(frame) = frame else {
            return self.close(CloseCode::DecodeError, out);
        };
        match (self.state, frame) {
            (State::Live { is_bot, .. }, ClientFrame::Heartbeat(seq)) => {
                if let Some(seq) = seq {
                    out.push(Output::Acknowledge(seq));
                }
                out.push(Output::Send(heartbeat_ack().into()));
                self.state = State::Live { is_bot, is_asked: false };
                self.deadline = now + self.patience();
            }
            // Allowed before Identify, but it does not put the time-out off.
            (_, ClientFrame::Heartbeat(_)) => out.push(Output::Send(heartbeat_ack().into())),
            (State::AwaitingIdentify, ClientFrame::Identify(identify)) if !identify.shard.is_valid() => {
                self.close(CloseCode::InvalidShard, out);
            }
            (State::AwaitingIdentify, ClientFrame::Identify(identify)) => {
                self.state = State::Authenticating;
                out.push(Output::Identify(Box::new(identify)));
            }
            (State::AwaitingIdentify, ClientFrame::Resume(resume)) => {
                self.state = State::Authenticating;
                out.push(Output::Resume(resume));
            }
            (State::AwaitingIdentify, _) => self.close(CloseCode::NotAuthenticated, out),
            (_, ClientFrame::Identify(_) | ClientFrame::Resume(_)) => self.close(CloseCode::AlreadyAuthenticated, out),
            (_, ClientFrame::PresenceUpdate(presence)) => out.push(Output::Presence(presence)),
            (_, ClientFrame::VoiceStateUpdate(update)) => out.push(Output::Voice(update)),
            (_, ClientFrame::RequestMembers(request)) => out.push(Output::RequestMembers(request)),
            // Bots have their own ways to learn of members, and their libraries send nothing like it.
            (State::Live { is_bot: false, .. }, ClientFrame::Subscribe(guilds)) => out.push(Output::Subscribe(guilds)),
            // People's clients send opcodes of features that this server does not have.
            (State::Live { is_bot: false, .. }, ClientFrame::Unknown(_)) => {}
            (_, ClientFrame::Unknown(_) | ClientFrame::Subscribe(_)) => self.close(CloseCode::UnknownOpcode, out),
        }
    }

    fn close(&mut self, code: CloseCode, out: &mut Vec<Output>) {
        self.state = State::Closed;
        out.push(Output::Close(code));
    }
}
