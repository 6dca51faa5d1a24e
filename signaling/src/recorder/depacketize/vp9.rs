//! Pictures of VP9 (RFC 9628) as WebM holds them: the frames of all layers of a picture are one superframe (VP9 bitstream
//! specification, annex B), of which a player shows the largest.
//!
//! Every layer of a call is a frame that is to be shown, because it may be the largest that somebody is sent. Some decoders (ffmpeg's)
//! show each of them, so all but the largest are marked as hidden. In a frame that is no key frame that mark makes its header a bit
//! longer (§6.2), and where the header ends is only known to who read all of it.

use super::bits::Bits;
use super::{Head, Picture};
use guildhall_sfu::video::vp9::Descriptor;

/// Frames that a superframe can have.
const MAX_FRAMES: usize = 8;

/// §7.2.
const SYNC: u32 = 0x49_83_42;
const RGB: u32 = 7;

/// Bits of a segment's features, and whether a sign follows (§6.2.11).
const FEATURES: [(usize, bool); 4] = [(8, true), (6, true), (2, false), (0, false)];

type Size = (u16, u16);

/// What frames refer to.
#[derive(Clone, Default)]
pub struct References([Option<Size>; 8]);

/// The head of a frame, as far as hiding it needs.
struct Frame {
    is_key: bool,
    is_shown: bool,
    size: Size,
    /// In bits: where it says that it is shown, and how long the head is.
    shown_at: usize,
    len: usize,
}

pub fn begins(payload: &[u8]) -> bool {
    Descriptor::read(payload).is_some_and(|descriptor| descriptor.starts_key_picture())
}

impl References {
    pub fn picture<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Option<Picture> {
        let mut frames: Vec<Vec<u8>> = Vec::new();
        let mut is_open = false;
        for payload in payloads {
            let descriptor = Descriptor::read(payload)?;
            if descriptor.starts == is_open {
                return None;
            }
            if descriptor.starts {
                frames.push(Vec::new());
            }
            frames.last_mut()?.extend(payload.get(descriptor.len..)?);
            is_open = !descriptor.ends;
        }
        if is_open || frames.len() > MAX_FRAMES {
            return None;
        }
        let (mut is_key, mut size) = (false, None);
        let last = frames.len().checked_sub(1)?;
        for (number, bytes) in frames.iter_mut().enumerate() {
            let Some(frame) = self.read(bytes)? else { continue };
            is_key |= frame.is_key && number == 0;
            size = Some(frame.size);
            if number < last && frame.is_shown {
                *bytes = hidden(bytes, &frame);
            }
        }
        let head = size.filter(|_| is_key).map(|size| Head { size, private: Vec::new() });
        Some(Picture { is_key, head, bytes: superframe(&frames)? })
    }

    /// Reads the uncompressed header of a frame (§6.2), and remembers what it changes. `Some(None)`: one that shows another again.
    fn read(&mut self, bytes: &[u8]) -> Option<Option<Frame>> {
        let mut bits = Bits::of(bytes);
        let mark = bits.take(2)?;
        let profile = bits.take(1)? | bits.take(1)? << 1;
        // The third has a bit more, and no browser sends it.
        if mark != 2 || profile > 2 {
            return None;
        }
        if bits.flag()? {
            return Some(None);
        }
        let is_key = !bits.flag()?;
        let shown_at = bits.at();
        let (is_shown, is_resilient) = (bits.flag()?, bits.flag()?);
        let (size, refreshes);
        if is_key {
            self.0 = Default::default();
            (bits.take(24)? == SYNC).then_some(())?;
            colors(&mut bits, profile)?;
            size = own_size(&mut bits)?;
            refreshes = 0xFF;
        } else {
            let is_intra = !is_shown && bits.flag()?;
            bits.skip(if is_resilient { 0 } else { 2 })?;
            if is_intra {
                (bits.take(24)? == SYNC).then_some(())?;
                if profile > 0 {
                    colors(&mut bits, profile)?;
                }
                refreshes = bits.take(8)? as u8;
                size = own_size(&mut bits)?;
            } else {
                refreshes = bits.take(8)? as u8;
                size = self.size_by_reference(&mut bits)?;
                bits.skip(1)?;
                if !bits.flag()? {
                    bits.skip(2)?;
                }
            }
        }
        bits.skip(if is_resilient { 2 } else { 4 })?;
        loop_filter(&mut bits)?;
        bits.skip(8)?;
        (0..3).try_for_each(|_| if bits.flag()? { bits.skip(5) } else { Some(()) })?;
        segmentation(&mut bits)?;
        tiles(&mut bits, size.0)?;
        // How long the compressed header is.
        bits.skip(16)?;
        let taken = self.0.iter_mut().enumerate().filter(|(number, _)| refreshes >> number & 1 == 1);
        taken.for_each(|(_, place)| *place = Some(size));
        Some(Some(Frame { is_key, is_shown, size, shown_at, len: bits.at() }))
    }

    fn size_by_reference(&self, bits: &mut Bits) -> Option<Size> {
        let mut of = [None; 3];
        for place in &mut of {
            *place = self.0[bits.take(3)? as usize];
            bits.skip(1)?;
        }
        for size in of {
            if bits.flag()? {
                render_size(bits)?;
                return size;
            }
        }
        own_size(bits)
    }
}

fn colors(bits: &mut Bits, profile: u32) -> Option<()> {
    bits.skip(usize::from(profile == 2))?;
    let is_rgb = bits.take(3)? == RGB;
    match (is_rgb, profile) {
        (false, 1) => bits.skip(4),
        (false, _) => bits.skip(1),
        (true, 1) => bits.skip(1),
        (true, _) => None,
    }
}

fn own_size(bits: &mut Bits) -> Option<Size> {
    // One less than they are, so that the largest has no place in a number of ours.
    let (width, height) = (bits.take(16)? + 1, bits.take(16)? + 1);
    render_size(bits)?;
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

fn render_size(bits: &mut Bits) -> Option<()> {
    if bits.flag()? { bits.skip(32) } else { Some(()) }
}

fn loop_filter(bits: &mut Bits) -> Option<()> {
    bits.skip(9)?;
    let changes = bits.flag()? && bits.flag()?;
    if changes {
        (0..6).try_for_each(|_| if bits.flag()? { bits.skip(7) } else { Some(()) })?;
    }
    Some(())
}

fn segmentation(bits: &mut Bits) -> Option<()> {
    if !bits.flag()? {
        return Some(());
    }
    let probability = |bits: &mut Bits| if bits.flag()? { bits.skip(8) } else { Some(()) };
    if bits.flag()? {
        (0..7).try_for_each(|_| probability(bits))?;
        if bits.flag()? {
            (0..3).try_for_each(|_| probability(bits))?;
        }
    }
    if bits.flag()? {
        bits.skip(1)?;
        for (len, is_signed) in [FEATURES; 8].into_iter().flatten() {
            if bits.flag()? {
                bits.skip(len + usize::from(is_signed))?;
            }
        }
    }
    Some(())
}

/// In columns of at least 256 and at most 4096 pixels (§6.2.14).
fn tiles(bits: &mut Bits, width: u16) -> Option<()> {
    let blocks = usize::from(width).div_ceil(64);
    let least = (0..).find(|log| 64 << log >= blocks)?;
    let most = (1..).find(|log| blocks >> log < 4)? - 1;
    for _ in least..most {
        if !bits.flag()? {
            break;
        }
    }
    if bits.flag()? { bits.skip(1) } else { Some(()) }
}

/// The frame, not to be shown.
fn hidden(bytes: &[u8], frame: &Frame) -> Vec<u8> {
    let mut bits = Bits::of(bytes);
    let mut head: Vec<bool> = std::iter::from_fn(|| bits.flag()).take(frame.len).collect();
    head[frame.shown_at] = false;
    if !frame.is_key {
        // Behind the mark of resilience: that it is not intra coded.
        head.insert(frame.shown_at + 2, false);
    }
    let mut out = vec![0; head.len().div_ceil(8)];
    for (at, _) in head.iter().enumerate().filter(|(_, bit)| **bit) {
        out[at / 8] |= 0x80 >> (at % 8);
    }
    out.extend(&bytes[frame.len.div_ceil(8)..]);
    out
}

/// Frames with an index behind them, by which a decoder finds them.
fn superframe(frames: &[Vec<u8>]) -> Option<Vec<u8>> {
    if let [only] = frames {
        return (!only.is_empty()).then(|| only.clone());
    }
    let longest = frames.iter().map(Vec::len).max()?;
    let bytes = (longest.checked_ilog2()? as usize / 8 + 1).min(4);
    let mark = 0xC0 | ((bytes - 1) << 3) as u8 | (frames.len() - 1) as u8;
    let mut out = frames.concat();
    out.push(mark);
    for frame in frames {
        out.extend(&u32::try_from(frame.len()).ok()?.to_le_bytes()[..bytes]);
    }
    out.push(mark);
    Some(out)
}

#[cfg(test)]
mod tests;
