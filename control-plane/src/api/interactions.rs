//! Interactions: a user runs a command, presses a button, picks from a menu or submits a modal; the application's bot is told
//! over the gateway and answers by the interaction's token.
//!
//! [`begin`] is the user's side, [`callback`] the first answer, [`follow_up`] everything after it.

mod begin;
mod callback;
mod choices;
pub mod follow_up;
mod modal;
mod resolved;
mod values;

use super::error::Result;
use super::mentions::{self, Allowed, Mentionable, Mentions};
use super::messages::draft::Draft;
use super::routes::{Routes, post};
use crate::app::App;
use crate::ids::unix_ms;
use crate::store::{Context, Interaction};
use guildhall_protocol::model::{Message, timestamp};
use guildhall_protocol::{MessageId, WebhookId};
use serde_json::{Value, json};

/// Message flags: only the user sees it, and "is thinking …".
const EPHEMERAL: u32 = 1 << 6;
const LOADING: u32 = 1 << 7;

pub fn routes() -> Routes {
    Routes::new().route("/interactions", post(begin::begin, "Runs a command, uses a component, or submits a modal.")).route(
        "/interactions/{interaction_id}/{interaction_token}/callback",
        post(callback::callback, "Answers an interaction, within three seconds and once."),
    )
}

impl Interaction {
    /// A message of the application that answers it, still without a word.
    fn answer(&self) -> Message {
        let Context { bot, channel_id, metadata, deprecated, message_kind, .. } = &self.context;
        let with_id = |object: &Value| {
            let mut object = object.clone();
            object["id"] = json!(self.id);
            object
        };
        Message {
            application_id: Some(self.application_id),
            webhook_id: Some(WebhookId(self.application_id.0)),
            interaction_metadata: Some(with_id(metadata)),
            interaction: deprecated.as_ref().map(with_id),
            kind: *message_kind,
            ..Message::new(*channel_id, bot.clone(), String::new())
        }
    }
}

impl App {
    /// Whom a text of the application mentions: unless it says otherwise users only.
    async fn application_mentions(&self, interaction: &Interaction, text: &str, allowed: Option<&Allowed>) -> Mentions {
        let Context { guild_id, channel_id, parent_id, app_permissions, .. } = &interaction.context;
        let allowed = allowed.cloned().unwrap_or(Allowed::USERS);
        let resolve = |place: &Mentionable| mentions::resolve(mentions::find(text), &allowed, *app_permissions, place);
        let mentions = match (guild_id, parent_id) {
            (Some(guild), None) => self.hub().with_guild(*guild, |state| resolve(&Mentionable::Guild(state))).await,
            (Some(guild), Some(parent)) => {
                self.hub().with_guild(*guild, |state| resolve(&Mentionable::Thread(state, *parent))).await
            }
            (None, _) => {
                self.hub().with_private(*channel_id, |channel| resolve(&Mentionable::Private(&channel.recipients))).await
            }
        };
        mentions.unwrap_or_default()
    }

    /// Shows the user, and nobody else, a message.
    async fn send_ephemeral(&self, interaction: &Interaction, mut draft: Draft, message: Message) -> Result<Message> {
        draft.check_components()?;
        let attachments = draft.attach()?;
        let message = Message { attachments, ..message };
        let mentions = self.application_mentions(interaction, &draft.content, draft.allowed.as_ref()).await;
        super::components::resolve_media(&mut draft.components, &message.attachments, || self.store().make_id())?;
        let id: MessageId = self.store().make_id();
        let message = Message {
            id,
            timestamp: timestamp(id.0.unix_ms()),
            content: draft.content,
            embeds: draft.embeds,
            components: draft.components,
            tts: draft.tts,
            flags: message.flags | draft.flags | EPHEMERAL,
            mentions: mentions.users,
            mention_roles: mentions.roles,
            mention_everyone: mentions.everyone,
            ..message
        };
        self.store().keep_ephemeral(interaction.user_id, message.clone()).await?;
        // No stored message has its files: they go when the time is over that one would have to come.
        if let Some(uploads) = &mut draft.uploads {
            uploads.keep();
        }
        self.tell_ephemeral(interaction, "MESSAGE_CREATE", &message);
        Ok(message)
    }

    /// Stores and shows the new form of a message that only the user sees.
    async fn change_ephemeral(&self, interaction: &Interaction, mut message: Message, is_edit: bool) -> Result<Message> {
        if is_edit {
            message.edited_timestamp = Some(timestamp(unix_ms()));
        }
        self.store().keep_ephemeral(interaction.user_id, message.clone()).await?;
        self.tell_ephemeral(interaction, "MESSAGE_UPDATE", &message);
        Ok(message)
    }

    fn tell_ephemeral(&self, interaction: &Interaction, name: &'static str, message: &Message) {
        let guild_id = interaction.context.guild_id;
        self.hub().tell_account(interaction.user_id, guild_id, name, &Message { guild_id, ..message.clone() });
    }

    /// Tells the user how it went.
    fn tell_outcome(&self, interaction: &Interaction, name: &'static str) {
        let Context { guild_id, nonce, .. } = &interaction.context;
        let outcome = json!({ "id": interaction.id, "nonce": nonce });
        self.hub().tell_account(interaction.user_id, *guild_id, name, &outcome);
    }
}
