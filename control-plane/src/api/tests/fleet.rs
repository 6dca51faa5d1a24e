//! Several control planes on one PostgreSQL database.

mod delivery;
mod limits;
mod moving;
mod orders;
pub(super) mod siblings;
mod upgrade;

use super::{World, text};
use crate::gateway::link::Ending;
use crate::hub::core::Attached;
use crate::hub::world::{ending, told};
use crate::store::testing::{Place, Redis};
use futures_util::future::join_all;
use guildhall_protocol::gateway::CloseCode;
use guildhall_protocol::voice_token::VoiceKey;
use guildhall_protocol::{MessageId, Snowflake};
use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The first control plane of each test has 0.
static NEXT_ISSUER: AtomicU64 = AtomicU64::new(1);

impl World {
    async fn on_postgres(bus: Option<String>) -> Self {
        let place = Place::on_postgres().await;
        Self::at(place, tempfile::tempdir().unwrap(), |config| (config.rate_limits, config.bus) = (false, bus)).await
    }

    /// With rate limits, as in production.
    async fn on_postgres_limited(bus: String) -> Self {
        let place = Place::on_postgres().await;
        Self::at(place, tempfile::tempdir().unwrap(), |config| config.bus = Some(bus)).await
    }

    /// Another control plane on the same database.
    async fn beside(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = self.place.beside();
        let mut config = super::Config::new(folder.path().to_owned(), VoiceKey::new(&[7; 32]));
        config.database = place.location.clone();
        config.rate_limits = self.control_plane.app().config().rate_limits;
        config.fleet.issuer = NEXT_ISSUER.fetch_add(1, Ordering::Relaxed);
        config.bus.clone_from(&self.control_plane.app().config().bus);
        let control_plane = super::ControlPlane::start(config).await.unwrap();
        let node = super::node(&control_plane).await;
        assert!(control_plane.ensure_owner().await.unwrap().is_none(), "there is one first start");
        Self {
            router: control_plane.router(),
            control_plane,
            owner: self.owner.clone(),
            guild: self.guild.clone(),
            text: self.text.clone(),
            voice: self.voice.clone(),
            place,
            folder,
            validated: Mutex::default(),
            _node: node,
        }
    }

    /// Until it has applied everything that is committed now.
    async fn catch_up(&self) {
        let last = self.control_plane.app().store().last_event().await.unwrap();
        self.control_plane.hub().reach(last).await;
    }
}

/// What the session was told of messages, in order.
fn heard(session: &Attached) -> Vec<String> {
    let messages = told(session).into_iter().filter(|(name, _)| *name == "MESSAGE_CREATE");
    messages.map(|(_, message)| text(&message["content"])).collect()
}

/// Everyone writes everywhere at the same time; both sides hear all of it in one order, which is also that of the history.
async fn two_sides_hear_one_order(bus: Option<String>) {
    let a = World::on_postgres(bus).await;
    let b = a.beside().await;
    let ann = a.member("ann").await;
    let (on_a, _) = a.listen(&a.owner, None).await;
    let (on_b, ready) = b.listen(&ann, None).await;
    assert_eq!(ready["user"]["id"], ann.id.as_str());
    for round in 0..3 {
        let posts = (30 * round..).take(30).map(|number: usize| {
            let (world, who) =
                (if number.is_multiple_of(2) { &a } else { &b }, if number.is_multiple_of(3) { &ann } else { &a.owner });
            let content = number.to_string();
            async move { world.say(who, &content).await }
        });
        join_all(posts).await;
    }
    a.catch_up().await;
    b.catch_up().await;
    let (at_a, at_b) = (heard(&on_a), heard(&on_b));
    assert_eq!(at_a.len(), 90);
    assert_eq!(at_a, at_b);
    assert_eq!(a.said().await, at_a);
    let id = |world: &World| world.control_plane.app().store().make_id::<MessageId>();
    let number = |Snowflake(id): Snowflake| id >> 12 & 1023;
    assert_ne!(number(id(&a).0), number(id(&b).0), "two control planes never make the same id");
}

#[tokio::test]
async fn two_control_planes_tell_each_other_everything_in_one_order_without_a_bus() {
    two_sides_hear_one_order(None).await;
}

#[tokio::test]
async fn two_control_planes_tell_each_other_everything_in_one_order_over_a_bus() {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(folder.path());
    two_sides_hear_one_order(Some(redis.url())).await;
}

#[tokio::test]
async fn a_log_out_ends_sessions_and_forgets_the_token_on_every_control_plane() {
    let a = World::on_postgres(None).await;
    let b = a.beside().await;
    let ann = a.member("ann").await;
    let (on_b, _) = b.listen(&ann, None).await;
    b.get(&ann, "/users/@me").await.ok();
    a.post(&ann, "/auth/logout", json!({})).await.no_content();
    b.catch_up().await;
    assert_eq!(ending(&on_b), Some(Ending::Close(CloseCode::AuthenticationFailed)));
    assert_eq!(b.get(&ann, "/users/@me").await.status, 401);
}

#[tokio::test]
async fn what_one_control_plane_changes_binds_the_other() {
    let a = World::on_postgres(None).await;
    let b = a.beside().await;
    let ann = a.member("ann").await;
    b.say(&ann, "still here").await;
    a.delete(&a.owner, &format!("/guilds/{}/members/{}", a.guild, ann.id)).await.no_content();
    b.catch_up().await;
    let refused = b.post(&ann, &b.messages_path(), json!({ "content": "gone" })).await;
    assert!(matches!(refused.status, 403 | 404), "{}", refused.body);
    // And a guild that only the other has loaded changes there, too.
    let channel = a.post(&a.owner, &format!("/guilds/{}/channels", a.guild), json!({ "name": "new" })).await.ok();
    b.catch_up().await;
    let path = format!("/channels/{}/messages", text(&channel["id"]));
    b.post(&b.owner, &path, json!({ "content": "first" })).await.ok();
}
