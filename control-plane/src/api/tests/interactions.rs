//! Commands, menus, buttons and modals as people use them and bots answer them.

mod places;

use super::{Reply, Session, World, text};
use crate::gateway::Origin;
use crate::gateway::link::Mail;
use crate::hub::core::Attached;
use axum::http::Method;
use guildhall_protocol::gateway::{Identify, Intents, Shard};
use serde_json::{Value, json};
use std::time::Duration;

/// Far longer than any step takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway session without a socket.
pub(super) struct Ear {
    attached: Attached,
    heard: Vec<(&'static str, Value)>,
}

impl Ear {
    pub(super) async fn of(world: &World, who: &Session, shard: Shard) -> Self {
        let token = who.token.trim_start_matches("Bot ").to_owned();
        let identify = Identify { token, intents: Some(Intents::NONE), large_threshold: 50, shard, presence: None };
        let origin = Origin { host: "hall.example".to_owned(), is_tls: false, address: None };
        let attached = world.control_plane.hub().identify(identify, &origin, 10).await.expect("the token is valid");
        let mut ear = Self { attached, heard: Vec::new() };
        ear.listen();
        ear.heard.clear();
        ear
    }

    fn listen(&mut self) {
        let Mail::Dispatches(dispatches) = self.attached.link.take(self.attached.connection, 10_000) else {
            panic!("the session ended");
        };
        let read = |body: &[u8]| serde_json::from_slice(body).expect("JSON");
        self.heard.extend(dispatches.into_iter().map(|(_, dispatch)| (dispatch.name, read(&dispatch.body))));
    }

    /// The next event of this name, now or soon; what came before it is forgotten.
    pub(super) async fn hear(&mut self, name: &str) -> Value {
        let wait = async {
            loop {
                self.listen();
                if let Some(place) = self.heard.iter().position(|(heard, _)| *heard == name) {
                    return self.heard.drain(..=place).next_back().expect("found").1;
                }
                self.attached.link.rung().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited for {name}"))
    }

    /// What has been told so far is of no interest.
    pub(super) fn forget(&mut self) {
        self.listen();
        self.heard.clear();
    }

    /// The names of what has been told since.
    fn names(&mut self) -> Vec<&'static str> {
        self.listen();
        self.heard.drain(..).map(|(name, _)| name).collect()
    }
}

/// The first guild with a bot and a user who both listen.
struct Scene {
    world: World,
    bot: Session,
    application: String,
    anna: Session,
    at_bot: Ear,
    at_anna: Ear,
}

/// Every route of answers, once.
pub async fn answers(world: &World) {
    let (bot, application) = world.bot("helper", 0).await;
    let command = world.post(&bot, &format!("/applications/{application}/commands"), ping()).await.ok();
    let mut at_bot = Ear::of(world, &bot, Shard { id: 0, count: 1 }).await;
    let begun = json!({
        "type": 2, "application_id": application, "channel_id": world.text, "data": { "id": command["id"] },
    });
    world.post(&world.owner, "/interactions", begun).await.no_content();
    let told = at_bot.hear("INTERACTION_CREATE").await;
    let (id, token) = (text(&told["id"]), text(&told["token"]));
    let callback = format!("/interactions/{id}/{token}/callback?with_response=true");
    let nobody = world.nobody();
    world.post(&nobody, &callback, json!({ "type": 4, "data": { "content": "x" } })).await.ok();
    let hook = format!("/webhooks/{application}/{token}");
    let original = format!("{hook}/messages/@original");
    world.get(&nobody, &original).await.ok();
    world.patch(&nobody, &original, json!({ "content": "w" })).await.ok();
    world.delete(&nobody, &original).await.no_content();
    let followed = world.post(&nobody, &format!("{hook}?wait=true"), json!({ "content": "y" })).await.ok();
    let one = format!("{hook}/messages/{}", text(&followed["id"]));
    world.get(&nobody, &one).await.ok();
    world.patch(&nobody, &one, json!({ "content": "z" })).await.ok();
    world.delete(&nobody, &one).await.no_content();
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let (bot, application) = world.bot("helper", 0).await;
        let anna = world.member("anna").await;
        let whole = Shard { id: 0, count: 1 };
        let at_bot = Ear::of(&world, &bot, whole).await;
        let at_anna = Ear::of(&world, &anna, whole).await;
        Self { world, bot, application, anna, at_bot, at_anna }
    }

    async fn command(&self, command: Value) -> Value {
        self.world.post(&self.bot, &format!("/applications/{}/commands", self.application), command).await.ok()
    }

    async fn begin(&self, kind: u8, data: Value) -> Reply {
        self.begin_with(json!({ "type": kind, "data": data })).await
    }

    async fn begin_with(&self, fields: Value) -> Reply {
        let mut body = json!({
            "application_id": self.application, "guild_id": self.world.guild, "channel_id": self.world.text,
            "session_id": "x", "nonce": "n",
        });
        for (key, value) in fields.as_object().expect("an object") {
            body[key] = value.clone();
        }
        self.world.post(&self.anna, "/interactions", body).await
    }

    /// Runs a command; what the bot is told.
    async fn run(&mut self, command: &Value, options: Value) -> Value {
        self.begin(2, run(command, options)).await.no_content();
        self.at_bot.hear("INTERACTION_CREATE").await
    }

    /// Runs a command whose first option is a file.
    async fn run_with_file(&mut self, command: &Value, bytes: &[u8]) -> Value {
        let name = &command["options"][0]["name"];
        let data = run(command, json!([{ "type": 11, "name": name, "value": "0" }]));
        let body = json!({ "type": 2, "application_id": self.application, "channel_id": self.world.text, "data": data });
        let files: [(&str, &[u8]); 1] = [("x.bin", bytes)];
        self.world.upload(&self.anna, Method::POST, "/interactions", body, &files).await.no_content();
        self.at_bot.hear("INTERACTION_CREATE").await
    }

    async fn answer(&self, interaction: &Value, body: Value) -> Reply {
        let path = format!("/interactions/{}/{}/callback?with_response=1", text(&interaction["id"]), text(&interaction["token"]));
        self.world.post(&self.world.nobody(), &path, body).await
    }

    /// A request with the interaction's token.
    async fn with_token(&self, interaction: &Value, method: Method, rest: &str, body: Option<Value>) -> Reply {
        let path = format!("/webhooks/{}/{}{rest}", self.application, text(&interaction["token"]));
        self.world.call(&self.world.nobody(), method, &path, body).await
    }
}

fn run(command: &Value, options: Value) -> Value {
    json!({ "id": command["id"], "version": command["version"], "name": command["name"], "type": command["type"], "options": options })
}

fn ping() -> Value {
    json!({ "name": "ping", "description": "d" })
}

fn buttons() -> Value {
    let menu = json!({ "type": 3, "custom_id": "pick", "min_values": 1, "max_values": 2, "options": [
        { "label": "A", "value": "a" }, { "label": "B", "value": "b" }, { "label": "C", "value": "c" },
    ]});
    json!([
        { "type": 1, "components": [
            { "type": 2, "style": 1, "label": "Press", "custom_id": "press" },
            { "type": 2, "style": 1, "label": "Never", "custom_id": "never", "disabled": true },
        ]},
        { "type": 1, "components": [menu] },
        { "type": 1, "components": [{ "type": 5, "custom_id": "who" }] },
    ])
}

#[tokio::test]
async fn a_command_is_run_told_to_the_bot_and_answered() {
    let mut scene = Scene::new().await;
    let command = scene
        .command(json!({ "name": "give", "description": "d", "options": [
            { "type": 6, "name": "whom", "description": "d", "required": true },
            { "type": 8, "name": "role", "description": "d" },
            { "type": 7, "name": "where", "description": "d" },
            { "type": 4, "name": "count", "description": "d", "min_value": 1, "max_value": 5 },
        ]}))
        .await;
    let world = &scene.world;
    let role = world.role("knight", 0).await;
    let options = json!([
        { "type": 6, "name": "whom", "value": world.owner.id },
        { "type": 8, "name": "role", "value": role },
        { "type": 7, "name": "where", "value": world.voice },
        { "type": 4, "name": "count", "value": 3 },
    ]);
    let told = scene.run(&command, options.clone()).await;
    let world = &scene.world;
    assert_eq!(
        (&told["type"], &told["version"], &told["guild_id"], &told["context"]),
        (&json!(2), &json!(1), &json!(world.guild), &json!(0))
    );
    assert_eq!((&told["application_id"], &told["channel_id"]), (&json!(scene.application), &json!(world.text)));
    assert_eq!(
        (&told["data"]["id"], &told["data"]["name"], &told["data"]["options"]),
        (&command["id"], &json!("give"), &options)
    );
    let resolved = &told["data"]["resolved"];
    assert_eq!(resolved["users"][&world.owner.id]["id"], json!(world.owner.id));
    assert!(resolved["members"][&world.owner.id]["permissions"].is_string());
    assert_eq!(resolved["members"][&world.owner.id].get("user"), None);
    assert_eq!(resolved["roles"][&role]["name"], "knight");
    assert!(resolved["channels"][&world.voice]["permissions"].is_string());
    assert_eq!(told["member"]["user"]["id"], json!(scene.anna.id));
    for number in [&told["member"]["permissions"], &told["app_permissions"], &told["channel"]["permissions"]] {
        assert!(number.as_str().is_some_and(|number| number.parse::<u64>().is_ok()), "{told}");
    }
    assert_eq!(told["authorizing_integration_owners"], json!({ "0": world.guild }));
    let begun = scene.at_anna.hear("INTERACTION_CREATE").await;
    assert_eq!(begun, json!({ "id": told["id"], "nonce": "n" }), "the user hears no token");

    let answer = json!({ "type": 4, "data": { "content": format!("<@{}> @everyone", scene.anna.id), "components": buttons() } });
    let given = scene.answer(&told, answer).await;
    assert_eq!(given.header("x-ratelimit-bucket"), "", "hikari reports a limit of this route as a fault");
    let given = given.ok();
    assert_eq!(scene.at_anna.hear("INTERACTION_SUCCESS").await, json!({ "id": told["id"], "nonce": "n" }));
    let message = &given["resource"]["message"];
    assert_eq!((&given["interaction"]["response_message_id"], &given["interaction"]["type"]), (&message["id"], &json!(2)));
    assert_eq!(
        (&message["type"], &message["webhook_id"], &message["application_id"]),
        (&json!(20), &json!(scene.application), &json!(scene.application))
    );
    assert_eq!((&message["author"]["id"], &message["author"]["discriminator"]), (&json!(scene.bot.id), &json!("0")));
    assert_eq!((&message["interaction_metadata"]["id"], &message["interaction_metadata"]["type"]), (&told["id"], &json!(2)));
    assert_eq!((&message["interaction"]["name"], &message["interaction"]["user"]["id"]), (&json!("give"), &json!(scene.anna.id)));
    assert_eq!((&message["mention_everyone"], &message["mentions"][0]["id"]), (&json!(false), &json!(scene.anna.id)));
    let stored = scene.world.get(&scene.anna, &format!("{}/{}", scene.world.messages_path(), text(&message["id"]))).await.ok();
    assert_eq!(&stored, message);

    // One answer.
    scene.answer(&told, json!({ "type": 4, "data": { "content": "again" } })).await.refused(400, 40060);
}

#[tokio::test]
async fn what_a_user_may_not_run_is_refused_before_the_bot_hears_of_it() {
    let mut scene = Scene::new().await;
    let command = scene
        .command(json!({ "name": "c", "description": "d", "options": [
            { "type": 3, "name": "text", "description": "d", "required": true, "max_length": 3 },
            { "type": 3, "name": "pick", "description": "d", "choices": [{ "name": "A", "value": "a" }] },
            { "type": 4, "name": "count", "description": "d", "min_value": 1 },
            { "type": 10, "name": "part", "description": "d", "max_value": 0.5 },
            { "type": 6, "name": "whom", "description": "d" },
            { "type": 5, "name": "flag", "description": "d" },
            { "type": 7, "name": "where", "description": "d" },
        ]}))
        .await;
    let text_option = json!({ "type": 3, "name": "text", "value": "x" });
    let with = |option: Value| json!([text_option, option]);
    for (options, place) in [
        (json!([]), "/data/options"),
        (json!([{ "type": 3, "name": "text", "value": "xxxx" }]), "/data/options/0/value"),
        (json!([{ "type": 3, "name": "text", "value": 5 }]), "/data/options/0/value"),
        (json!([text_option, text_option]), "/data/options"),
        (with(json!({ "type": 3, "name": "pick", "value": "b" })), "/data/options/1/value"),
        (with(json!({ "type": 4, "name": "count", "value": 0 })), "/data/options/1/value"),
        (with(json!({ "type": 4, "name": "count", "value": 1.5 })), "/data/options/1/value"),
        (with(json!({ "type": 10, "name": "part", "value": 0.6 })), "/data/options/1/value"),
        (with(json!({ "type": 6, "name": "whom", "value": "x" })), "/data/options/1/value"),
        (with(json!({ "type": 6, "name": "whom", "value": "5" })), "/data/resolved"),
        (with(json!({ "type": 7, "name": "where", "value": "5" })), "/data/resolved"),
        (with(json!({ "type": 5, "name": "flag", "value": "maybe" })), "/data/options/1/value"),
        (with(json!({ "type": 3, "name": "other", "value": "x" })), "/data/options/1/name"),
        (with(json!({ "type": 4, "name": "pick", "value": 5 })), "/data/options/1/name"),
    ] {
        let body = scene.begin(2, run(&command, options.clone())).await.refused(400, 50035);
        assert!(body["errors"].pointer(&format!("{place}/_errors")).is_some(), "{options}: {body}");
    }
    let mut outdated = run(&command, json!([text_option]));
    outdated["version"] = json!("5");
    scene.begin(2, outdated).await.form_error("/data/version", "INTERACTION_APPLICATION_COMMAND_INVALID_VERSION");
    scene.begin(2, json!({ "id": "5" })).await.refused(404, 10063);
    scene.begin(2, json!({})).await.form_error("/data/id", "BASE_TYPE_REQUIRED");
    scene.begin(9, json!({})).await.form_error("/type", "BASE_TYPE_CHOICES");
    scene
        .begin_with(json!({ "type": 2, "application_id": "5", "data": run(&command, json!([text_option])) }))
        .await
        .refused(404, 10002);
    scene.begin_with(json!({ "type": 2, "channel_id": "5", "data": {} })).await.refused(404, 10003);
    let world = &scene.world;
    let asked = json!({ "type": 2, "application_id": scene.application, "channel_id": world.text, "data": run(&command, json!([text_option])) });
    world.post(&scene.bot, "/interactions", asked.clone()).await.refused(403, 20001);
    world.post(&world.register("stranger").await, "/interactions", asked).await.refused(403, 50001);

    // Rights: the command's own, and that to use commands at all.
    let moderators = scene.command(json!({ "name": "mod", "description": "d", "default_member_permissions": "8192" })).await;
    let nobody = scene.command(json!({ "name": "admin", "description": "d", "default_member_permissions": "0" })).await;
    let adult = scene.command(json!({ "name": "adult", "description": "d", "nsfw": true })).await;
    let private = scene.command(json!({ "name": "private", "description": "d", "contexts": [1] })).await;
    for command in [&moderators, &nobody, &adult] {
        scene.begin(2, run(command, json!([]))).await.refused(403, 50013);
    }
    scene.begin(2, run(&private, json!([]))).await.refused(404, 10063);
    let overwrite = json!({ "type": 0, "allow": "0", "deny": (1_u64 << 31).to_string() });
    let path = format!("/channels/{}/permissions/{}", scene.world.text, scene.world.guild);
    scene.world.put(&scene.world.owner, &path, overwrite).await.no_content();
    scene.begin(2, run(&command, json!([text_option]))).await.refused(403, 50013);
    assert_eq!(scene.at_bot.names().iter().filter(|name| **name == "INTERACTION_CREATE").count(), 0);
}

#[tokio::test]
async fn menus_of_users_and_messages_run_commands_too() {
    let mut scene = Scene::new().await;
    let on_user = scene.command(json!({ "name": "Wave", "type": 2 })).await;
    let on_message = scene.command(json!({ "name": "Quote", "type": 3 })).await;
    let owner = scene.world.owner.clone();
    let said = scene.world.say(&owner, "words").await;

    scene.begin(2, json!({ "id": on_user["id"], "target_id": owner.id })).await.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    assert_eq!((&told["data"]["type"], &told["data"]["target_id"]), (&json!(2), &json!(owner.id)));
    assert_eq!(told["data"]["resolved"]["users"][&owner.id]["id"], json!(owner.id));
    let given = scene.answer(&told, json!({ "type": 4, "data": { "content": "hi" } })).await.ok();
    assert_eq!(given["resource"]["message"]["type"], 23);

    scene.begin(2, json!({ "id": on_message["id"], "target_id": said["id"] })).await.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    assert_eq!(told["data"]["resolved"]["messages"][text(&said["id"])]["content"], "words");
    assert_eq!(told.get("message"), None);
    scene.begin(2, json!({ "id": on_message["id"], "target_id": "5" })).await.refused(404, 10008);
    scene.begin(2, json!({ "id": on_message["id"] })).await.form_error("/data/target_id", "BASE_TYPE_REQUIRED");
}

#[tokio::test]
async fn a_button_updates_its_message_and_a_menu_says_what_was_picked() {
    let mut scene = Scene::new().await;
    let path = scene.world.messages_path();
    scene
        .world
        .put(
            &scene.world.owner,
            &format!("/channels/{}/permissions/{}", scene.world.text, scene.bot.id),
            json!({ "type": 1, "allow": "3072" }),
        )
        .await
        .no_content();
    let sent = scene.world.post(&scene.bot, &path, json!({ "content": "one", "components": buttons() })).await.ok();
    let press = |data: Value| json!({ "type": 3, "message_id": sent["id"], "data": data });
    scene.begin_with(press(json!({ "component_type": 2, "custom_id": "press" }))).await.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    assert_eq!((&told["type"], &told["data"]), (&json!(3), &json!({ "component_type": 2, "custom_id": "press", "id": 2 })));
    assert_eq!((&told["message"]["id"], &told["message"]["content"]), (&sent["id"], &json!("one")));
    let given = scene.answer(&told, json!({ "type": 7, "data": { "content": "two", "components": [] } })).await.ok();
    assert_eq!(given["resource"]["type"], 7);
    let updated = scene.with_token(&told, Method::GET, "/messages/@original", None).await.ok();
    assert_eq!((&updated["id"], &updated["content"], &updated["components"]), (&sent["id"], &json!("two"), &json!([])));
    scene
        .begin_with(press(json!({ "component_type": 2, "custom_id": "press" })))
        .await
        .form_error("/data/custom_id", "COMPONENT_VALIDATION_FAILED");

    let sent = scene.world.post(&scene.bot, &path, json!({ "components": buttons() })).await.ok();
    let press = |data: Value| json!({ "type": 3, "message_id": sent["id"], "data": data });
    scene.begin_with(press(json!({ "component_type": 3, "custom_id": "pick", "values": ["c", "a"] }))).await.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    assert_eq!(told["data"]["values"], json!(["c", "a"]));
    // Nothing yet, then a change by the token, then another message.
    scene.answer(&told, json!({ "type": 6 })).await.ok();
    let changed = scene.with_token(&told, Method::PATCH, "/messages/@original", Some(json!({ "content": "picked" }))).await.ok();
    assert_eq!((&changed["id"], &changed["content"]), (&sent["id"], &json!("picked")));
    let followed = scene.with_token(&told, Method::POST, "", Some(json!({ "content": "thanks" }))).await.ok();
    assert_eq!(
        (&followed["interaction_metadata"]["type"], &followed["interaction_metadata"]["interacted_message_id"]),
        (&json!(3), &sent["id"])
    );
    scene.begin_with(press(json!({ "component_type": 5, "custom_id": "who", "values": [scene.anna.id] }))).await.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    assert_eq!(told["data"]["resolved"]["members"][&scene.anna.id]["roles"], json!([]));

    for data in [
        json!({ "component_type": 2, "custom_id": "never" }),
        json!({ "component_type": 2, "custom_id": "other" }),
        json!({ "component_type": 3, "custom_id": "press", "values": ["a"] }),
        json!({ "component_type": 3, "custom_id": "pick", "values": [] }),
        json!({ "component_type": 3, "custom_id": "pick", "values": ["a", "b", "c"] }),
        json!({ "component_type": 3, "custom_id": "pick", "values": ["a", "a"] }),
        json!({ "component_type": 3, "custom_id": "pick", "values": ["z"] }),
        json!({ "component_type": 5, "custom_id": "who", "values": ["5"] }),
    ] {
        scene.begin_with(press(data)).await.refused(400, 50035);
    }
    scene.begin(3, json!({ "component_type": 2, "custom_id": "press" })).await.form_error("/message_id", "BASE_TYPE_REQUIRED");
    let others = scene.world.say(&scene.world.owner, "no buttons").await;
    let foreign = json!({ "type": 3, "message_id": others["id"], "data": { "component_type": 2, "custom_id": "press" } });
    scene.begin_with(foreign).await.refused(404, 10008);
}

#[tokio::test]
async fn a_modal_opens_for_the_user_and_comes_back_filled_in() {
    let mut scene = Scene::new().await;
    let command = scene.command(ping()).await;
    let told = scene.run(&command, json!([])).await;
    let modal = json!({ "custom_id": "form", "title": "A form", "components": [
        { "type": 1, "components": [{ "type": 4, "custom_id": "name", "style": 1, "label": "Name", "min_length": 2, "max_length": 5 }] },
        { "type": 18, "label": "Why", "component": { "type": 4, "custom_id": "why", "style": 2, "required": false } },
        { "type": 18, "label": "Who", "component": { "type": 5, "custom_id": "who" } },
        { "type": 18, "label": "Sure?", "component": { "type": 23, "custom_id": "sure" } },
    ]});
    scene
        .answer(&told, json!({ "type": 9, "data": { "custom_id": "form", "title": "t", "components": [] } }))
        .await
        .form_error("/data/components", "BASE_TYPE_BAD_LENGTH");
    let given = scene.answer(&told, json!({ "type": 9, "data": modal })).await.ok();
    assert_eq!(given.get("resource"), None);
    let opened = scene.at_anna.hear("INTERACTION_MODAL_CREATE").await;
    assert_eq!((&opened["id"], &opened["title"], &opened["nonce"]), (&told["id"], &json!("A form"), &json!("n")));
    assert_eq!(opened["components"][1]["component"]["custom_id"], "why");

    let submit = |name: &str, who: &str| {
        json!({ "id": opened["id"], "custom_id": "form", "components": [
            { "type": 1, "components": [{ "type": 4, "custom_id": "name", "value": name }] },
            { "type": 18, "component": { "type": 5, "custom_id": "who", "values": [who] } },
        ]})
    };
    let anna = scene.anna.id.clone();
    for name in ["", "x", "xxxxxx"] {
        scene.begin(5, submit(name, &anna)).await.refused(400, 50035);
    }
    scene.begin(5, submit("Anna", "5")).await.refused(400, 50035);
    let mut other = submit("Anna", &anna);
    other["custom_id"] = json!("other");
    scene.begin(5, other).await.form_error("/data/custom_id", "MODAL_CUSTOM_ID_INVALID");
    scene.begin(5, json!({ "id": "5", "custom_id": "form", "components": [] })).await.refused(404, 10062);
    scene.begin(5, submit("Anna", &anna)).await.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    let components = &told["data"]["components"];
    assert_eq!((&told["type"], &told["data"]["custom_id"]), (&json!(5), &json!("form")));
    assert_eq!(components[0]["components"][0]["value"], "Anna");
    assert_eq!(components[1]["component"]["value"], "", "what was left out is there, empty");
    assert_eq!(components[2]["component"]["values"], json!([anna]));
    assert_eq!(components[3]["component"]["value"], false);
    assert_eq!(told["data"]["resolved"]["users"][&anna]["username"], "anna");
    // A modal does not follow a modal, and there is no message to update.
    scene.answer(&told, json!({ "type": 9, "data": modal })).await.form_error("/type", "INTERACTION_RESPONSE_TYPE_INVALID");
    scene
        .answer(&told, json!({ "type": 7, "data": { "content": "x" } }))
        .await
        .form_error("/type", "INTERACTION_RESPONSE_TYPE_INVALID");
    let given = scene.answer(&told, json!({ "type": 4, "data": { "content": "thanks" } })).await.ok();
    let metadata = &given["resource"]["message"]["interaction_metadata"];
    assert_eq!((&metadata["type"], &metadata["triggering_interaction_metadata"]["name"]), (&json!(5), &json!("ping")));
}

#[tokio::test]
async fn what_is_typed_is_completed_by_the_bot() {
    let mut scene = Scene::new().await;
    let command = scene
        .command(json!({ "name": "find", "description": "d", "options": [
            { "type": 1, "name": "book", "description": "d", "options": [
                { "type": 3, "name": "title", "description": "d", "required": true, "autocomplete": true },
                { "type": 4, "name": "year", "description": "d", "required": true },
            ]},
        ]}))
        .await;
    let typed = |value: &str| json!([{ "type": 1, "name": "book", "options": [{ "type": 3, "name": "title", "value": value, "focused": true }] }]);
    scene.begin(2, run(&command, typed("x"))).await.refused(400, 50035);
    scene.begin(4, run(&command, typed("gor"))).await.no_content();
    let told = scene.at_bot.hear("INTERACTION_CREATE").await;
    assert_eq!((&told["type"], &told["data"]["options"]), (&json!(4), &typed("gor")));
    scene
        .answer(&told, json!({ "type": 4, "data": { "content": "x" } }))
        .await
        .form_error("/type", "INTERACTION_RESPONSE_TYPE_INVALID");
    scene
        .answer(&told, json!({ "type": 8, "data": { "choices": [{ "name": "x" }] } }))
        .await
        .form_error("/data/choices/0/value", "BASE_TYPE_REQUIRED");
    scene
        .answer(&told, json!({ "type": 8, "data": { "choices": [{ "name": "Gormenghast", "value": "gormenghast" }] } }))
        .await
        .ok();
    let proposed = scene.at_anna.hear("APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE").await;
    assert_eq!((&proposed["nonce"], &proposed["choices"][0]["name"]), (&json!("n"), &json!("Gormenghast")));
}

#[tokio::test]
async fn a_promise_is_kept_by_the_token() {
    let mut scene = Scene::new().await;
    let command = scene.command(ping()).await;
    let mut at_owner = Ear::of(&scene.world, &scene.world.owner, Shard { id: 0, count: 1 }).await;
    let told = scene.run(&command, json!([])).await;
    scene.with_token(&told, Method::POST, "", Some(json!({ "content": "too early" }))).await.refused(404, 10015);
    let given = scene.answer(&told, json!({ "type": 5 })).await.ok();
    assert_eq!(
        (&given["interaction"]["response_message_loading"], &given["resource"]["message"]["flags"]),
        (&json!(true), &json!(128))
    );
    let original = text(&given["interaction"]["response_message_id"]);
    scene.with_token(&told, Method::PATCH, "/messages/@original", Some(json!({ "content": "" }))).await.refused(400, 50006);
    let kept = scene
        .with_token(&told, Method::PATCH, "/messages/@original", Some(json!({ "content": "done", "components": buttons() })))
        .await
        .ok();
    assert_eq!(
        (&kept["id"], &kept["content"], &kept["flags"], &kept["type"]),
        (&json!(original), &json!("done"), &json!(0), &json!(20))
    );
    let followed = scene.with_token(&told, Method::POST, "", Some(json!({ "content": "and" }))).await.ok();
    assert_eq!(
        (&followed["type"], &followed["interaction_metadata"]["original_response_message_id"]),
        (&json!(0), &json!(original))
    );
    let path = format!("/messages/{}", text(&followed["id"]));
    let edited = scene.with_token(&told, Method::PATCH, &path, Some(json!({ "content": "and so on" }))).await.ok();
    assert_eq!(scene.with_token(&told, Method::GET, &path, None).await.ok(), edited);
    scene.with_token(&told, Method::DELETE, &path, None).await.no_content();
    scene.with_token(&told, Method::GET, &path, None).await.refused(404, 10008);
    scene.with_token(&told, Method::DELETE, "/messages/@original", None).await.no_content();
    scene.with_token(&told, Method::GET, "/messages/@original", None).await.refused(404, 10008);
    let said = at_owner.names();
    assert_eq!(
        said.iter().filter(|name| name.starts_with("MESSAGE_")).copied().collect::<Vec<_>>(),
        Vec::<&str>::new(),
        "without its intent"
    );

    // The first message after a promise keeps it.
    let told = scene.run(&command, json!([])).await;
    scene.answer(&told, json!({ "type": 5 })).await.ok();
    scene.with_token(&told, Method::POST, "", Some(json!({ "content": "kept" }))).await.ok();
    assert_eq!(scene.with_token(&told, Method::GET, "/messages/@original", None).await.ok()["content"], "kept");
    // The token opens nothing else.
    let others = scene.world.say(&scene.world.owner, "mine").await;
    let path = format!("/messages/{}", text(&others["id"]));
    scene.with_token(&told, Method::PATCH, &path, Some(json!({ "content": "x" }))).await.refused(404, 10008);
    scene.with_token(&json!({ "token": "x" }), Method::GET, "/messages/@original", None).await.refused(404, 10015);
}

#[tokio::test]
async fn an_ephemeral_answer_is_seen_by_its_user_only() {
    let mut scene = Scene::new().await;
    let command = scene.command(ping()).await;
    let told = scene.run(&command, json!([])).await;
    let answer = json!({ "type": 4, "data": { "content": "psst", "flags": 64, "components": buttons() } });
    let given = scene.answer(&told, answer).await.ok();
    let message = given["resource"]["message"].clone();
    assert_eq!((&message["flags"], &given["interaction"]["response_message_ephemeral"]), (&json!(64), &json!(true)));
    let shown = scene.at_anna.hear("MESSAGE_CREATE").await;
    assert_eq!(
        (&shown["id"], &shown["content"], &shown["guild_id"]),
        (&message["id"], &json!("psst"), &json!(scene.world.guild))
    );
    let one = format!("{}/{}", scene.world.messages_path(), text(&message["id"]));
    scene.world.get(&scene.world.owner, &one).await.refused(404, 10008);
    assert!(!scene.world.said().await.contains(&"psst".to_owned()));

    // Its buttons work for its user.
    let press = json!({ "type": 3, "message_id": message["id"], "message_flags": 64, "data": { "component_type": 2, "custom_id": "press" } });
    let mut by_another = press.clone();
    for (key, value) in [("application_id", json!(scene.application)), ("channel_id", json!(scene.world.text))] {
        by_another[key] = value;
    }
    scene.world.post(&scene.world.owner, "/interactions", by_another).await.refused(404, 10008);
    scene.begin_with(press).await.no_content();
    let pressed = scene.at_bot.hear("INTERACTION_CREATE").await;
    assert_eq!(pressed["message"]["flags"], 64);
    scene.answer(&pressed, json!({ "type": 7, "data": { "content": "pressed", "components": [] } })).await.ok();
    assert_eq!(scene.at_anna.hear("MESSAGE_UPDATE").await["content"], "pressed");
    assert_eq!(scene.with_token(&told, Method::GET, "/messages/@original", None).await.ok()["content"], "pressed");
    scene.with_token(&told, Method::DELETE, "/messages/@original", None).await.no_content();
    assert_eq!(scene.at_anna.hear("MESSAGE_DELETE").await["id"], message["id"]);

    // A promise that only the user sees is kept where it was made.
    let told = scene.run(&command, json!([])).await;
    scene.answer(&told, json!({ "type": 5, "data": { "flags": 64 } })).await.ok();
    assert_eq!(scene.at_anna.hear("MESSAGE_CREATE").await["flags"], 192);
    let kept = scene.with_token(&told, Method::POST, "", Some(json!({ "content": "kept" }))).await.ok();
    assert_eq!((&kept["flags"], &kept["edited_timestamp"]), (&json!(64), &Value::Null));
    let followed = scene.with_token(&told, Method::POST, "", Some(json!({ "content": "more", "flags": 64 }))).await.ok();
    assert_eq!(scene.at_anna.hear("MESSAGE_CREATE").await["id"], followed["id"]);
}

#[tokio::test]
async fn a_bot_hears_of_a_guild_on_the_guilds_shard_and_an_absent_one_fails_at_once() {
    let mut scene = Scene::new().await;
    let command = scene.command(ping()).await;
    let of_guild = (scene.world.guild.parse::<u64>().unwrap() >> 22) % 2;
    let mut shards = Vec::new();
    for id in 0..2 {
        shards.push(Ear::of(&scene.world, &scene.bot, Shard { id, count: 2 }).await);
    }
    scene.run(&command, json!([])).await;
    let heard: Vec<usize> =
        shards.iter_mut().map(|shard| shard.names().iter().filter(|name| **name == "INTERACTION_CREATE").count()).collect();
    assert_eq!(heard, if of_guild == 0 { [1, 0] } else { [0, 1] });

    let (other, application) = scene.world.bot("absent", 0).await;
    let command = scene.world.post(&other, &format!("/applications/{application}/commands"), ping()).await.ok();
    scene.application = application;
    scene.at_anna.names();
    scene.begin(2, run(&command, json!([]))).await.no_content();
    let failed = scene.at_anna.hear("INTERACTION_FAILURE").await;
    assert_eq!(failed["nonce"], "n");
}

#[tokio::test]
async fn an_answer_that_is_wrong_takes_nothing_away() {
    let mut scene = Scene::new().await;
    let command = scene.command(ping()).await;
    let told = scene.run(&command, json!([])).await;
    scene.answer(&told, json!({})).await.form_error("/type", "BASE_TYPE_REQUIRED");
    scene.answer(&told, json!({ "type": 4 })).await.form_error("/data", "BASE_TYPE_REQUIRED");
    scene.answer(&told, json!({ "type": 4, "data": {} })).await.refused(400, 50006);
    scene.answer(&told, json!({ "type": 6 })).await.form_error("/type", "INTERACTION_RESPONSE_TYPE_INVALID");
    scene
        .answer(&told, json!({ "type": 4, "data": { "content": "x".repeat(2001) } }))
        .await
        .form_error("/data/content", "BASE_TYPE_MAX_LENGTH");
    scene
        .answer(&told, json!({ "type": 4, "data": { "components": [{ "type": 10, "content": "x" }] } }))
        .await
        .form_error("/components/0/type", "UNION_TYPE_CHOICES");
    let mut forged = told.clone();
    forged["token"] = json!("x");
    scene.answer(&forged, json!({ "type": 5 })).await.refused(404, 10062);
    forged = told.clone();
    forged["id"] = json!("5");
    scene.answer(&forged, json!({ "type": 5 })).await.refused(404, 10062);
    let path = format!("/interactions/{}/{}/callback", text(&told["id"]), text(&told["token"]));
    let reply = scene.world.post(&scene.bot, &path, json!({ "type": 4, "data": { "content": "right" } })).await;
    reply.no_content();
}
