//! Invites, and joining by one.

use super::channels::find_channel;
use super::engine::{Connection, Row};
use super::guilds::{check_room_for_guild, find_guild};
use super::members::{insert_member, is_banned};
use super::messages::{MEMBER_JOINED, insert_message};
use super::read_states::advance;
use super::roles::roles_of;
use super::users::find_user;
use super::{Conflict, NewMessage, Result, Store, Tx};
use crate::audit::{By, Entry};
use crate::event::Event;
use guildhall_protocol::model::{AuditAction, Guild, Invite, Member, Message, User, partial_member, timestamp};
use guildhall_protocol::permissions::{Standing, channel_permissions};
use guildhall_protocol::{ChannelId, GuildId, Permissions, UserId};
use serde_json::{Value, json};
use sqlx::Row as _;

/// Invites per guild (COMPAT §10.5).
const INVITES: i64 = 1000;
/// `system_channel_flags`: no messages about new members.
const SUPPRESS_JOINS: u32 = 1;

/// An invite as it is stored; guild and channel are looked up in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInvite {
    pub code: String,
    pub guild_id: GuildId,
    pub channel_id: ChannelId,
    pub inviter: Option<User>,
    pub created_at_ms: u64,
    pub max_age: u32,
    pub max_uses: u32,
    pub uses: u32,
    pub temporary: bool,
}

/// What the audit log shows of an invite.
fn facts(invite: &StoredInvite) -> Value {
    json!({
        "code": invite.code,
        "channel_id": invite.channel_id,
        "inviter_id": invite.inviter.as_ref().map(|user| user.id),
        "max_age": invite.max_age,
        "max_uses": invite.max_uses,
        "uses": invite.uses,
        "temporary": invite.temporary,
    })
}

impl StoredInvite {
    pub fn expires_at_ms(&self) -> Option<u64> {
        (self.max_age > 0).then(|| self.created_at_ms + u64::from(self.max_age) * 1000)
    }

    pub fn is_usable(&self, now_ms: u64) -> bool {
        self.expires_at_ms().is_none_or(|at| at > now_ms) && (self.max_uses == 0 || self.uses < self.max_uses)
    }
}

macro_rules! select_invite {
    ($tail:literal) => {
        concat!(
            "SELECT code, guild_id, channel_id, inviter_id, created_at, max_age, max_uses, uses, temporary FROM invites WHERE ",
            $tail
        )
    };
}

async fn invite_of(connection: &mut Connection, row: &Row) -> Result<StoredInvite> {
    let inviter = match row.try_get::<Option<i64>, _>("inviter_id")? {
        Some(id) => find_user(connection, UserId::from_sql(id)).await?,
        None => None,
    };
    Ok(StoredInvite {
        code: row.try_get("code")?,
        guild_id: GuildId::from_sql(row.try_get("guild_id")?),
        channel_id: ChannelId::from_sql(row.try_get("channel_id")?),
        inviter,
        created_at_ms: row.try_get::<i64, _>("created_at")? as u64,
        max_age: row.try_get("max_age")?,
        max_uses: row.try_get("max_uses")?,
        uses: row.try_get("uses")?,
        temporary: row.try_get("temporary")?,
    })
}

/// Makes the user a member and says so in the system channel.
pub(super) async fn join(tx: &mut Tx<'_>, guild_id: GuildId, member: Member) -> Result<()> {
    if is_banned(tx, guild_id, member.user.id).await? {
        return Err(Conflict::Banned.into());
    }
    check_room_for_guild(tx, member.user.id).await?;
    insert_member(tx, guild_id, &member).await?;
    tx.emit(Event::MemberAdd { guild_id, member: Box::new(member.clone()) }).await?;
    let guild = find_guild(tx.sql(), guild_id).await?.ok_or(Conflict::Missing)?;
    if let Some(channel_id) = guild.system_channel_id.filter(|_| guild.system_channel_flags & SUPPRESS_JOINS == 0) {
        let message = Message { kind: MEMBER_JOINED, ..Message::new(channel_id, member.user.clone(), String::new()) };
        let is_shown = !member.user.bot && is_shown(tx, &guild, channel_id, member.user.id).await?;
        let user = member.user.id;
        let member = Some(partial_member(&member));
        let said =
            insert_message(tx, NewMessage { guild_id: Some(guild_id), message, member, files: Vec::new(), enforced_nonce: None })
                .await?;
        if is_shown {
            advance(tx, user, channel_id, said.id).await?;
        }
    }
    Ok(())
}

/// Whether a new member, who has no role but everyone's, sees the channel.
async fn is_shown(tx: &mut Tx<'_>, guild: &Guild, channel: ChannelId, user_id: UserId) -> Result<bool> {
    let Some(channel) = find_channel(tx.sql(), channel).await? else { return Ok(false) };
    let roles = roles_of(tx.sql(), guild.id).await?;
    let standing = Standing { guild_id: guild.id, owner_id: guild.owner_id, user_id, member_roles: &[], is_timed_out: false };
    let permissions_of = |id| roles.iter().find(|role| role.id == id).map(|role| role.permissions);
    let permissions = channel_permissions(&standing, permissions_of, channel.kind, &channel.permission_overwrites);
    Ok(permissions.contains(Permissions::VIEW_CHANNEL))
}

impl Store {
    pub async fn find_invite(&self, code: &str) -> Result<Option<StoredInvite>> {
        let mut connection = self.readers().acquire().await?;
        let row = sqlx::query(select_invite!("code = $1")).bind(code).fetch_optional(&mut *connection).await?;
        match row {
            Some(row) => Ok(Some(invite_of(&mut connection, &row).await?)),
            None => Ok(None),
        }
    }

    /// The guild's invites, or only one channel's.
    pub async fn invites(&self, guild: GuildId, channel: Option<ChannelId>) -> Result<Vec<StoredInvite>> {
        let mut connection = self.readers().acquire().await?;
        let rows = match channel {
            Some(channel) => sqlx::query(select_invite!("channel_id = $1 ORDER BY created_at")).bind(channel.to_sql()),
            None => sqlx::query(select_invite!("guild_id = $1 ORDER BY created_at")).bind(guild.to_sql()),
        };
        let rows = rows.fetch_all(&mut *connection).await?;
        let mut invites = Vec::with_capacity(rows.len());
        for row in &rows {
            invites.push(invite_of(&mut connection, row).await?);
        }
        Ok(invites)
    }

    /// Stores the invite; the event carries it as clients see it.
    pub async fn create_invite(&self, by: By, invite: Invite) -> Result<Invite> {
        self.write(move |tx| {
            Box::pin(async move {
                let count: i64 = sqlx::query_scalar("SELECT count(*) FROM invites WHERE guild_id = $1")
                    .bind(invite.guild_id.to_sql())
                    .fetch_one(tx.sql())
                    .await?;
                if count >= INVITES {
                    return Err(Conflict::Full.into());
                }
                sqlx::query(
                    "INSERT INTO invites (code, guild_id, channel_id, inviter_id, created_at, max_age, max_uses, temporary) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                )
                .bind(&invite.code)
                .bind(invite.guild_id.to_sql())
                .bind(invite.channel.id.to_sql())
                .bind(invite.inviter.as_ref().map(|user| user.id.to_sql()))
                .bind(tx.now_ms as i64)
                .bind(invite.max_age)
                .bind(invite.max_uses)
                .bind(invite.temporary)
                .execute(tx.sql())
                .await?;
                let mut invite = invite;
                invite.created_at = timestamp(tx.now_ms);
                let event = Event::InviteCreate {
                    guild_id: invite.guild_id,
                    channel_id: invite.channel.id,
                    invite: Box::new(invite.clone()),
                };
                tx.emit(event).await?;
                let stored = StoredInvite {
                    code: invite.code.clone(),
                    guild_id: invite.guild_id,
                    channel_id: invite.channel.id,
                    inviter: invite.inviter.clone(),
                    created_at_ms: tx.now_ms,
                    max_age: invite.max_age,
                    max_uses: invite.max_uses,
                    uses: 0,
                    temporary: invite.temporary,
                };
                let entry = Entry::untargeted(AuditAction::INVITE_CREATE).between(Value::Null, facts(&stored));
                tx.audit(invite.guild_id, &by, entry).await?;
                Ok(invite)
            })
        })
        .await
    }

    pub async fn delete_invite(&self, by: By, invite: StoredInvite) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let deleted = sqlx::query("DELETE FROM invites WHERE code = $1").bind(&invite.code).execute(tx.sql()).await?;
                if deleted.rows_affected() == 0 {
                    return Err(Conflict::InviteSpent.into());
                }
                let entry = Entry::untargeted(AuditAction::INVITE_DELETE).between(facts(&invite), Value::Null);
                let StoredInvite { code, guild_id, channel_id, .. } = invite;
                tx.emit(Event::InviteDelete { guild_id, channel_id, code }).await?;
                tx.audit(guild_id, &by, entry).await
            })
        })
        .await
    }

    /// Joins by an invite. `true`: the user is a member now and was not before; a member may "use" an invite and nothing
    /// happens.
    pub async fn use_invite(&self, code: String, user: User) -> Result<bool> {
        self.write(move |tx| {
            Box::pin(async move {
                let row = sqlx::query(select_invite!("code = $1")).bind(&code).fetch_optional(tx.sql()).await?;
                let row = row.ok_or(Conflict::InviteSpent)?;
                let invite = invite_of(tx.sql(), &row).await?;
                if !invite.is_usable(tx.now_ms) {
                    return Err(Conflict::InviteSpent.into());
                }
                let known: Option<i64> = sqlx::query_scalar("SELECT user_id FROM members WHERE guild_id = $1 AND user_id = $2")
                    .bind(invite.guild_id.to_sql())
                    .bind(user.id.to_sql())
                    .fetch_optional(tx.sql())
                    .await?;
                if known.is_some() {
                    return Ok(false);
                }
                let user_id = user.id;
                join(tx, invite.guild_id, Member::new(user, timestamp(tx.now_ms))).await?;
                if invite.temporary {
                    sqlx::query("UPDATE members SET is_temporary = 1 WHERE guild_id = $1 AND user_id = $2")
                        .bind(invite.guild_id.to_sql())
                        .bind(user_id.to_sql())
                        .execute(tx.sql())
                        .await?;
                }
                let (guild_id, channel_id) = (invite.guild_id, invite.channel_id);
                if invite.max_uses > 0 && invite.uses + 1 >= invite.max_uses {
                    sqlx::query("DELETE FROM invites WHERE code = $1").bind(&code).execute(tx.sql()).await?;
                    tx.emit(Event::InviteDelete { guild_id, channel_id, code }).await?;
                } else {
                    sqlx::query("UPDATE invites SET uses = uses + 1 WHERE code = $1").bind(&code).execute(tx.sql()).await?;
                }
                Ok(true)
            })
        })
        .await
    }
}
