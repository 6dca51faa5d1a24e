//! Takes out of a picture what its taker may not know is in it: place, time, camera, editing history, thumbnails.
//!
//! A pure machine that picture bytes pass through; nothing is decoded. JPEG and PNG lose every part that does not change how
//! they look; WebP, whose length stands at its beginning, has them blanked. Of Exif the orientation stays, because pictures
//! would lie on their side without it. What turns out not to be the picture it began as passes unchanged from there.

/// Parts that are looked into are kept back whole; Exif in a longer one loses its orientation.
const KEPT_BACK: usize = 64 * 1024;

/// One file on its way.
pub struct Stripper {
    form: Form,
    /// What is not yet decided.
    pending: Vec<u8>,
    found: Found,
}

/// What a picture said of itself so far.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// 1..=8 as Exif counts; 1 is upright.
    orientation: u8,
    /// Whether it is said in what was given out: the first word counts, and it is given out once.
    is_told: bool,
}

impl Found {
    /// Takes note of Exif data; `true`: its orientation is to be given out.
    fn hear(&mut self, tiff: &[u8]) -> bool {
        if self.is_told {
            return false;
        }
        self.orientation = exif_orientation(tiff).unwrap_or(self.orientation);
        self.is_told = self.orientation != 1;
        self.is_told
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Jpeg(Jpeg),
    Png(Png),
    Webp(Webp),
    /// Everything else, or what is left of a picture that is broken.
    Other,
    /// Behind a picture's end, where phones put videos.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jpeg {
    Start,
    Segment,
    /// Compressed data, up to the next marker.
    Scan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Png {
    Start,
    Chunk,
    /// So much of the chunk is still to come; whether it stays, and whether it is the last.
    Within(u64, bool, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Webp {
    Start,
    /// So much of the file is still to come, by its own word.
    Chunk(u64),
    /// So much of the chunk, whether it stays, and so much of the file behind it.
    Within(u64, bool, u64),
}

/// What a step of a form did.
enum Step {
    On(Form),
    More,
    Broken,
}

impl Stripper {
    /// For a file of this content type.
    pub fn new(content_type: &str) -> Self {
        let form = match content_type {
            "image/jpeg" => Form::Jpeg(Jpeg::Start),
            "image/png" => Form::Png(Png::Start),
            "image/webp" => Form::Webp(Webp::Start),
            _ => Form::Other,
        };
        Self { form, pending: Vec::new(), found: Found { orientation: 1, is_told: false } }
    }

    /// Appends to `out` what of the bytes so far stays.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.form {
            Form::Other => return out.extend_from_slice(bytes),
            Form::Ended => return,
            _ => self.pending.extend_from_slice(bytes),
        }
        let mut done = 0;
        loop {
            let (step, used) = self.step(done, out);
            done += used;
            match step {
                Step::On(form) => self.form = form,
                Step::More => break,
                Step::Broken => self.form = Form::Other,
            }
            match self.form {
                Form::Other => {
                    out.extend_from_slice(&self.pending[done..]);
                    done = self.pending.len();
                    break;
                }
                Form::Ended => {
                    done = self.pending.len();
                    break;
                }
                _ => {}
            }
        }
        self.pending.drain(..done);
    }

    /// The file ends here; a part that was cut off stays cut off.
    pub fn finish(self, out: &mut Vec<u8>) -> u8 {
        out.extend_from_slice(&self.pending);
        self.found.orientation
    }

    /// Whether a picture has come to its end as it should.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn is_whole(&self) -> bool {
        self.form == Form::Ended
    }

    /// Whether what is wide is shown high.
    pub fn is_on_its_side(orientation: u8) -> bool {
        (5..=8).contains(&orientation)
    }

    fn step(&mut self, from: usize, out: &mut Vec<u8>) -> (Step, usize) {
        let input = &self.pending[from..];
        match self.form {
            Form::Jpeg(state) => jpeg(state, input, &mut self.found, out),
            Form::Png(state) => png(state, input, &mut self.found, out),
            Form::Webp(state) => webp(state, input, &mut self.found, out),
            Form::Other | Form::Ended => (Step::More, 0),
        }
    }
}

/// ITU-T T.81 annex B: markers with segments, and behind SOS data in which FF is followed by 00 or a restart marker.
fn jpeg(state: Jpeg, input: &[u8], found: &mut Found, out: &mut Vec<u8>) -> (Step, usize) {
    let next = |state| Step::On(Form::Jpeg(state));
    match (state, input) {
        (Jpeg::Start, [0xFF, 0xD8, ..]) => {
            out.extend_from_slice(&input[..2]);
            (next(Jpeg::Segment), 2)
        }
        (Jpeg::Scan, _) => {
            let mut at = 0;
            while let Some(step) = input[at..].iter().position(|byte| *byte == 0xFF) {
                at += step;
                match input.get(at + 1) {
                    None => {
                        out.extend_from_slice(&input[..at]);
                        return (Step::More, at);
                    }
                    Some(0x00 | 0xD0..=0xD7) => at += 2,
                    Some(0xFF) => at += 1,
                    Some(_) => {
                        out.extend_from_slice(&input[..at]);
                        return (next(Jpeg::Segment), at);
                    }
                }
            }
            out.extend_from_slice(input);
            (Step::More, input.len())
        }
        // Fill bytes may stand before a marker.
        (Jpeg::Segment, [0xFF, 0xFF, ..]) => (next(Jpeg::Segment), 1),
        (Jpeg::Segment, [0xFF, 0xD9, ..]) => {
            out.extend_from_slice(&input[..2]);
            (Step::On(Form::Ended), 2)
        }
        (Jpeg::Segment, [0xFF, 0x01 | 0xD0..=0xD7, ..]) => {
            out.extend_from_slice(&input[..2]);
            (next(Jpeg::Segment), 2)
        }
        (Jpeg::Segment, [0xFF, marker, high, low, rest @ ..]) => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(size) = length.checked_sub(2) else { return (Step::Broken, 0) };
            let Some(body) = rest.get(..size) else { return (Step::More, 0) };
            let after = if *marker == 0xDA { Jpeg::Scan } else { Jpeg::Segment };
            match marker {
                0xE1 if body.starts_with(b"Exif\0\0") => {
                    if found.hear(&body[6..]) {
                        let exif = exif(found.orientation);
                        out.extend_from_slice(&[0xFF, 0xE1, 0, (2 + 6 + exif.len()) as u8]);
                        out.extend_from_slice(b"Exif\0\0");
                        out.extend_from_slice(&exif);
                    }
                }
                // APP0 (JFIF), APP14 (Adobe) and the colour profile change how it looks; no other application's data does.
                0xE2 if body.starts_with(b"ICC_PROFILE\0") => out.extend_from_slice(&input[..2 + length]),
                0xE0 | 0xEE => out.extend_from_slice(&input[..2 + length]),
                0xE1..=0xEF | 0xFE => {}
                _ => out.extend_from_slice(&input[..2 + length]),
            }
            (next(after), 2 + length)
        }
        (Jpeg::Segment, [] | [0xFF] | [0xFF, ..]) | (Jpeg::Start, [] | [0xFF]) => (Step::More, 0),
        _ => (Step::Broken, 0),
    }
}

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Chunks that change how a PNG looks, beside the critical ones (whose names begin with a capital).
const PNG_KEPT: &[&[u8; 4]] = &[
    b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"pHYs", b"hIST", b"sPLT", b"acTL", b"fcTL", b"fdAT", b"cICP",
    b"mDCV", b"cLLI",
];

/// PNG (third edition) §5: a signature, then chunks of length, name, data and checksum, up to IEND.
fn png(state: Png, input: &[u8], found: &mut Found, out: &mut Vec<u8>) -> (Step, usize) {
    let next = |state| Step::On(Form::Png(state));
    match (state, input) {
        (Png::Start, _) if input.starts_with(PNG_SIGNATURE) => {
            out.extend_from_slice(PNG_SIGNATURE);
            (next(Png::Chunk), PNG_SIGNATURE.len())
        }
        (Png::Start, _) if PNG_SIGNATURE.starts_with(input) => (Step::More, 0),
        (Png::Start, _) => (Step::Broken, 0),
        (Png::Chunk, [a, b, c, d, name @ ..]) if name.len() >= 4 => {
            let name = &name[..4];
            let size = u64::from(u32::from_be_bytes([*a, *b, *c, *d]));
            if !name.iter().all(u8::is_ascii_alphabetic) {
                return (Step::Broken, 0);
            }
            if name == b"eXIf" && size <= KEPT_BACK as u64 {
                let whole = 12 + size as usize;
                let Some(chunk) = input.get(..whole) else { return (Step::More, 0) };
                if found.hear(&chunk[8..whole - 4]) {
                    let exif = exif(found.orientation);
                    let mut crc = flate2::Crc::new();
                    crc.update(b"eXIf");
                    crc.update(&exif);
                    out.extend_from_slice(&(exif.len() as u32).to_be_bytes());
                    out.extend_from_slice(b"eXIf");
                    out.extend_from_slice(&exif);
                    out.extend_from_slice(&crc.sum().to_be_bytes());
                }
                return (next(Png::Chunk), whole);
            }
            let stays = name[0].is_ascii_uppercase() || PNG_KEPT.iter().any(|kept| *kept == name);
            if stays {
                out.extend_from_slice(&input[..8]);
            }
            (next(Png::Within(size + 4, stays, name == b"IEND")), 8)
        }
        (Png::Chunk, _) => (Step::More, 0),
        (Png::Within(0, _, is_last), _) => (if is_last { Step::On(Form::Ended) } else { next(Png::Chunk) }, 0),
        (Png::Within(..), []) => (Step::More, 0),
        (Png::Within(left, stays, is_last), _) => {
            let here = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if stays {
                out.extend_from_slice(&input[..here]);
            }
            (next(Png::Within(left - here as u64, stays, is_last)), here)
        }
    }
}

const WEBP_KEPT: &[&[u8; 4]] = &[b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"];

/// RFC 9649 §2: RIFF with its length, then chunks of name, length and padded data.
fn webp(state: Webp, input: &[u8], found: &mut Found, out: &mut Vec<u8>) -> (Step, usize) {
    let next = |state| Step::On(Form::Webp(state));
    let little = |bytes: &[u8]| u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    match state {
        Webp::Start if input.len() < 12 => (Step::More, 0),
        Webp::Start if input.starts_with(b"RIFF") && &input[8..12] == b"WEBP" => {
            out.extend_from_slice(&input[..12]);
            (next(Webp::Chunk(little(&input[4..]).saturating_sub(4))), 12)
        }
        Webp::Start => (Step::Broken, 0),
        Webp::Chunk(left) if left < 8 => (Step::On(Form::Ended), 0),
        Webp::Chunk(_) if input.len() < 8 => (Step::More, 0),
        Webp::Chunk(left) => {
            let (name, size) = (&input[..4], little(&input[4..]));
            let padded = size + size % 2;
            let behind = (left - 8).saturating_sub(padded);
            let stays = WEBP_KEPT.iter().any(|kept| *kept == name);
            let minimum = exif(1).len();
            if name == b"EXIF" && (minimum as u64..=KEPT_BACK as u64).contains(&size) {
                let whole = 8 + padded as usize;
                let Some(chunk) = input.get(..whole) else { return (Step::More, 0) };
                let body = &chunk[8..8 + size as usize];
                found.hear(body.strip_prefix(b"Exif\0\0").unwrap_or(body));
                out.extend_from_slice(&input[..8]);
                // Its length stays, so its place is filled even when there is nothing to say.
                out.extend_from_slice(&exif(found.orientation));
                out.resize(out.len() + padded as usize - minimum, 0);
                return (next(Webp::Chunk(behind)), whole);
            }
            out.extend_from_slice(&input[..8]);
            (next(Webp::Within(padded, stays, behind)), 8)
        }
        Webp::Within(0, _, behind) => (next(Webp::Chunk(behind)), 0),
        Webp::Within(..) if input.is_empty() => (Step::More, 0),
        Webp::Within(left, stays, behind) => {
            let here = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if stays {
                out.extend_from_slice(&input[..here]);
            } else {
                out.resize(out.len() + here, 0);
            }
            (next(Webp::Within(left - here as u64, stays, behind)), here)
        }
    }
}

/// The tag of the orientation (TIFF 6.0), a SHORT.
const ORIENTATION: u16 = 0x0112;

/// What the first directory of a TIFF structure says of the orientation.
fn exif_orientation(tiff: &[u8]) -> Option<u8> {
    let is_little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = long(4)? as usize;
    let entries = usize::from(short(directory)?);
    let entry = (0..entries).map(|index| directory + 2 + 12 * index).find(|at| short(*at) == Some(ORIENTATION))?;
    u8::try_from(short(entry + 8)?).ok().filter(|orientation| (1..=8).contains(orientation))
}

/// A TIFF structure that says nothing but the orientation.
fn exif(orientation: u8) -> [u8; 26] {
    let mut tiff = *b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0";
    tiff[18] = orientation;
    tiff
}

#[cfg(test)]
mod tests;
