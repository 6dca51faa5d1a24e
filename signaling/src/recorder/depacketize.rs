//! Pictures out of the payloads of their packets: VP8 (RFC 7741 §4), H.264 (RFC 6184 §5), VP9 and AV1. What publishers send is
//! theirs: whatever does not fit together is no picture.

use guildhall_sfu::video::{self, Codec, h264, vp8};

mod av1;
mod bits;
mod vp9;

/// One picture, as files hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// A decoder that knows nothing can begin with it.
    pub is_key: bool,
    /// How a file begins whose first picture this is; `None`: none can.
    pub head: Option<Head>,
    /// VP8: the frame. H.264: NAL units, each behind its length in four bytes. VP9: the frames of all layers. AV1: a temporal unit.
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Width and height.
    pub size: (u16, u16),
    /// VP8 and VP9: nothing. H.264: the parameter sets (ISO/IEC 14496-15 §5.3.3.1). AV1: the configuration (AV1 in ISO BMFF §2.3.3).
    pub private: Vec<u8>,
}

/// Whether a picture begins with this payload that a decoder can begin with.
pub fn begins(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 | Codec::H264 => video::look(codec, payload).starts_key_frame,
        Codec::Vp9 => vp9::begins(payload),
        Codec::Av1 => av1::begins(payload),
    }
}

/// Takes the pictures of one stream apart, in the order in which they are decoded.
pub struct Depacketizer {
    pub codec: Codec,
    references: vp9::References,
}

impl Depacketizer {
    pub fn new(codec: Codec) -> Self {
        Self { codec, references: vp9::References::default() }
    }

    /// All payloads of one picture, in order; none of them is empty.
    pub fn picture<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Option<Picture> {
        match self.codec {
            Codec::Vp8 => of_vp8(payloads),
            Codec::H264 => of_h264(payloads),
            Codec::Vp9 => self.references.picture(payloads),
            Codec::Av1 => av1::picture(payloads),
        }
    }
}

fn of_vp8<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Option<Picture> {
    let mut bytes = Vec::new();
    let mut head = None;
    for (number, payload) in payloads.enumerate() {
        // The start of the first partition begins a picture.
        let is_first = payload.first()? & 0x17 == 0x10;
        if is_first != (number == 0) {
            return None;
        }
        bytes.extend(payload.get(vp8::descriptor_len(payload)?..)?);
        if is_first {
            head = vp8::look(payload)?.size.map(|size| Head { size, private: Vec::new() });
        }
    }
    // The first bit says that a picture needs others. One that does not and tells no size is none.
    let is_key = bytes.first()? & 1 == 0;
    (is_key == head.is_some()).then_some(Picture { is_key, head, bytes })
}

/// NAL unit types (RFC 6184 §5.2; ISO/IEC 14496-10 table 7-1).
mod nal {
    pub const SLICE_OF_KEY_FRAME: u8 = 5;
    pub const SEQUENCE_PARAMETERS: u8 = 7;
    pub const PICTURE_PARAMETERS: u8 = 8;
    pub const DELIMITER: u8 = 9;
    pub const FILLER: u8 = 12;
    pub const LAST_SINGLE: u8 = 23;
    pub const AGGREGATE: u8 = 24;
    pub const FRAGMENT: u8 = 28;
}

/// Profiles whose configuration says more about samples: those of browsers have 4:2:0 of eight bits.
const HIGH_PROFILES: [u8; 4] = [100, 110, 122, 144];

#[derive(Default)]
struct Units {
    bytes: Vec<u8>,
    has_key_slice: bool,
    sequence: Option<Vec<u8>>,
    pictures: Option<Vec<u8>>,
}

impl Units {
    fn add(&mut self, unit: &[u8]) -> Option<()> {
        match unit.first()? & 0x1F {
            nal::DELIMITER | nal::FILLER => return Some(()),
            nal::SLICE_OF_KEY_FRAME => self.has_key_slice = true,
            nal::SEQUENCE_PARAMETERS => self.sequence = Some(unit.to_vec()),
            nal::PICTURE_PARAMETERS => self.pictures = Some(unit.to_vec()),
            _ => {}
        }
        self.bytes.extend(u32::try_from(unit.len()).ok()?.to_be_bytes());
        self.bytes.extend(unit);
        Some(())
    }

    fn head(&self) -> Option<Head> {
        let (sequence, pictures) = (self.sequence.as_ref()?, self.pictures.as_ref()?);
        let &[_, profile, constraints, level, ..] = &sequence[..] else { return None };
        // Version 1; lengths have four bytes; one set of each.
        let mut private = vec![1, profile, constraints, level, 0xFF, 0xE1];
        private.extend(u16::try_from(sequence.len()).ok()?.to_be_bytes());
        private.extend(sequence);
        private.push(1);
        private.extend(u16::try_from(pictures.len()).ok()?.to_be_bytes());
        private.extend(pictures);
        if HIGH_PROFILES.contains(&profile) {
            private.extend([0xFC | 1, 0xF8, 0xF8, 0]);
        }
        Some(Head { size: h264::size(sequence)?, private })
    }
}

fn of_h264<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Option<Picture> {
    let mut units = Units::default();
    let mut fragments: Option<Vec<u8>> = None;
    for payload in payloads {
        let (&first, rest) = payload.split_first()?;
        let kind = first & 0x1F;
        if kind != nal::FRAGMENT && fragments.is_some() {
            // A unit whose end is missing.
            return None;
        }
        match kind {
            1..=nal::LAST_SINGLE => units.add(payload)?,
            nal::AGGREGATE => {
                let mut rest = rest;
                while let Some((len, behind)) = rest.split_first_chunk::<2>() {
                    let (unit, next) = behind.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
                    units.add(unit)?;
                    rest = next;
                }
                if !rest.is_empty() {
                    return None;
                }
            }
            nal::FRAGMENT => {
                let (&marks, part) = rest.split_first()?;
                let (is_first, is_last) = (marks & 0x80 != 0, marks & 0x40 != 0);
                if is_first == fragments.is_some() {
                    return None;
                }
                let unit = fragments.get_or_insert_with(|| vec![first & 0xE0 | marks & 0x1F]);
                unit.extend(part);
                if is_last && let Some(unit) = fragments.take() {
                    units.add(&unit)?;
                }
            }
            _ => return None,
        }
    }
    if fragments.is_some() || units.bytes.is_empty() {
        return None;
    }
    Some(Picture { is_key: units.has_key_slice, head: units.head(), bytes: units.bytes })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Constrained baseline, 1280x720, as x264 writes it, and picture parameters.
    pub const SEQUENCE: [u8; 22] =
        [0x67, 0x42, 0xC0, 0x1F, 0xDA, 0x01, 0x40, 0x16, 0xEC, 0x04, 0x40, 0, 0, 3, 0, 0x40, 0, 0, 0x0C, 0x83, 0xC6, 0x0C];
    pub const PICTURES: [u8; 4] = [0x68, 0xCE, 0x3C, 0x80];

    fn vp8(payloads: &[&[u8]]) -> Option<Picture> {
        Depacketizer::new(Codec::Vp8).picture(payloads.iter().copied())
    }

    fn h264(payloads: &[&[u8]]) -> Option<Picture> {
        Depacketizer::new(Codec::H264).picture(payloads.iter().copied())
    }

    #[test]
    fn a_frame_of_vp8_is_what_stands_behind_the_descriptors() {
        let key = [0x10, 0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x40, 0x01, 0xB4, 0x40];
        let found = vp8(&[&key, &[0x00, 7], &[0x80, 0x80, 0x81, 0x02, 8]]).expect("a picture");
        assert_eq!((found.is_key, found.head.map(|head| head.size)), (true, Some((320, 180))));
        assert_eq!(found.bytes, [&key[1..], &[7, 8]].concat());
        // The start of another partition, which is none of a picture.
        let delta = vp8(&[&[0x10, 0x31, 5], &[0x11, 6]]).expect("a picture");
        assert_eq!((delta.is_key, delta.head, &delta.bytes[..]), (false, None, &[0x31, 5, 6][..]));
    }

    #[test]
    fn what_is_no_frame_of_vp8_is_left_out() {
        for payloads in [
            &[][..],
            &[&[][..]],
            &[&[0x10]],
            // In the middle, and two at once.
            &[&[0x00, 7]],
            &[&[0x10, 0x31], &[0x10, 0x31]],
            // A key frame without its head, a descriptor that is cut short.
            &[&[0x10, 0x30, 1, 2]],
            &[&[0x10, 0x31], &[0x80, 0x80]],
        ] {
            assert_eq!(vp8(payloads), None, "{payloads:?}");
        }
    }

    #[test]
    fn units_of_h264_are_whole_however_they_came() {
        let mut aggregate = vec![0x78, 0, SEQUENCE.len() as u8];
        aggregate.extend(SEQUENCE);
        aggregate.extend([0, 4]);
        aggregate.extend(PICTURES);
        let found = h264(&[&aggregate, &[0x7C, 0x85, 1, 2], &[0x7C, 0x05, 3], &[0x7C, 0x45, 4], &[0x06, 9]]).expect("a picture");
        let mut expected = vec![0, 0, 0, 22];
        expected.extend(SEQUENCE);
        expected.extend([0, 0, 0, 4]);
        expected.extend(PICTURES);
        expected.extend([0, 0, 0, 5, 0x65, 1, 2, 3, 4, 0, 0, 0, 2, 0x06, 9]);
        assert_eq!((found.is_key, found.bytes), (true, expected));
        let head = found.head.expect("parameter sets");
        assert_eq!(head.size, (1280, 720));
        assert_eq!(head.private[..8], [1, 0x42, 0xC0, 0x1F, 0xFF, 0xE1, 0, 22]);
        assert_eq!(head.private[8 + 22..], [1, 0, 4, 0x68, 0xCE, 0x3C, 0x80]);
        let delta = h264(&[&[0x09, 0x10], &[0x41, 7]]).expect("a picture");
        assert_eq!((delta.is_key, delta.head, &delta.bytes[..]), (false, None, &[0, 0, 0, 2, 0x41, 7][..]), "without delimiter");
    }

    #[test]
    fn what_is_no_picture_of_h264_is_left_out() {
        for payloads in [
            &[][..],
            &[&[][..]],
            // Without a beginning, without an end, twice begun, and with another unit in between.
            &[&[0x7C, 0x05, 3], &[0x7C, 0x45, 4]],
            &[&[0x7C, 0x85, 1]],
            &[&[0x7C, 0x85, 1], &[0x7C, 0x85, 1]],
            &[&[0x7C, 0x85, 1], &[0x41, 7], &[0x7C, 0x45, 4]],
            &[&[0x7C]],
            // Units longer than their packet, empty ones, a byte too many, types that nobody negotiated.
            &[&[0x78, 0, 9, 0x41]],
            &[&[0x78, 0, 0]],
            &[&[0x78, 0, 1, 0x41, 0]],
            &[&[0x79, 0, 0]],
            &[&[0x09, 0x10]],
        ] {
            assert_eq!(h264(payloads), None, "{payloads:?}");
        }
    }
}
