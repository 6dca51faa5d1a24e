//! The rooms of this node: who has a seat, how to reach its session, and whom a change concerns.
//!
//! Pure: methods answer with the handles to tell, the caller tells them. `H` is the mailbox of a session's task, and a
//! number in tests.

use guildhall_protocol::fleet::Participant;
use guildhall_protocol::voice_gateway::Published;
use guildhall_protocol::{ChannelId, UserId};
use guildhall_sfu::PeerId;
use std::collections::HashMap;

/// SHA-256 of a voice token: enough to find its session for a resume, useless to whoever reads the memory.
pub type TokenDigest = [u8; 32];

/// One seating of one user in one room. A takeover makes a new one, so that the old session cannot disturb it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub channel_id: ChannelId,
    pub user_id: UserId,
    number: u64,
}

/// Someone whose media can be heard, as others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupant {
    pub user_id: UserId,
    /// The native SSRC.
    pub ssrc: u32,
    /// Bits of op 5.
    pub speaking: u8,
    /// What of its video may be shown.
    pub video: Published,
}

/// A listener to be told of something.
pub type Listener<H> = (Place, H);

/// A session that lost its seat to a newer one of the same user.
pub struct Replaced<H> {
    pub participant: Participant,
    pub handle: H,
    /// Who heard of it, and must hear that it left. Empty if it never connected.
    pub listeners: Vec<Listener<H>>,
}

pub struct Rooms<H> {
    rooms: HashMap<ChannelId, HashMap<UserId, Seat<H>>>,
    tokens: HashMap<TokenDigest, Place>,
    /// Who sits where, by the media engine's name: in a large room every change of speakers asks for every listener.
    peers: HashMap<PeerId, Place>,
    next_number: u64,
}

struct Seat<H> {
    place: Place,
    participant: Participant,
    token: TokenDigest,
    handle: H,
    peer: Option<PeerId>,
    /// Present once its transport is connected.
    occupant: Option<Occupant>,
}

impl<H> Default for Rooms<H> {
    fn default() -> Self {
        Self { rooms: HashMap::new(), tokens: HashMap::new(), peers: HashMap::new(), next_number: 0 }
    }
}

impl<H: Clone> Rooms<H> {
    /// Seats a participant, in place of an older session of the same user in the same room.
    pub fn seat(&mut self, participant: Participant, token: TokenDigest, handle: H) -> (Place, Option<Replaced<H>>) {
        let number = self.next_number;
        self.next_number += 1;
        let place = Place { channel_id: participant.channel_id, user_id: participant.user_id, number };
        let old = self.rooms.get(&place.channel_id).and_then(|room| room.get(&place.user_id)).map(|seat| seat.place);
        let replaced = old.and_then(|old| self.remove(old)).map(|seat| Replaced {
            listeners: if seat.occupant.is_some() { self.listeners(seat.place) } else { Vec::new() },
            participant: seat.participant,
            handle: seat.handle,
        });
        let seat = Seat { place, participant, token, handle, peer: None, occupant: None };
        self.rooms.entry(place.channel_id).or_default().insert(place.user_id, seat);
        self.tokens.insert(token, place);
        (place, replaced)
    }

    /// Says which media peer sits there, so that slot events find its user.
    pub fn set_peer(&mut self, place: Place, peer: PeerId) {
        if let Some(seat) = self.seat_mut(place) {
            seat.peer = Some(peer);
            self.peers.insert(peer, place);
        }
    }

    /// The participant is connected, silent yet: who is there already, and who must be told.
    pub fn enter(&mut self, place: Place, ssrc: u32) -> (Vec<Occupant>, Vec<Listener<H>>) {
        let Some(seat) = self.seat_mut(place) else { return (Vec::new(), Vec::new()) };
        seat.occupant = Some(Occupant { user_id: place.user_id, ssrc, speaking: 0, video: Published::NOTHING });
        let room = &self.rooms[&place.channel_id];
        let others = room.values().filter(|seat| seat.place != place).filter_map(|seat| seat.occupant).collect();
        (others, self.listeners(place))
    }

    /// New speaking bits: who must be told, and as what.
    pub fn speak(&mut self, place: Place, speaking: u8) -> Option<(Occupant, Vec<Listener<H>>)> {
        let occupant = self.seat_mut(place)?.occupant.as_mut()?;
        occupant.speaking = speaking;
        let occupant = *occupant;
        Some((occupant, self.listeners(place)))
    }

    /// Other videos than before: who must be told, and as what.
    pub fn publish(&mut self, place: Place, video: Published) -> Option<(Occupant, Vec<Listener<H>>)> {
        let occupant = self.seat_mut(place)?.occupant.as_mut()?;
        occupant.video = video;
        let occupant = *occupant;
        Some((occupant, self.listeners(place)))
    }

    /// Frees the seat; answers who must be told. A seat that was taken over is not this one's to free.
    pub fn leave(&mut self, place: Place) -> Vec<Listener<H>> {
        match self.remove(place) {
            Some(seat) if seat.occupant.is_some() => self.listeners(place),
            _ => Vec::new(),
        }
    }

    pub fn by_participant(&self, participant: &Participant) -> Option<(Place, &H)> {
        let seat = self.rooms.get(&participant.channel_id)?.get(&participant.user_id)?;
        (seat.participant == *participant).then_some((seat.place, &seat.handle))
    }

    /// Whether nobody has a seat there.
    pub fn is_empty(&self, room: ChannelId) -> bool {
        !self.rooms.contains_key(&room)
    }

    /// Everyone with a seat there, connected or not.
    pub fn everyone_in(&self, room: ChannelId) -> Vec<Listener<H>> {
        let Some(room) = self.rooms.get(&room) else { return Vec::new() };
        room.values().map(|seat| (seat.place, seat.handle.clone())).collect()
    }

    pub fn by_token(&self, token: &TokenDigest) -> Option<(&Participant, &H)> {
        let place = self.tokens.get(token)?;
        let seat = self.rooms.get(&place.channel_id)?.get(&place.user_id)?;
        Some((&seat.participant, &seat.handle))
    }

    pub fn user_of(&self, channel_id: ChannelId, peer: PeerId) -> Option<UserId> {
        self.peers.get(&peer).filter(|place| place.channel_id == channel_id).map(|place| place.user_id)
    }

    /// The media engine's name of someone in the room.
    pub fn peer_of(&self, channel_id: ChannelId, user_id: UserId) -> Option<PeerId> {
        self.rooms.get(&channel_id)?.get(&user_id)?.peer
    }

    /// The connected others of a room. Those who are not connected yet learn of everyone when they enter.
    fn listeners(&self, except: Place) -> Vec<Listener<H>> {
        let Some(room) = self.rooms.get(&except.channel_id) else { return Vec::new() };
        let others = room.values().filter(|seat| seat.place != except && seat.occupant.is_some());
        others.map(|seat| (seat.place, seat.handle.clone())).collect()
    }

    fn seat_mut(&mut self, place: Place) -> Option<&mut Seat<H>> {
        self.rooms.get_mut(&place.channel_id)?.get_mut(&place.user_id).filter(|seat| seat.place == place)
    }

    fn remove(&mut self, place: Place) -> Option<Seat<H>> {
        let room = self.rooms.get_mut(&place.channel_id)?;
        if room.get(&place.user_id)?.place != place {
            return None;
        }
        let seat = room.remove(&place.user_id)?;
        if room.is_empty() {
            self.rooms.remove(&place.channel_id);
        }
        self.tokens.remove(&seat.token);
        if let Some(peer) = seat.peer {
            self.peers.remove(&peer);
        }
        Some(seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_protocol::GuildId;

    fn participant(channel: u64, user: u64, session: &str) -> Participant {
        Participant {
            guild_id: GuildId::new(1),
            channel_id: ChannelId::new(channel),
            user_id: UserId::new(user),
            session_id: session.into(),
        }
    }

    fn handles(listeners: Vec<Listener<u32>>) -> Vec<u32> {
        let mut handles: Vec<u32> = listeners.into_iter().map(|(_, handle)| handle).collect();
        handles.sort_unstable();
        handles
    }

    #[test]
    fn only_connected_others_of_the_same_room_hear_of_a_change() {
        let mut rooms = Rooms::default();
        let (ann, _) = rooms.seat(participant(10, 1, "a"), [1; 32], 1);
        let (bob, _) = rooms.seat(participant(10, 2, "b"), [2; 32], 2);
        let (eve, _) = rooms.seat(participant(11, 3, "e"), [3; 32], 3);
        assert_eq!(rooms.enter(eve, 300).0, []);
        let (others, told) = rooms.enter(ann, 100);
        assert_eq!((others, handles(told)), (vec![], vec![]), "bob is seated but not connected");
        rooms.speak(ann, 1);
        let (others, told) = rooms.enter(bob, 200);
        let ann_as_seen = Occupant { user_id: UserId::new(1), ssrc: 100, speaking: 1, video: Published::NOTHING };
        assert_eq!((others, handles(told)), (vec![ann_as_seen], vec![1]));
        let (spoke, told) = rooms.speak(bob, 5).unwrap();
        assert_eq!((spoke.ssrc, spoke.speaking, handles(told)), (200, 5, vec![1]));
        let camera = Published { camera: true, screen: false };
        let (shows, told) = rooms.publish(bob, camera).unwrap();
        assert_eq!((shows.video, shows.speaking, handles(told)), (camera, 5, vec![1]));
        rooms.set_peer(bob, PeerId(9));
        assert_eq!(rooms.peer_of(ChannelId::new(10), UserId::new(2)), Some(PeerId(9)));
        assert_eq!(rooms.peer_of(ChannelId::new(11), UserId::new(2)), None, "not in this room");
        assert_eq!(handles(rooms.leave(ann)), [2]);
        assert_eq!(handles(rooms.leave(ann)), [] as [u32; 0], "leaving twice tells nobody");
        assert!(rooms.speak(ann, 1).is_none());
        rooms.leave(bob);
        rooms.leave(eve);
        assert!(rooms.rooms.is_empty() && rooms.tokens.is_empty() && rooms.peers.is_empty());
    }

    #[test]
    fn a_newer_session_takes_the_seat_and_the_old_one_cannot_disturb_it() {
        let mut rooms = Rooms::default();
        let (other, _) = rooms.seat(participant(10, 1, "a"), [1; 32], 1);
        rooms.enter(other, 100);
        let (old, replaced) = rooms.seat(participant(10, 2, "b"), [2; 32], 2);
        assert!(replaced.is_none());
        rooms.enter(old, 200);
        let (new, replaced) = rooms.seat(participant(10, 2, "b"), [3; 32], 3);
        let replaced = replaced.unwrap();
        assert_eq!((replaced.handle, handles(replaced.listeners)), (2, vec![1]));
        assert!(rooms.by_token(&[2; 32]).is_none(), "the old token resumes nothing");
        rooms.set_peer(old, PeerId(7));
        assert!(rooms.leave(old).is_empty());
        assert_eq!(rooms.user_of(ChannelId::new(10), PeerId(7)), None);
        rooms.set_peer(new, PeerId(8));
        assert_eq!(rooms.user_of(ChannelId::new(10), PeerId(8)), Some(UserId::new(2)));
        assert_eq!(rooms.by_token(&[3; 32]).map(|(_, handle)| *handle), Some(3));
        assert_eq!(rooms.by_participant(&participant(10, 2, "b")), Some((new, &3)));
        assert_eq!(rooms.by_participant(&participant(10, 2, "c")), None);
    }
}
