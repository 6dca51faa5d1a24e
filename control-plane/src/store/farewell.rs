//! The end of an account: what it wrote to others stays, under nobody's name; what was its own goes.

use super::members::end_memberships;
use super::private_channels::leave_groups;
use super::relationships::end_relationships;
use super::tokens::delete_tokens;
use super::users::{find_user, lock_name};
use super::{Conflict, Result, Store};
use crate::event::Event;
use guildhall_protocol::UserId;
use guildhall_protocol::model::User;

/// Whom others see from then on.
const NAME: &str = "Deleted User";
/// What belongs to nobody else, by tables with a `user_id`.
const OWN: &[&str] = &[
    "DELETE FROM credentials WHERE user_id = $1",
    "DELETE FROM read_states WHERE user_id = $1",
    "DELETE FROM restricted_guilds WHERE user_id = $1",
    "DELETE FROM profiles WHERE user_id = $1",
    "DELETE FROM notes WHERE user_id = $1 OR target_id = $1",
    "DELETE FROM settings WHERE user_id = $1",
    "DELETE FROM guild_settings WHERE user_id = $1",
];

impl Store {
    /// Ends an account for good, and the log-ins of its bots with it. [`Conflict::Owner`]: guilds of its own are in the way.
    /// Answers with the bots.
    pub async fn delete_account(&self, id: UserId) -> Result<Vec<UserId>> {
        let bots = self
            .write(move |tx| {
                Box::pin(async move {
                    let user = find_user(tx.sql(), id).await?.ok_or(Conflict::Missing)?;
                    let owned: Option<i64> = sqlx::query_scalar("SELECT id FROM guilds WHERE owner_id = $1 LIMIT 1")
                        .bind(id.to_sql())
                        .fetch_optional(tx.sql())
                        .await?;
                    if owned.is_some() {
                        return Err(Conflict::Owner.into());
                    }
                    // Who sees the account leave sees it leave under its new name.
                    let nobody = User { flags: user.flags, ..User::new(id, NAME.to_owned(), None, false) };
                    lock_name(tx, &nobody).await?;
                    tx.emit(Event::UserUpdate { user: Box::new(nobody.clone()) }).await?;
                    end_memberships(tx, &nobody).await?;
                    leave_groups(tx, &nobody).await?;
                    end_relationships(tx, id).await?;
                    for statement in OWN {
                        sqlx::query(*statement).bind(id.to_sql()).execute(tx.sql()).await?;
                    }
                    delete_tokens(tx, id).await?;
                    let bots: Vec<i64> =
                        sqlx::query_scalar("SELECT bot_id FROM applications WHERE owner_id = $1 AND bot_id IS NOT NULL")
                            .bind(id.to_sql())
                            .fetch_all(tx.sql())
                            .await?;
                    let bots: Vec<UserId> = bots.into_iter().map(UserId::from_sql).collect();
                    for bot in &bots {
                        delete_tokens(tx, *bot).await?;
                    }
                    Ok(bots)
                })
            })
            .await?;
        for user in bots.iter().chain([&id]) {
            self.0.tokens.forget(*user);
        }
        Ok(bots)
    }
}
