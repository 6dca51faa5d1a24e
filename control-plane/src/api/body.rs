//! Extractors: what a handler gets out of a request, or the documented error.

use super::error::{ApiError, Result};
use super::form::{Errors, Shape, read};
use super::intake;
use crate::audit::By;
use crate::files::multipart::percent_decoded;
use crate::store;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use guildhall_protocol::{
    ApplicationId, ChannelId, CommandId, EmojiId, ErrorCode, GuildId, InteractionId, MessageId, RecordingId, RoleId, Snowflake,
    StreamKeyId, UserId, WebhookId,
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The largest body of most kinds ([`Shape::BODY_BYTES`]).
pub const BODY_BYTES: usize = 512 * 1024;
/// Values in a body that is larger than most: a picture has a few fields beside it.
const VALUES: usize = BODY_BYTES / 16;
/// The header that explains a moderator's deed.
const REASON_HEADER: &str = "x-audit-log-reason";
const REASON_CHARACTERS: usize = 512;

/// Who is calling; without it the answer is 401.
#[derive(Clone)]
pub struct Caller(pub Arc<store::Caller>);

impl std::ops::Deref for Caller {
    type Target = store::Caller;
    fn deref(&self) -> &store::Caller {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.extensions.get::<Self>().cloned().ok_or(ErrorCode::Unauthorized.into())
    }
}

/// A caller that is a person: some things bots may not do.
pub struct Person(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.is_bot() { Err(ErrorCode::PeopleOnly.into()) } else { Ok(Self(caller)) }
    }
}

/// A JSON body, read field by field. An absent body counts as `{}`: what is required is then named.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: Shape> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (bytes, _share) = intake::read(request.into_body(), T::BODY_BYTES).await?;
        Ok(Self(read(&parse(&bytes)?)?))
    }
}

/// A JSON body of any shape.
pub struct Json(pub Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (bytes, _share) = intake::read(request.into_body(), BODY_BYTES).await?;
        Ok(Self(parse(&bytes)?))
    }
}

/// How deep JSON may nest is `serde_json`'s limit of 128. A value takes sixteen times the memory of the shortest text of it,
/// so a body that is large because of the picture in it may hold no more values than others.
pub(super) fn parse(bytes: &[u8]) -> Result<Value> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
    }
    if bytes.len() > BODY_BYTES && bytes.iter().filter(|byte| b",[{".contains(byte)).count() > VALUES {
        return Err(ErrorCode::RequestTooLarge.into());
    }
    serde_json::from_slice(bytes).map_err(|_| ErrorCode::InvalidJson.into())
}

/// The query string, read like a body whose values are texts; a name that comes repeatedly is a list of them.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: Shape> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let pairs = pairs.map_or_else(|_| Vec::new(), |axum::extract::Query(pairs)| pairs);
        Ok(Self(read(&query_fields(pairs))?))
    }
}

pub(super) fn query_fields(pairs: Vec<(String, String)>) -> Value {
    let mut fields = Map::new();
    for (name, value) in pairs {
        match fields.get_mut(&name) {
            None => drop(fields.insert(name, Value::String(value))),
            Some(Value::Array(values)) => values.push(Value::String(value)),
            Some(first) => *first = Value::Array(vec![first.take(), Value::String(value)]),
        }
    }
    Value::Object(fields)
}

/// The ids in the path, in order. One that is not an id is refused by its name.
pub struct Ids<T>(pub T);

pub trait PathIds: Sized {
    fn read(next: &mut dyn FnMut() -> Result<Snowflake>) -> Result<Self>;
}

macro_rules! path_ids {
    ($($id:ty)*) => {$(
        impl PathIds for $id {
            fn read(next: &mut dyn FnMut() -> Result<Snowflake>) -> Result<Self> {
                next().map(Self::from)
            }
        }
    )*};
}

path_ids! { Snowflake UserId GuildId ChannelId MessageId RoleId ApplicationId CommandId InteractionId EmojiId WebhookId StreamKeyId RecordingId }

impl<A: PathIds, B: PathIds> PathIds for (A, B) {
    fn read(next: &mut dyn FnMut() -> Result<Snowflake>) -> Result<Self> {
        Ok((A::read(next)?, B::read(next)?))
    }
}

impl<A: PathIds, B: PathIds, C: PathIds> PathIds for (A, B, C) {
    fn read(next: &mut dyn FnMut() -> Result<Snowflake>) -> Result<Self> {
        Ok((A::read(next)?, B::read(next)?, C::read(next)?))
    }
}

impl<S: Send + Sync, T: PathIds> FromRequestParts<S> for Ids<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| ErrorCode::NotFound)?;
        let mut params = params.iter();
        T::read(&mut || {
            let (name, text) = params.next().ok_or(ErrorCode::NotFound)?;
            let id = text.parse().ok().filter(|id| i64::try_from(*id).is_ok());
            id.map(Snowflake).ok_or_else(|| {
                let text: String = text.chars().take(50).collect();
                Errors::of(name, "NUMBER_TYPE_COERCE", &format!("Value \"{text}\" is not snowflake.")).into()
            })
        })
        .map(Self)
    }
}

/// Who is calling, as the audit log names them, with the reason that they give: percent-encoded UTF-8 in a header. Nobody
/// calls on a route that wants no token.
impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let user = parts.extensions.get::<Caller>().map(|caller| caller.id());
        let reason = parts.headers.get(REASON_HEADER).map(|value| percent_decoded(value.as_bytes()));
        let reason = reason.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let reason = reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
        if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARACTERS) {
            let message = format!("Must be {REASON_CHARACTERS} or fewer in length.");
            return Err(Errors::of("reason", "BASE_TYPE_MAX_LENGTH", &message).into());
        }
        Ok(Self { user, reason })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_reason_is_percent_decoded_and_bad_escapes_stay() {
        for (encoded, expected) in [("spam%20and%20%C3%BC", "spam and ü"), ("100%", "100%"), ("%zz%2", "%zz%2"), ("", "")] {
            assert_eq!(super::percent_decoded(encoded.as_bytes()), expected.as_bytes());
        }
    }
}
