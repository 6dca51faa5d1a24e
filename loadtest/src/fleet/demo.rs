//! `guildhall-loadtest fleet demo`, which is `make fleet`: a fleet over three regions on one machine, people who call each other in it,
//! and what becomes of their calls when nodes die, are emptied and are cut off. Tells it as a story, and fails where it went otherwise.

use super::caller::{Call, Caller};
use super::machines::Fleet;
use super::regions::{Region, Regions};
use super::room::Room;
use super::{state_of, unless_interrupted, until};
use crate::gateway::{Connect, Gateway};
use crate::rest::{Account, Rest};
use crate::world::MESSAGE_INTENTS;
use anyhow::{Context, Result, ensure};
use clap::Args;
use guildhall_protocol::model::ChannelType;
use guildhall_protocol::{ChannelId, GuildId};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Where the control planes are, and three regions.
const HUB: &str = "hub";
const REGIONS: [Region; 4] = [
    Region { name: HUB, one_way: Duration::from_millis(1) },
    Region { name: "eu", one_way: Duration::from_millis(9) },
    Region { name: "us", one_way: Duration::from_millis(44) },
    Region { name: "asia", one_way: Duration::from_millis(89) },
];
const NODES: [(&str, &str); 5] = [("eu-1", "eu"), ("eu-2", "eu"), ("us-1", "us"), ("us-2", "us"), ("asia-1", "asia")];
/// A room for each region, and one for all.
const ROOMS: [(&str, &[&str]); 4] =
    [("eu", &["eu", "eu"]), ("us", &["us", "us"]), ("asia", &["asia", "asia"]), ("world", &["eu", "us", "asia"])];
const PLANES: usize = 2;
/// Long enough that everybody sees that the region is gone.
const CUT_OFF: Duration = Duration::from_secs(10);
/// Lines of `room why` that are shown: two decisions.
const WHY: usize = 18;
/// The goals of the two journeys, with room for the distances above.
const BACK_WITHIN: Duration = Duration::from_secs(3);
const DRAIN_GAP: Duration = Duration::from_millis(200);
const PASSWORD: &str = "correct horse battery staple";

#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The server binary; by default `guildhall` beside this program
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Keep the status page, as it was after each chapter, as HTML files in this folder
    #[arg(long, value_name = "DIR")]
    pages: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<ExitCode> {
    let binary = super::binary(options.server.as_deref())?;
    println!("Three regions and the control planes' own, as network namespaces; a thread carries their packets, later.");
    let regions = Regions::build(&REGIONS)?;
    for region in &REGIONS[1..] {
        let far: Vec<String> = regions.distances(region.name)?.into_iter().map(|(to, ms)| format!("{to} {ms} ms")).collect();
        println!("    from {}: {}", region.name, far.join(", "));
    }
    // Requests come from where the control planes are. Processes are started by this thread, which outlives them.
    regions.enter(HUB)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = runtime.block_on(unless_interrupted(tell(options, &binary, &regions)));
    drop(regions);
    println!("\nProcesses, data and namespaces are removed.");
    told.map(|()| ExitCode::SUCCESS)
}

/// What the story is about.
struct Stage<'a> {
    options: &'a Options,
    regions: &'a Regions,
    fleet: Fleet,
    owner: Account,
    guild: GuildId,
    text: ChannelId,
    rooms: Vec<Room>,
    pages: usize,
}

async fn tell(options: &Options, binary: &std::path::Path, regions: &Regions) -> Result<()> {
    chapter("PostgreSQL, Redis, two control planes, five voice nodes");
    let mut fleet = Fleet::start(binary, &regions.host(HUB)?, PLANES, "eu")?;
    for (name, region) in NODES {
        fleet.add_node(name, region, &regions.host(region)?)?;
    }
    for plane in 0..PLANES {
        let knows_all = async || {
            let list = fleet.operate(plane, &["node", "list"])?;
            Ok(NODES.iter().all(|(name, _)| state_of(&list, name) == "serving"))
        };
        until("every control plane to hear every node", knows_all).await?;
    }
    quote(&fleet.operate(0, &["node", "list"])?);

    let rest = Rest::new(&fleet.url(0))?;
    let owner = rest.login(&fleet.owner.0, &fleet.owner.1).await?;
    let guild = owner.rest.create_guild("The fleet").await?.id;
    let text = owner.rest.create_channel(guild, "news", ChannelType::Text).await?.id;
    let mut stage = Stage { options, regions, fleet, owner, guild, text, rooms: Vec::new(), pages: 0 };
    stage.write().await?;
    stage.gather().await?;
    stage.kill().await?;
    stage.drain().await?;
    stage.cut_off().await?;
    stage.metrics().await
}

impl Stage<'_> {
    /// What is written at one control plane is read at the other.
    async fn write(&mut self) -> Result<()> {
        chapter("A message crosses from one control plane to the other");
        let urls: Vec<String> = (0..PLANES).map(|plane| self.gateway(plane)).collect();
        let connect = Connect { intents: MESSAGE_INTENTS, ..Connect::new(&urls[1], &self.owner.token) };
        let mut session = Gateway::connect(&connect).await.context("a session at the second control plane")?;
        let begun = Instant::now();
        let sent = self.owner.rest.send_message(self.text, "Hello, fleet!").await?;
        let acknowledged = begun.elapsed();
        let id = sent.id.to_string();
        session.next_named("MESSAGE_CREATE", |message| message["id"] == id.as_str()).await?;
        println!(
            "    acknowledged after {acknowledged:.1?}, read at the other control plane {:.1?} after it was sent",
            begun.elapsed()
        );
        Ok(())
    }

    fn gateway(&self, plane: usize) -> String {
        format!("{}/gateway", self.fleet.url(plane).replacen("http", "ws", 1))
    }

    /// Everybody joins, and each room is where its people are.
    async fn gather(&mut self) -> Result<()> {
        chapter("People call each other: in each region, and across all");
        let invite = self.owner.rest.invite(self.text).await?;
        for (name, people) in ROOMS {
            let channel = self.owner.rest.create_channel(self.guild, name, ChannelType::Voice).await?.id;
            let mut callers = Vec::new();
            for (number, from) in people.iter().enumerate() {
                let account = self.owner.rest.register(&format!("{name}-{from}-{}", number + 1), PASSWORD).await?;
                account.rest.join(&invite).await?;
                let call = Call {
                    account,
                    // Rooms are one control plane's so far: a caller's sessions are all at the first.
                    gateways: vec![self.gateway(0)],
                    guild: self.guild,
                    room: channel,
                    distances: self.regions.distances(from)?.into_iter().filter(|(region, _)| region != HUB).collect(),
                    is_seamless: true,
                };
                callers.push(Caller::start(self.regions.people(from)?, call));
            }
            self.rooms.push(Room { name: name.to_owned(), channel, callers, is_seamless: true });
        }
        for room in &self.rooms {
            until("everybody to hear each other", async || Ok(room.is_whole())).await?;
        }
        for (room, wanted) in self.rooms.iter().zip(["eu", "us", "asia", "eu"]) {
            let node = self.node_of(room)?;
            println!("    room {}: on {node}, everybody hears each other", room.name);
            ensure!(node.starts_with(wanted), "room {} should be in {wanted}", room.name);
        }
        let why = self.why("world")?;
        println!("    room why {}:", self.room("world")?.channel);
        quote(&why);
        ensure!(why.contains("its farthest member is nearest there"), "the world's room is where its farthest member is nearest");
        self.look("everybody talks").await
    }

    async fn kill(&mut self) -> Result<()> {
        let lost = self.node_of(self.room("eu")?)?;
        chapter(&format!("kill -9 {lost}"));
        let moved: Vec<String> = self.rooms_on(&lost)?;
        self.reset().await?;
        let begun = Instant::now();
        self.fleet.kill_node(&lost)?;
        for name in &moved {
            let room = self.room(name)?;
            until("the room to be heard elsewhere", async || Ok(self.has_left(room, &lost))).await?;
        }
        let gap = moved.iter().map(|name| Ok(self.room(name)?.longest_gap())).collect::<Result<Vec<_>>>()?.into_iter().max();
        let gap = gap.unwrap_or_default();
        println!(
            "    all of {} hear each other again {:.1?} after it; the longest silence was {gap:.1?}",
            moved.join(" and "),
            begun.elapsed()
        );
        let why = self.why("eu")?;
        quote(&why);
        ensure!(
            why.contains(&format!("moves from {lost} to")) && why.contains("its node is lost"),
            "room why says what happened"
        );
        let list = self.fleet.operate(0, &["node", "list"])?;
        quote(&list);
        ensure!(state_of(&list, &lost) == "lost", "node list says that {lost} is lost");
        ensure!(gap < BACK_WITHIN, "silence after a kill must be shorter than {BACK_WITHIN:?}");
        self.others_heard_nothing(&moved)?;
        self.look("a node was killed").await?;
        self.fleet.start_node(&lost)?;
        until("the node to serve again", async || Ok(state_of(&self.fleet.operate(0, &["node", "list"])?, &lost) == "serving"))
            .await?;
        println!("    {lost} is started again and serves");
        Ok(())
    }

    async fn drain(&mut self) -> Result<()> {
        let node = self.node_of(self.room("us")?)?;
        chapter(&format!("guildhall node drain {node}"));
        let moved: Vec<String> = self.rooms_on(&node)?;
        self.reset().await?;
        let drain = self.fleet.command(0, &["node", "drain", &node, "--deadline", "30"]);
        quote(&tokio::task::spawn_blocking(drain).await??);
        for name in &moved {
            let room = self.room(name)?;
            until("the room to be heard elsewhere", async || Ok(self.has_left(room, &node))).await?;
        }
        let gap = moved.iter().map(|name| Ok(self.room(name)?.longest_gap())).collect::<Result<Vec<_>>>()?.into_iter().max();
        let gap = gap.unwrap_or_default();
        println!("    {} moved; the longest silence of a voice was {gap:.1?}", moved.join(" and "));
        let list = self.fleet.operate(0, &["node", "list"])?;
        quote(&list);
        ensure!(state_of(&list, &node).starts_with("drain"), "node list says that {node} is being emptied");
        ensure!(gap < DRAIN_GAP, "the gap of a planned move must be shorter than {DRAIN_GAP:?}");
        self.others_heard_nothing(&moved)?;
        self.look("a node was emptied").await?;
        self.fleet.operate(0, &["node", "undrain", &node])?;
        Ok(())
    }

    async fn cut_off(&mut self) -> Result<()> {
        chapter(&format!("Asia is cut off from the world for {CUT_OFF:?}"));
        self.reset().await?;
        self.regions.connect("asia", false)?;
        let cut = Instant::now();
        let is_lost = async || Ok(state_of(&self.fleet.operate(0, &["node", "list"])?, "asia-1") == "lost");
        let noticed = until("the node there to be missed", is_lost).await?;
        println!("    its node is missed after {noticed:.1?}");
        sleep(CUT_OFF.saturating_sub(cut.elapsed())).await;
        let inside = self.room("asia")?.longest_gap();
        println!("    in there people went on talking: the longest silence in room asia was {inside:.1?}");
        ensure!(inside < DRAIN_GAP, "a call inside a region needs nobody outside");
        let world = self.room("world")?;
        ensure!(world.hearing() == 2, "the others in room world hear each other, {} hear somebody", world.hearing());
        println!("    out here the others of room world hear each other");
        quote(&self.fleet.operate(0, &["node", "list"])?);
        self.look("a region is cut off").await?;
        self.regions.connect("asia", true)?;
        let healed = Instant::now();
        for name in ["asia", "world"] {
            let room = self.room(name)?;
            let is_where_it_belongs = async || Ok(room.is_whole() && self.node_of(room)? == self.belongs(name)?);
            until("everybody to be where the room is now", is_where_it_belongs).await?;
            println!("    it is back: room {name} is whole on {} {:.1?} later", self.node_of(room)?, healed.elapsed());
            quote(&self.why(name)?);
        }
        until("the node there to serve again", async || {
            Ok(state_of(&self.fleet.operate(0, &["node", "list"])?, "asia-1") == "serving")
        })
        .await?;
        self.look("the region is back").await
    }

    async fn metrics(&self) -> Result<()> {
        chapter("What the metrics say of it");
        let text = self.fleet.metrics(0).await?;
        for name in ["guildhall_nodes", "guildhall_rooms", "guildhall_room_moves_total", "guildhall_node_losses_total"] {
            let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(name)).collect();
            ensure!(!lines.is_empty(), "there is no {name}");
            quote(&(lines.join("\n") + "\n"));
        }
        Ok(())
    }

    fn room(&self, name: &str) -> Result<&Room> {
        self.rooms.iter().find(|room| room.name == name).with_context(|| format!("there is no room {name}"))
    }

    /// The room's line of what `room why` says, and the newest decisions.
    fn why(&self, room: &str) -> Result<String> {
        let all = self.fleet.operate(0, &["room", "why", &self.room(room)?.channel.to_string()])?;
        Ok(all.lines().take(WHY).map(|line| format!("{line}\n")).collect())
    }

    /// The node that the control plane has the room on.
    fn belongs(&self, room: &str) -> Result<String> {
        let why = self.why(room)?;
        let line = why.lines().nth(1).context("there is a line of the room")?;
        Ok(line.split_whitespace().nth(1).unwrap_or_default().to_owned())
    }

    /// Where all of a room are connected to.
    fn node_of(&self, room: &Room) -> Result<String> {
        // While they move they are at two.
        let Some(endpoint) = room.endpoint() else { return Ok("several nodes".to_owned()) };
        Ok(self.fleet.node_at(&endpoint).unwrap_or("no node that runs").to_owned())
    }

    /// Everybody hears each other, on another node than this.
    fn has_left(&self, room: &Room, node: &str) -> bool {
        let place = room.endpoint();
        let place = place.as_deref().and_then(|endpoint| self.fleet.node_at(endpoint));
        room.is_whole() && place.is_some_and(|place| place != node)
    }

    fn rooms_on(&self, node: &str) -> Result<Vec<String>> {
        let places = self.rooms.iter().map(|room| Ok((room.name.clone(), self.node_of(room)?))).collect::<Result<Vec<_>>>()?;
        Ok(places.into_iter().filter(|(_, place)| place == node).map(|(name, _)| name).collect())
    }

    /// Silences are counted from now on; what went before is over.
    async fn reset(&self) -> Result<()> {
        for room in &self.rooms {
            until("everybody to hear each other", async || Ok(room.is_whole())).await?;
            room.reset();
        }
        Ok(())
    }

    fn others_heard_nothing(&self, moved: &[String]) -> Result<()> {
        for room in self.rooms.iter().filter(|room| !moved.contains(&room.name)) {
            let gap = room.longest_gap();
            ensure!(gap < DRAIN_GAP, "room {} has nothing to do with it, and had a silence of {gap:?}", room.name);
        }
        println!("    the other rooms noticed nothing");
        Ok(())
    }

    /// The status page says it, too.
    async fn look(&mut self, what: &str) -> Result<()> {
        let page = self.fleet.admin(0).await?;
        ensure!(NODES.iter().all(|(name, _)| page.contains(name)), "the status page shows every node");
        self.pages += 1;
        if let Some(folder) = &self.options.pages {
            std::fs::create_dir_all(folder)?;
            let file = folder.join(format!("{}-{}.html", self.pages, what.replace(' ', "-")));
            std::fs::write(&file, page)?;
            println!("    /admin is kept as {}", file.display());
        }
        Ok(())
    }
}

fn chapter(title: &str) {
    println!("\n{title}");
}

fn quote(text: &str) {
    text.lines().for_each(|line| println!("    | {line}"));
}
