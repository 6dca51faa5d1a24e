//! The audit log: what leaves a line, what the line says, who may read it.

use super::shapes::SCHEMAS;
use super::{Reply, Session, World, text};
use axum::body::Body;
use axum::http::Method;
use guildhall_protocol::Permissions;
use serde_json::{Value, json};

impl World {
    /// With `X-Audit-Log-Reason`.
    async fn because(&self, who: &Session, method: Method, path: &str, reason: &str, body: Value) -> Reply {
        let request = self.request(who, method, path).header("x-audit-log-reason", reason);
        self.send(request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()).await
    }

    async fn audit_log(&self, query: &str) -> Vec<Value> {
        let log = self.get(&self.owner, &format!("/guilds/{}/audit-logs?{query}", self.guild)).await.ok();
        log["audit_log_entries"].as_array().unwrap().clone()
    }

    /// The newest lines, oldest of them first, without what is the same in all of them; each must have been made by the owner.
    async fn logged(&self, count: usize) -> Vec<Value> {
        let mut entries = self.audit_log(&format!("limit={count}")).await;
        entries.reverse();
        for entry in &mut entries {
            let entry = entry.as_object_mut().unwrap();
            assert_eq!(entry.remove("user_id"), Some(json!(self.owner.id)));
            assert!(entry.remove("id").is_some());
        }
        entries
    }
}

/// The changes of an entry as `key: [old, new]`.
fn changes(entry: &Value) -> Value {
    let changes = entry["changes"].as_array().into_iter().flatten();
    changes.map(|change| (text(&change["key"]), json!([change["old_value"], change["new_value"]]))).collect()
}

#[tokio::test]
async fn changes_of_guild_channels_and_overwrites_are_logged_with_what_they_changed() {
    let world = World::new().await;
    let (owner, guild) = (&world.owner, format!("/guilds/{}", world.guild));
    let renamed = world.because(owner, Method::PATCH, &guild, "new%20era", json!({ "name": "Agora", "afk_timeout": 300 })).await;
    renamed.ok();
    let [entry] = &world.logged(1).await[..] else { panic!("one") };
    assert_eq!(
        (&entry["action_type"], &entry["target_id"], &entry["reason"]),
        (&json!(1), &json!(world.guild), &json!("new era"))
    );
    assert_eq!(changes(entry)["name"][1], "Agora");
    assert_eq!(entry["changes"].as_array().unwrap().len(), 1, "the timeout was the same before");
    // What changed nothing is not logged.
    world.patch(owner, &guild, json!({ "name": "Agora" })).await.ok();
    assert_eq!(changes(&world.logged(1).await[0])["name"][1], "Agora");

    let new = json!({ "name": "log", "topic": "t", "permission_overwrites": [{ "id": world.guild, "type": 0, "deny": "1024" }] });
    let channel = text(&world.post(owner, &format!("{guild}/channels"), new).await.ok()["id"]);
    let path = format!("/channels/{channel}");
    world.patch(owner, &path, json!({ "topic": null, "rate_limit_per_user": 5 })).await.ok();
    let anna = world.member("anna").await;
    world.put(owner, &format!("{path}/permissions/{}", anna.id), json!({ "type": 1, "allow": "1024" })).await.no_content();
    world.put(owner, &format!("{path}/permissions/{}", world.guild), json!({ "type": 0, "deny": "2048" })).await.no_content();
    world.delete(owner, &format!("{path}/permissions/{}", anna.id)).await.no_content();
    world.delete(owner, &path).await.ok();
    let entries: Vec<Value> = world.logged(7).await.into_iter().filter(|entry| entry["action_type"] != 40).collect();
    let actions: Vec<&Value> = entries.iter().map(|entry| &entry["action_type"]).collect();
    assert_eq!(actions, [10, 11, 13, 14, 15, 12]);
    assert!(entries.iter().all(|entry| entry["target_id"] == json!(channel)));
    assert_eq!(changes(&entries[0])["name"], json!([null, "log"]));
    assert_eq!(changes(&entries[0])["permission_overwrites"][1][0]["deny"], "1024");
    assert_eq!(changes(&entries[1]), json!({ "topic": ["t", null], "rate_limit_per_user": [0, 5] }));
    assert_eq!(entries[2]["options"], json!({ "id": anna.id, "type": "1" }));
    assert_eq!(entries[3]["options"], json!({ "id": world.guild, "type": "0", "role_name": "@everyone" }));
    assert_eq!(changes(&entries[3]), json!({ "deny": ["1024", "2048"] }));
    assert_eq!(changes(&entries[4])["allow"], json!(["1024", null]));
    assert_eq!(changes(&entries[5])["name"], json!(["log", null]));
}

#[tokio::test]
async fn changes_of_roles_and_members_are_logged_with_what_they_changed() {
    let world = World::new().await;
    let (owner, guild) = (&world.owner, format!("/guilds/{}", world.guild));
    let anna = world.member("anna").await;
    let member = format!("{guild}/members/{}", anna.id);
    let role = world.role("red", 0).await;
    world.patch(owner, &format!("{guild}/roles/{role}"), json!({ "color": 9, "permissions": "8" })).await.ok();
    world.put(owner, &format!("{member}/roles/{role}"), json!({})).await.no_content();
    // Given already.
    world.put(owner, &format!("{member}/roles/{role}"), json!({})).await.no_content();
    world.patch(owner, &member, json!({ "roles": [], "nick": "Annie" })).await.ok();
    world.delete(owner, &format!("{guild}/roles/{role}")).await.no_content();
    let entries = world.logged(6).await;
    let about: Vec<(&Value, &str)> =
        entries.iter().map(|entry| (&entry["action_type"], entry["target_id"].as_str().unwrap())).collect();
    let (r, a) = (role.as_str(), anna.id.as_str());
    assert_eq!(about, [(&json!(30), r), (&json!(31), r), (&json!(25), a), (&json!(24), a), (&json!(25), a), (&json!(32), r)]);
    assert_eq!(changes(&entries[1]), json!({ "color": [0, 9], "permissions": ["0", "8"] }));
    let named = json!([{ "id": role, "name": "red" }]);
    assert_eq!(changes(&entries[2]), json!({ "$add": [null, named] }));
    assert_eq!(changes(&entries[3]), json!({ "nick": [null, "Annie"] }));
    assert_eq!(changes(&entries[4]), json!({ "$remove": [null, named] }));
    assert_eq!(changes(&entries[5])["permissions"], json!(["8", null]));

    // Everyone may rename themselves; that is logged, too.
    world.patch(&anna, &format!("{guild}/members/@me"), json!({ "nick": null })).await.ok();
    let [entry] = &world.audit_log("limit=1").await[..] else { panic!("one") };
    assert_eq!((&entry["user_id"], &entry["target_id"]), (&json!(anna.id), &json!(anna.id)));
}

#[tokio::test]
async fn kicks_bans_invites_and_bots_are_logged() {
    let world = World::new().await;
    let (owner, guild) = (&world.owner, format!("/guilds/{}", world.guild));
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let code = world.invite().await;
    world.because(owner, Method::DELETE, &format!("{guild}/members/{}", anna.id), "bye", json!({})).await.no_content();
    world.because(owner, Method::PUT, &format!("{guild}/bans/{}", bea.id), "%C3%BC", json!({})).await.no_content();
    // Banned already.
    world.put(owner, &format!("{guild}/bans/{}", bea.id), json!({})).await.no_content();
    world.delete(owner, &format!("{guild}/bans/{}", bea.id)).await.no_content();
    world.delete(owner, &format!("/invites/{code}")).await.ok();
    let (bot, _) = world.bot("helper", 8).await;
    let entries = world.logged(6).await;
    let brief: Vec<Value> =
        entries.iter().map(|entry| json!([entry["action_type"], entry["target_id"], entry.get("reason")])).collect();
    let role = &entries[4]["target_id"];
    assert_eq!(
        json!(brief),
        json!([
            [20, anna.id, "bye"],
            [22, bea.id, "ü"],
            [23, bea.id, null],
            [42, null, null],
            [30, role, null],
            [28, bot.id, null]
        ])
    );
    assert_eq!(changes(&entries[3])["code"], json!([code, null]));
    // Who leaves on their own account leaves no line.
    let cara = world.member("cara").await;
    world.delete(&cara, &format!("/users/@me{guild}")).await.no_content();
    assert_eq!(world.audit_log("limit=1").await[0]["action_type"], 40);
}

#[tokio::test]
async fn a_moderators_deletions_of_one_persons_messages_are_one_line_that_counts() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let mut ids = Vec::new();
    for word in ["a", "b", "c", "d", "e"] {
        ids.push(text(&world.say(&anna, word).await["id"]));
    }
    let one = |id: &str| format!("{}/{id}", world.messages_path());
    world.delete(&anna, &one(&ids[0])).await.no_content();
    world.delete(&world.owner, &one(&ids[1])).await.no_content();
    world.delete(&world.owner, &one(&ids[2])).await.no_content();
    world.because(&world.owner, Method::DELETE, &one(&ids[3]), "spam", json!({})).await.no_content();
    let own = text(&world.say(&world.owner, "mine").await["id"]);
    let bulk = json!({ "messages": [ids[4], own] });
    world.post(&world.owner, &format!("{}/bulk-delete", world.messages_path()), bulk).await.no_content();
    let deleted: Vec<Value> = world.logged(3).await;
    let channel = &world.text;
    assert_eq!(
        json!(deleted),
        json!([
            { "action_type": 72, "target_id": anna.id, "options": { "channel_id": channel, "count": "2" } },
            { "action_type": 72, "target_id": anna.id, "options": { "channel_id": channel, "count": "1" }, "reason": "spam" },
            { "action_type": 73, "target_id": channel, "options": { "count": "2" } },
        ])
    );
}

#[tokio::test]
async fn the_log_is_read_in_pages_by_user_and_by_action_and_only_by_who_may() {
    let world = World::new().await;
    let path = format!("/guilds/{}/audit-logs", world.guild);
    let (reader, _) = world.member_with("reader", Permissions::VIEW_AUDIT_LOG.0).await;
    let anna = world.member("anna").await;
    for name in ["one", "two", "three"] {
        world.role(name, 0).await;
    }
    world.patch(&anna, &format!("/guilds/{}/members/@me", world.guild), json!({ "nick": "A" })).await.ok();
    let ids = |log: &[Value]| log.iter().map(|entry| text(&entry["id"])).collect::<Vec<_>>();
    let all = ids(&world.audit_log("").await);
    assert!(all.is_sorted_by_key(|id| std::cmp::Reverse(id.parse::<u64>().unwrap())), "newest first");
    assert_eq!(ids(&world.audit_log("limit=2").await), all[..2]);
    assert_eq!(ids(&world.audit_log(&format!("limit=2&before={}", all[1])).await), all[2..4]);
    let mut oldest = all[..2].to_vec();
    oldest.reverse();
    assert_eq!(ids(&world.audit_log(&format!("after={}", all[2])).await), oldest, "oldest first");
    assert_eq!(ids(&world.audit_log(&format!("user_id={}", anna.id)).await), all[..1]);
    assert_eq!(ids(&world.audit_log(&format!("target_id={}", anna.id)).await), all[..1]);
    assert_eq!(ids(&world.audit_log("action_type=30").await).len(), 4);
    let log = world.get(&reader, &path).await.ok();
    let users: Vec<String> = log["users"].as_array().unwrap().iter().map(|user| text(&user["id"])).collect();
    assert!(users.contains(&world.owner.id) && users.contains(&anna.id) && users.contains(&reader.id), "{users:?}");

    world.get(&anna, &path).await.refused(403, 50013);
    world.get(&world.register("stranger").await, &path).await.refused(403, 50001);
    for limit in ["0", "101"] {
        let code = if limit == "0" { "NUMBER_TYPE_MIN" } else { "NUMBER_TYPE_MAX" };
        world.get(&reader, &format!("{path}?limit={limit}")).await.form_error("/limit", code);
    }
    let long = "x".repeat(513);
    let role = format!("/guilds/{}/roles", world.guild);
    let refused = world.because(&world.owner, Method::POST, &role, &long, json!({})).await;
    refused.form_error("/reason", "BASE_TYPE_MAX_LENGTH");
    world.because(&world.owner, Method::POST, &role, &"%C3%BC".repeat(512), json!({})).await.ok();
}

#[tokio::test]
async fn the_log_comes_with_the_threads_that_it_names() {
    let world = World::new().await;
    let start = format!("/channels/{}/threads", world.text);
    let mut threads = Vec::new();
    for name in ["kept", "gone"] {
        threads.push(world.post(&world.owner, &start, json!({ "name": name, "type": 11 })).await.ok());
    }
    world.delete(&world.owner, &format!("/channels/{}", text(&threads[1]["id"]))).await.ok();
    let log = world.get(&world.owner, &format!("/guilds/{}/audit-logs", world.guild)).await;
    let log = SCHEMAS.check("GET /guilds/{guild_id}/audit-logs", log);
    let named: Vec<&Value> = log["threads"].as_array().unwrap().iter().map(|thread| &thread["name"]).collect();
    assert_eq!(named, ["kept"], "what is gone is named by its entries only");
    let log = world.get(&world.owner, &format!("/guilds/{}/audit-logs?action_type=1", world.guild)).await.ok();
    assert_eq!(log["threads"], json!([]));
}
