//! One published video in its room: its layers, what of them is known, and who is shown it.

use super::room::film::Film;
use super::spread::mirrors::Links;
use crate::PeerId;
use crate::bandwidth::allocator;
use crate::video::history::History;
use crate::video::{Codec, MAX_LAYERS, Source};
use std::time::{Duration, Instant};

/// A layer of which nothing came for this long is not sent: screens that stand still are sent once a second.
const ALIVE: Duration = Duration::from_millis(2_500);

/// How long a layer that was asked for may take until its first packet: a round trip and the start of an encoder.
const COMING: Duration = Duration::from_secs(3);

/// A layer that nobody wants is switched off after this long: whoever only changes the size of a window comes back.
const UNWANTED: Duration = Duration::from_millis(1_000);

/// Between two requests for a key frame of one layer, however many listeners ask: a key frame costs a publisher as much as
/// half a second of video, and one on its way must have the time to come.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// Over how long bitrates are measured, and how long the memory of what a layer costs in the long run is.
const RATE_WINDOW: Duration = Duration::from_millis(500);
const RATE_MEMORY: Duration = Duration::from_millis(3_500);

/// What a layer costs before anybody measured it: bits a second for each pixel.
const BITS_PER_PIXEL: u64 = 2;

/// What the only layer of a video costs at most before anybody measured it: a screen that stands still costs next to nothing.
const UNKNOWN_ONLY_BPS: u64 = 300_000;

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
    /// Which layers are part of which: see [`crate::video::layered::Shape`].
    pub within: [u8; MAX_LAYERS],
    /// Packets of a key frame could not be understood when they came.
    pub is_torn: bool,
    /// Its layers are others than its publisher was last told of.
    is_new: bool,
    pub audience: Vec<Seat>,
    /// What of it is recorded.
    pub film: Film,
    /// Somebody looks soon after packets of a picture that wait for the rest of it.
    pub is_holding: bool,
    /// What it has to do with other parts of a room that is spread.
    pub links: Option<Box<Links>>,
}

/// What other parts of a room are told of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Face {
    pub stream: u8,
    pub is_to_be_had: bool,
    pub size: Option<(u16, u16)>,
    /// bit/s of the last moments, and in the long run.
    pub bps: u64,
    pub slow_bps: u64,
}

impl Face {
    /// Without what changes all the time.
    pub fn outline(self) -> Face {
        Face { bps: 0, slow_bps: 0, ..self }
    }
}

/// A packet that waits for the rest of its picture; it is remembered already.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub index: u64,
    pub codec: Codec,
    /// On the wire.
    pub bytes: usize,
    pub starts_key_frame: bool,
}

pub struct Layer {
    /// Of the stream of this number, from its first packet on.
    pub history: Option<History>,
    /// Which stream it comes in.
    pub stream: u8,
    /// What came of a picture and has not been given to anybody; at most [`super::room::video::MOST_HELD`].
    pub held: Vec<Held>,
    codec: Option<Codec>,
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
    /// Whether it can be had, as the part of the room says where its publisher sits, when that is another: then only what is
    /// wanted here comes here, and what it costs is measured there.
    told: Option<bool>,
}

/// bit/s of the last moments, and in the long run.
#[derive(Clone, Copy, Debug)]
struct Rate {
    since: Instant,
    bytes: u64,
    bps: u64,
    slow_bps: u64,
}

/// The layers of a video that can be had, from the smallest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    pub count: usize,
    /// Which they are.
    pub places: [u8; MAX_LAYERS],
    pub layers: [allocator::Layer; MAX_LAYERS],
    /// How much more than they cost they have now, bit/s.
    pub bursts: [u64; MAX_LAYERS],
}

impl Layer {
    pub fn new(now: Instant, stream: u8) -> Layer {
        Layer {
            history: None,
            stream,
            held: Vec::new(),
            codec: None,
            size: None,
            last_packet: None,
            rate: Rate { since: now, bytes: 0, bps: 0, slow_bps: 0 },
            needs_key_frame: false,
            key_frame_asked: None,
            is_on: true,
            on_since: now,
            wanted_at: now,
            was_sent: false,
            told: None,
        }
    }

    /// Counts a packet of so many bytes on the wire; `size` is what a key frame says. Whether that changes what may be chosen.
    #[inline]
    pub fn on_packet(&mut self, now: Instant, codec: Codec, len: usize, size: Option<(u16, u16)>) -> bool {
        let is_change = !self.was_sent || self.codec != Some(codec) || size.is_some_and(|size| self.size != Some(size));
        self.codec = Some(codec);
        if self.last_packet.is_none() {
            self.rate.since = now;
        }
        (self.last_packet, self.was_sent) = (Some(now), true);
        self.size = size.or(self.size);
        self.rate.bytes += len as u64;
        let passed = now.saturating_duration_since(self.rate.since);
        if passed >= RATE_WINDOW && self.told.is_none() {
            let Rate { bytes, bps: before, slow_bps, .. } = self.rate;
            let micros = passed.as_micros() as u64;
            let news = 8_000_000 * bytes / micros;
            // Half of the news, so that a single key frame does not look like a new rate.
            let bps = if before == 0 { news } else { (before + news) / 2 };
            let memory = micros + RATE_MEMORY.as_micros() as u64;
            let slow_bps = (slow_bps * RATE_MEMORY.as_micros() as u64 + news * micros) / memory;
            self.rate = Rate { since: now, bytes: 0, bps, slow_bps };
        }
        is_change
    }

    /// Counts a packet of so many bytes that those are sent, too, who are sent this layer.
    #[inline]
    pub fn on_other(&mut self, len: usize) {
        self.rate.bytes += len as u64;
    }

    /// What it costs (bit/s), and how much more than that it has now. `is_only`: nothing smaller could be sent instead, and a
    /// pause for each burst of a screen would be worse than a moment's delay.
    fn cost(&self, pixels: u32, is_only: bool) -> (u64, u64) {
        let guess = BITS_PER_PIXEL * u64::from(pixels);
        match (self.rate.bps, is_only) {
            (0, false) => (guess, 0),
            (0, true) => (guess.min(UNKNOWN_ONLY_BPS), 0),
            (bps, false) => (bps, 0),
            (bps, true) => (bps.min(self.rate.slow_bps), bps.saturating_sub(self.rate.slow_bps)),
        }
    }

    /// Somebody cannot go on without a key frame. Whether nobody had said so since the last one.
    pub fn need_key_frame(&mut self) -> bool {
        !std::mem::replace(&mut self.needs_key_frame, true)
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

    fn is_sent(&self, now: Instant) -> bool {
        self.last_packet.is_some_and(|at| now.saturating_duration_since(at) < ALIVE)
    }

    /// Whether it is there or would be if it was asked for.
    fn is_to_be_had(&self, now: Instant) -> bool {
        if let Some(told) = self.told {
            return told;
        }
        let is_coming = !self.is_on || now.saturating_duration_since(self.on_since) < COMING;
        self.is_sent(now) || self.last_packet.is_some() && is_coming
    }

    /// What other parts of the room are told of it.
    pub fn face(&self, now: Instant) -> Face {
        let (is_to_be_had, Rate { bps, slow_bps, .. }) = (self.is_to_be_had(now), self.rate);
        Face { stream: self.stream, is_to_be_had, size: self.size, bps, slow_bps }
    }

    /// Takes over what another part of the room says of it. Whether that changes what may be chosen.
    pub fn reflect(&mut self, face: &Face, codec: Option<Codec>) -> bool {
        let is_change = self.told != Some(face.is_to_be_had) || self.size != face.size;
        (self.stream, self.told, self.size) = (face.stream, Some(face.is_to_be_had), face.size);
        (self.rate.bps, self.rate.slow_bps) = (face.bps, face.slow_bps);
        self.codec = self.codec.or(codec);
        is_change
    }

    /// Whether the part of the room where its publisher sits is to send it.
    pub fn switch(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    pub fn is_known(&self) -> bool {
        self.last_packet.is_some()
    }

    fn pixels(&self, place: usize) -> u32 {
        self.size.map_or(UNKNOWN_PIXELS << (2 * place), |(width, height)| u32::from(width) * u32::from(height))
    }
}

impl Stage {
    /// With so many encodings.
    pub fn new(now: Instant, publisher: (u32, PeerId), source: Source, generation: u32, layers: usize) -> Stage {
        let layers = (0..layers.min(MAX_LAYERS) as u8).map(|stream| Layer::new(now, stream)).collect();
        Stage {
            publisher: publisher.0,
            publisher_id: publisher.1,
            source,
            generation,
            layers,
            within: [0; MAX_LAYERS],
            is_torn: false,
            is_new: false,
            audience: Vec::new(),
            film: Film::default(),
            is_holding: false,
            links: None,
        }
    }

    /// The layers that can be had.
    pub fn choices(&self, now: Instant) -> Choices {
        let mut choices = Choices::default();
        for (place, layer) in self.layers.iter().enumerate().filter(|(_, layer)| layer.is_to_be_had(now)) {
            let pixels = layer.pixels(place);
            let (bitrate_bps, burst) = layer.cost(pixels, self.layers.len() == 1);
            let at = choices.layers[..choices.count].partition_point(|other| other.pixels <= pixels);
            choices.places.copy_within(at..choices.count, at + 1);
            choices.layers.copy_within(at..choices.count, at + 1);
            choices.bursts.copy_within(at..choices.count, at + 1);
            (choices.places[at], choices.bursts[at]) = (place as u8, burst);
            choices.layers[at] = allocator::Layer { bitrate_bps, pixels };
            choices.count += 1;
        }
        choices
    }

    /// What it is coded with, once a packet told.
    pub fn codec(&self) -> Option<Codec> {
        self.layers.iter().find_map(|layer| layer.codec)
    }

    /// Its publisher codes it otherwise from now on: nothing that is known of its layers is true, and who is shown it begins anew.
    pub fn recode(&mut self, now: Instant) {
        for (layer, stream) in self.layers.iter_mut().zip(0..) {
            *layer = Layer { history: layer.history.take(), ..Layer::new(now, stream) };
        }
        self.film.cut();
        (self.within, self.is_new) = ([0; MAX_LAYERS], true);
    }

    /// A stream has so many layers: they are those from its own number on.
    pub fn widen(&mut self, now: Instant, stream: u8, spatial: u8) {
        for place in usize::from(stream)..=usize::from(stream + spatial).min(MAX_LAYERS - 1) {
            if place >= self.layers.len() {
                self.layers.push(Layer::new(now, stream));
                self.is_new = true;
            }
            self.layers[place].stream = stream;
        }
    }

    /// The layers that come in a stream, one bit each.
    pub fn of_stream(&self, stream: u8) -> u8 {
        self.layers.iter().enumerate().fold(0, |bits, (place, layer)| bits | u8::from(layer.stream == stream) << place)
    }

    /// Whether all of one layer is sent to whoever is sent another.
    pub fn is_within(&self, layer: u8, other: u8) -> bool {
        self.within.get(usize::from(other)).is_some_and(|within| within >> layer & 1 == 1)
    }

    /// Whether one layer is of fewer pixels than another.
    pub fn is_smaller(&self, layer: u8, than: u8) -> bool {
        let pixels = |layer: u8| self.layers.get(usize::from(layer)).map_or(0, |state| state.pixels(usize::from(layer)));
        pixels(layer) < pixels(than)
    }

    /// Which layers the publisher is to send, by what of them is wanted; `Some` when that changed. With it comes whether a
    /// layer came or went by itself, so that others must be chosen.
    pub fn review(&mut self, now: Instant, wanted: u8) -> (Option<u8>, bool) {
        let (mut has_changed, mut came_or_went) = (std::mem::take(&mut self.is_new), false);
        for (place, layer) in self.layers.iter_mut().enumerate() {
            let is_sent = layer.is_sent(now);
            came_or_went |= std::mem::replace(&mut layer.was_sent, is_sent) != is_sent && layer.is_on;
            // Half of the time that it may take until its first packet has passed in vain, or all of it.
            if wanted >> place & 1 == 1 {
                layer.wanted_at = now;
                if !layer.is_on {
                    (layer.is_on, layer.on_since, has_changed) = (true, now, true);
                    // The time in which it was off says nothing of what it costs.
                    (layer.rate.since, layer.rate.bytes) = (now, 0);
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
            layer.on_packet(now, Codec::Vp8, 1000 << (2 * place), Some(SIZES[place]));
        }
    }

    #[test]
    fn choices_go_from_the_smallest_up_with_what_they_cost() {
        let start = Instant::now();
        let mut stage = stage(start);
        assert_eq!(stage.choices(start).count, 0, "nothing is sent yet");
        send(&mut stage, start, 0b111);
        let guessed = stage.choices(start);
        assert_eq!(
            guessed.layers.map(|layer| layer.bitrate_bps),
            SIZES.map(|(width, height)| 2 * u64::from(width) * u64::from(height))
        );
        for n in 0..100 {
            send(&mut stage, start + n * Duration::from_millis(20), 0b111);
        }
        let choices = stage.choices(start + Duration::from_secs(2));
        assert_eq!((choices.count, choices.places), (3, [0, 1, 2]));
        assert_eq!(choices.layers.map(|layer| layer.pixels), [160 * 90, 320 * 180, 640 * 360]);
        let rates = choices.layers.map(|layer| layer.bitrate_bps);
        assert!(rates[0].abs_diff(400_000) < 20_000 && rates[2].abs_diff(6_400_000) < 300_000, "{rates:?}");
        assert_eq!(choices.bursts, [0; 3], "a smaller layer is there for those who cannot take a burst");
        assert!(stage.is_smaller(0, 1) && !stage.is_smaller(2, 1));
    }

    #[test]
    fn a_burst_of_the_only_layer_is_no_new_cost_and_a_lasting_rate_is() {
        let start = Instant::now();
        let mut stage = Stage::new(start, (1, PeerId(1)), Source::Screen, 1, 1);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut feed = |range: std::ops::Range<u64>, bytes: usize| {
            let end = at(range.end);
            for ms in range.step_by(20) {
                stage.layers[0].on_packet(at(ms), Codec::Vp8, bytes, Some((1920, 1080)));
            }
            let choices = stage.choices(end);
            (choices.layers[0].bitrate_bps, choices.bursts[0])
        };
        let still = feed(0..10_000, 50);
        assert!(still.0 < 25_000, "{still:?}");
        let turned = feed(10_000..10_600, 6_000);
        assert!(turned.0 < 500_000 && turned.1 > 500_000, "{turned:?}");
        let filmed = feed(10_600..25_000, 6_000);
        assert!(filmed.0 > 2_200_000, "{filmed:?}");
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
        assert_eq!(told, [(1000, 0b010), (4000, 0b110)]);
        assert_eq!(stage.choices(at(3000)).count, 3, "what is switched off can be had");
    }

    #[test]
    fn a_layer_that_does_not_come_is_not_waited_for_long() {
        let start = Instant::now();
        let mut stage = stage(start);
        send(&mut stage, start, 0b111);
        let later = start + Duration::from_secs(4);
        send(&mut stage, later, 0b001);
        assert_eq!(stage.choices(later).count, 1);
        let (_, came_or_went) = stage.review(later, 0b100);
        assert!(came_or_went, "others must be chosen");
    }

    #[test]
    fn requests_for_key_frames_are_coalesced() {
        let start = Instant::now();
        let mut layer = Layer::new(start, 0);
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
