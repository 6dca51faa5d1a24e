//! Which door leads where: the paths of the one port, of each role.

use crate::web;
use axum::extract::{FromRequestParts, Query, Request, State, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use guildhall_control_plane::ControlPlane;
use guildhall_control_plane::gateway::{self, Origin, Parameters};
use guildhall_control_plane::hub::Hub;
use guildhall_protocol::connection::Lodging;
use guildhall_signaling::{Signaling, VoiceQuery};
use serde::Deserialize;

/// From this gateway version on a WebSocket at `/` is meant for the main gateway; voice versions end at 9.
const MAIN_GATEWAY_VERSION: u8 = 10;

#[derive(Clone)]
struct Doors {
    hub: Hub,
    /// `None`: voice is on other machines.
    signaling: Option<Signaling>,
    page: web::Page,
}

/// Of a control plane, with a voice node in the same process or without.
pub fn router(control_plane: &ControlPlane, signaling: Option<Signaling>, page: web::Page) -> Router {
    let streams = signaling.as_ref().map(Signaling::streams).unwrap_or_default();
    let doors = Doors { hub: control_plane.hub().clone(), signaling, page: page.clone() };
    let elsewhere = async move |method: Method, uri: Uri, headers: HeaderMap| page.show(&method, &uri, &headers);
    let own = Router::new()
        .route("/", get(root))
        .route("/gateway", get(main_gateway))
        // Libraries that take the URL for a bare host put a slash before the query.
        .route("/gateway/", get(main_gateway))
        .route("/probe", get(probe))
        .with_state(doors);
    own.merge(streams).merge(control_plane.router()).fallback(elsewhere)
}

/// Of a voice node alone.
pub fn voice_router(signaling: Signaling) -> Router {
    let upgrade = async |State(signaling): State<Signaling>,
                         query: Query<RootQuery>,
                         lodging: Option<Extension<Lodging>>,
                         upgrade: WebSocketUpgrade| {
        signaling.upgrade(upgrade, VoiceQuery { v: query.v }, lodging.map(|Extension(lodging)| lodging))
    };
    let streams = signaling.streams();
    Router::new().route("/", get(upgrade)).route("/probe", get(probe)).with_state(signaling).merge(streams)
}

/// Answers at once, to whoever measures the distance from a page of another origin.
async fn probe() -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("timing-allow-origin"), "*"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

async fn main_gateway(
    State(doors): State<Doors>,
    upgrade: gateway::Upgrade,
    parameters: Query<Parameters>,
    origin: Origin,
) -> Response {
    gateway::upgrade(doors.hub, upgrade, parameters, origin)
}

/// Libraries open both gateways at the root of their host, and tell them apart by their parameters only.
#[derive(Deserialize)]
struct RootQuery {
    v: Option<u8>,
    encoding: Option<String>,
}

/// `/`: a gateway when it is asked to upgrade, the page otherwise.
async fn root(State(doors): State<Doors>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let query = Query::<RootQuery>::try_from_uri(&parts.uri);
    let is_main = |query: &RootQuery| query.encoding.is_some() || query.v.is_some_and(|version| version >= MAIN_GATEWAY_VERSION);
    if !query.as_ref().is_ok_and(|query| is_main(query)) {
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
        let (Ok(upgrade), Some(signaling)) = (upgrade, &doors.signaling) else {
            return doors.page.show(&parts.method, &parts.uri, &parts.headers);
        };
        let lodging = parts.extensions.remove::<Lodging>();
        return match query {
            Ok(Query(query)) => signaling.upgrade(upgrade, VoiceQuery { v: query.v }, lodging),
            Err(rejection) => rejection.into_response(),
        };
    }
    let Ok(upgrade) = gateway::Upgrade::from_request_parts(&mut parts, &()).await else {
        return doors.page.show(&parts.method, &parts.uri, &parts.headers);
    };
    let parameters = match Query::<Parameters>::try_from_uri(&parts.uri) {
        Ok(parameters) => parameters,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(origin) = Origin::from_request_parts(&mut parts, &()).await;
    gateway::upgrade(doors.hub, upgrade, parameters, origin)
}
