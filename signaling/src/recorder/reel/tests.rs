use super::*;
use ogg::PacketReader;
use std::io::Cursor;

const ANN: UserId = UserId::new(1);
const BOB: UserId = UserId::new(2);
const FRAME: u64 = 960;
const SECOND: u64 = 1000 * PER_MS;

/// A reel with the pieces that it gave.
#[derive(Default)]
struct World {
    reel: Reel,
    files: BTreeMap<(UserId, u64), Vec<u8>>,
    lost: u32,
    numbers: HashMap<UserId, u32>,
}

impl World {
    fn say(&mut self, user: UserId, peer: u64, timestamp: u32, at: u64, word: u8) {
        let opus = [0xF8, word, 1, 2].into();
        self.reel.hear(Packet { user, peer: PeerId(peer), timestamp, at, opus });
    }

    fn take(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            let number = self.numbers.entry(piece.user).or_default();
            assert_eq!(piece.number, *number);
            *number += 1;
            let file = self.files.entry((piece.user, piece.start_ms)).or_default();
            file.extend(piece.bytes);
            self.lost += piece.lost;
            let (_, samples) = read(file);
            assert_eq!(samples / PER_MS, piece.length_ms, "every beginning is as long as it says");
        }
    }

    fn tick(&mut self, now: u64) {
        let pieces = self.reel.tick(now);
        self.take(pieces);
    }

    fn end(mut self, now: u64) -> Self {
        let pieces = self.reel.end(now);
        self.take(pieces);
        self
    }

    /// What was said, with its place in the track; silence left out.
    fn said(&self, user: UserId, start_ms: u64) -> Vec<(u64, u8)> {
        let (packets, _) = read(&self.files[&(user, start_ms)]);
        let spoken = packets.into_iter().filter(|(_, packet)| packet.len() == 4);
        spoken.map(|(place, packet)| (place, packet[1])).collect()
    }
}

/// Every packet with where it begins, and the end of the last.
fn read(file: &[u8]) -> (Vec<(u64, Vec<u8>)>, u64) {
    let mut reader = PacketReader::new(Cursor::new(file));
    let (mut packets, mut end, mut told) = (Vec::new(), 0, 0);
    while let Some(packet) = reader.read_packet().expect("a file that can be read") {
        if packet.data.starts_with(b"Opus") {
            continue;
        }
        let samples = opus::samples(&packet.data).expect("Opus");
        told = packet.absgp_page();
        packets.push((end, packet.data));
        end += samples;
    }
    assert_eq!(end, told, "the last page says how long it is");
    (packets, end)
}

#[test]
fn speech_is_where_its_clock_puts_it_and_jitter_and_disorder_move_nothing() {
    let mut world = World::default();
    let start = SECOND;
    // Arrives up to 200 ms late, and out of order.
    for (word, late) in [(0u8, 0), (2, 200), (1, 210), (3, 150), (5, 90), (4, 100), (6, 0)] {
        let at = start + u64::from(word) * FRAME + late * PER_MS;
        world.say(ANN, 1, (u32::MAX - 1000).wrapping_add(960 * u32::from(word)), at, word);
    }
    let world = world.end(start + 4 * SECOND);
    let expected: Vec<(u64, u8)> = (0..7).map(|word| (u64::from(word) * FRAME, word)).collect();
    // The clock wraps on the way.
    assert_eq!(world.said(ANN, 1000), expected);
    assert_eq!((read(&world.files[&(ANN, 1000)]).1, world.lost), (4 * SECOND, 0));
}

#[test]
fn a_pause_is_silence_of_its_length_whether_the_clock_went_on_or_not() {
    for goes_on in [true, false] {
        let mut world = World::default();
        world.say(ANN, 1, 0, 0, 1);
        let pause = 30 * SECOND;
        (1..=30).for_each(|second| world.tick(second * SECOND));
        world.say(ANN, 1, if goes_on { pause as u32 } else { 960 }, pause, 2);
        world.say(ANN, 1, if goes_on { pause as u32 + 960 } else { 1920 }, pause + FRAME, 3);
        let world = world.end(40 * SECOND);
        assert_eq!(world.said(ANN, 0), [(0, 1), (pause, 2), (pause + FRAME, 3)], "{goes_on}");
        assert_eq!((read(&world.files[&(ANN, 0)]).1, world.lost), (40 * SECOND, 0));
    }
}

#[test]
fn everyone_has_a_track_from_when_they_first_spoke_and_who_reconnects_goes_on_in_it() {
    let mut world = World::default();
    world.say(ANN, 1, 5_000, SECOND, 1);
    world.say(BOB, 2, 9_000, 3 * SECOND + 77, 2);
    world.tick(4 * SECOND);
    world.say(ANN, 3, 777_000, 6 * SECOND, 3);
    let world = world.end(9 * SECOND);
    assert_eq!(world.said(ANN, 1000), [(0, 1), (5 * SECOND, 3)]);
    assert_eq!(world.said(BOB, 3000), [(0, 2)]);
    assert_eq!(world.files.len(), 2);
    let ends: Vec<u64> = world.files.iter().map(|((_, start), file)| start * PER_MS + read(file).1).collect();
    assert!(ends.iter().all(|end| end.abs_diff(9 * SECOND) < QUANTUM + PER_MS), "all end together: {ends:?}");
}

#[test]
fn what_comes_too_late_or_is_no_opus_is_counted_and_nothing_is_said_twice() {
    let mut world = World::default();
    world.say(ANN, 1, 0, 0, 1);
    world.say(ANN, 1, 1920, 2 * FRAME, 3);
    world.tick(2 * SECOND);
    // Its place is written.
    world.say(ANN, 1, 960, 2 * FRAME + 10, 2);
    // The same once more, and something that begins in the middle of another.
    world.say(ANN, 1, 96_000, 2 * SECOND, 4);
    world.say(ANN, 1, 96_000 + 480, 2 * SECOND + 480, 5);
    world.reel.hear(Packet { user: ANN, peer: PeerId(1), timestamp: 99_000, at: 2 * SECOND, opus: [].into() });
    world.reel.miss(7);
    let world = world.end(3 * SECOND);
    assert_eq!(world.said(ANN, 0), [(0, 1), (2 * FRAME, 3), (2 * SECOND, 4)]);
    assert_eq!(world.lost, 3 + 7);
}

#[test]
fn pieces_come_while_it_is_recorded_and_a_beginning_of_them_is_a_file() {
    let mut world = World::default();
    let mut sizes = Vec::new();
    for packet in 0..50 * 60u64 {
        world.say(ANN, 1, packet as u32 * 960, packet * FRAME, packet as u8);
        if packet % 50 == 49 {
            world.tick((packet + 1) * FRAME);
            sizes.push(world.numbers.get(&ANN).copied().unwrap_or_default());
        }
    }
    assert!(sizes[59] >= 11 && sizes[5] == 1, "{sizes:?}");
    let stored = read(&world.files[&(ANN, 0)]).1;
    assert!(stored >= 54 * SECOND, "what a crash costs is the last seconds: {stored}");
    let world = world.end(60 * SECOND);
    assert_eq!(world.said(ANN, 0).len(), 3000);
}
