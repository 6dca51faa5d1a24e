//! Applications, their bots, and letting a bot into a guild.

use super::body::{Body, Caller, Ids, Person, Query};
use super::error::{Refine, Result};
use super::form::{Form, Patch, Shape};
use super::pictures::{self, PICTURE_BODY_BYTES, PICTURE_BYTES, Picture};
use super::routes::{Routes, get, post};
use crate::app::App;
use crate::audit::By;
use crate::store::{Conflict, NewApplication};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::{Application, User};
use guildhall_protocol::permissions::may_change_role;
use guildhall_protocol::{ApplicationId, ErrorCode, GuildId, Permissions};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

/// The flags that say which privileged intents the bot may ask for: GUILD_PRESENCES, GUILD_MEMBERS and MESSAGE_CONTENT, each
/// in the form for bots in few guilds. All are on at first: on one's own server one's own bots are trusted; the owner of the
/// application may switch them off.
const INTENTS_OF_NEW: u64 = GATEWAY_PRESENCE_LIMITED | GATEWAY_GUILD_MEMBERS_LIMITED | GATEWAY_MESSAGE_CONTENT_LIMITED;
const GATEWAY_PRESENCE_LIMITED: u64 = 1 << 13;
const GATEWAY_GUILD_MEMBERS_LIMITED: u64 = 1 << 15;
const GATEWAY_MESSAGE_CONTENT_LIMITED: u64 = 1 << 19;
/// The limited flags and their full forms.
const SETTABLE_FLAGS: u64 = INTENTS_OF_NEW | INTENTS_OF_NEW >> 1;

pub fn routes() -> Routes {
    Routes::new()
        .route("/applications", get(list, "Lists your applications.").post(create, "Makes an application, which can have a bot."))
        .route(
            "/applications/{application_id}",
            get(read, "One of your applications.").patch(edit, "Changes one of your applications."),
        )
        .route(
            "/applications/@me",
            get(me, "The application that the bot belongs to. Bots only.")
                .patch(edit_me, "Changes the bot's own application. Bots only."),
        )
        .route(
            "/applications/{application_id}/bot",
            post(
                create_bot,
                "Makes the application's bot, or a new token in place of its old one. The token is shown this once.",
            ),
        )
        .route("/oauth2/applications/@me", get(me, "The application that the bot belongs to. Bots only."))
        .route("/oauth2/@me", get(authorization, "What the bot's token stands for. Bots only: people's tokens are no grants."))
        .route(
            "/oauth2/authorize",
            post(authorize, "Adds an application's bot to a guild, with a role of its own: MANAGE_GUILD."),
        )
}

async fn list(State(app): State<App>, Person(caller): Person) -> Result<Json<Vec<Application>>> {
    Ok(Json(app.store().applications_of(caller.id()).await?))
}

async fn me(State(app): State<App>, caller: Caller) -> Result<Json<Application>> {
    let id = caller.application_id.ok_or(ErrorCode::BotsOnly)?;
    Ok(Json(app.store().find_application(id).await?.ok_or(ErrorCode::UnknownApplication)?))
}

/// What a token was granted.
#[derive(Serialize, JsonSchema)]
struct Authorization {
    application: Application,
    scopes: [&'static str; 2],
    expires: &'static str,
    user: User,
}

/// A bot's token stays good until another one is made, and there is no later moment that can be written.
const NEVER: &str = "9999-12-31T23:59:59.000000+00:00";

async fn authorization(app: State<App>, caller: Caller) -> Result<Json<Authorization>> {
    let user = caller.user.clone();
    let Json(application) = me(app, caller).await?;
    Ok(Json(Authorization { application, scopes: ["bot", "applications.commands"], expires: NEVER, user }))
}

struct Create {
    name: String,
    description: String,
}

impl Shape for Create {
    fn read(form: &Form) -> Self {
        Self {
            name: form.required("name", form.text("name", 2..=32)),
            description: form.text("description", 0..=400).value().unwrap_or_default(),
        }
    }
}

async fn create(
    State(app): State<App>,
    Person(caller): Person,
    Body(new): Body<Create>,
) -> Result<(StatusCode, Json<Application>)> {
    let key = Ed25519KeyPair::generate().map_err(|_| ErrorCode::Internal)?;
    let pkcs8 = key.to_pkcs8v1().map_err(|_| ErrorCode::Internal)?;
    let new = NewApplication {
        id: app.store().make_id(),
        owner_id: caller.id(),
        name: new.name,
        description: new.description,
        verify_key: key.public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        signing_key: pkcs8.as_ref().to_vec(),
        flags: INTENTS_OF_NEW,
    };
    let application = app.store().create_application(new).await.refine(&[(Conflict::Full, ErrorCode::TooManyApplications)])?;
    Ok((StatusCode::CREATED, Json(application)))
}

/// The application, if it is the caller's, or the caller is its bot.
async fn owned(app: &App, caller: &Caller, id: ApplicationId) -> Result<Application> {
    let application = app.store().find_application(id).await?;
    let is_own = |application: &Application| application.owner.id == caller.id() || caller.application_id == Some(id);
    Ok(application.filter(is_own).ok_or(ErrorCode::UnknownApplication)?)
}

async fn read(State(app): State<App>, caller: Caller, Ids(id): Ids<ApplicationId>) -> Result<Json<Application>> {
    Ok(Json(owned(&app, &caller, id).await?))
}

struct Edit {
    name: Option<String>,
    icon: Patch<Picture>,
    description: Option<String>,
    flags: Option<u64>,
    bot_public: Option<bool>,
}

impl Shape for Edit {
    const BODY_BYTES: usize = PICTURE_BODY_BYTES;

    fn read(form: &Form) -> Self {
        if form.has_content("interactions_endpoint_url") {
            let message = "Interactions are sent over the gateway only.";
            form.refuse("interactions_endpoint_url", "UNSUPPORTED", message);
        }
        Self {
            name: form.text("name", 2..=32).value(),
            icon: pictures::read(form, "icon", PICTURE_BYTES),
            description: read_description(form),
            flags: form.integer("flags", 0..=i64::MAX).value().map(|flags| flags as u64 & SETTABLE_FLAGS),
            bot_public: form.flag("bot_public").value(),
        }
    }
}

/// A text, or one per locale of which the default is kept.
fn read_description(form: &Form) -> Option<String> {
    if form.raw("description").is_some_and(Value::is_object) {
        form.object("description", |form| form.required("default", form.text("default", 0..=400))).value()
    } else {
        form.text("description", 0..=400).value()
    }
}

async fn edit_me(State(app): State<App>, caller: Caller, body: Body<Edit>) -> Result<Json<Application>> {
    let id = caller.application_id.ok_or(ErrorCode::BotsOnly)?;
    edit(State(app), caller, Ids(id), body).await
}

async fn edit(
    State(app): State<App>,
    caller: Caller,
    Ids(id): Ids<ApplicationId>,
    Body(edit): Body<Edit>,
) -> Result<Json<Application>> {
    owned(&app, &caller, id).await?;
    let icon = match edit.icon {
        Patch::Set(picture) => Patch::Set(app.keep_picture("app-icons", id, picture).await?),
        Patch::Null => Patch::Null,
        Patch::Absent => Patch::Absent,
    };
    let change = move |application: &mut Application| {
        application.name = edit.name.unwrap_or(std::mem::take(&mut application.name));
        application.icon = icon.change().unwrap_or(application.icon.take());
        application.description = edit.description.unwrap_or(std::mem::take(&mut application.description));
        application.flags = edit.flags.unwrap_or(application.flags);
        application.bot_public = edit.bot_public.unwrap_or(application.bot_public);
    };
    Ok(Json(app.store().change_application(id, change).await.refine(&[(Conflict::Missing, ErrorCode::UnknownApplication)])?))
}

/// Makes the bot, or a new token in place of the old one, whose sessions end. The token is shown this once.
async fn create_bot(State(app): State<App>, Person(caller): Person, Ids(id): Ids<ApplicationId>) -> Result<Json<Value>> {
    owned(&app, &caller, id).await?;
    let (_, token) = app.store().create_bot(id).await.refine(&[(Conflict::Missing, ErrorCode::UnknownApplication)])?;
    Ok(Json(json!({ "token": token })))
}

struct Authorize {
    client_id: ApplicationId,
}

impl Shape for Authorize {
    fn read(form: &Form) -> Self {
        Self { client_id: form.required("client_id", form.id("client_id")) }
    }
}

struct Consent {
    guild_id: GuildId,
    permissions: Permissions,
    authorize: bool,
}

impl Shape for Consent {
    fn read(form: &Form) -> Self {
        Self {
            guild_id: form.required("guild_id", form.id("guild_id")),
            permissions: form.permissions("permissions").value().unwrap_or(Permissions::NONE),
            authorize: form.flag("authorize").value().unwrap_or(false),
        }
    }
}

/// Adds the application's bot to a guild, with a role of its own that holds the permissions.
async fn authorize(
    State(app): State<App>,
    Person(caller): Person,
    by: By,
    Query(Authorize { client_id }): Query<Authorize>,
    Body(consent): Body<Consent>,
) -> Result<Json<Value>> {
    let location = "/oauth2/authorized";
    if !consent.authorize {
        return Ok(Json(json!({ "location": "/oauth2/denied" })));
    }
    let application = app.store().find_application(client_id).await?.ok_or(ErrorCode::UnknownApplication)?;
    let bot = application.bot.ok_or(ErrorCode::UnknownApplication)?;
    if !application.bot_public && application.owner.id != caller.id() {
        return Err(ErrorCode::UnknownApplication.into());
    }
    app.in_guild(&caller, consent.guild_id, |access| {
        access.require(Permissions::MANAGE_GUILD)?;
        // Nobody gives a bot more than they hold.
        let held = access.permissions();
        if may_change_role(held, Permissions::NONE, consent.permissions) {
            Ok(())
        } else {
            Err(ErrorCode::MissingPermissions.into())
        }
    })
    .await?;
    let meanings = [(Conflict::Full, ErrorCode::TooManyGuilds), (Conflict::Missing, ErrorCode::UnknownGuild)];
    app.store().add_bot(by, consent.guild_id, bot, consent.permissions).await.refine(&meanings)?;
    Ok(Json(json!({ "location": location })))
}
