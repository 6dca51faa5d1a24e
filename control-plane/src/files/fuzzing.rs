//! Files on their way in, for [`crate::fuzzing`].

use super::data_uri;
use super::multipart::{Head, Piece, Reader, boundary};
use super::sniff;
use super::strip::Stripper;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The first line is the content type, the rest the form. It is the same form in whatever pieces it comes.
pub fn multipart(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (line, form) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let Some(boundary) = std::str::from_utf8(line).ok().and_then(boundary) else { return };
    assert!((1..=70).contains(&boundary.len()) && boundary.is_ascii());
    let whole = parts(form, &boundary, form.len());
    for step in [1, 3, 64] {
        assert_eq!(parts(form, &boundary, step), whole, "in steps of {step}");
    }
    if let Some(parts) = whole {
        let size: usize = parts.iter().map(|(head, data)| head.name.len() + data.len()).sum();
        assert!(size <= form.len());
    }
}

/// `None`: it is malformed. What has no end yet is what has come so far.
fn parts(form: &[u8], boundary: &str, step: usize) -> Option<Vec<(Head, Vec<u8>)>> {
    let (mut reader, mut parts) = (Reader::new(boundary), Vec::<(Head, Vec<u8>)>::new());
    for bytes in form.chunks(step.max(1)) {
        reader.push(bytes);
        loop {
            match reader.take().ok()? {
                Some(Piece::Part(head)) => parts.push((head, Vec::new())),
                Some(Piece::Data(data)) => parts.last_mut().expect("data follows a head").1.extend_from_slice(&data),
                Some(Piece::End) => return Some(parts),
                None => break,
            }
        }
        assert!(reader.kept_back() <= 8 * 1024 + 256 + bytes.len(), "little is kept back");
    }
    Some(parts)
}

/// A picture in a body.
pub fn data_uri(data: &[u8]) {
    const MOST: usize = 4096;
    let Ok(uri) = std::str::from_utf8(data) else { return };
    let Ok((bytes, kind)) = data_uri::picture(uri, MOST) else { return };
    assert!(bytes.len() <= MOST && bytes.len() <= data.len());
    assert_eq!(sniff::content_type(&bytes), kind);
    let again = format!("data:{kind};base64,{}", STANDARD.encode(&bytes));
    assert_eq!(data_uri::picture(&again, MOST), Ok((bytes, kind)));
}

/// A picture that is stripped: the same in whatever pieces it comes, hardly larger, and, if it is whole, clean the first time.
pub fn strip(data: &[u8]) {
    let Some((kind, file)) = data.split_first() else { return };
    let kind = ["image/jpeg", "image/png", "image/webp", sniff::content_type(file)][usize::from(kind % 4)];
    let once = stripped(kind, file, file.len());
    for step in [1, 7, 300] {
        assert_eq!(stripped(kind, file, step), once, "in steps of {step}");
    }
    let Stripped { bytes, orientation, is_whole } = &once;
    assert!((1..=8).contains(orientation));
    assert!(bytes.len() <= file.len() + 64, "{} bytes became {}", file.len(), bytes.len());
    // What is broken passes unchanged from there on, and may be less broken without what was taken out before.
    assert!(!is_whole || stripped(kind, bytes, bytes.len()) == once, "there is something left to take out");
}

#[derive(Debug, PartialEq)]
struct Stripped {
    bytes: Vec<u8>,
    orientation: u8,
    is_whole: bool,
}

fn stripped(kind: &str, file: &[u8], step: usize) -> Stripped {
    let (mut stripper, mut out) = (Stripper::new(kind), Vec::new());
    for bytes in file.chunks(step.max(1)) {
        stripper.push(bytes, &mut out);
    }
    let is_whole = stripper.is_whole();
    let orientation = stripper.finish(&mut out);
    Stripped { bytes: out, orientation, is_whole }
}
