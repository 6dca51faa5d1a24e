//! What all media threads and the run's conductor see: the stage, the window, who has said how much. Atomics only.

use super::library::Library;
use super::ports::Ports;
use crate::measure::book::Party;
use crate::measure::stream::Rules;
use crate::scenario::{Pattern, Speech};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

/// Nobody's room.
pub const NOWHERE: u32 = u32::MAX;

/// Nanoseconds since 1970: the clock of the kernel's receive times.
pub fn clock() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Who may talk now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    Silence = 0,
    /// Through the server, and the direct path beside it.
    Server = 1,
    Floor = 2,
}

impl Stage {
    fn of(party: Party) -> Self {
        match party {
            Party::Server | Party::Direct => Self::Server,
            Party::Floor => Self::Floor,
        }
    }
}

pub struct Shared {
    /// Random, in every stamp.
    pub run: u32,
    pub rules: Rules,
    pub library: Library,
    /// Nobody ever pauses: whoever waits for audio waits for the server, or for others who wait for it.
    pub is_continuous: bool,
    /// Between packets of comfort noise in a pause, in nanoseconds; 0 sends none.
    pub comfort: u64,
    /// The talk clocks' zero.
    pub epoch: u64,
    stage: AtomicU8,
    last_stage: AtomicU8,
    begin: AtomicU64,
    end: AtomicU64,
    speakers: Vec<Spoken>,
    pub ports: Ports,
    pub live: Live,
}

/// What the once-a-second sample reads.
#[derive(Default)]
pub struct Live {
    pub sent: AtomicU64,
    pub received: AtomicU64,
    pub sends: AtomicU64,
    pub late: AtomicU64,
    pub worst_delay: AtomicU64,
}

/// What a speaker has said so far.
struct Spoken {
    /// The next sequence number.
    next: AtomicU32,
    room: AtomicU32,
    /// The first number said since it came to that room: what it said elsewhere is not missed there.
    from: AtomicU32,
}

impl Shared {
    pub fn new(run: u32, rules: Rules, library: Library, speech: &Speech, speakers: usize) -> Self {
        let spoken = || Spoken { next: AtomicU32::new(0), room: AtomicU32::new(NOWHERE), from: AtomicU32::new(0) };
        Self {
            run,
            rules,
            library,
            is_continuous: speech.pattern == Pattern::Continuous,
            comfort: u64::from(speech.comfort_ms) * 1_000_000,
            epoch: clock(),
            stage: AtomicU8::new(Stage::Silence as u8),
            last_stage: AtomicU8::new(Stage::Silence as u8),
            begin: AtomicU64::new(u64::MAX),
            end: AtomicU64::new(u64::MAX),
            speakers: std::iter::repeat_with(spoken).take(speakers).collect(),
            ports: Ports::default(),
            live: Live::default(),
        }
    }

    pub fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
        if stage != Stage::Silence {
            self.last_stage.store(stage as u8, Relaxed);
        }
    }

    pub fn is_on(&self, party: Party) -> bool {
        self.stage.load(Relaxed) == Stage::of(party) as u8
    }

    /// Whether it was this party's turn before the silence, or is now.
    pub fn was_on(&self, party: Party) -> bool {
        self.last_stage.load(Relaxed) == Stage::of(party) as u8
    }

    /// Packets sent from now on count.
    pub fn open_window(&self) {
        self.end.store(u64::MAX, Relaxed);
        self.begin.store(clock(), Relaxed);
    }

    /// And from now on no more.
    pub fn shut_window(&self) {
        self.end.store(clock(), Relaxed);
    }

    pub fn counts(&self, sent: u64) -> bool {
        sent >= self.begin.load(Relaxed) && sent < self.end.load(Relaxed)
    }

    /// Begin and end of the window that is shut.
    pub fn window(&self) -> (u64, u64) {
        (self.begin.load(Relaxed), self.end.load(Relaxed))
    }

    /// The part of a time span that lies in the window.
    pub fn overlap(&self, from: u64, to: u64) -> u64 {
        to.min(self.end.load(Relaxed)).saturating_sub(from.max(self.begin.load(Relaxed)))
    }

    /// Counts one more packet of a speaker and gives its number.
    pub fn number(&self, speaker: u32) -> u32 {
        self.speakers[speaker as usize].next.fetch_add(1, Relaxed)
    }

    pub fn next_number(&self, speaker: u32) -> u32 {
        self.speakers[speaker as usize].next.load(Relaxed)
    }

    pub fn place(&self, speaker: u32, room: u32) {
        let spoken = &self.speakers[speaker as usize];
        if spoken.room.swap(room, Relaxed) != room {
            spoken.from.store(spoken.next.load(Relaxed), Relaxed);
        }
    }

    /// The first number that a speaker said since it came to its room.
    pub fn first_number(&self, speaker: u32) -> u32 {
        self.speakers[speaker as usize].from.load(Relaxed)
    }

    pub fn room_of(&self, speaker: u32) -> u32 {
        self.speakers[speaker as usize].room.load(Relaxed)
    }

    /// Everybody who talks in a room now, with their next numbers.
    pub fn talkers(&self, room: u32) -> impl Iterator<Item = (u32, u32)> {
        let here = self.speakers.iter().enumerate().filter(move |(_, spoken)| spoken.room.load(Relaxed) == room);
        here.map(|(speaker, spoken)| (speaker as u32, spoken.next.load(Relaxed)))
    }
}
