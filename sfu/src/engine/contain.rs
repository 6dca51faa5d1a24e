//! One bad peer ends alone: whatever panics while the engine works for a peer, in our code or in a library's, ends that peer
//! and nobody else. The rest of the engine goes on with the state it had.
//!
//! While it works, the engine notes whom it works for ([`Engine::work_for`]). After a panic nothing of that peer is trusted or
//! run again: whatever names it is searched for and removed ([`Engine::bury`]), which is slow and rare.

use super::Engine;
use super::peer::Transport;
use crate::PeerEvent;
use crate::stats::Reason;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Engine {
    /// Notes that what follows is done for this peer. In tests, this is where an injected fault strikes.
    #[inline]
    pub(super) fn work_for(&mut self, key: u32) {
        self.at_work_for = Some(key);
        #[cfg(test)]
        if self.fault == Some(key) {
            self.fault = None;
            panic!("a fault that the test injected");
        }
    }

    /// Does a piece of work. `None` after a panic: the peer that it was for is given up. A panic on behalf of nobody (there is
    /// no code for that) only raises the counter.
    #[inline]
    pub(super) fn contain<T>(&mut self, work: impl FnOnce(&mut Engine) -> T) -> Option<T> {
        self.at_work_for = None;
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(done) => Some(done),
            Err(_) => {
                self.drops.count(Reason::Panicked);
                if let Some(key) = self.at_work_for.take() {
                    // A second panic leaves the peer half buried: without transport and unreachable, which is enough.
                    let _ = catch_unwind(AssertUnwindSafe(|| self.bury(key)));
                }
                None
            }
        }
    }

    /// Takes the transport of a peer whose state may be broken, and tells its signaling that it is lost. Its place in the room
    /// stays until signaling answers with a leave, as after every loss.
    #[cold]
    fn bury(&mut self, key: u32) {
        let Some(peer) = self.peers.get_mut(key as usize).and_then(Option::as_mut) else { return };
        let transport = std::mem::replace(&mut peer.transport, Transport::None);
        (peer.listener, peer.handshake_armed, peer.discovered) = (None, None, None);
        let (id, room) = (peer.id, peer.room);
        self.by_address.retain(|_, owner| *owner != key);
        self.by_ufrag.retain(|_, owner| *owner != key);
        self.by_upstream.retain(|_, owner| *owner != key);
        self.half_open.remove(&key);
        self.events.push((id, PeerEvent::Lost));
        self.silence(key);
        if let Some(room) = self.rooms.get_mut(room).and_then(Option::as_mut) {
            room.bury(key);
            // Where the others' listeners are now.
            for (place, owner) in room.owners().enumerate() {
                if let Some(peer) = self.peers.get_mut(owner as usize).and_then(Option::as_mut) {
                    peer.listener = Some(place);
                }
            }
        }
        self.tell_errands(room);
        // Last: dropping what is broken may panic again.
        drop(transport);
    }
}
