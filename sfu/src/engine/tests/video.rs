//! Video end to end through the engine: unmodified str0m clients publish simulcast and watch it, over a lossless or lossy path,
//! on a simulated clock.

mod bandwidth;
mod film;
mod screen;
mod spread;

use super::{OPEN, Outbox, address};
use crate::engine::*;
use crate::video::vp8::{self, tests::payload};
use crate::video::{Codec, Source};
use screen::Screen;
use std::collections::{BTreeMap, VecDeque};
use str0m::change::SdpAnswer;
use str0m::format;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpWrite, SeqNo};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

const RIDS: [&str; 3] = ["q", "h", "f"];
const SIZES: [(u16, u16); 3] = [(160, 90), (320, 180), (640, 360)];
/// Packets of one frame and bytes of each, by layer; a key frame has three times as many. Some 160, 470 and 930 kbit/s.
const FRAMES: [(usize, usize); 3] = [(1, 600), (2, 900), (4, 900)];
const FRAME: Duration = Duration::from_millis(33);
const STEP: Duration = Duration::from_millis(3);
/// Opus at 24 kbit/s.
const SPOKEN: (Duration, [u8; 60]) = (Duration::from_millis(20), [7; 60]);

/// A packet of video as a client's own SRTP let it through.
#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    sequence: u64,
    timestamp: u32,
    picture: u16,
    size: Option<(u16, u16)>,
    is_key: bool,
    /// The first and the last of its frame.
    begins: bool,
    marker: bool,
    len: usize,
}

struct Person {
    rtc: Rtc,
    id: PeerId,
    worker: usize,
    microphone: Mid,
    /// When each packet of the first person's voice came, by its number.
    heard: BTreeMap<u64, Instant>,
    camera: Option<Mid>,
    screen: Option<Mid>,
    seen: BTreeMap<u32, Vec<Seen>>,
    screens: BTreeMap<u32, Screen>,
    key_requests: Vec<(Instant, Mid, Option<Rid>)>,
    video_slots: Vec<(u32, u32)>,
    /// The SSRC of its slot for a voice.
    voice_slot: u32,
    events: Vec<(Instant, PeerEvent)>,
}

#[derive(Clone, Copy)]
struct Encoder {
    sequence: u64,
    picture: u16,
    base: u8,
    needs_key: bool,
    is_on: bool,
}

/// Somebody's link down, with a queue.
#[derive(Clone, Copy)]
struct Narrow {
    who: usize,
    /// bit/s; zero loses everything, both ways.
    bps: u64,
    /// How much longer than others' its way is, in each direction.
    distance: Duration,
    /// When what is in the queue will have left.
    busy_until: Instant,
}

/// What the narrow link's queue holds, unless a test says otherwise. What comes on top is lost.
const QUEUE: Duration = Duration::from_millis(1_200);

struct Theatre {
    /// Where the room is whole, or has its home.
    engine: Engine,
    /// The other workers, and on which of all whoever joins next sits.
    branches: Vec<Engine>,
    worker: usize,
    /// Parcels with pictures that were handed from one worker to another, and how many of the next are lost.
    crossed: u64,
    lose: u64,
    start: Instant,
    now: Instant,
    people: Vec<Person>,
    encoders: [Encoder; 3],
    frames: [(usize, usize); 3],
    next_frame: Instant,
    /// Of a thousand datagrams, to whom (by index) and from whom.
    loss_down: (usize, u64),
    loss_up: u64,
    random: u64,
    narrow: Option<Narrow>,
    queue: Duration,
    /// What the first person says next, and when.
    spoken: (u64, Instant),
    /// How long everything is on its way, and what is.
    delay: Duration,
    under_way: VecDeque<(Instant, bool, usize, Vec<u8>)>,
    /// Of each picture the last packet is lost on its way to us.
    is_cut: bool,
    /// What left for each person: when, with which timestamp of which stream, and how long.
    left: Vec<(Instant, usize, (u32, u32), usize)>,
}

/// The offer of a client that may ask for audio that it lost.
fn asking(offer: String) -> String {
    let (before, _) = offer.split_once(" opus/48000").expect("Opus is offered");
    let opus = before.rsplit(':').next().expect("its number").to_owned();
    offer.replace(&format!("a=fmtp:{opus} "), &format!("a=rtcp-fb:{opus} nack\r\na=fmtp:{opus} "))
}

impl Person {
    /// It asks for what it misses of the voice that it hears.
    fn ask_for_voices(&mut self) {
        let slot = self.voice_slot;
        self.rtc.direct_api().stream_rx(&slot.into()).expect("a slot of the answer").suppress_nack(false);
    }
}

impl Theatre {
    fn new() -> Theatre {
        let now = Instant::now();
        let encoder = |place: u16| Encoder {
            sequence: 64_900 + 250 * u64::from(place),
            picture: 32_700 + place,
            base: 250,
            needs_key: true,
            is_on: true,
        };
        Theatre {
            engine: Engine::new(address(50_000), Identity::generate().expect("randomness")),
            branches: Vec::new(),
            worker: 0,
            crossed: 0,
            lose: 0,
            start: now,
            now,
            people: Vec::new(),
            encoders: [encoder(0), encoder(1), encoder(2)],
            frames: FRAMES,
            next_frame: now,
            loss_down: (0, 0),
            loss_up: 0,
            random: 7,
            narrow: None,
            queue: QUEUE,
            spoken: (1, now),
            delay: Duration::from_millis(10),
            under_way: VecDeque::new(),
            is_cut: false,
            left: Vec::new(),
        }
    }

    /// With so many other workers.
    fn with_branches(branches: u16) -> Theatre {
        let engine = |worker| Engine::new(address(50_000 + worker), Identity::generate().expect("randomness"));
        Theatre { branches: (1..=branches).map(engine).collect(), ..Theatre::new() }
    }

    /// Worker 0 is the home.
    fn at(&mut self, worker: usize) -> &mut Engine {
        if worker == 0 { &mut self.engine } else { &mut self.branches[worker - 1] }
    }

    fn draw(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    /// Somebody who publishes (or not) and has video slots; connected when this returns.
    fn join(&mut self, publishes: bool, slots: usize) -> usize {
        self.join_with(publishes, slots, Codec::Vp8)
    }

    fn join_with(&mut self, publishes: bool, slots: usize, codec: Codec) -> usize {
        self.join_by(publishes, slots, codec, |offer| offer)
    }

    fn join_by(&mut self, publishes: bool, slots: usize, codec: Codec, change: impl FnOnce(String) -> String) -> usize {
        let index = self.people.len();
        let (id, own) = (PeerId(index as u64 + 1), address(100 + index as u16));
        let config = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_opus(true, false);
        let config = if codec == Codec::Vp8 { config.enable_vp8(true) } else { config.enable_h264(true) };
        let mut rtc = config.build(self.now);
        rtc.add_local_candidate(Candidate::host(own, "udp").expect("a UDP address"));
        let mut api = rtc.sdp_api();
        let microphone = api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        let (mut camera, mut screen) = (None, None);
        if publishes {
            let layers = RIDS.map(SimulcastLayer::new).to_vec();
            let simulcast = Simulcast { send: layers, recv: Vec::new() };
            camera = Some(api.add_media(MediaKind::Video, Direction::SendOnly, None, None, Some(simulcast)));
            screen = Some(api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None));
        }
        for _ in 0..slots {
            api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        }
        let (offer, pending) = api.apply().expect("media was added");
        let (now, worker) = (self.now, self.worker);
        let part = if worker == 0 { Part::Home } else { Part::Branch { home: 0 } };
        let life = Life { room: RoomId(1), number: 0 };
        self.at(worker).join_part((life, part), id, 1_000_000 * (index as u32 + 1), OPEN).expect("there is room");
        let secret = [index as u8 + 1; 32];
        let offer = change(offer.to_sdp_string());
        let answer = self.at(worker).connect_webrtc(now, id, &offer, &secret).expect("a good offer");
        let video_slots = answer.video_slots.clone();
        let voice_slot = answer.sdp.split_once("a=ssrc:").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        let voice_slot = voice_slot.expect("a slot for a voice");
        let answer = SdpAnswer::from_sdp_string(&answer.sdp).expect("str0m reads our answer");
        rtc.sdp_api().accept_answer(pending, answer).expect("an answer to this offer");
        let (seen, screens, heard) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (key_requests, events) = (Vec::new(), Vec::new());
        self.people.push(Person {
            rtc,
            id,
            worker,
            microphone,
            heard,
            camera,
            screen,
            seen,
            screens,
            key_requests,
            video_slots,
            voice_slot,
            events,
        });
        for _ in 0..2000 {
            self.step(false);
            if self.people[index].events.iter().any(|(_, event)| *event == PeerEvent::Connected) {
                return index;
            }
        }
        panic!("the handshake did not end");
    }

    fn watch(&mut self, who: usize, wants: &[(usize, Source, u8, u32)]) {
        let wants: Vec<Want> = wants
            .iter()
            .map(|&(of, source, slot, pixels)| Want { slot, publisher: self.people[of].id, source, pixels, is_focus: false })
            .collect();
        let (now, Person { id, worker, .. }) = (self.now, &self.people[who]);
        let (id, worker) = (*id, *worker);
        self.at(worker).watch(now, id, &wants).expect("it has a place");
    }

    /// Lets time pass while the first person's camera runs.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step(true);
        }
    }

    fn step(&mut self, films: bool) {
        let end = self.now + STEP;
        // The engine is woken when it wants to be.
        while let Some((due, worker)) = self.next_timeout().filter(|(due, _)| *due < end) {
            self.now = self.now.max(due);
            let (now, mut out) = (self.now, Outbox::default());
            self.at(worker).handle_timeout(now, &mut out);
            self.exchange(&mut out);
            self.carry(out);
        }
        self.now = end;
        if films && self.next_frame <= self.now {
            self.next_frame = self.now + FRAME;
            self.film();
        }
        if films && self.spoken.1 <= self.now {
            self.speak();
        }
        (0..self.people.len()).for_each(|index| self.work(index));
        let mut out = Outbox::default();
        while let Some((_, is_up, index, mut datagram)) = self.under_way.pop_front_if(|(due, ..)| *due <= self.now) {
            let from = address(100 + index as u16);
            let (now, worker) = (self.now, self.people[index].worker);
            let to = self.at(worker).address();
            if is_up {
                self.at(worker).handle_datagram(now, from, &mut datagram, &mut out);
                self.exchange(&mut out);
            } else if let Ok(receive) = Receive::new(Protocol::Udp, to, from, &datagram) {
                self.people[index].rtc.handle_input(Input::Receive(self.now, receive)).expect("the client stays well");
                // str0m wants to be asked after each of its inputs.
                self.work(index);
            }
        }
        while let Some((_, worker)) = self.next_timeout().filter(|(due, _)| *due <= self.now) {
            let now = self.now;
            self.at(worker).handle_timeout(now, &mut out);
            self.exchange(&mut out);
        }
        // What was asked for between two steps.
        self.exchange(&mut out);
        self.carry(out);
        self.tell();
        (0..=self.branches.len()).for_each(|worker| self.at(worker).audit().expect("the tables agree"));
    }

    /// When one of the workers wants to be woken next, and which.
    fn next_timeout(&self) -> Option<(Instant, usize)> {
        let engines = std::iter::once(&self.engine).chain(&self.branches);
        engines.enumerate().filter_map(|(worker, engine)| Some((engine.next_timeout()?, worker))).min()
    }

    /// Hands over what the workers have for each other.
    fn exchange(&mut self, out: &mut Outbox) {
        let now = self.now;
        let mut is_any = true;
        while std::mem::take(&mut is_any) {
            for from in 0..=self.branches.len() {
                let parcels: Vec<_> = self.at(from).take_parcels().collect();
                for (to, mut parcel) in parcels {
                    is_any = true;
                    if parcel.is_picture() {
                        self.crossed += 1;
                        if self.lose > 0 {
                            self.lose -= 1;
                            continue;
                        }
                    }
                    self.at(to).handle_parcel(now, from, &mut parcel, out);
                }
            }
        }
    }

    /// Puts on its way what the engine sent.
    fn carry(&mut self, out: Outbox) {
        for (to, datagram) in out.sent {
            let index = usize::from(to.port()) - 100;
            let is_media = matches!(datagram.first(), Some(128..=191));
            let word =
                |at: usize| datagram.get(at..at + 4).and_then(|word| word.first_chunk()).map(|word| u32::from_be_bytes(*word));
            if let (true, Some(timestamp), Some(ssrc)) = (is_media, word(4), word(8)) {
                self.left.push((self.now, index, (ssrc, timestamp), datagram.len()));
            }
            let Some(leaves) = self.through_narrows(index, datagram.len()) else { continue };
            if !(is_media && index == self.loss_down.0 && self.draw(1000) < self.loss_down.1) {
                self.post(leaves + self.delay_of(index), false, index, datagram);
            }
        }
    }

    /// Tells everyone what the engine says, and lets the publisher do as it is told.
    fn tell(&mut self) {
        let events: Vec<_> = (0..=self.branches.len()).flat_map(|at| self.at(at).take_events().collect::<Vec<_>>()).collect();
        for (id, event) in events {
            let person = self.people.iter_mut().find(|person| person.id == id).expect("a person that joined");
            if let PeerEvent::Layers { source: Source::Camera, layers } = event {
                for layer in layers.iter() {
                    let place = RIDS.iter().position(|rid| *rid == layer.rid.as_str()).expect("a rid of ours");
                    self.encoders[place].needs_key |= layer.is_wanted && !self.encoders[place].is_on;
                    self.encoders[place].is_on = layer.is_wanted;
                }
            }
            person.events.push((self.now, event));
        }
    }

    /// Puts a datagram behind everything that arrives no later.
    fn post(&mut self, due: Instant, is_up: bool, index: usize, datagram: Vec<u8>) {
        let place = self.under_way.partition_point(|(other, ..)| *other <= due);
        self.under_way.insert(place, (due, is_up, index, datagram));
    }

    /// When a datagram has left the narrow link, if it goes there; `None` when the queue is full.
    fn through_narrows(&mut self, to: usize, len: usize) -> Option<Instant> {
        let Some(narrow) = self.narrow.as_mut().filter(|narrow| narrow.who == to) else { return Some(self.now) };
        let begins = self.now.max(narrow.busy_until);
        if narrow.bps == 0 || begins - self.now > self.queue {
            return None;
        }
        narrow.busy_until = begins + Duration::from_micros(8_000_000 * (len + 28) as u64 / narrow.bps);
        Some(narrow.busy_until)
    }

    fn delay_of(&self, index: usize) -> Duration {
        self.delay + self.narrow.filter(|narrow| narrow.who == index).map_or(Duration::ZERO, |narrow| narrow.distance)
    }

    /// Lets a client work and puts what it sends on its way.
    fn work(&mut self, index: usize) {
        let is_cut = self.narrow.is_some_and(|narrow| narrow.who == index && narrow.bps == 0);
        for datagram in self.poll(index) {
            let is_media = matches!(datagram.first(), Some(128..=191));
            if !(is_cut || is_media && self.draw(1000) < self.loss_up) {
                self.post(self.now + self.delay_of(index), true, index, datagram);
            }
        }
    }

    /// Makes somebody's link narrow.
    fn narrow(&mut self, who: usize, bps: u64, distance: Duration) {
        self.narrow = Some(Narrow { who, bps, distance, busy_until: self.now });
    }

    /// Twenty milliseconds of the first person's voice.
    fn speak(&mut self) {
        let person = &mut self.people[0];
        let opus = person.rtc.codec_config().find(|params| params.spec().codec == format::Codec::Opus).expect("Opus").pt();
        let (number, at) = self.spoken;
        let microphone = person.microphone;
        let mut api = person.rtc.direct_api();
        if let Some(stream) = api.stream_tx_by_mid(microphone, None) {
            stream.write_rtp(RtpWrite::new(opus, SeqNo::from(number), 960 * number as u32, self.now, SPOKEN.1.to_vec()));
        }
        self.spoken = (number + 1, at + SPOKEN.0);
    }

    /// One frame of every layer that is on.
    fn film(&mut self) {
        let person = &mut self.people[0];
        let (Some(camera), true) = (person.camera, person.rtc.is_connected()) else { return };
        let payload_type: Pt =
            person.rtc.codec_config().find(|params| params.spec().codec == format::Codec::Vp8).expect("VP8").pt();
        for (place, encoder) in self.encoders.iter_mut().enumerate().filter(|(_, encoder)| encoder.is_on) {
            let is_key = std::mem::take(&mut encoder.needs_key);
            encoder.picture = (encoder.picture + 1) & 0x7FFF;
            encoder.base = encoder.base.wrapping_add(1);
            let (packets, len) = self.frames[place];
            let count = packets * if is_key { 3 } else { 1 };
            // Every layer has a clock of its own.
            let timestamp = (1 << (28 + place)) + (self.now - self.start).as_millis() as u32 * 90;
            for number in 0..count {
                let size = is_key.then_some(SIZES[place]);
                // The packets of a picture differ by a byte, as libwebrtc makes them.
                let len = len - usize::from(2 * number >= count);
                let bytes = payload(encoder.picture, encoder.base, 0, number == 0, size, &vec![place as u8; len]);
                encoder.sequence += 1;
                if self.is_cut && number + 1 == count {
                    continue;
                }
                let mut api = person.rtc.direct_api();
                let stream = api.stream_tx_by_mid(camera, Some(Rid::from(RIDS[place]))).expect("the answer took every layer");
                let write = RtpWrite::new(payload_type, SeqNo::from(encoder.sequence - 1), timestamp, self.now, bytes);
                stream.write_rtp(write.marker(number + 1 == count).nackable(true));
            }
        }
    }

    fn poll(&mut self, index: usize) -> Vec<Vec<u8>> {
        let (now, person) = (self.now, &mut self.people[index]);
        person.rtc.handle_input(Input::Timeout(now)).expect("time alone breaks nothing");
        let mut sent = Vec::new();
        loop {
            match person.rtc.poll_output().expect("the client stays well") {
                Output::Timeout(_) => return sent,
                Output::Transmit(transmit) => sent.push(transmit.contents.to_vec()),
                Output::Event(Event::RtpPacket(packet)) if packet.payload[..] == SPOKEN.1[..] => {
                    person.heard.entry(*packet.seq_no).or_insert(now);
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    let look = vp8::look(&packet.payload).unwrap_or_default();
                    let seen = Seen {
                        at: now,
                        sequence: *packet.seq_no,
                        timestamp: packet.header.timestamp,
                        picture: look.picture.id.map_or(0, |(_, _, id)| id),
                        size: look.size,
                        is_key: look.starts_key_frame,
                        // RFC 7741 §4.2: a partition begins.
                        begins: packet.payload.first().is_some_and(|descriptor| descriptor & 0x10 != 0),
                        marker: packet.header.marker,
                        len: packet.payload.len(),
                    };
                    let ssrc = packet.header.ssrc;
                    let needs_key = person.screens.entry(*ssrc).or_default().see(seen.clone());
                    if let (true, Some(stream)) = (needs_key, person.rtc.direct_api().stream_rx(&ssrc)) {
                        stream.request_keyframe(KeyframeRequestKind::Pli);
                    }
                    person.seen.entry(*ssrc).or_default().push(seen);
                }
                Output::Event(Event::KeyframeRequest(request)) => {
                    person.key_requests.push((now, request.mid, request.rid));
                    if let Some(place) = request.rid.and_then(|rid| RIDS.iter().position(|name| Rid::from(*name) == rid)) {
                        self.encoders[place].needs_key = true;
                    }
                }
                Output::Event(_) => {}
            }
        }
    }

    /// What somebody saw in a slot since a moment, in the order of its numbers.
    fn seen(&self, who: usize, slot: usize, since: Instant) -> Vec<Seen> {
        let person = &self.people[who];
        let mut seen = person.seen.get(&person.video_slots[slot].0).cloned().unwrap_or_default();
        seen.retain(|seen| seen.at >= since);
        seen.sort_by_key(|seen| seen.sequence);
        seen
    }

    /// How long the picture in a slot stood still since a moment: what browsers count as freezes, with frames of 33 ms.
    fn frozen(&self, who: usize, slot: usize, since: Instant) -> Duration {
        let person = &self.people[who];
        let shown = person.screens.get(&person.video_slots[slot].0).map_or(&[][..], |screen| &screen.shown);
        let shown = shown.iter().filter(|at| **at >= since);
        let times: Vec<Instant> = std::iter::once(&since).chain(shown).chain([&self.now]).copied().collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.filter(|gap| *gap > FRAME + Duration::from_millis(150)).sum()
    }

    /// Of the voice since a moment: how many packets did not come, and the longest time between two.
    fn voice(&self, who: usize, since: Instant) -> (u64, Duration) {
        let heard: Vec<(u64, Instant)> =
            self.people[who].heard.iter().filter(|(_, at)| **at >= since).map(|(number, at)| (*number, *at)).collect();
        let (first, last) = (heard.first().expect("some came"), heard.last().expect("some came"));
        let lost = last.0 - first.0 + 1 - heard.len() as u64;
        let pause = heard.windows(2).map(|pair| pair[1].1.saturating_duration_since(pair[0].1)).max().unwrap_or_default();
        (lost, pause.max(self.now - last.1))
    }

    /// bit/s of the video that came in a slot since a moment.
    fn bitrate(&self, who: usize, slot: usize, since: Instant) -> u64 {
        let bytes: usize = self.seen(who, slot, since).iter().map(|seen| seen.len).sum();
        (8 * bytes as u128 * 1_000_000 / (self.now - since).as_micros()) as u64
    }

    /// The size of the last key frame in a slot.
    fn size(&self, who: usize, slot: usize) -> Option<(u16, u16)> {
        self.seen(who, slot, self.now - Duration::from_secs(3600)).iter().rev().find_map(|seen| seen.size)
    }

    /// A slot's stream has no hole and no double, time never runs backwards, pictures are counted on.
    #[track_caller]
    fn assert_continuous(&self, who: usize, slot: usize) {
        let seen = self.seen(who, slot, self.now - Duration::from_secs(3600));
        assert!(seen.len() > 50, "only {} packets came", seen.len());
        assert!(seen[0].is_key, "a stream begins with a key frame: {:?}", &seen[..5]);
        for pair in seen.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence + 1, "a hole after {:?}", pair[0]);
            assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32 >= 0, "time runs backwards: {pair:?}");
            let pictures = pair[1].picture.wrapping_sub(pair[0].picture) & 0x7FFF;
            let is_next_frame = pair[1].timestamp != pair[0].timestamp;
            assert_eq!(pictures, u16::from(is_next_frame), "pictures are not counted on: {pair:?}");
        }
    }
}

const TINY: u32 = 160 * 90;
const SMALL: u32 = 320 * 180;
const LARGE: u32 = 640 * 360;

#[test]
fn everyone_gets_the_layer_that_fits_and_the_others_stop_at_their_sender() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let (small, large) = (theatre.join(false, 2), theatre.join(false, 2));
    theatre.watch(small, &[(0, Source::Camera, 0, TINY)]);
    theatre.watch(large, &[(0, Source::Camera, 1, LARGE)]);
    // A few seconds are for finding out what the networks carry.
    theatre.run(Duration::from_secs(6));
    assert_eq!((theatre.size(small, 0), theatre.size(large, 1)), (Some(SIZES[0]), Some(SIZES[2])));
    assert_eq!(theatre.encoders.map(|encoder| encoder.is_on), [true, false, true], "nobody wants the one between");
    let shown = |who: usize, slot| {
        let wanted = PeerEvent::Shown { slot, showing: Some((PeerId(1), Source::Camera)) };
        theatre.people[who].events.iter().filter(|(_, event)| *event == wanted).count()
    };
    assert_eq!((shown(small, 0), shown(large, 1), shown(large, 0)), (1, 1, 0));

    // Somebody wants the one between: it is there without a word of SDP, as soon as the network was asked whether it carries that;
    // and at once when it was asked before.
    let first_of = |theatre: &Theatre, since: Instant| {
        theatre.seen(small, 0, since).into_iter().find(|seen| seen.size == Some(SIZES[1])).expect("a key frame").at - since
    };
    for most in [Duration::from_millis(2_000), Duration::from_millis(150)] {
        let asked = theatre.now;
        theatre.watch(small, &[(0, Source::Camera, 0, SMALL)]);
        theatre.run(Duration::from_secs(2));
        assert!(first_of(&theatre, asked) < most, "{:?}", first_of(&theatre, asked));
        theatre.watch(small, &[(0, Source::Camera, 0, TINY)]);
        theatre.run(Duration::from_secs(2));
        assert_eq!(theatre.size(small, 0), Some(SIZES[0]));
    }

    // Nobody watches any more: nothing is sent any more, and all of it comes back.
    theatre.watch(small, &[]);
    theatre.watch(large, &[]);
    theatre.run(Duration::from_secs(3));
    assert_eq!(theatre.encoders.map(|encoder| encoder.is_on), [false; 3]);
    theatre.watch(large, &[(0, Source::Camera, 1, LARGE)]);
    theatre.run(Duration::from_secs(1));
    assert!(theatre.seen(large, 1, theatre.now - Duration::from_millis(200)).len() > 10);
    theatre.assert_continuous(small, 0);
    theatre.assert_continuous(large, 1);
}

#[test]
fn losses_both_ways_are_repaired_and_no_picture_is_missing() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let (lossy, clean) = (theatre.join(false, 1), theatre.join(false, 1));
    theatre.watch(lossy, &[(0, Source::Camera, 0, LARGE)]);
    theatre.watch(clean, &[(0, Source::Camera, 0, LARGE)]);
    theatre.run(Duration::from_secs(2));
    (theatre.loss_down, theatre.loss_up) = ((lossy, 50), 20);
    theatre.run(Duration::from_secs(10));
    (theatre.loss_down, theatre.loss_up) = ((0, 0), 0);
    theatre.run(Duration::from_secs(1));
    theatre.assert_continuous(lossy, 0);
    theatre.assert_continuous(clean, 0);
    let requests = theatre.people[0].key_requests.len();
    assert!(requests < 10, "{requests} key frames were asked for");
}

#[test]
fn the_packets_of_a_picture_are_as_long_as_each_other() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let viewer = theatre.join(false, 1);
    theatre.watch(viewer, &[(0, Source::Camera, 0, LARGE)]);
    theatre.run(Duration::from_secs(6));
    let (since, ssrc) = (theatre.now, theatre.people[viewer].video_slots[0].0);
    theatre.run(Duration::from_secs(1));
    let mut pictures: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (_, _, (_, timestamp), len) in
        theatre.left.iter().filter(|(at, to, (of, _), _)| *at > since && (*to, *of) == (viewer, ssrc))
    {
        pictures.entry(*timestamp).or_default().push(*len);
    }
    assert!(pictures.len() > 25, "only {} pictures", pictures.len());
    for lens in pictures.values().skip(1).take(24) {
        // The second half came a byte shorter.
        assert!(lens.len() == FRAMES[2].0 && lens.iter().skip(1).all(|len| *len == lens[1]), "{lens:?}");
    }
    // What stands in a packet is what was sent: the padding is none of it.
    let lens: Vec<usize> = theatre.seen(viewer, 0, since).iter().map(|seen| seen.len).collect();
    let (least, most) = (lens.iter().min().expect("packets"), lens.iter().max().expect("packets"));
    assert_eq!(most - least, 1, "{lens:?}");
    theatre.assert_continuous(viewer, 0);
}

#[test]
fn a_picture_whose_end_is_lost_is_not_waited_for() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let viewer = theatre.join(false, 1);
    theatre.watch(viewer, &[(0, Source::Camera, 0, LARGE)]);
    theatre.run(Duration::from_secs(6));
    (theatre.is_cut, theatre.next_frame) = (true, theatre.now + Duration::from_millis(30));
    let filmed = theatre.next_frame;
    theatre.run(Duration::from_millis(30 + 50));
    let seen = theatre.seen(viewer, 0, filmed);
    assert_eq!(seen.len(), FRAMES[2].0 - 1, "{seen:?}");
    // Twice the way, the wait for the rest, two runs of the pacer, and the steps of this world.
    let most = 2 * theatre.delay + Duration::from_millis(7 + 2 * 8) + 4 * STEP;
    assert!(seen.iter().all(|seen| seen.at <= filmed + most), "{seen:?} of {filmed:?}");
}

#[test]
fn requests_of_many_for_a_key_frame_become_one() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let crowd: Vec<usize> = (0..8).map(|_| theatre.join(false, 1)).collect();
    for &who in &crowd {
        theatre.watch(who, &[(0, Source::Camera, 0, LARGE)]);
    }
    theatre.run(Duration::from_secs(6));
    let before = theatre.people[0].key_requests.len();
    for &who in &crowd {
        let ssrc = theatre.people[who].video_slots[0].0;
        let stream = &mut theatre.people[who].rtc.direct_api();
        stream.stream_rx(&ssrc.into()).expect("the answer names it").request_keyframe(KeyframeRequestKind::Pli);
    }
    theatre.run(Duration::from_millis(400));
    assert_eq!(theatre.people[0].key_requests.len() - before, 1);
}

#[test]
fn who_leaves_empties_slots_and_who_comes_back_fills_them() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let viewer = theatre.join(false, 2);
    theatre.watch(viewer, &[(0, Source::Camera, 1, SMALL)]);
    theatre.run(Duration::from_secs(1));
    let gone = PeerEvent::Shown { slot: 1, showing: None };
    theatre.engine.leave(PeerId(1)).expect("it was there");
    let events: Vec<_> = theatre.engine.take_events().collect();
    assert!(events.contains(&(theatre.people[viewer].id, gone)), "{events:?}");
    theatre.engine.audit().expect("the tables agree");
    // A listener that goes takes its seats along.
    theatre.engine.leave(theatre.people[viewer].id).expect("it was there");
    assert_eq!((theatre.engine.peers(), theatre.engine.rooms()), (0, 0));
}

#[test]
fn nobody_without_the_right_shows_anything() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let viewer = theatre.join(false, 1);
    theatre.watch(viewer, &[(0, Source::Camera, 0, SMALL)]);
    theatre.run(Duration::from_secs(1));
    theatre.engine.set_policy(PeerId(1), Policy { can_stream: false, ..OPEN }).expect("it is there");
    theatre.run(Duration::from_millis(100));
    let since = theatre.now;
    theatre.run(Duration::from_secs(1));
    assert_eq!(theatre.seen(viewer, 0, since).len(), 0);
    assert!(theatre.engine.drops().of(Reason::MayNotStream) > 10);
    theatre.engine.set_policy(PeerId(1), OPEN).expect("it is there");
    theatre.run(Duration::from_secs(1));
    assert!(theatre.seen(viewer, 0, since).len() > 10, "it goes on");
}

#[test]
fn a_worker_with_too_much_to_do_shows_smaller_pictures_and_no_less_sound() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let (one, other) = (theatre.join(false, 1), theatre.join(false, 1));
    theatre.watch(one, &[(0, Source::Camera, 0, LARGE)]);
    theatre.watch(other, &[(0, Source::Camera, 0, TINY)]);
    theatre.run(Duration::from_secs(6));
    assert_eq!((theatre.size(one, 0), theatre.size(other, 0)), (Some(SIZES[2]), Some(SIZES[0])));
    let lowered = theatre.now;
    theatre.engine.set_ceiling(Ceiling { camera: SMALL, screen: LARGE });
    theatre.run(Duration::from_secs(3));
    assert_eq!((theatre.size(one, 0), theatre.size(other, 0)), (Some(SIZES[1]), Some(SIZES[0])));
    assert_eq!(theatre.encoders.map(|encoder| encoder.is_on), [true, true, false], "its sender is spared the large one, too");
    theatre.engine.set_ceiling(Ceiling::NONE);
    theatre.run(Duration::from_secs(3));
    assert_eq!(theatre.size(one, 0), Some(SIZES[2]));
    assert_eq!(theatre.voice(one, lowered).0, 0);
    theatre.assert_continuous(one, 0);
}

#[test]
fn a_listener_without_the_codec_is_sent_nothing() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let viewer = theatre.join_with(false, 1, Codec::H264);
    theatre.watch(viewer, &[(0, Source::Camera, 0, SMALL)]);
    theatre.run(Duration::from_secs(1));
    assert!(theatre.people[viewer].seen.is_empty());
    assert!(theatre.people[0].screen.is_some(), "a second video was accepted beside the first");
}
