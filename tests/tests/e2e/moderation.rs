//! A moderation bot as people write them with discord.py: its moderators speak to it in the chat, and what it does holds.

use guildhall_protocol::Permissions;
use guildhall_tests::{
    api::{get, post, refused},
    compatibility::{Client, Feature, Report},
    script::Script,
    world::{World, id},
};
use reqwest::Method;
use serde_json::{Value, json};

const MODERATE: Permissions = Permissions::VIEW_CHANNEL
    .union(Permissions::SEND_MESSAGES)
    .union(Permissions::READ_MESSAGE_HISTORY)
    .union(Permissions::KICK_MEMBERS)
    .union(Permissions::BAN_MEMBERS)
    .union(Permissions::MODERATE_MEMBERS)
    .union(Permissions::MANAGE_MESSAGES)
    .union(Permissions::MANAGE_CHANNELS)
    .union(Permissions::MANAGE_ROLES)
    .union(Permissions::MANAGE_NICKNAMES)
    .union(Permissions::VIEW_AUDIT_LOG);

#[tokio::test]
async fn a_discord_py_cog_moderates() {
    let report = Report::of(Client::DiscordPy, "moderation");
    let world = World::start().await;
    let (ann, robin) = (world.member("ann").await, world.member("robin").await);
    let bot = world.bot("warden", MODERATE).await;
    // After the bot, so that it stands below the bot's own role.
    let knight = id(&post(&world.owner.rest, &format!("/guilds/{}/roles", world.guild), json!({"name": "knight"})).await);
    let base = world.server.base();
    let gateway = format!("{}/gateway", base.replace("http://", "ws://"));
    let script =
        Script::python("moderation.py", &json!({"base": base, "gateway": gateway, "token": bot.token}), &world.server.ca());
    script.event("ready", json!({"user": bot.user.id})).await;

    let owner = &world.owner.rest;
    let order = async |words: &str, answer: &str| {
        owner.send_message(world.text, words).await.expect("the owner may write");
        script.event("message_create", json!({"author": bot.user.id, "content": answer})).await;
    };
    let changed = async |change: Value| {
        script.event("member_update", json!({"user": robin.user.id, "changed": change})).await;
    };
    let (of_ann, of_robin) = (format!("<@{}>", ann.user.id), format!("<@{}>", robin.user.id));
    let say = async |words: &str| robin.rest.send_message(world.text, words).await;

    order(&format!("!nick {of_robin} Sir Robin"), "robin is Sir Robin").await;
    changed(json!({"nick": "Sir Robin"})).await;
    order(&format!("!role {of_robin} knight"), "robin got knight").await;
    changed(json!({"roles": ["knight"]})).await;
    let path = format!("/guilds/{}/members/{}", world.guild, robin.user.id);
    assert_eq!(get(owner, &path).await["roles"], json!([knight]));
    order(&format!("!role {of_robin} knight"), "robin lost knight").await;
    changed(json!({"roles": []})).await;

    let mut sung = Vec::new();
    for words in ["brave", "brave sir", "brave sir robin"] {
        sung.push(say(words).await.expect("a member may write").id.to_string());
    }
    ann.rest.send_message(world.text, "no more minstrels").await.expect("a member may write");
    order(&format!("!purge 50 {of_robin}"), "purged 3").await;
    sung.sort();
    script.event("bulk_delete", json!({"channel": world.text, "ids": sung})).await;

    order(&format!("!timeout {of_robin} 10 too loud"), "robin rests").await;
    changed(json!({"timed_out": true})).await;
    let messages = format!("/channels/{}/messages", world.text);
    refused(&robin.rest, Method::POST, &messages, Some(json!({"content": "but"})), 403, 50013).await;
    order(&format!("!untimeout {of_robin}"), "robin may speak").await;
    changed(json!({"timed_out": false})).await;

    say(&format!("!ban {of_ann} 1 revenge")).await.expect("who may speak again may write");
    script.event("refused", json!({"error": "MissingPermissions"})).await;

    order("!slowmode 5", "slowmode 5").await;
    assert_eq!(get(owner, &format!("/channels/{}", world.text)).await["rate_limit_per_user"], 5);

    order(&format!("!kick {of_ann} bye"), "kicked ann").await;
    script.event("member_remove", json!({"guild": world.guild, "user": ann.user.id})).await;

    order(&format!("!ban {of_robin} 1 ni ni ni"), "ban robin?").await;
    order("yes", "banned robin: ni ni ni").await;
    script.event("ban", json!({"guild": world.guild, "user": robin.user.id})).await;
    script.event("member_remove", json!({"guild": world.guild, "user": robin.user.id})).await;
    let history = get(owner, &format!("{messages}?limit=100")).await;
    let by_robin = history.as_array().expect("a list").iter().filter(|said| said["author"]["id"] == json!(robin.user.id));
    assert_eq!(by_robin.count(), 0, "what a banned member wrote lately went with the ban");
    order(&format!("!unban {} forgiven", robin.user.id), "unbanned robin").await;
    script.event("unban", json!({"guild": world.guild, "user": robin.user.id})).await;

    // The audit log tells all of it, as it happened and when asked.
    let (robin, ann, channel) = (json!(robin.user.id), json!(ann.user.id), json!(world.text));
    let done = [
        ("member_update", &robin, json!("manners")),
        ("member_role_update", &robin, json!("earned")),
        ("member_role_update", &robin, json!("enough")),
        ("message_bulk_delete", &channel, json!("spring cleaning")),
        ("member_update", &robin, json!("too loud")),
        ("member_update", &robin, Value::Null),
        ("channel_update", &channel, json!("calm down")),
        ("kick", &ann, json!("bye")),
        ("ban", &robin, json!("ni ni ni")),
        ("unban", &robin, json!("forgiven")),
    ];
    let mut lines = Vec::new();
    for (action, target, reason) in done {
        let line = json!({"action": action, "user": bot.user.id, "target": target, "reason": reason});
        script.event("audit", line.clone()).await;
        lines.insert(0, line);
    }
    let asked = json!({"guild": world.guild, "limit": lines.len()});
    assert_eq!(script.ask("audit_log", asked).await, json!(lines));
    let asked = json!({"guild": world.guild, "limit": 10, "action": "ban"});
    assert_eq!(script.ask("audit_log", asked).await, json!([lines[1]]));
    assert!(script.events("error").is_empty(), "{:?}", script.events("error"));
    assert_eq!(script.events("refused").len(), 1, "{:?}", script.events("refused"));
    report.proves(&[Feature::Moderation, Feature::AuditLog, Feature::Collectors]);
}
