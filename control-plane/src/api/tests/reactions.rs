use super::{Session, World, text};
use crate::hub::world::told;
use crate::ids::unix_ms;
use guildhall_protocol::Permissions;
use guildhall_protocol::model::timestamp;
use serde_json::{Value, json};

const THUMB: &str = "%F0%9F%91%8D";
const HEART: &str = "%E2%9D%A4%EF%B8%8F";

/// A message of the owner's, as a path.
async fn message(world: &World) -> String {
    format!("{}/{}", world.messages_path(), text(&world.say(&world.owner, "react to this").await["id"]))
}

async fn react(world: &World, who: &Session, message: &str, emoji: &str) {
    world.put(who, &format!("{message}/reactions/{emoji}/@me"), json!({})).await.no_content();
}

/// What someone sees below the message: emoji, count, whether it is also theirs.
async fn seen(world: &World, who: &Session, message: &str) -> Vec<(String, u64, bool)> {
    let message = world.get(who, message).await.ok();
    let reactions = message.get("reactions").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |reaction: &Value| {
        assert_eq!(reaction["count_details"], json!({ "burst": 0, "normal": reaction["count"] }));
        assert_eq!(reaction["emoji"].get("animated"), None);
        assert_eq!((&reaction["emoji"]["id"], &reaction["me_burst"]), (&Value::Null, &json!(false)));
        assert_eq!((&reaction["burst_count"], &reaction["burst_colors"]), (&json!(0), &json!([])));
        (text(&reaction["emoji"]["name"]), reaction["count"].as_u64().unwrap(), reaction["me"].as_bool().unwrap())
    };
    reactions.iter().map(row).collect()
}

fn thumbs(count: u64, me: bool) -> (String, u64, bool) {
    ("👍".to_owned(), count, me)
}

#[tokio::test]
async fn reactions_are_counted_for_each_reader_in_the_order_of_their_first() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let path = message(&world).await;
    assert_eq!(world.get(&anna, &path).await.ok().get("reactions"), None, "none are left out");
    react(&world, &anna, &path, THUMB).await;
    react(&world, &anna, &path, HEART).await;
    react(&world, &world.owner, &path, THUMB).await;
    react(&world, &world.owner, &path, THUMB).await;
    let heart = |me| ("❤️".to_owned(), 1, me);
    assert_eq!(seen(&world, &anna, &path).await, [thumbs(2, true), heart(true)]);
    assert_eq!(seen(&world, &world.owner, &path).await, [thumbs(2, true), heart(false)]);
    let page = world.get(&anna, &world.messages_path()).await.ok();
    assert_eq!(page[0]["reactions"], world.get(&anna, &path).await.ok()["reactions"], "a page shows the same");
    assert_eq!(page[1].get("reactions"), None, "and each message its own");
    let edited = world.patch(&world.owner, &path, json!({ "content": "edited" })).await.ok();
    assert_eq!(edited["reactions"][1]["me"], false);

    world.delete(&anna, &format!("{path}/reactions/{THUMB}/@me")).await.no_content();
    world.delete(&anna, &format!("{path}/reactions/{THUMB}/@me")).await.no_content();
    assert_eq!(seen(&world, &anna, &path).await, [thumbs(1, false), heart(true)]);
    world.delete(&world.owner, &path).await.no_content();
    world.get(&anna, &format!("{path}/reactions/{THUMB}")).await.refused(404, 10008);
}

#[tokio::test]
async fn nobody_reacts_to_who_blocked_them() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let path = message(&world).await;
    react(&world, &anna, &path, THUMB).await;
    let block = format!("/users/@me/relationships/{}", anna.id);
    world.put(&world.owner, &block, json!({ "type": 2 })).await.no_content();
    world.put(&anna, &format!("{path}/reactions/{HEART}/@me"), json!({})).await.refused(403, 90001);
    // What was there can still be taken back.
    world.delete(&anna, &format!("{path}/reactions/{THUMB}/@me")).await.no_content();
    assert_eq!(seen(&world, &anna, &path).await, []);
    world.delete(&world.owner, &block).await.no_content();
    react(&world, &anna, &path, HEART).await;
}

#[tokio::test]
async fn who_reacted_is_told_in_pages() {
    let world = World::new().await;
    let people = [world.member("anna").await, world.member("bea").await, world.member("cleo").await];
    let path = message(&world).await;
    for who in people.iter().rev() {
        react(&world, who, &path, THUMB).await;
    }
    let listed = async |query: &str| -> Vec<String> {
        let users = world.get(&people[0], &format!("{path}/reactions/{THUMB}{query}")).await.ok();
        users.as_array().unwrap().iter().map(|user| text(&user["username"])).collect()
    };
    assert_eq!(listed("").await, ["anna", "bea", "cleo"]);
    assert_eq!(listed("?limit=2").await, ["anna", "bea"]);
    assert_eq!(listed(&format!("?after={}&limit=100", people[1].id)).await, ["cleo"]);
    assert_eq!(listed("?type=1").await, [""; 0], "nobody has super reactions");
    world.get(&people[0], &format!("{path}/reactions/{THUMB}?limit=101")).await.refused(400, 50035);
    world.get(&people[0], &format!("{path}/reactions/{THUMB}?after=x")).await.refused(400, 50035);
    let none = world.get(&people[0], &format!("{path}/reactions/{HEART}")).await.ok();
    assert_eq!(none, json!([]));
}

#[tokio::test]
async fn moderators_clear_what_others_reacted() {
    let world = World::new().await;
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let (moderator, _) = world.member_with("mo", Permissions::MANAGE_MESSAGES.0).await;
    let path = message(&world).await;
    for who in [&anna, &bea] {
        react(&world, who, &path, THUMB).await;
        react(&world, who, &path, HEART).await;
    }
    let others = format!("{path}/reactions/{THUMB}/{}", anna.id);
    for refused in [&others, &format!("{path}/reactions/{THUMB}"), &format!("{path}/reactions")] {
        world.delete(&bea, refused).await.refused(403, 50013);
    }
    assert_eq!(seen(&world, &bea, &path).await.len(), 2);
    world.delete(&anna, &others).await.no_content();
    assert_eq!(seen(&world, &bea, &path).await[0], thumbs(1, true), "one's own id means oneself");
    world.delete(&moderator, &format!("{path}/reactions/{THUMB}/{}", bea.id)).await.no_content();
    assert_eq!(seen(&world, &bea, &path).await, [("❤️".to_owned(), 2, true)]);
    react(&world, &anna, &path, THUMB).await;
    world.delete(&moderator, &format!("{path}/reactions/{HEART}")).await.no_content();
    assert_eq!(seen(&world, &bea, &path).await, [thumbs(1, false)]);
    world.delete(&moderator, &format!("{path}/reactions")).await.no_content();
    assert_eq!(seen(&world, &bea, &path).await, []);
}

#[tokio::test]
async fn without_add_reactions_one_may_only_join_in() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let path = message(&world).await;
    let deny = async |bits: Permissions| {
        let deny = json!({ "type": 0, "deny": bits.0.to_string() });
        world.put(&world.owner, &format!("/channels/{}/permissions/{}", world.text, world.guild), deny).await.no_content();
    };
    let thumb = format!("{path}/reactions/{THUMB}/@me");
    deny(Permissions::ADD_REACTIONS).await;
    world.put(&anna, &thumb, json!({})).await.refused(403, 50013);
    react(&world, &world.owner, &path, THUMB).await;
    react(&world, &anna, &path, THUMB).await;
    assert_eq!(seen(&world, &anna, &path).await, [thumbs(2, true)]);
    world.delete(&anna, &thumb).await.no_content();
    deny(Permissions::READ_MESSAGE_HISTORY).await;
    world.put(&anna, &thumb, json!({})).await.refused(403, 50013);
    world.get(&anna, &format!("{path}/reactions/{THUMB}")).await.refused(403, 50013);
    deny(Permissions::VIEW_CHANNEL).await;
    world.put(&anna, &thumb, json!({})).await.refused(403, 50001);
    world.delete(&anna, &thumb).await.refused(403, 50001);
    deny(Permissions::NONE).await;
    let stranger = world.register("stranger").await;
    world.put(&stranger, &thumb, json!({})).await.refused(403, 50001);
    let until = timestamp(unix_ms() + 60_000);
    let timeout = json!({ "communication_disabled_until": until });
    world.patch(&world.owner, &format!("/guilds/{}/members/{}", world.guild, anna.id), timeout).await.ok();
    world.put(&anna, &thumb, json!({})).await.refused(403, 50013);
    assert_eq!(seen(&world, &world.owner, &path).await, [thumbs(1, true)]);
}

#[tokio::test]
async fn what_is_no_emoji_no_message_or_too_much_is_refused() {
    let world = World::new().await;
    let path = message(&world).await;
    for wrong in ["a", "party:123", "a:party:123", ":", "party:-1", "%F0%9F%91%8D%F0%9F%91%8D", "123", "%20"] {
        world.put(&world.owner, &format!("{path}/reactions/{wrong}/@me"), json!({})).await.refused(404, 10014);
        world.get(&world.owner, &format!("{path}/reactions/{wrong}")).await.refused(404, 10014);
    }
    world.delete(&world.owner, &format!("{path}/reactions/{THUMB}/me")).await.refused(400, 50035);
    let nowhere = format!("{}/1/reactions", world.messages_path());
    world.put(&world.owner, &format!("{nowhere}/{THUMB}/@me"), json!({})).await.refused(404, 10008);
    world.delete(&world.owner, &format!("{nowhere}/{THUMB}/@me")).await.refused(404, 10008);
    world.delete(&world.owner, &format!("{nowhere}/{THUMB}")).await.refused(404, 10008);
    world.delete(&world.owner, &nowhere).await.refused(404, 10008);
    world.put(&world.nobody(), &format!("{path}/reactions/{THUMB}/@me"), json!({})).await.refused(401, 0);

    // U+1F400 to U+1F413: twenty animals.
    for last in 0x80..0x94 {
        react(&world, &world.owner, &path, &format!("%F0%9F%90%{last:X}")).await;
    }
    world.put(&world.owner, &format!("{path}/reactions/{THUMB}/@me"), json!({})).await.refused(400, 30010);
    let anna = world.member("anna").await;
    react(&world, &anna, &path, "%F0%9F%90%80").await;
    assert_eq!(seen(&world, &anna, &path).await.len(), 20);
}

const DOT: &str =
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

async fn emoji(world: &World, guild: &str, name: &str) -> String {
    let made = world.post(&world.owner, &format!("/guilds/{guild}/emojis"), json!({ "name": name, "image": DOT })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    text(&made.body["id"])
}

#[tokio::test]
async fn an_emoji_with_and_without_its_variation_selector_is_one() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let path = message(&world).await;
    react(&world, &anna, &path, "%E2%9D%A4").await;
    react(&world, &world.owner, &path, HEART).await;
    assert_eq!(seen(&world, &anna, &path).await, [("❤".to_owned(), 2, true)], "called as it was first");
    let users = world.get(&anna, &format!("{path}/reactions/{HEART}")).await.ok();
    assert_eq!(users.as_array().unwrap().len(), 2);
    world.delete(&anna, &format!("{path}/reactions/{HEART}/@me")).await.no_content();
    assert_eq!(seen(&world, &anna, &path).await, [("❤".to_owned(), 1, false)]);
}

#[tokio::test]
async fn people_react_with_emojis_of_their_guild_by_id() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let path = message(&world).await;
    let dot = emoji(&world, &world.guild, "dot").await;
    let (attached, _) = world.listen(&anna, None).await;
    // The name in the path is not believed.
    react(&world, &anna, &path, &format!("whatever%3A{dot}")).await;
    react(&world, &world.owner, &path, &format!("a%3Adot%3A{dot}")).await;
    let shown = world.get(&anna, &path).await.ok();
    let expected = json!({ "id": dot, "name": "dot", "animated": false });
    let below = &shown["reactions"][0];
    assert_eq!((&below["emoji"], &below["count"], &below["me"]), (&expected, &json!(2), &json!(true)));
    let told = told(&attached).into_iter().filter(|(name, _)| *name == "MESSAGE_REACTION_ADD");
    assert_eq!(told.map(|(_, d)| d["emoji"].clone()).collect::<Vec<_>>(), [expected.clone(), expected]);
    let users = world.get(&anna, &format!("{path}/reactions/dot:{dot}")).await.ok();
    assert_eq!(users.as_array().unwrap().len(), 2);

    // It stays below the message when the emoji goes, and may be joined and taken back, but not begun anew.
    world.delete(&world.owner, &format!("/guilds/{}/emojis/{dot}", world.guild)).await.no_content();
    let bea = world.member("bea").await;
    react(&world, &bea, &path, &format!("dot:{dot}")).await;
    for who in [&anna, &bea, &world.owner] {
        world.delete(who, &format!("{path}/reactions/dot:{dot}/@me")).await.no_content();
    }
    world.put(&bea, &format!("{path}/reactions/dot:{dot}/@me"), json!({})).await.refused(404, 10014);
    assert_eq!(world.get(&anna, &path).await.ok().get("reactions"), None);
}

#[tokio::test]
async fn emojis_of_other_guilds_take_membership_and_the_permission() {
    let world = World::new().await;
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let path = message(&world).await;
    let made = world.post(&world.owner, "/guilds", json!({ "name": "elsewhere" })).await;
    let elsewhere = text(&made.body["id"]);
    let foreign = format!("star:{}", emoji(&world, &elsewhere, "star").await);
    let put = async |who: &Session| world.put(who, &format!("{path}/reactions/{foreign}/@me"), json!({})).await;
    put(&anna).await.refused(404, 10014);
    let deny = json!({ "type": 0, "deny": Permissions::USE_EXTERNAL_EMOJIS.0.to_string() });
    world.put(&world.owner, &format!("/channels/{}/permissions/{}", world.text, world.guild), deny).await.no_content();
    let channels = world.get(&world.owner, &format!("/guilds/{elsewhere}/channels")).await.ok();
    let lobby = text(&channels.as_array().unwrap().iter().find(|channel| channel["type"] == 0).unwrap()["id"]);
    let invite = world.post(&world.owner, &format!("/channels/{lobby}/invites"), json!({})).await.ok();
    world.post(&bea, &format!("/invites/{}", text(&invite["code"])), json!({})).await.ok();
    put(&bea).await.refused(403, 50013);
    put(&world.owner).await.no_content();
    // Whoever joins in needs neither.
    put(&anna).await.no_content();
    // Some emojis are for some roles.
    let role = world.role("chosen", 0).await;
    let own = emoji(&world, &world.guild, "crown").await;
    world.patch(&world.owner, &format!("/guilds/{}/emojis/{own}", world.guild), json!({ "roles": [role] })).await.ok();
    let crown = format!("{path}/reactions/crown:{own}/@me");
    world.put(&bea, &crown, json!({})).await.refused(404, 10014);
    world.put(&world.owner, &format!("/guilds/{}/members/{}/roles/{role}", world.guild, bea.id), json!({})).await.no_content();
    world.put(&bea, &crown, json!({})).await.no_content();
}

#[tokio::test]
async fn a_retry_of_a_message_is_answered_with_the_reactions_to_it() {
    let world = World::new().await;
    let body = json!({ "content": "once", "nonce": "n1", "enforce_nonce": true });
    let first = world.post(&world.owner, &world.messages_path(), body.clone()).await.ok();
    react(&world, &world.owner, &format!("{}/{}", world.messages_path(), text(&first["id"])), THUMB).await;
    let again = world.post(&world.owner, &world.messages_path(), body).await.ok();
    assert_eq!((&again["id"], &again["reactions"][0]["count"]), (&first["id"], &json!(1)));
}
