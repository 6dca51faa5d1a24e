//! The full SDP offer of a WebRTC client, and our answer to it (RFC 8829, RFC 8839, RFC 8843).
//!
//! We read little of an offer and write all of the answer ourselves: the media descriptions belong to the forwarding core
//! (slots with fixed SSRCs), and only credentials and fingerprint are str0m's. Audio and video sections are accepted as long as
//! there are slots; every other section is rejected with port zero, which browsers take well.

mod sound;
pub mod video;

use crate::Addresses;
use crate::video::Source;
pub use sound::{BITRATE_BPS as SOUND_BITRATE_BPS, MAX_SOUNDS};
use std::fmt::Write;
use video::{MAX_TRACKS, MAX_VIDEO_SLOTS, Video};

/// The longest offer that is read. Chrome writes about 1.2 KB per audio section.
const MAX_OFFER: usize = 64 * 1024;

/// Media sections that an offer may have.
const MAX_SECTIONS: usize = 64;

/// Formats of a section that are read; there are 128 payload types.
const MAX_FORMATS: usize = 128;

/// Receive slots that one listener may have: the offer's audio sections beyond these are answered as inactive.
pub const MAX_SLOTS: usize = 16;

/// RFC 6464, the only header extension that is negotiated. Without `mid` every stream is found by its SSRC, which the answer
/// names; transport-wide feedback on audio would cost more than the audio.
const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/// What `maxaveragebitrate` may say (RFC 7587 §7.1).
const OPUS_BITRATES: (u32, u32) = (6_000, 510_000);

/// Which way media flows in a section, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// Opus as one section offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opus {
    pub payload_type: u8,
    /// The payload type of redundant audio (RFC 2198) around it.
    pub red: Option<u8>,
    /// Whether the client would rather send redundant audio: it stands before plain Opus in the offer.
    pub prefers_red: bool,
    /// The id of the audio level extension.
    pub audio_level: Option<u8>,
    /// Whether the client would ask for packets that it lost (`a=rtcp-fb:… nack`, RFC 4585 §4.2).
    pub repeats: bool,
}

/// One `m=` section of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    /// Kind and protocol, to write the same in the answer.
    kind: String,
    protocol: String,
    /// The first format, which a rejection must repeat.
    first_format: String,
    mid: String,
    direction: Direction,
    /// None when it is not audio, has no Opus, or was offered as rejected.
    opus: Option<Opus>,
    ssrc: Option<u32>,
    /// Whether it is for the sound of screens.
    is_sound: bool,
    /// None when it is not video, has no codec that we forward, or was offered as rejected.
    video: Option<Video>,
}

/// A video that the client would send.
#[derive(Clone, Copy, Debug)]
pub struct VideoTrack<'a> {
    pub source: Source,
    /// The name of its section.
    pub mid: &'a str,
    pub video: &'a Video,
}

/// What we read of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub ufrag: String,
    pub password: String,
    /// Hash function in lower case, and digest.
    pub fingerprint: (String, Vec<u8>),
    allows_mixed_extensions: bool,
    sections: Vec<Section>,
}

/// What the answer needs to know of our side.
pub struct Local<'a> {
    pub addresses: Addresses,
    pub ufrag: &'a str,
    pub password: &'a str,
    /// As SDP writes it: hash function, blank, colon-separated digest.
    pub fingerprint: &'a str,
    /// Id and version: the id varies between sessions, the version grows with each answer of one.
    pub session: (u64, u32),
    /// The bitrate that senders are to keep, bits per second.
    pub bitrate_bps: Option<u32>,
}

/// What we send with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ssrcs<'a> {
    /// One per entry of [`Offer::slots`].
    pub slots: &'a [u32],
    /// One per entry of [`Offer::sound_slots`].
    pub sounds: &'a [u32],
    /// One and that of retransmissions per entry of [`Offer::video_slots`].
    pub videos: &'a [(u32, u32)],
}

/// What the client will send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub opus: Opus,
    /// The SSRC, when the offer names it.
    pub ssrc: Option<u32>,
}

impl Offer {
    /// Reads an offer; the error says what is missing.
    pub fn parse(text: &str) -> Result<Offer, &'static str> {
        if text.len() > MAX_OFFER {
            return Err("the offer is too long");
        }
        let mut lines = text.lines().map(str::trim_end).peekable();
        let mut transport = Transport::default();
        let mut allows_mixed_extensions = false;
        while let Some(line) = lines.next_if(|line| !line.starts_with("m=")) {
            allows_mixed_extensions |= line == "a=extmap-allow-mixed";
            transport.read(line)?;
        }
        let mut sections = Vec::new();
        while let Some(line) = lines.next() {
            let media = line.strip_prefix("m=").ok_or("a media section is expected")?;
            if sections.len() == MAX_SECTIONS {
                return Err("the offer has too many media sections");
            }
            let mut builder = SectionBuilder::start(media)?;
            while let Some(line) = lines.next_if(|line| !line.starts_with("m=")) {
                allows_mixed_extensions |= line == "a=extmap-allow-mixed";
                transport.read(line)?;
                builder.read(line);
            }
            sections.push(builder.finish(sections.len()));
        }
        let is_described = |video: &Video| allows_mixed_extensions && video.extensions.dependency.is_some();
        for section in &mut sections {
            section.video.take_if(|video| !is_described(video) && !video.undescribed());
        }
        if !sections.iter().any(|section| section.opus.is_some() || section.video.is_some()) {
            return Err("no section offers Opus, VP8, H.264, VP9 or AV1");
        }
        if transport.setup_is_passive {
            return Err("the client must be able to start DTLS (a=setup:actpass or active)");
        }
        Ok(Offer {
            ufrag: transport.ufrag.ok_or("a=ice-ufrag is missing")?,
            password: transport.password.ok_or("a=ice-pwd is missing")?,
            fingerprint: transport.fingerprint.ok_or("a=fingerprint with sha-256 is missing")?,
            allows_mixed_extensions,
            sections,
        })
    }

    /// The first section in which the client sends.
    pub fn upstream(&self) -> Option<Upstream> {
        let (_, section) = self.accepted().find(|(_, section)| section.direction.sends())?;
        Some(Upstream { opus: section.opus.clone()?, ssrc: section.ssrc })
    }

    /// How the receive slots are to be sent, in the order of their sections.
    pub fn slots(&self) -> impl Iterator<Item = &Opus> {
        self.accepted().filter(|(_, section)| section.direction.receives()).filter_map(|(_, section)| section.opus.as_ref())
    }

    /// Sections that carry voices: audio with Opus, until the slots are used up.
    fn accepted(&self) -> impl Iterator<Item = (usize, &Section)> {
        let mut slots = 0;
        self.sections.iter().enumerate().filter(move |(_, section)| {
            let is_usable = section.opus.is_some() && !section.is_sound && section.direction != Direction::Inactive;
            slots += usize::from(is_usable && section.direction.receives());
            is_usable && (!section.direction.receives() || slots <= MAX_SLOTS)
        })
    }

    /// The videos that the client would send, a camera first; what is beyond is answered as inactive.
    pub fn video_tracks(&self) -> impl Iterator<Item = VideoTrack<'_>> {
        let sending = self.videos().filter(|(_, section, _)| section.direction.sends());
        [Source::Camera, Source::Screen].into_iter().zip(sending).map(|(source, (_, section, video))| VideoTrack {
            source,
            mid: &section.mid,
            video,
        })
    }

    /// How the video slots are to be sent, in the order of their sections.
    pub fn video_slots(&self) -> impl Iterator<Item = &Video> {
        let receiving = self.videos().filter(|(_, section, _)| section.direction.receives());
        receiving.map(|(_, _, video)| video).take(MAX_VIDEO_SLOTS)
    }

    fn videos(&self) -> impl Iterator<Item = (usize, &Section, &Video)> {
        let usable = self.sections.iter().enumerate().filter(|(_, section)| section.direction != Direction::Inactive);
        usable.filter_map(|(index, section)| Some((index, section, section.video.as_ref()?)))
    }

    /// Writes the answer.
    pub fn answer(&self, local: &Local, ssrcs: &Ssrcs) -> String {
        let mut out = String::with_capacity(1024 * (1 + self.sections.len()));
        self.write_answer(&mut out, local, ssrcs).expect("writing to a String does not fail");
        out
    }

    fn write_answer(&self, out: &mut String, local: &Local, ssrcs: &Ssrcs) -> std::fmt::Result {
        let first = local.addresses.first;
        let ip_version = if first.is_ipv4() { "IP4" } else { "IP6" };
        let (ip, port) = (first.ip(), first.port());
        let (id, version) = (local.session.0 & (u64::MAX >> 1), local.session.1);
        write!(out, "v=0\r\no=- {id} {version} IN {ip_version} {ip}\r\ns=-\r\nt=0 0\r\n")?;
        write!(out, "a=group:BUNDLE")?;
        for section in self.sections.iter().filter(|section| section.opus.is_some() || section.video.is_some()) {
            write!(out, " {}", section.mid)?;
        }
        write!(out, "\r\na=ice-lite\r\na=msid-semantic: WMS *\r\n")?;
        if self.allows_mixed_extensions {
            write!(out, "a=extmap-allow-mixed\r\n")?;
        }
        let accepted: Vec<usize> = self.accepted().map(|(index, _)| index).collect();
        let mut slots = ssrcs.slots.iter().enumerate();
        let mut sounds = ssrcs.sounds.iter().copied().enumerate();
        let sound = self.sound_section();
        let (mut tracks, mut video_slots) = (0, ssrcs.videos.iter().copied().enumerate());
        for (index, section) in self.sections.iter().enumerate() {
            if let Some(video) = &section.video {
                let formats = video.payload_types();
                write!(out, "m=video {port} {} {formats}\r\nc=IN {ip_version} {ip}\r\n", section.protocol)?;
                write_transport(out, local, &section.mid)?;
                let is_received = section.direction.sends() && tracks < MAX_TRACKS;
                tracks += usize::from(section.direction.sends());
                let slot = if section.direction.receives() { video_slots.next() } else { None };
                write!(out, "a={}\r\n", direction(slot.is_some(), is_received))?;
                video.write(out, is_received, slot)?;
                continue;
            }
            let Some(opus) = &section.opus else {
                write!(out, "m={} 0 {} {}\r\n", section.kind, section.protocol, section.first_format)?;
                write!(out, "c=IN {ip_version} {ip}\r\na=mid:{}\r\na=inactive\r\n", section.mid)?;
                continue;
            };
            let payload_type = opus.payload_type;
            if section.is_sound {
                write!(out, "m=audio {port} {} {payload_type}\r\nc=IN {ip_version} {ip}\r\n", section.protocol)?;
                write_transport(out, local, &section.mid)?;
                let slot = if section.direction.receives() { sounds.next() } else { None };
                sound::write(out, payload_type, sound == Some(index), slot)?;
                continue;
            }
            // The first is what the client sends, so its own order is kept.
            let formats = match opus.red {
                Some(red) if opus.prefers_red => format!("{red} {payload_type}"),
                Some(red) => format!("{payload_type} {red}"),
                None => payload_type.to_string(),
            };
            write!(out, "m=audio {port} {} {formats}\r\nc=IN {ip_version} {ip}\r\n", section.protocol)?;
            write_transport(out, local, &section.mid)?;
            if let Some(id) = opus.audio_level {
                write!(out, "a=extmap:{id} {AUDIO_LEVEL}\r\n")?;
            }
            let is_accepted = accepted.contains(&index);
            let slot = if is_accepted && section.direction.receives() { slots.next() } else { None };
            let is_received = is_accepted && section.direction.sends();
            let direction = direction(slot.is_some(), is_received);
            write!(out, "a={direction}\r\na=rtcp-mux\r\na=rtpmap:{payload_type} opus/48000/2\r\n")?;
            // What we take (RFC 7587 §6.1): losses repaired in band, nothing sent in silence, no more than the channel's rate.
            write!(out, "a=fmtp:{payload_type} minptime=10;useinbandfec=1;usedtx=1")?;
            if let Some(bitrate) = local.bitrate_bps {
                write!(out, ";maxaveragebitrate={}", bitrate.clamp(OPUS_BITRATES.0, OPUS_BITRATES.1))?;
            }
            write!(out, "\r\n")?;
            // What it misses is sent again; what we miss of it is not worth the wait for all its listeners.
            if opus.repeats && slot.is_some() {
                write!(out, "a=rtcp-fb:{payload_type} nack\r\n")?;
            }
            if let Some(red) = opus.red {
                write!(out, "a=rtpmap:{red} red/48000/2\r\na=fmtp:{red} {payload_type}/{payload_type}\r\n")?;
            }
            if let Some((number, ssrc)) = slot {
                // A stream per slot: browsers then play each slot on its own, and give each its own jitter buffer.
                write!(out, "a=msid:slot-{number} slot-{number}-audio\r\n")?;
                write!(out, "a=ssrc:{ssrc} cname:slot-{number}\r\na=ssrc:{ssrc} msid:slot-{number} slot-{number}-audio\r\n")?;
            }
        }
        Ok(())
    }
}

/// Which way media flows in a section, seen from us.
const fn direction(sends: bool, receives: bool) -> &'static str {
    match (sends, receives) {
        (true, true) => "sendrecv",
        (true, false) => "sendonly",
        (false, true) => "recvonly",
        (false, false) => "inactive",
    }
}

/// What is the same in every section: where we are, and who.
fn write_transport(out: &mut String, local: &Local, mid: &str) -> std::fmt::Result {
    for (address, number) in local.addresses.iter().zip(1..) {
        // RFC 8445 §5.1.2.1 with type preference 126. RFC 8421 would prefer IPv6; both reach the same socket, so we prefer the
        // one that every client has.
        let (ip, port, priority) = (address.ip(), address.port(), (126 << 24) | ((65_536 - number) << 8) | 255);
        write!(out, "a=candidate:{number} 1 udp {priority} {ip} {port} typ host generation 0\r\n")?;
    }
    for (address, number) in local.addresses.iter().zip(1..) {
        let Some(port) = local.addresses.tcp_port else { break };
        // RFC 6544 §4.2: a type preference below UDP's, and direction preference 4 of who only accepts.
        let (ip, priority) = (address.ip(), (90 << 24) | (((4 << 13) | (8_191 - number)) << 8) | 255);
        write!(out, "a=candidate:{} 1 tcp {priority} {ip} {port} typ host tcptype passive generation 0\r\n", number + 2)?;
    }
    write!(out, "a=end-of-candidates\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", local.ufrag, local.password)?;
    write!(out, "a=fingerprint:{}\r\na=setup:passive\r\na=mid:{mid}\r\n", local.fingerprint)
}

/// Attributes that may stand in the session part or in any section. With BUNDLE the first section's count.
#[derive(Default)]
struct Transport {
    ufrag: Option<String>,
    password: Option<String>,
    fingerprint: Option<(String, Vec<u8>)>,
    setup_is_passive: bool,
}

impl Transport {
    fn read(&mut self, line: &str) -> Result<(), &'static str> {
        if let Some(value) = line.strip_prefix("a=ice-ufrag:") {
            // RFC 8839 §5.4: 4 to 256 characters.
            if !(4..=256).contains(&value.len()) {
                return Err("a=ice-ufrag has an impossible length");
            }
            self.ufrag.get_or_insert_with(|| value.to_owned());
        } else if let Some(value) = line.strip_prefix("a=ice-pwd:") {
            if !(22..=256).contains(&value.len()) {
                return Err("a=ice-pwd has an impossible length");
            }
            self.password.get_or_insert_with(|| value.to_owned());
        } else if let Some(value) = line.strip_prefix("a=fingerprint:") {
            let (hash, digest) = value.split_once(' ').ok_or("a=fingerprint has no digest")?;
            let hash = hash.to_ascii_lowercase();
            if hash == "sha-256" && self.fingerprint.is_none() {
                let bytes: Result<Vec<u8>, _> =
                    digest.trim().split(':').take(33).map(|byte| u8::from_str_radix(byte, 16)).collect();
                let bytes = bytes.ok().filter(|bytes| bytes.len() == 32).ok_or("a=fingerprint is not a sha-256 digest")?;
                self.fingerprint = Some((hash, bytes));
            }
        } else if let Some(value) = line.strip_prefix("a=setup:") {
            self.setup_is_passive |= value == "passive";
        }
        Ok(())
    }
}

fn payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|&number| number < 128)
}

struct SectionBuilder {
    section: Section,
    is_offered: bool,
    /// A port of zero is a section that the client itself stopped, or one that has no transport but the first one's.
    is_stopped: bool,
    payload_type: Option<u8>,
    /// The first redundant audio.
    red: Option<u8>,
    /// Parameters that could be its own: lists of payload types.
    fmtp: Vec<(u8, String)>,
    /// Payload types in the order of the offer.
    formats: Vec<u8>,
    audio_level: Option<u8>,
    /// Payload types with feedback about losses.
    nacks: Vec<u8>,
    video: Option<video::Builder>,
}

impl SectionBuilder {
    fn start(media: &str) -> Result<SectionBuilder, &'static str> {
        let mut words = media.split_ascii_whitespace();
        let (Some(kind), Some(port), Some(protocol), Some(format)) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("a media section is cut short");
        };
        let section = Section {
            kind: kind.to_owned(),
            protocol: protocol.to_owned(),
            first_format: format.to_owned(),
            mid: String::new(),
            direction: Direction::SendRecv,
            opus: None,
            ssrc: None,
            is_sound: false,
            video: None,
        };
        let is_usable = protocol.ends_with("RTP/SAVPF");
        let formats = std::iter::once(format).chain(words).take(MAX_FORMATS).filter_map(payload_type).collect();
        Ok(SectionBuilder {
            section,
            is_offered: is_usable && kind == "audio",
            is_stopped: port == "0",
            payload_type: None,
            red: None,
            fmtp: Vec::new(),
            formats,
            audio_level: None,
            nacks: Vec::new(),
            video: (is_usable && kind == "video").then(video::Builder::default),
        })
    }

    fn read(&mut self, line: &str) {
        let Some(attribute) = line.strip_prefix("a=") else { return };
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        if let Some(video) = &mut self.video {
            video.read(name, value);
        }
        match name {
            "mid" => self.section.mid = value.to_owned(),
            "bundle-only" => self.is_stopped = false,
            "sendrecv" => self.section.direction = Direction::SendRecv,
            "sendonly" => self.section.direction = Direction::SendOnly,
            "recvonly" => self.section.direction = Direction::RecvOnly,
            "inactive" => self.section.direction = Direction::Inactive,
            "content" => self.section.is_sound = self.is_offered && sound::is_named(value),
            "rtpmap" => {
                let Some((number, codec)) = value.split_once(' ') else { return };
                let codec = codec.to_ascii_lowercase();
                if codec.starts_with("opus/48000/2") && self.payload_type.is_none() {
                    self.payload_type = payload_type(number);
                } else if codec.starts_with("red/48000/2") && self.red.is_none() {
                    self.red = payload_type(number);
                }
            }
            "fmtp" if value.contains('/') && self.fmtp.len() < MAX_FORMATS => {
                if let Some((number, list)) = value.split_once(' ')
                    && let Some(number) = payload_type(number)
                {
                    self.fmtp.push((number, list.to_owned()));
                }
            }
            "rtcp-fb" if self.nacks.len() < MAX_FORMATS => {
                if let Some((number, "nack")) = value.split_once(' ') {
                    self.nacks.extend(payload_type(number));
                }
            }
            "extmap" => {
                let Some((id, uri)) = value.split_once(' ') else { return };
                // "1/sendonly" has a direction behind the id; ids above 14 need the two-byte form, which we do not write.
                let id = id.split('/').next().and_then(|id| id.parse().ok());
                if uri.split_ascii_whitespace().next() == Some(AUDIO_LEVEL) {
                    self.audio_level = id.filter(|id| (1..=14).contains(id));
                }
            }
            "ssrc" if self.section.ssrc.is_none() => {
                self.section.ssrc = value.split_ascii_whitespace().next().and_then(|ssrc| ssrc.parse().ok());
            }
            _ => {}
        }
    }

    /// Whether redundant audio under `red` carries that Opus and nothing else.
    fn carries(&self, red: u8, opus: u8) -> bool {
        let is_only_opus = |list: &str| list.trim().split('/').all(|part| payload_type(part) == Some(opus));
        self.fmtp.iter().any(|(number, list)| *number == red && is_only_opus(list))
    }

    fn finish(mut self, index: usize) -> Section {
        if self.section.mid.is_empty() {
            self.section.mid = index.to_string();
        }
        if self.is_stopped {
            return self.section;
        }
        self.section.video = self.video.take().and_then(|video| video.finish(&self.formats));
        if self.is_offered {
            self.section.opus = self.payload_type.map(|payload_type| {
                let red = self.red.filter(|&red| self.formats.contains(&red) && self.carries(red, payload_type));
                let place = |of: u8| self.formats.iter().position(|&format| format == of);
                let prefers_red = red.is_some_and(|red| place(red) < place(payload_type));
                let repeats = self.nacks.contains(&payload_type);
                Opus { payload_type, red, prefers_red, audio_level: self.audio_level, repeats }
            });
        }
        self.section
    }
}

#[cfg(test)]
mod tests;
