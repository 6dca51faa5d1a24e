//! Three engines with one room: the first is its home. Native people; what each is sent is opened.

use super::*;
use crate::cipher::{Inbound, Outbound};
use crate::engine::Identity;
use crate::engine::room::video::Shot;
use crate::rtp::{Header, NATIVE_OPUS, Outgoing};
use crate::stats::Drops;
use crate::sys::net::SEND_CAPACITY;
use crate::video::{Codec, vp8};
use crate::{NativeSuite, PeerEvent};
use guildhall_protocol::fleet::Policy;
use std::net::SocketAddr;
use std::time::Duration;

const OPEN: Policy =
    Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: true };
const SUITE: NativeSuite = NativeSuite::Aes256GcmRtpsize;
const ROOM: RoomId = RoomId(5);

#[derive(Default)]
struct Outbox {
    slot: Vec<u8>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl Egress for Outbox {
    fn slot(&mut self) -> &mut [u8] {
        self.slot.resize(SEND_CAPACITY, 0);
        &mut self.slot
    }

    fn commit(&mut self, len: usize, to: SocketAddr) {
        self.sent.push((to, self.slot[..len].to_vec()));
    }
}

struct Person {
    worker: usize,
    outbound: Outbound,
    inbound: Inbound,
    sequence: u16,
}

struct World {
    engines: Vec<Engine>,
    people: Vec<Person>,
    now: Instant,
    life: u64,
    out: Outbox,
}

fn address(person: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 1 + person as u16))
}

fn ssrc(person: usize) -> u32 {
    100 * (1 + person as u32)
}

impl World {
    /// With a person on each of these workers.
    fn new(workers: &[usize]) -> World {
        let engine = |port| Engine::new(SocketAddr::from(([10, 9, 9, 9], port)), Identity::generate().expect("randomness"));
        let engines = (1..4).map(engine).collect();
        let mut world = World { engines, people: Vec::new(), now: Instant::now(), life: 1, out: Outbox::default() };
        workers.iter().for_each(|&worker| _ = world.join(worker));
        world
    }

    fn join(&mut self, worker: usize) -> usize {
        let person = self.people.len();
        let (id, key) = (PeerId(person as u64), [1 + person as u8; 32]);
        let part = if worker == 0 { Part::Home } else { Part::Branch { home: 0 } };
        let engine = &mut self.engines[worker];
        let life = Life { room: ROOM, number: self.life };
        engine.join_part((life, part), id, ssrc(person), OPEN).expect("there is room");
        let mut discovery = vec![0; 74];
        discovery[..4].copy_from_slice(&[0, 1, 0, 70]);
        discovery[4..8].copy_from_slice(&ssrc(person).to_be_bytes());
        engine.handle_datagram(self.now, address(person), &mut discovery, &mut self.out);
        engine.connect_native(id, SUITE, address(person), &key).expect("a peer");
        let mut outbound = Outbound::native(SUITE, &key);
        outbound.observe(1 << 31);
        self.people.push(Person { worker, outbound, inbound: Inbound::native(SUITE, &key), sequence: 1000 });
        self.carry();
        person
    }

    /// Everything between the workers; how many packets that were.
    fn carry(&mut self) -> usize {
        let mut packets = 0;
        for _ in 0..4 {
            for from in 0..self.engines.len() {
                let parcels: Vec<_> = self.engines[from].take_parcels().collect();
                for (to, mut parcel) in parcels {
                    packets += usize::from(parcel.may_be_lost());
                    self.engines[to].handle_parcel(self.now, from, &mut parcel, &mut self.out);
                }
            }
        }
        self.engines.iter().for_each(|engine| engine.audit().expect("the tables agree"));
        packets
    }

    fn say(&mut self, person: usize, words: &[u8]) {
        let speaker = &mut self.people[person];
        speaker.sequence += 1;
        let sequence = speaker.sequence;
        let outgoing = Outgoing {
            marker: false,
            payload_type: NATIVE_OPUS,
            sequence,
            timestamp: u32::from(sequence) * 960,
            ssrc: ssrc(person),
            audio_level: None,
            transport: None,
        };
        let mut datagram = vec![0; SEND_CAPACITY];
        let header_len = outgoing.write(&mut datagram);
        let len = speaker.outbound.seal(&mut datagram, header_len, 0, words);
        self.engines[speaker.worker].handle_datagram(self.now, address(person), &mut datagram[..len], &mut self.out);
    }

    /// Who was sent these words, by whom, since the last call.
    fn heard(&mut self) -> Vec<(usize, u32, Vec<u8>)> {
        let mut heard = Vec::new();
        for (to, mut datagram) in self.out.sent.drain(..) {
            let Some(header) = Header::parse(&datagram).filter(|header| header.payload_type == NATIVE_OPUS) else { continue };
            let person = usize::from(to.port()) - 1;
            let opened =
                self.people[person].inbound.open(&mut datagram, &header, 0).expect("a copy opens under its listener's key");
            heard.push((person, header.ssrc, datagram[opened.payload].to_vec()));
        }
        heard.sort();
        heard
    }

    fn leave(&mut self, person: usize) {
        self.engines[self.people[person].worker].leave(PeerId(person as u64)).expect("a peer");
    }

    fn rooms(&self) -> Vec<(usize, usize)> {
        self.engines.iter().map(|engine| (engine.rooms(), engine.branches())).collect()
    }
}

#[test]
fn a_packet_crosses_once_to_the_home_and_once_to_each_branch() {
    let mut world = World::new(&[0, 0, 1, 1, 2, 2]);
    for speaker in 0..6 {
        world.say(speaker, b"words");
        // From the home to both branches; from a branch to the home first.
        assert_eq!(world.carry(), if speaker < 2 { 2 } else { 3 });
        let expected: Vec<_> =
            (0..6).filter(|&other| other != speaker).map(|other| (other, ssrc(speaker), b"words".to_vec())).collect();
        assert_eq!(world.heard(), expected);
    }
    assert_eq!(world.rooms(), [(1, 0), (0, 1), (0, 1)]);
}

#[test]
fn a_recorder_hears_everyone_once_wherever_they_sit() {
    let mut world = World::new(&[0, 1]);
    world.engines.iter_mut().for_each(|engine| engine.tape(ROOM, true));
    // Who comes later sits on a worker that the recorder was told of before.
    world.join(2);
    for speaker in 0..3 {
        world.say(speaker, b"words");
        world.carry();
        let heard =
            world.engines.iter_mut().flat_map(|engine| engine.take_heard().map(|heard| heard.speaker).collect::<Vec<_>>());
        assert_eq!(heard.collect::<Vec<_>>(), [PeerId(speaker as u64)]);
    }
}

#[test]
fn a_muted_speaker_is_silent_on_every_worker_at_once_and_a_deafened_listener_hears_nothing() {
    let mut world = World::new(&[0, 1, 2]);
    world.engines[1].set_policy(PeerId(1), Policy { can_speak: false, ..OPEN }).expect("a peer");
    world.say(1, b"muted");
    assert_eq!((world.carry(), world.heard()), (0, vec![]));
    assert_eq!(world.engines[1].drops().of(Reason::Muted), 1);
    world.engines[2].set_policy(PeerId(2), Policy { is_deafened: true, ..OPEN }).expect("a peer");
    world.say(0, b"open");
    world.carry();
    assert_eq!(world.heard(), [(1, ssrc(0), b"open".to_vec())]);
}

#[test]
fn what_is_for_a_life_of_the_room_that_is_over_reaches_nobody_of_the_next() {
    let mut world = World::new(&[0, 1]);
    world.say(1, b"late");
    let late: Vec<_> = world.engines[1].take_parcels().collect();
    world.leave(0);
    world.leave(1);
    world.carry();
    assert_eq!(world.rooms(), [(0, 0), (0, 0), (0, 0)]);
    world.life = 2;
    world.join(0);
    for (to, mut parcel) in late {
        world.engines[to].handle_parcel(world.now, 1, &mut parcel, &mut world.out);
    }
    assert_eq!((world.carry(), world.heard()), (0, vec![]));
    assert_eq!(world.engines[0].drops().of(Reason::RoomGone), 1);
}

#[test]
fn a_home_without_people_serves_its_branches_until_they_are_gone() {
    let mut world = World::new(&[0, 1, 2]);
    world.leave(0);
    world.carry();
    world.say(1, b"words");
    world.carry();
    assert_eq!(world.heard(), [(2, ssrc(1), b"words".to_vec())]);
    assert_eq!(world.rooms(), [(1, 0), (0, 1), (0, 1)]);
    world.leave(1);
    world.leave(2);
    world.carry();
    assert_eq!(world.rooms(), [(0, 0), (0, 0), (0, 0)]);
}

#[test]
fn a_packet_that_a_branch_missed_costs_only_that_packet() {
    let mut world = World::new(&[0, 1, 1]);
    world.say(0, b"first");
    // The other worker did not keep up.
    assert_eq!(world.engines[0].take_parcels().count(), 1);
    world.say(1, b"second");
    world.carry();
    world.say(0, b"third");
    world.carry();
    let heard = world.heard();
    let of = |person| heard.iter().filter(|(to, ..)| *to == person).map(|(_, from, _)| *from).collect::<Vec<_>>();
    assert_eq!((of(0), of(1), of(2)), (vec![ssrc(1)], vec![ssrc(0)], vec![ssrc(0), ssrc(1)]));
}

#[test]
fn more_packets_than_may_wait_are_counted_and_lost() {
    let mut world = World::new(&[0, 1]);
    for n in 0..MAX_WAITING + 10 {
        if n % 100 == 0 {
            world.now += Duration::from_secs(1);
        }
        world.say(0, &[7; 80]);
    }
    assert_eq!(world.engines[0].drops().of(Reason::HandoverFull), 10);
    assert_eq!(world.carry(), MAX_WAITING);
    // Silence is told however many wait.
    for _ in 0..MAX_WAITING {
        world.now += Duration::from_secs(1);
        world.say(0, &[7; 80]);
    }
    world.leave(0);
    let parcels: Vec<_> = world.engines[0].take_parcels().collect();
    assert!(parcels.len() > MAX_WAITING && !parcels.last().expect("several").1.may_be_lost());
}

#[test]
fn who_sits_on_a_branch_is_connected_like_anyone() {
    let mut world = World::new(&[0, 1]);
    let events: Vec<_> = world.engines[1].take_events().collect();
    assert_eq!(events, [(PeerId(1), PeerEvent::Connected)]);
    // Its new address is followed there.
    world.say(0, b"before");
    world.carry();
    assert_eq!(world.heard().len(), 1);
    let speaker = &mut world.people[1];
    speaker.sequence += 1;
    let outgoing = Outgoing {
        marker: false,
        payload_type: NATIVE_OPUS,
        sequence: speaker.sequence,
        timestamp: 0,
        ssrc: ssrc(1),
        audio_level: None,
        transport: None,
    };
    let mut datagram = vec![0; SEND_CAPACITY];
    let header_len = outgoing.write(&mut datagram);
    let len = speaker.outbound.seal(&mut datagram, header_len, 0, b"moved");
    let elsewhere = SocketAddr::from(([10, 0, 0, 2], 2));
    world.engines[1].handle_datagram(world.now, elsewhere, &mut datagram[..len], &mut world.out);
    world.carry();
    world.heard();
    world.say(0, b"after");
    world.carry();
    assert_eq!(world.out.sent.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [elsewhere]);
}

/// Takes whatever is sent.
struct Nobody([u8; SEND_CAPACITY]);

impl Egress for Nobody {
    fn slot(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn commit(&mut self, _: usize, _: SocketAddr) {}
}

#[test]
fn pictures_that_are_not_taken_leave_places_for_voices() {
    let (now, life) = (Instant::now(), Life { room: ROOM, number: 1 });
    let (mut home, mut branch) = (Room::new(life, Part::Home), Room::new(life, Part::Branch { home: 0 }));
    let camera = branch.open_stage(now, (0, PeerId(1)), Source::Camera, 1);
    let payload = vp8::tests::payload(1, 1, 0, true, Some((640, 360)), &[7; 1000]);
    let shot =
        |index| Shot { codec: Codec::Vp8, index, timestamp: 0, marker: true, payload: &payload, part: None, descriptor: &[] };
    branch.show(now, camera, 0, &shot(0), &mut Nobody([0; SEND_CAPACITY]));
    home.attach(now, 1);
    home.film(now, true);
    branch.announce(now, camera);
    home.read_all(now, 1, &mut branch);
    home.look_at_mirrors(now);
    branch.read_all(now, 0, &mut home);
    let (mut parcels, mut drops) = (Parcels::default(), Drops::default());
    (1..=600).for_each(|index| branch.pass_on((camera, 0), &shot(index), &mut parcels, &mut drops));
    assert_eq!((parcels.0.len(), drops.of(Reason::HandoverFull)), (MAX_PICTURES_WAITING, 600 - MAX_PICTURES_WAITING as u64));
    let mut words = [1; 80];
    let mut packet = said(&mut words);
    let places = (0..600).take_while(|_| parcels.hand(0, life, &packet.frame(), None)).count();
    assert_eq!(places, MAX_WAITING - MAX_PICTURES_WAITING);
}

/// Somebody's packet on its way.
fn said(payload: &mut [u8]) -> Packet {
    let frame = Frame {
        speaker: 1,
        speaker_id: PeerId(1),
        listener: None,
        is_priority: false,
        spoken: Spoken { index: 1, loudness: 90, is_voice: true },
        timestamp: 0,
        marker: false,
        audio_level: None,
        payload,
        newest: 0,
        labelled: None,
    };
    Packet::new(&frame, None)
}
