//! How much work a peer may cause: packets and checks each have a rate and a burst, and what is beyond is dropped before it
//! costs anything. A client that behaves never meets these limits; one that does not, or that is imitated from a forged
//! address, must not take the time of everyone else on its worker.

use std::time::{Duration, Instant};

/// A rate with a burst, as one point in time (the virtual scheduling form of the leaky bucket): each spend moves the point on
/// by an interval, and it may be ahead of the clock by the burst's worth of intervals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance(Option<Instant>);

/// How fast an allowance grows back and how much of it may be saved.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    interval: Duration,
    burst: u32,
}

/// Authentic audio, which is the dearest: each packet is sealed for every listener. The shortest Opus frame is 2.5 ms, so
/// nobody has more than 400 packets a second to say; a second's worth may come at once after a stall of the network.
pub const AUDIO: Rate = Rate { interval: Duration::from_millis(2), burst: 500 };

/// Authentic checks, and RTCP. While a browser looks for its best pair it checks every 50 ms on each of a few interfaces; one
/// that is sent video reports what came 20 times a second, and asks for what it lost as often.
pub const CONTROL: Rate = Rate { interval: Duration::from_millis(10), burst: 200 };

/// Authentic video: three layers or a screen of 8 Mbit/s have a thousand packets a second, and a key frame comes at once.
pub const VIDEO: Rate = Rate { interval: Duration::from_micros(500), burst: 2000 };

/// Packets that one listener gets again. Beyond, its network lost so much that repeating makes it worse.
pub const REPEATS: Rate = Rate { interval: Duration::from_millis(4), burst: 250 };

/// Packets of audio that one listener gets again: of four voices, as many as are lost on a network that loses half. A burst is
/// a quarter of a second of them.
pub const AUDIO_REPEATS: Rate = Rate { interval: Duration::from_millis(10), burst: 50 };

/// DTLS records before they are looked at: a whole handshake with every flight repeated three times is under 40 datagrams,
/// and a key exchange costs as much as a hundred packets of audio.
pub const HANDSHAKE: Rate = Rate { interval: Duration::from_millis(100), burst: 64 };

/// Keep-alives that want an answer. Libraries send one in five seconds.
pub const ECHO: Rate = Rate { interval: Duration::from_millis(100), burst: 20 };

impl Allowance {
    /// Spends one; `false` when nothing is left, and then nothing changes.
    #[inline]
    pub fn spend(&mut self, now: Instant, rate: Rate) -> bool {
        let from = self.0.map_or(now, |spent_until| spent_until.max(now));
        if from.saturating_duration_since(now) >= rate.interval * rate.burst {
            return false;
        }
        self.0 = Some(from + rate.interval);
        true
    }
}

/// What a peer may still do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowances {
    pub audio: Allowance,
    /// The sound of a screen, as [`AUDIO`].
    pub sound: Allowance,
    pub video: Allowance,
    pub control: Allowance,
    pub handshake: Allowance,
    pub echo: Allowance,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_may_come_at_once_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut allowance = Allowance::default();
        let spent =
            |allowance: &mut Allowance, at: Duration| (0..10_000).take_while(|_| allowance.spend(start + at, AUDIO)).count();
        assert_eq!(spent(&mut allowance, Duration::ZERO), 500);
        assert_eq!(spent(&mut allowance, Duration::from_millis(20)), 10);
        assert_eq!(spent(&mut allowance, Duration::from_secs(60)), 500, "no more is saved than the burst");
        // A clock that seems to run backwards gives nothing and breaks nothing.
        assert_eq!(spent(&mut allowance, Duration::from_secs(59)), 0);
        assert_eq!(spent(&mut allowance, Duration::from_millis(60_002)), 1);
    }

    #[test]
    fn the_shortest_frames_of_opus_fit() {
        let start = Instant::now();
        let mut allowance = Allowance::default();
        assert!((0..4_000).all(|frame| allowance.spend(start + frame * Duration::from_micros(2_500), AUDIO)));
    }
}
