//! Forwarding: a message that shows what another one said, wherever that was, as it was then.

use super::create::{Posting, post};
use super::draft::Draft;
use crate::api::body::Caller;
use crate::api::error::Result;
use crate::api::form::Errors;
use crate::api::parcel::Destination;
use crate::app::App;
use guildhall_protocol::model::{HAS_SNAPSHOT, Message, MessageReference, MessageSnapshot, SnapshotMessage};
use guildhall_protocol::{ErrorCode, Permissions};

/// Sends the draft's forward. The sender reads the original where it is, and may send here what is in it: files are copied, so
/// that they stay when the original goes.
pub async fn send(
    app: &App,
    caller: &Caller,
    to: Destination,
    mut draft: Draft,
    message: Message,
    posting: Posting,
) -> Result<Message> {
    let Some(forward) = draft.forward else { return Err(ErrorCode::EmptyMessage.into()) };
    if !draft.is_empty() {
        return Err(ErrorCode::ForwardWithMore.into());
    }
    let source = forward.channel_id;
    let source_guild = app
        .in_text_channel(caller, source, |access| {
            access.require(Permissions::READ_MESSAGE_HISTORY)?;
            Ok(access.guild_id())
        })
        .await?;
    let unknown = || Errors::of("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message");
    let original = app.store().find_message(source, forward.message_id).await?.ok_or_else(unknown)?;
    if !original.is_written() {
        return Err(ErrorCode::SystemMessage.into());
    }
    let mut snapshot = SnapshotMessage::of(&original);
    if !snapshot.attachments.is_empty() && !to.may_attach {
        return Err(ErrorCode::MissingPermissions.into());
    }
    if !snapshot.embeds.is_empty() {
        let may_embed = app.in_text_channel(caller, to.channel_id, |access| access.require(Permissions::EMBED_LINKS));
        may_embed.await?;
    }
    if let Some(uploads) = &mut draft.uploads {
        uploads.copy(app, to, source, &mut snapshot.attachments).await?;
    }
    let copies = snapshot.attachments.iter().map(|attachment| attachment.id).collect();
    let message = Message {
        flags: message.flags | HAS_SNAPSHOT,
        message_reference: Some(MessageReference {
            kind: 1,
            message_id: Some(original.id),
            channel_id: Some(source),
            guild_id: source_guild,
        }),
        message_snapshots: vec![MessageSnapshot { message: snapshot }],
        ..message
    };
    post(app, Draft { copies, ..draft }, message, posting).await
}
