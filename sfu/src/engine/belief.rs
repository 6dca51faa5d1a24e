//! Who is where: checks, handshakes and discovery, what they prove, and what follows from it. The rules are in the head of
//! [`super`].

use super::demux;
use super::peer::{MAX_ADDRESSES, Media, Transport};
use super::room::sounds::Sounds;
use super::room::{Ear, Format, Listener};
use super::sink::Sink;
use super::slots::Slots;
use super::timers::Timer;
use super::{DISCOVERY_DELAYS, Egress, Engine, budget};
use crate::cipher::{Inbound, Outbound, RtcpInbound, RtcpOutbound};
use crate::quality::Collector;
use crate::replay::ReplayWindow;
use crate::sdp::{Local, Offer, Ssrcs};
use crate::stats::Reason;
use crate::webrtc::{self, Ended, Session};
use crate::{Answer, PeerEvent, SfuError};
use std::net::SocketAddr;
use std::time::Instant;
use str0m::ice::IceCreds;

impl Engine {
    pub(super) fn handle_stun(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        egress: &mut impl Egress,
    ) -> Result<(), Reason> {
        let ufrag = webrtc::local_ufrag(datagram).ok_or(Reason::BadStun)?;
        let key = *self.by_ufrag.get(ufrag).ok_or(Reason::UnknownUfrag)?;
        self.work_for(key);
        let peer = self.peer(key);
        let webrtc = peer.transport.webrtc().expect("a ufrag is a WebRTC peer's");
        let check = webrtc.session.verify(datagram).ok_or(Reason::BadStun)?;
        if webrtc.transactions.is_repeated(check.transaction) && !webrtc.addresses.contains(&from) {
            return Err(Reason::Replayed);
        }
        if !peer.allowances.control.spend(now, budget::CONTROL) {
            return Err(Reason::OverBudget);
        }
        webrtc.last_alive = now;
        self.prove(key, from);
        if check.is_nominating || self.webrtc(key).address.is_none() {
            self.follow(key, from);
        }
        self.drive(key, egress, |session, send| session.handle(now, from, datagram, send));
        self.start_media(now, key);
        Ok(())
    }

    /// A WebRTC peer showed that it is (also) at `from`. When it has been at too many, the oldest that is not in use makes room:
    /// a client that roams must not lock itself out.
    fn prove(&mut self, key: u32, from: SocketAddr) {
        let webrtc = self.webrtc(key);
        if webrtc.addresses.contains(&from) {
            return;
        }
        if webrtc.addresses.len() == MAX_ADDRESSES {
            let in_use = webrtc.address;
            let oldest = webrtc.addresses.iter().position(|&address| Some(address) != in_use).unwrap_or(0);
            let forgotten = webrtc.addresses.remove(oldest);
            self.by_address.remove(&forgotten);
        }
        self.claim_address(key, from);
        self.webrtc(key).addresses.push(from);
    }

    /// New ICE credentials for a peer whose media goes on.
    pub(super) fn restart_ice(&mut self, key: u32, offer: &Offer, creds: IceCreds) -> Result<Answer, SfuError> {
        let (addresses, fingerprint) = (self.addresses, self.identity.fingerprint.clone());
        let bitrate_bps = self.peer(key).policy.bitrate_bps;
        let webrtc = self.webrtc(key);
        let offered = (offer.slots().count(), offer.sound_slots().count(), offer.video_slots().count());
        if offered != (webrtc.slot_ssrcs.len(), webrtc.sound_ssrcs.len(), webrtc.video_ssrcs.len()) {
            return Err(SfuError::BadOffer("an ICE restart keeps the media sections"));
        }
        if webrtc.session.restart_ice(creds.clone(), offer).is_err() {
            self.drops.count(Reason::Panicked);
            self.lose(key);
            return Err(SfuError::Failed);
        }
        webrtc.sdp_session.1 += 1;
        let before = std::mem::replace(&mut webrtc.ufrag, creds.ufrag.clone());
        let (ufrag, password) = (creds.ufrag.as_str(), creds.pass.as_str());
        let session = webrtc.sdp_session;
        let local = Local { addresses, ufrag, password, fingerprint: &fingerprint, session, bitrate_bps };
        let ssrcs = Ssrcs { slots: &webrtc.slot_ssrcs, sounds: &webrtc.sound_ssrcs, videos: &webrtc.video_ssrcs };
        let sdp = offer.answer(&local, &ssrcs);
        let video_slots = webrtc.video_ssrcs.clone();
        self.by_ufrag.remove(&before);
        self.by_ufrag.insert(creds.ufrag, key);
        self.arm_handshake(key);
        Ok(Answer { sdp, video_slots })
    }

    pub(super) fn handle_dtls(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        egress: &mut impl Egress,
    ) -> Result<(), Reason> {
        // Only addresses with an authentic check are in the map as a WebRTC peer's, which is what keeps a stranger's
        // ClientHello from disturbing a handshake.
        let key = *self.by_address.get(&from).ok_or(Reason::UnknownAddress)?;
        self.work_for(key);
        let peer = self.peer(key);
        if peer.transport.webrtc().is_none() {
            return Err(Reason::Noise);
        }
        // Before any of it is looked at: nothing in a record says who sent it.
        if !peer.allowances.handshake.spend(now, budget::HANDSHAKE) {
            return Err(Reason::OverBudget);
        }
        self.drive(key, egress, |session, send| session.handle(now, from, datagram, send));
        self.start_media(now, key);
        Ok(())
    }

    /// Notes who asks; the answer follows after the first of [`DISCOVERY_DELAYS`]. One series of answers is on its way per
    /// SSRC, however often it is asked for: the last address that asked gets them.
    pub(super) fn handle_discovery(&mut self, now: Instant, from: SocketAddr, ssrc: u32) -> Result<(), Reason> {
        let key = *self.by_ssrc.get(&ssrc).ok_or(Reason::UnknownSsrc)?;
        self.work_for(key);
        let peer = self.peer(key);
        peer.discovered = Some(from);
        let (id, is_due) = (peer.id, peer.discovery_answers.is_some());
        // A client may repeat discovery after op 1, when the first answer was lost.
        if peer.transport.native().is_some_and(|native| native.claimed == from && native.address.is_none()) {
            self.believe_discovery(key, from);
        }
        if !is_due {
            self.peer(key).discovery_answers = Some(0);
            self.timers.arm(now + DISCOVERY_DELAYS[0], id, key, Timer::Discovery);
        }
        Ok(())
    }

    /// Tells who asked last where we see it, twice, and once more unless op 1 shows that it knows.
    pub(super) fn answer_discovery(&mut self, now: Instant, key: u32, egress: &mut impl Egress) {
        let peer = self.peer(key);
        let (Some(given), Some(to)) = (peer.discovery_answers.take(), peer.discovered) else { return };
        let is_known = !matches!(peer.transport, Transport::None);
        let is_its_own = peer.transport.native().is_some_and(|native| native.claimed == to);
        if is_known && (given > 1 || given == 1 && !is_its_own) {
            return;
        }
        let len = demux::write_discovery_response(egress.slot(), peer.ssrc, to);
        egress.commit(len, to);
        if let Some(&delay) = DISCOVERY_DELAYS.get(given + 1) {
            peer.discovery_answers = Some(given + 1);
            let id = peer.id;
            self.timers.arm(now + delay, id, key, Timer::Discovery);
        }
    }

    /// An authentic packet came from `from`: that is where the peer is now.
    #[inline]
    pub(super) fn follow(&mut self, key: u32, from: SocketAddr) {
        let peer = self.peers[key as usize].as_mut().expect("a mapped peer exists");
        let address = match &mut peer.transport {
            Transport::Native(native) => &mut native.address,
            Transport::Webrtc(webrtc) => &mut webrtc.address,
            Transport::None => return,
        };
        if *address == Some(from) {
            return;
        }
        let before = address.replace(from);
        let (room, listener, is_native) = (peer.room, peer.listener, matches!(peer.transport, Transport::Native(_)));
        if let Some(listener) = listener {
            self.room(room).listener(listener).set_address(from);
        }
        if !is_native {
            self.prove(key, from);
        }
        if is_native {
            if let Some(before) = before {
                self.by_address.remove(&before);
            }
            self.claim_address(key, from);
            self.start_native(key, from);
        }
    }

    /// Op 1's address and IP discovery agree. Not when someone else proved the address.
    pub(super) fn believe_discovery(&mut self, key: u32, address: SocketAddr) {
        if !self.by_address.contains_key(&address) {
            self.follow(key, address);
        }
    }

    /// Makes `address` the peer's; whoever had it before loses it.
    fn claim_address(&mut self, key: u32, address: SocketAddr) {
        let Some(before) = self.by_address.insert(address, key).filter(|&before| before != key) else { return };
        match &mut self.peer(before).transport {
            Transport::Webrtc(webrtc) => {
                // Its next check says where it is now.
                webrtc.addresses.retain(|&other| other != address);
                webrtc.address = webrtc.address.filter(|&current| current != address);
            }
            Transport::Native(native) => {
                // Its next packet says where it is now; op 1 does not any more.
                native.address = None;
                native.claimed = SocketAddr::from(([0, 0, 0, 0], 0));
                let outbound = self.remove_listener(before).map(Listener::into_outbound);
                if let Some(native) = self.peer(before).transport.native() {
                    native.outbound = outbound;
                }
            }
            Transport::None => {}
        }
    }

    /// The first belief in a native address: media can flow.
    fn start_native(&mut self, key: u32, address: SocketAddr) {
        let peer = self.peer(key);
        let (id, room, is_deafened, ssrc) = (peer.id, peer.room, peer.policy.is_deafened, peer.ssrc);
        let Some(outbound) = peer.transport.native().and_then(|native| native.outbound.take()) else { return };
        let listener = Listener::native(Ear { peer: key, ssrc, peer_id: id, address, outbound, is_deafened });
        let place = self.room(room).add(listener);
        self.peer(key).listener = Some(place);
        self.events.push((id, PeerEvent::Connected));
    }

    /// If DTLS just finished: media can flow.
    pub(super) fn start_media(&mut self, now: Instant, key: u32) {
        let peer = self.peer(key);
        let (id, room, is_deafened, ssrc) = (peer.id, peer.room, peer.policy.is_deafened, peer.ssrc);
        let Some(webrtc) = peer.transport.webrtc() else { return };
        let (None, Some(address), Some(keys)) = (&webrtc.media, webrtc.address, webrtc.session.keys()) else { return };
        let profile = keys.profile;
        let outbound = Outbound::srtp(profile, &keys.server.rtp);
        webrtc.media = Some(Media {
            inbound: Inbound::srtp(profile, &keys.client.rtp),
            window: ReplayWindow::new(0),
            rtcp_inbound: RtcpInbound::new(profile, &keys.client.rtcp),
            rtcp_window: ReplayWindow::new(0),
            rtcp_outbound: RtcpOutbound::new(profile, &keys.server.rtcp),
            reception: None,
            quality: Collector::default(),
            quality_told: now,
        });
        self.half_open.remove(&key);
        // A client that offered no slot only speaks.
        let webrtc = self.webrtc(key);
        if let Some(opus) = &webrtc.slot_opus {
            let format =
                Format { payload_type: opus.payload_type, red: opus.red, audio_level: opus.audio_level, repeats: opus.repeats };
            let slots = Slots::new(now, &webrtc.slot_ssrcs);
            let ear = Ear { peer: key, ssrc, peer_id: id, address, outbound, is_deafened };
            let sounds = webrtc.sound_payload_type.map(|payload_type| Sounds::new(now, payload_type, &webrtc.sound_ssrcs));
            let sink = || Sink::new(now, webrtc.video_formats, &webrtc.video_ssrcs).with_sounds(sounds);
            let sink = (!webrtc.video_ssrcs.is_empty()).then(sink);
            let listener = Listener::webrtc(ear, format, slots).with_sink(sink);
            let place = self.room(room).add(listener);
            self.peer(key).listener = Some(place);
            self.apply_pins(key);
            self.apply_wants(now, key);
        }
        self.events.push((id, PeerEvent::Connected));
    }

    /// Lets str0m work for one peer and gives the peer up when that fails.
    pub(super) fn drive<E: Egress>(
        &mut self,
        key: u32,
        egress: &mut E,
        run: impl FnOnce(&mut Session, &mut dyn FnMut(&[u8], SocketAddr)) -> Result<(), Ended>,
    ) {
        let mut send = |datagram: &[u8], to: SocketAddr| {
            let slot = egress.slot();
            if datagram.len() <= slot.len() {
                slot[..datagram.len()].copy_from_slice(datagram);
                egress.commit(datagram.len(), to);
            }
        };
        match run(&mut self.webrtc(key).session, &mut send) {
            Ok(()) => self.arm_handshake(key),
            Err(ended) => {
                match ended {
                    Ended::Closed => {}
                    Ended::Refused(why) => {
                        self.drops.count(Reason::HandshakeFailed);
                        let peer = self.peer(key).id.0;
                        // Once for a session, whose offer was authorized: nobody can fill a log with it.
                        tracing::info!(peer, why, "a DTLS handshake failed");
                    }
                    Ended::Panicked => self.drops.count(Reason::Panicked),
                }
                self.lose(key);
            }
        }
    }

    pub(super) fn arm_handshake(&mut self, key: u32) {
        let peer = self.peer(key);
        let id = peer.id;
        let Some(webrtc) = peer.transport.webrtc() else { return };
        let at = webrtc.session.next_timeout();
        if peer.handshake_armed.is_none_or(|armed| at < armed) {
            peer.handshake_armed = Some(at);
            self.timers.arm(at, id, key, Timer::Handshake);
        }
    }
}
