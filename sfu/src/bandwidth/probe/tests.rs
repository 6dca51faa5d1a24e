use super::*;
use crate::bandwidth::ledger::Class;

/// Plans a probe, sends it in packets of 1,000 bytes at its rate, and tells of each as `arrived` says (µs from its begin).
fn probe(prober: &mut Prober, now: i64, rate: f64, wanted: f64, arrived: impl Fn(i64, f64) -> Option<i64>) -> Option<Finding> {
    prober.plan(now, rate, wanted);
    let probe = prober.current()?;
    let (mut index, mut sent) = (0, now);
    while prober.current().is_some() {
        prober.on_sent(sent, probe.cluster, 1_000);
        let news = arrived(sent - now, probe.rate_bps as f64).map_or(News::Missing, News::Arrived);
        let outcome = Outcome { index, sent, bytes: 1_000, class: Class::Padding, cluster: Some(probe.cluster), news };
        prober.on_outcome(&outcome, 0);
        sent += (8e9 / probe.rate_bps as f64) as i64;
        index += 1;
    }
    prober.judge(sent + 100_000, 0.0)
}

#[test]
fn what_is_carried_is_found_and_the_next_probe_follows_at_once() {
    let mut prober = Prober::default();
    let found = probe(&mut prober, 0, 1e6, 10e6, |sent, _| Some(sent + 7_000_000));
    let Some(Finding::Carried(rate)) = found else { panic!("{found:?}") };
    assert!((1.9e6..2.05e6).contains(&rate), "{rate}");
    let found = probe(&mut prober, 600_000, 2e6, 10e6, |sent, _| Some(sent + 7_000_000));
    assert!(matches!(found, Some(Finding::Carried(_))), "{found:?}");
}

#[test]
fn a_bottleneck_shows_its_speed_and_the_next_probe_waits_and_is_careful() {
    let mut prober = Prober::default();
    let found = probe(&mut prober, 0, 1e6, 10e6, |sent, rate| Some((sent as f64 * rate / 1.2e6) as i64));
    let Some(Finding::Limit(rate)) = found else { panic!("{found:?}") };
    assert!((1.15e6..1.25e6).contains(&rate), "{rate}");
    prober.plan(1_000_000, 1e6, 10e6);
    assert_eq!(prober.current(), None, "not yet");
    prober.plan(4_000_000, 1e6, 10e6);
    assert_eq!(prober.current().map(|probe| probe.rate_bps), Some((CAREFUL * 1e6) as u64));
}

#[test]
fn nobody_probes_for_what_is_not_wanted() {
    let mut prober = Prober::default();
    prober.plan(0, 1e6, 1e6);
    assert_eq!(prober.current(), None);
    prober.plan(0, 1e6, 1.2e6);
    assert_eq!(prober.current().map(|probe| probe.rate_bps), Some(1_320_000));
}

#[test]
fn a_policer_that_drops_what_is_too_much_shows_its_limit() {
    let mut prober = Prober::default();
    let found = probe(&mut prober, 0, 1e6, 10e6, |sent, _| (sent / 4_000 % 2 == 0).then_some(sent));
    let Some(Finding::Limit(rate)) = found else { panic!("{found:?}") };
    assert!((0.8e6..1.2e6).contains(&rate), "{rate}");
}

#[test]
fn a_probe_that_nobody_tells_of_ends() {
    let mut prober = Prober::default();
    prober.begin(0, 1e6);
    let probe = prober.current().expect("it runs");
    prober.on_sent(0, probe.cluster, probe.bytes);
    assert_eq!((prober.current(), prober.judge(500_000, 0.0)), (None, None));
    assert_eq!(prober.judge(2_000_000, 0.0), Some(Finding::Nothing));
    assert!(!prober.is_recent(3_000_000, 500_000));
}

#[test]
fn a_number_of_a_cluster_is_never_zero() {
    let mut prober = Prober::default();
    for n in 0..600 {
        prober.begin(n, 1e6);
        assert_ne!(prober.current().expect("it runs").cluster, Cluster(0));
        prober.abort(n);
    }
}
