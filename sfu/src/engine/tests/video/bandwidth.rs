//! Listeners behind narrow, far and broken networks, beside others who must not notice.

use super::*;

/// Audio at 24 kbit/s and the smallest layer fit, and no more.
const NARROW_BPS: u64 = 300_000;
const FAR: Duration = Duration::from_millis(100);

/// What the same link carries before and after.
const WIDE_BPS: u64 = 10_000_000;

/// A publisher and two listeners who are shown its camera large, the first of them from afar, after their networks were found
/// out.
fn two_listeners(distance: Duration) -> (Theatre, usize, usize) {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let (narrow, wide) = (theatre.join(false, 1), theatre.join(false, 1));
    theatre.narrow(narrow, WIDE_BPS, distance);
    theatre.watch(narrow, &[(0, Source::Camera, 0, LARGE)]);
    theatre.watch(wide, &[(0, Source::Camera, 0, LARGE)]);
    theatre.run(Duration::from_secs(8));
    assert_eq!((theatre.size(narrow, 0), theatre.size(wide, 0)), (Some(SIZES[2]), Some(SIZES[2])));
    (theatre, narrow, wide)
}

/// How long until somebody's last key frame in the slot had this size.
fn time_to(theatre: &mut Theatre, who: usize, size: (u16, u16), most: Duration) -> Duration {
    let since = theatre.now;
    let is_shown = |theatre: &Theatre| theatre.seen(who, 0, since).iter().rev().find_map(|seen| seen.size) == Some(size);
    while !is_shown(theatre) {
        assert!(theatre.now - since < most, "{size:?} did not come within {most:?}: {:?}", theatre.size(who, 0));
        theatre.run(Duration::from_millis(50));
    }
    theatre.now - since
}

/// What the engine says of somebody's network, newest last.
fn narrowed(theatre: &Theatre, who: usize) -> Vec<(u16, u16)> {
    let told = |(_, event): &(Instant, PeerEvent)| match *event {
        PeerEvent::Narrowed { less, paused } => Some((less, paused)),
        _ => None,
    };
    theatre.people[who].events.iter().filter_map(told).collect()
}

#[test]
fn behind_300_kbits_the_voice_goes_on_with_a_smaller_picture_and_nobody_else_notices() {
    let (mut theatre, narrow, wide) = two_listeners(FAR);
    let before = theatre.bitrate(wide, 0, theatre.now - Duration::from_secs(3));
    let since = theatre.now;
    theatre.narrow(narrow, NARROW_BPS, FAR);
    let fall = time_to(&mut theatre, narrow, SIZES[0], Duration::from_secs(3));
    theatre.run(Duration::from_secs(20) - fall);

    let frozen = theatre.frozen(narrow, 0, since);
    assert!(frozen < Duration::from_secs(1), "frozen for {frozen:?}");
    // What the queue held when the link became narrow comes late, and the rest on time.
    let (lost, pause) = theatre.voice(narrow, since);
    assert_eq!(lost, 0, "of the voice");
    assert!(pause < Duration::from_millis(400), "{pause:?} between two packets of the voice");
    let steady = theatre.now - Duration::from_secs(10);
    let (lost, pause) = theatre.voice(narrow, steady);
    assert!(lost == 0 && pause < Duration::from_millis(150), "{lost} lost, {pause:?} between two");
    assert_eq!(theatre.frozen(narrow, 0, steady), Duration::ZERO);
    assert_eq!(narrowed(&theatre, narrow).last(), Some(&(1, 0)), "a smaller picture, and its listener knows why");

    // The other one has the same layer all the time, at the same rate, without a freeze.
    let sizes: Vec<_> = theatre.seen(wide, 0, since).iter().filter_map(|seen| seen.size).collect();
    assert!(sizes.iter().all(|size| *size == SIZES[2]), "{sizes:?}");
    let after = theatre.bitrate(wide, 0, since);
    assert!(after.abs_diff(before) < before / 10, "{before} bit/s before, {after} after");
    assert_eq!(theatre.frozen(wide, 0, since), Duration::ZERO);
    assert_eq!(narrowed(&theatre, wide).last(), Some(&(0, 0)));

    // Room again.
    theatre.narrow(narrow, WIDE_BPS, FAR);
    let back = time_to(&mut theatre, narrow, SIZES[2], Duration::from_secs(10));
    theatre.run(Duration::from_secs(2));
    assert_eq!(narrowed(&theatre, narrow).last(), Some(&(0, 0)));
    theatre.assert_continuous(wide, 0);
    println!("smaller after {fall:?}, frozen for {frozen:?}, large again after {back:?}");
}

/// Who is behind a queue that fills before anybody can know.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ear {
    /// Its offer has no word of lost audio, as browsers make it by themselves.
    Plain,
    /// It may ask for what it lost, and never does: what it hears is what is sent again unasked.
    Silent,
    /// It asks.
    Asking,
}

#[test]
fn a_queue_that_is_full_before_anybody_can_know_costs_a_moment_and_no_more() {
    let (lost, pause) = full_before_anybody_knows(Ear::Plain, Duration::ZERO);
    // Dropped by the full queue, and nobody may send them again.
    assert!((1..=10).contains(&lost) && pause < Duration::from_millis(250), "{lost} lost, {pause:?} between two");
}

#[test]
fn voices_that_a_queue_dropped_which_was_full_before_anybody_could_know_are_there_in_their_place() {
    for ear in [Ear::Silent, Ear::Asking] {
        // With the last picture before it and without.
        for late in [0, 24] {
            let (lost, pause) = full_before_anybody_knows(ear, Duration::from_millis(late));
            // One that is sent again too late would be a longer time between two.
            assert!(lost == 0 && pause < Duration::from_millis(250), "{ear:?}, {late}: {lost} lost, {pause:?} between two");
        }
    }
}

/// The link becomes narrow so late after a moment that is the same for all. Of the voice: how many packets did not come, and the
/// longest time between two that were said one after the other.
fn full_before_anybody_knows(ear: Ear, late: Duration) -> (u64, Duration) {
    let mut theatre = Theatre::new();
    // As the load harness plays it: 720p, everyone 100 ms away, a second of queue. It is full after a fifth of a second, and the
    // first word of it comes no sooner.
    theatre.frames = [(1, 625), (2, 1_041), (6, 1_041)];
    theatre.queue = Duration::from_secs(1);
    theatre.delay = FAR;
    theatre.join(true, 0);
    let narrow = match ear {
        Ear::Plain => theatre.join(false, 1),
        Ear::Silent | Ear::Asking => theatre.join_by(false, 1, Codec::Vp8, asking),
    };
    if ear == Ear::Asking {
        theatre.people[narrow].ask_for_voices();
    }
    let wide = theatre.join(false, 1);
    theatre.narrow(narrow, WIDE_BPS, Duration::ZERO);
    theatre.watch(narrow, &[(0, Source::Camera, 0, LARGE)]);
    theatre.watch(wide, &[(0, Source::Camera, 0, LARGE)]);
    theatre.run(Duration::from_secs(15) + late);
    assert_eq!((theatre.size(narrow, 0), theatre.size(wide, 0)), (Some(SIZES[2]), Some(SIZES[2])));
    let (since, before) = (theatre.now, *theatre.engine.traffic());
    theatre.narrow(narrow, NARROW_BPS, Duration::ZERO);
    let fall = time_to(&mut theatre, narrow, SIZES[0], Duration::from_secs(2));
    theatre.run(Duration::from_secs(20) - fall);

    let frozen = theatre.frozen(narrow, 0, since);
    let (lost, pause) = theatre.voice(narrow, since);
    let repeated = theatre.engine.traffic().video_repeated - before.video_repeated;
    let again = theatre.engine.traffic().audio_repeated - before.audio_repeated;
    println!(
        "{ear:?}: smaller after {fall:?}, frozen for {frozen:?}, of the voice {lost} lost, {again} again, {pause:?} between two"
    );
    assert!(frozen < Duration::from_secs(1), "frozen for {frozen:?}");
    assert!(again <= if ear == Ear::Plain { 0 } else { 24 }, "{again} packets of the voice were sent again");
    assert!(repeated < 20, "{repeated} packets were sent again, which nobody waited for");
    let steady = since + Duration::from_secs(4);
    let (missed, longest) = theatre.voice(narrow, steady);
    assert!(missed == 0 && longest < Duration::from_millis(150), "{missed} lost, {longest:?} between two");
    assert_eq!(theatre.frozen(narrow, 0, steady), Duration::ZERO);
    assert_eq!((theatre.frozen(wide, 0, since), theatre.size(wide, 0)), (Duration::ZERO, Some(SIZES[2])));
    theatre.assert_continuous(wide, 0);
    (lost, pause)
}

#[test]
fn probing_a_narrow_link_takes_nothing_from_the_voice() {
    let (mut theatre, narrow, _) = two_listeners(FAR);
    theatre.narrow(narrow, NARROW_BPS, FAR);
    theatre.run(Duration::from_secs(10));
    let (since, before) = (theatre.now, *theatre.engine.traffic());
    theatre.run(Duration::from_secs(40));
    let (lost, pause) = theatre.voice(narrow, since);
    assert!(lost == 0 && pause < Duration::from_millis(200), "{lost} lost, {pause:?} between two");
    assert_eq!(theatre.frozen(narrow, 0, since), Duration::ZERO);
    // It asks again and again whether there is room by now, and no more than that.
    let (padding, shown) =
        (theatre.engine.traffic().padding_out - before.padding_out, theatre.seen(narrow, 0, since).len() as u64);
    assert!(padding > 5 && padding < shown / 10, "{padding} packets of padding beside {shown} of video");
}

#[test]
fn nothing_is_probed_for_that_nobody_wants() {
    let (mut theatre, first, _) = two_listeners(Duration::ZERO);
    theatre.run(Duration::from_secs(10));
    let before = theatre.engine.traffic().padding_out;
    theatre.run(Duration::from_secs(20));
    assert_eq!(theatre.engine.traffic().padding_out, before, "everyone has the best there is");
    // Who shows nothing is sent nothing.
    theatre.watch(first, &[]);
    theatre.run(Duration::from_secs(1));
    let (since, padding) = (theatre.now, theatre.engine.traffic().padding_out);
    theatre.run(Duration::from_secs(10));
    assert_eq!((theatre.seen(first, 0, since).len(), theatre.engine.traffic().padding_out), (0, padding));
    let audience = theatre.engine.audience();
    assert_eq!((audience.listeners, audience.slots, audience.narrowed, audience.paused), (1, 1, 0, 0));
    assert!(audience.estimate_bps > 900_000, "{audience:?}");
}

#[test]
fn video_pauses_before_the_voice_suffers_and_comes_back_with_the_network() {
    let (mut theatre, narrow, wide) = two_listeners(Duration::ZERO);
    let since = theatre.now;
    theatre.narrow(narrow, 100_000, Duration::ZERO);
    theatre.run(Duration::from_secs(15));
    let steady = theatre.now;
    theatre.run(Duration::from_secs(15));
    assert_eq!(narrowed(&theatre, narrow).last(), Some(&(1, 1)), "paused, and its listener knows");
    assert_eq!(theatre.engine.audience().paused, 1);
    let (lost, pause) = theatre.voice(narrow, steady);
    assert!(lost == 0 && pause < Duration::from_millis(500), "{lost} lost, {pause:?} between two");
    assert_eq!(theatre.size(wide, 0), Some(SIZES[2]));
    theatre.narrow = None;
    let back = time_to(&mut theatre, narrow, SIZES[2], Duration::from_secs(12));
    println!("large again after {back:?}");
    assert_eq!(theatre.frozen(wide, 0, since), Duration::ZERO);
}

#[test]
fn after_an_outage_voice_and_video_come_back() {
    let (mut theatre, narrow, wide) = two_listeners(Duration::ZERO);
    let since = theatre.now;
    theatre.narrow(narrow, 0, Duration::ZERO);
    theatre.run(Duration::from_secs(4));
    theatre.narrow = None;
    let back = theatre.now;
    theatre.run(Duration::from_millis(500));
    assert!(theatre.voice(narrow, back).1 < Duration::from_millis(300), "the voice is there at once");
    theatre.run(Duration::from_millis(4_500));
    assert!(theatre.seen(narrow, 0, theatre.now - Duration::from_secs(1)).len() > 20, "some picture within 5 s");
    theatre.run(Duration::from_secs(5));
    assert_eq!(theatre.size(narrow, 0), Some(SIZES[2]));
    assert_eq!(theatre.frozen(wide, 0, since), Duration::ZERO);
    theatre.assert_continuous(wide, 0);
}

#[test]
fn a_listener_without_transport_wide_feedback_is_judged_by_its_reports() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let plain = theatre.join_by(false, 1, Codec::Vp8, |offer| {
        assert!(offer.contains("transport-wide-cc-extensions"));
        // Nor does it take retransmissions, so what is lost stays lost in its reports.
        offer.replace("transport-wide-cc-extensions", "no-such-extensions").replace("rtx/90000", "no-such-codec/90000")
    });
    theatre.watch(plain, &[(0, Source::Camera, 0, LARGE)]);
    theatre.run(Duration::from_secs(6));
    assert_eq!(theatre.size(plain, 0), Some(SIZES[2]));
    theatre.loss_down = (plain, 400);
    theatre.run(Duration::from_secs(20));
    assert_eq!(theatre.size(plain, 0), Some(SIZES[0]), "two of five packets are lost");
    assert_eq!(narrowed(&theatre, plain).last().map(|(less, _)| *less), Some(1));
    assert_eq!(theatre.engine.traffic().padding_out, 0, "what it does not tell of is not probed");
}

#[test]
fn what_waits_for_a_slot_that_is_emptied_is_dropped_and_leaves_no_hole() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    let viewer = theatre.join(false, 1);
    let shown = PeerEvent::Shown { slot: 0, showing: Some((PeerId(1), Source::Camera)) };
    for round in 1..=5 {
        theatre.watch(viewer, &[(0, Source::Camera, 0, LARGE)]);
        let is_shown =
            |theatre: &Theatre| theatre.people[viewer].events.iter().filter(|(_, event)| *event == shown).count() == round;
        while !is_shown(&theatre) {
            theatre.step(true);
        }
        // Of a key frame some packets have left, and the others wait.
        theatre.watch(viewer, &[]);
        theatre.run(Duration::from_millis(500));
    }
    let drops = theatre.engine.drops();
    assert!(drops.of(Reason::Superseded) > 0);
    assert_eq!((drops.of(Reason::QueueFull), drops.of(Reason::Overdue)), (0, 0));
    theatre.watch(viewer, &[(0, Source::Camera, 0, LARGE)]);
    theatre.run(Duration::from_secs(5));
    let seen = theatre.seen(viewer, 0, theatre.start);
    let holes = seen.windows(2).filter(|pair| pair[1].sequence != pair[0].sequence + 1).count();
    assert_eq!(holes, 0);
}

#[test]
fn a_narrow_link_is_kept_free_for_the_voice() {
    let (mut theatre, narrow, _) = two_listeners(Duration::ZERO);
    theatre.narrow(narrow, NARROW_BPS, Duration::ZERO);
    theatre.run(Duration::from_secs(5));
    assert_eq!(theatre.size(narrow, 0), Some(SIZES[0]));
    let queue = theatre.narrow.map_or(Duration::ZERO, |narrow| narrow.busy_until.saturating_duration_since(theatre.now));
    assert!(queue < Duration::from_millis(150), "the voice waits for {queue:?} behind video");
}
