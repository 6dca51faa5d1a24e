//! discord.js, as released, in a conversation of two: it is written to, answers, reacts, edits, and writes first.

use guildhall_protocol::Permissions;
use guildhall_tests::{
    api::{get, post, put},
    compatibility::{Client, Feature, Report},
    script::Script,
    world::{World, id},
};
use serde_json::json;

#[tokio::test]
async fn discord_js_answers_in_private() {
    let report = Report::of(Client::DiscordJs, "direct messages");
    let world = World::start().await;
    let ann = world.member("ann").await;
    let bot = world.bot("jester", Permissions::VIEW_CHANNEL).await;
    let given = json!({"base": world.server.base(), "token": bot.token});
    let script = Script::node("dm.mjs", &given, Some(&world.server.ca()));
    script.event("ready", json!({"user": bot.user.id})).await;

    let dm = id(&post(&ann.rest, "/users/@me/channels", json!({"recipient_id": bot.user.id})).await);
    let messages = format!("/channels/{dm}/messages");
    let asked = id(&post(&ann.rest, &messages, json!({"content": "tell me a joke"})).await);
    let heard = script.event("message_create", json!({"id": asked})).await;
    assert_eq!(heard["content"], "tell me a joke", "bots read their DMs without MESSAGE_CONTENT");
    assert_eq!((&heard["guild"], &heard["is_dm"]), (&json!(null), &json!(true)));

    let answered = script.ask("answer", json!({"channel": dm, "message": asked})).await;
    assert_eq!((&answered["content"], &answered["author"]), (&json!("here you are"), &json!(bot.user.id)));
    let said = get(&ann.rest, &messages).await;
    assert_eq!((&said[0]["content"], &said[0]["message_reference"]["message_id"]), (&json!("here you are"), &json!(asked)));
    assert!(said[0]["edited_timestamp"].is_string());
    assert_eq!((&said[1]["reactions"][0]["emoji"]["name"], &said[1]["reactions"][0]["count"]), (&json!("👍"), &json!(1)));
    put(&ann.rest, &format!("{messages}/{}/reactions/%F0%9F%98%84/@me", id(&said[0])), json!({})).await;
    script.event("reaction_add", json!({"id": said[0]["id"], "emoji": "😄", "user": ann.user.id})).await;

    post(&ann.rest, &messages, json!({"content": "thanks"})).await;
    let history = script.ask("history", json!({"channel": dm})).await;
    let expected = json!([
        {"author": ann.user.id, "content": "thanks"},
        {"author": bot.user.id, "content": "here you are"},
        {"author": ann.user.id, "content": "tell me a joke"},
    ]);
    assert_eq!(history, expected);

    let bob = world.member("bob").await;
    let first = script.ask("write", json!({"user": bob.user.id, "content": "psst"})).await;
    let channels = get(&bob.rest, "/users/@me/channels").await;
    assert_eq!(
        (id(&channels[0]), &channels[0]["last_message_id"]),
        (first["channel"].as_str().unwrap_or_default().to_string(), &first["id"])
    );
    assert!(script.events("error").is_empty(), "{:?}", script.events("error"));
    report.proves(&[Feature::DirectMessages]);
}
