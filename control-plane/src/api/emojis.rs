//! A guild's own emojis.

use super::access::Access;
use super::body::{Body, Caller, Ids};
use super::error::{Refine, Result};
use super::form::{Form, Patch, Shape};
use super::pictures::{self, Picture};
use super::routes::{Routes, get};
use crate::app::App;
use crate::audit::By;
use crate::files::emoji_path;
use crate::store::Conflict;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::Emoji;
use guildhall_protocol::{EmojiId, ErrorCode, GuildId, Permissions, RoleId};

/// Bytes of a picture (documented so).
const EMOJI_BYTES: usize = 256 * 1024;
const NAME: std::ops::RangeInclusive<usize> = 2..=32;
/// Roles of one emoji: more than a guild has.
const ROLES: usize = 250;
const GONE: &[(Conflict, ErrorCode)] = &[(Conflict::Missing, ErrorCode::UnknownEmoji)];

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/guilds/{guild_id}/emojis",
            get(list, "Lists the guild's emojis.").post(create, "Makes an emoji: CREATE_GUILD_EXPRESSIONS."),
        )
        .route(
            "/guilds/{guild_id}/emojis/{emoji_id}",
            get(read, "One emoji.")
                .patch(edit, "Changes your emoji; MANAGE_GUILD_EXPRESSIONS for those of others.")
                .delete(delete, "Deletes your emoji; MANAGE_GUILD_EXPRESSIONS for those of others."),
        )
}

/// Whether the caller may know who made an emoji.
fn sees_makers(access: &Access) -> bool {
    let held = access.permissions();
    held.contains(Permissions::CREATE_GUILD_EXPRESSIONS) || held.contains(Permissions::MANAGE_GUILD_EXPRESSIONS)
}

async fn list(State(app): State<App>, caller: Caller, Ids(guild): Ids<GuildId>) -> Result<Json<Vec<Emoji>>> {
    let sees_makers = app.in_guild(&caller, guild, |access| Ok(sees_makers(&access))).await?;
    let mut emojis = app.store().emojis(guild).await?;
    if !sees_makers {
        emojis.iter_mut().for_each(|emoji| emoji.user = None);
    }
    Ok(Json(emojis))
}

async fn read(State(app): State<App>, caller: Caller, Ids((guild, id)): Ids<(GuildId, EmojiId)>) -> Result<Json<Emoji>> {
    let Json(emojis) = list(State(app), caller, Ids(guild)).await?;
    Ok(Json(emojis.into_iter().find(|emoji| emoji.id == id).ok_or(ErrorCode::UnknownEmoji)?))
}

/// A name as it can be written between colons.
fn name(form: &Form) -> Patch<String> {
    match form.text("name", NAME) {
        Patch::Set(name) if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
            form.refuse("name", "STRING_TYPE_REGEX", "Must only contain letters, digits and underscores.");
            Patch::Absent
        }
        other => other,
    }
}

struct Create {
    name: String,
    image: Option<Picture>,
    roles: Vec<RoleId>,
}

impl Shape for Create {
    const BODY_BYTES: usize = EMOJI_BYTES / 3 * 4 + super::body::BODY_BYTES;

    fn read(form: &Form) -> Self {
        let image = pictures::read(form, "image", EMOJI_BYTES);
        if !form.has_content("image") {
            form.refuse("image", "BASE_TYPE_REQUIRED", "This field is required");
        }
        Self {
            name: form.required("name", name(form)),
            image: image.value(),
            roles: form.ids("roles", ROLES).value().unwrap_or_default(),
        }
    }
}

/// Refuses roles that the guild does not have.
fn check_roles(access: &Access, roles: &[RoleId]) -> Result<()> {
    roles.iter().try_for_each(|role| access.role(*role).map(|_| ()))
}

async fn create(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(guild): Ids<GuildId>,
    Body(new): Body<Create>,
) -> Result<(StatusCode, Json<Emoji>)> {
    app.in_guild(&caller, guild, |access| {
        access.require(Permissions::CREATE_GUILD_EXPRESSIONS)?;
        check_roles(&access, &new.roles)
    })
    .await?;
    let picture = new.image.ok_or(ErrorCode::Internal)?;
    let mut emoji = Emoji::new(app.store().make_id(), new.name, new.roles, picture.is_animated());
    app.keep_picture_at(emoji_path(emoji.id), picture).await?;
    let full = if emoji.animated { ErrorCode::TooManyAnimatedEmojis } else { ErrorCode::TooManyEmojis };
    let created = app.store().create_emoji(by, guild, emoji.clone()).await;
    created.refine(&[(Conflict::Full, full), (Conflict::Missing, ErrorCode::UnknownGuild)])?;
    emoji.user = Some(caller.user.clone());
    Ok((StatusCode::CREATED, Json(emoji)))
}

/// The emoji, if the caller may change it.
async fn require(app: &App, caller: &Caller, guild: GuildId, id: EmojiId, roles: &[RoleId]) -> Result<()> {
    let known = app.store().find_emoji(id).await?.filter(|known| known.guild_id == guild);
    app.in_guild(caller, guild, |access| {
        let known = known.ok_or(ErrorCode::UnknownEmoji)?;
        let held = access.permissions();
        let is_own = known.user_id == Some(access.user) && held.contains(Permissions::CREATE_GUILD_EXPRESSIONS);
        if !is_own {
            access.require(Permissions::MANAGE_GUILD_EXPRESSIONS)?;
        }
        check_roles(&access, roles)
    })
    .await
}

struct Edit {
    name: Option<String>,
    roles: Patch<Vec<RoleId>>,
}

impl Shape for Edit {
    fn read(form: &Form) -> Self {
        Self { name: name(form).value(), roles: form.ids("roles", ROLES) }
    }
}

async fn edit(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids((guild, id)): Ids<(GuildId, EmojiId)>,
    Body(edit): Body<Edit>,
) -> Result<Json<Emoji>> {
    let roles = edit.roles.change().map(Option::unwrap_or_default);
    require(&app, &caller, guild, id, roles.as_deref().unwrap_or_default()).await?;
    let change = move |emoji: &mut Emoji| {
        if let Some(name) = edit.name {
            emoji.name = name;
        }
        if let Some(roles) = roles {
            emoji.roles = roles;
        }
    };
    Ok(Json(app.store().change_emoji(by, guild, id, change).await.refine(GONE)?))
}

async fn delete(State(app): State<App>, caller: Caller, by: By, Ids((guild, id)): Ids<(GuildId, EmojiId)>) -> Result<StatusCode> {
    require(&app, &caller, guild, id, &[]).await?;
    app.store().delete_emoji(by, guild, id).await.refine(GONE)?;
    Ok(StatusCode::NO_CONTENT)
}
