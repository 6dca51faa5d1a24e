//! What is shown in a room that is spread. A video has its stage where its publisher sits, and a *mirror* of it on every other
//! part of the room: a stage like any other, with a history, an audience and layers chosen for it, whose packets come from
//! another worker instead of a network. The home has a mirror of what is shown on a branch, and the other branches have mirrors
//! of that.
//!
//! - Towards the mirrors go facts (which layers there are, how large, at what cost), and the packets: of each layer once for each
//!   part that wants it, decrypted. Sound goes where the screen is shown.
//! - Towards the publisher go wishes: the layers that are wanted, and key frames. The home asks for what all branches want
//!   together, and each part asks for a key frame no more often than any stage does.
//! - Whatever a listener lost it gets again from its own worker. When a packet is lost between workers, its mirror asks for a key
//!   frame.
//! - Each part says which codecs everybody on it decodes, and hears what everybody decodes on all the others.
//!
//! A stage of which nothing ever came has no mirrors: most people in a large room only listen.

use super::pieces::{Head, Piece};
use super::{Branch, Letters, Parcels, Part, What};
use crate::PeerId;
use crate::engine::room::Room;
use crate::engine::room::sounds::Sounding;
use crate::engine::room::video::Shot;
use crate::engine::stage::{Face, Layer, Stage};
use crate::engine::timers::Timer;
use crate::engine::uplink::TICK;
use crate::engine::{Egress, Engine};
use crate::stats::{Drops, Reason};
use crate::video::{Codec, Codecs, MAX_LAYERS, Source};
use std::time::{Duration, Instant};

/// The publisher of a mirror, in place of an index in the engine's table.
pub const MIRRORED: u32 = u32::MAX;

/// How often it is told at the most what layers cost, if nothing else of them is new: as often as that is measured.
const COSTS_APART: Duration = Duration::from_millis(500);

/// The same on every part of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    publisher: PeerId,
    source: Source,
    /// Tells it from others that its publisher had, by the generation of its stage.
    number: u32,
}

/// What is known of a video where its publisher sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    codec: Option<Codec>,
    /// As in [`Stage`].
    within: [u8; MAX_LAYERS],
    count: u8,
    layers: [Face; MAX_LAYERS],
}

/// What a part wants of a video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Where its mirror is.
    at: u32,
    /// One bit each: the layers that are wanted, and those of which a key frame is.
    layers: u8,
    key_frames: u8,
    /// Its sound is wanted, too.
    is_heard: bool,
}

/// Another part that has a mirror.
struct Outlet {
    worker: usize,
    /// Without key frames.
    wish: Wish,
    /// The number of each stream's next packet.
    numbers: [u32; MAX_LAYERS],
}

/// What a stage has to do with other parts of its room.
#[derive(Default)]
pub struct Links {
    /// Of a mirror: the worker from which it comes, its number there, and what that was told.
    upstream: Option<(usize, u32)>,
    told: Option<Wish>,
    /// The number of each stream's next packet.
    expected: [u32; MAX_LAYERS],
    /// Those that are given it from here.
    outlets: Vec<Outlet>,
    /// What other parts were told last, and when.
    facts: Option<(Instant, Facts)>,
}

impl Links {
    /// The layers that other parts want, one bit each.
    pub fn wanted(&self) -> u8 {
        self.outlets.iter().fold(0, |bits, outlet| bits | outlet.wish.layers)
    }

    /// Whether its sound is wanted on other parts.
    pub fn is_shown(&self) -> bool {
        self.outlets.iter().any(|outlet| outlet.wish.is_heard)
    }
}

impl Facts {
    fn of(now: Instant, stage: &Stage) -> Facts {
        let mut layers = [Face::default(); MAX_LAYERS];
        layers.iter_mut().zip(&stage.layers).for_each(|(face, layer)| *face = layer.face(now));
        Facts { codec: stage.codec(), within: stage.within, count: stage.layers.len() as u8, layers }
    }

    /// Without what changes all the time.
    fn outline(self) -> Facts {
        Facts { layers: self.layers.map(Face::outline), ..self }
    }
}

impl Stage {
    fn name(&self) -> Name {
        let number = self.links.as_ref().and_then(|links| links.upstream).map_or(self.generation, |(_, number)| number);
        Name { publisher: self.publisher_id, source: self.source, number }
    }

    fn upstream(&self) -> Option<usize> {
        Some(self.links.as_ref()?.upstream?.0)
    }

    /// Whether other parts are to know of it.
    fn is_known(&self) -> bool {
        self.links.is_some() || self.layers.iter().any(Layer::is_known)
    }
}

impl Letters {
    fn write(&mut self, worker: usize, what: What) {
        self.0.push((worker, what));
    }
}

impl Room {
    /// Whether it has other parts.
    pub fn is_spread(&self) -> bool {
        !self.branches.is_empty() || self.part != Part::Home
    }

    /// Tells the parts that this one has to do with, but one: all others have to do with the home alone.
    fn write_all(&mut self, but: Option<usize>, what: impl Fn() -> What) {
        let Room { part, branches, errands, .. } = self;
        let home = match *part {
            Part::Home => None,
            Part::Branch { home } => Some(home),
        };
        let workers = home.into_iter().chain(branches.iter().map(|branch| branch.worker));
        workers.filter(|worker| Some(*worker) != but).for_each(|worker| errands.letters.write(worker, what()));
    }

    fn on_stage(&self, at: usize) -> Option<&Stage> {
        self.stages().get(at)?.as_ref()
    }

    /// Takes what another part says of what is shown.
    pub(super) fn read(&mut self, now: Instant, from: usize, what: &What) {
        match what {
            What::Welcome => self.end_mirrors(),
            What::Decoded(codecs) => self.hear_decoded(from, *codecs),
            What::Facts { name, facts, is_certain } => self.reflect(now, from, *name, facts, *is_certain),
            What::Ended(name) => self.end_mirror(*name),
            What::Wish { name, wish } => self.hear_wish(from, *name, *wish),
            What::Hush(name) => self.hush_mirror(*name),
            What::Refresh { publisher, source } => self.refresh(*publisher, *source),
            // These are not about that.
            What::Attach | What::Detach | What::Silent { .. } | What::Packet(_) | What::Piece(_) => {}
        }
    }

    // Where the publisher sits.

    /// Tells other parts what is new of a stage.
    pub fn announce(&mut self, now: Instant, at: usize) {
        if !self.is_spread() {
            return;
        }
        let Some(stage) = self.stage(at).filter(|stage| stage.is_known()) else { return };
        let (name, facts) = (stage.name(), Facts::of(now, stage));
        let links = stage.links.get_or_insert_default();
        let mut is_certain = true;
        if let Some((told, before)) = &links.facts {
            is_certain = before.outline() != facts.outline();
            let apart = if is_certain { TICK } else { COSTS_APART };
            if *before == facts || now.saturating_duration_since(*told) < apart {
                return;
            }
        }
        links.facts = Some((now, facts));
        self.write_all(None, || What::Facts { name, facts, is_certain });
    }

    /// A screen sounds. Whether other parts are to be told that there is one.
    pub fn link_sound(&mut self, at: usize) -> bool {
        let is_spread = self.is_spread();
        let Some(stage) = self.stage(at).filter(|stage| is_spread && stage.links.is_none()) else { return false };
        stage.links = Some(Box::default());
        true
    }

    /// Tells other parts that a stage is gone.
    pub fn tell_end(&mut self, stage: &Stage) {
        if stage.links.as_ref().is_some_and(|links| links.facts.is_some()) {
            let name = stage.name();
            self.write_all(stage.upstream(), || What::Ended(name));
        }
    }

    /// Tells other parts that nothing is heard of a screen for now.
    pub fn tell_hush(&mut self, at: usize) {
        let Some(stage) = self.stage(at).filter(|stage| stage.links.is_some()) else { return };
        let (name, upstream) = (stage.name(), stage.upstream());
        self.write_all(upstream, || What::Hush(name));
    }

    /// A part wants this of a stage from now on.
    fn hear_wish(&mut self, from: usize, name: Name, wish: Wish) {
        let is_it = |stage: &Option<Stage>| stage.as_ref().is_some_and(|stage| stage.name() == name);
        let Some(stage) = self.stages().iter().position(is_it).and_then(|at| self.stage(at)) else { return };
        let links = stage.links.get_or_insert_default();
        let known = Wish { key_frames: 0, ..wish };
        match links.outlets.iter_mut().find(|outlet| outlet.worker == from) {
            Some(outlet) => outlet.wish = known,
            None => links.outlets.push(Outlet { worker: from, wish: known, numbers: [0; MAX_LAYERS] }),
        }
        for (_, layer) in stage.layers.iter_mut().enumerate().filter(|(place, _)| wish.key_frames >> place & 1 == 1) {
            layer.need_key_frame();
        }
        let publisher = stage.publisher;
        self.errands.calls.push(publisher);
    }

    /// Whether other parts know of a stage.
    #[inline]
    pub fn is_linked(&self, at: usize) -> bool {
        self.on_stage(at).is_some_and(|stage| stage.links.is_some())
    }

    /// Hands a packet of a stream to the parts that want it.
    #[cold]
    pub fn pass_on(&mut self, (at, stream): (usize, u8), shot: &Shot, parcels: &mut Parcels, drops: &mut Drops) {
        let life = self.life;
        let Some(stage) = self.stage(at) else { return };
        let (name, layers) = (stage.name(), stage.of_stream(stream));
        let Some(links) = &mut stage.links else { return };
        for outlet in links.outlets.iter_mut().filter(|outlet| outlet.wish.layers & layers != 0) {
            if !Piece::fits(shot) {
                drops.count(Reason::Oversized);
                continue;
            }
            let Some(number) = outlet.numbers.get_mut(usize::from(stream)) else { continue };
            let head = Head::new(stream, *number, shot);
            *number = number.wrapping_add(1);
            let is_handed = parcels.hand_piece(outlet.worker, life, || Piece::picture(name, outlet.wish.at, head, shot));
            drops.add(Reason::HandoverFull, u64::from(!is_handed));
        }
    }

    /// Hands a packet of a screen's sound to the parts that show it.
    #[cold]
    pub fn pass_sound_on(&mut self, at: usize, sounding: &Sounding, parcels: &mut Parcels, drops: &mut Drops) {
        let life = self.life;
        let Some(stage) = self.stage(at) else { return };
        let name = stage.name();
        for outlet in stage.links.iter().flat_map(|links| &links.outlets).filter(|outlet| outlet.wish.is_heard) {
            let is_handed = parcels.hand_piece(outlet.worker, life, || Piece::sound(name, outlet.wish.at, sounding));
            drops.add(Reason::HandoverFull, u64::from(!is_handed));
        }
    }

    // Where the mirror is.

    fn find_mirror(&self, name: Name) -> Option<usize> {
        self.mirrors.iter().copied().find(|&at| self.on_stage(at).is_some_and(|stage| stage.name() == name))
    }

    /// Takes over what is known of a video that is shown on another part, and passes it on.
    fn reflect(&mut self, now: Instant, from: usize, name: Name, facts: &Facts, is_certain: bool) {
        let at = match self.find_mirror(name) {
            Some(at) => at,
            // The word that begins it is certain, so this came from before.
            None if !is_certain => return,
            None => self.open_mirror(now, from, name, usize::from(facts.count)),
        };
        let before = self.stage(at).and_then(|stage| stage.codec());
        if before.is_some() && facts.codec.is_some() && before != facts.codec {
            self.recode(now, at);
        }
        let Some(stage) = self.stage(at) else { return };
        let (count, known) = (usize::from(facts.count).min(MAX_LAYERS), stage.layers.len());
        stage.layers.extend((known..count).map(|place| Layer::new(now, place as u8)));
        stage.within = facts.within;
        let mut is_change = count > known;
        for (layer, face) in stage.layers.iter_mut().zip(&facts.layers[..count]) {
            is_change |= layer.reflect(face, facts.codec);
        }
        if let Some(links) = &mut stage.links {
            links.facts = Some((now, *facts));
        }
        if is_change {
            self.settle(now, at);
        }
        let facts = *facts;
        self.write_all(Some(from), || What::Facts { name, facts, is_certain });
    }

    fn open_mirror(&mut self, now: Instant, from: usize, name: Name, layers: usize) -> usize {
        let at = self.open_stage(now, (MIRRORED, name.publisher), name.source, layers);
        if let Some(stage) = self.stage(at) {
            stage.links = Some(Box::new(Links { upstream: Some((from, name.number)), ..Links::default() }));
        }
        self.mirrors.push(at);
        self.errands.calls.push(MIRRORED);
        at
    }

    /// What a mirror is of has ended.
    fn end_mirror(&mut self, name: Name) {
        if let Some(at) = self.find_mirror(name) {
            self.close_mirror(at);
        }
    }

    fn close_mirror(&mut self, at: usize) {
        self.mirrors.retain(|other| *other != at);
        if let Some(stage) = self.take_stage(at) {
            self.clear(stage);
        }
    }

    /// This part begins, and whatever it heard before was for one before it.
    fn end_mirrors(&mut self) {
        while let Some(&at) = self.mirrors.last() {
            self.close_mirror(at);
        }
    }

    /// Nothing is heard for now of a screen that is shown on another part.
    fn hush_mirror(&mut self, name: Name) {
        if let Some(at) = self.find_mirror(name) {
            let mut events = Vec::new();
            self.hush(at, &mut events);
            self.errands.events.append(&mut events);
            self.tell_hush(at);
        }
    }

    /// Tells the parts that videos come from what is wanted of them. Whether a key frame is waited for.
    pub fn look_at_mirrors(&mut self, now: Instant) -> bool {
        let mut is_waiting = false;
        for next in 0..self.mirrors.len() {
            let at = self.mirrors[next];
            let wanted = self.wanted(at);
            let is_heard = self.on_stage(at).is_some_and(|stage| stage.source == Source::Screen) && self.is_shown(at);
            let Some(stage) = self.stage(at) else { continue };
            let mut key_frames = 0;
            for (place, layer) in stage.layers.iter_mut().enumerate() {
                layer.switch(wanted >> place & 1 == 1);
                key_frames |= u8::from(layer.ask_key_frame(now)) << place;
                is_waiting |= layer.waits_for_key_frame();
            }
            let wish = Wish { at: at as u32, layers: wanted, key_frames: 0, is_heard };
            let name = stage.name();
            let Some((links, (upstream, _))) = stage.links.as_mut().and_then(|links| links.upstream.map(|from| (links, from)))
            else {
                continue;
            };
            if key_frames != 0 || links.told.unwrap_or(Wish { at: at as u32, ..Wish::default() }) != wish {
                links.told = Some(wish);
                self.errands.letters.write(upstream, What::Wish { name, wish: Wish { key_frames, ..wish } });
            }
        }
        is_waiting
    }

    /// Gives a packet of a picture to those who are shown it here.
    fn show_piece(&mut self, now: Instant, piece: &Piece, head: &Head, egress: &mut impl Egress) {
        let (at, shot) = (piece.at as usize, piece.shot(head));
        self.count_piece(at, head);
        if shot.codec.is_layered() && shot.payload.is_empty() {
            self.pass_padding(now, at, head.stream, (shot.codec, shot.index, shot.timestamp));
        } else {
            self.show(now, at, head.stream, &shot, egress);
        }
    }

    /// Takes note of a packet's number. When some before it are missing, the listeners need a key frame.
    fn count_piece(&mut self, at: usize, head: &Head) {
        let Some(stage) = self.stage(at) else { return };
        let Some(expected) = stage.links.as_mut().and_then(|links| links.expected.get_mut(usize::from(head.stream))) else {
            return;
        };
        if std::mem::replace(expected, head.number.wrapping_add(1)) == head.number {
            return;
        }
        stage.layers.iter_mut().filter(|layer| layer.stream == head.stream).for_each(|layer| _ = layer.need_key_frame());
        self.errands.calls.push(MIRRORED);
    }

    /// The rest of pictures did not come soon.
    fn release_mirrors(&mut self, now: Instant, egress: &mut impl Egress) {
        for next in 0..self.mirrors.len() {
            let at = self.mirrors[next];
            let Some(stage) = self.stage(at).filter(|stage| stage.is_holding) else { continue };
            stage.is_holding = false;
            let layers = stage.layers.len() as u8;
            (0..layers).for_each(|layer| self.release_picture(now, at, layer, egress));
        }
    }

    /// Whoever films needs a key frame of what somebody shows here.
    pub fn ask_refresh(&mut self, publisher: PeerId, source: Source) {
        match self.part {
            Part::Home => self.refresh(publisher, source),
            Part::Branch { home } => self.errands.letters.write(home, What::Refresh { publisher, source }),
        }
    }

    /// Whether stages and the list of mirrors know of each other.
    pub fn mirrors_what_is_shown(&self) -> bool {
        let is_mirror = |stage: &&Stage| stage.upstream().is_some();
        let mirrors = self.stages().iter().flatten().filter(is_mirror).count();
        mirrors == self.mirrors.len()
            && self.mirrors.iter().all(|&at| self.on_stage(at).is_some_and(|stage| is_mirror(&stage)))
            && self.stages().iter().flatten().all(|stage| (stage.publisher == MIRRORED) == is_mirror(&stage))
    }

    // The branches, at the home, and the codecs.

    /// A branch begins: it is told all that is shown.
    pub fn attach(&mut self, now: Instant, worker: usize) {
        self.branches.push(Branch { worker, decoded: Codecs::ALL, told: Codecs::ALL });
        self.errands.letters.write(worker, What::Welcome);
        self.agree();
        for at in 0..self.stages().len() {
            let Some(stage) = self.stage(at).filter(|stage| stage.is_known()) else { continue };
            let told = stage.links.as_ref().filter(|links| links.upstream.is_some()).and_then(|links| links.facts);
            let (name, facts) = (stage.name(), told.map_or_else(|| Facts::of(now, stage), |(_, facts)| facts));
            // What the others do not know of it yet they are told with the next word.
            stage.links.get_or_insert_default().facts.get_or_insert((now, facts));
            self.errands.letters.write(worker, What::Facts { name, facts, is_certain: true });
        }
    }

    /// A branch has ended, and with it what was shown there.
    pub fn detach(&mut self, worker: usize) {
        self.branches.retain(|branch| branch.worker != worker);
        for at in 0..self.stages().len() {
            let Some(stage) = self.stage(at) else { continue };
            if let Some(links) = &mut stage.links {
                links.outlets.retain(|outlet| outlet.worker != worker);
            }
            if stage.upstream() == Some(worker) {
                self.close_mirror(at);
            }
        }
        self.errands.calls.push(MIRRORED);
        self.agree();
    }

    /// The codecs that everybody on other parts decodes.
    pub fn decoded_elsewhere(&self) -> Codecs {
        match self.part {
            Part::Home => self.branches.iter().fold(Codecs::ALL, |codecs, branch| codecs.and(branch.decoded)),
            Part::Branch { .. } => self.decoded_elsewhere,
        }
    }

    /// Another part says what it decodes, or at a branch what all others do.
    fn hear_decoded(&mut self, from: usize, codecs: Codecs) {
        match self.part {
            Part::Home => {
                self.branches.iter_mut().filter(|branch| branch.worker == from).for_each(|branch| branch.decoded = codecs);
            }
            Part::Branch { .. } => self.decoded_elsewhere = codecs,
        }
        self.agree();
    }

    /// Tells other parts what is decoded here, each with what the home knows of those that are neither.
    pub fn tell_decoded(&mut self, here: Codecs) {
        let Room { part, branches, decoded_told, errands, .. } = self;
        if let Part::Branch { home } = *part
            && std::mem::replace(decoded_told, here) != here
        {
            errands.letters.write(home, What::Decoded(here));
        }
        for at in 0..branches.len() {
            let others = branches.iter().enumerate().filter(|(other, _)| *other != at);
            let codecs = others.fold(here, |codecs, (_, branch)| codecs.and(branch.decoded));
            if std::mem::replace(&mut branches[at].told, codecs) != codecs {
                errands.letters.write(branches[at].worker, What::Decoded(codecs));
            }
        }
    }
}

impl Engine {
    /// Gives a packet of what is shown on another part to those who are shown it here, and passes it on.
    pub(in crate::engine) fn open_piece(
        &mut self,
        now: Instant,
        index: usize,
        piece: &Piece,
        egress: &mut impl Egress,
    ) -> Result<(), Reason> {
        let room = self.rooms[index].as_mut().expect("a room in the map exists");
        let at = piece.at as usize;
        if room.stage(at).is_none_or(|stage| stage.name() != piece.name) {
            return Err(Reason::RoomGone);
        }
        let Some(head) = &piece.head else {
            let sounding = piece.sounding();
            room.pass_sound_on(at, &sounding, &mut self.parcels, &mut self.drops);
            self.traffic.audio_out += room.resound(now, at, &sounding, egress, &mut self.events);
            // Whoever showed it may have gone.
            self.call_mirrors(now + COSTS_APART, index);
            return Ok(());
        };
        room.show_piece(now, piece, head, egress);
        let shot = piece.shot(head);
        // Padding is for whoever films, who is here.
        if !shot.payload.is_empty() {
            room.pass_on((at, head.stream), &shot, &mut self.parcels, &mut self.drops);
        }
        // Somebody may need a key frame, or want less than comes.
        self.call_mirrors(now + TICK, index);
        Ok(())
    }

    /// Lets the mirrors of a room be looked at, at the latest then.
    pub(in crate::engine) fn call_mirrors(&mut self, at: Instant, index: usize) {
        let Some(room) = self.rooms[index].as_mut() else { return };
        if room.mirrors_due.is_none_or(|due| due > at) {
            room.mirrors_due = Some(at);
            self.timers.arm(at, PeerId(room.life.number), index as u32, Timer::Mirrors);
        }
    }

    /// Mirrors have no peer whose timer it could be: it is their room's, and in the place of an id stands the number of its life.
    pub(in crate::engine) fn tend_mirrors(
        &mut self,
        now: Instant,
        (life, index): (PeerId, u32),
        timer: Timer,
        egress: &mut impl Egress,
    ) {
        let index = index as usize;
        let Some(room) = self.rooms.get_mut(index).and_then(Option::as_mut).filter(|room| room.life.number == life.0) else {
            return;
        };
        if timer == Timer::MirrorsHeld {
            room.release_mirrors(now, egress);
        } else if room.mirrors_due.is_some_and(|due| due <= now) {
            room.mirrors_due = None;
            if room.look_at_mirrors(now) {
                self.call_mirrors(now + TICK, index);
            }
        }
        self.run_errands(now, index);
    }
}

/// Two parts of a room without engines.
#[cfg(test)]
impl Room {
    /// Takes all that another part wrote to this one.
    pub fn read_all(&mut self, now: Instant, from: usize, other: &mut Room) {
        let letters: Vec<_> = other.errands.letters.0.drain(..).collect();
        letters.iter().for_each(|(_, what)| self.read(now, from, what));
    }

    /// Takes the packets that another part handed over.
    pub fn take_pieces(&mut self, now: Instant, parcels: &mut Parcels, egress: &mut impl Egress) {
        for (_, parcel) in parcels.0.drain(..) {
            if let What::Piece(Piece { head: Some(head), .. }) = &parcel.what
                && let What::Piece(piece) = &parcel.what
            {
                self.show_piece(now, piece, head, egress);
            }
        }
    }
}
