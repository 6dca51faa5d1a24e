//! Where someone is logged in, and ending that.

use super::accounts::PASSWORD;
use super::body::{Body, Person};
use super::error::Result;
use super::form::{Errors, Form, Shape};
use super::routes::{Routes, get, post};
use crate::app::App;
use crate::store::{self, Issued};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// Log-ins that one request ends: more than an account has.
const ENDED: usize = 100;

pub fn routes() -> Routes {
    Routes::new()
        .route("/auth/sessions", get(list, "Where you are logged in."))
        .route("/auth/sessions/logout", post(end, "Ends log-ins of yours; their gateway sessions close with 4004."))
}

impl App {
    /// Refuses a password that is not the caller's, as a wrong field.
    pub async fn require_password(&self, caller: &store::Caller, password: Option<String>) -> Result<()> {
        let known = self.store().password_hash(caller.id()).await?;
        if self.passwords().verify(password.unwrap_or_default(), known).await? {
            Ok(())
        } else {
            Err(Errors::of("password", "PASSWORD_DOES_NOT_MATCH", "Password does not match.").into())
        }
    }

    /// A new log-in. What had to go for it ends everywhere.
    pub async fn log_in(&self, user: guildhall_protocol::UserId, device: store::Device) -> Result<String> {
        let Issued { token, .. } = self.store().log_in(user, device).await?;
        Ok(token)
    }
}

#[derive(Serialize, JsonSchema)]
struct Sessions {
    user_sessions: Vec<Session>,
}

#[derive(Serialize, JsonSchema)]
struct Session {
    id_hash: String,
    approx_last_used_time: String,
    client_info: ClientInfo,
}

#[derive(Serialize, JsonSchema)]
struct ClientInfo {
    os: Option<String>,
    platform: Option<String>,
    /// Always `null`: addresses are not kept.
    location: Option<String>,
}

async fn list(State(app): State<App>, Person(caller): Person) -> Result<Json<Sessions>> {
    let log_ins = app.store().log_ins_of(caller.id()).await?.into_iter();
    let user_sessions = log_ins.map(|log_in| Session {
        id_hash: log_in.id_hash,
        approx_last_used_time: timestamp(log_in.used_at),
        client_info: ClientInfo { os: log_in.device.os, platform: log_in.device.platform, location: None },
    });
    Ok(Json(Sessions { user_sessions: user_sessions.collect() }))
}

struct End {
    id_hashes: Vec<String>,
    password: Option<String>,
}

impl Shape for End {
    fn read(form: &Form) -> Self {
        Self {
            id_hashes: form.required("session_id_hashes", form.words("session_id_hashes", ENDED)),
            password: form.secret("password", 1..=*PASSWORD.end()).value(),
        }
    }
}

async fn end(State(app): State<App>, Person(caller): Person, Body(End { id_hashes, password }): Body<End>) -> Result<StatusCode> {
    app.require_password(&caller, password).await?;
    app.store().end_log_ins(caller.id(), id_hashes).await?;
    Ok(StatusCode::NO_CONTENT)
}
