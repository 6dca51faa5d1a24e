//! Messages.

use super::shapes::SCHEMAS;
use super::{World, text};
use guildhall_protocol::Permissions;
use serde_json::{Value, json};

#[tokio::test]
async fn a_message_is_sent_read_edited_and_deleted() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let reply = world.post(&anna, &world.messages_path(), json!({ "content": " hello ", "nonce": 42, "tts": false })).await;
    assert_eq!(reply.status, 200);
    let message = reply.body;
    let id = text(&message["id"]);
    assert_eq!((&message["content"], &message["nonce"], &message["type"]), (&json!("hello"), &json!(42), &json!(0)));
    assert_eq!((text(&message["author"]["id"]), &message["edited_timestamp"]), (anna.id.clone(), &Value::Null));
    for key in ["mentions", "mention_roles", "attachments", "embeds", "components"] {
        assert_eq!(message[key], json!([]), "{key}");
    }
    let path = format!("{}/{id}", world.messages_path());
    let mut read = world.get(&world.owner, &path).await.ok();
    read["nonce"] = json!(42);
    assert_eq!(read, message, "what was answered is what is stored");
    let edited = world.patch(&anna, &path, json!({ "content": "hello, all" })).await.ok();
    assert!(edited["edited_timestamp"].is_string());
    assert_eq!((&edited["content"], &edited["timestamp"]), (&json!("hello, all"), &message["timestamp"]));
    world.patch(&anna, &path, json!({ "content": "" })).await.refused(400, 50006);
    // Its author, or who manages messages, deletes it.
    let bea = world.member("bea").await;
    world.delete(&bea, &path).await.refused(403, 50013);
    world.delete(&anna, &path).await.no_content();
    world.get(&anna, &path).await.refused(404, 10008);
    let other = text(&world.say(&anna, "again").await["id"]);
    world.delete(&world.owner, &format!("{}/{other}", world.messages_path())).await.no_content();
    assert_eq!(world.said().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_retry_with_an_enforced_nonce_gives_the_same_message() {
    let world = World::new().await;
    let body = json!({ "content": "once", "nonce": "1234567890", "enforce_nonce": true });
    let first = world.post(&world.owner, &world.messages_path(), body.clone()).await.ok();
    let path = world.messages_path();
    let tries = (0..5).map(|_| world.post(&world.owner, &path, body.clone()));
    for again in futures_util::future::join_all(tries).await {
        assert_eq!(again.ok(), first);
    }
    let free = json!({ "content": "twice", "nonce": "1234567890", "enforce_nonce": false });
    world.post(&world.owner, &world.messages_path(), free.clone()).await.ok();
    world.post(&world.owner, &world.messages_path(), free).await.ok();
    assert_eq!(world.said().await, ["once", "twice", "twice"]);
    // The same nonce of another author is another message.
    let anna = world.member("anna").await;
    assert_ne!(world.post(&anna, &world.messages_path(), body).await.ok()["id"], first["id"]);
}

#[tokio::test]
async fn history_is_read_in_pages() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(text(&world.say(&world.owner, &number.to_string()).await["id"]));
    }
    let page = async |query: &str| {
        let messages = world.get(&world.owner, &format!("{}?{query}", world.messages_path())).await.ok();
        messages.as_array().unwrap().iter().map(|message| text(&message["content"])).collect::<String>()
    };
    assert_eq!(page("").await, "6543210");
    assert_eq!(page("limit=2").await, "65");
    assert_eq!(page(&format!("limit=2&before={}", ids[3])).await, "21");
    assert_eq!(page(&format!("limit=2&after={}", ids[3])).await, "54");
    assert_eq!(page(&format!("limit=3&around={}", ids[3])).await, "432");
}

#[tokio::test]
async fn a_reply_shows_its_original_until_that_is_gone() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let original = text(&world.say(&anna, "question?").await["id"]);
    let answer = json!({ "content": "answer", "message_reference": { "message_id": original } });
    let reply = world.post(&world.owner, &world.messages_path(), answer).await.ok();
    assert_eq!((&reply["type"], &reply["message_reference"]["message_id"]), (&json!(19), &json!(original)));
    assert_eq!(reply["referenced_message"]["content"], "question?");
    assert_eq!(text(&reply["mentions"][0]["id"]), anna.id, "the author of the original is told");
    let silent = json!({
        "content": "answer", "message_reference": { "message_id": original }, "allowed_mentions": { "parse": [], "replied_user": false },
    });
    assert_eq!(world.post(&world.owner, &world.messages_path(), silent).await.ok()["mentions"], json!([]));
    world.delete(&anna, &format!("{}/{original}", world.messages_path())).await.no_content();
    let path = format!("{}/{}", world.messages_path(), text(&reply["id"]));
    let read = world.get(&world.owner, &path).await.ok();
    assert_eq!((&read["type"], read.get("referenced_message")), (&json!(19), Some(&Value::Null)));
    let lenient = json!({ "content": "late", "message_reference": { "message_id": original, "fail_if_not_exists": false } });
    assert_eq!(world.post(&world.owner, &world.messages_path(), lenient).await.ok()["type"], 0);
}

#[tokio::test]
async fn mentions_take_effect_as_far_as_the_sender_may_and_wants() {
    let world = World::new().await;
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let (loud, quiet) = (world.role("loud", 0).await, world.role("quiet", 0).await);
    world.patch(&world.owner, &format!("/guilds/{}/roles/{loud}", world.guild), json!({ "mentionable": true })).await.ok();
    let deny = json!({ "type": 0, "deny": Permissions::MENTION_EVERYONE.0.to_string() });
    world.put(&world.owner, &format!("/channels/{}/permissions/{}", world.text, world.guild), deny).await.no_content();
    let content = format!("<@{}> <@!{}> <@&{loud}> <@&{quiet}> @everyone `<@{}>` <@1>", bea.id, anna.id, world.owner.id);
    let names = |message: &Value| -> Vec<String> {
        message["mentions"].as_array().unwrap().iter().map(|user| text(&user["username"])).collect()
    };
    let by_anna = world.say(&anna, &content).await;
    assert_eq!(names(&by_anna), ["bea", "anna"]);
    assert_eq!((&by_anna["mention_roles"], &by_anna["mention_everyone"]), (&json!([loud]), &json!(false)));
    let by_owner = world.say(&world.owner, &content).await;
    assert_eq!((&by_owner["mention_roles"], &by_owner["mention_everyone"]), (&json!([loud, quiet]), &json!(true)));
    let careful = json!({ "content": content, "allowed_mentions": { "parse": ["roles"], "users": [bea.id] } });
    let careful = world.post(&world.owner, &world.messages_path(), careful).await.ok();
    assert_eq!((names(&careful), &careful["mention_everyone"]), (vec!["bea".to_owned()], &json!(false)));
    let read = world.get(&world.owner, &format!("{}/{}", world.messages_path(), text(&by_anna["id"]))).await.ok();
    assert_eq!(read, by_anna, "mentions are stored");
}

#[tokio::test]
async fn embeds_are_kept_and_need_their_permission() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let embed = json!({ "title": "A title", "fields": [{ "name": "n", "value": "v", "inline": true }], "color": 255 });
    let sent = world.post(&anna, &world.messages_path(), json!({ "embeds": [embed] })).await.ok();
    assert_eq!((&sent["embeds"][0]["title"], &sent["embeds"][0]["type"]), (&json!("A title"), &json!("rich")));
    let path = format!("{}/{}", world.messages_path(), text(&sent["id"]));
    assert_eq!(world.get(&anna, &path).await.ok()["embeds"], sent["embeds"]);
    assert_eq!(world.patch(&world.owner, &path, json!({ "flags": 4 })).await.ok()["flags"], 4);
    let deny = json!({ "type": 0, "deny": Permissions::EMBED_LINKS.0.to_string() });
    world.put(&world.owner, &format!("/channels/{}/permissions/{}", world.text, world.guild), deny).await.no_content();
    world.post(&anna, &world.messages_path(), json!({ "embeds": [{ "title": "x" }] })).await.refused(403, 50013);
}

#[tokio::test]
async fn many_messages_are_deleted_at_once() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(text(&world.say(&world.owner, &number.to_string()).await["id"]));
    }
    // One that is gone already, or was given twice, does no harm.
    let body = json!({ "messages": [ids[0], ids[1], ids[1], (ids[3].parse::<u64>().unwrap() + 1).to_string()] });
    world.post(&world.owner, &format!("{}/bulk-delete", world.messages_path()), body).await.no_content();
    assert_eq!(world.said().await, ["2", "3"]);
}

#[tokio::test]
async fn slowmode_holds_up_who_may_not_ignore_it() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    world.patch(&world.owner, &format!("/channels/{}", world.text), json!({ "rate_limit_per_user": 3600 })).await.ok();
    let first = json!({ "content": "first", "nonce": "1", "enforce_nonce": true });
    let sent = world.post(&anna, &world.messages_path(), first.clone()).await.ok();
    assert_eq!(world.post(&anna, &world.messages_path(), first).await.ok(), sent, "a retry is no second message");
    let other = json!({ "content": "second", "nonce": "2", "enforce_nonce": true });
    world.post(&anna, &world.messages_path(), other).await.refused(429, 20016);
    let refusal = world.post(&anna, &world.messages_path(), json!({ "content": "second" })).await;
    let wait = refusal.body["retry_after"].as_f64().unwrap();
    assert!(wait > 3500.0 && wait <= 3600.0, "{wait}");
    refusal.refused(429, 20016);
    world.say(&world.owner, "in between").await;
    assert_eq!(world.said().await, ["first", "in between"]);
}

#[tokio::test]
async fn a_system_message_is_nobodys_to_edit() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let greeting = text(&world.get(&anna, &world.messages_path()).await.ok()[0]["id"]);
    let path = format!("{}/{greeting}", world.messages_path());
    world.patch(&anna, &path, json!({ "content": "forged" })).await.refused(403, 50021);
    world.delete(&anna, &path).await.refused(403, 50013);
    world.delete(&world.owner, &path).await.no_content();
}

#[tokio::test]
async fn typing_is_accepted_where_one_may_write() {
    let world = World::new().await;
    world.post(&world.owner, &format!("/channels/{}/typing", world.text), json!({})).await.no_content();
    world.post(&world.owner, &format!("/channels/{}/typing", world.voice), json!({})).await.no_content();
    let stranger = world.register("stranger").await;
    world.post(&stranger, &format!("/channels/{}/typing", world.text), json!({})).await.refused(403, 50001);
}

#[tokio::test]
async fn bots_put_components_below_their_messages_and_people_do_not() {
    let world = World::new().await;
    let (bot, _) = world.bot("helper", 0x3fff_ffff).await;
    let path = world.messages_path();
    let row = json!({ "type": 1, "components": [{ "type": 2, "style": 1, "label": "Press", "custom_id": "p" }] });
    let sent = world.post(&bot, &path, json!({ "components": [row] })).await.ok();
    let one = format!("{path}/{}", text(&sent["id"]));
    assert_eq!(sent["components"][0]["components"][0]["id"], 2);
    assert_eq!(world.get(&world.owner, &one).await.ok()["components"], sent["components"]);
    world.patch(&bot, &one, json!({ "components": [] })).await.refused(400, 50006);
    let edited = world.patch(&bot, &one, json!({ "content": "Done", "components": [] })).await.ok();
    assert_eq!((&edited["content"], &edited["components"]), (&json!("Done"), &json!([])));

    world
        .post(&world.owner, &path, json!({ "content": "x", "components": [row] }))
        .await
        .form_error("/components", "COMPONENTS_BOTS_ONLY");
    let own = text(&world.say(&world.owner, "mine").await["id"]);
    let edit = world.patch(&world.owner, &format!("{path}/{own}"), json!({ "components": [row] })).await;
    edit.form_error("/components", "COMPONENTS_BOTS_ONLY");

    // A message that is all components holds nothing else, then or later.
    let display = json!({ "type": 10, "content": "# Hello" });
    world.post(&bot, &path, json!({ "components": [display] })).await.form_error("/components/0/type", "UNION_TYPE_CHOICES");
    let both = json!({ "components": [display], "content": "x", "flags": 32768 });
    world.post(&bot, &path, both).await.form_error("/content", "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2");
    world.post(&bot, &path, json!({ "flags": 32768 })).await.refused(400, 50006);
    let sent = world.post(&bot, &path, json!({ "components": [display], "flags": 32768 })).await.ok();
    assert_eq!((&sent["flags"], &sent["components"][0]["content"]), (&json!(32768), &json!("# Hello")));
    let one = format!("{path}/{}", text(&sent["id"]));
    let late = world.patch(&bot, &one, json!({ "content": "x" })).await;
    late.form_error("/content", "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2");
    let edited = world.patch(&bot, &one, json!({ "components": [{ "type": 17, "components": [display, row] }] })).await.ok();
    assert_eq!(edited["components"][0]["components"][1]["components"][0]["custom_id"], "p");
    assert_eq!(edited["flags"], 32768);
    // A message of the older kind becomes one of these when its texts go.
    let old = text(&world.post(&bot, &path, json!({ "content": "old" })).await.ok()["id"]);
    let change = json!({ "content": null, "components": [display], "flags": 32768 });
    let edited = world.patch(&bot, &format!("{path}/{old}"), change).await.ok();
    assert_eq!((&edited["content"], &edited["flags"]), (&json!(""), &json!(32768)));
}

#[tokio::test]
async fn a_message_is_forwarded_as_it_was() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let bea = world.register("bea").await;
    world.befriend(&anna, &bea).await;
    let path = world.dm(&anna, &bea).await;
    let (dm, to_dm) = (path.trim_start_matches("/channels/").to_owned(), format!("{path}/messages"));
    let content = format!("hello <@{}>", anna.id);
    let source = json!({ "content": content, "embeds": [{ "title": "E" }] });
    let source = world.post(&world.owner, &world.messages_path(), source).await.ok();
    let forward =
        |id: &Value, channel: &str| json!({ "message_reference": { "type": 1, "message_id": id, "channel_id": channel } });
    let sent = world.post(&anna, &to_dm, forward(&source["id"], &world.text)).await;
    let sent = SCHEMAS.check("POST /channels/{channel_id}/messages", sent);
    assert_eq!((&sent["type"], &sent["content"], &sent["flags"]), (&json!(0), &json!(""), &json!(1 << 14)));
    assert_eq!((&sent["mentions"], sent.get("referenced_message")), (&json!([]), None));
    let reference = &sent["message_reference"];
    assert_eq!((&reference["type"], &reference["message_id"]), (&json!(1), &source["id"]));
    assert_eq!((&reference["channel_id"], &reference["guild_id"]), (&json!(world.text), &json!(world.guild)));
    let snapshot = sent["message_snapshots"][0]["message"].clone();
    assert_eq!((&snapshot["content"], &snapshot["timestamp"]), (&json!(content), &source["timestamp"]));
    assert_eq!((&snapshot["embeds"][0]["title"], &snapshot["mentions"][0]["id"]), (&json!("E"), &json!(anna.id)));
    assert_eq!(snapshot.get("author"), None);

    // What is done to the original later changes nothing, and a forward is forwarded for what it shows.
    let at = format!("{}/{}", world.messages_path(), text(&source["id"]));
    world.patch(&world.owner, &at, json!({ "content": "another" })).await.ok();
    world.delete(&world.owner, &at).await.no_content();
    let read = world.get(&bea, &format!("{to_dm}/{}", text(&sent["id"]))).await.ok();
    assert_eq!(read["message_snapshots"][0]["message"], snapshot);
    let back = world.post(&anna, &world.messages_path(), forward(&sent["id"], &dm)).await.ok();
    assert_eq!(back["message_snapshots"][0]["message"], snapshot);
    assert_eq!(back["message_reference"].get("guild_id"), None);
    let at = format!("{}/{}", world.messages_path(), text(&back["id"]));
    world.patch(&anna, &at, json!({ "content": "more" })).await.refused(400, 160011);
    world.patch(&anna, &at, json!({ "flags": 4 })).await.ok();
    let found = world.get(&anna, &format!("/guilds/{}/messages/search?has=snapshot", world.guild)).await.ok();
    assert_eq!(found["messages"][0][0]["id"], back["id"]);

    let mut more = forward(&back["id"], &world.text);
    more["content"] = json!("and more");
    world.post(&anna, &to_dm, more).await.refused(400, 160011);
    world
        .post(&anna, &to_dm, forward(&json!("1"), &world.text))
        .await
        .form_error("/message_reference", "REPLIES_UNKNOWN_MESSAGE");
    let nowhere = json!({ "message_reference": { "type": 1, "message_id": back["id"] } });
    world.post(&anna, &to_dm, nowhere).await.form_error("/message_reference/channel_id", "BASE_TYPE_REQUIRED");
    let odd = json!({ "message_reference": { "type": 2, "message_id": back["id"] } });
    world.post(&anna, &to_dm, odd).await.form_error("/message_reference/type", "BASE_TYPE_CHOICES");
    // Nobody forwards what they cannot read, or into a place what they may not send there.
    world.post(&bea, &to_dm, forward(&back["id"], &world.text)).await.refused(403, 50001);
    let overwrite = format!("/channels/{}/permissions/{}", world.text, world.guild);
    for (bits, path, from, id) in [
        (Permissions::READ_MESSAGE_HISTORY, &to_dm, &world.text, &back["id"]),
        (Permissions::EMBED_LINKS, &world.messages_path(), &dm, &sent["id"]),
        (Permissions::SEND_MESSAGES, &world.messages_path(), &dm, &sent["id"]),
    ] {
        world.put(&world.owner, &overwrite, json!({ "type": 0, "deny": bits })).await.no_content();
        world.post(&anna, path, forward(id, from)).await.refused(403, 50013);
    }
    // What the server says of itself is nobody's to pass on.
    world.put(&world.owner, &overwrite, json!({ "type": 0 })).await.no_content();
    world.put(&world.owner, &format!("{}/pins/{}", world.messages_path(), text(&back["id"])), json!({})).await.no_content();
    let notice = world.get(&anna, &world.messages_path()).await.ok()[0].clone();
    assert_eq!(notice["type"], 6);
    world.post(&anna, &to_dm, forward(&notice["id"], &world.text)).await.refused(403, 50021);
}
