use super::*;

/// Sends 100 packets a second of sizes that make up a rate, each lost by what `is_lost` says of its number.
fn run(filter: &mut LossFilter, from: i64, to: i64, bps: impl Fn(i64) -> f64, is_lost: impl Fn(i64) -> bool) {
    for n in from..to {
        filter.on_packet(n * 10_000, (bps(n) / 800.0) as usize, is_lost(n));
    }
}

/// As good as random for these tests: the golden ratio spreads evenly.
fn chance(n: i64) -> f64 {
    (n as f64 * 0.618_033_988_75).fract()
}

fn wave(n: i64) -> f64 {
    if n / 50 % 2 == 0 { 1.2e6 } else { 0.7e6 }
}

#[test]
fn few_losses_are_no_news() {
    let mut filter = LossFilter::default();
    run(&mut filter, 0, 600, wave, |n| n % 100 == 0);
    assert_eq!(filter.verdict(), Verdict::Calm);
}

#[test]
fn losses_that_are_the_same_at_every_rate_are_random() {
    for part in [0.05, 0.1, 0.2] {
        let mut filter = LossFilter::default();
        run(&mut filter, 0, 600, wave, |n| chance(n) < part);
        let Verdict::Random(found) = filter.verdict() else { panic!("{:?} of {part}", filter.verdict()) };
        assert!((found - part).abs() < 0.03, "{found} of {part}");
    }
}

#[test]
fn losses_that_come_with_the_rate_show_the_limit() {
    let mut filter = LossFilter::default();
    run(&mut filter, 0, 600, wave, |n| wave(n) > 1e6 && chance(n) < 1.0 - 0.95 / 1.2);
    let Verdict::Limited(limit) = filter.verdict() else { panic!("{:?}", filter.verdict()) };
    assert!((0.85e6..1.05e6).contains(&limit), "{limit}");
}

#[test]
fn both_together_are_a_limit() {
    let mut filter = LossFilter::default();
    run(&mut filter, 0, 600, wave, |n| chance(n) < if wave(n) > 1e6 { 0.3 } else { 0.05 });
    assert!(matches!(filter.verdict(), Verdict::Limited(_)), "{:?}", filter.verdict());
}

#[test]
fn half_of_everything_is_a_limit_whatever_the_cause() {
    let mut filter = LossFilter::default();
    run(&mut filter, 0, 600, |_| 1e6, |n| n % 2 == 0);
    let Verdict::Limited(limit) = filter.verdict() else { panic!("{:?}", filter.verdict()) };
    assert!((0.4e6..0.7e6).contains(&limit), "{limit}");
}

#[test]
fn a_rate_that_never_varies_is_made_to_and_ever_more_rarely() {
    let mut filter = LossFilter::default();
    let mut moments = Vec::new();
    let mut was = false;
    for n in 0..6_000 {
        run(&mut filter, n, n + 1, |_| 1e6, |n| chance(n) < 0.1);
        let is = filter.wants_less(n * 10_000);
        if is && !was {
            moments.push(n / 100);
        }
        was = is;
    }
    assert!((3..=6).contains(&moments.len()), "{moments:?}");
    assert!(moments.windows(3).all(|three| three[2] - three[1] > three[1] - three[0]), "{moments:?}");
}

#[test]
fn what_was_acted_upon_is_forgotten() {
    let mut filter = LossFilter::default();
    run(&mut filter, 0, 600, |_| 1e6, |n| n % 2 == 0);
    filter.forget();
    assert_eq!((filter.verdict(), filter.recent_loss(1_000_000)), (Verdict::Calm, 0.0));
}
