//! `guildhall node …` and `guildhall room …`: the operator's API of a control plane on this machine, from a shell.

use super::{DrainWish, KEY_FILE, Place, Rooms, Why, explain};
use crate::config::{self, Config};
use anyhow::{Context, bail};
use clap::{Arg, ArgMatches, Command};
use guildhall_control_plane::fleet::views::{NodeView, RoomView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The control plane is on this machine, and answers from memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest answer: a thousand rooms are some 200 KB.
const ANSWER: u64 = 16 << 20;

/// How often a drain is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Rooms that are explained when a drain's time is over.
const EXPLAINED: usize = 5;

/// The `node` subcommand.
pub fn node_command() -> Command {
    let node = || Arg::new("node").value_name("NODE").required(true).help("Its name, as `node list` shows it");
    let deadline = Arg::new("deadline").long("deadline").value_name("SECONDS").default_value("300");
    let deadline = deadline.value_parser(clap::value_parser!(u64)).help("Until when the node's rooms must live elsewhere");
    Command::new("node")
        .about("Shows and steers the voice nodes of the control plane on this machine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_flags(Command::new("list").about("Lists the nodes with their load")))
        .subcommand(
            with_flags(Command::new("drain").about("Moves all rooms of a node to others, and follows until they are gone"))
                .arg(node())
                .arg(deadline),
        )
        .subcommand(with_flags(Command::new("undrain").about("Lets a drained node serve again")).arg(node()))
        .subcommand(with_flags(Command::new("cordon").about("Gives a node no new rooms; those that it has stay")).arg(node()))
        .subcommand(with_flags(Command::new("uncordon").about("Gives a cordoned node rooms again")).arg(node()))
}

/// The `room` subcommand.
pub fn room_command() -> Command {
    let room = || Arg::new("room").value_name("CHANNEL").required(true).help("The id of the voice channel");
    let node = || Arg::new("node").value_name("NODE").help("The node's name");
    Command::new("room")
        .about("Shows and steers the voice rooms of the control plane on this machine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_flags(Command::new("list").about("Lists the rooms, those with the most people first")))
        .subcommand(with_flags(Command::new("why").about("Says why a room is where it is")).arg(room()))
        .subcommand(with_flags(Command::new("move").about("Moves a room to a node, once")).arg(room()).arg(node().required(true)))
        .subcommand(
            with_flags(Command::new("pin").about("Keeps a room on a node whenever the node can take it; without one: no more"))
                .arg(room())
                .arg(node()),
        )
}

/// The settings that say where the control plane and its key are; they must be the server's.
fn with_flags(command: Command) -> Command {
    command.args(config::flags(|name| matches!(name, "data" | "listen")))
}

/// A control plane on this machine.
struct Control {
    address: SocketAddr,
    key: String,
}

pub async fn run_node(config: Config, verb: &str, matches: &ArgMatches) -> anyhow::Result<()> {
    let control = Control::find(&config)?;
    let node = || matches.get_one::<String>("node").expect("clap asks for it");
    match verb {
        "list" => {
            let nodes: Vec<NodeView> = control.get("/operator/nodes").await?;
            print!("{}", node_table(&nodes));
        }
        "drain" => {
            let within_s = *matches.get_one::<u64>("deadline").expect("it has a default");
            control.post(&format!("/operator/nodes/{}/drain", node()), &DrainWish { within_s }).await?;
            follow_drain(&control, node()).await?;
        }
        verb => control.post(&format!("/operator/nodes/{}/{verb}", node()), &()).await?,
    }
    Ok(())
}

pub async fn run_room(config: Config, verb: &str, matches: &ArgMatches) -> anyhow::Result<()> {
    let control = Control::find(&config)?;
    let room = || matches.get_one::<String>("room").expect("clap asks for it");
    let place = || Place { to: matches.get_one::<String>("node").map(|node| node.as_str().into()) };
    match verb {
        "list" => {
            let Rooms { count, rooms } = control.get("/operator/rooms").await?;
            print!("{}", room_table(&rooms));
            if rooms.len() < count {
                println!("and {} more", count - rooms.len());
            }
        }
        "why" => {
            let Why { room, decisions } = control.get(&format!("/operator/rooms/{}", room())).await?;
            print!("{}", room_table(&[room]));
            if decisions.is_empty() {
                println!("Nothing was decided about it.");
            }
            decisions.iter().rev().flat_map(explain::decision).for_each(|line| println!("{line}"));
        }
        verb => control.post(&format!("/operator/rooms/{}/{verb}", room()), &place()).await?,
    }
    Ok(())
}

/// Says how far the drain is whenever that changes, until the node is empty or its time is over.
async fn follow_drain(control: &Control, node: &str) -> anyhow::Result<()> {
    let mut said = String::new();
    loop {
        let nodes: Vec<NodeView> = control.get("/operator/nodes").await?;
        let found = nodes.iter().find(|view| view.id.as_str() == node).context("The node is not known any more")?;
        let Some(drain) = found.drain else { bail!("The drain was called off, or the node is lost.") };
        let says = format!("{} rooms moved, {} moving, {} waiting", drain.moved, drain.moving, drain.waiting);
        if says != said {
            println!("{says}");
            said = says;
        }
        if drain.moving + drain.waiting == 0 && found.load.peers == 0 {
            println!("{node} is empty.");
            return Ok(());
        }
        if drain.left_ms == 0 {
            let people = found.load.peers;
            let rooms = drain.moving + drain.waiting;
            let reasons = still_there(control, node).await?;
            bail!("The time is over, and {people} people and {rooms} rooms are still there.{reasons}");
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// What was decided last on rooms of the node: why they are still there.
async fn still_there(control: &Control, node: &str) -> anyhow::Result<String> {
    let Rooms { rooms, .. } = control.get("/operator/rooms").await?;
    let is_there = |room: &&RoomView| room.node.as_ref().is_some_and(|at| at.as_str() == node);
    let mut lines = String::new();
    for RoomView { room, .. } in rooms.iter().filter(is_there).take(EXPLAINED) {
        let Why { decisions, .. } = control.get(&format!("/operator/rooms/{room}")).await?;
        lines += &format!("\nRoom {room}:");
        decisions.last().into_iter().flat_map(explain::decision).for_each(|line| lines += &format!("\n  {line}"));
    }
    Ok(lines)
}

fn node_table(nodes: &[NodeView]) -> String {
    let heading =
        ["NODE", "REGION", "STATE", "ROOMS", "PEOPLE", "BUSY", "OUT MBIT/S", "P99 US", "DROPS/S", "FIRST AUDIO", "ADDRESS"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(nodes.iter().map(|node| {
        let load = &node.load;
        vec![
            node.id.to_string(),
            node.region.to_string(),
            explain::standing(node),
            node.leases.to_string(),
            load.peers.to_string(),
            format!("{:.0}%", load.busy * 100.0),
            format!("{:.1}", load.egress_bps as f64 / 1e6),
            load.forward_p99_us.to_string(),
            load.drops.to_string(),
            explain::first_audio(node),
            if node.endpoint.is_empty() { "this server".to_owned() } else { node.endpoint.clone() },
        ]
    }));
    explain::table(&rows)
}

fn room_table(rooms: &[RoomView]) -> String {
    let mut rows = vec![["CHANNEL", "NODE", "REGION", "PEOPLE", "EPOCH", "NOTES"].map(str::to_owned).to_vec()];
    rows.extend(rooms.iter().map(|room| {
        let from = room.from.as_ref().map(|from| format!("leaving {from}"));
        let pinned = room.pinned_to.as_ref().map(|node| format!("pinned to {node}"));
        vec![
            room.room.to_string(),
            room.node.as_ref().map_or("none".to_owned(), ToString::to_string),
            room.region.as_ref().map(ToString::to_string).unwrap_or_default(),
            room.members.to_string(),
            room.epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
            from.into_iter().chain(pinned).collect::<Vec<_>>().join(", "),
        ]
    }));
    explain::table(&rows)
}

impl Control {
    /// Where the settings say that it is, with the key of its data folder.
    fn find(config: &Config) -> anyhow::Result<Self> {
        let path = config.data.join(KEY_FILE);
        let key = std::fs::read_to_string(&path);
        let key =
            key.with_context(|| format!("The operator's key {} cannot be read: is --data that of the server?", path.display()))?;
        let ip = match config.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Ok(Self { address: SocketAddr::new(ip, config.listen.port()), key: key.trim().to_owned() })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let body = self.ask("GET", path, "").await?;
        serde_json::from_str(&body).context("The answer is not understood: is the server of another version?")
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<()> {
        self.ask("POST", path, &serde_json::to_string(body)?).await.map(drop)
    }

    /// One request. What the server refuses is an error with its sentence.
    async fn ask(&self, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
        let Self { address, key } = self;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let asked = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.take(ANSWER).read_to_end(&mut answer).await?;
            std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = timeout(PATIENCE, asked).await.map_err(anyhow::Error::from).and_then(|asked| Ok(asked?));
        let answer = answer.with_context(|| format!("No server answers at {address}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("No HTTP came back")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status.starts_with('2') {
            return Ok(body.to_owned());
        }
        let said = serde_json::from_str::<serde_json::Value>(body).ok();
        match said.as_ref().and_then(|said| said["message"].as_str()) {
            Some(message) => bail!("{message}"),
            None => bail!("The server answered {status}."),
        }
    }
}
