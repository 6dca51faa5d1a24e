//! The rules a second time, slowly: sets of bit names, one bit decided at a time, one sentence of the documentation per
//! statement. It shares nothing with the algebra but its input types, so a mistake must be made twice to go unseen.

use super::{Permissions, Standing};
use crate::model::{ChannelType, Overwrite, OverwriteKind};
use crate::{RoleId, Snowflake};
use std::collections::{BTreeMap, BTreeSet};

pub type Names = BTreeSet<&'static str>;

pub fn names(bits: Permissions) -> Names {
    Permissions::NAMES.iter().filter(|(_, bit)| bits.0 & bit.0 != 0).map(|(name, _)| *name).collect()
}

/// "Roles only": what the member holds before any channel is looked at.
fn base(standing: &Standing, roles: &BTreeMap<RoleId, Permissions>) -> Names {
    let everything: Names = Permissions::NAMES.iter().map(|(name, _)| *name).collect();
    if standing.user_id == standing.owner_id {
        return everything;
    }
    let mut held = Names::new();
    for (id, permissions) in roles {
        let is_everyone = id.0 == standing.guild_id.0;
        if is_everyone || standing.member_roles.iter().any(|role| role == id) {
            held.extend(names(*permissions));
        }
    }
    if held.contains("ADMINISTRATOR") { everything } else { held }
}

pub fn guild(standing: &Standing, roles: &BTreeMap<RoleId, Permissions>) -> Names {
    let held = base(standing, roles);
    if held.contains("ADMINISTRATOR") { held } else { after_timeout(standing, held) }
}

fn after_timeout(standing: &Standing, mut held: Names) -> Names {
    if standing.is_timed_out {
        held.retain(|name| ["VIEW_CHANNEL", "READ_MESSAGE_HISTORY"].contains(name));
    }
    held
}

/// The bits whose documented channel types are empty: an overwrite cannot speak of them.
const NOT_OF_A_CHANNEL: [&str; 12] = [
    "ADMINISTRATOR",
    "BAN_MEMBERS",
    "CHANGE_NICKNAME",
    "CREATE_GUILD_EXPRESSIONS",
    "KICK_MEMBERS",
    "MANAGE_GUILD",
    "MANAGE_GUILD_EXPRESSIONS",
    "MANAGE_NICKNAMES",
    "MODERATE_MEMBERS",
    "VIEW_AUDIT_LOG",
    "VIEW_CREATOR_MONETIZATION_ANALYTICS",
    "VIEW_GUILD_INSIGHTS",
];

pub fn channel(standing: &Standing, roles: &BTreeMap<RoleId, Permissions>, kind: ChannelType, overwrites: &[Overwrite]) -> Names {
    let base = base(standing, roles);
    if base.contains("ADMINISTRATOR") {
        return base;
    }
    let mut held: Names = Permissions::NAMES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| after_overwrites(standing, overwrites, name, base.contains(name)))
        .collect();

    // "Denying Send Messages also denies mentioning everyone, TTS, attaching and embedding."
    // In a thread that is Send Messages in Threads.
    let sending = if matches!(kind.number(), 10..=12) { "SEND_MESSAGES_IN_THREADS" } else { "SEND_MESSAGES" };
    if !held.contains(sending) {
        for name in ["MENTION_EVERYONE", "SEND_TTS_MESSAGES", "ATTACH_FILES", "EMBED_LINKS"] {
            held.remove(name);
        }
    }
    // "A member without Connect in a voice or stage channel has no other permission in it" but sees that it is there.
    if matches!(kind, ChannelType::Voice | ChannelType::Stage) && !held.contains("CONNECT") {
        held.retain(|name| *name == "VIEW_CHANNEL");
    }
    // "Denying View Channel denies everything."
    if !held.contains("VIEW_CHANNEL") {
        held.clear();
    }
    after_timeout(standing, held)
}

/// One bit on its way through the overwrites.
fn after_overwrites(standing: &Standing, overwrites: &[Overwrite], name: &str, mut held: bool) -> bool {
    if NOT_OF_A_CHANNEL.contains(&name) {
        return held;
    }
    let says = |kind: OverwriteKind, id: Snowflake, of: fn(&Overwrite) -> Permissions| {
        overwrites.iter().any(|o| o.kind == kind && o.id == id && names(of(o)).contains(name))
    };
    let everyone = standing.guild_id.0;
    let denied = |kind, id| says(kind, id, |overwrite| overwrite.deny);
    let allowed = |kind, id| says(kind, id, |overwrite| overwrite.allow);

    if denied(OverwriteKind::Role, everyone) {
        held = false;
    }
    if allowed(OverwriteKind::Role, everyone) {
        held = true;
    }
    let other_roles = || standing.member_roles.iter().map(|role| role.0).filter(|id| *id != everyone);
    if other_roles().any(|role| denied(OverwriteKind::Role, role)) {
        held = false;
    }
    if other_roles().any(|role| allowed(OverwriteKind::Role, role)) {
        held = true;
    }
    if denied(OverwriteKind::Member, standing.user_id.0) {
        held = false;
    }
    if allowed(OverwriteKind::Member, standing.user_id.0) {
        held = true;
    }
    held
}
