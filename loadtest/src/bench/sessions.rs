//! What an idle gateway session costs: memory, and CPU for its heartbeats.

use super::Options;
use super::report::Sessions;
use crate::rest::Account;
use crate::server::Server;
use crate::world::{MESSAGE_INTENTS, World};
use crate::{Gateway, progress};
use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The sessions belong to this many accounts, as a person has several devices.
pub const ACCOUNTS: usize = 20;
/// Sessions before the first reading, so that what a first session costs once is not counted per session.
const WARM_UP: usize = 50;
const CONNECTS_AT_ONCE: usize = 16;
/// Memory counts as settled when two readings this far apart differ by less than a hundredth.
const SETTLE: Duration = Duration::from_secs(1);
const SETTLE_TRIES: u32 = 15;

pub async fn measure(options: &Options, server: &Server, world: &mut World) -> Result<Sessions> {
    let accounts = world.members(ACCOUNTS).await?.to_vec();
    let count = options.sessions as usize;
    let warm = connect(world, &accounts, WARM_UP).await?;
    let before = settled_memory(server).await?;
    progress(&format!("watching the server with {WARM_UP} sessions for {} s", options.idle_seconds));
    let base_share = cpu_share(options, server).await?;
    progress(&format!("{count} idle gateway sessions of {ACCOUNTS} accounts connect"));
    let start = Instant::now();
    let open = connect(world, &accounts, count).await?;
    let connects_per_second = count as f64 / start.elapsed().as_secs_f64();
    let memory = settled_memory(server).await?;
    progress(&format!("watching them for {} s", options.idle_seconds));
    let share = cpu_share(options, server).await?;
    // Held until here: what the server does for the first sessions and without any is in both readings.
    drop((warm, open));
    Ok(Sessions {
        sessions: count,
        base_cpu_share: base_share,
        bytes_per_session: memory.saturating_sub(before) as f64 / count as f64,
        cpu_us_per_session_second: (share - base_share) * 1e6 / count as f64,
        connects_per_second,
        server_bytes: memory,
    })
}

async fn connect(world: &World, accounts: &[Account], count: usize) -> Result<Vec<Gateway>> {
    stream::iter(0..count)
        .map(|at| world.session(&accounts[at % accounts.len()], MESSAGE_INTENTS, false))
        .buffer_unordered(CONNECTS_AT_ONCE)
        .try_collect()
        .await
        .context("connecting idle sessions")
}

/// The part of a core that the whole server uses.
async fn cpu_share(options: &Options, server: &Server) -> Result<f64> {
    let (cpu, start) = (server.cpu()?, Instant::now());
    sleep(Duration::from_secs(options.idle_seconds)).await;
    Ok((server.cpu()?.process_ns - cpu.process_ns) as f64 / start.elapsed().as_nanos() as f64)
}

async fn settled_memory(server: &Server) -> Result<u64> {
    let mut last = server.memory()?;
    for _ in 0..SETTLE_TRIES {
        sleep(SETTLE).await;
        let now = server.memory()?;
        if now.abs_diff(last) < last / 100 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}
