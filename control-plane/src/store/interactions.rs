//! Interactions while their tokens are valid, and the messages that only their users see.

use super::engine::{Connection, Row};
use super::tokens::{hash_of, random_text};
use super::{Conflict, Result, Store};
use guildhall_protocol::model::{Message, User};
use guildhall_protocol::{
    ApplicationId, ChannelId, CommandId, GuildId, InteractionId, MessageId, Permissions, Snowflake, UserId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row as _;

/// How long an interaction waits for its first answer, as documented.
pub const ANSWER_MS: u64 = 3_000;
/// How long its token is valid.
pub const TOKEN_MS: u64 = 900_000;

/// What a user does that a bot is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InteractionKind {
    Command,
    Component,
    Autocomplete,
    Modal,
}

impl InteractionKind {
    pub const fn number(self) -> u8 {
        match self {
            Self::Command => 2,
            Self::Component => 3,
            Self::Autocomplete => 4,
            Self::Modal => 5,
        }
    }

    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            2 => Some(Self::Command),
            3 => Some(Self::Component),
            4 => Some(Self::Autocomplete),
            5 => Some(Self::Modal),
            _ => None,
        }
    }
}

/// What an interaction's answers need to know of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Context {
    pub kind: InteractionKind,
    pub user: User,
    pub guild_id: Option<GuildId>,
    pub channel_id: ChannelId,
    /// The channel that it is in, if it is a thread.
    #[serde(default)]
    pub parent_id: Option<ChannelId>,
    /// The application's own account, and what it may do in the channel.
    pub bot: User,
    pub app_permissions: Permissions,
    /// The user client's key for it.
    pub nonce: Option<String>,
    /// The type of a message that answers it.
    pub message_kind: u8,
    /// `interaction_metadata` and `interaction` of such a message.
    pub metadata: Value,
    pub deprecated: Option<Value>,
    pub command_id: Option<CommandId>,
    /// The message whose component was used, or led to the modal; and whether only the user sees it.
    pub source: Option<(MessageId, bool)>,
    /// The modal that answered it: `custom_id`, `title`, `components`.
    pub modal: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InteractionState {
    Waiting,
    Answered,
    TooLate,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    pub id: InteractionId,
    pub application_id: ApplicationId,
    pub user_id: UserId,
    pub state: InteractionState,
    /// What `@original` means, and whether only the user sees it.
    pub original: Option<(MessageId, bool)>,
    pub context: Context,
}

fn interaction_of(row: &Row) -> Result<Interaction> {
    let original = row.try_get::<Option<i64>, _>("original_id")?.map(MessageId::from_sql);
    let is_ephemeral: bool = row.try_get("is_ephemeral")?;
    Ok(Interaction {
        id: InteractionId::from_sql(row.try_get("id")?),
        application_id: ApplicationId::from_sql(row.try_get("application_id")?),
        user_id: UserId::from_sql(row.try_get("user_id")?),
        state: match row.try_get::<i64, _>("state")? {
            0 => InteractionState::Waiting,
            1 => InteractionState::Answered,
            _ => InteractionState::TooLate,
        },
        original: original.map(|id| (id, is_ephemeral)),
        context: serde_json::from_str(row.try_get("context")?)?,
    })
}

/// The first moment whose interactions are still there.
fn oldest(now_ms: u64) -> i64 {
    Snowflake::at(now_ms.saturating_sub(TOKEN_MS)).0 as i64
}

/// Forgets what nobody can ask for any more; the number of rows that were deleted, `most` of each kind at most.
pub(super) async fn prune(connection: &mut Connection, now_ms: u64, most: i64) -> Result<u64> {
    let interactions =
        sqlx::query("DELETE FROM interactions WHERE id IN (SELECT id FROM interactions WHERE id < $1 ORDER BY id LIMIT $2)")
            .bind(oldest(now_ms))
            .bind(most)
            .execute(&mut *connection)
            .await?;
    let messages = sqlx::query(
        "DELETE FROM ephemeral_messages WHERE id IN \
         (SELECT id FROM ephemeral_messages WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(now_ms as i64)
    .bind(most)
    .execute(&mut *connection)
    .await?;
    Ok(interactions.rows_affected().max(messages.rows_affected()))
}

impl Store {
    /// Begins an interaction; its token is told this once.
    pub async fn begin_interaction(&self, application_id: ApplicationId, context: Context) -> Result<(Interaction, String)> {
        self.write(move |tx| {
            Box::pin(async move {
                let id: InteractionId = tx.make_id();
                let token = format!("aW50{}", random_text());
                sqlx::query(
                    "INSERT INTO interactions (id, token_hash, application_id, user_id, context) VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(id.to_sql())
                .bind(&hash_of(&token)[..])
                .bind(application_id.to_sql())
                .bind(context.user.id.to_sql())
                .bind(serde_json::to_string(&context)?)
                .execute(tx.sql())
                .await?;
                let user_id = context.user.id;
                let state = InteractionState::Waiting;
                Ok((Interaction { id, application_id, user_id, state, original: None, context }, token))
            })
        })
        .await
    }

    /// The interaction that this token answers, while it is valid.
    pub async fn find_interaction(&self, token: &str) -> Result<Option<Interaction>> {
        let row = sqlx::query("SELECT * FROM interactions WHERE token_hash = $1 AND id >= $2")
            .bind(&hash_of(token)[..])
            .bind(oldest(crate::ids::unix_ms()))
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(interaction_of).transpose()
    }

    pub async fn find_interaction_by_id(&self, id: InteractionId) -> Result<Option<Interaction>> {
        let row = sqlx::query("SELECT * FROM interactions WHERE id = $1 AND id >= $2")
            .bind(id.to_sql())
            .bind(oldest(crate::ids::unix_ms()))
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(interaction_of).transpose()
    }

    /// Takes the interaction's one first answer. `Missing`: it comes too late. `AlreadyAnswered`: there was one.
    pub async fn answer_interaction(&self, id: InteractionId, modal: Option<Value>) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let row =
                    sqlx::query("SELECT * FROM interactions WHERE id = $1").bind(id.to_sql()).fetch_optional(tx.sql()).await?;
                let mut known = interaction_of(&row.ok_or(Conflict::Missing)?)?;
                match known.state {
                    InteractionState::Answered => return Err(Conflict::AlreadyAnswered.into()),
                    InteractionState::Waiting if tx.now_ms <= id.0.unix_ms() + ANSWER_MS => {}
                    InteractionState::Waiting | InteractionState::TooLate => return Err(Conflict::Missing.into()),
                }
                known.context.modal = modal;
                sqlx::query("UPDATE interactions SET state = 1, context = $2 WHERE id = $1")
                    .bind(id.to_sql())
                    .bind(serde_json::to_string(&known.context)?)
                    .execute(tx.sql())
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Gives up waiting. `true`: it was not answered.
    pub async fn give_up_interaction(&self, id: InteractionId) -> Result<bool> {
        self.write(move |tx| {
            Box::pin(async move {
                let given_up = sqlx::query("UPDATE interactions SET state = 2 WHERE id = $1 AND state = 0")
                    .bind(id.to_sql())
                    .execute(tx.sql())
                    .await?;
                Ok(given_up.rows_affected() > 0)
            })
        })
        .await
    }

    /// Says what `@original` is from now on.
    pub async fn set_original(&self, id: InteractionId, original: Option<(MessageId, bool)>) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("UPDATE interactions SET original_id = $2, is_ephemeral = $3 WHERE id = $1")
                    .bind(id.to_sql())
                    .bind(original.map(|(message, _)| message.to_sql()))
                    .bind(original.is_some_and(|(_, is_ephemeral)| is_ephemeral))
                    .execute(tx.sql())
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Keeps a message that only this user sees, or its new form, for as long as an interaction that begins now.
    pub async fn keep_ephemeral(&self, user: UserId, message: Message) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO ephemeral_messages (id, user_id, expires_at, message) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, message = excluded.message",
                )
                .bind(message.id.to_sql())
                .bind(user.to_sql())
                .bind((tx.now_ms + TOKEN_MS) as i64)
                .bind(serde_json::to_string(&message)?)
                .execute(tx.sql())
                .await?;
                Ok(())
            })
        })
        .await
    }

    pub async fn find_ephemeral(&self, user: UserId, id: MessageId) -> Result<Option<Message>> {
        let message: Option<String> =
            sqlx::query_scalar("SELECT message FROM ephemeral_messages WHERE id = $1 AND user_id = $2 AND expires_at > $3")
                .bind(id.to_sql())
                .bind(user.to_sql())
                .bind(crate::ids::unix_ms() as i64)
                .fetch_optional(self.readers())
                .await?;
        message.map(|message| Ok(serde_json::from_str(&message)?)).transpose()
    }

    pub async fn delete_ephemeral(&self, user: UserId, id: MessageId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM ephemeral_messages WHERE id = $1 AND user_id = $2")
                    .bind(id.to_sql())
                    .bind(user.to_sql())
                    .execute(tx.sql())
                    .await?;
                Ok(())
            })
        })
        .await
    }
}
