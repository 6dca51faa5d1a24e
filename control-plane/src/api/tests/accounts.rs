//! Where someone is logged in, what proves it, and the end of an account.

use super::{Session, World, text};
use crate::gateway::link::{Ending, Mail};
use crate::hub::core::Attached;
use crate::hub::world::told;
use axum::body::Body;
use axum::http::Method;
use guildhall_protocol::gateway::CloseCode;
use serde_json::{Value, json};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

async fn log_in(world: &World, login: &str, user_agent: &str) -> Session {
    let body = json!({ "login": login, "password": "correct horse" }).to_string();
    let request = world.request(&world.nobody(), Method::POST, "/auth/login").header("user-agent", user_agent);
    let reply = world.send(request.header("content-type", "application/json").body(Body::from(body)).unwrap()).await.ok();
    Session { token: text(&reply["token"]), id: text(&reply["user_id"]) }
}

async fn log_ins(world: &World, who: &Session) -> Vec<Value> {
    world.get(who, "/auth/sessions").await.ok()["user_sessions"].as_array().unwrap().clone()
}

/// Whether the gateway session was closed because its token is worth nothing any more.
fn is_ended(session: &Attached) -> bool {
    let mail = session.link.take(session.connection, usize::MAX);
    matches!(mail, Mail::Ending(Ending::Close(CloseCode::AuthenticationFailed)))
}

#[tokio::test]
async fn log_ins_are_listed_with_their_program_and_end_one_by_one() {
    let world = World::new().await;
    let anna = world.register("anna").await;
    let second = log_in(&world, "anna", FIREFOX).await;
    let listed = log_ins(&world, &anna).await;
    let info = |listed: &[Value]| -> Vec<Value> { listed.iter().map(|one| one["client_info"]["platform"].clone()).collect() };
    assert_eq!(listed.len(), 2);
    let firefox = listed.iter().find(|one| one["client_info"]["platform"] == "Firefox").expect("it said so");
    assert_eq!(firefox["client_info"], json!({ "os": "Linux", "platform": "Firefox", "location": null }));
    assert!(firefox["approx_last_used_time"].as_str().is_some_and(|time| time.ends_with("+00:00")), "{firefox}");

    let (first_gateway, _) = world.listen(&anna, None).await;
    let (second_gateway, _) = world.listen(&second, None).await;
    let end = |password: &str| json!({ "session_id_hashes": [firefox["id_hash"], "unknown"], "password": password });
    world.post(&anna, "/auth/sessions/logout", end("wrong horse")).await.form_error("/password", "PASSWORD_DOES_NOT_MATCH");
    let without = json!({ "session_id_hashes": [firefox["id_hash"]] });
    world.post(&anna, "/auth/sessions/logout", without).await.form_error("/password", "PASSWORD_DOES_NOT_MATCH");
    world.get(&second, "/users/@me").await.ok();
    let bea = world.register("bea").await;
    world.post(&bea, "/auth/sessions/logout", end("correct horse")).await.no_content();
    world.get(&second, "/users/@me").await.ok();
    world.post(&anna, "/auth/sessions/logout", end("correct horse")).await.no_content();
    world.get(&second, "/users/@me").await.refused(401, 0);
    assert!(is_ended(&second_gateway) && !is_ended(&first_gateway));
    assert_eq!(info(&log_ins(&world, &anna).await), [Value::Null]);
    let (bot, _) = world.bot("helper", 0).await;
    world.get(&bot, "/auth/sessions").await.refused(403, 20001);
}

#[tokio::test]
async fn a_new_password_ends_all_sessions_and_is_all_that_goes_on() {
    let world = World::new().await;
    let anna = world.register("anna").await;
    let second = log_in(&world, "anna", FIREFOX).await;
    let (gateway, _) = world.listen(&second, None).await;
    let change = json!({ "password": "correct horse", "new_password": "battery staple" });
    let token = text(&world.patch(&anna, "/users/@me", change).await.ok()["token"]);
    assert!(is_ended(&gateway));
    world.get(&second, "/users/@me").await.refused(401, 0);
    assert_eq!(log_ins(&world, &Session { token, ..anna }).await.len(), 1);
}

#[tokio::test]
async fn an_address_and_a_user_name_are_changed_with_the_password_only() {
    let world = World::new().await;
    let anna = world.register("anna").await;
    let bea = world.register("bea").await;
    let (gateway, _) = world.listen(&anna, None).await;
    let address = |password: Option<&str>| json!({ "email": "Anna@Example.org", "password": password });
    world.patch(&anna, "/users/@me", address(None)).await.form_error("/password", "PASSWORD_DOES_NOT_MATCH");
    world.patch(&anna, "/users/@me", json!({ "email": "nothing" })).await.form_error("/email", "EMAIL_TYPE_INVALID_EMAIL");
    let me = world.patch(&anna, "/users/@me", address(Some("correct horse"))).await.ok();
    assert_eq!((&me["email"], me.get("token")), (&json!("anna@example.org"), None));
    let heard = told(&gateway);
    assert_eq!((heard[0].0, &heard[0].1["email"]), ("USER_UPDATE", &json!("anna@example.org")));
    assert_eq!(log_in(&world, "anna@EXAMPLE.org", FIREFOX).await.id, anna.id);
    let taken = world.patch(&bea, "/users/@me", address(Some("correct horse"))).await;
    taken.form_error("/email", "EMAIL_ALREADY_REGISTERED");
    world.patch(&anna, "/users/@me", json!({ "username": "anne" })).await.form_error("/password", "PASSWORD_DOES_NOT_MATCH");
    world.patch(&anna, "/users/@me", json!({ "username": "anna", "global_name": "A" })).await.ok();
    let (bot, _) = world.bot("helper", 0).await;
    assert_eq!(world.patch(&bot, "/users/@me", json!({ "username": "servant" })).await.ok()["username"], "servant");
    world.patch(&bot, "/users/@me", json!({ "email": "a@b.example" })).await.refused(403, 20001);

    let world = World::limited().await;
    let anna = world.register("anna").await;
    let rename = |name: &str| json!({ "username": name, "password": "correct horse" });
    for name in ["anne", "anna"] {
        world.patch(&anna, "/users/@me", rename(name)).await.ok();
    }
    world.patch(&anna, "/users/@me", rename("anne")).await.form_error("/username", "USERNAME_RATE_LIMIT");
}

#[tokio::test]
async fn a_deleted_account_leaves_what_it_wrote_and_nothing_else() {
    let world = World::new().await;
    let (anna, bea, cleo) = (world.member("anna").await, world.member("bea").await, world.member("cleo").await);
    for (one, other) in [(&anna, &bea), (&anna, &cleo), (&bea, &cleo)] {
        world.befriend(one, other).await;
    }
    world.say(&anna, "I was here").await;
    let dm = world.dm(&anna, &bea).await;
    world.post(&anna, &format!("{dm}/messages"), json!({ "content": "only for you" })).await.ok();
    let group = world.post(&anna, "/users/@me/channels", json!({ "recipients": [bea.id, cleo.id] })).await.ok();
    let guild = text(&world.post(&anna, "/guilds", json!({ "name": "Own" })).await.ok()["id"]);
    let application = text(&world.post(&anna, "/applications", json!({ "name": "helper" })).await.ok()["id"]);
    let token = text(&world.post(&anna, &format!("/applications/{application}/bot"), json!({})).await.ok()["token"]);
    let bot = Session { token: format!("Bot {token}"), id: String::new() };

    let delete = |password: &str| json!({ "password": password });
    world.post(&anna, "/users/@me/delete", delete("wrong horse")).await.form_error("/password", "PASSWORD_DOES_NOT_MATCH");
    world.post(&anna, "/users/@me/delete", delete("correct horse")).await.refused(400, 40011);
    world.delete(&anna, &format!("/guilds/{guild}")).await.no_content();
    let (to_anna, _) = world.listen(&anna, None).await;
    let (to_bea, _) = world.listen(&bea, None).await;
    world.post(&anna, "/users/@me/delete", delete("correct horse")).await.no_content();

    assert!(is_ended(&to_anna));
    for gone in [&anna, &bot] {
        world.get(gone, "/users/@me").await.refused(401, 0);
    }
    let names: Vec<&str> = told(&to_bea).into_iter().map(|(name, _)| name).filter(|name| *name != "PRESENCE_UPDATE").collect();
    let expected =
        ["GUILD_MEMBER_UPDATE", "GUILD_MEMBER_REMOVE", "CHANNEL_UPDATE", "CHANNEL_RECIPIENT_REMOVE", "RELATIONSHIP_REMOVE"];
    assert_eq!(names, expected);
    let said = world.get(&bea, &format!("{}?limit=100", world.messages_path())).await.ok();
    let written = said.as_array().unwrap().iter().find(|message| message["content"] == "I was here").expect("it stays");
    assert_eq!(
        (&written["author"]["username"], &written["author"]["global_name"], &written["author"]["id"]),
        (&json!("Deleted User"), &Value::Null, &json!(anna.id))
    );
    assert_eq!(world.get(&bea, &format!("{dm}/messages")).await.ok()[0]["content"], "only for you");
    assert_eq!(world.get(&bea, &dm).await.ok()["recipients"][0]["username"], "Deleted User");
    world.post(&bea, &format!("{dm}/messages"), json!({ "content": "x" })).await.refused(403, 50007);
    let group = world.get(&bea, &format!("/channels/{}", text(&group["id"]))).await.ok();
    assert_eq!((&group["owner_id"], group["recipients"].as_array().map(Vec::len)), (&json!(bea.id), Some(1)));
    assert_eq!(world.get(&bea, "/users/@me/relationships").await.ok().as_array().map(Vec::len), Some(1), "cleo");
    world.get(&bea, &format!("/guilds/{}/members/{}", world.guild, anna.id)).await.refused(404, 10007);

    // Nobody logs in to it, finds it or takes it for someone; its name is free.
    for login in ["anna", "Deleted User", &format!("DELETED {}", anna.id)] {
        let body = json!({ "login": login, "password": "correct horse" });
        world.post(&world.nobody(), "/auth/login", body).await.form_error("/login", "INVALID_LOGIN");
    }
    world.put(&bea, &format!("/users/@me/relationships/{}", anna.id), json!({})).await.refused(404, 10013);
    let ask = json!({ "username": format!("deleted {}", anna.id) });
    world.post(&bea, "/users/@me/relationships", ask).await.refused(400, 80004);
    assert_ne!(world.register("anna").await.id, anna.id);
}
