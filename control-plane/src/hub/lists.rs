//! The member list of a channel, as people's clients show it: by hoisted role, then who is online, then the rest.
//!
//! A pure value: made from a guild, cut into windows, and compared with what a client was sent before. The wire form is that
//! of GUILD_MEMBER_LIST_UPDATE; an index counts group headings as well as members.

use crate::guild::{State, Viewers};
use guildhall_protocol::model::{Channel, OverwriteKind};
use guildhall_protocol::{ChannelId, Permissions, RoleId, UserId};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Guilds with more members than this do not list who is offline, as Discord's do not.
pub const MAX_OFFLINE: usize = 1_000;
/// More changes than this are cheaper to read as a whole window.
const MAX_OPS: usize = 40;

/// A heading of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Role(RoleId),
    Online,
    Offline,
}

impl Group {
    pub fn id(self) -> String {
        match self {
            Self::Role(id) => id.to_string(),
            Self::Online => "online".to_owned(),
            Self::Offline => "offline".to_owned(),
        }
    }
}

/// A line of the list. Lines are ordered by these fields, so two states of a list can be merged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Index into [`List::groups`].
    pub group: usize,
    /// The name to sort by; the heading's is empty, and comes first.
    name: String,
    /// `None`: the heading.
    pub user: Option<UserId>,
}

/// A whole list at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Every group there could be, in order.
    pub groups: Vec<Group>,
    counts: Vec<usize>,
    lines: Vec<Line>,
    members: usize,
    online: usize,
}

/// Which channels share a list: all whose overwrites let the same people in.
pub fn list_id(state: &State, channel: &Channel) -> String {
    let view = Permissions::VIEW_CHANNEL;
    let mut deciding: Vec<String> = Vec::new();
    for overwrite in &channel.permission_overwrites {
        let kind = if overwrite.kind == OverwriteKind::Role { "role" } else { "member" };
        if overwrite.allow.contains(view) {
            deciding.push(format!("allow:{kind}:{}", overwrite.id));
        } else if overwrite.deny.contains(view) {
            deciding.push(format!("deny:{kind}:{}", overwrite.id));
        }
    }
    let may_all = state.role(state.id().everyone()).is_some_and(|role| role.permissions.contains(view));
    if deciding.is_empty() && may_all {
        return "everyone".to_owned();
    }
    deciding.sort();
    // FNV-1a: clients only ask whether two are equal.
    let hash = deciding
        .join(",")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash.to_string()
}

impl List {
    /// Who may view the channel, with `is_online` deciding where they stand.
    pub fn of(state: &State, channel: ChannelId, is_online: impl Fn(UserId) -> bool) -> Self {
        let mut hoisted: Vec<_> =
            state.guild().roles.iter().filter(|role| role.hoist && role.id != state.id().everyone()).collect();
        hoisted.sort_by_key(|role| (std::cmp::Reverse(role.position), role.id));
        let mut groups: Vec<Group> = hoisted.iter().map(|role| Group::Role(role.id)).collect();
        let (online_group, offline_group) = (groups.len(), groups.len() + 1);
        groups.extend([Group::Online, Group::Offline]);
        let rank: HashMap<RoleId, usize> = hoisted.iter().enumerate().map(|(rank, role)| (role.id, rank)).collect();
        let lists_offline = state.member_count() <= MAX_OFFLINE;
        let mut viewers = Viewers::of(state, channel, Permissions::VIEW_CHANNEL);
        let mut list = Self { counts: vec![0; groups.len()], groups, lines: Vec::new(), members: 0, online: 0 };
        for member in state.members().filter(|member| viewers.include(member.user.id)) {
            list.members += 1;
            let group = if is_online(member.user.id) {
                list.online += 1;
                member.roles.iter().filter_map(|role| rank.get(role)).min().copied().unwrap_or(online_group)
            } else {
                offline_group
            };
            list.counts[group] += 1;
            if group != offline_group || lists_offline {
                let name = member.nick.as_ref().or(member.user.global_name.as_ref()).unwrap_or(&member.user.username);
                list.lines.push(Line { group, name: name.to_lowercase(), user: Some(member.user.id) });
            }
        }
        for group in 0..list.groups.len() {
            if list.counts[group] > 0 && (group != offline_group || lists_offline) {
                list.lines.push(Line { group, name: String::new(), user: None });
            }
        }
        list.lines.sort_unstable();
        list
    }

    /// The lines of a range, both ends included.
    pub fn window(&self, (first, last): (usize, usize)) -> &[Line] {
        let end = self.lines.len().min(last + 1);
        &self.lines[first.min(end)..end]
    }

    /// What GUILD_MEMBER_LIST_UPDATE says next to its operations.
    pub fn summary(&self) -> Value {
        let groups = self.groups.iter().zip(&self.counts).filter(|(_, count)| **count > 0);
        let groups: Vec<Value> = groups.map(|(group, count)| json!({ "id": group.id(), "count": count })).collect();
        json!({ "member_count": self.members, "online_count": self.online, "groups": groups })
    }
}

/// One change of a window, with an index that counts from the list's beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Insert(usize, Line),
    Update(usize, Line),
    Delete(usize),
}

/// A line with a hash of what it showed.
pub type Shown = (Line, u64);

/// What turns one state of a window into the next, to be done in this order; `None`: too much to say one by one. Both are in
/// the order of their lines and begin at index `first`.
pub fn changes(first: usize, before: &[Shown], after: &[Shown]) -> Option<Vec<Op>> {
    let (mut deletes, mut rest) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (0, 0);
    while old < before.len() || new < after.len() {
        let order = match (before.get(old), after.get(new)) {
            (Some(left), Some(right)) => left.0.cmp(&right.0),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, _) => std::cmp::Ordering::Greater,
        };
        match order {
            std::cmp::Ordering::Less => {
                deletes.push(Op::Delete(first + old));
                old += 1;
            }
            std::cmp::Ordering::Greater => {
                rest.push(Op::Insert(first + new, after[new].0.clone()));
                new += 1;
            }
            std::cmp::Ordering::Equal => {
                if before[old].1 != after[new].1 {
                    rest.push(Op::Update(first + new, after[new].0.clone()));
                }
                old += 1;
                new += 1;
            }
        }
        if deletes.len() + rest.len() > MAX_OPS {
            return None;
        }
    }
    // From the end, so that each index still means what it did before. Then what comes is put where it stays.
    deletes.reverse();
    deletes.extend(rest);
    Some(deletes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, RngExt, SeedableRng};

    fn window(random: &mut impl Rng, count: usize) -> Vec<Shown> {
        let mut lines: Vec<Shown> = (0..count)
            .map(|_| {
                let id: u64 = random.random_range(1..30);
                (
                    Line { group: (id % 3) as usize, name: format!("n{}", id % 7), user: Some(UserId::new(id)) },
                    random.random_range(0..2),
                )
            })
            .collect();
        lines.sort();
        lines.dedup_by_key(|shown| shown.0.clone());
        lines
    }

    #[test]
    fn the_changes_make_one_window_of_the_other() {
        for seed in 0..2_000 {
            let mut random = SmallRng::seed_from_u64(seed);
            let (left, right) = (random.random_range(0..20), random.random_range(0..20));
            let (before, after) = (window(&mut random, left), window(&mut random, right));
            let mut at_client: Vec<Shown> = before.clone();
            for op in changes(100, &before, &after).expect("few lines") {
                match op {
                    Op::Delete(index) => drop(at_client.remove(index - 100)),
                    Op::Insert(index, line) => at_client.insert(index - 100, (line, 7)),
                    Op::Update(index, line) => at_client[index - 100] = (line, 7),
                }
            }
            let lines = |shown: &[Shown]| shown.iter().map(|shown| shown.0.clone()).collect::<Vec<_>>();
            assert_eq!(lines(&at_client), lines(&after), "seed {seed}");
            let is_new = |shown: &&Shown| !before.contains(shown);
            let told = at_client.iter().filter(|shown| shown.1 == 7).count();
            assert_eq!(told, after.iter().filter(is_new).count(), "seed {seed}: nothing is told that did not change");
        }
    }

    #[test]
    fn a_window_that_changed_altogether_is_sent_whole() {
        let lines = |from: u64| -> Vec<Shown> {
            (from..from + 100).map(|id| (Line { group: 0, name: format!("{id:04}"), user: Some(UserId::new(id)) }, 0)).collect()
        };
        assert_eq!(changes(0, &lines(1), &lines(1_000)), None);
        assert_eq!(changes(0, &lines(1), &lines(1)), Some(Vec::new()));
    }
}
