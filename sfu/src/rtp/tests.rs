use super::*;

#[test]
fn a_written_header_reads_back() {
    let outgoing = Outgoing {
        marker: true,
        payload_type: 111,
        sequence: 0xABCD,
        timestamp: 0x0102_0304,
        ssrc: 0xDEAD_BEEF,
        audio_level: Some((1, 0x85)),
        transport: None,
    };
    let mut out = [0; 64];
    let len = outgoing.write(&mut out);
    let header = Header::parse(&out[..len]).expect("we wrote a whole header");
    assert_eq!((header.marker, header.payload_type, header.sequence), (true, 111, 0xABCD));
    assert_eq!((header.timestamp, header.ssrc, header.full_len()), (0x0102_0304, 0xDEAD_BEEF, len));
    assert_eq!(find_extension(0xBEDE, &out[header.preamble_len()..len], 1), Some(&[0x85][..]));
    let numbered = Outgoing { audio_level: None, transport: Some((3, 0xABCD)), ..outgoing };
    let len = numbered.write(&mut out);
    assert_eq!(find_extension(0xBEDE, &out[header.preamble_len()..len], 3), Some(&[0xAB, 0xCD][..]));
}

#[test]
fn a_header_with_a_descriptor_reads_back() {
    for (transport, len) in [None, Some((3, 0xABCD))].into_iter().flat_map(|number| [1, 3, 16, 17, 255].map(|len| (number, len)))
    {
        let (marker, audio_level) = (true, None);
        let outgoing = Outgoing { marker, payload_type: 98, sequence: 1, timestamp: 2, ssrc: 3, audio_level, transport };
        let descriptor: Vec<u8> = (1..=len).map(|byte| byte as u8).collect();
        let mut out = [0xEE; 512];
        let written = outgoing.write_described(&mut out, (13, &descriptor));
        assert!(written <= MAX_DESCRIBED + descriptor.len());
        let header = Header::parse(&out[..written]).expect("we wrote a whole header");
        assert_eq!((header.marker, header.payload_type, header.full_len()), (true, 98, written));
        let (profile, _) = header.extension.expect("an extension");
        let find = |id| find_extension(profile, &out[header.preamble_len()..written], id);
        assert_eq!(find(13), Some(&descriptor[..]), "{len} bytes");
        assert_eq!(find(3), transport.map(|_| &[0xAB, 0xCD][..]));
    }
}

#[test]
fn headers_that_announce_more_than_they_have_are_refused() {
    let with = |first: u8, len: usize| {
        let mut datagram = vec![0; len];
        datagram[0] = first;
        Header::parse(&datagram).is_some()
    };
    let table = [
        (0x80, 11, false), // one byte short
        (0x80, 12, true),
        (0x40, 12, false), // version 1
        (0x8F, 71, false), // fifteen CSRCs need 72
        (0x8F, 72, true),
        (0x90, 15, false), // extension without its preamble
        (0x90, 16, true),
        (0x9F, 75, false),
        (0x9F, 76, true),
    ];
    for (first, len, expected) in table {
        assert_eq!(with(first, len), expected, "first byte {first:#x}, {len} bytes");
    }
}

#[test]
fn extension_elements_are_found_in_both_forms_and_never_outside_the_body() {
    let table: [(u16, &[u8], u8, Option<u8>); 10] = [
        (0xBEDE, &[0x10, 0x7F, 0, 0], 1, Some(0x7F)),
        (0xBEDE, &[0, 0, 0x30, 9, 0x10, 5], 1, Some(5)),
        (0xBEDE, &[0x32, 1, 2, 3, 0x10, 6, 0, 0], 1, Some(6)),
        (0xBEDE, &[0x3F, 1, 2, 3], 3, None),    // sixteen bytes announced, three there
        (0xBEDE, &[0xF0, 1, 0x10, 5], 1, None), // id 15 ends the block
        (0xBEDE, &[0x30, 9, 0, 0], 1, None),
        (0x1000, &[1, 1, 0x22, 0], 1, Some(0x22)),
        (0x100F, &[7, 0, 1, 1, 0x23], 1, Some(0x23)), // an empty element before it
        (0x1000, &[1], 1, None),
        (0x1234, &[0x10, 5, 0, 0], 1, None), // a profile that is nobody's
    ];
    for (profile, body, id, expected) in table {
        let found = find_extension(profile, body, id).and_then(|value| value.first().copied());
        assert_eq!(found, expected, "{profile:#x} {body:x?}");
    }
}
