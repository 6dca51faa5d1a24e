//! One speaker as one listener hears them: what is missing, what came twice, where it was silent. Pure: packets with times in,
//! entries in a [`Book`] out.

use super::book::Book;
use super::stamp::{Kind, Stamp};

/// A player's jitter buffer, for what it would have had to make up.
const JITTER_BUFFER: u64 = 60_000_000;
/// Packets behind the highest that may still come: a second and more.
const WINDOW: u32 = 64;

/// What is the same for all streams of a run.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Nanoseconds of a packet.
    pub frame: u64,
    /// A silence counts as a gap from here on.
    pub gap: u64,
}

#[derive(Clone, Debug)]
pub struct Stream {
    pub speaker: u32,
    highest: u32,
    /// Bit n: `highest - n` has come.
    seen: u64,
    last_arrival: u64,
    spurt: u16,
    position: u16,
    /// Arrival and position of the packet that started the player in this spurt.
    anchor: (u64, u16),
    /// Missing that was not entered because its packets lay outside of every window.
    is_counting: bool,
}

impl Stream {
    /// Begins with the first packet heard. `ready` is since when the listener could hear.
    pub fn begin(stamp: &Stamp, arrival: u64, ready: u64, rules: &Rules, counts: bool, book: &mut Book) -> Self {
        if counts {
            book.received += 1;
            Self::enter_onset(stamp, ready, rules, book);
            book.played += 1;
        }
        Self {
            speaker: stamp.speaker,
            highest: stamp.sequence,
            // What came before is not ours: it counts as seen.
            seen: !0,
            last_arrival: arrival,
            spurt: stamp.spurt,
            position: stamp.position,
            anchor: (arrival, stamp.position),
            is_counting: counts,
        }
    }

    /// A further packet of the same speaker. `counts` says whether it was sent within a measured window.
    pub fn hear(&mut self, stamp: &Stamp, arrival: u64, ready: u64, rules: &Rules, counts: bool, book: &mut Book) {
        let step = stamp.sequence.wrapping_sub(self.highest) as i32;
        if step <= 0 {
            self.hear_late(step.unsigned_abs(), arrival, stamp, rules, counts, book);
            return;
        }
        let step = step.unsigned_abs();
        if counts {
            book.received += 1;
            book.missing += if self.is_counting { u64::from(step - 1) } else { 0 };
            book.played += 1;
        }
        self.is_counting = counts;
        self.seen = if step >= WINDOW { 1 } else { self.seen << step | 1 };
        self.highest = stamp.sequence;
        if stamp.kind == Kind::Speech {
            if stamp.spurt == self.spurt {
                let silence = arrival.saturating_sub(self.last_arrival + rules.frame);
                let skipped = u64::from(stamp.position.saturating_sub(self.position).saturating_sub(1));
                let deadline = self.deadline(stamp.position, rules);
                if counts {
                    if silence >= rules.gap {
                        book.gaps.saturating_record(silence);
                    }
                    book.played += skipped;
                    book.concealed += skipped + u64::from(arrival > deadline);
                }
                if arrival > deadline {
                    // A player that ran dry starts anew with what comes.
                    self.anchor = (arrival, stamp.position);
                }
            } else {
                if counts {
                    Self::enter_onset(stamp, ready, rules, book);
                }
                (self.spurt, self.anchor) = (stamp.spurt, (arrival, stamp.position));
            }
            (self.position, self.last_arrival) = (stamp.position, arrival);
        }
    }

    fn hear_late(&mut self, behind: u32, arrival: u64, stamp: &Stamp, rules: &Rules, counts: bool, book: &mut Book) {
        let bit = 1u64.checked_shl(behind).unwrap_or(0);
        if self.seen & bit != 0 || behind >= WINDOW {
            book.duplicates += u64::from(counts);
            return;
        }
        self.seen |= bit;
        if counts {
            book.received += 1;
            book.reordered += 1;
            book.missing = book.missing.saturating_sub(1);
            if stamp.kind == Kind::Speech && stamp.spurt == self.spurt && arrival <= self.deadline(stamp.position, rules) {
                // It came in time to be played after all.
                book.concealed = book.concealed.saturating_sub(1);
            }
        }
    }

    fn deadline(&self, position: u16, rules: &Rules) -> u64 {
        let (arrival, anchor) = self.anchor;
        arrival + JITTER_BUFFER + u64::from(position.saturating_sub(anchor)) * rules.frame
    }

    /// The speaker was elsewhere meanwhile: numbers before `from` are not missed here.
    pub fn forgive(&mut self, from: u32) {
        let last = from.wrapping_sub(1);
        if last.wrapping_sub(self.highest) as i32 > 0 {
            (self.highest, self.seen) = (last, !0);
        }
    }

    /// At a window's end, when everybody has fallen silent: `next` is the number that the speaker would have used next.
    pub fn close(&mut self, next: u32, book: &mut Book) {
        let tail = next.wrapping_sub(self.highest).wrapping_sub(1) as i32;
        if tail > 0 && self.is_counting {
            book.missing += u64::from(tail.unsigned_abs());
            self.highest = next.wrapping_sub(1);
            self.seen = 0;
        }
        self.is_counting = false;
    }

    /// A spurt that is first heard after its begin, although the listener was there.
    fn enter_onset(stamp: &Stamp, ready: u64, rules: &Rules, book: &mut Book) {
        let lost = u64::from(stamp.position) * rules.frame;
        if lost > 0 && stamp.kind == Kind::Speech && ready <= stamp.sent.saturating_sub(lost) {
            book.onsets.saturating_record(lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 20_000_000;
    const RULES: Rules = Rules { frame: FRAME, gap: 60_000_000 };
    const MS: u64 = 1_000_000;

    /// Sequence, spurt, position, arrival in milliseconds; sent 5 ms before that.
    type Line = (u32, u16, u16, u64);

    fn run(lines: &[Line]) -> (Stream, Book) {
        let mut book = Book::default();
        let mut stream: Option<Stream> = None;
        for (sequence, spurt, position, at) in lines {
            let (arrival, kind) = (1_000 * MS + at * MS, Kind::Speech);
            let (spurt, position, sequence) = (*spurt, *position, *sequence);
            let stamp = Stamp { run: 1, speaker: 1, room: 1, sequence, spurt, position, kind, sent: arrival - 5 * MS };
            match &mut stream {
                None => stream = Some(Stream::begin(&stamp, arrival, 0, &RULES, true, &mut book)),
                Some(stream) => stream.hear(&stamp, arrival, 0, &RULES, true, &mut book),
            }
        }
        (stream.expect("a line"), book)
    }

    /// received, missing, duplicates, reordered, gaps (count, longest ms), onsets, concealed.
    #[track_caller]
    fn check(lines: &[Line], expected: (u64, u64, u64, u64, (u64, u64), u64, u64)) {
        let (_, book) = run(lines);
        let longest = if book.gaps.is_empty() { 0 } else { (book.gaps.max() + MS / 2) / MS };
        let found = (
            book.received,
            book.missing,
            book.duplicates,
            book.reordered,
            (book.gaps.len(), longest),
            book.onsets.len(),
            book.concealed,
        );
        assert_eq!(found, expected, "{lines:?}");
    }

    #[test]
    fn packets_are_accounted_for_by_the_table() {
        // Smooth.
        check(&[(0, 1, 0, 0), (1, 1, 1, 20), (2, 1, 2, 40)], (3, 0, 0, 0, (0, 0), 0, 0));
        // One lost: a silence of 20 ms is no gap, and is made up.
        check(&[(0, 1, 0, 0), (2, 1, 2, 40)], (2, 1, 0, 0, (0, 0), 0, 1));
        // Four lost: 80 ms of silence.
        check(&[(0, 1, 0, 0), (5, 1, 5, 100)], (2, 4, 0, 0, (1, 80), 0, 4));
        // None lost but late by 100 ms: a gap all the same, and one frame came after its turn.
        check(&[(0, 1, 0, 0), (1, 1, 1, 120), (2, 1, 2, 121)], (3, 0, 0, 0, (1, 100), 0, 1));
        // Two passed each other.
        check(&[(0, 1, 0, 0), (2, 1, 2, 40), (1, 1, 1, 41), (3, 1, 3, 60)], (4, 0, 0, 1, (0, 0), 0, 0));
        // Twice.
        check(&[(0, 1, 0, 0), (1, 1, 1, 20), (1, 1, 1, 20), (0, 1, 0, 21)], (2, 0, 2, 0, (0, 0), 0, 0));
        // A pause between spurts is no gap.
        check(&[(0, 1, 0, 0), (1, 2, 0, 5_000)], (2, 0, 0, 0, (0, 0), 0, 0));
        // The second spurt's first three packets were not heard.
        check(&[(0, 1, 0, 0), (4, 2, 3, 5_000)], (2, 3, 0, 0, (0, 0), 1, 0));
        // The wraparound of the sequence.
        check(&[(u32::MAX, 1, 0, 0), (0, 1, 1, 20), (2, 1, 3, 60)], (3, 1, 0, 0, (0, 0), 0, 1));
        // Two seconds of loss: more than the window (a histogram keeps three digits).
        check(&[(0, 1, 0, 0), (100, 1, 100, 2_000), (99, 1, 99, 2_001)], (3, 98, 0, 1, (1, 1_981), 0, 98));
    }

    #[test]
    fn what_never_came_at_the_end_is_missed_when_the_window_closes() {
        let (mut stream, mut book) = run(&[(7, 1, 0, 0), (8, 1, 1, 20)]);
        stream.close(9, &mut book);
        assert_eq!(book.missing, 0);
        let (mut stream, mut book) = run(&[(7, 1, 0, 0), (8, 1, 1, 20)]);
        stream.close(19, &mut book);
        stream.close(19, &mut book);
        assert_eq!(book.missing, 10, "counted once");
    }

    #[test]
    fn what_a_speaker_said_elsewhere_is_not_missed() {
        let (mut stream, mut book) = run(&[(7, 1, 0, 0)]);
        stream.forgive(7);
        stream.forgive(50);
        stream.close(50, &mut book);
        assert_eq!(book.missing, 0);
        let (mut stream, mut book) = run(&[(7, 1, 0, 0)]);
        stream.forgive(50);
        stream.close(53, &mut book);
        assert_eq!(book.missing, 3, "but what it said since is");
    }

    #[test]
    fn a_listener_who_came_in_the_middle_of_a_spurt_lost_no_beginning_of_it() {
        let stamp =
            Stamp { run: 1, speaker: 1, room: 1, sequence: 9, spurt: 1, position: 50, kind: Kind::Speech, sent: 5_000 * MS };
        let mut book = Book::default();
        Stream::begin(&stamp, 5_005 * MS, 4_500 * MS, &RULES, true, &mut book);
        assert_eq!(book.onsets.len(), 0);
        Stream::begin(&stamp, 5_005 * MS, 3_999 * MS, &RULES, true, &mut book);
        assert_eq!((book.onsets.len(), book.received), (1, 2));
    }
}
