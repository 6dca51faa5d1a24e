//! Webhooks: kept by members who may, used by whoever knows their token. What is posted through them is in [`execute`].

mod execute;

use super::access::ChannelAccess;
use super::body::{Body, Caller, Ids};
use super::codes;
use super::error::{Refine, Result};
use super::form::{Form, Patch, Shape};
use super::pictures::{self, PICTURE_BODY_BYTES, PICTURE_BYTES, Picture};
use super::routes::{Routes, get};
use crate::app::App;
use crate::audit::By;
use crate::store::Conflict;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use guildhall_protocol::model::{ChannelType, Webhook};
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, Permissions, WebhookId};

const NAME: std::ops::RangeInclusive<usize> = 1..=80;
/// Names that would pass for the system's own voice, as documented.
const RESERVED: [&str; 2] = ["clyde", "discord"];
const MEANINGS: [(Conflict, ErrorCode); 2] =
    [(Conflict::Missing, ErrorCode::UnknownWebhook), (Conflict::Full, ErrorCode::TooManyWebhooks)];

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/channels/{channel_id}/webhooks",
            get(of_channel, "Lists the channel's webhooks: MANAGE_WEBHOOKS.").post(create, "Makes a webhook: MANAGE_WEBHOOKS."),
        )
        .route("/guilds/{guild_id}/webhooks", get(of_guild, "Lists the guild's webhooks: MANAGE_WEBHOOKS."))
        .route(
            "/webhooks/{webhook_id}",
            get(read, "Shows a webhook: MANAGE_WEBHOOKS.")
                .patch(edit, "Renames a webhook, or moves it to another channel: MANAGE_WEBHOOKS in both.")
                .delete(delete, "Deletes a webhook; what was posted through it stays: MANAGE_WEBHOOKS."),
        )
        .route(
            "/webhooks/{webhook_id}/{webhook_token}",
            get(read_with_token, "Shows a webhook to who knows its token.")
                .post(execute::create, "Posts a message; answered with it if `wait` is true.")
                .patch(edit_with_token, "Renames a webhook.")
                .delete(delete_with_token, "Deletes a webhook."),
        )
        .route(
            "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}",
            get(execute::read, "Shows a message that was posted through the webhook.")
                .patch(execute::edit, "Edits such a message.")
                .delete(execute::delete, "Deletes such a message."),
        )
        .route(
            "/webhooks/{webhook_id}/{webhook_token}/messages/@original",
            get(execute::read_original, "Shows the first answer to an interaction.")
                .patch(execute::edit_original, "Changes the first answer to an interaction.")
                .delete(execute::delete_original, "Deletes the first answer to an interaction."),
        )
}

/// A name that a webhook may bear, or call itself for one message.
fn name(form: &Form, field: &str) -> Patch<String> {
    let name = form.text(field, NAME);
    if let Patch::Set(name) = &name {
        let lower = name.to_lowercase();
        if let Some(word) = RESERVED.iter().find(|word| lower.contains(**word)) {
            form.refuse(field, "USERNAME_INVALID_CONTAINS", &format!("Username cannot contain \"{word}\""));
        }
    }
    name
}

struct Create {
    name: String,
    avatar: Patch<Picture>,
}

impl Shape for Create {
    const BODY_BYTES: usize = PICTURE_BODY_BYTES;

    fn read(form: &Form) -> Self {
        Self { name: form.required("name", name(form, "name")), avatar: pictures::read(form, "avatar", PICTURE_BYTES) }
    }
}

struct Edit {
    name: Option<String>,
    channel_id: Option<ChannelId>,
    avatar: Patch<Picture>,
}

impl Shape for Edit {
    const BODY_BYTES: usize = PICTURE_BODY_BYTES;

    fn read(form: &Form) -> Self {
        Self {
            name: name(form, "name").value(),
            channel_id: form.id("channel_id").value(),
            avatar: pictures::read(form, "avatar", PICTURE_BYTES),
        }
    }
}

/// The guild of a channel in which the caller may manage webhooks, and which can have some.
async fn managed(app: &App, caller: &Caller, channel: ChannelId) -> Result<GuildId> {
    app.in_channel(caller, channel, |access: ChannelAccess| {
        access.require(Permissions::MANAGE_WEBHOOKS)?;
        if access.channel.kind.holds_messages() || access.channel.kind == ChannelType::Forum {
            Ok(access.guild_id())
        } else {
            Err(ErrorCode::WrongChannelType.into())
        }
    })
    .await
}

async fn of_channel(State(app): State<App>, caller: Caller, Ids(channel): Ids<ChannelId>) -> Result<Json<Vec<Webhook>>> {
    let guild = managed(&app, &caller, channel).await?;
    Ok(Json(app.store().webhooks(guild, Some(channel)).await?))
}

async fn of_guild(State(app): State<App>, caller: Caller, Ids(guild): Ids<GuildId>) -> Result<Json<Vec<Webhook>>> {
    app.in_guild(&caller, guild, |access| access.require(Permissions::MANAGE_WEBHOOKS)).await?;
    Ok(Json(app.store().webhooks(guild, None).await?))
}

async fn create(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(channel_id): Ids<ChannelId>,
    Body(new): Body<Create>,
) -> Result<Json<Webhook>> {
    let guild_id = managed(&app, &caller, channel_id).await?;
    let id: WebhookId = app.store().make_id();
    let avatar = match new.avatar.value() {
        Some(picture) => Some(app.keep_picture("avatars", id, picture).await?),
        None => None,
    };
    let webhook = Webhook {
        id,
        kind: 1,
        guild_id,
        channel_id,
        user: Some(caller.user.clone()),
        name: new.name,
        avatar,
        token: Some(codes::webhook_token()),
        // The store knows whose bot the caller is.
        application_id: None,
    };
    let meanings = [(Conflict::Missing, ErrorCode::UnknownChannel), (Conflict::Full, ErrorCode::TooManyWebhooks)];
    Ok(Json(app.store().create_webhook(by, webhook).await.refine(&meanings)?))
}

/// A webhook that the caller may manage.
async fn manageable(app: &App, caller: &Caller, id: WebhookId) -> Result<Webhook> {
    let webhook = app.store().find_webhook(id).await?.ok_or(ErrorCode::UnknownWebhook)?;
    managed(app, caller, webhook.channel_id).await?;
    Ok(webhook)
}

async fn read(State(app): State<App>, caller: Caller, Ids(id): Ids<WebhookId>) -> Result<Json<Webhook>> {
    Ok(Json(manageable(&app, &caller, id).await?))
}

async fn edit(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(id): Ids<WebhookId>,
    Body(edit): Body<Edit>,
) -> Result<Json<Webhook>> {
    let webhook = manageable(&app, &caller, id).await?;
    if let Some(channel) = edit.channel_id
        && managed(&app, &caller, channel).await? != webhook.guild_id
    {
        return Err(ErrorCode::UnknownChannel.into());
    }
    Ok(Json(change(&app, by, id, edit).await?))
}

async fn change(app: &App, by: By, id: WebhookId, edit: Edit) -> Result<Webhook> {
    let avatar = match edit.avatar {
        Patch::Set(picture) => Some(Some(app.keep_picture("avatars", id, picture).await?)),
        Patch::Null => Some(None),
        Patch::Absent => None,
    };
    let change = move |webhook: &mut Webhook| {
        webhook.avatar = avatar.unwrap_or_else(|| webhook.avatar.take());
        webhook.name = edit.name.unwrap_or_else(|| std::mem::take(&mut webhook.name));
        webhook.channel_id = edit.channel_id.unwrap_or(webhook.channel_id);
    };
    app.store().change_webhook(by, id, change).await.refine(&MEANINGS)
}

async fn delete(State(app): State<App>, caller: Caller, by: By, Ids(id): Ids<WebhookId>) -> Result<StatusCode> {
    manageable(&app, &caller, id).await?;
    app.store().delete_webhook(by, id).await.refine(&MEANINGS)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The webhook that an address names, for whoever knows its token.
async fn opened(app: &App, id: &str, token: &str) -> Result<Webhook> {
    let id = id.parse().map_err(|_| ErrorCode::UnknownWebhook)?;
    let webhook = app.store().find_webhook(id).await?.ok_or(ErrorCode::UnknownWebhook)?;
    let expected = webhook.token.as_deref().unwrap_or_default();
    match aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), token.as_bytes()) {
        Ok(()) => Ok(webhook),
        Err(_) => Err(ErrorCode::InvalidWebhookToken.into()),
    }
}

async fn read_with_token(State(app): State<App>, Path((id, token)): Path<(String, String)>) -> Result<Json<Webhook>> {
    let webhook = opened(&app, &id, &token).await?;
    Ok(Json(Webhook { user: None, ..webhook }))
}

async fn edit_with_token(
    State(app): State<App>,
    Path((id, token)): Path<(String, String)>,
    Body(edit): Body<Edit>,
) -> Result<Json<Webhook>> {
    let webhook = opened(&app, &id, &token).await?;
    // Documented: a token does not carry the webhook to another channel.
    let edit = Edit { channel_id: None, ..edit };
    let changed = change(&app, By::nobody(), webhook.id, edit).await?;
    Ok(Json(Webhook { user: None, ..changed }))
}

async fn delete_with_token(State(app): State<App>, Path((id, token)): Path<(String, String)>) -> Result<StatusCode> {
    let webhook = opened(&app, &id, &token).await?;
    app.store().delete_webhook(By::nobody(), webhook.id).await.refine(&MEANINGS)?;
    Ok(StatusCode::NO_CONTENT)
}
