//! Rate limits over two control planes.

use super::super::World;
use crate::gateway::Origin;
use crate::gateway::starts::DAILY;
use crate::store::testing::Redis;
use guildhall_protocol::gateway::{Identify, Intents, Shard};
use serde_json::json;

/// Two that count together.
async fn two(redis: &Redis) -> (World, World) {
    let a = World::on_postgres_limited(redis.url()).await;
    let b = a.beside().await;
    a.control_plane.app().counts_together().await;
    b.control_plane.app().counts_together().await;
    (a, b)
}

#[tokio::test]
async fn a_caller_has_one_allowance_whichever_control_plane_they_ask() {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(folder.path());
    let (a, b) = two(&redis).await;
    let ann = a.member("ann").await;
    // Two names an hour: a window that no machine is too slow for.
    let rename = async |world: &World, name: &str| {
        world.patch(&ann, "/users/@me", json!({ "username": name, "password": "correct horse" })).await
    };
    rename(&a, "anna").await.ok();
    rename(&b, "anne").await.ok();
    for world in [&a, &b] {
        rename(world, "annabel").await.form_error("/username", "USERNAME_RATE_LIMIT");
    }
    // What every request passes counts in the same way. Ten seconds may be over in between, once in a while.
    let typing = format!("/channels/{}/typing", a.text);
    let left = async |world: &World| -> u32 {
        world.post(&ann, &typing, json!({})).await.header("x-ratelimit-remaining").parse().unwrap()
    };
    let mut tries = 0;
    while left(&a).await != left(&b).await + 1 {
        tries += 1;
        assert!(tries < 5, "each counts for itself");
    }
    // Without Redis each does: nobody is locked out by it.
    drop(redis);
    rename(&a, "annabel").await.ok();
}

#[tokio::test]
async fn an_account_opens_as_many_sessions_as_one_may_wherever_it_connects() {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(folder.path());
    let (a, b) = two(&redis).await;
    let me = a.owner.id.parse().unwrap();
    for (world, opened) in [(&a, 1), (&b, 2), (&a, 3)] {
        let identify = Identify {
            token: world.owner.token.clone(),
            intents: Some(Intents::NONE),
            large_threshold: 50,
            shard: Shard::WHOLE,
            presence: None,
        };
        let origin = Origin { host: "hall.example".to_owned(), is_tls: false, address: None };
        assert!(world.control_plane.hub().identify(identify, &origin, 10).await.is_ok());
        for world in [&a, &b] {
            let remaining = world.control_plane.hub().remaining_starts(me).await;
            assert_eq!((remaining.sessions, remaining.reset_after.is_zero()), (DAILY - opened, false));
        }
    }
    drop(redis);
}
