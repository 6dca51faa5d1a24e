//! What several control planes do for gateway sessions: a storm of reconnects, messages from one to the other, and what each costs.

use super::report::{Delivery, Growth, Storm, ms};
use super::{Hall, Options};
use crate::bench::sends::{histogram, send};
use crate::gateway::{Connect, Gateway, Keeps};
use crate::progress;
use crate::rest::Account;
use crate::server::cpu_of;
use crate::world::MESSAGE_INTENTS;
use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// The sessions belong to this many accounts; each may have a thousand.
const ACCOUNTS: usize = 10;
const CONNECTS_AT_ONCE: usize = 16;
/// How long a log-in may take before it is tried again, and how long all of them may take.
const LOGIN: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two attempts: half as long at least, twice as long after each failure, up to sixteen times.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST_AGAIN: u32 = 16;

fn connect(hall: &Hall, plane: usize, account: &Account) -> Connect {
    Connect { intents: MESSAGE_INTENTS, keeps: Keeps::Nothing, ..Connect::new(hall.gateway(plane), &account.token) }
}

async fn log_in(connect: Connect) -> Result<Gateway> {
    Ok(Gateway::connect(&connect).await?)
}

/// All sessions are at the first control plane, which is killed and does not come back.
pub async fn storm(options: &Options) -> Result<Storm> {
    let mut hall = Hall::build(options, 2).await?;
    let accounts = hall.members("listener", ACCOUNTS).await?;
    let count = options.sessions as usize;
    progress(&format!("{count} sessions at one of two control planes, which is killed"));
    let first: Vec<Gateway> = stream::iter(0..count)
        .map(|at| log_in(connect(&hall, 0, &accounts[at % ACCOUNTS])))
        .buffer_unordered(CONNECTS_AT_ONCE)
        .try_collect()
        .await
        .context("connecting the sessions")?;
    let failed = Arc::new(AtomicUsize::new(0));
    let (back, mut came_back) = mpsc::channel(count.max(1));
    let mut tasks = JoinSet::new();
    for (at, mut session) in first.into_iter().enumerate() {
        let connects = [0, 1].map(|plane| connect(&hall, plane, &accounts[at % ACCOUNTS]));
        let (failed, back) = (failed.clone(), back.clone());
        tasks.spawn(async move {
            session.end().await;
            let mut wait = 1;
            for plane in [0, 1].into_iter().cycle() {
                match timeout(LOGIN, Gateway::connect(&connects[plane])).await {
                    Ok(Ok(session)) => {
                        let _ = back.send(Instant::now()).await;
                        // Kept until the end of the measurement.
                        return Some(session);
                    }
                    Ok(Err(_)) | Err(_) => {
                        failed.fetch_add(1, Relaxed);
                        sleep(AGAIN * wait / 2 + (AGAIN * wait).mul_f64(rand::random())).await;
                        wait = (wait * 2).min(LONGEST_AGAIN);
                    }
                }
            }
            None
        });
    }
    let killed = Instant::now();
    hall.fleet.kill_plane(0)?;
    let mut times = Vec::with_capacity(count);
    while times.len() < count {
        let at = timeout(PATIENCE.saturating_sub(killed.elapsed()), came_back.recv()).await;
        let at = at.ok().flatten().with_context(|| format!("only {} of {count} sessions came back", times.len()))?;
        times.push(at - killed);
    }
    times.sort_unstable();
    Ok(Storm { sessions: count, half: ms(times[count / 2]), all: ms(times[count - 1]), failed_attempts: failed.load(Relaxed) })
}

/// Messages at both control planes, each heard at both.
pub async fn delivery(options: &Options) -> Result<Delivery> {
    let hall = Hall::build(options, 2).await?;
    let authors = hall.members("author", 4).await?;
    let Options { rate, seconds, .. } = *options;
    progress(&format!("{rate} messages a second at each of two control planes, for {seconds} s"));
    let mut listeners = Vec::new();
    for plane in 0..2 {
        let connect = Connect { keeps: Keeps::All, ..connect(&hall, plane, &hall.owner) };
        listeners.push(Gateway::connect(&connect).await?);
    }
    let total = u64::from(rate) * seconds;
    let mut tasks = JoinSet::new();
    for plane in 0..2 {
        let door = crate::Rest::new(&hall.fleet.url(plane))?;
        let doors: Vec<_> = authors.iter().map(|author| door.as_user(&author.token)).collect();
        let channel = hall.lobby;
        tasks.spawn(async move {
            let mut tick = interval(Duration::from_secs(1) / rate);
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut sends = JoinSet::new();
            for at in 0..total {
                tick.tick().await;
                let door = doors[at as usize % doors.len()].clone();
                sends.spawn(async move { Ok::<_, anyhow::Error>((send(&door, channel).await?, Instant::now())) });
            }
            let mut sent = HashMap::new();
            while let Some(answer) = sends.join_next().await {
                let (id, at) = answer??;
                sent.insert(id.context("a control plane turned a message away")?, at);
            }
            Ok::<_, anyhow::Error>((plane, sent))
        });
    }
    let (mut across, mut within) = (histogram(), histogram());
    while let Some(task) = tasks.join_next().await {
        let (plane, sent) = task??;
        for (place, listener) in listeners.iter_mut().enumerate() {
            let times = if place == plane { &mut within } else { &mut across };
            for (id, acknowledged) in &sent {
                let event = listener.next_event(|event| event.name == "MESSAGE_CREATE" && event.data["id"] == id.as_str()).await;
                let event = event.context("an acknowledged message was not delivered")?;
                note(times, event.at.saturating_duration_since(*acknowledged));
            }
        }
    }
    Ok(Delivery::of(&across, &within))
}

fn note(times: &mut Histogram<u64>, time: Duration) {
    times.saturating_record(time.as_nanos() as u64);
}

/// The same listeners on so many control planes, and what all deliveries cost them.
pub async fn growth(options: &Options, planes: usize) -> Result<Growth> {
    let hall = Hall::build(options, planes).await?;
    let accounts = hall.members("listener", ACCOUNTS).await?;
    let (count, messages) = (options.listeners as usize, u64::from(options.messages));
    progress(&format!("{messages} messages to {count} listeners on {planes} control planes"));
    let sessions: Vec<Gateway> = stream::iter(0..count)
        .map(|at| log_in(connect(&hall, at % planes, &accounts[at % ACCOUNTS])))
        .buffer_unordered(CONNECTS_AT_ONCE)
        .try_collect()
        .await
        .context("connecting the listeners")?;
    let pids: Vec<u32> = (0..planes).filter_map(|plane| hall.fleet.plane_pid(plane)).collect();
    let cpu = || pids.iter().map(|pid| Ok(cpu_of(*pid)?.process_ns)).sum::<Result<u64>>();
    let heard = || sessions.iter().map(|session| session.resumable().seq).sum::<u64>();
    let (before, cpu_before, start) = (heard(), cpu()?, Instant::now());
    for at in 0..messages {
        let text = format!("Message {at} to everyone who listens to this channel.");
        hall.owner.rest.send_message(hall.lobby, &text).await?;
    }
    let expected = messages * count as u64;
    while heard() - before < expected {
        ensure!(start.elapsed() < PATIENCE, "only {} of {expected} deliveries arrived", heard() - before);
        sleep(Duration::from_millis(20)).await;
    }
    let (elapsed, cpu_seconds) = (start.elapsed().as_secs_f64(), (cpu()? - cpu_before) as f64 / 1e9);
    Ok(Growth {
        planes,
        listeners: count,
        messages,
        deliveries_per_second: expected as f64 / elapsed,
        deliveries_per_cpu_second: expected as f64 / cpu_seconds,
    })
}
