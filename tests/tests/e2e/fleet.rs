//! A control plane and voice nodes in processes of their own, two regions on loopback: rooms are where their people are, and
//! calls outlive the death of a node, its drain, and the control plane's absence.

use guildhall_loadtest::voice::{Options, Peer};
use guildhall_loadtest::{Gateway, VoiceGrant, rest::Account};
use guildhall_protocol::model::ChannelType;
use guildhall_protocol::{Permissions, UserId};
use guildhall_tests::{
    eventually,
    frames::distinct,
    geography::database,
    node::{VoiceNode, control_plane_with, operate, operated, path, start_operating},
    room::{FRAME, GCM, XCHACHA},
    world::World,
};
use std::time::{Duration, Instant};
use tokio::time::{interval, timeout};

/// Near to one region and far from the other.
const IN_EU: &[(&str, u16)] = &[("eu", 10), ("us", 110)];
const IN_US: &[(&str, u16)] = &[("eu", 110), ("us", 10)];

/// What the server knows of both regions, where the addresses of these tests are near to one of them.
const PLACES: &str = "eu=50.1/8.7,us=39.0/-77.5";
const NEAR_US: (f64, f64) = (40.7, -74.0);

/// Somebody in a call.
struct Caller {
    account: Account,
    session: Gateway,
    grant: VoiceGrant,
    peer: Peer,
}

/// A control plane, `eu-1` and `us-1`.
async fn fleet() -> (World, [VoiceNode; 2], String) {
    fleet_with(&[]).await
}

/// The same, the control plane with further arguments.
async fn fleet_with(extra: &[&str]) -> (World, [VoiceNode; 2], String) {
    let (server, nodes) = control_plane_with(extra);
    let world = World::on(server).await;
    let eu = VoiceNode::start(&world.server, &nodes, "eu-1", "eu");
    let us = VoiceNode::start(&world.server, &nodes, "us-1", "us");
    eventually("both nodes to be heard", async || {
        let list = operated(&world.server, &["node", "list"]);
        (list.contains("eu-1") && list.contains("us-1")).then_some(())
    })
    .await;
    (world, [eu, us], nodes)
}

async fn caller(world: &World, name: &str, from: &[(&str, u16)]) -> Caller {
    let account = world.member(name).await;
    let mut session = world.session(&account).await;
    let grant = session.join_voice_from(world.guild, world.voice, from).await.expect("op 4 is answered");
    let peer = Peer::join(&grant, &Options::new(GCM)).await.expect("the node lets them in");
    Caller { account, session, grant, peer }
}

impl Caller {
    /// To wherever the room is now. The old connection, if it stands, goes on until the new one does.
    async fn follow(&mut self) {
        self.grant = self.session.moved(&self.grant).await.expect("everyone is told where the room is");
        self.peer = Peer::join(&self.grant, &Options::new(GCM)).await.expect("the node lets them in");
    }

    /// Hears this speaker's next packet, whoever else is heard.
    async fn hears(&mut self, speaker: &Caller) {
        self.peer.hear_from(speaker.account.user.id, 1).await.expect("they are heard");
    }
}

/// Both talk until both are heard. Answers with how long that took.
async fn hear_each_other(one: &mut Caller, other: &mut Caller) -> Duration {
    let began = Instant::now();
    let packets = distinct(500, 1);
    let (first, second) = (one.account.user.id, other.account.user.id);
    one.peer.start_speaking().await.expect("op 5 goes out");
    other.peer.start_speaking().await.expect("op 5 goes out");
    let mut heard = (false, false);
    let mut tick = interval(FRAME);
    for packet in packets {
        tick.tick().await;
        one.peer.send_opus(&packet).await.expect("a packet goes out");
        other.peer.send_opus(&packet).await.expect("a packet goes out");
        heard.0 |= one.peer.heard_so_far().iter().any(|heard| heard.user == Some(second));
        heard.1 |= other.peer.heard_so_far().iter().any(|heard| heard.user == Some(first));
        if heard == (true, true) {
            return began.elapsed();
        }
    }
    panic!("{} and {} do not hear each other: {heard:?}", one.account.user.username, other.account.user.username);
}

/// One packet may be lost on a machine that has other things to do.
async fn speak_until_heard(speaker: &Peer, listener: &mut Peer, user: UserId) {
    let mut tick = interval(FRAME);
    for packet in distinct(500, 2) {
        tick.tick().await;
        speaker.send_opus(&packet).await.expect("a packet goes out");
        if listener.heard_so_far().iter().any(|heard| heard.user == Some(user)) {
            return;
        }
    }
    panic!("{user} is not heard");
}

#[tokio::test]
async fn a_room_is_where_its_people_are_and_comes_back_elsewhere_when_its_node_is_killed() {
    let (world, [eu, mut us], _) = fleet().await;
    let mut ann = caller(&world, "ann", IN_US).await;
    let mut bob = caller(&world, "bob", IN_US).await;
    assert_eq!([&ann.grant.endpoint, &bob.grant.endpoint], [&us.endpoint(), &us.endpoint()]);
    hear_each_other(&mut ann, &mut bob).await;
    let room = world.voice.to_string();
    let why = operated(&world.server, &["room", "why", &room]);
    assert!(why.contains("its farthest member is nearest there") && why.contains("region us: farthest member 10 ms"), "{why}");

    let killed = Instant::now();
    us.kill_9();
    tokio::join!(ann.follow(), bob.follow());
    assert_eq!([&ann.grant.endpoint, &bob.grant.endpoint], [&eu.endpoint(), &eu.endpoint()]);
    let told = killed.elapsed();
    hear_each_other(&mut ann, &mut bob).await;
    println!("audio is back {:?} after kill -9 of its node ({told:?} until both were connected anew)", killed.elapsed());
    let why = operated(&world.server, &["room", "why", &room]);
    assert!(why.contains("moves from us-1 to eu-1: its node is lost"), "{why}");
    assert!(operated(&world.server, &["node", "list"]).contains("lost for"));
}

#[tokio::test]
async fn a_drained_node_is_empty_in_time_and_nobody_is_cut_off_before_they_are_elsewhere() {
    let (world, [eu, us], _) = fleet().await;
    let mut ann = caller(&world, "ann", IN_EU).await;
    let mut bob = caller(&world, "bob", IN_EU).await;
    assert_eq!(ann.grant.endpoint, eu.endpoint());
    hear_each_other(&mut ann, &mut bob).await;
    let refused = operate(&world.server, &["node", "drain", "asia-1"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("there is no such node"));

    let began = Instant::now();
    let draining = start_operating(&world.server, &["node", "drain", eu.name(), "--deadline", "20"]);
    let gap = move_over(&mut ann, &mut bob).await;
    let drained = draining.wait_with_output().expect("the command ends");
    assert!(began.elapsed() < Duration::from_secs(20), "the deadline is kept");
    let drained = String::from_utf8(drained.stdout).expect("text");
    assert!(drained.contains("1 rooms moved") && drained.contains("eu-1 is empty."), "{drained}");
    assert_eq!([&ann.grant.endpoint, &bob.grant.endpoint], [&us.endpoint(), &us.endpoint()]);
    println!("the longest gap of a stream while its room moved: {gap:?}");
    hear_each_other(&mut ann, &mut bob).await;
    operated(&world.server, &["node", "undrain", eu.name()]);
    assert!(operated(&world.server, &["node", "list"]).lines().any(|line| line.contains("eu-1") && line.contains("serving")));
}

/// Both talk while both follow the room. Answers with the longest time without a packet of Ann's at Bob.
async fn move_over(ann: &mut Caller, bob: &mut Caller) -> Duration {
    let (speaker, packets) = (ann.account.user.id, distinct(1_500, 1));
    let mut longest = Duration::ZERO;
    let mut last = Instant::now();
    let mut tick = interval(FRAME);
    let options = Options::new(GCM);
    let old_grants = (ann.grant.clone(), bob.grant.clone());
    let Caller { session, peer, .. } = &mut *ann;
    let their_next = async {
        let grant = session.moved(&old_grants.0).await.expect("told");
        let peer = Peer::join(&grant, &options).await.expect("let in");
        peer.start_speaking().await.expect("op 5 goes out");
        (grant, peer)
    };
    let Caller { session: listening, peer: ear, .. } = &mut *bob;
    let own_next = async {
        let grant = listening.moved(&old_grants.1).await.expect("told");
        (grant.clone(), Peer::join(&grant, &options).await.expect("let in"))
    };
    let (mut their_next, mut own_next) = (Box::pin(their_next), Box::pin(own_next));
    let mut mouth: Option<(VoiceGrant, Peer)> = None;
    let mut new_ear: Option<(VoiceGrant, Peer)> = None;
    for packet in &packets {
        tokio::select! {
            biased;
            new = &mut their_next, if mouth.is_none() => mouth = Some(new),
            new = &mut own_next, if new_ear.is_none() => new_ear = Some(new),
            _ = tick.tick() => {}
        }
        // Whoever has two connections talks and listens on both: an old one that was ended takes nothing any more.
        let _ = peer.send_opus(packet).await;
        if let Some((_, mouth)) = &mouth {
            mouth.send_opus(packet).await.expect("a packet goes out");
        }
        let mut heard = ear.heard_so_far();
        let is_new = new_ear.as_mut().is_some_and(|(_, ear)| {
            let new = ear.heard_so_far();
            let is_heard = new.iter().any(|heard| heard.user == Some(speaker));
            heard.extend(new);
            is_heard
        });
        if heard.iter().any(|heard| heard.user == Some(speaker)) {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        if is_new && mouth.is_some() {
            break;
        }
    }
    drop((their_next, own_next));
    let (their, own) = (mouth.expect("Ann has moved"), new_ear.expect("Bob has moved"));
    (ann.grant, ann.peer) = their;
    (bob.grant, bob.peer) = own;
    longest
}

#[tokio::test]
async fn calls_go_on_without_the_control_plane_which_takes_them_up_when_it_is_back() {
    let (mut world, [eu, _us], _) = fleet().await;
    let mut ann = caller(&world, "ann", IN_EU).await;
    let mut bob = caller(&world, "bob", IN_EU).await;
    hear_each_other(&mut ann, &mut bob).await;
    // Signed and not used yet.
    let eve = world.member("eve").await;
    let mut eves = world.session(&eve).await;
    let ticket = eves.join_voice_from(world.guild, world.voice, IN_EU).await.expect("op 4 is answered");

    world.server.kill_9();
    hear_each_other(&mut ann, &mut bob).await;
    let late = Peer::join(&ticket, &Options::new(XCHACHA)).await.expect("the node knows a good token by itself");
    late.start_speaking().await.expect("op 5 goes out");
    speak_until_heard(&late, &mut bob.peer, eve.user.id).await;

    world.restart().await;
    let room = world.voice.to_string();
    eventually("the room to be taken up with everyone in it", async || {
        let list = operated(&world.server, &["room", "list"]);
        let line = list.lines().find(|line| line.starts_with(&room))?.to_owned();
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[1] == "eu-1" && words[3] == "3").then_some(())
    })
    .await;
    hear_each_other(&mut ann, &mut bob).await;
    // Someone new sees them, and comes to where they are.
    let mut dan = caller(&world, "dan", IN_US).await;
    assert_eq!(dan.grant.endpoint, eu.endpoint());
    ann.peer.send_opus(&distinct(1, 3)[0]).await.expect("a packet goes out");
    timeout(guildhall_tests::DEADLINE, dan.hears(&ann)).await.expect("in time");
}

#[tokio::test]
async fn who_measures_nothing_is_placed_by_where_their_address_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("city.mmdb");
    std::fs::write(&file, database("Test-City", &[("127.0.0.0/8", Some(NEAR_US))])).expect("written");
    let (world, [eu, us], _) = fleet_with(&["--geo-database", path(&file), "--region-locations", PLACES]).await;
    let bot = world.bot("jukebox", Permissions::CONNECT | Permissions::SPEAK | Permissions::VIEW_CHANNEL).await;
    let mut bots = world.session(&bot).await;
    let grant = bots.join_voice(world.guild, world.voice).await.expect("op 4 is answered");
    assert_eq!(grant.endpoint, us.endpoint(), "eu is the default");
    Peer::join(&grant, &Options::new(GCM)).await.expect("the node lets it in");
    let why = operated(&world.server, &["room", "why", &world.voice.to_string()]);
    assert!(why.contains("its farthest member is nearest there"), "{why}");
    assert!(why.contains("1 of 1 members' distances are known, 1 of them estimated by address, which counts half"), "{why}");

    // Whoever measures is where they say.
    let kitchen = world.owner.rest.create_channel(world.guild, "kitchen", ChannelType::Voice).await.expect("a channel").id;
    let ann = world.member("ann").await;
    let mut anns = world.session(&ann).await;
    let grant = anns.join_voice_from(world.guild, kitchen, IN_EU).await.expect("op 4 is answered");
    assert_eq!(grant.endpoint, eu.endpoint());
    let why = operated(&world.server, &["room", "why", &kitchen.to_string()]);
    assert!(why.contains("1 of 1 members' distances are known\n") && !why.contains("estimated"), "{why}");
}

#[tokio::test]
async fn a_node_whose_heartbeats_go_on_and_whose_audio_does_not_is_found_by_calls_and_left() {
    let (server, nodes) = control_plane_with(&["--probe-calls", "3"]);
    let world = World::on(server).await;
    let (ann, bob) = (world.member("ann").await, world.member("bob").await);
    let (mut ann_session, mut bob_session) = (world.session(&ann).await, world.session(&bob).await);
    let listed = async |what: &str| {
        let line = |list: String| list.lines().find(|line| line.contains(what)).map(str::to_owned);
        eventually(what, async || line(operated(&world.server, &["node", "list"]))).await
    };
    let eu = VoiceNode::start(&world.server, &nodes, "eu-1", "eu");
    listed("eu-1").await;
    // Nothing listens there: people are told an address for their media that leads nowhere.
    let secret = world.server.data().join("join.secret");
    let half_dead = ["--join-secret-file", path(&secret), "--media-ip", "127.0.0.2"];
    let us = VoiceNode::start_with(&world.server, &nodes, "us-1", "us", &half_dead);
    listed("us-1").await;
    let grant = ann_session.join_voice_from(world.guild, world.voice, IN_US).await.expect("op 4 is answered");
    assert_eq!(grant.endpoint, us.endpoint(), "two calls must fail before it is given up");

    // On a machine that has other things to do, it takes longer than anyone waits for one word.
    let mut moved = ann_session.moved(&grant).await;
    for _ in 0..3 {
        if moved.is_err() {
            moved = ann_session.moved(&grant).await;
        }
    }
    let grant = moved.expect("the node is found, and ann is told");
    assert_eq!(grant.endpoint, eu.endpoint());
    let peer = Peer::join(&grant, &Options::new(GCM)).await.expect("the node lets them in");
    let mut ann = Caller { account: ann, session: ann_session, grant, peer };
    let grant = bob_session.join_voice_from(world.guild, world.voice, IN_US).await.expect("op 4 is answered");
    let peer = Peer::join(&grant, &Options::new(GCM)).await.expect("the node lets them in");
    let mut bob = Caller { account: bob, session: bob_session, grant, peer };
    hear_each_other(&mut ann, &mut bob).await;

    let failing = listed("us-1").await;
    assert!(failing.contains("failing: no answer over UDP"), "{failing}");
    let serving = listed("eu-1").await;
    assert!(serving.contains("serving") && serving.contains(" ms "), "{serving}");
    let rooms = operated(&world.server, &["room", "list"]);
    assert_eq!(rooms.lines().count(), 2, "a heading and the one room that people are in: {rooms}");
    let why = operated(&world.server, &["room", "why", &world.voice.to_string()]);
    assert!(why.contains("moves from us-1 to eu-1: its node is lost, being emptied, failing"), "{why}");
    assert!(why.contains("not us-1: failing its probe calls"), "{why}");
    let metrics = world.rest.download(&format!("{}/metrics", world.server.base())).await.expect("for this machine");
    let metrics = String::from_utf8(metrics).expect("text");
    assert!(metrics.contains("guildhall_nodes{state=\"failing\"} 1\n"), "{metrics}");
    assert!(!metrics.contains("guildhall_probe_calls_total{outcome=\"heard\"} 0\n"), "{metrics}");
    assert!(metrics.contains("guildhall_probe_deaf 0\n"), "{metrics}");
}
