//! What a recording makes of the packets of a room: a file for each user, in pieces.
//!
//! **Time.** All tracks count from the beginning of the recording. A packet's place is where its speaker's own RTP clock puts it,
//! as long as that agrees with when it arrived within [`SLACK`]: jitter moves nothing. A speaker that stopped its clock in a
//! pause (bots do), reconnected or drifted away is put where it arrived. Where nothing arrived there is silence, of packets that
//! every decoder knows: so every player shows a track as long as it was, and tracks that are laid side by side from their starts
//! stay together.
//!
//! **Order.** What arrives waits for [`PATIENCE`], so that what the network put out of order is put back. What comes later than
//! that is left out, and counted.
//!
//! Pure: times come in as samples since the recording began, and pieces go out.

use super::ogg::OpusFile;
use super::opus::{self, PER_MS, QUANTUM};
use guildhall_protocol::UserId;
use guildhall_protocol::fleet::Medium;
use guildhall_sfu::PeerId;
use std::collections::{BTreeMap, HashMap};

/// How far a speaker's clock and the arrival of its packets may differ: more than networks delay packets that are still played.
const SLACK: u64 = 500 * PER_MS;

/// How long a packet waits for those before it: as long as players wait at the most.
const PATIENCE: u64 = 500 * PER_MS;

/// A piece is sent when it is this long: what is lost when a machine dies, and an object in the store.
const PIECE: u64 = 5_000 * PER_MS;

/// Or this large, whatever its length: a tenth of what may cross the line, as it is looked at once a second.
const PIECE_BYTES: usize = guildhall_protocol::fleet::RECORDED_BYTES / 10;

/// Packets of one speaker that wait: a second and a half of the shortest. Beyond: they are left out.
const WAITING: usize = 600;

/// Users that are recorded, as many as a voice channel may have. Beyond: their packets are left out.
const TRACKS: usize = 99;

/// A piece of a track, to be appended to what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub user: UserId,
    pub medium: Medium,
    pub start_ms: u64,
    pub number: u32,
    pub length_ms: u64,
    pub lost: u32,
    pub bytes: Vec<u8>,
}

/// A recording's files.
#[derive(Default)]
pub struct Reel {
    tracks: HashMap<UserId, Track>,
    /// Packets that belong to nobody's track; the next piece of anybody's says so.
    lost: u32,
}

struct Track {
    /// When it begins and how far it is written, in samples of the recording.
    start: u64,
    end: u64,
    /// The newest packet: whose connection, its RTP time, and its place.
    anchor: Option<(PeerId, u32, u64)>,
    waiting: BTreeMap<u64, Box<[u8]>>,
    file: OpusFile,
    /// Where the newest piece ended, and its number.
    cut: u64,
    pieces: u32,
    lost: u32,
}

/// A packet as it arrived.
pub struct Packet {
    pub user: UserId,
    pub peer: PeerId,
    /// RTP time.
    pub timestamp: u32,
    /// When it arrived, in samples since the recording began.
    pub at: u64,
    pub opus: Box<[u8]>,
}

impl Reel {
    /// So many packets did not get here.
    pub fn miss(&mut self, packets: u32) {
        self.lost = self.lost.saturating_add(packets);
    }

    pub fn hear(&mut self, packet: Packet) {
        if !self.tracks.contains_key(&packet.user) {
            if self.tracks.len() >= TRACKS {
                return self.miss(1);
            }
            self.tracks.insert(packet.user, Track::new(packet.user, packet.at / QUANTUM * QUANTUM));
        }
        let track = self.tracks.get_mut(&packet.user).expect("made if it was not there");
        track.hear(packet);
    }

    /// Writes what is due, and gives the pieces that are ready. `now` in samples since the recording began.
    pub fn tick(&mut self, now: u64) -> Vec<Piece> {
        self.write(now.saturating_sub(PATIENCE), false)
    }

    /// Ends all files where they are by now.
    pub fn end(&mut self, now: u64) -> Vec<Piece> {
        self.write(now, true)
    }

    fn write(&mut self, until: u64, is_end: bool) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (user, track) in &mut self.tracks {
            if is_end {
                track.write_until(track.newest().max(until));
                track.end += track.file.end();
            } else {
                track.write_until(until);
                if track.end < track.cut + PIECE && track.file.written() < PIECE_BYTES {
                    continue;
                }
                track.file.end_page();
            }
            track.lost += std::mem::take(&mut self.lost);
            pieces.push(track.cut_piece(*user));
        }
        pieces
    }
}

impl Track {
    fn new(user: UserId, start: u64) -> Self {
        let comments = [("USER", user.to_string()), ("START_MS", (start / PER_MS).to_string())];
        let file = OpusFile::new(user.get() as u32 ^ start as u32, &comments);
        let (waiting, anchor) = (BTreeMap::new(), None);
        Self { start, end: start, anchor, waiting, file, cut: start, pieces: 0, lost: 0 }
    }

    /// The end of all that is there, written or not.
    fn newest(&self) -> u64 {
        let newest = self.waiting.last_key_value();
        newest.map_or(self.end, |(place, packet)| place + opus::samples(packet).expect("looked at when it came"))
    }

    fn hear(&mut self, packet: Packet) {
        let Packet { peer, timestamp, at, opus, .. } = packet;
        let newest = self.newest();
        // Where the speaker's clock puts it; it may be behind the newest.
        let by_clock = self
            .anchor
            .filter(|(known, ..)| *known == peer)
            .and_then(|(_, before, place)| place.checked_add_signed(i64::from(timestamp.wrapping_sub(before).cast_signed())));
        // Put where it arrived, it is not written over what was said before.
        let place = by_clock.filter(|place| place.abs_diff(at) <= SLACK).unwrap_or(at.max(newest)) / QUANTUM * QUANTUM;
        if self.anchor.is_none_or(|(known, _, newest)| known != peer || place > newest || by_clock != Some(place)) {
            self.anchor = Some((peer, timestamp, place));
        }
        if place < self.end || self.waiting.len() >= WAITING || opus::samples(&opus).is_none() {
            self.lost = self.lost.saturating_add(1);
            return;
        }
        self.waiting.insert(place, opus);
    }

    /// Writes what begins before this moment, and silence where nothing is.
    fn write_until(&mut self, until: u64) {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() < until) {
            let (place, opus) = entry.remove_entry();
            let samples = opus::samples(&opus).expect("looked at when it came");
            if place < self.end {
                // It overlaps with one before it.
                self.lost = self.lost.saturating_add(1);
                continue;
            }
            self.fill_until(place);
            self.file.push(opus, samples);
            self.end += samples;
        }
        self.fill_until(until);
    }

    fn fill_until(&mut self, until: u64) {
        while let Some((samples, packet)) = opus::silence(until.saturating_sub(self.end)) {
            self.file.push(packet.into(), samples);
            self.end += samples;
        }
    }

    fn cut_piece(&mut self, user: UserId) -> Piece {
        let piece = Piece {
            user,
            medium: Medium::Voice,
            start_ms: self.start / PER_MS,
            number: self.pieces,
            length_ms: (self.end - self.start) / PER_MS,
            lost: std::mem::take(&mut self.lost),
            bytes: self.file.take(),
        };
        self.cut = self.end;
        self.pieces += 1;
        piece
    }
}

#[cfg(test)]
mod tests;
