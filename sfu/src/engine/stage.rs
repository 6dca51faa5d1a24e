//! One published video in its room: its layers, what of them is known, and who is shown it.

use crate::PeerId;
use crate::video::history::History;
use crate::video::{MAX_LAYERS, Source};
use std::time::{Duration, Instant};

/// A layer of which nothing came for this long is not sent: screens that stand still are sent once a second.
const ALIVE: Duration = Duration::from_millis(2_500);

/// How long a layer that was asked for may take until its first packet: a round trip and the start of an encoder.
const COMING: Duration = Duration::from_secs(3);

/// A layer that nobody wants is switched off after this long: whoever only changes the size of a window comes back.
const UNWANTED: Duration = Duration::from_millis(1_500);

/// Between two requests for a key frame of one layer, however many listeners ask: a key frame costs a publisher as much as
/// half a second of video, and one on its way must have the time to come.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// Over how long bitrates are measured.
const RATE_WINDOW: Duration = Duration::from_millis(500);

/// What a layer is taken for before its size is known: a small picture, four times it, sixteen times it.
const UNKNOWN_PIXELS: u32 = 160 * 90;

/// One listener's slot in which this is shown, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Where the listener is in the room.
    pub listener: usize,
    pub slot: usize,
}

pub struct Stage {
    /// Index of the publisher in the engine's table.
    pub publisher: u32,
    pub publisher_id: PeerId,
    pub source: Source,
    /// Tells this stage from others that had its place.
    pub generation: u32,
    pub layers: Vec<Layer>,
    pub audience: Vec<Seat>,
}

pub struct Layer {
    /// From the first packet on.
    pub history: Option<History>,
    size: Option<(u16, u16)>,
    last_packet: Option<Instant>,
    rate: Rate,
    needs_key_frame: bool,
    key_frame_asked: Option<Instant>,
    /// Whether the publisher is to send it, and since when.
    is_on: bool,
    on_since: Instant,
    wanted_at: Instant,
    was_sent: bool,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    since: Instant,
    bytes: u64,
    bps: u64,
}

impl Layer {
    pub fn new(now: Instant) -> Layer {
        Layer {
            history: None,
            size: None,
            last_packet: None,
            rate: Rate { since: now, bytes: 0, bps: 0 },
            needs_key_frame: false,
            key_frame_asked: None,
            is_on: true,
            on_since: now,
            wanted_at: now,
            was_sent: false,
        }
    }

    /// Counts a packet; `size` is what a key frame says. Whether that changes what may be chosen.
    #[inline]
    pub fn on_packet(&mut self, now: Instant, len: usize, size: Option<(u16, u16)>) -> bool {
        let is_change = !self.was_sent || size.is_some_and(|size| self.size != Some(size));
        (self.last_packet, self.was_sent) = (Some(now), true);
        self.size = size.or(self.size);
        self.rate.bytes += len as u64;
        let passed = now.saturating_duration_since(self.rate.since);
        if passed >= RATE_WINDOW {
            let bps = 8_000_000 * self.rate.bytes / passed.as_micros() as u64;
            // Half of the news, so that a single key frame does not look like a new rate.
            self.rate = Rate { since: now, bytes: 0, bps: if self.rate.bps == 0 { bps } else { (self.rate.bps + bps) / 2 } };
        }
        is_change
    }

    /// Somebody cannot go on without a key frame.
    pub fn need_key_frame(&mut self) {
        self.needs_key_frame = true;
    }

    pub fn on_key_frame(&mut self) {
        self.needs_key_frame = false;
    }

    /// Whether a key frame is to be asked for now.
    pub fn ask_key_frame(&mut self, now: Instant) -> bool {
        let is_due = self.key_frame_asked.is_none_or(|asked| now.saturating_duration_since(asked) >= KEY_FRAME_INTERVAL);
        let asks = self.needs_key_frame && self.is_on && is_due;
        if asks {
            self.key_frame_asked = Some(now);
        }
        asks
    }

    pub fn waits_for_key_frame(&self) -> bool {
        self.needs_key_frame && self.is_on
    }

    /// What it costs, measured while it was last sent.
    pub fn bitrate_bps(&self) -> u64 {
        self.rate.bps
    }

    fn is_sent(&self, now: Instant) -> bool {
        self.last_packet.is_some_and(|at| now.saturating_duration_since(at) < ALIVE)
    }

    /// Whether it is there or would be if it was asked for.
    fn is_to_be_had(&self, now: Instant) -> bool {
        let is_coming = !self.is_on || now.saturating_duration_since(self.on_since) < COMING;
        self.is_sent(now) || self.last_packet.is_some() && is_coming
    }

    fn pixels(&self, place: usize) -> u32 {
        self.size.map_or(UNKNOWN_PIXELS << (2 * place), |(width, height)| u32::from(width) * u32::from(height))
    }
}

impl Stage {
    /// With so many encodings.
    pub fn new(now: Instant, publisher: (u32, PeerId), source: Source, generation: u32, layers: usize) -> Stage {
        let layers = (0..layers.min(MAX_LAYERS)).map(|_| Layer::new(now)).collect();
        Stage { publisher: publisher.0, publisher_id: publisher.1, source, generation, layers, audience: Vec::new() }
    }

    /// The layer for a slot that shows this with so many pixels, within so many bits per second: the smallest that need not
    /// be stretched by more than 15 % each way, else the largest. Of the layers within the budget; when none is, the cheapest,
    /// because pausing is another's decision. `None` while nothing is sent.
    pub fn layer_for(&self, now: Instant, pixels: u32, budget_bps: u64) -> Option<u8> {
        let to_be_had = || self.layers.iter().enumerate().filter(|(_, layer)| layer.is_to_be_had(now));
        let size = |(place, layer): &(usize, &Layer)| layer.pixels(*place);
        let affordable = || to_be_had().filter(|(_, layer)| layer.bitrate_bps() <= budget_bps);
        let fits = |each: &(usize, &Layer)| 4 * u64::from(size(each)) >= 3 * u64::from(pixels);
        let chosen = affordable().filter(fits).min_by_key(size).or_else(|| affordable().max_by_key(size));
        chosen.or_else(|| to_be_had().min_by_key(|(_, layer)| layer.bitrate_bps())).map(|(place, _)| place as u8)
    }

    /// Which layers the publisher is to send, by what of them is wanted; `Some` when that changed. With it comes whether a
    /// layer came or went by itself, so that others must be chosen.
    pub fn review(&mut self, now: Instant, wanted: u8) -> (Option<u8>, bool) {
        let (mut has_changed, mut came_or_went) = (false, false);
        for (place, layer) in self.layers.iter_mut().enumerate() {
            let is_sent = layer.is_sent(now);
            came_or_went |= std::mem::replace(&mut layer.was_sent, is_sent) != is_sent && layer.is_on;
            // Half of the time that it may take until its first packet has passed in vain, or all of it.
            if wanted >> place & 1 == 1 {
                layer.wanted_at = now;
                if !layer.is_on {
                    (layer.is_on, layer.on_since, has_changed) = (true, now, true);
                }
                came_or_went |= !layer.is_to_be_had(now);
            } else if layer.is_on && is_sent && now.saturating_duration_since(layer.wanted_at) >= UNWANTED {
                (layer.is_on, has_changed) = (false, true);
            }
        }
        (has_changed.then(|| self.on_layers()), came_or_went)
    }

    /// The layers that the publisher is to send, one bit each.
    pub fn on_layers(&self) -> u8 {
        self.layers.iter().enumerate().fold(0, |bits, (place, layer)| bits | u8::from(layer.is_on) << place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [(u16, u16); 3] = [(160, 90), (320, 180), (640, 360)];

    fn stage(now: Instant) -> Stage {
        Stage::new(now, (1, PeerId(1)), Source::Camera, 1, 3)
    }

    fn send(stage: &mut Stage, now: Instant, layers: u8) {
        for (place, layer) in stage.layers.iter_mut().enumerate().filter(|(place, _)| layers >> place & 1 == 1) {
            layer.on_packet(now, 1000 << (2 * place), Some(SIZES[place]));
        }
    }

    #[test]
    fn the_smallest_layer_that_fills_the_slot_is_chosen() {
        let start = Instant::now();
        let mut stage = stage(start);
        assert_eq!(stage.layer_for(start, 1, u64::MAX), None, "nothing is sent yet");
        send(&mut stage, start, 0b111);
        let chosen = |pixels: u32| stage.layer_for(start, pixels, u64::MAX);
        assert_eq!(chosen(0), Some(0));
        assert_eq!(chosen(160 * 90), Some(0));
        assert_eq!(chosen(184 * 104), Some(0), "stretched a little");
        assert_eq!(chosen(200 * 112), Some(1));
        assert_eq!(chosen(640 * 360), Some(2));
        assert_eq!(chosen(u32::MAX), Some(2), "there is nothing larger");
    }

    #[test]
    fn a_budget_lowers_the_choice_but_never_to_nothing() {
        let start = Instant::now();
        let mut stage = stage(start);
        for n in 0..100 {
            send(&mut stage, start + n * Duration::from_millis(20), 0b111);
        }
        let now = start + Duration::from_secs(2);
        let rates: Vec<u64> = stage.layers.iter().map(Layer::bitrate_bps).collect();
        assert!(rates[0].abs_diff(400_000) < 20_000 && rates[2].abs_diff(6_400_000) < 300_000, "{rates:?}");
        assert_eq!(stage.layer_for(now, u32::MAX, 2_000_000), Some(1));
        assert_eq!(stage.layer_for(now, u32::MAX, 500_000), Some(0));
        assert_eq!(stage.layer_for(now, u32::MAX, 1), Some(0));
    }

    #[test]
    fn what_nobody_wants_is_switched_off_after_a_while_and_on_at_once() {
        let start = Instant::now();
        let mut stage = stage(start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut told = Vec::new();
        for ms in (0..5000).step_by(25) {
            let on = stage.on_layers();
            send(&mut stage, at(ms), on);
            let wanted = if (4000..4500).contains(&ms) { 0b110 } else { 0b010 };
            if let (Some(on), _) = stage.review(at(ms), wanted) {
                told.push((ms, on));
            }
        }
        assert_eq!(told, [(1500, 0b010), (4000, 0b110)]);
        assert_eq!(stage.layer_for(at(3000), 640 * 360, u64::MAX), Some(2), "what is switched off can be had");
    }

    #[test]
    fn a_layer_that_does_not_come_is_not_waited_for_long() {
        let start = Instant::now();
        let mut stage = stage(start);
        send(&mut stage, start, 0b111);
        let later = start + Duration::from_secs(4);
        send(&mut stage, later, 0b001);
        assert_eq!(stage.layer_for(later, u32::MAX, u64::MAX), Some(0));
        let (_, came_or_went) = stage.review(later, 0b100);
        assert!(came_or_went, "others must be chosen");
    }

    #[test]
    fn requests_for_key_frames_are_coalesced() {
        let start = Instant::now();
        let mut layer = Layer::new(start);
        assert!(!layer.ask_key_frame(start), "nobody needs one");
        let asked = (0..1000).filter(|&ms| {
            layer.need_key_frame();
            layer.ask_key_frame(start + Duration::from_millis(ms))
        });
        assert_eq!(asked.collect::<Vec<_>>(), [0, 500]);
        layer.on_key_frame();
        assert!(!layer.ask_key_frame(start + Duration::from_secs(5)));
    }
}
