//! A camera in one real browser, watched in three others at different sizes: what getStats says of each. Four browsers that
//! encode and decode are all that a small machine bears, so this runs beside no other test.

use guildhall_tests::{
    eventually, eventually_within,
    page::{Page, assert_no_page_failed},
    script::Script,
    world::{PASSWORD, World},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Small enough for a machine that does all the encoding and decoding, large enough that Chromium sends three layers of it.
const CAMERA: (u64, u64) = (960, 540);

/// A layer that nobody shows stops at its sender within this: three seconds on a machine that has time for four browsers.
const STOPS_WITHIN: Duration = Duration::from_secs(12);

/// A layer that somebody shows comes within this. What four browsers can take grows again only as fast as they read.
const SHOWN_WITHIN: Duration = Duration::from_secs(90);

/// Makes the camera a small one, and counts what is negotiated.
fn prepare() -> String {
    let (width, height) = CAMERA;
    format!(
        "(() => {{
            const media = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            const video = {{ width: {width}, height: {height}, frameRate: 10 }};
            navigator.mediaDevices.getUserMedia = (asked) => media(asked.video ? {{ video }} : asked);
            window.negotiated = 0;
            const accept = RTCPeerConnection.prototype.setRemoteDescription;
            RTCPeerConnection.prototype.setRemoteDescription = function (given) {{
                window.negotiated += 1;
                return accept.call(this, given);
            }};
        }})()"
    )
}

async fn joins<'a>(browser: &'a Script, world: &World, name: &'static str) -> Page<'a> {
    world.member(name).await;
    let url = format!("{}/channels/{}", world.server.base(), world.guild);
    let page = Page::open_with(browser, name, &url, json!({"width": 1280, "height": 720})).await;
    page.logs_in(&format!("{name}@loadtest.invalid"), PASSWORD).await;
    page.evaluate(&prepare()).await;
    page.joins_voice("hearth").await;
    page
}

/// The width of what a page decodes of the only camera that is on.
async fn width(page: &Page<'_>) -> Option<u64> {
    let video = page.evaluate("window.guildhall.video()").await;
    let slot = video["videoSlots"].as_object()?.values().next()?.clone();
    let received = video["received"].as_array()?.iter().find(|received| received["slot"] == slot)?.clone();
    received["frameWidth"].as_u64()
}

async fn shows(page: &Page<'_>, wanted: u64, what: &str) {
    let is_shown = async || (width(page).await? == wanted).then_some(());
    eventually_within(SHOWN_WITHIN, &format!("{what} ({wanted} wide)"), is_shown).await;
}

/// The names of the layers that a page sends, and how many packets it has sent of each.
async fn sent(page: &Page<'_>) -> Vec<(String, bool, u64)> {
    let video = page.evaluate("window.guildhall.video()").await;
    let layer = |sent: &Value| {
        let is_camera = sent["source"] == "camera";
        let rid = sent["rid"].as_str()?.to_owned();
        is_camera.then_some((rid, sent["isActive"].as_bool()?, sent["packetsSent"].as_u64()?))
    };
    video["sent"].as_array().expect("a list").iter().filter_map(layer).collect()
}

async fn stops(page: &Page<'_>, rid: &str, since: Instant) {
    eventually(&format!("layer {rid} to be switched off"), async || {
        sent(page).await.iter().any(|(name, is_active, _)| name == rid && !is_active).then_some(())
    })
    .await;
    assert!(since.elapsed() < STOPS_WITHIN, "{rid} stopped after {:?}", since.elapsed());
    let count = async || sent(page).await.into_iter().find(|(name, ..)| name == rid).expect("a layer").2;
    // A packet may still be in the pacer; after it none follows.
    let mut before = count().await;
    eventually(&format!("layer {rid} to be silent"), async || {
        let now = count().await;
        (std::mem::replace(&mut before, now) == now).then_some(())
    })
    .await;
}

#[tokio::test]
async fn everyone_gets_the_layer_that_fits_and_what_nobody_shows_is_not_sent() {
    let world = World::start().await;
    let browser = Script::browser().await;
    let ann = joins(&browser, &world, "ann").await;
    let small = joins(&browser, &world, "sam").await;
    let middle = joins(&browser, &world, "mia").await;
    let large = joins(&browser, &world, "lou").await;

    ann.click("room-camera").await;
    ann.sees("preview-camera").await;
    // Among equals a tile is as large as the layer in the middle.
    shows(&middle, CAMERA.0 / 2, "the middle layer in a tile among others").await;
    // With another one in focus it is small, and with this one large.
    small.click("focus-camera-sam").await;
    large.click("focus-camera-ann").await;
    shows(&small, CAMERA.0 / 4, "the smallest layer in a small tile").await;
    shows(&large, CAMERA.0, "the largest layer in focus").await;
    shows(&middle, CAMERA.0 / 2, "the middle layer as before").await;
    let layers = sent(&ann).await;
    assert_eq!(layers.iter().filter(|(_, is_active, packets)| *is_active && *packets > 0).count(), 3, "{layers:?}");
    large.shoot("video-focus").await;
    middle.shoot("video-tiles").await;

    // Nobody shows it large any more: it is not sent any more. Then somebody does again, and nothing was negotiated for it.
    let since = Instant::now();
    large.click("focus-camera-ann").await;
    stops(&ann, "f", since).await;
    large.click("focus-camera-ann").await;
    shows(&large, CAMERA.0, "the largest layer again").await;
    for page in [&ann, &small, &middle, &large] {
        assert_eq!(page.evaluate("window.negotiated").await, 1, "one offer and one answer for everything");
    }

    // The screen beside the camera.
    ann.click("room-screen").await;
    large.sees("screen-ann").await;

    ann.click("room-camera").await;
    eventually("the camera to be gone from the others' tables", async || {
        let videos = large.evaluate("window.guildhall.video()").await["videos"].to_string();
        (!videos.contains("camera")).then_some(())
    })
    .await;
    assert_no_page_failed(&browser);
}
