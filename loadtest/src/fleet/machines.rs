//! Everything that a fleet is made of, on one machine: PostgreSQL, Redis, control planes and voice nodes, each a process.

use super::engines::{Postgres, Redis};
use super::process::{self, Host, Owner, Process};
use crate::ports::free_port;
use crate::rest::Rest;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What a control plane makes and all of them must have.
const JOIN_SECRET: &str = "join.secret";

pub struct Fleet {
    pub owner: Owner,
    planes: Vec<Plane>,
    nodes: BTreeMap<String, Node>,
    /// Everybody's data and logs.
    folder: TempDir,
    binary: PathBuf,
    /// Of the control planes.
    host: Host,
    pub redis: Redis,
    pub postgres: Postgres,
}

/// A control plane, running or not.
struct Plane {
    /// For clients, and for nodes: the same after a restart.
    port: u16,
    nodes_port: u16,
    process: Option<Process>,
}

/// A voice node, running or not.
struct Node {
    region: String,
    host: Host,
    process: Option<Process>,
}

impl Fleet {
    /// The engines and so many control planes, the first of which places the rooms of whose people nothing is known in `region`.
    pub fn start(binary: &Path, host: &Host, planes: usize, region: &str) -> Result<Self> {
        let (postgres, redis) = (Postgres::start()?, Redis::start()?);
        let folder = tempfile::Builder::new().prefix("guildhall-fleet-").tempdir()?;
        let mut fleet = Self {
            owner: Owner::default(),
            planes: Vec::new(),
            nodes: BTreeMap::new(),
            folder,
            binary: binary.to_owned(),
            host: host.clone(),
            redis,
            postgres,
        };
        for number in 0..planes {
            let data = fleet.data(number);
            std::fs::create_dir(&data)?;
            if number > 0 {
                std::fs::copy(fleet.data(0).join(JOIN_SECRET), data.join(JOIN_SECRET)).context("copying the join secret")?;
            }
            std::fs::write(data.join("guildhall.toml"), format!("region = \"{region}\"\n"))?;
            let port = || free_port(host.ip.into()).context("a port for a control plane");
            fleet.planes.push(Plane { port: port()?, nodes_port: port()?, process: None });
            fleet.start_plane(number)?;
        }
        let first = fleet.planes.first_mut().and_then(|plane| plane.process.as_mut());
        fleet.owner = first.and_then(|process| process.owner.take()).context("the first start shows an owner")?;
        Ok(fleet)
    }

    pub fn planes(&self) -> usize {
        self.planes.len()
    }

    fn data(&self, plane: usize) -> PathBuf {
        self.folder.path().join(format!("control-{}", plane + 1))
    }

    /// Where everybody logs to.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// `http://…` of a control plane, running or not.
    pub fn url(&self, plane: usize) -> String {
        format!("http://{}:{}", self.host.ip, self.planes[plane].port)
    }

    pub fn start_plane(&mut self, number: usize) -> Result<()> {
        let (ip, data) = (self.host.ip, self.data(number));
        let Plane { port, nodes_port, .. } = self.planes[number];
        let (public, nodes, config) = (format!("{ip}:{port}"), format!("{ip}:{nodes_port}"), data.join("guildhall.toml"));
        // By loopback too: metrics are told nowhere else.
        let listen = format!("0.0.0.0:{port}");
        let (database, redis, data) = (self.postgres.url(), self.redis.url(), data.display().to_string());
        let arguments = [
            ["--role", "control-plane"],
            ["--config", &config.display().to_string()],
            ["--data", &data],
            ["--listen", &listen],
            ["--public-host", &public],
            ["--nodes-listen", &nodes],
            ["--database", &database],
            ["--redis", &redis],
            ["--rate-limits", "off"],
            ["--connections-per-address", "0"],
        ];
        let arguments: Vec<String> = arguments.concat().into_iter().map(str::to_owned).collect();
        let log = self.log(&format!("control-{}", number + 1));
        self.planes[number].process = Some(Process::serve(&self.binary, &self.host, &arguments, &log)?);
        Ok(())
    }

    pub fn kill_plane(&mut self, number: usize) -> Result<()> {
        self.planes[number].process.take().context("it runs")?.kill_9()
    }

    pub fn plane_pid(&self, number: usize) -> Option<u32> {
        self.planes[number].process.as_ref().map(Process::pid)
    }

    /// A voice node that dials every control plane.
    pub fn add_node(&mut self, name: &str, region: &str, host: &Host) -> Result<()> {
        std::fs::create_dir(self.folder.path().join(name))?;
        let authorities: Vec<u8> = (0..self.planes.len())
            .map(|plane| std::fs::read(self.data(plane).join("tls").join("ca.pem")).context("a control plane's authority"))
            .collect::<Result<Vec<_>>>()?
            .concat();
        std::fs::write(self.folder.path().join(name).join("authorities.pem"), authorities)?;
        self.nodes.insert(name.to_owned(), Node { region: region.to_owned(), host: host.clone(), process: None });
        self.start_node(name)
    }

    pub fn start_node(&mut self, name: &str) -> Result<()> {
        let data = self.folder.path().join(name);
        let (log, secret) = (self.log(name), self.data(0).join("join.secret").display().to_string());
        let node = self.nodes.get_mut(name).context("a node that was added")?;
        ensure!(node.process.is_none(), "{name} runs");
        let ip = node.host.ip.to_string();
        let dial: Vec<String> =
            self.planes.iter().map(|plane| format!("https://{}:{}", self.host.ip, plane.nodes_port)).collect();
        let (listen, dial, authorities) = (format!("{ip}:0"), dial.join(","), data.join("authorities.pem").display().to_string());
        let arguments = [
            ["--role", "voice"],
            ["--node", name],
            ["--region", &node.region],
            ["--data", &data.display().to_string()],
            ["--listen", &listen],
            ["--media-ip", &ip],
            ["--media-listen", &ip],
            ["--media-port", "0"],
            ["--media-workers", "1"],
            ["--control-plane", &dial],
            ["--control-plane-ca", &authorities],
            ["--join-secret-file", &secret],
        ];
        let arguments: Vec<String> = arguments.concat().into_iter().map(str::to_owned).collect();
        node.process = Some(Process::serve(&self.binary, &node.host, &arguments, &log)?);
        Ok(())
    }

    pub fn kill_node(&mut self, name: &str) -> Result<()> {
        self.nodes.get_mut(name).and_then(|node| node.process.take()).with_context(|| format!("{name} runs"))?.kill_9()
    }

    /// By its endpoint, as clients are told.
    pub fn node_at(&self, endpoint: &str) -> Option<&str> {
        let is_it = |node: &Node| node.process.as_ref().is_some_and(|process| process.address == endpoint);
        self.nodes.iter().find(|(_, node)| is_it(node)).map(|(name, _)| name.as_str())
    }

    /// `guildhall node …` or `guildhall room …` on the machine of a control plane: what it says.
    pub fn operate(&self, plane: usize, words: &[&str]) -> Result<String> {
        self.command(plane, words)()
    }

    /// The same, to be run elsewhere.
    pub fn command(&self, plane: usize, words: &[&str]) -> impl FnOnce() -> Result<String> + Send + 'static {
        let (data, listen) = (self.data(plane).display().to_string(), format!("{}:{}", self.host.ip, self.planes[plane].port));
        let arguments: Vec<String> =
            words.iter().copied().chain(["--data", &data, "--listen", &listen]).map(str::to_owned).collect();
        let (binary, host) = (self.binary.clone(), self.host.clone());
        move || {
            let output = process::run(&binary, &host, &arguments)?;
            if !output.status.success() {
                bail!("guildhall {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
            }
            Ok(String::from_utf8(output.stdout)?)
        }
    }

    /// The page at `/admin`.
    pub async fn admin(&self, plane: usize) -> Result<String> {
        let key = std::fs::read_to_string(self.data(plane).join("operator.key"))?;
        let page = Rest::new(&self.url(plane))?.page("/admin", Some(key.trim())).await?;
        Ok(page)
    }

    /// What Prometheus would read.
    pub async fn metrics(&self, plane: usize) -> Result<String> {
        // They are for this machine only, which asks by its own name.
        let url = format!("http://127.0.0.1:{}", self.planes[plane].port);
        Ok(Rest::new(&url)?.page("/metrics", None).await?)
    }
}
