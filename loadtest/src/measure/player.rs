//! What somebody would hear of one speaker: a player whose delay follows its network, as NetEq's does. Pure: packets with times in.
//!
//! It models that each frame is played in its turn; that a frame which is missing while later ones are there is made up for its
//! own length, and is too late when it comes after that; that with nothing there the player makes something up and goes on where
//! it was, so that its delay grows; that it begins, and keeps, as much ahead as 95 of 100 packets of the last two seconds came
//! later than the earliest of them; and that it plays by a quarter faster while it has a frame more than that, and by a quarter
//! slower while it has a frame less. It does not model how well a made-up frame sounds, nor asking again: that is the client's.

use std::collections::{BTreeSet, VecDeque};

/// Packets whose delays count: two seconds of 20 ms.
const REMEMBERED: usize = 100;
/// The part of them that is to be there in its turn.
const IN_TIME: (usize, usize) = (95, 100);
/// Frames that wait to be played, at most: the oldest give way, as in a browser. Two seconds.
const MOST_WAITING: usize = 100;
/// Nothing new for so many frames is a pause of the speaker, and the next packet begins anew.
const PAUSE: u32 = 250;

#[derive(Clone, Debug)]
pub struct Player {
    /// Nanoseconds of a frame.
    frame: u64,
    waiting: BTreeSet<u32>,
    /// What is played next, and when.
    next: u32,
    due: u64,
    /// How late each of the last packets came, beside its place in the stream.
    delays: VecDeque<i64>,
    /// Frames made up since the last that was played.
    run: u32,
    /// Frames made up, and the longest run of them: both where something was played after them.
    pub made_up: u64,
    pub longest: u32,
}

impl Player {
    /// Begins with a packet.
    pub fn begin(frame: u64, position: u32, arrival: u64) -> Player {
        Player {
            frame,
            waiting: BTreeSet::from([position]),
            next: position,
            due: arrival + 2 * frame,
            delays: VecDeque::from([arrival as i64 - i64::from(position) * frame as i64]),
            run: 0,
            made_up: 0,
            longest: 0,
        }
    }

    /// The frame at this position came, in whatever order.
    pub fn hear(&mut self, position: u32, arrival: u64) {
        self.play(arrival);
        if self.run > PAUSE {
            return self.begin_anew(position, arrival);
        }
        if self.delays.len() == REMEMBERED {
            self.delays.pop_front();
        }
        self.delays.push_back(arrival as i64 - i64::from(position) * self.frame as i64);
        if position >= self.next && self.waiting.insert(position) && self.waiting.len() > MOST_WAITING {
            self.waiting.pop_first();
        }
    }

    /// The speaker begins to talk again, with this packet.
    pub fn begin_anew(&mut self, position: u32, arrival: u64) {
        *self = Player { made_up: self.made_up, longest: self.longest, ..Player::begin(self.frame, position, arrival) };
    }

    /// Plays what was due before `now`.
    fn play(&mut self, now: u64) {
        while self.due <= now && self.run <= PAUSE {
            // What was made up was as long as what is missing: it goes on behind that.
            if let Some(first) = self.waiting.first().filter(|first| self.run >= **first - self.next) {
                self.next = *first;
            }
            if self.waiting.remove(&self.next) {
                self.longest = self.longest.max(self.run);
                self.made_up += u64::from(std::mem::take(&mut self.run));
                self.next += 1;
                self.due += self.pace();
            } else {
                self.run += 1;
                self.due += self.frame;
            }
        }
    }

    /// How long the frame takes that is being played.
    fn pace(&self) -> u64 {
        let ahead = self.waiting.last().map_or(0, |newest| u64::from(newest + 1 - self.next)) * self.frame;
        let target = self.target();
        if ahead > target + self.frame {
            self.frame * 3 / 4
        } else if ahead + self.frame < target {
            self.frame * 5 / 4
        } else {
            self.frame
        }
    }

    /// How much it wants to have ahead, ns.
    fn target(&self) -> u64 {
        let mut delays: Vec<i64> = self.delays.iter().copied().collect();
        delays.sort_unstable();
        let late = delays[(delays.len() * IN_TIME.0 / IN_TIME.1).min(delays.len() - 1)];
        (late - delays[0]) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const FRAME: u64 = 20 * MS;

    /// Packets by position and arrival in ms. Frames made up and the longest run of them.
    fn hear(packets: impl IntoIterator<Item = (u32, u64)>) -> (u64, u32) {
        let mut packets = packets.into_iter().map(|(position, at)| (position, at * MS));
        let (position, arrival) = packets.next().expect("a packet");
        let mut player = Player::begin(FRAME, position, arrival);
        packets.for_each(|(position, arrival)| player.hear(position, arrival));
        (player.made_up, player.longest)
    }

    fn smooth(from: u32, until: u32) -> impl Iterator<Item = (u32, u64)> {
        (from..until).map(|position| (position, 100 + 20 * u64::from(position)))
    }

    #[test]
    fn what_comes_in_its_turn_is_played_and_what_never_comes_is_made_up() {
        assert_eq!(hear(smooth(0, 500)), (0, 0));
        assert_eq!(hear(smooth(0, 500).filter(|(position, _)| *position != 250)), (1, 1));
        assert_eq!(hear(smooth(0, 500).filter(|(position, _)| !(250..254).contains(position))), (4, 4));
    }

    #[test]
    fn what_comes_again_too_late_is_made_up_and_in_time_is_not() {
        let again = |late: u64| {
            let mut packets: Vec<_> =
                smooth(0, 500).map(|(position, at)| (position, if position == 250 { at + late } else { at })).collect();
            packets.sort_by_key(|(_, at)| *at);
            hear(packets)
        };
        assert_eq!((again(15), again(200)), ((0, 0), (1, 1)));
    }

    #[test]
    fn its_delay_follows_jitter() {
        // Every fifth packet is late by 90 ms: at first they come after their turn, and then the player waits for them.
        let mut packets: Vec<_> =
            smooth(0, 2_000).map(|(position, at)| (position, if position % 5 == 0 { at + 90 } else { at })).collect();
        packets.sort_by_key(|(_, at)| *at);
        let (made_up, _) = hear(packets.iter().copied().take(1_000));
        assert!((1..20).contains(&made_up), "{made_up}");
        assert_eq!(hear(packets).0, made_up, "none in the second half");
    }

    #[test]
    fn a_queue_that_grows_is_made_up_once_and_played_off_afterwards() {
        // From 5 s on everything comes later and later, up to a second, and then again at once.
        let late = |position: u32| match position {
            250..300 => 20 * u64::from(position - 250),
            300..400 => 1_000_u64.saturating_sub(20 * u64::from(position - 300)),
            _ => 0,
        };
        let packets: Vec<_> = smooth(0, 1_000).map(|(position, at)| (position, at + late(position))).collect();
        let (made_up, longest) = hear(packets);
        // Of a second; by playing slower meanwhile it wins the rest.
        assert!((30..=50).contains(&made_up), "{made_up}");
        assert!(longest <= 2, "{longest} in a row");
    }

    #[test]
    fn a_pause_of_the_speaker_is_no_gap() {
        let after = smooth(100, 200).map(|(position, at)| (position, at + 60_000));
        assert_eq!(hear(smooth(0, 100).chain(after)), (0, 0));
    }
}
