//! Who may act on whom, and which bits a member may hand out (COMPAT §10.2, "Hierarchy").
//!
//! A permission such as KICK_MEMBERS says that someone may kick; the rank says whom. Both are needed.

use super::{GUILD_WIDE, Permissions, Standing};
use crate::model::{Overwrite, OverwriteKind};
use crate::{GuildId, RoleId, UserId};
use std::cmp::Reverse;

/// How high a member or a role stands; the derived order is the hierarchy, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A member without roles, and the `@everyone` role. Below every other role, whatever its position.
    Everyone,
    /// Two roles may share a position for a moment (libraries reorder in steps): then the older one, with the lower id, is
    /// higher, as clients show it.
    Role {
        position: i32,
        id: Reverse<RoleId>,
    },
    Owner,
}

impl Rank {
    pub fn of_role(guild_id: GuildId, role: RoleId, position: i32) -> Self {
        if role == guild_id.everyone() { Self::Everyone } else { Self::Role { position, id: Reverse(role) } }
    }

    /// A member's rank is that of their highest role. `role_position` is `None` for a role that does not exist.
    pub fn of_member(standing: &Standing, role_position: impl Fn(RoleId) -> Option<i32>) -> Self {
        if standing.is_owner() {
            return Self::Owner;
        }
        let ranks =
            standing.member_roles.iter().filter_map(|&role| Some(Self::of_role(standing.guild_id, role, role_position(role)?)));
        ranks.max().unwrap_or(Self::Everyone)
    }

    /// Kick, ban, rename, time out, or edit, sort and assign a role: only strictly below oneself.
    pub fn can_act_on(self, target: Self) -> bool {
        self > target
    }
}

/// Whether someone who holds `held` in the guild may change a role's permissions so: only bits that they hold may be switched,
/// on or off. Bits that stay as they are do not matter, so a moderator can rename a role that holds more than they do.
pub fn may_change_role(held: Permissions, before: Permissions, after: Permissions) -> bool {
    held.contains((before ^ after).known())
}

/// Whether someone who holds `held` in the channel may change one of its overwrites so (`None`: it does not exist, or is
/// removed). Who was handed MANAGE_ROLES by an overwrite of this very channel rules it and may switch any bit; guild-wide
/// bits have no effect in an overwrite and are not looked at.
pub fn may_change_overwrite(
    standing: &Standing,
    held: Permissions,
    overwrites: &[Overwrite],
    before: Option<&Overwrite>,
    after: Option<&Overwrite>,
) -> bool {
    if !held.contains(Permissions::MANAGE_ROLES) {
        return false;
    }
    let bits = |overwrite: Option<&Overwrite>| {
        overwrite.map_or((Permissions::NONE, Permissions::NONE), |overwrite| (overwrite.allow, overwrite.deny))
    };
    let ((old_allow, old_deny), (new_allow, new_deny)) = (bits(before), bits(after));
    let changed = ((old_allow ^ new_allow) | (old_deny ^ new_deny)).known().without(GUILD_WIDE);
    held.contains(changed) || overwrites.iter().any(|overwrite| hands_over_the_channel(standing, overwrite))
}

fn hands_over_the_channel(standing: &Standing, overwrite: &Overwrite) -> bool {
    let concerns_actor = match overwrite.kind {
        OverwriteKind::Member => UserId(overwrite.id) == standing.user_id,
        OverwriteKind::Role => {
            let role = RoleId(overwrite.id);
            role == standing.guild_id.everyone() || standing.member_roles.contains(&role)
        }
    };
    concerns_actor && overwrite.allow.contains(Permissions::MANAGE_ROLES)
}
