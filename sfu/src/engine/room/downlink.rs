//! Video on its way to one listener: which layers its network carries, when each packet leaves, and with which numbers.
//!
//! Packets wait as the places where they are remembered, because one copy serves everybody; each is copied, patched and sealed
//! straight into the send batch when its listener's pacer lets it go. Nothing here reads or writes another listener's state.

use super::super::paced::{CHOICE_INTERVAL, Narrowed, Queued, WIRE_OVERHEAD};
use super::super::sink::{Sink, Slot};
use super::super::stage::{Choices, Stage};
use super::super::{Egress, MAX_PAYLOAD, budget};
use super::video::REPEATED_LEN;
use super::{Errands, Listener, Room};
use crate::PeerEvent;
use crate::bandwidth::allocator::{Grant, Wish};
use crate::bandwidth::feedback;
use crate::bandwidth::ledger::{Class, Cluster};
use crate::bandwidth::pacer::Departure;
use crate::rtp::{MAX_DESCRIBED, MAX_WRITTEN, Outgoing, PADDED};
use crate::sdp::video::MAX_VIDEO_SLOTS;
use crate::stats::{Audience, Reason};
use crate::video::history::Remembered;
use crate::video::rewrite::{Incoming, Origin, Refused};
use crate::video::vp8::Picture;
use crate::video::{dependency, vp8};
use std::time::Instant;

/// Bytes of nothing in a packet that only probes, at most: their number stands in one byte.
const MOST_BLANK: usize = 224;

/// How much shorter a payload must be for a dependency descriptor in its header, beside that.
const DESCRIBED_LESS: usize = MAX_DESCRIBED - MAX_WRITTEN + (dependency::MAX_WRITTEN - dependency::MAX_READ);

/// Why a copy did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsent {
    /// It is older than the slot's stream.
    BeforeTenure,
    /// It is not remembered any more, or its stream went on without it.
    Gone,
}

impl Room {
    /// Gives a listener's slots the layers that its network carries.
    pub(super) fn allocate(&mut self, now: Instant, place: usize) {
        let Room { stages, listeners, errands, ceiling, .. } = self;
        let listener = &mut listeners[place];
        let Some(sink) = &mut listener.sink else { return };
        let Sink { formats, slots, paced: Some(paced), .. } = &mut **sink else { return };
        paced.chosen = now;
        let mut choices = [Choices::default(); MAX_VIDEO_SLOTS];
        let mut numbers = [0; MAX_VIDEO_SLOTS];
        let mut count = 0;
        for (number, slot) in slots.iter().enumerate() {
            let (Some(_), Some((stage, _))) = (slot.want, slot.stage) else { continue };
            let Some(stage) = stages[stage].as_ref() else { continue };
            // Key frames are not asked for in the name of somebody who cannot decode them.
            if stage.codec().is_some_and(|codec| formats.codecs[codec as usize].is_none()) {
                continue;
            }
            (choices[count], numbers[count]) = (stage.choices(now), number as u8);
            count += 1;
        }
        let wishes: [Wish; MAX_VIDEO_SLOTS] = std::array::from_fn(|at| {
            let want = slots.get(usize::from(numbers[at])).and_then(|slot| slot.want);
            let (pixels, is_focus) = want.map_or((0, false), |want| (ceiling.lower(want.source, want.pixels), want.is_focus));
            Wish { slot: numbers[at], pixels, is_focus, layers: &choices[at].layers[..choices[at].count] }
        });
        let wishes = &wishes[..count];
        // Of what is sent or comes already: a new picture has to fit.
        let is_sent = |wish: &&Wish| {
            let slot = &slots[usize::from(wish.slot)];
            wish.is_shown() && slot.layer.or(slot.target).is_some()
        };
        let least = wishes.iter().filter(is_sent).map(|wish| wish.layers[0].bitrate_bps).sum();
        let budget = paced.budget(now, least);
        paced.apply(now);
        let sum = paced.allocator.allocate(now, budget, 0, wishes, &mut paced.grants);
        let (mut bursts, mut narrowed) = (0, Narrowed::default());
        for at in 0..paced.grants.len() {
            let Grant { slot: number, layer } = paced.grants[at];
            let Some(at) = wishes.iter().position(|wish| wish.slot == number) else { continue };
            if wishes[at].is_shown() && layer.is_none_or(|layer| layer < wishes[at].best_of_use()) {
                narrowed.less |= 1 << number;
                narrowed.paused |= u16::from(layer.is_none()) << number;
            }
            bursts += layer.map_or(0, |layer| choices[at].bursts[layer]);
            let target = layer.map(|layer| choices[at].places[layer]);
            let slot = &mut slots[usize::from(number)];
            if target.is_none() && slot.layer.is_some() {
                errands.superseded += paced.abandon(usize::from(number));
            }
            if let Some(stage) = slot.stage.and_then(|(stage, _)| stages[stage].as_mut()) {
                if aim(slot, stage, target) {
                    errands.calls.push(stage.publisher);
                }
                // What is sent of a larger layer goes on as a smaller one within it.
                let is_left = |(layer, target)| stage.is_smaller(target, layer) && !stage.is_within(target, layer);
                let is_smaller = slot.layer.zip(target).is_some_and(is_left);
                if is_smaller && paced.is_left_behind() {
                    slot.layer = None;
                    errands.superseded += paced.abandon(usize::from(number));
                }
            }
        }
        // What only bursts is not smaller for it; but the network is asked whether it carries the burst, too.
        let burst = if bursts > 0 { (sum.video_bps + bursts) * 11 / 10 } else { 0 };
        paced.estimator.set_wanted(sum.next_bps.max(burst));
        paced.apply(now);
        if std::mem::replace(&mut paced.narrowed, narrowed) != narrowed {
            let Narrowed { less, paused } = narrowed;
            errands.events.push((listener.peer_id, PeerEvent::Narrowed { less, paused }));
        }
        listener.set_clock(now, errands);
    }

    /// Lets what is due leave, and chooses again when it is time.
    pub fn look_at(&mut self, now: Instant, place: usize, egress: &mut impl Egress) {
        let Some(paced) = self.listeners[place].sink.as_mut().and_then(|sink| sink.paced.as_mut()) else { return };
        // An entry that was overtaken by an earlier one.
        if paced.due.is_none_or(|due| due > now) {
            return;
        }
        paced.due = None;
        // Feedback puts off what was due without it, and nothing else is.
        if self.listeners[place].next_look().is_none_or(|at| at > now) {
            return self.listeners[place].set_clock(now, &mut self.errands);
        }
        let Some(paced) = self.listeners[place].sink.as_mut().and_then(|sink| sink.paced.as_mut()) else { return };
        paced.estimator.handle_timeout(now);
        paced.apply(now);
        if now.saturating_duration_since(paced.chosen) >= CHOICE_INTERVAL {
            self.allocate(now, place);
        }
        self.release(now, place, egress);
    }

    /// What a listener tells of what it was sent, in transport-wide numbers.
    pub fn hear_arrivals(&mut self, now: Instant, place: usize, packet: &[u8]) {
        let Some(paced) = self.listeners[place].sink.as_mut().and_then(|sink| sink.paced.as_mut()) else { return };
        let Some(feedback) = feedback::Feedback::parse(packet) else { return };
        paced.estimator.feedback(now, &feedback);
        if let Some(since) = paced.estimator.take_surge() {
            paced.doubt(now, since);
        }
        self.allocate(now, place);
    }

    /// What a listener tells that does not know such numbers: the bitrate that it takes, and the part (of 256) of our video
    /// that it lost.
    pub fn hear_reports(&mut self, now: Instant, place: usize, most_bps: Option<u64>, fraction_lost: Option<u8>) {
        let Some(paced) = self.listeners[place].sink.as_mut().and_then(|sink| sink.paced.as_mut()) else { return };
        if let Some(bps) = most_bps {
            paced.estimator.remb(bps);
        }
        if let Some(fraction) = fraction_lost {
            paced.estimator.receiver_report(now, fraction);
        }
        if most_bps.is_some() || fraction_lost.is_some() {
            self.allocate(now, place);
        }
    }

    /// Sends what may leave now.
    pub(super) fn release(&mut self, now: Instant, place: usize, egress: &mut impl Egress) {
        self.repeat_doubted(now, place, egress);
        let Room { stages, listeners, errands, .. } = self;
        let listener = &mut listeners[place];
        while let Some(departure) = listener.sink.as_mut().and_then(|sink| sink.paced.as_mut()?.pacer.pop(now)) {
            match departure {
                Departure::Packet { item, bytes, class, cluster } => {
                    let emitted = match item.is_blank {
                        true => listener.fill(now, stages, item, egress),
                        false => listener.emit(now, stages, item, class, cluster, egress),
                    };
                    if let (Err(_), Some(paced)) = (emitted, listener.sink.as_mut().and_then(|sink| sink.paced.as_mut())) {
                        paced.pacer.unsent(now, bytes, cluster);
                    }
                    match emitted {
                        Ok(_) if class == Class::Video => errands.sent += 1,
                        Ok(_) => errands.repeated += 1,
                        Err(Unsent::BeforeTenure) => errands.before_tenure += 1,
                        Err(Unsent::Gone) => {
                            errands.overdue += 1;
                            if class == Class::Video && !item.is_blank {
                                listener.lose_picture(usize::from(item.slot), stages, errands);
                            }
                        }
                    }
                }
                Departure::Padding { bytes, cluster } => {
                    let padded = listener.pad(now, stages, bytes, cluster, egress);
                    errands.padding += u64::from(padded > 0);
                    if let Some(paced) = listener.sink.as_mut().and_then(|sink| sink.paced.as_mut()) {
                        paced.pacer.padded(now, padded);
                    }
                }
            }
        }
        listener.set_clock(now, errands);
    }

    /// A listener lost the packet that it was sent with this number: it gets it again, if it is still known.
    pub fn repeat(
        &mut self,
        now: Instant,
        place: usize,
        ssrc: u32,
        sequence: u16,
        egress: &mut impl Egress,
    ) -> Result<(), Reason> {
        let Room { stages, listeners, errands, .. } = self;
        let Some(sink) = &mut listeners[place].sink else { return Ok(()) };
        let Some(slot) = sink.slot_of(ssrc) else { return Ok(()) };
        let Some((origin, number)) = sink.slots[slot].rewriter.origin(sequence) else { return Ok(()) };
        let thinner = sink.slots[slot].thinner.as_deref().filter(|_| origin.is_thinned);
        let found = thinner.and_then(|thinner| thinner.find(origin, number));
        if origin.is_thinned && found.is_none() {
            return Ok(());
        }
        let (index, left_out, top) = found.map_or((number, 0, 0), |found| (found.index, found.left_out, found.top));
        let queued = Queued { slot: slot as u8, origin, index, left_out, top, is_blank: false, begins: false };
        let Some(packet) = remembered(stages, &queued) else { return Ok(()) };
        // It came before the packet with which this listener's stream began, and may not be for it.
        let is_for = packet.level.is_some_and(|level| level.layers >> top & 1 == 1);
        let is_sent = |frame: u16| thinner.and_then(|thinner| thinner.fate(frame)).unwrap_or(is_for);
        if found.is_some_and(|found| found.was_missing) && !packet.picture.frame.is_some_and(is_sent) {
            return Ok(());
        }
        if !is_missed(&sink.slots[slot], stages, origin) {
            return Ok(());
        }
        if sink.formats.codecs[packet.codec as usize].is_none_or(|(_, rtx)| rtx.is_none()) {
            return Ok(());
        }
        if !sink.repeats.spend(now, budget::REPEATS) {
            return Err(Reason::OverBudget);
        }
        let Some(paced) = &mut sink.paced else { return Ok(()) };
        if !paced.may_repeat(now, queued) {
            return Ok(());
        }
        if paced.pacer.push_resend(now, queued, packet.payload.len() + REPEATED_LEN + WIRE_OVERHEAD).is_err() {
            // Who misses more than may wait wants a key frame, and will ask for it.
            errands.queue_full += 1;
        }
        self.release(now, place, egress);
        Ok(())
    }

    /// Everyone here who is shown anything.
    pub fn audience(&self) -> Audience {
        let mut audience = Audience::default();
        for sink in self.listeners.iter().filter_map(|listener| listener.sink.as_ref()) {
            let slots = sink.slots.iter().filter(|slot| slot.is_shown()).count() as u64;
            let Some(paced) = sink.paced.as_ref().filter(|_| slots > 0) else { continue };
            let paused = u64::from(paced.narrowed.paused.count_ones());
            let narrowed = u64::from(paced.narrowed.less.count_ones()) - paused;
            audience += Audience { listeners: 1, estimate_bps: paced.estimator.estimate().bps, slots, narrowed, paused };
        }
        audience
    }
}

/// Whether a slot's stream still needs what it was once sent: not when it goes on with a smaller picture, whose key frame asks
/// for nothing before it and whose network has no room for more, and not while it waits for one.
fn is_missed(slot: &Slot, stages: &[Option<Stage>], origin: Origin) -> bool {
    let Some(layer) = slot.layer else { return false };
    let stage = stages.get(usize::from(origin.stage)).and_then(Option::as_ref);
    stage.is_some_and(|stage| !stage.is_smaller(layer, origin.layer))
}

/// A packet that somebody was sent or is to be sent, if it is still known.
fn remembered<'a>(stages: &'a [Option<Stage>], queued: &Queued) -> Option<Remembered<'a>> {
    let stage = stages.get(usize::from(queued.origin.stage)).and_then(Option::as_ref);
    let stage = stage.filter(|stage| stage.generation == queued.origin.generation)?;
    stage.layers.get(usize::from(queued.origin.layer))?.history.as_ref()?.get(queued.index)
}

/// From its next key frame on the slot is sent this layer; without one it pauses at once. Whether the publisher is to hear.
fn aim(slot: &mut Slot, stage: &mut Stage, target: Option<u8>) -> bool {
    let is_news = std::mem::replace(&mut slot.target, target) != target;
    match target {
        None => {
            slot.layer = None;
            is_news
        }
        // A layer within the one that is sent needs none.
        Some(target) if slot.layer.is_some_and(|layer| layer == target || stage.is_within(target, layer)) => is_news,
        Some(target) => stage.layers[usize::from(target)].need_key_frame() || is_news,
    }
}

impl Listener {
    /// Sends a packet that is remembered: a new one with the next numbers of its slot, any other with those that it had and
    /// over the stream of retransmissions. Returns how many bytes left.
    fn emit(
        &mut self,
        now: Instant,
        stages: &[Option<Stage>],
        queued: Queued,
        class: Class,
        cluster: Option<Cluster>,
        egress: &mut impl Egress,
    ) -> Result<usize, Unsent> {
        let sink = self.sink.as_mut().ok_or(Unsent::Gone)?;
        let Sink { formats, slots, paced: Some(paced), .. } = &mut **sink else { return Err(Unsent::Gone) };
        let packet = remembered(stages, &queued).ok_or(Unsent::Gone)?;
        let (media, rtx) = formats.codecs[packet.codec as usize].ok_or(Unsent::Gone)?;
        let slot = slots.get_mut(usize::from(queued.slot)).ok_or(Unsent::Gone)?;
        let is_new = class == Class::Video;
        let payload_type = if is_new { media } else { rtx.ok_or(Unsent::Gone)? };
        let before = if is_new { 0 } else { REPEATED_LEN };
        let len = before + packet.payload.len();
        let most =
            if packet.descriptor.is_empty() { MAX_PAYLOAD } else { MAX_PAYLOAD - DESCRIBED_LESS - packet.descriptor.len() };
        if len > most {
            return Err(Unsent::Gone);
        }

        let incoming = Incoming { index: queued.number(), timestamp: packet.timestamp, picture: &packet.picture };
        let placed = if !is_new {
            slot.rewriter.again(queued.origin, &incoming).ok_or(Unsent::Gone)?
        } else if queued.begins {
            slot.rewriter.begin(now, queued.origin, &incoming)
        } else if slot.rewriter.goes_on_with(queued.origin) {
            slot.rewriter.place(now, &incoming).map_err(|refused| match refused {
                Refused::BeforeTenure => Unsent::BeforeTenure,
                Refused::Jumped => Unsent::Gone,
            })?
        } else {
            return Err(Unsent::Gone);
        };
        let descriptor_len = if formats.dependency.is_some() { packet.descriptor.len() } else { 0 };
        let padding = if is_new && descriptor_len == 0 { slot.padding(placed.timestamp, len) } else { 0 };
        let bytes = len + padding + descriptor_len + WIRE_OVERHEAD;
        let (ssrc, index) = if is_new { (slot.ssrc, placed.index) } else { slot.next_repeat() };
        if is_new {
            slot.count_sent(now, packet.payload.len());
        }
        paced.latest = Some(Queued { begins: false, ..queued });
        let outgoing = Outgoing {
            // The last packet of what is sent of a picture.
            marker: packet.marker || packet.level.is_some_and(|level| level.ends && level.spatial == queued.top),
            payload_type,
            sequence: index as u16,
            timestamp: placed.timestamp,
            ssrc,
            audio_level: None,
            transport: formats.transport.map(|id| (id, paced.estimator.sent(now, bytes, class, cluster))),
        };
        let out = egress.slot();
        let header_len = match formats.dependency {
            Some(id) if descriptor_len > 0 => {
                let mut descriptor = [0; dependency::MAX_WRITTEN];
                let len = dependency::copy(packet.descriptor, placed.frame, queued.top, &mut descriptor);
                outgoing.write_described(out, (id, &descriptor[..len]))
            }
            _ => outgoing.write(out),
        };
        let payload = &mut out[header_len..header_len + len + padding];
        payload[..before].copy_from_slice(&(placed.index as u16).to_be_bytes()[..before]);
        payload[before..len].copy_from_slice(packet.payload);
        vp8::patch(&mut payload[before..len], &packet.picture, placed.picture_id, placed.base);
        if padding > 0 {
            payload[len..].fill(0);
            payload[len + padding - 1] = padding as u8;
            out[0] |= PADDED;
        }
        let len = self.outbound.seal_in_place(out, header_len, index, len + padding);
        egress.commit(len, self.address);
        Ok(bytes)
    }

    /// Sends a packet of nothing in the place of one that came late and is not for this listener.
    fn fill(
        &mut self,
        now: Instant,
        stages: &[Option<Stage>],
        queued: Queued,
        egress: &mut impl Egress,
    ) -> Result<usize, Unsent> {
        let sink = self.sink.as_mut().ok_or(Unsent::Gone)?;
        let Sink { formats, slots, paced: Some(paced), .. } = &mut **sink else { return Err(Unsent::Gone) };
        let packet = remembered(stages, &queued).ok_or(Unsent::Gone)?;
        let (payload_type, _) = formats.codecs[packet.codec as usize].ok_or(Unsent::Gone)?;
        let slot = slots.get_mut(usize::from(queued.slot)).filter(|slot| slot.rewriter.goes_on_with(queued.origin));
        let slot = slot.ok_or(Unsent::Gone)?;
        let incoming = Incoming { index: queued.number(), timestamp: packet.timestamp, picture: &Picture::default() };
        let placed = slot.rewriter.place(now, &incoming).map_err(|_| Unsent::BeforeTenure)?;
        let bytes = 1 + WIRE_OVERHEAD;
        slot.count_sent(now, 0);
        let outgoing = Outgoing {
            marker: false,
            payload_type,
            sequence: placed.index as u16,
            timestamp: placed.timestamp,
            ssrc: slot.ssrc,
            audio_level: None,
            transport: formats.transport.map(|id| (id, paced.estimator.sent(now, bytes, Class::Video, None))),
        };
        let out = egress.slot();
        let header_len = outgoing.write(out);
        out[0] |= PADDED;
        let len = self.outbound.seal(out, header_len, placed.index, &[1]);
        egress.commit(len, self.address);
        Ok(bytes)
    }

    /// Sends about so many bytes that nobody waits for: the newest packet once more, and before the first one nothing but
    /// padding. Returns how many left; none when this listener takes no retransmissions.
    fn pad(&mut self, now: Instant, stages: &[Option<Stage>], bytes: usize, cluster: Cluster, egress: &mut impl Egress) -> usize {
        let latest = self.sink.as_ref().and_then(|sink| sink.paced.as_ref()?.latest);
        let again = latest.and_then(|item| self.emit(now, stages, item, Class::Padding, Some(cluster), egress).ok());
        again.or_else(|| self.pad_blank(now, bytes, cluster, egress)).unwrap_or(0)
    }

    fn pad_blank(&mut self, now: Instant, bytes: usize, cluster: Cluster, egress: &mut impl Egress) -> Option<usize> {
        let Sink { formats, slots, paced, .. } = &mut **self.sink.as_mut()?;
        let payload_type = formats.codecs.iter().flatten().find_map(|(_, rtx)| *rtx)?;
        let (paced, slot) = (paced.as_mut()?, slots.first_mut()?);
        let len = bytes.saturating_sub(WIRE_OVERHEAD).clamp(1, MOST_BLANK);
        let mut blank = [0; MOST_BLANK];
        blank[len - 1] = len as u8;
        let (ssrc, index) = slot.next_repeat();
        let bytes = len + WIRE_OVERHEAD;
        let outgoing = Outgoing {
            marker: false,
            payload_type,
            sequence: index as u16,
            timestamp: slot.rewriter.timestamp(now),
            ssrc,
            audio_level: None,
            transport: formats.transport.map(|id| (id, paced.estimator.sent(now, bytes, Class::Padding, Some(cluster)))),
        };
        let out = egress.slot();
        let header_len = outgoing.write(out);
        out[0] |= PADDED;
        let len = self.outbound.seal(out, header_len, index, &blank[..len]);
        egress.commit(len, self.address);
        Some(bytes)
    }

    /// A slot's stream has a gap that only a key frame closes.
    fn lose_picture(&mut self, number: usize, stages: &mut [Option<Stage>], errands: &mut Errands) {
        let Some(sink) = &mut self.sink else { return };
        let Sink { slots, paced: Some(paced), .. } = &mut **sink else { return };
        errands.superseded += paced.abandon(number);
        let Some(slot) = slots.get_mut(number) else { return };
        slot.layer = None;
        let stage = slot.stage.and_then(|(stage, _)| stages[stage].as_mut());
        if let (Some(stage), Some(target)) = (stage, slot.target)
            && stage.layers[usize::from(target)].need_key_frame()
        {
            errands.calls.push(stage.publisher);
        }
    }

    /// When this wants to be looked at.
    fn next_look(&self) -> Option<Instant> {
        let sink = self.sink.as_ref()?;
        sink.paced.as_ref()?.next_timeout(sink.slots.iter().any(Slot::is_shown))
    }

    /// Makes sure that it is.
    fn set_clock(&mut self, now: Instant, errands: &mut Errands) {
        let Some(at) = self.next_look().map(|at| at.max(now)) else { return };
        let Some(paced) = self.sink.as_mut().and_then(|sink| sink.paced.as_mut()) else { return };
        if paced.due.is_none_or(|due| at < due) {
            paced.due = Some(at);
            errands.alarms.push((at, paced.estimator.probe().is_some(), self.peer_id, self.peer));
        }
    }
}
