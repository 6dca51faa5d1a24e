//! Member lists as people's clients subscribe to them.

use super::core::Attached;
use super::lists::MAX_OFFLINE;
use super::subscriptions::REFRESH;
use super::world::{HALL, KEEPER, VAULT, World, names, snapshot, told, vault};
use crate::event::Event;
use crate::guild::fixture::{ANN, BOB, GUILD, OWNER, member, role, user};
use crate::presence;
use guildhall_protocol::gateway::{GuildSubscription, Intents, PresenceUpdate, Status};
use guildhall_protocol::{ChannelId, GuildId, Permissions, UserId};
use serde_json::{Value, json};

const CROWD: GuildId = GuildId::new(102 << 22);

fn look(world: &mut World, session: &Attached, channel: ChannelId, ranges: &[(usize, usize)]) {
    let channels = Some(vec![(channel, ranges.to_vec())]);
    world.core.subscribe(session.key, GuildSubscription { guild_id: GUILD, channels }, world.at);
}

/// A session that hears only of lists and of what no intent guards.
fn person(world: &mut World, id: UserId) -> Attached {
    let mut admission = world.admission(id, Intents::GUILD_PRESENCES);
    admission.application = None;
    world.attach(admission)
}

/// The list updates that a session got, each as words.
fn updates(session: &Attached) -> Vec<String> {
    let item = |item: &Value| match &item["group"] {
        Value::Null => format!(
            "{}:{}",
            item["member"]["user"]["username"].as_str().unwrap(),
            item["member"]["presence"]["status"].as_str().unwrap()
        ),
        group => format!("[{} {}]", group["id"].as_str().unwrap(), group["count"]),
    };
    let op = |op: &Value| match op["op"].as_str().unwrap() {
        "SYNC" => {
            let items: Vec<String> = op["items"].as_array().unwrap().iter().map(item).collect();
            format!("SYNC {} {}", op["range"], items.join(" "))
        }
        "INVALIDATE" => format!("INVALIDATE {}", op["range"]),
        "DELETE" => format!("DELETE {}", op["index"]),
        name => format!("{name} {} {}", op["index"], item(&op["item"])),
    };
    let lists = told(session).into_iter().filter(|(name, _)| *name == "GUILD_MEMBER_LIST_UPDATE");
    lists.map(|(_, d)| d["ops"].as_array().unwrap().iter().map(op).collect::<Vec<_>>().join(", ")).collect()
}

#[test]
fn a_list_is_sent_whole_and_then_by_its_changes() {
    let mut world = World::new();
    let hoisted = guildhall_protocol::model::Role { hoist: true, ..role(KEEPER, Permissions::NONE) };
    world.publish(Event::RoleUpdate { guild_id: GUILD, role: Box::new(hoisted) });
    let bob = person(&mut world, BOB);
    look(&mut world, &bob, HALL, &[(0, 99)]);
    assert_eq!(updates(&bob), ["SYNC [0,99] [online 1] user3:online [offline 2] user1:offline user2:offline"]);
    let ann = person(&mut world, ANN);
    told(&bob);
    world.pass(REFRESH);
    assert_eq!(updates(&bob), ["DELETE 4, INSERT 0 [300 1], INSERT 1 user2:online"]);
    world.pass(REFRESH * 5);
    assert_eq!(updates(&bob), [""; 0], "nothing changed");
    world.core.set_presence(ann.key, PresenceUpdate { status: Status::Dnd, activities: Vec::new() }, world.at);
    world.publish(Event::MemberUpdate {
        guild_id: GUILD,
        member: Box::new(guildhall_protocol::model::Member { nick: Some("Zoe".to_owned()), ..member(OWNER, &[]) }),
    });
    world.pass(REFRESH);
    assert_eq!(updates(&bob), ["DELETE 5, UPDATE 1 user2:dnd, INSERT 5 user1:offline"], "by nick");
    world.publish(Event::MemberRemove { guild_id: GUILD, user: Box::new(user(OWNER)) });
    world.pass(REFRESH);
    assert_eq!(updates(&bob), ["DELETE 5, DELETE 4"]);
}

#[test]
fn newcomers_to_a_window_get_it_whole_and_nobody_gets_it_twice() {
    let mut world = World::new();
    let (bob, ann) = (person(&mut world, BOB), person(&mut world, ANN));
    look(&mut world, &bob, HALL, &[(0, 99)]);
    told(&bob);
    let owner = person(&mut world, OWNER);
    // The change waits for its second, but a newcomer does not: both have the same state afterwards.
    look(&mut world, &ann, HALL, &[(0, 99)]);
    assert_eq!(updates(&bob), ["DELETE 4, DELETE 3, INSERT 1 user1:online"]);
    assert_eq!(updates(&ann), ["SYNC [0,99] [online 3] user1:online user2:online user3:online"]);
    // A client that looks elsewhere is not told of here.
    look(&mut world, &bob, HALL, &[(0, 99), (100, 199)]);
    assert_eq!(updates(&bob).len(), 1);
    world.core.subscribe(ann.key, GuildSubscription { guild_id: GUILD, channels: Some(Vec::new()) }, world.at);
    world.core.set_presence(owner.key, PresenceUpdate { status: Status::Idle, activities: Vec::new() }, world.at);
    world.pass(REFRESH);
    assert_eq!(updates(&ann), [""; 0]);
    assert_eq!(
        updates(&bob),
        ["SYNC [0,99] [online 3] user1:idle user2:online user3:online, SYNC [100,199] "],
        "two ranges come whole"
    );
}

#[test]
fn a_list_shows_who_may_view_the_channel_to_who_may() {
    let mut world = World::new();
    let (bob, ann) = (person(&mut world, BOB), person(&mut world, ANN));
    look(&mut world, &bob, VAULT, &[(0, 99)]);
    look(&mut world, &ann, VAULT, &[(0, 99)]);
    assert_eq!(updates(&bob), [""; 0]);
    assert_eq!(updates(&ann), ["SYNC [0,99] [online 1] user2:online [offline 1] user1:offline"]);
    world.publish(Event::ChannelUpdate { channel: Box::new(vault(false)) });
    world.pass(REFRESH);
    assert_eq!(updates(&ann), ["INVALIDATE [0,99]"], "it is another list now");
    look(&mut world, &ann, VAULT, &[(0, 99)]);
    assert_eq!(told(&ann)[0].1["id"], "everyone");
    world.core.subscribe(bob.key, GuildSubscription { guild_id: CROWD, channels: Some(vec![(HALL, vec![(0, 99)])]) }, world.at);
    assert_eq!(updates(&bob), [""; 0], "not in that guild");
}

#[test]
fn a_large_guild_is_followed_by_its_list() {
    let mut world = World::new();
    let members = (1..=MAX_OFFLINE as u64 + 1).map(|id| member(UserId::new(id), &[])).collect();
    let mut crowd = snapshot(CROWD, members);
    crowd.channels = vec![guildhall_protocol::model::Channel {
        guild_id: CROWD,
        ..crate::guild::fixture::channel(ChannelId::new(900), Vec::new())
    }];
    world.load(crowd);
    let first = person(&mut world, UserId::new(7));
    let admission = guildhall_protocol::model::User { bot: true, ..user(UserId::new(8)) };
    let bot = world.admission(UserId::new(8), Intents::GUILD_PRESENCES | Intents::GUILDS);
    let bot = world.attach(super::core::Admission { user: admission, ..bot });
    told(&first);
    let second = world.admission(UserId::new(9), Intents::ALL);
    let second = world.core.attach(second, world.at).expect("not too many");
    let guild = told(&second).into_iter().find(|(name, _)| *name == "GUILD_CREATE").expect("the guild").1;
    assert_eq!(
        (guild["members"].as_array().unwrap().len(), &guild["presences"]),
        (
            1,
            &json!([{ "user": { "id": "9" }, "guild_id": CROWD, "status": "online", "activities": [], "client_status": { "web": "online" } }])
        )
    );
    assert_eq!(names(&first), [""; 0], "people are told by the list");
    assert_eq!(names(&bot), ["PRESENCE_UPDATE 9"], "bots are told");
    let channels = Some(vec![(ChannelId::new(900), vec![(0, 99)])]);
    world.core.subscribe(first.key, GuildSubscription { guild_id: CROWD, channels }, world.at);
    assert_eq!(
        updates(&first),
        ["SYNC [0,99] [online 3] user7:online user8:online user9:online"],
        "without those who are offline"
    );
}

#[test]
fn who_flickers_is_told_of_once_a_second() {
    let mut world = World::new();
    let (bob, ann) = (person(&mut world, BOB), person(&mut world, ANN));
    told(&bob);
    let set = |world: &mut World, status| {
        world.core.set_presence(ann.key, PresenceUpdate { status, activities: Vec::new() }, world.at);
    };
    for _ in 0..20 {
        set(&mut world, Status::Idle);
        set(&mut world, Status::Online);
    }
    world.pass(presence::INTERVAL);
    assert_eq!(told(&bob), [], "as it was before");
    for status in [Status::Idle, Status::Online, Status::Dnd] {
        set(&mut world, status);
    }
    let status =
        |session: &Attached| told(session).iter().map(|(_, d)| d["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(status(&bob), ["idle"], "the first is told at once");
    world.pass(presence::INTERVAL);
    assert_eq!(status(&bob), ["dnd"], "and the last in time");
}
