//! A day of a large fleet, simulated: 200 nodes in 12 regions and rooms of people from all over the world, placed by
//! [`guildhall_fleet::place`] and, for comparison, by the two rules that others use: the region nearest to whoever came
//! first, and the region nearest on the map to the middle of the group (estimated from addresses, with detours unknown).
//!
//! `GUILDHALL_ROOMS=100000 cargo test -p guildhall-fleet --test day -- --nocapture` prints the table for the whole fleet's
//! day; without the variable it is a tenth of the rooms.

use guildhall_fleet::node::Hello;
use guildhall_fleet::placement::{Current, Limits, Outcome, Query, place};
use guildhall_fleet::{Load, Node, NodeId, Reach, RegionId};
use guildhall_protocol::ChannelId;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

const NODES: usize = 200;
/// When `GUILDHALL_ROOMS` says nothing else.
const ROOMS: usize = 10_000;
const DAY_MS: u64 = 86_400_000;

/// Where regions are: name, latitude, longitude, share of the people who live around it.
const REGIONS: [(&str, f64, f64, u32); 12] = [
    ("us-east", 39.0, -77.5, 16),
    ("us-west", 37.4, -121.9, 11),
    ("us-central", 41.3, -95.9, 8),
    ("br-south", -23.5, -46.6, 9),
    ("eu-west", 51.5, -0.1, 13),
    ("eu-central", 50.1, 8.7, 14),
    ("eu-north", 59.3, 18.1, 4),
    ("in-west", 19.1, 72.9, 8),
    ("sg", 1.35, 103.8, 6),
    ("jp", 35.7, 139.7, 6),
    ("au", -33.9, 151.2, 3),
    ("za", -26.2, 28.0, 2),
];

/// Of a node's busiest worker, per participant of its rooms.
const COST: f32 = 0.002;

#[derive(Clone)]
struct Person {
    latitude: f64,
    longitude: f64,
    /// What it measured to each region.
    rtt_ms: [u16; REGIONS.len()],
}

fn distance_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (a, b) = ((a.0.to_radians(), a.1.to_radians()), (b.0.to_radians(), b.1.to_radians()));
    let h = ((b.0 - a.0) / 2.0).sin().powi(2) + a.0.cos() * b.0.cos() * ((b.1 - a.1) / 2.0).sin().powi(2);
    2.0 * 6371.0 * h.sqrt().asin()
}

fn region_at(index: usize) -> (f64, f64) {
    (REGIONS[index].1, REGIONS[index].2)
}

/// A person near a region. Light takes 1 ms per 100 km of fibre there and back; paths bend, some a lot (cables go around
/// continents, providers exchange traffic elsewhere), and the last mile adds its own.
fn person(home: usize, rng: &mut impl Rng) -> Person {
    let (latitude, longitude) = region_at(home);
    let latitude = (latitude + rng.random_range(-8.0..8.0_f64)).clamp(-60.0, 70.0);
    let longitude = longitude + rng.random_range(-10.0..10.0);
    let last_mile = rng.random_range(3.0..25.0);
    let detour: f64 = rng.random_range(0.0..1.0_f64).powi(3) * 1.5;
    let rtt_ms = std::array::from_fn(|region| {
        let bend = 1.3 + detour * f64::from(rng.random_range(0..10_u32)) / 10.0;
        (last_mile + distance_km((latitude, longitude), region_at(region)) / 100.0 * bend).round() as u16
    });
    Person { latitude, longitude, rtt_ms }
}

fn draw_home(rng: &mut impl Rng) -> usize {
    let total: u32 = REGIONS.iter().map(|region| region.3).sum();
    let mut at = rng.random_range(0..total);
    REGIONS.iter().position(|region| at.checked_sub(region.3).map(|rest| at = rest).is_none()).expect("shares add up")
}

#[derive(Default)]
struct Tally {
    worst_ms: Vec<u16>,
    moves: usize,
    refused: usize,
    /// Busiest node over the mean of all that are not idle, sampled.
    imbalance: Vec<f32>,
}

impl Tally {
    fn quantile(&mut self, q: f64) -> u16 {
        self.worst_ms.sort_unstable();
        self.worst_ms[((self.worst_ms.len() - 1) as f64 * q) as usize]
    }

    fn mean(&self) -> f64 {
        self.worst_ms.iter().map(|&ms| f64::from(ms)).sum::<f64>() / self.worst_ms.len() as f64
    }
}

struct Room {
    members: Vec<Person>,
    current: Current,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Open(usize),
    Join(usize),
    End(usize),
}

/// The whole day under `place`; beside it, what the two other rules would have given the same groups at the same moments.
fn day(seed: u64, count: usize) -> [Tally; 3] {
    let mut rng = StdRng::seed_from_u64(seed);
    let names: Vec<RegionId> = REGIONS.iter().map(|region| region.0.parse().unwrap()).collect();
    let shares: u32 = REGIONS.iter().map(|region| region.3).sum();
    let mut nodes: Vec<Node> = Vec::new();
    for (index, region) in REGIONS.iter().enumerate() {
        let count = if index + 1 == REGIONS.len() { NODES - nodes.len() } else { NODES * region.3 as usize / shares as usize };
        for at in 0..count {
            let hello = Hello {
                id: NodeId::from(format!("{}-{at:02}", region.0)),
                region: names[index].clone(),
                endpoint: String::new(),
                media: Vec::new(),
                version: 1,
                software: String::new(),
                egress_cap_bps: 10_000_000_000,
                incarnation: 1,
            };
            nodes.push(Node::new(0, hello));
        }
    }
    nodes.sort_by(|a, b| a.hello.id.cmp(&b.hello.id));
    let by_id: HashMap<NodeId, usize> = nodes.iter().enumerate().map(|(at, node)| (node.hello.id.clone(), at)).collect();
    let mut seats = vec![0_u32; nodes.len()];

    // Rooms open when their first member's evening comes; most groups share a region, some span the world.
    let mut steps: BinaryHeap<Reverse<(u64, Step)>> = BinaryHeap::new();
    let homes: Vec<usize> = (0..count).map(|_| draw_home(&mut rng)).collect();
    for (room, &home) in homes.iter().enumerate() {
        let evening = 20.0 - REGIONS[home].2 / 15.0;
        let hour = (evening + rng.random_range(-5.0..5.0) + rng.random_range(-5.0..5.0)).rem_euclid(24.0);
        steps.push(Reverse(((hour * 3_600_000.0) as u64, Step::Open(room))));
    }
    let mut rooms: HashMap<usize, Room> = HashMap::new();
    let [mut ours, mut first, mut map] = [Tally::default(), Tally::default(), Tally::default()];
    let limits = Limits::default();
    let mut sampled = 0;
    while let Some(Reverse((now, step))) = steps.pop() {
        if now >= DAY_MS {
            break;
        }
        // Everyone reports each second; what a report says is as old as that.
        if now / 1000 != sampled {
            sampled = now / 1000;
            for (node, &peers) in nodes.iter_mut().zip(&seats) {
                node.heard = now;
                node.load = Load { busy: peers as f32 * COST, peers, ..Load::default() };
            }
            if sampled.is_multiple_of(600) {
                let busy: Vec<f32> =
                    nodes.iter().filter(|node| node.hello.region == names[4]).map(|node| node.load.busy).collect();
                let mean = busy.iter().sum::<f32>() / busy.len() as f32;
                if mean > 0.02 {
                    ours.imbalance.push(busy.iter().copied().fold(0.0, f32::max) / mean);
                }
            }
        }
        let (Step::Open(id) | Step::Join(id) | Step::End(id)) = step;
        if let Step::End(_) = step {
            if let Some(room) = rooms.remove(&id) {
                seats[by_id[&room.current.node]] -= room.members.len() as u32;
            }
            continue;
        }
        let home = homes[id];
        let origin = match (&step, rng.random_range(0..100)) {
            (Step::Open(_), _) | (_, 0..80) => home,
            _ => draw_home(&mut rng),
        };
        let newcomer = person(origin, &mut rng);
        if let Step::Open(_) = step {
            let length = rng.random_range(600_000..7_200_000_u64);
            for _ in 0..rng.random_range(1..8_u32) {
                steps.push(Reverse((now + rng.random_range(1_000..length / 2), Step::Join(id))));
            }
            steps.push(Reverse((now + length, Step::End(id))));
        }
        let room = rooms.get(&id);
        if room.is_none() && !matches!(step, Step::Open(_)) {
            continue;
        }
        let mut members: Vec<Person> = room.map(|room| room.members.clone()).unwrap_or_default();
        members.push(newcomer);
        let reaches: Vec<Reach> = members.iter().map(|person| Reach::new(names.iter().cloned().zip(person.rtt_ms))).collect();
        let query = Query {
            room: ChannelId::new(id as u64 + 1),
            members: &reaches,
            wish: None,
            current: room.map(|room| &room.current),
            default_region: None,
            versions: 1..=1,
            draw: rng.random(),
        };
        let decision = place(now, &limits, &nodes, &query);
        let (node, since) = match decision.outcome {
            Outcome::Keep { node } => (node, query.current.map_or(now, |current| current.since)),
            Outcome::Place { node } => (node, now),
            Outcome::Move { to, .. } => {
                ours.moves += 1;
                (to, now)
            }
            Outcome::Refuse => {
                ours.refused += 1;
                continue;
            }
        };
        let at = by_id[&node];
        nodes[at].expect_join(now);
        if let Some(room) = room {
            seats[by_id[&room.current.node]] -= room.members.len() as u32;
        }
        seats[at] += members.len() as u32;

        let worst = |region: usize| members.iter().map(|person| person.rtt_ms[region]).max().unwrap();
        let region_of = |name: &RegionId| names.iter().position(|known| known == name).unwrap();
        ours.worst_ms.push(worst(region_of(&nodes[at].hello.region)));
        let nearest_to_first = (0..names.len()).min_by_key(|&region| members[0].rtt_ms[region]).unwrap();
        first.worst_ms.push(worst(nearest_to_first));
        let middle = (
            members.iter().map(|person| person.latitude).sum::<f64>() / members.len() as f64,
            members.iter().map(|person| person.longitude).sum::<f64>() / members.len() as f64,
        );
        let on_map = |region: &usize| distance_km(middle, region_at(*region)) as u64;
        map.worst_ms.push(worst((0..names.len()).min_by_key(on_map).unwrap()));
        rooms.insert(id, Room { members, current: Current { node, since } });
    }
    [ours, first, map]
}

#[test]
fn groups_are_nearer_than_by_the_first_joiner_or_by_the_map_with_few_moves_and_even_load() {
    let rooms = std::env::var("GUILDHALL_ROOMS").map_or(ROOMS, |rooms| rooms.parse().expect("GUILDHALL_ROOMS is a number"));
    let [mut ours, mut first, mut map] = day(20_261, rooms);
    println!("farthest member's round trip, ms      mean    p50    p95    p99");
    for (name, tally) in [("best for the group", &mut ours), ("first joiner", &mut first), ("nearest by map", &mut map)] {
        let (mean, p50, p95, p99) = (tally.mean(), tally.quantile(0.5), tally.quantile(0.95), tally.quantile(0.99));
        println!("{name:<34} {mean:>7.1} {p50:>6} {p95:>6} {p99:>6}");
    }
    let joins = ours.worst_ms.len();
    let imbalance = ours.imbalance.iter().sum::<f32>() / ours.imbalance.len() as f32;
    println!(
        "{joins} joins, {} moves, {} refused; busiest node of a region over its mean: {imbalance:.2}",
        ours.moves, ours.refused
    );
    assert_eq!(ours.refused, 0, "there was room");
    // Most groups live in one region, where every rule is right; the tail is where they differ.
    assert!(ours.mean() < 0.95 * first.mean() && ours.mean() < 0.95 * map.mean());
    for quantile in [0.95, 0.99] {
        let (ours, first, map) = (ours.quantile(quantile), first.quantile(quantile), map.quantile(quantile));
        assert!(ours * 100 < first.min(map) * 85, "{quantile}: {ours} ms against {first} and {map}");
    }
    assert!(ours.moves * 10 < joins, "{} moves for {joins} joins", ours.moves);
    if rooms >= 100_000 {
        // With a tenth of the rooms a node has so few that chance decides.
        assert!(imbalance < 1.5, "{imbalance}");
    }
}
