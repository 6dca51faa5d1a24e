//! Durable sends: how many acknowledged messages a second, and how long an acknowledgement takes at a given rate.

use super::Options;
use super::report::{Latency, Sends};
use crate::progress;
use crate::rest::{Account, Rest};
use crate::server::Server;
use crate::world::{MESSAGE_INTENTS, World};
use anyhow::{Context, Result, ensure};
use guildhall_protocol::ChannelId;
use guildhall_protocol::model::ChannelType;
use hdrhistogram::Histogram;
use reqwest::Method;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Accounts that send, in turn, and channels that they write to.
const AUTHORS: usize = 16;
const CHANNELS: usize = 4;
/// Open-loop sends that may wait for their answer; more means that the server does not keep up, and the run fails.
const MOST_IN_FLIGHT: usize = 8192;
/// How long a delivery may lag behind its acknowledgement before it counts as lost.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(20);

/// An acknowledged message: its id and when the answer came.
type Acknowledged = (String, Instant);

pub async fn measure(options: &Options, server: &Server, world: &mut World) -> Result<Sends> {
    let authors: Vec<Rest> = world.members(AUTHORS).await?.iter().map(|account: &Account| account.rest.clone()).collect();
    let mut channels = Vec::with_capacity(CHANNELS);
    for at in 0..CHANNELS {
        channels.push(world.channel(&format!("sends-{at}"), ChannelType::Text).await?);
    }
    let duration = Duration::from_secs(options.send_seconds);
    progress(&format!("{} senders, each awaiting its acknowledgement, for {duration:?}", options.senders));
    let closed = closed_loop(options.senders as usize, &authors, &channels, duration).await?;
    progress(&format!("{} messages a second, whatever the answers, for {duration:?}", options.rate));
    let mut listener = world.session(&world.owner, MESSAGE_INTENTS, true).await?;
    let (mut open, acknowledged) = open_loop(options.rate, &authors, &channels, duration).await?;
    let mut outstanding: HashMap<String, Instant> = acknowledged.into_iter().collect();
    let mut delays = histogram();
    while !outstanding.is_empty() {
        let event = listener.next_event_within(DELIVERY_PATIENCE, |event| event.name == "MESSAGE_CREATE").await;
        let event = event.with_context(|| format!("{} acknowledged messages were not delivered", outstanding.len()))?;
        if let Some(acknowledged) = event.data["id"].as_str().and_then(|id| outstanding.remove(id)) {
            delays.saturating_record(event.at.saturating_duration_since(acknowledged).as_nanos() as u64);
        }
    }
    open.delivery_after_ack = Latency::of(&delays);
    listener.close(1000).await;
    Ok(Sends { data_is_on_disk: server.data_is_on_disk(), senders: options.senders, rate: options.rate, closed, open })
}

/// One run's result.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Run {
    pub acknowledged: u64,
    /// Sends that the server turned away: its writer's queue was full (503: nothing was stored, and the client was told), or it
    /// had as many connections as it takes.
    pub refused: u64,
    pub per_second: f64,
    pub ack: Latency,
    pub delivery_after_ack: Latency,
}

async fn closed_loop(senders: usize, authors: &[Rest], channels: &[ChannelId], duration: Duration) -> Result<Run> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for at in 0..senders {
        let (author, channel) = (authors[at % authors.len()].clone(), channels[at % channels.len()]);
        tasks.spawn(async move {
            let mut latencies = histogram();
            while start.elapsed() < duration {
                let sent = Instant::now();
                send(&author, channel).await?.context("the server turned a send away: fewer wait than it queues")?;
                latencies.saturating_record(sent.elapsed().as_nanos() as u64);
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut latencies = histogram();
    while let Some(task) = tasks.join_next().await {
        latencies.add(task??).context("histograms of one shape")?;
    }
    Ok(Run::new(&latencies, 0, start.elapsed()))
}

/// Sends at moments that do not depend on the answers; latency counts from the intended moment, so a stall is not hidden.
async fn open_loop(rate: u32, authors: &[Rest], channels: &[ChannelId], duration: Duration) -> Result<(Run, Vec<Acknowledged>)> {
    let in_flight = Arc::new(Semaphore::new(MOST_IN_FLIGHT));
    let mut tick = interval(Duration::from_secs(1) / rate);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let start = Instant::now();
    let total = u64::from(rate) * duration.as_secs();
    let mut tasks = JoinSet::new();
    for at in 0..total {
        let due = tick.tick().await;
        let permit = in_flight.clone().try_acquire_owned();
        let permit = permit.with_context(|| format!("the server does not keep up: {MOST_IN_FLIGHT} sends are unanswered"))?;
        let (author, channel) = (authors[at as usize % authors.len()].clone(), channels[at as usize % channels.len()]);
        tasks.spawn(async move {
            let _permit = permit;
            // Each waiting send has a connection of its own; one that the server does not take is a send that it turns away.
            let id = match send(&author, channel).await {
                Err(error) if matches!(error.downcast_ref(), Some(crate::rest::Error::Transport(_))) => None,
                sent => sent?,
            };
            let now = Instant::now();
            Ok::<_, anyhow::Error>(id.map(|id| (id, now, now - due)))
        });
    }
    let (mut latencies, mut acknowledged) = (histogram(), Vec::with_capacity(total as usize));
    while let Some(task) = tasks.join_next().await {
        if let Some((id, at, latency)) = task?? {
            latencies.saturating_record(latency.as_nanos() as u64);
            acknowledged.push((id, at));
        }
    }
    let refused = total - acknowledged.len() as u64;
    Ok((Run::new(&latencies, refused, start.elapsed()), acknowledged))
}

/// Returns the message's id, or nothing when the server is too busy to take it.
pub async fn send(author: &Rest, channel: ChannelId) -> Result<Option<String>> {
    let body = json!({ "content": "A sentence of about the length that people write to each other in a chat." });
    let reply = author.call(Method::POST, &format!("/channels/{channel}/messages"), Some(&body)).await?;
    ensure!(reply.status != 429, "the server limits its rates: start it with GUILDHALL_RATE_LIMITS=off");
    if reply.status == 503 {
        return Ok(None);
    }
    let id = reply.body["id"].as_str().filter(|_| reply.is_success());
    let id = id.with_context(|| format!("a send was refused: HTTP {} {}", reply.status, reply.body))?;
    Ok(Some(id.to_owned()))
}

impl Run {
    fn new(latencies: &Histogram<u64>, refused: u64, elapsed: Duration) -> Self {
        let acknowledged = latencies.len();
        let per_second = acknowledged as f64 / elapsed.as_secs_f64();
        Self { acknowledged, refused, per_second, ack: Latency::of(latencies), delivery_after_ack: Latency::of(&histogram()) }
    }
}

pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 120_000_000_000, 3).expect("fixed bounds are valid")
}
