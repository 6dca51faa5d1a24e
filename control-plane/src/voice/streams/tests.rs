use super::{Entrance, Refused};
use crate::event::{Ended, Event};
use crate::guild::fixture::{BOB, GUILD, NOW, OWNER, member, role, user};
use crate::hub::core::Attached;
use crate::hub::world::{CELLAR, PARLOR, World, everyone_may, hello, told};
use crate::store::StoredStreamKey;
use crate::voice::Door;
use crate::voice::rooms::UNCLAIMED;
use guildhall_protocol::fleet::{FromNode, NodeId, Participant, Sitting, ToNode, Way};
use guildhall_protocol::gateway::{Intents, VoiceStateUpdate};
use guildhall_protocol::model::{Member, timestamp};
use guildhall_protocol::voice_token::{VoiceClaims, VoiceKey};
use guildhall_protocol::{ChannelId, Permissions, StreamKeyId, UserId};
use std::time::Duration;

const HASH: [u8; 32] = [9; 32];

fn signing() -> VoiceKey {
    VoiceKey::new(&[7; 32])
}

fn key(user: UserId, channel: ChannelId) -> StoredStreamKey {
    StoredStreamKey {
        id: StreamKeyId::new(1),
        user_id: user,
        channel_id: channel,
        guild_id: GUILD,
        name: "OBS".to_owned(),
        created_at: NOW,
        hash: HASH,
    }
}

impl World {
    fn opens(&mut self, key: &StoredStreamKey, way: Way, host: &str) -> Result<Entrance, Refused> {
        let signing = signing();
        let door = Door { key: &signing, public_host: Some("hall.example"), token_id: 5 };
        self.core.open_stream(key, way, host, &[1; 16], &door, self.at)
    }

    /// Bob's program is in, and the node has said so.
    fn bobs_program(&mut self, way: Way) -> Participant {
        let entrance = self.opens(&key(BOB, PARLOR), way, "hall.example").expect("he may");
        let claims = signing().verify(&entrance.token, self.at.unix_ms).expect("signed by us");
        let VoiceClaims { participant, policy, token_id, epoch, issuer, .. } = claims;
        let sitting = Sitting { participant: participant.clone(), token_id, epoch, issuer, policy };
        let line = self.line.clone();
        self.core.from_node(&line, FromNode::Joined(sitting), self.at);
        self.node();
        participant
    }

    fn is_there(&self, user: UserId) -> bool {
        self.core.guild(GUILD).is_some_and(|state| state.voice_state(user).is_some())
    }

    fn everyone_may(&mut self, bits: Permissions) {
        self.publish(Event::RoleUpdate { guild_id: GUILD, role: Box::new(role(GUILD.everyone(), bits)) });
    }

    fn joins(&mut self, session: &Attached) {
        let update = VoiceStateUpdate { guild_id: GUILD, channel_id: Some(PARLOR), ..VoiceStateUpdate::default() };
        let signing = signing();
        let door = Door { key: &signing, public_host: None, token_id: 6 };
        self.core.update_voice(session.key, update, &door, self.at);
    }
}

fn streamers() -> Permissions {
    everyone_may() | Permissions::STREAM
}

#[test]
fn a_program_takes_its_users_place_and_is_shown_as_them() {
    let mut world = World::new();
    world.everyone_may(streamers());
    let (owner, bob) = (world.session(OWNER, Intents::ALL), world.session(BOB, Intents::ALL));
    world.joins(&bob);
    let page = Participant { guild_id: GUILD, channel_id: PARLOR, user_id: BOB, session_id: "session2".to_owned() };
    told(&owner);
    let entrance = world.opens(&key(BOB, PARLOR), Way::Whip, "hall.example").expect("he may");
    assert_eq!(entrance.endpoint, None, "he is there already");
    let claims = signing().verify(&entrance.token, NOW).expect("signed by us");
    let session_id = Way::Whip.session_id(&HASH, &[1; 16]);
    assert_eq!(claims.participant, Participant { session_id: session_id.clone(), ..page.clone() });
    assert_eq!((claims.node, claims.token_id), (NodeId::from("local"), 5));
    assert_eq!((claims.policy.can_speak, claims.policy.can_stream, claims.policy.is_deafened), (true, true, true));
    assert_eq!(world.node(), [ToNode::Disconnect { participant: page, as_of_ms: NOW }]);
    let shown = told(&owner);
    let [("VOICE_STATE_UPDATE", state)] = &shown[..] else { panic!("{shown:?}") };
    assert_eq!(
        (&state["session_id"], &state["self_video"], &state["self_deaf"]),
        (&session_id.into(), &true.into(), &true.into())
    );
    // And the page takes it back.
    world.joins(&bob);
    assert_eq!(world.node(), [ToNode::Disconnect { participant: claims.participant, as_of_ms: NOW }]);
}

#[test]
fn whoever_watches_sends_nothing_and_is_sent_to_where_the_room_is() {
    let mut world = World::new();
    world.everyone_may(streamers());
    let entrance = world.opens(&key(BOB, PARLOR), Way::Whep, "10.0.0.1:8080").expect("he may");
    assert_eq!(entrance.endpoint.as_deref(), Some("hall.example"), "the process has a name of its own");
    let policy = signing().verify(&entrance.token, NOW).expect("signed by us").policy;
    assert_eq!((policy.can_speak, policy.can_stream, policy.is_deafened), (false, false, false));

    let mut world = World::new();
    let local = world.line.clone();
    world.node_says(&local, FromNode::Goodbye);
    world.node_arrives(hello("eu", "eu", "eu.example:443", 1), Vec::new());
    let entrance = world.opens(&key(BOB, PARLOR), Way::Whep, "hall.example").expect("he may");
    assert_eq!(entrance.endpoint.as_deref(), Some("eu.example:443"));
}

#[test]
fn a_key_is_no_more_than_its_owners_rights() {
    let stranger = UserId::new(99);
    let cases = [
        ("no STREAM", BOB, PARLOR, Way::Whip, everyone_may(), Err(Refused::MayNot)),
        ("no CONNECT", BOB, PARLOR, Way::Whep, everyone_may().without(Permissions::CONNECT), Err(Refused::MayNot)),
        ("hidden", BOB, CELLAR, Way::Whep, everyone_may(), Err(Refused::Hidden)),
        ("no member", stranger, PARLOR, Way::Whep, everyone_may(), Err(Refused::Hidden)),
        ("to watch", BOB, PARLOR, Way::Whep, everyone_may(), Ok(())),
        ("to publish", BOB, PARLOR, Way::Whip, streamers(), Ok(())),
    ];
    for (what, user, channel, way, everyone, expected) in cases {
        let mut world = World::new();
        world.everyone_may(everyone);
        assert_eq!(world.opens(&key(user, channel), way, "hall.example").map(drop), expected, "{what}");
        assert_eq!(world.is_there(user), expected.is_ok(), "{what}");
    }
}

#[test]
fn a_full_channel_and_a_fleet_without_nodes_let_nobody_in() {
    let mut world = World::new();
    for user in [OWNER, UserId::new(4)] {
        world.publish(Event::MemberAdd { guild_id: GUILD, member: Box::new(member(user, &[])) });
        let session = world.session(user, Intents::ALL);
        world.joins(&session);
    }
    assert_eq!(world.opens(&key(BOB, PARLOR), Way::Whep, "hall.example"), Err(Refused::Full));
    let mut world = World::new();
    let local = world.line.clone();
    world.node_says(&local, FromNode::Goodbye);
    assert_eq!(world.opens(&key(BOB, PARLOR), Way::Whep, "hall.example"), Err(Refused::NoNode));
    assert!(!world.is_there(BOB));
}

#[test]
fn a_program_goes_with_its_key_its_right_and_its_owner() {
    let deleted = Event::Access { user_id: BOB, ended: Ended::These(vec![HASH]) };
    let another = Event::Access { user_id: BOB, ended: Ended::These(vec![[8; 32]]) };
    let locked_out = Event::Access { user_id: BOB, ended: Ended::All };
    let rights = |bits| Event::RoleUpdate { guild_id: GUILD, role: Box::new(role(GUILD.everyone(), bits)) };
    let kick = Event::MemberRemove { guild_id: GUILD, user: Box::new(user(BOB)) };
    let timeout = Member { communication_disabled_until: Some(timestamp(NOW + 60_000)), ..member(BOB, &[]) };
    let timeout = Event::MemberUpdate { guild_id: GUILD, member: Box::new(timeout) };
    let cases = [
        (Way::Whip, deleted, true),
        (Way::Whip, another, false),
        (Way::Whip, locked_out, true),
        (Way::Whip, rights(everyone_may()), true),
        (Way::Whip, rights(streamers().without(Permissions::SPEAK)), false),
        (Way::Whep, rights(everyone_may()), false),
        (Way::Whep, rights(streamers().without(Permissions::CONNECT)), true),
        (Way::Whep, kick, true),
        (Way::Whep, timeout, true),
    ];
    for (way, event, goes) in cases {
        let mut world = World::new();
        world.everyone_may(streamers());
        let participant = world.bobs_program(way);
        world.publish(event.clone());
        assert_eq!(world.is_there(BOB), !goes, "{way:?} {event:?}");
        let gone = ToNode::Disconnect { participant, as_of_ms: NOW };
        assert_eq!(world.node().contains(&gone), goes, "{way:?} {event:?}");
    }
}

#[test]
fn people_keep_their_place_when_a_key_goes() {
    let mut world = World::new();
    let bob = world.session(BOB, Intents::ALL);
    world.joins(&bob);
    world.publish(Event::Access { user_id: BOB, ended: Ended::These(vec![HASH]) });
    assert!(world.is_there(BOB));
}

#[test]
fn a_program_that_never_arrives_leaves_and_one_that_did_stays() {
    for arrives in [false, true] {
        let mut world = World::new();
        if arrives {
            world.bobs_program(Way::Whep);
        } else {
            world.opens(&key(BOB, PARLOR), Way::Whep, "hall.example").expect("he may");
        }
        let line = world.line.clone();
        for _ in 0..UNCLAIMED.as_secs() {
            assert!(world.is_there(BOB));
            world.pass(Duration::from_secs(1));
            world.node_says(&line, FromNode::Alive);
            world.core.tick_fleet(1, world.at);
        }
        assert_eq!(world.is_there(BOB), arrives);
    }
}

#[test]
fn who_came_by_the_page_meanwhile_is_not_mistaken_for_a_program_that_never_arrived() {
    let mut world = World::new();
    let bob = world.session(BOB, Intents::ALL);
    world.opens(&key(BOB, PARLOR), Way::Whep, "hall.example").expect("he may");
    world.joins(&bob);
    let line = world.line.clone();
    for _ in 0..=UNCLAIMED.as_secs() {
        world.pass(Duration::from_secs(1));
        world.node_says(&line, FromNode::Alive);
        world.core.tick_fleet(1, world.at);
    }
    assert!(world.is_there(BOB));
}

#[test]
fn a_program_that_is_moved_or_put_out_is_gone() {
    for channel in [Some(CELLAR), None] {
        let mut world = World::new();
        let participant = world.bobs_program(Way::Whep);
        let signing = signing();
        let door = Door { key: &signing, public_host: None, token_id: 6 };
        assert!(world.core.move_member(GUILD, BOB, channel, &door, world.at));
        assert!(!world.is_there(BOB), "nobody can tell it where to go");
        assert_eq!(world.node(), [ToNode::Disconnect { participant, as_of_ms: NOW }]);
    }
}
