//! Interactions elsewhere than in a guild's channel: in threads and direct messages, and with files.

use super::*;

#[tokio::test]
async fn interactions_happen_in_threads() {
    let mut scene = Scene::new().await;
    let give = json!({ "name": "give", "description": "d", "options": [{ "type": 7, "name": "where", "description": "d" }] });
    let command = scene.command(give).await;
    let world = &scene.world;
    let start = format!("/channels/{}/threads", world.text);
    let thread = world.post(&world.owner, &start, json!({ "name": "plans", "type": 11 })).await.ok();
    let id = text(&thread["id"]);
    let options = json!([{ "type": 7, "name": "where", "value": id }]);
    scene.begin_with(json!({ "type": 2, "channel_id": id, "data": run(&command, options) })).await.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    assert_eq!((&told["channel_id"], &told["channel"]["parent_id"]), (&json!(id), &json!(scene.world.text)));
    assert_eq!((&told["channel"]["type"], &told["context"]), (&json!(11), &json!(0)));
    assert!(told["channel"]["permissions"].is_string() && told["channel"]["thread_metadata"].is_object());
    assert_eq!(told["data"]["resolved"]["channels"][&id]["name"], "plans");
    // The answer is in the thread; whom it mentions is in it from then on.
    let data = json!({ "content": format!("<@{}>", scene.world.owner.id), "components": buttons() });
    let answered = scene.answer(&told, json!({ "type": 4, "data": data })).await.ok();
    let message = &answered["resource"]["message"];
    assert_eq!((&message["channel_id"], &message["mentions"][0]["id"]), (&json!(id), &json!(scene.world.owner.id)));
    let press = json!({ "component_type": 2, "custom_id": "press" });
    let pressed = json!({ "type": 3, "channel_id": id, "message_id": message["id"], "data": press });
    scene.begin_with(pressed.clone()).await.no_content();
    assert_eq!(scene.at_bot.hear("INTERACTION_CREATE").await["message"]["id"], message["id"]);

    // A thread that is locked is closed for commands, too, and a private one for those who are not in it.
    let world = &scene.world;
    world.patch(&world.owner, &format!("/channels/{id}"), json!({ "locked": true })).await.ok();
    scene.begin_with(pressed).await.refused(400, 160005);
    let secret = world.post(&world.owner, &start, json!({ "name": "secret", "type": 12 })).await.ok();
    let ran = json!({ "type": 2, "channel_id": secret["id"], "data": run(&command, json!([])) });
    scene.begin_with(ran).await.refused(403, 50001);
    let data = run(&command, json!([{ "type": 7, "name": "where", "value": secret["id"] }]));
    scene.begin(2, data).await.form_error("/data/resolved", "UNKNOWN_OBJECT");
}

/// A channel's id, of its path.
fn id_of(path: &str) -> String {
    path.trim_start_matches("/channels/").to_owned()
}

#[tokio::test]
async fn interactions_happen_in_the_bots_own_dms() {
    let mut scene = Scene::new().await;
    let ask = json!({ "name": "ask", "description": "d", "default_member_permissions": "8", "options": [
        { "type": 6, "name": "whom", "description": "d" }, { "type": 8, "name": "role", "description": "d" },
    ]});
    let ask = scene.command(ask).await;
    let dm = id_of(&scene.world.dm(&scene.anna, &scene.bot).await);
    let begin = |kind: u8, data: Value| json!({ "type": kind, "guild_id": null, "channel_id": dm, "data": data });
    let options = json!([{ "type": 6, "name": "whom", "value": scene.anna.id }]);
    scene.begin_with(begin(2, run(&ask, options))).await.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    assert_eq!((&told["context"], &told["user"]["id"]), (&json!(1), &json!(scene.anna.id)));
    assert_eq!((told.get("member"), told.get("guild_id"), told.get("guild")), (None, None, None));
    assert_eq!(told["authorizing_integration_owners"], json!({ "0": "0" }));
    assert_eq!((&told["channel"]["type"], &told["channel"]["recipients"][0]["id"]), (&json!(1), &json!(scene.anna.id)));
    assert_eq!(told["data"]["resolved"]["users"][&scene.anna.id]["username"], "anna");
    let data = json!({ "content": format!("yes, <@{}>", scene.anna.id), "components": buttons() });
    let answered = scene.answer(&told, json!({ "type": 4, "data": data })).await.ok();
    let message = &answered["resource"]["message"];
    assert_eq!((&message["channel_id"], &message["mentions"][0]["id"]), (&json!(dm), &json!(scene.anna.id)));
    assert_eq!((&message["type"], &message["interaction_metadata"]["user"]["id"]), (&json!(20), &json!(scene.anna.id)));
    let history = scene.world.get(&scene.anna, &format!("/channels/{dm}/messages")).await.ok();
    assert_eq!(history[0]["id"], message["id"]);
    scene.at_anna.hear("INTERACTION_SUCCESS").await;

    // Its buttons open modals, as elsewhere, and what is filled in comes back.
    let press = json!({ "component_type": 2, "custom_id": "press" });
    let mut press = begin(3, press);
    press["message_id"] = message["id"].clone();
    scene.begin_with(press).await.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    let field = json!({ "type": 4, "custom_id": "why", "style": 1, "label": "Why?" });
    let modal = json!({ "custom_id": "m", "title": "M", "components": [{ "type": 1, "components": [field] }] });
    scene.answer(&told, json!({ "type": 9, "data": modal })).await.ok();
    let opened = scene.at_anna.hear("INTERACTION_MODAL_CREATE").await;
    let filled = json!([{ "type": 1, "components": [{ "type": 4, "custom_id": "why", "value": "so" }] }]);
    let filled = json!({ "id": opened["id"], "custom_id": "m", "components": filled });
    scene.begin_with(begin(5, filled)).await.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    assert_eq!((&told["context"], &told["data"]["components"][0]["components"][0]["value"]), (&json!(1), &json!("so")));
    scene.answer(&told, json!({ "type": 4, "data": { "content": "psst", "flags": 64 } })).await.ok();
    assert_eq!(scene.at_anna.hear("MESSAGE_CREATE").await["content"], "psst");

    // There are no roles there, and no commands that are not meant for it, and it is nobody else's place.
    let world = &scene.world;
    let role = run(&ask, json!([{ "type": 8, "name": "role", "value": world.guild }]));
    scene.begin_with(begin(2, role)).await.form_error("/data/resolved", "UNKNOWN_OBJECT");
    let guilds_only = scene.command(json!({ "name": "here", "description": "d", "contexts": [0] })).await;
    scene.begin_with(begin(2, run(&guilds_only, json!([])))).await.refused(404, 10063);
    let naughty = scene.command(json!({ "name": "naughty", "description": "d", "nsfw": true })).await;
    scene.begin_with(begin(2, run(&naughty, json!([])))).await.refused(403, 50013);
    let of_guild = format!("/applications/{}/guilds/{}/commands", scene.application, world.guild);
    let own = world.post(&scene.bot, &of_guild, json!({ "name": "own", "description": "d" })).await.ok();
    scene.begin_with(begin(2, run(&own, json!([])))).await.refused(404, 10063);
    world.befriend(&scene.anna, &world.owner).await;
    let elsewhere = id_of(&world.dm(&scene.anna, &world.owner).await);
    let mut elsewhere = json!({ "type": 2, "channel_id": elsewhere, "data": run(&ask, json!([])) });
    elsewhere["guild_id"] = Value::Null;
    scene.begin_with(elsewhere).await.refused(404, 10002);
    world.put(&scene.anna, &format!("/users/@me/relationships/{}", scene.bot.id), json!({ "type": 2 })).await.no_content();
    scene.begin_with(begin(2, run(&ask, json!([])))).await.refused(403, 50007);
}

#[tokio::test]
async fn commands_and_modals_take_files() {
    let mut scene = Scene::new().await;
    let show = json!({ "name": "show", "description": "d", "options": [
        { "type": 11, "name": "picture", "description": "d", "required": true },
        { "type": 11, "name": "other", "description": "d" },
    ]});
    let command = scene.command(show).await;
    let option = |name: &str, number: u8| json!({ "type": 11, "name": name, "value": number });
    let (application, channel) = (scene.application.clone(), scene.world.text.clone());
    let begin = |data: Value| json!({ "type": 2, "application_id": application, "channel_id": channel, "data": data });
    let mut data = run(&command, json!([option("picture", 0)]));
    data["attachments"] = json!([{ "id": 0, "filename": "renamed.txt", "description": "a note" }]);
    let files: [(&str, &[u8]); 2] = [("a.txt", b"one"), ("b.txt", b"two")];
    let begun = scene.world.upload(&scene.anna, Method::POST, "/interactions", begin(data), &files).await;
    begun.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    let id = text(&told["data"]["options"][0]["value"]);
    let attachments = told["data"]["resolved"]["attachments"].as_object().unwrap();
    assert_eq!(attachments.keys().collect::<Vec<_>>(), [&id]);
    let attachment = &attachments[&id];
    assert_eq!((&attachment["filename"], &attachment["description"]), (&json!("renamed.txt"), &json!("a note")));
    assert_eq!((&attachment["size"], &attachment["id"]), (&json!(3), &json!(id)));
    // The janitor leaves it to the bot for an hour.
    scene.world.sweep_at(crate::ids::unix_ms()).await;
    assert_eq!(scene.world.fetch(&text(&attachment["url"]), &[]).await.1, "one");

    // Files come back with answers, and with those that only one user sees.
    let path = format!("/interactions/{}/{}/callback?with_response=1", text(&told["id"]), text(&told["token"]));
    let payload = json!({ "type": 4, "data": { "flags": 64, "attachments": [{ "id": 0, "description": "yours" }] } });
    let nobody = scene.world.nobody();
    let answered = scene.world.upload(&nobody, Method::POST, &path, payload, &[("c.txt", b"three")]).await.ok();
    let shown = &answered["resource"]["message"]["attachments"][0];
    assert_eq!(shown["description"], "yours");
    scene.world.sweep_at(crate::ids::unix_ms()).await;
    assert_eq!(scene.world.fetch(&text(&shown["url"]), &[]).await.1, "three");
    let hook = format!("/webhooks/{}/{}", scene.application, text(&told["token"]));
    let more = scene.world.upload(&nobody, Method::POST, &hook, json!({}), &[("d.txt", b"four")]).await.ok();
    assert_eq!(scene.world.fetch(&text(&more["attachments"][0]["url"]), &[]).await.1, "four");

    // So do they with modals.
    let told = scene.run_with_file(&command, b"x").await;
    let upload = json!({ "type": 19, "custom_id": "files", "max_values": 2 });
    let modal = json!({ "custom_id": "m", "title": "M", "components": [{ "type": 18, "label": "Files", "component": upload }] });
    scene.answer(&told, json!({ "type": 9, "data": modal })).await.ok();
    let opened = text(&scene.at_anna.hear("INTERACTION_MODAL_CREATE").await["id"]);
    let fill = |values: Value| {
        let filled = json!([{ "type": 18, "component": { "type": 19, "custom_id": "files", "values": values } }]);
        let data = json!({ "id": opened, "custom_id": "m", "components": filled });
        json!({ "type": 5, "application_id": scene.application, "channel_id": scene.world.text, "data": data })
    };
    scene.begin_with(fill(json!(["0"]))).await.form_error("/data/components/0/component/values", "COMPONENT_VALUES_INVALID");
    let filled = scene.world.upload(&scene.anna, Method::POST, "/interactions", fill(json!(["1", "0"])), &files).await;
    filled.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    let values = told["data"]["components"][0]["component"]["values"].as_array().unwrap();
    let named: Vec<&Value> =
        values.iter().map(|id| &told["data"]["resolved"]["attachments"][id.as_str().unwrap()]["filename"]).collect();
    assert_eq!(named, ["b.txt", "a.txt"]);

    // Numbers that no file has, files for a place that is not said, or where one may not attach any.
    let data = run(&command, json!([option("picture", 3)]));
    let refused = scene.world.upload(&scene.anna, Method::POST, "/interactions", begin(data.clone()), &files).await;
    refused.form_error("/data/options/0/value", "INTERACTION_APPLICATION_COMMAND_OPTION_INVALID");
    scene.begin(2, data.clone()).await.form_error("/data/options/0/value", "INTERACTION_APPLICATION_COMMAND_OPTION_INVALID");
    let nowhere = json!({ "type": 2, "application_id": scene.application, "data": data });
    let refused = scene.world.upload(&scene.anna, Method::POST, "/interactions", nowhere, &files).await;
    refused.form_error("/channel_id", "BASE_TYPE_REQUIRED");
    let overwrite = format!("/channels/{}/permissions/{}", scene.world.text, scene.world.guild);
    let deny = json!({ "type": 0, "deny": guildhall_protocol::Permissions::ATTACH_FILES });
    scene.world.put(&scene.world.owner, &overwrite, deny).await.no_content();
    let data = run(&command, json!([option("picture", 0)]));
    scene.world.upload(&scene.anna, Method::POST, "/interactions", begin(data), &files).await.refused(403, 50013);
    // An hour later nothing is left but what the channel shows.
    scene.world.sweep_at(crate::ids::unix_ms() + 3_700_000).await;
    assert_eq!(scene.world.fetch(&text(&shown["url"]), &[]).await.0.status, 404);
    assert_eq!(scene.world.fetch(&text(&more["attachments"][0]["url"]), &[]).await.1, "four");
}
