//! Pruning: removing members who have not been here for a while.
//!
//! Inactive is who joined, and was last heard of (any request, any gateway connection), before the given days, and has no
//! session now. Members with roles stay, unless all of theirs are named; the owner and whoever the caller cannot kick stay.

use super::access::Access;
use super::body::{Body, Caller, Ids, Query};
use super::error::Result;
use super::form::{Form, Shape};
use super::routes::{Routes, get};
use crate::app::App;
use crate::audit::By;
use crate::ids::unix_ms;
use axum::Json;
use axum::extract::State;
use guildhall_protocol::{GuildId, Permissions, RoleId, Snowflake, UserId};
use serde_json::{Value, json};
use std::collections::HashSet;

const DAY_MS: u64 = 86_400_000;
const ROLES: usize = 100;

pub fn routes() -> Routes {
    Routes::new().route(
        "/guilds/{guild_id}/prune",
        get(preview, "How many inactive members a prune would remove: KICK_MEMBERS and MANAGE_GUILD.")
            .post(prune, "Removes members who were not here for some days: KICK_MEMBERS and MANAGE_GUILD."),
    )
}

struct Prune {
    days: i64,
    include_roles: Vec<RoleId>,
    compute_prune_count: bool,
}

impl Shape for Prune {
    fn read(form: &Form) -> Self {
        Self {
            days: form.integer("days", 1..=30).value().unwrap_or(7),
            include_roles: include_roles(form),
            compute_prune_count: form.flag("compute_prune_count").value().unwrap_or(true),
        }
    }
}

/// A list of ids, or ids with commas between them.
fn include_roles(form: &Form) -> Vec<RoleId> {
    let Some(Value::String(text)) = form.raw("include_roles") else {
        return form.ids("include_roles", ROLES).value().unwrap_or_default();
    };
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let ids: Option<Vec<RoleId>> = words.map(|word| word.parse().ok().map(|id| RoleId(Snowflake(id)))).collect();
    match ids {
        Some(ids) if ids.len() <= ROLES => ids,
        Some(_) => {
            form.refuse("include_roles", "BASE_TYPE_MAX_LENGTH", &format!("Must be {ROLES} or fewer in length."));
            Vec::new()
        }
        None => {
            form.refuse("include_roles", "NUMBER_TYPE_COERCE", "Value is not a list of snowflakes.");
            Vec::new()
        }
    }
}

impl Prune {
    /// Members who would go.
    async fn candidates(&self, app: &App, caller: &Caller, guild: GuildId) -> Result<Vec<UserId>> {
        let bits = Permissions::KICK_MEMBERS | Permissions::MANAGE_GUILD;
        app.in_guild(caller, guild, |access| access.require(bits)).await?;
        let unseen = app.store().unseen_members(guild, unix_ms().saturating_sub(self.days as u64 * DAY_MS)).await?;
        let present: HashSet<UserId> = app.hub().present(&unseen).into_iter().collect();
        let is_removable = |access: &Access, user: UserId| {
            let has_other_roles = |id| access.state.member(id).is_none_or(|member| !self.covers(&member.roles));
            !present.contains(&user) && !has_other_roles(user) && access.require_above(user).is_ok()
        };
        app.in_guild(caller, guild, |access| {
            access.require(bits)?;
            Ok(unseen.iter().copied().filter(|user| is_removable(&access, *user)).collect())
        })
        .await
    }

    fn covers(&self, roles: &[RoleId]) -> bool {
        roles.iter().all(|role| self.include_roles.contains(role))
    }
}

async fn preview(
    State(app): State<App>,
    caller: Caller,
    Ids(guild): Ids<GuildId>,
    Query(prune): Query<Prune>,
) -> Result<Json<Value>> {
    Ok(Json(json!({ "pruned": prune.candidates(&app, &caller, guild).await?.len() })))
}

async fn prune(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(guild): Ids<GuildId>,
    Body(prune): Body<Prune>,
) -> Result<Json<Value>> {
    let users = prune.candidates(&app, &caller, guild).await?;
    let pruned = app.store().prune_members(by, guild, prune.days, users).await?;
    Ok(Json(json!({ "pruned": prune.compute_prune_count.then_some(pruned) })))
}
