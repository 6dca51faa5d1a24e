//! The media engine of one worker: a pure machine that owns rooms and peers, never a socket or a clock.
//!
//! Datagrams, requests and timeouts go in with the time they came at; datagrams come out through [`Egress`] and events
//! through [`Engine::take_events`]. The worker drives it with a real socket, the tests with a simulated network.
//!
//! **What is believed.** An address belongs to a peer only after proof. WebRTC: a STUN check whose integrity holds under that
//! peer's password; DTLS, RTP and RTCP from other addresses reach nobody. Native: a packet from it that decrypts under that
//! peer's key, or, because a bot that only listens never sends one, the address of op 1 when IP discovery with that peer's
//! SSRC came from exactly there: then the client can receive there what it asked for over its authenticated socket, and we
//! can only be aimed at a stranger by someone with a valid session who also forges source addresses. An address that someone
//! else proved is not taken over by discovery. A change of address follows an authentic packet that is newer than all before.
//!
//! **No amplification.** Strangers get an answer to one thing, IP discovery for an SSRC that exists: 74 bytes for 74, at most
//! three times, and none after op 1 but to the address that this names. STUN is answered only when authentic.
//!
//! **One bad peer ends alone.** What a peer may cost is bounded ([`budget`]), handshakes that do not end are ended, and a panic
//! ends the peer that it happened for ([`contain`]). What strangers send costs a look into a map and allocates nothing.

mod activity;
mod audit;
mod belief;
mod bitrate;
mod budget;
mod contain;
pub mod demux;
mod media;
mod paced;
mod past;
mod peer;
mod room;
mod sink;
mod slots;
mod sound;
mod speakers;
mod spread;
mod stage;
#[cfg(test)]
mod testing;
mod timers;
mod uplink;

use crate::cipher::{Inbound, MAX_OVERHEAD, Outbound};
use crate::replay::{NATIVE_FIRST_ROLLOVER, ReplayWindow};
use crate::rtcp;
use crate::rtp;
use crate::sdp::video::{MAX_TRACKS, MAX_VIDEO_SLOTS};
use crate::sdp::{Local, MAX_SLOTS, MAX_SOUNDS, Offer, Ssrcs};
use crate::stats::{Audience, Drops, Opinions, Reason, Traffic};
use crate::strain::Ceiling;
use crate::sys::net::SEND_CAPACITY;
use crate::video::{MAX_LAYERS, Source};
pub use crate::webrtc::Identity;
use crate::webrtc::{Ended, Session, credentials};
use crate::{Addresses, Answer, Heard, NativeSuite, PeerEvent, PeerId, RoomId, Seen, SfuError};
use activity::Activity;
use bitrate::Bucket;
use budget::Allowances;
use demux::Kind;
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::{Policy, is_probe};
use peer::{MAX_ADDRESSES, Native, Peer, Transactions, Transport, Webrtc};
pub use room::MAX_PINS;
use room::{Listener, Room};
use sink::Formats;
pub use sink::Want;
use slots::FREE_AFTER;
use sound::Sound;
use spread::Parcels;
pub use spread::{Life, Parcel, Part};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use str0m::ice::IceCreds;
use timers::{Timer, Timers};
use uplink::Publisher;

/// Peers on one worker. A core forwards for a few thousand; the rest of the room is for peers that only listen to silence.
const MAX_PEERS: usize = 16_384;

/// Peers in one room: a packet to all of them is some 16 ms of one core, of the 20 ms until its speaker's next.
const MAX_ROOM_PEERS: usize = 4_096;

/// A WebRTC peer that sent nothing authentic for this long is lost. Browsers check every 2.5 s and give up after 30 s.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// A WebRTC peer whose handshake is not done this long after its answer is given up: browsers end theirs after 15 s without a
/// working pair, and a DTLS flight is repeated for a few seconds.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(20);

/// WebRTC peers of one worker whose handshake is not done. At 500 joins a second and half a second of handshake there are 250;
/// after a restart everyone comes at once. What comes when the table is full is refused, because each holds some 100 KB.
const MAX_HALF_OPEN: usize = 2048;

/// How often a WebRTC peer is looked after: lost, receiver report.
const CARE_INTERVAL: Duration = Duration::from_secs(2);

/// How often a WebRTC peer's quality is told, at the least; it is looked at with [`CARE_INTERVAL`].
const QUALITY_INTERVAL: Duration = Duration::from_secs(5);

/// When IP discovery is answered: a moment later, again, and a third time unless op 1 shows that an answer arrived. discord.py
/// asks before it listens for the answer and never asks a second time: a server on the same host that answers at once, or one
/// lost datagram, would leave its bot waiting for ever. The second answer is for its reader, which waits at a socket for up to
/// thirty seconds and notices only by a datagram that the answer was all: in a silent room, a bot that moves itself to another
/// channel would be deaf at its new socket for as long.
const DISCOVERY_DELAYS: [Duration; 3] = [Duration::from_millis(10), Duration::from_millis(150), Duration::from_millis(600)];

/// Where the SSRCs of a peer's slots for sounds begin, behind its native one and those of its audio slots, and those of its
/// video slots behind them.
const SOUND_SSRCS: u32 = 1 + MAX_SLOTS as u32;
const VIDEO_SSRCS: u32 = 2 * MAX_SLOTS as u32;
const _: () = assert!(SOUND_SSRCS + MAX_SOUNDS as u32 <= VIDEO_SSRCS);

/// Reports that fit into one compound packet: about the voice and the sound that are received, one for each video, one for
/// each slot.
const MAX_REPORTS: usize = 2 + MAX_TRACKS * MAX_LAYERS + MAX_SLOTS + MAX_SOUNDS + MAX_VIDEO_SLOTS;

/// Header, payload and seal of a copy fit a send slot when the payload is no longer than this.
const MAX_PAYLOAD: usize = SEND_CAPACITY - rtp::MAX_WRITTEN - MAX_OVERHEAD;

/// Where datagrams go.
pub trait Egress {
    /// Room for the next datagram, at least 1536 bytes.
    fn slot(&mut self) -> &mut [u8];
    /// Sends the first `len` bytes of what [`Egress::slot`] returned.
    fn commit(&mut self, len: usize, to: SocketAddr);
}

/// 32 bytes that nobody can guess, drawn by the caller: the engine has no source of randomness.
pub type Secret = [u8; 32];

pub struct Engine {
    /// What clients are told, and what str0m believes to be bound to.
    addresses: Addresses,
    identity: Identity,
    peers: Vec<Option<Peer>>,
    free_peers: Vec<u32>,
    rooms: Vec<Option<Room>>,
    free_rooms: Vec<usize>,
    by_id: HashMap<PeerId, u32>,
    by_room: HashMap<Life, usize>,
    by_address: HashMap<SocketAddr, u32>,
    by_ssrc: HashMap<u32, u32>,
    by_ufrag: HashMap<String, u32>,
    /// SSRCs that WebRTC clients chose to send with; who came first keeps one that two chose. It finds who may be at a new
    /// address, and the key decides.
    by_upstream: HashMap<u32, u32>,
    /// WebRTC peers without media yet.
    half_open: HashSet<u32>,
    timers: Timers,
    events: Vec<(PeerId, PeerEvent)>,
    parcels: Parcels,
    /// Rooms that are recorded, whether anybody is there or not.
    taped: HashSet<RoomId>,
    heard: Vec<Heard>,
    /// Those of them of which pictures are recorded, too.
    filmed: HashSet<RoomId>,
    seen: Vec<Seen>,
    traffic: Traffic,
    drops: Drops,
    opinions: Opinions,
    /// Of pictures in all rooms.
    ceiling: Ceiling,
    /// The peer that the engine works for now, to whom a panic is laid.
    at_work_for: Option<u32>,
    /// The peer whose next piece of work is to panic.
    #[cfg(test)]
    fault: Option<u32>,
}

impl Engine {
    pub fn new(addresses: impl Into<Addresses>, identity: Identity) -> Engine {
        Engine {
            addresses: addresses.into(),
            identity,
            peers: Vec::new(),
            free_peers: Vec::new(),
            rooms: Vec::new(),
            free_rooms: Vec::new(),
            by_id: HashMap::new(),
            by_room: HashMap::new(),
            by_address: HashMap::new(),
            by_ssrc: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_upstream: HashMap::new(),
            half_open: HashSet::new(),
            timers: Timers::default(),
            events: Vec::with_capacity(1024),
            parcels: Parcels::default(),
            taped: HashSet::new(),
            heard: Vec::new(),
            filmed: HashSet::new(),
            seen: Vec::new(),
            traffic: Traffic::default(),
            drops: Drops::default(),
            opinions: Opinions::default(),
            ceiling: Ceiling::NONE,
            at_work_for: None,
            #[cfg(test)]
            fault: None,
        }
    }

    // Requests. One that panics answers [`SfuError::Failed`] and its peer is lost.

    /// A place in a room that is whole on this worker. `ssrc` must be new on all workers.
    pub fn join(&mut self, room: RoomId, id: PeerId, ssrc: u32, policy: Policy) -> Result<(), SfuError> {
        self.join_part((Life { room, number: 0 }, Part::Home), id, ssrc, policy)
    }

    /// A place in this worker's part of a room, which is made with its first peer.
    pub fn join_part(&mut self, (life, part): (Life, Part), id: PeerId, ssrc: u32, policy: Policy) -> Result<(), SfuError> {
        if self.by_id.len() >= MAX_PEERS || self.by_id.contains_key(&id) || self.by_ssrc.contains_key(&ssrc) {
            return Err(SfuError::NodeFull);
        }
        let room = self.open_room(life, part);
        let members = &mut self.rooms[room].as_mut().expect("a room in the map exists").members;
        if *members >= MAX_ROOM_PEERS {
            return Err(SfuError::RoomFull);
        }
        *members += 1;
        let peer = Peer {
            id,
            room,
            ssrc,
            policy,
            discovered: None,
            discovery_answers: None,
            transport: Transport::None,
            listener: None,
            activity: Activity::default(),
            bitrate: Bucket::default(),
            sound_bitrate: Bucket::default(),
            last_spoken: None,
            is_silence_watched: false,
            is_cared_for: false,
            handshake_armed: None,
            allowances: Allowances::default(),
            wants: Vec::new(),
            pins: Vec::new(),
        };
        let key = match self.free_peers.pop() {
            Some(key) => {
                self.peers[key as usize] = Some(peer);
                key
            }
            None => {
                self.peers.push(Some(peer));
                self.peers.len() as u32 - 1
            }
        };
        self.by_id.insert(id, key);
        self.by_ssrc.insert(ssrc, key);
        Ok(())
    }

    /// Gives the peer a native transport under `secret`, in place of any it had.
    pub fn connect_native(
        &mut self,
        id: PeerId,
        suite: NativeSuite,
        claimed: SocketAddr,
        secret: &Secret,
    ) -> Result<(), SfuError> {
        let key = self.key_of(id)?;
        self.contain(|engine| engine.build_native(key, suite, claimed, secret)).ok_or(SfuError::Failed)
    }

    fn build_native(&mut self, key: u32, suite: NativeSuite, claimed: SocketAddr, secret: &Secret) {
        self.work_for(key);
        self.disconnect(key);
        let peer = self.peer(key);
        peer.transport = Transport::Native(Box::new(Native {
            inbound: Inbound::native(suite, secret),
            window: ReplayWindow::new(NATIVE_FIRST_ROLLOVER),
            claimed,
            address: None,
            outbound: Some(Outbound::native(suite, secret)),
        }));
        if peer.discovered == Some(claimed) {
            self.believe_discovery(key, claimed);
        }
    }

    /// Gives the peer a WebRTC transport, in place of any it had, and answers its offer. An offer with new ICE credentials
    /// from the client that is connected already (the same certificate) is an ICE restart (RFC 8445 §9): keys and media stay,
    /// and media flows on the old pair until the client nominates a new one.
    pub fn connect_webrtc(&mut self, now: Instant, id: PeerId, offer: &str, secret: &Secret) -> Result<Answer, SfuError> {
        let key = self.key_of(id)?;
        self.contain(|engine| engine.build_webrtc(now, key, offer, secret)).ok_or(SfuError::Failed)?
    }

    fn build_webrtc(&mut self, now: Instant, key: u32, offer: &str, secret: &Secret) -> Result<Answer, SfuError> {
        self.work_for(key);
        let id = self.peer(key).id;
        if self.half_open.len() >= MAX_HALF_OPEN && !self.half_open.contains(&key) {
            self.drops.count(Reason::HalfOpenFull);
            return Err(SfuError::NodeFull);
        }
        let offer = Offer::parse(offer).map_err(SfuError::BadOffer)?;
        let (ufrag, password) = credentials(id, secret);
        let creds = IceCreds { ufrag: ufrag.clone(), pass: password.clone() };
        if let Some(webrtc) = self.peer(key).transport.webrtc()
            && webrtc.media.is_some()
            && webrtc.session.is_restarted_by(&offer)
        {
            return self.restart_ice(key, &offer, creds);
        }
        let session = Session::new(now, self.addresses, &self.identity, creds, &offer).map_err(|ended| {
            if ended == Ended::Panicked {
                self.drops.count(Reason::Panicked);
            }
            SfuError::BadOffer("ICE or DTLS refused it")
        })?;
        self.disconnect(key);
        let (base, bitrate_bps) = (self.peer(key).ssrc, self.peer(key).policy.bitrate_bps);
        let slot_ssrcs: Vec<u32> = (1..).map(|slot| base.wrapping_add(slot)).take(offer.slots().count()).collect();
        let session_id = u64::from_be_bytes(*secret.last_chunk().expect("32 bytes"));
        let local = Local {
            addresses: self.addresses,
            ufrag: &ufrag,
            password: &password,
            fingerprint: &self.identity.fingerprint,
            session: (session_id, 1),
            bitrate_bps,
        };
        let video_ssrc = |slot: u32| (base.wrapping_add(VIDEO_SSRCS + 2 * slot), base.wrapping_add(VIDEO_SSRCS + 2 * slot + 1));
        let video_ssrcs: Vec<(u32, u32)> = (0..).map(video_ssrc).take(offer.video_slots().count()).collect();
        let sound_ssrcs: Vec<u32> =
            (SOUND_SSRCS..).map(|slot| base.wrapping_add(slot)).take(offer.sound_slots().count()).collect();
        let sdp = offer.answer(&local, &Ssrcs { slots: &slot_ssrcs, sounds: &sound_ssrcs, videos: &video_ssrcs });
        let room = self.peer(key).room;
        let publisher = Publisher::new(now, &offer, |source, layers| self.room(room).open_stage(now, (key, id), source, layers));
        let screen = publisher.as_ref().and_then(|publisher| publisher.stage_of(Source::Screen));
        let sound = offer.sound().zip(screen).and_then(|(sound, stage)| Sound::new(&sound, stage));
        self.by_ufrag.insert(ufrag.clone(), key);
        self.peer(key).transport = Transport::Webrtc(Box::new(Webrtc {
            session,
            sdp_session: (session_id, 1),
            ufrag,
            addresses: Vec::with_capacity(MAX_ADDRESSES),
            address: None,
            answered: now,
            last_alive: now,
            transactions: Transactions::default(),
            slot_opus: offer.slots().next().cloned(),
            slot_ssrcs,
            upstream: offer.upstream(),
            video_formats: offer.video_slots().next().map(Formats::of).unwrap_or_default(),
            video_ssrcs: video_ssrcs.clone(),
            publisher: publisher.map(Box::new),
            sound: sound.map(Box::new),
            sound_payload_type: offer.sound_slots().next().map(|opus| opus.payload_type),
            sound_ssrcs,
            media: None,
        }));
        // A timer of an earlier transport serves this one too.
        if !std::mem::replace(&mut self.peer(key).is_cared_for, true) {
            self.timers.arm(now + CARE_INTERVAL, id, key, Timer::Care);
        }
        self.half_open.insert(key);
        if let Some(ssrc) = self.webrtc(key).upstream.as_ref().and_then(|upstream| upstream.ssrc) {
            self.by_upstream.entry(ssrc).or_insert(key);
        }
        self.arm_handshake(key);
        Ok(Answer { sdp, video_slots: video_ssrcs })
    }

    /// Holds from the next packet on.
    pub fn set_policy(&mut self, id: PeerId, policy: Policy) -> Result<(), SfuError> {
        let key = self.key_of(id)?;
        self.contain(|engine| engine.change_policy(key, policy)).ok_or(SfuError::Failed)
    }

    fn change_policy(&mut self, key: u32, policy: Policy) {
        self.work_for(key);
        let peer = self.peer(key);
        let was_audible = std::mem::replace(&mut peer.policy, policy).is_audible();
        let (room, listener) = (peer.room, peer.listener);
        if let Some(listener) = listener {
            let room = self.rooms[room].as_mut().expect("a peer's room exists");
            room.listener(listener).set_deafened(policy.is_deafened, &mut self.events);
        }
        if was_audible && !policy.is_audible() {
            self.silence(key);
        }
        if !sound::may_sound(&policy) {
            self.silence_sound(key);
        }
    }

    /// What a WebRTC peer wants to see in its video slots from now on; slots that are not named are empty. It may be said
    /// before there is a transport, and holds for the next one too.
    pub fn watch(&mut self, now: Instant, id: PeerId, wants: &[Want]) -> Result<(), SfuError> {
        let key = self.key_of(id)?;
        self.contain(|engine| {
            engine.work_for(key);
            let peer = engine.peer(key);
            peer.wants.clear();
            peer.wants.extend(wants.iter().take(MAX_VIDEO_SLOTS));
            engine.apply_wants(now, key);
        })
        .ok_or(SfuError::Failed)
    }

    fn apply_wants(&mut self, now: Instant, key: u32) {
        let peer = self.peers[key as usize].as_ref().expect("a mapped peer exists");
        let Some(listener) = peer.listener else { return };
        let room_index = peer.room;
        let room = self.rooms[room_index].as_mut().expect("a peer's room exists");
        room.watch(now, listener, &peer.wants);
        self.run_errands(now, room_index);
    }

    /// Whom a WebRTC peer hears whoever else talks, by their native SSRCs; see [`MAX_PINS`]. It may be said before there is a
    /// transport, and holds for the next one too.
    pub fn pin(&mut self, id: PeerId, speakers: &[u32]) -> Result<(), SfuError> {
        let key = self.key_of(id)?;
        self.contain(|engine| {
            engine.work_for(key);
            let peer = engine.peer(key);
            peer.pins.clear();
            peer.pins.extend(speakers.iter().take(MAX_PINS));
            engine.apply_pins(key);
        })
        .ok_or(SfuError::Failed)
    }

    fn apply_pins(&mut self, key: u32) {
        let peer = self.peers[key as usize].as_ref().expect("a mapped peer exists");
        if let Some(listener) = peer.listener {
            let room = self.rooms[peer.room].as_mut().expect("a peer's room exists");
            room.pin(listener, &peer.pins);
        }
    }

    /// Lets what waits for a listener leave, and chooses its layers.
    fn look_at_downlink(&mut self, now: Instant, key: u32, egress: &mut impl Egress) {
        let peer = self.peer(key);
        let (Some(listener), room_index) = (peer.listener, peer.room) else { return };
        self.room(room_index).look_at(now, listener, egress);
        self.run_errands(now, room_index);
    }

    /// Lets go what a publisher's pictures have so far.
    fn release_held(&mut self, now: Instant, key: u32, egress: &mut impl Egress) {
        let room = self.peer(key).room;
        self.room(room).release_held(now, key, egress);
        self.run_errands(now, room);
    }

    /// Takes the peer out: its address, keys and slots are dead.
    pub fn leave(&mut self, id: PeerId) -> Result<(), SfuError> {
        let key = self.key_of(id)?;
        // After a panic the transport is gone as well, which is all that is wanted of this step.
        let _ = self.contain(|engine| {
            engine.work_for(key);
            engine.disconnect(key);
        });
        let peer = self.peers[key as usize].take().expect("a peer in the map exists");
        self.by_id.remove(&id);
        self.by_ssrc.remove(&peer.ssrc);
        self.free_peers.push(key);
        self.room(peer.room).members -= 1;
        self.close_if_empty(peer.room);
        Ok(())
    }

    /// From now on, or no more, [`Engine::take_heard`] has what is said in the room. It need not exist yet.
    pub fn tape(&mut self, id: RoomId, is_taped: bool) {
        if is_taped {
            self.taped.insert(id);
        } else {
            self.taped.remove(&id);
        }
        for room in self.rooms.iter_mut().flatten().filter(|room| room.life.room == id) {
            room.is_taped = is_taped;
        }
    }

    /// What was said in rooms that are recorded, since the last call.
    pub fn take_heard(&mut self) -> std::vec::Drain<'_, Heard> {
        self.heard.drain(..)
    }

    /// From now on, or no more, [`Engine::take_seen`] has what is shown in the room. It need not exist yet.
    pub fn film(&mut self, now: Instant, id: RoomId, is_filmed: bool) {
        if is_filmed {
            self.filmed.insert(id);
        } else {
            self.filmed.remove(&id);
        }
        for index in 0..self.rooms.len() {
            // What is shown on a branch is filmed at the home.
            let is_it = |room: &&mut Room| room.life.room == id && room.part == Part::Home;
            if let Some(room) = self.rooms[index].as_mut().filter(is_it) {
                room.film(now, is_filmed);
                self.run_errands(now, index);
            }
        }
    }

    /// What was shown in rooms that are filmed, since the last call.
    pub fn take_seen(&mut self) -> std::vec::Drain<'_, Seen> {
        self.seen.drain(..)
    }

    /// Whoever films needs a key frame of this. Requests for one are coalesced.
    pub fn refresh(&mut self, now: Instant, id: PeerId, source: Source) {
        let Ok(key) = self.key_of(id) else { return };
        let room = self.peer(key).room;
        self.room(room).ask_refresh(id, source);
        self.run_errands(now, room);
    }

    /// Events since the last call.
    pub fn take_events(&mut self) -> std::vec::Drain<'_, (PeerId, PeerEvent)> {
        self.events.drain(..)
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses.first
    }

    /// How large pictures may be from now on. Listeners' layers are chosen by it the next time that they are, which is within a
    /// fraction of a second.
    pub fn set_ceiling(&mut self, ceiling: Ceiling) {
        self.ceiling = ceiling;
        self.rooms.iter_mut().flatten().for_each(|room| room.ceiling = ceiling);
    }

    /// Participants, those of probe calls apart: they are not people.
    pub fn peers(&self) -> usize {
        self.by_id.len() - self.probes().map(|room| room.members).sum::<usize>()
    }

    /// Rooms whose home is here, those of probe calls apart.
    pub fn rooms(&self) -> usize {
        self.by_room.len() - self.branches() - self.probes().count()
    }

    /// Rooms of probe calls. Looks at every room.
    fn probes(&self) -> impl Iterator<Item = &Room> {
        let is_probe = |room: &&Room| is_probe(ChannelId::new(room.life.room.0)) && matches!(room.part, Part::Home);
        self.rooms.iter().flatten().filter(is_probe)
    }

    /// Branches of rooms whose home is elsewhere. Looks at every room.
    pub fn branches(&self) -> usize {
        self.rooms.iter().flatten().filter(|room| matches!(room.part, Part::Branch { .. })).count()
    }

    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    pub fn opinions(&self) -> Opinions {
        self.opinions
    }

    /// Everyone who is shown video, as it is now. Looks at every listener.
    pub fn audience(&self) -> Audience {
        let mut audience = Audience::default();
        self.rooms.iter().flatten().for_each(|room| audience += room.audience());
        audience
    }

    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    // Datagrams.

    /// Takes one datagram. Whatever it is, the worst that it can do is raise a counter, until it proves who sent it.
    #[inline]
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8], egress: &mut impl Egress) {
        self.traffic.packets_in += 1;
        self.traffic.bytes_in += datagram.len() as u64;
        let outcome = self.contain(|engine| match demux::classify(datagram) {
            Kind::Rtp => engine.handle_rtp(now, from, datagram, egress),
            Kind::Rtcp => engine.handle_rtcp(now, from, datagram, egress),
            Kind::Stun => engine.handle_stun(now, from, datagram, egress),
            Kind::Dtls => engine.handle_dtls(now, from, datagram, egress),
            Kind::Discovery { ssrc } => engine.handle_discovery(now, from, ssrc),
            Kind::Echo(answer) => engine.handle_echo(now, from, &answer, egress),
            Kind::KeepAlive => engine.by_address.get(&from).ok_or(Reason::UnknownAddress).map(|_| ()),
            Kind::Noise => Err(Reason::Noise),
        });
        if let Some(Err(reason)) = outcome {
            self.drops.count(reason);
        }
    }

    /// Answers a keep-alive of a known address with as many bytes.
    fn handle_echo(&mut self, now: Instant, from: SocketAddr, answer: &[u8], egress: &mut impl Egress) -> Result<(), Reason> {
        let key = *self.by_address.get(&from).ok_or(Reason::UnknownAddress)?;
        self.work_for(key);
        if !self.peer(key).allowances.echo.spend(now, budget::ECHO) {
            return Err(Reason::OverBudget);
        }
        egress.slot()[..answer.len()].copy_from_slice(answer);
        egress.commit(answer.len(), from);
        Ok(())
    }

    // Time.

    /// When [`Engine::handle_timeout`] wants to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, egress: &mut impl Egress) {
        while let Some((id, key, timer)) = self.timers.pop_due(now) {
            if matches!(timer, Timer::Mirrors | Timer::MirrorsHeld) {
                let _ = self.contain(|engine| engine.tend_mirrors(now, (id, key), timer, egress));
                continue;
            }
            // A timer outlives its peer; the id tells.
            if self.peers.get(key as usize).and_then(Option::as_ref).is_none_or(|peer| peer.id != id) {
                continue;
            }
            let _ = self.contain(|engine| {
                engine.work_for(key);
                match timer {
                    Timer::Discovery => engine.answer_discovery(now, key, egress),
                    Timer::Handshake => engine.handshake_timeout(now, key, egress),
                    Timer::Care => engine.care(now, key, egress),
                    Timer::Silence => engine.watch_silence(now, key),
                    Timer::Uplink => engine.look_at_uplink(now, key, egress),
                    Timer::Downlink => engine.look_at_downlink(now, key, egress),
                    Timer::Held => engine.release_held(now, key, egress),
                    Timer::Mirrors | Timer::MirrorsHeld => {}
                }
            });
        }
    }

    fn handshake_timeout(&mut self, now: Instant, key: u32, egress: &mut impl Egress) {
        let peer = self.peer(key);
        // An entry that was overtaken by an earlier one, or a transport that is gone.
        if peer.handshake_armed.is_none_or(|at| at > now) {
            return;
        }
        peer.handshake_armed = None;
        if peer.transport.webrtc().is_some() {
            self.drive(key, egress, |session, send| session.handle_timeout(now, send));
            self.start_media(now, key);
        }
    }

    /// Looks after a WebRTC peer: lost, or due a receiver report.
    fn care(&mut self, now: Instant, key: u32, egress: &mut impl Egress) {
        let peer = self.peer(key);
        let id = peer.id;
        peer.is_cared_for = false;
        let Some(webrtc) = peer.transport.webrtc() else { return };
        if now.saturating_duration_since(webrtc.last_alive) >= LOST_AFTER {
            return self.lose(key);
        }
        if webrtc.media.is_none() && now.saturating_duration_since(webrtc.answered) >= HANDSHAKE_DEADLINE {
            self.drops.count(Reason::HandshakeTooLong);
            tracing::info!(peer = id.0, "a DTLS handshake did not end in time");
            return self.lose(key);
        }
        self.report(now, key, egress);
        let peer = self.peer(key);
        peer.is_cared_for = true;
        self.timers.arm(now + CARE_INTERVAL, id, key, Timer::Care);
    }

    /// Frees the place and slots of a speaker that fell silent, else looks again when it could be.
    fn watch_silence(&mut self, now: Instant, key: u32) {
        let peer = self.peer(key);
        let silent_at = peer.last_spoken.map_or(now, |at| at + FREE_AFTER);
        if silent_at > now {
            let id = peer.id;
            self.timers.arm(silent_at, id, key, Timer::Silence);
        } else {
            peer.is_silence_watched = false;
            self.silence(key);
        }
    }

    /// Sends a WebRTC peer its reports: about what it sends, and about what it is sent in each slot. Tells its quality.
    fn report(&mut self, now: Instant, key: u32, egress: &mut impl Egress) {
        let peer = self.peers[key as usize].as_mut().expect("a mapped peer exists");
        let (id, ssrc) = (peer.id, peer.ssrc);
        let listener = peer.listener.and_then(|place| Some(self.rooms[peer.room].as_mut()?.listener(place)));
        let Some(webrtc) = peer.transport.webrtc() else { return };
        let about = webrtc.upstream.as_ref().and_then(|upstream| upstream.ssrc);
        let (Some(media), Some(to)) = (&mut webrtc.media, webrtc.address) else { return };
        let mut compound = [0; MAX_REPORTS * rtcp::REPORT_LEN];
        let mut len = 0;
        if let (Some(about), Some(reception)) = (about, &mut media.reception) {
            let from = webrtc.slot_ssrcs.first().copied().unwrap_or(ssrc);
            let (expected, lost) = reception.write_report(now, from, about, &mut compound);
            media.quality.on_reception(expected, lost, reception.jitter());
            len = rtcp::REPORT_LEN;
        }
        if let Some((about, reception)) = webrtc.sound.as_mut().and_then(|sound| sound.reception()) {
            reception.write_report(now, ssrc, about, &mut compound[len..]);
            len += rtcp::REPORT_LEN;
        }
        for (about, reception) in webrtc.publisher.iter_mut().flat_map(|publisher| publisher.receptions()) {
            reception.write_report(now, ssrc, about, &mut compound[len..]);
            len += rtcp::REPORT_LEN;
        }
        let ntp = rtcp::ntp(now.saturating_duration_since(webrtc.answered));
        let since = now.checked_sub(CARE_INTERVAL).unwrap_or(now);
        for stream in listener.into_iter().flat_map(|listener| listener.sent(now, since)) {
            rtcp::write_sender_report(&stream, ntp, &mut compound[len..]);
            len += rtcp::SENDER_REPORT_LEN;
        }
        if len > 0
            && let Some(len) = media.rtcp_outbound.seal(egress.slot(), &compound[..len])
        {
            egress.commit(len, to);
        }
        if now.saturating_duration_since(media.quality_told) >= QUALITY_INTERVAL {
            media.quality_told = now;
            if let Some(quality) = media.quality.take() {
                self.opinions.record(quality.score);
                self.events.push((id, PeerEvent::Quality(quality)));
            }
        }
    }

    fn remove_listener(&mut self, key: u32) -> Option<Listener> {
        let peer = self.peer(key);
        let (room, place) = (peer.room, peer.listener.take()?);
        let (removed, moved) = self.room(room).remove(place);
        if let Some(moved) = moved {
            self.peer(moved).listener = Some(place);
        }
        Some(removed)
    }

    fn lose(&mut self, key: u32) {
        self.disconnect(key);
        let id = self.peer(key).id;
        self.events.push((id, PeerEvent::Lost));
    }

    /// Takes the transport away; the place in the room stays.
    fn disconnect(&mut self, key: u32) {
        // A new transport begins new indices, so what slots remember of the old ones must go.
        self.silence(key);
        let peer = self.peers[key as usize].as_mut().expect("a mapped peer exists");
        if peer.transport.webrtc().is_some_and(|webrtc| webrtc.publisher.is_some()) {
            let room = self.rooms[peer.room].as_mut().expect("a peer's room exists");
            room.close_stages(key);
        }
        let peer = self.peer(key);
        peer.activity = Activity::default();
        peer.handshake_armed = None;
        peer.allowances = Allowances::default();
        self.half_open.remove(&key);
        let peer = self.peer(key);
        match std::mem::replace(&mut peer.transport, Transport::None) {
            Transport::None => {}
            Transport::Native(native) => {
                if let Some(address) = native.address {
                    self.by_address.remove(&address);
                }
            }
            Transport::Webrtc(webrtc) => {
                self.by_ufrag.remove(&webrtc.ufrag);
                if let Some(ssrc) = webrtc.upstream.as_ref().and_then(|upstream| upstream.ssrc)
                    && self.by_upstream.get(&ssrc) == Some(&key)
                {
                    self.by_upstream.remove(&ssrc);
                }
                for address in &webrtc.addresses {
                    self.by_address.remove(address);
                }
            }
        }
        self.remove_listener(key);
        let room = self.peer(key).room;
        self.tell_errands(room);
    }

    fn key_of(&self, id: PeerId) -> Result<u32, SfuError> {
        self.by_id.get(&id).copied().ok_or(SfuError::UnknownPeer)
    }

    fn peer(&mut self, key: u32) -> &mut Peer {
        self.peers[key as usize].as_mut().expect("a mapped peer exists")
    }

    fn webrtc(&mut self, key: u32) -> &mut Webrtc {
        self.peer(key).transport.webrtc().expect("the caller saw a WebRTC transport")
    }

    fn room(&mut self, index: usize) -> &mut Room {
        self.rooms[index].as_mut().expect("a peer's room exists")
    }
}

#[cfg(test)]
mod tests;
