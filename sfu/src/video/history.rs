//! The last packets of one layer, decrypted, for listeners that lost some: one copy for all of them.
//!
//! A ring of bytes with a ring of places beside it. Both double while they hold less than a second, up to a bound, so that a
//! small layer costs little; once they hold it nothing is allocated, and what is old is overwritten.

use super::vp8::Picture;
use super::{CLOCK_HZ, Codec};

/// Packets that are remembered, at first and at most: more than two seconds of a screen share's key frame and what follows.
const PACKETS: (usize, usize) = (64, 512);

/// Bytes that are remembered, at first and at most: 1 s of 2 Mbit/s. They grow with the packets.
const BYTES: (usize, usize) = (32 * 1024, 256 * 1024);

/// What is to be remembered, in RTP's ticks: a listener asks within a round trip, which is rarely above 300 ms.
const SPAN: u32 = CLOCK_HZ;

/// A packet that is still known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered<'a> {
    pub codec: Codec,
    pub marker: bool,
    pub timestamp: u32,
    pub picture: Picture,
    /// In a layered stream, its layer, and whether it is the last packet of its frame.
    pub level: Option<Level>,
    pub payload: &'a [u8],
    /// The dependency descriptor, where there is one; at most 255 bytes.
    pub descriptor: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    pub spatial: u8,
    pub ends: bool,
    /// For which layers it is sent, one bit each.
    pub layers: u8,
}

impl Remembered<'_> {
    fn len(&self) -> usize {
        self.payload.len() + self.descriptor.len()
    }
}

#[derive(Clone, Copy)]
struct Entry {
    index: u64,
    /// Where its bytes begin, counted since the beginning.
    at: u64,
    len: u16,
    descriptor_len: u8,
    codec: Codec,
    marker: bool,
    timestamp: u32,
    picture: Picture,
    level: Option<Level>,
}

pub struct History {
    entries: Box<[Entry]>,
    bytes: Box<[u8]>,
    /// Bytes written since the beginning, with those that were skipped to keep a packet in one piece.
    written: u64,
    /// The timestamp with which the bytes were begun from their start.
    lap: Option<u32>,
}

impl History {
    pub fn new() -> History {
        History::with(PACKETS.0, BYTES.0)
    }

    fn with(packets: usize, bytes: usize) -> History {
        // The index of no packet: they have 48 bits.
        let nothing = Entry {
            index: u64::MAX,
            at: 0,
            len: 0,
            descriptor_len: 0,
            codec: Codec::Vp8,
            marker: false,
            timestamp: 0,
            picture: Picture::default(),
            level: None,
        };
        History { entries: vec![nothing; packets].into(), bytes: vec![0; bytes].into(), written: 0, lap: None }
    }

    /// Remembers a packet in place of the oldest. One larger than everything is not remembered.
    #[inline]
    pub fn insert(&mut self, index: u64, packet: &Remembered) {
        let (len, descriptor_len) = (packet.len(), packet.descriptor.len() as u8);
        if len > BYTES.0 || packet.descriptor.len() > usize::from(u8::MAX) {
            return;
        }
        if self.is_short(index, packet) {
            self.grow();
        }
        let size = self.bytes.len();
        let mut offset = (self.written % size as u64) as usize;
        if offset + len > size {
            self.written += (size - offset) as u64;
            offset = 0;
        }
        if offset == 0 {
            self.lap = Some(packet.timestamp);
        }
        let (payload, descriptor) = self.bytes[offset..offset + len].split_at_mut(packet.payload.len());
        payload.copy_from_slice(packet.payload);
        descriptor.copy_from_slice(packet.descriptor);
        let Remembered { codec, marker, timestamp, picture, level, .. } = *packet;
        let (at, len) = (self.written, len as u16);
        self.entries[index as usize % self.entries.len()] =
            Entry { index, at, len, descriptor_len, codec, marker, timestamp, picture, level };
        self.written += u64::from(len);
    }

    /// Whether this packet would take the place of one that is younger than what is to be remembered, and there may be more.
    fn is_short(&self, index: u64, packet: &Remembered) -> bool {
        if self.bytes.len() >= BYTES.1 {
            return false;
        }
        let is_young = |timestamp: u32| packet.timestamp.wrapping_sub(timestamp) < SPAN;
        let entry = &self.entries[index as usize % self.entries.len()];
        let is_full = entry.index != u64::MAX && entry.index < index && is_young(entry.timestamp);
        let offset = (self.written % self.bytes.len() as u64) as usize;
        is_full || (offset + packet.len() > self.bytes.len() && self.lap.is_some_and(is_young))
    }

    /// Twice the room, with what is known in it.
    #[cold]
    fn grow(&mut self) {
        let mut larger = History::with((2 * self.entries.len()).min(PACKETS.1), 2 * self.bytes.len());
        let mut known: Vec<u64> = self.entries.iter().map(|entry| entry.index).collect();
        known.sort_unstable();
        for index in known {
            if let Some(packet) = self.get(index) {
                larger.insert(index, &packet);
            }
        }
        *self = larger;
    }

    pub fn get(&self, index: u64) -> Option<Remembered<'_>> {
        let entry =
            self.entries.get(index as usize % self.entries.len()).filter(|entry| entry.index == index && index != u64::MAX)?;
        if self.written - entry.at > self.bytes.len() as u64 {
            return None;
        }
        let offset = (entry.at % self.bytes.len() as u64) as usize;
        let Entry { codec, marker, timestamp, picture, level, len, descriptor_len, .. } = *entry;
        let bytes = &self.bytes[offset..offset + usize::from(len)];
        let (payload, descriptor) = bytes.split_at(usize::from(len) - usize::from(descriptor_len));
        Some(Remembered { codec, marker, timestamp, picture, level, payload, descriptor })
    }
}

impl Default for History {
    fn default() -> History {
        History::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> Remembered<'_> {
        let (codec, picture) = (Codec::Vp8, Picture::default());
        Remembered { codec, marker: false, timestamp: 7, picture, level: None, payload, descriptor: &[] }
    }

    #[test]
    fn the_latest_packets_are_known_and_no_others() {
        let mut history = History::new();
        let payload = |index: u64| vec![index as u8; 900 + (index % 300) as usize];
        for index in 100..5000 {
            history.insert(index, &packet(&payload(index)));
            for known in [index, index - 1, index - 100] {
                if known >= 100 {
                    assert_eq!(history.get(known).expect("recent").payload, payload(known), "{known} after {index}");
                }
            }
            assert_eq!((history.get(index + 1), history.get(index - 100 + 1 + 512)), (None, None));
        }
        assert_eq!(history.get(4999 - 400), None, "its bytes were written over");
    }

    #[test]
    fn a_descriptor_is_remembered_beside_its_payload() {
        let mut history = History::new();
        let level = Some(Level { spatial: 2, ends: true, layers: 0b100 });
        history.insert(7, &Remembered { level, descriptor: b"descriptor", ..packet(b"payload") });
        history.insert(8, &packet(b"other"));
        let known = history.get(7).expect("recent");
        assert_eq!((known.level, known.payload, known.descriptor), (level, &b"payload"[..], &b"descriptor"[..]));
        assert_eq!(history.get(8).expect("recent").descriptor, b"");
    }

    #[test]
    fn small_packets_are_bounded_by_their_number() {
        let mut history = History::new();
        (0..2000).for_each(|index| history.insert(index, &packet(b"small")));
        assert!(history.get(2000 - 512).is_some() && history.get(2000 - 513).is_none());
    }

    #[test]
    fn a_second_is_remembered_of_every_layer_and_a_small_one_takes_little() {
        for (packets, len, bytes) in [(1u64, 600, BYTES.0), (2, 1_000, 2 * BYTES.0), (6, 1_040, BYTES.1)] {
            let mut history = History::new();
            // Ten seconds of thirty frames each; the clock begins shortly before it wraps.
            for frame in 0..300u64 {
                for index in frame * packets..(frame + 1) * packets {
                    let payload = vec![index as u8; len];
                    let timestamp = (frame as u32).wrapping_mul(3_000).wrapping_sub(90_000);
                    history.insert(index, &Remembered { timestamp, ..packet(&payload) });
                    let before = index.saturating_sub(28 * packets);
                    assert_eq!(history.get(before).expect("a second").payload, vec![before as u8; len], "{before} after {index}");
                }
            }
            assert_eq!(history.bytes.len(), bytes, "{packets} packets of {len} bytes");
        }
    }
}
