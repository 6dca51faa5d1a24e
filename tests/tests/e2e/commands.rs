//! A discord.js bot's commands, as released, run by a person: what the page does, done by the synthetic client.

use guildhall_loadtest::{Gateway, gateway, rest::Account};
use guildhall_protocol::{Permissions, model::ChannelType};
use guildhall_tests::{
    api::{get, post},
    compatibility::{Client, Feature, Report},
    script::Script,
    world::{World, id},
};
use reqwest::Method;
use serde_json::{Value, json};

/// A bot with commands, and a person with a session who uses them.
struct Scene {
    world: World,
    script: Script,
    bot: Account,
    ann: Account,
    at_ann: Gateway,
    commands: Vec<Value>,
    last_nonce: u64,
}

impl Scene {
    async fn start() -> Self {
        let world = World::start().await;
        let ann = world.member("ann").await;
        let bot = world.bot("helper", Permissions::VIEW_CHANNEL).await;
        let given = json!({"base": world.server.base(), "token": bot.token});
        let script = Script::node("commands.mjs", &given, Some(&world.server.ca()));
        script.event("ready", json!({"user": bot.user.id})).await;
        let at_ann = listen(&world, &ann).await;
        let registered = script.ask("register", json!({"guild": world.guild})).await;
        let names = json!(["greet", "find", "game", "slow", "secret", "silent", "Wave", "Quote"]);
        assert_eq!(registered, json!({"names": names, "renamed": "Only in this guild", "left": 0}));
        let index = get(&ann.rest, &format!("/guilds/{}/application-command-index", world.guild)).await;
        let commands = index["application_commands"].as_array().expect("a list of commands").clone();
        assert_eq!(index["applications"][0]["bot"]["id"], json!(bot.user.id));
        Self { world, script, bot, ann, at_ann, commands, last_nonce: 0 }
    }

    /// Sends an interaction; its nonce.
    async fn interact(&mut self, kind: u8, fields: Value) -> String {
        self.last_nonce += 1;
        let nonce = self.last_nonce.to_string();
        let mut body = json!({
            "type": kind, "application_id": self.bot.user.id, "guild_id": self.world.guild, "channel_id": self.world.text,
            "session_id": self.at_ann.session_id(), "nonce": nonce,
        });
        for (key, value) in fields.as_object().expect("an object") {
            body[key] = value.clone();
        }
        post(&self.ann.rest, "/interactions", body).await;
        nonce
    }

    fn command(&self, name: &str, fields: Value) -> Value {
        let command = self.commands.iter().find(|command| command["name"] == name).expect("a registered command");
        let mut data = json!({
            "id": command["id"], "version": command["version"], "name": name, "type": command["type"],
        });
        for (key, value) in fields.as_object().expect("an object") {
            data[key] = value.clone();
        }
        json!({ "data": data })
    }

    async fn run(&mut self, name: &str, fields: Value) -> String {
        let command = self.command(name, fields);
        self.interact(2, command).await
    }

    /// Uses a component of a message.
    async fn press(&mut self, message: &Value, kind: u8, custom_id: &str, values: Option<Value>) -> String {
        let mut data = json!({"component_type": kind, "custom_id": custom_id});
        if let Some(values) = values {
            data["values"] = values;
        }
        self.interact(3, json!({"message_id": message["id"], "message_flags": message["flags"], "data": data})).await
    }

    async fn hear(&mut self, name: &str, pick: impl FnMut(&Value) -> bool) -> Value {
        self.at_ann.next_named(name, pick).await.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The next message, or its next form, with this content.
    async fn see(&mut self, name: &str, content: &str) -> Value {
        self.hear(name, |message| message["content"] == content).await
    }

    /// Nothing went wrong in the bot.
    fn check(&self) {
        assert!(self.script.events("error").is_empty(), "{:?}", self.script.events("error"));
    }
}

/// A session like the page's: with everything that a person may read.
async fn listen(world: &World, who: &Account) -> Gateway {
    let connect = gateway::Connect { intents: gateway::ALL_INTENTS, ..world.connect(who).await };
    Gateway::connect(&connect).await.expect("a session")
}

#[tokio::test]
async fn a_person_runs_a_bots_commands() {
    let mut scene = Scene::start().await;
    let (ann, owner, text) = (scene.ann.user.id, scene.world.owner.user.id, scene.world.text);
    let options = json!([
        {"type": 6, "name": "whom", "value": owner}, {"type": 4, "name": "times", "value": 2},
        {"type": 3, "name": "how", "value": "loud"},
    ]);
    let nonce = scene.run("greet", json!({"options": options})).await;
    let greeted = json!({
        "whom": owner, "member": owner, "times": 2, "how": "loud", "by": ann, "channel": text, "may": true, "app": true,
    });
    scene.script.event("greeted", greeted).await;
    let said = scene.see("MESSAGE_CREATE", &format!("Hello <@{owner}>")).await;
    assert_eq!((&said["type"], &said["author"]["id"]), (&json!(20), &json!(scene.bot.user.id)));
    assert_eq!((&said["mentions"][0]["id"], &said["interaction_metadata"]["user"]["id"]), (&json!(owner), &json!(ann)));
    scene.hear("INTERACTION_SUCCESS", |outcome| outcome["nonce"] == nonce).await;
    scene.script.event("replied", json!({"id": said["id"], "command": ann})).await;
    scene.hear("MESSAGE_DELETE", |deleted| deleted["id"] == said["id"]).await;
    // discord.js itself refuses to answer twice.
    scene.script.event("refused", json!({"code": "InteractionAlreadyReplied"})).await;

    let typed = |value: &str, fields: Value| {
        let mut title = json!({"type": 3, "name": "title", "value": value});
        title.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        json!({"options": [{"type": 1, "name": "book", "options": [title]}]})
    };
    let completing = scene.command("find", typed("gor", json!({"focused": true})));
    let nonce = scene.interact(4, completing).await;
    let proposed = scene.hear("APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE", |answer| answer["nonce"] == nonce).await;
    assert_eq!((&proposed["choices"][0]["name"], &proposed["choices"][0]["value"]), (&json!("gormenghast"), &json!("title:gor")));
    scene.run("find", typed("gormenghast", json!({}))).await;
    scene.see("MESSAGE_CREATE", "found book gormenghast").await;

    scene.run("Wave", json!({"target_id": owner})).await;
    let waved = scene.hear("MESSAGE_CREATE", |message| message["type"] == 23).await;
    assert!(waved["content"].as_str().is_some_and(|content| content.starts_with("ann waves at ")), "{waved}");
    scene.run("Quote", json!({"target_id": waved["id"]})).await;
    let quoted = format!("> {}", waved["content"].as_str().unwrap_or_default());
    scene.see("MESSAGE_CREATE", &quoted).await;
    scene.check();
}

#[tokio::test]
async fn buttons_menus_and_forms_go_back_and_forth() {
    let report = Report::of(Client::DiscordJs, "commands");
    let mut scene = Scene::start().await;
    scene.run("game", json!({})).await;
    let message = scene.see("MESSAGE_CREATE", "round 1").await;
    assert_eq!(message["components"][1]["components"][0]["max_values"], 2);
    let nonce = scene.press(&message, 2, "next", None).await;
    let updated = scene.see("MESSAGE_UPDATE", "round 2").await;
    assert_eq!((&updated["id"], &updated["components"]), (&message["id"], &message["components"]));
    scene.hear("INTERACTION_SUCCESS", |outcome| outcome["nonce"] == nonce).await;
    scene.press(&message, 3, "pick", Some(json!(["green", "red"]))).await;
    scene.see("MESSAGE_UPDATE", "picked green and red").await;

    let nonce = scene.press(&message, 2, "ask", None).await;
    let modal = scene.hear("INTERACTION_MODAL_CREATE", |modal| modal["nonce"] == nonce).await;
    assert_eq!((&modal["custom_id"], &modal["title"]), (&json!("form"), &json!("Tell me")));
    let field = &modal["components"][0]["component"];
    let filled = json!({"type": 18, "component": {"type": field["type"], "custom_id": field["custom_id"], "value": "Ann"}});
    let submission = json!({"id": modal["id"], "custom_id": "form", "components": [filled]});
    scene.interact(5, json!({"data": submission})).await;
    let updated = scene.see("MESSAGE_UPDATE", "hello Ann").await;
    assert_eq!((&updated["id"], &updated["components"]), (&message["id"], &json!([])));
    let more = scene.see("MESSAGE_CREATE", "well played").await;
    scene.script.event("played", json!({"message": message["id"], "followed": more["id"], "from": true})).await;
    scene.check();
    report.proves(&[Feature::Commands, Feature::Components]);
}

#[tokio::test]
async fn answers_may_take_their_time_or_be_for_one_person() {
    let mut scene = Scene::start().await;
    scene.run("slow", json!({})).await;
    let promised = scene.hear("MESSAGE_CREATE", |message| message["flags"] == 128).await;
    let kept = scene.see("MESSAGE_UPDATE", "done at last").await;
    assert_eq!((&kept["id"], &kept["flags"]), (&promised["id"], &json!(0)));
    let more = scene.see("MESSAGE_CREATE", "and more").await;
    scene.see("MESSAGE_UPDATE", "and even more").await;
    scene.script.event("slow", json!({"replied": true, "followed": more["id"]})).await;

    let mut at_owner = listen(&scene.world, &scene.world.owner).await;
    scene.run("secret", json!({})).await;
    let secret = scene.see("MESSAGE_CREATE", "psst").await;
    assert_eq!(secret["flags"], 64);
    let with_button = scene.see("MESSAGE_UPDATE", "psst!").await;
    scene.script.event("waiting", json!({})).await;
    scene.press(&with_button, 2, "hush", None).await;
    scene.see("MESSAGE_UPDATE", "hushed").await;
    scene.see("MESSAGE_CREATE", "not a word").await;
    scene.hear("MESSAGE_DELETE", |deleted| deleted["id"] == secret["id"]).await;
    scene.script.event("hushed", json!({"ephemeral": true})).await;
    // Whoever reads the channel later, or listens, finds none of it.
    scene.ann.rest.send_message(scene.world.text, "the end").await.expect("a member may write");
    let heard = at_owner.events_until(|event| event.name == "MESSAGE_CREATE" && event.data["content"] == "the end").await;
    let heard = heard.expect("the owner listens");
    assert!(heard.iter().all(|event| event.data["flags"] != 64 && event.data["id"] != secret["id"]), "{heard:?}");
    let history = get(&scene.ann.rest, &format!("/channels/{}/messages", scene.world.text)).await;
    let ids: Vec<String> = history.as_array().expect("a list").iter().map(id).collect();
    assert!(ids.contains(&id(&kept)) && !ids.contains(&id(&secret)), "{ids:?}");
    scene.check();
}

#[tokio::test]
async fn a_command_that_is_not_answered_fails_and_one_that_is_not_allowed_is_not_told() {
    let mut scene = Scene::start().await;
    let nonce = scene.run("silent", json!({})).await;
    scene.hear("INTERACTION_FAILURE", |outcome| outcome["nonce"] == nonce).await;
    let (guild, owner) = (scene.world.guild, scene.world.owner.rest.clone());
    let keep = owner.create_channel(guild, "keep", ChannelType::Text).await.expect("a channel").id;
    let deny = json!({"type": 0, "allow": "0", "deny": Permissions::USE_APPLICATION_COMMANDS});
    guildhall_tests::api::put(&owner, &format!("/channels/{keep}/permissions/{guild}"), deny).await;
    let mut body = scene.command("silent", json!({}));
    body["type"] = json!(2);
    body["application_id"] = json!(scene.bot.user.id);
    body["channel_id"] = json!(keep);
    guildhall_tests::api::refused(&scene.ann.rest, Method::POST, "/interactions", Some(body), 403, 50013).await;
    scene.check();
}
