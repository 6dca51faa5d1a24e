//! Transport compression: one stream per connection, flushed after every message, so that each binary frame can be read on
//! arrival. `zlib-stream` is one deflate context (every message ends with 00 00 FF FF), `zstd-stream` one endless zstd frame.

use flate2::{Compress, Compression, FlushCompress};
use zstd_safe::zstd_sys::{ZSTD_EndDirective, ZSTD_strategy};
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// Below the default on purpose: the gain above is a few percent, the time several-fold.
const ZLIB_LEVEL: u32 = 3;
/// A grown output buffer starts with no more than this.
const SPARE: usize = 4096;
/// What a zstd stream may look back on, as a power of two: 8 KiB, a dozen messages. Measured for one connection: 97 KB with
/// this, 153 KB with 16 KiB, 280 KB with 32 KiB, and the library's default of 512 KiB takes more than a megabyte.
const ZSTD_WINDOW_LOG: u32 = 13;
/// Places in the table of earlier matches, as a power of two.
const ZSTD_HASH_LOG: u32 = 12;

/// How a client wants its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Zlib,
    Zstd,
}

/// Costs some 250 KB (zlib) or 100 KB (zstd) of memory, so only connections that ask for it have one.
pub enum Stream {
    Zlib(Compress),
    Zstd(CCtx<'static>),
}

impl Stream {
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Zlib => Self::Zlib(Compress::new(Compression::new(ZLIB_LEVEL), true)),
            Codec::Zstd => Self::Zstd(zstd()),
        }
    }

    /// Compresses the parts as one message.
    pub fn message(&mut self, parts: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::with_capacity(SPARE.min(64 + parts.iter().map(|part| part.len()).sum::<usize>()));
        let last = parts.len().saturating_sub(1);
        for (index, part) in parts.iter().enumerate() {
            match self {
                Self::Zlib(deflate) => deflate_part(deflate, part, index == last, &mut out),
                Self::Zstd(context) => zstd_part(context, part, index == last, &mut out),
            }
        }
        out
    }

    #[cfg(test)]
    pub fn zstd_bytes(&self) -> Option<usize> {
        match self {
            Self::Zstd(context) => Some(context.sizeof()),
            Self::Zlib(_) => None,
        }
    }
}

fn zstd() -> CCtx<'static> {
    let mut context = CCtx::create();
    let parameters = [
        CParameter::CompressionLevel(1),
        CParameter::Strategy(ZSTD_strategy::ZSTD_fast),
        CParameter::WindowLog(ZSTD_WINDOW_LOG),
        CParameter::HashLog(ZSTD_HASH_LOG),
    ];
    for parameter in parameters {
        context.set_parameter(parameter).expect("these are in the library's ranges");
    }
    context
}

/// Makes room for at least one more byte, twice as much each time.
fn grow(out: &mut Vec<u8>) {
    if out.len() == out.capacity() {
        out.reserve(out.capacity().max(64));
    }
}

fn deflate_part(deflate: &mut Compress, mut input: &[u8], is_last: bool, out: &mut Vec<u8>) {
    let flush = if is_last { FlushCompress::Sync } else { FlushCompress::None };
    loop {
        grow(out);
        let before = deflate.total_in();
        deflate.compress_vec(input, out, flush).expect("deflating into memory has no other failure than misuse");
        input = &input[(deflate.total_in() - before) as usize..];
        // Room left over means that there was nothing more to write.
        if input.is_empty() && out.len() < out.capacity() {
            return;
        }
    }
}

fn zstd_part(context: &mut CCtx, input: &[u8], is_last: bool, out: &mut Vec<u8>) {
    let directive = if is_last { ZSTD_EndDirective::ZSTD_e_flush } else { ZSTD_EndDirective::ZSTD_e_continue };
    let mut input = InBuffer::around(input);
    loop {
        grow(out);
        let filled = out.len();
        let mut room = OutBuffer::around_pos(out, filled);
        let waiting = context.compress_stream2(&mut room, &mut input, directive).expect("compressing into memory does not fail");
        // `waiting` is what a flush has not written yet; without a flush the library may keep what it likes.
        if input.pos() == input.src.len() && (!is_last || waiting == 0) {
            return;
        }
    }
}
