//! Who was here when: the last time that an account was heard of, and memberships that end with a presence.

use super::members::end_membership;
use super::users::find_user;
use super::{Result, Store};
use crate::audit::{By, Entry};
use crate::ids::unix_ms;
use guildhall_protocol::model::AuditAction;
use guildhall_protocol::{GuildId, UserId};
use std::collections::HashMap;
use std::sync::Mutex;

/// How precisely it is known. Whoever calls all day costs one small write in this time.
const SEEN_EVERY_MS: u64 = 3_600_000;
/// Accounts whose last note is remembered; forgetting one costs a write.
const REMEMBERED: usize = 65_536;
/// Members that leave in one job: the writer has other callers, too.
const LEAVING: usize = 200;

/// What was noted lately, so that it is not noted again.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<UserId, u64>>);

impl Seen {
    /// Whether it is time for a note; it counts as made.
    fn is_news(&self, user: UserId, now_ms: u64) -> bool {
        let mut noted = self.0.lock().expect("nothing panics while it holds the notes");
        if noted.get(&user).is_some_and(|at| now_ms < at + SEEN_EVERY_MS) {
            return false;
        }
        if noted.len() >= REMEMBERED {
            noted.clear();
        }
        noted.insert(user, now_ms);
        true
    }
}

impl Store {
    /// Notes that the account is in use, without waiting for it. A note that fails is made up for by the next one.
    pub(super) fn saw(&self, user: UserId) {
        let now_ms = unix_ms();
        if !self.0.seen.is_news(user, now_ms) {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move { store.note(user, now_ms).await });
    }

    async fn note(&self, user: UserId, now_ms: u64) {
        let noted = self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO last_seen (user_id, seen_at) SELECT id, $2 FROM users WHERE id = $1 \
                     ON CONFLICT (user_id) DO UPDATE SET seen_at = excluded.seen_at",
                )
                .bind(user.to_sql())
                .bind(now_ms as i64)
                .execute(tx.sql())
                .await?;
                Ok(())
            })
        });
        if let Err(error) = noted.await {
            tracing::debug!(%error, "it was not noted that an account is in use");
        }
    }

    /// Members who joined before that moment and were not heard of since.
    pub async fn unseen_members(&self, guild: GuildId, since_ms: u64) -> Result<Vec<UserId>> {
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT m.user_id FROM members m LEFT JOIN last_seen s ON s.user_id = m.user_id \
             WHERE m.guild_id = $1 AND m.joined_at < $2 AND coalesce(s.seen_at, 0) < $2 ORDER BY m.user_id",
        )
        .bind(guild.to_sql())
        // A note may be as much older than what it stands for.
        .bind(since_ms.saturating_sub(SEEN_EVERY_MS) as i64)
        .fetch_all(self.readers())
        .await?;
        Ok(ids.into_iter().map(UserId::from_sql).collect())
    }

    /// Removes members for having been away for so many days; some at a time, each time with a line in the audit log. How many
    /// there were.
    pub async fn prune_members(&self, by: By, guild: GuildId, days: i64, users: Vec<UserId>) -> Result<usize> {
        let mut pruned = 0;
        for some in users.chunks(LEAVING) {
            let (by, some) = (by.clone(), some.to_vec());
            pruned += self
                .write(move |tx| {
                    Box::pin(async move {
                        let mut removed = 0;
                        for id in some {
                            if let Some(user) = find_user(tx.sql(), id).await? {
                                removed += usize::from(end_membership(tx, guild, &user).await?);
                            }
                        }
                        if removed > 0 {
                            let entry = Entry::untargeted(AuditAction::MEMBER_PRUNE);
                            let entry = entry.option("delete_member_days", days).option("members_removed", removed);
                            tx.audit(guild, &by, entry).await?;
                        }
                        Ok(removed)
                    })
                })
                .await?;
        }
        Ok(pruned)
    }

    /// Whose membership anywhere is only temporary.
    pub async fn temporary_members(&self) -> Result<Vec<UserId>> {
        let ids: Vec<i64> =
            sqlx::query_scalar("SELECT DISTINCT user_id FROM members WHERE is_temporary = 1").fetch_all(self.readers()).await?;
        Ok(ids.into_iter().map(UserId::from_sql).collect())
    }

    /// The user is gone: so are the memberships that came by a temporary invite and got no role.
    pub async fn end_temporary_memberships(&self, user_id: UserId) -> Result<()> {
        const FIND: &str = "SELECT guild_id FROM members WHERE user_id = $1 AND is_temporary = 1";
        let found: Vec<i64> = sqlx::query_scalar(FIND).bind(user_id.to_sql()).fetch_all(self.readers()).await?;
        if found.is_empty() {
            return Ok(()); // as for nearly everyone: no need to bother the writer
        }
        self.write(move |tx| {
            Box::pin(async move {
                let Some(user) = find_user(tx.sql(), user_id).await? else { return Ok(()) };
                let guilds: Vec<i64> = sqlx::query_scalar(FIND).bind(user_id.to_sql()).fetch_all(tx.sql()).await?;
                for guild in guilds {
                    end_membership(tx, GuildId::from_sql(guild), &user).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::{SEEN_EVERY_MS, Seen};
    use guildhall_protocol::UserId;

    #[test]
    fn an_account_is_noted_once_an_hour() {
        let (seen, ann, bob) = (Seen::default(), UserId::new(1), UserId::new(2));
        assert!(seen.is_news(ann, 5) && !seen.is_news(ann, 4 + SEEN_EVERY_MS) && seen.is_news(bob, 6));
        assert!(seen.is_news(ann, 5 + SEEN_EVERY_MS) && !seen.is_news(ann, 6 + SEEN_EVERY_MS));
    }
}
