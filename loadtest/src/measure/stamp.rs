//! How a packet is known again on the other side, although nothing on the way may touch it and everything around it is
//! rewritten: an Opus packet may end in padding whose bytes a decoder must ignore (RFC 6716 §3.2.5), and there the stamp
//! lies. The audio stays real audio, and a forwarder that passes Opus through bit for bit passes the stamp.

/// Bytes of a stamp.
pub const LEN: usize = 36;
const MAGIC: [u8; 4] = *b"GHst";
/// The padding bit of a code 3 packet's frame count byte.
const PADDED: u8 = 0x40;

/// Who sent what when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Random per run, so that nobody counts a stranger's load.
    pub run: u32,
    /// Index of the person.
    pub speaker: u32,
    pub room: u32,
    /// Counts what this speaker really put on the wire; what the emulated network swallowed, or a mute forbade, has no number.
    pub sequence: u32,
    pub spurt: u16,
    /// Packets since the spurt's begin, swallowed ones included.
    pub position: u16,
    pub kind: Kind,
    /// When it went on the wire, in nanoseconds since 1970.
    pub sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Speech = 0,
    /// Sent in a pause, as DTX does.
    Comfort = 1,
    /// Sent while the server had said that this speaker is muted: nobody may hear it.
    Muted = 2,
}

impl Stamp {
    /// `opus` with this stamp in its padding, into `out`. `false`: the packet has padding already, or is none.
    pub fn write(&self, opus: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let [toc, body @ ..] = opus else { return false };
        // Code 0 has one frame, 1 two of one size, 2 two with the first one's length before them: as in code 3.
        let (count, body) = match toc & 3 {
            0 => (1, body),
            1 => (2, body),
            2 => (0x80 | 2, body),
            _ => match body {
                [count, body @ ..] if count & PADDED == 0 => (*count, body),
                _ => return false,
            },
        };
        out.extend_from_slice(&[toc | 3, count | PADDED, LEN as u8]);
        out.extend_from_slice(body);
        out.extend_from_slice(&self.bytes());
        true
    }

    /// The stamp at the end of a packet, if there is an undamaged one.
    pub fn read(opus: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = opus.last_chunk()?;
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let kind = match bytes[24] {
            0 => Kind::Speech,
            1 => Kind::Comfort,
            2 => Kind::Muted,
            _ => return None,
        };
        let stamp = Self {
            run: word(4),
            speaker: word(8),
            room: word(12),
            sequence: word(16),
            spurt: u16::from_be_bytes([bytes[20], bytes[21]]),
            position: u16::from_be_bytes([bytes[22], bytes[23]]),
            kind,
            sent: u64::from(word(28)) << 32 | u64::from(word(32)),
        };
        (stamp.bytes() == *bytes).then_some(stamp)
    }

    fn bytes(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.run.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.speaker.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.room.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[20..22].copy_from_slice(&self.spurt.to_be_bytes());
        bytes[22..24].copy_from_slice(&self.position.to_be_bytes());
        bytes[24] = self.kind as u8;
        bytes[28..].copy_from_slice(&self.sent.to_be_bytes());
        // FNV-1a over the rest: a damaged stamp must not be believed.
        let sum = bytes.iter().fold(0x811c_9dc5u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        bytes[25..28].copy_from_slice(&sum.to_be_bytes()[1..]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opus::Speaker;
    use audiopus::coder::Decoder;
    use audiopus::{Channels, SampleRate};

    const STAMP: Stamp =
        Stamp { run: 1, speaker: 70_000, room: 3, sequence: u32::MAX, spurt: 4, position: 5, kind: Kind::Muted, sent: 1 << 60 };

    #[test]
    fn a_stamped_packet_is_the_same_audio_and_says_who_sent_it_when() {
        let mut plain = Decoder::new(SampleRate::Hz48000, Channels::Mono).expect("a decoder");
        let mut stamped = Decoder::new(SampleRate::Hz48000, Channels::Mono).expect("a decoder");
        for packet_ms in [20, 40, 60] {
            let mut speaker = Speaker::with(3, 32_000, packet_ms).expect("an encoder");
            let mut out = Vec::new();
            for opus in speaker.packets(50).expect("encoding") {
                assert!(STAMP.write(&opus, &mut out));
                assert_eq!(Stamp::read(&out), Some(STAMP));
                let (mut expected, mut heard) = ([0i16; 5760], [0i16; 5760]);
                let expected_len = plain.decode(Some(&opus[..]), &mut expected[..], false).expect("audio");
                let len = stamped.decode(Some(&out[..]), &mut heard[..], false).expect("a legal packet");
                assert_eq!((len, &heard[..len]), (expected_len, &expected[..expected_len]), "{packet_ms} ms");
            }
        }
    }

    #[test]
    fn damage_and_foreign_packets_are_noticed() {
        let mut out = Vec::new();
        assert!(STAMP.write(&[0x78, 1, 2, 3], &mut out));
        assert!(!STAMP.write(&out.clone(), &mut Vec::new()), "a padded packet is not padded again");
        for at in out.len() - LEN..out.len() {
            let mut damaged = out.clone();
            damaged[at] ^= 1;
            assert_eq!(Stamp::read(&damaged), None, "byte {at}");
        }
        assert_eq!((Stamp::read(&crate::voice::SILENCE), Stamp::read(&[0; 100])), (None, None));
        assert!(!STAMP.write(&[], &mut out));
    }
}
