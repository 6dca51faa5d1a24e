//! One guild in memory: roles, channels, overwrites, members and who is in voice.
//!
//! A pure machine: the store gives a [`Snapshot`], committed events move it on, and everything that asks "may this user"
//! (handlers, fan-out, voice) asks here. It never reads a clock: whoever asks says what time it is, because a timeout ends
//! without an event.

mod classes;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
mod threads;
mod views;

pub use threads::Active;
pub use views::{Viewers, Views};

use crate::event::Event;
use classes::{ClassId, Classes};
use guildhall_protocol::model::{Channel, Guild, Member, Role, User, VoiceState, parse_timestamp};
use guildhall_protocol::permissions::{Rank, Standing, channel_permissions, guild_permissions};
use guildhall_protocol::{ChannelId, GuildId, Permissions, RoleId, UserId};
use std::collections::{BTreeMap, HashMap};

/// A guild as the store holds it, with the sequence number of the guild topic's last event that it contains.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// With its roles, `@everyone` among them.
    pub guild: Guild,
    pub channels: Vec<Channel>,
    /// Those that are not archived.
    pub threads: Vec<Active>,
    pub members: Vec<Member>,
    pub seq: u64,
}

#[derive(Debug)]
pub struct State {
    guild: Guild,
    /// In id order, so that what clients are sent does not depend on a hash.
    channels: BTreeMap<ChannelId, Channel>,
    threads: BTreeMap<ChannelId, Active>,
    members: HashMap<UserId, Seat>,
    classes: Classes,
    voice_states: BTreeMap<UserId, VoiceState>,
}

#[derive(Debug)]
struct Seat {
    member: Member,
    /// Its role set: members of one class see the same, apart from the owner and from overwrites that name a member.
    class: ClassId,
}

impl State {
    pub fn new(snapshot: Snapshot) -> Self {
        let mut state = Self {
            guild: snapshot.guild,
            channels: snapshot.channels.into_iter().map(|channel| (channel.id, channel)).collect(),
            threads: snapshot.threads.into_iter().map(|active| (active.thread.id, active)).collect(),
            members: HashMap::with_capacity(snapshot.members.len()),
            classes: Classes::default(),
            voice_states: BTreeMap::new(),
        };
        for member in snapshot.members {
            state.put_member(member);
        }
        state
    }

    pub fn id(&self) -> GuildId {
        self.guild.id
    }

    /// With its roles.
    pub fn guild(&self) -> &Guild {
        &self.guild
    }

    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.channels.get(&id)
    }

    /// In id order.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    pub fn role(&self, id: RoleId) -> Option<&Role> {
        self.guild.roles.iter().find(|role| role.id == id)
    }

    pub fn member(&self, id: UserId) -> Option<&Member> {
        self.members.get(&id).map(|seat| &seat.member)
    }

    pub fn is_member(&self, id: UserId) -> bool {
        self.members.contains_key(&id)
    }

    /// In no particular order.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(|seat| &seat.member)
    }

    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// What the user may do in the guild; nothing if not a member.
    pub fn permissions(&self, user: UserId, now_unix_ms: u64) -> Permissions {
        self.standing(user, now_unix_ms)
            .map_or(Permissions::NONE, |standing| guild_permissions(&standing, |id| self.role_permissions(id)))
    }

    /// What the user may do in the channel; nothing if not a member or if there is no such channel.
    pub fn channel_permissions(&self, user: UserId, channel: ChannelId, now_unix_ms: u64) -> Permissions {
        let (Some(standing), Some(channel)) = (self.standing(user, now_unix_ms), self.channel(channel)) else {
            return Permissions::NONE;
        };
        channel_permissions(&standing, |id| self.role_permissions(id), channel.kind, &channel.permission_overwrites)
    }

    /// How high the member stands; `None` if not a member.
    pub fn rank(&self, user: UserId) -> Option<Rank> {
        // A timeout does not change a rank, so the time does not matter here.
        let standing = self.standing(user, 0)?;
        Some(Rank::of_member(&standing, |id| self.role(id).map(|role| role.position)))
    }

    /// The member's place in the permission algebra; `None` if not a member.
    pub fn standing(&self, user: UserId, now_unix_ms: u64) -> Option<Standing<'_>> {
        let member = self.member(user)?;
        let timed_out_until = member.communication_disabled_until.as_deref().and_then(parse_timestamp);
        Some(Standing {
            guild_id: self.guild.id,
            owner_id: self.guild.owner_id,
            user_id: user,
            member_roles: &member.roles,
            is_timed_out: timed_out_until.is_some_and(|until| until > now_unix_ms),
        })
    }

    /// Where the user is connected in this guild.
    pub fn voice_state(&self, user: UserId) -> Option<&VoiceState> {
        self.voice_states.get(&user)
    }

    /// Everyone who is connected, in user order.
    pub fn voice_states(&self) -> impl Iterator<Item = &VoiceState> {
        self.voice_states.values()
    }

    pub fn voice_states_in(&self, channel: ChannelId) -> impl Iterator<Item = &VoiceState> {
        self.voice_states.values().filter(move |state| state.channel_id == Some(channel))
    }

    /// A state whose channel is `None` says that the user left.
    pub fn set_voice_state(&mut self, state: VoiceState) {
        if state.channel_id.is_some() {
            self.voice_states.insert(state.user_id, state);
        } else {
            self.voice_states.remove(&state.user_id);
        }
    }

    /// Moves on by one committed event of this guild. Applying an event twice is harmless.
    pub fn apply(&mut self, event: &Event) {
        self.apply_to_threads(event);
        match event {
            Event::GuildUpdate { guild } => {
                // Roles have events of their own; an update that carries none must not lose them.
                let roles = if guild.roles.is_empty() { std::mem::take(&mut self.guild.roles) } else { guild.roles.clone() };
                self.guild = Guild { roles, ..(**guild).clone() };
            }
            Event::ChannelCreate { channel } | Event::ChannelUpdate { channel } => {
                self.channels.insert(channel.id, (**channel).clone());
            }
            Event::ChannelDelete { channel } => {
                self.channels.remove(&channel.id);
            }
            Event::RoleCreate { role, .. } | Event::RoleUpdate { role, .. } => self.put_role((**role).clone()),
            Event::RoleDelete { role_id, .. } => self.remove_role(*role_id),
            Event::MemberAdd { member, .. } | Event::MemberUpdate { member, .. } => self.put_member((**member).clone()),
            Event::MemberRemove { user, .. } => self.remove_member(user.id),
            Event::MessageCreate { message, .. } => {
                if let Some(channel) = self.channels.get_mut(&message.channel_id) {
                    channel.last_message_id = channel.last_message_id.max(Some(message.id));
                }
            }
            Event::ChannelPinsUpdate { channel_id, last_pin_timestamp, .. } => {
                if let Some(channel) = self.channels.get_mut(channel_id) {
                    channel.last_pin_timestamp.clone_from(last_pin_timestamp);
                }
            }
            Event::EmojisUpdate { emojis, .. } => self.guild.emojis.clone_from(emojis),
            Event::UserUpdate { user } => self.update_user(user),
            // The hub makes and drops whole guilds, threads are moved on by themselves; the rest changes nothing that is kept here.
            Event::GuildCreate { .. }
            | Event::GuildDelete { .. }
            | Event::BanAdd { .. }
            | Event::BanRemove { .. }
            | Event::ThreadCreate { .. }
            | Event::ThreadUpdate { .. }
            | Event::ThreadDelete { .. }
            | Event::ThreadMembersUpdate { .. }
            | Event::InviteCreate { .. }
            | Event::InviteDelete { .. }
            | Event::WebhooksUpdate { .. }
            | Event::AuditEntryCreate { .. }
            | Event::MessageUpdate { .. }
            | Event::MessageDelete { .. }
            | Event::MessageDeleteBulk { .. }
            | Event::ReactionAdd { .. }
            | Event::ReactionRemove { .. }
            | Event::ReactionRemoveEmoji { .. }
            | Event::ReactionRemoveAll { .. }
            | Event::PrivateChannel { .. }
            | Event::Personal { .. }
            | Event::Access { .. } => {}
        }
    }

    fn role_permissions(&self, id: RoleId) -> Option<Permissions> {
        self.role(id).map(|role| role.permissions)
    }

    fn put_role(&mut self, role: Role) {
        match self.guild.roles.iter_mut().find(|known| known.id == role.id) {
            Some(known) => *known = role,
            None => self.guild.roles.push(role),
        }
    }

    /// A role takes its overwrites with it, and its members lose it, without an event for each of them.
    fn remove_role(&mut self, id: RoleId) {
        self.guild.roles.retain(|role| role.id != id);
        for channel in self.channels.values_mut() {
            channel.permission_overwrites.retain(|overwrite| RoleId(overwrite.id) != id);
        }
        for seat in self.members.values_mut() {
            if seat.member.roles.contains(&id) {
                seat.member.roles.retain(|role| *role != id);
                let class = self.classes.enter(&seat.member.roles);
                self.classes.leave(std::mem::replace(&mut seat.class, class));
            }
        }
    }

    fn put_member(&mut self, member: Member) {
        let class = self.classes.enter(&member.roles);
        if let Some(before) = self.members.insert(member.user.id, Seat { member, class }) {
            self.classes.leave(before.class);
        }
    }

    fn remove_member(&mut self, id: UserId) {
        self.leave_threads(id);
        if let Some(seat) = self.members.remove(&id) {
            self.classes.leave(seat.class);
        }
    }

    fn update_user(&mut self, user: &User) {
        if let Some(seat) = self.members.get_mut(&user.id) {
            seat.member.user = user.clone();
        }
    }
}
