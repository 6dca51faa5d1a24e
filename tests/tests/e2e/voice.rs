//! Voice between released libraries and other clients: Opus packets cross the server bit for bit, in both directions where the
//! library can receive, whatever the transport of the other side.

use base64::{Engine, engine::general_purpose::STANDARD};
use guildhall_loadtest::voice::Signal;
use guildhall_protocol::{Permissions, UserId, model::ChannelType};
use guildhall_tests::{
    compatibility::{Client, Feature, Report},
    eventually,
    frames::{distinct, write},
    proxy::Proxy,
    room::{GCM, WEBRTC, XCHACHA},
    script::Script,
    world::World,
};
use serde_json::{Value, json};

/// Two seconds of packets.
const PACKETS: usize = 100;

const SPEAK: Permissions = Permissions::VIEW_CHANNEL.union(Permissions::CONNECT).union(Permissions::SPEAK);

#[tokio::test]
async fn discord_js_is_heard_bit_for_bit_over_every_transport() {
    let report = Report::of(Client::DiscordJs, "voice up").noted(Feature::VoiceUp, "bit for bit (AES-256-GCM)");
    let world = World::start().await;
    let bot = world.bot("jester", SPEAK).await;
    let script = world.discord_js(&bot, &world.server.base()).await;
    let mode = is_heard_by_everyone(&world, &script, bot.user.id).await;
    assert_eq!(mode, "aead_aes256_gcm_rtpsize");
    report.proves(&[]);
}

#[tokio::test]
async fn discord_py_is_heard_bit_for_bit_over_every_transport() {
    let report = Report::of(Client::DiscordPy, "voice up").noted(Feature::VoiceUp, "bit for bit (XChaCha20-Poly1305)");
    let world = World::start().await;
    let bot = world.bot("python", SPEAK).await;
    let script = world.discord_py(&bot, &world.server.base()).await;
    let mode = is_heard_by_everyone(&world, &script, bot.user.id).await;
    assert_eq!(mode, "aead_xchacha20_poly1305_rtpsize");
    report.proves(&[]);
}

/// The library joins a channel with a listener of each transport and plays a file; answers with its encryption mode.
async fn is_heard_by_everyone(world: &World, script: &Script, bot: UserId) -> Value {
    let mut listeners =
        [world.participant("gail", GCM).await, world.participant("xena", XCHACHA).await, world.participant("webb", WEBRTC).await];
    let joined = script.ask("join_voice", json!({"guild": world.guild, "channel": world.voice})).await;
    for listener in &mut listeners {
        let state = listener.session.next_named("VOICE_STATE_UPDATE", |state| state["user_id"] == json!(bot)).await;
        assert_eq!(state.expect("everyone sees the bot come")["channel_id"], json!(world.voice));
    }

    let packets = distinct(PACKETS, 1);
    let file = write(world.server.data(), "packets", &packets);
    script.ask("play", json!({"frames": file})).await;
    for listener in &mut listeners {
        listener.hears_exactly(bot, &packets).await;
    }
    assert_eq!(script.ask("played", json!({})).await, Value::Null);

    script.ask("leave_voice", json!({})).await;
    for listener in &mut listeners {
        let state = listener.session.next_named("VOICE_STATE_UPDATE", |state| state["user_id"] == json!(bot)).await;
        assert_eq!(state.expect("everyone sees the bot go")["channel_id"], Value::Null);
        listener.peer.signaling.next(|signal| signal.op == 13 && signal.data["user_id"] == json!(bot)).await.expect("op 13");
    }
    assert!(script.events("error").is_empty(), "{:?}", script.events("error"));
    joined["mode"].clone()
}

#[tokio::test]
async fn discord_js_hears_every_transport_bit_for_bit() {
    let report = Report::of(Client::DiscordJs, "voice down").noted(Feature::VoiceDown, "bit for bit");
    let world = World::start().await;
    let bot = world.bot("jester", SPEAK).await;
    let script = world.discord_js(&bot, &world.server.base()).await;
    let early = world.participant("gail", GCM).await;
    script.ask("join_voice", json!({"guild": world.guild, "channel": world.voice})).await;
    let speakers = [early, world.participant("xena", XCHACHA).await, world.participant("webb", WEBRTC).await];

    let said: Vec<_> = (0..speakers.len() as u64).map(|seed| distinct(PACKETS, seed)).collect();
    for speaker in &speakers {
        script.ask("listen", json!({"user": speaker.id()})).await;
    }
    // All at once, as people do.
    let [gail, xena, webb] = &speakers;
    tokio::join!(gail.say(&said[0]), xena.say(&said[1]), webb.say(&said[2]));
    for (speaker, said) in speakers.iter().zip(&said) {
        let heard = heard_by(&script, speaker.id(), said.len()).await;
        assert!(heard == *said, "{} is heard as spoken", speaker.account.user.username);
    }

    // A header extension, as Discord's own client sends it, is not part of the audio.
    let more = distinct(1, 7);
    let native = gail.peer.native().expect("a native peer");
    native.send_opus_with_extension(&[0x10, 0x85, 0, 0], &more[0]).await.expect("a packet goes out");
    let heard = heard_by(&script, gail.id(), PACKETS + 1).await;
    assert!(heard[PACKETS] == more[0], "the extension's body was stripped");
    assert!(script.events("error").is_empty(), "{:?}", script.events("error"));
    report.proves(&[]);
}

async fn heard_by(script: &Script, user: UserId, count: usize) -> Vec<Vec<u8>> {
    eventually(&format!("{count} packets of {user}"), async || {
        let heard = script.ask("heard", json!({"user": user})).await;
        let heard = heard.as_array().expect("a list");
        let packets = heard.iter().map(|packet| STANDARD.decode(packet.as_str().expect("base64")).expect("base64"));
        (heard.len() >= count).then(|| packets.collect())
    })
    .await
}

#[tokio::test]
async fn discord_js_follows_when_it_is_moved_and_stays_away_when_it_is_put_out() {
    let world = World::start().await;
    let bot = world.bot("jester", SPEAK).await;
    let script = world.discord_js(&bot, &world.server.base()).await;
    is_moved_and_put_out(&world, &script, bot.user.id).await;
    script.event("voice", json!({"status": "disconnected", "close": 4014})).await;
}

#[tokio::test]
async fn discord_py_follows_when_it_is_moved_and_stays_away_when_it_is_put_out() {
    let world = World::start().await;
    let bot = world.bot("python", SPEAK).await;
    let script = world.discord_py(&bot, &world.server.base()).await;
    is_moved_and_put_out(&world, &script, bot.user.id).await;
}

async fn is_moved_and_put_out(world: &World, script: &Script, bot: UserId) {
    let cellar = world.owner.rest.create_channel(world.guild, "cellar", ChannelType::Voice).await.expect("a channel").id;
    let mut listener = world.participant("lou", GCM).await;
    listener.session.set_voice(world.guild, Some(cellar), false, false).await.expect("op 4 goes out");
    listener.follow(world, cellar, GCM).await;
    script.ask("join_voice", json!({"guild": world.guild, "channel": world.voice})).await;

    world.owner.rest.edit_member(world.guild, bot, json!({"channel_id": cellar})).await.expect("the owner may move");
    let state = json!({"connected": true, "channel": cellar});
    let has_moved = async || (script.ask("voice_state", json!({})).await == state).then_some(());
    // The library still calls itself connected until the old socket closes, so what counts is that the new room hears it.
    let comes = json!(bot);
    let arrives = |signal: &Signal| signal.op == 11 && signal.data["user_ids"].as_array().is_some_and(|ids| ids.contains(&comes));
    listener.peer.signaling.next(arrives).await.expect("op 11 announces the bot");
    eventually("the library to be connected to the other room", has_moved).await;
    let packets = distinct(PACKETS, 4);
    script.ask("play", json!({"frames": write(world.server.data(), "packets", &packets)})).await;
    listener.hears_exactly(bot, &packets).await;
    script.ask("played", json!({})).await;

    world.owner.rest.edit_member(world.guild, bot, json!({"channel_id": null})).await.expect("the owner may put out");
    let out = async || (script.ask("voice_state", json!({})).await["connected"] == false).then_some(());
    eventually("the library to be disconnected", out).await;
    let goes = |signal: &Signal| signal.op == 13 && signal.data["user_id"] == comes;
    listener.peer.signaling.next(goes).await.expect("op 13 announces that the bot is gone");
}

/// Each answer may have the library connect anew, while it still does so for the one before.
#[tokio::test]
async fn discord_py_asks_for_its_room_again_and_again_and_is_never_out_of_it() {
    let world = World::start().await;
    let bot = world.bot("python", SPEAK).await;
    let script = world.discord_py(&bot, &world.server.base()).await;
    let mut listener = world.participant("lou", GCM).await;
    script.ask("join_voice", json!({"guild": world.guild, "channel": world.voice})).await;
    // So that its reader thread does not wait at a socket that it leaves behind: see the test of a cut below.
    listener.say(&distinct(3, 7)).await;
    let id = json!(bot.user.id);
    let named = |signal: &Signal| signal.op == 5 && signal.data["user_id"] == id;
    let first = listener.peer.signaling.next(named).await.expect("the bot has an SSRC").data["ssrc"].clone();
    script.ask("rejoin_voice", json!({"times": 3})).await;
    let anew = |signal: &Signal| named(signal) && signal.data["ssrc"] != first;
    listener.peer.signaling.next(anew).await.expect("the bot has come anew");
    let state = json!({"connected": true, "channel": world.voice});
    eventually("the library to be connected", async || (script.ask("voice_state", json!({})).await == state).then_some(())).await;
    // Up to something of lou's own.
    listener.session.set_voice(world.guild, Some(world.voice), true, false).await.expect("op 4 goes out");
    let is_own = |state: &Value| state["user_id"] == json!(listener.account.user.id) && state["self_mute"] == true;
    let heard = listener.session.events_until(|event| event.name == "VOICE_STATE_UPDATE" && is_own(&event.data)).await;
    let states = heard.expect("lou listens").into_iter().filter(|event| event.name == "VOICE_STATE_UPDATE");
    let of_bot: Vec<Value> =
        states.filter(|event| event.data["user_id"] == id).map(|event| event.data["channel_id"].clone()).collect();
    assert_eq!(of_bot, [json!(world.voice)], "others see it come once, and nothing else");
}

#[tokio::test]
async fn discord_py_moves_itself_and_is_heard() {
    let world = World::start().await;
    let bot = world.bot("python", SPEAK).await;
    let script = world.discord_py(&bot, &world.server.base()).await;
    let cellar = world.owner.rest.create_channel(world.guild, "cellar", ChannelType::Voice).await.expect("a channel").id;
    let mut listener = world.participant("lou", GCM).await;
    script.ask("join_voice", json!({"guild": world.guild, "channel": world.voice})).await;
    // Nobody speaks to it, and still its reader does not wait at the socket that it leaves behind (`DISCOVERY_DELAYS`).
    let packets = distinct(PACKETS, 8);
    script.ask("play", json!({"frames": write(world.server.data(), "before", &packets)})).await;
    listener.hears_exactly(bot.user.id, &packets).await;
    script.ask("played", json!({})).await;
    script.ask("move_voice", json!({"channel": cellar})).await;
    assert_eq!(script.ask("voice_state", json!({})).await, json!({"connected": true, "channel": cellar}));
    listener.session.set_voice(world.guild, Some(cellar), false, false).await.expect("op 4 goes out");
    listener.follow(&world, cellar, GCM).await;
    let packets = distinct(PACKETS, 9);
    script.ask("play", json!({"frames": write(world.server.data(), "packets", &packets)})).await;
    listener.hears_exactly(bot.user.id, &packets).await;
}

#[tokio::test]
async fn discord_js_resumes_its_voice_socket_and_is_heard_again() {
    let report = Report::of(Client::DiscordJs, "voice cut").noted(Feature::VoiceCut, "resumes");
    let world = World::start().await;
    let proxy = Proxy::start(world.server.address()).await;
    let bot = world.bot("jester", SPEAK).await;
    let script = world.discord_js(&bot, &proxy.base()).await;
    let mut listener = world.participant("lou", GCM).await;
    script.ask("join_voice", json!({"guild": world.guild, "channel": world.voice})).await;

    // Both sockets go, gateway and voice. Both resume, so nobody sees the bot leave.
    proxy.cut();
    script.event("resumed", json!({})).await;
    let packets = distinct(PACKETS, 5);
    script.event("voice_resumed", json!({})).await;
    script.ask("play", json!({"frames": write(world.server.data(), "packets", &packets)})).await;
    listener.hears_exactly(bot.user.id, &packets).await;
    let id = json!(bot.user.id);
    let seen = listener.session.events_until(|event| event.name == "VOICE_STATE_UPDATE" && event.data["user_id"] == id).await;
    let come = seen.expect("the bot was seen to come");
    assert_eq!(come.last().expect("one event").data["channel_id"], json!(world.voice));
    report.proves(&[]);
}

#[tokio::test]
async fn discord_py_comes_back_after_a_cut_and_is_heard_again() {
    let report = Report::of(Client::DiscordPy, "voice cut").noted(Feature::VoiceCut, "joins again");
    let world = World::start().await;
    let proxy = Proxy::start(world.server.address()).await;
    let bot = world.bot("python", SPEAK).await;
    let script = world.discord_py(&bot, &proxy.base()).await;
    let mut listener = world.participant("lou", GCM).await;
    script.ask("join_voice", json!({"guild": world.guild, "channel": world.voice})).await;
    // The library opens a new UDP socket, which its reader thread does not notice while it waits at the old one, for up to
    // thirty seconds. As soon as anybody in the room speaks, it does not wait there any more.
    listener.say(&distinct(3, 7)).await;
    let before = proxy.accepted();
    proxy.cut();
    script.event("resumed", json!({})).await;
    // The gateway's socket and the voice socket, each at least once.
    eventually("two new connections", async || (proxy.accepted() >= before + 2).then_some(())).await;
    let back = json!({"connected": true, "channel": world.voice});
    eventually("voice to be connected", async || (script.ask("voice_state", json!({})).await == back).then_some(())).await;
    let packets = distinct(PACKETS, 6);
    script.ask("play", json!({"frames": write(world.server.data(), "packets", &packets)})).await;
    listener.hears_exactly(bot.user.id, &packets).await;
    report.proves(&[]);
}

#[tokio::test]
async fn two_libraries_share_a_room() {
    let world = World::start().await;
    let (js_bot, py_bot) = (world.bot("jester", SPEAK).await, world.bot("python", SPEAK).await);
    let base = world.server.base();
    let (js, py) = tokio::join!(world.discord_js(&js_bot, &base), world.discord_py(&py_bot, &base));
    let room = json!({"guild": world.guild, "channel": world.voice});
    tokio::join!(js.ask("join_voice", room.clone()), py.ask("join_voice", room));
    js.ask("listen", json!({"user": py_bot.user.id})).await;
    let packets = distinct(PACKETS, 3);
    py.ask("play", json!({"frames": write(world.server.data(), "packets", &packets)})).await;
    let mut heard = heard_by(&js, py_bot.user.id, PACKETS).await;
    heard.truncate(PACKETS);
    assert!(heard == packets, "Opus crosses from discord.py to discord.js unchanged");
}
