//! What is not durable, over a real Redis: voice, presence and typing of people at another control plane.

use super::super::{Config, ControlPlane, Session, World, text};
use crate::hub::core::Attached;
use crate::hub::world::{hello, told};
use crate::store::testing::Redis;
use guildhall_protocol::fleet::{FromNode, Secret, ToNode};
use guildhall_protocol::gateway::{Intents, PresenceUpdate, Status, VoiceStateUpdate};
use guildhall_protocol::voice_token::VoiceKey;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;

/// Much longer than anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(40);

/// The next dispatch of this name that fits.
pub(in crate::api::tests) async fn hears(session: &Attached, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let hearing = async {
        loop {
            let found = told(session).into_iter().find(|(heard, d)| *heard == name && fits(d));
            match found {
                Some((_, d)) => return d,
                None => session.link.rung().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, hearing).await.unwrap_or_else(|_| panic!("{name} was not heard"))
}

fn shows<'a>(who: &'a Session, status: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |d| d["user"]["id"] == who.id.as_str() && d["status"] == status
}

fn sits<'a>(who: &'a Session, channel: &'a Value) -> impl Fn(&Value) -> bool + 'a {
    move |d| d["user_id"] == who.id.as_str() && d["channel_id"] == *channel
}

impl World {
    async fn listen_to_all(&self, who: &Session) -> Attached {
        self.listen(who, Some(Intents::ALL)).await.0
    }

    fn show(&self, session: &Attached, status: Status) {
        self.control_plane.hub().set_presence(session, PresenceUpdate { status, activities: Vec::new() });
    }

    fn leave_voice(&self, session: &Attached) {
        let update = VoiceStateUpdate { guild_id: self.guild.parse().unwrap(), ..VoiceStateUpdate::default() };
        self.control_plane.hub().update_voice(session, update);
    }
}

pub(in crate::api::tests) struct Two {
    pub a: World,
    pub b: World,
    pub ann: Session,
    pub bob: Session,
    pub ann_at_a: Attached,
    pub bob_at_b: Attached,
    pub redis: Redis,
    pub folder: tempfile::TempDir,
}

/// Ann is at one control plane, Bob at another, and each sees the other.
pub(in crate::api::tests) async fn two() -> Two {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(folder.path());
    let a = World::on_postgres(Some(redis.url())).await;
    let b = a.beside().await;
    let (ann, bob) = (a.member("ann").await, a.member("bob").await);
    b.catch_up().await;
    let bob_at_b = b.listen_to_all(&bob).await;
    let ann_at_a = a.listen_to_all(&ann).await;
    hears(&bob_at_b, "PRESENCE_UPDATE", shows(&ann, "online")).await;
    Two { a, b, ann, bob, ann_at_a, bob_at_b, redis, folder }
}

#[tokio::test]
async fn presence_and_typing_reach_people_at_another_control_plane() {
    let Two { a, b, ann, bob, ann_at_a, bob_at_b, redis, folder: _folder } = two().await;
    a.show(&ann_at_a, Status::Dnd);
    hears(&bob_at_b, "PRESENCE_UPDATE", shows(&ann, "dnd")).await;
    b.post(&bob, &format!("/channels/{}/typing", b.text), json!({})).await.no_content();
    hears(&ann_at_a, "TYPING_START", |d| d["user_id"] == bob.id.as_str()).await;
    a.befriend(&ann, &bob).await;
    let dm = a.dm(&ann, &bob).await;
    b.catch_up().await;
    a.post(&ann, &format!("{dm}/typing"), json!({})).await.no_content();
    hears(&bob_at_b, "TYPING_START", |d| d["user_id"] == ann.id.as_str() && d["guild_id"].is_null()).await;
    // Nobody at the other control plane is away.
    assert_eq!(b.control_plane.hub().present(&[ann.id.parse().unwrap()]).len(), 1);
    drop(redis);
}

#[tokio::test]
async fn voice_is_one_over_two_control_planes() {
    let Two { a, b, ann, bob, ann_at_a, bob_at_b, redis, folder: _folder } = two().await;
    let voice = json!(a.voice);
    a.join_voice(&ann_at_a, &a.voice);
    hears(&bob_at_b, "VOICE_STATE_UPDATE", sits(&ann, &voice)).await;
    let path = format!("/guilds/{}/voice-states/{}", b.guild, ann.id);
    assert_eq!(b.get(&bob, &path).await.ok()["channel_id"], voice);
    // The other control plane mutes her, moves her and puts her out.
    let member = format!("/guilds/{}/members/{}", b.guild, ann.id);
    b.patch(&b.owner, &member, json!({ "mute": true })).await.ok();
    hears(&bob_at_b, "VOICE_STATE_UPDATE", |d| sits(&ann, &voice)(d) && d["mute"] == true).await;
    let other = b.post(&b.owner, &format!("/guilds/{}/channels", b.guild), json!({ "name": "other", "type": 2 })).await.ok();
    let other = other["id"].clone();
    a.catch_up().await;
    told(&ann_at_a);
    b.patch(&b.owner, &member, json!({ "channel_id": other })).await.ok();
    hears(&ann_at_a, "VOICE_SERVER_UPDATE", |d| !d["endpoint"].is_null()).await;
    hears(&bob_at_b, "VOICE_STATE_UPDATE", sits(&ann, &other)).await;
    b.patch(&b.owner, &member, json!({ "channel_id": null })).await.ok();
    hears(&ann_at_a, "VOICE_STATE_UPDATE", sits(&ann, &Value::Null)).await;
    b.patch(&b.owner, &member, json!({ "channel_id": null })).await.refused(400, 40032);
    // Whoever joins by a session elsewhere is there from then on, and only there.
    a.join_voice(&ann_at_a, &a.voice);
    hears(&bob_at_b, "VOICE_STATE_UPDATE", sits(&ann, &voice)).await;
    let ann_at_b = b.listen_to_all(&ann).await;
    b.join_voice(&ann_at_b, &text(&other));
    hears(&ann_at_b, "VOICE_SERVER_UPDATE", |_| true).await;
    hears(&ann_at_a, "VOICE_STATE_UPDATE", sits(&ann, &other)).await;
    a.leave_voice(&ann_at_a);
    b.leave_voice(&ann_at_b);
    hears(&ann_at_a, "VOICE_STATE_UPDATE", sits(&ann, &Value::Null)).await;
    drop(redis);
}

#[tokio::test]
async fn on_a_stage_a_moderator_at_another_control_plane_lets_speak() {
    let Two { a, b, ann, ann_at_a, bob_at_b, redis, folder: _folder, .. } = two().await;
    let stage = a.post(&a.owner, &format!("/guilds/{}/channels", a.guild), json!({ "name": "stage", "type": 13 })).await.ok();
    let stage = stage["id"].clone();
    b.catch_up().await;
    a.join_voice(&ann_at_a, &text(&stage));
    hears(&bob_at_b, "VOICE_STATE_UPDATE", |d| sits(&ann, &stage)(d) && d["suppress"] == true).await;
    let path = format!("/guilds/{}/voice-states/{}", b.guild, ann.id);
    b.patch(&b.owner, &path, json!({ "channel_id": stage, "suppress": false })).await.no_content();
    hears(&bob_at_b, "VOICE_STATE_UPDATE", |d| d["suppress"] == false && d["request_to_speak_timestamp"].is_string()).await;
    drop(redis);
}

#[tokio::test]
async fn a_redis_that_restarts_makes_nobody_go_and_what_changed_meanwhile_is_told() {
    let Two { a, b, ann, bob, ann_at_a, bob_at_b, redis, folder } = two().await;
    drop(redis);
    b.control_plane.app().bus().is_now(false).await;
    a.show(&ann_at_a, Status::Idle);
    a.join_voice(&ann_at_a, &a.voice);
    hears(&ann_at_a, "VOICE_SERVER_UPDATE", |_| true).await;
    let redis = Redis::start(folder.path());
    // Not once is she offline in between.
    let news = hears(&bob_at_b, "PRESENCE_UPDATE", |d| d["user"]["id"] == ann.id.as_str()).await;
    assert_eq!(news["status"], "idle");
    // What was said before may have been in the same breath.
    if b.get(&bob, &format!("/guilds/{}/voice-states/{}", b.guild, ann.id)).await.status != 200 {
        hears(&bob_at_b, "VOICE_STATE_UPDATE", sits(&ann, &json!(a.voice))).await;
    }
    drop(redis);
}

#[tokio::test]
async fn a_control_plane_that_dies_takes_its_people_with_it() {
    let Two { a, ann, bob_at_b, redis, folder: _folder, .. } = two().await;
    a.control_plane.hub().fall_silent();
    hears(&bob_at_b, "PRESENCE_UPDATE", shows(&ann, "offline")).await;
    drop(redis);
}

#[tokio::test]
async fn control_planes_share_the_key_of_voice_tokens_and_no_issuer() {
    let a = World::on_postgres(None).await;
    let start = async |voice_key: Option<VoiceKey>, issuer| {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path().to_owned(), voice_key);
        config.database = a.place.location.clone();
        config.fleet.issuer = issuer;
        ControlPlane::start(config).await.map(|started| (started, folder))
    };
    let refusal = start(Some(VoiceKey::new(&[8; 32])), 70).await.err().unwrap().to_string();
    assert!(refusal.contains("voice.key") && refusal.contains("share"), "{refusal}");
    let (other, _folder) = start(None, 71).await.unwrap();
    let (to_node, mut for_node) = mpsc::channel(4);
    let (of_node, from_node) = mpsc::channel(4);
    let hello = FromNode::Hello { hello: hello("eu-1", "eu", "eu:1", 1), rooms: Vec::new(), sittings: Vec::new() };
    of_node.send(hello).await.unwrap();
    let hub = other.hub().clone();
    tokio::spawn(async move { hub.serve_node(from_node, to_node).await });
    assert_eq!(for_node.recv().await, Some(ToNode::Welcome { voice_key: Secret([7; 32]) }), "the first one's");
    other.shutdown().await;
}
