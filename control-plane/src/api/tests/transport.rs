//! What every answer has in common: form, headers, versions, limits.

use super::World;
use axum::body::Body;
use axum::http::Method;
use serde_json::json;

#[tokio::test]
async fn every_version_prefix_leads_to_the_same_api() {
    let world = World::new().await;
    for prefix in ["/api", "/api/v8", "/api/v9", "/api/v10"] {
        let reply = world.get(&world.owner, &format!("{prefix}/users/@me")).await;
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(reply.ok()["id"], json!(world.owner.id));
        world.get(&world.owner, &format!("{prefix}/no/such/route")).await.refused(404, 0);
    }
    // discord.js encodes it.
    for path in ["/api/users/%40me", "/api/v10/users/%40me?x=%40"] {
        assert_eq!(world.get(&world.owner, path).await.ok()["id"], json!(world.owner.id));
    }
    let nick = json!({ "nick": "Lord" });
    let own = format!("/api/v10/guilds/{}/members/%40me", world.guild);
    assert_eq!(world.patch(&world.owner, &own, nick).await.ok()["nick"], "Lord");
    for version in ["v7", "v11", "v99999999999999999999"] {
        world.get(&world.owner, &format!("/api/{version}/users/@me")).await.refused(400, 50041);
    }
    for path in ["/api/v10", "/api/v10/", "/api/vx/users/@me"] {
        assert_eq!(world.get(&world.owner, path).await.refused(404, 0)["message"], "404: Not Found");
    }
    world.call(&world.owner, Method::PUT, "/users/@me", None).await.refused(405, 0);
}

#[tokio::test]
async fn the_gateway_is_where_the_client_found_us() {
    let world = World::new().await;
    assert_eq!(world.get(&world.nobody(), "/gateway").await.ok(), json!({ "url": "ws://hall.example:8080/gateway" }));
    let request = world.request(&world.nobody(), Method::GET, "/gateway").header("x-forwarded-proto", "https");
    assert_eq!(world.send(request.body(Body::empty()).unwrap()).await.ok()["url"], "wss://hall.example:8080/gateway");
}

#[tokio::test]
async fn every_answer_says_how_often_one_may_ask() {
    let world = World::limited().await;
    let replies = [
        world.get(&world.owner, "/users/@me").await,
        world.get(&world.owner, "/nowhere").await,
        world.get(&world.nobody(), "/users/@me").await,
        world.post(&world.owner, &world.messages_path(), json!({})).await,
        world.post(&world.owner, &format!("/channels/{}/typing", world.text), json!({})).await,
    ];
    for reply in replies {
        for name in ["x-ratelimit-limit", "x-ratelimit-remaining"] {
            assert!(reply.header(name).parse::<u32>().is_ok(), "{name}: {:?}", reply.header(name));
        }
        for name in ["x-ratelimit-reset", "x-ratelimit-reset-after"] {
            assert!(reply.header(name).parse::<f64>().is_ok(), "{name}: {:?}", reply.header(name));
        }
        assert!(!reply.header("x-ratelimit-bucket").is_empty());
    }
}

#[tokio::test]
async fn a_flood_is_refused_in_the_documented_form_and_stores_nothing_more() {
    let world = World::limited().await;
    let anna = world.member("anna").await;
    let mut stored = 0;
    let refusal = loop {
        let reply = world.post(&anna, &world.messages_path(), json!({ "content": "flood" })).await;
        if reply.status == 429 {
            break reply;
        }
        stored += 1;
        assert!(stored < 1000, "the flood is never refused");
        reply.ok();
    };
    let wait = refusal.body["retry_after"].as_f64().unwrap();
    assert!(wait > 0.0 && wait <= 5.0);
    assert_eq!(refusal.body["global"], false);
    assert_eq!((refusal.header("x-ratelimit-scope"), refusal.header("x-ratelimit-remaining")), ("user", "0"));
    assert_eq!(refusal.header("retry-after").parse::<u64>().unwrap(), wait.ceil() as u64);
    assert!(!refusal.header("via").is_empty(), "discord.py would not wait");
    assert_eq!(world.said().await.len(), stored);
    // Others, and other channels, are not held up.
    world.say(&world.owner, "calm").await;
    world.get(&anna, &world.messages_path()).await.ok();

    let unlimited = World::new().await;
    for _ in 0..60 {
        unlimited.say(&unlimited.owner, "load").await;
    }
}

#[tokio::test]
async fn asking_too_much_of_everything_is_refused_globally() {
    let world = World::limited().await;
    let anna = world.register("anna").await;
    // All at once, so that even a slow machine asks them within one second.
    let replies = futures_util::future::join_all((0..120).map(|_| world.get(&anna, "/users/@me"))).await;
    let refusal = replies.into_iter().find(|reply| reply.status == 429).expect("120 are more than 50");
    assert_eq!((refusal.header("x-ratelimit-scope"), refusal.header("x-ratelimit-global")), ("global", "true"));
    assert_eq!(refusal.body["global"], true);
}

#[tokio::test]
async fn any_page_may_call_with_a_token_of_its_own() {
    let world = World::new().await;
    let request = world
        .request(&world.nobody(), Method::OPTIONS, "/users/@me")
        .header("origin", "https://elsewhere.example")
        .header("access-control-request-method", "PATCH")
        .header("access-control-request-headers", "authorization,content-type");
    let reply = world.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, "*"));
    assert!(reply.header("access-control-allow-headers").contains("authorization"));
    assert_eq!(reply.header("access-control-allow-credentials"), "");
    let reply = world.get(&world.owner, "/users/@me").await;
    assert_eq!((reply.header("access-control-allow-origin"), reply.header("access-control-expose-headers")), ("*", "*"));
}

#[tokio::test]
async fn a_shutdown_keeps_what_was_answered() {
    let world = World::new().await;
    world.say(&world.owner, "last words").await;
    let router = world.router.clone();
    let (owner, path) = (world.owner.clone(), world.messages_path());
    let World { control_plane, place, folder: _folder, .. } = world;
    control_plane.shutdown().await;
    let request = axum::http::Request::post(format!("/api/v10{path}")).header("authorization", owner.token);
    let late = tower::ServiceExt::oneshot(router, request.body(Body::from(r#"{"content":"too late"}"#)).unwrap()).await.unwrap();
    assert!(late.status().is_server_error());
    let (store, _publications) = crate::store::Store::open(&place.location).await.unwrap();
    let channel = path.split('/').nth(2).unwrap().parse().unwrap();
    let kept = store.messages(channel, crate::store::Page::Latest, 10).await.unwrap();
    assert_eq!(kept.into_iter().map(|message| message.content).collect::<Vec<_>>(), ["last words"]);
}
