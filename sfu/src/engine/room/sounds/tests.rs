//! Listeners with real ciphers who show screens: whose sound each of them is sent, and with which numbers.

use super::super::{Ear, Format};
use super::*;
use crate::RoomId;
use crate::cipher::keys::{Profile, SessionKeys};
use crate::cipher::{Inbound, Outbound};
use crate::engine::sink::{Formats, Want};
use crate::engine::spread::{Life, Part};
use crate::engine::testing::Random;
use crate::rtp::Header;
use crate::sys::net::SEND_CAPACITY;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

const PROFILE: Profile = Profile::Aes128Gcm;
const PACKET: Duration = Duration::from_millis(20);
const OPUS: u8 = 111;
/// Three people share their screens, and their cameras.
const SHARERS: u64 = 3;

/// One copy, opened under its listener's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Copy {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// Whose screen it is, and which of its packets.
    sharer: u64,
    index: u64,
}

struct House {
    room: Room,
    now: Instant,
    keys: Vec<Inbound>,
    heard: Vec<Vec<Copy>>,
    out: Vec<u8>,
    /// The stages of the screens.
    screens: Vec<usize>,
    events: Vec<(PeerId, PeerEvent)>,
}

/// Opens each copy as it is sent.
struct Ears<'a>(&'a mut Vec<u8>, &'a [Inbound], &'a mut [Vec<Copy>]);

impl Egress for Ears<'_> {
    fn slot(&mut self) -> &mut [u8] {
        self.0.resize(SEND_CAPACITY, 0);
        self.0
    }

    fn commit(&mut self, len: usize, to: SocketAddr) {
        let at = usize::from(to.port());
        let datagram = &mut self.0[..len];
        let header = Header::parse(datagram).expect("RTP");
        assert_eq!(header.payload_type, OPUS);
        let opened =
            self.1[at].open(datagram, &header, u64::from(header.sequence)).expect("a copy opens under its listener's key");
        let (sharer, index) = datagram[opened.payload].split_at(8);
        let number = |bytes: &[u8]| u64::from_be_bytes(*bytes.first_chunk().expect("eight bytes"));
        let Header { ssrc, sequence, timestamp, .. } = header;
        self.2[at].push(Copy { ssrc, sequence, timestamp, sharer: number(sharer), index: number(index) });
    }
}

impl House {
    fn new() -> House {
        let now = Instant::now();
        let mut room = Room::new(Life { room: RoomId(1), number: 0 }, Part::Home);
        let mut open = |sharer, source| room.open_stage(now, (sharer as u32, PeerId(sharer)), source, 1);
        (1..=SHARERS).for_each(|sharer| {
            open(sharer, Source::Camera);
        });
        let screens = (1..=SHARERS).map(|sharer| open(sharer, Source::Screen)).collect();
        House { room, now, keys: Vec::new(), heard: Vec::new(), out: Vec::new(), screens, events: Vec::new() }
    }

    /// Somebody who can hear so many screens at a time.
    fn enters(&mut self, sounds: u32) -> usize {
        let at = self.keys.len();
        let keys = SessionKeys { key: [at as u8; 32], auth: [0; 20], salt: [9; 14] };
        self.keys.push(Inbound::srtp(PROFILE, &keys));
        self.heard.push(Vec::new());
        let ear = Ear {
            peer: 100 + at as u32,
            ssrc: 1000 * (at as u32 + 1),
            peer_id: PeerId(100 + at as u64),
            address: SocketAddr::from(([10, 0, 0, 1], at as u16)),
            outbound: Outbound::srtp(PROFILE, &keys),
            is_deafened: false,
        };
        let ssrcs: Vec<u32> = (1..=sounds).collect();
        let sounds = (sounds > 0).then(|| Sounds::new(self.now, OPUS, &ssrcs));
        let sink = Sink::new(self.now, Formats::default(), &[(50, 51), (52, 53), (54, 55), (56, 57)]).with_sounds(sounds);
        let format = Format { payload_type: OPUS, red: None, audio_level: None, repeats: false };
        self.room.add(Listener::webrtc(ear, format, Slots::new(self.now, &[40, 41])).with_sink(Some(sink)))
    }

    fn watches(&mut self, listener: usize, wants: &[(u8, u64, Source, u32, bool)]) {
        let want =
            |&(slot, publisher, source, pixels, is_focus)| Want { slot, publisher: PeerId(publisher), source, pixels, is_focus };
        self.room.watch(self.now, listener, &wants.iter().map(want).collect::<Vec<_>>());
        self.events.append(&mut self.room.errands.events);
    }

    fn deafens(&mut self, listener: usize, is_deafened: bool) {
        self.room.listener(listener).set_deafened(is_deafened, &mut self.events);
    }

    /// One packet of every screen; their numbers begin far apart.
    fn sounds(&mut self, index: u64) {
        self.now += PACKET;
        for (sharer, stage) in (1..).zip(self.screens.clone()) {
            let index = index + 20_000 * sharer;
            let payload = [sharer.to_be_bytes(), index.to_be_bytes()].concat();
            let packet = Sounding { index, timestamp: (960 * index) as u32, marker: false, payload: &payload };
            let mut ears = Ears(&mut self.out, &self.keys, &mut self.heard);
            self.room.resound(self.now, stage, &packet, &mut ears, &mut self.events);
        }
    }

    /// What was said of sounds since the last call.
    fn told(&mut self) -> Vec<PeerEvent> {
        let events = self.events.drain(..).map(|(_, event)| event);
        events.filter(|event| matches!(event, PeerEvent::Sound { .. })).collect()
    }

    /// Whose screens a listener heard since the last call.
    fn heard(&mut self, listener: usize) -> Vec<u64> {
        std::mem::take(&mut self.heard[listener]).iter().map(|copy| copy.sharer).collect()
    }
}

/// What is shown among others, and in focus.
const fn screen(slot: u8, of: u64) -> (u8, u64, Source, u32, bool) {
    (slot, of, Source::Screen, 1_000, false)
}

const fn focus(slot: u8, of: u64) -> (u8, u64, Source, u32, bool) {
    (slot, of, Source::Screen, 1_000, true)
}

#[test]
fn a_listener_hears_the_screens_that_it_shows() {
    type Wants<'a> = &'a [(u8, u64, Source, u32, bool)];
    let table: &[(&str, u32, Wants, &[u64])] = &[
        ("nothing is shown", 2, &[], &[]),
        ("a screen", 2, &[screen(0, 1)], &[1]),
        ("a camera", 2, &[(0, 1, Source::Camera, 1_000, true)], &[]),
        ("not for now", 2, &[(0, 1, Source::Screen, 0, false)], &[]),
        ("twice", 2, &[screen(0, 1), screen(1, 1)], &[1]),
        ("twice, and once not for now", 2, &[(0, 1, Source::Screen, 0, false), screen(1, 1)], &[1]),
        ("somebody who is not there", 2, &[screen(0, 9)], &[]),
        ("more than there are slots", 2, &[screen(0, 3), screen(1, 1), screen(2, 2)], &[1, 3]),
        ("and one in focus", 2, &[screen(0, 3), screen(1, 1), focus(2, 2)], &[2, 3]),
        ("one at a time", 1, &[screen(0, 3), focus(1, 1)], &[1]),
        ("no slot", 0, &[screen(0, 1)], &[]),
    ];
    for (what, slots, wants, expected) in table {
        let mut house = House::new();
        let listener = house.enters(*slots);
        house.watches(listener, wants);
        house.sounds(0);
        assert_eq!(house.heard(listener), *expected, "{what}");
        house.deafens(listener, true);
        house.sounds(1);
        assert!(house.heard(listener).is_empty(), "{what}, deafened");
        house.deafens(listener, false);
        house.sounds(2);
        assert_eq!(house.heard(listener), *expected, "{what}, no more deafened");
        house.watches(listener, &[]);
        house.sounds(3);
        assert!(house.heard(listener).is_empty(), "{what}, closed");
    }
}

#[test]
fn who_is_heard_is_displaced_by_what_is_in_focus_alone() {
    let mut house = House::new();
    let listener = house.enters(1);
    house.watches(listener, &[screen(2, 3)]);
    house.sounds(0);
    house.watches(listener, &[screen(0, 1), screen(1, 2), screen(2, 3)]);
    house.sounds(1);
    assert_eq!(house.heard(listener), [3, 3]);
    house.watches(listener, &[screen(0, 1), focus(1, 2), screen(2, 3)]);
    house.sounds(2);
    assert_eq!(house.heard(listener), [2]);
    let told = house.told();
    let sound = |publisher: Option<u64>| PeerEvent::Sound { ssrc: 1, publisher: publisher.map(PeerId) };
    assert_eq!(told, [sound(Some(3)), sound(None), sound(Some(2))]);
}

#[test]
fn a_screen_that_ends_or_is_muted_frees_its_slot_and_one_that_comes_back_is_heard() {
    let mut house = House::new();
    let listener = house.enters(2);
    house.watches(listener, &[screen(0, 1)]);
    house.sounds(0);
    house.room.hush(house.screens[0], &mut house.events);
    house.sounds(1);
    house.room.close_stages(1);
    house.events.append(&mut house.room.errands.events);
    house.sounds(2);
    let again = house.room.open_stage(house.now, (1, PeerId(1)), Source::Screen, 1);
    house.screens[0] = again;
    house.sounds(3);
    let copies: Vec<_> = house.heard[listener].iter().map(|copy| (copy.ssrc, copy.sequence, copy.index)).collect();
    assert_eq!(copies, [(1, 1, 20_000), (2, 1, 20_001), (1, 2, 20_003)], "the slot that was silent for longest is next");
    let told = house.told();
    let (one, two) =
        (PeerEvent::Sound { ssrc: 1, publisher: Some(PeerId(1)) }, PeerEvent::Sound { ssrc: 2, publisher: Some(PeerId(1)) });
    let free = |ssrc| PeerEvent::Sound { ssrc, publisher: None };
    assert_eq!(told, [one, free(1), two, free(2), one]);
}

#[test]
fn whatever_is_shown_every_stream_goes_on_without_a_jump() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut house = House::new();
        let listeners = [house.enters(1), house.enters(2), house.enters(4)];
        for index in 0..400 {
            let listener = listeners[random.below(3) as usize];
            match random.below(12) {
                0..=3 => {
                    let mut wants = Vec::new();
                    for slot in 0..4 {
                        let source = if random.below(4) == 0 { Source::Camera } else { Source::Screen };
                        let pixels = 500 * random.below(3) as u32;
                        wants.push((slot, 1 + random.below(SHARERS), source, pixels, random.below(4) == 0));
                    }
                    wants.truncate(random.below(5) as usize);
                    house.watches(listener, &wants);
                }
                4 => house.deafens(listener, random.below(3) == 0),
                5 => {
                    let stage = house.screens[random.below(SHARERS) as usize];
                    house.room.hush(stage, &mut house.events);
                }
                _ => {}
            }
            house.sounds(index);
            assert!(house.room.agrees());
        }
        for copies in &house.heard {
            let mut last: BTreeMap<u32, Copy> = BTreeMap::new();
            for copy in copies {
                if let Some(before) = last.insert(copy.ssrc, *copy) {
                    assert_eq!(copy.sequence, before.sequence + 1, "seed {seed}: {before:?}, {copy:?}");
                    assert!(
                        copy.timestamp.wrapping_sub(before.timestamp).wrapping_sub(1) < 48_000 * 60,
                        "seed {seed}: {before:?}, {copy:?}"
                    );
                }
            }
        }
    }
}
