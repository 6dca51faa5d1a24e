//! Video in a session: what the client publishes, what it shows, and what it is told of both.
//!
//! A client of ours says by an opcode of our own which slot shows whose video and how large, and hears who is in which. One
//! that speaks Discord's form says how much of each SSRC it wants (op 15); it is given a slot for each video that there is, as
//! long as there are slots, and hears of their SSRCs by op 12. Both drive the same machinery of the media engine.

use super::{Output, Session, Stage, Transport};
use crate::rooms::Occupant;
use guildhall_protocol::UserId;
use guildhall_protocol::voice_gateway::{
    FilledSlot, NarrowedSlot, NarrowedSlots, Published, RoomCodecs, SinkWants, Video, VideoSlots, VideoSource, VideoStream,
    WantedLayer, WantedLayers, opcode,
};
use guildhall_sfu::Layers;
use guildhall_sfu::video::{Codec, Codecs};
use serde_json::json;
use std::collections::BTreeMap;

/// What a slot is sent for a client that wants all of a stream and does not say how large it shows it.
const FULL_PIXELS: u32 = 1280 * 720;

/// And for one that wants less than all of it.
const REDUCED_PIXELS: u32 = 320 * 180;

/// What a client wants to see in one of its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub slot: u8,
    pub user_id: UserId,
    pub source: VideoSource,
    /// Zero: not for now.
    pub pixels: u32,
    pub is_focus: bool,
}

#[derive(Default)]
pub(super) struct Videos {
    /// The SSRCs of each slot and its retransmissions.
    slots: Vec<(u32, u32)>,
    filled: Vec<Option<(UserId, VideoSource)>>,
    wanted: Vec<Wanted>,
    /// How the client said what it wants, if it did.
    way: Option<Way>,
    /// Others who publish, with their native SSRC.
    others: BTreeMap<UserId, (u32, Published)>,
    /// What the client says that it publishes, and what others were told.
    declared: Published,
    announced: Published,
    /// What everybody in the room decodes.
    codecs: Option<Codecs>,
}

enum Way {
    Slots,
    Sinks(SinkWants),
}

impl Videos {
    /// The client has these slots from now on.
    pub(super) fn open(&mut self, slots: Vec<(u32, u32)>) {
        self.filled.resize(slots.len(), None);
        self.slots = slots;
    }

    /// What a client that does not choose sends.
    pub(super) fn codec(&self) -> &'static str {
        self.codecs.and_then(|codecs| codecs.iter().next()).unwrap_or(Codec::Vp8).name()
    }

    /// Who is shown large.
    pub(super) fn focused(&self) -> impl Iterator<Item = UserId> {
        self.wanted.iter().filter(|wanted| wanted.is_focus).map(|wanted| wanted.user_id)
    }

    fn slot_of(&self, user_id: UserId, source: VideoSource) -> Option<(u32, u32)> {
        let slot = self.filled.iter().position(|filled| *filled == Some((user_id, source)))?;
        self.slots.get(slot).copied()
    }
}

impl Session {
    /// Op 12 of the client.
    pub(super) fn declare_video(&mut self, published: Published, out: &mut Vec<Output>) {
        self.videos.declared = published;
        if published != Published::NOTHING && !self.may_publish() {
            // Nobody will be shown it, and the client is told so: it may stop its encoder.
            self.send(opcode::MEDIA_SINK_WANTS, &json!({ "any": 0 }), out);
        }
        self.announce_video(out);
    }

    fn may_publish(&self) -> bool {
        self.policy.can_stream && self.transport == Some(Transport::WebRtc)
    }

    pub(super) fn announce_video(&mut self, out: &mut Vec<Output>) {
        let published = if self.may_publish() { self.videos.declared } else { Published::NOTHING };
        if self.stage == Stage::Connected && published != self.videos.announced {
            self.videos.announced = published;
            out.push(Output::Publish(published));
        }
    }

    /// What the client shows from now on.
    pub(super) fn show(&mut self, shown: VideoSlots, out: &mut Vec<Output>) {
        if self.transport != Some(Transport::WebRtc) {
            return;
        }
        let wanted = |shown: guildhall_protocol::voice_gateway::ShownSlot| Wanted {
            slot: shown.slot,
            user_id: UserId(shown.user_id),
            source: shown.source,
            pixels: u32::from(shown.width) * u32::from(shown.height),
            is_focus: shown.focus,
        };
        let slots = self.videos.slots.len();
        let wanted = shown.slots.into_iter().map(wanted).filter(|wanted| usize::from(wanted.slot) < slots).take(slots).collect();
        self.videos.way = Some(Way::Slots);
        self.want(wanted, out);
    }

    /// How much of each stream the client wants from now on.
    pub(super) fn sink(&mut self, wants: SinkWants, out: &mut Vec<Output>) {
        if self.transport == Some(Transport::WebRtc) && !matches!(self.videos.way, Some(Way::Slots)) {
            self.videos.way = Some(Way::Sinks(wants));
            self.assign(out);
        }
    }

    /// Gives every video a slot, for a client that leaves that to us. What has one keeps it.
    fn assign(&mut self, out: &mut Vec<Output>) {
        let Videos { way: Some(Way::Sinks(sinks)), slots, wanted, others, .. } = &self.videos else { return };
        let all = || others.iter().flat_map(|(user, (_, published))| published.sources().map(|source| (*user, source)));
        let held = |user_id, source| wanted.iter().find(|each| (each.user_id, each.source) == (user_id, source));
        let mut places: Vec<Option<(UserId, VideoSource)>> = vec![None; slots.len()];
        for (user_id, source) in all() {
            if let Some(place) = held(user_id, source).and_then(|each| places.get_mut(usize::from(each.slot))) {
                *place = Some((user_id, source));
            }
        }
        for video in all().filter(|(user_id, source)| held(*user_id, *source).is_none()) {
            if let Some(free) = places.iter_mut().find(|place| place.is_none()) {
                *free = Some(video);
            }
        }
        let pixels = |ssrc: u32| {
            let quality = sinks.qualities.iter().find(|(of, _)| *of == ssrc).map(|(_, quality)| *quality);
            let count = sinks.pixels.iter().find(|(of, _)| *of == ssrc).map(|(_, count)| *count);
            match quality.or(sinks.any).unwrap_or(100) {
                0 => 0,
                100 => count.unwrap_or(FULL_PIXELS),
                _ => count.unwrap_or(REDUCED_PIXELS).min(REDUCED_PIXELS),
            }
        };
        let assigned = places.iter().zip(slots).zip(0..).filter_map(|((place, (ssrc, _)), slot)| {
            let (user_id, source) = (*place)?;
            Some(Wanted { slot, user_id, source, pixels: pixels(*ssrc), is_focus: false })
        });
        let assigned = assigned.collect();
        self.want(assigned, out);
    }

    fn want(&mut self, wanted: Vec<Wanted>, out: &mut Vec<Output>) {
        if wanted != self.videos.wanted {
            self.videos.wanted.clone_from(&wanted);
            out.push(Output::Watch(wanted));
            self.tell_pins(out);
        }
    }

    /// Somebody came. Whoever came back is another peer of the media engine, which is asked again.
    pub(super) fn other_entered(&mut self, other: Occupant, out: &mut Vec<Output>) {
        if self.videos.wanted.iter().any(|wanted| wanted.user_id == other.user_id) {
            out.push(Output::Watch(self.videos.wanted.clone()));
        }
        self.other_publishes(other, out);
    }

    /// Somebody shows other things than before.
    pub(super) fn other_publishes(&mut self, other: Occupant, out: &mut Vec<Output>) {
        if self.transport != Some(Transport::WebRtc) {
            return;
        }
        let before = self.videos.others.get(&other.user_id).map_or(Published::NOTHING, |(_, published)| *published);
        if other.video == Published::NOTHING {
            self.videos.others.remove(&other.user_id);
        } else {
            self.videos.others.insert(other.user_id, (other.ssrc, other.video));
        }
        if before != other.video {
            self.name_video(other.user_id, other.ssrc, out);
            self.assign(out);
        }
    }

    pub(super) fn other_left(&mut self, user_id: UserId, out: &mut Vec<Output>) {
        if self.videos.others.remove(&user_id).is_some() {
            self.assign(out);
        }
    }

    /// Op 12: what somebody publishes, and where this client is sent it.
    fn name_video(&mut self, user_id: UserId, audio_ssrc: u32, out: &mut Vec<Output>) {
        let published = self.videos.others.get(&user_id).map_or(Published::NOTHING, |(_, published)| *published);
        let stream = |source| VideoStream::new(source, self.videos.slot_of(user_id, source).unwrap_or_default());
        let streams: Vec<VideoStream> = published.sources().map(stream).collect();
        let video_ssrc = streams.iter().map(|stream| stream.ssrc).find(|ssrc| *ssrc != 0).unwrap_or(0);
        let video = Video { user_id: user_id.into(), audio_ssrc, video_ssrc, streams };
        self.send_replayable(opcode::VIDEO, &video, out);
    }

    /// The media engine fills a slot with this from now on.
    pub(super) fn filled(&mut self, slot: u8, showing: Option<(UserId, VideoSource)>, out: &mut Vec<Output>) {
        let Some(place) = self.videos.filled.get_mut(usize::from(slot)) else { return };
        let before = std::mem::replace(place, showing);
        if before == showing {
            return;
        }
        let slots = self.videos.slots.iter().zip(&self.videos.filled).zip(0..).map(|((&(ssrc, _), filled), slot)| FilledSlot {
            slot,
            ssrc,
            user_id: filled.map(|(user_id, _)| user_id.into()),
            source: filled.map(|(_, source)| source),
        });
        let slots: Vec<FilledSlot> = slots.collect();
        self.send_replayable(opcode::VIDEO_SLOTS, &json!({ "slots": slots }), out);
        for (user_id, _) in [before, showing].into_iter().flatten() {
            if let Some(&(ssrc, _)) = self.videos.others.get(&user_id) {
                self.name_video(user_id, ssrc, out);
            }
        }
    }

    /// Which slots (one bit each) get less than they could show for want of bandwidth, and which of them nothing.
    pub(super) fn narrowed(&mut self, less: u16, paused: u16, out: &mut Vec<Output>) {
        let is_in = |slots: u16, slot: u8| slots >> slot & 1 == 1;
        let slots = (0..16).filter(|&slot| is_in(less, slot)).map(|slot| NarrowedSlot { slot, paused: is_in(paused, slot) });
        self.send_replayable(opcode::NARROWED, &NarrowedSlots { slots: slots.collect() }, out);
    }

    /// Other codecs than before are decoded by everybody.
    pub(super) fn room_decodes(&mut self, codecs: Codecs, out: &mut Vec<Output>) {
        if self.videos.codecs.replace(codecs) != Some(codecs) && self.stage == Stage::Connected {
            self.tell_codecs(out);
        }
    }

    pub(super) fn tell_codecs(&mut self, out: &mut Vec<Output>) {
        if let Some(codecs) = self.videos.codecs {
            self.send_replayable(opcode::CODECS, &RoomCodecs { video: codecs.iter().map(Codec::name).collect() }, out);
        }
    }

    /// What of this client's video is worth sending.
    pub(super) fn layers(&mut self, source: VideoSource, layers: Layers, out: &mut Vec<Output>) {
        let wanted = |layer: &guildhall_sfu::Layer| WantedLayer { rid: layer.rid.as_str().to_owned(), active: layer.is_wanted };
        let message = WantedLayers { source, layers: layers.iter().map(wanted).collect() };
        self.send_replayable(opcode::LAYERS, &message, out);
        let quality = |is_wanted: bool| if is_wanted { 100 } else { 0 };
        let mut sinks = json!({ "any": quality(layers.iter().any(|layer| layer.is_wanted)) });
        for layer in layers.iter() {
            if let Some(ssrc) = layer.ssrc {
                sinks[ssrc.to_string()] = json!(quality(layer.is_wanted));
            }
        }
        self.send_replayable(opcode::MEDIA_SINK_WANTS, &sinks, out);
    }
}
