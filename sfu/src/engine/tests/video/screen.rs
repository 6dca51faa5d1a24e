//! One slot as a decoder shows it: a frame when all of it came, and when it is a key frame or follows the one that was shown.
//! What cannot go on for half a second asks for a key frame, as browsers do.

use super::Seen;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_millis(500);

/// Packets that wait for what is missing, as in a browser's jitter buffer.
const MOST_WAITING: usize = 2_048;

#[derive(Default)]
pub struct Screen {
    waiting: BTreeMap<u64, Seen>,
    /// The last packet of the last frame that was shown.
    last: Option<u64>,
    /// When each frame was shown.
    pub shown: Vec<Instant>,
    stuck_since: Option<Instant>,
}

impl Screen {
    /// A packet came. Whether a key frame is to be asked for.
    pub fn see(&mut self, seen: Seen) -> bool {
        let now = seen.at;
        if self.last.is_some_and(|last| seen.sequence <= last) {
            return false;
        }
        self.waiting.insert(seen.sequence, seen);
        if self.waiting.len() > MOST_WAITING {
            self.waiting.pop_first();
        }
        while let Some(last) = self.next() {
            self.waiting = self.waiting.split_off(&(last + 1));
            self.last = Some(last);
            self.shown.push(now);
            self.stuck_since = None;
        }
        if !self.waiting.keys().any(|first| self.whole(*first).is_some()) {
            return false;
        }
        let is_due = now - *self.stuck_since.get_or_insert(now) > PATIENCE;
        if is_due {
            self.stuck_since = Some(now);
        }
        is_due
    }

    /// The last packet of the next frame that can be shown.
    fn next(&self) -> Option<u64> {
        let next = self.last.and_then(|last| self.whole(last + 1));
        let key = || self.waiting.values().filter(|seen| seen.is_key).find_map(|seen| self.whole(seen.sequence));
        next.or_else(key)
    }

    /// The last packet of the frame that begins with this one, if all of it is there.
    fn whole(&self, first: u64) -> Option<u64> {
        let begin = self.waiting.get(&first).filter(|seen| seen.begins)?;
        (first..)
            .map_while(|at| self.waiting.get(&at))
            .take_while(|seen| seen.timestamp == begin.timestamp)
            .find(|seen| seen.marker)
            .map(|seen| seen.sequence)
    }
}
