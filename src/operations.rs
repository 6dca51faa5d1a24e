//! What machines that watch over the server ask: is it alive (`/livez`), may it be given work (`/readyz`), and what does it
//! do (`/metrics`). Nothing here is counted on the way of a packet or a message; everything is read when someone asks.

mod metrics;
#[cfg(test)]
mod tests;

use axum::extract::State;
use axum::http::header::{self, HeaderMap};
use axum::http::uri::Authority;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use guildhall_control_plane::Vitals;
use guildhall_protocol::connection::Connection;
use guildhall_sfu::Sfu;
use guildhall_signaling::Signaling;
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// A part that does not answer for this long does not answer. Below the patience of common probes (a second or more is usual,
/// systemd and Kubernetes ask again), and both parts are asked at the same time.
const PATIENCE: Duration = Duration::from_millis(800);

/// A verdict is given again for this long: however often strangers ask, the parts are asked once a second.
const VERDICT_AGE: Duration = Duration::from_secs(1);

/// Headers that proxies add. Who comes through one is somewhere else, even if the proxy is here.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Watch(Arc<Inner>);

struct Inner {
    /// `None`: a voice node.
    vitals: Option<Vitals>,
    /// `None`: a control plane without one.
    sfu: Option<Sfu>,
    /// Of the same node.
    signaling: Option<Signaling>,
    /// Held while the parts are asked, so that everyone else waits for the same answer.
    verdict: Mutex<Option<(Instant, Readiness)>>,
}

#[derive(Clone, Serialize)]
struct Readiness {
    ready: bool,
    /// `database`, `media`.
    failing: Vec<&'static str>,
    /// `bus`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    degraded: Vec<&'static str>,
}

pub fn router(vitals: Option<Vitals>, sfu: Option<Sfu>, signaling: Option<Signaling>) -> Router {
    let watch = Watch(Arc::new(Inner { vitals, sfu, signaling, verdict: Mutex::default() }));
    Router::new()
        .route("/livez", get(async || "alive"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(watch)
}

async fn readyz(State(watch): State<Watch>) -> Response {
    let verdict = watch.verdict().await;
    let status = if verdict.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(verdict)).into_response()
}

impl Watch {
    async fn verdict(&self) -> Readiness {
        let mut kept = self.0.verdict.lock().await;
        if let Some((at, verdict)) = &*kept
            && at.elapsed() < VERDICT_AGE
        {
            return verdict.clone();
        }
        let (database, media) = tokio::join!(self.is_database_up(), self.is_media_up());
        let parts = [("database", database), ("media", media)];
        let failing: Vec<_> = parts.into_iter().filter(|(_, is_up)| !is_up).map(|(name, _)| name).collect();
        // Without the bus everything works, and what others do comes a little later.
        let degraded = if self.0.vitals.as_ref().and_then(Vitals::is_bus_up) == Some(false) { vec!["bus"] } else { Vec::new() };
        let verdict = Readiness { ready: failing.is_empty(), failing, degraded };
        if !verdict.ready {
            tracing::warn!(failing = ?verdict.failing, "not ready");
        }
        *kept = Some((Instant::now(), verdict.clone()));
        verdict
    }

    async fn is_database_up(&self) -> bool {
        let Some(vitals) = &self.0.vitals else { return true };
        matches!(timeout(PATIENCE, vitals.check_database()).await, Ok(Ok(())))
    }

    async fn is_media_up(&self) -> bool {
        let Some(sfu) = &self.0.sfu else { return true };
        timeout(PATIENCE, sfu.stats()).await.is_ok_and(|stats| stats.workers.len() == sfu.addresses().len())
    }
}

/// Only for this machine; for everyone else there is no such page.
async fn metrics(State(watch): State<Watch>, Extension(connection): Extension<Connection>, headers: HeaderMap) -> Response {
    if !is_from_here(connection, &headers) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Inner { vitals, sfu, signaling, .. } = &*watch.0;
    // A scrape of a server whose media engine hangs still says how the rest is.
    let media = match sfu {
        Some(sfu) => Some(timeout(PATIENCE, sfu.stats()).await.unwrap_or_default()),
        None => None,
    };
    let control = match vitals {
        Some(vitals) => Some(metrics::Control {
            census: vitals.census(),
            fleet: vitals.fleet(),
            probes: vitals.probes(),
            writer: vitals.writer(),
            requests: vitals.requests(),
            files: vitals.files(),
            recordings: vitals.recordings(),
            attachment_bytes: timeout(PATIENCE, vitals.attachment_bytes()).await.ok().and_then(Result::ok),
        }),
        None => None,
    };
    let recorders = signaling.as_ref().map(Signaling::recorders);
    let page = metrics::page(media.as_ref(), recorders.as_ref(), control.as_ref(), metrics::Process::read());
    ([(header::CONTENT_TYPE, PROMETHEUS), (header::CACHE_CONTROL, "no-store")], page).into_response()
}

/// From a loopback address, to a loopback name, through no proxy. The name also keeps out foreign web pages whose own name
/// points to this machine.
fn is_from_here(connection: Connection, headers: &HeaderMap) -> bool {
    let is_forwarded = FORWARDED.into_iter().any(|name| headers.contains_key(HeaderName::from_static(name)));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let is_local_name = host.is_some_and(|host| {
        let name = host.host().trim_matches(['[', ']']);
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    connection.peer.ip().to_canonical().is_loopback() && is_local_name && !is_forwarded
}
