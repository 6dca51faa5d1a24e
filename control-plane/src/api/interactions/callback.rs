//! The first answer to an interaction: within three seconds, once.

use super::{EPHEMERAL, LOADING};
use crate::api::body::Query;
use crate::api::components;
use crate::api::error::{ApiError, Refine, Result};
use crate::api::form::{Errors, Form, Patch, Shape};
use crate::api::messages::create::{Posting, post};
use crate::api::messages::draft::Draft;
use crate::api::messages::edit::{Edit, revise};
use crate::api::parcel::{Destination, Parcel};
use crate::app::App;
use crate::store::{Conflict, Interaction, InteractionKind, InteractionState};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use guildhall_protocol::model::Message;
use guildhall_protocol::{ErrorCode, InteractionId, MessageId};
use serde_json::{Value, json};

const CHOICES: usize = 25;

/// What an answer says.
enum Answer {
    /// A new message; `true`: only the user sees it.
    Message(Box<Draft>, bool),
    /// A message will follow.
    Deferred(bool),
    /// The message of the component will be changed, or not.
    DeferredUpdate,
    Update(Box<Edit>),
    Choices(Vec<Value>),
    Modal(Value),
}

impl Answer {
    const fn number(&self) -> u8 {
        match self {
            // A promise is a message too: the description knows no other number for what it made.
            Self::Message(..) | Self::Deferred(_) => 4,
            Self::DeferredUpdate => 6,
            Self::Update(_) => 7,
            Self::Choices(_) => 8,
            Self::Modal(_) => 9,
        }
    }

    /// Whether an interaction can be answered so.
    fn fits(&self, interaction: &Interaction) -> bool {
        let kind = interaction.context.kind;
        match self {
            Self::Choices(_) => kind == InteractionKind::Autocomplete,
            Self::Message(..) | Self::Deferred(_) => kind != InteractionKind::Autocomplete,
            Self::DeferredUpdate | Self::Update(_) => interaction.context.source.is_some(),
            Self::Modal(_) => matches!(kind, InteractionKind::Command | InteractionKind::Component),
        }
    }
}

/// `None`: what is wrong is in the form.
pub struct Callback(Option<Answer>);

/// Whether a message's flags ask that only the user sees it.
pub fn is_ephemeral(form: &Form) -> bool {
    form.integer("flags", 0..=i64::MAX).value().is_some_and(|flags| flags & i64::from(EPHEMERAL) != 0)
}

impl Shape for Callback {
    fn read(form: &Form) -> Self {
        let read_message = |form: &Form| Answer::Message(Box::new(Draft::read(form)), is_ephemeral(form));
        let read_edit = |form: &Form| Answer::Update(Box::new(Edit::read(form)));
        Self(match form.required("type", form.choice("type", &[4, 5, 6, 7, 8, 9])) {
            4 => required(form, form.object("data", read_message)),
            5 => Some(Answer::Deferred(form.object("data", is_ephemeral).value().unwrap_or(false))),
            6 => Some(Answer::DeferredUpdate),
            7 => required(form, form.object("data", read_edit)),
            8 => required(form, form.object("data", |form| Answer::Choices(read_choices(form)))),
            9 => required(form, form.object("data", |form| Answer::Modal(read_modal(form)))),
            _ => None,
        })
    }
}

fn required(form: &Form, answer: Patch<Answer>) -> Option<Answer> {
    if !form.has_content("data") {
        form.refuse("data", "BASE_TYPE_REQUIRED", "This field is required");
    }
    answer.value()
}

fn read_choices(form: &Form) -> Vec<Value> {
    let choices = form.list("choices", CHOICES, |choice| {
        let value = choice.raw("value").filter(|value| value.is_string() || value.is_number());
        if value.is_none() {
            choice.refuse("value", "BASE_TYPE_REQUIRED", "This field is required");
        }
        let name = choice.required("name", choice.text("name", 1..=100));
        json!({ "name": name, "value": value, "name_localizations": choice.raw("name_localizations") })
    });
    form.required("choices", choices)
}

fn read_modal(form: &Form) -> Value {
    json!({
        "custom_id": form.required("custom_id", form.secret("custom_id", 1..=100)),
        "title": form.required("title", form.text("title", 1..=45)),
        "components": components::read_modal(form),
    })
}

pub struct Options {
    with_response: bool,
}

impl Shape for Options {
    fn read(form: &Form) -> Self {
        Self { with_response: form.flag("with_response").value().unwrap_or(false) }
    }
}

pub async fn callback(
    State(app): State<App>,
    Path((id, token)): Path<(String, String)>,
    Query(options): Query<Options>,
    parcel: Parcel<Callback>,
) -> Result<Response> {
    let interaction = app.store().find_interaction(&token).await?.ok_or(ErrorCode::UnknownInteraction)?;
    let is_named = id.parse::<InteractionId>().is_ok_and(|id| id == interaction.id);
    if !is_named || interaction.state == InteractionState::TooLate {
        return Err(ErrorCode::UnknownInteraction.into());
    }
    if interaction.state == InteractionState::Answered {
        return Err(ErrorCode::InteractionAnswered.into());
    }
    let (Callback(answer), uploads) = parcel.open(&app, destination(&interaction)).await?;
    let answer = answer.map(|answer| match answer {
        Answer::Message(draft, is_ephemeral) => {
            Answer::Message(Box::new(Draft { uploads: Some(uploads), ..*draft }), is_ephemeral)
        }
        Answer::Update(edit) => Answer::Update(Box::new(Edit { uploads: Some(uploads), ..*edit })),
        other => other,
    });
    let answer = answer.filter(|answer| answer.fits(&interaction)).ok_or_else(|| {
        ApiError::from(Errors::of("type", "INTERACTION_RESPONSE_TYPE_INVALID", "This interaction cannot be answered so"))
    })?;
    let number = answer.number();
    let message = give(&app, &interaction, answer).await?;
    if !options.with_response {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Json(describe(&interaction, number, message)).into_response())
}

/// Whose the files are that an answer brings.
pub fn destination(interaction: &Interaction) -> Destination {
    let context = &interaction.context;
    Destination { user_id: context.bot.id, channel_id: context.channel_id, guild_id: context.guild_id, may_attach: true }
}

/// Takes the interaction's one answer. What can be wrong with an answer is found before.
async fn take(app: &App, interaction: &Interaction, modal: Option<Value>) -> Result<()> {
    app.store().answer_interaction(interaction.id, modal).await.refine(&[(Conflict::Missing, ErrorCode::UnknownInteraction)])
}

/// Gives the answer; the message that it made or changed.
async fn give(app: &App, interaction: &Interaction, answer: Answer) -> Result<Option<Message>> {
    let context = &interaction.context;
    let message = match answer {
        Answer::Message(draft, is_ephemeral) => {
            check(&draft)?;
            take(app, interaction, None).await?;
            Some(app.send_answer(interaction, *draft, interaction.answer(), is_ephemeral, true).await?)
        }
        Answer::Deferred(is_ephemeral) => {
            take(app, interaction, None).await?;
            let message = Message { flags: LOADING, ..interaction.answer() };
            Some(app.send_answer(interaction, Draft::default(), message, is_ephemeral, true).await?)
        }
        Answer::DeferredUpdate => {
            take(app, interaction, None).await?;
            app.store().set_original(interaction.id, context.source).await?;
            None
        }
        Answer::Update(edit) => {
            let (id, is_ephemeral) = context.source.ok_or(ErrorCode::UnknownMessage)?;
            let known = app.find_answer(interaction, id, is_ephemeral).await?.ok_or(ErrorCode::UnknownMessage)?;
            edit.rehearse(app.store(), &known)?;
            take(app, interaction, None).await?;
            app.store().set_original(interaction.id, context.source).await?;
            Some(app.revise_answer(interaction, &known, *edit, is_ephemeral).await?)
        }
        Answer::Choices(choices) => {
            take(app, interaction, None).await?;
            let answer = json!({ "choices": choices, "nonce": context.nonce });
            let name = "APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE";
            app.hub().tell_account(interaction.user_id, context.guild_id, name, &answer);
            return Ok(None);
        }
        Answer::Modal(modal) => {
            take(app, interaction, Some(modal.clone())).await?;
            let mut opened = modal;
            opened["id"] = json!(interaction.id);
            opened["nonce"] = json!(context.nonce);
            opened["application"] = json!({ "id": interaction.application_id, "name": context.bot.username, "bot": context.bot });
            opened["channel_id"] = json!(context.channel_id);
            opened["guild_id"] = json!(context.guild_id);
            app.hub().tell_account(interaction.user_id, context.guild_id, "INTERACTION_MODAL_CREATE", &opened);
            return Ok(None);
        }
    };
    app.tell_outcome(interaction, "INTERACTION_SUCCESS");
    Ok(message)
}

/// Refuses a draft that makes no message.
pub fn check(draft: &Draft) -> Result<()> {
    draft.check_components()?;
    if draft.is_empty() { Err(ErrorCode::EmptyMessage.into()) } else { Ok(()) }
}

impl App {
    /// Sends a message that answers the interaction, as `@original` or after it.
    pub(super) async fn send_answer(
        &self,
        interaction: &Interaction,
        draft: Draft,
        message: Message,
        is_ephemeral: bool,
        is_original: bool,
    ) -> Result<Message> {
        let sent = if is_ephemeral {
            self.send_ephemeral(interaction, draft, message).await?
        } else {
            let posting = Posting {
                guild_id: interaction.context.guild_id,
                member: None,
                mentions: self.application_mentions(interaction, &draft.content, draft.allowed.as_ref()).await,
                may_read_history: true,
                slowmode: None,
            };
            post(self, draft, message, posting).await?
        };
        if is_original {
            self.store().set_original(interaction.id, Some((sent.id, is_ephemeral))).await?;
        }
        Ok(sent)
    }

    /// A message of the interaction's channel, or one that only its user sees.
    pub(super) async fn find_answer(
        &self,
        interaction: &Interaction,
        id: MessageId,
        is_ephemeral: bool,
    ) -> Result<Option<Message>> {
        Ok(if is_ephemeral {
            self.store().find_ephemeral(interaction.user_id, id).await?
        } else {
            self.store().find_message(interaction.context.channel_id, id).await?
        })
    }

    /// Changes a message; one that was a promise becomes what was promised.
    pub(super) async fn revise_answer(
        &self,
        interaction: &Interaction,
        known: &Message,
        edit: Edit,
        is_ephemeral: bool,
    ) -> Result<Message> {
        let mentions = match edit.new_content() {
            Some(content) => Some(self.application_mentions(interaction, content, edit.allowed.as_ref()).await),
            None => None,
        };
        let was_promised = known.flags & LOADING != 0;
        let kept = Message { flags: known.flags & !LOADING, ..known.clone() };
        if !is_ephemeral {
            return revise(self, interaction.context.guild_id, &kept, edit, mentions).await;
        }
        let mut message = kept;
        let mut edit = edit;
        let mut uploads = edit.uploads.take();
        edit.apply(self.store(), uploads.as_ref(), &mut message)?;
        if let Some(uploads) = &mut uploads {
            uploads.keep();
        }
        if let Some(mentions) = mentions {
            message.mentions = mentions.users;
            message.mention_roles = mentions.roles;
            message.mention_everyone = mentions.everyone;
        }
        self.change_ephemeral(interaction, message, !was_promised).await
    }
}

/// The documented answer to an answer.
fn describe(interaction: &Interaction, number: u8, message: Option<Message>) -> Value {
    let context = &interaction.context;
    let mut described = json!({
        "id": interaction.id,
        "type": context.kind.number(),
        "channel_id": context.channel_id,
    });
    if let Some(guild) = context.guild_id {
        described["guild_id"] = json!(guild);
    }
    let Some(message) = message else { return json!({ "interaction": described }) };
    described["response_message_id"] = json!(message.id);
    described["response_message_loading"] = json!(message.flags & LOADING != 0);
    described["response_message_ephemeral"] = json!(message.flags & EPHEMERAL != 0);
    json!({ "interaction": described, "resource": { "type": number, "message": message } })
}
