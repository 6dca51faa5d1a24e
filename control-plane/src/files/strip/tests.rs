use super::*;
use image::ImageDecoder;
use proptest::prelude::*;
use std::io::Cursor;

/// What is left of a file that comes in pieces of this size, and its orientation.
fn stripped(kind: &str, file: &[u8], step: usize) -> (Vec<u8>, u8) {
    let (mut stripper, mut out) = (Stripper::new(kind), Vec::new());
    for bytes in file.chunks(step.max(1)) {
        stripper.push(bytes, &mut out);
        assert!(stripper.pending.len() <= 70_000 + step, "little is kept back");
    }
    let orientation = stripper.finish(&mut out);
    (out, orientation)
}

/// A picture that is not the same upside down.
fn pixels() -> image::RgbImage {
    image::RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * 10, y as u8 * 15, 80]))
}

fn encoded(format: image::ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    pixels().write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// A TIFF structure with a camera's name, the orientation and a place in it.
fn full_exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08\0\x02\x01\x0F\0\x02\0\0\0\x0A\0\0\0\x26\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    tiff.push(orientation);
    tiff.extend(b"\0\0\0\0\0\0SecretCam GPS 52.5 13.4");
    tiff
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xFF, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
}

fn jpeg_with(orientation: u8) -> Vec<u8> {
    let plain = encoded(image::ImageFormat::Jpeg);
    let exif = [b"Exif\0\0".to_vec(), full_exif(orientation)].concat();
    let mut file = plain[..2].to_vec();
    file.extend(segment(0xE1, &exif));
    file.extend(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>secret</x:xmpmeta>"));
    file.extend(segment(0xE2, b"MPF\0secret"));
    file.extend(segment(0xED, b"Photoshop 3.0\0secret"));
    file.extend(segment(0xFE, b"secret comment"));
    file.extend(&plain[2..]);
    file.extend(b"secret video behind the picture");
    file
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(body);
    [&(body.len() as u32).to_be_bytes()[..], name, body, &crc.sum().to_be_bytes()].concat()
}

fn png_with(orientation: u8) -> Vec<u8> {
    let plain = encoded(image::ImageFormat::Png);
    let header = 8 + 25;
    let mut file = plain[..header].to_vec();
    file.extend(chunk(b"gAMA", &45_455u32.to_be_bytes()));
    file.extend(chunk(b"eXIf", &full_exif(orientation)));
    file.extend(chunk(b"tEXt", b"Author\0secret"));
    file.extend(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0secret"));
    file.extend(chunk(b"tIME", b"secret!"));
    file.extend(&plain[header..]);
    file.extend(b"secret behind the picture");
    file
}

fn webp_with(orientation: u8) -> Vec<u8> {
    let plain = encoded(image::ImageFormat::WebP);
    let part = |name: &[u8; 4], body: &[u8]| {
        let padding = vec![0; body.len() % 2];
        [&name[..], &(body.len() as u32).to_le_bytes(), body, &padding].concat()
    };
    // Exif and XMP are announced, 24 by 16 pixels.
    let mut chunks = part(b"VP8X", &[0x0C, 0, 0, 0, 23, 0, 0, 15, 0, 0]);
    chunks.extend(&plain[12..]);
    chunks.extend(part(b"EXIF", &full_exif(orientation)));
    chunks.extend(part(b"XMP ", b"<x:xmpmeta>secret</x:xmpmeta>"));
    chunks.extend(part(b"odd ", b"secret!"));
    [b"RIFF".to_vec(), (chunks.len() as u32 + 4).to_le_bytes().to_vec(), b"WEBP".to_vec(), chunks, b"secret".to_vec()].concat()
}

fn holds_secret(file: &[u8]) -> bool {
    let lower = file.to_ascii_lowercase();
    [&b"secret"[..], b"gps"].iter().any(|word| lower.windows(word.len()).any(|window| window == *word))
}

type Make = fn(u8) -> Vec<u8>;
const KINDS: [(&str, image::ImageFormat, Make); 3] = [
    ("image/jpeg", image::ImageFormat::Jpeg, jpeg_with),
    ("image/png", image::ImageFormat::Png, png_with),
    ("image/webp", image::ImageFormat::WebP, webp_with),
];

#[test]
fn what_is_private_goes_and_the_picture_stays_upright() {
    for (kind, format, make) in KINDS {
        for orientation in [1, 3, 6] {
            let file = make(orientation);
            assert!(holds_secret(&file), "{kind}: the test hides nothing");
            let (left, found) = stripped(kind, &file, file.len());
            assert!(!holds_secret(&left), "{kind}");
            assert_eq!(found, orientation, "{kind}");
            let reader = image::ImageReader::with_format(Cursor::new(&left), format);
            let mut decoder = reader.into_decoder().unwrap();
            assert_eq!(decoder.orientation().unwrap().to_exif(), orientation, "{kind}");
            let picture = image::DynamicImage::from_decoder(decoder).unwrap().to_rgb8();
            let original = image::load_from_memory_with_format(&encoded(format), format).unwrap().to_rgb8();
            assert_eq!(picture, original, "{kind}: not a pixel changes");
        }
    }
}

#[test]
fn a_picture_without_secrets_passes_unchanged() {
    for (kind, format, _) in KINDS {
        let file = encoded(format);
        assert_eq!(stripped(kind, &file, 7), (file, 1), "{kind}");
    }
    assert_eq!(stripped("image/gif", b"GIF89a", 1).0, b"GIF89a");
}

#[test]
fn the_size_of_the_pieces_does_not_matter() {
    for (kind, _, make) in KINDS {
        let file = make(6);
        let whole = stripped(kind, &file, file.len());
        for step in [1, 2, 3, 5, 64, 100] {
            assert_eq!(stripped(kind, &file, step), whole, "{kind} in steps of {step}");
        }
    }
}

#[test]
fn what_only_begins_like_a_picture_passes_unchanged() {
    for (kind, start) in [
        ("image/jpeg", &b"\xFF\xD8\xFF\xE1\0\x01 a length of one"[..]),
        ("image/jpeg", b"\xFF\xD8 no marker"),
        ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\x01\x01\x02\x03\x04"),
        ("image/png", b"\x89PNX"),
        ("image/webp", b"RIFF\x10\0\0\0WAVEfmt "),
    ] {
        assert_eq!(stripped(kind, start, 3).0, start, "{kind}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_grow(
        which in 0..KINDS.len(),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..12),
        cut in any::<prop::sample::Index>(),
        step in 1usize..64,
    ) {
        let (kind, _, make) = KINDS[which];
        let mut file = make(6);
        let at = at.index(file.len());
        let end = (at + bytes.len()).min(file.len());
        file.splice(at..end, bytes);
        file.truncate(cut.index(file.len()) + 1);
        let (left, _) = stripped(kind, &file, step);
        // At most an orientation is written where none was before.
        prop_assert!(left.len() <= file.len() + 64);
        prop_assert_eq!(left, stripped(kind, &file, file.len()).0);
    }

    #[test]
    fn no_exif_makes_it_panic(tiff in prop::collection::vec(any::<u8>(), 0..64), is_little in any::<bool>()) {
        let start: &[u8] = if is_little { b"II*\0" } else { b"MM\0*" };
        let _ = exif_orientation(&[start, &tiff].concat());
    }
}
