//! Stream keys, and what programs are answered that come with one.

use super::{Reply, Session, World, text};
use axum::body::Body;
use axum::http::{Method, Request};
use guildhall_protocol::Permissions;
use serde_json::{Value, json};

const OFFER: &str = "v=0\r\n";

impl World {
    /// POST of an offer with a bearer token.
    async fn offer(&self, way: &str, channel: &str, token: Option<&str>, kind: &str, body: &str) -> Reply {
        let uri = format!("/api/v10/channels/{channel}/{way}");
        let mut request = Request::builder().method(Method::POST).uri(uri).header("host", "hall.example:8080");
        request = request.header("content-type", kind);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn sdp(&self, way: &str, token: &str) -> Reply {
        self.offer(way, &self.voice, Some(token), "application/sdp", OFFER).await
    }

    fn keys(&self) -> String {
        format!("/channels/{}/stream-keys", self.voice)
    }

    async fn stream_key(&self, who: &Session) -> Value {
        self.post(who, &self.keys(), json!({ "name": "OBS" })).await.ok()
    }

    async fn overwrite(&self, deny: Permissions) {
        let path = format!("/channels/{}/permissions/{}", self.voice, self.guild);
        self.put(&self.owner, &path, json!({ "type": 0, "deny": deny.0.to_string() })).await.no_content();
    }
}

#[tokio::test]
async fn a_key_is_shown_once_listed_without_its_secret_and_deleted_by_its_owner() {
    let world = World::new().await;
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let made = world.stream_key(&anna).await;
    let secret = text(&made["key"]);
    assert!(secret.starts_with("stream_") && secret.len() > 30, "{made}");
    assert_eq!((&made["name"], &made["user_id"], &made["channel_id"]), (&json!("OBS"), &json!(anna.id), &json!(world.voice)));
    let url = format!("http://hall.example:8080/api/v10/channels/{}/whip", world.voice);
    assert_eq!((&made["whip_url"], &made["whep_url"]), (&json!(url), &json!(url.replace("whip", "whep"))));
    assert_eq!(world.post(&anna, &world.keys(), json!({})).await.ok()["name"], "Stream");
    let listed = world.get(&anna, &world.keys()).await.ok();
    let mut without = made.clone();
    without.as_object_mut().unwrap().remove("key");
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]), (2, &without));
    assert_eq!(world.get(&bea, &world.keys()).await.ok(), json!([]), "everyone has their own");

    let path = format!("{}/{}", world.keys(), text(&made["id"]));
    world.call(&bea, Method::DELETE, &path, None).await.refused(404, 0);
    world.call(&anna, Method::DELETE, &path, None).await.no_content();
    world.call(&anna, Method::DELETE, &path, None).await.refused(404, 0);
    assert_eq!(world.sdp("whep", &secret).await.status, 401);

    let in_text = format!("/channels/{}/stream-keys", world.text);
    world.post(&anna, &in_text, json!({})).await.refused(400, 50024);
    world.post(&anna, &world.keys(), json!({ "name": "" })).await.form_error("/name", "BASE_TYPE_BAD_LENGTH");
    for _ in 1..25 {
        world.stream_key(&anna).await;
    }
    world.post(&anna, &world.keys(), json!({})).await.refused(400, 0);
}

#[tokio::test]
async fn an_offer_with_a_key_is_sent_to_the_rooms_node() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let secret = text(&world.stream_key(&anna).await["key"]);
    for way in ["whip", "whep"] {
        let reply = world.sdp(way, &secret).await;
        assert_eq!((reply.status, reply.text.as_str()), (307, ""));
        assert!(reply.header("location").starts_with("/streams?token="), "{}", reply.header("location"));
        let state = world.get(&world.owner, &format!("/guilds/{}/voice-states/{}", world.guild, anna.id)).await.ok();
        assert_eq!(state["channel_id"], json!(world.voice));
        assert_eq!((&state["self_deaf"], &state["self_mute"]), (&json!(way == "whip"), &json!(way == "whep")));
        assert!(state["session_id"].as_str().is_some_and(|id| id.starts_with(way)), "{state}");
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_answered_clearly() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let secret = text(&world.stream_key(&anna).await["key"]);
    let channels = format!("/guilds/{}/channels", world.guild);
    let other = text(&world.post(&world.owner, &channels, json!({ "name": "other", "type": 2 })).await.ok()["id"]);
    for token in [None, Some("stream_nothing"), Some(anna.token.as_str()), Some("")] {
        let reply = world.offer("whip", &world.voice, token, "application/sdp", OFFER).await;
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        reply.refused(401, 0);
    }
    world.offer("whip", &world.voice, Some(&secret), "application/json", OFFER).await.refused(415, 0);
    world.offer("whip", &world.voice, Some(&secret), "application/sdp", &"x".repeat(70_000)).await.refused(413, 40005);
    world.offer("whip", &other, Some(&secret), "application/sdp", OFFER).await.refused(403, 50001);

    world.overwrite(Permissions::STREAM).await;
    world.sdp("whip", &secret).await.refused(403, 50013);
    assert_eq!(world.sdp("whep", &secret).await.status, 307, "who may not show may watch");
    world.overwrite(Permissions::CONNECT).await;
    world.sdp("whep", &secret).await.refused(403, 50013);
    world.post(&anna, &world.keys(), json!({})).await.refused(403, 50013);
    world.overwrite(Permissions::VIEW_CHANNEL).await;
    world.sdp("whep", &secret).await.refused(403, 50001);
    world.overwrite(Permissions::NONE).await;

    world.patch(&world.owner, &format!("/channels/{}", world.voice), json!({ "user_limit": 1 })).await.ok();
    let bea = world.member("bea").await;
    let of_bea = text(&world.stream_key(&bea).await["key"]);
    assert_eq!(world.sdp("whep", &of_bea).await.status, 307);
    world.sdp("whep", &secret).await.refused(409, 0);
    let kicked = format!("/guilds/{}/members/{}", world.guild, bea.id);
    world.call(&world.owner, Method::DELETE, &kicked, None).await.no_content();
    world.sdp("whep", &of_bea).await.refused(403, 50001);
    let path = format!("/channels/{}", world.voice);
    world.call(&world.owner, Method::DELETE, &path, None).await.ok();
    world.sdp("whep", &secret).await.refused(401, 0);
}

#[tokio::test]
async fn a_deleted_key_ends_what_came_by_it() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let made = world.stream_key(&anna).await;
    assert_eq!(world.sdp("whip", &text(&made["key"])).await.status, 307);
    let place = format!("/guilds/{}/voice-states/@me", world.guild);
    world.get(&anna, &place).await.ok();
    world.call(&anna, Method::DELETE, &format!("{}/{}", world.keys(), text(&made["id"])), None).await.no_content();
    world.get(&anna, &place).await.refused(404, 10065);
}
