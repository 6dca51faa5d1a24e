use super::super::world::{HALL, KEEPER, VAULT, World, message, names, told, vault};
use crate::event::Event;
use crate::guild::fixture::{ANN, BOB, GUILD, OWNER, member, role};
use guildhall_protocol::gateway::Intents;
use guildhall_protocol::model::{Thread, ThreadMember};
use guildhall_protocol::{ChannelId, Permissions, UserId};
use serde_json::json;

const THREAD: ChannelId = ChannelId::new(500);

fn thread(parent: ChannelId, kind: u8, is_archived: bool) -> Box<Thread> {
    let thread = json!({
        "id": THREAD, "type": kind, "guild_id": GUILD, "parent_id": parent, "owner_id": OWNER, "name": "thread",
        "last_message_id": null, "last_pin_timestamp": null, "rate_limit_per_user": 0, "flags": 0, "message_count": 0,
        "member_count": 0, "total_message_sent": 0,
        "thread_metadata": {
            "archived": is_archived, "archive_timestamp": "2026-01-01T00:00:00.000000+00:00", "auto_archive_duration": 60,
            "locked": false, "create_timestamp": "2026-01-01T00:00:00.000000+00:00",
        },
    });
    Box::new(serde_json::from_value(thread).expect("a thread"))
}

fn own(user_id: UserId) -> ThreadMember {
    let join_timestamp = "2026-01-01T00:00:00.000000+00:00".to_owned();
    ThreadMember { id: THREAD, user_id, join_timestamp, flags: 0, member: None }
}

fn create(parent: ChannelId, kind: u8, members: &[UserId]) -> Event {
    Event::ThreadCreate { thread: thread(parent, kind, false), members: members.iter().copied().map(own).collect() }
}

fn members_update(added: &[UserId], removed: &[UserId]) -> Event {
    let added = added.iter().copied().map(own).collect();
    Event::ThreadMembersUpdate { guild_id: GUILD, thread_id: THREAD, member_count: 1, added, removed: removed.to_vec() }
}

/// What Ann (a keeper) and Bob are told of each event, one after the other.
fn check(script: Vec<(Event, &[&str], &[&str])>) {
    let mut world = World::new();
    let sessions = [ANN, BOB].map(|user| world.session(user, Intents::GUILDS | Intents::GUILD_MESSAGES));
    for session in &sessions {
        told(session);
    }
    for (event, ann, bob) in script {
        let shown = format!("{event:?}");
        world.publish(event);
        assert_eq!(sessions.each_ref().map(names), [ann, bob], "{shown}");
    }
}

fn said() -> Event {
    Event::MessageCreate { guild_id: Some(GUILD), message: message(THREAD, OWNER, &[]) }
}

#[test]
fn threads_are_told_to_who_sees_their_channel() {
    check(vec![
        (create(VAULT, 11, &[OWNER]), &["THREAD_CREATE 500"], &[]),
        (said(), &["MESSAGE_CREATE 500"], &[]),
        (Event::ThreadUpdate { thread: thread(VAULT, 11, false), woken: None }, &["THREAD_UPDATE 500"], &[]),
        (Event::ThreadUpdate { thread: thread(VAULT, 11, true), woken: None }, &["THREAD_UPDATE 500"], &[]),
        (Event::ThreadUpdate { thread: thread(VAULT, 11, false), woken: Some(vec![own(ANN)]) }, &["THREAD_UPDATE 500"], &[]),
        (Event::ThreadDelete { thread: thread(VAULT, 11, false) }, &["THREAD_DELETE 500"], &[]),
    ]);
}

#[test]
fn private_threads_are_told_to_who_is_in_them() {
    check(vec![
        (create(HALL, 12, &[OWNER, ANN]), &["THREAD_CREATE 500"], &[]),
        (said(), &["MESSAGE_CREATE 500"], &[]),
        (members_update(&[BOB], &[]), &[], &["THREAD_CREATE 500", "THREAD_MEMBERS_UPDATE 500"]),
        (Event::ThreadUpdate { thread: thread(HALL, 12, false), woken: None }, &["THREAD_UPDATE 500"], &["THREAD_UPDATE 500"]),
        (members_update(&[], &[ANN]), &["THREAD_MEMBERS_UPDATE 500", "THREAD_DELETE 500"], &[]),
        (Event::ThreadUpdate { thread: thread(HALL, 12, true), woken: None }, &[], &["THREAD_UPDATE 500"]),
        (Event::ThreadUpdate { thread: thread(HALL, 12, false), woken: Some(vec![own(ANN)]) }, &["THREAD_UPDATE 500"], &[]),
        (Event::ThreadDelete { thread: thread(HALL, 12, false) }, &["THREAD_DELETE 500"], &[]),
    ]);
}

#[test]
fn a_new_thread_shows_each_their_own_membership() {
    let mut world = World::new();
    let (ann, bob) = (world.session(ANN, Intents::GUILDS), world.session(BOB, Intents::GUILDS | Intents::GUILD_MEMBERS));
    told(&ann);
    told(&bob);
    world.publish(create(HALL, 11, &[ANN]));
    let (for_ann, for_bob) = (told(&ann), told(&bob));
    assert_eq!((&for_ann[0].1["newly_created"], &for_bob[0].1["newly_created"]), (&json!(true), &json!(true)));
    assert_eq!((&for_ann[0].1["member"]["user_id"], for_bob[0].1.get("member")), (&json!(ANN), None));
    // Whoever asked for members hears of all, the others of themselves.
    world.publish(members_update(&[OWNER], &[]));
    assert_eq!((names(&ann), told(&bob)[0].1["added_members"][0]["member"]["user"]["id"].clone()), (vec![], json!(OWNER)));
    // The greeting lists it, with the reader's own membership.
    let admission = world.admission(ANN, Intents::ALL);
    let again = world.core.attach(admission, world.at).expect("room for one");
    let greeting = told(&again);
    assert_eq!(greeting[1].1["threads"][0]["member"]["user_id"], json!(ANN));
}

#[test]
fn threads_appear_and_vanish_with_the_rights_to_see_them() {
    let mut world = World::new();
    let bob = world.session(BOB, Intents::GUILDS);
    told(&bob);
    world.publish(create(VAULT, 11, &[ANN]));
    assert_eq!(names(&bob), [""; 0]);
    world.publish(Event::ChannelUpdate { channel: Box::new(vault(false)) });
    let appeared = told(&bob);
    assert_eq!(appeared.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["CHANNEL_CREATE", "THREAD_LIST_SYNC"]);
    assert_eq!((&appeared[1].1["channel_ids"], &appeared[1].1["threads"][0]["id"]), (&json!([VAULT]), &json!(THREAD)));
    assert_eq!(appeared[1].1["members"], json!([]));
    world.publish(Event::ChannelUpdate { channel: Box::new(vault(true)) });
    assert_eq!(names(&bob), ["CHANNEL_DELETE 201"]);
}

#[test]
fn who_begins_to_manage_threads_sees_the_private_ones() {
    let mut world = World::new();
    let bob = world.session(BOB, Intents::GUILDS);
    told(&bob);
    world.publish(Event::RoleUpdate { guild_id: GUILD, role: Box::new(role(KEEPER, Permissions::MANAGE_THREADS)) });
    world.publish(create(HALL, 12, &[ANN]));
    told(&bob);
    world.publish(Event::MemberUpdate { guild_id: GUILD, member: Box::new(member(BOB, &[KEEPER])) });
    let news = names(&bob);
    assert!(news.contains(&"THREAD_CREATE 500".to_owned()), "{news:?}");
    world.publish(Event::MemberUpdate { guild_id: GUILD, member: Box::new(member(BOB, &[])) });
    let news = names(&bob);
    assert!(news.contains(&"THREAD_DELETE 500".to_owned()), "{news:?}");
}
