//! What a client knows from its dispatches alone: READY and GUILD_CREATE first, then every event applied as libraries do.

use guildhall_protocol::gateway::Intents;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Guilds by id, each as the parts that events change one by one.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    pub me: Value,
    pub guilds: BTreeMap<String, GuildCache>,
    /// By channel: what is known of its messages, once somebody has looked at it.
    pub messages: BTreeMap<String, BTreeMap<String, Value>>,
    /// DMs and groups in the list.
    pub private: BTreeMap<String, Value>,
    /// How far each channel was read.
    pub read: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default)]
pub struct GuildCache {
    /// Everything of the guild object that has no event of its own.
    pub guild: Value,
    pub member_count: i64,
    pub roles: BTreeMap<String, Value>,
    pub channels: BTreeMap<String, Value>,
    /// The active ones.
    pub threads: BTreeMap<String, Value>,
    pub members: BTreeMap<String, Value>,
    /// Status and activities of those who are not offline.
    pub presences: BTreeMap<String, Value>,
}

/// Parts of GUILD_CREATE that are kept apart, or that only say how the guild came.
const PARTS: [&str; 13] = [
    "roles",
    "channels",
    "members",
    "presences",
    "member_count",
    "joined_at",
    "large",
    "unavailable",
    "voice_states",
    "threads",
    "stage_instances",
    "guild_scheduled_events",
    "soundboard_sounds",
];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn by_id(list: &Value) -> BTreeMap<String, Value> {
    list.as_array().into_iter().flatten().map(|object| (text(&object["id"]), object.clone())).collect()
}

fn without(object: &Value, keys: &[&str]) -> Value {
    let kept = object.as_object().into_iter().flatten().filter(|(key, _)| !keys.contains(&key.as_str()));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// A member as a library stores it: roles are a set.
fn member(object: &Value) -> Value {
    let mut member = without(object, &["guild_id"]);
    if let Some(roles) = member["roles"].as_array_mut() {
        roles.sort_by_key(text);
    }
    member
}

/// A channel as a library stores it: overwrites are a map.
fn channel(object: &Value) -> Value {
    let mut channel = without(object, &["guild_id"]);
    if let Some(overwrites) = channel["permission_overwrites"].as_array_mut() {
        overwrites.sort_by_key(|overwrite| text(&overwrite["id"]));
    }
    channel
}

/// A thread as it is compared. What is counted in it takes events that not every session hears; the store's count is compared
/// with the hub's.
fn thread(object: &Value) -> Value {
    without(object, &["newly_created", "message_count", "total_message_sent", "member_count"])
}

/// A DM or group: names of people come with other events.
fn private(object: &Value) -> Value {
    let mut channel = object.clone();
    let ids = object["recipients"].as_array().into_iter().flatten().map(|user| text(&user["id"]));
    let ids: std::collections::BTreeSet<String> = ids.collect();
    channel["recipients"] = json!(ids);
    channel
}

fn presence(object: &Value) -> Value {
    json!({ "status": object["status"], "activities": object["activities"] })
}

/// What of a message REST and gateway must agree on. Names and pictures of people are not the message's own.
pub fn message(object: &Value) -> Value {
    let ids = |list: &Value| {
        let mut ids: Vec<String> = list.as_array().into_iter().flatten().map(|one| text(&one["id"])).collect();
        ids.sort();
        ids
    };
    let kept = ["id", "channel_id", "content", "edited_timestamp", "timestamp", "mention_everyone", "mention_roles", "pinned"];
    let kept = kept.into_iter().chain(["type", "flags", "tts", "embeds", "attachments", "components", "message_reference"]);
    let mut message: Map<String, Value> = kept.map(|key| (key.to_owned(), object[key].clone())).collect();
    message.insert("author".to_owned(), object["author"]["id"].clone());
    message.insert("mentions".to_owned(), json!(ids(&object["mentions"])));
    let mut reactions = Map::new();
    for reaction in object["reactions"].as_array().into_iter().flatten() {
        reactions.insert(emoji_key(&reaction["emoji"]), json!({ "count": reaction["count"], "me": reaction["me"] }));
    }
    message.insert("reactions".to_owned(), Value::Object(reactions));
    Value::Object(message)
}

fn emoji_key(emoji: &Value) -> String {
    emoji["id"].as_str().or(emoji["name"].as_str()).unwrap_or_default().to_owned()
}

impl Cache {
    /// Takes one dispatch. Names that nothing here depends on are passed over.
    pub fn apply(&mut self, name: &str, d: &Value) {
        let guild_id = text(&d["guild_id"]);
        match name {
            "READY" => {
                self.me = d["user"].clone();
                self.private = by_id(&d["private_channels"]).into_iter().map(|(id, object)| (id, private(&object))).collect();
                for entry in d["read_state"]["entries"].as_array().into_iter().flatten() {
                    self.acknowledge(&entry["id"], &entry["last_message_id"]);
                }
            }
            "MESSAGE_ACK" => self.acknowledge(&d["channel_id"], &d["message_id"]),
            "CHANNEL_CREATE" | "CHANNEL_UPDATE" if guild_id.is_empty() => {
                self.private.insert(text(&d["id"]), private(d));
            }
            "CHANNEL_RECIPIENT_ADD" | "CHANNEL_RECIPIENT_REMOVE" => {
                let Some(channel) = self.private.get_mut(&text(&d["channel_id"])) else { return };
                let recipients = channel["recipients"].as_array_mut().expect("a list of ids");
                let user = &d["user"]["id"];
                recipients.retain(|known| known != user);
                if name.ends_with("ADD") {
                    recipients.push(user.clone());
                    recipients.sort_by_key(text);
                }
            }
            "CHANNEL_PINS_UPDATE" => {
                let id = text(&d["channel_id"]);
                if let Some(channel) = self.place(&guild_id, &id) {
                    channel["last_pin_timestamp"] = d["last_pin_timestamp"].clone();
                }
            }
            "USER_UPDATE" => self.me = d.clone(),
            "GUILD_CREATE" => {
                self.guilds.insert(text(&d["id"]), GuildCache::read(d));
            }
            "GUILD_DELETE" => {
                if let Some(gone) = self.guilds.remove(&text(&d["id"])) {
                    gone.channels.keys().chain(gone.threads.keys()).for_each(|channel| drop(self.messages.remove(channel)));
                }
            }
            "CHANNEL_DELETE" => {
                let id = text(&d["id"]);
                self.messages.remove(&id);
                self.private.remove(&id);
                self.forget_threads(&guild_id, |thread| thread["parent_id"] == id);
                self.in_guild(&guild_id, |guild| drop(guild.channels.remove(&id)));
            }
            "THREAD_DELETE" => self.forget_threads(&guild_id, |thread| thread["id"] == d["id"]),
            "THREAD_UPDATE" if d["thread_metadata"]["archived"] == true => {
                self.forget_threads(&guild_id, |thread| thread["id"] == d["id"]);
            }
            "THREAD_LIST_SYNC" => {
                let channels = d["channel_ids"].as_array().expect("a list of ids");
                self.forget_threads(&guild_id, |thread| channels.contains(&thread["parent_id"]));
                let threads = d["threads"].as_array().expect("a list of threads");
                self.in_guild(&guild_id, |guild| {
                    guild.threads.extend(threads.iter().map(|object| (text(&object["id"]), thread(object))));
                });
            }
            "THREAD_MEMBERS_UPDATE" => {
                let me = self.me["id"].clone();
                self.in_guild(&guild_id, |guild| guild.thread_members(d, &me));
            }
            "GUILD_UPDATE" => self.in_guild(&text(&d["id"]), |guild| {
                guild.roles = by_id(&d["roles"]);
                guild.guild = without(d, &PARTS);
            }),
            "MESSAGE_CREATE" => {
                let (id, channel) = (text(&d["id"]), text(&d["channel_id"]));
                if let Some(messages) = self.messages.get_mut(&channel) {
                    messages.insert(id.clone(), message(d));
                }
                if d["author"]["id"] == self.me["id"] && d["webhook_id"].is_null() {
                    self.acknowledge(&d["channel_id"], &d["id"]);
                }
                if let Some(channel) = self.place(&guild_id, &channel) {
                    channel["last_message_id"] = json!(id);
                }
            }
            "MESSAGE_UPDATE" => self.in_message(d, &text(&d["id"]), |known| {
                let reactions = known["reactions"].take();
                *known = message(d);
                known["reactions"] = reactions;
            }),
            "MESSAGE_DELETE" => self.forget(&d["channel_id"], &d["id"]),
            "MESSAGE_DELETE_BULK" => {
                d["ids"].as_array().into_iter().flatten().for_each(|id| self.forget(&d["channel_id"], id));
            }
            _ if name.starts_with("MESSAGE_REACTION_") => self.reaction(name, d),
            _ => self.in_guild(&guild_id, |guild| guild.apply(name, d)),
        }
    }

    fn in_guild(&mut self, id: &str, change: impl FnOnce(&mut GuildCache)) {
        if let Some(guild) = self.guilds.get_mut(id) {
            change(guild);
        }
    }

    /// A channel, thread, DM or group.
    fn place(&mut self, guild: &str, id: &str) -> Option<&mut Value> {
        if guild.is_empty() {
            return self.private.get_mut(id);
        }
        let guild = self.guilds.get_mut(guild)?;
        guild.channels.get_mut(id).or(guild.threads.get_mut(id))
    }

    fn acknowledge(&mut self, channel: &Value, message: &Value) {
        if !message.is_null() {
            self.read.insert(text(channel), text(message));
        }
    }

    fn forget_threads(&mut self, guild: &str, is_gone: impl Fn(&Value) -> bool) {
        let Some(guild) = self.guilds.get_mut(guild) else { return };
        let gone: Vec<String> = guild.threads.iter().filter(|(_, thread)| is_gone(thread)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            guild.threads.remove(&id);
            self.messages.remove(&id);
        }
    }

    fn in_message(&mut self, d: &Value, id: &str, change: impl FnOnce(&mut Value)) {
        if let Some(known) = self.messages.get_mut(&text(&d["channel_id"])).and_then(|messages| messages.get_mut(id)) {
            change(known);
        }
    }

    fn forget(&mut self, channel: &Value, id: &Value) {
        if let Some(messages) = self.messages.get_mut(&text(channel)) {
            messages.remove(&text(id));
        }
    }

    fn reaction(&mut self, name: &str, d: &Value) {
        let is_mine = d["user_id"] == self.me["id"];
        let key = emoji_key(&d["emoji"]);
        self.in_message(d, &text(&d["message_id"]), |message| {
            let reactions = message["reactions"].as_object_mut().expect("a map of them");
            match name {
                "MESSAGE_REACTION_ADD" => {
                    let known = reactions.entry(key).or_insert_with(|| json!({ "count": 0, "me": false }));
                    known["count"] = json!(known["count"].as_i64().unwrap_or(0) + 1);
                    if is_mine {
                        known["me"] = json!(true);
                    }
                }
                "MESSAGE_REACTION_REMOVE" => {
                    let Some(known) = reactions.get_mut(&key) else { return };
                    let count = known["count"].as_i64().unwrap_or(0) - 1;
                    known["count"] = json!(count);
                    if is_mine {
                        known["me"] = json!(false);
                    }
                    if count <= 0 {
                        reactions.remove(&key);
                    }
                }
                "MESSAGE_REACTION_REMOVE_EMOJI" => drop(reactions.remove(&key)),
                "MESSAGE_REACTION_REMOVE_ALL" => reactions.clear(),
                _ => panic!("an event that no library knows: {name}"),
            }
        });
    }

    /// Everything but messages, in a form to compare, with only what these intents keep true.
    pub fn view(&self, intents: Intents) -> Value {
        let guilds: Map<String, Value> =
            self.guilds.iter().map(|(id, guild)| (id.clone(), guild.view(intents, &text(&self.me["id"])))).collect();
        let mut private = self.private.clone();
        if !intents.contains(Intents::DIRECT_MESSAGES) {
            for channel in private.values_mut() {
                channel["last_message_id"] = Value::Null;
                channel["last_pin_timestamp"] = Value::Null;
            }
        }
        json!({ "me": self.me, "guilds": guilds, "private": private })
    }

    /// What both know of how far channels were read. What is not seen is not told, so either may know more channels.
    pub fn reads(&self, other: &Self) -> Value {
        json!(self.read.iter().filter(|(id, _)| other.read.contains_key(*id)).collect::<BTreeMap<_, _>>())
    }
}

impl GuildCache {
    fn read(d: &Value) -> Self {
        let user = |object: &Value| text(&object["user"]["id"]);
        let list = |key: &str| d[key].as_array().into_iter().flatten();
        Self {
            guild: without(d, &PARTS),
            member_count: d["member_count"].as_i64().expect("a count"),
            roles: by_id(&d["roles"]),
            channels: by_id(&d["channels"]).into_iter().map(|(id, object)| (id, channel(&object))).collect(),
            threads: by_id(&d["threads"]).into_iter().map(|(id, object)| (id, thread(&object))).collect(),
            members: list("members").map(|object| (user(object), member(object))).collect(),
            presences: list("presences").map(|object| (user(object), presence(object))).collect(),
        }
    }

    fn apply(&mut self, name: &str, d: &Value) {
        let user = text(&d["user"]["id"]);
        match name {
            "CHANNEL_CREATE" | "CHANNEL_UPDATE" => drop(self.channels.insert(text(&d["id"]), channel(d))),
            "THREAD_CREATE" => drop(self.threads.insert(text(&d["id"]), thread(d))),
            // Only what wakes a thread says again who is in it.
            "THREAD_UPDATE" => {
                let mut new = thread(d);
                if new["member"].is_null()
                    && let Some(own) = self.threads.get(&text(&d["id"])).and_then(|known| known.get("member"))
                {
                    new["member"] = own.clone();
                }
                if new["member"].is_null() {
                    new.as_object_mut().expect("a thread").remove("member");
                }
                self.threads.insert(text(&d["id"]), new);
            }
            "GUILD_ROLE_CREATE" | "GUILD_ROLE_UPDATE" => drop(self.roles.insert(text(&d["role"]["id"]), d["role"].clone())),
            "GUILD_ROLE_DELETE" => self.remove_role(&d["role_id"]),
            "GUILD_MEMBER_ADD" => {
                self.member_count += 1;
                self.members.insert(user, member(d));
            }
            "GUILD_MEMBER_UPDATE" => drop(self.members.insert(user, member(d))),
            "GUILD_MEMBER_REMOVE" => {
                self.member_count -= 1;
                self.members.remove(&user);
                self.presences.remove(&user);
            }
            "PRESENCE_UPDATE" if d["status"] == "offline" => drop(self.presences.remove(&user)),
            "PRESENCE_UPDATE" => drop(self.presences.insert(user, presence(d))),
            "GUILD_EMOJIS_UPDATE" => self.guild["emojis"] = d["emojis"].clone(),
            _ => {}
        }
    }

    fn thread_members(&mut self, d: &Value, me: &Value) {
        let Some(thread) = self.threads.get_mut(&text(&d["id"])).and_then(Value::as_object_mut) else { return };
        if let Some(own) = d["added_members"].as_array().into_iter().flatten().find(|one| one["user_id"] == *me) {
            thread.insert("member".to_owned(), without(own, &["member", "presence"]));
        }
        if d["removed_member_ids"].as_array().is_some_and(|gone| gone.contains(me)) {
            thread.remove("member");
        }
    }

    /// A role takes itself off its members and out of overwrites.
    fn remove_role(&mut self, role: &Value) {
        self.roles.remove(&text(role));
        for member in self.members.values_mut() {
            if let Some(roles) = member["roles"].as_array_mut() {
                roles.retain(|held| held != role);
            }
        }
        for channel in self.channels.values_mut() {
            if let Some(overwrites) = channel["permission_overwrites"].as_array_mut() {
                overwrites.retain(|overwrite| overwrite["id"] != *role);
            }
        }
    }

    fn view(&self, intents: Intents, me: &str) -> Value {
        let hears_members = intents.contains(Intents::GUILD_MEMBERS);
        let members: BTreeMap<&String, &Value> = self.members.iter().filter(|(id, _)| hears_members || *id == me).collect();
        let presences = intents.contains(Intents::GUILD_PRESENCES).then_some(&self.presences);
        let mut channels = self.channels.clone();
        for channel in channels.values_mut() {
            // Only who hears messages knows the last; a voice channel's need CONNECT, too.
            if !intents.contains(Intents::GUILD_MESSAGES) || channel["type"] == 2 {
                channel["last_message_id"] = Value::Null;
            }
        }
        let mut threads = self.threads.clone();
        if !intents.contains(Intents::GUILD_MESSAGES) {
            threads.values_mut().for_each(|thread| thread["last_message_id"] = Value::Null);
        }
        let mut guild = self.guild.clone();
        if !intents.contains(Intents::GUILD_EXPRESSIONS) {
            guild["emojis"] = Value::Null;
        }
        json!({
            "guild": guild,
            "member_count": hears_members.then_some(self.member_count),
            "roles": self.roles,
            "channels": channels,
            "threads": threads,
            "members": members,
            "presences": presences,
        })
    }
}

/// The first places where two values differ, for people.
pub fn differences(cached: &Value, fresh: &Value) -> Vec<String> {
    fn walk(path: &str, cached: &Value, fresh: &Value, found: &mut Vec<String>) {
        if cached == fresh || found.len() > 5 {
            return;
        }
        let (Value::Object(left), Value::Object(right)) = (cached, fresh) else {
            return found.push(format!("{path}: cached {cached}, fresh {fresh}"));
        };
        let keys: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        for key in keys {
            let side = |object: &Map<String, Value>| object.get(key).cloned().unwrap_or(json!("(absent)"));
            walk(&format!("{path}/{key}"), &side(left), &side(right), found);
        }
    }
    let mut found = Vec::new();
    walk("", cached, fresh, &mut found);
    found
}
