//! Recorded tracks: kept in the pieces that they came in, and sent as the one file that they are together.
//!
//! A piece is never changed, and a track only grows at its end; so nothing needs to be read to be appended to, and what was
//! stored stays whatever happens to a node. Links are for a while only: what people said is not for whoever finds an address.

use super::links::{Links, hex};
use super::part::Part;
use super::serve::{Refusal, Result};
use super::{Files, Key};
use crate::app::App;
use crate::ids::unix_ms;
use crate::store::StoredPiece;
use aws_lc_rs::{constant_time, hmac};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::Method;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use guildhall_protocol::fleet::{DURATION_AT, Medium, Recorded};
use guildhall_protocol::{RecordingId, UserId};
use object_store::{GetOptions, GetRange, ObjectStoreExt};
use serde::Deserialize;
use std::ops::Range;

/// How long a link works: who opened the page in the morning plays it in the evening.
const LINK_MS: u64 = 86_400_000;
/// Bytes of a signature in a link: guessing one is out of reach.
const SIGNATURE_BYTES: usize = 16;

/// Which track of which recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackId {
    pub recording: RecordingId,
    pub user: UserId,
    pub medium: Medium,
    pub start_ms: u64,
}

fn folder_of(recording: RecordingId) -> Key {
    Key::from_iter(["recordings".to_owned(), recording.to_string()])
}

/// Where a piece is in the store.
pub fn piece_key(track: TrackId, number: u32) -> Key {
    let TrackId { recording, user, medium, start_ms } = track;
    let name = match medium {
        Medium::Voice => format!("{user}-{start_ms}"),
        medium => format!("{user}-{start_ms}-{}", medium.number()),
    };
    folder_of(recording).join(name).join(number.to_string())
}

impl TrackId {
    pub fn of(piece: &Recorded) -> Self {
        Self { recording: piece.recording, user: piece.user, medium: piece.medium, start_ms: piece.start_ms }
    }

    /// Its name in a link, beside the recording and the user: when it begins, and behind a dot what it is, unless it is a voice.
    fn place(self) -> String {
        match self.medium {
            Medium::Voice => self.start_ms.to_string(),
            medium => format!("{}.{}", self.start_ms, medium.number()),
        }
    }

    fn of_link(recording: &str, user: &str, place: &str) -> Option<Self> {
        let (start_ms, medium) = place.split_once('.').unwrap_or((place, "0"));
        let medium = Medium::from_number(medium.parse().ok()?)?;
        let track =
            Self { recording: recording.parse().ok()?, user: user.parse().ok()?, medium, start_ms: start_ms.parse().ok()? };
        (track.place() == place).then_some(track)
    }
}

impl Files {
    /// Writes a piece. [`crate::store::Store::keep_piece`] comes after.
    pub async fn put_piece(&self, piece: Recorded) -> std::result::Result<(), object_store::Error> {
        let key = piece_key(TrackId::of(&piece), piece.number);
        self.store().put(&key, Bytes::from(piece.bytes).into()).await?;
        Ok(())
    }

    /// Deletes all that there is of a recording.
    pub async fn delete_recording(&self, recording: RecordingId) -> std::result::Result<(), object_store::Error> {
        let pieces: Vec<Key> =
            self.store().list(Some(&folder_of(recording))).map_ok(|object| object.location).try_collect().await?;
        for piece in pieces {
            match self.store().delete(&piece).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sign_track(&self, track: TrackId, until_ms: u64) -> String {
        let (TrackId { recording, user, .. }, place) = (track, track.place());
        let tag = hmac::sign(&self.0.signing_key, format!("recordings/{recording}/{user}/{place}/{until_ms}").as_bytes());
        hex(&tag.as_ref()[..SIGNATURE_BYTES])
    }
}

impl Links {
    /// The link to a track, for a day.
    pub fn track(&self, track: TrackId, filename: &str) -> String {
        let until_ms = unix_ms() + LINK_MS;
        let signature = self.files.sign_track(track, until_ms);
        let (TrackId { recording, user, .. }, place) = (track, track.place());
        format!("{}/recordings/{recording}/{user}/{place}/{filename}?ex={until_ms:x}&hm={signature}", self.base)
    }
}

/// The query of a link.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Permit {
    /// When it ends, in Unix milliseconds, hexadecimal.
    ex: String,
    hm: String,
}

pub(super) async fn track(
    State(app): State<App>,
    Path((recording, user, place, filename)): Path<(String, String, String, String)>,
    Query(permit): Query<Permit>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let track = TrackId::of_link(&recording, &user, &place).ok_or(Refusal::NotFound)?;
    let until_ms = u64::from_str_radix(&permit.ex, 16).map_err(|_| Refusal::NotFound)?;
    let expected = app.files().sign_track(track, until_ms);
    let is_signed = constant_time::verify_slices_are_equal(expected.as_bytes(), permit.hm.as_bytes()).is_ok();
    if !is_signed || until_ms <= unix_ms() {
        return Err(Refusal::NotFound);
    }
    let pieces = app.store().pieces_of(track).await.map_err(|error| {
        tracing::error!(%error, "a recorded track cannot be looked up");
        Refusal::Busy
    })?;
    if pieces.is_empty() {
        return Err(Refusal::NotFound);
    }
    app.files().send_track(track, &pieces, &filename, &method, &headers)
}

impl Files {
    fn send_track(
        &self,
        track: TrackId,
        pieces: &[StoredPiece],
        filename: &str,
        method: &Method,
        request: &HeaderMap,
    ) -> Result<Response> {
        let size: u64 = pieces.iter().map(|piece| piece.bytes).sum();
        // A track that has grown is another file for whoever has a part of it.
        let etag = format!("\"{}-{}-{}-{size}\"", track.recording, track.user, track.place());
        let part = Part::asked(request, &etag, size)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(header::ETAG, HeaderValue::from_str(&etag).expect("digits are ASCII"));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(track.medium.content_type()));
        let disposition = format!("inline; filename*=UTF-8''{}", super::links::percent_encoded(filename));
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_str(&disposition).expect("it is escaped"));
        let (status, range) = part.announce(&mut headers);
        if method == Method::HEAD {
            return Ok((status, headers).into_response());
        }
        let files = self.clone();
        let first = pieces.first().filter(|_| track.medium != Medium::Voice).map(|piece| piece.number);
        let length_ms = pieces.iter().map(|piece| piece.length_ms).max().unwrap_or(0);
        let parts = stream::iter(parts(pieces, &range)).then(move |(number, part)| {
            let (files, key) = (files.clone(), piece_key(track, number));
            async move {
                let from = part.start;
                let options = GetOptions { range: Some(GetRange::Bounded(part)), ..GetOptions::default() };
                let mut bytes = files.store().get_opts(&key, options).await?.bytes().await?;
                if first == Some(number) {
                    bytes = with_length(bytes, from, length_ms);
                }
                files.count_sent(bytes.len() as u64);
                Ok::<Bytes, object_store::Error>(bytes)
            }
        });
        Ok((status, headers, Body::from_stream(parts.map_err(std::io::Error::other))).into_response())
    }
}

/// Some of the beginning of a file of pictures, from this byte on, with the length that nobody knew when it was written.
fn with_length(part: Bytes, from: u64, length_ms: u64) -> Bytes {
    let mut part = Vec::from(part);
    for (place, byte) in (DURATION_AT as u64..).zip((length_ms as f64).to_be_bytes()) {
        if let Some(old) = place.checked_sub(from).and_then(|place| part.get_mut(place as usize)) {
            *old = byte;
        }
    }
    part.into()
}

/// Which pieces a range of the whole is in, and which part of each.
fn parts(pieces: &[StoredPiece], range: &Range<u64>) -> Vec<(u32, Range<u64>)> {
    let mut start = 0;
    let mut parts = Vec::new();
    for piece in pieces {
        let end = start + piece.bytes;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            parts.push((piece.number, from - start..to - start));
        }
        start = end;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_file_of_pictures_has_its_part_of_the_length() {
        let piece = vec![7; 100];
        let whole = with_length(piece.clone().into(), 0, 61_033);
        assert_eq!(whole[DURATION_AT..DURATION_AT + 8], 61_033f64.to_be_bytes());
        assert!(whole[..DURATION_AT].iter().chain(&whole[DURATION_AT + 8..]).all(|byte| *byte == 7) && whole.len() == 100);
        for start in 0..100 {
            for end in [start + 1, (start + 5).min(100), 100] {
                let part = Bytes::copy_from_slice(&piece[start..end]);
                assert_eq!(with_length(part, start as u64, 61_033), whole[start..end], "{start}..{end}");
            }
        }
    }

    #[test]
    fn a_link_names_a_track_in_one_way_only() {
        for medium in Medium::ALL {
            let track = TrackId { recording: RecordingId::new(1), user: UserId::new(2), medium, start_ms: 40 };
            assert_eq!(TrackId::of_link("1", "2", &track.place()), Some(track));
        }
        for place in ["40.0", "40.", "40.9", "040", "+40", "40.1.1", ""] {
            assert_eq!(TrackId::of_link("1", "2", place), None, "{place:?}");
        }
    }

    #[test]
    fn every_range_is_found_in_the_pieces_that_it_lies_in() {
        let pieces = [3u64, 5, 0, 4].into_iter().zip([0, 1, 2, 5]);
        let pieces: Vec<StoredPiece> = pieces.map(|(bytes, number)| StoredPiece { number, bytes, length_ms: 0 }).collect();
        // What the bytes of the whole are, by the piece and the place in it.
        let whole: Vec<(u32, u64)> =
            pieces.iter().flat_map(|piece| (0..piece.bytes).map(|place| (piece.number, place))).collect();
        for start in 0..12u64 {
            for end in start..=12 {
                let found = parts(&pieces, &(start..end)).into_iter();
                let found: Vec<(u32, u64)> = found.flat_map(|(number, part)| part.map(move |place| (number, place))).collect();
                assert_eq!(found, whole[start as usize..end as usize], "{start}..{end}");
            }
        }
    }
}
