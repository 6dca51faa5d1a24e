//! What people say about themselves, and what they note about each other.

use super::{Conflict, Result, Store};
use crate::event::{Event, Personal};
use guildhall_protocol::{GuildId, UserId};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::Row;

/// Notes of one account.
const NOTES: i64 = 1_000;

/// What someone says about themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Profile {
    pub bio: String,
    pub pronouns: String,
    pub accent_color: Option<u32>,
}

/// A guild of both, with the other one's nickname there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MutualGuild {
    pub id: GuildId,
    pub nick: Option<String>,
}

/// What two accounts have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InCommon {
    pub guilds: Vec<MutualGuild>,
    /// Friends of both.
    pub friends: u64,
    pub are_friends: bool,
}

impl Store {
    pub async fn profile_of(&self, user: UserId) -> Result<Profile> {
        let row = sqlx::query("SELECT bio, pronouns, accent_color FROM profiles WHERE user_id = $1")
            .bind(user.to_sql())
            .fetch_optional(self.readers())
            .await?;
        let Some(row) = row else { return Ok(Profile::default()) };
        let accent_color: Option<i64> = row.try_get("accent_color")?;
        Ok(Profile {
            bio: row.try_get("bio")?,
            pronouns: row.try_get("pronouns")?,
            accent_color: accent_color.map(|color| color as u32),
        })
    }

    pub async fn set_profile(&self, user: UserId, profile: Profile) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO profiles (user_id, bio, pronouns, accent_color) VALUES ($1, $2, $3, $4) ON CONFLICT (user_id) \
                     DO UPDATE SET bio = excluded.bio, pronouns = excluded.pronouns, accent_color = excluded.accent_color",
                )
                .bind(user.to_sql())
                .bind(profile.bio)
                .bind(profile.pronouns)
                .bind(profile.accent_color)
                .execute(tx.sql())
                .await?;
                Ok(())
            })
        })
        .await
    }

    pub async fn in_common(&self, user: UserId, other: UserId) -> Result<InCommon> {
        let mut connection = self.snapshot().await?;
        let guilds: Vec<(i64, Option<String>)> = sqlx::query_as(
            "SELECT b.guild_id, b.nick FROM members a JOIN members b ON b.guild_id = a.guild_id \
             WHERE a.user_id = $1 AND b.user_id = $2 ORDER BY b.guild_id",
        )
        .bind(user.to_sql())
        .bind(other.to_sql())
        .fetch_all(&mut *connection)
        .await?;
        let (friends, are_friends): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM relationships a JOIN relationships b ON b.target_id = a.target_id \
               WHERE a.user_id = $1 AND b.user_id = $2 AND a.kind = 1 AND b.kind = 1), \
             EXISTS (SELECT 1 FROM relationships WHERE user_id = $1 AND target_id = $2 AND kind = 1)",
        )
        .bind(user.to_sql())
        .bind(other.to_sql())
        .fetch_one(&mut *connection)
        .await?;
        let guilds = guilds.into_iter().map(|(id, nick)| MutualGuild { id: GuildId::from_sql(id), nick });
        Ok(InCommon { guilds: guilds.collect(), friends: friends as u64, are_friends: are_friends != 0 })
    }

    pub async fn note_of(&self, user: UserId, target: UserId) -> Result<Option<String>> {
        let note = sqlx::query_scalar("SELECT note FROM notes WHERE user_id = $1 AND target_id = $2");
        Ok(note.bind(user.to_sql()).bind(target.to_sql()).fetch_optional(self.readers()).await?)
    }

    /// An empty note is none.
    pub async fn set_note(&self, user_id: UserId, target: UserId, note: String) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM notes WHERE user_id = $1 AND target_id = $2")
                    .bind(user_id.to_sql())
                    .bind(target.to_sql())
                    .execute(tx.sql())
                    .await?;
                if !note.is_empty() {
                    let others: i64 = sqlx::query_scalar("SELECT count(*) FROM notes WHERE user_id = $1")
                        .bind(user_id.to_sql())
                        .fetch_one(tx.sql())
                        .await?;
                    if others >= NOTES {
                        return Err(Conflict::Full.into());
                    }
                    sqlx::query("INSERT INTO notes (user_id, target_id, note) VALUES ($1, $2, $3)")
                        .bind(user_id.to_sql())
                        .bind(target.to_sql())
                        .bind(&note)
                        .execute(tx.sql())
                        .await?;
                }
                tx.emit(Event::Personal { user_id, news: Personal::Note { id: target, note } }).await?;
                Ok(())
            })
        })
        .await
    }
}
