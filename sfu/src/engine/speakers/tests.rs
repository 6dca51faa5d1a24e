use super::*;
use crate::engine::testing::Random;
use std::collections::BTreeMap;

/// Packets come every 20 ms from whoever talks.
const PACKET: u64 = 20;

struct World {
    speakers: Speakers,
    start: Instant,
    at_ms: u64,
    priority: Vec<u32>,
}

impl World {
    fn new() -> World {
        World { speakers: Speakers::new(), start: Instant::now(), at_ms: 0, priority: Vec::new() }
    }

    fn hear(&mut self, key: u32, loudness: u8, is_voice: bool) -> Option<u8> {
        let now = self.start + Duration::from_millis(self.at_ms);
        let before: Vec<u32> = self.order();
        let is_priority = self.priority.contains(&key);
        let placed = self.speakers.hear(now, key, Some(key as usize), is_priority, &Spoken { index: 0, loudness, is_voice })?;
        let after = self.order();
        assert_eq!(after[usize::from(placed.place)], key);
        for place in 0..after.len() {
            let is_told = placed.changed.contains(&place);
            assert!(is_told || before.get(place) == Some(&after[place]), "place {place} changed unsaid: {before:?} {after:?}");
        }
        let displaced = before.iter().find(|&&one| !after.contains(&one)).map(|&one| one as usize);
        assert_eq!(placed.displaced, displaced);
        Some(placed.place)
    }

    fn order(&self) -> Vec<u32> {
        self.speakers.0.iter().map(|speaker| speaker.key).collect()
    }

    /// All of them talk, in this order, for so long.
    fn talk(&mut self, who: &[(u32, u8)], ms: u64) {
        for _ in 0..ms / PACKET {
            who.iter().for_each(|&(key, loudness)| _ = self.hear(key, loudness, true));
            self.at_ms += PACKET;
        }
    }

    fn check(&mut self, expected: &[u32]) {
        assert_eq!(self.order(), expected, "after {} ms", self.at_ms);
    }
}

#[test]
fn who_comes_first_stands_first_and_stays_there() {
    let mut world = World::new();
    world.talk(&[(1, 90), (2, 90), (3, 90)], 5000);
    world.check(&[1, 2, 3]);
    world.talk(&[(1, 85), (2, 90), (3, 90)], 5000);
    world.check(&[1, 2, 3]);
}

#[test]
fn the_first_packet_takes_the_place_of_the_silent() {
    let mut world = World::new();
    world.talk(&[(1, 90), (2, 90), (3, 90)], 100);
    world.talk(&[(1, 90), (3, 90)], 400);
    world.talk(&[(4, 50)], PACKET);
    world.check(&[1, 3, 4, 2]);
    assert_eq!(world.hear(2, 90, true), Some(3), "the others hold their places");
}

#[test]
fn a_pause_between_words_costs_no_place() {
    let mut world = World::new();
    world.talk(&[(1, 90)], 100);
    world.talk(&[(2, 90)], 380);
    world.check(&[1, 2]);
    world.talk(&[(1, 90), (2, 90)], 100);
    world.check(&[1, 2]);
    world.talk(&[(2, 90)], 420);
    world.check(&[2, 1]);
}

#[test]
fn noise_takes_no_place_and_holds_none() {
    let mut world = World::new();
    world.talk(&[(1, 90), (2, 90)], 100);
    world.at_ms += 500;
    for _ in 0..50 {
        assert_eq!(world.hear(3, 60, false), Some(2));
        world.at_ms += PACKET;
    }
    world.talk(&[(2, 90)], PACKET);
    world.check(&[2, 1, 3]);
    world.talk(&[(4, 90)], PACKET);
    world.check(&[2, 4, 3, 1]);
}

#[test]
fn the_clearly_louder_take_the_nearest_quieter_place_after_a_while() {
    let mut world = World::new();
    world.talk(&[(1, 90), (2, 80), (3, 84)], 100);
    world.talk(&[(1, 90), (2, 80), (3, 84), (4, 86)], 200);
    world.check(&[1, 2, 3, 4]);
    world.talk(&[(1, 90), (2, 80), (3, 84), (4, 86)], PACKET);
    world.check(&[1, 4, 3, 2]);
    world.talk(&[(1, 90), (2, 89), (3, 88), (4, 85), (5, 90)], 10_000);
    world.check(&[1, 4, 3, 2, 5]);
}

#[test]
fn a_cough_takes_no_place() {
    let mut world = World::new();
    for _ in 0..20 {
        world.talk(&[(1, 80), (2, 90)], 180);
        world.talk(&[(1, 80), (2, 80)], 100);
        world.check(&[1, 2]);
    }
}

#[test]
fn a_challenge_ends_with_the_speech() {
    let mut world = World::new();
    world.talk(&[(1, 80), (2, 90)], 180);
    world.talk(&[(1, 80)], 1000);
    world.talk(&[(1, 80), (2, 90)], 180);
    world.check(&[1, 2]);
}

#[test]
fn priority_speakers_stand_before_the_others_at_once() {
    let mut world = World::new();
    world.talk(&[(1, 120), (2, 120), (3, 120)], 100);
    world.priority = vec![8, 9];
    world.talk(&[(1, 120), (2, 120), (3, 120), (8, 60)], PACKET);
    world.check(&[8, 1, 2, 3]);
    world.talk(&[(1, 120), (2, 120), (3, 120), (8, 60), (9, 60)], 1000);
    world.check(&[8, 9, 1, 2, 3]);
    // Loudness does not get one before them, their silence does.
    world.talk(&[(1, 120), (2, 120), (3, 120), (9, 60)], 500);
    assert!(world.speakers.place_of(8) > 0, "silent");
    world.talk(&[(8, 60)], PACKET);
    assert_eq!(world.order()[..2], [9, 8]);
    // Nor does it when another of them falls silent before one that talks.
    world.talk(&[(1, 120), (2, 120), (3, 120), (8, 60)], 500);
    assert_eq!(world.speakers.place_of(8), 0);
}

#[test]
fn a_full_room_takes_who_talks_for_who_is_silent_and_nobody_else() {
    let mut world = World::new();
    let everyone: Vec<(u32, u8)> = (0..MAX_SPEAKERS as u32).map(|key| (key, 80)).collect();
    world.talk(&everyone, 100);
    assert_eq!(world.hear(100, 127, true), None);
    world.talk(&everyone[1..], 400);
    assert_eq!(world.hear(100, 60, false), None);
    assert_eq!(world.hear(100, 60, true), Some(31), "to where the silent one sank");
    world.priority = vec![200];
    assert_eq!(world.hear(200, 60, true), Some(0));
    assert_eq!((world.speakers.place_of(0), world.speakers.place_of(100)), (NO_PLACE, NO_PLACE));
    assert_eq!(world.order().len(), MAX_SPEAKERS);
}

#[test]
fn who_leaves_makes_the_others_move_up() {
    let mut world = World::new();
    world.talk(&[(1, 90), (2, 90), (3, 90)], 100);
    assert_eq!(world.speakers.remove(2), Some((1..2, Some(2))));
    assert_eq!(world.speakers.remove(2), None);
    world.check(&[1, 3]);
}

#[test]
fn own_speech_takes_no_place_from_oneself() {
    let heard = |own, voices| heard(Hearing { voices, own, pinned: 0 });
    assert_eq!(heard(NO_PLACE, 2), [0, 1]);
    assert_eq!(heard(0, 2), [1, 2]);
    assert_eq!(heard(1, 2), [0, 2]);
    assert_eq!(heard(2, 2), [0, 1]);
    assert!(heard(3, 0).is_empty());
    for own in [0, NO_PLACE] {
        assert!(!Hearing { voices: 32, own, pinned: 0 }.includes(NO_PLACE));
        assert!(!Hearing { voices: 32, own, pinned: 1 << 31 }.includes(NO_PLACE));
    }
}

/// The places of six speakers that a listener is sent.
fn heard(hearing: Hearing) -> Vec<u8> {
    (0..6).filter(|&place| place != hearing.own && hearing.includes(place)).collect()
}

#[test]
fn who_is_pinned_is_heard_in_place_of_the_last_who_would_be() {
    let heard = |own, voices, pinned| heard(Hearing { voices, own, pinned });
    assert_eq!(heard(NO_PLACE, 3, 0b10_0000), [0, 1, 5]);
    assert_eq!(heard(NO_PLACE, 3, 0b11_0000), [0, 4, 5]);
    assert_eq!(heard(NO_PLACE, 3, 0b00_0001), [0, 1, 2], "who is heard anyway costs nobody a place");
    assert_eq!(heard(0, 3, 0b01_0010), [1, 2, 4]);
    assert_eq!(heard(4, 2, 0b10_0000), [0, 5]);
    assert!(heard(NO_PLACE, 0, 0b10_0000).is_empty(), "who is deafened hears nobody");
    assert!(Hearing { voices: 4, own: NO_PLACE, pinned: 1 << 31 }.includes(31));
    for pinned in 0..1u32 << 6 {
        for own in [0, 2, 5, NO_PLACE] {
            let is_own = own < 6 && pinned >> own & 1 == 1;
            if pinned.count_ones() <= 3 && !is_own {
                assert_eq!(heard(own, 4, pinned).len(), 4, "{pinned:b} of {own}");
            }
        }
    }
}

/// For every listener's number of voices: one packet takes at most one other speaker out, and only one that was silent for
/// [`HOLD`], clearly quieter, or without priority.
#[test]
fn nobody_is_cut_off_without_a_reason() {
    for seed in 0..24 {
        let mut random = Random::new(seed);
        let mut world = World::new();
        world.priority = (0..random.below(3) as u32).collect();
        let people = 3 + random.below(40) as u32;
        let mut talks: BTreeMap<u32, u8> = BTreeMap::new();
        let mut last_voice: BTreeMap<u32, u64> = BTreeMap::new();
        let mut last_loudness: BTreeMap<u32, u8> = BTreeMap::new();
        for _ in 0..500 {
            if random.below(10) == 0 {
                let key = random.below(people.into()) as u32;
                if talks.remove(&key).is_none() {
                    talks.insert(key, 60 + random.below(60) as u8);
                }
            }
            let talking: Vec<(u32, u8)> = talks.iter().map(|(&key, &loudness)| (key, loudness)).collect();
            for (key, loudness) in talking {
                let before = world.order();
                let is_voice = random.below(5) > 0;
                if world.hear(key, loudness, is_voice).is_none() {
                    let silent = before.iter().filter(|&one| world.at_ms - last_voice.get(one).copied().unwrap_or(0) >= 1000);
                    assert!(!is_voice || silent.count() == 0, "seed {seed}: {key} was refused for someone silent");
                    continue;
                }
                let after = world.order();
                for voices in [1, 2, 4, 7, 16, MAX_SPEAKERS] {
                    let heard_after = &after[..voices.min(after.len())];
                    let out: Vec<u32> =
                        before[..voices.min(before.len())].iter().copied().filter(|one| !heard_after.contains(one)).collect();
                    assert!(out.len() <= 1, "seed {seed}: {key} takes {out:?} out for {voices} voices");
                    for one in out {
                        let silent_ms = last_voice.get(&one).map_or(u64::MAX, |at| world.at_ms - at);
                        let is_priority = |key| world.priority.contains(&key);
                        let is_quieter = last_loudness.get(&one).is_some_and(|&other| other + CLEARLY <= loudness);
                        assert!(
                            silent_ms >= 400 || is_quieter || (is_priority(key) && !is_priority(one)),
                            "seed {seed}: {key} cuts {one} off after {silent_ms} ms",
                        );
                    }
                }
                last_loudness.insert(key, loudness);
                if is_voice {
                    last_voice.insert(key, world.at_ms);
                }
            }
            world.at_ms += PACKET;
        }
    }
}
