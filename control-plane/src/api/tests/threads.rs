use super::{Session, World, text};
use crate::guild::Active;
use crate::ids::unix_ms;
use axum::http::Method;
use guildhall_protocol::{GuildId, Permissions};
use serde_json::{Value, json};

impl World {
    /// A thread from a new message of someone's in the first text channel.
    async fn thread(&self, who: &Session, name: &str) -> Value {
        let message = text(&self.say(who, name).await["id"]);
        let path = format!("{}/{message}/threads", self.messages_path());
        let reply = self.post(who, &path, json!({ "name": name })).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.body
    }

    async fn start(&self, who: &Session, body: Value) -> Value {
        let reply = self.post(who, &format!("/channels/{}/threads", self.text), body).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.body
    }

    async fn say_in(&self, who: &Session, thread: &Value, content: &str) -> Value {
        self.post(who, &format!("{}/messages", path(thread)), json!({ "content": content })).await.ok()
    }

    async fn active(&self, who: &Session) -> Vec<String> {
        names(&self.get(who, &format!("/guilds/{}/threads/active", self.guild)).await.ok())
    }

    async fn archived(&self, who: &Session, list: &str) -> Vec<String> {
        names(&self.get(who, &format!("/channels/{}/{list}", self.text)).await.ok())
    }

    async fn archive(&self, thread: &Value) {
        self.patch(&self.owner, &path(thread), json!({ "archived": true })).await.ok();
    }

    async fn members_of(&self, thread: &Value) -> Vec<String> {
        let members = self.get(&self.owner, &format!("{}/thread-members", path(thread))).await.ok();
        members.as_array().unwrap().iter().map(|member| text(&member["user_id"])).collect()
    }

    async fn deny(&self, bits: Permissions) {
        let path = format!("/channels/{}/permissions/{}", self.text, self.guild);
        self.put(&self.owner, &path, json!({ "type": 0, "deny": bits })).await.no_content();
    }

    /// What is in memory of the threads is what a restart would load.
    #[track_caller]
    fn same_after_restart(&self) -> impl Future<Output = ()> {
        let guild: GuildId = self.guild.parse().unwrap();
        let app = self.control_plane.app.clone();
        async move {
            let known = app.hub().with_guild(guild, |state| state.threads().cloned().collect::<Vec<Active>>()).await.unwrap();
            let stored = app.store().load_guild(guild).await.unwrap().unwrap();
            assert_eq!(known, stored.threads);
        }
    }
}

fn path(thread: &Value) -> String {
    format!("/channels/{}", text(&thread["id"]))
}

fn names(list: &Value) -> Vec<String> {
    list["threads"].as_array().unwrap().iter().map(|thread| text(&thread["name"])).collect()
}

#[tokio::test]
async fn a_thread_that_begins_where_one_was_deleted_begins_empty_and_its_guild_can_go() {
    let world = World::new().await;
    let message = text(&world.say(&world.owner, "again").await["id"]);
    let begin = format!("{}/{message}/threads", world.messages_path());
    for _ in 0..2 {
        let thread = world.post(&world.owner, &begin, json!({ "name": "again" })).await;
        assert_eq!(thread.status, 201, "{}", thread.body);
        world.say_in(&world.owner, &thread.body, "in it").await;
        let said = world.get(&world.owner, &format!("{}/messages", path(&thread.body))).await.ok();
        let said: Vec<String> = said.as_array().unwrap().iter().map(|message| text(&message["content"])).collect();
        assert_eq!(said.iter().filter(|content| *content == "in it").count(), 1, "{said:?}");
        world.delete(&world.owner, &path(&thread.body)).await.ok();
    }
    let thread = world.post(&world.owner, &begin, json!({ "name": "again" })).await;
    assert_eq!(thread.status, 201, "{}", thread.body);
    world.delete(&world.owner, &format!("/guilds/{}", world.guild)).await.no_content();
}

#[tokio::test]
async fn a_thread_grows_from_a_message() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let thread = world.thread(&anna, "plans").await;
    let id = text(&thread["id"]);
    assert_eq!((&thread["type"], text(&thread["parent_id"])), (&json!(11), world.text.clone()));
    assert_eq!((&thread["owner_id"], &thread["member"]["user_id"]), (&json!(anna.id), &json!(anna.id)));
    assert_eq!((&thread["message_count"], &thread["member_count"]), (&json!(0), &json!(1)));
    let metadata = &thread["thread_metadata"];
    assert_eq!((&metadata["archived"], &metadata["locked"]), (&json!(false), &json!(false)));
    assert_eq!((&metadata["auto_archive_duration"], metadata.get("invitable")), (&json!(4320), None));

    // The message says so, and the thread begins by showing it.
    let source = world.get(&anna, &format!("{}/{id}", world.messages_path())).await.ok();
    assert_eq!((&source["flags"], &source["thread"]["id"]), (&json!(32), &json!(id)));
    let said = world.say_in(&world.owner, &thread, "yes").await;
    let history = world.get(&anna, &format!("{}/messages", path(&thread))).await.ok();
    assert_eq!((&history[0]["content"], &history[1]["type"]), (&json!("yes"), &json!(21)));
    assert_eq!(history[1]["referenced_message"]["id"], json!(id));
    let first = format!("{}/messages/{}", path(&thread), text(&history[1]["id"]));
    world.delete(&world.owner, &first).await.refused(403, 50021);

    // Whoever writes is in it, and what is written is counted.
    let read = world.get(&world.owner, &path(&thread)).await.ok();
    assert_eq!((&read["message_count"], &read["total_message_sent"], &read["member_count"]), (&json!(1), &json!(1), &json!(2)));
    assert_eq!((&read["last_message_id"], &read["member"]["user_id"]), (&said["id"], &json!(world.owner.id)));
    world.same_after_restart().await;
    world.delete(&anna, &format!("{}/messages/{}", path(&thread), text(&said["id"]))).await.refused(403, 50013);
    world.delete(&world.owner, &format!("{}/messages/{}", path(&thread), text(&said["id"]))).await.no_content();
    let read = world.get(&anna, &path(&thread)).await.ok();
    assert_eq!((&read["message_count"], &read["total_message_sent"]), (&json!(0), &json!(1)));
    world.same_after_restart().await;

    let again = format!("{}/{id}/threads", world.messages_path());
    world.post(&anna, &again, json!({ "name": "again" })).await.refused(400, 160004);
    let nowhere = format!("{}/1/threads", world.messages_path());
    world.post(&anna, &nowhere, json!({ "name": "x" })).await.refused(404, 10008);
    world.post(&anna, &nowhere, json!({})).await.form_error("/name", "BASE_TYPE_REQUIRED");
    let odd = json!({ "name": "x", "auto_archive_duration": 61 });
    world.post(&anna, &nowhere, odd).await.form_error("/auto_archive_duration", "BASE_TYPE_CHOICES");
    let within = format!("{}/messages/{}/threads", path(&thread), text(&history[1]["id"]));
    world.post(&anna, &within, json!({ "name": "deeper" })).await.refused(400, 50024);

    world.delete(&anna, &path(&thread)).await.refused(403, 50013);
    world.delete(&world.owner, &path(&thread)).await.ok();
    world.get(&anna, &path(&thread)).await.refused(404, 10003);
    let source = world.get(&anna, &format!("{}/{id}", world.messages_path())).await.ok();
    assert_eq!((&source["flags"], source.get("thread")), (&json!(0), None));
    world.same_after_restart().await;
}

#[tokio::test]
async fn a_thread_without_a_message_is_announced_unless_it_is_private() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let public = world.start(&anna, json!({ "name": "open", "type": 11, "auto_archive_duration": 60 })).await;
    let history = world.get(&anna, &world.messages_path()).await.ok();
    assert_eq!((&history[0]["type"], &history[0]["content"]), (&json!(18), &json!("open")));
    assert_eq!(history[0]["message_reference"]["channel_id"], public["id"]);
    assert_eq!(history[0]["message_reference"].get("message_id"), None);
    let private = world.start(&anna, json!({ "name": "closed" })).await;
    assert_eq!((&private["type"], &private["thread_metadata"]["invitable"]), (&json!(12), &json!(true)));
    let unchanged = world.get(&anna, &world.messages_path()).await.ok();
    assert_eq!(unchanged[0]["id"], history[0]["id"]);
    world.post(&anna, &format!("/channels/{}/threads", world.text), json!({ "name": "x", "type": 10 })).await.refused(400, 50024);
    world
        .post(&anna, &format!("/channels/{}/threads", world.voice), json!({ "name": "x", "type": 11 }))
        .await
        .refused(400, 50024);

    world.deny(Permissions::CREATE_PUBLIC_THREADS | Permissions::CREATE_PRIVATE_THREADS).await;
    for body in [json!({ "name": "x", "type": 11 }), json!({ "name": "x" })] {
        world.post(&anna, &format!("/channels/{}/threads", world.text), body).await.refused(403, 50013);
    }
    let message = text(&world.say(&anna, "hm").await["id"]);
    let from = format!("{}/{message}/threads", world.messages_path());
    world.post(&anna, &from, json!({ "name": "x" })).await.refused(403, 50013);
    // In threads another bit counts.
    world.deny(Permissions::SEND_MESSAGES).await;
    world.say_in(&anna, &public, "still here").await;
    world.deny(Permissions::SEND_MESSAGES_IN_THREADS).await;
    world.post(&anna, &format!("{}/messages", path(&public)), json!({ "content": "?" })).await.refused(403, 50013);
    world.deny(Permissions::VIEW_CHANNEL).await;
    world.get(&anna, &path(&public)).await.refused(403, 50001);
    world.get(&anna, &format!("{}/messages", path(&private))).await.refused(403, 50001);
    assert_eq!(world.active(&anna).await, [""; 0]);
}

#[tokio::test]
async fn private_threads_are_for_those_in_them_and_who_manages_threads() {
    let world = World::new().await;
    let (anna, bea, cleo) = (world.member("anna").await, world.member("bea").await, world.member("cleo").await);
    let (warden, _) = world.member_with("warden", Permissions::MANAGE_THREADS.0).await;
    let secret = world.start(&anna, json!({ "name": "secret", "type": 12, "invitable": false })).await;
    for stranger in [&bea, &cleo] {
        world.get(stranger, &path(&secret)).await.refused(403, 50001);
        world.post(stranger, &format!("{}/messages", path(&secret)), json!({ "content": "?" })).await.refused(403, 50001);
        world.put(stranger, &format!("{}/thread-members/@me", path(&secret)), json!({})).await.refused(403, 50001);
        assert_eq!(world.active(stranger).await, [""; 0]);
    }
    assert_eq!(world.active(&warden).await, ["secret"]);
    world.get(&warden, &path(&secret)).await.ok();

    world.put(&anna, &format!("{}/thread-members/{}", path(&secret), bea.id), json!({})).await.no_content();
    assert_eq!(world.active(&bea).await, ["secret"]);
    world.say_in(&bea, &secret, &format!("hello <@{}>", cleo.id)).await;
    world.get(&cleo, &path(&secret)).await.refused(403, 50001);
    world.put(&bea, &format!("{}/thread-members/{}", path(&secret), cleo.id), json!({})).await.refused(403, 50013);
    world.say_in(&anna, &secret, &format!("welcome <@{}>", cleo.id)).await;
    world.get(&cleo, &path(&secret)).await.ok();
    world.same_after_restart().await;
    world.delete(&bea, &format!("{}/thread-members/{}", path(&secret), cleo.id)).await.refused(403, 50013);
    world.delete(&anna, &format!("{}/thread-members/{}", path(&secret), cleo.id)).await.no_content();
    world.get(&cleo, &path(&secret)).await.refused(403, 50001);
    world.delete(&bea, &format!("{}/thread-members/@me", path(&secret))).await.no_content();
    world.get(&bea, &path(&secret)).await.refused(403, 50001);
    assert_eq!(world.members_of(&secret).await, [anna.id.as_str()]);

    // Archived, it is listed for the same people.
    world.put(&anna, &format!("{}/thread-members/{}", path(&secret), bea.id), json!({})).await.no_content();
    world.archive(&secret).await;
    world.get(&cleo, &path(&secret)).await.refused(403, 50001);
    world.get(&bea, &path(&secret)).await.ok();
    assert_eq!(world.archived(&warden, "threads/archived/private").await, ["secret"]);
    assert_eq!(world.archived(&warden, "users/@me/threads/archived/private").await, [""; 0]);
    assert_eq!(world.archived(&bea, "users/@me/threads/archived/private").await, ["secret"]);
    assert_eq!(world.archived(&cleo, "users/@me/threads/archived/private").await, [""; 0]);
    world.get(&bea, &format!("/channels/{}/threads/archived/private", world.text)).await.refused(403, 50013);
    // Whoever leaves the guild leaves its threads.
    world.delete(&bea, &format!("/users/@me/guilds/{}", world.guild)).await.no_content();
    assert_eq!(world.members_of(&secret).await, [anna.id.as_str()]);
    world.same_after_restart().await;
}

#[tokio::test]
async fn members_join_leave_and_are_listed() {
    let world = World::new().await;
    let people = [world.member("anna").await, world.member("bea").await, world.member("cleo").await];
    let thread = world.thread(&world.owner, "gathering").await;
    let members = format!("{}/thread-members", path(&thread));
    for who in &people {
        world.put(who, &format!("{members}/@me"), json!({})).await.no_content();
        world.put(who, &format!("{members}/@me"), json!({})).await.no_content();
    }
    let mut ids: Vec<String> = people.iter().map(|who| who.id.clone()).chain([world.owner.id.clone()]).collect();
    ids.sort();
    assert_eq!(world.members_of(&thread).await, ids);
    let page = world.get(&people[0], &format!("{members}?limit=2&with_member=true&after={}", ids[0])).await.ok();
    assert_eq!(page.as_array().unwrap().iter().map(|own| text(&own["user_id"])).collect::<Vec<_>>(), ids[1..3]);
    assert_eq!(page[0]["member"]["user"]["id"], page[0]["user_id"]);
    let one = world.get(&people[0], &format!("{members}/{}", people[1].id)).await.ok();
    assert_eq!((&one["id"], one.get("member")), (&thread["id"], None));
    let stranger = world.register("stranger").await;
    world.get(&people[0], &format!("{members}/{}", stranger.id)).await.refused(404, 10007);
    world.put(&people[0], &format!("{members}/{}", stranger.id), json!({})).await.refused(404, 10007);
    world.put(&stranger, &format!("{members}/@me"), json!({})).await.refused(403, 50001);
    world.get(&people[0], &format!("/channels/{}/thread-members", world.text)).await.refused(400, 50024);
    world.delete(&people[0], &format!("{members}/{}", people[1].id)).await.refused(403, 50013);
    world.delete(&people[1], &format!("{members}/@me")).await.no_content();
    world.delete(&world.owner, &format!("{members}/{}", people[2].id)).await.no_content();
    assert_eq!(world.members_of(&thread).await.len(), 2);
    world.same_after_restart().await;
    world.archive(&thread).await;
    world.put(&people[1], &format!("{members}/@me"), json!({})).await.refused(400, 50083);
    world.delete(&people[0], &format!("{members}/@me")).await.refused(400, 50083);
}

#[tokio::test]
async fn an_archived_thread_wakes_up_when_someone_writes_unless_it_is_locked() {
    let world = World::new().await;
    let (anna, bea) = (world.member("anna").await, world.member("bea").await);
    let (warden, _) = world.member_with("warden", Permissions::MANAGE_THREADS.0).await;
    let thread = world.thread(&anna, "sleepy").await;
    let message = text(&world.say_in(&anna, &thread, "night").await["id"]);
    let message = format!("{}/messages/{message}", path(&thread));
    world.patch(&bea, &path(&thread), json!({ "archived": true })).await.refused(403, 50013);
    world.patch(&anna, &path(&thread), json!({ "locked": true })).await.refused(403, 50013);
    world.patch(&anna, &path(&thread), json!({ "rate_limit_per_user": 5 })).await.refused(403, 50013);
    let asleep = world.patch(&anna, &path(&thread), json!({ "archived": true, "name": "asleep" })).await.ok();
    assert_eq!((&asleep["thread_metadata"]["archived"], &asleep["name"]), (&json!(true), &json!("asleep")));
    assert_eq!(
        (world.active(&bea).await, world.archived(&bea, "threads/archived/public").await),
        (vec![], vec!["asleep".to_owned()])
    );
    world.same_after_restart().await;
    // It is read as before, and nothing in it changes.
    assert_eq!(world.get(&bea, &message).await.ok()["content"], "night");
    world.patch(&anna, &message, json!({ "content": "day" })).await.refused(400, 50083);
    world.put(&bea, &format!("{message}/reactions/%F0%9F%91%8D/@me"), json!({})).await.refused(400, 50083);
    world.patch(&anna, &path(&thread), json!({ "name": "x" })).await.refused(400, 50083);
    world.say_in(&bea, &thread, "morning").await;
    assert_eq!(world.active(&bea).await, ["asleep"]);
    assert_eq!(world.get(&bea, &path(&thread)).await.ok()["member"]["user_id"], json!(bea.id));
    world.same_after_restart().await;

    world.patch(&warden, &path(&thread), json!({ "locked": true })).await.ok();
    world.post(&anna, &format!("{}/messages", path(&thread)), json!({ "content": "?" })).await.refused(400, 160005);
    world.patch(&warden, &path(&thread), json!({ "archived": true })).await.ok();
    world.post(&anna, &format!("{}/messages", path(&thread)), json!({ "content": "?" })).await.refused(400, 50083);
    world.patch(&anna, &path(&thread), json!({ "archived": false })).await.refused(403, 50013);
    world.patch(&warden, &path(&thread), json!({ "archived": false, "locked": false })).await.ok();
    world.archive(&thread).await;
    world.patch(&bea, &path(&thread), json!({ "archived": false })).await.ok();
    world.delete(&world.owner, &message).await.no_content();
    world.same_after_restart().await;
    // A whole channel takes its threads with it.
    world.delete(&world.owner, &format!("/channels/{}", world.text)).await.ok();
    world.get(&anna, &path(&thread)).await.refused(404, 10003);
    world.same_after_restart().await;
}

#[tokio::test]
async fn a_thread_falls_asleep_when_nobody_writes() {
    let world = World::new().await;
    let (anna, store) = (world.member("anna").await, world.control_plane.app.store().clone());
    let short = world.start(&anna, json!({ "name": "short", "type": 11, "auto_archive_duration": 60 })).await;
    world.start(&anna, json!({ "name": "long", "type": 11, "auto_archive_duration": 1440 })).await;
    let hour = 3_600_000;
    assert_eq!(store.archive_idle_threads(unix_ms() + hour - 60_000).await.unwrap(), 0);
    assert_eq!(store.archive_idle_threads(unix_ms() + hour).await.unwrap(), 1);
    assert_eq!(world.active(&anna).await, ["long"]);
    assert_eq!(world.archived(&anna, "threads/archived/public").await, ["short"]);
    world.same_after_restart().await;
    world.say_in(&anna, &short, "not yet").await;
    world.patch(&anna, &path(&short), json!({ "auto_archive_duration": 1440 })).await.ok();
    assert_eq!(store.archive_idle_threads(unix_ms() + hour).await.unwrap(), 0);
    assert_eq!(store.archive_idle_threads(unix_ms() + 24 * hour).await.unwrap(), 2);
    assert_eq!(world.active(&anna).await, [""; 0]);
}

#[tokio::test]
async fn the_archive_is_read_in_pages() {
    let world = World::new().await;
    for name in ["one", "two", "three"] {
        let thread = world.start(&world.owner, json!({ "name": name, "type": 11 })).await;
        world.archive(&thread).await;
        let thread = world.start(&world.owner, json!({ "name": name, "type": 12 })).await;
        world.archive(&thread).await;
    }
    for list in ["threads/archived/public", "threads/archived/private", "users/@me/threads/archived/private"] {
        let url = format!("/channels/{}/{list}", world.text);
        let page = world.get(&world.owner, &format!("{url}?limit=2")).await.ok();
        assert_eq!((names(&page), &page["has_more"]), (vec!["three".to_owned(), "two".to_owned()], &json!(true)), "{list}");
        assert_eq!(page["members"].as_array().map(Vec::len), Some(2));
        let last = &page["threads"][1];
        let before = match list.starts_with("users") {
            true => text(&last["id"]),
            false => text(&last["thread_metadata"]["archive_timestamp"]).replace('+', "%2B"),
        };
        let rest = world.get(&world.owner, &format!("{url}?limit=2&before={before}")).await.ok();
        assert_eq!((names(&rest), &rest["has_more"]), (vec!["one".to_owned()], &json!(false)), "{list}");
    }
    world.deny(Permissions::READ_MESSAGE_HISTORY).await;
    let anna = world.member("anna").await;
    world.get(&anna, &format!("/channels/{}/threads/archived/public", world.text)).await.refused(403, 50013);
    world.get(&world.owner, &format!("/channels/{}/threads/archived/public", world.voice)).await.refused(400, 50024);
}

#[tokio::test]
async fn a_post_in_a_forum_begins_with_its_message() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let forum = json!({ "name": "questions", "type": 15 });
    let forum = text(&world.post(&world.owner, &format!("/guilds/{}/channels", world.guild), forum).await.ok()["id"]);
    let url = format!("/channels/{forum}/threads");
    world.post(&anna, &url, json!({ "name": "how?" })).await.form_error("/message", "BASE_TYPE_REQUIRED");
    world.post(&anna, &url, json!({ "name": "how?", "message": {} })).await.refused(400, 50006);
    let post = world.post(&anna, &url, json!({ "name": "how?", "message": { "content": "tell me" } })).await.ok();
    assert_eq!(
        (&post["type"], &post["message"]["id"], &post["message"]["content"]),
        (&json!(11), &post["id"], &json!("tell me"))
    );
    assert_eq!(post["message_count"], 0);
    world.say_in(&world.owner, &post, "like this").await;
    let read = world.get(&anna, &path(&post)).await.ok();
    assert_eq!((&read["message_count"], &read["member_count"]), (&json!(1), &json!(2)));
    world.same_after_restart().await;
    world.post(&anna, &format!("/channels/{forum}/messages"), json!({ "content": "?" })).await.refused(400, 50008);
    world.patch(&world.owner, &format!("/channels/{forum}"), json!({ "rate_limit_per_user": 60 })).await.ok();
    let quick = |name: &str| json!({ "name": name, "message": { "content": "x" } });
    world.post(&anna, &url, quick("one")).await.ok();
    world.post(&anna, &url, quick("two")).await.refused(429, 20016);
    assert_eq!(world.active(&anna).await, ["one", "how?"]);
}

#[tokio::test]
async fn pins_and_slowmode_work_in_threads() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let thread = world.thread(&world.owner, "notes").await;
    let message = text(&world.say_in(&world.owner, &thread, "keep this").await["id"]);
    world.put(&world.owner, &format!("{}/messages/pins/{message}", path(&thread)), json!({})).await.no_content();
    let pins = world.get(&anna, &format!("{}/pins", path(&thread))).await.ok();
    assert_eq!(pins[0]["content"], "keep this");
    assert!(world.get(&anna, &path(&thread)).await.ok()["last_pin_timestamp"].is_string());
    world.same_after_restart().await;
    world.patch(&world.owner, &path(&thread), json!({ "rate_limit_per_user": 60 })).await.ok();
    world.say_in(&anna, &thread, "first").await;
    world.post(&anna, &format!("{}/messages", path(&thread)), json!({ "content": "second" })).await.refused(429, 20016);
    world.say(&anna, "elsewhere it is free").await;
    // A ban takes what was written in threads, too.
    let ban = json!({ "delete_message_seconds": 3600 });
    world.put(&world.owner, &format!("/guilds/{}/bans/{}", world.guild, anna.id), ban).await.no_content();
    let left = world.get(&world.owner, &format!("{}/messages", path(&thread))).await.ok();
    assert!(left.as_array().unwrap().iter().all(|message| message["author"]["id"] != json!(anna.id)));
    world.same_after_restart().await;
}

impl World {
    async fn forum(&self, body: Value) -> Value {
        let mut whole = json!({ "name": "questions", "type": 15 });
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        self.post(&self.owner, &format!("/guilds/{}/channels", self.guild), whole).await.ok()
    }
}

#[tokio::test]
async fn a_forum_offers_tags() {
    let world = World::new().await;
    let plain = world.forum(json!({})).await;
    assert_eq!((&plain["available_tags"], &plain["default_forum_layout"], &plain["flags"]), (&json!([]), &json!(0), &json!(0)));
    assert_eq!(plain["default_reaction_emoji"].as_null(), Some(()));
    // twilight gives every tag an id, also those of a forum that is yet to be made.
    let tags = json!([{ "id": "1", "name": "bug", "emoji_name": "🐛" }, { "id": "1", "name": "solved", "moderated": true, "emoji_id": null }]);
    let body = json!({
        "available_tags": tags, "default_reaction_emoji": { "emoji_name": "👍" },
        "default_sort_order": 1, "default_forum_layout": 2, "flags": 16,
    });
    let path = path(&world.forum(body).await);
    let forum = world.get(&world.owner, &path).await.ok();
    let tags = &forum["available_tags"];
    assert_eq!((&tags[0]["name"], &tags[0]["emoji_name"], &tags[0]["moderated"]), (&json!("bug"), &json!("🐛"), &json!(false)));
    assert!(tags[0]["id"] != "1" && tags[0]["id"] != tags[1]["id"], "{tags}");
    assert_eq!((&tags[1]["moderated"], &tags[1]["emoji_id"], &tags[1]["emoji_name"]), (&json!(true), &json!(null), &json!(null)));
    assert_eq!(forum["default_reaction_emoji"], json!({ "emoji_id": null, "emoji_name": "👍" }));
    assert_eq!((&forum["default_sort_order"], &forum["default_forum_layout"]), (&json!(1), &json!(2)));
    assert_eq!(forum["flags"], 16);

    // One is renamed and keeps its id, one is new, and what is not said stays.
    let kept = json!({ "id": tags[0]["id"], "name": "defect" });
    let edited = world.patch(&world.owner, &path, json!({ "available_tags": [kept, { "id": 0, "name": "idea" }] })).await.ok();
    let after = &edited["available_tags"];
    assert_eq!((&after[0]["id"], &after[0]["name"], &after[1]["name"]), (&tags[0]["id"], &json!("defect"), &json!("idea")));
    assert_ne!(after[1]["id"], tags[1]["id"]);
    assert_eq!((&edited["default_sort_order"], &edited["flags"]), (&json!(1), &json!(16)));
    let cleared = json!({ "default_reaction_emoji": null, "default_sort_order": null, "flags": 0 });
    let cleared = world.patch(&world.owner, &path, cleared).await.ok();
    assert_eq!((&cleared["default_reaction_emoji"], &cleared["default_sort_order"]), (&json!(null), &json!(null)));
    assert_eq!((&cleared["flags"], &cleared["available_tags"]), (&json!(0), after));

    let edit = |body: Value| world.patch(&world.owner, &path, body);
    let twice = json!([{ "name": "one" }, { "name": "ONE" }]);
    edit(json!({ "available_tags": twice })).await.refused(400, 40061);
    edit(json!({ "available_tags": [{ "id": "1", "name": "one" }] })).await.refused(404, 10087);
    edit(json!({ "available_tags": [{ "name": "one", "emoji_id": "1" }] })).await.refused(404, 10014);
    edit(json!({ "default_reaction_emoji": { "emoji_id": "1" } })).await.refused(404, 10014);
    let many: Vec<Value> = (0..21).map(|number| json!({ "name": number.to_string() })).collect();
    edit(json!({ "available_tags": many })).await.form_error("/available_tags", "BASE_TYPE_MAX_LENGTH");
    let long = json!([{ "name": "a".repeat(21) }]);
    edit(json!({ "available_tags": long })).await.form_error("/available_tags/0/name", "BASE_TYPE_BAD_LENGTH");
    let no_emoji = json!([{ "name": "one", "emoji_name": "party" }]);
    edit(json!({ "available_tags": no_emoji })).await.form_error("/available_tags/0/emoji_name", "INVALID_EMOJI");
    edit(json!({ "default_forum_layout": 3 })).await.form_error("/default_forum_layout", "BASE_TYPE_CHOICES");
    let moderated = json!([{ "name": "one", "moderated": true }]);
    edit(json!({ "available_tags": moderated, "flags": 16 })).await.refused(400, 40066);
    // A text channel has nothing of the sort, whatever is said.
    let text =
        world.patch(&world.owner, &format!("/channels/{}", world.text), json!({ "available_tags": [{ "name": "x" }] })).await;
    assert_eq!(text.ok().get("available_tags"), None);
}

#[tokio::test]
async fn posts_bear_tags_of_their_forum() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let bea = world.member("bea").await;
    let tags = json!([{ "name": "bug" }, { "name": "idea" }, { "name": "solved", "moderated": true }]);
    let forum = world.forum(json!({ "available_tags": tags, "flags": 16 })).await;
    let [bug, idea, solved] = [0, 1, 2].map(|index| text(&forum["available_tags"][index]["id"]));
    let url = format!("{}/threads", path(&forum));
    let post = |tags: Value| json!({ "name": "how?", "message": { "content": "tell me" }, "applied_tags": tags });
    world.post(&anna, &url, post(json!([]))).await.refused(400, 40067);
    world.post(&anna, &url, post(json!([bug, solved]))).await.refused(403, 50013);
    world.post(&anna, &url, post(json!(["1"]))).await.refused(404, 10087);
    world.post(&anna, &url, post(json!([1, 2, 3, 4, 5, 6]))).await.form_error("/applied_tags", "BASE_TYPE_MAX_LENGTH");
    let thread = world.post(&anna, &url, post(json!([bug, bug]))).await.ok();
    assert_eq!(thread["applied_tags"], json!([bug]));
    world.same_after_restart().await;

    let at = path(&thread);
    let edit = |who, tags: Value| world.patch(who, &at, json!({ "applied_tags": tags }));
    edit(&bea, json!([idea])).await.refused(403, 50013);
    edit(&anna, json!([])).await.refused(400, 40067);
    edit(&anna, json!([bug, solved])).await.refused(403, 50013);
    assert_eq!(edit(&world.owner, json!([solved, bug])).await.ok()["applied_tags"], json!([solved, bug]));
    // Its author changes the others, and the moderated one stays.
    edit(&anna, json!([idea])).await.refused(403, 50013);
    assert_eq!(edit(&anna, json!([idea, solved])).await.ok()["applied_tags"], json!([idea, solved]));
    world.same_after_restart().await;

    // A tag that the forum gives up means nothing on a post, and goes with the next change.
    let fewer = json!({ "available_tags": [{ "id": bug, "name": "bug" }, { "id": idea, "name": "idea" }] });
    world.patch(&world.owner, &path(&forum), fewer).await.ok();
    assert_eq!(world.get(&anna, &path(&thread)).await.ok()["applied_tags"], json!([idea, solved]));
    assert_eq!(edit(&anna, json!([bug, solved])).await.ok()["applied_tags"], json!([bug]));
    world.same_after_restart().await;

    // Outside of forums there is none.
    let outside = world.thread(&anna, "plans").await;
    assert_eq!(outside["applied_tags"], json!([]));
    world.patch(&anna, &path(&outside), json!({ "applied_tags": [bug] })).await.refused(404, 10087);
}

#[tokio::test]
async fn a_post_carries_files_and_webhooks_make_posts_of_their_own() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let forum = world.forum(json!({ "available_tags": [{ "name": "news", "moderated": true }] })).await;
    let tag = text(&forum["available_tags"][0]["id"]);
    let url = format!("{}/threads", path(&forum));
    let payload =
        json!({ "name": "look", "message": { "content": "this", "attachments": [{ "id": 0, "description": "a map" }] } });
    let post = world.upload(&anna, Method::POST, &url, payload.clone(), &[("map.txt", b"north is up")]).await.ok();
    let file = &post["message"]["attachments"][0];
    assert_eq!(
        (&file["filename"], &file["description"], &post["message"]["id"]),
        (&json!("map.txt"), &json!("a map"), &post["id"])
    );
    let read = world.get(&anna, &format!("{}/messages", path(&post))).await.ok();
    let link = text(&read[0]["attachments"][0]["url"]);
    assert_eq!(world.fetch(&link, &[]).await.1, b"north is up"[..]);
    // Files are for posts, and for who may attach some.
    let plain = format!("/channels/{}/threads", world.text);
    let files: [(&str, &[u8]); 1] = [("map.txt", b"x")];
    world.upload(&anna, Method::POST, &plain, json!({ "name": "x", "type": 11 }), &files).await.refused(403, 50013);
    let deny = json!({ "type": 1, "deny": Permissions::ATTACH_FILES.0.to_string() });
    world.put(&world.owner, &format!("{}/permissions/{}", path(&forum), anna.id), deny).await.no_content();
    world.upload(&anna, Method::POST, &url, payload, &files).await.refused(403, 50013);

    let made = world.post(&world.owner, &format!("{}/webhooks", path(&forum)), json!({ "name": "Herald" })).await.ok();
    let (nobody, hook) = (world.nobody(), format!("/webhooks/{}/{}", text(&made["id"]), text(&made["token"])));
    let say = format!("{hook}?wait=true");
    world.post(&nobody, &say, json!({ "content": "x" })).await.refused(400, 220001);
    let both = format!("{say}&thread_id={}", text(&post["id"]));
    world.post(&nobody, &both, json!({ "content": "x", "thread_name": "y" })).await.refused(400, 220002);
    world.post(&nobody, &say, json!({ "content": "x", "thread_name": "y", "applied_tags": ["1"] })).await.refused(404, 10087);
    world.post(&nobody, &say, json!({ "thread_name": "y" })).await.refused(400, 50006);
    let news = json!({ "content": "hear ye", "thread_name": "today", "applied_tags": [tag] });
    let said = world.upload(&nobody, Method::POST, &say, news, &files).await.ok();
    assert_eq!((&said["id"], &said["webhook_id"]), (&said["channel_id"], &made["id"]));
    let thread = world.get(&anna, &format!("/channels/{}", text(&said["channel_id"]))).await.ok();
    assert_eq!((&thread["name"], &thread["owner_id"], &thread["applied_tags"]), (&json!("today"), &made["id"], &json!([tag])));
    assert_eq!((&thread["member_count"], &thread["type"]), (&json!(0), &json!(11)));
    let more = format!("{say}&thread_id={}", text(&said["channel_id"]));
    assert_eq!(world.post(&nobody, &more, json!({ "content": "more" })).await.ok()["channel_id"], said["channel_id"]);
    let edit = format!("{hook}/messages/{}?thread_id={}", text(&said["id"]), text(&said["channel_id"]));
    assert_eq!(world.patch(&nobody, &edit, json!({ "content": "oyez" })).await.ok()["content"], "oyez");
    assert_eq!(world.active(&anna).await, ["today", "look"]);
    world.same_after_restart().await;
}

#[tokio::test]
async fn a_forum_shows_one_post_above_the_others() {
    let world = World::new().await;
    let anna = world.member("anna").await;
    let forum = world.forum(json!({})).await;
    let url = format!("{}/threads", path(&forum));
    let [first, second] = ["first", "second"].map(|name| json!({ "name": name, "message": { "content": "x" } }));
    let first = world.post(&anna, &url, first).await.ok();
    let second = world.post(&anna, &url, second).await.ok();
    let pin = async |who, post: &Value, flags: u32| world.patch(who, &path(post), json!({ "flags": flags })).await;
    pin(&anna, &first, 2).await.refused(403, 50013);
    assert_eq!(pin(&anna, &first, 0).await.ok()["flags"], 0);
    assert_eq!(pin(&world.owner, &first, 2).await.ok()["flags"], 2);
    pin(&world.owner, &second, 2).await.refused(400, 30047);
    world.same_after_restart().await;
    // It does not fall asleep, and is no pinned one any more once it is put away.
    let store = world.control_plane.app.store().clone();
    assert_eq!(store.archive_idle_threads(unix_ms() + 30 * 86_400_000).await.unwrap(), 1);
    assert_eq!(world.active(&anna).await, ["first"]);
    world.archive(&first).await;
    assert_eq!(world.get(&anna, &path(&first)).await.ok()["flags"], 0);
    pin(&world.owner, &second, 2).await.refused(400, 50083);
    world.patch(&world.owner, &path(&second), json!({ "archived": false, "flags": 2 })).await.ok();
    let outside = world.thread(&anna, "plans").await;
    pin(&world.owner, &outside, 2).await.refused(400, 50024);
    world.same_after_restart().await;
}
