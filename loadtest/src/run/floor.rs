//! The floor and the direct path of a run, spoken to and heard by the same media threads as the server: what differs is only
//! what lies between.

use crate::bench::floor::{Ground, Group, Listener, SPEAKER_KEY};
use crate::callers::Command;
use crate::callers::camera::{Camera, Who};
use crate::callers::leg::{NewLeg, Start};
use crate::callers::mailbox;
use crate::callers::shared::clock;
use crate::cores::Cores;
use crate::crowd::Hall;
use crate::measure::book::Party;
use crate::plan::talk::{Clock, Talk};
use crate::plan::{Plan, Room};
use crate::random::SplitMix;
use crate::scenario::video::Video;
use crate::scenario::{Pattern, Scenario, Speech};
use crate::voice::Suite;
use crate::voice::cipher::Cipher;
use anyhow::Result;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use tokio::sync::mpsc;

/// Direct pairs per media thread: enough packets for a p99.9 within half a minute.
const DIRECT: usize = 4;
/// Rooms of the direct path and of the floor, beyond any room of a plan.
const DIRECT_ROOM: u32 = 1 << 24;
const FLOOR_ROOM: u32 = 1 << 25;
const SSRC: u32 = 1;

/// Numbers of speakers beyond the plan's people: one per direct pair and per publisher.
pub fn speakers(plan: &Plan, threads: usize) -> usize {
    DIRECT * threads + plan.rooms.iter().map(publishers).sum::<usize>()
}

/// Whom the floor forwards in a room: one speaker; with cameras, everyone who talks or films.
fn publishers(room: &Room) -> usize {
    if room.cameras.is_empty() { 1 } else { room.speakers.max(room.cameras.len()) }
}

/// Starts both: the direct path always, the floor where the scenario wants it. The floor has the plan's shape: the publishers
/// of each room, and everybody else of it as a native listener of each. A camera has one layer there, the one that is shown.
pub fn lay(scenario: &Scenario, hall: &Hall, cores: &Cores) -> Result<Option<Ground>> {
    let plan = &hall.plan;
    if plan.people.is_empty() {
        return Ok(None);
    }
    let mut legs = Legs { hall, next: plan.people.len() as u32, random: SplitMix::new(scenario.seed).fork(77) };
    for thread in 0..hall.callers.threads() {
        for nth in 0..DIRECT {
            let room = DIRECT_ROOM + (thread * DIRECT + nth) as u32;
            let (speaker, listener) = (bind()?, bind()?);
            speaker.connect(listener.local_addr()?)?;
            listener.connect(speaker.local_addr()?)?;
            // Both on one thread, as a caller's own send and receive are.
            legs.speaker(Some(thread), room, Party::Direct, speaker, (true, None));
            legs.listener(Some(thread), room, Party::Direct, listener, SPEAKER_KEY);
        }
    }
    if !scenario.floor {
        return Ok(None);
    }
    let ground = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = ground.local_addr()?;
    let mut groups = Vec::with_capacity(plan.rooms.len());
    for (room, nth) in plan.rooms.iter().flat_map(|room| (0..publishers(room)).map(move |nth| (room, nth))) {
        let place = FLOOR_ROOM + groups.len() as u32;
        let speaker = bind()?;
        speaker.connect(address)?;
        let from = speaker.local_addr()?;
        let films = nth < room.cameras.len();
        legs.speaker(None, place, Party::Floor, speaker, (nth < room.speakers || !films, scenario.video.filter(|_| films)));
        let mut listeners = Vec::with_capacity(room.people.len());
        for _ in 1..room.people.len() {
            let listener = bind()?;
            listener.connect(address)?;
            let secret: [u8; 32] = std::array::from_fn(|_| legs.random.word() as u8);
            listeners.push(Listener::new(listener.local_addr()?, &secret)?);
            legs.listener(None, place, Party::Floor, listener, secret);
        }
        groups.push(Group::new(from, listeners));
    }
    Ok(Some(Ground::start(ground, groups, &cores.server)?))
}

fn bind() -> Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    mailbox::prepare(&socket)?;
    Ok(socket)
}

struct Legs<'a> {
    hall: &'a Hall,
    next: u32,
    random: SplitMix,
}

impl Legs<'_> {
    /// Who talks, or films, or both.
    fn speaker(&mut self, thread: Option<usize>, room: u32, party: Party, socket: UdpSocket, does: (bool, Option<Video>)) {
        let speech = Speech { pattern: Pattern::Continuous, ..Speech::default() };
        let (talks, films) = does;
        let talk = talks.then(|| Talk::new(&speech, 0, 1, 0).clock());
        let (person, seed) = (self.next, self.random.word());
        self.next += 1;
        let who = Who { run: self.hall.callers.shared.run, speaker: person, room, seed };
        let camera = films.map(|video| Box::new(Camera::new(&video, &who, Some(video.shown()), clock())));
        let id = self.leg(thread, (person, room, party), socket, SPEAKER_KEY, (talk, camera));
        self.tell(thread, id, Command::Mouth { leg: id, is_open: true });
    }

    fn listener(&mut self, thread: Option<usize>, room: u32, party: Party, socket: UdpSocket, secret: [u8; 32]) {
        self.leg(thread, (u32::MAX, room, party), socket, secret, (None, None));
    }

    fn leg(
        &mut self,
        thread: Option<usize>,
        (person, room, party): (u32, u32, Party),
        socket: UdpSocket,
        secret: [u8; 32],
        (talk, camera): (Option<Clock>, Option<Box<Camera>>),
    ) -> u64 {
        let id = self.hall.callers.next_leg();
        // Nobody waits for these legs' events.
        let (events, _) = mpsc::unbounded_channel();
        let new = NewLeg {
            id,
            person,
            room,
            party,
            socket,
            start: Start::Keyed { cipher: Box::new(Cipher::new(Suite::Aes256Gcm, secret)), ssrc: SSRC },
            network: None,
            wished_at: 0,
            is_return: false,
            selects: false,
            decodes: false,
            talk,
            camera,
            viewers: Vec::new(),
            is_shifted: false,
            seed: self.random.word(),
            roster: None,
            events,
        };
        self.tell(thread, id, Command::Adopt(Box::new(new)));
        id
    }

    fn tell(&self, thread: Option<usize>, leg: u64, command: Command) {
        match thread {
            Some(thread) => self.hall.callers.tell_thread(thread, command),
            None => self.hall.callers.tell(leg, command),
        }
    }
}
