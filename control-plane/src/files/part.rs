//! A part of a file: which one a request asks for, and how the answer says which it is (RFC 9110 §14).

use super::serve::{Refusal, Result};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::ops::Range;

/// What is sent of a file of `size` bytes.
pub(super) struct Part {
    /// `None`: all of it.
    range: Option<Range<u64>>,
    size: u64,
}

impl Part {
    /// What the request's `Range` asks for, as long as `If-Range`, if there is one, names the file that is there. A range that
    /// lies behind its end is refused.
    pub fn asked(request: &HeaderMap, etag: &str, size: u64) -> Result<Self> {
        let text = |name: HeaderName| request.get(name).and_then(|value| value.to_str().ok());
        let is_same = text(header::IF_RANGE).is_none_or(|tag| tag == etag);
        let range = match text(header::RANGE).filter(|_| is_same).map(|range| byte_range(range, size)) {
            None | Some(Asked::Nothing) => None,
            Some(Asked::Range(range)) => Some(range),
            Some(Asked::Beyond) => return Err(Refusal::RangeNotSatisfiable(size)),
        };
        Ok(Self { range, size })
    }

    /// Says in the answer's headers which part it is. Answers with its status and the bytes to send.
    pub fn announce(self, headers: &mut HeaderMap) -> (StatusCode, Range<u64>) {
        let status = match &self.range {
            Some(range) => {
                let value = format!("bytes {}-{}/{}", range.start, range.end - 1, self.size);
                headers.insert(header::CONTENT_RANGE, HeaderValue::from_str(&value).expect("digits are ASCII"));
                StatusCode::PARTIAL_CONTENT
            }
            None => StatusCode::OK,
        };
        let range = self.range.unwrap_or(0..self.size);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
        (status, range)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Not for one range of bytes: then the whole file is sent, which is always allowed (RFC 9110 §14.2).
    Nothing,
    Range(Range<u64>),
    Beyond,
}

/// Reads `bytes=0-99`, `bytes=100-` and `bytes=-100`.
fn byte_range(header: &str, size: u64) -> Asked {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return Asked::Nothing;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(last)) if first.is_empty() => size.saturating_sub(last)..size,
        _ => return Asked::Nothing,
    };
    if range.is_empty() { Asked::Beyond } else { Asked::Range(range) }
}

#[cfg(test)]
mod tests {
    use super::{Asked, byte_range};

    #[test]
    fn ranges_are_read_as_http_means_them() {
        for (header, expected) in [
            ("bytes=0-99", Asked::Range(0..100)),
            ("bytes=900-5000", Asked::Range(900..1000)),
            ("bytes=10-", Asked::Range(10..1000)),
            ("bytes=-10", Asked::Range(990..1000)),
            ("bytes=-5000", Asked::Range(0..1000)),
            ("bytes=1000-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=5-4", Asked::Nothing),
            ("bytes=0-1,5-6", Asked::Nothing),
            ("lines=1-2", Asked::Nothing),
            ("bytes=x", Asked::Nothing),
            ("bytes=0-18446744073709551615", Asked::Range(0..1000)),
        ] {
            assert_eq!(byte_range(header, 1000), expected, "{header}");
        }
    }
}
