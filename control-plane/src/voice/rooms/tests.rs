//! Journeys of rooms: placed, moved, lost, taken up again. Simulated time; the nodes are what the test says in their name.

use crate::fleet::lines::LineId;
use crate::fleet::moves::SETTLE_MS;
use crate::fleet::views::Standing;
use crate::guild::fixture::{ANN, BOB, GUILD, OWNER};
use crate::hub::core::Attached;
use crate::hub::world::{CELLAR, PARLOR, World, hello, told};
use crate::voice::Door;
use guildhall_fleet::placement::{Because, Outcome};
use guildhall_fleet::probes::{Report, Verdict};
use guildhall_fleet::{NodeId, Reach};
use guildhall_protocol::ChannelId;
use guildhall_protocol::UserId;
use guildhall_protocol::fleet::{Epoch, FromNode, Hello, Load, Participant, Policy, Secret, Sitting, ToNode};
use guildhall_protocol::gateway::{Intents, VoiceStateUpdate};
use guildhall_protocol::voice_token::{VoiceClaims, VoiceKey};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// As the shell does it.
const TICK: Duration = Duration::from_millis(100);

const OPEN: Policy = Policy {
    can_speak: true,
    self_mute: false,
    is_deafened: false,
    is_priority: false,
    bitrate_bps: Some(64_000),
    can_stream: false,
};

/// A world whose nodes run elsewhere: "eu" and "us", one region each.
struct Fleet {
    world: World,
    nodes: Vec<(LineId, Hello)>,
    tokens: u64,
    sessions: [Attached; 3],
}

fn key() -> VoiceKey {
    VoiceKey::new(&[7; 32])
}

/// What a session was told to do about voice.
#[derive(Debug, PartialEq)]
enum Told {
    /// Of this node.
    Go(String),
    Wait,
}

impl Fleet {
    fn new() -> Self {
        let mut world = World::new();
        let local = world.line.clone();
        world.node_says(&local, FromNode::Goodbye);
        let nodes = ["eu", "us"].map(|name| {
            let hello = hello(name, name, &format!("{name}.example:443"), 1);
            (world.node_arrives(hello.clone(), Vec::new()), hello)
        });
        let sessions = [OWNER, ANN, BOB].map(|user| world.session(user, Intents::ALL));
        sessions.iter().for_each(|session| drop(told(session)));
        Self { world, nodes: nodes.into(), tokens: 100, sessions }
    }

    fn door(&mut self) -> (VoiceKey, u64) {
        self.tokens += 1;
        (key(), self.tokens)
    }

    fn op4(&mut self, who: usize, channel: ChannelId, rtts: &[(&str, u16)]) {
        let (key, token_id) = self.door();
        let session = self.sessions[who].key;
        let update = VoiceStateUpdate {
            guild_id: GUILD,
            channel_id: Some(channel),
            region_rtts: rtts.iter().map(|(name, ms)| (name.parse().unwrap(), *ms)).collect(),
            ..VoiceStateUpdate::default()
        };
        self.world.core.update_voice(session, update, &Door { key: &key, public_host: None, token_id }, self.world.at);
    }

    /// Time passes, in ticks, with every node in `alive` being heard.
    fn pass(&mut self, time: Duration, alive: &[usize]) {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.world.at.now += TICK;
            self.world.at.unix_ms += TICK.as_millis() as u64;
            for node in alive {
                let line = self.nodes[*node].0.clone();
                self.world.node_says(&line, FromNode::Alive);
            }
            self.world.core.tick_fleet(self.tokens, self.world.at);
            loop {
                let (key, token_id) = self.door();
                if !self.world.core.call_next(&Door { key: &key, public_host: None, token_id }, self.world.at) {
                    break;
                }
            }
        }
    }

    /// Why the room's last move was.
    fn moved(&self, room: ChannelId) -> Option<Because> {
        let decisions = self.world.core.fleet.why(room).into_iter().map(|record| record.decision).rev();
        let mut moves = decisions.filter(|decision| matches!(decision.outcome, Outcome::Move { .. }));
        moves.next().map(|decision| decision.because)
    }

    /// VOICE_SERVER_UPDATEs of a session since it was last asked, with what their tokens claim.
    fn told(&mut self, who: usize) -> (Vec<Told>, Option<VoiceClaims>) {
        let mut claims = None;
        let mut read = |d: Value| match d["endpoint"].as_str() {
            Some(endpoint) => {
                let found = key().verify(d["token"].as_str().unwrap(), self.world.at.unix_ms).unwrap();
                assert_eq!(format!("{}.example:443", found.node), endpoint);
                let node = found.node.to_string();
                claims = Some(found);
                Told::Go(node)
            }
            None => Told::Wait,
        };
        let updates = told(&self.sessions[who]).into_iter().filter(|(name, _)| *name == "VOICE_SERVER_UPDATE");
        (updates.map(|(_, d)| read(d)).collect(), claims)
    }

    /// The session uses its last token: it must be for this node.
    fn connect(&mut self, who: usize, node: usize) -> Sitting {
        let (told, claims) = self.told(who);
        let claims = claims.unwrap_or_else(|| panic!("{told:?}"));
        let (line, hello) = self.nodes[node].clone();
        assert_eq!(claims.node, hello.id);
        let VoiceClaims { participant, policy, token_id, epoch, issuer, .. } = claims;
        let sitting = Sitting { participant, token_id, epoch, issuer, policy };
        self.world.node_says(&line, FromNode::Joined(sitting.clone()));
        sitting
    }

    fn errands(&mut self, node: usize) -> Vec<ToNode> {
        let line = self.nodes[node].0.clone();
        self.world.errands(&line)
    }

    fn home(&self, room: ChannelId) -> Option<(String, Epoch)> {
        self.world.core.fleet.lease(room).map(|(node, epoch)| (node.to_string(), epoch))
    }

    fn is_connected(&self, user: UserId) -> bool {
        self.world.core.guild(GUILD).and_then(|state| state.voice_state(user)?.channel_id).is_some()
    }
}

fn go(node: &str) -> Vec<Told> {
    vec![Told::Go(node.to_owned())]
}

#[test]
fn the_nearest_region_takes_a_room_and_everyone_goes_where_it_is() {
    let mut fleet = Fleet::new();
    fleet.op4(1, PARLOR, &[("eu", 120), ("us", 20)]);
    assert_eq!(fleet.told(1).0, go("us"));
    let open = ToNode::Open { room: PARLOR, epoch: fleet.home(PARLOR).unwrap().1 };
    assert_eq!(fleet.errands(1), [ToNode::Welcome { voice_key: Secret([7; 32]) }, open]);
    // Nearer to the other, but the room lives, and has just been put there.
    fleet.op4(2, PARLOR, &[("eu", 10), ("us", 90)]);
    assert_eq!(fleet.told(2).0, go("us"));
    let why = fleet.world.core.fleet.why(PARLOR);
    assert_eq!(why.len(), 2);
    assert_eq!((why[0].decision.members, why[1].decision.members), (1, 2));
    fleet.op4(0, CELLAR, &[("eu", 10), ("us", 90)]);
    assert_eq!(fleet.told(0).0, go("eu"));
}

#[test]
fn what_a_client_measured_is_not_forgotten_for_what_its_address_tells() {
    let mut fleet = Fleet::new();
    let estimated = || Reach::estimated([("eu".parse().unwrap(), 120), ("us".parse().unwrap(), 20)]);
    let (ann, owner) = (fleet.sessions[1].key, fleet.sessions[0].key);
    [ann, owner].into_iter().for_each(|key| fleet.world.core.estimate(key, estimated()));
    fleet.op4(1, PARLOR, &[]);
    assert_eq!(fleet.told(1).0, go("us"));
    let decision = &fleet.world.core.fleet.why(PARLOR)[0].decision;
    assert_eq!((decision.known_members, decision.estimated_members), (1, 1));
    fleet.op4(0, CELLAR, &[("eu", 10), ("us", 90)]);
    assert_eq!(fleet.told(0).0, go("eu"));
    // Both resume, from wherever.
    [ann, owner].into_iter().for_each(|key| fleet.world.core.estimate(key, Reach::default()));
    let is_known = |key| fleet.world.core.sessions[&key].reach.is_known();
    assert!(!is_known(ann) && is_known(owner));
}

#[test]
fn a_room_of_a_lost_node_lives_elsewhere_within_seconds_and_the_old_owner_is_a_stranger() {
    let mut fleet = Fleet::new();
    fleet.op4(1, PARLOR, &[("eu", 120), ("us", 20)]);
    let ann = fleet.connect(1, 1);
    fleet.op4(2, PARLOR, &[]);
    let bob = fleet.connect(2, 1);
    let before = fleet.home(PARLOR).unwrap();
    // Silence is believed for two seconds.
    fleet.pass(Duration::from_millis(1_900), &[0]);
    assert_eq!(fleet.told(1).0, []);
    fleet.pass(Duration::from_millis(400), &[0]);
    assert_eq!((fleet.told(1).0, fleet.home(PARLOR).unwrap().0.as_str()), (go("eu"), "eu"));
    assert!(fleet.home(PARLOR).unwrap().1 > before.1);
    assert!(fleet.is_connected(ANN) && fleet.is_connected(BOB), "nobody was seen to leave");

    // It was only cut off, and has them still.
    let (_, us) = fleet.nodes[1].clone();
    let line = fleet.world.node_arrives(us, vec![ann.clone(), bob.clone()]);
    fleet.nodes[1].0 = line.clone();
    let errands = fleet.errands(1);
    let epoch = fleet.home(PARLOR).unwrap().1;
    assert!(errands.contains(&ToNode::Close { room: PARLOR, epoch }), "{errands:?}");
    fleet.world.node_says(&line, FromNode::Left(ann));
    fleet.world.node_says(&line, FromNode::Ended { room: PARLOR, epoch: before.1 });
    fleet.world.node_says(&line, FromNode::Joined(bob));
    assert_eq!(fleet.home(PARLOR).unwrap(), ("eu".to_owned(), epoch), "a stale owner ends and moves nothing");
    assert!(fleet.is_connected(ANN));
    fleet.connect(2, 0);
}

#[test]
fn a_broken_line_that_is_dialled_anew_moves_nobody_and_one_that_is_not_moves_all() {
    let mut fleet = Fleet::new();
    fleet.op4(1, PARLOR, &[("eu", 120), ("us", 20)]);
    let ann = fleet.connect(1, 1);
    let (line, us) = fleet.nodes[1].clone();
    fleet.world.core.node_gone(&line, fleet.world.at);
    fleet.pass(Duration::from_millis(400), &[0]);
    fleet.nodes[1].0 = fleet.world.node_arrives(us, vec![ann]);
    fleet.pass(Duration::from_secs(5), &[0, 1]);
    assert_eq!(fleet.told(1).0, []);
    assert!(fleet.is_connected(ANN));

    let line = fleet.nodes[1].0.clone();
    fleet.world.core.node_gone(&line, fleet.world.at);
    fleet.pass(Duration::from_millis(800), &[0]);
    assert_eq!(fleet.told(1).0, go("eu"), "half a second, and a tick or two");
}

#[test]
fn who_left_while_the_line_was_broken_has_left_and_who_was_put_out_is_put_out() {
    let mut fleet = Fleet::new();
    fleet.op4(1, PARLOR, &[("us", 20)]);
    fleet.connect(1, 1);
    fleet.op4(2, PARLOR, &[]);
    let bob = fleet.connect(2, 1);
    let (line, us) = fleet.nodes[1].clone();
    fleet.world.core.node_gone(&line, fleet.world.at);
    let update = VoiceStateUpdate { guild_id: GUILD, ..VoiceStateUpdate::default() };
    let (key, token_id) = fleet.door();
    let session = fleet.sessions[2].key;
    fleet.world.core.update_voice(session, update, &Door { key: &key, public_host: None, token_id }, fleet.world.at);
    fleet.nodes[1].0 = fleet.world.node_arrives(us, vec![bob.clone()]);
    let as_of_ms = fleet.world.at.unix_ms;
    assert!(fleet.errands(1).contains(&ToNode::Disconnect { participant: bob.participant, as_of_ms }));
    assert!(!fleet.is_connected(ANN), "the node does not have her any more");
}

#[test]
fn a_node_that_is_drained_forwards_until_everyone_is_elsewhere() {
    let mut fleet = Fleet::new();
    fleet.op4(1, PARLOR, &[("eu", 120), ("us", 20)]);
    let ann = fleet.connect(1, 1);
    fleet.op4(2, PARLOR, &[]);
    let bob = fleet.connect(2, 1);
    fleet.errands(1);
    let us = NodeId::from("us");
    fleet.world.core.drain_node(&us, Duration::from_secs(30), fleet.world.at).unwrap();
    fleet.pass(Duration::from_millis(400), &[0, 1]);
    let progress = |fleet: &mut Fleet| {
        let now = fleet.world.core.fleet.millis(fleet.world.at.now);
        let views = fleet.world.core.fleet.node_views(now);
        views.into_iter().find(|view| view.id == us).and_then(|view| view.drain).unwrap()
    };
    assert_eq!((progress(&mut fleet).moved, progress(&mut fleet).moving), (0, 1));
    assert_eq!(fleet.errands(1), [], "nobody is put out before they are elsewhere");
    fleet.connect(1, 0);
    assert_eq!(fleet.errands(1), [], "who is there first is still heard by the others here");
    fleet.connect(2, 0);
    assert_eq!(fleet.errands(1), [], "their media has yet to find its way");
    fleet.pass(Duration::from_millis(SETTLE_MS), &[0, 1]);
    let as_of_ms = fleet.world.at.unix_ms;
    let off = fleet.errands(1);
    assert_eq!(off.len(), 2);
    for Sitting { participant, .. } in [ann, bob] {
        assert!(off.contains(&ToNode::Disconnect { participant, as_of_ms }), "{off:?}");
    }
    assert_eq!((progress(&mut fleet).moved, progress(&mut fleet).moving), (1, 0));
    // Those of other control planes have their time.
    fleet.errands(1);
    fleet.pass(Duration::from_secs(10), &[0, 1]);
    assert_eq!(fleet.errands(1), [ToNode::Close { room: PARLOR, epoch: fleet.home(PARLOR).unwrap().1 }]);
    // New rooms go elsewhere too, and afterwards it serves again.
    fleet.op4(0, CELLAR, &[("us", 5), ("eu", 80)]);
    assert_eq!(fleet.told(0).0, go("eu"));
    fleet.world.core.fleet.undrain(&us, false).unwrap();
    assert_eq!(fleet.world.core.move_room(CELLAR, &us, 1, fleet.world.at), Some(true));
    fleet.pass(Duration::from_millis(200), &[0, 1]);
    assert_eq!(fleet.told(0).0, go("us"));
    assert!(fleet.world.core.fleet.why(CELLAR).iter().any(|record| record.decision.because == Because::Asked));
}

#[test]
fn a_node_that_leaves_by_itself_serves_again_when_it_is_back() {
    let mut fleet = Fleet::new();
    let (line, us) = fleet.nodes[1].clone();
    fleet.op4(1, PARLOR, &[("us", 5), ("eu", 90)]);
    fleet.connect(1, 1);
    fleet.world.node_says(&line, FromNode::Leaving { within_ms: 10_000 });
    fleet.pass(Duration::from_millis(300), &[0, 1]);
    fleet.connect(1, 0);
    fleet.world.node_says(&line, FromNode::Goodbye);
    fleet.pass(Duration::from_secs(1), &[0]);
    fleet.nodes[1].0 = fleet.world.node_arrives(Hello { incarnation: 2, ..us }, Vec::new());
    fleet.op4(0, CELLAR, &[("us", 5), ("eu", 90)]);
    assert_eq!(fleet.told(0).0, go("us"));
}

#[test]
fn without_a_node_people_wait_in_the_room_and_are_called_when_there_is_one() {
    let mut fleet = Fleet::new();
    fleet.op4(1, PARLOR, &[]);
    fleet.told(1);
    fleet.pass(Duration::from_secs(3), &[]);
    assert_eq!(fleet.told(1).0, [Told::Wait]);
    fleet.op4(2, PARLOR, &[]);
    assert_eq!(fleet.told(2).0, [Told::Wait], "it is joined all the same");
    assert!(fleet.is_connected(BOB));
    fleet.pass(Duration::from_secs(5), &[]);
    assert_eq!((fleet.told(1).0, fleet.told(2).0), (vec![], vec![]), "said once");
    let asia = hello("asia", "asia", "asia.example:443", 1);
    fleet.nodes[0] = (fleet.world.node_arrives(asia.clone(), Vec::new()), asia);
    fleet.pass(Duration::from_millis(1_500), &[0]);
    assert_eq!((fleet.told(1).0, fleet.told(2).0), (go("asia"), go("asia")));
}

#[test]
fn a_node_whose_process_is_a_new_one_has_lost_its_people_and_they_are_called_back() {
    let mut fleet = Fleet::new();
    fleet.op4(1, PARLOR, &[("eu", 120), ("us", 20)]);
    fleet.connect(1, 1);
    let before = fleet.home(PARLOR).unwrap().1;
    let (line, us) = fleet.nodes[1].clone();
    fleet.world.core.node_gone(&line, fleet.world.at);
    fleet.nodes[1].0 = fleet.world.node_arrives(Hello { incarnation: 2, ..us }, Vec::new());
    fleet.pass(Duration::from_millis(300), &[0, 1]);
    assert_eq!(fleet.told(1).0, go("us"));
    assert!(fleet.home(PARLOR).unwrap().1 > before);
}

#[test]
fn calls_that_are_older_than_the_control_plane_are_taken_up() {
    let mut fleet = Fleet::new();
    let here = |channel_id, user_id| Participant { guild_id: GUILD, channel_id, user_id, session_id: "of before".into() };
    let muted = Policy { self_mute: true, ..OPEN };
    let ann = Sitting { participant: here(PARLOR, ANN), token_id: 1, epoch: Epoch(900), issuer: 0, policy: muted };
    // He may not be in there any more; and somebody of another control plane is none of ours.
    let bob = Sitting { participant: here(CELLAR, BOB), token_id: 2, epoch: Epoch(901), ..ann.clone() };
    let other = Sitting { participant: here(CELLAR, OWNER), token_id: 3, issuer: 5, epoch: Epoch(901), ..ann.clone() };
    let asia = hello("asia", "asia", "asia.example:443", 1);
    let line = fleet.world.node_arrives(asia.clone(), vec![ann.clone(), bob.clone(), other]);
    fleet.nodes.push((line.clone(), asia));
    let as_of_ms = fleet.world.at.unix_ms;
    assert_eq!(
        fleet.errands(2)[1..],
        [
            ToNode::SetPolicy { participant: ann.participant.clone(), policy: muted },
            ToNode::Disconnect { participant: bob.participant, as_of_ms }
        ]
    );
    let state = fleet.world.core.guild(GUILD).unwrap().voice_state(ANN).unwrap().clone();
    assert!(state.self_mute && state.channel_id == Some(PARLOR));
    assert_eq!((fleet.home(PARLOR), fleet.is_connected(BOB)), (Some(("asia".to_owned(), Epoch(900))), false));
    // Others who join come to her.
    fleet.op4(2, PARLOR, &[]);
    assert_eq!(fleet.told(2).0, go("asia"));
    fleet.world.node_says(&line, FromNode::Left(ann));
    assert!(!fleet.is_connected(ANN));
}

#[test]
fn a_control_plane_that_slept_does_not_take_its_nodes_for_lost() {
    let mut fleet = Fleet::new();
    fleet.op4(1, PARLOR, &[("us", 20)]);
    fleet.connect(1, 1);
    fleet.pass(TICK, &[0, 1]);
    fleet.world.at.now += Duration::from_secs(60);
    fleet.pass(Duration::from_secs(1), &[]);
    assert_eq!(fleet.told(1).0, []);
    fleet.pass(Duration::from_secs(2), &[0]);
    assert_eq!(fleet.told(1).0, go("eu"));
}

#[test]
fn a_node_of_this_process_is_there_however_busy_the_process_is() {
    let mut world = World::new();
    let ann = world.session(ANN, Intents::ALL);
    told(&ann);
    for seconds in [1, 30] {
        world.at.now += Duration::from_secs(seconds);
        let update = VoiceStateUpdate { guild_id: GUILD, channel_id: Some(PARLOR), ..VoiceStateUpdate::default() };
        let key = key();
        world.core.update_voice(ann.key, update, &Door { key: &key, public_host: None, token_id: seconds }, world.at);
        world.core.tick_fleet(1, world.at);
        let (_, server) = told(&ann).pop().unwrap();
        assert_eq!(server["endpoint"], "localhost:8080");
    }
}

#[test]
fn what_another_control_plane_decided_is_learnt_from_the_nodes() {
    let mut fleet = Fleet::new();
    fleet.op4(1, PARLOR, &[("us", 20), ("eu", 90)]);
    fleet.connect(1, 1);
    let (_, epoch) = fleet.home(PARLOR).unwrap();
    let eu = fleet.nodes[0].0.clone();
    // An older grant than ours is refused, a newer one wins.
    fleet.errands(0);
    fleet.world.node_says(&eu, FromNode::Opened { room: PARLOR, epoch: Epoch(epoch.0 - 1) });
    assert_eq!(fleet.errands(0), [ToNode::Close { room: PARLOR, epoch }]);
    fleet.world.node_says(&eu, FromNode::Opened { room: PARLOR, epoch: Epoch(epoch.0 + 1) });
    fleet.pass(Duration::from_millis(200), &[0, 1]);
    assert_eq!(fleet.told(1).0, go("eu"));
    assert_eq!(fleet.home(PARLOR).unwrap().1, Epoch(epoch.0 + 1));
}

#[test]
fn a_node_that_carries_no_audio_loses_its_rooms_and_gets_some_again_when_it_does() {
    let mut fleet = Fleet::new();
    fleet.op4(1, PARLOR, &[("eu", 120), ("us", 20)]);
    fleet.connect(1, 1);
    let us = NodeId::from("us");
    let heed = |fleet: &mut Fleet, left_ms: u64| {
        let unix_ms = fleet.world.at.unix_ms;
        let now = fleet.world.core.fleet.millis(fleet.world.at.now);
        let mut report = Report::default();
        report.failed(unix_ms, 1, "no audio through it".to_owned(), true);
        let failing = if left_ms > 0 { [(us.clone(), unix_ms + left_ms)].into() } else { Default::default() };
        let verdict = Verdict { failing, ..Verdict::default() };
        fleet.world.core.fleet.heed_probes(now, unix_ms, &[(us.clone(), report)].into(), &verdict);
    };
    let standing = |fleet: &mut Fleet| {
        let now = fleet.world.core.fleet.millis(fleet.world.at.now);
        let view = fleet.world.core.fleet.node_views(now).into_iter().find(|view| view.id == us).unwrap();
        (view.state, view.probe.map(|probe| probe.trouble))
    };
    heed(&mut fleet, 0);
    fleet.pass(Duration::from_millis(200), &[0, 1]);
    assert_eq!(fleet.told(1).0, [], "one failure is none");
    assert_eq!(standing(&mut fleet), (Standing::Serving, Some("no audio through it".to_owned())));
    heed(&mut fleet, 5_000);
    fleet.pass(Duration::from_millis(200), &[0, 1]);
    assert_eq!(standing(&mut fleet).0, Standing::Failing);
    fleet.connect(1, 0);
    assert_eq!(fleet.moved(PARLOR), Some(Because::NodeUnfit));
    fleet.op4(0, CELLAR, &[("us", 5), ("eu", 80)]);
    assert_eq!(fleet.told(0).0, go("eu"), "nor does it get new ones");
    fleet.pass(Duration::from_secs(5), &[0, 1]);
    assert_eq!(standing(&mut fleet).0, Standing::Serving, "what nobody says again is over");
    heed(&mut fleet, 5_000);
    heed(&mut fleet, 0);
    fleet.pass(Duration::from_millis(200), &[0, 1]);
    assert_eq!(standing(&mut fleet).0, Standing::Serving);
    assert_eq!(fleet.world.core.move_room(CELLAR, &us, 1, fleet.world.at), Some(true));
}

#[test]
fn all_rooms_of_a_failing_node_have_their_turn_a_part_of_them_at_a_time() {
    let mut world = Fleet::new().world;
    let (us, fleet) = (NodeId::from("us"), &mut world.core.fleet);
    let now = fleet.millis(world.at.now);
    for room in 1..=600 {
        fleet.opened(now, &us, ChannelId::new(room), Epoch(room));
    }
    let verdict = Verdict { failing: [(us, world.at.unix_ms + 5_000)].into(), ..Verdict::default() };
    fleet.heed_probes(now, world.at.unix_ms, &Default::default(), &verdict);
    let turns = [1, 2, 3].map(|later| fleet.tick(now + later));
    assert_eq!(turns.each_ref().map(Vec::len), [256, 256, 88]);
    assert_eq!(turns.concat().into_iter().collect::<BTreeSet<_>>().len(), 600);
    assert_eq!((fleet.tick(now + 4).len(), fleet.tick(now + 1_100).len()), (0, 256), "whoever found no place tries again");
}

#[test]
fn calls_are_made_at_nodes_of_other_processes_that_live_and_serve() {
    let mut fleet = Fleet::new();
    let called = |fleet: &Fleet| -> Vec<String> {
        fleet.world.core.fleet.nodes_to_probe().into_iter().map(|(node, endpoint)| format!("{node} at {endpoint}")).collect()
    };
    let here = hello("here", "eu", "", 1);
    fleet.world.node_arrives(here, Vec::new());
    assert_eq!(called(&fleet), ["eu at eu.example:443", "us at us.example:443"]);
    fleet.world.core.drain_node(&NodeId::from("us"), Duration::from_secs(30), fleet.world.at).unwrap();
    assert_eq!(called(&fleet), ["eu at eu.example:443"]);
    fleet.pass(Duration::from_secs(3), &[1]);
    assert_eq!(called(&fleet), [""; 0]);
}

#[test]
fn rooms_leave_a_node_with_too_much_to_do_one_by_one_the_smallest_first_and_pinned_ones_do_not() {
    let mut fleet = Fleet::new();
    let near = [("eu", 20), ("us", 30)];
    fleet.op4(0, CELLAR, &near);
    fleet.connect(0, 0);
    for who in [1, 2] {
        fleet.op4(who, PARLOR, &near);
        fleet.connect(who, 0);
    }
    let line = fleet.nodes[0].0.clone();
    let busy = |fleet: &mut Fleet, busy: f32| {
        fleet.world.node_says(&line, FromNode::Load(Load { busy, peers: 900, ..Load::default() }));
    };
    busy(&mut fleet, 0.89);
    fleet.pass(Duration::from_secs(30), &[0, 1]);
    busy(&mut fleet, 0.93);
    fleet.pass(Duration::from_secs(9), &[0, 1]);
    assert_eq!(fleet.told(0).0, [], "it may pass");
    fleet.pass(Duration::from_secs(2), &[0, 1]);
    fleet.connect(0, 1);
    assert_eq!(fleet.told(1).0, [], "one at a time");
    assert_eq!(fleet.moved(CELLAR), Some(Because::Relieved));
    fleet.pass(Duration::from_secs(6), &[0, 1]);
    fleet.connect(1, 1);
    fleet.connect(2, 1);
    let census = fleet.world.core.fleet.census();
    assert_eq!((census.reliefs, census.strained), (2, 1));
    // Back it goes only because somebody wants it to, and then it stays.
    busy(&mut fleet, 0.5);
    let eu = NodeId::from("eu");
    assert_eq!(fleet.world.core.move_room(PARLOR, &eu, 1, fleet.world.at), Some(true));
    fleet.pass(Duration::from_secs(20), &[0, 1]);
    assert_eq!(fleet.world.core.fleet.census().strained, 0);
    fleet.world.core.fleet.pin(PARLOR, Some(eu));
    busy(&mut fleet, 0.93);
    fleet.pass(Duration::from_secs(660), &[0, 1]);
    assert_eq!(fleet.home(PARLOR).map(|home| home.0), Some("eu".to_owned()));
    fleet.world.core.fleet.pin(PARLOR, None);
    fleet.pass(Duration::from_secs(6), &[0, 1]);
    assert_eq!(fleet.home(PARLOR).map(|home| home.0), Some("us".to_owned()), "it is as rested as any other by now");
}
