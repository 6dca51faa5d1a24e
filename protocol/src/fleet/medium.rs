//! What a recorded file is.

use crate::model::TrackKind;
use crate::voice_gateway::VideoSource;
use serde::{Deserialize, Serialize};

/// Where a file of pictures says how long it is, in milliseconds: eight bytes, a floating point number, big-endian. Whoever
/// writes the file does not know it yet and writes zero; whoever sends it does.
pub const DURATION_AT: usize = 60;

/// A voice is Ogg/Opus. Pictures are Matroska, and WebM where their codec is one of WebM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Medium {
    Voice,
    Pictures { source: VideoSource, is_webm: bool },
}

impl Medium {
    pub const ALL: [Medium; 5] = [
        Medium::Voice,
        Medium::Pictures { source: VideoSource::Camera, is_webm: true },
        Medium::Pictures { source: VideoSource::Screen, is_webm: true },
        Medium::Pictures { source: VideoSource::Camera, is_webm: false },
        Medium::Pictures { source: VideoSource::Screen, is_webm: false },
    ];

    /// On the line and in the database.
    pub fn number(self) -> u32 {
        match self {
            Medium::Voice => 0,
            Medium::Pictures { source: VideoSource::Camera, is_webm: true } => 1,
            Medium::Pictures { source: VideoSource::Screen, is_webm: true } => 2,
            Medium::Pictures { source: VideoSource::Camera, is_webm: false } => 3,
            Medium::Pictures { source: VideoSource::Screen, is_webm: false } => 4,
        }
    }

    pub fn from_number(number: u32) -> Option<Medium> {
        Medium::ALL.into_iter().find(|medium| medium.number() == number)
    }

    pub fn kind(self) -> TrackKind {
        match self {
            Medium::Voice => TrackKind::Voice,
            Medium::Pictures { source: VideoSource::Camera, .. } => TrackKind::Camera,
            Medium::Pictures { source: VideoSource::Screen, .. } => TrackKind::Screen,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Medium::Voice => "audio/ogg",
            Medium::Pictures { is_webm: true, .. } => "video/webm",
            Medium::Pictures { is_webm: false, .. } => "video/x-matroska",
        }
    }

    /// Of the file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Medium::Voice => "ogg",
            Medium::Pictures { is_webm: true, .. } => "webm",
            Medium::Pictures { is_webm: false, .. } => "mkv",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_medium_has_a_number_of_its_own() {
        for medium in Medium::ALL {
            assert_eq!(Medium::from_number(medium.number()), Some(medium));
        }
        assert_eq!((Medium::Voice.number(), Medium::from_number(5)), (0, None), "0 is what nodes say that know no other");
    }
}
