//! A person who uses a bot's commands, buttons, menus and forms: what the page does, done by the synthetic client.

use guildhall_loadtest::{Gateway, gateway, rest::Account};
use guildhall_protocol::{ChannelId, GuildId, UserId};
use guildhall_tests::{
    api::{get, post},
    world::{World, id},
};
use serde_json::{Value, json};

/// The parts of a message and of a form, in Discord's numbers.
const ROW: u64 = 1;
const LABEL: u64 = 18;

pub struct Person {
    pub account: Account,
    gateway: Gateway,
    /// The bot, whose application has the same id.
    bot: UserId,
    /// `None`: the DM with the bot.
    guild: Option<GuildId>,
    channel: ChannelId,
    commands: Vec<Value>,
    last_nonce: u64,
}

impl Person {
    /// A member with a session, in the world's text channel.
    pub async fn new(world: &World, name: &str, bot: &Account) -> Self {
        let account = world.member(name).await;
        let gateway = listen(world, &account).await;
        let (bot, guild) = (bot.user.id, Some(world.guild));
        Self { account, gateway, bot, guild, channel: world.text, commands: Vec::new(), last_nonce: 0 }
    }

    /// Learns what the bot offers in the guild.
    pub async fn look_up_commands(&mut self, world: &World) {
        let index = get(&self.account.rest, &format!("/guilds/{}/application-command-index", world.guild)).await;
        self.commands = index["application_commands"].as_array().expect("a list of commands").clone();
        assert_eq!(index["applications"][0]["bot"]["id"], json!(self.bot));
    }

    /// Goes on in private; answers with the channel.
    pub async fn turn_to_the_bot(&mut self) -> ChannelId {
        let dm = id(&post(&self.account.rest, "/users/@me/channels", json!({"recipient_id": self.bot})).await);
        self.channel = dm.parse().expect("an id");
        self.guild = None;
        self.channel
    }

    /// Sends an interaction; its nonce.
    pub async fn interact(&mut self, kind: u8, fields: Value) -> String {
        self.last_nonce += 1;
        let nonce = self.last_nonce.to_string();
        let mut body = json!({
            "type": kind, "application_id": self.bot, "guild_id": self.guild, "channel_id": self.channel,
            "session_id": self.gateway.session_id(), "nonce": nonce,
        });
        for (key, value) in fields.as_object().expect("an object") {
            body[key] = value.clone();
        }
        post(&self.account.rest, "/interactions", body).await;
        nonce
    }

    /// What running a command sends.
    pub fn command(&self, name: &str, fields: Value) -> Value {
        let command = self.commands.iter().find(|command| command["name"] == name).expect("a registered command");
        let mut data = json!({
            "id": command["id"], "version": command["version"], "name": name, "type": command["type"],
        });
        for (key, value) in fields.as_object().expect("an object") {
            data[key] = value.clone();
        }
        json!({ "data": data })
    }

    pub async fn run(&mut self, name: &str, fields: Value) -> String {
        let command = self.command(name, fields);
        self.interact(2, command).await
    }

    /// Presses a message's button, or picks from its menu.
    pub async fn use_component(&mut self, message: &Value, custom_id: &str, values: Option<Value>) -> String {
        let rows = message["components"].as_array().expect("a message with components");
        let mut all = rows.iter().flat_map(|row| row["components"].as_array().expect("a row"));
        let component = all.find(|component| component["custom_id"] == custom_id).expect("a component of the message");
        let mut data = json!({"component_type": component["type"], "custom_id": custom_id});
        if let Some(values) = values {
            data["values"] = values;
        }
        self.interact(3, json!({"message_id": message["id"], "message_flags": message["flags"], "data": data})).await
    }

    /// Fills a form, whose fields stand under labels or, as they did before, in rows, and sends it off.
    pub async fn submit(&mut self, modal: &Value, answers: &Value) {
        let fill = |field: &Value| {
            let custom_id = field["custom_id"].as_str().expect("a field has an id");
            json!({"type": field["type"], "custom_id": custom_id, "value": answers[custom_id].as_str().unwrap_or_default()})
        };
        let filled = modal["components"].as_array().expect("a form").iter().map(|part| match part["type"].as_u64() {
            Some(LABEL) => json!({"type": LABEL, "component": fill(&part["component"])}),
            _ => json!({"type": ROW, "components": [fill(&part["components"][0])]}),
        });
        let data = json!({"id": modal["id"], "custom_id": modal["custom_id"], "components": filled.collect::<Vec<_>>()});
        self.interact(5, json!({ "data": data })).await;
    }

    pub async fn hear(&mut self, name: &str, pick: impl FnMut(&Value) -> bool) -> Value {
        self.gateway.next_named(name, pick).await.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The next message, or its next form, with this content.
    pub async fn see(&mut self, name: &str, content: &str) -> Value {
        self.hear(name, |message| message["content"] == content).await
    }

    /// The answer of this kind to what was sent with this nonce.
    pub async fn answer(&mut self, name: &str, nonce: &str) -> Value {
        self.hear(name, |answer| answer["nonce"] == nonce).await
    }
}

/// A session like the page's: with everything that a person may read.
pub async fn listen(world: &World, who: &Account) -> Gateway {
    let connect = gateway::Connect { intents: gateway::ALL_INTENTS, ..world.connect(who).await };
    Gateway::connect(&connect).await.expect("a session")
}
