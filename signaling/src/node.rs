//! What all sessions of this node share: who sits where, which tokens are used up, and the ways to the media engine and the
//! control plane.
//!
//! The mutex is held for table look-ups and non-blocking sends only; media never waits for it.

use crate::limits;
use crate::rooms::{Listener, Occupant, Place, Rooms, TokenDigest};
use crate::session::RoomEvent;
use crate::socket::Socket;
use crate::tokens::Ledger;
use aws_lc_rs::digest;
use guildhall_protocol::UserId;
use guildhall_protocol::fleet::{FromNode, Policy, ToNode};
use guildhall_protocol::voice_gateway::{CloseCode, Identify, Resume};
use guildhall_protocol::voice_token::{VoiceClaims, VoiceKey};
use guildhall_sfu::{PeerId, Sfu};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, mpsc, watch};

/// What reaches a session's task from outside its socket.
pub enum Note {
    /// A new socket that resumes the session.
    Attach {
        socket: Box<Socket>,
        version: u8,
        seq_ack: Option<i64>,
    },
    Room(RoomEvent),
    Policy(Policy),
    /// Concerns connections whose token was signed before.
    Disconnect {
        as_of_ms: u64,
    },
    Replaced {
        is_same_participant: bool,
    },
}

pub type Mailbox = mpsc::Sender<Note>;

pub struct Node {
    pub sfu: Sfu,
    pub from_node: mpsc::Sender<FromNode>,
    /// True once the node stops; every session's task listens.
    pub stop: watch::Sender<bool>,
    pub sockets: Arc<Semaphore>,
    voice_key: VoiceKey,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    rooms: Rooms<Mailbox>,
    ledger: Ledger,
}

impl Node {
    pub fn new(sfu: Sfu, voice_key: VoiceKey, from_node: mpsc::Sender<FromNode>) -> Self {
        Self {
            sfu,
            from_node,
            stop: watch::Sender::new(false),
            sockets: Arc::new(Semaphore::new(limits::SOCKETS)),
            voice_key,
            desk: Mutex::default(),
        }
    }

    /// Checks the token, uses it up and seats its participant; an older session of the same user in that room is told to go.
    pub fn admit(&self, identify: &Identify, mailbox: Mailbox) -> Result<(Place, VoiceClaims), CloseCode> {
        let mut desk = self.desk();
        let claims = desk.ledger.admit(&self.voice_key, identify, unix_ms())?;
        let (place, replaced) = desk.rooms.seat(claims.participant.clone(), token_digest(&identify.token), mailbox);
        if let Some(replaced) = replaced {
            let is_same_participant = replaced.participant == claims.participant;
            // A full mailbox does as well: its last sender goes with `replaced`, and the session ends by that.
            let _ = replaced.handle.try_send(Note::Replaced { is_same_participant });
            tell(&mut desk, replaced.listeners, RoomEvent::Left(place.user_id));
        }
        Ok((place, claims))
    }

    /// Gives a resuming socket to the session that its token once opened; back it comes if there is none.
    pub fn hand_over(&self, resume: &Resume, socket: Box<Socket>, version: u8) -> Result<(), Box<Socket>> {
        let desk = self.desk();
        let found = desk.rooms.by_token(&token_digest(&resume.token)).filter(|(participant, _)| {
            participant.session_id == resume.session_id && resume.server_id == participant.guild_id.into()
        });
        let Some((_, mailbox)) = found else { return Err(socket) };
        mailbox.try_send(Note::Attach { socket, version, seq_ack: resume.seq_ack }).map_err(|error| match error.into_inner() {
            Note::Attach { socket, .. } => socket,
            _ => unreachable!("the channel gives back what it was given"),
        })
    }

    pub fn set_peer(&self, place: Place, peer: PeerId) {
        self.desk().rooms.set_peer(place, peer);
    }

    pub fn enter(&self, place: Place, ssrc: u32) -> Vec<Occupant> {
        let mut desk = self.desk();
        let (others, listeners) = desk.rooms.enter(place, ssrc);
        tell(&mut desk, listeners, RoomEvent::Entered(Occupant { user_id: place.user_id, ssrc, speaking: 0 }));
        others
    }

    pub fn speak(&self, place: Place, speaking: u8) {
        let mut desk = self.desk();
        if let Some((occupant, listeners)) = desk.rooms.speak(place, speaking) {
            tell(&mut desk, listeners, RoomEvent::Spoke(occupant));
        }
    }

    pub fn leave(&self, place: Place) {
        let mut desk = self.desk();
        let listeners = desk.rooms.leave(place);
        tell(&mut desk, listeners, RoomEvent::Left(place.user_id));
    }

    pub fn user_of(&self, place: Place, peer: PeerId) -> Option<UserId> {
        self.desk().rooms.user_of(place.channel_id, peer)
    }

    /// Follows the control plane until it goes away; sessions live on without it.
    pub async fn follow(&self, mut to_node: mpsc::Receiver<ToNode>) {
        while let Some(message) = to_node.recv().await {
            let mut desk = self.desk();
            let (participant, note) = match message {
                ToNode::SetPolicy { participant, policy } => (participant, Note::Policy(policy)),
                ToNode::Disconnect { participant, as_of_ms } => {
                    desk.ledger.void(participant.clone(), as_of_ms);
                    (participant, Note::Disconnect { as_of_ms })
                }
            };
            let Some((place, mailbox)) = desk.rooms.by_participant(&participant) else { continue };
            if mailbox.try_send(note).is_err() {
                evict(&mut desk, place);
            }
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("no code panics while it holds the desk")
    }
}

/// Tells each listener; who does not keep up loses its seat, and the others hear of that in turn.
fn tell(desk: &mut Desk, listeners: Vec<Listener<Mailbox>>, event: RoomEvent) {
    for (place, mailbox) in listeners {
        if mailbox.try_send(Note::Room(event)).is_err() {
            evict(desk, place);
        }
    }
}

/// Takes the seat of a session whose mailbox is full or whose task is gone. Its mailbox closes with the seat, which ends it.
fn evict(desk: &mut Desk, place: Place) {
    let listeners = desk.rooms.leave(place);
    tell(desk, listeners, RoomEvent::Left(place.user_id));
}

fn token_digest(token: &str) -> TokenDigest {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Tokens carry wall-clock expiry, because two processes must agree on it.
pub fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
