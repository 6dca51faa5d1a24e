//! What simulated speakers say: payloads that tell who said them and when, and that no other can be mistaken for.

use super::network::Random;

/// A packet of speech, as far as a listener can read it from the payload alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word {
    pub speaker: usize,
    pub number: u64,
}

/// Words of this number and above are not spoken: they are what a shared screen sounds like, and further up what it shows.
pub const SOUND: u64 = 1 << 32;
pub const PICTURE: u64 = 1 << 33;

impl Word {
    pub fn is_sound(self) -> bool {
        (SOUND..PICTURE).contains(&self.number)
    }

    pub fn is_picture(self) -> bool {
        self.number >= PICTURE
    }

    /// Between 16 and 175 bytes that are different for every word, like Opus at changing bitrates.
    pub fn payload(self) -> Vec<u8> {
        let mut random = Random::new((self.speaker as u64) << 40 | self.number);
        let mut payload = vec![0; 16 + random.below(160) as usize];
        random.fill(&mut payload);
        payload[..8].copy_from_slice(&(self.speaker as u64).to_be_bytes());
        payload[8..16].copy_from_slice(&self.number.to_be_bytes());
        payload
    }

    /// Reads a payload back; panics unless every bit is as it was said.
    pub fn parse(payload: &[u8]) -> Word {
        let number = |range: std::ops::Range<usize>| {
            let bytes = payload.get(range).and_then(|bytes| bytes.first_chunk()).expect("a payload has sixteen bytes");
            u64::from_be_bytes(*bytes)
        };
        let word = Word { speaker: number(0..8) as usize, number: number(8..16) };
        assert_eq!(payload, word.payload(), "the payload of {word:?} changed on its way");
        word
    }
}
