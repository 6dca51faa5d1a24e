//! The last second of what each speaker of a room said, for WebRTC listeners that negotiated to ask for what they lost
//! (RFC 4585 §6.2.1): one copy for all of them.
//!
//! What is repeated is the same packet once more, bit for bit: same SSRC and number, so the same nonce, which AEAD allows for
//! the same text alone. It is made again from what is remembered here and from its slot's tenure, which both stay as they were
//! for as long as a repetition may be asked for; a speaker that falls silent, and whose next transport begins other numbers, is
//! forgotten at once ([`Past::forget`]).
//!
//! Memory is taken when a speaker is first heard, and used again for others: nothing is allocated per packet.

use super::room::Frame;
use super::speakers::MAX_SPEAKERS;
use std::time::Instant;

/// Packets of each speaker that are remembered: a second and more, at the usual 20 ms. A player has given up older ones.
pub const PACKETS: u64 = 64;

/// Bytes of each speaker's packets that are remembered: those packets at 128 kbit/s. Beyond, fewer of them.
const BYTES: usize = 20 * 1024;

/// No packet has this number: they have 48 bits.
const NOTHING: u64 = u64::MAX;

/// Nobody's SSRC.
const NOBODY: u32 = 0;

/// A packet that is still known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// When it was forwarded.
    pub at: Instant,
    pub timestamp: u32,
    pub marker: bool,
    pub audio_level: Option<u8>,
    /// As in [`Frame`].
    pub payload: &'a [u8],
    pub newest: usize,
    pub labelled: Option<u8>,
}

#[derive(Clone, Copy)]
struct Entry {
    index: u64,
    said: Instant,
    /// Where its bytes begin, counted since the beginning.
    at: u64,
    len: u16,
    newest: u16,
    labelled: Option<u8>,
    timestamp: u32,
    marker: bool,
    audio_level: Option<u8>,
}

struct Ring {
    /// Its native SSRC.
    speaker: u32,
    entries: Box<[Entry]>,
    bytes: Box<[u8]>,
    /// Bytes written since the beginning, with those that were skipped to keep a packet in one piece.
    written: u64,
}

impl Ring {
    fn new(now: Instant, speaker: u32) -> Ring {
        let nothing = Entry {
            index: NOTHING,
            said: now,
            at: 0,
            len: 0,
            newest: 0,
            labelled: None,
            timestamp: 0,
            marker: false,
            audio_level: None,
        };
        Ring { speaker, entries: vec![nothing; PACKETS as usize].into(), bytes: vec![0; BYTES].into(), written: 0 }
    }

    fn insert(&mut self, now: Instant, frame: &Frame) {
        let len = frame.payload.len();
        let mut offset = (self.written % BYTES as u64) as usize;
        if offset + len > BYTES {
            self.written += (BYTES - offset) as u64;
            offset = 0;
        }
        // A payload is far smaller than the ring: one datagram's.
        self.bytes[offset..offset + len].copy_from_slice(frame.payload);
        self.entries[(frame.spoken.index % PACKETS) as usize] = Entry {
            index: frame.spoken.index,
            said: now,
            at: self.written,
            len: len as u16,
            newest: frame.newest as u16,
            labelled: frame.labelled,
            timestamp: frame.timestamp,
            marker: frame.marker,
            audio_level: frame.audio_level,
        };
        self.written += len as u64;
    }

    fn get(&self, index: u64) -> Option<Said<'_>> {
        let entry = self.entries.get((index % PACKETS) as usize).filter(|entry| entry.index == index)?;
        if self.written - entry.at > BYTES as u64 {
            return None;
        }
        let offset = (entry.at % BYTES as u64) as usize;
        Some(Said {
            at: entry.said,
            timestamp: entry.timestamp,
            marker: entry.marker,
            audio_level: entry.audio_level,
            payload: &self.bytes[offset..offset + usize::from(entry.len)],
            newest: usize::from(entry.newest),
            labelled: entry.labelled,
        })
    }
}

/// A ring for each who speaks.
#[derive(Default)]
pub struct Past(Vec<Ring>);

impl Past {
    #[inline]
    pub fn insert(&mut self, now: Instant, frame: &Frame) {
        match self.0.iter_mut().find(|ring| ring.speaker == frame.speaker) {
            Some(ring) => ring.insert(now, frame),
            None => self.begin(now, frame),
        }
    }

    /// A speaker's first packet. When there are more speakers than may have a place, some are not remembered.
    #[cold]
    fn begin(&mut self, now: Instant, frame: &Frame) {
        let at = match self.0.iter().position(|ring| ring.speaker == NOBODY) {
            Some(free) => free,
            None if self.0.len() < MAX_SPEAKERS => {
                self.0.push(Ring::new(now, NOBODY));
                self.0.len() - 1
            }
            None => return,
        };
        self.0[at].speaker = frame.speaker;
        self.0[at].insert(now, frame);
    }

    pub fn get(&self, speaker: u32, index: u64) -> Option<Said<'_>> {
        self.0.iter().find(|ring| ring.speaker == speaker)?.get(index)
    }

    /// Nothing that this speaker said is repeated any more.
    pub fn forget(&mut self, speaker: u32) {
        if let Some(ring) = self.0.iter_mut().find(|ring| ring.speaker == speaker) {
            ring.speaker = NOBODY;
            ring.entries.iter_mut().for_each(|entry| entry.index = NOTHING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::activity::Spoken;
    use super::*;
    use crate::PeerId;
    use std::time::Duration;

    fn insert(past: &mut Past, now: Instant, (speaker, index): (u32, u64), payload: &mut [u8]) {
        past.insert(
            now,
            &Frame {
                speaker,
                speaker_id: PeerId(1),
                listener: None,
                is_priority: false,
                spoken: Spoken { index, loudness: 90, is_voice: true },
                timestamp: index as u32 * 960,
                marker: index == 7,
                audio_level: Some(30),
                payload,
                newest: 2,
                labelled: Some(111),
            },
        );
    }

    #[test]
    fn the_latest_packets_of_each_speaker_are_known_as_they_were_said() {
        let mut past = Past::default();
        let start = Instant::now();
        for index in 0..500u64 {
            let now = start + Duration::from_millis(20 * index);
            for speaker in [1, 2] {
                insert(&mut past, now, (speaker, index), &mut vec![(index + u64::from(speaker)) as u8; 60 + index as usize % 90]);
            }
            for known in index.saturating_sub(PACKETS - 1)..=index {
                let said = past.get(2, known).expect("recent");
                let payload = vec![(known + 2) as u8; 60 + known as usize % 90];
                let expected = Said {
                    at: start + Duration::from_millis(20 * known),
                    timestamp: known as u32 * 960,
                    marker: known == 7,
                    audio_level: Some(30),
                    payload: &payload,
                    newest: 2,
                    labelled: Some(111),
                };
                assert_eq!(said, expected);
            }
            assert_eq!(
                (past.get(2, index + 1), past.get(2, index.wrapping_sub(PACKETS)), past.get(3, index)),
                (None, None, None)
            );
        }
    }

    #[test]
    fn large_packets_are_bounded_by_their_bytes() {
        let mut past = Past::default();
        let now = Instant::now();
        (0..100).for_each(|index| insert(&mut past, now, (1, index), &mut [index as u8; 1000]));
        assert_eq!(past.get(1, 85).map(|said| said.payload.to_vec()), Some(vec![85; 1000]));
        assert_eq!(past.get(1, 75), None, "its bytes were written over");
    }

    #[test]
    fn who_is_forgotten_leaves_its_memory_to_others() {
        let (mut past, now) = (Past::default(), Instant::now());
        for speaker in 1..=MAX_SPEAKERS as u32 + 5 {
            insert(&mut past, now, (speaker, 9), &mut [1; 80]);
        }
        assert!(past.get(MAX_SPEAKERS as u32, 9).is_some() && past.get(MAX_SPEAKERS as u32 + 1, 9).is_none());
        past.forget(3);
        assert_eq!(past.get(3, 9), None);
        insert(&mut past, now, (77, 10), &mut [2; 80]);
        assert_eq!((past.get(77, 9), past.0.len()), (None, MAX_SPEAKERS));
        assert!(past.get(77, 10).is_some());
    }
}
