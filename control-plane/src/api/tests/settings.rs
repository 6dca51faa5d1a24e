//! What people set for themselves and say about themselves.

use super::{World, text};
use crate::hub::world::told;
use serde_json::{Value, json};

#[tokio::test]
async fn settings_have_defaults_limits_and_reach_every_session() {
    let world = World::new().await;
    let anna = world.register("anna").await;
    let path = "/users/@me/settings";
    let before = world.get(&anna, path).await.ok();
    assert_eq!((&before["theme"], &before["status"], &before["custom_status"]), (&json!("dark"), &json!("online"), &Value::Null));
    let (session, ready) = world.listen(&anna, None).await;
    assert_eq!(ready["user_settings"], before);
    let change = json!({
        "theme": "light", "status": "dnd", "message_display_compact": true, "locale": "de", "unknown": { "huge": [] },
        "custom_status": { "text": "away", "expires_at": "2030-01-01T00:00:00+00:00" },
        "guild_folders": [{ "id": 5, "guild_ids": [world.guild] }],
    });
    let after = world.patch(&anna, path, change).await.ok();
    assert_eq!((&after["theme"], &after["status"], &after["locale"]), (&json!("light"), &json!("dnd"), &json!("de")));
    assert_eq!(
        (&after["custom_status"]["text"], &after["render_embeds"], after.get("unknown")),
        (&json!("away"), &json!(true), None)
    );
    assert_eq!(after["guild_folders"], json!([{ "id": 5, "name": null, "color": null, "guild_ids": [world.guild] }]));
    assert_eq!(told(&session), [("USER_SETTINGS_UPDATE", after.clone())]);
    let cleared = world.patch(&anna, path, json!({ "custom_status": null })).await.ok();
    assert_eq!((&cleared["custom_status"], &cleared["theme"]), (&Value::Null, &json!("light")));
    assert_eq!(world.get(&anna, path).await.ok(), cleared);
    for (wrong, pointer, code) in [
        (json!({ "theme": "pink" }), "/theme", "BASE_TYPE_CHOICES"),
        (json!({ "status": 5 }), "/status", "STRING_TYPE_CONVERT"),
        (json!({ "custom_status": { "text": "x".repeat(129) } }), "/custom_status/text", "BASE_TYPE_MAX_LENGTH"),
        (json!({ "custom_status": { "expires_at": "soon" } }), "/custom_status/expires_at", "DATE_TIME_TYPE_PARSE"),
        (json!({ "afk_timeout": 1 }), "/afk_timeout", "NUMBER_TYPE_MIN"),
    ] {
        world.patch(&anna, path, wrong).await.form_error(pointer, code);
    }
    let ids: Vec<String> = (1..=200).map(|number: u64| (u64::from(u32::MAX) * number).to_string()).collect();
    let folders: Vec<Value> = (0..100).map(|id| json!({ "id": id, "guild_ids": ids })).collect();
    world.patch(&anna, path, json!({ "guild_folders": folders })).await.refused(413, 40005);
    assert_eq!(world.get(&anna, path).await.ok(), cleared);
    let (bot, _) = world.bot("helper", 0).await;
    world.get(&bot, path).await.refused(403, 20001);
}

#[tokio::test]
async fn members_of_a_restricted_guild_begin_no_conversation() {
    let world = World::new().await;
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let open = json!({ "recipient_id": anna.id });
    let path = "/users/@me/settings";
    let set = world.patch(&anna, path, json!({ "restricted_guilds": [world.guild, "1"] })).await.ok();
    assert_eq!(set["restricted_guilds"], json!([world.guild]), "others are not hers to restrict");
    world.post(&bea, "/users/@me/channels", open.clone()).await.refused(403, 50007);
    world.dm(&anna, &bea).await;
    world.patch(&anna, path, json!({ "restricted_guilds": [] })).await.ok();
    let dm = world.dm(&bea, &anna).await;
    world.post(&bea, &format!("{dm}/messages"), json!({ "content": "hi" })).await.ok();

    let cleo = world.register("cleo").await;
    world.patch(&cleo, path, json!({ "default_guilds_restricted": true })).await.ok();
    let (session, _) = world.listen(&cleo, None).await;
    world.post(&cleo, &format!("/invites/{}", world.invite().await), json!({})).await.ok();
    let heard = told(&session);
    let news = heard.iter().find(|(name, _)| *name == "USER_SETTINGS_UPDATE").expect("the guild is restricted at once");
    assert_eq!(news.1["restricted_guilds"], json!([world.guild]));
    world.post(&bea, "/users/@me/channels", json!({ "recipient_id": cleo.id })).await.refused(403, 50007);
    world.delete(&cleo, &format!("/users/@me/guilds/{}", world.guild)).await.no_content();
    assert_eq!(world.get(&cleo, path).await.ok()["restricted_guilds"], json!([]));
}

#[tokio::test]
async fn what_someone_is_told_about_is_theirs_to_set() {
    let world = World::new().await;
    let (anna, stranger) = (world.member("anna").await, world.register("stranger").await);
    let (session, ready) = world.listen(&anna, None).await;
    assert_eq!(ready["user_guild_settings"], json!({ "entries": [], "version": 0, "partial": false }));
    told(&session);
    let path = format!("/users/@me/guilds/{}/settings", world.guild);
    let until = json!({ "end_time": "2030-01-01T00:00:00+00:00", "selected_time_window": 3600 });
    let change = json!({
        "muted": true, "mute_config": until, "suppress_everyone": true,
        "channel_overrides": { &world.text: { "message_notifications": 2 } },
    });
    let set = world.patch(&anna, &path, change).await.ok();
    assert_eq!((&set["guild_id"], &set["muted"], &set["mute_config"]), (&json!(world.guild), &json!(true), &until));
    assert_eq!((&set["message_notifications"], &set["suppress_roles"]), (&json!(3), &json!(false)));
    assert_eq!(told(&session), [("USER_GUILD_SETTINGS_UPDATE", set)]);
    let more = json!({ "channel_overrides": [{ "channel_id": world.text, "muted": true }] });
    let set = world.patch(&anna, &path, more).await.ok();
    let expected = json!([{
        "channel_id": world.text, "muted": true, "message_notifications": 2, "collapsed": false, "mute_config": null,
    }]);
    assert_eq!((&set["channel_overrides"], &set["muted"]), (&expected, &json!(true)), "what is not named stays");
    let private = world.patch(&anna, "/users/@me/guilds/@me/settings", json!({ "muted": true })).await.ok();
    assert_eq!((&private["guild_id"], &private["muted"]), (&Value::Null, &json!(true)));
    let (_, ready) = world.listen(&anna, None).await;
    assert_eq!(ready["user_guild_settings"]["entries"], json!([private, set]));
    world
        .patch(&anna, &path, json!({ "channel_overrides": { "x": {} } }))
        .await
        .form_error("/channel_overrides/x", "NUMBER_TYPE_COERCE");
    let wrong = json!({ "channel_overrides": { &world.text: { "muted": "perhaps" } } });
    let pointer = format!("/channel_overrides/{}/muted", world.text);
    world.patch(&anna, &path, wrong).await.form_error(&pointer, "BOOLEAN_TYPE_CONVERT");
    world.patch(&stranger, &path, json!({ "muted": true })).await.refused(403, 50001);
    world.delete(&anna, &format!("/users/@me/guilds/{}", world.guild)).await.no_content();
    let (_, ready) = world.listen(&anna, None).await;
    assert_eq!(ready["user_guild_settings"]["entries"].as_array().map(Vec::len), Some(1), "it goes with the membership");
}

#[tokio::test]
async fn profiles_are_for_those_who_know_each_other_and_notes_for_oneself() {
    let world = World::new().await;
    let (anna, bea, stranger) = (world.member("anna").await, world.member("bea").await, world.register("stranger").await);
    let say = json!({ "bio": "knits", "pronouns": "she/her", "accent_color": 0x336699 });
    let profile = world.patch(&anna, "/users/@me/profile", say).await.ok();
    assert_eq!(profile, json!({ "bio": "knits", "pronouns": "she/her", "accent_color": 0x336699 }));
    world.patch(&anna, "/users/@me/profile", json!({ "bio": "x".repeat(191) })).await.form_error("/bio", "BASE_TYPE_MAX_LENGTH");
    world.befriend(&anna, &stranger).await;
    world.befriend(&bea, &stranger).await;
    let path = format!("/users/{}/profile", anna.id);
    let shown = world.get(&bea, &path).await.ok();
    assert_eq!((&shown["user"]["username"], &shown["user_profile"]), (&json!("anna"), &profile));
    assert_eq!(shown["mutual_guilds"], json!([{ "id": world.guild, "nick": null }]));
    assert_eq!((&shown["mutual_friends_count"], &shown["connected_accounts"]), (&json!(1), &json!([])));
    assert_eq!(world.get(&stranger, &path).await.ok()["mutual_guilds"], json!([]), "friends need no guild");
    let other = world.register("other").await;
    world.get(&other, &path).await.refused(403, 50001);
    world.get(&other, "/users/1/profile").await.refused(404, 10013);
    assert_eq!(world.get(&other, &format!("/users/{}/profile", other.id)).await.ok()["user_profile"]["bio"], "");
    let cleared = world.patch(&anna, "/users/@me/profile", json!({ "accent_color": null })).await.ok();
    assert_eq!((&cleared["bio"], &cleared["accent_color"]), (&json!("knits"), &Value::Null));

    let (session, _) = world.listen(&bea, None).await;
    told(&session);
    let note = format!("/users/@me/notes/{}", anna.id);
    world.get(&bea, &note).await.refused(404, 10013);
    world.put(&bea, &note, json!({ "note": "owes me wool" })).await.no_content();
    assert_eq!(told(&session), [("USER_NOTE_UPDATE", json!({ "id": anna.id, "note": "owes me wool" }))]);
    let noted = world.get(&bea, &note).await.ok();
    assert_eq!((text(&noted["note"]), text(&noted["note_user_id"])), ("owes me wool".to_owned(), anna.id.clone()));
    world.get(&anna, &format!("/users/@me/notes/{}", bea.id)).await.refused(404, 10013);
    world.put(&bea, &note, json!({ "note": "x".repeat(257) })).await.form_error("/note", "BASE_TYPE_MAX_LENGTH");
    world.put(&bea, &note, json!({ "note": "" })).await.no_content();
    world.get(&bea, &note).await.refused(404, 10013);
    world.put(&bea, "/users/@me/notes/1", json!({ "note": "x" })).await.refused(404, 10013);
}
