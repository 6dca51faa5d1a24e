//! Every answer has the shape that Discord's published description of the API promises, so that libraries that were written
//! against it can read it. The description is data (`discord_schemas.json`); the few keywords that it uses are read here.

use super::{Reply, Session, World, text};
use axum::http::Method;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Our own routes: one that nobody described may fit into the pattern of one that is.
static OURS: LazyLock<Vec<(Method, &str)>> =
    LazyLock::new(|| crate::api::routes().into_parts().1.into_iter().map(|one| (one.method, one.path)).collect());

pub static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::load);

pub struct Schemas(Value);

impl Schemas {
    pub(super) fn load() -> Self {
        Self(serde_json::from_str(include_str!("discord_schemas.json")).expect("the extract is JSON"))
    }

    /// Asserts that the answer fits the operation, as in `GET /users/@me`.
    #[track_caller]
    pub(super) fn check(&self, operation: &str, reply: Reply) -> Value {
        let schema = self.0["operations"].get(operation).unwrap_or_else(|| panic!("{operation} is not in the extract"));
        let mut wrong = Vec::new();
        self.validate(schema, &reply.body, "", &mut wrong);
        assert!(wrong.is_empty(), "{operation} ({}): {wrong:#?}\n{}", reply.status, reply.body);
        reply.body
    }

    /// The operations that are held to the description, as in `GET /users/@me`.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.0["statuses"].as_object().into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// Asserts that a success is one that the description knows, and its body, too. The operation's name if it is described.
    #[track_caller]
    pub fn check_success(&self, method: &Method, path: &str, reply: &Reply) -> Option<&str> {
        let name = self.operation_of(method, path)?;
        let statuses = self.0["statuses"][name].as_array().expect("a list of statuses");
        assert!(statuses.iter().any(|known| *known == reply.status), "{name} answers {}, not one of {statuses:?}", reply.status);
        if reply.status == 204 {
            assert_eq!(reply.text, "", "{name}: a 204 has no body");
        } else {
            let mut wrong = Vec::new();
            self.validate(&self.0["operations"][name], &reply.body, "", &mut wrong);
            assert!(wrong.is_empty(), "{name} ({}): {wrong:#?}\n{}", reply.status, reply.body);
        }
        Some(name)
    }

    /// The described operation that a request means: of those whose path fits, here or there, one has the most fixed parts.
    pub fn operation_of(&self, method: &Method, path: &str) -> Option<&str> {
        let asked: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            let is_same = |(part, asked): (&&str, &&str)| part.starts_with('{') || part == asked;
            parts.len() == asked.len() && parts.iter().zip(&asked).all(is_same)
        };
        let named = self.operations().filter_map(|name| Some((name, name.split_once(' ')?)));
        let described = named.filter(|(_, (of, path))| *of == method.as_str() && fits(path));
        let (name, (_, path)) = described.min_by_key(|(_, (_, path))| path.matches('{').count())?;
        let ours = OURS.iter().filter(|(of, path)| of == method && fits(path));
        let is_another =
            ours.map(|(_, path)| path.matches('{').count()).min().is_some_and(|count| count < path.matches('{').count());
        (!is_another).then_some(name)
    }

    /// Appends what does not fit, with where it lies.
    fn validate(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        for (keyword, rule) in schema.as_object().expect("a schema is an object") {
            match keyword.as_str() {
                "$ref" => {
                    let name = rule.as_str().and_then(|path| path.rsplit('/').next()).expect("a reference names a schema");
                    self.validate(&self.0["schemas"][name], value, at, wrong);
                }
                "type" => {
                    let types = rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice);
                    if !types.iter().any(|name| is_of_type(value, name.as_str().unwrap_or_default())) {
                        wrong.push(format!("{at}: {value} is no {rule}"));
                    }
                }
                "const" if value != rule => wrong.push(format!("{at}: {value} is not {rule}")),
                "enum" if !rule.as_array().is_some_and(|allowed| allowed.contains(value)) => {
                    wrong.push(format!("{at}: {value} is not in {rule}"));
                }
                "allOf" => rule.as_array().into_iter().flatten().for_each(|part| self.validate(part, value, at, wrong)),
                "oneOf" | "anyOf" => self.validate_any(rule, value, at, wrong),
                "required" => {
                    let keys = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
                    let missing = keys.filter(|key| value.is_object() && value.get(key).is_none());
                    wrong.extend(missing.map(|key| format!("{at}: {key} is missing")));
                }
                "properties" => {
                    for (key, part) in rule.as_object().into_iter().flatten() {
                        if let Some(value) = value.get(key) {
                            self.validate(part, value, &format!("{at}/{key}"), wrong);
                        }
                    }
                }
                "items" => {
                    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                        self.validate(rule, value, &format!("{at}/{index}"), wrong);
                    }
                }
                "minimum" if value.as_f64() < rule.as_f64() && value.is_number() => wrong.push(format!("{at}: {value} < {rule}")),
                "maximum" if value.as_f64() > rule.as_f64() && value.is_number() => wrong.push(format!("{at}: {value} > {rule}")),
                _ => {}
            }
        }
    }

    /// One of several shapes must fit; if none does, the closest says why.
    fn validate_any(&self, options: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        let tries = options.as_array().into_iter().flatten().map(|option| {
            let mut wrong = Vec::new();
            self.validate(option, value, at, &mut wrong);
            wrong
        });
        wrong.extend(tries.min_by_key(Vec::len).unwrap_or_default());
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("an unknown type {name}"),
    }
}

#[test]
fn the_reader_of_schemas_finds_what_is_wrong() {
    let schemas = &SCHEMAS;
    let wrong = |operation: &str, value: Value| {
        let mut wrong = Vec::new();
        schemas.validate(&schemas.0["operations"][operation], &value, "", &mut wrong);
        wrong
    };
    assert_eq!(wrong("GET /gateway", json!({ "url": "ws://x" })), Vec::<String>::new());
    assert_eq!(wrong("GET /gateway", json!({})), [": url is missing"]);
    assert_eq!(wrong("GET /gateway", json!({ "url": 5 })).len(), 1);
    assert!(!wrong("GET /gateway", json!([])).is_empty());
    let region = json!({ "id": "a", "name": "A", "custom": false, "deprecated": false, "optimal": "yes" });
    assert_eq!(wrong("GET /voice/regions", json!([region])), ["/0/optimal: \"yes\" is no \"boolean\""]);
}

pub async fn guilds(world: &World) {
    let schemas = &SCHEMAS;
    let (owner, guild) = (&world.owner, &world.guild);
    let g = |rest: &str| format!("/guilds/{guild}{rest}");
    schemas.check("GET /guilds/{guild_id}", world.get(owner, &g("?with_counts=true")).await);
    schemas.check("GET /users/@me/guilds", world.get(owner, "/users/@me/guilds").await);
    let edit = json!({ "description": "ours", "afk_channel_id": world.voice });
    schemas.check("PATCH /guilds/{guild_id}", world.patch(owner, &g(""), edit).await);
    schemas.check("GET /guilds/{guild_id}/channels", world.get(owner, &g("/channels")).await);
    for kind in [0, 2, 4, 5, 13] {
        let made = world.post(owner, &g("/channels"), json!({ "name": "new", "type": kind })).await;
        let made = schemas.check("POST /guilds/{guild_id}/channels", made);
        let path = format!("/channels/{}", text(&made["id"]));
        let overwrite = json!({ "type": 0, "deny": "1" });
        world.put(owner, &format!("{path}/permissions/{guild}"), overwrite).await.no_content();
        schemas.check("GET /channels/{channel_id}", world.get(owner, &path).await);
        schemas.check("PATCH /channels/{channel_id}", world.patch(owner, &path, json!({ "name": "old" })).await);
        schemas.check("DELETE /channels/{channel_id}", world.delete(owner, &path).await);
    }
    let role = schemas.check("POST /guilds/{guild_id}/roles", world.post(owner, &g("/roles"), json!({ "color": 9 })).await);
    let role = text(&role["id"]);
    world.bot("helper", 8).await;
    schemas.check("GET /guilds/{guild_id}/roles", world.get(owner, &g("/roles")).await);
    schemas.check("GET /guilds/{guild_id}/roles/member-counts", world.get(owner, &g("/roles/member-counts")).await);
    schemas.check("GET /guilds/{guild_id}/roles/{role_id}", world.get(owner, &g(&format!("/roles/{role}"))).await);
    let edited = world.patch(owner, &g(&format!("/roles/{role}")), json!({ "name": "r" })).await;
    schemas.check("PATCH /guilds/{guild_id}/roles/{role_id}", edited);
    let moved = world.patch(owner, &g("/roles"), json!([{ "id": role, "position": 1 }])).await;
    schemas.check("PATCH /guilds/{guild_id}/roles", moved);
    schemas.check("GET /guilds/{guild_id}/audit-logs", world.get(owner, &g("/audit-logs?limit=100")).await);
    schemas.check("GET /voice/regions", world.get(owner, "/voice/regions").await);
    schemas.check("GET /soundboard-default-sounds", world.get(owner, "/soundboard-default-sounds").await);
    schemas.check("GET /guilds/{guild_id}/regions", world.get(owner, &g("/regions")).await);
}

pub async fn people(world: &World) {
    let schemas = &SCHEMAS;
    let (owner, guild) = (&world.owner, &world.guild);
    let g = |rest: &str| format!("/guilds/{guild}{rest}");
    let anna = world.member("anna").await;
    let (bot, _) = world.bot("helper", 8).await;
    schemas.check("GET /users/@me", world.get(owner, "/users/@me").await);
    schemas.check("PATCH /users/@me", world.patch(&anna, "/users/@me", json!({ "global_name": "A" })).await);
    schemas.check("GET /users/{user_id}", world.get(owner, &format!("/users/{}", anna.id)).await);
    for path in ["/applications/@me", "/oauth2/applications/@me", "/gateway/bot", "/gateway"] {
        schemas.check(&format!("GET {path}"), world.get(&bot, path).await);
    }
    schemas.check("GET /guilds/{guild_id}/members", world.get(owner, &g("/members?limit=9")).await);
    schemas.check("GET /guilds/{guild_id}/members/search", world.get(owner, &g("/members/search?query=a")).await);
    let member = g(&format!("/members/{}", anna.id));
    schemas.check("GET /guilds/{guild_id}/members/{user_id}", world.get(owner, &member).await);
    let soon = guildhall_protocol::model::timestamp(crate::ids::unix_ms() + 60_000);
    let edit = json!({ "nick": "Annie", "communication_disabled_until": soon });
    schemas.check("PATCH /guilds/{guild_id}/members/{user_id}", world.patch(owner, &member, edit).await);
    let own = world.patch(owner, &g("/members/@me"), json!({ "nick": "Boss" })).await;
    schemas.check("PATCH /guilds/{guild_id}/members/@me", own);
    world.put(owner, &g(&format!("/bans/{}", anna.id)), json!({})).await.no_content();
    schemas.check("GET /guilds/{guild_id}/bans", world.get(owner, &g("/bans")).await);
    schemas.check("GET /guilds/{guild_id}/bans/{user_id}", world.get(owner, &g(&format!("/bans/{}", anna.id))).await);

    let invites = format!("/channels/{}/invites", world.text);
    let invite = schemas.check("POST /channels/{channel_id}/invites", world.post(owner, &invites, json!({})).await);
    schemas.check("GET /channels/{channel_id}/invites", world.get(owner, &invites).await);
    schemas.check("GET /guilds/{guild_id}/invites", world.get(owner, &g("/invites")).await);
    let path = format!("/invites/{}", text(&invite["code"]));
    schemas.check("GET /invites/{code}", world.get(&world.nobody(), &format!("{path}?with_counts=1")).await);
    schemas.check("DELETE /invites/{code}", world.delete(owner, &path).await);
}

pub async fn commands(world: &World) {
    let schemas = &SCHEMAS;
    let (bot, application) = world.bot("helper", 8).await;
    let option = |kind: u8| {
        let least = if kind == 10 { json!(0.5) } else { json!(1) };
        json!({
            "type": kind, "name": format!("o{kind}"), "description": "d", "required": kind == 3, "min_value": least,
            "choices": [{ "name": "c", "value": if kind == 3 { json!("5") } else { json!(5) } }],
        })
    };
    let group = json!({ "type": 2, "name": "g", "description": "d", "options": [
        { "type": 1, "name": "s", "description": "d", "options": [option(3), option(6)] },
    ]});
    let commands = [
        json!({ "name": "values", "description": "d", "options": (3..=11).map(option).collect::<Vec<_>>(), "contexts": [0, 1] }),
        json!({ "name": "tree", "description": "d", "options": [group], "name_localizations": { "de": "baum" } }),
        json!({ "name": "A menu", "type": 2, "default_member_permissions": "8" }),
        json!({ "name": "Another", "type": 3, "nsfw": true }),
    ];
    for rest in ["/commands".to_owned(), format!("/guilds/{}/commands", world.guild)] {
        let base = format!("/applications/{application}{rest}");
        let route = format!("/applications/{{application_id}}{}", rest.replace(&world.guild, "{guild_id}"));
        for command in &commands {
            let made = world.post(&bot, &base, command.clone()).await;
            let made = schemas.check(&format!("POST {route}"), made);
            let one = format!("{base}/{}", text(&made["id"]));
            schemas.check(&format!("GET {route}/{{command_id}}"), world.get(&bot, &one).await);
            let edited = world.patch(&bot, &one, json!({ "nsfw": true })).await;
            schemas.check(&format!("PATCH {route}/{{command_id}}"), edited);
        }
        schemas.check(&format!("GET {route}"), world.get(&bot, &format!("{base}?with_localizations=true")).await);
        schemas.check(&format!("GET {route}"), world.get(&bot, &base).await);
        schemas.check(&format!("PUT {route}"), world.put(&bot, &base, json!(commands)).await);
    }
    let path = format!("/applications/{application}");
    schemas.check("GET /applications/{application_id}", world.get(&bot, &path).await);
    schemas.check("PATCH /applications/{application_id}", world.patch(&bot, &path, json!({ "description": "d" })).await);
    schemas.check("PATCH /applications/@me", world.patch(&bot, "/applications/@me", json!({ "description": "e" })).await);
}

pub async fn components(world: &World) {
    let schemas = &SCHEMAS;
    let (bot, _) = world.bot("helper", 8).await;
    let row = |components: Value| json!({ "type": 1, "components": components });
    let emoji = json!({ "name": "🏰" });
    let buttons = row(json!([
        { "type": 2, "style": 1, "custom_id": "a", "label": "A", "emoji": emoji },
        { "type": 2, "style": 5, "url": "https://x.example/", "emoji": emoji, "disabled": true },
    ]));
    let choices = json!([{ "label": "A", "value": "a", "emoji": emoji, "default": true, "description": "d" }]);
    let menus = [
        row(json!([{ "type": 3, "custom_id": "s", "placeholder": "p", "options": choices }])),
        row(json!([{ "type": 5, "custom_id": "u", "default_values": [{ "type": "user", "id": bot.id }] }])),
        row(json!([{ "type": 7, "custom_id": "m", "min_values": 0, "max_values": 5 }])),
        row(json!([{ "type": 8, "custom_id": "c", "channel_types": [0, 2] }])),
    ];
    let rows: Vec<&Value> = std::iter::once(&buttons).chain(&menus).collect();
    let text = json!({ "type": 10, "content": "x" });
    let picture = json!({ "type": 11, "media": { "url": "https://x.example/a.png" } });
    let container = json!({ "type": 17, "accent_color": 5, "components": [
        { "type": 9, "components": [text], "accessory": picture },
        { "type": 12, "items": [{ "media": { "url": "https://x.example/a.png" }, "description": "d" }] },
        { "type": 14, "spacing": 2 }, row(json!([{ "type": 6, "custom_id": "r" }])),
    ]});
    for body in [json!({ "components": rows }), json!({ "components": [container, text], "flags": 32768 })] {
        let operation = "POST /channels/{channel_id}/messages";
        schemas.check(operation, world.post(&bot, &world.messages_path(), body).await);
    }
    schemas.check("GET /channels/{channel_id}/messages", world.get(&bot, &world.messages_path()).await);
}

pub async fn webhooks(world: &World) {
    let schemas = &SCHEMAS;
    let (owner, nobody) = (&world.owner, &world.nobody());
    let path = format!("/channels/{}/webhooks", world.text);
    let made = schemas.check("POST /channels/{channel_id}/webhooks", world.post(owner, &path, json!({ "name": "w" })).await);
    schemas.check("GET /channels/{channel_id}/webhooks", world.get(owner, &path).await);
    schemas.check("GET /guilds/{guild_id}/webhooks", world.get(owner, &format!("/guilds/{}/webhooks", world.guild)).await);
    let path = format!("/webhooks/{}", text(&made["id"]));
    schemas.check("GET /webhooks/{webhook_id}", world.get(owner, &path).await);
    schemas.check("PATCH /webhooks/{webhook_id}", world.patch(owner, &path, json!({ "name": "v" })).await);
    let open = format!("{path}/{}", text(&made["token"]));
    schemas.check("GET /webhooks/{webhook_id}/{webhook_token}", world.get(nobody, &open).await);
    schemas.check("PATCH /webhooks/{webhook_id}/{webhook_token}", world.patch(nobody, &open, json!({ "name": "u" })).await);
    let body = json!({ "content": "hi", "username": "x", "embeds": [{ "title": "t" }] });
    let sent = world.post(nobody, &format!("{open}?wait=true"), body).await;
    let sent = schemas.check("POST /webhooks/{webhook_id}/{webhook_token}", sent);
    let one = format!("{open}/messages/{}", text(&sent["id"]));
    let read = world.get(nobody, &one).await;
    schemas.check("GET /webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", read);
    let edited = world.patch(nobody, &one, json!({ "content": "ho" })).await;
    schemas.check("PATCH /webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", edited);
    schemas.check("GET /channels/{channel_id}/messages", world.get(owner, &world.messages_path()).await);
    let log = world.get(owner, &format!("/guilds/{}/audit-logs", world.guild)).await;
    assert_eq!(log.body["webhooks"].as_array().map(Vec::len), Some(1));
    schemas.check("GET /guilds/{guild_id}/audit-logs", log);
}

pub async fn messages_and_errors(world: &World) {
    let schemas = &SCHEMAS;
    let (owner, path) = (&world.owner, world.messages_path());
    let anna = world.member("anna").await;
    let body = json!({
        "content": format!("<@{}> @everyone", anna.id), "nonce": 5, "tts": true, "embeds": [{ "title": "t", "color": 1 }],
    });
    let sent = schemas.check("POST /channels/{channel_id}/messages", world.post(owner, &path, body).await);
    let one = format!("{path}/{}", text(&sent["id"]));
    let reply = json!({ "content": "re", "message_reference": { "message_id": sent["id"] } });
    schemas.check("POST /channels/{channel_id}/messages", world.post(&anna, &path, reply).await);
    schemas.check("GET /channels/{channel_id}/messages/{message_id}", world.get(owner, &one).await);
    let edited = world.patch(owner, &one, json!({ "content": "edited" })).await;
    schemas.check("PATCH /channels/{channel_id}/messages/{message_id}", edited);
    world.put(owner, &format!("/channels/{}/pins/{}", world.text, text(&sent["id"])), json!({})).await.no_content();
    let pins = schemas.check("GET /channels/{channel_id}/messages/pins", world.get(owner, &format!("{path}/pins")).await);
    assert_eq!(pins["items"].as_array().map(Vec::len), Some(1));
    schemas.check("GET /channels/{channel_id}/pins", world.get(owner, &format!("/channels/{}/pins", world.text)).await);
    let found = world.get(owner, &format!("/guilds/{}/messages/search?content=edited", world.guild)).await;
    let found = schemas.check("GET /guilds/{guild_id}/messages/search", found);
    assert_eq!(found["messages"].as_array().map(Vec::len), Some(1));
    world.delete(owner, &one).await.no_content();
    // With a join message, a pin message, and a reply to what is gone.
    let listed = schemas.check("GET /channels/{channel_id}/messages", world.get(owner, &path).await);
    assert_eq!(listed.as_array().map(Vec::len), Some(3));

    let stranger = Session { token: "x".to_owned(), id: String::new() };
    schemas.check("ErrorResponse", world.get(&stranger, "/users/@me").await);
    schemas.check("ErrorResponse", world.get(owner, "/nowhere").await);
    schemas.check("ErrorResponse", world.call(owner, Method::PUT, "/users/@me", None).await);
    schemas.check("ErrorResponse", world.post(owner, &path, json!({ "content": 5, "embeds": [{ "title": 5 }] })).await);
    let limited = World::limited().await;
    let crowd = futures_util::future::join_all((0..120).map(|_| limited.get(&limited.owner, "/users/@me"))).await;
    schemas.check("RatelimitedResponse", crowd.into_iter().find(|reply| reply.status == 429).expect("120 are more than 50"));
}

pub async fn threads(world: &World) {
    let schemas = &SCHEMAS;
    let (owner, channel) = (&world.owner, format!("/channels/{}", world.text));
    let message = text(&world.say(owner, "about this").await["id"]);
    let from = world.post(owner, &format!("{channel}/messages/{message}/threads"), json!({ "name": "t" })).await;
    let thread = schemas.check("POST /channels/{channel_id}/messages/{message_id}/threads", from);
    let path = format!("/channels/{}", text(&thread["id"]));
    for kind in [11, 12] {
        let started = world.post(owner, &format!("{channel}/threads"), json!({ "name": "t", "type": kind })).await;
        schemas.check("POST /channels/{channel_id}/threads", started);
    }
    let shown = world.get(owner, &format!("{channel}/messages/{message}")).await;
    assert!(schemas.check("GET /channels/{channel_id}/messages/{message_id}", shown)["thread"].is_object());
    schemas.check("GET /channels/{channel_id}/messages", world.get(owner, &format!("{channel}/messages")).await);
    schemas.check("GET /channels/{channel_id}/messages", world.get(owner, &format!("{path}/messages")).await);
    schemas.check("GET /channels/{channel_id}", world.get(owner, &path).await);
    let listed = world.get(owner, &format!("{path}/thread-members?with_member=1")).await;
    assert_eq!(schemas.check("GET /channels/{channel_id}/thread-members", listed).as_array().map(Vec::len), Some(1));
    let anna = world.member("anna").await;
    for (who, whom) in [(&anna, "@me"), (owner, anna.id.as_str())] {
        world.put(who, &format!("{path}/thread-members/{whom}"), json!({})).await.no_content();
        world.delete(who, &format!("{path}/thread-members/{whom}")).await.no_content();
    }
    let one = world.get(owner, &format!("{path}/thread-members/{}", owner.id)).await;
    schemas.check("GET /channels/{channel_id}/thread-members/{user_id}", one);
    let active = world.get(owner, &format!("/guilds/{}/threads/active", world.guild)).await;
    let active = schemas.check("GET /guilds/{guild_id}/threads/active", active);
    assert_eq!(active["threads"].as_array().map(Vec::len), Some(3));
    for thread in active["threads"].as_array().unwrap() {
        let path = format!("/channels/{}", text(&thread["id"]));
        schemas.check("PATCH /channels/{channel_id}", world.patch(owner, &path, json!({ "archived": true })).await);
    }
    for list in ["threads/archived/public", "threads/archived/private", "users/@me/threads/archived/private"] {
        let page = world.get(owner, &format!("{channel}/{list}")).await;
        let page = schemas.check(&format!("GET /channels/{{channel_id}}/{list}"), page);
        assert!(!page["threads"].as_array().unwrap().is_empty(), "{list}");
    }
    schemas.check("DELETE /channels/{channel_id}", world.delete(owner, &path).await);
}
