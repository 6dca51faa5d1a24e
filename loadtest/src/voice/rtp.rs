//! The parts of an RTP packet that a voice client reads and writes (RFC 3550 §5.1, RFC 8285 §4.2).

/// The payload type of Opus towards native clients.
pub const OPUS: u8 = 120;
const VERSION: u8 = 2;
const FIXED: usize = 12;
/// One-byte header extensions announce themselves with this profile.
pub const ONE_BYTE_EXTENSIONS: u16 = 0xbede;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub payload_type: u8,
    pub is_marked: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// 32-bit words of the header extension's body, `None` without an extension.
    pub extension_words: Option<u16>,
    /// Bytes that stay in the clear under the rtpsize modes: fixed header, CSRCs and the extension's preamble.
    pub clear_len: usize,
}

impl Header {
    /// A header without extension, as bots send it.
    pub fn opus(sequence: u16, timestamp: u32, ssrc: u32) -> Self {
        let (payload_type, is_marked, extension_words) = (OPUS, false, None);
        Self { payload_type, is_marked, sequence, timestamp, ssrc, extension_words, clear_len: FIXED }
    }

    /// `None`: not RTP, or cut off within the header.
    pub fn read(packet: &[u8]) -> Option<Self> {
        if packet.len() < FIXED || packet[0] >> 6 != VERSION || is_rtcp(packet) {
            return None;
        }
        let mut clear_len = FIXED + 4 * usize::from(packet[0] & 0x0f);
        let mut extension_words = None;
        if packet[0] & 0x10 != 0 {
            let preamble = packet.get(clear_len..clear_len + 4)?;
            extension_words = Some(u16::from_be_bytes([preamble[2], preamble[3]]));
            clear_len += 4;
        }
        (packet.len() >= clear_len).then_some(Self {
            payload_type: packet[1] & 0x7f,
            is_marked: packet[1] & 0x80 != 0,
            sequence: u16::from_be_bytes([packet[2], packet[3]]),
            timestamp: u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]),
            ssrc: u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]),
            extension_words,
            clear_len,
        })
    }

    /// The clear part; with an extension, its preamble (the body belongs to the encrypted part).
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED + 4);
        self.write_into(&mut out);
        out
    }

    /// Appended to `out`.
    pub fn write_into(&self, out: &mut Vec<u8>) {
        out.push(VERSION << 6 | if self.extension_words.is_some() { 0x10 } else { 0 });
        out.push(self.payload_type | if self.is_marked { 0x80 } else { 0 });
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        if let Some(words) = self.extension_words {
            out.extend_from_slice(&ONE_BYTE_EXTENSIONS.to_be_bytes());
            out.extend_from_slice(&words.to_be_bytes());
        }
    }

    /// Bytes of the extension body at the start of what was encrypted.
    pub fn extension_len(&self) -> usize {
        4 * usize::from(self.extension_words.unwrap_or(0))
    }
}

/// RFC 5761 §4: packet types 192-223 are RTCP.
pub fn is_rtcp(packet: &[u8]) -> bool {
    packet.len() >= 8 && packet[0] >> 6 == VERSION && (192..224).contains(&packet[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_with_and_without_an_extension() {
        for extension_words in [None, Some(0), Some(2)] {
            let clear_len = if extension_words.is_some() { 16 } else { 12 };
            let header = Header { extension_words, clear_len, is_marked: true, ..Header::opus(65_535, 1 << 31, 0xdead_beef) };
            assert_eq!(Header::read(&[header.write(), vec![0; 40]].concat()), Some(header));
        }
    }

    #[test]
    fn the_first_bytes_of_a_bots_packet_are_80_78() {
        assert_eq!(Header::opus(1, 960, 7).write(), [0x80, 0x78, 0, 1, 0, 0, 0x03, 0xc0, 0, 0, 0, 7]);
    }

    #[test]
    fn csrcs_stay_in_the_clear_and_cut_headers_are_no_headers() {
        let mut packet = vec![0x92, 0x78, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 1, 1, 1, 2, 2, 2, 2, 0xbe, 0xde, 0, 1];
        assert_eq!(Header::read(&packet).map(|header| (header.clear_len, header.extension_len())), Some((24, 4)));
        packet.truncate(23);
        assert_eq!(Header::read(&packet), None);
        assert_eq!(Header::read(&[0x80, 201, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]), None, "a receiver report");
    }
}
