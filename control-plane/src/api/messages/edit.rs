//! Editing a message: its author changes what it says, a moderator only whether its embeds are shown.
//!
//! An account edits by [`edit`]. Webhooks and interactions, which authorize in their own way, go on with [`revise`].

use super::attachments::{Listed, Uploads, redress};
use super::draft::Draft;
use super::draft::IS_VOICE_MESSAGE;
use super::{CONTENT, SETTABLE_FLAGS, SUPPRESS_EMBEDS, embeds};
use crate::api::body::{Caller, Ids};
use crate::api::components::{self, IS_COMPONENTS_V2};
use crate::api::error::{Refine, Result};
use crate::api::form::{Errors, Form, Patch, Shape};
use crate::api::mentions::{self, Allowed, Mentions};
use crate::api::parcel::{Destination, Parcel};
use crate::app::App;
use crate::store::{Conflict, FileChange, Store};
use axum::Json;
use axum::extract::State;
use guildhall_protocol::model::{HAS_SNAPSHOT, Message, timestamp};
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, MessageId, Permissions};
use serde_json::Value;

/// The body of an edit, whoever edits.
pub struct Edit {
    pub content: Patch<String>,
    pub embeds: Patch<Vec<Value>>,
    pub components: Patch<Vec<Value>>,
    /// `None`: not given, which means everything for accounts and users only for the others.
    pub allowed: Option<Allowed>,
    pub flags: Option<u32>,
    /// Which attachments stay, and what is said of new ones.
    pub listed: Patch<Vec<Listed>>,
    /// New ones, if the body was a form.
    pub uploads: Option<Uploads>,
}

impl Shape for Edit {
    fn read(form: &Form) -> Self {
        Self {
            content: form.text("content", CONTENT),
            embeds: embeds::read(form),
            components: components::read(form),
            allowed: form.object("allowed_mentions", Allowed::read).value(),
            flags: form.integer("flags", 0..=i64::MAX).value().map(|flags| (flags & SETTABLE_FLAGS) as u32),
            listed: Listed::read(form),
            uploads: None,
        }
    }
}

/// A promised message becomes this draft.
impl From<Draft> for Edit {
    fn from(draft: Draft) -> Self {
        Self {
            content: Patch::Set(draft.content),
            embeds: Patch::Set(draft.embeds),
            components: Patch::Set(draft.components),
            allowed: draft.allowed,
            flags: Some(draft.flags),
            listed: if draft.listed.is_empty() { Patch::Absent } else { Patch::Set(draft.listed) },
            uploads: draft.uploads,
        }
    }
}

fn replace<T: Default>(field: &mut T, patch: Patch<T>) {
    if let Some(change) = patch.change() {
        *field = change.unwrap_or_default();
    }
}

impl Edit {
    /// Whether it changes what the message says, and not only how it is shown.
    pub fn changes_text(&self) -> bool {
        let changes_files = !self.listed.is_absent() || self.uploads.as_ref().is_some_and(|uploads| !uploads.is_empty());
        !self.content.is_absent() || !self.embeds.is_absent() || !self.components.is_absent() || changes_files
    }

    /// Reads the body of a request, and stores its files.
    pub async fn open(parcel: Parcel<Self>, app: &App, to: Destination) -> Result<Self> {
        let (edit, uploads) = parcel.open(app, to).await?;
        Ok(Self { uploads: Some(uploads), ..edit })
    }

    pub fn new_content(&self) -> Option<&str> {
        match &self.content {
            Patch::Set(content) => Some(content),
            Patch::Null => Some(""),
            Patch::Absent => None,
        }
    }

    /// Whether it can be written over a message, without doing it.
    pub fn rehearse(&self, store: &Store, message: &Message) -> Result<()> {
        let copy = Self {
            content: self.content.clone(),
            embeds: self.embeds.clone(),
            components: self.components.clone(),
            allowed: self.allowed.clone(),
            flags: self.flags,
            listed: self.listed.clone(),
            uploads: None,
        };
        copy.apply(store, self.uploads.as_ref(), &mut message.clone()).map(drop)
    }

    /// Writes it over a message. Refuses what would leave the message empty, or with what it cannot hold. Answers
    /// which files come and go.
    pub fn apply(self, store: &Store, uploads: Option<&Uploads>, message: &mut Message) -> Result<FileChange> {
        let changes_text = self.changes_text() || uploads.is_some_and(|uploads| !uploads.is_empty());
        replace(&mut message.content, self.content);
        replace(&mut message.embeds, self.embeds);
        let listed = self.listed.change().map(Option::unwrap_or_default);
        let files = redress(uploads, listed.as_deref(), &mut message.attachments, &mut message.embeds)?;
        if let Some(flags) = self.flags {
            // A message may become one that is all components, and then stays one.
            message.flags = message.flags & !SUPPRESS_EMBEDS | flags & (SUPPRESS_EMBEDS | IS_COMPONENTS_V2);
        }
        let is_v2 = message.flags & IS_COMPONENTS_V2 != 0;
        if !self.components.is_absent() {
            replace(&mut message.components, self.components);
            components::resolve_media(&mut message.components, &message.attachments, || store.make_id())?;
        }
        components::check_kind(&message.components, is_v2)?;
        if is_v2 {
            components::check_alone(!message.content.is_empty(), !message.embeds.is_empty())?;
        }
        let is_empty = message.content.is_empty()
            && message.embeds.is_empty()
            && message.components.is_empty()
            && message.attachments.is_empty();
        if changes_text && is_empty { Err(ErrorCode::EmptyMessage.into()) } else { Ok(files) }
    }
}

/// Stores the edit of a known message, which its author or moderator may make. `mentions`: those of a new content.
pub async fn revise(
    app: &App,
    guild_id: Option<GuildId>,
    known: &Message,
    edit: Edit,
    mentions: Option<Mentions>,
) -> Result<Message> {
    let changes_text = edit.changes_text();
    // Held until the message has claimed its files.
    let mut edit = edit;
    let uploads = edit.uploads.take();
    let mut revised = known.clone();
    let files = edit.apply(app.store(), uploads.as_ref(), &mut revised)?;
    let change = move |message: &mut Message, now_ms: u64| {
        message.content = revised.content;
        message.embeds = revised.embeds;
        message.attachments = revised.attachments;
        message.components = revised.components;
        message.flags = revised.flags;
        if let Some(mentions) = mentions {
            message.mentions = mentions.users;
            message.mention_roles = mentions.roles;
            message.mention_everyone = mentions.everyone;
        }
        if changes_text {
            message.edited_timestamp = Some(timestamp(now_ms));
        }
    };
    let changed = app.store().change_message(guild_id, known.channel_id, known.id, files, change).await;
    changed.refine(&[(Conflict::Missing, ErrorCode::UnknownMessage)])
}

pub async fn edit(
    State(app): State<App>,
    caller: Caller,
    Ids((channel, id)): Ids<(ChannelId, MessageId)>,
    parcel: Parcel<Edit>,
) -> Result<Json<Message>> {
    let to = app.in_text_channel(&caller, channel, |access| Ok(Destination::of(&access))).await?;
    let edit = Edit::open(parcel, &app, to).await?;
    let (guild_id, permissions, mentions) = app
        .in_text_channel(&caller, channel, |access| {
            access.require_awake()?;
            let found = edit.new_content().map(mentions::find);
            let place = access.mentionable();
            let allowed = edit.allowed.as_ref().unwrap_or(&Allowed::EVERYTHING);
            let mentions = found.map(|found| mentions::resolve(found, allowed, access.permissions, &place));
            Ok((access.guild_id(), access.permissions, mentions))
        })
        .await?;
    let known = app.store().find_message(channel, id).await?.ok_or(ErrorCode::UnknownMessage)?;
    if known.author.id == caller.id() {
        if !known.is_written() {
            return Err(ErrorCode::SystemMessage.into());
        }
        if known.flags & HAS_SNAPSHOT != 0 && edit.changes_text() {
            return Err(ErrorCode::ForwardWithMore.into());
        }
        if known.flags & IS_VOICE_MESSAGE != 0 && edit.changes_text() {
            return Err(ErrorCode::CannotEditVoiceMessage.into());
        }
        let has = |list: &Patch<Vec<Value>>| matches!(list, Patch::Set(list) if !list.is_empty());
        if has(&edit.embeds) && !permissions.contains(Permissions::EMBED_LINKS) {
            return Err(ErrorCode::MissingPermissions.into());
        }
        if has(&edit.components) && !caller.is_bot() {
            return Err(Errors::of("components", "COMPONENTS_BOTS_ONLY", "Only bots and webhooks may send components").into());
        }
    } else if edit.changes_text() {
        return Err(ErrorCode::CannotEditOthersMessage.into());
    } else if !permissions.contains(Permissions::MANAGE_MESSAGES) {
        return Err(ErrorCode::MissingPermissions.into());
    }
    let mut changed = revise(&app, guild_id, &known, edit, mentions).await?;
    app.store().show_reactions(channel, std::slice::from_mut(&mut changed), caller.id()).await?;
    Ok(Json(changed))
}
