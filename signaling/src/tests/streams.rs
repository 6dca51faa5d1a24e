//! Programs over HTTP: what they are answered, and what the room and the control plane hear of them.

use super::*;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use guildhall_protocol::fleet::Way;
use tower::ServiceExt;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// The first lines of an offer, and a section for each medium and direction that `media` names, as in `audio sendonly`.
fn offer(ufrag: &str, media: &[&str]) -> String {
    let mut text = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n".to_owned();
    for (mid, medium) in media.iter().enumerate() {
        let (kind, direction) = medium.split_once(' ').expect("a kind and a direction");
        let codec = if kind == "audio" { "opus/48000/2" } else { "VP8/90000" };
        text += &format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
             a=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\na=rtpmap:96 {codec}\r\n",
            ["AB"; 32].join(":")
        );
    }
    text
}

fn publishes() -> String {
    offer("abcd", &["audio sendonly", "video sendrecv"])
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[track_caller]
    fn refused(self, status: u16) -> String {
        assert_eq!((self.status, self.header("content-type")), (status, "application/json"), "{}", self.body);
        assert_eq!(self.header("access-control-allow-origin"), "*");
        serde_json::from_str::<Value>(&self.body).expect("JSON")["message"].as_str().expect("a sentence").to_owned()
    }
}

impl World {
    async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.signaling.streams().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Reply { status, headers, body: String::from_utf8(body.into()).unwrap() }
    }

    fn program(user: u64, token_id: u64, way: Way) -> Sitting {
        let session_id = way.session_id(&[9; 32], &[token_id as u8; 16]);
        Sitting { participant: Participant { session_id, ..participant(user) }, ..sitting(user, token_id) }
    }

    /// What the control plane says of somebody's program, and the path that it is sent to.
    fn ticket(&self, user: u64, way: Way) -> (Sitting, String) {
        let token_id = self.next_token.fetch_add(1, Ordering::Relaxed);
        let program = Self::program(user, token_id, way);
        let Sitting { participant, policy, epoch, issuer, .. } = program.clone();
        let expires_at_ms = crate::node::unix_ms() + LIFETIME_MS;
        let node = NodeId::from("node");
        let token = self.key.sign(&VoiceClaims { participant, policy, token_id, node, epoch, issuer, expires_at_ms });
        (program, format!("/streams?token={token}"))
    }

    async fn offers(&self, path: &str, offer: &str) -> Reply {
        self.call(Method::POST, path, &[("content-type", SDP)], offer).await
    }

    /// A program that is let in: as what, and the path of its session.
    async fn enters(&self, user: u64, way: Way, offer: &str) -> (Sitting, String) {
        let (program, path) = self.ticket(user, way);
        let reply = self.offers(&path, offer).await;
        assert_eq!((reply.status, reply.header("content-type")), (201, SDP), "{}", reply.body);
        (program, reply.header("location").to_owned())
    }

    async fn deletes(&self, session: &str) -> Reply {
        self.call(Method::DELETE, session, &[], "").await
    }

    /// Waits until a session that was ended from elsewhere is gone.
    async fn is_gone(&self, session: &str) {
        let gone = async {
            while self.call(Method::PATCH, session, &[], "").await.status != 404 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("the session ends");
    }
}

#[tokio::test]
async fn what_is_no_offer_of_an_invited_program_is_refused_and_uses_nothing_up() {
    let world = World::new().await;
    let (_, path) = world.ticket(1, Way::Whip);
    let good = publishes();
    let cases = [
        ("no token", "/streams", SDP, good.clone(), 401),
        ("noise for a token", "/streams?token=a.b", SDP, good.clone(), 401),
        ("a person's token", &format!("/streams?token={}", world.token(1)), SDP, good.clone(), 401),
        ("another kind", &path, "application/json", good.clone(), 415),
        ("no words", &path, SDP, String::new(), 400),
        ("no credentials", &path, SDP, good.replace("a=ice-pwd", "a=x"), 400),
        ("no fingerprint", &path, SDP, good.replace("sha-256", "sha-1"), 400),
        ("other codecs", &path, SDP, good.replace("opus", "opera").replace("VP8", "VP7"), 400),
        ("endless", &path, SDP, good.clone() + &"a=x\r\n".repeat(20_000), 413),
    ];
    for (what, path, kind, body, status) in cases {
        let reply = world.call(Method::POST, path, &[("content-type", kind)], &body).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.body);
        assert_eq!(reply.header("www-authenticate"), if status == 401 { "Bearer" } else { "" }, "{what}");
        reply.refused(status);
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(world.call(method.clone(), &path, &[], "").await.status, 405, "{method}");
    }
    let reply = world.offers(&path, &good).await;
    assert_eq!(reply.status, 201, "the token is still good: {}", reply.body);
    world.offers(&path, &good).await.refused(401);
    world.end().await;
}

#[tokio::test]
async fn an_offer_of_nothing_is_refused_and_its_seat_is_free_again() {
    let mut world = World::new().await;
    let cases = [(Way::Whip, vec!["audio recvonly", "video inactive"]), (Way::Whep, vec!["audio sendonly", "video recvonly"])];
    for (way, media) in cases {
        let (_, path) = world.ticket(1, way);
        world.offers(&path, &offer("abcd", &media)).await.refused(422);
    }
    let (ann, session) = world.enters(1, Way::Whip, &offer("abcd", &["video sendonly"])).await;
    assert_eq!(world.reported().await, FromNode::Joined(ann.clone()), "nobody was reported before");
    assert_eq!(world.deletes(&session).await.status, 200);
    assert_eq!(world.reported().await, FromNode::Left(ann));
    world.end().await;
}

#[tokio::test]
async fn a_publisher_is_heard_and_seen_until_it_deletes_its_session() {
    let mut world = World::new().await;
    let (mut bob, bob_ssrc) = world.join(2, &world.token(2)).await;
    assert_eq!(world.reported().await, joined(2, 1));
    let (ann, path) = world.ticket(1, Way::Whip);
    let reply = world.offers(&path, &publishes()).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let directions: Vec<&str> = reply.body.lines().filter(|line| line.ends_with("only") || line.ends_with("sendrecv")).collect();
    assert_eq!(directions, ["a=recvonly", "a=recvonly"], "it is sent nothing");
    let exposed = reply.header("access-control-expose-headers");
    assert!(["ETag", "Location"].iter().all(|name| exposed.contains(name)), "{exposed}");
    let session = reply.header("location").to_owned();

    assert_eq!(world.reported().await, FromNode::Joined(ann.clone()));
    assert_eq!(bob.expect(11).await, json!({ "user_ids": ["1"] }));
    let spoke = bob.expect(5).await;
    assert_eq!((&spoke["user_id"], &spoke["speaking"]), (&json!("1"), &json!(0)));
    assert_ne!(spoke["ssrc"], json!(bob_ssrc));
    assert_eq!(bob.expect(5).await, json!({ "user_id": "1", "ssrc": spoke["ssrc"], "speaking": 1 }));
    // The right to speak goes, and comes back.
    for can_speak in [false, true] {
        let policy = Policy { can_speak, ..AUDIBLE };
        world.to_node.send(ToNode::SetPolicy { participant: ann.participant.clone(), policy }).await.unwrap();
        assert_eq!(bob.expect(5).await["speaking"], json!(u8::from(can_speak)));
    }

    assert_eq!(world.deletes(&session).await.status, 200);
    assert_eq!(bob.expect(13).await, json!({ "user_id": "1" }));
    assert_eq!(world.reported().await, FromNode::Left(ann));
    world.deletes(&session).await.refused(404);
    world.call(Method::PATCH, &session, &[("content-type", FRAGMENT), ("if-match", "*")], "").await.refused(404);
    world.end().await;
}

#[tokio::test]
async fn a_patch_restarts_ice_for_who_says_what_it_means() {
    let world = World::new().await;
    let (_, path) = world.ticket(1, Way::Whep);
    let reply = world.offers(&path, &offer("abcd", &["audio recvonly", "video recvonly"])).await;
    let (session, etag) = (reply.header("location").to_owned(), reply.header("etag").to_owned());
    assert_eq!((reply.status, reply.header("accept-patch")), (201, FRAGMENT));
    let patch = async |headers: &[(&str, &str)], ufrag: &str| {
        let body = format!(
            "a=ice-ufrag:{ufrag}\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
        );
        world.call(Method::PATCH, &session, headers, &body).await
    };
    let kind = ("content-type", FRAGMENT);
    patch(&[("content-type", SDP), ("if-match", &etag)], "abcd").await.refused(415);
    patch(&[kind], "abcd").await.refused(428);
    patch(&[kind, ("if-match", "\"other\"")], "abcd").await.refused(412);
    world.call(Method::PATCH, &session, &[kind, ("if-match", &etag)], "a=candidate:1\r\n").await.refused(400);
    patch(&[kind, ("if-match", "*")], "no").await.refused(400);
    let heard = patch(&[kind, ("if-match", &etag)], "abcd").await;
    assert_eq!((heard.status, heard.header("etag"), heard.body.as_str()), (204, "", ""));
    let restarted = patch(&[kind, ("if-match", "*")], "efgh").await;
    assert_eq!((restarted.status, restarted.header("content-type")), (200, FRAGMENT), "{}", restarted.body);
    assert_ne!(restarted.header("etag"), etag);
    for line in ["a=ice-lite\r\n", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:1 1 udp"] {
        assert!(restarted.body.contains(line), "{line} in {}", restarted.body);
    }
    patch(&[kind, ("if-match", &etag)], "efgh").await.refused(412);
    assert_eq!(patch(&[kind, ("if-match", restarted.header("etag"))], "efgh").await.status, 204);
    world.end().await;
}

#[tokio::test]
async fn a_program_goes_when_it_is_sent_away_replaced_or_the_node_stops() {
    let mut world = World::new().await;
    let (ann, session) = world.enters(1, Way::Whip, &publishes()).await;
    assert_eq!(world.reported().await, FromNode::Joined(ann.clone()));
    let sent_away = |as_of_ms| ToNode::Disconnect { participant: ann.participant.clone(), as_of_ms };
    // Meant for a connection before this one.
    world.to_node.send(sent_away(0)).await.unwrap();
    world.to_node.send(sent_away(crate::node::unix_ms() + 1)).await.unwrap();
    world.is_gone(&session).await;

    let (again, session) = world.enters(1, Way::Whip, &publishes()).await;
    assert_eq!(world.reported().await, FromNode::Joined(again.clone()), "the end before was ordered, not reported");
    let (_page, _) = world.join(1, &world.token(1)).await;
    world.is_gone(&session).await;
    let mut reports = [world.reported().await, world.reported().await];
    reports.sort_by_key(|report| matches!(report, FromNode::Left(_)));
    assert!(matches!(&reports[0], FromNode::Joined(page) if page.participant == participant(1)), "{reports:?}");
    assert_eq!(reports[1], FromNode::Left(again));

    let (_, session) = world.enters(3, Way::Whep, &offer("abcd", &["audio recvonly"])).await;
    let (_, late) = world.ticket(4, Way::Whep);
    world.signaling.shutdown().await;
    world.deletes(&session).await.refused(404);
    let refused = world.offers(&late, &offer("abcd", &["audio recvonly"])).await;
    assert_eq!(refused.header("retry-after"), "5");
    refused.refused(503);
    world.end().await;
}

#[tokio::test]
async fn any_page_may_ask_what_it_may_send() {
    let world = World::new().await;
    for (path, header, kind) in [("/streams?token=x", "accept-post", SDP), ("/streams/x", "accept-patch", FRAGMENT)] {
        let reply = world.call(Method::OPTIONS, path, &[("origin", "https://player.example")], "").await;
        assert_eq!((reply.status, reply.header(header), reply.header("access-control-allow-origin")), (204, kind, "*"));
        assert!(reply.header("access-control-allow-headers").contains("If-Match"));
    }
    world.end().await;
}
