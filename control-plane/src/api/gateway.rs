//! Where the gateway is.

use super::body::Caller;
use super::error::Result;
use crate::app::App;
use crate::gateway::Origin;
use axum::routing::get;
use axum::{Json, Router};
use guildhall_protocol::ErrorCode;
use serde_json::{Value, json};

/// Sessions that a bot may start a day; enough for one that is restarted every other minute.
const SESSION_STARTS: u32 = 1000;

pub fn routes() -> Router<App> {
    Router::new().route("/gateway", get(gateway)).route("/gateway/bot", get(gateway_bot))
}

async fn gateway(origin: Origin) -> Json<Value> {
    Json(json!({ "url": origin.gateway_url() }))
}

async fn gateway_bot(caller: Caller, origin: Origin) -> Result<Json<Value>> {
    if !caller.is_bot() {
        return Err(ErrorCode::BotsOnly.into());
    }
    Ok(Json(json!({
        "url": origin.gateway_url(),
        "shards": 1,
        "session_start_limit": { "total": SESSION_STARTS, "remaining": SESSION_STARTS, "reset_after": 0, "max_concurrency": 16 },
    })))
}
