//! Video as the engine forwards it: what it reads of payloads, and the pure machines around a stream. No I/O, no clock.
//!
//! | machine | what it does |
//! |---|---|
//! | [`vp8`], [`h264`] | find key frames and sizes; patch the numbers that VP8 counts its pictures with |
//! | [`history`] | the last packets of one layer, shared by everyone who is sent it |
//! | [`rewrite`] | one continuous stream out of many layers and sources |
//! | [`gaps`] | what a publisher's stream misses, and when to ask for it |

pub mod gaps;
pub mod h264;
pub mod history;
pub mod rewrite;
pub mod vp8;

/// The RTP clock of every video codec (RFC 7741 §4.1, RFC 6184 §8.2.1).
pub const CLOCK_HZ: u32 = 90_000;

/// Encodings of one picture that a track may have.
pub const MAX_LAYERS: usize = 3;

/// What is forwarded. Both code inter-frame, so a listener can begin at a key frame only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Vp8,
    H264,
}

impl Codec {
    pub const ALL: [Codec; 2] = [Codec::Vp8, Codec::H264];
}

pub use guildhall_protocol::voice_gateway::VideoSource as Source;

/// The name of an encoding (RFC 8851): letters and digits, `-` and `_`. Longer ones than fit are refused with their offer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rid {
    text: [u8; 16],
    len: u8,
}

impl Rid {
    /// Of the bytes of a header extension or an attribute; `None` when no rid looks like this.
    pub fn new(text: &[u8]) -> Option<Rid> {
        let is_rid = !text.is_empty()
            && text.len() <= 16
            && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        is_rid.then(|| {
            let mut rid = Rid { text: [0; 16], len: text.len() as u8 };
            rid.text[..text.len()].copy_from_slice(text);
            rid
        })
    }

    /// Empty for the only encoding of a track without simulcast.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl std::fmt::Debug for Rid {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Rid({})", self.as_str())
    }
}

/// What forwarding needs to know of a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// A decoder that knows nothing can begin with this packet.
    pub starts_key_frame: bool,
    /// Width and height, where a key frame says them.
    pub size: Option<(u16, u16)>,
    /// The numbers of VP8.
    pub picture: vp8::Picture,
}

/// Reads a payload as far as forwarding needs it; one that is no such payload is forwarded all the same.
#[inline]
pub fn look(codec: Codec, payload: &[u8]) -> Look {
    match codec {
        Codec::Vp8 => vp8::look(payload).unwrap_or_default(),
        Codec::H264 => Look { starts_key_frame: h264::starts_key_frame(payload), size: h264::size(payload), ..Look::default() },
    }
}
