mod mirrors;

use super::{Door, OFFER_REPEATS};
use crate::event::Event;
use crate::guild::fixture::{ANN, BOB, GUILD, NOW, OWNER, member, role, user, voice_channel};
use crate::guild::{self};
use crate::hub::core::{Attached, RESUME_WINDOW};
use crate::hub::world::{CELLAR, HALL, KEEPER, PARLOR, PARLOR_LIMIT, World, everyone_may, snapshot, told};
use guildhall_protocol::fleet::{FromNode, NodeId, Participant, Policy, Sitting, ToNode};
use guildhall_protocol::gateway::{Intents, VoiceStateUpdate};
use guildhall_protocol::model::{Channel, Member, timestamp};
use guildhall_protocol::voice_token::{LIFETIME_MS, VoiceClaims, VoiceKey};
use guildhall_protocol::{ChannelId, GuildId, Permissions, UserId};
use serde_json::Value;

const OPEN: Policy = Policy {
    can_speak: true,
    self_mute: false,
    is_deafened: false,
    is_priority: false,
    bitrate_bps: Some(64_000),
    can_stream: false,
};

fn key() -> VoiceKey {
    VoiceKey::new(&[7; 32])
}

fn op4(channel_id: impl Into<Option<ChannelId>>) -> VoiceStateUpdate {
    VoiceStateUpdate { guild_id: GUILD, channel_id: channel_id.into(), ..VoiceStateUpdate::default() }
}

impl World {
    fn voice(&mut self, session: &Attached, update: VoiceStateUpdate) {
        self.voice_with(session, update, 5);
    }

    fn voice_with(&mut self, session: &Attached, update: VoiceStateUpdate, token_id: u64) {
        let key = key();
        self.core.update_voice(session.key, update, &Door { key: &key, public_host: None, token_id }, self.at);
    }

    fn move_member(&mut self, user: UserId, channel: Option<ChannelId>) -> bool {
        let key = key();
        self.core.move_member(GUILD, user, channel, &Door { key: &key, public_host: Some("voice.example"), token_id: 6 }, self.at)
    }

    /// A connection was opened with the token of this number.
    fn joined(&mut self, participant: &Participant, token_id: u64) -> Vec<ToNode> {
        let (line, sitting) = (self.line.clone(), self.sitting(participant, token_id));
        self.core.from_node(&line, FromNode::Joined(sitting), self.at);
        self.node()
    }

    fn left(&mut self, participant: &Participant, token_id: u64) {
        let (line, sitting) = (self.line.clone(), self.sitting(participant, token_id));
        self.core.from_node(&line, FromNode::Left(sitting), self.at);
    }

    /// As the room's present node would report it.
    fn sitting(&self, participant: &Participant, token_id: u64) -> Sitting {
        let epoch = self.core.fleet.lease(participant.channel_id).map(|(_, epoch)| epoch).unwrap_or_default();
        Sitting { participant: participant.clone(), token_id, epoch, issuer: 0, policy: OPEN }
    }

    fn state(&self) -> &guild::State {
        self.core.guild(GUILD).expect("loaded")
    }

    fn channel_of(&self, user: UserId) -> Option<ChannelId> {
        self.state().voice_state(user).and_then(|state| state.channel_id)
    }
}

fn member_update_of(member: Member) -> Event {
    Event::MemberUpdate { guild_id: GUILD, member: Box::new(member) }
}

fn participant(channel_id: ChannelId, user_id: UserId, session: u32) -> Participant {
    Participant { guild_id: GUILD, channel_id, user_id, session_id: format!("session{session}") }
}

fn disconnect(participant: Participant) -> ToNode {
    ToNode::Disconnect { participant, as_of_ms: NOW }
}

fn set_policy(participant: Participant, policy: Policy) -> ToNode {
    ToNode::SetPolicy { participant, policy }
}

/// Voice events of a session: `state <user> <channel or ->` and `server <claims' channel>`.
fn heard(session: &Attached) -> Vec<String> {
    let word = |(name, d): (&str, Value)| match name {
        "VOICE_STATE_UPDATE" => Some(format!("state {} {}", d["user_id"].as_str()?, d["channel_id"].as_str().unwrap_or("-"))),
        "VOICE_SERVER_UPDATE" => Some(format!("server {}", claims(&d).participant.channel_id)),
        _ => None,
    };
    told(session).into_iter().filter_map(word).collect()
}

fn claims(d: &Value) -> VoiceClaims {
    key().verify(d["token"].as_str().expect("a token"), NOW).expect("signed by us")
}

/// Owner, Ann (a keeper) and Bob with sessions 1, 2 and 3.
fn world() -> (World, [Attached; 3]) {
    let mut world = World::new();
    let sessions = [OWNER, ANN, BOB].map(|user| world.session(user, Intents::ALL));
    sessions.iter().for_each(|session| {
        told(session);
    });
    (world, sessions)
}

#[test]
fn joining_tells_the_guild_and_lets_the_session_in() {
    let (mut world, [_, ann, bob]) = world();
    world.voice(&bob, VoiceStateUpdate { self_mute: true, ..op4(PARLOR) });
    assert_eq!(heard(&ann), ["state 3 202"]);
    let told = told(&bob);
    assert_eq!(told.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["VOICE_STATE_UPDATE", "VOICE_SERVER_UPDATE"]);
    let (state, server) = (&told[0].1, &told[1].1);
    assert_eq!(
        (&state["session_id"], &state["self_mute"], &state["suppress"]),
        (&"session3".into(), &true.into(), &false.into())
    );
    assert_eq!(state["member"]["user"]["id"], "3");
    assert_eq!((&server["endpoint"], &server["guild_id"]), (&"localhost:8080".into(), &GUILD.to_string().into()));
    let expected = VoiceClaims {
        participant: participant(PARLOR, BOB, 3),
        policy: Policy { self_mute: true, ..OPEN },
        token_id: 5,
        node: NodeId::from("local"),
        epoch: world.sitting(&participant(PARLOR, BOB, 3), 5).epoch,
        issuer: 0,
        expires_at_ms: NOW + LIFETIME_MS,
    };
    assert_eq!(claims(server), expected);
    // The node asks with what it has; the answer is the state of now.
    assert_eq!(world.node(), []);
    assert_eq!(
        world.joined(&participant(PARLOR, BOB, 3), 5),
        [set_policy(participant(PARLOR, BOB, 3), Policy { self_mute: true, ..OPEN })]
    );
    assert_eq!(world.joined(&participant(PARLOR, ANN, 2), 5), [disconnect(participant(PARLOR, ANN, 2))], "she never joined");
}

#[test]
fn what_is_not_allowed_is_met_with_silence() {
    let (mut world, [owner, ann, bob]) = world();
    world.voice(&bob, op4(CELLAR));
    world.voice(&bob, op4(HALL));
    world.voice(&bob, op4(ChannelId::new(999)));
    world.voice(&bob, VoiceStateUpdate { guild_id: GuildId::new(9), ..op4(PARLOR) });
    world.voice(&bob, op4(None));
    assert_eq!(heard(&bob), [""; 0]);
    let everyone = role(GUILD.everyone(), everyone_may().without(Permissions::CONNECT));
    world.publish(Event::RoleUpdate { guild_id: GUILD, role: Box::new(everyone) });
    world.voice(&bob, op4(PARLOR));
    world.voice(&ann, op4(PARLOR));
    assert_eq!([&owner, &ann, &bob].map(|session| heard(session).len()), [0; 3]);
}

#[test]
fn a_full_channel_takes_only_those_who_may_move_members() {
    let (mut world, [owner, ann, bob]) = world();
    assert_eq!(PARLOR_LIMIT, 2);
    world.voice(&ann, op4(PARLOR));
    world.voice(&bob, op4(PARLOR));
    let late = UserId::new(4);
    world.publish(Event::MemberAdd { guild_id: GUILD, member: Box::new(member(late, &[])) });
    let late = world.session(late, Intents::ALL);
    world.voice(&late, op4(PARLOR));
    assert_eq!(heard(&late), [""; 0]);
    // Who is inside already may change flags there.
    world.voice(&bob, VoiceStateUpdate { self_deaf: true, ..op4(PARLOR) });
    assert!(world.state().voice_state(BOB).is_some_and(|state| state.self_deaf));
    world.voice(&owner, op4(PARLOR));
    assert_eq!(world.channel_of(OWNER), Some(PARLOR));
}

#[test]
fn new_flags_reach_guild_and_node_and_the_same_again_is_a_rejoin() {
    let (mut world, [_, ann, bob]) = world();
    world.voice(&bob, op4(PARLOR));
    world.joined(&participant(PARLOR, BOB, 3), 5);
    heard(&ann);
    heard(&bob);
    world.voice(&bob, VoiceStateUpdate { self_mute: true, self_deaf: true, ..op4(PARLOR) });
    assert_eq!([heard(&ann), heard(&bob)], [["state 3 202"], ["state 3 202"]], "no new token");
    let policy = Policy { self_mute: true, is_deafened: true, ..OPEN };
    assert_eq!(world.node(), [set_policy(participant(PARLOR, BOB, 3), policy)]);

    world.voice(&bob, VoiceStateUpdate { self_mute: true, self_deaf: true, ..op4(PARLOR) });
    assert_eq!([heard(&ann), heard(&bob)], [vec![], vec!["state 3 202".to_owned(), "server 202".to_owned()]]);
    // The connection before it ends now, or when the new one is there already: neither is a leave.
    let bob_there = participant(PARLOR, BOB, 3);
    world.left(&bob_there, 5);
    assert_eq!(world.joined(&bob_there, 6), [set_policy(bob_there.clone(), policy)]);
    world.left(&bob_there, 5);
    assert_eq!(world.channel_of(BOB), Some(PARLOR));
    world.left(&bob_there, 6);
    assert_eq!(world.channel_of(BOB), None);
    assert_eq!(heard(&ann), ["state 3 -"]);
}

/// The token in the newest VOICE_SERVER_UPDATE.
fn token(session: &Attached) -> String {
    let server = told(session).into_iter().rfind(|(name, _)| *name == "VOICE_SERVER_UPDATE");
    server.expect("a server").1["token"].as_str().expect("a token").to_owned()
}

#[test]
fn who_asks_again_before_the_token_is_used_is_given_the_same_some_times() {
    let (mut world, [_, _, bob]) = world();
    world.voice_with(&bob, op4(PARLOR), 5);
    let first = token(&bob);
    for number in 0..u64::from(OFFER_REPEATS) {
        world.voice_with(&bob, op4(PARLOR), 6 + number);
        assert_eq!(token(&bob), first, "asked again {number} times before");
    }
    // Somebody who asks so often was refused with it.
    world.voice_with(&bob, op4(PARLOR), 20);
    let second = token(&bob);
    assert_ne!(second, first);
    world.joined(&participant(PARLOR, BOB, 3), 20);
    world.voice_with(&bob, op4(PARLOR), 21);
    let third = token(&bob);
    assert_ne!(third, second, "it is used");

    // One that has little time left is no use, and one that was for another room neither.
    world.at.unix_ms += LIFETIME_MS / 2 + 1;
    world.voice_with(&bob, op4(PARLOR), 22);
    let fourth = token(&bob);
    assert_ne!(fourth, third);
    assert!(world.move_member(BOB, None));
    world.voice_with(&bob, op4(PARLOR), 23);
    assert_ne!(token(&bob), fourth);
}

#[test]
fn moving_ends_the_old_connection_and_opens_a_new_door() {
    let (mut world, [owner, ann, bob]) = world();
    world.voice(&ann, op4(PARLOR));
    world.joined(&participant(PARLOR, ANN, 2), 5);
    heard(&bob);
    heard(&ann);
    world.voice(&ann, op4(CELLAR));
    assert_eq!(heard(&ann), ["state 2 203", "server 203"]);
    assert_eq!(heard(&bob), ["state 2 -"], "Bob does not see the cellar");
    assert_eq!(world.node(), [disconnect(participant(PARLOR, ANN, 2))]);
    world.left(&participant(PARLOR, ANN, 2), 5);
    assert_eq!(world.channel_of(ANN), Some(CELLAR), "the old connection's end is no leave");

    heard(&owner);
    assert!(world.move_member(ANN, Some(PARLOR)));
    assert_eq!(heard(&ann), ["state 2 202", "server 202"]);
    assert_eq!(world.node(), [disconnect(participant(CELLAR, ANN, 2))]);
    assert!(world.move_member(ANN, None));
    assert_eq!(heard(&ann), ["state 2 -"]);
    assert_eq!(world.node(), [disconnect(participant(PARLOR, ANN, 2))]);
    assert!(!world.move_member(ANN, None), "not connected any more");
    world.voice(&ann, op4(PARLOR));
    assert!(!world.move_member(ANN, Some(HALL)), "no voice channel");
}

#[test]
fn a_configured_host_is_where_clients_are_sent() {
    let (mut world, [_, ann, _]) = world();
    world.voice(&ann, op4(PARLOR));
    told(&ann);
    world.move_member(ANN, Some(CELLAR));
    assert_eq!(told(&ann)[1].1["endpoint"], "voice.example");
}

#[test]
fn another_session_of_the_user_takes_over_and_only_it_may_leave() {
    let (mut world, [_, _, bob]) = world();
    world.voice(&bob, op4(PARLOR));
    let second = world.session(BOB, Intents::ALL);
    heard(&bob);
    world.voice(&second, op4(PARLOR));
    assert_eq!(heard(&second), ["state 3 202", "server 202"]);
    assert_eq!(world.node(), [disconnect(participant(PARLOR, BOB, 3))]);
    world.voice(&bob, op4(None));
    assert_eq!(world.channel_of(BOB), Some(PARLOR), "the first session is not connected any more");
    world.core.detach(&bob, false, world.at);
    assert_eq!(world.channel_of(BOB), Some(PARLOR));
    world.voice(&second, op4(None));
    assert_eq!(world.channel_of(BOB), None);
    assert_eq!(world.node(), [disconnect(participant(PARLOR, BOB, 4))]);
}

#[test]
fn whoever_can_no_longer_be_there_is_disconnected() {
    let channel_delete = Event::ChannelDelete { channel: Box::new(voice_channel(PARLOR, PARLOR_LIMIT)) };
    let kick = Event::MemberRemove { guild_id: GUILD, user: Box::new(user(BOB)) };
    let timeout = Member { communication_disabled_until: Some(timestamp(NOW + 60_000)), ..member(BOB, &[]) };
    let timeout = Event::MemberUpdate { guild_id: GUILD, member: Box::new(timeout) };
    for event in [channel_delete, kick, timeout, Event::GuildDelete { guild_id: GUILD }] {
        let (mut world, [_, ann, bob]) = world();
        world.voice(&bob, op4(PARLOR));
        heard(&ann);
        world.publish(event.clone());
        assert_eq!(world.node(), [disconnect(participant(PARLOR, BOB, 3))], "{event:?}");
        assert_eq!(heard(&ann), ["state 3 -"], "{event:?}");
    }
}

#[test]
fn a_gateway_session_that_ends_takes_its_voice_along() {
    let (mut world, [_, ann, bob]) = world();
    world.voice(&bob, op4(PARLOR));
    heard(&ann);
    world.core.detach(&bob, true, world.at);
    assert_eq!(world.node(), [], "it may come back");
    world.pass(RESUME_WINDOW);
    let as_of_ms = NOW + RESUME_WINDOW.as_millis() as u64;
    assert_eq!(world.node(), [ToNode::Disconnect { participant: participant(PARLOR, BOB, 3), as_of_ms }]);
    assert_eq!(heard(&ann), ["state 3 -"]);
}

#[test]
fn server_mute_and_lost_rights_silence_at_the_node() {
    let (mut world, [_, ann, bob]) = world();
    world.voice(&bob, op4(PARLOR));
    world.joined(&participant(PARLOR, BOB, 3), 5);
    heard(&ann);
    let muted = Member { mute: true, deaf: true, ..member(BOB, &[]) };
    world.publish(Event::MemberUpdate { guild_id: GUILD, member: Box::new(muted) });
    let silenced = Policy { can_speak: false, is_deafened: true, ..OPEN };
    assert_eq!(world.node(), [set_policy(participant(PARLOR, BOB, 3), silenced)]);
    assert_eq!(heard(&ann), ["state 3 202"]);
    world.publish(Event::MemberUpdate { guild_id: GUILD, member: Box::new(member(BOB, &[])) });
    assert_eq!(world.node(), [set_policy(participant(PARLOR, BOB, 3), OPEN)]);

    let no_speak = |bits| Event::RoleUpdate { guild_id: GUILD, role: Box::new(role(GUILD.everyone(), bits)) };
    world.publish(no_speak(everyone_may().without(Permissions::SPEAK)));
    assert_eq!(world.node(), [set_policy(participant(PARLOR, BOB, 3), Policy { can_speak: false, ..OPEN })]);
    assert!(world.state().voice_state(BOB).is_some_and(|state| state.suppress));
    world.publish(no_speak(everyone_may() | Permissions::PRIORITY_SPEAKER));
    assert_eq!(world.node(), [set_policy(participant(PARLOR, BOB, 3), Policy { is_priority: true, ..OPEN })]);
    world.publish(no_speak(everyone_may() | Permissions::STREAM));
    assert_eq!(world.node(), [set_policy(participant(PARLOR, BOB, 3), Policy { can_stream: true, ..OPEN })]);
    world.publish(no_speak(everyone_may()));
    world.node();
    let parlor = world.state().channel(PARLOR).cloned().unwrap();
    world.publish(Event::ChannelUpdate { channel: Box::new(Channel { bitrate: Some(96_000), ..parlor }) });
    let rich = Policy { bitrate_bps: Some(96_000), ..OPEN };
    assert_eq!(world.node(), [set_policy(participant(PARLOR, BOB, 3), rich)]);
    // Something that concerns nobody's voice is not sent.
    world.publish(Event::MemberUpdate { guild_id: GUILD, member: Box::new(member(BOB, &[KEEPER])) });
    assert_eq!(world.node(), []);
}

#[test]
fn a_person_is_in_one_place_and_a_bot_in_one_per_guild() {
    let other = GuildId::new(101 << 22);
    let lounge = ChannelId::new(700);
    for is_bot in [false, true] {
        let (mut world, _) = world();
        let mut second = snapshot(other, vec![member(BOB, &[])]);
        second.channels = vec![guildhall_protocol::model::Channel { guild_id: other, ..voice_channel(lounge, 0) }];
        world.load(second);
        world.core.close_user_sessions(BOB, world.at);
        let mut admission = world.admission(BOB, Intents::ALL);
        admission.user.bot = is_bot;
        let bob = world.attach(admission);
        world.voice(&bob, op4(PARLOR));
        world.voice(&bob, VoiceStateUpdate { guild_id: other, ..op4(lounge) });
        assert_eq!(world.channel_of(BOB), is_bot.then_some(PARLOR));
        assert!(world.core.guild(other).is_some_and(|state| state.voice_state(BOB).is_some()));
    }
}

#[test]
fn a_channel_that_appears_shows_who_is_in_it() {
    let (mut world, [_, ann, bob]) = world();
    world.voice(&ann, op4(CELLAR));
    assert_eq!(heard(&bob), [""; 0]);
    world.publish(Event::MemberUpdate { guild_id: GUILD, member: Box::new(member(BOB, &[KEEPER])) });
    assert_eq!(heard(&bob), ["state 2 203"]);
}
