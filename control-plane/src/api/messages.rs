//! Messages of a channel.

use super::access::ChannelAccess;
use super::body::{Body, Caller, Ids, Query, Upload};
use super::error::{ApiError, Refine, Result};
use super::form::{Errors, Form, Patch, Shape};
use super::mentions::{self, Allowed, Mentions};
use super::rate_limit::{Identity, Limit, SLOWMODE_BUCKET};
use crate::app::App;
use crate::ids::unix_ms;
use crate::store::{Conflict, NewMessage, Page, REPLY, Sent};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use guildhall_protocol::model::{Message, MessageReference, Nonce, partial_member, timestamp};
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, MessageId, Permissions};
use serde_json::Value;
use std::time::{Duration, Instant};

const CONTENT: std::ops::RangeInclusive<usize> = 0..=2000;
const NONCE_CHARACTERS: usize = 25;
const EMBEDS: usize = 10;
/// Characters in all of a message's embeds together.
const EMBED_CHARACTERS: usize = 6000;
/// Bulk deletion ends here; older messages go one by one.
const BULK_AGE_MS: u64 = 14 * 86_400_000;
/// SUPPRESS_EMBEDS and SUPPRESS_NOTIFICATIONS: the flags that a sender may set on a text.
const SETTABLE_FLAGS: i64 = (1 << 2) | (1 << 12);
const SUPPRESS_EMBEDS: u32 = 1 << 2;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/channels/{channel_id}/messages", get(list).post(create))
        .route("/channels/{channel_id}/messages/bulk-delete", post(delete_many))
        .route("/channels/{channel_id}/messages/{message_id}", get(read).patch(edit).delete(delete))
}

/// Kinds 0 (someone wrote it) and 19 (as a reply); the others say that something happened.
fn is_written(message: &Message) -> bool {
    matches!(message.kind, 0 | REPLY)
}

struct List {
    page: Page,
    limit: u32,
}

impl Shape for List {
    fn read(form: &Form) -> Self {
        let (around, before, after) = (form.id("around"), form.id("before"), form.id("after"));
        let page = match (around, before, after) {
            (Patch::Set(id), ..) => Page::Around(id),
            (_, Patch::Set(id), _) => Page::Before(id),
            (.., Patch::Set(id)) => Page::After(id),
            _ => Page::Latest,
        };
        Self { page, limit: form.integer("limit", 1..=100).value().unwrap_or(50) as u32 }
    }
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    Ids(channel): Ids<ChannelId>,
    Query(List { page, limit }): Query<List>,
) -> Result<Json<Vec<Message>>> {
    let may_read = app
        .in_channel(&caller, channel, |access| {
            if !access.channel.kind.holds_messages() {
                return Err(ErrorCode::NotATextChannel.into());
            }
            Ok(access.permissions.contains(Permissions::READ_MESSAGE_HISTORY))
        })
        .await?;
    // Documented so: without the right to read history there is none, which is no error.
    let mut messages = if may_read { app.store().messages(channel, page, limit).await? } else { Vec::new() };
    app.store().show_reactions(channel, &mut messages, caller.id()).await?;
    Ok(Json(messages))
}

async fn read(State(app): State<App>, caller: Caller, Ids((channel, id)): Ids<(ChannelId, MessageId)>) -> Result<Json<Message>> {
    app.in_channel(&caller, channel, |access| access.require(Permissions::READ_MESSAGE_HISTORY)).await?;
    let mut message = app.store().find_message(channel, id).await?.ok_or(ErrorCode::UnknownMessage)?;
    app.store().show_reactions(channel, std::slice::from_mut(&mut message), caller.id()).await?;
    Ok(Json(message))
}

struct Create {
    content: String,
    nonce: Option<Nonce>,
    enforce_nonce: bool,
    tts: bool,
    embeds: Vec<Value>,
    reply: Option<Reply>,
    allowed: Allowed,
    flags: u32,
    has_files: bool,
}

struct Reply {
    message_id: MessageId,
    channel_id: Option<ChannelId>,
    fail_if_not_exists: bool,
}

impl Shape for Create {
    fn read(form: &Form) -> Self {
        for (field, what) in [("components", "components"), ("sticker_ids", "stickers"), ("poll", "polls")] {
            if form.has_content(field) {
                form.refuse(field, "UNSUPPORTED", &format!("This server does not know {what} yet."));
            }
        }
        let reply = form.object("message_reference", |form| {
            if form.integer("type", 0..=1).value() == Some(1) {
                form.refuse("type", "UNSUPPORTED", "This server does not forward messages yet.");
            }
            Reply {
                message_id: form.required("message_id", form.id("message_id")),
                channel_id: form.id("channel_id").value(),
                fail_if_not_exists: form.flag("fail_if_not_exists").value().unwrap_or(true),
            }
        });
        Self {
            content: form.text("content", CONTENT).value().unwrap_or_default(),
            nonce: read_nonce(form),
            enforce_nonce: form.flag("enforce_nonce").value().unwrap_or(false),
            tts: form.flag("tts").value().unwrap_or(false),
            embeds: read_embeds(form).value().unwrap_or_default(),
            reply: reply.value(),
            allowed: form.object("allowed_mentions", Allowed::read).value().unwrap_or(Allowed::EVERYTHING),
            flags: form.integer("flags", 0..=i64::MAX).value().map_or(0, |flags| (flags & SETTABLE_FLAGS) as u32),
            has_files: form.has_content("attachments"),
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

/// Checks the documented lengths and keeps the embeds as they are: clients read more fields than a server needs to know.
fn read_embeds(form: &Form) -> Patch<Vec<Value>> {
    let characters = std::cell::Cell::new(0);
    let count = |text: Patch<String>| characters.set(characters.get() + text.value().map_or(0, |text| text.chars().count()));
    let checked = form.list("embeds", EMBEDS, |embed| {
        count(embed.text("title", 0..=256));
        count(embed.text("description", 0..=4096));
        embed.object("author", |author| count(author.text("name", 0..=256)));
        embed.object("footer", |footer| count(footer.text("text", 0..=2048)));
        embed.list("fields", 25, |field| {
            for (key, length) in [("name", 1..=256), ("value", 1..=1024)] {
                let text = field.text(key, length);
                count(text.clone());
                field.required(key, text);
            }
        });
        embed.integer("color", 0..=0xFF_FFFF);
    });
    if characters.get() > EMBED_CHARACTERS {
        let message = format!("Embed size exceeds maximum size of {EMBED_CHARACTERS}");
        form.refuse("embeds", "MAX_EMBED_SIZE_EXCEEDED", &message);
    }
    checked.map(|_| {
        let mut embeds = form.raw("embeds").and_then(Value::as_array).cloned().unwrap_or_default();
        for embed in embeds.iter_mut().filter_map(Value::as_object_mut) {
            embed.insert("type".to_owned(), "rich".into());
        }
        embeds
    })
}

/// What the guild knows about a message that is about to be sent.
struct Sending {
    guild_id: GuildId,
    member: Value,
    mentions: Mentions,
    may_read_history: bool,
    slowmode: Option<Duration>,
}

impl Create {
    fn authorize(&self, access: &ChannelAccess) -> Result<Sending> {
        if !access.channel.kind.holds_messages() {
            return Err(ErrorCode::NotATextChannel.into());
        }
        access.require(Permissions::SEND_MESSAGES)?;
        if !self.embeds.is_empty() {
            access.require(Permissions::EMBED_LINKS)?;
        }
        let held = access.permissions;
        let ignores_slowmode = [Permissions::BYPASS_SLOWMODE, Permissions::MANAGE_MESSAGES, Permissions::MANAGE_CHANNELS]
            .into_iter()
            .any(|bit| held.contains(bit));
        let seconds = u64::from(access.channel.rate_limit_per_user);
        Ok(Sending {
            guild_id: access.guild_id(),
            member: partial_member(access.guild.member),
            mentions: mentions::resolve(mentions::find(&self.content), &self.allowed, held, access.guild.state),
            may_read_history: held.contains(Permissions::READ_MESSAGE_HISTORY),
            slowmode: (seconds > 0 && !ignores_slowmode).then(|| Duration::from_secs(seconds)),
        })
    }
}

async fn create(
    State(app): State<App>,
    caller: Caller,
    Ids(channel): Ids<ChannelId>,
    Upload(new): Upload<Create>,
) -> Result<Json<Message>> {
    let mut sending = app.in_channel(&caller, channel, |access| new.authorize(&access)).await?;
    if new.has_files {
        return Err(ErrorCode::InvalidFile.into());
    }
    if new.content.is_empty() && new.embeds.is_empty() {
        return Err(ErrorCode::EmptyMessage.into());
    }
    let referenced = match &new.reply {
        Some(reply) => referenced(&app, channel, reply, sending.may_read_history).await?,
        None => None,
    };
    if let Some(original) = referenced.as_ref().filter(|_| new.allowed.replied_user)
        && !sending.mentions.users.iter().any(|user| user.id == original.author.id)
        && original.author.id != caller.id()
    {
        sending.mentions.users.push(original.author.clone());
    }
    if let Some(per) = sending.slowmode {
        let limit = Limit { requests: 1, per };
        let verdict = app.limiter().take(Instant::now(), Identity::User(caller.id()), SLOWMODE_BUCKET, channel.get(), limit);
        if !verdict.is_allowed {
            return Err(ApiError::SlowMode(verdict.reset_after));
        }
    }
    let enforced_nonce = new.nonce.as_ref().filter(|_| new.enforce_nonce).map(|nonce| match nonce {
        Nonce::Number(number) => number.to_string(),
        Nonce::Text(text) => text.clone(),
    });
    let message_reference = referenced.as_ref().map(|original| MessageReference {
        kind: 0,
        message_id: original.id,
        channel_id: Some(channel),
        guild_id: Some(sending.guild_id),
    });
    let message = Message {
        // Both are the writer's to give.
        id: MessageId::default(),
        timestamp: String::new(),
        channel_id: channel,
        guild_id: None,
        author: caller.user.clone(),
        member: None,
        content: new.content,
        edited_timestamp: None,
        tts: new.tts,
        mention_everyone: sending.mentions.everyone,
        mentions: sending.mentions.users,
        mention_roles: sending.mentions.roles,
        attachments: Vec::new(),
        embeds: new.embeds,
        pinned: false,
        kind: if referenced.is_some() { REPLY } else { 0 },
        flags: new.flags,
        components: Vec::new(),
        nonce: new.nonce,
        message_reference,
        referenced_message: referenced.map(|original| Some(Box::new(original))),
        sticker_items: [],
        reactions: Vec::new(),
    };
    let new = NewMessage { guild_id: sending.guild_id, message, member: Some(sending.member), enforced_nonce };
    let sent = app.store().create_message(new).await.refine(&[(Conflict::Missing, ErrorCode::UnknownChannel)])?;
    let (Sent::New(message) | Sent::Before(message)) = sent;
    Ok(Json(*message))
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

struct Edit {
    content: Patch<String>,
    embeds: Patch<Vec<Value>>,
    allowed: Allowed,
    flags: Option<u32>,
}

impl Shape for Edit {
    fn read(form: &Form) -> Self {
        Self {
            content: form.text("content", CONTENT),
            embeds: read_embeds(form),
            allowed: form.object("allowed_mentions", Allowed::read).value().unwrap_or(Allowed::EVERYTHING),
            flags: form.integer("flags", 0..=i64::MAX).value().map(|flags| (flags & SETTABLE_FLAGS) as u32),
        }
    }
}

async fn edit(
    State(app): State<App>,
    caller: Caller,
    Ids((channel, id)): Ids<(ChannelId, MessageId)>,
    Upload(edit): Upload<Edit>,
) -> Result<Json<Message>> {
    let changes_text = !edit.content.is_absent() || !edit.embeds.is_absent();
    let content = edit.content.change().map(Option::unwrap_or_default);
    let embeds = edit.embeds.change().map(Option::unwrap_or_default);
    let (guild_id, permissions, mentions) = app
        .in_channel(&caller, channel, |access| {
            let found = content.as_deref().map(mentions::find);
            let mentions = found.map(|found| mentions::resolve(found, &edit.allowed, access.permissions, access.guild.state));
            Ok((access.guild_id(), access.permissions, mentions))
        })
        .await?;
    let known = app.store().find_message(channel, id).await?.ok_or(ErrorCode::UnknownMessage)?;
    if known.author.id == caller.id() {
        if !is_written(&known) {
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

async fn delete(State(app): State<App>, caller: Caller, Ids((channel, id)): Ids<(ChannelId, MessageId)>) -> Result<StatusCode> {
    let (guild, manages) = app
        .in_channel(&caller, channel, |access| Ok((access.guild_id(), access.permissions.contains(Permissions::MANAGE_MESSAGES))))
        .await?;
    if !manages {
        let known = app.store().find_message(channel, id).await?.ok_or(ErrorCode::UnknownMessage)?;
        if known.author.id != caller.id() || !is_written(&known) {
            return Err(ErrorCode::MissingPermissions.into());
        }
    }
    app.store().delete_message(guild, channel, id).await.refine(&[(Conflict::Missing, ErrorCode::UnknownMessage)])?;
    Ok(StatusCode::NO_CONTENT)
}

struct DeleteMany {
    messages: Vec<MessageId>,
}

impl Shape for DeleteMany {
    fn read(form: &Form) -> Self {
        Self { messages: form.required("messages", form.ids("messages", 1000)) }
    }
}

async fn delete_many(
    State(app): State<App>,
    caller: Caller,
    Ids(channel): Ids<ChannelId>,
    Body(DeleteMany { mut messages }): Body<DeleteMany>,
) -> Result<StatusCode> {
    let guild = app
        .in_channel(&caller, channel, |access| {
            access.require(Permissions::MANAGE_MESSAGES)?;
            Ok(access.guild_id())
        })
        .await?;
    messages.sort_unstable();
    messages.dedup();
    if !(2..=100).contains(&messages.len()) {
        return Err(ErrorCode::BulkDeleteCount.into());
    }
    if messages[0].0.unix_ms() + BULK_AGE_MS < unix_ms() {
        return Err(ErrorCode::TooOldToBulkDelete.into());
    }
    app.store().delete_messages(guild, channel, messages).await?;
    Ok(StatusCode::NO_CONTENT)
}
