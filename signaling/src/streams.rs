//! Programs on this node: WHIP (RFC 9725) for who publishes and WHEP for who watches, which are one protocol with media in
//! opposite directions. An offer comes by POST with a token of the control plane in its address, the answer names the session;
//! PATCH restarts its ICE, DELETE ends it.
//!
//! Here is HTTP; `offer.rs` reads and writes SDP, `program.rs` decides what a session says and shows, `task.rs` carries it out.

pub mod offer;
mod program;
mod table;
mod task;

pub use table::Streams;

use crate::limits;
use crate::node::Node;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on, patch};
use axum::{Json, Router};
use offer::Fragment;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use task::{Patched, Refusal};
use tokio::time::timeout;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// How long a body may take; it has a few KiB.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The paths of programs, for the port of the voice WebSocket. Any page may call them: nothing but a token lets anyone in.
pub fn router(node: Arc<Node>) -> Router {
    let offers = on(MethodFilter::POST, open).on(MethodFilter::OPTIONS, async || preflight(ACCEPT_POST, SDP));
    let sessions = patch(change).delete(end).on(MethodFilter::OPTIONS, async || preflight(ACCEPT_PATCH, FRAGMENT));
    Router::new().route("/streams", offers).route("/streams/{id}", sessions).layer(map_response(allow_any_page)).with_state(node)
}

async fn allow_any_page(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("ETag, Location, Accept-Patch"));
    response
}

fn preflight(accepts: HeaderName, kind: &'static str) -> Response {
    let headers = [
        (accepts, kind),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, PATCH, DELETE, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-Match"),
        (header::ACCESS_CONTROL_MAX_AGE, "3600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// A refusal, as the REST API words its own.
fn refuse(status: StatusCode, message: &str) -> Response {
    let mut response = (status, Json(json!({ "code": 0, "message": message }))).into_response();
    match status {
        StatusCode::UNAUTHORIZED => {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        _ => {}
    }
    response
}

fn is_of_kind(headers: &HeaderMap, kind: &str) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    given.split(';').next().is_some_and(|given| given.trim().eq_ignore_ascii_case(kind))
}

/// The whole body as text, or why not.
async fn read(body: Body, most: usize) -> Result<String, Response> {
    let bytes = match timeout(BODY_TIMEOUT, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "The body is too long, or was cut short.")),
        Err(_) => return Err(refuse(StatusCode::REQUEST_TIMEOUT, "The body took too long.")),
    };
    String::from_utf8(bytes.into()).map_err(|_| refuse(StatusCode::BAD_REQUEST, "The body is not UTF-8."))
}

#[derive(Deserialize)]
struct Ticket {
    #[serde(default)]
    token: String,
}

/// POST: 201 with the answer.
async fn open(State(node): State<Arc<Node>>, Query(Ticket { token }): Query<Ticket>, headers: HeaderMap, body: Body) -> Response {
    if !is_of_kind(&headers, SDP) {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "An offer is application/sdp.");
    }
    if token.is_empty() {
        return refuse(StatusCode::UNAUTHORIZED, "Offer at the address that your server shows with the stream key.");
    }
    let offer = match read(body, limits::OFFER_BYTES).await {
        Ok(offer) => offer,
        Err(response) => return response,
    };
    match task::open(&node, &token, &offer).await {
        Ok(opened) => {
            let headers = [
                (header::CONTENT_TYPE, SDP.to_owned()),
                (header::LOCATION, format!("/streams/{}", opened.id)),
                (header::ETAG, opened.etag),
                (ACCEPT_PATCH, FRAGMENT.to_owned()),
            ];
            (StatusCode::CREATED, headers, opened.sdp).into_response()
        }
        Err(Refusal { status, message }) => refuse(status, message),
    }
}

/// PATCH: candidates of the client, or an ICE restart (RFC 9725 §4.3).
async fn change(State(node): State<Arc<Node>>, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Response {
    let Some(session) = node.streams.find(&id) else { return unknown() };
    if !is_of_kind(&headers, FRAGMENT) {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "A change is application/trickle-ice-sdpfrag.");
    }
    let fragment = match read(body, limits::FRAGMENT_BYTES).await {
        Ok(text) => Fragment::parse(&text),
        Err(response) => return response,
    };
    let Some(fragment) = fragment else {
        return refuse(StatusCode::BAD_REQUEST, "The fragment lacks a=ice-ufrag or a=ice-pwd.");
    };
    let Some(condition) = headers.get(header::IF_MATCH).and_then(|condition| condition.to_str().ok()) else {
        return refuse(StatusCode::PRECONDITION_REQUIRED, "Say by If-Match which ICE session is meant.");
    };
    match session.patch(condition.to_owned(), fragment).await {
        None => unknown(),
        Some(Patched::Heard) => StatusCode::NO_CONTENT.into_response(),
        Some(Patched::Restarted { etag, fragment }) => {
            (StatusCode::OK, [(header::CONTENT_TYPE, FRAGMENT.to_owned()), (header::ETAG, etag)], fragment).into_response()
        }
        Some(Patched::Refused(Refusal { status, message })) => refuse(status, message),
    }
}

/// DELETE: nobody sees or hears the session any more when this is answered.
async fn end(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Response {
    match node.streams.find(&id) {
        Some(session) if session.end().await => StatusCode::OK.into_response(),
        _ => unknown(),
    }
}

fn unknown() -> Response {
    refuse(StatusCode::NOT_FOUND, "There is no such session, or not any more.")
}
