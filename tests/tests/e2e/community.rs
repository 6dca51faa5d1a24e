//! What bots do for a community beyond text, the same with every library: reactions, waiting for answers, pins, files, webhooks,
//! threads and forums, the audit log. The libraries' side is in `clients/node/community.mjs`, `clients/python/community.py` and
//! `clients/python/hikari_bot.py`.

use base64::{Engine, engine::general_purpose::STANDARD};
use guildhall_loadtest::rest::Account;
use guildhall_protocol::Permissions;
use guildhall_tests::{
    api::put,
    compatibility::{Client, Feature, Report},
    script::Script,
    world::World,
};
use serde_json::json;

/// Every byte value, in an order that no text has: a file that some layer takes for text comes back changed.
fn file() -> Vec<u8> {
    (0..5_000_u32).map(|i| (i * 7 + i / 256) as u8).collect()
}

#[tokio::test]
async fn discord_js_serves_a_community() {
    let report = Report::of(Client::DiscordJs, "community");
    let world = World::start().await;
    let bot = world.bot("jester", Permissions::ADMINISTRATOR).await;
    let script = world.discord_js(&bot, &world.server.base()).await;
    serves_a_community(&world, &script, &bot, "the way in", "rolls").await;
    report.proves(&PROVEN);
}

#[tokio::test]
async fn discord_py_serves_a_community() {
    let report = Report::of(Client::DiscordPy, "community");
    let world = World::start().await;
    let bot = world.bot("python", Permissions::ADMINISTRATOR).await;
    let script = world.discord_py(&bot, &world.server.base()).await;
    serves_a_community(&world, &script, &bot, "the way in", "rolls").await;
    report.proves(&PROVEN);
}

#[tokio::test]
async fn hikari_serves_a_community() {
    let report = Report::of(Client::Hikari, "community");
    let world = World::start().await;
    let bot = world.bot("lantern", Permissions::ADMINISTRATOR).await;
    let script = world.hikari(&bot, &world.server.base()).await;
    serves_a_community(&world, &script, &bot, None::<&str>, None::<&str>).await;
    report.proves(&PROVEN);
}

const PROVEN: [Feature; 7] = [
    Feature::Reactions,
    Feature::Collectors,
    Feature::Pins,
    Feature::Files,
    Feature::AuditLog,
    Feature::Webhooks,
    Feature::Threads,
];

/// `description` is what the library can say about a file, `begun` the post that a webhook of it can begin.
async fn serves_a_community(
    world: &World,
    script: &Script,
    bot: &Account,
    description: impl Into<Option<&str>>,
    begun: impl Into<Option<&str>>,
) {
    let (ann, robin) = (world.member("ann").await, world.member("robin").await);
    script.event("member_add", json!({"user": robin.user.id})).await;
    let here = json!({"channel": world.text, "user": ann.user.id});

    let (seen, ()) = tokio::join!(script.ask("reactions", here.clone()), async {
        let vote = script.event("voting", json!({})).await["message"].as_str().expect("an id").to_owned();
        put(&ann.rest, &format!("/channels/{}/messages/{vote}/reactions/%F0%9F%91%8D/@me", world.text), json!({})).await;
    });
    let mut users = [bot.user.id.to_string(), ann.user.id.to_string()];
    users.sort();
    let expected = json!({
        "collected": ["👍"],
        "counts": {"👍": 2, "🎉": 1},
        "users": users,
        "taken_back": {"👍": 1, "🎉": 1},
        "cleared": {},
    });
    assert_eq!(seen, expected);

    let (seen, ()) = tokio::join!(script.ask("answer", here.clone()), async {
        script.event("asking", json!({})).await;
        robin.rest.send_message(world.text, "not me").await.expect("a member may write");
        ann.rest.send_message(world.text, "a friend").await.expect("a member may write");
    });
    assert_eq!(seen, json!({"answer": "a friend"}), "what others say is passed over");

    let seen = script.ask("pins", here.clone()).await;
    assert_eq!(seen, json!({"pinned": ["the rules"], "known": true, "unpinned": []}));

    let bytes = STANDARD.encode(file());
    let seen = script.ask("files", json!({"channel": world.text, "bytes": bytes})).await;
    let expected = json!({
        "file": {"name": "map.bin", "size": file().len(), "description": description.into(), "bytes": bytes},
        "embed": {
            "title": "The map",
            "description": "north is up",
            "color": 0x336699,
            "fields": [{"name": "scale", "value": "1:100"}],
        },
    });
    assert_eq!(seen, expected);

    let seen = script.ask("webhook", here.clone()).await;
    let expected = json!({
        "name": "courier",
        "listed": ["courier"],
        "author": "Town crier",
        "by_webhook": true,
        "edited": "hear ye all",
        "fetched": "hear ye all",
        "left": 0,
    });
    assert_eq!(seen, expected);

    let seen = script.ask("thread", here.clone()).await;
    let expected = json!({
        "name": "the feast",
        "parent": true,
        "members": users,
        "active": ["the feast"],
        "said": ["bread"],
        "archived": true,
        "listed": ["the feast"],
        "left": 0,
    });
    assert_eq!(seen, expected);

    let seen = script.ask("forum", json!({"guild": world.guild})).await;
    let expected = json!({
        "post": "apples",
        "tags": ["fruit"],
        "begins": "the red ones",
        "retagged": ["fruit", "bread"],
        "offered": ["fruit", "bread", "fish"],
        "answered": ["five each", true],
        "begun": begun.into(),
    });
    assert_eq!(seen, expected);

    let session = world.session(&ann).await;
    script.event("presence_update", json!({"user": ann.user.id, "status": "online"})).await;
    let seen = script.ask("corners", json!({"guild": world.guild, "channel": world.text, "user": ann.user.id})).await;
    let expected = json!({
        "forwarded": "worth telling",
        "left": {"🎉": 1},
        "alone": 1,
        "member": [[ann.user.id, "online"]],
        "members": 4,
        "nick": "Jack",
        "joined": [true],
        "answered": 90,
        "missing": [404, 404],
    });
    assert_eq!(seen, expected);
    session.close(1000).await;

    let seen = script.ask("audit", json!({"guild": world.guild, "member": robin.user.id})).await;
    let line = |action: u32, target: &str, reason: &str| json!({"action": action, "user": bot.user.id, "target": target, "reason": reason});
    let (role, target) = (seen["role"].as_str().expect("an id"), robin.user.id.to_string());
    let expected = json!([line(20, &target, "too loud"), line(25, &target, "loud voice"), line(30, role, "for the feast")]);
    assert_eq!(seen["entries"], expected);
    assert!(script.events("error").is_empty(), "{:?}", script.events("error"));
}
