//! Voice states of other control planes' people, as they say them.
//!
//! A voice state belongs to the control plane that has the gateway session by which the person joined: it alone changes it, tells
//! the voice nodes of it and moves the person when their room moves; [`super::Seated`] is its side of it. Everywhere else the state
//! is a mirror: shown, counted and asked like any other. Whoever joins anew, anywhere, claims the state for where they joined.

use super::participant;
use crate::hub::core::{Core, Moment};
use crate::siblings::Claim;
use crate::siblings::words::{Name, Word};
use guildhall_protocol::fleet::Participant;
use guildhall_protocol::model::VoiceState;
use guildhall_protocol::{GuildId, Permissions, UserId};
use std::collections::BTreeSet;

impl Core {
    /// Whether the voice state is looked after here.
    pub(crate) fn is_own(&self, guild: GuildId, user: UserId) -> bool {
        self.rooms.get(&guild).is_some_and(|room| room.seated.contains_key(&user))
    }

    /// Who looks after a voice state, if that is another control plane and it is there.
    pub(crate) fn caretaker(&self, guild: GuildId, user: UserId) -> Option<Name> {
        if self.is_own(guild, user) {
            return None;
        }
        self.siblings.claim(guild, user).filter(|claim| !self.siblings.is_orphan(claim)).map(|claim| claim.owner)
    }

    /// The number of a claim that holds against all that are known.
    pub(super) fn next_claim(&self, user: UserId, at: Moment) -> u64 {
        if self.siblings.is_alone() { 0 } else { at.unix_ms.max(self.siblings.newest_claim(user) + 1) }
    }

    /// Tells other control planes where somebody is whom we look after.
    pub(crate) fn claim_aloud(&mut self, guild: GuildId, user: UserId) {
        if self.siblings.is_alone() {
            return;
        }
        let Some(room) = self.rooms.get(&guild) else { return };
        let (Some(state), Some(seated)) = (room.state.voice_state(user), room.seated.get(&user)) else { return };
        let is_bot = room.state.member(user).is_some_and(|member| member.user.bot);
        let (state, number) = (Box::new(state.clone()), seated.claim);
        self.siblings.say(Word::Voice { state, number, is_bot });
    }

    /// A guild was loaded, or something in it begins: who is connected there by what others say.
    pub(crate) fn mirror_guild(&mut self, guild: GuildId, at: Moment) {
        for user in self.siblings.claimed_in(guild) {
            self.reconcile_voice(guild, user, at);
        }
    }

    /// A session has come here from another control plane: we look after its voice states from now on.
    pub(crate) fn take_voice_of(&mut self, user: UserId, session_id: &str, guilds: &BTreeSet<GuildId>, at: Moment) {
        for guild in guilds {
            let claim = self.siblings.claim(*guild, user).filter(|claim| claim.state.session_id == session_id);
            let Some(state) = claim.map(|claim| claim.state.clone()) else { continue };
            let number = self.next_claim(user, at);
            self.set_voice_claimed(state.clone(), number, at);
            if !state.suppress {
                // Somebody had let them speak.
                self.set_voice(state, at);
            }
        }
    }

    /// Brings a voice state to what holds now: our own claim, another's, or none.
    pub(crate) fn reconcile_voice(&mut self, guild: GuildId, user: UserId, at: Moment) {
        let claim = self.siblings.claim(guild, user).cloned();
        if let Some(claim) = claim.as_ref().filter(|claim| !self.siblings.is_orphan(claim)) {
            self.yield_to(claim, at);
        }
        let Some(room) = self.rooms.get(&guild) else { return };
        if room.seated.contains_key(&user) {
            return;
        }
        let is_possible = |claim: &Claim| {
            let channel = claim.state.channel_id.and_then(|id| room.state.channel(id));
            let is_here = room.state.is_member(user) && channel.is_some_and(|channel| channel.kind.is_voice());
            is_here && (claim.is_bot || !self.own_claims(guild, user).iter().any(|(_, own)| *own > claim.number))
        };
        let next = claim.filter(is_possible).map(|claim| claim.state);
        let before = room.state.voice_state(user).cloned();
        let next = match (next, &before) {
            (None, None) => return,
            (Some(next), Some(before)) if next == *before => return,
            (Some(next), _) => next,
            (None, Some(before)) => VoiceState { channel_id: None, ..before.clone() },
        };
        if let Some(room) = self.rooms.get_mut(&guild) {
            room.state.set_voice_state(next.clone());
        }
        self.tell_voice(&next, before.and_then(|before| before.channel_id));
    }

    /// Our own claims on somebody: in all guilds where a session of theirs could have joined, and in this one.
    fn own_claims(&self, guild: GuildId, user: UserId) -> Vec<(GuildId, u64)> {
        let mut guilds = self.accounts.get(&user).map(|account| account.guilds.clone()).unwrap_or_default();
        guilds.insert(guild);
        let claim = |guild: GuildId| Some((guild, self.rooms.get(&guild)?.seated.get(&user)?.claim));
        guilds.into_iter().filter_map(claim).collect()
    }

    /// Somebody has joined by a session elsewhere: lets go of older claims. A person speaks in one place at a time; a bot in one per
    /// guild.
    fn yield_to(&mut self, claim: &Claim, at: Moment) {
        let (guild, user) = (claim.state.guild_id, claim.state.user_id);
        for (other, own) in self.own_claims(guild, user) {
            if other != guild && !claim.is_bot && own < claim.number {
                self.leave_voice(other, user, at);
            }
            // Two who joined in the same moment agree by the names of their processes.
            let is_older = self.siblings.own_name().is_some_and(|name| (own, name) < (claim.number, claim.owner));
            if other != guild || !is_older {
                continue;
            }
            let Some(room) = self.rooms.get_mut(&guild) else { continue };
            room.seated.remove(&user);
            let before = room.state.voice_state(user).map(participant);
            self.siblings.say(Word::Left { guild_id: guild, user_id: user });
            if let Some(before) = before.filter(|before| *before != participant(&claim.state)) {
                self.disconnect(before, at);
            }
        }
    }

    /// The control plane that looked after the voice state is gone for good. If nobody else has taken it over, its person goes.
    pub(crate) fn abandon_voice(&mut self, state: VoiceState, at: Moment) {
        let (guild, user) = (state.guild_id, state.user_id);
        self.reconcile_voice(guild, user, at);
        let is_taken = self.siblings.claim(guild, user).is_some_and(|claim| participant(&claim.state) == participant(&state))
            || self.guild(guild).and_then(|it| it.voice_state(user)).is_some_and(|now| participant(now) == participant(&state));
        if !is_taken {
            self.disconnect(participant(&state), at);
        }
    }

    /// A node says that a connection has ended. Those of other control planes are theirs, unless there is nobody.
    pub(super) fn orphan_left(&mut self, who: &Participant, at: Moment) {
        let (guild, user) = (who.guild_id, who.user_id);
        let claim = self.siblings.claim(guild, user).filter(|claim| participant(&claim.state) == *who);
        if claim.is_some_and(|claim| self.siblings.is_orphan(claim)) {
            self.siblings.end_orphan(guild, user);
            self.reconcile_voice(guild, user, at);
        }
    }

    /// Rights changed of somebody who is looked after elsewhere. If there is nobody to see to it, whoever may do less than before
    /// is disconnected: a muted member is not heard.
    pub(super) fn check_mirror(&mut self, guild: GuildId, user: UserId, at: Moment) {
        let Some(claim) = self.siblings.claim(guild, user).filter(|claim| self.siblings.is_orphan(claim)) else { return };
        let (Some(state), Some(channel)) = (self.guild(guild), claim.state.channel_id) else { return };
        let (Some(member), before) = (state.member(user), claim.state.clone()) else { return };
        let held = state.channel_permissions(user, channel, at.unix_ms);
        let is_timed_out = state.standing(user, at.unix_ms).is_some_and(|standing| standing.is_timed_out);
        let may_less = !held.contains(Permissions::SPEAK) && !before.suppress;
        if member.mute != before.mute || member.deaf != before.deaf || is_timed_out || may_less {
            self.siblings.end_orphan(guild, user);
            self.reconcile_voice(guild, user, at);
            self.disconnect(participant(&before), at);
        }
    }
}
