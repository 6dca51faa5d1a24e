//! A screen that is shared with what its computer plays: a page that shows it hears it, in stereo, and one that does not hears
//! nothing of it.

use guildhall_tests::{
    eventually,
    page::{Page, assert_no_page_failed},
    script::Script,
    world::World,
};
use serde_json::{Value, json};

/// Root mean square of 85 ms, of full scale: -40 dB. The tone is at -9 dB, silence is far below.
const AUDIBLE: f64 = 0.01;

/// For how long nothing must come.
const SILENCE_MS: u64 = 1_500;

/// A microphone that is silent, a camera that costs little, and a screen whose computer plays a tone in the left channel.
const PREPARE: &str = "(() => {
    const media = navigator.mediaDevices;
    const context = () => (window.playing ??= new AudioContext());
    const silence = () => context().createMediaStreamDestination().stream;
    media.getUserMedia = async () => silence();
    media.getDisplayMedia = async (asked) => {
        window.asked = asked;
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [640, 360];
        const drawing = canvas.getContext('2d');
        setInterval(() => {
            drawing.fillStyle = `hsl(${performance.now() / 20} 60% 50%)`;
            drawing.fillRect(0, 0, 640, 360);
        }, 100);
        const tone = new OscillatorNode(context(), { frequency: 440 });
        const sides = new ChannelMergerNode(context(), { numberOfInputs: 2 });
        const played = new MediaStreamAudioDestinationNode(context(), { channelCount: 2 });
        tone.connect(sides, 0, 0).connect(played);
        tone.start();
        return new MediaStream([...canvas.captureStream(10).getVideoTracks(), ...played.stream.getAudioTracks()]);
    };
})()";

async fn joins<'a>(browser: &'a Script, world: &World, name: &'static str) -> Page<'a> {
    Page::in_call(browser, world, &world.server.base(), name, json!({}), PREPARE).await
}

/// The only screen that a page hears, once it is audible.
async fn hears_a_screen(page: &Page<'_>, what: &str) -> Value {
    eventually(what, async || {
        let sounds = page.evaluate("window.guildhall.voice().sounds").await;
        (sounds[0]["level"].as_f64()? > AUDIBLE).then(|| sounds[0].clone())
    })
    .await
}

/// Nothing of a screen comes, neither by the page's own word nor by what its browser receives.
async fn hears_no_screen(page: &Page<'_>, what: &str) {
    eventually(what, async || (page.evaluate("window.guildhall.voice().sounds.length").await == 0).then_some(())).await;
    let js = format!(
        "(async () => {{
            const sections = [...document.querySelectorAll('audio[data-kind=sound]')].map((audio) => audio.dataset.slot);
            const count = async () => {{
                const all = await window.guildhall.inbound();
                return all.filter(({{ mid }}) => sections.includes(mid)).reduce((sum, {{ packetsReceived }}) => sum + packetsReceived, 0);
            }};
            const before = await count();
            const until = performance.now() + {SILENCE_MS};
            let said = 0;
            while (performance.now() < until) {{
                said = Math.max(said, window.guildhall.voice().sounds.length);
                await new Promise((done) => setTimeout(done, 40));
            }}
            return [sections.length, said, (await count()) - before];
        }})()"
    );
    // What was on its way may come in the first round.
    eventually(&format!("{what}: no packet of it"), async || {
        let found = page.evaluate(&js).await;
        assert_eq!(found[0], 2, "the slots for sounds: {found}");
        (found[1] == 0 && found[2] == 0).then_some(())
    })
    .await;
}

/// The frequency of what a page receives in a slot, and the level of its two sides.
async fn listens(page: &Page<'_>, slot: &Value) -> (f64, f64, f64) {
    let js = format!(
        "(async () => {{
            const context = new AudioContext();
            const received = document.querySelector('audio[data-slot=\"{}\"]').srcObject;
            const sides = context.createChannelSplitter(2);
            context.createMediaStreamSource(received).connect(sides);
            const side = (index) => {{
                const analyser = new AnalyserNode(context, {{ fftSize: 8192 }});
                sides.connect(analyser, index);
                return analyser;
            }};
            const both = [side(0), side(1)];
            await new Promise((done) => setTimeout(done, 600));
            const bins = new Float32Array(4096);
            both[0].getFloatFrequencyData(bins);
            const frequency = bins.indexOf(Math.max(...bins)) * context.sampleRate / 8192;
            const levels = both.map((analyser) => {{
                const samples = new Float32Array(8192);
                analyser.getFloatTimeDomainData(samples);
                return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / 8192);
            }});
            await context.close();
            return [frequency, ...levels];
        }})()",
        slot["mid"].as_str().expect("a section")
    );
    let measured = page.evaluate(&js).await;
    let number = |at: usize| measured[at].as_f64().unwrap_or_else(|| panic!("numbers: {measured}"));
    (number(0), number(1), number(2))
}

#[tokio::test]
async fn a_shared_screen_is_heard_by_those_who_show_it_while_they_do() {
    let world = World::start().await;
    let browser = Script::browser().await;
    let ann = joins(&browser, &world, "ann").await;
    let bob = joins(&browser, &world, "bob").await;
    let cyd = joins(&browser, &world, "cyd").await;
    // One of them reads meanwhile.
    cyd.click("channel-item-stories").await;
    cyd.sees("composer").await;

    ann.click("room-screen").await;
    ann.sees("preview-screen").await;
    assert_eq!(ann.evaluate("window.asked.audio.echoCancellation").await, false, "what is good for voices ruins music");
    bob.sees("screen-ann").await;
    let sound = hears_a_screen(&bob, "bob to hear the screen that he shows").await;
    let (frequency, left, right) = listens(&bob, &sound).await;
    println!("{frequency:.0} Hz, {left:.3} on the left and {right:.4} on the right");
    assert!((430.0..450.0).contains(&frequency), "{frequency} Hz");
    assert!(left > AUDIBLE && right < left / 10.0, "one side alone: {left}, {right}");
    hears_no_screen(&cyd, "cyd to hear nothing of a screen that she does not show").await;

    // It is not a voice: the microphone's mute leaves it on, and its publisher does not count as speaking.
    ann.click("room-mute").await;
    listens(&bob, &sound).await;
    assert!(hears_a_screen(&bob, "bob to hear the screen of one who is muted").await["mid"] == sound["mid"]);
    assert_eq!(bob.participant("ann").await["speaking"], false);

    // Its volume is its own.
    let slot = format!("document.querySelector('audio[data-slot=\"{}\"]')", sound["mid"].as_str().expect("a section"));
    let plays = async |wanted: Value, what: &str| {
        let js = format!("[{slot}.muted, {slot}.volume]");
        eventually(what, async || (bob.evaluate(&js).await == wanted).then_some(())).await;
    };
    bob.fill("volume-ann", "0.5").await;
    plays(serde_json::json!([false, 0.5]), "half of the volume").await;
    bob.fill("volume-ann", "0").await;
    plays(serde_json::json!([true, 0.5]), "no sound").await;
    bob.fill("volume-ann", "1").await;
    plays(serde_json::json!([false, 1]), "all of it").await;
    bob.shoot("screen-sound").await;

    bob.click("room-deafen").await;
    hears_no_screen(&bob, "bob to hear nothing while he is deafened").await;
    bob.click("room-deafen").await;
    hears_a_screen(&bob, "bob to hear it again").await;

    // The one closes it and the other shows it.
    bob.click("channel-item-stories").await;
    hears_no_screen(&bob, "bob to hear nothing of a screen that he closed").await;
    cyd.click("voice-join-hearth").await;
    cyd.sees("screen-ann").await;
    hears_a_screen(&cyd, "cyd to hear it").await;

    ann.click("room-screen").await;
    hears_no_screen(&cyd, "cyd to hear nothing of a screen that is not shared any more").await;
    cyd.sees_no_more("volume-ann").await;
    assert_no_page_failed(&browser);
}
