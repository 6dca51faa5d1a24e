//! What a scenario comes to, decided before anything starts: who is in which room, by which transport and network, who talks,
//! and what happens to whom when. A pure function of the scenario: the same seed gives the same plan.

pub mod talk;

use crate::net::Profile;
use crate::random::SplitMix;
use crate::scenario::{Churn, Rooms, Scenario, Storm, StormKind, Zipf};
use crate::voice::{Suite, Transport};
use std::time::Duration;
use talk::Talk;

/// Rooms are packed into guilds of about this many people: what a guild tells its members about each other's voice states
/// grows with the square of it.
const GUILD_PEOPLE: usize = 100;
/// Churn happens to the same person no more often than this.
const REST: f64 = 3.0;
/// A mute, or the time between leaving and coming back: uniform between these seconds.
const ABSENCE: (f64, f64) = (1.0, 4.0);

/// Purposes of the seed's forks, so that one more room does not change who loses packets.
mod purpose {
    pub const SIZES: u64 = 1;
    pub const PEOPLE: u64 = 2;
    pub const CHURN: u64 = 3;
    pub const STORMS: u64 = 4;
    pub const PERSON: u64 = 1 << 32;
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub rooms: Vec<Room>,
    pub people: Vec<Person>,
    /// In order of time.
    pub actions: Vec<Action>,
    /// Networks that come later, up and down.
    pub networks: Vec<(Profile, Profile)>,
    pub guilds: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    pub guild: usize,
    /// Indices into `people`.
    pub people: Vec<usize>,
    pub speakers: usize,
    /// Those of `people` who show a camera, in their order.
    pub cameras: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Where they begin.
    pub room: usize,
    pub transport: Transport,
    /// Up and down; `None` is a perfect network, which costs nothing.
    pub network: Option<(Profile, Profile)>,
    /// `None` only listens.
    pub talk: Option<Talk>,
    /// Of everything random about this person.
    pub seed: u64,
    /// Comes in a join storm, not with the set-up.
    pub is_late: bool,
}

/// Something that happens to a person, counted from the window's begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Action {
    pub at: Duration,
    pub person: usize,
    pub deed: Deed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Join,
    Leave,
    /// To a room.
    Move(usize),
    SelfMute(bool),
    ServerMute(bool),
    /// The voice WebSocket breaks and is resumed.
    Resume,
    /// Everything breaks; comes back after so long.
    Reconnect(Duration),
    Rebind,
    Outage(Duration),
    /// Another network, of [`Plan::networks`].
    Shift(usize),
}

impl Plan {
    pub fn of(scenario: &Scenario) -> Self {
        let root = SplitMix::new(scenario.seed);
        let networks = scenario.shifts.iter().filter_map(|shift| scenario.network(&shift.network)).collect();
        let mut plan = Self { rooms: Vec::new(), people: Vec::new(), actions: Vec::new(), networks, guilds: 0 };
        let mut in_guild = GUILD_PEOPLE;
        for (kind, rooms) in scenario.rooms.iter().enumerate() {
            for size in sizes(rooms, &mut root.fork(purpose::SIZES + ((kind as u64) << 8))) {
                if in_guild + size > GUILD_PEOPLE {
                    (plan.guilds, in_guild) = (plan.guilds + 1, 0);
                }
                in_guild += size;
                let mut random = root.fork(purpose::PEOPLE).fork(plan.rooms.len() as u64);
                plan.room(scenario, rooms, size, &mut random);
            }
        }
        plan.storms(scenario, &mut root.fork(purpose::STORMS));
        plan.shifts(scenario);
        plan.churn(&scenario.churn, scenario.time.measure, &mut root.fork(purpose::CHURN));
        plan.actions.sort_by_key(|action| action.at);
        plan
    }

    fn room(&mut self, scenario: &Scenario, rooms: &Rooms, size: usize, random: &mut SplitMix) {
        let talkers = ((size as f64 * scenario.speech.talkers).round() as usize).max(1);
        let speakers = rooms.speakers.unwrap_or(talkers).min(size);
        let place = self.rooms.len();
        let listeners_webrtc = spread(size - speakers, rooms.webrtc);
        let speakers_webrtc = spread(speakers, rooms.speakers_webrtc.unwrap_or(rooms.webrtc));
        let mut networks = networks(scenario, rooms, size);
        random.shuffle(&mut networks);
        let first = self.people.len();
        for (at, is_webrtc) in speakers_webrtc.into_iter().chain(listeners_webrtc).enumerate() {
            let seed = random.fork(purpose::PERSON + at as u64).word();
            let mut of_person = SplitMix::new(seed);
            let suite = if of_person.is_hit(rooms.xchacha) { Suite::XChaCha20Poly1305 } else { Suite::Aes256Gcm };
            let transport = if is_webrtc { Transport::WebRtc } else { Transport::Native(suite) };
            let talk = (at < speakers).then(|| Talk::new(&scenario.speech, at, speakers, seed));
            self.people.push(Person { room: place, transport, network: networks[at], talk, seed, is_late: false });
        }
        let people: Vec<usize> = (first..self.people.len()).collect();
        let cameras = scenario.video.map_or(0, |video| video.cameras);
        let films = |person: &usize| self.people[*person].transport == Transport::WebRtc;
        let cameras = people.iter().copied().filter(films).take(cameras).collect();
        self.rooms.push(Room { guild: self.guilds - 1, people, speakers, cameras });
    }

    /// The cameras that a person shows when it is in a room, none of them its own.
    pub fn shown_to(&self, person: usize, room: usize, slots: usize) -> impl Iterator<Item = usize> {
        let is_webrtc = self.people[person].transport == Transport::WebRtc;
        let others = self.rooms[room].cameras.iter().copied().filter(move |camera| is_webrtc && *camera != person);
        others.take(slots)
    }

    fn shifts(&mut self, scenario: &Scenario) {
        for (network, shift) in scenario.shifts.iter().enumerate() {
            let at = Duration::from_secs_f64(shift.at_s);
            let whose = self.rooms.iter().filter_map(|room| room.people.get(shift.person));
            self.actions.extend(whose.map(|person| Action { at, person: *person, deed: Deed::Shift(network) }));
        }
    }

    /// Whether a person's network changes in this plan.
    pub fn is_shifted(&self, person: usize) -> bool {
        self.actions.iter().any(|action| action.person == person && matches!(action.deed, Deed::Shift(_)))
    }

    fn storms(&mut self, scenario: &Scenario, random: &mut SplitMix) {
        for storm in &scenario.storms {
            let mut people: Vec<usize> = (0..self.people.len()).collect();
            if storm.kind == StormKind::Join {
                // Speakers are there before: somebody must be heard.
                people.retain(|person| self.people[*person].talk.is_none() && !self.people[*person].is_late);
            }
            random.shuffle(&mut people);
            people.truncate((storm.people * self.people.len() as f64).round() as usize);
            for person in people {
                self.people[person].is_late |= storm.kind == StormKind::Join;
                self.actions.push(stormed(storm, person, random));
            }
        }
    }

    fn churn(&mut self, churn: &Churn, seconds: f64, random: &mut SplitMix) {
        let outage = Duration::from_secs_f64(churn.outage_s.clamp(0.0, seconds));
        let kinds = [
            (churn.leaves, Kind::Leave),
            (churn.moves, Kind::Move),
            (churn.self_mutes, Kind::SelfMute),
            (churn.server_mutes, Kind::ServerMute),
            (churn.resumes, Kind::Resume),
            (churn.reconnects, Kind::Reconnect),
            (churn.rebinds, Kind::Rebind),
            (churn.outages, Kind::Outage),
        ];
        let people = self.people.len();
        // One list of moments for all kinds, in order, so that nobody is hit while still busy with the last blow.
        let mut moments = Vec::new();
        for (rate, kind) in kinds {
            let per_second = rate / 60.0 * people as f64 / 100.0;
            let mut at = if per_second > 0.0 { random.exponential(1.0 / per_second) } else { f64::MAX };
            while at < seconds {
                moments.push((at, kind));
                at += random.exponential(1.0 / per_second);
            }
        }
        moments.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free_at = vec![0.0; people];
        let mut rooms: Vec<usize> = self.people.iter().map(|person| person.room).collect();
        for (at, kind) in moments {
            let person = random.below(people);
            let (low, high) = ABSENCE;
            let absence = low + (high - low) * random.unit();
            if free_at[person] > at || self.people[person].is_late {
                continue;
            }
            let mut push = |at: f64, deed| self.actions.push(Action { at: Duration::from_secs_f64(at), person, deed });
            match kind {
                Kind::Leave => {
                    push(at, Deed::Leave);
                    push(at + absence, Deed::Join);
                }
                Kind::Move => {
                    let guild = self.rooms[rooms[person]].guild;
                    let others: Vec<usize> =
                        (0..self.rooms.len()).filter(|room| self.rooms[*room].guild == guild && *room != rooms[person]).collect();
                    // A guild of one room has nowhere to go.
                    if let Some(room) = others.get(random.below(others.len())) {
                        rooms[person] = *room;
                        push(at, Deed::Move(*room));
                    }
                }
                Kind::SelfMute => {
                    push(at, Deed::SelfMute(true));
                    push(at + absence, Deed::SelfMute(false));
                }
                Kind::ServerMute => {
                    push(at, Deed::ServerMute(true));
                    push(at + absence, Deed::ServerMute(false));
                }
                Kind::Resume => push(at, Deed::Resume),
                Kind::Reconnect => push(at, Deed::Reconnect(Duration::from_secs_f64(absence))),
                Kind::Rebind => push(at, Deed::Rebind),
                Kind::Outage => push(at, Deed::Outage(outage)),
            }
            free_at[person] = at + absence + REST;
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Leave,
    Move,
    SelfMute,
    ServerMute,
    Resume,
    Reconnect,
    Rebind,
    Outage,
}

fn stormed(storm: &Storm, person: usize, random: &mut SplitMix) -> Action {
    let later = random.unit() * storm.within_s.max(0.0);
    let (at, deed) = match storm.kind {
        StormKind::Join => (storm.at_s + later, Deed::Join),
        // All fall at once; clients come back at moments of their own.
        StormKind::Reconnect => (storm.at_s, Deed::Reconnect(Duration::from_secs_f64(later))),
    };
    Action { at: Duration::from_secs_f64(at), person, deed }
}

fn sizes(rooms: &Rooms, random: &mut SplitMix) -> Vec<usize> {
    let Some(Zipf { people, exponent, largest }) = rooms.zipf else { return vec![rooms.size; rooms.count] };
    let (mut sizes, mut left) = (Vec::new(), people);
    for place in 1.. {
        if left == 0 {
            break;
        }
        // Nobody talks alone: the last room takes what would be a room of one.
        let size = ((largest as f64 * f64::from(place).powf(-exponent)).round() as usize).clamp(2, left.max(2));
        let size = if left - size.min(left) == 1 { left } else { size.min(left) };
        sizes.push(size);
        left -= size;
    }
    random.shuffle(&mut sizes);
    sizes
}

/// `part` of `count` places, evenly spread.
fn spread(count: usize, part: f64) -> Vec<bool> {
    let reached = |at: usize| (at as f64 * part + 1e-9).floor();
    (0..count).map(|at| reached(at + 1) > reached(at)).collect()
}

fn networks(scenario: &Scenario, rooms: &Rooms, size: usize) -> Vec<Option<(Profile, Profile)>> {
    let mut networks = Vec::with_capacity(size);
    let mut share = 0.0;
    for (name, part) in &rooms.network {
        share += part;
        let network = scenario.network(name).filter(|(up, down)| !up.is_perfect() || !down.is_perfect());
        networks.resize((share * size as f64).round() as usize, network);
    }
    networks.resize(size, None);
    networks
}

#[cfg(test)]
mod tests;
