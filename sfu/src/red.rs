//! Redundant audio (RFC 2198, `audio/red`): a payload that carries the newest Opus packet and copies of some before it.
//!
//! ```text
//! F=1 | payload type (7) | timestamp offset (14) | length (10)      one per copy
//! F=0 | payload type (7)                                            the newest
//! copies, then the newest to the end
//! ```
//!
//! A listener that negotiated it is sent the payload as it is, under its own payload types; others get the newest packet
//! alone. Redundancy that we made up would be worth less than its cost: only what senders make is passed on.

/// Copies that are read: Chrome sends one or two, and what is beyond ten packets old plays nowhere.
const MAX_COPIES: usize = 10;

/// The bit that says that another header follows.
const FOLLOWED: u8 = 0x80;

/// Where the newest packet begins; `None` unless every block is Opus under `opus` and lies within the payload.
pub fn newest(payload: &[u8], opus: u8) -> Option<usize> {
    let mut at = 0;
    let mut copies = 0;
    for _ in 0..=MAX_COPIES {
        let first = *payload.get(at)?;
        if first & !FOLLOWED != opus {
            return None;
        }
        if first & FOLLOWED == 0 {
            let newest = at + 1 + copies;
            return (newest < payload.len()).then_some(newest);
        }
        let head: &[u8; 4] = payload.get(at..)?.first_chunk()?;
        copies += usize::from(u16::from_be_bytes([head[2], head[3]]) & 0x03FF);
        at += head.len();
    }
    None
}

/// Puts another payload type of Opus into the headers of a payload that [`newest`] let through.
pub fn relabel(payload: &mut [u8], opus: u8) {
    let mut at = 0;
    while let Some(head) = payload.get_mut(at) {
        let is_followed = *head & FOLLOWED;
        *head = is_followed | opus;
        if is_followed == 0 {
            return;
        }
        at += 4;
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A payload with copies of these lengths before the newest.
    pub fn payload(opus: u8, copies: &[&[u8]], newest: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (place, copy) in copies.iter().enumerate() {
            let offset = 960 * (copies.len() - place) as u32;
            let word = u32::from(FOLLOWED | opus) << 24 | offset << 10 | copy.len() as u32;
            out.extend(word.to_be_bytes());
        }
        out.push(opus);
        copies.iter().for_each(|copy| out.extend(*copy));
        out.extend(newest);
        out
    }

    #[test]
    fn the_newest_packet_is_found_behind_its_copies() {
        let table: [&[&[u8]]; 4] = [&[], &[b"one"], &[b"one", b"fourteen bytes"], &[&[7; 700], b""]];
        for copies in table {
            let red = payload(111, copies, b"newest");
            let at = newest(&red, 111).expect("a good payload");
            assert_eq!(&red[at..], b"newest");
        }
    }

    #[test]
    fn payloads_that_contradict_themselves_are_refused() {
        let good = payload(111, &[b"before"], b"newest");
        assert_eq!(newest(&good, 109), None, "another codec");
        for len in 0..=good.len() - b"newest".len() {
            assert_eq!(newest(&good[..len], 111), None, "cut to {len}");
        }
        let mut mixed = good.clone();
        mixed[4] = 109;
        assert_eq!(newest(&mixed, 111), None, "the newest is another codec");
        assert_eq!(newest(&payload(111, &[&b""[..]; MAX_COPIES], b"x"), 111), Some(41));
        assert_eq!(newest(&payload(111, &[&b""[..]; MAX_COPIES + 1], b"x"), 111), None);
        assert_eq!(newest(&[0x80 | 111; 1400], 111), None);
    }

    #[test]
    fn other_payload_types_change_the_headers_alone() {
        let mut red = payload(111, &[b"one", b"two"], b"newest");
        relabel(&mut red, 96);
        assert_eq!(red, payload(96, &[b"one", b"two"], b"newest"));
    }
}
