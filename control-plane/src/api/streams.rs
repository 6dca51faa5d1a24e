//! Programs that publish to a voice channel (WHIP, RFC 9725) or watch it (WHEP), and the keys that they come with.
//!
//! A program offers here and is redirected to the node that has the channel, which answers it. The token in that address is
//! worth one offer within a minute.

use super::access::ChannelAccess;
use super::body::{Body, Caller, Ids};
use super::error::{ApiError, Refine, Result};
use super::form::{Form, Shape};
use super::intake;
use super::routes::{Answer, Describe, Given, Routes, delete, get, post};
use crate::app::App;
use crate::gateway::Origin;
use crate::store::{Conflict, StoredStreamKey};
use crate::voice::Refused;
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use guildhall_protocol::fleet::Way;
use guildhall_protocol::model::{StreamKey, timestamp};
use guildhall_protocol::{ChannelId, ErrorCode, Permissions, StreamKeyId};

const NAME: std::ops::RangeInclusive<usize> = 1..=80;
/// What a key is called that nobody named.
const UNNAMED: &str = "Stream";
/// The longest offer; nodes read no longer one.
const OFFER_BYTES: usize = 64 * 1024;
/// When to try again after there was no node: they come back within seconds.
const LATER: HeaderValue = HeaderValue::from_static("5");

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/channels/{channel_id}/stream-keys",
            get(list, "Lists your stream keys for a voice channel, without the secrets.")
                .post(create, "Makes a key by which programs publish to the channel or watch it as you; shown once: CONNECT."),
        )
        .route(
            "/channels/{channel_id}/stream-keys/{stream_key_id}",
            delete(remove, "Deletes one of your stream keys; who came by it is disconnected."),
        )
        .route(
            "/channels/{channel_id}/whip",
            post(
                whip,
                "WHIP: an offer (`application/sdp`) with a stream key as bearer token; 307 to the node that answers it: STREAM.",
            ),
        )
        .route("/channels/{channel_id}/whep", post(whep, "WHEP: the same for who watches: CONNECT."))
}

#[derive(Default)]
struct Create {
    name: Option<String>,
}

impl Shape for Create {
    fn read(form: &Form) -> Self {
        Self { name: form.text("name", NAME).value() }
    }
}

fn shown(key: StoredStreamKey, secret: Option<String>, origin: &Origin) -> StreamKey {
    let StoredStreamKey { id, user_id, channel_id, name, created_at, .. } = key;
    let url = |way: Way| {
        let scheme = if origin.is_tls { "https" } else { "http" };
        format!("{scheme}://{}/api/v10/channels/{channel_id}/{}", origin.host, way.name())
    };
    StreamKey {
        id,
        channel_id,
        user_id,
        name,
        created_at: timestamp(created_at),
        key: secret,
        whip_url: url(Way::Whip),
        whep_url: url(Way::Whep),
    }
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Ids(channel): Ids<ChannelId>,
) -> Result<Json<Vec<StreamKey>>> {
    app.in_channel(&caller, channel, |_| Ok(())).await?;
    let keys = app.store().stream_keys_of(caller.id(), channel).await?;
    Ok(Json(keys.into_iter().map(|key| shown(key, None, &origin)).collect()))
}

async fn create(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Ids(channel): Ids<ChannelId>,
    Body(new): Body<Create>,
) -> Result<(StatusCode, Json<StreamKey>)> {
    app.in_channel(&caller, channel, |access: ChannelAccess| {
        access.require(Permissions::CONNECT)?;
        if access.channel.kind.is_voice() { Ok(()) } else { Err(ErrorCode::WrongChannelType.into()) }
    })
    .await?;
    let meanings = [(Conflict::Missing, ErrorCode::UnknownChannel), (Conflict::Full, ErrorCode::TooManyStreamKeys)];
    let name = new.name.unwrap_or_else(|| UNNAMED.to_owned());
    let (key, secret) = app.store().create_stream_key(caller.id(), channel, name).await.refine(&meanings)?;
    Ok((StatusCode::CREATED, Json(shown(key, Some(secret), &origin))))
}

async fn remove(State(app): State<App>, caller: Caller, Ids((channel, id)): Ids<(ChannelId, StreamKeyId)>) -> Result<StatusCode> {
    // Also by who may not see the channel any more: the key is theirs.
    let meanings = [(Conflict::Missing, ErrorCode::UnknownStreamKey)];
    app.store().delete_stream_key(caller.id(), channel, id).await.refine(&meanings)?;
    Ok(StatusCode::NO_CONTENT)
}

/// An offer that was read to its end, so that a client which sends before it listens hears the answer. The node reads what
/// it says.
struct Offer {
    is_sdp: bool,
}

impl Describe for Offer {}

impl<S: Send + Sync> FromRequest<S> for Offer {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_sdp = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/sdp"));
        intake::read(request.into_body(), OFFER_BYTES).await?;
        Ok(Self { is_sdp })
    }
}

/// A stream key in a request's head.
struct Bearer(Option<String>);

impl Describe for Bearer {}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self> {
        let value = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        Ok(Self(token.map(|(_, token)| token.trim().to_owned())))
    }
}

/// An empty 307, or a refusal with more in its head than others.
struct SentOn(Response);

impl Answer for SentOn {
    const STATUS: u16 = 307;
    fn given() -> Given {
        Given::Nothing
    }
}

impl IntoResponse for SentOn {
    fn into_response(self) -> Response {
        self.0
    }
}

async fn whip(
    State(app): State<App>,
    bearer: Bearer,
    origin: Origin,
    Ids(channel): Ids<ChannelId>,
    offer: Offer,
) -> Result<SentOn> {
    open(&app, Way::Whip, bearer, &origin, channel, &offer).await
}

async fn whep(
    State(app): State<App>,
    bearer: Bearer,
    origin: Origin,
    Ids(channel): Ids<ChannelId>,
    offer: Offer,
) -> Result<SentOn> {
    open(&app, Way::Whep, bearer, &origin, channel, &offer).await
}

async fn open(app: &App, way: Way, Bearer(token): Bearer, origin: &Origin, channel: ChannelId, offer: &Offer) -> Result<SentOn> {
    let key = match token {
        Some(token) => app.store().find_stream_key(&token).await?,
        None => None,
    };
    let Some(key) = key else {
        let answer = (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], ApiError::from(ErrorCode::Unauthorized));
        return Ok(SentOn(answer.into_response()));
    };
    if !offer.is_sdp {
        return Err(ApiError::Other(StatusCode::UNSUPPORTED_MEDIA_TYPE, "An offer is application/sdp"));
    }
    if key.channel_id != channel {
        return Err(ErrorCode::MissingAccess.into());
    }
    match app.hub().open_stream(&key, way, &origin.host).await {
        Ok(entrance) => {
            let host = entrance.endpoint.map(|endpoint| format!("https://{endpoint}")).unwrap_or_default();
            let location = format!("{host}/streams?token={}", entrance.token);
            let location = HeaderValue::try_from(location).map_err(|_| ErrorCode::Internal)?;
            Ok(SentOn((StatusCode::TEMPORARY_REDIRECT, HeaderMap::from_iter([(LOCATION, location)])).into_response()))
        }
        Err(Refused::Hidden) => Err(ErrorCode::MissingAccess.into()),
        Err(Refused::MayNot) => Err(ErrorCode::MissingPermissions.into()),
        Err(Refused::Full) => Err(ApiError::Other(StatusCode::CONFLICT, "The voice channel is full")),
        Err(Refused::NoNode) => {
            let answer = (HeaderMap::from_iter([(RETRY_AFTER, LATER)]), ApiError::from(ErrorCode::Unavailable));
            Ok(SentOn(answer.into_response()))
        }
    }
}
