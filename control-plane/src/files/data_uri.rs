//! `data:image/png;base64,…`: how clients send the picture of a user or a guild inside JSON.

use super::sniff;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Some clients leave the padding out.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataUriError {
    #[error("it is no data URI of a picture")]
    Malformed,
    #[error("it is too large")]
    TooLarge,
    /// By its bytes, whatever it says of itself.
    #[error("it is none of PNG, JPEG, GIF and WebP")]
    Unsupported,
}

/// The picture and what it is by its bytes.
pub fn picture(uri: &str, most_bytes: usize) -> Result<(Vec<u8>, &'static str), DataUriError> {
    let rest = uri.trim().strip_prefix("data:").ok_or(DataUriError::Malformed)?;
    let (parameters, encoded) = rest.split_once(',').ok_or(DataUriError::Malformed)?;
    let is_base64 = parameters.rsplit(';').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("base64"));
    if !parameters.to_ascii_lowercase().starts_with("image/") || !is_base64 {
        return Err(DataUriError::Malformed);
    }
    // Four characters are three bytes.
    if encoded.len() / 4 * 3 > most_bytes.saturating_add(3) {
        return Err(DataUriError::TooLarge);
    }
    let bytes = BASE64.decode(encoded.trim()).map_err(|_| DataUriError::Malformed)?;
    if bytes.len() > most_bytes {
        return Err(DataUriError::TooLarge);
    }
    match sniff::content_type(&bytes) {
        kind @ ("image/png" | "image/jpeg" | "image/gif" | "image/webp") => Ok((bytes, kind)),
        _ => Err(DataUriError::Unsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::{DataUriError, picture};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    #[test]
    fn a_picture_is_what_its_bytes_say() {
        let gif = STANDARD.encode(b"GIF89a........");
        let of = |uri: &str| picture(uri, 100).map(|(bytes, kind)| (bytes.len(), kind));
        assert_eq!(of(&format!("data:image/png;base64,{gif}")), Ok((14, "image/gif")));
        assert_eq!(of(&format!("data:image/gif;base64,{}", gif.trim_end_matches('='))), Ok((14, "image/gif")));
        assert_eq!(of(&format!("data:image/svg+xml;base64,{}", STANDARD.encode("<svg>"))), Err(DataUriError::Unsupported));
        assert_eq!(of(&format!("data:image/gif;base64,{}", STANDARD.encode([b'G'; 101]))), Err(DataUriError::TooLarge));
        for malformed in
            ["", "data:", "data:image/png,x", "data:text/plain;base64,eA==", "image/png;base64,eA==", "data:image/png;base64,%%"]
        {
            assert_eq!(of(malformed), Err(DataUriError::Malformed), "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_or_larger_than_it_may_be(uri in ".{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = picture(&uri, 10);
            let _ = picture(&format!("data:image/png;base64,{uri}"), 10);
            let gif = [b"GIF89a".to_vec(), bytes].concat();
            let sent = picture(&format!("data:image/x;base64,{}", STANDARD.encode(&gif)), 60);
            prop_assert_eq!(sent.is_ok(), gif.len() <= 60);
        }
    }
}
