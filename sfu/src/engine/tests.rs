mod video;

use super::*;
use crate::rtp::{NATIVE_OPUS, Outgoing};
use crate::stats::Reason::*;

const OPEN: Policy =
    Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: true };
const KEY: Secret = [5; 32];
const SUITE: NativeSuite = NativeSuite::Aes256GcmRtpsize;

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

/// Two bots in a room: peer 1 speaks (SSRC 100), peer 2 listens (SSRC 200); both connected unless a test says otherwise.
struct World {
    engine: Engine,
    now: Instant,
    outbound: Outbound,
    sequence: u16,
}

fn address(n: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], n))
}

fn discovery(ssrc: u32) -> Vec<u8> {
    let mut request = vec![0; 74];
    request[..4].copy_from_slice(&[0, 1, 0, 70]);
    request[4..8].copy_from_slice(&ssrc.to_be_bytes());
    request
}

impl World {
    fn empty() -> World {
        let identity = Identity::generate().expect("randomness");
        let mut outbound = Outbound::native(SUITE, &KEY);
        outbound.observe(1 << 31);
        World { engine: Engine::new(address(50_000), identity), now: Instant::now(), outbound, sequence: 1000 }
    }

    fn joined() -> World {
        let mut world = World::empty();
        for n in 1..=2 {
            world.engine.join(RoomId(7), PeerId(n), n as u32 * 100, OPEN).expect("there is room");
        }
        world
    }

    fn connected() -> World {
        let mut world = World::joined();
        for n in 1..=2u16 {
            world.take(address(n), &discovery(u32::from(n) * 100));
            world.engine.connect_native(PeerId(n.into()), SUITE, address(n), &KEY).expect("a peer");
        }
        let events: Vec<_> = world.engine.take_events().collect();
        assert_eq!(events, [(PeerId(1), PeerEvent::Connected), (PeerId(2), PeerEvent::Connected)]);
        world
    }

    fn take(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut out = Outbox::default();
        self.engine.handle_datagram(self.now, from, &mut datagram.to_vec(), &mut out);
        self.engine.audit().unwrap();
        out.sent
    }

    /// A packet that peer 1 would send next.
    fn speech(&mut self) -> Vec<u8> {
        self.speech_with(100, NATIVE_OPUS, b"opus")
    }

    fn speech_with(&mut self, ssrc: u32, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        self.sequence += 1;
        let sequence = self.sequence;
        let outgoing = Outgoing { marker: false, payload_type, sequence, timestamp: 1, ssrc, audio_level: None, transport: None };
        let mut datagram = vec![0; SEND_CAPACITY + 100];
        let header_len = outgoing.write(&mut datagram);
        let len = self.outbound.seal(&mut datagram, header_len, 0, payload);
        datagram.truncate(len);
        datagram
    }

    /// Takes a datagram that must be dropped for this reason and change nothing: the next honest packet goes through.
    fn check_drop(&mut self, from: SocketAddr, datagram: &[u8], reason: Reason) {
        let before = *self.engine.drops();
        let sent = self.take(from, datagram);
        assert_eq!(sent, [], "{reason:?} is not answered");
        let mut expected = before;
        expected.count(reason);
        assert_eq!(*self.engine.drops(), expected, "one more of {reason:?}");
        assert_eq!(self.engine.take_events().count(), 0, "{reason:?} is no event");
    }

    fn check_honest(&mut self) {
        let speech = self.speech();
        let sent = self.take(address(1), &speech);
        assert_eq!(sent.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [address(2)]);
    }
}

#[test]
fn what_is_dropped_is_counted_by_its_reason_and_changes_nothing() {
    let mut world = World::connected();
    world.check_honest();
    let spoken = world.speech();
    world.take(address(1), &spoken);
    let mut forged = world.speech();
    *forged.last_mut().expect("a packet is not empty") ^= 1;
    let mut cut = world.speech();
    cut.truncate(20);
    let wrong_ssrc = world.speech_with(101, NATIVE_OPUS, b"video");
    let wrong_type = world.speech_with(100, 101, b"video");
    let strange = world.speech_with(777, NATIVE_OPUS, b"opus");
    let mut late = world.speech();
    late[2..4].copy_from_slice(&500u16.to_be_bytes());
    let mut csrcs = world.speech();
    csrcs[0] |= 0x0F;
    csrcs.truncate(30);
    let mut extension = world.speech();
    extension[0] |= 0x10;
    extension[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    let stranger = address(9);
    let table: [(SocketAddr, &[u8], Reason); 24] = [
        (stranger, b"", Noise),
        (stranger, b"GET / HTTP/1.1\r\n\r\n", Noise),
        (address(1), &[0xFF; 1400], Noise),
        (stranger, &[7; 8], UnknownAddress),
        (stranger, &[0, 0, 0, 100], UnknownAddress),
        (stranger, &discovery(300), UnknownSsrc),
        (stranger, &strange, UnknownAddress),
        (stranger, &[0x81; 40], UnknownAddress),
        (stranger, &[22; 100], UnknownAddress),
        (stranger, &[0x80, 201, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0], UnknownAddress),
        (address(1), &[22; 100], Noise),
        (address(1), &[0x80, 201, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0], WrongTag),
        (address(1), &forged, WrongTag),
        (stranger, &forged, WrongTag),
        (address(1), &cut, WrongTag),
        (address(1), &late, Replayed),
        (address(1), &spoken, Replayed),
        (stranger, &spoken, Replayed),
        (address(1), &wrong_ssrc, WrongSsrc),
        (address(1), &wrong_type, WrongPayloadType),
        (address(1), &csrcs, Malformed),
        (address(1), &extension, WrongTag),
        (stranger, &[0; 20], BadStun),
        (stranger, &[0, 1, 0, 8, 33, 18, 164, 66, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 0, 6, 0, 3, 97, 58, 98, 0], UnknownUfrag),
    ];
    for (from, datagram, reason) in table {
        world.check_drop(from, datagram, reason);
        world.check_honest();
    }
}

#[test]
fn media_before_keys_is_dropped_and_not_remembered() {
    let mut world = World::joined();
    let early = world.speech();
    world.check_drop(address(1), &early, BeforeKeys);
    world.engine.connect_native(PeerId(1), SUITE, address(1), &KEY).expect("a peer");
    world.engine.connect_native(PeerId(2), SUITE, address(2), &KEY).expect("a peer");
    // Not a replay: it never counted. And it proves the address, without any discovery.
    world.take(address(1), &early);
    assert_eq!(world.engine.take_events().collect::<Vec<_>>(), [(PeerId(1), PeerEvent::Connected)]);
    // Peer 2 claimed an address and proved nothing, so nothing is sent there.
    assert_eq!(world.engine.traffic().audio_out, 0);
}

#[test]
fn discovery_is_answered_a_little_later_twice_and_again_until_op_1() {
    let mut world = World::joined();
    assert_eq!(world.take(address(1), &discovery(100)), []);
    assert_eq!(world.take(address(3), &discovery(100)), [], "asked again, from elsewhere");
    let answer = |world: &mut World| {
        let due = world.engine.next_timeout()?;
        let mut out = Outbox::default();
        world.engine.handle_timeout(due, &mut out);
        let waited = due - std::mem::replace(&mut world.now, due);
        Some((waited, out.sent.into_iter().map(|(to, answer)| (to, answer[..4].to_vec(), answer.len())).collect::<Vec<_>>()))
    };
    let told = vec![(address(3), vec![0, 2, 0, 70], 74)];
    assert_eq!(answer(&mut world), Some((DISCOVERY_DELAYS[0], told.clone())));
    assert_eq!(answer(&mut world), Some((DISCOVERY_DELAYS[1], told.clone())));
    world.engine.connect_native(PeerId(1), SUITE, address(3), &KEY).expect("a peer");
    assert_eq!(answer(&mut world), Some((DISCOVERY_DELAYS[2], vec![])), "op 1 shows that it arrived");
    assert_eq!(answer(&mut world), None);
    world.take(address(3), &discovery(100));
    assert_eq!(answer(&mut world), Some((DISCOVERY_DELAYS[0], told.clone())), "who asks after op 1 is answered");
    assert_eq!(answer(&mut world), Some((DISCOVERY_DELAYS[1], told)), "and again, at the address of op 1");
    assert_eq!(answer(&mut world), Some((DISCOVERY_DELAYS[2], vec![])));
    world.take(address(4), &discovery(100));
    let elsewhere = vec![(address(4), vec![0, 2, 0, 70], 74)];
    assert_eq!(answer(&mut world), Some((DISCOVERY_DELAYS[0], elsewhere)));
    assert_eq!(answer(&mut world), Some((DISCOVERY_DELAYS[1], vec![])), "any other gets one");
}

#[test]
fn a_claimed_address_is_believed_only_after_discovery_from_there() {
    let mut world = World::joined();
    world.engine.connect_native(PeerId(1), SUITE, address(1), &KEY).expect("a peer");
    world.take(address(1), &discovery(100));
    // Peer 2 aims at somebody who never asked: discovery came from elsewhere.
    world.take(address(2), &discovery(200));
    world.engine.connect_native(PeerId(2), SUITE, address(66), &KEY).expect("a peer");
    let speech = world.speech();
    assert_eq!(world.take(address(1), &speech), []);
    // A claim to the address that peer 1 proved is not believed either.
    world.take(address(1), &discovery(200));
    world.engine.connect_native(PeerId(2), SUITE, address(1), &KEY).expect("a peer");
    let speech = world.speech();
    assert_eq!(world.take(address(1), &speech), []);
    assert_eq!(world.engine.take_events().collect::<Vec<_>>(), [(PeerId(1), PeerEvent::Connected)]);
    // The honest order works whether discovery or op 1 comes first.
    world.engine.connect_native(PeerId(2), SUITE, address(2), &KEY).expect("a peer");
    world.take(address(2), &discovery(200));
    world.check_honest();
}

#[test]
fn an_address_that_changes_hands_is_sent_to_once() {
    let mut world = World::connected();
    world.engine.join(RoomId(7), PeerId(3), 300, OPEN).expect("there is room");
    world.engine.connect_native(PeerId(3), SUITE, address(9), &KEY).expect("a peer");
    // Peer 3 speaks from what was peer 2's address (its translator gave the port to another).
    let speech = world.speech_with(300, NATIVE_OPUS, b"opus");
    world.take(address(2), &speech);
    let speech = world.speech();
    assert_eq!(world.take(address(1), &speech).len(), 1, "peer 2 is nowhere until it says where");
    let speech = world.speech_with(200, NATIVE_OPUS, b"opus");
    world.take(address(22), &speech);
    let speech = world.speech();
    let mut to: Vec<SocketAddr> = world.take(address(1), &speech).into_iter().map(|(to, _)| to).collect();
    to.sort();
    assert_eq!(to, [address(2), address(22)]);
}

#[test]
fn keep_alives_of_known_addresses_are_answered_with_as_many_bytes() {
    let mut world = World::connected();
    let counter = [3, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(world.take(address(1), &counter), [(address(1), counter.to_vec())]);
    let ping = [0x13, 0x37, 0xCA, 0xFE, 0, 0, 0, 5];
    let pong = [0x13, 0x37, 0xF0, 0x0D, 0, 0, 0, 5];
    assert_eq!(world.take(address(1), &ping), [(address(1), pong.to_vec())]);
    assert_eq!(world.take(address(1), &100u32.to_be_bytes()), []);
    assert_eq!(world.engine.drops().total(), 0);
}

#[test]
fn policy_holds_from_the_next_packet_on() {
    let mut world = World::connected();
    let muted = Policy { can_speak: false, ..OPEN };
    for (policy, reason) in [(muted, Muted), (Policy { self_mute: true, ..OPEN }, SelfMuted)] {
        world.engine.set_policy(PeerId(1), policy).expect("a peer");
        let speech = world.speech();
        world.check_drop(address(1), &speech, reason);
    }
    world.engine.set_policy(PeerId(1), OPEN).expect("a peer");
    world.engine.set_policy(PeerId(2), Policy { is_deafened: true, ..OPEN }).expect("a peer");
    let speech = world.speech();
    assert_eq!(world.take(address(1), &speech), []);
    world.engine.set_policy(PeerId(2), OPEN).expect("a peer");
    world.check_honest();
}

#[test]
fn payloads_of_no_length_and_of_too_much_are_not_forwarded() {
    let mut world = World::connected();
    let empty = world.speech_with(100, NATIVE_OPUS, b"");
    world.check_drop(address(1), &empty, Malformed);
    let long = world.speech_with(100, NATIVE_OPUS, &[1; MAX_PAYLOAD + 1]);
    world.check_drop(address(1), &long, Oversized);
    let longest = world.speech_with(100, NATIVE_OPUS, &[1; MAX_PAYLOAD]);
    assert_eq!(world.take(address(1), &longest).len(), 1);
}

#[test]
fn a_new_key_replaces_the_old_one_and_its_packets() {
    let mut world = World::connected();
    let old = world.speech();
    world.engine.connect_native(PeerId(1), SUITE, address(1), &[6; 32]).expect("a peer");
    assert_eq!(world.engine.take_events().collect::<Vec<_>>(), [(PeerId(1), PeerEvent::Connected)]);
    world.check_drop(address(1), &old, WrongTag);
    assert_eq!(world.engine.peers(), 2);
}

#[test]
fn probe_calls_are_served_and_not_counted() {
    let mut world = World::connected();
    let probe = RoomId(guildhall_protocol::fleet::PROBES_FROM | 1);
    world.engine.join(probe, PeerId(3), 300, OPEN).expect("there is room");
    assert_eq!((world.engine.peers(), world.engine.rooms()), (2, 1));
    world.engine.leave(PeerId(3)).expect("it is there");
    assert_eq!((world.engine.peers(), world.engine.rooms()), (2, 1));
}

#[test]
fn places_are_bounded_and_given_back() {
    let mut world = World::empty();
    for n in 1..=MAX_ROOM_PEERS as u64 {
        world.engine.join(RoomId(1), PeerId(n), n as u32, OPEN).expect("there is room");
    }
    assert_eq!(world.engine.join(RoomId(1), PeerId(1 << 40), u32::MAX, OPEN), Err(SfuError::RoomFull));
    assert_eq!(world.engine.join(RoomId(2), PeerId(1), u32::MAX, OPEN), Err(SfuError::NodeFull), "an id is taken once");
    world.engine.join(RoomId(2), PeerId(1 << 40), u32::MAX, OPEN).expect("another room has place");
    for n in 1..=MAX_ROOM_PEERS as u64 {
        world.engine.leave(PeerId(n)).expect("it is there");
        assert_eq!(world.engine.leave(PeerId(n)), Err(SfuError::UnknownPeer));
    }
    assert_eq!((world.engine.peers(), world.engine.rooms()), (1, 1));
    world.engine.join(RoomId(1), PeerId(5), 5, OPEN).expect("the room is made anew");
}

#[test]
fn a_native_key_that_the_client_ran_into_ours_with_is_lost() {
    let mut world = World::connected();
    // Peer 1 hears one packet, sealed with 2^31, before it ever spoke; then it begins to speak just below that.
    let mut other = Outbound::native(SUITE, &KEY);
    other.observe(1 << 31);
    std::mem::swap(&mut world.outbound, &mut other);
    let speech = world.speech_with(200, NATIVE_OPUS, b"opus");
    assert_eq!(world.take(address(2), &speech).len(), 1);
    let mut near = Outbound::native(SUITE, &KEY);
    near.observe((1u32 << 31).wrapping_sub(100).wrapping_sub(1 << 31));
    world.outbound = near;
    let speech = world.speech();
    world.take(address(1), &speech);
    assert_eq!(world.engine.take_events().collect::<Vec<_>>(), [(PeerId(1), PeerEvent::Lost)]);
}

/// An offer that is good enough to be answered; no client stands behind it.
const OFFER: &str = "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n";

impl World {
    /// Lets the next piece of work for a peer panic, whatever it is.
    fn break_peer(&mut self, id: u64) {
        self.engine.fault = Some(self.engine.key_of(PeerId(id)).expect("a peer"));
    }

    /// The peer was lost by a panic, alone: the tables agree, and the others talk.
    fn check_lost_alone(&mut self, id: u64, panics: u64) {
        assert_eq!(self.engine.take_events().collect::<Vec<_>>(), [(PeerId(id), PeerEvent::Lost)]);
        assert_eq!(self.engine.drops().of(Panicked), panics);
        self.engine.audit().unwrap();
        self.check_honest();
    }
}

#[test]
fn whatever_panics_for_one_peer_ends_that_peer_alone() {
    let mut world = World::connected();
    for n in [3, 4] {
        world.engine.join(RoomId(7), PeerId(n), n as u32 * 100, OPEN).expect("there is room");
    }
    let connect = |world: &mut World| {
        world.take(address(3), &discovery(300));
        world.engine.connect_native(PeerId(3), SUITE, address(3), &KEY).expect("a peer");
        assert_eq!(world.engine.take_events().collect::<Vec<_>>(), [(PeerId(3), PeerEvent::Connected)]);
        let heard = world.speech();
        assert_eq!(world.take(address(1), &heard).len(), 2, "peers 2 and 3 listen");
    };
    // Datagrams, by address, by SSRC and by user name; the last listener of the room is another's each time.
    let mut panics = 0;
    for (from, datagram) in
        [(address(3), vec![0x80, 201, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]), (address(3), vec![7; 8]), (address(99), discovery(300))]
    {
        connect(&mut world);
        world.break_peer(3);
        assert_eq!(world.take(from, &datagram), []);
        panics += 1;
        world.check_lost_alone(3, panics);
    }
    connect(&mut world);
    world.break_peer(3);
    let speech = world.speech_with(300, NATIVE_OPUS, b"opus");
    assert_eq!(world.take(address(3), &speech), []);
    world.check_lost_alone(3, panics + 1);

    // Requests: each is refused, and the peer may try again.
    connect(&mut world);
    world.break_peer(3);
    assert_eq!(world.engine.set_policy(PeerId(3), Policy { can_speak: false, ..OPEN }), Err(SfuError::Failed));
    world.check_lost_alone(3, panics + 2);
    world.break_peer(4);
    assert_eq!(world.engine.connect_webrtc(world.now, PeerId(4), OFFER, &KEY), Err(SfuError::Failed));
    world.check_lost_alone(4, panics + 3);
    world.engine.connect_webrtc(world.now, PeerId(4), OFFER, &KEY).expect("a good offer");
    world.engine.audit().unwrap();

    // Timers.
    let mut out = Outbox::default();
    world.break_peer(4);
    world.now += CARE_INTERVAL;
    world.engine.handle_timeout(world.now, &mut out);
    assert_eq!(world.engine.drops().of(Panicked), panics + 4);
    world.check_lost_alone(4, panics + 4);

    // Leaving always succeeds.
    for n in [3, 4] {
        world.break_peer(n);
        world.engine.leave(PeerId(n)).expect("it is there");
        world.engine.take_events().for_each(drop);
        world.engine.audit().unwrap();
    }
    assert_eq!(world.engine.peers(), 2);
    world.check_honest();
}

#[test]
fn more_than_a_client_sends_is_dropped_and_the_others_go_on() {
    let mut world = World::connected();
    let sent: usize = (0..2_000)
        .map(|_| {
            let speech = world.speech();
            world.take(address(1), &speech).len()
        })
        .sum();
    assert_eq!((sent, world.engine.drops().of(OverBudget)), (500, 1_500));
    let speech = world.speech_with(200, NATIVE_OPUS, b"opus");
    assert_eq!(world.take(address(2), &speech).len(), 1, "another's budget is its own");
    world.now += Duration::from_secs(2);
    world.check_honest();
    let echoes: usize = (0..200).map(|_| world.take(address(2), &[9; 8]).len()).sum();
    assert_eq!(echoes, 20);
}

#[test]
fn handshakes_under_way_are_bounded_and_end() {
    let mut world = World::empty();
    for n in 1..=MAX_HALF_OPEN as u64 + 1 {
        world.engine.join(RoomId(n), PeerId(n), n as u32 * 100, OPEN).expect("there is room");
    }
    for n in 1..=MAX_HALF_OPEN as u64 {
        world.engine.connect_webrtc(world.now, PeerId(n), OFFER, &KEY).expect("a good offer");
    }
    let last = PeerId(MAX_HALF_OPEN as u64 + 1);
    assert_eq!(world.engine.connect_webrtc(world.now, last, OFFER, &KEY), Err(SfuError::NodeFull));
    assert_eq!(world.engine.drops().of(HalfOpenFull), 1);
    // Who has one already may start anew.
    world.engine.connect_webrtc(world.now, PeerId(1), OFFER, &KEY).expect("a good offer");
    world.engine.audit().unwrap();
    let end = world.now + HANDSHAKE_DEADLINE + CARE_INTERVAL;
    while let Some(due) = world.engine.next_timeout().filter(|due| *due <= end) {
        world.engine.handle_timeout(due, &mut Outbox::default());
    }
    world.now = end;
    assert_eq!(world.engine.take_events().filter(|(_, event)| *event == PeerEvent::Lost).count(), MAX_HALF_OPEN);
    assert_eq!(world.engine.drops().of(HandshakeTooLong), MAX_HALF_OPEN as u64);
    world.engine.audit().unwrap();
    world.engine.connect_webrtc(world.now, last, OFFER, &KEY).expect("there is room again");
}

#[test]
fn who_sends_far_more_than_its_channel_allows_for_seconds_loses_packets() {
    let mut world = World::connected();
    world.engine.set_policy(PeerId(1), Policy { bitrate_bps: Some(64_000), ..OPEN }).expect("a peer");
    let mut forwarded = 0;
    for _ in 0..500 {
        let speech = world.speech_with(100, NATIVE_OPUS, &[1; 1100]);
        forwarded += world.take(address(1), &speech).len();
        world.now += Duration::from_millis(20);
    }
    let dropped = world.engine.drops().of(OverBitrate);
    assert!(
        (350..450).contains(&forwarded) && forwarded as u64 + dropped == 500,
        "{forwarded} of 500 at 456 kbit/s, where 288 are allowed"
    );
    world.now += Duration::from_secs(3);
    world.check_honest();
}

#[test]
fn silence_is_forwarded_for_its_tail_only_and_numbered_without_a_gap() {
    let mut world = World::connected();
    let mut sequences = Vec::new();
    let mut send = |world: &mut World, payload: &[u8]| {
        let packet = world.speech_with(100, NATIVE_OPUS, payload);
        sequences.extend(world.take(address(1), &packet).iter().map(|(_, copy)| u16::from_be_bytes([copy[2], copy[3]])));
        world.now += Duration::from_millis(20);
    };
    send(&mut world, &[1; 80]);
    (0..50).for_each(|_| send(&mut world, &[0xF8, 0xFF, 0xFE]));
    send(&mut world, &[1; 80]);
    assert_eq!(sequences, (1001..=1008).collect::<Vec<u16>>());
    assert_eq!(world.engine.drops().of(Silence), 44);
}

#[test]
fn a_recorded_room_is_heard_by_its_recorder_and_nobody_who_is_muted_is() {
    let mut world = World::connected();
    let said = |world: &mut World| {
        world.now += Duration::from_millis(20);
        let speech = world.speech();
        world.take(address(1), &speech);
        let heard: Vec<Heard> = world.engine.take_heard().collect();
        heard
    };
    assert_eq!(said(&mut world), [], "nobody records");
    world.engine.tape(RoomId(7), true);
    let heard = said(&mut world);
    let expected =
        Heard { room: RoomId(7), speaker: PeerId(1), timestamp: 1, at: world.now, lost_before: 0, opus: (*b"opus").into() };
    assert_eq!(heard, [expected]);
    for muted in [Policy { can_speak: false, ..OPEN }, Policy { self_mute: true, ..OPEN }] {
        world.engine.set_policy(PeerId(1), muted).unwrap();
        assert_eq!(said(&mut world), []);
    }
    world.engine.set_policy(PeerId(1), OPEN).unwrap();
    assert_eq!(said(&mut world).len(), 1);

    world.engine.tape(RoomId(8), true);
    world.engine.join(RoomId(8), PeerId(3), 300, OPEN).unwrap();
    assert!(world.engine.rooms.iter().flatten().all(|room| room.is_taped), "also a room that is made later");
    world.engine.tape(RoomId(7), false);
    assert_eq!(said(&mut world), []);
}
