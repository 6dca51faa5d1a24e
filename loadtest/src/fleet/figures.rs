//! `guildhall-loadtest fleet figures`: what a fleet's failures and works cost its people, measured on private fleets on loopback, as JSON
//! and as the README's table.

mod calls;
mod report;
mod text;

use super::caller::{Call, Caller};
use super::machines::Fleet;
use super::process::Host;
use super::room::Room;
use super::{binary, state_of, unless_interrupted, until};
use crate::rest::{Account, Rest};
use crate::{progress, tables};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use guildhall_protocol::model::ChannelType;
use guildhall_protocol::{ChannelId, GuildId};
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

const BEGIN: &str = "<!-- fleet figures: made by `make fleet-figures` -->\n";
const END: &str = "<!-- /fleet figures -->\n";
const NODES: [(&str, &str); 4] = [("eu-1", "eu"), ("eu-2", "eu"), ("us-1", "us"), ("us-2", "us")];
const PASSWORD: &str = "correct horse battery staple";

#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The server binary; by default `guildhall` beside this program
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    only: Vec<Part>,
    /// Voice nodes that are killed, one after another
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    kills: u32,
    /// Voice nodes that are emptied, one after another
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    drains: u32,
    /// How long Redis, the database and the control planes are down
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    outage_seconds: u64,
    /// Gateway sessions of the control plane that is killed
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=9000))]
    sessions: u32,
    /// Messages per second that cross from one control plane to the other, each way
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=2000))]
    rate: u32,
    /// Seconds of that
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=300))]
    seconds: u64,
    /// Sessions that hear each message of the growth's runs, whatever the number of control planes
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u32).range(3..=9000))]
    listeners: u32,
    /// Messages of each of these runs
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    messages: u32,
    /// Write the numbers as JSON as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table between the marks of this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Kills,
    Drains,
    Outages,
    Storm,
    Delivery,
    Growth,
}

impl Part {
    const ALL: [Self; 6] = [Self::Kills, Self::Drains, Self::Outages, Self::Storm, Self::Delivery, Self::Growth];
    /// Those that need calls.
    const VOICE: [Self; 3] = [Self::Kills, Self::Drains, Self::Outages];
}

pub fn run(options: &Options) -> Result<ExitCode> {
    crate::cores::raise_file_limit().context("raising the limit of open files")?;
    // Processes are started by this thread, which outlives them; people are on others.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut report = Report::default();
    let outcome = runtime.block_on(unless_interrupted(measure(options, &mut report)));
    // What was measured before a failure is still worth reading.
    let table = report.table();
    print!("{table}");
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| format!("writing {}", path.display()))?;
    }
    outcome?;
    if let Some(path) = &options.write {
        tables::put(path, (BEGIN, END), &table)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let wants = |part: &Part| options.only.contains(part);
    if Part::VOICE.iter().any(wants) {
        let mut hall = Hall::build(options, 2).await?;
        hall.call().await?;
        if wants(&Part::Kills) {
            (report.kills, report.kills_elsewhere) = calls::kills(&mut hall, options.kills).await?;
        }
        if wants(&Part::Drains) {
            [report.drains_seamless, report.drains_others, report.drains_elsewhere] =
                calls::drains(&mut hall, options.drains).await?;
        }
        if wants(&Part::Outages) {
            report.outages = calls::outages(&mut hall, options.outage_seconds).await?;
        }
    }
    if wants(&Part::Storm) {
        report.storm = Some(text::storm(options).await?);
    }
    if wants(&Part::Delivery) {
        report.delivery = Some(text::delivery(options).await?);
    }
    if wants(&Part::Growth) {
        for planes in 1..=3 {
            report.growth.push(text::growth(options, planes).await?);
        }
    }
    Ok(())
}

/// A fleet with a guild in it.
struct Hall {
    fleet: Fleet,
    owner: Account,
    guild: GuildId,
    lobby: ChannelId,
    rooms: Vec<Room>,
}

impl Hall {
    async fn build(options: &Options, planes: usize) -> Result<Self> {
        progress(&format!("PostgreSQL, Redis and {planes} control planes start"));
        let fleet = Fleet::start(&binary(options.server.as_deref())?, &Host::LOOPBACK, planes, "eu")?;
        let rest = Rest::new(&fleet.url(0))?;
        let owner = rest.login(&fleet.owner.0, &fleet.owner.1).await?;
        let guild = owner.rest.create_guild("The fleet").await?.id;
        let lobby = owner.rest.create_channel(guild, "lobby", ChannelType::Text).await?.id;
        Ok(Self { fleet, owner, guild, lobby, rooms: Vec::new() })
    }

    fn gateway(&self, plane: usize) -> String {
        format!("{}/gateway", self.fleet.url(plane).replacen("http", "ws", 1))
    }

    /// So many accounts in the guild.
    async fn members(&self, prefix: &str, count: usize) -> Result<Vec<Account>> {
        let invite = self.owner.rest.invite(self.lobby).await?;
        let mut members = Vec::with_capacity(count);
        for number in 0..count {
            let account = self.owner.rest.register(&format!("{prefix}{number}"), PASSWORD).await?;
            account.rest.join(&invite).await?;
            members.push(account);
        }
        Ok(members)
    }

    /// Nodes, rooms and people in them, who hear each other when this returns.
    async fn call(&mut self) -> Result<()> {
        progress(&format!("{} voice nodes start, and {} rooms of {} people", NODES.len(), calls::ROOMS, calls::PEOPLE));
        for (name, region) in NODES {
            self.fleet.add_node(name, region, &Host::LOOPBACK)?;
        }
        let all = async || {
            let list = self.fleet.operate(0, &["node", "list"])?;
            Ok(NODES.iter().all(|(name, _)| state_of(&list, name) == "serving"))
        };
        until("every node to be heard", all).await?;
        for number in 0..calls::ROOMS {
            let channel = self.owner.rest.create_channel(self.guild, &format!("room-{number}"), ChannelType::Voice).await?.id;
            let members = self.members(&format!("room{number}person"), calls::PEOPLE).await?;
            // Half of the rooms are near to each region, and every second pair of them makes before it breaks.
            let (near, far) = if number % 2 == 0 { ("eu", "us") } else { ("us", "eu") };
            let is_seamless = number % 4 < 2;
            let callers = members.into_iter().map(|account| {
                let call = Call {
                    account,
                    // Rooms are one control plane's so far: a caller's sessions are all at the first.
                    gateways: vec![self.gateway(0)],
                    guild: self.guild,
                    room: channel,
                    distances: vec![(near.to_owned(), 10), (far.to_owned(), 110)],
                    is_seamless,
                };
                Caller::start(&tokio::runtime::Handle::current(), call)
            });
            self.rooms.push(Room { name: format!("room-{number}"), channel, callers: callers.collect(), is_seamless });
        }
        self.settle().await
    }

    /// Waits until everybody hears each other.
    async fn settle(&self) -> Result<()> {
        for room in &self.rooms {
            until("everybody to hear each other", async || Ok(room.is_whole() && room.endpoint().is_some())).await?;
        }
        Ok(())
    }
}
