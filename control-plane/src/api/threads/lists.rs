//! Which threads there are: the active ones of a guild, and a channel's archive in pages.

use crate::api::body::{Caller, Ids, Query};
use crate::api::error::Result;
use crate::api::form::{Form, Shape};
use crate::api::pins::moment;
use crate::app::App;
use crate::store::Archive;
use axum::Json;
use axum::extract::State;
use guildhall_protocol::model::{ChannelType, Thread, ThreadMember};
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, Permissions};
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Serialize, JsonSchema)]
pub struct Threads {
    threads: Vec<Thread>,
    /// The reader's own memberships of these.
    members: Vec<ThreadMember>,
    has_more: bool,
}

impl Threads {
    fn new(threads: Vec<Thread>, has_more: bool) -> Json<Self> {
        let members = threads.iter().filter_map(|thread| thread.member.clone()).collect();
        Json(Self { threads, members, has_more })
    }
}

fn limit(form: &Form) -> u32 {
    form.integer("limit", 1..=100).value().map_or(50, |limit| limit as u32)
}

/// A page by the moment of archiving.
pub struct ByTime {
    before: Option<u64>,
    limit: u32,
}

impl Shape for ByTime {
    fn read(form: &Form) -> Self {
        Self { before: moment(form, "before"), limit: limit(form) }
    }
}

pub struct ById {
    before: Option<ChannelId>,
    limit: u32,
}

impl Shape for ById {
    fn read(form: &Form) -> Self {
        Self { before: form.id("before").value(), limit: limit(form) }
    }
}

async fn archive(
    app: &App,
    caller: &Caller,
    parent: ChannelId,
    needed: Permissions,
    which: Archive,
    limit: u32,
) -> Result<Json<Threads>> {
    app.in_channel(caller, parent, |access| {
        if !matches!(access.channel.kind, ChannelType::Text | ChannelType::Announcement | ChannelType::Forum) {
            return Err(ErrorCode::WrongChannelType.into());
        }
        access.require(Permissions::READ_MESSAGE_HISTORY | needed)
    })
    .await?;
    let page = app.store().archived_threads(parent, which, caller.id(), limit).await?;
    Ok(Threads::new(page.threads, page.has_more))
}

pub async fn public(
    State(app): State<App>,
    caller: Caller,
    Ids(parent): Ids<ChannelId>,
    Query(ByTime { before, limit }): Query<ByTime>,
) -> Result<Json<Threads>> {
    archive(&app, &caller, parent, Permissions::NONE, Archive::Public { before }, limit).await
}

pub async fn private(
    State(app): State<App>,
    caller: Caller,
    Ids(parent): Ids<ChannelId>,
    Query(ByTime { before, limit }): Query<ByTime>,
) -> Result<Json<Threads>> {
    archive(&app, &caller, parent, Permissions::MANAGE_THREADS, Archive::Private { before }, limit).await
}

pub async fn joined(
    State(app): State<App>,
    caller: Caller,
    Ids(parent): Ids<ChannelId>,
    Query(ById { before, limit }): Query<ById>,
) -> Result<Json<Threads>> {
    archive(&app, &caller, parent, Permissions::NONE, Archive::Joined { before }, limit).await
}

/// Everything that is in memory: at most 1000 threads.
pub async fn active(State(app): State<App>, caller: Caller, Ids(guild): Ids<GuildId>) -> Result<Json<Threads>> {
    let threads = app
        .in_guild(&caller, guild, |access| {
            let user = access.user;
            let sees = |parent| access.state.channel_permissions(user, parent, access.now_ms).contains(Permissions::VIEW_CHANNEL);
            let seen = access.state.threads_seen_by(user, sees);
            let own =
                |active: &&crate::guild::Active| Thread { member: active.members.get(&user).cloned(), ..active.thread.clone() };
            Ok(seen.iter().rev().map(own).collect())
        })
        .await?;
    Ok(Threads::new(threads, false))
}
