use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn picture(id: u16, base: u8) -> Picture {
    Picture { id: Some((2, true, id)), base: Some((4, base)), frame: Some(id) }
}

fn origin(layer: u8) -> Origin {
    Origin { stage: 3, generation: 1, layer, is_thinned: false }
}

#[test]
fn a_tenure_goes_on_above_everything_before_it() {
    let start = Instant::now();
    let mut rewriter = Rewriter::new(start);
    let numbers = picture(32_767, 255);
    let first = rewriter.begin(start, origin(0), &Incoming { index: 65_535, timestamp: 10, picture: &numbers });
    assert_eq!((first.index, first.picture_id, first.base), (1, 1, 1));
    let numbers = picture(0, 0);
    let next = rewriter.place(start, &Incoming { index: 65_536, timestamp: 3010, picture: &numbers }).expect("it is next");
    assert_eq!((next.index, next.picture_id, next.base), (2, 2, 2), "over every wrap");
    assert_eq!(next.timestamp - first.timestamp, 3000);

    let later = start + Duration::from_millis(40);
    let numbers = picture(77, 9);
    let other = rewriter.begin(later, origin(2), &Incoming { index: 900, timestamp: 1 << 31, picture: &numbers });
    assert_eq!((other.index, other.picture_id, other.base), (3, 3, 3));
    assert_eq!(other.timestamp - next.timestamp, 3600, "as much as time passed");
    let before = Incoming { index: 899, timestamp: 1 << 31, picture: &numbers };
    assert_eq!(rewriter.place(later, &before), Err(Refused::BeforeTenure));
    let ahead = Incoming { index: 900 + 5000, timestamp: 0, picture: &numbers };
    assert_eq!(rewriter.place(later, &ahead), Err(Refused::Jumped));
}

#[test]
fn what_was_lost_is_found_under_our_numbers() {
    let start = Instant::now();
    let mut rewriter = Rewriter::new(start);
    let numbers = picture(5, 5);
    for layer in 0..3 {
        rewriter.begin(start, origin(layer), &Incoming { index: 1000 * u64::from(layer), timestamp: 1, picture: &numbers });
        let lost_and_found = [2, 1, 4, 3].map(|index| 1000 * u64::from(layer) + index);
        for index in lost_and_found {
            rewriter.place(start, &Incoming { index, timestamp: 1, picture: &numbers }).expect("it has a place");
        }
    }
    assert_eq!(rewriter.origin(1), Some((origin(0), 0)));
    assert_eq!(rewriter.origin(8), Some((origin(1), 1002)));
    assert_eq!(rewriter.origin(15), Some((origin(2), 2004)));
    assert_eq!((rewriter.origin(16), rewriter.origin(0)), (None, None), "never sent");
    let again = rewriter.again(origin(1), &Incoming { index: 1002, timestamp: 1, picture: &numbers });
    assert_eq!(again.map(|placed| placed.index), Some(8));
    assert_eq!(rewriter.again(origin(1), &Incoming { index: 1009, timestamp: 1, picture: &numbers }), None);
}

/// One layer of one publisher, seen by the one listener.
struct Publisher {
    index: u64,
    timestamp: u32,
    picture: u16,
    base: u8,
}

proptest! {
    /// Random switches between layers and sources, losses and late packets: the listener's numbers have no hole but for what
    /// was lost, no double, and never run backwards.
    #[test]
    fn a_listeners_numbers_are_continuous_over_random_switches_and_losses(
        seeds in prop::collection::vec((any::<u16>(), any::<u32>(), any::<u16>(), any::<u8>()), 4),
        steps in prop::collection::vec((0usize..4, 0u8..12, 1u64..80), 1..400),
    ) {
        let start = Instant::now();
        let mut now = start;
        let mut rewriter = Rewriter::new(start);
        let mut publishers: Vec<Publisher> = seeds
            .iter()
            .map(|&(index, timestamp, picture, base)| Publisher { index: u64::from(index) + 200, timestamp, picture, base })
            .collect();
        let mut on_air = None;
        // What was sent: our index, and the time and picture it had.
        let mut sent: BTreeMap<u64, (u32, u16)> = BTreeMap::new();
        let mut lost = 0u64;
        let mut newest: Option<(u64, Placed)> = None;
        for (which, fate, millis) in steps {
            now += Duration::from_millis(millis);
            // Everyone goes on, whoever is shown.
            for publisher in &mut publishers {
                publisher.index += 1;
                publisher.timestamp = publisher.timestamp.wrapping_add(90 * millis as u32);
                publisher.picture = (publisher.picture + 1) & 0x7FFF;
                publisher.base = publisher.base.wrapping_add(1);
            }
            let shown = if fate == 0 || on_air.is_none() { which } else { on_air.unwrap_or(which) };
            let publisher = &publishers[shown];
            let numbers = picture(publisher.picture, publisher.base);
            let incoming = Incoming { index: publisher.index, timestamp: publisher.timestamp, picture: &numbers };
            let placed = if on_air == Some(shown) && fate != 0 {
                if fate == 1 {
                    lost += 1;
                    continue;
                }
                rewriter.place(now, &incoming).expect("within the tenure")
            } else {
                // What was lost at the end of a tenure leaves no hole: nobody knows of it.
                if let Some((last, _)) = newest {
                    lost = lost.min(last);
                }
                on_air = Some(shown);
                rewriter.begin(now, origin(shown as u8), &incoming)
            };
            prop_assert!(sent.insert(placed.index, (placed.timestamp, placed.picture_id)).is_none(), "an index twice");
            if let Some((index, before)) = newest {
                prop_assert!(placed.index > index && placed.index - index <= lost + 1, "a hole that nobody lost");
                prop_assert!((placed.timestamp.wrapping_sub(before.timestamp) as i32) > 0, "time runs backwards");
                let pictures = placed.picture_id.wrapping_sub(before.picture_id) & 0x7FFF;
                prop_assert_eq!(u64::from(pictures), placed.index - index, "pictures are counted on");
                prop_assert_eq!(u64::from(placed.base.wrapping_sub(before.base)), (placed.index - index) & 0xFF);
            }
            let (from, index) = rewriter.origin(placed.index as u16).expect("just sent");
            prop_assert_eq!((from, index), (origin(shown as u8), publisher.index));
            newest = Some((placed.index, placed));
            lost = 0;
        }
    }
}
