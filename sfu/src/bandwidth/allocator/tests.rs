use super::*;

const THREE: [Layer; 3] = [
    Layer { bitrate_bps: 150_000, pixels: 320 * 180 },
    Layer { bitrate_bps: 500_000, pixels: 640 * 360 },
    Layer { bitrate_bps: 1_500_000, pixels: 1280 * 720 },
];

fn wish(slot: u8, pixels: u32, is_focus: bool) -> Wish<'static> {
    Wish { slot, pixels, is_focus, layers: &THREE }
}

const LARGE: u32 = 1280 * 720;

struct World {
    allocator: Allocator,
    now: Instant,
    grants: Vec<Grant>,
}

impl World {
    fn new() -> World {
        World { allocator: Allocator::default(), now: Instant::now(), grants: Vec::new() }
    }

    /// Chooses, a hundred milliseconds later than the last time.
    fn choose(&mut self, budget: u64, wishes: &[Wish]) -> Sum {
        self.now += Duration::from_millis(100);
        self.allocator.allocate(self.now, budget, 0, wishes, &mut self.grants)
    }

    fn layer(&self, slot: u8) -> Option<usize> {
        self.grants.iter().find(|grant| grant.slot == slot).expect("a grant for every wish").layer
    }

    /// Chooses for so long, and returns the layers that a slot had, in order.
    fn stay(&mut self, seconds: f64, budget: u64, wishes: &[Wish], slot: u8) -> Vec<Option<usize>> {
        let mut seen = Vec::new();
        for _ in 0..(seconds * 10.0) as usize {
            self.choose(budget, wishes);
            if seen.last() != Some(&self.layer(slot)) {
                seen.push(self.layer(slot));
            }
        }
        seen
    }
}

#[test]
fn a_first_choice_is_made_at_once_for_what_is_shown() {
    let mut world = World::new();
    let sum = world.choose(5_000_000, &[wish(0, LARGE, false), wish(1, 320 * 180, false), wish(2, 0, false)]);
    assert_eq!((world.layer(0), world.layer(1), world.layer(2)), (Some(2), Some(0), None));
    assert_eq!(sum, Sum { video_bps: 1_650_000, next_bps: 0, wanted_bps: 1_650_000 });
}

#[test]
fn focus_comes_before_size_and_everybody_before_better_pictures() {
    let mut world = World::new();
    let wishes = [wish(0, LARGE, false), wish(1, LARGE - 1, true), wish(2, 640 * 360, false)];
    world.choose(900_000, &wishes);
    assert_eq!((world.layer(0), world.layer(1), world.layer(2)), (Some(0), Some(1), Some(0)));
    let mut world = World::new();
    world.choose(2_000_000, &wishes);
    assert_eq!((world.layer(0), world.layer(1), world.layer(2)), (Some(0), Some(2), Some(0)));
    let mut world = World::new();
    world.choose(170_000, &wishes);
    assert_eq!((world.layer(0), world.layer(1), world.layer(2)), (None, Some(0), None));
}

#[test]
fn video_pauses_before_audio_starves() {
    let mut world = World::new();
    let sum = world.allocator.allocate(world.now, 200_000, 64_000, &[wish(0, LARGE, true)], &mut world.grants);
    assert_eq!(world.grants, [Grant { slot: 0, layer: None }]);
    assert_eq!(sum.video_bps, 0);
    let needed = 150_000.0 / ROOM * AHEAD + 64_000.0;
    assert!((sum.next_bps as f64 - needed).abs() < 2.0, "{}", sum.next_bps);
    assert_eq!(sum.wanted_bps, 1_564_000);
}

#[test]
fn down_is_immediate_and_up_takes_steps() {
    let mut world = World::new();
    let wishes = [wish(0, LARGE, false)];
    world.choose(3_000_000, &wishes);
    world.choose(400_000, &wishes);
    assert_eq!(world.layer(0), Some(0));
    assert_eq!(world.stay(1.5, 3_000_000, &wishes, 0), [Some(0)], "not at once");
    assert_eq!(world.stay(10.0, 3_000_000, &wishes, 0), [Some(0), Some(1), Some(2)]);
}

#[test]
fn an_estimate_that_wavers_around_a_layer_does_not_switch_it() {
    let mut world = World::new();
    let wishes = [wish(0, LARGE, false)];
    world.choose(1_640_000, &wishes);
    assert_eq!(world.layer(0), Some(2));
    for n in 0..200 {
        world.choose(if n % 2 == 0 { 1_460_000 } else { 1_640_000 }, &wishes);
        assert_eq!(world.layer(0), Some(2));
    }
    world.choose(1_400_000, &wishes);
    assert_eq!(world.layer(0), Some(1));
    assert_eq!(world.stay(10.0, 1_600_000, &wishes, 0), [Some(1)], "no room to spare");
}

#[test]
fn steps_up_that_do_not_last_come_ever_more_rarely() {
    let mut world = World::new();
    let wishes = [wish(0, LARGE, false)];
    world.choose(600_000, &wishes);
    let mut ups = Vec::new();
    let mut was = world.layer(0);
    for n in 0..600 {
        let budget = if was == Some(2) { 900_000 } else { 2_000_000 };
        world.choose(budget, &wishes);
        if world.layer(0) > was {
            ups.push(n);
        }
        was = world.layer(0);
    }
    let waits: Vec<_> = ups.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() >= 3 && waits.windows(2).all(|pair| pair[1] >= pair[0]), "{waits:?}");
    assert!(*waits.last().expect("some") >= 150, "{waits:?}");
}

#[test]
fn equals_are_treated_equally() {
    let mut world = World::new();
    let wishes: Vec<Wish> = (0..4).map(|slot| wish(slot, LARGE, false)).collect();
    world.stay(30.0, 2_300_000, &wishes, 0);
    assert_eq!(world.grants.iter().map(|grant| grant.layer).collect::<Vec<_>>(), [Some(1); 4]);
}

#[test]
fn steps_up_of_different_slots_do_not_come_together() {
    let mut world = World::new();
    let wishes: Vec<Wish> = (0..6).map(|slot| wish(slot, LARGE, false)).collect();
    world.choose(1_000_000, &wishes);
    let mut before: Vec<_> = world.grants.clone();
    let mut rises = Vec::new();
    for n in 0..100 {
        world.choose(10_000_000, &wishes);
        let raised = world.grants.iter().zip(&before).filter(|(now, before)| now.layer > before.layer).count();
        if raised > 0 {
            rises.push(n);
        }
        before.clone_from(&world.grants);
    }
    assert!(rises.windows(2).all(|pair| pair[1] - pair[0] >= 2), "{rises:?}");
    assert_eq!(world.grants.iter().map(|grant| grant.layer).collect::<Vec<_>>(), [Some(2); 6]);
}

#[test]
fn slots_beyond_the_limit_and_doubles_are_left_out() {
    let mut world = World::new();
    world.choose(3_000_000, &[wish(0, LARGE, false), wish(0, LARGE, true), wish(MOST_SLOTS as u8, LARGE, false)]);
    assert_eq!(world.grants, [Grant { slot: 0, layer: Some(2) }]);
    let many = [Layer { bitrate_bps: 1, pixels: 1 }; MOST_LAYERS + 5];
    world.choose(
        3_000_000,
        &[
            Wish { slot: 1, pixels: LARGE, is_focus: false, layers: &many },
            Wish { slot: 2, pixels: 9, is_focus: false, layers: &[] },
        ],
    );
    assert_eq!((world.layer(1), world.layer(2)), (Some(MOST_LAYERS - 1), None));
}

/// SplitMix64.
fn random(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % bound
}

#[test]
fn the_budget_is_never_exceeded_and_the_focused_never_pays_for_others() {
    for first in 0..300 {
        let mut seed = first;
        let mut world = World::new();
        for _ in 0..50 {
            world.now += Duration::from_millis(random(&mut seed, 3_000));
            let budget = random(&mut seed, 8_000_000);
            let wishes: Vec<Wish> = (0..1 + random(&mut seed, 9) as u8)
                .map(|slot| wish(slot, [0, 320 * 180, 640 * 360, LARGE][random(&mut seed, 4) as usize], slot == 0))
                .collect();
            let sum = world.choose(budget, &wishes);
            let all: u64 = world.grants.iter().map(|grant| grant.layer.map_or(0, |layer| THREE[layer].bitrate_bps)).sum();
            assert_eq!(all, sum.video_bps, "seed {first}");
            assert!(all as f64 <= GRACE * budget as f64, "seed {first}: {all} of {budget}");
            assert!(wishes.iter().all(|wish| wish.is_shown() || world.layer(wish.slot).is_none()), "seed {first}: unseen");
            // Whoever is served while the focused one is paused waits for nothing but time.
            if wishes[0].is_shown() && world.layer(0).is_none() && all > 0 {
                let until = world.allocator.slots[0].until;
                assert!(
                    until.is_some_and(|until| until > world.now)
                        || world.allocator.raised.is_some_and(|at| at + STAGGER > world.now),
                    "seed {first}"
                );
            }
        }
    }
}

#[test]
fn a_new_focus_is_served_at_once_whatever_was_before() {
    let mut world = World::new();
    let wishes = |focus: u8| [wish(0, LARGE, focus == 0), wish(1, LARGE, focus == 1)];
    world.choose(1_900_000, &wishes(0));
    world.choose(600_000, &wishes(0));
    world.choose(1_900_000, &wishes(0));
    assert_eq!((world.layer(0), world.layer(1)), (Some(0), Some(0)), "a step up waits");
    world.choose(1_900_000, &wishes(1));
    assert_eq!((world.layer(0), world.layer(1)), (Some(0), Some(2)), "a new wish does not");
    world.choose(1_900_000, &wishes(0));
    assert_eq!((world.layer(0), world.layer(1)), (Some(2), Some(0)));
}
