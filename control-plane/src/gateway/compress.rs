//! zlib-stream: one deflate context per connection, flushed after every message, so that each binary frame can be read on
//! arrival (it ends with 00 00 FF FF).

use flate2::{Compress, Compression, FlushCompress};

/// Below the default on purpose: the gain above is a few percent, the time several-fold.
const LEVEL: u32 = 3;
/// A grown output buffer keeps no more than this between messages.
const SPARE: usize = 4096;

/// Costs some 250 KB of memory, so only connections that ask for it have one.
pub struct ZlibStream {
    deflate: Compress,
}

impl ZlibStream {
    pub fn new() -> Self {
        Self { deflate: Compress::new(Compression::new(LEVEL), true) }
    }

    /// Compresses the parts as one message.
    pub fn message(&mut self, parts: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::with_capacity(SPARE.min(64 + parts.iter().map(|part| part.len()).sum::<usize>()));
        for (index, part) in parts.iter().enumerate() {
            let flush = if index + 1 == parts.len() { FlushCompress::Sync } else { FlushCompress::None };
            self.feed(part, flush, &mut out);
        }
        out
    }

    fn feed(&mut self, mut input: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
        loop {
            if out.len() == out.capacity() {
                out.reserve(out.capacity().max(64));
            }
            let before = self.deflate.total_in();
            self.deflate.compress_vec(input, out, flush).expect("deflating into memory has no other failure than misuse");
            input = &input[(self.deflate.total_in() - before) as usize..];
            // Room left over means that there was nothing more to write.
            if input.is_empty() && out.len() < out.capacity() {
                return;
            }
        }
    }
}
