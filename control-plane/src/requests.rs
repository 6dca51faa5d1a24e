//! What is asked over HTTP: counted for metrics, and a line in the log for each request (target `guildhall::requests`, level
//! debug; those that failed inside: error). Those that were turned away because the server is too busy share a line a second.
//!
//! A line says method, route, status, how long it took, and a number that the answer has as `X-Request-Id`, so that a report
//! of a user can be found. It never has what was in the path's places (a webhook's token may be), in the query or in a body,
//! nor who asked.

use crate::app::App;
use crate::histogram::{Durations, Histogram};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tracing::Instrument;

pub const TARGET: &str = "guildhall::requests";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The first words of routes, each a class of its own. What matches none is `other`, what matches no route `unknown`.
pub const CLASSES: [&str; 14] = [
    "applications",
    "auth",
    "cdn",
    "channels",
    "gateway",
    "guilds",
    "interactions",
    "invites",
    "oauth2",
    "users",
    "voice",
    "webhooks",
    "other",
    "unknown",
];
const OTHER: usize = CLASSES.len() - 2;
const UNKNOWN: usize = CLASSES.len() - 1;

/// Groups of statuses. 429 by itself: it is how a limit that is too tight shows.
pub const STATUSES: [&str; 5] = ["2xx", "3xx", "4xx", "429", "5xx"];

/// Counters of every request so far.
#[derive(Debug)]
pub struct Requests {
    counts: [[AtomicU64; STATUSES.len()]; CLASSES.len()],
    durations: [Histogram; CLASSES.len()],
    /// Begins somewhere else at each start, so that numbers in old logs are not met again soon.
    next_id: AtomicU64,
    overload: Overload,
    start: Instant,
}

/// Requests that were turned away since it was last told. Whoever is too busy to answer is too busy to write a line for each.
#[derive(Debug, Default)]
struct Overload {
    untold: AtomicU64,
    /// The second in which it was last told, plus one; 0: never.
    told_at: AtomicU64,
}

impl Overload {
    /// Counts one more, `second` after some fixed moment; answers how many there are to tell, once a second.
    fn turned_away(&self, second: u64) -> Option<u64> {
        self.untold.fetch_add(1, Relaxed);
        let before = self.told_at.load(Relaxed);
        let is_due = before <= second && self.told_at.compare_exchange(before, second + 1, Relaxed, Relaxed).is_ok();
        is_due.then(|| self.untold.swap(0, Relaxed))
    }
}

/// A snapshot of one class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassStats {
    pub class: &'static str,
    /// Answers by group of statuses.
    pub counts: [u64; STATUSES.len()],
    /// From the request's head to the answer's.
    pub durations: Durations,
}

impl Default for Requests {
    fn default() -> Self {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).expect("the system has randomness");
        Self {
            counts: Default::default(),
            durations: Default::default(),
            next_id: u64::from_ne_bytes(random).into(),
            overload: Overload::default(),
            start: Instant::now(),
        }
    }
}

impl Requests {
    fn count(&self, class: usize, status: StatusCode, took: std::time::Duration) {
        let group = match status.as_u16() {
            429 => 3,
            ..300 => 0,
            300..400 => 1,
            400..500 => 2,
            _ => 4,
        };
        self.counts[class][group].fetch_add(1, Relaxed);
        self.durations[class].count(took);
    }

    pub fn read(&self) -> Vec<ClassStats> {
        let class = |(at, class): (usize, &&'static str)| ClassStats {
            class,
            counts: std::array::from_fn(|group| self.counts[at][group].load(Relaxed)),
            durations: self.durations[at].read(),
        };
        CLASSES.iter().enumerate().map(class).collect()
    }
}

fn class_of(route: Option<&str>) -> usize {
    let Some(route) = route else { return UNKNOWN };
    let route = route.strip_prefix("/api").unwrap_or(route);
    let first = route.trim_start_matches('/').split('/').next().unwrap_or_default();
    CLASSES.iter().position(|class| *class == first).unwrap_or(OTHER)
}

/// The outermost layer of routes.
pub async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let id = format!("{:016x}", app.requests().next_id.fetch_add(1, Relaxed));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    // What is logged on the way says which request it was.
    let span = tracing::info_span!(target: TARGET, "request", id);
    let mut response = next.run(request).instrument(span).await;
    let (status, took) = (response.status(), begin.elapsed());
    let route = route.as_ref().map(MatchedPath::as_str);
    app.requests().count(class_of(route), status, took);
    let (route, ms) = (route.unwrap_or("none"), took.as_micros() as f64 / 1_000.0);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let requests = app.requests();
        if let Some(count) = requests.overload.turned_away(requests.start.elapsed().as_secs()) {
            tracing::warn!(target: TARGET, count, "too busy: requests were turned away, nothing of them was stored");
        }
        tracing::debug!(target: TARGET, %method, route, status = status.as_u16(), ms, id, "answered");
    } else if status.is_server_error() {
        tracing::error!(target: TARGET, %method, route, status = status.as_u16(), ms, id, "answered");
    } else {
        tracing::debug!(target: TARGET, %method, route, status = status.as_u16(), ms, id, "answered");
    }
    response.headers_mut().insert(REQUEST_ID, HeaderValue::from_str(&id).expect("hexadecimal digits"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn requests_are_counted_by_what_their_route_begins_with_and_by_kind_of_status() {
        for (route, class) in [
            (Some("/api/channels/{channel_id}/messages"), "channels"),
            (Some("/webhooks/{webhook_id}/{webhook_token}"), "webhooks"),
            (Some("/cdn/{folder}/{id}/{file}"), "cdn"),
            (Some("/api/sticker-packs"), "other"),
            (None, "unknown"),
        ] {
            assert_eq!(CLASSES[class_of(route)], class, "{route:?}");
        }
        let requests = Requests::default();
        for status in [200, 204, 304, 404, 429, 500] {
            requests.count(3, StatusCode::from_u16(status).unwrap(), Duration::from_millis(2));
        }
        let read = requests.read();
        assert_eq!((read[3].class, read[3].counts), ("channels", [2, 1, 1, 1, 1]));
        assert_eq!((read[3].durations.count, read[2].durations.count), (6, 0));
    }

    #[test]
    fn an_overload_is_told_once_a_second_with_how_many_were_turned_away() {
        let overload = Overload::default();
        let told: Vec<_> = [0, 0, 0, 1, 1, 5].map(|second| overload.turned_away(second)).into();
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
