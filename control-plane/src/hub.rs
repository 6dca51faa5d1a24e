//! Guilds and sessions: applies what was committed, and tells everyone who may know.
//!
//! The shell around [`core::Core`], the pure machine that holds every loaded guild and every session. Only this shell reads
//! the store and the clock. It never waits for a client: a session's mailbox takes an event or ends its connection.

use crate::event::Committed;
use crate::guild;
use guildhall_protocol::voice_token::VoiceKey;
use guildhall_protocol::{ChannelId, GuildId, UserId};
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// What the gateway half of the control plane needs to know.
#[derive(Clone)]
pub struct Config {
    /// `host:port` that voice clients are sent to; `None`: the `Host` that their gateway connection came with.
    pub public_host: Option<String>,
    pub voice_key: VoiceKey,
    pub heartbeat_interval: Duration,
}

#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    #[expect(dead_code, reason = "used as soon as sessions exist")]
    config: Config,
    guilds: RwLock<std::collections::HashMap<GuildId, guild::State>>,
}

impl Hub {
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Inner { config, guilds: RwLock::default() }))
    }

    /// Applies committed events in commit order and hands them to the sessions that may see them. Called by the store's
    /// publisher only, one call at a time.
    pub async fn publish(&self, events: Vec<Committed>) {
        let mut guilds = self.0.guilds.write().expect("no holder panics");
        for committed in &events {
            for state in guilds.values_mut() {
                state.apply(&committed.event);
            }
        }
    }

    /// Asks a guild, loading it from the store on first use. `None`: there is no such guild, or the store failed (logged).
    pub async fn with_guild<R>(&self, id: GuildId, ask: impl FnOnce(&guild::State) -> R) -> Option<R> {
        self.0.guilds.read().expect("no holder panics").get(&id).map(ask)
    }

    /// The guild that a channel belongs to.
    pub async fn channel_guild(&self, id: ChannelId) -> Option<GuildId> {
        let guilds = self.0.guilds.read().expect("no holder panics");
        guilds.values().find(|state| state.channel(id).is_some()).map(guild::State::id)
    }

    /// TYPING_START to everyone who may see the channel. Ephemeral.
    pub async fn publish_typing(&self, _guild: GuildId, _channel: ChannelId, _user: UserId) {}

    /// Ends every session that was opened with the token of this hash (close 4004): it was revoked.
    pub fn invalidate_token(&self, _token_hash: &[u8]) {}

    /// Ends every session of the user (close 4004): the account was disabled or its password changed.
    pub fn disconnect_user_sessions(&self, _user: UserId) {}

    /// Members that are online now, for invites and guild counts.
    pub async fn online_count(&self, _guild: GuildId) -> usize {
        0
    }

    /// Moves a connected member to another voice channel (`Some`) or out of voice (`None`). The caller has authorized it.
    /// `false`: the user is not connected to voice in this guild.
    pub async fn move_member(&self, _guild: GuildId, _user: UserId, _channel: Option<ChannelId>) -> bool {
        false
    }
}
