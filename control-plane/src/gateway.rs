//! The main gateway: how clients hear what happens.
//!
//! [`session::Session`] is the protocol of one connection, [`mailbox::Mailbox`] what a session was told, `socket` the shell
//! that joins them to a WebSocket (`wire`). This file is the HTTP side: which parameters a connection comes with, and the upgrade.

pub(crate) mod admission;
pub(crate) mod cloakroom;
mod compress;
pub(crate) mod link;
pub mod mailbox;
pub mod session;
mod socket;
pub(crate) mod starts;
#[cfg(test)]
mod tests;
pub(crate) mod turnstile;
mod wire;
#[cfg(test)]
mod wire_tests;

pub use wire::Upgrade;

use crate::hub::Hub;
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use compress::Codec;
use guildhall_protocol::connection::Connection;
use guildhall_protocol::gateway::VERSIONS;
use serde::Deserialize;
use std::convert::Infallible;
use std::net::IpAddr;

/// By which name and scheme a client reached us, where it is told to come back to, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `host` or `host:port`.
    pub host: String,
    pub is_tls: bool,
    pub address: Option<IpAddr>,
}

impl Origin {
    /// For `GET /gateway` and READY's `resume_gateway_url`.
    pub fn gateway_url(&self) -> String {
        format!("{}://{}/gateway", if self.is_tls { "wss" } else { "ws" }, self.host)
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        // HTTP/1.1 requires Host; a client without one can only be on this machine.
        let host = header(HOST.as_str()).unwrap_or("localhost").to_owned();
        let by_proxy = header("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let connection = parts.extensions.get::<Connection>();
        let is_tls = by_proxy || connection.is_some_and(|connection| connection.is_tls);
        Ok(Self { host, is_tls, address: connection.map(|connection| connection.client) })
    }
}

/// The query of a gateway connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Parameters {
    v: Option<String>,
    encoding: Option<String>,
    compress: Option<String>,
}

impl Parameters {
    /// serenity sends no encoding, some clients no version.
    fn version(&self) -> Option<u8> {
        let version = self.v.as_deref().map_or(Some(VERSIONS[1]), |v| v.parse().ok())?;
        let is_json = self.encoding.as_deref().is_none_or(|encoding| encoding.eq_ignore_ascii_case("json"));
        (is_json && VERSIONS.contains(&version)).then_some(version)
    }

    /// Whoever asks for another compression gets plain text frames, as libraries expect of a server that has none.
    fn codec(&self) -> Option<Codec> {
        match self.compress.as_deref()? {
            "zlib-stream" => Some(Codec::Zlib),
            "zstd-stream" => Some(Codec::Zstd),
            _ => None,
        }
    }
}

/// Answers the upgrade and serves the connection until it ends. 503 when the server has as many sockets as it may, or stops.
pub fn upgrade(hub: Hub, upgrade: Upgrade, Query(parameters): Query<Parameters>, origin: Origin) -> Response {
    let Some(pass) = hub.enter() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "This gateway is full.").into_response();
    };
    upgrade.accept(move |wire| socket::serve(wire, hub, pass, parameters, origin))
}
