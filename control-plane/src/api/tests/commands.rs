use super::{Session, World, text};
use serde_json::{Value, json};

/// A bot in the first guild, and the path of its global commands.
async fn bot(world: &World) -> (Session, String) {
    let (bot, application) = world.bot("helper", 0).await;
    (bot, format!("/applications/{application}/commands"))
}

fn slash(name: &str) -> Value {
    json!({ "name": name, "description": "Does something" })
}

fn nested() -> Value {
    json!({
        "name": "config",
        "description": "Settings",
        "options": [
            { "type": 2, "name": "role", "description": "Roles", "options": [
                { "type": 1, "name": "give", "description": "Give one", "options": [
                    { "type": 8, "name": "which", "description": "Which", "required": true },
                    { "type": 6, "name": "whom", "description": "Whom", "required": false },
                ]},
            ]},
            { "type": 1, "name": "reset", "description": "Back to the start" },
        ],
    })
}

#[tokio::test]
async fn a_bot_keeps_its_commands() {
    let world = World::new().await;
    let (bot, path) = bot(&world).await;
    assert_eq!(world.get(&bot, &path).await.ok(), json!([]));

    let created = world.post(&bot, &path, nested()).await;
    assert_eq!(created.status, 201);
    let created = created.ok();
    assert_eq!((&created["type"], &created["dm_permission"], &created["nsfw"]), (&json!(1), &json!(true), &json!(false)));
    assert_eq!(created["options"][0]["options"][0]["options"][0]["required"], true);
    let one = format!("{path}/{}", text(&created["id"]));
    assert_eq!(world.get(&bot, &one).await.ok(), created);

    // The same name and kind again replaces it; what says the same is the same version.
    let again = world.post(&bot, &path, nested()).await;
    assert_eq!((again.status, &again.body), (200, &created));
    let mut other = nested();
    other["description"] = json!("Other settings");
    let changed = world.post(&bot, &path, other).await.ok();
    assert_eq!(changed["id"], created["id"]);
    assert_ne!(changed["version"], created["version"]);

    // A menu command may have the same name.
    let menu = json!({ "name": "config", "type": 2, "default_member_permissions": "8", "contexts": [0] });
    let menu = world.post(&bot, &path, menu).await.ok();
    assert_eq!((&menu["description"], &menu["default_member_permissions"]), (&json!(""), &json!("8")));
    assert_eq!((&menu["contexts"], &menu["dm_permission"]), (&json!([0]), &json!(false)));

    let edited = world.patch(&bot, &one, json!({ "name": "settings", "default_member_permissions": "0" })).await.ok();
    assert_eq!((&edited["name"], &edited["default_member_permissions"]), (&json!("settings"), &json!("0")));
    assert_eq!(edited["options"], created["options"], "what is not sent stays");
    assert_eq!(world.patch(&bot, &one, json!({ "options": null })).await.ok().get("options"), None);

    world.delete(&bot, &one).await.no_content();
    world.get(&bot, &one).await.refused(404, 10063);
    world.delete(&bot, &one).await.refused(404, 10063);
    assert_eq!(world.get(&bot, &path).await.ok(), json!([menu_without_localizations(menu)]));
}

fn menu_without_localizations(mut command: Value) -> Value {
    for key in ["name_localizations", "description_localizations"] {
        command.as_object_mut().unwrap().remove(key);
    }
    command
}

#[tokio::test]
async fn a_list_replaces_all_commands_and_keeps_the_ids_of_those_that_stay() {
    let world = World::new().await;
    let (bot, path) = bot(&world).await;
    let first = world.put(&bot, &path, json!([slash("one"), slash("two"), { "name": "one", "type": 3 }])).await.ok();
    let ids: Vec<&Value> = first.as_array().unwrap().iter().map(|command| &command["id"]).collect();
    assert_eq!(ids.len(), 3);
    // A name that stays keeps its id, an id that stays keeps its command under another name, and names may be swapped.
    let mut renamed = slash("one");
    renamed["id"] = ids[1].clone();
    let mut back = slash("two");
    back["id"] = ids[0].clone();
    let second = world.put(&bot, &path, json!([back, renamed, slash("three")])).await.ok();
    let names: Vec<(&Value, &str)> =
        second.as_array().unwrap().iter().map(|command| (&command["id"], command["name"].as_str().unwrap())).collect();
    assert_eq!(names[..2], [(ids[0], "two"), (ids[1], "one")]);
    assert_eq!(names[2].1, "three");
    assert!(!ids.contains(&names[2].0));
    assert_eq!(world.get(&bot, &path).await.ok().as_array().map(Vec::len), Some(3));
    assert_eq!(world.put(&bot, &path, json!([])).await.ok(), json!([]));
    assert_eq!(world.get(&bot, &path).await.ok(), json!([]));
}

#[tokio::test]
async fn commands_of_one_guild_are_a_scope_of_their_own() {
    let world = World::new().await;
    let (bot, application) = world.bot("helper", 0).await;
    let (global, own) =
        (format!("/applications/{application}/commands"), format!("/applications/{application}/guilds/{}/commands", world.guild));
    let everywhere = world.post(&bot, &global, slash("ping")).await.ok();
    let here = world.post(&bot, &own, slash("ping")).await;
    assert_eq!(here.status, 201);
    let here = here.ok();
    assert_eq!((&here["guild_id"], here.get("dm_permission")), (&json!(world.guild), None));
    assert_eq!(everywhere.get("guild_id"), None);
    world.get(&bot, &format!("{own}/{}", text(&everywhere["id"]))).await.refused(404, 10063);
    world.delete(&bot, &format!("{global}/{}", text(&here["id"]))).await.refused(404, 10063);
    assert_eq!(world.get(&bot, &own).await.ok().as_array().map(Vec::len), Some(1));

    let index = format!("/guilds/{}/application-command-index", world.guild);
    let anna = world.member("anna").await;
    let seen = world.get(&anna, &index).await.ok();
    assert_eq!(seen["application_commands"], json!([everywhere, here]));
    assert_eq!((&seen["applications"][0]["id"], &seen["version"]), (&json!(application), &here["version"]));
    world.get(&world.register("stranger").await, &index).await.refused(403, 50001);

    // A bot that is not there has nothing to offer there.
    world.delete(&world.owner, &format!("/guilds/{}/members/{}", world.guild, bot.id)).await.no_content();
    world.post(&bot, &own, slash("pong")).await.refused(403, 50001);
    assert_eq!(world.get(&anna, &index).await.ok()["application_commands"], json!([]));
}

#[tokio::test]
async fn a_guild_says_nothing_of_who_may_use_a_command() {
    let world = World::new().await;
    let (bot, application) = world.bot("helper", 0).await;
    let global = format!("/applications/{application}/commands");
    let own = format!("/applications/{application}/guilds/{}/commands", world.guild);
    let everywhere = text(&world.post(&bot, &global, slash("ping")).await.ok()["id"]);
    let here = text(&world.post(&bot, &own, slash("pong")).await.ok()["id"]);
    assert_eq!(world.get(&bot, &format!("{own}/permissions")).await.ok(), json!([]));
    for id in [&everywhere, &here, &application] {
        world.get(&bot, &format!("{own}/{id}/permissions")).await.refused(404, 10066);
    }
    world.get(&bot, &format!("{own}/5/permissions")).await.refused(404, 10063);

    // Another's command, and one of another guild, are none of this bot's here.
    let (other, others) = world.bot("other", 0).await;
    let theirs = text(&world.post(&other, &format!("/applications/{others}/commands"), slash("ping")).await.ok()["id"]);
    world.get(&bot, &format!("{own}/{theirs}/permissions")).await.refused(404, 10063);
    world.get(&bot, &format!("{own}/{others}/permissions")).await.refused(404, 10063);
    let elsewhere = text(&world.post(&world.owner, "/guilds", json!({ "name": "elsewhere" })).await.ok()["id"]);
    world.get(&bot, &format!("/applications/{application}/guilds/{elsewhere}/commands/permissions")).await.refused(403, 50001);
}

#[tokio::test]
async fn only_the_bot_and_its_owner_keep_its_commands() {
    let world = World::new().await;
    let (bot, path) = bot(&world).await;
    world.post(&world.owner, &path, slash("ping")).await.ok();
    assert_eq!(world.get(&bot, &path).await.ok().as_array().map(Vec::len), Some(1));
    let (other, _) = world.bot("other", 0).await;
    for stranger in [&other, &world.member("anna").await] {
        world.get(stranger, &path).await.refused(403, 20012);
        world.post(stranger, &path, slash("ping")).await.refused(403, 20012);
        world.put(stranger, &path, json!([])).await.refused(403, 20012);
    }
    world.get(&world.nobody(), &path).await.refused(401, 0);
    world.get(&bot, "/applications/1/commands").await.refused(404, 10002);
}

#[tokio::test]
async fn what_is_wrong_with_a_command_is_named() {
    let world = World::new().await;
    let (bot, path) = bot(&world).await;
    let option = |option: Value| json!({ "name": "x", "description": "d", "options": [option] });
    let many =
        |count: usize| (0..count).map(|n| json!({ "type": 3, "name": format!("o{n}"), "description": "d" })).collect::<Vec<_>>();
    let long = "x".repeat(100);
    for (input, place, code) in [
        (json!({}), "/name", "BASE_TYPE_REQUIRED"),
        (json!({ "name": "x" }), "/description", "BASE_TYPE_REQUIRED"),
        (json!({ "name": "Big", "description": "d" }), "/name", "APPLICATION_COMMAND_INVALID_NAME"),
        (json!({ "name": "a b", "description": "d" }), "/name", "APPLICATION_COMMAND_INVALID_NAME"),
        (json!({ "name": "x".repeat(33), "description": "d" }), "/name", "BASE_TYPE_BAD_LENGTH"),
        (json!({ "name": "x", "description": "d".repeat(101) }), "/description", "BASE_TYPE_BAD_LENGTH"),
        (json!({ "name": "x", "description": "d", "type": 9 }), "/type", "BASE_TYPE_CHOICES"),
        (json!({ "name": "X y", "description": "d", "type": 2 }), "/description", "APPLICATION_COMMAND_CONTEXT_MENU_FIELD"),
        (json!({ "name": "x", "description": "d", "contexts": [5] }), "/contexts", "BASE_TYPE_CHOICES"),
        (json!({ "name": "x", "description": "d", "integration_types": [] }), "/integration_types", "BASE_TYPE_CHOICES"),
        (
            json!({ "name": "x", "description": "d", "name_localizations": { "xx": "y" } }),
            "/name_localizations/xx",
            "BASE_TYPE_CHOICES",
        ),
        (
            json!({ "name": "x", "description": "d", "name_localizations": { "de": "Ä" } }),
            "/name_localizations/de",
            "APPLICATION_COMMAND_INVALID_NAME",
        ),
        (json!({ "name": "x", "description": "d", "options": many(26) }), "/options", "BASE_TYPE_MAX_LENGTH"),
        (option(json!({ "type": 99, "name": "o", "description": "d" })), "/options/0/type", "BASE_TYPE_CHOICES"),
        (option(json!({ "type": 3, "name": "O", "description": "d" })), "/options/0/name", "APPLICATION_COMMAND_INVALID_NAME"),
        (option(json!({ "type": 3, "name": "o" })), "/options/0/description", "BASE_TYPE_REQUIRED"),
        (
            option(json!({ "type": 4, "name": "o", "description": "d", "choices": [{ "name": "a", "value": "b" }] })),
            "/options/0/choices/0/value",
            "NUMBER_TYPE_COERCE",
        ),
        (
            option(json!({ "type": 3, "name": "o", "description": "d", "choices": [{ "name": "a" }] })),
            "/options/0/choices/0/value",
            "BASE_TYPE_REQUIRED",
        ),
        (
            option(
                json!({ "type": 3, "name": "o", "description": "d", "autocomplete": true, "choices": [{ "name": "a", "value": "b" }] }),
            ),
            "/options/0/autocomplete",
            "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_CHOICES",
        ),
        (
            option(json!({ "type": 4, "name": "o", "description": "d", "min_value": 5, "max_value": 1 })),
            "/options/0/max_value",
            "APPLICATION_COMMAND_OPTIONS_RANGE_INVALID",
        ),
        (
            option(json!({ "type": 7, "name": "o", "description": "d", "channel_types": [99] })),
            "/options/0/channel_types",
            "BASE_TYPE_CHOICES",
        ),
        (
            option(
                json!({ "type": 2, "name": "o", "description": "d", "options": [{ "type": 3, "name": "p", "description": "d" }] }),
            ),
            "/options/0/options/0/type",
            "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
        ),
        (
            json!({ "name": "x", "description": "d", "options": [
                { "type": 1, "name": "o", "description": "d" }, { "type": 3, "name": "p", "description": "d" },
            ]}),
            "/options",
            "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
        ),
        (
            json!({ "name": "x", "description": "d", "options": [
                { "type": 3, "name": "o", "description": "d" }, { "type": 3, "name": "p", "description": "d", "required": true },
            ]}),
            "/options",
            "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
        ),
        (
            json!({ "name": "x", "description": "d", "options": [
                { "type": 3, "name": "o", "description": "d" }, { "type": 4, "name": "o", "description": "d" },
            ]}),
            "/options",
            "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS",
        ),
        (
            option(json!({ "type": 3, "name": "o", "description": "d", "choices":
                (0..25).map(|n| json!({ "name": format!("{n}"), "value": long.repeat(4) })).collect::<Vec<_>>() })),
            "",
            "APPLICATION_COMMAND_TOO_LARGE",
        ),
    ] {
        world.post(&bot, &path, input).await.form_error(place, code);
    }
    world.put(&bot, &path, json!([slash("x"), slash("BAD")])).await.form_error("/1/name", "APPLICATION_COMMAND_INVALID_NAME");
    world.put(&bot, &path, json!([slash("x"), slash("x")])).await.form_error("/1/name", "APPLICATION_COMMANDS_DUPLICATE_NAME");
    world.put(&bot, &path, json!({})).await.refused(400, 50035);
    world.post(&bot, &path, slash("one")).await.ok();
    let two = text(&world.post(&bot, &path, slash("two")).await.ok()["id"]);
    let rename = world.patch(&bot, &format!("{path}/{two}"), json!({ "name": "one" })).await;
    rename.form_error("/name", "APPLICATION_COMMANDS_DUPLICATE_NAME");
    world.patch(&bot, &format!("{path}/{two}"), json!({ "name": "" })).await.form_error("/name", "BASE_TYPE_BAD_LENGTH");
    world.patch(&bot, &format!("{path}/{two}"), json!([])).await.refused(400, 50035);
}

#[tokio::test]
async fn names_are_in_any_script_and_translations_are_shown_on_request() {
    let world = World::new().await;
    let (bot, path) = bot(&world).await;
    let command = json!({
        "name": "größe_1-a'b",
        "description": "d",
        "name_localizations": { "ja": "サイズ", "de": "größe", "fr": null },
        "options": [{ "type": 3, "name": "क", "description": "d", "description_localizations": { "de": "D" },
            "choices": [{ "name": "c", "value": "", "name_localizations": { "de": "C" } }] }],
    });
    let made = world.post(&bot, &path, command).await.ok();
    assert_eq!(made["name_localizations"], json!({ "ja": "サイズ", "de": "größe" }));
    let plain = &world.get(&bot, &path).await.ok()[0];
    assert_eq!(plain.get("name_localizations"), None);
    assert_eq!(plain["options"][0]["choices"], json!([{ "name": "c", "value": "" }]));
    assert_eq!(world.get(&bot, &format!("{path}?with_localizations=true")).await.ok()[0], made);
}

#[tokio::test]
async fn a_scope_holds_a_hundred_commands_and_takes_two_hundred_new_ones_a_day() {
    let world = World::new().await;
    let (bot, path) = bot(&world).await;
    let some = |prefix: &str, count: usize| Value::from_iter((0..count).map(|n| slash(&format!("{prefix}{n}"))));
    world.put(&bot, &path, some("a", 101)).await.refused(400, 30032);
    world.put(&bot, &path, some("a", 100)).await.ok();
    world.post(&bot, &path, slash("one-more")).await.refused(400, 30032);
    world.post(&bot, &path, slash("a5")).await.ok();
    let menus = (0..16).map(|n| json!({ "name": format!("m{n}"), "type": 2 }));
    world.put(&bot, &path, menus.collect()).await.refused(400, 30032);
    world.put(&bot, &path, some("a", 100)).await.ok();
    world.put(&bot, &path, some("b", 99)).await.ok();
    world.post(&bot, &path, slash("c")).await.refused(429, 30034);
    world.post(&bot, &path, slash("b5")).await.ok();
}

#[tokio::test]
async fn a_bot_and_its_owner_edit_its_application() {
    let world = World::new().await;
    let (bot, application) = world.bot("helper", 0).await;
    let edited = world.patch(&bot, "/applications/@me", json!({ "description": "Helps" })).await.ok();
    assert_eq!(edited["description"], "Helps");
    let path = format!("/applications/{application}");
    let edited = world.patch(&bot, &path, json!({ "description": { "default": "Helps more" } })).await.ok();
    assert_eq!(edited["description"], "Helps more");
    assert_eq!(world.get(&world.owner, &path).await.ok(), world.get(&bot, &path).await.ok());
    let (other, _) = world.bot("other", 0).await;
    world.patch(&other, &path, json!({ "description": "?" })).await.refused(404, 10002);
    world.patch(&world.owner, "/applications/@me", json!({})).await.refused(403, 20002);
    let endpoint = json!({ "interactions_endpoint_url": "https://example.com" });
    world.patch(&bot, &path, endpoint).await.form_error("/interactions_endpoint_url", "UNSUPPORTED");
}
