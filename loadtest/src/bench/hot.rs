//! One channel that thousands listen to: what a delivery costs the server.

use super::Options;
use super::report::Hot;
use crate::gateway::Gateway;
use crate::server::Server;
use crate::world::World;
use crate::{progress, rest::Account};
use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use guildhall_protocol::model::ChannelType;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The sessions belong to this many accounts; each may have a thousand.
const ACCOUNTS: usize = 20;
/// GUILD_MESSAGES alone: nothing else is counted.
const INTENTS: u64 = 1 << 9;
const CONNECTS_AT_ONCE: usize = 16;
/// How long the last delivery may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn measure(options: &Options, server: &Server, world: &mut World) -> Result<Hot> {
    let accounts: Vec<Account> = world.members(ACCOUNTS).await?.to_vec();
    let channel = world.channel("hot", ChannelType::Text).await?;
    let (count, messages) = (options.hot_sessions as usize, u64::from(options.hot_messages));
    progress(&format!("{count} sessions of {ACCOUNTS} accounts listen to one channel"));
    let sessions: Vec<Gateway> = stream::iter(0..count)
        .map(|at| world.session(&accounts[at % accounts.len()], INTENTS, false))
        .buffer_unordered(CONNECTS_AT_ONCE)
        .try_collect()
        .await
        .context("connecting the listeners")?;
    let heard = || sessions.iter().map(|session| session.resumable().seq).sum::<u64>();
    let (before, cpu, start) = (heard(), server.cpu()?, Instant::now());
    progress(&format!("{messages} messages, one after another"));
    for at in 0..messages {
        world.owner.rest.send_message(channel, &format!("Message {at} to everyone who listens to this channel.")).await?;
    }
    let expected = messages * count as u64;
    while heard() - before < expected {
        ensure!(start.elapsed() < PATIENCE, "only {} of {expected} deliveries arrived", heard() - before);
        sleep(Duration::from_millis(20)).await;
    }
    let cpu_ns = server.cpu()?.process_ns - cpu.process_ns;
    let elapsed = start.elapsed();
    Ok(Hot {
        sessions: count,
        messages,
        deliveries_per_cpu_second: expected as f64 / (cpu_ns as f64 / 1e9),
        deliveries_per_second: expected as f64 / elapsed.as_secs_f64(),
    })
}
