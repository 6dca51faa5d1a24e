//! What one peer publishes: finding whose packet it is, whether it is authentic, what it misses; and telling its sender what
//! came, what did not, and what is wanted.
//!
//! A stream is found by its SSRC once an authentic packet showed it, before that by the names of its section and encoding.

use super::peer::Transport;
use super::room::Room;
use super::room::video::{REPEATED_LEN, Shot};
use super::spread::Part;
use super::spread::mirrors::MIRRORED;
use super::timers::Timer;
use super::{Egress, Engine, MAX_PAYLOAD, budget};
use crate::bandwidth::feedback::{Arrivals, FEEDBACK_LEN};
use crate::cipher::{Inbound, OpenError, Opened};
use crate::replay::ReplayWindow;
use crate::rtcp::{self, Reception};
use crate::rtp::{self, Header};
use crate::sdp::Offer;
use crate::sdp::video::{Extensions, Format};
use crate::stats::Reason;
use crate::video::gaps::Gaps;
use crate::video::layered::Parts;
use crate::video::{CLOCK_HZ, Codec, Rid, Source};
use crate::{Layer, PeerEvent, PeerId};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How often a publisher is looked at while it sends: what is missing is asked for a moment later.
pub const TICK: Duration = Duration::from_millis(25);

/// A publisher that sends nothing is looked at this rarely: somebody may want a layer that does not come.
const IDLE_TICK: Duration = Duration::from_millis(500);

/// For so long, and until the next common time (5 ms), a picture's packets wait for its last one. It is not seen before that
/// anyway, and what comes late of it is not waited for: senders spread a picture over no more than some milliseconds.
const HELD: Duration = Duration::from_millis(2);

/// Packets that one request asks for.
const ASKED: usize = 64;

/// What a payload type carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    None,
    Media(Codec),
    /// Retransmissions of that.
    Repeat(Codec),
}

pub struct Publisher {
    roles: Box<[Role; 128]>,
    extensions: Extensions,
    tracks: Vec<Track>,
    arrivals: Arrivals,
    last_packet: Option<Instant>,
    /// When the timer is due that is armed.
    due: Option<Instant>,
}

struct Track {
    source: Source,
    mid: Vec<u8>,
    /// Where it is in the room.
    stage: usize,
    streams: Vec<Stream>,
}

/// How far above all before it a stream is that comes under another SSRC: further than any gap that is bridged.
const ANEW: u64 = 1 << 16;

/// One encoding as it is received.
struct Stream {
    rid: Rid,
    ssrc: Option<u32>,
    /// Where its indices begin in the room. Each SSRC has its own, from anywhere: those of one that follows another must not be
    /// taken for packets that come late.
    base: u64,
    rtx: Option<u32>,
    window: ReplayWindow,
    rtx_window: ReplayWindow,
    reception: Option<Reception>,
    gaps: Gaps,
    parts: Parts,
}

/// Which stream a packet is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    track: usize,
    stream: usize,
    is_repeat: bool,
}

impl Publisher {
    /// `None` when the offer has no video to send. `open` gives each track its stage, with so many encodings.
    pub fn new(now: Instant, offer: &Offer, mut open: impl FnMut(Source, usize) -> usize) -> Option<Publisher> {
        let mut publisher = Publisher {
            roles: Box::new([Role::None; 128]),
            extensions: Extensions::default(),
            tracks: Vec::new(),
            arrivals: Arrivals::new(now),
            last_packet: None,
            due: None,
        };
        for offered in offer.video_tracks() {
            for &Format { codec, payload_type, rtx, .. } in &offered.video.formats {
                publisher.roles[usize::from(payload_type) % 128] = Role::Media(codec);
                if let Some(rtx) = rtx {
                    publisher.roles[usize::from(rtx) % 128] = Role::Repeat(codec);
                }
            }
            publisher.extensions = offered.video.extensions;
            let rids = &offered.video.rids;
            let known = if rids.is_empty() { offered.video.ssrc } else { None };
            let only = [Rid::default()];
            let streams = if rids.is_empty() { &only[..] } else { rids };
            publisher.tracks.push(Track {
                source: offered.source,
                mid: offered.mid.as_bytes().to_vec(),
                stage: open(offered.source, streams.len()),
                streams: streams.iter().map(|&rid| Stream::new(rid, known)).collect(),
            });
        }
        (!publisher.tracks.is_empty()).then_some(publisher)
    }

    /// Where this video is in the room, if it may be sent.
    pub fn stage_of(&self, source: Source) -> Option<usize> {
        self.tracks.iter().find(|track| track.source == source).map(|track| track.stage)
    }

    #[inline]
    pub fn carries(&self, payload_type: u8) -> bool {
        self.roles[usize::from(payload_type) % 128] != Role::None
    }

    /// Whose packet it may be.
    #[inline]
    fn find(&self, header: &Header, datagram: &[u8]) -> Option<Place> {
        for (track, each) in self.tracks.iter().enumerate() {
            for (stream, each) in each.streams.iter().enumerate() {
                if each.ssrc == Some(header.ssrc) || each.rtx == Some(header.ssrc) {
                    return Some(Place { track, stream, is_repeat: each.rtx == Some(header.ssrc) });
                }
            }
        }
        self.find_by_name(header, datagram)
    }

    #[cold]
    fn find_by_name(&self, header: &Header, datagram: &[u8]) -> Option<Place> {
        let (profile, _) = header.extension?;
        let body = datagram.get(header.preamble_len()..header.full_len())?;
        let named = |id: Option<u8>| id.and_then(|id| rtp::find_extension(profile, body, id));
        let is_repeat = matches!(self.roles[usize::from(header.payload_type) % 128], Role::Repeat(_));
        let mid = named(self.extensions.mid);
        let track = match mid {
            Some(mid) => self.tracks.iter().position(|track| track.mid == mid)?,
            // Without one there is nothing to confuse when there is but one track.
            None => (self.tracks.len() == 1).then_some(0)?,
        };
        let rid = named(if is_repeat { self.extensions.repaired_rid } else { self.extensions.rid });
        let streams = &self.tracks[track].streams;
        let stream = match rid {
            Some(rid) => streams.iter().position(|stream| stream.rid.as_str().as_bytes() == rid)?,
            None => (streams.len() == 1).then_some(0)?,
        };
        Some(Place { track, stream, is_repeat })
    }

    /// The streams that came, to report about.
    pub fn receptions(&mut self) -> impl Iterator<Item = (u32, &mut Reception)> {
        let streams = self.tracks.iter_mut().flat_map(|track| &mut track.streams);
        streams.filter_map(|stream| Some((stream.ssrc?, stream.reception.as_mut()?)))
    }
}

impl Stream {
    fn new(rid: Rid, known: Option<(u32, Option<u32>)>) -> Stream {
        Stream {
            rid,
            ssrc: known.map(|(ssrc, _)| ssrc),
            base: 0,
            rtx: known.and_then(|(_, rtx)| rtx),
            window: ReplayWindow::new(0),
            rtx_window: ReplayWindow::new(0),
            reception: None,
            gaps: Gaps::default(),
            parts: Parts::default(),
        }
    }

    /// Opens a packet under what is known of this stream, or under nothing when its SSRC is new.
    #[inline]
    fn open(
        &mut self,
        inbound: &Inbound,
        header: &Header,
        is_repeat: bool,
        datagram: &mut [u8],
    ) -> Result<(u64, Opened, bool), Reason> {
        let (ssrc, window) = if is_repeat { (&mut self.rtx, &mut self.rtx_window) } else { (&mut self.ssrc, &mut self.window) };
        let is_new = *ssrc != Some(header.ssrc);
        let fresh = ReplayWindow::new(0);
        let known = if is_new { &fresh } else { &*window };
        let index = known.estimate(header.sequence).filter(|&index| known.is_fresh(index)).ok_or(Reason::Replayed)?;
        let opened = inbound.open(datagram, header, index).map_err(|error| match error {
            OpenError::Malformed => Reason::Malformed,
            OpenError::WrongTag => Reason::WrongTag,
        })?;
        // From here on the packet is authentic.
        if is_new {
            let before = window.highest();
            (*ssrc, *window) = (Some(header.ssrc), fresh);
            if !is_repeat {
                self.base += before.map_or(0, |highest| highest + ANEW);
                (self.reception, self.gaps, self.parts) = (None, Gaps::default(), Parts::default());
            }
        }
        let window = if is_repeat { &mut self.rtx_window } else { &mut self.window };
        let is_newest = window.highest().is_none_or(|highest| index > highest);
        window.accept(index);
        Ok((index, opened, is_newest))
    }
}

impl Engine {
    #[inline]
    pub(super) fn handle_video(
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
        let (Some(media), Some(publisher)) = (&mut webrtc.media, &mut webrtc.publisher) else { return Err(Reason::BeforeKeys) };
        let Place { track, stream, is_repeat } = publisher.find(header, datagram).ok_or(Reason::WrongSsrc)?;
        let codec = match (publisher.roles[usize::from(header.payload_type) % 128], is_repeat) {
            (Role::Media(codec), false) | (Role::Repeat(codec), true) => codec,
            _ => return Err(Reason::WrongPayloadType),
        };
        let number = publisher.extensions.transport.zip(header.extension).and_then(|(id, (profile, _))| {
            let body = datagram.get(header.preamble_len()..header.full_len())?;
            rtp::find_extension(profile, body, id)?.first_chunk().map(|number| u16::from_be_bytes(*number))
        });
        let dependency_id = publisher.extensions.dependency;
        let (stage, layer) = (publisher.tracks[track].stage, stream as u8);
        let stream = &mut publisher.tracks[track].streams[stream];
        let (index, opened, is_newest) = stream.open(&media.inbound, header, is_repeat, datagram)?;
        webrtc.last_alive = now;
        publisher.last_packet = Some(now);
        if let Some(number) = number {
            publisher.arrivals.record(now, number, datagram.len());
        }
        let due = publisher.due;
        let mut payload = opened.payload;
        let mut index = index;
        let mut is_repaired = true;
        if is_repeat {
            // Probes for bandwidth come on this stream too, with nothing in them or with what came already.
            let repeated = datagram[payload.clone()].first_chunk::<REPEATED_LEN>().map(|number| u16::from_be_bytes(*number));
            let missing = repeated.and_then(|sequence| stream.window.estimate(sequence)).filter(|&index| stream.gaps.take(index));
            payload.start += REPEATED_LEN.min(payload.len());
            match missing {
                Some(missing) => {
                    index = missing;
                    stream.window.accept(missing);
                }
                None => payload.end = payload.start,
            }
        } else {
            match &mut stream.reception {
                Some(reception) => reception.on_packet(now, index, header.timestamp),
                None => stream.reception = Some(Reception::new(now, CLOCK_HZ, index, header.timestamp)),
            }
            is_repaired = stream.gaps.on_packet(now, index);
        }
        let described = if codec.is_layered() { dependency_id.zip(header.extension) } else { None };
        let datagram = &*datagram;
        let descriptor = described.and_then(|(id, (profile, _))| rtp::find_extension(profile, &datagram[opened.extension], id));
        let part = match codec.is_layered() && !payload.is_empty() {
            true => stream.parts.read(codec, header.timestamp, descriptor, &datagram[payload.clone()]),
            false => None,
        };
        let index = stream.base + index;
        let (policy, id, room) = (peer.policy, peer.id, peer.room);
        let is_within = peer.allowances.video.spend(now, budget::VIDEO);
        if due.is_none_or(|due| due > now + TICK) {
            self.call(now + TICK, id, key);
        }
        if is_newest {
            self.follow(key, from);
        }
        let in_room = self.rooms[room].as_mut().expect("a peer's room exists");
        if !policy.can_stream {
            return Err(Reason::MayNotStream);
        }
        if !is_within {
            return Err(Reason::OverBudget);
        }
        if is_repeat && payload.is_empty() {
            return Ok(());
        }
        let payload = &datagram[payload];
        if payload.len() > MAX_PAYLOAD - REPEATED_LEN {
            return Err(Reason::Oversized);
        }
        self.traffic.video_in += 1;
        if codec.is_layered() && payload.is_empty() {
            in_room.pass_padding(now, stage, layer, (codec, index, header.timestamp));
            // Only whoever films at the home has a use for it.
            if in_room.is_linked(stage) && in_room.part != Part::Home {
                let (index, timestamp) = (index, header.timestamp);
                let shot = Shot { codec, index, timestamp, marker: false, payload: &[], part: None, descriptor: &[] };
                in_room.pass_on((stage, layer), &shot, &mut self.parcels, &mut self.drops);
            }
            return Ok(());
        }
        if codec.is_layered() && part.is_none() {
            in_room.miss_structure(stage, layer);
            return Err(Reason::Malformed);
        }
        let (timestamp, marker, descriptor) = (header.timestamp, header.marker, descriptor.unwrap_or_default());
        let shot = Shot { codec, index, timestamp, marker, payload, part, descriptor };
        if !is_repaired && let Some(layer) = in_room.stage(stage).and_then(|stage| stage.layers.get_mut(usize::from(layer))) {
            layer.need_key_frame();
        }
        in_room.show(now, stage, layer, &shot, egress);
        if in_room.is_linked(stage) {
            in_room.pass_on((stage, layer), &shot, &mut self.parcels, &mut self.drops);
        }
        self.run_errands(now, room);
        Ok(())
    }

    /// Lets the publisher be looked at, at the latest then.
    pub(super) fn call(&mut self, at: Instant, id: PeerId, key: u32) {
        let Some(publisher) = self.peer(key).transport.webrtc().and_then(|webrtc| webrtc.publisher.as_mut()) else { return };
        if publisher.due.is_none_or(|due| due > at) {
            publisher.due = Some(at);
            self.timers.arm(at, id, key, Timer::Uplink);
        }
    }

    /// Does what a room left to the engine: tells, counts, sets the clocks of listeners, and looks at publishers that something
    /// changed for.
    #[inline]
    pub(super) fn run_errands(&mut self, now: Instant, room: usize) {
        let Some(Room { life, errands, .. }) = self.rooms[room].as_mut() else { return };
        let life = *life;
        errands.count(&mut self.traffic, &mut self.drops);
        self.events.append(&mut errands.events);
        self.seen.append(&mut errands.seen);
        self.parcels.post(life, &mut errands.letters);
        let timers = &mut self.timers;
        for (at, is_exact, id, key) in errands.alarms.drain(..) {
            if is_exact {
                timers.arm(at, id, key, Timer::Downlink);
            } else {
                timers.arm_common(at, id, key, Timer::Downlink);
            }
        }
        for (id, key) in errands.held.drain(..) {
            match key {
                MIRRORED => timers.arm_common(now + HELD, PeerId(life.number), room as u32, Timer::MirrorsHeld),
                _ => timers.arm_common(now + HELD, id, key, Timer::Held),
            }
        }
        while let Some(key) = self.rooms[room].as_mut().and_then(|room| room.errands.calls.pop()) {
            if key == MIRRORED {
                self.call_mirrors(now, room);
            } else if let Some(id) = self.peers[key as usize].as_ref().map(|peer| peer.id) {
                self.call(now, id, key);
            }
        }
    }

    /// Tells what a room left to tell, and no more: what is to be done waits for [`Engine::run_errands`].
    pub(super) fn tell_errands(&mut self, room: usize) {
        let Some(Room { life, errands, .. }) = self.rooms.get_mut(room).and_then(Option::as_mut) else { return };
        self.events.append(&mut errands.events);
        self.parcels.post(*life, &mut errands.letters);
    }

    /// Tells a publisher what came, what is missing, and what is wanted.
    pub(super) fn look_at_uplink(&mut self, now: Instant, key: u32, egress: &mut impl Egress) {
        let peer = self.peers[key as usize].as_mut().expect("a mapped peer exists");
        let (id, room_index, own) = (peer.id, peer.room, peer.ssrc);
        let Some(webrtc) = peer.transport.webrtc() else { return };
        let Some(publisher) = &mut webrtc.publisher else { return };
        // An entry that was overtaken by an earlier one.
        if publisher.due.is_none_or(|due| due > now) {
            return;
        }
        publisher.due = None;
        let room = self.rooms[room_index].as_mut().expect("a peer's room exists");
        let mut is_waiting = false;
        for track in &mut publisher.tracks {
            let wanted = room.wanted(track.stage);
            let Some(stage) = room.stage(track.stage) else { continue };
            let (told, came_or_went) = stage.review(now, wanted);
            if came_or_went {
                room.settle(now, track.stage);
                // It is being looked at, and not again because of that.
                room.errands.calls.retain(|called| *called != key);
            }
            if let Some(on) = told {
                // The only stream may hold several layers.
                let is_only = track.streams.len() == 1;
                let is_wanted = |place: usize| if is_only { on != 0 } else { on >> place & 1 == 1 };
                let layer = |(place, stream): (usize, &Stream)| {
                    let Stream { rid, ssrc, .. } = *stream;
                    Layer { rid, ssrc, is_wanted: is_wanted(place) }
                };
                let layers = track.streams.iter().enumerate().map(layer).collect();
                self.events.push((id, PeerEvent::Layers { source: track.source, layers }));
            }
            room.announce(now, track.stage);
            let (Some(media), Some(to)) = (&mut webrtc.media, webrtc.address) else { continue };
            let Some(stage) = room.stage(track.stage) else { continue };
            for (number, stream) in track.streams.iter_mut().enumerate() {
                let layers = stage.of_stream(number as u8);
                if wanted & layers == 0 {
                    stream.gaps.forget();
                }
                let Some(about) = stream.ssrc else { continue };
                let mut asks = false;
                for (_, layer) in stage.layers.iter_mut().enumerate().filter(|(place, _)| layers >> place & 1 == 1) {
                    asks |= layer.ask_key_frame(now);
                    is_waiting |= layer.waits_for_key_frame();
                }
                if asks {
                    let mut packet = [0; rtcp::PICTURE_LOSS_LEN];
                    let len = rtcp::write_picture_loss(own, about, &mut packet);
                    media.send_rtcp(&packet[..len], to, egress);
                }
                is_waiting |= !stream.gaps.is_empty();
                let mut asked = [0; ASKED];
                let count = stream.gaps.ask(now, &mut asked);
                if count > 0 {
                    let mut packet = [0; rtcp::nack_len(ASKED)];
                    let len = rtcp::write_nack(own, about, &asked[..count], &mut packet);
                    media.send_rtcp(&packet[..len], to, egress);
                }
            }
        }
        if let (Some(media), Some(to)) = (&mut webrtc.media, webrtc.address) {
            let about = publisher.tracks.iter().flat_map(|track| &track.streams).find_map(|stream| stream.ssrc).unwrap_or(0);
            let mut packet = [0; FEEDBACK_LEN];
            while let Some(len) = publisher.arrivals.write(now, own, about, &mut packet) {
                media.send_rtcp(&packet[..len], to, egress);
            }
        }
        let is_sending = publisher.last_packet.is_some_and(|at| now.saturating_duration_since(at) < 4 * IDLE_TICK);
        let next = if is_sending || is_waiting { TICK } else { IDLE_TICK };
        self.call(now + next, id, key);
        self.run_errands(now, room_index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::Outbound;
    use crate::cipher::keys::{Profile, SessionKeys};

    #[test]
    fn a_stream_that_goes_on_under_another_ssrc_is_above_all_that_was() {
        let keys = SessionKeys { key: [1; 32], auth: [2; 20], salt: [3; 14] };
        let (mut outbound, inbound) = (Outbound::srtp(Profile::Aes128Gcm, &keys), Inbound::srtp(Profile::Aes128Gcm, &keys));
        let mut stream = Stream::new(Rid::default(), None);
        let mut place = |ssrc: u32, sequence: u16| {
            let mut packet = [0; 64];
            packet[..2].copy_from_slice(&[0x80, 96]);
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
            let len = outbound.seal(&mut packet, 12, sequence.into(), b"picture");
            let header = Header::parse(&packet[..len]).expect("it is one");
            let (index, ..) = stream.open(&inbound, &header, false, &mut packet[..len]).expect("it is authentic and new");
            stream.base + index
        };
        assert_eq!([place(7, 30_000), place(7, 30_001)], [30_000, 30_001], "the first is as it came");
        let anew = place(8, 5);
        assert!(anew > 30_001 + ANEW / 2, "{anew} would have come late");
        assert_eq!(place(8, 6), anew + 1);
        assert!(place(9, 60_000) > anew + ANEW / 2);
    }
}
