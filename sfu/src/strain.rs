//! What a worker that has too much to do gives up first: large pictures. Nothing here concerns audio.
//!
//! A pure machine: the busy share of each second goes in, a step comes out, and each step says how large a camera's picture may be.
//! It takes one step down after a few busy seconds, and one up after a long calm, which is the longer the sooner the step
//! up before it was regretted.

use crate::video::Source;
use std::time::{Duration, Instant};

/// Thousandths of a core from which on video is lowered: a node takes no new rooms then, and its rooms do not leave it yet.
const LOWERED_FROM: u64 = 850;
/// … and below which it may get better again.
const RAISED_BELOW: u64 = 600;

/// How long it must be so busy for a step: others who join, or a key frame for everybody, pass.
const BUSY: Duration = Duration::from_secs(3);

/// How long it must be calm for a step up, at first and at most.
const CALM: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(320));

/// A step up that lasted so long was right.
const LASTED: Duration = Duration::from_secs(60);

/// The largest pictures of each step, width times height. A share of a screen keeps the second size, or nobody could read it.
const MOST_PIXELS: [u32; 4] = [u32::MAX, 1280 * 720, 640 * 360, 320 * 180];
const SCREEN_PIXELS: u32 = 1280 * 720;

/// How large pictures may be for listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    pub camera: u32,
    pub screen: u32,
}

impl Ceiling {
    pub const NONE: Ceiling = Ceiling { camera: u32::MAX, screen: u32::MAX };

    /// The size that a picture is chosen for whose listener wants it so large.
    pub fn lower(&self, source: Source, pixels: u32) -> u32 {
        pixels.min(match source {
            Source::Camera => self.camera,
            Source::Screen => self.screen,
        })
    }
}

#[derive(Debug)]
pub struct Strain {
    step: usize,
    /// Since when it has been too busy, and calm.
    busy: Option<Instant>,
    calm: Option<Instant>,
    /// The last step up.
    raised: Option<Instant>,
    patience: Duration,
}

impl Default for Strain {
    fn default() -> Strain {
        Strain { step: 0, busy: None, calm: None, raised: None, patience: CALM.0 }
    }
}

impl Strain {
    /// The busy share of the last second. `true`: there is another ceiling now.
    pub fn handle(&mut self, now: Instant, busy_permille: u64) -> bool {
        let has_been = |since: &mut Option<Instant>, long: Duration| now >= *since.get_or_insert(now) + long;
        if busy_permille >= LOWERED_FROM {
            self.calm = None;
            if self.step + 1 == MOST_PIXELS.len() || !has_been(&mut self.busy, BUSY) {
                return false;
            }
            let is_regretted = self.raised.take().is_some_and(|raised| now < raised + LASTED);
            self.patience = if is_regretted { (2 * self.patience).min(CALM.1) } else { CALM.0 };
            (self.step, self.busy) = (self.step + 1, Some(now));
            return true;
        }
        self.busy = None;
        if busy_permille >= RAISED_BELOW || self.step == 0 {
            self.calm = None;
            return false;
        }
        if !has_been(&mut self.calm, self.patience) {
            return false;
        }
        (self.step, self.calm, self.raised) = (self.step - 1, Some(now), Some(now));
        true
    }

    /// 0: pictures are as large as listeners want them.
    pub fn step(&self) -> usize {
        self.step
    }

    pub fn ceiling(&self) -> Ceiling {
        let camera = MOST_PIXELS[self.step];
        Ceiling { camera, screen: if self.step == 0 { u32::MAX } else { camera.max(SCREEN_PIXELS) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of these shares, one after another; the steps that were taken, with the second of each.
    fn check(script: &[(u64, u64)], expected: &[(u64, usize)]) {
        let (start, mut strain, mut at, mut taken) = (Instant::now(), Strain::default(), 0, Vec::new());
        for (seconds, permille) in script {
            for _ in 0..*seconds {
                at += 1;
                if strain.handle(start + Duration::from_secs(at), *permille) {
                    taken.push((at, strain.step()));
                }
            }
        }
        assert_eq!(taken, expected, "{script:?}");
    }

    #[test]
    fn video_is_lowered_step_by_step_and_comes_back_slowly() {
        check(&[(100, 849)], &[]);
        check(&[(3, 1000), (1, 800), (3, 1000)], &[]);
        check(&[(60, 850)], &[(4, 1), (7, 2), (10, 3)]);
        check(&[(4, 900), (100, 600)], &[(4, 1)]);
        check(&[(7, 900), (20, 599), (1, 700), (50, 100)], &[(4, 1), (7, 2), (49, 1), (69, 0)]);
    }

    #[test]
    fn what_was_raised_too_soon_waits_longer_the_next_time() {
        let busy_again = [(4, 900), (21, 500), (4, 900), (41, 500), (4, 900), (81, 500)];
        check(&busy_again, &[(4, 1), (25, 0), (29, 1), (70, 0), (74, 1), (155, 0)]);
        // It lasted: the next time is like the first.
        check(
            &[(4, 900), (21, 500), (4, 900), (41, 500), (60, 700), (4, 900), (21, 500)],
            &[(4, 1), (25, 0), (29, 1), (70, 0), (134, 1), (155, 0)],
        );
    }

    #[test]
    fn each_step_is_smaller_and_a_screen_stays_readable() {
        let mut strain = Strain::default();
        assert_eq!(strain.ceiling(), Ceiling::NONE);
        let ceilings = [1, 2, 3].map(|step| {
            strain.step = step;
            (strain.ceiling().camera, strain.ceiling().screen)
        });
        assert_eq!(ceilings, [(921_600, 921_600), (230_400, 921_600), (57_600, 921_600)]);
    }
}
