use super::shapes::Schemas;
use super::{Session, World, text};
use crate::hub::core::Attached;
use crate::hub::world::told;
use guildhall_protocol::gateway::Intents;
use serde_json::{Value, json};

/// What the session is told now, by name.
fn news(session: &Attached) -> Vec<&'static str> {
    told(session).into_iter().map(|(name, _)| name).collect()
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|entry| text(&entry["id"])).collect()
}

#[tokio::test]
async fn two_people_of_one_guild_write_to_each_other() {
    let (world, schemas) = (World::new().await, Schemas::load());
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let (to_anna, _) = world.listen(&anna, None).await;
    let (to_bea, _) = world.listen(&bea, None).await;
    told(&to_anna);
    let opened = world.post(&anna, "/users/@me/channels", json!({ "recipient_id": bea.id })).await;
    let opened = schemas.check("POST /users/@me/channels", opened);
    assert_eq!((&opened["type"], ids(&opened["recipients"])), (&json!(1), vec![bea.id.clone()]));
    assert_eq!((news(&to_anna), news(&to_bea)), (vec!["CHANNEL_CREATE"], vec![]), "an empty DM is nobody else's business");
    let again = world.post(&anna, "/users/@me/channels", json!({ "recipients": [bea.id] })).await.ok();
    assert_eq!(again["id"], opened["id"], "there is one DM for each pair");
    assert_eq!(world.get(&bea, "/users/@me/channels").await.ok(), json!([]));

    let path = format!("/channels/{}", text(&opened["id"]));
    let sent = world.post(&anna, &format!("{path}/messages"), json!({ "content": format!("hi <@{}>", bea.id) })).await.ok();
    assert_eq!(sent["mentions"][0]["id"], bea.id);
    let heard = told(&to_bea);
    assert_eq!(heard.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["CHANNEL_CREATE", "MESSAGE_CREATE"]);
    assert_eq!(ids(&heard[0].1["recipients"]), [anna.id.as_str()], "each sees the other");
    assert_eq!((&heard[1].1["id"], heard[1].1.get("guild_id")), (&sent["id"], None));
    assert_eq!(news(&to_anna), ["MESSAGE_CREATE"]);

    let message = format!("{path}/messages/{}", text(&sent["id"]));
    world.put(&bea, &format!("{message}/reactions/%F0%9F%91%8D/@me"), json!({})).await.no_content();
    world.post(&bea, &format!("{path}/typing"), json!({})).await.no_content();
    world.patch(&anna, &message, json!({ "content": "hello" })).await.ok();
    let heard = told(&to_anna);
    let names: Vec<_> = heard.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["MESSAGE_REACTION_ADD", "TYPING_START", "MESSAGE_UPDATE"]);
    assert!(heard.iter().all(|(_, d)| d.get("guild_id").is_none() && d.get("member").is_none()), "libraries read a null guild");
    world.put(&bea, &format!("{path}/messages/pins/{}", text(&sent["id"])), json!({})).await.no_content();
    let pins = world.get(&anna, &format!("{path}/messages/pins")).await.ok();
    assert_eq!(pins["items"][0]["message"]["id"], sent["id"], "both sides pin");
    assert_eq!(news(&to_anna), ["MESSAGE_UPDATE", "CHANNEL_PINS_UPDATE", "MESSAGE_CREATE"]);
    assert!(world.get(&anna, &path).await.ok()["last_pin_timestamp"].is_string());
    world.delete(&bea, &message).await.refused(403, 50013);
    world.patch(&bea, &message, json!({ "content": "x" })).await.refused(403, 50005);
    let reply = json!({ "content": "re", "message_reference": { "message_id": sent["id"] } });
    world.post(&bea, &format!("{path}/messages"), reply).await.ok();
    let history = world.get(&bea, &format!("{path}/messages")).await.ok();
    assert_eq!(history.as_array().map(Vec::len), Some(3));
    world.delete(&anna, &message).await.no_content();
    assert_eq!(news(&to_bea)[6..], ["MESSAGE_CREATE", "MESSAGE_DELETE"]);
    let shown = schemas.check("GET /channels/{channel_id}", world.get(&bea, &path).await);
    assert_eq!(shown["last_message_id"], history[0]["id"]);
}

#[tokio::test]
async fn a_closed_dm_comes_back_with_the_next_message_and_every_session_starts_with_what_is_open() {
    let (world, schemas) = (World::new().await, Schemas::load());
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let path = world.dm(&anna, &bea).await;
    world.post(&anna, &format!("{path}/messages"), json!({ "content": "one" })).await.ok();
    let (to_bea, ready) = world.listen(&bea, None).await;
    let channels = ready["private_channels"].as_array().unwrap();
    assert_eq!((channels.len(), ids(&channels[0]["recipients"])), (1, vec![anna.id.clone()]));
    let closed = schemas.check("DELETE /channels/{channel_id}", world.delete(&bea, &path).await);
    assert_eq!(ids(&closed["recipients"]), [anna.id.as_str()]);
    assert_eq!(news(&to_bea), ["CHANNEL_DELETE"]);
    assert_eq!(world.get(&bea, "/users/@me/channels").await.ok(), json!([]));
    assert_eq!(ids(&world.get(&anna, "/users/@me/channels").await.ok()).len(), 1, "the other one keeps it");
    let (_, ready) = world.listen(&bea, None).await;
    assert_eq!(ready["private_channels"], json!([]));
    world.post(&anna, &format!("{path}/messages"), json!({ "content": "two" })).await.ok();
    assert_eq!(news(&to_bea), ["CHANNEL_CREATE", "MESSAGE_CREATE"]);
    let history = world.get(&bea, &format!("{path}/messages")).await.ok();
    assert_eq!(history.as_array().map(Vec::len), Some(2), "closing forgets nothing");
}

#[tokio::test]
async fn a_bot_gets_and_answers_dms_of_its_guilds_members_only() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let (bot, _) = world.bot("helper", 0).await;
    let (other_bot, _) = world.bot("another", 0).await;
    let (to_bot, ready) = world.listen(&bot, Some(Intents::DIRECT_MESSAGES)).await;
    let (to_deaf, _) = world.listen(&bot, Some(Intents::GUILD_MESSAGES)).await;
    assert_eq!(ready["private_channels"], json!([]));
    let path = world.dm(&anna, &bot).await;
    let sent = world.post(&anna, &format!("{path}/messages"), json!({ "content": "help" })).await.ok();
    world.post(&anna, &format!("{path}/typing"), json!({})).await.no_content();
    let heard = told(&to_bot);
    assert_eq!(
        heard.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["MESSAGE_CREATE"],
        "and no CHANNEL_CREATE, as documented"
    );
    assert_eq!(heard[0].1["content"], "help", "without MESSAGE_CONTENT");
    assert_eq!(news(&to_deaf), Vec::<&str>::new());
    let answer = format!("{path}/messages/{}/reactions/%F0%9F%91%8D/@me", text(&sent["id"]));
    world.put(&bot, &answer, json!({})).await.no_content();
    world.post(&bot, &format!("{path}/messages"), json!({ "content": "here" })).await.ok();
    assert_eq!(world.dm(&bot, &anna).await, path);
    let stranger = world.register("stranger").await;
    let open = |to: &Session| json!({ "recipient_id": to.id });
    world.post(&bot, "/users/@me/channels", open(&stranger)).await.refused(403, 50007);
    world.post(&bot, "/users/@me/channels", open(&other_bot)).await.refused(403, 50007);
    world.post(&stranger, "/users/@me/channels", open(&bot)).await.refused(403, 50007);
    world.post(&bot, "/users/@me/channels", open(&bot)).await.refused(400, 50033);
    world.post(&bot, "/users/@me/channels", json!({ "recipients": [anna.id, stranger.id] })).await.refused(403, 20001);
}

#[tokio::test]
async fn whoever_is_blocked_left_or_unknown_writes_to_nobody() {
    let world = World::new().await;
    let (anna, bea, stranger) = (world.member("anna").await, world.member("bea").await, world.register("stranger").await);
    let open = |to: &str| json!({ "recipient_id": to });
    world.post(&stranger, "/users/@me/channels", open(&anna.id)).await.refused(403, 50007);
    world.post(&anna, "/users/@me/channels", open("1")).await.refused(400, 50033);
    world.post(&anna, "/users/@me/channels", open(&anna.id)).await.refused(400, 50033);
    world.post(&anna, "/users/@me/channels", json!({})).await.form_error("/recipient_id", "BASE_TYPE_REQUIRED");
    let path = world.dm(&anna, &bea).await;
    let messages = format!("{path}/messages");
    world.get(&stranger, &path).await.refused(403, 50001);
    world.get(&stranger, &messages).await.refused(403, 50001);
    world.post(&stranger, &messages, json!({ "content": "x" })).await.refused(403, 50001);
    world.delete(&stranger, &path).await.refused(403, 50001);
    world.patch(&anna, &path, json!({ "name": "us" })).await.refused(403, 50003);
    world.post(&anna, &format!("{path}/invites"), json!({})).await.refused(403, 50003);
    world.post(&anna, &messages, json!({ "content": "hi" })).await.ok();

    let relationship = |to: &Session| format!("/users/@me/relationships/{}", to.id);
    world.put(&bea, &relationship(&anna), json!({ "type": 2 })).await.no_content();
    for who in [&anna, &bea] {
        world.post(who, &messages, json!({ "content": "x" })).await.refused(403, 50007);
        assert_eq!(world.get(who, &messages).await.ok().as_array().map(Vec::len), Some(1), "what was written stays");
    }
    world.delete(&bea, &relationship(&anna)).await.no_content();
    world.post(&anna, &messages, json!({ "content": "again" })).await.ok();
    world.delete(&bea, &format!("/users/@me/guilds/{}", world.guild)).await.no_content();
    world.post(&anna, &messages, json!({ "content": "x" })).await.refused(403, 50007);
    world.befriend(&anna, &bea).await;
    world.post(&anna, &messages, json!({ "content": "friends need no guild" })).await.ok();
}

#[tokio::test]
async fn a_group_of_friends_grows_is_named_and_ends() {
    let (world, schemas) = (World::new().await, Schemas::load());
    let mut people = Vec::new();
    for name in ["anna", "bea", "cleo", "dora"] {
        people.push(world.register(name).await);
    }
    let [anna, bea, cleo, dora] = &people[..] else { unreachable!("four were made") };
    let make = json!({ "recipients": [bea.id, cleo.id] });
    world.post(anna, "/users/@me/channels", make.clone()).await.refused(400, 50033);
    world.befriend(anna, bea).await;
    world.befriend(anna, cleo).await;
    world.befriend(bea, dora).await;
    let (to_bea, _) = world.listen(bea, None).await;
    let (to_dora, _) = world.listen(dora, None).await;
    told(&to_bea);
    let group = schemas.check("POST /users/@me/channels", world.post(anna, "/users/@me/channels", make).await);
    assert_eq!((&group["type"], &group["owner_id"], ids(&group["recipients"]).len()), (&json!(3), &json!(anna.id), 2));
    assert_eq!(news(&to_bea), ["CHANNEL_CREATE"]);
    let path = format!("/channels/{}", text(&group["id"]));
    let recipient = |who: &Session| format!("{path}/recipients/{}", who.id);

    world.put(anna, &recipient(dora), json!({})).await.refused(400, 50033);
    world.put(bea, &recipient(dora), json!({})).await.no_content();
    assert_eq!(news(&to_bea), ["CHANNEL_RECIPIENT_ADD", "MESSAGE_CREATE"]);
    assert_eq!(news(&to_dora), ["CHANNEL_CREATE", "MESSAGE_CREATE"]);
    world.put(bea, &recipient(dora), json!({})).await.refused(400, 50033);
    let named = world.patch(cleo, &path, json!({ "name": "the four" })).await;
    assert_eq!(schemas.check("PATCH /channels/{channel_id}", named)["name"], "the four");
    assert_eq!(news(&to_dora), ["CHANNEL_UPDATE", "MESSAGE_CREATE"]);
    world.patch(cleo, &path, json!({ "owner": cleo.id })).await.refused(403, 50013);
    world.delete(cleo, &recipient(dora)).await.refused(403, 50013);
    world.delete(anna, &recipient(dora)).await.no_content();
    assert_eq!(news(&to_dora), ["MESSAGE_CREATE", "CHANNEL_DELETE"]);
    assert_eq!(news(&to_bea), ["CHANNEL_UPDATE", "MESSAGE_CREATE", "MESSAGE_CREATE", "CHANNEL_RECIPIENT_REMOVE"]);
    world.get(dora, &path).await.refused(403, 50001);
    world.post(dora, &format!("{path}/messages"), json!({ "content": "x" })).await.refused(403, 50001);
    let said = world.get(bea, &format!("{path}/messages")).await.ok();
    let kinds: Vec<_> = said.as_array().unwrap().iter().rev().map(|message| message["type"].as_u64().unwrap()).collect();
    assert_eq!(kinds, [1, 4, 2]);
    assert_eq!((&said[1]["content"], &said[0]["mentions"][0]["id"]), (&json!("the four"), &json!(dora.id)));

    world.delete(anna, &path).await.ok();
    assert_eq!(world.get(bea, &path).await.ok()["owner_id"], bea.id, "who came first inherits");
    world.patch(bea, &path, json!({ "owner": cleo.id, "name": null })).await.ok();
    let left = world.delete(bea, &format!("{path}?silent=true")).await.ok();
    assert_eq!(left["owner_id"], cleo.id);
    assert_eq!(world.get(cleo, &format!("{path}/messages?limit=1")).await.ok()[0]["type"], 4, "silently");
    world.delete(cleo, &path).await.ok();
    world.get(cleo, &path).await.refused(404, 10003);
}

#[tokio::test]
async fn a_third_makes_a_group_of_a_dm_and_no_group_begins_with_a_crowd() {
    let (world, schemas) = (World::new().await, Schemas::load());
    let (anna, bea, cleo) = (world.member("anna").await, world.member("bea").await, world.member("cleo").await);
    world.befriend(&anna, &bea).await;
    world.befriend(&anna, &cleo).await;
    let dm = world.dm(&anna, &bea).await;
    let made = world.put(&anna, &format!("{dm}/recipients/{}", cleo.id), json!({})).await;
    assert_eq!(made.status, 201);
    let group = schemas.check("PUT /channels/{channel_id}/recipients/{user_id}", made);
    let path = format!("/channels/{}", text(&group["id"]));
    assert_ne!(path, dm);
    let too_many: Vec<String> = (1..=100).map(|id: u64| id.to_string()).collect();
    let refused = world.post(&anna, "/users/@me/channels", json!({ "recipients": too_many })).await;
    refused.form_error("/recipients", "BASE_TYPE_MAX_LENGTH");
}

#[tokio::test]
async fn friends_ask_agree_and_part() {
    let world = World::new().await;
    let (anna, bea) = (world.register("anna").await, world.register("Bea").await);
    let (to_anna, _) = world.listen(&anna, None).await;
    let (to_bea, _) = world.listen(&bea, None).await;
    let ask = |name: &str| json!({ "username": name, "discriminator": null });
    world.post(&anna, "/users/@me/relationships", ask("bea")).await.no_content();
    world.post(&anna, "/users/@me/relationships", ask("bea")).await.no_content();
    let kinds = async |who: &Session| -> Vec<u64> {
        let list = world.get(who, "/users/@me/relationships").await.ok();
        list.as_array().unwrap().iter().map(|relationship| relationship["type"].as_u64().unwrap()).collect()
    };
    assert_eq!((kinds(&anna).await, kinds(&bea).await), (vec![4], vec![3]));
    assert_eq!((news(&to_anna), news(&to_bea)), (vec!["RELATIONSHIP_ADD"], vec!["RELATIONSHIP_ADD"]));
    let path = |to: &Session| format!("/users/@me/relationships/{}", to.id);
    world.put(&bea, &path(&anna), json!({ "type": 1 })).await.no_content();
    assert_eq!((kinds(&anna).await, kinds(&bea).await), (vec![1], vec![1]));
    assert_eq!(news(&to_bea), ["RELATIONSHIP_ADD", "PRESENCE_UPDATE"], "a friend who is online is seen");
    told(&to_anna);
    let (_second, ready) = world.listen(&anna, None).await;
    assert_eq!(ready["relationships"][0]["user"]["username"], "Bea");
    assert_eq!((&ready["presences"][0]["user"]["id"], &ready["presences"][0]["status"]), (&json!(bea.id), &json!("online")));
    world.put(&anna, &path(&bea), json!({})).await.refused(400, 80007);
    world.patch(&anna, &path(&bea), json!({ "nickname": "B" })).await.no_content();
    assert_eq!(told(&to_anna)[0].1["nickname"], "B");
    world.delete(&bea, &path(&anna)).await.no_content();
    assert_eq!((kinds(&anna).await, kinds(&bea).await), (vec![], vec![]));
    assert_eq!(news(&to_anna), ["RELATIONSHIP_REMOVE"]);
    world.delete(&bea, &path(&anna)).await.refused(404, 10013);

    world.put(&anna, &path(&bea), json!({})).await.no_content();
    world.put(&bea, &path(&anna), json!({ "type": 2 })).await.no_content();
    assert_eq!((kinds(&anna).await, kinds(&bea).await), (vec![], vec![2]), "a block ends the request");
    world.put(&anna, &path(&bea), json!({})).await.refused(403, 80001);
    world.post(&bea, "/users/@me/relationships", ask("anna")).await.refused(403, 80001);
    world.put(&anna, &path(&bea), json!({ "type": 2 })).await.no_content();
    world.delete(&anna, &path(&bea)).await.no_content();
    assert_eq!(kinds(&bea).await, [2], "one's own block is one's own to lift");
    world.put(&anna, &path(&anna), json!({})).await.refused(400, 80003);
    world.post(&anna, "/users/@me/relationships", ask("nobody")).await.refused(400, 80004);
    let (bot, _) = world.bot("helper", 0).await;
    world.put(&anna, &path(&bot), json!({})).await.refused(400, 80002);
    world.get(&bot, "/users/@me/relationships").await.refused(403, 20001);
}

/// What READY says of a channel: how far it was read, and how many mentions wait.
async fn read_state(world: &World, who: &Session, channel: &str) -> Option<(Option<String>, u64)> {
    let (_, ready) = world.listen(who, None).await;
    let entries = ready["read_state"]["entries"].as_array().expect("people have read states").clone();
    let entry = entries.into_iter().find(|entry| entry["id"] == channel)?;
    Some((entry["last_message_id"].as_str().map(str::to_owned), entry["mention_count"].as_u64().unwrap()))
}

#[tokio::test]
async fn what_was_read_and_what_waits_is_known_to_every_session() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let (bea, role) = world.member_with("bea", 0).await;
    let channel = world.text.as_str();
    // Joining said something in her name.
    let (joined, waiting) = read_state(&world, &bea, channel).await.expect("she joined here");
    assert_eq!((joined.is_some(), waiting), (true, 0));
    world.say(&world.owner, "hello").await;
    let named = world.say(&world.owner, &format!("<@{}> and <@{}>", bea.id, world.owner.id)).await;
    world.say(&world.owner, &format!("<@&{role}> @everyone <@{}>", bea.id)).await;
    world.say(&world.owner, &format!("<@{}>", anna.id)).await;
    assert_eq!(read_state(&world, &bea, channel).await, Some((joined, 2)), "a message counts once");
    assert_eq!(read_state(&world, &world.owner, channel).await.unwrap().1, 0, "nobody waits for themselves");
    let late = world.member("late").await;
    assert_eq!(read_state(&world, &late, channel).await.unwrap().1, 0, "nor for what was said before they came");

    // Who does not see where it is said has not read it: a session that saw nothing and one that begins later agree.
    let hidden = json!({ "type": 0, "allow": "0", "deny": "1024" });
    world.put(&world.owner, &format!("/channels/{channel}/permissions/{}", world.guild), hidden).await.no_content();
    let blind = world.member("blind").await;
    let shown = json!({ "type": 0, "allow": "1024", "deny": "0" });
    world.put(&world.owner, &format!("/channels/{channel}/permissions/{}", world.guild), shown).await.no_content();
    assert_eq!(read_state(&world, &blind, channel).await, None);

    let (to_bea, _) = world.listen(&bea, None).await;
    let ack = |message: &Value| format!("/channels/{channel}/messages/{}/ack", text(&message["id"]));
    let answer = world.post(&bea, &ack(&named), json!({ "token": null })).await.ok();
    assert_eq!(answer, json!({ "token": null }));
    let heard = told(&to_bea);
    assert_eq!((heard[0].0, &heard[0].1["message_id"], &heard[0].1["mention_count"]), ("MESSAGE_ACK", &named["id"], &json!(1)));
    assert_eq!(read_state(&world, &bea, channel).await, Some((Some(text(&named["id"])), 1)));
    let last = world.say(&world.owner, "last").await;
    world.post(&bea, &ack(&last), json!({})).await.ok();
    world.post(&bea, &ack(&named), json!({})).await.ok();
    assert_eq!(read_state(&world, &bea, channel).await, Some((Some(text(&last["id"])), 0)), "reading goes forward");
    world.post(&bea, &ack(&named), json!({ "manual": true, "mention_count": 9 })).await.ok();
    assert_eq!(read_state(&world, &bea, channel).await, Some((Some(text(&named["id"])), 1)), "unless it is meant to go back");

    let dm = world.dm(&anna, &bea).await;
    let mut sent = Value::Null;
    for content in ["one", "two", "three"] {
        sent = world.post(&anna, &format!("{dm}/messages"), json!({ "content": content })).await.ok();
    }
    let dm_id = dm.rsplit('/').next().unwrap();
    assert_eq!(read_state(&world, &bea, dm_id).await, Some((None, 3)), "each message of a DM counts");
    assert_eq!(read_state(&world, &anna, dm_id).await, Some((Some(text(&sent["id"])), 0)));
    let bulk = json!({ "read_states": [
        { "channel_id": dm_id, "message_id": sent["id"] }, { "channel_id": channel, "message_id": last["id"] },
        { "channel_id": "1", "message_id": "1" },
    ] });
    world.post(&bea, "/read-states/ack-bulk", bulk.clone()).await.no_content();
    assert_eq!(read_state(&world, &bea, dm_id).await, Some((Some(text(&sent["id"])), 0)));
    assert_eq!(read_state(&world, &bea, channel).await.unwrap().1, 0);
    world.post(&late, &format!("{dm}/messages/{}/ack", text(&sent["id"])), json!({})).await.refused(403, 50001);
    let (bot, _) = world.bot("helper", 0).await;
    world.post(&bot, "/read-states/ack-bulk", bulk).await.refused(403, 20001);
    world.delete(&bea, &format!("/users/@me/guilds/{}", world.guild)).await.no_content();
    assert_eq!(read_state(&world, &bea, channel).await, None, "it goes with the membership");
}
