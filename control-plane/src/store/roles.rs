//! Roles.

use super::engine::{Connection, Row};
use super::{Conflict, Result, Store, Tx};
use crate::audit::{By, Entry};
use crate::event::Event;
use guildhall_protocol::model::{AuditAction, Role, RoleColors, RoleTags};
use guildhall_protocol::{GuildId, Permissions, RoleId, UserId};
use serde_json::{Value, json};
use sqlx::Row as _;

/// Roles per guild, `@everyone` included (COMPAT §10.5).
pub const ROLES: usize = 250;

fn role_of(row: &Row) -> Result<Role> {
    let permissions = Permissions(row.try_get::<i64, _>("permissions")? as u64);
    let mut role = Role::new(RoleId::from_sql(row.try_get("id")?), row.try_get("name")?, permissions, row.try_get("position")?);
    role.color = row.try_get("color")?;
    role.colors = RoleColors { primary_color: role.color, ..RoleColors::default() };
    role.hoist = row.try_get("hoist")?;
    role.mentionable = row.try_get("mentionable")?;
    let bot_id = row.try_get::<Option<i64>, _>("bot_id")?.map(UserId::from_sql);
    role.managed = bot_id.is_some();
    role.tags = role.managed.then_some(RoleTags { bot_id });
    Ok(role)
}

/// The guild's roles, lowest first.
pub(super) async fn roles_of(connection: &mut Connection, guild: GuildId) -> Result<Vec<Role>> {
    let rows = sqlx::query("SELECT * FROM roles WHERE guild_id = $1 ORDER BY position, id DESC");
    rows.bind(guild.to_sql()).fetch_all(connection).await?.iter().map(role_of).collect()
}

pub(super) async fn insert_role(tx: &mut Tx<'_>, guild: GuildId, role: &Role) -> Result<()> {
    sqlx::query(
        "INSERT INTO roles (id, guild_id, name, permissions, position, color, hoist, mentionable, bot_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(role.id.to_sql())
    .bind(guild.to_sql())
    .bind(&role.name)
    .bind(role.permissions.0 as i64)
    .bind(role.position)
    .bind(role.color)
    .bind(role.hoist)
    .bind(role.mentionable)
    .bind(role.tags.and_then(|tags| tags.bot_id).map(UserId::to_sql))
    .execute(tx.sql())
    .await?;
    Ok(())
}

async fn update_role(tx: &mut Tx<'_>, guild_id: GuildId, role: &Role) -> Result<()> {
    sqlx::query(
        "UPDATE roles SET name = $2, permissions = $3, position = $4, color = $5, hoist = $6, mentionable = $7 WHERE id = $1",
    )
    .bind(role.id.to_sql())
    .bind(&role.name)
    .bind(role.permissions.0 as i64)
    .bind(role.position)
    .bind(role.color)
    .bind(role.hoist)
    .bind(role.mentionable)
    .execute(tx.sql())
    .await?;
    tx.emit(Event::RoleUpdate { guild_id, role: Box::new(role.clone()) }).await?;
    Ok(())
}

/// What the audit log shows of a role.
fn facts(role: &Role) -> Value {
    json!({
        "name": role.name,
        "permissions": role.permissions,
        "position": role.position,
        "color": role.color,
        "hoist": role.hoist,
        "mentionable": role.mentionable,
        "icon_hash": role.icon,
        "unicode_emoji": role.unicode_emoji,
    })
}

/// Adds a role right above `@everyone`; the others move up.
pub(super) async fn add_role(tx: &mut Tx<'_>, by: &By, guild_id: GuildId, mut role: Role) -> Result<Role> {
    let mut roles = roles_of(tx.sql(), guild_id).await?;
    if roles.is_empty() {
        return Err(Conflict::Missing.into());
    }
    if roles.len() >= ROLES {
        return Err(Conflict::Full.into());
    }
    role.position = 1;
    for other in roles.iter_mut().filter(|other| other.position >= 1) {
        other.position += 1;
        update_role(tx, guild_id, other).await?;
    }
    insert_role(tx, guild_id, &role).await?;
    tx.emit(Event::RoleCreate { guild_id, role: Box::new(role.clone()) }).await?;
    tx.audit(guild_id, by, Entry::created(AuditAction::ROLE_CREATE, role.id, facts(&role))).await?;
    Ok(role)
}

pub(super) async fn delete_overwrites_of(tx: &mut Tx<'_>, guild: GuildId, role: RoleId) -> Result<()> {
    sqlx::query("DELETE FROM overwrites WHERE target_id = $1 AND channel_id IN (SELECT id FROM channels WHERE guild_id = $2)")
        .bind(role.to_sql())
        .bind(guild.to_sql())
        .execute(tx.sql())
        .await?;
    Ok(())
}

impl Store {
    pub async fn create_role(&self, by: By, guild_id: GuildId, role: Role) -> Result<Role> {
        self.write(move |tx| Box::pin(async move { add_role(tx, &by, guild_id, role).await })).await
    }

    /// `change` sees the stored role.
    pub async fn change_role(
        &self,
        by: By,
        guild_id: GuildId,
        id: RoleId,
        change: impl FnOnce(&mut Role) + Send + 'static,
    ) -> Result<Role> {
        self.write(move |tx| {
            Box::pin(async move {
                let roles = roles_of(tx.sql(), guild_id).await?;
                let mut role = roles.into_iter().find(|role| role.id == id).ok_or(Conflict::Missing)?;
                let before = facts(&role);
                change(&mut role);
                update_role(tx, guild_id, &role).await?;
                tx.audit(guild_id, &by, Entry::changed(AuditAction::ROLE_UPDATE, id, before, facts(&role))).await?;
                Ok(role)
            })
        })
        .await
    }

    /// Gives the listed roles these places and the others the places between, so that positions are 1, 2, 3 … again.
    /// Answers with every role, lowest first.
    pub async fn move_roles(&self, by: By, guild_id: GuildId, moves: Vec<(RoleId, i32)>) -> Result<Vec<Role>> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut roles = roles_of(tx.sql(), guild_id).await?;
                let place = |id: RoleId, old: i32| moves.iter().find(|(moved, _)| *moved == id).map_or(old, |(_, to)| *to);
                // A moved role goes where it was asked to: past an unmoved one at the same place when it moves up, before it
                // when it moves down.
                roles.sort_by_key(|role| {
                    let to = place(role.id, role.position);
                    (role.id != guild_id.everyone(), to, (to - role.position).signum(), std::cmp::Reverse(role.id))
                });
                for (position, role) in roles.iter_mut().enumerate() {
                    if role.position != position as i32 {
                        let before = facts(role);
                        role.position = position as i32;
                        update_role(tx, guild_id, role).await?;
                        // That the others made room says nothing about them.
                        if moves.iter().any(|(moved, _)| *moved == role.id) {
                            let entry = Entry::changed(AuditAction::ROLE_UPDATE, role.id, before, facts(role));
                            tx.audit(guild_id, &by, entry).await?;
                        }
                    }
                }
                Ok(roles)
            })
        })
        .await
    }

    /// The role goes from its members and overwrites with it; one event says so for all of them.
    pub async fn delete_role(&self, by: By, guild_id: GuildId, role_id: RoleId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let deleted = sqlx::query("DELETE FROM roles WHERE id = $1 AND guild_id = $2 RETURNING *")
                    .bind(role_id.to_sql())
                    .bind(guild_id.to_sql())
                    .fetch_optional(tx.sql())
                    .await?;
                let role = role_of(&deleted.ok_or(Conflict::Missing)?)?;
                delete_overwrites_of(tx, guild_id, role_id).await?;
                tx.emit(Event::RoleDelete { guild_id, role_id }).await?;
                tx.audit(guild_id, &by, Entry::deleted(AuditAction::ROLE_DELETE, role_id, facts(&role))).await?;
                Ok(())
            })
        })
        .await
    }
}
