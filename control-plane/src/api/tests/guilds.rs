//! Guilds, channels, overwrites, invites.

use super::{World, text};
use axum::http::Method;
use guildhall_protocol::Permissions;
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_guild_is_ready_to_be_used() {
    let world = World::new().await;
    let anna = world.register("anna").await;
    let reply = world.post(&anna, "/guilds", json!({ "name": " Anna's place " })).await;
    assert_eq!(reply.status, 201);
    let guild = reply.body;
    let id = text(&guild["id"]);
    assert_eq!((&guild["name"], text(&guild["owner_id"])), (&json!("Anna's place"), anna.id.clone()));
    assert_eq!((guild["roles"][0]["id"].as_str(), &guild["roles"][0]["name"]), (Some(id.as_str()), &json!("@everyone")));
    let everyone: u64 = text(&guild["roles"][0]["permissions"]).parse().unwrap();
    let basics = Permissions::VIEW_CHANNEL | Permissions::SEND_MESSAGES | Permissions::CONNECT | Permissions::SPEAK;
    assert!(Permissions(everyone).contains(basics) && !Permissions(everyone).contains(Permissions::MANAGE_MESSAGES));
    let channels = world.get(&anna, &format!("/guilds/{id}/channels")).await.ok();
    let kinds: Vec<i64> = channels.as_array().unwrap().iter().filter_map(|channel| channel["type"].as_i64()).collect();
    assert_eq!(kinds, [4, 4, 0, 2]);
    assert_eq!(channels[2]["id"], guild["system_channel_id"]);
    assert_eq!((&channels[3]["bitrate"], &channels[3]["user_limit"]), (&json!(64_000), &json!(0)));
    let mine = world.get(&anna, "/users/@me/guilds?with_counts=true").await.ok();
    assert_eq!((&mine[0]["owner"], &mine[0]["approximate_member_count"]), (&json!(true), &json!(1)));
    assert_eq!(mine[0]["permissions"], Permissions::ALL.0.to_string());
    // Another's guild is not in the list, and only members see it.
    assert_eq!(mine.as_array().unwrap().len(), 1);
    world.delete(&anna, &format!("/users/@me/guilds/{id}")).await.refused(400, 50055);
    world.delete(&anna, &format!("/guilds/{id}")).await.no_content();
    world.get(&anna, &format!("/guilds/{id}")).await.refused(404, 10004);
    world.get(&anna, &format!("/channels/{}", text(&channels[2]["id"]))).await.refused(404, 10003);
    assert_eq!(world.get(&anna, "/users/@me/guilds").await.ok(), json!([]));
}

#[tokio::test]
async fn a_guild_is_edited_field_by_field_and_handed_over() {
    let world = World::new().await;
    let (anna, _) = world.member_with("anna", Permissions::MANAGE_GUILD.0).await;
    let path = format!("/guilds/{}", world.guild);
    let edit = json!({ "name": "Hall", "afk_channel_id": world.voice, "afk_timeout": 900, "system_channel_id": null });
    let guild = world.patch(&anna, &path, edit).await.ok();
    let kept = ["name", "afk_channel_id", "afk_timeout", "system_channel_id"].map(|key| guild[key].clone());
    assert_eq!(kept, [json!("Hall"), json!(world.voice), json!(900), Value::Null]);
    assert_eq!(world.patch(&anna, &path, json!({ "description": "ours" })).await.ok()["name"], "Hall");
    assert_eq!(world.get(&anna, &path).await.ok()["description"], "ours");
    world.patch(&anna, &path, json!({ "afk_channel_id": world.text })).await.refused(400, 50024);
    world.patch(&anna, &path, json!({ "system_channel_id": "1" })).await.refused(404, 10003);
    // discord.py sets every bit that it knows, and it knows one that is documented nowhere.
    let quiet = world.patch(&anna, &path, json!({ "system_channel_flags": 319 })).await.ok();
    assert_eq!(quiet["system_channel_flags"], 63);
    // Only the owner hands over, and only to a person who is there.
    world.patch(&anna, &path, json!({ "owner_id": anna.id })).await.refused(403, 50013);
    let (bot, _) = world.bot("helper", 0).await;
    world.patch(&world.owner, &path, json!({ "owner_id": bot.id })).await.refused(403, 50013);
    world.patch(&world.owner, &path, json!({ "owner_id": "1" })).await.refused(404, 10007);
    world.patch(&world.owner, &path, json!({ "owner_id": anna.id })).await.ok();
    world.delete(&world.owner, &path).await.refused(403, 50013);
    world.delete(&world.owner, &format!("/users/@me/guilds/{}", world.guild)).await.no_content();
    world.delete(&anna, &path).await.no_content();
}

#[tokio::test]
async fn channels_are_made_moved_changed_and_deleted() {
    let world = World::new().await;
    let path = format!("/guilds/{}/channels", world.guild);
    let category = text(&world.post(&world.owner, &path, json!({ "name": "Projects", "type": 4 })).await.ok()["id"]);
    let new = json!({ "name": "Big Plans", "type": 0, "parent_id": category, "topic": "soon", "rate_limit_per_user": 5 });
    let reply = world.post(&world.owner, &path, new).await;
    assert_eq!(reply.status, 201);
    let channel = reply.body;
    let id = text(&channel["id"]);
    assert_eq!((&channel["name"], &channel["topic"], &channel["position"]), (&json!("big-plans"), &json!("soon"), &json!(0)));
    let second = world.post(&world.owner, &path, json!({ "name": "more", "parent_id": category })).await.ok();
    assert_eq!(second["position"], 1);
    let moves = json!([{ "id": id, "position": 1 }, { "id": second["id"], "position": 0, "parent_id": null }]);
    world.patch(&world.owner, &path, moves).await.no_content();
    let moved = world.get(&world.owner, &format!("/channels/{}", text(&second["id"]))).await.ok();
    assert_eq!((&moved["position"], &moved["parent_id"]), (&json!(0), &Value::Null));
    let edit = json!({ "name": "Plans", "topic": null, "nsfw": true, "bitrate": 96_000 });
    let edited = world.patch(&world.owner, &format!("/channels/{id}"), edit).await.ok();
    assert_eq!((&edited["name"], &edited["topic"], &edited["nsfw"]), (&json!("plans"), &Value::Null, &json!(true)));
    assert_eq!(edited.get("bitrate"), None, "a text channel has no bitrate");
    let voice = world
        .patch(&world.owner, &format!("/channels/{}", world.voice), json!({ "user_limit": 5, "name": "Big Lounge" }))
        .await
        .ok();
    assert_eq!((&voice["user_limit"], &voice["name"]), (&json!(5), &json!("Big Lounge")));
    world.patch(&world.owner, &format!("/channels/{id}"), json!({ "type": 2 })).await.refused(400, 50024);
    assert_eq!(world.patch(&world.owner, &format!("/channels/{id}"), json!({ "type": 5 })).await.ok()["type"], 5);
    world.delete(&world.owner, &format!("/channels/{category}")).await.ok();
    assert_eq!(world.get(&world.owner, &format!("/channels/{id}")).await.ok()["parent_id"], Value::Null);
    assert_eq!(text(&world.delete(&world.owner, &format!("/channels/{id}")).await.ok()["id"]), id);
    world.get(&world.owner, &format!("/channels/{id}")).await.refused(404, 10003);
}

#[tokio::test]
async fn an_overwrite_takes_effect_at_once_and_hides_what_it_denies() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let (channel, everyone) = (format!("/channels/{}", world.text), &world.guild);
    world.say(&world.owner, "secret").await;
    let deny = |bits: Permissions| json!({ "type": 0, "deny": bits.0.to_string() });
    world.put(&world.owner, &format!("{channel}/permissions/{everyone}"), deny(Permissions::SEND_MESSAGES)).await.no_content();
    world.post(&anna, &world.messages_path(), json!({ "content": "x" })).await.refused(403, 50013);
    world.post(&anna, &format!("{channel}/typing"), json!({})).await.refused(403, 50013);
    world
        .put(&world.owner, &format!("{channel}/permissions/{everyone}"), deny(Permissions::READ_MESSAGE_HISTORY))
        .await
        .no_content();
    assert_eq!(world.get(&anna, &world.messages_path()).await.ok(), json!([]));
    let reply = json!({ "content": "x", "message_reference": { "message_id": "1" } });
    world.post(&anna, &world.messages_path(), reply).await.refused(400, 160_002);
    world.put(&world.owner, &format!("{channel}/permissions/{everyone}"), deny(Permissions::VIEW_CHANNEL)).await.no_content();
    world.get(&anna, &channel).await.refused(403, 50001);
    world.get(&anna, &world.messages_path()).await.refused(403, 50001);
    let visible = world.get(&anna, &format!("/guilds/{}/channels", world.guild)).await.ok();
    assert!(visible.as_array().unwrap().iter().all(|seen| seen["id"] != json!(world.text)));
    // One member's own overwrite goes before the role's.
    let allow = json!({ "type": "member", "allow": Permissions::VIEW_CHANNEL.0 });
    world.put(&world.owner, &format!("{channel}/permissions/{}", anna.id), allow).await.no_content();
    let seen = world.get(&anna, &channel).await.ok();
    assert_eq!(seen["permission_overwrites"].as_array().map(Vec::len), Some(2));
    world.delete(&world.owner, &format!("{channel}/permissions/{}", anna.id)).await.no_content();
    world.get(&anna, &channel).await.refused(403, 50001);
    world.put(&world.owner, &format!("{channel}/permissions/1"), json!({})).await.form_error("/type", "BASE_TYPE_REQUIRED");
}

#[tokio::test]
async fn a_moderator_overwrites_only_bits_that_they_hold() {
    let world = World::new().await;
    let held = Permissions::MANAGE_ROLES | Permissions::MANAGE_CHANNELS;
    let (anna, _) = world.member_with("anna", held.0).await;
    let path = format!("/channels/{}/permissions/{}", world.text, world.guild);
    let allow = |bits: Permissions| json!({ "type": 0, "allow": bits.0.to_string() });
    world.put(&anna, &path, allow(Permissions::MANAGE_MESSAGES)).await.refused(403, 50013);
    world.put(&anna, &path, allow(Permissions::SEND_MESSAGES)).await.no_content();
    let by_edit = json!({ "permission_overwrites": [{ "id": world.guild, "type": 0, "allow": Permissions::MANAGE_MESSAGES.0 }] });
    world.patch(&anna, &format!("/channels/{}", world.text), by_edit.clone()).await.refused(403, 50013);
    let new = json!({ "name": "loophole", "permission_overwrites": by_edit["permission_overwrites"] });
    world.post(&anna, &format!("/guilds/{}/channels", world.guild), new).await.refused(403, 50013);
}

#[tokio::test]
async fn a_new_channel_has_its_categorys_overwrites() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let path = format!("/guilds/{}/channels", world.guild);
    let hidden = json!([{ "id": world.guild, "type": 0, "deny": Permissions::VIEW_CHANNEL.0.to_string() }]);
    let category = json!({ "name": "Staff", "type": 4, "permission_overwrites": hidden });
    let category = text(&world.post(&world.owner, &path, category).await.ok()["id"]);
    let inside = world.post(&world.owner, &path, json!({ "name": "staff", "parent_id": category })).await.ok();
    world.get(&anna, &format!("/channels/{}", text(&inside["id"]))).await.refused(403, 50001);
    // Syncing an older channel copies them, too.
    let moves = json!([{ "id": world.text, "parent_id": category, "lock_permissions": true }]);
    world.patch(&world.owner, &path, moves).await.no_content();
    world.get(&anna, &format!("/channels/{}", world.text)).await.refused(403, 50001);
}

#[tokio::test]
async fn an_invite_shows_its_guild_to_anyone_and_lets_people_in() {
    let world = World::new().await;
    let path = format!("/channels/{}/invites", world.text);
    let invite = world.post(&world.owner, &path, json!({ "max_age": 0, "max_uses": 5 })).await.ok();
    let code = text(&invite["code"]);
    assert_eq!((&invite["uses"], &invite["max_uses"], &invite["expires_at"]), (&json!(0), &json!(5), &Value::Null));
    let again = world.post(&world.owner, &path, json!({ "max_age": 0, "max_uses": 5 })).await.ok();
    assert_eq!(text(&again["code"]), code);
    let unique = world.post(&world.owner, &path, json!({ "max_age": 0, "max_uses": 5, "unique": true })).await.ok();
    assert_ne!(text(&unique["code"]), code);
    let seen = world.get(&world.nobody(), &format!("/invites/{code}?with_counts=true")).await.ok();
    assert_eq!((&seen["guild"]["name"], &seen["approximate_member_count"]), (&json!("Guildhall"), &json!(1)));
    assert_eq!((text(&seen["channel"]["id"]), text(&seen["inviter"]["id"])), (world.text.clone(), world.owner.id.clone()));

    let anna = world.register("anna").await;
    let joined = world.post(&anna, &format!("/invites/{code}"), json!({})).await.ok();
    assert_eq!((text(&joined["guild"]["id"]), &joined["new_member"]), (world.guild.clone(), &json!(true)));
    assert_eq!(world.post(&anna, &format!("/invites/{code}"), json!({})).await.ok()["new_member"], false);
    let greeting = world.get(&anna, &world.messages_path()).await.ok();
    assert_eq!((&greeting[0]["type"], text(&greeting[0]["author"]["id"])), (&json!(7), anna.id.clone()));
    let listed = world.get(&world.owner, &format!("/guilds/{}/invites", world.guild)).await.ok();
    let uses = listed.as_array().unwrap().iter().find(|invite| invite["code"] == json!(code)).unwrap()["uses"].clone();
    assert_eq!((listed.as_array().unwrap().len(), uses), (2, json!(1)));
    assert_eq!(world.get(&world.owner, &path).await.ok().as_array().unwrap().len(), 2);

    world.delete(&anna, &format!("/invites/{code}")).await.refused(403, 50013);
    world.delete(&world.owner, &format!("/invites/{code}")).await.ok();
    world.get(&world.nobody(), &format!("/invites/{code}")).await.refused(404, 10006);
    world.post(&world.register("late").await, &format!("/invites/{code}"), json!({})).await.refused(404, 10006);
    // Leaving, and coming back.
    world.delete(&anna, &format!("/users/@me/guilds/{}", world.guild)).await.no_content();
    world.get(&anna, &format!("/guilds/{}", world.guild)).await.refused(403, 50001);
    world.post(&anna, &format!("/invites/{}", text(&unique["code"])), json!({})).await.ok();
    world.get(&anna, &format!("/guilds/{}", world.guild)).await.ok();
    let (bot, _) = world.bot("helper", 0).await;
    world.post(&bot, &format!("/invites/{}", text(&unique["code"])), json!({})).await.refused(403, 20001);
}

#[tokio::test]
async fn regions_exist() {
    let world = World::new().await;
    for path in ["/voice/regions".to_owned(), format!("/guilds/{}/regions", world.guild)] {
        assert_eq!(world.get(&world.owner, &path).await.ok()[0]["optimal"], true);
    }
    world.call(&world.nobody(), Method::GET, "/voice/regions", None).await.refused(401, 0);
    assert_eq!(world.get(&world.owner, "/soundboard-default-sounds").await.ok(), json!([]), "py-cord waits for the list");
}

#[tokio::test]
async fn channels_with_the_overwrites_of_their_category_follow_it_and_others_keep_theirs() {
    let world = World::new().await;
    let channels = format!("/guilds/{}/channels", world.guild);
    let make = async |body: Value| text(&world.post(&world.owner, &channels, body).await.ok()["id"]);
    let category = make(json!({ "name": "wing", "type": 4 })).await;
    let [follows, detached] =
        [make(json!({ "name": "a", "parent_id": category })).await, make(json!({ "name": "b", "parent_id": category })).await];
    let outside = make(json!({ "name": "c" })).await;
    let set = async |channel: &str, deny: u64| {
        let body = json!({ "type": 0, "deny": deny.to_string() });
        world.put(&world.owner, &format!("/channels/{channel}/permissions/{}", world.guild), body).await.no_content();
    };
    let denied = async |channel: &str| {
        let overwrites = world.get(&world.owner, &format!("/channels/{channel}")).await.ok()["permission_overwrites"].clone();
        overwrites.as_array().unwrap().iter().map(|overwrite| text(&overwrite["deny"])).collect::<Vec<_>>()
    };
    set(&category, 2048).await;
    assert_eq!((denied(&follows).await, denied(&detached).await), (vec!["2048".to_owned()], vec!["2048".to_owned()]));
    set(&detached, 64).await;
    set(&category, 4096).await;
    assert_eq!(denied(&follows).await, ["4096"]);
    assert_eq!(denied(&detached).await, ["64"], "it has its own");
    assert_eq!(denied(&outside).await, [""; 0], "it is in no category");
    // By whichever route the category changes; what is no change of overwrites moves nothing.
    world
        .patch(&world.owner, &format!("/channels/{category}"), json!({ "permission_overwrites": [], "name": "hall" }))
        .await
        .ok();
    assert_eq!(denied(&follows).await, [""; 0]);
    set(&follows, 32).await;
    world.patch(&world.owner, &format!("/channels/{category}"), json!({ "name": "wing" })).await.ok();
    assert_eq!(denied(&follows).await, ["32"]);
}
