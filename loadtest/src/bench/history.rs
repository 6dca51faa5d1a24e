//! A channel with a long past: pages at random places of it, and searches over it.
//!
//! The messages go into the database directly while the server is stopped; sent one by one they would take minutes. The
//! server puts them into its search index when it is started again.

use super::Options;
use super::report::{History, Latency};
use super::sends::histogram;
use crate::progress;
use crate::world::World;
use anyhow::{Context, Result, ensure};
use guildhall_protocol::ChannelId;
use guildhall_protocol::model::ChannelType;
use hdrhistogram::Histogram;
use reqwest::Method;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PAGES: usize = 2_000;
const SEARCHES: usize = 200;
/// Each of the messages names one of so many subjects, and one of so many matters.
const SUBJECTS: u64 = 997;
const MATTERS: u64 = 89;
/// One millisecond of an id.
const MS: u64 = 1 << 22;
/// The index takes some 20 µs per message, and longer on a busy machine.
const INDEX_PATIENCE: Duration = Duration::from_secs(600);

/// Where the past is: before this message.
pub struct Past {
    channel: ChannelId,
    last: u64,
}

pub async fn prepare(world: &World) -> Result<Past> {
    let channel = world.channel("archive", ChannelType::Text).await?;
    let last = world.owner.rest.send_message(channel, "The newest message of a long past.").await?;
    Ok(Past { channel, last: last.id.get() })
}

/// Copies the newest message into the past, one a millisecond, each with words of its own.
pub async fn fill(data: &Path, past: &Past, count: u64) -> Result<()> {
    progress(&format!("{count} messages go into the database"));
    let options = SqliteConnectOptions::new().filename(data.join("guildhall.db")).disable_statement_logging();
    let mut database = sqlx::SqliteConnection::connect_with(&options).await?;
    let columns: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pragma_table_info('messages')").fetch_all(&mut database).await?;
    let values = columns.iter().map(|column| match column.as_str() {
        "id" => format!("id - ({count} + 1 - i) * {MS}"),
        "content" => format!("'message ' || i || ' of subject' || (i % {SUBJECTS}) || ' and matter' || (i % {MATTERS})"),
        column => column.to_owned(),
    });
    let insert = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO messages ({}) SELECT {} FROM n JOIN messages ON id = {}",
        columns.join(", "),
        values.collect::<Vec<_>>().join(", "),
        past.last,
    );
    sqlx::query(sqlx::AssertSqlSafe(insert)).execute(&mut database).await.context("filling the channel")?;
    // As an upgrade from a version without an index leaves it.
    let behind = "INSERT INTO search_backlog (channel_id, message_id, indexed) VALUES (0, 0, 0)";
    sqlx::query(behind).execute(&mut database).await.context("having them indexed")?;
    database.close().await?;
    Ok(())
}

pub async fn measure(options: &Options, world: &World, past: &Past) -> Result<History> {
    let count = u64::from(options.messages);
    let pages = pages(world, past, count).await?;
    progress("waiting for the search index");
    let start = Instant::now();
    let search = format!("/guilds/{}/messages/search", world.guild);
    loop {
        let reply = world.owner.rest.call(Method::GET, &format!("{search}?content=subject1"), None).await?;
        if reply.status == 200 && reply.body["total_results"].as_u64() >= Some(count / SUBJECTS) {
            break;
        }
        ensure!(start.elapsed() < INDEX_PATIENCE, "the index is not ready: HTTP {} {}", reply.status, reply.body);
        sleep(Duration::from_millis(500)).await;
    }
    let subject = |at: u64| format!("{search}?content=subject{}", at % SUBJECTS);
    let both = |at: u64| format!("{search}?content=subject{}%20matter{}", at % SUBJECTS, at % MATTERS);
    let common = |_| format!("{search}?content=message");
    Ok(History {
        messages: count,
        pages,
        one_word: searches(world, SEARCHES, subject).await?,
        two_words: searches(world, SEARCHES, both).await?,
        common_word: searches(world, SEARCHES / 10, common).await?,
    })
}

async fn pages(world: &World, past: &Past, count: u64) -> Result<Latency> {
    let mut times = histogram();
    for _ in 0..PAGES {
        let before = past.last - rand::random_range(0..count) * MS;
        let path = format!("/channels/{}/messages?limit=50&before={before}", past.channel);
        timed(world, &path, &mut times).await?;
    }
    Ok(Latency::of(&times))
}

async fn searches(world: &World, count: usize, path: impl Fn(u64) -> String) -> Result<Latency> {
    let mut times = histogram();
    for _ in 0..count {
        timed(world, &path(rand::random_range(0..1_000_000)), &mut times).await?;
    }
    Ok(Latency::of(&times))
}

async fn timed(world: &World, path: &str, times: &mut Histogram<u64>) -> Result<()> {
    let start = Instant::now();
    let reply = world.owner.rest.call(Method::GET, path, None).await?;
    ensure!(reply.status == 200, "{path}: HTTP {} {}", reply.status, reply.body);
    times.saturating_record(start.elapsed().as_nanos() as u64);
    Ok(())
}
