use super::compress::{Codec, Stream};
use super::mailbox::{Dispatch, Fill, MAX_BACKLOG, MAX_BACKLOG_BYTES, MAX_DETACHED, MAX_HISTORY, Mailbox, RewindError};
use super::session::{Account, FRAME_WINDOW, IDENTIFY_TIMEOUT, Input, MAX_FRAMES, Output, Refusal, Session};
use super::{Origin, Parameters};
use guildhall_protocol::gateway::{CloseCode, heartbeat_ack, heartbeat_request, invalid_session};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(40);
const IDENTIFY: &str = r#"{"op":2,"d":{"token":"t","intents":1}}"#;

/// One step of a connection's life, and what must come out in the words of [`word`].
enum Do {
    Frame(&'static str),
    Wait(Duration),
    Identified { is_bot: bool },
    Refused(CloseCode),
    TooMany,
    Resumed,
    Gone,
}

/// Outputs in a form that reads well in a table.
fn word(output: &Output) -> String {
    match output {
        Output::Send(text) if text == heartbeat_ack() => "ack".to_owned(),
        Output::Send(text) if text == heartbeat_request() => "ask".to_owned(),
        Output::Send(text) if text == invalid_session(false) => "invalid".to_owned(),
        Output::Send(text) if text.contains(r#""op":10"#) => "hello".to_owned(),
        Output::Send(text) => text.to_string(),
        Output::Identify(identify) => format!("identify {}", identify.token),
        Output::Resume(resume) => format!("resume {} {}", resume.session_id, resume.seq),
        Output::Acknowledge(seq) => format!("has {seq}"),
        Output::Presence(presence) => format!("presence {}", presence.status.name()),
        Output::Voice(update) => format!("voice {}", update.guild_id),
        Output::RequestMembers(request) => format!("members {}", request.guild_id),
        Output::Subscribe(guilds) => format!("looks at {} guilds", guilds.len()),
        Output::Close(code) => format!("close {}", code.number()),
    }
}

fn check(script: &[Do], expected: &[&str]) {
    let mut now = Instant::now();
    let mut out = Vec::new();
    let mut session = Session::new(now, INTERVAL, &mut out);
    for step in script {
        match step {
            Do::Frame(text) => session.handle(now, Input::Frame(text.as_bytes()), &mut out),
            Do::Identified { is_bot } => session.handle(now, Input::Identified(Ok(Account { is_bot: *is_bot })), &mut out),
            Do::Refused(code) => session.handle(now, Input::Identified(Err(Refusal::Close(*code))), &mut out),
            Do::TooMany => session.handle(now, Input::Identified(Err(Refusal::Invalid)), &mut out),
            Do::Resumed => session.handle(now, Input::Resumed(Ok(Account { is_bot: true })), &mut out),
            Do::Gone => session.handle(now, Input::Resumed(Err(Refusal::Invalid)), &mut out),
            Do::Wait(time) => {
                let end = now + *time;
                while let Some(at) = session.next_timeout().filter(|at| *at <= end) {
                    now = at;
                    session.handle(now, Input::Timeout, &mut out);
                }
                now = end;
            }
        }
    }
    assert_eq!(out.iter().map(word).collect::<Vec<_>>(), expected);
}

#[test]
fn a_client_identifies_beats_and_asks() {
    check(
        &[
            Do::Frame(IDENTIFY),
            Do::Identified { is_bot: true },
            Do::Frame(r#"{"op":1,"d":3}"#),
            Do::Frame(r#"{"op":3,"d":{"status":"idle","activities":[]}}"#),
            Do::Frame(r#"{"op":4,"d":{"guild_id":5,"channel_id":null}}"#),
            Do::Frame(r#"{"op":8,"d":{"guild_id":"5","query":"","limit":0}}"#),
        ],
        &["hello", "identify t", "has 3", "ack", "presence idle", "voice 5", "members 5"],
    );
}

#[test]
fn a_client_that_never_identifies_is_closed_after_thirty_seconds() {
    check(&[Do::Wait(IDENTIFY_TIMEOUT - Duration::from_secs(1))], &["hello"]);
    check(&[Do::Wait(IDENTIFY_TIMEOUT)], &["hello", "close 4009"]);
    // A heartbeat is answered and buys no time.
    check(
        &[Do::Wait(Duration::from_secs(29)), Do::Frame(r#"{"op":1,"d":null}"#), Do::Wait(Duration::from_secs(1))],
        &["hello", "ack", "close 4009"],
    );
}

#[test]
fn a_silent_client_is_asked_and_then_gone() {
    let with = |steps: Vec<Do>, expected: &[&str]| {
        let live = [Do::Frame(IDENTIFY), Do::Identified { is_bot: true }];
        let script: Vec<Do> = live.into_iter().chain(steps).collect();
        check(&script, &[&["hello", "identify t"], expected].concat());
    };
    with(vec![Do::Wait(INTERVAL)], &[]);
    with(vec![Do::Wait(INTERVAL * 5 / 4)], &["ask"]);
    with(vec![Do::Wait(INTERVAL * 5 / 4 + INTERVAL / 2)], &["ask", "close 4009"]);
    with(
        vec![Do::Wait(INTERVAL * 5 / 4), Do::Frame(r#"{"op":1,"d":1}"#), Do::Wait(INTERVAL * 5 / 4)],
        &["ask", "has 1", "ack", "ask"],
    );
}

#[test]
fn a_resume_continues_or_starts_anew() {
    const RESUME: &str = r#"{"op":6,"d":{"token":"t","session_id":"s","seq":7}}"#;
    check(&[Do::Frame(RESUME), Do::Resumed, Do::Frame(r#"{"op":1,"d":9}"#)], &["hello", "resume s 7", "has 9", "ack"]);
    check(
        &[Do::Frame(RESUME), Do::Gone, Do::Frame(IDENTIFY), Do::Identified { is_bot: false }],
        &["hello", "resume s 7", "invalid", "identify t"],
    );
}

#[test]
fn who_opened_too_many_sessions_may_try_again_on_the_same_connection() {
    check(
        &[
            Do::Frame(IDENTIFY),
            Do::TooMany,
            Do::Wait(Duration::from_secs(5)),
            Do::Frame(IDENTIFY),
            Do::Identified { is_bot: true },
        ],
        &["hello", "identify t", "invalid", "identify t"],
    );
}

#[test]
fn what_is_wrong_has_its_close_code() {
    let live = |frame| [Do::Frame(IDENTIFY), Do::Identified { is_bot: true }, Do::Frame(frame)];
    for (frame, close) in [
        (IDENTIFY, "close 4005"),
        (r#"{"op":6,"d":{"token":"t","session_id":"s","seq":7}}"#, "close 4005"),
        (r#"{"op":99,"d":{}}"#, "close 4001"),
        (r#"{"op":14,"d":{"guild_id":"5"}}"#, "close 4001"),
        ("{", "close 4002"),
        (r#"{"op":4,"d":{}}"#, "close 4002"),
    ] {
        check(&live(frame), &["hello", "identify t", close]);
    }
    check(&[Do::Frame(r#"{"op":3,"d":{}}"#)], &["hello", "close 4003"]);
    check(&[Do::Frame(r#"{"op":99,"d":{}}"#)], &["hello", "close 4003"]);
    check(&[Do::Frame(r#"{"op":2,"d":{"token":"t","shard":[2,2]}}"#)], &["hello", "close 4010"]);
    check(&[Do::Frame(IDENTIFY), Do::Refused(CloseCode::AuthenticationFailed)], &["hello", "identify t", "close 4004"]);
    // After the close nothing is heard any more.
    check(&[Do::Frame("{"), Do::Frame(IDENTIFY), Do::Wait(INTERVAL * 9)], &["hello", "close 4002"]);
}

#[test]
fn people_may_send_opcodes_that_nobody_knows() {
    check(
        &[
            Do::Frame(IDENTIFY),
            Do::Identified { is_bot: false },
            Do::Frame(r#"{"op":13,"d":{}}"#),
            Do::Frame(r#"{"op":14,"d":{"guild_id":"5","channels":{}}}"#),
            Do::Frame(r#"{"op":1,"d":1}"#),
        ],
        &["hello", "identify t", "looks at 1 guilds", "has 1", "ack"],
    );
}

#[test]
fn a_frame_that_is_too_large_is_not_decoded() {
    let (mut out, now) = (Vec::new(), Instant::now());
    let mut session = Session::new(now, INTERVAL, &mut out);
    let frame = format!(r#"{{"op":2,"d":{{"token":"{}"}}}}"#, "t".repeat(4096));
    session.handle(now, Input::Frame(frame.as_bytes()), &mut out);
    assert_eq!(out.last(), Some(&Output::Close(CloseCode::DecodeError)));
}

#[test]
fn too_many_frames_in_a_minute_close() {
    let (mut out, mut now) = (Vec::new(), Instant::now());
    let mut session = Session::new(now, INTERVAL, &mut out);
    let mut beat = |session: &mut Session, now| session.handle(now, Input::Frame(br#"{"op":1,"d":null}"#), &mut out);
    (0..MAX_FRAMES).for_each(|_| beat(&mut session, now));
    now += FRAME_WINDOW;
    (0..MAX_FRAMES).for_each(|_| beat(&mut session, now));
    assert!(session.next_timeout().is_some(), "the limit is per window");
    beat(&mut session, now);
    assert!(session.next_timeout().is_none());
    assert_eq!(out.last(), Some(&Output::Close(CloseCode::RateLimited)));
}

fn dispatch(bytes: usize) -> Arc<Dispatch> {
    Dispatch::new("TEST", &"x".repeat(bytes.saturating_sub(2)))
}

/// The mailbox of a session whose greeting was empty.
fn begun() -> Mailbox {
    let mut mailbox = Mailbox::default();
    mailbox.begin();
    mailbox
}

fn sent(mailbox: &mut Mailbox) -> Vec<u64> {
    std::iter::from_fn(|| mailbox.take_next()).map(|(seq, _)| seq).collect()
}

#[test]
fn a_mailbox_numbers_from_one_and_replays_what_was_not_confirmed() {
    let mut mailbox = begun();
    (0..5).for_each(|_| assert_eq!(mailbox.push(dispatch(10)), Fill::Fine));
    assert_eq!(sent(&mut mailbox), [1, 2, 3, 4, 5]);
    mailbox.acknowledge(2);
    mailbox.push(dispatch(10));
    assert_eq!(mailbox.rewind(1), Err(RewindError::Gone), "confirmed");
    assert_eq!(mailbox.rewind(6), Err(RewindError::Future), "pushed, but never sent");
    assert_eq!(mailbox.rewind(3), Ok(()));
    assert_eq!(sent(&mut mailbox), [4, 5, 6]);
    mailbox.acknowledge(99);
    assert_eq!(mailbox.rewind(6), Ok(()));
    assert_eq!(sent(&mut mailbox), [0; 0]);
    assert_eq!(mailbox.last(), 6);
}

#[test]
fn a_mailbox_that_nobody_empties_says_so_by_count_and_by_bytes() {
    let fills = |bytes: usize, count: usize| {
        let mut mailbox = begun();
        (0..count).map(|_| mailbox.push(dispatch(bytes))).last()
    };
    assert_eq!(fills(10, MAX_BACKLOG), Some(Fill::Fine));
    assert_eq!(fills(10, MAX_BACKLOG + 1), Some(Fill::TooSlow));
    assert_eq!(fills(10, MAX_DETACHED + 1), Some(Fill::Lost));
    assert_eq!(fills(1 << 20, MAX_BACKLOG_BYTES >> 20), Some(Fill::Fine));
    assert_eq!(fills(1 << 20, (MAX_BACKLOG_BYTES >> 20) + 1), Some(Fill::TooSlow));
    assert_eq!(fills(1 << 20, (MAX_BACKLOG_BYTES >> 19) + 1), Some(Fill::Lost));
}

#[test]
fn what_waited_before_the_socket_came_is_nobodys_slowness() {
    let mut mailbox = begun();
    (0..MAX_BACKLOG * 2).for_each(|_| {
        mailbox.push(dispatch(MAX_BACKLOG_BYTES / MAX_BACKLOG / 2 + 1));
    });
    mailbox.end_greeting();
    assert_eq!(mailbox.push(dispatch(10)), Fill::Fine);
    assert_eq!(sent(&mut mailbox).len(), MAX_BACKLOG * 2 + 1);
    (0..MAX_BACKLOG).for_each(|_| assert_eq!(mailbox.push(dispatch(10)), Fill::Fine));
    assert_eq!(mailbox.push(dispatch(10)), Fill::TooSlow);
}

#[test]
fn coming_back_again_and_again_without_reading_is_bounded() {
    let mut mailbox = begun();
    let fill = (0..MAX_DETACHED + 1).map(|_| {
        assert_eq!(mailbox.rewind(0), Ok(()));
        mailbox.end_greeting();
        mailbox.push(dispatch(10))
    });
    assert_eq!(fill.last(), Some(Fill::Lost));
}

#[test]
fn a_greeting_of_any_size_leaves_room_for_what_follows() {
    let mut mailbox = Mailbox::default();
    (0..20).for_each(|_| assert_eq!(mailbox.push(dispatch(1 << 20)), Fill::Fine));
    mailbox.begin();
    assert_eq!(mailbox.push(dispatch(10)), Fill::Fine);
    assert_eq!(sent(&mut mailbox).len(), 21);
    assert_eq!(mailbox.push(dispatch(10)), Fill::Fine);
}

#[test]
fn a_greeting_is_not_kept_once_it_is_sent() {
    let mut mailbox = Mailbox::default();
    (0..2).for_each(|_| assert_eq!(mailbox.push(dispatch(10)), Fill::Fine));
    mailbox.begin();
    mailbox.push(dispatch(10));
    assert_eq!(sent(&mut mailbox), [1, 2, 3]);
    assert_eq!(mailbox.rewind(1), Err(RewindError::Gone), "cut off during the greeting");
    assert_eq!(mailbox.rewind(2), Ok(()));
    assert_eq!(sent(&mut mailbox), [3]);
}

#[test]
fn history_is_bounded_and_says_when_it_cannot_replay() {
    let mut mailbox = begun();
    for _ in 0..MAX_HISTORY + 10 {
        mailbox.push(dispatch(10));
        mailbox.take_next();
    }
    assert_eq!(mailbox.rewind(9), Err(RewindError::Gone));
    assert_eq!(mailbox.rewind(10), Ok(()));
    assert_eq!(sent(&mut mailbox).len(), MAX_HISTORY);
}

#[test]
fn zlib_frames_decode_one_by_one_in_one_context() {
    let mut stream = Stream::new(Codec::Zlib);
    let mut inflate = flate2::Decompress::new(true);
    let large = json!({ "names": (0..20_000).map(|n| n * 7919 % 10_007).collect::<Vec<_>>() }).to_string();
    let mut sizes = Vec::new();
    for text in ["{}", r#"{"op":11}"#, large.as_str(), r#"{"op":11}"#, ""] {
        let (head, tail) = text.as_bytes().split_at(text.len() / 2);
        let frame = stream.message(&[head, tail]);
        assert!(frame.ends_with(&[0, 0, 0xff, 0xff]), "a reader knows the end of a message by this");
        let mut read = Vec::with_capacity(text.len() + 64);
        inflate.decompress_vec(&frame, &mut read, flate2::FlushDecompress::Sync).expect("a valid stream");
        assert_eq!(read, text.as_bytes());
        sizes.push(frame.len());
    }
    assert!(sizes[2] < large.len() / 2);
}

#[test]
fn zstd_frames_decode_one_by_one_in_one_context_that_stays_small() {
    let mut stream = Stream::new(Codec::Zstd);
    let mut inflate = zstd_safe::DCtx::create();
    let large = json!({ "names": (0..20_000).map(|n| n * 7919 % 10_007).collect::<Vec<_>>() }).to_string();
    let mut sizes = Vec::new();
    for text in ["{}", r#"{"op":11}"#, large.as_str(), r#"{"op":11}"#, "", r#"{"op":11}"#] {
        let (head, tail) = text.as_bytes().split_at(text.len() / 2);
        let frame = stream.message(&[head, tail]);
        let mut read = Vec::with_capacity(text.len() + 64);
        let mut input = zstd_safe::InBuffer::around(&frame);
        while input.pos() < frame.len() {
            let filled = read.len();
            let mut room = zstd_safe::OutBuffer::around_pos(&mut read, filled);
            let hint = inflate.decompress_stream(&mut room, &mut input).expect("a valid stream");
            assert_ne!(hint, 0, "the frame never ends");
        }
        assert_eq!(String::from_utf8(read).expect("text"), text);
        sizes.push(frame.len());
    }
    assert!(sizes[2] < large.len() / 2);
    assert!(sizes[5] < r#"{"op":11}"#.len() + 4, "what was said before is referred to: {sizes:?}");
    let bytes = stream.zstd_bytes().expect("zstd");
    assert!(bytes <= 100 << 10, "{bytes} bytes for one connection");
}

#[test]
fn a_dispatch_and_its_number_make_a_frame() {
    let dispatch = Dispatch::new("TYPING_START", &json!({ "user_id": "1" }));
    let frame = [dispatch.head(42).as_bytes(), &dispatch.body, b"}"].concat();
    let frame: serde_json::Value = serde_json::from_slice(&frame).expect("valid JSON");
    assert_eq!(frame, json!({ "t": "TYPING_START", "s": 42, "op": 0, "d": { "user_id": "1" } }));
}

#[test]
fn only_json_in_versions_9_and_10_is_spoken() {
    let version = |v: Option<&str>, encoding: Option<&str>| {
        Parameters { v: v.map(str::to_owned), encoding: encoding.map(str::to_owned), compress: None }.version()
    };
    assert_eq!(version(Some("10"), Some("json")), Some(10));
    assert_eq!(version(Some("9"), None), Some(9));
    assert_eq!(version(None, None), Some(10));
    for (v, encoding) in [(Some("8"), None), (Some("ten"), None), (Some("10"), Some("etf"))] {
        assert_eq!(version(v, encoding), None);
    }
}

#[test]
fn clients_come_back_by_the_scheme_that_they_came_by() {
    let url = |is_tls| Origin { host: "guild.example:8080".to_owned(), is_tls, address: None }.gateway_url();
    assert_eq!(url(false), "ws://guild.example:8080/gateway");
    assert_eq!(url(true), "wss://guild.example:8080/gateway");
}

#[test]
fn the_task_of_a_connection_is_small() {
    fn size<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }
    // Of the 8 KiB that an idle session may cost in all; it holds the WebSocket and the largest of its waits.
    let bytes = size(super::socket::serve);
    assert!(bytes <= 4096, "{bytes} bytes");
    eprintln!("{bytes}");
}
