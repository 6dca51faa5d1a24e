//! The shell of one gateway connection: one task that reads frames, asks the session machine what they mean, and writes what
//! the mailbox holds. It never makes anyone wait: a client that does not read is cut off here, and may resume.

use super::link::{Ending, Mail};
use super::mailbox::Dispatch;
use super::session::{Account, Input, Output, Session};
use super::wire::{Received, Wire};
use super::{Origin, Parameters};
use crate::hub::core::Attached;
use crate::hub::{Hub, MemberList, SocketPass};
use guildhall_protocol::gateway::{CloseCode, RequestMembers, reconnect};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Dispatches that are written between two looks at what the client sends.
const BATCH: usize = 64;
/// How long a write may wait for the client to read.
const STALL: Duration = Duration::from_secs(10);
/// How long a closed connection waits for the client's own close, so that the close frame is not lost in a reset.
const FAREWELL: Duration = Duration::from_secs(2);
/// Member requests that wait for the one before them; as many as a client may send in a minute.
const MAX_REQUESTS: usize = 120;

/// WebSocket close codes (RFC 6455 §7.4.1) by which a client says that it does not come back.
const NORMAL: u16 = 1000;
const AWAY: u16 = 1001;

/// Why the loop ended.
enum End {
    /// The client closed. With 1000 or 1001 it does not come back.
    ByClient { may_resume: bool },
    /// The socket broke, or nobody reads at its other end.
    Lost,
    /// We close; the session (if any) may be resumed.
    Close(u16, &'static str),
}

type Step<T = ()> = ControlFlow<End, T>;

pub async fn serve(mut wire: Wire, hub: Hub, mut pass: SocketPass, parameters: Parameters, origin: Origin) {
    if let Some(codec) = parameters.codec() {
        wire.compress(codec);
    }
    let version = parameters.version();
    let mut connection =
        Connection { wire, hub, origin, version: version.unwrap_or_default(), attached: None, requests: Requests::default() };
    let end = match version {
        Some(_) => connection.run(&mut pass).await,
        None => End::Close(CloseCode::InvalidVersion.number(), CloseCode::InvalidVersion.reason()),
    };
    if let Some(attached) = &connection.attached {
        connection.hub.detach(attached, !matches!(end, End::ByClient { may_resume: false }));
    }
    // A client that does not do its part of the close costs a shutdown no more than this.
    let _ = tokio::time::timeout(FAREWELL, connection.say_farewell(end)).await;
    drop(pass);
}

struct Connection {
    wire: Wire,
    hub: Hub,
    origin: Origin,
    version: u8,
    attached: Option<Attached>,
    requests: Requests,
}

/// Op 8 answers under way.
#[derive(Default)]
struct Requests {
    waiting: VecDeque<RequestMembers>,
    current: Option<MemberList>,
}

impl Connection {
    async fn run(&mut self, pass: &mut SocketPass) -> End {
        let mut out = Vec::new();
        let mut session = Session::new(Instant::now(), self.hub.heartbeat_interval(), &mut out);
        // Heartbeats put the deadline off all the time: the alarm stays where it is, and is set anew when it goes off.
        let mut alarm = pin!(tokio::time::sleep_until(deadline(&session)));
        loop {
            if let ControlFlow::Break(end) = self.perform(&mut session, &mut out).await {
                return end;
            }
            if let ControlFlow::Break(end) = self.deliver().await {
                return end;
            }
            if deadline(&session) < alarm.deadline() {
                alarm.as_mut().reset(deadline(&session));
            }
            let Self { wire, attached, .. } = self;
            tokio::select! {
                received = wire.receive() => match received {
                    Received::Frame(Message::Text(text)) => session.handle(Instant::now(), Input::Frame(text.as_bytes()), &mut out),
                    Received::Frame(Message::Binary(bytes)) => session.handle(Instant::now(), Input::Frame(&bytes), &mut out),
                    // The library has its answer to a ping ready.
                    Received::Frame(_) => if let ControlFlow::Break(end) = self.flush().await { return end },
                    Received::Closed(code) => return End::ByClient { may_resume: !matches!(code, Some(NORMAL | AWAY)) },
                    Received::Undecodable => return End::Close(CloseCode::DecodeError.number(), CloseCode::DecodeError.reason()),
                    Received::Broken => return End::Lost,
                },
                () = rung(attached.as_ref()) => {}
                () = alarm.as_mut() => {
                    session.handle(Instant::now(), Input::Timeout, &mut out);
                    alarm.as_mut().reset(deadline(&session));
                }
                // Sessions hear of it by their link; this is for who has not identified.
                _ = pass.is_closing.changed(), if attached.is_none() => return self.send_away().await,
            }
        }
    }

    /// Does what the machine asks for, until it asks for nothing more.
    async fn perform(&mut self, session: &mut Session, out: &mut Vec<Output>) -> Step {
        if out.is_empty() {
            return ControlFlow::Continue(());
        }
        let mut asked = std::mem::take(out).into_iter();
        while let Some(output) = asked.next() {
            match output {
                Output::Send(text) => self.send(&[text.as_bytes()]).await?,
                Output::Identify(identify) => {
                    // Boxed, as is the next: their waits would make the task several times larger for its whole life.
                    let outcome = Box::pin(self.hub.identify(*identify, &self.origin, self.version)).await;
                    let account = self.attach(outcome);
                    session.handle(Instant::now(), Input::Identified(account), out);
                }
                Output::Resume(resume) => {
                    let outcome = Box::pin(self.hub.resume(resume, &self.origin)).await;
                    let account = self.attach(outcome);
                    session.handle(Instant::now(), Input::Resumed(account), out);
                }
                Output::Close(code) => return ControlFlow::Break(End::Close(code.number(), code.reason())),
                output => self.pass_on(output),
            }
            if !out.is_empty() {
                asked = asked.chain(out.drain(..)).collect::<Vec<_>>().into_iter();
            }
        }
        self.flush().await
    }

    fn attach<E>(&mut self, outcome: Result<Attached, E>) -> Result<Account, E> {
        outcome.map(|attached| {
            let account = Account { is_bot: attached.is_bot };
            self.attached = Some(attached);
            self.wire.belongs_to_somebody();
            account
        })
    }

    /// What concerns the hub only.
    fn pass_on(&mut self, output: Output) {
        let Some(attached) = &self.attached else { return };
        match output {
            Output::Acknowledge(seq) => attached.link.acknowledge(seq),
            Output::Presence(presence) => self.hub.set_presence(attached, presence),
            Output::Voice(update) => self.hub.update_voice(attached, update),
            Output::RequestMembers(request) if self.requests.waiting.len() < MAX_REQUESTS => {
                self.requests.waiting.push_back(request)
            }
            Output::RequestMembers(_) => {}
            Output::Subscribe(guilds) => guilds.into_iter().for_each(|guild| self.hub.subscribe(attached, guild)),
            Output::Send(_) | Output::Identify(_) | Output::Resume(_) | Output::Close(_) => unreachable!("performed above"),
        }
    }

    /// Writes what the mailbox holds, a batch of it, and rings for the rest.
    async fn deliver(&mut self) -> Step {
        let Some(attached) = &self.attached else { return ControlFlow::Continue(()) };
        match attached.link.take(attached.connection, BATCH) {
            Mail::Dispatches(dispatches) if dispatches.is_empty() => {
                self.answer_requests();
                ControlFlow::Continue(())
            }
            Mail::Dispatches(dispatches) => {
                for (seq, dispatch) in &dispatches {
                    self.send_dispatch(*seq, dispatch).await?;
                }
                self.flush().await?;
                self.hub.count_dispatches(dispatches.len());
                if let Some(attached) = &self.attached {
                    attached.link.ring();
                }
                ControlFlow::Continue(())
            }
            Mail::Ending(Ending::Replaced) => {
                ControlFlow::Break(End::Close(CloseCode::SessionTimedOut.number(), "Resumed elsewhere."))
            }
            Mail::Ending(Ending::TooSlow) => {
                self.hub.count_slow();
                ControlFlow::Break(End::Close(CloseCode::UnknownError.number(), "Too slow; resume."))
            }
            Mail::Ending(Ending::Close(code)) => ControlFlow::Break(End::Close(code.number(), code.reason())),
            Mail::Ending(Ending::Reconnect) => ControlFlow::Break(self.send_away().await),
        }
    }

    /// The mailbox is empty: room for the next chunk of a member list.
    fn answer_requests(&mut self) {
        let Some(attached) = &self.attached else { return };
        while self.requests.current.as_ref().is_none_or(MemberList::is_done) {
            let Some(request) = self.requests.waiting.pop_front() else {
                self.requests.current = None;
                return;
            };
            self.requests.current = self.hub.member_list(attached, request);
        }
        if let Some(list) = &mut self.requests.current {
            match self.hub.next_chunk(list) {
                Some(chunk) => {
                    attached.link.push(chunk);
                }
                None => {
                    self.requests.current = None;
                    attached.link.ring();
                }
            }
        }
    }

    /// Op 7, then a close that keeps the session.
    async fn send_away(&mut self) -> End {
        let _ = self.send(&[reconnect().as_bytes()]).await;
        End::Close(CloseCode::UnknownError.number(), "Going away; reconnect.")
    }

    async fn send_dispatch(&mut self, seq: u64, dispatch: &Arc<Dispatch>) -> Step {
        let head = dispatch.head(seq);
        self.send(&[head.as_bytes(), &dispatch.body, b"}"]).await
    }

    /// One frame of several parts; it may stay gathered until [`Self::flush`].
    async fn send(&mut self, parts: &[&[u8]]) -> Step {
        unless_stuck(self.attached.as_ref(), self.wire.send(parts)).await
    }

    async fn flush(&mut self) -> Step {
        unless_stuck(self.attached.as_ref(), self.wire.flush()).await
    }

    /// Closes with us first, or does its part when the client closed first.
    async fn say_farewell(&mut self, end: End) {
        match end {
            End::Close(code, reason) => self.wire.close(code, reason).await,
            End::ByClient { .. } => self.wire.finish_close().await,
            End::Lost => {}
        }
    }
}

/// Waits for a write as long as that makes sense. Nothing can be said any more to who does not read.
async fn unless_stuck(attached: Option<&Attached>, write: impl Future<Output = Result<(), Error>>) -> Step {
    let cut_off = async {
        match attached {
            Some(attached) => attached.link.cut_off().await,
            None => std::future::pending().await,
        }
    };
    // Most writes are taken at once; only the others need a clock.
    let mut write = pin!(write);
    if let Poll::Ready(written) = poll_fn(|context| Poll::Ready(write.as_mut().poll(context))).await {
        return if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(End::Lost) };
    }
    tokio::select! {
        biased;
        written = write => if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(End::Lost) },
        () = cut_off => ControlFlow::Break(End::Lost),
        () = tokio::time::sleep(STALL) => ControlFlow::Break(End::Lost),
    }
}

fn deadline(session: &Session) -> tokio::time::Instant {
    session.next_timeout().unwrap_or_else(Instant::now).into()
}

async fn rung(attached: Option<&Attached>) {
    match attached {
        Some(attached) => attached.link.rung().await,
        None => std::future::pending().await,
    }
}
