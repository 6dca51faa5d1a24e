//! Reactions to messages.

use super::access::TextAccess;
use super::body::{Caller, Ids, Query};
use super::emoji;
use super::error::{ApiError, Refine, Result};
use super::form::{Errors, Form, Shape};
use super::routes::{Describe, Routes, delete, get, put};
use crate::app::App;
use crate::store::{Conflict, Reacted, ReactionKey};
use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use guildhall_protocol::model::{ReactionEmoji, User};
use guildhall_protocol::{ChannelId, EmojiId, ErrorCode, MessageId, Permissions, Snowflake, UserId};

const GONE: &[(Conflict, ErrorCode)] = &[(Conflict::Missing, ErrorCode::UnknownMessage)];

pub fn routes() -> Routes {
    Routes::new()
        .route("/channels/{channel_id}/messages/{message_id}/reactions", delete(clear, "Removes all reactions: MANAGE_MESSAGES."))
        .route(
            "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}",
            get(list, "Who reacted with an emoji: READ_MESSAGE_HISTORY.")
                .delete(clear_emoji, "Removes all reactions with an emoji: MANAGE_MESSAGES."),
        )
        .route(
            "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me",
            put(add, "Reacts to a message: ADD_REACTIONS for an emoji that nobody has reacted with.")
                .delete(take_back, "Removes your reaction."),
        )
        .route(
            "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/{user_id}",
            delete(remove, "Removes somebody's reaction: MANAGE_MESSAGES."),
        )
}

/// The emoji in the path: a Unicode emoji, or `name:id` (also with `a:` in front) of an emoji of a guild, whose name is not
/// believed: it is known by its id.
struct Emoji(ReactionEmoji);

impl<S: Send + Sync> FromRequestParts<S> for Emoji {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = parameter(parts, state, "emoji").await?;
        if emoji::is_unicode(&text) {
            return Ok(Self(ReactionEmoji::unicode(text)));
        }
        let (name, id) = text.rsplit_once(':').ok_or(ErrorCode::UnknownEmoji)?;
        let id = id.parse().ok().filter(|id| i64::try_from(*id).is_ok()).ok_or(ErrorCode::UnknownEmoji)?;
        Ok(Self(ReactionEmoji::own(Snowflake(id), name.trim_start_matches("a:").to_owned(), false)))
    }
}

impl Describe for Emoji {}

/// Whose reaction.
struct Reactor(UserId);

impl Describe for Reactor {}

impl<S: Send + Sync> FromRequestParts<S> for Reactor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = parameter(parts, state, "user_id").await?;
        let id = text.parse().ok().filter(|id| i64::try_from(*id).is_ok());
        let id = id.ok_or_else(|| Errors::of("user_id", "NUMBER_TYPE_COERCE", "Value is not snowflake."))?;
        Ok(Self(UserId::from(Snowflake(id))))
    }
}

async fn parameter<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String> {
    let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| ErrorCode::NotFound)?;
    let found = params.iter().find(|(known, _)| *known == name);
    Ok(found.map(|(_, text)| text.to_owned()).ok_or(ErrorCode::NotFound)?)
}

/// Asks about the channel and names the reaction in it.
async fn key_of<R>(
    app: &App,
    caller: &Caller,
    (channel_id, message_id): (ChannelId, MessageId),
    emoji: ReactionEmoji,
    ask: impl FnOnce(&TextAccess) -> Result<R>,
) -> Result<(ReactionKey, R)> {
    let (guild_id, answer) = app.in_text_channel(caller, channel_id, |access| Ok((access.guild_id(), ask(&access)?))).await?;
    Ok((ReactionKey { guild_id, channel_id, message_id, emoji }, answer))
}

/// What an emoji of a guild is called, for who would be the first to react with it: one of the place's guild, or where that is
/// allowed one of another guild that the caller is in. Unknown to everyone else.
async fn look_up(app: &App, caller: &Caller, key: &mut ReactionKey, may_use_others: bool) -> Result<()> {
    let Some(id) = key.emoji.id else { return Ok(()) };
    // Whoever joins in may not know the emoji, and it may be gone.
    if app.store().is_below(key).await? {
        return Ok(());
    }
    let known = app.store().find_emoji(EmojiId(id)).await?.ok_or(ErrorCode::UnknownEmoji)?;
    let is_usable = app.in_guild(caller, known.guild_id, |access| {
        let roles = &known.emoji.roles;
        Ok(roles.is_empty() || roles.iter().any(|role| access.member.roles.contains(role)))
    });
    match is_usable.await {
        Ok(true) if key.guild_id == Some(known.guild_id) || may_use_others => {}
        Ok(true) => return Err(ErrorCode::MissingPermissions.into()),
        _ => return Err(ErrorCode::UnknownEmoji.into()),
    }
    key.emoji = ReactionEmoji::own(id, known.emoji.name, known.emoji.animated);
    Ok(())
}

async fn add(
    State(app): State<App>,
    caller: Caller,
    Ids(message): Ids<(ChannelId, MessageId)>,
    Emoji(emoji): Emoji,
) -> Result<StatusCode> {
    let (mut key, (may_begin, may_use_others)) = key_of(&app, &caller, message, emoji, |access| {
        access.require(Permissions::READ_MESSAGE_HISTORY)?;
        access.require_awake()?;
        // Joining in takes no permission that a timeout could take away, so a timeout is asked for by itself.
        if access.is_timed_out() && !access.permissions.contains(Permissions::ADD_REACTIONS) {
            return Err(ErrorCode::MissingPermissions.into());
        }
        let holds = |bit| access.permissions.contains(bit);
        Ok((holds(Permissions::ADD_REACTIONS), holds(Permissions::USE_EXTERNAL_EMOJIS)))
    })
    .await?;
    look_up(&app, &caller, &mut key, may_use_others).await?;
    let added = app.store().add_reaction(key, caller.id(), may_begin).await;
    match added.refine(&[(Conflict::Missing, ErrorCode::UnknownMessage), (Conflict::Full, ErrorCode::TooManyReactions)])? {
        Reacted::Done => Ok(StatusCode::NO_CONTENT),
        Reacted::Blocked => Err(ErrorCode::ReactionBlocked.into()),
        Reacted::MayOnlyJoin => Err(ErrorCode::MissingPermissions.into()),
    }
}

async fn take_back(
    State(app): State<App>,
    caller: Caller,
    Ids(message): Ids<(ChannelId, MessageId)>,
    Emoji(emoji): Emoji,
) -> Result<StatusCode> {
    let (key, ()) = key_of(&app, &caller, message, emoji, |_| Ok(())).await?;
    app.store().remove_reaction(key, caller.id()).await.refine(GONE)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    State(app): State<App>,
    caller: Caller,
    Ids(message): Ids<(ChannelId, MessageId)>,
    Emoji(emoji): Emoji,
    Reactor(user): Reactor,
) -> Result<StatusCode> {
    let (key, ()) = key_of(&app, &caller, message, emoji, |access| {
        if user == access.user { Ok(()) } else { access.require(Permissions::MANAGE_MESSAGES) }
    })
    .await?;
    app.store().remove_reaction(key, user).await.refine(GONE)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn clear(
    State(app): State<App>,
    caller: Caller,
    Ids((channel, message)): Ids<(ChannelId, MessageId)>,
) -> Result<StatusCode> {
    let guild = app
        .in_text_channel(&caller, channel, |access| {
            access.require(Permissions::MANAGE_MESSAGES)?;
            Ok(access.guild_id())
        })
        .await?;
    app.store().clear_reactions(guild, channel, message).await.refine(GONE)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_emoji(
    State(app): State<App>,
    caller: Caller,
    Ids(message): Ids<(ChannelId, MessageId)>,
    Emoji(emoji): Emoji,
) -> Result<StatusCode> {
    let (key, ()) = key_of(&app, &caller, message, emoji, |access| access.require(Permissions::MANAGE_MESSAGES)).await?;
    app.store().clear_reaction(key).await.refine(GONE)?;
    Ok(StatusCode::NO_CONTENT)
}

struct Page {
    after: UserId,
    limit: u32,
    /// Super reactions, which nobody can make here.
    is_burst: bool,
}

impl Shape for Page {
    fn read(form: &Form) -> Self {
        Self {
            after: form.id("after").value().unwrap_or_default(),
            limit: form.integer("limit", 1..=100).value().unwrap_or(25) as u32,
            is_burst: form.integer("type", 0..=1).value() == Some(1),
        }
    }
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    Ids(message): Ids<(ChannelId, MessageId)>,
    Emoji(emoji): Emoji,
    Query(page): Query<Page>,
) -> Result<Json<Vec<User>>> {
    let (key, ()) = key_of(&app, &caller, message, emoji, |access| access.require(Permissions::READ_MESSAGE_HISTORY)).await?;
    if let Some(id) = key.emoji.id
        && !app.store().is_below(&key).await?
        && app.store().find_emoji(EmojiId(id)).await?.is_none()
    {
        return Err(ErrorCode::UnknownEmoji.into());
    }
    let users = app.store().reactors(&key, page.after, page.limit).await?.ok_or(ErrorCode::UnknownMessage)?;
    Ok(Json(if page.is_burst { Vec::new() } else { users }))
}
