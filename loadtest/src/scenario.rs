//! A scenario: who is in which rooms, how they talk, over which networks, what happens to them, and what must hold. One TOML
//! file; `loadtest/scenarios/README.md` describes every key. Unknown keys and impossible values are refused with a sentence.

pub mod objective;
pub mod shipped;
pub mod video;

use crate::net::{Profile, presets};
use objective::Objective;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use video::{Shift, Video};

/// Participants of a run, all rooms together: each needs an account, two sockets and two WebSockets here.
const MOST_PEOPLE: usize = 5_000;
/// Rooms are channels of a few guilds.
const MOST_ROOMS: usize = 1_000;
/// A day: the longest soak.
const LONGEST_SECONDS: f64 = 86_400.0;

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// One sentence, shown by `scenarios`.
    pub about: String,
    /// The same seed makes the same plan: rooms, talk, networks, churn.
    pub seed: u64,
    pub time: Time,
    pub server: Server,
    pub rooms: Vec<Rooms>,
    pub speech: Speech,
    pub video: Option<Video>,
    pub join: Join,
    pub churn: Churn,
    pub storms: Vec<Storm>,
    pub shifts: Vec<Shift>,
    /// Networks of this scenario's own, beside the presets.
    pub networks: BTreeMap<String, Network>,
    pub text: Option<Text>,
    /// The bare forwarder in the same run, in turns with the server.
    pub floor: bool,
    pub measure: Measure,
    /// Figure → what must hold, as in `"delay.added_p99_ms" = "<= 3"`.
    pub objectives: BTreeMap<String, Objective>,
    pub capacity: Option<Capacity>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            about: String::new(),
            seed: 1,
            time: Time::default(),
            server: Server::default(),
            rooms: Vec::new(),
            speech: Speech::default(),
            video: None,
            join: Join::default(),
            churn: Churn::default(),
            storms: Vec::new(),
            shifts: Vec::new(),
            networks: BTreeMap::new(),
            text: None,
            floor: false,
            measure: Measure::default(),
            objectives: BTreeMap::new(),
            capacity: None,
        }
    }
}

/// Seconds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// Talk before the first window, so that caches and batches are in their steady state.
    pub warm_up: f64,
    /// Each measured window.
    pub measure: f64,
    /// Windows; the median counts where rounds are compared.
    pub rounds: u32,
}

impl Default for Time {
    fn default() -> Self {
        Self { warm_up: 2.0, measure: 10.0, rounds: 1 }
    }
}

/// The private server, where the run starts one.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    pub media_workers: u32,
    /// People of one room on one worker before more of them sit on others; without it, the server's own.
    pub room_share: Option<u32>,
}

impl Default for Server {
    fn default() -> Self {
        Self { media_workers: 1, room_share: None }
    }
}

/// Rooms of one kind.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rooms {
    pub count: usize,
    /// People in each.
    pub size: usize,
    /// Instead of `count` and `size`: sizes as communities have them.
    pub zipf: Option<Zipf>,
    /// People of each room who ever talk; without it, the part `speech.talkers` of them, at least one.
    pub speakers: Option<usize>,
    /// Part of the listeners that come by WebRTC; the others are native.
    pub webrtc: f64,
    /// The same for those who talk; without it, as the listeners.
    pub speakers_webrtc: Option<f64>,
    /// Part of the native ones that use XChaCha20-Poly1305 instead of AES-256-GCM.
    pub xchacha: f64,
    /// Network name → part of the people; what is missing to 1 has a perfect one.
    pub network: BTreeMap<String, f64>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            count: 1,
            size: 0,
            zipf: None,
            speakers: None,
            webrtc: 0.0,
            speakers_webrtc: None,
            xchacha: 0.0,
            network: BTreeMap::new(),
        }
    }
}

/// Room `n` is in proportion to `n^-exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Zipf {
    /// Of all rooms together.
    pub people: usize,
    pub exponent: f64,
    /// No room is larger.
    pub largest: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Talk spurts and pauses, each talker by itself.
    Conversation,
    /// Without a pause.
    Continuous,
    /// A room's talkers one after another.
    Turns,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Speech {
    pub pattern: Pattern,
    /// Part of a room's people who ever talk.
    pub talkers: f64,
    /// Mean length of a spurt, or the length of a turn.
    pub spurt_s: f64,
    /// Mean length of a pause.
    pub pause_s: f64,
    /// In `turns`: how long the last speaker goes on when the next begins.
    pub overlap_s: f64,
    /// 20, 40 or 60: longer frames scale packet rates down.
    pub packet_ms: u32,
    /// In a pause a packet of comfort noise is sent this often, as browsers do with DTX; 0 sends nothing, as bots do.
    pub comfort_ms: u32,
    /// Of the Opus encoder.
    pub bitrate_bps: u32,
}

impl Default for Speech {
    fn default() -> Self {
        Self {
            pattern: Pattern::Conversation,
            talkers: 0.15,
            spurt_s: 4.0,
            pause_s: 4.0,
            overlap_s: 0.0,
            packet_ms: 20,
            comfort_ms: 0,
            bitrate_bps: 32_000,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Join {
    /// Voice joins in flight at once during the set-up.
    pub at_once: usize,
    /// Seconds over which the set-up's joins are spread; 0 is as fast as `at_once` allows.
    pub within_s: f64,
}

impl Default for Join {
    fn default() -> Self {
        Self { at_once: 16, within_s: 0.0 }
    }
}

/// What happens to people during the window, each as a rate per minute and hundred people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Churn {
    /// Leaves and comes back a few seconds later.
    pub leaves: f64,
    /// To another room of the guild.
    pub moves: f64,
    /// Mutes itself for some seconds.
    pub self_mutes: f64,
    /// Is muted by the guild's owner for some seconds; not a packet may pass.
    pub server_mutes: f64,
    /// Loses the voice WebSocket and resumes it; media goes on.
    pub resumes: f64,
    /// Loses everything and joins anew.
    pub reconnects: f64,
    /// A new source port, as after a NAT's timeout.
    pub rebinds: f64,
    /// An outage of `outage_s`.
    pub outages: f64,
    pub outage_s: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StormKind {
    /// People who were not there come.
    Join,
    /// Everybody loses everything and comes back.
    Reconnect,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Storm {
    pub kind: StormKind,
    /// Seconds after the window's begin.
    pub at_s: f64,
    /// Part of all people.
    pub people: f64,
    /// Seconds over which they come.
    pub within_s: f64,
}

/// A network of the scenario's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    pub up: Profile,
    pub down: Profile,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Text {
    pub channels: usize,
    /// Messages per second, all senders together, at moments that do not depend on the answers.
    pub messages_per_s: f64,
    /// Accounts that send in turn.
    pub senders: usize,
    /// Sessions that hear every message and check order, duplicates and loss.
    pub readers: usize,
    /// Sessions that are only there.
    pub idle: usize,
    pub typing_per_s: f64,
    /// Pages of 50 read back.
    pub pages_per_s: f64,
    /// Readers that lose their connection and resume.
    pub resumes_per_s: f64,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            channels: 4,
            messages_per_s: 100.0,
            senders: 16,
            readers: 4,
            idle: 0,
            typing_per_s: 0.0,
            pages_per_s: 0.0,
            resumes_per_s: 0.0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Measure {
    /// A silence within a talk spurt counts as a gap from this length on: what a jitter buffer hides is none.
    pub gap_ms: f64,
    /// Listeners whose stream is decoded and judged.
    pub decoded_listeners: usize,
    /// The share of late sends (by more than 5 ms) from which the generator does not trust itself.
    pub most_late: f64,
    /// Memory is read with everybody connected and silent, too.
    pub memory: bool,
}

impl Default for Measure {
    fn default() -> Self {
        Self { gap_ms: 60.0, decoded_listeners: 2, most_late: 0.01, memory: false }
    }
}

/// How `capacity` raises the load: the value of one key, step by step.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// As in `--set`: `rooms.0.size`.
    pub key: String,
    pub from: f64,
    pub to: f64,
    /// Each step is this much more.
    pub factor: f64,
    /// After the first broken step, halves the interval this often.
    #[serde(default)]
    pub refine: u32,
}

/// Why a scenario is refused: a sentence that names the file and the key.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error(
        "there is no scenario {0:?}, neither among the shipped ones (`guildhall-loadtest scenarios` lists them) nor as a file"
    )]
    Unknown(String),
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    #[error("{0}: {1}")]
    Toml(String, Box<toml::de::Error>),
    #[error("--set {0}: {1}")]
    Set(String, String),
    #[error("{0}: {1}")]
    Fault(String, String),
}

impl Scenario {
    /// A shipped scenario by name or any by file, with `key=value` settings on top.
    pub fn load(name: &str, settings: &[String]) -> Result<Self, ScenarioError> {
        match shipped::find(name) {
            Some(text) => Self::parse(name, text, settings),
            None if name.ends_with(".toml") || Path::new(name).exists() => {
                let text = std::fs::read_to_string(name).map_err(|error| ScenarioError::Io(name.to_owned(), error))?;
                Self::parse(name, &text, settings)
            }
            None => Err(ScenarioError::Unknown(name.to_owned())),
        }
    }

    /// From the text of a file called `name`.
    pub fn parse(name: &str, text: &str, settings: &[String]) -> Result<Self, ScenarioError> {
        let wrong = |error| ScenarioError::Toml(name.to_owned(), Box::new(error));
        // The file alone first, so that its mistakes are reported with line and column.
        let plain: Self = toml::from_str(text).map_err(wrong)?;
        let scenario = match settings {
            [] => plain,
            settings => {
                let mut table: toml::Table = toml::from_str(text).map_err(wrong)?;
                for setting in settings {
                    set(&mut table, setting)?;
                }
                table.try_into().map_err(wrong)?
            }
        };
        scenario.judged(name)
    }

    /// The same scenario with one number changed.
    pub fn with(&self, key: &str, value: f64) -> Result<Self, ScenarioError> {
        let refuse = |error: &dyn std::fmt::Display| ScenarioError::Set(key.to_owned(), error.to_string());
        let mut table = toml::Table::try_from(self).map_err(|error| refuse(&error))?;
        let number = if value.fract() == 0.0 { format!("{}", value as i64) } else { format!("{value}") };
        set(&mut table, &format!("{key}={number}"))?;
        table.try_into::<Self>().map_err(|error| refuse(&error))?.judged(key)
    }

    fn judged(self, name: &str) -> Result<Self, ScenarioError> {
        match self.fault() {
            Some(fault) => Err(ScenarioError::Fault(name.to_owned(), fault)),
            None => Ok(self),
        }
    }

    /// Both directions of a network by name: the scenario's own first, then the presets.
    pub fn network(&self, name: &str) -> Option<(Profile, Profile)> {
        self.networks.get(name).map(|network| (network.up, network.down)).or_else(|| presets::preset(name))
    }

    /// Seconds of a whole window sequence, for progress bars.
    pub fn seconds(&self) -> f64 {
        let parts = if self.floor { 2.0 } else { 1.0 };
        (self.time.warm_up + self.time.measure) * f64::from(self.time.rounds) * parts
    }

    /// What makes no sense, as a sentence.
    fn fault(&self) -> Option<String> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let mut people = 0;
        let mut count = 0;
        for (at, rooms) in self.rooms.iter().enumerate() {
            let at = format!("rooms.{at}");
            match rooms.zipf {
                Some(zipf) if zipf.people == 0 || zipf.largest == 0 || !(0.0..=4.0).contains(&zipf.exponent) => {
                    return Some(format!("{at}.zipf wants people, a largest room, and an exponent from 0 to 4"));
                }
                Some(zipf) => (people, count) = (people + zipf.people, count + zipf.people),
                None if rooms.size == 0 || rooms.count == 0 => return Some(format!("{at} wants a size and a count")),
                None => (people, count) = (people + rooms.size * rooms.count, count + rooms.count),
            }
            if !share(rooms.webrtc) || !share(rooms.xchacha) || !share(rooms.speakers_webrtc.unwrap_or(0.0)) {
                return Some(format!("{at}: webrtc, speakers_webrtc and xchacha are parts between 0 and 1"));
            }
            if rooms.speakers.is_some_and(|speakers| rooms.zipf.is_none() && speakers > rooms.size) {
                return Some(format!("{at}.speakers is larger than the room"));
            }
            if rooms.network.values().any(|part| !share(*part)) || rooms.network.values().sum::<f64>() > 1.000_001 {
                return Some(format!("{at}.network: the parts are between 0 and 1 and no more than 1 together"));
            }
            if let Some(unknown) = rooms.network.keys().find(|name| self.network(name).is_none()) {
                let known: Vec<&str> = presets::PRESETS.iter().map(|(name, ..)| *name).collect();
                return Some(format!("{at}.network: {unknown:?} is neither in [networks] nor one of {}", known.join(", ")));
            }
        }
        if people > MOST_PEOPLE || (count > MOST_ROOMS && self.rooms.iter().all(|rooms| rooms.zipf.is_none())) {
            return Some(format!("no more than {MOST_PEOPLE} people and {MOST_ROOMS} rooms in one run"));
        }
        if self.rooms.is_empty() && self.text.is_none() {
            return Some("there is nothing to do: it has neither [[rooms]] nor [text]".to_owned());
        }
        for (name, network) in &self.networks {
            if let Some(fault) = network.up.fault().or_else(|| network.down.fault()) {
                return Some(format!("networks.{name}: {fault}"));
            }
        }
        let Time { warm_up, measure, rounds } = self.time;
        if !(0.0..=LONGEST_SECONDS).contains(&warm_up)
            || !(0.1..=LONGEST_SECONDS).contains(&measure)
            || !(1..=50).contains(&rounds)
        {
            return Some(format!("time: warm_up and measure are seconds up to {LONGEST_SECONDS}, rounds 1 to 50"));
        }
        let speech = &self.speech;
        if ![20, 40, 60].contains(&speech.packet_ms) {
            return Some("speech.packet_ms is 20, 40 or 60".to_owned());
        }
        if !share(speech.talkers) || [speech.spurt_s, speech.pause_s].iter().any(|value| !(0.1..=3600.0).contains(value)) {
            return Some("speech: talkers is a part between 0 and 1, spurt_s and pause_s are 0.1 to 3600 seconds".to_owned());
        }
        if !(0.0..=60.0).contains(&speech.overlap_s)
            || !(6_000..=128_000).contains(&speech.bitrate_bps)
            || speech.comfort_ms > 10_000
        {
            return Some("speech: overlap_s is up to 60, bitrate_bps 6000 to 128000, comfort_ms up to 10000".to_owned());
        }
        if !(1..=256).contains(&self.join.at_once) || !(0.0..=3600.0).contains(&self.join.within_s) {
            return Some("join: at_once is 1 to 256, within_s up to 3600".to_owned());
        }
        if !(1..=1).contains(&rounds) && (!self.storms.is_empty() || self.churn != Churn::default()) {
            return Some("churn and storms happen in one window: time.rounds must be 1 with them".to_owned());
        }
        if let Some(fault) = self.video.as_ref().and_then(Video::fault) {
            return Some(fault);
        }
        if self.video.is_some() && self.churn.moves > 0.0 {
            return Some("who shows whose camera is planned by room: video goes without churn.moves".to_owned());
        }
        if let Some(shift) =
            self.shifts.iter().find(|shift| !(0.0..=measure).contains(&shift.at_s) || self.network(&shift.network).is_none())
        {
            return Some(format!("shifts: at_s lies in the window, network is in [networks] or a preset: {shift:?}"));
        }
        if rounds > 1 && !self.shifts.is_empty() {
            return Some("shifts happen in one window: time.rounds must be 1 with them".to_owned());
        }
        if self.floor && (!self.storms.is_empty() || self.churn != Churn::default()) {
            return Some("the floor forwards without joins and leaves: it goes with neither churn nor storms".to_owned());
        }
        if let Some(storm) = self.storms.iter().find(|storm| !share(storm.people) || !(0.0..=measure).contains(&storm.at_s)) {
            return Some(format!("storms: people is a part between 0 and 1, at_s lies in the window: {storm:?}"));
        }
        if let Some(text) = &self.text
            && (text.channels == 0 || text.senders == 0 || !(0.0..=20_000.0).contains(&text.messages_per_s))
        {
            return Some("text wants channels, senders, and up to 20000 messages_per_s".to_owned());
        }
        if let Some(Capacity { from, to, factor, .. }) = &self.capacity
            && (*from <= 0.0 || to < from || *factor <= 1.0)
        {
            return Some("capacity wants from > 0, to >= from and factor > 1".to_owned());
        }
        self.objectives.keys().find_map(|name| objective::unknown(name))
    }
}

/// `rooms.0.size=50` into a table; the value is TOML, or else text.
fn set(table: &mut toml::Table, setting: &str) -> Result<(), ScenarioError> {
    let refuse = |why: &str| ScenarioError::Set(setting.to_owned(), why.to_owned());
    let (key, value) = setting.split_once('=').ok_or_else(|| refuse("it wants the form key=value"))?;
    let parsed: Result<toml::Table, _> = toml::from_str(&format!("value = {value}"));
    let value = match parsed {
        Ok(mut parsed) => parsed.remove("value").ok_or_else(|| refuse("it has no value"))?,
        Err(_) => toml::Value::String(value.to_owned()),
    };
    let (path, last) = match key.rsplit_once('.') {
        Some((path, last)) => (path.split('.').collect(), last),
        None => (Vec::new(), key),
    };
    let mut inner = table;
    let mut path = path.into_iter().peekable();
    while let Some(name) = path.next() {
        let next = inner.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        inner = match next {
            toml::Value::Table(table) => table,
            toml::Value::Array(items) => {
                let index = path.next().and_then(|index| index.parse::<usize>().ok());
                let index =
                    index.ok_or_else(|| refuse(&format!("`{name}` is a list: the place follows, as in {name}.0.size")))?;
                let item = items.get_mut(index).ok_or_else(|| refuse(&format!("`{name}` has no place {index}")))?;
                item.as_table_mut().ok_or_else(|| refuse("the place holds no table"))?
            }
            _ => return Err(refuse(&format!("`{name}` is a plain value"))),
        };
    }
    inner.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests;
