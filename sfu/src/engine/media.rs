//! RTP and RTCP: whose it may be, whether it is authentic and fresh, what its sender may do; then the room forwards it.

use super::peer::Transport;
use super::room::{Frame, Ledger};
use super::slots::FREE_AFTER;
use super::timers::Timer;
use super::{Egress, Engine, MAX_PAYLOAD, budget};
use crate::Heard;
use crate::bandwidth::feedback::find_remb;
use crate::cipher::OpenError;
use crate::red;
use crate::rtcp::{self, Feedback, Reception};
use crate::rtp::{self, Header, NATIVE_OPUS};
use crate::stats::Reason;
use std::net::SocketAddr;
use std::time::Instant;

/// The id that native clients always use for the audio level (their extension ids are fixed).
const NATIVE_AUDIO_LEVEL: u8 = 1;

impl Engine {
    #[inline]
    pub(super) fn handle_rtp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
        egress: &mut impl Egress,
    ) -> Result<(), Reason> {
        let header = Header::parse(datagram).ok_or(Reason::Malformed)?;
        let key = self.sender_of(from, header.ssrc)?;
        self.work_for(key);
        let peer = self.peers[key as usize].as_mut().expect("a mapped peer exists");
        // The payload type of Opus inside, when this is redundant audio.
        let mut redundant = None;
        let (inbound, window, level_id, reception) = match &mut peer.transport {
            Transport::None => return Err(Reason::BeforeKeys),
            Transport::Native(native) => {
                if header.payload_type != NATIVE_OPUS {
                    return Err(Reason::WrongPayloadType);
                }
                (&native.inbound, &mut native.window, Some(NATIVE_AUDIO_LEVEL), None)
            }
            Transport::Webrtc(webrtc) => {
                if webrtc.publisher.as_ref().is_some_and(|publisher| publisher.carries(header.payload_type)) {
                    return self.handle_video(now, key, from, &header, datagram, egress);
                }
                if webrtc.sound.as_ref().is_some_and(|sound| sound.ssrc == header.ssrc) {
                    return self.handle_sound(now, key, from, &header, datagram, egress);
                }
                let media = webrtc.media.as_mut().ok_or(Reason::BeforeKeys)?;
                let upstream = webrtc.upstream.as_ref().ok_or(Reason::WrongSsrc)?;
                if upstream.ssrc.is_some_and(|ssrc| ssrc != header.ssrc) {
                    return Err(Reason::WrongSsrc);
                }
                if upstream.opus.red == Some(header.payload_type) {
                    redundant = Some(upstream.opus.payload_type);
                } else if header.payload_type != upstream.opus.payload_type {
                    return Err(Reason::WrongPayloadType);
                }
                (&media.inbound, &mut media.window, upstream.opus.audio_level, Some(&mut media.reception))
            }
        };
        let index = window.estimate(header.sequence).filter(|&index| window.is_fresh(index)).ok_or(Reason::Replayed)?;
        let opened = inbound.open(datagram, &header, index).map_err(|error| match error {
            OpenError::Malformed => Reason::Malformed,
            OpenError::WrongTag => Reason::WrongTag,
        })?;
        // From here on the packet is authentic.
        let is_newest = window.highest().is_none_or(|highest| index > highest);
        window.accept(index);
        if let Some(reception) = reception {
            match reception {
                Some(reception) => reception.on_packet(now, index, header.timestamp),
                None => *reception = Some(Reception::new(now, rtcp::AUDIO_CLOCK_HZ, index, header.timestamp)),
            }
        }
        if let Transport::Webrtc(webrtc) = &mut peer.transport {
            webrtc.last_alive = now;
            // An offer need not name its SSRC; then the first authentic packet does.
            if let Some(upstream) = &mut webrtc.upstream
                && upstream.ssrc.is_none()
            {
                upstream.ssrc = Some(header.ssrc);
                self.by_upstream.entry(header.ssrc).or_insert(key);
            }
        }
        if is_newest {
            self.follow(key, from);
        }
        if let Some(nonce) = opened.nonce
            && !self.observe_nonce(key, nonce)
        {
            self.lose(key);
            return Err(Reason::BeforeKeys);
        }

        let peer = self.peers[key as usize].as_mut().expect("a mapped peer exists");
        if !peer.policy.can_speak {
            return Err(Reason::Muted);
        }
        if peer.policy.self_mute {
            return Err(Reason::SelfMuted);
        }
        if !peer.allowances.audio.spend(now, budget::AUDIO) {
            return Err(Reason::OverBudget);
        }
        let audio_level = header.extension.zip(level_id).and_then(|((profile, _), id)| {
            rtp::find_extension(profile, &datagram[opened.extension.clone()], id)?.first().copied()
        });
        let mut payload = &mut datagram[opened.payload.clone()];
        if payload.is_empty() || payload.len() > MAX_PAYLOAD {
            return Err(if payload.is_empty() { Reason::Malformed } else { Reason::Oversized });
        }
        let mut newest = match redundant {
            Some(opus) => red::newest(payload, opus).ok_or(Reason::Malformed)?,
            None => 0,
        };
        let len = payload.len() - newest;
        let allowed = peer.bitrate.admit(now, peer.policy.bitrate_bps, payload.len(), newest).ok_or(Reason::OverBitrate)?;
        if allowed > 0 {
            payload = &mut payload[allowed..];
            (newest, redundant) = (0, None);
        }
        let spoken = peer.activity.hear(index, header.timestamp, audio_level, len).ok_or(Reason::Silence)?;
        self.traffic.audio_in += 1;
        let mut frame = Frame {
            speaker: peer.ssrc,
            speaker_id: peer.id,
            listener: peer.listener,
            is_priority: peer.policy.is_priority,
            spoken,
            timestamp: header.timestamp,
            marker: header.marker,
            audio_level,
            payload,
            newest,
            labelled: redundant,
        };
        let mut ledger =
            Ledger { traffic: &mut self.traffic, drops: &mut self.drops, events: &mut self.events, parcels: &mut self.parcels };
        let room = self.rooms[peer.room].as_mut().expect("a peer's room exists");
        if !room.hear(now, &mut frame, egress, &mut ledger) {
            peer.activity.leave_out_newest();
            return Err(Reason::TooManySpeakers);
        }
        if room.is_taped {
            let opus = Box::from(&frame.payload[frame.newest..]);
            let (room, speaker, timestamp) = (room.life.room, frame.speaker_id, frame.timestamp);
            self.heard.push(Heard { room, speaker, timestamp, at: now, lost_before: 0, opus });
        }
        peer.last_spoken = Some(now);
        if !peer.is_silence_watched {
            peer.is_silence_watched = true;
            self.timers.arm(now + FREE_AFTER, peer.id, key, Timer::Silence);
        }
        Ok(())
    }

    /// Whose RTP this may be: the address's owner, or, from an address that nobody proved, the SSRC's; the key then decides.
    #[inline]
    fn sender_of(&self, from: SocketAddr, ssrc: u32) -> Result<u32, Reason> {
        let known = self.by_address.get(&from);
        if let Some(&key) = known {
            let peer = self.peers[key as usize].as_ref().expect("a mapped peer exists");
            if !matches!(peer.transport, Transport::Native(_)) || peer.ssrc == ssrc {
                return Ok(key);
            }
        }
        let unknown = if known.is_some() { Reason::WrongSsrc } else { Reason::UnknownAddress };
        let Some(&key) = self.by_ssrc.get(&ssrc) else {
            // A browser whose network changed under it sends on before it checks anew.
            return if known.is_some() { Err(unknown) } else { self.by_upstream.get(&ssrc).copied().ok_or(unknown) };
        };
        match self.peers[key as usize].as_ref().expect("a mapped peer exists").transport {
            Transport::Webrtc(_) => Err(unknown),
            Transport::Native(_) | Transport::None => Ok(key),
        }
    }

    pub(super) fn handle_rtcp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
        egress: &mut impl Egress,
    ) -> Result<(), Reason> {
        let key = match self.by_address.get(&from) {
            Some(&key) => key,
            None => {
                let ssrc = datagram.get(4..8).and_then(|ssrc| ssrc.first_chunk()).map(|ssrc| u32::from_be_bytes(*ssrc));
                *ssrc.and_then(|ssrc| self.by_upstream.get(&ssrc)).ok_or(Reason::UnknownAddress)?
            }
        };
        self.work_for(key);
        let peer = self.peers[key as usize].as_mut().expect("a mapped peer exists");
        match &mut peer.transport {
            Transport::None => Err(Reason::BeforeKeys),
            // Bots send none that we need; authentic or not, it changes nothing.
            Transport::Native(native) => {
                if native.inbound.is_authentic_native_rtcp(datagram) {
                    Ok(())
                } else {
                    Err(Reason::WrongTag)
                }
            }
            Transport::Webrtc(webrtc) => {
                let media = webrtc.media.as_mut().ok_or(Reason::BeforeKeys)?;
                let index = media.rtcp_inbound.claimed_index(datagram).map(u64::from).ok_or(Reason::Malformed)?;
                if !media.rtcp_window.is_fresh(index) {
                    return Err(Reason::Replayed);
                }
                let len = media.rtcp_inbound.open(datagram).map_err(|error| match error {
                    OpenError::Malformed => Reason::Malformed,
                    OpenError::WrongTag => Reason::WrongTag,
                })?;
                let is_newest = media.rtcp_window.highest().is_none_or(|highest| index > highest);
                media.rtcp_window.accept(index);
                webrtc.last_alive = now;
                if !peer.allowances.control.spend(now, budget::CONTROL) {
                    return Err(Reason::OverBudget);
                }
                if let Some((_, ntp_middle)) = rtcp::find_sender_report(&datagram[..len])
                    && let Some(reception) = &mut media.reception
                {
                    reception.on_sender_report(now, ntp_middle);
                }
                let ntp = rtcp::ntp(now.saturating_duration_since(webrtc.answered));
                let mut video_lost = None;
                rtcp::for_each_block(&datagram[..len], |block| {
                    if webrtc.video_ssrcs.iter().any(|(media, _)| *media == block.about) {
                        video_lost = video_lost.max(Some(block.fraction_lost));
                    }
                    if webrtc.slot_ssrcs.contains(&block.about) {
                        media.quality.on_report(block.fraction_lost, block.jitter, block.round_trip(ntp));
                    }
                });
                let (room, listener) = (peer.room, peer.listener);
                if is_newest {
                    self.follow(key, from);
                }
                match listener {
                    Some(listener) => self.handle_feedback(now, (room, listener), &datagram[..len], video_lost, egress),
                    None => Ok(()),
                }
            }
        }
    }

    /// What a listener says of what it is sent; `video_lost` is the worst that its reports say of a slot.
    fn handle_feedback(
        &mut self,
        now: Instant,
        (room_index, listener): (usize, usize),
        compound: &[u8],
        video_lost: Option<u8>,
        egress: &mut impl Egress,
    ) -> Result<(), Reason> {
        let room = self.rooms[room_index].as_mut().expect("a peer's room exists");
        let mut outcome = Ok(());
        rtcp::for_each_feedback(compound, |feedback| match feedback {
            Feedback::Lost { about, sequence } => {
                if outcome.is_ok() {
                    outcome = match room.repeat_audio(now, listener, about, sequence, egress) {
                        Ok(Some(_)) => Ok(()),
                        Ok(None) => room.repeat(now, listener, about, sequence, egress),
                        Err(reason) => Err(reason),
                    };
                }
            }
            Feedback::KeyFrame { about } => room.want_key_frame(listener, about),
            Feedback::Transport(packet) => room.hear_arrivals(now, listener, packet),
        });
        room.hear_reports(now, listener, find_remb(compound), video_lost);
        self.run_errands(now, room_index);
        outcome
    }

    /// Tells our sealing side of a native key what the client used of it.
    #[inline]
    fn observe_nonce(&mut self, key: u32, nonce: u32) -> bool {
        let peer = self.peers[key as usize].as_ref().expect("a mapped peer exists");
        match peer.listener {
            Some(listener) => self.rooms[peer.room].as_mut().expect("a peer's room exists").listener(listener).observe(nonce),
            None => true,
        }
    }
}
