mod threads;

use super::core::{
    MAX_GUILDS_PER_SHARD, MAX_RESUMES, MAX_SESSIONS_PER_ACCOUNT, Missing, OFFLINE_GRACE, RESUME_WINDOW, RESUMES_WINDOW,
};
use super::members::LISTING_INTERVAL;
use super::world::{HALL, KEEPER, PARLOR, VAULT, World, ending, message, names, snapshot, told, vault};
use crate::event::{Event, Topic};
use crate::gateway::link::Ending;
use crate::gateway::mailbox::{MAX_BACKLOG, MAX_DETACHED};
use crate::gateway::session::Refusal;
use crate::guild::fixture::{ANN, BOB, GUILD, OWNER, channel, member, role, user};
use crate::presence;
use guildhall_protocol::gateway::{CloseCode, Intents, PresenceUpdate, RequestMembers, Shard, Status, WantedMembers};
use guildhall_protocol::model::{AuditAction, AuditEntry, ReactionEmoji};
use guildhall_protocol::{ChannelId, GuildId, MessageId, Permissions, RoleId, Snowflake, UserId};
use serde_json::json;
use std::time::Duration;

const OTHER: GuildId = GuildId::new(101 << 22);
const STRANGER: UserId = UserId::new(9);

fn member_update(id: UserId, roles: &[RoleId]) -> Event {
    Event::MemberUpdate { guild_id: GUILD, member: Box::new(member(id, roles)) }
}

fn message_create(channel: ChannelId, author: UserId) -> Event {
    Event::MessageCreate { guild_id: Some(GUILD), message: message(channel, author, &[]) }
}

fn reaction(channel_id: ChannelId) -> Event {
    let (message_id, emoji) = (MessageId::new(900), Box::new(ReactionEmoji::unicode("👍".to_owned())));
    Event::ReactionAdd { guild_id: Some(GUILD), channel_id, message_id, user_id: BOB, author_id: OWNER, emoji }
}

fn pins(channel_id: ChannelId) -> Event {
    Event::ChannelPinsUpdate { guild_id: Some(GUILD), channel_id, last_pin_timestamp: None }
}

/// What Ann (a keeper) and Bob are told of an event, each with a session that asks for `intents`.
fn check(intents: Intents, event: Event, ann: &[&str], bob: &[&str]) {
    let mut world = World::new();
    let sessions = [world.session(ANN, intents), world.session(BOB, intents)];
    sessions.iter().for_each(|session| {
        told(session);
    });
    world.publish(event.clone());
    assert_eq!(sessions.map(|session| names(&session)), [ann, bob], "{event:?} with {intents:?}");
}

#[test]
fn events_reach_who_asked_for_them_and_may_know() {
    let bulk = || Event::MessageDeleteBulk { guild_id: Some(GUILD), channel_id: VAULT, message_ids: vec![MessageId::new(1)] };
    let ban = || Event::BanAdd { guild_id: GUILD, user: Box::new(user(STRANGER)) };
    let everything_but = |intents: Intents| Intents::ALL.without(intents);
    for (intent, event, ann, bob) in [
        (Intents::GUILD_MESSAGES, message_create(HALL, OWNER), &["MESSAGE_CREATE 200"][..], &["MESSAGE_CREATE 200"][..]),
        (Intents::GUILD_MESSAGES, message_create(VAULT, OWNER), &["MESSAGE_CREATE 201"], &[]),
        (Intents::GUILD_MESSAGES, bulk(), &["MESSAGE_DELETE_BULK 201"], &[]),
        (Intents::GUILD_MESSAGE_REACTIONS, reaction(HALL), &["MESSAGE_REACTION_ADD 200"], &["MESSAGE_REACTION_ADD 200"]),
        (Intents::GUILD_MESSAGE_REACTIONS, reaction(VAULT), &["MESSAGE_REACTION_ADD 201"], &[]),
        (Intents::GUILDS, pins(HALL), &["CHANNEL_PINS_UPDATE 200"], &["CHANNEL_PINS_UPDATE 200"]),
        (Intents::GUILDS, pins(VAULT), &["CHANNEL_PINS_UPDATE 201"], &[]),
        (Intents::GUILDS, Event::ChannelDelete { channel: Box::new(vault(true)) }, &["CHANNEL_DELETE 201"], &[]),
        (Intents::GUILDS, Event::ChannelUpdate { channel: Box::new(vault(true)) }, &["CHANNEL_UPDATE 201"], &[]),
        (
            Intents::GUILDS,
            Event::ChannelCreate { channel: Box::new(channel(ChannelId::new(7), vec![])) },
            &["CHANNEL_CREATE 7"],
            &["CHANNEL_CREATE 7"],
        ),
        (
            Intents::GUILDS,
            Event::RoleCreate { guild_id: GUILD, role: Box::new(role(RoleId::new(8), Permissions::NONE)) },
            &["GUILD_ROLE_CREATE"],
            &["GUILD_ROLE_CREATE"],
        ),
        (Intents::GUILDS, Event::GuildDelete { guild_id: GUILD }, &["GUILD_DELETE 419430400"], &["GUILD_DELETE 419430400"]),
        (
            Intents::GUILD_MEMBERS,
            Event::MemberAdd { guild_id: GUILD, member: Box::new(member(STRANGER, &[])) },
            &["GUILD_MEMBER_ADD 9"],
            &["GUILD_MEMBER_ADD 9"],
        ),
        (
            Intents::GUILD_MEMBERS,
            Event::MemberRemove { guild_id: GUILD, user: Box::new(user(OWNER)) },
            &["GUILD_MEMBER_REMOVE 1"],
            &["GUILD_MEMBER_REMOVE 1"],
        ),
        // Nobody here may ban or read the audit log, or manage the channel that an invite leads to.
        (Intents::GUILD_MODERATION, ban(), &[], &[]),
        (Intents::GUILD_INVITES, Event::InviteDelete { guild_id: GUILD, channel_id: HALL, code: "c".to_owned() }, &[], &[]),
        (Intents::GUILD_WEBHOOKS, Event::WebhooksUpdate { guild_id: GUILD, channel_id: HALL }, &[], &[]),
    ] {
        check(intent, event.clone(), ann, bob);
        check(everything_but(intent), event, &[], &[]);
    }
}

#[test]
fn reactions_are_told_with_who_what_and_where() {
    let mut world = World::new();
    let (ann, bob) = (world.session(ANN, Intents::GUILD_MESSAGE_REACTIONS), world.session(BOB, Intents::GUILD_MESSAGE_REACTIONS));
    let emoji = || Box::new(ReactionEmoji::unicode("👍".to_owned()));
    let (guild_id, channel_id, message_id) = (Some(GUILD), VAULT, MessageId::new(900));
    world.publish(reaction(VAULT));
    world.publish(Event::ReactionRemove { guild_id, channel_id, message_id, user_id: BOB, emoji: emoji() });
    world.publish(Event::ReactionRemoveEmoji { guild_id, channel_id, message_id, emoji: emoji() });
    world.publish(Event::ReactionRemoveAll { guild_id, channel_id, message_id });
    assert_eq!(names(&bob), [""; 0], "he does not see the vault");
    let mut told = told(&ann);
    let kinds: Vec<_> = told.iter().map(|(name, _)| *name).collect();
    let all = ["ADD", "REMOVE", "REMOVE_EMOJI", "REMOVE_ALL"].map(|kind| format!("MESSAGE_REACTION_{kind}"));
    assert_eq!(kinds, all);
    let member = told[0].1.as_object_mut().and_then(|d| d.remove("member")).expect("the member");
    assert_eq!(member["user"]["id"], json!(BOB));
    let emoji = json!({ "id": null, "name": "👍" });
    let place = json!({ "guild_id": GUILD, "channel_id": VAULT, "message_id": "900" });
    let with = |more: serde_json::Value| {
        let mut d = place.clone();
        d.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        d
    };
    let add = json!({
        "user_id": BOB, "message_author_id": OWNER, "emoji": emoji, "burst": false, "burst_colors": [], "type": 0,
    });
    assert_eq!(told[0].1, with(add));
    assert_eq!(told[1].1, with(json!({ "user_id": BOB, "emoji": emoji, "burst": false, "type": 0 })));
    assert_eq!(told[2].1, with(json!({ "emoji": emoji })));
    assert_eq!(told[3].1, place);
}

#[test]
fn who_may_ban_hears_of_bans_and_who_manages_a_channel_of_its_invites_and_webhooks() {
    let mut world = World::new();
    let owner = world.session(OWNER, Intents::GUILD_MODERATION | Intents::GUILD_INVITES | Intents::GUILD_WEBHOOKS);
    world.publish(Event::BanAdd { guild_id: GUILD, user: Box::new(user(STRANGER)) });
    world.publish(Event::BanRemove { guild_id: GUILD, user: Box::new(user(STRANGER)) });
    world.publish(Event::InviteDelete { guild_id: GUILD, channel_id: HALL, code: "c".to_owned() });
    world.publish(Event::WebhooksUpdate { guild_id: GUILD, channel_id: HALL });
    assert_eq!(names(&owner), ["GUILD_BAN_ADD 9", "GUILD_BAN_REMOVE 9", "INVITE_DELETE 200", "WEBHOOKS_UPDATE 200"]);
}

#[test]
fn a_new_line_of_the_audit_log_is_told_to_who_may_read_the_log() {
    let mut world = World::new();
    let owner = world.session(OWNER, Intents::GUILD_MODERATION);
    let uninterested = world.session(OWNER, Intents::ALL.without(Intents::GUILD_MODERATION));
    let bob = world.session(BOB, Intents::ALL);
    let entry = AuditEntry {
        id: Snowflake(5),
        action_type: AuditAction::MEMBER_KICK,
        user_id: Some(ANN),
        target_id: Some(STRANGER.into()),
        changes: Vec::new(),
        options: serde_json::Map::new(),
        reason: Some("spam".to_owned()),
    };
    world.publish(Event::AuditEntryCreate { guild_id: GUILD, entry: Box::new(entry) });
    let d = json!({ "guild_id": GUILD, "id": "5", "action_type": 20, "user_id": ANN, "target_id": STRANGER, "reason": "spam" });
    assert_eq!(told(&owner), [("GUILD_AUDIT_LOG_ENTRY_CREATE", d)]);
    assert!(told(&bob).is_empty() && !names(&uninterested).iter().any(|name| name.starts_with("GUILD_AUDIT")));
}

#[test]
fn an_account_that_stays_away_is_reported_once() {
    let mut world = World::new();
    let (bob, second) = (world.session(BOB, Intents::ALL), world.session(BOB, Intents::ALL));
    world.core.detach(&bob, false, world.at);
    world.pass(OFFLINE_GRACE);
    assert_eq!(world.core.departed, [], "another session is open");
    world.core.detach(&second, false, world.at);
    assert_eq!(world.core.departed, [], "a page that is being reloaded comes back");
    world.pass(OFFLINE_GRACE);
    assert_eq!(std::mem::take(&mut world.core.departed), [BOB]);
    world.pass(OFFLINE_GRACE);
    assert_eq!(world.core.departed, []);
}

#[test]
fn ready_comes_first_and_then_each_guild_with_what_is_visible() {
    let mut world = World::new();
    world.session(ANN, Intents::ALL);
    let admission = world.admission(BOB, Intents::ALL);
    let bob = world.core.attach(admission, world.at).expect("room for one");
    let told = told(&bob);
    assert_eq!(told.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["READY", "GUILD_CREATE"]);
    let (ready, guild) = (&told[0].1, &told[1].1);
    assert_eq!(ready["guilds"], json!([{ "id": GUILD, "unavailable": true }]));
    assert_eq!(ready["user"]["id"], json!(BOB));
    assert_eq!(ready["user"]["mfa_enabled"], json!(false));
    assert_eq!(ready["application"]["id"], json!("3"));
    assert_eq!((&ready["v"], &ready["shard"]), (&json!(10), &json!([0, 1])));
    for key in ["session_id", "resume_gateway_url", "private_channels", "relationships", "session_type"] {
        assert!(!ready[key].is_null(), "READY lacks {key}");
    }
    let ids = |list: &str, of: fn(&serde_json::Value) -> &serde_json::Value| -> Vec<String> {
        guild[list].as_array().expect("a list").iter().map(|value| of(value).as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids("channels", |channel| &channel["id"]), ["200", "202"], "Bob sees neither vault nor cellar");
    assert_eq!(ids("members", |member| &member["user"]["id"]), ["1", "2", "3"]);
    assert_eq!(ids("presences", |presence| &presence["user"]["id"]), ["2", "3"], "the owner is offline");
    assert_eq!((&guild["unavailable"], &guild["large"], &guild["member_count"]), (&json!(false), &json!(false), &json!(3)));
    assert_eq!(guild["roles"].as_array().map(Vec::len), Some(2));
    for key in ["threads", "stage_instances", "guild_scheduled_events", "voice_states", "joined_at", "emojis", "stickers"] {
        assert!(!guild[key].is_null(), "GUILD_CREATE lacks {key}");
    }
}

#[test]
fn a_large_guild_comes_without_those_who_are_away() {
    let mut world = World::new();
    let people = (1_000..1_100).map(|id| member(UserId::new(id), &[]));
    world.load(snapshot(OTHER, people.chain([member(ANN, &[])]).collect()));
    for id in 1_000..1_080 {
        world.session(UserId::new(id), Intents::NONE);
    }
    let mut listed = |intents| {
        let mut admission = world.admission(ANN, intents);
        admission.user.bot = true;
        let ann = world.core.attach(admission, world.at).expect("room for one");
        let told = told(&ann);
        let guild = told.iter().map(|(_, d)| d).find(|d| d["id"] == json!(OTHER)).expect("its GUILD_CREATE").clone();
        assert_eq!((&guild["large"], &guild["member_count"]), (&json!(true), &json!(101)));
        guild["members"].as_array().map(Vec::len)
    };
    assert_eq!(listed(Intents::GUILDS), Some(1), "oneself");
    assert_eq!(listed(Intents::GUILDS | Intents::GUILD_PRESENCES), Some(51), "oneself and as many online as the threshold");
}

#[test]
fn a_shard_hears_of_its_guilds_only() {
    let mut world = World::new();
    world.load(snapshot(OTHER, vec![member(ANN, &[])]));
    let shards = [0, 1].map(|id| {
        let admission = world.admission(ANN, Intents::ALL);
        let shard = Shard { id, count: 2 };
        world.core.attach(super::core::Admission { shard, ..admission }, world.at).expect("room for one")
    });
    let guilds = shards.each_ref().map(|shard| told(shard)[0].1["guilds"].clone());
    assert_eq!(guilds, [json!([{ "id": GUILD, "unavailable": true }]), json!([{ "id": OTHER, "unavailable": true }])]);
    world.publish(message_create(HALL, BOB));
    assert_eq!(shards.map(|shard| names(&shard).into_iter().filter(|name| name.starts_with("MESSAGE")).count()), [1, 0]);
}

#[test]
fn a_session_without_the_guilds_intent_gets_no_guild() {
    let mut world = World::new();
    let admission = world.admission(BOB, Intents::GUILD_MESSAGES);
    let bob = world.core.attach(admission, world.at).expect("room for one");
    assert_eq!(names(&bob), ["READY 3"]);
}

#[test]
fn rights_that_change_make_channels_appear_and_vanish() {
    let mut world = World::new();
    let (ann, bob) = (world.session(ANN, Intents::GUILDS), world.session(BOB, Intents::GUILDS));
    world.publish(member_update(BOB, &[KEEPER]));
    assert_eq!(names(&bob), ["GUILD_MEMBER_UPDATE 3", "CHANNEL_CREATE 201", "CHANNEL_CREATE 203"]);
    assert_eq!(names(&ann), [""; 0], "she sees nothing new and did not ask for members");
    world.publish(Event::RoleDelete { guild_id: GUILD, role_id: KEEPER });
    for session in [&ann, &bob] {
        assert_eq!(names(session), ["GUILD_ROLE_DELETE", "CHANNEL_DELETE 201", "CHANNEL_DELETE 203"]);
    }
    world.publish(Event::ChannelUpdate { channel: Box::new(vault(false)) });
    assert_eq!(names(&bob), ["CHANNEL_CREATE 201"]);
    world.publish(Event::ChannelUpdate { channel: Box::new(vault(false)) });
    assert_eq!(names(&bob), ["CHANNEL_UPDATE 201"]);
    world.publish(Event::ChannelUpdate { channel: Box::new(vault(true)) });
    assert_eq!(names(&bob), ["CHANNEL_DELETE 201"]);
    let everyone = role(GUILD.everyone(), Permissions::ADMINISTRATOR);
    world.publish(Event::RoleUpdate { guild_id: GUILD, role: Box::new(everyone) });
    assert_eq!(names(&bob), ["GUILD_ROLE_UPDATE", "CHANNEL_CREATE 201", "CHANNEL_CREATE 203"]);
}

#[test]
fn joining_brings_the_guild_and_leaving_takes_it() {
    let mut world = World::new();
    let (ann, stranger) = (world.session(ANN, Intents::ALL), world.session(STRANGER, Intents::ALL));
    world.publish(Event::MemberAdd { guild_id: GUILD, member: Box::new(member(STRANGER, &[])) });
    assert_eq!(names(&stranger), ["GUILD_CREATE 419430400"]);
    assert_eq!(names(&ann), ["GUILD_MEMBER_ADD 9", "PRESENCE_UPDATE 9"]);
    world.publish(message_create(HALL, STRANGER));
    assert_eq!(names(&stranger), ["MESSAGE_CREATE 200"]);
    told(&ann);
    world.publish(Event::MemberRemove { guild_id: GUILD, user: Box::new(user(STRANGER)) });
    assert_eq!(told(&stranger), [("GUILD_DELETE", json!({ "id": GUILD, "unavailable": false }))]);
    assert_eq!(names(&ann), ["GUILD_MEMBER_REMOVE 9"]);
    world.publish(message_create(HALL, ANN));
    assert_eq!(names(&stranger), [""; 0]);
}

#[test]
fn a_guild_that_nobody_was_in_is_loaded_when_someone_online_joins() {
    let mut world = World::new();
    let bob = world.session(BOB, Intents::ALL);
    let join = Event::MemberAdd { guild_id: OTHER, member: Box::new(member(BOB, &[])) };
    let join = world.number(join);
    assert_eq!(world.try_publish(join.clone()), Err(Missing::Guild(OTHER)));
    let mut loaded = snapshot(OTHER, vec![member(OWNER, &[]), member(BOB, &[])]);
    loaded.seq = join.seq;
    world.load(loaded);
    assert_eq!(names(&bob), ["GUILD_CREATE 423624704"]);
    assert_eq!(world.try_publish(join), Ok(()));
    assert_eq!(names(&bob), [""; 0], "the snapshot contained it");
    // Nobody here cares who else joins elsewhere.
    let elsewhere = world.number(Event::MemberAdd { guild_id: GuildId::new(5), member: Box::new(member(STRANGER, &[])) });
    assert_eq!(world.try_publish(elsewhere), Ok(()));
}

#[test]
fn what_is_committed_while_a_guild_loads_is_not_lost() {
    let mut world = World::new();
    let loaded = snapshot(OTHER, vec![member(ANN, &[]), member(BOB, &[])]);
    world.core.begin_loading(OTHER);
    world.core.arrive(ANN);
    world.publish(Event::MemberRemove { guild_id: OTHER, user: Box::new(user(BOB)) });
    world.core.end_loading(Some(loaded), world.at);
    let state = world.core.guild(OTHER).expect("loaded");
    assert!(state.is_member(ANN) && !state.is_member(BOB));
}

#[test]
fn events_are_told_once_and_a_gap_asks_for_what_is_missing() {
    let mut world = World::new();
    let bob = world.session(BOB, Intents::GUILDS | Intents::GUILD_MESSAGES);
    let roles: Vec<_> = (0..4)
        .map(|n| {
            world.number(Event::RoleCreate { guild_id: GUILD, role: Box::new(role(RoleId::new(400 + n), Permissions::NONE)) })
        })
        .collect();
    assert_eq!(world.try_publish(roles[0].clone()), Ok(()));
    assert_eq!(world.try_publish(roles[2].clone()), Err(Missing::Events(Topic::Guild(GUILD), 1)));
    for role in [&roles[1], &roles[2], &roles[1], &roles[3]] {
        assert_eq!(world.try_publish(role.clone()), Ok(()));
    }
    assert_eq!(names(&bob).len(), 4);

    let messages: Vec<_> = (0..3).map(|_| world.number(message_create(HALL, ANN))).collect();
    assert_eq!(world.try_publish(messages[0].clone()), Ok(()));
    assert_eq!(world.try_publish(messages[2].clone()), Err(Missing::Events(Topic::Channel(HALL), 1)));
    world.core.give_up(Topic::Channel(HALL), world.at);
    assert_eq!(ending(&bob), Some(Ending::Reconnect), "what is lost for good cannot be told, so the session starts anew");
}

#[test]
fn content_is_blank_for_bots_that_did_not_ask_unless_it_is_theirs_or_for_them() {
    let mut world = World::new();
    let (bot, asking) =
        (world.session(ANN, Intents::GUILD_MESSAGES), world.session(BOB, Intents::GUILD_MESSAGES | Intents::MESSAGE_CONTENT));
    let mut contents = |author, mentions: &[UserId]| {
        let message = message(HALL, author, mentions);
        world.publish(Event::MessageCreate { guild_id: Some(GUILD), message: message.clone() });
        world.publish(Event::MessageUpdate { guild_id: Some(GUILD), message });
        [&bot, &asking].map(|session| {
            let told = told(session);
            let (create, update) = (&told[0].1, &told[1].1);
            assert_eq!((&create["guild_id"], &create["member"]["roles"].is_array()), (&json!(GUILD), &true));
            assert_eq!(create["content"], update["content"]);
            (create["content"].as_str().map(str::len), create["embeds"].as_array().map(Vec::len))
        })
    };
    const WORDS: (Option<usize>, Option<usize>) = (Some(5), Some(1));
    const BLANK: (Option<usize>, Option<usize>) = (Some(0), Some(0));
    assert_eq!(contents(OWNER, &[]), [BLANK, WORDS]);
    assert_eq!(contents(ANN, &[]), [WORDS, WORDS]);
    assert_eq!(contents(OWNER, &[ANN]), [WORDS, WORDS]);
}

#[test]
fn an_account_that_changes_is_told_to_itself_and_to_its_guilds() {
    let mut world = World::new();
    let (ann, bob) = (world.session(ANN, Intents::NONE), world.session(BOB, Intents::GUILD_MEMBERS));
    world.publish(Event::UserUpdate { user: Box::new(user(ANN)) });
    assert_eq!(names(&ann), ["USER_UPDATE 2", "GUILD_MEMBER_UPDATE 2"]);
    assert_eq!(names(&bob), ["GUILD_MEMBER_UPDATE 2"]);
}

#[test]
fn typing_is_told_where_messages_are_read() {
    let mut world = World::new();
    let (ann, bob) = (world.session(ANN, Intents::GUILD_TYPING), world.session(BOB, Intents::GUILD_TYPING));
    world.core.typing(Some(GUILD), VAULT, ANN, world.at);
    assert_eq!(names(&bob), [""; 0]);
    let told = told(&ann);
    assert_eq!(told[0].0, "TYPING_START");
    assert_eq!(told[0].1["timestamp"], json!(world.at.unix_ms / 1000));
    assert_eq!(told[0].1["member"]["user"]["id"], json!(ANN));
}

#[test]
fn a_broken_connection_resumes_with_everything_it_missed() {
    let mut world = World::new();
    let bob = world.session(BOB, Intents::ALL);
    let seen = 2;
    world.publish(message_create(HALL, ANN));
    assert_eq!(names(&bob), ["MESSAGE_CREATE 200"], "written to a socket that breaks");
    world.core.detach(&bob, true, world.at);
    world.publish(message_create(HALL, ANN));
    world.pass(RESUME_WINDOW - Duration::from_secs(1));
    let resume =
        |world: &mut World, id: &str, token, seq| world.core.resume(id, &[token; 32], seq, "localhost".to_owned(), world.at);
    assert_eq!(resume(&mut world, "session1", 2, seen).err(), Some(Refusal::Invalid), "another account's token");
    assert_eq!(resume(&mut world, "session9", 3, seen).err(), Some(Refusal::Invalid), "no such session");
    let from_the_future = Some(Refusal::Close(CloseCode::InvalidSeq));
    assert_eq!(resume(&mut world, "session1", 3, 99).err(), from_the_future);
    let back = resume(&mut world, "session1", 3, seen).expect("in time");
    assert_eq!(names(&back), ["MESSAGE_CREATE 200", "MESSAGE_CREATE 200", "RESUMED"]);
    assert_eq!(ending(&bob), Some(Ending::Replaced), "the old connection is a leftover");
    // The leftover's end does not touch its successor.
    world.core.detach(&bob, false, world.at);
    world.pass(RESUME_WINDOW * 2);
    world.publish(message_create(HALL, ANN));
    assert_eq!(names(&back), ["MESSAGE_CREATE 200"]);
}

#[test]
fn a_session_that_nobody_comes_back_to_ends() {
    let mut world = World::new();
    let (ann, bob) = (world.session(ANN, Intents::GUILD_PRESENCES), world.session(BOB, Intents::ALL));
    told(&ann);
    world.core.detach(&bob, true, world.at);
    world.pass(RESUME_WINDOW);
    assert!(world.core.resume("session2", &[3; 32], 2, String::new(), world.at).is_err());
    assert_eq!(names(&ann), [""; 0], "the grace of an account that may come right back");
    world.pass(OFFLINE_GRACE);
    let told = told(&ann);
    assert_eq!((told[0].0, &told[0].1["status"]), ("PRESENCE_UPDATE", &json!("offline")));
    assert!(world.core.accounts.keys().eq([&ANN]));
}

#[test]
fn presence_is_told_when_it_changes() {
    let mut world = World::new();
    let watcher = world.session(OWNER, Intents::GUILD_PRESENCES);
    let blind = world.session(OWNER, Intents::ALL.without(Intents::GUILD_PRESENCES));
    told(&watcher);
    let statuses = || {
        assert!(!names(&blind).iter().any(|name| name.starts_with("PRESENCE")));
        told(&watcher).into_iter().map(|(_, d)| d["status"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let set = |world: &mut World, session: &super::core::Attached, status| {
        world.core.set_presence(session.key, PresenceUpdate { status, activities: Vec::new() }, world.at);
    };
    let first = world.session(BOB, Intents::ALL);
    assert_eq!(statuses(), ["online"]);
    let second = world.session(BOB, Intents::ALL);
    assert_eq!(statuses(), [""; 0], "he is online already");
    set(&mut world, &first, Status::Idle);
    assert_eq!(statuses(), [""; 0], "the more present session decides");
    world.pass(presence::INTERVAL);
    set(&mut world, &second, Status::Dnd);
    assert_eq!(statuses(), ["dnd"]);
    world.pass(presence::INTERVAL);
    set(&mut world, &second, Status::Invisible);
    assert_eq!(statuses(), ["idle"]);
    world.core.detach(&first, false, world.at);
    world.pass(presence::INTERVAL);
    assert_eq!(statuses(), ["offline"], "only an invisible session is left");
    world.core.detach(&second, false, world.at);
    world.pass(OFFLINE_GRACE);
    assert_eq!(statuses(), [""; 0]);
}

#[test]
fn a_page_that_reloads_never_looks_offline() {
    let mut world = World::new();
    let ann = world.session(ANN, Intents::GUILD_PRESENCES);
    let bob = world.session(BOB, Intents::ALL);
    told(&ann);
    world.core.detach(&bob, false, world.at);
    world.pass(OFFLINE_GRACE / 2);
    world.session(BOB, Intents::ALL);
    world.pass(OFFLINE_GRACE * 2);
    assert_eq!(names(&ann), [""; 0]);
}

#[test]
fn a_client_that_does_not_read_is_closed_and_may_resume_until_too_much_is_kept() {
    let mut world = World::new();
    let (slow, quick) = (world.session(BOB, Intents::ALL), world.session(ANN, Intents::ALL));
    told(&slow);
    told(&quick);
    let flood = |world: &mut World, count: usize| {
        for _ in 0..count {
            world.publish(message_create(HALL, ANN));
            assert_eq!(told(&quick).len(), 1, "nobody else notices");
        }
    };
    flood(&mut world, MAX_BACKLOG);
    assert_eq!(ending(&slow), None);
    flood(&mut world, 1);
    assert_eq!(ending(&slow), Some(Ending::TooSlow));
    world.core.detach(&slow, true, world.at);
    flood(&mut world, 10);
    let back = world.core.resume("session1", &[3; 32], 3, String::new(), world.at).expect("nothing is lost");
    assert_eq!(told(&back).len(), MAX_BACKLOG + 12);
    world.core.detach(&back, true, world.at);
    flood(&mut world, MAX_DETACHED + 1);
    assert!(world.core.resume("session1", &[3; 32], 3, String::new(), world.at).is_err(), "more than a session may keep");
}

#[test]
fn revoked_tokens_end_their_sessions() {
    let mut world = World::new();
    let (ann, bob) = (world.session(ANN, Intents::ALL), world.session(BOB, Intents::ALL));
    told(&ann);
    world.core.invalidate_token(&[3; 32], world.at);
    assert_eq!(ending(&bob), Some(Ending::Close(CloseCode::AuthenticationFailed)));
    assert_eq!(ending(&ann), None);
    assert!(world.core.resume("session2", &[3; 32], 2, String::new(), world.at).is_err());
    world.core.close_user_sessions(ANN, world.at);
    assert_eq!(ending(&ann), Some(Ending::Close(CloseCode::AuthenticationFailed)));
}

#[test]
fn one_account_has_only_so_many_sessions() {
    let mut world = World::new();
    for _ in 0..MAX_SESSIONS_PER_ACCOUNT {
        world.session(BOB, Intents::NONE);
    }
    let admission = world.admission(BOB, Intents::NONE);
    assert_eq!(world.core.attach(admission, world.at).err(), Some(CloseCode::TooManySessions));
}

#[test]
fn shutdown_sends_everyone_away() {
    let mut world = World::new();
    let bob = world.session(BOB, Intents::ALL);
    world.core.links().iter().for_each(|(_, link)| link.end(Ending::Reconnect));
    assert_eq!(ending(&bob), Some(Ending::Reconnect));
}

fn request(guild_id: GuildId, wanted: WantedMembers) -> RequestMembers {
    RequestMembers { guild_id, wanted, presences: true, nonce: Some("n".to_owned()) }
}

#[test]
fn member_lists_answer_even_for_one_and_only_to_members() {
    let mut world = World::new();
    let bob = world.session(BOB, Intents::ALL);
    let chunks = |world: &World, session: &super::core::Attached, request| {
        let mut list = world.core.member_list(session.key, request)?;
        let chunks = std::iter::from_fn(|| world.core.next_chunk(&mut list));
        Some(chunks.map(|chunk| serde_json::from_slice(&chunk.body).expect("JSON")).collect::<Vec<serde_json::Value>>())
    };
    let everyone = || WantedMembers::Query { query: String::new(), limit: 0 };
    let found = |chunk: &serde_json::Value| -> Vec<String> {
        chunk["members"]
            .as_array()
            .expect("members")
            .iter()
            .map(|member| member["user"]["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    let answer = chunks(&world, &bob, request(GUILD, everyone())).expect("an answer");
    assert_eq!(answer.len(), 1);
    assert_eq!(found(&answer[0]), ["1", "2", "3"]);
    assert_eq!((&answer[0]["chunk_index"], &answer[0]["chunk_count"], &answer[0]["nonce"]), (&json!(0), &json!(1), &json!("n")));
    assert_eq!(answer[0]["presences"][0]["user"]["id"], json!(BOB));

    let by_id = chunks(&world, &bob, request(GUILD, WantedMembers::Ids(vec![ANN, STRANGER]))).expect("an answer");
    assert_eq!((found(&by_id[0]), &by_id[0]["not_found"]), (vec!["2".to_owned()], &json!([STRANGER])));
    let by_name =
        chunks(&world, &bob, request(GUILD, WantedMembers::Query { query: "USER2".to_owned(), limit: 5 })).expect("an answer");
    assert_eq!(found(&by_name[0]), ["2"]);
    let nobody =
        chunks(&world, &bob, request(GUILD, WantedMembers::Query { query: "zzz".to_owned(), limit: 5 })).expect("an answer");
    assert_eq!((nobody.len(), found(&nobody[0]).len()), (1, 0), "a client waits for an answer");
    assert_eq!(chunks(&world, &bob, request(OTHER, everyone())), None);

    let shy = world.session(ANN, Intents::GUILDS);
    let alone = chunks(&world, &shy, request(GUILD, everyone())).expect("an answer");
    assert_eq!(found(&alone[0]), ["2"], "the whole list needs the intent");

    world.load(snapshot(OTHER, (1..=2_001).map(|id| member(UserId::new(id), &[])).collect()));
    let listed = world.session(ANN, Intents::ALL);
    let large = chunks(&world, &listed, request(OTHER, everyone())).expect("an answer");
    assert_eq!(large.iter().map(|chunk| found(chunk).len()).collect::<Vec<_>>(), [1_000, 1_000, 1]);
}

#[test]
fn a_voice_channels_chat_needs_connect() {
    let mut world = World::new();
    let bob = world.session(BOB, Intents::GUILD_MESSAGES);
    world.publish(message_create(PARLOR, ANN));
    assert_eq!(names(&bob), ["MESSAGE_CREATE 202"]);
    let everyone = role(GUILD.everyone(), Permissions::VIEW_CHANNEL);
    world.publish(Event::RoleUpdate { guild_id: GUILD, role: Box::new(everyone) });
    world.publish(message_create(PARLOR, ANN));
    assert_eq!(names(&bob), [""; 0]);
}

#[test]
fn everyone_in_a_guild_is_listed_once_in_thirty_seconds() {
    let mut world = World::new();
    let bob = world.session(BOB, Intents::ALL);
    let everyone = |guild| request(guild, WantedMembers::Query { query: String::new(), limit: 0 });
    let ask = |world: &mut World, session: &super::core::Attached, guild| {
        world.core.count_listing(session.key, &everyone(guild), world.at).is_ok()
    };
    assert!(ask(&mut world, &bob, GUILD));
    world.pass(Duration::from_secs(12));
    assert!(!ask(&mut world, &bob, GUILD));
    let limited = json!({ "opcode": 8, "retry_after": 18.0, "meta": { "guild_id": GUILD, "nonce": "n" } });
    assert_eq!(told(&bob), [("RATE_LIMITED", limited)]);
    assert!(ask(&mut world, &bob, OTHER), "a guild that one is not in is nothing to count");
    let again = world.session(BOB, Intents::ALL);
    assert!(ask(&mut world, &again, GUILD), "each session fills a cache of its own");
    world.pass(LISTING_INTERVAL - Duration::from_secs(12));
    assert!(ask(&mut world, &bob, GUILD));
}

#[test]
fn a_session_that_is_resumed_without_end_starts_anew() {
    let mut world = World::new();
    world.session(BOB, Intents::ALL);
    let resume = |world: &mut World| world.core.resume("session1", &[3; 32], 2, String::new(), world.at).map(|_| ());
    (0..MAX_RESUMES).for_each(|_| assert_eq!(resume(&mut world), Ok(())));
    assert_eq!(resume(&mut world), Err(Refusal::Invalid));
    world.pass(RESUMES_WINDOW);
    assert_eq!(resume(&mut world), Ok(()));
}

#[test]
fn a_bot_in_too_many_guilds_must_shard() {
    let mut world = World::new();
    let guilds = (1..=MAX_GUILDS_PER_SHARD as u64 + 1).map(|id| GuildId::new(id << 22));
    for id in guilds {
        world.load(snapshot(id, vec![member(ANN, &[])]));
    }
    let mut admission = world.admission(ANN, Intents::NONE);
    admission.user.bot = true;
    assert_eq!(world.core.attach(admission.clone(), world.at).err(), Some(CloseCode::ShardingRequired));
    admission.shard = Shard { id: 0, count: 2 };
    assert!(world.core.attach(admission, world.at).is_ok());
}
