use super::{Session, World, text};
use crate::hub::world::told;
use guildhall_protocol::Permissions;
use serde_json::{Value, json};

async fn pins(world: &World, who: &Session, query: &str) -> (Vec<String>, bool, Vec<Value>) {
    let page = world.get(who, &format!("/channels/{}/messages/pins{query}", world.text)).await.ok();
    let items = page["items"].as_array().unwrap().clone();
    let contents = items.iter().map(|item| text(&item["message"]["content"])).collect();
    (contents, page["has_more"].as_bool().unwrap(), items)
}

#[tokio::test]
async fn messages_are_pinned_listed_and_unpinned() {
    let world = World::new().await;
    let (anna, _) = world.member_with("anna", Permissions::PIN_MESSAGES.0).await;
    let mut ids = Vec::new();
    for content in ["one", "two", "three"] {
        ids.push(text(&world.say(&world.owner, content).await["id"]));
    }
    let path = |id: &str| format!("/channels/{}/messages/pins/{id}", world.text);
    let old_path = |id: &str| format!("/channels/{}/pins/{id}", world.text);
    world.put(&anna, &path(&ids[1]), json!({})).await.no_content();
    world.put(&anna, &old_path(&ids[0]), json!({})).await.no_content();
    world.put(&anna, &path(&ids[2]), json!({})).await.no_content();
    world.put(&anna, &path(&ids[1]), json!({})).await.no_content();

    let (contents, has_more, items) = pins(&world, &anna, "").await;
    assert_eq!((contents, has_more), (vec!["three".to_owned(), "one".to_owned(), "two".to_owned()], false));
    assert!(items.iter().all(|item| item["message"]["pinned"] == true));
    let (first, has_more, items) = pins(&world, &anna, "?limit=2").await;
    assert_eq!((first, has_more), (vec!["three".to_owned(), "one".to_owned()], true));
    let before = text(&items[1]["pinned_at"]).replace('+', "%2B");
    let (rest, has_more, _) = pins(&world, &anna, &format!("?limit=2&before={before}")).await;
    assert_eq!((rest, has_more), (vec!["two".to_owned()], false));
    let old = world.get(&anna, &format!("/channels/{}/pins", world.text)).await.ok();
    assert_eq!(
        old.as_array().unwrap().iter().map(|message| text(&message["content"])).collect::<Vec<_>>(),
        ["three", "one", "two"]
    );
    let newest = text(&pins(&world, &anna, "").await.2[0]["pinned_at"]);
    let channel = world.get(&anna, &format!("/channels/{}", world.text)).await.ok();
    assert_eq!(text(&channel["last_pin_timestamp"]), newest);

    // Each pin is said once, by whom, of which message.
    let history = world.get(&anna, &world.messages_path()).await.ok();
    let notices: Vec<&Value> = history.as_array().unwrap().iter().filter(|message| message["type"] == 6).collect();
    let about: Vec<&Value> = notices.iter().map(|notice| &notice["message_reference"]["message_id"]).collect();
    assert_eq!(about, [&json!(ids[2]), &json!(ids[0]), &json!(ids[1])]);
    assert!(notices.iter().all(|notice| notice["author"]["id"] == json!(anna.id)));
    let notice = text(&notices[0]["id"]);
    world.put(&anna, &path(&notice), json!({})).await.refused(403, 50021);

    world.delete(&anna, &path(&ids[2])).await.no_content();
    world.delete(&anna, &old_path(&ids[2])).await.no_content();
    world.delete(&world.owner, &format!("{}/{}", world.messages_path(), ids[0])).await.no_content();
    assert_eq!(pins(&world, &anna, "").await.0, ["two"]);
    world.put(&anna, &path("1"), json!({})).await.refused(404, 10008);
    world.delete(&anna, &path("1")).await.refused(404, 10008);
    world.get(&anna, &format!("/channels/{}/messages/pins?limit=51", world.text)).await.form_error("/limit", "NUMBER_TYPE_MAX");
    world
        .get(&anna, &format!("/channels/{}/messages/pins?before=yesterday", world.text))
        .await
        .form_error("/before", "DATE_TIME_TYPE_PARSE");
}

#[tokio::test]
async fn pinning_takes_its_own_permission_and_reading_pins_the_history() {
    let world = World::new().await;
    let (anna, _) = world.member_with("anna", Permissions::MANAGE_MESSAGES.0).await;
    let id = text(&world.say(&world.owner, "mark this").await["id"]);
    let path = format!("/channels/{}/messages/pins/{id}", world.text);
    world.put(&anna, &path, json!({})).await.refused(403, 50013);
    world.put(&world.owner, &path, json!({})).await.no_content();
    world.delete(&anna, &path).await.refused(403, 50013);
    assert_eq!(pins(&world, &anna, "").await.0, ["mark this"]);
    let overwrite = |deny: Permissions| json!({ "type": 0, "deny": deny });
    let overwrites = format!("/channels/{}/permissions/{}", world.text, world.guild);
    world.put(&world.owner, &overwrites, overwrite(Permissions::READ_MESSAGE_HISTORY)).await.no_content();
    assert_eq!(pins(&world, &anna, "").await.0, [""; 0]);
    world.put(&world.owner, &overwrites, overwrite(Permissions::VIEW_CHANNEL)).await.no_content();
    world.get(&anna, &format!("/channels/{}/messages/pins", world.text)).await.refused(403, 50001);
    world.get(&anna, &format!("/channels/{}/pins", world.text)).await.refused(403, 50001);
}

#[tokio::test]
async fn who_sees_a_voice_channel_hears_when_something_is_pinned_there_also_without_connect() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let deny = json!({ "type": 0, "deny": Permissions::CONNECT });
    world.put(&world.owner, &format!("/channels/{}/permissions/{}", world.voice, world.guild), deny).await.no_content();
    let messages = format!("/channels/{}/messages", world.voice);
    let id = text(&world.post(&world.owner, &messages, json!({ "content": "mark this" })).await.ok()["id"]);
    let (ear, _) = world.listen(&anna, None).await;
    world.put(&world.owner, &format!("{messages}/pins/{id}"), json!({})).await.no_content();
    let heard = told(&ear);
    let names: Vec<&str> = heard.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["CHANNEL_PINS_UPDATE"], "the messages themselves are for those who may connect");
    let channel = world.get(&anna, &format!("/channels/{}", world.voice)).await.ok();
    assert!(channel["last_pin_timestamp"].is_string());
    assert_eq!(heard[0].1["last_pin_timestamp"], channel["last_pin_timestamp"]);
}

#[tokio::test]
async fn a_channel_holds_250_pins() {
    let world = World::new().await;
    let mut last = String::new();
    for number in 0..=250 {
        let id = text(&world.say(&world.owner, &number.to_string()).await["id"]);
        last = format!("/channels/{}/messages/pins/{id}", world.text);
        if number < 250 {
            world.put(&world.owner, &last, json!({})).await.no_content();
        }
    }
    world.put(&world.owner, &last, json!({})).await.refused(400, 30003);
    let (contents, has_more, items) = pins(&world, &world.owner, "").await;
    assert_eq!((contents.len(), has_more), (50, true));
    world.delete(&world.owner, &format!("/channels/{}/pins/{}", world.text, text(&items[0]["message"]["id"]))).await.no_content();
    world.put(&world.owner, &last, json!({})).await.no_content();
}
