//! Whose voice an SSRC is, as the voice gateway tells it.

use guildhall_protocol::UserId;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Written by the signaling task, read by the media task for each packet.
#[derive(Default)]
pub struct Roster(Mutex<HashMap<u32, UserId>>);

impl Roster {
    pub fn user(&self, ssrc: u32) -> Option<UserId> {
        self.lock().get(&ssrc).copied()
    }

    /// Learns from Speaking (5), Video (12) and Client Disconnect (13).
    ///
    /// Speaking 0 keeps the entry: it is a pause, and a slot that changes hands is announced with its new owner.
    pub(super) fn note(&self, op: u64, data: &Value) {
        let Ok(user) = UserId::deserialize(&data["user_id"]) else { return };
        let ssrc = match op {
            5 => &data["ssrc"],
            12 => &data["audio_ssrc"],
            13 => return self.lock().retain(|_, known| *known != user),
            _ => return,
        };
        if let Some(ssrc) = ssrc.as_u64().and_then(|ssrc| u32::try_from(ssrc).ok()).filter(|ssrc| *ssrc != 0) {
            self.lock().insert(ssrc, user);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, UserId>> {
        // A map of plain values is whole even if a holder panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_protocol::Snowflake;
    use serde_json::json;

    fn user(id: u64) -> UserId {
        UserId(Snowflake(id))
    }

    #[test]
    fn the_last_announcement_of_an_ssrc_wins_and_leaving_forgets() {
        let roster = Roster::default();
        roster.note(5, &json!({ "user_id": "1", "ssrc": 10, "speaking": 1 }));
        roster.note(12, &json!({ "user_id": "2", "audio_ssrc": 11 }));
        assert_eq!((roster.user(10), roster.user(11), roster.user(12)), (Some(user(1)), Some(user(2)), None));
        roster.note(5, &json!({ "user_id": "1", "ssrc": 10, "speaking": 0 }));
        assert_eq!(roster.user(10), Some(user(1)));
        roster.note(5, &json!({ "user_id": "2", "ssrc": 10, "speaking": 1 }));
        assert_eq!(roster.user(10), Some(user(2)));
        roster.note(13, &json!({ "user_id": "2" }));
        assert_eq!((roster.user(10), roster.user(11)), (None, None));
    }
}
