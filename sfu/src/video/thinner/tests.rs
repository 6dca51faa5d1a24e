use super::*;
use crate::video::dependency::Reader;
use crate::video::dependency::structures::{Kind, LAYERS, descriptor};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const OF: Origin = Origin { stage: 1, generation: 1, layer: 0, is_thinned: true };

/// Packets of one frame.
const PACKETS_EACH: u16 = 2;

#[derive(Clone)]
struct Packet {
    index: u64,
    timestamp: u32,
    part: Part,
}

/// A publisher's pictures, as packets in order.
fn pictures(kind: Kind, is_key: impl Fn(u16) -> bool, count: u16) -> Vec<Packet> {
    let mut reader = Reader::default();
    let mut packets = Vec::new();
    for picture in 0..count {
        for layer in 0..LAYERS {
            let frame = picture.wrapping_mul(LAYERS.into()).wrapping_add(layer.into()).wrapping_add(65_500);
            for packet in 0..PACKETS_EACH {
                let ends = (packet == 0, packet + 1 == PACKETS_EACH);
                let part = reader.read(&descriptor(kind, 3, frame, layer, is_key(picture), ends)).expect("a descriptor");
                packets.push(Packet { index: 70_000 + packets.len() as u64, timestamp: 3_000 * u32::from(picture), part });
            }
        }
    }
    packets
}

fn within(kind: Kind) -> [u8; MAX_LAYERS] {
    if kind == Kind::Full { [0, 0b001, 0b011] } else { [0; MAX_LAYERS] }
}

/// What a listener was sent, by number: an index, or nothing.
type Numbers = BTreeMap<u64, Option<u64>>;

/// One listener.
struct Listener {
    thinner: Thinner,
    aim: Aim,
    kind: Kind,
    got: Numbers,
}

impl Listener {
    fn new(kind: Kind, target: u8) -> Listener {
        let aim = Aim { layer: None, target: Some(target) };
        Listener { thinner: Thinner::default(), aim, kind, got: BTreeMap::new() }
    }

    fn take(&mut self, packet: &Packet) -> Verdict {
        let Packet { index, timestamp, part } = packet;
        let verdict = self.thinner.take(OF, *index, *timestamp, part, &within(self.kind), &mut self.aim);
        let (number, what) = match verdict {
            Verdict::Nothing => return verdict,
            Verdict::Send { left_out, .. } => (index - u64::from(left_out), Some(*index)),
            Verdict::Fill { left_out } => (index - u64::from(left_out), None),
        };
        assert_eq!(self.got.insert(number, what), None, "a number twice");
        verdict
    }
}

/// The layers of the frames that were sent of a picture.
fn sent(listener: &Listener, packets: &[Packet], picture: u32) -> Vec<u8> {
    let got: BTreeSet<u64> = listener.got.values().flatten().copied().collect();
    let of = packets.iter().filter(|packet| packet.timestamp == 3_000 * picture && got.contains(&packet.index));
    let mut layers: Vec<u8> = of.map(|packet| packet.part.spatial).collect();
    layers.dedup();
    layers
}

#[test]
fn going_down_needs_no_key_frame_where_a_layer_holds_the_smaller_ones() {
    for (kind, after) in [(Kind::Full, vec![0]), (Kind::Key, vec![2])] {
        let packets = pictures(kind, |picture| picture == 0, 10);
        let mut listener = Listener::new(kind, 2);
        for packet in &packets {
            // In the midst of a picture: it is sent whole.
            if packet.timestamp == 12_000 && packet.part.spatial == 1 {
                listener.aim.target = Some(0);
            }
            listener.take(packet);
        }
        let all = if kind == Kind::Full { vec![0, 1, 2] } else { vec![2] };
        assert_eq!(sent(&listener, &packets, 0), [0, 1, 2]);
        assert_eq!((sent(&listener, &packets, 4), sent(&listener, &packets, 5)), (all, after), "{kind:?}");
    }
}

#[test]
fn going_up_waits_for_a_key_frame() {
    for kind in [Kind::Full, Kind::Key] {
        let packets = pictures(kind, |picture| picture == 0 || picture == 6, 10);
        let mut listener = Listener::new(kind, 0);
        for packet in &packets {
            if packet.timestamp == 6_000 {
                listener.aim.target = Some(2);
            }
            listener.take(packet);
        }
        assert_eq!((sent(&listener, &packets, 5), sent(&listener, &packets, 6)), (vec![0], vec![0, 1, 2]), "{kind:?}");
        assert_eq!(listener.aim.layer, Some(2));
    }
}

#[test]
fn nobody_begins_within_a_picture() {
    let packets = pictures(Kind::Full, |picture| picture % 3 == 0, 6);
    let mut listener = Listener::new(Kind::Full, 1);
    // The first structure came before this listener did.
    for packet in packets.iter().filter(|packet| packet.timestamp > 0) {
        listener.take(packet);
    }
    assert_eq!(listener.got.first_key_value().map(|(_, index)| *index), Some(Some(70_000 + 18)));
    assert_eq!(sent(&listener, &packets, 3), [0, 1]);
}

#[test]
fn what_comes_late_has_its_number_and_what_nobody_waits_for_leaves_none() {
    let packets = pictures(Kind::Full, |picture| picture == 0, 4);
    let mut listener = Listener::new(Kind::Full, 0);
    // Of the second picture the second packet of the smallest layer is late, and one of the largest.
    let late = [7, 10];
    for (at, packet) in packets.iter().enumerate().filter(|(at, _)| !late.contains(at)) {
        let verdict = listener.take(packet);
        assert_eq!(matches!(verdict, Verdict::Send { .. }), packet.part.spatial == 0, "{at}");
    }
    assert!(matches!(listener.take(&packets[7]), Verdict::Send { begins: false, .. }));
    assert!(matches!(listener.take(&packets[10]), Verdict::Fill { .. }));
    assert_eq!(listener.take(&packets[10]), Verdict::Nothing, "once is enough");
    let numbers: Vec<u64> = listener.got.keys().copied().collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
}

#[test]
fn a_publisher_that_counts_anew_is_followed_from_its_key_frame_on() {
    let packets = pictures(Kind::Full, |picture| picture % 3 == 0, 6);
    let mut listener = Listener::new(Kind::Full, 1);
    let early = |packet: &Packet| Packet { index: packet.index - 60_000, ..packet.clone() };
    packets[..18].iter().for_each(|packet| {
        listener.take(packet);
    });
    // In the midst of its pictures, and then from a key frame on.
    assert_eq!(listener.take(&early(&packets[12])), Verdict::Nothing);
    assert!(matches!(listener.take(&early(&packets[18])), Verdict::Send { begins: true, .. }));
    assert!(matches!(listener.take(&early(&packets[19])), Verdict::Send { begins: false, .. }));
}

proptest! {
    /// Random targets, losses and late packets: every number is used once and has no hole but for what was lost, what is sent
    /// can be decoded, and what was sent is found under its number.
    #[test]
    fn numbers_are_continuous_and_what_is_sent_can_be_decoded(
        is_full in any::<bool>(),
        keys in prop::collection::btree_set(1u16..60, 0..6),
        targets in prop::collection::vec((0usize..360, prop::option::weighted(0.9, 0u8..3)), 0..12),
        lost in prop::collection::btree_set(8usize..360, 0..20),
        late in prop::collection::btree_map(8usize..360, 1usize..40, 0..20),
    ) {
        let kind = if is_full { Kind::Full } else { Kind::Key };
        let packets = pictures(kind, |picture| picture == 0 || keys.contains(&picture), 60);
        let mut order: Vec<(usize, usize)> = (0..packets.len()).map(|at| (at + late.get(&at).copied().unwrap_or(0), at)).collect();
        order.sort_unstable();
        let mut listener = Listener::new(kind, 0);
        // Of each time in which it was sent something: what it was sent, and which packets came.
        let mut runs: Vec<(Numbers, BTreeSet<u64>)> = Vec::new();
        let mut received = BTreeSet::new();
        for (now, (_, at)) in order.into_iter().enumerate() {
            for (_, target) in targets.iter().filter(|(when, _)| *when == now) {
                listener.aim.target = *target;
                if target.is_none() {
                    listener.aim.layer = None;
                }
            }
            if lost.contains(&at) {
                continue;
            }
            let before = std::mem::take(&mut listener.got);
            let verdict = listener.take(&packets[at]);
            let news = std::mem::replace(&mut listener.got, before);
            if matches!(verdict, Verdict::Send { begins: true, .. }) {
                runs.push((std::mem::take(&mut listener.got), std::mem::take(&mut received)));
            }
            if listener.aim.layer.is_some() {
                received.insert(packets[at].index);
            }
            for (number, what) in news {
                prop_assert_eq!(listener.got.insert(number, what), None, "a number twice");
                if let Some(index) = what {
                    prop_assert_eq!(listener.thinner.find(OF, number).map(|found| found.index), Some(index));
                }
            }
        }
        runs.push((std::mem::take(&mut listener.got), received));
        let by_index: BTreeMap<u64, &Packet> = packets.iter().map(|packet| (packet.index, packet)).collect();
        for (run, received) in &runs {
            let numbers: Vec<u64> = run.keys().copied().collect();
            let Some((first, last)) = numbers.first().zip(numbers.last()) else { continue };
            let holes = (last - first + 1) as usize - numbers.len();
            let (from, to) = (run.values().flatten().min(), received.last());
            let Some((from, to)) = from.zip(to) else { continue };
            let missing = (*from..*to).filter(|index| !received.contains(index)).count();
            prop_assert!(holes <= missing, "{holes} holes, {missing} lost");
            let frames: BTreeSet<u16> = run.values().flatten().map(|index| by_index[index].part.frame).collect();
            let known: BTreeSet<u16> = received.iter().map(|index| by_index[index].part.frame).collect();
            for index in run.values().flatten() {
                let part = &by_index[index].part;
                for back in part.references.iter().map(|back| part.frame.wrapping_sub(back)) {
                    // What never came is missing to everybody.
                    prop_assert!(frames.contains(&back) || !known.contains(&back) || late_of(&late, &packets, back), "{} without {back}", part.frame);
                }
            }
        }
    }
}

/// Whether any packet of this frame came late.
fn late_of(late: &BTreeMap<usize, usize>, packets: &[Packet], frame: u16) -> bool {
    late.keys().any(|at| packets[*at].part.frame == frame)
}
