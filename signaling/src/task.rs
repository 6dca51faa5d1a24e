//! The shell of one session: waits for its socket, its mailbox, the media engine and the clock, feeds the machine, and
//! carries out what it answers. It lives from the socket's greeting to the session's end, with or without a socket.

use crate::limits;
use crate::node::{Mailbox, Node, Note};
use crate::rooms::Place;
use crate::session::{Input, Output, Session};
use crate::socket::{Event, Socket};
use guildhall_protocol::fleet::{Policy, Sitting};
use guildhall_protocol::voice_gateway::CloseCode;
use guildhall_protocol::voice_token::VoiceClaims;
use guildhall_sfu::{PeerEvent, PeerId, RoomId, SfuError};
use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};

struct Task {
    node: Arc<Node>,
    session: Session,
    version: u8,
    socket: Option<Box<Socket>>,
    mailbox: mpsc::Receiver<Note>,
    /// The sending end, until the seat takes it: then the mailbox closes when the seat is taken away.
    own_mailbox: Option<Mailbox>,
    seat: Option<Seat>,
    media: Option<Media>,
    stop: watch::Receiver<bool>,
    /// The main gateway tells the client in this moment that it is out of here.
    is_told_elsewhere: bool,
}

struct Seat {
    place: Place,
    sitting: Sitting,
    signed_at_ms: u64,
}

struct Media {
    peer: PeerId,
    events: mpsc::Receiver<PeerEvent>,
}

/// What woke the task.
enum Wake {
    Socket(Event),
    Note(Option<Note>),
    Media(Option<PeerEvent>),
    Timeout,
    Stop,
}

/// Whether the task has anything left to do.
#[derive(PartialEq, Eq)]
enum Life {
    GoesOn,
    IsOver,
}

pub async fn run(node: Arc<Node>, socket: Socket, version: u8) {
    let (own_mailbox, mailbox) = mpsc::channel(limits::MAILBOX_NOTES);
    let mut greeting = Vec::new();
    let mut task = Task {
        session: Session::new(Instant::now(), version, &mut greeting),
        version,
        socket: Some(Box::new(socket)),
        mailbox,
        own_mailbox: Some(own_mailbox),
        seat: None,
        media: None,
        stop: node.stop.subscribe(),
        is_told_elsewhere: false,
        node,
    };
    let mut life = task.carry_out(greeting).await;
    while life == Life::GoesOn {
        let wake = task.wake().await;
        life = task.on_wake(wake).await;
    }
}

impl Task {
    async fn wake(&mut self) -> Wake {
        let deadline = self.session.next_timeout();
        tokio::select! {
            event = async { match &mut self.socket { Some(socket) => socket.next().await, None => pending().await } } => Wake::Socket(event),
            note = self.mailbox.recv() => Wake::Note(note),
            event = async { match &mut self.media { Some(media) => media.events.recv().await, None => pending().await } } => Wake::Media(event),
            () = async { match deadline { Some(at) => tokio::time::sleep_until(at.into()).await, None => pending().await } } => Wake::Timeout,
            _ = self.stop.wait_for(|is_stopping| *is_stopping) => Wake::Stop,
        }
    }

    async fn on_wake(&mut self, wake: Wake) -> Life {
        match wake {
            Wake::Socket(Event::Text(text)) => self.feed(Input::Text(text.as_str())).await,
            Wake::Socket(Event::Binary) => self.feed(Input::Binary).await,
            Wake::Socket(Event::Closed { code }) => {
                if let Some(socket) = self.socket.take() {
                    socket.answer_close().await;
                }
                self.feed(Input::SocketClosed { code }).await
            }
            Wake::Note(Some(Note::Attach { mut socket, version, seq_ack })) => {
                socket.belongs_to_somebody();
                self.socket = Some(socket);
                self.version = version;
                self.feed(Input::Attached { version, seq_ack }).await
            }
            Wake::Note(Some(Note::Room(event))) => self.feed(Input::Room(event)).await,
            Wake::Note(Some(Note::Policy(policy))) => self.feed(Input::Policy(policy)).await,
            // Meant for a connection before this one, whose token is older.
            Wake::Note(Some(Note::Disconnect { as_of_ms }))
                if self.seat.as_ref().is_some_and(|seat| seat.signed_at_ms >= as_of_ms) =>
            {
                Life::GoesOn
            }
            Wake::Note(Some(Note::Disconnect { .. })) => {
                self.is_told_elsewhere = true;
                self.feed(Input::Disconnect).await
            }
            Wake::Note(Some(Note::Closed)) => self.feed(Input::Disconnect).await,
            Wake::Note(Some(Note::Replaced { is_same_participant })) => self.feed(Input::Replaced { is_same_participant }).await,
            Wake::Note(None) => self.feed(Input::Evicted).await,
            Wake::Media(Some(PeerEvent::Connected)) => Life::GoesOn,
            Wake::Media(Some(PeerEvent::Slot { ssrc, speaker })) => {
                let speaker = speaker.and_then(|peer| self.node.user_of(self.seat.as_ref()?.place.channel_id, peer));
                self.feed(Input::Slot { ssrc, speaker }).await
            }
            Wake::Media(Some(PeerEvent::Sound { ssrc, publisher })) => {
                let publisher = publisher.and_then(|peer| self.node.user_of(self.seat.as_ref()?.place.channel_id, peer));
                self.feed(Input::Sound { ssrc, publisher }).await
            }
            Wake::Media(Some(PeerEvent::Shown { slot, showing })) => {
                let showing = showing.and_then(|(peer, source)| {
                    let user_id = self.node.user_of(self.seat.as_ref()?.place.channel_id, peer)?;
                    Some((user_id, source))
                });
                self.feed(Input::Filled { slot, showing }).await
            }
            Wake::Media(Some(PeerEvent::Layers { source, layers })) => self.feed(Input::Layers { source, layers }).await,
            Wake::Media(Some(PeerEvent::Codecs(codecs))) => self.feed(Input::Codecs(codecs)).await,
            Wake::Media(Some(PeerEvent::Narrowed { less, paused })) => self.feed(Input::Narrowed { less, paused }).await,
            Wake::Media(Some(PeerEvent::Quality(quality))) => self.feed(Input::Quality(quality)).await,
            Wake::Media(Some(PeerEvent::Lost) | None) => self.feed(Input::PeerLost).await,
            Wake::Timeout => self.feed(Input::Timeout).await,
            Wake::Stop => self.feed(Input::Shutdown).await,
        }
    }

    async fn feed(&mut self, input: Input<'_>) -> Life {
        let mut out = Vec::new();
        self.session.handle(Instant::now(), input, &mut out);
        self.carry_out(out).await
    }

    /// Carries out the machine's wishes in order, and those that the answers bring.
    async fn carry_out(&mut self, out: Vec<Output>) -> Life {
        let mut wishes = VecDeque::from(out);
        let mut more = Vec::new();
        // What one event tells is told whole: who enters a room of a thousand hears a thousand names before it can read one.
        let is_stuck = self.socket.as_ref().is_some_and(|socket| socket.is_stuck());
        while let Some(wish) = wishes.pop_front() {
            let answer = match wish {
                Output::Send(_) if is_stuck => self.socket.take().map(|_| Input::SocketClosed { code: None }),
                Output::Send(frame) => {
                    if let Some(socket) = &mut self.socket {
                        socket.send(frame);
                    }
                    None
                }
                Output::Authenticate(identify) => {
                    self.own_mailbox.take().map(|mailbox| match self.node.admit(&identify, mailbox) {
                        Ok((place, claims)) => {
                            let signed_at_ms = claims.signed_at_ms();
                            let VoiceClaims { participant, policy, token_id, epoch, issuer, .. } = claims;
                            let sitting = Sitting { participant, token_id, epoch, issuer, policy };
                            if let Some(socket) = &mut self.socket {
                                socket.belongs_to_somebody();
                            }
                            self.seat = Some(Seat { place, sitting, signed_at_ms });
                            Input::Admitted { policy }
                        }
                        Err(code) => Input::Refused(code),
                    })
                }
                Output::HandOver(resume) => match self.socket.take() {
                    Some(socket) => match self.node.hand_over(&resume, socket, self.version) {
                        Ok(()) => return Life::IsOver,
                        Err(socket) => {
                            self.socket = Some(socket);
                            Some(Input::Refused(CloseCode::SessionInvalid))
                        }
                    },
                    None => None,
                },
                Output::Join(policy) => self.join(policy).await,
                Output::ConnectNative { suite, claimed } => match &self.media {
                    Some(media) => {
                        let keyed = bounded(self.node.sfu.connect_native(media.peer, suite, claimed)).await;
                        Some(keyed.map_or_else(Input::EngineFailed, Input::Keyed))
                    }
                    None => None,
                },
                Output::ConnectWebRtc { offer } => match &self.media {
                    Some(media) => {
                        let answered = bounded(self.node.sfu.connect_webrtc(media.peer, offer)).await;
                        Some(answered.map_or_else(Input::EngineFailed, Input::Answered))
                    }
                    None => None,
                },
                Output::Enter { ssrc } => self.seat.as_ref().map(|seat| Input::Entered(self.node.enter(seat.place, ssrc))),
                Output::Speak(bits) => {
                    if let Some(seat) = &self.seat {
                        self.node.speak(seat.place, bits);
                    }
                    None
                }
                Output::Publish(video) => {
                    if let Some(seat) = &self.seat {
                        self.node.publish(seat.place, video);
                    }
                    None
                }
                Output::Watch(wanted) => match (&self.media, &self.seat) {
                    (Some(media), Some(seat)) => {
                        let wants = self.node.wants_of(seat.place, &wanted);
                        bounded(self.node.sfu.watch(media.peer, wants)).await.err().map(|_| Input::PeerLost)
                    }
                    _ => None,
                },
                Output::Pin(users) => match (&self.media, &self.seat) {
                    (Some(media), Some(seat)) => {
                        let speakers = self.node.peers_of(seat.place, &users);
                        bounded(self.node.sfu.pin(media.peer, &speakers)).await.err().map(|_| Input::PeerLost)
                    }
                    _ => None,
                },
                Output::SetPolicy(policy) => match &self.media {
                    // A policy that the engine does not take must not stay without effect.
                    Some(media) => bounded(self.node.sfu.set_policy(media.peer, policy)).await.err().map(|_| Input::PeerLost),
                    None => None,
                },
                Output::End { close, is_reported } => {
                    self.end(close, is_reported).await;
                    return Life::IsOver;
                }
            };
            if let Some(answer) = answer {
                self.session.handle(Instant::now(), answer, &mut more);
                wishes.extend(more.drain(..));
            }
        }
        Life::GoesOn
    }

    async fn join(&mut self, policy: Policy) -> Option<Input<'static>> {
        let seat = self.seat.as_ref()?;
        let (events_in, events) = mpsc::channel(limits::PEER_EVENTS);
        let room = RoomId(seat.place.channel_id.get());
        Some(match bounded(self.node.sfu.join(room, policy, events_in)).await {
            Ok(joined) => {
                self.media = Some(Media { peer: joined.peer, events });
                self.node.set_peer(seat.place, joined.peer);
                self.node.joined(seat.sitting.clone());
                let ice_servers = self.node.ice_servers(seat.place.user_id);
                Input::Joined { ssrc: joined.ssrc, address: joined.address, media_session_id: media_session_id(), ice_servers }
            }
            Err(code) => Input::EngineFailed(code),
        })
    }

    /// Media first: nobody who is out may be heard a moment longer than the room knows.
    async fn end(&mut self, close: Option<CloseCode>, is_reported: bool) {
        if let Some(media) = self.media.take()
            && let Err(error) = bounded(self.node.sfu.leave(media.peer)).await
        {
            tracing::debug!(?error, "the media engine had let go of a peer already");
        }
        if let Some(seat) = &self.seat {
            self.node.leave(seat.place);
        }
        if let Some(seat) = self.seat.take() {
            self.node.left(seat.sitting, is_reported);
        }
        if let (Some(mut socket), Some(code)) = (self.socket.take(), close) {
            if self.is_told_elsewhere && self.leaves_by_itself(&mut socket).await {
                return socket.answer_close().await;
            }
            socket.close(code).await;
        }
    }

    /// Whether a client that was moved or put out closes its socket itself once the main gateway has told it why. Ours waits for
    /// that: discord.py does not notice the gateway's word when both come in one turn of its event loop, and never follows
    /// to the room that it was moved to.
    async fn leaves_by_itself(&mut self, socket: &mut Socket) -> bool {
        let leaves = async { while !matches!(socket.next().await, Event::Closed { .. }) {} };
        tokio::select! {
            is_gone = tokio::time::timeout(limits::DISCONNECT_PAUSE, leaves) => is_gone.is_ok(),
            _ = self.stop.wait_for(|is_stopping| *is_stopping) => false,
        }
    }
}

/// One request to the media engine, with a bound, and the close code for its refusal.
async fn bounded<T>(request: impl Future<Output = Result<T, SfuError>>) -> Result<T, CloseCode> {
    match tokio::time::timeout(limits::ENGINE_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the media engine refused");
            Err(match error {
                SfuError::BadOffer(_) => CloseCode::BadRequest,
                SfuError::UnknownPeer => CloseCode::SessionInvalid,
                SfuError::RoomFull | SfuError::NodeFull | SfuError::Failed | SfuError::Stopped => CloseCode::ServerCrashed,
            })
        }
        Err(_) => {
            tracing::error!("the media engine did not answer in time");
            Err(CloseCode::ServerCrashed)
        }
    }
}

/// Opaque to clients; tells two connections of one user apart in their logs.
fn media_session_id() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's randomness is there once TLS works");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
