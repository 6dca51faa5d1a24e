//! Accounts, applications, bots.

use super::{Session, World, closed, text};
use serde_json::{Value, json};

#[tokio::test]
async fn people_register_log_in_and_out() {
    let world = World::new().await;
    let body = json!({
        "username": "Anna", "global_name": "Anna A.", "email": "Anna@example.org", "password": "correct horse",
        "date_of_birth": "2000-01-01", "consent": true,
    });
    let reply = world.post(&world.nobody(), "/auth/register", body.clone()).await;
    assert_eq!(reply.status, 201);
    let anna = Session { token: text(&reply.body["token"]), id: String::new() };
    let me = world.get(&anna, "/users/@me").await.ok();
    assert_eq!(
        (&me["username"], &me["global_name"], &me["email"]),
        (&json!("Anna"), &json!("Anna A."), &json!("anna@example.org"))
    );
    assert_eq!((&me["discriminator"], &me["avatar"], &me["bot"]), (&json!("0"), &Value::Null, &json!(false)));
    let id = text(&me["id"]);
    let named = anna.token.split('.').next().map(|part| base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, part));
    assert_eq!(named.unwrap().unwrap(), id.as_bytes(), "the token's first part is the id");

    world.post(&world.nobody(), "/auth/register", body).await.form_error("/username", "USERNAME_ALREADY_TAKEN");
    let other = json!({ "username": "hanna", "email": "anna@EXAMPLE.org", "password": "correct horse" });
    world.post(&world.nobody(), "/auth/register", other).await.form_error("/email", "EMAIL_ALREADY_REGISTERED");

    for login in ["anna@example.org", "ANNA"] {
        let reply = world.post(&world.nobody(), "/auth/login", json!({ "login": login, "password": "correct horse" })).await.ok();
        assert_eq!(text(&reply["user_id"]), id);
    }
    for (login, password) in [("anna@example.org", "wrong horse"), ("nobody", "correct horse"), ("", "correct horse")] {
        let reply = world.post(&world.nobody(), "/auth/login", json!({ "login": login, "password": password })).await;
        reply.refused(400, 50035);
    }
    world.post(&anna, "/auth/logout", json!({})).await.no_content();
    world.get(&anna, "/users/@me").await.refused(401, 0);
}

#[tokio::test]
async fn a_registration_may_bring_an_invite_and_a_closed_server_takes_none() {
    let world = World::new().await;
    let code = world.invite().await;
    let body = json!({ "username": "guest", "password": "correct horse", "invite": code });
    let reply = world.post(&world.nobody(), "/auth/register", body).await.ok();
    let guest = Session { token: text(&reply["token"]), id: String::new() };
    assert_eq!(world.get(&guest, "/users/@me/guilds").await.ok()[0]["id"], json!(world.guild));

    let world = World::with(closed).await;
    let body = json!({ "username": "guest", "password": "correct horse" });
    world.post(&world.nobody(), "/auth/register", body).await.refused(403, 0);
}

#[tokio::test]
async fn a_password_change_ends_other_tokens_and_gives_a_new_one() {
    let world = World::new().await;
    let anna = world.register("anna").await;
    let change = |old: &str| json!({ "password": old, "new_password": "battery staple" });
    world.patch(&anna, "/users/@me", change("wrong horse")).await.form_error("/password", "PASSWORD_DOES_NOT_MATCH");
    let reply = world.patch(&anna, "/users/@me", change("correct horse")).await.ok();
    world.get(&anna, "/users/@me").await.refused(401, 0);
    let renewed = Session { token: text(&reply["token"]), ..anna.clone() };
    assert_eq!(text(&world.get(&renewed, "/users/@me").await.ok()["id"]), anna.id);
    let log_in = |password: &str| json!({ "login": "anna", "password": password });
    world.post(&world.nobody(), "/auth/login", log_in("correct horse")).await.form_error("/login", "INVALID_LOGIN");
    world.post(&world.nobody(), "/auth/login", log_in("battery staple")).await.ok();
}

#[tokio::test]
async fn a_new_name_is_seen_at_once_by_everyone() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let me = world
        .patch(&anna, "/users/@me", json!({ "username": "anne", "global_name": "Anne", "password": "correct horse" }))
        .await
        .ok();
    assert_eq!((&me["username"], &me["global_name"]), (&json!("anne"), &json!("Anne")));
    let member = world.get(&world.owner, &format!("/guilds/{}/members/{}", world.guild, anna.id)).await.ok();
    assert_eq!(member["user"]["username"], "anne");
    assert_eq!(world.get(&anna, &format!("/users/@me/guilds/{}/member", world.guild)).await.ok(), member);
    assert_eq!(world.say(&anna, "hello").await["author"]["global_name"], "Anne");
    assert_eq!(world.get(&world.owner, &format!("/users/{}", anna.id)).await.ok()["username"], "anne");
    let taken = json!({ "username": "OWNER", "email": "anne@example.org", "password": "correct horse" });
    world.patch(&anna, "/users/@me", taken).await.form_error("/username", "USERNAME_ALREADY_TAKEN");
    assert_eq!(world.get(&anna, "/users/@me").await.ok()["email"], Value::Null, "all of it or nothing");
    let cleared = world.patch(&anna, "/users/@me", json!({ "global_name": null })).await.ok();
    assert_eq!((&cleared["username"], &cleared["global_name"]), (&json!("anne"), &Value::Null));
}

#[tokio::test]
async fn an_application_has_a_bot_that_speaks_and_owns_nothing() {
    let world = World::new().await;
    let (bot, application) = world.bot("helper", 1 << 11).await;
    let me = world.get(&bot, "/users/@me").await.ok();
    assert_eq!((&me["username"], &me["bot"], &me["email"]), (&json!("helper"), &json!(true), &Value::Null));
    for path in ["/applications/@me", "/oauth2/applications/@me"] {
        let own = world.get(&bot, path).await.ok();
        assert_eq!((text(&own["id"]), text(&own["bot"]["id"])), (application.clone(), bot.id.clone()));
        assert_eq!(text(&own["owner"]["id"]), world.owner.id);
        assert_eq!(text(&own["verify_key"]).len(), 64);
    }
    assert_eq!(world.say(&bot, "beep").await["author"]["bot"], true);
    let start = world.get(&bot, "/gateway/bot").await.ok();
    assert_eq!((&start["url"], &start["shards"]), (&json!("ws://hall.example:8080/gateway"), &json!(1)));
    for key in ["total", "remaining", "reset_after", "max_concurrency"] {
        assert!(start["session_start_limit"][key].is_u64(), "{key}");
    }
    // What only people do.
    world.post(&bot, "/guilds", json!({ "name": "Bots" })).await.refused(403, 20001);
    world.post(&bot, "/applications", json!({ "name": "child" })).await.refused(403, 20001);
    world.get(&world.owner, "/gateway/bot").await.refused(403, 20002);
    // A bot's token says so, a person's does not.
    let bare = Session { token: bot.token.trim_start_matches("Bot ").to_owned(), ..bot.clone() };
    world.get(&bare, "/users/@me").await.refused(401, 0);
    let dressed = Session { token: format!("Bot {}", world.owner.token), ..world.owner.clone() };
    world.get(&dressed, "/users/@me").await.refused(401, 0);
    // A new token replaces the old one; a stranger gets none.
    let anna = world.register("anna").await;
    world.post(&anna, &format!("/applications/{application}/bot"), json!({})).await.refused(404, 10002);
    world.get(&bot, "/users/@me").await.ok();
    world.post(&world.owner, &format!("/applications/{application}/bot"), json!({})).await.ok();
    world.get(&bot, "/users/@me").await.refused(401, 0);
}

#[tokio::test]
async fn privileged_intents_are_the_application_owners_to_switch() {
    let world = World::new().await;
    let (_, application) = world.bot("helper", 0).await;
    let path = format!("/applications/{application}");
    let before = world.get(&world.owner, &path).await.ok();
    assert_eq!(before["flags"], (1 << 13) | (1 << 15) | (1 << 19));
    let after = world.patch(&world.owner, &path, json!({ "flags": 1 << 19, "description": "Helps" })).await.ok();
    assert_eq!((&after["flags"], &after["description"], &after["name"]), (&json!(1 << 19), &json!("Helps"), &json!("helper")));
    assert_eq!(after["flags_new"], (1 << 19).to_string());
    let anna = world.register("anna").await;
    world.patch(&anna, &path, json!({ "flags": 0 })).await.refused(404, 10002);
}

#[tokio::test]
async fn a_bot_is_let_in_by_who_manages_the_guild_and_holds_no_more_than_they() {
    let world = World::new().await;
    let manage_guild = 1 << 5;
    let (anna, _) = world.member_with("anna", manage_guild).await;
    let bea = world.member("bea").await;
    let application = text(&world.post(&anna, "/applications", json!({ "name": "helper" })).await.ok()["id"]);
    let path = format!("/oauth2/authorize?client_id={application}&scope=bot");
    let consent =
        |permissions: u64| json!({ "guild_id": world.guild, "permissions": permissions.to_string(), "authorize": true });
    world.post(&anna, &path, consent(0)).await.refused(404, 10002);
    world.post(&anna, &format!("/applications/{application}/bot"), json!({})).await.ok();
    world.post(&bea, &path, consent(0)).await.refused(403, 50013);
    world.post(&anna, &path, consent(1 << 3)).await.refused(403, 50013);
    let stranger = world.register("stranger").await;
    world.post(&stranger, &path, consent(0)).await.refused(403, 50001);
    assert_eq!(
        world.get(&world.owner, &format!("/guilds/{}?with_counts=true", world.guild)).await.ok()["approximate_member_count"],
        3
    );
    world.post(&anna, &path, consent(manage_guild)).await.ok();
    world.post(&anna, &path, consent(manage_guild)).await.ok();
    let guild = world.get(&world.owner, &format!("/guilds/{}?with_counts=true", world.guild)).await.ok();
    assert_eq!(guild["approximate_member_count"], 4);
    let managed: Vec<&Value> = guild["roles"].as_array().unwrap().iter().filter(|role| role["managed"] == true).collect();
    assert_eq!(managed.len(), 1);
    assert!(managed[0]["tags"]["bot_id"].is_string());
    // That role is nobody's to give, take or delete.
    let role = text(&managed[0]["id"]);
    world
        .put(&world.owner, &format!("/guilds/{}/members/{}/roles/{role}", world.guild, bea.id), json!({}))
        .await
        .refused(403, 50013);
    world.delete(&world.owner, &format!("/guilds/{}/roles/{role}", world.guild)).await.refused(400, 50028);
}
