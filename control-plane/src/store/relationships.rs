//! Friends, requests and blocks: two rows for what two accounts share, one for a block.

use super::engine::Row;
use super::users::{find_user, key_of, user_of};
use super::{Conflict, Result, Store, Tx};
use crate::event::{Event, Personal};
use guildhall_protocol::UserId;
use guildhall_protocol::model::{Relationship, RelationshipKind, User, timestamp};
use sqlx::Row as _;

/// Friends and requests of one account, and as many blocks.
const MOST: i64 = 1_000;

/// What became of a request to be friends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The request waits, or it was the answer to theirs.
    Done,
    AlreadyFriends,
    /// Either has blocked the other.
    Blocked,
}

fn relationship_of(row: &Row) -> Result<Relationship> {
    // What the table holds was written by this file.
    let kind = RelationshipKind::from_number(row.try_get("kind")?).unwrap_or(RelationshipKind::Blocked);
    let since = timestamp(row.try_get::<i64, _>("since")? as u64);
    Ok(Relationship::new(user_of(row)?, kind, row.try_get("nickname")?, since))
}

async fn find(tx: &mut Tx<'_>, user: UserId, target: UserId) -> Result<Option<Relationship>> {
    let row = sqlx::query(
        "SELECT u.id, u.username, u.global_name, u.avatar, u.is_bot, u.flags, r.kind, r.nickname, r.since \
         FROM relationships r JOIN users u ON u.id = r.target_id WHERE r.user_id = $1 AND r.target_id = $2",
    )
    .bind(user.to_sql())
    .bind(target.to_sql())
    .fetch_optional(tx.sql())
    .await?;
    row.as_ref().map(relationship_of).transpose()
}

/// Sets the user's side and tells it.
async fn put(tx: &mut Tx<'_>, user_id: UserId, target: &User, kind: RelationshipKind) -> Result<()> {
    let is_block = kind == RelationshipKind::Blocked;
    let others: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM relationships WHERE user_id = $1 AND target_id != $2 AND CASE WHEN kind = 2 THEN 1 ELSE 0 END = $3",
    )
    .bind(user_id.to_sql())
    .bind(target.id.to_sql())
    .bind(is_block)
    .fetch_one(tx.sql())
    .await?;
    if others >= MOST {
        return Err(Conflict::Full.into());
    }
    sqlx::query(
        "INSERT INTO relationships (user_id, target_id, kind, since) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (user_id, target_id) DO UPDATE SET kind = excluded.kind, since = excluded.since, nickname = NULL",
    )
    .bind(user_id.to_sql())
    .bind(target.id.to_sql())
    .bind(kind.number())
    .bind(tx.now_ms as i64)
    .execute(tx.sql())
    .await?;
    let relationship = Box::new(Relationship::new(target.clone(), kind, None, timestamp(tx.now_ms)));
    tx.emit(Event::Personal { user_id, news: Personal::RelationshipAdd { relationship } }).await?;
    Ok(())
}

/// Removes the user's side, unless it is a block that may not go, and tells it.
async fn remove(tx: &mut Tx<'_>, user_id: UserId, target: UserId) -> Result<bool> {
    let removed: Option<i64> =
        sqlx::query_scalar("DELETE FROM relationships WHERE user_id = $1 AND target_id = $2 RETURNING kind")
            .bind(user_id.to_sql())
            .bind(target.to_sql())
            .fetch_optional(tx.sql())
            .await?;
    let Some(kind) = removed.and_then(|kind| RelationshipKind::from_number(kind as u8)) else { return Ok(false) };
    tx.emit(Event::Personal { user_id, news: Personal::RelationshipRemove { id: target, kind } }).await?;
    Ok(true)
}

/// Ends all that the account had with others, and what they had with it.
pub(super) async fn end_relationships(tx: &mut Tx<'_>, user: UserId) -> Result<()> {
    let others: Vec<i64> = sqlx::query_scalar(
        "SELECT target_id FROM relationships WHERE user_id = $1 UNION SELECT user_id FROM relationships WHERE target_id = $1",
    )
    .bind(user.to_sql())
    .fetch_all(tx.sql())
    .await?;
    for other in others.into_iter().map(UserId::from_sql) {
        remove(tx, user, other).await?;
        remove(tx, other, user).await?;
    }
    Ok(())
}

/// Whether somebody could ever answer: bots and deleted accounts have nothing to log in with.
async fn is_person(tx: &mut Tx<'_>, user: UserId) -> Result<bool> {
    let known: Option<i64> = sqlx::query_scalar("SELECT user_id FROM credentials WHERE user_id = $1")
        .bind(user.to_sql())
        .fetch_optional(tx.sql())
        .await?;
    Ok(known.is_some())
}

impl Store {
    pub async fn relationships_of(&self, user: UserId) -> Result<Vec<Relationship>> {
        let rows = sqlx::query(
            "SELECT u.id, u.username, u.global_name, u.avatar, u.is_bot, u.flags, r.kind, r.nickname, r.since \
             FROM relationships r JOIN users u ON u.id = r.target_id WHERE r.user_id = $1 ORDER BY r.target_id",
        )
        .bind(user.to_sql())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(relationship_of).collect()
    }

    /// A person by name; bots' names are not unique.
    pub async fn find_person(&self, username: &str) -> Result<Option<User>> {
        let row = sqlx::query(
            "SELECT id, username, global_name, avatar, is_bot, flags FROM users WHERE username_key = $1 AND is_bot = 0",
        )
        .bind(key_of(username))
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(user_of).transpose()
    }

    /// Which of these are friends of the user.
    pub async fn friends_among(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>> {
        let friends: Vec<i64> = sqlx::query_scalar("SELECT target_id FROM relationships WHERE user_id = $1 AND kind = 1")
            .bind(user.to_sql())
            .fetch_all(self.readers())
            .await?;
        Ok(friends.into_iter().map(UserId::from_sql).filter(|friend| others.contains(friend)).collect())
    }

    /// Asks to be friends, or agrees.
    pub async fn befriend(&self, user: UserId, target: UserId) -> Result<Asked> {
        self.write(move |tx| {
            Box::pin(async move {
                let (Some(me), Some(them)) = (find_user(tx.sql(), user).await?, find_user(tx.sql(), target).await?) else {
                    return Err(Conflict::Missing.into());
                };
                if !is_person(tx, target).await? {
                    return Err(Conflict::Missing.into());
                }
                let mine = find(tx, user, target).await?.map(|mine| mine.kind);
                let theirs = find(tx, target, user).await?.map(|theirs| theirs.kind);
                let (my_side, their_side) = match (mine, theirs) {
                    (Some(RelationshipKind::Blocked), _) | (_, Some(RelationshipKind::Blocked)) => return Ok(Asked::Blocked),
                    (Some(RelationshipKind::Friend), _) => return Ok(Asked::AlreadyFriends),
                    (Some(RelationshipKind::Outgoing), _) => return Ok(Asked::Done),
                    (Some(RelationshipKind::Incoming), _) => (RelationshipKind::Friend, RelationshipKind::Friend),
                    (None, _) => (RelationshipKind::Outgoing, RelationshipKind::Incoming),
                };
                put(tx, user, &them, my_side).await?;
                put(tx, target, &me, their_side).await?;
                Ok(Asked::Done)
            })
        })
        .await
    }

    /// Ends what there was and lets the target neither write nor ask any more.
    pub async fn block(&self, user: UserId, target: UserId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let them = find_user(tx.sql(), target).await?.ok_or(Conflict::Missing)?;
                if find(tx, target, user).await?.is_some_and(|theirs| theirs.kind != RelationshipKind::Blocked) {
                    remove(tx, target, user).await?;
                }
                if find(tx, user, target).await?.is_none_or(|mine| mine.kind != RelationshipKind::Blocked) {
                    put(tx, user, &them, RelationshipKind::Blocked).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Ends a friendship, takes a request back, refuses one, or unblocks. What the other one blocks stays blocked.
    pub async fn end_relationship(&self, user: UserId, target: UserId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                if !remove(tx, user, target).await? {
                    return Err(Conflict::Missing.into());
                }
                if find(tx, target, user).await?.is_some_and(|theirs| theirs.kind != RelationshipKind::Blocked) {
                    remove(tx, target, user).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Calls a friend by another name.
    pub async fn name_friend(&self, user_id: UserId, target: UserId, nickname: Option<String>) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut relationship = find(tx, user_id, target).await?.ok_or(Conflict::Missing)?;
                if relationship.kind != RelationshipKind::Friend {
                    return Err(Conflict::Missing.into());
                }
                sqlx::query("UPDATE relationships SET nickname = $3 WHERE user_id = $1 AND target_id = $2")
                    .bind(user_id.to_sql())
                    .bind(target.to_sql())
                    .bind(&nickname)
                    .execute(tx.sql())
                    .await?;
                relationship.nickname = nickname;
                let news = Personal::RelationshipUpdate { relationship: Box::new(relationship) };
                tx.emit(Event::Personal { user_id, news }).await?;
                Ok(())
            })
        })
        .await
    }
}
