//! The simulated world: one engine per worker, many clients, one network, one clock. Nothing sleeps and nothing is random but the seed.
//!
//! While it runs it watches over what must always hold: payloads arrive bit for bit, at most once, never in another room,
//! never from someone who is muted, never at someone who is deafened.

use super::browser::BrowserClient;
use super::native::NativeClient;
use super::network::{Network, Random, Weather};
use super::speech::{PICTURE, SOUND, Word};
use guildhall_protocol::fleet::Policy;
use guildhall_sfu::engine::{Egress, Engine, Identity, Life, Part};
use guildhall_sfu::stats::Drops;
use guildhall_sfu::{NativeSuite, PeerEvent, PeerId, Reason, RoomId, Source, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Opus packets are this far apart.
const FRAME: Duration = Duration::from_millis(20);

/// Nothing is under way for longer than this, in any weather.
const LONGEST_PATH: Duration = Duration::from_millis(200);

pub const OPEN: Policy =
    Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: true };
pub const MUTED: Policy = Policy { can_speak: false, ..OPEN };
pub const SELF_MUTED: Policy = Policy { self_mute: true, ..OPEN };
pub const DEAFENED: Policy = Policy { is_deafened: true, ..OPEN };

enum Kind {
    Native(Box<NativeClient>),
    Browser(Box<BrowserClient>),
}

/// One listener's copy of a word.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    pub word: Word,
    pub at: Duration,
    pub ssrc: u32,
    /// Only WebRTC clients look at these.
    pub sequence: u64,
    pub timestamp: u32,
    pub audio_level: Option<i8>,
}

pub struct Client {
    kind: Kind,
    pub peer: PeerId,
    pub room: RoomId,
    worker: usize,
    pub private: SocketAddr,
    pub policy: Policy,
    policy_since: Duration,
    pub is_speaking: bool,
    /// Whether its screen sounds, and shows anything.
    pub is_sounding: bool,
    pub is_filming: bool,
    /// A client that is gone takes and sends nothing, but nobody told the server.
    pub is_gone: bool,
    said: u64,
    sounded: u64,
    filmed: u64,
    pub heard: Vec<Receipt>,
    seen: BTreeSet<Word>,
    sequences: BTreeSet<(u32, u64)>,
    pub events: Vec<(Duration, PeerEvent)>,
}

impl Client {
    /// Whose speech this client heard, in order of arrival.
    pub fn heard_from(&self, speaker: usize) -> Vec<u64> {
        let spoken = |receipt: &&Receipt| receipt.word.speaker == speaker && receipt.word.number < SOUND;
        self.heard.iter().filter(spoken).map(|receipt| receipt.word.number).collect()
    }

    /// What this client heard of somebody's screen, in order of arrival.
    pub fn heard_of_screen(&self, sharer: usize) -> Vec<u64> {
        let sound = |receipt: &&Receipt| receipt.word.speaker == sharer && receipt.word.is_sound();
        self.heard.iter().filter(sound).map(|receipt| receipt.word.number - SOUND).collect()
    }

    /// What this client saw of somebody's screen, in order of arrival.
    pub fn seen_of_screen(&self, sharer: usize) -> Vec<u64> {
        let picture = |receipt: &&Receipt| receipt.word.speaker == sharer && receipt.word.is_picture();
        self.heard.iter().filter(picture).map(|receipt| receipt.word.number - PICTURE).collect()
    }

    pub fn said(&self) -> u64 {
        self.said
    }

    pub fn is_connected(&self) -> bool {
        self.events.iter().any(|(_, event)| *event == PeerEvent::Connected)
    }

    pub fn is_browser(&self) -> bool {
        matches!(self.kind, Kind::Browser(_))
    }

    pub fn is_lost(&self) -> bool {
        self.events.iter().any(|(_, event)| *event == PeerEvent::Lost)
    }
}

pub struct World {
    seed: u64,
    /// One per worker; a room lives whole on one of them, or on all when rooms are spread.
    engines: Vec<Engine>,
    is_spread: bool,
    pub network: Network,
    start: Instant,
    now: Instant,
    next_frame: Instant,
    pub clients: Vec<Client>,
    by_private: BTreeMap<SocketAddr, usize>,
    secrets: Random,
    trace: DefaultHasher,
    /// Datagrams the server took, for attackers to replay: which worker, from where, what.
    pub wiretap: Vec<(usize, SocketAddr, Vec<u8>)>,
    pub is_tapped: bool,
    /// What taking datagrams has cost the engines, in CPU time.
    pub busy: Duration,
    /// What came while the server did nothing.
    backlog: Vec<(usize, SocketAddr, Vec<u8>)>,
    is_stalled: bool,
}

/// The native SSRC of a client.
fn ssrc_of(index: usize) -> u32 {
    1_000_000 + index as u32 * 1000
}

/// Of this thread, so that nobody else's work counts.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

struct Outbox {
    slot: [u8; 1536],
    sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl Egress for Outbox {
    fn slot(&mut self) -> &mut [u8] {
        &mut self.slot
    }

    fn commit(&mut self, len: usize, to: SocketAddr) {
        self.sent.push((to, self.slot[..len].to_vec()));
    }
}

impl World {
    pub fn new(seed: u64, weather: Weather) -> World {
        World::with_workers(seed, weather, 1)
    }

    /// Everyone sits on another worker than who came before; a room's home is the same as if it were whole.
    pub fn with_spread_rooms(seed: u64, weather: Weather, workers: u16) -> World {
        World { is_spread: true, ..World::with_workers(seed, weather, workers) }
    }

    pub fn with_workers(seed: u64, weather: Weather, workers: u16) -> World {
        let start = Instant::now();
        let engine = |worker| {
            Engine::new(SocketAddr::from(([198, 51, 100, 1], 50_000 + worker)), Identity::generate().expect("randomness"))
        };
        World {
            seed,
            engines: (0..workers).map(engine).collect(),
            is_spread: false,
            network: Network::new(seed, weather),
            start,
            now: start,
            next_frame: start,
            clients: Vec::new(),
            by_private: BTreeMap::new(),
            secrets: Random::new(!seed),
            trace: DefaultHasher::new(),
            wiretap: Vec::new(),
            is_tapped: false,
            busy: Duration::ZERO,
            backlog: Vec::new(),
            is_stalled: false,
        }
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn add(&mut self, room: u64, make: impl FnOnce(&World, SocketAddr, u32) -> Kind) -> usize {
        let index = self.clients.len();
        let private = SocketAddr::from(([10, 0, 0, index as u8 + 1], 40_000 + index as u16));
        let (peer, ssrc) = (PeerId(index as u64 + 1), ssrc_of(index));
        let home = room as usize % self.engines.len();
        let worker = if self.is_spread { index % self.engines.len() } else { home };
        let part = if worker == home { Part::Home } else { Part::Branch { home } };
        let life = Life { room: RoomId(room), number: 0 };
        self.engines[worker].join_part((life, part), peer, ssrc, OPEN).expect("there is room");
        self.collect_events();
        self.network.rebind(private);
        let kind = make(self, private, ssrc);
        self.by_private.insert(private, index);
        self.clients.push(Client {
            kind,
            peer,
            room: RoomId(room),
            worker,
            private,
            policy: OPEN,
            policy_since: Duration::ZERO,
            is_speaking: false,
            is_sounding: false,
            is_filming: false,
            is_gone: false,
            said: 0,
            sounded: 0,
            filmed: 0,
            heard: Vec::new(),
            seen: BTreeSet::new(),
            sequences: BTreeSet::new(),
            events: Vec::new(),
        });
        index
    }

    /// A bot that does everything in the right order; it is connected when this returns.
    pub fn add_native(&mut self, room: u64, suite: NativeSuite) -> usize {
        let index = self.add(room, |_, _, ssrc| Kind::Native(Box::new(NativeClient::new(ssrc))));
        for _ in 0..20 {
            if self.native(index).discovered.is_some() {
                break;
            }
            let request = self.native(index).discovery();
            self.send_from(index, &request);
            self.run_for(Duration::from_millis(250));
        }
        let claimed = self.native(index).discovered.unwrap_or_else(|| self.fail("IP discovery was never answered"));
        let mut key = [0; 32];
        self.secrets.fill(&mut key);
        let peer = self.clients[index].peer;
        self.engine(index).connect_native(peer, suite, claimed, &key).expect("the peer has a place");
        self.native(index).use_key(suite, &key);
        self.collect_events();
        index
    }

    /// A browser with its offer answered; the handshake goes on while the world runs.
    pub fn add_browser(&mut self, room: u64, slots: usize) -> usize {
        self.add_browser_with(room, slots, (false, false), |offer, _| offer)
    }

    /// A browser that may share its screen and show another's.
    pub fn add_browser_with_screen(&mut self, room: u64, slots: usize) -> usize {
        self.add_browser_with(room, slots, (false, true), |offer, _| offer)
    }

    /// The browser shows this client's screen from now on, or none.
    pub fn show_screen(&mut self, index: usize, of: Option<usize>) {
        let want = |of: usize| Want {
            slot: 0,
            publisher: self.clients[of].peer,
            source: Source::Screen,
            pixels: 10_000,
            is_focus: false,
        };
        let wants: Vec<Want> = of.map(want).into_iter().collect();
        let (peer, now) = (self.clients[index].peer, self.now);
        self.engine(index).watch(now, peer, &wants).expect("the peer has a place");
        self.collect_events();
    }

    /// A browser that asks for audio that it lost.
    pub fn add_browser_with_repeats(&mut self, room: u64, slots: usize) -> usize {
        self.add_browser_with(room, slots, (true, false), |offer, _| offer)
    }

    /// A browser whose offer names an SSRC that it does not send with.
    pub fn add_browser_claiming(&mut self, room: u64, slots: usize, ssrc: u32) -> usize {
        let claim = |offer: String, own| offer.replace(&format!("a=ssrc:{own}"), &format!("a=ssrc:{ssrc}"));
        self.add_browser_with(room, slots, (false, false), claim)
    }

    pub fn browser_ssrc(&self, index: usize) -> u32 {
        match &self.clients[index].kind {
            Kind::Browser(browser) => browser.ssrc,
            Kind::Native(_) => self.fail("a bot has no SSRC of its own"),
        }
    }

    fn add_browser_with(
        &mut self,
        room: u64,
        slots: usize,
        (repeats, has_screen): (bool, bool),
        change: impl FnOnce(String, u32) -> String,
    ) -> usize {
        let mut offer = String::new();
        let index = self.add(room, |world, private, _| {
            let (client, text) = BrowserClient::new(world.now, private, slots, repeats, has_screen);
            offer = change(text, client.ssrc);
            Kind::Browser(Box::new(client))
        });
        let mut secret = [0; 32];
        self.secrets.fill(&mut secret);
        let peer = self.clients[index].peer;
        let answer = self.engines[self.clients[index].worker].connect_webrtc(self.now, peer, &offer, &secret);
        if let Kind::Browser(browser) = &mut self.clients[index].kind {
            browser.accept(&answer.expect("a good offer").sdp);
        }
        self.poll_browser(index);
        index
    }

    /// A browser asks for new ICE credentials over its voice socket and gets them.
    pub fn restart_ice(&mut self, index: usize) {
        let Kind::Browser(browser) = &mut self.clients[index].kind else { self.fail("bots have no ICE") };
        let offer = browser.restart_ice();
        let mut secret = [0; 32];
        self.secrets.fill(&mut secret);
        let (peer, now) = (self.clients[index].peer, self.now);
        let answer = self.engine(index).connect_webrtc(now, peer, &offer, &secret).expect("a good offer");
        if let Kind::Browser(browser) = &mut self.clients[index].kind {
            browser.accept(&answer.sdp);
        }
        self.poll_browser(index);
        self.collect_events();
    }

    fn engine(&mut self, index: usize) -> &mut Engine {
        &mut self.engines[self.clients[index].worker]
    }

    pub fn set_policy(&mut self, index: usize, policy: Policy) {
        let peer = self.clients[index].peer;
        self.engine(index).set_policy(peer, policy).expect("the peer has a place");
        self.clients[index].policy = policy;
        self.clients[index].policy_since = self.elapsed();
        self.collect_events();
    }

    /// The client's network is down for a while.
    pub fn cut(&mut self, index: usize, duration: Duration) {
        self.network.cut(self.clients[index].private, self.now + duration);
    }

    pub fn leave(&mut self, index: usize) {
        let peer = self.clients[index].peer;
        self.engine(index).leave(peer).expect("the peer has a place");
        self.clients[index].is_gone = true;
        self.collect_events();
    }

    /// Runs until everyone is connected; fails after thirty simulated seconds.
    pub fn settle(&mut self) {
        for _ in 0..300 {
            let is_settled = self.clients.iter().filter(|client| !client.is_gone).all(|client| match &client.kind {
                Kind::Native(native) => native.is_ready(),
                Kind::Browser(browser) => browser.is_connected && client.is_connected(),
            });
            if is_settled {
                return;
            }
            self.run_for(Duration::from_millis(100));
        }
        self.fail("not everyone connected");
    }

    /// Copies of audio that were sent again.
    pub fn repeated(&self) -> u64 {
        self.engines.iter().map(|engine| engine.traffic().audio_repeated).sum()
    }

    pub fn drops(&self, reason: Reason) -> u64 {
        self.all_drops().of(reason)
    }

    pub fn all_drops(&self) -> Drops {
        let mut all = Drops::default();
        self.engines.iter().flat_map(|engine| engine.drops().iter()).for_each(|(reason, count)| all.add(reason, count));
        all
    }

    /// Whether every worker's tables agree with each other.
    pub fn audit(&self) {
        for engine in &self.engines {
            engine.audit().unwrap_or_else(|contradiction| self.fail(&contradiction));
        }
    }

    pub fn fail(&self, what: &str) -> ! {
        panic!("seed {}: {what}", self.seed)
    }

    /// What happened so far, in one number.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// Hands the first worker a datagram that came from nowhere.
    pub fn inject(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.inject_at(0, from, bytes);
    }

    pub fn inject_at(&mut self, worker: usize, from: SocketAddr, bytes: &[u8]) {
        let before = self.forwarded();
        let mut outbox = Outbox { slot: [0; 1536], sent: Vec::new() };
        let mut bytes = bytes.to_vec();
        let began = cpu_time();
        self.engines[worker].handle_datagram(self.now, from, &mut bytes, &mut outbox);
        self.busy += cpu_time() - began;
        self.carry_parcels();
        assert_eq!(self.forwarded(), before, "seed {}: a forged datagram was forwarded", self.seed);
        let answered: usize = outbox.sent.iter().map(|(_, answer)| answer.len()).sum();
        assert!(answered <= bytes.len(), "seed {}: {answered} bytes answer {}", self.seed, bytes.len());
        self.send_all(worker, outbox);
        self.collect_events();
    }

    /// The server does nothing for a while (its machine was suspended, its clock jumped): what is sent to it waits, and then
    /// comes all at once.
    pub fn stall(&mut self, duration: Duration) {
        self.is_stalled = true;
        self.run_for(duration);
        self.is_stalled = false;
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let browsers = self.clients.iter().filter(|client| !client.is_gone).filter_map(|client| match &client.kind {
                Kind::Browser(browser) => Some(browser.next_timeout()),
                Kind::Native(_) => None,
            });
            let workers = self.engines.iter().filter(|_| !self.is_stalled).filter_map(Engine::next_timeout);
            let due = [Some(self.next_frame), self.network.next_due()];
            let next = due.into_iter().flatten().chain(workers).chain(browsers).min().expect("frames never end");
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.step();
        }
    }

    /// Everything that is due now, always in the same order.
    fn step(&mut self) {
        if !self.is_stalled {
            for (worker, from, bytes) in std::mem::take(&mut self.backlog) {
                self.deliver_to_server(worker, from, bytes);
            }
        }
        while let Some(datagram) = self.network.take_due(self.now) {
            if let Some(worker) = self.engines.iter().position(|engine| engine.address() == datagram.to) {
                if self.is_stalled {
                    self.backlog.push((worker, datagram.from, datagram.bytes));
                } else {
                    self.deliver_to_server(worker, datagram.from, datagram.bytes);
                }
            } else if let Some(index) = self.network.private_of(datagram.to).and_then(|to| self.by_private.get(&to).copied()) {
                self.deliver_to_client(index, datagram.bytes);
            }
        }
        for worker in 0..self.engines.len() {
            if !self.is_stalled && self.engines[worker].next_timeout().is_some_and(|at| at <= self.now) {
                let mut outbox = Outbox { slot: [0; 1536], sent: Vec::new() };
                self.engines[worker].handle_timeout(self.now, &mut outbox);
                self.send_all(worker, outbox);
                self.collect_events();
            }
        }
        if self.next_frame <= self.now {
            self.next_frame += FRAME;
            (0..self.clients.len()).for_each(|index| self.speak(index));
            (0..self.clients.len()).for_each(|index| self.sound(index));
            (0..self.clients.len()).for_each(|index| self.film(index));
        }
        for index in 0..self.clients.len() {
            let is_due = |browser: &BrowserClient| browser.next_timeout() <= self.now;
            if matches!(&self.clients[index].kind, Kind::Browser(browser) if is_due(browser)) {
                self.poll_browser(index);
            }
        }
    }

    fn speak(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if !client.is_speaking || client.is_gone {
            return;
        }
        let word = Word { speaker: index, number: client.said };
        match &mut client.kind {
            Kind::Native(native) => {
                client.said += 1;
                let datagram = native.seal(&word.payload());
                self.send_from(index, &datagram);
            }
            Kind::Browser(browser) if browser.is_connected => {
                client.said += 1;
                browser.say(self.now, &word.payload(), -30 - index as i8);
                self.poll_browser(index);
            }
            Kind::Browser(_) => {}
        }
    }

    fn sound(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Kind::Browser(browser) = &mut client.kind else { return };
        if client.is_sounding && !client.is_gone && browser.is_connected {
            browser.sound(self.now, &Word { speaker: index, number: SOUND + client.sounded }.payload());
            client.sounded += 1;
            self.poll_browser(index);
        }
    }

    fn film(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Kind::Browser(browser) = &mut client.kind else { return };
        if client.is_filming && !client.is_gone && browser.is_connected {
            browser.film(self.now, &Word { speaker: index, number: PICTURE + client.filmed }.payload());
            client.filmed += 1;
            self.poll_browser(index);
        }
    }

    fn deliver_to_server(&mut self, worker: usize, from: SocketAddr, mut bytes: Vec<u8>) {
        if self.is_tapped {
            self.wiretap.push((worker, from, bytes.clone()));
        }
        let sender = self.network.private_of(from).and_then(|from| self.by_private.get(&from).copied());
        let ssrc = bytes.get(8..12).and_then(|ssrc| ssrc.first_chunk()).map(|ssrc| u32::from_be_bytes(*ssrc));
        let before = self.forwarded();
        let mut outbox = Outbox { slot: [0; 1536], sent: Vec::new() };
        let began = cpu_time();
        self.engines[worker].handle_datagram(self.now, from, &mut bytes, &mut outbox);
        self.busy += cpu_time() - began;
        self.carry_parcels();
        let is_forwarded = self.forwarded() > before;
        if let Some(sender) = sender {
            let Client { kind, policy, .. } = &self.clients[sender];
            let is_sound = matches!(kind, Kind::Browser(browser) if browser.sound_ssrc().is_some_and(|own| Some(own) == ssrc));
            // Who mutes their own microphone does not mute their screen.
            let is_audible = if is_sound { policy.can_speak && policy.can_stream } else { policy.is_audible() };
            assert!(is_audible || !is_forwarded, "seed {}: client {sender} is muted and was forwarded", self.seed);
        }
        self.send_all(worker, outbox);
        self.collect_events();
    }

    fn send_all(&mut self, worker: usize, outbox: Outbox) {
        let server = self.engines[worker].address();
        for (to, bytes) in outbox.sent {
            self.network.send(self.now, server, to, &bytes);
        }
    }

    fn deliver_to_client(&mut self, index: usize, bytes: Vec<u8>) {
        if self.clients[index].is_gone {
            return;
        }
        let server = self.engine(index).address();
        match &mut self.clients[index].kind {
            Kind::Native(native) => {
                if let Some((ssrc, payload)) = native.open(bytes) {
                    self.hear(index, ssrc, &payload, (0, 0, None));
                }
            }
            Kind::Browser(browser) => {
                browser.handle(self.now, server, &bytes);
                self.poll_browser(index);
            }
        }
    }

    fn poll_browser(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Kind::Browser(browser) = &mut client.kind else { return };
        if client.is_gone {
            return;
        }
        let from = self.network.public_of(client.private);
        let (network, now) = (&mut self.network, self.now);
        let heard = browser.poll(now, |bytes, to| network.send(now, from, to, bytes));
        for packet in heard {
            self.hear(index, packet.ssrc, &packet.payload, (packet.sequence, packet.timestamp, packet.audio_level));
        }
    }

    fn send_from(&mut self, index: usize, bytes: &[u8]) {
        let from = self.network.public_of(self.clients[index].private);
        let server = self.engine(index).address();
        self.network.send(self.now, from, server, bytes);
    }

    /// A client received audio: the place where the world's promises are held.
    fn hear(&mut self, index: usize, ssrc: u32, payload: &[u8], (sequence, timestamp, audio_level): (u64, u32, Option<i8>)) {
        let at = self.elapsed();
        let word = Word::parse(payload);
        let (seed, speaker_room) = (self.seed, self.clients[word.speaker].room);
        let client = &mut self.clients[index];
        assert_ne!(word.speaker, index, "seed {seed}: client {index} hears itself");
        assert_eq!(speaker_room, client.room, "seed {seed}: client {index} hears another room");
        assert!(client.seen.insert(word), "seed {seed}: client {index} hears {word:?} twice");
        let is_deaf = client.policy.is_deafened && !word.is_picture() && at > client.policy_since + LONGEST_PATH;
        assert!(!is_deaf, "seed {seed}: client {index} is deafened and hears {word:?}");
        // A stream of a browser's slot never repeats a number, whoever speaks in it; a bot knows each speaker by its SSRC.
        let is_bot = matches!(client.kind, Kind::Native(_));
        assert!(
            is_bot || client.sequences.insert((ssrc, sequence)),
            "seed {seed}: client {index} gets {sequence} of {ssrc} twice"
        );
        assert!(!(is_bot && word.number >= SOUND), "seed {seed}: bot {index} hears or sees a screen");
        assert!(!is_bot || ssrc == ssrc_of(word.speaker), "seed {seed}: client {index} hears {word:?} under {ssrc}");
        client.heard.push(Receipt { word, at, ssrc, sequence, timestamp, audio_level });
        (at, index, word, ssrc, sequence).hash(&mut self.trace);
    }

    /// Copies of audio so far.
    fn forwarded(&self) -> u64 {
        self.engines.iter().map(|engine| engine.traffic().audio_out).sum()
    }

    /// Gives every worker what others have for it, until nobody has anything more.
    fn carry_parcels(&mut self) {
        loop {
            let workers = self.engines.iter_mut().enumerate();
            let parcels: Vec<_> =
                workers.flat_map(|(from, engine)| engine.take_parcels().map(move |(to, parcel)| (from, to, parcel))).collect();
            if parcels.is_empty() {
                return;
            }
            for (from, to, mut parcel) in parcels {
                let mut outbox = Outbox { slot: [0; 1536], sent: Vec::new() };
                self.engines[to].handle_parcel(self.now, from, &mut parcel, &mut outbox);
                self.send_all(to, outbox);
            }
        }
    }

    fn collect_events(&mut self) {
        self.carry_parcels();
        let at = self.elapsed();
        for (peer, event) in self.engines.iter_mut().flat_map(Engine::take_events) {
            let index = peer.0 as usize - 1;
            let what = match event {
                PeerEvent::Connected => (0, 0, 0),
                PeerEvent::Slot { ssrc, speaker } => (1, ssrc, speaker.map_or(0, |speaker| speaker.0)),
                PeerEvent::Sound { ssrc, publisher } => (7, ssrc, publisher.map_or(0, |publisher| publisher.0)),
                PeerEvent::Quality(quality) => (3, quality.score.into(), quality.loss_down_permille.into()),
                PeerEvent::Lost => (2, 0, 0),
                PeerEvent::Codecs(codecs) => (8, codecs.iter().count() as u32, 0),
                PeerEvent::Shown { slot, showing } => (4, slot.into(), showing.map_or(0, |(publisher, _)| publisher.0)),
                PeerEvent::Narrowed { less, paused } => (6, less.into(), paused.into()),
                PeerEvent::Layers { source, layers } => {
                    (5, source as u32, layers.iter().filter(|layer| layer.is_wanted).count() as u64)
                }
            };
            (at, index, what).hash(&mut self.trace);
            self.clients[index].events.push((at, event));
        }
    }

    fn native(&mut self, index: usize) -> &mut NativeClient {
        match &mut self.clients[index].kind {
            Kind::Native(native) => native,
            Kind::Browser(_) => panic!("client {index} is a browser"),
        }
    }
}
