use super::*;
use std::collections::HashSet;

struct World {
    slots: Slots,
    start: Instant,
    changes: Vec<u32>,
    /// Who was displaced by louder speakers.
    unheard: Vec<u32>,
    hint: usize,
}

impl World {
    fn new(count: u32) -> World {
        let start = Instant::now();
        World {
            slots: Slots::new(start, &(100..100 + count).collect::<Vec<_>>()),
            start,
            changes: Vec::new(),
            unheard: Vec::new(),
            hint: 0,
        }
    }

    fn say(&mut self, at_ms: u64, speaker: u32, index: u64) -> Result<Place, Refused> {
        let now = self.start + Duration::from_millis(at_ms);
        let (changes, unheard) = (&mut self.changes, &self.unheard);
        let is_heard = |speaker| !unheard.contains(&speaker);
        self.slots.place(now, speaker, index, (index * 960) as u32, &mut self.hint, is_heard, |ssrc| changes.push(ssrc))
    }
}

#[test]
fn a_speaker_keeps_its_slot_and_offsets_stay_fixed() {
    let mut world = World::new(2);
    let first = world.say(0, 1, 5000).expect("a free slot");
    assert!(first.is_first);
    assert_eq!((first.ssrc, first.index), (100, 1));
    // One packet lost, one late.
    let third = world.say(40, 1, 5002).expect("the same slot");
    let second = world.say(41, 1, 5001).expect("late but of this tenure");
    assert_eq!((second.index, third.index), (2, 3));
    assert_eq!(second.timestamp.wrapping_sub(first.timestamp), 960);
    assert_eq!(third.timestamp.wrapping_sub(first.timestamp), 1920);
    assert_eq!(world.changes, [100]);
}

#[test]
fn the_stream_goes_on_where_it_was_when_the_speaker_changes() {
    let mut world = World::new(1);
    let last = (0..10).map(|i| world.say(i * 20, 1, 7 + i).expect("a slot")).last().expect("ten packets");
    world.unheard = vec![1];
    let next = world.say(180 + 1000, 2, 60_000).expect("the first speaker is not heard any more");
    assert_eq!((next.ssrc, next.index, next.is_first), (last.ssrc, last.index + 1, true));
    assert_eq!(next.timestamp.wrapping_sub(last.timestamp), 48_000, "a second of pause is a second of clock");
    assert_eq!(world.changes, [100, 100]);
}

#[test]
fn only_who_is_not_heard_any_more_loses_a_slot() {
    let mut world = World::new(2);
    world.say(0, 1, 1).expect("free");
    world.say(100, 2, 1).expect("free");
    world.unheard = vec![1];
    assert_eq!(world.say(200, 3, 1).map(|place| place.ssrc), Ok(100));
    assert_eq!(world.say(201, 4, 1), Err(Refused::NoSlot), "there are never more who are heard than slots");
    assert_eq!(world.say(202, 2, 2).map(|place| (place.ssrc, place.index)), Ok((101, 2)), "wherever the hint points");
}

#[test]
fn a_freed_slot_is_given_before_a_held_one() {
    let mut world = World::new(2);
    world.say(0, 1, 1).expect("free");
    world.say(1, 2, 1).expect("free");
    assert_eq!((world.slots.free(2), world.slots.free(2)), (Some(101), None));
    assert_eq!(world.say(5000, 3, 9).map(|place| place.ssrc), Ok(101));
}

#[test]
fn a_packet_from_before_the_tenure_has_no_place() {
    let mut world = World::new(1);
    world.say(0, 1, 50).expect("free");
    assert_eq!(world.say(1, 1, 49), Err(Refused::BeforeTenure));
    assert_eq!(world.say(2, 1, 51).map(|place| place.index), Ok(2));
}

#[test]
fn a_jump_of_the_speaker_is_no_jump_of_the_stream() {
    let mut world = World::new(1);
    let first = world.say(0, 1, 50).expect("free");
    let after_jump = world.say(20, 1, 30_000).expect("its slot");
    assert_eq!((after_jump.index, after_jump.timestamp), (first.index + 1, first.timestamp + 960));
    assert_eq!(world.say(21, 1, 51), Err(Refused::BeforeTenure));
    assert_eq!(world.changes, [100], "the speaker is the same");
}

#[test]
fn a_listener_that_was_deaf_goes_on_where_it_was() {
    let mut world = World::new(2);
    let last = world.say(0, 1, 50).expect("free");
    let mut freed = Vec::new();
    world.slots.free_all(|ssrc| freed.push(ssrc));
    assert_eq!(freed, [100]);
    let next = world.say(100_000, 1, 5050).expect("free");
    assert_eq!(next.index, if next.ssrc == last.ssrc { last.index + 1 } else { 1 });
}

#[test]
fn without_slots_there_is_no_place() {
    assert_eq!(World::new(0).say(0, 1, 1), Err(Refused::NoSlot));
}

/// The property AEAD needs: whatever speakers do, no (SSRC, index) is used twice.
#[test]
fn no_index_of_a_slot_is_ever_used_twice() {
    let mut world = World::new(3);
    let mut used = HashSet::new();
    let mut state = 42u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    // Each speaker's packets are unique, as ingress guarantees, and arrive up to three places late: 3, 2, 1, 0, 7, 6, ...
    let mut next = [0u64; 8];
    let mut at = 0;
    for _ in 0..20_000 {
        at += random(60);
        let speaker = random(8) as usize;
        let index = next[speaker] ^ 3;
        next[speaker] += 1;
        if random(50) == 0 {
            world.slots.free(random(8) as u32);
        }
        // Nobody but the speaker is safe.
        world.unheard = (0..8).filter(|&other| other != speaker as u32).collect();
        if let Ok(place) = world.say(at, speaker as u32, 1 << 20 | index) {
            assert!(used.insert((place.ssrc, place.index)), "index {} of {} twice", place.index, place.ssrc);
        }
    }
    assert!(used.len() > 3_000, "the world was not silent");
}

#[test]
fn what_went_out_in_the_present_tenure_is_found_by_its_number() {
    let mut world = World::new(2);
    let sent: Vec<Place> = (0..100u64).map(|n| world.say(n * 20, 1, 5000 + n + 3 * (n / 50)).expect("a slot")).collect();
    for (n, place) in sent.iter().enumerate() {
        let gone = world.slots.gone(place.ssrc, place.index as u16, 64);
        let expected = Gone {
            speaker: 1,
            index: 5000 + n as u64 + 3 * (n as u64 / 50),
            out_index: place.index,
            timestamp_offset: place.timestamp.wrapping_sub((5000 + n as u32 + 3 * (n as u32 / 50)) * 960),
            is_first: false,
        };
        assert_eq!(gone, (sent[99].index - place.index < 64).then_some(expected), "{n}");
    }
    let newest = sent[99].index as u16;
    assert_eq!(world.slots.gone(100, newest + 1, 64), None, "not sent yet");
    assert_eq!(world.slots.gone(101, newest, 64), None, "another slot");
    assert_eq!(world.slots.newest().collect::<Vec<_>>(), [(100, newest)], "the other slot is nobody's");
    assert!(world.slots.has(101) && !world.slots.has(102));
    // The next tenure begins above; what was before it is somebody else's.
    world.slots.free(1);
    assert_eq!(world.slots.gone(100, newest, 64), None, "nobody is there");
    let first = world.say(2_100, 2, 7).expect("a slot");
    let second = world.say(2_120, 1, 9_000).expect("a slot");
    for (place, speaker) in [(first, 2), (second, 1)] {
        let gone = world.slots.gone(place.ssrc, place.index as u16, 64).expect("just sent");
        assert_eq!((gone.speaker, gone.is_first), (speaker, true));
        assert_eq!(world.slots.gone(place.ssrc, (place.index as u16).wrapping_sub(1), 64), None);
    }
}
