//! Application commands: what a bot offers, for everyone or in one guild. Its own bot and its owner decide.

pub mod definition;
pub mod options;

use super::access::Access;
use super::body::{Caller, Ids, Json as AnyJson, Query};
use super::error::{Refine, Result};
use super::form::{Errors, Form, Shape, read_with};
use super::rate_limit::{Identity, Limit};
use super::routes::{Routes, get};
use crate::app::App;
use crate::store::{Conflict, Scope, most_commands};
use crate::tally::Window;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use definition::Definition;
use guildhall_protocol::model::{Command, CommandKind};
use guildhall_protocol::{ApplicationId, CommandId, ErrorCode, GuildId, Snowflake, UserId};
use serde_json::{Value, json};
use std::time::Duration;

/// New commands of a scope, as documented.
const CREATES: Limit = Limit { requests: 200, per: Duration::from_secs(86_400) };
const CREATES_BUCKET: &str = "command-creates";

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/applications/{application_id}/commands",
            get(list_global, "Lists the application's commands for everyone.")
                .post(create_global, "Makes a command for everyone, or replaces the one of its name.")
                .put(replace_global, "Replaces all of the application's commands for everyone. The body is a list of commands."),
        )
        .route(
            "/applications/{application_id}/commands/{command_id}",
            get(read_global, "One command for everyone.")
                .patch(edit_global, "Changes a command for everyone.")
                .delete(delete_global, "Deletes a command for everyone."),
        )
        .route(
            "/applications/{application_id}/guilds/{guild_id}/commands",
            get(list_own, "Lists the application's commands of one guild.")
                .post(create_own, "Makes a command of one guild, or replaces the one of its name.")
                .put(replace_own, "Replaces all of the application's commands of one guild. The body is a list of commands."),
        )
        .route(
            "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}",
            get(read_own, "One command of one guild.")
                .patch(edit_own, "Changes a command of one guild.")
                .delete(delete_own, "Deletes a command of one guild."),
        )
        .route(
            "/applications/{application_id}/guilds/{guild_id}/commands/permissions",
            get(list_overrides, "Lists what a guild says of who may use the application's commands: nothing."),
        )
        .route(
            "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}/permissions",
            get(read_overrides, "What a guild says of who may use a command: nothing, so this answers 404 (code 10066)."),
        )
        .route(
            "/guilds/{guild_id}/application-command-index",
            get(index, "Lists the commands that you may use in a guild, with their applications."),
        )
}

type Application = Ids<ApplicationId>;
type InGuild = Ids<(ApplicationId, GuildId)>;
type OneGlobal = Ids<(ApplicationId, CommandId)>;
type OneOwn = Ids<(ApplicationId, GuildId, CommandId)>;

struct List {
    with_localizations: bool,
}

impl Shape for List {
    fn read(form: &Form) -> Self {
        Self { with_localizations: form.flag("with_localizations").value().unwrap_or(false) }
    }
}

/// The scope, if its commands are the caller's to see and change: the application's own bot, or its owner; and for a guild's
/// commands the bot must be there.
async fn own_scope(app: &App, caller: &Caller, application_id: ApplicationId, guild_id: Option<GuildId>) -> Result<Scope> {
    let bot = if caller.application_id == Some(application_id) {
        Some(caller.id())
    } else {
        let application = app.store().find_application(application_id).await?.ok_or(ErrorCode::UnknownApplication)?;
        if application.owner.id != caller.id() {
            return Err(ErrorCode::NotYourApplication.into());
        }
        application.bot.map(|bot| bot.id)
    };
    if let Some(guild) = guild_id {
        let is_there = |bot: UserId| app.hub().with_guild(guild, move |state| state.is_member(bot));
        let is_there = match bot {
            Some(bot) => is_there(bot).await.unwrap_or(false),
            None => false,
        };
        if !is_there {
            return Err(ErrorCode::MissingAccess.into());
        }
    }
    Ok(Scope { application_id, guild_id })
}

/// A command that the store is about to give its ids.
pub(super) fn new_command(scope: Scope, definition: Definition) -> Command {
    let mut command = Command {
        id: CommandId::default(),
        application_id: scope.application_id,
        version: Snowflake::default(),
        default_member_permissions: None,
        kind: definition.kind(),
        name: String::new(),
        name_localizations: None,
        description: String::new(),
        description_localizations: None,
        guild_id: scope.guild_id,
        dm_permission: None,
        contexts: None,
        integration_types: Vec::new(),
        options: Vec::new(),
        nsfw: false,
    };
    definition.apply(&mut command);
    command
}

/// Counts new commands towards the day's limit of the scope.
async fn count_creates(app: &App, scope: Scope, count: usize) -> Result<()> {
    // Bots have the application's id, so this is the application whoever calls.
    let who = Identity::User(UserId(scope.application_id.0));
    let major = scope.guild_id.map_or(0, GuildId::get);
    let windows = vec![Window { identity: who, bucket: CREATES_BUCKET, major, limit: CREATES }; count];
    let is_allowed = app.count(&windows).await.iter().all(|verdict| verdict.is_allowed);
    if is_allowed { Ok(()) } else { Err(ErrorCode::TooManyCommandCreates.into()) }
}

/// Takes the translations out: lists are read for what there is, and are long enough without.
fn without_localizations(value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        object.remove("name_localizations");
        object.remove("description_localizations");
        for key in ["options", "choices"] {
            object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().for_each(without_localizations);
        }
    }
}

async fn list(app: App, caller: Caller, application: ApplicationId, guild: Option<GuildId>, query: List) -> Result<Json<Value>> {
    let scope = own_scope(&app, &caller, application, guild).await?;
    let mut commands = json!(app.store().commands(scope).await?);
    if !query.with_localizations {
        commands.as_array_mut().into_iter().flatten().for_each(without_localizations);
    }
    Ok(Json(commands))
}

async fn create(
    app: App,
    caller: Caller,
    application: ApplicationId,
    guild: Option<GuildId>,
    body: Value,
) -> Result<(StatusCode, Json<Command>)> {
    let scope = own_scope(&app, &caller, application, guild).await?;
    let definition = read_with(&body, |form| Definition::read(form, None))?;
    let known = app.store().commands(scope).await?;
    let is_known = known.iter().any(|known| known.kind == definition.kind() && known.name == definition.name());
    if !is_known {
        count_creates(&app, scope, 1).await?;
    }
    let put = app.store().put_command(new_command(scope, definition)).await;
    let meanings = [(Conflict::Full, ErrorCode::TooManyCommands)];
    let (command, is_new) = put.refine(&meanings)?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(command)))
}

async fn replace(
    app: App,
    caller: Caller,
    application: ApplicationId,
    guild: Option<GuildId>,
    body: Value,
) -> Result<Json<Value>> {
    let scope = own_scope(&app, &caller, application, guild).await?;
    let commands = read_all(&body, scope)?;
    for kind in CommandKind::ALL {
        if commands.iter().filter(|command| command.kind == kind).count() > most_commands(kind) {
            return Err(ErrorCode::TooManyCommands.into());
        }
    }
    let known = app.store().commands(scope).await?;
    let is_known = |command: &Command| {
        known.iter().any(|known| known.kind == command.kind && (known.name == command.name || known.id == command.id))
    };
    count_creates(&app, scope, commands.iter().filter(|command| !is_known(command)).count()).await?;
    Ok(Json(json!(app.store().replace_commands(scope, commands).await?)))
}

/// The commands of a list; what is wrong is told by their place in it.
fn read_all(body: &Value, scope: Scope) -> Result<Vec<Command>> {
    let Some(list) = body.as_array() else {
        return Err(Errors::of("commands", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType.").into());
    };
    if list.len() > CommandKind::ALL.into_iter().map(most_commands).sum() {
        return Err(ErrorCode::TooManyCommands.into());
    }
    // An array is read like an object whose keys are the places: that is how its errors are told.
    let by_place: Value = list.iter().enumerate().map(|(place, value)| (place.to_string(), value.clone())).collect();
    let commands = read_with(&by_place, |form| {
        let mut names = std::collections::HashSet::new();
        let read = |place: usize| {
            form.object(&place.to_string(), |form| {
                let definition = Definition::read(form, None);
                if !names.insert((definition.kind(), definition.name().to_owned())) {
                    form.refuse("name", "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique");
                }
                Command { id: form.id("id").value().unwrap_or_default(), ..new_command(scope, definition) }
            })
            .value()
        };
        (0..list.len()).filter_map(read).collect()
    })?;
    Ok(commands)
}

async fn find(app: &App, scope: Scope, id: CommandId) -> Result<Command> {
    let found = app.store().find_command(id).await?;
    let is_in_scope = |command: &Command| command.application_id == scope.application_id && command.guild_id == scope.guild_id;
    Ok(found.filter(is_in_scope).ok_or(ErrorCode::UnknownCommand)?)
}

async fn read(
    app: App,
    caller: Caller,
    application: ApplicationId,
    guild: Option<GuildId>,
    id: CommandId,
) -> Result<Json<Command>> {
    let scope = own_scope(&app, &caller, application, guild).await?;
    Ok(Json(find(&app, scope, id).await?))
}

async fn edit(
    app: App,
    caller: Caller,
    application: ApplicationId,
    guild: Option<GuildId>,
    id: CommandId,
    body: Value,
) -> Result<Json<Command>> {
    let scope = own_scope(&app, &caller, application, guild).await?;
    let mut command = find(&app, scope, id).await?;
    // What is not sent stays; together it must make a command again.
    let mut whole = json!(command);
    let Some(changes) = body.as_object() else {
        read_with(&body, |form| form.has(""))?;
        return Ok(Json(command));
    };
    for (key, value) in changes {
        whole[key] = value.clone();
    }
    if changes.contains_key("dm_permission") && !changes.contains_key("contexts") {
        whole["contexts"] = Value::Null;
    }
    let definition = read_with(&whole, |form| Definition::read(form, Some(command.kind)))?;
    definition.apply(&mut command);
    Ok(Json(app.store().change_command(command).await.refine(&[(Conflict::Missing, ErrorCode::UnknownCommand)])?))
}

async fn delete(
    app: App,
    caller: Caller,
    application: ApplicationId,
    guild: Option<GuildId>,
    id: CommandId,
) -> Result<StatusCode> {
    let scope = own_scope(&app, &caller, application, guild).await?;
    find(&app, scope, id).await?;
    app.store().delete_command(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_global(
    State(app): State<App>,
    caller: Caller,
    Ids(of): Application,
    Query(query): Query<List>,
) -> Result<Json<Value>> {
    list(app, caller, of, None, query).await
}

async fn list_own(
    State(app): State<App>,
    caller: Caller,
    Ids((of, guild)): InGuild,
    Query(query): Query<List>,
) -> Result<Json<Value>> {
    list(app, caller, of, Some(guild), query).await
}

async fn create_global(
    State(app): State<App>,
    caller: Caller,
    Ids(of): Application,
    AnyJson(body): AnyJson,
) -> Result<(StatusCode, Json<Command>)> {
    create(app, caller, of, None, body).await
}

async fn create_own(
    State(app): State<App>,
    caller: Caller,
    Ids((of, guild)): InGuild,
    AnyJson(body): AnyJson,
) -> Result<(StatusCode, Json<Command>)> {
    create(app, caller, of, Some(guild), body).await
}

async fn replace_global(
    State(app): State<App>,
    caller: Caller,
    Ids(of): Application,
    AnyJson(body): AnyJson,
) -> Result<Json<Value>> {
    replace(app, caller, of, None, body).await
}

async fn replace_own(
    State(app): State<App>,
    caller: Caller,
    Ids((of, guild)): InGuild,
    AnyJson(body): AnyJson,
) -> Result<Json<Value>> {
    replace(app, caller, of, Some(guild), body).await
}

async fn read_global(State(app): State<App>, caller: Caller, Ids((of, id)): OneGlobal) -> Result<Json<Command>> {
    read(app, caller, of, None, id).await
}

async fn read_own(State(app): State<App>, caller: Caller, Ids((of, guild, id)): OneOwn) -> Result<Json<Command>> {
    read(app, caller, of, Some(guild), id).await
}

async fn edit_global(
    State(app): State<App>,
    caller: Caller,
    Ids((of, id)): OneGlobal,
    AnyJson(body): AnyJson,
) -> Result<Json<Command>> {
    edit(app, caller, of, None, id, body).await
}

async fn edit_own(
    State(app): State<App>,
    caller: Caller,
    Ids((of, guild, id)): OneOwn,
    AnyJson(body): AnyJson,
) -> Result<Json<Command>> {
    edit(app, caller, of, Some(guild), id, body).await
}

async fn delete_global(State(app): State<App>, caller: Caller, Ids((of, id)): OneGlobal) -> Result<StatusCode> {
    delete(app, caller, of, None, id).await
}

async fn delete_own(State(app): State<App>, caller: Caller, Ids((of, guild, id)): OneOwn) -> Result<StatusCode> {
    delete(app, caller, of, Some(guild), id).await
}

/// Who may use a command is decided by its `default_member_permissions` alone. A guild cannot say otherwise here, and bots that
/// ask are told what they are told of a guild that never did.
async fn list_overrides(State(app): State<App>, caller: Caller, Ids((of, guild)): InGuild) -> Result<Json<Value>> {
    own_scope(&app, &caller, of, Some(guild)).await?;
    Ok(Json(json!([])))
}

/// The id may be the application's, too: for what holds for all of its commands.
async fn read_overrides(State(app): State<App>, caller: Caller, Ids((of, guild, id)): OneOwn) -> Result<Json<Value>> {
    let own = own_scope(&app, &caller, of, Some(guild)).await?;
    let is_known = id.0 == of.0
        || app.store().find_command(id).await?.is_some_and(|command| {
            command.application_id == of && command.guild_id.is_none_or(|of_guild| Some(of_guild) == own.guild_id)
        });
    Err(if is_known { ErrorCode::UnknownCommandPermissions } else { ErrorCode::UnknownCommand }.into())
}

/// What a member's client offers when they type `/`: every command of the guild's bots. Whether the member may use one is
/// asked when they do.
async fn index(State(app): State<App>, caller: Caller, Ids(guild): Ids<GuildId>) -> Result<Json<Value>> {
    app.in_guild(&caller, guild, |_: Access| Ok(())).await?;
    let index = app.store().command_index(guild).await?;
    let version = index.commands.iter().map(|command| command.version).max().unwrap_or_default();
    let applications: Vec<Value> = index
        .applications
        .iter()
        .map(|application| {
            json!({
                "id": application.id,
                "name": application.name,
                "description": application.description,
                "icon": application.icon,
                "flags": application.flags,
                "bot": application.bot,
                "bot_id": application.bot.as_ref().map(|bot| bot.id),
            })
        })
        .collect();
    Ok(Json(json!({ "applications": applications, "application_commands": index.commands, "version": version })))
}
