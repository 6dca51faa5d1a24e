//! What a file is, by its first bytes: what a client calls it is no reason to believe it.

/// This many bytes decide.
pub const SNIFFED: usize = 4 * 1024;

/// What nobody knows anything about.
pub const UNKNOWN: &str = "application/octet-stream";
pub const TEXT: &str = "text/plain; charset=utf-8";

/// Signatures at the beginning.
const MAGIC: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xFF\xD8\xFF", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"ID3", "audio/mpeg"),
    (b"\xFF\xFB", "audio/mpeg"),
    (b"\xFF\xF3", "audio/mpeg"),
    (b"\xFF\xF2", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1F\x8B", "application/gzip"),
    (b"7z\xBC\xAF\x27\x1C", "application/x-7z-compressed"),
    (b"Rar!\x1A\x07", "application/vnd.rar"),
    (b"BZh", "application/x-bzip2"),
    (b"\xFD7zXZ\0", "application/x-xz"),
    (b"\x28\xB5\x2F\xFD", "application/zstd"),
    (b"\0asm", "application/wasm"),
    (b"\x7FELF", "application/x-executable"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
];

/// What a browser may show in place. Neither SVG nor HTML, which may hold scripts, nor PDF, whose viewers run them.
const INLINE: &[&str] = &[
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "audio/mpeg",
    "audio/flac",
    "audio/ogg",
    "audio/wav",
    "audio/mp4",
    "video/mp4",
    "video/webm",
    "video/quicktime",
    TEXT,
];

/// Whether a browser may show it instead of saving it.
pub fn is_inline(content_type: &str) -> bool {
    INLINE.contains(&content_type)
}

/// The content type of a file that begins so.
pub fn content_type(start: &[u8]) -> &'static str {
    let is_whole = start.len() < SNIFFED;
    let start = &start[..start.len().min(SNIFFED)];
    if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
        return kind;
    }
    match (start.get(..4), start.get(4..8), start.get(8..12)) {
        (Some(b"RIFF"), _, Some(b"WEBP")) => return "image/webp",
        (Some(b"RIFF"), _, Some(b"WAVE")) => return "audio/wav",
        (Some(b"RIFF"), _, Some(b"AVI ")) => return "video/x-msvideo",
        (_, Some(b"ftyp"), Some(brand)) => return iso_media(brand),
        (Some(b"OggS"), ..) => {
            let is_video = start.windows(7).take(128).any(|window| window == b"\x80theora");
            return if is_video { "video/ogg" } else { "audio/ogg" };
        }
        (Some(b"\x1A\x45\xDF\xA3"), ..) => {
            let is_webm = start.windows(4).take(64).any(|window| window == b"webm");
            return if is_webm { "video/webm" } else { "video/x-matroska" };
        }
        _ => {}
    }
    text(start, is_whole)
}

/// ISO base media files, by their major brand.
fn iso_media(brand: &[u8]) -> &'static str {
    match brand {
        b"avif" | b"avis" => "image/avif",
        b"heic" | b"heix" | b"mif1" | b"msf1" => "image/heic",
        b"M4A " | b"M4B " => "audio/mp4",
        b"qt  " => "video/quicktime",
        _ => "video/mp4",
    }
}

fn text(start: &[u8], is_whole: bool) -> &'static str {
    let is_text = match std::str::from_utf8(start) {
        Ok(text) => !text.contains('\0'),
        // A character may be cut in two where we stopped looking.
        Err(error) => !is_whole && error.error_len().is_none() && !start.contains(&0),
    };
    if !is_text || start.is_empty() {
        return UNKNOWN;
    }
    let lower: Vec<u8> = start.iter().take(1024).map(u8::to_ascii_lowercase).collect();
    let holds = |tag: &[u8]| lower.windows(tag.len()).any(|window| window == tag);
    if holds(b"<svg") {
        "image/svg+xml"
    } else if holds(b"<!doctype html") || holds(b"<html") || holds(b"<script") {
        "text/html"
    } else {
        TEXT
    }
}

#[cfg(test)]
mod tests {
    use super::{SNIFFED, TEXT, UNKNOWN, content_type, is_inline};

    #[test]
    fn bytes_say_what_a_file_is() {
        let webp = b"RIFF\x10\0\0\0WEBPVP8 ";
        for (start, expected) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], "image/png"),
            (b"\xFF\xD8\xFF\xE0", "image/jpeg"),
            (b"GIF89a", "image/gif"),
            (webp, "image/webp"),
            (b"\0\0\0\x18ftypisom", "video/mp4"),
            (b"\0\0\0\x18ftypM4A ", "audio/mp4"),
            (b"OggS\0\x02OpusHead", "audio/ogg"),
            (b"\x1A\x45\xDF\xA3....webm", "video/webm"),
            (b"%PDF-1.7", "application/pdf"),
            ("hällo\n".as_bytes(), TEXT),
            (b"\n <SVG xmlns=''>", "image/svg+xml"),
            (b"<!DOCTYPE html><p>", "text/html"),
            (b"", UNKNOWN),
            (b"\x01\x02\0", UNKNOWN),
            (b"caf\xE9", UNKNOWN),
        ] {
            assert_eq!(content_type(start), expected, "{start:?}");
        }
        let cut = ["x".repeat(SNIFFED - 1), "ü".to_owned()].concat();
        assert_eq!(content_type(cut.as_bytes()), TEXT, "a character that is cut in two is still text");
    }

    #[test]
    fn nothing_that_runs_is_shown_in_place() {
        for kind in ["image/svg+xml", "text/html", "application/pdf", "text/plain", UNKNOWN, "text/javascript"] {
            assert!(!is_inline(kind), "{kind}");
        }
        assert!(is_inline("image/png") && is_inline(TEXT) && is_inline("video/mp4"));
    }
}
