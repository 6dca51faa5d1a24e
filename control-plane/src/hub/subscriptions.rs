//! Op 14 and 37: people's clients subscribe to the part of a member list that is on their screen.
//!
//! Sessions that look at the same part of the same list share a window. When something changed in a guild, each of its
//! windows is brought up to date at most once a second, by operations or as a whole; a body is encoded once for all who look.

use super::core::{Core, Moment, SessionKey};
use super::lists::{Line, List, Op, Shown, changes, list_id};
use super::seats::Room;
use crate::gateway::mailbox::Dispatch;
use crate::guild::Viewers;
use guildhall_protocol::gateway::GuildSubscription;
use guildhall_protocol::{ChannelId, GuildId, Permissions};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a guild's lists are brought up to date.
pub const REFRESH: Duration = Duration::from_secs(1);

/// A part of a list, and who looks at it.
pub struct Window {
    list: String,
    /// A channel whose list it is; others may share it.
    channel: ChannelId,
    ranges: Vec<(usize, usize)>,
    lookers: Vec<SessionKey>,
    groups: Vec<super::lists::Group>,
    /// What was sent, range by range.
    shown: Vec<Vec<Shown>>,
    /// Of the counts that were sent with it.
    summary: Value,
}

/// The windows of one guild.
#[derive(Default)]
pub struct Windows {
    windows: Vec<Window>,
    refreshed_at: Option<Instant>,
}

impl Windows {
    pub fn remove(&mut self, key: SessionKey) {
        for window in &mut self.windows {
            window.lookers.retain(|looker| *looker != key);
        }
        self.windows.retain(|window| !window.lookers.is_empty());
    }

    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }
}

impl Core {
    /// Takes what a session looks at in a guild, instead of what it looked at before, and sends it.
    pub fn subscribe(&mut self, key: SessionKey, subscription: GuildSubscription, at: Moment) {
        let GuildSubscription { guild_id, channels } = subscription;
        let Some(channels) = channels else { return };
        let Some(seat) = self.rooms.get(&guild_id).and_then(|room| room.seats.iter().find(|seat| seat.key == key)) else {
            return;
        };
        let user = seat.user_id;
        // Who shares a window with the newcomer is brought to the state that the newcomer gets.
        self.refresh_lists(guild_id, at);
        let Some(mut windows) = self.rooms.get_mut(&guild_id).map(|room| std::mem::take(&mut room.windows)) else { return };
        windows.remove(key);
        for (channel, ranges) in channels {
            let Some(room) = self.rooms.get(&guild_id) else { break };
            let Some(object) = room.state.channel(channel) else { continue };
            if !Viewers::of(&room.state, channel, Permissions::VIEW_CHANNEL).include(user) {
                continue;
            }
            let list_id = list_id(&room.state, object);
            let known = windows.windows.iter().position(|window| window.list == list_id && window.ranges == ranges);
            let index = known.unwrap_or_else(|| {
                let mut window = Window {
                    list: list_id,
                    channel,
                    ranges,
                    lookers: Vec::new(),
                    groups: Vec::new(),
                    shown: Vec::new(),
                    summary: Value::Null,
                };
                let list = List::of(&room.state, channel, |user| self.is_online(user));
                self.bring_up(room, &mut window, &list);
                windows.windows.push(window);
                windows.windows.len() - 1
            });
            let window = &mut windows.windows[index];
            if !window.lookers.contains(&key) {
                window.lookers.push(key);
            }
            let sync = self.sync(room, window);
            self.tell_session(key, &sync);
        }
        if let Some(room) = self.rooms.get_mut(&guild_id) {
            room.windows = windows;
        }
        self.sweep(at);
    }

    /// Something changed that a member list may show.
    pub(crate) fn lists_changed(&mut self, guild: GuildId) {
        if self.rooms.get(&guild).is_some_and(|room| !room.windows.is_empty()) {
            self.stale_lists.insert(guild);
        }
    }

    pub fn has_stale_lists(&self) -> bool {
        !self.stale_lists.is_empty()
    }

    /// Brings the lists up to date whose time has come.
    pub(super) fn refresh_stale_lists(&mut self, at: Moment) {
        let is_due = |guild: &GuildId| {
            let refreshed_at = self.rooms.get(guild).and_then(|room| room.windows.refreshed_at);
            refreshed_at.is_none_or(|before| at.now.duration_since(before) >= REFRESH)
        };
        let due: Vec<GuildId> = self.stale_lists.iter().copied().filter(is_due).collect();
        for guild in due {
            self.refresh_lists(guild, at);
        }
    }

    fn refresh_lists(&mut self, guild: GuildId, at: Moment) {
        if !self.stale_lists.remove(&guild) {
            return;
        }
        let Some(mut windows) = self.rooms.get_mut(&guild).map(|room| std::mem::take(&mut room.windows)) else { return };
        windows.refreshed_at = Some(at.now);
        let Some(room) = self.rooms.get(&guild) else { return };
        let mut lists: HashMap<ChannelId, List> = HashMap::new();
        let mut told: Vec<(SessionKey, Arc<Dispatch>)> = Vec::new();
        for window in &mut windows.windows {
            self.dismiss(room, window, &mut told);
            if window.lookers.is_empty() {
                continue;
            }
            let list =
                lists.entry(window.channel).or_insert_with(|| List::of(&room.state, window.channel, |user| self.is_online(user)));
            if let Some(dispatch) = self.bring_up(room, window, list) {
                told.extend(window.lookers.iter().map(|looker| (*looker, dispatch.clone())));
            }
        }
        windows.windows.retain(|window| !window.lookers.is_empty());
        for (key, dispatch) in told {
            self.tell_session(key, &dispatch);
        }
        if let Some(room) = self.rooms.get_mut(&guild) {
            room.windows = windows;
        }
    }

    /// Lets go of those who may not look any more, or all if the channel is not what it was: their client subscribes anew.
    fn dismiss(&self, room: &Room, window: &mut Window, told: &mut Vec<(SessionKey, Arc<Dispatch>)>) {
        let is_same = room.state.channel(window.channel).is_some_and(|channel| list_id(&room.state, channel) == window.list);
        let mut viewers = Viewers::of(&room.state, window.channel, Permissions::VIEW_CHANNEL);
        let (list, ranges) = (&window.list, &window.ranges);
        window.lookers.retain(|key| {
            let stays = is_same && self.sessions.get(key).is_some_and(|session| viewers.include(session.user_id));
            if !stays {
                let ops: Vec<Value> = ranges.iter().map(|range| json!({ "op": "INVALIDATE", "range": range })).collect();
                let d = json!({
                    "guild_id": room.state.id(), "id": list, "member_count": 0, "online_count": 0, "groups": [], "ops": ops,
                });
                told.push((*key, Dispatch::new("GUILD_MEMBER_LIST_UPDATE", &d)));
            }
            stays
        });
    }

    /// Takes the list's present state into the window; what to tell those who look, if it differs from what they have.
    fn bring_up(&self, room: &Room, window: &mut Window, list: &List) -> Option<Arc<Dispatch>> {
        let shown: Vec<Vec<Shown>> = window
            .ranges
            .iter()
            .map(|range| list.window(*range).iter().map(|line| (line.clone(), self.hash_of(room, line))).collect())
            .collect();
        let summary = list.summary();
        if window.groups == list.groups && window.shown == shown && window.summary == summary {
            return None;
        }
        // Operations shift what comes after them, so they are for one window only; the rest is sent whole.
        let ops = match (&window.ranges[..], &window.shown[..], &shown[..]) {
            ([(first, _)], [before], [after]) if window.groups == list.groups => changes(*first, before, after),
            _ => None,
        };
        window.groups.clone_from(&list.groups);
        (window.shown, window.summary) = (shown, summary);
        let Some(ops) = ops else { return Some(self.sync(room, window)) };
        let ops = ops.iter().map(|op| match op {
            Op::Insert(index, line) => json!({ "op": "INSERT", "index": index, "item": self.item(room, window, line) }),
            Op::Update(index, line) => json!({ "op": "UPDATE", "index": index, "item": self.item(room, window, line) }),
            Op::Delete(index) => json!({ "op": "DELETE", "index": index }),
        });
        let ops = ops.collect();
        Some(update(room, window, ops))
    }

    /// The whole of a window.
    fn sync(&self, room: &Room, window: &Window) -> Arc<Dispatch> {
        let sync = |(range, shown): (&(usize, usize), &Vec<Shown>)| {
            let items: Vec<Value> = shown.iter().map(|(line, _)| self.item(room, window, line)).collect();
            json!({ "op": "SYNC", "range": range, "items": items })
        };
        let ops = window.ranges.iter().zip(&window.shown).map(sync).collect();
        update(room, window, ops)
    }

    fn item(&self, room: &Room, window: &Window, line: &Line) -> Value {
        let Some(user) = line.user else {
            let id = window.groups[line.group].id();
            let counts = window.summary["groups"].as_array().into_iter().flatten();
            let count = counts.filter(|group| group["id"] == id).map(|group| group["count"].clone()).next();
            return json!({ "group": { "id": id, "count": count } });
        };
        let mut member = json!(room.state.member(user));
        member["presence"] = match self.accounts.get(&user) {
            Some(account) => account.shown.object(room.state.id(), user),
            None => crate::presence::Shown::default().object(room.state.id(), user),
        };
        json!({ "member": member })
    }

    /// Changes when a line shows something else. A heading's count is in the summary.
    fn hash_of(&self, room: &Room, line: &Line) -> u64 {
        let mut hasher = DefaultHasher::new();
        if let Some(user) = line.user {
            json!(room.state.member(user)).to_string().hash(&mut hasher);
            if let Some(account) = self.accounts.get(&user) {
                account.shown.status.name().hash(&mut hasher);
                json!(account.shown.activities).to_string().hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn tell_session(&mut self, key: SessionKey, dispatch: &Arc<Dispatch>) {
        if self.sessions.get(&key).is_some_and(|session| !session.link.push(dispatch.clone())) {
            self.lost.push(key);
        }
    }
}

fn update(room: &Room, window: &Window, ops: Vec<Value>) -> Arc<Dispatch> {
    let mut d = window.summary.clone();
    d["guild_id"] = json!(room.state.id());
    d["id"] = json!(window.list);
    d["ops"] = json!(ops);
    Dispatch::new("GUILD_MEMBER_LIST_UPDATE", &d)
}
