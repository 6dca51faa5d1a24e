//! A server with people in it: what most tests begin with.

use guildhall_loadtest::{Gateway, Rest, gateway, rest::Account};
use guildhall_protocol::{ChannelId, GuildId, Permissions, model::ChannelType};
use serde_json::{Value, json};

use crate::{eventually, script::Script, server::Server};

/// Long enough for any rule about passwords, and the same for everybody.
pub const PASSWORD: &str = "correct horse battery staple";

/// One server, its owner, one guild of the owner's with a text and a voice channel.
pub struct World {
    pub server: Server,
    /// Nobody's view of the API.
    pub rest: Rest,
    pub owner: Account,
    pub guild: GuildId,
    pub text: ChannelId,
    pub voice: ChannelId,
}

impl World {
    pub async fn start() -> World {
        Self::on(Server::start()).await
    }

    pub async fn on(server: Server) -> World {
        let rest = Rest::new(&server.base()).expect("a client");
        let owner = rest.login(&server.owner().login, &server.owner().password).await.expect("the shown password works");
        let guild = owner.rest.create_guild("The hall").await.expect("the owner makes a guild").id;
        let text = owner.rest.create_channel(guild, "stories", ChannelType::Text).await.expect("a text channel").id;
        let voice = owner.rest.create_channel(guild, "hearth", ChannelType::Voice).await.expect("a voice channel").id;
        World { server, rest, owner, guild, text, voice }
    }

    /// Starts the ended server again, and waits until the clients have noticed that their connections are gone.
    pub async fn restart(&mut self) {
        self.server.restart();
        eventually("an answer after the restart", async || self.rest.gateway_url().await.ok()).await;
    }

    /// Registers a user; it is in no guild yet.
    pub async fn stranger(&self, name: &str) -> Account {
        self.rest.register(name, PASSWORD).await.expect("registration is open")
    }

    /// Registers a user who accepts an invite to the guild.
    pub async fn member(&self, name: &str) -> Account {
        let account = self.stranger(name).await;
        let code = self.owner.rest.invite(self.text).await.expect("the owner invites");
        account.rest.join(&code).await.expect("an invited user may join");
        account
    }

    /// An application's bot, added to the guild with a managed role of these permissions.
    pub async fn bot(&self, name: &str, permissions: Permissions) -> Account {
        let rest = &self.owner.rest;
        let application = rest.create_application(name).await.expect("an application").id;
        let token = rest.create_bot(application).await.expect("its bot");
        rest.add_bot(application, self.guild, permissions).await.expect("the owner lets the bot in");
        let rest = self.rest.as_bot(&token);
        let user = rest.me().await.expect("the bot's token works");
        Account { rest, token, user }
    }

    /// A gateway session of the synthetic client.
    pub async fn session(&self, account: &Account) -> Gateway {
        Gateway::connect(&self.connect(account).await).await.expect("a session")
    }

    pub async fn connect(&self, account: &Account) -> gateway::Connect {
        let url = self.rest.gateway_url().await.expect("the server names its gateway");
        gateway::Connect::new(url, &account.token)
    }

    /// A discord.js bot, ready, that reaches the server at `base` (the server itself or a proxy before it).
    pub async fn discord_js(&self, bot: &Account, base: &str) -> Script {
        let given = json!({"base": base, "token": bot.token});
        let script = Script::node("bot.mjs", &given, Some(&self.server.ca()));
        script.event("ready", json!({"user": bot.user.id})).await;
        script
    }

    /// The same with discord.py.
    pub async fn discord_py(&self, bot: &Account, base: &str) -> Script {
        let gateway = format!("{}/gateway", base.replace("http://", "ws://"));
        let given = json!({"base": base, "gateway": gateway, "token": bot.token});
        let script = Script::python("bot.py", &given, &self.server.ca());
        script.event("ready", json!({"user": bot.user.id})).await;
        script
    }

    /// The same with hikari.
    pub async fn hikari(&self, bot: &Account, base: &str) -> Script {
        let given = json!({"base": base, "token": bot.token});
        let script = Script::python("hikari_bot.py", &given, &self.server.ca());
        script.event("ready", json!({"user": bot.user.id})).await;
        script
    }
}

/// The id of an API object.
pub fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_else(|| panic!("an object with an id: {object}")).to_string()
}
