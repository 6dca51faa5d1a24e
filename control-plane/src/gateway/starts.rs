//! How often an account may open sessions: the documented limits of Identify.
//!
//! A pure machine that the hub owns. It counts attempts that proved who they are; who proves nothing is closed instead.

use crate::api::rate_limit::{Identity, Limit, Verdict};
use crate::tally::Window;
use guildhall_protocol::UserId;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Documented: sessions that an account may open a day. Enough for one that is restarted every other minute.
pub const DAILY: u32 = 1000;
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Documented as `max_concurrency`: sessions that an account may open at once, that is in five seconds.
pub const AT_ONCE: u32 = 16;
pub const ONCE: Duration = Duration::from_secs(5);
/// Fewer accounts than this are not worth looking for days that are over.
const FEW: usize = 1024;

/// What `GET /gateway/bot` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    pub sessions: u32,
    /// Until the day's sessions are whole again; zero if they are.
    pub reset_after: Duration,
}

impl Remaining {
    /// By the day's window, if control planes count together.
    pub fn of(day: &Verdict) -> Self {
        let is_whole = day.remaining == DAILY;
        Self { sessions: day.remaining, reset_after: if is_whole { Duration::ZERO } else { day.reset_after } }
    }
}

/// The same limits for control planes that count together: at once, and in a day.
pub fn windows(user: UserId) -> [Window; 2] {
    let of = |bucket, requests, per| {
        let limit = Limit { requests, per };
        Window { identity: Identity::User(user), bucket, major: 0, limit }
    };
    [of("starts", AT_ONCE, ONCE), of("starts-day", DAILY, DAY)]
}

#[derive(Debug)]
struct Opened {
    day: Instant,
    in_day: u32,
    moment: Instant,
    in_moment: u32,
}

/// Bounded by the accounts that opened a session within a day.
#[derive(Debug, Default)]
pub struct Starts {
    accounts: HashMap<UserId, Opened>,
    /// When there are this many, those whose day is over are let go of.
    prune_at: usize,
}

impl Starts {
    /// Counts one more session; `false` if it is too many.
    pub fn take(&mut self, user: UserId, now: Instant) -> bool {
        if self.accounts.len() >= self.prune_at.max(FEW) {
            self.accounts.retain(|_, opened| now.duration_since(opened.day) < DAY);
            self.prune_at = self.accounts.len() * 2;
        }
        let opened = self.accounts.entry(user).or_insert(Opened { day: now, in_day: 0, moment: now, in_moment: 0 });
        if now.duration_since(opened.day) >= DAY {
            (opened.day, opened.in_day) = (now, 0);
        }
        if now.duration_since(opened.moment) >= ONCE {
            (opened.moment, opened.in_moment) = (now, 0);
        }
        let is_allowed = opened.in_day < DAILY && opened.in_moment < AT_ONCE;
        if is_allowed {
            opened.in_day += 1;
            opened.in_moment += 1;
        }
        is_allowed
    }

    pub fn remaining(&self, user: UserId, now: Instant) -> Remaining {
        let whole = Remaining { sessions: DAILY, reset_after: Duration::ZERO };
        self.accounts.get(&user).map_or(whole, |opened| match DAY.checked_sub(now.duration_since(opened.day)) {
            Some(rest) if rest > Duration::ZERO => Remaining { sessions: DAILY - opened.in_day, reset_after: rest },
            _ => whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: UserId = UserId::new(1);
    const BOB: UserId = UserId::new(2);

    #[test]
    fn sixteen_at_once_and_a_thousand_a_day() {
        let (mut starts, mut now) = (Starts::default(), Instant::now());
        let start = now;
        assert_eq!(starts.remaining(ANN, now), Remaining { sessions: DAILY, reset_after: Duration::ZERO });
        let mut opened = 0;
        while opened < DAILY {
            let at_once = (0..AT_ONCE + 3).filter(|_| starts.take(ANN, now)).count() as u32;
            assert_eq!(at_once, AT_ONCE.min(DAILY - opened));
            opened += at_once;
            now += ONCE;
        }
        assert!(!starts.take(ANN, now));
        assert_eq!(starts.remaining(ANN, now), Remaining { sessions: 0, reset_after: DAY - (now - start) });
        assert!(starts.take(BOB, now), "each account counts for itself");
        now = start + DAY;
        assert_eq!(starts.remaining(ANN, now), Remaining { sessions: DAILY, reset_after: Duration::ZERO });
        assert!(starts.take(ANN, now));
        assert_eq!(starts.remaining(ANN, now).sessions, DAILY - 1);
    }

    #[test]
    fn accounts_whose_day_is_over_are_forgotten() {
        let (mut starts, now) = (Starts::default(), Instant::now());
        (0..FEW as u64).for_each(|id| assert!(starts.take(UserId::new(id), now)));
        assert_eq!(starts.accounts.len(), FEW);
        assert!(starts.take(UserId::new(9_999), now + DAY));
        assert_eq!(starts.accounts.len(), 1);
    }
}
