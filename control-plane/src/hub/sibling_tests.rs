//! Two control planes: who is online at one is seen at the other.

use super::world::{HALL, VAULT, World, names, snapshot, told};
use crate::gateway::mailbox::Dispatch;
use crate::guild::fixture::{ANN, BOB, GUILD, OWNER, member};
use crate::hub::core::{Attached, OFFLINE_GRACE};
use crate::siblings::{LEASE, VOICE_LEASE};
use guildhall_protocol::gateway::{GuildSubscription, Intents, PresenceUpdate, RequestMembers, Status, WantedMembers};
use serde_json::{Value, json};

fn worlds() -> (World, World) {
    (World::named(1), World::named(2))
}

fn presence(status: Status) -> PresenceUpdate {
    PresenceUpdate { status, activities: vec![json!({ "name": "chess", "type": 0 })] }
}

/// Statuses that the session is told, with whose they are.
fn statuses(session: &Attached) -> Vec<(String, String)> {
    let presences = told(session).into_iter().filter(|(name, _)| *name == "PRESENCE_UPDATE");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    presences.map(|(_, d)| (text(&d["user"]["id"]), text(&d["status"]))).collect()
}

fn is(user: guildhall_protocol::UserId, status: &str) -> Vec<(String, String)> {
    vec![(user.to_string(), status.to_owned())]
}

#[test]
fn who_comes_changes_and_goes_is_seen_elsewhere() {
    let (mut a, mut b) = worlds();
    let ann = b.session(ANN, Intents::ALL);
    told(&ann);
    let bob = a.session(BOB, Intents::ALL);
    a.meets(&mut b);
    assert_eq!(statuses(&ann), is(BOB, "online"));
    assert_eq!(told(&bob).iter().filter(|(name, _)| *name == "PRESENCE_UPDATE").count(), 1, "she is there");
    a.pass(crate::presence::INTERVAL);
    a.core.set_presence(bob.key, presence(Status::Dnd), a.at);
    a.meets(&mut b);
    let told_of = told(&ann);
    assert_eq!((&told_of[0].1["status"], &told_of[0].1["activities"][0]["name"]), (&json!("dnd"), &json!("chess")));
    a.core.detach(&bob, false, a.at);
    a.meets(&mut b);
    assert_eq!(statuses(&ann), []);
    a.pass(OFFLINE_GRACE);
    a.meets(&mut b);
    assert_eq!(statuses(&ann), is(BOB, "offline"));
    assert!(!b.core.accounts.contains_key(&BOB));
}

#[test]
fn sessions_at_both_are_one_presence() {
    let (mut a, mut b) = worlds();
    let owner = b.session(OWNER, Intents::ALL);
    let at_a = a.session(BOB, Intents::ALL);
    let at_b = b.session(BOB, Intents::ALL);
    b.core.set_presence(at_b.key, presence(Status::Idle), b.at);
    a.meets(&mut b);
    b.pass(crate::presence::INTERVAL);
    b.meets(&mut a);
    told(&owner);
    a.core.detach(&at_a, false, a.at);
    a.pass(OFFLINE_GRACE);
    assert!(a.core.is_online(BOB), "he is at b");
    a.meets(&mut b);
    assert_eq!(statuses(&owner), is(BOB, "idle"), "the device that said more is gone");
    assert!(a.core.departed.is_empty(), "he has not gone");
    b.core.detach(&at_b, false, b.at);
    b.pass(OFFLINE_GRACE);
    a.meets(&mut b);
    assert_eq!(b.core.departed, [BOB]);
    assert!(!a.core.is_online(BOB) && !a.core.accounts.contains_key(&BOB));
    assert_eq!(statuses(&owner), is(BOB, "offline"));
}

#[test]
fn lists_greetings_and_chunks_show_who_is_online_elsewhere() {
    let (mut a, mut b) = worlds();
    a.session(BOB, Intents::ALL);
    a.meets(&mut b);
    let mut admission = b.admission(ANN, Intents::ALL);
    admission.application = None;
    let ann = b.core.attach(admission, b.at).unwrap();
    let create = told(&ann).into_iter().find(|(name, _)| *name == "GUILD_CREATE").unwrap().1;
    let online = |presences: &Value| {
        presences.as_array().unwrap().iter().map(|it| it["user"]["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(online(&create["presences"]).contains(&BOB.to_string()));
    assert_eq!(b.core.online_count(GUILD), 2);
    let wanted = WantedMembers::Ids(vec![BOB]);
    let request = RequestMembers { guild_id: GUILD, wanted, presences: true, nonce: None };
    let mut list = b.core.member_list(ann.key, request).unwrap();
    let chunk: Value = serde_json::from_slice(&b.core.next_chunk(&mut list).unwrap().body).unwrap();
    assert_eq!(online(&chunk["presences"]), [BOB.to_string()]);
    b.core.subscribe(ann.key, GuildSubscription { guild_id: GUILD, channels: Some(vec![(HALL, vec![(0, 99)])]) }, b.at);
    let list = told(&ann).into_iter().find(|(name, _)| *name == "GUILD_MEMBER_LIST_UPDATE").unwrap().1;
    assert_eq!((&list["online_count"], &list["member_count"]), (&json!(2), &json!(3)));
    let bob = list["ops"][0]["items"].as_array().unwrap().iter().find(|item| item["member"]["user"]["id"] == BOB.to_string());
    assert_eq!(bob.unwrap()["member"]["presence"]["status"], "online");
    a.pass_alone(LEASE);
}

#[test]
fn a_guild_that_is_loaded_later_knows_who_is_online() {
    let (mut a, mut b) = worlds();
    let other = guildhall_protocol::GuildId::new(101 << 22);
    a.load(snapshot(other, vec![member(OWNER, &[]), member(BOB, &[])]));
    a.session(BOB, Intents::ALL);
    a.meets(&mut b);
    b.load(snapshot(other, vec![member(OWNER, &[]), member(BOB, &[])]));
    assert_eq!(b.core.online_count(other), 1);
}

#[test]
fn a_control_plane_that_dies_takes_its_people_with_it_unless_they_have_come_here() {
    let (mut a, mut b) = worlds();
    let ann = b.session(ANN, Intents::ALL);
    a.session(BOB, Intents::ALL);
    a.session(OWNER, Intents::ALL);
    a.meets(&mut b);
    told(&ann);
    b.pass_alone(LEASE / 2);
    b.session(BOB, Intents::ALL);
    told(&ann);
    b.pass_alone(LEASE / 2);
    assert_eq!(statuses(&ann), is(OWNER, "offline"), "and nobody is told of Bob, who came here");
    assert_eq!(b.core.departed, [OWNER], "their temporary memberships end");
    assert!(b.core.is_online(BOB));
    b.pass_alone(VOICE_LEASE);
    assert_eq!(b.core.siblings.count(), 0);
}

#[test]
fn whoever_is_invisible_is_not_shown_and_yet_known_to_be_there() {
    let (mut a, mut b) = worlds();
    let ann = b.session(ANN, Intents::ALL);
    let mut admission = a.admission(BOB, Intents::ALL);
    admission.presence = presence(Status::Invisible);
    a.attach(admission);
    a.meets(&mut b);
    assert_eq!(statuses(&ann), []);
    assert!(!b.core.is_online(BOB) && b.core.accounts.contains_key(&BOB), "members who are here are not pruned");
}

#[test]
fn typing_reaches_who_may_read() {
    let (mut a, mut b) = worlds();
    let (ann, bob) = (b.session(ANN, Intents::ALL), b.session(BOB, Intents::ALL));
    told(&ann);
    told(&bob);
    a.core.typing(Some(GUILD), VAULT, OWNER, a.at);
    a.meets(&mut b);
    assert_eq!(names(&ann), ["TYPING_START 201"]);
    assert_eq!(names(&bob), [""; 0]);
}

#[test]
fn what_is_for_one_account_reaches_its_sessions_wherever_they_are() {
    let (mut a, mut b) = worlds();
    let dispatch = Dispatch::new("INTERACTION_CREATE", &json!({ "id": "1" }));
    assert!(!a.core.tell_account(BOB, Some(GUILD), &dispatch, a.at));
    let bob = b.session(BOB, Intents::ALL);
    told(&bob);
    a.meets(&mut b);
    assert!(a.core.tell_account(BOB, Some(GUILD), &dispatch, a.at));
    a.meets(&mut b);
    assert_eq!(told(&bob), [("INTERACTION_CREATE", json!({ "id": "1" }))]);
}
