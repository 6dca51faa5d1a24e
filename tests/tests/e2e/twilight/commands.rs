//! A bot with twilight whose commands, components and forms a person uses: what `clients/node/commands.mjs` does.

use super::{connect, next, refusal, stand_by};
use crate::commands::person::Person;
use guildhall_loadtest::rest::Account;
use guildhall_protocol::Permissions;
use guildhall_tests::{
    api::post,
    compatibility::{Client, Feature, Report},
    world::World,
};
use serde_json::{Value, json};
use twilight_gateway::{Event, Shard};
use twilight_http::{Client as Http, client::InteractionClient};
use twilight_model::{
    application::{
        command::{Command, CommandOptionType},
        interaction::{
            Interaction, InteractionContextType, InteractionData, InteractionType,
            application_command::{CommandData, CommandOptionValue},
            modal::{ModalInteractionComponent, ModalInteractionData},
        },
    },
    channel::message::{Component, MessageFlags},
    guild::Permissions as Allowed,
    http::{
        attachment::Attachment,
        interaction::{InteractionResponse, InteractionResponseData, InteractionResponseType as Kind},
    },
    id::{
        Id,
        marker::{ApplicationMarker, GuildMarker, MessageMarker, UserMarker},
    },
};
use twilight_standby::Standby;

struct Scene {
    world: World,
    bot: Account,
    ann: Person,
    http: Http,
    shard: Shard,
    standby: Standby,
    application: Id<ApplicationMarker>,
}

#[tokio::test]
async fn a_person_uses_a_twilight_bot() {
    let report = Report::of(Client::Twilight, "commands");
    let mut scene = Scene::start().await;
    scene.runs_commands().await;
    scene.plays_a_game().await;
    scene.fills_menus_and_a_form().await;
    scene.takes_its_time_and_whispers().await;
    scene.answers_in_private().await;
    report.proves(&[Feature::Commands, Feature::Components]);
}

/// A command as the library's model has it. Its builders are in a crate of their own.
fn command(kind: u8, name: &str, options: Value) -> Command {
    let description = if kind == 1 { "A command" } else { "" };
    serde_json::from_value(json!({
        "type": kind, "name": name, "description": description, "options": options,
        "default_member_permissions": null, "version": "1",
    }))
    .expect("a command")
}

fn commands() -> [Command; 8] {
    let title = json!({"type": 3, "name": "title", "description": "Its title", "required": true, "autocomplete": true});
    let greet = json!([
        {"type": 6, "name": "whom", "description": "Whom", "required": true},
        {"type": 4, "name": "times", "description": "How often", "min_value": 1, "max_value": 3},
        {"type": 3, "name": "how", "description": "How", "choices": [{"name": "Loudly", "value": "loud"}]},
    ]);
    [
        command(1, "greet", greet),
        command(1, "find", json!([{"type": 1, "name": "book", "description": "A book", "options": [title]}])),
        command(1, "game", json!([])),
        command(1, "menus", json!([])),
        command(1, "slow", json!([])),
        command(1, "secret", json!([])),
        command(2, "Wave", json!([])),
        command(3, "Quote", json!([])),
    ]
}

fn response(kind: Kind, data: InteractionResponseData) -> InteractionResponse {
    InteractionResponse { kind, data: Some(data) }
}

fn saying(content: &str) -> InteractionResponseData {
    InteractionResponseData { content: Some(content.to_owned()), ..InteractionResponseData::default() }
}

fn components(rows: Value) -> Vec<Component> {
    serde_json::from_value(rows).expect("components")
}

fn row(component: Value) -> Value {
    json!({"type": 1, "components": [component]})
}

fn button(custom_id: &str) -> Value {
    json!({"type": 2, "style": 1, "custom_id": custom_id, "label": custom_id})
}

/// A form with these fields under labels.
fn form(custom_id: &str, fields: &[Value]) -> InteractionResponse {
    let labels = fields.iter().map(|field| json!({"type": 18, "label": field["custom_id"], "component": field})).collect();
    let data = InteractionResponseData {
        custom_id: Some(custom_id.to_owned()),
        title: Some("Tell me".to_owned()),
        components: Some(components(labels)),
        ..InteractionResponseData::default()
    };
    response(Kind::Modal, data)
}

/// The texts of a form that was filled, in their order.
fn texts(modal: &ModalInteractionData) -> Vec<(&str, &str)> {
    let mut texts = Vec::new();
    for part in &modal.components {
        let ModalInteractionComponent::Label(label) = part else { panic!("no label: {part:?}") };
        let ModalInteractionComponent::TextInput(text) = &*label.component else { panic!("no text: {label:?}") };
        texts.push((text.custom_id.as_str(), text.value.as_str()));
    }
    texts
}

fn command_data(interaction: &Interaction) -> &CommandData {
    match &interaction.data {
        Some(InteractionData::ApplicationCommand(data)) => data,
        other => panic!("no command: {other:?}"),
    }
}

fn modal_data(interaction: &Interaction) -> &ModalInteractionData {
    match &interaction.data {
        Some(InteractionData::ModalSubmit(data)) => data,
        other => panic!("no form: {other:?}"),
    }
}

impl Scene {
    async fn start() -> Self {
        let world = World::start().await;
        let bot = world.bot("dusk", Permissions::VIEW_CHANNEL).await;
        let (http, mut shard) = connect(world.server.address(), &bot.token);
        let mut ann = Person::new(&world, "ann", &bot).await;
        next(&mut shard, "GUILD_CREATE", |event| matches!(event, Event::GuildCreate(_)).then_some(())).await;
        let application = model!(http.current_user_application()).id;
        let guild: Id<GuildMarker> = Id::new(world.guild.get());
        let interactions = http.interaction(application);
        let registered = model!(interactions.set_global_commands(&commands()));
        let mut names: Vec<_> = registered.iter().map(|command| command.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["Quote", "Wave", "find", "game", "greet", "menus", "secret", "slow"]);
        let greet = registered.iter().find(|command| command.name == "greet").expect("registered");
        let kinds: Vec<_> = greet.options.iter().map(|option| option.kind).collect();
        assert_eq!(kinds, [CommandOptionType::User, CommandOptionType::Integer, CommandOptionType::String]);
        let here = model!(interactions.create_guild_command(guild).chat_input("here", "Only here"));
        let here = here.id.expect("a registered command has an id");
        let renamed = model!(interactions.update_guild_command(guild, here).description("Only in this guild"));
        assert_eq!((renamed.description.as_str(), renamed.guild_id), ("Only in this guild", Some(guild)));
        ok!(interactions.delete_guild_command(guild, here));
        assert_eq!(model!(interactions.guild_commands(guild)).len(), 0);
        ann.look_up_commands(&world).await;
        Self { world, bot, ann, http, shard, standby: Standby::new(), application }
    }

    /// What the bot is told next.
    async fn told(&mut self, kind: InteractionType) -> Interaction {
        let told = next(&mut self.shard, "an interaction", |event| match event {
            Event::InteractionCreate(told) => Some(told.0),
            _ => None,
        });
        let told = told.await;
        assert_eq!((told.kind, told.application_id), (kind, self.application));
        told
    }

    /// What ann does with a message's component, as who stands by it is told.
    async fn used(
        &mut self,
        message: Id<MessageMarker>,
        shown: &Value,
        custom_id: &str,
        values: Option<Value>,
    ) -> (Interaction, String) {
        let wait = self.standby.wait_for_component(message, |_: &Interaction| true);
        let nonce = self.ann.use_component(shown, custom_id, values).await;
        let used = stand_by(&mut self.shard, &self.standby, custom_id, wait).await;
        let Some(InteractionData::MessageComponent(data)) = &used.data else { panic!("no component: {used:?}") };
        assert_eq!((data.custom_id.as_str(), used.message.as_ref().map(|message| message.id)), (custom_id, Some(message)));
        (used, nonce)
    }

    fn answers(&self) -> InteractionClient<'_> {
        self.http.interaction(self.application)
    }

    async fn respond(&self, to: &Interaction, answer: &InteractionResponse) -> Option<twilight_model::channel::Message> {
        let called = self.answers();
        let given = model!(called.create_response(to.id, &to.token, answer).with_response());
        assert_eq!((given.interaction.id, given.interaction.kind), (to.id, to.kind));
        given.resource.and_then(|resource| resource.message)
    }

    async fn runs_commands(&mut self) {
        let owner: Id<UserMarker> = Id::new(self.world.owner.user.id.get());
        let me: Id<UserMarker> = Id::new(self.ann.account.user.id.get());
        let options = json!([
            {"type": 6, "name": "whom", "value": owner}, {"type": 4, "name": "times", "value": 2},
            {"type": 3, "name": "how", "value": "loud"},
        ]);
        let nonce = self.ann.run("greet", json!({"options": options})).await;
        let told = self.told(InteractionType::ApplicationCommand).await;
        assert_eq!((told.author_id(), told.context), (Some(me), Some(InteractionContextType::Guild)));
        assert!(told.app_permissions.is_some_and(|mine| mine.contains(Allowed::VIEW_CHANNEL)));
        let may = told.member.as_ref().and_then(|member| member.permissions);
        assert!(may.is_some_and(|may| may.contains(Allowed::SEND_MESSAGES)));
        let data = command_data(&told);
        let values: Vec<_> = data.options.iter().map(|option| option.value.clone()).collect();
        let expected =
            [CommandOptionValue::User(owner), CommandOptionValue::Integer(2), CommandOptionValue::String("loud".to_owned())];
        assert_eq!(values, expected);
        let resolved = data.resolved.as_ref().expect("a user was picked");
        assert!(resolved.users.contains_key(&owner) && resolved.members.contains_key(&owner), "{resolved:?}");

        let hello = format!("Hello <@{owner}>");
        let said = self.respond(&told, &response(Kind::ChannelMessageWithSource, saying(&hello))).await.expect("a message");
        let shown = self.ann.see("MESSAGE_CREATE", &hello).await;
        assert_eq!(shown["id"], json!(said.id));
        self.ann.answer("INTERACTION_SUCCESS", &nonce).await;
        let fetched = model!(self.answers().response(&told.token));
        assert_eq!((fetched.id, fetched.interaction_metadata.map(|by| by.user.id)), (said.id, Some(me)));
        let again = response(Kind::ChannelMessageWithSource, saying("again"));
        let error = self.answers().create_response(told.id, &told.token, &again).await.expect_err("it was answered");
        assert_eq!(refusal(&error), (400, Some(40060)));
        ok!(self.answers().delete_response(&told.token));
        self.ann.hear("MESSAGE_DELETE", |deleted| deleted["id"] == shown["id"]).await;

        let typed = |value: &str, focused: bool| {
            let title = json!({"type": 3, "name": "title", "value": value, "focused": focused});
            json!({"options": [{"type": 1, "name": "book", "options": [title]}]})
        };
        let completing = self.ann.command("find", typed("gor", true));
        let nonce = self.ann.interact(4, completing).await;
        let told = self.told(InteractionType::ApplicationCommandAutocomplete).await;
        let CommandOptionValue::SubCommand(book) = &command_data(&told).options[0].value else { panic!("{told:?}") };
        assert_eq!(book[0].value, CommandOptionValue::Focused("gor".to_owned(), CommandOptionType::String));
        let choices = serde_json::from_value(json!([{"name": "gormenghast", "value": "title:gor"}])).expect("choices");
        let data = InteractionResponseData { choices: Some(choices), ..InteractionResponseData::default() };
        let answer = response(Kind::ApplicationCommandAutocompleteResult, data);
        ok!(self.answers().create_response(told.id, &told.token, &answer));
        let proposed = self.ann.answer("APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE", &nonce).await;
        assert_eq!(proposed["choices"][0]["value"], "title:gor");

        self.ann.run("Wave", json!({"target_id": owner})).await;
        let told = self.told(InteractionType::ApplicationCommand).await;
        assert_eq!(command_data(&told).target_id, Some(owner.cast()));
        self.respond(&told, &response(Kind::ChannelMessageWithSource, saying("hi"))).await;
        let waved = self.ann.see("MESSAGE_CREATE", "hi").await;
        self.ann.run("Quote", json!({"target_id": waved["id"]})).await;
        let told = self.told(InteractionType::ApplicationCommand).await;
        let resolved = command_data(&told).resolved.as_ref().expect("the message");
        let quoted: Vec<_> = resolved.messages.values().map(|message| message.content.as_str()).collect();
        assert_eq!(quoted, ["hi"]);
        self.respond(&told, &response(Kind::ChannelMessageWithSource, saying("> hi"))).await;
        self.ann.see("MESSAGE_CREATE", "> hi").await;
    }

    async fn plays_a_game(&mut self) {
        self.ann.run("game", json!({})).await;
        let told = self.told(InteractionType::ApplicationCommand).await;
        let colors = ["red", "blue", "green"].map(|color| json!({"label": color, "value": color}));
        let pick = row(json!({"type": 3, "custom_id": "pick", "max_values": 2, "options": colors}));
        let rows = components(json!([{"type": 1, "components": [button("next"), button("ask")]}, pick]));
        let round = InteractionResponseData { components: Some(rows.clone()), ..saying("round 1") };
        let message = self.respond(&told, &response(Kind::ChannelMessageWithSource, round)).await.expect("a message");
        assert_eq!(message.components.len(), 2);
        let shown = self.ann.see("MESSAGE_CREATE", "round 1").await;

        let (pressed, nonce) = self.used(message.id, &shown, "next", None).await;
        let updated = self.respond(&pressed, &response(Kind::UpdateMessage, saying("round 2"))).await.expect("the message");
        assert_eq!((updated.id, &updated.components), (message.id, &message.components));
        self.ann.see("MESSAGE_UPDATE", "round 2").await;
        self.ann.answer("INTERACTION_SUCCESS", &nonce).await;

        let (picked, _) = self.used(message.id, &shown, "pick", Some(json!(["green", "red"]))).await;
        let Some(InteractionData::MessageComponent(data)) = &picked.data else { panic!("{picked:?}") };
        assert_eq!(data.values, ["green", "red"]);
        ok!(self.answers().create_response(
            picked.id,
            &picked.token,
            &InteractionResponse { kind: Kind::DeferredUpdateMessage, data: None }
        ));
        model!(self.answers().update_response(&picked.token).content(Some("picked green and red")));
        self.ann.see("MESSAGE_UPDATE", "picked green and red").await;

        let (asked, nonce) = self.used(message.id, &shown, "ask", None).await;
        ok!(self.answers().create_response(
            asked.id,
            &asked.token,
            &form("form", &[json!({"type": 4, "style": 1, "custom_id": "name"})])
        ));
        let modal = self.ann.answer("INTERACTION_MODAL_CREATE", &nonce).await;
        self.ann.submit(&modal, &json!({"name": "Ann"})).await;
        let told = self.told(InteractionType::ModalSubmit).await;
        assert_eq!(
            (texts(modal_data(&told)), told.message.as_ref().map(|from| from.id)),
            (vec![("name", "Ann")], Some(message.id))
        );
        let ended = InteractionResponseData { components: Some(Vec::new()), ..saying("hello Ann") };
        self.respond(&told, &response(Kind::UpdateMessage, ended)).await;
        assert_eq!(self.ann.see("MESSAGE_UPDATE", "hello Ann").await["components"], json!([]));
        let more = model!(self.answers().create_followup(&told.token).content("well played"));
        assert_eq!(self.ann.see("MESSAGE_CREATE", "well played").await["id"], json!(more.id));
    }

    async fn fills_menus_and_a_form(&mut self) {
        let (owner, text) = (self.world.owner.user.clone(), self.world.text);
        let role = post(&self.world.owner.rest, &format!("/guilds/{}/roles", self.world.guild), json!({"name": "knight"})).await;
        self.ann.run("menus", json!({})).await;
        let told = self.told(InteractionType::ApplicationCommand).await;
        let menus = json!([
            row(json!({"type": 5, "custom_id": "user"})),
            row(json!({"type": 6, "custom_id": "role"})),
            row(json!({"type": 8, "custom_id": "channel", "channel_types": [0]})),
            row(json!({"type": 7, "custom_id": "both", "max_values": 2})),
        ]);
        let choose = InteractionResponseData { components: Some(components(menus)), ..saying("choose") };
        let message = self.respond(&told, &response(Kind::ChannelMessageWithSource, choose)).await.expect("a message");
        let shown = self.ann.see("MESSAGE_CREATE", "choose").await;
        let both = json!([role["id"], self.bot.user.id]);
        let picks = [
            ("user", json!([owner.id]), vec![owner.username.as_str()]),
            ("role", json!([role["id"]]), vec!["knight"]),
            ("channel", json!([text]), vec!["stories"]),
            ("both", both, vec!["dusk", "knight"]),
        ];
        for (menu, values, expected) in picks {
            let (picked, nonce) = self.used(message.id, &shown, menu, Some(values)).await;
            let Some(InteractionData::MessageComponent(data)) = &picked.data else { panic!("{picked:?}") };
            let found = data.resolved.as_ref().expect("what was picked");
            let users = found.users.values().map(|user| user.name.as_str());
            let roles = found.roles.values().map(|role| role.name.as_str());
            let mut names: Vec<_> =
                users.chain(roles).chain(found.channels.values().map(|channel| channel.name.as_str())).collect();
            names.sort_unstable();
            assert_eq!(names, expected);
            if menu != "both" {
                self.respond(&picked, &response(Kind::UpdateMessage, saying(menu))).await;
                self.ann.see("MESSAGE_UPDATE", menu).await;
                continue;
            }
            let fields = [
                json!({"type": 4, "style": 1, "custom_id": "who"}),
                json!({"type": 4, "style": 2, "custom_id": "story", "min_length": 5, "max_length": 200}),
                json!({"type": 4, "style": 1, "custom_id": "more", "required": false}),
            ];
            ok!(self.answers().create_response(picked.id, &picked.token, &form("report", &fields)));
            let modal = self.ann.answer("INTERACTION_MODAL_CREATE", &nonce).await;
            self.ann.submit(&modal, &json!({"who": "Robin", "story": "He ran away"})).await;
        }
        let told = self.told(InteractionType::ModalSubmit).await;
        assert_eq!(texts(modal_data(&told)), [("who", "Robin"), ("story", "He ran away"), ("more", "")]);
        let hidden = InteractionResponseData { flags: Some(MessageFlags::EPHEMERAL), ..InteractionResponseData::default() };
        self.respond(&told, &response(Kind::DeferredChannelMessageWithSource, hidden)).await;
        let file = |name: &str| [Attachment::from_bytes(name.to_owned(), name.as_bytes().to_vec(), 0)];
        let (kept, copy) = (file("kept.txt"), file("copy.txt"));
        let kept = model!(self.answers().update_response(&told.token).content(Some("noted")).attachments(&kept));
        let more = self.answers();
        let more = more.create_followup(&told.token).content("a copy").attachments(&copy).flags(MessageFlags::EPHEMERAL);
        let copy = model!(more);
        for (message, name) in [(kept, "kept.txt"), (copy, "copy.txt")] {
            assert_eq!((message.attachments[0].filename.as_str(), message.flags), (name, Some(MessageFlags::EPHEMERAL)));
            let bytes = self.world.rest.download(&message.attachments[0].url).await.expect("the file's address works");
            assert_eq!(bytes, name.as_bytes());
        }
        self.ann.see("MESSAGE_CREATE", "a copy").await;
    }

    async fn takes_its_time_and_whispers(&mut self) {
        self.ann.run("slow", json!({})).await;
        let told = self.told(InteractionType::ApplicationCommand).await;
        let promised =
            self.respond(&told, &InteractionResponse { kind: Kind::DeferredChannelMessageWithSource, data: None }).await;
        let promised = promised.expect("a promise is a message");
        assert_eq!(promised.flags, Some(MessageFlags::LOADING));
        let kept = model!(self.answers().update_response(&told.token).content(Some("done at last")));
        assert_eq!((kept.id, kept.flags), (promised.id, Some(MessageFlags::empty())));
        let more = model!(self.answers().create_followup(&told.token).content("and more"));
        model!(self.answers().update_followup(&told.token, more.id).content(Some("and even more")));
        self.ann.see("MESSAGE_UPDATE", "and even more").await;
        assert_eq!(model!(self.answers().followup(&told.token, more.id)).content, "and even more");
        ok!(self.answers().delete_followup(&told.token, more.id));

        self.ann.run("secret", json!({})).await;
        let told = self.told(InteractionType::ApplicationCommand).await;
        let psst = InteractionResponseData { flags: Some(MessageFlags::EPHEMERAL), ..saying("psst") };
        let secret = self.respond(&told, &response(Kind::ChannelMessageWithSource, psst)).await.expect("a message");
        let rows = components(json!([row(button("hush"))]));
        model!(self.answers().update_response(&told.token).content(Some("psst!")).components(Some(&rows)));
        let shown = self.ann.see("MESSAGE_UPDATE", "psst!").await;
        let (pressed, _) = self.used(secret.id, &shown, "hush", None).await;
        let hushed = InteractionResponseData { components: Some(Vec::new()), ..saying("hushed") };
        self.respond(&pressed, &response(Kind::UpdateMessage, hushed)).await;
        self.ann.see("MESSAGE_UPDATE", "hushed").await;
        ok!(self.answers().delete_response(&told.token));
        self.ann.hear("MESSAGE_DELETE", |deleted| deleted["id"] == json!(secret.id)).await;
    }

    async fn answers_in_private(&mut self) {
        let dm = self.ann.turn_to_the_bot().await;
        self.ann.run("slow", json!({})).await;
        let told = self.told(InteractionType::ApplicationCommand).await;
        assert_eq!((told.is_dm(), told.context, told.guild_id), (true, Some(InteractionContextType::BotDm), None));
        assert_eq!(told.channel.as_ref().map(|channel| channel.id), Some(Id::new(dm.get())));
        self.respond(&told, &response(Kind::ChannelMessageWithSource, saying("just you and me"))).await;
        self.ann.see("MESSAGE_CREATE", "just you and me").await;
    }
}
