//! Real Opus: a seeded synthetic voice to send, and what can be measured of a stream that arrived.
//!
//! The encoder and decoder are libopus (audiopus over the system's library): the server never touches a payload, so a real
//! decoder at the end of the path says whether what came out is still speech.

use crate::voice::Heard;
use crate::voice::native::FRAME_SAMPLES;
use audiopus::coder::{Decoder, Encoder};
use audiopus::{Application, Bitrate, Channels, SampleRate, Signal};
use std::collections::BTreeSet;
use std::f32::consts::TAU;

const SAMPLE_RATE: f32 = 48_000.0;
const SAMPLES: usize = FRAME_SAMPLES as usize;
/// Common for speech; gives packets of about 80 bytes.
const BITRATE_BPS: i32 = 32_000;
/// The largest Opus packet (RFC 6716 §3.4: 1275 bytes and a TOC byte).
const LARGEST_PACKET: usize = 1276;
/// A decoded frame below this is silence.
const SILENCE_DBFS: f32 = -50.0;
/// The decoder's room: 120 ms, the longest packet Opus knows.
const LONGEST_PACKET_SAMPLES: usize = 5760;

/// A synthetic speaker: syllables of a harmonic tone with short pauses between. The same seed says the same words.
pub struct Speaker {
    encoder: Encoder,
    random: SplitMix,
    pitch_hz: f32,
    /// Of the present syllable or pause.
    samples_left: usize,
    length: usize,
    is_voiced: bool,
    phase: f32,
}

impl Speaker {
    pub fn new(seed: u64) -> audiopus::Result<Self> {
        let mut encoder = Encoder::new(SampleRate::Hz48000, Channels::Mono, Application::Voip)?;
        encoder.set_bitrate(Bitrate::BitsPerSecond(BITRATE_BPS))?;
        encoder.set_signal(Signal::Voice)?;
        let mut random = SplitMix(seed);
        let pitch_hz = random.between(100.0, 240.0);
        Ok(Self { encoder, random, pitch_hz, samples_left: 0, length: 0, is_voiced: false, phase: 0.0 })
    }

    /// The next 20 ms as one Opus packet.
    pub fn packet(&mut self) -> audiopus::Result<Vec<u8>> {
        let pcm: Vec<i16> = (0..SAMPLES).map(|_| self.sample()).collect();
        let mut packet = vec![0; LARGEST_PACKET];
        let len = self.encoder.encode(&pcm, &mut packet)?;
        packet.truncate(len);
        Ok(packet)
    }

    pub fn packets(&mut self, count: usize) -> audiopus::Result<Vec<Vec<u8>>> {
        (0..count).map(|_| self.packet()).collect()
    }

    fn sample(&mut self) -> i16 {
        if self.samples_left == 0 {
            self.is_voiced = !self.is_voiced;
            let seconds = if self.is_voiced { self.random.between(0.10, 0.30) } else { self.random.between(0.02, 0.10) };
            self.length = (seconds * SAMPLE_RATE) as usize;
            self.samples_left = self.length;
            self.pitch_hz = (self.pitch_hz * self.random.between(0.9, 1.1)).clamp(90.0, 260.0);
        }
        self.samples_left -= 1;
        if !self.is_voiced {
            return 0;
        }
        self.phase = (self.phase + self.pitch_hz / SAMPLE_RATE).fract();
        // A vowel's worth of falling harmonics, faded in and out over the syllable.
        let tone: f32 = (1..=6).map(|harmonic| (TAU * self.phase * harmonic as f32).sin() / harmonic as f32).sum();
        let envelope = (TAU / 2.0 * self.samples_left as f32 / self.length as f32).sin().sqrt();
        (tone * envelope * 0.3 * f32::from(i16::MAX)) as i16
    }
}

/// A small generator whose numbers never change under us.
struct SplitMix(u64);

impl SplitMix {
    fn between(&mut self, low: f32, high: f32) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (high - low) * ((word ^ (word >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// What a listener can say of one speaker's stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    pub packets: usize,
    /// Sequence numbers between first and last that never came.
    pub lost: usize,
    /// Came twice, or after a later one.
    pub out_of_order: usize,
    /// Steps of the timestamp that do not fit the step of the sequence.
    pub time_jumps: usize,
    /// Did not decode as 20 ms of audio.
    pub undecodable: usize,
    /// Mean loudness of the frames that are not silent, in dB below full scale; negative infinity for silence.
    pub level_dbfs: f32,
    /// The longest run of silent or undecodable frames.
    pub longest_silence_ms: usize,
}

/// Decodes the packets of one speaker in order of arrival and judges them.
pub fn judge(packets: &[Heard]) -> audiopus::Result<Quality> {
    let mut decoder = Decoder::new(SampleRate::Hz48000, Channels::Mono)?;
    let mut quality = Quality {
        packets: packets.len(),
        lost: 0,
        out_of_order: 0,
        time_jumps: 0,
        undecodable: 0,
        level_dbfs: f32::NEG_INFINITY,
        longest_silence_ms: 0,
    };
    let (mut energy, mut loud_frames, mut silent_run) = (0.0f64, 0u32, 0usize);
    let mut seen = BTreeSet::new();
    let mut highest: Option<(i64, u32)> = None;
    for packet in packets {
        let index = highest
            .map_or(i64::from(packet.sequence), |(last, _)| last + i64::from(packet.sequence.wrapping_sub(last as u16) as i16));
        match highest {
            Some((last, _)) if index <= last => quality.out_of_order += 1,
            Some((last, time)) => {
                let step = ((index - last) as u32).wrapping_mul(FRAME_SAMPLES);
                quality.time_jumps += usize::from(packet.timestamp != time.wrapping_add(step));
                highest = Some((index, packet.timestamp));
            }
            None => highest = Some((index, packet.timestamp)),
        }
        seen.insert(index);
        let mut pcm = [0i16; LONGEST_PACKET_SAMPLES];
        let decoded = decoder.decode(Some(&packet.payload[..]), &mut pcm[..], false);
        let level = match decoded {
            Ok(SAMPLES) => level_dbfs(&pcm[..SAMPLES]),
            Ok(_) | Err(_) => {
                quality.undecodable += 1;
                f32::NEG_INFINITY
            }
        };
        if level > SILENCE_DBFS {
            energy += f64::from(10f32.powf(level / 10.0));
            loud_frames += 1;
            silent_run = 0;
        } else {
            silent_run += 1;
            quality.longest_silence_ms = quality.longest_silence_ms.max(silent_run * 20);
        }
    }
    if let (Some(first), Some(last)) = (seen.first(), seen.last()) {
        quality.lost = (last - first) as usize + 1 - seen.len();
    }
    if loud_frames > 0 {
        quality.level_dbfs = 10.0 * (energy / f64::from(loud_frames)).log10() as f32;
    }
    Ok(quality)
}

fn level_dbfs(pcm: &[i16]) -> f32 {
    let square: f32 = pcm.iter().map(|sample| (f32::from(*sample) / f32::from(i16::MAX)).powi(2)).sum();
    10.0 * (square / pcm.len() as f32).log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn arrive(packets: Vec<Vec<u8>>) -> Vec<Heard> {
        let heard = |(at, payload): (usize, Vec<u8>)| Heard {
            ssrc: 1,
            user: None,
            sequence: 65_500u16.wrapping_add(at as u16),
            timestamp: (u32::MAX - 5_000).wrapping_add(at as u32 * FRAME_SAMPLES),
            payload: payload.into(),
            at: Instant::now(),
        };
        packets.into_iter().enumerate().map(heard).collect()
    }

    #[test]
    fn a_speaker_is_heard_as_continuous_speech_across_both_wraparounds() {
        let packets = Speaker::new(7).expect("an encoder").packets(150).expect("encoding");
        assert!(packets.iter().all(|packet| packet.len() > 8 && packet.len() < 400));
        let quality = judge(&arrive(packets)).expect("a decoder");
        assert_eq!((quality.lost, quality.out_of_order, quality.time_jumps, quality.undecodable), (0, 0, 0, 0));
        assert!((-30.0..-5.0).contains(&quality.level_dbfs), "{quality:?}");
        assert!(quality.longest_silence_ms <= 120, "{quality:?}");
    }

    #[test]
    fn the_same_seed_says_the_same_words_and_another_seed_others() {
        let say = |seed| Speaker::new(seed).expect("an encoder").packets(50).expect("encoding");
        assert_eq!(say(1), say(1));
        assert_ne!(say(1), say(2));
    }

    #[test]
    fn loss_repetition_jumps_noise_and_silence_are_all_noticed() {
        let mut heard = arrive(Speaker::new(3).expect("an encoder").packets(60).expect("encoding"));
        heard.remove(30);
        heard.insert(41, heard[40].clone());
        for late in &mut heard[50..] {
            late.timestamp = late.timestamp.wrapping_add(7);
        }
        heard[5].payload = vec![0xff; 2].into();
        let quality = judge(&heard).expect("a decoder");
        assert_eq!((quality.lost, quality.out_of_order, quality.time_jumps, quality.undecodable), (1, 1, 1, 1));
        let silence = judge(&arrive(vec![crate::voice::SILENCE.to_vec(); 20])).expect("a decoder");
        assert_eq!((silence.level_dbfs, silence.longest_silence_ms), (f32::NEG_INFINITY, 400));
    }
}
