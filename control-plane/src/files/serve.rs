//! `/cdn/…`: sends files, whole or in ranges, as they are or as smaller pictures.
//!
//! The paths are those that client libraries know. Every address means the same bytes for ever, so caches may keep them; and
//! no answer is ever a page: what a browser could run is saved, not shown.

use super::part::Part;
use super::pictures::{self, FILE_BYTES, Format, default_avatar, side};
use super::sniff::{self, SNIFFED, content_type};
use super::{Files, Key, attachment_key, links, recordings, thumbnails_of};
use crate::app::App;
use crate::ids::unix_ms;
use crate::requests::observe;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Request, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::TryStreamExt;
use guildhall_protocol::{AttachmentId, ChannelId, Snowflake};
use object_store::{GetOptions, GetRange, ObjectStoreExt};
use serde::Deserialize;

/// Pictures of users, guilds and others: the folders of the store and of the addresses.
const FOLDERS: [&str; 6] = ["avatars", "banners", "icons", "splashes", "channel-icons", "app-icons"];
/// Characters of a picture's hash; with `a_` in front for animated ones.
const HASH_CHARACTERS: std::ops::RangeInclusive<usize> = 8..=40;

const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const POLICY: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");

pub fn router(app: App) -> Router {
    Router::new()
        .route("/cdn/attachments/{channel_id}/{attachment_id}/{filename}", get(attachment))
        .route("/cdn/emojis/{file}", get(emoji))
        .route("/cdn/recordings/{recording_id}/{user_id}/{start_ms}/{filename}", get(recordings::track))
        .route("/cdn/embed/avatars/{file}", get(embed_avatar))
        .route("/cdn/{folder}/{id}/{file}", get(picture))
        .layer(from_fn(guard))
        .layer(from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

/// What is true of every answer.
async fn guard(request: Request<Body>, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Nothing here depends on who asks: any page may show it.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    response
}

/// What cannot be sent.
pub(super) enum Refusal {
    NotFound,
    /// The picture is not there in that format.
    WrongFormat,
    RangeNotSatisfiable(u64),
    Busy,
    Failed(object_store::Error),
}

impl From<object_store::Error> for Refusal {
    fn from(error: object_store::Error) -> Self {
        if matches!(error, object_store::Error::NotFound { .. }) { Self::NotFound } else { Self::Failed(error) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "There is no such file.").into_response(),
            Self::WrongFormat => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "There is no such picture in this format.").into_response(),
            Self::RangeNotSatisfiable(size) => {
                (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, format!("bytes */{size}"))]).into_response()
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "Too many pictures are being made.")
                .into_response(),
            Self::Failed(error) => {
                tracing::error!(%error, "a file cannot be read");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, Refusal>;

/// The queries that addresses may have. What is malformed counts as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wishes {
    hm: String,
    size: String,
    width: String,
    height: String,
    format: String,
    animated: String,
}

impl Wishes {
    /// The longest side wished for.
    fn side(&self) -> Option<u32> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
        [&self.size, &self.width, &self.height].into_iter().filter_map(|text| number(text)).max().map(side)
    }
}

/// A file as a request wants it.
struct Item {
    key: Key,
    content_type: String,
    /// What a client saves it as.
    filename: Option<String>,
}

async fn attachment(
    State(app): State<App>,
    Path((channel, id, filename)): Path<(String, String, String)>,
    Query(wishes): Query<Wishes>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let (Ok(channel), Ok(id)) = (channel.parse::<ChannelId>(), id.parse::<AttachmentId>()) else { return Err(Refusal::NotFound) };
    if !app.files().is_signed(channel, id, &wishes.hm) {
        return Err(Refusal::NotFound);
    }
    let found = app.store().find_attachment(channel, id, unix_ms()).await;
    let stored = found.map_err(|error| {
        tracing::error!(%error, "an attachment cannot be looked up");
        Refusal::Busy
    })?;
    let stored = stored.ok_or(Refusal::NotFound)?;
    let item = Item { key: attachment_key(channel, id), content_type: stored.content_type, filename: Some(filename) };
    let known = Format::from_content_type(&item.content_type);
    let wanted = Format::from_extension(&wishes.format).or(known);
    match (known, wanted) {
        // A smaller GIF would stand still; who wants that says so by a format.
        (Some(known), Some(wanted))
            if wanted != Format::Gif && (known != wanted || wishes.side().is_some()) && stored.size <= FILE_BYTES =>
        {
            match app.files().made(&item, wanted, wishes.side()).await? {
                Some(made) => app.files().send(made, &method, &headers).await,
                // It cannot be decoded: then it is sent as it is, like any other file.
                None => app.files().send(item, &method, &headers).await,
            }
        }
        _ => app.files().send(item, &method, &headers).await,
    }
}

async fn emoji(
    State(app): State<App>,
    Path(file): Path<String>,
    Query(wishes): Query<Wishes>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let (id, extension) = file.rsplit_once('.').ok_or(Refusal::NotFound)?;
    let id: Snowflake = id.parse().ok().map(Snowflake).ok_or(Refusal::NotFound)?;
    let key = Key::from_iter(["emojis".to_owned(), id.to_string()]);
    app.files().send_picture(key, extension, &wishes, &method, &headers).await
}

async fn picture(
    State(app): State<App>,
    Path((folder, id, file)): Path<(String, String, String)>,
    Query(wishes): Query<Wishes>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let (hash, extension) = file.rsplit_once('.').ok_or(Refusal::NotFound)?;
    let id: Snowflake = id.parse().ok().map(Snowflake).ok_or(Refusal::NotFound)?;
    let is_hash = HASH_CHARACTERS.contains(&hash.len()) && hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !FOLDERS.contains(&folder.as_str()) || !is_hash {
        return Err(Refusal::NotFound);
    }
    let key = Key::from_iter([folder, id.to_string(), hash.to_owned()]);
    app.files().send_picture(key, extension, &wishes, &method, &headers).await
}

/// The picture of those who have none.
async fn embed_avatar(Path(file): Path<String>) -> Result<Response> {
    let index = file.strip_suffix(".png").and_then(|index| index.parse().ok()).ok_or(Refusal::NotFound)?;
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("image/png")), (header::CACHE_CONTROL, FOREVER)];
    Ok((headers, default_avatar(index)).into_response())
}

impl Files {
    async fn send_picture(
        &self,
        key: Key,
        extension: &str,
        wishes: &Wishes,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response> {
        let wanted = Format::from_extension(extension).ok_or(Refusal::WrongFormat)?;
        let start = self
            .store()
            .get_opts(&key, GetOptions { range: Some(GetRange::Bounded(0..SNIFFED as u64)), ..GetOptions::default() });
        let kind = content_type(&start.await?.bytes().await?);
        let known = Format::from_content_type(kind).ok_or(Refusal::NotFound)?;
        let item = Item { key, content_type: kind.to_owned(), filename: None };
        let is_moving = known == Format::Gif && (wanted == Format::Gif || wishes.animated == "true");
        if is_moving || (known == wanted && wishes.side().is_none()) {
            return self.send(item, method, headers).await;
        }
        if wanted == Format::Gif {
            return Err(Refusal::WrongFormat);
        }
        let made = self.made(&item, wanted, wishes.side()).await?.ok_or(Refusal::WrongFormat)?;
        self.send(made, method, headers).await
    }

    /// The picture in this format and size, made now unless it was before. `None`: it cannot be decoded.
    async fn made(&self, item: &Item, format: Format, side: Option<u32>) -> Result<Option<Item>> {
        let name = side.map_or("whole".to_owned(), |side| side.to_string());
        let key = thumbnails_of(&item.key).join(format!("{name}.{}", format.extension()));
        let made = Item { key: key.clone(), content_type: format.content_type().to_owned(), filename: item.filename.clone() };
        match self.store().head(&key).await {
            Ok(_) => return Ok(Some(made)),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let original = self.store().get(&item.key).await?;
        if original.meta.size > FILE_BYTES {
            return Ok(None);
        }
        let original = original.bytes().await?;
        let picture = self.0.workshop.run(move || pictures::make(&original, format, side)).await.map_err(|_| Refusal::Busy)?;
        let Some(picture) = picture else { return Ok(None) };
        self.store().put(&key, Bytes::from(picture).into()).await?;
        Ok(Some(made))
    }

    async fn send(&self, item: Item, method: &Method, request: &HeaderMap) -> Result<Response> {
        let etag = format!("\"{}\"", links::percent_encoded(item.key.as_ref()).replace("%2F", "-"));
        let text = |name: HeaderName| request.get(name).and_then(|value| value.to_str().ok());
        let names_it = |tags: &str| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*");
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, FOREVER);
        headers.insert(header::ETAG, HeaderValue::from_str(&etag).expect("keys are plain letters"));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if text(header::IF_NONE_MATCH).is_some_and(names_it) {
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
        let part = Part::asked(request, &etag, self.store().head(&item.key).await?.size)?;
        let kind = HeaderValue::from_str(&item.content_type).unwrap_or(HeaderValue::from_static(sniff::UNKNOWN));
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONTENT_DISPOSITION, disposition(&item));
        let (status, range) = part.announce(&mut headers);
        if method == Method::HEAD || range.is_empty() {
            return Ok((status, headers).into_response());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let files = self.clone();
        let bytes = self.store().get_opts(&item.key, options).await?.into_stream().map_err(std::io::Error::other);
        let bytes = bytes.inspect_ok(move |piece| files.count_sent(piece.len() as u64));
        Ok((status, headers, Body::from_stream(bytes)).into_response())
    }
}

fn disposition(item: &Item) -> HeaderValue {
    let how = if sniff::is_inline(&item.content_type) { "inline" } else { "attachment" };
    let value = match &item.filename {
        Some(name) => format!("{how}; filename*=UTF-8''{}", links::percent_encoded(name)),
        None => how.to_owned(),
    };
    HeaderValue::from_str(&value).expect("it is escaped")
}
