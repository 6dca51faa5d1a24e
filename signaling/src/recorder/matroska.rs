//! A Matroska file of one video (RFC 9559), written from its beginning to its end without looking back: what was taken of it at
//! the end of a cluster is a file that plays. With a codec of WebM's it is WebM.
//!
//! The crates that write Matroska bind to C++ or bring a code generator and a third major version of `syn`; the eighteen elements
//! that a stream of one track needs are these. A file without an index is searched by its clusters, which begin with key frames
//! where there are any.

use guildhall_protocol::fleet::DURATION_AT;

/// Elements (RFC 8794 §11.2, RFC 9559 §5.1), with the bits that tell their length.
mod id {
    pub const EBML: u32 = 0x1A45_DFA3;
    pub const EBML_VERSION: u32 = 0x4286;
    pub const EBML_READ_VERSION: u32 = 0x42F7;
    pub const EBML_MAX_ID_LENGTH: u32 = 0x42F2;
    pub const EBML_MAX_SIZE_LENGTH: u32 = 0x42F3;
    pub const DOC_TYPE: u32 = 0x4282;
    pub const DOC_TYPE_VERSION: u32 = 0x4287;
    pub const DOC_TYPE_READ_VERSION: u32 = 0x4285;
    pub const SEGMENT: u32 = 0x1853_8067;
    pub const INFO: u32 = 0x1549_A966;
    pub const DURATION: u32 = 0x4489;
    pub const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
    pub const MUXING_APP: u32 = 0x4D80;
    pub const WRITING_APP: u32 = 0x5741;
    pub const TRACKS: u32 = 0x1654_AE6B;
    pub const TRACK_ENTRY: u32 = 0xAE;
    pub const TRACK_NUMBER: u32 = 0xD7;
    pub const TRACK_UID: u32 = 0x73C5;
    pub const FLAG_LACING: u32 = 0x9C;
    pub const TRACK_TYPE: u32 = 0x83;
    pub const CODEC_ID: u32 = 0x86;
    pub const CODEC_PRIVATE: u32 = 0x63A2;
    pub const VIDEO: u32 = 0xE0;
    pub const PIXEL_WIDTH: u32 = 0xB0;
    pub const PIXEL_HEIGHT: u32 = 0xBA;
    pub const CLUSTER: u32 = 0x1F43_B675;
    pub const CLUSTER_TIMESTAMP: u32 = 0xE7;
    pub const SIMPLE_BLOCK: u32 = 0xA3;
}

/// Who wrote it.
const APP: &str = "Guildhall";

/// The only track's number, and the type of a video.
const TRACK: u64 = 1;
const IS_VIDEO: u64 = 1;

/// A segment whose end is not known.
const ENDLESS: [u8; 8] = [0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];

/// The longest cluster: blocks count from its beginning in 16 bits, with sign.
const CLUSTER_MS: u64 = 30_000;

/// What is in the file.
pub struct Stream<'a> {
    pub is_webm: bool,
    /// As Matroska calls the codec.
    pub codec_id: &'a str,
    /// What decoders need to know before the first frame; empty where they need nothing.
    pub private: &'a [u8],
    pub size: (u16, u16),
}

pub struct MatroskaFile {
    /// What is whole.
    written: Vec<u8>,
    /// The cluster that grows: when it began, and its blocks.
    cluster: Option<u64>,
    blocks: Vec<u8>,
}

impl MatroskaFile {
    pub fn new(stream: &Stream) -> Self {
        let mut written = Vec::new();
        let mut head = Vec::new();
        unsigned(&mut head, id::EBML_VERSION, 1);
        unsigned(&mut head, id::EBML_READ_VERSION, 1);
        unsigned(&mut head, id::EBML_MAX_ID_LENGTH, 4);
        unsigned(&mut head, id::EBML_MAX_SIZE_LENGTH, 8);
        // Of one length, so that what follows has its place; zeros end a string (RFC 8794 §13).
        element(&mut head, id::DOC_TYPE, if stream.is_webm { b"webm\0\0\0\0" } else { b"matroska" });
        unsigned(&mut head, id::DOC_TYPE_VERSION, 4);
        unsigned(&mut head, id::DOC_TYPE_READ_VERSION, 2);
        element(&mut written, id::EBML, &head);

        name(&mut written, id::SEGMENT);
        written.extend(ENDLESS);

        let mut info = Vec::new();
        element(&mut info, id::DURATION, &0f64.to_be_bytes());
        // Milliseconds.
        unsigned(&mut info, id::TIMESTAMP_SCALE, 1_000_000);
        element(&mut info, id::MUXING_APP, APP.as_bytes());
        element(&mut info, id::WRITING_APP, APP.as_bytes());
        let before = info.len();
        element(&mut written, id::INFO, &info);
        // The first thing in it, behind two bytes of name and one of length.
        debug_assert_eq!(written.len() - before + 3, DURATION_AT);

        let mut entry = Vec::new();
        unsigned(&mut entry, id::TRACK_NUMBER, TRACK);
        unsigned(&mut entry, id::TRACK_UID, TRACK);
        unsigned(&mut entry, id::FLAG_LACING, 0);
        unsigned(&mut entry, id::TRACK_TYPE, IS_VIDEO);
        element(&mut entry, id::CODEC_ID, stream.codec_id.as_bytes());
        if !stream.private.is_empty() {
            element(&mut entry, id::CODEC_PRIVATE, stream.private);
        }
        let mut video = Vec::new();
        unsigned(&mut video, id::PIXEL_WIDTH, u64::from(stream.size.0));
        unsigned(&mut video, id::PIXEL_HEIGHT, u64::from(stream.size.1));
        element(&mut entry, id::VIDEO, &video);
        let mut tracks = Vec::new();
        element(&mut tracks, id::TRACK_ENTRY, &entry);
        element(&mut written, id::TRACKS, &tracks);
        Self { written, cluster: None, blocks: Vec::new() }
    }

    /// Adds a frame that is shown at this moment of the file, which is after all before it.
    pub fn push(&mut self, at_ms: u64, is_key: bool, frame: &[u8]) {
        if is_key || self.cluster.is_some_and(|began| at_ms - began > CLUSTER_MS) {
            self.end_cluster();
        }
        let began = *self.cluster.get_or_insert(at_ms);
        name(&mut self.blocks, id::SIMPLE_BLOCK);
        length(&mut self.blocks, 4 + frame.len());
        self.blocks.push(0x80 | TRACK as u8);
        self.blocks.extend(((at_ms - began) as i16).to_be_bytes());
        self.blocks.push(if is_key { 0x80 } else { 0 });
        self.blocks.extend(frame);
    }

    /// Ends the cluster, so that all that was pushed can be taken.
    pub fn end_cluster(&mut self) {
        let Some(began) = self.cluster.take() else { return };
        let mut time = Vec::new();
        unsigned(&mut time, id::CLUSTER_TIMESTAMP, began);
        name(&mut self.written, id::CLUSTER);
        length(&mut self.written, time.len() + self.blocks.len());
        self.written.extend(time);
        self.written.append(&mut self.blocks);
    }

    /// What is whole and was not taken before.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written)
    }

    /// Bytes that wait to be taken, with those that are not whole yet.
    pub fn waiting(&self) -> usize {
        self.written.len() + self.blocks.len()
    }
}

fn name(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    out.extend(&bytes[id.leading_zeros() as usize / 8..]);
}

/// A length in as few bytes as it takes (RFC 8794 §4); all bits set would mean that it is unknown.
fn length(out: &mut Vec<u8>, length: usize) {
    let length = length as u64;
    let bytes = (1..=8).find(|bytes| length < (1 << (7 * bytes)) - 1).expect("nothing in memory is so long");
    let marked = length | 1 << (7 * bytes);
    out.extend(&marked.to_be_bytes()[8 - bytes..]);
}

fn element(out: &mut Vec<u8>, id: u32, body: &[u8]) {
    name(out, id);
    length(out, body.len());
    out.extend(body);
}

fn unsigned(out: &mut Vec<u8>, id: u32, value: u64) {
    let bytes = value.to_be_bytes();
    element(out, id, &bytes[(value.leading_zeros() as usize / 8).min(7)..]);
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An element's name, where its body begins, and how long it is; `None`: to the end.
    fn head(bytes: &[u8], at: usize) -> (u32, usize, Option<usize>) {
        let id_len = bytes[at].leading_zeros() as usize + 1;
        let id = bytes[at..at + id_len].iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
        let at = at + id_len;
        let len = bytes[at].leading_zeros() as usize + 1;
        let value = bytes[at..at + len].iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte)) & ((1 << (7 * len)) - 1);
        (id, at + len, (value != (1 << (7 * len)) - 1).then_some(value as usize))
    }

    /// Every element that is not made of others, in order. Panics over what is cut short.
    fn leaves(bytes: &[u8], out: &mut Vec<(u32, Vec<u8>)>) {
        let mut at = 0;
        while at < bytes.len() {
            let (id, body, len) = head(bytes, at);
            let body = &bytes[body..len.map_or(bytes.len(), |len| body + len)];
            match id {
                id::EBML | id::SEGMENT | id::INFO | id::TRACKS | id::TRACK_ENTRY | id::VIDEO | id::CLUSTER => leaves(body, out),
                _ => out.push((id, body.to_vec())),
            }
            at = body.as_ptr() as usize + body.len() - bytes.as_ptr() as usize;
        }
    }

    pub fn read(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let mut out = Vec::new();
        leaves(bytes, &mut out);
        out
    }

    /// Every frame with its time and whether it is a key frame, as a reader finds them.
    pub fn frames(bytes: &[u8]) -> Vec<(u64, bool, Vec<u8>)> {
        let mut began = 0;
        let mut frames = Vec::new();
        for (id, body) in read(bytes) {
            match id {
                id::CLUSTER_TIMESTAMP => began = body.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)),
                id::SIMPLE_BLOCK => {
                    let after = i16::from_be_bytes([body[1], body[2]]) as u64;
                    frames.push((began + after, body[3] & 0x80 != 0, body[4..].to_vec()));
                }
                _ => {}
            }
        }
        frames
    }

    const VP8: Stream = Stream { is_webm: true, codec_id: "V_VP8", private: &[], size: (640, 360) };

    #[test]
    fn the_head_says_what_is_in_the_file_and_where_its_length_will_stand() {
        for (is_webm, codec_id, private) in [(true, "V_VP8", &[][..]), (false, "V_MPEG4/ISO/AVC", &[1, 2, 3])] {
            let head = MatroskaFile::new(&Stream { is_webm, codec_id, private, ..VP8 }).take();
            let told = read(&head);
            let of = |id| told.iter().find(|(other, _)| *other == id).map(|(_, body)| &body[..]);
            assert_eq!(of(id::DOC_TYPE), Some(if is_webm { &b"webm\0\0\0\0"[..] } else { b"matroska" }));
            assert_eq!((of(id::CODEC_ID), of(id::PIXEL_WIDTH)), (Some(codec_id.as_bytes()), Some(&[2, 128][..])));
            assert_eq!(of(id::CODEC_PRIVATE), (!private.is_empty()).then_some(private));
            assert_eq!(of(id::TIMESTAMP_SCALE), Some(&[0x0F, 0x42, 0x40][..]));
            assert_eq!(head[DURATION_AT - 3..DURATION_AT + 8], [0x44, 0x89, 0x88, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
    }

    #[test]
    fn every_beginning_that_ends_with_a_cluster_is_a_file_with_the_frames_where_they_were() {
        let mut file = MatroskaFile::new(&VP8);
        let (mut all, mut pushed) = (file.take(), Vec::new());
        // Frames of every length of a length, and a time in which nothing came.
        for (number, len) in [1, 122, 123, 124, 16_378, 16_379, 16_380, 70_000].into_iter().enumerate() {
            for (at, is_key) in [(0, number == 0), (33, false), (CLUSTER_MS + 60, number % 2 == 0)] {
                let at = number as u64 * 100_000 + at;
                pushed.push((at, is_key, vec![number as u8; len]));
                file.push(at, is_key, &vec![number as u8; len]);
            }
            assert!(file.waiting() > len);
            file.end_cluster();
            all.extend(file.take());
            assert!(frames(&all) == pushed, "after {number}");
            assert_eq!(file.waiting(), 0);
        }
    }
}
