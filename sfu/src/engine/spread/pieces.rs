//! A packet of what somebody shows, picture or sound, by value on its way to another part of the room.

use super::mirrors::Name;
use crate::engine::MAX_PAYLOAD;
use crate::engine::room::sounds::Sounding;
use crate::engine::room::video::Shot;
use crate::video::Codec;
use crate::video::layered::Part;
use crate::video::vp8::Picture;

/// Decrypted, and understood where it was.
pub struct Piece {
    pub name: Name,
    /// Where its mirror is.
    pub at: u32,
    index: u64,
    timestamp: u32,
    marker: bool,
    /// Of a picture; without one it is sound.
    pub head: Option<Head>,
    len: u16,
    descriptor_len: u16,
    /// The payload, and behind it the dependency descriptor.
    bytes: [u8; MAX_PAYLOAD],
}

/// What a packet of a picture has that one of sound has not.
#[derive(Clone, Copy)]
pub struct Head {
    pub stream: u8,
    /// Counts the packets of this stream that were for this mirror, lost ones included; it wraps.
    pub number: u32,
    codec: Codec,
    part: Option<(Part, Picture)>,
}

impl Head {
    pub fn new(stream: u8, number: u32, shot: &Shot) -> Head {
        Head { stream, number, codec: shot.codec, part: shot.part }
    }
}

impl Piece {
    /// Whether a packet is one that fits. What does not is too long for every listener, too.
    pub fn fits(shot: &Shot) -> bool {
        shot.payload.len() + shot.descriptor.len() <= MAX_PAYLOAD
    }

    /// The caller saw that it fits.
    pub fn picture(name: Name, at: u32, head: Head, shot: &Shot) -> Piece {
        let (len, descriptor_len) = (shot.payload.len(), shot.descriptor.len());
        let mut bytes = [0; MAX_PAYLOAD];
        bytes[..len].copy_from_slice(shot.payload);
        bytes[len..len + descriptor_len].copy_from_slice(shot.descriptor);
        let Shot { index, timestamp, marker, .. } = *shot;
        let (len, descriptor_len) = (len as u16, descriptor_len as u16);
        Piece { name, at, index, timestamp, marker, head: Some(head), len, descriptor_len, bytes }
    }

    /// Of a payload that is no longer than [`MAX_PAYLOAD`].
    pub fn sound(name: Name, at: u32, sounding: &Sounding) -> Piece {
        let mut bytes = [0; MAX_PAYLOAD];
        bytes[..sounding.payload.len()].copy_from_slice(sounding.payload);
        let Sounding { index, timestamp, marker, payload } = *sounding;
        Piece { name, at, index, timestamp, marker, head: None, len: payload.len() as u16, descriptor_len: 0, bytes }
    }

    pub fn shot(&self, head: &Head) -> Shot<'_> {
        let (payload, behind) = self.bytes.split_at(usize::from(self.len));
        let descriptor = &behind[..usize::from(self.descriptor_len)];
        let Piece { index, timestamp, marker, .. } = *self;
        Shot { codec: head.codec, index, timestamp, marker, payload, part: head.part, descriptor }
    }

    pub fn sounding(&self) -> Sounding<'_> {
        let Piece { index, timestamp, marker, .. } = *self;
        Sounding { index, timestamp, marker, payload: &self.bytes[..usize::from(self.len)] }
    }
}
