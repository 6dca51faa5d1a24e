//! Rooms leave a node that has too much to do, slowly: the last rung of what is done about overload.
//!
//! A busy node takes no new rooms ([`crate::placement::Limits::admit_busy`]). When it goes on growing all the same, because rooms grow that
//! it has, one room after another goes to a node with headroom, the smallest first: fewest people notice. Calls go on
//! meanwhile; the audio of nobody is touched.
//!
//! Nothing swings: a node is relieved from [`STRAINED_FROM`] on until it is below [`RELIEVED_BELOW`], others take rooms only while
//! they stay far below that ([`crate::placement::relieve`]), and a room that was moved stays for a while. Where it does not help,
//! because it is one large room that keeps one thread busy, it ends before all the others have gone.

use crate::Millis;
use crate::node::{Node, NodeId};
use guildhall_protocol::ChannelId;
use std::collections::BTreeMap;

/// The share of its processor or network from which on a node is relieved: above what it admits, below what it refuses people at.
pub const STRAINED_FROM: f32 = 0.90;

/// … and below which that ends: it takes new rooms then.
pub const RELIEVED_BELOW: f32 = 0.80;

/// How long a node must be strained before anything moves. Many who join at once are soon cheaper.
const STRAINED_FOR_MS: Millis = 10_000;

/// Between two rooms, for each control plane: people have moved by then, and the nodes' reports show it.
const STEP_MS: Millis = 5_000;

/// What the rooms that left a node cost it together, as a share of the busiest worker, when it is looked at whether that helped …
const TELLING: f32 = 0.04;

/// … and how much of that must be seen. They are not all on the busiest worker, and others join meanwhile.
const SEEN: f32 = 0.25;

/// How long nothing leaves a node that this did not help.
const PAUSE_MS: Millis = 120_000;

/// How long a room that was moved is left alone.
const REST_MS: Millis = 600_000;

/// Rooms that rest. One goes in [`STEP_MS`], so there are fewer.
const MAX_RESTING: usize = 1_024;

/// The machine that says which node is to be relieved, and when.
#[derive(Debug, Default)]
pub struct Relief {
    /// Nodes that are strained, or were and are not relieved yet.
    strained: BTreeMap<NodeId, Case>,
    next: Millis,
    resting: BTreeMap<ChannelId, Millis>,
}

/// A node that is strained.
#[derive(Clone, Copy, Debug)]
struct Case {
    since: Millis,
    /// Its strain when it was last looked at whether rooms' leaving helps, and what those have cost that left since.
    before: f32,
    gone: f32,
    /// Nothing leaves it until then.
    paused: Millis,
}

impl Case {
    /// Looks, if enough has left, at whether that helped.
    fn weigh(&mut self, now: Millis, strain: f32) {
        if self.gone < TELLING {
            return;
        }
        if self.before - strain < self.gone * SEEN {
            self.paused = now + PAUSE_MS;
        }
        (self.before, self.gone) = (strain, 0.0);
    }
}

/// The larger of the shares of processor and network that a node uses.
pub fn strain(node: &Node) -> f32 {
    node.load.busy.max(node.egress_share())
}

impl Relief {
    /// The node that a room should leave now. `nodes` are those that are alive; `planes`: control planes that all ask this.
    pub fn next<'a>(&mut self, now: Millis, nodes: impl IntoIterator<Item = &'a Node>, planes: u32) -> Option<NodeId> {
        let mut strained = BTreeMap::new();
        let mut worst: Option<(f32, NodeId)> = None;
        for node in nodes {
            let (id, strain) = (&node.hello.id, strain(node));
            let known = self.strained.get(id).copied();
            // Once it is being relieved it is so to the end; before that every pause begins anew.
            let is_begun = known.is_some_and(|case| now >= case.since + STRAINED_FOR_MS);
            if strain < RELIEVED_BELOW || strain < STRAINED_FROM && !is_begun {
                continue;
            }
            let mut case = known.unwrap_or(Case { since: now, before: strain, gone: 0.0, paused: 0 });
            if now >= self.next {
                case.weigh(now, strain);
            }
            strained.insert(id.clone(), case);
            if is_begun && now >= case.paused && worst.as_ref().is_none_or(|(most, _)| strain > *most) {
                worst = Some((strain, id.clone()));
            }
        }
        self.strained = strained;
        if now < self.next {
            return None;
        }
        let (_, node) = worst?;
        // Whether or not a room is found: what was looked at is not looked at again at once.
        self.next = now + STEP_MS * Millis::from(planes.max(1));
        Some(node)
    }

    /// Nodes that rooms leave, or are about to.
    pub fn strained(&self) -> usize {
        self.strained.len()
    }

    /// Whether the room may be moved: it was not for a while.
    pub fn is_rested(&self, now: Millis, room: ChannelId) -> bool {
        self.resting.get(&room).is_none_or(|until| *until <= now)
    }

    /// The room was moved away from the node, which had so much to do for it.
    pub fn moved(&mut self, now: Millis, room: ChannelId, from: &NodeId, cost: f32) {
        if let Some(case) = self.strained.get_mut(from) {
            case.gone += cost;
        }
        self.resting.retain(|_, until| *until > now);
        if self.resting.len() < MAX_RESTING {
            self.resting.insert(room, now + REST_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Hello, Load};
    use crate::placement::{Current, Limits, Outcome, Query, relieve};

    /// What one participant costs in these tests, of a node's processor.
    const EACH: f32 = 0.001;

    fn node(id: &str, busy: f32) -> Node {
        let (region, endpoint) = ("eu".parse().unwrap(), id.to_owned());
        let (media, software) = (Vec::new(), String::new());
        let hello =
            Hello { id: id.into(), region, endpoint, media, version: 1, software, egress_cap_bps: 1 << 40, incarnation: 1 };
        let mut node = Node::new(0, hello);
        node.load = Load { busy, peers: (busy / EACH) as u32, ..Load::default() };
        node
    }

    /// Which node is relieved when, in seconds, by these shares of one node.
    fn check(script: &[(Millis, f32)], expected: &[Millis]) {
        let mut relief = Relief::default();
        let turn = |(at, busy): &(Millis, f32)| relief.next(at * 1_000, &[node("a", *busy)], 1).map(|_| *at);
        assert_eq!(script.iter().filter_map(turn).collect::<Vec<_>>(), expected, "{script:?}");
    }

    #[test]
    fn a_node_is_relieved_when_it_was_strained_for_a_while_until_it_takes_rooms_again() {
        check(&[(0, 0.89), (10, 0.89), (60, 0.89)], &[]);
        check(&[(0, 0.9), (5, 0.95), (9, 0.9), (10, 0.9), (12, 0.9), (15, 0.9)], &[10, 15]);
        check(&[(0, 0.9), (5, 0.85), (10, 0.9), (15, 0.9), (20, 0.9)], &[20]);
        check(&[(0, 0.9), (10, 0.9), (15, 0.85), (20, 0.81), (25, 0.79), (30, 0.85), (40, 0.85)], &[10, 15, 20]);
        let mut relief = Relief::default();
        let mut full = node("a", 0.1);
        full.load.egress_bps = 1 << 40;
        assert_eq!((relief.next(0, [&full], 1), relief.next(10_000, [&full], 2)), (None, Some("a".into())));
        assert_eq!((relief.next(15_000, [&full], 2), relief.next(20_000, [&full], 2)), (None, Some("a".into())));
        assert_eq!(relief.strained(), 1);
        assert_eq!(relief.next(25_000, &[node("b", 0.95)], 2), None, "a node that is gone needs none");
    }

    #[test]
    fn the_busiest_node_comes_first_and_a_room_that_was_moved_rests() {
        let mut relief = Relief::default();
        let nodes = [node("a", 0.91), node("b", 0.94), node("c", 0.5)];
        assert_eq!((relief.next(0, &nodes, 1), relief.next(10_000, &nodes, 1)), (None, Some("b".into())));
        let (room, other) = (ChannelId::new(1), ChannelId::new(2));
        relief.moved(10_000, room, &"b".into(), 0.01);
        assert!(!relief.is_rested(609_999, room) && relief.is_rested(610_000, room) && relief.is_rested(0, other));
        relief.moved(610_000, other, &"b".into(), 0.01);
        assert_eq!(relief.resting.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn what_does_not_help_is_not_gone_on_with() {
        // Each room that leaves is a fiftieth, of which so much is seen.
        for (seen, expected) in
            [(0.02, &[10, 15, 20, 25, 30][..]), (0.006, &[10, 15, 20, 25, 30]), (0.004, &[10, 15]), (0.0, &[10, 15])]
        {
            let (mut relief, mut busy, mut asked) = (Relief::default(), 0.99, Vec::new());
            for at in 0..=30 {
                if let Some(from) = relief.next(at * 1_000, &[node("a", busy)], 1) {
                    relief.moved(at * 1_000, ChannelId::new(at), &from, 0.02);
                    busy -= seen;
                    asked.push(at);
                }
            }
            assert_eq!(asked, expected, "{seen}");
            let again = (31..).find(|at| relief.next(at * 1_000, &[node("a", busy)], 1).is_some());
            assert_eq!(again, Some(if seen < 0.005 { 140 } else { 35 }), "{seen}");
        }
    }

    /// Ten minutes of a fleet. `homes`: people of each room, by node. Answers with how often each room moved and the nodes' shares at
    /// the end.
    fn simulate(homes: &[&[u32]]) -> (Vec<u32>, Vec<f32>) {
        let name = |at: usize| format!("n{at}");
        let mut rooms: Vec<(usize, u32, u32)> =
            homes.iter().enumerate().flat_map(|(at, sizes)| sizes.iter().map(move |size| (at, *size, 0))).collect();
        let (mut relief, mut shares) = (Relief::default(), Vec::new());
        for now in (0..600).map(|second| second * 1_000) {
            let share = |at: usize| rooms.iter().filter(|room| room.0 == at).map(|room| room.1 as f32 * EACH).sum::<f32>();
            shares = (0..homes.len()).map(share).collect();
            let mut nodes: Vec<Node> = shares.iter().enumerate().map(|(at, share)| node(&name(at), *share)).collect();
            nodes.iter_mut().for_each(|node| node.heard = now);
            let Some(from) = relief.next(now, &nodes, 1) else { continue };
            let mut there: Vec<usize> = (0..rooms.len()).filter(|room| name(rooms[*room].0) == from.as_str()).collect();
            there.sort_by_key(|room| rooms[*room].1);
            for room in there {
                let id = ChannelId::new(room as u64);
                let current = Current { node: from.clone(), since: 0 };
                let query = Query {
                    room: id,
                    members: &[],
                    wish: None,
                    current: Some(&current),
                    default_region: None,
                    versions: 1..=1,
                    draw: now,
                };
                let found = relieve(now, &Limits::default(), &nodes, &query, rooms[room].1);
                if let Some(Outcome::Move { to, .. }) = found.filter(|_| relief.is_rested(now, id)).map(|it| it.outcome) {
                    relief.moved(now, id, &from, rooms[room].1 as f32 * EACH);
                    rooms[room].0 = (0..homes.len()).find(|at| name(*at) == to.as_str()).unwrap();
                    rooms[room].2 += 1;
                    break;
                }
            }
        }
        (rooms.into_iter().map(|room| room.2).collect(), shares)
    }

    #[test]
    fn rooms_go_from_the_busiest_to_those_with_headroom_and_nothing_swings() {
        // Twenty of the smallest go: each is a hundredth.
        let small = [10; 95];
        let (moves, shares) = simulate(&[&small, &[200], &[300]]);
        assert!(shares[0] < RELIEVED_BELOW && shares[0] > RELIEVED_BELOW - 0.02, "no more than it needs: {shares:?}");
        assert!(shares[1] < 0.71 && shares[2] < 0.71, "{shares:?}");
        assert!(moves.iter().all(|moves| *moves <= 1) && (15..=17).contains(&moves.iter().sum::<u32>()), "{moves:?}");
        // The smallest first, and what nobody has headroom for stays.
        let (moves, _) = simulate(&[&[400, 300, 200, 30, 20], &[550], &[700]]);
        assert_eq!(moves, [0, 0, 0, 1, 1, 0, 0]);
        let (moves, _) = simulate(&[&[500, 450], &[650], &[650]]);
        assert_eq!(moves, [0; 4]);
        // Everybody is strained: nobody is better off elsewhere.
        let (moves, _) = simulate(&[&[10; 92], &[10; 93], &[10; 94]]);
        assert_eq!(moves.iter().sum::<u32>(), 0);
    }
}
