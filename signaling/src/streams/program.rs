//! A program in a room as a pure machine: what others are told of one that publishes, and what one that watches is shown.
//!
//! A player has few lines, mostly one for sound and one for video, and says nothing of what it would like. Its sound is that of
//! whoever speaks (the media engine's choice); its pictures are, in this order: screens, whoever speaks, everyone else. What is
//! shown stays where it is for as long as it is among them.

use crate::rooms::Occupant;
use crate::session::{RoomEvent, Wanted};
use guildhall_protocol::UserId;
use guildhall_protocol::fleet::{Policy, Way};
use guildhall_protocol::voice_gateway::{Published, VideoSource, speaking};
use std::collections::BTreeMap;

/// What a player is sent, as it does not say how large it shows it: all.
const PIXELS: u32 = 1920 * 1080;

/// What an offer has that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Media {
    pub has_audio: bool,
    pub video: Published,
    /// Lines on which it would be shown something.
    pub video_slots: u8,
}

#[derive(Debug)]
pub enum Input {
    /// Visible to the room now; these were there before.
    Entered(Vec<Occupant>),
    Room(RoomEvent),
    /// Who is heard in a receive slot; `None`: nobody any more.
    Heard(Option<UserId>),
    Policy(Policy),
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell the room new speaking bits.
    Speak(u8),
    /// Tell the room what is shown.
    Publish(Published),
    /// What the player is to be shown, in place of what it was before.
    Watch(Vec<Wanted>),
    SetPolicy(Policy),
}

pub struct Program {
    way: Way,
    media: Media,
    policy: Policy,
    is_in: bool,
    /// What the room was told.
    speaking: u8,
    published: Published,
    /// Who shows what.
    others: BTreeMap<UserId, Published>,
    /// Who spoke last.
    speaker: Option<UserId>,
    shown: Vec<Option<(UserId, VideoSource)>>,
}

impl Program {
    pub fn new(way: Way, media: Media, policy: Policy) -> Self {
        Self {
            way,
            media,
            policy,
            is_in: false,
            speaking: 0,
            published: Published::NOTHING,
            others: BTreeMap::new(),
            speaker: None,
            shown: vec![None; usize::from(media.video_slots)],
        }
    }

    pub fn handle(&mut self, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Entered(others) => {
                self.is_in = true;
                self.others = others.iter().map(|other| (other.user_id, other.video)).collect();
                self.announce(out);
                self.choose(false, out);
            }
            // Whoever came back is another peer of the media engine, which is asked again.
            Input::Room(RoomEvent::Entered(other)) => {
                let is_shown = self.shown.iter().flatten().any(|(user, _)| *user == other.user_id);
                self.others.insert(other.user_id, other.video);
                self.choose(is_shown, out);
            }
            Input::Room(RoomEvent::Published(other)) => {
                self.others.insert(other.user_id, other.video);
                self.choose(false, out);
            }
            Input::Room(RoomEvent::Left(user)) => {
                self.others.remove(&user);
                self.choose(false, out);
            }
            Input::Room(RoomEvent::Spoke(_)) | Input::Heard(None) => {}
            Input::Heard(Some(user)) => {
                self.speaker = Some(user);
                self.choose(false, out);
            }
            Input::Policy(policy) => {
                if policy != self.policy {
                    self.policy = policy;
                    out.push(Output::SetPolicy(policy));
                    self.announce(out);
                }
            }
        }
    }

    /// A publisher cannot say when it speaks: it does all the time.
    fn announce(&mut self, out: &mut Vec<Output>) {
        if self.way != Way::Whip || !self.is_in {
            return;
        }
        let speaking = if self.media.has_audio && self.policy.is_audible() { speaking::MICROPHONE } else { 0 };
        if std::mem::replace(&mut self.speaking, speaking) != speaking {
            out.push(Output::Speak(speaking));
        }
        let published = if self.policy.can_stream { self.media.video } else { Published::NOTHING };
        if std::mem::replace(&mut self.published, published) != published {
            out.push(Output::Publish(published));
        }
    }

    fn choose(&mut self, must_ask: bool, out: &mut Vec<Output>) {
        let places = self.shown.len();
        if self.way != Way::Whep || places == 0 || !self.is_in {
            return;
        }
        let mut videos: Vec<(UserId, VideoSource)> =
            self.others.iter().flat_map(|(user, published)| published.sources().map(|source| (*user, source))).collect();
        videos.sort_by_key(|video| {
            let (user, source) = *video;
            (source != VideoSource::Screen, self.speaker != Some(user), !self.shown.contains(&Some(*video)))
        });
        videos.truncate(places);
        let mut next: Vec<_> = self.shown.iter().map(|shown| shown.filter(|shown| videos.contains(shown))).collect();
        for video in videos {
            if !next.contains(&Some(video))
                && let Some(free) = next.iter_mut().find(|place| place.is_none())
            {
                *free = Some(video);
            }
        }
        if next == self.shown && !must_ask {
            return;
        }
        self.shown = next;
        let wanted = self.shown.iter().zip(0..).filter_map(|(shown, slot)| {
            let (user_id, source) = (*shown)?;
            Some(Wanted { slot, user_id, source, pixels: PIXELS, is_focus: slot == 0 })
        });
        out.push(Output::Watch(wanted.collect()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Policy =
        Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: true };
    const CAMERA: Published = Published { camera: true, screen: false };
    const SCREEN: Published = Published { camera: false, screen: true };

    fn occupant(user: u64, video: Published) -> Occupant {
        Occupant { user_id: UserId::new(user), ssrc: user as u32, speaking: 0, video }
    }

    fn feed(program: &mut Program, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        program.handle(input, &mut out);
        out
    }

    /// Who is shown, slot by slot, in the answer's only wish.
    fn watched(out: &[Output]) -> Vec<(u8, u64, VideoSource)> {
        let [Output::Watch(wanted)] = out else { panic!("one wish: {out:?}") };
        wanted.iter().map(|wanted| (wanted.slot, wanted.user_id.get(), wanted.source)).collect()
    }

    #[test]
    fn a_publisher_is_announced_as_far_as_it_may() {
        let media = Media { has_audio: true, video: CAMERA, video_slots: 0 };
        let mut program = Program::new(Way::Whip, media, ALL);
        assert_eq!(feed(&mut program, Input::Policy(ALL)), []);
        let entered = feed(&mut program, Input::Entered(vec![occupant(2, CAMERA)]));
        assert_eq!(entered, [Output::Speak(speaking::MICROPHONE), Output::Publish(CAMERA)]);
        let mute = Policy { can_speak: false, ..ALL };
        assert_eq!(feed(&mut program, Input::Policy(mute)), [Output::SetPolicy(mute), Output::Speak(0)]);
        let neither = Policy { can_stream: false, ..mute };
        let taken = [Output::SetPolicy(neither), Output::Publish(Published::NOTHING)];
        assert_eq!(feed(&mut program, Input::Policy(neither)), taken);
        assert_eq!(feed(&mut program, Input::Room(RoomEvent::Left(UserId::new(2)))), [], "it watches nothing");
    }

    #[test]
    fn a_player_is_shown_screens_then_who_speaks_and_nothing_moves_without_need() {
        let media = Media { has_audio: true, video: Published::NOTHING, video_slots: 1 };
        let mut program = Program::new(Way::Whep, media, ALL);
        let heard = |user| Input::Heard(Some(UserId::new(user)));
        let publishes = |user, video| Input::Room(RoomEvent::Published(occupant(user, video)));
        let others = vec![occupant(1, CAMERA), occupant(2, CAMERA), occupant(3, Published::NOTHING)];
        assert_eq!(watched(&feed(&mut program, Input::Entered(others))), [(0, 1, VideoSource::Camera)]);
        assert_eq!(feed(&mut program, heard(3)), [], "who speaks has no camera: nothing changes");
        assert_eq!(watched(&feed(&mut program, heard(2))), [(0, 2, VideoSource::Camera)]);
        assert_eq!(feed(&mut program, Input::Heard(None)), []);
        assert_eq!(feed(&mut program, heard(3)), [], "nobody makes room for one without a picture");
        assert_eq!(watched(&feed(&mut program, publishes(3, SCREEN))), [(0, 3, VideoSource::Screen)]);
        assert_eq!(feed(&mut program, heard(1)), [], "a screen stays");
        let back = Input::Room(RoomEvent::Entered(occupant(3, SCREEN)));
        assert_eq!(watched(&feed(&mut program, back)), [(0, 3, VideoSource::Screen)], "another peer: asked again");
        assert_eq!(watched(&feed(&mut program, Input::Room(RoomEvent::Left(UserId::new(3))))), [(0, 1, VideoSource::Camera)]);
        assert_eq!(watched(&feed(&mut program, publishes(1, Published::NOTHING))), [(0, 2, VideoSource::Camera)]);
        assert_eq!(watched(&feed(&mut program, publishes(2, Published::NOTHING))), []);
    }

    #[test]
    fn a_player_with_two_places_keeps_what_is_in_them() {
        let media = Media { has_audio: true, video: Published::NOTHING, video_slots: 2 };
        let mut program = Program::new(Way::Whep, media, ALL);
        let others = vec![occupant(1, CAMERA), occupant(2, CAMERA)];
        let both = [(0, 1, VideoSource::Camera), (1, 2, VideoSource::Camera)];
        assert_eq!(watched(&feed(&mut program, Input::Entered(others))), both);
        assert_eq!(feed(&mut program, Input::Heard(Some(UserId::new(2)))), [], "both are shown already");
        let shares = Input::Room(RoomEvent::Published(occupant(3, SCREEN)));
        assert_eq!(watched(&feed(&mut program, shares)), [(0, 3, VideoSource::Screen), (1, 2, VideoSource::Camera)]);
    }
}
