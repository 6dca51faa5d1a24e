//! Search: what is found, by whom, and what a bad query is told.

use super::shapes::SCHEMAS;
use super::{Session, World, text};
use guildhall_protocol::Permissions;
use serde_json::{Value, json};

async fn found(world: &World, who: &Session, query: &str) -> Vec<String> {
    let answer = world.get(who, &format!("/guilds/{}/messages/search?{query}", world.guild)).await.ok();
    let hits = answer["messages"].as_array().unwrap();
    assert_eq!(answer["total_results"].as_u64(), Some(hits.len() as u64), "these tests have one page");
    hits.iter().map(|hit| text(&hit[0]["content"])).collect()
}

#[tokio::test]
async fn members_find_what_they_may_read_and_nothing_else() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let made = world.post(&world.owner, &format!("/guilds/{}/channels", world.guild), json!({ "name": "hidden" })).await.ok();
    let hidden = text(&made["id"]);
    world.say(&anna, "a secret in the open").await;
    world.post(&world.owner, &format!("/channels/{hidden}/messages"), json!({ "content": "a secret hidden" })).await.ok();
    assert_eq!(found(&world, &anna, "content=secret").await, ["a secret hidden", "a secret in the open"]);
    for bits in [Permissions::VIEW_CHANNEL, Permissions::READ_MESSAGE_HISTORY] {
        let deny = json!({ "type": 0, "deny": bits.0.to_string() });
        world.put(&world.owner, &format!("/channels/{hidden}/permissions/{}", world.guild), deny).await.no_content();
        assert_eq!(found(&world, &anna, "content=secret").await, ["a secret in the open"]);
        assert_eq!(found(&world, &anna, &format!("content=secret&channel_id={hidden}")).await, Vec::<String>::new());
        assert_eq!(found(&world, &world.owner, "content=secret").await.len(), 2);
    }
    let one = format!("/channels/{hidden}/messages/search?content=secret");
    world.get(&anna, &one).await.refused(403, 50013);
    assert_eq!(world.get(&world.owner, &one).await.ok()["total_results"], 1);
    let stranger = world.register("stranger").await;
    world.get(&stranger, &format!("/guilds/{}/messages/search?content=secret", world.guild)).await.refused(403, 50001);
    world.get(&stranger, &one).await.refused(403, 50001);
    world.get(&world.nobody(), &one).await.refused(401, 0);
    world.delete(&world.owner, &format!("/channels/{hidden}")).await.ok();
    assert_eq!(found(&world, &world.owner, "content=secret").await, ["a secret in the open"]);
}

#[tokio::test]
async fn every_filter_narrows() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let (bot, _) = world.bot("helper", 8).await;
    let plain = world.say(&world.owner, "plain").await;
    world.say(&anna, &format!("<@{}> look", world.owner.id)).await;
    world.say(&world.owner, "@everyone https://example.org/x").await;
    world.post(&bot, &world.messages_path(), json!({ "embeds": [{ "title": "report" }], "content": "by a bot" })).await.ok();
    let reply = json!({ "content": "re", "message_reference": { "message_id": plain["id"] } });
    world.post(&anna, &world.messages_path(), reply).await.ok();
    world.put(&world.owner, &format!("{}/pins/{}", world.messages_path(), text(&plain["id"])), json!({})).await.no_content();
    let all = ["re", "by a bot", "@everyone https://example.org/x", "<mention> look", "plain"];
    let check = async |query: &str, expected: &[usize]| {
        let found = found(&world, &anna, query).await;
        let found: Vec<String> =
            found.into_iter().map(|content| content.replace(&format!("<@{}>", world.owner.id), "<mention>")).collect();
        assert_eq!(found, expected.iter().map(|index| all[*index]).collect::<Vec<_>>(), "{query}");
    };
    check("", &[0, 1, 2, 3, 4]).await;
    check("sort_order=asc", &[4, 3, 2, 1, 0]).await;
    check(&format!("author_id={}", anna.id), &[0, 3]).await;
    check(&format!("author_id={}&author_id={}", anna.id, bot.id), &[0, 1, 3]).await;
    check("author_type=bot", &[1]).await;
    check("author_type=-bot&author_type=-webhook", &[0, 2, 3, 4]).await;
    check("author_type=bot&author_type=user", &[0, 1, 2, 3, 4]).await;
    check(&format!("mentions={}&has=-link&author_id={}&content=look", world.owner.id, anna.id), &[3]).await;
    check("mention_everyone=true", &[2]).await;
    check("mention_everyone=false&has=-embed", &[0, 3, 4]).await;
    check("has=link", &[2]).await;
    check("has=embed", &[1]).await;
    check("has=embed&has=link", &[]).await;
    check("has=-embed&has=-link", &[0, 3, 4]).await;
    check("link_hostname=example.org", &[2]).await;
    check("pinned=true", &[4]).await;
    check("pinned=false&has=link", &[2]).await;
    check(&format!("replied_to_message_id={}", text(&plain["id"])), &[0]).await;
    check(&format!("replied_to_user_id={}", world.owner.id), &[0]).await;
    check(&format!("min_id={}&author_type=user", text(&plain["id"])), &[0, 2, 3]).await;
    check(&format!("max_id={}", text(&plain["id"])), &[]).await;
    check(&format!("channel_id={}", world.text), &[0, 1, 2, 3, 4]).await;
    check("content=reports&sort_by=relevance&slop=2&limit=25&offset=0&include_nsfw=true", &[1]).await;
    world.patch(&world.owner, &format!("/channels/{}", world.text), json!({ "nsfw": true })).await.ok();
    check("content=plain", &[]).await;
    check("content=plain&include_nsfw=true", &[4]).await;
}

#[tokio::test]
async fn pages_have_a_place_and_hits_have_no_reactions() {
    let world = World::new().await;
    for number in 0..5 {
        let sent = world.say(&world.owner, &format!("number {number}")).await;
        let path = format!("{}/{}/reactions/%E2%9C%85/@me", world.messages_path(), text(&sent["id"]));
        world.put(&world.owner, &path, json!({})).await.no_content();
    }
    let path = format!("/channels/{}/messages/search?content=number&limit=2&offset=2", world.text);
    let page = world.get(&world.owner, &path).await.ok();
    let contents: Vec<&Value> = page["messages"].as_array().unwrap().iter().map(|hit| &hit[0]["content"]).collect();
    assert_eq!((contents, &page["total_results"]), (vec![&json!("number 2"), &json!("number 1")], &json!(5)));
    assert_eq!((&page["messages"][0][0]["hit"], page["messages"][0][0].get("reactions")), (&json!(true), None));
}

#[tokio::test]
async fn a_bad_query_is_told_what_is_wrong() {
    let world = World::new().await;
    let path = |query: &str| format!("/guilds/{}/messages/search?{query}", world.guild);
    for (query, field, code) in [
        ("limit=26", "/limit", "NUMBER_TYPE_MAX"),
        ("limit=0", "/limit", "NUMBER_TYPE_MIN"),
        ("offset=9976", "/offset", "NUMBER_TYPE_MAX"),
        ("has=nothing", "/has", "BASE_TYPE_CHOICES"),
        ("author_type=cat", "/author_type", "BASE_TYPE_CHOICES"),
        ("author_id=me", "/author_id", "NUMBER_TYPE_COERCE"),
        ("author_id=1&author_id=x", "/author_id", "NUMBER_TYPE_COERCE"),
        ("sort_by=size", "/sort_by", "BASE_TYPE_CHOICES"),
        ("pinned=perhaps", "/pinned", "BOOLEAN_TYPE_CONVERT"),
        ("slop=101", "/slop", "NUMBER_TYPE_MAX"),
    ] {
        world.get(&world.owner, &path(query)).await.form_error(field, code);
    }
    let long = format!("content={}", "x".repeat(1025));
    world.get(&world.owner, &path(&long)).await.form_error("/content", "BASE_TYPE_MAX_LENGTH");
    let many: Vec<String> = (0..101).map(|number| format!("author_id={number}")).collect();
    world.get(&world.owner, &path(&many.join("&"))).await.form_error("/author_id", "BASE_TYPE_MAX_LENGTH");
    // What would be syntax for the index is text here.
    for content in ["%22", "NEAR(a%20b)", "*", "words%3Aplain", "%00", "a%22%20OR%20%22b", "%28%28%28", "%F0%9F%98%80"] {
        assert_eq!(found(&world, &world.owner, &format!("content={content}&slop=1")).await, Vec::<String>::new(), "{content}");
        assert_eq!(found(&world, &world.owner, &format!("content={content}")).await, Vec::<String>::new(), "{content}");
    }
}

#[tokio::test]
async fn threads_are_searched_by_who_may_see_them() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let bea = world.member("bea").await;
    let start = format!("/channels/{}/threads", world.text);
    let say = async |who: &Session, place: &Value, content: &str| {
        let path = format!("/channels/{}/messages", text(&place["id"]));
        world.post(who, &path, json!({ "content": content })).await.ok();
    };
    let public = world.post(&world.owner, &start, json!({ "name": "open", "type": 11 })).await.ok();
    say(&world.owner, &public, "treasure in the open").await;
    let private = world.post(&anna, &start, json!({ "name": "closed", "type": 12 })).await.ok();
    say(&anna, &private, "treasure behind a door").await;
    let forum = json!({ "name": "questions", "type": 15 });
    let forum = world.post(&world.owner, &format!("/guilds/{}/channels", world.guild), forum).await.ok();
    let post = json!({ "name": "where?", "message": { "content": "treasure in a forum" } });
    world.post(&bea, &format!("/channels/{}/threads", text(&forum["id"])), post).await.ok();

    let everything = ["treasure in a forum", "treasure behind a door", "treasure in the open"];
    for is_archived in [false, true] {
        let archive = json!({ "archived": is_archived });
        world.patch(&world.owner, &format!("/channels/{}", text(&private["id"])), archive).await.ok();
        assert_eq!(found(&world, &anna, "content=treasure").await, everything, "who is in it");
        assert_eq!(found(&world, &world.owner, "content=treasure").await, everything, "who manages threads");
        assert_eq!(found(&world, &bea, "content=treasure").await, [everything[0], everything[2]], "everyone else");
        let within = format!("content=treasure&channel_id={}", text(&private["id"]));
        assert_eq!(found(&world, &bea, &within).await, Vec::<String>::new());
        assert_eq!(found(&world, &anna, &within).await, [everything[1]]);
    }
    // The threads come along, with the reader's memberships.
    let path = format!("/guilds/{}/messages/search?content=door", world.guild);
    let answer = SCHEMAS.check("GET /guilds/{guild_id}/messages/search", world.get(&anna, &path).await);
    assert_eq!((&answer["threads"][0]["id"], &answer["members"][0]["user_id"]), (&private["id"], &json!(anna.id)));
    let answer = world.get(&world.owner, &path).await.ok();
    assert_eq!((&answer["threads"][0]["name"], &answer["members"]), (&json!("closed"), &json!([])));
    // Whoever sees the channel no more, or may not read back, finds nothing of its threads.
    for bits in [Permissions::VIEW_CHANNEL, Permissions::READ_MESSAGE_HISTORY] {
        let deny = json!({ "type": 0, "deny": bits });
        world.put(&world.owner, &format!("/channels/{}/permissions/{}", world.text, world.guild), deny).await.no_content();
        assert_eq!(found(&world, &anna, "content=treasure").await, [everything[0]]);
    }
}

#[tokio::test]
async fn private_channels_are_searched_by_who_is_in_them() {
    let world = World::new().await;
    let (anna, bea, cleo) = (world.register("anna").await, world.register("bea").await, world.register("cleo").await);
    world.befriend(&anna, &bea).await;
    let dm = world.dm(&anna, &bea).await;
    world.post(&anna, &format!("{dm}/messages"), json!({ "content": "between us" })).await.ok();
    let path = format!("{dm}/messages/search?content=between");
    for one in [&anna, &bea] {
        let answer = world.get(one, &path).await.ok();
        assert_eq!((&answer["total_results"], &answer["messages"][0][0]["content"]), (&json!(1), &json!("between us")));
        assert_eq!(answer["threads"], json!([]));
    }
    world.get(&cleo, &path).await.refused(403, 50001);
}
