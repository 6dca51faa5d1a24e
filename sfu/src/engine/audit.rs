//! Whether the engine's tables agree with each other. Tests and fuzzers ask after every step; nothing else does.

use super::Engine;
use super::peer::Transport;

impl Engine {
    /// The first contradiction between the tables, in words.
    pub fn audit(&self) -> Result<(), String> {
        let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let peer_at = |key: u32| self.peers.get(key as usize).and_then(Option::as_ref);
        let living = self.peers.iter().flatten().count();
        check(living == self.by_id.len(), "every peer has one entry by id")?;
        check(living == self.by_ssrc.len(), "every peer has one entry by SSRC")?;
        check(living + self.free_peers.len() == self.peers.len(), "every place is a peer's or free")?;
        for (&id, &key) in &self.by_id {
            check(peer_at(key).is_some_and(|peer| peer.id == id), "an id leads to its peer")?;
        }
        for (&ssrc, &key) in &self.by_ssrc {
            check(peer_at(key).is_some_and(|peer| peer.ssrc == ssrc), "an SSRC leads to its peer")?;
        }
        for (address, &key) in &self.by_address {
            let is_known = peer_at(key).is_some_and(|peer| match &peer.transport {
                Transport::None => false,
                Transport::Native(native) => native.address == Some(*address),
                Transport::Webrtc(webrtc) => webrtc.addresses.contains(address),
            });
            check(is_known, "an address leads to a peer that proved it")?;
        }
        for (ufrag, &key) in &self.by_ufrag {
            let is_known = peer_at(key).is_some_and(|peer| match &peer.transport {
                Transport::Webrtc(webrtc) => webrtc.ufrag == *ufrag,
                _ => false,
            });
            check(is_known, "a user name leads to its peer")?;
        }
        for &key in &self.half_open {
            let is_open = peer_at(key).is_some_and(|peer| match &peer.transport {
                Transport::Webrtc(webrtc) => webrtc.media.is_none(),
                _ => false,
            });
            check(is_open, "a half-open handshake is a WebRTC peer's without media")?;
        }
        for (&ssrc, &key) in &self.by_upstream {
            let is_sent = peer_at(key).is_some_and(|peer| match &peer.transport {
                Transport::Webrtc(webrtc) => webrtc.upstream.as_ref().is_some_and(|upstream| upstream.ssrc == Some(ssrc)),
                _ => false,
            });
            check(is_sent, "an SSRC that a client chose leads to it")?;
        }
        let mut listeners = 0;
        for (key, peer) in self.peers.iter().enumerate().filter_map(|(key, peer)| Some((key as u32, peer.as_ref()?))) {
            let room = self.rooms.get(peer.room).and_then(Option::as_ref);
            check(room.is_some(), "a peer's room exists")?;
            if let (Some(place), Some(room)) = (peer.listener, room) {
                listeners += 1;
                check(room.owners().nth(place) == Some(key), "a listener's place is its peer's")?;
            }
            let (addresses, is_half_open) = match &peer.transport {
                Transport::None => (&[][..], false),
                Transport::Native(native) => (native.address.as_slice(), false),
                Transport::Webrtc(webrtc) => {
                    let in_use = webrtc.address.is_none_or(|address| webrtc.addresses.contains(&address));
                    check(in_use, "the address in use was proved")?;
                    (webrtc.addresses.as_slice(), webrtc.media.is_none())
                }
            };
            for address in addresses {
                check(self.by_address.get(address) == Some(&key), "what a peer proved is its own")?;
            }
            check(self.half_open.contains(&key) == is_half_open, "every handshake under way is counted")?;
        }
        let rooms: Vec<_> = self.rooms.iter().flatten().collect();
        check(rooms.len() == self.by_room.len(), "every room has one entry by id")?;
        check(rooms.iter().map(|room| room.members).sum::<usize>() == living, "every peer is a member of one room")?;
        check(rooms.iter().all(|room| room.members > 0 || !room.branches.is_empty()), "an empty room is gone")?;
        check(rooms.iter().all(|room| room.agrees()), "whoever listens knows the place of its own speech")?;
        check(rooms.iter().map(|room| room.owners().count()).sum::<usize>() == listeners, "every listener has its peer")
    }
}
