//! Extractors: what a handler gets out of a request, or the documented error.

use super::error::{ApiError, Result};
use super::form::{Errors, Shape, read};
use crate::audit::By;
use crate::store;
use axum::body::{Body as RawBody, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Multipart, RawPathParams, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use guildhall_protocol::{
    ApplicationId, ChannelId, CommandId, ErrorCode, GuildId, InteractionId, MessageId, RoleId, Snowflake, UserId,
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The largest body: ten embeds of the largest size are a tenth of it.
pub const BODY_BYTES: usize = 512 * 1024;
/// How deep JSON may nest is `serde_json`'s limit of 128.
const PAYLOAD_FIELD: &str = "payload_json";
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
        Ok(Self(read(&parse(&bytes(request.into_body()).await?)?)?))
    }
}

/// A JSON body of any shape.
pub struct Json(pub Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        Ok(Self(parse(&bytes(request.into_body()).await?)?))
    }
}

/// A JSON body, or the `payload_json` of a multipart form. Files are refused: attachments are not stored yet.
pub struct Upload<T>(pub T);

impl<S: Send + Sync, T: Shape> FromRequest<S> for Upload<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !content_type.starts_with("multipart/form-data") {
            return Body::from_request(request, state).await.map(|Body(value)| Self(value));
        }
        let malformed = |_| ApiError::from(ErrorCode::InvalidJson);
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, RawBody::from(bytes(body).await?));
        let mut multipart = Multipart::from_request(request, state).await.map_err(|_| ErrorCode::InvalidJson)?;
        let mut fields = Map::new();
        let mut payload = None;
        while let Some(field) = multipart.next_field().await.map_err(malformed)? {
            if field.file_name().is_some() {
                return Err(ErrorCode::InvalidFile.into());
            }
            let name = field.name().unwrap_or_default().to_owned();
            let text = field.text().await.map_err(malformed)?;
            if name == PAYLOAD_FIELD {
                payload = Some(parse(text.as_bytes())?);
            } else {
                fields.insert(name, Value::String(text));
            }
        }
        Ok(Self(read(&payload.unwrap_or(Value::Object(fields)))?))
    }
}

async fn bytes(body: RawBody) -> Result<Bytes> {
    axum::body::to_bytes(body, BODY_BYTES).await.map_err(|_| ErrorCode::RequestTooLarge.into())
}

fn parse(bytes: &[u8]) -> Result<Value> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
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
        let mut fields = Map::new();
        for (name, value) in pairs {
            match fields.get_mut(&name) {
                None => drop(fields.insert(name, Value::String(value))),
                Some(Value::Array(values)) => values.push(Value::String(value)),
                Some(first) => *first = Value::Array(vec![first.take(), Value::String(value)]),
            }
        }
        Ok(Self(read(&Value::Object(fields))?))
    }
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

path_ids! { Snowflake UserId GuildId ChannelId MessageId RoleId ApplicationId CommandId InteractionId }

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
        let reason = reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
        if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARACTERS) {
            let message = format!("Must be {REASON_CHARACTERS} or fewer in length.");
            return Err(Errors::of("reason", "BASE_TYPE_MAX_LENGTH", &message).into());
        }
        Ok(Self { user, reason })
    }
}

fn percent_decoded(bytes: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &tail[2..];
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_reason_is_percent_decoded_and_bad_escapes_stay() {
        for (encoded, expected) in [("spam%20and%20%C3%BC", "spam and ü"), ("100%", "100%"), ("%zz%2", "%zz%2"), ("", "")] {
            assert_eq!(super::percent_decoded(encoded.as_bytes()), expected);
        }
    }
}
