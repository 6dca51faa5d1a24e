//! The payload descriptor of VP9 (RFC 9628 §4.2).
//!
//! ```text
//! I P L F B E V Z   M PictureID (7 or 15)   TID(3) U SID(3) D   TL0PICIDX (8, not F)   P_DIFF(7) N ×1-3 (F and P)   SS (V)
//! ```

use super::layered::{Part, Shape};
use super::vp8::Picture;
use super::{CLOCK_HZ, MAX_LAYERS};

/// Frames that a picture in flexible mode may refer to (RFC 9628 §4.2).
const MAX_DIFFS: usize = 3;

/// One bit each.
const ALL_LAYERS: u8 = (1 << MAX_LAYERS) - 1;

/// What of a descriptor forwarding and recording need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    pub picture: Picture,
    is_predicted: bool,
    /// The first and the last packet of a frame, which is one layer of a picture.
    pub starts: bool,
    pub ends: bool,
    spatial: u8,
    /// Sizes of its layers.
    sizes: Option<[Option<(u16, u16)>; MAX_LAYERS]>,
    /// Bytes of the descriptor: the frame begins behind them.
    pub len: usize,
}

impl Descriptor {
    /// `None` when the payload is cut short within its descriptor.
    pub fn read(payload: &[u8]) -> Option<Descriptor> {
        let first = *payload.first()?;
        let has = |bit: u8| first & bit != 0;
        let mut at = 1;
        let mut descriptor = Descriptor { is_predicted: has(0x40), starts: has(0x08), ends: has(0x04), ..Descriptor::default() };
        if has(0x80) {
            let high = *payload.get(at)?;
            if high & 0x80 != 0 {
                let low = *payload.get(at + 1)?;
                descriptor.picture.id = Some((at as u8, true, u16::from(high & 0x7F) << 8 | u16::from(low)));
                at += 2;
            } else {
                descriptor.picture.id = Some((at as u8, false, u16::from(high)));
                at += 1;
            }
        }
        if has(0x20) {
            descriptor.spatial = *payload.get(at)? >> 1 & 7;
            at += 1;
            if !has(0x10) {
                descriptor.picture.base = Some((at as u8, *payload.get(at)?));
                at += 1;
            }
        }
        if has(0x10) && has(0x40) {
            for number in 1.. {
                let diff = *payload.get(at)?;
                at += 1;
                if diff & 1 == 0 {
                    break;
                }
                if number == MAX_DIFFS {
                    return None;
                }
            }
        }
        if has(0x02) {
            at = descriptor.read_structure(payload, at)?;
        }
        descriptor.len = at;
        Some(descriptor)
    }

    /// N_S(3) Y G, then the size of each layer (Y), then a group of pictures (G), which is of no use here.
    fn read_structure(&mut self, payload: &[u8], mut at: usize) -> Option<usize> {
        let head = *payload.get(at)?;
        at += 1;
        let mut sizes = [None; MAX_LAYERS];
        if head & 0x10 != 0 {
            for layer in 0..=usize::from(head >> 5) {
                let size: &[u8; 4] = payload.get(at..)?.first_chunk()?;
                at += 4;
                let (width, height) = (u16::from_be_bytes([size[0], size[1]]), u16::from_be_bytes([size[2], size[3]]));
                if let Some(place) = sizes.get_mut(layer).filter(|_| width > 0 && height > 0) {
                    *place = Some((width, height));
                }
            }
            self.sizes = Some(sizes);
        }
        if head & 0x08 != 0 {
            let pictures = *payload.get(at)?;
            at += 1;
            for _ in 0..pictures {
                at += 1 + usize::from(*payload.get(at)? >> 2 & 3);
            }
        }
        (at <= payload.len()).then_some(at)
    }

    /// Whether a picture begins here that a decoder can begin with.
    pub fn starts_key_picture(&self) -> bool {
        self.starts && !self.is_predicted && self.spatial == 0
    }

    /// For a stream without dependency descriptors: each layer is taken to need all that are smaller, of its picture.
    pub fn part(&self, timestamp: u32) -> Part {
        let layers = ALL_LAYERS & ALL_LAYERS.checked_shl(self.spatial.into()).unwrap_or(0);
        let is_key = self.starts_key_picture();
        let mut part = Part {
            // Pictures without a number have times that differ.
            frame: self.picture.id.map_or((timestamp / (CLOCK_HZ / 1_000)) as u16, |(_, _, id)| id) << 2
                | u16::from(self.spatial.min(3)),
            spatial: self.spatial,
            starts: self.starts,
            ends: self.ends,
            is_key,
            layers,
            entries: if is_key { layers } else { 0 },
            ..Part::default()
        };
        if is_key || self.sizes.is_some() {
            let within = std::array::from_fn(|layer| (1 << layer) - 1);
            part.shape = Some(Shape { sizes: self.sizes.unwrap_or_default(), within });
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 15 bits of picture id, layer indices, an index of the base layer.
    fn payload(id: u16, spatial: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
        let mut out = vec![0xA0 | flags];
        out.extend((0x8000 | id).to_be_bytes());
        out.extend([spatial << 1, 9]);
        out.extend(rest);
        out
    }

    #[test]
    fn a_key_picture_tells_its_layers() {
        // Two layers with their sizes and a group of one picture that refers to one.
        let structure = [0x38, 1, 64, 0, 180, 2, 128, 1, 104, 1, 0x04, 1];
        let descriptor = Descriptor::read(&payload(0x123, 0, 0x0A, &structure)).expect("whole");
        assert_eq!(descriptor.picture, Picture { id: Some((1, true, 0x123)), base: Some((4, 9)), frame: None });
        assert_eq!(descriptor.len, 5 + structure.len());
        let part = descriptor.part(0);
        assert!(part.is_key && part.starts && !part.ends);
        assert_eq!((part.layers, part.entries, part.frame), (0b111, 0b111, 0x123 << 2));
        let shape = part.shape.expect("a key picture");
        assert_eq!(shape.sizes, [Some((320, 180)), Some((640, 360)), None]);
        assert_eq!(shape.within, [0, 0b001, 0b011]);
        for len in 0..5 + structure.len() {
            assert_eq!(Descriptor::read(&payload(0x123, 0, 0x0A, &structure)[..len]), None, "cut to {len} bytes");
        }
    }

    #[test]
    fn a_larger_layer_is_for_those_who_show_it() {
        let part = Descriptor::read(&payload(7, 1, 0x44, &[])).expect("whole").part(0);
        assert_eq!((part.layers, part.entries, part.is_key, part.ends, part.spatial), (0b110, 0, false, true, 1));
        let larger = Descriptor::read(&payload(7, 5, 0x44, &[])).expect("whole").part(0);
        assert_eq!(larger.layers, 0, "more layers than are forwarded");
    }

    #[test]
    fn references_of_the_flexible_mode_are_passed_over() {
        let flexible = [0xD8, 5, 0x05, 0x04, 1, 2, 3];
        let descriptor = Descriptor::read(&flexible).expect("whole");
        assert_eq!((descriptor.len, descriptor.picture.id), (4, Some((1, false, 5))));
        assert_eq!(Descriptor::read(&[0xD8, 5, 0x05, 0x05, 0x05, 0x05]), None, "more than three");
    }
}
