//! What a call is about: made anew for whoever may do it, by way of the owner, the target or the store.

use super::stage::soon;
use super::{Role, Row, Trial};
use crate::api::form::read_with;
use crate::api::pictures;
use crate::api::tests::conformance::PICTURE;
use crate::api::tests::{Session, text};
use crate::audit::By;
use crate::files::emoji_path;
use crate::store::{Device, Left, NewMessage, ReactionKey, Sent};
use axum::http::Method;
use guildhall_protocol::model::{Emoji, Message, ReactionEmoji, RecordingState};
use guildhall_protocol::{ChannelId, GuildId, MessageId, Snowflake, UserId};
use serde_json::json;
use std::collections::BTreeMap;

const THUMB: &str = "👍";

/// The names in a row's path and body, with what they stand for in one call.
#[derive(Default)]
pub struct Things(BTreeMap<String, String>);

pub fn id<T: From<Snowflake>>(text: &str) -> T {
    T::from(text.parse::<Snowflake>().expect("an id"))
}

/// The names between two signs, in order.
fn names(text: &str, open: char, close: char) -> Vec<String> {
    let parts = text.split(open).skip(1).filter_map(|part| part.split_once(close));
    parts.map(|(name, _)| name.to_owned()).collect()
}

impl Things {
    pub fn fill(&self, text: &str, open: char, close: char) -> String {
        names(text, open, close)
            .iter()
            .fold(text.to_owned(), |text, name| text.replace(&format!("{open}{name}{close}"), &self.0[name]))
    }

    fn get(&self, name: &str) -> &str {
        &self.0[name]
    }
}

impl Trial<'_> {
    /// What the row's call by this caller is about.
    pub async fn make(&self, row: &Row, caller: Role) -> Things {
        let mut things = Things::default();
        let mut wanted = names(&row.path, '{', '}');
        wanted.extend(row.body.iter().flat_map(|body| names(body, '<', '>')));
        for name in wanted {
            if !things.0.contains_key(&name) {
                let value = self.thing(&name, row, caller, &mut things).await;
                things.0.insert(name, value);
            }
        }
        self.prepare(row, caller, &things).await;
        things
    }

    /// The session that the call is made with.
    pub async fn session(&self, row: &Row, caller: Role) -> Session {
        let session = self.cast.session(caller);
        if row.route != "POST /auth/logout" || session.token.is_empty() || caller == Role::Robot {
            return session;
        }
        let issued = self.world.control_plane.app.store().log_in(id(&session.id), Device::default()).await;
        Session { token: issued.expect("the account exists").token, ..session }
    }

    /// The author or maker of what is the caller's own; where there is no caller, and of everything else, the target.
    fn maker(&self, row: &Row, caller: Role) -> &Session {
        match caller {
            Role::Admin if row.case == "your own" => &self.cast.admin,
            Role::Owner if row.case == "your own" => &self.cast.owner,
            Role::With if row.case == "your own" => &self.cast.with,
            Role::Without if row.case == "your own" => &self.cast.without,
            Role::TimedOut if row.case == "your own" => &self.cast.timed_out,
            Role::Robot if row.case == "your own" => &self.cast.robot,
            _ => &self.cast.target,
        }
    }

    async fn thing(&self, name: &str, row: &Row, caller: Role, things: &mut Things) -> String {
        let (world, cast, stage) = (self.world, &self.cast, &self.stage);
        let store = world.control_plane.app.store();
        match name {
            "guild_id" => stage.guild.clone(),
            "channel_id" => self.channel(row).await,
            "stage_id" => stage.stage.clone(),
            "message_id" | "older_id" => self.message(row, caller, things).await,
            "user_id" => self.user(row, caller).await,
            "role_id" if row.case == "a higher role" && row.method == Method::DELETE && !row.path.contains("/members/") => {
                self.higher_role().await
            }
            "role_id" if row.case == "a higher role" => stage.superior_role.clone(),
            "role_id" => text(&self.post(&format!("/guilds/{}/roles", stage.guild), json!({ "name": "low" })).await["id"]),
            "overwrite_id" => cast.target.id.clone(),
            "code" => {
                let path = format!("/channels/{}/invites", stage.text);
                text(&self.post(&path, json!({ "unique": true })).await["code"])
            }
            "application_id" if row.case == "another of O's" => self.application(false).await,
            "application_id" => cast.application.clone(),
            "client_id" => self.application(true).await,
            "command_id" => self.command(row).await,
            "webhook_id" | "webhook_token" | "interaction_id" | "interaction_token" => self.address(name, row, things).await,
            "emoji" => "%F0%9F%91%8D".to_owned(),
            "emoji_id" => {
                let emoji = Emoji::new(store.make_id(), "made".to_owned(), Vec::new(), false);
                let by = By::user(id(&self.maker(row, caller).id));
                let form = json!({ "image": PICTURE });
                let picture = read_with(&form, |form| pictures::read(form, "image", PICTURE.len()).value());
                let picture = picture.expect("a picture").expect("it is there");
                world.control_plane.app.keep_picture_at(emoji_path(emoji.id), picture).await.expect("there is room");
                store.create_emoji(by, id::<GuildId>(&stage.guild), emoji.clone()).await.expect("there is room");
                emoji.id.to_string()
            }
            "stream_key_id" => {
                let owner = id(&self.maker(row, caller).id);
                let key = store.create_stream_key(owner, id(things.get("channel_id")), "made".to_owned()).await;
                key.expect("there is room").0.id.to_string()
            }
            "recording_id" => {
                let (by, of) = (By::user(id(&cast.owner.id)), id(&cast.owner.id));
                let made = store.begin_recording(by.clone(), id(things.get("channel_id")), of, false).await.expect("none runs");
                let ended = store.end_recording(by, made.id, RecordingState::Interrupted).await;
                ended.expect("it runs").id.to_string()
            }
            "name" => cast.name(),
            "username" => "target".to_owned(),
            "picture" => PICTURE.to_owned(),
            "soon" => soon(),
            _ => panic!("{}: nothing is called {name}", row.route),
        }
    }

    /// One as high as the superior's, to be deleted.
    async fn higher_role(&self) -> String {
        let path = format!("/guilds/{}/roles", self.stage.guild);
        let role = text(&self.post(&path, json!({ "name": "high" })).await["id"]);
        let roles = self.world.get(&self.cast.owner, &path).await.ok();
        let superior = roles.as_array().into_iter().flatten().find(|role| role["id"] == self.stage.superior_role);
        let position = superior.expect("it is there")["position"].clone();
        let moves = json!([{ "id": role, "position": position }]);
        self.world.patch(&self.cast.owner, &path, moves).await.ok();
        role
    }

    async fn post(&self, path: &str, body: serde_json::Value) -> serde_json::Value {
        self.world.post(&self.cast.owner, path, body).await.ok()
    }

    async fn channel(&self, row: &Row) -> String {
        let (cast, stage) = (&self.cast, &self.stage);
        let store = self.world.control_plane.app.store();
        let (target, superior) = (id::<UserId>(&cast.target.id), id::<UserId>(&cast.superior.id));
        match row.case.as_str() {
            "a DM of others" => store.open_dm(target, superior).await.unwrap().id.to_string(),
            "a group of O's" | "a friend of O's" => {
                let group = store.create_group(id(&cast.owner.id), vec![target, superior]).await;
                group.expect("there is room").id.to_string()
            }
            "a thread" | "a private thread" => {
                let kind = if row.case == "a thread" { 11 } else { 12 };
                let path = format!("/channels/{}/threads", stage.text);
                let thread = self.world.post(&cast.target, &path, json!({ "name": "made", "type": kind })).await.ok();
                text(&thread["id"])
            }
            "a voice channel" => stage.voice.clone(),
            "a forum" => stage.forum.clone(),
            _ if row.path == "/channels/{channel_id}" => {
                text(&self.post(&format!("/guilds/{}/channels", stage.guild), json!({ "name": "made" })).await["id"])
            }
            _ => stage.text.clone(),
        }
    }

    async fn message(&self, row: &Row, caller: Role, things: &Things) -> String {
        if row.path.starts_with("/webhooks") {
            let path = format!("/webhooks/{}/{}?wait=true", things.get("webhook_id"), things.get("the webhook's token"));
            return text(&self.post(&path, json!({ "content": "through it" })).await["id"]);
        }
        if row.case == "a DM of others" {
            return "1".to_owned();
        }
        let store = self.world.control_plane.app.store();
        let author = store.find_user(id(&self.maker(row, caller).id)).await.unwrap().expect("registered");
        let new = NewMessage {
            guild_id: Some(id(&self.stage.guild)),
            message: Message::new(id(things.get("channel_id")), author, "words".to_owned()),
            member: None,
            files: Vec::new(),
            enforced_nonce: None,
        };
        let (Sent::New(message) | Sent::Before(message)) = store.create_message(new).await.expect("the channel is there");
        message.id.to_string()
    }

    async fn user(&self, row: &Row, caller: Role) -> String {
        let (cast, stage) = (&self.cast, &self.stage);
        let store = self.world.control_plane.app.store();
        match row.case.as_str() {
            "someone higher" if row.method == Method::PATCH => return cast.superior.id.clone(),
            "the owner" => return cast.owner.id.clone(),
            "on a stage" => return cast.speaker.id.clone(),
            _ if row.route.starts_with("PUT") && row.path.contains("thread-members") => return cast.speaker.id.clone(),
            _ => {}
        }
        let newcomer = || self.world.newcomer(cast.name());
        if row.route.starts_with("PUT /users/@me/relationships") {
            return newcomer().await.id;
        }
        if let "a friend" | "a friend of O's" = row.case.as_str() {
            let friend = newcomer().await;
            let of = if row.case == "a friend" { cast.session(caller) } else { cast.owner.clone() };
            if !of.id.is_empty() && caller != Role::Robot {
                store.befriend(id(&of.id), id(&friend.id)).await.expect("both are people");
                store.befriend(id(&friend.id), id(&of.id)).await.expect("both are people");
            }
            return friend.id;
        }
        if row.case == "someone banned" {
            let banned = newcomer().await;
            let how = Left::Banned { by: By::user(id(&cast.owner.id)), delete_message_seconds: 0 };
            store.remove_member(id(&stage.guild), id(&banned.id), how).await.expect("nobody is too low");
            return banned.id;
        }
        let happens_to_members =
            ["/bans/{user_id}", "/bulk-ban", "/members/{user_id}"].iter().any(|end| row.route.ends_with(end));
        let is_changed = row.method != Method::GET && (happens_to_members || row.path.contains("/roles/"));
        if !is_changed || row.path.contains("thread-members") || row.case == "given away" {
            return cast.target.id.clone();
        }
        let member = newcomer().await;
        stage.admit(self.world, &member).await;
        let role = if row.case == "someone higher" { &stage.superior_role } else { &stage.target_role };
        stage.give(self.world, &cast.owner, &member.id, role).await;
        member.id
    }

    async fn application(&self, has_bot: bool) -> String {
        let application = text(&self.post("/applications", json!({ "name": "made" })).await["id"]);
        if has_bot {
            self.post(&format!("/applications/{application}/bot"), json!({})).await;
        }
        application
    }

    async fn command(&self, row: &Row) -> String {
        let place = if row.path.contains("/guilds/") { format!("/guilds/{}", self.stage.guild) } else { String::new() };
        let path = format!("/applications/{}{place}/commands", self.cast.application);
        text(&self.post(&path, json!({ "name": self.cast.name(), "description": "x" })).await["id"])
    }

    /// The id and token of a webhook or of an interaction: both at once, the one for now and the other for when it is asked for.
    async fn address(&self, name: &str, row: &Row, things: &mut Things) -> String {
        let is_wrong = row.case == "a wrong token";
        if name.ends_with("_token") && is_wrong {
            return "wrong".to_owned();
        }
        let (id, token) = if row.path.starts_with("/interactions") {
            if is_wrong { ("1".to_owned(), "wrong".to_owned()) } else { self.interaction().await }
        } else if row.case == "an interaction's" {
            let (interaction, token) = self.interaction().await;
            let answer = json!({ "type": 4, "data": { "content": "x" } });
            let path = format!("/interactions/{interaction}/{token}/callback");
            self.world.post(&self.cast.owner, &path, answer).await.no_content();
            (self.cast.application.clone(), token)
        } else {
            self.webhook(row).await
        };
        let kind = name.split('_').next().expect("a first part");
        things.0.insert(format!("the {kind}'s token"), token.clone());
        if !is_wrong {
            things.0.insert(format!("{kind}_token"), token);
        }
        id
    }

    /// One that is there already, unless it is about to go: a channel has fifteen at most.
    async fn webhook(&self, row: &Row) -> (String, String) {
        let path = format!("/channels/{}/webhooks", self.stage.text);
        let there = self.world.get(&self.cast.owner, &path).await.ok();
        let known = there.as_array().into_iter().flatten().find(|webhook| webhook["name"] == "lasting").cloned();
        let is_kept = row.method != Method::DELETE || row.path.contains("/messages/");
        let webhook = match known.filter(|_| is_kept) {
            Some(webhook) => webhook,
            None => self.post(&path, json!({ "name": if is_kept { "lasting" } else { "brief" } })).await,
        };
        (text(&webhook["id"]), text(&webhook["token"]))
    }

    async fn interaction(&self) -> (String, String) {
        let path = format!("/applications/{}/commands", self.cast.application);
        let command = self.post(&path, json!({ "name": "go", "description": "x" })).await;
        let begun = json!({
            "type": 2,
            "application_id": self.cast.application,
            "channel_id": self.stage.text,
            "data": { "id": command["id"] },
        });
        let mut robot = self.cast.at_robot.lock().await;
        // Rows that begin interactions themselves leave theirs unheard, and those may be too old to be answered by now.
        robot.forget();
        self.world.post(&self.cast.owner, "/interactions", begun).await.no_content();
        let told = robot.hear("INTERACTION_CREATE").await;
        (text(&told["id"]), text(&told["token"]))
    }

    /// What has to be the case before the call.
    async fn prepare(&self, row: &Row, caller: Role, things: &Things) {
        let (world, cast) = (self.world, &self.cast);
        let store = world.control_plane.app.store();
        let path = |rest: &str| things.fill(rest, '{', '}');
        if row.route == "DELETE /channels/{channel_id}/permissions/{overwrite_id}" {
            let path = path("/channels/{channel_id}/permissions/{overwrite_id}");
            world.put(&cast.owner, &path, json!({ "type": 1 })).await.no_content();
        }
        if row.method == Method::DELETE && row.path.contains("/pins/") {
            let path = path("/channels/{channel_id}/messages/pins/{message_id}");
            world.put(&cast.owner, &path, json!({})).await.no_content();
        }
        if row.route == "DELETE /guilds/{guild_id}/members/{user_id}/roles/{role_id}" && row.case.is_empty() {
            self.stage.give(world, &cast.owner, things.get("user_id"), things.get("role_id")).await;
        }
        if row.route == "DELETE /channels/{channel_id}/thread-members/@me" {
            let who = cast.session(caller);
            if caller != Role::Nobody && world.get(&who, &path("/channels/{channel_id}")).await.status == 200 {
                store.add_thread_member(id(things.get("channel_id")), id(&who.id)).await.expect("there is room");
            }
        }
        if row.path.contains("/reactions") && row.case != "the first" && row.case != "a DM of others" {
            let key = ReactionKey {
                guild_id: Some(id(&self.stage.guild)),
                channel_id: id::<ChannelId>(things.get("channel_id")),
                message_id: id::<MessageId>(things.get("message_id")),
                emoji: ReactionEmoji::unicode(THUMB.to_owned()),
            };
            store.add_reaction(key.clone(), id(&cast.target.id), true).await.expect("the message is there");
            if row.case == "your own" {
                store.add_reaction(key, id(&self.maker(row, caller).id), true).await.expect("the message is there");
            }
        }
    }
}
