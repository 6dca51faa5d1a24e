//! The last packets of one layer, decrypted, for listeners that lost some: one copy for all of them.
//!
//! A ring of bytes with a ring of places beside it. Both have their full size from the layer's first packet on, so nothing is
//! allocated per packet; what is old is overwritten.

use super::Codec;
use super::vp8::Picture;

/// Packets that are remembered: more than two seconds of a screen share's key frame and what follows.
const PACKETS: usize = 512;

/// Bytes that are remembered: 1 s of 2 Mbit/s. A listener asks within a round trip, which is rarely above 300 ms.
const BYTES: usize = 256 * 1024;

/// A packet that is still known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered<'a> {
    pub codec: Codec,
    pub marker: bool,
    pub timestamp: u32,
    pub picture: Picture,
    pub payload: &'a [u8],
}

#[derive(Clone, Copy)]
struct Entry {
    index: u64,
    /// Where its bytes begin, counted since the beginning.
    at: u64,
    len: u16,
    codec: Codec,
    marker: bool,
    timestamp: u32,
    picture: Picture,
}

pub struct History {
    entries: Box<[Entry]>,
    bytes: Box<[u8]>,
    /// Bytes written since the beginning, with those that were skipped to keep a packet in one piece.
    written: u64,
}

impl History {
    pub fn new() -> History {
        // The index of no packet: they have 48 bits.
        let nothing =
            Entry { index: u64::MAX, at: 0, len: 0, codec: Codec::Vp8, marker: false, timestamp: 0, picture: Picture::default() };
        History { entries: vec![nothing; PACKETS].into(), bytes: vec![0; BYTES].into(), written: 0 }
    }

    /// Remembers a packet in place of the oldest. One larger than everything is not remembered.
    #[inline]
    pub fn insert(&mut self, index: u64, packet: &Remembered) {
        let len = packet.payload.len();
        if len > usize::from(u16::MAX) {
            return;
        }
        let mut offset = (self.written % BYTES as u64) as usize;
        if offset + len > BYTES {
            self.written += (BYTES - offset) as u64;
            offset = 0;
        }
        self.bytes[offset..offset + len].copy_from_slice(packet.payload);
        let Remembered { codec, marker, timestamp, picture, .. } = *packet;
        self.entries[index as usize % PACKETS] =
            Entry { index, at: self.written, len: len as u16, codec, marker, timestamp, picture };
        self.written += len as u64;
    }

    pub fn get(&self, index: u64) -> Option<Remembered<'_>> {
        let entry = self.entries.get(index as usize % PACKETS).filter(|entry| entry.index == index)?;
        if self.written - entry.at > BYTES as u64 {
            return None;
        }
        let offset = (entry.at % BYTES as u64) as usize;
        let Entry { codec, marker, timestamp, picture, len, .. } = *entry;
        Some(Remembered { codec, marker, timestamp, picture, payload: &self.bytes[offset..offset + usize::from(len)] })
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
        Remembered { codec: Codec::Vp8, marker: false, timestamp: 7, picture: Picture::default(), payload }
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
    fn small_packets_are_bounded_by_their_number() {
        let mut history = History::new();
        (0..2000).for_each(|index| history.insert(index, &packet(b"small")));
        assert!(history.get(2000 - 512).is_some() && history.get(2000 - 513).is_none());
    }
}
