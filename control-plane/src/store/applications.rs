//! Applications and their bots.

use super::attachments::replace_picture;
use super::engine::{Connection, Row};
use super::invites::join;
use super::roles::add_role;
use super::tokens::{delete_tokens, insert_token, make_token};
use super::users::{find_user, insert_user};
use super::{Conflict, Result, Store, StoreError, Tx};
use crate::audit::{By, Entry};
use crate::event::{Ended, Event};
use guildhall_protocol::model::{Application, AuditAction, Member, Role, RoleTags, User, timestamp};
use guildhall_protocol::{ApplicationId, GuildId, Permissions, UserId};
use sqlx::Row as _;

/// Applications that one person may own.
const APPLICATIONS: i64 = 50;

pub struct NewApplication {
    pub id: ApplicationId,
    pub owner_id: UserId,
    pub name: String,
    pub description: String,
    /// Hex Ed25519 public key.
    pub verify_key: String,
    /// PKCS #8; signs what is sent to the application.
    pub signing_key: Vec<u8>,
    pub flags: u64,
}

async fn application_of(connection: &mut Connection, row: &Row) -> Result<Application> {
    let user = |id: i64| UserId::from_sql(id);
    let owner = find_user(connection, user(row.try_get("owner_id")?)).await?.ok_or(Conflict::Missing)?;
    let bot_id = row.try_get::<Option<i64>, _>("bot_id")?.map(user);
    let (bot, guilds) = match bot_id {
        Some(id) => {
            let guilds: i64 = sqlx::query_scalar("SELECT count(*) FROM members WHERE user_id = $1")
                .bind(id.to_sql())
                .fetch_one(&mut *connection)
                .await?;
            (find_user(connection, id).await?, guilds)
        }
        None => (None, 0),
    };
    let flags = row.try_get::<i64, _>("flags")? as u64;
    let description: String = row.try_get("description")?;
    Ok(Application {
        id: ApplicationId::from_sql(row.try_get("id")?),
        name: row.try_get("name")?,
        icon: row.try_get("icon")?,
        description,
        kind: None,
        bot,
        bot_public: row.try_get("bot_public")?,
        bot_require_code_grant: false,
        verify_key: row.try_get("verify_key")?,
        flags,
        flags_new: flags.to_string(),
        redirect_uris: Vec::new(),
        interactions_endpoint_url: None,
        role_connections_verification_url: None,
        owner,
        approximate_guild_count: guilds as u32,
        approximate_user_install_count: 0,
        approximate_user_authorization_count: 0,
        explicit_content_filter: 0,
        team: None,
        eligible_oauth2_scopes: Vec::new(),
        tags: Vec::new(),
        summary: String::new(),
    })
}

pub(super) async fn find(connection: &mut Connection, id: ApplicationId) -> Result<Option<Application>> {
    let row = sqlx::query("SELECT * FROM applications WHERE id = $1").bind(id.to_sql()).fetch_optional(&mut *connection).await?;
    match row {
        Some(row) => Ok(Some(application_of(connection, &row).await?)),
        None => Ok(None),
    }
}

/// The bot's own role in a guild; it holds what the bot was invited with and nobody else can be given it.
async fn bot_role(tx: &mut Tx<'_>, by: &By, guild: GuildId, bot: &User, permissions: Permissions) -> Result<Role> {
    let mut role = Role::new(tx.make_id(), bot.username.clone(), permissions.known(), 1);
    role.managed = true;
    role.tags = Some(RoleTags { bot_id: Some(bot.id) });
    add_role(tx, by, guild, role).await
}

impl Store {
    pub async fn find_application(&self, id: ApplicationId) -> Result<Option<Application>> {
        let mut connection = self.readers().acquire().await?;
        find(&mut connection, id).await
    }

    pub async fn applications_of(&self, owner: UserId) -> Result<Vec<Application>> {
        let mut connection = self.readers().acquire().await?;
        let rows = sqlx::query("SELECT * FROM applications WHERE owner_id = $1 ORDER BY id");
        let rows = rows.bind(owner.to_sql()).fetch_all(&mut *connection).await?;
        let mut applications = Vec::with_capacity(rows.len());
        for row in &rows {
            applications.push(application_of(&mut connection, row).await?);
        }
        Ok(applications)
    }

    pub async fn create_application(&self, new: NewApplication) -> Result<Application> {
        self.write(move |tx| {
            Box::pin(async move {
                let count: i64 = sqlx::query_scalar("SELECT count(*) FROM applications WHERE owner_id = $1")
                    .bind(new.owner_id.to_sql())
                    .fetch_one(tx.sql())
                    .await?;
                if count >= APPLICATIONS {
                    return Err(Conflict::Full.into());
                }
                sqlx::query(
                    "INSERT INTO applications (id, owner_id, name, description, verify_key, signing_key, flags, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                )
                .bind(new.id.to_sql())
                .bind(new.owner_id.to_sql())
                .bind(&new.name)
                .bind(&new.description)
                .bind(&new.verify_key)
                .bind(&new.signing_key)
                .bind(new.flags as i64)
                .bind(tx.now_ms as i64)
                .execute(tx.sql())
                .await?;
                find(tx.sql(), new.id).await?.ok_or(Conflict::Missing.into())
            })
        })
        .await
    }

    /// `change` sees the stored application; name, icon, description, flags and `bot_public` are written back.
    pub async fn change_application(
        &self,
        id: ApplicationId,
        change: impl FnOnce(&mut Application) + Send + 'static,
    ) -> Result<Application> {
        let changed = self
            .write(move |tx| {
                Box::pin(async move {
                    let mut application = find(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
                    let old = application.icon.clone();
                    change(&mut application);
                    replace_picture(tx, "app-icons", id.0, old.as_deref(), application.icon.as_deref()).await?;
                    application.flags_new = application.flags.to_string();
                    sqlx::query("UPDATE applications SET name = $2, description = $3, flags = $4, bot_public = $5, icon = $6 WHERE id = $1")
                        .bind(id.to_sql())
                        .bind(&application.name)
                        .bind(&application.description)
                        .bind(application.flags as i64)
                        .bind(application.bot_public)
                        .bind(&application.icon)
                        .execute(tx.sql())
                        .await?;
                    if let Some(bot) = &application.bot {
                        tx.emit(Event::Access { user_id: bot.id, ended: Ended::Nothing }).await?;
                    }
                    Ok(application)
                })
            })
            .await?;
        if let Some(bot) = &changed.bot {
            self.0.tokens.forget(bot.id); // its cached caller carries the flags
        }
        Ok(changed)
    }

    /// Gives the application its bot, or the existing bot a new token in place of the old one.
    pub async fn create_bot(&self, application: ApplicationId) -> Result<(UserId, String)> {
        let (bot_id, token) = self
            .write(move |tx| {
                Box::pin(async move {
                    let found = find(tx.sql(), application).await?.ok_or(Conflict::Missing)?;
                    let bot_id = match found.bot {
                        Some(bot) => bot.id,
                        None => {
                            // As with Discord's newer applications, the bot has the application's id.
                            let bot = User::new(UserId(application.0), found.name, None, true);
                            insert_user(tx, &bot).await?;
                            sqlx::query("UPDATE applications SET bot_id = $2 WHERE id = $1")
                                .bind(application.to_sql())
                                .bind(bot.id.to_sql())
                                .execute(tx.sql())
                                .await?;
                            bot.id
                        }
                    };
                    delete_tokens(tx, bot_id).await?;
                    let token = make_token(bot_id, tx.now_ms);
                    insert_token(tx, bot_id, &token).await?;
                    Ok((bot_id, token))
                })
            })
            .await?;
        self.0.tokens.forget(bot_id);
        Ok((bot_id, token))
    }

    /// Makes the bot a member, with a role of its own if it was invited with permissions. A member already: nothing happens.
    pub async fn add_bot(&self, by: By, guild: GuildId, bot: User, permissions: Permissions) -> Result<()> {
        let added = self
            .write(move |tx| {
                Box::pin(async move {
                    let mut member = Member::new(bot.clone(), timestamp(tx.now_ms));
                    if !permissions.is_empty() {
                        member.roles.push(bot_role(tx, &by, guild, &bot, permissions).await?.id);
                    }
                    join(tx, guild, member).await?;
                    tx.audit(guild, &by, Entry::new(AuditAction::BOT_ADD, bot.id)).await
                })
            })
            .await;
        match added {
            Err(StoreError::Conflict(Conflict::AlreadyMember)) => Ok(()),
            other => other,
        }
    }
}
