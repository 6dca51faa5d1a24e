//! What one group of packets came to: counters and histograms that threads fill and that add up.

use super::picture::Pictures;
use hdrhistogram::Histogram;

/// Nanoseconds, to three digits.
pub type Times = Histogram<u64>;

/// Longer than any run's patience: two minutes.
const LONGEST: u64 = 120_000_000_000;

pub fn times() -> Times {
    Histogram::new_with_bounds(1_000, LONGEST, 3).expect("fixed bounds are valid")
}

/// Whose packets: each has a book of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Through the server under test.
    Server,
    /// Through the bare forwarder.
    Floor,
    /// Socket to socket, through nothing: what the machine and this program add by themselves.
    Direct,
}

impl Party {
    pub const ALL: [Self; 3] = [Self::Server, Self::Floor, Self::Direct];
}

#[derive(Clone, Debug)]
pub struct Book {
    /// Stamped packets that went on the wire.
    pub sent: u64,
    /// Stamped packets that arrived where they should.
    pub received: u64,
    /// Sent while a listener was there, and never arrived.
    pub missing: u64,
    /// The same, to listeners with fewer slots than their room has talkers: the server chooses who is heard.
    pub unselected: u64,
    /// Lost by the emulated network on the way down.
    pub emulated: u64,
    pub duplicates: u64,
    pub reordered: u64,
    /// Came into a room where their speaker was not.
    pub misrouted: u64,
    /// Sent by somebody whom the server had muted.
    pub forbidden: u64,
    /// Came back to their speaker.
    pub echoed: u64,
    /// Opened well, and the stamp was damaged or foreign.
    pub damaged: u64,
    /// Did not open.
    pub unopened: u64,
    /// The same, and it was for who had the port before.
    pub stale: u64,
    /// The first packet of a native stream came before the voice gateway had said whose it is: bots drop it.
    pub unannounced: u64,
    /// Wire to wire.
    pub delay: Times,
    /// Silences within a spurt of at least the scenario's length.
    pub gaps: Times,
    /// Lost beginnings of spurts.
    pub onsets: Times,
    /// From the wish to join (gateway up) to the first packet, where somebody talked all the while.
    pub first_audio: Times,
    /// The same for those who come back after losing everything.
    pub return_audio: Times,
    /// Frames that a player with a jitter buffer of 60 ms would have had to make up.
    pub concealed: u64,
    /// Frames that such a player had to play.
    pub played: u64,
    /// Sum of all listeners' time.
    pub listened: u64,
    /// Streams decoded by the sample.
    pub decoded: u64,
    pub undecodable: u64,
    pub quiet_streams: u64,
    pub longest_silence_ms: u64,
    /// What viewers saw, and those of them whose network changed.
    pub pictures: Pictures,
    pub shifted: Pictures,
    /// Of the voices that these heard: ms that a player had to make up, and the longest of it at a time.
    pub made_up_ms: u64,
    pub longest_made_up_ms: u64,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            sent: 0,
            received: 0,
            missing: 0,
            unselected: 0,
            emulated: 0,
            duplicates: 0,
            reordered: 0,
            misrouted: 0,
            forbidden: 0,
            echoed: 0,
            damaged: 0,
            unopened: 0,
            stale: 0,
            unannounced: 0,
            delay: times(),
            gaps: times(),
            onsets: times(),
            first_audio: times(),
            return_audio: times(),
            concealed: 0,
            played: 0,
            listened: 0,
            decoded: 0,
            undecodable: 0,
            quiet_streams: 0,
            longest_silence_ms: 0,
            pictures: Pictures::default(),
            shifted: Pictures::default(),
            made_up_ms: 0,
            longest_made_up_ms: 0,
        }
    }
}

impl Book {
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.missing += other.missing;
        self.unselected += other.unselected;
        self.emulated += other.emulated;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.misrouted += other.misrouted;
        self.forbidden += other.forbidden;
        self.echoed += other.echoed;
        self.damaged += other.damaged;
        self.unopened += other.unopened;
        self.stale += other.stale;
        self.unannounced += other.unannounced;
        for (mine, theirs) in [
            (&mut self.delay, &other.delay),
            (&mut self.gaps, &other.gaps),
            (&mut self.onsets, &other.onsets),
            (&mut self.first_audio, &other.first_audio),
            (&mut self.return_audio, &other.return_audio),
        ] {
            mine.add(theirs).expect("all have the same bounds");
        }
        self.concealed += other.concealed;
        self.played += other.played;
        self.listened += other.listened;
        self.decoded += other.decoded;
        self.undecodable += other.undecodable;
        self.quiet_streams += other.quiet_streams;
        self.longest_silence_ms = self.longest_silence_ms.max(other.longest_silence_ms);
        self.pictures.add(&other.pictures);
        self.shifted.add(&other.shifted);
        self.made_up_ms += other.made_up_ms;
        self.longest_made_up_ms = self.longest_made_up_ms.max(other.longest_made_up_ms);
    }

    /// Nanoseconds of all gaps.
    pub fn gap_time(&self) -> u64 {
        self.gaps.iter_recorded().map(|bucket| bucket.value_iterated_to() * bucket.count_at_value()).sum()
    }

    /// Packets that reached listeners, of voices and of pictures.
    pub fn copies(&self) -> u64 {
        self.received + self.pictures.packets + self.shifted.packets
    }

    /// Missing without what the emulated network explains.
    pub fn unexplained(&self) -> u64 {
        self.missing.saturating_sub(self.emulated)
    }
}
