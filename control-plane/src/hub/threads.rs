//! News of threads. Who hears them follows from the parent's rights; of a private thread only those in it, and who manages
//! threads.

use super::core::Core;
use super::seats::{Room, Seat};
use crate::event::Event;
use crate::gateway::mailbox::Dispatch;
use crate::guild::{Active, Viewers};
use guildhall_protocol::gateway::Intents;
use guildhall_protocol::model::{Member, Thread, ThreadMember};
use guildhall_protocol::{ChannelId, GuildId, Permissions, UserId};
use serde::Serialize;
use serde_json::{Value, json};
use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::Arc;

/// A thread as one session is told of it.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    #[serde(flatten)]
    thread: &'a Thread,
    #[serde(skip_serializing_if = "Option::is_none")]
    newly_created: Option<bool>,
    /// The reader's own membership.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'a ThreadMember>,
}

impl<'a> Told<'a> {
    pub(super) fn to(user: UserId, active: &'a Active) -> Self {
        Self { thread: &active.thread, newly_created: None, member: active.members.get(&user) }
    }
}

/// A thread's membership with the guild's.
#[derive(Serialize)]
struct Joined<'a> {
    #[serde(flatten)]
    own: &'a ThreadMember,
    member: Option<&'a Member>,
    presence: Option<Value>,
}

/// Which of the users with a session here hold these rights in the thread.
fn viewers_of(room: &Room, thread: &Thread) -> HashMap<UserId, bool> {
    let mut viewers = Viewers::of_thread(&room.state, thread, Permissions::VIEW_CHANNEL);
    let mut seen = HashMap::with_capacity(room.seats.len());
    for seat in &room.seats {
        seen.entry(seat.user_id).or_insert_with(|| viewers.include(seat.user_id));
    }
    seen
}

impl Core {
    pub(super) fn thread_create(&mut self, thread: &Thread, event: &Event) {
        self.apply(thread.guild_id, event);
        self.know_channel(thread.id, thread.guild_id);
        let Some(room) = self.rooms.get(&thread.guild_id) else { return };
        let Some(active) = room.state.thread(thread.id) else { return };
        let mut viewers = Viewers::of(&room.state, thread.id, Permissions::VIEW_CHANNEL);
        let told = |member| Dispatch::new("THREAD_CREATE", &Told { thread: &active.thread, newly_created: Some(true), member });
        let shared = LazyCell::new(|| told(None));
        for seat in room.seats.iter().filter(|seat| seat.wants(Intents::GUILDS)) {
            if viewers.include(seat.user_id) {
                let own = active.members.get(&seat.user_id).map(|own| told(Some(own)));
                seat.push(own.as_ref().unwrap_or(&shared), &mut self.lost);
            }
        }
    }

    pub(super) fn thread_update(&mut self, thread: &Thread, event: &Event) {
        // A thread that is archived is forgotten by this very event: who saw it is asked before.
        let before = self.rooms.get(&thread.guild_id).map(|room| viewers_of(room, thread));
        self.apply(thread.guild_id, event);
        if thread.thread_metadata.archived {
            self.forget_thread(thread.guild_id, thread.id);
        } else {
            self.know_channel(thread.id, thread.guild_id);
        }
        let Some(room) = self.rooms.get(&thread.guild_id) else { return };
        let viewers = if thread.thread_metadata.archived { before.unwrap_or_default() } else { viewers_of(room, thread) };
        let active = room.state.thread(thread.id);
        let is_woken = matches!(event, Event::ThreadUpdate { woken: Some(_), .. });
        let shown = active.map_or(thread, |active| &active.thread);
        let told = |member| Dispatch::new("THREAD_UPDATE", &Told { thread: shown, newly_created: None, member });
        let shared = LazyCell::new(|| told(None));
        for seat in room.seats.iter().filter(|seat| seat.wants(Intents::GUILDS)) {
            if viewers.get(&seat.user_id) == Some(&true) {
                // Clients forget archived threads, and with them that they are in one.
                let own = active.filter(|_| is_woken).and_then(|active| active.members.get(&seat.user_id));
                let own = own.map(|own| told(Some(own)));
                seat.push(own.as_ref().unwrap_or(&shared), &mut self.lost);
            }
        }
    }

    pub(super) fn thread_delete(&mut self, thread: &Thread, event: &Event) {
        if let Some(room) = self.rooms.get(&thread.guild_id) {
            let mut viewers = Viewers::of_thread(&room.state, thread, Permissions::VIEW_CHANNEL);
            let gone = gone(thread);
            room.tell(&mut self.lost, |seat| (seat.wants(Intents::GUILDS) && viewers.include(seat.user_id)).then_some(&gone));
        }
        self.apply(thread.guild_id, event);
        self.forget_thread(thread.guild_id, thread.id);
    }

    fn forget_thread(&mut self, guild: GuildId, thread: ChannelId) {
        self.forget_channel(thread);
        if let Some(room) = self.rooms.get_mut(&guild) {
            room.channel_seqs.remove(&thread);
        }
    }

    /// To those in the guild who see the thread and asked for members, and to whom it is about in any case: these also get a
    /// private thread itself, or lose it.
    pub(super) fn thread_members_update(&mut self, event: &Event) {
        let Event::ThreadMembersUpdate { guild_id, thread_id, member_count, added, removed } = event else { return };
        let Some(room) = self.rooms.get(guild_id) else { return };
        let Some(thread) = room.state.thread(*thread_id).map(|active| active.thread.clone()) else { return };
        let before = viewers_of(room, &thread);
        self.apply(*guild_id, event);
        let Some(room) = self.rooms.get(guild_id) else { return };
        let Some(thread) = room.state.thread(*thread_id) else { return };
        let after = viewers_of(room, &thread.thread);
        let joined = added.iter().map(|own| Joined {
            own,
            member: room.state.member(own.user_id),
            presence: self.presence_in(*guild_id, own.user_id),
        });
        let update = json!({
            "id": thread_id,
            "guild_id": guild_id,
            "member_count": member_count,
            "added_members": joined.collect::<Vec<_>>(),
            "removed_member_ids": removed,
        });
        let update = Dispatch::new("THREAD_MEMBERS_UPDATE", &update);
        let concerns = |user: &UserId| removed.contains(user) || added.iter().any(|own| own.user_id == *user);
        for seat in room.seats.iter().filter(|seat| seat.wants(Intents::GUILDS)) {
            let user = &seat.user_id;
            let (saw, sees) = (before.get(user) == Some(&true), after.get(user) == Some(&true));
            if sees && !saw {
                seat.push(&Dispatch::new("THREAD_CREATE", &Told::to(*user, thread)), &mut self.lost);
            }
            if (saw || sees) && (seat.wants(Intents::GUILD_MEMBERS) || concerns(user)) {
                seat.push(&update, &mut self.lost);
            }
            if saw && !sees {
                seat.push(&gone(&thread.thread), &mut self.lost);
            }
        }
    }
}

/// THREAD_DELETE.
pub(super) fn gone(thread: &Thread) -> Arc<Dispatch> {
    let d = json!({ "id": thread.id, "guild_id": thread.guild_id, "parent_id": thread.parent_id, "type": thread.kind });
    Dispatch::new("THREAD_DELETE", &d)
}

/// THREAD_CREATE for a thread that someone may see now, though it is not new.
pub(super) fn appeared(user: UserId, active: &Active) -> Arc<Dispatch> {
    Dispatch::new("THREAD_CREATE", &Told::to(user, active))
}

/// THREAD_LIST_SYNC: the active threads of channels that a user sees now and did not before. `None`: there are none.
pub(super) fn list_sync(room: &Room, seat: &Seat, channels: &[ChannelId]) -> Option<Arc<Dispatch>> {
    let threads = room.state.threads_seen_by(seat.user_id, |parent| channels.contains(&parent));
    if threads.is_empty() {
        return None;
    }
    let own: Vec<&ThreadMember> = threads.iter().filter_map(|active| active.members.get(&seat.user_id)).collect();
    let threads: Vec<Told> = threads.iter().map(|active| Told::to(seat.user_id, active)).collect();
    let d = json!({ "guild_id": room.state.id(), "channel_ids": channels, "threads": threads, "members": own });
    Some(Dispatch::new("THREAD_LIST_SYNC", &d))
}
