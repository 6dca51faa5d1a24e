//! What all sessions of this node share: who sits where, which rooms are ours, which tokens are used up, and the ways to the
//! media engine and the control planes.
//!
//! Everything that control planes hear is said under the same lock that changes it, so that a new line's first word and what
//! follows it fit together.
//!
//! The mutex is held for table look-ups and non-blocking sends only; media never waits for it.

use crate::limits;
use crate::lines::Lines;
use crate::recorder::{Counters, Recorders};
use crate::rooms::{Listener, Occupant, Place, Rooms, TokenDigest};
use crate::session::{RoomEvent, Wanted};
use crate::socket::Socket;
use crate::streams::Streams;
use crate::tokens::Ledger;
use crate::turn::Turn;
use aws_lc_rs::digest;
use guildhall_fleet::lease::Ownership;
use guildhall_protocol::fleet::{Epoch, FromNode, Hello, Policy, Sitting, ToNode, Way, is_probe};
use guildhall_protocol::voice_gateway::{CloseCode, IceServer, Identify, Published, Resume};
use guildhall_protocol::voice_token::{VoiceClaims, VoiceKey};
use guildhall_protocol::{ChannelId, RecordingId, UserId};
use guildhall_sfu::{PeerId, Sfu, Want};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
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
    /// Moved or put out, as the main gateway says in the same moment. Concerns connections whose token was signed before.
    Disconnect {
        as_of_ms: u64,
    },
    /// The room is on another node, where the main gateway has sent everyone before.
    Closed,
    Replaced {
        is_same_participant: bool,
    },
}

pub type Mailbox = mpsc::Sender<Note>;

pub struct Node {
    pub sfu: Sfu,
    hello: Hello,
    /// True once the node stops; every session's task listens.
    pub stop: watch::Sender<bool>,
    pub sockets: Arc<Semaphore>,
    turn: Option<Turn>,
    pub streams: Streams,
    /// What recorders count.
    pub recorded: Counters,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    rooms: Rooms<Mailbox>,
    ledger: Ledger,
    /// Of the control planes that were heard of; the newest last.
    keys: Vec<VoiceKey>,
    owned: Ownership,
    /// Owned rooms that nobody sits in, and since when.
    vacant: HashMap<ChannelId, Instant>,
    /// Who was reported as joined and not yet as left.
    sittings: HashMap<(ChannelId, UserId), Sitting>,
    lines: Lines,
    recorders: Recorders,
}

impl Node {
    pub fn new(sfu: Sfu, hello: Hello, turn: Option<Turn>) -> Self {
        Self {
            sfu,
            hello,
            stop: watch::Sender::new(false),
            sockets: Arc::new(Semaphore::new(limits::SOCKETS)),
            turn,
            streams: Streams::default(),
            recorded: Counters::default(),
            desk: Mutex::default(),
        }
    }

    /// Checks the token, uses it up and seats its participant; an older session of the same user in that room is told to go.
    pub fn admit(&self, identify: &Identify, mailbox: Mailbox) -> Result<(Place, VoiceClaims), CloseCode> {
        let mut desk = self.desk();
        let Desk { ledger, keys, .. } = &mut *desk;
        let claims = ledger.admit(keys, &self.hello.id, identify, unix_ms())?;
        desk.seat(claims, &identify.token, mailbox)
    }

    /// The same for a program that has nothing but the token.
    pub fn admit_stream(&self, token: &str, mailbox: Mailbox) -> Result<(Place, VoiceClaims, Way), CloseCode> {
        let mut desk = self.desk();
        let Desk { ledger, keys, .. } = &mut *desk;
        let (claims, way) = ledger.admit_stream(keys, &self.hello.id, token, unix_ms())?;
        let (place, claims) = desk.seat(claims, token, mailbox)?;
        Ok((place, claims, way))
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

    /// The relays that a participant may use.
    pub fn ice_servers(&self, user: UserId) -> Vec<IceServer> {
        self.turn.iter().map(|turn| turn.servers(user, Duration::from_millis(unix_ms()))).collect()
    }

    pub fn enter(&self, place: Place, ssrc: u32) -> Vec<Occupant> {
        let mut desk = self.desk();
        let (others, listeners) = desk.rooms.enter(place, ssrc);
        let video = Published::NOTHING;
        tell(&mut desk, listeners, RoomEvent::Entered(Occupant { user_id: place.user_id, ssrc, speaking: 0, video }));
        others
    }

    pub fn speak(&self, place: Place, speaking: u8) {
        let mut desk = self.desk();
        if let Some((occupant, listeners)) = desk.rooms.speak(place, speaking) {
            tell(&mut desk, listeners, RoomEvent::Spoke(occupant));
        }
    }

    pub fn publish(&self, place: Place, video: Published) {
        let mut desk = self.desk();
        if let Some((occupant, listeners)) = desk.rooms.publish(place, video) {
            tell(&mut desk, listeners, RoomEvent::Published(occupant));
        }
    }

    pub fn leave(&self, place: Place) {
        leave(&mut self.desk(), place);
    }

    /// Tells the control planes of a connection. Those of probe calls are known to whoever makes them, and concern nobody else.
    pub fn joined(&self, sitting: Sitting) {
        if is_probe(sitting.participant.channel_id) {
            return;
        }
        let mut desk = self.desk();
        desk.sittings.insert(seat_of(&sitting), sitting.clone());
        desk.lines.tell(FromNode::Joined(sitting));
    }

    /// A connection has ended; the control planes are told unless they know.
    pub fn left(&self, sitting: Sitting, is_reported: bool) {
        if is_probe(sitting.participant.channel_id) {
            return;
        }
        let mut desk = self.desk();
        let seat = seat_of(&sitting);
        // A newer connection in the same seat stays.
        if desk.sittings.get(&seat).is_some_and(|present| present.token_id == sitting.token_id) {
            desk.sittings.remove(&seat);
        }
        if is_reported {
            desk.lines.tell(FromNode::Left(sitting));
        }
    }

    /// What the media engine is to show; whoever is not there is left out.
    pub fn wants_of(&self, place: Place, wanted: &[Wanted]) -> Vec<Want> {
        let desk = self.desk();
        let known = wanted.iter().filter_map(|&Wanted { slot, user_id, source, pixels, is_focus }| {
            let publisher = desk.rooms.peer_of(place.channel_id, user_id)?;
            Some(Want { slot, publisher, source, pixels, is_focus })
        });
        known.collect()
    }

    /// Those of these users who are there.
    pub fn peers_of(&self, place: Place, users: &[UserId]) -> Vec<PeerId> {
        let desk = self.desk();
        users.iter().filter_map(|&user| desk.rooms.peer_of(place.channel_id, user)).collect()
    }

    pub fn user_of(&self, room: ChannelId, peer: PeerId) -> Option<UserId> {
        self.desk().rooms.user_of(room, peer)
    }

    /// A line to a control plane, which first hears all that there is. Whatever happens from now on it hears as well.
    pub fn open_line(&self, to_control: mpsc::Sender<FromNode>) -> u64 {
        let mut desk = self.desk();
        let rooms = desk.owned.iter().collect();
        let sittings = desk.sittings.values().cloned().collect();
        desk.lines.open(to_control, FromNode::Hello { hello: self.hello.clone(), rooms, sittings })
    }

    pub fn close_line(&self, number: u64) {
        self.desk().lines.close(number);
    }

    /// Tells one control plane, unless it does not keep up: then the message comes back.
    pub fn report_to(&self, line: u64, message: FromNode) -> Option<FromNode> {
        self.desk().lines.tell_one(line, message)
    }

    pub fn recorder_ended(&self, recording: RecordingId) {
        self.desk().recorders.ended(recording);
    }

    /// Tells every control plane.
    pub fn report(&self, message: FromNode) {
        self.desk().lines.tell(message);
    }

    /// Peers that were reported to control planes.
    pub fn sittings(&self) -> usize {
        self.desk().sittings.len()
    }

    pub fn hear(self: &Arc<Self>, line: u64, message: ToNode) {
        let mut desk = self.desk();
        let (participant, note) = match message {
            ToNode::Welcome { voice_key } => return desk.learn(voice_key.0),
            ToNode::Open { room, epoch } => {
                if desk.owned.accept(room, epoch) {
                    if desk.rooms.is_empty(room) {
                        desk.vacant.entry(room).or_insert_with(Instant::now);
                    }
                    desk.lines.tell(FromNode::Opened { room, epoch });
                }
                return;
            }
            ToNode::Close { room, epoch } => return desk.close(room, epoch),
            ToNode::Record(record) => return desk.recorders.hear(self, line, record),
            ToNode::SetPolicy { participant, policy } => {
                if let Some(sitting) = desk.sittings.get_mut(&(participant.channel_id, participant.user_id)) {
                    sitting.policy = policy;
                }
                (participant, Note::Policy(policy))
            }
            ToNode::Disconnect { participant, as_of_ms } => {
                desk.ledger.void(participant.clone(), as_of_ms);
                (participant, Note::Disconnect { as_of_ms })
            }
        };
        let Some((place, mailbox)) = desk.rooms.by_participant(&participant) else { return };
        if mailbox.try_send(note).is_err() {
            evict(&mut desk, place);
        }
    }

    /// Gives up rooms that have been empty for long.
    pub fn end_vacant(&self, now: Instant) {
        let mut desk = self.desk();
        let Desk { owned, vacant, lines, .. } = &mut *desk;
        vacant.retain(|room, since| {
            if now.saturating_duration_since(*since) < limits::VACANCY {
                return true;
            }
            if let Some(epoch) = owned.end(*room) {
                lines.tell(FromNode::Ended { room: *room, epoch });
            }
            false
        });
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("no code panics while it holds the desk")
    }
}

impl Desk {
    /// Gives whom a used token names their seat; an older session of theirs in that room is told to go.
    fn seat(&mut self, claims: VoiceClaims, token: &str, mailbox: Mailbox) -> Result<(Place, VoiceClaims), CloseCode> {
        let room = claims.participant.channel_id;
        // A probe call's room is nobody's, and ends with the call.
        if !is_probe(room) && !self.owned.accept(room, claims.epoch) {
            return Err(CloseCode::SessionInvalid);
        }
        self.vacant.remove(&room);
        let (place, replaced) = self.rooms.seat(claims.participant.clone(), token_digest(token), mailbox);
        if let Some(replaced) = replaced {
            let is_same_participant = replaced.participant == claims.participant;
            // A full mailbox does as well: its last sender goes with `replaced`, and the session ends by that.
            let _ = replaced.handle.try_send(Note::Replaced { is_same_participant });
            tell(self, replaced.listeners, RoomEvent::Left(place.user_id));
        }
        Ok((place, claims))
    }

    /// A control plane's key. Which one signed a token is found by trying: there are few.
    fn learn(&mut self, secret: [u8; 32]) {
        self.keys.retain(|known| known.secret().0 != secret);
        if self.keys.len() >= limits::VOICE_KEYS {
            self.keys.remove(0);
        }
        self.keys.push(VoiceKey::new(&secret));
    }

    /// Another node has the room. Nobody is told that it ended: it did not.
    fn close(&mut self, room: ChannelId, epoch: Epoch) {
        if !self.owned.supersede(room, epoch) {
            return;
        }
        self.vacant.remove(&room);
        for (place, mailbox) in self.rooms.everyone_in(room) {
            if mailbox.try_send(Note::Closed).is_err() {
                evict(self, place);
            }
        }
    }
}

fn seat_of(sitting: &Sitting) -> (ChannelId, UserId) {
    (sitting.participant.channel_id, sitting.participant.user_id)
}

fn leave(desk: &mut Desk, place: Place) {
    let listeners = desk.rooms.leave(place);
    tell(desk, listeners, RoomEvent::Left(place.user_id));
    if desk.rooms.is_empty(place.channel_id) && desk.owned.epoch(place.channel_id).is_some() {
        desk.vacant.entry(place.channel_id).or_insert_with(Instant::now);
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
    leave(desk, place);
}

fn token_digest(token: &str) -> TokenDigest {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Tokens carry wall-clock expiry, because two processes must agree on it.
pub fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
