use super::*;

/// Main profile, level 3.1, 1280x720, as libaom writes it for calls; with its header, without a length.
const SEQUENCE: [u8; 12] = [0x08, 0x00, 0x00, 0x00, 0x2D, 0x4C, 0xFF, 0xB3, 0xCD, 0xAF, 0x90, 0x04];

/// A frame's unit: of a key frame, or of one that needs others.
fn frame(is_key: bool, body: &[u8]) -> Vec<u8> {
    [&[unit::FRAME << 3, if is_key { 0x10 } else { 0x30 }][..], body].concat()
}

fn with_length(unit: &[u8]) -> Vec<u8> {
    let mut out = vec![unit[0] | HAS_LENGTH];
    push_length(&mut out, unit.len() - 1);
    out.extend(&unit[1..]);
    out
}

fn found(payloads: &[Vec<u8>]) -> Option<Picture> {
    picture(payloads.iter().map(|payload| &payload[..]))
}

/// A payload of units; all but the last behind their lengths.
fn payload(head: u8, units: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![head | (units.len() as u8) << 4];
    let (last, before) = units.split_last().expect("units");
    for unit in before {
        push_length(&mut out, unit.len());
        out.extend(*unit);
    }
    out.extend(*last);
    out
}

#[test]
fn a_key_picture_brings_the_head_of_its_file() {
    let picture = frame(true, b"key");
    let payload = payload(NEW_SEQUENCE, &[&SEQUENCE, &picture]);
    assert!(begins(&payload));
    let found = found(&[payload]).expect("a picture");
    let units = [with_length(&SEQUENCE), with_length(&picture)];
    assert_eq!((found.is_key, &found.bytes), (true, &units.concat()));
    let head = found.head.expect("a sequence header");
    assert_eq!(head.size, (1280, 720));
    // Version 1, main profile and level 3.1, 4:2:0 of eight bits; then the unit.
    assert_eq!(head.private, [&[0x81, 0x05, 0x0C, 0][..], &units[0]].concat());
}

#[test]
fn units_are_whole_however_they_came() {
    let (long, short) = (frame(false, &[7; 300]), frame(false, b"short"));
    let expected = [with_length(&long), with_length(&short)].concat();
    // Together, without a count, and in pieces across packets.
    let mut uncounted = vec![0];
    for unit in [&long, &short] {
        push_length(&mut uncounted, unit.len());
        uncounted.extend(unit);
    }
    let pieces = [
        payload(IS_CONTINUED, &[&long[..100]]),
        payload(CONTINUES | IS_CONTINUED, &[&long[100..200]]),
        payload(CONTINUES, &[&long[200..], &short]),
    ];
    for payloads in [vec![payload(0, &[&long, &short])], vec![uncounted], pieces.to_vec()] {
        let found = found(&payloads).expect("a picture");
        assert_eq!((found.is_key, found.head, found.bytes), (false, None, expected.clone()));
    }
}

#[test]
fn layers_keep_their_extension_and_what_only_delimits_is_left_out() {
    let layer = [unit::FRAME << 3 | HAS_EXTENSION, 0x28, 0x30, 1];
    let counted = [unit::FRAME << 3 | HAS_EXTENSION | HAS_LENGTH, 0x28, 2, 0x30, 1];
    let delimiter = [unit::TEMPORAL_DELIMITER << 3];
    let found = found(&[payload(0, &[&delimiter, &layer, &counted])]).expect("a picture");
    assert_eq!(found.bytes, [&counted[..], &counted].concat());
}

#[test]
fn a_picture_that_only_looks_like_a_key_frame_is_none() {
    let shown_again = [unit::FRAME_HEADER << 3, 0x80];
    let hidden = [unit::FRAME << 3, 0x00];
    let (key, delta) = (frame(true, b"key"), frame(false, b"delta"));
    for units in [[&SEQUENCE[..], &delta], [&SEQUENCE, &shown_again], [&SEQUENCE, &hidden], [&key, &delta]] {
        let found = found(&[payload(NEW_SEQUENCE, &units)]).expect("a picture");
        assert_eq!((found.is_key, found.head), (false, None), "{units:?}");
    }
    assert!(!begins(&[0x00, 1]) && !begins(&[CONTINUES | NEW_SEQUENCE, 1]) && !begins(&[]));
}

#[test]
fn what_is_no_picture_of_av1_is_left_out() {
    let delta = frame(false, b"delta");
    for payloads in [
        vec![],
        vec![vec![]],
        vec![vec![0x10]],
        // Begun in the middle, without an end, without a middle.
        vec![payload(CONTINUES, &[&delta])],
        vec![payload(IS_CONTINUED, &[&delta])],
        vec![payload(IS_CONTINUED, &[&delta]), payload(0, &[&delta])],
        // Fewer units than it says, a length beyond the end, one that does not end, an empty unit, only a sequence.
        vec![[&[0x20][..], &[2, 0x30, 1]].concat()],
        vec![vec![0x00, 9, 0x30]],
        vec![vec![0x00, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]],
        vec![vec![0x00, 0]],
        vec![payload(NEW_SEQUENCE, &[&SEQUENCE])],
        vec![payload(NEW_SEQUENCE, &[&SEQUENCE[..5], &delta])],
    ] {
        assert_eq!(found(&payloads), None, "{payloads:?}");
    }
}
