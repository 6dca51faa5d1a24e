//! Channels outside of guilds: who is in them, in whose list they are, and who may begin one.
//!
//! Every event of a private channel counts in the channel's own topic, with its messages.

use super::attachments::replace_picture;
use super::engine::{Connection, Row};
use super::messages::insert_message;
use super::users::{find_user, user_of};
use super::{Conflict, NewMessage, Result, Store, Tx};
use crate::event::{Event, PrivateNews};
use guildhall_protocol::model::{ChannelType, Group, Message, PrivateChannel, User, timestamp};
use guildhall_protocol::{ChannelId, MessageId, UserId};
use sqlx::Row as _;

/// People in a group.
pub const RECIPIENTS: usize = 100;
/// Private channels in one's list: the newest; the others are found by being written in.
const LISTED: i64 = 1_000;

/// The message types of what happens to a group.
const RECIPIENT_ADDED: u8 = 1;
const RECIPIENT_REMOVED: u8 = 2;
const NAME_CHANGED: u8 = 4;

macro_rules! select_channel {
    ($tail:literal) => {
        concat!(
            "SELECT c.id, c.name, c.icon, c.owner_id, c.last_pin_at, ",
            "(SELECT max(m.id) FROM messages m WHERE m.channel_id = c.id) AS last_message_id FROM private_channels c ",
            $tail
        )
    };
}

/// What decides whether someone may write to someone else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Either has blocked the other.
    pub is_blocked: bool,
    pub are_friends: bool,
    /// They are in a guild together that the addressee has not excluded.
    pub share_guild: bool,
}

async fn channel_of(connection: &mut Connection, row: &Row) -> Result<PrivateChannel> {
    let id = ChannelId::from_sql(row.try_get("id")?);
    let recipients = sqlx::query(
        "SELECT u.id, u.username, u.global_name, u.avatar, u.is_bot, u.flags FROM recipients r JOIN users u ON u.id = r.user_id \
         WHERE r.channel_id = $1 ORDER BY r.joined_at, r.user_id",
    )
    .bind(id.to_sql())
    .fetch_all(connection)
    .await?;
    let owner: Option<i64> = row.try_get("owner_id")?;
    let group = match owner.map(UserId::from_sql) {
        Some(owner_id) => Some(Group { name: row.try_get("name")?, icon: row.try_get("icon")?, owner_id }),
        None => None,
    };
    Ok(PrivateChannel {
        id,
        kind: if group.is_some() { ChannelType::GroupDm } else { ChannelType::Dm },
        last_message_id: row.try_get::<Option<i64>, _>("last_message_id")?.map(MessageId::from_sql),
        last_pin_timestamp: row.try_get::<Option<i64>, _>("last_pin_at")?.map(|ms| timestamp(ms as u64)),
        flags: 0,
        recipients: recipients.iter().map(user_of).collect::<Result<_>>()?,
        group,
    })
}

async fn find(connection: &mut Connection, id: ChannelId) -> Result<Option<PrivateChannel>> {
    let row = sqlx::query(select_channel!("WHERE c.id = $1")).bind(id.to_sql()).fetch_optional(&mut *connection).await?;
    match row {
        Some(row) => Ok(Some(channel_of(connection, &row).await?)),
        None => Ok(None),
    }
}

async fn existing(tx: &mut Tx<'_>, id: ChannelId) -> Result<PrivateChannel> {
    Ok(find(tx.sql(), id).await?.ok_or(Conflict::Missing)?)
}

async fn tell(tx: &mut Tx<'_>, channel: &PrivateChannel, news: PrivateNews) -> Result<()> {
    tx.emit(Event::PrivateChannel { channel: Box::new(channel.clone()), news }).await?;
    Ok(())
}

async fn insert_recipient(tx: &mut Tx<'_>, channel: ChannelId, user: UserId, is_open: bool) -> Result<()> {
    let inserted = sqlx::query(
        "INSERT INTO recipients (channel_id, user_id, is_open, joined_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(channel.to_sql())
    .bind(user.to_sql())
    .bind(is_open)
    .bind(tx.now_ms as i64)
    .execute(tx.sql())
    .await?;
    if inserted.rows_affected() == 0 { Err(Conflict::AlreadyMember.into()) } else { Ok(()) }
}

/// A message that says what happened.
async fn say(tx: &mut Tx<'_>, channel: ChannelId, author: User, kind: u8, content: String, about: Option<User>) -> Result<()> {
    let message = Message { kind, mentions: about.into_iter().collect(), ..Message::new(channel, author, content) };
    insert_message(tx, NewMessage { guild_id: None, message, member: None, files: Vec::new(), enforced_nonce: None }).await?;
    Ok(())
}

/// A message is about to be written: whoever had closed the channel gets it back.
pub(super) async fn reopen(tx: &mut Tx<'_>, id: ChannelId) -> Result<()> {
    let opened: Vec<i64> =
        sqlx::query_scalar("UPDATE recipients SET is_open = 1 WHERE channel_id = $1 AND is_open = 0 RETURNING user_id")
            .bind(id.to_sql())
            .fetch_all(tx.sql())
            .await?;
    if !opened.is_empty() {
        let users = opened.into_iter().map(UserId::from_sql).collect();
        let channel = existing(tx, id).await?;
        tell(tx, &channel, PrivateNews::Opened { users }).await?;
    }
    Ok(())
}

/// Someone leaves a group or is taken out.
async fn leave(tx: &mut Tx<'_>, id: ChannelId, by: User, user: UserId, is_silent: bool) -> Result<PrivateChannel> {
    let before = existing(tx, id).await?;
    let user = before.recipients.iter().find(|recipient| recipient.id == user).ok_or(Conflict::Missing)?.clone();
    if !is_silent && before.recipients.len() > 1 {
        // While its author is still in the group.
        say(tx, id, by, RECIPIENT_REMOVED, String::new(), Some(user.clone())).await?;
    }
    sqlx::query("DELETE FROM recipients WHERE channel_id = $1 AND user_id = $2")
        .bind(id.to_sql())
        .bind(user.id.to_sql())
        .execute(tx.sql())
        .await?;
    sqlx::query("DELETE FROM read_states WHERE user_id = $1 AND channel_id = $2")
        .bind(user.id.to_sql())
        .bind(id.to_sql())
        .execute(tx.sql())
        .await?;
    let mut after = existing(tx, id).await?;
    let heir = after.recipients.first().map(|heir| heir.id);
    match (&mut after.group, heir) {
        (_, None) => {
            sqlx::query("INSERT INTO graves (channel_id) VALUES ($1)").bind(id.to_sql()).execute(tx.sql()).await?;
            sqlx::query("DELETE FROM private_channels WHERE id = $1").bind(id.to_sql()).execute(tx.sql()).await?;
        }
        (Some(group), Some(heir)) if group.owner_id == user.id => {
            group.owner_id = heir;
            sqlx::query("UPDATE private_channels SET owner_id = $2 WHERE id = $1")
                .bind(id.to_sql())
                .bind(heir.to_sql())
                .execute(tx.sql())
                .await?;
            tell(tx, &after, PrivateNews::Changed).await?;
        }
        _ => {}
    }
    tell(tx, &after, PrivateNews::Left { user: Box::new(user) }).await?;
    Ok(after)
}

/// Takes someone out of all groups. DMs stay: they are the other one's, too.
pub(super) async fn leave_groups(tx: &mut Tx<'_>, user: &User) -> Result<()> {
    let groups: Vec<i64> = sqlx::query_scalar(
        "SELECT r.channel_id FROM recipients r JOIN private_channels c ON c.id = r.channel_id WHERE r.user_id = $1 AND c.kind = 3",
    )
    .bind(user.id.to_sql())
    .fetch_all(tx.sql())
    .await?;
    for group in groups {
        leave(tx, ChannelId::from_sql(group), user.clone(), user.id, true).await?;
    }
    Ok(())
}

impl Store {
    pub async fn find_private_channel(&self, id: ChannelId) -> Result<Option<PrivateChannel>> {
        let mut connection = self.snapshot().await?;
        find(&mut connection, id).await
    }

    /// Those in the user's list, the newest first.
    pub async fn private_channels_of(&self, user: UserId) -> Result<Vec<PrivateChannel>> {
        let mut connection = self.snapshot().await?;
        let rows = sqlx::query(select_channel!(
            "JOIN recipients r ON r.channel_id = c.id WHERE r.user_id = $1 AND r.is_open = 1 ORDER BY c.id DESC LIMIT $2"
        ))
        .bind(user.to_sql())
        .bind(LISTED)
        .fetch_all(&mut *connection)
        .await?;
        let mut channels = Vec::with_capacity(rows.len());
        for row in &rows {
            channels.push(channel_of(&mut connection, row).await?);
        }
        Ok(channels)
    }

    /// The DM of the two, if they ever had one.
    pub async fn find_dm(&self, user: UserId, other: UserId) -> Result<Option<ChannelId>> {
        let found: Option<i64> = sqlx::query_scalar("SELECT id FROM private_channels WHERE first_id = $1 AND second_id = $2")
            .bind(user.min(other).to_sql())
            .bind(user.max(other).to_sql())
            .fetch_optional(self.readers())
            .await?;
        Ok(found.map(ChannelId::from_sql))
    }

    /// The DM of the two, made if there is none, and opened for `user`. The other one hears of it by the first message.
    pub async fn open_dm(&self, user: UserId, other: UserId) -> Result<PrivateChannel> {
        self.write(move |tx| {
            Box::pin(async move {
                let (first, second) = (user.min(other), user.max(other));
                let known: Option<i64> =
                    sqlx::query_scalar("SELECT id FROM private_channels WHERE first_id = $1 AND second_id = $2")
                        .bind(first.to_sql())
                        .bind(second.to_sql())
                        .fetch_optional(tx.sql())
                        .await?;
                let id = match known {
                    Some(id) => ChannelId::from_sql(id),
                    None => {
                        let id: ChannelId = tx.make_id();
                        sqlx::query("INSERT INTO private_channels (id, kind, first_id, second_id) VALUES ($1, 1, $2, $3)")
                            .bind(id.to_sql())
                            .bind(first.to_sql())
                            .bind(second.to_sql())
                            .execute(tx.sql())
                            .await?;
                        insert_recipient(tx, id, first, false).await?;
                        insert_recipient(tx, id, second, false).await?;
                        id
                    }
                };
                let opened =
                    sqlx::query("UPDATE recipients SET is_open = 1 WHERE channel_id = $1 AND user_id = $2 AND is_open = 0")
                        .bind(id.to_sql())
                        .bind(user.to_sql())
                        .execute(tx.sql())
                        .await?;
                let channel = existing(tx, id).await?;
                if opened.rows_affected() > 0 {
                    tell(tx, &channel, PrivateNews::Opened { users: vec![user] }).await?;
                }
                Ok(channel)
            })
        })
        .await
    }

    /// A group of the owner and these people.
    pub async fn create_group(&self, owner: UserId, others: Vec<UserId>) -> Result<PrivateChannel> {
        self.write(move |tx| {
            Box::pin(async move {
                let id: ChannelId = tx.make_id();
                sqlx::query("INSERT INTO private_channels (id, kind, owner_id) VALUES ($1, 3, $2)")
                    .bind(id.to_sql())
                    .bind(owner.to_sql())
                    .execute(tx.sql())
                    .await?;
                for user in [owner].into_iter().chain(others) {
                    insert_recipient(tx, id, user, true).await?;
                }
                let channel = existing(tx, id).await?;
                let users = channel.recipients.iter().map(|user| user.id).collect();
                tell(tx, &channel, PrivateNews::Opened { users }).await?;
                Ok(channel)
            })
        })
        .await
    }

    /// Renames a group or gives it to another recipient. A new name is also said in the group.
    pub async fn change_group(
        &self,
        id: ChannelId,
        by: User,
        name: Option<Option<String>>,
        icon: Option<Option<String>>,
        owner: Option<UserId>,
    ) -> Result<PrivateChannel> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut channel = existing(tx, id).await?;
                let before = channel.group.clone();
                let group = channel.group.as_mut().ok_or(Conflict::Missing)?;
                if let Some(name) = name {
                    group.name = name;
                }
                if let Some(icon) = icon {
                    replace_picture(tx, "channel-icons", id.into(), group.icon.as_deref(), icon.as_deref()).await?;
                    group.icon = icon;
                }
                group.owner_id = owner.unwrap_or(group.owner_id);
                let group = group.clone();
                if !channel.is_recipient(group.owner_id) {
                    return Err(Conflict::Missing.into());
                }
                if before.as_ref() == Some(&group) {
                    return Ok(channel);
                }
                sqlx::query("UPDATE private_channels SET name = $2, owner_id = $3, icon = $4 WHERE id = $1")
                    .bind(id.to_sql())
                    .bind(&group.name)
                    .bind(group.owner_id.to_sql())
                    .bind(&group.icon)
                    .execute(tx.sql())
                    .await?;
                tell(tx, &channel, PrivateNews::Changed).await?;
                if before.is_some_and(|before| before.name != group.name) {
                    say(tx, id, by, NAME_CHANGED, group.name.unwrap_or_default(), None).await?;
                }
                existing(tx, id).await
            })
        })
        .await
    }

    pub async fn add_recipient(&self, id: ChannelId, by: User, user: UserId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let before = existing(tx, id).await?;
                if before.recipients.len() >= RECIPIENTS {
                    return Err(Conflict::Full.into());
                }
                let user = find_user(tx.sql(), user).await?.ok_or(Conflict::Missing)?;
                insert_recipient(tx, id, user.id, true).await?;
                let channel = existing(tx, id).await?;
                tell(tx, &channel, PrivateNews::Joined { user: Box::new(user.clone()) }).await?;
                say(tx, id, by, RECIPIENT_ADDED, String::new(), Some(user)).await
            })
        })
        .await
    }

    /// Someone leaves a group or is taken out. The last one ends it; an owner leaves it to who came first.
    pub async fn remove_recipient(&self, id: ChannelId, by: User, user: UserId, is_silent: bool) -> Result<PrivateChannel> {
        self.write(move |tx| Box::pin(async move { leave(tx, id, by, user, is_silent).await })).await
    }

    /// Takes a DM out of the user's list.
    pub async fn close_dm(&self, id: ChannelId, user_id: UserId) -> Result<PrivateChannel> {
        self.write(move |tx| {
            Box::pin(async move {
                let closed =
                    sqlx::query("UPDATE recipients SET is_open = 0 WHERE channel_id = $1 AND user_id = $2 AND is_open = 1")
                        .bind(id.to_sql())
                        .bind(user_id.to_sql())
                        .execute(tx.sql())
                        .await?;
                let channel = existing(tx, id).await?;
                if closed.rows_affected() > 0 {
                    tell(tx, &channel, PrivateNews::Closed { user_id }).await?;
                }
                Ok(channel)
            })
        })
        .await
    }

    /// What stands between `from` and writing to `to`.
    pub async fn reach(&self, from: UserId, to: UserId) -> Result<Reach> {
        let row = sqlx::query(
            "SELECT EXISTS (SELECT 1 FROM relationships WHERE kind = 2 AND \
               (user_id = $1 AND target_id = $2 OR user_id = $2 AND target_id = $1)) AS is_blocked, \
             EXISTS (SELECT 1 FROM relationships WHERE kind = 1 AND user_id = $1 AND target_id = $2) AS are_friends, \
             EXISTS (SELECT 1 FROM members a JOIN members b ON b.guild_id = a.guild_id WHERE a.user_id = $1 AND b.user_id = $2 \
               AND NOT EXISTS (SELECT 1 FROM restricted_guilds r WHERE r.user_id = $2 AND r.guild_id = a.guild_id)) AS share_guild",
        )
        .bind(from.to_sql())
        .bind(to.to_sql())
        .fetch_one(self.readers())
        .await?;
        let is = |column: &str| Ok::<bool, sqlx::Error>(row.try_get::<i64, _>(column)? != 0);
        Ok(Reach { is_blocked: is("is_blocked")?, are_friends: is("are_friends")?, share_guild: is("share_guild")? })
    }
}
