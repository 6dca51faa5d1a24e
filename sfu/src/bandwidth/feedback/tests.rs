use super::*;

/// A message made by hand: base 0xFFFE, five packets, reference 3, number 9.
fn message(chunks: &[u16], deltas: &[u8], count: u16) -> Vec<u8> {
    let mut packet = vec![0x8F, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0xFF, 0xFE];
    packet.extend(count.to_be_bytes());
    packet.extend([0, 0, 3, 9]);
    chunks.iter().for_each(|chunk| packet.extend(chunk.to_be_bytes()));
    packet.extend(deltas);
    packet.resize(packet.len().next_multiple_of(4), 0);
    let words = (packet.len() / 4 - 1) as u16;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
    packet
}

fn statuses(packet: &[u8]) -> Vec<(u16, Option<i64>)> {
    let feedback = Feedback::parse(packet).expect("a whole message");
    feedback.statuses().map(|status| (status.sequence, status.arrived)).collect()
}

#[test]
fn every_form_of_a_chunk_is_read() {
    let expected = [(0xFFFE, Some(1_000)), (0xFFFF, None), (0, Some(3_000)), (1, Some(500)), (2, None)];
    let deltas = [4, 8, 0xFF, 0xF6];
    // Pairs: short, missing, short, long, missing.
    let pairs = message(&[0b11_01_00_01_10_00_00_00], &deltas, 5);
    assert_eq!(statuses(&pairs), expected);
    // The same as runs of one.
    let runs = message(&[1 << 13 | 1, 1, 1 << 13 | 1, 2 << 13 | 1, 1], &deltas, 5);
    assert_eq!(statuses(&runs), expected);
    // Bits know no long deltas, and an empty run tells of nothing.
    let bits = message(&[0, 0b10_10110000000000], &[4, 8, 12], 5);
    assert_eq!(statuses(&bits), [(0xFFFE, Some(1_000)), (0xFFFF, None), (0, Some(3_000)), (1, Some(6_000)), (2, None)]);

    let feedback = Feedback::parse(&pairs).expect("a whole message");
    assert_eq!((feedback.from, feedback.about, feedback.base, feedback.count), (1, 2, 0xFFFE, 5));
    assert_eq!((feedback.reference_micros(), feedback.number), (192_000, 9));
}

#[test]
fn a_reference_time_has_a_sign() {
    let mut packet = message(&[1], &[], 1);
    packet[16..19].copy_from_slice(&[0xFF, 0xFF, 0xFE]);
    assert_eq!(Feedback::parse(&packet).expect("a whole message").reference_micros(), -128_000);
}

#[test]
fn what_does_not_hold_what_it_announces_is_refused() {
    let whole = message(&[0b11_01_00_01_10_00_00_00], &[4, 8, 0xFF, 0xF6], 5);
    for len in 0..whole.len() - 2 {
        assert!(Feedback::parse(&whole[..len]).is_none(), "{len} bytes are not whole");
    }
    assert!(Feedback::parse(&message(&[1], &[], 0)).is_none(), "nothing is told");
    assert!(Feedback::parse(&message(&[3 << 13 | 1], &[0, 0], 1)).is_none(), "a reserved symbol in a run");
    assert!(Feedback::parse(&message(&[0b11_11_00_00_00_00_00_00], &[0, 0], 1)).is_none(), "a reserved symbol in a pair");
    // Beyond the count a symbol means nothing.
    assert!(Feedback::parse(&message(&[0b11_00_11_00_00_00_00_00], &[], 1)).is_some());
    let mut other = whole.clone();
    other[0] = 0x8E;
    assert!(Feedback::parse(&other).is_none(), "another format");
    other = whole;
    other[0] |= 0x20;
    *other.last_mut().expect("bytes") = 200;
    assert!(Feedback::parse(&other).is_none(), "more padding than packet");
}

#[test]
fn a_compound_packet_may_hold_several_between_others() {
    let one = message(&[1], &[], 1);
    let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let compound = [&report[..], &one, &report, &one, &[1, 2, 3]].concat();
    let mut count = 0;
    for_each_feedback(&compound, |feedback| count += u32::from(feedback.count));
    assert_eq!(count, 2);
}

#[test]
fn remb_is_found_behind_other_reports() {
    let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let remb = [0x8F, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 4 << 2 | 1, 0, 2, 0, 0, 0, 9];
    assert_eq!(find_remb(&[&report[..], &remb].concat()), Some(0x1_0002 << 4));
    assert_eq!(find_remb(&report), None);
    let mut endless = remb;
    endless[17] = 0xFF;
    assert_eq!(find_remb(&endless), None);
}

#[test]
fn reference_times_go_on_when_they_return_to_their_beginning() {
    let at = |reference: i32| {
        let mut packet = message(&[1], &[], 1);
        packet[16..19].copy_from_slice(&reference.to_be_bytes()[1..]);
        packet
    };
    let mut timeline = Timeline::default();
    let mut place = |reference| timeline.place(&Feedback::parse(&at(reference)).expect("a whole message"));
    assert_eq!(place(0x7F_FFFE), 0);
    assert_eq!(place(-0x80_0000), 128_000);
    assert_eq!(place(0x7F_FFFF), 64_000);
    assert_eq!(place(0x7F_FFFD), -64_000);
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

#[test]
fn what_arrived_is_told_whole_and_once_whatever_is_lost_late_or_doubled() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let start = Instant::now();
        let mut now = start;
        let mut arrivals = Arrivals::new(start);
        let mut timeline = Timeline::default();
        let begin = random.below(1 << 16) as i64;
        let mut base = None;
        // What arrived first, in µs, by index.
        let (mut expected, mut told) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
        let mut delayed: Option<i64> = None;
        let (loss, gap) = (random.below(60), random.below(40));
        let mut index = begin;
        for _ in 0..600 {
            now += Duration::from_micros(random.below(8_000));
            index += if random.below(100) < gap && gap > 30 { 1 + random.below(20) as i64 } else { 1 };
            let mut now_here = None;
            match random.below(100) {
                n if n < loss => {}
                n if n < loss + 3 => delayed = Some(index),
                _ => now_here = Some(index),
            }
            let late = if random.below(12) == 0 { delayed.take() } else { None };
            let late = late.filter(|late| expected.keys().next().is_some_and(|first| late > first));
            for index in now_here.into_iter().chain(late) {
                arrivals.record(now, index as u16, 1_000);
                expected.entry(index).or_insert(now.duration_since(start).as_micros() as i64);
            }
            let mut buffer = [0; FEEDBACK_LEN];
            while let Some(len) = arrivals.write(now, 1, 2, &mut buffer) {
                let feedback = Feedback::parse(&buffer[..len]).expect("what we write is whole");
                let base = *base.get_or_insert_with(|| feedback.reference_micros());
                let place = timeline.place(&feedback) + base;
                for (n, status) in feedback.statuses().enumerate() {
                    if let Some(arrived) = status.arrived {
                        let behind = (index as u16).wrapping_sub(feedback.base.wrapping_add(n as u16));
                        told.insert(index - i64::from(behind), place + arrived);
                    }
                }
            }
        }
        now += Duration::from_secs(1);
        let mut buffer = [0; FEEDBACK_LEN];
        while let Some(len) = arrivals.write(now, 1, 2, &mut buffer) {
            let feedback = Feedback::parse(&buffer[..len]).expect("what we write is whole");
            let place = timeline.place(&feedback) + base.unwrap_or_else(|| feedback.reference_micros());
            for status in feedback.statuses().filter(|status| status.arrived.is_some()) {
                let behind = (index as u16).wrapping_sub(status.sequence);
                told.insert(index - i64::from(behind), place + status.arrived.expect("filtered"));
            }
        }
        assert_eq!(told.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "seed {seed}");
        for (index, at) in &expected {
            assert!((told[index] - at).abs() <= TICK_MICROS, "seed {seed}: {index} arrived at {at}, told {}", told[index]);
        }
        assert!(arrivals.next_timeout().is_none(), "nothing is left to tell");
    }
}

#[test]
fn a_jump_of_the_sequence_begins_anew_and_a_message_stays_small() {
    let start = Instant::now();
    let mut arrivals = Arrivals::new(start);
    for sequence in [1u16, 2, 30_000, 30_001, 29_500] {
        arrivals.record(start, sequence, 100);
    }
    let mut buffer = [0; FEEDBACK_LEN];
    let mut told = Vec::new();
    let now = start + Duration::from_secs(1);
    while let Some(len) = arrivals.write(now, 1, 2, &mut buffer) {
        assert!(len <= FEEDBACK_LEN);
        let feedback = Feedback::parse(&buffer[..len]).expect("what we write is whole");
        told.extend(feedback.statuses().filter(|status| status.arrived.is_some()).map(|status| status.sequence));
    }
    assert_eq!(told, [29_500, 30_000, 30_001]);
}

#[test]
fn messages_come_every_fifty_milliseconds_and_rarer_when_little_arrives() {
    let start = Instant::now();
    for (gap, least, most) in [(2, 19, 20), (200, 3, 6)] {
        let mut arrivals = Arrivals::new(start);
        let mut messages = 0;
        for ms in 0..1_000u64 {
            let now = start + Duration::from_millis(ms);
            if ms % gap == 0 {
                arrivals.record(now, (ms / gap) as u16, 60);
            }
            messages += usize::from(arrivals.write(now, 1, 2, &mut [0; FEEDBACK_LEN]).is_some());
        }
        assert!((least..=most).contains(&messages), "{messages} messages of packets every {gap} ms");
    }
}
