//! Every route of Discord's published description that we implement is driven here, each answer is held to the description
//! (by [`World::send`]), and what came of it is the table in docs/routes.md.
//!
//! A new route needs a call in one of the journeys and a new table: `GUILDHALL_WRITE_DOCS=1 cargo test -p
//! guildhall-control-plane --lib conformance` writes it.

use super::shapes::{self, SCHEMAS};
use super::{World, interactions, text};
use crate::api::routes;
use axum::http::Method;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/routes.md");
const WRITE: &str = "GUILDHALL_WRITE_DOCS";

/// Described routes that never have anything to give here, with what each always answers: a journey asks for just that.
const REFUSED: [(&str, &str); 1] = [(
    "GET /applications/{application_id}/guilds/{guild_id}/commands/{command_id}/permissions",
    "there are none here: 404, code 10066",
)];

/// What else answers with nothing, so that nothing but its status is to be seen.
async fn quiet_answers(world: &World) {
    let (owner, guild) = (&world.owner, &world.guild);
    let g = |rest: &str| format!("/guilds/{guild}{rest}");
    let anna = world.member("anna").await;
    let (_, application) = world.bot("helper", 8).await;

    let said = text(&world.say(owner, "hello").await["id"]);
    let message = format!("{}/{said}", world.messages_path());
    world.post(owner, &format!("/channels/{}/typing", world.text), json!({})).await.no_content();
    for pins in [format!("{}/pins", world.messages_path()), format!("/channels/{}/pins", world.text)] {
        world.put(owner, &format!("{pins}/{said}"), json!({})).await.no_content();
        world.delete(owner, &format!("{pins}/{said}")).await.no_content();
    }
    let reaction = |rest: &str| format!("{message}/reactions{rest}");
    for end in [reaction("/%F0%9F%91%8D/@me"), reaction("/%F0%9F%91%8D"), reaction("")] {
        world.put(owner, &reaction("/%F0%9F%91%8D/@me"), json!({})).await.no_content();
        world.get(owner, &reaction("/%F0%9F%91%8D")).await.ok();
        world.delete(owner, &end).await.no_content();
    }
    world.put(&anna, &reaction("/%F0%9F%91%8D/@me"), json!({})).await.no_content();
    world.delete(owner, &reaction(&format!("/%F0%9F%91%8D/{}", anna.id))).await.no_content();
    let mut more = vec![said];
    more.push(text(&world.say(&anna, "and me").await["id"]));
    world.post(owner, &format!("{}/bulk-delete", world.messages_path()), json!({ "messages": more })).await.no_content();

    let overwrite = format!("/channels/{}/permissions/{guild}", world.text);
    world.put(owner, &overwrite, json!({ "type": 0, "deny": "64" })).await.no_content();
    world.delete(owner, &overwrite).await.no_content();
    world.patch(owner, &g("/channels"), json!([{ "id": world.text, "position": 3 }])).await.no_content();

    let role = world.role("helpers", 0).await;
    let given = g(&format!("/members/{}/roles/{role}", anna.id));
    world.put(owner, &given, json!({})).await.no_content();
    world.delete(owner, &given).await.no_content();
    world.delete(owner, &g(&format!("/roles/{role}"))).await.no_content();
    world.delete(owner, &g(&format!("/members/{}", anna.id))).await.no_content();
    let ban = g(&format!("/bans/{}", anna.id));
    world.put(owner, &ban, json!({})).await.no_content();
    world.delete(owner, &ban).await.no_content();

    let leaver = world.member("leaver").await;
    world.delete(&leaver, &format!("/users/@me/guilds/{guild}")).await.no_content();

    for scope in [String::new(), format!("/guilds/{guild}")] {
        let commands = format!("/applications/{application}{scope}/commands");
        let command = world.post(owner, &commands, json!({ "name": "ping", "description": "d" })).await.ok();
        if !scope.is_empty() {
            assert_eq!(world.get(owner, &format!("{commands}/permissions")).await.ok(), json!([]));
            world.get(owner, &format!("{commands}/{}/permissions", text(&command["id"]))).await.refused(404, 10066);
        }
        world.delete(owner, &format!("{commands}/{}", text(&command["id"]))).await.no_content();
    }
}

async fn conversations(world: &World) {
    let (anna, bea, cleo) = (world.member("anna").await, world.member("bea").await, world.member("cleo").await);
    for other in [&bea, &cleo] {
        let ask = |name: &str| json!({ "username": name, "discriminator": null });
        let name = if other.id == bea.id { "bea" } else { "cleo" };
        world.post(&anna, "/users/@me/relationships", ask(name)).await.no_content();
        world.post(other, "/users/@me/relationships", ask("anna")).await.no_content();
    }
    let opened = world.post(&anna, "/users/@me/channels", json!({ "recipient_id": bea.id })).await.ok();
    let third = format!("/channels/{}/recipients/{}", text(&opened["id"]), cleo.id);
    world.put(&anna, &third, json!({})).await.ok();
}

/// A red dot.
pub const PICTURE: &str =
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

async fn expressions(world: &World) {
    let emojis = format!("/guilds/{}/emojis", world.guild);
    let made = world.post(&world.owner, &emojis, json!({ "name": "dot", "image": PICTURE, "roles": [] })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let one = format!("{emojis}/{}", text(&made.body["id"]));
    world.get(&world.owner, &emojis).await.ok();
    world.get(&world.owner, &one).await.ok();
    world.patch(&world.owner, &one, json!({ "name": "point" })).await.ok();
    world.delete(&world.owner, &one).await.no_content();
}

async fn webhooks_end(world: &World) {
    let path = format!("/channels/{}/webhooks", world.text);
    for by_token in [false, true] {
        let made = world.post(&world.owner, &path, json!({ "name": "w" })).await.ok();
        let (id, token) = (text(&made["id"]), text(&made["token"]));
        if by_token {
            world.delete(&world.nobody(), &format!("/webhooks/{id}/{token}")).await.no_content();
        } else {
            world.delete(&world.owner, &format!("/webhooks/{id}")).await.no_content();
        }
    }
}

async fn member_care(world: &World) {
    let g = |rest: &str| format!("/guilds/{}{rest}", world.guild);
    let (owner, anna, bea) = (&world.owner, world.member("anna").await, world.member("bea").await);
    let (bot, _) = world.bot("helper", 8).await;
    world.put(&bot, &g(&format!("/members/{}", anna.id)), json!({ "access_token": "none" })).await.no_content();
    world.get(&bot, "/oauth2/@me").await.ok();
    world.get(owner, &g("/prune?days=7")).await.ok();
    world.post(owner, &g("/prune"), json!({ "days": 7 })).await.ok();
    world.post(owner, &g("/bulk-ban"), json!({ "user_ids": [bea.id] })).await.ok();
}

async fn voice_states(world: &World) {
    let stage = json!({ "name": "stage", "type": 13 });
    let stage = text(&world.post(&world.owner, &format!("/guilds/{}/channels", world.guild), stage).await.ok()["id"]);
    let anna = world.member("anna").await;
    let session = world.connect(&anna).await;
    world.join_voice(&session, &stage);
    let path = |who: &str| format!("/guilds/{}/voice-states/{who}", world.guild);
    world.get(&anna, &path("@me")).await.ok();
    world.get(&world.owner, &path(&anna.id)).await.ok();
    world.patch(&world.owner, &path(&anna.id), json!({ "channel_id": stage, "suppress": false })).await.no_content();
    world.patch(&anna, &path("@me"), json!({ "channel_id": stage, "suppress": true })).await.no_content();
}

/// Parameters may have other names here than there.
fn nameless(operation: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    operation.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The table: what the description has, then what we have besides.
fn table(validated: &BTreeSet<String>) -> String {
    let (_, operations) = routes().into_parts();
    let names = operations.iter().map(|one| (format!("{} {}", one.method, one.path), one.summary));
    let ours: BTreeMap<String, &str> = names.collect();
    let implemented: BTreeSet<String> = ours.keys().map(|name| nameless(name)).collect();
    let described: BTreeSet<String> = SCHEMAS.operations().map(nameless).collect();
    let count = described.intersection(&implemented).count();
    let mut out = format!(
        "# Routes\n\nMade by the test `conformance`; see `control-plane/src/api/tests/conformance.rs`. \
         What each takes and gives: `/docs` of a running server.\n\n\
         ## Of Discord's published description\n\n{count} of {} are implemented, {} are validated: driven by a test, and \
         the answer held to the description's schema and status.\n\n\
         | method | path | implemented | validated | why not |\n| --- | --- | --- | --- | --- |\n",
        described.len(),
        validated.len(),
    );
    let by_path = |name: &&str| name.split_once(' ').map(|(method, path)| (path.to_owned(), method.to_owned()));
    let mut all: Vec<&str> = SCHEMAS.operations().collect();
    all.sort_by_key(by_path);
    for name in all {
        let (method, path) = name.split_once(' ').expect("a method and a path");
        let is_ours = implemented.contains(&nameless(name));
        let mark = |is: bool| if is { "yes" } else { "no" };
        let refused = REFUSED.iter().find(|(refused, _)| *refused == name);
        let why = refused.map_or(if is_ours { "" } else { "not built yet" }, |(_, answer)| answer);
        writeln!(out, "| {method} | `{path}` | {} | {} | {why} |", mark(is_ours), mark(validated.contains(name))).unwrap();
    }
    out += "\n## Of this server besides\n\n| method | path | what it does |\n| --- | --- | --- |\n";
    let mut own: Vec<_> = ours.iter().filter(|(name, _)| !described.contains(&nameless(name))).collect();
    own.sort_by_key(|(name, _)| by_path(&name.as_str()));
    for (name, summary) in own {
        let (method, path) = name.split_once(' ').expect("a method and a path");
        writeln!(out, "| {method} | `{path}` | {summary} |").unwrap();
    }
    out
}

#[tokio::test]
async fn every_route_of_the_published_description_answers_as_described_and_the_table_says_so() {
    let mut validated = BTreeSet::new();
    macro_rules! drive {
        ($($journey:expr),* $(,)?) => {$({
            let world = World::new().await;
            $journey(&world).await;
            validated.append(&mut world.validated.lock().unwrap());
        })*};
    }
    drive!(
        shapes::guilds,
        shapes::people,
        shapes::commands,
        shapes::components,
        shapes::webhooks,
        shapes::messages_and_errors,
        shapes::threads,
        quiet_answers,
        expressions,
        webhooks_end,
        member_care,
        voice_states,
        conversations,
        interactions::answers
    );

    let (_, operations) = routes().into_parts();
    let ours: BTreeSet<String> = operations.iter().map(|one| nameless(&format!("{} {}", one.method, one.path))).collect();
    let is_driven = |name: &str| validated.contains(name) || REFUSED.iter().any(|(refused, _)| *refused == name);
    let undriven: Vec<&str> = SCHEMAS.operations().filter(|name| ours.contains(&nameless(name)) && !is_driven(name)).collect();
    assert!(undriven.is_empty(), "a journey of conformance.rs or shapes.rs must call these: {undriven:#?}");

    let table = table(&validated);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(TABLE, &table).unwrap();
    }
    let committed = std::fs::read_to_string(TABLE).unwrap_or_default();
    assert!(committed == table, "docs/routes.md is out of date; write it anew with {WRITE}=1");
}

#[test]
fn a_request_is_the_operation_with_the_most_fixed_parts() {
    let name = |method: Method, path: &str| SCHEMAS.operation_of(&method, path);
    assert_eq!(name(Method::GET, "/users/@me"), Some("GET /users/@me"));
    assert_eq!(name(Method::GET, "/users/5"), Some("GET /users/{user_id}"));
    assert_eq!(name(Method::GET, "/guilds/5/members/search"), Some("GET /guilds/{guild_id}/members/search"));
    assert_eq!(name(Method::GET, "/channels/5/messages/7"), Some("GET /channels/{channel_id}/messages/{message_id}"));
    assert_eq!(name(Method::GET, "/channels/5/messages/search"), None, "our own");
    assert_eq!(name(Method::POST, "/users/5"), None);
    assert_eq!(name(Method::GET, "/users"), None);
}
