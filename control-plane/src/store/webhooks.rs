//! Webhooks.

use super::attachments::replace_picture;
use super::engine::{Connection, Row};
use super::users::{find_user, insert_user};
use super::{Conflict, Result, Store, Tx};
use crate::audit::{By, Entry};
use crate::event::Event;
use guildhall_protocol::model::{AuditAction, User, Webhook};
use guildhall_protocol::{ApplicationId, ChannelId, GuildId, UserId, WebhookId};
use serde_json::{Value, json};
use sqlx::Row as _;

/// Webhooks per channel (COMPAT §10.5).
const WEBHOOKS: i64 = 15;

async fn webhook_of(connection: &mut Connection, row: &Row) -> Result<Webhook> {
    let user = match row.try_get::<Option<i64>, _>("creator_id")? {
        Some(id) => find_user(connection, UserId::from_sql(id)).await?,
        None => None,
    };
    Ok(Webhook {
        id: WebhookId::from_sql(row.try_get("id")?),
        kind: 1,
        guild_id: GuildId::from_sql(row.try_get("guild_id")?),
        channel_id: ChannelId::from_sql(row.try_get("channel_id")?),
        user,
        name: row.try_get("name")?,
        avatar: row.try_get("avatar")?,
        token: row.try_get("token")?,
        application_id: row.try_get::<Option<i64>, _>("application_id")?.map(ApplicationId::from_sql),
    })
}

async fn find(connection: &mut Connection, id: WebhookId) -> Result<Option<Webhook>> {
    let row = sqlx::query("SELECT * FROM webhooks WHERE id = $1").bind(id.to_sql()).fetch_optional(&mut *connection).await?;
    match row {
        Some(row) => Ok(Some(webhook_of(connection, &row).await?)),
        None => Ok(None),
    }
}

async fn check_room(tx: &mut Tx<'_>, channel: ChannelId) -> Result<()> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM webhooks WHERE channel_id = $1")
        .bind(channel.to_sql())
        .fetch_one(tx.sql())
        .await?;
    if count >= WEBHOOKS { Err(Conflict::Full.into()) } else { Ok(()) }
}

/// What the audit log shows. The token is nobody's to read there.
fn facts(webhook: &Webhook) -> Value {
    json!({
        "name": webhook.name,
        "type": webhook.kind,
        "channel_id": webhook.channel_id,
        "avatar_hash": webhook.avatar,
        "application_id": webhook.application_id,
    })
}

async fn tell(tx: &mut Tx<'_>, guild_id: GuildId, channel_id: ChannelId) -> Result<()> {
    tx.emit(Event::WebhooksUpdate { guild_id, channel_id }).await?;
    Ok(())
}

impl Store {
    pub async fn find_webhook(&self, id: WebhookId) -> Result<Option<Webhook>> {
        let mut connection = self.readers().acquire().await?;
        find(&mut connection, id).await
    }

    /// The guild's webhooks, or only one channel's.
    pub async fn webhooks(&self, guild: GuildId, channel: Option<ChannelId>) -> Result<Vec<Webhook>> {
        let mut connection = self.readers().acquire().await?;
        let rows = sqlx::query("SELECT * FROM webhooks WHERE guild_id = $1 AND ($2 IS NULL OR channel_id = $2) ORDER BY id")
            .bind(guild.to_sql())
            .bind(channel.map(ChannelId::to_sql))
            .fetch_all(&mut *connection)
            .await?;
        let mut webhooks = Vec::with_capacity(rows.len());
        for row in &rows {
            webhooks.push(webhook_of(&mut connection, row).await?);
        }
        Ok(webhooks)
    }

    /// Stores the webhook, and the sender of its messages. If a bot makes it, it belongs to the bot's application.
    pub async fn create_webhook(&self, by: By, webhook: Webhook) -> Result<Webhook> {
        self.write(move |tx| {
            Box::pin(async move {
                check_room(tx, webhook.channel_id).await?;
                let sender = User::new(UserId(webhook.id.0), webhook.name.clone(), None, true);
                insert_user(tx, &sender).await?;
                let (creator, now_ms) = (webhook.user.as_ref().map(|user| user.id.to_sql()), tx.now_ms as i64);
                let row = sqlx::query(
                    "INSERT INTO webhooks (id, guild_id, channel_id, token, creator_id, application_id, name, avatar, created_at) \
                     SELECT $1, $2, $3, $4, $5, (SELECT id FROM applications WHERE bot_id = $5), $6, $7, $8 \
                     WHERE EXISTS (SELECT 1 FROM channels WHERE id = $3) RETURNING application_id",
                )
                .bind(webhook.id.to_sql())
                .bind(webhook.guild_id.to_sql())
                .bind(webhook.channel_id.to_sql())
                .bind(&webhook.token)
                .bind(creator)
                .bind(&webhook.name)
                .bind(&webhook.avatar)
                .bind(now_ms)
                .fetch_optional(tx.sql())
                .await?;
                let application: Option<i64> = row.ok_or(Conflict::Missing)?.try_get("application_id")?;
                replace_picture(tx, "avatars", webhook.id.into(), None, webhook.avatar.as_deref()).await?;
                let webhook = Webhook { application_id: application.map(ApplicationId::from_sql), ..webhook };
                tell(tx, webhook.guild_id, webhook.channel_id).await?;
                let entry = Entry::created(AuditAction::WEBHOOK_CREATE, webhook.id, facts(&webhook));
                tx.audit(webhook.guild_id, &by, entry).await?;
                Ok(webhook)
            })
        })
        .await
    }

    /// `change` sees the stored webhook; name, avatar and channel are written back.
    pub async fn change_webhook(
        &self,
        by: By,
        id: WebhookId,
        change: impl FnOnce(&mut Webhook) + Send + 'static,
    ) -> Result<Webhook> {
        self.write(move |tx| {
            Box::pin(async move {
                let before = find(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
                let mut after = before.clone();
                change(&mut after);
                if after.channel_id != before.channel_id {
                    check_room(tx, after.channel_id).await?;
                }
                replace_picture(tx, "avatars", id.into(), before.avatar.as_deref(), after.avatar.as_deref()).await?;
                sqlx::query("UPDATE webhooks SET name = $2, avatar = $3, channel_id = $4 WHERE id = $1")
                    .bind(id.to_sql())
                    .bind(&after.name)
                    .bind(&after.avatar)
                    .bind(after.channel_id.to_sql())
                    .execute(tx.sql())
                    .await?;
                tell(tx, after.guild_id, after.channel_id).await?;
                if after.channel_id != before.channel_id {
                    tell(tx, before.guild_id, before.channel_id).await?;
                }
                let entry = Entry::changed(AuditAction::WEBHOOK_UPDATE, id, facts(&before), facts(&after));
                tx.audit(after.guild_id, &by, entry).await?;
                Ok(after)
            })
        })
        .await
    }

    /// What was posted through it stays.
    pub async fn delete_webhook(&self, by: By, id: WebhookId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let webhook = find(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
                replace_picture(tx, "avatars", id.into(), webhook.avatar.as_deref(), None).await?;
                sqlx::query("DELETE FROM webhooks WHERE id = $1").bind(id.to_sql()).execute(tx.sql()).await?;
                tell(tx, webhook.guild_id, webhook.channel_id).await?;
                let entry = Entry::deleted(AuditAction::WEBHOOK_DELETE, id, facts(&webhook));
                tx.audit(webhook.guild_id, &by, entry).await?;
                Ok(())
            })
        })
        .await
    }
}
