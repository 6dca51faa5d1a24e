//! Structures as browsers send them, to test with: three spatial layers, each with the frame before it and, where all layers are
//! one, with the smaller layer of its picture.

/// How layers refer to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each picture's layers to smaller ones (L3T1).
    Full,
    /// Those of key pictures alone (L3T1_KEY).
    Key,
}

pub const LAYERS: u8 = 3;

/// Templates: for each layer that of a key picture and that of others.
const TEMPLATES: u8 = 2 * LAYERS;

struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            if self.len.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= ((value >> bit & 1) as u8) << (7 - self.len % 8);
            self.len += 1;
        }
    }
}

/// What a frame of a layer is to the decode target of another: not present, a switch, required.
fn indication(kind: Kind, layer: u8, is_key: bool, target: u8) -> u32 {
    match () {
        () if target < layer => 0,
        () if is_key || target == layer => 2,
        () if kind == Kind::Full => 3,
        () => 0,
    }
}

/// The descriptor of one packet of a frame of [`LAYERS`] layers per picture, whose frames have numbers one after the other.
/// `first_template` varies between structures.
pub fn descriptor(kind: Kind, first_template: u8, frame: u16, layer: u8, is_key: bool, (starts, ends): (bool, bool)) -> Vec<u8> {
    let mut bits = Bits { bytes: Vec::new(), len: 0 };
    bits.put(u32::from(starts), 1);
    bits.put(u32::from(ends), 1);
    bits.put(u32::from((first_template + 2 * layer + u8::from(!is_key)) % 64), 6);
    bits.put(u32::from(frame), 16);
    if is_key && layer == 0 && starts {
        bits.put(0b10000, 5);
        structure(kind, first_template, &mut bits);
    }
    bits.bytes
}

fn structure(kind: Kind, first_template: u8, bits: &mut Bits) {
    let templates = || (0..LAYERS).flat_map(|layer| [(layer, true), (layer, false)]);
    bits.put(u32::from(first_template), 6);
    bits.put(u32::from(LAYERS) - 1, 5);
    for number in 1..=TEMPLATES {
        bits.put(if number == TEMPLATES { 3 } else { 2 * u32::from(number % 2 == 0) }, 2);
    }
    for (layer, is_key) in templates() {
        (0..LAYERS).for_each(|target| bits.put(indication(kind, layer, is_key, target), 2));
    }
    for (layer, is_key) in templates() {
        let before = (!is_key).then_some(u32::from(LAYERS));
        let below = (layer > 0 && (is_key || kind == Kind::Full)).then_some(1);
        for back in before.into_iter().chain(below) {
            bits.put(1, 1);
            bits.put(back - 1, 4);
        }
        bits.put(0, 1);
    }
    // No chains: ns(4) is two bits.
    bits.put(0, 2);
    bits.put(1, 1);
    for (width, height) in [(240, 135), (480, 270), (960, 540)] {
        bits.put(width - 1, 16);
        bits.put(height - 1, 16);
    }
}
