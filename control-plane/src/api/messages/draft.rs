//! A message as its sender writes it, before anyone has asked whether it may be sent.

use super::attachments::{Listed, Uploads};
use super::{CONTENT, SETTABLE_FLAGS, embeds};
use crate::api::components::{self, IS_COMPONENTS_V2};
use crate::api::error::Result;
use crate::api::form::{Form, Shape};
use crate::api::mentions::Allowed;
use crate::api::parcel::{Destination, Parcel};
use crate::app::App;
use guildhall_protocol::model::{Attachment, Nonce};
use guildhall_protocol::{AttachmentId, ChannelId, ErrorCode, MessageId};
use serde_json::Value;

/// The flag of a recording.
pub const IS_VOICE_MESSAGE: u32 = 1 << 13;
const NONCE_CHARACTERS: usize = 25;

/// The body of a new message, whoever sends it: an account, a webhook, the answer to an interaction.
#[derive(Default)]
pub struct Draft {
    pub content: String,
    pub nonce: Option<Nonce>,
    pub enforce_nonce: bool,
    pub tts: bool,
    pub embeds: Vec<Value>,
    /// Checked, but for whether they fit the flags ([`Draft::check_components`]).
    pub components: Vec<Value>,
    pub reply: Option<Reply>,
    /// The message that it passes on; accounts only.
    pub forward: Option<Forward>,
    /// `None`: not given, which means everything for accounts and users only for the others.
    pub allowed: Option<Allowed>,
    pub flags: u32,
    /// What is said of the files.
    pub listed: Vec<Listed>,
    /// Files that were copied for it.
    pub copies: Vec<AttachmentId>,
    /// The files themselves, if the body was a form.
    pub uploads: Option<Uploads>,
}

/// Which message it replies to.
pub struct Reply {
    pub message_id: MessageId,
    pub channel_id: Option<ChannelId>,
    pub fail_if_not_exists: bool,
}

/// Which message is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    pub message_id: MessageId,
    pub channel_id: ChannelId,
}

/// What `message_reference` says.
enum Reference {
    Reply(Reply),
    Forward(Forward),
}

impl Draft {
    pub fn is_empty(&self) -> bool {
        self.content.is_empty() && self.embeds.is_empty() && self.components.is_empty() && self.files().is_empty()
    }

    /// Refuses components that a message with these flags cannot hold, and texts beside a message that is all components.
    pub fn check_components(&self) -> Result<()> {
        let is_v2 = self.flags & IS_COMPONENTS_V2 != 0;
        components::check_kind(&self.components, is_v2)?;
        if is_v2 {
            components::check_alone(!self.content.is_empty(), !self.embeds.is_empty())?;
        }
        Ok(())
    }

    /// Reads the body of a request, and stores its files.
    pub async fn open(parcel: Parcel<Self>, app: &App, to: Destination) -> Result<Self> {
        let (draft, uploads) = parcel.open(app, to).await?;
        Ok(Self { uploads: Some(uploads), ..draft })
    }

    /// What the message has to claim.
    pub fn files(&self) -> Vec<AttachmentId> {
        let uploaded = self.uploads.as_ref().map(Uploads::ids).unwrap_or_default();
        uploaded.into_iter().chain(self.copies.iter().copied()).collect()
    }

    /// The message's attachments; embeds that name one show it from now on.
    pub fn attach(&mut self) -> Result<Vec<Attachment>> {
        let attachments = match &self.uploads {
            Some(uploads) => uploads.dress(&self.listed, &mut self.embeds)?,
            None if self.listed.is_empty() => Vec::new(),
            None => return Err(ErrorCode::InvalidFile.into()),
        };
        if self.flags & IS_VOICE_MESSAGE != 0 {
            self.check_voice_message(&attachments)?;
        }
        Ok(attachments)
    }

    /// A recording and nothing else, with what a client needs to draw it.
    fn check_voice_message(&self, attachments: &[Attachment]) -> Result<()> {
        if !self.content.is_empty() || !self.embeds.is_empty() {
            return Err(ErrorCode::VoiceMessageWithMore.into());
        }
        let is_sound = |kind: &Option<String>| kind.as_deref().is_some_and(|kind| kind.starts_with("audio/"));
        match attachments {
            [only] if is_sound(&only.content_type) && only.duration_secs.is_some() && only.waveform.is_some() => Ok(()),
            [only] if is_sound(&only.content_type) => Err(ErrorCode::VoiceMessageWithoutMetadata.into()),
            _ => Err(ErrorCode::VoiceMessageWithoutSound.into()),
        }
    }

    /// The key that makes a retry harmless, if the sender wants that.
    pub fn enforced_nonce(&self) -> Option<String> {
        self.nonce.as_ref().filter(|_| self.enforce_nonce).map(|nonce| match nonce {
            Nonce::Number(number) => number.to_string(),
            Nonce::Text(text) => text.clone(),
        })
    }
}

impl Shape for Draft {
    fn read(form: &Form) -> Self {
        for (field, what) in [("sticker_ids", "stickers"), ("poll", "polls")] {
            if form.has_content(field) {
                form.refuse(field, "UNSUPPORTED", &format!("This server does not know {what} yet."));
            }
        }
        let reference = form.object("message_reference", |form| {
            let message_id = form.required("message_id", form.id("message_id"));
            if form.choice("type", &[0, 1]).value() == Some(1) {
                let channel_id = form.required("channel_id", form.id("channel_id"));
                return Reference::Forward(Forward { message_id, channel_id });
            }
            Reference::Reply(Reply {
                message_id,
                channel_id: form.id("channel_id").value(),
                fail_if_not_exists: form.flag("fail_if_not_exists").value().unwrap_or(true),
            })
        });
        let (reply, forward) = match reference.value() {
            Some(Reference::Reply(reply)) => (Some(reply), None),
            Some(Reference::Forward(forward)) => (None, Some(forward)),
            None => (None, None),
        };
        Self {
            content: form.text("content", CONTENT).value().unwrap_or_default(),
            nonce: read_nonce(form),
            enforce_nonce: form.flag("enforce_nonce").value().unwrap_or(false),
            tts: form.flag("tts").value().unwrap_or(false),
            embeds: embeds::read(form).value().unwrap_or_default(),
            components: components::read(form).value().unwrap_or_default(),
            reply,
            forward,
            allowed: form.object("allowed_mentions", Allowed::read).value(),
            flags: form
                .integer("flags", 0..=i64::MAX)
                .value()
                .map_or(0, |flags| (flags & (SETTABLE_FLAGS | i64::from(IS_VOICE_MESSAGE))) as u32),
            listed: Listed::read(form).value().unwrap_or_default(),
            copies: Vec::new(),
            uploads: None,
        }
    }
}

fn read_nonce(form: &Form) -> Option<Nonce> {
    match form.raw("nonce")? {
        Value::Null => None,
        Value::String(text) if text.chars().count() > NONCE_CHARACTERS => {
            let message = format!("Must be {NONCE_CHARACTERS} or fewer in length.");
            form.refuse("nonce", "BASE_TYPE_MAX_LENGTH", &message);
            None
        }
        Value::String(text) => Some(Nonce::Text(text.clone())),
        Value::Number(number) if number.is_i64() => number.as_i64().map(Nonce::Number),
        _ => {
            form.refuse("nonce", "STRING_TYPE_CONVERT", "Could not interpret value as string.");
            None
        }
    }
}
