//! Voice nodes and control planes brought together: in one process by channels, over the network by gRPC. Both are the same
//! pair of queues with the same words.

use crate::config::{Config, Role, TurnServers};
use crate::data::DataDir;
use crate::serve::default_route;
use anyhow::Context;
use guildhall_control_plane::hub::Hub;
use guildhall_dial::JoinSecret;
use guildhall_dial::node::Trust;
use guildhall_protocol::fleet::NodeId;
use guildhall_signaling::turn::Turn;
use guildhall_signaling::{LINE_QUEUE, Signaling};
use rustls::ServerConfig;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// Below the data folder, unless another file is named.
const JOIN_SECRET: &str = "join.secret";

/// Messages to the node in this process that wait on their way.
const TO_NODE: usize = 64;

/// A line within one process breaks only when a queue is full; then both sides have some catching up to do.
const REDIAL: Duration = Duration::from_millis(100);

/// What the node of this process says of itself. `listen` is where its voice WebSocket is.
pub fn identity(config: &Config, listen: SocketAddr) -> anyhow::Result<guildhall_signaling::Config> {
    let is_alone = config.role == Role::Voice;
    let id = match &config.node {
        Some(id) => id.clone(),
        None if is_alone => machine_name().context("This machine has no usable name: give the node one with --node")?,
        None => NodeId::from("local"),
    };
    let endpoint = match &config.public_host {
        // Beside the gateway it is wherever that is.
        _ if !is_alone => String::new(),
        Some(host) => host.clone(),
        None => {
            let ip = if listen.ip().is_unspecified() { default_route() } else { Some(listen.ip()) };
            let ip: IpAddr = ip.context("This machine has no route to anywhere: name it for clients with --public-host")?;
            SocketAddr::new(ip, listen.port()).to_string()
        }
    };
    let egress_cap_bps = u64::from(config.egress_mbit) * 1_000_000;
    let turn = config.turn.as_ref().map(turn).transpose()?;
    Ok(guildhall_signaling::Config { id, region: config.region.clone(), endpoint, egress_cap_bps, turn })
}

fn turn(servers: &TurnServers) -> anyhow::Result<Turn> {
    let path = servers.secret.display();
    let secret =
        std::fs::read_to_string(&servers.secret).with_context(|| format!("Cannot read the secret of TURN from {path}"))?;
    match secret.trim() {
        "" => anyhow::bail!("The secret of TURN in {path} is empty"),
        secret => Ok(Turn::new(servers.urls.clone(), secret.as_bytes())),
    }
}

fn machine_name() -> Option<NodeId> {
    std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().parse().ok()
}

/// Keeps the line between a node and a control plane in one process.
pub async fn stay_here(signaling: Signaling, hub: Hub, mut stop: watch::Receiver<bool>) {
    loop {
        let (to_control, from_node) = mpsc::channel(LINE_QUEUE);
        let (to_node, from_control) = mpsc::channel(TO_NODE);
        let line = async { tokio::join!(signaling.follow(to_control, from_control), hub.serve_node(from_node, to_node)) };
        tokio::select! {
            _ = line => {}
            _ = stop.wait_for(|is_stopping| *is_stopping) => return,
        }
        tracing::warn!("the voice node of this process could not be heard, and is heard anew");
        tokio::time::sleep(REDIAL).await;
    }
}

/// Returns when the node of this process is known: nobody is to come before.
pub async fn arrived(hub: &Hub) {
    while hub.regions().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Lets nodes of other machines dial in, if the settings say where.
pub async fn listen(
    config: &Config,
    data: &DataDir,
    tls: Arc<ServerConfig>,
    hub: Hub,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let Some(address) = config.nodes_listen else { return Ok(()) };
    let secret = match &config.join_secret {
        Some(path) => read_secret(path)?,
        None => {
            let (path, text) = data.shown_secret(JOIN_SECRET)?;
            tracing::info!("voice nodes join with the secret in {}", path.display());
            JoinSecret::new(&text).with_context(|| format!("{} is damaged", path.display()))?
        }
    };
    let listener = TcpListener::bind(address).await.with_context(|| format!("Cannot listen on {address} for voice nodes"))?;
    tracing::info!(address = %listener.local_addr()?, "listening for voice nodes");
    let line = move |from_node, to_node| {
        let hub = hub.clone();
        async move { hub.serve_node(from_node, to_node).await }
    };
    tokio::spawn(guildhall_dial::control::serve(listener, tls, secret, line, stop));
    Ok(())
}

/// Dials every control plane that the settings name, for as long as the process runs.
pub fn dial(config: &Config, signaling: &Signaling, stop: &watch::Receiver<bool>) -> anyhow::Result<()> {
    let path = config.join_secret.as_deref().context("A voice node needs --join-secret-file")?;
    let secret = read_secret(path)?;
    let trust = Trust::new(config.control_plane_ca.as_deref()).map_err(anyhow::Error::msg).with_context(|| {
        let file = config.control_plane_ca.as_deref().unwrap_or(Path::new("the public authorities"));
        format!("{} cannot be used", file.display())
    })?;
    for url in &config.control_planes {
        if url.is_in_the_open() {
            tracing::warn!(%url, "the join secret and the key of voice tokens cross the network in the open: use https");
        }
        let signaling = signaling.clone();
        let line = move |to_control, from_control| {
            let signaling = signaling.clone();
            async move { signaling.follow(to_control, from_control).await }
        };
        tokio::spawn(guildhall_dial::node::keep_dialling(url.clone(), secret.clone(), trust.clone(), line, stop.clone()));
    }
    Ok(())
}

fn read_secret(path: &Path) -> anyhow::Result<JoinSecret> {
    let text = std::fs::read_to_string(path).with_context(|| format!("The join secret {} cannot be read", path.display()))?;
    JoinSecret::new(&text).with_context(|| format!("{} holds no join secret", path.display()))
}
