//! Pictures of AV1 (RTP payload format for AV1, §4) as Matroska holds them (Matroska's AV1 mapping): the open bitstream units of a
//! temporal unit, each with its length. The layers of a picture are in it, and decoders show the largest.
//!
//! The crates that read sequence headers bring readers of their own for everything around it; this is one function.

use super::bits::Bits;
use super::{Head, Picture};

/// Of an aggregation header (§4.4).
const CONTINUES: u8 = 0x80;
const IS_CONTINUED: u8 = 0x40;
const NEW_SEQUENCE: u8 = 0x08;

/// Of a unit's header (AV1 bitstream specification §5.3.2).
const HAS_EXTENSION: u8 = 0x04;
const HAS_LENGTH: u8 = 0x02;

/// Types of units (§6.2.2).
mod unit {
    pub const SEQUENCE_HEADER: u8 = 1;
    pub const TEMPORAL_DELIMITER: u8 = 2;
    pub const FRAME_HEADER: u8 = 3;
    pub const FRAME: u8 = 6;
    pub const TILE_LIST: u8 = 8;
    pub const PADDING: u8 = 15;
}

/// Bytes of a number in groups of seven bits; all lengths of ours fit.
const MAX_LEB128: usize = 5;

pub fn begins(payload: &[u8]) -> bool {
    payload.first().is_some_and(|head| head & (CONTINUES | NEW_SEQUENCE) == NEW_SEQUENCE)
}

pub fn picture<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Option<Picture> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut is_open = false;
    for payload in payloads {
        let (&head, mut rest) = payload.split_first()?;
        if is_open != (head & CONTINUES != 0) {
            return None;
        }
        let count = usize::from(head >> 4 & 3);
        let mut elements = 0;
        while !rest.is_empty() {
            elements += 1;
            let element;
            (element, rest) = if elements == count { (rest, &[][..]) } else { delimited(rest)? };
            if is_open {
                units.last_mut()?.extend(element);
            } else {
                units.push(element.to_vec());
            }
            is_open = false;
        }
        if elements == 0 || count > 0 && elements != count {
            return None;
        }
        is_open = head & IS_CONTINUED != 0;
    }
    if is_open {
        return None;
    }
    assemble(&units)
}

/// What stands behind its length, and what behind that.
fn delimited(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut len = 0;
    for (place, byte) in bytes.iter().enumerate().take(MAX_LEB128) {
        len |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return bytes[place + 1..].split_at_checked(len);
        }
    }
    None
}

fn push_length(out: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        out.push(0x80 | len as u8);
        len >>= 7;
    }
    out.push(len as u8);
}

fn assemble(units: &[Vec<u8>]) -> Option<Picture> {
    let mut bytes = Vec::new();
    let (mut sequence, mut is_key) = (None, None);
    for unit in units {
        let (&first, mut body) = unit.split_first()?;
        let mut extension = None;
        if first & HAS_EXTENSION != 0 {
            let (&byte, behind) = body.split_first()?;
            (extension, body) = (Some(byte), behind);
        }
        if first & HAS_LENGTH != 0 {
            body = delimited(body)?.0;
        }
        let kind = first >> 3 & 0x0F;
        if matches!(kind, unit::TEMPORAL_DELIMITER | unit::TILE_LIST | unit::PADDING) {
            continue;
        }
        let start = bytes.len();
        bytes.push(first | HAS_LENGTH);
        bytes.extend(extension);
        push_length(&mut bytes, body.len());
        bytes.extend(body);
        match kind {
            unit::SEQUENCE_HEADER => sequence = Some(head(body, &bytes[start..])?),
            // show_existing_frame, then two bits of the frame's type; 0 is a key frame, and one that is shown comes first.
            unit::FRAME | unit::FRAME_HEADER => is_key = is_key.or(Some(body.first()? & 0xF0 == 0x10)),
            _ => {}
        }
    }
    let is_key = is_key? && sequence.is_some();
    Some(Picture { is_key, head: sequence.filter(|_| is_key), bytes })
}

/// What a file says first, by a sequence header (§5.5): the size of its largest layer and the configuration (AV1 in ISO BMFF §2.3.3),
/// behind which the unit itself stands.
fn head(body: &[u8], unit: &[u8]) -> Option<Head> {
    let mut bits = Bits::of(body);
    let profile = bits.take(3)?;
    bits.skip(1)?;
    let is_reduced = bits.flag()?;
    let (level, tier) = if is_reduced { (bits.take(5)?, 0) } else { operating_points(&mut bits)? };
    let (width_bits, height_bits) = (bits.take(4)? as usize + 1, bits.take(4)? as usize + 1);
    let size = (bits.take(width_bits)? + 1, bits.take(height_bits)? + 1);
    if !is_reduced && bits.flag()? {
        bits.skip(7)?;
    }
    bits.skip(3)?;
    if !is_reduced {
        tools(&mut bits)?;
    }
    bits.skip(3)?;
    let [is_high, is_twelve, is_mono, halves_x, halves_y, position] = colors(&mut bits, profile)?;
    let samples = tier << 7 | is_high << 6 | is_twelve << 5 | is_mono << 4 | halves_x << 3 | halves_y << 2 | position;
    let mut private = vec![0x81, (profile << 5 | level) as u8, samples as u8, 0];
    private.extend(unit);
    Some(Head { size: (u16::try_from(size.0).ok()?, u16::try_from(size.1).ok()?), private })
}

/// The level and the tier of the first, which has all layers.
fn operating_points(bits: &mut Bits) -> Option<(u32, u32)> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(64)?;
        if bits.flag()? {
            let mut zeros = 0;
            while !bits.flag()? {
                zeros += 1;
            }
            bits.skip(zeros)?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.take(5)? as usize + 1);
            bits.skip(42)?;
        }
    }
    let has_delays = bits.flag()?;
    let mut first = None;
    for _ in 0..=bits.take(5)? {
        bits.skip(12)?;
        let level = bits.take(5)?;
        let tier = if level > 7 { bits.take(1)? } else { 0 };
        first = first.or(Some((level, tier)));
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?;
        }
        if has_delays && bits.flag()? {
            bits.skip(4)?;
        }
    }
    first
}

/// What frames may use.
fn tools(bits: &mut Bits) -> Option<()> {
    bits.skip(4)?;
    let has_order = bits.flag()?;
    bits.skip(if has_order { 2 } else { 0 })?;
    // Whether each frame says it, or else what all have.
    let has_screen_content = bits.flag()? || bits.flag()?;
    if has_screen_content && !bits.flag()? {
        bits.skip(1)?;
    }
    bits.skip(if has_order { 3 } else { 0 })
}

/// More than eight bits, twelve bits, one plane; planes of half the width, of half the height; where their samples are.
fn colors(bits: &mut Bits, profile: u32) -> Option<[u32; 6]> {
    const SRGB: [u32; 3] = [1, 13, 0];
    let is_high = bits.take(1)?;
    let is_twelve = if profile == 2 && is_high == 1 { bits.take(1)? } else { 0 };
    let is_mono = if profile == 1 { 0 } else { bits.take(1)? };
    let described = if bits.flag()? { [bits.take(8)?, bits.take(8)?, bits.take(8)?] } else { [2; 3] };
    if is_mono == 1 {
        return Some([is_high, is_twelve, 1, 1, 1, 0]);
    }
    if described == SRGB {
        return Some([is_high, is_twelve, 0, 0, 0, 0]);
    }
    bits.skip(1)?;
    let (halves_x, halves_y) = match (profile, is_twelve) {
        (0, _) => (1, 1),
        (1, _) => (0, 0),
        (_, 0) => (1, 0),
        _ => {
            let halves_x = bits.take(1)?;
            (halves_x, if halves_x == 1 { bits.take(1)? } else { 0 })
        }
    };
    let position = if halves_x & halves_y == 1 { bits.take(2)? } else { 0 };
    Some([is_high, is_twelve, 0, halves_x, halves_y, position])
}

#[cfg(test)]
mod tests;
