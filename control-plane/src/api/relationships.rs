//! Friends, requests and blocks of people.

use super::body::{Body, Ids, Person};
use super::error::{Refine, Result};
use super::form::{Form, Patch, Shape};
use super::routes::{Routes, get, put};
use crate::app::App;
use crate::store::{Asked, Conflict};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::Relationship;
use guildhall_protocol::{ErrorCode, UserId};

const MEANINGS: &[(Conflict, ErrorCode)] =
    &[(Conflict::Missing, ErrorCode::UnknownUser), (Conflict::Full, ErrorCode::TooManyFriends)];

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/users/@me/relationships",
            get(list, "Your friends, requests and blocks.").post(ask, "Asks someone by name to be friends."),
        )
        .route(
            "/users/@me/relationships/{user_id}",
            put(set, "Asks or agrees to be friends; with type 2 blocks.")
                .patch(rename, "Calls a friend by another name.")
                .delete(end, "Ends a friendship, a request or a block."),
        )
}

async fn list(State(app): State<App>, Person(caller): Person) -> Result<Json<Vec<Relationship>>> {
    Ok(Json(app.store().relationships_of(caller.id()).await?))
}

struct Ask {
    username: String,
}

impl Shape for Ask {
    fn read(form: &Form) -> Self {
        Self { username: form.required("username", form.text("username", 1..=32)) }
    }
}

/// A request to whoever has this name.
async fn ask(State(app): State<App>, Person(caller): Person, Body(ask): Body<Ask>) -> Result<StatusCode> {
    let target = app.store().find_person(&ask.username).await?.ok_or(ErrorCode::NobodyOfThatName)?;
    befriend(&app, caller.id(), target.id).await
}

async fn befriend(app: &App, user: UserId, target: UserId) -> Result<StatusCode> {
    if user == target {
        return Err(ErrorCode::NoFriendOfOneself.into());
    }
    if app.store().find_user(target).await?.ok_or(ErrorCode::UnknownUser)?.bot {
        return Err(ErrorCode::BotsHaveNoFriends.into());
    }
    match app.store().befriend(user, target).await.refine(MEANINGS)? {
        Asked::Done => Ok(StatusCode::NO_CONTENT),
        Asked::AlreadyFriends => Err(ErrorCode::AlreadyFriends.into()),
        Asked::Blocked => Err(ErrorCode::FriendRequestRefused.into()),
    }
}

struct Set {
    is_block: bool,
}

impl Shape for Set {
    fn read(form: &Form) -> Self {
        // -1 is how clients say "whatever fits": ask or accept.
        Self { is_block: form.choice("type", &[-1, 1, 2, 3, 4]).value() == Some(2) }
    }
}

/// Asks or accepts; with type 2 blocks.
async fn set(
    State(app): State<App>,
    Person(caller): Person,
    Ids(target): Ids<UserId>,
    Body(Set { is_block }): Body<Set>,
) -> Result<StatusCode> {
    if !is_block {
        return befriend(&app, caller.id(), target).await;
    }
    if target == caller.id() {
        return Err(ErrorCode::NoFriendOfOneself.into());
    }
    app.store().block(caller.id(), target).await.refine(MEANINGS)?;
    Ok(StatusCode::NO_CONTENT)
}

struct Rename {
    nickname: Patch<String>,
}

impl Shape for Rename {
    fn read(form: &Form) -> Self {
        Self { nickname: form.text("nickname", 0..=32) }
    }
}

async fn rename(
    State(app): State<App>,
    Person(caller): Person,
    Ids(target): Ids<UserId>,
    Body(Rename { nickname }): Body<Rename>,
) -> Result<StatusCode> {
    if let Some(nickname) = nickname.change() {
        let nickname = nickname.filter(|name| !name.is_empty());
        app.store().name_friend(caller.id(), target, nickname).await.refine(MEANINGS)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn end(State(app): State<App>, Person(caller): Person, Ids(target): Ids<UserId>) -> Result<StatusCode> {
    app.store().end_relationship(caller.id(), target).await.refine(MEANINGS)?;
    Ok(StatusCode::NO_CONTENT)
}
