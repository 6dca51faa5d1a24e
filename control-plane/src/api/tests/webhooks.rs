//! Webhooks: who keeps them, and what comes in through them.

use super::{Session, World, text};
use axum::http::Method;
use guildhall_protocol::Permissions;
use serde_json::{Value, json};

struct Hook {
    id: String,
    token: String,
}

impl Hook {
    async fn new(world: &World, who: &Session) -> Self {
        let made = world.post(who, &format!("/channels/{}/webhooks", world.text), json!({ "name": "Herald" })).await.ok();
        Self { id: text(&made["id"]), token: text(&made["token"]) }
    }

    fn path(&self) -> String {
        format!("/webhooks/{}/{}", self.id, self.token)
    }

    fn message(&self, id: &Value) -> String {
        format!("{}/messages/{}", self.path(), text(id))
    }

    async fn say(&self, world: &World, body: Value) -> Value {
        world.post(&world.nobody(), &format!("{}?wait=true", self.path()), body).await.ok()
    }
}

#[tokio::test]
async fn whoever_may_manage_webhooks_keeps_them() {
    let world = World::new().await;
    let (anna, _) = world.member_with("anna", Permissions::MANAGE_WEBHOOKS.0).await;
    let bea = world.member("bea").await;
    let of_channel = format!("/channels/{}/webhooks", world.text);
    let made = world.post(&anna, &of_channel, json!({ "name": " Herald ", "avatar": null })).await.ok();
    let (id, token) = (text(&made["id"]), text(&made["token"]));
    assert!(token.len() == 68 && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
    assert_eq!((&made["name"], &made["type"], &made["user"]["id"]), (&json!("Herald"), &json!(1), &json!(anna.id)));
    assert_eq!((&made["guild_id"], &made["channel_id"]), (&json!(world.guild), &json!(world.text)));
    let of_guild = format!("/guilds/{}/webhooks", world.guild);
    for path in [&of_channel, &of_guild] {
        assert_eq!(world.get(&anna, path).await.ok(), json!([made]));
    }
    let path = format!("/webhooks/{id}");
    assert_eq!(world.get(&anna, &path).await.ok(), made);
    for path in [&of_channel, &of_guild, &path] {
        world.get(&bea, path).await.refused(403, 50013);
        world.get(&world.nobody(), path).await.refused(401, 0);
    }
    world.post(&bea, &of_channel, json!({ "name": "x" })).await.refused(403, 50013);
    world.patch(&bea, &path, json!({ "name": "x" })).await.refused(403, 50013);
    world.delete(&bea, &path).await.refused(403, 50013);
    // Moving one takes the right in both places.
    let other = world.post(&world.owner, &format!("/guilds/{}/channels", world.guild), json!({ "name": "other" })).await.ok();
    let other = text(&other["id"]);
    let deny = json!({ "type": 1, "deny": Permissions::MANAGE_WEBHOOKS.0.to_string() });
    world.put(&world.owner, &format!("/channels/{other}/permissions/{}", anna.id), deny).await.no_content();
    world.patch(&anna, &path, json!({ "channel_id": other })).await.refused(403, 50013);
    let moved = world.patch(&world.owner, &path, json!({ "channel_id": other, "name": "Crier" })).await.ok();
    assert_eq!((&moved["channel_id"], &moved["name"], &moved["token"]), (&json!(other), &json!("Crier"), &json!(token)));
    // The token alone renames it and deletes it, and carries it nowhere.
    let (nobody, open) = (world.nobody(), format!("{path}/{token}"));
    let renamed = world.patch(&nobody, &open, json!({ "name": "Bell", "channel_id": world.text })).await.ok();
    assert_eq!((&renamed["channel_id"], &renamed["name"], renamed.get("user")), (&json!(other), &json!("Bell"), None));
    assert_eq!(world.get(&nobody, &open).await.ok(), renamed);
    world.delete(&nobody, &open).await.no_content();
    world.get(&nobody, &open).await.refused(404, 10015);
    world.get(&anna, &path).await.refused(404, 10015);
    assert_eq!(world.get(&world.owner, &of_guild).await.ok(), json!([]));
    let log = world.get(&world.owner, &format!("/guilds/{}/audit-logs?limit=9", world.guild)).await.ok();
    let lines = log["audit_log_entries"].as_array().unwrap().iter().filter(|line| line["target_id"] == json!(id));
    let lines: Vec<(i64, &Value)> = lines.map(|line| (line["action_type"].as_i64().unwrap(), &line["user_id"])).collect();
    assert_eq!(lines, [(52, &Value::Null), (51, &Value::Null), (51, &json!(world.owner.id)), (50, &json!(anna.id))]);
}

#[tokio::test]
async fn bad_webhooks_are_refused() {
    let world = World::new().await;
    let path = format!("/channels/{}/webhooks", world.text);
    for (name, code) in [
        (json!("Discord news"), "USERNAME_INVALID_CONTAINS"),
        (json!("clYDe"), "USERNAME_INVALID_CONTAINS"),
        (json!(""), "BASE_TYPE_BAD_LENGTH"),
        (json!("x".repeat(81)), "BASE_TYPE_BAD_LENGTH"),
        (Value::Null, "BASE_TYPE_REQUIRED"),
    ] {
        world.post(&world.owner, &path, json!({ "name": name })).await.form_error("/name", code);
    }
    world.post(&world.owner, &path, json!({ "name": "x", "avatar": "data:" })).await.form_error("/avatar", "IMAGE_INVALID");
    let category = json!({ "name": "c", "type": 4 });
    let category = world.post(&world.owner, &format!("/guilds/{}/channels", world.guild), category).await.ok();
    let in_category = format!("/channels/{}/webhooks", text(&category["id"]));
    world.post(&world.owner, &in_category, json!({ "name": "x" })).await.refused(400, 50024);
    for _ in 0..15 {
        world.post(&world.owner, &path, json!({ "name": "x" })).await.ok();
    }
    world.post(&world.owner, &path, json!({ "name": "x" })).await.refused(400, 30007);
    // A deleted channel takes its webhooks along.
    let hook = Hook { id: text(&world.get(&world.owner, &path).await.ok()[0]["id"]), token: "x".repeat(68) };
    world.get(&world.nobody(), &hook.path()).await.refused(401, 50027);
    world.delete(&world.owner, &format!("/channels/{}", world.text)).await.ok();
    world.get(&world.nobody(), &hook.path()).await.refused(404, 10015);
    world.get(&world.nobody(), "/webhooks/abc/def").await.refused(404, 10015);
}

#[tokio::test]
async fn what_comes_in_is_a_message_by_the_webhook() {
    let world = World::new().await;
    let hook = Hook::new(&world, &world.owner).await;
    let nobody = world.nobody();
    let sent = hook.say(&world, json!({ "content": "hear ye", "embeds": [{ "title": "news" }] })).await;
    assert_eq!((&sent["webhook_id"], &sent["author"]["id"]), (&json!(hook.id), &json!(hook.id)));
    let author = &sent["author"];
    assert_eq!((&author["username"], &author["bot"], &author["discriminator"]), (&json!("Herald"), &json!(true), &json!("0000")));
    let by_name =
        hook.say(&world, json!({ "content": "psst", "username": "Owl", "avatar_url": "https://a.example/x.png" })).await;
    assert_eq!(by_name["author"]["username"], "Owl");
    let quiet = world.post(&nobody, &hook.path(), json!({ "content": "no answer wanted" })).await;
    quiet.no_content();
    world.patch(&world.owner, &format!("/webhooks/{}", hook.id), json!({ "name": "Crier" })).await.ok();
    let listed = world.get(&world.owner, &format!("{}?limit=3", world.messages_path())).await.ok();
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|message| &message["author"]["username"]).collect();
    assert_eq!(names, ["Herald", "Owl", "Herald"], "a message keeps the name that it was sent under");
    assert_eq!(world.get(&nobody, &hook.message(&sent["id"])).await.ok(), sent);
    assert_eq!(listed[2], sent);
    let edited = world.patch(&nobody, &hook.message(&sent["id"]), json!({ "content": "hear <@1> ye" })).await.ok();
    assert_eq!((&edited["content"], &edited["embeds"][0]["title"]), (&json!("hear <@1> ye"), &json!("news")));
    assert!(edited["edited_timestamp"].is_string());
    assert_eq!(edited["author"], sent["author"]);
    world
        .patch(&world.owner, &format!("{}/{}", world.messages_path(), text(&sent["id"])), json!({ "content": "x" }))
        .await
        .refused(403, 50005);
    world.delete(&nobody, &hook.message(&sent["id"])).await.no_content();
    world.get(&nobody, &hook.message(&sent["id"])).await.refused(404, 10008);
    // Others' messages are not the webhook's, and neither is one that it never sent.
    let foreign = world.say(&world.owner, "mine").await;
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        for id in [&foreign["id"], &json!("@original"), &json!("7")] {
            world.call(&nobody, method.clone(), &hook.message(id), Some(json!({ "content": "x" }))).await.refused(404, 10008);
        }
    }
    // It can be searched for, and answered.
    let found = world.get(&world.owner, &format!("/guilds/{}/messages/search?author_type=webhook", world.guild)).await.ok();
    assert_eq!(found["total_results"], 2);
    let reply = json!({ "content": "indeed", "message_reference": { "message_id": by_name["id"] } });
    let reply = world.post(&world.owner, &world.messages_path(), reply).await.ok();
    assert_eq!((&reply["referenced_message"]["author"]["username"], &reply["mentions"]), (&json!("Owl"), &json!([])));
}

#[tokio::test]
async fn a_webhook_pings_users_only_unless_it_says_so() {
    let world = World::new().await;
    let (anna, role) = world.member_with("anna", 0).await;
    let hook = Hook::new(&world, &world.owner).await;
    let content = format!("<@{}> <@&{role}> @everyone", anna.id);
    let careful = hook.say(&world, json!({ "content": content })).await;
    assert_eq!((&careful["mentions"][0]["id"], &careful["mention_roles"]), (&json!(anna.id), &json!([])));
    assert_eq!(careful["mention_everyone"], false);
    let loud = json!({ "content": content, "allowed_mentions": { "parse": ["everyone", "roles"] } });
    let loud = hook.say(&world, loud).await;
    assert_eq!(
        (&loud["mentions"], &loud["mention_roles"], &loud["mention_everyone"]),
        (&json!([]), &json!([role]), &json!(true))
    );
}

#[tokio::test]
async fn what_a_webhook_cannot_send_is_refused() {
    let world = World::new().await;
    let hook = Hook::new(&world, &world.owner).await;
    let (nobody, path) = (world.nobody(), hook.path());
    world.post(&nobody, &path, json!({})).await.refused(400, 50006);
    world.post(&nobody, &path, json!({ "content": "x".repeat(2001) })).await.form_error("/content", "BASE_TYPE_MAX_LENGTH");
    world
        .post(&nobody, &path, json!({ "content": "x", "username": "Clyde" }))
        .await
        .form_error("/username", "USERNAME_INVALID_CONTAINS");
    world
        .post(&nobody, &path, json!({ "content": "x", "avatar_url": "file:///etc" }))
        .await
        .form_error("/avatar_url", "URL_TYPE_INVALID_SCHEME");
    world.post(&nobody, &path, json!({ "content": "x", "poll": { "question": {} } })).await.form_error("/poll", "UNSUPPORTED");
    world.post(&nobody, &path, json!({ "content": "x", "thread_name": "t" })).await.refused(400, 220003);
    world.post(&nobody, &format!("{path}?thread_id=7"), json!({ "content": "x" })).await.refused(404, 10003);
    world.post(&nobody, &format!("{path}x"), json!({ "content": "x" })).await.refused(401, 50027);
    // Components: none of them, or those that nobody can press, unless an application stands behind the webhook.
    let row = |button: Value| json!({ "content": "x", "components": [{ "type": 1, "components": [button] }] });
    let press = || row(json!({ "type": 2, "style": 1, "label": "go", "custom_id": "go" }));
    let link = || row(json!({ "type": 2, "style": 5, "label": "go", "url": "https://a.example" }));
    assert_eq!(hook.say(&world, press()).await["components"], json!([]));
    let with = format!("{path}?with_components=true&wait=true");
    world.post(&nobody, &with, press()).await.form_error("/components", "COMPONENTS_APPLICATION_ONLY");
    assert_eq!(world.post(&nobody, &with, link()).await.ok()["components"][0]["components"][0]["style"], 5);
    let (bot, application) = world.bot("helper", 8).await;
    let own = Hook::new(&world, &bot).await;
    let sent = own.say(&world, press()).await;
    assert_eq!(sent["components"][0]["components"][0]["custom_id"], "go");
    assert_eq!(sent["application_id"], json!(application));
    let listed = world.get(&world.owner, &format!("/webhooks/{}", own.id)).await.ok();
    assert_eq!((&listed["application_id"], &listed["user"]["id"]), (&json!(application), &json!(bot.id)));
}

#[tokio::test]
async fn a_webhook_has_one_limit_wherever_it_is_used() {
    let world = World::limited().await;
    let hook = Hook::new(&world, &world.owner).await;
    // Who guesses uses up nothing of it.
    for _ in 0..6 {
        world.post(&world.nobody(), &format!("{}x", hook.path()), json!({ "content": "x" })).await;
    }
    let bodies = [&world.nobody(), &world.owner, &world.nobody(), &world.owner, &world.nobody()];
    for who in bodies {
        let posted = world.post(who, &hook.path(), json!({ "content": "x" })).await;
        assert_eq!((posted.status, posted.header("x-ratelimit-limit")), (204, "5"));
    }
    let refused = world.post(&world.owner, &hook.path(), json!({ "content": "x" })).await;
    assert_eq!(refused.status, 429);
    assert!(refused.body["retry_after"].as_f64().is_some_and(|wait| wait > 0.0 && wait <= 2.0), "{}", refused.body);
}

#[tokio::test]
async fn a_webhook_posts_into_threads_of_its_own_channel() {
    let world = World::new().await;
    let hook = Hook::new(&world, &world.owner).await;
    let start = json!({ "name": "side", "type": 11 });
    let thread = world.post(&world.owner, &format!("/channels/{}/threads", world.text), start.clone()).await;
    assert_eq!(thread.status, 201, "{}", thread.text);
    let id = text(&thread.body["id"]);
    let say = async |place: &str| {
        let path = format!("{}?wait=true&thread_id={place}", hook.path());
        world.post(&world.nobody(), &path, json!({ "content": "psst" })).await
    };
    let said = say(&id).await.ok();
    assert_eq!((&said["channel_id"], &said["webhook_id"]), (&json!(id), &json!(hook.id)));
    let path = hook.message(&said["id"]);
    world.get(&world.nobody(), &path).await.refused(404, 10008);
    let there = format!("{path}?thread_id={id}");
    let edited = world.patch(&world.nobody(), &there, json!({ "content": "louder" })).await.ok();
    assert_eq!((&edited["content"], &edited["channel_id"]), (&json!("louder"), &json!(id)));
    assert_eq!(world.get(&world.owner, &format!("/channels/{id}/messages")).await.ok()[0]["content"], "louder");
    // A message wakes a thread, but not one that was locked.
    world.patch(&world.owner, &format!("/channels/{id}"), json!({ "archived": true })).await.ok();
    say(&id).await.ok();
    let woken = world.get(&world.owner, &format!("/channels/{id}")).await.ok();
    assert_eq!(woken["thread_metadata"]["archived"], false);
    world.patch(&world.owner, &format!("/channels/{id}"), json!({ "archived": true, "locked": true })).await.ok();
    say(&id).await.refused(400, 50083);
    // What is in an archived one is read and deleted, but not changed.
    world.patch(&world.nobody(), &there, json!({ "content": "again" })).await.refused(400, 50083);
    assert_eq!(world.get(&world.nobody(), &there).await.ok()["content"], "louder");
    world.delete(&world.nobody(), &there).await.no_content();
    let other = world.post(&world.owner, &format!("/guilds/{}/channels", world.guild), json!({ "name": "other" })).await.ok();
    let foreign = world.post(&world.owner, &format!("/channels/{}/threads", text(&other["id"])), start).await;
    say(&text(&foreign.body["id"])).await.refused(404, 10003);
    say(&world.text).await.refused(404, 10003);
}
