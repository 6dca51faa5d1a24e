//! A room with real ciphers and simulated people: what every listener is sent is opened, and held to what was said.

use super::*;
use crate::cipher::Inbound;
use crate::cipher::keys::{Profile, SessionKeys};
use crate::engine::activity::Activity;
use crate::engine::testing::Random;
use crate::rtp::Header;
use crate::sys::net::SEND_CAPACITY;
use crate::{NativeSuite, RoomId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const PROFILE: Profile = Profile::Aes128Gcm;
const PACKET: Duration = Duration::from_millis(20);
const OPUS: u8 = 111;
/// What the first person speaks under to native listeners.
const NATIVE: u32 = 1_000_000;

/// A packet as its speaker made it.
#[derive(Clone, Copy)]
struct Packet {
    speaker: u32,
    index: u64,
    timestamp: u32,
    level: u8,
}

/// What is in every payload: who says it, and its number.
fn payload(speaker: u32, index: u64) -> Vec<u8> {
    [&speaker.to_be_bytes()[..], &index.to_be_bytes(), &[0xA5; 60]].concat()
}

/// One copy, opened under its listener's key.
#[derive(Clone, Copy, Debug)]
struct Copy {
    at: Instant,
    ssrc: u32,
    /// As the listener sees it; no stream of these tests is longer than a rollover.
    sequence: u64,
    timestamp: u32,
    speaker: u32,
    /// As the speaker numbered it.
    index: u64,
}

struct Person {
    inbound: Inbound,
    is_webrtc: bool,
    heard: Vec<Copy>,
    /// How much that was before the present packet.
    before: usize,
    /// Whom the events say is in which slot.
    slots: BTreeMap<u32, u32>,
    activity: Activity,
    index: u64,
    is_muted: bool,
    is_priority: bool,
}

struct World {
    room: Room,
    now: Instant,
    start: Instant,
    people: Vec<Person>,
    drops: Drops,
    events: Vec<(PeerId, PeerEvent)>,
    out: Vec<u8>,
}

/// Opens each copy as it is sent.
struct Ears<'a> {
    out: &'a mut Vec<u8>,
    people: &'a mut [Person],
    now: Instant,
}

impl Egress for Ears<'_> {
    fn slot(&mut self) -> &mut [u8] {
        self.out.resize(SEND_CAPACITY, 0);
        self.out
    }

    fn commit(&mut self, len: usize, to: SocketAddr) {
        let person = &mut self.people[usize::from(to.port())];
        let datagram = &mut self.out[..len];
        let header = Header::parse(datagram).expect("RTP");
        let index = u64::from(header.sequence);
        let opened = person.inbound.open(datagram, &header, index).expect("a copy opens under its listener's key");
        let payload = &datagram[opened.payload];
        let speaker = u32::from_be_bytes(*payload.first_chunk().expect("a payload"));
        let number = u64::from_be_bytes(*payload[4..].first_chunk().expect("a payload"));
        assert_eq!(header.payload_type, if person.is_webrtc { OPUS } else { NATIVE_OPUS });
        person.heard.push(Copy {
            at: self.now,
            ssrc: header.ssrc,
            sequence: index,
            timestamp: header.timestamp,
            speaker,
            index: number,
        });
    }
}

impl World {
    fn new() -> World {
        let start = Instant::now();
        let room = Room::new(Life { room: RoomId(1), number: 0 }, Part::Home);
        World { room, now: start, start, people: Vec::new(), drops: Drops::default(), events: Vec::new(), out: Vec::new() }
    }

    /// Somebody with so many slots, or a native client.
    fn add(&mut self, slots: Option<u32>) -> u32 {
        let peer = self.people.len() as u32;
        let address = SocketAddr::from(([10, 0, 0, 1], peer as u16));
        let keys = SessionKeys { key: [peer as u8; 32], auth: [0; 20], salt: [(peer >> 8) as u8; 14] };
        let native = [peer as u8; 32];
        let (inbound, outbound) = match slots {
            Some(_) => (Inbound::srtp(PROFILE, &keys), Outbound::srtp(PROFILE, &keys)),
            None => (Inbound::native(GCM, &native), Outbound::native(GCM, &native)),
        };
        let ear = Ear { peer, ssrc: NATIVE + peer, peer_id: PeerId(peer.into()), address, outbound, is_deafened: false };
        let listener = match slots {
            Some(count) => {
                let ssrcs: Vec<u32> = (0..count).map(|slot| peer * 100 + slot + 1).collect();
                let format = Format { payload_type: OPUS, red: None, audio_level: None, repeats: false };
                Listener::webrtc(ear, format, Slots::new(self.now, &ssrcs))
            }
            None => Listener::native(ear),
        };
        assert_eq!(self.room.add(listener), peer as usize);
        self.people.push(Person {
            inbound,
            is_webrtc: slots.is_some(),
            heard: Vec::new(),
            before: 0,
            slots: BTreeMap::new(),
            activity: Activity::default(),
            index: 500,
            is_muted: false,
            is_priority: false,
        });
        peer
    }

    /// A packet arrives; `false` when it was forwarded to nobody.
    fn arrive(&mut self, packet: Packet) -> bool {
        let Packet { speaker, index, timestamp, level } = packet;
        let mut payload = payload(speaker, index);
        let person = &mut self.people[speaker as usize];
        let Some(spoken) = person.activity.hear(index, timestamp, Some(level), payload.len()) else { return false };
        let mut frame = Frame {
            speaker: NATIVE + speaker,
            speaker_id: PeerId(speaker.into()),
            listener: Some(speaker as usize),
            is_priority: person.is_priority,
            spoken,
            timestamp,
            marker: false,
            audio_level: Some(level),
            payload: &mut payload,
            newest: 0,
            labelled: None,
        };
        self.people.iter_mut().for_each(|person| person.before = person.heard.len());
        let mut traffic = Traffic::default();
        let mut parcels = Parcels::default();
        let mut ledger =
            Ledger { traffic: &mut traffic, drops: &mut self.drops, events: &mut self.events, parcels: &mut parcels };
        let mut ears = Ears { out: &mut self.out, people: &mut self.people, now: self.now };
        let is_forwarded = self.room.forward(self.now, &mut frame, &mut ears, &mut ledger);
        if !is_forwarded {
            self.people[speaker as usize].activity.leave_out_newest();
        }
        self.collect_events();
        for (listener, person) in self.people.iter().enumerate() {
            let new = &person.heard[person.before..];
            assert!(new.len() <= 1, "at most one copy of a packet");
            let Some(copy) = new.first() else { continue };
            assert_ne!(listener, speaker as usize, "nobody hears itself");
            assert_eq!((copy.speaker, copy.index), (speaker, index));
            let expected = if person.is_webrtc { person.slots.get(&copy.ssrc).copied() } else { Some(copy.ssrc - NATIVE) };
            assert_eq!(expected, Some(speaker), "listener {listener} knows whom it hears");
        }
        is_forwarded
    }

    fn collect_events(&mut self) {
        for (peer, event) in self.events.drain(..) {
            let PeerEvent::Slot { ssrc, speaker } = event else { panic!("a room tells of slots only: {event:?}") };
            let slots = &mut self.people[peer.0 as usize].slots;
            match speaker {
                Some(speaker) => slots.insert(ssrc, speaker.0 as u32),
                None => slots.remove(&ssrc),
            };
            let mut speakers: Vec<u32> = slots.values().copied().collect();
            speakers.sort_unstable();
            speakers.dedup();
            assert_eq!(speakers.len(), slots.len(), "a speaker is in one slot at a time");
        }
    }

    /// Those people talk for a while; levels are negative decibels.
    fn talk(&mut self, who: &[(u32, u8)], ms: u64) {
        for _ in 0..ms / 20 {
            for &(speaker, level) in who {
                let packet = self.next_packet(speaker, level);
                self.arrive(packet);
            }
            self.now += PACKET;
        }
    }

    /// What the speaker sends now: numbered without gaps, and its clock goes on while it says nothing.
    fn next_packet(&mut self, speaker: u32, level: u8) -> Packet {
        let person = &mut self.people[speaker as usize];
        person.index += 1;
        let timestamp = (self.now - self.start).as_millis() as u32 * 48 + speaker * 7919;
        Packet { speaker, index: person.index, timestamp, level }
    }

    fn heard_from(&self, listener: u32, speaker: u32) -> Vec<u64> {
        let heard = &self.people[listener as usize].heard;
        heard.iter().filter(|copy| copy.speaker == speaker).map(|copy| copy.index).collect()
    }

    fn forget(&mut self) {
        self.people.iter_mut().for_each(|person| person.heard.clear());
    }

    /// Per listener and SSRC, in the order of arrival.
    fn streams(&self) -> impl Iterator<Item = (usize, u32, Vec<Copy>)> {
        self.people.iter().enumerate().flat_map(|(listener, person)| {
            let mut streams: BTreeMap<u32, Vec<Copy>> = BTreeMap::new();
            person.heard.iter().for_each(|copy| streams.entry(copy.ssrc).or_default().push(*copy));
            streams.into_iter().map(move |(ssrc, copies)| (listener, ssrc, copies))
        })
    }
}

const GCM: NativeSuite = NativeSuite::Aes256GcmRtpsize;

#[test]
fn the_loudest_are_heard_by_who_has_few_slots_and_all_by_native_clients() {
    let mut world = World::new();
    let (four, two, native) = (world.add(Some(4)), world.add(Some(2)), world.add(None));
    let speakers: Vec<u32> = (0..6).map(|_| world.add(Some(4))).collect();
    let levels: Vec<(u32, u8)> =
        speakers.iter().zip([60, 20, 58, 21, 56, 22]).map(|(&speaker, level)| (speaker, level)).collect();
    world.talk(&levels, 2000);
    world.forget();
    world.talk(&levels, 1000);
    let heard_by =
        |listener: u32| -> Vec<usize> { (0..6).filter(|&n| world.heard_from(listener, speakers[n]).len() == 50).collect() };
    assert_eq!(heard_by(native), [0, 1, 2, 3, 4, 5]);
    let four = heard_by(four);
    assert!(four.len() == 4 && [1, 3, 5].iter().all(|loud| four.contains(loud)), "{four:?}");
    let two = heard_by(two);
    assert!(two.len() == 2 && two.iter().all(|one| [1, 3, 5].contains(one)), "{two:?}");
    // Who speaks and is heard leaves its place to a fifth.
    assert_eq!(heard_by(speakers[1]).len(), 4);
}

#[test]
fn a_first_packet_is_heard_when_a_place_is_free_or_its_speaker_silent() {
    let mut world = World::new();
    let listener = world.add(Some(2));
    let speakers: Vec<u32> = (0..4).map(|_| world.add(None)).collect();
    world.talk(&[(speakers[0], 30), (speakers[1], 30)], 1000);
    world.talk(&[(speakers[1], 30)], 400);
    let first = world.next_packet(speakers[2], 50);
    world.arrive(first);
    assert_eq!(world.heard_from(listener, speakers[2]), [first.index]);
    // Both talk now: the fourth must wait until one pauses.
    world.talk(&[(speakers[1], 30), (speakers[2], 30), (speakers[3], 32)], 1000);
    assert!(world.heard_from(listener, speakers[3]).is_empty());
    world.talk(&[(speakers[1], 30), (speakers[3], 32)], 1000);
    let waited = 50 - (world.heard_from(listener, speakers[3]).len() as u64);
    assert!(waited <= 21, "400 ms at most: {waited} packets");
}

#[test]
fn silence_costs_listeners_nothing_and_makes_no_gap() {
    let mut world = World::new();
    let listeners = [world.add(Some(4)), world.add(None)];
    let speaker = world.add(Some(4));
    world.talk(&[(speaker, 30)], 100);
    world.talk(&[(speaker, 127)], 1500);
    world.talk(&[(speaker, 30)], 100);
    for listener in listeners {
        let heard = &world.people[listener as usize].heard;
        assert_eq!(heard.len(), 5 + 6 + 5);
        for pair in heard.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence + 1);
            let ticks = u64::from(pair[1].timestamp.wrapping_sub(pair[0].timestamp));
            assert_eq!(ticks, (pair[1].index - pair[0].index) * 960, "the clock ran on through the silence");
        }
    }
}

#[test]
fn priority_speakers_are_heard_among_louder_ones() {
    let mut world = World::new();
    let listener = world.add(Some(1));
    let speakers = [world.add(None), world.add(None)];
    world.talk(&[(speakers[0], 20)], 1000);
    world.people[speakers[1] as usize].is_priority = true;
    let first = world.next_packet(speakers[1], 50);
    world.arrive(first);
    assert_eq!(world.heard_from(listener, speakers[1]), [first.index]);
}

#[test]
fn who_is_pinned_is_heard_by_who_pinned_it_however_many_are_louder() {
    let mut world = World::new();
    let (pinning, other) = (world.add(Some(2)), world.add(Some(2)));
    let speakers: Vec<u32> = (0..4).map(|_| world.add(None)).collect();
    let all: Vec<(u32, u8)> = speakers.iter().zip([20, 22, 24, 50]).map(|(&speaker, level)| (speaker, level)).collect();
    let pin = |world: &mut World, who: &[u32]| {
        let who: Vec<u32> = who.iter().map(|speaker| NATIVE + speaker).collect();
        world.room.pin(pinning as usize, &who);
        assert!(world.room.agrees());
    };
    let heard = |world: &mut World| {
        world.talk(&all, 600);
        world.forget();
        world.talk(&all, 400);
        assert!(world.room.agrees());
        [pinning, other]
            .map(|listener| -> Vec<usize> { (0..4).filter(|&n| world.heard_from(listener, speakers[n]).len() == 20).collect() })
    };
    // Before it speaks for the first time.
    pin(&mut world, &[speakers[3]]);
    assert_eq!(heard(&mut world), [[0, 3], [0, 1]]);
    // One fewer than there are slots, and never itself.
    pin(&mut world, &[pinning, speakers[2], speakers[3]]);
    assert_eq!(heard(&mut world), [[0, 2], [0, 1]]);
    pin(&mut world, &[]);
    assert_eq!(heard(&mut world), [[0, 1], [0, 1]]);
}

/// Speakers come and go at random, upstream packets are lost and reordered, listeners join and leave, some are muted: what
/// every listener is sent is its own, whole, once, and each stream continuous.
#[test]
fn every_stream_stays_continuous_whatever_the_room_does() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let is_rough = seed % 2 == 1;
        let mut world = World::new();
        for _ in 0..12 {
            let slots = [None, Some(1), Some(2), Some(4), Some(16)][random.below(5) as usize];
            world.add(slots);
        }
        let mut talking: BTreeMap<u32, u8> = BTreeMap::new();
        // What may be missing: lost, late, or said by someone who is muted.
        let mut missing: BTreeSet<(u32, u64)> = BTreeSet::new();
        let mut late: Vec<Packet> = Vec::new();
        for _ in 0..1000 {
            if random.below(8) == 0 {
                let speaker = random.below(12) as u32;
                if talking.remove(&speaker).is_none() {
                    talking.insert(speaker, [20, 30, 40, 50, 70, 127][random.below(6) as usize]);
                }
            }
            if random.below(50) == 0 {
                let who: Vec<u32> = (0..random.below(5)).map(|_| NATIVE + random.below(12) as u32).collect();
                world.room.pin(random.below(12) as usize, &who);
            }
            if random.below(200) == 0 {
                let muted = random.below(12) as u32;
                let person = &mut world.people[muted as usize];
                person.is_muted = !person.is_muted;
                if person.is_muted {
                    world.room.silence(NATIVE + muted, &mut world.events);
                    world.collect_events();
                }
            }
            let mut arriving = std::mem::take(&mut late);
            for (&speaker, &level) in &talking {
                let packet = world.next_packet(speaker, level);
                let fate = if is_rough { random.below(20) } else { 20 };
                if fate < 2 || world.people[speaker as usize].is_muted {
                    missing.insert((speaker, packet.index));
                }
                match fate {
                    0 => {}
                    1 => late.push(packet),
                    _ => arriving.insert(0, packet),
                }
            }
            arriving.retain(|packet| !world.people[packet.speaker as usize].is_muted);
            arriving.into_iter().for_each(|packet| _ = world.arrive(packet));
            assert!(world.room.agrees(), "seed {seed}");
            world.now += PACKET;
        }
        let mut copies = 0;
        for (listener, ssrc, mut stream) in world.streams() {
            copies += stream.len();
            if !is_rough {
                assert!(stream.is_sorted_by_key(|copy| copy.sequence), "seed {seed}: nothing was late");
            }
            stream.sort_by_key(|copy| copy.sequence);
            for pair in stream.windows(2) {
                let [before, after] = [pair[0], pair[1]];
                let what = format!("seed {seed}, listener {listener}, stream {ssrc}: {before:?} {after:?}");
                let step = after.sequence - before.sequence;
                assert!(step >= 1, "{what}: twice");
                let ticks = after.timestamp.wrapping_sub(before.timestamp);
                assert!((1..1 << 31).contains(&ticks), "{what}: the clock goes back");
                if !is_rough {
                    let real = (after.at - before.at).as_millis() as u32 * 48;
                    assert!(ticks.abs_diff(real) <= 1, "{what}: the clock runs with the world's");
                }
                let may_miss = (before.index + 1..after.index).filter(|&index| missing.contains(&(after.speaker, index))).count();
                let may_miss = if before.speaker == after.speaker { may_miss as u64 } else { 0 };
                assert!(step - 1 <= may_miss, "{what}: a gap that no network made");
            }
        }
        assert!(copies > 5_000, "seed {seed}: {copies} copies");
    }
}

/// A thousand listen to ten who take turns of 400 ms and more, two at a time. Nothing is misrouted, and who begins to talk is
/// heard by all from its first packet.
#[test]
fn a_thousand_listeners_hear_ten_who_take_turns() {
    let mut world = World::new();
    let mut random = Random::new(7);
    let speakers: Vec<u32> = (0..10).map(|n| world.add(if n % 2 == 0 { Some(4) } else { None })).collect();
    let listeners: Vec<u32> = (0..1000).map(|n| world.add(if n % 10 == 0 { None } else { Some(4) })).collect();
    let mut said: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut last = 0;
    for _ in 0..8 {
        // Two talk, now and then over the end of the two before.
        let turn = [last, (last + 1) % 10];
        last = (last + 2 + random.below(3) as usize) % 10;
        for _ in 0..20 + random.below(5) {
            for who in turn {
                let speaker = speakers[who];
                let packet = world.next_packet(speaker, 25 + who as u8);
                assert!(world.arrive(packet));
                said.entry(speaker).or_default().push(packet.index);
            }
            world.now += PACKET;
        }
    }
    for &listener in &listeners {
        for (&speaker, said) in &said {
            assert_eq!(world.heard_from(listener, speaker), *said, "listener {listener}, speaker {speaker}");
        }
    }
    assert_eq!(world.drops.total(), 0, "{:?}", world.drops);
}

#[test]
fn redundant_audio_goes_whole_to_who_takes_it_and_alone_to_the_others() {
    let red = |opus| red::tests::payload(opus, &[b"before"], b"newest");
    let formats = [
        (Format { payload_type: 111, red: Some(63), audio_level: None, repeats: false }, 63, red(111)),
        (Format { payload_type: 109, red: Some(120), audio_level: None, repeats: false }, 120, red(109)),
        (Format { payload_type: 96, red: None, audio_level: None, repeats: false }, 96, b"newest".to_vec()),
    ];
    for (format, expected_type, expected) in formats {
        let mut payload = red(111);
        let newest = red::newest(&payload, 111).expect("a good payload");
        let mut frame = Frame {
            speaker: 1,
            speaker_id: PeerId(1),
            listener: None,
            is_priority: false,
            spoken: Spoken { index: 1, loudness: 90, is_voice: true },
            timestamp: 0,
            marker: false,
            audio_level: None,
            payload: &mut payload,
            newest,
            labelled: Some(111),
        };
        // The first packet of a tenure has nothing before it.
        assert_eq!(frame.payload_for(&format, true), (format.payload_type, &b"newest"[..]));
        assert_eq!(frame.payload_for(&format, false), (expected_type, &expected[..]));
        let plain = Format { payload_type: 111, red: None, audio_level: None, repeats: false };
        assert_eq!(frame.payload_for(&plain, false), (111, &b"newest"[..]));
    }
}
