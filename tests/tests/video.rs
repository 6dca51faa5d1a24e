//! A camera in one real browser, watched in three others at different sizes: what getStats says of each. Four browsers that
//! encode and decode are all that a small machine bears, so this runs beside no other test.

use guildhall_tests::{
    camera::{CAMERA, SHOWN_WITHIN, joins, sent, shows},
    eventually, eventually_within,
    page::{Page, assert_no_page_failed},
    script::Script,
    world::World,
};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// A layer that nobody shows stops at its sender within this: three seconds on a machine that has time for four browsers.
const STOPS_WITHIN: Duration = Duration::from_secs(12);

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

/// A picture that goes down to a smaller one does not stand still for longer, in seconds: nothing of it is waited for, but a machine
/// that does all the encoding and decoding is late at times.
const MOST_FROZEN: f64 = 0.5;
const TRIES: usize = 4;

/// Sections for voices in a page's offer.
const RECEIVE_SLOTS: u64 = 4;

/// Sections for audio in which lost packets may be asked for: of the page's own description, and of the server's.
async fn asking(page: &Page<'_>) -> [u64; 2] {
    let counted = page
        .evaluate(
            "(() => {
                const { localDescription, remoteDescription } = window.connections.at(-1);
                const asks = (section) => section.startsWith('m=audio') && /^a=rtcp-fb:\\d+ nack\\s*$/m.test(section);
                return [localDescription, remoteDescription].map(({ sdp }) => sdp.split(/^(?=m=)/m).filter(asks).length);
            })()",
        )
        .await;
    serde_json::from_value(counted).expect("two counts")
}

/// Four pages in one call: who films, and who shows it small, among equals and large.
async fn four<'a>(browser: &'a Script, world: &World) -> [Page<'a>; 4] {
    let base = world.server.base();
    let mut pages = Vec::new();
    for name in ["ann", "sam", "mia", "lou"] {
        pages.push(joins(browser, world, &base, name).await);
    }
    pages.try_into().unwrap_or_else(|_| unreachable!("a page for each name"))
}

/// Four browsers at a time are enough.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn everyone_gets_the_layer_that_fits_and_what_nobody_shows_is_not_sent() {
    let _alone = ALONE.lock().await;
    let world = World::start().await;
    let browser = Script::browser().await;
    let [ann, small, middle, large] = four(&browser, &world).await;

    // Each page and the server agreed that lost voices are asked for, in each section for one and in no other.
    for page in [&ann, &small] {
        assert_eq!(asking(page).await, [RECEIVE_SLOTS; 2]);
    }

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
    // A machine that is busy for a moment shows smaller pictures in it.
    eventually_within(SHOWN_WITHIN, "all three layers to be sent", async || {
        let layers = sent(&ann).await;
        (layers.iter().filter(|(_, is_active, packets)| *is_active && *packets > 0).count() == 3).then_some(())
    })
    .await;
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

/// Chooses the codec of a page's video as a person does.
async fn choose(page: &Page<'_>, codec: &str) {
    page.evaluate(&format!(
        "(() => {{
            const choice = document.querySelector('[data-testid=video-codec]');
            Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, 'value').set.call(choice, '{codec}');
            choice.dispatchEvent(new Event('change', {{ bubbles: true }}));
        }})()"
    ))
    .await;
}

/// What of the camera is sent: the codec, and which of its encodings.
async fn coded(page: &Page<'_>) -> Option<(String, Vec<String>)> {
    let video = page.evaluate("window.guildhall.video()").await;
    let camera = video["sent"].as_array()?.iter().filter(|sent| sent["source"] == "camera").cloned().collect::<Vec<_>>();
    let active: Vec<&Value> = camera.iter().filter(|sent| sent["isActive"] == true).collect();
    let codec = active.iter().find(|sent| sent["packetsSent"].as_u64() > Some(0))?["codec"].as_str()?.to_owned();
    let mut rids: Vec<String> = active.iter().filter_map(|sent| Some(sent["rid"].as_str()?.to_owned())).collect();
    rids.sort();
    Some((codec, rids))
}

async fn sends(page: &Page<'_>, codec: &str, rids: &[&str]) {
    let is_sent =
        async || (coded(page).await? == (codec.to_owned(), rids.iter().map(|&rid| rid.to_owned()).collect())).then_some(());
    eventually_within(SHOWN_WITHIN, &format!("{} to be sent in {rids:?}", codec), is_sent).await;
}

/// A figure of the connection's streams, summed up.
async fn figure(page: &Page<'_>, kind: &str, name: &str) -> f64 {
    let js = format!(
        "(async () => {{
            const reports = await Promise.all(window.connections.map((each) => each.getStats()));
            const streams = reports.flatMap((report) => [...report.values()]).filter(({{ type, kind }}) => type === '{kind}' && kind === 'video');
            return streams.reduce((sum, stream) => sum + (stream['{name}'] ?? 0), 0);
        }})()"
    );
    page.evaluate(&js).await.as_f64().expect("a number")
}

#[tokio::test]
async fn the_layers_of_one_stream_are_each_for_whom_they_fit_and_who_cannot_decode_it_makes_it_another() {
    let _alone = ALONE.lock().await;
    let world = World::start().await;
    let browser = Script::browser().await;
    let [ann, small, middle, large] = four(&browser, &world).await;
    choose(&ann, "VP9").await;
    ann.click("room-camera").await;
    shows(&middle, CAMERA.0 / 2, "the middle layer in a tile among others").await;
    shows(&small, CAMERA.0 / 2, "the middle layer in a tile among others").await;
    large.click("focus-camera-ann").await;
    shows(&large, CAMERA.0, "the largest layer in focus").await;
    sends(&ann, "VP9", &["q"]).await;

    // Down goes by itself: no key frame is made for it. On a machine that is late somebody may want one just then for something
    // else, so it may be tried again.
    let mut tries = Vec::new();
    loop {
        let keys = figure(&ann, "outbound-rtp", "keyFramesEncoded").await;
        let frozen = figure(&small, "inbound-rtp", "totalFreezesDuration").await;
        small.click("focus-camera-sam").await;
        shows(&small, CAMERA.0 / 4, "the smallest layer in a small tile").await;
        let keys = figure(&ann, "outbound-rtp", "keyFramesEncoded").await - keys;
        let frozen = figure(&small, "inbound-rtp", "totalFreezesDuration").await - frozen;
        tries.push((keys, frozen));
        if keys == 0.0 && frozen < MOST_FROZEN {
            break;
        }
        assert!(tries.len() < TRIES, "key frames made, and seconds of standing still, to go down: {tries:?}");
        small.click("focus-camera-sam").await;
        shows(&small, CAMERA.0 / 2, "the middle layer again").await;
    }
    shows(&large, CAMERA.0, "the largest layer as before").await;
    shows(&middle, CAMERA.0 / 2, "the middle layer as before").await;
    large.shoot("video-layered-focus").await;

    // What nobody shows is not sent, and comes again when somebody does.
    large.click("focus-camera-ann").await;
    let is_middle = async || {
        let video = ann.evaluate("window.guildhall.video()").await;
        let sent = video["sent"].as_array()?.iter().find(|sent| sent["rid"] == "q").cloned()?;
        (sent["frameWidth"] == CAMERA.0 / 2).then_some(())
    };
    eventually_within(SHOWN_WITHIN, "the largest layer to be switched off", is_middle).await;
    large.click("focus-camera-ann").await;
    shows(&large, CAMERA.0, "the largest layer again").await;

    // AV1 goes the same way.
    choose(&ann, "AV1").await;
    sends(&ann, "AV1", &["q"]).await;
    shows(&small, CAMERA.0 / 4, "the smallest layer of AV1").await;
    shows(&large, CAMERA.0, "the largest layer of AV1").await;
    choose(&ann, "VP9").await;
    sends(&ann, "VP9", &["q"]).await;

    // Somebody comes whose browser knows only what every one does.
    middle.click("room-leave").await;
    middle
        .evaluate(
            "(() => {
                const know = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);
                const isOld = ({ mimeType }) => !/vp9|av1/i.test(mimeType);
                RTCRtpReceiver.getCapabilities = (kind) => ({ ...know(kind), codecs: know(kind).codecs.filter(isOld) });
            })()",
        )
        .await;
    middle.joins_voice("hearth").await;
    ann.sees("video-codec-instead").await;
    sends(&ann, "VP8", &["f", "h", "q"]).await;
    shows(&middle, CAMERA.0 / 2, "the middle layer of VP8").await;
    shows(&large, CAMERA.0, "the largest layer of VP8").await;
    shows(&small, CAMERA.0 / 4, "the smallest layer of VP8").await;
    middle.click("room-leave").await;
    ann.sees_no_more("video-codec-instead").await;
    sends(&ann, "VP9", &["q"]).await;
    shows(&large, CAMERA.0, "the largest layer of VP9 once more").await;
    for page in [&ann, &small, &large] {
        assert_eq!(page.evaluate("window.negotiated").await, 1, "one offer and one answer for everything");
    }
    assert_no_page_failed(&browser);
}
