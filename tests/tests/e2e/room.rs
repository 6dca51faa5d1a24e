//! Who is heard in a room: mute, deafen, moves, kicks, reconnects, and the server's rule over each. Synthetic clients on both
//! transports, the real process.

use std::collections::HashMap;

use guildhall_loadtest::{
    Gateway,
    voice::{Heard, Transport, signaling},
};
use guildhall_protocol::{Permissions, UserId, model::ChannelType};
use guildhall_tests::{
    DEADLINE, eventually,
    frames::{SILENCE, distinct},
    room::{FRAME, GCM, Participant, WEBRTC, XCHACHA},
    world::World,
};
use serde_json::{Value, json};
use tokio::time::interval;

/// How often a state is looked at again once it is reached.
const STAYS: usize = 5;

/// A WebRTC peer sends from a task of its own, so a packet that was sent before another's may come a little after it.
const MARKS: usize = 4;

#[tokio::test]
async fn everyone_hears_everyone_over_every_pair_of_transports() {
    let world = World::start().await;
    let mut people =
        [world.participant("gail", GCM).await, world.participant("xena", XCHACHA).await, world.participant("webb", WEBRTC).await];
    for speaker in 0..people.len() {
        let packets = distinct(25, speaker as u64);
        people[speaker].say(&packets).await;
        let id = people[speaker].id();
        for (_, listener) in people.iter_mut().enumerate().filter(|(n, _)| *n != speaker) {
            listener.hears_exactly(id, &packets).await;
        }
        // What is left of the speakers before is their closing silence.
        let echo = people[speaker].peer.heard_so_far().into_iter().find(|heard| heard.payload[..] != SILENCE);
        assert!(echo.is_none(), "nobody hears himself: {echo:?}");
        people[speaker].peer.stop_speaking().await.expect("silence and op 5 go out");
    }
    for person in &people {
        let counters = person.peer.counters();
        assert_eq!(counters.bad.load(std::sync::atomic::Ordering::Relaxed), 0, "every packet opens");
        assert_eq!(counters.reused_nonces.load(std::sync::atomic::Ordering::Relaxed), 0, "no nonce is used twice");
    }
}

/// A speaker, a listener and somebody else whose packets show that the room goes on.
struct Room {
    world: World,
    speaker: Participant,
    marker: Participant,
    listener: Participant,
    next: u64,
}

impl Room {
    async fn start(speaker: Transport, listener: Transport) -> Room {
        let world = World::start().await;
        let speaker = world.participant("sam", speaker).await;
        let marker = world.participant("mary", GCM).await;
        let listener = world.participant("lou", listener).await;
        for person in [&speaker, &marker] {
            person.peer.start_speaking().await.expect("op 5 goes out");
        }
        Room { world, speaker, marker, listener, next: 0 }
    }

    /// The speaker says something, then the marker does, [`MARKS`] times at the pace of speech. Answers whether the listener
    /// heard the speaker before the last of these.
    async fn speaker_gets_through(&mut self) -> bool {
        self.next += 1;
        let mut words = distinct(1 + MARKS, self.next).into_iter();
        let word = words.next().expect("a word");
        self.speaker.peer.send_opus(&word).await.expect("a packet goes out");
        let mut pace = interval(FRAME);
        let mut was_heard = false;
        for mark in words {
            pace.tick().await;
            self.marker.peer.send_opus(&mark).await.expect("a packet goes out");
            loop {
                let heard = self.listener.peer.hear().await.expect("the marker is heard");
                was_heard |= heard.payload[..] == word[..];
                if heard.payload[..] == mark[..] {
                    break;
                }
            }
        }
        was_heard
    }

    /// Waits until the speaker is heard, or is not, and that it stays so.
    async fn expect_heard(&mut self, expected: bool, when: &str) {
        eventually(&format!("the speaker to be heard ({expected}) {when}"), async || {
            (self.speaker_gets_through().await == expected).then_some(())
        })
        .await;
        for _ in 0..STAYS {
            assert_eq!(self.speaker_gets_through().await, expected, "{when}");
        }
    }

    /// The owner changes the speaker's membership.
    async fn edit_speaker(&self, change: Value) {
        self.world.owner.rest.edit_member(self.world.guild, self.speaker.id(), change).await.expect("the owner may");
    }

    async fn set_speaker(&self, self_mute: bool, self_deaf: bool) {
        let voice = Some(self.world.voice);
        self.speaker.session.set_voice(self.world.guild, voice, self_mute, self_deaf).await.expect("op 4 goes out");
    }
}

#[tokio::test]
async fn a_muted_native_speaker_is_not_forwarded() {
    muted_speakers(GCM, WEBRTC).await;
}

#[tokio::test]
async fn a_muted_webrtc_speaker_is_not_forwarded() {
    muted_speakers(WEBRTC, XCHACHA).await;
}

async fn muted_speakers(speaker: Transport, listener: Transport) {
    let mut room = Room::start(speaker, listener).await;
    room.expect_heard(true, "at first").await;

    room.edit_speaker(json!({"mute": true})).await;
    room.expect_heard(false, "while the server mutes").await;
    let state = room.listener.session.next_named("VOICE_STATE_UPDATE", |state| state["mute"] == true).await;
    assert_eq!(state.expect("everyone sees the mute")["user_id"], json!(room.speaker.id()));
    room.edit_speaker(json!({"mute": false})).await;
    room.expect_heard(true, "after the server's mute").await;

    // Who mutes itself is silent whatever its client sends.
    room.set_speaker(true, false).await;
    room.expect_heard(false, "while muted by itself").await;
    room.set_speaker(false, false).await;
    room.expect_heard(true, "after its own mute").await;

    // The right to speak goes with a permission.
    let path = format!("/channels/{}/permissions/{}", room.world.voice, room.speaker.id());
    let deny = json!({"type": 1, "allow": "0", "deny": Permissions::SPEAK});
    guildhall_tests::api::put(&room.world.owner.rest, &path, deny).await;
    room.expect_heard(false, "without SPEAK").await;
    guildhall_tests::api::delete(&room.world.owner.rest, &path).await;
    room.expect_heard(true, "with SPEAK again").await;
}

#[tokio::test]
async fn a_deafened_listener_hears_nothing() {
    let mut room = Room::start(GCM, GCM).await;
    room.expect_heard(true, "at first").await;
    // The speaker listens here: what mary says reaches lou always, and sam only while he is not deafened.
    for (way, deafen) in [("by itself", true), ("by the server", false)] {
        if deafen {
            room.set_speaker(false, true).await;
        } else {
            room.edit_speaker(json!({"deaf": true})).await;
        }
        eventually(&format!("silence for who is deafened {way}"), async || (!hears_mary(&mut room).await).then_some(())).await;
        for _ in 0..10 {
            assert!(!hears_mary(&mut room).await, "deafened {way}");
        }
        if deafen {
            room.set_speaker(false, false).await;
        } else {
            room.edit_speaker(json!({"deaf": false})).await;
        }
        eventually(&format!("sound for who was deafened {way}"), async || hears_mary(&mut room).await.then_some(())).await;
    }
}

/// Mary speaks; once lou has heard her, did sam? Both copies leave the server in one batch, so sam's is there when a second
/// word has reached lou.
async fn hears_mary(room: &mut Room) -> bool {
    room.speaker.peer.heard_so_far();
    for _ in 0..2 {
        room.next += 1;
        let [word] = distinct(1, room.next).try_into().expect("one packet");
        room.marker.peer.send_opus(&word).await.expect("a packet goes out");
        while room.listener.peer.hear().await.expect("lou hears mary").payload[..] != word[..] {}
    }
    !room.speaker.peer.heard_so_far().is_empty()
}

#[tokio::test]
async fn a_move_ends_the_old_connection_and_grants_a_new_one() {
    let mut room = Room::start(GCM, WEBRTC).await;
    room.expect_heard(true, "at first").await;
    let cellar =
        room.world.owner.rest.create_channel(room.world.guild, "cellar", ChannelType::Voice).await.expect("a channel").id;

    room.edit_speaker(json!({"channel_id": cellar})).await;
    let end = room.speaker.peer.signaling.end_within(DEADLINE).await.expect("the old voice socket ends");
    assert_eq!(end, signaling::End::Closed(Some(4014)));
    let world = &room.world;
    room.speaker.follow(world, cellar, GCM).await;
    let sam = json!(room.speaker.id());
    let gone = |signal: &signaling::Signal| signal.op == 13 && signal.data["user_id"] == sam;
    room.listener.peer.signaling.next(gone).await.expect("the room hears of it by op 13");

    // In the cellar he is heard by who is there, in the old room no more.
    room.expect_heard(false, "in another room").await;
    room.edit_speaker(json!({"channel_id": room.world.voice})).await;
    room.speaker.follow(&room.world, room.world.voice, GCM).await;
    room.speaker.peer.start_speaking().await.expect("op 5 goes out");
    room.expect_heard(true, "back again").await;
}

#[tokio::test]
async fn who_is_put_out_of_the_channel_the_guild_or_the_session_is_heard_no_more() {
    let world = World::start().await;
    let mut witness = world.participant("wynn", GCM).await;
    for (way, expected) in [("disconnected", 4014), ("kicked", 4014), ("left", 4014), ("closed the session", 4014)] {
        let mut person = world.participant(&way.replace(' ', "-"), WEBRTC).await;
        let id = person.id();
        witness.session.next_named("VOICE_STATE_UPDATE", |state| state["user_id"] == json!(id)).await.expect("seen to come");
        let mut session = None;
        match way {
            "disconnected" => {
                drop(world.owner.rest.edit_member(world.guild, id, json!({"channel_id": null})).await.expect("may"))
            }
            "kicked" => world.owner.rest.kick(world.guild, id).await.expect("the owner may kick"),
            "left" => person.session.set_voice(world.guild, None, false, false).await.expect("op 4 goes out"),
            // A session that says goodbye takes its voice with it.
            _ => session = Some(person.session.close(1000).await),
        }
        let end = person.peer.signaling.end_within(DEADLINE).await.expect("the voice socket ends");
        assert_eq!(end, signaling::End::Closed(Some(expected)), "{way}");
        let state = witness.session.next_named("VOICE_STATE_UPDATE", |state| state["user_id"] == json!(id)).await;
        assert_eq!(state.expect("seen to go")["channel_id"], Value::Null, "{way}");
        drop(session);
    }
}

#[tokio::test]
async fn a_voice_socket_that_was_cut_resumes_and_media_goes_on_meanwhile() {
    let mut room = Room::start(WEBRTC, GCM).await;
    room.expect_heard(true, "at first").await;
    room.speaker.peer.signaling.cut().await;
    room.listener.peer.signaling.cut().await;
    room.expect_heard(true, "while both voice sockets are cut").await;
    room.speaker.peer.signaling.resume().await.expect("op 9 comes");
    room.listener.peer.signaling.resume().await.expect("op 9 comes");
    room.expect_heard(true, "after the resume").await;
    // Everything still works over the resumed sockets.
    let newcomer = room.world.participant("nina", GCM).await;
    let id = json!(newcomer.id());
    let comes =
        |signal: &signaling::Signal| signal.op == 11 && signal.data["user_ids"].as_array().is_some_and(|ids| ids.contains(&id));
    room.listener.peer.signaling.next(comes).await.expect("op 11 comes over the resumed socket");
}

#[tokio::test]
async fn who_lost_the_voice_socket_may_leave_and_join_anew_at_once() {
    let world = World::start().await;
    let mut listener = world.participant("lou", WEBRTC).await;
    let mut person = world.participant("ann", XCHACHA).await;
    for round in 0..10 {
        // As discord.py does it: no resume, but op 4 twice without waiting in between.
        person.peer.signaling.cut().await;
        person.session.set_voice(world.guild, None, false, false).await.expect("op 4 goes out");
        person.session.set_voice(world.guild, Some(world.voice), false, false).await.expect("op 4 goes out");
        let id = json!(person.id());
        let left = |state: &Value| state["user_id"] == id && state["channel_id"].is_null();
        person.session.next_named("VOICE_STATE_UPDATE", left).await.expect("she leaves");
        let grant = person.session.voice_grant(world.guild, world.voice).await.expect("and may come in again");
        person.peer = world.join(&grant, XCHACHA).await;
        let packets = distinct(3, round);
        person.say(&packets).await;
        listener.hears_exactly(person.id(), &packets).await;
    }
}

#[tokio::test]
async fn every_version_of_the_voice_gateway_works() {
    let world = World::start().await;
    let mut listener = world.participant("lou", GCM).await;
    for version in [None, Some(4), Some(5), Some(6), Some(7), Some(8), Some(9)] {
        let account = world.member(&format!("version{}", version.unwrap_or(0))).await;
        let mut session = world.session(&account).await;
        let grant = session.join_voice(world.guild, world.voice).await.expect("op 4 is answered");
        let mut options = world.voice_options(XCHACHA);
        options.version = version;
        let peer =
            guildhall_loadtest::voice::Peer::join(&grant, &options).await.unwrap_or_else(|error| panic!("{version:?}: {error}"));
        let speaker = Participant { account, session, peer, transport: XCHACHA };
        let packets = distinct(5, 5);
        speaker.say(&packets).await;
        listener.hears_exactly(speaker.id(), &packets).await;
        speaker.peer.leave().await;
    }
}

/// How long people come and go around a conversation.
const CHURN_PACKETS: usize = 200;

/// Three frames each: a session may send 120 a minute.
const VISITS: usize = 30;

#[tokio::test]
async fn a_conversation_is_not_disturbed_by_people_who_come_and_go() {
    let world = World::start().await;
    let speaker = world.participant("sam", GCM).await;
    let mut listeners = [world.participant("lou", XCHACHA).await, world.participant("webb", WEBRTC).await];
    let mut guests = Vec::new();
    for (n, transport) in [GCM, WEBRTC, XCHACHA, WEBRTC].into_iter().enumerate() {
        let account = world.member(&format!("guest{n}")).await;
        guests.push((world.session(&account).await, transport));
    }

    let packets = distinct(CHURN_PACKETS, 1);
    let is_over = std::cell::Cell::new(false);
    let talk = async {
        speaker.say(&packets).await;
        is_over.set(true);
    };
    let churn = async |session: &mut Gateway, transport| {
        let mut visits = 0;
        while !is_over.get() && visits < VISITS {
            let grant = session.join_voice(world.guild, world.voice).await.expect("op 4 is answered");
            let peer = world.join(&grant, transport).await;
            peer.start_speaking().await.expect("op 5 goes out");
            session.set_voice(world.guild, Some(world.voice), true, visits % 2 == 0).await.expect("op 4 goes out");
            session.set_voice(world.guild, None, false, false).await.expect("op 4 goes out");
            let id = grant.user_id;
            let left = |state: &Value| state["user_id"] == json!(id) && state["channel_id"].is_null();
            session.next_named("VOICE_STATE_UPDATE", left).await.expect("she has left");
            visits += 1;
        }
        visits
    };
    let [a, b, c, d] = guests.as_mut_slice() else { unreachable!("four guests") };
    let (a, b, c, d, ()) =
        tokio::join!(churn(&mut a.0, a.1), churn(&mut b.0, b.1), churn(&mut c.0, c.1), churn(&mut d.0, d.1), talk);
    assert!([a, b, c, d].iter().all(|visits| *visits > 1), "guests came and went: {a} {b} {c} {d}");
    for listener in &mut listeners {
        listener.hears_exactly(speaker.id(), &packets).await;
    }
}

#[tokio::test]
async fn a_bot_hears_everyone_at_once_and_a_browser_as_many_as_it_has_slots_for() {
    let world = World::start().await;
    let mut native = world.participant("lou", GCM).await;
    let mut browser = world.participant("webb", WEBRTC).await;
    let mut speakers = Vec::new();
    for n in 0..SPEAKERS {
        speakers.push(world.participant(&format!("speaker{n}"), if n % 2 == 0 { GCM } else { XCHACHA }).await);
    }
    let said: Vec<_> = (0..SPEAKERS).map(|n| distinct(100, n as u64)).collect();

    // The bot: every packet of everyone, in order. A few packets at a time, so that a server or a client that gets no CPU for
    // a second finds no more waiting than a socket's buffer holds.
    let mut heard: HashMap<UserId, Vec<Vec<u8>>> = HashMap::new();
    for first in (0..100).step_by(AT_ONCE) {
        let words = said.iter().map(|said| &said[first..first + AT_ONCE]);
        futures_util::future::join_all(speakers.iter().zip(words).map(|(speaker, words)| speaker.say(words))).await;
        for n in 0..SPEAKERS * AT_ONCE {
            let heard_one = native.peer.hear().await;
            let packet = heard_one.unwrap_or_else(|error| panic!("everything is heard, {n} after the first {first}: {error}"));
            heard.entry(packet.user.expect("the bot was told who speaks")).or_default().push(packet.payload.to_vec());
        }
    }
    for (speaker, said) in speakers.iter().zip(&said) {
        assert!(heard.get(&speaker.id()) == Some(said), "{} is heard completely", speaker.account.user.username);
    }

    // The browser: whole streams, in its slots only, and nothing that nobody said.
    let heard = browser.peer.heard_so_far();
    let mut slots: HashMap<u32, Vec<&Heard>> = HashMap::new();
    for packet in &heard {
        slots.entry(packet.ssrc).or_default().push(packet);
    }
    assert_eq!(slots.len(), SLOTS, "every slot is used");
    for packets in slots.values() {
        let is_gap_free = packets.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1));
        assert!(is_gap_free, "a slot's sequence numbers are gap-free whoever is in it");
        assert!(
            packets.iter().all(|packet| said.iter().flatten().any(|said| packet.payload[..] == said[..])),
            "only what was said"
        );
    }
    assert!(heard.len() >= SLOTS * 90, "the slots are in use nearly all the time: {} packets", heard.len());
}

/// More than a browser shows at once.
const SPEAKERS: usize = 6;

/// Packets of each speaker under way at once.
const AT_ONCE: usize = 20;

/// Of the synthetic client's offer.
const SLOTS: usize = 4;

#[tokio::test]
async fn a_second_session_of_the_same_user_takes_the_call_over() {
    let world = World::start().await;
    let mut listener = world.participant("lou", WEBRTC).await;
    let mut first = world.participant("ann", GCM).await;
    let mut session = world.session(&first.account).await;
    let grant = session.join_voice(world.guild, world.voice).await.expect("op 4 is answered");
    let end = first.peer.signaling.end_within(DEADLINE).await.expect("the first voice socket ends");
    assert_eq!(end, signaling::End::Closed(Some(4014)));
    let peer = world.join(&grant, XCHACHA).await;
    let second = Participant { account: first.account.clone(), session, peer, transport: XCHACHA };
    let packets = distinct(5, 1);
    second.say(&packets).await;
    listener.hears_exactly(second.id(), &packets).await;
    // When the first session ends, the call is not its own to end.
    first.session.close(1000).await;
    second.say(&packets).await;
    listener.hears_exactly(second.id(), &packets).await;
}

#[tokio::test]
async fn a_full_channel_lets_nobody_in_and_a_deleted_one_lets_everybody_go() {
    let world = World::start().await;
    let path = format!("/channels/{}", world.voice);
    guildhall_tests::api::patch(&world.owner.rest, &path, json!({"user_limit": 1})).await;
    let mut inside = world.participant("ann", GCM).await;
    let bob = world.member("bob").await;
    let mut session = world.session(&bob).await;
    session.set_voice(world.guild, Some(world.voice), false, false).await.expect("op 4 goes out");
    // Nothing answers, so the next event that bob sees is what is said after.
    session.set_status("idle").await.expect("op 3 goes out");
    let said = world.owner.rest.send_message(world.text, "full").await.expect("the owner may write");
    let seen = session.events_until(|event| event.data["id"] == json!(said.id)).await.expect("events go on");
    let is_voice = |event: &guildhall_loadtest::gateway::Event| {
        event.name.starts_with("VOICE_") && event.data["user_id"] != json!(inside.id())
    };
    assert!(!seen.iter().any(is_voice), "a full channel is silent: {seen:?}");
    // Who may move members may always come in.
    let mut owner = world.session(&world.owner).await;
    owner.join_voice(world.guild, world.voice).await.expect("the owner comes in all the same");

    guildhall_tests::api::delete(&world.owner.rest, &path).await;
    let end = inside.peer.signaling.end_within(DEADLINE).await.expect("the voice socket ends");
    assert_eq!(end, signaling::End::Closed(Some(4014)));
    let id = json!(inside.id());
    let left = |state: &Value| state["user_id"] == id && state["channel_id"].is_null();
    inside.session.next_named("VOICE_STATE_UPDATE", left).await.expect("the voice state is cleared");
}
