//! Two pages in a call whose voice node is emptied: they go to the next one beside the old one, and what they play has no gap.

use guildhall_tests::{
    eventually,
    node::{VoiceNode, control_plane, operated},
    page::{Page, assert_no_page_failed},
    script::Script,
    world::World,
};
use serde_json::{Value, json};

/// The page's meters look at the last 85 ms: that much of a silence they do not see.
const METER_MS: f64 = 85.0;

/// A connection that is closed before the next one is made is silent for longer than this even on a machine with nothing else to
/// do; one beside the other has 20 to 40 ms, and the rest is for a page that comes late to its meters.
const LONGEST_MS: f64 = 500.0;

/// A microphone that hears one tone all the time, which the fake one with its beeps does not, and a camera that costs little.
const PREPARE: &str = "(() => {
    const media = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (asked) => {
        if (asked.video) return media({ video: { width: 320, height: 180, frameRate: 10 } });
        const context = new AudioContext();
        const tone = context.createOscillator();
        const microphone = context.createMediaStreamDestination();
        tone.connect(microphone);
        tone.start();
        return microphone.stream;
    };
})()";

async fn joins<'a>(browser: &'a Script, world: &World, name: &'static str) -> Page<'a> {
    Page::in_call(browser, world, &world.server.base(), name, json!({}), PREPARE).await
}

/// From now on the page notes for how long it plays nothing of somebody, whether it says that it is connected, and how often a
/// picture (by its test id) is missing.
async fn watches(page: &Page<'_>, username: &str, picture: &str) {
    let js = format!(
        "(() => {{
            const watched = window.watched = {{ longest: 0, states: {{}}, missing: 0, pictures: 0 }};
            let last = performance.now();
            setInterval(() => {{
                const voice = window.guildhall.voice();
                const now = performance.now();
                const level = voice.participants.find((each) => each.username === '{username}')?.level ?? 0;
                watched.longest = Math.max(watched.longest, now - last);
                if (level > 0.01) last = now;
                watched.states[voice.state] = true;
                const video = document.querySelector('[data-testid=\"{picture}\"]');
                if (video !== null && video.readyState >= 2) watched.pictures += 1;
                else watched.missing += 1;
            }}, 10);
        }})()"
    );
    page.evaluate(&js).await;
}

/// Of everything since then.
async fn gap_ms(page: &Page<'_>, who: &str) -> f64 {
    let watched = page.evaluate("window.watched").await;
    println!("{who} while the room moved: {watched}");
    assert_eq!(watched["states"], json!({"connected": true}), "nothing of the move shows: {watched}");
    assert_eq!(watched["missing"], 0, "the picture stays: {watched}");
    assert!(watched["pictures"].as_u64().expect("a count") > 0, "{watched}");
    watched["longest"].as_f64().expect("a time") + METER_MS
}

async fn is_listed(world: &World, node: &str) {
    eventually(&format!("{node} to be heard"), async || operated(&world.server, &["node", "list"]).contains(node).then_some(()))
        .await;
}

#[tokio::test]
async fn pages_move_with_their_call_and_neither_voices_nor_pictures_are_cut() {
    let (server, nodes) = control_plane();
    let world = World::on(server).await;
    let old = VoiceNode::start(&world.server, &nodes, "eu-1", "eu");
    is_listed(&world, "eu-1").await;
    let browser = Script::browser().await;
    let ann = joins(&browser, &world, "ann").await;
    let bob = joins(&browser, &world, "bob").await;
    tokio::join!(ann.hears("bob"), bob.hears("ann"));
    let picture = format!("video-camera-{}", bob.participant("ann").await["userId"].as_str().expect("an id"));
    ann.click("room-camera").await;
    bob.sees(&picture).await;
    ann.sees("preview-camera").await;
    let is_playing = format!("(document.querySelector('[data-testid=\"{picture}\"]')?.readyState ?? 0) >= 2");
    eventually("the first picture", async || (bob.evaluate(&is_playing).await == true).then_some(())).await;
    ann.evaluate("window.filmed = document.querySelector('[data-testid=preview-camera]').srcObject; null").await;

    let _next = VoiceNode::start(&world.server, &nodes, "eu-2", "eu");
    is_listed(&world, "eu-2").await;
    tokio::join!(watches(&bob, "ann", &picture), watches(&ann, "bob", "preview-camera"));
    let drained = operated(&world.server, &["node", "drain", old.name(), "--deadline", "20"]);
    assert!(drained.contains("1 rooms moved") && drained.contains("eu-1 is empty."), "{drained}");

    // Nobody needs the old node any more.
    drop(old);
    tokio::join!(ann.hears("bob"), bob.hears("ann"));
    let frames = async || {
        let received = bob.evaluate("window.guildhall.video()").await["received"].clone();
        received.as_array()?.iter().filter_map(|video| video["framesDecoded"].as_u64()).max()
    };
    let before = frames().await.unwrap_or_default();
    eventually("pictures by the new node", async || (frames().await? > before).then_some(())).await;
    let camera = "(() => {
        const stream = document.querySelector('[data-testid=preview-camera]').srcObject;
        return stream === window.filmed && stream.getTracks()[0].readyState;
    })()";
    assert_eq!(ann.evaluate(camera).await, Value::from("live"), "the camera was never turned off");
    for (page, who) in [(&ann, "ann"), (&bob, "bob")] {
        let gap = gap_ms(page, who).await;
        println!("the longest time in which {who} heard nothing: {gap:.0} ms at most");
        assert!(gap < LONGEST_MS, "{gap} ms");
    }
    assert_no_page_failed(&browser);
}
