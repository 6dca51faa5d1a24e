//! H.264 payloads (RFC 6184 §5) as far as forwarding reads them: where a key frame starts and how large its picture is.
//!
//! A decoder begins with a sequence parameter set, which browsers send before every key frame.

/// NAL unit types (RFC 6184 §5.2; ISO/IEC 14496-10 table 7-1).
const PARAMETERS: u8 = 7;
const AGGREGATE: u8 = 24;

/// Profiles whose parameter sets say more about their samples.
const HIGH_PROFILES: [u8; 9] = [100, 110, 122, 244, 44, 83, 86, 118, 128];

/// Whether a decoder that knows nothing can begin with this packet.
#[inline]
pub fn starts_key_frame(payload: &[u8]) -> bool {
    parameters(payload).is_some()
}

/// The size of the picture, from the parameter set in this packet.
pub fn size(payload: &[u8]) -> Option<(u16, u16)> {
    read_size(parameters(payload)?)
}

/// The sequence parameter set in a packet, without its type.
fn parameters(payload: &[u8]) -> Option<&[u8]> {
    let (first, mut rest) = payload.split_first()?;
    match first & 0x1F {
        PARAMETERS => Some(rest),
        AGGREGATE => {
            while let Some((len, units)) = rest.split_first_chunk::<2>() {
                let (unit, next) = units.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
                match unit.split_first() {
                    Some((first, unit)) if first & 0x1F == PARAMETERS => return Some(unit),
                    _ => rest = next,
                }
            }
            None
        }
        _ => None,
    }
}

/// ISO/IEC 14496-10 §7.3.2.1.1.
fn read_size(parameters: &[u8]) -> Option<(u16, u16)> {
    let (&[profile, _, _], rest) = parameters.split_first_chunk::<3>()?;
    let mut bits = Bits { bytes: rest, zeros: 0, byte: 0, left: 0 };
    bits.unsigned()?;
    let mut chroma = 1;
    if HIGH_PROFILES.contains(&profile) {
        chroma = bits.unsigned()?;
        if chroma == 3 {
            bits.bit()?;
        }
        bits.unsigned()?;
        bits.unsigned()?;
        bits.bit()?;
        // Scaling matrices: no browser sends them.
        if bits.bit()? == 1 {
            return None;
        }
    }
    bits.unsigned()?;
    match bits.unsigned()? {
        0 => {
            bits.unsigned()?;
        }
        1 => {
            bits.bit()?;
            bits.unsigned()?;
            bits.unsigned()?;
            for _ in 0..bits.unsigned()?.min(255) {
                bits.unsigned()?;
            }
        }
        _ => {}
    }
    bits.unsigned()?;
    bits.bit()?;
    let (width, height) = (16 * (bits.unsigned()?.min(0xFFF) + 1), 16 * (bits.unsigned()?.min(0xFFF) + 1));
    let is_by_frames = bits.bit()?;
    let height = height * (2 - is_by_frames);
    if is_by_frames == 0 {
        bits.bit()?;
    }
    bits.bit()?;
    let mut cut = [0; 4];
    if bits.bit()? == 1 {
        for side in &mut cut {
            *side = bits.unsigned()?.min(0xFFFF);
        }
    }
    let (across, down) = (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 });
    let width = width.checked_sub(across * (cut[0] + cut[1]))?;
    let height = height.checked_sub(down * (2 - is_by_frames) * (cut[2] + cut[3]))?;
    Some((u16::try_from(width).ok().filter(|&width| width > 0)?, u16::try_from(height).ok().filter(|&height| height > 0)?))
}

/// Reads bits and Exp-Golomb numbers (§9.1), skipping the bytes that keep start codes away (§7.4.1).
struct Bits<'a> {
    bytes: &'a [u8],
    zeros: u8,
    byte: u8,
    left: u8,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            let mut byte = self.take()?;
            if self.zeros >= 2 && byte == 3 {
                self.zeros = 0;
                byte = self.take()?;
            }
            self.zeros = if byte == 0 { self.zeros.saturating_add(1) } else { 0 };
            (self.byte, self.left) = (byte, 8);
        }
        self.left -= 1;
        Some(u32::from(self.byte >> self.left & 1))
    }

    fn take(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(byte)
    }

    fn unsigned(&mut self) -> Option<u32> {
        let mut len = 0;
        while self.bit()? == 0 {
            len += 1;
            if len > 31 {
                return None;
            }
        }
        let mut value = 1;
        for _ in 0..len {
            value = value << 1 | self.bit()?;
        }
        Some(value - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Constrained baseline, 1280x720, as x264 writes it.
    const HD: [u8; 22] =
        [0x67, 0x42, 0xC0, 0x1F, 0xDA, 0x01, 0x40, 0x16, 0xEC, 0x04, 0x40, 0, 0, 3, 0, 0x40, 0, 0, 0x0C, 0x83, 0xC6, 0x0C];

    #[test]
    fn a_parameter_set_starts_a_key_frame_and_tells_its_size() {
        assert!(starts_key_frame(&HD));
        assert_eq!(size(&HD), Some((1280, 720)));
        let mut aggregate = vec![0x78, 0, 2, 0x68, 0xCE, 0, HD.len() as u8];
        aggregate.extend(HD);
        assert_eq!(size(&aggregate), Some((1280, 720)), "behind another unit");
    }

    #[test]
    fn slices_and_fragments_start_nothing() {
        for payload in [&[0x65, 0x88][..], &[0x41, 0x9A], &[0x7C, 0x85, 0x88], &[0x78, 0, 2, 0x68, 0xCE], &[]] {
            assert!(!starts_key_frame(payload), "{payload:?}");
        }
    }

    #[test]
    fn a_parameter_set_that_is_cut_short_has_no_size() {
        for len in 1..9 {
            assert_eq!(size(&HD[..len]), None, "{len}");
        }
        assert_eq!(size(&[0x67, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None, "a number without end");
        assert_eq!(size(&[0x78, 0xFF, 0xFF, 0x67]), None, "a unit longer than the packet");
    }
}
