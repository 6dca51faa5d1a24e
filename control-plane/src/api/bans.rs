//! Bans.

use super::body::{Body, Caller, Ids, Query};
use super::error::{Refine, Result};
use super::form::{Form, Shape};
use super::routes::{Routes, get, post};
use crate::app::App;
use crate::audit::By;
use crate::store::{Ban, Conflict, Left};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::join_all;
use guildhall_protocol::{ErrorCode, GuildId, Permissions, UserId};
use schemars::JsonSchema;
use serde::Serialize;

/// How far back a ban may delete messages: seven days.
const DELETE_SECONDS: i64 = 604_800;
/// Users per bulk ban.
const BULK: usize = 200;

pub fn routes() -> Routes {
    Routes::new()
        .route("/guilds/{guild_id}/bans", get(list, "Lists bans, by the id of the banned: BAN_MEMBERS."))
        .route(
            "/guilds/{guild_id}/bans/{user_id}",
            get(read, "One ban: BAN_MEMBERS.")
                .put(create, "Bans somebody, member or not, and deletes their latest messages if asked to: BAN_MEMBERS.")
                .delete(lift, "Lifts a ban: BAN_MEMBERS."),
        )
        .route(
            "/guilds/{guild_id}/bulk-ban",
            post(create_many, "Bans up to 200 users and says which it could not: BAN_MEMBERS and MANAGE_GUILD."),
        )
}

struct Page {
    after: UserId,
    limit: u32,
}

impl Shape for Page {
    fn read(form: &Form) -> Self {
        Self {
            after: form.id("after").value().unwrap_or_default(),
            limit: form.integer("limit", 1..=1000).value().unwrap_or(1000) as u32,
        }
    }
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    Ids(guild): Ids<GuildId>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Ban>>> {
    app.in_guild(&caller, guild, |access| access.require(Permissions::BAN_MEMBERS)).await?;
    Ok(Json(app.store().bans(guild, page.after, page.limit).await?))
}

async fn read(State(app): State<App>, caller: Caller, Ids((guild, user)): Ids<(GuildId, UserId)>) -> Result<Json<Ban>> {
    app.in_guild(&caller, guild, |access| access.require(Permissions::BAN_MEMBERS)).await?;
    Ok(Json(app.store().find_ban(guild, user).await?.ok_or(ErrorCode::UnknownBan)?))
}

struct Create {
    delete_message_seconds: Option<u64>,
}

impl Shape for Create {
    fn read(form: &Form) -> Self {
        let seconds = form.integer("delete_message_seconds", 0..=DELETE_SECONDS).value();
        let days = form.integer("delete_message_days", 0..=7).value().map(|days| days * 86_400);
        Self { delete_message_seconds: seconds.or(days).map(|seconds| seconds as u64) }
    }
}

async fn create(
    State(app): State<App>,
    caller: Caller,
    Ids((guild, user)): Ids<(GuildId, UserId)>,
    by: By,
    // discord.py 2.7 says in the query what is documented for the body.
    Query(asked): Query<Create>,
    Body(ban): Body<Create>,
) -> Result<StatusCode> {
    app.in_guild(&caller, guild, |access| {
        access.require(Permissions::BAN_MEMBERS)?;
        access.require_above(user)
    })
    .await?;
    let delete_message_seconds = ban.delete_message_seconds.or(asked.delete_message_seconds).unwrap_or(0);
    let how = Left::Banned { by, delete_message_seconds };
    app.store().remove_member(guild, user, how).await.refine(&[(Conflict::Missing, ErrorCode::UnknownUser)])?;
    Ok(StatusCode::NO_CONTENT)
}

struct CreateMany {
    user_ids: Vec<UserId>,
    delete_message_seconds: u64,
}

impl Shape for CreateMany {
    fn read(form: &Form) -> Self {
        let seconds = form.integer("delete_message_seconds", 0..=DELETE_SECONDS).value().unwrap_or(0);
        Self { user_ids: form.required("user_ids", form.ids("user_ids", BULK)), delete_message_seconds: seconds as u64 }
    }
}

#[derive(JsonSchema, Serialize)]
struct Banned {
    banned_users: Vec<UserId>,
    failed_users: Vec<UserId>,
}

/// Bans each user whom the caller may ban and who is not banned yet. It fails if that is nobody.
async fn create_many(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(guild): Ids<GuildId>,
    Body(CreateMany { mut user_ids, delete_message_seconds }): Body<CreateMany>,
) -> Result<Json<Banned>> {
    user_ids.sort_unstable();
    user_ids.dedup();
    let (wanted, mut failed_users): (Vec<UserId>, Vec<UserId>) = app
        .in_guild(&caller, guild, |access| {
            access.require(Permissions::BAN_MEMBERS | Permissions::MANAGE_GUILD)?;
            Ok(user_ids.into_iter().partition(|user| access.require_above(*user).is_ok()))
        })
        .await?;
    // A job for each, so that one that cannot be banned harms no other; they are committed together all the same.
    let bans = wanted.into_iter().map(async |user| {
        let how = Left::Banned { by: by.clone(), delete_message_seconds };
        let is_new = app.store().find_ban(guild, user).await.is_ok_and(|ban| ban.is_none());
        (user, is_new && app.store().remove_member(guild, user, how).await.is_ok())
    });
    let mut banned_users = Vec::new();
    for (user, is_banned) in join_all(bans).await {
        if is_banned { banned_users.push(user) } else { failed_users.push(user) }
    }
    if banned_users.is_empty() { Err(ErrorCode::FailedToBan.into()) } else { Ok(Json(Banned { banned_users, failed_users })) }
}

async fn lift(State(app): State<App>, caller: Caller, by: By, Ids((guild, user)): Ids<(GuildId, UserId)>) -> Result<StatusCode> {
    app.in_guild(&caller, guild, |access| access.require(Permissions::BAN_MEMBERS)).await?;
    app.store().lift_ban(by, guild, user).await.refine(&[(Conflict::Missing, ErrorCode::UnknownBan)])?;
    Ok(StatusCode::NO_CONTENT)
}
