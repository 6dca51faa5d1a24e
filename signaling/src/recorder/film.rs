//! What a recording makes of a room's cameras and screens: files of pictures as they were sent, in pieces.
//!
//! **Time.** As for voices ([`super::reel`]): a picture's place is where its publisher's own clock puts it, as long as that agrees
//! with when it arrived within [`SLACK`], so that voices and pictures that are laid side by side from their starts stay together.
//! Where pictures are missing there is none: the one before stands still, and nothing runs faster.
//!
//! **Files.** Each begins with a key frame. A video that pauses for [`PAUSE`], changes its codec or makes a file too long goes on in
//! another file; one whose size changes goes on in the same. A piece ends with a cluster, so every beginning is a file.
//!
//! Pure: times are ticks of 90 kHz since the recording began.

use super::assembly::{Assembly, Packet, Whole};
use super::matroska::{MatroskaFile, Stream};
use super::reel::Piece;
use guildhall_protocol::UserId;
use guildhall_protocol::fleet::{Medium, RECORDED_BYTES};
use guildhall_sfu::video::{CLOCK_HZ, Codec, Source};
use guildhall_sfu::{PeerId, Seen};
use std::collections::HashMap;

pub const PER_MS: u64 = CLOCK_HZ as u64 / 1_000;
const SECOND: u64 = CLOCK_HZ as u64;

/// How far a publisher's clock and the arrival of its pictures may differ: packets that were asked for again come late.
const SLACK: u64 = 1_500 * PER_MS;

/// A video of which nothing came for this long goes on in another file; screens that stand still are sent once a second.
const PAUSE: u64 = 30 * SECOND;

/// Who sent nothing for this long sends no key frame either.
const ALIVE: u64 = 3 * SECOND;

/// A key frame is asked for when there was none for this long: players search for them, and a lost piece shows no longer.
const KEY_INTERVAL: u64 = 30 * SECOND;

/// A piece is sent when it is this long or this large: what is lost when a machine dies, and an object in the store.
const PIECE: u64 = 5 * SECOND;
const PIECE_BYTES: usize = RECORDED_BYTES / 2;

/// A file that is this large goes on in another: what players and people's disks take well.
const FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Files of one video in one recording: a publisher that makes more than one a minute or so is left out.
const FILES: u32 = 256;

/// Videos that are recorded at a time: what waits of them is 100 MB at the most. Beyond: they are left out.
const VIDEOS: usize = 50;

/// What Matroska calls a codec, and whether it is one of WebM's.
fn name_of(codec: Codec) -> (&'static str, bool) {
    match codec {
        Codec::Vp8 => ("V_VP8", true),
        Codec::H264 => ("V_MPEG4/ISO/AVC", false),
        Codec::Vp9 => ("V_VP9", true),
        Codec::Av1 => ("V_AV1", true),
    }
}

/// A recording's videos.
#[derive(Default)]
pub struct Film {
    videos: HashMap<(UserId, Source), Video>,
    /// What has happened since the last call of [`Film::take_counts`].
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pictures that were written.
    pub pictures: u64,
    /// Packets that were left out.
    pub lost: u64,
}

struct Video {
    /// What is assembled: whose connection, and which of its streams.
    stream: (PeerId, (u32, u32)),
    assembly: Assembly,
    /// The newest picture of the stream: its RTP time and its place.
    anchor: Option<(u32, u64)>,
    file: Option<File>,
    files: u32,
    /// When anything came.
    heard: u64,
    /// When the newest key frame was written.
    key: u64,
    lost: u32,
}

struct File {
    medium: Medium,
    codec: Codec,
    writer: MatroskaFile,
    /// Milliseconds of the recording: its first picture and its newest.
    start: u64,
    end: u64,
    /// When the newest piece was cut, and how many were.
    cut: u64,
    pieces: u32,
    bytes: u64,
}

impl Film {
    /// A packet of a user's video, which arrived then.
    pub fn see(&mut self, user: UserId, at: u64, seen: Seen, pieces: &mut Vec<Piece>) {
        let Seen { publisher, source, stream, codec, index, timestamp, marker, payload, .. } = seen;
        let stream = (publisher, stream);
        if self.videos.len() >= VIDEOS && !self.videos.contains_key(&(user, source)) {
            self.counts.lost += 1;
            return;
        }
        let video = self.videos.entry((user, source)).or_insert_with(|| Video::new(stream, codec));
        if video.stream != stream || video.assembly.codec() != codec {
            video.lost += video.assembly.take_lost();
            (video.stream, video.assembly, video.anchor) = (stream, Assembly::new(codec), None);
        }
        video.heard = at;
        video.assembly.push(Packet { index, timestamp, marker, at, payload });
        video.write((user, source), at, &mut self.counts, pieces);
    }

    /// Writes what is due, and gives the pieces that are ready.
    pub fn tick(&mut self, now: u64) -> Vec<Piece> {
        let mut pieces = Vec::new();
        self.videos.retain(|&(user, source), video| {
            video.write((user, source), now, &mut self.counts, &mut pieces);
            let is_over = now.saturating_sub(video.heard) > PAUSE;
            if let Some(file) = &mut video.file
                && (is_over || now >= file.cut + PIECE)
            {
                file.cut_piece(user, now, &mut video.lost, &mut pieces);
            }
            // Only what made too many files is remembered for that.
            !is_over || video.files >= FILES
        });
        pieces
    }

    /// Ends all files where they are.
    pub fn end(&mut self, now: u64) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for ((user, source), mut video) in self.videos.drain() {
            video.write((user, source), now, &mut self.counts, &mut pieces);
            if let Some(mut file) = video.file {
                file.cut_piece(user, now, &mut video.lost, &mut pieces);
            }
        }
        pieces
    }

    /// The videos that come and cannot go on, or should not for long, without a key frame.
    pub fn wishes(&self, now: u64) -> impl Iterator<Item = (PeerId, Source)> {
        let waits = move |video: &Video| {
            let is_there = now.saturating_sub(video.heard) < ALIVE;
            is_there
                && match &video.file {
                    Some(_) => video.assembly.needs_key_frame() || now > video.key + KEY_INTERVAL,
                    None => video.files < FILES,
                }
        };
        self.videos.iter().filter(move |(_, video)| waits(video)).map(|(&(_, source), video)| (video.stream.0, source))
    }

    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

impl Video {
    fn new(stream: (PeerId, (u32, u32)), codec: Codec) -> Self {
        Self { stream, assembly: Assembly::new(codec), anchor: None, file: None, files: 0, heard: 0, key: 0, lost: 0 }
    }

    fn write(&mut self, whose: (UserId, Source), now: u64, counts: &mut Counts, pieces: &mut Vec<Piece>) {
        while let Some(whole) = self.assembly.pop(now) {
            counts.pictures += u64::from(self.place(whose, whole, now, pieces).is_some());
        }
        let lost = self.assembly.take_lost();
        self.lost = self.lost.saturating_add(lost);
        counts.lost += u64::from(lost);
    }

    /// Puts a picture where it belongs; `None`: there is no file that it could be in.
    fn place(&mut self, (user, source): (UserId, Source), whole: Whole, now: u64, pieces: &mut Vec<Piece>) -> Option<()> {
        let Whole { timestamp, at, picture } = whole;
        let by_clock = self
            .anchor
            .and_then(|(before, place)| place.checked_add_signed(i64::from(timestamp.wrapping_sub(before).cast_signed())));
        let place = by_clock.filter(|place| place.abs_diff(at) <= SLACK).unwrap_or(at);
        self.anchor = Some((timestamp, place));
        let at_ms = place / PER_MS;
        let codec = self.assembly.codec();
        let is_over =
            |file: &File| file.codec != codec || at_ms > file.end + PAUSE / PER_MS || picture.is_key && file.bytes > FILE_BYTES;
        let mut after = 0;
        if let Some(mut file) = self.file.take_if(|file| is_over(file)) {
            file.cut_piece(user, now, &mut self.lost, pieces);
            after = file.end + 1;
        }
        if self.file.is_none() {
            let head = picture.head.as_ref().filter(|_| picture.is_key && self.files < FILES)?;
            let (codec_id, is_webm) = name_of(codec);
            let writer = MatroskaFile::new(&Stream { is_webm, codec_id, private: &head.private, size: head.size });
            let medium = Medium::Pictures { source, is_webm };
            let start = at_ms.max(after);
            self.file = Some(File { medium, codec, writer, start, end: start, cut: now, pieces: 0, bytes: 0 });
            self.files += 1;
        }
        let file = self.file.as_mut()?;
        if picture.is_key {
            self.key = now;
        }
        // Two at once would not be in order for players.
        file.end = at_ms.max(file.end + u64::from(file.bytes > 0));
        file.bytes += picture.bytes.len() as u64;
        file.writer.push(file.end - file.start, picture.is_key, &picture.bytes);
        if file.writer.waiting() >= PIECE_BYTES {
            file.cut_piece(user, now, &mut self.lost, pieces);
        }
        Some(())
    }
}

impl File {
    /// Gives what is written, in as many pieces as it takes.
    fn cut_piece(&mut self, user: UserId, now: u64, lost: &mut u32, pieces: &mut Vec<Piece>) {
        self.writer.end_cluster();
        self.cut = now;
        let bytes = self.writer.take();
        for bytes in bytes.chunks(RECORDED_BYTES) {
            pieces.push(Piece {
                user,
                medium: self.medium,
                start_ms: self.start,
                number: self.pieces,
                length_ms: self.end - self.start,
                lost: std::mem::take(lost),
                bytes: bytes.to_vec(),
            });
            self.pieces += 1;
        }
    }
}

#[cfg(test)]
mod tests;
