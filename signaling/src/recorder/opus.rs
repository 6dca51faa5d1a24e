//! How long a packet of Opus is (RFC 6716 §3.1), and packets of silence.

/// Samples of a millisecond: RTP and Ogg count Opus at 48 kHz whatever it is made of.
pub const PER_MS: u64 = 48;

/// The shortest frame, 2.5 ms, of which every packet is a multiple.
pub const QUANTUM: u64 = 120;

/// Silence of one frame, the longest first: the header of a CELT frame of the full band, mono, and what an encoder makes of
/// nothing. Every decoder knows the first; native clients send it when they pause.
const SILENCE: [(u64, [u8; 3]); 4] =
    [(960, [0xF8, 0xFF, 0xFE]), (480, [0xF0, 0xFF, 0xFE]), (240, [0xE8, 0xFF, 0xFE]), (QUANTUM, [0xE0, 0xFF, 0xFE])];

/// Samples in a packet; `None`: it is none.
pub fn samples(packet: &[u8]) -> Option<u64> {
    let (&first, rest) = packet.split_first()?;
    let frame = match first >> 3 {
        configuration @ 0..12 => [480, 960, 1920, 2880][usize::from(configuration % 4)],
        configuration @ 12..16 => [480, 960][usize::from(configuration % 2)],
        configuration => [120, 240, 480, 960][usize::from(configuration % 4)],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(rest.first()? & 0x3F),
    };
    // 120 ms are the most that one packet may be.
    Some(frame * frames).filter(|&samples| (1..=5_760).contains(&samples))
}

/// The longest silence of one packet that fits; `None`: there is no packet so short.
pub fn silence(samples: u64) -> Option<(u64, [u8; 3])> {
    SILENCE.into_iter().find(|(length, _)| *length <= samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packets_length_is_in_its_first_bytes() {
        for (packet, expected) in [
            (&[0x00, 1][..], Some(480)),
            (&[0x18, 1], Some(2880)),
            (&[0x19, 1, 1], Some(5760)),
            (&[0x60, 1], Some(480)),
            (&[0x68, 1], Some(960)),
            (&[0xF8, 0xFF, 0xFE], Some(960)),
            (&[0xFB, 6], Some(5760)),
            (&[0xFB, 7], None),
            (&[0xFB, 0x80], None),
            (&[0xFB], None),
            (&[0xFC, 1], Some(960)),
            (&[], None),
        ] {
            assert_eq!(samples(packet), expected, "{packet:?}");
        }
    }

    #[test]
    fn silence_is_as_long_as_its_packet_says() {
        for (length, packet) in SILENCE {
            assert_eq!((samples(&packet), silence(length + 1)), (Some(length), Some((length, packet))));
        }
        assert_eq!(silence(QUANTUM - 1), None);
    }
}
