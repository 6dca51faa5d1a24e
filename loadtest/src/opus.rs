//! Real Opus: a seeded synthetic voice to send, and what can be measured of a stream that arrived.
//!
//! The encoder and decoder are libopus (audiopus over the system's library): the server never touches a payload, so a real
//! decoder at the end of the path says whether what came out is still speech.

use crate::random::SplitMix;
use crate::voice::Heard;
use crate::voice::native::FRAME_SAMPLES;
use audiopus::coder::{Decoder, Encoder};
use audiopus::{Application, Bitrate, Channels, SampleRate, Signal};
use std::collections::BTreeSet;
use std::f32::consts::TAU;

const SAMPLE_RATE: f32 = 48_000.0;
const SAMPLES: usize = FRAME_SAMPLES as usize;
/// Common for speech; gives packets of about 80 bytes.
const BITRATE_BPS: u32 = 32_000;
/// The largest Opus packet (RFC 6716 §3.4: 1275 bytes and a TOC byte).
const LARGEST_PACKET: usize = 1276;
/// A decoded frame below this is silence.
const SILENCE_DBFS: f32 = -50.0;
/// The decoder's room: 120 ms, the longest packet Opus knows.
const LONGEST_PACKET_SAMPLES: usize = 5760;

/// A synthetic speaker: syllables of a harmonic tone with short pauses between. The same seed says the same words.
pub struct Speaker {
    encoder: Encoder,
    /// Of one packet.
    frame_samples: usize,
    random: SplitMix,
    pitch_hz: f32,
    /// Of the present syllable or pause.
    samples_left: usize,
    length: usize,
    is_voiced: bool,
    phase: f32,
}

impl Speaker {
    /// 20 ms at a common rate.
    pub fn new(seed: u64) -> audiopus::Result<Self> {
        Self::with(seed, BITRATE_BPS, 20)
    }

    /// Packets of 20, 40 or 60 ms.
    pub fn with(seed: u64, bitrate_bps: u32, packet_ms: u32) -> audiopus::Result<Self> {
        let mut encoder = Encoder::new(SampleRate::Hz48000, Channels::Mono, Application::Voip)?;
        encoder.set_bitrate(Bitrate::BitsPerSecond(bitrate_bps as i32))?;
        encoder.set_signal(Signal::Voice)?;
        let mut random = SplitMix::new(seed);
        let pitch_hz = random.between(100.0, 240.0);
        let frame_samples = SAMPLES * packet_ms as usize / 20;
        Ok(Self { encoder, frame_samples, random, pitch_hz, samples_left: 0, length: 0, is_voiced: false, phase: 0.0 })
    }

    /// The next packet.
    pub fn packet(&mut self) -> audiopus::Result<Vec<u8>> {
        let pcm: Vec<i16> = (0..self.frame_samples).map(|_| self.sample()).collect();
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
    let mut judge = Judge::new(SAMPLES)?;
    for packet in packets {
        judge.hear(packet.sequence, packet.timestamp, &packet.payload);
    }
    Ok(judge.quality())
}

/// Judges one speaker's stream packet by packet.
pub struct Judge {
    decoder: Decoder,
    frame_samples: usize,
    quality: Quality,
    energy: f64,
    loud_frames: u32,
    silent_run: usize,
    seen: BTreeSet<i64>,
    highest: Option<(i64, u32)>,
}

impl Judge {
    /// Packets of `frame_samples` at 48 kHz.
    pub fn new(frame_samples: usize) -> audiopus::Result<Self> {
        let quality = Quality {
            packets: 0,
            lost: 0,
            out_of_order: 0,
            time_jumps: 0,
            undecodable: 0,
            level_dbfs: f32::NEG_INFINITY,
            longest_silence_ms: 0,
        };
        let decoder = Decoder::new(SampleRate::Hz48000, Channels::Mono)?;
        let (energy, loud_frames, silent_run, seen, highest) = (0.0, 0, 0, BTreeSet::new(), None);
        Ok(Self { decoder, frame_samples, quality, energy, loud_frames, silent_run, seen, highest })
    }

    pub fn hear(&mut self, sequence: u16, timestamp: u32, payload: &[u8]) {
        let quality = &mut self.quality;
        quality.packets += 1;
        let index =
            self.highest.map_or(i64::from(sequence), |(last, _)| last + i64::from(sequence.wrapping_sub(last as u16) as i16));
        match self.highest {
            Some((last, _)) if index <= last => quality.out_of_order += 1,
            Some((last, time)) => {
                let step = ((index - last) as u32).wrapping_mul(self.frame_samples as u32);
                quality.time_jumps += usize::from(timestamp != time.wrapping_add(step));
                self.highest = Some((index, timestamp));
            }
            None => self.highest = Some((index, timestamp)),
        }
        self.seen.insert(index);
        let mut pcm = [0i16; LONGEST_PACKET_SAMPLES];
        let level = match self.decoder.decode(Some(payload), &mut pcm[..], false) {
            Ok(samples) if samples == self.frame_samples => level_dbfs(&pcm[..samples]),
            Ok(_) | Err(_) => {
                quality.undecodable += 1;
                f32::NEG_INFINITY
            }
        };
        if level > SILENCE_DBFS {
            self.energy += f64::from(10f32.powf(level / 10.0));
            self.loud_frames += 1;
            self.silent_run = 0;
        } else {
            self.silent_run += 1;
            quality.longest_silence_ms = quality.longest_silence_ms.max(self.silent_run * self.frame_samples / 48);
        }
    }

    /// Of everything heard so far.
    pub fn quality(&self) -> Quality {
        let mut quality = self.quality;
        if let (Some(first), Some(last)) = (self.seen.first(), self.seen.last()) {
            quality.lost = (last - first) as usize + 1 - self.seen.len();
        }
        if self.loud_frames > 0 {
            quality.level_dbfs = 10.0 * (self.energy / f64::from(self.loud_frames)).log10() as f32;
        }
        quality
    }
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
