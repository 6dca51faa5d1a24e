//! `multipart/form-data` (RFC 7578), read as it comes in: a pure machine that is pushed bytes and gives out parts.
//!
//! It keeps at most one part's head or one boundary's length back, whatever is sent.

use bytes::{Bytes, BytesMut};

/// A part's header lines together. A name and a file name need a tenth of it.
const HEAD_BYTES: usize = 8 * 1024;
/// RFC 2046 §5.1.1.
const BOUNDARY_BYTES: usize = 70;

/// What the bytes so far amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A part begins.
    Part(Head),
    /// More of the part that began last.
    Data(Bytes),
    /// The form is complete; what follows does not matter.
    End,
}

/// What a part says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub name: String,
    /// Set on files.
    pub filename: Option<String>,
}

/// The bytes are no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the form is malformed")]
pub struct Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary, or in a part whose data follows.
    Data {
        is_preamble: bool,
    },
    /// Behind a boundary.
    Boundary,
    Head,
    End,
}

/// Reads one form.
pub struct Reader {
    /// CR LF `--` boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    state: State,
}

impl Reader {
    pub fn new(boundary: &str) -> Self {
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        // The first boundary may have no line before it; with one it looks like the others.
        Self { delimiter, buffer: BytesMut::from(&b"\r\n"[..]), state: State::Data { is_preamble: true } }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for more.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn kept_back(&self) -> usize {
        self.buffer.len()
    }

    /// `None`: more bytes are needed.
    pub fn take(&mut self) -> Result<Option<Piece>, Malformed> {
        loop {
            match self.state {
                State::End => return Ok(Some(Piece::End)),
                State::Data { is_preamble } => match find(&self.buffer, &self.delimiter) {
                    Some(0) => {
                        let _ = self.buffer.split_to(self.delimiter.len());
                        self.state = State::Boundary;
                    }
                    Some(at) => {
                        let data = self.buffer.split_to(at).freeze();
                        if !is_preamble {
                            return Ok(Some(Piece::Data(data)));
                        }
                    }
                    None => {
                        // The end may be the beginning of a boundary.
                        let known = (self.buffer.len() + 1).saturating_sub(self.delimiter.len());
                        let data = self.buffer.split_to(known).freeze();
                        return Ok((!data.is_empty() && !is_preamble).then_some(Piece::Data(data)));
                    }
                },
                State::Boundary => {
                    let padding = self.buffer.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                    match self.buffer.get(padding..) {
                        Some([b'-', b'-', ..]) => self.state = State::End,
                        Some([b'\r', b'\n', ..]) => {
                            // The line's end stays: a head without a line begins with the empty line that ends it.
                            let _ = self.buffer.split_to(padding);
                            self.state = State::Head;
                        }
                        Some([] | [b'-'] | [b'\r']) if padding < HEAD_BYTES => return Ok(None),
                        _ => return Err(Malformed),
                    }
                }
                State::Head => {
                    let Some(end) = find(&self.buffer, b"\r\n\r\n") else {
                        return if self.buffer.len() > HEAD_BYTES { Err(Malformed) } else { Ok(None) };
                    };
                    if end > HEAD_BYTES {
                        return Err(Malformed);
                    }
                    let lines = self.buffer.split_to(end);
                    let _ = self.buffer.split_to(4);
                    let head = head(&lines)?;
                    self.state = State::Data { is_preamble: false };
                    return Ok(Some(Piece::Part(head)));
                }
            }
        }
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(step) = bytes[from..].iter().position(|byte| *byte == pattern[0]) {
        from += step;
        if bytes[from..].starts_with(pattern) {
            return Some(from);
        }
        from += 1;
    }
    None
}

/// The boundary that a Content-Type names; `None` if it is no form's.
pub fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    ((1..=BOUNDARY_BYTES).contains(&boundary.len()) && boundary.is_ascii()).then_some(boundary)
}

/// Reads a part's header lines. A part without a name is malformed.
fn head(lines: &[u8]) -> Result<Head, Malformed> {
    let lines = std::str::from_utf8(lines).map_err(|_| Malformed)?;
    let disposition = lines.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let (_, parameters) = disposition.and_then(|value| value.split_once(';')).ok_or(Malformed)?;
    let name = parameter(parameters, "name").ok_or(Malformed)?;
    // RFC 7578 §4.2 forbids the extended form, and some clients send it.
    let extended = parameter(parameters, "filename*").and_then(|value| {
        let encoded = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("utf-8''")).and_then(|_| value.get(7..))?;
        String::from_utf8(percent_decoded(encoded.as_bytes())).ok()
    });
    Ok(Head { name, filename: extended.or_else(|| parameter(parameters, "filename")) })
}

/// The value of one of `; name=value; name="quoted value"`.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (name, after) = rest.split_once('=')?;
        let is_wanted = name.trim().eq_ignore_ascii_case(wanted);
        let after = after.trim_start_matches([' ', '\t']);
        let value;
        (value, rest) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if is_wanted {
            return Some(value);
        }
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value.replace("%22", "\""), &quoted[at + 1..])),
            // Only a quote and a backslash are escaped: Windows paths come with plain backslashes.
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => value.extend(characters.next().map(|(_, escaped)| escaped)),
            character => value.push(character),
        }
    }
    None
}

/// Undoes `%C3%BC`. A `%` that no two digits follow stays.
pub fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &tail[2..];
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything that a form holds, pushed in pieces of this size.
    fn parts(form: &[u8], boundary: &str, step: usize) -> Result<Vec<(Head, Vec<u8>)>, Malformed> {
        let (mut reader, mut parts) = (Reader::new(boundary), Vec::new());
        for bytes in form.chunks(step.max(1)) {
            reader.push(bytes);
            loop {
                match reader.take()? {
                    Some(Piece::Part(head)) => parts.push((head, Vec::new())),
                    Some(Piece::Data(data)) => parts.last_mut().expect("data follows a head").1.extend_from_slice(&data),
                    Some(Piece::End) => return Ok(parts),
                    None => break,
                }
            }
            assert!(reader.kept_back() <= HEAD_BYTES + 256 + step, "little is kept back");
        }
        Err(Malformed)
    }

    fn form(parts: &[(Head, Vec<u8>)], boundary: &str) -> Vec<u8> {
        let mut form = Vec::new();
        for (head, data) in parts {
            let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let filename = head.filename.as_ref().map(|name| format!("; filename=\"{}\"", quoted(name))).unwrap_or_default();
            form.extend(format!("--{boundary}\r\nContent-Type: text/plain\r\n").bytes());
            form.extend(format!("content-disposition: form-data; name=\"{}\"{filename}\r\n\r\n", quoted(&head.name)).bytes());
            form.extend(data);
            form.extend(b"\r\n");
        }
        form.extend(format!("--{boundary}--\r\n").bytes());
        form
    }

    #[test]
    fn forms_of_real_clients_are_read() {
        let sent = b"preamble\r\n--x y\r\nContent-Disposition: form-data; name=\"payload_json\"\r\n\r\n{}\r\n--x y  \r\n\
            Content-Disposition: form-data; filename*=UTF-8''na%C3%AFve.txt; filename=\"naive.txt\"; name=files[0]\r\n\r\n\r\n--x y\r\n\
            Content-Disposition: form-data; name=\"a\\\"b\"; filename=\"C:\\dir\\%22q%22.txt\"\r\n\r\n\r\nline\r\n--x z\r\n\r\n--x y--";
        let head = |name: &str, filename: Option<&str>| Head { name: name.to_owned(), filename: filename.map(str::to_owned) };
        let expected = [
            (head("payload_json", None), b"{}".to_vec()),
            (head("files[0]", Some("naïve.txt")), Vec::new()),
            (head("a\"b", Some("C:\\dir\\\"q\".txt")), b"\r\nline\r\n--x z\r\n".to_vec()),
        ];
        for step in 1..sent.len() {
            assert_eq!(parts(sent, "x y", step).unwrap(), expected, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for sent in
            ["", "--b", "--b\r\n\r\nno name\r\n--b--", "--bx\r\n", "--b\r\nContent-Disposition: form-data\r\n\r\n\r\n--b--"]
        {
            assert_eq!(parts(sent.as_bytes(), "b", 7), Err(Malformed), "{sent:?}");
        }
        let endless = [b"--b\r\n".to_vec(), vec![b'x'; 3 * HEAD_BYTES]].concat();
        assert_eq!(parts(&endless, "b", 100), Err(Malformed));
    }

    #[test]
    fn a_content_type_names_its_boundary() {
        let of = |text: &str| boundary(text).unwrap_or_default();
        assert_eq!(of("multipart/form-data; boundary=----WebKit"), "----WebKit");
        assert_eq!(of("Multipart/Form-Data; charset=utf-8; BOUNDARY=\"a b\""), "a b");
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for none in
            ["multipart/form-data", "multipart/mixed; boundary=x", "application/json", "multipart/form-data; boundary=", &long]
        {
            assert_eq!(boundary(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn what_was_sent_is_what_is_read(
            sent in prop::collection::vec(("[a-z\"\\\\]{1,9}", prop::option::of("[a-zä\"\\\\. ]{0,9}"), prop::collection::vec(any::<u8>(), 0..60)), 0..6),
            step in 1usize..50,
        ) {
            let sent: Vec<_> = sent.into_iter().map(|(name, filename, data)| (Head { name, filename }, data)).collect();
            // Longer than any data here, so it cannot be in it.
            let boundary = "b".repeat(70);
            prop_assert_eq!(parts(&form(&sent, &boundary), &boundary, step), Ok(sent));
        }

        #[test]
        fn no_bytes_make_it_panic_or_keep_much(bytes in prop::collection::vec(prop::sample::select(b"\r\n-b:;=\"\\ax".to_vec()), 0..300), step in 1usize..9) {
            let _ = parts(&bytes, "b", step);
            let _ = parts(&[&b"--b\r\ncontent-disposition: form-data; name=a"[..], &bytes].concat(), "b", step);
        }
    }
}
