use super::*;
use crate::node::{Hello, Load};
use proptest::prelude::*;

const NOW: Millis = 1_000_000;

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn node(id: &str, busy: f32) -> Node {
    let region = region(id.split_once('/').unwrap().0);
    let (media, software) = (Vec::new(), String::new());
    let (id, endpoint) = (id.into(), id.into());
    let hello = Hello { id, region, endpoint, media, version: 2, software, egress_cap_bps: 1_000_000, incarnation: 1 };
    let mut node = Node::new(NOW, hello);
    node.load = Load { busy, ..Load::default() };
    node
}

fn reach(times: &[(&str, u16)]) -> Reach {
    Reach::new(times.iter().map(|(name, rtt)| (region(name), *rtt)))
}

fn query<'a>(members: &'a [Reach]) -> Query<'a> {
    Query { room: ChannelId::new(1), members, wish: None, current: None, default_region: None, versions: 2..=3, draw: 0 }
}

fn placed(id: &str) -> Outcome {
    Outcome::Place { node: id.into() }
}

#[test]
fn the_group_decides_not_the_first_who_came() {
    let nodes = [node("eu/1", 0.1), node("us/1", 0.1), node("as/1", 0.1)];
    let (ann, bob) = (reach(&[("eu", 10), ("us", 90), ("as", 200)]), reach(&[("eu", 250), ("us", 100), ("as", 20)]));
    let both = [ann, bob];
    let alone = place(NOW, &Limits::default(), &nodes, &query(&both[..1]));
    assert_eq!(alone.outcome, placed("eu/1"));
    let together = place(NOW, &Limits::default(), &nodes, &query(&both));
    assert_eq!((together.outcome, together.because), (placed("us/1"), Because::NearestToAll));
    assert_eq!(
        together.regions.iter().map(|view| (view.region.as_str(), view.worst_ms)).collect::<Vec<_>>(),
        [("us", 100), ("as", 200), ("eu", 250)]
    );
    assert_eq!(
        together.against,
        [("as/1".into(), Against::Farther { worst_ms: 200 }), ("eu/1".into(), Against::Farther { worst_ms: 250 })]
    );
}

#[test]
fn every_unfit_node_is_passed_over_for_its_own_reason() {
    let mut nodes = ["eu/1", "eu/2", "eu/3", "eu/4", "eu/5", "eu/6", "eu/7", "eu/8", "eu/9"].map(|id| node(id, 0.2));
    nodes[0].heard = NOW - 3_000;
    nodes[1].state = State::Cordoned;
    nodes[2].state = State::Draining { deadline: NOW + 1 };
    nodes[3].failing_until = NOW + 1;
    nodes[4].hello.version = 1;
    nodes[5].load.busy = 0.8;
    nodes[6].load.egress_bps = 900_000;
    nodes[7].load.forward_p99_us = 6_000;
    let members = [reach(&[("eu", 10)])];
    let decision = place(NOW, &Limits::default(), &nodes, &query(&members));
    assert_eq!(decision.outcome, placed("eu/9"));
    let reasons: Vec<Against> = decision.against.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(
        reasons,
        [
            Against::Lost { silent_ms: 3_000 },
            Against::Cordoned,
            Against::Draining,
            Against::Failing,
            Against::Version { speaks: 1 },
            Against::Busy { expected: 0.8 },
            Against::NetworkFull { share: 0.9 },
            Against::SlowForwarding { p99_us: 6_000 },
        ]
    );
    let nobody = place(NOW, &Limits::default(), &nodes[..5], &query(&members));
    assert_eq!((nobody.outcome, nobody.because), (Outcome::Refuse, Because::NoHeadroom));
}

#[test]
fn a_room_is_relieved_of_a_busy_node_only_by_one_with_headroom_that_is_as_near() {
    let near = reach(&[("eu", 10), ("fr", 25), ("us", 100)]);
    type Case<'a> = (&'a str, &'a [(&'a str, f32)], bool, Option<&'a str>, u32, Option<&'a str>);
    let cases: [Case; 9] = [
        ("its own region", &[("eu/2", 0.5), ("fr/1", 0.1)], true, None, 10, Some("eu/2")),
        ("with the room it must stay below", &[("eu/2", 0.65)], true, None, 60, None),
        ("it need not be the same region", &[("eu/2", 0.75), ("fr/1", 0.6)], true, None, 10, Some("fr/1")),
        ("it must not be far", &[("us/1", 0.1)], true, None, 10, None),
        ("without distances no other region will do", &[("fr/1", 0.1)], false, None, 10, None),
        ("without distances its own will", &[("eu/2", 0.3)], false, None, 10, Some("eu/2")),
        ("the channel's own region is kept", &[("fr/1", 0.1)], true, Some("eu"), 10, None),
        ("and found", &[("fr/1", 0.1), ("eu/2", 0.1)], true, Some("fr"), 10, Some("fr/1")),
        ("alone", &[], true, None, 10, None),
    ];
    for (what, others, is_known, wish, people, expected) in cases {
        let members = if is_known { vec![near.clone()] } else { Vec::new() };
        let mut nodes: Vec<Node> = others.iter().map(|(id, busy)| node(id, *busy)).collect();
        let mut home = node("eu/1", 0.95);
        home.load.peers = 950;
        nodes.push(home);
        let (current, wish) = (Current { node: "eu/1".into(), since: 0 }, wish.map(region));
        let query = Query { wish: wish.as_ref(), current: Some(&current), ..query(&members) };
        let decision = relieve(NOW, &Limits::default(), &nodes, &query, people);
        let expected = expected.map(|to| (Outcome::Move { from: "eu/1".into(), to: to.into() }, Because::Relieved));
        assert_eq!(decision.map(|it| (it.outcome, it.because)), expected, "{what}");
    }
    // What the room takes of the network counts like what it takes of the processor: here each of a hundred has a hundredth.
    let relieved = |people: u32| {
        let (mut home, mut other) = (node("eu/1", 0.1), node("eu/2", 0.1));
        (home.load.peers, home.load.egress_bps, other.load.egress_bps) = (100, 1_000_000, 600_000);
        let current = Current { node: "eu/1".into(), since: 0 };
        relieve(NOW, &Limits::default(), &[home, other], &Query { current: Some(&current), ..query(&[]) }, people).is_some()
    };
    assert_eq!((relieved(9), relieved(11)), (true, false));
}

#[test]
fn without_headroom_anywhere_a_node_that_bears_it_is_taken() {
    let strained = |busy: f32, egress_bps: u64, forward_p99_us: u32| {
        let mut node = node("eu/1", busy);
        (node.load.egress_bps, node.load.forward_p99_us) = (egress_bps, forward_p99_us);
        let members = [reach(&[("eu", 10)])];
        let decision = place(NOW, &Limits::default(), &[node], &query(&members));
        (decision.outcome, decision.because, decision.is_strained)
    };
    let taken = (placed("eu/1"), Because::NearestToAll, true);
    let refused = (Outcome::Refuse, Because::NoHeadroom, false);
    assert_eq!(strained(0.94, 0, 0), taken);
    assert_eq!(strained(0.95, 0, 0), refused);
    assert_eq!(strained(0.1, 940_000, 0), taken);
    assert_eq!(strained(0.1, 950_000, 0), refused);
    assert_eq!(strained(0.1, 0, 50_000), taken);
    let nodes = [node("eu/1", 0.9), node("us/1", 0.1)];
    let decision = place(NOW, &Limits::default(), &nodes, &query(&[reach(&[("eu", 10), ("us", 90)])]));
    assert_eq!(decision.outcome, placed("us/1"), "headroom far away comes before strain");
}

#[test]
fn a_channels_own_region_wins_while_it_has_room() {
    let nodes = [node("eu/1", 0.1), node("us/1", 0.1)];
    let members = [reach(&[("eu", 10), ("us", 90)])];
    let us = region("us");
    let wished = place(NOW, &Limits::default(), &nodes, &Query { wish: Some(&us), ..query(&members) });
    assert_eq!((wished.outcome, wished.because), (placed("us/1"), Because::Wished));
    let mars = region("mars");
    let elsewhere = place(NOW, &Limits::default(), &nodes, &Query { wish: Some(&mars), ..query(&members) });
    assert_eq!((elsewhere.outcome, elsewhere.because), (placed("eu/1"), Because::WishUnavailable));
}

#[test]
fn of_whom_nothing_is_known_goes_to_the_default_and_then_to_the_idlest() {
    let nodes = [node("eu/1", 0.7), node("us/1", 0.1)];
    let (eu, members) = (region("eu"), [Reach::default()]);
    let default = place(NOW, &Limits::default(), &nodes, &Query { default_region: Some(&eu), ..query(&members) });
    assert_eq!((default.outcome, default.because), (placed("eu/1"), Because::DefaultRegion));
    let without = place(NOW, &Limits::default(), &nodes, &query(&members));
    assert_eq!((without.outcome, without.because, without.known_members), (placed("us/1"), Because::LeastLoaded, 0));
}

#[test]
fn estimates_decide_where_nobody_measured_and_count_half_beside_those_who_did() {
    let nodes = [node("eu/1", 0.1), node("us/1", 0.1)];
    let estimated = |times: &[(&str, u16)]| Reach::estimated(times.iter().map(|(name, rtt)| (region(name), *rtt)));
    let (far, near) = (estimated(&[("eu", 110), ("us", 10)]), reach(&[("eu", 10), ("us", 110)]));
    let alone = place(NOW, &Limits::default(), &nodes, &query(std::slice::from_ref(&far)));
    assert_eq!((alone.outcome, alone.because, alone.estimated_members), (placed("us/1"), Because::NearestToAll, 1));
    let both = place(NOW, &Limits::default(), &nodes, &query(&[far.clone(), near]));
    assert_eq!((both.outcome, both.known_members, both.estimated_members), (placed("eu/1"), 2, 1));
    assert_eq!(both.regions.iter().map(|view| view.worst_ms).collect::<Vec<_>>(), [55, 110]);

    // What a move must save is twice as much by estimates: 20 ms are enough of measured times.
    let current = Current { node: "eu/1".into(), since: 0 };
    let moved = |member: &Reach| {
        let members = [member.clone()];
        place(NOW, &Limits::default(), &nodes, &Query { current: Some(&current), ..query(&members) }).outcome
    };
    let stays = Outcome::Keep { node: "eu/1".into() };
    assert_eq!(moved(&estimated(&[("eu", 40), ("us", 10)])), stays);
    assert_ne!(moved(&reach(&[("eu", 40), ("us", 10)])), stays);
    assert_ne!(moved(&far), stays);
}

#[test]
fn a_room_stays_until_moving_saves_enough_for_long_enough() {
    let nodes = [node("eu/1", 0.1), node("us/1", 0.1)];
    let limits = Limits::default();
    let outcome = |saves: u16, age: Millis| {
        let members = [reach(&[("eu", 100 + saves), ("us", 100)])];
        let current = Current { node: "eu/1".into(), since: NOW - age };
        place(NOW, &limits, &nodes, &Query { current: Some(&current), ..query(&members) }).outcome
    };
    let stays = Outcome::Keep { node: "eu/1".into() };
    let goes = Outcome::Move { from: "eu/1".into(), to: "us/1".into() };
    assert_eq!(outcome(limits.hysteresis_ms - 1, 1_000_000), stays);
    assert_eq!(outcome(limits.hysteresis_ms, limits.settle_ms - 1), stays);
    assert_eq!(outcome(limits.hysteresis_ms, limits.settle_ms), goes);
}

#[test]
fn what_becomes_of_a_room_whose_node_changes() {
    let members = [reach(&[("eu", 10), ("us", 90)])];
    let current = Current { node: "eu/1".into(), since: NOW };
    let decision = |home: Node, other: Option<Node>| {
        let nodes: Vec<Node> = [Some(home), other].into_iter().flatten().collect();
        place(NOW, &Limits::default(), &nodes, &Query { current: Some(&current), ..query(&members) })
    };
    let decide = |home: Node, other: Option<Node>| {
        let decision = decision(home, other);
        assert!(!decision.is_strained);
        (decision.outcome, decision.because)
    };
    let bears = |home: Node| {
        let decision = decision(home, Some(node("us/1", 0.9)));
        assert!(decision.is_strained);
        (decision.outcome, decision.because)
    };
    let changed = |change: fn(&mut Node)| {
        let mut home = node("eu/1", 0.5);
        change(&mut home);
        home
    };
    let lost = || changed(|node| node.heard = 0);
    let draining = || changed(|node| node.state = State::Draining { deadline: NOW });
    let full = || changed(|node| node.load.busy = 0.96);
    let goes = Outcome::Move { from: "eu/1".into(), to: "us/1".into() };
    let stays = Outcome::Keep { node: "eu/1".into() };
    assert_eq!(decide(lost(), Some(node("us/1", 0.1))), (goes.clone(), Because::NodeUnfit));
    assert_eq!(decide(lost(), None), (Outcome::Refuse, Because::NoHeadroom));
    assert_eq!(decide(draining(), Some(node("us/1", 0.1))), (goes.clone(), Because::NodeUnfit));
    assert_eq!(decide(draining(), None), (stays.clone(), Because::NoHeadroom), "a call is not ended for want of another node");
    let unfit = (goes.clone(), Because::NodeUnfit);
    assert_eq!(bears(draining()), unfit, "a node that will be gone is worse than one with little headroom");
    assert_eq!(bears(full()), (goes.clone(), Because::NodeFull));
    assert_eq!(decide(full(), Some(node("us/1", 0.1))), (goes, Because::NodeFull));
    assert_eq!(decide(full(), None), (Outcome::Refuse, Because::NoHeadroom));
    let cordoned = changed(|node| node.state = State::Cordoned);
    assert_eq!(decide(cordoned, Some(node("us/1", 0.1))), (stays.clone(), Because::Settled), "people may join what is there");
    let busy = changed(|node| node.load.busy = 0.9);
    assert_eq!(decide(busy, Some(node("eu/2", 0.1))), (stays, Because::Settled), "rooms live whole");
}

#[test]
fn a_join_storm_spreads_over_the_nodes_of_a_region() {
    let mut nodes: Vec<Node> = (0..10).map(|at| node(&format!("eu/{at}"), 0.3)).collect();
    let members = [reach(&[("eu", 10)])];
    let mut draws = 1_u64;
    for _ in 0..1_000 {
        draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let Outcome::Place { node } = place(NOW, &Limits::default(), &nodes, &Query { draw: draws, ..query(&members) }).outcome
        else {
            panic!("there is room")
        };
        nodes.iter_mut().find(|known| known.hello.id == node).unwrap().expect_join(NOW);
    }
    let loads: Vec<f32> = nodes.iter().map(|node| node.expected_busy(NOW)).collect();
    let (most, least) = (loads.iter().copied().fold(0.0, f32::max), loads.iter().copied().fold(1.0, f32::min));
    assert!(most - least < 0.02, "{loads:?}");
}

prop_compose! {
    fn any_node()(
        at in 0_u8..40, place in 0_u8..6, busy in 0.0_f32..1.1, silent in 0_u64..6_000, state in 0_u8..3, version in 1_u16..5,
        failing in any::<bool>(), egress in 0_u64..1_200_000,
    ) -> Node {
        let mut node = node(&format!("r{place}/{at}"), busy);
        node.heard = NOW - silent;
        node.state = [State::Serving, State::Cordoned, State::Draining { deadline: NOW }][state as usize];
        node.hello.version = version;
        node.failing_until = if failing && at % 4 == 0 { NOW + 1 } else { 0 };
        node.load.egress_bps = egress;
        node
    }
}

prop_compose! {
    fn any_reach()(times in proptest::collection::vec((0_u8..6, 1_u16..400), 0..6)) -> Reach {
        Reach::new(times.into_iter().map(|(at, rtt)| (region(&format!("r{at}")), rtt)))
    }
}

proptest! {
    /// Whatever the facts: a new room goes only to a node that takes one, in a region that no other beats; the decision is
    /// the same for the same facts in another order; every node that was passed over is accounted for.
    #[test]
    fn decisions_are_sound(
        nodes in proptest::collection::vec(any_node(), 0..20),
        members in proptest::collection::vec(any_reach(), 0..8),
        draw in any::<u64>(),
        home in proptest::option::of(0_usize..20),
    ) {
        let mut nodes = nodes;
        nodes.sort_by(|a, b| a.hello.id.cmp(&b.hello.id));
        nodes.dedup_by(|a, b| a.hello.id == b.hello.id);
        let limits = Limits::default();
        let current = home.and_then(|at| nodes.get(at)).map(|node| Current { node: node.hello.id.clone(), since: 0 });
        let query = Query { draw, current: current.as_ref(), ..query(&members) };
        let decision = place(NOW, &limits, &nodes, &query);
        let backwards = place(NOW, &limits, nodes.iter().rev(), &query);
        prop_assert_eq!(&decision, &backwards);
        let chosen = match &decision.outcome {
            Outcome::Place { node } | Outcome::Move { to: node, .. } => {
                let node = nodes.iter().find(|known| known.hello.id == *node).unwrap();
                let is_strained = decision.is_strained;
                let limits = if is_strained { limits.strained() } else { limits };
                prop_assert!(limits.admits(NOW, node, &query.versions).is_ok());
                let has_headroom = |node| Limits::default().admits(NOW, node, &query.versions).is_ok();
                prop_assert!(!is_strained || !nodes.iter().any(has_headroom));
                if decision.because == Because::NearestToAll {
                    let takes = |view: &&RegionView| view.admitted > 0;
                    let best = decision.regions.iter().filter(takes).map(|view| (view.worst_ms, view.mean_ms)).min().unwrap();
                    prop_assert_eq!(distance(&node.hello.region, &members), best);
                }
                1
            }
            Outcome::Keep { node } => {
                prop_assert_eq!(Some(node), current.as_ref().map(|current| &current.node));
                1
            }
            Outcome::Refuse => 0,
        };
        if decision.because == Because::NoHeadroom {
            prop_assert!(nodes.iter().all(|node| limits.strained().admits(NOW, node, &query.versions).is_err()));
        }
        prop_assert!(chosen == 1 || decision.because == Because::NoHeadroom);
        prop_assert_eq!(decision.against.len() + decision.unlisted as usize + chosen, nodes.len());
        // What is stored is what was decided.
        let stored: Decision = serde_json::from_str(&serde_json::to_string(&decision).unwrap()).unwrap();
        prop_assert_eq!(stored.outcome, decision.outcome);
    }
}
