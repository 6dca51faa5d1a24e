//! The simulated world: one engine, many clients, one network, one clock. Nothing sleeps and nothing is random but the seed.
//!
//! While it runs it watches over what must always hold: payloads arrive bit for bit, at most once, never in another room,
//! never from someone who is muted, never at someone who is deafened.

use super::browser::BrowserClient;
use super::native::NativeClient;
use super::network::{Network, Random, Weather};
use super::speech::Word;
use guildhall_protocol::fleet::Policy;
use guildhall_sfu::engine::{Egress, Engine, Identity};
use guildhall_sfu::stats::Drops;
use guildhall_sfu::{NativeSuite, PeerEvent, PeerId, Reason, RoomId};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Opus packets are this far apart.
const FRAME: Duration = Duration::from_millis(20);

/// Nothing is under way for longer than this, in any weather.
const LONGEST_PATH: Duration = Duration::from_millis(200);

pub const OPEN: Policy = Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false };
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
    pub private: SocketAddr,
    pub policy: Policy,
    policy_since: Duration,
    pub is_speaking: bool,
    /// A client that is gone takes and sends nothing, but nobody told the server.
    pub is_gone: bool,
    said: u64,
    pub heard: Vec<Receipt>,
    seen: BTreeSet<Word>,
    pub events: Vec<(Duration, PeerEvent)>,
}

impl Client {
    /// Whose speech this client heard, in order of arrival.
    pub fn heard_from(&self, speaker: usize) -> Vec<u64> {
        self.heard.iter().filter(|receipt| receipt.word.speaker == speaker).map(|receipt| receipt.word.number).collect()
    }

    pub fn said(&self) -> u64 {
        self.said
    }

    pub fn is_connected(&self) -> bool {
        self.events.iter().any(|(_, event)| *event == PeerEvent::Connected)
    }

    pub fn is_lost(&self) -> bool {
        self.events.iter().any(|(_, event)| *event == PeerEvent::Lost)
    }
}

pub struct World {
    seed: u64,
    engine: Engine,
    server: SocketAddr,
    pub network: Network,
    start: Instant,
    now: Instant,
    next_frame: Instant,
    pub clients: Vec<Client>,
    by_private: BTreeMap<SocketAddr, usize>,
    secrets: Random,
    trace: DefaultHasher,
    /// Datagrams the server took, for attackers to replay.
    pub wiretap: Vec<(SocketAddr, Vec<u8>)>,
    pub is_tapped: bool,
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
        let server = SocketAddr::from(([198, 51, 100, 1], 50_000));
        let start = Instant::now();
        World {
            seed,
            engine: Engine::new(server, Identity::generate().expect("randomness")),
            server,
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
        }
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn add(&mut self, room: u64, make: impl FnOnce(&World, SocketAddr, u32) -> Kind) -> usize {
        let index = self.clients.len();
        let private = SocketAddr::from(([10, 0, 0, index as u8 + 1], 40_000 + index as u16));
        let (peer, ssrc) = (PeerId(index as u64 + 1), 1_000_000 + index as u32 * 1000);
        self.engine.join(RoomId(room), peer, ssrc, OPEN).expect("there is room");
        self.network.rebind(private);
        let kind = make(self, private, ssrc);
        self.by_private.insert(private, index);
        self.clients.push(Client {
            kind,
            peer,
            room: RoomId(room),
            private,
            policy: OPEN,
            policy_since: Duration::ZERO,
            is_speaking: false,
            is_gone: false,
            said: 0,
            heard: Vec::new(),
            seen: BTreeSet::new(),
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
        self.engine.connect_native(PeerId(index as u64 + 1), suite, claimed, &key).expect("the peer has a place");
        self.native(index).use_key(suite, &key);
        self.collect_events();
        index
    }

    /// A browser with its offer answered; the handshake goes on while the world runs.
    pub fn add_browser(&mut self, room: u64, slots: usize) -> usize {
        let mut offer = String::new();
        let index = self.add(room, |world, private, _| {
            let (client, text) = BrowserClient::new(world.now, private, slots);
            offer = text;
            Kind::Browser(Box::new(client))
        });
        let mut secret = [0; 32];
        self.secrets.fill(&mut secret);
        let peer = self.clients[index].peer;
        let answer = self.engine.connect_webrtc(self.now, peer, &offer, &secret).expect("a good offer");
        if let Kind::Browser(browser) = &mut self.clients[index].kind {
            browser.accept(&answer.sdp);
        }
        self.poll_browser(index);
        index
    }

    pub fn set_policy(&mut self, index: usize, policy: Policy) {
        self.engine.set_policy(self.clients[index].peer, policy).expect("the peer has a place");
        self.clients[index].policy = policy;
        self.clients[index].policy_since = self.elapsed();
        self.collect_events();
    }

    pub fn leave(&mut self, index: usize) {
        self.engine.leave(self.clients[index].peer).expect("the peer has a place");
        self.clients[index].is_gone = true;
        self.collect_events();
    }

    /// Runs until everyone is connected; fails after thirty simulated seconds.
    pub fn settle(&mut self) {
        for _ in 0..300 {
            let is_settled = self.clients.iter().all(|client| match &client.kind {
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

    pub fn drops(&self, reason: Reason) -> u64 {
        self.engine.drops().of(reason)
    }

    pub fn all_drops(&self) -> Drops {
        *self.engine.drops()
    }

    pub fn fail(&self, what: &str) -> ! {
        panic!("seed {}: {what}", self.seed)
    }

    /// What happened so far, in one number.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// Hands the server a datagram that came from nowhere.
    pub fn inject(&mut self, from: SocketAddr, bytes: &[u8]) {
        let before = self.engine.traffic().audio_out;
        let mut outbox = Outbox { slot: [0; 1536], sent: Vec::new() };
        self.engine.handle_datagram(self.now, from, &mut bytes.to_vec(), &mut outbox);
        assert_eq!(self.engine.traffic().audio_out, before, "seed {}: a forged datagram was forwarded", self.seed);
        let answered: usize = outbox.sent.iter().map(|(_, answer)| answer.len()).sum();
        assert!(answered <= bytes.len(), "seed {}: {answered} bytes answer {}", self.seed, bytes.len());
        self.send_all(outbox);
        self.collect_events();
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let browsers = self.clients.iter().filter(|client| !client.is_gone).filter_map(|client| match &client.kind {
                Kind::Browser(browser) => Some(browser.next_timeout()),
                Kind::Native(_) => None,
            });
            let due = [Some(self.next_frame), self.network.next_due(), self.engine.next_timeout()];
            let next = due.into_iter().flatten().chain(browsers).min().expect("frames never end");
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
        while let Some(datagram) = self.network.take_due(self.now) {
            if datagram.to == self.server {
                self.deliver_to_server(datagram.from, datagram.bytes);
            } else if let Some(index) = self.network.private_of(datagram.to).and_then(|to| self.by_private.get(&to).copied()) {
                self.deliver_to_client(index, datagram.bytes);
            }
        }
        if self.engine.next_timeout().is_some_and(|at| at <= self.now) {
            let mut outbox = Outbox { slot: [0; 1536], sent: Vec::new() };
            self.engine.handle_timeout(self.now, &mut outbox);
            self.send_all(outbox);
            self.collect_events();
        }
        if self.next_frame <= self.now {
            self.next_frame += FRAME;
            (0..self.clients.len()).for_each(|index| self.speak(index));
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

    fn deliver_to_server(&mut self, from: SocketAddr, mut bytes: Vec<u8>) {
        if self.is_tapped {
            self.wiretap.push((from, bytes.clone()));
        }
        let sender = self.network.private_of(from).and_then(|from| self.by_private.get(&from).copied());
        let before = self.engine.traffic().audio_out;
        let mut outbox = Outbox { slot: [0; 1536], sent: Vec::new() };
        self.engine.handle_datagram(self.now, from, &mut bytes, &mut outbox);
        let is_forwarded = self.engine.traffic().audio_out > before;
        if let Some(sender) = sender {
            let is_audible = self.clients[sender].policy.is_audible();
            assert!(is_audible || !is_forwarded, "seed {}: client {sender} is muted and was forwarded", self.seed);
        }
        self.send_all(outbox);
        self.collect_events();
    }

    fn send_all(&mut self, outbox: Outbox) {
        for (to, bytes) in outbox.sent {
            self.network.send(self.now, self.server, to, &bytes);
        }
    }

    fn deliver_to_client(&mut self, index: usize, bytes: Vec<u8>) {
        if self.clients[index].is_gone {
            return;
        }
        match &mut self.clients[index].kind {
            Kind::Native(native) => {
                if let Some((ssrc, payload)) = native.open(bytes) {
                    self.hear(index, ssrc, &payload, (0, 0, None));
                }
            }
            Kind::Browser(browser) => {
                browser.handle(self.now, self.server, &bytes);
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
        self.network.send(self.now, from, self.server, bytes);
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
        let is_deaf = client.policy.is_deafened && at > client.policy_since + LONGEST_PATH;
        assert!(!is_deaf, "seed {seed}: client {index} is deafened and hears {word:?}");
        client.heard.push(Receipt { word, at, ssrc, sequence, timestamp, audio_level });
        (at, index, word, ssrc, sequence).hash(&mut self.trace);
    }

    fn collect_events(&mut self) {
        let at = self.elapsed();
        for (peer, event) in self.engine.take_events() {
            let index = peer.0 as usize - 1;
            let what = match event {
                PeerEvent::Connected => (0, 0, 0),
                PeerEvent::Slot { ssrc, speaker } => (1, ssrc, speaker.map_or(0, |speaker| speaker.0)),
                PeerEvent::Lost => (2, 0, 0),
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
