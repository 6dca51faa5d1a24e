//! Two control planes: what one knows of voice, the other shows.

use super::{claims, disconnect, heard, member_update_of, op4, participant};
use crate::event::Event;
use crate::guild::fixture::{ANN, BOB, GUILD, OWNER, member, user};
use crate::hub::core::Attached;
use crate::hub::world::{CELLAR, HALL, PARLOR, World, hello, told};
use crate::siblings::{LEASE, VOICE_LEASE};
use guildhall_protocol::fleet::{Epoch, FromNode, Sitting, ToNode};
use guildhall_protocol::gateway::{Intents, VoiceStateUpdate};
use guildhall_protocol::model::{Member, VoiceState};
use guildhall_protocol::{ChannelId, UserId};
use std::time::Duration;

/// Bob's session is at the first (`session1`), Ann's at the second.
fn worlds() -> (World, Attached, World, Attached) {
    let (mut a, mut b) = (World::named(1), World::named(2));
    let bob = a.session(BOB, Intents::ALL);
    let ann = b.session(ANN, Intents::ALL);
    a.meets(&mut b);
    told(&bob);
    told(&ann);
    (a, bob, b, ann)
}

fn state_of(world: &World, user: UserId) -> Option<VoiceState> {
    world.state().voice_state(user).cloned()
}

#[test]
fn who_joins_at_one_is_seen_at_the_other_and_by_whoever_comes_later() {
    let (mut a, bob, mut b, ann) = worlds();
    a.voice(&bob, VoiceStateUpdate { self_mute: true, ..op4(PARLOR) });
    a.meets(&mut b);
    assert_eq!(heard(&ann), ["state 3 202"]);
    assert_eq!(state_of(&a, BOB), state_of(&b, BOB));
    assert_eq!(b.node(), [], "nobody tells nodes of a mirror");
    let admission = b.admission(OWNER, Intents::ALL);
    let owner = b.core.attach(admission, b.at).unwrap();
    let create = told(&owner).into_iter().find(|(name, _)| *name == "GUILD_CREATE").unwrap().1;
    assert_eq!(create["voice_states"][0]["user_id"], BOB.to_string());
    assert_eq!(create["voice_states"][0]["session_id"], "session1");
    a.voice(&bob, op4(None));
    a.meets(&mut b);
    assert_eq!((heard(&ann), state_of(&b, BOB)), (vec!["state 3 -".to_owned()], None));
    // A control plane that comes later is told everything.
    a.voice(&bob, op4(PARLOR));
    let mut c = World::named(3);
    a.meets(&mut c);
    assert_eq!(state_of(&a, BOB), state_of(&c, BOB));
}

#[test]
fn places_are_counted_wherever_people_sit() {
    let (mut a, bob, mut b, ann) = worlds();
    let owner = a.session(OWNER, Intents::ALL);
    a.voice(&bob, op4(PARLOR));
    a.voice(&owner, op4(PARLOR));
    a.meets(&mut b);
    told(&ann);
    b.voice(&ann, op4(PARLOR));
    assert_eq!(heard(&ann), [""; 0], "two have a place there");
}

#[test]
fn somebody_has_one_place_over_all_control_planes() {
    let (mut a, bob, mut b, _) = worlds();
    let again = b.session(BOB, Intents::ALL);
    a.meets(&mut b);
    a.voice(&bob, op4(PARLOR));
    a.joined(&participant(PARLOR, BOB, 1), 5);
    a.meets(&mut b);
    told(&bob);
    told(&again);
    // The session numbers of both worlds begin at one: Ann has the first of the second.
    b.voice(&again, op4(PARLOR));
    a.meets(&mut b);
    assert_eq!(a.node(), [disconnect(participant(PARLOR, BOB, 1))]);
    assert_eq!(state_of(&a, BOB).unwrap().session_id, "session2");
    assert_eq!(state_of(&a, BOB), state_of(&b, BOB));
    assert_eq!(heard(&bob), ["state 3 202"], "he sees that he sits there by his other session");
    // The first session leaves what is not its own; the second does.
    a.voice(&bob, op4(None));
    a.meets(&mut b);
    assert!(state_of(&a, BOB).is_some() && state_of(&b, BOB).is_some());
    b.voice(&again, op4(None));
    a.meets(&mut b);
    assert!(state_of(&a, BOB).is_none() && state_of(&b, BOB).is_none());
}

#[test]
fn two_who_claim_in_the_same_moment_agree() {
    let (mut a, bob, mut b, _) = worlds();
    let again = b.session(BOB, Intents::ALL);
    a.voice(&bob, op4(PARLOR));
    b.voice(&again, op4(PARLOR));
    a.meets(&mut b);
    assert_eq!(state_of(&a, BOB), state_of(&b, BOB));
    assert_eq!(state_of(&a, BOB).unwrap().session_id, "session2", "the later name");
}

#[test]
fn a_mute_and_a_kick_are_carried_out_by_the_one_that_looks_after_the_state() {
    let (mut a, bob, mut b, ann) = worlds();
    a.voice(&bob, op4(PARLOR));
    a.meets(&mut b);
    let muted = member_update_of(Member { mute: true, ..member(BOB, &[]) });
    a.node();
    b.publish(muted.clone());
    assert!(!state_of(&b, BOB).unwrap().mute, "it is not b's to say");
    a.publish(muted);
    assert!(matches!(a.node()[..], [ToNode::SetPolicy { .. }]));
    a.meets(&mut b);
    assert!(state_of(&b, BOB).unwrap().mute);
    told(&ann);
    let gone = Event::MemberRemove { guild_id: GUILD, user: Box::new(user(BOB)) };
    b.publish(gone.clone());
    assert_eq!(heard(&ann), ["state 3 -"], "who is no member is not shown, whoever says so first");
    // What was said before the other heard of it changes nothing.
    b.core.mirror_guild(GUILD, b.at);
    assert_eq!(state_of(&b, BOB), None);
    a.publish(gone);
    a.meets(&mut b);
    assert_eq!((state_of(&a, BOB), b.core.caretaker(GUILD, BOB)), (None, None));
}

#[test]
fn a_state_waits_for_the_channel_that_it_is_in() {
    let (mut a, bob, mut b, ann) = worlds();
    const NEW: ChannelId = ChannelId::new(777);
    let create = Event::ChannelCreate { channel: Box::new(crate::guild::fixture::voice_channel(NEW, 0)) };
    a.publish(create.clone());
    a.voice(&bob, op4(NEW));
    a.meets(&mut b);
    assert_eq!(heard(&ann), [""; 0]);
    b.publish(create);
    assert_eq!(heard(&ann), ["state 3 777"]);
    assert!(b.state().channel(HALL).is_some());
}

/// Bob sits in the parlor by the word of a control plane that is not heard any more.
fn orphan() -> (World, Attached) {
    let (mut a, bob, mut b, ann) = worlds();
    a.voice(&bob, op4(PARLOR));
    a.meets(&mut b);
    // The room is somewhere, as every control plane knows.
    b.voice(&ann, op4(PARLOR));
    b.node();
    told(&ann);
    b.pass_alone(LEASE);
    assert!(state_of(&b, BOB).is_some(), "he is still heard there");
    told(&ann);
    (b, ann)
}

/// Bob joined at the first of three and his session went on at the second.
fn moved() -> (World, World, World) {
    let (mut a, bob, mut b, _) = worlds();
    let mut c = World::named(3);
    World::meet(&mut [&mut a, &mut b, &mut c]);
    a.voice(&bob, op4(PARLOR));
    World::meet(&mut [&mut a, &mut b, &mut c]);
    b.core.take_voice_of(BOB, "session1", &[GUILD].into(), b.at);
    (a, b, c)
}

#[test]
fn who_lets_go_of_a_session_that_went_on_elsewhere_takes_nothing_from_it() {
    let (mut a, mut b, mut c) = moved();
    World::meet(&mut [&mut a, &mut b, &mut c]);
    for world in [&a, &c] {
        assert_eq!((state_of(world, BOB), world.core.is_own(GUILD, BOB)), (state_of(&b, BOB), false));
        assert_eq!(world.core.caretaker(GUILD, BOB).map(|name| name.0), Some(2));
    }
    assert!(state_of(&b, BOB).is_some());
}

#[test]
fn who_came_from_a_control_plane_that_stopped_and_left_does_not_come_back_when_that_is_missed() {
    let (_, mut b, mut c) = moved();
    World::meet(&mut [&mut b, &mut c]);
    assert_eq!(c.core.caretaker(GUILD, BOB).map(|name| name.0), Some(2));
    assert!(b.move_member(BOB, None));
    World::meet(&mut [&mut b, &mut c]);
    for world in [&mut b, &mut c] {
        world.core.mirror_guild(GUILD, world.at);
        assert_eq!((state_of(world, BOB), world.core.caretaker(GUILD, BOB)), (None, None));
        world.pass_alone(LEASE);
        assert_eq!(state_of(world, BOB), None);
    }
}

fn left(channel: ChannelId, issuer: u64) -> FromNode {
    let sitting = Sitting {
        participant: participant(channel, BOB, 1),
        token_id: 9,
        epoch: Default::default(),
        issuer,
        policy: super::OPEN,
    };
    FromNode::Left(sitting)
}

#[test]
fn who_was_left_behind_by_a_dead_control_plane_goes_when_the_connection_does() {
    let (mut b, ann) = orphan();
    let line = b.line.clone();
    b.core.from_node(&line, left(CELLAR, 1), b.at);
    assert!(state_of(&b, BOB).is_some(), "another connection");
    b.core.from_node(&line, left(PARLOR, 1), b.at);
    assert_eq!((heard(&ann), state_of(&b, BOB)), (vec!["state 3 -".to_owned()], None));
}

#[test]
fn who_was_left_behind_by_a_dead_control_plane_goes_after_a_while() {
    let (mut b, ann) = orphan();
    b.pass_alone(VOICE_LEASE);
    assert_eq!((heard(&ann), state_of(&b, BOB)), (vec!["state 3 -".to_owned()], None));
    let as_of_ms = b.at.unix_ms;
    assert_eq!(b.node(), [ToNode::Disconnect { participant: participant(PARLOR, BOB, 1), as_of_ms }]);
}

#[test]
fn who_was_left_behind_by_a_dead_control_plane_can_be_put_out_and_not_moved() {
    let (mut b, ann) = orphan();
    assert!(b.core.caretaker(GUILD, BOB).is_none() && !b.core.is_own(GUILD, BOB));
    assert!(b.move_member(BOB, None));
    assert_eq!((heard(&ann), state_of(&b, BOB)), (vec!["state 3 -".to_owned()], None));
    b.core.mirror_guild(GUILD, b.at);
    assert_eq!(state_of(&b, BOB), None, "for good");
}

#[test]
fn nobody_who_may_no_longer_speak_goes_on_speaking_because_a_control_plane_died() {
    let (mut b, ann) = orphan();
    b.publish(member_update_of(Member { nick: Some("Bobby".to_owned()), ..member(BOB, &[]) }));
    assert!(state_of(&b, BOB).is_some());
    b.publish(member_update_of(Member { mute: true, ..member(BOB, &[]) }));
    assert_eq!((heard(&ann), state_of(&b, BOB)), (vec!["state 3 -".to_owned()], None));
    let as_of_ms = b.at.unix_ms;
    assert_eq!(b.node(), [ToNode::Disconnect { participant: participant(PARLOR, BOB, 1), as_of_ms }]);
}

#[test]
fn an_heir_takes_over_what_nodes_report_and_nobody_notices() {
    let (mut b, ann) = orphan();
    let mut heir = World::named(4);
    heir.core.siblings.meet(crate::siblings::words::Name(4), 1);
    let sitting = Sitting {
        participant: participant(PARLOR, BOB, 1),
        token_id: 9,
        epoch: guildhall_protocol::fleet::Epoch(77),
        issuer: 0,
        policy: super::OPEN,
    };
    let line = heir.node_arrives(crate::hub::world::hello("eu-1", "eu", "eu:1", 1), vec![sitting]);
    assert!(heir.errands(&line).iter().all(|message| !matches!(message, ToNode::Disconnect { .. })));
    heir.meets(&mut b);
    assert_eq!((heard(&ann), b.core.caretaker(GUILD, BOB).map(|name| name.0)), (vec![], Some(4)));
    assert_eq!(state_of(&b, BOB).unwrap().session_id, "session1");
    b.pass_alone(VOICE_LEASE - LEASE);
    assert!(state_of(&b, BOB).is_some(), "the heir is the one to look after him");
}

#[test]
fn tokens_are_of_the_control_plane_that_one_is_connected_to() {
    let (mut a, bob, mut b, ann) = worlds();
    a.voice(&bob, op4(PARLOR));
    a.meets(&mut b);
    b.voice(&ann, op4(PARLOR));
    a.meets(&mut b);
    for (session, who, number) in [(&bob, BOB, 1), (&ann, ANN, 1)] {
        let servers: Vec<_> = told(session).into_iter().filter(|(name, _)| *name == "VOICE_SERVER_UPDATE").collect();
        assert_eq!(servers.len(), 1, "nobody else's token");
        assert_eq!(claims(&servers[0].1).participant, participant(PARLOR, who, number));
    }
    assert_eq!((a.core.caretaker(GUILD, ANN).map(|it| it.0), b.core.caretaker(GUILD, BOB).map(|it| it.0)), (Some(2), Some(1)));
}

#[test]
fn a_room_of_others_people_is_moved_by_the_other_and_its_old_node_is_left_in_peace_meanwhile() {
    let (mut a, bob, mut b, _) = worlds();
    let [eu, us] = ["eu", "us"].map(|name| b.node_arrives(hello(name, name, &format!("{name}:1"), 1), Vec::new()));
    a.voice(&bob, op4(PARLOR));
    a.meets(&mut b);
    b.node_says(&eu, FromNode::Opened { room: PARLOR, epoch: Epoch(70) });
    for line in [&eu, &us] {
        b.errands(line);
    }
    // An operator's word, which every control plane follows.
    b.core.drain_node(&eu.node, Duration::from_secs(60), b.at).unwrap();
    let lives = |b: &mut World, time: u64| {
        for _ in 0..time * 2 {
            b.pass(Duration::from_millis(500));
            [&eu, &us].iter().for_each(|line| b.node_says(line, FromNode::Alive));
            b.core.tick_fleet(1, b.at);
        }
    };
    lives(&mut b, 11);
    assert_eq!(b.core.fleet.lease(PARLOR), Some((&eu.node, Epoch(70))), "it is not forgotten");
    b.node_says(&us, FromNode::Opened { room: PARLOR, epoch: Epoch(71) });
    lives(&mut b, 8);
    assert_eq!(b.errands(&eu), [], "the old node forwards until its time is over");
    lives(&mut b, 3);
    assert_eq!(b.errands(&eu), [ToNode::Close { room: PARLOR, epoch: Epoch(71) }]);
    let now = b.core.fleet.millis(b.at.now);
    let drain = b.core.fleet.node_views(now).into_iter().find(|view| view.id == eu.node).and_then(|view| view.drain).unwrap();
    assert_eq!((drain.moved, drain.moving, drain.waiting), (1, 0, 0));
    assert_eq!(b.errands(&us), []);
}
