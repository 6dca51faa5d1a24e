use super::*;
use crate::engine::testing::Random;
use std::collections::BTreeMap;

/// Packets of 20 ms: their levels and lengths in, what is forwarded of them out.
fn check(packets: &[(Option<u8>, usize)], expected: &[Option<(u64, bool)>]) {
    let mut activity = Activity::default();
    let heard: Vec<_> = packets
        .iter()
        .zip(1000u64..)
        .map(|(&(level, len), index)| activity.hear(index, index as u32 * PACKET_TICKS, level, len))
        .map(|spoken| spoken.map(|spoken| (spoken.index, spoken.is_voice)))
        .collect();
    assert_eq!(heard, expected, "{packets:?}");
}

#[test]
fn a_measured_level_says_what_is_voice() {
    check(
        &[(Some(30), 80), (Some(0x80 | 30), 80), (Some(60), 80), (Some(61), 80), (Some(126), 80), (Some(127), 80)],
        &[
            Some((1000, true)),
            Some((1001, true)),
            Some((1002, true)),
            Some((1003, false)),
            Some((1004, false)),
            Some((1005, false)),
        ],
    );
}

#[test]
fn without_a_level_the_length_says_it() {
    check(
        &[(None, 120), (None, 20), (None, 19), (None, 3), (None, 1), (None, 400)],
        &[
            Some((1000, true)),
            Some((1001, true)),
            Some((1002, false)),
            Some((1003, false)),
            Some((1004, false)),
            Some((1005, true)),
        ],
    );
}

#[test]
fn long_packets_are_measured_by_their_time() {
    let mut activity = Activity::default();
    let voice = |spoken: Option<Spoken>| spoken.map(|spoken| spoken.is_voice);
    activity.hear(1, 0, None, 60);
    assert_eq!(voice(activity.hear(2, 2880, None, 60)), Some(true), "60 bytes in 60 ms are 8 kbit/s");
    assert_eq!(voice(activity.hear(3, 5760, None, 50)), Some(false), "50 are less");
    assert_eq!(voice(activity.hear(4, 6240, None, 10)), Some(true), "10 bytes in 10 ms are 8 kbit/s");
    assert_eq!(voice(activity.hear(6, 12000, None, 50)), Some(true), "across a loss a packet is taken for 20 ms");
}

#[test]
fn an_assumed_voice_stays_below_measured_speech() {
    let settled = |level: Option<u8>, len| {
        let mut activity = Activity::default();
        (0..50u64)
            .filter_map(|index| activity.hear(index, index as u32 * PACKET_TICKS, level, len))
            .last()
            .map(|last| last.loudness)
    };
    assert_eq!(settled(None, 1200), Some(VOICE + 10));
    assert_eq!(settled(None, 20), Some(VOICE));
    assert_eq!(settled(Some(40), 1200), Some(87));
}

#[test]
fn silence_ends_after_a_tail_and_leaves_no_hole() {
    let silence = |len| vec![(None, len); 10];
    let levels = vec![(Some(127), 40); 10];
    for silence in [silence(1), silence(3), levels] {
        let mut packets = vec![(Some(30), 80)];
        packets.extend(silence);
        packets.extend([(Some(30), 80), (Some(30), 80)]);
        let tail = (1001..1007).map(|index| Some((index, false)));
        let expected: Vec<_> = [Some((1000, true))]
            .into_iter()
            .chain(tail)
            .chain([None; 4])
            .chain([Some((1007, true)), Some((1008, true))])
            .collect();
        check(&packets, &expected);
    }
}

#[test]
fn one_loud_packet_gives_silence_its_tail_again() {
    let mut activity = Activity::default();
    let mut forwarded = 0;
    for index in 0..100u64 {
        let level = if index % 10 == 0 { 30 } else { 127 };
        forwarded += u64::from(activity.hear(index, index as u32 * PACKET_TICKS, Some(level), 50).is_some());
    }
    assert_eq!(forwarded, 10 * (1 + u64::from(SILENT_TAIL)));
}

#[test]
fn a_packet_later_than_silence_keeps_its_number_and_one_from_within_is_left_out() {
    let mut activity = Activity::default();
    let mut hear =
        |index: u64, level| activity.hear(index, index as u32 * PACKET_TICKS, Some(level), 50).map(|spoken| spoken.index);
    assert_eq!(hear(0, 30), Some(0));
    assert_eq!(hear(2, 30), Some(2));
    (3..9).for_each(|index| assert_eq!(hear(index, 127), Some(index)));
    assert_eq!((hear(9, 127), hear(11, 127)), (None, None));
    assert_eq!(hear(13, 30), Some(10), "12 is lost as far as anyone knows; 9, 10 and 11 never were");
    assert_eq!(hear(1, 30), Some(1), "from before the silence");
    assert_eq!(hear(10, 127), None, "from within");
    assert_eq!(hear(12, 30), Some(9), "from behind it");
}

#[test]
fn loudness_rises_within_a_syllable_and_falls_within_a_second() {
    let mut activity = Activity::default();
    let mut after = |packets: std::ops::Range<u64>, level| {
        packets
            .filter_map(|index| activity.hear(index, index as u32 * PACKET_TICKS, Some(level), 50))
            .last()
            .map(|last| last.loudness)
    };
    assert!(after(0..3, 30).is_some_and(|loudness| loudness >= 80), "60 ms");
    assert!(after(3..8, 90).is_some_and(|loudness| loudness >= 70), "a pause of 100 ms between words");
    assert!(after(8..53, 90).is_some_and(|loudness| loudness <= 45), "a second");
}

#[test]
fn after_a_pause_the_past_does_not_count() {
    let mut activity = Activity::default();
    activity.hear(0, 0, Some(10), 50);
    let back = activity.hear(1, 48_000, Some(50), 50);
    assert_eq!(back, Some(Spoken { index: 1, loudness: 77, is_voice: true }));
}

/// Whatever is silent, lost, late or left out: numbers never repeat, never go back in order of sending, and have no hole that
/// the network did not make.
#[test]
fn numbers_are_unique_and_in_order_whatever_happens() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut activity = Activity::default();
        let mut is_talking = true;
        let mut sent: Vec<(u64, u8)> = Vec::new();
        for index in 5u64..1500 {
            if random.below(30) == 0 {
                is_talking = !is_talking;
            }
            let is_lost = random.below(20) == 0;
            if !is_lost {
                sent.push((index, if is_talking { 30 } else { 127 }));
            }
        }
        // Some come up to three places late.
        for at in 3..sent.len() {
            if random.below(10) == 0 {
                sent.swap(at, at - 1 - random.below(3) as usize);
            }
        }
        let mut numbers = BTreeMap::new();
        for (index, level) in sent {
            if let Some(spoken) = activity.hear(index, index as u32 * PACKET_TICKS, Some(level), 50) {
                assert!(numbers.insert(index, spoken.index).is_none());
                if random.below(50) == 0 && level == 30 && activity.newest.is_some_and(|(newest, _)| newest == index) {
                    activity.leave_out_newest();
                    numbers.remove(&index);
                }
            }
        }
        let pairs: Vec<(u64, u64)> = numbers.into_iter().collect();
        assert!(pairs.len() > 500, "seed {seed}");
        for pair in pairs.windows(2) {
            let [(before, number_before), (after, number)] = [pair[0], pair[1]];
            assert!(number > number_before, "seed {seed}: {pair:?}");
            assert!(number - number_before <= after - before, "seed {seed}: {pair:?}");
        }
    }
}
