//! Channels and their overwrites.

use super::engine::{Connection, Row};
use super::guilds::{find_guild, update_guild};
use super::roles::roles_of;
use super::threads::delete_threads_of;
use super::{Conflict, Result, Store, Tx};
use crate::audit::{By, Entry};
use crate::event::Event;
use guildhall_protocol::model::{AuditAction, Channel, ChannelType, Forum, Overwrite, OverwriteKind, timestamp};
use guildhall_protocol::{ChannelId, GuildId, MessageId, Permissions, Snowflake};
use serde_json::{Value, json};
use sqlx::Row as _;
use std::collections::HashMap;

/// Channels per guild, categories included (COMPAT §10.5).
pub const CHANNELS: usize = 500;
/// Overwrites per channel (COMPAT §10.5).
pub const OVERWRITES: usize = 1000;

fn channel_of(row: &Row) -> Result<Channel> {
    let kind = ChannelType::from_number(row.try_get("kind")?).unwrap_or(ChannelType::Text);
    let recording: Option<&str> = row.try_get("recording")?;
    Ok(Channel {
        id: ChannelId::from_sql(row.try_get("id")?),
        kind,
        guild_id: GuildId::from_sql(row.try_get("guild_id")?),
        name: row.try_get("name")?,
        position: row.try_get("position")?,
        parent_id: row.try_get::<Option<i64>, _>("parent_id")?.map(ChannelId::from_sql),
        topic: row.try_get("topic")?,
        nsfw: row.try_get("nsfw")?,
        last_message_id: row.try_get::<Option<i64>, _>("last_message_id")?.map(MessageId::from_sql),
        last_pin_timestamp: row.try_get::<Option<i64>, _>("last_pin_at")?.map(|ms| timestamp(ms as u64)),
        rate_limit_per_user: row.try_get("rate_limit_per_user")?,
        permission_overwrites: Vec::new(),
        flags: row.try_get("flags")?,
        bitrate: row.try_get("bitrate")?,
        user_limit: row.try_get("user_limit")?,
        rtc_region: row.try_get("rtc_region")?,
        recording: recording.map(serde_json::from_str).transpose()?,
        forum: if kind == ChannelType::Forum { Some(Box::new(forum_of(row)?)) } else { None },
    })
}

/// Forums from before there were tags have everything as it comes.
fn forum_of(row: &Row) -> Result<Forum> {
    let stored: Option<String> = row.try_get("forum")?;
    stored.map_or_else(|| Ok(Forum::default()), |stored| Ok(serde_json::from_str(&stored)?))
}

fn forum_to_sql(channel: &Channel) -> Result<Option<String>> {
    Ok(channel.forum.as_ref().map(serde_json::to_string).transpose()?)
}

fn overwrite_of(row: &Row) -> Result<Overwrite> {
    Ok(Overwrite {
        id: Snowflake(row.try_get::<i64, _>("target_id")? as u64),
        kind: if row.try_get::<i64, _>("kind")? == 0 { OverwriteKind::Role } else { OverwriteKind::Member },
        allow: Permissions(row.try_get::<i64, _>("allow")? as u64),
        deny: Permissions(row.try_get::<i64, _>("deny")? as u64),
    })
}

/// The guild's channels with their overwrites, in id order. Threads are not among them.
pub(super) async fn channels_of(connection: &mut Connection, guild: GuildId) -> Result<Vec<Channel>> {
    let overwrites = sqlx::query(
        "SELECT o.* FROM channels c JOIN overwrites o ON o.channel_id = c.id WHERE c.guild_id = $1 AND c.kind NOT IN (10, 11, 12) ORDER BY o.channel_id, o.target_id",
    )
    .bind(guild.to_sql())
    .fetch_all(&mut *connection)
    .await?;
    let mut of_channel: HashMap<ChannelId, Vec<Overwrite>> = HashMap::new();
    for row in &overwrites {
        of_channel.entry(ChannelId::from_sql(row.try_get("channel_id")?)).or_default().push(overwrite_of(row)?);
    }
    let rows = sqlx::query(
        "SELECT c.*, (SELECT max(m.id) FROM messages m WHERE m.channel_id = c.id) AS last_message_id \
         FROM channels c WHERE c.guild_id = $1 AND c.kind NOT IN (10, 11, 12) ORDER BY c.id",
    )
    .bind(guild.to_sql())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let mut channel = channel_of(row)?;
            channel.permission_overwrites = of_channel.remove(&channel.id).unwrap_or_default();
            Ok(channel)
        })
        .collect()
}

pub(super) async fn find_channel(connection: &mut Connection, id: ChannelId) -> Result<Option<Channel>> {
    let row = sqlx::query(
        "SELECT c.*, (SELECT max(m.id) FROM messages m WHERE m.channel_id = c.id) AS last_message_id FROM channels c WHERE c.id = $1 AND c.kind NOT IN (10, 11, 12)",
    )
    .bind(id.to_sql())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let overwrites = sqlx::query("SELECT * FROM overwrites WHERE channel_id = $1 ORDER BY target_id");
    let overwrites = overwrites.bind(id.to_sql()).fetch_all(connection).await?;
    let mut channel = channel_of(&row)?;
    channel.permission_overwrites = overwrites.iter().map(overwrite_of).collect::<Result<_>>()?;
    Ok(Some(channel))
}

pub(super) async fn insert_channel(tx: &mut Tx<'_>, channel: &Channel) -> Result<()> {
    sqlx::query(
        "INSERT INTO channels (id, guild_id, kind, name, position, parent_id, topic, nsfw, rate_limit_per_user, bitrate, user_limit, \
         rtc_region, flags, forum) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(channel.id.to_sql())
    .bind(channel.guild_id.to_sql())
    .bind(channel.kind.number())
    .bind(&channel.name)
    .bind(channel.position)
    .bind(channel.parent_id.map(ChannelId::to_sql))
    .bind(&channel.topic)
    .bind(channel.nsfw)
    .bind(channel.rate_limit_per_user)
    .bind(channel.bitrate)
    .bind(channel.user_limit)
    .bind(&channel.rtc_region)
    .bind(channel.flags)
    .bind(forum_to_sql(channel)?)
    .execute(tx.sql())
    .await?;
    replace_overwrites(tx, channel.id, &channel.permission_overwrites).await
}

async fn replace_overwrites(tx: &mut Tx<'_>, channel: ChannelId, overwrites: &[Overwrite]) -> Result<()> {
    sqlx::query("DELETE FROM overwrites WHERE channel_id = $1").bind(channel.to_sql()).execute(tx.sql()).await?;
    for overwrite in overwrites {
        sqlx::query("INSERT INTO overwrites (channel_id, target_id, kind, allow, deny) VALUES ($1, $2, $3, $4, $5)")
            .bind(channel.to_sql())
            .bind(overwrite.id.0 as i64)
            .bind(i64::from(overwrite.kind == OverwriteKind::Member))
            .bind(overwrite.allow.0 as i64)
            .bind(overwrite.deny.0 as i64)
            .execute(tx.sql())
            .await?;
    }
    Ok(())
}

/// Overwrites in an order that does not depend on how they came about.
fn by_target(overwrites: &[Overwrite]) -> Vec<Overwrite> {
    let mut sorted = overwrites.to_vec();
    sorted.sort_by_key(|overwrite| overwrite.id);
    sorted
}

/// Channels whose overwrites were those of their category follow it; all others have their own (COMPAT §10.2).
async fn take_along(tx: &mut Tx<'_>, by: &By, before: &Channel, after: &Channel) -> Result<()> {
    let known = by_target(&before.permission_overwrites);
    for child in channels_of(tx.sql(), after.guild_id).await?.into_iter().filter(|child| child.parent_id == Some(after.id)) {
        if by_target(&child.permission_overwrites) == known {
            let moved = Channel { permission_overwrites: after.permission_overwrites.clone(), ..child.clone() };
            update_channel(tx, &child, &moved).await?;
            audit_change(tx, by, &child, &moved).await?;
        }
    }
    Ok(())
}

/// Tells everyone of a channel as it is.
pub(super) async fn emit_channel(tx: &mut Tx<'_>, channel: Channel) -> Result<()> {
    tx.emit(Event::ChannelUpdate { channel: Box::new(channel) }).await?;
    Ok(())
}

/// Writes what changed between the two and emits the new state.
async fn update_channel(tx: &mut Tx<'_>, before: &Channel, after: &Channel) -> Result<()> {
    sqlx::query(
        "UPDATE channels SET kind = $2, name = $3, position = $4, parent_id = $5, topic = $6, nsfw = $7, rate_limit_per_user = $8, \
         bitrate = $9, user_limit = $10, rtc_region = $11, flags = $12, forum = $13 WHERE id = $1",
    )
    .bind(after.id.to_sql())
    .bind(after.kind.number())
    .bind(&after.name)
    .bind(after.position)
    .bind(after.parent_id.map(ChannelId::to_sql))
    .bind(&after.topic)
    .bind(after.nsfw)
    .bind(after.rate_limit_per_user)
    .bind(after.bitrate)
    .bind(after.user_limit)
    .bind(&after.rtc_region)
    .bind(after.flags)
    .bind(forum_to_sql(after)?)
    .execute(tx.sql())
    .await?;
    if before.permission_overwrites != after.permission_overwrites {
        replace_overwrites(tx, after.id, &after.permission_overwrites).await?;
    }
    emit_channel(tx, after.clone()).await
}

/// What the audit log shows of a channel. Without its position: a drag in a client changes dozens.
fn facts(channel: &Channel) -> Value {
    let mut facts = json!({
        "name": channel.name,
        "type": channel.kind,
        "topic": channel.topic,
        "parent_id": channel.parent_id,
        "nsfw": channel.nsfw,
        "rate_limit_per_user": channel.rate_limit_per_user,
        "bitrate": channel.bitrate,
        "user_limit": channel.user_limit,
        "rtc_region": channel.rtc_region,
        "flags": channel.flags,
    });
    if let Some(forum) = &channel.forum {
        facts["available_tags"] = json!(forum.available_tags);
        facts["default_reaction_emoji"] = json!(forum.default_reaction_emoji);
        facts["default_sort_order"] = json!(forum.default_sort_order);
        facts["default_forum_layout"] = json!(forum.default_forum_layout);
    }
    facts
}

/// The facts of a channel that comes or goes as a whole.
fn all_facts(channel: &Channel) -> Value {
    let mut all = facts(channel);
    all["permission_overwrites"] = json!(channel.permission_overwrites);
    all
}

/// One line about the channel itself and one for each overwrite, as far as they changed.
async fn audit_change(tx: &mut Tx<'_>, by: &By, before: &Channel, after: &Channel) -> Result<()> {
    let guild = after.guild_id;
    tx.audit(guild, by, Entry::changed(AuditAction::CHANNEL_UPDATE, after.id, facts(before), facts(after))).await?;
    let (old, new) = (&before.permission_overwrites, &after.permission_overwrites);
    if old == new {
        return Ok(());
    }
    let roles = roles_of(tx.sql(), guild).await?;
    let mut ids: Vec<Snowflake> = old.iter().chain(new).map(|overwrite| overwrite.id).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let find = |list: &[Overwrite]| list.iter().find(|overwrite| overwrite.id == id).copied();
        let (old, new) = (find(old), find(new));
        let (Some(known), action) = (match (old, new) {
            (None, new) => (new, AuditAction::CHANNEL_OVERWRITE_CREATE),
            (old, None) => (old, AuditAction::CHANNEL_OVERWRITE_DELETE),
            (_, new) => (new, AuditAction::CHANNEL_OVERWRITE_UPDATE),
        }) else {
            continue;
        };
        let facts = |overwrite: Option<Overwrite>| overwrite.map_or(Value::Null, |overwrite| json!(overwrite));
        let mut entry = Entry::new(action, after.id).between(facts(old), facts(new));
        if entry.changes.is_empty() {
            continue;
        }
        let is_role = known.kind == OverwriteKind::Role;
        entry = entry.option("id", id).option("type", if is_role { 0 } else { 1 });
        if let Some(role) = roles.iter().find(|role| is_role && role.id.0 == id) {
            entry = entry.option("role_name", &role.name);
        }
        tx.audit(guild, by, entry).await?;
    }
    Ok(())
}

impl Store {
    pub async fn find_channel_guild(&self, id: ChannelId) -> Result<Option<GuildId>> {
        let guild: Option<i64> = sqlx::query_scalar("SELECT guild_id FROM channels WHERE id = $1")
            .bind(id.to_sql())
            .fetch_optional(self.readers())
            .await?;
        Ok(guild.map(GuildId::from_sql))
    }

    pub async fn create_channel(&self, by: By, channel: Channel) -> Result<Channel> {
        self.write(move |tx| {
            Box::pin(async move {
                let count: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM channels WHERE guild_id = $1 AND kind NOT IN (10, 11, 12)")
                        .bind(channel.guild_id.to_sql())
                        .fetch_one(tx.sql())
                        .await?;
                if count >= CHANNELS as i64 {
                    return Err(Conflict::Full.into());
                }
                insert_channel(tx, &channel).await?;
                tx.emit(Event::ChannelCreate { channel: Box::new(channel.clone()) }).await?;
                let entry = Entry::created(AuditAction::CHANNEL_CREATE, channel.id, all_facts(&channel));
                tx.audit(channel.guild_id, &by, entry).await?;
                Ok(channel)
            })
        })
        .await
    }

    /// `change` sees the stored channel.
    pub async fn change_channel(
        &self,
        by: By,
        id: ChannelId,
        change: impl FnOnce(&mut Channel) + Send + 'static,
    ) -> Result<Channel> {
        self.write(move |tx| {
            Box::pin(async move {
                let before = find_channel(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
                let mut after = before.clone();
                change(&mut after);
                if after.permission_overwrites.len() > OVERWRITES {
                    return Err(Conflict::Full.into());
                }
                update_channel(tx, &before, &after).await?;
                audit_change(tx, &by, &before, &after).await?;
                if by_target(&before.permission_overwrites) != by_target(&after.permission_overwrites) {
                    take_along(tx, &by, &before, &after).await?;
                }
                Ok(after)
            })
        })
        .await
    }

    /// Changes any of the guild's channels in one transaction; emits only those that differ afterwards.
    pub async fn change_channels(&self, by: By, guild_id: GuildId, change: impl Fn(&mut Channel) + Send + 'static) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                for before in channels_of(tx.sql(), guild_id).await? {
                    let mut after = before.clone();
                    change(&mut after);
                    if after != before {
                        update_channel(tx, &before, &after).await?;
                        audit_change(tx, &by, &before, &after).await?;
                    }
                }
                Ok(())
            })
        })
        .await
    }

    /// Deletes the channel; its messages are out of reach at once and go one by one later. A category's channels stay, without
    /// a parent.
    pub async fn delete_channel(&self, by: By, id: ChannelId) -> Result<Channel> {
        self.write(move |tx| {
            Box::pin(async move {
                let channel = find_channel(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
                for child in
                    channels_of(tx.sql(), channel.guild_id).await?.into_iter().filter(|child| child.parent_id == Some(id))
                {
                    update_channel(tx, &child, &Channel { parent_id: None, ..child.clone() }).await?;
                }
                delete_threads_of(tx, id).await?;
                sqlx::query("INSERT INTO graves (channel_id) VALUES ($1)").bind(id.to_sql()).execute(tx.sql()).await?;
                sqlx::query("DELETE FROM channels WHERE id = $1").bind(id.to_sql()).execute(tx.sql()).await?;
                tx.emit(Event::ChannelDelete { channel: Box::new(channel.clone()) }).await?;
                let mut guild = find_guild(tx.sql(), channel.guild_id).await?.ok_or(Conflict::Missing)?;
                let places = [
                    &mut guild.system_channel_id,
                    &mut guild.afk_channel_id,
                    &mut guild.rules_channel_id,
                    &mut guild.public_updates_channel_id,
                ];
                let mut is_named = false;
                for place in places.into_iter().filter(|place| **place == Some(id)) {
                    *place = None;
                    is_named = true;
                }
                if is_named {
                    update_guild(tx, &guild).await?;
                }
                let entry = Entry::deleted(AuditAction::CHANNEL_DELETE, id, all_facts(&channel));
                tx.audit(channel.guild_id, &by, entry).await?;
                Ok(channel)
            })
        })
        .await
    }
}
