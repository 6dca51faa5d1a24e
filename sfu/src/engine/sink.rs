//! The video side of one listener: its fixed slots, what it wants in each, and each slot's stream.

use super::budget::Allowance;
use super::paced::Paced;
use super::room::sounds::Sounds;
use crate::PeerId;
use crate::rtcp::SentStream;
use crate::sdp::video::{Extensions, MAX_VIDEO_SLOTS, Video};
use crate::sys::thread::prefetch;
use crate::video::rewrite::Rewriter;
use crate::video::thinner::Thinner;
use crate::video::{Codec, Codecs, Source};
use std::time::Instant;

/// Packets that differ by no more than so many bytes are made equal: a word, which costs less than another message.
const MOST_EVENED: usize = 4;

/// What a listener wants to see in a slot, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Which slot, from zero.
    pub slot: u8,
    pub publisher: PeerId,
    pub source: Source,
    /// Width times height, in the listener's pixels; zero for a slot that is not to be filled for now.
    pub pixels: u32,
    /// The one that matters most.
    pub is_focus: bool,
}

/// How video is written for this listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// Payload type and that of retransmissions, by codec.
    pub codecs: [Option<(u8, Option<u8>)>; Codec::ALL.len()],
    /// The ids of the extensions for transport-wide numbers and for dependency descriptors.
    pub transport: Option<u8>,
    pub dependency: Option<u8>,
}

impl Formats {
    pub fn of(video: &Video) -> Formats {
        let Extensions { transport, dependency, .. } = video.extensions;
        let mut formats = Formats { transport, dependency, ..Formats::default() };
        for format in &video.formats {
            formats.codecs[format.codec as usize] = Some((format.payload_type, format.rtx));
        }
        formats
    }

    /// The codecs that the listener decodes.
    pub fn decoded(&self) -> Codecs {
        Codec::ALL.into_iter().filter(|codec| self.codecs[*codec as usize].is_some()).collect()
    }
}

pub struct Sink {
    pub formats: Formats,
    /// Its bandwidth, from the first wish on: most people in a voice channel only talk.
    pub paced: Option<Box<Paced>>,
    pub slots: Vec<Slot>,
    /// What it may still ask for again.
    pub repeats: Allowance,
    /// Where the sound of the screens is sent that it shows, if it takes that.
    pub sounds: Option<Box<Sounds>>,
}

pub struct Slot {
    pub ssrc: u32,
    rtx_ssrc: u32,
    rtx_index: u64,
    pub want: Option<Want>,
    /// Where it is shown from: index and generation.
    pub stage: Option<(usize, u32)>,
    /// What is sent, and what is to be sent from the next key frame on.
    pub layer: Option<u8>,
    pub target: Option<u8>,
    pub rewriter: Rewriter,
    /// What of a layered stream is sent, from the first such stream on.
    pub thinner: Option<Box<Thinner>>,
    /// The picture that is being sent, and the length of its packets.
    picture: (u32, usize),
    packets: u32,
    octets: u32,
    last_sent: Option<Instant>,
    /// Whether the listener knows who is in it.
    pub is_told: bool,
}

impl Sink {
    /// With one slot for each pair of SSRCs, at most [`MAX_VIDEO_SLOTS`].
    pub fn new(now: Instant, formats: Formats, ssrcs: &[(u32, u32)]) -> Sink {
        let slot = |&(ssrc, rtx_ssrc): &(u32, u32)| Slot {
            ssrc,
            rtx_ssrc,
            rtx_index: 1,
            want: None,
            stage: None,
            layer: None,
            target: None,
            rewriter: Rewriter::new(now),
            thinner: None,
            picture: (0, 0),
            packets: 0,
            octets: 0,
            last_sent: None,
            is_told: false,
        };
        let slots = ssrcs.iter().take(MAX_VIDEO_SLOTS).map(slot).collect();
        Sink { formats, paced: None, slots, repeats: Allowance::default(), sounds: None }
    }

    /// Takes the sound of screens, too.
    pub fn with_sounds(mut self, sounds: Option<Sounds>) -> Sink {
        self.sounds = sounds.map(Box::new);
        self
    }

    /// Begins to find out what the network carries.
    pub fn open(&mut self, now: Instant) {
        let (slots, tells_arrivals) = (self.slots.len(), self.formats.transport.is_some());
        self.paced.get_or_insert_with(|| Box::new(Paced::new(now, slots, tells_arrivals)));
    }

    /// Asks for what sending a copy from a slot touches.
    #[inline]
    pub fn ask(&self, slot: usize) {
        if let Some(slot) = self.slots.get(slot) {
            prefetch(slot, size_of::<Slot>());
        }
        if let Some(paced) = &self.paced {
            paced.ask();
        }
    }

    /// A slot shows nothing any more. Returns how many packets were dropped that waited for it.
    pub fn empty(&mut self, number: usize) -> u64 {
        if let Some(slot) = self.slots.get_mut(number) {
            (slot.stage, slot.layer, slot.target) = (None, None, None);
        }
        let Some(paced) = &mut self.paced else { return 0 };
        paced.allocator.reset(number as u8);
        paced.abandon(number)
    }

    /// Which slot's stream this is.
    pub fn slot_of(&self, ssrc: u32) -> Option<usize> {
        self.slots.iter().position(|slot| slot.ssrc == ssrc)
    }

    /// What was sent, sounds included, in the slots that were filled since `since`.
    pub fn sent(&self, now: Instant, since: Instant) -> impl Iterator<Item = SentStream> {
        let filled = self.slots.iter().filter(move |slot| slot.last_sent.is_some_and(|at| at >= since));
        let videos = filled.map(move |slot| SentStream {
            ssrc: slot.ssrc,
            timestamp: slot.rewriter.timestamp(now),
            packets: slot.packets,
            octets: slot.octets,
        });
        videos.chain(self.sounds.iter().flat_map(move |sounds| sounds.slots.sent(now, since)))
    }
}

impl Slot {
    #[inline]
    pub fn count_sent(&mut self, now: Instant, octets: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(octets as u32);
        self.last_sent = Some(now);
    }

    /// How much padding makes a packet as long as those of its picture before it: encoders cut a picture into packets that
    /// differ by a byte, and a run that is cut by the kernel has packets of one length.
    #[inline]
    pub fn padding(&mut self, timestamp: u32, len: usize) -> usize {
        match self.picture {
            (of, longest) if of == timestamp && longest >= len && longest - len <= MOST_EVENED => longest - len,
            _ => {
                self.picture = (timestamp, len);
                0
            }
        }
    }

    /// The SSRC and the number of the next retransmission.
    #[inline]
    pub fn next_repeat(&mut self) -> (u32, u64) {
        let index = self.rtx_index;
        self.rtx_index += 1;
        (self.rtx_ssrc, index)
    }

    /// Whether it shows something, or would if it could.
    pub fn is_shown(&self) -> bool {
        self.stage.is_some() && self.want.is_some_and(|want| want.pixels > 0)
    }
}
