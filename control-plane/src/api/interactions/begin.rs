//! `POST /interactions`: what a user's client sends when its user uses something of an application.

use super::resolved::{Resolved, Wanted};
use super::values::Picked;
use super::{EPHEMERAL, choices, modal, values};
use crate::api::access::{Access, TextAccess, Venue};
use crate::api::body::{Caller, Person};
use crate::api::components;
use crate::api::error::{ApiError, Result};
use crate::api::form::{Errors, Form, Shape, read_with};
use crate::api::messages::attachments::{Listed, Uploads};
use crate::api::parcel::Parcel;
use crate::app::App;
use crate::store::{ANSWER_MS, Context, Interaction, InteractionKind};
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::{Application, Command, CommandKind, Message, User};
use guildhall_protocol::{
    ApplicationId, ChannelId, CommandId, ErrorCode, GuildId, InteractionId, MessageId, Permissions, Snowflake, UserId,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Interactions of the whole server that wait for their first answer: each for three seconds at most, so this is over a
/// thousand a second. Beyond it users are told to try again.
const PENDING: usize = 4096;
static WAITING: Semaphore = Semaphore::const_new(PENDING);
/// The answer is taken up to the deadline; this much later nothing that arrived by then is still on its way to the store.
const GRACE: Duration = Duration::from_millis(200);
/// The size of a file that its answer may carry.
const ATTACHMENT_BYTES: u64 = 10 * 1024 * 1024;
const NONCE_CHARACTERS: usize = 25;
const LOCALE: &str = "en-US";
/// A menu command's types of message, in Discord's numbers.
const CHAT_INPUT_MESSAGE: u8 = 20;
const CONTEXT_MENU_MESSAGE: u8 = 23;
const PLAIN_MESSAGE: u8 = 0;

/// The body, but for what its kind decides.
pub struct Begin {
    kind: InteractionKind,
    application_id: ApplicationId,
    guild_id: Option<GuildId>,
    channel_id: ChannelId,
    message_id: Option<MessageId>,
    is_ephemeral: bool,
    nonce: Option<String>,
    data: Value,
}

impl Shape for Begin {
    fn read(form: &Form) -> Self {
        let kind = form.required("type", form.choice("type", &[2, 3, 4, 5]));
        Self {
            kind: InteractionKind::from_number(kind).unwrap_or(InteractionKind::Command),
            application_id: form.required("application_id", form.id("application_id")),
            guild_id: form.id("guild_id").value(),
            channel_id: form.required("channel_id", form.id("channel_id")),
            message_id: form.id("message_id").value(),
            is_ephemeral: form
                .integer("message_flags", 0..=i64::MAX)
                .value()
                .is_some_and(|flags| flags & i64::from(EPHEMERAL) != 0),
            nonce: form.text("nonce", 0..=NONCE_CHARACTERS).value(),
            data: {
                form.required("data", form.object("data", |_| Some(())));
                form.raw("data").cloned().unwrap_or_default()
            },
        }
    }
}

/// The context of an interaction, in Discord's numbers: in a guild, or in the application's own DM with the user.
const IN_GUILD: u8 = 0;
const IN_BOT_DM: u8 = 1;

/// What the bot is told of where it happens.
struct Place {
    /// `None`: the application's DM.
    guild: Option<InGuild>,
    channel: Value,
    /// The channel that a thread is in.
    parent_id: Option<ChannelId>,
    app_permissions: Permissions,
}

struct InGuild {
    id: GuildId,
    guild: Value,
    member: Value,
}

/// What the user did, checked as far as it can be without the guild.
struct Deed {
    data: Value,
    command: Option<Command>,
    message: Option<Message>,
    message_kind: u8,
    metadata: Value,
    source: Option<(MessageId, bool)>,
    wanted: Vec<(Wanted, Snowflake)>,
}

fn wrong(field: &str, code: &str, message: &str) -> ApiError {
    Errors::at(&["data", field], code, message).into()
}

/// Reads `data`, with its place in the errors.
fn read_data<T>(data: &Value, read: impl FnOnce(&Form) -> T) -> Result<T> {
    let whole = json!({ "data": data });
    let read = read_with(&whole, |form| form.object("data", read).value())?;
    read.ok_or_else(|| Errors::of("data", "BASE_TYPE_REQUIRED", "This field is required").into())
}

pub async fn begin(State(app): State<App>, Person(caller): Person, parcel: Parcel<Begin>) -> Result<StatusCode> {
    let (begin, mut uploads) = parcel.open_in_named_channel(&app, &caller).await?;
    // Whoever may not see the channel is told so before anything else.
    let guild_id = app.in_text_channel(&caller, begin.channel_id, |access| Ok(access.guild_id())).await?;
    if begin.guild_id.is_some() && begin.guild_id != guild_id {
        return Err(ErrorCode::UnknownChannel.into());
    }
    let application = app.store().find_application(begin.application_id).await?.ok_or(ErrorCode::UnknownApplication)?;
    let bot = application.bot.clone().ok_or(ErrorCode::UnknownApplication)?;
    let picked = Picked::among(uploads.files().iter().map(|file| (file.index, file.id.0)));
    let deed = match begin.kind {
        InteractionKind::Command | InteractionKind::Autocomplete => use_command(&app, &caller, &begin, guild_id, picked).await?,
        InteractionKind::Component => use_component(&app, &caller, &begin, &bot).await?,
        InteractionKind::Modal => submit_modal(&app, &caller, &begin, picked).await?,
    };
    let authorized = app.in_text_channel(&caller, begin.channel_id, |access| authorize(&access, &deed, &bot)).await?;
    let (place, mut resolved) = authorized;
    if place.guild.is_none() {
        app.require_reach(&caller, &bot).await?;
    }
    resolved.complete(&app).await?;
    if let Some(id) = resolved.unknown {
        return Err(wrong("resolved", "UNKNOWN_OBJECT", &format!("Nothing that you may see has the id {id}.")));
    }
    if deed.command.as_ref().is_some_and(|command| command.kind == CommandKind::Message)
        && let Some(message) = &deed.message
    {
        resolved.put("messages", message.id, json!(message));
    }
    resolve_files(&begin, &deed, &mut uploads, &mut resolved)?;
    let permit = WAITING.try_acquire().map_err(|_| ErrorCode::Unavailable)?;
    send(&app, &caller, begin, application, bot, place, deed, resolved, permit).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The files that were picked, with what is said of them. They stay for as long as one waits for a message.
fn resolve_files(begin: &Begin, deed: &Deed, uploads: &mut Uploads, resolved: &mut Resolved) -> Result<()> {
    if uploads.is_empty() {
        return Ok(());
    }
    let listed = read_data(&begin.data, |form| Listed::read(form).value().unwrap_or_default())?;
    for attachment in uploads.attachments(&listed) {
        if deed.wanted.contains(&(Wanted::File, attachment.id.0)) {
            resolved.put("attachments", attachment.id, json!(attachment));
        }
    }
    uploads.keep();
    Ok(())
}

/// The caller's right to do it here, what the bot is told of the place, and what it is told of whatever the user picked.
fn authorize(access: &TextAccess, deed: &Deed, bot: &User) -> Result<(Place, Resolved)> {
    let is_here = match &access.venue {
        Venue::Guild { guild, .. } | Venue::Thread { guild, .. } => guild.state.is_member(bot.id),
        Venue::Private { channel } => channel.partner_of(access.user).is_some_and(|partner| partner.id == bot.id),
    };
    if !is_here {
        return Err(ErrorCode::UnknownApplication.into());
    }
    if access.is_timed_out() {
        return Err(ErrorCode::MissingPermissions.into());
    }
    access.require_unlocked()?;
    if let Some(command) = &deed.command {
        access.require(Permissions::USE_APPLICATION_COMMANDS)?;
        let is_nsfw = match &access.venue {
            Venue::Guild { channel, .. } => channel.nsfw,
            Venue::Thread { guild, thread } => guild.state.channel(thread.parent_id).is_some_and(|parent| parent.nsfw),
            // Nobody has said here that they are old enough.
            Venue::Private { .. } => false,
        };
        if command.nsfw && !is_nsfw {
            return Err(ErrorCode::MissingPermissions.into());
        }
    }
    if let (Some(command), Some(_)) = (&deed.command, access.guild()) {
        let needed = command.default_member_permissions.map(|needed| match needed {
            // Nothing in particular means: administrators only.
            Permissions::NONE => Permissions::ADMINISTRATOR,
            needed => needed,
        });
        access.require(needed.unwrap_or(Permissions::NONE))?;
    }
    let resolved = match access.guild() {
        Some(guild) => Resolved::find(&deed.wanted, guild, access.channel_id),
        None => Resolved::find_people(&deed.wanted),
    };
    Ok((Place::of(access, bot), resolved))
}

impl Place {
    fn of(access: &TextAccess, bot: &User) -> Self {
        let in_guild = |guild: &Access| {
            let held = guild.state.guild();
            let mut member = json!(guild.member);
            member["permissions"] = json!(access.permissions);
            let features = json!({ "id": held.id, "locale": held.preferred_locale, "features": held.features });
            InGuild { id: held.id, guild: features, member }
        };
        let mut place = match &access.venue {
            Venue::Guild { guild, channel } => Self {
                guild: Some(in_guild(guild)),
                channel: json!(channel),
                parent_id: None,
                app_permissions: guild.state.channel_permissions(bot.id, channel.id, guild.now_ms),
            },
            Venue::Thread { guild, thread } => {
                let is_in_it = guild.state.thread(thread.id).is_some_and(|active| active.members.contains_key(&bot.id));
                Self {
                    guild: Some(in_guild(guild)),
                    channel: json!(thread),
                    parent_id: Some(thread.parent_id),
                    app_permissions: guild.state.thread_permissions(bot.id, thread, is_in_it, guild.now_ms),
                }
            }
            Venue::Private { channel } => Self {
                guild: None,
                channel: json!(channel.seen_by(bot.id)),
                parent_id: None,
                app_permissions: access.permissions,
            },
        };
        if place.guild.is_some()
            && let Some(channel) = place.channel.as_object_mut()
        {
            channel.insert("permissions".to_owned(), json!(access.permissions));
            channel.remove("permission_overwrites");
        }
        place
    }

    fn guild_id(&self) -> Option<GuildId> {
        self.guild.as_ref().map(|guild| guild.id)
    }
}

/// A command, or what its user has typed of it.
async fn use_command(app: &App, caller: &Caller, begin: &Begin, guild_id: Option<GuildId>, picked: Picked) -> Result<Deed> {
    let is_complete = begin.kind == InteractionKind::Command;
    let (id, version) = read_data(&begin.data, |form| {
        (form.required("id", form.id::<CommandId>("id")), form.id::<Snowflake>("version").value())
    })?;
    let found = app.store().find_command(id).await?;
    let is_here = |command: &Command| {
        command.application_id == begin.application_id && (command.guild_id.is_none() || command.guild_id == guild_id)
    };
    let command = found.filter(is_here).ok_or(ErrorCode::UnknownCommand)?;
    if !command.is_for(if guild_id.is_some() { IN_GUILD } else { IN_BOT_DM }) {
        return Err(ErrorCode::UnknownCommand.into());
    }
    if version.is_some_and(|version| version != command.version) {
        let message = "This command is outdated, please try again in a few minutes";
        return Err(wrong("version", "INTERACTION_APPLICATION_COMMAND_INVALID_VERSION", message));
    }
    let mut data = json!({ "id": command.id, "name": command.name, "type": command.kind });
    if let Some(guild) = command.guild_id {
        data["guild_id"] = json!(guild);
    }
    let mut deed = Deed {
        data,
        message: None,
        message_kind: CONTEXT_MENU_MESSAGE,
        metadata: json!({ "name": command.name, "command_type": command.kind }),
        source: None,
        wanted: Vec::new(),
        command: None,
    };
    match command.kind {
        CommandKind::ChatInput => {
            let options = read_data(&begin.data, |form| values::read(form, &command.options, is_complete, &picked))?;
            if !options.is_empty() {
                deed.data["options"] = options.into();
            }
            deed.wanted = picked.into_ids();
            deed.message_kind = CHAT_INPUT_MESSAGE;
        }
        CommandKind::User => {
            let target: UserId = read_data(&begin.data, |form| form.required("target_id", form.id("target_id")))?;
            let user = app.store().find_user(target).await?.ok_or(ErrorCode::UnknownUser)?;
            deed.data["target_id"] = json!(target);
            deed.metadata["target_user"] = json!(user);
            deed.wanted.push((Wanted::User, target.0));
        }
        CommandKind::Message => {
            let target: MessageId = read_data(&begin.data, |form| form.required("target_id", form.id("target_id")))?;
            deed.data["target_id"] = json!(target);
            deed.metadata["target_message_id"] = json!(target);
            deed.message = Some(read_message(app, caller, begin.channel_id, target).await?);
        }
    }
    deed.command = Some(command);
    Ok(deed)
}

/// A message of the channel, if the caller may read it.
async fn read_message(app: &App, caller: &Caller, channel: ChannelId, id: MessageId) -> Result<Message> {
    app.in_text_channel(caller, channel, |access| access.require(Permissions::READ_MESSAGE_HISTORY)).await?;
    Ok(app.store().find_message(channel, id).await?.ok_or(ErrorCode::UnknownMessage)?)
}

/// A button or a menu of one of the application's messages.
async fn use_component(app: &App, caller: &Caller, begin: &Begin, bot: &User) -> Result<Deed> {
    let id = begin.message_id.ok_or_else(|| Errors::of("message_id", "BASE_TYPE_REQUIRED", "This field is required"))?;
    let found = if begin.is_ephemeral {
        let found = app.store().find_ephemeral(caller.id(), id).await?;
        found.filter(|message| message.channel_id == begin.channel_id)
    } else {
        app.store().find_message(begin.channel_id, id).await?
    };
    let is_own = |message: &Message| {
        let is_written = message.author.id == bot.id && message.webhook_id.is_none();
        is_written || message.application_id == Some(begin.application_id)
    };
    let message = found.filter(is_own).ok_or(ErrorCode::UnknownMessage)?;
    let picked = Picked::default();
    let data = read_data(&begin.data, |form| {
        let custom_id = form.required("custom_id", form.secret("custom_id", 1..=100));
        let kind = form.required("component_type", form.integer("component_type", 1..=100));
        let component = components::find(&message.components, &custom_id);
        let Some(component) = component.filter(|component| component["type"] == kind && component["disabled"] != true) else {
            form.refuse("custom_id", "COMPONENT_VALIDATION_FAILED", "Component validation failed");
            return Value::Null;
        };
        let mut data = json!({ "custom_id": custom_id, "component_type": kind, "id": component["id"] });
        if choices::is_menu(kind) {
            data["values"] = json!(choices::read(form, component, &picked));
        }
        data
    })?;
    Ok(Deed {
        data,
        command: None,
        message_kind: PLAIN_MESSAGE,
        metadata: json!({ "interacted_message_id": message.id }),
        source: Some((message.id, begin.is_ephemeral)),
        message: Some(message),
        wanted: picked.into_ids(),
    })
}

/// A modal that an answer of the application opened for this user.
async fn submit_modal(app: &App, caller: &Caller, begin: &Begin, picked: Picked) -> Result<Deed> {
    let id: InteractionId = read_data(&begin.data, |form| form.required("id", form.id("id")))?;
    let opened = app.store().find_interaction_by_id(id).await?;
    let is_own = |opened: &Interaction| {
        opened.user_id == caller.id()
            && opened.application_id == begin.application_id
            && opened.context.channel_id == begin.channel_id
    };
    let opened = opened.filter(is_own).ok_or(ErrorCode::UnknownInteraction)?;
    let shown = opened.context.modal.ok_or(ErrorCode::UnknownInteraction)?;
    let data = read_data(&begin.data, |form| {
        let custom_id = form.required("custom_id", form.secret("custom_id", 1..=100));
        if shown["custom_id"] != custom_id {
            form.refuse("custom_id", "MODAL_CUSTOM_ID_INVALID", "That is not the modal that was shown");
        }
        json!({ "custom_id": custom_id, "components": modal::read(form, &shown, &picked) })
    })?;
    let message = match opened.context.source {
        Some((id, true)) => app.store().find_ephemeral(caller.id(), id).await?,
        Some((id, false)) => app.store().find_message(begin.channel_id, id).await?,
        None => None,
    };
    Ok(Deed {
        data,
        command: None,
        message_kind: opened.context.message_kind,
        metadata: {
            let mut triggering = opened.context.metadata;
            triggering["id"] = json!(opened.id);
            json!({ "triggering_interaction_metadata": triggering })
        },
        // If the message is gone meanwhile, there is nothing left to update.
        source: opened.context.source.filter(|_| message.is_some()),
        message,
        wanted: picked.into_ids(),
    })
}

/// Begins the interaction, tells the bot, and waits in the background for its answer.
#[expect(clippy::too_many_arguments, reason = "the parts of the object that is sent, each made elsewhere")]
async fn send(
    app: &App,
    caller: &Caller,
    begin: Begin,
    application: Application,
    bot: User,
    place: Place,
    deed: Deed,
    resolved: Resolved,
    permit: SemaphorePermit<'static>,
) -> Result<()> {
    // An application is installed in a guild; in its own DM nobody has installed it, and the documented owner is 0.
    let guild_id = place.guild_id();
    let owners = json!({ "0": guild_id.unwrap_or_default() });
    let mut metadata = deed.metadata;
    metadata["type"] = begin.kind.number().into();
    metadata["user"] = json!(caller.user);
    metadata["authorizing_integration_owners"] = owners.clone();
    let deprecated = deed.command.as_ref().map(|command| json!({ "type": 2, "name": command.name, "user": caller.user }));
    let context = Context {
        kind: begin.kind,
        user: caller.user.clone(),
        guild_id,
        channel_id: begin.channel_id,
        parent_id: place.parent_id,
        bot: bot.clone(),
        app_permissions: place.app_permissions,
        nonce: begin.nonce,
        message_kind: deed.message_kind,
        metadata,
        deprecated,
        command_id: deed.command.as_ref().map(|command| command.id),
        source: deed.source,
        modal: None,
    };
    let (interaction, token) = app.store().begin_interaction(begin.application_id, context).await?;
    let mut data = deed.data;
    if let Some(resolved) = resolved.into_value() {
        data["resolved"] = resolved;
    }
    let mut object = json!({
        "id": interaction.id,
        "application_id": application.id,
        "type": begin.kind.number(),
        "data": data,
        "channel": place.channel,
        "channel_id": begin.channel_id,
        "token": token,
        "version": 1,
        "app_permissions": place.app_permissions,
        "locale": LOCALE,
        "entitlements": [],
        "entitlement_sku_ids": [],
        "authorizing_integration_owners": owners,
        "context": if guild_id.is_some() { IN_GUILD } else { IN_BOT_DM },
        "attachment_size_limit": ATTACHMENT_BYTES,
    });
    match place.guild {
        Some(InGuild { id, guild, member }) => {
            object["guild_id"] = json!(id);
            object["guild_locale"] = guild["locale"].clone();
            object["guild"] = guild;
            object["member"] = member;
        }
        None => object["user"] = json!(caller.user),
    }
    // A menu's target is among what is resolved; this is the message that a component is part of.
    if let Some(message) = deed.message.filter(|_| deed.command.is_none()) {
        object["message"] = json!(message);
    }
    app.tell_outcome(&interaction, "INTERACTION_CREATE");
    let is_heard = app.hub().tell_account(bot.id, guild_id, "INTERACTION_CREATE", &object);
    let patience = if is_heard { Duration::from_millis(ANSWER_MS) + GRACE } else { Duration::ZERO };
    let app = app.clone();
    tokio::spawn(async move {
        let _permit = permit;
        tokio::time::sleep(patience).await;
        match app.store().give_up_interaction(interaction.id).await {
            Ok(true) => app.tell_outcome(&interaction, "INTERACTION_FAILURE"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "an interaction without an answer cannot be given up"),
        }
    });
    Ok(())
}
