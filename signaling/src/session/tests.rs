//! The machine's table: scripts of inputs, and what comes out. Time is simulated.

use super::*;
use guildhall_sfu::video::Codec;
use serde_json::{Value, json};

const AUDIBLE: Policy =
    Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: true };
const OFFER: &str = "v=0 offer";

struct Rig {
    now: Instant,
    session: Session,
    out: Vec<Output>,
}

impl Rig {
    fn new(version: u8) -> Self {
        let now = Instant::now();
        let mut out = Vec::new();
        Self { session: Session::new(now, version, &mut out), now, out }
    }

    fn give(&mut self, input: Input) -> &mut Self {
        self.session.handle(self.now, input, &mut self.out);
        self
    }

    fn frame(&mut self, op: u8, d: Value) -> &mut Self {
        let text = json!({ "op": op, "d": d }).to_string();
        self.give(Input::Text(&text))
    }

    /// Lets time pass, with every timeout that falls into it.
    fn wait(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some(deadline) = self.session.next_timeout().filter(|deadline| *deadline <= end) {
            self.now = deadline;
            self.session.handle(self.now, Input::Timeout, &mut self.out);
        }
        self.now = end;
        self
    }

    fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    /// The frames sent since the last look, as `(op, d, seq)`; anything else in between is not of interest.
    fn sent(&mut self) -> Vec<(u64, Value, Option<u64>)> {
        let frames = self.take().into_iter().filter_map(|output| match output {
            Output::Send(frame) => Some(serde_json::from_str::<Value>(&frame).expect("we send JSON")),
            _ => None,
        });
        frames.map(|frame| (frame["op"].as_u64().unwrap(), frame["d"].clone(), frame["seq"].as_u64())).collect()
    }

    #[track_caller]
    fn ends(&mut self, close: Option<CloseCode>, is_reported: bool) {
        assert_eq!(self.take().last(), Some(&Output::End { close, is_reported }));
        assert_eq!(self.session.next_timeout(), None);
        self.give(Input::Text("{")).give(Input::Timeout).give(Input::Disconnect).give(Input::SocketClosed { code: None });
        assert_eq!(self.take(), [], "nothing follows an end");
    }

    fn identified(version: u8) -> Self {
        let mut rig = Self::new(version);
        rig.frame(0, identify()).give(Input::Admitted { policy: AUDIBLE });
        rig
    }

    fn ready(version: u8) -> Self {
        let mut rig = Self::identified(version);
        rig.give(joined());
        rig
    }

    fn native(version: u8, others: Vec<Occupant>) -> Self {
        let mut rig = Self::ready(version);
        rig.frame(1, select_udp(MODE_AES256_GCM)).give(Input::Keyed([7; 32])).give(Input::Entered(others));
        rig
    }

    fn webrtc(others: Vec<Occupant>) -> Self {
        let mut rig = Self::ready(8);
        rig.frame(1, json!({ "protocol": "webrtc", "data": OFFER })).give(Input::Answered(answer("v=0 answer")));
        rig.give(Input::Entered(others));
        rig
    }
}

fn identify() -> Value {
    json!({ "server_id": "1", "user_id": "3", "session_id": "s", "token": "t" })
}

fn joined() -> Input<'static> {
    Input::Joined {
        ssrc: 1234,
        address: "127.0.0.1:50000".parse().unwrap(),
        media_session_id: "m".into(),
        ice_servers: Vec::new(),
    }
}

fn select_udp(mode: &str) -> Value {
    json!({ "protocol": "udp", "data": { "address": "127.0.0.1", "port": 4000, "mode": mode } })
}

fn answer(sdp: &str) -> Answer {
    Answer { sdp: sdp.to_owned(), video_slots: vec![(31, 32), (33, 34)] }
}

fn other(user: u64, speaking: u8) -> Occupant {
    Occupant { user_id: UserId::new(user), ssrc: user as u32 * 100, speaking, video: Published::NOTHING }
}

fn ops(sent: &[(u64, Value, Option<u64>)]) -> Vec<u64> {
    sent.iter().map(|(op, ..)| *op).collect()
}

#[test]
fn a_native_join_says_everything_in_the_order_that_libraries_need() {
    let mut rig = Rig::new(8);
    assert_eq!(rig.sent(), [(8, json!({ "v": 8, "heartbeat_interval": 13750 }), None)]);
    let asked = Identify {
        server_id: guildhall_protocol::Snowflake(1),
        user_id: guildhall_protocol::Snowflake(3),
        session_id: "s".into(),
        token: "t".into(),
        channel_id: None,
    };
    assert_eq!(rig.frame(0, identify()).take(), [Output::Authenticate(asked)]);
    assert_eq!(rig.give(Input::Admitted { policy: AUDIBLE }).take(), [Output::Join(AUDIBLE)]);
    let ready = rig.give(joined()).sent();
    let expected = json!({
        "ssrc": 1234, "ip": "127.0.0.1", "port": 50000, "modes": [MODE_AES256_GCM, MODE_XCHACHA20_POLY1305],
        "heartbeat_interval": 13750, "experiments": [], "streams": [],
    });
    assert_eq!(ready, [(2, expected, None)]);
    let claimed = "127.0.0.1:4000".parse().unwrap();
    assert_eq!(
        rig.frame(1, select_udp(MODE_XCHACHA20_POLY1305)).take(),
        [Output::ConnectNative { suite: NativeSuite::XChaCha20Poly1305Rtpsize, claimed }]
    );
    rig.give(Input::Keyed([7; 32]));
    assert_eq!(rig.out.first(), Some(&Output::Enter { ssrc: 1234 }), "the others know before op 4 makes audio possible");
    let description = json!({
        "mode": MODE_XCHACHA20_POLY1305, "secret_key": vec![7; 32], "audio_codec": "opus", "video_codec": null,
        "media_session_id": "m", "dave_protocol_version": 0,
    });
    assert_eq!(rig.sent(), [(4, description, Some(1))]);
    assert_eq!(
        rig.give(Input::Entered(vec![other(5, 0), other(6, 1)])).sent(),
        [
            (11, json!({ "user_ids": ["5", "6"] }), Some(2)),
            (5, json!({ "user_id": "5", "ssrc": 500, "speaking": 0 }), Some(3)),
            (5, json!({ "user_id": "6", "ssrc": 600, "speaking": 1 }), Some(4)),
        ]
    );
}

#[test]
fn the_others_of_a_room_are_told_to_native_and_to_webrtc_listeners_in_their_own_way() {
    let events = [
        RoomEvent::Entered(other(5, 0)),
        RoomEvent::Spoke(other(5, 1)),
        RoomEvent::Spoke(other(5, 0)),
        RoomEvent::Left(UserId::new(5)),
    ];
    let mut native = Rig::native(8, vec![]);
    native.take();
    for event in events {
        native.give(Input::Room(event));
    }
    assert_eq!(ops(&native.sent()), [11, 5, 5, 5, 13]);
    // Native SSRCs mean nothing to a browser: it hears slots.
    let mut webrtc = Rig::webrtc(vec![other(6, 1)]);
    assert_eq!(ops(&webrtc.sent()), [8, 2, 4, 11]);
    for event in events {
        webrtc.give(Input::Room(event));
    }
    assert_eq!(ops(&webrtc.sent()), [11, 13]);
}

#[test]
fn a_webrtc_listener_is_told_who_is_in_which_slot() {
    let mut rig = Rig::webrtc(vec![]);
    let description = rig.sent().pop().unwrap();
    let expected = json!({
        "sdp": "v=0 answer", "audio_codec": "opus", "video_codec": "VP8", "media_session_id": "m", "dave_protocol_version": 0,
    });
    assert_eq!(description, (4, expected, Some(1)));
    let (ann, bob) = (UserId::new(5), UserId::new(6));
    let told = |rig: &mut Rig| rig.sent().into_iter().map(|(_, d, _)| d).collect::<Vec<_>>();
    rig.give(Input::Slot { ssrc: 9, speaker: Some(ann) });
    assert_eq!(told(&mut rig), [json!({ "user_id": "5", "ssrc": 9, "speaking": 1 })]);
    rig.give(Input::Slot { ssrc: 9, speaker: Some(ann) });
    assert_eq!(told(&mut rig), [] as [Value; 0]);
    rig.give(Input::Slot { ssrc: 9, speaker: Some(bob) });
    let swap = [json!({ "user_id": "5", "ssrc": 9, "speaking": 0 }), json!({ "user_id": "6", "ssrc": 9, "speaking": 1 })];
    assert_eq!(told(&mut rig), swap);
    rig.give(Input::Slot { ssrc: 9, speaker: None });
    assert_eq!(told(&mut rig), [json!({ "user_id": "6", "ssrc": 9, "speaking": 0 })]);
    // Who left is out of its slot by op 13 already.
    rig.give(Input::Slot { ssrc: 9, speaker: Some(ann) }).give(Input::Room(RoomEvent::Left(ann)));
    rig.give(Input::Slot { ssrc: 9, speaker: None });
    assert_eq!(ops(&rig.sent()), [5, 13]);
}

#[test]
fn a_webrtc_listener_is_told_whose_screen_it_hears() {
    let mut rig = Rig::webrtc(vec![]);
    rig.take();
    let ann = UserId::new(5);
    let told = |rig: &mut Rig| rig.sent().into_iter().map(|(op, d, _)| (op, d)).collect::<Vec<_>>();
    rig.give(Input::Sound { ssrc: 17, publisher: Some(ann) }).give(Input::Slot { ssrc: 9, speaker: Some(ann) });
    let both =
        [(5, json!({ "user_id": "5", "ssrc": 17, "speaking": 2 })), (5, json!({ "user_id": "5", "ssrc": 9, "speaking": 1 }))];
    assert_eq!(told(&mut rig), both, "one person may be in two slots");
    rig.give(Input::Sound { ssrc: 17, publisher: None });
    assert_eq!(told(&mut rig), [(5, json!({ "user_id": "5", "ssrc": 17, "speaking": 0 }))]);
}

#[test]
fn slots_beyond_the_limit_stay_unnamed() {
    let mut rig = Rig::webrtc(vec![]);
    rig.take();
    for ssrc in 0..limits::SLOTS as u32 + 5 {
        rig.give(Input::Slot { ssrc, speaker: Some(UserId::new(5)) });
    }
    assert_eq!(rig.sent().len(), limits::SLOTS);
}

#[test]
fn wrong_frames_close_with_the_documented_code() {
    let native = || Rig::native(8, vec![]);
    let cases: Vec<(&str, Rig, u8, Value, CloseCode, bool)> = vec![
        ("select before identify", Rig::new(8), 1, select_udp(MODE_AES256_GCM), CloseCode::NotAuthenticated, false),
        ("speaking before identify", Rig::new(8), 5, json!({ "speaking": 1 }), CloseCode::NotAuthenticated, false),
        ("identify twice", Rig::ready(8), 0, identify(), CloseCode::AlreadyAuthenticated, true),
        (
            "resume on a live session",
            native(),
            7,
            json!({ "server_id": "1", "session_id": "s", "token": "t" }),
            CloseCode::AlreadyAuthenticated,
            true,
        ),
        ("old cipher", Rig::ready(8), 1, select_udp("xsalsa20_poly1305"), CloseCode::UnknownMode, true),
        ("unknown protocol", Rig::ready(8), 1, json!({ "protocol": "quic" }), CloseCode::UnknownProtocol, true),
        (
            "no literal address",
            Rig::ready(8),
            1,
            json!({ "protocol": "udp", "data": { "address": "home", "port": 1, "mode": MODE_AES256_GCM } }),
            CloseCode::BadRequest,
            true,
        ),
        ("select before ready", Rig::identified(8), 1, select_udp(MODE_AES256_GCM), CloseCode::BadRequest, true),
        ("select twice", native(), 1, select_udp(MODE_AES256_GCM), CloseCode::BadRequest, true),
        ("wrong type", native(), 5, json!({ "speaking": "loud" }), CloseCode::DecodeError, true),
        ("unknown opcode", native(), 99, json!({}), CloseCode::UnknownOpcode, true),
        ("identify without token", Rig::new(8), 0, json!({ "server_id": "1" }), CloseCode::DecodeError, false),
    ];
    for (what, mut rig, op, d, code, is_reported) in cases {
        println!("{what}");
        rig.frame(op, d).ends(Some(code), is_reported);
    }
    let mut rig = native();
    rig.give(Input::Text("{\"op\":")).ends(Some(CloseCode::DecodeError), true);
}

#[test]
fn refusals_of_others_close_too() {
    let mut rig = Rig::new(8);
    rig.frame(0, identify()).give(Input::Refused(CloseCode::AuthenticationFailed));
    rig.ends(Some(CloseCode::AuthenticationFailed), false);
    let mut rig = Rig::identified(8);
    rig.give(Input::EngineFailed(CloseCode::ServerCrashed)).ends(Some(CloseCode::ServerCrashed), true);
    let mut rig = Rig::ready(8);
    rig.frame(1, json!({ "protocol": "webrtc", "data": "nonsense" })).give(Input::EngineFailed(CloseCode::BadRequest));
    rig.ends(Some(CloseCode::BadRequest), true);
    for (input, is_reported) in [
        (Input::Disconnect, false),
        (Input::Replaced { is_same_participant: true }, false),
        (Input::Replaced { is_same_participant: false }, true),
    ] {
        Rig::native(8, vec![]).give(input).ends(Some(CloseCode::Disconnected), is_reported);
    }
    Rig::native(8, vec![]).give(Input::Evicted).ends(Some(CloseCode::ServerCrashed), true);
    Rig::native(8, vec![]).give(Input::Shutdown).ends(Some(CloseCode::GoingAway), false);
    Rig::webrtc(vec![]).give(Input::PeerLost).ends(Some(CloseCode::SessionTimedOut), true);
}

#[test]
fn heartbeats_are_echoed_in_their_own_form_and_keep_the_session() {
    let mut rig = Rig::new(8);
    rig.take();
    assert_eq!(rig.frame(3, json!({ "t": 77, "seq_ack": -1 })).sent(), [(6, json!({ "t": 77 }), None)]);
    assert_eq!(rig.frame(3, json!(78)).sent(), [(6, json!(78), None)]);
    let mut rig = Rig::native(4, vec![]);
    for _ in 0..10 {
        rig.wait(limits::HEARTBEAT_INTERVAL * 2).frame(3, json!(1));
    }
    rig.take();
    rig.wait(limits::HEARTBEAT_TIMEOUT - Duration::from_millis(1));
    assert_eq!(rig.take(), []);
    rig.wait(Duration::from_millis(1)).ends(Some(CloseCode::SessionTimedOut), true);
}

#[test]
fn a_client_that_never_identifies_is_closed_after_thirty_seconds() {
    let mut rig = Rig::new(8);
    for _ in 0..2 {
        rig.wait(Duration::from_secs(14)).frame(3, json!(1));
    }
    rig.take();
    rig.wait(Duration::from_secs(2)).ends(Some(CloseCode::SessionTimedOut), false);
}

#[test]
fn speaking_is_told_as_the_policy_allows() {
    let speak = |rig: &mut Rig, bits: u8, ssrc: Value| {
        rig.frame(5, json!({ "speaking": bits, "ssrc": ssrc, "delay": 0, "user_id": null })).take()
    };
    let mut rig = Rig::native(4, vec![]);
    rig.take();
    assert_eq!(speak(&mut rig, 1, json!(1234)), [Output::Speak(1)]);
    assert_eq!(speak(&mut rig, 1, json!(1234)), [], "nothing new");
    assert_eq!(speak(&mut rig, 0, json!(999)), [], "not its own SSRC");
    assert_eq!(speak(&mut rig, 0, Value::Null), [Output::Speak(0)]);
    assert_eq!(speak(&mut rig, 255, json!(1234)), [Output::Speak(3)], "priority needs the permission");
    let priority = Policy { is_priority: true, ..AUDIBLE };
    assert_eq!(rig.give(Input::Policy(priority)).take(), [Output::SetPolicy(priority), Output::Speak(7)]);
    assert_eq!(rig.give(Input::Policy(priority)).take(), []);
    let muted = Policy { can_speak: false, ..priority };
    assert_eq!(rig.give(Input::Policy(muted)).take(), [Output::SetPolicy(muted), Output::Speak(0)]);
    // The engine gives it to who asks for it.
    assert_eq!(speak(&mut rig, 1, json!(1234)), [Output::SetPolicy(Policy { is_priority: false, ..muted })]);
    assert_eq!(rig.give(Input::Policy(priority)).take(), [Output::SetPolicy(AUDIBLE), Output::Speak(1)]);
    assert_eq!(speak(&mut rig, 5, json!(1234)), [Output::SetPolicy(priority), Output::Speak(5)]);
    assert_eq!(speak(&mut rig, 0, json!(1234)), [Output::SetPolicy(AUDIBLE), Output::Speak(0)]);
    // A browser names an SSRC of its own.
    let mut rig = Rig::webrtc(vec![]);
    rig.take();
    assert_eq!(speak(&mut rig, 1, json!(4_000_000_000_u32)), [Output::Speak(1)]);
}

#[test]
fn speaking_before_the_transport_is_told_once_it_is_there() {
    let mut rig = Rig::ready(4);
    rig.frame(5, json!({ "speaking": 1, "ssrc": 1234 })).frame(1, select_udp(MODE_AES256_GCM)).take();
    rig.give(Input::Keyed([7; 32])).take();
    assert_eq!(rig.give(Input::Entered(vec![])).take(), [Output::Speak(1)]);
}

#[test]
fn a_policy_that_overtakes_the_join_reaches_the_engine() {
    let mut rig = Rig::identified(8);
    rig.take();
    let muted = Policy { can_speak: false, ..AUDIBLE };
    assert_eq!(rig.give(Input::Policy(muted)).take(), [Output::SetPolicy(muted)]);
}

#[test]
fn from_version_8_a_resume_replays_what_was_not_seen() {
    let mut rig = Rig::native(8, vec![other(5, 0)]);
    assert_eq!(rig.sent().last().unwrap().2, Some(3));
    rig.frame(3, json!({ "t": 1, "seq_ack": 2 })).take();
    rig.give(Input::SocketClosed { code: Some(1006) });
    rig.wait(Duration::from_secs(20)).give(Input::Room(RoomEvent::Spoke(other(5, 1))));
    rig.give(Input::Room(RoomEvent::Left(UserId::new(5))));
    assert_eq!(rig.take(), [], "there is no socket to send to");
    let resumed = rig.give(Input::Attached { version: 8, seq_ack: Some(3) }).sent();
    assert_eq!(resumed[0], (9, Value::Null, None));
    assert_eq!(resumed[1..].iter().map(|(op, _, seq)| (*op, *seq)).collect::<Vec<_>>(), [(5, Some(4)), (13, Some(5))]);
    // The same again, and an acknowledgement of what is forgotten.
    rig.give(Input::SocketClosed { code: None });
    assert_eq!(ops(&rig.give(Input::Attached { version: 8, seq_ack: Some(5) }).sent()), [9]);
    rig.give(Input::Attached { version: 8, seq_ack: Some(1) }).ends(Some(CloseCode::SessionInvalid), true);
}

#[test]
fn below_version_8_a_resume_gets_what_happened_during_the_cut() {
    let mut rig = Rig::native(4, vec![other(5, 0)]);
    assert!(rig.sent().iter().all(|(_, _, seq)| seq.is_none()));
    rig.give(Input::SocketClosed { code: None }).give(Input::Room(RoomEvent::Left(UserId::new(5))));
    assert_eq!(ops(&rig.give(Input::Attached { version: 4, seq_ack: None }).sent()), [9, 13]);
    rig.give(Input::SocketClosed { code: None });
    assert_eq!(ops(&rig.give(Input::Attached { version: 4, seq_ack: None }).sent()), [9]);
    rig.give(Input::Attached { version: 8, seq_ack: None }).ends(Some(CloseCode::SessionInvalid), true);
}

#[test]
fn a_cut_is_kept_for_the_resume_window_and_a_goodbye_is_not() {
    let mut rig = Rig::native(8, vec![]);
    rig.give(Input::SocketClosed { code: None }).take();
    rig.wait(limits::RESUME_WINDOW - Duration::from_millis(1));
    assert_eq!(rig.take(), []);
    rig.wait(Duration::from_millis(1)).ends(None, true);
    for code in [1000, 1001] {
        Rig::native(8, vec![]).give(Input::SocketClosed { code: Some(code) }).ends(None, true);
    }
    Rig::new(8).give(Input::SocketClosed { code: None }).ends(None, false);
    let mut rig = Rig::native(8, vec![]);
    rig.give(Input::SocketClosed { code: Some(4000) }).give(Input::Disconnect).ends(None, false);
}

fn films(user: u64) -> Occupant {
    Occupant { video: Published { camera: true, screen: false }, ..other(user, 0) }
}

#[test]
fn what_a_client_films_is_told_while_it_may() {
    let mut rig = Rig::webrtc(vec![]);
    rig.take();
    let video = |streams: Value| json!({ "audio_ssrc": 1, "video_ssrc": 9, "rtx_ssrc": 10, "streams": streams });
    let camera = json!({ "type": "video", "rid": "q", "active": true });
    let screen = json!({ "type": "screen", "active": true });
    let publish = |camera, screen| [Output::Publish(Published { camera, screen })];
    assert_eq!(rig.frame(12, video(json!([camera]))).take(), publish(true, false));
    assert_eq!(rig.frame(12, video(json!([camera]))).take(), [], "nothing new");
    assert_eq!(rig.frame(12, video(json!([camera, screen]))).take(), publish(true, true));
    let refused = Policy { can_stream: false, ..AUDIBLE };
    assert_eq!(rig.give(Input::Policy(refused)).take(), [Output::SetPolicy(refused), publish(false, false)[0].clone()]);
    assert_eq!(rig.frame(12, video(json!([camera]))).sent(), [(15, json!({ "any": 0 }), None)]);
    assert_eq!(rig.give(Input::Policy(AUDIBLE)).take(), [Output::SetPolicy(AUDIBLE), publish(true, false)[0].clone()]);
}

#[test]
fn a_client_hears_which_codecs_everybody_decodes() {
    let mut rig = Rig::webrtc(vec![]);
    let codecs = |codecs: &[Codec]| Input::Codecs(codecs.iter().copied().collect());
    let told = |names: &[&str], seq| vec![(205, json!({ "video": names }), Some(seq))];
    rig.sent();
    let first = rig.give(codecs(&[Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1])).sent();
    let seq = first[0].2.expect("replayable");
    assert_eq!(first, told(&["VP8", "H264", "VP9", "AV1"], seq));
    assert_eq!(rig.give(codecs(&[Codec::Av1, Codec::Vp9, Codec::H264, Codec::Vp8])).sent(), [], "nothing new");
    assert_eq!(rig.give(codecs(&[Codec::H264])).sent(), told(&["H264"], seq + 1));
    assert_eq!(rig.frame(14, json!({ "codecs": [] })).sent()[0].1["video_codec"], "H264");

    // Who has not entered hears it on entering.
    let mut rig = Rig::ready(8);
    rig.frame(1, json!({ "protocol": "webrtc", "data": OFFER })).give(Input::Answered(answer("v=0 answer"))).take();
    assert_eq!(rig.give(codecs(&[Codec::Vp8])).take(), []);
    assert!(rig.give(Input::Entered(Vec::new())).sent().iter().any(|(op, d, _)| *op == 205 && *d == json!({ "video": ["VP8"] })));
}

#[test]
fn a_client_of_ours_says_what_it_shows_and_hears_who_is_where() {
    let mut rig = Rig::webrtc(vec![films(5)]);
    let named = |ssrc: u32| {
        json!({
            "user_id": "5", "audio_ssrc": 500, "video_ssrc": ssrc, "streams": [{
                "type": "video", "rid": "100", "ssrc": ssrc, "rtx_ssrc": if ssrc > 0 { ssrc + 1 } else { 0 }, "active": true,
                "quality": 100, "max_bitrate": 0, "max_framerate": 0,
                "max_resolution": { "type": "source", "width": 0, "height": 0 },
            }],
        })
    };
    assert_eq!(rig.sent().pop().map(|(op, d, _)| (op, d)), Some((12, named(0))));
    let shown =
        |slot: u8| json!({ "slot": slot, "user_id": "5", "source": "camera", "width": 640, "height": 360, "focus": true });
    let wanted = Wanted { slot: 1, user_id: UserId::new(5), source: VideoSource::Camera, pixels: 640 * 360, is_focus: true };
    // The client has two slots.
    let pinned = Output::Pin(vec![UserId::new(5)]);
    assert_eq!(rig.frame(201, json!({ "slots": [shown(1), shown(2)] })).take(), [Output::Watch(vec![wanted]), pinned]);
    assert_eq!(rig.frame(201, json!({ "slots": [shown(1)] })).take(), [], "nothing new");
    let showing = Some((UserId::new(5), VideoSource::Camera));
    let sent = rig.give(Input::Filled { slot: 1, showing }).sent();
    let slots = json!({ "slots": [
        { "slot": 0, "ssrc": 31, "user_id": null, "source": null },
        { "slot": 1, "ssrc": 33, "user_id": "5", "source": "camera" },
    ] });
    assert_eq!(sent.iter().map(|(op, d, _)| (*op, d.clone())).collect::<Vec<_>>(), [(201, slots), (12, named(33))]);
    // Whoever comes back is another peer of the media engine: the engine is asked again.
    rig.give(Input::Room(RoomEvent::Left(UserId::new(5))));
    let sent = rig.take();
    assert!(!sent.iter().any(|output| matches!(output, Output::Watch(_))), "{sent:?}");
    assert!(rig.give(Input::Room(RoomEvent::Entered(films(5)))).take().contains(&Output::Watch(vec![wanted])));
    // What is wanted of its own video.
    let layer = |rid: &str, ssrc, is_wanted| guildhall_sfu::Layer {
        rid: guildhall_sfu::Rid::new(rid.as_bytes()).expect("a rid"),
        ssrc,
        is_wanted,
    };
    let layers = [layer("q", Some(7), true), layer("f", None, false)].into_iter().collect();
    let sent = rig.give(Input::Layers { source: VideoSource::Camera, layers }).sent();
    let told = json!({ "source": "camera", "layers": [{ "rid": "q", "active": true }, { "rid": "f", "active": false }] });
    assert_eq!(
        sent.into_iter().map(|(op, d, _)| (op, d)).collect::<Vec<_>>(),
        [(202, told), (15, json!({ "any": 100, "7": 100 }))]
    );
    // What its network does not carry.
    let told = |rig: &mut Rig, less, paused| {
        rig.give(Input::Narrowed { less, paused }).sent().into_iter().map(|(op, d, _)| (op, d)).collect::<Vec<_>>()
    };
    let slots = json!({ "slots": [{ "slot": 0, "paused": false }, { "slot": 3, "paused": true }] });
    assert_eq!(told(&mut rig, 0b1001, 0b1000), [(203, slots)]);
    assert_eq!(told(&mut rig, 0, 0), [(203, json!({ "slots": [] }))]);
}

#[test]
fn whom_a_client_names_or_shows_large_it_hears_whoever_else_talks() {
    let mut rig = Rig::webrtc(vec![films(5)]);
    rig.take();
    let pin = |users: &[u64]| Output::Pin(users.iter().copied().map(UserId::new).collect());
    let name = |rig: &mut Rig, users: Value| rig.frame(204, json!({ "user_ids": users })).take();
    assert_eq!(name(&mut rig, json!(["6", 7])), [pin(&[6, 7])]);
    assert_eq!(name(&mut rig, json!([6, 7])), [], "nothing new");
    let shown = json!({ "slot": 0, "user_id": "5", "source": "camera", "width": 64, "height": 36, "focus": true });
    assert_eq!(rig.frame(201, json!({ "slots": [shown] })).take().last(), Some(&pin(&[6, 7, 5])));
    assert_eq!(name(&mut rig, json!([5, 1, 2, 3, 4])), [pin(&[5, 1, 2, 3])], "no more than there is room for");
    // Whoever comes back is another peer of the media engine.
    assert!(rig.give(Input::Room(RoomEvent::Entered(other(3, 0)))).take().contains(&pin(&[5, 1, 2, 3])));
    rig.give(Input::Room(RoomEvent::Entered(other(9, 0))));
    assert!(!rig.take().iter().any(|output| matches!(output, Output::Pin(_))), "nobody who is pinned");
    assert_eq!(rig.frame(201, json!({ "slots": [] })).take(), [Output::Watch(vec![])]);
    assert_eq!(name(&mut rig, json!([])), [pin(&[])]);
    // A bot hears everyone.
    let mut bot = Rig::native(8, vec![]);
    bot.take();
    assert_eq!(name(&mut bot, json!([6])), []);
}

#[test]
fn a_client_of_discords_form_is_given_a_slot_for_each_video() {
    let mut rig = Rig::webrtc(vec![films(5)]);
    rig.take();
    let wanted =
        |slot, user, pixels| Wanted { slot, user_id: UserId::new(user), source: VideoSource::Camera, pixels, is_focus: false };
    let full = wanted(0, 5, 1280 * 720);
    assert_eq!(rig.frame(15, json!({ "any": 100 })).take(), [Output::Watch(vec![full])]);
    rig.give(Input::Room(RoomEvent::Published(films(6)))).give(Input::Room(RoomEvent::Published(films(7))));
    let watched = |output| if let Output::Watch(wanted) = output { Some(wanted) } else { None };
    let asked: Vec<_> = rig.take().into_iter().filter_map(watched).collect();
    assert_eq!(asked, [[full, wanted(1, 6, 1280 * 720)]], "there are two slots");
    let less = json!({ "any": 100, "31": 50, "33": 0, "pixelCounts": { "31": 1000 } });
    assert_eq!(rig.frame(15, less).take(), [Output::Watch(vec![wanted(0, 5, 1000), wanted(1, 6, 0)])]);
    let free = rig.give(Input::Room(RoomEvent::Left(UserId::new(5)))).take().into_iter().filter_map(watched).next_back();
    assert_eq!(free, Some(vec![wanted(0, 7, 1000), wanted(1, 6, 0)]), "whoever waited has the free slot");
}

#[test]
fn video_and_backend_questions_get_truthful_answers_and_unknown_talk_none() {
    let mut rig = Rig::native(8, vec![]);
    rig.take();
    assert_eq!(
        rig.frame(12, json!({ "audio_ssrc": 1, "video_ssrc": 2 })).sent(),
        [(15, json!({ "any": 0 }), None)],
        "bots film nothing"
    );
    assert_eq!(rig.frame(12, json!({ "audio_ssrc": 1, "video_ssrc": 0 })).sent(), []);
    let version = rig.frame(16, json!({})).sent().remove(0).1;
    assert!(version["voice"].is_string() && version["rtc_worker"].is_string());
    assert_eq!(rig.frame(14, json!({ "codecs": [] })).sent()[0].1["audio_codec"], "opus");
    rig.frame(15, json!({ "any": 100 })).frame(23, json!({ "transition_id": 1 })).frame(32, json!({})).give(Input::Binary);
    assert_eq!(rig.take(), []);
}

#[test]
fn a_flood_of_frames_is_closed() {
    let mut rig = Rig::native(8, vec![]);
    rig.wait(limits::RATE_WINDOW / 3).frame(3, json!(1)).wait(limits::RATE_WINDOW / 3).frame(3, json!(1));
    rig.wait(limits::RATE_WINDOW / 3).take();
    for _ in 1..limits::FRAMES_PER_WINDOW {
        rig.give(Input::Text(r#"{"op":15,"d":{}}"#));
    }
    assert_eq!(rig.take(), []);
    rig.give(Input::Binary).ends(Some(CloseCode::RateLimited), true);
}

#[test]
fn a_connected_browser_may_restart_ice_and_nobody_hears_of_it() {
    let again = || json!({ "protocol": "webrtc", "data": OFFER });
    let mut rig = Rig::webrtc(vec![other(5, 0)]);
    rig.take();
    for answer in ["v=0 second", "v=0 third"] {
        assert_eq!(rig.frame(1, again()).take(), [Output::ConnectWebRtc { offer: OFFER.to_owned() }]);
        let sent = rig.give(Input::Answered(super::tests::answer(answer))).sent();
        assert_eq!((ops(&sent), &sent[0].1["sdp"]), (vec![4], &json!(answer)));
    }
    rig.give(Input::Answered(answer("v=0 unasked")));
    assert_eq!(rig.take(), [], "an answer that nobody waits for");
    // One at a time, and only by who has this transport.
    rig.frame(1, again()).frame(1, again()).ends(Some(CloseCode::BadRequest), true);
    let mut refused = Rig::webrtc(vec![]);
    refused.frame(1, again()).give(Input::EngineFailed(CloseCode::BadRequest)).ends(Some(CloseCode::BadRequest), true);
    Rig::webrtc(vec![]).frame(1, select_udp(MODE_AES256_GCM)).ends(Some(CloseCode::BadRequest), true);
    Rig::native(8, vec![]).frame(1, again()).ends(Some(CloseCode::BadRequest), true);
}

#[test]
fn whoever_is_taken_over_moved_or_kicked_while_talking_ends_at_once() {
    for (input, is_reported) in [
        (Input::Disconnect, false),
        (Input::Replaced { is_same_participant: true }, false),
        (Input::Replaced { is_same_participant: false }, true),
    ] {
        let mut rig = Rig::native(8, vec![other(5, 1)]);
        rig.frame(5, json!({ "speaking": 1, "delay": 0, "ssrc": 1234 })).take();
        rig.give(input).ends(Some(CloseCode::Disconnected), is_reported);
    }
}

#[test]
fn a_server_mute_during_a_cut_holds_when_the_client_is_back() {
    let mut rig = Rig::native(8, vec![]);
    rig.frame(5, json!({ "speaking": 1, "delay": 0, "ssrc": 1234 }));
    assert_eq!(rig.take().last(), Some(&Output::Speak(1)));
    rig.give(Input::SocketClosed { code: Some(1006) });
    let muted = Policy { can_speak: false, ..AUDIBLE };
    assert_eq!(rig.give(Input::Policy(muted)).take(), [Output::SetPolicy(muted), Output::Speak(0)]);
    rig.give(Input::Attached { version: 8, seq_ack: Some(1) }).take();
    // Its own op 5 does not unmute it.
    rig.frame(5, json!({ "speaking": 1, "delay": 0, "ssrc": 1234 }));
    assert_eq!(rig.take(), []);
    assert_eq!(rig.give(Input::Policy(AUDIBLE)).take(), [Output::SetPolicy(AUDIBLE), Output::Speak(1)]);
}

#[test]
fn a_browser_is_told_its_quality_and_a_bot_is_not() {
    let quality = Quality {
        loss_up_permille: 5,
        loss_down_permille: 20,
        jitter: Duration::from_millis(4),
        round_trip: Some(Duration::from_millis(30)),
        score: 412,
    };
    let mut browser = Rig::webrtc(vec![]);
    browser.take();
    let expected = json!({ "score": 4.12, "loss_up": 0.005, "loss_down": 0.02, "jitter_ms": 4.0, "round_trip_ms": 30.0 });
    assert_eq!(browser.give(Input::Quality(quality)).sent(), [(200, expected, None)]);
    let mut bot = Rig::native(8, vec![]);
    bot.take();
    assert_eq!(bot.give(Input::Quality(quality)).take(), []);
}
