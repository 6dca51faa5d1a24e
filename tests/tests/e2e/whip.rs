//! Programs in a voice channel: aiortc publishes by WHIP and plays by WHEP with stream keys, and a Chromium with our page watches.

use guildhall_loadtest::rest::Account;
use guildhall_protocol::Permissions;
use guildhall_tests::{
    api::{post, put},
    eventually,
    node::{VoiceNode, control_plane, operated},
    script::Script,
    world::{PASSWORD, World},
};
use reqwest::Method;
use serde_json::{Value, json};

/// Of 32,768: the tone has half of that, Opus takes and adds a little, silence has nothing.
const AUDIBLE: i64 = 4_000;

/// The picture is 320 points wide.
const WIDTH: i64 = 320;

/// Pictures and packets of sound that show that a stream flows.
const FLOWS: i64 = 25;

fn program(world: &World) -> Script {
    Script::python("stream.py", &json!({}), &world.server.ca())
}

/// A key for the voice channel: its secret and its addresses are in it.
async fn key(world: &World, account: &Account) -> Value {
    let path = format!("/channels/{}/stream-keys", world.voice);
    post(&account.rest, &path, json!({"name": "OBS"})).await
}

/// Offers, again where a machine that is short of time has no headroom at the moment (503).
async fn offers(script: &Script, what: &str, command: Value) -> Value {
    eventually("a node to have headroom", async || {
        let answer = script.ask(what, command.clone()).await;
        (answer["status"] != 503).then_some(answer)
    })
    .await
}

/// Publishes with an RSA certificate, or with one that is not the offer's.
async fn publishes_as(script: &Script, name: &str, key: &Value, certificate: Value) -> Value {
    let mut command = json!({"as": name, "url": key["whip_url"], "key": key["key"], "codec": "VP8"});
    command.as_object_mut().expect("an object").extend(certificate.as_object().expect("an object").clone());
    offers(script, "publish", command).await
}

async fn publishes(script: &Script, name: &str, key: &Value, codec: &str) -> Value {
    offers(script, "publish", json!({"as": name, "url": key["whip_url"], "key": key["key"], "codec": codec})).await
}

async fn plays(script: &Script, name: &str, key: &Value) -> Value {
    offers(script, "play", json!({"as": name, "url": key["whep_url"], "key": key["key"]})).await
}

/// Waits until a player gets pictures and the tone, more than it had.
async fn flows(script: &Script, name: &str) {
    let before = script.ask("seen", json!({"as": name})).await;
    eventually(&format!("{name} to get pictures and sound"), async || {
        let seen = script.ask("seen", json!({"as": name})).await;
        let more = |kind: &str| seen[kind].as_i64().zip(before[kind].as_i64()).is_some_and(|(now, then)| now >= then + FLOWS);
        let is_right = seen["width"] == WIDTH && seen["loudest"].as_i64()? > AUDIBLE;
        (more("video") && more("audio") && is_right).then_some(())
    })
    .await;
}

/// Where a member is, as the API says.
async fn place(world: &World, account: &Account) -> Option<Value> {
    let path = format!("/guilds/{}/voice-states/{}", world.guild, account.user.id);
    let reply = world.owner.rest.call(Method::GET, &path, None).await.expect("an answer");
    reply.is_success().then_some(reply.body)
}

async fn is_out(world: &World, account: &Account) {
    eventually("the program to be out of the call", async || place(world, account).await.is_none().then_some(())).await;
}

/// Somebody's page in the voice channel.
struct Page<'a> {
    browser: &'a Script,
    name: &'static str,
}

impl<'a> Page<'a> {
    async fn open(world: &World, browser: &'a Script, name: &'static str) -> Self {
        let page = Self { browser, name };
        let url = format!("{}/channels/{}/{}", world.server.base(), world.guild, world.voice);
        browser.ask("open", json!({"page": name, "url": url})).await;
        page.act("fill", "login-name", json!({"value": name})).await;
        page.act("fill", "login-password", json!({"value": PASSWORD})).await;
        page.act("click", "login-submit", json!({})).await;
        page
    }

    async fn act(&self, what: &str, id: &str, mut fields: Value) -> Value {
        fields["page"] = json!(self.name);
        fields["id_of"] = json!(id);
        self.browser.ask(what, fields).await
    }

    /// What a field holds.
    async fn value(&self, id: &str) -> Value {
        self.act("see", id, json!({})).await;
        self.act("evaluate", "", json!({"js": format!("document.querySelector('[data-testid={id}]').value")})).await
    }
}

#[tokio::test]
async fn a_program_publishes_by_whip_a_player_and_a_browser_see_it_and_the_key_ends_it() {
    let world = World::start().await;
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    world.member("carl").await;
    let (script, browser) = (program(&world), Script::browser().await);

    // The key is made in the page, and copied from there.
    let page = Page::open(&world, &browser, "anna").await;
    page.act("click", "stream-keys", json!({})).await;
    page.act("click", "stream-key-create", json!({})).await;
    let key_of_anna = json!({"key": page.value("stream-key-secret").await, "whip_url": page.value("stream-key-whip").await});
    let here = world.server.address().to_string();
    let expected = json!({"status": 201, "redirects": [307], "at": here});
    assert_eq!(publishes(&script, "obs", &key_of_anna, "VP8").await, expected);
    let state = place(&world, &anna).await.expect("she is in the call");
    assert_eq!((&state["channel_id"], &state["self_deaf"]), (&json!(world.voice), &json!(true)));
    assert_eq!(plays(&script, "player", &key(&world, &bea).await).await["status"], 201);
    flows(&script, "player").await;

    let watcher = Page::open(&world, &browser, "carl").await;
    watcher.act("click", "room-join", json!({})).await;
    let tile = format!("video-camera-{}", anna.user.id);
    watcher.act("see", &tile, json!({})).await;
    let js = format!(
        "(() => {{
            const video = document.querySelector('[data-testid={tile}]');
            return video ? [video.videoWidth, video.getVideoPlaybackQuality().totalVideoFrames] : [0, 0];
        }})()"
    );
    eventually("Chromium to show what aiortc films", async || {
        let shown = watcher.act("evaluate", "", json!({"js": js})).await;
        (shown[0] == WIDTH && shown[1].as_i64()? >= FLOWS).then_some(())
    })
    .await;
    flows(&script, "player").await;

    page.act("click", "stream-key-delete", json!({})).await;
    is_out(&world, &anna).await;
    watcher.act("miss", &tile, json!({})).await;
    page.act("miss", "stream-key", json!({})).await;
    eventually("the ended session to be unknown", async || {
        (script.ask("delete", json!({"as": "obs"})).await == 404).then_some(())
    })
    .await;
    assert_eq!(publishes(&script, "again", &key_of_anna, "VP8").await["status"], 401);
    assert_eq!(script.ask("delete", json!({"as": "player"})).await, 200);
    is_out(&world, &bea).await;
    assert_eq!(script.ask("delete", json!({"as": "player"})).await, 404);
}

#[tokio::test]
async fn a_program_may_have_an_rsa_certificate_and_none_but_its_offers() {
    let world = World::start().await;
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let script = program(&world);
    let key_of_anna = key(&world, &anna).await;
    assert_eq!(publishes_as(&script, "rsa", &key_of_anna, json!({"rsa": true})).await["status"], 201);
    assert_eq!(plays(&script, "player", &key(&world, &bea).await).await["status"], 201);
    flows(&script, "player").await;
    assert_eq!(script.ask("delete", json!({"as": "rsa"})).await, 200);
    is_out(&world, &anna).await;

    for (name, is_rsa) in [("forged", false), ("forged rsa", true)] {
        let answer = publishes_as(&script, name, &key_of_anna, json!({"rsa": is_rsa, "promised": false})).await;
        assert_eq!(answer["status"], 201, "an offer says nothing wrong");
        is_out(&world, &anna).await;
    }
    let metrics = world.rest.download(&format!("{}/metrics", world.server.base())).await.expect("for this machine");
    let metrics = String::from_utf8(metrics).expect("text");
    let refused = metrics.lines().filter(|line| line.contains("reason=\"handshake_failed\"") && !line.ends_with(" 0"));
    let refused: u64 = refused.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert_eq!(refused, 2, "{metrics}");
    let log = world.server.log();
    assert_eq!(log.matches("a DTLS handshake failed").count(), 2, "{log}");
    assert!(log.contains("fingerprint"), "{log}");
}

#[tokio::test]
async fn a_program_that_loses_its_right_is_out_and_comes_back_with_it() {
    let world = World::start().await;
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let script = program(&world);
    let (key_of_anna, key_of_bea) = (key(&world, &anna).await, key(&world, &bea).await);
    let overwrite = async |deny: Permissions| {
        let path = format!("/channels/{}/permissions/{}", world.voice, world.guild);
        put(&world.owner.rest, &path, json!({"type": 0, "deny": deny.0.to_string()})).await;
    };
    assert_eq!(publishes(&script, "first", &key_of_anna, "H264").await["status"], 201);
    assert_eq!(plays(&script, "player", &key_of_bea).await["status"], 201);
    flows(&script, "player").await;
    overwrite(Permissions::STREAM).await;
    is_out(&world, &anna).await;
    assert_eq!(publishes(&script, "refused", &key_of_anna, "H264").await["status"], 403);
    assert!(place(&world, &bea).await.is_some(), "who watches stays");
    overwrite(Permissions::NONE).await;
    assert_eq!(publishes(&script, "second", &key_of_anna, "H264").await["status"], 201);
    flows(&script, "player").await;
    // The same key again, as after a crash: the newer one takes the place.
    assert_eq!(publishes(&script, "third", &key_of_anna, "H264").await["status"], 201);
    flows(&script, "player").await;
    assert_eq!(script.ask("delete", json!({"as": "second"})).await, 404, "it made room");
    assert_eq!(script.ask("delete", json!({"as": "third"})).await, 200);
    is_out(&world, &anna).await;
}

#[tokio::test]
async fn programs_are_sent_to_the_rooms_node_and_find_the_next_one_when_it_is_drained() {
    let (server, nodes) = control_plane();
    let world = World::on(server).await;
    let [eu, us] = ["eu", "us"].map(|region| VoiceNode::start(&world.server, &nodes, &format!("{region}-1"), region));
    eventually("both nodes to be heard", async || {
        let list = operated(&world.server, &["node", "list"]);
        (list.contains("eu-1") && list.contains("us-1")).then_some(())
    })
    .await;
    let trusted = world.server.data().join("nodes.pem");
    let authorities = [eu.ca(), us.ca()].map(|ca| std::fs::read_to_string(ca).expect("a node makes its certificate"));
    std::fs::write(&trusted, authorities.concat()).expect("there is room");
    let script = Script::python("stream.py", &json!({}), &trusted);
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let (key_of_anna, key_of_bea) = (key(&world, &anna).await, key(&world, &bea).await);

    // Where a room goes is for the placement to say: on a machine without time the first node may have no headroom.
    let at = publishes(&script, "first", &key_of_anna, "VP8").await["at"].clone();
    let (name, other) = if at == eu.endpoint() { ("eu-1", us.endpoint()) } else { ("us-1", eu.endpoint()) };
    assert!(at == eu.endpoint() || at == us.endpoint(), "{at}");
    assert_eq!(plays(&script, "one", &key_of_bea).await["at"], at);
    flows(&script, "one").await;
    operated(&world.server, &["node", "drain", name, "--deadline", "20"]);
    is_out(&world, &anna).await;
    is_out(&world, &bea).await;
    assert_eq!(publishes(&script, "second", &key_of_anna, "VP8").await["at"], other);
    assert_eq!(plays(&script, "two", &key_of_bea).await["at"], other);
    flows(&script, "two").await;
}
