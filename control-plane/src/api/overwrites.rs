//! Permission overwrites: what one role or member may do differently in one channel.

use super::access::Access;
use super::body::{Body, Caller, Ids};
use super::error::{Refine, Result};
use super::form::{Errors, Form, Patch, Shape};
use super::routes::{Routes, put};
use crate::app::App;
use crate::audit::By;
use crate::store::Conflict;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::{Channel, Overwrite, OverwriteKind};
use guildhall_protocol::permissions::may_change_overwrite;
use guildhall_protocol::{ChannelId, ErrorCode, Permissions, RoleId, Snowflake};
use serde_json::Value;

/// Overwrites per channel.
const OVERWRITES: usize = 1000;

pub fn routes() -> Routes {
    Routes::new().route(
        "/channels/{channel_id}/permissions/{overwrite_id}",
        put(set, "Sets what a role or member may do in a channel: MANAGE_ROLES.")
            .delete(remove, "Removes a permission overwrite: MANAGE_ROLES."),
    )
}

/// 0 or 1, and the spellings of older libraries.
fn read_kind(form: &Form) -> Option<OverwriteKind> {
    let kind = form.raw("type")?;
    let read = <OverwriteKind as serde::Deserialize>::deserialize(kind);
    if read.is_err() && *kind != Value::Null {
        form.refuse("type", "BASE_TYPE_CHOICES", "Value must be one of {0, 1}.");
    }
    read.ok()
}

fn bits(form: &Form, key: &str) -> Permissions {
    form.permissions(key).value().unwrap_or(Permissions::NONE)
}

/// A list of overwrites, each target at most once (the last one counts).
pub fn read_overwrites(form: &Form, key: &str) -> Option<Vec<Overwrite>> {
    let list = form.list(key, OVERWRITES, |form| Overwrite {
        id: form.required("id", form.id::<Snowflake>("id")),
        kind: read_kind(form).unwrap_or(OverwriteKind::Role),
        allow: bits(form, "allow"),
        deny: bits(form, "deny"),
    });
    let mut overwrites = match list {
        Patch::Set(list) => list,
        Patch::Null => Vec::new(),
        Patch::Absent => return None,
    };
    overwrites.reverse();
    let mut seen = std::collections::HashSet::new();
    overwrites.retain(|overwrite| seen.insert(overwrite.id));
    overwrites.sort_by_key(|overwrite| overwrite.id);
    Some(overwrites)
}

/// Whether the caller, who holds `held` in the channel, may turn one list of overwrites into the other.
pub fn check_changes(access: &Access, held: Permissions, before: &[Overwrite], after: &[Overwrite]) -> Result<()> {
    let standing = access.state.standing(access.user, access.now_ms).ok_or(ErrorCode::MissingAccess)?;
    let find = |list: &[Overwrite], id| list.iter().find(|overwrite| overwrite.id == id).copied();
    for overwrite in before.iter().chain(after) {
        let (old, new) = (find(before, overwrite.id), find(after, overwrite.id));
        if old == new {
            continue;
        }
        if !may_change_overwrite(&standing, held, before, old.as_ref(), new.as_ref()) {
            return Err(ErrorCode::MissingPermissions.into());
        }
        if new.is_some_and(|new| new.kind == OverwriteKind::Role) && access.state.role(RoleId(overwrite.id)).is_none() {
            return Err(ErrorCode::UnknownRole.into());
        }
    }
    Ok(())
}

struct Set {
    kind: Option<OverwriteKind>,
    allow: Permissions,
    deny: Permissions,
}

impl Shape for Set {
    fn read(form: &Form) -> Self {
        Self { kind: read_kind(form), allow: bits(form, "allow"), deny: bits(form, "deny") }
    }
}

async fn set(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids((channel, id)): Ids<(ChannelId, Snowflake)>,
    Body(new): Body<Set>,
) -> Result<StatusCode> {
    let overwrite = app
        .in_channel(&caller, channel, |access| {
            access.require(Permissions::MANAGE_ROLES)?;
            let before = &access.channel.permission_overwrites;
            let known = before.iter().find(|overwrite| overwrite.id == id).map(|overwrite| overwrite.kind);
            let Some(kind) = new.kind.or(known) else {
                return Err(Errors::of("type", "BASE_TYPE_REQUIRED", "This field is required").into());
            };
            let overwrite = Overwrite { id, kind, allow: new.allow, deny: new.deny };
            let mut after = before.clone();
            put_into(&mut after, overwrite);
            check_changes(&access.guild, access.permissions, before, &after)?;
            Ok(overwrite)
        })
        .await?;
    let change = move |channel: &mut Channel| put_into(&mut channel.permission_overwrites, overwrite);
    let meanings = [(Conflict::Missing, ErrorCode::UnknownChannel), (Conflict::Full, ErrorCode::TooManyOverwrites)];
    app.store().change_channel(by, channel, change).await.refine(&meanings)?;
    Ok(StatusCode::NO_CONTENT)
}

fn put_into(list: &mut Vec<Overwrite>, overwrite: Overwrite) {
    match list.iter_mut().find(|known| known.id == overwrite.id) {
        Some(known) => *known = overwrite,
        None => list.push(overwrite),
    }
}

async fn remove(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids((channel, id)): Ids<(ChannelId, Snowflake)>,
) -> Result<StatusCode> {
    app.in_channel(&caller, channel, |access| {
        access.require(Permissions::MANAGE_ROLES)?;
        let before = &access.channel.permission_overwrites;
        let after: Vec<Overwrite> = before.iter().filter(|overwrite| overwrite.id != id).copied().collect();
        if after.len() == before.len() {
            return Err(ErrorCode::UnknownOverwrite.into());
        }
        check_changes(&access.guild, access.permissions, before, &after)
    })
    .await?;
    let change = move |channel: &mut Channel| channel.permission_overwrites.retain(|overwrite| overwrite.id != id);
    app.store().change_channel(by, channel, change).await.refine(&[(Conflict::Missing, ErrorCode::UnknownChannel)])?;
    Ok(StatusCode::NO_CONTENT)
}
