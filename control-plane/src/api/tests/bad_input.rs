//! Input that is wrong in every way that the issue lists: each has its documented error and changes nothing.

use super::{Session, World};
use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

/// Everything that a request could have changed.
async fn snapshot(world: &World) -> Value {
    let mut parts = Vec::new();
    for path in [
        "/users/@me".to_owned(),
        "/users/@me/guilds".to_owned(),
        format!("/guilds/{}", world.guild),
        format!("/guilds/{}/channels", world.guild),
        format!("/guilds/{}/members?limit=1000", world.guild),
        format!("/guilds/{}/bans", world.guild),
        format!("/guilds/{}/invites", world.guild),
        format!("{}?limit=100", world.messages_path()),
        "/applications".to_owned(),
    ] {
        parts.push(world.get(&world.owner, &path).await.ok());
    }
    Value::Array(parts)
}

#[tokio::test]
async fn malformed_json_is_refused_everywhere() {
    let world = World::new().await;
    let message = world.say(&world.owner, "first").await["id"].as_str().unwrap().to_owned();
    let before = snapshot(&world).await;
    let paths = [
        (Method::POST, "/auth/register".to_owned()),
        (Method::POST, "/auth/login".to_owned()),
        (Method::PATCH, "/users/@me".to_owned()),
        (Method::POST, "/guilds".to_owned()),
        (Method::PATCH, format!("/guilds/{}", world.guild)),
        (Method::POST, format!("/guilds/{}/channels", world.guild)),
        (Method::PATCH, format!("/guilds/{}/channels", world.guild)),
        (Method::PATCH, format!("/channels/{}", world.text)),
        (Method::POST, format!("/guilds/{}/roles", world.guild)),
        (Method::POST, world.messages_path()),
        (Method::PATCH, format!("{}/{message}", world.messages_path())),
        (Method::POST, format!("{}/bulk-delete", world.messages_path())),
        (Method::POST, format!("/channels/{}/invites", world.text)),
        (Method::POST, "/applications".to_owned()),
    ];
    for (method, path) in paths {
        let broken: [&[u8]; 4] = [b"{", b"{\"content\":}", b"\xff\xfe", b"{\"content\":\"x\"} tail"];
        for body in broken {
            let request = world.request(&world.owner, method.clone(), &path).header("content-type", "application/json");
            world.send(request.body(Body::from(body)).unwrap()).await.refused(400, 50109);
        }
    }
    let deep = "[".repeat(100_000);
    let request = world.request(&world.owner, Method::POST, &world.messages_path());
    world.send(request.body(Body::from(deep)).unwrap()).await.refused(400, 50109);
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test]
async fn wrong_types_and_lengths_are_named_field_by_field() {
    let world = World::new().await;
    let before = snapshot(&world).await;
    let owner = &world.owner;
    let long = |length: usize| "x".repeat(length);
    let checks: Vec<(Method, String, Value, &str, &str)> = vec![
        (Method::POST, "/auth/register".into(), json!({}), "/username", "BASE_TYPE_REQUIRED"),
        (Method::POST, "/auth/register".into(), json!({ "username": "ok" }), "/password", "BASE_TYPE_REQUIRED"),
        (
            Method::POST,
            "/auth/register".into(),
            json!({ "username": "o k", "password": "correct horse" }),
            "/username",
            "USERNAME_INVALID_CHARACTERS",
        ),
        (
            Method::POST,
            "/auth/register".into(),
            json!({ "username": "ok", "password": "short" }),
            "/password",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            Method::POST,
            "/auth/register".into(),
            json!({ "username": "ok", "password": "correct horse", "email": "x" }),
            "/email",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            Method::POST,
            "/auth/register".into(),
            json!({ "username": "ok", "password": "correct horse", "email": "x@" }),
            "/email",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            Method::POST,
            "/auth/register".into(),
            json!({ "username": "ok", "password": "correct horse", "email": "x@ y" }),
            "/email",
            "EMAIL_TYPE_INVALID_EMAIL",
        ),
        (Method::POST, "/guilds".into(), json!({ "name": 5 }), "/name", "STRING_TYPE_CONVERT"),
        (Method::POST, "/guilds".into(), json!({ "name": "x" }), "/name", "BASE_TYPE_BAD_LENGTH"),
        (Method::POST, "/guilds".into(), json!({ "name": long(101) }), "/name", "BASE_TYPE_BAD_LENGTH"),
        (
            Method::POST,
            "/guilds".into(),
            json!({ "name": "fine", "verification_level": 9 }),
            "/verification_level",
            "NUMBER_TYPE_MAX",
        ),
        (Method::POST, "/guilds".into(), json!([]), "", "DICT_TYPE_CONVERT"),
        (Method::PATCH, format!("/guilds/{}", world.guild), json!({ "afk_timeout": 61 }), "/afk_timeout", "BASE_TYPE_CHOICES"),
        (Method::PATCH, format!("/guilds/{}", world.guild), json!({ "owner_id": "x" }), "/owner_id", "NUMBER_TYPE_COERCE"),
        (
            Method::POST,
            format!("/guilds/{}/channels", world.guild),
            json!({ "name": "x", "type": 99 }),
            "/type",
            "BASE_TYPE_CHOICES",
        ),
        (
            Method::POST,
            format!("/guilds/{}/channels", world.guild),
            json!({ "name": "x", "topic": long(1025) }),
            "/topic",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            Method::POST,
            format!("/guilds/{}/channels", world.guild),
            json!({ "name": "x", "parent_id": "1" }),
            "/parent_id",
            "CHANNEL_PARENT_INVALID",
        ),
        (
            Method::POST,
            format!("/guilds/{}/channels", world.guild),
            json!({ "name": "x", "parent_id": world.text }),
            "/parent_id",
            "CHANNEL_PARENT_INVALID",
        ),
        (
            Method::POST,
            format!("/guilds/{}/channels", world.guild),
            json!({ "name": "x", "permission_overwrites": [{ "id": "a" }] }),
            "/permission_overwrites/0/id",
            "NUMBER_TYPE_COERCE",
        ),
        (
            Method::PATCH,
            format!("/guilds/{}/channels", world.guild),
            json!({ "id": world.text }),
            "/channels",
            "LIST_TYPE_CONVERT",
        ),
        (
            Method::PATCH,
            format!("/channels/{}", world.text),
            json!({ "rate_limit_per_user": 21_601 }),
            "/rate_limit_per_user",
            "NUMBER_TYPE_MAX",
        ),
        (Method::PATCH, format!("/channels/{}", world.voice), json!({ "user_limit": -1 }), "/user_limit", "NUMBER_TYPE_MIN"),
        (
            Method::POST,
            format!("/guilds/{}/roles", world.guild),
            json!({ "permissions": "many" }),
            "/permissions",
            "NUMBER_TYPE_COERCE",
        ),
        (Method::POST, format!("/guilds/{}/roles", world.guild), json!({ "color": 0x100_0000 }), "/color", "NUMBER_TYPE_MAX"),
        (Method::POST, world.messages_path(), json!({ "content": 5 }), "/content", "STRING_TYPE_CONVERT"),
        (Method::POST, world.messages_path(), json!({ "content": "ü".repeat(2001) }), "/content", "BASE_TYPE_MAX_LENGTH"),
        (Method::POST, world.messages_path(), json!({ "content": "x", "nonce": long(26) }), "/nonce", "BASE_TYPE_MAX_LENGTH"),
        (Method::POST, world.messages_path(), json!({ "content": "x", "tts": "maybe" }), "/tts", "BOOLEAN_TYPE_CONVERT"),
        (
            Method::POST,
            world.messages_path(),
            json!({ "embeds": [{}, { "title": long(257) }] }),
            "/embeds/1/title",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            Method::POST,
            world.messages_path(),
            json!({ "embeds": [{ "fields": [{ "name": "n" }] }] }),
            "/embeds/0/fields/0/value",
            "BASE_TYPE_REQUIRED",
        ),
        (
            Method::POST,
            world.messages_path(),
            json!({ "embeds": [{ "description": long(4000) }, { "description": long(2001) }] }),
            "/embeds",
            "MAX_EMBED_SIZE_EXCEEDED",
        ),
        (Method::POST, world.messages_path(), json!({ "embeds": vec![json!({}); 11] }), "/embeds", "BASE_TYPE_MAX_LENGTH"),
        (
            Method::POST,
            world.messages_path(),
            json!({ "content": "x", "components": [{ "type": 1 }] }),
            "/components/0/components",
            "BASE_TYPE_REQUIRED",
        ),
        (
            Method::POST,
            world.messages_path(),
            json!({ "content": "x", "message_reference": { "message_id": "1" } }),
            "/message_reference",
            "REPLIES_UNKNOWN_MESSAGE",
        ),
        (Method::POST, format!("/channels/{}/invites", world.text), json!({ "max_age": 604_801 }), "/max_age", "NUMBER_TYPE_MAX"),
        (
            Method::PATCH,
            format!("/guilds/{}/members/@me", world.guild),
            json!({ "nick": long(33) }),
            "/nick",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            Method::PATCH,
            format!("/guilds/{}/members/{}", world.guild, owner.id),
            json!({ "communication_disabled_until": "soon" }),
            "/communication_disabled_until",
            "DATE_TIME_TYPE_PARSE",
        ),
        (Method::POST, "/applications".into(), json!({ "name": "" }), "/name", "BASE_TYPE_BAD_LENGTH"),
        (Method::GET, format!("{}?limit=101", world.messages_path()), json!({}), "/limit", "NUMBER_TYPE_MAX"),
        (Method::GET, format!("{}?before=x", world.messages_path()), json!({}), "/before", "NUMBER_TYPE_COERCE"),
        (Method::GET, "/channels/x".into(), json!({}), "/channel_id", "NUMBER_TYPE_COERCE"),
        (Method::GET, "/users/18446744073709551615".into(), json!({}), "/user_id", "NUMBER_TYPE_COERCE"),
    ];
    for (method, path, body, pointer, code) in checks {
        world.call(owner, method, &path, Some(body)).await.form_error(pointer, code);
    }
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test]
async fn messages_that_cannot_be_sent_have_their_own_codes() {
    let world = World::new().await;
    let before = snapshot(&world).await;
    let (owner, path) = (&world.owner, world.messages_path());
    world.post(owner, &path, json!({})).await.refused(400, 50006);
    world.post(owner, &path, json!({ "content": " \n\t " })).await.refused(400, 50006);
    world.post(owner, &path, json!({ "content": "x", "attachments": [{ "id": 0 }] })).await.refused(400, 50046);
    world.post(owner, &path, json!({ "content": "x".repeat(600_000) })).await.refused(413, 40005);
    let category = world.get(owner, &format!("/channels/{}", world.text)).await.ok()["parent_id"].as_str().unwrap().to_owned();
    world.post(owner, &format!("/channels/{category}/messages"), json!({ "content": "x" })).await.refused(400, 50008);
    world.get(owner, &format!("/channels/{category}/messages")).await.refused(400, 50008);
    world.post(owner, &format!("{path}/bulk-delete"), json!({ "messages": ["1"] })).await.refused(400, 50016);
    world.post(owner, &format!("{path}/bulk-delete"), json!({ "messages": ["1", "1"] })).await.refused(400, 50016);
    world.post(owner, &format!("{path}/bulk-delete"), json!({ "messages": ["1", "2"] })).await.refused(400, 50034);
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test]
async fn unknown_ids_have_the_code_of_what_is_unknown() {
    let world = World::new().await;
    let before = snapshot(&world).await;
    let (guild, text) = (&world.guild, &world.text);
    let checks = [
        (Method::GET, "/users/1".to_owned(), 10013),
        (Method::GET, "/guilds/1".to_owned(), 10004),
        (Method::PATCH, "/guilds/1".to_owned(), 10004),
        (Method::DELETE, "/users/@me/guilds/1".to_owned(), 10004),
        (Method::GET, "/channels/1".to_owned(), 10003),
        (Method::POST, "/channels/1/messages".to_owned(), 10003),
        (Method::POST, "/channels/1/typing".to_owned(), 10003),
        (Method::GET, format!("/channels/{text}/messages/1"), 10008),
        (Method::DELETE, format!("/channels/{text}/messages/1"), 10008),
        (Method::PATCH, format!("/channels/{text}/messages/1"), 10008),
        (Method::DELETE, format!("/channels/{text}/permissions/1"), 10009),
        (Method::GET, format!("/guilds/{guild}/members/1"), 10007),
        (Method::DELETE, format!("/guilds/{guild}/members/1"), 10007),
        (Method::PUT, format!("/guilds/{guild}/members/1/roles/1"), 10007),
        (Method::PUT, format!("/guilds/{guild}/members/{}/roles/1", world.owner.id), 10011),
        (Method::GET, format!("/guilds/{guild}/roles/1"), 10011),
        (Method::DELETE, format!("/guilds/{guild}/roles/1"), 10011),
        (Method::GET, format!("/guilds/{guild}/bans/1"), 10026),
        (Method::PUT, format!("/guilds/{guild}/bans/1"), 10013),
        (Method::DELETE, format!("/guilds/{guild}/bans/1"), 10026),
        (Method::GET, "/invites/nothing".to_owned(), 10006),
        (Method::POST, "/invites/nothing".to_owned(), 10006),
        (Method::DELETE, "/invites/nothing".to_owned(), 10006),
        (Method::POST, "/applications/1/bot".to_owned(), 10002),
        (Method::GET, "/applications/1".to_owned(), 10002),
    ];
    for (method, path, code) in checks {
        let reply = world.call(&world.owner, method.clone(), &path, Some(json!({ "content": "x" }))).await;
        assert_eq!(reply.body["code"], code, "{method} {path}: {}", reply.body);
        reply.refused(404, code);
    }
    let role = json!({ "type": 0, "allow": "1024" });
    world.put(&world.owner, &format!("/channels/{text}/permissions/1"), role).await.refused(404, 10011);
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test]
async fn a_token_that_is_missing_unknown_or_malformed_opens_nothing() {
    let world = World::new().await;
    let before = snapshot(&world).await;
    let mut almost = world.owner.token.clone();
    almost.pop();
    for token in ["", "x", "Bot ", "Bearer x", "a.b.c", almost.as_str()] {
        let stranger = Session { token: token.to_owned(), id: String::new() };
        for (method, path) in [
            (Method::GET, "/users/@me".to_owned()),
            (Method::GET, format!("/guilds/{}", world.guild)),
            (Method::POST, world.messages_path()),
            (Method::DELETE, format!("/guilds/{}", world.guild)),
            (Method::GET, "/gateway/bot".to_owned()),
            (Method::POST, "/auth/logout".to_owned()),
        ] {
            let body = world.call(&stranger, method, &path, Some(json!({ "content": "x" }))).await.refused(401, 0);
            assert_eq!(body["message"], "401: Unauthorized");
        }
    }
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test]
async fn who_is_no_member_learns_nothing_and_who_may_not_changes_nothing() {
    let world = World::new().await;
    let stranger = world.register("stranger").await;
    let member = world.member("member").await;
    let message = world.say(&world.owner, "mine").await["id"].as_str().unwrap().to_owned();
    let before = snapshot(&world).await;
    let (guild, text) = (&world.guild, &world.text);
    for path in [
        format!("/guilds/{guild}"),
        format!("/guilds/{guild}/channels"),
        format!("/guilds/{guild}/members"),
        format!("/guilds/{guild}/roles"),
        format!("/guilds/{guild}/bans"),
        format!("/guilds/{guild}/invites"),
        format!("/channels/{text}"),
        format!("/channels/{text}/messages"),
        format!("/channels/{text}/messages/{message}"),
        format!("/channels/{text}/invites"),
    ] {
        world.get(&stranger, &path).await.refused(403, 50001);
    }
    let everyone = guild;
    let owner = &world.owner.id;
    let checks: Vec<(Method, String, Value, i64)> = vec![
        (Method::PATCH, format!("/guilds/{guild}"), json!({ "name": "taken" }), 50013),
        (Method::DELETE, format!("/guilds/{guild}"), json!({}), 50013),
        (Method::POST, format!("/guilds/{guild}/channels"), json!({ "name": "x" }), 50013),
        (Method::PATCH, format!("/guilds/{guild}/channels"), json!([{ "id": text, "position": 1 }]), 50013),
        (Method::PATCH, format!("/channels/{text}"), json!({ "name": "x" }), 50013),
        (Method::DELETE, format!("/channels/{text}"), json!({}), 50013),
        (Method::PUT, format!("/channels/{text}/permissions/{everyone}"), json!({ "type": 0, "deny": "1024" }), 50013),
        (Method::DELETE, format!("/channels/{text}/permissions/{everyone}"), json!({}), 50013),
        (Method::POST, format!("/guilds/{guild}/roles"), json!({ "name": "x" }), 50013),
        (Method::PATCH, format!("/guilds/{guild}/roles"), json!([{ "id": everyone, "position": 1 }]), 50013),
        (Method::PATCH, format!("/guilds/{guild}/roles/{everyone}"), json!({ "permissions": "8" }), 50013),
        (Method::DELETE, format!("/guilds/{guild}/roles/{everyone}"), json!({}), 50013),
        (Method::PATCH, format!("/guilds/{guild}/members/{owner}"), json!({ "nick": "x" }), 50013),
        (Method::PATCH, format!("/guilds/{guild}/members/{owner}"), json!({ "roles": [everyone] }), 50013),
        (Method::PATCH, format!("/guilds/{guild}/members/{owner}"), json!({ "mute": true }), 50013),
        (
            Method::PATCH,
            format!("/guilds/{guild}/members/{owner}"),
            json!({ "communication_disabled_until": "2099-01-01T00:00:00Z" }),
            50013,
        ),
        (Method::DELETE, format!("/guilds/{guild}/members/{owner}"), json!({}), 50013),
        (Method::GET, format!("/guilds/{guild}/bans"), json!({}), 50013),
        (Method::PUT, format!("/guilds/{guild}/bans/{owner}"), json!({}), 50013),
        (Method::GET, format!("/guilds/{guild}/invites"), json!({}), 50013),
        (Method::GET, format!("/channels/{text}/invites"), json!({}), 50013),
        (Method::DELETE, format!("/channels/{text}/messages/{message}"), json!({}), 50013),
        (Method::PATCH, format!("/channels/{text}/messages/{message}"), json!({ "content": "forged" }), 50005),
        (Method::PATCH, format!("/channels/{text}/messages/{message}"), json!({ "flags": 4 }), 50013),
        (Method::POST, format!("/channels/{text}/messages/bulk-delete"), json!({ "messages": [message, "1"] }), 50013),
    ];
    for (method, path, body, code) in checks {
        let reply = world.call(&member, method.clone(), &path, Some(body)).await;
        assert_eq!(reply.body["code"], code, "{method} {path}: {}", reply.body);
        reply.refused(403, code);
    }
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test]
async fn a_form_is_read_and_a_broken_one_is_refused() {
    let world = World::new().await;
    let send = async |parts: &str| {
        let body = parts.replace('\n', "\r\n");
        let request = world.request(&world.owner, Method::POST, &world.messages_path());
        let request = request.header("content-type", "multipart/form-data; boundary=b");
        world.send(request.body(Body::from(body)).unwrap()).await
    };
    let part = |head: &str, body: &str| format!("--b\nContent-Disposition: form-data; {head}\n\n{body}\n");
    let json = part("name=\"payload_json\"", "{\"content\":\"from a form\"}");
    assert_eq!(send(&format!("{json}--b--\n")).await.ok()["content"], "from a form");
    let plain = part("name=\"content\"", "plain field");
    assert_eq!(send(&format!("{plain}--b--\n")).await.ok()["content"], "plain field");
    send(&part("name=\"payload_json\"", "{")).await.refused(400, 50109);
    send("no boundary at all").await.refused(400, 50109);
    assert_eq!(world.said().await, ["from a form", "plain field"]);
}
