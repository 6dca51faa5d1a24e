//! The REST API under `/api`, `/api/v8`, `/api/v9` and `/api/v10`.
//!
//! One file per resource. A handler that changes something authorizes ([`access`]), stores (which publishes on commit) and
//! answers, in this order. Its routes are described where they are listed ([`routes`]). Every request passes [`gate`]: who is calling, and how often it may.

mod access;
mod accounts;
mod applications;
mod audit_log;
mod bans;
mod body;
mod channels;
mod codes;
mod commands;
mod components;
mod device;
mod emoji;
mod emojis;
mod error;
pub(crate) mod first_start;
mod form;
mod forums;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod gate;
mod gateway;
mod guilds;
mod intake;
mod interactions;
mod invites;
mod members;
mod mentions;
mod messages;
mod overwrites;
mod parcel;
pub(crate) mod passwords;
mod pictures;
mod pins;
mod private_channels;
mod profiles;
mod prune;
pub(crate) mod rate_limit;
mod reactions;
mod read_states;
mod recordings;
mod reference;
mod relationships;
mod roles;
mod routes;
mod search;
mod sessions;
mod settings;
mod streams;
#[cfg(test)]
mod tests;
mod threads;
mod typing;
mod users;
mod voice;
mod voice_states;
mod webhooks;

use crate::app::App;
use crate::requests;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use error::ApiError;
use guildhall_protocol::ErrorCode;
use routes::Routes;
use std::time::Duration;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

/// How long a browser may remember what it may send.
const CORS_AGE: Duration = Duration::from_secs(3600);

/// Everything below `/api`: a new resource is merged here.
fn routes() -> Routes {
    Routes::new()
        .merge(accounts::routes())
        .merge(applications::routes())
        .merge(audit_log::routes())
        .merge(bans::routes())
        .merge(channels::routes())
        .merge(commands::routes())
        .merge(emojis::routes())
        .merge(gateway::routes())
        .merge(guilds::routes())
        .merge(interactions::routes())
        .merge(invites::routes())
        .merge(members::routes())
        .merge(messages::routes())
        .merge(overwrites::routes())
        .merge(pins::routes())
        .merge(private_channels::routes())
        .merge(profiles::routes())
        .merge(reactions::routes())
        .merge(read_states::routes())
        .merge(recordings::routes())
        .merge(reference::routes())
        .merge(relationships::routes())
        .merge(prune::routes())
        .merge(roles::routes())
        .merge(search::routes())
        .merge(sessions::routes())
        .merge(settings::routes())
        .merge(streams::routes())
        .merge(threads::routes())
        .merge(typing::routes())
        .merge(users::routes())
        .merge(voice::routes())
        .merge(voice_states::routes())
        .merge(webhooks::routes())
}

pub fn router(app: App) -> Router {
    let (routes, _) = routes().into_parts();
    let routes = routes
        .fallback(async || ApiError::from(ErrorCode::NotFound))
        .method_not_allowed_fallback(async || ApiError::from(ErrorCode::MethodNotAllowed))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            use axum::response::IntoResponse;
            ApiError::from(ErrorCode::Internal).into_response()
        }))
        .layer(from_fn_with_state(app.clone(), gate::gate))
        .layer(from_fn_with_state(app.clone(), requests::observe))
        .with_state(app);
    // No cookie authenticates anything here, so any page may call; it needs a token of its own.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(Any)
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(Any)
        .max_age(CORS_AGE);
    let api = ServiceBuilder::new().layer(cors).layer(from_fn(gate::version)).service(routes);
    Router::new().nest_service("/api", api).merge(reference::pages())
}
