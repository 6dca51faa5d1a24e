//! Registering, logging in and out.

use super::body::{Body, Person};
use super::device::From;
use super::error::{ApiError, Result};
use super::form::{Errors, Form, Patch, Shape};
use super::routes::{Routes, post};
use crate::app::{App, Registration};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::User;
use serde_json::{Value, json};

/// Characters of a username, e-mail address (RFC 5321 §4.5.3.1) and password; argon2 would take more, clients show this much.
const USERNAME: std::ops::RangeInclusive<usize> = 2..=32;
const EMAIL: std::ops::RangeInclusive<usize> = 3..=254;
pub const PASSWORD: std::ops::RangeInclusive<usize> = 8..=128;

pub fn routes() -> Routes {
    Routes::new()
        .route("/auth/register", post(register, "Makes an account and logs it in."))
        .route("/auth/login", post(log_in, "Logs in with a user name or e-mail address and a password."))
        .route("/users/@me/delete", post(delete, "Deletes your account: what you wrote stays, under nobody's name."))
        .route("/auth/logout", post(log_out, "Ends the session of the token that it is called with."))
}

/// Bodies of those who have shown no token: a hundred times what they need.
const STRANGERS_BODY_BYTES: usize = 16 * 1024;

struct Register {
    username: String,
    global_name: Option<String>,
    email: Patch<String>,
    password: String,
    invite: Option<String>,
}

impl Shape for Register {
    const BODY_BYTES: usize = STRANGERS_BODY_BYTES;

    fn read(form: &Form) -> Self {
        Self {
            username: form.required("username", username(form)),
            global_name: form.text("global_name", 1..=32).value(),
            email: email(form),
            password: form.required("password", form.secret("password", PASSWORD)),
            invite: form.text("invite", 1..=32).value(),
        }
    }
}

/// A person's name: letters and digits of any script, `_`, `.` and `-`.
pub fn username(form: &Form) -> Patch<String> {
    let name = form.text("username", USERNAME);
    if let Patch::Set(name) = &name
        && !name.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c))
    {
        form.refuse("username", "USERNAME_INVALID_CHARACTERS", "Use letters, digits, underscores, hyphens and periods only.");
    }
    name
}

/// An e-mail address.
pub fn email(form: &Form) -> Patch<String> {
    let email = form.text("email", EMAIL);
    let Patch::Set(address) = &email else { return email };
    let is_address = address.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !address.contains(char::is_whitespace)
    });
    if !is_address {
        form.refuse("email", "EMAIL_TYPE_INVALID_EMAIL", "Not a well formed email address.");
    }
    email
}

async fn register(State(app): State<App>, From(device): From, Body(new): Body<Register>) -> Result<(StatusCode, Json<Value>)> {
    if app.config().registration == Registration::Closed {
        return Err(ApiError::Other(StatusCode::FORBIDDEN, "Registration is closed on this server"));
    }
    let password_hash = app.passwords().hash(new.password).await?;
    let user = User::new(app.store().make_id(), new.username, new.global_name, false);
    let token = app.store().register(user.clone(), new.email.value(), password_hash, device).await?;
    if let Some(code) = new.invite {
        // The account exists either way; an invite that went stale meanwhile must not look like a failed registration.
        if let Err(error) = app.store().use_invite(code, user).await {
            tracing::debug!(%error, "the invite of a registration was not used");
        }
    }
    Ok((StatusCode::CREATED, Json(json!({ "token": token }))))
}

struct LogIn {
    login: String,
    password: String,
}

impl Shape for LogIn {
    const BODY_BYTES: usize = STRANGERS_BODY_BYTES;

    fn read(form: &Form) -> Self {
        Self {
            login: form.required("login", form.text("login", 1..=254)),
            password: form.required("password", form.secret("password", 1..=*PASSWORD.end())),
        }
    }
}

async fn log_in(State(app): State<App>, From(device): From, Body(LogIn { login, password }): Body<LogIn>) -> Result<Json<Value>> {
    let found = app.store().find_credentials(&login).await?;
    let user_id = found.as_ref().map(|found| found.user_id);
    let fits = app.passwords().verify(password, found.map(|found| found.password_hash)).await?;
    // One answer for a wrong name and a wrong password, so that nobody can ask which accounts exist.
    let Some(user_id) = user_id.filter(|_| fits) else {
        return Err(Errors::of("login", "INVALID_LOGIN", "Login or password is invalid.").into());
    };
    let token = app.log_in(user_id, device).await?;
    let settings = app.store().settings_of(user_id).await?;
    Ok(Json(json!({
        "user_id": user_id,
        "token": token,
        "user_settings": { "locale": settings["locale"], "theme": settings["theme"] },
    })))
}

async fn log_out(State(app): State<App>, Person(caller): Person) -> Result<StatusCode> {
    app.store().revoke_token(caller.id(), caller.token_hash).await?;
    Ok(StatusCode::NO_CONTENT)
}

struct Delete {
    password: Option<String>,
}

impl Shape for Delete {
    fn read(form: &Form) -> Self {
        Self { password: form.secret("password", 1..=*PASSWORD.end()).value() }
    }
}

async fn delete(State(app): State<App>, Person(caller): Person, Body(Delete { password }): Body<Delete>) -> Result<StatusCode> {
    app.require_password(&caller, password).await?;
    app.store().delete_account(caller.id()).await?;
    Ok(StatusCode::NO_CONTENT)
}
