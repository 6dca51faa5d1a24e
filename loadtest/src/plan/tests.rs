use super::*;
use std::collections::BTreeMap;

fn scenario(text: &str) -> Scenario {
    Scenario::parse("test", text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

const BUSY: &str = r#"
seed = 11
[time]
measure = 120
[[rooms]]
zipf = { people = 200, exponent = 1.1, largest = 40 }
webrtc = 0.5
xchacha = 0.5
[rooms.network]
lte = 0.25
wifi = 0.5
[churn]
leaves = 10
moves = 10
self_mutes = 10
server_mutes = 10
resumes = 5
reconnects = 5
rebinds = 5
outages = 5
outage_s = 2
"#;

#[test]
fn the_same_seed_gives_the_same_plan_and_another_seed_another() {
    let one = scenario(BUSY);
    assert_eq!(Plan::of(&one), Plan::of(&one));
    let other = Scenario { seed: 12, ..one.clone() };
    assert_ne!(Plan::of(&one), Plan::of(&other));
    let calm = Scenario { churn: Churn::default(), ..one.clone() };
    assert_eq!(Plan::of(&calm).people, Plan::of(&one).people, "churn does not change who is there");
}

#[test]
fn zipf_rooms_have_all_the_people_no_room_is_lonely_and_a_few_are_large() {
    let plan = Plan::of(&scenario(BUSY));
    let mut sizes: Vec<usize> = plan.rooms.iter().map(|room| room.people.len()).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(sizes.iter().sum::<usize>(), 200);
    assert_eq!((sizes[0], plan.people.len()), (40, 200));
    assert!(sizes.iter().all(|size| *size >= 2), "{sizes:?}");
    assert!(sizes[1] < 25 && sizes.len() > 10, "{sizes:?}");
    for (at, room) in plan.rooms.iter().enumerate() {
        assert!(room.people.iter().all(|person| plan.people[*person].room == at));
        let talkers = room.people.iter().filter(|person| plan.people[**person].talk.is_some()).count();
        assert!(talkers == room.speakers && talkers >= 1);
    }
}

#[test]
fn transports_ciphers_and_networks_come_in_the_asked_parts() {
    let plan = Plan::of(&scenario(
        "[[rooms]]\nsize = 101\nspeakers = 1\nwebrtc = 0.25\nspeakers_webrtc = 0\nxchacha = 1.0\n[rooms.network]\nlte = 0.5",
    ));
    let count = |wanted: fn(&Person) -> bool| plan.people.iter().filter(|person| wanted(person)).count();
    assert_eq!(count(|person| person.transport == Transport::WebRtc), 25);
    assert_eq!(count(|person| person.transport == Transport::Native(Suite::XChaCha20Poly1305)), 76);
    assert_eq!(count(|person| person.network.is_some()), 51);
    assert!(plan.people[0].talk.is_some() && plan.people[0].transport != Transport::WebRtc);
}

#[test]
fn churn_comes_at_its_rate_in_order_and_never_strikes_someone_who_is_still_busy() {
    let plan = Plan::of(&scenario(BUSY));
    assert!(plan.actions.is_sorted_by_key(|action| action.at));
    let of = |deed: fn(&Deed) -> bool| plan.actions.iter().filter(|action| deed(&action.deed)).count();
    // 10 per minute and hundred people, 200 people, 2 minutes: 40, less those that would have struck the same person.
    let leaves = of(|deed| *deed == Deed::Leave);
    assert!((20..=55).contains(&leaves), "{leaves}");
    assert_eq!(leaves, of(|deed| *deed == Deed::Join));
    let mut muted: BTreeMap<usize, bool> = BTreeMap::new();
    let mut rooms: Vec<usize> = plan.people.iter().map(|person| person.room).collect();
    for action in &plan.actions {
        if let Deed::ServerMute(on) = action.deed {
            assert_ne!(muted.insert(action.person, on), Some(on), "muted twice: {action:?}");
        }
        if let Deed::Move(room) = action.deed {
            assert_eq!(plan.rooms[room].guild, plan.rooms[rooms[action.person]].guild);
            assert_ne!(room, rooms[action.person]);
            rooms[action.person] = room;
        }
    }
}

#[test]
fn join_storms_bring_listeners_who_were_not_there_and_reconnect_storms_strike_at_once() {
    let plan = Plan::of(&scenario(
        "[[rooms]]\nsize = 50\nspeakers = 2\n[[storms]]\nkind = \"join\"\nat_s = 2\npeople = 0.5\nwithin_s = 1\n\
         [[storms]]\nkind = \"reconnect\"\nat_s = 5\npeople = 1.0\nwithin_s = 2",
    ));
    let late: Vec<usize> = (0..50).filter(|person| plan.people[*person].is_late).collect();
    assert_eq!(late.len(), 25);
    assert!(late.iter().all(|person| plan.people[*person].talk.is_none()));
    let seconds = |action: &Action| action.at.as_secs_f64();
    for action in &plan.actions {
        match action.deed {
            Deed::Join => assert!(late.contains(&action.person) && (2.0..=3.0).contains(&seconds(action))),
            Deed::Reconnect(after) => assert!(seconds(action) == 5.0 && after.as_secs_f64() <= 2.0),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn rooms_are_packed_into_guilds_and_a_large_room_has_one_of_its_own() {
    let plan = Plan::of(&scenario("[[rooms]]\nsize = 300\n[[rooms]]\ncount = 10\nsize = 50\n"));
    let guilds: Vec<usize> = plan.rooms.iter().map(|room| room.guild).collect();
    assert_eq!(guilds, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    assert_eq!(plan.guilds, 6);
}

#[test]
fn cameras_are_those_of_the_first_who_come_by_webrtc_and_shown_to_all_others_who_do() {
    let mixed = scenario(
        "[[rooms]]\nsize = 8\nspeakers = 2\nwebrtc = 0.5\n[video]\ncameras = 2\n\
         [[shifts]]\nat_s = 4.0\nperson = 7\nnetwork = \"lte\"",
    );
    let plan = Plan::of(&mixed);
    let is_webrtc = |person: &usize| plan.people[*person].transport == Transport::WebRtc;
    let first: Vec<usize> = (0..8).filter(is_webrtc).take(2).collect();
    assert_eq!(plan.rooms[0].cameras, first);
    for person in 0..8 {
        let shown: Vec<usize> = plan.shown_to(person, 0, 9).collect();
        let others: Vec<usize> = first.iter().copied().filter(|camera| is_webrtc(&person) && *camera != person).collect();
        assert_eq!((shown, plan.shown_to(person, 0, 0).count()), (others, 0));
    }
    assert_eq!((plan.networks.len(), plan.is_shifted(7), plan.is_shifted(6)), (1, true, false));
    assert_eq!(plan.actions, [Action { at: Duration::from_secs(4), person: 7, deed: Deed::Shift(0) }]);
}
