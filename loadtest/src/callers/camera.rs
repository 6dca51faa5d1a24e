//! One camera: frames of the sizes that an encoder makes, as VP8 packets with a stamp in each. A pure machine; what it films is
//! filler, for nobody on the way may look into it.

use crate::measure::picture::{LEN, MOST_LAYERS, MOST_PACKETS, Stamp};
use crate::random::SplitMix;
use crate::scenario::video::Video;

/// Names of the encodings, as browsers' pages give them, from the smallest to the largest.
pub const RIDS: [&str; MOST_LAYERS] = ["q", "h", "f"];
/// The longest payload: with headers and seal within every path's packet size.
const PACKET: usize = 1_100;
/// How much more than another frame a key frame has.
const KEY: usize = 3;
/// Frames vary by so much around their mean, up and down.
const SPREAD: f64 = 0.15;
/// Payload descriptor with a 15-bit picture id, an index of the base layer and a temporal one (RFC 7741 §4.2).
const DESCRIPTOR: usize = 6;
/// A key frame's tag, start code, width and height (RFC 6386 §9.1).
const HEAD: usize = 10;
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];
/// RTP's clock of video, ticks per second.
const CLOCK: u64 = 90_000;
const SECOND: u64 = 1_000_000_000;

/// One packet to be sent.
pub struct Packet<'a> {
    /// `None` without simulcast.
    pub rid: Option<&'static str>,
    pub sequence: u64,
    pub timestamp: u32,
    /// The last of its frame.
    pub marker: bool,
    pub payload: &'a [u8],
}

struct Encoder {
    rid: Option<&'static str>,
    width: u16,
    height: u16,
    /// Of an average frame.
    bytes: f64,
    is_on: bool,
    needs_key: bool,
    frame: u32,
    sequence: u64,
    /// Every encoding has a clock and picture numbers of its own.
    timestamp: u32,
    picture: u16,
    base: u8,
}

pub struct Camera {
    run: u32,
    speaker: u32,
    room: u32,
    encoders: Vec<Encoder>,
    /// Nanoseconds from frame to frame.
    pub interval: u64,
    /// The moment of the next frame.
    pub due: u64,
    is_rolling: bool,
    take: u16,
    random: SplitMix,
    payload: Vec<u8>,
}

/// Who films.
pub struct Who {
    pub run: u32,
    pub speaker: u32,
    pub room: u32,
    pub seed: u64,
}

impl Camera {
    /// All encodings, or the only one of them that would be shown (`only`), without simulcast.
    pub fn new(video: &Video, who: &Who, only: Option<usize>, now: u64) -> Self {
        let mut random = SplitMix::new(who.seed).fork(4);
        let is_simulcast = video.layers > 1 && only.is_none();
        let layers = (0..video.layers).filter(|layer| only.is_none_or(|only| only == *layer));
        let encoders = layers.map(|layer| {
            let (width, height) = video.size(layer);
            Encoder {
                rid: is_simulcast.then(|| RIDS[MOST_LAYERS - video.layers + layer]),
                width,
                height,
                bytes: video.bitrate(layer) / 8.0 / f64::from(video.frames_per_s),
                is_on: true,
                needs_key: true,
                frame: 0,
                sequence: random.word() & 0x7fff,
                timestamp: random.word() as u32,
                picture: random.word() as u16 & 0x7fff,
                base: random.word() as u8,
            }
        });
        let encoders = encoders.collect();
        let interval = SECOND / u64::from(video.frames_per_s);
        // Cameras are not in step with each other.
        let due = now + who.seed % interval;
        let &Who { run, speaker, room, .. } = who;
        Self { run, speaker, room, encoders, interval, due, is_rolling: false, take: 0, random, payload: Vec::new() }
    }

    /// Which layers are worth sending, one bit each from the smallest; one that comes back begins with a key frame.
    pub fn want(&mut self, wanted: u8) {
        for (layer, encoder) in self.encoders.iter_mut().enumerate() {
            let is_on = wanted >> layer & 1 == 1;
            encoder.needs_key |= is_on && !encoder.is_on;
            encoder.is_on = is_on;
        }
    }

    /// Somebody cannot go on without a key frame of this encoding.
    pub fn need_key(&mut self, rid: Option<&str>) {
        let named = self.encoders.iter_mut().filter(|encoder| rid.is_none() || encoder.rid == rid);
        named.for_each(|encoder| encoder.needs_key = true);
    }

    /// Nothing is filmed now.
    pub fn rest(&mut self) {
        self.is_rolling = false;
    }

    /// The frame that is due of everything that is on, sent at `sent`.
    pub fn film(&mut self, sent: u64, mut write: impl FnMut(&Packet<'_>)) {
        self.take = self.take.wrapping_add(u16::from(!std::mem::replace(&mut self.is_rolling, true)));
        let ticks = (u128::from(self.due) * u128::from(CLOCK) / u128::from(SECOND)) as u32;
        for (layer, encoder) in self.encoders.iter_mut().enumerate() {
            if !encoder.is_on {
                continue;
            }
            let is_key = std::mem::take(&mut encoder.needs_key);
            let varied = encoder.bytes * (1.0 + SPREAD * (2.0 * self.random.unit() - 1.0));
            let bytes = varied as usize * if is_key { KEY } else { 1 };
            let count = bytes.div_ceil(PACKET).clamp(1, MOST_PACKETS);
            encoder.frame = encoder.frame.wrapping_add(1);
            encoder.picture = (encoder.picture + 1) & 0x7fff;
            encoder.base = encoder.base.wrapping_add(1);
            for index in 0..count {
                let stamp = Stamp {
                    run: self.run,
                    speaker: self.speaker,
                    room: self.room,
                    frame: encoder.frame,
                    take: self.take,
                    layer: layer as u8,
                    is_key,
                    index: index as u8,
                    count: count as u8,
                    sent,
                };
                // Packets of one frame differ by a byte at most, as libwebrtc makes them.
                let len = bytes / count + usize::from(index < bytes % count);
                encoder.write(&stamp, len.clamp(DESCRIPTOR + HEAD + LEN, PACKET), &mut self.payload);
                write(&Packet {
                    rid: encoder.rid,
                    sequence: encoder.sequence,
                    timestamp: encoder.timestamp.wrapping_add(ticks),
                    marker: index + 1 == count,
                    payload: &self.payload,
                });
                encoder.sequence += 1;
            }
        }
    }
}

impl Encoder {
    fn write(&self, stamp: &Stamp, len: usize, out: &mut Vec<u8>) {
        let is_first = stamp.index == 0;
        out.clear();
        out.extend_from_slice(&[0x80 | u8::from(is_first) << 4, 0xe0]);
        out.extend_from_slice(&(0x8000 | self.picture).to_be_bytes());
        out.extend_from_slice(&[self.base, 0]);
        if is_first {
            // The lowest bit says that it is no key frame.
            out.extend_from_slice(&[u8::from(!stamp.is_key), 0, 0]);
            if stamp.is_key {
                out.extend_from_slice(&START_CODE);
                out.extend_from_slice(&self.width.to_le_bytes());
                out.extend_from_slice(&self.height.to_le_bytes());
            }
        }
        out.resize(len - LEN, 0);
        out.extend_from_slice(&stamp.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: Who = Who { run: 1, speaker: 2, room: 3, seed: 9 };

    fn frames(camera: &mut Camera, count: u64) -> Vec<(Option<&'static str>, Stamp, usize, bool)> {
        let mut packets = Vec::new();
        for at in 0..count {
            camera.film(at, |packet| {
                let stamp = Stamp::read(packet.payload).expect("every packet is stamped");
                packets.push((packet.rid, stamp, packet.payload.len(), packet.marker));
            });
        }
        packets
    }

    #[test]
    fn each_layer_has_its_bitrate_and_begins_with_a_key_frame() {
        let video = Video::default();
        let mut camera = Camera::new(&video, &WHO, None, 0);
        let first = frames(&mut camera, 1);
        assert!(first.iter().all(|(_, stamp, ..)| stamp.is_key && stamp.frame == 1 && stamp.take == 1));
        let packets = frames(&mut camera, 300);
        for (layer, name) in RIDS.into_iter().enumerate() {
            let of_layer = || packets.iter().filter(|(_, stamp, ..)| usize::from(stamp.layer) == layer);
            assert!(of_layer().all(|(rid, stamp, ..)| *rid == Some(name) && !stamp.is_key));
            let bps = of_layer().map(|(.., len, _)| len * 8).sum::<usize>() as f64 / 10.0;
            assert!((bps / video.bitrate(layer) - 1.0).abs() < 0.03, "{bps} bit/s in layer {layer}");
            let ends = of_layer().filter(|(.., marker)| *marker).count();
            assert_eq!((ends, of_layer().next_back().map(|(_, stamp, ..)| stamp.frame)), (300, Some(301)));
        }
        assert!(packets.iter().all(|(.., len, _)| *len <= PACKET));
    }

    #[test]
    fn what_nobody_wants_is_not_filmed_and_comes_back_with_a_key_frame() {
        let mut camera = Camera::new(&Video::default(), &WHO, None, 0);
        frames(&mut camera, 2);
        camera.want(0b010);
        assert!(frames(&mut camera, 2).iter().all(|(rid, stamp, ..)| *rid == Some("h") && !stamp.is_key));
        camera.want(0b110);
        let back = frames(&mut camera, 1);
        assert!(back.iter().all(|(rid, stamp, ..)| stamp.is_key == (*rid == Some("f"))), "{back:?}");
        camera.need_key(Some("h"));
        assert!(frames(&mut camera, 1).iter().all(|(rid, stamp, ..)| stamp.is_key == (*rid == Some("h"))));
        camera.rest();
        assert!(frames(&mut camera, 2).iter().all(|(_, stamp, ..)| stamp.take == 2), "a new take");
    }

    #[test]
    fn the_only_layer_that_is_shown_has_no_name() {
        let video = Video { width: 640, height: 360, ..Video::default() };
        let mut camera = Camera::new(&video, &WHO, Some(video.shown()), 0);
        let packets = frames(&mut camera, 3);
        assert!(packets.iter().all(|(rid, stamp, ..)| rid.is_none() && stamp.layer == 0));
    }
}
