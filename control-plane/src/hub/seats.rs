//! A guild with the sessions that listen to it.

use super::core::SessionKey;
use super::subscriptions::Windows;
use crate::gateway::link::Link;
use crate::gateway::mailbox::Dispatch;
use crate::guild::{Snapshot, State};
use crate::voice::Seated;
use guildhall_protocol::gateway::Intents;
use guildhall_protocol::{ChannelId, UserId};
use std::collections::HashMap;
use std::sync::Arc;

pub struct Room {
    pub state: State,
    pub seats: Vec<Seat>,
    /// The last event of the guild's topic that `state` contains.
    pub seq: u64,
    /// The last event of each channel's topic that sessions were told, once there was one.
    pub channel_seqs: HashMap<ChannelId, u64>,
    /// Parts of member lists that people look at.
    pub windows: Windows,
    /// The voice node's side of each voice state.
    pub seated: HashMap<UserId, Seated>,
}

/// One session in one guild: what fan-out needs, next to each other in memory.
pub struct Seat {
    pub key: SessionKey,
    pub user_id: UserId,
    pub intents: Intents,
    /// People's clients follow who is online in a guild of more members than this by its member list.
    pub lazy_above: usize,
    pub link: Arc<Link>,
}

impl Seat {
    pub fn wants(&self, intents: Intents) -> bool {
        self.intents.contains(intents)
    }

    pub fn push(&self, dispatch: &Arc<Dispatch>, lost: &mut Vec<SessionKey>) {
        if !self.link.push(dispatch.clone()) {
            lost.push(self.key);
        }
    }
}

impl Room {
    pub fn new(snapshot: Snapshot) -> Self {
        let seq = snapshot.seq;
        let state = State::new(snapshot);
        Self { state, seats: Vec::new(), seq, channel_seqs: HashMap::new(), windows: Windows::default(), seated: HashMap::new() }
    }

    /// Gives each session what `pick` chooses for it.
    pub fn tell<'d>(&self, lost: &mut Vec<SessionKey>, mut pick: impl FnMut(&Seat) -> Option<&'d Arc<Dispatch>>) {
        for seat in &self.seats {
            if let Some(dispatch) = pick(seat) {
                seat.push(dispatch, lost);
            }
        }
    }

    /// To every session with these intents.
    pub fn tell_all(&self, lost: &mut Vec<SessionKey>, intents: Intents, dispatch: &Arc<Dispatch>) {
        self.tell(lost, |seat| seat.wants(intents).then_some(dispatch));
    }
}
