//! What operators see of the fleet and may do to it: an API for the `guildhall node` and `guildhall room` commands, and a page
//! at `/admin` to look at.
//!
//! Whoever has the key in the data folder is the operator: nobody who can read it needs to ask. The API takes it as a bearer
//! token. The page takes it as the password of HTTP's own log-in (any user name), for looking only: a browser that has it sends
//! it along with whatever a foreign page makes it ask, so what changes something wants the bearer token.

pub mod cli;
mod explain;
mod page;
#[cfg(test)]
mod tests;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use guildhall_control_plane::fleet::decisions::Record;
use guildhall_control_plane::fleet::views::{NodeView, RoomView};
use guildhall_control_plane::hub::{Hub, NodeError};
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::NodeId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Below the data folder: made at the first start, readable for the server's user only.
pub const KEY_FILE: &str = "operator.key";

/// Longest time for emptying a node: a day.
const LONGEST_DRAIN_S: u64 = 86_400;

#[derive(Clone)]
struct Desk {
    hub: Hub,
    key: Arc<Digest>,
}

/// Every room, those with the most people first, as far as one answer goes.
#[derive(Debug, Serialize, Deserialize)]
struct Rooms {
    count: usize,
    rooms: Vec<RoomView>,
}

/// One room, and the last decisions on it, the newest last.
#[derive(Debug, Serialize, Deserialize)]
struct Why {
    room: RoomView,
    decisions: Vec<Record>,
}

#[derive(Debug, Serialize, Deserialize)]
struct DrainWish {
    within_s: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Place {
    to: Option<NodeId>,
}

pub fn router(hub: Hub, key: &str) -> Router {
    let desk = Desk { hub, key: Arc::new(digest(&SHA256, key.as_bytes())) };
    Router::new()
        .route("/admin", get(page::show))
        .route("/operator/nodes", get(nodes))
        .route("/operator/nodes/{node}/drain", post(drain))
        .route("/operator/nodes/{node}/undrain", post(serve_again))
        .route("/operator/nodes/{node}/uncordon", post(serve_again))
        .route("/operator/nodes/{node}/cordon", post(cordon))
        .route("/operator/rooms", get(rooms))
        .route("/operator/rooms/{room}", get(why))
        .route("/operator/rooms/{room}/move", post(move_room))
        .route("/operator/rooms/{room}/pin", post(pin_room))
        .with_state(desk)
}

impl Desk {
    /// Takes as long for a near miss as for any other.
    fn is_key(&self, shown: &str) -> bool {
        verify_slices_are_equal(digest(&SHA256, shown.trim().as_bytes()).as_ref(), (*self.key).as_ref()).is_ok()
    }
}

/// Someone with the key as a bearer token: may do anything here.
struct Operator;

/// Someone with the key in either form: may look.
struct Onlooker;

/// What `Authorization` carries, by scheme.
fn credentials<'a>(parts: &'a Parts, scheme: &str) -> Option<&'a str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (given, rest) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(rest)
}

impl FromRequestParts<Desk> for Operator {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Self, Response> {
        if credentials(parts, "Bearer").is_some_and(|key| desk.is_key(key)) { Ok(Self) } else { Err(who_are_you()) }
    }
}

impl FromRequestParts<Desk> for Onlooker {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Self, Response> {
        let password = credentials(parts, "Basic").and_then(|encoded| {
            let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
            Some(decoded.split_once(':')?.1.to_owned())
        });
        if password.is_some_and(|key| desk.is_key(&key)) || Operator::from_request_parts(parts, desk).await.is_ok() {
            Ok(Self)
        } else {
            Err(who_are_you())
        }
    }
}

fn who_are_you() -> Response {
    let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"Guildhall operators\", charset=\"UTF-8\"")];
    let says = json!({ "message": format!("This is for operators: the key is in {KEY_FILE} of the data folder.") });
    (StatusCode::UNAUTHORIZED, ask, Json(says)).into_response()
}

/// A refusal, as a sentence.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "message": self.1 }))).into_response()
    }
}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        let status = match error {
            NodeError::UnknownNode | NodeError::EmptyRoom => StatusCode::NOT_FOUND,
            NodeError::CannotTake | NodeError::TooManyPins => StatusCode::CONFLICT,
            NodeError::NotStored => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, format!("{error}."))
    }
}

type Done = Result<StatusCode, Refusal>;

async fn nodes(_: Onlooker, State(desk): State<Desk>) -> Json<Vec<NodeView>> {
    Json(desk.hub.nodes())
}

async fn drain(_: Operator, State(desk): State<Desk>, Path(node): Path<NodeId>, Json(wish): Json<DrainWish>) -> Done {
    let within = Duration::from_secs(wish.within_s.min(LONGEST_DRAIN_S));
    tracing::info!(%node, ?within, "an operator drains a node");
    desk.hub.drain_node(&node, within).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn serve_again(_: Operator, State(desk): State<Desk>, Path(node): Path<NodeId>) -> Done {
    tracing::info!(%node, "an operator lets a node serve");
    desk.hub.undrain_node(&node, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn cordon(_: Operator, State(desk): State<Desk>, Path(node): Path<NodeId>) -> Done {
    tracing::info!(%node, "an operator cordons a node");
    desk.hub.undrain_node(&node, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rooms(_: Onlooker, State(desk): State<Desk>) -> Json<Rooms> {
    let (rooms, count) = desk.hub.voice_rooms();
    Json(Rooms { count, rooms })
}

async fn why(_: Onlooker, State(desk): State<Desk>, Path(room): Path<ChannelId>) -> Json<Why> {
    let (room, decisions) = desk.hub.why(room);
    Json(Why { room, decisions })
}

async fn move_room(_: Operator, State(desk): State<Desk>, Path(room): Path<ChannelId>, Json(place): Json<Place>) -> Done {
    let to = place.to.ok_or(Refusal(StatusCode::BAD_REQUEST, "A node is missing.".to_owned()))?;
    tracing::info!(%room, %to, "an operator moves a room");
    desk.hub.move_room(room, &to)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn pin_room(_: Operator, State(desk): State<Desk>, Path(room): Path<ChannelId>, Json(place): Json<Place>) -> Done {
    tracing::info!(%room, to = ?place.to, "an operator pins a room");
    desk.hub.pin_room(room, place.to).await?;
    Ok(StatusCode::NO_CONTENT)
}
