//! What the tests proved about other people's clients, and the README's matrix made of it.
//!
//! A test that drives a client begins with [`Report::of`], which forgets what an earlier run of it proved, and ends with
//! [`Report::proves`], which only a test that passed reaches. Each leaves one file in `target/compatibility`. When all of
//! [`RUNS`] are there, the test binary `matrix` makes the table of them and compares it with the README's.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{build_dir, repository};

/// A row of the matrix, in its order there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Feature {
    Login,
    Members,
    Messages,
    Presence,
    Resume,
    Administration,
    Moderation,
    AuditLog,
    Reactions,
    Collectors,
    Pins,
    Files,
    Webhooks,
    Threads,
    Commands,
    Components,
    DirectMessages,
    Search,
    VoiceUp,
    VoiceDown,
    VoiceCut,
}

impl Feature {
    const ALL: [Feature; 21] = [
        Self::Login,
        Self::Members,
        Self::Messages,
        Self::Presence,
        Self::Resume,
        Self::Administration,
        Self::Moderation,
        Self::AuditLog,
        Self::Reactions,
        Self::Collectors,
        Self::Pins,
        Self::Files,
        Self::Webhooks,
        Self::Threads,
        Self::Commands,
        Self::Components,
        Self::DirectMessages,
        Self::Search,
        Self::VoiceUp,
        Self::VoiceDown,
        Self::VoiceCut,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Login => "log-in, guilds and caches",
            Self::Members => "member chunks",
            Self::Messages => "messages: send, answer, edit, delete, history",
            Self::Presence => "presence",
            Self::Resume => "resume after a cut",
            Self::Administration => "channels, overwrites, roles, invites",
            Self::Moderation => "kick, ban, timeout, purge",
            Self::AuditLog => "audit log with reasons",
            Self::Reactions => "reactions",
            Self::Collectors => "collectors, waiting for an answer",
            Self::Pins => "pins",
            Self::Files => "files and embeds",
            Self::Webhooks => "webhooks",
            Self::Threads => "threads",
            Self::Commands => "application commands",
            Self::Components => "buttons, menus, modals",
            Self::DirectMessages => "direct messages",
            Self::Search => "search",
            Self::VoiceUp => "voice up",
            Self::VoiceDown => "voice down",
            Self::VoiceCut => "voice after a cut",
        }
    }
}

/// A column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Client {
    DiscordJs,
    DiscordPy,
    Hikari,
    Twilight,
    Page,
}

impl Client {
    const ALL: [Client; 5] = [Self::DiscordJs, Self::DiscordPy, Self::Hikari, Self::Twilight, Self::Page];

    /// Its name and the exact versions that the repository pins.
    fn title(self) -> String {
        match self {
            Self::DiscordJs => format!("discord.js {}, @discordjs/voice {}", node("discord.js"), node("@discordjs/voice")),
            Self::DiscordPy => format!("discord.py {}, davey {}", python("discord.py[voice]"), python("davey")),
            Self::Hikari => format!("hikari {}", python("hikari")),
            Self::Twilight => format!("twilight {}", cargo("twilight-gateway")),
            Self::Page => "Chromium (Debian), our page".to_owned(),
        }
    }
}

/// Every test that reports. A complete run has all of them.
pub const RUNS: &[(Client, &str)] = &[
    (Client::DiscordJs, "caches"),
    (Client::DiscordJs, "guild"),
    (Client::DiscordJs, "presence"),
    (Client::DiscordJs, "text"),
    (Client::DiscordJs, "community"),
    (Client::DiscordJs, "commands"),
    (Client::DiscordJs, "direct messages"),
    (Client::DiscordJs, "resume"),
    (Client::DiscordJs, "voice up"),
    (Client::DiscordJs, "voice down"),
    (Client::DiscordJs, "voice cut"),
    (Client::DiscordPy, "caches"),
    (Client::DiscordPy, "guild"),
    (Client::DiscordPy, "presence"),
    (Client::DiscordPy, "text"),
    (Client::DiscordPy, "community"),
    (Client::DiscordPy, "moderation"),
    (Client::DiscordPy, "commands"),
    (Client::DiscordPy, "direct messages"),
    (Client::DiscordPy, "resume"),
    (Client::DiscordPy, "voice up"),
    (Client::DiscordPy, "voice cut"),
    (Client::Hikari, "caches"),
    (Client::Hikari, "guild"),
    (Client::Hikari, "presence"),
    (Client::Hikari, "text"),
    (Client::Hikari, "community"),
    (Client::Hikari, "commands"),
    (Client::Hikari, "direct messages"),
    (Client::Hikari, "resume"),
    (Client::Twilight, "community"),
    (Client::Twilight, "guild"),
    (Client::Twilight, "commands"),
    (Client::Twilight, "resume"),
    (Client::Page, "talk"),
    (Client::Page, "cut"),
];

/// What one test says about one client.
#[derive(Serialize, Deserialize)]
pub struct Report {
    client: Client,
    run: String,
    title: String,
    /// What the cell says: "yes", or how.
    features: BTreeMap<Feature, String>,
}

impl Report {
    /// The first line of a test: what an earlier run of it proved counts no more.
    pub fn of(client: Client, run: &str) -> Report {
        assert!(RUNS.contains(&(client, run)), "{client:?} {run:?} is missing in RUNS");
        let _ = std::fs::remove_file(path(client, run));
        Report { client, run: run.to_owned(), title: client.title(), features: BTreeMap::new() }
    }

    /// A feature whose cell says more than "yes".
    pub fn noted(mut self, feature: Feature, note: &str) -> Report {
        self.features.insert(feature, note.to_owned());
        self
    }

    /// The last line of a test, when everything was asserted.
    pub fn proves(mut self, features: &[Feature]) {
        for feature in features {
            self.features.entry(*feature).or_insert_with(|| "yes".to_owned());
        }
        let path = path(self.client, &self.run);
        std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("target is writable");
        std::fs::write(&path, serde_json::to_vec_pretty(&self).expect("a report is JSON")).expect("target is writable");
    }
}

/// What the reports of a complete run say, as the README's table; what is missing, if the run was not complete.
pub fn matrix() -> Result<String, Vec<String>> {
    let (mut cells, mut missing) = (BTreeMap::new(), Vec::new());
    for (client, run) in RUNS {
        let report = std::fs::read(path(*client, run)).ok().and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok());
        match report.filter(|report| report.title == client.title()) {
            Some(report) => cells.extend(report.features.into_iter().map(|(feature, cell)| ((feature, *client), cell))),
            None => missing.push(format!("{client:?} {run}")),
        }
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    let mut table = header();
    for feature in Feature::ALL {
        let row = Client::ALL.map(|client| cells.get(&(feature, client)).map_or("", String::as_str));
        if row.iter().any(|cell| !cell.is_empty()) {
            writeln!(table, "| {} | {} |", feature.name(), row.join(" | ")).expect("a string takes everything");
        }
    }
    Ok(table)
}

/// The table's first two lines, which are known without a run.
pub fn header() -> String {
    format!("| | {} |\n|---|{}\n", Client::ALL.map(Client::title).join(" | "), "---|".repeat(Client::ALL.len()))
}

fn path(client: Client, run: &str) -> PathBuf {
    let target = build_dir().parent().expect("target/<profile>").to_path_buf();
    target.join("compatibility").join(format!("{client:?} {run}.json").replace(' ', "-"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn node(package: &str) -> String {
    let manifest: serde_json::Value = serde_json::from_str(&read("tests/clients/node/package.json")).expect("JSON");
    manifest["dependencies"][package].as_str().unwrap_or_else(|| panic!("{package} is pinned")).to_owned()
}

fn python(package: &str) -> String {
    let requirements = read("tests/clients/python/requirements.txt");
    let version = requirements.lines().find_map(|line| line.strip_prefix(package)?.strip_prefix("=="));
    version.unwrap_or_else(|| panic!("{package} is pinned")).to_owned()
}

fn cargo(package: &str) -> String {
    let lock = read("Cargo.lock");
    let version = lock
        .split("[[package]]\n")
        .find_map(|entry| entry.strip_prefix(&format!("name = \"{package}\"\nversion = \""))?.split('"').next());
    version.unwrap_or_else(|| panic!("{package} is locked")).to_owned()
}
