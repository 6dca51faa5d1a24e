//! Posts of forums: threads that begin with a message, which is sent along with them.

use super::{GONE, Settings};
use crate::api::access::{ChannelAccess, TextAccess, Venue};
use crate::api::error::{Refine, Result};
use crate::api::forums;
use crate::api::messages::create::{Posting, post as send};
use crate::api::messages::draft::Draft;
use crate::api::parcel::Destination;
use crate::app::App;
use crate::audit::By;
use crate::store::{NewThread, Start};
use guildhall_protocol::model::{ChannelType, Message, Thread, Webhook};
use guildhall_protocol::{ChannelId, ErrorCode, MessageId, Permissions, TagId, UserId};

/// What a webhook says of a post that it makes in its forum.
pub struct Headline {
    pub name: String,
    pub applied_tags: Vec<TagId>,
}

/// A post that comes in through a webhook: its first message, which goes where the post's id says.
pub async fn publish_for_webhook(
    app: &App,
    webhook: &Webhook,
    headline: Headline,
    draft: Draft,
    first: Message,
    posting: Posting,
) -> Result<Message> {
    let applied_tags = app
        .hub()
        .with_guild(webhook.guild_id, |state| {
            let forum = state.channel(webhook.channel_id).ok_or(ErrorCode::UnknownChannel)?;
            // The token was given away by somebody who could do more than tag a post.
            forums::check_applied(forum, Permissions::MANAGE_THREADS, &[], headline.applied_tags)
        })
        .await
        .ok_or(ErrorCode::UnknownChannel)??;
    let settings = Settings { name: headline.name, auto_archive_duration: None, rate_limit_per_user: None };
    let (parent, owner) = (webhook.channel_id, UserId(webhook.id.0));
    let thread = settings.into_thread(webhook.guild_id, parent, ChannelType::PublicThread, owner);
    let thread = Thread { id: first.channel_id, applied_tags, ..thread };
    Ok(publish(app, By::nobody(), thread, draft, first, posting).await?.1)
}

/// Stores a post of a forum, whose id is made, and its first message.
pub(super) async fn publish(
    app: &App,
    by: By,
    thread: Thread,
    draft: Draft,
    first: Message,
    posting: Posting,
) -> Result<(Thread, Message)> {
    let new = NewThread { thread, start: Start::Post { webhook: first.webhook_id } };
    let thread = app.store().create_thread(by.clone(), new).await.refine(GONE)?;
    match send(app, draft, Message { id: MessageId(thread.id.0), ..first }, posting).await {
        Ok(message) => Ok((thread, message)),
        Err(error) => {
            // A post without its first message is none.
            app.store().delete_thread(by, thread.id).await?;
            Err(error)
        }
    }
}

/// Where the files of a new thread go: only a post of a forum has some.
pub(super) fn destination(id: ChannelId, access: &ChannelAccess) -> Destination {
    let needed = Permissions::SEND_MESSAGES | Permissions::ATTACH_FILES;
    Destination {
        user_id: access.guild.user,
        channel_id: id,
        guild_id: Some(access.guild_id()),
        may_attach: access.channel.kind == ChannelType::Forum && access.permissions.contains(needed),
    }
}

/// The first message of a post is sent with the rights in the forum itself.
pub(super) fn authorize_post(draft: &Draft, access: ChannelAccess) -> Result<Posting> {
    if draft.is_empty() {
        return Err(ErrorCode::EmptyMessage.into());
    }
    let ChannelAccess { guild, channel, permissions } = access;
    let access = TextAccess { user: guild.user, channel_id: channel.id, permissions, venue: Venue::Guild { guild, channel } };
    Posting::authorize(draft, &access)
}
