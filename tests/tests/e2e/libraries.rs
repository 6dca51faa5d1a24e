//! discord.js, discord.py and hikari, as released: they log in, fill their caches, and talk to each other in text.

use guildhall_loadtest::rest::Account;
use guildhall_protocol::{Permissions, model::ChannelType};
use guildhall_tests::{
    api::{delete, get, patch, put},
    compatibility::{Client, Feature, Report},
    script::Script,
    world::{World, id},
};
use serde_json::{Value, json};

const TALK: Permissions = Permissions::VIEW_CHANNEL
    .union(Permissions::SEND_MESSAGES)
    .union(Permissions::READ_MESSAGE_HISTORY)
    .union(Permissions::CONNECT)
    .union(Permissions::SPEAK);

#[tokio::test]
async fn discord_js_fills_its_caches() {
    let report = Report::of(Client::DiscordJs, "caches");
    let world = World::start().await;
    let ann = world.member("ann").await;
    let bot = world.bot("jester", TALK).await;
    let script = world.discord_js(&bot, &world.server.base()).await;
    check_caches(&world, &script, &bot, &ann).await;
    report.proves(&[Feature::Login, Feature::Members]);
}

#[tokio::test]
async fn discord_py_fills_its_caches() {
    let report = Report::of(Client::DiscordPy, "caches");
    let world = World::start().await;
    let ann = world.member("ann").await;
    let bot = world.bot("python", TALK).await;
    let script = world.discord_py(&bot, &world.server.base()).await;
    check_caches(&world, &script, &bot, &ann).await;
    report.proves(&[Feature::Login, Feature::Members]);
}

#[tokio::test]
async fn hikari_fills_its_caches() {
    let report = Report::of(Client::Hikari, "caches");
    let world = World::start().await;
    let ann = world.member("ann").await;
    let bot = world.bot("lantern", TALK).await;
    let script = world.hikari(&bot, &world.server.base()).await;
    check_caches(&world, &script, &bot, &ann).await;
    report.proves(&[Feature::Login, Feature::Members]);
}

async fn check_caches(world: &World, script: &Script, bot: &Account, ann: &Account) {
    let caches = script.ask("caches", json!({})).await;
    assert_eq!(caches["user"], json!({"id": bot.user.id, "name": bot.user.username, "bot": true}));
    let guilds = caches["guilds"].as_array().expect("a list of guilds");
    assert_eq!(guilds.len(), 1, "{caches}");
    let guild = &guilds[0];
    assert_eq!(guild["id"], json!(world.guild));
    assert_eq!(guild["name"], "The hall");
    assert_eq!(guild["owner"], json!(world.owner.user.id));
    assert_eq!(guild["available"], true);
    assert_eq!(guild["member_count"], 3);

    assert!(holds(&guild["channels"], &json!({"id": world.text, "name": "stories", "type": 0})), "{guild}");
    assert!(holds(&guild["channels"], &json!({"id": world.voice, "name": "hearth", "type": 2})), "{guild}");
    let everyone = guild["roles"].as_array().expect("roles").iter().find(|role| role["id"] == json!(world.guild));
    assert_eq!(everyone.expect("the role of everyone has the guild's id")["name"], "@everyone");
    let mine: u64 = guild["my_permissions"].as_str().expect("decimal").parse().expect("decimal");
    assert!(Permissions(mine).contains(TALK), "the library computes at least what was granted");

    let mut members = vec![world.owner.user.id.to_string(), ann.user.id.to_string(), bot.user.id.to_string()];
    members.sort();
    let mut fetched = strings(&script.ask("fetch_members", json!({"guild": world.guild})).await);
    fetched.sort();
    assert_eq!(fetched, members, "op 8 answers with every member");

    // What changes later arrives as events.
    let bob = world.member("bob").await;
    script.event("member_add", json!({"guild": world.guild, "user": bob.user.id})).await;
    let attic = world.owner.rest.create_channel(world.guild, "attic", ChannelType::Text).await.expect("a channel").id;
    script.event("channel_create", json!({"channel": attic, "name": "attic"})).await;
    patch(&world.owner.rest, &format!("/channels/{attic}"), json!({"name": "loft"})).await;
    script.event("channel_update", json!({"channel": attic, "name": "loft"})).await;
    delete(&world.owner.rest, &format!("/channels/{attic}")).await;
    script.event("channel_delete", json!({"channel": attic})).await;
    world.owner.rest.kick(world.guild, bob.user.id).await.expect("the owner may kick");
    script.event("member_remove", json!({"guild": world.guild, "user": bob.user.id})).await;
}

#[tokio::test]
async fn discord_js_keeps_a_guild() {
    let report = Report::of(Client::DiscordJs, "guild");
    let world = World::start().await;
    let bot = world.bot("jester", Permissions::ADMINISTRATOR).await;
    let script = world.discord_js(&bot, &world.server.base()).await;
    keeps_a_guild(&world, &script).await;
    report.proves(&[Feature::Administration, Feature::Moderation]);
}

#[tokio::test]
async fn discord_py_keeps_a_guild() {
    let report = Report::of(Client::DiscordPy, "guild");
    let world = World::start().await;
    let bot = world.bot("python", Permissions::ADMINISTRATOR).await;
    let script = world.discord_py(&bot, &world.server.base()).await;
    keeps_a_guild(&world, &script).await;
    report.proves(&[Feature::Administration, Feature::Moderation]);
}

#[tokio::test]
async fn hikari_keeps_a_guild() {
    let report = Report::of(Client::Hikari, "guild");
    let world = World::start().await;
    let bot = world.bot("lantern", Permissions::ADMINISTRATOR).await;
    let script = world.hikari(&bot, &world.server.base()).await;
    keeps_a_guild(&world, &script).await;
    report.proves(&[Feature::Administration, Feature::Moderation]);
}

/// Roles, channels, overwrites, invites, members, bans, bulk deletion: through the library's own objects.
async fn keeps_a_guild(world: &World, script: &Script) {
    let robin = world.member("robin").await;
    script.event("member_add", json!({"user": robin.user.id})).await;
    let mut seen = script.ask("manage", json!({"guild": world.guild, "member": robin.user.id})).await;
    let invite = seen["invite"].take();
    assert_eq!((&invite["guild"], &invite["uses"], &invite["age"]), (&json!(world.guild), &json!(2), &json!(3600)));
    seen.as_object_mut().expect("an object").remove("invite");
    let expected = json!({
        "role": {"name": "keeper", "color": 0x336699, "permissions": Permissions::MANAGE_MESSAGES},
        "renamed": "warden",
        "given": true,
        "nick": "Sir Robin",
        "channel": {"name": "vault", "topic": "secrets", "hidden": true},
        "overwrite": {"view": true, "send": false},
        "slowmode": 5,
        "after": ["four", "three"],
        "bulk": 3,
        "left": ["four"],
        "timeout": true,
        "untimed": false,
        "bans": [{"user": robin.user.id, "reason": "ni"}],
        "unbanned": 0,
        "gone": true,
    });
    assert_eq!(seen, expected);
    assert!(script.events("error").is_empty(), "{:?}", script.events("error"));
}

#[tokio::test]
async fn presence_comes_and_goes_with_the_session() {
    let reports = [Client::DiscordJs, Client::DiscordPy, Client::Hikari].map(|client| Report::of(client, "presence"));
    let world = World::start().await;
    let ann = world.member("ann").await;
    let [js_bot, py_bot, hikari_bot] = bots(&world).await;
    let base = world.server.base();
    let (js, py, hikari) =
        tokio::join!(world.discord_js(&js_bot, &base), world.discord_py(&py_bot, &base), world.hikari(&hikari_bot, &base));
    let scripts = [&js, &py, &hikari];
    let session = world.session(&ann).await;
    for status in ["online", "idle", "dnd"] {
        session.set_status(status).await.expect("op 3 goes out");
        for script in scripts {
            script.event("presence_update", json!({"user": ann.user.id, "status": status})).await;
        }
    }
    session.close(1000).await;
    for script in scripts {
        script.event("presence_update", json!({"user": ann.user.id, "status": "offline"})).await;
    }
    reports.into_iter().for_each(|report| report.proves(&[Feature::Presence]));
}

async fn bots(world: &World) -> [Account; 3] {
    [world.bot("jester", TALK).await, world.bot("python", TALK).await, world.bot("lantern", TALK).await]
}

#[tokio::test]
async fn three_libraries_and_a_person_talk_in_text() {
    let reports = [Client::DiscordJs, Client::DiscordPy, Client::Hikari].map(|client| Report::of(client, "text"));
    let world = World::start().await;
    let [js_bot, py_bot, hikari_bot] = bots(&world).await;
    let ann = world.member("ann").await;
    let base = world.server.base();
    let (js, py, hikari) =
        tokio::join!(world.discord_js(&js_bot, &base), world.discord_py(&py_bot, &base), world.hikari(&hikari_bot, &base));

    for (from, from_bot, to) in [(&js, &js_bot, &py), (&py, &py_bot, &hikari), (&hikari, &hikari_bot, &js)] {
        let words = format!("hello from {} — ünïcödé 🏰", from_bot.user.username);
        let sent = from.ask("send", json!({"channel": world.text, "content": words})).await;
        let message = sent["id"].as_str().expect("a message has an id");
        assert_eq!(sent["author"], json!(from_bot.user.id));
        let seen =
            json!({"id": message, "channel": world.text, "guild": world.guild, "author": from_bot.user.id, "content": words});
        to.event("message_create", seen.clone()).await;
        from.event("message_create", seen).await;

        from.ask("edit", json!({"channel": world.text, "message": message, "content": "better words"})).await;
        let edited = to.event("message_update", json!({"id": message, "content": "better words"})).await;
        assert!(!edited["edited"].is_null(), "an edit has a time: {edited}");

        let reply = to.ask("send", json!({"channel": world.text, "content": "quite so", "reply_to": message})).await;
        let path = format!("/channels/{}/messages/{}", world.text, id(&reply));
        let stored = get(&ann.rest, &path).await;
        assert_eq!(stored["message_reference"]["message_id"], message);

        from.ask("delete", json!({"channel": world.text, "message": message})).await;
        to.event("message_delete", json!({"id": message, "channel": world.text})).await;
    }

    // A person writes, types, and every library notices.
    ann.rest.typing(world.text).await.expect("a member may type");
    let said = ann.rest.send_message(world.text, "good evening").await.expect("a member may write");
    for script in [&js, &py, &hikari] {
        script.event("typing_start", json!({"channel": world.text, "user": ann.user.id})).await;
        script.event("message_create", json!({"id": said.id, "author": ann.user.id, "content": "good evening"})).await;
        let history = script.ask("history", json!({"channel": world.text, "limit": 10})).await;
        let history = history.as_array().expect("a list");
        assert_eq!(history.len(), 4, "three replies and the greeting are left: {history:?}");
        assert_eq!(history[0]["id"], json!(said.id), "the newest comes first");
    }
    for (from, from_bot, to) in [(&js, &js_bot, &py), (&py, &py_bot, &hikari), (&hikari, &hikari_bot, &js)] {
        from.ask("typing", json!({"channel": world.text})).await;
        to.event("typing_start", json!({"channel": world.text, "user": from_bot.user.id})).await;
    }

    // What a library may not do it is told in its own terms.
    let keep = world.owner.rest.create_channel(world.guild, "keep", ChannelType::Text).await.expect("a channel").id;
    let deny = json!({"type": 0, "allow": "0", "deny": "2048"});
    put(&world.owner.rest, &format!("/channels/{keep}/permissions/{}", world.guild), deny).await;
    for (script, name) in [(&js, "DiscordAPIError"), (&py, "Forbidden"), (&hikari, "ForbiddenError")] {
        let refusal = script.try_ask("send", json!({"channel": keep, "content": "let me in"})).await;
        let refusal = refusal.expect_err("sending is denied");
        assert!(refusal.contains(name) && refusal.contains("50013"), "{refusal}");
    }
    assert!(hikari.events("error").is_empty(), "{:?}", hikari.events("error"));
    reports.into_iter().for_each(|report| report.proves(&[Feature::Messages]));
}

fn holds(list: &Value, item: &Value) -> bool {
    list.as_array().is_some_and(|list| list.contains(item))
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|item| item.as_str().expect("a string").to_string()).collect()
}
