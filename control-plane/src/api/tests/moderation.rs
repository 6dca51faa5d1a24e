//! Roles, members, bans: who may act on whom.

use super::{Session, World, text};
use guildhall_protocol::Permissions;
use serde_json::{Value, json};

fn member_path(world: &World, who: &Session) -> String {
    format!("/guilds/{}/members/{}", world.guild, who.id)
}

#[tokio::test]
async fn roles_are_made_changed_ordered_and_deleted() {
    let world = World::new().await;
    let path = format!("/guilds/{}/roles", world.guild);
    let new = json!({ "name": "red", "color": 0xFF_0000, "permissions": Permissions::KICK_MEMBERS.0.to_string(), "hoist": true });
    let red = world.post(&world.owner, &path, new).await.ok();
    assert_eq!((&red["position"], &red["colors"]["primary_color"], &red["hoist"]), (&json!(1), &json!(0xFF_0000), &json!(true)));
    assert_eq!(red["permissions"], Permissions::KICK_MEMBERS.0.to_string());
    let blue = world.post(&world.owner, &path, json!({ "colors": { "primary_color": 255 } })).await.ok();
    assert_eq!((&blue["name"], &blue["color"]), (&json!("new role"), &json!(255)));
    let order = |roles: &Value| roles.as_array().unwrap().iter().map(|role| text(&role["name"])).collect::<Vec<_>>();
    let moved = world
        .patch(&world.owner, &path, json!([{ "id": red["id"], "position": 1 }, { "id": blue["id"], "position": 2 }]))
        .await
        .ok();
    assert_eq!(order(&moved), ["@everyone", "red", "new role"]);
    let id = text(&red["id"]);
    let edited = world.patch(&world.owner, &format!("{path}/{id}"), json!({ "name": "rouge", "mentionable": true })).await.ok();
    assert_eq!((&edited["name"], &edited["mentionable"], &edited["color"]), (&json!("rouge"), &json!(true), &json!(0xFF_0000)));
    assert_eq!(world.get(&world.owner, &format!("{path}/{id}")).await.ok(), edited);
    let everyone =
        world.patch(&world.owner, &format!("{path}/{}", world.guild), json!({ "name": "x", "permissions": "0" })).await.ok();
    assert_eq!((&everyone["name"], &everyone["permissions"]), (&json!("@everyone"), &json!("0")));
    world.put(&world.owner, &format!("{}/roles/{id}", member_path(&world, &world.owner)), json!({})).await.no_content();
    let counts = world.get(&world.owner, &format!("{path}/member-counts")).await.ok();
    assert_eq!(counts, json!({ &id: 1, text(&blue["id"]): 0 }), "everyone's role is not counted");
    world.delete(&world.owner, &format!("{path}/{id}")).await.no_content();
    world.delete(&world.owner, &format!("{path}/{}", world.guild)).await.refused(400, 50028);
    assert_eq!(order(&world.get(&world.owner, &path).await.ok()).len(), 2);
}

#[tokio::test]
async fn nobody_reaches_above_their_own_rank_or_hands_out_what_they_lack() {
    let world = World::new().await;
    let (lower, low) = world.member_with("lower", Permissions::MANAGE_ROLES.0).await;
    let (_, top) = world.member_with("upper", Permissions::MANAGE_ROLES.0).await;
    let path = format!("/guilds/{}/roles", world.guild);
    // A role made later stands lower; so raise the one that is to be the top.
    world.patch(&world.owner, &path, json!([{ "id": low, "position": 1 }, { "id": top, "position": 2 }])).await.ok();
    let bottom = world.role("bottom", 0).await;

    world.patch(&lower, &format!("{path}/{top}"), json!({ "name": "mine" })).await.refused(403, 50013);
    world.patch(&lower, &format!("{path}/{low}"), json!({ "name": "own" })).await.refused(403, 50013);
    world.delete(&lower, &format!("{path}/{top}")).await.refused(403, 50013);
    world.patch(&lower, &format!("{path}/{bottom}"), json!({ "permissions": "8" })).await.refused(403, 50013);
    world
        .patch(&lower, &format!("{path}/{bottom}"), json!({ "permissions": Permissions::MANAGE_ROLES.0.to_string() }))
        .await
        .ok();
    world.patch(&lower, &path, json!([{ "id": bottom, "position": 3 }])).await.refused(403, 50013);
    world.post(&lower, &path, json!({ "permissions": "8" })).await.refused(403, 50013);
    world.post(&lower, &path, json!({ "name": "allowed" })).await.ok();

    let me = member_path(&world, &lower);
    world.put(&lower, &format!("{me}/roles/{top}"), json!({})).await.refused(403, 50013);
    world.put(&lower, &format!("{me}/roles/{bottom}"), json!({})).await.no_content();
    world.delete(&lower, &format!("{me}/roles/{low}")).await.refused(403, 50013);
    world.patch(&lower, &me, json!({ "roles": [low, top] })).await.refused(403, 50013);
    world.patch(&lower, &me, json!({ "roles": [low] })).await.ok();
    let roles = world.get(&lower, &me).await.ok()["roles"].clone();
    assert_eq!(roles, json!([low]));
}

#[tokio::test]
async fn kicks_and_bans_go_down_only() {
    let world = World::new().await;
    let held = (Permissions::KICK_MEMBERS | Permissions::BAN_MEMBERS).0;
    let (upper, _) = world.member_with("upper", held).await;
    let (lower, _) = world.member_with("lower", held).await;
    let anna = world.member("anna").await;
    let ban = |who: &Session| format!("/guilds/{}/bans/{}", world.guild, who.id);

    world.delete(&lower, &member_path(&world, &upper)).await.refused(403, 50013);
    world.put(&lower, &ban(&upper), json!({})).await.refused(403, 50013);
    world.put(&upper, &ban(&world.owner), json!({})).await.refused(403, 50013);
    world.delete(&lower, &member_path(&world, &lower)).await.refused(403, 50013);
    world.delete(&lower, &member_path(&world, &anna)).await.no_content();
    world.get(&anna, &format!("/guilds/{}", world.guild)).await.refused(403, 50001);

    let code = world.invite().await;
    world.post(&anna, &format!("/invites/{code}"), json!({})).await.ok();
    world.say(&anna, "spam").await;
    let request = world.request(&upper, axum::http::Method::PUT, &ban(&anna)).header("x-audit-log-reason", "too%20loud");
    let body = axum::body::Body::from(r#"{"delete_message_seconds": 60}"#);
    world.send(request.body(body).unwrap()).await.no_content();
    assert_eq!(world.said().await, Vec::<String>::new());
    world.post(&anna, &format!("/invites/{code}"), json!({})).await.refused(403, 40007);
    let known = world.get(&upper, &ban(&anna)).await.ok();
    assert_eq!((&known["reason"], text(&known["user"]["id"])), (&json!("too loud"), anna.id.clone()));
    assert_eq!(world.get(&upper, &format!("/guilds/{}/bans", world.guild)).await.ok().as_array().unwrap().len(), 1);
    world.delete(&upper, &ban(&anna)).await.no_content();
    world.post(&anna, &format!("/invites/{code}"), json!({})).await.ok();
    // discord.py asks for it in the query; what the body says goes first.
    world.say(&anna, "kept").await;
    world
        .put(&upper, &format!("{}?delete_message_seconds=60", ban(&anna)), json!({ "delete_message_seconds": 0 }))
        .await
        .no_content();
    assert_eq!(world.said().await, ["kept"]);
    world.put(&upper, &format!("{}?delete_message_seconds=604801", ban(&anna)), json!({})).await.refused(400, 50035);
    world.delete(&upper, &ban(&anna)).await.no_content();
    world.post(&anna, &format!("/invites/{code}"), json!({})).await.ok();
    world.put(&upper, &format!("{}?delete_message_seconds=60", ban(&anna)), json!({})).await.no_content();
    assert_eq!(world.said().await, Vec::<String>::new());
    // A stranger can be kept out before they come.
    let stranger = world.register("stranger").await;
    world.put(&upper, &ban(&stranger), json!({})).await.no_content();
    world.post(&stranger, &format!("/invites/{code}"), json!({})).await.refused(403, 40007);
}

#[tokio::test]
async fn a_timeout_silences_until_it_ends_and_never_the_mighty() {
    let world = World::new().await;
    let (moderator, _) = world.member_with("moderator", Permissions::MODERATE_MEMBERS.0).await;
    let (admin, _) = world.member_with("admin", Permissions::ADMINISTRATOR.0).await;
    let anna = world.member("anna").await;
    let until = |ms: u64| json!({ "communication_disabled_until": guildhall_protocol::model::timestamp(ms) });
    let now = crate::ids::unix_ms();
    let path = member_path(&world, &anna);
    world
        .patch(&moderator, &path, until(now + 29 * 86_400_000))
        .await
        .form_error("/communication_disabled_until", "BASE_TYPE_MAX_VALUE");
    let member = world.patch(&moderator, &path, until(now + 60_000)).await.ok();
    assert!(member["communication_disabled_until"].is_string());
    world.post(&anna, &world.messages_path(), json!({ "content": "x" })).await.refused(403, 50013);
    world.get(&anna, &world.messages_path()).await.ok();
    world.patch(&moderator, &path, json!({ "communication_disabled_until": null })).await.ok();
    world.say(&anna, "again").await;
    world.patch(&moderator, &path, until(now - 60_000)).await.ok();
    world.say(&anna, "a moment that is over silences nobody").await;
    world.patch(&moderator, &member_path(&world, &world.owner), until(now + 60_000)).await.refused(403, 50013);
    world.patch(&world.owner, &member_path(&world, &admin), until(now + 60_000)).await.refused(403, 50013);
}

#[tokio::test]
async fn nicknames_are_ones_own_or_a_moderators_to_change() {
    let world = World::new().await;
    let (moderator, _) = world.member_with("moderator", Permissions::MANAGE_NICKNAMES.0).await;
    let anna = world.member("anna").await;
    let own = format!("/guilds/{}/members/@me", world.guild);
    assert_eq!(world.patch(&anna, &own, json!({ "nick": "Annie" })).await.ok()["nick"], "Annie");
    let as_it_was = format!("{own}/nick");
    assert_eq!(world.patch(&anna, &as_it_was, json!({ "nick": "Ann" })).await.ok(), json!({ "nick": "Ann" }));
    assert_eq!(world.patch(&moderator, &member_path(&world, &anna), json!({ "nick": "" })).await.ok()["nick"], Value::Null);
    world.patch(&anna, &member_path(&world, &moderator), json!({ "nick": "x" })).await.refused(403, 50013);
    let everyone = format!("/guilds/{}/roles/{}", world.guild, world.guild);
    world.patch(&world.owner, &everyone, json!({ "permissions": Permissions::VIEW_CHANNEL.0.to_string() })).await.ok();
    for path in [&own, &as_it_was] {
        world.patch(&anna, path, json!({ "nick": "x" })).await.refused(403, 50013);
    }
    world.patch(&anna, &own, json!({})).await.ok();
}

#[tokio::test]
async fn members_are_listed_in_pages_and_found_by_name() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let bea = world.member("bea").await;
    let path = format!("/guilds/{}/members", world.guild);
    let ids = |members: &Value| members.as_array().unwrap().iter().map(|member| text(&member["user"]["id"])).collect::<Vec<_>>();
    assert_eq!(ids(&world.get(&anna, &path).await.ok()), std::slice::from_ref(&world.owner.id));
    assert_eq!(
        ids(&world.get(&anna, &format!("{path}?limit=1000")).await.ok()),
        [&world.owner.id, &anna.id, &bea.id].map(Clone::clone)
    );
    assert_eq!(ids(&world.get(&anna, &format!("{path}?limit=5&after={}", anna.id)).await.ok()), std::slice::from_ref(&bea.id));
    assert_eq!(ids(&world.get(&anna, &format!("{path}/search?query=BE&limit=5")).await.ok()), std::slice::from_ref(&bea.id));
    world.get(&anna, &format!("{path}?limit=1001")).await.form_error("/limit", "NUMBER_TYPE_MAX");
}

#[tokio::test]
async fn voice_is_moderated_only_where_there_is_someone_in_voice() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    for change in
        [json!({ "mute": true }), json!({ "deaf": true }), json!({ "channel_id": world.voice }), json!({ "channel_id": null })]
    {
        world.patch(&world.owner, &member_path(&world, &anna), change).await.refused(400, 40032);
    }
    let member = world.get(&world.owner, &member_path(&world, &anna)).await.ok();
    assert_eq!((&member["mute"], &member["deaf"]), (&json!(false), &json!(false)));
}
