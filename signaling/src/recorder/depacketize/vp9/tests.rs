use super::*;
use crate::recorder::depacketize::Depacketizer;
use guildhall_sfu::video::Codec;

/// Bits as they are written: of numbers of so many bits.
fn bits(fields: &[(u32, usize)]) -> Vec<u8> {
    let all: Vec<bool> = fields.iter().flat_map(|&(value, len)| (0..len).rev().map(move |bit| value >> bit & 1 == 1)).collect();
    let byte = |bits: &[bool]| bits.iter().zip((0..8).rev()).fold(0, |byte, (bit, place)| byte | u8::from(*bit) << place);
    all.chunks(8).map(byte).collect()
}

/// What follows the references: filters, quantizer, no segments, tiles of a width, the length of the compressed header.
fn tail(width: u32) -> Vec<(u32, usize)> {
    let tiles = if width < 512 { vec![] } else { vec![(0, 1)] };
    let before = vec![(0, 4), (33, 6), (0, 3), (1, 1), (1, 1), (0, 3), (1, 1), (5, 7), (0, 2), (60, 8), (0, 3), (0, 1)];
    [before, tiles, vec![(0, 1), (0xBEEF, 16)]].concat()
}

/// A key frame (profile 0, BT.601) of that size, with a body.
fn key(is_shown: bool, (width, height): (u32, u32), body: &[u8]) -> Vec<u8> {
    let head = [(2, 2), (0, 2), (0, 1), (0, 1), (u32::from(is_shown), 1), (0, 1), (SYNC, 24), (1, 3), (0, 1)];
    let size = [(width - 1, 16), (height - 1, 16), (0, 1)];
    [bits(&[&head[..], &size, &tail(width)].concat()), body.to_vec()].concat()
}

/// One that needs others: its size is a reference's or its own.
fn delta(is_shown: bool, refreshes: u32, (reference, own): (u32, Option<(u32, u32)>), width: u32, body: &[u8]) -> Vec<u8> {
    let head = [(2, 2), (0, 2), (0, 1), (1, 1), (u32::from(is_shown), 1), (0, 1)];
    let intra = if is_shown { vec![] } else { vec![(0, 1)] };
    let references = [(0, 2), (refreshes, 8), (reference, 3), (0, 1), (reference, 3), (0, 1), (reference, 3), (0, 1)];
    let size = match own {
        None => vec![(1, 1), (0, 1)],
        Some((width, height)) => vec![(0, 3), (width - 1, 16), (height - 1, 16), (0, 1)],
    };
    let filter = [(1, 1), (0, 1), (2, 2)];
    let fields = [&head[..], &intra, &references, &size, &filter, &tail(width)].concat();
    [bits(&fields), body.to_vec()].concat()
}

/// A payload: number, layer, whether it depends on earlier pictures, begins and ends its frame.
fn payload(spatial: u8, is_predicted: bool, (starts, ends): (bool, bool), frame: &[u8]) -> Vec<u8> {
    let flags = u8::from(is_predicted) << 6 | u8::from(starts) << 3 | u8::from(ends) << 2;
    [&[0xA0 | flags, 0x81, 0x23, spatial << 1, 9][..], frame].concat()
}

fn picture(references: &mut References, payloads: &[Vec<u8>]) -> Option<Picture> {
    references.picture(payloads.iter().map(|payload| &payload[..]))
}

const WHOLE: (bool, bool) = (true, true);

/// Two layers: a key picture, of which the larger layer refers to the smaller.
fn two_layers() -> [Vec<u8>; 3] {
    [
        key(true, (160, 90), b"base"),
        delta(true, 0b10, (0, Some((320, 180))), 320, b"upper"),
        delta(true, 0b10, (1, None), 320, b"next"),
    ]
}

#[test]
fn one_layer_is_as_it_was_sent() {
    let (mut references, frame) = (References::default(), key(true, (640, 360), b"all of it"));
    let parts = [payload(0, false, (true, false), &frame[..9]), payload(0, false, (false, true), &frame[9..])];
    assert!(begins(&parts[0]) && !begins(&parts[1]));
    let found = picture(&mut references, &parts).expect("a picture");
    assert_eq!((found.is_key, found.head, found.bytes), (true, Some(Head { size: (640, 360), private: Vec::new() }), frame));
    let frame = delta(true, 1, (0, None), 640, b"another");
    let found = picture(&mut references, &[payload(0, true, WHOLE, &frame)]).expect("a picture");
    assert_eq!((found.is_key, found.head, found.bytes), (false, None, frame));
    // One that shows a picture again.
    let again = vec![0x88, 0x00];
    let found = picture(&mut references, &[payload(0, true, WHOLE, &again)]).expect("a picture");
    assert_eq!((found.is_key, found.bytes), (false, again));
}

#[test]
fn of_several_layers_the_largest_is_shown_and_an_index_tells_where_each_is() {
    let mut references = References::default();
    let [base, upper, next] = two_layers();
    let found =
        picture(&mut references, &[payload(0, false, WHOLE, &base), payload(1, false, WHOLE, &upper)]).expect("a picture");
    let unseen = key(false, (160, 90), b"base");
    assert_eq!(unseen.len(), base.len());
    let index = [0xC1, unseen.len() as u8, upper.len() as u8, 0xC1];
    assert_eq!((found.is_key, found.head.map(|head| head.size)), (true, Some((320, 180))));
    assert_eq!(found.bytes, [&unseen[..], &upper, &index].concat());

    // Behind it, hiding makes the head of a frame a bit longer.
    let small = delta(true, 1, (0, None), 160, b"small");
    let unseen = delta(false, 1, (0, None), 160, b"small");
    let found = picture(&mut references, &[payload(0, true, WHOLE, &small), payload(1, true, WHOLE, &next)]).expect("a picture");
    let index = [0xC1, unseen.len() as u8, next.len() as u8, 0xC1];
    assert_eq!((found.is_key, found.head), (false, None));
    assert_eq!(found.bytes, [&unseen[..], &next, &index].concat());
}

/// One that needs others, with all that a head can have: a size to be shown at, changed filters, segments, columns and rows of tiles.
fn full(is_shown: bool, body: &[u8]) -> Vec<u8> {
    let head = [(2, 2), (0, 2), (0, 1), (1, 1), (u32::from(is_shown), 1), (1, 1)];
    let intra = if is_shown { vec![] } else { vec![(0, 1)] };
    let references = [(1, 8), (0, 3), (1, 1), (1, 3), (0, 1), (2, 3), (1, 1)];
    let size = [(0, 3), (639, 16), (179, 16), (1, 1), (99, 16), (49, 16)];
    let filter = [(0, 1), (0, 1), (3, 2), (2, 2), (63, 6), (7, 3), (1, 1), (1, 1)];
    let probability = [(1, 1), (200, 8)];
    let features = [(1, 1), (5, 8), (1, 1), (1, 1), (9, 6), (0, 1), (1, 1), (2, 2), (1, 1)];
    let fields = [
        &head[..],
        &intra,
        &references,
        &size,
        &filter,
        &[(1, 1), (0x55, 7)].repeat(6),
        &[(255, 8)],
        &[(1, 1), (0x1F, 5)].repeat(3),
        &[(1, 1), (1, 1)],
        &probability.repeat(7),
        &[(1, 1)],
        &probability.repeat(3),
        &[(1, 1), (1, 1)],
        &features.repeat(8),
        &[(1, 1), (1, 1), (1, 1), (0xBEEF, 16)],
    ];
    [bits(&fields.concat()), body.to_vec()].concat()
}

#[test]
fn a_frame_is_hidden_whatever_its_head_has() {
    let mut references = References::default();
    picture(&mut references, &[payload(0, false, WHOLE, &key(true, (1280, 720), b"key"))]).expect("a picture");
    let upper = delta(true, 2, (1, None), 1280, b"upper");
    for is_shown in [true, false] {
        let payloads = [payload(0, true, WHOLE, &full(is_shown, b"full")), payload(1, true, WHOLE, &upper)];
        let found = picture(&mut references, &payloads).expect("a picture");
        let unseen = full(false, b"full");
        let index = [0xC1, unseen.len() as u8, upper.len() as u8, 0xC1];
        assert_eq!(found.bytes, [&unseen[..], &upper, &index].concat(), "shown: {is_shown}");
    }
    // What it became is what others refer to.
    assert_eq!(references.0[..2], [Some((640, 180)), Some((1280, 720))]);
}

#[test]
fn an_index_has_lengths_of_as_many_bytes_as_the_longest_needs() {
    for (len, bytes) in [(1, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 3)] {
        let found = superframe(&[vec![1], vec![7; len]]).expect("two frames");
        let mark = 0xC0 | (bytes - 1) << 3 | 1;
        assert_eq!((found[1 + len], *found.last().expect("a mark")), (mark, mark));
        assert_eq!(found.len(), 1 + len + 2 + 2 * usize::from(bytes));
        let longest = found[1 + len + 1 + usize::from(bytes)..found.len() - 1]
            .iter()
            .rev()
            .fold(0, |all, byte| all << 8 | usize::from(*byte));
        assert_eq!(longest, len);
    }
}

#[test]
fn what_is_no_picture_of_vp9_is_left_out() {
    let [base, upper, next] = two_layers();
    let whole = |frame: &[u8]| payload(0, false, WHOLE, frame);
    for payloads in [
        vec![],
        vec![whole(&[])],
        // Without a beginning, without an end, begun twice.
        vec![payload(0, false, (false, true), &base)],
        vec![payload(0, false, (true, false), &base)],
        vec![payload(0, false, (true, false), &base), whole(&base)],
        // A head that is cut short, another mark, a profile that nobody sends, no sync code, references that are not there.
        vec![whole(&base[..8])],
        vec![whole(&[0x40, 0, 0])],
        vec![whole(&[0xB0, 0, 0])],
        vec![whole(&[0x82, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])],
        vec![whole(&next)],
        vec![whole(&base), payload(1, false, WHOLE, &upper), vec![0xA0]],
        vec![whole(&base); 9],
    ] {
        let mut depacketizer = Depacketizer::new(Codec::Vp9);
        assert_eq!(depacketizer.picture(payloads.iter().map(|payload| &payload[..])), None, "{payloads:?}");
    }
}
