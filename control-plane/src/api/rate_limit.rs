//! Who may ask how often: fixed windows per caller, route and major parameter (COMPAT §10.4).
//!
//! [`Limiter`] is a pure machine: the time comes in, a verdict goes out. The limits themselves are one table here.

use guildhall_protocol::UserId;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Windows per generation. Two generations are kept, about 100 bytes each, so the map stays below 15 MB whoever calls.
const GENERATION: usize = 65_536;

/// How many requests in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub requests: u32,
    pub per: Duration,
}

const fn limit(requests: u32, seconds: u64) -> Limit {
    Limit { requests, per: Duration::from_secs(seconds) }
}

/// All requests of one caller together, as documented: 50 a second.
pub const GLOBAL: Limit = limit(50, 1);

/// All answers of one caller to interactions: more than people press, less than a flood.
const ANSWERS: Limit = limit(500, 1);
const ANSWERS_BUCKET: &str = "answers";

const REACTIONS: Limit = Limit { requests: 1, per: Duration::from_millis(250) };

/// The bucket names of the limits that belong to no route.
pub const GLOBAL_BUCKET: &str = "global";
pub const SLOWMODE_BUCKET: &str = "slowmode";
pub const RENAMES_BUCKET: &str = "renames";
/// Changes of a username, as documented.
pub const RENAMES: Limit = limit(2, 3600);

/// Limits that differ from [`of`]'s defaults: method, route, bucket, limit. Routes with the same bucket share its windows.
const TABLE: &[(&str, &str, &str, Limit)] = &[
    // Hashing a password costs 20 ms of a core, and guessing one should take years.
    ("POST", "/auth/register", "register", limit(20, 10)),
    ("POST", "/auth/login", "login", limit(10, 10)),
    ("PATCH", "/users/@me", "password", limit(10, 10)),
    ("POST", "/users/@me/delete", "password", limit(10, 10)),
    ("POST", "/auth/sessions/logout", "password", limit(10, 10)),
    // A lively conversation, or a bot that answers one, stays below; a flood does not.
    ("POST", "/channels/{channel_id}/messages", "messages-create", limit(25, 5)),
    ("PATCH", "/channels/{channel_id}/messages/{message_id}", "messages-edit", limit(25, 5)),
    ("DELETE", "/channels/{channel_id}/messages/{message_id}", "messages-delete", limit(25, 5)),
    ("POST", "/channels/{channel_id}/messages/bulk-delete", "messages-bulk-delete", limit(5, 5)),
    // Four a second, as libraries expect: a reaction costs a commit and a dispatch to everyone in the channel.
    ("PUT", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me", "reactions", REACTIONS),
    ("DELETE", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me", "reactions", REACTIONS),
    ("DELETE", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/{user_id}", "reactions", REACTIONS),
    ("DELETE", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}", "reactions", REACTIONS),
    ("DELETE", "/channels/{channel_id}/messages/{message_id}/reactions", "reactions", REACTIONS),
    // As documented: libraries pace what they post by it.
    ("POST", "/webhooks/{webhook_id}/{webhook_token}", "webhook-execute", limit(5, 2)),
    // Two searches run at a time; someone who types and reads needs no more.
    ("GET", "/guilds/{guild_id}/messages/search", "search", limit(20, 10)),
    ("GET", "/channels/{channel_id}/messages/search", "search", limit(20, 10)),
    // A typing client repeats itself every eight seconds.
    ("POST", "/channels/{channel_id}/typing", "typing", limit(10, 10)),
    ("POST", "/guilds", "guilds-create", limit(10, 10)),
    ("POST", "/applications", "applications-create", limit(10, 10)),
    ("POST", "/invites/{code}", "invites-use", limit(20, 10)),
    // A program that loses its node comes back a few times; each time is a place in a call.
    ("POST", "/channels/{channel_id}/whip", "streams-open", limit(20, 10)),
    ("POST", "/channels/{channel_id}/whep", "streams-open", limit(20, 10)),
    // Somebody who presses a button as fast as they can.
    ("POST", "/interactions", "interactions-create", limit(25, 5)),
];

/// The bucket and the limit of a route: from the table, else reading is cheap and changing is not.
pub fn of(method: &str, route: &str) -> (&'static str, Limit) {
    let entry = TABLE.iter().find(|(known, path, ..)| *known == method && *path == route);
    match (entry, method) {
        (Some((_, _, bucket, limit)), _) => (bucket, *limit),
        (None, "GET" | "HEAD" | "OPTIONS") => ("read", GLOBAL),
        (None, _) => ("change", limit(60, 10)),
    }
}

/// The limit of all of a caller's requests that a route counts towards. Documented: answers to interactions do not count towards
/// the usual one. They come without a name, and a bot with many users gives them all from one address.
pub fn all_of(route: &str) -> (&'static str, Limit) {
    let is_answer = route.starts_with("/interactions/{") || route.starts_with("/webhooks/{webhook_id}/{webhook_token}");
    if is_answer { (ANSWERS_BUCKET, ANSWERS) } else { (GLOBAL_BUCKET, GLOBAL) }
}

/// Whether answers of a route say how often one may ask. The first answer to an interaction has limits of which Discord does
/// not tell, and hikari takes it for a fault of its own when it hears of one.
pub fn is_told(route: &str) -> bool {
    !route.starts_with("/interactions/{")
}

/// Whom requests are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    User(UserId),
    /// A webhook together with its token, whoever uses it: a hash of both.
    Webhook(u64),
    /// Without a valid token. IPv6 callers own a /64, so they are counted by it.
    Address(IpAddr),
}

impl Identity {
    pub fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Self::Address(IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into())),
            v4 => Self::Address(v4),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    identity: Identity,
    bucket: &'static str,
    /// The guild or channel in the path; 0 if there is none.
    major: u64,
}

#[derive(Clone, Copy)]
struct Window {
    ends: Instant,
    used: u32,
}

/// What a caller is told in the headers, and whether it may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub limit: u32,
    pub remaining: u32,
    pub reset_after: Duration,
    pub is_allowed: bool,
}

/// Counts requests. When the young windows fill their half of the room, the old ones are forgotten: under more callers than
/// there is room for, some are counted anew too early.
#[derive(Default)]
pub struct Limiter {
    young: HashMap<Key, Window>,
    old: HashMap<Key, Window>,
}

impl Limiter {
    /// Counts one request. A refused request does not count, so a caller that waits as told gets through.
    pub fn take(&mut self, now: Instant, identity: Identity, bucket: &'static str, major: u64, limit: Limit) -> Verdict {
        let key = Key { identity, bucket, major };
        let known = self.young.get(&key).copied().or_else(|| self.old.remove(&key));
        let mut window = known.filter(|window| window.ends > now).unwrap_or(Window { ends: now + limit.per, used: 0 });
        let is_allowed = window.used < limit.requests;
        window.used += u32::from(is_allowed);
        if self.young.len() >= GENERATION && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, window);
        Verdict {
            limit: limit.requests,
            remaining: limit.requests.saturating_sub(window.used),
            reset_after: window.ends - now,
            is_allowed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GENERATION, Identity, Limiter, all_of, limit, of};
    use guildhall_protocol::UserId;
    use std::time::{Duration, Instant};

    const ALICE: Identity = Identity::User(UserId::new(1));
    const BOB: Identity = Identity::User(UserId::new(2));

    #[test]
    fn a_window_fills_refuses_and_starts_anew() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        let mut take = |at: u64, who, major| limiter.take(start + Duration::from_millis(at), who, "messages", major, limit(2, 5));
        let first = take(0, ALICE, 7);
        assert_eq!((first.is_allowed, first.remaining, first.reset_after), (true, 1, Duration::from_secs(5)));
        assert_eq!(take(1000, ALICE, 7).remaining, 0);
        let refused = take(2000, ALICE, 7);
        assert_eq!((refused.is_allowed, refused.remaining, refused.reset_after), (false, 0, Duration::from_secs(3)));
        assert!(take(2000, BOB, 7).is_allowed, "another caller has a window of their own");
        assert!(take(2000, ALICE, 8).is_allowed, "another channel has a window of its own");
        assert!(!take(4999, ALICE, 7).is_allowed);
        let anew = take(5000, ALICE, 7);
        assert_eq!((anew.is_allowed, anew.remaining, anew.reset_after), (true, 1, Duration::from_secs(5)));
    }

    #[test]
    fn a_flood_of_callers_leaves_the_map_bounded_and_recent_windows_in_force() {
        let (mut limiter, now) = (Limiter::default(), Instant::now());
        for caller in 0..3 * GENERATION as u64 {
            limiter.take(now, Identity::User(UserId::new(100 + caller)), "read", 0, limit(1, 60));
            // Someone who keeps calling stays known however many strangers come.
            limiter.take(now, ALICE, "read", 0, limit(1, 60));
        }
        assert!(limiter.young.len() + limiter.old.len() <= 2 * GENERATION);
        assert!(!limiter.take(now, ALICE, "read", 0, limit(1, 60)).is_allowed);
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_caller() {
        let of = |text: &str| Identity::of_address(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn routes_have_their_own_limits_and_reading_is_the_generous_default() {
        assert_eq!(of("POST", "/channels/{channel_id}/messages").0, "messages-create");
        assert_eq!(of("GET", "/channels/{channel_id}/messages").0, "read");
        let reaction = "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me";
        assert_eq!(of("PUT", reaction), of("DELETE", reaction));
        assert_eq!((of("PUT", reaction).0, of("PUT", reaction).1.per), ("reactions", Duration::from_millis(250)));
        assert_eq!(of("PUT", "/guilds/{guild_id}/bans/{user_id}").0, "change");
        assert_eq!(all_of("/guilds").0, all_of("/interactions").0);
        assert_ne!(all_of("/guilds").0, all_of("/interactions/{interaction_id}/{interaction_token}/callback").0);
    }
}
