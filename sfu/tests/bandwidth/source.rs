//! What the listener is sent: frames of pictures, by what the estimate allows.

use crate::link::Random;
use guildhall_sfu::bandwidth::allocator::{Allocator, Grant, Layer, Sum, Wish};
use std::time::Instant;

const FRAME: i64 = 33_333;
const MTU: usize = 1_160;

/// What audio takes beside it.
pub const AUDIO_BPS: f64 = 88_000.0;

/// What is shown.
#[derive(Clone, Debug)]
pub enum Content {
    /// Pictures that fill whatever there is, up to so many bit/s, with a keyframe every so many seconds. Many tiles with
    /// temporal layers are nearly that; an encoder that follows the estimate is.
    Elastic { most: f64, keyframes: f64 },
    /// The same, but still in between: times of movement in seconds.
    Screen { most: f64, moving: Vec<(f64, f64)> },
    /// So many cameras in simulcast, all shown large.
    Cameras(usize),
}

/// The layers of a camera, with two frame rates each: bit/s and pixels.
pub const CAMERA: [Layer; 6] = [
    Layer { bitrate_bps: 90_000, pixels: 320 * 180 },
    Layer { bitrate_bps: 150_000, pixels: 320 * 180 },
    Layer { bitrate_bps: 320_000, pixels: 640 * 360 },
    Layer { bitrate_bps: 500_000, pixels: 640 * 360 },
    Layer { bitrate_bps: 950_000, pixels: 1280 * 720 },
    Layer { bitrate_bps: 1_500_000, pixels: 1280 * 720 },
];

pub struct Source {
    content: Content,
    random: Random,
    pub next_frame: i64,
    next_keyframe: i64,
    /// Bits that a keyframe took from the frames after it.
    debt: f64,
    /// The next frame must be a keyframe.
    is_switched: bool,
    allocator: Allocator,
    grants: Vec<Grant>,
    layers: Vec<Option<usize>>,
    pub sum: Sum,
    /// How often a slot got another resolution.
    pub switches: usize,
}

impl Source {
    pub fn new(content: Content, seed: u64) -> Source {
        let cameras = if let Content::Cameras(cameras) = content { cameras } else { 0 };
        Source {
            content,
            random: Random(seed),
            next_frame: 0,
            next_keyframe: 0,
            debt: 0.0,
            is_switched: false,
            allocator: Allocator::default(),
            grants: Vec::new(),
            layers: vec![None; cameras],
            sum: Sum::default(),
            switches: 0,
        }
    }

    /// What could be sent now, bit/s.
    pub fn most(&self, time: i64) -> f64 {
        match &self.content {
            Content::Elastic { most, .. } => *most,
            Content::Screen { most, moving } => {
                let seconds = time as f64 / 1e6;
                if moving.iter().any(|moving| (moving.0..moving.1).contains(&seconds)) { *most } else { 0.0 }
            }
            Content::Cameras(cameras) => *cameras as f64 * CAMERA[5].bitrate_bps as f64,
        }
    }

    /// What of a capacity is of use: cameras come in steps.
    pub fn useful(&self, time: i64, capacity: f64) -> f64 {
        let Content::Cameras(cameras) = self.content else {
            return if self.most(time) > 0.0 { capacity.min(self.most(time) + AUDIO_BPS) } else { 0.0 };
        };
        let mut levels = vec![0usize; cameras];
        let sum = |levels: &[usize]| -> f64 {
            levels.iter().map(|&level| if level == 0 { 0.0 } else { CAMERA[level - 1].bitrate_bps as f64 }).sum()
        };
        for level in 1..=CAMERA.len() {
            for camera in 0..cameras {
                let mut raised = levels.clone();
                raised[camera] = level;
                if levels[camera] + 1 >= level && sum(&raised) <= 0.92 * (capacity - AUDIO_BPS) {
                    levels = raised;
                }
            }
        }
        sum(&levels) + AUDIO_BPS
    }

    /// What is made of an estimate, bit/s.
    pub fn level(&self, estimate: f64) -> f64 {
        if let Content::Cameras(_) = self.content { self.sum.video_bps as f64 + AUDIO_BPS } else { estimate }
    }

    /// What the estimator should probe for, bit/s.
    pub fn wanted(&self) -> f64 {
        match &self.content {
            Content::Elastic { most, .. } | Content::Screen { most, .. } => *most,
            Content::Cameras(_) => self.sum.next_bps as f64,
        }
    }

    /// Chooses layers.
    pub fn allocate(&mut self, now: Instant, budget: u64) {
        let Content::Cameras(cameras) = self.content else { return };
        let wish = |slot| Wish { slot: slot as u8, pixels: 1280 * 720, is_focus: slot == 0 && cameras > 1, layers: &CAMERA };
        let wishes: Vec<Wish> = (0..cameras).map(wish).collect();
        self.sum = self.allocator.allocate(now, budget, 0, &wishes, &mut self.grants);
        let mut is_switched = false;
        for grant in &self.grants {
            let held = &mut self.layers[usize::from(grant.slot)];
            let pixels = |layer: Option<usize>| layer.map(|layer| CAMERA[layer].pixels);
            if pixels(*held) != pixels(grant.layer) {
                is_switched = true;
                self.switches += 1;
            }
            *held = grant.layer;
        }
        self.is_switched |= is_switched;
    }

    /// The sizes of the packets that are to leave from now on, if a frame is due.
    pub fn frame(&mut self, time: i64, budget: f64, packets: &mut Vec<usize>) {
        if time < self.next_frame {
            return;
        }
        self.next_frame += FRAME;
        let rate = match &self.content {
            Content::Elastic { most, .. } => budget.min(*most),
            Content::Screen { most, .. } if self.most(time) > 0.0 => budget.min(*most),
            Content::Screen { .. } => 25_000.0,
            Content::Cameras(_) => self.sum.video_bps as f64,
        };
        let mut bits = rate * FRAME as f64 / 1e6 * self.random.between(0.75, 1.25);
        let is_keyframe = match self.content {
            Content::Elastic { keyframes, .. } if time >= self.next_keyframe => {
                self.next_keyframe = time + (keyframes * 1e6) as i64;
                true
            }
            _ => std::mem::take(&mut self.is_switched),
        };
        if is_keyframe {
            self.debt += 4.0 * bits;
            bits *= 5.0;
        } else if self.debt > 0.0 {
            let paid = self.debt.min(0.3 * bits);
            self.debt -= paid;
            bits -= paid;
        }
        let mut bytes = (bits / 8.0) as usize;
        while bytes > 0 {
            let packet = bytes.min(MTU);
            packets.push(packet + 40);
            bytes -= packet;
        }
    }
}
