//! Members, their roles, and bans.

use super::engine::{Connection, Row};
use super::messages::delete_recent_of;
use super::roles::{delete_overwrites_of, roles_of};
use super::settings::{forget_guild_settings, restrict_new_guild};
use super::users::{find_user, user_of};
use super::{Conflict, Result, Store, Tx};
use crate::audit::{By, Entry};
use crate::event::Event;
use guildhall_protocol::model::{AuditAction, Member, User, parse_timestamp, timestamp};
use guildhall_protocol::{GuildId, RoleId, UserId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row as _;
use std::collections::HashMap;

/// One entry of a guild's ban list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Ban {
    pub reason: Option<String>,
    pub user: User,
}

/// How someone stops being a member.
#[derive(Clone, Debug)]
pub enum Left {
    /// On their own account, which is nobody else's business: not in the audit log.
    Freely,
    /// May come back.
    Kicked(By),
    /// Banned; their messages of the last seconds go too.
    Banned { by: By, delete_message_seconds: u64 },
}

macro_rules! select_member {
    ($where:literal) => {
        concat!(
            "SELECT m.user_id AS id, u.username, u.global_name, u.avatar, u.is_bot, u.flags, m.nick, m.joined_at, m.deaf, m.mute, ",
            "m.flags AS member_flags, m.disabled_until FROM members m JOIN users u ON u.id = m.user_id WHERE ",
            $where
        )
    };
}

fn member_of(row: &Row) -> Result<Member> {
    let mut member = Member::new(user_of(row)?, timestamp(row.try_get::<i64, _>("joined_at")? as u64));
    member.nick = row.try_get("nick")?;
    member.deaf = row.try_get("deaf")?;
    member.mute = row.try_get("mute")?;
    member.flags = row.try_get("member_flags")?;
    member.communication_disabled_until = row.try_get::<Option<i64>, _>("disabled_until")?.map(|ms| timestamp(ms as u64));
    Ok(member)
}

/// The guild's members with their roles, in user order.
pub(super) async fn members_of(connection: &mut Connection, guild: GuildId) -> Result<Vec<Member>> {
    let held: Vec<(i64, i64)> =
        sqlx::query_as("SELECT user_id, role_id FROM member_roles WHERE guild_id = $1 ORDER BY user_id, role_id")
            .bind(guild.to_sql())
            .fetch_all(&mut *connection)
            .await?;
    let mut roles: HashMap<UserId, Vec<RoleId>> = HashMap::new();
    for (user, role) in held {
        roles.entry(UserId::from_sql(user)).or_default().push(RoleId::from_sql(role));
    }
    let rows =
        sqlx::query(select_member!("m.guild_id = $1 ORDER BY m.user_id")).bind(guild.to_sql()).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let mut member = member_of(row)?;
            member.roles = roles.remove(&member.user.id).unwrap_or_default();
            Ok(member)
        })
        .collect()
}

async fn find_member(connection: &mut Connection, guild: GuildId, user: UserId) -> Result<Option<Member>> {
    let row = sqlx::query(select_member!("m.guild_id = $1 AND m.user_id = $2"))
        .bind(guild.to_sql())
        .bind(user.to_sql())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut member = member_of(&row)?;
    let roles: Vec<i64> =
        sqlx::query_scalar("SELECT role_id FROM member_roles WHERE guild_id = $1 AND user_id = $2 ORDER BY role_id")
            .bind(guild.to_sql())
            .bind(user.to_sql())
            .fetch_all(connection)
            .await?;
    member.roles = roles.into_iter().map(RoleId::from_sql).collect();
    Ok(Some(member))
}

pub(super) async fn insert_member(tx: &mut Tx<'_>, guild: GuildId, member: &Member) -> Result<()> {
    let inserted =
        sqlx::query("INSERT INTO members (guild_id, user_id, nick, joined_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
            .bind(guild.to_sql())
            .bind(member.user.id.to_sql())
            .bind(&member.nick)
            .bind(parse_timestamp(&member.joined_at).unwrap_or(tx.now_ms) as i64)
            .execute(tx.sql())
            .await?;
    if inserted.rows_affected() == 0 {
        return Err(Conflict::AlreadyMember.into());
    }
    replace_roles(tx, guild, member.user.id, &member.roles).await?;
    restrict_new_guild(tx, guild, member.user.id).await
}

/// Whoever joins by a temporary invite stays once they are given a role.
async fn make_permanent(tx: &mut Tx<'_>, guild: GuildId, user: UserId) -> Result<()> {
    sqlx::query("UPDATE members SET is_temporary = 0 WHERE guild_id = $1 AND user_id = $2 AND is_temporary = 1")
        .bind(guild.to_sql())
        .bind(user.to_sql())
        .execute(tx.sql())
        .await?;
    Ok(())
}

async fn replace_roles(tx: &mut Tx<'_>, guild: GuildId, user: UserId, roles: &[RoleId]) -> Result<()> {
    sqlx::query("DELETE FROM member_roles WHERE guild_id = $1 AND user_id = $2")
        .bind(guild.to_sql())
        .bind(user.to_sql())
        .execute(tx.sql())
        .await?;
    for role in roles {
        // A role that was deleted a moment ago, or belongs to another guild, is not given.
        sqlx::query(
            "INSERT INTO member_roles (guild_id, user_id, role_id) SELECT $1, $2, id FROM roles WHERE id = $3 AND guild_id = $1",
        )
        .bind(guild.to_sql())
        .bind(user.to_sql())
        .bind(role.to_sql())
        .execute(tx.sql())
        .await?;
    }
    Ok(())
}

/// The managed role that came with a bot goes with it.
async fn remove_bot_roles(tx: &mut Tx<'_>, guild_id: GuildId, bot: UserId) -> Result<()> {
    let roles: Vec<i64> = sqlx::query_scalar("DELETE FROM roles WHERE guild_id = $1 AND bot_id = $2 RETURNING id")
        .bind(guild_id.to_sql())
        .bind(bot.to_sql())
        .fetch_all(tx.sql())
        .await?;
    for role in roles {
        delete_overwrites_of(tx, guild_id, RoleId::from_sql(role)).await?;
        tx.emit(Event::RoleDelete { guild_id, role_id: RoleId::from_sql(role) }).await?;
    }
    Ok(())
}

/// Takes someone out of every guild.
pub(super) async fn end_memberships(tx: &mut Tx<'_>, user: &User) -> Result<()> {
    let guilds: Vec<i64> = sqlx::query_scalar("DELETE FROM members WHERE user_id = $1 RETURNING guild_id")
        .bind(user.id.to_sql())
        .fetch_all(tx.sql())
        .await?;
    for guild in guilds {
        tx.emit(Event::MemberRemove { guild_id: GuildId::from_sql(guild), user: Box::new(user.clone()) }).await?;
    }
    Ok(())
}

pub(super) async fn is_banned(tx: &mut Tx<'_>, guild: GuildId, user: UserId) -> Result<bool> {
    let found: Option<i64> = sqlx::query_scalar("SELECT user_id FROM bans WHERE guild_id = $1 AND user_id = $2")
        .bind(guild.to_sql())
        .bind(user.to_sql())
        .fetch_optional(tx.sql())
        .await?;
    Ok(found.is_some())
}

/// What the audit log shows of a member, but for the roles.
fn facts(member: &Member) -> Value {
    json!({
        "nick": member.nick,
        "deaf": member.deaf,
        "mute": member.mute,
        "flags": member.flags,
        "communication_disabled_until": member.communication_disabled_until,
    })
}

/// One line about the member and one about their roles, as far as they changed.
async fn audit_change(tx: &mut Tx<'_>, by: &By, guild: GuildId, before: &Member, after: &Member) -> Result<()> {
    let user = after.user.id;
    tx.audit(guild, by, Entry::changed(AuditAction::MEMBER_UPDATE, user, facts(before), facts(after))).await?;
    if before.roles == after.roles {
        return Ok(());
    }
    let all = roles_of(tx.sql(), guild).await?;
    // Roles come with their names, because they may be gone when someone reads this.
    let only_in = |these: &[RoleId], others: &[RoleId]| {
        let named = all.iter().filter(|role| these.contains(&role.id) && !others.contains(&role.id));
        let named: Vec<Value> = named.map(|role| json!({ "id": role.id, "name": role.name })).collect();
        if named.is_empty() { Value::Null } else { Value::Array(named) }
    };
    let facts = json!({ "$add": only_in(&after.roles, &before.roles), "$remove": only_in(&before.roles, &after.roles) });
    tx.audit(guild, by, Entry::changed(AuditAction::MEMBER_ROLE_UPDATE, user, Value::Null, facts)).await
}

/// Whether the ban is new.
async fn ban(tx: &mut Tx<'_>, guild_id: GuildId, user: &User, reason: Option<&str>) -> Result<bool> {
    let banned =
        sqlx::query("INSERT INTO bans (guild_id, user_id, reason, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
            .bind(guild_id.to_sql())
            .bind(user.id.to_sql())
            .bind(reason)
            .bind(tx.now_ms as i64)
            .execute(tx.sql())
            .await?;
    let is_new = banned.rows_affected() > 0;
    if is_new {
        tx.emit(Event::BanAdd { guild_id, user: Box::new(user.clone()) }).await?;
    }
    Ok(is_new)
}

/// Whether there was a membership to end.
pub(super) async fn end_membership(tx: &mut Tx<'_>, guild_id: GuildId, user: &User) -> Result<bool> {
    let removed = sqlx::query("DELETE FROM members WHERE guild_id = $1 AND user_id = $2")
        .bind(guild_id.to_sql())
        .bind(user.id.to_sql())
        .execute(tx.sql())
        .await?;
    let was_member = removed.rows_affected() > 0;
    sqlx::query("DELETE FROM read_states WHERE user_id = $2 AND channel_id IN (SELECT id FROM channels WHERE guild_id = $1)")
        .bind(guild_id.to_sql())
        .bind(user.id.to_sql())
        .execute(tx.sql())
        .await?;
    forget_guild_settings(tx, guild_id, user.id).await?;
    if was_member {
        remove_bot_roles(tx, guild_id, user.id).await?;
        tx.emit(Event::MemberRemove { guild_id, user: Box::new(user.clone()) }).await?;
    }
    Ok(was_member)
}

impl Store {
    /// `change` sees the stored member; roles are written as a set.
    pub async fn change_member(
        &self,
        by: By,
        guild_id: GuildId,
        user: UserId,
        change: impl FnOnce(&mut Member) + Send + 'static,
    ) -> Result<Member> {
        self.write(move |tx| {
            Box::pin(async move {
                let before = find_member(tx.sql(), guild_id, user).await?.ok_or(Conflict::Missing)?;
                let mut member = before.clone();
                change(&mut member);
                member.roles.sort_unstable();
                member.roles.dedup();
                if member == before {
                    return Ok(member);
                }
                let disabled_until = member.communication_disabled_until.as_deref().and_then(parse_timestamp);
                sqlx::query(
                    "UPDATE members SET nick = $3, deaf = $4, mute = $5, flags = $6, disabled_until = $7 WHERE guild_id = $1 AND user_id = $2",
                )
                .bind(guild_id.to_sql())
                .bind(user.to_sql())
                .bind(&member.nick)
                .bind(member.deaf)
                .bind(member.mute)
                .bind(member.flags)
                .bind(disabled_until.map(|ms| ms as i64))
                .execute(tx.sql())
                .await?;
                if member.roles != before.roles {
                    replace_roles(tx, guild_id, user, &member.roles).await?;
                    if !member.roles.is_empty() {
                        make_permanent(tx, guild_id, user).await?;
                    }
                    member = find_member(tx.sql(), guild_id, user).await?.ok_or(Conflict::Missing)?;
                }
                tx.emit(Event::MemberUpdate { guild_id, member: Box::new(member.clone()) }).await?;
                audit_change(tx, &by, guild_id, &before, &member).await?;
                Ok(member)
            })
        })
        .await
    }

    /// Ends a membership. A ban needs none: it also keeps strangers out.
    pub async fn remove_member(&self, guild_id: GuildId, user_id: UserId, how: Left) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let user = find_user(tx.sql(), user_id).await?.ok_or(Conflict::Missing)?;
                let (by, entry) = match how {
                    Left::Banned { by, delete_message_seconds } => {
                        let is_new = ban(tx, guild_id, &user, by.reason.as_deref()).await?;
                        if delete_message_seconds > 0 {
                            delete_recent_of(tx, guild_id, user_id, delete_message_seconds).await?;
                        }
                        end_membership(tx, guild_id, &user).await?;
                        (by, is_new.then(|| Entry::new(AuditAction::MEMBER_BAN_ADD, user_id)))
                    }
                    Left::Freely | Left::Kicked(_) if !end_membership(tx, guild_id, &user).await? => {
                        return Err(Conflict::Missing.into());
                    }
                    Left::Freely => return Ok(()),
                    Left::Kicked(by) => (by, Some(Entry::new(AuditAction::MEMBER_KICK, user_id))),
                };
                tx.audit(guild_id, &by, entry).await
            })
        })
        .await
    }

    /// The guild's bans in user order.
    pub async fn bans(&self, guild: GuildId, after: UserId, limit: u32) -> Result<Vec<Ban>> {
        let rows = sqlx::query(
            "SELECT u.id, u.username, u.global_name, u.avatar, u.is_bot, u.flags, b.reason FROM bans b JOIN users u ON u.id = b.user_id \
             WHERE b.guild_id = $1 AND b.user_id > $2 ORDER BY b.user_id LIMIT $3",
        )
        .bind(guild.to_sql())
        .bind(after.to_sql())
        .bind(limit)
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Ok(Ban { reason: row.try_get("reason")?, user: user_of(row)? })).collect()
    }

    pub async fn find_ban(&self, guild: GuildId, user: UserId) -> Result<Option<Ban>> {
        let row = sqlx::query(
            "SELECT u.id, u.username, u.global_name, u.avatar, u.is_bot, u.flags, b.reason FROM bans b JOIN users u ON u.id = b.user_id \
             WHERE b.guild_id = $1 AND b.user_id = $2",
        )
        .bind(guild.to_sql())
        .bind(user.to_sql())
        .fetch_optional(self.readers())
        .await?;
        row.map(|row| Ok(Ban { reason: row.try_get("reason")?, user: user_of(&row)? })).transpose()
    }

    pub async fn lift_ban(&self, by: By, guild_id: GuildId, user_id: UserId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let lifted = sqlx::query("DELETE FROM bans WHERE guild_id = $1 AND user_id = $2")
                    .bind(guild_id.to_sql())
                    .bind(user_id.to_sql())
                    .execute(tx.sql())
                    .await?;
                let user = find_user(tx.sql(), user_id).await?.ok_or(Conflict::Missing)?;
                if lifted.rows_affected() == 0 {
                    return Err(Conflict::Missing.into());
                }
                tx.emit(Event::BanRemove { guild_id, user: Box::new(user) }).await?;
                tx.audit(guild_id, &by, Entry::new(AuditAction::MEMBER_BAN_REMOVE, user_id)).await
            })
        })
        .await
    }
}
