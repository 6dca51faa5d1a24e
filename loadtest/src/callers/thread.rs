//! One media thread: sockets, timers and books of its legs. The only place of the harness that sends and receives media.

mod video;

use super::leg::{DECODED_PACKETS, DECODED_STREAMS, Held, Leg, LegEvent, Media, Mouth, Web};
use super::mailbox::{self, Mailbox};
use super::shared::{NOWHERE, Shared, clock};
use super::wheel::Wheel;
use super::{Account, Command};
use crate::measure::health::LATE;
use crate::measure::picture;
use crate::measure::player::Player;
use crate::measure::stamp::{self, Kind, Stamp};
use crate::measure::stream::Stream;
use crate::opus::Judge;
use crate::voice::cipher::Cipher;
use crate::voice::webrtc::AUDIO_LEVEL_DBOV;
use crate::voice::{SILENCE, SILENCE_FRAMES, native, rtp};
use anyhow::{Context, Result};
use guildhall_protocol::discovery;
use rustix::event::{Timespec, epoll};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite, SeqNo};
use str0m::{Event, IceConnectionState, Input, Output};

/// Readiness events taken at once: few enough that timers are looked at between.
const EVENTS: usize = 64;
/// Commands taken between two looks at the sockets.
const COMMANDS: usize = 64;
/// The thread looks up this often even when nothing happens.
const LONGEST_SLEEP: u64 = 100_000_000;
/// Marks the eventfd among the sockets.
const WAKE: u64 = u64::MAX;
/// An Opus packet of nothing but its first byte: DTX.
const COMFORT: [u8; 1] = [0x78];
/// Comfort noise is hardly audible (−dBov).
const COMFORT_LEVEL_DBOV: i8 = -100;
/// A decoded stream below this is silence: the voices speak at about −17.
const QUIETEST_DBFS: f32 = -35.0;
/// Talkers whose absence a listener waits to notice: the first packets after a leg is ready may still be on their way to it.
const SETTLED: u64 = 1_000_000_000;

#[derive(Clone, Copy)]
enum Timer {
    /// The next packet of a talker.
    Talk,
    /// The next frame of a camera.
    Film,
    /// A datagram leaves the emulated network.
    Held,
    /// An `Rtc` wants to be polled.
    Rtc,
    KeepAlive,
    Discover,
}

pub(super) struct Thread {
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    wake: Arc<OwnedFd>,
    epoll: OwnedFd,
    wheel: Wheel<(usize, u64, Timer)>,
    legs: Vec<Option<Box<Leg>>>,
    free: Vec<usize>,
    places: HashMap<u64, usize>,
    /// Away while a batch is handled.
    mailbox: Option<Mailbox>,
    account: Account,
    /// An Opus packet with its stamp, and a sealed datagram.
    padded: Vec<u8>,
    sealed: Vec<u8>,
}

/// An epoll that watches for commands.
pub(super) fn watch(wake: &OwnedFd) -> Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("an epoll")?;
    epoll::add(&epoll, wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
    Ok(epoll)
}

impl Thread {
    pub fn new(shared: Arc<Shared>, commands: Receiver<Command>, wake: Arc<OwnedFd>, epoll: OwnedFd) -> Self {
        Self {
            shared,
            commands,
            wake,
            epoll,
            wheel: Wheel::new(clock()),
            legs: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            mailbox: Some(Mailbox::default()),
            account: Account::default(),
            padded: Vec::new(),
            sealed: Vec::new(),
        }
    }

    /// Until the commands' channel closes.
    pub fn run(mut self) {
        let mut due = Vec::new();
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            self.wheel.turn(clock(), &mut due);
            for (place, id, timer) in due.drain(..) {
                self.fire(place, id, timer);
            }
            for _ in 0..COMMANDS {
                match self.commands.try_recv() {
                    Ok(command) => self.obey(command),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let sleep = self.wheel.next_due().map_or(LONGEST_SLEEP, |at| at.saturating_sub(clock()).min(LONGEST_SLEEP));
            let sleep = Timespec { tv_sec: 0, tv_nsec: sleep as _ };
            events.clear();
            // An interrupted wait is a short one.
            let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&sleep));
            for event in &events {
                match event.data.u64() {
                    WAKE => {
                        let mut count = [0; 8];
                        // Someone else's read of it is as good.
                        let _ = rustix::io::read(&self.wake, &mut count);
                    }
                    place => self.receive(place as usize),
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let id = match &command {
            Command::Adopt(new) => new.id,
            Command::Keys { leg, .. }
            | Command::Mouth { leg, .. }
            | Command::Muted { leg, .. }
            | Command::Rebind { leg }
            | Command::Outage { leg, .. }
            | Command::Network { leg, .. }
            | Command::Layers { leg, .. }
            | Command::Drop { leg } => *leg,
            Command::Close(_) => 0,
        };
        let place = self.places.get(&id).copied();
        match (command, place) {
            (Command::Adopt(new), _) => self.adopt(Leg::new(*new, clock(), &self.shared)),
            (Command::Close(reply), _) => {
                let account = self.close();
                // A run that was given up wants no account.
                let _ = reply.send(account);
            }
            // A leg that is gone needs nothing any more.
            (_, None) => {}
            (Command::Keys { suite, secret, .. }, Some(place)) => self.with(place, |thread, leg| {
                if let Media::Discovering { ssrc, .. } = leg.media {
                    let cipher = Arc::new(Cipher::new(suite, secret));
                    leg.media = Media::Native { cipher, ssrc, nonce: 0, sequence: leg.id as u16, beats: 0 };
                    thread.ready(place, leg);
                }
            }),
            (Command::Mouth { is_open, .. }, Some(place)) => self.with(place, |thread, leg| {
                if let Some(mouth) = &mut leg.mouth {
                    (mouth.is_open, mouth.is_talking, mouth.silences) = (is_open, false, 0);
                    thread.shared.place(leg.person, leg.room);
                }
            }),
            (Command::Muted { is_muted, .. }, Some(place)) => self.with(place, |_, leg| {
                if let Some(mouth) = &mut leg.mouth {
                    mouth.is_muted = is_muted;
                }
            }),
            (Command::Rebind { .. }, Some(place)) => self.with(place, |thread, leg| {
                if let Err(error) = thread.rebind(place, leg) {
                    leg.say(LegEvent::Failed(format!("a new socket: {error}")));
                }
            }),
            (Command::Outage { until, .. }, Some(place)) => self.with(place, |_, leg| {
                for path in [&mut leg.up, &mut leg.down].into_iter().flatten() {
                    path.cut(until);
                }
            }),
            (Command::Network { up, down, .. }, Some(place)) => self.with(place, |_, leg| Self::shift(leg, up, down)),
            (Command::Layers { wanted, .. }, Some(place)) => self.with(place, |_, leg| {
                if let Some(camera) = &mut leg.camera {
                    camera.want(wanted);
                }
            }),
            (Command::Drop { .. }, Some(place)) => self.remove(place),
        }
    }

    /// Works on a leg with the rest of the thread at hand.
    fn with(&mut self, place: usize, work: impl FnOnce(&mut Self, &mut Leg)) {
        if let Some(mut leg) = self.legs.get_mut(place).and_then(Option::take) {
            work(self, &mut leg);
            self.legs[place] = Some(leg);
        }
    }

    fn adopt(&mut self, mut leg: Leg) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.legs.push(None);
            self.legs.len() - 1
        });
        let data = epoll::EventData::new_u64(place as u64);
        if let Err(error) = epoll::add(&self.epoll, &leg.socket, data, epoll::EventFlags::IN) {
            leg.say(LegEvent::Failed(format!("watching the socket: {error}")));
            self.free.push(place);
            return;
        }
        self.places.insert(leg.id, place);
        let (id, now) = (leg.id, clock());
        leg.formers = self.shared.ports.before(leg.port(), now);
        match &leg.media {
            Media::Discovering { .. } => self.wheel.insert(now, (place, id, Timer::Discover)),
            Media::Native { .. } => {}
            Media::WebRtc(_) => self.wheel.insert(now, (place, id, Timer::Rtc)),
        }
        let is_keyed = matches!(leg.media, Media::Native { .. });
        self.legs[place] = Some(Box::new(leg));
        if is_keyed {
            self.with(place, |thread, leg| thread.ready(place, leg));
        }
    }

    fn remove(&mut self, place: usize) {
        let Some(mut leg) = self.legs[place].take() else { return };
        self.places.remove(&leg.id);
        self.free.push(place);
        if leg.mouth.is_some() {
            self.shared.place(leg.person, NOWHERE);
        }
        self.settle(&mut leg);
        self.give_up_port(&leg);
        // The closed socket leaves the epoll by itself.
    }

    /// The socket of a leg is about to be closed.
    fn give_up_port(&self, leg: &Leg) {
        if let Some(owner) = leg.owner() {
            self.shared.ports.leave(leg.port(), owner, clock());
        }
    }

    /// Media can flow.
    fn ready(&mut self, place: usize, leg: &mut Leg) {
        let now = clock();
        (leg.ready_at, leg.listened_from) = (now, now);
        let (room, person) = (leg.room, leg.person);
        leg.expected = self.shared.talkers(room).filter(|(speaker, _)| *speaker != person).collect();
        if matches!(leg.media, Media::Native { .. }) {
            self.wheel.insert(now + native::KEEP_ALIVE.as_nanos() as u64, (place, leg.id, Timer::KeepAlive));
        }
        if let Some(mouth) = &mut leg.mouth {
            mouth.due = mouth.due.max(now);
            self.wheel.insert(mouth.due, (place, leg.id, Timer::Talk));
        }
        if let Some(camera) = &mut leg.camera {
            camera.due = camera.due.max(now);
            self.wheel.insert(camera.due, (place, leg.id, Timer::Film));
        }
        leg.say(LegEvent::Ready(now));
    }

    fn fire(&mut self, place: usize, id: u64, timer: Timer) {
        // The place may have a new owner, whose timers are its own.
        if self.legs.get(place).and_then(Option::as_ref).is_none_or(|leg| leg.id != id) {
            return;
        }
        self.with(place, |thread, leg| match timer {
            Timer::Talk => thread.talk(place, leg),
            Timer::Film => thread.film(place, leg),
            Timer::Held => thread.release(place, leg),
            Timer::Rtc => {
                if let Media::WebRtc(web) = &mut leg.media {
                    web.wake_at = u64::MAX;
                    // It fails only for an `Rtc` that is over, and then `drive` says so.
                    let _ = web.negotiated.rtc.handle_input(Input::Timeout(Instant::now()));
                    thread.drive(place, leg, 0);
                }
            }
            Timer::KeepAlive => {
                if let Media::Native { beats, .. } = &mut leg.media {
                    let beat = beats.to_le_bytes();
                    *beats += 1;
                    thread.transmit(place, leg, &beat, None);
                    thread.wheel.insert(clock() + native::KEEP_ALIVE.as_nanos() as u64, (place, id, Timer::KeepAlive));
                }
            }
            Timer::Discover => {
                if let Media::Discovering { ssrc, tries } = &mut leg.media {
                    let (ssrc, is_over) = (*ssrc, *tries == native::DISCOVERY_TRIES);
                    *tries += 1;
                    if is_over {
                        leg.say(LegEvent::Failed("IP discovery had no answer".to_owned()));
                        return;
                    }
                    thread.transmit(place, leg, &discovery::question(ssrc), None);
                    let again = clock() + native::DISCOVERY_TIMEOUT.as_nanos() as u64;
                    thread.wheel.insert(again, (place, id, Timer::Discover));
                }
            }
        });
    }

    /// A talker's moment, and those that a late thread has missed: they are made up for at once, for a sleep after each would
    /// never let it catch up.
    fn talk(&mut self, place: usize, leg: &mut Leg) {
        let Some(mut mouth) = leg.mouth.take() else { return };
        loop {
            self.utter(place, leg, &mut mouth);
            mouth.timestamp = mouth.timestamp.wrapping_add(self.shared.library.samples);
            mouth.due += self.shared.rules.frame;
            if mouth.due > clock() {
                break;
            }
        }
        self.wheel.insert(mouth.due, (place, leg.id, Timer::Talk));
        leg.mouth = Some(mouth);
    }

    /// What is due at this moment: speech, the silence that a pause begins with, comfort noise, or nothing.
    fn utter(&mut self, place: usize, leg: &mut Leg, mouth: &mut Mouth) {
        let (due, late) = (mouth.due, clock().saturating_sub(mouth.due));
        let shared = self.shared.clone();
        let is_on = mouth.is_open && shared.is_on(leg.party);
        let talks = is_on && mouth.clock.is_talking(due.saturating_sub(shared.epoch));
        if talks {
            if !mouth.is_talking {
                (mouth.is_talking, mouth.spurt, mouth.position) = (true, mouth.spurt.wrapping_add(1), 0);
            }
            let opus = shared.library.packet(mouth.voice, mouth.place);
            mouth.place += 1;
            if shared.counts(due) {
                self.account.health.note(late);
            }
            shared.live.sends.fetch_add(1, Relaxed);
            shared.live.late.fetch_add(u64::from(late > LATE), Relaxed);
            self.say(place, leg, opus, (mouth.kind(), mouth.spurt, mouth.position), mouth.timestamp);
            mouth.position = mouth.position.saturating_add(1);
        } else if mouth.is_talking {
            let silences = if is_on { SILENCE_FRAMES } else { 0 };
            (mouth.is_talking, mouth.silences, mouth.comfort_at) = (false, silences, due + shared.comfort);
        }
        if !talks && is_on && !mouth.is_muted {
            if mouth.silences > 0 {
                mouth.silences -= 1;
                self.send_audio(place, leg, &SILENCE, mouth.timestamp, COMFORT_LEVEL_DBOV, None);
            } else if shared.comfort > 0 && due >= mouth.comfort_at {
                mouth.comfort_at = due + shared.comfort;
                self.say(place, leg, &COMFORT, (Kind::Comfort, mouth.spurt, mouth.position), mouth.timestamp);
            }
        }
    }

    /// A stamped packet, if the emulated network lets it through.
    fn say(&mut self, place: usize, leg: &mut Leg, opus: &[u8], what: (Kind, u16, u16), timestamp: u32) {
        let (kind, spurt, position) = what;
        let now = clock();
        let at = match &mut leg.up {
            // What the network will swallow has no number, so nobody misses it; RTP goes on counting.
            Some(path) => match path.send(now, opus.len() + stamp::LEN) {
                Ok(at) => Some(at),
                Err(_) => {
                    self.skip(leg);
                    return;
                }
            },
            None => None,
        };
        let sent = at.unwrap_or(now);
        let sequence = match kind {
            Kind::Muted => 0,
            Kind::Speech | Kind::Comfort => self.shared.number(leg.person),
        };
        let stamp = Stamp { run: self.shared.run, speaker: leg.person, room: leg.room, sequence, spurt, position, kind, sent };
        let mut padded = std::mem::take(&mut self.padded);
        if stamp.write(opus, &mut padded) {
            let level = if kind == Kind::Comfort { COMFORT_LEVEL_DBOV } else { AUDIO_LEVEL_DBOV };
            self.send_audio(place, leg, &padded, timestamp, level, at);
            self.shared.live.sent.fetch_add(1, Relaxed);
            if self.shared.counts(sent) && kind != Kind::Muted {
                self.account.book(leg.party).sent += 1;
            }
        }
        self.padded = padded;
    }

    /// A packet that is lost on its way still had a sequence number.
    fn skip(&mut self, leg: &mut Leg) {
        match &mut leg.media {
            Media::Native { sequence, .. } => *sequence = sequence.wrapping_add(1),
            Media::WebRtc(web) => web.sequence += 1,
            Media::Discovering { .. } => {}
        }
    }

    /// Seals and sends; `at` is when it goes on the wire, if the emulated network has decided that.
    fn send_audio(&mut self, place: usize, leg: &mut Leg, opus: &[u8], timestamp: u32, level: i8, at: Option<u64>) {
        match &mut leg.media {
            Media::Discovering { .. } => {}
            Media::Native { cipher, ssrc, nonce, sequence, .. } => {
                let header = rtp::Header::opus(*sequence, timestamp, *ssrc);
                let mut sealed = std::mem::take(&mut self.sealed);
                cipher.seal_into(*nonce, &header, opus, &mut sealed);
                (*sequence, *nonce) = (sequence.wrapping_add(1), nonce.wrapping_add(1));
                self.transmit(place, leg, &sealed, Some(at));
                self.sealed = sealed;
            }
            Media::WebRtc(web) => {
                let Web { negotiated, sequence, audio_at, .. } = &mut **web;
                let mut api = negotiated.rtc.direct_api();
                let Some(stream) = api.stream_tx_by_mid(negotiated.mid, None) else { return };
                let extensions = ExtensionValues {
                    audio_level: Some(level),
                    voice_activity: Some(level == AUDIO_LEVEL_DBOV),
                    ..Default::default()
                };
                let now = Instant::now();
                let packet = RtpWrite::new(negotiated.payload, SeqNo::from(*sequence), timestamp, now, opus).ext_vals(extensions);
                stream.write_rtp(packet);
                *sequence += 1;
                *audio_at = Some(at.unwrap_or(0));
                // It fails only for an `Rtc` that is over, and then `drive` says so.
                let _ = negotiated.rtc.handle_input(Input::Timeout(now));
                self.drive(place, leg, 0);
            }
        }
    }

    /// Puts a datagram on the wire, or into the emulated network. `decided`: audio whose fate is known already.
    fn transmit(&mut self, place: usize, leg: &mut Leg, bytes: &[u8], decided: Option<Option<u64>>) {
        let now = clock();
        let at = match (decided, &mut leg.up) {
            (Some(at), _) => at,
            (None, None) => None,
            (None, Some(path)) => match path.send(now, bytes.len()) {
                Ok(at) => Some(at),
                Err(_) => return,
            },
        };
        match at {
            // What is ready at once still waits behind what is held.
            Some(at) if at > now || !leg.held.is_empty() => self.hold(place, leg, at, true, bytes),
            // A datagram that the system refuses is a lost datagram.
            Some(_) | None => drop(leg.socket.send(bytes)),
        }
    }

    fn hold(&mut self, place: usize, leg: &mut Leg, at: u64, is_up: bool, bytes: &[u8]) {
        leg.held_count += 1;
        leg.held.push(Reverse(Held { at, nth: leg.held_count, is_up, bytes: bytes.to_vec() }));
        self.wheel.insert(at, (place, leg.id, Timer::Held));
    }

    fn release(&mut self, place: usize, leg: &mut Leg) {
        let now = clock();
        while leg.held.peek().is_some_and(|Reverse(held)| held.at <= now) {
            let Some(Reverse(mut held)) = leg.held.pop() else { return };
            if held.is_up {
                // A datagram that the system refuses is a lost datagram.
                drop(leg.socket.send(&held.bytes));
            } else {
                self.accept(place, leg, &mut held.bytes, held.at);
            }
        }
    }

    fn receive(&mut self, place: usize) {
        self.with(place, |thread, leg| {
            let Some(mut mailbox) = thread.mailbox.take() else { return };
            for at in 0..mailbox.receive(&leg.socket).unwrap_or(0) {
                let (bytes, arrival) = mailbox.datagram(at);
                match leg.down.as_mut().map(|path| path.send(arrival, bytes.len())) {
                    None => thread.accept(place, leg, bytes, arrival),
                    // What is ready at once still waits behind what is held.
                    Some(Ok(later)) if later <= clock() && leg.held.is_empty() => thread.accept(place, leg, bytes, later),
                    Some(Ok(later)) => thread.hold(place, leg, later, false, bytes),
                    Some(Err(_)) => {
                        // It was audio for certain only inside; from outside, RTP of an ordinary length is, or of its type.
                        let is_voice = match &leg.media {
                            Media::WebRtc(web) => bytes.get(1).is_some_and(|byte| byte & 0x7f == *web.negotiated.payload),
                            Media::Native { .. } | Media::Discovering { .. } => true,
                        };
                        let is_audio = is_voice && bytes.len() > stamp::LEN && bytes[0] >> 6 == 2 && !rtp::is_rtcp(bytes);
                        if is_audio && thread.shared.counts(arrival) && leg.ready_at > 0 {
                            thread.account.book(leg.party).emulated += 1;
                        }
                    }
                }
            }
            thread.mailbox = Some(mailbox);
        });
    }

    fn accept(&mut self, place: usize, leg: &mut Leg, datagram: &mut [u8], arrival: u64) {
        match &mut leg.media {
            Media::Discovering { ssrc, .. } => {
                if let Some(address) = discovery::read_answer(datagram, *ssrc) {
                    leg.say(LegEvent::Discovered(address));
                }
            }
            Media::Native { cipher, .. } => {
                // The echo of a keep-alive, a late answer of IP discovery, and reports tell us nothing.
                if datagram.len() == size_of::<u64>() || rtp::is_rtcp(datagram) || datagram.first().is_some_and(|byte| *byte == 0)
                {
                    return;
                }
                // Opening destroys what does not open, and the port's former owners may know it.
                let kept = if leg.formers.is_empty() { Vec::new() } else { datagram.to_vec() };
                match cipher.open_in_place(datagram) {
                    Ok((header, payload)) if picture::Stamp::read(payload).is_some() => {
                        self.see(leg, (header.ssrc, header.sequence.into()), payload, arrival);
                    }
                    Ok((header, payload)) => {
                        let wire = (header.ssrc, header.sequence, header.timestamp);
                        self.hear(leg, wire, payload, arrival);
                    }
                    Err(_) => self.note_unopened(leg, &kept, arrival),
                }
            }
            Media::WebRtc(web) => {
                let Some(remote) = web.remote else { return };
                let Ok(receive) = Receive::new(Protocol::Udp, remote, web.negotiated.address, datagram) else {
                    self.note_unopened(leg, datagram, arrival);
                    return;
                };
                // It fails only for an `Rtc` that is over, and then `drive` says so.
                let _ = web.negotiated.rtc.handle_input(Input::Receive(Instant::now(), receive));
                self.drive(place, leg, arrival);
            }
        }
    }

    /// What does not open is a fault, unless it was for who had the port before.
    fn note_unopened(&mut self, leg: &Leg, datagram: &[u8], arrival: u64) {
        let book = self.account.book(leg.party);
        if leg.formers.own(datagram, arrival) {
            book.stale += 1;
        } else {
            book.unopened += 1;
        }
    }

    /// Polls an `Rtc` until it only waits.
    fn drive(&mut self, place: usize, leg: &mut Leg, arrival: u64) {
        loop {
            let Media::WebRtc(web) = &mut leg.media else { return };
            match web.negotiated.rtc.poll_output() {
                Ok(Output::Timeout(deadline)) => {
                    let at = clock() + deadline.saturating_duration_since(Instant::now()).as_nanos() as u64;
                    // A timer that fires a little early does no harm; a thousand timers do.
                    if at + super::wheel::TICK < web.wake_at {
                        web.wake_at = at;
                        self.wheel.insert(at, (place, leg.id, Timer::Rtc));
                    }
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    if web.remote.is_none() {
                        web.remote = Some(transmit.destination);
                        // An unreachable server shows as a handshake that fails.
                        drop(leg.socket.connect(transmit.destination));
                    }
                    let bytes = &transmit.contents[..];
                    let is_audio = bytes.first().is_some_and(|byte| byte >> 6 == 2) && !rtp::is_rtcp(bytes);
                    let decided = if is_audio { web.audio_at.take() } else { None };
                    let decided = decided.map(|at| (at > 0).then_some(at));
                    self.transmit(place, leg, bytes, decided);
                }
                Ok(Output::Event(Event::RtpPacket(packet))) if Self::is_video(leg, packet.header.payload_type) => {
                    self.see(leg, (*packet.header.ssrc, *packet.seq_no), &packet.payload, arrival);
                }
                Ok(Output::Event(Event::KeyframeRequest(request))) => Self::refresh(leg, &request),
                Ok(Output::Event(Event::RtpPacket(packet))) => {
                    let header = &packet.header;
                    let wire = (*header.ssrc, header.sequence_number, header.timestamp);
                    self.hear(leg, wire, &packet.payload, arrival);
                }
                Ok(Output::Event(Event::Connected)) => self.ready(place, leg),
                Ok(Output::Event(Event::IceConnectionStateChange(IceConnectionState::Disconnected))) => {
                    leg.say(LegEvent::Failed("ICE disconnected".to_owned()));
                }
                Ok(Output::Event(_)) => {}
                Err(error) => {
                    leg.say(LegEvent::Failed(error.to_string()));
                    return;
                }
            }
        }
    }

    /// An Opus packet, whoever sent it.
    fn hear(&mut self, leg: &mut Leg, wire: (u32, u16, u32), opus: &[u8], arrival: u64) {
        let (shared, account) = (&self.shared, &mut self.account);
        if opus == SILENCE {
            return;
        }
        let book = account.book(leg.party);
        let Some(stamp) = Stamp::read(opus).filter(|stamp| stamp.run == shared.run) else {
            book.damaged += 1;
            return;
        };
        if stamp.kind == Kind::Muted {
            book.forbidden += 1;
            return;
        }
        if stamp.room != leg.room || stamp.speaker == leg.person {
            book.misrouted += u64::from(stamp.room != leg.room);
            book.echoed += u64::from(stamp.speaker == leg.person);
            return;
        }
        let counts = shared.counts(stamp.sent);
        shared.live.received.fetch_add(1, Relaxed);
        if counts {
            let delay = arrival.saturating_sub(stamp.sent);
            book.delay.saturating_record(delay);
            shared.live.worst_delay.fetch_max(delay, Relaxed);
        }
        if !std::mem::replace(&mut leg.has_heard, true) && leg.wished_at > 0 {
            let waited = arrival.saturating_sub(leg.wished_at);
            // Only where the speaker had talked since before the wish was the wait the server's, or where nobody ever pauses.
            let is_covered = u64::from(stamp.position) * shared.rules.frame >= waited;
            if is_covered || (shared.is_continuous && shared.counts(leg.wished_at)) {
                let times = if leg.is_return { &mut book.return_audio } else { &mut book.first_audio };
                times.saturating_record(waited);
            }
        }
        // Unselected listeners lose nothing: who is not in a slot is not due.
        let missing = book.missing;
        match leg.streams.iter_mut().find(|stream| stream.speaker == stamp.speaker) {
            Some(stream) => {
                stream.forgive(shared.first_number(stamp.speaker));
                stream.hear(&stamp, arrival, leg.ready_at, &shared.rules, counts, book);
            }
            None => {
                leg.streams.push(Stream::begin(&stamp, arrival, leg.ready_at, &shared.rules, counts, book));
                if leg.roster.as_ref().is_some_and(|roster| roster.user(wire.0).is_none()) {
                    book.unannounced += 1;
                }
            }
        }
        if leg.selects && book.missing > missing {
            book.unselected += book.missing - missing;
            book.missing = missing;
        }
        if counts && leg.is_shifted && stamp.kind == Kind::Speech {
            Self::play(leg, &stamp, arrival, shared.rules.frame);
        }
        if counts && let Some(judges) = &mut leg.judges {
            Self::decode(judges, shared, wire, &stamp, opus);
        }
    }

    fn play(leg: &mut Leg, stamp: &Stamp, arrival: u64, frame: u64) {
        let Stamp { speaker, spurt, position, .. } = *stamp;
        match leg.players.iter_mut().find(|(known, ..)| *known == speaker) {
            None => leg.players.push((speaker, spurt, Player::begin(frame, position.into(), arrival))),
            Some((_, current, player)) if *current == spurt => player.hear(position.into(), arrival),
            Some((_, current, player)) if spurt.wrapping_sub(*current) as i16 > 0 => {
                *current = spurt;
                player.begin_anew(position.into(), arrival);
            }
            // Of a spurt that is over.
            Some(_) => {}
        }
    }

    fn decode(judges: &mut Vec<(u32, usize, Judge)>, shared: &Shared, wire: (u32, u16, u32), stamp: &Stamp, opus: &[u8]) {
        let (_, sequence, timestamp) = wire;
        let is_new = judges.iter().all(|(speaker, ..)| *speaker != stamp.speaker);
        if is_new && judges.len() < DECODED_STREAMS {
            // Without a decoder there is no sample, and the figures say so by their absence.
            if let Ok(judge) = Judge::new(shared.library.samples as usize) {
                judges.push((stamp.speaker, 0, judge));
            }
        }
        let known = judges.iter_mut().find(|(speaker, count, _)| *speaker == stamp.speaker && *count < DECODED_PACKETS);
        if let Some((_, count, judge)) = known {
            *count += 1;
            judge.hear(sequence, timestamp, opus);
        }
    }

    /// A new source port towards the same server, as after a NAT's timeout. A server can follow a native client only by a packet
    /// that opens, so one that only listens says silence, as bots do that want to hear.
    fn rebind(&mut self, place: usize, leg: &mut Leg) -> std::io::Result<()> {
        let remote = match &leg.media {
            Media::WebRtc(web) => web.remote,
            Media::Native { .. } | Media::Discovering { .. } => leg.socket.peer_addr().ok(),
        };
        let Some(remote) = remote else { return Ok(()) };
        let local: IpAddr = leg.socket.local_addr()?.ip();
        let socket = UdpSocket::bind(SocketAddr::new(local, 0))?;
        mailbox::prepare(&socket)?;
        socket.connect(remote)?;
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(place as u64), epoll::EventFlags::IN)?;
        self.give_up_port(leg);
        leg.socket = socket;
        leg.formers = self.shared.ports.before(leg.port(), clock());
        let is_talking = leg.mouth.as_ref().is_some_and(|mouth| mouth.is_talking);
        if matches!(leg.media, Media::Native { .. }) && !is_talking {
            // That of the last moment at which it could have spoken.
            let samples = self.shared.library.samples;
            let timestamp = leg.mouth.as_ref().map_or(0, |mouth| mouth.timestamp.wrapping_sub(samples));
            self.send_audio(place, leg, &SILENCE, timestamp, COMFORT_LEVEL_DBOV, None);
        }
        Ok(())
    }

    /// Enters what a leg's end or a window's end settles, apart from what is missing.
    fn settle(&mut self, leg: &mut Leg) {
        let now = clock();
        let book = self.account.book(leg.party);
        if leg.ready_at > 0 && leg.listened_from < now {
            book.listened += self.shared.overlap(leg.listened_from, now);
            leg.listened_from = now;
        }
        for (_, _, player) in leg.players.drain(..) {
            let ms = |frames: u64| frames * self.shared.rules.frame / 1_000_000;
            book.made_up_ms += ms(player.made_up);
            book.longest_made_up_ms = book.longest_made_up_ms.max(ms(player.longest.into()));
        }
        for (_, _, judge) in leg.judges.iter_mut().flat_map(|judges| judges.drain(..)) {
            let quality = judge.quality();
            book.decoded += 1;
            book.undecodable += quality.undecodable as u64;
            book.quiet_streams += u64::from(quality.level_dbfs < QUIETEST_DBFS);
            book.longest_silence_ms = book.longest_silence_ms.max(quality.longest_silence_ms as u64);
        }
    }

    /// Everybody is silent and the last packets have arrived: whoever has said more than a listener heard is missed there.
    fn close(&mut self) -> Account {
        let now = clock();
        for place in 0..self.legs.len() {
            self.with(place, |thread, leg| {
                thread.settle(leg);
                thread.close_viewers(leg);
                let (shared, room) = (thread.shared.clone(), leg.room);
                let book = thread.account.book(leg.party);
                let missing = book.missing;
                // A talker who left, or a listener who has just come, cannot be settled to the packet.
                for stream in leg.streams.iter_mut().filter(|stream| shared.room_of(stream.speaker) == room) {
                    stream.forgive(shared.first_number(stream.speaker));
                    stream.close(shared.next_number(stream.speaker), book);
                }
                if leg.ready_at > 0 && leg.ready_at + SETTLED < now {
                    for (speaker, from) in std::mem::take(&mut leg.expected) {
                        let is_unheard = leg.streams.iter().all(|stream| stream.speaker != speaker);
                        if is_unheard && shared.room_of(speaker) == room {
                            let first = shared.first_number(speaker);
                            let from = if first.wrapping_sub(from) as i32 > 0 { first } else { from };
                            book.missing += u64::from(shared.next_number(speaker).wrapping_sub(from));
                        }
                    }
                }
                if leg.selects {
                    book.unselected += book.missing - missing;
                    book.missing = missing;
                }
            });
        }
        std::mem::take(&mut self.account)
    }
}
