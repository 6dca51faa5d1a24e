//! What strangers send, for the fuzz targets in `fuzz/`: each function takes any bytes, hands them to the code that reads
//! them in the product, and panics when that breaks a promise.
//!
//! Compiled for this crate's tests, which replay every committed corpus, and for the feature `fuzzing`; never into the server.

use crate::cipher::keys::{Profile, TransportKeys};
use crate::cipher::{Inbound, Outbound, RtcpInbound};
use crate::engine::{Egress, Engine, Identity, Secret, demux};
use crate::rtp::{self, Header, NATIVE_OPUS, Outgoing};
use crate::sdp::{Local, MAX_SOUNDS, Offer, Ssrcs};
use crate::stats::Reason;
use crate::video::rewrite::{Incoming, Origin, Rewriter};
use crate::video::{self, Codec, Source, vp8};
use crate::{NativeSuite, PeerEvent, PeerId, RoomId, Want, rtcp, webrtc};
use guildhall_protocol::fleet::Policy;
use hmac::{KeyInit, Mac};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

mod bandwidth;
mod layered;

pub use bandwidth::{bandwidth, twcc};
pub use layered::{dependency_descriptor, thinner, vp9_descriptor};

/// A name, which is that of the file in `fuzz_targets` and of the corpus, and what is called.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("stun", stun),
    ("rtp", rtp),
    ("srtp_open", srtp_open),
    ("sdp_offer", sdp_offer),
    ("video", video),
    ("rewriter", rewriter),
    ("engine", engine),
    ("twcc", twcc),
    ("bandwidth", bandwidth),
    ("dependency_descriptor", dependency_descriptor),
    ("vp9_descriptor", vp9_descriptor),
    ("thinner", thinner),
];

/// The user name of a STUN message, read before anything is believed.
pub fn stun(data: &[u8]) {
    if let Some(ufrag) = webrtc::local_ufrag(data) {
        assert!(ufrag.len() < data.len() && !ufrag.contains(':'));
    }
    // What it is sorted as does not depend on who asks.
    assert_eq!(demux::classify(data), demux::classify(data));
}

/// Headers of RTP and compound RTCP. What is written in front of a copy reads back as it was meant.
pub fn rtp(data: &[u8]) {
    if let Some(header) = Header::parse(data) {
        assert!(header.base_len <= data.len() && header.preamble_len() <= data.len());
        if let (Some((profile, _)), Some(body)) = (header.extension, data.get(header.preamble_len()..header.full_len())) {
            let found = (0..=255).filter(|&id| rtp::find_extension(profile, body, id).is_some()).count();
            assert!(found <= body.len(), "more elements than bytes");
        }
        let outgoing = Outgoing {
            marker: header.marker,
            payload_type: header.payload_type,
            sequence: header.sequence,
            timestamp: header.timestamp,
            ssrc: header.ssrc,
            audio_level: None,
            transport: None,
        };
        let mut written = [0; rtp::MAX_WRITTEN];
        let len = outgoing.write(&mut written);
        let again = Header::parse(&written[..len]).expect("what we write is RTP");
        let same = |header: Header| (header.marker, header.payload_type, header.sequence, header.timestamp, header.ssrc);
        assert_eq!(same(again), same(header));
    }
    rtcp::for_each_feedback(data, |feedback| match feedback {
        rtcp::Feedback::Transport(packet) => assert!(packet.len() >= 8 && packet.len() <= data.len()),
        rtcp::Feedback::Lost { .. } | rtcp::Feedback::KeyFrame { .. } => {}
    });
    rtcp::find_sender_report(data);
    rtcp::for_each_block(data, |block| assert!(block.round_trip(0).is_none_or(|taken| taken < Duration::from_secs(60))));
}

/// Decryption of RTP and RTCP under every suite. Nobody can forge a tag, so nothing opens.
pub fn srtp_open(data: &[u8]) {
    let suites = [NativeSuite::Aes256GcmRtpsize, NativeSuite::XChaCha20Poly1305Rtpsize];
    let native = suites.map(|suite| Inbound::native(suite, &[7; 32]));
    let profiles = [Profile::Aes256Gcm, Profile::Aes128Gcm, Profile::Aes128CmSha1];
    let keys = profiles.map(|profile| TransportKeys::derive(profile, &vec![7; 2 * (profile.key_len() + profile.salt_len())]));
    let mut inbounds: Vec<Inbound> = native.into_iter().collect();
    for (profile, keys) in profiles.into_iter().zip(&keys) {
        let keys = keys.as_ref().expect("the length is right");
        inbounds.push(Inbound::srtp(profile, &keys.client.rtp));
        let rtcp = RtcpInbound::new(profile, &keys.client.rtcp);
        rtcp.claimed_index(data);
        assert!(rtcp.open(&mut data.to_vec()).is_err(), "nobody can forge a tag");
    }
    for inbound in inbounds {
        assert!(!inbound.is_authentic_native_rtcp(&mut data.to_vec()), "nobody can forge a tag");
        if let Some(header) = Header::parse(data) {
            assert!(inbound.open(&mut data.to_vec(), &header, u64::from(header.sequence)).is_err(), "nobody can forge a tag");
        }
    }
}

/// An offer, and our answer to it: as many sections, each line whole.
pub fn sdp_offer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(offer) = Offer::parse(text) else { return };
    let ssrcs: Vec<u32> = (1..).take(offer.slots().count()).collect();
    let addresses = crate::Addresses::from(SocketAddr::from(([192, 0, 2, 1], 50_000)));
    let (session, bitrate_bps) = ((1, 1), Some(64_000));
    let local = Local { addresses, ufrag: "ours", password: "secret", fingerprint: "sha-256 00", session, bitrate_bps };
    let video: Vec<(u32, u32)> = (1001..).map(|ssrc| (ssrc, ssrc + 1000)).take(offer.video_slots().count()).collect();
    let sounds: Vec<u32> = (501..).take(offer.sound_slots().count()).collect();
    assert!(sounds.len() <= MAX_SOUNDS && offer.sound().is_none_or(|sound| sound.ssrc.is_some()), "a sound is found by its SSRC");
    let answer = offer.answer(&local, &Ssrcs { slots: &ssrcs, sounds: &sounds, videos: &video });
    let sections = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
    assert_eq!(sections(&answer), sections(text), "every section is answered once");
    assert!(answer.ends_with("\r\n") && answer.split("\r\n").all(|line| !line.contains('\n')), "a line is cut");
    for ssrc in ssrcs.into_iter().chain(sounds).chain(video.into_iter().flat_map(|(ssrc, rtx)| [ssrc, rtx])) {
        assert!(answer.contains(&format!("a=ssrc:{ssrc} ")), "a slot has no stream");
    }
}

/// Payloads of all codecs: what is found lies within them, and patching changes the numbers alone.
pub fn video(data: &[u8]) {
    for codec in Codec::ALL {
        let look = video::look(codec, data);
        assert!(look.size.is_none() || look.starts_key_frame, "only key frames tell sizes");
        let mut patched = data.to_vec();
        vp8::patch(&mut patched, &look.picture, 0x1234, 0x56);
        assert_eq!(patched.len(), data.len());
        if matches!(codec, Codec::Vp8 | Codec::Vp9) {
            let again = video::look(codec, &patched);
            assert_eq!((again.starts_key_frame, again.size), (look.starts_key_frame, look.size));
            let expected = look.picture.id.map(|(_, is_long, _)| if is_long { 0x1234 } else { 0x34 });
            assert_eq!(again.picture.id.map(|(_, _, id)| id), expected);
            assert_eq!(again.picture.base.map(|(_, base)| base), look.picture.base.map(|_| 0x56));
        } else {
            assert_eq!(patched, data, "nothing of other codecs is patched");
        }
    }
}

/// A slot's stream under a script of packets, four bytes each: what, how far the index jumps, how much time passes, a number.
/// No index is sent twice within a tenure's end, each begins above all before, and what was sent is found again.
pub fn rewriter(data: &[u8]) {
    let mut now = Instant::now();
    let mut rewriter = Rewriter::new(now);
    let (mut index, mut timestamp, mut newest) = (1u64 << 20, 0u32, 0);
    for &[what, jump, passed, number] in data.as_chunks::<4>().0 {
        now += Duration::from_millis(u64::from(passed));
        index = (index + (u64::from(jump) << (what >> 4))).saturating_sub(u64::from(what & 3));
        timestamp = timestamp.wrapping_add(90 * u32::from(passed));
        let picture =
            vp8::Picture { id: Some((2, true, u16::from(number) << 7)), base: Some((4, number)), frame: Some(u16::from(number)) };
        let origin = Origin { stage: 0, generation: 1, layer: what & 3, is_thinned: false };
        let incoming = Incoming { index, timestamp, picture: &picture };
        let placed = if what & 0x0C == 0 {
            let placed = rewriter.begin(now, origin, &incoming);
            assert_eq!(placed.index, newest + 1, "a tenure begins where the one before ended");
            placed
        } else {
            match rewriter.place(now, &incoming) {
                Ok(placed) => placed,
                Err(_) => continue,
            }
        };
        newest = newest.max(placed.index);
        let (_, found) = rewriter.origin(placed.index as u16).expect("it was just sent");
        assert_eq!(found, index);
    }
}

/// A script of what signaling asks and what the network brings, one instruction after the other: an operation and two bytes
/// for it, and for datagrams a length and that many bytes. After each the tables are audited, and at the end nothing may have
/// panicked: [`Engine`] contains panics, which must not hide them here.
pub fn engine(data: &[u8]) {
    let Some(identity) = Identity::generate() else { return };
    let mut script = Script {
        engine: Engine::new(SocketAddr::from(([198, 51, 100, 1], 50_000)), identity),
        now: Instant::now(),
        rest: data,
        peers: Vec::new(),
        outbox: Outbox { slot: [0; 1536], sent: 0 },
    };
    while script.step().is_some() {
        script.engine.audit().expect("the tables agree");
    }
    assert_eq!(script.engine.drops().of(Reason::Panicked), 0, "something panicked");
    for peer in std::mem::take(&mut script.peers) {
        let _ = script.engine.leave(peer.id);
        script.engine.audit().expect("the tables agree");
    }
    assert_eq!((script.engine.peers(), script.engine.rooms()), (0, 0), "whoever leaves is gone");
}

/// An offer that every client could have made; the instruction fills in what tells two of them apart.
const OFFER: &str = "v=0\r\na=ice-ufrag:abc%\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\na=ssrc:4242 cname:x\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\na=sendrecv\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n\
    a=fmtp:97 apt=96\r\na=rid:q send\r\na=rid:f send\r\na=simulcast:send q;f\r\n";

struct Script<'a> {
    engine: Engine,
    now: Instant,
    rest: &'a [u8],
    peers: Vec<Member>,
    outbox: Outbox,
}

struct Member {
    id: PeerId,
    ssrc: u32,
    /// The client's side of a native transport.
    outbound: Option<Outbound>,
    sequence: u16,
    /// Of the last answer: user name of a check, and password.
    ice: Option<(String, String)>,
}

struct Outbox {
    slot: [u8; 1536],
    sent: usize,
}

impl Egress for Outbox {
    fn slot(&mut self) -> &mut [u8] {
        &mut self.slot
    }

    fn commit(&mut self, len: usize, _: SocketAddr) {
        assert!(len <= self.slot.len());
        self.sent += len;
    }
}

impl Script<'_> {
    fn bytes(&mut self, len: usize) -> Option<Vec<u8>> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken.to_vec())
    }

    /// One instruction; `None` at the end of the script.
    fn step(&mut self) -> Option<()> {
        let [what, a, b] = *self.bytes(3)?.first_chunk()?;
        let from = SocketAddr::from(([10, 0, 0, 1], 1 + u16::from(b % 32)));
        let which = usize::from(a) % self.peers.len().max(1);
        let id = self.peers.get(which).map_or(PeerId(999), |member| member.id);
        let secret: Secret = [a; 32];
        match what % 13 {
            0 => {
                let (id, ssrc) = (PeerId(self.peers.len() as u64 + 1), 100 + 100 * u32::from(a));
                if self.peers.len() < 64 && self.engine.join(RoomId(u64::from(b % 4)), id, ssrc, policy(a)).is_ok() {
                    self.peers.push(Member { id, ssrc, outbound: None, sequence: 0, ice: None });
                }
            }
            1 => {
                let suite = if a & 1 == 0 { NativeSuite::Aes256GcmRtpsize } else { NativeSuite::XChaCha20Poly1305Rtpsize };
                if self.engine.connect_native(id, suite, from, &secret).is_ok() {
                    let mut outbound = Outbound::native(suite, &secret);
                    outbound.observe(1 << 31);
                    self.peers[which].outbound = Some(outbound);
                }
            }
            2 => {
                let offer = OFFER.replace('%', &b.to_string());
                if let Ok(answer) = self.engine.connect_webrtc(self.now, id, &offer, &[b; 32]) {
                    let line = |name: &str| answer.sdp.lines().find_map(|line| line.strip_prefix(name)).expect("an ICE answer");
                    let user_name = format!("{}:abc{b}", line("a=ice-ufrag:"));
                    self.peers[which].ice = Some((user_name, line("a=ice-pwd:").to_owned()));
                }
            }
            3 => {
                if self.engine.leave(id).is_ok() {
                    self.peers.retain(|member| member.id != id);
                }
            }
            4 => {
                let _ = self.engine.set_policy(id, policy(b));
            }
            // Anything at all, from an address that may be somebody's.
            5 | 6 => {
                let datagram = self.bytes(usize::from(a))?;
                self.deliver(from, datagram);
            }
            // Audio that decrypts.
            7 => {
                let payload = self.bytes(usize::from(b % 64))?;
                let Some(member) = self.peers.get_mut(which) else { return Some(()) };
                let Some(outbound) = &mut member.outbound else { return Some(()) };
                member.sequence = member.sequence.wrapping_add(1 + u16::from(b >> 6) * 0x1FFF);
                let (sequence, ssrc) = (member.sequence, member.ssrc);
                let timestamp = u32::from(sequence).wrapping_mul(960);
                let (payload_type, audio_level, transport) = (NATIVE_OPUS, None, None);
                let outgoing = Outgoing { marker: false, payload_type, sequence, timestamp, ssrc, audio_level, transport };
                let mut datagram = vec![0; 256];
                let header_len = outgoing.write(&mut datagram);
                let len = outbound.seal(&mut datagram, header_len, u64::from(sequence), &payload);
                datagram.truncate(len);
                self.deliver(from, datagram);
            }
            8 => {
                let mut datagram = vec![0; demux::DISCOVERY_LEN];
                datagram[..4].copy_from_slice(&[0, 1, 0, 70]);
                datagram[4..8].copy_from_slice(&self.peers.get(which).map_or(0, |member| member.ssrc).to_be_bytes());
                self.deliver(from, datagram);
            }
            // A check that is authentic, and then the handshake's first bytes.
            9 => {
                if let Some((user_name, password)) = self.peers.get(which).and_then(|member| member.ice.clone()) {
                    self.deliver(from, check(&user_name, &password, b));
                }
            }
            10 => {
                let record = self.bytes(usize::from(a))?;
                self.deliver(from, [&[22, 254, 253][..], &record].concat());
            }
            11 => {
                let want = |slot: u8| Want {
                    slot,
                    publisher: PeerId(u64::from(b % 8) + 1),
                    source: if slot == 0 { Source::Camera } else { Source::Screen },
                    pixels: u32::from(b) << 8,
                    is_focus: false,
                };
                let _ = self.engine.watch(self.now, id, &[want(0), want(b % 3)]);
            }
            _ => self.wait(Duration::from_millis(u64::from(a) << (b % 10))),
        }
        for (peer, event) in self.engine.take_events().collect::<Vec<_>>() {
            if event == PeerEvent::Lost {
                self.peers.iter_mut().filter(|member| member.id == peer).for_each(|member| member.outbound = None);
            }
        }
        Some(())
    }

    /// No answer is larger than its question, unless a check proved that somebody is there to ask.
    fn deliver(&mut self, from: SocketAddr, mut datagram: Vec<u8>) {
        self.engine.handle_datagram(self.now, from, &mut datagram, &mut self.outbox);
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        // A peer has a few timers; whoever arms one for now again and again would never return.
        let mut turns = 0;
        while let Some(due) = self.engine.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.now, &mut self.outbox);
            turns += 1;
            assert!(turns < 200_000, "time does not pass");
        }
        self.now = end;
    }
}

/// A binding request with message integrity (RFC 8489 §14.5).
fn check(user_name: &str, password: &str, number: u8) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    message.extend([number; 12]);
    let mut attribute = |kind: u16, value: &[u8]| {
        message.extend(kind.to_be_bytes());
        message.extend((value.len() as u16).to_be_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    };
    attribute(0x0006, user_name.as_bytes());
    attribute(0x0024, &[0x6E, 0, 1, 0xFF]);
    attribute(0x802A, &[1; 8]);
    if number & 1 == 1 {
        attribute(0x0025, &[]);
    }
    // The length counts the integrity, which covers everything before it.
    let len = (message.len() - 20 + 24) as u16;
    message[2..4].copy_from_slice(&len.to_be_bytes());
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(password.as_bytes()).expect("a key of any length");
    mac.update(&message);
    let tag = mac.finalize().into_bytes();
    message.extend([0x00, 0x08, 0x00, 0x14]);
    message.extend(tag);
    message
}

fn policy(bits: u8) -> Policy {
    Policy {
        can_speak: bits & 1 == 0,
        self_mute: bits & 2 != 0,
        is_deafened: bits & 4 != 0,
        is_priority: bits & 8 != 0,
        bitrate_bps: (bits & 16 != 0).then_some(64_000),
        can_stream: bits & 32 == 0,
    }
}

#[cfg(test)]
mod tests;
