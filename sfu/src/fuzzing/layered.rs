//! Layered streams: their descriptors, and the machine that chooses of them.

use crate::video::dependency::{self, MAX_WRITTEN, Reader, structures};
use crate::video::layered::Parts;
use crate::video::rewrite::Origin;
use crate::video::thinner::{Aim, Thinner, Verdict};
use crate::video::{Codec, vp9};
use std::collections::BTreeMap;

/// Descriptors of one stream, each behind a byte of its length. What is copied for a listener says the same of its frame, with
/// another number and no more layers.
pub fn dependency_descriptor(mut data: &[u8]) {
    let (mut reader, mut copies) = (Reader::default(), Reader::default());
    while let [len, rest @ ..] = data {
        let (descriptor, after) = rest.split_at((*len).min(rest.len().min(255) as u8).into());
        data = after;
        let Some(part) = reader.read(descriptor) else {
            // It may have brought a structure all the same.
            assert_eq!(copies.read(descriptor), None);
            continue;
        };
        assert!(part.layers < 8 && part.entries & !part.layers == 0, "an entry is a part");
        assert!(!part.is_key || part.references.is_empty());
        let mut out = [0; MAX_WRITTEN];
        let len = dependency::copy(descriptor, part.frame, 7, &mut out);
        // A copy of one of the longest is longer than we read; of its frame the original says the same.
        let copied = if len > dependency::MAX_READ { descriptor } else { &out[..len] };
        let again = copies.read(copied).expect("a copy is a descriptor");
        let same = (again.frame, again.spatial, again.starts, again.ends, again.is_key, again.references);
        assert_eq!(same, (part.frame, part.spatial, part.starts, part.ends, part.is_key, part.references));
    }
}

/// The payload descriptor of VP9.
pub fn vp9_descriptor(data: &[u8]) {
    let Some(descriptor) = vp9::Descriptor::read(data) else { return };
    let part = descriptor.part(90_000);
    assert!(part.layers < 8 && part.entries & !part.layers == 0 && (!part.is_key || part.spatial == 0));
    let (by_payload, picture) = Parts::default().read(Codec::Vp9, 90_000, None, data).expect("it was read");
    assert_eq!((by_payload, picture.id), (part, descriptor.picture.id));
}

/// A stream under a script of packets, three bytes each: what becomes of it, a picture or a target, and by how much it is late.
/// No number is used twice, and what was sent is found.
pub fn thinner(data: &[u8]) {
    let origin = Origin { stage: 0, generation: 1, layer: 0, is_thinned: true };
    let (mut thinner, mut reader) = (Thinner::default(), Reader::default());
    let mut aim = Aim { layer: None, target: Some(2) };
    let kind = if data.first().is_some_and(|first| first & 1 == 1) { structures::Kind::Full } else { structures::Kind::Key };
    let mut numbers = BTreeMap::new();
    let (mut index, mut frame, mut timestamp, mut within) = (1u64 << 20, 0u16, 0u32, [0; 3]);
    for &[what, target, late] in data.as_chunks::<3>().0 {
        index += 1 + u64::from(what >> 5 == 7) * u64::from(target);
        frame = frame.wrapping_add(1);
        let layer = (frame % 3) as u8;
        timestamp = timestamp.wrapping_add(if layer == 0 { 3_000 } else { 0 });
        if what & 0x10 != 0 {
            aim.target = (target & 3 < 3).then_some(target & 3);
            aim.layer = aim.layer.filter(|_| aim.target.is_some());
        }
        let is_key = what & 0x0C == 0;
        let Some(part) = reader.read(&structures::descriptor(kind, 0, frame, layer, is_key, (true, true))) else { continue };
        within = part.shape.map_or(within, |shape| shape.within);
        let at = index - u64::from(late >> 4);
        let verdict = thinner.take(origin, at, timestamp, &part, &within, &mut aim);
        let (left_out, is_sent) = match verdict {
            Verdict::Nothing => continue,
            Verdict::Send { begins, left_out } => {
                if begins {
                    numbers.clear();
                }
                (left_out, true)
            }
            Verdict::Fill { left_out } => (left_out, false),
        };
        let number = at - u64::from(left_out);
        assert_eq!(numbers.insert(number, at), None, "a number twice");
        assert!(!is_sent || thinner.find(origin, number).is_some_and(|found| found.index == at), "what was sent is found");
    }
}
