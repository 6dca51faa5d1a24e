//! Accounts and their credentials.

use super::attachments::replace_picture;
use super::engine::{Connection, Row};
use super::sessions::{Device, open_session};
use super::tokens::delete_tokens;
use super::{Conflict, Result, Store, StoreError, Tx};
use crate::event::{Event, Personal};
use guildhall_protocol::UserId;
use guildhall_protocol::model::User;
use sqlx::Row as _;

/// What a log-in is checked against.
pub struct Credentials {
    pub user_id: UserId,
    pub password_hash: String,
}

/// New ways to log in; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// `Some(None)`: no address any more.
    pub email: Option<Option<String>>,
    /// The password's hash, and the program that goes on with the new token.
    pub password: Option<(String, Device)>,
}

/// Reads the columns `id, username, global_name, avatar, is_bot, flags`.
pub(super) fn user_of(row: &Row) -> Result<User> {
    let mut user = User::new(
        UserId::from_sql(row.try_get("id")?),
        row.try_get("username")?,
        row.try_get("global_name")?,
        row.try_get("is_bot")?,
    );
    user.avatar = row.try_get("avatar")?;
    user.flags = row.try_get::<i64, _>("flags")? as u64;
    user.public_flags = user.flags;
    Ok(user)
}

/// The form in which names and addresses are compared.
pub(super) fn key_of(name: &str) -> String {
    name.to_lowercase()
}

pub(super) async fn find_user(connection: &mut Connection, id: UserId) -> Result<Option<User>> {
    let row = sqlx::query("SELECT id, username, global_name, avatar, is_bot, flags FROM users WHERE id = $1")
        .bind(id.to_sql())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(user_of).transpose()
}

pub(super) async fn insert_user(tx: &mut Tx<'_>, user: &User) -> Result<()> {
    let inserted = sqlx::query(
        "INSERT INTO users (id, username, username_key, global_name, is_bot, flags, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(user.id.to_sql())
    .bind(&user.username)
    .bind(key_of(&user.username))
    .bind(&user.global_name)
    .bind(user.bot)
    .bind(user.flags as i64)
    .bind(tx.now_ms as i64)
    .execute(tx.sql())
    .await;
    unique(inserted, Conflict::UsernameTaken)
}

/// Turns a violated unique index into what it means.
fn unique<T>(outcome: std::result::Result<T, sqlx::Error>, meaning: Conflict) -> Result<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(meaning.into()),
        Err(error) => Err(error.into()),
    }
}

async fn insert_person(tx: &mut Tx<'_>, user: &User, email: Option<String>, password_hash: String) -> Result<()> {
    insert_user(tx, user).await?;
    let inserted = sqlx::query("INSERT INTO credentials (user_id, email, password_hash) VALUES ($1, $2, $3)")
        .bind(user.id.to_sql())
        .bind(email.as_deref().map(key_of))
        .bind(password_hash)
        .execute(tx.sql())
        .await;
    unique(inserted, Conflict::EmailTaken)
}

async fn update_user(tx: &mut Tx<'_>, user: &User) -> Result<()> {
    let before: Option<String> =
        sqlx::query_scalar("SELECT avatar FROM users WHERE id = $1").bind(user.id.to_sql()).fetch_one(tx.sql()).await?;
    replace_picture(tx, "avatars", user.id.into(), before.as_deref(), user.avatar.as_deref()).await?;
    let updated = sqlx::query("UPDATE users SET username = $2, username_key = $3, global_name = $4, avatar = $5 WHERE id = $1")
        .bind(user.id.to_sql())
        .bind(&user.username)
        .bind(key_of(&user.username))
        .bind(&user.global_name)
        .bind(&user.avatar)
        .execute(tx.sql())
        .await;
    unique(updated, Conflict::UsernameTaken)?;
    tx.emit(Event::UserUpdate { user: Box::new(user.clone()) }).await?;
    Ok(())
}

/// Writes what is left of an account. Its key is one that no name has, so that nobody finds or logs in to it.
pub(super) async fn lock_name(tx: &mut Tx<'_>, user: &User) -> Result<()> {
    let avatar: Option<String> =
        sqlx::query_scalar("SELECT avatar FROM users WHERE id = $1").bind(user.id.to_sql()).fetch_one(tx.sql()).await?;
    replace_picture(tx, "avatars", user.id.into(), avatar.as_deref(), None).await?;
    sqlx::query("UPDATE users SET username = $2, username_key = $3, global_name = NULL, avatar = NULL WHERE id = $1")
        .bind(user.id.to_sql())
        .bind(&user.username)
        .bind(format!("DELETED {}", user.id))
        .execute(tx.sql())
        .await?;
    Ok(())
}

impl Store {
    pub async fn find_user(&self, id: UserId) -> Result<Option<User>> {
        let mut connection = self.readers().acquire().await.map_err(StoreError::from)?;
        find_user(&mut connection, id).await
    }

    /// Whether nobody has registered yet: the first start.
    pub async fn has_no_people(&self) -> Result<bool> {
        let any: Option<i64> =
            sqlx::query_scalar("SELECT id FROM users WHERE is_bot = 0 LIMIT 1").fetch_optional(self.readers()).await?;
        Ok(any.is_none())
    }

    /// By e-mail address if there is an `@`, else by username.
    pub async fn find_credentials(&self, login: &str) -> Result<Option<Credentials>> {
        let query = if login.contains('@') {
            "SELECT user_id, password_hash FROM credentials WHERE email = $1"
        } else {
            "SELECT c.user_id, c.password_hash FROM credentials c JOIN users u ON u.id = c.user_id WHERE u.username_key = $1 AND u.is_bot = 0"
        };
        let row: Option<(i64, String)> = sqlx::query_as(query).bind(key_of(login)).fetch_optional(self.readers()).await?;
        Ok(row.map(|(id, password_hash)| Credentials { user_id: UserId::from_sql(id), password_hash }))
    }

    pub async fn password_hash(&self, user_id: UserId) -> Result<Option<String>> {
        let hash = sqlx::query_scalar("SELECT password_hash FROM credentials WHERE user_id = $1").bind(user_id.to_sql());
        Ok(hash.fetch_optional(self.readers()).await?)
    }

    /// Creates a person who is logged in nowhere.
    pub async fn create_person(&self, user: User, email: Option<String>, password_hash: String) -> Result<()> {
        self.write(move |tx| Box::pin(async move { insert_person(tx, &user, email, password_hash).await })).await
    }

    /// Creates a person and answers with their first token.
    pub async fn register(&self, user: User, email: Option<String>, password_hash: String, device: Device) -> Result<String> {
        self.write(move |tx| {
            Box::pin(async move {
                insert_person(tx, &user, email, password_hash).await?;
                Ok(open_session(tx, user.id, &device).await?.token)
            })
        })
        .await
    }

    /// Changes who someone is, and what they log in with; all of it or nothing. Every guild of the user hears of the names
    /// through the user's topic. With a new password every token ends but the one that is answered.
    pub async fn change_account(&self, user: User, secrets: Secrets) -> Result<Option<String>> {
        let id = user.id;
        let outcome = self
            .write(move |tx| {
                Box::pin(async move {
                    if find_user(tx.sql(), id).await?.ok_or(Conflict::Missing)? != user {
                        update_user(tx, &user).await?;
                    }
                    if let Some(email) = secrets.email {
                        let email = email.as_deref().map(key_of);
                        let updated = sqlx::query("UPDATE credentials SET email = $2 WHERE user_id = $1")
                            .bind(id.to_sql())
                            .bind(&email)
                            .execute(tx.sql())
                            .await;
                        unique(updated, Conflict::EmailTaken)?;
                        tx.emit(Event::Personal { user_id: id, news: Personal::Email { email } }).await?;
                    }
                    let Some((password_hash, device)) = secrets.password else { return Ok(None) };
                    sqlx::query("UPDATE credentials SET password_hash = $2 WHERE user_id = $1")
                        .bind(id.to_sql())
                        .bind(password_hash)
                        .execute(tx.sql())
                        .await?;
                    delete_tokens(tx, id).await?;
                    Ok(Some(open_session(tx, id, &device).await?.token))
                })
            })
            .await;
        self.0.tokens.forget(id);
        outcome
    }
}
