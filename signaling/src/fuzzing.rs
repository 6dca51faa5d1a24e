//! What strangers send, for the fuzz targets in `fuzz/`: each function takes any bytes, hands them to the code that reads
//! them in the product, and panics when that breaks a promise.
//!
//! Compiled for this crate's tests, which replay every committed corpus, and for the feature `fuzzing`; never into the server.

use crate::limits;
use crate::recorder::depacketize::Depacketizer;
use crate::recorder::film::{Film, PER_MS};
use crate::rooms::Occupant;
use crate::session::{Input, Output, RoomEvent, Session};
use crate::streams::offer::{Fragment, facing, fragment_of};
use guildhall_protocol::UserId;
use guildhall_protocol::fleet::{Policy, RECORDED_BYTES, Way};
use guildhall_protocol::voice_gateway::{CloseCode, Published, VERSION_MAX, VERSION_MIN, VideoSource};
use guildhall_sfu::sdp::Offer;
use guildhall_sfu::video::Codec;
use guildhall_sfu::{Answer, PeerId, RoomId, Seen};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A name, which is that of the file in `fuzz_targets` and of the corpus, and what is called.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("voice_session", voice_session),
    ("stream_sdp", stream_sdp),
    ("recorded_video", recorded_video),
    ("recorded_picture", recorded_picture),
];

/// A session's life, driven as its shell drives it. The first byte is the version, the second says what is refused; then
/// each line is a text frame or, behind a `!`, something that happens (see [`Life::event`]).
pub fn voice_session(data: &[u8]) {
    let [version, refusals, script @ ..] = data else { return };
    let mut life = Life::new(VERSION_MIN + version % (VERSION_MAX - VERSION_MIN + 1), *refusals);
    for line in script.split(|byte| *byte == b'\n') {
        match line {
            [b'!', what, number @ ..] => {
                let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()).unwrap_or(0);
                life.event(*what, number);
            }
            _ => {
                // Without a socket there is nobody to send a frame.
                if let (true, Ok(text)) = (life.is_attached, std::str::from_utf8(line)) {
                    life.give(Input::Text(text));
                }
            }
        }
    }
    for _ in 0..3 {
        life.wait(limits::HEARTBEAT_TIMEOUT.max(limits::RESUME_WINDOW));
    }
    assert!(life.is_over, "a silent session keeps its seat");
}

/// A program's offer, and behind an empty line what it sends to restart ICE.
pub fn stream_sdp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (offer, patch) = text.split_once("\n\n").unwrap_or((text, text));
    for way in Way::ALL {
        let faced = facing(offer, way);
        assert_eq!(facing(&faced, way), faced, "what faces one way does so already");
        let Ok(before) = Offer::parse(offer) else { continue };
        let after = Offer::parse(&faced).expect("a direction spoils no offer");
        assert_eq!((after.ufrag, after.password, after.fingerprint), (before.ufrag, before.password, before.fingerprint));
        let after = Offer::parse(&faced).expect("as before");
        match way {
            Way::Whip => assert_eq!((after.slots().count(), after.video_slots().count()), (0, 0), "it would be sent something"),
            Way::Whep => assert_eq!((after.upstream(), after.video_tracks().count()), (None, 0), "it would send something"),
        }
        let Some(fragment) = Fragment::parse(patch) else { continue };
        let restarted = fragment.put_into(&faced);
        assert!(fragment.is_of(&restarted), "its credentials are the offer's now");
        assert!(fragment_of(&restarted).len() <= restarted.len() + 16);
    }
}

struct Life {
    session: Session,
    now: Instant,
    version: u8,
    refusals: u8,
    is_attached: bool,
    is_over: bool,
}

impl Life {
    fn new(version: u8, refusals: u8) -> Self {
        let (now, mut out) = (Instant::now(), Vec::new());
        let session = Session::new(now, version, &mut out);
        let mut life = Self { session, now, version, refusals, is_attached: true, is_over: false };
        life.carry_out(out);
        life
    }

    fn event(&mut self, what: u8, number: i64) {
        let low = number as u8;
        let video = Published { camera: low & 8 != 0, screen: low & 16 != 0 };
        let (user_id, ssrc) = (UserId::new(u64::from(low)), u32::from(low) * 100);
        let occupant = Occupant { user_id, ssrc, speaking: low & 7, video };
        match what {
            b't' => self.wait(Duration::from_millis(number.clamp(0, 100_000) as u64)),
            b'b' if self.is_attached => self.give(Input::Binary),
            b'c' if self.is_attached => {
                self.is_attached = false;
                self.give(Input::SocketClosed { code: u16::try_from(number).ok() });
            }
            // A resume, which finds only those who have a seat, and by any version.
            b'a' if self.has_seat() => {
                self.is_attached = true;
                self.give(Input::Attached { version: self.version, seq_ack: Some(number) });
            }
            b'A' if self.has_seat() => {
                self.is_attached = true;
                self.version = VERSION_MIN + low % (VERSION_MAX - VERSION_MIN + 1);
                self.give(Input::Attached { version: self.version, seq_ack: None });
            }
            b'e' => self.give(Input::Room(RoomEvent::Entered(occupant))),
            b'v' => self.give(Input::Room(RoomEvent::Published(occupant))),
            b'f' => {
                let showing = (number >= 0).then_some((occupant.user_id, VideoSource::Camera));
                self.give(Input::Filled { slot: low & 3, showing });
            }
            b'w' => {
                let layer = |ssrc| guildhall_sfu::Layer { rid: Default::default(), ssrc, is_wanted: low & 1 == 1 };
                let layers = [None, Some(u32::from(low))].into_iter().map(layer).collect();
                self.give(Input::Layers { source: VideoSource::Screen, layers });
            }
            b'n' => self.give(Input::Narrowed { less: u16::from(low), paused: u16::from(low) & number as u16 }),
            b'k' => self.give(Input::Codecs(Codec::ALL.into_iter().filter(|codec| low >> *codec as u8 & 1 == 1).collect())),
            b's' => self.give(Input::Room(RoomEvent::Spoke(occupant))),
            b'l' => self.give(Input::Room(RoomEvent::Left(occupant.user_id))),
            b'o' => self.give(Input::Slot { ssrc: u32::from(low), speaker: (number >= 0).then_some(occupant.user_id) }),
            b'u' => self.give(Input::Sound { ssrc: u32::from(low), publisher: (number >= 0).then_some(occupant.user_id) }),
            b'p' => self.give(Input::Policy(policy(low))),
            b'L' => self.give(Input::PeerLost),
            b'D' => self.give(Input::Disconnect),
            b'R' => self.give(Input::Replaced { is_same_participant: number == 0 }),
            b'E' => self.give(Input::Evicted),
            b'S' => self.give(Input::Shutdown),
            _ => {}
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut timeouts = 0;
        while let Some(deadline) = self.session.next_timeout().filter(|deadline| *deadline <= end) {
            self.now = deadline;
            self.give(Input::Timeout);
            timeouts += 1;
            assert!(timeouts <= 1, "what times out is over");
        }
        self.now = end;
    }

    fn give(&mut self, input: Input) {
        let mut out = Vec::new();
        self.session.handle(self.now, input, &mut out);
        if self.is_over {
            assert_eq!(out, [], "nothing follows the end");
            return;
        }
        self.carry_out(out);
    }

    fn carry_out(&mut self, out: Vec<Output>) {
        let mut wishes = VecDeque::from(out);
        while let Some(wish) = wishes.pop_front() {
            assert!(!self.is_over, "{wish:?} follows the end");
            let (answer, refusal) = match wish {
                Output::Send(frame) => {
                    assert!(self.is_attached, "{frame} is said to nobody");
                    assert!(frame.len() <= 2 * limits::FRAME_BYTES);
                    let frame: serde_json::Value = serde_json::from_str(&frame).expect("we send JSON");
                    assert!(frame["op"].is_u64());
                    continue;
                }
                Output::Authenticate(_) => {
                    (Input::Admitted { policy: policy(self.refusals) }, Input::Refused(CloseCode::RateLimited))
                }
                // Whoever resumes has another session; one that does not find it is told so.
                Output::HandOver(_) => (Input::Refused(CloseCode::SessionInvalid), Input::Refused(CloseCode::SessionInvalid)),
                Output::Join(_) => {
                    let address = "127.0.0.1:50000".parse().expect("an address");
                    let joined = Input::Joined { ssrc: 1234, address, media_session_id: "m".to_owned(), ice_servers: Vec::new() };
                    (joined, Input::EngineFailed(CloseCode::ServerCrashed))
                }
                Output::ConnectNative { .. } => (Input::Keyed([7; 32]), Input::EngineFailed(CloseCode::SessionInvalid)),
                Output::ConnectWebRtc { offer } => {
                    assert!(!offer.contains('\0') || offer.len() <= limits::FRAME_BYTES);
                    let answer = Answer { sdp: "v=0".to_owned(), video_slots: vec![(31, 32), (33, 34)] };
                    (Input::Answered(answer), Input::EngineFailed(CloseCode::BadRequest))
                }
                Output::Enter { ssrc } => {
                    assert_eq!(ssrc, 1234);
                    let there = Occupant { user_id: UserId::new(9), ssrc: 900, speaking: 1, video: Published::NOTHING };
                    (Input::Entered(vec![there]), Input::Entered(Vec::new()))
                }
                Output::Speak(bits) => {
                    assert!(bits <= 7);
                    continue;
                }
                Output::Watch(wanted) => {
                    assert!(wanted.len() <= 2 && wanted.iter().all(|wanted| wanted.slot < 2), "{wanted:?}");
                    continue;
                }
                Output::Pin(users) => {
                    assert!(users.len() <= guildhall_sfu::MAX_PINS, "{users:?}");
                    continue;
                }
                Output::SetPolicy(_) | Output::Publish(_) => continue,
                Output::End { close, .. } => {
                    assert!(close.is_none() || self.is_attached, "nobody is there to be told {close:?}");
                    self.is_over = true;
                    continue;
                }
            };
            let is_refused = self.refusals & 1 == 1;
            self.refusals = self.refusals.rotate_right(1);
            let mut more = Vec::new();
            self.session.handle(self.now, if is_refused { refusal } else { answer }, &mut more);
            wishes.extend(more);
        }
        assert_eq!(self.session.next_timeout().is_none(), self.is_over);
    }

    /// Whether a resume would find it.
    fn has_seat(&self) -> bool {
        !self.is_over && self.session.is_identified()
    }
}

/// Packets of somebody's videos, of whatever numbers, times and bytes, for a recorder. The first byte chooses the codec; then each
/// packet is: how far its number goes on (or back), marks, how much time passes, its length, its payload. What comes of it are
/// files in pieces that follow each other, none too large, in which time goes on.
pub fn recorded_video(data: &[u8]) {
    let [codec, script @ ..] = data else { return };
    let (mut film, mut pieces) = (Film::default(), Vec::new());
    let (mut rest, mut index, mut timestamp, mut now) = (script, 1u64 << 20, 0u32, 0u64);
    while let [step, marks, time, len, behind @ ..] = rest {
        let (payload, next) = behind.split_at(behind.len().min(usize::from(*len)));
        rest = next;
        // Small steps are usual, and large ones are there.
        index = if step & 0xF0 == 0xF0 { index.wrapping_add(1 << (step & 0x0F)) } else { index + u64::from(step & 3) };
        index = if step & 0x0C == 0x0C { index.saturating_sub(3) } else { index };
        timestamp = if marks & 2 == 2 { timestamp.wrapping_add(u32::from(*time) << (marks >> 4)) } else { timestamp };
        now += (u64::from(*time) * PER_MS) << (marks >> 5);
        let source = if marks & 4 == 4 { VideoSource::Screen } else { VideoSource::Camera };
        let seen = Seen {
            room: RoomId(1),
            publisher: PeerId(1),
            source,
            stream: (1, u32::from(marks & 8)),
            codec: Codec::ALL[usize::from(codec % 4)],
            index,
            timestamp,
            marker: marks & 1 == 1,
            at: Instant::now(),
            payload: payload.into(),
        };
        film.see(UserId::new(1), now, seen, &mut pieces);
        if time % 8 == 0 {
            pieces.extend(film.tick(now));
        }
        assert!(film.wishes(now).count() <= 2);
    }
    pieces.extend(film.end(now));
    let mut files = HashMap::new();
    for piece in pieces {
        let (number, length_ms) = files.entry((piece.medium, piece.start_ms)).or_insert((0, 0));
        assert_eq!(piece.number, *number, "a piece is missing");
        assert!(piece.length_ms >= *length_ms && !piece.bytes.is_empty() && piece.bytes.len() <= RECORDED_BYTES);
        assert_eq!(piece.bytes.starts_with(&[0x1A, 0x45, 0xDF, 0xA3]), piece.number == 0, "a file has one head");
        (*number, *length_ms) = (*number + 1, piece.length_ms);
    }
}

/// Pictures of a stream, one after the other. The first byte chooses the codec; then come payloads, each behind its length, and an
/// empty one ends a picture. What comes of it is as long as it says, and files can begin with all that says so.
pub fn recorded_picture(data: &[u8]) {
    let [codec, script @ ..] = data else { return };
    let codec = Codec::ALL[usize::from(codec % 4)];
    let (mut rest, mut depacketizer, mut payloads) = (script, Depacketizer::new(codec), Vec::new());
    while let [len, behind @ ..] = rest {
        let (payload, next) = behind.split_at(behind.len().min(usize::from(*len)));
        rest = next;
        if !payload.is_empty() {
            payloads.push(payload);
            continue;
        }
        let payloads = std::mem::take(&mut payloads);
        let Some(picture) = depacketizer.picture(payloads.iter().copied()) else { continue };
        assert!(!picture.bytes.is_empty() && picture.bytes.len() < 4 * data.len() + 16);
        if codec != Codec::H264 {
            assert_eq!(picture.head.is_some(), picture.is_key, "a file begins with key frames");
        }
        if picture.is_key {
            let again = Depacketizer::new(codec).picture(payloads.iter().copied());
            assert_eq!(again.as_ref(), Some(&picture), "a key frame needs nothing before it");
        }
        match codec {
            Codec::Vp9 => {
                let frames = payloads.iter().filter(|payload| payload[0] & 0x08 != 0).count();
                assert!(frames < 2 || index_of(&picture.bytes) == Some(frames), "an index tells where its frames are");
            }
            Codec::Av1 => assert!(units(&picture.bytes), "units follow each other"),
            Codec::Vp8 | Codec::H264 => {}
        }
    }
}

/// How many frames a superframe's index lists, if these are all of it (VP9, annex B).
fn index_of(superframe: &[u8]) -> Option<usize> {
    let mark = *superframe.last().filter(|mark| **mark >> 5 == 6)?;
    let (frames, bytes) = (usize::from(mark & 7) + 1, usize::from(mark >> 3 & 3) + 1);
    let content = superframe.len().checked_sub(2 + frames * bytes)?;
    let lengths = superframe[content + 1..superframe.len() - 1].chunks(bytes);
    let all: usize = lengths.map(|length| length.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte))).sum();
    (superframe[content] == mark && all == content).then_some(frames)
}

/// Whether these are units of AV1 with their lengths, and nothing else.
fn units(mut bytes: &[u8]) -> bool {
    while let [head, behind @ ..] = bytes {
        let behind = behind.get(usize::from(head >> 2 & 1)..).unwrap_or_default();
        let Some(ends) = behind.iter().position(|byte| byte & 0x80 == 0) else { return false };
        let length = behind[..=ends].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7F));
        let Some(rest) = behind.get(ends + 1 + length..).filter(|_| head & 2 == 2) else { return false };
        bytes = rest;
    }
    true
}

fn policy(bits: u8) -> Policy {
    Policy {
        can_speak: bits & 1 == 0,
        self_mute: bits & 2 != 0,
        is_deafened: bits & 4 != 0,
        is_priority: bits & 8 != 0,
        bitrate_bps: None,
        can_stream: bits & 16 == 0,
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn every_input_that_fuzzing_kept_is_still_taken_and_so_are_changes_of_it() {
        super::replay::replay(super::TARGETS);
    }
}
