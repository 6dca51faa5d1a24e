//! A call is recorded: everyone sees it, each person is a file that any player plays as long as the call was, each camera and
//! screen is one that decodes from end to end, and what was stored is there after the server was killed.

use guildhall_loadtest::{
    opus::Speaker,
    voice::{Options, Peer},
};
use guildhall_tests::{
    api::{get, post, refused},
    eventually, eventually_within,
    frames::SILENCE,
    node::{VoiceNode, control_plane, operated},
    page::{Page, assert_no_page_failed},
    room::{GCM, Participant, WEBRTC},
    script::Script,
    world::{PASSWORD, World, id},
};
use ogg::PacketReader;
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    io::Cursor,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Eight seconds of packets.
const PACKETS: usize = 400;

/// Small enough for a machine that encodes it beside everything else, large enough that Chromium sends three layers of it.
const CAMERA: (u64, u64) = (960, 540);

/// Two layers of it are sent, by codecs that cost more.
const SMALL_CAMERA: (u64, u64) = (640, 360);

/// The largest of them comes within this: a browser that is short of time is careful.
const SENT_WITHIN: Duration = Duration::from_secs(90);

/// What is recorded of it, at the least.
const FILMED_MS: u64 = 8_000;

/// How long a track may be wrong: a twentieth.
const TOLERANCE: f64 = 0.05;

/// Decibels of full scale that speech reaches.
const LOUD_DB: f64 = -20.0;

fn recordings(world: &World) -> String {
    format!("/channels/{}/recordings", world.voice)
}

/// The recording, once it is so.
async fn recording_when(world: &World, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let path = format!("{}/{id}", recordings(world));
    eventually(what, async || {
        let recording = get(&world.owner.rest, &path).await;
        is_so(&recording).then_some(recording)
    })
    .await
}

fn track_of<'a>(recording: &'a Value, participant: &Participant) -> &'a Value {
    let tracks = recording["tracks"].as_array().expect("a list");
    let mut own = tracks.iter().filter(|track| track["user_id"] == json!(participant.id()));
    let (track, other) = (own.next(), own.next());
    assert!(other.is_none(), "one track each: {recording}");
    track.unwrap_or_else(|| panic!("{} has no track: {recording}", participant.account.user.username))
}

/// Saves a track: without a token, by its link.
async fn save(world: &World, track: &Value) -> (PathBuf, Vec<u8>) {
    let bytes = world.rest.download(track["url"].as_str().expect("a link")).await.expect("the whole file");
    assert_eq!(bytes.len() as u64, track["size"].as_u64().expect("a size"));
    let path = world.server.data().join(track["filename"].as_str().expect("a name"));
    std::fs::write(&path, &bytes).expect("there is room");
    (path, bytes)
}

/// What was said, as it is in the file; silence left out.
fn said(file: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = PacketReader::new(Cursor::new(file));
    let packets = std::iter::from_fn(|| reader.read_packet().expect("a file that can be read"));
    let packets = packets.map(|packet| packet.data).filter(|packet| !packet.starts_with(b"Opus"));
    // All silences end alike: they differ in their length only.
    packets.filter(|packet| packet.len() != SILENCE.len() || packet[1..] != SILENCE[1..]).collect()
}

fn output(program: &str, arguments: &[&str], file: &Path) -> (String, String) {
    let output = Command::new(program).args(arguments).arg(file).output().expect("ffmpeg is installed");
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{program}: {err}");
    (out, err)
}

/// Seconds, as a player sees the file, which is Opus and nothing else.
fn length(file: &Path) -> f64 {
    let asked = ["-v", "error", "-show_entries", "format=duration:stream=codec_name,sample_rate,channels", "-of", "json"];
    let (out, err) = output("ffprobe", &asked, file);
    assert_eq!(err, "", "nothing is wrong with it");
    let found: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(found["streams"], json!([{"codec_name": "opus", "sample_rate": "48000", "channels": 2}]));
    found["format"]["duration"].as_str().and_then(|seconds| seconds.parse().ok()).expect("a duration")
}

/// The loudest sample in decibels of full scale; every packet has to be decodable.
fn loudest(file: &Path) -> f64 {
    let file_name = file.to_str().expect("a plain path");
    let (_, wrong) = output("ffmpeg", &["-v", "error", "-xerror", "-i", file_name, "-f", "null"], Path::new("-"));
    assert_eq!(wrong, "", "every packet is decoded");
    let (_, told) = output("ffmpeg", &["-i", file_name, "-af", "volumedetect", "-f", "null"], Path::new("-"));
    let (_, rest) = told.split_once("max_volume: ").expect("it measures");
    rest.split(' ').next().and_then(|decibels| decibels.parse().ok()).expect("a number")
}

fn assert_about(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= expected * TOLERANCE, "{what}: {found} s instead of {expected} s");
}

#[tokio::test]
async fn a_call_is_recorded_in_everyones_sight_and_each_voice_is_a_file_as_long_as_it_was() {
    let world = World::start().await;
    let (gail, webb) = (world.participant("gail", GCM).await, world.participant("webb", WEBRTC).await);
    let mona = world.member("mona").await;
    refused(&gail.account.rest, Method::POST, &recordings(&world), Some(json!({})), 403, 50013).await;

    let browser = Script::browser().await;
    let url = format!("{}/channels/{}/{}", world.server.base(), world.guild, world.voice);
    let owner = Page::open(&browser, "owner", &url).await;
    owner.logs_in(&world.server.owner().login, &world.server.owner().password).await;
    let other = Page::open(&browser, "mona", &url).await;
    other.logs_in(&mona.user.username, PASSWORD).await;
    other.sees("room-join").await;
    other.sees_no_more("recording-badge").await;
    other.sees_no_more("recordings").await;
    owner.click("recordings").await;
    owner.click("recording-start").await;
    // Somebody who might join sees it before.
    other.sees("recording-badge").await;
    other.reads("recording-notice", "This channel is being recorded").await;
    other.shoot("recording-seen-by-others").await;

    let packets = [1, 2].map(|seed| Speaker::new(seed).and_then(|mut speaker| speaker.packets(PACKETS)).expect("libopus"));
    let began = Instant::now();
    tokio::join!(gail.say(&packets[0]), webb.say(&packets[1]));
    owner.sees("recording-stop").await;
    owner.shoot("recording-running").await;
    let recording = id(&get(&world.owner.rest, &recordings(&world)).await[0]);
    let stopped = post(&world.owner.rest, &format!("{}/{recording}/stop", recordings(&world)), json!({})).await;
    let lasted = began.elapsed().as_secs_f64();
    assert_eq!(stopped["state"], "ending");
    let done = recording_when(&world, &recording, "the last pieces", |found| found["state"] == "done").await;
    for (participant, packets) in [&gail, &webb].into_iter().zip(&packets) {
        let name = &participant.account.user.username;
        let track = track_of(&done, participant);
        assert_eq!(track["lost_packets"], 0, "{name}");
        let (file, bytes) = save(&world, track).await;
        assert!(said(&bytes) == *packets, "{name} is recorded bit for bit");
        let told = track["length_ms"].as_f64().expect("a length") / 1000.0;
        assert_about(length(&file), told, name);
        assert_about(told, lasted, name);
        assert!(loudest(&file) > LOUD_DB, "{name} is heard: {} dB", loudest(&file));
    }

    other.sees_no_more("recording-badge").await;
    owner.sees("recording-start").await;
    owner.sees("recording-track").await;
    eventually("the list to show that it is complete", async || {
        (owner.attribute("recording", "data-state").await == "done").then_some(())
    })
    .await;
    owner.shoot("recordings-list").await;
    let messages = world.owner.rest.history(world.voice).await.expect("the channel has a chat");
    let notices: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
    assert!(notices.len() == 2 && notices[0].contains("I am recording") && notices[1].contains("has ended"), "{notices:?}");
    assert_no_page_failed(&browser);
}

/// Every picture of a file, decoded: when it is shown (in seconds), and its width and height. Nothing is wrong with any.
fn pictures(file: &Path) -> Vec<(f64, u64, u64)> {
    let file_name = file.to_str().expect("a plain path");
    // Milliseconds: pictures that come soon after each other have one time in the rate that ffmpeg guesses.
    let asked = ["-v", "error", "-xerror", "-i", file_name, "-enc_time_base", "1:1000", "-f", "null"];
    let (_, wrong) = output("ffmpeg", &asked, Path::new("-"));
    assert_eq!(wrong, "", "every picture is decoded");
    let (out, wrong) = output("ffprobe", &["-v", "error", "-show_entries", "frame=pts_time,width,height", "-of", "json"], file);
    assert_eq!(wrong, "", "nothing is wrong with it");
    let found: Value = serde_json::from_str(&out).expect("JSON");
    let picture = |frame: &Value| {
        let at = frame["pts_time"].as_str().and_then(|seconds| seconds.parse().ok()).expect("a time");
        (at, frame["width"].as_u64().expect("a width"), frame["height"].as_u64().expect("a height"))
    };
    found["frames"].as_array().expect("a list").iter().map(picture).collect()
}

/// Whether there is a picture in the file that has more than one layer, as an independent reader of its headers sees it.
fn is_layered(file: &Path) -> bool {
    let file = file.to_str().expect("a plain path");
    let (_, told) = output("ffmpeg", &["-i", file, "-c", "copy", "-bsf:v", "trace_headers", "-f", "null"], Path::new("-"));
    let says = |line: &str| line.contains("frames_in_superframe_minus_1") || line.contains(" spatial_id ");
    told.lines().any(|line| says(line) && !line.ends_with("= 0"))
}

/// The newest file of a kind, once it is so long.
async fn filmed(world: &World, recording: &str, kind: &str, at_least_ms: u64) -> Value {
    let newest = |found: &Value| {
        let tracks = found["tracks"].as_array().expect("a list");
        tracks.iter().rfind(|track| track["kind"] == kind).cloned().unwrap_or_default()
    };
    let is_long = |found: &Value| newest(found)["length_ms"].as_u64().is_some_and(|length| length >= at_least_ms);
    newest(&recording_when(world, recording, &format!("{at_least_ms} ms of the {kind} to be stored"), is_long).await)
}

#[tokio::test]
async fn a_camera_and_a_screen_are_recorded_although_nobody_watches_and_decode_from_end_to_end() {
    films("automatic", "vp8", CAMERA).await;
}

/// All sizes of the camera come in one stream then, and what a player shows of each picture is the largest.
#[tokio::test]
async fn a_camera_in_layers_of_vp9_is_recorded_as_it_was_sent() {
    films("VP9", "vp9", SMALL_CAMERA).await;
}

#[tokio::test]
async fn a_camera_in_layers_of_av1_is_recorded_as_it_was_sent() {
    films("AV1", "av1", SMALL_CAMERA).await;
}

/// Somebody's camera and screen, sent in the codec that is chosen, are files of the expected one.
async fn films(codec: &str, expected: &str, (width, height): (u64, u64)) {
    let world = World::start().await;
    let ann = world.member("ann").await;
    let browser = Script::browser().await;
    let url = format!("{}/channels/{}/{}", world.server.base(), world.guild, world.voice);
    let owner = Page::open(&browser, "owner", &url).await;
    owner.logs_in(&world.server.owner().login, &world.server.owner().password).await;
    let page = Page::open(&browser, "ann", &url).await;
    page.logs_in(&ann.user.username, PASSWORD).await;
    page.evaluate(&format!(
        "(() => {{
            const media = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            const video = {{ width: {width}, height: {height}, frameRate: 10 }};
            navigator.mediaDevices.getUserMedia = (asked) => media(asked.video ? {{ video }} : asked);
        }})()"
    ))
    .await;
    page.joins_voice("hearth").await;
    page.chooses("video-codec", codec).await;
    page.click("room-camera").await;
    page.sees("preview-camera").await;

    owner.click("recordings").await;
    owner.click("recording-video").await;
    owner.click("recording-start").await;
    page.reads("recording-notice", "said or shown").await;
    owner.sees("recording-stop").await;
    let recording = id(&get(&world.owner.rest, &recordings(&world)).await[0]);
    eventually_within(SENT_WITHIN, "the largest layer to be sent", async || {
        let sent = page.evaluate("window.guildhall.video()").await["sent"].clone();
        let is_largest =
            |sent: &Value| sent["frameWidth"] == width && sent["packetsSent"].as_u64().is_some_and(|packets| packets > 50);
        sent.as_array()?.iter().any(is_largest).then_some(())
    })
    .await;
    let before = filmed(&world, &recording, "camera", 0).await["length_ms"].as_u64().expect("a length");
    filmed(&world, &recording, "camera", before + FILMED_MS).await;
    page.click("room-screen").await;
    filmed(&world, &recording, "screen", 1_000).await;
    page.shoot("recording-of-pictures").await;
    post(&world.owner.rest, &format!("{}/{recording}/stop", recordings(&world)), json!({})).await;
    let done = recording_when(&world, &recording, "the last pieces", |found| found["state"] == "done").await;

    for kind in ["camera", "screen"] {
        let track = filmed(&world, &recording, kind, 1).await;
        assert_eq!((&track["user_id"], &track["content_type"]), (&json!(ann.user.id), &json!("video/webm")), "{done}");
        let (file, _) = save(&world, &track).await;
        let asked = ["-v", "error", "-show_entries", "format=duration:stream=codec_name", "-of", "json"];
        let (out, wrong) = output("ffprobe", &asked, &file);
        let found: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!((wrong.as_str(), &found["streams"]), ("", &json!([{"codec_name": expected}])));
        let told = track["length_ms"].as_f64().expect("a length") / 1000.0;
        let duration: f64 = found["format"]["duration"].as_str().and_then(|text| text.parse().ok()).expect("a duration");
        assert!((duration - told).abs() < 0.002, "{kind}: {duration} s instead of {told} s");
        let pictures = pictures(&file);
        let (last, ..) = pictures.last().expect("a picture");
        assert!((last - told).abs() < 0.002 && pictures[0].0 == 0.0, "{kind}: from {} to {last} of {told} s", pictures[0].0);
        assert!(pictures.windows(2).all(|pair| pair[0].0 < pair[1].0), "{kind}: time goes on");
        assert!(pictures.len() as f64 > told, "{kind}: {} pictures in {told} s", pictures.len());
        if kind == "camera" {
            let largest = pictures.iter().map(|(_, width, height)| (*width, *height)).max();
            assert_eq!(largest, Some((width, height)), "the best layer was recorded");
            assert!(codec == "automatic" || is_layered(&file), "with all that it needs");
        }
    }

    // In the list, too, a browser plays them.
    owner.sees("recording-picture").await;
    eventually("the list's picture to be loaded", async || {
        let video = owner.evaluate("document.querySelector('[data-testid=recording-picture]').duration").await;
        video.as_f64().is_some_and(|seconds| seconds > 0.5).then_some(())
    })
    .await;
    owner.shoot("recordings-list-with-pictures").await;
    let metrics = world.rest.download(&format!("{}/metrics", world.server.base())).await.expect("for this machine");
    let metrics = String::from_utf8(metrics).expect("text");
    for counted in ["guildhall_recorder_pictures_total", "guildhall_recordings_stored_bytes_total"] {
        let value = metrics.lines().find_map(|line| line.strip_prefix(counted)?.trim().parse::<u64>().ok());
        assert!(value.is_some_and(|value| value > 10), "{counted}: {value:?}");
    }
    assert_no_page_failed(&browser);
}

/// A recording that runs, of which some is stored.
struct Begun {
    id: String,
    packets: Vec<Vec<u8>>,
    stored: Value,
}

/// Talks until some of it is stored.
async fn begin(world: &World, gail: &Participant) -> Begun {
    let id = id(&post(&world.owner.rest, &recordings(world), json!({})).await);
    let packets = Speaker::new(1).and_then(|mut speaker| speaker.packets(8 * PACKETS)).expect("libopus");
    let stored = tokio::select! {
        () = gail.say(&packets) => panic!("nothing was stored in a minute"),
        stored = recording_when(world, &id, "some seconds to be stored", |found| !found["tracks"][0].is_null()) => stored,
    };
    Begun { id, packets, stored }
}

/// Its node is gone: it is given up, and what was stored is there.
async fn is_kept(world: &World, gail: &Participant, begun: Begun) {
    let what = "the recording to be given up";
    let after = recording_when(world, &begun.id, what, |found| found["state"] == "interrupted").await;
    let (track, known) = (track_of(&after, gail), track_of(&begun.stored, gail));
    assert!(track["length_ms"].as_u64() >= known["length_ms"].as_u64(), "{track} was {known}");
    let (file, bytes) = save(world, track).await;
    let kept = said(&bytes);
    assert!(kept.len() > PACKETS / 2 && kept[..] == begun.packets[..kept.len()], "the beginning is there, bit for bit");
    assert_about(length(&file), track["length_ms"].as_f64().expect("a length") / 1000.0, "the track");
    assert!(loudest(&file) > LOUD_DB);
    let channel = get(&world.owner.rest, &format!("/channels/{}", world.voice)).await;
    assert!(channel.get("recording").is_none(), "nobody is told that it is recorded: {channel}");
}

#[tokio::test]
async fn what_was_stored_of_a_recording_is_there_after_the_server_was_killed() {
    let mut world = World::start().await;
    let gail = world.participant("gail", GCM).await;
    let begun = begin(&world, &gail).await;
    world.server.kill_9();
    world.restart().await;
    is_kept(&world, &gail, begun).await;
}

#[tokio::test]
async fn a_voice_node_elsewhere_records_to_the_control_plane_and_what_it_sent_outlives_it() {
    let (server, nodes) = control_plane();
    let world = World::on(server).await;
    let mut node = VoiceNode::start(&world.server, &nodes, "eu-1", "eu");
    eventually("the node to be heard", async || operated(&world.server, &["node", "list"]).contains("eu-1").then_some(())).await;
    let account = world.member("gail").await;
    let mut session = world.session(&account).await;
    let grant = session.join_voice(world.guild, world.voice).await.expect("op 4 is answered");
    let peer = Peer::join(&grant, &Options::new(GCM)).await.expect("the node lets her in");
    let gail = Participant { account, session, peer, transport: GCM };
    let begun = begin(&world, &gail).await;
    node.kill_9();
    is_kept(&world, &gail, begun).await;
}
