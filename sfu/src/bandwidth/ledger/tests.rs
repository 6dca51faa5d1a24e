use super::*;
use crate::bandwidth::feedback::{Arrivals, FEEDBACK_LEN};

fn tell(start: Instant, now: Instant, sequences: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let mut arrivals = Arrivals::new(start);
    sequences.into_iter().for_each(|sequence| arrivals.record(now, sequence, 100));
    let mut buffer = [0; FEEDBACK_LEN];
    let len = arrivals.write(now + Duration::from_secs(1), 1, 2, &mut buffer).expect("something arrived");
    buffer[..len].to_vec()
}

fn resolve(ledger: &mut Ledger, now: Instant, message: &[u8]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    ledger.resolve(now, &Feedback::parse(message).expect("a whole message"), |outcome| outcomes.push(outcome));
    outcomes
}

#[test]
fn each_packet_is_handed_on_once_and_a_late_one_again() {
    let start = Instant::now();
    let mut ledger = Ledger::new(start);
    let at = |ms| start + Duration::from_millis(ms);
    for n in 0..5 {
        assert_eq!(ledger.sent(at(n), 1_000 + n as usize, Class::Video, (n == 3).then_some(Cluster(7))), n as u16);
    }
    let message = tell(start, at(50), [0, 1, 3]);
    let outcomes = resolve(&mut ledger, at(100), &message);
    let seen: Vec<_> = outcomes
        .iter()
        .map(|outcome| (outcome.index, outcome.sent, outcome.bytes, matches!(outcome.news, News::Arrived(_))))
        .collect();
    assert_eq!(seen, [(0, 0, 1_000, true), (1, 1_000, 1_001, true), (2, 2_000, 1_002, false), (3, 3_000, 1_003, true)]);
    assert_eq!(outcomes[3].cluster, Some(Cluster(7)));
    assert!(resolve(&mut ledger, at(110), &message).is_empty(), "nothing new");

    let outcomes = resolve(&mut ledger, at(120), &tell(start, at(60), [2, 4]));
    let seen: Vec<_> = outcomes.iter().map(|outcome| (outcome.index, matches!(outcome.news, News::ArrivedLate(_)))).collect();
    assert_eq!(seen, [(2, true), (4, false)]);
}

#[test]
fn the_age_of_the_newest_packet_is_the_round_trip() {
    let start = Instant::now();
    let mut ledger = Ledger::new(start);
    ledger.sent(start, 100, Class::Audio, None);
    ledger.sent(start + Duration::from_millis(20), 100, Class::Audio, None);
    let message = tell(start, start, [0, 1]);
    let feedback = Feedback::parse(&message).expect("a whole message");
    let age = ledger.resolve(start + Duration::from_millis(100), &feedback, |_| {});
    assert_eq!(age, Some(Duration::from_millis(80)));
}

#[test]
fn what_was_never_sent_or_is_forgotten_changes_nothing() {
    let start = Instant::now();
    let mut ledger = Ledger::new(start);
    assert!(resolve(&mut ledger, start, &tell(start, start, [0])).is_empty());
    for _ in 0..REMEMBERED + 10 {
        ledger.sent(start, 100, Class::Video, None);
    }
    assert!(resolve(&mut ledger, start, &tell(start, start, [9])).is_empty(), "forgotten for want of room");
    assert_eq!(resolve(&mut ledger, start, &tell(start, start, [10])).len(), 1);
    let outcomes = resolve(&mut ledger, start, &tell(start, start, [13]));
    assert_eq!(
        outcomes.iter().map(|outcome| (outcome.index, outcome.news == News::Untold)).collect::<Vec<_>>(),
        [(11, true), (12, true), (13, false)]
    );
    assert!(resolve(&mut ledger, start, &tell(start, start, [12])).is_empty(), "too late to be told");
    let next = (REMEMBERED + 10) as u16;
    assert!(resolve(&mut ledger, start, &tell(start, start, [next - 1, next])).is_empty(), "not sent yet");
    ledger.sent(start + Duration::from_secs(11), 100, Class::Video, None);
    assert!(resolve(&mut ledger, start, &tell(start, start, [next - 1])).is_empty(), "too old");
    assert!(
        matches!(resolve(&mut ledger, start, &tell(start, start, [next])).last(), Some(outcome) if matches!(outcome.news, News::Arrived(_)))
    );
}

#[test]
fn sequence_numbers_go_on_beyond_their_width() {
    let start = Instant::now();
    let mut ledger = Ledger::new(start);
    for n in 0..70_000u64 {
        ledger.sent(start + Duration::from_millis(n), 100, Class::Video, None);
    }
    let outcomes = resolve(&mut ledger, start + Duration::from_secs(70), &tell(start, start, [(69_999u32 & 0xFFFF) as u16]));
    assert_eq!(outcomes.last().map(|outcome| (outcome.index, outcome.news)), Some((69_999, News::Arrived(0))));
}

#[test]
fn what_was_told_of_makes_room_and_the_room_follows_what_is_under_way() {
    let start = Instant::now();
    let mut ledger = Ledger::new(start);
    let room = ledger.entries.capacity();
    let mut now = start;
    for n in 0..2_000u16 {
        now = start + Duration::from_millis(u64::from(n));
        ledger.sent(now, 100, Class::Video, None);
        if n % 100 == 99 {
            // One in each hundred is lost, and told of as missing.
            resolve(&mut ledger, now, &tell(start, now, (n - 99..=n).filter(|n| n % 100 != 50)));
        }
    }
    assert!(ledger.entries.len() > 1_000, "missing ones are waited for: {}", ledger.entries.len());
    now += Duration::from_micros(LATEST as u64) + Duration::from_millis(1);
    ledger.sent(now, 100, Class::Video, None);
    assert_eq!(ledger.entries.len(), 1, "but not for ever");
    let mut calm = Ledger::new(start);
    for n in 0..10_000u64 {
        let now = start + Duration::from_millis(n);
        let number = calm.sent(now, 100, Class::Video, None);
        if n % 100 == 99 {
            resolve(&mut calm, now, &tell(start, now, (number - 99)..=number));
        }
    }
    assert_eq!(calm.entries.capacity(), room);
}
