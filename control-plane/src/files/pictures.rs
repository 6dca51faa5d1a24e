//! Pictures in other sizes and formats, made where they cannot hold up anything else.

use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// Pictures that are worked on at once. Each takes a core for some 100 ms, and four bytes for each of [`PIXELS`].
const AT_ONCE: usize = 2;
/// Pictures that wait for it; further ones are told to come back.
const WAITING: usize = 64;
/// The largest picture that is decoded: what a good phone makes. Larger ones are shown as they are.
const PIXELS: u64 = 40_000_000;
const SIDE: u32 = 16_384;
/// What decoding may take beside the pixels.
const ALLOCATION: u64 = 256 * 1024 * 1024;
/// Bytes of a file that is worked on.
pub const FILE_BYTES: u64 = 32 * 1024 * 1024;
/// The sides that pictures are made in, so that few sizes of each are ever kept (COMPAT: powers of two, 16 to 4096).
const SIDES: std::ops::RangeInclusive<u32> = 4..=12;
const JPEG_QUALITY: u8 = 85;

/// The format that a picture is asked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Png,
    Jpeg,
    Webp,
    Gif,
}

impl Format {
    pub fn from_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "png" => Self::Png,
            "jpg" | "jpeg" => Self::Jpeg,
            "webp" => Self::Webp,
            "gif" => Self::Gif,
            _ => return None,
        })
    }

    pub fn from_content_type(content_type: &str) -> Option<Self> {
        content_type.strip_prefix("image/").and_then(Self::from_extension)
    }

    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
            Self::Gif => "gif",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
        }
    }
}

/// The smallest side that is made and no smaller than this.
pub fn side(wanted: u32) -> u32 {
    let (least, most) = (1 << SIDES.start(), 1 << SIDES.end());
    wanted.clamp(least, most).next_power_of_two()
}

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many pictures wait to be made")]
pub struct Busy;

pub struct Workshop {
    waiting: Arc<Semaphore>,
    permits: Arc<Semaphore>,
}

impl Default for Workshop {
    fn default() -> Self {
        Self { waiting: Arc::new(Semaphore::new(WAITING)), permits: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Workshop {
    /// Runs the work on the blocking pool.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let _place = self.waiting.try_acquire().map_err(|_| Busy)?;
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        // A decoder that panics made no picture, like one that fails; the next one may.
        done.await.map_err(|_| Busy)
    }
}

/// The picture in another format, and with no side longer than `side`. `None`: it is none, or too large to be decoded.
pub fn make(file: &[u8], format: Format, side: Option<u32>) -> Option<Vec<u8>> {
    let picture = decode(file)?;
    let picture = match side {
        Some(side) if picture.width() > side || picture.height() > side => picture.thumbnail(side, side),
        _ => picture,
    };
    let mut made = Cursor::new(Vec::new());
    let written = match format {
        Format::Png => picture.write_to(&mut made, ImageFormat::Png),
        Format::Jpeg => {
            let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut made, JPEG_QUALITY);
            picture.to_rgb8().write_with_encoder(encoder)
        }
        // The encoder takes eight bits only.
        Format::Webp => picture.to_rgba8().write_to(&mut made, ImageFormat::WebP),
        Format::Gif => return None,
    };
    written.ok().map(|()| made.into_inner())
}

/// Decodes the (first) picture and turns it upright.
fn decode(file: &[u8]) -> Option<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format().ok()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE);
    limits.max_image_height = Some(SIDE);
    limits.max_alloc = Some(ALLOCATION);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS {
        return None;
    }
    let orientation = decoder.orientation().ok();
    let mut picture = DynamicImage::from_decoder(decoder).ok()?;
    if let Some(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    Some(picture)
}

/// Whether the bytes are a whole picture with sides of at most `side`: it is decoded to find out.
pub fn is_sound(file: &[u8], side: u32) -> bool {
    decode(file).is_some_and(|picture| (1..=side).contains(&picture.width()) && (1..=side).contains(&picture.height()))
}

/// Whether a GIF has more than one picture. Only the first two are looked at.
pub fn is_moving(gif: &[u8]) -> bool {
    let decoder = image::codecs::gif::GifDecoder::new(Cursor::new(gif));
    let Ok(mut decoder) = decoder else { return false };
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE);
    limits.max_image_height = Some(SIDE);
    limits.max_alloc = Some(ALLOCATION);
    decoder.set_limits(limits).is_ok() && decoder.into_frames().take(2).filter(Result::is_ok).count() == 2
}

/// Those who have no picture of their own get one of six colours; red, green, blue.
const COLOURS: [[u8; 3]; 6] = [[88, 101, 242], [117, 126, 138], [59, 165, 93], [240, 160, 32], [237, 66, 69], [216, 80, 160]];
const DEFAULT_SIDE: u32 = 256;

/// The picture of someone without one: head and shoulders, as PNG.
pub fn default_avatar(index: usize) -> &'static [u8] {
    static MADE: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        COLOURS
            .map(|colour| {
                let picture = image::RgbImage::from_fn(DEFAULT_SIDE, DEFAULT_SIDE, |x, y| {
                    let is_within = |cx: i64, cy: i64, radius: i64| {
                        let (dx, dy) = (i64::from(x) - cx, i64::from(y) - cy);
                        dx * dx + dy * dy <= radius * radius
                    };
                    let is_figure = is_within(128, 100, 44) || is_within(128, 232, 76);
                    image::Rgb(if is_figure { [245, 246, 250] } else { colour })
                });
                let mut png = Cursor::new(Vec::new());
                picture.write_to(&mut png, ImageFormat::Png).expect("a vector takes all");
                png.into_inner()
            })
            .to_vec()
    });
    &made[index % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::{Format, SIDE, default_avatar, is_sound, make, side};
    use image::GenericImageView;

    #[test]
    fn sides_are_powers_of_two_within_limits() {
        for (wanted, made) in [(0, 16), (16, 16), (17, 32), (100, 128), (4096, 4096), (u32::MAX, 4096)] {
            assert_eq!(side(wanted), made, "{wanted}");
        }
    }

    #[test]
    fn a_picture_is_made_smaller_in_each_format_and_never_larger() {
        let original = default_avatar(0);
        for format in [Format::Png, Format::Jpeg, Format::Webp] {
            for (wanted, expected) in [(Some(64), 64), (Some(1024), 256), (None, 256)] {
                let made = make(original, format, wanted).unwrap();
                assert_eq!(crate::files::sniff::content_type(&made), format.content_type());
                assert_eq!(image::load_from_memory(&made).unwrap().dimensions(), (expected, expected));
            }
        }
        assert_eq!(make(original, Format::Gif, None), None);
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_refused() {
        assert!(is_sound(default_avatar(1), SIDE));
        assert!(!is_sound(default_avatar(1), 255));
        assert!(!is_sound(&default_avatar(1)[..200], SIDE));
        assert!(!is_sound(b"no picture", SIDE));
        // A PNG that claims 60,000 x 60,000 pixels in 60 bytes.
        let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\x0DIHDR\0\0\xEA\x60\0\0\xEA\x60\x08\x06\0\0\0".to_vec();
        let mut crc = flate2::Crc::new();
        crc.update(&bomb[12..]);
        bomb.extend(crc.sum().to_be_bytes());
        bomb.extend(b"\0\0\0\0IDAT");
        assert!(make(&bomb, Format::Png, Some(16)).is_none());
    }
}
