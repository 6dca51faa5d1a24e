//! Voice states by REST: who is connected where, and who speaks on a stage.

use super::{Session, World, text};
use crate::gateway::Origin;
use crate::hub::core::Attached;
use guildhall_protocol::Permissions;
use guildhall_protocol::gateway::{Identify, Intents, PresenceUpdate, Shard, VoiceStateUpdate};
use serde_json::{Value, json};

impl World {
    /// Opens a gateway session.
    pub(super) async fn connect(&self, who: &Session) -> Attached {
        let identify = Identify {
            token: who.token.clone(),
            intents: Some(Intents::GUILDS),
            large_threshold: 50,
            shard: Shard::WHOLE,
            presence: Some(PresenceUpdate::default()),
        };
        let origin = Origin { host: "hall.example".to_owned(), is_tls: false, address: None };
        self.control_plane.hub().identify(identify, &origin, 10).await.unwrap()
    }

    async fn voice_state(&self, who: &Session) -> Value {
        self.get(who, &format!("/guilds/{}/voice-states/@me", self.guild)).await.ok()
    }

    pub(super) fn join_voice(&self, session: &Attached, channel: &str) {
        let update = VoiceStateUpdate {
            guild_id: self.guild.parse().unwrap(),
            channel_id: Some(channel.parse().unwrap()),
            ..VoiceStateUpdate::default()
        };
        self.control_plane.hub().update_voice(session, update);
    }
}

#[tokio::test]
async fn a_voice_state_is_shown_to_those_who_may_see_the_channel() {
    let world = World::new().await;
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let path = |who: &str| format!("/guilds/{}/voice-states/{who}", world.guild);
    world.get(&anna, &path("@me")).await.refused(404, 10065);
    let session = world.connect(&anna).await;
    world.join_voice(&session, &world.voice);
    let state = world.voice_state(&anna).await;
    assert_eq!((&state["channel_id"], &state["suppress"]), (&json!(world.voice), &json!(false)));
    assert_eq!(world.get(&bea, &path(&anna.id)).await.ok(), state);
    // Only on a stage is there anyone to let speak.
    world.patch(&world.owner, &path(&anna.id), json!({ "suppress": true })).await.refused(400, 50024);
    let hide = json!({ "type": 0, "deny": Permissions::VIEW_CHANNEL.0.to_string() });
    world.put(&world.owner, &format!("/channels/{}/permissions/{}", world.voice, world.guild), hide).await.no_content();
    world.get(&bea, &path(&anna.id)).await.refused(404, 10065);
}

#[tokio::test]
async fn on_a_stage_the_audience_asks_and_moderators_let_speak() {
    let world = World::new().await;
    let stage = json!({ "name": "stage", "type": 13 });
    let stage = text(&world.post(&world.owner, &format!("/guilds/{}/channels", world.guild), stage).await.ok()["id"]);
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let path = |who: &str| format!("/guilds/{}/voice-states/{who}", world.guild);
    let session = world.connect(&anna).await;
    world.join_voice(&session, &stage);
    let is = async |suppress: bool, has_asked: bool| {
        let state = world.voice_state(&anna).await;
        assert_eq!(
            (&state["suppress"], state["request_to_speak_timestamp"].is_string()),
            (&json!(suppress), has_asked),
            "{state}"
        );
    };
    is(true, false).await;
    world.patch(&anna, &path("@me"), json!({ "suppress": false })).await.refused(403, 50013);
    let now = guildhall_protocol::model::timestamp(crate::ids::unix_ms());
    let ask = json!({ "channel_id": stage, "request_to_speak_timestamp": now });
    world.patch(&anna, &path("@me"), ask.clone()).await.no_content();
    is(true, true).await;
    world.patch(&anna, &path("@me"), json!({ "request_to_speak_timestamp": null })).await.no_content();
    is(true, false).await;
    world
        .patch(&anna, &path("@me"), json!({ "request_to_speak_timestamp": "soon" }))
        .await
        .form_error("/request_to_speak_timestamp", "DATE_TIME_TYPE_PARSE");
    world.patch(&bea, &path(&anna.id), json!({ "suppress": false })).await.refused(403, 50013);
    world.patch(&bea, &path("@me"), ask).await.refused(404, 10065);
    let elsewhere = json!({ "channel_id": world.voice, "suppress": false });
    world.patch(&world.owner, &path(&anna.id), elsewhere).await.refused(404, 10065);
    world.patch(&world.owner, &path(&anna.id), json!({ "channel_id": stage, "suppress": false })).await.no_content();
    is(false, true).await;
    // A speaker stays one when rights change, and goes back to the audience at will.
    let fewer = Permissions::VIEW_CHANNEL | Permissions::CONNECT | Permissions::SPEAK | Permissions::REQUEST_TO_SPEAK;
    let everyone = format!("/guilds/{0}/roles/{0}", world.guild);
    world.patch(&world.owner, &everyone, json!({ "permissions": fewer.0.to_string() })).await.ok();
    is(false, true).await;
    world.patch(&anna, &path("@me"), json!({ "suppress": true })).await.no_content();
    is(true, true).await;
    world.patch(&world.owner, &path(&anna.id), json!({ "suppress": false })).await.no_content();
    world.patch(&world.owner, &path(&anna.id), json!({ "suppress": true })).await.no_content();
    is(true, false).await;
    // Without the right to ask there is no asking.
    let deny = json!({ "type": 0, "deny": Permissions::REQUEST_TO_SPEAK.0.to_string() });
    world.put(&world.owner, &format!("/channels/{stage}/permissions/{}", world.guild), deny).await.no_content();
    world.patch(&anna, &path("@me"), json!({ "request_to_speak_timestamp": now })).await.refused(403, 50013);
}
