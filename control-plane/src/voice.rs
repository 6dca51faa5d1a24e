//! Who is in which voice channel, and what they may do there.
//!
//! Voice states are ephemeral: they live as long as a gateway session and a seat at the voice node say so. The client is told
//! where to connect by VOICE_SERVER_UPDATE, whose signed token is all that the node needs; what changes afterwards reaches
//! the node through its outbox. A request that is not allowed is answered with silence, as clients expect. A room that no node
//! has headroom for is joined nevertheless: the client is told to wait (an `endpoint` of null) and is called when there is one.
//!
//! Here is what people do; `rooms.rs` has where their rooms live, and what the nodes say, `mirrors.rs` who is connected by sessions
//! at other control planes; `streams.rs` is for programs that come by WHIP or WHEP, without a gateway session.

mod mirrors;
mod rooms;
mod streams;
#[cfg(test)]
mod tests;

pub use rooms::Unclaimed;
pub use streams::{Entrance, Refused};

use crate::gateway::mailbox::Dispatch;
use crate::guild::{self, Viewers};
use crate::hub::core::{Core, Moment, SessionKey};
use crate::hub::seats::Seat;
use crate::siblings::words::Word;
use guildhall_fleet::Reach;
use guildhall_protocol::fleet::{Epoch, Participant, Policy, ToNode, Way};
use guildhall_protocol::gateway::{Intents, VoiceStateUpdate};
use guildhall_protocol::model::{ChannelType, Member, VoiceState};
use guildhall_protocol::voice_token::{LIFETIME_MS, VoiceClaims, VoiceKey};
use guildhall_protocol::{ChannelId, GuildId, Permissions, UserId};
use serde_json::json;

/// What it takes to let someone in: the key that nodes verify, where they are, and a fresh random number for the token.
pub struct Door<'a> {
    pub key: &'a VoiceKey,
    /// `None`: the host that the client reached the gateway by.
    pub public_host: Option<&'a str>,
    pub token_id: u64,
}

/// What the node knows, or will know, of one connected user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seated {
    /// What it was last told.
    policy: Policy,
    /// The token that the present connection was opened with; `None` while a newer one waits to be used.
    connection: Option<u64>,
    /// The newest token, until a connection was opened with it.
    offer: Option<Offer>,
    /// The lease under which the newest token was signed, or the connection stands.
    epoch: Epoch,
    /// The number of our claim on the voice state; 0 in a control plane that is alone.
    claim: u64,
}

/// A token that a client was given and may not have used yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offer {
    token_id: u64,
    expires_at_ms: u64,
    repeats_left: u8,
}

/// How often a client that asks again is given the token that it has not used. discord.py asks some times while it makes up its
/// mind, and starts all over for each new token, so a new one each time would have it never arrive. Bounded, because the
/// node may have taken the token and lost who came with it: then only another one helps.
const OFFER_REPEATS: u8 = 4;

/// The claim on someone of whom it is not known when they joined: any other is newer.
const OLD_CLAIM: u64 = 1;

impl Offer {
    fn new(token_id: u64, now_unix_ms: u64) -> Self {
        Self { token_id, expires_at_ms: now_unix_ms + LIFETIME_MS, repeats_left: OFFER_REPEATS }
    }

    /// The same once more, if it leaves the client time to use it.
    fn again(self, now_unix_ms: u64) -> Option<Self> {
        let has_time = self.expires_at_ms >= now_unix_ms + LIFETIME_MS / 2;
        let repeats_left = self.repeats_left.checked_sub(1).filter(|_| has_time)?;
        Some(Self { repeats_left, ..self })
    }
}

impl Core {
    /// Op 4: join, move, leave, or new flags.
    pub fn update_voice(&mut self, key: SessionKey, update: VoiceStateUpdate, door: &Door, at: Moment) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if !update.region_rtts.is_empty() {
            session.reach = Reach::new(update.region_rtts.iter().cloned());
        }
        let (user, session_id, is_bot) = (session.user_id, session.id.clone(), session.is_bot);
        let guild = update.guild_id;
        let Some(state) = self.guild(guild).filter(|state| state.is_member(user)) else { return };
        let current = state.voice_state(user).cloned();
        let Some(channel) = update.channel_id else {
            // Another session of the user may be the one that is connected: it stays.
            if current.is_some_and(|current| current.session_id == session_id) {
                self.leave_voice(guild, user, at);
            }
            return self.sweep(at);
        };
        if let Some(current) = &current
            && current.channel_id == Some(channel)
            && current.session_id == session_id
        {
            let next = VoiceState {
                self_mute: update.self_mute,
                self_deaf: update.self_deaf,
                self_video: update.self_video,
                ..current.clone()
            };
            // The same again is a client that lost its voice connection and wants a new one. It is answered as a join is, for
            // some libraries wait for both events.
            let is_rejoin = next == *current;
            self.set_voice(next, at);
            if is_rejoin {
                self.tell_voice_again(key, guild, user);
                self.open_door(key, guild, door, at);
            }
            return self.sweep(at);
        }
        if !may_join(state, user, channel, at) {
            return;
        }
        let member = state.member(user).expect("checked above");
        let next = VoiceState {
            guild_id: guild,
            channel_id: Some(channel),
            user_id: user,
            member: None,
            session_id,
            deaf: member.deaf,
            mute: member.mute,
            self_deaf: update.self_deaf,
            self_mute: update.self_mute,
            self_video: update.self_video,
            self_stream: false,
            suppress: false,
            request_to_speak_timestamp: None,
        };
        if !is_bot {
            self.leave_voice_elsewhere(guild, user, at);
        }
        self.set_voice(next, at);
        self.open_door(key, guild, door, at);
        self.sweep(at);
    }

    /// A person speaks in one place at a time; a bot in one per guild.
    fn leave_voice_elsewhere(&mut self, guild: GuildId, user: UserId, at: Moment) {
        let elsewhere: Vec<GuildId> = match self.accounts.get(&user) {
            Some(account) => account.guilds.iter().copied().collect(),
            None => self.rooms.iter().filter(|(_, room)| room.state.voice_state(user).is_some()).map(|(id, _)| *id).collect(),
        };
        elsewhere.into_iter().filter(|other| *other != guild).for_each(|other| self.leave_voice(other, user, at));
    }

    /// Moves a connected member, or disconnects it (`None`). `false`: not connected here, or the target is no voice channel.
    pub fn move_member(&mut self, guild: GuildId, user: UserId, channel: Option<ChannelId>, door: &Door, at: Moment) -> bool {
        let Some(state) = self.guild(guild) else { return false };
        let Some(current) = state.voice_state(user).cloned() else { return false };
        match channel {
            None => self.leave_voice(guild, user, at),
            Some(channel) if current.channel_id == Some(channel) => {}
            Some(channel) if state.channel(channel).is_some_and(|channel| channel.kind.is_voice()) => {
                match self.session_key(&current.session_id) {
                    Some(key) => {
                        self.set_voice(VoiceState { channel_id: Some(channel), ..current }, at);
                        self.open_door(key, guild, door, at);
                    }
                    // Nobody could be told where to go: a stream, or someone whose gateway session an earlier process had.
                    None => self.leave_voice(guild, user, at),
                }
            }
            Some(_) => return false,
        }
        self.sweep(at);
        true
    }

    /// On a stage: who speaks and who would like to. `false`: the user is not connected here.
    pub fn change_voice_state(&mut self, guild: GuildId, user: UserId, change: impl FnOnce(&mut VoiceState), at: Moment) -> bool {
        let Some(mut state) = self.guild(guild).and_then(|state| state.voice_state(user)).cloned() else { return false };
        change(&mut state);
        self.set_voice(state, at);
        self.sweep(at);
        true
    }

    /// The session ended: whoever was connected by it is not any more.
    pub(crate) fn leave_voice_of_session(&mut self, guild: GuildId, user: UserId, session_id: &str, at: Moment) {
        self.empty_voice(guild, at, |state| state.user_id == user && state.session_id == session_id);
    }

    /// Disconnects everyone whom `is_out` names: their channel, their membership or the guild is about to go.
    pub(crate) fn empty_voice(&mut self, guild: GuildId, at: Moment, is_out: impl Fn(&VoiceState) -> bool) {
        let Some(state) = self.guild(guild) else { return };
        let users: Vec<UserId> = state.voice_states().filter(|state| is_out(state)).map(|state| state.user_id).collect();
        users.into_iter().for_each(|user| self.leave_voice(guild, user, at));
    }

    /// A member update may carry server mute, server deafen or a timeout.
    pub(crate) fn member_voice(&mut self, guild: GuildId, member: &Member, at: Moment) {
        let user = member.user.id;
        if !self.is_own(guild, user) {
            return self.check_mirror(guild, user, at);
        }
        let Some(state) = self.guild(guild) else { return };
        let Some(current) = state.voice_state(user).cloned() else { return };
        if state.standing(user, at.unix_ms).is_some_and(|standing| standing.is_timed_out) && !is_exempt(state, user, at) {
            // A timeout ends by the clock, without an event that could give the voice back, so it ends the connection.
            return self.leave_voice(guild, user, at);
        }
        self.set_voice(VoiceState { mute: member.mute, deaf: member.deaf, ..current }, at);
    }

    /// Roles or overwrites changed: who may speak may have, too. Whoever is connected stays connected.
    pub(crate) fn refresh_voice(&mut self, guild: GuildId, at: Moment) {
        let Some(state) = self.guild(guild) else { return };
        let states: Vec<VoiceState> = state.voice_states().cloned().collect();
        for state in states {
            if self.is_own(guild, state.user_id) {
                self.set_voice(state, at);
            } else {
                self.check_mirror(guild, state.user_id, at);
            }
        }
    }

    /// Takes over a voice state (its `suppress` is worked out here) and tells whoever it concerns what changed: sessions, the
    /// node about a policy, and the node about a participant that is replaced.
    fn set_voice(&mut self, next: VoiceState, at: Moment) {
        let is_known = self.rooms.get(&next.guild_id).is_some_and(|room| {
            let before = room.state.voice_state(next.user_id).map(self::participant);
            room.seated.contains_key(&next.user_id) && before == Some(self::participant(&next))
        });
        let claim = if is_known { 0 } else { self.next_claim(next.user_id, at) };
        self.set_voice_claimed(next, claim, at);
    }

    /// The same, with the number of the claim if it is a new one.
    fn set_voice_claimed(&mut self, mut next: VoiceState, new_claim: u64, at: Moment) {
        let guild = next.guild_id;
        let Some(room) = self.rooms.get_mut(&guild) else { return };
        let Some(channel) = next.channel_id.and_then(|id| room.state.channel(id)) else { return };
        let held = room.state.channel_permissions(next.user_id, channel.id, at.unix_ms);
        if Way::of(&next.session_id).is_some_and(|way| !held.contains(streams::needed(way))) {
            // A key is no more than the right to use it.
            return self.leave_voice(guild, next.user_id, at);
        }
        let before = room.state.voice_state(next.user_id).cloned();
        let has_come = before.as_ref().and_then(|before| before.channel_id) != next.channel_id;
        if has_come {
            next.request_to_speak_timestamp = None;
        }
        // On a stage one listens until one is let speak, and then may speak until one is sent back or goes.
        let is_audience = match channel.kind {
            ChannelType::Stage if has_come => !held.contains(Permissions::MUTE_MEMBERS),
            ChannelType::Stage => next.suppress,
            _ => false,
        };
        next.suppress = is_audience || !held.contains(Permissions::SPEAK);
        let policy = policy(&next, held, channel.bitrate);
        let participant = participant(&next);
        let known = room.seated.get(&next.user_id).copied();
        let is_same = before.as_ref().map(self::participant).as_ref() == Some(&participant);
        let kept = known.filter(|_| is_same);
        let seated = match kept {
            Some(kept) => Seated { policy, ..kept },
            None => Seated { policy, connection: None, offer: None, epoch: Epoch::default(), claim: new_claim },
        };
        room.seated.insert(next.user_id, seated);
        room.state.set_voice_state(next.clone());
        match before.as_ref().map(self::participant) {
            Some(_) if is_same && known.is_some_and(|known| known.policy == policy) => {}
            Some(_) if is_same => self.fleet.tell_room(participant.channel_id, ToNode::SetPolicy { participant, policy }),
            Some(old) => self.disconnect(old, at),
            None => {}
        }
        if kept.is_none() || before.as_ref() != Some(&next) {
            self.claim_aloud(guild, next.user_id);
        }
        if before.as_ref() != Some(&next) {
            self.tell_voice(&next, before.and_then(|before| before.channel_id));
        }
    }

    fn leave_voice(&mut self, guild: GuildId, user: UserId, at: Moment) {
        let Some(room) = self.rooms.get_mut(&guild) else { return };
        let Some(before) = room.state.voice_state(user).cloned() else { return };
        let gone = VoiceState { channel_id: None, ..before.clone() };
        room.state.set_voice_state(gone.clone());
        if let Some(seated) = room.seated.remove(&user) {
            self.siblings.say(Word::Left { guild_id: guild, user_id: user });
            self.siblings.end_session(guild, user, &before.session_id, seated.claim);
        }
        self.siblings.end_orphan(guild, user);
        self.disconnect(participant(&before), at);
        self.tell_voice(&gone, before.channel_id);
    }

    /// At whichever nodes the participant may be.
    fn disconnect(&mut self, participant: Participant, at: Moment) {
        self.fleet.tell_room(participant.channel_id, ToNode::Disconnect { participant, as_of_ms: at.unix_ms });
    }

    /// VOICE_STATE_UPDATE: to who sees the channel; to who saw only the one before, as a leave; to the user in any case.
    fn tell_voice(&mut self, state: &VoiceState, before: Option<ChannelId>) {
        let Some(room) = self.rooms.get(&state.guild_id) else { return };
        let member = room.state.member(state.user_id).cloned();
        let told = VoiceState { member, ..state.clone() };
        let left = VoiceState { channel_id: None, ..told.clone() };
        let (told, left) = (Dispatch::new("VOICE_STATE_UPDATE", &told), Dispatch::new("VOICE_STATE_UPDATE", &left));
        let nowhere = ChannelId::default();
        let mut sees_now = Viewers::of(&room.state, state.channel_id.unwrap_or(nowhere), Permissions::VIEW_CHANNEL);
        let mut saw_before = Viewers::of(&room.state, before.unwrap_or(nowhere), Permissions::VIEW_CHANNEL);
        room.tell(&mut self.lost, |seat: &Seat| match seat {
            seat if seat.user_id == state.user_id => Some(&told),
            seat if !seat.wants(Intents::GUILD_VOICE_STATES) => None,
            seat if sees_now.include(seat.user_id) => Some(&told),
            seat if saw_before.include(seat.user_id) => Some(&left),
            _ => None,
        });
    }

    /// VOICE_STATE_UPDATE to one session of the user, of a state that has not changed.
    fn tell_voice_again(&mut self, key: SessionKey, guild: GuildId, user: UserId) {
        let (Some(session), Some(room)) = (self.sessions.get(&key), self.rooms.get(&guild)) else { return };
        let Some(state) = room.state.voice_state(user) else { return };
        let told = VoiceState { member: room.state.member(user).cloned(), ..state.clone() };
        if !session.link.push(Dispatch::new("VOICE_STATE_UPDATE", &told)) {
            self.lost.push(key);
        }
    }

    /// VOICE_SERVER_UPDATE with a token for where the session's user is now, or word to wait. The token is a fresh one, unless
    /// the one before it leads there as well and waits to be used.
    fn open_door(&mut self, key: SessionKey, guild: GuildId, door: &Door, at: Moment) {
        let Some(user) = self.sessions.get(&key).map(|session| session.user_id) else { return };
        let Some(channel) = self.guild(guild).and_then(|state| state.voice_state(user)?.channel_id) else { return };
        let Some(spot) = self.settle_room(guild, channel, door.token_id, Some(user), at) else {
            self.fleet.is_told_to_wait(channel);
            return self.tell_to_wait(guild, user);
        };
        let now = self.fleet.millis(at.now);
        let issuer = self.fleet.issuer();
        let (Some(session), Some(room)) = (self.sessions.get(&key), self.rooms.get_mut(&guild)) else { return };
        let Some(state) = room.state.voice_state(user) else { return };
        let Some(seated) = room.seated.get_mut(&user) else { return };
        let unused = seated.offer.filter(|_| seated.epoch == spot.epoch);
        let again = unused.and_then(|offer| offer.again(at.unix_ms));
        if again.is_none() {
            self.fleet.expect_join(now, &spot.node);
        }
        let offer = again.unwrap_or_else(|| Offer::new(door.token_id, at.unix_ms));
        (seated.connection, seated.offer, seated.epoch) = (None, Some(offer), spot.epoch);
        let claims = VoiceClaims {
            participant: participant(state),
            policy: seated.policy,
            token_id: offer.token_id,
            node: spot.node,
            epoch: spot.epoch,
            issuer,
            expires_at_ms: offer.expires_at_ms,
        };
        let endpoint = match &*spot.endpoint {
            "" => door.public_host.unwrap_or(&session.host),
            endpoint => endpoint,
        };
        let d = json!({ "token": door.key.sign(&claims), "guild_id": guild, "endpoint": endpoint });
        if !session.link.push(Dispatch::new("VOICE_SERVER_UPDATE", &d)) {
            self.lost.push(key);
        }
    }

    /// VOICE_SERVER_UPDATE without an endpoint: the voice server is gone, and there will be another.
    fn tell_to_wait(&mut self, guild: GuildId, user: UserId) {
        let Some(room) = self.rooms.get_mut(&guild) else { return };
        if let Some(seated) = room.seated.get_mut(&user) {
            (seated.connection, seated.offer, seated.epoch) = (None, None, Epoch::default());
        }
        let Some(session_id) = room.state.voice_state(user).map(|state| state.session_id.clone()) else { return };
        let Some(key) = self.session_key(&session_id) else { return };
        let d = json!({ "token": "", "guild_id": guild, "endpoint": null });
        if let Some(session) = self.sessions.get(&key)
            && !session.link.push(Dispatch::new("VOICE_SERVER_UPDATE", &d))
        {
            self.lost.push(key);
        }
    }

    /// `None`: the participant is not where it says.
    fn seated(&mut self, of: &Participant) -> Option<&mut Seated> {
        let room = self.rooms.get_mut(&of.guild_id)?;
        let is_there = room.state.voice_state(of.user_id).is_some_and(|voice| participant(voice) == *of);
        if is_there { room.seated.get_mut(&of.user_id) } else { None }
    }
}

/// VIEW_CHANNEL and CONNECT, and room: a full channel takes only those who may move members.
fn may_join(state: &guild::State, user: UserId, channel: ChannelId, at: Moment) -> bool {
    let Some(channel) = state.channel(channel).filter(|channel| channel.kind.is_voice()) else { return false };
    let held = state.channel_permissions(user, channel.id, at.unix_ms);
    let others = state.voice_states_in(channel.id).filter(|state| state.user_id != user).count();
    let is_full = channel.user_limit.is_some_and(|limit| limit > 0 && others >= limit as usize);
    held.contains(Permissions::VIEW_CHANNEL | Permissions::CONNECT) && (!is_full || held.contains(Permissions::MOVE_MEMBERS))
}

fn is_exempt(state: &guild::State, user: UserId, at: Moment) -> bool {
    state.permissions(user, at.unix_ms).contains(Permissions::ADMINISTRATOR)
}

fn policy(state: &VoiceState, held: Permissions, bitrate_bps: Option<u32>) -> Policy {
    let is_viewer = Way::of(&state.session_id) == Some(Way::Whep);
    Policy {
        can_speak: held.contains(Permissions::SPEAK) && !state.suppress && !state.mute && !is_viewer,
        self_mute: state.self_mute,
        is_deafened: state.deaf || state.self_deaf,
        is_priority: held.contains(Permissions::PRIORITY_SPEAKER),
        bitrate_bps,
        can_stream: held.contains(Permissions::STREAM) && !state.suppress && !is_viewer,
    }
}

/// Which participant a voice state in a channel stands for.
fn participant(state: &VoiceState) -> Participant {
    Participant {
        guild_id: state.guild_id,
        channel_id: state.channel_id.unwrap_or_default(),
        user_id: state.user_id,
        session_id: state.session_id.clone(),
    }
}
