//! What a handler may answer instead of its result, in Discord's form: `{code, message, errors?}`.

use super::form::Errors;
use super::passwords::Busy;
use crate::store::{Conflict, StoreError};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use guildhall_protocol::ErrorCode;
use serde_json::json;
use std::time::Duration;

#[derive(Debug)]
pub enum ApiError {
    Code(ErrorCode),
    /// 50035 with the tree of what is wrong.
    Form(Errors),
    /// The channel's slowmode: when the next message is welcome.
    SlowMode(Duration),
    /// A refusal that no number exists for.
    Other(StatusCode, &'static str),
}

pub type Result<T> = std::result::Result<T, ApiError>;

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

impl From<Errors> for ApiError {
    fn from(errors: Errors) -> Self {
        Self::Form(errors)
    }
}

impl From<Busy> for ApiError {
    fn from(_: Busy) -> Self {
        ErrorCode::Unavailable.into()
    }
}

impl From<StoreError> for ApiError {
    /// The meaning of a conflict where it is always the same; see [`Refine`] for the others.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(Conflict::UsernameTaken) => {
                Errors::of("username", "USERNAME_ALREADY_TAKEN", "Username is already taken").into()
            }
            StoreError::Conflict(Conflict::EmailTaken) => {
                Errors::of("email", "EMAIL_ALREADY_REGISTERED", "Email is already registered.").into()
            }
            StoreError::Conflict(Conflict::NameTaken) => {
                Errors::of("name", "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique").into()
            }
            StoreError::Conflict(Conflict::AlreadyAnswered) => ErrorCode::InteractionAnswered.into(),
            StoreError::Conflict(Conflict::InviteSpent) => ErrorCode::UnknownInvite.into(),
            StoreError::Conflict(Conflict::Banned) => ErrorCode::UserIsBanned.into(),
            StoreError::Conflict(Conflict::StorageFull) => Self::Other(
                StatusCode::PAYLOAD_TOO_LARGE,
                "There is no room left for more files: delete some of yours, or ask whoever runs this server for more",
            ),
            StoreError::Conflict(Conflict::Missing | Conflict::AlreadyMember | Conflict::AlreadyThere | Conflict::Full) => {
                ErrorCode::NotFound.into()
            }
            StoreError::Conflict(Conflict::Archived) => ErrorCode::ArchivedThread.into(),
            StoreError::Conflict(Conflict::TooManyThreads) => ErrorCode::TooManyThreads.into(),
            StoreError::Conflict(Conflict::Owner) => ErrorCode::OwnsGuilds.into(),
            StoreError::Conflict(Conflict::System) => ErrorCode::SystemMessage.into(),
            StoreError::Busy | StoreError::NotCommitted => ErrorCode::Unavailable.into(),
            StoreError::Database(_) | StoreError::Corrupt(_) => {
                tracing::error!(%error, "the store failed");
                ErrorCode::Internal.into()
            }
        }
    }
}

/// Says what a conflict means for one route.
pub trait Refine<T> {
    fn refine(self, meanings: &[(Conflict, ErrorCode)]) -> Result<T>;
}

impl<T> Refine<T> for crate::store::Result<T> {
    fn refine(self, meanings: &[(Conflict, ErrorCode)]) -> Result<T> {
        self.map_err(|error| match error {
            StoreError::Conflict(conflict) => meanings
                .iter()
                .find(|(known, _)| *known == conflict)
                .map_or_else(|| error.into(), |(_, code)| ApiError::Code(*code)),
            error => error.into(),
        })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Code(code) => {
                let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, Json(json!({ "code": code.number(), "message": code.message() }))).into_response()
            }
            Self::Form(errors) => {
                let code = ErrorCode::InvalidForm;
                let body = json!({ "code": code.number(), "message": code.message(), "errors": errors.into_value() });
                (StatusCode::BAD_REQUEST, Json(body)).into_response()
            }
            Self::SlowMode(wait) => {
                let code = ErrorCode::SlowMode;
                let body = json!({
                    "code": code.number(), "message": code.message(), "retry_after": wait.as_secs_f64(), "global": false,
                });
                let mut response = (StatusCode::TOO_MANY_REQUESTS, Json(body)).into_response();
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil() as u64));
                response
            }
            Self::Other(status, message) => (status, Json(json!({ "code": 0, "message": message }))).into_response(),
        }
    }
}
