//! Bad input over real sockets: each kind has its documented answer and changes nothing.

use guildhall_loadtest::{Gateway, Rest, gateway};
use guildhall_protocol::{Permissions, model::ChannelType};
use guildhall_tests::{
    DEADLINE,
    api::{assert_refused, post, put, refused},
    wire::Wire,
    world::{PASSWORD, World, id},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// An id that is well-formed and nobody's.
const NOBODY: &str = "123456789012345678";

#[tokio::test]
async fn a_bad_request_gets_its_documented_error_and_changes_nothing() {
    let world = World::start().await;
    let ann = world.member("ann").await;
    let messages = format!("/channels/{}/messages", world.text);
    let before = ann.rest.send_message(world.text, "before").await.expect("a member may write");

    // Not JSON, or not what the form says. A body that cannot be used names the field.
    for body in ["{", "nonsense", "{\"content\": \"x\"", "\u{0}"] {
        let reply = ann.rest.call_raw(Method::POST, &messages, "application/json", body.into()).await.expect("an answer");
        assert_refused(body, reply, 400, 50109);
    }
    let invalid_utf8 = b"{\"content\": \"\xff\xfe\"}".to_vec();
    let reply = ann.rest.call_raw(Method::POST, &messages, "application/json", invalid_utf8).await.expect("an answer");
    assert_refused("invalid UTF-8", reply, 400, 50109);
    let long = "a".repeat(2001);
    for (body, field) in [
        (json!({"content": {"text": "x"}}), "content"),
        (json!({"content": 7.5, "tts": "perhaps"}), "tts"),
        (json!({"content": long}), "content"),
        (json!({"content": "x", "nonce": "n".repeat(26)}), "nonce"),
        (json!({"content": "x", "message_reference": {"message_id": "seven"}}), "message_reference"),
    ] {
        let error = refused(&ann.rest, Method::POST, &messages, Some(body.clone()), 400, 50035).await;
        assert!(!error["errors"][field].is_null(), "{body} names {field}: {error}");
    }
    refused(&ann.rest, Method::POST, &messages, Some(json!([])), 400, 50035).await;
    refused(&ann.rest, Method::POST, &messages, Some(json!({"content": ""})), 400, 50006).await;
    refused(&ann.rest, Method::POST, &messages, Some(json!({})), 400, 50006).await;
    let huge = vec![b' '; 30 << 20];
    // The server may stop reading and close; what it answers, if it is heard, is the documented error.
    if let Ok(reply) = ann.rest.call_raw(Method::POST, &messages, "application/json", huge).await {
        assert_refused("a body of 30 MB", reply, 413, 40005);
    }

    // Ids that are unknown, or none.
    for (method, path, status, code) in [
        (Method::GET, format!("/channels/{NOBODY}"), 404, 10003),
        (Method::GET, format!("/channels/{NOBODY}/messages"), 404, 10003),
        (Method::GET, format!("{messages}/{NOBODY}"), 404, 10008),
        (Method::DELETE, format!("{messages}/{NOBODY}"), 404, 10008),
        (Method::GET, format!("/guilds/{NOBODY}"), 404, 10004),
        (Method::GET, format!("/guilds/{}/members/{NOBODY}", world.guild), 404, 10007),
        (Method::GET, format!("/users/{NOBODY}"), 404, 10013),
        (Method::GET, "/invites/nosuchinvite".into(), 404, 10006),
        (Method::POST, "/invites/nosuchinvite".into(), 404, 10006),
        (Method::GET, "/no/such/route".into(), 404, 0),
        (Method::GET, "/channels/seven".into(), 400, 50035),
        (Method::GET, format!("{messages}?limit=0"), 400, 50035),
        (Method::GET, format!("{messages}?limit=101"), 400, 50035),
        (Method::GET, format!("{messages}?before=yesterday"), 400, 50035),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        refused(&ann.rest, method, &path, body, status, code).await;
    }
    let wrong_method = ann.rest.call(Method::PUT, "/users/@me", Some(&json!({}))).await.expect("an answer");
    assert_refused("a wrong method", wrong_method, 405, 0);

    // Permission: what a member may not do, and what a stranger may not see.
    let owners = world.owner.rest.send_message(world.text, "the owner's").await.expect("the owner may write");
    let own = format!("{messages}/{}", owners.id);
    refused(&ann.rest, Method::PATCH, &own, Some(json!({"content": "mine now"})), 403, 50005).await;
    refused(&ann.rest, Method::DELETE, &own, None, 403, 50013).await;
    let guild = format!("/guilds/{}", world.guild);
    refused(&ann.rest, Method::PATCH, &guild, Some(json!({"name": "Ann's hall"})), 403, 50013).await;
    refused(&ann.rest, Method::POST, &format!("{guild}/channels"), Some(json!({"name": "x"})), 403, 50013).await;
    refused(&ann.rest, Method::POST, &format!("{guild}/roles"), Some(json!({"name": "x"})), 403, 50013).await;
    refused(&ann.rest, Method::DELETE, &format!("{guild}/members/{}", world.owner.user.id), None, 403, 50013).await;
    let stranger = world.stranger("mallory").await;
    refused(&stranger.rest, Method::GET, &messages, None, 403, 50001).await;
    refused(&stranger.rest, Method::POST, &messages, Some(json!({"content": "hello?"})), 403, 50001).await;

    // Nobody's token, a wrong one, one that was logged out.
    let gone = world.rest.login("ann@loadtest.invalid", PASSWORD).await.expect("a second login");
    gone.rest.logout().await.expect("a logout");
    for rest in
        [&world.rest, &world.rest.as_user("nonsense"), &world.rest.as_bot("nonsense"), &world.rest.as_bot(&ann.token), &gone.rest]
    {
        refused(rest, Method::GET, "/users/@me", None, 401, 0).await;
        refused(rest, Method::POST, &messages, Some(json!({"content": "x"})), 401, 0).await;
    }

    // Accounts.
    for (path, body, field) in [
        ("/auth/login", json!({"login": "ann@loadtest.invalid", "password": "wrong"}), "login"),
        ("/auth/login", json!({"login": "nobody@loadtest.invalid", "password": "wrong"}), "login"),
        ("/auth/login", json!({"login": "ann@loadtest.invalid"}), "password"),
        (
            "/auth/register",
            json!({"username": "x", "email": "x@loadtest.invalid", "password": PASSWORD, "consent": true}),
            "username",
        ),
        (
            "/auth/register",
            json!({"username": "eve", "email": "eve@loadtest.invalid", "password": "short", "consent": true}),
            "password",
        ),
        ("/auth/register", json!({"username": "eve", "email": "no address", "password": PASSWORD, "consent": true}), "email"),
        (
            "/auth/register",
            json!({"username": "eve", "email": "ann@loadtest.invalid", "password": PASSWORD, "consent": true}),
            "email",
        ),
    ] {
        let error = refused(&world.rest, Method::POST, path, Some(body.clone()), 400, 50035).await;
        assert!(!error["errors"][field].is_null(), "{body} names {field}: {error}");
    }

    // After all of this: the two messages, the name, the channels.
    let kept: Vec<_> =
        ann.rest.history(world.text).await.expect("a member may read").into_iter().map(|message| message.id).collect();
    assert_eq!(kept, [before.id, owners.id]);
    assert_eq!(ann.rest.guild(world.guild).await.expect("still a member").name, "The hall");
    let channels = ann.rest.channels(world.guild).await.expect("a member may list");
    assert!(!channels.iter().any(|channel| channel.name == "x"), "{channels:?}");
}

#[tokio::test]
async fn a_hidden_channel_does_not_exist_for_who_may_not_see_it() {
    let world = World::start().await;
    let ann = world.member("ann").await;
    let vault = world.owner.rest.create_channel(world.guild, "vault", ChannelType::Text).await.expect("a channel").id;
    let mut session = world.session(&ann).await;
    let deny = json!({"type": 0, "allow": "0", "deny": Permissions::VIEW_CHANNEL});
    put(&world.owner.rest, &format!("/channels/{vault}/permissions/{}", world.guild), deny).await;
    let secret = world.owner.rest.send_message(vault, "the treasure is below the hearth").await.expect("the owner sees it");

    let messages = format!("/channels/{vault}/messages");
    refused(&ann.rest, Method::GET, &messages, None, 403, 50001).await;
    refused(&ann.rest, Method::GET, &format!("{messages}/{}", secret.id), None, 403, 50001).await;
    refused(&ann.rest, Method::POST, &messages, Some(json!({"content": "x"})), 403, 50001).await;
    let channels = ann.rest.channels(world.guild).await.expect("a member may list");
    assert!(channels.iter().all(|channel| channel.id != vault), "{channels:?}");

    // Her session hears what she may see, and of the vault only that it went.
    let said = world.owner.rest.send_message(world.text, "nothing to see").await.expect("the owner may write");
    let heard = session.events_until(|event| event.data["id"] == json!(said.id)).await.expect("what she may see arrives");
    assert!(heard.iter().all(|event| event.data["id"] != json!(secret.id)), "{heard:?}");
    assert!(heard.iter().any(|event| event.name == "CHANNEL_DELETE" && event.data["id"] == json!(vault)), "{heard:?}");
}

#[tokio::test]
async fn a_gateway_client_that_breaks_the_protocol_is_closed_with_the_documented_code() {
    let world = World::start().await;
    let ann = world.member("ann").await;
    let bot = world.bot("jester", Permissions::VIEW_CHANNEL).await;
    let url = format!("{}?v=10&encoding=json", world.rest.gateway_url().await.expect("a gateway"));
    let identify = |token: &str| json!({"op": 2, "d": {"token": token, "intents": 1, "properties": {}}});

    // Before it identified.
    for (said, code) in [
        ("nonsense".to_string(), 4002),
        ("{}".to_string(), 4002),
        ("[]".to_string(), 4002),
        (json!({"op": "two", "d": {}}).to_string(), 4002),
        (json!({"op": 2, "d": 7}).to_string(), 4002),
        (json!({"op": 1, "d": "a".repeat(5000)}).to_string(), 4002),
        (json!({"op": 3, "d": {"status": "online"}}).to_string(), 4003),
        (json!({"op": 4, "d": {"guild_id": world.guild, "channel_id": world.voice}}).to_string(), 4003),
        (identify("nonsense").to_string(), 4004),
        (identify("").to_string(), 4004),
        (json!({"op": 2, "d": {"token": bot.token, "intents": u64::MAX >> 1, "properties": {}}}).to_string(), 4013),
        (json!({"op": 2, "d": {"token": bot.token, "intents": 1, "properties": {}, "shard": [2, 1]}}).to_string(), 4010),
    ] {
        let mut wire = Wire::open(&url).await;
        wire.hear_op(10).await;
        wire.text(said.clone()).await;
        assert_eq!(wire.close_code().await, code, "for {said}");
    }
    for query in ["?v=3&encoding=json", "?v=10&encoding=etf"] {
        let mut wire = Wire::open(&url.replace("?v=10&encoding=json", query)).await;
        assert_eq!(wire.close_code().await, 4012, "for {query}");
    }

    // After.
    for (said, code) in
        [(identify(&bot.token), 4005), (json!({"op": 99, "d": null}), 4001), (json!({"op": 4, "d": {"guild_id": "hall"}}), 4002)]
    {
        let mut wire = Wire::open(&url).await;
        wire.hear_op(10).await;
        wire.json(identify(&bot.token)).await;
        wire.hear("READY", |frame| frame["t"] == "READY").await;
        wire.json(said.clone()).await;
        assert_eq!(wire.close_code().await, code, "for {said}");
    }

    // Bytes that are no text, and a flood.
    let mut wire = Wire::open(&url).await;
    wire.hear_op(10).await;
    wire.binary(vec![0xff, 0x00, 0xfe]).await;
    assert_eq!(wire.close_code().await, 4002);
    let mut wire = Wire::open(&url).await;
    wire.hear_op(10).await;
    wire.json(identify(&bot.token)).await;
    wire.hear("READY", |frame| frame["t"] == "READY").await;
    for _ in 0..200 {
        wire.json(json!({"op": 3, "d": {"status": "online", "since": null, "activities": [], "afk": false}})).await;
    }
    assert_eq!(wire.close_code().await, 4008);

    // Resumes that cannot be: an unknown session, somebody else's, a number that was never sent.
    let session = world.session(&ann).await;
    let connect = world.connect(&ann).await;
    let resume = session.cut().await;
    for (who, session, expected) in [(&ann, NOBODY, 9), (&bot, resume.session_id.as_str(), 9)] {
        let mut wire = Wire::open(&url).await;
        wire.hear_op(10).await;
        wire.json(json!({"op": 6, "d": {"token": who.token, "session_id": session, "seq": 1}})).await;
        assert_eq!(wire.hear_op(expected).await["d"], false);
    }
    let mut wire = Wire::open(&url).await;
    wire.hear_op(10).await;
    wire.json(json!({"op": 6, "d": {"token": ann.token, "session_id": resume.session_id, "seq": resume.seq + 1000}})).await;
    assert_eq!(wire.close_code().await, 4007);
    // None of that took the session from its owner.
    Gateway::resume(&connect, &resume).await.expect("the right one still resumes");
}

#[tokio::test]
async fn bytes_that_are_no_request_cost_their_sender_the_connection_and_nobody_else_anything() {
    let world = World::start().await;
    let ann = world.member("ann").await;
    let mut session = world.session(&ann).await;
    let mut random = StdRng::seed_from_u64(3);
    let mut noise = vec![0; 3000];
    random.fill_bytes(&mut noise);
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let huge_header = [b"GET / HTTP/1.1\r\nHost: x\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    let upgrade =
        b"GET /gateway?v=10&encoding=json HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n".to_vec();
    let lies =
        b"POST /api/v10/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{"
            .to_vec();
    for (what, bytes, is_answered) in [
        ("noise", noise.clone(), true),
        ("noise that begins like TLS", [hello.clone(), noise].concat(), true),
        ("half a TLS hello", hello, false),
        ("a header of a megabyte", huge_header, true),
        ("an upgrade without a key", upgrade, true),
        ("a body that never comes", lies, true),
        ("half a request", b"GET /api/v10/gateway HTTP/1.1\r\nHo".to_vec(), false),
    ] {
        let mut socket = TcpStream::connect(world.server.address()).await.expect("the port is open");
        // The server may have had enough before everything is written.
        let _ = socket.write_all(&bytes).await;
        if is_answered {
            let mut answer = Vec::new();
            // Closed or reset, with or without an answer: but soon.
            let end = timeout(DEADLINE, socket.read_to_end(&mut answer)).await;
            assert!(end.is_ok() || !answer.is_empty(), "{what} is answered or closed");
            assert!(
                !answer.starts_with(b"HTTP/1.1 2") && !answer.starts_with(b"HTTP/1.1 5"),
                "{what}: {}",
                String::from_utf8_lossy(&answer)
            );
        }
        let said = ann.rest.send_message(world.text, what).await.expect("others are served");
        session.next_named("MESSAGE_CREATE", |message| message["id"] == json!(said.id)).await.expect("others are served");
    }
}

#[tokio::test]
async fn a_logged_out_token_closes_its_sessions() {
    let world = World::start().await;
    let ann = world.member("ann").await;
    let second = world.rest.login("ann@loadtest.invalid", PASSWORD).await.expect("a second login");
    let mut kept = world.session(&ann).await;
    let mut closed = world.session(&second).await;
    second.rest.logout().await.expect("a logout");
    let end = closed.end_within(DEADLINE).await.expect("it ends");
    assert_eq!(end, gateway::End::Closed(Some(4004)));
    let said = world.owner.rest.send_message(world.text, "who is left?").await.expect("the owner may write");
    kept.next_named("MESSAGE_CREATE", |message| message["id"] == json!(said.id)).await.expect("the other login goes on");
}

#[tokio::test]
async fn a_rate_limit_says_when_to_come_back_and_lets_one_in_then() {
    let world = World::start().await;
    let ann = world.member("ann").await;
    let path = format!("/channels/{}/messages", world.text);
    let send = async |rest: &Rest| rest.call(Method::POST, &path, Some(&json!({"content": "again"}))).await.expect("an answer");
    let mut accepted = 0;
    let limited = loop {
        let reply = send(&ann.rest).await;
        for header in ["limit", "remaining", "reset", "reset-after", "bucket"] {
            assert!(reply.headers.contains_key(format!("x-ratelimit-{header}")), "{header}: {:?}", reply.headers);
        }
        if reply.status == 429 {
            break reply;
        }
        assert_eq!(reply.status, 200, "{}", reply.body);
        accepted += 1;
        assert!(accepted < 1000, "a flood is limited");
    };
    let wait = limited.body["retry_after"].as_f64().expect("seconds");
    assert_eq!(limited.body["global"], false);
    assert!(limited.headers.contains_key("retry-after"), "{:?}", limited.headers);
    assert_eq!(
        world.owner.rest.send_message(world.text, "not me").await.expect("another account is not limited").content,
        "not me"
    );
    // The wait is part of the promise, so it is waited for.
    tokio::time::sleep(std::time::Duration::from_secs_f64(wait)).await;
    assert_eq!(send(&ann.rest).await.status, 200);
    assert_eq!(
        world.owner.rest.history(world.text).await.expect("readable").len(),
        accepted + 2,
        "a refused message is not stored"
    );
}

#[tokio::test]
async fn permissions_cannot_be_lifted_by_who_does_not_hold_them() {
    let world = World::start().await;
    let ann = world.member("ann").await;
    let roles = format!("/guilds/{}/roles", world.guild);
    let helper: Value = json!({"name": "helper", "permissions": Permissions::MANAGE_ROLES.union(Permissions::VIEW_CHANNEL)});
    let helper = id(&post(&world.owner.rest, &roles, helper).await);
    let chief = id(&post(&world.owner.rest, &roles, json!({"name": "chief", "permissions": Permissions::ADMINISTRATOR})).await);
    let order = json!([{"id": helper, "position": 1}, {"id": chief, "position": 2}]);
    guildhall_tests::api::patch(&world.owner.rest, &roles, order).await;
    put(&world.owner.rest, &format!("/guilds/{}/members/{}/roles/{helper}", world.guild, ann.user.id), json!({})).await;

    let member = format!("/guilds/{}/members/{}/roles", world.guild, ann.user.id);
    refused(&ann.rest, Method::PUT, &format!("{member}/{chief}"), Some(json!({})), 403, 50013).await;
    refused(&ann.rest, Method::PATCH, &format!("{roles}/{chief}"), Some(json!({"name": "fool"})), 403, 50013).await;
    let all = Some(json!({"permissions": Permissions::ADMINISTRATOR}));
    refused(&ann.rest, Method::PATCH, &format!("{roles}/{helper}"), all.clone(), 403, 50013).await;
    refused(&ann.rest, Method::POST, &roles, all, 403, 50013).await;
    let kept = ann.rest.member(world.guild, ann.user.id).await.expect("a member");
    assert_eq!(kept.roles.iter().map(ToString::to_string).collect::<Vec<_>>(), [helper]);
}
