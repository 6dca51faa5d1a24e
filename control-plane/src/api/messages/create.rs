//! Sending a message.
//!
//! An account sends by [`create`]. Webhooks and interactions authorize in their own way and then go the same way on:
//! a [`Draft`], a [`Posting`], [`post`].

use super::REPLY;
use super::draft::{Draft, IS_VOICE_MESSAGE, Reply};
use super::forward;
use crate::api::access::TextAccess;
use crate::api::body::{Caller, Ids};
use crate::api::components;
use crate::api::error::{ApiError, Refine, Result};
use crate::api::form::Errors;
use crate::api::mentions::{self, Allowed, Mentions};
use crate::api::parcel::{Destination, Parcel};
use crate::api::rate_limit::{Identity, Limit, SLOWMODE_BUCKET};
use crate::app::App;
use crate::store::{Conflict, NewMessage, Sent};
use crate::tally::Window;
use axum::Json;
use axum::extract::State;
use guildhall_protocol::model::{Message, MessageReference, partial_member};
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, Permissions, UserId};
use serde_json::Value;
use std::time::Duration;

/// What the place knows about a message that is about to be sent.
pub struct Posting {
    pub guild_id: Option<GuildId>,
    /// The author's membership without its user.
    pub member: Option<Value>,
    pub mentions: Mentions,
    pub may_read_history: bool,
    /// The pause that the sender has to keep.
    pub slowmode: Option<Duration>,
}

impl Posting {
    /// For an account that is in the place; refuses what it may not send there.
    pub fn authorize(draft: &Draft, access: &TextAccess) -> Result<Self> {
        access.require(access.sending())?;
        access.require_unlocked()?;
        if !draft.embeds.is_empty() {
            access.require(Permissions::EMBED_LINKS)?;
        }
        if draft.flags & IS_VOICE_MESSAGE != 0 {
            access.require(Permissions::SEND_VOICE_MESSAGES)?;
        }
        let held = access.permissions;
        let allowed = draft.allowed.as_ref().unwrap_or(&Allowed::EVERYTHING);
        Ok(Self {
            guild_id: access.guild_id(),
            member: access.member().map(partial_member),
            mentions: mentions::resolve(mentions::find(&draft.content), allowed, held, &access.mentionable()),
            may_read_history: held.contains(Permissions::READ_MESSAGE_HISTORY),
            slowmode: access.slowmode(),
        })
    }
}

pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Ids(channel): Ids<ChannelId>,
    parcel: Parcel<Draft>,
) -> Result<Json<Message>> {
    let reach = |access: TextAccess| Ok((Destination::authorize(&access)?, access.partner().cloned()));
    let (to, partner) = app.in_text_channel(&caller, channel, reach).await?;
    if let Some(partner) = partner {
        app.require_reach(&caller, &partner).await?;
    }
    let draft = Draft::open(parcel, &app, to).await?;
    let posting = app.in_text_channel(&caller, channel, |access| Posting::authorize(&draft, &access)).await?;
    if !draft.components.is_empty() && !caller.is_bot() {
        return Err(Errors::of("components", "COMPONENTS_BOTS_ONLY", "Only bots and webhooks may send components").into());
    }
    let message = Message::new(channel, caller.user.clone(), String::new());
    if draft.forward.is_some() {
        return Ok(Json(forward::send(&app, &caller, to, draft, message, posting).await?));
    }
    if draft.is_empty() {
        return Err(ErrorCode::EmptyMessage.into());
    }
    Ok(Json(post(&app, draft, message, posting).await?))
}

/// Checks the draft's files and components and stores it. `message` is what the draft does not say: where it goes, and who sends
/// it in which role.
pub async fn post(app: &App, mut draft: Draft, message: Message, mut posting: Posting) -> Result<Message> {
    draft.check_components()?;
    let (files, attachments) = (draft.files(), draft.attach()?);
    let message = Message { attachments, ..message };
    components::resolve_media(&mut draft.components, &message.attachments, || app.store().make_id())?;
    let channel = message.channel_id;
    let referenced = match &draft.reply {
        Some(reply) => referenced(app, channel, reply, posting.may_read_history).await?,
        None => None,
    };
    let pings_author = draft.allowed.as_ref().unwrap_or(&Allowed::EVERYTHING).replied_user;
    if let Some(original) = referenced.as_ref().filter(|original| pings_author && original.webhook_id.is_none())
        && !posting.mentions.users.iter().any(|user| user.id == original.author.id)
        && original.author.id != message.author.id
    {
        posting.mentions.users.push(original.author.clone());
    }
    let enforced_nonce = draft.enforced_nonce();
    if let Some(per) = posting.slowmode {
        // A retry is no further message: it neither waits nor makes the next one wait.
        if let Some(nonce) = &enforced_nonce
            && let Some(before) = app.store().find_retried(channel, message.author.id, nonce).await?
        {
            return as_it_is(app, Message { nonce: draft.nonce, ..before }).await;
        }
        check_slowmode(app, message.author.id, channel, per).await?;
    }
    let message_reference = referenced.as_ref().map(|original| MessageReference {
        kind: 0,
        message_id: Some(original.id),
        channel_id: Some(channel),
        guild_id: posting.guild_id,
    });
    let message = Message {
        content: draft.content,
        tts: draft.tts,
        mention_everyone: posting.mentions.everyone,
        mentions: posting.mentions.users,
        mention_roles: posting.mentions.roles,
        embeds: draft.embeds,
        components: draft.components,
        kind: if referenced.is_some() { REPLY } else { message.kind },
        flags: draft.flags | message.flags,
        nonce: draft.nonce,
        message_reference: message_reference.or(message.message_reference),
        referenced_message: referenced.map(|original| Some(Box::new(original))),
        ..message
    };
    let new = NewMessage { guild_id: posting.guild_id, message, member: posting.member, files, enforced_nonce };
    let sent = app.store().create_message(new).await.refine(&[(Conflict::Missing, ErrorCode::UnknownChannel)])?;
    match sent {
        Sent::New(message) => Ok(*message),
        Sent::Before(message) => as_it_is(app, *message).await,
    }
}

/// The message that a retry stands for, as its sender sees it by now.
async fn as_it_is(app: &App, mut message: Message) -> Result<Message> {
    let (channel, sender) = (message.channel_id, message.author.id);
    app.store().show_reactions(channel, std::slice::from_mut(&mut message), sender).await?;
    Ok(message)
}

/// Counts one more message of the sender's, and refuses it if it comes too soon.
pub async fn check_slowmode(app: &App, sender: UserId, channel: ChannelId, per: Duration) -> Result<()> {
    let (identity, limit) = (Identity::User(sender), Limit { requests: 1, per });
    let verdicts = app.count(&[Window { identity, bucket: SLOWMODE_BUCKET, major: channel.get(), limit }]).await;
    match verdicts.into_iter().find(|verdict| !verdict.is_allowed) {
        None => Ok(()),
        Some(refused) => Err(ApiError::SlowMode(refused.reset_after)),
    }
}

/// The message that is replied to. `None`: it is gone, and the sender does not mind.
async fn referenced(app: &App, channel: ChannelId, reply: &Reply, may_read_history: bool) -> Result<Option<Message>> {
    if !may_read_history {
        return Err(ErrorCode::ReplyNeedsHistory.into());
    }
    let is_here = reply.channel_id.is_none_or(|named| named == channel);
    let found = if is_here { app.store().find_message(channel, reply.message_id).await? } else { None };
    match found {
        // A reply shows its original, and no original of that.
        Some(original) => Ok(Some(Message { referenced_message: None, ..original })),
        None if reply.fail_if_not_exists => {
            Err(Errors::of("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message").into())
        }
        None => Ok(None),
    }
}
