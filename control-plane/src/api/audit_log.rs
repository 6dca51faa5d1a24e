//! Reading the audit log.

use super::body::{Caller, Ids, Query};
use super::error::Result;
use super::form::{Form, Shape};
use super::routes::{Routes, get};
use crate::app::App;
use crate::store::AuditQuery;
use axum::Json;
use axum::extract::State;
use guildhall_protocol::model::{AuditAction, Webhook};
use guildhall_protocol::{ChannelId, GuildId, Permissions};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub fn routes() -> Routes {
    Routes::new().route("/guilds/{guild_id}/audit-logs", get(list, "A page of the audit log, newest first: VIEW_AUDIT_LOG."))
}

impl Shape for AuditQuery {
    fn read(form: &Form) -> Self {
        Self {
            user: form.id("user_id").value(),
            target: form.id("target_id").value(),
            action: form.integer("action_type", 1..=i64::from(u8::MAX)).value().map(|number| AuditAction(number as u8)),
            before: form.id("before").value(),
            after: form.id("after").value(),
            limit: form.integer("limit", 1..=100).value().unwrap_or(50) as u32,
        }
    }
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    Ids(guild): Ids<GuildId>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Value>> {
    app.in_guild(&caller, guild, |access| access.require(Permissions::VIEW_AUDIT_LOG)).await?;
    let (entries, users) = app.store().audit_log(guild, query).await?;
    let is_named = |webhook: &Webhook| entries.iter().any(|entry| entry.target_id == Some(webhook.id.0));
    let webhooks = app.store().webhooks(guild, None).await?.into_iter().filter(is_named);
    // Reading the log is not managing webhooks: what opens them is left out.
    let webhooks: Vec<Webhook> = webhooks.map(|webhook| Webhook { token: None, ..webhook }).collect();
    // A thread that is gone is named by its entries only.
    const THREADS: [AuditAction; 3] = [AuditAction::THREAD_CREATE, AuditAction::THREAD_UPDATE, AuditAction::THREAD_DELETE];
    let of_threads = entries.iter().filter(|entry| THREADS.contains(&entry.action_type));
    let ids: BTreeSet<ChannelId> = of_threads.filter_map(|entry| entry.target_id.map(ChannelId)).collect();
    let mut threads = Vec::new();
    for id in ids {
        threads.extend(app.store().find_thread(id, caller.id()).await?.map(|found| found.thread));
    }
    Ok(Json(json!({
        "audit_log_entries": entries,
        "users": users,
        // The objects of other kinds that entries name. What does not exist in this version has none.
        "application_commands": [],
        "auto_moderation_rules": [],
        "guild_scheduled_events": [],
        "integrations": [],
        "threads": threads,
        "webhooks": webhooks,
    })))
}
