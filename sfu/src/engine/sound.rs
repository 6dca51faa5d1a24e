//! The sound of a screen: what a publisher's computer plays, for those who watch the screen and nobody else. It is no speech: it
//! takes no place among the speakers, is not measured, its silences are sent, and muting oneself leaves it on; whoever is
//! muted by the server is heard in neither way. Native clients watch nothing and do not get it.

use super::peer::Transport;
use super::room::sounds::Sounding;
use super::{Egress, Engine, MAX_PAYLOAD, budget};
use crate::cipher::OpenError;
use crate::replay::ReplayWindow;
use crate::rtcp::{self, Reception};
use crate::rtp::Header;
use crate::sdp::{SOUND_BITRATE_BPS, Upstream};
use crate::stats::Reason;
use guildhall_protocol::fleet::Policy;
use std::net::SocketAddr;
use std::time::Instant;

/// One publisher's stream of it.
pub struct Sound {
    pub ssrc: u32,
    payload_type: u8,
    /// Where the screen is in the room that it is of.
    stage: usize,
    window: ReplayWindow,
    reception: Option<Reception>,
}

/// Whether somebody's screen may be heard.
pub fn may_sound(policy: &Policy) -> bool {
    policy.can_stream && policy.can_speak
}

impl Sound {
    /// `None`: its offer does not name the SSRC.
    pub fn new(offered: &Upstream, stage: usize) -> Option<Sound> {
        let (ssrc, payload_type) = (offered.ssrc?, offered.opus.payload_type);
        Some(Sound { ssrc, payload_type, stage, window: ReplayWindow::new(0), reception: None })
    }

    /// What to report about, once it came.
    pub fn reception(&mut self) -> Option<(u32, &mut Reception)> {
        Some((self.ssrc, self.reception.as_mut()?))
    }
}

impl Engine {
    #[inline]
    pub(super) fn handle_sound(
        &mut self,
        now: Instant,
        key: u32,
        from: SocketAddr,
        header: &Header,
        datagram: &mut [u8],
        egress: &mut impl Egress,
    ) -> Result<(), Reason> {
        let peer = self.peers[key as usize].as_mut().expect("a mapped peer exists");
        let Transport::Webrtc(webrtc) = &mut peer.transport else { return Err(Reason::BeforeKeys) };
        let (Some(media), Some(sound)) = (&webrtc.media, &mut webrtc.sound) else { return Err(Reason::BeforeKeys) };
        if header.payload_type != sound.payload_type {
            return Err(Reason::WrongPayloadType);
        }
        let window = &mut sound.window;
        let index = window.estimate(header.sequence).filter(|&index| window.is_fresh(index)).ok_or(Reason::Replayed)?;
        let opened = media.inbound.open(datagram, header, index).map_err(|error| match error {
            OpenError::Malformed => Reason::Malformed,
            OpenError::WrongTag => Reason::WrongTag,
        })?;
        // From here on the packet is authentic.
        let is_newest = window.highest().is_none_or(|highest| index > highest);
        window.accept(index);
        match &mut sound.reception {
            Some(reception) => reception.on_packet(now, index, header.timestamp),
            None => sound.reception = Some(Reception::new(now, rtcp::AUDIO_CLOCK_HZ, index, header.timestamp)),
        }
        webrtc.last_alive = now;
        let stage = sound.stage;
        if is_newest {
            self.follow(key, from);
        }
        let peer = self.peers[key as usize].as_mut().expect("a mapped peer exists");
        let room = self.rooms[peer.room].as_mut().expect("a peer's room exists");
        if !peer.policy.can_stream {
            return Err(Reason::MayNotStream);
        }
        if !peer.policy.can_speak {
            return Err(Reason::Muted);
        }
        if !peer.allowances.sound.spend(now, budget::AUDIO) {
            return Err(Reason::OverBudget);
        }
        let payload = &datagram[opened.payload];
        if payload.is_empty() || payload.len() > MAX_PAYLOAD {
            return Err(if payload.is_empty() { Reason::Malformed } else { Reason::Oversized });
        }
        peer.sound_bitrate.admit(now, Some(SOUND_BITRATE_BPS), payload.len(), 0).ok_or(Reason::OverBitrate)?;
        self.traffic.audio_in += 1;
        let sounding = Sounding { index, timestamp: header.timestamp, marker: header.marker, payload };
        self.traffic.audio_out += room.resound(now, stage, &sounding, egress, &mut self.events);
        if room.is_spread() {
            room.pass_sound_on(stage, &sounding, &mut self.parcels, &mut self.drops);
            if room.link_sound(stage) {
                let id = peer.id;
                self.call(now, id, key);
            }
        }
        Ok(())
    }

    /// Nothing is heard of the peer's screen for now.
    pub(super) fn silence_sound(&mut self, key: u32) {
        let peer = self.peers[key as usize].as_mut().expect("a mapped peer exists");
        if let Some(stage) = peer.transport.webrtc().and_then(|webrtc| Some(webrtc.sound.as_ref()?.stage)) {
            let room = self.rooms[peer.room].as_mut().expect("a peer's room exists");
            room.hush(stage, &mut self.events);
            room.tell_hush(stage);
            self.parcels.post(room.life, &mut room.errands.letters);
        }
    }
}
