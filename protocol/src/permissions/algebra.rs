//! Who may do what: the one place that turns roles and overwrites into permissions (COMPAT §10.2).
//!
//! Guild permissions answer for actions on the guild itself; channel permissions answer for everything in a channel and are
//! not a subset of them, since an overwrite may add bits. Handlers, fan-out and voice all ask here.

use super::Permissions;
use crate::model::{ChannelType, Overwrite, OverwriteKind};
use crate::{GuildId, RoleId, UserId};

/// What a role may give but an overwrite may not: these bits say nothing about one channel. Without this rule an overwrite
/// with ADMINISTRATOR would make everyone who may edit overwrites an administrator there.
pub const GUILD_WIDE: Permissions = Permissions(
    Permissions::ADMINISTRATOR.0
        | Permissions::KICK_MEMBERS.0
        | Permissions::BAN_MEMBERS.0
        | Permissions::MANAGE_GUILD.0
        | Permissions::VIEW_AUDIT_LOG.0
        | Permissions::VIEW_GUILD_INSIGHTS.0
        | Permissions::CHANGE_NICKNAME.0
        | Permissions::MANAGE_NICKNAMES.0
        | Permissions::MANAGE_GUILD_EXPRESSIONS.0
        | Permissions::CREATE_GUILD_EXPRESSIONS.0
        | Permissions::MODERATE_MEMBERS.0
        | Permissions::VIEW_CREATOR_MONETIZATION_ANALYTICS.0,
);

/// What is left to a member who is timed out.
pub const DURING_TIMEOUT: Permissions = Permissions(Permissions::VIEW_CHANNEL.0 | Permissions::READ_MESSAGE_HISTORY.0);

/// What makes no sense for someone who may not send.
const NEEDS_SENDING: Permissions = Permissions(
    Permissions::MENTION_EVERYONE.0 | Permissions::SEND_TTS_MESSAGES.0 | Permissions::ATTACH_FILES.0 | Permissions::EMBED_LINKS.0,
);

/// One member's place in a guild.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    pub guild_id: GuildId,
    pub owner_id: UserId,
    pub user_id: UserId,
    /// Role ids without `@everyone`.
    pub member_roles: &'a [RoleId],
    /// Whether `communication_disabled_until` lies in the future: the caller has the clock.
    pub is_timed_out: bool,
}

impl Standing<'_> {
    pub fn is_owner(&self) -> bool {
        self.user_id == self.owner_id
    }

    fn has_role(&self, id: RoleId) -> bool {
        self.member_roles.contains(&id)
    }
}

/// What the member may do in the guild as a whole.
///
/// `role_permissions` knows `@everyone` (by the guild's id) and every other role; an unknown role counts for nothing.
pub fn guild_permissions(standing: &Standing, role_permissions: impl Fn(RoleId) -> Option<Permissions>) -> Permissions {
    let base = base(standing, role_permissions);
    if standing.is_timed_out && !base.contains(Permissions::ADMINISTRATOR) { base & DURING_TIMEOUT } else { base }
}

/// What the member may do in one channel (in a thread: with the overwrites of its parent), with everything that a missing permission takes along.
pub fn channel_permissions(
    standing: &Standing,
    role_permissions: impl Fn(RoleId) -> Option<Permissions>,
    kind: ChannelType,
    overwrites: &[Overwrite],
) -> Permissions {
    let base = base(standing, role_permissions);
    if base.contains(Permissions::ADMINISTRATOR) {
        return Permissions::ALL;
    }
    let granted = without_implicit_denials(overwritten(standing, base, overwrites), kind);
    // A timeout comes last: an overwrite must not undo it, and who may CONNECT may still read a voice channel's chat.
    if standing.is_timed_out { granted & DURING_TIMEOUT } else { granted }
}

/// Roles only. The owner and administrators hold every documented bit; nobody holds an undocumented one.
fn base(standing: &Standing, role_permissions: impl Fn(RoleId) -> Option<Permissions>) -> Permissions {
    if standing.is_owner() {
        return Permissions::ALL;
    }
    let everyone = role_permissions(standing.guild_id.everyone()).unwrap_or(Permissions::NONE);
    let held = standing.member_roles.iter().filter_map(|&role| role_permissions(role)).fold(everyone, Permissions::union);
    if held.contains(Permissions::ADMINISTRATOR) { Permissions::ALL } else { held.known() }
}

/// `@everyone`'s overwrite first, then all of the member's roles at once (so that their order cannot matter and an allow
/// beats a deny), then the member's own.
fn overwritten(standing: &Standing, base: Permissions, overwrites: &[Overwrite]) -> Permissions {
    let everyone = standing.guild_id.everyone();
    let of_everyone = |overwrite: &Overwrite| overwrite.kind == OverwriteKind::Role && RoleId(overwrite.id) == everyone;
    let of_roles = |overwrite: &Overwrite| {
        overwrite.kind == OverwriteKind::Role && !of_everyone(overwrite) && standing.has_role(RoleId(overwrite.id))
    };
    let of_member = |overwrite: &Overwrite| overwrite.kind == OverwriteKind::Member && UserId(overwrite.id) == standing.user_id;

    let granted = apply(base, overwrites, of_everyone);
    let granted = apply(granted, overwrites, of_roles);
    apply(granted, overwrites, of_member)
}

fn apply(granted: Permissions, overwrites: &[Overwrite], concerns: impl Fn(&Overwrite) -> bool) -> Permissions {
    let (mut allow, mut deny) = (Permissions::NONE, Permissions::NONE);
    for overwrite in overwrites.iter().filter(|overwrite| concerns(overwrite)) {
        allow = allow | overwrite.allow;
        deny = deny | overwrite.deny;
    }
    let channel_bits = |bits: Permissions| bits.known().without(GUILD_WIDE);
    granted.without(channel_bits(deny)) | channel_bits(allow)
}

fn without_implicit_denials(granted: Permissions, kind: ChannelType) -> Permissions {
    if !granted.contains(Permissions::VIEW_CHANNEL) {
        return Permissions::NONE;
    }
    if kind.is_voice() && !granted.contains(Permissions::CONNECT) {
        // The channel is listed, and that is all: its chat, its settings and its members' moderation need CONNECT.
        return Permissions::VIEW_CHANNEL;
    }
    let sending = if kind.is_thread() { Permissions::SEND_MESSAGES_IN_THREADS } else { Permissions::SEND_MESSAGES };
    if granted.contains(sending) { granted } else { granted.without(NEEDS_SENDING) }
}
