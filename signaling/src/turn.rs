//! TURN servers that others run and that browsers may reach media by (RFC 8656): where they are, and passwords for them.
//!
//! The passwords are those of draft-uberti-behave-turn-rest-00, which coturn calls `use-auth-secret`: a user name that says until
//! when it holds, and its HMAC under a secret that only the TURN server and we know.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use guildhall_protocol::UserId;
use guildhall_protocol::voice_gateway::IceServer;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A password is only asked for when a path is opened, and a call may move to another path late in the day.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// `turn:HOST[:PORT]` or `turns:HOST[:PORT]`, with `?transport=udp` or `?transport=tcp` behind it or nothing (RFC 7065).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnUrl(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be turn:HOST[:PORT] or turns:HOST[:PORT], with ?transport=udp or ?transport=tcp behind it or nothing")]
pub struct BadTurnUrl;

impl FromStr for TurnUrl {
    type Err = BadTurnUrl;

    fn from_str(text: &str) -> Result<Self, BadTurnUrl> {
        let (scheme, rest) = text.split_once(':').ok_or(BadTurnUrl)?;
        let (authority, query) = rest.split_once('?').map_or((rest, None), |(authority, query)| (authority, Some(query)));
        let authority: axum::http::uri::Authority = authority.parse().map_err(|_| BadTurnUrl)?;
        // What looks like a port and is none is part of no host.
        let has_port = authority.as_str().len() > authority.host().len();
        let is_valid = matches!(scheme, "turn" | "turns")
            && matches!(query, None | Some("transport=udp" | "transport=tcp"))
            && !authority.host().is_empty()
            && !authority.as_str().contains('@')
            && (!has_port || authority.port_u16().is_some_and(|port| port > 0));
        if is_valid { Ok(Self(text.to_owned())) } else { Err(BadTurnUrl) }
    }
}

/// The servers and the secret that they share with us.
#[derive(Clone)]
pub struct Turn {
    urls: Vec<TurnUrl>,
    secret: hmac::Key,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl Turn {
    pub fn new(urls: Vec<TurnUrl>, secret: &[u8]) -> Self {
        Self { urls, secret: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret) }
    }

    /// What `user` may use for a day from `now`, the time since the Unix epoch.
    pub fn servers(&self, user: UserId, now: Duration) -> IceServer {
        let username = format!("{}:{user}", (now + LIFETIME).as_secs());
        let credential = BASE64_STANDARD.encode(hmac::sign(&self.secret, username.as_bytes()));
        IceServer { urls: self.urls.iter().map(|url| url.0.clone()).collect(), username, credential }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_turn() {
        let good = ["turn:turn.example.org", "turns:192.0.2.1:443?transport=tcp", "turn:[2001:db8::1]:3478?transport=udp"];
        good.iter().for_each(|url| assert!(url.parse::<TurnUrl>().is_ok(), "{url}"));
        let bad = [
            "",
            "turn",
            "turn:",
            "stun:a",
            "turn:a:0",
            "turn:a:x",
            "turn:a:",
            "turn:u@a",
            "turn://a",
            "turn:a?transport=x",
            "turn:a b",
        ];
        bad.iter().for_each(|url| assert_eq!(url.parse::<TurnUrl>(), Err(BadTurnUrl), "{url}"));
    }

    #[test]
    fn a_password_is_the_hmac_of_the_name_that_says_until_when() {
        let turn = Turn::new(vec!["turn:turn.example.org".parse().unwrap()], b"north");
        let server = turn.servers(UserId::new(42), Duration::from_millis(1_700_000_000_900));
        assert_eq!(server.username, "1700086400:42");
        // printf 1700086400:42 | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(server.credential, "L2hcb1MC2B5KQuhQpPefyMtMg+A=");
        assert_eq!(server.urls, ["turn:turn.example.org"]);
        assert!(!format!("{turn:?}").contains("north"));
    }
}
