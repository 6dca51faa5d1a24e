//! Whether this process had the time to listen: a short sleep that ends late, again and again, says that it had not.

use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// How long each sleep is.
const BEAT: Duration = Duration::from_millis(50);

/// A sleep that ends so late was no accident of timers. What others on a busy machine take at a time is far less.
const LATE: Duration = Duration::from_millis(100);

/// Lost time from which on a failure says nothing of the other side: a part of what the shortest step of a call may take.
pub const STARVED: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Pulse {
    /// When the present sleep is to end.
    due: Instant,
    lost: Duration,
}

impl Pulse {
    fn new(now: Instant) -> Self {
        Self { due: now + BEAT, lost: Duration::ZERO }
    }

    /// The sleep is over, or is not waited for any longer.
    fn beat(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.due);
        self.lost += if late >= LATE { late } else { Duration::ZERO };
        self.due = now + BEAT;
    }

    fn is_starved(&self) -> bool {
        self.lost >= STARVED
    }
}

/// Waits for it, and says whether too much of that time was lost.
pub async fn during<T>(work: impl Future<Output = T>) -> (T, bool) {
    let (mut work, mut pulse) = (pin!(work), Pulse::new(Instant::now()));
    loop {
        let done = tokio::select! {
            outcome = &mut work => Some(outcome),
            () = sleep_until(pulse.due.into()) => None,
        };
        // Also at the end: what came too late came with the end of a stall.
        pulse.beat(Instant::now());
        if let Some(outcome) = done {
            return (outcome, pulse.is_starved());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sleeps that end so many milliseconds after they should.
    fn is_starved(late: &[u64]) -> bool {
        let mut pulse = Pulse::new(Instant::now());
        late.iter().for_each(|late| pulse.beat(pulse.due + Duration::from_millis(*late)));
        pulse.is_starved()
    }

    #[test]
    fn stalls_count_and_small_delays_do_not() {
        assert!(!is_starved(&[0; 240]));
        assert!(!is_starved(&[99; 240]), "a busy machine");
        assert!(!is_starved(&[100, 0, 100, 100, 100]));
        assert!(is_starved(&[100, 0, 100, 100, 100, 0, 100]));
        assert!(is_starved(&[0, 500, 0]), "a pause");
        let mut pulse = Pulse::new(Instant::now());
        pulse.beat(pulse.due - BEAT);
        assert!(!pulse.is_starved(), "the work was done before");
    }
}
