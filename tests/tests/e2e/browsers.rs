//! Two people in two real browsers: from the first login to hearing each other, and a bot of a released library beside them.

use guildhall_loadtest::{
    Rest,
    opus::{Quality, Speaker, judge},
    rest::Account,
};
use guildhall_protocol::{GuildId, Permissions};
use guildhall_tests::{
    compatibility::{Client, Feature, Report},
    eventually,
    frames::write,
    page::{Page, assert_no_page_failed},
    proxy::Proxy,
    room::{GCM, Participant, WEBRTC},
    script::Script,
    server::Server,
    world::{PASSWORD, World},
};
use serde_json::{Value, json};

#[tokio::test]
async fn two_people_meet_write_and_talk_with_a_bot_beside_them() {
    let report = Report::of(Client::Page, "talk")
        .noted(Feature::Messages, "written and read")
        .noted(Feature::VoiceUp, "heard and measured")
        .noted(Feature::VoiceDown, "heard and measured");
    let server = Server::start();
    let browser = Script::browser().await;

    // The owner logs in with what the first start showed, founds a guild and makes an invite.
    let owner = Page::open(&browser, "owner", &server.base()).await;
    owner.logs_in(&server.owner().login, &server.owner().password).await;
    owner.click("welcome-create").await;
    owner.fill("guild-create-name", "The Clockmakers").await;
    owner.click("guild-create-submit").await;
    owner.sees("composer").await;
    owner.click("invite-create").await;
    owner.sees("invite-link").await;
    let link = eventually("an invite link", async || {
        let js = "document.querySelector('[data-testid=invite-link]').value ?? ''";
        let link = owner.evaluate(js).await.as_str().expect("text").to_string();
        link.contains("/invite/").then_some(link)
    })
    .await;
    owner.evaluate("document.activeElement?.blur()").await;
    owner.act("press", "invite-link", json!({"key": "Escape"})).await;

    // A friend follows the link, registers and is in.
    let ann = Page::open(&browser, "ann", &link).await;
    ann.fill("register-name", "ann").await;
    ann.fill("register-email", "ann@example.test").await;
    ann.fill("register-password", PASSWORD).await;
    ann.click("register-submit").await;
    ann.sees("composer").await;

    // They write.
    ann.writes("Good evening! Is this the right place?").await;
    owner.reads("message-content", "Good evening! Is this the right place?").await;
    owner.writes("It is. Come to the voice room.").await;
    ann.reads("message-content", "Come to the voice room.").await;

    // A bot joins the guild; its application is the owner's.
    let rest = Rest::new(&server.base()).expect("a client");
    let account = rest.login(&server.owner().login, &server.owner().password).await.expect("the owner's password");
    let path = owner.evaluate("location.pathname").await;
    let guild: u64 = path.as_str().and_then(|path| path.split('/').nth(2)?.parse().ok()).expect("/channels/<guild>/<channel>");
    let guild = GuildId::new(guild);
    let jester = bot(&account, guild, "jester").await;
    let channels = account.rest.channels(guild).await.expect("the owner lists channels");
    let voice = channels.iter().find(|channel| channel.kind.is_voice()).expect("a new guild has a voice channel");

    // They talk.
    owner.joins_voice(&voice.name).await;
    ann.joins_voice(&voice.name).await;
    owner.sees("participant-ann").await;
    tokio::join!(owner.hears("ann"), ann.hears("owner"));

    // Who mutes herself is seen muted, and heard no more.
    ann.click("voice-mute").await;
    eventually("the owner's page to show ann muted", async || {
        (owner.attribute("participant-ann", "data-muted").await == "true").then_some(())
    })
    .await;
    owner.hears_silence_of("ann").await;

    // The third is the bot, with real speech in Opus, heard by both while it plays.
    let given = json!({"base": server.base(), "token": jester.token});
    let script = Script::node("bot.mjs", &given, Some(&server.ca()));
    script.event("ready", json!({})).await;
    script.ask("join_voice", json!({"guild": guild, "channel": voice.id})).await;
    let speech = Speaker::new(1).and_then(|mut speaker| speaker.packets(250)).expect("real Opus");
    let file = write(server.data(), "speech", &speech);
    script.ask("play", json!({"frames": file, "loop": true})).await;
    tokio::join!(owner.hears("jester"), ann.hears("jester"));
    eventually("a page to show that the bot speaks", async || {
        (owner.attribute("participant-jester", "data-speaking").await == "true").then_some(())
    })
    .await;
    owner.shoot("voice").await;
    let channel =
        channels.iter().find(|channel| !channel.kind.is_voice() && channel.kind.holds_messages()).expect("a text channel");
    for page in [&owner, &ann] {
        page.click(&format!("channel-item-{}", channel.name)).await;
        page.sees("composer").await;
    }
    owner.shoot("text").await;
    ann.shoot("text-ann").await;

    // And the bot hears the people: what it gets are Opus packets of who speaks.
    ann.click("voice-mute").await;
    owner.hears("ann").await;
    let ann_id = owner.participant("ann").await["userId"].clone();
    script.ask("listen", json!({"user": ann_id})).await;
    eventually("the bot to hear ann", async || {
        (script.ask("heard", json!({"user": ann_id})).await.as_array()?.len() > 50).then_some(())
    })
    .await;

    // Everybody leaves, and it shows.
    script.ask("leave_voice", json!({})).await;
    owner.sees_no_more("participant-jester").await;
    ann.click("voice-leave").await;
    owner.sees_no_more("participant-ann").await;
    assert_no_page_failed(&browser);
    report.proves(&[Feature::Login]);
}

/// An application's bot that may come in and speak.
async fn bot(owner: &Account, guild: GuildId, name: &str) -> Account {
    let application = owner.rest.create_application(name).await.expect("an application").id;
    let token = owner.rest.create_bot(application).await.expect("its bot");
    let speak = Permissions::VIEW_CHANNEL.union(Permissions::CONNECT).union(Permissions::SPEAK);
    owner.rest.add_bot(application, guild, speak).await.expect("the owner lets it in");
    let rest = owner.rest.as_bot(&token);
    let user = rest.me().await.expect("the bot's token works");
    Account { rest, token, user }
}

/// Says what the seed says until the page has measured it.
async fn talks(talker: &Participant, page: &Page<'_>, seed: u64) {
    let speech = Speaker::new(seed).and_then(|mut speaker| speaker.packets(500)).expect("real Opus");
    let name = &talker.account.user.username;
    tokio::select! {
        () = page.hears(name) => {}
        () = talker.say(&speech) => page.hears(name).await,
    }
}

/// Hears the only page for two seconds of sound: all of it comes and can be decoded. Answers with what it is like.
async fn hears_page(talker: &mut Participant) -> Quality {
    talker.peer.heard_so_far();
    let mut heard = Vec::new();
    while heard.len() < 100 {
        heard.push(talker.peer.hear().await.expect("the page is heard"));
    }
    let quality = judge(&heard).expect("a decoder");
    assert_eq!((quality.lost, quality.out_of_order, quality.undecodable), (0, 0, 0), "{quality:?}");
    quality
}

#[tokio::test]
async fn a_page_over_tls_hears_and_is_heard_over_tls() {
    let world = World::start().await;
    let mut talker = world.participant("tom", GCM).await;
    world.member("ann").await;
    let browser = Script::browser().await;
    let page = Page::open(&browser, "ann", &format!("https://{}/channels/{}", world.server.address(), world.guild)).await;
    page.logs_in("ann@loadtest.invalid", PASSWORD).await;
    page.joins_voice("hearth").await;
    talks(&talker, &page, 3).await;
    // The browser's beeps come out of the server as speech: they decode, and without a gap. The silence between them is left
    // out by the browser and the server, so their clock jumps where their numbers do not.
    let quality = hears_page(&mut talker).await;
    assert!(quality.level_dbfs > -40.0, "the beeps are audible: {quality:?}");
    assert_no_page_failed(&browser);
}

#[tokio::test]
async fn a_page_survives_a_cut_wire_and_a_reload() {
    let report = Report::of(Client::Page, "cut").noted(Feature::VoiceCut, "comes back");
    let world = World::start().await;
    let proxy = Proxy::start(world.server.address()).await;
    let mut talker = world.participant("tom", GCM).await;
    let ann = world.member("ann").await;
    let browser = Script::browser().await;
    let page = Page::open(&browser, "ann", &format!("{}/channels/{}/{}", proxy.base(), world.guild, world.text)).await;
    page.logs_in("ann@loadtest.invalid", PASSWORD).await;
    page.sees("composer").await;
    page.joins_voice("hearth").await;
    page.click("channel-item-stories").await;
    page.sees("composer").await;

    // The wire is cut: the page says so, and what was written meanwhile is there when it comes back, once.
    proxy.cut_and_hold();
    page.sees("connection-banner").await;
    for words in ["while you", "were away"] {
        world.owner.rest.send_message(world.text, words).await.expect("the owner writes");
    }
    proxy.release();
    page.sees_no_more("connection-banner").await;
    page.reads("message-content", "were away").await;
    let count = page.evaluate("document.querySelectorAll('[data-testid=message-content]').length").await;
    assert_eq!(count, 2, "each message is shown once");

    // The call went on, or came back by itself: what somebody says is heard.
    page.is_connected().await;
    talks(&talker, &page, 2).await;
    talker.peer.stop_speaking().await.expect("silence and op 5 go out");
    talker.peer.heard_so_far();

    // A reload keeps who and where one is, and leaves the call.
    browser.ask("reload", json!({"page": "ann"})).await;
    page.reads("message-content", "were away").await;
    let id = json!(ann.user.id);
    let left = |state: &Value| state["user_id"] == id && state["channel_id"].is_null();
    talker.session.next_named("VOICE_STATE_UPDATE", left).await.expect("the others see her leave the call");
    page.shoot("reloaded").await;
    assert_no_page_failed(&browser);
    report.proves(&[Feature::Resume]);
}

#[tokio::test]
async fn a_page_comes_back_to_its_call_after_the_server_was_killed() {
    let mut world = World::start().await;
    world.member("ann").await;
    let tom = world.member("tom").await;
    let browser = Script::browser().await;
    let page = Page::open(&browser, "ann", &format!("{}/channels/{}/{}", world.server.base(), world.guild, world.text)).await;
    page.logs_in("ann@loadtest.invalid", PASSWORD).await;
    page.joins_voice("hearth").await;
    world.server.kill_9();
    page.sees("connection-banner").await;
    world.restart().await;
    page.sees_no_more("connection-banner").await;
    page.is_connected().await;

    let mut session = world.session(&tom).await;
    let grant = session.join_voice(world.guild, world.voice).await.expect("op 4 is answered");
    let peer = world.join(&grant, WEBRTC).await;
    let talker = Participant { account: tom, session, peer, transport: WEBRTC };
    talks(&talker, &page, 4).await;
}

#[tokio::test]
async fn a_page_on_a_network_without_udp_talks_over_tcp() {
    let world = World::start().await;
    let mut talker = world.participant("tom", WEBRTC).await;
    world.member("ann").await;
    // Chromium then opens no UDP socket at all for calls.
    let browser = Script::browser_with(&["--webrtc-ip-handling-policy=disable_non_proxied_udp"]).await;
    let page = Page::open(&browser, "ann", &format!("{}/channels/{}", world.server.base(), world.guild)).await;
    page.logs_in("ann@loadtest.invalid", PASSWORD).await;
    page.joins_voice("hearth").await;
    let metrics = async || {
        let page = world.rest.download(&format!("{}/metrics", world.server.base())).await.expect("for this machine");
        String::from_utf8(page).expect("text")
    };
    assert!(metrics().await.contains("guildhall_media_tcp_connections 1\n"), "the page is connected, and not by UDP");
    talks(&talker, &page, 4).await;
    hears_page(&mut talker).await;
    page.click("voice-leave").await;
    eventually("the connection to be let go of", async || {
        metrics().await.contains("guildhall_media_tcp_connections 0\n").then_some(())
    })
    .await;
    assert_no_page_failed(&browser);
}
