//! Released libraries in a conversation of two: each is written to, answers, reacts, edits, and writes first.

use guildhall_loadtest::rest::Account;
use guildhall_protocol::Permissions;
use guildhall_tests::{
    api::{get, post, put},
    compatibility::{Client, Feature, Report},
    script::Script,
    world::{World, id},
};
use serde_json::{Value, json};

#[tokio::test]
async fn libraries_answer_in_private() {
    let reports = [Client::DiscordJs, Client::DiscordPy, Client::Hikari].map(|client| Report::of(client, "direct messages"));
    let world = World::start().await;
    let (ann, bob) = (world.member("ann").await, world.member("bob").await);
    let js = world.bot("jester", Permissions::VIEW_CHANNEL).await;
    let py = world.bot("python", Permissions::VIEW_CHANNEL).await;
    let hikari = world.bot("lantern", Permissions::VIEW_CHANNEL).await;
    let base = world.server.base();
    let of_js = async {
        let script = Script::node("dm.mjs", &json!({"base": base, "token": js.token}), Some(&world.server.ca()));
        script.event("ready", json!({"user": js.user.id})).await;
        script
    };
    let scripts = tokio::join!(of_js, world.discord_py(&py, &base), world.hikari(&hikari, &base));
    answers_in_private(&scripts.0, &js, &ann, &bob).await;
    answers_in_private(&scripts.1, &py, &ann, &bob).await;
    answers_in_private(&scripts.2, &hikari, &ann, &bob).await;
    reports.into_iter().for_each(|report| report.proves(&[Feature::DirectMessages]));
}

async fn answers_in_private(script: &Script, bot: &Account, ann: &Account, bob: &Account) {
    let dm = id(&post(&ann.rest, "/users/@me/channels", json!({"recipient_id": bot.user.id})).await);
    let messages = format!("/channels/{dm}/messages");
    let asked = id(&post(&ann.rest, &messages, json!({"content": "tell me a joke"})).await);
    let heard = script.event("message_create", json!({"id": asked})).await;
    assert_eq!(heard["content"], "tell me a joke", "bots read their DMs without MESSAGE_CONTENT");
    assert_eq!((&heard["guild"], &heard["is_dm"]), (&json!(null), &json!(true)));

    let answered = script.ask("converse", json!({"channel": dm, "message": asked})).await;
    assert_eq!((&answered["content"], &answered["author"]), (&json!("here you are"), &json!(bot.user.id)));
    let said = get(&ann.rest, &messages).await;
    assert_eq!((&said[0]["content"], &said[0]["message_reference"]["message_id"]), (&json!("here you are"), &json!(asked)));
    assert!(said[0]["edited_timestamp"].is_string());
    assert_eq!((&said[1]["reactions"][0]["emoji"]["name"], &said[1]["reactions"][0]["count"]), (&json!("👍"), &json!(1)));
    put(&ann.rest, &format!("{messages}/{}/reactions/%F0%9F%98%84/@me", id(&said[0])), json!({})).await;
    script.event("reaction_add", json!({"id": said[0]["id"], "emoji": "😄", "user": ann.user.id})).await;

    post(&ann.rest, &messages, json!({"content": "thanks"})).await;
    let history = script.ask("history", json!({"channel": dm, "limit": 10})).await;
    let history = history.as_array().expect("a list").iter().map(|said| (&said["author"], &said["content"]));
    let (to_ann, to_bot) = (json!(ann.user.id), json!(bot.user.id));
    let expected = [(&to_ann, &json!("thanks")), (&to_bot, &json!("here you are")), (&to_ann, &json!("tell me a joke"))];
    assert_eq!(history.collect::<Vec<(&Value, &Value)>>(), expected);

    let first = script.ask("write", json!({"user": bob.user.id, "content": "psst"})).await;
    let channels = get(&bob.rest, "/users/@me/channels").await;
    let opened = channels.as_array().expect("a list").iter().find(|channel| channel["id"] == first["channel"]);
    assert_eq!(opened.expect("bob has the conversation")["last_message_id"], first["id"]);
    assert!(script.events("error").is_empty(), "{:?}", script.events("error"));
}
