//! The payload descriptor of VP8 (RFC 7741 §4.2) and the head of its key frames (RFC 6386 §9.1).
//!
//! ```text
//! X R N S R PID   I L T K RSV   M PictureID (7 or 15)   TL0PICIDX (8)   TID(2) Y KEYIDX(5)
//! ```

use super::Look;

/// The numbers of a picture and where they stand in the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Where the picture id begins, whether it has 15 bits, and what it is.
    pub id: Option<(u8, bool, u16)>,
    /// Where the index of the latest picture of the lowest temporal layer stands, and what it is.
    pub base: Option<(u8, u8)>,
    /// The number of its frame in a dependency descriptor.
    pub frame: Option<u16>,
}

/// Reads a payload; `None` when it is cut short within its descriptor.
#[inline]
pub fn look(payload: &[u8]) -> Option<Look> {
    let first = *payload.first()?;
    let mut at = 1;
    let mut picture = Picture::default();
    if first & 0x80 != 0 {
        let extended = *payload.get(at)?;
        at += 1;
        if extended & 0x80 != 0 {
            let high = *payload.get(at)?;
            if high & 0x80 != 0 {
                let low = *payload.get(at + 1)?;
                picture.id = Some((at as u8, true, u16::from(high & 0x7F) << 8 | u16::from(low)));
                at += 2;
            } else {
                picture.id = Some((at as u8, false, u16::from(high)));
                at += 1;
            }
        }
        if extended & 0x40 != 0 {
            picture.base = Some((at as u8, *payload.get(at)?));
            at += 1;
        }
        if extended & 0x30 != 0 {
            at += 1;
        }
    }
    // The start of the first partition begins the frame, whose first bit says that it needs others.
    let frame = payload.get(at..).unwrap_or_default();
    let starts_frame = first & 0x10 != 0 && first & 0x07 == 0;
    let starts_key_frame = starts_frame && frame.first().is_some_and(|byte| byte & 1 == 0);
    let size = if starts_key_frame { size(frame) } else { None };
    Some(Look { starts_key_frame, size, picture })
}

/// Where the frame begins in a payload; `None` when it is cut short before.
pub fn descriptor_len(payload: &[u8]) -> Option<usize> {
    let first = *payload.first()?;
    let extended = if first & 0x80 == 0 { 0 } else { *payload.get(1)? };
    let mut at = 1 + usize::from(first >> 7);
    if extended & 0x80 != 0 {
        at += 1 + usize::from(*payload.get(at)? >> 7);
    }
    at += usize::from(extended & 0x40 != 0) + usize::from(extended & 0x30 != 0);
    (at <= payload.len()).then_some(at)
}

/// Three bytes of tag, three of start code, then 14 bits each of width and height with two of scale above.
fn size(frame: &[u8]) -> Option<(u16, u16)> {
    let head: &[u8; 7] = frame.get(3..)?.first_chunk()?;
    if head[..3] != [0x9D, 0x01, 0x2A] {
        return None;
    }
    let (width, height) = (u16::from_le_bytes([head[3], head[4]]) & 0x3FFF, u16::from_le_bytes([head[5], head[6]]) & 0x3FFF);
    (width > 0 && height > 0).then_some((width, height))
}

/// Puts other numbers where a [`look`] found some.
#[inline]
pub fn patch(payload: &mut [u8], picture: &Picture, id: u16, base: u8) {
    if let Some((at, is_long, _)) = picture.id {
        let at = usize::from(at);
        if is_long {
            payload[at..at + 2].copy_from_slice(&(0x8000 | id & 0x7FFF).to_be_bytes());
        } else {
            payload[at] = (id & 0x7F) as u8;
        }
    }
    if let Some((at, _)) = picture.base {
        payload[usize::from(at)] = base;
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A payload with 15 bits of picture id, an index of the base layer and a temporal layer.
    pub fn payload(id: u16, base: u8, temporal: u8, is_first: bool, key: Option<(u16, u16)>, rest: &[u8]) -> Vec<u8> {
        let mut out = vec![0x80 | u8::from(is_first) << 4, 0xE0];
        out.extend((0x8000 | id).to_be_bytes());
        out.extend([base, temporal << 6]);
        match key {
            Some((width, height)) if is_first => {
                out.extend([0x10, 0, 0, 0x9D, 0x01, 0x2A]);
                out.extend(width.to_le_bytes());
                out.extend(height.to_le_bytes());
            }
            _ => out.push(0x11),
        }
        out.extend(rest);
        out
    }

    #[test]
    fn a_key_frame_tells_its_size_and_every_picture_its_numbers() {
        let key = look(&payload(300, 7, 0, true, Some((640, 360)), b"rest")).expect("a whole descriptor");
        assert!(key.starts_key_frame);
        assert_eq!((key.size, key.picture.id, key.picture.base), (Some((640, 360)), Some((2, true, 300)), Some((4, 7))));
        let second = look(&payload(300, 7, 0, false, Some((640, 360)), b"rest")).expect("a whole descriptor");
        assert!(!second.starts_key_frame, "its second packet starts nothing");
        assert!(!look(&payload(301, 8, 0, true, None, b"rest")).expect("whole").starts_key_frame);
    }

    #[test]
    fn short_numbers_and_missing_ones_are_read() {
        let short = look(&[0x90, 0x80, 0x05, 0x01, 0, 0]).expect("whole");
        assert_eq!((short.picture.id, short.picture.base, short.starts_key_frame), (Some((2, false, 5)), None, false));
        let plain = look(&[0x10, 0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x40, 0x01, 0xB4, 0x40]).expect("whole");
        assert_eq!((plain.size, plain.picture.id), (Some((320, 180)), None), "the scale is no part of the size");
        for cut in [&[][..], &[0x90], &[0x90, 0x80], &[0x90, 0x80, 0x80], &[0x90, 0x40]] {
            assert_eq!((look(cut), descriptor_len(cut)), (None, None), "{cut:?}");
        }
    }

    #[test]
    fn the_frame_begins_behind_every_form_of_the_descriptor() {
        for (payload, expected) in [
            (&[0x10, 1][..], Some(1)),
            (&[0x90, 0x00, 1], Some(2)),
            (&[0x90, 0x80, 0x05, 1], Some(3)),
            (&[0x90, 0x80, 0x85, 0x01, 1], Some(4)),
            (&[0x90, 0xE0, 0x85, 0x01, 7, 0x40, 1], Some(6)),
            (&[0x90, 0x10, 0x03, 1], Some(3)),
            (&[0x10], Some(1)),
            (&[0x90, 0x10], None),
        ] {
            assert_eq!(descriptor_len(payload), expected, "{payload:?}");
        }
    }

    #[test]
    fn patching_changes_the_numbers_alone() {
        let mut patched = payload(300, 7, 2, true, Some((640, 360)), b"rest");
        let picture = look(&patched).expect("whole").picture;
        patch(&mut patched, &picture, 0x8000 + 9, 200);
        assert_eq!(patched, payload(9, 200, 2, true, Some((640, 360)), b"rest"));
        let mut short = [0x90, 0x80, 0x05, 0x01];
        let picture = look(&short).expect("whole").picture;
        patch(&mut short, &picture, 0x1FF, 3);
        assert_eq!(short, [0x90, 0x80, 0x7F, 0x01], "as many bits as it has");
    }
}
