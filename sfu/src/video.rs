//! Video as the engine forwards it: what it reads of payloads, and the pure machines around a stream. No I/O, no clock.
//!
//! | machine | what it does |
//! |---|---|
//! | [`vp8`], [`h264`] | find key frames and sizes; patch the numbers that VP8 counts its pictures with |
//! | [`vp9`], [`dependency`] | find which layer of which picture a packet of a layered stream is of |
//! | [`thinner`] | what of a layered stream one listener is sent |
//! | [`history`] | the last packets of one layer, shared by everyone who is sent it |
//! | [`rewrite`] | one continuous stream out of many layers and sources |
//! | [`gaps`] | what a publisher's stream misses, and when to ask for it |

pub mod dependency;
pub mod gaps;
pub mod h264;
pub mod history;
pub mod layered;
pub mod rewrite;
pub mod thinner;
pub mod vp8;
pub mod vp9;

/// The RTP clock of every video codec (RFC 7741 §4.1, RFC 6184 §8.2.1).
pub const CLOCK_HZ: u32 = 90_000;

/// Encodings of one picture that a track may have.
pub const MAX_LAYERS: usize = 3;

/// What is forwarded. All code inter-frame, so a listener can begin at a key frame only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Vp8,
    H264,
    Vp9,
    Av1,
}

impl Codec {
    pub const ALL: [Codec; 4] = [Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1];

    /// Whether one stream may hold several layers.
    pub const fn is_layered(self) -> bool {
        matches!(self, Codec::Vp9 | Codec::Av1)
    }

    /// As SDP writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Vp8 => "VP8",
            Codec::H264 => "H264",
            Codec::Vp9 => "VP9",
            Codec::Av1 => "AV1",
        }
    }
}

/// Some of them, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codecs(u8);

impl Codecs {
    pub const ALL: Codecs = Codecs((1 << Codec::ALL.len()) - 1);

    pub const fn has(self, codec: Codec) -> bool {
        self.0 >> codec as u8 & 1 == 1
    }

    /// Those that are in both.
    pub const fn and(self, other: Codecs) -> Codecs {
        Codecs(self.0 & other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Codec> {
        Codec::ALL.into_iter().filter(move |codec| self.has(*codec))
    }
}

impl FromIterator<Codec> for Codecs {
    fn from_iter<I: IntoIterator<Item = Codec>>(codecs: I) -> Codecs {
        Codecs(codecs.into_iter().fold(0, |bits, codec| bits | 1 << codec as u8))
    }
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
    /// The numbers of VP8 and VP9.
    pub picture: vp8::Picture,
}

/// Reads a payload as far as forwarding needs it; one that is no such payload is forwarded all the same. What a layered codec's
/// packet is a part of is not in it: see [`layered::Part`].
#[inline]
pub fn look(codec: Codec, payload: &[u8]) -> Look {
    match codec {
        Codec::Vp8 => vp8::look(payload).unwrap_or_default(),
        Codec::H264 => Look { starts_key_frame: h264::starts_key_frame(payload), size: h264::size(payload), ..Look::default() },
        Codec::Vp9 => Look { picture: vp9::Descriptor::read(payload).unwrap_or_default().picture, ..Look::default() },
        Codec::Av1 => Look::default(),
    }
}
