//! The emulation's statistics, with simulated time.

use super::*;

const FRAME: u64 = 20_000_000;

fn run(profile: Profile, seed: u64, count: u64) -> Vec<Result<u64, Lost>> {
    let mut path = Path::new(profile, SplitMix::new(seed));
    (0..count).map(|at| path.send(at * FRAME, 120)).collect()
}

fn lost_part(fates: &[Result<u64, Lost>]) -> f64 {
    fates.iter().filter(|fate| fate.is_err()).count() as f64 / fates.len() as f64
}

#[test]
fn the_same_seed_has_the_same_fate_and_another_seed_another() {
    let (profile, _) = presets::preset("hotel").expect("a preset");
    assert_eq!(run(profile, 5, 5_000), run(profile, 5, 5_000));
    assert_ne!(run(profile, 5, 5_000), run(profile, 6, 5_000));
}

#[test]
fn a_perfect_wire_changes_nothing() {
    let fates = run(Profile::default(), 1, 100);
    assert!(fates.iter().enumerate().all(|(at, fate)| *fate == Ok(at as u64 * FRAME)));
    assert!(Profile::default().is_perfect());
}

#[test]
fn loss_comes_at_its_rate_and_single_or_in_bursts_as_asked() {
    let single = run(Profile { loss: 0.05, ..Profile::default() }, 2, 50_000);
    let burst = Burst { enter: 0.01, leave: 0.2, loss: 1.0 };
    let bursts = run(Profile { burst, ..Profile::default() }, 2, 50_000);
    let longest = |fates: &[Result<u64, Lost>]| {
        fates.split(Result::is_ok).map(<[_]>::len).filter(|run| *run > 0).sum::<usize>() as f64
            / fates.split(Result::is_ok).filter(|run| !run.is_empty()).count() as f64
    };
    assert!((lost_part(&single) - 0.05).abs() < 0.005, "{}", lost_part(&single));
    // The stationary share of the bad state is enter / (enter + leave).
    assert!((lost_part(&bursts) - 0.01 / 0.21).abs() < 0.008, "{}", lost_part(&bursts));
    assert!(longest(&single) < 1.2, "single losses come alone: {}", longest(&single));
    assert!((longest(&bursts) - 5.0).abs() < 0.7, "a burst lasts 1 / leave: {}", longest(&bursts));
}

#[test]
fn jitter_spreads_the_delay_and_keeps_the_order() {
    let fates = run(Profile { delay_ms: 30.0, jitter_ms: 10.0, ..Profile::default() }, 3, 20_000);
    let arrivals: Vec<u64> = fates.into_iter().map(|fate| fate.expect("nothing is lost")).collect();
    assert!(arrivals.is_sorted());
    let delays: Vec<f64> = arrivals.iter().enumerate().map(|(at, arrival)| (arrival - at as u64 * FRAME) as f64 / MS).collect();
    let mean = delays.iter().sum::<f64>() / delays.len() as f64;
    // Half a normal distribution of deviation 10 has its mean at 7.98; waiting behind a late one adds a little.
    assert!((37.5..41.0).contains(&mean), "{mean}");
    assert!(delays.iter().all(|delay| *delay >= 30.0));
}

#[test]
fn reordered_datagrams_are_passed_by_others() {
    let profile = Profile { delay_ms: 10.0, reorder: 0.02, reorder_ms: 50.0, ..Profile::default() };
    let arrivals: Vec<u64> = run(profile, 4, 10_000).into_iter().map(|fate| fate.expect("nothing is lost")).collect();
    let overtaken = arrivals.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64 / arrivals.len() as f64;
    assert!((overtaken - 0.02).abs() < 0.005, "{overtaken}");
}

#[test]
fn a_bottleneck_paces_holds_back_and_drops_when_its_queue_is_full() {
    // 148 bytes at 100 kbit/s take 11.84 ms each; a hundred at once fill the queue of 200 ms.
    let mut path = Path::new(Profile { bandwidth_kbps: 100.0, ..Profile::default() }, SplitMix::new(1));
    let fates: Vec<_> = (0..100).map(|_| path.send(0, 120)).collect();
    let passed: Vec<u64> = fates.iter().filter_map(|fate| fate.ok()).collect();
    assert!(passed.windows(2).all(|pair| (pair[1] - pair[0]) == 11_840_000), "{passed:?}");
    assert_eq!(passed.len(), 17, "the first 17 begin within 200 ms");
    assert!(fates[17..].iter().all(|fate| *fate == Err(Lost::QueueFull)));
    assert_eq!(path.lost, 83);
    assert_eq!(path.send(1_000_000_000, 120), Ok(1_011_840_000), "the queue has drained");
}

#[test]
fn an_outage_swallows_everything_and_ends() {
    let mut path = Path::new(Profile::default(), SplitMix::new(1));
    path.cut(1_000);
    path.cut(500);
    assert_eq!(path.send(999, 10), Err(Lost::Outage), "the longer outage counts");
    assert_eq!(path.send(1_000, 10), Ok(1_000));
}

#[test]
fn every_preset_is_sound_and_impossible_networks_are_refused_with_a_sentence() {
    for (name, _, up, down) in presets::PRESETS {
        assert_eq!((up.fault(), down.fault()), (None, None), "{name}");
    }
    let fault = Profile { loss: 1.5, ..Profile::default() }.fault().expect("refused");
    assert_eq!(fault, "`loss` is a probability between 0 and 1, not 1.5");
    let endless = Profile { burst: Burst { enter: 0.1, leave: 0.0, loss: 1.0 }, ..Profile::default() };
    assert!(endless.fault().is_some());
}

#[test]
fn another_network_holds_for_what_is_sent_from_then_on() {
    let wide = Profile { delay_ms: 10.0, ..Profile::default() };
    let mut path = Path::new(wide, SplitMix::new(1));
    assert_eq!(path.send(0, 972), Ok(10_000_000));
    // A thousand bytes on the wire at a megabit are eight milliseconds.
    path.change(Profile { bandwidth_kbps: 1_000.0, ..wide });
    assert_eq!((path.send(0, 972), path.send(0, 972)), (Ok(18_000_000), Ok(26_000_000)));
    path.change(wide);
    assert_eq!(path.send(8_000_000, 972), Ok(26_000_000), "and nothing overtakes what is on its way");
}
