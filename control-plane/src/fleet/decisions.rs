//! Decisions that are kept for operators.

use super::Fleet;
use guildhall_fleet::placement::{Decision, Outcome};
use serde::{Deserialize, Serialize};

/// Decisions that are kept for operators: of every room its last ones, and of all rooms the last that changed something.
const DECISIONS_OF_A_ROOM: usize = 8;
const DECISIONS: usize = 512;

/// A decision, and when it was made by the clock that people use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub unix_ms: u64,
    #[serde(flatten)]
    pub decision: Decision,
}

impl Fleet {
    pub(super) fn keep(&mut self, unix_ms: u64, decision: Decision) {
        let record = Record { unix_ms, decision };
        if !matches!(record.decision.outcome, Outcome::Keep { .. }) {
            if self.decisions.len() == DECISIONS {
                self.decisions.pop_front();
            }
            self.decisions.push_back(record.clone());
        }
        let of_room = &mut self.rooms.entry(record.decision.room).or_default().decisions;
        // A room that stays is asked about with every join: the last of those is enough.
        let is_again = |last: &Record| last.decision.outcome == record.decision.outcome;
        if of_room.back().is_some_and(is_again) {
            of_room.pop_back();
        }
        if of_room.len() == DECISIONS_OF_A_ROOM {
            of_room.pop_front();
        }
        of_room.push_back(record);
    }
}
