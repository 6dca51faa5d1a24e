//! The dependency descriptor of AV1's RTP format (§A.8), which VP9 is sent with, too: which layer of which picture a packet is of,
//! what that refers to, and for whom it is. A key frame brings a structure of templates that the packets after it name.

use super::MAX_LAYERS;
use super::layered::{Part, References, Shape};

/// The longest descriptor that is read: ours may be longer by a mask of decode targets, and the length has one byte.
pub const MAX_READ: usize = 250;

/// The longest that is written.
pub const MAX_WRITTEN: usize = MAX_READ + 4;

/// Templates, decode targets and chains of a structure: as many as their numbers can tell.
const MAX_TEMPLATES: usize = 64;
const MAX_TARGETS: u8 = 32;

/// What a frame is to a decode target (§A.8.3.2).
const NOT_PRESENT: u8 = 0;
const SWITCH: u8 = 2;

#[derive(Clone, Copy, Default)]
struct Template {
    spatial: u8,
    temporal: u8,
    /// Two bits for each decode target.
    targets: u64,
    references: References,
}

const fn indication(targets: u64, target: u8) -> u8 {
    (targets >> (2 * target) & 3) as u8
}

#[derive(Clone)]
struct Structure {
    /// The number of the frame that brought it.
    frame: u16,
    first_template: u8,
    templates: [Template; MAX_TEMPLATES],
    template_count: u8,
    target_count: u8,
    chain_count: u8,
    /// Targets that are sent, one bit each.
    active: u32,
    /// The last frame that said so.
    active_since: u16,
    /// The target of each layer with all its frames, as far as that is sent.
    layers: [Option<u8>; MAX_LAYERS],
    shape: Shape,
}

/// Reads the descriptors of one stream.
#[derive(Clone, Default)]
pub struct Reader {
    structure: Option<Box<Structure>>,
}

/// The fields before the definition of a frame, and where that begins.
struct Head {
    starts: bool,
    ends: bool,
    template: u8,
    frame: u16,
    has_custom_targets: bool,
    has_custom_references: bool,
    has_custom_chains: bool,
    has_structure: bool,
    has_mask: bool,
}

impl Head {
    fn read(bits: &mut Bits) -> Option<Head> {
        let (starts, ends, template, frame) = (bits.flag()?, bits.flag()?, bits.take(6)? as u8, bits.take(16)? as u16);
        let is_long = bits.bytes.len() > 3;
        let mut flag = || if is_long { bits.flag() } else { Some(false) };
        Some(Head {
            starts,
            ends,
            template,
            frame,
            has_structure: flag()?,
            has_mask: flag()?,
            has_custom_targets: flag()?,
            has_custom_references: flag()?,
            has_custom_chains: flag()?,
        })
    }
}

impl Reader {
    /// `None` when it is malformed, or of a structure that is not known.
    pub fn read(&mut self, descriptor: &[u8]) -> Option<Part> {
        if descriptor.len() > MAX_READ {
            return None;
        }
        let mut bits = Bits { bytes: descriptor, at: 0 };
        let head = Head::read(&mut bits)?;
        let older = |than: u16| (head.frame.wrapping_sub(than) as i16) < 0;
        let mut brought = None;
        if head.has_structure {
            let structure = Structure::read(head.frame, &mut bits)?;
            if self.structure.as_ref().is_none_or(|known| !older(known.frame)) {
                match &mut self.structure {
                    Some(known) => **known = structure,
                    None => self.structure = Some(Box::new(structure)),
                }
            } else {
                brought = Some(structure);
            }
        }
        let structure = match &mut brought {
            Some(late) => late,
            None => self.structure.as_deref_mut()?,
        };
        if head.has_mask {
            let active = bits.take(u32::from(structure.target_count))?;
            if !older(structure.active_since) {
                structure.active_since = head.frame;
                structure.activate(active);
            }
        }
        structure.part(&head, &mut bits)
    }
}

impl Structure {
    fn read(frame: u16, bits: &mut Bits) -> Option<Structure> {
        let (first_template, target_count) = (bits.take(6)? as u8, bits.take(5)? as u8 + 1);
        let mut structure = Structure {
            frame,
            first_template,
            templates: [Template::default(); MAX_TEMPLATES],
            template_count: 0,
            target_count,
            chain_count: 0,
            active: 0,
            active_since: frame,
            layers: [None; MAX_LAYERS],
            shape: Shape::default(),
        };
        let (mut spatial, mut temporal) = (0, 0);
        loop {
            let template = structure.templates.get_mut(usize::from(structure.template_count))?;
            (template.spatial, template.temporal) = (spatial, temporal);
            structure.template_count += 1;
            match bits.take(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => break,
            }
        }
        let templates = &mut structure.templates[..usize::from(structure.template_count)];
        for template in templates.iter_mut() {
            template.targets = read_targets(bits, target_count)?;
        }
        for template in templates.iter_mut() {
            while bits.flag()? {
                template.references.push(bits.take(4)? as u16 + 1)?;
            }
        }
        structure.chain_count = bits.non_symmetric(u32::from(target_count) + 1)? as u8;
        if structure.chain_count > 0 {
            for _ in 0..target_count {
                bits.non_symmetric(u32::from(structure.chain_count))?;
            }
            bits.skip(4 * usize::from(structure.chain_count) * usize::from(structure.template_count))?;
        }
        if bits.flag()? {
            for layer in 0..=usize::from(spatial) {
                let (width, height) = (bits.take(16)?.checked_add(1)?, bits.take(16)?.checked_add(1)?);
                if let Some(size) = structure.shape.sizes.get_mut(layer) {
                    *size = Some((width.min(u32::from(u16::MAX)) as u16, height.min(u32::from(u16::MAX)) as u16));
                }
            }
        }
        structure.activate(all_of(target_count));
        Some(structure)
    }

    fn templates(&self) -> &[Template] {
        &self.templates[..usize::from(self.template_count)]
    }

    /// The layers of a decode target: the largest and the fastest of what is in it.
    fn layers_of(&self, target: u8) -> (u8, u8) {
        let within = self.templates().iter().filter(|template| indication(template.targets, target) != NOT_PRESENT);
        within.fold((0, 0), |(spatial, temporal), template| (spatial.max(template.spatial), temporal.max(template.temporal)))
    }

    /// These targets are sent from now on.
    fn activate(&mut self, active: u32) {
        self.active = active;
        let mut fastest = [0; MAX_LAYERS];
        self.layers = [None; MAX_LAYERS];
        for target in (0..self.target_count).filter(|target| active >> target & 1 == 1) {
            let (spatial, temporal) = self.layers_of(target);
            let Some(layer) = self.layers.get_mut(usize::from(spatial)) else { continue };
            if layer.is_none() || temporal > fastest[usize::from(spatial)] {
                (*layer, fastest[usize::from(spatial)]) = (Some(target), temporal);
            }
        }
        let is_within = |small: u8, large: u8| {
            self.templates().iter().all(|template| {
                indication(template.targets, small) == NOT_PRESENT || indication(template.targets, large) != NOT_PRESENT
            })
        };
        let mut within = [0; MAX_LAYERS];
        for (large, bits) in within.iter_mut().enumerate() {
            for small in 0..large {
                if let (Some(of_small), Some(of_large)) = (self.layers[small], self.layers[large]) {
                    *bits |= u8::from(is_within(of_small, of_large)) << small;
                }
            }
        }
        self.shape.within = within;
    }

    fn part(&self, head: &Head, bits: &mut Bits) -> Option<Part> {
        let place = (head.template + MAX_TEMPLATES as u8 - self.first_template) % MAX_TEMPLATES as u8;
        let template = self.templates().get(usize::from(place))?;
        let targets = if head.has_custom_targets { read_targets(bits, self.target_count)? } else { template.targets };
        let references = if head.has_custom_references { read_references(bits)? } else { template.references };
        if head.has_custom_chains {
            bits.skip(8 * usize::from(self.chain_count))?;
        }
        let (mut layers, mut entries) = (0, 0);
        for (layer, target) in self.layers.iter().enumerate() {
            let Some(target) = *target else { continue };
            layers |= u8::from(indication(targets, target) != NOT_PRESENT) << layer;
            entries |= u8::from(indication(targets, target) == SWITCH) << layer;
        }
        Some(Part {
            frame: head.frame,
            spatial: template.spatial,
            starts: head.starts,
            ends: head.ends,
            is_key: head.has_structure && head.starts && references.is_empty(),
            layers,
            entries,
            references,
            shape: (head.has_structure || head.has_mask).then_some(self.shape),
        })
    }
}

const fn all_of(targets: u8) -> u32 {
    u32::MAX >> (MAX_TARGETS - targets)
}

fn read_targets(bits: &mut Bits, count: u8) -> Option<u64> {
    (0..count).try_fold(0, |targets, target| Some(targets | u64::from(bits.take(2)?) << (2 * target)))
}

fn read_references(bits: &mut Bits) -> Option<References> {
    let mut references = References::default();
    loop {
        match bits.take(2)? {
            0 => return Some(references),
            size => references.push(bits.take(4 * size)? as u16 + 1)?,
        }
    }
}

/// Copies a descriptor for a listener who is sent the layers up to `top`, with the number of its frame in that listener's stream.
/// Where it brings a structure, it says that no more is sent. Returns the length.
pub fn copy(descriptor: &[u8], frame: u16, top: u8, out: &mut [u8; MAX_WRITTEN]) -> usize {
    let len = descriptor.len().min(MAX_READ);
    out[..len].copy_from_slice(&descriptor[..len]);
    let limited = limit(&descriptor[..len], top, out).unwrap_or(len);
    if let Some(number) = out[..limited].get_mut(1..3) {
        number.copy_from_slice(&frame.to_be_bytes());
    }
    limited
}

/// `None` where nothing is to be limited; then nothing is written.
fn limit(descriptor: &[u8], top: u8, out: &mut [u8; MAX_WRITTEN]) -> Option<usize> {
    let mut bits = Bits { bytes: descriptor, at: 0 };
    let head = Head::read(&mut bits)?;
    if !head.has_structure {
        return None;
    }
    let structure = Structure::read(head.frame, &mut bits)?;
    let before = bits.at;
    let count = u32::from(structure.target_count);
    let active = if head.has_mask { bits.take(count)? } else { structure.active };
    let mask = (0..structure.target_count)
        .filter(|target| structure.layers_of(*target).0 <= top)
        .fold(0, |mask, target| mask | 1 << target);
    let mut writer = Writer { bytes: out, at: 0 };
    let copied = |writer: &mut Writer, range: std::ops::Range<usize>| {
        let mut bits = Bits { bytes: descriptor, at: range.start };
        range.for_each(|_| writer.put(bits.take(1).unwrap_or(0), 1));
    };
    copied(&mut writer, 0..HAS_MASK);
    writer.put(1, 1);
    copied(&mut writer, HAS_MASK + 1..before);
    writer.put(active & mask, count);
    copied(&mut writer, bits.at..8 * descriptor.len());
    Some(writer.finish())
}

/// Where the flag for a mask of decode targets stands.
const HAS_MASK: usize = 25;

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// At most 32.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u64;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u64::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value as u32)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at += count;
        (self.at <= 8 * self.bytes.len()).then_some(())
    }

    /// A number below `end` (`ns(n)`).
    fn non_symmetric(&mut self, end: u32) -> Option<u32> {
        let width = end.checked_ilog2()? + 1;
        let short = (1 << width) - end;
        let value = self.take(width - 1)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + self.take(1)?)
    }
}

/// Writes bits, the highest first; the bytes are as many as [`copy`] can need.
struct Writer<'a> {
    bytes: &'a mut [u8; MAX_WRITTEN],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            let Some(byte) = self.bytes.get_mut(self.at / 8) else { return };
            if self.at.is_multiple_of(8) {
                *byte = 0;
            }
            *byte |= ((value >> bit & 1) as u8) << (7 - self.at % 8);
            self.at += 1;
        }
    }

    fn finish(self) -> usize {
        self.at.div_ceil(8)
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub mod structures;
#[cfg(test)]
mod tests;
