//! What a datagram is, by its length and first bytes (RFC 7983, RFC 5761, and the native transport's own messages).
//!
//! Nothing is believed here and nothing is decrypted; the answer only says who is to look at the bytes.

/// A native message of 74 bytes: type, length, SSRC, 64 bytes of address, port.
pub const DISCOVERY_LEN: usize = 74;

/// The first four bytes of an IP discovery request: type 1, length 70.
const DISCOVERY_REQUEST: [u8; 4] = [0, 1, 0, 70];

/// The first four bytes of its answer: type 2, length 70.
const DISCOVERY_RESPONSE: [u8; 4] = [0, 2, 0, 70];

/// A native client's ping and our answer; a sequence number follows.
const PING: [u8; 4] = 0x1337_CAFEu32.to_be_bytes();
const PONG: [u8; 4] = 0x1337_F00Du32.to_be_bytes();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    /// IP discovery for this SSRC.
    Discovery {
        ssrc: u32,
    },
    /// An eight-byte message that wants an answer of eight bytes.
    Echo([u8; 8]),
    /// A message that only keeps a NAT binding open (songbird: its SSRC alone).
    KeepAlive,
    Noise,
}

/// Sorts a datagram.
#[inline]
pub fn classify(datagram: &[u8]) -> Kind {
    match (datagram.len(), datagram.first()) {
        (4, _) => Kind::KeepAlive,
        (8, _) => {
            let mut answer: [u8; 8] = *datagram.first_chunk().expect("eight bytes");
            if answer[..4] == PING {
                answer[..4].copy_from_slice(&PONG);
            }
            // Anything else of eight bytes is a counter that discord.js wants back.
            Kind::Echo(answer)
        }
        (DISCOVERY_LEN, Some(0)) if datagram[..4] == DISCOVERY_REQUEST => {
            Kind::Discovery { ssrc: u32::from_be_bytes([datagram[4], datagram[5], datagram[6], datagram[7]]) }
        }
        (20.., Some(0..=3)) => Kind::Stun,
        (13.., Some(20..=63)) => Kind::Dtls,
        (12.., Some(128..=191)) => {
            if (192..=223).contains(&datagram[1]) {
                Kind::Rtcp
            } else {
                Kind::Rtp
            }
        }
        _ => Kind::Noise,
    }
}

/// Writes the answer to IP discovery: the address we see, as NUL-terminated text, and the port.
pub fn write_discovery_response(out: &mut [u8], ssrc: u32, seen: std::net::SocketAddr) -> usize {
    use std::io::Write;
    let out = &mut out[..DISCOVERY_LEN];
    out.fill(0);
    out[..4].copy_from_slice(&DISCOVERY_RESPONSE);
    out[4..8].copy_from_slice(&ssrc.to_be_bytes());
    // The longest IPv6 address has 39 characters, so a NUL always follows.
    write!(&mut out[8..72], "{}", seen.ip()).expect("an address has at most 39 characters");
    out[72..].copy_from_slice(&seen.port().to_be_bytes());
    DISCOVERY_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_sorted_by_length_and_first_bytes() {
        let filled = |len: usize, start: &[u8]| {
            let mut datagram = vec![0; len];
            datagram[..start.len()].copy_from_slice(start);
            datagram
        };
        let table = [
            (vec![], Kind::Noise),
            (filled(1, &[0x80]), Kind::Noise),
            (filled(4, &[1, 2, 3, 4]), Kind::KeepAlive),
            // The counter of discord.js begins with every byte there is, also those of STUN and RTP.
            (filled(8, &[0, 0]), Kind::Echo([0; 8])),
            (filled(8, &[0x80, 1]), Kind::Echo([0x80, 1, 0, 0, 0, 0, 0, 0])),
            (filled(8, &[0x13, 0x37, 0xCA, 0xFE, 0, 0, 0, 9]), Kind::Echo([0x13, 0x37, 0xF0, 0x0D, 0, 0, 0, 9])),
            (filled(74, &[0, 1, 0, 70, 0, 0, 1, 2]), Kind::Discovery { ssrc: 0x102 }),
            (filled(74, &[0, 2, 0, 70]), Kind::Stun), // fails as STUN later: 70 is no multiple of four
            (filled(20, &[0, 1]), Kind::Stun),
            (filled(19, &[0, 1]), Kind::Noise),
            (filled(13, &[22, 254, 253]), Kind::Dtls),
            (filled(12, &[0x80, 120]), Kind::Rtp),
            (filled(12, &[0x90, 0x80 | 111]), Kind::Rtp),
            (filled(12, &[0x81, 200]), Kind::Rtcp),
            (filled(28, &[0x80, 206]), Kind::Rtcp),
            (filled(11, &[0x80, 120]), Kind::Noise),
            (filled(100, &[0xFF; 10]), Kind::Noise),
            (filled(100, &[64]), Kind::Noise),
        ];
        for (datagram, expected) in table {
            assert_eq!(classify(&datagram), expected, "{} bytes, {:x?}", datagram.len(), datagram.get(..4));
        }
    }

    #[test]
    fn discovery_answers_with_text_nul_and_port() {
        let mut out = [0xFF; 80];
        let len = write_discovery_response(&mut out, 7, "[2001:db8::1]:4660".parse().expect("an address"));
        assert_eq!((len, &out[..8]), (74, &[0, 2, 0, 70, 0, 0, 0, 7][..]));
        assert_eq!(&out[8..21], b"2001:db8::1\0\0");
        assert_eq!(out[72..74], [0x12, 0x34]);
    }
}
