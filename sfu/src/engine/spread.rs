//! A room that is larger than one worker's budget: a *home*, where its speakers are chosen, and *branches* on other workers,
//! where more of its people sit. A peer lives whole on one worker; what crosses between workers are values.
//!
//! - A packet of a speaker on a branch goes to the home once, decrypted, after all that its own worker has to say about it
//!   (authentic, fresh, allowed, within its bitrate, not silence).
//! - The home gives the speaker its place, forwards to its own listeners, and hands the packet once to each branch, with the
//!   order of all speakers; so a branch that missed some knows all again with the next. The branch writes and seals the copies
//!   of its listeners.
//! - A branch tells the home when it begins and ends, and who fell silent; the home tells all branches the latter.
//! - What somebody shows has a *mirror* on every other part ([`mirrors`]).
//!
//! Parcels of one worker for another arrive in the order in which they were handed over. Those that carry media may be lost
//! when the other does not keep up (that is counted), pictures before voices; the others are kept until there is room.

use super::activity::Spoken;
use super::room::{Frame, Ledger, Room};
use super::speakers::MAX_SPEAKERS;
use super::{Egress, Engine, MAX_PAYLOAD};
use crate::stats::Reason;
use crate::video::{Codecs, Source};
use crate::{PeerId, RoomId};
use mirrors::{Facts, Name, Wish};
use pieces::Piece;
use std::time::Instant;

pub mod mirrors;
mod pieces;

/// Parcels with media that wait to be taken from an engine: a whole receive batch of audio for seven branches, and what of it
/// may be pictures, so that these never take the place of voices. What is beyond is lost. 1 MB in an engine that has a part of a
/// room that is spread.
const MAX_WAITING: usize = 640;
const MAX_PICTURES_WAITING: usize = 512;

/// One life of a room, from its first member to its last: what is still on its way when it ends does not reach the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    pub room: RoomId,
    pub number: u64,
}

/// What of a room an engine has. Workers are named by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Home,
    Branch { home: usize },
}

/// What a home knows of a branch.
pub struct Branch {
    pub worker: usize,
    /// The codecs that everybody decodes who is shown videos there, and what it was told of all others.
    pub decoded: Codecs,
    pub told: Codecs,
}

/// What one worker's engine has for another's.
pub struct Parcel {
    life: Life,
    what: What,
}

// What queues of them take is stated where these are.
const _: () = assert!(size_of::<Parcel>() <= 1_712);

/// Parcels lie in preallocated queues, and nearly all are packets.
#[allow(clippy::large_enum_variant)]
enum What {
    /// A branch begins.
    Attach,
    /// It ends.
    Detach,
    /// Nothing is heard of this speaker for now.
    Silent { speaker: u32 },
    /// To the home: somebody said this. To a branch: with its place in the room.
    Packet(Packet),
    /// To a branch, whose beginning the home heard of: it begins to learn what others show.
    Welcome,
    /// All who sit on other parts decode these, as far as the other knows.
    Decoded(Codecs),
    /// Somebody shows this. `is_certain`: something of it is new, and not its bitrate alone.
    Facts { name: Name, facts: Facts, is_certain: bool },
    /// And does not any more.
    Ended(Name),
    /// To where it comes from: what of it is wanted.
    Wish { name: Name, wish: Wish },
    /// A packet of it.
    Piece(Piece),
    /// Nothing is heard of this screen for now.
    Hush(Name),
    /// To the home: whoever films needs a key frame.
    Refresh { publisher: PeerId, source: Source },
}

/// A frame by value.
struct Packet {
    speaker: u32,
    speaker_id: PeerId,
    is_priority: bool,
    spoken: Spoken,
    timestamp: u32,
    marker: bool,
    audio_level: Option<u8>,
    newest: usize,
    labelled: Option<u8>,
    order: Option<Order>,
    len: usize,
    payload: [u8; MAX_PAYLOAD],
}

/// Every speaker of a room, from the first place, when a packet was forwarded, and the place of its own.
#[derive(Clone, Copy)]
pub struct Order {
    pub place: u8,
    count: u8,
    speakers: [u32; MAX_SPEAKERS],
}

impl Order {
    /// More speakers than [`MAX_SPEAKERS`] there are none.
    pub fn new(place: u8, all: impl Iterator<Item = u32>) -> Order {
        let mut order = Order { place, count: 0, speakers: [0; MAX_SPEAKERS] };
        for (to, speaker) in order.speakers.iter_mut().zip(all) {
            *to = speaker;
            order.count += 1;
        }
        order
    }

    pub fn speakers(&self) -> &[u32] {
        &self.speakers[..usize::from(self.count)]
    }
}

impl Packet {
    fn new(frame: &Frame, order: Option<Order>) -> Packet {
        let mut payload = [0; MAX_PAYLOAD];
        payload[..frame.payload.len()].copy_from_slice(frame.payload);
        Packet {
            speaker: frame.speaker,
            speaker_id: frame.speaker_id,
            is_priority: frame.is_priority,
            spoken: frame.spoken,
            timestamp: frame.timestamp,
            marker: frame.marker,
            audio_level: frame.audio_level,
            newest: frame.newest,
            labelled: frame.labelled,
            order,
            len: frame.payload.len(),
            payload,
        }
    }

    fn frame(&mut self) -> Frame<'_> {
        Frame {
            speaker: self.speaker,
            speaker_id: self.speaker_id,
            // Its listener, if it has one, is on another worker, or found by the order.
            listener: None,
            is_priority: self.is_priority,
            spoken: self.spoken,
            timestamp: self.timestamp,
            marker: self.marker,
            audio_level: self.audio_level,
            payload: &mut self.payload[..self.len],
            newest: self.newest,
            labelled: self.labelled,
        }
    }
}

impl Parcel {
    /// Whether it may be lost: a packet like any other, or what is said again in a moment.
    pub fn may_be_lost(&self) -> bool {
        matches!(self.what, What::Packet(_) | What::Piece(_) | What::Facts { is_certain: false, .. })
    }

    /// Whether it is a packet of something that is shown.
    pub fn is_picture(&self) -> bool {
        matches!(self.what, What::Piece(_))
    }
}

/// What a room has for its other parts, until its engine takes it, with the workers that they are on.
#[derive(Default)]
pub struct Letters(Vec<(usize, What)>);

/// What an engine has for others, until its worker takes it.
#[derive(Default)]
pub struct Parcels(Vec<(usize, Parcel)>);

impl Parcels {
    /// So that no packet needs memory.
    #[cold]
    fn prepare(&mut self) {
        self.0.reserve(MAX_WAITING.saturating_sub(self.0.len()));
    }

    fn tell(&mut self, worker: usize, life: Life, what: What) {
        self.0.push((worker, Parcel { life, what }));
    }

    /// `false` when there is no room.
    fn hand(&mut self, worker: usize, life: Life, frame: &Frame, order: Option<Order>) -> bool {
        let has_room = self.0.len() < MAX_WAITING;
        if has_room {
            self.0.push((worker, Parcel { life, what: What::Packet(Packet::new(frame, order)) }));
        }
        has_room
    }

    /// As for what is said; pictures are shorter of room.
    fn hand_piece(&mut self, worker: usize, life: Life, piece: impl FnOnce() -> Piece) -> bool {
        let has_room = self.0.len() < MAX_PICTURES_WAITING;
        if has_room {
            self.0.push((worker, Parcel { life, what: What::Piece(piece()) }));
        }
        has_room
    }

    /// Takes what a room has written.
    #[inline]
    pub fn post(&mut self, life: Life, letters: &mut Letters) {
        if !letters.0.is_empty() {
            self.0.extend(letters.0.drain(..).map(|(worker, what)| (worker, Parcel { life, what })));
        }
    }
}

impl Room {
    /// Takes a packet of someone who sits here. `false`: the room has no place for its speaker.
    #[inline]
    pub fn hear(&mut self, now: Instant, frame: &mut Frame, egress: &mut impl Egress, ledger: &mut Ledger) -> bool {
        match self.part {
            Part::Home => self.forward(now, frame, egress, ledger),
            Part::Branch { home } => {
                // A home that has no place for the speaker counts that; here nobody waits for its answer.
                let is_handed = ledger.parcels.hand(home, self.life, frame, None);
                ledger.drops.add(Reason::HandoverFull, u64::from(!is_handed));
                true
            }
        }
    }

    /// Hands a packet that was forwarded here to all branches.
    #[cold]
    pub(super) fn hand_on(&self, place: u8, frame: &Frame, ledger: &mut Ledger) {
        let order = self.order(place);
        for branch in &self.branches {
            let is_handed = ledger.parcels.hand(branch.worker, self.life, frame, Some(order));
            ledger.drops.add(Reason::HandoverFull, u64::from(!is_handed));
        }
    }
}

impl Engine {
    /// What is for other workers' engines, in order; to be taken after every step.
    pub fn take_parcels(&mut self) -> std::vec::Drain<'_, (usize, Parcel)> {
        self.parcels.0.drain(..)
    }

    /// Takes what the engine of worker `from` had for this one.
    pub fn handle_parcel(&mut self, now: Instant, from: usize, parcel: &mut Parcel, egress: &mut impl Egress) {
        let outcome = self.contain(|engine| engine.open_parcel(now, from, parcel, egress));
        if let Some(Err(reason)) = outcome {
            self.drops.count(reason);
        }
    }

    fn open_parcel(&mut self, now: Instant, from: usize, parcel: &mut Parcel, egress: &mut impl Egress) -> Result<(), Reason> {
        let life = parcel.life;
        let index = match (&parcel.what, self.by_room.get(&life)) {
            (What::Attach, _) => self.open_room(life, Part::Home),
            (_, Some(&index)) => index,
            (What::Packet(_) | What::Piece(_), None) => return Err(Reason::RoomGone),
            // The last word of a branch about its people comes back to it when it is gone.
            _ => return Ok(()),
        };
        let room = self.rooms[index].as_mut().expect("a room in the map exists");
        match &mut parcel.what {
            What::Attach => {
                self.parcels.prepare();
                room.attach(now, from);
            }
            What::Detach => {
                room.detach(from);
                self.run_errands(now, index);
                self.close_if_empty(index);
                return Ok(());
            }
            What::Silent { speaker } => {
                room.silence(*speaker, &mut self.events);
                for branch in &room.branches {
                    self.parcels.tell(branch.worker, life, What::Silent { speaker: *speaker });
                }
            }
            What::Packet(packet) => return self.open_packet(now, index, packet, egress),
            What::Piece(piece) => self.open_piece(now, index, piece, egress)?,
            letter => room.read(now, from, letter),
        }
        self.run_errands(now, index);
        Ok(())
    }

    /// Forwards what was said on another part of a room.
    fn open_packet(&mut self, now: Instant, room: usize, packet: &mut Packet, egress: &mut impl Egress) -> Result<(), Reason> {
        let room = self.rooms[room].as_mut().expect("a room in the map exists");
        let order = packet.order;
        let mut frame = packet.frame();
        let mut ledger =
            Ledger { traffic: &mut self.traffic, drops: &mut self.drops, events: &mut self.events, parcels: &mut self.parcels };
        match order {
            Some(order) => {
                room.follow(&order);
                room.deliver(now, order.place, &mut frame, egress, &mut ledger);
            }
            None => {
                if !room.forward(now, &mut frame, egress, &mut ledger) {
                    return Err(Reason::TooManySpeakers);
                }
            }
        }
        Ok(())
    }

    /// Where the room is in the table; a branch that is made tells its home.
    pub(super) fn open_room(&mut self, life: Life, part: Part) -> usize {
        if let Some(&index) = self.by_room.get(&life) {
            return index;
        }
        if let Part::Branch { home } = part {
            self.parcels.prepare();
            self.parcels.tell(home, life, What::Attach);
        }
        let mut made = Room::new(life, part);
        made.is_taped = self.taped.contains(&life.room);
        made.is_filmed = part == Part::Home && self.filmed.contains(&life.room);
        made.ceiling = self.ceiling;
        let made = Some(made);
        let index = match self.free_rooms.pop() {
            Some(index) => {
                self.rooms[index] = made;
                index
            }
            None => {
                self.rooms.push(made);
                self.rooms.len() - 1
            }
        };
        self.by_room.insert(life, index);
        index
    }

    /// A room without members is gone, unless it has branches.
    pub(super) fn close_if_empty(&mut self, index: usize) {
        let room = self.room(index);
        let (life, part) = (room.life, room.part);
        if room.members > 0 || !room.branches.is_empty() {
            return;
        }
        if let Part::Branch { home } = part {
            self.parcels.tell(home, life, What::Detach);
        }
        self.by_room.remove(&life);
        self.rooms[index] = None;
        self.free_rooms.push(index);
    }

    /// Nothing is heard of this speaker for now, wherever its listeners are.
    pub(super) fn silence(&mut self, key: u32) {
        let peer = self.peers[key as usize].as_ref().expect("a mapped peer exists");
        let speaker = peer.ssrc;
        let room = self.rooms[peer.room].as_mut().expect("a peer's room exists");
        match room.part {
            Part::Home => {
                room.silence(speaker, &mut self.events);
                for branch in &room.branches {
                    self.parcels.tell(branch.worker, room.life, What::Silent { speaker });
                }
            }
            // The home passes it on to all, this one too: what it has handed over before comes before it.
            Part::Branch { home } => self.parcels.tell(home, room.life, What::Silent { speaker }),
        }
    }
}

#[cfg(test)]
mod tests;
