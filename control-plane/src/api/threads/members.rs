//! Who is in a thread.

use crate::api::access::ThreadAccess;
use crate::api::body::{Caller, Ids, Query};
use crate::api::error::{Refine, Result};
use crate::api::form::{Form, Shape};
use crate::app::App;
use crate::store::Conflict;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::ThreadMember;
use guildhall_protocol::{ChannelId, ErrorCode, Permissions, UserId};

/// Members on one page; also how many a thread has at most, which is what whoever asks for no pages gets.
const PAGE: u32 = 100;
const ALL: u32 = 1000;
const MEANINGS: &[(Conflict, ErrorCode)] =
    &[(Conflict::Missing, ErrorCode::UnknownChannel), (Conflict::Full, ErrorCode::TooManyThreadMembers)];

async fn put_in(app: &App, caller: &Caller, thread: ChannelId, user: UserId) -> Result<StatusCode> {
    app.in_thread(caller, thread, |access| {
        access.require_awake()?;
        if user == caller.id() { Ok(()) } else { check_adding(&access, user) }
    })
    .await?;
    app.store().add_thread_member(thread, user).await.refine(MEANINGS)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whoever may write in it may add others, to a private thread only if it is open to that; and nobody who may not see it.
fn check_adding(access: &ThreadAccess, user: UserId) -> Result<()> {
    access.require(Permissions::SEND_MESSAGES_IN_THREADS)?;
    if access.thread.thread_metadata.invitable == Some(false) {
        access.require_owner()?;
    }
    access.guild.member(user)?;
    let sees_parent = access.guild.state.channel_permissions(user, access.parent.id, access.guild.now_ms);
    if sees_parent.contains(Permissions::VIEW_CHANNEL) { Ok(()) } else { Err(ErrorCode::MissingAccess.into()) }
}

async fn take_out(app: &App, caller: &Caller, thread: ChannelId, user: UserId) -> Result<StatusCode> {
    app.in_thread(caller, thread, |access| {
        if user != caller.id() {
            // Only private threads are their owners' to close.
            if access.thread.is_private() { access.require_owner() } else { access.require(Permissions::MANAGE_THREADS) }?;
        }
        access.require_awake()
    })
    .await?;
    app.store().remove_thread_member(thread, user).await.refine(MEANINGS)?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn join(State(app): State<App>, caller: Caller, Ids(thread): Ids<ChannelId>) -> Result<StatusCode> {
    put_in(&app, &caller, thread, caller.id()).await
}

pub async fn add(State(app): State<App>, caller: Caller, Ids((thread, user)): Ids<(ChannelId, UserId)>) -> Result<StatusCode> {
    put_in(&app, &caller, thread, user).await
}

pub async fn leave(State(app): State<App>, caller: Caller, Ids(thread): Ids<ChannelId>) -> Result<StatusCode> {
    take_out(&app, &caller, thread, caller.id()).await
}

pub async fn remove(State(app): State<App>, caller: Caller, Ids((thread, user)): Ids<(ChannelId, UserId)>) -> Result<StatusCode> {
    take_out(&app, &caller, thread, user).await
}

pub struct One {
    with_member: bool,
}

impl Shape for One {
    fn read(form: &Form) -> Self {
        Self { with_member: form.flag("with_member").value().unwrap_or(false) }
    }
}

pub async fn read(
    State(app): State<App>,
    caller: Caller,
    Ids((thread, user)): Ids<(ChannelId, UserId)>,
    Query(One { with_member }): Query<One>,
) -> Result<Json<ThreadMember>> {
    app.in_thread(&caller, thread, |_| Ok(())).await?;
    let found = app.store().thread_member(thread, user).await?.ok_or(ErrorCode::UnknownMember)?;
    let mut found = vec![found];
    if with_member {
        show_members(&app, &caller, thread, &mut found).await?;
    }
    Ok(Json(found.remove(0)))
}

pub struct List {
    with_member: bool,
    after: UserId,
    limit: u32,
}

impl Shape for List {
    fn read(form: &Form) -> Self {
        let with_member = form.flag("with_member").value().unwrap_or(false);
        // Documented so: without members there are no pages unless someone asks for them.
        let default = if with_member { PAGE } else { ALL };
        let limit = form.integer("limit", 1..=PAGE.into()).value().map_or(default, |limit| limit as u32);
        Self { with_member, after: form.id("after").value().unwrap_or_default(), limit }
    }
}

pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Ids(thread): Ids<ChannelId>,
    Query(List { with_member, after, limit }): Query<List>,
) -> Result<Json<Vec<ThreadMember>>> {
    app.in_thread(&caller, thread, |_| Ok(())).await?;
    let mut members = app.store().thread_members(thread, after, limit).await?;
    if with_member {
        show_members(&app, &caller, thread, &mut members).await?;
    }
    Ok(Json(members))
}

/// Fills in their memberships of the guild.
async fn show_members(app: &App, caller: &Caller, thread: ChannelId, members: &mut [ThreadMember]) -> Result<()> {
    app.in_thread(caller, thread, |access| {
        for own in members {
            own.member = access.guild.state.member(own.user_id).cloned().map(Box::new);
        }
        Ok(())
    })
    .await
}
