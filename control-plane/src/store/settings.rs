//! What people set for themselves: JSON of what differs from the defaults ([`crate::settings`]).

use super::engine::Connection;
use super::{Conflict, Result, Store, Tx};
use crate::event::{Event, Personal};
use crate::settings;
use guildhall_protocol::{ChannelId, GuildId, UserId};
use serde_json::{Map, Value};

/// Bytes of one account's settings, and of what it sets about one guild: some hundred folders, or a mute for each of a
/// guild's channels.
const BYTES: usize = 64 * 1024;
/// The guild's number for what is set about private channels.
const PRIVATE: i64 = 0;

type Set = Map<String, Value>;

async fn account_of(connection: &mut Connection, user: UserId) -> Result<(Set, Vec<GuildId>)> {
    let set: Option<String> = sqlx::query_scalar("SELECT settings FROM settings WHERE user_id = $1")
        .bind(user.to_sql())
        .fetch_optional(&mut *connection)
        .await?;
    let restricted: Vec<i64> = sqlx::query_scalar("SELECT guild_id FROM restricted_guilds WHERE user_id = $1 ORDER BY guild_id")
        .bind(user.to_sql())
        .fetch_all(connection)
        .await?;
    let set = set.map_or(Ok(Set::new()), |set| serde_json::from_str(&set))?;
    Ok((set, restricted.into_iter().map(GuildId::from_sql).collect()))
}

async fn restrict(tx: &mut Tx<'_>, user: UserId, guild: GuildId) -> Result<()> {
    sqlx::query(
        "INSERT INTO restricted_guilds (user_id, guild_id) SELECT user_id, guild_id FROM members \
         WHERE user_id = $1 AND guild_id = $2 ON CONFLICT DO NOTHING",
    )
    .bind(user.to_sql())
    .bind(guild.to_sql())
    .execute(tx.sql())
    .await?;
    Ok(())
}

/// Reads the settings again and tells them.
async fn tell_account(tx: &mut Tx<'_>, user_id: UserId) -> Result<Value> {
    let (set, restricted) = account_of(tx.sql(), user_id).await?;
    let settings = settings::account(set, &restricted);
    tx.emit(Event::Personal { user_id, news: Personal::Settings { settings: settings.clone() } }).await?;
    Ok(settings)
}

/// Someone became a member: their other members write to them if they let new guilds do so.
pub(super) async fn restrict_new_guild(tx: &mut Tx<'_>, guild: GuildId, user: UserId) -> Result<()> {
    let (set, _) = account_of(tx.sql(), user).await?;
    if set.get("default_guilds_restricted") == Some(&Value::Bool(true)) {
        restrict(tx, user, guild).await?;
        tell_account(tx, user).await?;
    }
    Ok(())
}

/// What someone set about a guild goes with the membership.
pub(super) async fn forget_guild_settings(tx: &mut Tx<'_>, guild: GuildId, user: UserId) -> Result<()> {
    for statement in [
        "DELETE FROM guild_settings WHERE guild_id = $1 AND user_id = $2",
        "DELETE FROM restricted_guilds WHERE guild_id = $1 AND user_id = $2",
    ] {
        sqlx::query(statement).bind(guild.to_sql()).bind(user.to_sql()).execute(tx.sql()).await?;
    }
    Ok(())
}

fn bounded(set: &Set) -> Result<String> {
    let text = serde_json::to_string(set)?;
    if text.len() > BYTES { Err(Conflict::Full.into()) } else { Ok(text) }
}

impl Store {
    pub async fn settings_of(&self, user: UserId) -> Result<Value> {
        let (set, restricted) = account_of(&mut *self.snapshot().await?, user).await?;
        Ok(settings::account(set, &restricted))
    }

    /// Sets what is named and answers with all settings. Guilds that the user is no member of are passed over.
    pub async fn change_settings(&self, user_id: UserId, change: Set, restricted: Option<Vec<GuildId>>) -> Result<Value> {
        self.write(move |tx| {
            Box::pin(async move {
                let (mut set, _) = account_of(tx.sql(), user_id).await?;
                set.extend(change);
                sqlx::query(
                    "INSERT INTO settings (user_id, settings) VALUES ($1, $2) \
                     ON CONFLICT (user_id) DO UPDATE SET settings = excluded.settings",
                )
                .bind(user_id.to_sql())
                .bind(bounded(&set)?)
                .execute(tx.sql())
                .await?;
                if let Some(restricted) = restricted {
                    sqlx::query("DELETE FROM restricted_guilds WHERE user_id = $1")
                        .bind(user_id.to_sql())
                        .execute(tx.sql())
                        .await?;
                    for guild in restricted {
                        restrict(tx, user_id, guild).await?;
                    }
                }
                tell_account(tx, user_id).await
            })
        })
        .await
    }

    /// What the user has set about guilds and about private channels.
    pub async fn guild_settings_of(&self, user: UserId) -> Result<Vec<Value>> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT guild_id, settings FROM guild_settings WHERE user_id = $1 ORDER BY guild_id")
                .bind(user.to_sql())
                .fetch_all(self.readers())
                .await?;
        let whole = |(guild, set): (i64, String)| {
            let guild = Some(guild).filter(|guild| *guild != PRIVATE).map(GuildId::from_sql);
            Ok(settings::guild(guild, serde_json::from_str(&set)?))
        };
        rows.into_iter().map(whole).collect()
    }

    /// Sets what is named, also of channels; answers with all of it. `None`: of private channels.
    pub async fn change_guild_settings(
        &self,
        user_id: UserId,
        guild: Option<GuildId>,
        change: Set,
        overrides: Vec<(ChannelId, Set)>,
    ) -> Result<Value> {
        self.write(move |tx| {
            Box::pin(async move {
                let number = guild.map_or(PRIVATE, GuildId::to_sql);
                let stored: Option<String> =
                    sqlx::query_scalar("SELECT settings FROM guild_settings WHERE user_id = $1 AND guild_id = $2")
                        .bind(user_id.to_sql())
                        .bind(number)
                        .fetch_optional(tx.sql())
                        .await?;
                let mut set: Set = stored.map_or(Ok(Set::new()), |set| serde_json::from_str(&set))?;
                set.extend(change);
                let mut channels = match set.remove("channel_overrides") {
                    Some(Value::Object(channels)) => channels,
                    _ => Set::new(),
                };
                for (channel, change) in overrides {
                    let channel = channels.entry(channel.to_string()).or_insert_with(|| Set::new().into());
                    if let Some(channel) = channel.as_object_mut() {
                        channel.extend(change);
                    }
                }
                set.insert("channel_overrides".to_owned(), channels.into());
                sqlx::query(
                    "INSERT INTO guild_settings (user_id, guild_id, settings) VALUES ($1, $2, $3) \
                     ON CONFLICT (user_id, guild_id) DO UPDATE SET settings = excluded.settings",
                )
                .bind(user_id.to_sql())
                .bind(number)
                .bind(bounded(&set)?)
                .execute(tx.sql())
                .await?;
                let settings = settings::guild(guild, set);
                tx.emit(Event::Personal { user_id, news: Personal::GuildSettings { settings: settings.clone() } }).await?;
                Ok(settings)
            })
        })
        .await
    }
}
