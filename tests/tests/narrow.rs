//! Four real browsers, one of them behind a link that becomes narrow and wide again: what getStats says of everyone's picture and
//! voice. The link is a network namespace, whose packets this process carries. It needs root, and a machine that has time for four
//! browsers: `make narrow`. Where the machine has not, only what happened is judged, and not when.

use guildhall_loadtest::fleet::regions::{Region, Regions};
use guildhall_tests::{
    camera::{CAMERA, FRAMES_PER_S, SHOWN_WITHIN, film, joins, shows},
    eventually_within,
    page::{Page, assert_no_page_failed},
    script::Script,
    server::Server,
    world::World,
};
use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HALL: &str = "hall";
const WIDE: &str = "wide";
const NARROW: &str = "narrow";
/// The way to the one is long.
const REGIONS: [Region; 3] = [
    Region { name: HALL, one_way: Duration::ZERO },
    Region { name: WIDE, one_way: Duration::from_millis(5) },
    Region { name: NARROW, one_way: Duration::from_millis(100) },
];

const NARROW_KBPS: f64 = 300.0;
const QUEUE: Duration = Duration::from_secs(1);
/// What the large picture has by then at least: far more than fits.
const RICH_KBPS: f64 = 2.0 * NARROW_KBPS;

/// Pages are looked at this often, and so often in each part: before, while the link is narrow, and after.
const LOOK_MS: u64 = 200;
const LOOKS_PER_S: usize = 5;
const LOOKS: [usize; 3] = [75, 150, 75];
/// After so long the queue of the first moment is gone.
const STEADY_MS: u64 = 5_000;

/// What is promised, where the machine is in time.
const FALL_MS: u64 = 3_000;
const RISE_MS: u64 = 10_000;
const FROZEN_S: f64 = 1.0;
/// Of the voice, in the steady part, beyond what a busy machine makes up for who hears it best.
const CONCEALED: f64 = 0.01;
/// How much others' bitrates may vary.
const VARIES: f64 = 0.15;

/// A machine is in time when so few packets are carried late, and this part of the camera's pictures is encoded.
const MOST_LATE: f64 = 0.01;
const LEAST_FILMED: f64 = 0.9;

/// What a page's browser counted until a moment.
#[derive(Clone, Debug, Deserialize)]
struct Look {
    /// ms since 1970.
    at: u64,
    width: u64,
    /// Seconds.
    frozen: f64,
    /// Of the picture.
    bytes: u64,
    /// Samples of the voice that were made up and are no silence, and all of them. Who is muted leaves a stream that is made up.
    concealed: f64,
    samples: f64,
    /// Messages that asked for lost packets of it.
    asked: f64,
    /// Frames of the camera's largest layer.
    filmed: f64,
}

fn looks() -> String {
    format!(
        "(() => {{
            window.looks = [];
            const look = async () => {{
                const at = Date.now();
                const all = [...(await window.connections.at(-1).getStats()).values()];
                const received = all.filter(({{ type, packetsReceived }}) => type === 'inbound-rtp' && packetsReceived > 0);
                const newest = (one, other) => other.lastPacketReceivedTimestamp - one.lastPacketReceivedTimestamp;
                const of = (wanted) => received.filter(({{ kind }}) => kind === wanted).sort(newest)[0];
                const [video, voice] = [of('video'), of('audio')];
                const camera = all.find(({{ type, rid }}) => type === 'outbound-rtp' && rid === 'f');
                window.looks.push({{
                    at,
                    width: video?.frameWidth ?? 0,
                    frozen: video?.totalFreezesDuration ?? 0,
                    bytes: video?.bytesReceived ?? 0,
                    concealed: (voice?.concealedSamples ?? 0) - (voice?.silentConcealedSamples ?? 0),
                    samples: voice?.totalSamplesReceived ?? 0,
                    asked: voice?.nackCount ?? 0,
                    filmed: camera?.framesEncoded ?? 0,
                }});
                setTimeout(look, {LOOK_MS});
            }};
            void look();
        }})()"
    )
}

async fn looked(page: &Page<'_>) -> Vec<Look> {
    serde_json::from_value(page.evaluate("window.looks").await).expect("what the page was told to note")
}

/// Lets a page look at itself so often.
async fn pass(page: &Page<'_>, count: usize) {
    let noted = async || page.evaluate("window.looks.length").await.as_u64().expect("a number") as usize;
    let until = noted().await + count;
    eventually_within(SHOWN_WITHIN, "a page to look at itself", async || (noted().await >= until).then_some(())).await;
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as u64
}

/// A part of the time, by the looks next to its ends.
struct Part<'a>(&'a [Look]);

impl<'a> Part<'a> {
    fn of(looks: &'a [Look], from: u64, until: u64) -> Part<'a> {
        let (begin, end) = (looks.partition_point(|look| look.at < from), looks.partition_point(|look| look.at < until));
        assert!(end > begin + 1, "nobody looked");
        Part(&looks[begin..end])
    }

    fn grew(&self, what: impl Fn(&Look) -> f64) -> f64 {
        what(&self.0[self.0.len() - 1]) - what(&self.0[0])
    }

    fn seconds(&self) -> f64 {
        self.grew(|look| look.at as f64) / 1e3
    }

    fn kbps(&self) -> f64 {
        self.grew(|look| look.bytes as f64) * 8.0 / 1e3 / self.seconds()
    }

    fn frozen(&self) -> f64 {
        self.grew(|look| look.frozen)
    }

    /// ms of the voice that were made up, and which part of it that is.
    fn concealed(&self) -> (f64, f64) {
        let (concealed, samples) = (self.grew(|look| look.concealed), self.grew(|look| look.samples));
        (1e3 * self.seconds() * concealed / samples, concealed / samples)
    }

    /// Since when something was so.
    fn first(&self, is_so: impl Fn(&Look) -> bool) -> Option<u64> {
        self.0.iter().find(|look| is_so(look)).map(|look| look.at)
    }

    fn widths(&self) -> Vec<u64> {
        let mut widths: Vec<_> = self.0.iter().map(|look| look.width).collect();
        widths.dedup();
        widths
    }
}

#[tokio::test]
#[ignore = "needs root and a machine with time for four browsers: make narrow"]
async fn behind_300_kbits_the_voice_goes_on_with_a_smaller_picture_and_nobody_else_notices() {
    let regions = Regions::build(&REGIONS).expect("root and the programs that .ci/setup.sh fleet installs");
    let enter = |region| regions.enter(region).expect("it is there");
    // Browsers stay where they are started.
    enter(NARROW);
    let far = Script::browser().await;
    enter(WIDE);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scene = folder.path().join("scene.y4m");
    film(&scene).expect("there is room for 23 MB");
    let near = Script::browser_with(&[&format!("--use-file-for-fake-video-capture={}", scene.display())]).await;
    enter(HALL);
    let world = World::on(Server::start_at(regions.host(HALL).expect("it is there").ip)).await;
    // Only over TLS is a page that comes from elsewhere given a camera.
    let base = format!("https://{}", world.server.address());
    let ann = joins(&near, &world, &base, "ann").await;
    let mia = joins(&near, &world, &base, "mia").await;
    let lou = joins(&near, &world, &base, "lou").await;
    let nell = joins(&far, &world, &base, "nell").await;
    // One voice, as one camera.
    for page in [&mia, &lou, &nell] {
        page.click("voice-mute").await;
    }
    ann.click("room-camera").await;
    ann.sees("preview-camera").await;
    for page in [&lou, &nell] {
        page.click("focus-camera-ann").await;
    }
    shows(&nell, CAMERA.0, "the largest layer in focus, from afar").await;
    shows(&lou, CAMERA.0, "the largest layer in focus").await;
    shows(&mia, CAMERA.0 / 2, "the middle layer in a tile among others").await;

    for page in [&ann, &mia, &lou, &nell] {
        page.evaluate(&looks()).await;
    }
    let is_rich = async || {
        let looks = looked(&nell).await;
        let last = Part(looks.rchunks(LOOKS_PER_S).next()?);
        (last.0.len() == LOOKS_PER_S && last.kbps() > RICH_KBPS).then_some(())
    };
    eventually_within(SHOWN_WITHIN, &format!("a picture of more than {RICH_KBPS} kbit/s"), is_rich).await;
    let since = now_ms();
    pass(&nell, LOOKS[0]).await;
    regions.late().expect("the network is there");
    let begun = now_ms();
    regions.narrow(NARROW, NARROW_KBPS, QUEUE).expect("the network is there");
    pass(&nell, LOOKS[1]).await;
    let widened = now_ms();
    regions.narrow(NARROW, 0.0, Duration::ZERO).expect("the network is there");
    pass(&nell, LOOKS[2]).await;
    shows(&nell, CAMERA.0, "the largest layer again").await;
    // What the page shows by now, one of these looks has seen.
    pass(&nell, 2).await;
    let late = regions.late().expect("the network is there");
    let ended = now_ms();

    let own = looked(&nell).await;
    let (before, narrow, after) =
        (Part::of(&own, since, begun), Part::of(&own, begun, widened), Part::of(&own, widened, ended + 1));
    let steady = Part::of(&own, begun + STEADY_MS, widened);
    let fall = narrow.first(|look| look.width < CAMERA.0).map(|at| at - begun);
    let rise = after.first(|look| look.width == CAMERA.0).map(|at| at - widened);
    let (hidden, part) = (narrow.concealed().0, steady.concealed().1);
    println!("behind {NARROW_KBPS} kbit/s, {:?} away, with a queue of {QUEUE:?}:", REGIONS[2].one_way);
    println!("  widths {:?} at {:.0} kbit/s before, {:.0} then", narrow.widths(), before.kbps(), steady.kbps());
    let after_ms = |moment: Option<u64>| moment.map_or("never".to_owned(), |ms| format!("after {ms} ms"));
    println!("  smaller {}, frozen for {:.0} ms, large again {}", after_ms(fall), 1e3 * narrow.frozen(), after_ms(rise));
    println!(
        "  of the voice {hidden:.0} ms made up while it was narrow, after {STEADY_MS} ms {:.2} %, asked for {} times",
        1e2 * part,
        narrow.grew(|look| look.asked)
    );

    let (mut others, mut usual) = (Vec::new(), f64::INFINITY);
    for (name, page, width) in [("lou", &lou, CAMERA.0), ("mia", &mia, CAMERA.0 / 2)] {
        let all = looked(page).await;
        let (before, then) = (Part::of(&all, since, begun), Part::of(&all, begun, ended));
        println!(
            "  {name}: widths {:?}, {:.0} kbit/s before, {:.0} then, frozen for {:.0} ms, {:.0} ms of the voice made up",
            then.widths(),
            before.kbps(),
            then.kbps(),
            1e3 * then.frozen(),
            then.concealed().0
        );
        usual = usual.min(Part::of(&all, begun + STEADY_MS, widened).concealed().1);
        let is_same = (then.kbps() / before.kbps() - 1.0).abs() < VARIES;
        others.push((name, then.widths() == [width] && is_same && then.frozen() == 0.0));
    }
    let camera = looked(&ann).await;
    let camera = Part::of(&camera, begun, ended);
    let filmed = camera.grew(|look| look.filmed) / camera.seconds() / FRAMES_PER_S as f64;
    println!("  this machine: {:.2} % of the packets late, {:.0} % of the pictures encoded", 1e2 * late, 1e2 * filmed);
    assert_no_page_failed(&near);
    assert_no_page_failed(&far);
    if late > MOST_LATE || filmed < LEAST_FILMED {
        println!(
            "  nobody is judged: this machine has no time for four browsers (at most {:.0} % late, at least {:.0} % encoded)",
            1e2 * MOST_LATE,
            1e2 * LEAST_FILMED
        );
        return;
    }
    assert!(fall.is_some_and(|ms| ms <= FALL_MS), "smaller {}", after_ms(fall));
    assert!(narrow.frozen() < FROZEN_S, "frozen for {} s", narrow.frozen());
    assert!(rise.is_some_and(|ms| ms <= RISE_MS), "large again {}", after_ms(rise));
    assert!(part < usual + CONCEALED, "{part} of the voice is made up, {usual} for the others");
    assert!(others.iter().all(|(_, is_same)| *is_same), "others notice: {others:?}");
}
