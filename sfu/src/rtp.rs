//! RTP headers (RFC 3550 §5.1) and header extensions (RFC 8285): read from a datagram, written in front of a copy.

/// The payload type of Opus on the native transport.
pub const NATIVE_OPUS: u8 = 120;

/// The fixed part of a header.
pub const FIXED_LEN: usize = 12;

/// The longest header written: the fixed part and an extension block with one audio level or transport-wide number.
pub const MAX_WRITTEN: usize = FIXED_LEN + 8;

/// What a header with a dependency descriptor has beside that, at most: the fixed part, the block's head, a transport-wide
/// number, the descriptor's own head and what fills a word.
pub const MAX_DESCRIBED: usize = FIXED_LEN + 4 + 4 + 2 + 3;

/// The bit of a header's first byte that says that the payload ends in padding, whose length is its last byte.
pub const PADDED: u8 = 0x20;

/// Profile of the one-byte form of header extensions.
const ONE_BYTE: u16 = 0xBEDE;

/// Profile of the two-byte form; the low four bits are free for the application.
const TWO_BYTE: u16 = 0x1000;

/// A parsed header. Lengths were checked against the datagram up to the fixed part, the CSRC list and the extension's
/// four-byte preamble; the extension's body may be encrypted and reach anywhere until decryption says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub has_padding: bool,
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Fixed part and CSRC list.
    pub base_len: usize,
    /// Profile and length in bytes of the extension's body.
    pub extension: Option<(u16, usize)>,
}

impl Header {
    /// Reads the header of an RTP packet; `None` when the datagram is too short for what it announces.
    #[inline]
    pub fn parse(datagram: &[u8]) -> Option<Header> {
        let fixed: &[u8; FIXED_LEN] = datagram.first_chunk()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let base_len = FIXED_LEN + 4 * usize::from(fixed[0] & 0x0F);
        let extension = if fixed[0] & 0x10 != 0 {
            let preamble: &[u8; 4] = datagram.get(base_len..)?.first_chunk()?;
            let profile = u16::from_be_bytes([preamble[0], preamble[1]]);
            Some((profile, 4 * usize::from(u16::from_be_bytes([preamble[2], preamble[3]]))))
        } else {
            None
        };
        if datagram.len() < base_len {
            return None;
        }
        Some(Header {
            has_padding: fixed[0] & PADDED != 0,
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            base_len,
            extension,
        })
    }

    /// The header up to and including the extension's preamble.
    #[inline]
    pub fn preamble_len(&self) -> usize {
        self.base_len + if self.extension.is_some() { 4 } else { 0 }
    }

    /// The whole header with the extension's body.
    #[inline]
    pub fn full_len(&self) -> usize {
        self.preamble_len() + self.extension_len()
    }

    #[inline]
    pub fn extension_len(&self) -> usize {
        self.extension.map_or(0, |(_, len)| len)
    }
}

/// The element `id` in an extension body of the given profile.
pub fn find_extension(profile: u16, mut body: &[u8], id: u8) -> Option<&[u8]> {
    while let [first, rest @ ..] = body {
        if *first == 0 {
            body = rest;
            continue;
        }
        let (element, len, data) = if profile == ONE_BYTE {
            // Id 15 ends the block (RFC 8285 §4.2).
            if first >> 4 == 15 {
                return None;
            }
            (first >> 4, usize::from(first & 0x0F) + 1, rest)
        } else if profile & 0xFFF0 == TWO_BYTE {
            let [len, data @ ..] = rest else { return None };
            (*first, usize::from(*len), data)
        } else {
            return None;
        };
        let value = data.get(..len)?;
        if element == id {
            return Some(value);
        }
        body = &data[len..];
    }
    None
}

/// What stands in front of one listener's copy.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Extension id and value of the audio level, when the listener negotiated one and the speaker sent one.
    pub audio_level: Option<(u8, u8)>,
    /// Extension id and value of the transport-wide number, which video has where it was negotiated. Not with an audio level.
    pub transport: Option<(u8, u16)>,
}

impl Outgoing {
    /// Writes the header and returns its length, at most [`MAX_WRITTEN`].
    #[inline]
    pub fn write(&self, out: &mut [u8]) -> usize {
        out[0] = 0x80;
        out[1] = u8::from(self.marker) << 7 | self.payload_type;
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        // One word: the element's head (its length minus one in the low half), its bytes, padding.
        let [first, second, third] = match (self.audio_level, self.transport) {
            (Some((id, level)), _) => [id << 4, level, 0],
            (None, Some((id, number))) => [id << 4 | 1, (number >> 8) as u8, number as u8],
            (None, None) => return FIXED_LEN,
        };
        out[0] = 0x90;
        let [profile_high, profile_low] = ONE_BYTE.to_be_bytes();
        out[12..20].copy_from_slice(&[profile_high, profile_low, 0, 1, first, second, third, 0]);
        MAX_WRITTEN
    }

    /// Writes the header with a dependency descriptor (extension id and at most 255 bytes) beside the transport-wide number,
    /// and returns its length: at most [`MAX_DESCRIBED`] more than the descriptor's.
    pub fn write_described(&self, out: &mut [u8], (id, descriptor): (u8, &[u8])) -> usize {
        self.write(out);
        out[0] = 0x90;
        // Longer elements than 16 bytes need the two-byte form (RFC 8285 §4.3).
        let is_long = descriptor.len() > 16;
        let number = self.transport.map(|(id, number)| (id, number.to_be_bytes()));
        let mut at = FIXED_LEN + 4;
        for (id, value) in number.iter().map(|(id, number)| (*id, &number[..])).chain([(id, descriptor)]) {
            let len = value.len() as u8;
            let head = if is_long { [id, len] } else { [id << 4 | len.wrapping_sub(1) & 0x0F, 0] };
            let head = &head[..1 + usize::from(is_long)];
            out[at..at + head.len()].copy_from_slice(head);
            at += head.len();
            out[at..at + value.len()].copy_from_slice(value);
            at += value.len();
        }
        let end = at.next_multiple_of(4);
        out[at..end].fill(0);
        let [profile_high, profile_low] = if is_long { TWO_BYTE } else { ONE_BYTE }.to_be_bytes();
        out[12..16].copy_from_slice(&[profile_high, profile_low, 0, ((end - FIXED_LEN - 4) / 4) as u8]);
        end
    }
}

#[cfg(test)]
mod tests;
