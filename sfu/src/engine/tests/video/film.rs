//! What whoever records a room sees of its videos.

use super::*;

/// What came since the last call.
fn take(theatre: &mut Theatre) -> Vec<crate::Seen> {
    theatre.engine.take_seen().collect()
}

/// Whether every stream begins with a key frame, and which of its numbers are missing behind that. It is sorted.
fn missing(seen: &[crate::Seen]) -> Vec<u64> {
    let mut missing = Vec::new();
    let mut streams: BTreeMap<(u32, u32), Vec<&crate::Seen>> = BTreeMap::new();
    seen.iter().for_each(|packet| streams.entry(packet.stream).or_default().push(packet));
    for mut stream in streams.into_values() {
        let first = stream[0];
        assert!(vp8::look(&first.payload).expect("VP8").starts_key_frame, "{first:?}");
        stream.retain(|packet| packet.index >= first.index);
        stream.sort_by_key(|packet| packet.index);
        let expected = first.index..=stream.last().expect("the first").index;
        missing.extend(expected.filter(|index| stream.binary_search_by_key(index, |packet| packet.index).is_err()));
    }
    missing
}

#[test]
fn a_filmed_room_is_seen_in_its_largest_layer_from_a_key_frame_on_and_without_losses() {
    let mut theatre = Theatre::new();
    theatre.join(true, 0);
    theatre.run(Duration::from_secs(3));
    assert_eq!((take(&mut theatre).len(), theatre.encoders.map(|encoder| encoder.is_on)), (0, [false; 3]), "nobody films");

    theatre.engine.film(theatre.now, RoomId(1), true);
    let begun = theatre.now;
    theatre.run(Duration::from_secs(2));
    assert_eq!(theatre.encoders.map(|encoder| encoder.is_on), [false, false, true], "what films is a viewer like others");
    let seen = take(&mut theatre);
    assert_eq!(vp8::look(&seen[0].payload).expect("VP8").size, Some(SIZES[2]));
    assert!(seen[0].at - begun < Duration::from_millis(700), "{:?}", seen[0].at - begun);
    assert!(seen.iter().all(|packet| (packet.publisher, packet.source, packet.room) == (PeerId(1), Source::Camera, RoomId(1))));
    assert_eq!(missing(&seen), [] as [u64; 0]);

    // What the publisher's network loses is asked for again, though nobody else watches.
    theatre.loss_up = 30;
    theatre.run(Duration::from_secs(8));
    theatre.loss_up = 0;
    theatre.run(Duration::from_secs(1));
    let mut seen = [seen, take(&mut theatre)].concat();
    assert_eq!(missing(&seen), [] as [u64; 0]);
    assert!(seen.windows(2).any(|pair| pair[0].index > pair[1].index), "some came late");
    let numbers = seen.len();
    seen.sort_by_key(|packet| packet.index);
    seen.dedup_by_key(|packet| packet.index);
    assert_eq!(seen.len(), numbers, "nothing came twice");

    // A recorder that lost some of it says so.
    let asked = theatre.people[0].key_requests.len();
    (0..5).for_each(|_| theatre.engine.refresh(theatre.now, PeerId(1), Source::Camera));
    theatre.run(Duration::from_millis(400));
    assert_eq!(theatre.people[0].key_requests.len() - asked, 1);
    let is_key = |packet: &crate::Seen| vp8::look(&packet.payload).is_some_and(|look| look.starts_key_frame);
    assert!(take(&mut theatre).iter().any(is_key));

    theatre.engine.film(theatre.now, RoomId(1), false);
    theatre.run(Duration::from_secs(3));
    assert_eq!((take(&mut theatre).len(), theatre.encoders.map(|encoder| encoder.is_on)), (0, [false; 3]));
}

#[test]
fn when_the_largest_layer_ends_the_next_is_filmed_as_another_stream_until_it_is_back() {
    let mut theatre = Theatre::new();
    theatre.engine.film(theatre.now, RoomId(1), true);
    theatre.join(true, 0);
    theatre.run(Duration::from_secs(2));
    // As a browser does whose network got narrow: it is asked for the layer and does not send it.
    for _ in 0..2_000 {
        theatre.encoders[2].is_on = false;
        theatre.step(true);
    }
    theatre.encoders[2].is_on = true;
    theatre.run(Duration::from_secs(5));
    let seen = take(&mut theatre);
    assert_eq!(missing(&seen), [] as [u64; 0]);
    let mut sizes: Vec<_> = seen.iter().filter_map(|packet| vp8::look(&packet.payload).expect("VP8").size).collect();
    sizes.dedup();
    // Which layer's first packet is the first of all is chance.
    assert_eq!(sizes[sizes.len() - 3..], [SIZES[2], SIZES[1], SIZES[2]], "{sizes:?}");
}
