//! Video in a scenario: who films, in which encodings, who shows whose camera how large, and whose network changes when.

use crate::callers::camera::RIDS;
use serde::{Deserialize, Serialize};

/// The largest encoding's size; each smaller one has half of its sides.
const SIZE: (u16, u16) = (1280, 720);
/// Bitrates of the encodings as parts of the largest one's, from the largest down: what browsers make of these sizes.
const PARTS: [f64; 3] = [1.0, 1.0 / 3.0, 0.1];
/// A layer with this part of the wanted pixels is good enough, by the server's rule.
const ENOUGH: f64 = 0.8;
/// What our page asks for, and more.
const MOST_SLOTS: usize = 16;

/// Cameras of every room.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Video {
    /// People of each room who show a camera: the first that come by WebRTC, those who talk before the others.
    pub cameras: usize,
    /// Encodings of each camera: 1 is no simulcast.
    pub layers: usize,
    /// Of the largest encoding.
    pub bitrate_bps: u32,
    pub frames_per_s: u32,
    /// Cameras that everyone who comes by WebRTC shows: the first of its room, without its own.
    pub slots: usize,
    /// How large it shows each.
    pub width: u16,
    pub height: u16,
}

impl Default for Video {
    fn default() -> Self {
        Self { cameras: 1, layers: 3, bitrate_bps: 1_500_000, frames_per_s: 30, slots: 9, width: 1280, height: 720 }
    }
}

impl Video {
    /// Width and height of an encoding, counted from the smallest.
    pub fn size(&self, layer: usize) -> (u16, u16) {
        let halvings = self.layers - 1 - layer;
        (SIZE.0 >> halvings, SIZE.1 >> halvings)
    }

    /// bit/s of an encoding, counted from the smallest.
    pub fn bitrate(&self, layer: usize) -> f64 {
        f64::from(self.bitrate_bps) * PARTS[self.layers - 1 - layer]
    }

    /// The encoding that fits the size at which cameras are shown: the smallest that is enough, or else the largest.
    pub fn shown(&self) -> usize {
        let wanted = f64::from(u32::from(self.width) * u32::from(self.height));
        let is_enough = |layer: &usize| {
            let (width, height) = self.size(*layer);
            f64::from(u32::from(width) * u32::from(height)) >= ENOUGH * wanted
        };
        (0..self.layers).find(is_enough).unwrap_or(self.layers - 1)
    }

    /// What makes no sense, as a sentence.
    pub(super) fn fault(&self) -> Option<String> {
        if !(1..=RIDS.len()).contains(&self.layers) || !(1..=60).contains(&self.frames_per_s) {
            return Some("video: layers are 1 to 3, frames_per_s 1 to 60".to_owned());
        }
        if !(50_000..=10_000_000).contains(&self.bitrate_bps) {
            return Some("video.bitrate_bps is 50000 to 10000000".to_owned());
        }
        if self.cameras == 0 || !(1..=MOST_SLOTS).contains(&self.slots) || self.width == 0 || self.height == 0 {
            return Some(format!("video wants cameras, 1 to {MOST_SLOTS} slots, and a size"));
        }
        None
    }
}

/// One person of every room has another network from some moment on.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Shift {
    /// Seconds after the window's begin.
    pub at_s: f64,
    /// The person's place in its room, from zero; those who talk stand first.
    pub person: usize,
    /// A name as in `rooms[].network`.
    pub network: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_bitrates_and_the_layer_that_fits() {
        let video = Video::default();
        assert_eq!([0, 1, 2].map(|layer| video.size(layer)), [(320, 180), (640, 360), (1280, 720)]);
        assert_eq!([0, 1, 2].map(|layer| video.bitrate(layer)), [150_000.0, 500_000.0, 1_500_000.0]);
        let shown = |width, height, layers| Video { width, height, layers, ..video }.shown();
        assert_eq!((shown(1280, 720, 3), shown(1920, 1080, 3), shown(640, 360, 3), shown(641, 361, 3)), (2, 2, 1, 1));
        assert_eq!((shown(100, 100, 3), shown(1280, 720, 1), shown(100, 100, 1)), (0, 0, 0));
    }
}
