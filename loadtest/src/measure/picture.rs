//! One camera as one viewer sees it: which frames could be shown when, in which layer, and when the picture stood still. Pure:
//! packets with times in, entries in a [`Pictures`] out.
//!
//! A packet is known again by a stamp at its end, as with audio; what lies before it is a VP8 payload descriptor and filler. A
//! frame can be shown when all of it came, and when it is a key frame or the one before it in its layer was shown.

use super::book::{Times, times};
use crate::scenario::video::Video;
use std::collections::BTreeMap;

/// Bytes of a stamp.
pub const LEN: usize = 36;
const MAGIC: [u8; 4] = *b"GHvd";
/// Encodings of one camera.
pub const MOST_LAYERS: usize = 3;
/// Packets of one frame: what the bits of a word count.
pub const MOST_PACKETS: usize = 64;
/// Frames that wait for what is missing: more than any listener's patience.
const MOST_FRAMES: usize = 128;
/// A picture stands still when the next frame comes so much later than its turn, and three times as late at least, as browsers
/// count freezes (webrtc-stats, `freezeCount`): its turn is what so many frames before it took on average.
const FREEZE: u64 = 150_000_000;
const FRAMES_BEFORE: usize = 30;
/// When a picture could not go on for so long, and again after so long, a key frame is asked for.
const PATIENCE: u64 = 500_000_000;
/// Seconds of a window whose bytes are kept apart: the longest scenarios with video take minutes.
const MOST_SECONDS: usize = 3_600;
const SECOND: u64 = 1_000_000_000;

/// Whose packet of which frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Random per run, so that nobody counts a stranger's load.
    pub run: u32,
    /// Index of the person.
    pub speaker: u32,
    pub room: u32,
    /// Counts the frames of this layer.
    pub frame: u32,
    /// Counts how often the camera was switched on.
    pub take: u16,
    pub layer: u8,
    pub is_key: bool,
    /// Of the packets of this frame.
    pub index: u8,
    pub count: u8,
    /// When it went on the wire, in nanoseconds since 1970.
    pub sent: u64,
}

impl Stamp {
    /// The stamp at the end of a packet, if there is an undamaged one.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = payload.last_chunk()?;
        if bytes[..4] != MAGIC {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let stamp = Self {
            run: word(4),
            speaker: word(8),
            room: word(12),
            frame: word(16),
            sent: u64::from(word(20)) << 32 | u64::from(word(24)),
            take: u16::from_be_bytes([bytes[28], bytes[29]]),
            layer: bytes[30] >> 1,
            is_key: bytes[30] & 1 == 1,
            index: bytes[31],
            count: bytes[32],
        };
        let is_possible = stamp.index < stamp.count && usize::from(stamp.count) <= MOST_PACKETS;
        (is_possible && usize::from(stamp.layer) < MOST_LAYERS && stamp.bytes() == *bytes).then_some(stamp)
    }

    pub fn bytes(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.run.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.speaker.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.room.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.frame.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.sent.to_be_bytes());
        bytes[28..30].copy_from_slice(&self.take.to_be_bytes());
        bytes[30] = self.layer << 1 | u8::from(self.is_key);
        bytes[31] = self.index;
        bytes[32] = self.count;
        // FNV-1a over the rest: a damaged stamp must not be believed.
        let sum = bytes.iter().fold(0x811c_9dc5u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        bytes[33..].copy_from_slice(&sum.to_be_bytes()[1..]);
        bytes
    }
}

/// What the pictures of a group of viewers came to.
#[derive(Clone, Debug)]
pub struct Pictures {
    /// Packets that arrived where they should, and their payloads' bytes.
    pub packets: u64,
    pub bytes: u64,
    /// Frames that could be shown.
    pub frames: u64,
    /// Nanoseconds that each layer was shown.
    pub shown: [u64; MOST_LAYERS],
    /// Of these, nanoseconds of the layer that fits the size it is shown at.
    pub best: u64,
    /// How long pictures stood still.
    pub freezes: Times,
    /// Wire to wire.
    pub delay: Times,
    /// Pictures that a viewer wanted to see and never saw.
    pub blank: u64,
    /// From a network's fall to the first frame of a smaller layer, and from its recovery to the first of the best one.
    pub fall: Times,
    pub rise: Times,
    /// Bytes by the second in which they were sent, counted from the window's begin.
    pub seconds: Vec<u64>,
}

impl Default for Pictures {
    fn default() -> Self {
        Self {
            packets: 0,
            bytes: 0,
            frames: 0,
            shown: [0; MOST_LAYERS],
            best: 0,
            freezes: times(),
            delay: times(),
            blank: 0,
            fall: times(),
            rise: times(),
            seconds: Vec::new(),
        }
    }
}

impl Pictures {
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.frames += other.frames;
        self.shown.iter_mut().zip(other.shown).for_each(|(mine, theirs)| *mine += theirs);
        self.best += other.best;
        self.blank += other.blank;
        for (mine, theirs) in [
            (&mut self.freezes, &other.freezes),
            (&mut self.delay, &other.delay),
            (&mut self.fall, &other.fall),
            (&mut self.rise, &other.rise),
        ] {
            mine.add(theirs).expect("all have the same bounds");
        }
        self.seconds.resize(self.seconds.len().max(other.seconds.len()), 0);
        self.seconds.iter_mut().zip(&other.seconds).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// A packet that counts; `since`: nanoseconds from the window's begin to its sending.
    pub fn note(&mut self, since: u64, delay: u64, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
        self.delay.saturating_record(delay);
        let second = (since / SECOND) as usize;
        if second < MOST_SECONDS {
            self.seconds.resize(self.seconds.len().max(second + 1), 0);
            self.seconds[second] += bytes as u64;
        }
    }

    /// bit/s of payload per picture that was shown.
    pub fn bitrate(&self) -> f64 {
        self.bytes as f64 * 8.0 / (self.shown.iter().sum::<u64>() as f64 / 1e9)
    }

    /// The part of the time in which the layer was shown that fits.
    pub fn best_part(&self) -> f64 {
        self.best as f64 / self.shown.iter().sum::<u64>() as f64
    }

    /// Nanoseconds of all freezes.
    pub fn frozen(&self) -> u64 {
        self.freezes.iter_recorded().map(|bucket| bucket.value_iterated_to() * bucket.count_at_value()).sum()
    }

    /// The poorest whole second as a part of the middle one.
    pub fn poorest_second(&self) -> f64 {
        // The last one is hardly ever whole.
        let mut seconds = self.seconds[..self.seconds.len().saturating_sub(1)].to_vec();
        seconds.sort_unstable();
        match seconds.get(seconds.len() / 2) {
            Some(middle) => seconds[0] as f64 / *middle as f64,
            None => f64::NAN,
        }
    }
}

/// A frame of which something came.
struct Frame {
    stamp: Stamp,
    /// Bit n: packet n has come.
    got: u64,
}

impl Frame {
    fn is_whole(&self) -> bool {
        self.got.count_ones() == u32::from(self.stamp.count)
    }
}

#[derive(Clone, Copy)]
struct Shown {
    stamp: Stamp,
    at: u64,
}

/// A change of the viewer's network that waits for the layer that answers it.
#[derive(Clone, Copy)]
struct Change {
    at: u64,
    /// What was shown then, if the network became worse; the best layer is waited for, if it became better.
    from: Option<u8>,
}

pub struct Viewer {
    pub speaker: u32,
    /// The layer that fits the size at which it is shown.
    best: u8,
    /// How long the last frames were shown; before there were any, as long as the camera films each.
    durations: [u64; FRAMES_BEFORE],
    /// Of the oldest of them.
    oldest: usize,
    /// By the place of their first packet in the stream.
    frames: BTreeMap<u64, Frame>,
    /// The last one and its place.
    shown: Option<(u64, Shown)>,
    /// Since when something is there that cannot be shown.
    stuck_since: Option<u64>,
    change: Option<Change>,
}

impl Viewer {
    /// Of somebody's camera.
    pub fn new(speaker: u32, video: &Video) -> Self {
        Self {
            speaker,
            best: video.shown() as u8,
            durations: [SECOND / u64::from(video.frames_per_s); FRAMES_BEFORE],
            oldest: 0,
            frames: BTreeMap::new(),
            shown: None,
            stuck_since: None,
            change: None,
        }
    }

    /// A gap between two frames from which on the picture stood still.
    fn freeze(&self) -> u64 {
        let mean = self.durations.iter().sum::<u64>() / FRAMES_BEFORE as u64;
        (3 * mean).max(mean + FREEZE)
    }

    /// A packet with its number in the stream, which a packet that was sent again shares. `counts`: it was sent within a
    /// measured window. Returns whether a key frame is to be asked for.
    pub fn see(&mut self, stamp: &Stamp, sequence: u64, arrival: u64, counts: bool, book: &mut Pictures) -> bool {
        let place = sequence.saturating_sub(u64::from(stamp.index));
        if self.shown.is_some_and(|(shown, _)| place <= shown) {
            return false;
        }
        let frame = self.frames.entry(place).or_insert(Frame { stamp: *stamp, got: 0 });
        frame.got |= 1 << stamp.index;
        if self.frames.len() > MOST_FRAMES {
            self.frames.pop_first();
        }
        while let Some((place, stamp)) = self.next() {
            self.frames = self.frames.split_off(&(place + 1));
            self.show(place, &stamp, arrival, counts, book);
            self.stuck_since = None;
        }
        if !self.frames.values().any(Frame::is_whole) {
            return false;
        }
        let since = *self.stuck_since.get_or_insert(arrival);
        let is_due = arrival.saturating_sub(since) > PATIENCE;
        if is_due {
            self.stuck_since = Some(arrival);
        }
        is_due
    }

    /// The next frame that can be shown, if it is there.
    fn next(&self) -> Option<(u64, Stamp)> {
        let goes_on = |stamp: &Stamp| {
            self.shown.is_some_and(|(_, Shown { stamp: last, .. })| {
                (stamp.layer, stamp.frame) == (last.layer, last.frame.wrapping_add(1))
            })
        };
        let (place, first) = self.frames.first_key_value()?;
        if first.is_whole() && (first.stamp.is_key || goes_on(&first.stamp)) {
            return Some((*place, first.stamp));
        }
        // A key frame needs nothing that stands before it.
        let key = self.frames.iter().find(|(_, frame)| frame.stamp.is_key && frame.is_whole());
        key.map(|(place, frame)| (*place, frame.stamp))
    }

    fn show(&mut self, place: u64, stamp: &Stamp, at: u64, counts: bool, book: &mut Pictures) {
        let last = self.shown.replace((place, Shown { stamp: *stamp, at }));
        if let Some(Change { at: changed, from }) = self.change {
            let (times, is_answered) = match from {
                Some(from) => (&mut book.fall, stamp.layer < from),
                None => (&mut book.rise, stamp.layer >= self.best),
            };
            if is_answered {
                times.saturating_record(at.saturating_sub(changed));
                self.change = None;
            }
        }
        book.frames += u64::from(counts);
        // Between two takes there was nothing to be seen.
        if let Some((_, Shown { stamp: before, at: shown })) = last.filter(|(_, shown)| shown.stamp.take == stamp.take) {
            let time = at.saturating_sub(shown);
            if counts {
                Self::enter(before.layer, time, self.best, self.freeze(), book);
            }
            self.durations[self.oldest] = time;
            self.oldest = (self.oldest + 1) % FRAMES_BEFORE;
        }
    }

    fn enter(layer: u8, time: u64, best: u8, freeze: u64, book: &mut Pictures) {
        book.shown[usize::from(layer)] += time;
        book.best += if layer >= best { time } else { 0 };
        if time >= freeze {
            book.freezes.saturating_record(time);
        }
    }

    /// The viewer's network is another one from now on.
    pub fn change(&mut self, now: u64, is_worse: bool) {
        let from = if is_worse { Some(self.shown.map_or(self.best, |(_, shown)| shown.stamp.layer)) } else { None };
        self.change = Some(Change { at: now, from });
    }

    /// At the end of a window that began and ended so: a picture that stands still is frozen, and one that was not shown in all
    /// the time is missing.
    pub fn close(&mut self, begin: u64, end: u64, book: &mut Pictures) {
        match self.shown {
            Some((_, Shown { stamp, at })) if at >= begin => {
                let freeze = self.freeze();
                if end.saturating_sub(at) >= freeze {
                    Self::enter(stamp.layer, end - at, self.best, freeze, book);
                }
            }
            _ => book.blank += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn stamp(layer: u8, frame: u32, is_key: bool, index: u8, count: u8) -> Stamp {
        Stamp { run: 1, speaker: 2, room: 3, frame, take: 1, layer, is_key, index, count, sent: 1 << 60 }
    }

    /// Packets as (place in the stream, layer, frame, key, index, count, arrival in ms) to the viewer of a picture whose best
    /// layer is 2; returns frames shown, freezes, and whether a key frame was asked for.
    #[track_caller]
    fn check(packets: &[(u64, u8, u32, bool, u8, u8, u64)], expected: (u64, u64, bool)) -> Pictures {
        let (mut viewer, mut book, mut asks) = (Viewer::new(2, &Video::default()), Pictures::default(), false);
        for &(sequence, layer, frame, is_key, index, count, at) in packets {
            asks |= viewer.see(&stamp(layer, frame, is_key, index, count), sequence, at * MS, true, &mut book);
        }
        assert_eq!((book.frames, book.freezes.len(), asks), expected, "{packets:?}");
        book
    }

    #[test]
    fn frames_are_shown_by_the_table() {
        // Nothing before the first key frame.
        check(&[(7, 2, 1, false, 0, 1, 0)], (0, 0, false));
        check(&[(7, 2, 1, true, 0, 1, 0), (8, 2, 2, false, 0, 1, 33)], (2, 0, false));
        // Two packets of one frame, the second first; a packet that came twice.
        check(&[(7, 2, 1, true, 0, 1, 0), (9, 2, 2, false, 1, 2, 33), (8, 2, 2, false, 0, 2, 34)], (2, 0, false));
        check(&[(7, 2, 1, true, 0, 1, 0), (8, 2, 2, false, 0, 2, 33), (8, 2, 2, false, 0, 2, 34)], (1, 0, false));
        // What is missing is waited for, and what stands behind it is shown with it.
        check(&[(7, 2, 1, true, 0, 1, 0), (9, 2, 3, false, 0, 1, 66), (8, 2, 2, false, 0, 1, 90)], (3, 0, false));
        // A picture that stands still for 200 ms is frozen.
        check(&[(7, 2, 1, true, 0, 1, 0), (8, 2, 2, false, 0, 1, 200)], (2, 1, false));
        // Another layer begins with a key frame, and the old one does not come back with what was late.
        let switched =
            [(7, 2, 1, true, 0, 1, 0), (9, 0, 8, true, 0, 1, 33), (8, 2, 2, false, 0, 1, 40), (10, 0, 9, false, 0, 1, 66)];
        check(&switched, (3, 0, false));
        // Without one it cannot be shown, and one is asked for after a while.
        let torn = [(7, 2, 1, true, 0, 1, 0), (9, 2, 3, false, 0, 1, 66), (10, 2, 4, false, 0, 1, 600)];
        check(&torn, (1, 0, true));
    }

    #[test]
    fn a_picture_that_is_slow_is_not_frozen_each_time() {
        let slow = |interval: u64| {
            let frames: Vec<_> = (0..60).map(|n| (n, 2, n as u32, n == 0, 0, 1, n * interval)).collect();
            let (mut viewer, mut book) = (Viewer::new(2, &Video::default()), Pictures::default());
            for (sequence, layer, frame, is_key, index, count, at) in frames {
                viewer.see(&stamp(layer, frame, is_key, index, count), sequence, at * MS, true, &mut book);
            }
            (book.freezes.len(), viewer.freeze().div_ceil(MS))
        };
        // The turns of 30 frames a second end after 33 ms each; after 60 of other intervals these are the turns.
        assert_eq!((slow(33), slow(100), slow(185)), ((0, 183), (0, 300), (1, 555)));
    }

    #[test]
    fn the_time_of_each_layer_is_counted_and_what_answers_a_network_that_changes() {
        let (mut viewer, mut book) = (Viewer::new(2, &Video::default()), Pictures::default());
        let mut see = |viewer: &mut Viewer, place: u64, layer, is_key, at: u64| {
            viewer.see(&stamp(layer, place as u32, is_key, 0, 1), place, at * MS, true, &mut book);
        };
        see(&mut viewer, 1, 2, true, 0);
        see(&mut viewer, 2, 2, false, 33);
        viewer.change(40 * MS, true);
        see(&mut viewer, 3, 2, false, 66);
        see(&mut viewer, 4, 0, true, 140);
        viewer.change(150 * MS, false);
        see(&mut viewer, 5, 1, true, 180);
        see(&mut viewer, 6, 2, true, 250);
        let ms = |times: &Times| (times.len(), times.max().div_ceil(MS));
        assert_eq!(book.shown.map(|ns| ns / MS), [40, 70, 140]);
        assert_eq!((book.best / MS, ms(&book.fall), ms(&book.rise)), (140, (1, 101), (1, 101)));
        assert!((book.best_part() - 140.0 / 250.0).abs() < 1e-9);
        viewer.close(0, 300 * MS, &mut book);
        assert_eq!((book.freezes.len(), book.blank), (0, 0));
        viewer.close(0, 900 * MS, &mut book);
        assert_eq!((book.freezes.len(), book.blank), (1, 0), "650 ms to the end");
        viewer.close(400 * MS, 900 * MS, &mut book);
        assert_eq!(book.blank, 1, "nothing was shown in this window");
    }

    #[test]
    fn seconds_are_compared_with_each_other() {
        let mut book = Pictures::default();
        for (second, bytes) in [(0, 100), (1, 90), (2, 100), (3, 110), (4, 10)] {
            book.note(second * SECOND + 5, MS, bytes);
        }
        assert_eq!((book.packets, book.bytes, book.poorest_second()), (5, 410, 0.9));
        let mut sum = Pictures::default();
        sum.add(&book);
        sum.add(&book);
        assert_eq!((sum.seconds, sum.delay.len()), (vec![200, 180, 200, 220, 20], 10));
        assert!(Pictures::default().poorest_second().is_nan());
    }

    #[test]
    fn damage_and_foreign_packets_are_noticed() {
        let whole = [&[0x90, 0xe0][..], &stamp(2, 9, true, 3, 4).bytes()].concat();
        assert_eq!(Stamp::read(&whole), Some(stamp(2, 9, true, 3, 4)));
        for at in 2..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            assert_eq!(Stamp::read(&damaged), None, "byte {at}");
        }
        assert_eq!(Stamp::read(&[7; 20]), None);
    }
}
