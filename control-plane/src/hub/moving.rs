//! Sessions move from a control plane that ends on purpose to the one that their client comes back to.
//!
//! Before a client is sent away, its session stops telling and is written down with the place in the order of all events up to which
//! it was told. Whoever takes it reads the events after that place, up to its own, and tells them to this session: what is said in
//! a place by who sees it, as it would have been said. That is faithful only while nothing else happened that would concern it
//! (who sees which place, who is a member, what is its user's own), so if there is, the session is not resumed and its client
//! starts anew. Presences and typing of the meantime are not told.

use super::core::{Account, Attached, Core, Moment, SessionKey};
use super::handover::KeptSession;
use super::{Hub, READS};
use crate::event::{Committed, Event, Topic};
use crate::gateway::Origin;
use crate::gateway::link::Link;
use crate::gateway::session::Refusal;
use crate::store::Caller;
use guildhall_protocol::gateway::Resume;
use guildhall_protocol::model::{RelationshipKind, User};
use guildhall_protocol::{GuildId, UserId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// Events that are read to see what a session missed: some seconds of a busy fleet. A client that was away for more starts anew.
const MISSED: u32 = 5_000;
/// How long it is waited for what the session knows already.
const CATCH_UP: Duration = if cfg!(test) { Duration::from_secs(20) } else { Duration::from_secs(2) };

/// A session that waits for its client.
#[derive(Debug, Serialize, Deserialize)]
pub struct Left {
    pub session: KeptSession,
    pub email: Option<String>,
    /// The number of the last event that it was told of, if it concerned it.
    pub position: i64,
}

/// Why a session cannot be taken in.
enum NotTaken {
    /// More was applied here than was read.
    Behind,
    /// Its client could not be told truly what happened.
    Unfaithful,
}

/// What an event means for a session that missed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Nothing,
    /// It is told as it would have been.
    Told,
    /// What else it would have meant cannot be made up for.
    Lost,
}

impl Event {
    /// For a session of this user, who is and was in these guilds.
    fn meaning(&self, user: UserId, guilds: &BTreeSet<GuildId>) -> Meaning {
        match self {
            Self::MessageCreate { guild_id, .. }
            | Self::MessageUpdate { guild_id, .. }
            | Self::MessageDelete { guild_id, .. }
            | Self::MessageDeleteBulk { guild_id, .. }
            | Self::ReactionAdd { guild_id, .. }
            | Self::ReactionRemove { guild_id, .. }
            | Self::ReactionRemoveEmoji { guild_id, .. }
            | Self::ReactionRemoveAll { guild_id, .. } => {
                // Of a private channel it is known when it is told who is in it.
                if guild_id.is_none_or(|guild| guilds.contains(&guild)) { Meaning::Told } else { Meaning::Nothing }
            }
            Self::PrivateChannel { channel, .. } if channel.recipients.iter().all(|other| other.id != user) => Meaning::Nothing,
            Self::Personal { user_id, .. } | Self::Access { user_id, .. } if *user_id != user => Meaning::Nothing,
            Self::PrivateChannel { .. } | Self::Personal { .. } | Self::Access { .. } | Self::UserUpdate { .. } => Meaning::Lost,
            Self::ChannelPinsUpdate { guild_id, .. } => match guild_id {
                Some(guild) if !guilds.contains(guild) => Meaning::Nothing,
                _ => Meaning::Lost,
            },
            other => match other.topic() {
                Topic::Guild(guild) if !guilds.contains(&guild) && !other.is_about(user) => Meaning::Nothing,
                _ => Meaning::Lost,
            },
        }
    }

    /// Whether it changes where the user is a member.
    fn is_about(&self, user: UserId) -> bool {
        match self {
            Self::MemberAdd { member, .. } => member.user.id == user,
            Self::MemberRemove { user: gone, .. } => gone.id == user,
            Self::GuildCreate { .. } => true,
            _ => false,
        }
    }
}

impl Core {
    /// Writes these sessions down, which tell nothing from now on.
    fn hand_over(&mut self, keys: &[SessionKey]) -> Vec<Left> {
        let position = self.position;
        let sessions = keys.iter().filter_map(|key| self.sessions.get(key));
        let left = sessions.map(|session| {
            session.link.hold();
            let email = self.accounts.get(&session.user_id).and_then(|account| account.email.clone());
            Left { session: session.keep(), email, position }
        });
        left.collect()
    }

    /// These sessions are another's by now, or will be.
    fn have_left(&mut self, keys: &[SessionKey]) {
        for key in keys {
            if let Some(session) = self.sessions.get_mut(key) {
                session.has_left = true;
            }
        }
    }

    /// Takes a session in that another control plane left, and tells it what it missed of these events. Its guilds are loaded.
    fn take_in(
        &mut self,
        left: &Left,
        user: &User,
        friends: &HashSet<UserId>,
        missed: &[(i64, Committed)],
        at: Moment,
    ) -> Result<(), NotTaken> {
        let known = missed.last().map_or(left.position, |(id, _)| *id);
        if known < self.position {
            return Err(NotTaken::Behind);
        }
        let missed = missed.iter().filter(|(id, _)| *id <= self.position).map(|(_, committed)| &committed.event);
        let guilds = self.guilds_of(user.id);
        let mut told = Vec::new();
        for event in missed {
            match event.meaning(user.id, &guilds) {
                Meaning::Nothing => {}
                Meaning::Told => told.push(event.clone()),
                Meaning::Lost => return Err(NotTaken::Unfaithful),
            }
        }
        let Some(link) = Link::restore(left.session.mail.clone(), &mut self.names) else { return Err(NotTaken::Unfaithful) };
        let account = self.accounts.entry(user.id).or_insert_with(|| Account::new(user.clone(), guilds.clone()));
        account.email.clone_from(&left.email);
        account.friends.clone_from(friends);
        let key = self.put_session(left.session.clone(), link, at);
        self.retell_to(key, &guilds, told);
        self.take_voice_of(user.id, &left.session.id, &guilds, at);
        self.refresh_presence(user.id, at);
        self.sweep(at);
        Ok(())
    }

    /// Tells events to one session only, as if they happened now.
    fn retell_to(&mut self, key: SessionKey, guilds: &BTreeSet<GuildId>, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut others = Vec::new();
        for guild in guilds {
            let Some(room) = self.rooms.get_mut(guild) else { continue };
            let (own, rest) = std::mem::take(&mut room.seats).into_iter().partition(|seat| seat.key == key);
            room.seats = own;
            others.push((*guild, rest));
        }
        self.only = Some(key);
        events.into_iter().for_each(|event| self.tell_talk(event));
        self.only = None;
        for (guild, mut seats) in others {
            if let Some(room) = self.rooms.get_mut(&guild) {
                seats.append(&mut room.seats);
                room.seats = seats;
            }
        }
    }
}

impl Hub {
    /// Leaves the sessions where another control plane finds them, if there may be others. Before their clients are sent away.
    pub(super) async fn leave_sessions(&self, keys: &[SessionKey]) {
        let Some(cloakroom) = &self.0.config.cloakroom else { return };
        let left = self.core_mut().hand_over(keys);
        match cloakroom.leave(&left).await {
            Ok(()) => self.core_mut().have_left(keys),
            Err(error) => tracing::warn!(%error, "sessions cannot be left to other control planes"),
        }
    }

    /// A session that is not here: takes it in, if another control plane left it.
    pub(super) async fn resume_left(&self, resume: &Resume, caller: &Caller, origin: &Origin) -> Result<Attached, Refusal> {
        let Some(cloakroom) = &self.0.config.cloakroom else { return Err(Refusal::Invalid) };
        let Some(left) = cloakroom.take(&resume.session_id, &caller.token_hash).await else { return Err(Refusal::Invalid) };
        self.core_mut().arrive(caller.id());
        let is_taken = self.take_in(&left, caller).await;
        self.core_mut().arrived(caller.id());
        if !is_taken {
            tracing::info!("a session of another control plane cannot be resumed faithfully; its client starts anew");
            return Err(Refusal::Invalid);
        }
        self.resume_here(resume, &caller.token_hash, origin)
    }

    async fn take_in(&self, left: &Left, caller: &Caller) -> bool {
        let store = &self.0.store;
        // What it knows is known here, too.
        if tokio::time::timeout(CATCH_UP, self.reach(left.position)).await.is_err() {
            return false;
        }
        let (Ok(guilds), Ok(relationships)) = (store.guild_ids_of(caller.id()).await, store.relationships_of(caller.id()).await)
        else {
            return false;
        };
        let friends =
            relationships.iter().filter(|other| other.kind == RelationshipKind::Friend).map(|friend| friend.id).collect();
        for guild in guilds {
            if !self.load(guild).await {
                return false;
            }
        }
        for _ in 0..READS {
            let Ok(missed) = store.events_after(left.position, MISSED).await else { return false };
            if missed.len() >= MISSED as usize {
                return false;
            }
            for channel in missed.iter().filter_map(|(_, committed)| committed.event.private_channel()) {
                self.load_private(channel).await;
            }
            match self.change(|core, at| core.take_in(left, &caller.user, &friends, &missed, at)) {
                Ok(()) => return true,
                Err(NotTaken::Behind) => {}
                Err(NotTaken::Unfaithful) => return false,
            }
        }
        false
    }
}
