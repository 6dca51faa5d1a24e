//! "… is typing".

use super::body::{Caller, Ids};
use super::error::Result;
use super::routes::{Routes, post};
use crate::app::App;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::ChannelId;

pub fn routes() -> Routes {
    Routes::new()
        .route("/channels/{channel_id}/typing", post(start, "Shows that you are typing, for ten seconds: SEND_MESSAGES."))
}

/// Tells for the next ten seconds; clients repeat it while someone types. Nothing is stored.
async fn start(State(app): State<App>, caller: Caller, Ids(id): Ids<ChannelId>) -> Result<StatusCode> {
    let guild = app
        .in_text_channel(&caller, id, |access| {
            access.require(access.sending())?;
            Ok(access.guild_id())
        })
        .await?;
    app.hub().publish_typing(guild, id, caller.id()).await;
    Ok(StatusCode::NO_CONTENT)
}
