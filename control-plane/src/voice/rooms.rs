//! Where rooms live, and what the nodes say of the people in them.
//!
//! A room moves make-before-break where the client can: everyone is told the new place, the old node goes on forwarding, and
//! people are taken off it when all of them have settled at the new one (or after ten seconds). A client that talks and
//! listens on both until then misses nothing; clients that let go of the old connection first, as libraries do, lose what
//! that takes them. When a node is lost the same words are said, and the old node is not there.

#[cfg(test)]
mod tests;

use super::{Door, OLD_CLAIM, participant};
use crate::fleet::lines::{Errand, LineId};
use crate::fleet::rooms::{Seeker, Spot};
use crate::guild::{self};
use crate::hub::core::{Core, Moment};
use crate::hub::seats::Room;
use crate::store::NodeOrder;
use guildhall_fleet::registry::RegistryError;
use guildhall_fleet::{NodeId, Reach, RegionId};
use guildhall_protocol::fleet::{Epoch, FromNode, Hello, Participant, RecordingOrder, Secret, Sitting, ToNode};
use guildhall_protocol::model::{ChannelType, VoiceState};
use guildhall_protocol::{ChannelId, GuildId, Permissions, UserId};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long voice states wait for a node to confirm them that no gateway session answers for: those that this process took over
/// from the one before (nodes dial again within seconds), and those of streams, whose programs are on their way to their node.
pub const UNCLAIMED: Duration = Duration::from_secs(20);

/// Rooms of a busy node that are looked at in one step: if none of the smallest finds a place, a larger one hardly does.
const RELIEF_TRIES: usize = 32;

/// A voice state that waits for its node's word.
pub struct Unclaimed {
    guild: GuildId,
    user: UserId,
    session_id: String,
    until: Instant,
}

impl Core {
    /// A node is on the line: what it says of itself, and who sits there. Their guilds are loaded, if they exist.
    pub fn node_arrived(
        &mut self,
        hello: Hello,
        rooms: &[(ChannelId, Epoch)],
        sittings: Vec<Sitting>,
        voice_key: Secret,
        bell: Arc<Notify>,
        at: Moment,
    ) -> Result<LineId, RegistryError> {
        let now = self.fleet.millis(at.now);
        let (line, is_new) = self.fleet.hello(now, hello, rooms, bell)?;
        self.fleet.tell(&line.node, ToNode::Welcome { voice_key });
        if is_new && let Some(order) = self.fleet.order(&line.node) {
            self.follow_order(&line.node, Some(order), at);
        }
        let issuer = self.fleet.issuer();
        let tokens: HashSet<u64> = sittings.iter().map(|sitting| sitting.token_id).collect();
        for sitting in sittings.into_iter().filter(|sitting| sitting.issuer == issuer) {
            if !self.is_owner(&line.node, &sitting) {
                // The room is another's by now, and the node was told so.
                continue;
            }
            if self.seated(&sitting.participant).is_some() {
                self.sat_down(&line.node, sitting, at);
            } else if is_new {
                self.adopt(&line.node, sitting, at);
            } else {
                // They left while the node could not be told.
                self.send_off(&line.node, sitting, at);
            }
        }
        if !is_new {
            self.leave_unless(&line.node, &tokens, at);
        }
        self.sweep(at);
        Ok(line)
    }

    /// The line is over; the node may dial again.
    pub fn node_gone(&mut self, line: &LineId, at: Moment) {
        let now = self.fleet.millis(at.now);
        self.fleet.line_ended(now, line);
    }

    /// What a voice node reports. Words of a line that is over are not heard: the next one begins with everything.
    pub fn from_node(&mut self, line: &LineId, message: FromNode, at: Moment) {
        if !self.fleet.is_current(line) {
            return;
        }
        let (now, node) = (self.fleet.millis(at.now), &line.node);
        match message {
            FromNode::Hello { .. } => tracing::warn!(%node, "a node said hello twice"),
            FromNode::Alive => self.fleet.alive(now, node),
            FromNode::Load(load) => self.fleet.load(now, node, load),
            FromNode::Opened { room, epoch } => {
                if self.fleet.opened(now, node, room, epoch) {
                    self.call_everyone(room, at);
                }
            }
            FromNode::Ended { room, epoch } => {
                let is_wanted = self.members_of(room).next().is_some();
                self.fleet.ended(node, room, epoch, is_wanted);
            }
            FromNode::Joined(sitting) => {
                let (room, epoch) = (sitting.participant.channel_id, sitting.epoch);
                if self.fleet.opened(now, node, room, epoch) {
                    self.call_everyone(room, at);
                }
                if self.is_owner(node, &sitting) && sitting.issuer == self.fleet.issuer() {
                    self.sat_down(node, sitting, at);
                }
            }
            // Only the present connection's end is a leave; that of one before it says nothing new.
            FromNode::Left(sitting) => {
                let is_present =
                    |seated: &mut super::Seated| (seated.connection, seated.epoch) == (Some(sitting.token_id), sitting.epoch);
                // By a token of the control plane that their session has come from.
                let is_taken = |seated: &mut super::Seated| seated.connection.is_none();
                if sitting.issuer != self.fleet.issuer() {
                    self.orphan_left(&sitting.participant, at);
                    if self.seated(&sitting.participant).is_some_and(is_taken) {
                        self.leave_voice(sitting.participant.guild_id, sitting.participant.user_id, at);
                    }
                } else if self.seated(&sitting.participant).is_some_and(is_present) {
                    self.leave_voice(sitting.participant.guild_id, sitting.participant.user_id, at);
                }
            }
            FromNode::Leaving { within_ms } => {
                let sizes = self.sizes(node);
                self.fleet.leaving(now, node, within_ms, |room| sizes.get(&room).copied().unwrap_or_default());
            }
            // The hub has taken it where it belongs.
            FromNode::Recorded(_) | FromNode::Recording { .. } => {}
            FromNode::Goodbye => self.fleet.goodbye(now, node),
        }
        self.sweep(at);
    }

    /// Whether there is anybody in the room, at a node that could record it.
    pub fn is_meeting(&self, room: ChannelId) -> bool {
        self.fleet.lease(room).is_some() && self.members_of(room).next().is_some()
    }

    /// Whether it is known that nobody is in the room.
    pub fn is_deserted(&self, room: ChannelId) -> bool {
        let is_known = self.channel_guild(room).is_some_and(|guild| self.guild(guild).is_some());
        is_known && self.members_of(room).next().is_none()
    }

    /// Has the room's node record it, or go on, or end.
    pub fn record(&mut self, record: RecordingOrder) {
        if let Some((node, _)) = self.fleet.lease(record.room) {
            let node = node.clone();
            self.fleet.tell(&node, ToNode::Record(record));
        }
    }

    /// What the carrier of a node's messages does next.
    pub fn errand(&mut self, line: &LineId) -> Errand {
        self.fleet.errand(line)
    }

    /// Finds lost nodes and places rooms; whom that concerns is called by [`Core::call_next`].
    pub fn tick_fleet(&mut self, draw: u64, at: Moment) {
        let now = self.fleet.millis(at.now);
        for room in self.fleet.tick(now) {
            let Some((guild, _)) = self.own_members_of(room).next() else {
                // Rooms of others' people are others' to place. What lives with a node lives on, whoever of it is known here.
                let is_over =
                    self.is_deserted(room) || self.members_of(room).next().is_none() && self.fleet.is_without_node(room);
                if is_over {
                    self.fleet.release(room);
                }
                continue;
            };
            if self.settle_room(guild, room, spread(draw, room), None, at).is_none()
                && self.fleet.is_without_node(room)
                && !self.fleet.is_told_to_wait(room)
            {
                let members: Vec<(GuildId, UserId)> =
                    self.own_members_of(room).map(|(guild, state)| (guild, state.user_id)).collect();
                members.into_iter().for_each(|(guild, user)| self.tell_to_wait(guild, user));
            }
        }
        self.relieve(draw, at);
        for room in self.fleet.moving() {
            self.end_move(room, at);
        }
        while self.unclaimed.front().is_some_and(|waiting| waiting.until <= at.now) {
            let Some(Unclaimed { guild, user, session_id, .. }) = self.unclaimed.pop_front() else { break };
            let is_there =
                self.rooms.get(&guild).and_then(|room| room.seated.get(&user)).is_some_and(|it| it.connection.is_some());
            if !is_there {
                self.leave_voice_of_session(guild, user, &session_id, at);
            }
        }
        self.sweep(at);
    }

    /// Moves a room away from a node that has too much to do, if there is one and the room is to go by now: the smallest that can.
    fn relieve(&mut self, draw: u64, at: Moment) {
        let now = self.fleet.millis(at.now);
        let planes = self.siblings.count() as u32 + 1;
        let Some(node) = self.fleet.to_relieve(now, planes) else { return };
        let mut rooms: Vec<(u32, ChannelId)> = self.sizes(&node).into_iter().map(|(room, people)| (people, room)).collect();
        rooms.retain(|(people, room)| *people > 0 && self.fleet.may_be_relieved(now, *room) && self.is_ours_to_relieve(*room));
        rooms.sort_unstable();
        for (_, room) in rooms.into_iter().take(RELIEF_TRIES) {
            let Some((guild, _)) = self.members_of(room).next() else { continue };
            let (members, wish) = self.facts(guild, room);
            let seeker = Seeker { room, members: &members, wish: wish.as_ref(), draw: spread(draw, room) };
            if self.fleet.relieve(now, at.unix_ms, seeker) {
                return self.call_everyone(room, at);
            }
        }
    }

    /// One control plane decides on the room: the one that looks after the first of its people.
    fn is_ours_to_relieve(&self, room: ChannelId) -> bool {
        let first = self.members_of(room).min_by_key(|(_, state)| state.user_id);
        first.is_some_and(|(guild, state)| self.is_own(guild, state.user_id))
    }

    /// Tells the next person whose turn it is where their room is now. `false`: it is nobody's turn.
    pub fn call_next(&mut self, door: &Door, at: Moment) -> bool {
        let now = self.fleet.millis(at.now);
        let Some((guild, user)) = self.fleet.calls.next(now) else { return false };
        if !self.is_own(guild, user) {
            return true;
        }
        let Some(state) = self.guild(guild).and_then(|state| state.voice_state(user)) else { return true };
        let (session_id, channel) = (state.session_id.clone(), state.channel_id.unwrap_or_default());
        let told = self.rooms.get(&guild).and_then(|room| room.seated.get(&user)).map(|seated| seated.epoch);
        if self.fleet.lease(channel).is_some_and(|(_, epoch)| told == Some(epoch)) {
            // They have come, or were told, by themselves.
            return true;
        }
        match self.session_key(&session_id) {
            Some(key) => self.open_door(key, guild, door, at),
            // Their gateway session ended with an earlier process of ours: nobody can be told.
            None => self.leave_voice(guild, user, at),
        }
        self.sweep(at);
        true
    }

    /// An operator wants the room on this node. `None`: nobody is in the room. `Some(false)`: the node cannot take it.
    pub fn move_room(&mut self, room: ChannelId, to: &NodeId, draw: u64, at: Moment) -> Option<bool> {
        let guild = self.members_of(room).next()?.0;
        let (members, wish) = self.facts(guild, room);
        let now = self.fleet.millis(at.now);
        let seeker = Seeker { room, members: &members, wish: wish.as_ref(), draw };
        let settled = self.fleet.decide(now, at.unix_ms, seeker, Some(to));
        if settled.has_moved {
            self.call_everyone(room, at);
        }
        Some(settled.spot.is_some_and(|spot| spot.node == *to))
    }

    /// Does with nodes what operators said, here or at other control planes.
    pub fn follow_orders(&mut self, orders: BTreeMap<NodeId, NodeOrder>, at: Moment) {
        for (node, order) in self.fleet.take_orders(orders) {
            self.follow_order(&node, order, at);
        }
    }

    /// The same for one node, and also if it was said before: a node that left by itself serves again at an operator's word.
    pub fn give_order(&mut self, node: &NodeId, order: Option<NodeOrder>, at: Moment) {
        self.fleet.note_order(node, order);
        self.follow_order(node, order, at);
    }

    /// A node that is not there hears of it when it is.
    fn follow_order(&mut self, node: &NodeId, order: Option<NodeOrder>, at: Moment) {
        let _ = match order {
            None => self.fleet.undrain(node, false),
            Some(NodeOrder::Cordoned) => self.fleet.undrain(node, true),
            Some(NodeOrder::Draining { deadline_ms }) => {
                self.drain_node(node, Duration::from_millis(deadline_ms.saturating_sub(at.unix_ms)), at)
            }
        };
    }

    /// Empties a node within this time.
    pub fn drain_node(&mut self, node: &NodeId, within: Duration, at: Moment) -> Result<(), RegistryError> {
        let now = self.fleet.millis(at.now);
        let sizes = self.sizes(node);
        let deadline = now + within.as_millis() as u64;
        self.fleet.drain(now, node, deadline, |room| sizes.get(&room).copied().unwrap_or_default())
    }

    /// How many people each room of a node has.
    fn sizes(&self, node: &NodeId) -> std::collections::HashMap<ChannelId, u32> {
        self.fleet.rooms_of(node).into_iter().map(|room| (room, self.members_of(room).count() as u32)).collect()
    }

    /// Where the room is; decided now if it must be. Everyone else in it is called if it moved; whoever joins is told anyway.
    pub(super) fn settle_room(
        &mut self,
        guild: GuildId,
        channel: ChannelId,
        draw: u64,
        joining: Option<UserId>,
        at: Moment,
    ) -> Option<Spot> {
        let (members, wish) = self.facts(guild, channel);
        let now = self.fleet.millis(at.now);
        let seeker = Seeker { room: channel, members: &members, wish: wish.as_ref(), draw };
        let settled = self.fleet.settle(now, at.unix_ms, seeker);
        if settled.has_moved || settled.is_awaited {
            let Some(room) = self.rooms.get(&guild) else { return settled.spot };
            let is_called =
                |user: &UserId| room.seated.get(user).is_some_and(|seated| settled.has_moved || seated.connection.is_none());
            let others = room.state.voice_states_in(channel).map(|state| state.user_id).filter(|user| Some(*user) != joining);
            let called: Vec<UserId> = others.filter(is_called).collect();
            called.into_iter().for_each(|user| self.fleet.calls.add(now, guild, user, spread(draw, channel) ^ user.get()));
        }
        settled.spot
    }

    /// What is known of the people in a room: how far they are from regions, and the channel's own wish.
    fn facts(&self, guild: GuildId, channel: ChannelId) -> (Vec<Reach>, Option<RegionId>) {
        let Some(state) = self.guild(guild) else { return (Vec::new(), None) };
        let reach = |state: &VoiceState| {
            let session = self.session_key(&state.session_id).and_then(|key| self.sessions.get(&key));
            session.map(|session| session.reach.clone()).unwrap_or_default()
        };
        let members = state.voice_states_in(channel).map(reach).collect();
        (members, state.channel(channel).and_then(|channel| channel.rtc_region.as_ref()?.parse().ok()))
    }

    pub(crate) fn members_of(&self, room: ChannelId) -> impl Iterator<Item = (GuildId, &VoiceState)> {
        let guild = self.channel_guild(room).and_then(|guild| Some((guild, self.guild(guild)?)));
        guild.into_iter().flat_map(move |(id, state)| state.voice_states_in(room).map(move |state| (id, state)))
    }

    /// Those of them whom this control plane looks after. Others see to the rest, in the same way.
    fn own_members_of(&self, room: ChannelId) -> impl Iterator<Item = (GuildId, &VoiceState)> {
        self.members_of(room).filter(|(guild, state)| self.is_own(*guild, state.user_id))
    }

    fn call_everyone(&mut self, room: ChannelId, at: Moment) {
        let now = self.fleet.millis(at.now);
        let members: Vec<(GuildId, UserId)> = self.own_members_of(room).map(|(guild, state)| (guild, state.user_id)).collect();
        for (guild, user) in members {
            self.fleet.calls.add(now, guild, user, spread(at.unix_ms, room) ^ user.get());
        }
    }

    /// Whether everyone in the room is connected to its present node.
    fn has_arrived(&self, room: ChannelId) -> bool {
        let Some((_, epoch)) = self.fleet.lease(room) else { return true };
        self.own_members_of(room).all(|(guild, state)| {
            let seated = self.rooms.get(&guild).and_then(|room| room.seated.get(&state.user_id));
            seated.is_some_and(|seated| seated.connection.is_some() && seated.epoch == epoch)
        })
    }

    /// Whether the node has the room that the connection is in, under the lease that the connection was made under.
    fn is_owner(&self, node: &NodeId, sitting: &Sitting) -> bool {
        self.fleet.lease(sitting.participant.channel_id).is_some_and(|lease| lease == (node, sitting.epoch))
    }

    /// A connection to the node that has the room.
    fn sat_down(&mut self, node: &NodeId, sitting: Sitting, at: Moment) {
        let Sitting { participant, token_id, epoch, .. } = sitting.clone();
        let Some(seated) = self.seated(&participant) else {
            // Its token was good, but the user has left or moved on since.
            return self.send_off(node, sitting, at);
        };
        (seated.connection, seated.offer, seated.epoch) = (Some(token_id), None, epoch);
        let policy = seated.policy;
        let room = participant.channel_id;
        self.fleet.tell(node, ToNode::SetPolicy { participant, policy });
        self.end_move(room, at);
    }

    /// Takes everyone off the node that a room is leaving, when they have all been connected to the other for a moment.
    fn end_move(&mut self, room: ChannelId, at: Moment) {
        if self.fleet.origin(room).is_none() || !self.has_arrived(room) {
            return;
        }
        let now = self.fleet.millis(at.now);
        let Some(origin) = self.fleet.all_arrived(now, room) else { return };
        let members: Vec<Participant> = self.own_members_of(room).map(|(_, state)| participant(state)).collect();
        for participant in members {
            self.fleet.tell(&origin, ToNode::Disconnect { participant, as_of_ms: at.unix_ms });
        }
    }

    fn send_off(&mut self, node: &NodeId, sitting: Sitting, at: Moment) {
        self.fleet.tell(node, ToNode::Disconnect { participant: sitting.participant, as_of_ms: at.unix_ms });
    }

    /// Somebody who has been in the room since before this process began. They stay, though their gateway session is gone,
    /// for as long as their connection stands.
    fn adopt(&mut self, node: &NodeId, sitting: Sitting, at: Moment) {
        let found = self.guild(sitting.participant.guild_id).filter(|state| may_stay(state, &sitting, at));
        let Some(state) = found else { return self.send_off(node, sitting, at) };
        let Some(member) = state.member(sitting.participant.user_id) else { return self.send_off(node, sitting, at) };
        let kind = state.channel(sitting.participant.channel_id).map(|channel| channel.kind);
        let Sitting { participant: who, policy, .. } = &sitting;
        let next = VoiceState {
            guild_id: who.guild_id,
            channel_id: Some(who.channel_id),
            user_id: who.user_id,
            member: None,
            session_id: who.session_id.clone(),
            deaf: member.deaf,
            mute: member.mute,
            self_deaf: policy.is_deafened && !member.deaf,
            self_mute: policy.self_mute,
            self_video: false,
            self_stream: false,
            suppress: false,
            request_to_speak_timestamp: None,
        };
        self.set_voice_claimed(next.clone(), OLD_CLAIM, at);
        if kind == Some(ChannelType::Stage) && policy.can_speak {
            // Somebody had let them speak.
            self.set_voice(next, at);
        }
        self.sat_down(node, sitting, at);
    }

    /// Those who were connected to the node and are not any more: their leaving was reported while nobody heard.
    fn leave_unless(&mut self, node: &NodeId, tokens: &HashSet<u64>, at: Moment) {
        let rooms = self.fleet.rooms_of(node);
        let mut gone = Vec::new();
        for room in rooms {
            let epoch = self.fleet.lease(room).map(|(_, epoch)| epoch);
            for (guild, state) in self.members_of(room) {
                let seated = self.rooms.get(&guild).and_then(|room| room.seated.get(&state.user_id));
                let is_gone = seated.is_some_and(|seated| {
                    Some(seated.epoch) == epoch && seated.connection.is_some_and(|token| !tokens.contains(&token))
                });
                if is_gone {
                    gone.push((guild, state.user_id));
                }
            }
        }
        gone.into_iter().for_each(|(guild, user)| self.leave_voice(guild, user, at));
    }

    /// Voice states of the process before this one. Whom no node confirms leaves.
    pub(crate) fn take_up_voice(&mut self, states: Vec<VoiceState>, at: Moment) {
        for state in states {
            let (guild, user) = (state.guild_id, state.user_id);
            self.set_voice_claimed(state.clone(), OLD_CLAIM, at);
            if !state.suppress {
                self.set_voice(state, at);
            }
            self.await_node(guild, user, at);
        }
    }

    /// Whoever is where they are now leaves unless a node says soon that they are there.
    pub(super) fn await_node(&mut self, guild: GuildId, user: UserId, at: Moment) {
        let Some(state) = self.guild(guild).and_then(|state| state.voice_state(user)) else { return };
        let session_id = state.session_id.clone();
        self.unclaimed.push_back(Unclaimed { guild, user, session_id, until: at.now + UNCLAIMED });
    }

    /// Voice states whose rooms outlive this process.
    pub(crate) fn lasting_voice(&self) -> Vec<VoiceState> {
        let own = self
            .rooms
            .values()
            .flat_map(|room: &Room| room.state.voice_states().filter(move |state| room.seated.contains_key(&state.user_id)));
        own.filter(|state| state.channel_id.is_some_and(|room| !self.fleet.is_local(room))).cloned().collect()
    }
}

/// Whether they may be where they are. A room that is full is so with them.
fn may_stay(state: &guild::State, sitting: &Sitting, at: Moment) -> bool {
    let who = &sitting.participant;
    let Some(channel) = state.channel(who.channel_id).filter(|channel| channel.kind.is_voice()) else { return false };
    let is_elsewhere = state.voice_state(who.user_id).is_some_and(|current| participant(current) != *who);
    let held = state.channel_permissions(who.user_id, channel.id, at.unix_ms);
    !is_elsewhere && held.contains(Permissions::VIEW_CHANNEL | Permissions::CONNECT)
}

/// One draw for many rooms.
fn spread(draw: u64, room: ChannelId) -> u64 {
    // The golden ratio's bits: neighbouring ids come out far apart.
    (draw ^ room.get()).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
