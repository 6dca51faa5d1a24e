//! What a sender says of the files of a message, and the files that came with it.

use crate::api::error::Result;
use crate::api::form::{Form, Patch};
use crate::api::parcel::Destination;
use crate::api::parcel::FILES;
use crate::app::App;
use crate::files::Files;
use crate::files::PATIENCE_MS;
use crate::files::incoming::Received;
use crate::files::links::{Links, clean_name, place_in_embeds};
use crate::store::{FileChange, NewAttachment, StoredAttachment};
use guildhall_protocol::model::Attachment;
use guildhall_protocol::{AttachmentId, ChannelId, ErrorCode, Snowflake};
use serde_json::Value;

/// The attachment is a spoiler: clients cover it, and its name says so.
const SPOILER: &str = "SPOILER_";
/// IS_SPOILER of attachments.
const SPOILER_FLAG: u32 = 1 << 5;
/// What nobody could tell the type of.
const UNKNOWN_TYPE: &str = "application/octet-stream";
/// Base64 of 256 bytes and a little.
const WAVEFORM: std::ops::RangeInclusive<usize> = 0..=400;

/// One entry of `attachments` in a body: an uploaded file by its number, or, in an edit, an attachment by its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    id: u64,
    filename: Option<String>,
    title: Option<String>,
    description: Patch<String>,
    duration_secs: Option<f64>,
    waveform: Option<String>,
    is_spoiler: bool,
}

impl Listed {
    /// The field `attachments`.
    pub fn read(form: &Form) -> Patch<Vec<Self>> {
        form.list("attachments", FILES, |form| Self {
            id: form.required("id", form.id::<Snowflake>("id")).0,
            filename: form.text("filename", 1..=1024).value(),
            title: form.text("title", 0..=1024).value(),
            description: form.text("description", 0..=1024),
            duration_secs: form.raw("duration_secs").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0),
            waveform: form.text("waveform", WAVEFORM).value(),
            is_spoiler: form.flag("is_spoiler").value().unwrap_or(false),
        })
    }

    fn describe(&self, attachment: &mut Attachment) {
        if let Some(description) = self.description.clone().change() {
            attachment.description = description.filter(|text| !text.is_empty());
        }
        attachment.title = self.title.clone().or(attachment.title.take());
        attachment.duration_secs = self.duration_secs.or(attachment.duration_secs);
        attachment.waveform = self.waveform.clone().or(attachment.waveform.take());
    }
}

/// A file that came with the request.
pub struct Upload {
    pub id: AttachmentId,
    /// Its number in the form.
    pub index: u64,
    pub filename: String,
    pub received: Received,
}

/// The files that came with a request. Those that no message shows when this is dropped are cleaned up.
pub struct Uploads {
    files: Vec<Upload>,
    reserved: Vec<AttachmentId>,
    channel: ChannelId,
    links: Links,
    store: Files,
}

impl Drop for Uploads {
    fn drop(&mut self) {
        for id in &self.reserved {
            self.store.abandon(*id);
        }
    }
}

impl Uploads {
    pub fn new(app: &App, channel: ChannelId, links: Links) -> Self {
        Self { files: Vec::new(), reserved: Vec::new(), channel, links, store: app.files().clone() }
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn files(&self) -> &[Upload] {
        &self.files
    }

    /// What the message has to claim.
    pub fn ids(&self) -> Vec<AttachmentId> {
        self.files.iter().map(|file| file.id).collect()
    }

    /// The files stay although no message has them, until the time is over in which one could come.
    pub fn keep(&mut self) {
        self.reserved.clear();
    }

    /// Where they are stored; before the first of them is.
    pub(in crate::api) fn go_to(&mut self, channel: ChannelId) {
        self.channel = channel;
    }

    pub(in crate::api) fn reserve(&mut self, id: AttachmentId) {
        self.reserved.push(id);
    }

    pub(in crate::api) fn add(&mut self, id: AttachmentId, index: u64, filename: String, received: Received) {
        self.files.push(Upload { id, index, filename, received });
    }

    /// The files as a message lists them, with what `listed` says of them.
    pub fn attachments(&self, listed: &[Listed]) -> Vec<Attachment> {
        self.files.iter().map(|file| self.attachment(file, listed.iter().find(|listed| listed.id == file.index))).collect()
    }

    fn attachment(&self, file: &Upload, listed: Option<&Listed>) -> Attachment {
        let mut filename = listed.and_then(|listed| listed.filename.as_deref()).map_or(file.filename.clone(), clean_name);
        if listed.is_some_and(|listed| listed.is_spoiler) && !filename.starts_with(SPOILER) {
            filename.insert_str(0, SPOILER);
        }
        let url = self.links.attachment(self.channel, file.id, &filename);
        let (width, height) = file.received.dimensions.unzip();
        let mut attachment = Attachment {
            id: file.id,
            content_type: Some(file.received.content_type.to_owned()),
            size: file.received.size,
            proxy_url: url.clone(),
            url,
            width,
            height,
            flags: if filename.starts_with(SPOILER) { SPOILER_FLAG } else { 0 },
            filename,
            ..Attachment::default()
        };
        if let Some(listed) = listed {
            listed.describe(&mut attachment);
        }
        attachment
    }

    /// Copies the files of attachments of another channel, so that they stay when the originals go. The copies have to be
    /// claimed like files that came with the request.
    pub async fn copy(&mut self, app: &App, to: Destination, from: ChannelId, attachments: &mut [Attachment]) -> Result<()> {
        let quotas = app.files().quotas();
        let mut stored = Vec::with_capacity(attachments.len());
        for attachment in attachments {
            let id: AttachmentId = app.store().make_id();
            let new = NewAttachment {
                id,
                channel_id: to.channel_id,
                guild_id: to.guild_id,
                user_id: to.user_id,
                patience_ms: PATIENCE_MS,
                quotas,
            };
            app.store().reserve_attachment(new).await?;
            self.reserve(id);
            app.files().copy((from, attachment.id), (to.channel_id, id)).await.map_err(|error| {
                // Between the reading of the message and this it was deleted.
                tracing::debug!(%error, "a file could not be copied");
                ErrorCode::UnknownMessage
            })?;
            attachment.id = id;
            attachment.url = self.links.attachment(to.channel_id, id, &attachment.filename);
            attachment.proxy_url.clone_from(&attachment.url);
            let content_type = attachment.content_type.clone().unwrap_or_else(|| UNKNOWN_TYPE.to_owned());
            stored.push(StoredAttachment { id, content_type, size: attachment.size });
        }
        if !stored.is_empty() {
            app.store().complete_attachments(stored, quotas).await?;
        }
        Ok(())
    }

    /// For a new message: its attachments, and embeds that show them.
    pub fn dress(&self, listed: &[Listed], embeds: &mut [Value]) -> Result<Vec<Attachment>> {
        if listed.iter().any(|listed| !self.files.iter().any(|file| file.index == listed.id)) {
            return Err(ErrorCode::InvalidFile.into());
        }
        let mut attachments = self.attachments(listed);
        place_in_embeds(embeds, &mut attachments);
        Ok(attachments)
    }
}

/// For an edit: what is listed of the known attachments stays, and the new files come after; listing nothing at all keeps
/// everything. Embeds that name one show it from now on.
pub fn redress(
    uploads: Option<&Uploads>,
    listed: Option<&[Listed]>,
    attachments: &mut Vec<Attachment>,
    embeds: &mut [Value],
) -> Result<FileChange> {
    let mut removed = Vec::new();
    if let Some(listed) = listed {
        let is_known = |id: u64| attachments.iter().any(|attachment| attachment.id.get() == id);
        let is_new = |id: u64| uploads.is_some_and(|uploads| uploads.files.iter().any(|file| file.index == id));
        if listed.iter().any(|listed| !is_known(listed.id) && !is_new(listed.id)) {
            return Err(ErrorCode::InvalidFile.into());
        }
        attachments.retain_mut(|attachment| match listed.iter().find(|listed| listed.id == attachment.id.get()) {
            Some(listed) => {
                listed.describe(attachment);
                true
            }
            None => {
                removed.push(attachment.id);
                false
            }
        });
    }
    if let Some(uploads) = uploads {
        attachments.extend(uploads.attachments(listed.unwrap_or_default()));
    }
    if attachments.len() > FILES {
        return Err(ErrorCode::TooManyAttachments.into());
    }
    place_in_embeds(embeds, attachments);
    Ok(FileChange { added: uploads.map(Uploads::ids).unwrap_or_default(), removed })
}
