//! What is acknowledged at one control plane is heard at the other, and the database is not asked for it.

use super::super::{Session, World, text};
use crate::hub::core::Attached;
use crate::hub::world::told;
use crate::store::testing::Redis;
use futures_util::{StreamExt, stream};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Messages that are written at each of the two, and how many at once.
const MESSAGES: usize = 200;
const AT_ONCE: usize = 8;
/// Much longer than anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(240);

/// When each message was acknowledged.
async fn talk(world: &World, who: &Session) -> HashMap<String, Instant> {
    let send = |number: usize| async move { (text(&world.say(who, &number.to_string()).await["id"]), Instant::now()) };
    stream::iter(0..MESSAGES).map(send).buffer_unordered(AT_ONCE).collect().await
}

/// When each message was heard.
async fn hear(session: &Attached) -> HashMap<String, Instant> {
    let mut heard = HashMap::new();
    while heard.len() < 2 * MESSAGES {
        session.link.rung().await;
        let now = Instant::now();
        let messages = told(session).into_iter().filter(|(name, _)| *name == "MESSAGE_CREATE");
        heard.extend(messages.map(|(_, message)| (text(&message["id"]), now)));
    }
    heard
}

/// The times from here to there, the shortest first.
fn delays(from: &HashMap<String, Instant>, to: &HashMap<String, Instant>) -> Vec<Duration> {
    let mut delays: Vec<Duration> = from.iter().map(|(id, at)| to[id].saturating_duration_since(*at)).collect();
    delays.sort_unstable();
    delays
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_control_planes_write_at_once_each_hears_over_the_bus_and_not_from_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(folder.path());
    let a = World::on_postgres(Some(redis.url())).await;
    let b = a.beside().await;
    a.control_plane.app().bus().is_now(true).await;
    b.control_plane.app().bus().is_now(true).await;
    let ann = a.member("ann").await;
    b.catch_up().await;
    let (on_a, _) = a.listen(&a.owner, None).await;
    let (on_b, _) = b.listen(&ann, None).await;
    let reads = || [&a, &b].map(|world| world.control_plane.hub().census().outbox_reads);
    let (before, started) = (reads(), Instant::now());
    let all = async { tokio::join!(talk(&a, &a.owner), talk(&b, &ann), hear(&on_a), hear(&on_b)) };
    let (of_a, of_b, at_a, at_b) = tokio::time::timeout(PATIENCE, all).await.expect("everything is heard");
    // Once a second in any case, and once after the connection to the bus came about.
    let allowed = started.elapsed().as_secs() + 3;
    for (before, after) in before.into_iter().zip(reads()) {
        assert!(after - before <= allowed, "the outbox was read {} times for {} events", after - before, 2 * MESSAGES);
    }
    for delays in [delays(&of_a, &at_b), delays(&of_b, &at_a)] {
        println!("heard after the acknowledgement: p50 {:?}, p99 {:?}", delays[MESSAGES / 2], delays[MESSAGES * 99 / 100]);
    }
    drop(redis);
}
