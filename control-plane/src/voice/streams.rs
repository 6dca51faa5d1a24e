//! Programs in voice channels: OBS publishes by WHIP, a player watches by WHEP, both with somebody's stream key.
//!
//! To everyone else they are that user: one voice state, one place in the call. Whoever is connected already gives way, as to
//! another session of theirs. The program is sent to the room's node with a token like everyone's, which says in its session id
//! which way it is for. When it does not arrive it leaves; when the key or the right goes, so does it; when the room moves it
//! is cut off, and comes back to where the room is then.

use super::{Door, may_join, participant};
use crate::hub::core::{Core, Moment};
use crate::store::StoredStreamKey;
use guildhall_protocol::fleet::Way;
use guildhall_protocol::model::VoiceState;
use guildhall_protocol::voice_token::{LIFETIME_MS, VoiceClaims};
use guildhall_protocol::{GuildId, Permissions, UserId};

/// The way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// `host:port` of the node; `None`: wherever the program reached us.
    pub endpoint: Option<String>,
    pub token: String,
}

/// Why a program does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The key's owner does not see the channel, or left the guild.
    Hidden,
    /// They lack a right.
    MayNot,
    /// All places are taken.
    Full,
    /// There is no node that could take the room now.
    NoNode,
}

/// What it takes; less than this and a stream ends.
pub(super) const fn needed(way: Way) -> Permissions {
    let seen = Permissions::VIEW_CHANNEL.union(Permissions::CONNECT);
    match way {
        Way::Whip => seen.union(Permissions::STREAM),
        Way::Whep => seen,
    }
}

impl Core {
    /// Lets a program in. `host` is where it reached us.
    pub fn open_stream(
        &mut self,
        key: &StoredStreamKey,
        way: Way,
        host: &str,
        random: &[u8; 16],
        door: &Door,
        at: Moment,
    ) -> Result<Entrance, Refused> {
        let (guild, user) = (key.guild_id, key.user_id);
        let state = self.guild(guild).ok_or(Refused::Hidden)?;
        let member = state.member(user).ok_or(Refused::Hidden)?;
        let held = state.channel_permissions(user, key.channel_id, at.unix_ms);
        if !held.contains(Permissions::VIEW_CHANNEL) {
            return Err(Refused::Hidden);
        }
        if !held.contains(needed(way)) {
            return Err(Refused::MayNot);
        }
        if !may_join(state, user, key.channel_id, at) {
            return Err(Refused::Full);
        }
        let next = VoiceState {
            guild_id: guild,
            channel_id: Some(key.channel_id),
            user_id: user,
            member: None,
            session_id: way.session_id(&key.hash, random),
            deaf: member.deaf,
            mute: member.mute,
            self_deaf: way == Way::Whip,
            self_mute: way == Way::Whep,
            self_video: way == Way::Whip,
            self_stream: false,
            suppress: false,
            request_to_speak_timestamp: None,
        };
        let is_bot = member.user.bot;
        if !is_bot {
            self.leave_voice_elsewhere(guild, user, at);
        }
        self.set_voice(next, at);
        let entrance = self.enter_stream(guild, user, host, door, at);
        match entrance {
            Some(_) => self.await_node(guild, user, at),
            None => self.leave_voice(guild, user, at),
        }
        self.sweep(at);
        entrance.ok_or(Refused::NoNode)
    }

    /// A token for where the user's program is to go; `None`: no node can take the room.
    fn enter_stream(&mut self, guild: GuildId, user: UserId, host: &str, door: &Door, at: Moment) -> Option<Entrance> {
        let channel = self.guild(guild)?.voice_state(user)?.channel_id?;
        let spot = self.settle_room(guild, channel, door.token_id, Some(user), at)?;
        let now = self.fleet.millis(at.now);
        self.fleet.expect_join(now, &spot.node);
        let issuer = self.fleet.issuer();
        let room = self.rooms.get_mut(&guild)?;
        let seated = room.seated.get_mut(&user)?;
        (seated.connection, seated.offer, seated.epoch) = (None, None, spot.epoch);
        let claims = VoiceClaims {
            participant: participant(room.state.voice_state(user)?),
            policy: seated.policy,
            token_id: door.token_id,
            node: spot.node,
            epoch: spot.epoch,
            issuer,
            expires_at_ms: at.unix_ms + LIFETIME_MS,
        };
        let endpoint = match &*spot.endpoint {
            "" => door.public_host,
            endpoint => Some(endpoint),
        };
        // Where it is already it need not be told to go by name: it may have come without TLS, or through a proxy.
        let endpoint = endpoint.filter(|endpoint| *endpoint != host).map(str::to_owned);
        Some(Entrance { endpoint, token: door.key.sign(&claims) })
    }

    /// Ends those of the user's streams whose sessions `is_out` names.
    pub(crate) fn end_streams(&mut self, user: UserId, at: Moment, is_out: impl Fn(&str) -> bool) {
        let is_out = |state: &VoiceState| Way::of(&state.session_id).is_some() && is_out(&state.session_id);
        let guilds: Vec<GuildId> =
            self.rooms.iter().filter(|(_, room)| room.state.voice_state(user).is_some_and(is_out)).map(|(id, _)| *id).collect();
        guilds.into_iter().for_each(|guild| self.leave_voice(guild, user, at));
        self.sweep(at);
    }
}

#[cfg(test)]
mod tests;
