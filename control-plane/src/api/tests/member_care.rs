//! Many members at once: pruning, bulk bans; members who come and go with a temporary invite.

use super::{World, text};
use guildhall_protocol::Permissions;
use serde_json::{Value, json};

impl World {
    /// Turns the clock back for what is stored: there is no other way to have been away for days.
    async fn sql(&self, statement: &'static str) {
        self.place.run(statement).await;
    }

    async fn is_member(&self, id: &str) -> bool {
        self.get(&self.owner, &format!("/guilds/{}/members/{id}", self.guild)).await.status == 200
    }
}

fn pruned(count: impl Into<Value>) -> Value {
    json!({ "pruned": count.into() })
}

#[tokio::test]
async fn members_who_were_not_heard_of_are_pruned_unless_they_have_other_roles() {
    let world = World::new().await;
    let path = format!("/guilds/{}/prune", world.guild);
    let plain = world.member("plain").await;
    let (moderator, moderators) = world.member_with("moderator", (Permissions::KICK_MEMBERS | Permissions::MANAGE_GUILD).0).await;
    let (red, role) = world.member_with("red", 0).await;
    assert_eq!(world.get(&world.owner, &path).await.ok(), pruned(0), "everyone was here today");
    world.sql("UPDATE last_seen SET seen_at = seen_at - 8 * 86400000").await;
    assert_eq!(world.get(&world.owner, &path).await.ok(), pruned(0), "nobody is inactive who joined lately");
    world.sql("UPDATE members SET joined_at = joined_at - 9 * 86400000").await;
    assert_eq!(world.get(&world.owner, &format!("{path}?days=9")).await.ok(), pruned(0));
    assert_eq!(world.get(&world.owner, &path).await.ok(), pruned(1));
    let with = |roles: &str| format!("{path}?days=7&include_roles={roles}");
    assert_eq!(world.get(&world.owner, &with(&role)).await.ok(), pruned(2));
    assert_eq!(world.get(&world.owner, &with(&format!("{role},{moderators}"))).await.ok(), pruned(3));
    assert_eq!(world.get(&moderator, &with(&format!("{role},{moderators}"))).await.ok(), pruned(2), "nobody prunes upwards");

    world.get(&plain, &path).await.refused(403, 50013);
    world.post(&plain, &path, json!({})).await.refused(403, 50013);
    world.get(&world.owner, &format!("{path}?days=31")).await.form_error("/days", "NUMBER_TYPE_MAX");
    world.get(&world.owner, &with("x")).await.form_error("/include_roles", "NUMBER_TYPE_COERCE");

    let all = json!({ "days": 7, "include_roles": [role] });
    assert_eq!(world.post(&moderator, &path, all).await.ok(), pruned(2));
    assert!(!world.is_member(&plain.id).await && !world.is_member(&red.id).await && world.is_member(&moderator.id).await);
    let log = world.get(&world.owner, &format!("/guilds/{}/audit-logs?action_type=21", world.guild)).await.ok();
    assert_eq!(log["audit_log_entries"][0]["options"], json!({ "delete_member_days": "7", "members_removed": "2" }));
    assert_eq!(world.post(&moderator, &path, json!({ "compute_prune_count": false })).await.ok(), pruned(Value::Null));
}

#[tokio::test]
async fn a_bulk_ban_bans_whom_it_can_and_says_whom_it_could_not() {
    let world = World::new().await;
    let path = format!("/guilds/{}/bulk-ban", world.guild);
    let (moderator, _) = world.member_with("moderator", (Permissions::BAN_MEMBERS | Permissions::MANAGE_GUILD).0).await;
    let (lesser, _) = world.member_with("lesser", Permissions::BAN_MEMBERS.0).await;
    let (anna, bea, stranger) = (world.member("anna").await, world.member("bea").await, world.register("stranger").await);
    world.say(&anna, "spam").await;
    world.post(&lesser, &path, json!({ "user_ids": [anna.id] })).await.refused(403, 50013);
    world.put(&world.owner, &format!("/guilds/{}/bans/{}", world.guild, bea.id), json!({})).await.no_content();
    let ids = json!([anna.id, stranger.id, bea.id, world.owner.id, moderator.id, "12345", anna.id]);
    let banned = world.post(&moderator, &path, json!({ "user_ids": ids, "delete_message_seconds": 60 })).await.ok();
    let sorted = |list: &Value| {
        let mut ids: Vec<String> = list.as_array().unwrap().iter().map(text).collect();
        ids.sort_by_key(|id| id.parse::<u64>().unwrap());
        ids
    };
    assert_eq!(sorted(&banned["banned_users"]), [anna.id.clone(), stranger.id.clone()]);
    let failed = ["12345", &world.owner.id, &moderator.id, &bea.id];
    assert_eq!(sorted(&banned["failed_users"]), failed);
    assert_eq!(world.said().await, Vec::<String>::new());
    assert!(!world.is_member(&anna.id).await);
    world.post(&moderator, &path, json!({ "user_ids": [anna.id] })).await.refused(400, 500_000);
    let many: Vec<String> = (0..201).map(|id| id.to_string()).collect();
    world.post(&moderator, &path, json!({ "user_ids": many })).await.form_error("/user_ids", "BASE_TYPE_MAX_LENGTH");
    world.post(&moderator, &path, json!({})).await.form_error("/user_ids", "BASE_TYPE_REQUIRED");
}

#[tokio::test]
async fn adding_a_member_needs_a_token_that_nobody_has() {
    let world = World::new().await;
    let (bot, _) = world.bot("helper", Permissions::CREATE_INSTANT_INVITE.0).await;
    let (anna, stranger) = (world.member("anna").await, world.register("stranger").await);
    let path = |id: &str| format!("/guilds/{}/members/{id}", world.guild);
    let body = json!({ "access_token": "x" });
    world.put(&bot, &path(&stranger.id), body.clone()).await.refused(403, 50025);
    world.put(&bot, &path(&anna.id), body.clone()).await.no_content();
    world.put(&bot, &path(&stranger.id), json!({})).await.form_error("/access_token", "BASE_TYPE_REQUIRED");
    world.put(&world.owner, &path(&stranger.id), body).await.refused(403, 20002);
}
