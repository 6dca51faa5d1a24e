//! Feedback that a listener made up, for the parser and for the whole of the bandwidth machines.

use crate::bandwidth::allocator::{Allocator, Layer, Wish};
use crate::bandwidth::estimator::{Bounds, Estimator};
use crate::bandwidth::feedback::{Arrivals, FEEDBACK_LEN, Feedback, find_remb, for_each_feedback};
use crate::bandwidth::ledger::{Class, Ledger};
use crate::bandwidth::pacer::{Departure, Pacer};
use std::time::{Duration, Instant};

/// Transport-wide feedback: what is read is what a slow and simple reader reads, and no packet is told of twice.
pub fn twcc(data: &[u8]) {
    for_each_feedback(data, |feedback| assert_eq!(feedback.statuses().count(), usize::from(feedback.count)));
    find_remb(data);
    let Some(feedback) = Feedback::parse(data) else { return };
    let read: Vec<_> = feedback.statuses().map(|status| (status.sequence, status.arrived)).collect();
    assert_eq!(read, read_slowly(data), "read differently");

    let start = Instant::now();
    let mut ledger = Ledger::new(start);
    for _ in 0..3_000 {
        ledger.sent(start, 1_000, Class::Video, None);
    }
    let mut seen = std::collections::HashSet::new();
    ledger.resolve(start, &feedback, |outcome| assert!(seen.insert(outcome.index), "told twice"));
    ledger.resolve(start, &feedback, |outcome| panic!("{outcome:?} is told again"));
}

/// All symbols first, then all times, as the draft describes it.
fn read_slowly(packet: &[u8]) -> Vec<(u16, Option<i64>)> {
    let count = usize::from(u16::from_be_bytes([packet[14], packet[15]]));
    let base = u16::from_be_bytes([packet[12], packet[13]]);
    let (mut symbols, mut at) = (Vec::new(), 20);
    while symbols.len() < count {
        let chunk = u16::from_be_bytes([packet[at], packet[at + 1]]);
        at += 2;
        if chunk & 0x8000 == 0 {
            let run = usize::from(chunk & 0x1FFF).min(count - symbols.len());
            symbols.extend(std::iter::repeat_n(chunk >> 13 & 3, run));
        } else if chunk & 0x4000 == 0 {
            symbols.extend((0..14).map(|n| chunk >> (13 - n) & 1));
        } else {
            symbols.extend((0..7).map(|n| chunk >> (12 - 2 * n) & 3));
        }
    }
    symbols.truncate(count);
    let mut time = 0;
    let mut statuses = Vec::new();
    for (n, symbol) in symbols.into_iter().enumerate() {
        let arrived = (symbol != 0).then(|| {
            let ticks =
                if symbol == 1 { i64::from(packet[at]) } else { i64::from(i16::from_be_bytes([packet[at], packet[at + 1]])) };
            at += usize::from(symbol);
            time += 250 * ticks;
            time
        });
        statuses.push((base.wrapping_add(n as u16), arrived));
    }
    statuses
}

/// A script of what is sent and what feedback comes: an operation and two bytes for it each.
pub fn bandwidth(data: &[u8]) {
    let start = Instant::now();
    let bounds = Bounds::default();
    let mut now = start;
    let mut estimator = Estimator::new(start, bounds);
    let mut pacer: Pacer<u8> = Pacer::new(start);
    let mut allocator = Allocator::default();
    let mut receiver = Arrivals::new(start);
    let mut grants = Vec::new();
    // Those that may be told of.
    let mut sequences: Vec<u16> = Vec::new();
    let mut rest = data;
    while let Some(([what, a, b], after)) = rest.split_first_chunk::<3>() {
        rest = after;
        let (small, large) = (u64::from(*a), u64::from(*a) << 8 | u64::from(*b));
        match what % 9 {
            0 => {
                for n in 0..=*a {
                    let _ = pacer.push_video(now, n, usize::from(*b) * 8);
                    if n % 16 == 0 {
                        let _ = pacer.push_resend(now, n, usize::from(*b));
                    }
                }
            }
            // What arrived, of the last ones: every bit of the instruction's bytes is one.
            1 | 2 => {
                for (n, &sequence) in sequences.iter().rev().take(64).rev().enumerate() {
                    if large >> (n % 16) & 1 == 1 {
                        receiver.record(now + Duration::from_micros(100 * n as u64 * (small & 7)), sequence, 1_000);
                    }
                }
                let mut buffer = [0; FEEDBACK_LEN];
                while let Some(len) = receiver.write(now + Duration::from_secs(1), 1, 2, &mut buffer) {
                    let feedback = Feedback::parse(&buffer[..len]).expect("what we write is whole");
                    estimator.feedback(now, &feedback);
                }
            }
            // Anything at all behind a header, about packets that were sent.
            3 => {
                let len = (4 * usize::from(a % 32)).min(rest.len() / 4 * 4);
                let (body, after) = rest.split_at(len);
                rest = after;
                let base = sequences.last().copied().unwrap_or_default().wrapping_sub(u16::from(*b));
                let mut packet = vec![0x8F, 205, 0, (4 + len / 4) as u8, 0, 0, 0, 1, 0, 0, 0, 2];
                packet.extend(base.to_be_bytes());
                packet.extend([0, *b, 0, 0, *a, 1]);
                packet.extend(body);
                for_each_feedback(&packet, |feedback| estimator.feedback(now, &feedback));
            }
            4 => now += Duration::from_millis(large % 3_000),
            5 => now += Duration::from_millis(small % 40),
            6 => {
                estimator.remb(large << (b % 32));
                estimator.receiver_report(now, *a);
            }
            7 => estimator.set_wanted(large << 9),
            _ => {
                let layers = [(*a, 1), (a.wrapping_add(*b), 2), (*b, 3)];
                let layers = layers.map(|(n, m)| Layer { bitrate_bps: u64::from(n) * 9_000 * m, pixels: 57_600 << (2 * m) });
                let wish = |slot: u8| Wish { slot, pixels: large as u32 * 20, is_focus: slot == b % 8, layers: &layers };
                let wishes: Vec<Wish> = (0..a % 70).map(wish).collect();
                let budget = estimator.estimate().bps;
                let sum = allocator.allocate(now, budget, 40_000, &wishes, &mut grants);
                assert!(sum.video_bps <= budget + budget / 16, "{} of {budget}", sum.video_bps);
                assert!(grants.iter().all(|grant| grant.layer.is_none_or(|layer| layer < 3)));
                estimator.set_wanted(sum.next_bps);
            }
        }
        estimator.handle_timeout(now);
        assert!(estimator.next_timeout().is_none_or(|due| due > now), "time does not pass");
        let estimate = estimator.estimate();
        assert!((bounds.least_bps..=bounds.most_bps).contains(&estimate.bps), "{estimate:?}");
        pacer.set(estimate.pace_bps, estimator.probe(), estimator.burst(now));
        let mut left = 0;
        while let Some(departure) = pacer.pop(now) {
            let (bytes, class, cluster) = match departure {
                Departure::Packet { bytes, class, cluster, .. } => (bytes, class, cluster),
                Departure::Padding { bytes, cluster } => {
                    let bytes = if what & 0x80 != 0 { 0 } else { bytes };
                    pacer.padded(now, bytes);
                    (bytes, Class::Padding, Some(cluster))
                }
            };
            sequences.push(estimator.sent(now, bytes, class, cluster));
            pacer.set(estimate.pace_bps, estimator.probe(), estimator.burst(now));
            left += 1;
            assert!(left <= 64, "a run without an end");
        }
    }
}
