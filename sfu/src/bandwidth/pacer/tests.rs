use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Takes everything that leaves until an end, waking when asked to: when, and how many bytes.
fn drain(pacer: &mut Pacer<u32>, mut now: Instant, end: Instant) -> Vec<(Instant, Departure<u32>)> {
    let mut left = Vec::new();
    while now <= end {
        while let Some(departure) = pacer.pop(now) {
            if let Departure::Padding { bytes, .. } = departure {
                pacer.padded(now, bytes);
            }
            left.push((now, departure));
        }
        match pacer.next_timeout() {
            Some(at) if at > now => now = at,
            Some(_) => panic!("due, and nothing leaves"),
            None => break,
        }
    }
    left
}

#[test]
fn a_keyframe_is_spread_at_little_more_than_the_rate() {
    let start = Instant::now();
    let mut pacer = Pacer::new(start);
    pacer.set(1_000_000, None, 0);
    (0..50).for_each(|n| pacer.push_video(start, n, 1_000).expect("there is room"));
    let left = drain(&mut pacer, start, start + ms(1_000));
    assert_eq!(left.len(), 50);
    let lasted = left.last().expect("fifty").0 - start;
    // 400 kbit at 1.1 Mbit/s take 364 ms; the last quarter hurries.
    assert!((ms(300)..ms(364)).contains(&lasted), "{lasted:?}");
    for window in left.windows(4) {
        assert!(window[3].0 - window[0].0 >= ms(8), "no four packets in eight milliseconds");
    }
}

#[test]
fn what_was_asked_for_again_goes_first() {
    let start = Instant::now();
    let mut pacer = Pacer::new(start);
    pacer.set(300_000, None, 0);
    pacer.push_video(start, 1, 500).expect("there is room");
    pacer.push_resend(start, 2, 500).expect("there is room");
    let left = drain(&mut pacer, start, start + ms(100));
    let order: Vec<_> = left.iter().map(|(_, departure)| *departure).collect();
    assert_eq!(
        order,
        [
            Departure::Packet { item: 2, bytes: 500, class: Class::Resend, cluster: None },
            Departure::Packet { item: 1, bytes: 500, class: Class::Video, cluster: None }
        ]
    );
}

#[test]
fn a_run_is_never_longer_than_a_batch_and_the_next_one_has_a_time() {
    let start = Instant::now();
    for (rate, burst) in
        [100_000, 1_000_000, 3_000_000, 10_000_000, 100_000_000].map(|rate| [(rate, 0), (rate, 1 << 20)]).concat()
    {
        let mut pacer = Pacer::new(start);
        pacer.set(rate, None, burst);
        (0..100).for_each(|n| pacer.push_video(start, n, 1_200).expect("there is room"));
        let mut now = start;
        while pacer.next_timeout().is_some() {
            let taken = std::iter::from_fn(|| pacer.pop(now)).count();
            assert!((1..=MOST_IN_RUN).contains(&taken), "{taken} at {rate}");
            let next = pacer.next_timeout();
            assert!(next.is_none_or(|next| next > now), "due at {rate}, and nothing leaves");
            now = next.unwrap_or(now);
        }
    }
}

/// What leaves of pictures of six packets of 1,100 bytes, one each 33 ms, at so many bit/s with this burst: for each picture how
/// long after it came its packets left, ms.
fn pictures(rate: u64, burst: usize) -> Vec<Vec<u128>> {
    let start = Instant::now();
    let mut pacer = Pacer::new(start);
    pacer.set(rate, None, burst);
    let picture = |n: u64| {
        let now = start + ms(33 * n);
        (0..6).for_each(|_| pacer.push_video(now, 0, 1_100).expect("there is room"));
        let left = drain(&mut pacer, now, now + ms(32));
        left.iter().map(|(at, _)| (*at - now).as_millis()).collect()
    };
    (0..20).map(picture).collect()
}

#[test]
fn a_picture_leaves_at_once_where_the_network_takes_it() {
    // 23 ms of 2.3 Mbit/s: with what is known of the rate alone it is spread.
    assert!(pictures(2_100_000, 0).iter().all(|left| left == &[0, 0, 0, 11, 11, 11]), "{:?}", pictures(2_100_000, 0));
    assert!(pictures(2_100_000, 12_500).iter().all(|left| left == &[0; 6]), "{:?}", pictures(2_100_000, 12_500));
    // A network that takes five packets in its time, and one that was seen to take more than a picture's worth.
    let less = pictures(2_100_000, 5_000);
    assert!(less.iter().all(|left| left[..5] == [0; 5] && left[5] > 8), "{less:?}");
    assert_eq!(pictures(500_000, 1 << 20)[0].iter().filter(|after| **after == 0).count(), 3, "40 ms of 550 kbit/s at most");
}

#[test]
fn a_probe_is_sent_at_its_speed_whatever_may_leave_at_once() {
    let start = Instant::now();
    let mut pacer: Pacer<u32> = Pacer::new(start);
    pacer.set(1_000_000, Some(Probe { cluster: Cluster(3), rate_bps: 2_000_000, bytes: 40_000 }), 1 << 20);
    let left = drain(&mut pacer, start, start + ms(1_000));
    let lasted = left.last().expect("packets").0 - start;
    assert!(lasted > ms(140), "{lasted:?}");
}

#[test]
fn who_is_asked_late_sends_no_less() {
    let start = Instant::now();
    let mut pacer = Pacer::new(start);
    pacer.set(2_000_000, None, 3_000);
    (0..300).for_each(|n| pacer.push_video(start, n, 1_000).expect("there is room"));
    // Asked at common times 5 ms apart.
    let (mut left, mut runs) = (0, 0);
    for tick in 0..30 {
        let now = start + LATE * tick;
        if pacer.next_timeout().is_some_and(|due| due <= now) {
            left += std::iter::from_fn(|| pacer.pop(now)).count();
            runs += 1;
        }
    }
    // 150 ms of 2.2 Mbit/s, and a run ahead.
    assert!((40..=44).contains(&left), "{left} packets in {runs} runs");
    assert!(runs <= 15, "{left} packets in {runs} runs");
    // Nobody asked for a long time: that is not made good for.
    let now = start + ms(1_000);
    let at_once = std::iter::from_fn(|| pacer.pop(now)).count();
    assert!((3..=5).contains(&at_once), "{at_once}");
}

#[test]
fn a_probe_is_filled_with_padding_and_ends() {
    let start = Instant::now();
    let mut pacer: Pacer<u32> = Pacer::new(start);
    let probe = Probe { cluster: Cluster(3), rate_bps: 2_000_000, bytes: 40_000 };
    pacer.set(1_000_000, Some(probe), 0);
    (0..5).for_each(|n| pacer.push_video(start, n, 1_000).expect("there is room"));
    let left = drain(&mut pacer, start, start + ms(1_000));
    let bytes: usize = left
        .iter()
        .map(|(_, departure)| match departure {
            Departure::Packet { bytes, cluster, .. } => {
                assert_eq!(*cluster, Some(Cluster(3)));
                *bytes
            }
            Departure::Padding { bytes, cluster } => {
                assert_eq!(*cluster, Cluster(3));
                *bytes
            }
        })
        .sum();
    assert!((40_000..41_200).contains(&bytes), "{bytes}");
    let lasted = (left.last().expect("packets").0 - start).as_secs_f64();
    let rate = bytes as f64 * 8.0 / lasted;
    assert!((1.8e6..2.2e6).contains(&rate), "{rate}");
    assert_eq!(pacer.next_timeout(), None);
}

#[test]
fn without_padding_a_probe_is_given_up() {
    let start = Instant::now();
    let mut pacer: Pacer<u32> = Pacer::new(start);
    let probe = Probe { cluster: Cluster(3), rate_bps: 2_000_000, bytes: 40_000 };
    pacer.set(1_000_000, Some(probe), 0);
    assert!(matches!(pacer.pop(start), Some(Departure::Padding { .. })));
    pacer.padded(start, 0);
    pacer.set(1_000_000, Some(probe), 0);
    assert_eq!((pacer.pop(start), pacer.next_timeout()), (None, None));
}

#[test]
fn full_queues_give_back_what_does_not_fit() {
    let start = Instant::now();
    let mut pacer = Pacer::new(start);
    for n in 0..VIDEO_QUEUE as u32 {
        pacer.push_video(start, n, 1_000).expect("there is room");
    }
    assert_eq!(pacer.push_video(start, 7, 1_000), Err(7));
    pacer.set(10_000_000, None, 0);
    for n in 0..RESEND_QUEUE as u32 {
        pacer.push_resend(start, n, 1_000).expect("there is room");
    }
    assert_eq!(pacer.push_resend(start, 8, 1_000), Err(8));
    pacer.retain(|item| *item < 3);
    assert_eq!(drain(&mut pacer, start, start + Duration::from_secs(10)).len(), 6);
    assert_eq!(pacer.delay(), Duration::ZERO);
}

#[test]
fn no_more_is_sent_again_than_leaves_soon() {
    let start = Instant::now();
    let mut pacer = Pacer::new(start);
    pacer.set(160_000, None, 0);
    let taken = (0..100).take_while(|n| pacer.push_resend(start, *n, 1_000).is_ok()).count();
    // 22 kB a second.
    assert!((11..=13).contains(&taken), "{taken}");
}

#[test]
fn what_did_not_leave_takes_no_time() {
    let start = Instant::now();
    let mut pacer = Pacer::new(start);
    pacer.set(100_000, None, 0);
    (0..12).for_each(|n| pacer.push_resend(start, n, 500).expect("there is room"));
    pacer.push_video(start, 100, 1_000).expect("there is room");
    let mut given = 0;
    while let Some(Departure::Packet { item, bytes, cluster, .. }) = pacer.pop(start) {
        given += 1;
        if item == 100 {
            break;
        }
        pacer.unsent(start, bytes, cluster);
    }
    assert_eq!(given, 13, "all of it at once, for nothing left before the last");
    pacer.push_video(start, 101, 1_000).expect("there is room");
    // 1,000 bytes at 110 kbit/s.
    let next = pacer.next_timeout().expect("one waits") - start;
    assert!((ms(72)..ms(74)).contains(&next), "{next:?}");
}

#[test]
fn what_passes_without_waiting_puts_off_what_waits() {
    let start = Instant::now();
    let mut pacer: Pacer<u32> = Pacer::new(start);
    pacer.set(100_000, None, 0);
    pacer.passed(start, 500);
    pacer.passed(start, 500);
    pacer.push_video(start, 1, 1_000).expect("there is room");
    // 1,000 bytes at 110 kbit/s.
    let next = pacer.next_timeout().expect("one waits") - start;
    assert!((ms(72)..ms(74)).contains(&next), "{next:?}");
    assert_eq!((pacer.is_open(start + ms(60)), pacer.is_open(start + ms(74))), (false, true));
}
