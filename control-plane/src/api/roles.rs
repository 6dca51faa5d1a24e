//! Roles: what their members may do, and who stands above whom.

use super::body::{Body, Caller, Ids, Json as AnyJson};
use super::error::{Refine, Result};
use super::form::{Form, Shape, read_with};
use super::routes::{Routes, get};
use crate::app::App;
use crate::audit::By;
use crate::store::Conflict;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::{Role, RoleColors};
use guildhall_protocol::permissions::{Rank, may_change_role};
use guildhall_protocol::{ErrorCode, GuildId, Permissions, RoleId};
use serde_json::json;
use std::collections::BTreeMap;

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/guilds/{guild_id}/roles",
            get(list, "Lists the roles.")
                .post(create, "Makes a role: MANAGE_ROLES.")
                .patch(reorder, "Moves roles: MANAGE_ROLES. The body is a list of `{id, position}`."),
        )
        .route(
            "/guilds/{guild_id}/roles/member-counts",
            get(count_members, "How many members have each role but that of everyone."),
        )
        .route(
            "/guilds/{guild_id}/roles/{role_id}",
            get(read, "One role.").patch(edit, "Changes a role: MANAGE_ROLES.").delete(delete, "Deletes a role: MANAGE_ROLES."),
        )
}

struct Settings {
    name: Option<String>,
    permissions: Option<Permissions>,
    color: Option<u32>,
    hoist: Option<bool>,
    mentionable: Option<bool>,
}

impl Shape for Settings {
    fn read(form: &Form) -> Self {
        const COLOR: std::ops::RangeInclusive<i64> = 0..=0xFF_FFFF;
        let plain = form.integer("color", COLOR).value();
        // Newer libraries send the colour in `colors`, too or instead.
        let primary = form.object("colors", |colors| colors.integer("primary_color", COLOR).value()).value().flatten();
        Self {
            name: form.text("name", 1..=100).value(),
            permissions: form.permissions("permissions").value(),
            color: plain.or(primary).map(|color| color as u32),
            hoist: form.flag("hoist").value(),
            mentionable: form.flag("mentionable").value(),
        }
    }
}

impl Settings {
    fn apply(self, role: &mut Role) {
        if let Some(name) = self.name {
            role.name = name;
        }
        role.permissions = self.permissions.unwrap_or(role.permissions);
        role.color = self.color.unwrap_or(role.color);
        role.colors = RoleColors { primary_color: role.color, ..role.colors };
        role.hoist = self.hoist.unwrap_or(role.hoist);
        role.mentionable = self.mentionable.unwrap_or(role.mentionable);
    }
}

async fn list(State(app): State<App>, caller: Caller, Ids(guild): Ids<GuildId>) -> Result<Json<Vec<Role>>> {
    Ok(Json(app.in_guild(&caller, guild, |access| Ok(access.state.guild().roles.clone())).await?))
}

async fn read(State(app): State<App>, caller: Caller, Ids((guild, id)): Ids<(GuildId, RoleId)>) -> Result<Json<Role>> {
    Ok(Json(app.in_guild(&caller, guild, |access| access.role(id).cloned()).await?))
}

async fn count_members(
    State(app): State<App>,
    caller: Caller,
    Ids(guild): Ids<GuildId>,
) -> Result<Json<BTreeMap<RoleId, usize>>> {
    let counts = app.in_guild(&caller, guild, |access| {
        let roles = access.state.guild().roles.iter().map(|role| role.id).filter(|id| *id != guild.everyone());
        let mut counts: BTreeMap<RoleId, usize> = roles.map(|id| (id, 0)).collect();
        for role in access.state.members().flat_map(|member| &member.roles) {
            if let Some(count) = counts.get_mut(role) {
                *count += 1;
            }
        }
        Ok(counts)
    });
    Ok(Json(counts.await?))
}

async fn create(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(guild): Ids<GuildId>,
    Body(new): Body<Settings>,
) -> Result<Json<Role>> {
    let mut role = Role::new(app.store().make_id(), "new role".to_owned(), Permissions::NONE, 1);
    let asked = new.permissions;
    app.in_guild(&caller, guild, |access| {
        access.require(Permissions::MANAGE_ROLES)?;
        // Without a word about permissions a new role has those of everyone.
        let everyone = access.role(guild.everyone())?.permissions;
        role.permissions = asked.unwrap_or(everyone);
        let granted = role.permissions.without(everyone);
        if may_change_role(access.permissions(), Permissions::NONE, granted) {
            Ok(())
        } else {
            Err(ErrorCode::MissingPermissions.into())
        }
    })
    .await?;
    new.apply(&mut role);
    let meanings = [(Conflict::Full, ErrorCode::TooManyRoles), (Conflict::Missing, ErrorCode::UnknownGuild)];
    Ok(Json(app.store().create_role(by, guild, role).await.refine(&meanings)?))
}

async fn edit(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids((guild, id)): Ids<(GuildId, RoleId)>,
    Body(edit): Body<Settings>,
) -> Result<Json<Role>> {
    app.in_guild(&caller, guild, |access| {
        access.require(Permissions::MANAGE_ROLES)?;
        let role = access.role(id)?;
        // Everyone's role stands below all; who has no role is not below it either, but may manage it if told so.
        if id != guild.everyone() {
            access.require_above_role(role)?;
        }
        let after = edit.permissions.unwrap_or(role.permissions);
        if may_change_role(access.permissions(), role.permissions, after) {
            Ok(())
        } else {
            Err(ErrorCode::MissingPermissions.into())
        }
    })
    .await?;
    let is_everyone = id == guild.everyone();
    let change = move |role: &mut Role| {
        let name = role.name.clone();
        edit.apply(role);
        if is_everyone {
            role.name = name; // the one role whose name means something
        }
    };
    Ok(Json(app.store().change_role(by, guild, id, change).await.refine(&[(Conflict::Missing, ErrorCode::UnknownRole)])?))
}

async fn reorder(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(guild): Ids<GuildId>,
    AnyJson(body): AnyJson,
) -> Result<Json<Vec<Role>>> {
    let moves = read_with(&json!({ "roles": body }), |form| {
        form.list("roles", 250, |form| {
            let id: RoleId = form.required("id", form.id("id"));
            (id, form.integer("position", 0..=250).value().map(|position| position as i32))
        })
    })?;
    // A position of `null` says nothing.
    let moves: Vec<(RoleId, i32)> =
        moves.value().unwrap_or_default().into_iter().filter_map(|(id, position)| Some((id, position?))).collect();
    app.in_guild(&caller, guild, |access| {
        access.require(Permissions::MANAGE_ROLES)?;
        let own = access.rank();
        for (id, position) in &moves {
            let role = access.role(*id)?;
            if role.position == *position {
                continue;
            }
            // Nothing at or above one's own rank is moved, and nothing is moved there.
            access.require_above_role(role)?;
            let to = Rank::of_role(guild, *id, *position);
            if *id == guild.everyone() || *position < 1 || !own.can_act_on(to) {
                return Err(ErrorCode::MissingPermissions.into());
            }
        }
        Ok(())
    })
    .await?;
    Ok(Json(app.store().move_roles(by, guild, moves).await?))
}

async fn delete(State(app): State<App>, caller: Caller, by: By, Ids((guild, id)): Ids<(GuildId, RoleId)>) -> Result<StatusCode> {
    app.in_guild(&caller, guild, |access| {
        access.require(Permissions::MANAGE_ROLES)?;
        let role = access.role(id)?;
        access.require_above_role(role)?;
        // Everyone's role stays, and a bot's goes with its bot.
        if id == guild.everyone() || role.managed { Err(ErrorCode::InvalidRole.into()) } else { Ok(()) }
    })
    .await?;
    app.store().delete_role(by, guild, id).await.refine(&[(Conflict::Missing, ErrorCode::UnknownRole)])?;
    Ok(StatusCode::NO_CONTENT)
}
