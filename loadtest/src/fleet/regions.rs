//! Regions on one machine: a network namespace for each, and a sky between them that carries their packets with the delay of distance.
//!
//! The kernel's own delays (`netem`) are missing in many kernels, so the sky is ours: a thread in a namespace of its own reads
//! the frames of each region and writes them to the others later. All of it belongs to root, is named after this process, and goes with
//! the [`Regions`]; what a killed run left is removed by the next.

use super::process::Host;
use super::sky::{Port, Sky};
use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::runtime::Handle;

/// Namespaces' names start with this, then comes the process.
const PREFIX: &str = "guildhall-fleet";
/// Where the system keeps named namespaces.
const NAMESPACES: &str = "/run/netns";

/// A place and the way from it to the middle of the network.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    pub name: &'static str,
    pub one_way: Duration,
}

pub struct Regions {
    regions: Vec<Region>,
    /// The end of a region's tasks.
    people: Vec<(Handle, tokio::sync::oneshot::Sender<()>)>,
    sky: Option<Sky>,
}

impl Regions {
    /// Tells what is missing, if something is.
    pub fn build(regions: &[Region]) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the regions are network namespaces, which only root can make: run this as root (sudo make fleet)"
        );
        for program in ["ip", "ethtool"] {
            let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status()?;
            ensure!(found.success(), "{program} is missing: run .ci/setup.sh fleet");
        }
        remove_left_overs()?;
        let mut this = Self { regions: regions.to_vec(), people: Vec::new(), sky: None };
        let sky = namespace("sky");
        ip(&["netns", "add", &sky])?;
        for (number, region) in regions.iter().enumerate() {
            let (name, host) = (namespace(region.name), this.host(region.name)?);
            ip(&["netns", "add", &name])?;
            let port = port(number);
            ip(&["-n", &sky, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
            ip(&["-n", &name, "address", "add", &format!("{}/24", host.ip), "dev", "eth0"])?;
            for (namespace, device) in [(&name, "lo"), (&name, "eth0"), (&sky, &port)] {
                ip(&["-n", namespace, "link", "set", device, "up"])?;
            }
            // The sky sees frames before a network card would have completed them.
            run("ip", &["netns", "exec", &name, "ethtool", "--offload", "eth0", "tx", "off"])?;
            let (handles, handle) = std::sync::mpsc::channel();
            let (over, is_over) = tokio::sync::oneshot::channel();
            std::thread::Builder::new().name(format!("people-{}", region.name)).spawn(move || -> Result<()> {
                enter(&name)?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let _ = handles.send(runtime.handle().clone());
                // Everything that is spawned on it runs here, in this region.
                let _ = runtime.block_on(is_over);
                Ok(())
            })?;
            this.people.push((handle.recv().context("a thread could not enter its namespace")?, over));
        }
        let ports = regions.iter().enumerate().map(|(number, region)| Port::new(port(number), region.one_way)).collect();
        this.sky = Some(Sky::start(ports, move || enter(&sky))?);
        Ok(this)
    }

    fn number(&self, region: &str) -> Result<usize> {
        self.regions.iter().position(|known| known.name == region).with_context(|| format!("there is no region {region}"))
    }

    /// Where processes of a region run.
    pub fn host(&self, region: &str) -> Result<Host> {
        let last = self.number(region)? as u8 + 1;
        Ok(Host { namespace: Some(namespace(region)), ip: Ipv4Addr::new(10, 77, 0, last) })
    }

    /// Where tasks of a region run.
    pub fn people(&self, region: &str) -> Result<&Handle> {
        Ok(&self.people[self.number(region)?].0)
    }

    /// Milliseconds there and back.
    pub fn distances(&self, from: &str) -> Result<Vec<(String, u16)>> {
        let from = &self.regions[self.number(from)?];
        let to = |region: &Region| {
            let way = if region.name == from.name { Duration::ZERO } else { from.one_way + region.one_way };
            (region.name.to_owned(), (2 * way.as_millis()).max(1) as u16)
        };
        Ok(self.regions.iter().map(to).collect())
    }

    /// Moves this thread into a region, with the processes that it starts and the sockets that it opens from then on.
    pub fn enter(&self, region: &str) -> Result<()> {
        self.number(region)?;
        enter(&namespace(region))
    }

    fn sky(&self) -> Result<&Sky> {
        self.sky.as_ref().context("the sky is there as long as the regions are")
    }

    /// What the way to a region carries from now on, kbit/s, and what a queue before it holds; 0 carries everything at once.
    pub fn narrow(&self, region: &str, bandwidth_kbps: f64, queue: Duration) -> Result<()> {
        self.sky()?.narrow(self.number(region)?, bandwidth_kbps, queue);
        Ok(())
    }

    /// The part of the packets that came late because this machine had no time, since this was asked last.
    pub fn late(&self) -> Result<f64> {
        Ok(self.sky()?.late())
    }

    /// Whether the region's packets reach the others, and theirs it.
    pub fn connect(&self, region: &str, is_connected: bool) -> Result<()> {
        self.sky()?.connect(self.number(region)?, is_connected);
        Ok(())
    }
}

impl Drop for Regions {
    fn drop(&mut self) {
        for (_, over) in self.people.drain(..) {
            let _ = over.send(());
        }
        drop(self.sky.take());
        for region in self.regions.iter().map(|region| region.name).chain(["sky"]) {
            // What was not made yet cannot be removed.
            let _ = run("ip", &["netns", "delete", &namespace(region)]);
        }
    }
}

fn namespace(region: &str) -> String {
    format!("{PREFIX}-{}-{region}", std::process::id())
}

/// The sky's end of a region's cable.
fn port(number: usize) -> String {
    format!("port{number}")
}

/// Moves this thread into a namespace.
fn enter(namespace: &str) -> Result<()> {
    let file = File::open(format!("{NAMESPACES}/{namespace}"))?;
    Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Of runs whose process is gone.
fn remove_left_overs() -> Result<()> {
    let Ok(folder) = std::fs::read_dir(NAMESPACES) else { return Ok(()) };
    for entry in folder {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('-')?.split('-').next()?.parse::<u32>().ok());
        if process.is_some_and(|process| !std::path::Path::new(&format!("/proc/{process}")).exists()) {
            ip(&["netns", "delete", &name])?;
        }
    }
    Ok(())
}

fn ip(words: &[&str]) -> Result<()> {
    run("ip", words)
}

fn run(program: &str, words: &[&str]) -> Result<()> {
    let output = Command::new(program).args(words).output().with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
