//! The shell of one program's session: from its offer until it is deleted, replaced, sent away or lost.

use super::offer::{Fragment, facing, fragment_of};
use super::program::{Input, Media, Output, Program};
use super::table::{Errand, Session};
use crate::limits;
use crate::node::{Node, Note};
use crate::rooms::Place;
use axum::http::StatusCode;
use guildhall_protocol::fleet::{Policy, Sitting, Way};
use guildhall_protocol::voice_gateway::{CloseCode, Published, VideoSource};
use guildhall_protocol::voice_token::VoiceClaims;
use guildhall_sfu::sdp::Offer;
use guildhall_sfu::{PeerEvent, PeerId, RoomId, SfuError};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

/// What a client is told that got in.
#[derive(Debug)]
pub struct Opened {
    pub id: String,
    pub etag: String,
    pub sdp: String,
}

/// Why a client did not get what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub message: &'static str,
}

/// What became of a PATCH.
#[derive(Debug)]
pub enum Patched {
    /// There was nothing to do: candidates need no answer.
    Heard,
    Restarted {
        etag: String,
        fragment: String,
    },
    Refused(Refusal),
}

const fn refusal(status: StatusCode, message: &'static str) -> Refusal {
    Refusal { status, message }
}

const FULL: Refusal = refusal(StatusCode::SERVICE_UNAVAILABLE, "This voice node is full.");
const BROKEN: Refusal = refusal(StatusCode::SERVICE_UNAVAILABLE, "The media engine cannot take this now.");

impl From<CloseCode> for Refusal {
    /// Why a token does not let in.
    fn from(code: CloseCode) -> Self {
        match code {
            CloseCode::AuthenticationFailed => refusal(StatusCode::UNAUTHORIZED, "The token is not one of ours."),
            CloseCode::RateLimited => FULL,
            _ => refusal(
                StatusCode::UNAUTHORIZED,
                "The token was used or is not valid any more: offer again where you were sent from.",
            ),
        }
    }
}

/// What a token was exchanged for.
struct Seat {
    node: Arc<Node>,
    place: Place,
    way: Way,
    sitting: Sitting,
    signed_at_ms: u64,
    mailbox: mpsc::Receiver<Note>,
    /// Its share of [`limits::SOCKETS`].
    _permit: OwnedSemaphorePermit,
}

struct Task {
    seat: Seat,
    program: Program,
    peer: PeerId,
    ssrc: u32,
    events: mpsc::Receiver<PeerEvent>,
    /// As it was taken, to be changed by a restart.
    offer: String,
    restarts: u32,
    id: String,
}

/// What woke the task.
enum Wake {
    Note(Option<Note>),
    Media(Option<PeerEvent>),
    Errand(Errand),
    Stop,
}

/// How a session ends.
struct End {
    /// Whether the control plane is to be told.
    is_reported: bool,
    /// Who waits for it to be over.
    reply: Option<oneshot::Sender<()>>,
}

const TOLD: End = End { is_reported: true, reply: None };
const UNTOLD: End = End { is_reported: false, reply: None };

/// Takes an offer; the session lives on in a task of its own.
pub async fn open(node: &Arc<Node>, token: &str, offer: &str) -> Result<Opened, Refusal> {
    let permit = match Arc::clone(&node.sockets).try_acquire_owned() {
        Ok(permit) if !*node.stop.borrow() => permit,
        _ => return Err(FULL),
    };
    // Before the token is used up: whoever offers nonsense may try again.
    Offer::parse(offer).map_err(|why| refusal(StatusCode::BAD_REQUEST, why))?;
    let (mailbox_in, mailbox) = mpsc::channel(limits::MAILBOX_NOTES);
    let (place, claims, way) = node.admit_stream(token, mailbox_in)?;
    let signed_at_ms = claims.signed_at_ms();
    let VoiceClaims { participant, policy, token_id, epoch, issuer, .. } = claims;
    let sitting = Sitting { participant, token_id, epoch, issuer, policy };
    let seat = Seat { node: Arc::clone(node), place, way, sitting, signed_at_ms, mailbox, _permit: permit };
    let (reply, answer) = oneshot::channel();
    // The seat is taken now, and a client that goes away while it waits must not leave it so.
    tokio::spawn(serve(seat, facing(offer, way), reply));
    answer.await.unwrap_or(Err(BROKEN))
}

async fn serve(seat: Seat, offer: String, reply: oneshot::Sender<Result<Opened, Refusal>>) {
    // Who waits for the answer may have gone; the session notices where that matters.
    let _ = match Task::join(seat, offer).await {
        Ok(mut task) => match task.connect(task.offer.clone()).await {
            Ok(sdp) => return task.run(sdp, reply).await,
            Err(refusal) => {
                task.end(TOLD).await;
                reply.send(Err(refusal))
            }
        },
        Err(refusal) => reply.send(Err(refusal)),
    };
}

/// What of an offer counts, if it is enough.
fn media_of(offer: &Offer, way: Way) -> Result<Media, Refusal> {
    let mut video = Published::NOTHING;
    for track in offer.video_tracks() {
        match track.source {
            VideoSource::Camera => video.camera = true,
            VideoSource::Screen => video.screen = true,
        }
    }
    let has_audio = match way {
        Way::Whip => offer.upstream().is_some(),
        Way::Whep => offer.slots().next().is_some(),
    };
    let media = Media { has_audio, video, video_slots: offer.video_slots().count() as u8 };
    let unusable = |message| Err(refusal(StatusCode::UNPROCESSABLE_ENTITY, message));
    match way {
        Way::Whip if !has_audio && video == Published::NOTHING => {
            unusable("There is nothing to publish: offer to send Opus, VP8, H.264, VP9 or AV1.")
        }
        Way::Whep if !has_audio => unusable("There is nothing to hear with: offer to receive Opus."),
        _ => Ok(media),
    }
}

impl Task {
    /// A place in the media engine.
    async fn join(seat: Seat, offer: String) -> Result<Self, Refusal> {
        let node = Arc::clone(&seat.node);
        let (events_in, events) = mpsc::channel(limits::PEER_EVENTS);
        let room = RoomId(seat.place.channel_id.get());
        let joined = async {
            let read = Offer::parse(&offer).map_err(|why| refusal(StatusCode::BAD_REQUEST, why))?;
            let media = media_of(&read, seat.way)?;
            Ok::<_, Refusal>((media, bounded(node.sfu.join(room, grant(seat.sitting.policy), events_in)).await?))
        };
        let (media, joined) = joined.await.inspect_err(|_| node.leave(seat.place))?;
        node.set_peer(seat.place, joined.peer);
        node.joined(seat.sitting.clone());
        let program = Program::new(seat.way, media, seat.sitting.policy);
        Ok(Self { seat, program, peer: joined.peer, ssrc: joined.ssrc, events, offer, restarts: 0, id: secret() })
    }

    /// The answer to an offer.
    async fn connect(&mut self, offer: String) -> Result<String, Refusal> {
        let answer = bounded(self.seat.node.sfu.connect_webrtc(self.peer, offer)).await?;
        Ok(answer.sdp)
    }

    async fn run(mut self, sdp: String, reply: oneshot::Sender<Result<Opened, Refusal>>) {
        let (session, errands) = Session::new();
        let stop = self.seat.node.stop.subscribe();
        self.seat.node.streams.add(self.id.clone(), session);
        let opened = Opened { id: self.id.clone(), etag: self.etag(), sdp };
        let Err(end) = self.live(errands, stop, reply, opened).await;
        self.seat.node.streams.remove(&self.id);
        self.end(end).await;
    }

    async fn live(
        &mut self,
        mut errands: mpsc::Receiver<Errand>,
        mut stop: watch::Receiver<bool>,
        reply: oneshot::Sender<Result<Opened, Refusal>>,
        opened: Opened,
    ) -> Result<Infallible, End> {
        // First the others are told whose media this is: once the answer is out, it may come.
        let others = self.seat.node.enter(self.seat.place, self.ssrc);
        self.feed(Input::Entered(others)).await?;
        // Without the answer nobody can connect, nor end the session.
        reply.send(Ok(opened)).map_err(|_| TOLD)?;
        loop {
            let wake = tokio::select! {
                note = self.seat.mailbox.recv() => Wake::Note(note),
                event = self.events.recv() => Wake::Media(event),
                // The table holds the other end for as long as this runs.
                Some(errand) = errands.recv() => Wake::Errand(errand),
                _ = stop.wait_for(|is_stopping| *is_stopping) => Wake::Stop,
            };
            match wake {
                Wake::Note(note) => self.on_note(note).await?,
                Wake::Media(event) => self.on_event(event).await?,
                Wake::Errand(errand) => self.on_errand(errand).await?,
                Wake::Stop => return Err(UNTOLD),
            }
        }
    }

    async fn on_note(&mut self, note: Option<Note>) -> Result<(), End> {
        match note {
            Some(Note::Room(event)) => self.feed(Input::Room(event)).await,
            Some(Note::Policy(policy)) => self.feed(Input::Policy(policy)).await,
            // A voice socket has nothing to resume here, and closes.
            Some(Note::Attach { .. }) => Ok(()),
            // Meant for a connection before this one, whose token is older.
            Some(Note::Disconnect { as_of_ms }) if self.seat.signed_at_ms >= as_of_ms => Ok(()),
            Some(Note::Disconnect { .. } | Note::Closed) => Err(UNTOLD),
            Some(Note::Replaced { is_same_participant }) => Err(End { is_reported: !is_same_participant, reply: None }),
            None => Err(TOLD),
        }
    }

    async fn on_event(&mut self, event: Option<PeerEvent>) -> Result<(), End> {
        match event {
            Some(PeerEvent::Slot { speaker, .. }) => {
                let speaker = speaker.and_then(|peer| self.seat.node.user_of(self.seat.place.channel_id, peer));
                self.feed(Input::Heard(speaker)).await
            }
            // What nobody wants to see cannot be switched off, and nobody is told why a picture is small: the protocol has no word
            // for either.
            Some(PeerEvent::Connected | PeerEvent::Quality(_) | PeerEvent::Shown { .. } | PeerEvent::Layers { .. }) => Ok(()),
            // Whose sound a player gets is that of the picture that it gets.
            // And a program that publishes sends what it was answered.
            Some(PeerEvent::Narrowed { .. } | PeerEvent::Sound { .. } | PeerEvent::Codecs(_)) => Ok(()),
            Some(PeerEvent::Lost) | None => Err(TOLD),
        }
    }

    async fn on_errand(&mut self, errand: Errand) -> Result<(), End> {
        match errand {
            Errand::End { reply } => Err(End { is_reported: true, reply: Some(reply) }),
            Errand::Patch { condition, fragment, reply } => {
                let patched = self.patch(&condition, &fragment).await.unwrap_or_else(Patched::Refused);
                // Who asked may have gone; what was done is done.
                let _ = reply.send(patched);
                Ok(())
            }
        }
    }

    /// RFC 9725 §4.3: candidates are meant for the present ICE session, a restart for any.
    async fn patch(&mut self, condition: &str, fragment: &Fragment) -> Result<Patched, Refusal> {
        let is_present = condition == self.etag();
        if !is_present && condition != "*" {
            return Err(refusal(StatusCode::PRECONDITION_FAILED, "There is another ICE session by now."));
        }
        if fragment.is_of(&self.offer) {
            return Ok(Patched::Heard);
        }
        let offer = fragment.put_into(&self.offer);
        let answer = self.connect(offer.clone()).await?;
        self.offer = offer;
        self.restarts += 1;
        Ok(Patched::Restarted { etag: self.etag(), fragment: fragment_of(&answer) })
    }

    /// Names the present ICE session.
    fn etag(&self) -> String {
        format!("\"{}\"", self.restarts)
    }

    async fn feed(&mut self, input: Input) -> Result<(), End> {
        let mut out = Vec::new();
        self.program.handle(input, &mut out);
        let Seat { node, place, .. } = &self.seat;
        for wish in out {
            match wish {
                Output::Speak(bits) => node.speak(*place, bits),
                Output::Publish(video) => node.publish(*place, video),
                Output::Watch(wanted) => {
                    let wants = node.wants_of(*place, &wanted);
                    bounded(node.sfu.watch(self.peer, wants)).await.map_err(|_| TOLD)?;
                }
                // A policy that the engine does not take must not stay without effect.
                Output::SetPolicy(policy) => bounded(node.sfu.set_policy(self.peer, grant(policy))).await.map_err(|_| TOLD)?,
            }
        }
        Ok(())
    }

    /// Media first: nobody who is out may be heard a moment longer than the room knows.
    async fn end(self, end: End) {
        let Seat { node, place, sitting, .. } = self.seat;
        if let Err(refusal) = bounded(node.sfu.leave(self.peer)).await {
            tracing::debug!(?refusal, "the media engine had let go of a peer already");
        }
        node.leave(place);
        node.left(sitting, end.is_reported);
        if let Some(reply) = end.reply {
            let _ = reply.send(());
        }
    }
}

/// One request to the media engine, with a bound.
async fn bounded<T>(request: impl Future<Output = Result<T, SfuError>>) -> Result<T, Refusal> {
    match tokio::time::timeout(limits::ENGINE_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(SfuError::BadOffer(why))) => Err(refusal(StatusCode::BAD_REQUEST, why)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the media engine refused");
            Err(BROKEN)
        }
        Err(_) => {
            tracing::error!("the media engine did not answer in time");
            Err(BROKEN)
        }
    }
}

/// The name of a session, which is all that it takes to end it.
fn secret() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's randomness is there once TLS works");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the media engine is to let a program do. It has no key to hold down: it never asks for priority.
fn grant(policy: Policy) -> Policy {
    Policy { is_priority: false, ..policy }
}
