//! The packet path allocates nothing in the steady state: thousands of packets from speakers of both transports to listeners
//! of both, and of video between browsers, with a counting allocator on this thread.
#![allow(unsafe_code)] // a global allocator is unsafe by nature; this one only counts and passes on

use guildhall_protocol::fleet::Policy;
use guildhall_sfu::cipher::Outbound;
use guildhall_sfu::engine::{Egress, Engine, Identity};
use guildhall_sfu::rtp::{NATIVE_OPUS, Outgoing};
use guildhall_sfu::{NativeSuite, PeerId, RoomId, Source, Want};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use str0m::change::SdpAnswer;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Input, Output, Rtc, RtcConfig};

struct Counting;

thread_local! {
    /// Allocations since counting began on this thread; `None` while nobody counts.
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

fn count() {
    COUNT.with(|count| count.set(count.get().map(|n| n + 1)));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Does something within counted work that does not count.
fn uncounted(work: impl FnOnce()) {
    let count = COUNT.take();
    work();
    COUNT.set(count);
}

/// Counts the allocations of `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    COUNT.set(Some(0));
    work();
    COUNT.take().expect("counting went on")
}

const OPEN: Policy =
    Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: true };
const KEY: [u8; 32] = [7; 32];
const ROUNDS: usize = 1000;

/// Counts copies; collects datagrams only while a handshake goes on.
struct Outbox {
    slot: [u8; 1536],
    copies: u64,
    kept: Option<Vec<(SocketAddr, Vec<u8>)>>,
}

impl Egress for Outbox {
    fn slot(&mut self) -> &mut [u8] {
        &mut self.slot
    }

    fn commit(&mut self, len: usize, to: SocketAddr) {
        self.copies += 1;
        if let Some(kept) = &mut self.kept {
            kept.push((to, self.slot[..len].to_vec()));
        }
    }
}

fn address(n: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 1000 + n))
}

fn join_native(engine: &mut Engine, out: &mut Outbox, now: Instant, n: u16, suite: NativeSuite) {
    let (id, ssrc) = (PeerId(u64::from(n)), u32::from(n) * 100);
    engine.join(RoomId(1), id, ssrc, OPEN).expect("there is room");
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
fn join_browser(engine: &mut Engine, now: &mut Instant, n: u16) -> (Rtc, Mid, Mid) {
    let (id, own) = (PeerId(u64::from(n)), address(n));
    let mut rtc = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_opus(true, false).enable_vp8(true).build(*now);
    rtc.add_local_candidate(Candidate::host(own, "udp").expect("a UDP address"));
    let mut api = rtc.sdp_api();
    let mid = api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
    for _ in 0..4 {
        api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    }
    let camera = api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
    for _ in 0..2 {
        api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
    }
    let (offer, pending) = api.apply().expect("media was added");
    engine.join(RoomId(1), id, u32::from(n) * 100, OPEN).expect("there is room");
    let answer = engine.connect_webrtc(*now, id, &offer.to_sdp_string(), &[n as u8; 32]).expect("a good offer");
    let answer = SdpAnswer::from_sdp_string(&answer.sdp).expect("a good answer");
    rtc.sdp_api().accept_answer(pending, answer).expect("an answer to this offer");

    let mut out = Outbox { slot: [0; 1536], copies: 0, kept: Some(Vec::new()) };
    for _ in 0..300 {
        *now += Duration::from_millis(10);
        for mut datagram in poll(&mut rtc, *now) {
            engine.handle_datagram(*now, own, &mut datagram, &mut out);
        }
        engine.handle_timeout(*now, &mut out);
        for (_, datagram) in out.kept.as_mut().expect("kept during the handshake").drain(..) {
            let receive = Receive::new(Protocol::Udp, engine.address(), own, &datagram).expect("a datagram str0m knows");
            rtc.handle_input(Input::Receive(*now, receive)).expect("the client stays well");
        }
        if rtc.is_connected() && engine.take_events().any(|(peer, _)| peer == id) {
            return (rtc, mid, camera);
        }
    }
    panic!("the handshake did not end");
}

fn poll(rtc: &mut Rtc, now: Instant) -> Vec<Vec<u8>> {
    rtc.handle_input(Input::Timeout(now)).expect("time alone breaks nothing");
    let mut sent = Vec::new();
    loop {
        match rtc.poll_output().expect("the client stays well") {
            Output::Timeout(_) => return sent,
            Output::Transmit(transmit) => sent.push(transmit.contents.to_vec()),
            Output::Event(_) => {}
        }
    }
}

/// A picture of VP8: a key frame of 640x360, or one that needs others.
fn picture(index: u64) -> Vec<u8> {
    let mut payload = vec![0x90, 0xE0, 0x80 | (index >> 8) as u8 & 0x7F, index as u8, index as u8, 0];
    match index {
        0 => payload.extend([0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x01]),
        _ => payload.push(0x11),
    }
    payload.resize(1100, 7);
    payload
}

/// Packets of a browser's own SRTP, made beforehand; its other datagrams are left out.
fn browser_packets(rtc: &mut Rtc, mid: Mid, codec: Codec, mut now: Instant) -> Vec<Vec<u8>> {
    let payload_type = rtc.codec_config().find(|params| params.spec().codec == codec).expect("it is offered").pt();
    let mut packets = Vec::new();
    for index in 0..2 * ROUNDS as u64 {
        now += Duration::from_millis(20);
        let mut api = rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).expect("the answer took our upstream");
        let (clock, payload) = if codec == Codec::Vp8 { (1800, picture(index)) } else { (960, vec![1; 120]) };
        stream.write_rtp(RtpWrite::new(payload_type, (index + 1).into(), clock * index as u32, now, payload));
        packets
            .extend(poll(rtc, now).into_iter().filter(|datagram| datagram[0] >> 6 == 2 && datagram[1] & 0x7F == *payload_type));
    }
    packets
}

#[test]
fn nothing_is_allocated_per_packet_in_the_steady_state() {
    let identity = Identity::generate().expect("randomness");
    let mut engine = Engine::new(SocketAddr::from(([10, 0, 0, 254], 50_000)), identity);
    let mut out = Outbox { slot: [0; 1536], copies: 0, kept: None };
    let mut now = Instant::now();
    let (gcm, xchacha) = (NativeSuite::Aes256GcmRtpsize, NativeSuite::XChaCha20Poly1305Rtpsize);
    for n in 1..=10 {
        join_native(&mut engine, &mut out, now, n, if n % 2 == 0 { gcm } else { xchacha });
    }
    let browsers: Vec<_> = (11..=13).map(|n| (n, join_browser(&mut engine, &mut now, n))).collect();

    let mut streams: Vec<(SocketAddr, Vec<Vec<u8>>)> =
        vec![(address(1), native_packets(1, xchacha)), (address(2), native_packets(2, gcm))];
    for (n, (mut rtc, mid, camera)) in browsers {
        streams.push((address(n), browser_packets(&mut rtc, mid, Codec::Opus, now)));
        streams.push((address(n), browser_packets(&mut rtc, camera, Codec::Vp8, now)));
        let others = (11..=13).filter(|other| *other != n).zip(0..);
        let want = |(other, slot)| Want {
            slot,
            publisher: PeerId(u64::from(other)),
            source: Source::Camera,
            pixels: 640 * 360,
            is_focus: false,
        };
        engine.watch(now, PeerId(u64::from(n)), &others.map(want).collect::<Vec<_>>()).expect("it has a place");
    }
    assert!(streams.iter().all(|(_, packets)| packets.len() == 2 * ROUNDS));

    // Keep-alives, noise and forgeries are part of the steady state too.
    let mut noise = [0xFF; 40];
    let mut keep_alive = [9; 8];
    let mut speak = |engine: &mut Engine, out: &mut Outbox, rounds: std::ops::Range<usize>| {
        for round in rounds {
            now += Duration::from_millis(20);
            for (from, packets) in &mut streams {
                engine.handle_datagram(now, *from, &mut packets[round], out);
                // The same again is a replay, and opened in place it is broken as well.
                engine.handle_datagram(now, *from, &mut packets[round], out);
            }
            engine.handle_datagram(now, address(1), &mut keep_alive, out);
            engine.handle_datagram(now, address(999), &mut noise, out);
            drop(engine.take_events());
            // str0m's share of the timers may allocate.
            uncounted(|| engine.handle_timeout(now, out));
        }
    };
    speak(&mut engine, &mut out, 0..ROUNDS);
    let (before, shown) = (out.copies, engine.traffic().video_out);
    let allocated = allocations(|| speak(&mut engine, &mut out, ROUNDS..2 * ROUNDS));
    let copies = out.copies - before;
    // Five speakers, thirteen peers: twelve copies each, less what a browser with four slots cannot take; and the keep-alives.
    assert!(copies as usize >= ROUNDS * 5 * 12 - ROUNDS * 2 * 3, "{copies} copies were made");
    assert_eq!(allocated, 0, "allocations in {copies} copies");
    assert_eq!(engine.traffic().video_out - shown, ROUNDS as u64 * 3 * 2, "each camera is shown to two");

    // The counter counts: a join allocates.
    assert!(allocations(|| join_native(&mut engine, &mut out, Instant::now(), 50, gcm)) > 0);
}
