//! What whoever records a room sees of its videos: of each the largest layer that there is, packet by packet as it came, what
//! was asked for again included. For the publisher it is one viewer more: the layer is switched on for it, what of it is lost is
//! asked for, and it is told when a key frame is needed.
//!
//! Of a layered stream all layers are copied: the largest needs the others.
//!
//! It costs a copy of each packet, in rooms that are filmed only.

use super::super::stage::Stage;
use super::Room;
use super::video::Shot;
use crate::video::history::Remembered;
use crate::video::{Codec, Source};
use crate::{PeerId, Seen};
use std::time::Instant;

/// Packets of a key frame that may have come before its first one: more than networks put out of order.
const AHEAD: u64 = 32;

/// Which layer of a video is filmed, and which is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Film {
    layer: Option<u8>,
    target: Option<u8>,
    /// How many streams it was, with the one that it is.
    takes: u32,
}

impl Film {
    /// The layers that the publisher is to send for it, one bit each.
    pub fn wanted(&self) -> u8 {
        [self.layer, self.target].into_iter().flatten().fold(0, |bits, layer| bits | 1 << layer)
    }
}

impl Film {
    /// What comes cannot go on in the stream that it was.
    pub fn cut(&mut self) {
        self.layer = None;
    }
}

impl Room {
    pub fn film(&mut self, now: Instant, is_filmed: bool) {
        self.is_filmed = is_filmed;
        for index in 0..self.stages.len() {
            match &mut self.stages[index] {
                // Whoever begins to film begins with key frames.
                Some(stage) => stage.film = Film { takes: stage.film.takes, ..Film::default() },
                None => continue,
            }
            self.aim_film(now, index);
        }
        self.agree();
    }

    /// Aims at the largest layer that can be had.
    pub(super) fn aim_film(&mut self, now: Instant, stage: usize) {
        if !self.is_filmed {
            return;
        }
        let Some(stage) = &mut self.stages[stage] else { return };
        let choices = stage.choices(now);
        let target = choices.places[..choices.count].last().copied();
        if std::mem::replace(&mut stage.film.target, target) == target {
            return;
        }
        let stream_of = |layer: u8| stage.layers[usize::from(layer)].stream;
        let is_other = |target: &u8| stage.film.layer.map(stream_of) != Some(stream_of(*target));
        if let Some(target) = target.filter(is_other) {
            stage.layers[usize::from(target)].need_key_frame();
        }
        self.errands.calls.push(stage.publisher);
    }

    /// Whoever films, which is at the home, cannot go on with this without a key frame.
    pub fn refresh(&mut self, publisher: PeerId, source: Source) {
        let is_it = |stage: &&mut Stage| (stage.publisher_id, stage.source) == (publisher, source);
        let Some(stage) = self.stages.iter_mut().flatten().find(is_it) else { return };
        if let Some(layer) = stage.film.target.or(stage.film.layer) {
            stage.layers[usize::from(layer)].need_key_frame();
            self.errands.calls.push(stage.publisher);
        }
    }

    /// A packet of a layered stream only fills its publisher's network: whoever films misses nothing.
    pub fn pass_padding(&mut self, now: Instant, stage: usize, stream: u8, (codec, index, timestamp): (Codec, u64, u32)) {
        if self.is_filmed {
            let shot = Shot { codec, index, timestamp, marker: false, payload: &[], part: None, descriptor: &[] };
            self.expose(now, stage, stream, &shot, false);
        }
    }

    /// Copies a packet of a stream for whoever films the room.
    #[cold]
    pub(super) fn expose(&mut self, now: Instant, stage: usize, stream: u8, shot: &Shot, starts_key_frame: bool) {
        let Room { stages, errands, life, .. } = self;
        let Some(stage) = &mut stages[stage] else { return };
        let Stage { film, layers, .. } = stage;
        let is_in_stream = |layer: &u8| layers.get(usize::from(*layer)).is_some_and(|layer| layer.stream == stream);
        let (is_filmed, target) = (film.layer.is_some_and(|layer| is_in_stream(&layer)), film.target.filter(is_in_stream));
        let begins = !is_filmed && target.is_some() && starts_key_frame;
        if !is_filmed && !begins {
            return;
        }
        film.layer = target.or(film.layer);
        film.takes += u32::from(begins);
        let Shot { codec, index, timestamp, marker, payload, .. } = *shot;
        let seen = |index: u64, packet: &Remembered| Seen {
            room: life.room,
            publisher: stage.publisher_id,
            source: stage.source,
            stream: (stage.generation, stage.film.takes),
            codec: packet.codec,
            index,
            timestamp: packet.timestamp,
            marker: packet.marker,
            at: now,
            payload: packet.payload.into(),
        };
        let whole = Remembered { codec, marker, timestamp, picture: Default::default(), level: None, payload, descriptor: &[] };
        errands.seen.push(seen(index, &whole));
        if let (true, Some(history)) = (begins, &stage.layers[usize::from(stream)].history) {
            let ahead = (index + 1..=index + AHEAD).filter_map(|index| Some((index, history.get(index)?)));
            errands.seen.extend(ahead.map(|(index, packet)| seen(index, &packet)));
        }
    }
}
