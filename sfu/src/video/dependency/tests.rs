use super::structures::{Kind, LAYERS, descriptor};
use super::*;

const WHOLE: (bool, bool) = (true, true);

fn read(reader: &mut Reader, kind: Kind, frame: u16, layer: u8, is_key: bool) -> Part {
    reader.read(&descriptor(kind, 60, frame, layer, is_key, WHOLE)).expect("a descriptor")
}

#[test]
fn a_structure_tells_who_needs_what() {
    for kind in [Kind::Full, Kind::Key] {
        let mut reader = Reader::default();
        assert_eq!(reader.read(&descriptor(kind, 60, 9, 1, false, WHOLE)), None, "no structure is known");
        let key = read(&mut reader, kind, u16::MAX - 2, 0, true);
        assert!(key.is_key && key.references.is_empty() && (key.layers, key.entries) == (0b111, 0b111));
        let shape = key.shape.expect("a key frame");
        assert_eq!(shape.sizes, [Some((240, 135)), Some((480, 270)), Some((960, 540))]);
        assert_eq!(shape.within, if kind == Kind::Full { [0, 0b001, 0b011] } else { [0; 3] });
        let middle = read(&mut reader, kind, u16::MAX - 1, 1, true);
        assert_eq!((middle.layers, middle.entries, middle.is_key), (0b110, 0b110, false));
        assert_eq!(middle.references.iter().collect::<Vec<_>>(), [1]);
        let smallest = read(&mut reader, kind, 1, 0, false);
        let expected = if kind == Kind::Full { (0b111, 0b001) } else { (0b001, 0b001) };
        assert_eq!((smallest.layers, smallest.entries), expected);
        let largest = read(&mut reader, kind, 3, 2, false);
        assert_eq!((largest.layers, largest.spatial, largest.shape), (0b100, 2, None));
        let back: Vec<u16> = largest.references.iter().collect();
        assert_eq!(back, if kind == Kind::Full { vec![3, 1] } else { vec![3] });
    }
}

#[test]
fn what_is_late_does_not_change_what_is_known() {
    let mut reader = Reader::default();
    read(&mut reader, Kind::Key, 100, 0, true);
    let late = reader.read(&descriptor(Kind::Full, 10, 90, 0, true, WHOLE)).expect("a descriptor");
    assert_eq!(late.shape.expect("its own").within, [0, 0b001, 0b011]);
    assert_eq!(read(&mut reader, Kind::Key, 103, 0, false).layers, 0b001, "as the newer structure says");
}

#[test]
fn only_what_is_sent_may_be_chosen() {
    let mut reader = Reader::default();
    read(&mut reader, Kind::Full, 1, 0, true);
    // The smallest layer's frame with a mask: the largest is not sent any more.
    let mut masked = descriptor(Kind::Full, 60, 4, 0, false, WHOLE);
    masked.push(0b0100_0011);
    masked.push(0);
    let part = reader.read(&masked).expect("a descriptor");
    // Five flags and three bits of mask: 011 reads as the two smaller ones.
    assert_eq!(part.layers, 0b011);
    assert_eq!(part.shape.expect("a mask").within, [0, 0b001, 0]);
}

#[test]
fn a_copy_has_its_listeners_numbers_and_says_what_is_sent() {
    let key = descriptor(Kind::Full, 60, 7, 0, true, WHOLE);
    for top in 0..LAYERS {
        let mut out = [0; MAX_WRITTEN];
        let len = copy(&key, 1234, top, &mut out);
        let part = Reader::default().read(&out[..len]).expect("as whole as before");
        assert_eq!((part.frame, part.layers), (1234, (2 << top) - 1));
        assert_eq!(part.shape.expect("a key frame").sizes[2], Some((960, 540)));
        // And again, with the mask that it has by now.
        let mut again = [0; MAX_WRITTEN];
        let len = copy(&out[..len], 1235, 0, &mut again);
        let part = Reader::default().read(&again[..len]).expect("as whole as before");
        assert_eq!((part.frame, part.layers), (1235, 0b001));
    }
    let mut out = [0; MAX_WRITTEN];
    let plain = descriptor(Kind::Full, 60, 7, 2, false, (true, false));
    let len = copy(&plain, 0xABCD, 0, &mut out);
    assert_eq!((len, &out[..3]), (3, &[plain[0], 0xAB, 0xCD][..]));
}

#[test]
fn what_is_cut_is_no_descriptor() {
    let key = descriptor(Kind::Full, 60, 7, 0, true, WHOLE);
    for len in 0..key.len() {
        assert_eq!(Reader::default().read(&key[..len]), None, "cut to {len} bytes");
        copy(&key[..len], 1, 0, &mut [0; MAX_WRITTEN]);
    }
    assert_eq!(Reader::default().read(&[0xFF; MAX_READ + 1]), None);
}
