//! The numbered messages of one session, kept until the client acknowledges them, for a resume.

use crate::limits;
use std::collections::VecDeque;

/// Sequence numbers are counted in 64 bits here and cross the wire as their low 16 bits, which wrap.
#[derive(Default)]
pub struct Replay {
    frames: VecDeque<String>,
    /// The number of the newest message; the first message is number 1.
    last: u64,
}

impl Replay {
    /// The wire number of the next message.
    pub fn next_seq(&self) -> u16 {
        (self.last + 1) as u16
    }

    /// Counts a message, and keeps it if it may be asked for again.
    pub fn push(&mut self, frame: Option<String>) {
        self.last += 1;
        match frame {
            Some(frame) => {
                if self.frames.len() == limits::REPLAY_MESSAGES {
                    self.frames.pop_front();
                }
                self.frames.push_back(frame);
            }
            None => self.frames.clear(),
        }
    }

    /// Forgets what the client has; a number that was never sent changes nothing.
    pub fn acknowledge(&mut self, seq_ack: i64) {
        if let Some(missing) = self.missing(seq_ack) {
            self.frames.drain(..self.frames.len() - missing);
        }
    }

    /// The messages after `seq_ack`, or `None` if one of them is not kept any more.
    pub fn after(&self, seq_ack: i64) -> Option<impl Iterator<Item = &String>> {
        let missing = self.missing(seq_ack)?;
        Some(self.frames.iter().skip(self.frames.len() - missing))
    }

    /// Everything kept, which is then forgotten.
    pub fn take(&mut self) -> impl Iterator<Item = String> {
        std::mem::take(&mut self.frames).into_iter()
    }

    /// How many messages follow `seq_ack`, if all of them are kept. Negative means that the client saw none.
    fn missing(&self, seq_ack: i64) -> Option<usize> {
        let missing = match u16::try_from(seq_ack) {
            // The distance of the low bits is the distance, as long as fewer than 2^16 messages are outstanding.
            Ok(seq) => u64::from((self.last as u16).wrapping_sub(seq)),
            Err(_) if seq_ack < 0 => self.last,
            Err(_) => return None,
        };
        usize::try_from(missing).ok().filter(|&missing| missing <= self.frames.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(count: u64) -> Replay {
        let mut replay = Replay::default();
        for number in 1..=count {
            assert_eq!(replay.next_seq(), number as u16);
            replay.push(Some(number.to_string()));
        }
        replay
    }

    fn after(replay: &Replay, seq_ack: i64) -> Option<Vec<&str>> {
        replay.after(seq_ack).map(|frames| frames.map(String::as_str).collect())
    }

    #[test]
    fn a_resume_gets_what_follows_its_acknowledgement() {
        let mut replay = replay(4);
        assert_eq!(after(&replay, 2), Some(vec!["3", "4"]));
        assert_eq!(after(&replay, 4), Some(vec![]));
        assert_eq!(after(&replay, -1), Some(vec!["1", "2", "3", "4"]));
        replay.acknowledge(3);
        assert_eq!(after(&replay, 3), Some(vec!["4"]));
        assert_eq!(after(&replay, 2), None, "acknowledged messages are gone");
    }

    #[test]
    fn numbers_that_were_never_sent_are_refused_and_acknowledge_nothing() {
        let mut replay = replay(4);
        for bogus in [5, 40_000, 70_000, i64::MAX] {
            replay.acknowledge(bogus);
            assert_eq!(after(&replay, bogus), None, "{bogus}");
        }
        assert_eq!(after(&replay, 0), Some(vec!["1", "2", "3", "4"]));
    }

    #[test]
    fn a_full_buffer_forgets_the_oldest_and_refuses_who_needs_it() {
        let kept = limits::REPLAY_MESSAGES as u64;
        let replay = replay(kept + 2);
        assert_eq!(after(&replay, 1), None);
        assert_eq!(after(&replay, 2).unwrap().len(), limits::REPLAY_MESSAGES);
    }

    #[test]
    fn wire_numbers_wrap() {
        let mut replay = Replay { last: 65_534, ..Replay::default() };
        replay.push(Some("a".into()));
        assert_eq!(replay.next_seq(), 0);
        replay.push(Some("b".into()));
        replay.push(Some("c".into()));
        assert_eq!(after(&replay, 65_535), Some(vec!["b", "c"]));
        assert_eq!(after(&replay, 0), Some(vec!["c"]));
    }
}
