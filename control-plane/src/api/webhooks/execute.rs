//! What comes in through a webhook: messages, and what their sender does with them later. The token is all that is asked for.
//!
//! The answers to an interaction come in by the same routes, under the application's id and the interaction's token.

use super::{name, opened};
use crate::api::body::Query;
use crate::api::error::{Refine, Result};
use crate::api::form::{Errors, Form, Shape};
use crate::api::forums;
use crate::api::interactions::follow_up;
use crate::api::mentions::{self, Allowed, Mentionable, Mentions};
use crate::api::messages::create::{Posting, post};
use crate::api::messages::draft::Draft;
use crate::api::messages::edit::{Edit, revise};
use crate::api::parcel::{Destination, Parcel};
use crate::api::threads::posts::{Headline, publish_for_webhook};
use crate::app::App;
use crate::audit::By;
use crate::store::{Conflict, WEBHOOK_DISCRIMINATOR};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use guildhall_protocol::model::{ChannelType, Message, User, Webhook};
use guildhall_protocol::{ChannelId, ErrorCode, MessageId, Permissions, TagId, UserId};
use serde_json::Value;

/// The address of a picture.
const AVATAR_URL: std::ops::RangeInclusive<usize> = 0..=2048;

/// A path's last part.
type Address = Path<(String, String, String)>;

pub struct How {
    /// Answer with the message, and not before it is stored.
    wait: bool,
    thread_id: Option<ChannelId>,
    /// Components count, also those of a webhook that no application owns.
    with_components: bool,
}

impl Shape for How {
    fn read(form: &Form) -> Self {
        Self {
            wait: form.flag("wait").value().unwrap_or(false),
            thread_id: form.id("thread_id").value(),
            with_components: form.flag("with_components").value().unwrap_or(false),
        }
    }
}

pub struct Execute {
    draft: Draft,
    username: Option<String>,
    thread_name: Option<String>,
    applied_tags: Vec<TagId>,
}

impl Shape for Execute {
    fn read(form: &Form) -> Self {
        // Nobody answers through a webhook, and a retry of one sends again.
        let draft = Draft { reply: None, forward: None, nonce: None, ..Draft::read(form) };
        // Checked and left out: the page would have to show each reader's address to the picture's host.
        if let Some(url) = form.text("avatar_url", AVATAR_URL).value()
            && !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme))
            && !url.is_empty()
        {
            form.refuse("avatar_url", "URL_TYPE_INVALID_SCHEME", "Scheme must be one of ('http', 'https').");
        }
        Self {
            draft,
            username: name(form, "username").value(),
            thread_name: form.text("thread_name", 0..=100).value().filter(|name| !name.is_empty()),
            applied_tags: form.ids("applied_tags", forums::APPLIED).value().unwrap_or_default(),
        }
    }
}

/// What may be done with components: whoever presses one is answered by its application, so without one nothing can be pressed.
fn check_components(webhook: &Webhook, with_components: bool, components: &mut Vec<Value>) -> Result<()> {
    if webhook.application_id.is_some() {
        return Ok(());
    }
    if !with_components {
        components.clear();
    }
    if components.iter().any(is_interactive) {
        let message = "Only webhooks of applications may send components that can be used";
        return Err(Errors::of("components", "COMPONENTS_APPLICATION_ONLY", message).into());
    }
    Ok(())
}

fn is_interactive(component: &Value) -> bool {
    match component {
        Value::Object(fields) => fields.contains_key("custom_id") || fields.values().any(is_interactive),
        Value::Array(list) => list.iter().any(is_interactive),
        _ => false,
    }
}

/// Whom a text mentions. Unless it says so, nobody but users; if it says so, everyone: that was its maker's to give away.
async fn mentioned(app: &App, webhook: &Webhook, text: &str, allowed: Option<&Allowed>) -> Result<Mentions> {
    let (found, users) = (mentions::find(text), Allowed::USERS);
    let answer = app.hub().with_guild(webhook.guild_id, |state| {
        let allowed = allowed.unwrap_or(&users);
        state.channel(webhook.channel_id).map(|_| mentions::resolve(found, allowed, Permissions::ALL, &Mentionable::Guild(state)))
    });
    answer.await.flatten().ok_or(ErrorCode::UnknownChannel.into())
}

/// Files that come in through a webhook are its maker's: it was theirs to give the token away.
fn destination(webhook: &Webhook, channel_id: ChannelId) -> Destination {
    Destination {
        user_id: webhook.user.as_ref().map_or(UserId(webhook.id.0), |user| user.id),
        channel_id,
        guild_id: Some(webhook.guild_id),
        may_attach: true,
    }
}

/// Where the webhook posts.
struct Place {
    channel_id: ChannelId,
    is_archived: bool,
    is_locked: bool,
}

/// Whether it is a forum's: what it says is in posts.
async fn is_in_forum(app: &App, webhook: &Webhook) -> Result<bool> {
    let kind =
        app.hub().with_guild(webhook.guild_id, |state| state.channel(webhook.channel_id).map(|channel| channel.kind)).await;
    Ok(kind.flatten().ok_or(ErrorCode::UnknownChannel)? == ChannelType::Forum)
}

/// The webhook's channel, or a thread of it.
async fn place(app: &App, webhook: &Webhook, thread: Option<ChannelId>) -> Result<Place> {
    let Some(id) = thread else {
        return Ok(Place { channel_id: webhook.channel_id, is_archived: false, is_locked: false });
    };
    let active = app.hub().with_guild(webhook.guild_id, |state| state.thread(id).map(|active| active.thread.clone())).await;
    let thread = match active.flatten() {
        Some(thread) => Some(thread),
        None => app.store().find_thread(id, UserId(webhook.id.0)).await?.map(|found| found.thread),
    };
    let thread = thread.filter(|thread| thread.parent_id == webhook.channel_id).ok_or(ErrorCode::UnknownChannel)?;
    let metadata = thread.thread_metadata;
    Ok(Place { channel_id: thread.id, is_archived: metadata.archived, is_locked: metadata.locked })
}

pub async fn create(
    State(app): State<App>,
    Path((id, token)): Path<(String, String)>,
    Query(how): Query<How>,
    parcel: Parcel<Execute>,
) -> Result<Response> {
    if let Some(interaction) = follow_up::find(&app, &id, &token).await? {
        return Ok(Json(follow_up::create(&app, &interaction, parcel.read_as()).await?).into_response());
    }
    let webhook = opened(&app, &id, &token).await?;
    let place = place(&app, &webhook, how.thread_id).await?;
    // An archived thread wakes up by a message, unless it is locked.
    if place.is_archived && place.is_locked {
        return Err(ErrorCode::ArchivedThread.into());
    }
    let is_in_forum = is_in_forum(&app, &webhook).await?;
    // In a forum, what names no post makes one; its files are stored under its id.
    let channel = if is_in_forum && how.thread_id.is_none() { app.store().make_id() } else { place.channel_id };
    let (execute, uploads) = parcel.open(&app, destination(&webhook, channel)).await?;
    let Execute { mut draft, username, thread_name, applied_tags } = execute;
    draft.uploads = Some(uploads);
    let headline = match (thread_name, how.thread_id) {
        (Some(_), _) if !is_in_forum => return Err(ErrorCode::WebhookThreadsInForums.into()),
        (Some(_), Some(_)) => return Err(ErrorCode::WebhookWithTwoThreads.into()),
        (None, None) if is_in_forum => return Err(ErrorCode::WebhookNeedsThread.into()),
        (name, _) => name.map(|name| Headline { name, applied_tags }),
    };
    check_components(&webhook, how.with_components, &mut draft.components)?;
    if draft.is_empty() {
        return Err(ErrorCode::EmptyMessage.into());
    }
    let posting = Posting {
        guild_id: Some(webhook.guild_id),
        member: None,
        mentions: mentioned(&app, &webhook, &draft.content, draft.allowed.as_ref()).await?,
        may_read_history: true,
        slowmode: None,
    };
    let author = User {
        discriminator: WEBHOOK_DISCRIMINATOR.to_owned(),
        avatar: webhook.avatar.clone(),
        ..User::new(UserId(webhook.id.0), username.unwrap_or_else(|| webhook.name.clone()), None, true)
    };
    let message = Message {
        webhook_id: Some(webhook.id),
        application_id: webhook.application_id,
        ..Message::new(channel, author, String::new())
    };
    let sent = match headline {
        Some(headline) => publish_for_webhook(&app, &webhook, headline, draft, message, posting).await?,
        None => post(&app, draft, message, posting).await?,
    };
    Ok(if how.wait { Json(sent).into_response() } else { StatusCode::NO_CONTENT.into_response() })
}

/// A message that came in through the webhook.
async fn posted(app: &App, webhook: &Webhook, message: &str, place: &Place) -> Result<Message> {
    let id: MessageId = message.parse().map_err(|_| ErrorCode::UnknownMessage)?;
    let found = app.store().find_message(place.channel_id, id).await?;
    found.filter(|message| message.webhook_id == Some(webhook.id)).ok_or(ErrorCode::UnknownMessage.into())
}

pub async fn read(State(app): State<App>, Path((id, token, message)): Address, Query(how): Query<How>) -> Result<Json<Message>> {
    if let Some(interaction) = follow_up::find(&app, &id, &token).await? {
        return Ok(Json(follow_up::read(&app, &interaction, &message).await?));
    }
    let webhook = opened(&app, &id, &token).await?;
    let place = place(&app, &webhook, how.thread_id).await?;
    let mut message = posted(&app, &webhook, &message, &place).await?;
    let reader = message.author.id;
    app.store().show_reactions(message.channel_id, std::slice::from_mut(&mut message), reader).await?;
    Ok(Json(message))
}

pub async fn edit(
    State(app): State<App>,
    Path((id, token, message)): Address,
    Query(how): Query<How>,
    parcel: Parcel<Edit>,
) -> Result<Json<Message>> {
    if let Some(interaction) = follow_up::find(&app, &id, &token).await? {
        return Ok(Json(follow_up::edit(&app, &interaction, &message, parcel).await?));
    }
    let webhook = opened(&app, &id, &token).await?;
    let place = place(&app, &webhook, how.thread_id).await?;
    if place.is_archived {
        return Err(ErrorCode::ArchivedThread.into());
    }
    let known = posted(&app, &webhook, &message, &place).await?;
    let mut edit = Edit::open(parcel, &app, destination(&webhook, known.channel_id)).await?;
    if let crate::api::form::Patch::Set(components) = &mut edit.components {
        check_components(&webhook, how.with_components, components)?;
    }
    let mentions = match edit.new_content() {
        Some(content) => Some(mentioned(&app, &webhook, content, edit.allowed.as_ref()).await?),
        None => None,
    };
    Ok(Json(revise(&app, Some(webhook.guild_id), &known, edit, mentions).await?))
}

pub async fn delete(State(app): State<App>, Path((id, token, message)): Address, Query(how): Query<How>) -> Result<StatusCode> {
    if let Some(interaction) = follow_up::find(&app, &id, &token).await? {
        follow_up::delete(&app, &interaction, &message).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let webhook = opened(&app, &id, &token).await?;
    let place = place(&app, &webhook, how.thread_id).await?;
    let known = posted(&app, &webhook, &message, &place).await?;
    let deleted = app.store().delete_message(By::nobody(), Some(webhook.guild_id), known.channel_id, known.id).await;
    deleted.refine(&[(Conflict::Missing, ErrorCode::UnknownMessage)])?;
    Ok(StatusCode::NO_CONTENT)
}

/// The first answer to an interaction, whose message has this name instead of an id.
pub async fn read_original(app: State<App>, Path((id, token)): Path<(String, String)>, how: Query<How>) -> Result<Json<Message>> {
    read(app, Path((id, token, follow_up::ORIGINAL.to_owned())), how).await
}

pub async fn edit_original(
    app: State<App>,
    Path((id, token)): Path<(String, String)>,
    how: Query<How>,
    parcel: Parcel<Edit>,
) -> Result<Json<Message>> {
    edit(app, Path((id, token, follow_up::ORIGINAL.to_owned())), how, parcel).await
}

pub async fn delete_original(app: State<App>, Path((id, token)): Path<(String, String)>, how: Query<How>) -> Result<StatusCode> {
    delete(app, Path((id, token, follow_up::ORIGINAL.to_owned())), how).await
}
