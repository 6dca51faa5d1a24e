//! Bots' commands, as released libraries write them, run by a person. The libraries' side is in `clients/node/commands.mjs`,
//! `clients/python/commands.py` and `clients/python/hikari_commands.py`; twilight's is in `twilight/commands.rs`.

pub mod person;

use guildhall_loadtest::rest::Account;
use guildhall_protocol::{Permissions, model::ChannelType};
use guildhall_tests::{
    api::{get, post, put, refused},
    compatibility::{Client, Feature, Report},
    script::Script,
    world::{World, id},
};
use person::{Person, listen};
use reqwest::Method;
use serde_json::{Value, json};

/// A bot with commands, and a person who uses them.
struct Scene {
    world: World,
    script: Script,
    bot: Account,
    ann: Person,
}

impl Scene {
    /// `start` makes the library's script of what it is given.
    async fn start(start: impl FnOnce(&World, &Value) -> Script) -> Self {
        let world = World::start().await;
        let bot = world.bot("helper", Permissions::VIEW_CHANNEL).await;
        let base = world.server.base();
        let gateway = format!("{}/gateway", base.replace("http://", "ws://"));
        let script = start(&world, &json!({"base": base, "gateway": gateway, "token": bot.token}));
        let mut ann = Person::new(&world, "ann", &bot).await;
        script.event("ready", json!({"user": bot.user.id})).await;
        let registered = script.ask("register", json!({"guild": world.guild})).await;
        let names = ["Quote", "Wave", "find", "game", "greet", "menus", "secret", "silent", "slow"];
        assert_eq!(registered, json!({"names": names, "renamed": "Only in this guild", "left": 0}));
        ann.look_up_commands(&world).await;
        Self { world, script, bot, ann }
    }

    async fn discord_js() -> Self {
        Self::start(|world, given| Script::node("commands.mjs", given, Some(&world.server.ca()))).await
    }

    /// Everything that a person does with commands and what they answer with. `refusal` is what the library says when its
    /// bot answers twice.
    async fn shows_all(&mut self, refusal: Value) {
        self.runs_commands(refusal).await;
        self.plays_a_game().await;
        self.fills_menus_and_a_form().await;
        self.takes_its_time().await;
        self.whispers().await;
        self.answers_in_private().await;
        assert!(self.script.events("error").is_empty(), "{:?}", self.script.events("error"));
    }

    async fn runs_commands(&mut self, refusal: Value) {
        let Self { world, script, bot, ann } = self;
        let (me, owner, text) = (ann.account.user.id, world.owner.user.id, world.text);
        let options = json!([
            {"type": 6, "name": "whom", "value": owner}, {"type": 4, "name": "times", "value": 2},
            {"type": 3, "name": "how", "value": "loud"},
        ]);
        let nonce = ann.run("greet", json!({"options": options})).await;
        let greeted = json!({
            "whom": owner, "member": owner, "times": 2, "how": "loud", "by": me, "channel": text, "may": true, "app": true,
        });
        script.event("greeted", greeted).await;
        let said = ann.see("MESSAGE_CREATE", &format!("Hello <@{owner}>")).await;
        assert_eq!((&said["type"], &said["author"]["id"]), (&json!(20), &json!(bot.user.id)));
        assert_eq!((&said["mentions"][0]["id"], &said["interaction_metadata"]["user"]["id"]), (&json!(owner), &json!(me)));
        ann.answer("INTERACTION_SUCCESS", &nonce).await;
        script.event("replied", json!({"id": said["id"], "command": me})).await;
        ann.hear("MESSAGE_DELETE", |deleted| deleted["id"] == said["id"]).await;
        script.event("refused", json!({ "code": refusal })).await;

        let completing = ann.command("find", typed("gor", json!({"focused": true})));
        let nonce = ann.interact(4, completing).await;
        let proposed = ann.answer("APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE", &nonce).await;
        assert_eq!(
            (&proposed["choices"][0]["name"], &proposed["choices"][0]["value"]),
            (&json!("gormenghast"), &json!("title:gor"))
        );
        ann.run("find", typed("gormenghast", json!({}))).await;
        ann.see("MESSAGE_CREATE", "found book gormenghast").await;

        ann.run("Wave", json!({"target_id": owner})).await;
        let waved = ann.hear("MESSAGE_CREATE", |message| message["type"] == 23).await;
        assert!(waved["content"].as_str().is_some_and(|content| content.starts_with("ann waves at ")), "{waved}");
        ann.run("Quote", json!({"target_id": waved["id"]})).await;
        let quoted = format!("> {}", waved["content"].as_str().unwrap_or_default());
        ann.see("MESSAGE_CREATE", &quoted).await;
    }

    async fn plays_a_game(&mut self) {
        let Self { script, ann, .. } = self;
        ann.run("game", json!({})).await;
        let message = ann.see("MESSAGE_CREATE", "round 1").await;
        assert_eq!(message["components"][1]["components"][0]["max_values"], 2);
        listens(script, "next").await;
        let nonce = ann.use_component(&message, "next", None).await;
        let updated = ann.see("MESSAGE_UPDATE", "round 2").await;
        assert_eq!((&updated["id"], &updated["components"]), (&message["id"], &message["components"]));
        ann.answer("INTERACTION_SUCCESS", &nonce).await;
        listens(script, "pick").await;
        ann.use_component(&message, "pick", Some(json!(["green", "red"]))).await;
        ann.see("MESSAGE_UPDATE", "picked green and red").await;

        listens(script, "ask").await;
        let nonce = ann.use_component(&message, "ask", None).await;
        let modal = ann.answer("INTERACTION_MODAL_CREATE", &nonce).await;
        assert_eq!((&modal["custom_id"], &modal["title"]), (&json!("form"), &json!("Tell me")));
        listens(script, "form").await;
        ann.submit(&modal, &json!({"name": "Ann"})).await;
        let updated = ann.see("MESSAGE_UPDATE", "hello Ann").await;
        assert_eq!((&updated["id"], &updated["components"]), (&message["id"], &json!([])));
        let more = ann.see("MESSAGE_CREATE", "well played").await;
        script.event("played", json!({"message": message["id"], "followed": more["id"], "from": true})).await;
    }

    async fn fills_menus_and_a_form(&mut self) {
        let Self { world, script, bot, ann } = self;
        let owner = &world.owner;
        let role = post(&owner.rest, &format!("/guilds/{}/roles", world.guild), json!({"name": "knight"})).await;
        ann.run("menus", json!({})).await;
        let message = ann.see("MESSAGE_CREATE", "choose").await;
        let (knight, helper) = (json!(role["id"]), json!(bot.user.id));
        for (menu, value, name) in [
            ("user", &json!(owner.user.id), &owner.user.username[..]),
            ("role", &knight, "knight"),
            ("channel", &json!(world.text), "stories"),
        ] {
            listens(script, menu).await;
            ann.use_component(&message, menu, Some(json!([value]))).await;
            script.event("picked", json!({"menu": menu, "names": [name]})).await;
            ann.see("MESSAGE_UPDATE", &format!("{menu} picked")).await;
        }
        listens(script, "both").await;
        let nonce = ann.use_component(&message, "both", Some(json!([knight, helper]))).await;
        script.event("picked", json!({"menu": "both", "names": ["helper", "knight"]})).await;
        let modal = ann.answer("INTERACTION_MODAL_CREATE", &nonce).await;
        listens(script, "report").await;
        ann.submit(&modal, &json!({"who": "Robin", "story": "He ran away", "more": ""})).await;
        let promised = ann.hear("MESSAGE_CREATE", |message| message["flags"] == 128 + 64).await;
        let kept = ann.see("MESSAGE_UPDATE", "Robin|He ran away|").await;
        assert_eq!((&kept["id"], &kept["flags"]), (&promised["id"], &json!(64)));
        let copy = ann.see("MESSAGE_CREATE", "a copy").await;
        script.event("noted", json!({"files": ["kept.txt", "copy.txt"], "hidden": true})).await;
        for message in [kept, copy] {
            let file = &message["attachments"][0];
            let url = file["url"].as_str().expect("a file has an address");
            let bytes = ann.account.rest.download(url).await.expect("and is there");
            assert_eq!(file["filename"], *String::from_utf8_lossy(&bytes), "each file's content is its name");
        }
    }

    async fn takes_its_time(&mut self) {
        let Self { script, ann, .. } = self;
        ann.run("slow", json!({})).await;
        let promised = ann.hear("MESSAGE_CREATE", |message| message["flags"] == 128).await;
        let kept = ann.see("MESSAGE_UPDATE", "done at last").await;
        assert_eq!((&kept["id"], &kept["flags"]), (&promised["id"], &json!(0)));
        let more = ann.see("MESSAGE_CREATE", "and more").await;
        ann.see("MESSAGE_UPDATE", "and even more").await;
        script.event("slow", json!({"replied": true, "followed": more["id"]})).await;
    }

    async fn whispers(&mut self) {
        let Self { world, script, ann, .. } = self;
        let mut at_owner = listen(world, &world.owner).await;
        ann.run("secret", json!({})).await;
        let secret = ann.see("MESSAGE_CREATE", "psst").await;
        assert_eq!(secret["flags"], 64);
        let with_button = ann.see("MESSAGE_UPDATE", "psst!").await;
        listens(script, "hush").await;
        ann.use_component(&with_button, "hush", None).await;
        ann.see("MESSAGE_UPDATE", "hushed").await;
        ann.see("MESSAGE_CREATE", "not a word").await;
        ann.hear("MESSAGE_DELETE", |deleted| deleted["id"] == secret["id"]).await;
        script.event("hushed", json!({"ephemeral": true})).await;
        // Whoever reads the channel later, or listens, finds none of it.
        let said = ann.account.rest.send_message(world.text, "the end").await.expect("a member may write");
        let heard = at_owner.events_until(|event| event.name == "MESSAGE_CREATE" && event.data["content"] == "the end").await;
        let heard = heard.expect("the owner listens");
        assert!(heard.iter().all(|event| event.data["flags"] != 64 && event.data["id"] != secret["id"]), "{heard:?}");
        let history = get(&ann.account.rest, &format!("/channels/{}/messages", world.text)).await;
        let ids: Vec<String> = history.as_array().expect("a list").iter().map(id).collect();
        assert!(ids.contains(&said.id.to_string()) && !ids.contains(&id(&secret)), "{ids:?}");
    }

    /// In the DM with the bot there is no guild, no member and no channel that the bot knew of.
    async fn answers_in_private(&mut self) {
        let Self { ann, bot, .. } = self;
        ann.turn_to_the_bot().await;
        ann.run("find", typed("titus", json!({}))).await;
        let found = ann.see("MESSAGE_CREATE", "found book titus").await;
        assert_eq!((&found["guild_id"], &found["author"]["id"]), (&Value::Null, &json!(bot.user.id)));
    }
}

/// Waits until the library knows what to do when a component or a form with this id is used. It learns that from the answer to
/// what showed it, which may come to its process after the message came to this one; what is used sooner it drops.
async fn listens(script: &Script, id: &str) {
    script.event("listens", json!({ "id": id })).await;
}

/// The option of `/find`.
fn typed(value: &str, fields: Value) -> Value {
    let mut title = json!({"type": 3, "name": "title", "value": value});
    title.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    json!({"options": [{"type": 1, "name": "book", "options": [title]}]})
}

const PROVEN: [Feature; 2] = [Feature::Commands, Feature::Components];

#[tokio::test]
async fn a_person_uses_a_discord_js_bot() {
    let report = Report::of(Client::DiscordJs, "commands");
    Scene::discord_js().await.shows_all(json!("InteractionAlreadyReplied")).await;
    report.proves(&PROVEN);
}

#[tokio::test]
async fn a_person_uses_a_discord_py_bot() {
    let report = Report::of(Client::DiscordPy, "commands");
    let mut scene = Scene::start(|world, given| Script::python("commands.py", given, &world.server.ca())).await;
    scene.shows_all(json!("InteractionResponded")).await;
    report.proves(&PROVEN);
}

#[tokio::test]
async fn a_person_uses_a_hikari_bot() {
    let report = Report::of(Client::Hikari, "commands");
    let mut scene = Scene::start(|world, given| Script::python("hikari_commands.py", given, &world.server.ca())).await;
    // It leaves the refusal to the server.
    scene.shows_all(json!(40060)).await;
    report.proves(&PROVEN);
}

#[tokio::test]
async fn a_command_that_is_not_answered_fails_and_one_that_is_not_allowed_is_not_told() {
    let mut scene = Scene::discord_js().await;
    let nonce = scene.ann.run("silent", json!({})).await;
    scene.ann.answer("INTERACTION_FAILURE", &nonce).await;
    let (guild, owner) = (scene.world.guild, scene.world.owner.rest.clone());
    let keep = owner.create_channel(guild, "keep", ChannelType::Text).await.expect("a channel").id;
    let deny = json!({"type": 0, "allow": "0", "deny": Permissions::USE_APPLICATION_COMMANDS});
    put(&owner, &format!("/channels/{keep}/permissions/{guild}"), deny).await;
    let mut body = scene.ann.command("silent", json!({}));
    body["type"] = json!(2);
    body["application_id"] = json!(scene.bot.user.id);
    body["channel_id"] = json!(keep);
    refused(&scene.ann.account.rest, Method::POST, "/interactions", Some(body), 403, 50013).await;
    assert!(scene.script.events("error").is_empty(), "{:?}", scene.script.events("error"));
}
