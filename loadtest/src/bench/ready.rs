//! How long a person of many guilds waits until everything is there, and how much it is.

use super::report::{Latency, Ready};
use super::sends::histogram;
use crate::progress;
use crate::rest::Account;
use crate::world::{UNPRIVILEGED, World};
use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

const GUILDS: usize = 100;
/// Log-ins with the guilds in the server's memory.
const ROUNDS: usize = 50;

/// The account, in its guilds.
pub async fn prepare(world: &mut World) -> Result<Account> {
    let account = world.stranger("collector").await?;
    progress(&format!("{GUILDS} guilds of one account"));
    stream::iter(0..GUILDS)
        .map(|at| {
            let rest = account.rest.clone();
            async move { rest.create_guild(&format!("Guild {at}")).await }
        })
        .buffer_unordered(8)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(account)
}

/// With a server that was started anew, so that the first log-in finds no guild in memory.
pub async fn measure(world: &World, account: &Account) -> Result<Ready> {
    let mut times = histogram();
    let (mut cold_ms, mut bytes) = (0.0, 0);
    for round in 0..=ROUNDS {
        let start = Instant::now();
        let mut session = world.session(account, UNPRIVILEGED, true).await?;
        bytes = session.ready.to_string().len();
        for _ in 0..GUILDS {
            let guild = session.next_event(|event| event.name == "GUILD_CREATE").await?;
            bytes += guild.data.to_string().len();
        }
        let elapsed = start.elapsed();
        session.close(1000).await;
        if round == 0 {
            cold_ms = elapsed.as_secs_f64() * 1e3;
        } else {
            times.saturating_record(elapsed.as_nanos() as u64);
        }
    }
    Ok(Ready { guilds: GUILDS, bytes, cold_ms, warm: Latency::of(&times) })
}
