//! Listeners with real ciphers who are shown a layered stream at different sizes: what each is sent, and with which numbers.

use super::super::{Ear, Format, Listener};
use super::*;
use crate::cipher::keys::{Profile, SessionKeys};
use crate::cipher::{Inbound, Outbound};
use crate::engine::sink::{Formats, Want};
use crate::engine::slots::Slots;
use crate::engine::spread::{Life, Parcels, Part as RoomPart};
use crate::rtp::{self, Header};
use crate::stats::Drops;
use crate::sys::net::SEND_CAPACITY;
use crate::video::dependency::Reader;
use crate::video::dependency::structures::{Kind, LAYERS, descriptor};
use crate::video::layered::Parts;
use crate::video::{Source, vp8};
use crate::{PeerId, RoomId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

const PROFILE: Profile = Profile::Aes128Gcm;
const FRAME: Duration = Duration::from_millis(33);
const DEPENDENCY: u8 = 13;
/// Payload types of the codecs, and of their retransmissions one more.
const TYPES: [u8; 4] = [96, 108, 98, 45];
/// Packets of each frame.
const PACKETS: u64 = 2;

/// One copy, opened under its listener's key.
#[derive(Clone, Debug)]
struct Copy {
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    /// What its descriptor says; nothing is in a packet of padding.
    part: Option<Part>,
    picture: Picture,
    payload: Vec<u8>,
}

#[derive(Default)]
struct Viewer {
    copies: Vec<Copy>,
    reader: Reader,
}

/// A packet that is still to come.
struct Late {
    index: u64,
    payload: Vec<u8>,
    descriptor: Vec<u8>,
    part: (Part, Picture),
    marker: bool,
    timestamp: u32,
}

struct House {
    room: Room,
    /// The part of the room from which the camera comes, and where it is there; in `room` is its mirror then.
    origin: Option<(Room, usize)>,
    now: Instant,
    keys: Vec<Inbound>,
    viewers: Vec<Viewer>,
    out: Vec<u8>,
    camera: usize,
    kind: Kind,
    parts: Parts,
    /// Of the newest packet of each stream.
    indices: [u64; 3],
    picture: u16,
    late: Vec<Late>,
}

struct Eyes<'a>(&'a mut Vec<u8>, &'a [Inbound], &'a mut [Viewer]);

impl Egress for Eyes<'_> {
    fn slot(&mut self) -> &mut [u8] {
        self.0.resize(SEND_CAPACITY, 0);
        self.0
    }

    fn commit(&mut self, len: usize, to: SocketAddr) {
        let at = usize::from(to.port());
        let datagram = &mut self.0[..len];
        let header = Header::parse(datagram).expect("RTP");
        let opened = self.1[at].open(datagram, &header, u64::from(header.sequence)).expect("a copy opens");
        let Header { payload_type, sequence, timestamp, marker, .. } = header;
        let viewer = &mut self.2[at];
        let payload = &datagram[opened.payload];
        let descriptor = header
            .extension
            .and_then(|(profile, _)| rtp::find_extension(profile, &datagram[opened.extension.clone()], DEPENDENCY));
        let part = descriptor.map(|descriptor| viewer.reader.read(descriptor).expect("a descriptor"));
        let picture = if payload.is_empty() { Picture::default() } else { crate::video::look(Codec::Vp9, payload).picture };
        let payload = payload.to_vec();
        viewer.copies.push(Copy { payload_type, sequence, timestamp, marker, part, picture, payload });
    }
}

impl House {
    fn new(kind: Kind) -> House {
        let now = Instant::now();
        let mut room = Room::new(Life { room: RoomId(1), number: 0 }, RoomPart::Home);
        let camera = room.open_stage(now, (1, PeerId(1)), Source::Camera, 3);
        let (keys, viewers, late) = (Vec::new(), Vec::new(), Vec::new());
        let parts = Parts::default();
        House {
            room,
            origin: None,
            now,
            keys,
            viewers,
            out: Vec::new(),
            camera,
            kind,
            parts,
            indices: [65_400, 900, 70_000],
            picture: 32_700,
            late,
        }
    }

    /// One whose viewers sit at the home of a room, and whose camera is on a branch: it has shown a little before they come.
    fn mirrored(kind: Kind, codec: Codec) -> House {
        let mut house = House::new(kind);
        let life = Life { room: RoomId(1), number: 0 };
        let mut room = Room::new(life, RoomPart::Home);
        room.attach(house.now, 1);
        let mut origin = Room::new(life, RoomPart::Branch { home: 0 });
        let camera = origin.open_stage(house.now, (1, PeerId(1)), Source::Camera, 3);
        (house.room, house.origin) = (room, Some((origin, camera)));
        (0..3).for_each(|picture| house.films(codec, picture == 0, |_, _| false));
        house.camera = *house.room.mirrors.first().expect("the camera has a mirror");
        house
    }

    /// A room that is whole, and one that is spread.
    fn both(kind: Kind) -> [House; 2] {
        [House::new(kind), House::mirrored(kind, Codec::Vp9)]
    }

    /// The two parts tell each other what they have to.
    fn exchange(&mut self) {
        let Some((origin, camera)) = &mut self.origin else { return };
        origin.announce(self.now, *camera);
        self.room.read_all(self.now, 1, origin);
        self.room.look_at_mirrors(self.now);
        origin.read_all(self.now, 0, &mut self.room);
    }

    /// What is known where the camera is.
    fn at_origin(&mut self) -> (&mut Room, usize) {
        match &mut self.origin {
            Some((origin, camera)) => (origin, *camera),
            None => (&mut self.room, self.camera),
        }
    }

    /// Somebody who decodes these, and wants to be shown the camera in so many pixels.
    fn enters(&mut self, codecs: &[Codec], pixels: u32) -> usize {
        let at = self.keys.len();
        let keys = SessionKeys { key: [at as u8; 32], auth: [0; 20], salt: [9; 14] };
        self.keys.push(Inbound::srtp(PROFILE, &keys));
        self.viewers.push(Viewer::default());
        let ear = Ear {
            peer: 100 + at as u32,
            ssrc: 1000 * (at as u32 + 1),
            peer_id: PeerId(100 + at as u64),
            address: SocketAddr::from(([10, 0, 0, 1], at as u16)),
            outbound: Outbound::srtp(PROFILE, &keys),
            is_deafened: false,
        };
        let mut formats = Formats { dependency: Some(DEPENDENCY), ..Formats::default() };
        for codec in codecs {
            let payload_type = TYPES[*codec as usize];
            formats.codecs[*codec as usize] = Some((payload_type, Some(payload_type + 1)));
        }
        let sink = Sink::new(self.now, formats, &[(50, 51)]);
        let format = Format { payload_type: 111, red: None, audio_level: None, repeats: false };
        let place = self.room.add(Listener::webrtc(ear, format, Slots::new(self.now, &[40])).with_sink(Some(sink)));
        self.wants(place, pixels);
        place
    }

    fn wants(&mut self, place: usize, pixels: u32) {
        let want = Want { slot: 0, publisher: PeerId(1), source: Source::Camera, pixels, is_focus: false };
        self.room.watch(self.now, place, &[want]);
        self.exchange();
    }

    fn shows(&mut self, shot: &Shot, stream: u8) {
        let mut eyes = Eyes(&mut self.out, &self.keys, &mut self.viewers);
        let Some((origin, camera)) = &mut self.origin else {
            return self.room.show(self.now, self.camera, stream, shot, &mut eyes);
        };
        origin.show(self.now, *camera, stream, shot, &mut eyes);
        let (mut parcels, mut drops) = (Parcels::default(), Drops::default());
        origin.pass_on((*camera, stream), shot, &mut parcels, &mut drops);
        self.room.take_pieces(self.now, &mut parcels, &mut eyes);
        assert_eq!(drops.total(), 0);
    }

    /// One picture of VP9 or AV1; packets that `is_late` names (by layer and number) come with [`House::repairs`].
    fn films(&mut self, codec: Codec, is_key: bool, is_late: impl Fn(u8, u64) -> bool) {
        self.picture = (self.picture + 1) & 0x7FFF;
        let timestamp = u32::from(self.picture).wrapping_mul(2_970);
        for layer in 0..LAYERS {
            let frame = self.picture.wrapping_mul(LAYERS.into()).wrapping_add(layer.into());
            for packet in 0..PACKETS {
                let ends = (packet == 0, packet + 1 == PACKETS);
                let described = descriptor(self.kind, 9, frame, layer, is_key, ends);
                let [high, low] = (0x8000 | self.picture).to_be_bytes();
                let payload = vec![0xA0, high, low, layer << 1, self.picture as u8, 7, 7];
                let part = self.parts.read(codec, timestamp, Some(&described), &payload).expect("a part");
                let marker = layer + 1 == LAYERS && ends.1;
                self.indices[0] += 1;
                if is_late(layer, packet) {
                    let (index, descriptor) = (self.indices[0], described);
                    self.late.push(Late { index, payload, descriptor, part, marker, timestamp });
                    continue;
                }
                let (index, payload, descriptor) = (self.indices[0], &payload[..], &described[..]);
                self.shows(&Shot { codec, index, timestamp, marker, payload, part: Some(part), descriptor }, 0);
            }
        }
        self.pass();
    }

    fn repairs(&mut self) {
        for Late { index, payload, descriptor, part, marker, timestamp } in std::mem::take(&mut self.late) {
            let (part, payload, descriptor) = (Some(part), &payload[..], &descriptor[..]);
            self.shows(&Shot { codec: Codec::Vp9, index, timestamp, marker, payload, part, descriptor }, 0);
        }
        self.pass();
    }

    /// One picture of VP8 in one stream of a packet.
    fn films_plain(&mut self, stream: u8, is_key: bool) {
        let index = &mut self.indices[usize::from(stream)];
        *index += 1;
        let index = *index;
        let payload = vp8::tests::payload(self.picture, 1, 0, true, is_key.then_some((240 << stream, 135 << stream)), &[1, 2]);
        let (codec, timestamp) = (Codec::Vp8, u32::from(self.picture));
        self.shows(&Shot { codec, index, timestamp, marker: true, payload: &payload, part: None, descriptor: &[] }, stream);
        self.pass();
    }

    /// Time until the next picture, in which what waits leaves.
    fn pass(&mut self) {
        let end = self.now + FRAME;
        while self.now < end {
            self.now += Duration::from_millis(3);
            for place in 0..self.keys.len() {
                let mut eyes = Eyes(&mut self.out, &self.keys, &mut self.viewers);
                self.room.look_at(self.now, place, &mut eyes);
                self.room.release(self.now, place, &mut eyes);
            }
        }
        self.exchange();
    }

    fn asks_key_frame(&mut self) -> bool {
        let (room, camera) = self.at_origin();
        let stage = room.stages[camera].as_ref().expect("a stage");
        stage.layers.iter().any(|layer| layer.waits_for_key_frame())
    }

    /// What a viewer was sent since the last call: numbers without holes, pictures that end once, frames that refer to what came.
    fn sent(&mut self, viewer: usize) -> BTreeSet<u8> {
        let copies = std::mem::take(&mut self.viewers[viewer].copies);
        let mut numbers: Vec<u64> = copies.iter().map(|copy| u64::from(copy.sequence)).collect();
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a hole or a double: {numbers:?}");
        let mut pictures: BTreeMap<u32, (u32, u16)> = BTreeMap::new();
        for copy in copies.iter().filter(|copy| copy.part.is_some()) {
            let (_, _, id) = copy.picture.id.expect("VP9 has numbers");
            let (markers, same) = pictures.entry(copy.timestamp).or_insert((0, id));
            *markers += u32::from(copy.marker);
            assert_eq!(*same, id, "two pictures of one time");
        }
        assert!(pictures.values().all(|(markers, _)| *markers == 1), "{pictures:?}");
        copies.iter().filter_map(|copy| Some(copy.part?.spatial)).collect()
    }
}

const SIZES: [u32; 3] = [240 * 135, 480 * 270, 960 * 540];

fn layers(upto: u8) -> BTreeSet<u8> {
    (0..=upto).collect()
}

#[test]
fn everyone_is_sent_the_layers_that_fit() {
    let houses = [Codec::Vp9, Codec::Av1]
        .into_iter()
        .flat_map(|codec| [(codec, House::new(Kind::Full)), (codec, House::mirrored(Kind::Full, codec))]);
    for (codec, mut house) in houses {
        let viewers = SIZES.map(|pixels| house.enters(&Codec::ALL, pixels));
        (0..20).for_each(|picture| house.films(codec, picture == 0, |_, _| false));
        for (viewer, top) in viewers.into_iter().zip(0..) {
            assert!(house.viewers[viewer].copies.iter().all(|copy| copy.payload_type == TYPES[codec as usize]));
            let structure = house.viewers[viewer].copies[0].part.expect("described");
            assert_eq!((structure.is_key, structure.layers), (true, (2 << top) - 1), "what is not sent is not to be chosen");
            if codec == Codec::Vp9 {
                assert_eq!(house.sent(viewer), layers(top), "viewer of {top}");
            }
        }
        assert!(!house.asks_key_frame());
    }
}

#[test]
fn a_smaller_layer_needs_no_key_frame_and_a_larger_one_does() {
    for mut house in House::both(Kind::Full) {
        let viewer = house.enters(&Codec::ALL, SIZES[2]);
        (0..10).for_each(|picture| house.films(Codec::Vp9, picture == 0, |_, _| false));
        assert_eq!(house.sent(viewer), layers(2));
        house.wants(viewer, SIZES[0]);
        assert!(!house.asks_key_frame());
        (0..10).for_each(|_| house.films(Codec::Vp9, false, |_, _| false));
        assert_eq!((house.sent(viewer), house.asks_key_frame()), (layers(0), false));
        house.wants(viewer, SIZES[1]);
        (0..4).for_each(|_| house.films(Codec::Vp9, false, |_, _| false));
        assert_eq!((house.sent(viewer), house.asks_key_frame()), (layers(0), true));
        (0..4).for_each(|picture| house.films(Codec::Vp9, picture == 0, |_, _| false));
        assert_eq!((house.sent(viewer), house.asks_key_frame()), (layers(1), false));
    }
}

#[test]
fn layers_that_only_key_pictures_join_are_changed_at_those() {
    for mut house in House::both(Kind::Key) {
        let viewer = house.enters(&Codec::ALL, SIZES[2]);
        house.films(Codec::Vp9, true, |_, _| false);
        assert_eq!(house.sent(viewer), layers(2), "the key picture has all");
        (0..10).for_each(|_| house.films(Codec::Vp9, false, |_, _| false));
        assert_eq!(house.sent(viewer), BTreeSet::from([2]));
        house.wants(viewer, SIZES[0]);
        (0..3).for_each(|_| house.films(Codec::Vp9, false, |_, _| false));
        assert_eq!((house.sent(viewer), house.asks_key_frame()), (BTreeSet::from([2]), true));
        (0..3).for_each(|picture| house.films(Codec::Vp9, picture == 0, |_, _| false));
        assert_eq!((house.sent(viewer), house.asks_key_frame()), (layers(0), false));
    }
}

#[test]
fn what_comes_late_leaves_no_hole_whoever_it_is_for() {
    for mut house in House::both(Kind::Full) {
        let viewers = SIZES.map(|pixels| house.enters(&Codec::ALL, pixels));
        for picture in 0..12 {
            house.films(Codec::Vp9, picture == 0, |layer, packet| picture % 4 == 2 && (u64::from(layer) + packet) % 2 == 1);
            if picture % 4 == 3 {
                house.repairs();
            }
        }
        for (viewer, top) in viewers.into_iter().zip(0..) {
            let blanks = house.viewers[viewer].copies.iter().filter(|copy| copy.part.is_none()).count();
            assert_eq!(blanks > 0, top < 2, "what is not for them is nothing");
            assert_eq!(house.sent(viewer), layers(top));
        }
    }
}

#[test]
fn a_key_picture_whose_structure_comes_late_is_asked_for_again() {
    for mut house in House::both(Kind::Full) {
        let viewer = house.enters(&Codec::ALL, SIZES[0]);
        house.films(Codec::Vp9, true, |_, _| false);
        let (origin, camera) = house.at_origin();
        origin.miss_structure(camera, 0);
        house.films(Codec::Vp9, true, |_, _| false);
        assert!(house.asks_key_frame(), "of that something was not understood");
        house.films(Codec::Vp9, true, |_, _| false);
        assert_eq!((house.sent(viewer), house.asks_key_frame()), (layers(0), false));
    }
}

#[test]
fn what_a_listener_lost_is_sent_again_as_it_was() {
    for mut house in House::both(Kind::Full) {
        let viewers = SIZES.map(|pixels| house.enters(&Codec::ALL, pixels));
        (0..6).for_each(|picture| house.films(Codec::Vp9, picture == 0, |_, _| false));
        // The last goes down in between; what it was sent before is asked for later.
        house.wants(viewers[2], SIZES[0]);
        (0..4).for_each(|_| house.films(Codec::Vp9, false, |_, _| false));
        for viewer in viewers {
            let sent = std::mem::take(&mut house.viewers[viewer].copies);
            for lost in sent.iter().step_by(5) {
                let mut eyes = Eyes(&mut house.out, &house.keys, &mut house.viewers);
                house.room.repeat(house.now, viewer, 50, lost.sequence, &mut eyes).expect("within its budget");
                house.pass();
                let [again] = &std::mem::take(&mut house.viewers[viewer].copies)[..] else {
                    panic!("{} did not come again", lost.sequence)
                };
                assert_eq!(
                    (again.payload_type, again.timestamp, again.marker),
                    (lost.payload_type + 1, lost.timestamp, lost.marker)
                );
                assert_eq!(again.payload, [&lost.sequence.to_be_bytes()[..], &lost.payload].concat());
                let frame = |copy: &Copy| copy.part.map(|part| (part.frame, part.spatial, part.starts, part.ends));
                assert_eq!(frame(again), frame(lost));
            }
            let never = sent.iter().map(|copy| copy.sequence).max().expect("something was sent") + 1;
            let mut eyes = Eyes(&mut house.out, &house.keys, &mut house.viewers);
            assert_eq!(house.room.repeat(house.now, viewer, 50, never, &mut eyes), Ok(()));
            assert!(house.viewers[viewer].copies.is_empty(), "it was never sent");
        }
    }
}

#[test]
fn another_codec_goes_on_in_the_same_slot() {
    for mut house in House::both(Kind::Full) {
        let viewer = house.enters(&Codec::ALL, SIZES[2]);
        (0..6).for_each(|picture| house.films(Codec::Vp9, picture == 0, |_, _| false));
        let before = house.viewers[viewer].copies.len();
        // What is not yet a key frame is of no use.
        (0..3).for_each(|stream| house.films_plain(stream, false));
        assert_eq!(house.viewers[viewer].copies.len(), before);
        for picture in 0..8 {
            // A mirror learns of a layer a moment after it came.
            let is_key = picture == 0 || house.asks_key_frame();
            (0..3).for_each(|stream| house.films_plain(stream, is_key));
        }
        let copies = &house.viewers[viewer].copies;
        let [last, first] = [&copies[before - 1], &copies[before]];
        assert_eq!((last.payload_type, first.payload_type), (98, 96));
        let numbers: Vec<u16> = copies.iter().map(|copy| copy.sequence).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        // And back.
        (0..6).for_each(|picture| house.films(Codec::Vp9, picture == 0, |_, _| false));
        let copies = &house.viewers[viewer].copies;
        assert_eq!(copies.last().map(|copy| copy.payload_type), Some(98));
        let numbers: Vec<u16> = copies.iter().map(|copy| copy.sequence).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        let (room, camera) = house.at_origin();
        let told = room.stages[camera].as_ref().map(|stage| stage.on_layers());
        assert_eq!(told, Some(0b111), "all are to be sent until it is known what is wanted");
    }
}

#[test]
fn a_room_is_told_what_everybody_decodes() {
    let mut house = House::new(Kind::Full);
    let told = |house: &mut House| -> Vec<(u64, Vec<Codec>)> {
        let events = house.room.errands.events.drain(..);
        let codecs = events.filter_map(|(peer, event)| match event {
            PeerEvent::Codecs(codecs) => Some((peer.0, codecs.iter().collect())),
            _ => None,
        });
        codecs.collect()
    };
    let common = vec![Codec::Vp8, Codec::H264];
    house.enters(&Codec::ALL, SIZES[0]);
    assert_eq!(told(&mut house), [(100, Codec::ALL.to_vec())]);
    house.enters(&Codec::ALL, SIZES[0]);
    assert_eq!(told(&mut house), [(101, Codec::ALL.to_vec())], "the other knows");
    let old = house.enters(&common, SIZES[0]);
    assert_eq!(told(&mut house), [100, 101, 102].map(|peer| (peer, common.clone())));
    house.room.remove(old);
    assert_eq!(told(&mut house), [100, 101].map(|peer| (peer, Codec::ALL.to_vec())));
    house.room.film(house.now, true);
    assert_eq!(told(&mut house), [], "a recording keeps every codec");
}

#[test]
fn a_filmed_stream_is_seen_with_all_its_layers_from_a_key_picture_on_whichever_of_them_come() {
    for mut house in House::both(Kind::Full) {
        (0..3).for_each(|picture| house.films(Codec::Vp9, picture == 0, |_, _| false));
        house.room.film(house.now, true);
        house.exchange();
        assert_eq!(house.room.wanted(house.camera), 0b100, "the largest is to be sent");
        let needs =
            |house: &House| house.room.stages[house.camera].as_ref().is_some_and(|stage| stage.layers[2].waits_for_key_frame());
        assert!(needs(&house), "it cannot begin in the middle");
        (0..3).for_each(|_| house.films(Codec::Vp9, false, |_, _| false));
        assert_eq!(house.room.errands.seen.len(), 0);

        let begun = house.indices[0] + 1;
        // Two packets of the key picture come late.
        house.films(Codec::Vp9, true, |layer, packet| layer == 1 && packet == 1 || layer == 2 && packet == 0);
        house.repairs();
        (0..4).for_each(|_| house.films(Codec::Vp9, false, |_, _| false));
        assert!(!needs(&house));
        let mut seen: Vec<_> = house.room.errands.seen.drain(..).collect();
        assert!(seen.iter().all(|packet| (packet.codec, packet.stream) == (Codec::Vp9, seen[0].stream)));
        seen.sort_by_key(|packet| packet.index);
        let numbers: Vec<u64> = seen.iter().map(|packet| packet.index).collect();
        assert_eq!(numbers, (begun..=house.indices[0]).collect::<Vec<_>>(), "each once");
        assert_eq!(seen.iter().filter(|packet| packet.marker).count(), 5, "a mark for each picture");
        assert!(seen.iter().all(|packet| packet.payload.len() == 7), "as they were sent");

        // Another codec is another stream, which begins with a key picture.
        house.films(Codec::Av1, false, |_, _| false);
        house.films(Codec::Av1, true, |_, _| false);
        let after: Vec<_> = house.room.errands.seen.drain(..).collect();
        assert_eq!(after.len() as u64, u64::from(LAYERS) * PACKETS);
        assert!(after.iter().all(|packet| packet.codec == Codec::Av1 && packet.stream != seen[0].stream));
    }
}
