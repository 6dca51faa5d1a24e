//! Channels outside of guilds: DMs, and groups of people.
//!
//! People write to their friends and to those whom they share a guild with, bots to the latter only; a block ends it for both
//! sides. What was written stays readable.

use super::body::{Body, Caller, Ids, Json as AnyJson, Person, Query};
use super::error::{Refine, Result};
use super::form::{Form, Patch, Shape};
use super::pictures::{self, PICTURE_BYTES, Picture};
use super::routes::{Routes, get, put};
use crate::app::App;
use crate::store::{self, Conflict, RECIPIENTS};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use guildhall_protocol::model::{PrivateChannel, User};
use guildhall_protocol::{ChannelId, ErrorCode, UserId};

const NAME: std::ops::RangeInclusive<usize> = 1..=100;
const GONE: &[(Conflict, ErrorCode)] = &[(Conflict::Missing, ErrorCode::UnknownChannel)];

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/users/@me/channels",
            get(list, "Your open DMs and groups.").post(open, "Opens a DM, or makes a group of friends."),
        )
        .route(
            "/channels/{channel_id}/recipients/{user_id}",
            put(add, "Adds a friend to a group; of a DM it makes a group of three.")
                .delete(remove, "Takes someone out of a group: its owner."),
        )
}

impl App {
    /// Asks about a private channel that the caller is in.
    pub async fn in_private<R>(
        &self,
        caller: &store::Caller,
        id: ChannelId,
        ask: impl FnOnce(&PrivateChannel) -> Result<R>,
    ) -> Result<R> {
        let answer = self.hub().with_private(id, |channel| {
            if channel.is_recipient(caller.id()) { ask(channel) } else { Err(ErrorCode::MissingAccess.into()) }
        });
        answer.await.unwrap_or(Err(ErrorCode::UnknownChannel.into()))
    }

    /// Refuses who may not write to this account: 50007.
    pub async fn require_reach(&self, from: &store::Caller, to: &User) -> Result<()> {
        let reach = self.store().reach(from.id(), to.id).await?;
        let are_bots = from.is_bot() && to.bot;
        let may_write = !reach.is_blocked && !are_bots && (reach.share_guild || reach.are_friends);
        if may_write { Ok(()) } else { Err(ErrorCode::CannotMessageUser.into()) }
    }
}

async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<PrivateChannel>>> {
    // A bot's DMs are found by writing, as documented; its list would only grow.
    let channels = if caller.is_bot() { Vec::new() } else { app.store().private_channels_of(caller.id()).await? };
    Ok(Json(channels.iter().map(|channel| channel.seen_by(caller.id())).collect()))
}

struct Open {
    recipient: Option<UserId>,
    recipients: Option<Vec<UserId>>,
}

impl Shape for Open {
    fn read(form: &Form) -> Self {
        let recipient = form.id("recipient_id").value();
        let recipients = form.ids("recipients", RECIPIENTS - 1).value();
        if recipient.is_none() && recipients.is_none() {
            form.refuse("recipient_id", "BASE_TYPE_REQUIRED", "This field is required");
        }
        Self { recipient, recipients }
    }
}

async fn open(State(app): State<App>, caller: Caller, Body(open): Body<Open>) -> Result<Json<PrivateChannel>> {
    let mut recipients = open.recipients.unwrap_or_default();
    recipients.extend(open.recipient.filter(|_| recipients.is_empty()));
    recipients.sort_unstable();
    recipients.dedup();
    recipients.retain(|user| *user != caller.id());
    let channel = match recipients[..] {
        // Nobody writes to oneself, but a group may begin empty.
        [] if open.recipient.is_some() || caller.is_bot() => return Err(ErrorCode::InvalidRecipients.into()),
        [other] => open_dm(&app, &caller, other).await?,
        _ if caller.is_bot() => return Err(ErrorCode::PeopleOnly.into()),
        _ => open_group(&app, &caller, recipients).await?,
    };
    Ok(Json(channel.seen_by(caller.id())))
}

async fn open_dm(app: &App, caller: &Caller, other: UserId) -> Result<PrivateChannel> {
    let other = app.store().find_user(other).await?.ok_or(ErrorCode::InvalidRecipients)?;
    // One that exists may be opened to read what was written.
    if app.store().find_dm(caller.id(), other.id).await?.is_none() {
        app.require_reach(caller, &other).await?;
    }
    Ok(app.store().open_dm(caller.id(), other.id).await?)
}

async fn open_group(app: &App, caller: &Caller, recipients: Vec<UserId>) -> Result<PrivateChannel> {
    let friends = app.store().friends_among(caller.id(), &recipients).await?;
    if friends.len() < recipients.len() {
        return Err(ErrorCode::InvalidRecipients.into());
    }
    Ok(app.store().create_group(caller.id(), recipients).await?)
}

/// `GET /channels/{id}` of a private channel.
pub async fn show(app: &App, caller: &Caller, id: ChannelId) -> Result<PrivateChannel> {
    app.in_private(caller, id, |channel| Ok(channel.seen_by(caller.id()))).await
}

pub struct Edit {
    name: Patch<String>,
    owner: Option<UserId>,
    icon: Patch<Picture>,
}

impl Shape for Edit {
    fn read(form: &Form) -> Self {
        Self { name: form.text("name", NAME), owner: form.id("owner").value(), icon: pictures::read(form, "icon", PICTURE_BYTES) }
    }
}

/// `PATCH /channels/{id}` of a group: everyone in it may name it, its owner may give it away.
pub async fn edit(app: &App, caller: &Caller, id: ChannelId, edit: Edit) -> Result<PrivateChannel> {
    app.in_private(caller, id, |channel| {
        let group = channel.group.as_ref().ok_or(ErrorCode::NotInDms)?;
        match edit.owner {
            Some(_) if group.owner_id != caller.id() => Err(ErrorCode::MissingPermissions.into()),
            Some(heir) if !channel.is_recipient(heir) => Err(ErrorCode::InvalidRecipients.into()),
            _ => Ok(()),
        }
    })
    .await?;
    let icon = match edit.icon {
        Patch::Set(picture) => Some(Some(app.keep_picture("channel-icons", id, picture).await?)),
        Patch::Null => Some(None),
        Patch::Absent => None,
    };
    let changed = app.store().change_group(id, caller.user.clone(), edit.name.change(), icon, edit.owner).await.refine(GONE)?;
    Ok(changed.seen_by(caller.id()))
}

pub struct Leave {
    is_silent: bool,
}

impl Shape for Leave {
    fn read(form: &Form) -> Self {
        Self { is_silent: form.flag("silent").value().unwrap_or(false) }
    }
}

/// `DELETE /channels/{id}` of a private channel: closes a DM for oneself, leaves a group.
pub async fn leave(app: &App, caller: &Caller, id: ChannelId, Leave { is_silent }: Leave) -> Result<PrivateChannel> {
    let is_group = app.in_private(caller, id, |channel| Ok(channel.is_group())).await?;
    let left = if is_group {
        app.store().remove_recipient(id, caller.user.clone(), caller.id(), is_silent).await
    } else {
        app.store().close_dm(id, caller.id()).await
    };
    Ok(left.refine(GONE)?.seen_by(caller.id()))
}

/// Adds a friend to a group. To a DM: makes a group of the three.
async fn add(
    State(app): State<App>,
    Person(caller): Person,
    Ids((id, user)): Ids<(ChannelId, UserId)>,
    AnyJson(_): AnyJson,
) -> Result<Response> {
    let partner = app.in_private(&caller, id, |channel| Ok(channel.partner_of(caller.id()).map(|partner| partner.id))).await?;
    if app.store().friends_among(caller.id(), &[user]).await?.is_empty() {
        return Err(ErrorCode::InvalidRecipients.into());
    }
    if let Some(partner) = partner {
        let group = open_group(&app, &caller, vec![partner, user]).await?;
        return Ok((StatusCode::CREATED, Json(group.seen_by(caller.id()))).into_response());
    }
    let meanings = [
        (Conflict::Missing, ErrorCode::UnknownChannel),
        (Conflict::AlreadyMember, ErrorCode::InvalidRecipients),
        (Conflict::Full, ErrorCode::TooManyRecipients),
    ];
    app.store().add_recipient(id, caller.user.clone(), user).await.refine(&meanings)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Takes someone out of a group: its owner anyone, everyone themselves.
async fn remove(
    State(app): State<App>,
    Person(caller): Person,
    Ids((id, user)): Ids<(ChannelId, UserId)>,
    Query(Leave { is_silent }): Query<Leave>,
) -> Result<StatusCode> {
    app.in_private(&caller, id, |channel| {
        let group = channel.group.as_ref().ok_or(ErrorCode::NotInDms)?;
        if user != caller.id() && group.owner_id != caller.id() {
            return Err(ErrorCode::MissingPermissions.into());
        }
        if channel.is_recipient(user) { Ok(()) } else { Err(ErrorCode::InvalidRecipients.into()) }
    })
    .await?;
    app.store().remove_recipient(id, caller.user.clone(), user, is_silent).await.refine(GONE)?;
    Ok(StatusCode::NO_CONTENT)
}
