//! A socket is cut under a library that stays logged in: it resumes, and sees every event once and in order.

use guildhall_protocol::Permissions;
use guildhall_tests::{
    compatibility::{Client, Feature, Report},
    proxy::Proxy,
    script::Script,
    server::Server,
    wire::Wire,
    world::World,
};
use serde_json::json;

const READ: Permissions = Permissions::VIEW_CHANNEL.union(Permissions::READ_MESSAGE_HISTORY);

/// Cuts in one test; each is followed by messages that only a replay can deliver.
const CUTS: usize = 4;

/// Messages around each cut: before it, while nothing gets through, and after. All together stay below the rate limit.
const BATCH: usize = 2;

#[tokio::test]
async fn discord_js_resumes_and_misses_nothing() {
    let report = Report::of(Client::DiscordJs, "resume");
    let world = World::start().await;
    let proxy = Proxy::start(world.server.address()).await;
    let bot = world.bot("jester", READ).await;
    let script = world.discord_js(&bot, &proxy.base()).await;
    cut_and_compare(&world, &proxy, &script).await;
    assert_eq!(script.events("identified").len(), 1, "the session of the start is still the session");
    report.proves(&[Feature::Resume]);
}

#[tokio::test]
async fn discord_py_resumes_and_misses_nothing() {
    let report = Report::of(Client::DiscordPy, "resume");
    let world = World::start().await;
    let proxy = Proxy::start(world.server.address()).await;
    let bot = world.bot("python", READ).await;
    let script = world.discord_py(&bot, &proxy.base()).await;
    cut_and_compare(&world, &proxy, &script).await;
    assert_eq!(script.events("ready").len(), 1, "the session of the start is still the session");
    report.proves(&[Feature::Resume]);
}

#[tokio::test]
async fn hikari_resumes_and_misses_nothing() {
    let report = Report::of(Client::Hikari, "resume");
    let world = World::start().await;
    let proxy = Proxy::start(world.server.address()).await;
    let bot = world.bot("bird", READ).await;
    let script = world.hikari(&bot, &proxy.base()).await;
    cut_and_compare(&world, &proxy, &script).await;
    assert_eq!(script.events("identified").len(), 1, "the session of the start is still the session");
    report.proves(&[Feature::Resume]);
}

async fn cut_and_compare(world: &World, proxy: &Proxy, script: &Script) {
    let mut sent = Vec::new();
    let send = async |sent: &mut Vec<String>| {
        for _ in 0..BATCH {
            let content = format!("message {}", sent.len());
            let message = world.owner.rest.send_message(world.text, &content).await.expect("the owner may write");
            sent.push(message.id.to_string());
        }
    };

    for cut in 1..=CUTS {
        send(&mut sent).await;
        // Half of the cuts come when everything was delivered, the others while events are on their way.
        if cut % 2 == 1 {
            script.event("message_create", json!({"id": sent.last()})).await;
        }
        proxy.cut_and_hold();
        send(&mut sent).await;
        proxy.release();
        script.event_number(cut, "resumed", json!({})).await;
        send(&mut sent).await;
        script.event("message_create", json!({"id": sent.last()})).await;
    }

    let seen: Vec<String> =
        script.events("message_create").iter().map(|event| event["id"].as_str().expect("an id").to_string()).collect();
    assert_eq!(seen, sent, "every message once and in order");
}

/// Together far above what the server keeps for a session that does not read.
const FLOOD: usize = 4_000;
const WRITERS: usize = 16;

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go_and_nobody_waits_for_it() {
    let world = World::on(Server::start_with(&["--rate-limits", "off"])).await;
    let (ann, bob) = (world.member("ann").await, world.member("bob").await);
    let mut reader = world.session(&ann).await;
    let mut stalled = Wire::open_narrow(world.server.address(), "/gateway?v=10&encoding=json").await;
    stalled.hear_op(10).await;
    stalled.json(json!({"op": 2, "d": {"token": bob.token, "properties": {}}})).await;
    stalled.hear("READY", |frame| frame["t"] == "READY").await;

    // The longest messages there are, from many hands; each is answered while bob's socket is full.
    let words = "w".repeat(2000);
    let write = async || {
        let mut sent = Vec::new();
        for _ in 0..FLOOD / WRITERS {
            sent.push(world.owner.rest.send_message(world.text, &words).await.expect("sends are answered").id);
        }
        sent
    };
    let sent = futures_util::future::join_all((0..WRITERS).map(|_| write())).await;
    let mut sent: Vec<_> = sent.into_iter().flatten().map(|id| json!(id)).collect();
    let last = world.owner.rest.send_message(world.text, "the last").await.expect("sends are answered").id;
    let heard = reader.events_until(|event| event.data["id"] == json!(last)).await.expect("who reads gets everything");
    let mut heard: Vec<_> =
        heard.into_iter().filter(|event| event.name == "MESSAGE_CREATE").map(|event| event.data["id"].clone()).collect();
    assert_eq!(heard.pop(), Some(json!(last)));
    assert!(
        heard.is_sorted_by_key(|id| id.as_str().expect("an id").parse::<u64>().expect("a number")),
        "in the order of the channel"
    );
    sent.sort_by_key(|id| id.as_str().expect("an id").parse::<u64>().expect("a number"));
    assert!(heard == sent, "everything, once");

    let frames = stalled.drain().await;
    assert!(frames < FLOOD, "the stalled one was let go before it got everything: {frames} frames");
}
