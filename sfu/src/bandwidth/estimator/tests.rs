use super::*;
use crate::bandwidth::feedback::{Arrivals, FEEDBACK_LEN};

/// A link without a queue limit to a receiver that tells at once; steps of a millisecond.
struct World {
    start: Instant,
    ms: u64,
    estimator: Estimator,
    receiver: Arrivals,
    /// When the bottleneck is free again, in µs.
    free: u64,
    under_way: std::collections::VecDeque<(u64, u16, usize)>,
    messages: std::collections::VecDeque<(u64, Vec<u8>)>,
    owed: f64,
    /// µs to the receiver.
    distance: u64,
}

impl World {
    fn new(start_bps: u64) -> World {
        let start = Instant::now();
        let bounds = Bounds { start_bps, ..Bounds::default() };
        let (under_way, messages) = Default::default();
        World {
            start,
            ms: 0,
            estimator: Estimator::new(start, bounds),
            receiver: Arrivals::new(start),
            free: 0,
            under_way,
            messages,
            owed: 0.0,
            distance: 20_000,
        }
    }

    fn bps(&self) -> f64 {
        self.estimator.estimate().bps as f64
    }

    /// Sends at most `most` (bit/s) over a link of `capacity`; zero is an outage that loses all.
    fn run(&mut self, seconds: f64, most: f64, capacity: f64) {
        for _ in 0..(seconds * 1e3) as u64 {
            self.ms += 1;
            let now = self.start + Duration::from_millis(self.ms);
            while self.messages.front().is_some_and(|message| message.0 <= self.ms) {
                let (_, message) = self.messages.pop_front().expect("it was seen");
                self.estimator.feedback(now, &Feedback::parse(&message).expect("whole"));
            }
            self.estimator.handle_timeout(now);
            let probe = self.estimator.probe();
            let rate = probe.map_or((self.estimator.estimate().pace_bps as f64).min(most), |probe| probe.rate_bps as f64);
            self.owed += rate / 1e3;
            while self.owed >= 8_000.0 {
                self.owed -= 8_000.0;
                let sequence = self.estimator.sent(now, 1_000, Class::Video, self.estimator.probe().map(|probe| probe.cluster));
                if capacity > 0.0 {
                    self.free = self.free.max(1_000 * self.ms) + (8e9 / capacity) as u64;
                    self.under_way.push_back((self.free + self.distance, sequence, 1_000));
                }
            }
            while self.under_way.front().is_some_and(|packet| packet.0 <= 1_000 * self.ms) {
                let (_, sequence, bytes) = self.under_way.pop_front().expect("it was seen");
                self.receiver.record(now, sequence, bytes);
            }
            let mut buffer = [0; FEEDBACK_LEN];
            while let Some(len) = self.receiver.write(now, 1, 2, &mut buffer) {
                if capacity > 0.0 {
                    self.messages.push_back((self.ms + 20, buffer[..len].to_vec()));
                }
            }
        }
    }
}

#[test]
fn the_capacity_is_found_and_kept() {
    let mut world = World::new(300_000);
    world.estimator.set_wanted(5_000_000);
    world.run(8.0, 5e6, 2e6);
    for _ in 0..20 {
        world.run(1.0, 5e6, 2e6);
        assert!((1.2e6..2.2e6).contains(&world.bps()), "{}", world.bps());
    }
}

#[test]
fn without_anything_sent_nothing_is_learnt_or_lost() {
    let mut world = World::new(1_000_000);
    world.run(3.0, 1e6, 3e6);
    let before = world.bps();
    world.run(60.0, 2e4, 3e6);
    assert_eq!(world.bps(), before);
    assert_eq!(world.estimator.estimate().limit, Limit::Application);
    let mut silent = World::new(1_000_000);
    silent.run(60.0, 0.0, 3e6);
    assert_eq!(silent.bps(), 1e6);
}

#[test]
fn what_is_not_wanted_is_not_probed_for() {
    let mut world = World::new(1_000_000);
    world.run(30.0, 5e5, 1e7);
    assert!(world.bps() <= 1e6, "{}", world.bps());
}

#[test]
fn silence_lowers_the_estimate_and_its_end_brings_it_back() {
    let mut world = World::new(1_000_000);
    world.estimator.set_wanted(3_000_000);
    world.run(10.0, 3e6, 4e6);
    let before = world.bps();
    assert!(before > 2.5e6, "{before}");
    world.run(3.0, 3e6, 0.0);
    assert!(world.bps() < 0.2 * before, "{}", world.bps());
    assert_eq!(world.estimator.estimate().limit, Limit::Silence);
    world.run(3.0, 3e6, 4e6);
    assert!(world.bps() > 0.8 * before, "{}", world.bps());
}

#[test]
fn when_all_video_is_paused_probes_find_out_that_it_need_not_be() {
    // An outage, and a sender that sends nothing of its own below its least layer.
    let mut world = World::new(1_000_000);
    world.estimator.set_wanted(1_000_000);
    world.run(5.0, 1e6, 3e6);
    world.run(5.0, 1e6, 0.0);
    world.run(20.0, 0.0, 0.0);
    assert!(world.bps() < 1e5, "{}", world.bps());
    world.run(4.0, 0.0, 3e6);
    assert!(world.bps() > 8e5, "{}", world.bps());
    // The same without an outage: the estimate is low, and the queue was never seen empty.
    world.run(1.0, 1e6, 1e5);
    world.run(10.0, 0.0, 3e6);
    assert!(world.bps() > 8e5, "{}", world.bps());
    // Nothing is probed for nobody.
    world.estimator.set_wanted(0);
    world.run(3.0, 0.0, 3e6);
    assert_eq!((world.estimator.probe(), world.estimator.next_timeout()), (None, None));
}

#[test]
fn a_pause_of_the_sender_is_no_silence() {
    let mut world = World::new(1_000_000);
    world.run(3.0, 1e6, 3e6);
    let before = world.bps();
    world.run(30.0, 0.0, 3e6);
    world.run(1.0, 1e6, 3e6);
    assert!(world.bps() >= before, "{}", world.bps());
    assert_ne!(world.estimator.estimate().limit, Limit::Silence);
}

#[test]
fn the_bounds_hold() {
    let mut world = World::new(1_000_000);
    world.estimator.set_wanted(100_000_000);
    world.estimator.set_most(1_500_000);
    world.run(10.0, 1e7, 1e7);
    assert_eq!(world.bps(), 1.5e6);
    assert_eq!(world.estimator.estimate().limit, Limit::Most);
    world.run(20.0, 1e7, 1e4);
    assert!(world.bps() >= Bounds::default().least_bps as f64);
}

#[test]
fn older_kinds_of_feedback_count_until_transport_wide_feedback_comes() {
    let start = Instant::now();
    let mut estimator = Estimator::new(start, Bounds::default());
    estimator.set_wanted(3_000_000);
    let mut now = start;
    for _ in 0..60 {
        now += Duration::from_secs(1);
        estimator.receiver_report(now, 0);
    }
    assert!(estimator.estimate().bps > 3_000_000);
    estimator.remb(2_000_000);
    assert_eq!(estimator.estimate().bps, 2_000_000);
    estimator.receiver_report(now + Duration::from_secs(1), 0);
    assert_eq!(estimator.estimate().bps, 2_000_000, "no more than the receiver allows");
    estimator.receiver_report(now + Duration::from_secs(2), 64);
    assert_eq!((estimator.estimate().bps, estimator.estimate().limit), (1_750_000, Limit::Loss));

    let mut world = World::new(1_000_000);
    world.run(1.0, 1e6, 3e6);
    let before = world.bps();
    world.estimator.remb(100_000);
    world.estimator.receiver_report(world.start + Duration::from_secs(2), 255);
    assert_eq!(world.bps(), before);
}

#[test]
fn a_longer_way_is_no_queue_and_costs_a_few_seconds() {
    let mut world = World::new(1_000_000);
    world.estimator.set_wanted(3_000_000);
    world.run(15.0, 3e6, 2e6);
    world.distance = 100_000;
    world.run(3.0, 3e6, 2e6);
    for _ in 0..10 {
        world.run(1.0, 3e6, 2e6);
        assert!(
            world.bps() > 1.2e6 && world.estimator.estimate().state != State::BesideRival,
            "{:?}",
            world.estimator.estimate()
        );
    }
}

#[test]
fn a_queue_that_shoots_up_is_told_once_and_since_when_nothing_is_known() {
    let mut world = World::new(1_500_000);
    world.run(5.0, 1.5e6, 1e7);
    assert_eq!(world.estimator.take_surge(), None);
    let before = world.start + Duration::from_millis(world.ms);
    world.run(0.5, 1.5e6, 3e5);
    let since = world.estimator.take_surge().expect("a queue of more than a second");
    let first = since.saturating_duration_since(before);
    assert!(first > Duration::ZERO && first < Duration::from_millis(200), "{first:?}");
    assert_eq!(world.estimator.take_surge(), None);
    world.run(5.0, 1.5e6, 3e5);
    assert_eq!(world.estimator.take_surge(), None, "it is known by now");

    // One that grows slowly is noticed before it can be full.
    let mut slow = World::new(1_500_000);
    slow.run(5.0, 1.5e6, 1e7);
    slow.run(5.0, 1.5e6, 1.3e6);
    assert_eq!((slow.estimator.take_surge(), slow.estimator.estimate().limit), (None, Limit::Delay));
}
