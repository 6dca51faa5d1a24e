//! The caller itself, other users, and the guilds that the caller is in.

use super::accounts::{PASSWORD, email, username};
use super::body::{Body, Caller, Ids, Query};
use super::device::From;
use super::error::Result;
use super::form::{Errors, Form, Patch, Shape};
use super::pictures::{self, PICTURE_BODY_BYTES, PICTURE_BYTES, Picture};
use super::rate_limit::{Identity, RENAMES, RENAMES_BUCKET};
use super::routes::{Routes, delete, get};
use crate::app::App;
use crate::store::{Left, Secrets};
use crate::tally::Window;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::{CurrentUser, Member, User};
use guildhall_protocol::{ErrorCode, GuildId, Permissions, UserId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

/// Guilds per page of `GET /users/@me/guilds`.
const GUILDS: i64 = 200;

pub fn routes() -> Routes {
    Routes::new()
        .route("/users/@me", get(me, "Who you are.").patch(edit_me, "Changes your account."))
        .route("/users/{user_id}", get(user, "One user."))
        .route("/users/@me/guilds", get(my_guilds, "Lists the guilds that you are a member of."))
        .route("/users/@me/guilds/{guild_id}", delete(leave, "Leaves a guild."))
        .route("/users/@me/guilds/{guild_id}/member", get(my_member, "Your own membership of a guild."))
}

async fn me(caller: Caller) -> Json<CurrentUser> {
    Json(CurrentUser::new(caller.user.clone(), caller.email.clone()))
}

struct EditMe {
    username: Option<String>,
    global_name: Patch<String>,
    email: Patch<String>,
    avatar: Patch<Picture>,
    password: Option<String>,
    new_password: Option<String>,
}

impl Shape for EditMe {
    const BODY_BYTES: usize = PICTURE_BODY_BYTES;

    fn read(form: &Form) -> Self {
        Self {
            username: username(form).value(),
            global_name: form.text("global_name", 1..=32),
            email: email(form),
            avatar: pictures::read(form, "avatar", PICTURE_BYTES),
            password: form.secret("password", 1..=*PASSWORD.end()).value(),
            new_password: form.secret("new_password", PASSWORD).value(),
        }
    }
}

async fn edit_me(State(app): State<App>, caller: Caller, From(device): From, Body(edit): Body<EditMe>) -> Result<Json<Value>> {
    let mut user = caller.user.clone();
    let is_renamed = edit.username.as_ref().is_some_and(|name| *name != user.username);
    if let Some(name) = edit.username {
        user.username = name;
    }
    if let Some(name) = edit.global_name.change() {
        user.global_name = name;
    }
    let email = edit.email.change().filter(|email| *email != caller.email);
    // Bots have neither password nor address, and no more than their token to prove who they are.
    if caller.is_bot() && (email.is_some() || edit.new_password.is_some()) {
        return Err(ErrorCode::PeopleOnly.into());
    }
    // The password is proved before anything changes, so that a refused request changes nothing.
    if !caller.is_bot() && (is_renamed || email.is_some() || edit.new_password.is_some()) {
        app.require_password(&caller, edit.password).await?;
    }
    if is_renamed {
        app.count_rename(&caller).await?;
    }
    let password = match edit.new_password {
        Some(new_password) => Some((app.passwords().hash(new_password).await?, device)),
        None => None,
    };
    match edit.avatar {
        Patch::Set(picture) => user.avatar = Some(app.keep_picture("avatars", user.id, picture).await?),
        Patch::Null => user.avatar = None,
        Patch::Absent => {}
    }
    let address = email.clone().unwrap_or_else(|| caller.email.clone()).map(|address| address.to_lowercase());
    let mut answer = json!(CurrentUser::new(user.clone(), address));
    if let Some(token) = app.store().change_account(user, Secrets { email, password }).await? {
        answer["token"] = token.into();
    }
    Ok(Json(answer))
}

impl App {
    /// Names are how people know each other: they do not change all day.
    async fn count_rename(&self, caller: &Caller) -> Result<()> {
        let window = Window { identity: Identity::User(caller.id()), bucket: RENAMES_BUCKET, major: 0, limit: RENAMES };
        let is_allowed = self.count(&[window]).await.iter().all(|verdict| verdict.is_allowed);
        if is_allowed || !self.config().rate_limits {
            return Ok(());
        }
        let message = "You are changing your username too fast. Try again later.";
        Err(Errors::of("username", "USERNAME_RATE_LIMIT", message).into())
    }
}

async fn user(State(app): State<App>, _: Caller, Ids(id): Ids<UserId>) -> Result<Json<User>> {
    Ok(Json(app.store().find_user(id).await?.ok_or(ErrorCode::UnknownUser)?))
}

struct Page {
    before: Option<GuildId>,
    after: Option<GuildId>,
    limit: i64,
    with_counts: bool,
}

impl Shape for Page {
    fn read(form: &Form) -> Self {
        Self {
            before: form.id("before").value(),
            after: form.id("after").value(),
            limit: form.integer("limit", 1..=GUILDS).value().unwrap_or(GUILDS),
            with_counts: form.flag("with_counts").value().unwrap_or(false),
        }
    }
}

/// A guild as a list shows it.
#[derive(Serialize, JsonSchema)]
struct PartialGuild {
    id: GuildId,
    name: String,
    icon: Option<String>,
    banner: Option<String>,
    owner: bool,
    permissions: Permissions,
    features: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approximate_member_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approximate_presence_count: Option<usize>,
}

async fn my_guilds(State(app): State<App>, caller: Caller, Query(page): Query<Page>) -> Result<Json<Vec<PartialGuild>>> {
    let mut ids = app.store().guild_ids_of(caller.id()).await?;
    ids.retain(|id| page.before.is_none_or(|before| *id < before) && page.after.is_none_or(|after| *id > after));
    // `before` alone asks for the page that ends there.
    let limit = page.limit as usize;
    let skipped = if page.before.is_some() && page.after.is_none() { ids.len().saturating_sub(limit) } else { 0 };
    let mut guilds = Vec::new();
    for id in ids.into_iter().skip(skipped).take(limit) {
        let found = app.in_guild(&caller, id, |access| {
            let guild = access.state.guild();
            Ok(PartialGuild {
                id,
                name: guild.name.clone(),
                icon: guild.icon.clone(),
                banner: guild.banner.clone(),
                owner: access.is_owner(),
                permissions: access.permissions(),
                features: guild.features.clone(),
                approximate_member_count: page.with_counts.then(|| access.state.member_count()),
                approximate_presence_count: None,
            })
        });
        // A guild that was left or deleted since the list was read is not listed.
        let Ok(mut guild) = found.await else { continue };
        if page.with_counts {
            guild.approximate_presence_count = Some(app.hub().online_count(id).await);
        }
        guilds.push(guild);
    }
    Ok(Json(guilds))
}

async fn my_member(State(app): State<App>, caller: Caller, Ids(id): Ids<GuildId>) -> Result<Json<Member>> {
    Ok(Json(app.in_guild(&caller, id, |access| Ok(access.member.clone())).await?))
}

async fn leave(State(app): State<App>, caller: Caller, Ids(id): Ids<GuildId>) -> Result<StatusCode> {
    let is_owner = app.in_guild(&caller, id, |access| Ok(access.is_owner())).await.map_err(|_| ErrorCode::UnknownGuild)?;
    if is_owner {
        return Err(ErrorCode::OwnerCannotLeave.into());
    }
    app.store().remove_member(id, caller.id(), Left::Freely).await?;
    Ok(StatusCode::NO_CONTENT)
}
