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
