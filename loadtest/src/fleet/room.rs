//! A voice room and the people who call each other in it.

use super::caller::Caller;
use guildhall_protocol::ChannelId;
use std::time::Duration;

/// Who is heard was heard within this.
const FRESH: Duration = Duration::from_millis(500);

pub struct Room {
    pub name: String,
    pub channel: ChannelId,
    pub callers: Vec<Caller>,
    /// Whether its people make before they break.
    pub is_seamless: bool,
}

impl Room {
    /// Whether everyone hears everyone else.
    pub fn is_whole(&self) -> bool {
        self.callers.iter().all(|listener| {
            let state = listener.state();
            let others = self.callers.iter().filter(|speaker| speaker.user != listener.user);
            others.map(|speaker| state.voices.get(&speaker.user)).all(|voice| voice.is_some_and(|(ago, _)| *ago < FRESH))
        })
    }

    /// People who hear anybody.
    pub fn hearing(&self) -> usize {
        self.callers.iter().filter(|caller| caller.state().voices.values().any(|(ago, _)| *ago < FRESH)).count()
    }

    /// Where everybody is; `None` while they are at several nodes, or nowhere.
    pub fn endpoint(&self) -> Option<String> {
        let mut endpoints: Vec<String> = self.callers.iter().map(|caller| caller.state().endpoint).collect();
        endpoints.dedup();
        match &mut endpoints[..] {
            [endpoint] if !endpoint.is_empty() => Some(std::mem::take(endpoint)),
            _ => None,
        }
    }

    /// Silences are counted anew from now on.
    pub fn reset(&self) {
        self.callers.iter().for_each(Caller::reset);
    }

    /// Of each voice at each listener, the longest silence since the last reset.
    pub fn gaps(&self) -> Vec<Duration> {
        self.callers.iter().flat_map(|caller| caller.state().voices.into_values().map(|(_, longest)| longest)).collect()
    }

    pub fn longest_gap(&self) -> Duration {
        self.gaps().into_iter().max().unwrap_or_default()
    }
}
