//! Pinned messages, by the paths of today and by the older ones that libraries still call.

use super::body::{Caller, Ids, Query};
use super::error::{Refine, Result};
use super::form::{Form, Shape};
use super::routes::{Routes, get, put};
use crate::app::App;
use crate::audit::By;
use crate::store::Conflict;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::{Message, Pin, parse_timestamp, partial_member};
use guildhall_protocol::{ChannelId, ErrorCode, MessageId, Permissions};
use schemars::JsonSchema;
use serde::Serialize;

/// Pins on one page.
const PAGE: u32 = 50;
const MEANINGS: &[(Conflict, ErrorCode)] =
    &[(Conflict::Missing, ErrorCode::UnknownMessage), (Conflict::Full, ErrorCode::TooManyPins)];

pub fn routes() -> Routes {
    Routes::new()
        .route("/channels/{channel_id}/messages/pins", get(list, "A page of pinned messages, latest pin first."))
        .route(
            "/channels/{channel_id}/messages/pins/{message_id}",
            put(pin, "Pins a message: PIN_MESSAGES.").delete(unpin, "Unpins a message: PIN_MESSAGES."),
        )
        .route("/channels/{channel_id}/pins", get(list_all, "The latest fifty pinned messages."))
        .route(
            "/channels/{channel_id}/pins/{message_id}",
            put(pin, "Pins a message: PIN_MESSAGES.").delete(unpin, "Unpins a message: PIN_MESSAGES."),
        )
}

struct List {
    /// Unix milliseconds.
    before: Option<u64>,
    limit: u32,
}

impl Shape for List {
    fn read(form: &Form) -> Self {
        let limit = form.integer("limit", 1..=PAGE.into()).value().map_or(PAGE, |limit| limit as u32);
        Self { before: moment(form, "before"), limit }
    }
}

/// A moment as Unix milliseconds.
pub fn moment(form: &Form, key: &str) -> Option<u64> {
    let text = form.text(key, 0..=64).value()?;
    let moment = parse_timestamp(&text);
    if moment.is_none() {
        form.refuse(key, "DATE_TIME_TYPE_PARSE", "Could not parse. Should be ISO8601.");
    }
    moment
}

#[derive(Serialize, JsonSchema)]
struct Pins {
    items: Vec<Pin>,
    has_more: bool,
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    Ids(channel): Ids<ChannelId>,
    Query(List { before, limit }): Query<List>,
) -> Result<Json<Pins>> {
    let (mut items, has_more) = read(&app, &caller, channel, before, limit).await?;
    for pin in &mut items {
        app.store().show_reactions(channel, std::slice::from_mut(&mut pin.message), caller.id()).await?;
    }
    Ok(Json(Pins { items, has_more }))
}

async fn list_all(State(app): State<App>, caller: Caller, Ids(channel): Ids<ChannelId>) -> Result<Json<Vec<Message>>> {
    let (pins, _) = read(&app, &caller, channel, None, PAGE).await?;
    Ok(Json(pins.into_iter().map(|pin| pin.message).collect()))
}

/// Documented so: without the right to read history there are none, which is no error.
async fn read(app: &App, caller: &Caller, channel: ChannelId, before: Option<u64>, limit: u32) -> Result<(Vec<Pin>, bool)> {
    let may_read =
        app.in_text_channel(caller, channel, |access| Ok(access.permissions.contains(Permissions::READ_MESSAGE_HISTORY))).await?;
    if may_read { Ok(app.store().pins(channel, before, limit).await?) } else { Ok((Vec::new(), false)) }
}

async fn pin(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids((channel, id)): Ids<(ChannelId, MessageId)>,
) -> Result<StatusCode> {
    let (guild, member) = app
        .in_text_channel(&caller, channel, |access| {
            access.require(Permissions::PIN_MESSAGES | Permissions::READ_MESSAGE_HISTORY)?;
            access.require_awake()?;
            Ok((access.guild_id(), access.member().map(partial_member)))
        })
        .await?;
    app.store().pin_message(by, guild, channel, id, caller.user.clone(), member).await.refine(MEANINGS)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn unpin(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids((channel, id)): Ids<(ChannelId, MessageId)>,
) -> Result<StatusCode> {
    let guild = app
        .in_text_channel(&caller, channel, |access| {
            access.require(Permissions::PIN_MESSAGES | Permissions::READ_MESSAGE_HISTORY)?;
            access.require_awake()?;
            Ok(access.guild_id())
        })
        .await?;
    app.store().unpin_message(by, guild, channel, id).await.refine(MEANINGS)?;
    Ok(StatusCode::NO_CONTENT)
}
