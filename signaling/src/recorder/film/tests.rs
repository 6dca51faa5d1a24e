use super::*;
use crate::recorder::assembly::tests::picture;
use crate::recorder::depacketize::tests::{PICTURES, SEQUENCE};
use crate::recorder::matroska::tests::frames;
use guildhall_sfu::RoomId;
use std::collections::BTreeMap;
use std::time::Instant;

const ANN: UserId = UserId::new(1);
/// Thirty pictures a second.
const FRAME: u64 = 3_000;
const CAMERA: Medium = Medium::Pictures { source: Source::Camera, is_webm: true };

/// A film with the files that it made.
#[derive(Default)]
struct World {
    film: Film,
    files: BTreeMap<(Medium, u64), Vec<u8>>,
    numbers: HashMap<(Medium, u64), u32>,
    lengths: BTreeMap<(Medium, u64), u64>,
    lost: u32,
}

impl World {
    fn see(&mut self, seen: Seen, at: u64) {
        let mut pieces = Vec::new();
        self.film.see(ANN, at, seen, &mut pieces);
        self.take(pieces);
    }

    /// A picture of three packets of the camera, of this take, whose number is also its time.
    fn show(&mut self, take: u32, number: u32, is_key: bool, at: u64) {
        for packet in picture(3 * u64::from(number), number, is_key, 3, at) {
            self.see(seen(Source::Camera, Codec::Vp8, take, packet), at);
        }
    }

    fn take(&mut self, pieces: Vec<Piece>) {
        for Piece { user, medium, start_ms, number, length_ms, lost, bytes } in pieces {
            let track = (medium, start_ms);
            let next = self.numbers.entry(track).or_default();
            assert_eq!((user, number), (ANN, *next));
            *next += 1;
            assert!(!bytes.is_empty() && bytes.len() <= RECORDED_BYTES);
            self.files.entry(track).or_default().extend(bytes);
            self.lengths.insert(track, length_ms);
            self.lost += lost;
        }
    }

    fn tick(&mut self, now: u64) {
        let pieces = self.film.tick(now);
        self.take(pieces);
    }

    fn end(mut self, now: u64) -> Self {
        let pieces = self.film.end(now);
        self.take(pieces);
        for (track, file) in &self.files {
            let frames = frames(file);
            assert!(frames[0].1 && frames[0].0 == 0, "a file begins with a key frame");
            assert!(frames.windows(2).all(|pair| pair[0].0 < pair[1].0), "time goes on");
            assert_eq!(frames.last().expect("one").0, self.lengths[track]);
        }
        self
    }

    /// The numbers of the pictures in a file, with their times.
    fn shown(&self, medium: Medium, start_ms: u64) -> Vec<(u64, u32)> {
        let number = |frame: &[u8]| u32::from_be_bytes(*frame.last_chunk().expect("its number"));
        frames(&self.files[&(medium, start_ms)]).iter().map(|(at, _, frame)| (*at, number(frame))).collect()
    }
}

fn seen(source: Source, codec: Codec, take: u32, packet: Packet) -> Seen {
    let Packet { index, timestamp, marker, payload, .. } = packet;
    let (room, publisher, at) = (RoomId(1), PeerId(1), Instant::now());
    Seen { room, publisher, source, stream: (1, take), codec, index, timestamp, marker, at, payload }
}

#[test]
fn pictures_are_where_their_clock_puts_them_and_what_is_missing_is_a_gap() {
    let mut world = World::default();
    let start = 2 * SECOND;
    for number in 0..90u32 {
        // Jitter of up to 90 ms.
        let at = start + u64::from(number) * FRAME + u64::from(number * 7 % 10) * 900;
        // A third of a second that was not sent at all: its numbers and its time are passed over.
        if !(30..40).contains(&number) {
            let index = number - if number < 30 { 0 } else { 10 };
            for packet in picture(3 * u64::from(index), number, number == 0, 3, at) {
                world.see(seen(Source::Camera, Codec::Vp8, 1, packet), at);
            }
        }
        world.tick(at);
    }
    let world = world.end(start + 4 * SECOND);
    let expected: Vec<(u64, u32)> =
        (0..90).filter(|n| !(30..40).contains(n)).map(|n| (u64::from(n) * FRAME / PER_MS, n)).collect();
    assert_eq!(world.shown(CAMERA, 2_000), expected, "the clock wraps on the way");
    assert_eq!((world.files.len(), world.lost), (1, 0));
}

#[test]
fn what_is_lost_is_left_out_until_the_key_frame_that_is_wished_for() {
    let mut world = World::default();
    for number in 0..120u32 {
        let at = u64::from(number) * FRAME;
        for packet in picture(3 * u64::from(number), number, number == 0 || number == 80, 3, at) {
            if packet.index != 91 {
                world.see(seen(Source::Camera, Codec::Vp8, 1, packet), at);
            }
        }
        if number == 10 {
            assert_eq!(world.film.wishes(at).count(), 0);
        }
        if number == 75 {
            assert_eq!(world.film.wishes(at).collect::<Vec<_>>(), [(PeerId(1), Source::Camera)]);
        }
    }
    assert_eq!(world.film.wishes(120 * FRAME).count(), 0);
    // Players are to find key frames, and nobody is asked who does not send.
    for number in 120..1_200u32 {
        world.show(1, number, false, u64::from(number) * FRAME);
    }
    assert_eq!(world.film.wishes(1_200 * FRAME).count(), 1);
    assert_eq!(world.film.wishes(1_200 * FRAME + ALIVE).count(), 0);
    assert_eq!(world.film.take_counts(), Counts { pictures: 1_200 - 50, lost: 150 });
    let world = world.end(1_200 * FRAME);
    let numbers: Vec<u32> = world.shown(CAMERA, 0).into_iter().map(|(_, number)| number).collect();
    assert_eq!(numbers, (0..30).chain(80..1_200).collect::<Vec<_>>());
    assert_eq!(world.lost, 150);
}

#[test]
fn another_layer_goes_on_in_the_same_file_and_a_pause_or_another_codec_in_another() {
    let mut world = World::default();
    world.show(1, 0, true, 0);
    world.show(1, 1, false, FRAME);
    // Another layer, with numbers and a clock of its own, and what still comes of the one before.
    world.show(2, 5_000, true, 2 * FRAME);
    world.show(2, 5_001, false, 3 * FRAME);
    (1..40).for_each(|second| world.tick(second * SECOND));
    let later = 60 * SECOND;
    world.show(2, 5_002, false, later);
    world.show(2, 5_003, true, later + FRAME);
    let payloads = [SEQUENCE.to_vec(), PICTURES.to_vec(), vec![0x65, 7, 7]];
    for (place, payload) in payloads.into_iter().enumerate() {
        let packet = Packet { index: place as u64, timestamp: 9, marker: place == 2, at: 0, payload: payload.into() };
        world.see(seen(Source::Camera, Codec::H264, 3, packet), later + 2 * FRAME);
    }
    let world = world.end(later + SECOND);
    assert_eq!(world.shown(CAMERA, 0), [(0, 0), (33, 1), (66, 5_000), (100, 5_001)]);
    assert_eq!(world.shown(CAMERA, 60_033), [(0, 5_003)], "not without a key frame");
    let h264 = Medium::Pictures { source: Source::Camera, is_webm: false };
    assert_eq!(frames(&world.files[&(h264, 60_066)]).len(), 1);
    assert_eq!(world.files.len(), 3);
}

#[test]
fn pieces_come_while_it_is_filmed_and_none_is_larger_than_may_cross_the_line() {
    let mut world = World::default();
    let mut largest = 0;
    for number in 0..300u32 {
        let at = u64::from(number) * FRAME;
        // Some 5 Mbit/s, and a key frame of 600 kB.
        let packets = if number == 0 { 500 } else { 17 };
        let first = if number == 0 { 0 } else { 500 + 17 * u64::from(number - 1) };
        for mut packet in picture(first, number, number == 0, packets, at) {
            packet.payload = [&packet.payload[..], &[0; 1_190], &number.to_be_bytes()].concat().into();
            world.see(seen(Source::Screen, Codec::Vp8, 1, packet), at);
        }
        if number % 30 == 29 {
            world.tick(at);
        }
        largest = largest
            .max(world.film.videos.values().filter_map(|video| Some(video.file.as_ref()?.writer.waiting())).max().unwrap_or(0));
    }
    let screen = Medium::Pictures { source: Source::Screen, is_webm: true };
    assert!(largest < PIECE_BYTES, "{largest}");
    let stored = world.shown(screen, 0).len();
    assert!(stored > 290, "what a crash costs is the last moments: {stored} pictures");
    let world = world.end(300 * FRAME);
    assert_eq!(world.shown(screen, 0).len(), 300);
    assert!(world.numbers[&(screen, 0)] > 40);
}

#[test]
fn who_makes_files_without_end_or_too_many_videos_is_left_out() {
    let mut world = World::default();
    for number in 0..2 * FILES + 10 {
        // Each after a pause.
        let at = u64::from(number) * (PAUSE + SECOND);
        world.show(number, number, true, at);
    }
    assert_eq!((world.film.wishes(0).count(), world.numbers.len()), (0, FILES as usize));
    let mut film = Film::default();
    for user in 0..VIDEOS as u64 + 5 {
        let packet = picture(0, 0, true, 1, 0).remove(0);
        film.see(UserId::new(user), 0, seen(Source::Camera, Codec::Vp8, 1, packet), &mut Vec::new());
    }
    assert_eq!((film.videos.len(), film.take_counts().lost), (VIDEOS, 5));
}
