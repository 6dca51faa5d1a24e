//! Authorization: the caller's place in a guild or channel, asked of the guild in memory.
//!
//! Every handler asks here before it stores anything, in this order of refusals: the object is unknown (404), the caller may
//! not know of it (50001), the caller may not do it (50013).

use super::error::{ApiError, Result};
use super::mentions::Mentionable;
use crate::app::App;
use crate::guild::State;
use crate::ids::unix_ms;
use crate::store::{Caller, FoundThread};
use guildhall_protocol::model::{Channel, Member, PrivateChannel, Role, Thread, ThreadMember, User};
use guildhall_protocol::permissions::Rank;
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, Permissions, RoleId, UserId};
use std::time::Duration;

/// A member's view of their guild at one moment.
pub struct Access<'a> {
    pub state: &'a State,
    pub user: UserId,
    /// The caller's own membership.
    pub member: &'a Member,
    pub now_ms: u64,
}

/// A member's view of a channel that they may see.
pub struct ChannelAccess<'a> {
    pub guild: Access<'a>,
    pub channel: &'a Channel,
    /// What the caller may do in this channel.
    pub permissions: Permissions,
}

impl<'a> Access<'a> {
    pub fn permissions(&self) -> Permissions {
        self.state.permissions(self.user, self.now_ms)
    }

    /// Refuses a caller who lacks any of the bits in the guild.
    pub fn require(&self, bits: Permissions) -> Result<()> {
        if self.permissions().contains(bits) { Ok(()) } else { Err(ErrorCode::MissingPermissions.into()) }
    }

    pub fn is_owner(&self) -> bool {
        self.state.guild().owner_id == self.user
    }

    pub fn is_timed_out(&self) -> bool {
        self.state.standing(self.user, self.now_ms).is_some_and(|standing| standing.is_timed_out)
    }

    pub fn require_owner(&self) -> Result<()> {
        if self.is_owner() { Ok(()) } else { Err(ErrorCode::MissingPermissions.into()) }
    }

    pub fn rank(&self) -> Rank {
        self.state.rank(self.user).unwrap_or(Rank::Everyone)
    }

    pub fn member(&self, id: UserId) -> Result<&'a Member> {
        self.state.member(id).ok_or(ErrorCode::UnknownMember.into())
    }

    pub fn role(&self, id: RoleId) -> Result<&'a Role> {
        self.state.role(id).ok_or(ErrorCode::UnknownRole.into())
    }

    pub fn rank_of_role(&self, role: &Role) -> Rank {
        Rank::of_role(self.state.id(), role.id, role.position)
    }

    /// Refuses to act on a role at or above one's own.
    pub fn require_above_role(&self, role: &Role) -> Result<()> {
        if self.rank().can_act_on(self.rank_of_role(role)) { Ok(()) } else { Err(ErrorCode::MissingPermissions.into()) }
    }

    /// Refuses to act on someone of one's own rank or above. A stranger stands below every member.
    pub fn require_above(&self, user: UserId) -> Result<()> {
        let is_below = self.state.rank(user).is_none_or(|rank| self.rank().can_act_on(rank));
        if is_below { Ok(()) } else { Err(ErrorCode::MissingPermissions.into()) }
    }

    /// A channel of this guild that the caller may see.
    pub fn channel(self, id: ChannelId) -> Result<ChannelAccess<'a>> {
        let channel = self.state.channel(id).ok_or(ErrorCode::UnknownChannel)?;
        let permissions = self.state.channel_permissions(self.user, id, self.now_ms);
        if !permissions.contains(Permissions::VIEW_CHANNEL) {
            return Err(ErrorCode::MissingAccess.into());
        }
        Ok(ChannelAccess { guild: self, channel, permissions })
    }

    /// A thread of this guild that the caller may see; `found` is it if it is not in memory.
    pub fn thread(self, id: ChannelId, found: Option<&'a FoundThread>) -> Result<ThreadAccess<'a>> {
        let (thread, own) = match (self.state.thread(id), found) {
            (Some(active), _) => (&active.thread, active.members.get(&self.user)),
            (None, Some(found)) => (&found.thread, found.own.as_ref()),
            (None, None) => return Err(ErrorCode::UnknownChannel.into()),
        };
        let parent = self.state.channel(thread.parent_id).ok_or(ErrorCode::UnknownChannel)?;
        let permissions = self.state.thread_permissions(self.user, thread, own.is_some(), self.now_ms);
        if !permissions.contains(Permissions::VIEW_CHANNEL) {
            return Err(ErrorCode::MissingAccess.into());
        }
        Ok(ThreadAccess { guild: self, parent, thread, own, permissions })
    }
}

impl ChannelAccess<'_> {
    pub fn require(&self, bits: Permissions) -> Result<()> {
        if self.permissions.contains(bits) { Ok(()) } else { Err(ErrorCode::MissingPermissions.into()) }
    }

    pub fn guild_id(&self) -> GuildId {
        self.guild.state.id()
    }
}

/// Where messages are, seen by someone who may see it. What a handler of messages needs of it, whichever kind it is.
pub struct TextAccess<'a> {
    pub user: UserId,
    pub channel_id: ChannelId,
    /// What the caller may do there.
    pub permissions: Permissions,
    pub venue: Venue<'a>,
}

/// The kinds of places that messages are in.
pub enum Venue<'a> {
    Guild { guild: Access<'a>, channel: &'a Channel },
    Private { channel: &'a PrivateChannel },
    Thread { guild: Access<'a>, thread: &'a Thread },
}

/// A member's view of a thread that they may see.
pub struct ThreadAccess<'a> {
    pub guild: Access<'a>,
    pub parent: &'a Channel,
    pub thread: &'a Thread,
    /// The caller's membership of it.
    pub own: Option<&'a ThreadMember>,
    /// What the caller may do in it.
    pub permissions: Permissions,
}

impl ThreadAccess<'_> {
    pub fn require(&self, bits: Permissions) -> Result<()> {
        if self.permissions.contains(bits) { Ok(()) } else { Err(ErrorCode::MissingPermissions.into()) }
    }

    pub fn manages(&self) -> bool {
        self.permissions.contains(Permissions::MANAGE_THREADS)
    }

    /// For what its owner may do, and whoever manages threads.
    pub fn require_owner(&self) -> Result<()> {
        let owns = self.thread.owner_id == self.guild.user && !self.guild.is_timed_out();
        if owns || self.manages() { Ok(()) } else { Err(ErrorCode::MissingPermissions.into()) }
    }

    pub fn require_awake(&self) -> Result<()> {
        if self.thread.thread_metadata.archived { Err(ErrorCode::ArchivedThread.into()) } else { Ok(()) }
    }
}

/// What everyone may do in their private channels.
const IN_PRIVATE: Permissions = Permissions(
    Permissions::VIEW_CHANNEL.0
        | Permissions::SEND_MESSAGES.0
        | Permissions::READ_MESSAGE_HISTORY.0
        | Permissions::EMBED_LINKS.0
        | Permissions::ATTACH_FILES.0
        | Permissions::ADD_REACTIONS.0
        | Permissions::MENTION_EVERYONE.0
        | Permissions::PIN_MESSAGES.0
        | Permissions::USE_EXTERNAL_EMOJIS.0
        | Permissions::USE_APPLICATION_COMMANDS.0,
);

impl<'a> TextAccess<'a> {
    pub fn require(&self, bits: Permissions) -> Result<()> {
        if self.permissions.contains(bits) { Ok(()) } else { Err(ErrorCode::MissingPermissions.into()) }
    }

    /// `None`: a private channel.
    pub fn guild_id(&self) -> Option<GuildId> {
        Some(self.guild()?.state.id())
    }

    pub fn guild(&self) -> Option<&Access<'a>> {
        match &self.venue {
            Venue::Guild { guild, .. } | Venue::Thread { guild, .. } => Some(guild),
            Venue::Private { .. } => None,
        }
    }

    /// The other one, in a DM: whom to write to takes more than being in it.
    pub fn partner(&self) -> Option<&'a User> {
        match &self.venue {
            Venue::Guild { .. } | Venue::Thread { .. } => None,
            Venue::Private { channel } => channel.partner_of(self.user),
        }
    }

    /// The caller's membership; nobody is a member of a private channel's guild.
    pub fn member(&self) -> Option<&'a Member> {
        Some(self.guild()?.member)
    }

    pub fn is_timed_out(&self) -> bool {
        self.guild().is_some_and(Access::is_timed_out)
    }

    /// What it takes to write here.
    pub fn sending(&self) -> Permissions {
        match &self.venue {
            Venue::Guild { .. } | Venue::Private { .. } => Permissions::SEND_MESSAGES,
            Venue::Thread { .. } => Permissions::SEND_MESSAGES_IN_THREADS,
        }
    }

    /// Refuses to write in a thread that is locked, unless the caller manages threads. An archived one wakes up by a message.
    pub fn require_unlocked(&self) -> Result<()> {
        match &self.venue {
            Venue::Thread { thread, .. }
                if thread.thread_metadata.locked && !self.permissions.contains(Permissions::MANAGE_THREADS) =>
            {
                let is_archived = thread.thread_metadata.archived;
                Err(if is_archived { ErrorCode::ArchivedThread } else { ErrorCode::ThreadLocked }.into())
            }
            _ => Ok(()),
        }
    }

    /// Refuses to change what is in an archived thread.
    pub fn require_awake(&self) -> Result<()> {
        match &self.venue {
            Venue::Thread { thread, .. } if thread.thread_metadata.archived => Err(ErrorCode::ArchivedThread.into()),
            _ => Ok(()),
        }
    }

    /// Slowmode for the caller: the pause between two messages, if they have to keep one.
    pub fn slowmode(&self) -> Option<Duration> {
        let seconds = match &self.venue {
            Venue::Guild { channel, .. } => channel.rate_limit_per_user,
            Venue::Private { .. } => 0,
            Venue::Thread { thread, .. } => thread.rate_limit_per_user,
        };
        let is_exempt = [Permissions::BYPASS_SLOWMODE, Permissions::MANAGE_MESSAGES, Permissions::MANAGE_CHANNELS]
            .into_iter()
            .any(|bit| self.permissions.contains(bit));
        (seconds > 0 && !is_exempt).then(|| Duration::from_secs(seconds.into()))
    }

    /// Those whom the caller can mention here.
    pub fn mentionable(&self) -> Mentionable<'_> {
        match &self.venue {
            Venue::Guild { guild, .. } => Mentionable::Guild(guild.state),
            Venue::Private { channel } => Mentionable::Private(&channel.recipients),
            Venue::Thread { guild, thread, .. } => Mentionable::Thread(guild.state, thread.parent_id),
        }
    }
}

impl App {
    /// Asks about a guild that the caller is a member of.
    pub async fn in_guild<R>(&self, caller: &Caller, id: GuildId, ask: impl FnOnce(Access) -> Result<R>) -> Result<R> {
        let now_ms = unix_ms();
        let answer = self
            .hub()
            .with_guild(id, |state| {
                let member = state.member(caller.id()).ok_or(ApiError::from(ErrorCode::MissingAccess))?;
                ask(Access { state, user: caller.id(), member, now_ms })
            })
            .await;
        answer.unwrap_or(Err(ErrorCode::UnknownGuild.into()))
    }

    /// Asks about a channel that the caller may see.
    pub async fn in_channel<R>(&self, caller: &Caller, id: ChannelId, ask: impl FnOnce(ChannelAccess) -> Result<R>) -> Result<R> {
        if self.hub().is_private(id).await {
            return self.in_private(caller, id, |_| Err(ErrorCode::NotInDms.into())).await;
        }
        let guild = self.hub().channel_guild(id).await.ok_or(ErrorCode::UnknownChannel)?;
        self.in_guild(caller, guild, |access| ask(access.channel(id)?)).await
    }

    /// Asks about a place that holds messages and that the caller may see.
    pub async fn in_text_channel<R>(
        &self,
        caller: &Caller,
        id: ChannelId,
        ask: impl FnOnce(TextAccess) -> Result<R>,
    ) -> Result<R> {
        if self.hub().is_private(id).await {
            let user = caller.id();
            let permissions = IN_PRIVATE;
            return self
                .in_private(caller, id, |channel| {
                    ask(TextAccess { user, channel_id: id, permissions, venue: Venue::Private { channel } })
                })
                .await;
        }
        let guild = self.hub().channel_guild(id).await.ok_or(ErrorCode::UnknownChannel)?;
        let asleep = self.archived_thread(caller, guild, id).await?;
        self.in_guild(caller, guild, |access| {
            let user = access.user;
            if access.state.channel(id).is_none() {
                let ThreadAccess { guild, thread, permissions, .. } = access.thread(id, asleep.as_ref())?;
                return ask(TextAccess { user, channel_id: id, permissions, venue: Venue::Thread { guild, thread } });
            }
            let ChannelAccess { guild, channel, permissions } = access.channel(id)?;
            if !channel.kind.holds_messages() {
                return Err(ErrorCode::NotATextChannel.into());
            }
            ask(TextAccess { user, channel_id: id, permissions, venue: Venue::Guild { guild, channel } })
        })
        .await
    }

    /// Asks about a thread that the caller may see.
    pub async fn in_thread<R>(&self, caller: &Caller, id: ChannelId, ask: impl FnOnce(ThreadAccess) -> Result<R>) -> Result<R> {
        let guild = self.hub().channel_guild(id).await.ok_or(ErrorCode::UnknownChannel)?;
        let asleep = self.archived_thread(caller, guild, id).await?;
        self.in_guild(caller, guild, |access| {
            if access.state.channel(id).is_some() {
                access.channel(id)?;
                return Err(ErrorCode::WrongChannelType.into());
            }
            ask(access.thread(id, asleep.as_ref())?)
        })
        .await
    }

    /// Whether it is a thread, archived or not.
    pub async fn is_thread(&self, id: ChannelId) -> bool {
        match self.hub().channel_guild(id).await {
            Some(guild) => !self.hub().with_guild(guild, |state| state.channel(id).is_some()).await.unwrap_or(true),
            None => false,
        }
    }

    /// What the store knows of a channel of the guild that is not in memory.
    async fn archived_thread(&self, caller: &Caller, guild: GuildId, id: ChannelId) -> Result<Option<FoundThread>> {
        let is_known = self.hub().with_guild(guild, |state| state.channel(id).is_some() || state.thread(id).is_some()).await;
        if is_known.unwrap_or(true) { Ok(None) } else { Ok(self.store().find_thread(id, caller.id()).await?) }
    }
}
