//! Video sections of an offer: which codecs, header extensions, encodings and streams, and how we answer them.
//!
//! What a client sends is found by its section and encoding names (`mid`, `rid`) until an authentic packet showed its SSRC;
//! what we send has SSRCs that the answer names, with one for retransmissions beside each. Feedback is transport-wide, both ways.

use super::payload_type;
use crate::video::{Codec, MAX_LAYERS, Rid};
use std::fmt::{self, Write};

/// Video slots that one listener may have: the offer's sections beyond these are answered as inactive.
pub const MAX_VIDEO_SLOTS: usize = 16;

/// Videos that one peer may send: a camera and a screen, in this order.
pub const MAX_TRACKS: usize = 2;

const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
const TRANSPORT: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const DEPENDENCY: &str = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// Lines of one kind that are read of a section.
const MAX_LINES: usize = 128;

/// One codec under its payload type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pub codec: Codec,
    pub payload_type: u8,
    /// Of retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// What stands in `a=fmtp`, to repeat it.
    parameters: String,
}

/// Ids of header extensions (RFC 8285), 1 to 14.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    pub mid: Option<u8>,
    pub rid: Option<u8>,
    pub repaired_rid: Option<u8>,
    /// Transport-wide sequence numbers.
    pub transport: Option<u8>,
    /// Dependency descriptors; they may need the two-byte form, so only for clients that take it beside the other.
    pub dependency: Option<u8>,
}

/// Video as one section offers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Video {
    /// Codecs that we forward, the client's favourite first.
    pub formats: Vec<Format>,
    pub extensions: Extensions,
    /// The encodings that it would send, as it orders them; empty without simulcast.
    pub rids: Vec<Rid>,
    /// The SSRC of its only encoding and that of its retransmissions, when the offer names them.
    pub ssrc: Option<(u32, Option<u32>)>,
}

impl Video {
    /// Without dependency descriptors; nobody could be sent a layer of AV1 then. Whether anything is left.
    pub(super) fn undescribed(&mut self) -> bool {
        self.extensions.dependency = None;
        self.formats.retain(|format| format.codec != Codec::Av1);
        !self.formats.is_empty()
    }

    /// Payload types in the order of the answer.
    pub(super) fn payload_types(&self) -> String {
        let mut out = String::new();
        for format in &self.formats {
            for number in std::iter::once(format.payload_type).chain(format.rtx) {
                let separator = if out.is_empty() { "" } else { " " };
                write!(out, "{separator}{number}").expect("writing to a String does not fail");
            }
        }
        out
    }

    /// Everything of an answered section but its transport and direction. `is_received`: the client's encodings are taken;
    /// `slot`: its number, our SSRC, and that of retransmissions.
    pub(super) fn write(&self, out: &mut String, is_received: bool, slot: Option<(usize, (u32, u32))>) -> fmt::Result {
        let Extensions { mid, rid, repaired_rid, transport, dependency } = self.extensions;
        if is_received {
            for (id, uri) in [(mid, MID), (rid, RID), (repaired_rid, REPAIRED_RID)] {
                if let Some(id) = id {
                    write!(out, "a=extmap:{id} {uri}\r\n")?;
                }
            }
        }
        for (id, uri) in [(transport, TRANSPORT), (dependency, DEPENDENCY)] {
            if let Some(id) = id {
                write!(out, "a=extmap:{id} {uri}\r\n")?;
            }
        }
        write!(out, "a=rtcp-mux\r\na=rtcp-rsize\r\n")?;
        for format in &self.formats {
            let (number, name) = (format.payload_type, format.codec.name());
            write!(out, "a=rtpmap:{number} {name}/90000\r\n")?;
            // The older kind of estimate is for clients that do not know the newer one.
            let estimate = if transport.is_some() { "transport-cc" } else { "goog-remb" };
            for feedback in [estimate, "ccm fir", "nack", "nack pli"] {
                write!(out, "a=rtcp-fb:{number} {feedback}\r\n")?;
            }
            if !format.parameters.is_empty() {
                write!(out, "a=fmtp:{number} {}\r\n", format.parameters)?;
            }
            if let Some(rtx) = format.rtx {
                write!(out, "a=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={number}\r\n")?;
            }
        }
        if is_received && !self.rids.is_empty() {
            let names: Vec<&str> = self.rids.iter().map(Rid::as_str).collect();
            for name in &names {
                write!(out, "a=rid:{name} recv\r\n")?;
            }
            write!(out, "a=simulcast:recv {}\r\n", names.join(";"))?;
        }
        if let Some((number, (ssrc, rtx))) = slot {
            let stream = format!("video-{number} video-{number}-video");
            write!(out, "a=msid:{stream}\r\na=ssrc-group:FID {ssrc} {rtx}\r\n")?;
            for ssrc in [ssrc, rtx] {
                write!(out, "a=ssrc:{ssrc} cname:video-{number}\r\na=ssrc:{ssrc} msid:{stream}\r\n")?;
            }
        }
        Ok(())
    }
}

/// Gathers a video section's lines.
#[derive(Default)]
pub(super) struct Builder {
    codecs: Vec<(u8, Option<Codec>)>,
    parameters: Vec<(u8, String)>,
    extensions: Extensions,
    sent: Vec<Rid>,
    simulcast: Option<String>,
    ssrc: Option<u32>,
    group: Option<(u32, u32)>,
}

impl Builder {
    pub fn read(&mut self, name: &str, value: &str) {
        match name {
            "rtpmap" if self.codecs.len() < MAX_LINES => {
                let Some((number, codec)) = value.split_once(' ') else { return };
                let codec = match codec.trim().to_ascii_lowercase().as_str() {
                    "vp8/90000" => Some(Codec::Vp8),
                    "h264/90000" => Some(Codec::H264),
                    "vp9/90000" => Some(Codec::Vp9),
                    "av1/90000" => Some(Codec::Av1),
                    "rtx/90000" => None,
                    _ => return,
                };
                self.codecs.extend(payload_type(number).map(|number| (number, codec)));
            }
            "fmtp" if self.parameters.len() < MAX_LINES => {
                let Some((number, list)) = value.split_once(' ') else { return };
                self.parameters.extend(payload_type(number).map(|number| (number, list.trim().to_owned())));
            }
            "extmap" => {
                let Some((id, uri)) = value.split_once(' ') else { return };
                // "1/sendonly" has a direction behind the id; ids above 14 need the two-byte form, which we do not write.
                let id = id.split('/').next().and_then(|id| id.parse().ok()).filter(|id| (1..=14).contains(id));
                match uri.split_ascii_whitespace().next() {
                    Some(MID) => self.extensions.mid = id,
                    Some(RID) => self.extensions.rid = id,
                    Some(REPAIRED_RID) => self.extensions.repaired_rid = id,
                    Some(TRANSPORT) => self.extensions.transport = id,
                    Some(DEPENDENCY) => self.extensions.dependency = id,
                    _ => {}
                }
            }
            "rid" if self.sent.len() < MAX_LINES => {
                let mut words = value.split_ascii_whitespace();
                if let (Some(rid), Some("send")) = (words.next().and_then(|rid| Rid::new(rid.as_bytes())), words.next()) {
                    self.sent.push(rid);
                }
            }
            "simulcast" => {
                let mut words = value.split_ascii_whitespace();
                self.simulcast = words.find(|word| *word == "send").and_then(|_| words.next()).map(str::to_owned);
            }
            "ssrc" => {
                self.ssrc = self.ssrc.or_else(|| value.split_ascii_whitespace().next()?.parse().ok());
            }
            "ssrc-group" => {
                let mut words = value.split_ascii_whitespace();
                let mut number = || words.next().and_then(|word| word.parse().ok());
                if value.starts_with("FID ") {
                    let _ = number();
                    self.group = self.group.or_else(|| Some((number()?, number()?)));
                }
            }
            _ => {}
        }
    }

    /// `None` when nothing that we forward is offered. `order`: the payload types of the section.
    pub fn finish(self, order: &[u8]) -> Option<Video> {
        let parameters = |number: u8| self.parameters.iter().find(|(of, _)| *of == number).map_or("", |(_, list)| list.as_str());
        let rtx = |number: u8| {
            let repeats = |&&(rtx, codec): &&(u8, Option<Codec>)| {
                codec.is_none() && parameters(rtx).split(';').any(|each| each.trim() == format!("apt={number}"))
            };
            self.codecs.iter().find(repeats).map(|(rtx, _)| *rtx)
        };
        let mut formats: Vec<Format> = Vec::new();
        for &payload_type in order {
            let Some(&(_, Some(codec))) = self.codecs.iter().find(|(number, _)| *number == payload_type) else { continue };
            let is_known = formats.iter().any(|format| format.codec == codec);
            if is_known || !is_common(codec, parameters(payload_type)) {
                continue;
            }
            let parameters = parameters(payload_type).to_owned();
            formats.push(Format { codec, payload_type, rtx: rtx(payload_type), parameters });
        }
        // Who does not choose sends what everybody decodes.
        formats.sort_by_key(|format| format.codec.is_layered());
        if formats.is_empty() {
            return None;
        }
        // Alternatives of one encoding (RFC 8853 §5.1): the first counts, a tilde only says that it is paused at first.
        let offered = self.simulcast.iter().flat_map(|list| list.split(';'));
        let first = |each: &str| Rid::new(each.split(',').next()?.trim_start_matches('~').as_bytes());
        let rids = offered.filter_map(first).filter(|rid| self.sent.contains(rid)).take(MAX_LAYERS).collect();
        let ssrc = match self.group {
            Some((ssrc, rtx)) => Some((ssrc, Some(rtx))),
            None => self.ssrc.map(|ssrc| (ssrc, None)),
        };
        Some(Video { formats, extensions: self.extensions, rids, ssrc })
    }
}

/// Whether every browser that decodes a codec decodes this form of it: baseline and packets that may hold parts of a unit,
/// eight bits and a quarter of the colours.
fn is_common(codec: Codec, parameters: &str) -> bool {
    let of = |name: &str| {
        let pairs = parameters.split(';').filter_map(|each| each.trim().split_once('='));
        pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    match codec {
        Codec::Vp8 => true,
        Codec::H264 => of("packetization-mode") == Some("1") && of("profile-level-id").is_some_and(|id| id.starts_with("42")),
        Codec::Vp9 => of("profile-id").is_none_or(|profile| profile == "0"),
        Codec::Av1 => of("profile").is_none_or(|profile| profile == "0"),
    }
}
