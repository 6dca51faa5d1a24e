//! Messages of a channel: reading and deleting. Sending is in [`create`], editing in [`edit`].

pub mod attachments;
pub mod create;
pub mod draft;
pub mod edit;
pub mod embeds;
mod forward;

use super::body::{Body, Caller, Ids, Query};
use super::components::IS_COMPONENTS_V2;
use super::error::{Refine, Result};
use super::form::{Form, Patch, Shape};
use super::routes::{Routes, get, post};
use crate::app::App;
use crate::audit::By;
use crate::gateway::Origin;
use crate::ids::unix_ms;
use crate::store::{Conflict, Page, REPLY};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::Message;
use guildhall_protocol::{ChannelId, ErrorCode, MessageId, Permissions};

const CONTENT: std::ops::RangeInclusive<usize> = 0..=2000;
/// Bulk deletion ends here; older messages go one by one.
const BULK_AGE_MS: u64 = 14 * 86_400_000;
/// SUPPRESS_EMBEDS, SUPPRESS_NOTIFICATIONS and IS_COMPONENTS_V2: the flags that a sender may set.
const SETTABLE_FLAGS: i64 = (1 << 2) | (1 << 12) | IS_COMPONENTS_V2 as i64;
const SUPPRESS_EMBEDS: u32 = 1 << 2;

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/channels/{channel_id}/messages",
            get(list, "A page of messages, newest first: READ_MESSAGE_HISTORY.")
                .post(create::create, "Sends a message: SEND_MESSAGES."),
        )
        .route(
            "/channels/{channel_id}/messages/bulk-delete",
            post(delete_many, "Deletes 2 to 100 messages of the last two weeks: MANAGE_MESSAGES."),
        )
        .route(
            "/channels/{channel_id}/messages/{message_id}",
            get(read, "One message: READ_MESSAGE_HISTORY.")
                .patch(edit::edit, "Changes your message; MANAGE_MESSAGES for the flags of others.")
                .delete(delete, "Deletes your message; MANAGE_MESSAGES for those of others."),
        )
}

struct List {
    page: Page,
    limit: u32,
}

impl Shape for List {
    fn read(form: &Form) -> Self {
        let (around, before, after) = (form.id("around"), form.id("before"), form.id("after"));
        let page = match (around, before, after) {
            (Patch::Set(id), ..) => Page::Around(id),
            (_, Patch::Set(id), _) => Page::Before(id),
            (.., Patch::Set(id)) => Page::After(id),
            _ => Page::Latest,
        };
        Self { page, limit: form.integer("limit", 1..=100).value().unwrap_or(50) as u32 }
    }
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    Ids(channel): Ids<ChannelId>,
    origin: Origin,
    Query(List { page, limit }): Query<List>,
) -> Result<Json<Vec<Message>>> {
    let may_read = app
        .in_text_channel(&caller, channel, |access| Ok(access.permissions.contains(Permissions::READ_MESSAGE_HISTORY)))
        .await?;
    // Documented so: without the right to read history there is none, which is no error.
    let mut messages = if may_read { app.store().messages(channel, page, limit).await? } else { Vec::new() };
    app.store().show_reactions(channel, &mut messages, caller.id()).await?;
    app.files().links(&origin).renew(&mut messages);
    Ok(Json(messages))
}

async fn read(
    State(app): State<App>,
    caller: Caller,
    Ids((channel, id)): Ids<(ChannelId, MessageId)>,
    origin: Origin,
) -> Result<Json<Message>> {
    app.in_text_channel(&caller, channel, |access| access.require(Permissions::READ_MESSAGE_HISTORY)).await?;
    let mut message = app.store().find_message(channel, id).await?.ok_or(ErrorCode::UnknownMessage)?;
    app.store().show_reactions(channel, std::slice::from_mut(&mut message), caller.id()).await?;
    app.files().links(&origin).renew(std::slice::from_mut(&mut message));
    Ok(Json(message))
}

async fn delete(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids((channel, id)): Ids<(ChannelId, MessageId)>,
) -> Result<StatusCode> {
    let (guild, manages) = app
        .in_text_channel(&caller, channel, |access| {
            Ok((access.guild_id(), access.permissions.contains(Permissions::MANAGE_MESSAGES)))
        })
        .await?;
    if !manages {
        let known = app.store().find_message(channel, id).await?.ok_or(ErrorCode::UnknownMessage)?;
        if known.author.id != caller.id() || !known.is_written() {
            return Err(ErrorCode::MissingPermissions.into());
        }
    }
    app.store().delete_message(by, guild, channel, id).await.refine(&[(Conflict::Missing, ErrorCode::UnknownMessage)])?;
    Ok(StatusCode::NO_CONTENT)
}

struct DeleteMany {
    messages: Vec<MessageId>,
}

impl Shape for DeleteMany {
    fn read(form: &Form) -> Self {
        Self { messages: form.required("messages", form.ids("messages", 1000)) }
    }
}

async fn delete_many(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(channel): Ids<ChannelId>,
    Body(DeleteMany { mut messages }): Body<DeleteMany>,
) -> Result<StatusCode> {
    let guild = app
        .in_text_channel(&caller, channel, |access| {
            access.require(Permissions::MANAGE_MESSAGES)?;
            Ok(access.guild_id())
        })
        .await?;
    messages.sort_unstable();
    messages.dedup();
    if !(2..=100).contains(&messages.len()) {
        return Err(ErrorCode::BulkDeleteCount.into());
    }
    if messages[0].0.unix_ms() + BULK_AGE_MS < unix_ms() {
        return Err(ErrorCode::TooOldToBulkDelete.into());
    }
    app.store().delete_messages(by, guild, channel, messages).await?;
    Ok(StatusCode::NO_CONTENT)
}
