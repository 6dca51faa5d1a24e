//! Everything after the first answer: the routes of a webhook whose id is the application's and whose token is the
//! interaction's.

use super::LOADING;
use super::callback::{check, destination, is_ephemeral};
use crate::api::error::{Refine, Result};
use crate::api::form::{Form, Shape};
use crate::api::messages::draft::Draft;
use crate::api::messages::edit::Edit;
use crate::api::parcel::Parcel;
use crate::app::App;
use crate::audit::By;
use crate::store::{Conflict, Interaction, InteractionState};
use guildhall_protocol::model::Message;
use guildhall_protocol::{ApplicationId, ErrorCode, MessageId};
use serde_json::json;

/// The name of the first answer's message.
pub const ORIGINAL: &str = "@original";

/// The body of a message that follows.
pub struct FollowUp {
    draft: Draft,
    is_ephemeral: bool,
}

impl Shape for FollowUp {
    fn read(form: &Form) -> Self {
        Self { draft: Draft::read(form), is_ephemeral: is_ephemeral(form) }
    }
}

/// The interaction that these two name, if they do: it was answered, and its token is still valid.
pub async fn find(app: &App, application_id: &str, token: &str) -> Result<Option<Interaction>> {
    let Ok(application_id) = application_id.parse::<ApplicationId>() else { return Ok(None) };
    let found = app.store().find_interaction(token).await?;
    Ok(found.filter(|found| found.application_id == application_id && found.state == InteractionState::Answered))
}

/// `POST /webhooks/{application_id}/{interaction_token}`.
pub async fn create(app: &App, interaction: &Interaction, parcel: Parcel<FollowUp>) -> Result<Message> {
    let (FollowUp { draft, is_ephemeral }, uploads) = parcel.open(app, destination(interaction)).await?;
    let draft = Draft { uploads: Some(uploads), ..draft };
    check(&draft)?;
    // What was promised is kept by whatever comes first.
    if let Some((id, is_ephemeral)) = interaction.original
        && let Some(promised) = app.find_answer(interaction, id, is_ephemeral).await?
        && promised.flags & LOADING != 0
    {
        return app.revise_answer(interaction, &promised, draft.into(), is_ephemeral).await;
    }
    let mut message = Message { kind: 0, ..interaction.answer() };
    if let (Some((original, _)), Some(metadata)) = (interaction.original, &mut message.interaction_metadata) {
        metadata["original_response_message_id"] = json!(original);
    }
    app.send_answer(interaction, draft, message, is_ephemeral, false).await
}

/// The message that a path names: `@original`, or one of the interaction's by its id. The second: only the user sees it.
async fn named(app: &App, interaction: &Interaction, name: &str) -> Result<(Message, bool)> {
    if name == ORIGINAL {
        let (id, is_ephemeral) = interaction.original.ok_or(ErrorCode::UnknownMessage)?;
        let found = app.find_answer(interaction, id, is_ephemeral).await?.ok_or(ErrorCode::UnknownMessage)?;
        return Ok((found, is_ephemeral));
    }
    let id: MessageId = name.parse().map_err(|_| ErrorCode::UnknownMessage)?;
    let is_of_it = |message: &Message| {
        let is_source = interaction.context.source.is_some_and(|(source, _)| source == message.id);
        let own = message.interaction_metadata.as_ref().is_some_and(|metadata| metadata["id"] == json!(interaction.id));
        is_source || own
    };
    for is_ephemeral in [false, true] {
        if let Some(found) = app.find_answer(interaction, id, is_ephemeral).await?.filter(is_of_it) {
            return Ok((found, is_ephemeral));
        }
    }
    Err(ErrorCode::UnknownMessage.into())
}

/// `GET …/messages/{message_id}`.
pub async fn read(app: &App, interaction: &Interaction, name: &str) -> Result<Message> {
    Ok(named(app, interaction, name).await?.0)
}

/// `PATCH …/messages/{message_id}`.
pub async fn edit(app: &App, interaction: &Interaction, name: &str, parcel: Parcel<Edit>) -> Result<Message> {
    let edit = Edit::open(parcel, app, destination(interaction)).await?;
    let (known, is_ephemeral) = named(app, interaction, name).await?;
    app.revise_answer(interaction, &known, edit, is_ephemeral).await
}

/// `DELETE …/messages/{message_id}`.
pub async fn delete(app: &App, interaction: &Interaction, name: &str) -> Result<()> {
    let (known, is_ephemeral) = named(app, interaction, name).await?;
    let guild_id = interaction.context.guild_id;
    if is_ephemeral {
        app.store().delete_ephemeral(interaction.user_id, known.id).await?;
        let mut deleted = json!({ "id": known.id, "channel_id": known.channel_id });
        if let Some(guild) = guild_id {
            deleted["guild_id"] = json!(guild);
        }
        app.hub().tell_account(interaction.user_id, guild_id, "MESSAGE_DELETE", &deleted);
        return Ok(());
    }
    // A message of its own, so no line of the audit log.
    let by = By { user: Some(interaction.context.bot.id), reason: None };
    let deleted = app.store().delete_message(by, guild_id, known.channel_id, known.id).await;
    deleted.refine(&[(Conflict::Missing, ErrorCode::UnknownMessage)])
}
