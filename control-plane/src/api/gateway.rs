//! Where the gateway is.

use super::body::Caller;
use super::error::Result;
use crate::app::{App, Connection};
use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::routing::get;
use axum::{Json, Router};
use guildhall_protocol::ErrorCode;
use serde_json::{Value, json};

/// Sessions that a bot may start a day; enough for one that is restarted every other minute.
const SESSION_STARTS: u32 = 1000;

pub fn routes() -> Router<App> {
    Router::new().route("/gateway", get(gateway)).route("/gateway/bot", get(gateway_bot))
}

/// The gateway's URL as this caller reached us: same host, same port, encrypted if the request was.
struct GatewayUrl(String);

impl<S: Send + Sync> FromRequestParts<S> for GatewayUrl {
    type Rejection = super::error::ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let host =
            parts.uri.authority().map(|authority| authority.as_str()).or_else(|| header(HOST.as_str())).unwrap_or("localhost");
        // A proxy that ends TLS says so. A liar only misleads itself.
        let is_tls = parts.extensions.get::<Connection>().is_some_and(|connection| connection.is_tls)
            || header("x-forwarded-proto").is_some_and(|proto| proto == "https");
        Ok(Self(format!("{}://{host}/gateway", if is_tls { "wss" } else { "ws" })))
    }
}

async fn gateway(GatewayUrl(url): GatewayUrl) -> Json<Value> {
    Json(json!({ "url": url }))
}

async fn gateway_bot(caller: Caller, GatewayUrl(url): GatewayUrl) -> Result<Json<Value>> {
    if !caller.is_bot() {
        return Err(ErrorCode::BotsOnly.into());
    }
    Ok(Json(json!({
        "url": url,
        "shards": 1,
        "session_start_limit": { "total": SESSION_STARTS, "remaining": SESSION_STARTS, "reset_after": 0, "max_concurrency": 16 },
    })))
}
