//! A message's body before it is opened: JSON, or a form with files.
//!
//! Whoever takes one first asks whether the sender may write there, and then opens it: only then is it read, and its files
//! go to the store as they come in. Files whose message is not sent in the end are cleaned up.

use super::access::TextAccess;
use super::body::{BODY_BYTES, Caller, parse};
use super::error::{ApiError, Result};
use super::form::{Errors, Shape, read, read_with, schema};
use super::intake::{self, Share};
use super::messages::attachments::Uploads;
use super::routes::{Content, Describe, Facts};
use crate::app::App;
use crate::files::incoming::{Incoming, IncomingError};
use crate::files::links::clean_name;
use crate::files::multipart::{Head, Piece, Reader, boundary};
use crate::files::{PATIENCE_MS, UploadPlace};
use crate::gateway::Origin;
use crate::store::{NewAttachment, StoredAttachment};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::StreamExt;
use guildhall_protocol::{AttachmentId, ChannelId, ErrorCode, GuildId, Permissions, UserId};
use serde_json::{Map, Value};
use std::marker::PhantomData;
use std::time::Duration;

const PAYLOAD_FIELD: &str = "payload_json";
/// Files of one message.
pub const FILES: usize = 10;
/// Beside files a form holds a few fields; one with more is not meant for us.
const FIELDS: usize = 64;
/// An upload has this long, and longer if files may be large: a slow line makes 32 KiB a second.
const LEAST_TIME: Duration = Duration::from_secs(300);
const SLOW_LINE: u64 = 32 * 1024;

/// A request whose body has not been read; it will be a `T`.
pub struct Parcel<T> {
    request: Request,
    origin: Origin,
    content: PhantomData<fn() -> T>,
}

impl<T: Shape> Describe for Parcel<T> {
    fn describe(facts: &mut Facts) {
        facts.body = Some(Content { schema: schema::<T>(), is_multipart: true });
        #[cfg(any(test, feature = "fuzzing"))]
        {
            facts.body_reader = Some(|input| read::<T>(input).map(drop));
        }
    }
}

impl<S: Send + Sync, T> FromRequest<S> for Parcel<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        let Ok(origin) = Origin::from_request_parts(&mut parts, state).await;
        Ok(Self { request: Request::from_parts(parts, body), origin, content: PhantomData })
    }
}

/// Who sends it where.
#[derive(Clone, Copy, Debug)]
pub struct Destination {
    /// Whose files they are: the account, or the one that made the webhook or the application's bot.
    pub user_id: UserId,
    pub channel_id: ChannelId,
    /// `None`: a private channel.
    pub guild_id: Option<GuildId>,
    /// Whether files are welcome: ATTACH_FILES.
    pub may_attach: bool,
}

impl Destination {
    /// For an account that may write in the place.
    pub fn authorize(access: &TextAccess) -> Result<Self> {
        access.require(access.sending())?;
        Ok(Self::of(access))
    }

    /// For one that may at least see it.
    pub fn of(access: &TextAccess) -> Self {
        let may_attach = access.permissions.contains(Permissions::ATTACH_FILES);
        Self { user_id: access.user, channel_id: access.channel_id, guild_id: access.guild_id(), may_attach }
    }
}

impl<T> Parcel<T> {
    /// The same request, to be read as something else.
    pub fn read_as<U>(self) -> Parcel<U> {
        Parcel { request: self.request, origin: self.origin, content: PhantomData }
    }
}

/// What is known of the destination when reading begins.
enum Address<'a> {
    Known(Destination),
    /// The body's `channel_id`, which comes before the files, if this account may attach files there.
    Named(&'a Caller),
}

impl<T: Shape> Parcel<T> {
    /// Reads the body, and stores the files that are in it.
    pub async fn open(self, app: &App, to: Destination) -> Result<(T, Uploads)> {
        self.unpack(app, Address::Known(to)).await
    }

    /// The same where the body itself says in which channel it is to happen. Only files are held against the caller's rights.
    pub async fn open_in_named_channel(self, app: &App, caller: &Caller) -> Result<(T, Uploads)> {
        self.unpack(app, Address::Named(caller)).await
    }

    async fn unpack(self, app: &App, to: Address<'_>) -> Result<(T, Uploads)> {
        let channel = match &to {
            Address::Known(to) => to.channel_id,
            Address::Named(_) => ChannelId::default(),
        };
        let mut uploads = Uploads::new(app, channel, app.files().links(&self.origin));
        let headers = self.request.headers();
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let content_type = header(CONTENT_TYPE).unwrap_or_default();
        if !content_type.get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart")) {
            let (bytes, _share) = intake::read(self.request.into_body(), BODY_BYTES).await?;
            return Ok((read(&parse(&bytes)?)?, uploads));
        }
        let boundary = boundary(content_type).ok_or(ErrorCode::InvalidJson)?;
        let most = app.files().max_request();
        if header(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > most) {
            return Err(ErrorCode::RequestTooLarge.into());
        }
        let mut unpacking = Unpacking {
            app,
            to,
            uploads: &mut uploads,
            place: None,
            open: None,
            fields: Map::new(),
            payload: None,
            text: 0,
            share: Share::default(),
        };
        let time = LEAST_TIME.max(Duration::from_secs(most / SLOW_LINE));
        let unpacked = tokio::time::timeout(time, unpacking.form(&boundary, self.request.into_body(), most)).await;
        let unpacked = unpacked.unwrap_or(Err(ApiError::Other(StatusCode::REQUEST_TIMEOUT, "The upload took too long")));
        if let Err(error) = unpacked {
            unpacking.give_up().await;
            return Err(error);
        }
        let Unpacking { payload, fields, .. } = unpacking;
        let read = read(&payload.unwrap_or(Value::Object(fields)))?;
        let stored = uploads.stored();
        if !stored.is_empty() {
            app.store().complete_attachments(stored, app.files().quotas()).await?;
        }
        Ok((read, uploads))
    }
}

/// A form that is being read.
struct Unpacking<'a> {
    app: &'a App,
    to: Address<'a>,
    uploads: &'a mut Uploads,
    /// Held while there are files.
    place: Option<UploadPlace>,
    open: Option<Part>,
    fields: Map<String, Value>,
    payload: Option<Value>,
    /// Bytes of all fields.
    text: usize,
    share: Share,
}

/// The part that is being read.
enum Part {
    Field { name: String, text: Vec<u8> },
    File { id: AttachmentId, index: u64, filename: String, incoming: Box<Incoming> },
}

impl Unpacking<'_> {
    async fn form(&mut self, boundary: &str, body: Body, most: u64) -> Result<()> {
        let (mut reader, mut stream, mut taken) = (Reader::new(boundary), body.into_data_stream(), 0);
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|_| ErrorCode::InvalidJson)?;
            taken += bytes.len() as u64;
            if taken > most {
                return Err(ErrorCode::RequestTooLarge.into());
            }
            reader.push(&bytes);
            while let Some(piece) = reader.take().map_err(|_| ErrorCode::InvalidJson)? {
                match piece {
                    Piece::Part(head) => {
                        self.close().await?;
                        self.begin(head).await?;
                    }
                    Piece::Data(data) => self.push(&data).await?,
                    Piece::End => return self.close().await,
                }
            }
        }
        Err(ErrorCode::InvalidJson.into())
    }

    async fn begin(&mut self, head: Head) -> Result<()> {
        let Some(filename) = head.filename else {
            if self.fields.len() >= FIELDS {
                return Err(ErrorCode::RequestTooLarge.into());
            }
            self.open = Some(Part::Field { name: head.name, text: Vec::new() });
            return Ok(());
        };
        let to = self.destination().await?;
        if !to.may_attach {
            return Err(ErrorCode::MissingPermissions.into());
        }
        let count = self.uploads.len();
        if count >= FILES {
            return Err(ErrorCode::TooManyAttachments.into());
        }
        if self.place.is_none() {
            self.place = Some(self.app.files().upload_place(to.user_id).ok_or(ErrorCode::Unavailable)?);
        }
        let id = self.app.store().make_id();
        let new = NewAttachment {
            id,
            channel_id: to.channel_id,
            guild_id: to.guild_id,
            user_id: to.user_id,
            patience_ms: PATIENCE_MS,
            quotas: self.app.files().quotas(),
        };
        self.app.store().reserve_attachment(new).await?;
        self.uploads.reserve(id);
        let incoming = Box::new(self.app.files().receive(to.channel_id, id));
        let index = index_of(&head.name).unwrap_or(count as u64);
        self.open = Some(Part::File { id, index, filename: clean_name(&filename), incoming });
        Ok(())
    }

    /// Where files go: known, or looked up once.
    async fn destination(&mut self) -> Result<Destination> {
        let caller = match self.to {
            Address::Known(to) => return Ok(to),
            Address::Named(caller) => caller,
        };
        let missing = || Errors::of("channel_id", "BASE_TYPE_REQUIRED", "This field is required, before any file");
        let payload = self.payload.as_ref().ok_or_else(missing)?;
        let channel: ChannelId = read_with(payload, |form| form.required("channel_id", form.id("channel_id")))?;
        let to = self.app.in_text_channel(caller, channel, |access| Ok(Destination::of(&access))).await?;
        self.uploads.go_to(channel);
        self.to = Address::Known(to);
        Ok(to)
    }

    async fn push(&mut self, data: &[u8]) -> Result<()> {
        match &mut self.open {
            Some(Part::File { incoming, .. }) => Ok(incoming.push(data).await?),
            Some(Part::Field { text, .. }) => {
                self.text += data.len();
                if self.text > BODY_BYTES {
                    return Err(ErrorCode::RequestTooLarge.into());
                }
                self.share.grow(self.text)?;
                text.extend_from_slice(data);
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn close(&mut self) -> Result<()> {
        match self.open.take() {
            None => {}
            Some(Part::Field { name, text }) if name == PAYLOAD_FIELD => self.payload = Some(parse(&text)?),
            Some(Part::Field { name, text }) => {
                let text = String::from_utf8(text).map_err(|_| ErrorCode::InvalidJson)?;
                self.fields.insert(name, Value::String(text));
            }
            Some(Part::File { id, index, filename, incoming }) => {
                let received = incoming.finish().await?;
                self.uploads.add(id, index, filename, received);
            }
        }
        Ok(())
    }

    async fn give_up(&mut self) {
        if let Some(Part::File { incoming, .. }) = self.open.take() {
            incoming.abort().await;
        }
    }
}

/// The number in `files[3]` or `file3`, by which `attachments` refers to the file.
fn index_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("files[").and_then(|rest| rest.strip_suffix(']')).or_else(|| name.strip_prefix("file"))?;
    digits.parse().ok()
}

impl From<IncomingError> for ApiError {
    fn from(error: IncomingError) -> Self {
        match error {
            IncomingError::TooLarge => ErrorCode::FileTooLarge.into(),
            IncomingError::Store(_) | IncomingError::Write(_) => {
                tracing::error!(%error, "an upload could not be stored");
                ErrorCode::Unavailable.into()
            }
        }
    }
}

impl Uploads {
    /// As rows.
    fn stored(&self) -> Vec<StoredAttachment> {
        let files = self.files().iter();
        let stored = files.map(|file| StoredAttachment {
            id: file.id,
            content_type: file.received.content_type.to_owned(),
            size: file.received.size,
        });
        stored.collect()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn parts_name_their_number() {
        for (name, index) in
            [("files[0]", Some(0)), ("files[12]", Some(12)), ("file3", Some(3)), ("file", None), ("files[x]", None), ("a", None)]
        {
            assert_eq!(super::index_of(name), index, "{name}");
        }
    }
}
