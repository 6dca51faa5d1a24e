//! Counters of a worker: what came, what left, what was dropped and why. Plain integers owned by the worker; a snapshot is
//! copied out when someone asks.

use crate::tcp::TcpStats;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a datagram (or one listener's copy of it) was dropped. Dropping changes nothing but its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Reason {
    /// Not STUN, DTLS, RTP, RTCP, IP discovery or a keep-alive.
    Noise,
    /// Too short, or its own lengths contradict each other.
    Malformed,
    /// Longer than a receive buffer; the rest was cut off.
    Oversized,
    /// DTLS, RTP, RTCP or a keep-alive from an address that belongs to nobody.
    UnknownAddress,
    /// IP discovery for an SSRC that nobody has.
    UnknownSsrc,
    /// STUN for a user name that nobody has.
    UnknownUfrag,
    /// STUN whose message integrity does not hold.
    BadStun,
    /// Media before the peer has keys.
    BeforeKeys,
    /// An SSRC that this peer may not send with.
    WrongSsrc,
    /// A payload type that was not negotiated (comfort noise).
    WrongPayloadType,
    /// The authentication tag does not match.
    WrongTag,
    /// Seen before, or too old to tell.
    Replayed,
    /// The speaker may not speak: server mute, no SPEAK, suppressed.
    Muted,
    /// The speaker muted itself.
    SelfMuted,
    /// One listener's copy: it hears as many others already as it can.
    Unheard,
    /// A packet of a new slot tenure that is older than the tenure.
    BeforeTenure,
    /// Handling this peer panicked; the peer was given up.
    Panicked,
    /// More than one peer may cost: authentic audio, checks, DTLS records or keep-alives faster than any client sends them.
    OverBudget,
    /// An offer that was refused because too many handshakes were under way.
    HalfOpenFull,
    /// A handshake that did not end in time; the peer was given up.
    HandshakeTooLong,
    /// A DTLS handshake that failed: another certificate than the offer's, none, no proof of its key; the peer was given up.
    HandshakeFailed,
    /// The socket's send buffer was full.
    SendBufferFull,
    /// The system refused this destination.
    SendRefused,
    /// A signaling connection did not read its events; the peer was given up.
    EventsFull,
    /// Silence beyond its tail: what a quiet sender costs its listeners nothing for.
    Silence,
    /// As many people as one room can forward were talking.
    TooManySpeakers,
    /// The sender went far beyond its channel's bitrate for seconds.
    OverBitrate,
    /// The sender may not show anything: no STREAM.
    MayNotStream,
    /// One listener's copy of video that waited for its network when its slot went on with something else, or paused.
    Superseded,
    /// One listener's copy of video that waited so long that the packet is not remembered any more.
    Overdue,
    /// One listener's copy of video: as many wait for its network as may.
    QueueFull,
    /// A packet for another worker's part of a room that is spread: the other did not keep up.
    HandoverFull,
    /// A packet from another worker's part of a room that is gone, or of a video that is.
    RoomGone,
    /// A packet for whoever records its room: the recorder did not keep up.
    TapeFull,
}

impl Reason {
    /// Every reason, in the order of their counters.
    pub const ALL: [Reason; 34] = [
        Reason::Noise,
        Reason::Malformed,
        Reason::Oversized,
        Reason::UnknownAddress,
        Reason::UnknownSsrc,
        Reason::UnknownUfrag,
        Reason::BadStun,
        Reason::BeforeKeys,
        Reason::WrongSsrc,
        Reason::WrongPayloadType,
        Reason::WrongTag,
        Reason::Replayed,
        Reason::Muted,
        Reason::SelfMuted,
        Reason::Unheard,
        Reason::BeforeTenure,
        Reason::Panicked,
        Reason::OverBudget,
        Reason::HalfOpenFull,
        Reason::HandshakeTooLong,
        Reason::HandshakeFailed,
        Reason::SendBufferFull,
        Reason::SendRefused,
        Reason::EventsFull,
        Reason::Silence,
        Reason::TooManySpeakers,
        Reason::OverBitrate,
        Reason::MayNotStream,
        Reason::Superseded,
        Reason::Overdue,
        Reason::QueueFull,
        Reason::HandoverFull,
        Reason::RoomGone,
        Reason::TapeFull,
    ];

    /// The label for metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Noise => "noise",
            Reason::Malformed => "malformed",
            Reason::Oversized => "oversized",
            Reason::UnknownAddress => "unknown_address",
            Reason::UnknownSsrc => "unknown_ssrc",
            Reason::UnknownUfrag => "unknown_ufrag",
            Reason::BadStun => "bad_stun",
            Reason::BeforeKeys => "before_keys",
            Reason::WrongSsrc => "wrong_ssrc",
            Reason::WrongPayloadType => "wrong_payload_type",
            Reason::WrongTag => "wrong_tag",
            Reason::Replayed => "replayed",
            Reason::Muted => "muted",
            Reason::SelfMuted => "self_muted",
            Reason::Unheard => "unheard",
            Reason::BeforeTenure => "before_tenure",
            Reason::Panicked => "panicked",
            Reason::OverBudget => "over_budget",
            Reason::HalfOpenFull => "half_open_full",
            Reason::HandshakeTooLong => "handshake_too_long",
            Reason::HandshakeFailed => "handshake_failed",
            Reason::SendBufferFull => "send_buffer_full",
            Reason::SendRefused => "send_refused",
            Reason::EventsFull => "events_full",
            Reason::Silence => "silence",
            Reason::TooManySpeakers => "too_many_speakers",
            Reason::OverBitrate => "over_bitrate",
            Reason::MayNotStream => "may_not_stream",
            Reason::Superseded => "superseded",
            Reason::Overdue => "overdue",
            Reason::QueueFull => "queue_full",
            Reason::HandoverFull => "handover_full",
            Reason::RoomGone => "room_gone",
            Reason::TapeFull => "tape_full",
        }
    }
}

/// One counter per [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drops([u64; Reason::ALL.len()]);

impl Default for Drops {
    fn default() -> Drops {
        Drops([0; Reason::ALL.len()])
    }
}

impl Drops {
    pub fn count(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }

    pub fn add(&mut self, reason: Reason, n: u64) {
        self.0[reason as usize] += n;
    }

    pub fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(self.0)
    }
}

/// What passed through an engine. `packets_out` counts copies: one packet to 100 listeners is 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    /// Authentic audio packets that were let through to the room.
    pub audio_in: u64,
    /// Copies of audio sealed for listeners.
    pub audio_out: u64,
    /// Copies of audio that were sent again, because a listener missed them.
    pub audio_repeated: u64,
    /// Authentic packets of video that were let through to the room.
    pub video_in: u64,
    /// Copies of video sealed for listeners, without those that were sent again.
    pub video_out: u64,
    /// Copies of video that were sent again, because a listener missed them.
    pub video_repeated: u64,
    /// Packets that carry nothing new: they ask a listener's network whether it carries more.
    pub padding_out: u64,
}

/// Listeners that are shown video, as they are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    pub listeners: u64,
    /// What their networks carry, as estimated, all together.
    pub estimate_bps: u64,
    /// Video slots that show something, or would.
    pub slots: u64,
    /// Of these, those with a smaller picture than they could show because the listener's network carries no more.
    pub narrowed: u64,
    /// And those without any picture for that.
    pub paused: u64,
}

impl std::ops::AddAssign for Audience {
    fn add_assign(&mut self, other: Audience) {
        self.listeners += other.listeners;
        self.estimate_bps += other.estimate_bps;
        self.slots += other.slots;
        self.narrowed += other.narrowed;
        self.paused += other.paused;
    }
}

/// A histogram of how long audio packets took from their arrival in the kernel until all copies were given back to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// Packets up to each of [`Delays::BOUNDS`] and above the one before; the last counts everything beyond.
    counts: [u64; Delays::BOUNDS.len() + 1],
    sum: Duration,
}

impl Delays {
    /// Upper bounds in microseconds, around what a room is promised: 150 µs mostly, 1 ms nearly always, 3 ms at worst.
    pub const BOUNDS: [u64; 14] = [10, 20, 40, 80, 150, 300, 600, 1_000, 2_000, 3_000, 6_000, 12_000, 25_000, 100_000];

    #[inline]
    pub fn record(&mut self, delay: Duration) {
        let micros = delay.as_micros() as u64;
        let bucket = Self::BOUNDS.iter().position(|&bound| micros <= bound).unwrap_or(Self::BOUNDS.len());
        self.counts[bucket] += 1;
        self.sum += delay;
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// How many packets took at most each bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut below = 0;
        Self::BOUNDS.iter().zip(self.counts).map(move |(&bound, count)| {
            below += count;
            (Duration::from_micros(bound), below)
        })
    }
}

/// Mean opinion scores of WebRTC peers, one for each of their intervals of a few seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opinions {
    pub count: u64,
    /// In hundredths; divided by the count it is the mean.
    pub sum: u64,
    /// Below [`Opinions::POOR`].
    pub poor: u64,
}

impl Opinions {
    /// "Many users dissatisfied" begins at a rating of 70, a score of 3.6 (G.109).
    pub const POOR: u16 = 360;

    pub fn record(&mut self, score: u16) {
        self.count += 1;
        self.sum += u64::from(score);
        self.poor += u64::from(score < Self::POOR);
    }
}

/// A snapshot of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStats {
    /// What clients are told.
    pub address: SocketAddr,
    /// Whose home is here.
    pub rooms: usize,
    /// Parts of rooms whose home is another worker.
    pub branches: usize,
    pub peers: usize,
    pub traffic: Traffic,
    pub drops: Drops,
    /// Time spent working and time spent waiting since the start: the load of a window is the difference of two snapshots.
    pub busy: Duration,
    pub idle: Duration,
    pub delays: Delays,
    pub opinions: Opinions,
    pub audience: Audience,
    /// How far pictures are lowered because the worker has too much to do; 0: not at all.
    pub video_step: usize,
}

/// A snapshot of the whole engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub workers: Vec<WorkerStats>,
    pub tcp: TcpStats,
}

impl Stats {
    pub fn rooms(&self) -> usize {
        self.workers.iter().map(|w| w.rooms).sum()
    }

    pub fn peers(&self) -> usize {
        self.workers.iter().map(|w| w.peers).sum()
    }

    pub fn dropped(&self, reason: Reason) -> u64 {
        self.workers.iter().map(|w| w.drops.of(reason)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_counted_under_the_first_bound_that_holds_it() {
        let mut delays = Delays::default();
        for micros in [0, 10, 11, 150, 99_999, 100_000, 100_001] {
            delays.record(Duration::from_micros(micros));
        }
        let up_to = |micros| delays.cumulative().find(|(bound, _)| bound.as_micros() == micros).expect("a bound").1;
        assert_eq!((up_to(10), up_to(20), up_to(80), up_to(150), up_to(25_000), up_to(100_000)), (2, 3, 3, 4, 4, 6));
        assert_eq!((delays.count(), delays.sum()), (7, Duration::from_micros(300_171)));
    }
}
