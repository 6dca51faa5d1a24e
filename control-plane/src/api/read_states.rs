//! What people have read.

use super::body::{Body, Ids, Person};
use super::error::Result;
use super::form::{Form, Shape};
use super::routes::{Routes, post};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::{ChannelId, MessageId};
use schemars::JsonSchema;
use serde::Serialize;

/// Channels that one request marks as read.
const BULK: usize = 100;

pub fn routes() -> Routes {
    Routes::new()
        .route("/channels/{channel_id}/messages/{message_id}/ack", post(acknowledge, "Marks a channel as read up to a message."))
        .route("/read-states/ack-bulk", post(acknowledge_many, "Marks channels as read, each up to a message."))
}

struct Ack {
    /// On purpose: also back, to mark as unread.
    is_manual: bool,
}

impl Shape for Ack {
    fn read(form: &Form) -> Self {
        Self { is_manual: form.flag("manual").value().unwrap_or(false) }
    }
}

/// The token that official clients send along is history; they read it all the same.
#[derive(Serialize, JsonSchema)]
struct Acked {
    token: Option<String>,
}

async fn acknowledge(
    State(app): State<App>,
    Person(caller): Person,
    Ids((channel, message)): Ids<(ChannelId, MessageId)>,
    Body(Ack { is_manual }): Body<Ack>,
) -> Result<Json<Acked>> {
    app.in_text_channel(&caller, channel, |_| Ok(())).await?;
    app.store().acknowledge(caller.id(), vec![(channel, message)], is_manual).await?;
    Ok(Json(Acked { token: None }))
}

struct AckMany {
    read: Vec<(ChannelId, MessageId)>,
}

impl Shape for AckMany {
    fn read(form: &Form) -> Self {
        let read = form.list("read_states", BULK, |form| {
            let channel = form.required("channel_id", form.id("channel_id"));
            (channel, form.required("message_id", form.id("message_id")))
        });
        Self { read: form.required("read_states", read) }
    }
}

/// Channels that the caller does not see any more are passed over: a client may be behind.
async fn acknowledge_many(
    State(app): State<App>,
    Person(caller): Person,
    Body(AckMany { read }): Body<AckMany>,
) -> Result<StatusCode> {
    let mut seen = Vec::with_capacity(read.len());
    for (channel, message) in read {
        if app.in_text_channel(&caller, channel, |_| Ok(())).await.is_ok() {
            seen.push((channel, message));
        }
    }
    app.store().acknowledge(caller.id(), seen, false).await?;
    Ok(StatusCode::NO_CONTENT)
}
