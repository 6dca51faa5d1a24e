//! Guilds as wholes: loading one into memory, creating, changing and deleting it.

use super::attachments::{doom_file, replace_picture};
use super::channels::{channels_of, insert_channel};
use super::emojis::emojis_of;
use super::engine::{Connection, Row};
use super::members::{insert_member, members_of};
use super::roles::{insert_role, roles_of};
use super::threads::active_threads_of;
use super::{Conflict, Result, Store, Tx};
use crate::audit::{By, Entry};
use crate::event::{Event, Topic};
use crate::files::{FAREWELL_MS, emoji_path};
use crate::guild::Snapshot;
use guildhall_protocol::model::{AuditAction, Channel, Guild, Member};
use guildhall_protocol::{ChannelId, EmojiId, GuildId, UserId, WebhookId};
use serde_json::{Value, json};
use sqlx::Row as _;

/// Guilds that one user may be in (COMPAT §10.5).
const GUILDS_PER_USER: i64 = 100;

/// Everything that a new guild starts with.
pub struct NewGuild {
    /// With its roles, `@everyone` among them.
    pub guild: Guild,
    pub channels: Vec<Channel>,
    pub owner: Member,
}

fn guild_of(row: &Row) -> Result<Guild> {
    let channel = |name| row.try_get::<Option<i64>, _>(name).map(|id| id.map(ChannelId::from_sql));
    let mut guild =
        Guild::new(GuildId::from_sql(row.try_get("id")?), row.try_get("name")?, UserId::from_sql(row.try_get("owner_id")?));
    guild.icon = row.try_get("icon")?;
    guild.banner = row.try_get("banner")?;
    guild.splash = row.try_get("splash")?;
    guild.description = row.try_get("description")?;
    guild.afk_channel_id = channel("afk_channel_id")?;
    guild.afk_timeout = row.try_get("afk_timeout")?;
    guild.system_channel_id = channel("system_channel_id")?;
    guild.system_channel_flags = row.try_get("system_channel_flags")?;
    guild.rules_channel_id = channel("rules_channel_id")?;
    guild.public_updates_channel_id = channel("public_updates_channel_id")?;
    guild.verification_level = row.try_get("verification_level")?;
    guild.default_message_notifications = row.try_get("default_message_notifications")?;
    guild.explicit_content_filter = row.try_get("explicit_content_filter")?;
    guild.preferred_locale = row.try_get("preferred_locale")?;
    guild.premium_progress_bar_enabled = row.try_get("premium_progress_bar_enabled")?;
    Ok(guild)
}

/// The guild with its roles.
pub(super) async fn find_guild(connection: &mut Connection, id: GuildId) -> Result<Option<Guild>> {
    let row = sqlx::query("SELECT * FROM guilds WHERE id = $1").bind(id.to_sql()).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(None) };
    let mut guild = guild_of(&row)?;
    guild.roles = roles_of(connection, id).await?;
    guild.emojis = emojis_of(connection, id).await?;
    Ok(Some(guild))
}

/// Writes every column that can change.
pub(super) async fn update_guild(tx: &mut Tx<'_>, guild: &Guild) -> Result<()> {
    sqlx::query(
        "UPDATE guilds SET name = $2, owner_id = $3, icon = $4, description = $5, afk_channel_id = $6, afk_timeout = $7, \
         system_channel_id = $8, system_channel_flags = $9, rules_channel_id = $10, public_updates_channel_id = $11, \
         verification_level = $12, default_message_notifications = $13, explicit_content_filter = $14, preferred_locale = $15, \
         premium_progress_bar_enabled = $16, banner = $17, splash = $18 WHERE id = $1",
    )
    .bind(guild.id.to_sql())
    .bind(&guild.name)
    .bind(guild.owner_id.to_sql())
    .bind(&guild.icon)
    .bind(&guild.description)
    .bind(guild.afk_channel_id.map(ChannelId::to_sql))
    .bind(guild.afk_timeout)
    .bind(guild.system_channel_id.map(ChannelId::to_sql))
    .bind(guild.system_channel_flags)
    .bind(guild.rules_channel_id.map(ChannelId::to_sql))
    .bind(guild.public_updates_channel_id.map(ChannelId::to_sql))
    .bind(guild.verification_level)
    .bind(guild.default_message_notifications)
    .bind(guild.explicit_content_filter)
    .bind(&guild.preferred_locale)
    .bind(guild.premium_progress_bar_enabled)
    .bind(&guild.banner)
    .bind(&guild.splash)
    .execute(tx.sql())
    .await?;
    tx.emit(Event::GuildUpdate { guild: Box::new(guild.clone()) }).await?;
    Ok(())
}

/// What the audit log shows of a guild.
fn facts(guild: &Guild) -> Value {
    json!({
        "name": guild.name,
        "description": guild.description,
        "icon_hash": guild.icon,
        "splash_hash": guild.splash,
        "banner_hash": guild.banner,
        "owner_id": guild.owner_id,
        "afk_channel_id": guild.afk_channel_id,
        "afk_timeout": guild.afk_timeout,
        "system_channel_id": guild.system_channel_id,
        "system_channel_flags": guild.system_channel_flags,
        "rules_channel_id": guild.rules_channel_id,
        "public_updates_channel_id": guild.public_updates_channel_id,
        "verification_level": guild.verification_level,
        "default_message_notifications": guild.default_message_notifications,
        "explicit_content_filter": guild.explicit_content_filter,
        "preferred_locale": guild.preferred_locale,
        "premium_progress_bar_enabled": guild.premium_progress_bar_enabled,
    })
}

/// Refuses a user who is in as many guilds as one may be.
pub(super) async fn check_room_for_guild(tx: &mut Tx<'_>, user: UserId) -> Result<()> {
    let guilds: i64 =
        sqlx::query_scalar("SELECT count(*) FROM members WHERE user_id = $1").bind(user.to_sql()).fetch_one(tx.sql()).await?;
    if guilds >= GUILDS_PER_USER { Err(Conflict::Full.into()) } else { Ok(()) }
}

/// Says that what the guild shows is to be deleted. Attachments go with their messages.
async fn doom_pictures(tx: &mut Tx<'_>, id: GuildId) -> Result<()> {
    let Some(guild) = find_guild(tx.sql(), id).await? else { return Ok(()) };
    for (folder, hash) in [("icons", guild.icon), ("banners", guild.banner), ("splashes", guild.splash)] {
        replace_picture(tx, folder, id.into(), hash.as_deref(), None).await?;
    }
    let webhooks: Vec<(i64, String)> =
        sqlx::query_as("SELECT id, avatar FROM webhooks WHERE guild_id = $1 AND avatar IS NOT NULL")
            .bind(id.to_sql())
            .fetch_all(tx.sql())
            .await?;
    for (webhook, hash) in webhooks {
        replace_picture(tx, "avatars", WebhookId::from_sql(webhook).into(), Some(&hash), None).await?;
    }
    let emojis: Vec<i64> =
        sqlx::query_scalar("SELECT id FROM emojis WHERE guild_id = $1").bind(id.to_sql()).fetch_all(tx.sql()).await?;
    let at = tx.now_ms + FAREWELL_MS;
    for emoji in emojis {
        doom_file(tx, &emoji_path(EmojiId::from_sql(emoji)), at).await?;
    }
    Ok(())
}

impl Store {
    /// The whole guild at one moment, with the number of the last event that it contains.
    pub async fn load_guild(&self, id: GuildId) -> Result<Option<Snapshot>> {
        let mut connection = self.snapshot().await?;
        let Some(guild) = find_guild(&mut connection, id).await? else { return Ok(None) };
        let channels = channels_of(&mut connection, id).await?;
        let threads = active_threads_of(&mut connection, id).await?;
        let members = members_of(&mut connection, id).await?;
        let (kind, topic) = Topic::Guild(id).to_sql();
        let seq: Option<i64> = sqlx::query_scalar("SELECT seq FROM topics WHERE kind = $1 AND id = $2")
            .bind(kind)
            .bind(topic)
            .fetch_optional(&mut *connection)
            .await?;
        Ok(Some(Snapshot { guild, channels, threads, members, seq: seq.unwrap_or(0) as u64 }))
    }

    /// The guilds that the user is a member of, oldest first.
    pub async fn guild_ids_of(&self, user: UserId) -> Result<Vec<GuildId>> {
        let ids: Vec<i64> = sqlx::query_scalar("SELECT guild_id FROM members WHERE user_id = $1 ORDER BY guild_id")
            .bind(user.to_sql())
            .fetch_all(self.readers())
            .await?;
        Ok(ids.into_iter().map(GuildId::from_sql).collect())
    }

    pub async fn create_guild(&self, new: NewGuild) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let NewGuild { guild, channels, owner } = new;
                check_room_for_guild(tx, owner.user.id).await?;
                sqlx::query("INSERT INTO guilds (id, name, owner_id, created_at) VALUES ($1, $2, $3, $4)")
                    .bind(guild.id.to_sql())
                    .bind(&guild.name)
                    .bind(guild.owner_id.to_sql())
                    .bind(tx.now_ms as i64)
                    .execute(tx.sql())
                    .await?;
                sqlx::query("UPDATE guilds SET icon = $2, system_channel_id = $3, verification_level = $4, default_message_notifications = $5, explicit_content_filter = $6 WHERE id = $1")
                    .bind(guild.id.to_sql())
                    .bind(&guild.icon)
                    .bind(guild.system_channel_id.map(ChannelId::to_sql))
                    .bind(guild.verification_level)
                    .bind(guild.default_message_notifications)
                    .bind(guild.explicit_content_filter)
                    .execute(tx.sql())
                    .await?;
                replace_picture(tx, "icons", guild.id.into(), None, guild.icon.as_deref()).await?;
                for role in &guild.roles {
                    insert_role(tx, guild.id, role).await?;
                }
                for channel in &channels {
                    insert_channel(tx, channel).await?;
                }
                insert_member(tx, guild.id, &owner).await?;
                // One event for all of it: whoever hears of the guild loads it whole.
                tx.emit(Event::GuildCreate { guild_id: guild.id }).await?;
                tx.emit(Event::MemberAdd { guild_id: guild.id, member: Box::new(owner) }).await?;
                Ok(())
            })
        })
        .await
    }

    /// Changes the guild's own row; `change` sees the stored state and must leave roles alone.
    pub async fn change_guild(&self, by: By, id: GuildId, change: impl FnOnce(&mut Guild) + Send + 'static) -> Result<Guild> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut guild = find_guild(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
                let before = facts(&guild);
                let pictures = |guild: &Guild| [guild.icon.clone(), guild.banner.clone(), guild.splash.clone()];
                let old = pictures(&guild);
                change(&mut guild);
                for ((folder, old), new) in ["icons", "banners", "splashes"].into_iter().zip(old).zip(pictures(&guild)) {
                    replace_picture(tx, folder, id.into(), old.as_deref(), new.as_deref()).await?;
                }
                update_guild(tx, &guild).await?;
                tx.audit(id, &by, Entry::changed(AuditAction::GUILD_UPDATE, id, before, facts(&guild))).await?;
                Ok(guild)
            })
        })
        .await
    }

    /// Deletes the guild with everything in it; messages go a few at a time later.
    pub async fn delete_guild(&self, id: GuildId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("INSERT INTO graves (channel_id) SELECT id FROM channels WHERE guild_id = $1")
                    .bind(id.to_sql())
                    .execute(tx.sql())
                    .await?;
                doom_pictures(tx, id).await?;
                let deleted = sqlx::query("DELETE FROM guilds WHERE id = $1").bind(id.to_sql()).execute(tx.sql()).await?;
                if deleted.rows_affected() == 0 {
                    return Err(Conflict::Missing.into());
                }
                sqlx::query("DELETE FROM guild_settings WHERE guild_id = $1").bind(id.to_sql()).execute(tx.sql()).await?;
                tx.emit(Event::GuildDelete { guild_id: id }).await?;
                Ok(())
            })
        })
        .await
    }
}
