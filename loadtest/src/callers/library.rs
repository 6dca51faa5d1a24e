//! Recorded voices: real Opus, encoded once before the run, because an encoder per talker would be the load itself.

use crate::opus::Speaker;
use audiopus::Result;

/// Different voices; a hundred talkers share them, each from a place of its own.
const VOICES: u64 = 6;
/// Of each voice, before it repeats itself.
const SECONDS: u32 = 10;

pub struct Library {
    voices: Vec<Vec<Vec<u8>>>,
    /// Of one packet, at 48 kHz.
    pub samples: u32,
}

impl Library {
    /// The same seed records the same words.
    pub fn record(seed: u64, bitrate_bps: u32, packet_ms: u32) -> Result<Self> {
        let packets = (SECONDS * 1000 / packet_ms) as usize;
        let voice = |nth: u64| Speaker::with(seed.wrapping_add(nth), bitrate_bps, packet_ms)?.packets(packets);
        Ok(Self { voices: (0..VOICES).map(voice).collect::<Result<_>>()?, samples: packet_ms * 48 })
    }

    /// Any voice, any place: both wrap around.
    pub fn packet(&self, voice: u64, place: u64) -> &[u8] {
        let voice = &self.voices[(voice % VOICES) as usize];
        &voice[(place % voice.len() as u64) as usize]
    }
}
