//! Where the gateway is.

use super::body::Caller;
use super::error::Result;
use super::routes::{Routes, get};
use crate::app::App;
use crate::gateway::Origin;
use crate::gateway::starts::{AT_ONCE, DAILY};
use axum::Json;
use axum::extract::State;
use guildhall_protocol::ErrorCode;
use serde_json::{Value, json};

/// Guilds per shard that are advised: well below what is allowed.
const GUILDS_PER_SHARD: usize = 1000;

pub fn routes() -> Routes {
    Routes::new()
        .route("/gateway", get(gateway, "Where the gateway is."))
        .route("/gateway/bot", get(gateway_bot, "Where the gateway is, and how often a bot may identify. Bots only."))
}

async fn gateway(origin: Origin) -> Json<Value> {
    Json(json!({ "url": origin.gateway_url() }))
}

async fn gateway_bot(State(app): State<App>, caller: Caller, origin: Origin) -> Result<Json<Value>> {
    if !caller.is_bot() {
        return Err(ErrorCode::BotsOnly.into());
    }
    let guilds = app.store().guild_ids_of(caller.id()).await?.len();
    let remaining = app.hub().remaining_starts(caller.id()).await;
    Ok(Json(json!({
        "url": origin.gateway_url(),
        "shards": guilds.div_ceil(GUILDS_PER_SHARD).max(1),
        "session_start_limit": {
            "total": DAILY,
            "remaining": remaining.sessions,
            "reset_after": remaining.reset_after.as_millis() as u64,
            "max_concurrency": AT_ONCE,
        },
    })))
}
