//! A room that is spread over workers: who publishes and who watches sit on any of them, and it is as in a room that is whole.

use super::*;
use crate::video::Codecs;

/// Where the first person sits, who publishes, and where the others do.
const SEATS: [(usize, &[usize]); 5] = [(0, &[1]), (1, &[0]), (1, &[2]), (0, &[0, 1, 2]), (2, &[0, 1, 2])];

/// Somebody who publishes on a worker, and viewers with two slots each on others.
fn theatre(publisher: usize, viewers: &[usize]) -> (Theatre, Vec<usize>) {
    let mut theatre = Theatre::with_branches(2);
    theatre.worker = publisher;
    theatre.join(true, 2);
    let join = |&worker: &usize| {
        theatre.worker = worker;
        theatre.join(false, 2)
    };
    let viewers = viewers.iter().map(join).collect();
    (theatre, viewers)
}

fn camera(slot: u8, pixels: u32) -> (usize, Source, u8, u32) {
    (0, Source::Camera, slot, pixels)
}

fn asked(theatre: &Theatre) -> usize {
    theatre.people[0].key_requests.len()
}

#[test]
fn everyone_gets_the_layer_that_fits_wherever_they_sit_and_the_others_stop_at_their_sender() {
    for (publisher, workers) in SEATS {
        let (mut theatre, larges) = theatre(publisher, workers);
        let smalls: Vec<usize> = workers
            .iter()
            .map(|&worker| {
                theatre.worker = worker;
                theatre.join(false, 1)
            })
            .collect();
        larges.iter().for_each(|&who| theatre.watch(who, &[camera(1, LARGE)]));
        smalls.iter().for_each(|&who| theatre.watch(who, &[camera(0, TINY)]));
        theatre.run(Duration::from_secs(6));
        let sizes = |theatre: &Theatre, who: &[usize], slot| who.iter().map(|&who| theatre.size(who, slot)).collect::<Vec<_>>();
        assert_eq!(sizes(&theatre, &larges, 1), vec![Some(SIZES[2]); larges.len()], "{publisher} to {workers:?}");
        assert_eq!(sizes(&theatre, &smalls, 0), vec![Some(SIZES[0]); smalls.len()], "{publisher} to {workers:?}");
        assert_eq!(theatre.encoders.map(|encoder| encoder.is_on), [true, false, true], "nobody wants the one between");
        let shown = |who: usize, slot| {
            let wanted = PeerEvent::Shown { slot, showing: Some((PeerId(1), Source::Camera)) };
            theatre.people[who].events.iter().filter(|(_, event)| *event == wanted).count()
        };
        assert!(larges.iter().all(|&who| (shown(who, 0), shown(who, 1)) == (0, 1)));

        // Each packet crosses once for each part that wants it, however many sit there; from a branch by way of the home.
        let (crossed, came) = (theatre.crossed, theatre.at(publisher).traffic().video_in);
        theatre.run(Duration::from_secs(2));
        let (crossed, came) = (theatre.crossed - crossed, theatre.at(publisher).traffic().video_in - came);
        let others = workers.iter().filter(|worker| **worker != publisher).count();
        let by_way = usize::from(publisher != 0 && !workers.contains(&0));
        assert_eq!(crossed, came * (others + by_way) as u64, "{publisher} to {workers:?}");

        // The smaller ones want the one between, and then the largest ones nothing.
        let since = theatre.now;
        smalls.iter().for_each(|&who| theatre.watch(who, &[camera(0, SMALL)]));
        larges.iter().for_each(|&who| theatre.watch(who, &[]));
        theatre.run(Duration::from_secs(3));
        assert_eq!(sizes(&theatre, &smalls, 0), vec![Some(SIZES[1]); smalls.len()], "{publisher} to {workers:?}");
        assert_eq!(theatre.encoders.map(|encoder| encoder.is_on), [false, true, false]);
        assert!(smalls.iter().all(|&who| theatre.frozen(who, 0, since) == Duration::ZERO));

        // Nobody watches any more: nothing is sent any more, and all of it comes back.
        smalls.iter().for_each(|&who| theatre.watch(who, &[]));
        theatre.run(Duration::from_secs(3));
        assert_eq!(theatre.encoders.map(|encoder| encoder.is_on), [false; 3]);
        larges.iter().for_each(|&who| theatre.watch(who, &[camera(1, LARGE)]));
        theatre.run(Duration::from_secs(1));
        for (who, slot) in larges.iter().map(|who| (*who, 1)).chain(smalls.iter().map(|who| (*who, 0))) {
            theatre.assert_continuous(who, slot);
        }
        let since = theatre.now - Duration::from_millis(200);
        assert!(larges.iter().all(|&who| theatre.seen(who, 1, since).len() > 10));
    }
}

#[test]
fn requests_of_many_on_all_parts_for_a_key_frame_become_one() {
    for publisher in [0, 1] {
        let (mut theatre, crowd) = theatre(publisher, &[0, 0, 1, 1, 2, 2, 2]);
        crowd.iter().for_each(|&who| theatre.watch(who, &[camera(0, LARGE)]));
        theatre.run(Duration::from_secs(6));
        let before = asked(&theatre);
        for &who in &crowd {
            let ssrc = theatre.people[who].video_slots[0].0;
            let stream = &mut theatre.people[who].rtc.direct_api();
            stream.stream_rx(&ssrc.into()).expect("the answer names it").request_keyframe(KeyframeRequestKind::Pli);
        }
        let since = theatre.now;
        theatre.run(Duration::from_millis(400));
        assert_eq!(asked(&theatre) - before, 1);
        let has_key = |who: &usize| theatre.seen(*who, 0, since).iter().any(|seen| seen.is_key);
        assert!(crowd.iter().all(has_key), "and it comes to everybody");
    }
}

#[test]
fn what_a_listener_lost_it_gets_again_from_its_own_worker() {
    let (mut theatre, viewers) = theatre(1, &[2, 2, 0]);
    viewers.iter().for_each(|&who| theatre.watch(who, &[camera(0, LARGE)]));
    theatre.run(Duration::from_secs(2));
    theatre.loss_down = (viewers[0], 50);
    theatre.run(Duration::from_secs(8));
    theatre.loss_down = (0, 0);
    theatre.run(Duration::from_secs(1));
    viewers.iter().for_each(|&who| theatre.assert_continuous(who, 0));
    let repeated = [0, 1, 2].map(|worker| theatre.at(worker).traffic().video_repeated);
    assert!(repeated[..2] == [0, 0] && repeated[2] > 20, "{repeated:?}");
    assert!(asked(&theatre) < 10, "{} key frames were asked for", asked(&theatre));

    // And what the publisher's network loses is asked for where it sits.
    theatre.loss_up = 20;
    theatre.run(Duration::from_secs(8));
    theatre.loss_up = 0;
    theatre.run(Duration::from_secs(1));
    viewers.iter().for_each(|&who| theatre.assert_continuous(who, 0));
    assert!(asked(&theatre) < 10, "{} key frames were asked for", asked(&theatre));
}

#[test]
fn what_is_lost_between_workers_costs_one_key_frame_and_only_there() {
    for (publisher, other) in [(0, 0), (1, 0), (1, 2)] {
        let (mut theatre, viewers) = theatre(publisher, &[if other == 0 && publisher == 0 { 1 } else { other }, publisher]);
        viewers.iter().for_each(|&who| theatre.watch(who, &[camera(0, LARGE)]));
        theatre.run(Duration::from_secs(6));
        let (since, before) = (theatre.now, asked(&theatre));
        theatre.lose = 3;
        theatre.run(Duration::from_secs(3));
        assert_eq!(theatre.lose, 0);
        assert_eq!(asked(&theatre) - before, 1, "{publisher} to {other}");
        let frozen = theatre.frozen(viewers[0], 0, since);
        assert!(frozen < Duration::from_millis(700), "{publisher} to {other}: {frozen:?}");
        assert_eq!(theatre.frozen(viewers[1], 0, since), Duration::ZERO);
        assert_eq!(theatre.size(viewers[0], 0), Some(SIZES[2]));
    }
}

#[test]
fn who_leaves_empties_slots_on_every_part_and_who_comes_is_seen_there() {
    for publisher in [0, 1] {
        let (mut theatre, viewers) = theatre(publisher, &[0, 1, 2]);
        viewers.iter().for_each(|&who| theatre.watch(who, &[camera(1, SMALL)]));
        theatre.run(Duration::from_secs(1));
        let shown = |theatre: &Theatre, who: usize| {
            let shown = theatre.people[who].events.iter().filter_map(|(_, event)| match event {
                PeerEvent::Shown { slot: 1, showing } => Some(showing.is_some()),
                _ => None,
            });
            shown.collect::<Vec<_>>()
        };
        assert!(viewers.iter().all(|&who| shown(&theatre, who) == [true]));
        theatre.at(publisher).leave(PeerId(1)).expect("it was there");
        let (crossed, since) = (theatre.crossed, theatre.now);
        theatre.run(Duration::from_secs(1));
        assert!(viewers.iter().all(|&who| shown(&theatre, who) == [true, false]), "{publisher}");
        assert_eq!(theatre.crossed, crossed, "nothing is under way any more");
        assert!(viewers.iter().all(|&who| theatre.seen(who, 1, since + Duration::from_millis(100)).is_empty()));

        // Whoever goes takes its part of the room along, and its seats.
        for (who, worker) in viewers.into_iter().zip(0..) {
            let id = theatre.people[who].id;
            theatre.at(worker).leave(id).expect("it was there");
        }
        theatre.step(false);
        let rooms =
            [0, 1, 2].map(|worker| (theatre.at(worker).peers(), theatre.at(worker).rooms(), theatre.at(worker).branches()));
        assert_eq!(rooms, [(0, 0, 0); 3]);
    }
}

#[test]
fn a_branch_that_ends_and_begins_again_knows_what_is_shown() {
    for publisher in [0, 2] {
        let (mut theatre, viewers) = theatre(publisher, &[1]);
        theatre.watch(viewers[0], &[camera(0, LARGE)]);
        theatre.run(Duration::from_secs(6));
        assert_eq!(theatre.size(viewers[0], 0), Some(SIZES[2]));
        let id = theatre.people[viewers[0]].id;
        theatre.at(1).leave(id).expect("it was there");
        theatre.run(Duration::from_secs(3));
        assert_eq!((theatre.at(1).branches(), theatre.encoders.map(|encoder| encoder.is_on)), (0, [false; 3]), "nobody is left");
        theatre.worker = 1;
        let again = theatre.join(false, 1);
        theatre.watch(again, &[camera(0, LARGE)]);
        theatre.run(Duration::from_secs(6));
        assert_eq!(theatre.size(again, 0), Some(SIZES[2]));
        theatre.assert_continuous(again, 0);
    }
}

#[test]
fn a_home_without_people_passes_on_what_its_branches_show() {
    let (mut theatre, people) = theatre(1, &[0, 2]);
    let (viewer, id) = (people[1], theatre.people[people[0]].id);
    theatre.watch(viewer, &[camera(0, LARGE)]);
    theatre.engine.leave(id).expect("it was there");
    theatre.run(Duration::from_secs(6));
    assert_eq!(theatre.size(viewer, 0), Some(SIZES[2]));
    theatre.assert_continuous(viewer, 0);
}

#[test]
fn everybody_on_all_parts_agrees_on_the_codecs() {
    let (mut theatre, viewers) = theatre(0, &[0, 1, 2]);
    let told = |theatre: &Theatre, who: usize| {
        let codecs = theatre.people[who].events.iter().rev().find_map(|(_, event)| match event {
            PeerEvent::Codecs(codecs) => Some(*codecs),
            _ => None,
        });
        codecs.expect("it was told")
    };
    let vp8: Codecs = [Codec::Vp8].into_iter().collect();
    let everyone: Vec<usize> = std::iter::once(0).chain(viewers).collect();
    assert!(everyone.iter().all(|&who| told(&theatre, who) == vp8));
    for worker in 0..3 {
        theatre.worker = worker;
        let other = theatre.join_with(false, 1, Codec::H264);
        let none = [].into_iter().collect();
        theatre.step(false);
        assert!(everyone.iter().chain([&other]).all(|&who| told(&theatre, who) == none), "somebody on {worker} has H.264 alone");
        let id = theatre.people[other].id;
        theatre.at(worker).leave(id).expect("it was there");
        theatre.step(false);
        assert!(everyone.iter().all(|&who| told(&theatre, who) == vp8), "and nobody any more");
    }
    // Whoever comes is told at once, and nobody else again.
    let before = theatre.people.iter().map(|person| person.events.len()).sum::<usize>();
    theatre.worker = 2;
    let late = theatre.join(false, 1);
    theatre.step(false);
    assert_eq!(told(&theatre, late), vp8);
    let events = theatre.people.iter().map(|person| person.events.len()).sum::<usize>() - before;
    assert_eq!(events, theatre.people[late].events.len());
}

#[test]
fn nobody_without_the_right_shows_anything_on_another_part() {
    for publisher in [0, 1] {
        let (mut theatre, viewers) = theatre(publisher, &[0, 2]);
        viewers.iter().for_each(|&who| theatre.watch(who, &[camera(0, SMALL)]));
        theatre.run(Duration::from_secs(1));
        theatre.at(publisher).set_policy(PeerId(1), Policy { can_stream: false, ..OPEN }).expect("it is there");
        theatre.run(Duration::from_millis(100));
        let since = theatre.now;
        theatre.run(Duration::from_secs(1));
        assert!(viewers.iter().all(|&who| theatre.seen(who, 0, since).is_empty()));
        theatre.at(publisher).set_policy(PeerId(1), OPEN).expect("it is there");
        theatre.run(Duration::from_secs(1));
        assert!(viewers.iter().all(|&who| theatre.seen(who, 0, since).len() > 10), "it goes on");
    }
}

#[test]
fn each_listener_of_a_branch_gets_what_its_own_network_carries() {
    let (mut theatre, viewers) = theatre(1, &[2, 2]);
    let [narrow, wide] = viewers[..] else { panic!("two viewers") };
    viewers.iter().for_each(|&who| theatre.watch(who, &[camera(0, LARGE)]));
    theatre.run(Duration::from_secs(6));
    let since = theatre.now;
    theatre.narrow(narrow, 300_000, Duration::ZERO);
    theatre.run(Duration::from_secs(10));
    assert_eq!((theatre.size(narrow, 0), theatre.size(wide, 0)), (Some(SIZES[0]), Some(SIZES[2])));
    let narrowed = |who: usize| {
        theatre.people[who].events.iter().rev().find_map(|(_, event)| match event {
            PeerEvent::Narrowed { less, paused } => Some((*less, *paused)),
            _ => None,
        })
    };
    assert_eq!(narrowed(narrow), Some((1, 0)));
    assert!(narrowed(wide).is_none_or(|(less, paused)| (less, paused) == (0, 0)));
    assert_eq!(theatre.frozen(wide, 0, since), Duration::ZERO);
    theatre.narrow = None;
    theatre.run(Duration::from_secs(12));
    assert_eq!(theatre.size(narrow, 0), Some(SIZES[2]));
}

#[test]
fn a_publisher_that_stops_a_layer_is_shown_in_the_next_on_every_part() {
    let (mut theatre, viewers) = theatre(1, &[0, 2]);
    viewers.iter().for_each(|&who| theatre.watch(who, &[camera(0, LARGE)]));
    theatre.run(Duration::from_secs(6));
    // As a browser does whose network got narrow: it is asked for the layer and does not send it.
    for _ in 0..2_000 {
        theatre.encoders[2].is_on = false;
        theatre.step(true);
    }
    let sizes = |theatre: &Theatre| viewers.iter().map(|&who| theatre.size(who, 0)).collect::<Vec<_>>();
    assert_eq!(sizes(&theatre), [Some(SIZES[1]); 2]);
    theatre.encoders[2].is_on = true;
    theatre.run(Duration::from_secs(6));
    assert_eq!(sizes(&theatre), [Some(SIZES[2]); 2]);
}

#[test]
fn what_is_shown_on_a_branch_is_filmed_at_the_home() {
    let (mut theatre, viewers) = theatre(1, &[2]);
    (0..3).for_each(|worker| {
        let now = theatre.now;
        theatre.at(worker).film(now, RoomId(1), true);
    });
    theatre.run(Duration::from_secs(3));
    assert_eq!(theatre.encoders.map(|encoder| encoder.is_on), [false, false, true], "what films is a viewer like others");
    let mut seen: Vec<crate::Seen> = theatre.engine.take_seen().collect();
    assert!((1..3).all(|worker| theatre.at(worker).take_seen().count() == 0), "once, and not on each part");
    assert!(vp8::look(&seen[0].payload).is_some_and(|look| look.size == Some(SIZES[2])));
    assert!(seen.iter().all(|packet| (packet.publisher, packet.source) == (PeerId(1), Source::Camera)));
    seen.sort_by_key(|packet| packet.index);
    assert!(seen.len() > 100 && seen.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "nothing is missing");

    // A recorder that lost some of it says so to the worker of its publisher.
    let before = asked(&theatre);
    (0..5).for_each(|_| {
        let now = theatre.now;
        theatre.at(1).refresh(now, PeerId(1), Source::Camera);
        theatre.step(true);
    });
    theatre.run(Duration::from_millis(400));
    assert_eq!(asked(&theatre) - before, 1);
    assert!(theatre.engine.take_seen().any(|packet| vp8::look(&packet.payload).is_some_and(|look| look.starts_key_frame)));
    assert!(theatre.people[viewers[0]].seen.is_empty());
}
