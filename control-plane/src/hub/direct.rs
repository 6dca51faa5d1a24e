//! Dispatches for one account: what only it is to know. Ephemeral: a session that is not there misses them. Other control planes
//! that have sessions of the account are told to do the same.

use super::Hub;
use super::core::{Core, Moment};
use crate::gateway::mailbox::Dispatch;
use crate::siblings::words::Word;
use guildhall_protocol::{GuildId, UserId};
use serde::Serialize;
use std::sync::Arc;

impl Core {
    /// To the account's sessions, wherever they are, whose shard holds the guild; what belongs to no guild goes to the first
    /// shard. `false`: there is no such session, nor one at another control plane.
    pub fn tell_account(&mut self, user: UserId, guild: Option<GuildId>, dispatch: &Arc<Dispatch>, at: Moment) -> bool {
        let is_elsewhere = self.siblings.is_anywhere(user);
        if is_elsewhere {
            let d = String::from_utf8_lossy(&dispatch.body).into_owned();
            self.siblings.say(Word::Direct { user_id: user, guild_id: guild, name: dispatch.name.to_owned(), d });
        }
        self.tell_account_here(user, guild, dispatch, at) || is_elsewhere
    }

    pub(super) fn tell_account_here(
        &mut self,
        user: UserId,
        guild: Option<GuildId>,
        dispatch: &Arc<Dispatch>,
        at: Moment,
    ) -> bool {
        let keys = self.accounts.get(&user).map(|account| account.sessions.clone()).unwrap_or_default();
        let mut has_told = false;
        for key in keys {
            let Some(session) = self.sessions.get(&key) else { continue };
            if guild.map_or(session.shard.id == 0, |guild| session.shard.holds(guild)) {
                has_told = true;
                if !session.link.push(dispatch.clone()) {
                    self.lost.push(key);
                }
            }
        }
        self.sweep(at);
        has_told
    }
}

impl Hub {
    /// Tells one account something in a guild, or in private. `false`: no session of it is there to hear it.
    pub fn tell_account(&self, user: UserId, guild: Option<GuildId>, name: &'static str, d: &impl Serialize) -> bool {
        let dispatch = Dispatch::new(name, d);
        self.change(|core, at| core.tell_account(user, guild, &dispatch, at))
    }
}
