//! What every request passes: who is it, may it pass now, and the headers that say how often it may.

use super::body::Caller;
use super::error::ApiError;
use super::rate_limit::{self, Identity, Verdict};
use crate::app::App;
use crate::tally::Window;
use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use guildhall_protocol::ErrorCode;
use guildhall_protocol::connection::Connection;
use serde_json::json;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RESET_AFTER: HeaderName = HeaderName::from_static("x-ratelimit-reset-after");
const BUCKET: HeaderName = HeaderName::from_static("x-ratelimit-bucket");
const SCOPE: HeaderName = HeaderName::from_static("x-ratelimit-scope");
const IS_GLOBAL: HeaderName = HeaderName::from_static("x-ratelimit-global");

/// discord.py waits and tries again only if it hears of a proxy on the way, as there is before Discord; otherwise it takes a 429
/// for the end of everything and gives up.
const VIA: HeaderName = HeaderName::from_static("via");

/// The path up to which [`axum`] reports routes: they are nested below it.
const PREFIX: &str = "/api";

pub async fn gate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let caller = match authenticate(&app, request.headers()).await {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    let address = request.extensions().get::<Connection>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.client);
    let identity = caller.as_ref().map_or_else(|| Identity::of_address(address), |caller| Identity::User(caller.id()));

    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let route = route.strip_prefix(PREFIX).unwrap_or(route);
    let (bucket, limit) = rate_limit::of(request.method().as_str(), route);
    let major = major_parameter(route, request.uri().path());
    let counted = webhook_address(route, request.uri().path()).map_or(identity, Identity::Webhook);
    let (all_bucket, all_limit) = rate_limit::all_of(route);
    let windows =
        [Window { identity, bucket: all_bucket, major: 0, limit: all_limit }, Window { identity: counted, bucket, major, limit }];
    let verdicts = app.count(&windows).await;
    let (Some(all), Some(own)) = (verdicts.first().copied(), verdicts.last().copied()) else {
        unreachable!("the first window is always looked at");
    };
    let is_told = rate_limit::is_told(route);
    let mut response = if own.is_allowed || !app.config().rate_limits {
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        next.run(request).await
    } else {
        too_many(own, !all.is_allowed)
    };
    let is_refused = response.status() == StatusCode::TOO_MANY_REQUESTS;
    if is_told || is_refused {
        describe(response.headers_mut(), bucket, own);
    }
    if is_refused {
        response.headers_mut().insert(VIA, HeaderValue::from_static("1.1 guildhall"));
    }
    response
}

/// `Bot <token>` for bots, the bare token for people. No header, or a token that is not valid: nobody.
async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Option<Caller>, ApiError> {
    let Some(value) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else { return Ok(None) };
    let (token, says_bot) = value.strip_prefix("Bot ").map_or((value, false), |token| (token, true));
    let caller = app.store().authenticate(token.trim()).await?;
    Ok(caller.filter(|caller| caller.is_bot() == says_bot).map(Caller))
}

/// The channel, guild or interaction that the path begins with: limits count for each on its own.
fn major_parameter(route: &str, path: &str) -> u64 {
    let mut steps = path.split('/').skip(2);
    if !["/channels/{", "/guilds/{", "/interactions/{"].iter().any(|prefix| route.starts_with(prefix)) {
        return 0;
    }
    steps.next().and_then(|id| id.parse().ok()).unwrap_or(0)
}

/// A webhook and its token, if that is what the path names: whoever uses it, from wherever, shares its limit. Someone who only
/// guesses the token uses up nothing of it.
fn webhook_address(route: &str, path: &str) -> Option<u64> {
    if !route.starts_with("/webhooks/{webhook_id}/{webhook_token}") {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    path.split('/').skip(2).take(2).for_each(|part| part.hash(&mut hasher));
    Some(hasher.finish())
}

fn too_many(verdict: Verdict, is_global: bool) -> Response {
    let wait = verdict.reset_after.as_secs_f64();
    let body = json!({ "code": 0, "message": "You are being rate limited.", "retry_after": wait, "global": is_global });
    let mut response = (StatusCode::TOO_MANY_REQUESTS, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(wait.ceil() as u64));
    headers.insert(SCOPE, HeaderValue::from_static(if is_global { "global" } else { "user" }));
    if is_global {
        headers.insert(IS_GLOBAL, HeaderValue::from_static("true"));
    }
    response
}

fn describe(headers: &mut HeaderMap, bucket: &'static str, verdict: Verdict) {
    let reset = Duration::from_millis(crate::ids::unix_ms()) + verdict.reset_after;
    headers.insert(LIMIT, HeaderValue::from(verdict.limit));
    headers.insert(REMAINING, HeaderValue::from(verdict.remaining));
    headers.insert(RESET, seconds(reset));
    headers.insert(RESET_AFTER, seconds(verdict.reset_after));
    headers.insert(BUCKET, HeaderValue::from_static(bucket));
}

fn seconds(duration: Duration) -> HeaderValue {
    HeaderValue::try_from(format!("{:.3}", duration.as_secs_f64())).expect("digits and a point are a header value")
}

/// Cuts the version off `/v10/…`. What has none is v10; versions that nobody speaks any more are refused. An encoded `@` is an
/// `@`: discord.js asks for `/guilds/1/members/%40me`, and routes are found by what they say literally.
pub async fn version(mut request: Request, next: Next) -> Response {
    let uri = request.uri();
    let path = uri.path().replace("%40", "@");
    let (first, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let number = first.strip_prefix('v').filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if number.is_some_and(|number| !["8", "9", "10"].contains(&number)) {
        return ApiError::from(ErrorCode::InvalidApiVersion).into_response();
    }
    if number.is_some() || path != uri.path() {
        let path = if number.is_some() { rest } else { &path[1..] };
        let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        let Ok(plain) = format!("/{path}{query}").parse() else {
            return ApiError::from(ErrorCode::NotFound).into_response();
        };
        *request.uri_mut() = plain;
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::{major_parameter, webhook_address};

    #[test]
    fn the_major_parameter_is_the_channel_or_guild_that_leads_the_path() {
        assert_eq!(major_parameter("/channels/{channel_id}/messages", "/channels/42/messages"), 42);
        assert_eq!(major_parameter("/guilds/{guild_id}", "/guilds/7"), 7);
        assert_eq!(major_parameter("/users/{user_id}", "/users/7"), 0);
        assert_eq!(major_parameter("/channels/{channel_id}", "/channels/x"), 0);
        assert_eq!(
            major_parameter("/interactions/{interaction_id}/{interaction_token}/callback", "/interactions/7/x/callback"),
            7
        );
        let address = |path: &str| webhook_address("/webhooks/{webhook_id}/{webhook_token}", path);
        assert_eq!(address("/webhooks/7/x/messages/1"), address("/webhooks/7/x"));
        assert_ne!(address("/webhooks/7/x"), address("/webhooks/7/y"));
        assert_eq!(webhook_address("/webhooks/{webhook_id}", "/webhooks/7"), None);
    }
}
