//! What people say about themselves, and what they note about each other.

use super::body::{Body, Ids, Person};
use super::error::{Refine, Result};
use super::form::{Form, Patch, Shape};
use super::routes::{Routes, get, patch};
use crate::app::App;
use crate::store::{Conflict, MutualGuild, Profile};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::User;
use guildhall_protocol::{ErrorCode, UserId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

pub fn routes() -> Routes {
    Routes::new()
        .route("/users/{user_id}/profile", get(read, "The profile of a friend, or of someone who shares a guild with you."))
        .route("/users/@me/profile", patch(edit, "Changes what you say about yourself."))
        .route(
            "/users/@me/notes/{user_id}",
            get(note, "What you noted about someone.").put(set_note, "Notes something about someone, for your eyes only."),
        )
}

/// As much as there is to say of someone on this server; what it does not have is empty, as clients expect.
#[derive(Serialize, JsonSchema)]
struct Shown {
    user: User,
    user_profile: Profile,
    mutual_guilds: Vec<MutualGuild>,
    mutual_friends_count: u64,
    connected_accounts: Vec<Value>,
    badges: Vec<Value>,
    guild_badges: Vec<Value>,
    premium_type: u8,
    premium_since: Option<String>,
    premium_guild_since: Option<String>,
    legacy_username: Option<String>,
}

async fn read(State(app): State<App>, Person(caller): Person, Ids(id): Ids<UserId>) -> Result<Json<Shown>> {
    let user = app.store().find_user(id).await?.ok_or(ErrorCode::UnknownUser)?;
    let common = app.store().in_common(caller.id(), id).await?;
    if id != caller.id() && common.guilds.is_empty() && !common.are_friends {
        return Err(ErrorCode::MissingAccess.into());
    }
    Ok(Json(Shown {
        user_profile: app.store().profile_of(id).await?,
        mutual_guilds: common.guilds,
        mutual_friends_count: common.friends,
        user,
        connected_accounts: Vec::new(),
        badges: Vec::new(),
        guild_badges: Vec::new(),
        premium_type: 0,
        premium_since: None,
        premium_guild_since: None,
        legacy_username: None,
    }))
}

struct Edit {
    bio: Patch<String>,
    pronouns: Patch<String>,
    accent_color: Patch<i64>,
}

impl Shape for Edit {
    fn read(form: &Form) -> Self {
        Self {
            bio: form.text("bio", 0..=190),
            pronouns: form.text("pronouns", 0..=40),
            accent_color: form.integer("accent_color", 0..=0xff_ffff),
        }
    }
}

async fn edit(State(app): State<App>, Person(caller): Person, Body(edit): Body<Edit>) -> Result<Json<Profile>> {
    let mut profile = app.store().profile_of(caller.id()).await?;
    if let Some(bio) = edit.bio.change() {
        profile.bio = bio.unwrap_or_default();
    }
    if let Some(pronouns) = edit.pronouns.change() {
        profile.pronouns = pronouns.unwrap_or_default();
    }
    if let Some(color) = edit.accent_color.change() {
        profile.accent_color = color.map(|color| color as u32);
    }
    app.store().set_profile(caller.id(), profile.clone()).await?;
    Ok(Json(profile))
}

async fn note(State(app): State<App>, Person(caller): Person, Ids(target): Ids<UserId>) -> Result<Json<Value>> {
    let note = app.store().note_of(caller.id(), target).await?.ok_or(ErrorCode::UnknownUser)?;
    Ok(Json(json!({ "note": note, "note_user_id": target, "user_id": caller.id() })))
}

struct Note {
    note: String,
}

impl Shape for Note {
    fn read(form: &Form) -> Self {
        Self { note: form.text("note", 0..=256).value().unwrap_or_default() }
    }
}

async fn set_note(
    State(app): State<App>,
    Person(caller): Person,
    Ids(target): Ids<UserId>,
    Body(Note { note }): Body<Note>,
) -> Result<StatusCode> {
    app.store().find_user(target).await?.ok_or(ErrorCode::UnknownUser)?;
    app.store().set_note(caller.id(), target, note).await.refine(&[(Conflict::Full, ErrorCode::RequestTooLarge)])?;
    Ok(StatusCode::NO_CONTENT)
}
