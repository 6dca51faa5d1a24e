//! Rate limits over two control planes.

use super::super::World;
use crate::gateway::Origin;
use crate::gateway::session::Refusal;
use crate::gateway::starts::AT_ONCE;
use crate::store::testing::Redis;
use guildhall_protocol::gateway::{Identify, Intents, Shard};
use serde_json::json;

#[tokio::test]
async fn a_caller_has_one_allowance_whichever_control_plane_they_ask() {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(folder.path());
    let a = World::on_postgres_limited(redis.url()).await;
    let b = a.beside().await;
    let typing = format!("/channels/{}/typing", a.text);
    // Until Redis has started; before, each counts for itself.
    a.control_plane.app().bus().is_now(true).await;
    b.control_plane.app().bus().is_now(true).await;
    let mut allowed = 0;
    let refused = 'asking: loop {
        for world in [&a, &b] {
            let reply = world.post(&world.owner, &typing, json!({})).await;
            if reply.status == 429 {
                break 'asking reply;
            }
            allowed += 1;
        }
    };
    // Ten in ten seconds; a window may have begun anew once, on a slow machine, and a first try may have been counted locally.
    assert!((10..=22).contains(&allowed), "{allowed}");
    assert_eq!((refused.header("x-ratelimit-remaining"), refused.header("x-ratelimit-bucket")), ("0", "typing"));
    drop(redis);
    // Each counts for itself now: the owner is let through, and not for ever.
    let mut alone = 0;
    while a.post(&a.owner, &typing, json!({})).await.status == 204 {
        alone += 1;
    }
    assert!((1..=20).contains(&alone), "{alone}");
}

#[tokio::test]
async fn an_account_opens_as_many_sessions_at_once_as_one_may_wherever_it_connects() {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(folder.path());
    let a = World::on_postgres_limited(redis.url()).await;
    let b = a.beside().await;
    let identify = async |world: &World| {
        let identify = Identify {
            token: world.owner.token.clone(),
            intents: Some(Intents::NONE),
            large_threshold: 50,
            shard: Shard::WHOLE,
            presence: None,
        };
        let origin = Origin { host: "hall.example".to_owned(), is_tls: false };
        world.control_plane.hub().identify(identify, &origin, 10).await
    };
    let mut sessions = Vec::new();
    // Both know Redis after this.
    a.control_plane.app().bus().is_now(true).await;
    b.control_plane.app().bus().is_now(true).await;
    let refused = 'opening: loop {
        for world in [&a, &b] {
            match identify(world).await {
                Ok(session) => sessions.push(session),
                Err(refusal) => break 'opening refusal,
            }
        }
        assert!(sessions.len() < 10 * AT_ONCE as usize, "nobody counts");
    };
    assert_eq!(refused, Refusal::Invalid);
    let me = a.owner.id.parse().unwrap();
    let (at_a, at_b) = (a.control_plane.hub().remaining_starts(me).await, b.control_plane.hub().remaining_starts(me).await);
    assert_eq!(at_a.sessions, at_b.sessions);
    drop(redis);
}
