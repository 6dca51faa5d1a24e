//! Editing a message: its author changes what it says, a moderator only whether its embeds are shown.

use super::{CONTENT, SETTABLE_FLAGS, SUPPRESS_EMBEDS, embeds};
use crate::api::body::{Caller, Ids, Upload};
use crate::api::error::{Refine, Result};
use crate::api::form::{Form, Patch, Shape};
use crate::api::mentions::{self, Allowed};
use crate::app::App;
use crate::store::Conflict;
use axum::Json;
use axum::extract::State;
use guildhall_protocol::model::{Message, timestamp};
use guildhall_protocol::{ChannelId, ErrorCode, MessageId, Permissions};
use serde_json::Value;

/// The body of an edit.
pub struct Edit {
    content: Patch<String>,
    embeds: Patch<Vec<Value>>,
    allowed: Allowed,
    flags: Option<u32>,
}

impl Shape for Edit {
    fn read(form: &Form) -> Self {
        Self {
            content: form.text("content", CONTENT),
            embeds: embeds::read(form),
            allowed: form.object("allowed_mentions", Allowed::read).value().unwrap_or(Allowed::EVERYTHING),
            flags: form.integer("flags", 0..=i64::MAX).value().map(|flags| (flags & SETTABLE_FLAGS) as u32),
        }
    }
}

pub async fn edit(
    State(app): State<App>,
    caller: Caller,
    Ids((channel, id)): Ids<(ChannelId, MessageId)>,
    Upload(edit): Upload<Edit>,
) -> Result<Json<Message>> {
    let changes_text = !edit.content.is_absent() || !edit.embeds.is_absent();
    let content = edit.content.change().map(Option::unwrap_or_default);
    let embeds = edit.embeds.change().map(Option::unwrap_or_default);
    let (guild_id, permissions, mentions) = app
        .in_text_channel(&caller, channel, |access| {
            let found = content.as_deref().map(mentions::find);
            let place = access.mentionable();
            let mentions = found.map(|found| mentions::resolve(found, &edit.allowed, access.permissions, &place));
            Ok((access.guild_id(), access.permissions, mentions))
        })
        .await?;
    let known = app.store().find_message(channel, id).await?.ok_or(ErrorCode::UnknownMessage)?;
    if known.author.id == caller.id() {
        if !known.is_written() {
            return Err(ErrorCode::SystemMessage.into());
        }
        let has_embeds = embeds.as_ref().is_some_and(|embeds| !embeds.is_empty());
        if has_embeds && !permissions.contains(Permissions::EMBED_LINKS) {
            return Err(ErrorCode::MissingPermissions.into());
        }
    } else if changes_text {
        return Err(ErrorCode::CannotEditOthersMessage.into());
    } else if !permissions.contains(Permissions::MANAGE_MESSAGES) {
        return Err(ErrorCode::MissingPermissions.into());
    }
    let is_empty = content.as_ref().unwrap_or(&known.content).is_empty() && embeds.as_ref().unwrap_or(&known.embeds).is_empty();
    if changes_text && is_empty {
        return Err(ErrorCode::EmptyMessage.into());
    }
    let change = move |message: &mut Message, now_ms: u64| {
        if let Some(content) = content {
            message.content = content;
        }
        if let Some(mentions) = mentions {
            message.mentions = mentions.users;
            message.mention_roles = mentions.roles;
            message.mention_everyone = mentions.everyone;
        }
        if let Some(embeds) = embeds {
            message.embeds = embeds;
        }
        if let Some(flags) = edit.flags {
            message.flags = message.flags & !SUPPRESS_EMBEDS | flags & SUPPRESS_EMBEDS;
        }
        if changes_text {
            message.edited_timestamp = Some(timestamp(now_ms));
        }
    };
    let changed = app.store().change_message(guild_id, channel, id, change).await;
    let mut changed = changed.refine(&[(Conflict::Missing, ErrorCode::UnknownMessage)])?;
    app.store().show_reactions(channel, std::slice::from_mut(&mut changed), caller.id()).await?;
    Ok(Json(changed))
}
