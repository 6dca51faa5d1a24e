//! When somebody talks. A pure machine: the moments depend on the seed and on nothing that happens.

use crate::random::SplitMix;
use crate::scenario::{Pattern, Speech};

const SECOND: f64 = 1e9;

/// One talker's rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    pattern: Pattern,
    spurt: f64,
    pause: f64,
    overlap: f64,
    /// The talker's number in its room, of how many.
    turn: (u64, u64),
    seed: u64,
}

impl Talk {
    pub fn new(speech: &Speech, nth: usize, of: usize, seed: u64) -> Self {
        let &Speech { pattern, spurt_s, pause_s, overlap_s, .. } = speech;
        Self { pattern, spurt: spurt_s, pause: pause_s, overlap: overlap_s, turn: (nth as u64, of.max(1) as u64), seed }
    }

    /// The clock of this talker, from nanosecond 0 on.
    pub fn clock(&self) -> Clock {
        let mut random = SplitMix::new(self.seed).fork(1);
        // Half of the talkers begin with what is left of a pause, the others with what is left of a spurt.
        let is_talking = random.is_hit(self.spurt / (self.spurt + self.pause));
        let mean = if is_talking { self.spurt } else { self.pause };
        let until = (random.exponential(mean) * SECOND) as u64;
        Clock { talk: self.clone(), random, is_talking, until }
    }
}

/// Says for ascending moments whether it is time to talk.
#[derive(Clone, Debug)]
pub struct Clock {
    talk: Talk,
    random: SplitMix,
    is_talking: bool,
    until: u64,
}

impl Clock {
    /// `now`: nanoseconds since the clock's begin, never less than before.
    pub fn is_talking(&mut self, now: u64) -> bool {
        match self.talk.pattern {
            Pattern::Continuous => true,
            Pattern::Turns => {
                let (nth, of) = self.talk.turn;
                let (turn, overlap) = ((self.talk.spurt * SECOND) as u64, (self.talk.overlap * SECOND) as u64);
                let begin = nth * turn;
                let at = (now + of * turn - begin) % (of * turn);
                // In the first round nobody has talked before: no overlap reaches back beyond the begin.
                at < turn + overlap.min((of - 1) * turn) && now >= begin
            }
            Pattern::Conversation => {
                while self.until <= now {
                    self.is_talking = !self.is_talking;
                    let mean = if self.is_talking { self.talk.spurt } else { self.talk.pause };
                    // A spurt has a syllable, and a pause a breath.
                    self.until += (self.random.exponential(mean).max(0.3) * SECOND) as u64;
                }
                self.is_talking
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 20_000_000;

    fn speech(pattern: Pattern) -> Speech {
        Speech { pattern, spurt_s: 2.0, pause_s: 6.0, overlap_s: 0.5, ..Speech::default() }
    }

    #[test]
    fn a_conversation_has_the_asked_share_of_talk_and_the_same_seed_the_same_moments() {
        let talk = |seed| Talk::new(&speech(Pattern::Conversation), 0, 1, seed);
        let moments = |seed| -> Vec<bool> {
            let mut clock = talk(seed).clock();
            (0..200_000).map(|at| clock.is_talking(at * FRAME)).collect()
        };
        let said = moments(1);
        let share = said.iter().filter(|talks| **talks).count() as f64 / said.len() as f64;
        assert!((share - 0.25).abs() < 0.04, "{share}");
        assert_eq!(said, moments(1));
        assert_ne!(said, moments(2));
    }

    #[test]
    fn turns_go_round_with_their_overlap() {
        let clocks: Vec<Clock> = (0..3).map(|nth| Talk::new(&speech(Pattern::Turns), nth, 3, 1).clock()).collect();
        let talking = |seconds: f64| -> Vec<usize> {
            let now = (seconds * SECOND) as u64;
            clocks.iter().enumerate().filter(|(_, clock)| (*clock).clone().is_talking(now)).map(|(nth, _)| nth).collect()
        };
        assert_eq!(talking(0.1), [0], "the last one has not talked yet");
        assert_eq!(talking(1.9), [0]);
        assert_eq!(talking(2.1), [0, 1]);
        assert_eq!(talking(3.0), [1]);
        assert_eq!(talking(5.0), [2]);
        assert_eq!(talking(6.1), [0, 2]);
        assert_eq!(talking(7.0), [0]);
    }
}
