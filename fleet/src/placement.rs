//! Which node takes a room, and why no other.
//!
//! [`place`] is a pure function of measured facts. The region is best for the **group**: the one whose farthest member is
//! nearest, then the one with the lowest mean, so that the first to join does not choose for all. A room that lives stays
//! where it is unless moving saves its farthest member a noticeable time, its node goes away, or its node has no room left.
//! Within a region two nodes are drawn and the less loaded takes the room: always taking the least loaded sends everyone of
//! the same second to the same node.

use crate::Millis;
use crate::node::{Node, NodeId, State};
use crate::region::{Reach, RegionId};
use guildhall_protocol::ChannelId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

#[cfg(test)]
mod tests;

/// What is added for a member that knows other regions but not this one: farther than the farthest that it measured.
const UNMEASURED_MS: u16 = 50;

/// By how much less an estimated distance counts than a measured one. Estimates are wrong by a third for many, and those of whom
/// there are only estimates are mostly bots, in data centres of their own choice: they must not draw a call across an ocean, but
/// decide where nobody else does. It also makes a move for their sake worth it only when it saves them twice as much.
const ESTIMATED_DIVISOR: u16 = 2;

/// Nodes of which a decision says why they were not taken; of more it says how many. Far more than one region has.
const MAX_AGAINST: usize = 64;

/// When a node is taken, kept and left.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Expected busy share from which on a node takes no new room.
    pub admit_busy: f32,
    /// … and from which on it takes nobody any more, not even into rooms that it has.
    pub keep_busy: f32,
    /// Share of its network's capacity that a node may use before it takes no new room.
    pub admit_egress: f32,
    /// A node whose packets wait longer than this takes no new room, whatever its busy share says.
    pub admit_forward_p99_us: u32,
    /// Silence after which a node counts as lost: four heartbeats. Shorter, and a machine that is busy for a moment loses
    /// all its rooms.
    pub lost_after_ms: Millis,
    /// What a move must save the farthest member, at least.
    pub hysteresis_ms: u16,
    /// How long a room stays where it was put before a better region may draw it away.
    pub settle_ms: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            admit_busy: 0.80,
            keep_busy: 0.95,
            admit_egress: 0.80,
            admit_forward_p99_us: 5_000,
            lost_after_ms: 2_000,
            hysteresis_ms: 20,
            settle_ms: 120_000,
        }
    }
}

/// A room that wants a place, now.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    pub room: ChannelId,
    /// Everyone in it, whoever joins included.
    pub members: &'a [Reach],
    /// The channel's own region (`rtc_region`).
    pub wish: Option<&'a RegionId>,
    /// Where it lives.
    pub current: Option<&'a Current>,
    /// Where a room goes of whose members nothing is known.
    pub default_region: Option<&'a RegionId>,
    /// Versions of nodes that this control plane speaks with.
    pub versions: RangeInclusive<u16>,
    /// A random number of the caller's.
    pub draw: u64,
}

/// Where a room lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    pub node: NodeId,
    pub since: Millis,
}

/// The answer, with all that it was made from: it is stored, and shown to operators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub room: ChannelId,
    pub at: Millis,
    pub outcome: Outcome,
    pub because: Because,
    /// No node had headroom, and the one that it was bears more for a while.
    #[serde(default)]
    pub is_strained: bool,
    /// How many members' distances are known, of how many.
    pub known_members: u32,
    /// Those of them whose distances are estimated from their addresses.
    #[serde(default)]
    pub estimated_members: u32,
    pub members: u32,
    /// Every region that could serve, the best first.
    pub regions: Vec<RegionView>,
    /// The nodes that were not taken, and why not.
    pub against: Vec<(NodeId, Against)>,
    /// Nodes that found no place in `against`.
    pub unlisted: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Stays on its node.
    Keep { node: NodeId },
    /// Lived nowhere.
    Place { node: NodeId },
    /// Lives elsewhere and is to go.
    Move { from: NodeId, to: NodeId },
    /// Nobody has room. What the client is told: the voice channel cannot be joined at the moment.
    Refuse,
}

/// Why the outcome is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Because {
    /// An operator wants it there.
    Asked,
    /// The channel's own region.
    Wished,
    /// The channel's own region has no room; this is the best of the others.
    WishUnavailable,
    /// Least worst member.
    NearestToAll,
    /// Nothing is known of the members.
    DefaultRegion,
    /// Nothing is known of the members, and the default region has no room or does not exist.
    LeastLoaded,
    /// Where it lives is as good, or not worse by enough, or it has not been there for long.
    Settled,
    /// The node that had it is gone, being emptied, failing, or of a version that is not spoken any more.
    NodeUnfit,
    /// The node that has it is full, and another is not.
    NodeFull,
    /// The node that has it has too much to do for long, and another has headroom.
    Relieved,
    /// No node takes anybody.
    NoHeadroom,
}

/// One region as this room sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionView {
    pub region: RegionId,
    /// Round-trip time of the farthest member and the mean of all, of those that are known. Estimated times count half.
    pub worst_ms: u16,
    pub mean_ms: u16,
    /// Nodes that would take the room.
    pub admitted: u32,
}

/// Why a node was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Against {
    Lost {
        silent_ms: Millis,
    },
    Cordoned,
    Draining,
    Failing,
    Version {
        speaks: u16,
    },
    Busy {
        expected: f32,
    },
    NetworkFull {
        share: f32,
    },
    SlowForwarding {
        p99_us: u32,
    },
    /// It would take the room, but its region is not the best.
    Farther {
        worst_ms: u16,
    },
    /// In the right region, but not one of the two that were drawn.
    NotDrawn,
    /// Drawn, but the other one is less busy.
    Busier {
        expected: f32,
    },
}

/// What a node may have to do once it has taken a room of one that is to be relieved: so little that it is not the next.
const RELIEVING_BUSY: f32 = 0.70;

/// Share of its network's capacity that a node may use before it takes nobody at all.
const STRAINED_EGRESS: f32 = 0.95;

impl Limits {
    /// For when nobody has headroom: a call with some strain is better than none, as long as a node does not break by it. One
    /// late packet among a hundred is a reason to go elsewhere, and no reason to go nowhere.
    fn strained(&self) -> Limits {
        let admit_egress = self.admit_egress.max(STRAINED_EGRESS);
        Limits { admit_busy: self.admit_busy.max(self.keep_busy), admit_egress, admit_forward_p99_us: u32::MAX, ..*self }
    }

    /// Whether the node takes a new room: its expected busy share, or what speaks against it.
    fn admits(&self, now: Millis, node: &Node, versions: &RangeInclusive<u16>) -> Result<f32, Against> {
        self.is_fit(now, node, versions)?;
        let expected = node.expected_busy(now);
        let share = node.egress_share();
        match node.state {
            State::Cordoned => Err(Against::Cordoned),
            _ if expected >= self.admit_busy => Err(Against::Busy { expected }),
            _ if share >= self.admit_egress => Err(Against::NetworkFull { share }),
            _ if node.load.forward_p99_us > self.admit_forward_p99_us => {
                Err(Against::SlowForwarding { p99_us: node.load.forward_p99_us })
            }
            _ => Ok(expected),
        }
    }

    /// Whether rooms may live on the node at all.
    fn is_fit(&self, now: Millis, node: &Node, versions: &RangeInclusive<u16>) -> Result<(), Against> {
        let silent_ms = now.saturating_sub(node.heard);
        if silent_ms >= self.lost_after_ms {
            return Err(Against::Lost { silent_ms });
        }
        if matches!(node.state, State::Draining { .. }) {
            return Err(Against::Draining);
        }
        if now < node.failing_until {
            return Err(Against::Failing);
        }
        if !versions.contains(&node.hello.version) {
            return Err(Against::Version { speaks: node.hello.version });
        }
        Ok(())
    }
}

/// The node for a room. `nodes` are all that are known, in any order; the same facts and draw give the same decision.
pub fn place<'a>(now: Millis, limits: &Limits, nodes: impl IntoIterator<Item = &'a Node>, query: &Query) -> Decision {
    let mut nodes: Vec<&Node> = nodes.into_iter().collect();
    // A registry's nodes come in this order already.
    if !nodes.is_sorted_by(|a, b| a.hello.id <= b.hello.id) {
        nodes.sort_by(|a, b| a.hello.id.cmp(&b.hello.id));
    }
    let decision = decide(now, limits, &nodes, query);
    // Also what must leave its node, which would keep it otherwise: one that is being emptied will be gone.
    if decision.because != Because::NoHeadroom {
        return decision;
    }
    let strained = decide(now, &limits.strained(), &nodes, query);
    if strained.because == Because::NoHeadroom { decision } else { Decision { is_strained: true, ..strained } }
}

/// Another node for a room of `people` whose own has too much to do: one that has headroom with it, and is not noticeably farther
/// from them. `None`: there is none, and the room stays.
pub fn relieve<'a>(
    now: Millis,
    limits: &Limits,
    nodes: impl IntoIterator<Item = &'a Node>,
    query: &Query,
    people: u32,
) -> Option<Decision> {
    let current = query.current?;
    let (home, others): (Vec<&Node>, Vec<&Node>) = nodes.into_iter().partition(|node| node.hello.id == current.node);
    let home = *home.first()?;
    let admit_busy = RELIEVING_BUSY - people as f32 * home.peer_cost();
    // As if the other had a network like this one's.
    let admit_egress = RELIEVING_BUSY - people as f32 * home.egress_share() / home.load.peers.max(1) as f32;
    let limits = Limits { admit_busy, admit_egress, ..*limits };
    let is_known = query.members.iter().any(Reach::is_known);
    // Without distances, only its own region is as near.
    let wish = query.wish.or(if is_known { None } else { Some(&home.hello.region) });
    let decision = decide(now, &limits, &others, &Query { current: None, wish, versions: query.versions.clone(), ..*query });
    let Outcome::Place { node: to } = &decision.outcome else { return None };
    let region = others.iter().find(|node| node.hello.id == *to).map(|node| &node.hello.region)?;
    let is_near = || {
        let worst = |region| distance(region, query.members).0;
        is_known && wish != Some(&home.hello.region) && worst(region) < worst(&home.hello.region) + limits.hysteresis_ms
    };
    if *region != home.hello.region && !is_near() {
        return None;
    }
    let outcome = Outcome::Move { from: current.node.clone(), to: to.clone() };
    Some(Decision { outcome, because: Because::Relieved, ..decision })
}

fn decide(now: Millis, limits: &Limits, nodes: &[&Node], query: &Query) -> Decision {
    let standings: Vec<(&Node, Result<f32, Against>)> =
        nodes.iter().map(|&node| (node, limits.admits(now, node, &query.versions))).collect();
    let regions = view_regions(&standings, query.members);
    let known = query.members.iter().filter(|reach| reach.is_known()).count();
    let estimated = query.members.iter().filter(|reach| reach.is_estimated()).count();
    let (best, because) = choose_region(&regions, &standings, query, known > 0);

    let (outcome, because) = match (query.current, best) {
        (Some(current), best) => stay_or_go(now, limits, current, best.zip(Some(because)), &standings, &regions, query),
        (None, Some(best)) => (Outcome::Place { node: draw_node(best, &standings, query.draw) }, because),
        (None, None) => (Outcome::Refuse, Because::NoHeadroom),
    };
    let (against, unlisted) = speak_against(&outcome, best, &standings, &regions, query.draw);
    Decision {
        room: query.room,
        at: now,
        outcome,
        because,
        is_strained: false,
        known_members: known as u32,
        estimated_members: estimated as u32,
        members: query.members.len() as u32,
        regions,
        against,
        unlisted,
    }
}

/// Regions with at least one node that takes the room, and the region of the node that has it; the nearest to all first.
fn view_regions(standings: &[(&Node, Result<f32, Against>)], members: &[Reach]) -> Vec<RegionView> {
    let mut admitted: BTreeMap<&RegionId, u32> = BTreeMap::new();
    for (node, standing) in standings {
        *admitted.entry(&node.hello.region).or_default() += u32::from(standing.is_ok());
    }
    let mut views: Vec<RegionView> = admitted
        .into_iter()
        .map(|(region, admitted)| {
            let (worst_ms, mean_ms) = distance(region, members);
            RegionView { region: region.clone(), worst_ms, mean_ms, admitted }
        })
        .collect();
    views.sort_by(|a, b| (a.worst_ms, a.mean_ms, &a.region).cmp(&(b.worst_ms, b.mean_ms, &b.region)));
    views
}

/// Worst and mean over the members of whom anything is known; zeros when there are none.
fn distance(region: &RegionId, members: &[Reach]) -> (u16, u16) {
    let (mut worst, mut sum, mut count) = (0, 0, 0);
    for reach in members {
        let Some(farthest) = reach.farthest() else { continue };
        let rtt_ms = reach.to(region).unwrap_or(farthest + UNMEASURED_MS);
        let rtt_ms = if reach.is_estimated() { rtt_ms.div_ceil(ESTIMATED_DIVISOR) } else { rtt_ms };
        worst = worst.max(rtt_ms);
        sum += u32::from(rtt_ms);
        count += 1;
    }
    (worst, sum.checked_div(count).unwrap_or(0) as u16)
}

/// The region that a new room would go to.
fn choose_region<'a>(
    regions: &'a [RegionView],
    standings: &[(&Node, Result<f32, Against>)],
    query: &Query,
    is_anyone_known: bool,
) -> (Option<&'a RegionId>, Because) {
    let takes = |name: &RegionId| regions.iter().find(|view| view.region == *name && view.admitted > 0);
    if let Some(wish) = query.wish.and_then(takes) {
        return (Some(&wish.region), Because::Wished);
    }
    let (found, because) = if is_anyone_known {
        (regions.iter().find(|view| view.admitted > 0).map(|view| &view.region), Because::NearestToAll)
    } else if let Some(default) = query.default_region.and_then(takes) {
        (Some(&default.region), Because::DefaultRegion)
    } else {
        let least = standings.iter().filter_map(|(node, standing)| Some((node, standing.ok()?)));
        let least = least.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(node, _)| &node.hello.region);
        (least.and_then(takes).map(|view| &view.region), Because::LeastLoaded)
    };
    (found, if query.wish.is_some() { Because::WishUnavailable } else { because })
}

/// A room that lives somewhere: it stays if it can and nothing is much better.
fn stay_or_go(
    now: Millis,
    limits: &Limits,
    current: &Current,
    best: Option<(&RegionId, Because)>,
    standings: &[(&Node, Result<f32, Against>)],
    regions: &[RegionView],
    query: &Query,
) -> (Outcome, Because) {
    let keep = |because| (Outcome::Keep { node: current.node.clone() }, because);
    let go = |region: &RegionId, because| {
        let to = draw_node(region, standings, query.draw);
        (Outcome::Move { from: current.node.clone(), to }, because)
    };
    let home = standings.iter().map(|(node, _)| *node).find(|node| node.hello.id == current.node);
    let Some(home) = home.filter(|home| limits.is_fit(now, home, &query.versions).is_ok()) else {
        // A node that is only being emptied keeps what nobody else can take; a lost one keeps nothing.
        let is_alive = home.is_some_and(|home| now.saturating_sub(home.heard) < limits.lost_after_ms);
        return match best {
            Some((region, _)) => go(region, Because::NodeUnfit),
            None if is_alive => keep(Because::NoHeadroom),
            None => (Outcome::Refuse, Because::NoHeadroom),
        };
    };
    if home.expected_busy(now) >= limits.keep_busy {
        return match best {
            Some((region, _)) => go(region, Because::NodeFull),
            None => (Outcome::Refuse, Because::NoHeadroom),
        };
    }
    let Some((region, because)) = best else { return keep(Because::Settled) };
    let is_settling = now.saturating_sub(current.since) < limits.settle_ms;
    if *region == home.hello.region || is_settling {
        return keep(Because::Settled);
    }
    let worst = |name: &RegionId| regions.iter().find(|view| view.region == *name).map_or(0, |view| view.worst_ms);
    let saves = worst(&home.hello.region).saturating_sub(worst(region));
    match because {
        Because::Wished => go(region, because),
        Because::NearestToAll if saves >= limits.hysteresis_ms && query.wish != Some(&home.hello.region) => go(region, because),
        _ => keep(Because::Settled),
    }
}

/// The less busy of two drawn nodes of the region. The caller knows that one takes the room.
fn draw_node(region: &RegionId, standings: &[(&Node, Result<f32, Against>)], draw: u64) -> NodeId {
    let [first, second] = drawn(region, standings, draw);
    let (node, _) = if second.1 < first.1 { second } else { first };
    node.hello.id.clone()
}

/// Two of the region's nodes that take the room, the same one twice when there is only one.
fn drawn<'a>(region: &RegionId, standings: &[(&'a Node, Result<f32, Against>)], draw: u64) -> [(&'a Node, f32); 2] {
    let takers: Vec<(&Node, f32)> = standings
        .iter()
        .filter(|(node, _)| node.hello.region == *region)
        .filter_map(|(node, standing)| Some((*node, standing.ok()?)))
        .collect();
    let count = takers.len() as u64;
    let first = draw % count;
    // Another than the first, when there is one.
    let second = if count > 1 { (first + 1 + (draw >> 32) % (count - 1)) % count } else { first };
    [takers[first as usize], takers[second as usize]]
}

fn speak_against(
    outcome: &Outcome,
    best: Option<&RegionId>,
    standings: &[(&Node, Result<f32, Against>)],
    regions: &[RegionView],
    draw: u64,
) -> (Vec<(NodeId, Against)>, u32) {
    let chosen = match outcome {
        Outcome::Keep { node } | Outcome::Place { node } => Some(node),
        Outcome::Move { to, .. } => Some(to),
        Outcome::Refuse => None,
    };
    let pair = best.map(|region| drawn(region, standings, draw));
    let mut against: Vec<(NodeId, Against)> = Vec::new();
    for (node, standing) in standings.iter().filter(|(node, _)| Some(&node.hello.id) != chosen) {
        let reason = match standing {
            Err(reason) => *reason,
            Ok(_) if best != Some(&node.hello.region) => {
                let view = regions.iter().find(|view| view.region == node.hello.region);
                Against::Farther { worst_ms: view.map_or(0, |view| view.worst_ms) }
            }
            Ok(expected) if pair.is_some_and(|pair| pair.iter().any(|(drawn, _)| drawn.hello.id == node.hello.id)) => {
                Against::Busier { expected: *expected }
            }
            Ok(_) => Against::NotDrawn,
        };
        against.push((node.hello.id.clone(), reason));
    }
    // The surprising reasons first: that a node is far away needs no explanation.
    against.sort_by_key(|(_, reason)| matches!(reason, Against::Farther { .. } | Against::NotDrawn));
    let unlisted = against.len().saturating_sub(MAX_AGAINST);
    against.truncate(MAX_AGAINST);
    (against, unlisted as u32)
}
