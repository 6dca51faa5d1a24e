use super::*;

/// Packets every 5 ms whose delay in µs is a function of their number.
fn run(filter: &mut ArrivalFilter, numbers: std::ops::Range<i64>, delay: impl Fn(i64) -> i64) -> usize {
    let mut over = 0;
    for n in numbers {
        filter.on_packet(n * 6_000, n * 6_000 + delay(n));
        over += usize::from(filter.usage() == Usage::Over);
    }
    over
}

#[test]
fn a_quiet_network_is_not_overused_and_its_queue_is_empty() {
    let mut filter = ArrivalFilter::default();
    assert_eq!(run(&mut filter, 0..2_000, |_| 12_345_678), 0);
    assert!(filter.queue_ms() < 0.001 && filter.jitter_ms() < 0.001);
}

#[test]
fn a_growing_queue_is_found_within_a_fifth_of_a_second_and_its_end_too() {
    let mut filter = ArrivalFilter::default();
    run(&mut filter, 0..500, |_| 1_000);
    // Twice as much as is carried: 6 ms more for each packet.
    let begun = (500..600).find(|&n| run(&mut filter, n..n + 1, |n| 1_000 + (n - 499) * 6_000) > 0).expect("it is found");
    assert!(begun < 535, "found after {} packets", begun - 500);
    let longest = (begun - 499) * 6_000;
    assert!(filter.queue_ms() >= NO_QUEUE);
    run(&mut filter, begun + 1..begun + 60, |n| 1_000 + (longest - (n - begun) * 3_000).max(0));
    assert_eq!(run(&mut filter, begun + 60..begun + 200, |_| 1_000), 0, "and its end");
    assert!(filter.queue_ms() < 0.001);
}

#[test]
fn a_wifi_that_holds_packets_back_is_not_a_queue() {
    let mut filter = ArrivalFilter::default();
    // Of every 50 packets 6 wait for the last of them.
    let held = |n: i64| if n % 50 < 6 { (6 - n % 50) * 6_000 } else { 0 };
    assert_eq!(run(&mut filter, 0..5_000, |n| 40_000 + held(n)), 0);
    assert!(filter.jitter_ms() > 1.0);
}

#[test]
fn a_longer_route_is_believed_after_half_a_minute() {
    let mut filter = ArrivalFilter::default();
    run(&mut filter, 0..1_000, |_| 10_000);
    run(&mut filter, 1_000..2_000, |_| 60_000);
    assert!((filter.queue_ms() - 50.0).abs() < 0.001, "it looks like a queue");
    run(&mut filter, 2_000..7_000, |_| 60_000);
    assert!(filter.queue_ms() < 0.001);
}

#[test]
fn clocks_that_part_and_clocks_that_jump_are_no_queue() {
    let mut filter = ArrivalFilter::default();
    assert_eq!(run(&mut filter, 0..30_000, |n| n * 6_000 / 10_000), 0, "0.01 % slow");
    assert!(filter.queue_ms() < 4.0);
    assert_eq!(run(&mut filter, 30_000..31_000, |_| 3_600_000_000), 0, "an hour ahead");
}

#[test]
fn a_queue_that_shoots_up_is_seen_after_a_few_packets_and_nothing_else_looks_like_it() {
    let surge = |filter: &mut ArrivalFilter, numbers, delay: &dyn Fn(i64) -> i64| {
        let mut found = None;
        for n in numbers {
            run(filter, n..n + 1, delay);
            found = found.or(filter.surge().map(|surge| (n, surge)));
        }
        found
    };
    let mut filter = ArrivalFilter::default();
    assert_eq!(surge(&mut filter, 0..500, &|n| 1_000 + n % 3), None);
    // A sixth of what is sent is carried.
    let (found, surge_then) = surge(&mut filter, 500..520, &|n| 1_000 + (n - 499) * 30_000).expect("it is found");
    assert_eq!((found, surge_then.since), (503, 499 * 6_000 + 1_001));
    assert!((119.0..121.0).contains(&surge_then.queue_ms), "{surge_then:?}");
    // It is over as soon as one waits less.
    assert_eq!(surge(&mut filter, 520..700, &|n| (601_000 - (n - 519) * 6_000).max(1_000)), None);
    // A way that became longer; packets that were held back; clocks that part; a queue that grows slowly.
    assert_eq!(surge(&mut filter, 700..800, &|_| 101_000), None);
    let held = |n: i64| if n % 50 < 20 { (20 - n % 50) * 6_000 } else { 0 };
    assert_eq!(surge(&mut filter, 800..2_000, &|n| 101_000 + held(n)), None);
    assert_eq!(surge(&mut filter, 2_000..9_000, &|n| 101_000 + (n - 2_000) * 100), None);
    assert_eq!(surge(&mut filter, 9_000..9_500, &|n| 801_000 + (n - 9_000) * 900), None);
}
