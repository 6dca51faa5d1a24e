//! What a packet of a layered stream (VP9 and AV1 as SVC) says of itself: which layer of which picture it is, and who needs it.
//! Read from the dependency descriptor ([`super::dependency`]), or where there is none from VP9's own ([`super::vp9`]).

use super::dependency::Reader;
use super::vp8::Picture;
use super::{Codec, MAX_LAYERS, vp9};

/// Frames that one frame may refer to; encoders for calls use three.
pub const MAX_REFERENCES: usize = 8;

/// How far back the frames are that a frame refers to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct References {
    back: [u16; MAX_REFERENCES],
    count: u8,
}

impl References {
    /// `None` when there are too many.
    pub fn push(&mut self, back: u16) -> Option<()> {
        *self.back.get_mut(usize::from(self.count))? = back;
        self.count += 1;
        Some(())
    }

    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.back[..usize::from(self.count)].iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// How the layers of a stream stand to each other, from the smallest picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    pub sizes: [Option<(u16, u16)>; MAX_LAYERS],
    /// For each layer, those (one bit each) of which everything is sent with it: who goes down to one of them need not wait
    /// for a key frame.
    pub within: [u8; MAX_LAYERS],
}

/// One packet of a frame. A *frame* is one layer of one picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Grows by frames, and wraps.
    pub frame: u16,
    /// Its layer, from the smallest picture.
    pub spatial: u8,
    /// The first and the last packet of its frame.
    pub starts: bool,
    pub ends: bool,
    /// A decoder that knows nothing can begin with this packet.
    pub is_key: bool,
    /// The layers (one bit each) for which it is sent.
    pub layers: u8,
    /// And those with which whoever was sent all that it refers to may go on from it.
    pub entries: u8,
    pub references: References,
    /// Where it says how the layers stand to each other.
    pub shape: Option<Shape>,
}

impl Part {
    #[inline]
    pub fn is_for(&self, layer: u8) -> bool {
        self.layers >> layer & 1 == 1
    }
}

/// Reads the packets of one stream.
#[derive(Clone, Default)]
pub struct Parts {
    descriptors: Reader,
}

impl Parts {
    /// What a packet is a part of, with the numbers of its picture: by its dependency descriptor, or else by the head of its
    /// payload. `None` when that cannot be said.
    pub fn read(&mut self, codec: Codec, timestamp: u32, descriptor: Option<&[u8]>, payload: &[u8]) -> Option<(Part, Picture)> {
        let own = if codec == Codec::Vp9 { vp9::Descriptor::read(payload) } else { None };
        let part = match descriptor {
            Some(descriptor) => self.descriptors.read(descriptor)?,
            None => own?.part(timestamp),
        };
        let picture = own.map(|own| own.picture).unwrap_or_default();
        Some((part, Picture { frame: Some(part.frame), ..picture }))
    }
}
