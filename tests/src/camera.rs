//! A camera in a call of real browsers: who films, who shows it, and what their pages say of it.

use crate::{eventually_within, page::Page, script::Script, world::World};
use guildhall_loadtest::random::SplitMix;
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// Small enough for a machine that does all the encoding and decoding, large enough that Chromium sends three layers of it.
pub const CAMERA: (u64, u64) = (960, 540);
pub const FRAMES_PER_S: u64 = 10;

/// A layer that somebody shows comes within this. What four browsers can take grows again only as fast as they read.
pub const SHOWN_WITHIN: Duration = Duration::from_secs(180);

/// Frames of a film, which then begins again.
const FRAMES: usize = 30;
/// The sides of its patches, and by how much the grain of each pixel varies.
const PATCH: usize = 6;
const GRAIN: u64 = 24;

/// Writes what a browser's fake camera is to film (`--use-file-for-fake-video-capture`, as Y4M): patches that move, with grain, so
/// that an encoder needs all the bits that it may use. Its own pictures are drawn, and need few.
pub fn film(path: &Path) -> std::io::Result<()> {
    let (width, height) = (CAMERA.0 as usize, CAMERA.1 as usize);
    let mut random = SplitMix::new(1);
    let columns = width / PATCH;
    let patches: Vec<u8> = (0..columns * (height / PATCH)).map(|_| 60 + (random.word() % 120) as u8).collect();
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "YUV4MPEG2 W{width} H{height} F{FRAMES_PER_S}:1 Ip A1:1 C420")?;
    let mut light = vec![0; width * height];
    for frame in 0..FRAMES {
        // All the way around, so that the end fits the beginning.
        let (right, down) = (frame * width / FRAMES, frame * height / FRAMES);
        for (at, pixel) in light.iter_mut().enumerate() {
            let (x, y) = ((at % width + right) % width, (at / width + down) % height);
            *pixel = patches[y / PATCH * columns + x / PATCH] + (random.word() % GRAIN) as u8;
        }
        file.write_all(b"FRAME\n")?;
        file.write_all(&light)?;
        file.write_all(&vec![128; width * height / 2])?;
    }
    file.flush()
}

/// Makes the camera a small one, counts what is negotiated, and keeps the connections for whoever wants all of their statistics.
fn prepare() -> String {
    let (width, height) = CAMERA;
    format!(
        "(() => {{
            const media = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            const video = {{ width: {width}, height: {height}, frameRate: {FRAMES_PER_S} }};
            navigator.mediaDevices.getUserMedia = (asked) => media(asked.video ? {{ video }} : asked);
            window.negotiated = 0;
            window.connections = [];
            window.RTCPeerConnection = class extends RTCPeerConnection {{
                constructor(...given) {{
                    super(...given);
                    window.connections.push(this);
                }}
                setRemoteDescription(given) {{
                    window.negotiated += 1;
                    return super.setRemoteDescription(given);
                }}
            }};
        }})()"
    )
}

/// A new member of the guild in its voice channel, by a page of `base`: the server as the browser reaches it.
pub async fn joins<'a>(browser: &'a Script, world: &World, base: &str, name: &'static str) -> Page<'a> {
    Page::in_call(browser, world, base, name, json!({"width": 1280, "height": 720}), &prepare()).await
}

/// The width of what a page decodes of the only camera that is on.
pub async fn width(page: &Page<'_>) -> Option<u64> {
    let video = page.evaluate("window.guildhall.video()").await;
    let slot = video["videoSlots"].as_object()?.values().next()?.clone();
    let received = video["received"].as_array()?.iter().find(|received| received["slot"] == slot)?.clone();
    received["frameWidth"].as_u64()
}

pub async fn shows(page: &Page<'_>, wanted: u64, what: &str) {
    let is_shown = async || (width(page).await? == wanted).then_some(());
    eventually_within(SHOWN_WITHIN, &format!("{what} ({wanted} wide)"), is_shown).await;
}

/// The names of the layers that a page sends, whether they are on, and how many packets it has sent of each.
pub async fn sent(page: &Page<'_>) -> Vec<(String, bool, u64)> {
    let video = page.evaluate("window.guildhall.video()").await;
    let layer = |sent: &Value| {
        let is_camera = sent["source"] == "camera";
        let rid = sent["rid"].as_str()?.to_owned();
        is_camera.then_some((rid, sent["isActive"].as_bool()?, sent["packetsSent"].as_u64()?))
    };
    video["sent"].as_array().expect("a list").iter().filter_map(layer).collect()
}
