//! A WebRTC client: an unmodified str0m with real SDP, ICE, DTLS and SRTP.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

/// One packet of audio, or of pictures without their head, as the client's own SRTP let it through.
pub struct Heard {
    pub ssrc: u32,
    pub sequence: u64,
    pub timestamp: u32,
    pub audio_level: Option<i8>,
    pub payload: Vec<u8>,
}

pub struct BrowserClient {
    rtc: Rtc,
    address: SocketAddr,
    upstream: Mid,
    pending: Option<SdpPendingOffer>,
    deadline: Instant,
    pub is_connected: bool,
    /// What it sends with.
    pub ssrc: u32,
    sequence: u64,
    repeats: bool,
    /// Where the sound of its screen goes, and the SSRC of that; without video there is none.
    sound: Option<(Mid, u32)>,
    sound_sequence: u64,
    /// The sections for sounds.
    sounds: Range<usize>,
    /// Where its screen's pictures go, how many there were, and whether the next is to need none of them.
    screen: Option<Mid>,
    pictures: u64,
    needs_key: bool,
}

/// The head of a picture of VP8 in one packet: a key frame of 640x360, or one that needs others (RFC 7741 §4.2, RFC 6386 §9.1).
const KEY_PICTURE: [u8; 11] = [0x10, 0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x01];
const PICTURE: [u8; 2] = [0x10, 0x11];

impl BrowserClient {
    /// A client with one section that sends and `slots` that receive, and its offer. `repeats`: it asks for audio that it lost.
    /// `has_screen`: it may share a screen with its sound, and shows one that it hears.
    pub fn new(now: Instant, address: SocketAddr, slots: usize, repeats: bool, has_screen: bool) -> (BrowserClient, String) {
        let config = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_opus(true, false).enable_vp8(has_screen);
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("a UDP address"));
        let mut api = rtc.sdp_api();
        let upstream = api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        for _ in 0..slots {
            api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        }
        let (mut sound, mut screen) = (None, None);
        if has_screen {
            sound = Some(api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None));
            api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
            api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
            screen = Some(api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None));
            api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        }
        let (offer, pending) = api.apply().expect("media was added");
        let offer = asking(&rtc, offer.to_sdp_string(), repeats);
        // The microphone's section, those of the slots, and then two for sounds.
        let sounds = if has_screen { slots + 1..slots + 3 } else { 0..0 };
        let sections: Vec<&str> = offer.split("\r\nm=").collect();
        let ssrc_of = |section: usize| {
            let (_, rest) = sections.get(section + 1)?.split_once("a=ssrc:")?;
            rest.split(' ').next()?.parse().ok()
        };
        let (ssrc, sound_ssrc) = (ssrc_of(0), ssrc_of(slots + 1));
        let offer = naming(&offer, &sounds);
        let client = BrowserClient {
            rtc,
            address,
            upstream,
            pending: Some(pending),
            deadline: now,
            is_connected: false,
            ssrc: ssrc.expect("str0m names its SSRC"),
            sequence: 100,
            repeats,
            sound: sound.zip(sound_ssrc),
            sounds,
            sound_sequence: 30_000,
            screen,
            pictures: 0,
            needs_key: true,
        };
        (client, offer)
    }

    /// An offer with new ICE credentials and nothing else new.
    pub fn restart_ice(&mut self) -> String {
        let mut api = self.rtc.sdp_api();
        api.ice_restart(true);
        let (offer, pending) = api.apply().expect("a restart is a change");
        self.pending = Some(pending);
        naming(&asking(&self.rtc, offer.to_sdp_string(), self.repeats), &self.sounds)
    }

    pub fn accept(&mut self, text: &str) {
        let answer = SdpAnswer::from_sdp_string(text).expect("str0m reads our answer");
        let pending = self.pending.take().expect("an offer waits");
        let slots: Vec<u32> =
            text.lines().filter_map(|line| line.strip_prefix("a=ssrc:")?.split(' ').next()?.parse().ok()).collect();
        self.rtc.sdp_api().accept_answer(pending, answer).expect("str0m accepts our answer");
        for ssrc in slots.into_iter().filter(|_| self.repeats) {
            // What the answer says to browsers.
            assert!(text.contains("a=rtcp-fb:"), "the answer takes it");
            self.rtc.direct_api().stream_rx(&ssrc.into()).expect("a slot of the answer").suppress_nack(false);
        }
    }

    pub fn next_timeout(&self) -> Instant {
        self.deadline
    }

    pub fn say(&mut self, now: Instant, payload: &[u8], audio_level: i8) {
        let payload_type = self.rtc.codec_config().find(|params| params.spec().codec == Codec::Opus).expect("Opus").pt();
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(self.upstream, None).expect("the answer took our upstream");
        let levels = ExtensionValues { audio_level: Some(audio_level), voice_activity: Some(true), ..Default::default() };
        let timestamp = (self.sequence * 960) as u32;
        stream.write_rtp(RtpWrite::new(payload_type, self.sequence.into(), timestamp, now, payload.to_vec()).ext_vals(levels));
        self.sequence += 1;
    }

    /// What its screen sounds like.
    pub fn sound(&mut self, now: Instant, payload: &[u8]) {
        let payload_type = self.rtc.codec_config().find(|params| params.spec().codec == Codec::Opus).expect("Opus").pt();
        let (mid, _) = self.sound.expect("it has a screen");
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).expect("the answer took our sound");
        let timestamp = (self.sound_sequence * 960) as u32;
        stream.write_rtp(RtpWrite::new(payload_type, self.sound_sequence.into(), timestamp, now, payload.to_vec()));
        self.sound_sequence += 1;
    }

    /// What its screen shows.
    pub fn film(&mut self, now: Instant, payload: &[u8]) {
        let payload_type = self.rtc.codec_config().find(|params| params.spec().codec == Codec::Vp8).expect("VP8").pt();
        let head: &[u8] = if std::mem::take(&mut self.needs_key) { &KEY_PICTURE } else { &PICTURE };
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(self.screen.expect("it has a screen"), None).expect("the answer took our screen");
        let (sequence, timestamp) = (60_000 + self.pictures, 1_800 * self.pictures as u32);
        let write = RtpWrite::new(payload_type, sequence.into(), timestamp, now, [head, payload].concat());
        stream.write_rtp(write.marker(true).nackable(true));
        self.pictures += 1;
    }

    pub fn sound_ssrc(&self) -> Option<u32> {
        self.sound.map(|(_, ssrc)| ssrc)
    }

    pub fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if let Ok(receive) = Receive::new(Protocol::Udp, from, self.address, datagram) {
            self.rtc.handle_input(Input::Receive(now, receive)).expect("the server sends nothing that breaks a client");
        }
    }

    /// Lets the client work: what it sends goes to `send`, what it hears is returned.
    pub fn poll(&mut self, now: Instant, mut send: impl FnMut(&[u8], SocketAddr)) -> Vec<Heard> {
        self.rtc.handle_input(Input::Timeout(now)).expect("time alone breaks nothing");
        let mut heard = Vec::new();
        loop {
            match self.rtc.poll_output().expect("the client stays well") {
                Output::Timeout(at) => {
                    self.deadline = at;
                    return heard;
                }
                Output::Transmit(transmit) => send(&transmit.contents, transmit.destination),
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(Event::RtpPacket(packet)) => {
                    let codecs = self.rtc.codec_config();
                    let is_opus = codecs
                        .find(|params| params.pt() == packet.header.payload_type)
                        .is_none_or(|params| params.spec().codec == Codec::Opus);
                    let head: &[u8] = if packet.payload.starts_with(&KEY_PICTURE) { &KEY_PICTURE } else { &PICTURE };
                    let head = if is_opus { 0 } else { head.len() };
                    heard.push(Heard {
                        ssrc: *packet.header.ssrc,
                        sequence: *packet.seq_no,
                        timestamp: packet.header.timestamp,
                        audio_level: packet.header.ext_vals.audio_level,
                        payload: packet.payload[head..].to_vec(),
                    });
                }
                Output::Event(Event::KeyframeRequest(_)) => self.needs_key = true,
                Output::Event(_) => {}
            }
        }
    }
}

/// The offer of a client that asks for audio that it lost. str0m has no setting for it, and browsers want their offers changed
/// for it as well.
fn asking(rtc: &Rtc, offer: String, repeats: bool) -> String {
    if !repeats {
        return offer;
    }
    let opus = rtc.codec_config().find(|params| params.spec().codec == Codec::Opus).expect("Opus").pt();
    let fmtp = format!("a=fmtp:{opus} ");
    offer.replace(&fmtp, &format!("a=rtcp-fb:{opus} nack\r\n{fmtp}"))
}

/// The offer with the sections named that are for sounds, which str0m has no word for.
fn naming(offer: &str, sounds: &Range<usize>) -> String {
    let named = |(at, section): (usize, &str)| {
        let is_sound = at > 0 && sounds.contains(&(at - 1));
        if is_sound { section.replacen("\r\na=", "\r\na=content:slides\r\na=", 1) } else { section.to_owned() }
    };
    offer.split("\r\nm=").enumerate().map(named).collect::<Vec<_>>().join("\r\nm=")
}
