//! The packet path allocates nothing in the steady state: thousands of packets from speakers of both transports to listeners
//! of both, and of video between browsers, with a counting allocator on this thread.

mod counting;

use counting::{COUNT, allocations};
use guildhall_protocol::fleet::Policy;
use guildhall_sfu::cipher::Outbound;
use guildhall_sfu::engine::{Egress, Engine, Identity, Life, Part};
use guildhall_sfu::rtp::{NATIVE_OPUS, Outgoing};
use guildhall_sfu::{NativeSuite, PeerId, RoomId, Source, Want};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use str0m::change::SdpAnswer;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Input, Output, Rtc, RtcConfig};

/// Does something within counted work that does not count.
fn uncounted(work: impl FnOnce()) {
    let count = COUNT.take();
    work();
    COUNT.set(count);
}

const OPEN: Policy =
    Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: true };
const KEY: [u8; 32] = [7; 32];
const ROUNDS: usize = 1000;

/// Counts copies; collects what goes to browsers.
struct Outbox {
    slot: [u8; 1536],
    copies: u64,
    kept: Vec<(SocketAddr, Vec<u8>)>,
}

impl Outbox {
    fn new() -> Outbox {
        Outbox { slot: [0; 1536], copies: 0, kept: Vec::new() }
    }
}

impl Egress for Outbox {
    fn slot(&mut self) -> &mut [u8] {
        &mut self.slot
    }

    fn commit(&mut self, len: usize, to: SocketAddr) {
        self.copies += 1;
        if to.port() > address(10).port() {
            uncounted(|| self.kept.push((to, self.slot[..len].to_vec())));
        }
    }
}

fn address(n: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 1000 + n))
}

fn join_native(engine: &mut Engine, out: &mut Outbox, now: Instant, n: u16, suite: NativeSuite) {
    let (id, ssrc) = (PeerId(u64::from(n)), u32::from(n) * 100);
    engine.join(RoomId(1), id, ssrc, OPEN).expect("there is room");
    connect_native(engine, out, now, n, suite);
}

fn connect_native(engine: &mut Engine, out: &mut Outbox, now: Instant, n: u16, suite: NativeSuite) {
    let (id, ssrc) = (PeerId(u64::from(n)), u32::from(n) * 100);
    let mut discovery = [0; 74];
    discovery[..4].copy_from_slice(&[0, 1, 0, 70]);
    discovery[4..8].copy_from_slice(&ssrc.to_be_bytes());
    engine.handle_datagram(now, address(n), &mut discovery, out);
    engine.handle_timeout(now + Duration::from_secs(1), out);
    engine.connect_native(id, suite, address(n), &KEY).expect("the peer has a place");
}

/// Packets of a native speaker, sealed beforehand.
fn native_packets(n: u16, suite: NativeSuite) -> Vec<Vec<u8>> {
    let mut outbound = Outbound::native(suite, &KEY);
    outbound.observe(1 << 31);
    let seal = |index: usize| {
        let mut datagram = vec![0; 1500];
        let sequence = index as u16;
        let ssrc = u32::from(n) * 100;
        let timestamp = 960 * index as u32;
        let outgoing =
            Outgoing { marker: false, payload_type: NATIVE_OPUS, sequence, timestamp, ssrc, audio_level: None, transport: None };
        let header_len = outgoing.write(&mut datagram);
        let len = outbound.seal(&mut datagram, header_len, 0, &[index as u8; 120]);
        datagram.truncate(len);
        datagram
    };
    (0..2 * ROUNDS).map(seal).collect()
}

/// A str0m client, connected, and where its audio and video go.
struct Browser {
    rtc: Rtc,
    own: SocketAddr,
    microphone: Mid,
    camera: Mid,
    said: u64,
}

/// A room that is whole.
const WHOLE: (Life, Part) = (Life { room: RoomId(1), number: 0 }, Part::Home);

fn join_browser(engine: &mut Engine, part: (Life, Part), now: &mut Instant, n: u16) -> Browser {
    let (id, own) = (PeerId(u64::from(n)), address(n));
    let mut rtc = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_opus(true, false).enable_vp8(true).build(*now);
    rtc.add_local_candidate(Candidate::host(own, "udp").expect("a UDP address"));
    let mut api = rtc.sdp_api();
    let microphone = api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
    for _ in 0..4 {
        api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    }
    let camera = api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
    for _ in 0..2 {
        api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
    }
    let (offer, pending) = api.apply().expect("media was added");
    engine.join_part(part, id, u32::from(n) * 100, OPEN).expect("there is room");
    // What is said is remembered, for who may ask for it again.
    let offer = offer.to_sdp_string().replace("a=fmtp:111 ", "a=rtcp-fb:111 nack\r\na=fmtp:111 ");
    assert!(offer.contains("a=rtcp-fb:111 nack"));
    let answer = engine.connect_webrtc(*now, id, &offer, &[n as u8; 32]).expect("a good offer");
    let answer = SdpAnswer::from_sdp_string(&answer.sdp).expect("a good answer");
    rtc.sdp_api().accept_answer(pending, answer).expect("an answer to this offer");

    let mut browser = Browser { rtc, own, microphone, camera, said: 0 };
    let mut out = Outbox::new();
    for _ in 0..300 {
        *now += Duration::from_millis(10);
        for mut datagram in browser.poll(*now) {
            engine.handle_datagram(*now, own, &mut datagram, &mut out);
        }
        engine.handle_timeout(*now, &mut out);
        for (_, datagram) in out.kept.drain(..) {
            browser.receive(*now, engine.address(), &datagram);
        }
        if browser.rtc.is_connected() && engine.take_events().any(|(peer, _)| peer == id) {
            return browser;
        }
    }
    panic!("the handshake did not end");
}

impl Browser {
    fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let receive = Receive::new(Protocol::Udp, from, self.own, datagram).expect("a datagram str0m knows");
        self.rtc.handle_input(Input::Receive(now, receive)).expect("the client stays well");
    }

    fn poll(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.rtc.handle_input(Input::Timeout(now)).expect("time alone breaks nothing");
        let mut sent = Vec::new();
        loop {
            match self.rtc.poll_output().expect("the client stays well") {
                Output::Timeout(_) => return sent,
                Output::Transmit(transmit) => sent.push(transmit.contents.to_vec()),
                Output::Event(_) => {}
            }
        }
    }

    /// Twenty milliseconds of voice and a picture, and whatever else there is to be said.
    fn live(&mut self, now: Instant) -> Vec<Vec<u8>> {
        for (mid, codec, clock, payload) in
            [(self.microphone, Codec::Opus, 960, vec![1; 120]), (self.camera, Codec::Vp8, 1800, picture(self.said))]
        {
            let payload_type = self.rtc.codec_config().find(|params| params.spec().codec == codec).expect("it is offered").pt();
            let mut api = self.rtc.direct_api();
            let stream = api.stream_tx_by_mid(mid, None).expect("the answer took our upstream");
            stream.write_rtp(RtpWrite::new(payload_type, (self.said + 1).into(), clock * self.said as u32, now, payload));
        }
        self.said += 1;
        self.poll(now)
    }
}

/// A picture of VP8: a key frame of 640x360, or one that needs others.
fn picture(index: u64) -> Vec<u8> {
    let mut payload = vec![0x90, 0xE0, 0x80 | (index >> 8) as u8 & 0x7F, index as u8, index as u8, 0];
    match index % 100 {
        0 => payload.extend([0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x01]),
        _ => payload.push(0x11),
    }
    payload.resize(700, 7);
    payload
}

#[test]
fn nothing_is_allocated_per_packet_in_the_steady_state() {
    let identity = Identity::generate().expect("randomness");
    let mut engine = Engine::new(SocketAddr::from(([10, 0, 0, 254], 50_000)), identity);
    let mut out = Outbox::new();
    let mut now = Instant::now();
    let (gcm, xchacha) = (NativeSuite::Aes256GcmRtpsize, NativeSuite::XChaCha20Poly1305Rtpsize);
    for n in 1..=10 {
        join_native(&mut engine, &mut out, now, n, if n % 2 == 0 { gcm } else { xchacha });
    }
    let mut browsers: Vec<Browser> = (11..=13).map(|n| join_browser(&mut engine, WHOLE, &mut now, n)).collect();
    let natives: [(SocketAddr, Vec<Vec<u8>>); 2] =
        [(address(1), native_packets(1, xchacha)), (address(2), native_packets(2, gcm))];
    for n in 11..=13 {
        let want =
            |(other, slot)| Want { slot, publisher: PeerId(other), source: Source::Camera, pixels: 640 * 360, is_focus: false };
        let others = (11..=13).filter(|other| *other != n).zip(0..);
        engine.watch(now, PeerId(n), &others.map(want).collect::<Vec<_>>()).expect("it has a place");
    }

    // Keep-alives, noise and forgeries are part of the steady state too.
    let mut noise = [0xFF; 40];
    let mut keep_alive = [9; 8];
    let mut speak = |engine: &mut Engine, out: &mut Outbox, rounds: std::ops::Range<usize>| {
        let mut arriving = Vec::new();
        for round in rounds {
            let end = now + Duration::from_millis(20);
            // Pacers, layers, requests; str0m's own timers have nothing to say once it is connected.
            while let Some(due) = engine.next_timeout().filter(|due| *due <= end) {
                now = now.max(due);
                engine.handle_timeout(now, out);
            }
            now = end;
            uncounted(|| {
                arriving.clear();
                for browser in &mut browsers {
                    let own = browser.own;
                    for (_, datagram) in out.kept.iter().filter(|(to, _)| *to == own) {
                        browser.receive(now, engine.address(), datagram);
                    }
                    arriving.extend(browser.live(now).into_iter().map(|datagram| (browser.own, datagram)));
                }
                out.kept.clear();
                arriving.extend(natives.iter().map(|(from, packets)| (*from, packets[round].clone())));
                // What is for str0m alone may allocate there.
                let (media, others) = arriving.drain(..).partition::<Vec<_>, _>(|(_, datagram)| datagram[0] >> 6 == 2);
                others.into_iter().for_each(|(from, mut datagram)| engine.handle_datagram(now, from, &mut datagram, out));
                arriving = media;
            });
            for (from, datagram) in &mut arriving {
                engine.handle_datagram(now, *from, datagram, out);
                // The same again is a replay, and opened in place it is broken as well.
                engine.handle_datagram(now, *from, datagram, out);
            }
            engine.handle_datagram(now, address(1), &mut keep_alive, out);
            engine.handle_datagram(now, address(999), &mut noise, out);
            drop(engine.take_events());
        }
        uncounted(|| drop(arriving));
    };
    speak(&mut engine, &mut out, 0..ROUNDS);
    let (before, traffic) = (out.copies, *engine.traffic());
    let allocated = allocations(|| speak(&mut engine, &mut out, ROUNDS..2 * ROUNDS));
    let copies = out.copies - before;
    // Five speakers, thirteen peers: twelve copies each, less what a browser with four slots cannot take; and the keep-alives.
    assert!(copies as usize >= ROUNDS * 5 * 12 - ROUNDS * 2 * 3, "{copies} copies were made");
    assert_eq!(allocated, 0, "allocations in {copies} copies");
    let shown = engine.traffic().video_out - traffic.video_out;
    assert!(shown.abs_diff(ROUNDS as u64 * 3 * 2) <= 12, "each camera is shown to two: {shown} copies");

    // The counter counts: a join allocates.
    assert!(allocations(|| join_native(&mut engine, &mut out, Instant::now(), 50, gcm)) > 0);
}

#[test]
fn nothing_is_allocated_per_packet_in_a_room_that_is_spread() {
    let engine = |port| {
        let identity = Identity::generate().expect("randomness");
        Engine::new(SocketAddr::from(([10, 0, 0, 254], port)), identity)
    };
    let mut engines = [engine(50_000), engine(50_001)];
    let (mut out, now, suite) = (Outbox::new(), Instant::now(), NativeSuite::Aes256GcmRtpsize);
    let life = Life { room: RoomId(1), number: 1 };
    for n in 1..=8 {
        let (engine, part) = if n % 2 == 1 { (&mut engines[0], Part::Home) } else { (&mut engines[1], Part::Branch { home: 0 }) };
        engine.join_part((life, part), PeerId(u64::from(n)), u32::from(n) * 100, OPEN).expect("there is room");
        connect_native(engine, &mut out, now, n, suite);
    }
    let packets = [native_packets(1, suite), native_packets(2, suite)];
    let mut speak = |out: &mut Outbox, rounds: std::ops::Range<usize>| {
        let mut datagram = [0; 1500];
        for round in rounds {
            let now = now + Duration::from_millis(20) * round as u32;
            let [home, branch] = &mut engines;
            for (n, packets) in packets.iter().enumerate() {
                let packet = &packets[round];
                datagram[..packet.len()].copy_from_slice(packet);
                let engine = if n == 0 { &mut *home } else { &mut *branch };
                engine.handle_datagram(now, address(1 + n as u16), &mut datagram[..packet.len()], out);
                branch.take_parcels().for_each(|(_, mut parcel)| home.handle_parcel(now, 1, &mut parcel, out));
                home.take_parcels().for_each(|(_, mut parcel)| branch.handle_parcel(now, 0, &mut parcel, out));
            }
        }
    };
    speak(&mut out, 0..ROUNDS);
    let before = out.copies;
    let allocated = allocations(|| speak(&mut out, ROUNDS..2 * ROUNDS));
    assert_eq!((out.copies - before, allocated), (2 * 7 * ROUNDS as u64, 0), "two speakers, each to seven");
}

/// Gives every engine what others have for it, until nobody has anything more.
fn exchange(engines: &mut [Engine; 3], now: Instant, out: &mut Outbox) {
    let mut is_any = true;
    while std::mem::take(&mut is_any) {
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            // Nobody has anything for itself, so the third of three stands apart while two exchange.
            let third = 3 - from - to;
            let [one, other, rest] = engines.get_disjoint_mut([from, to, third]).expect("three engines");
            for (which, mut parcel) in one.take_parcels() {
                is_any = true;
                let engine = if which == to { &mut *other } else { &mut *rest };
                engine.handle_parcel(now, from, &mut parcel, out);
            }
        }
    }
}

#[test]
fn nothing_is_allocated_per_packet_of_video_in_a_room_that_is_spread() {
    let engine = |port| {
        let identity = Identity::generate().expect("randomness");
        Engine::new(SocketAddr::from(([10, 0, 0, 254], port)), identity)
    };
    let mut engines = [engine(50_000), engine(50_001), engine(50_002)];
    let (mut out, mut now) = (Outbox::new(), Instant::now());
    let life = Life { room: RoomId(1), number: 1 };
    let mut browsers = Vec::new();
    for n in 11..=13 {
        let part = if n == 11 { Part::Home } else { Part::Branch { home: 0 } };
        browsers.push(join_browser(&mut engines[usize::from(n) - 11], (life, part), &mut now, n));
    }
    for n in 11..=13 {
        let want =
            |(other, slot)| Want { slot, publisher: PeerId(other), source: Source::Camera, pixels: 640 * 360, is_focus: false };
        let others = (11..=13).filter(|other| *other != n).zip(0..);
        engines[n as usize - 11].watch(now, PeerId(n), &others.map(want).collect::<Vec<_>>()).expect("it has a place");
    }
    exchange(&mut engines, now, &mut out);

    let mut live = |out: &mut Outbox, rounds: usize| {
        for _ in 0..rounds {
            let end = now + Duration::from_millis(20);
            while let Some(due) = engines.iter().filter_map(Engine::next_timeout).min().filter(|due| *due <= end) {
                now = now.max(due);
                engines.iter_mut().for_each(|engine| engine.handle_timeout(now, out));
                exchange(&mut engines, now, out);
            }
            now = end;
            let mut arriving = Vec::new();
            uncounted(|| {
                for (browser, engine) in browsers.iter_mut().zip(&mut engines) {
                    let own = browser.own;
                    for (_, datagram) in out.kept.iter().filter(|(to, _)| *to == own) {
                        browser.receive(now, engine.address(), datagram);
                    }
                    let (media, others) = browser.live(now).into_iter().partition::<Vec<_>, _>(|datagram| datagram[0] >> 6 == 2);
                    others.into_iter().for_each(|mut datagram| engine.handle_datagram(now, own, &mut datagram, out));
                    arriving.push((own, media));
                }
                out.kept.clear();
            });
            for (at, (from, media)) in arriving.iter_mut().enumerate() {
                for datagram in media {
                    engines[at].handle_datagram(now, *from, datagram, out);
                    exchange(&mut engines, now, out);
                }
            }
            engines.iter_mut().for_each(|engine| drop(engine.take_events()));
            uncounted(|| drop(arriving));
        }
    };
    live(&mut out, ROUNDS);
    let before = out.copies;
    let allocated = allocations(|| live(&mut out, ROUNDS));
    // Three voices and three cameras, each to two; and what there is of reports.
    assert!(out.copies - before >= ROUNDS as u64 * 12, "{} copies", out.copies - before);
    assert_eq!(allocated, 0, "allocations in {} copies", out.copies - before);
}
