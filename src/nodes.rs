//! Voice nodes and control planes brought together: in one process by channels, over the network by gRPC. Both are the same
//! pair of queues with the same words.

use crate::config::{Config, Role, TurnServers};
use crate::data::DataDir;
use crate::serve::default_route;
use crate::watched::watched;
use anyhow::Context;
use guildhall_control_plane::hub::Hub;
use guildhall_dial::{Badge, Gate, JoinSecrets};
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
    let secrets = match (&config.join_secret, &config.nodes_ca) {
        (Some(path), _) => Some(path.clone()),
        // Who has given nodes certificates wants no secret that opens as well.
        (None, Some(_)) => None,
        (None, None) => {
            let (path, _) = data.shown_secret(JOIN_SECRET)?;
            tracing::info!("voice nodes join with the secret in {}", path.display());
            Some(path)
        }
    };
    let authorities = config.nodes_ca.clone();
    let gate = watched([&secrets, &authorities].into_iter().flatten().cloned().collect(), move || {
        let secrets = secrets.as_deref().map(read_secrets).transpose()?;
        let gate = Gate::new(&tls, secrets, authorities.as_deref()).map_err(anyhow::Error::msg);
        gate.context("The authorities of voice nodes cannot be used")
    })?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("Cannot listen on {address} for voice nodes"))?;
    tracing::info!(address = %listener.local_addr()?, "listening for voice nodes");
    let line = move |from_node, to_node| {
        let hub = hub.clone();
        async move { hub.serve_node(from_node, to_node).await }
    };
    tokio::spawn(guildhall_dial::control::serve(listener, gate, line, stop));
    Ok(())
}

/// Dials every control plane that the settings name, for as long as the process runs.
pub fn dial(config: &Config, signaling: &Signaling, stop: &watch::Receiver<bool>) -> anyhow::Result<()> {
    let (secrets, authorities, own) =
        (config.join_secret.clone(), config.control_plane_ca.clone(), config.control_plane_cert.clone());
    let own_files = own.iter().flat_map(|own| [own.certificate.clone(), own.key.clone()]);
    let files = secrets.iter().chain(&authorities).cloned().chain(own_files).collect();
    let badge = watched(files, move || {
        let secrets = secrets.as_deref().map(read_secrets).transpose()?;
        let own = own.as_ref().map(|own| (own.certificate.as_path(), own.key.as_path()));
        let badge = Badge::new(secrets.as_ref(), authorities.as_deref(), own).map_err(anyhow::Error::msg);
        badge.context("What this node shows to control planes, and believes of them, cannot be used")
    })?;
    for url in &config.control_planes {
        if url.is_in_the_open() {
            tracing::warn!(%url, "what the node joins with and the key of voice tokens cross the network in the open: use https");
        }
        let signaling = signaling.clone();
        let line = move |to_control, from_control| {
            let signaling = signaling.clone();
            async move { signaling.follow(to_control, from_control).await }
        };
        tokio::spawn(guildhall_dial::node::keep_dialling(url.clone(), badge.clone(), line, stop.clone()));
    }
    Ok(())
}

fn read_secrets(path: &Path) -> anyhow::Result<JoinSecrets> {
    let text = std::fs::read_to_string(path).with_context(|| format!("The join secret {} cannot be read", path.display()))?;
    JoinSecrets::read(&text).with_context(|| format!("{} holds no join secret", path.display()))
}
