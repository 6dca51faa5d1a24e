//! Who may identify: the voice token's signature and claims, its single use, and whether it was taken back.
//!
//! Pure: the caller passes the wall clock. The node verifies alone, so voice works while the control plane is away.

use crate::limits;
use guildhall_protocol::fleet::{NodeId, Participant, Way};
use guildhall_protocol::voice_gateway::{CloseCode, Identify};
use guildhall_protocol::voice_token::{LIFETIME_MS, TokenError, VoiceClaims, VoiceKey};
use std::collections::HashMap;

/// What the node remembers of tokens for as long as they could be presented again.
#[derive(Default)]
pub struct Ledger {
    /// Token id → when it expires, Unix milliseconds.
    used: HashMap<u64, u64>,
    /// Participant → when the control plane disconnected it, Unix milliseconds: older tokens of it are void.
    voided: HashMap<Participant, u64>,
}

impl Ledger {
    /// Accepts a token once. Wrong tokens, and identities that the token does not vouch for, are 4004; tokens that were good
    /// once (used, expired, taken back, of another session) and those for another node are 4006. `keys` are those of the
    /// control planes, the newest last.
    pub fn admit(
        &mut self,
        keys: &[VoiceKey],
        node: &NodeId,
        identify: &Identify,
        now_unix_ms: u64,
    ) -> Result<VoiceClaims, CloseCode> {
        let claims = verify(keys, node, &identify.token, now_unix_ms)?;
        let participant = &claims.participant;
        if identify.user_id != participant.user_id.into() || identify.server_id != participant.guild_id.into() {
            return Err(CloseCode::AuthenticationFailed);
        }
        let is_other_channel = identify.channel_id.is_some_and(|channel| channel != participant.channel_id.into());
        if identify.session_id != participant.session_id || is_other_channel || Way::of(&participant.session_id).is_some() {
            return Err(CloseCode::SessionInvalid);
        }
        self.use_up(claims, now_unix_ms)
    }

    /// The same for a program that comes without a gateway session, and has nothing but the token.
    pub fn admit_stream(
        &mut self,
        keys: &[VoiceKey],
        node: &NodeId,
        token: &str,
        now_unix_ms: u64,
    ) -> Result<(VoiceClaims, Way), CloseCode> {
        let claims = verify(keys, node, token, now_unix_ms)?;
        let way = Way::of(&claims.participant.session_id).ok_or(CloseCode::SessionInvalid)?;
        Ok((self.use_up(claims, now_unix_ms)?, way))
    }

    /// A good token is worth one connection, unless it was taken back.
    fn use_up(&mut self, claims: VoiceClaims, now_unix_ms: u64) -> Result<VoiceClaims, CloseCode> {
        let participant = &claims.participant;
        if self.used.contains_key(&claims.token_id) {
            return Err(CloseCode::SessionInvalid);
        }
        if self.voided.get(participant).is_some_and(|&voided_at| claims.signed_at_ms() < voided_at) {
            return Err(CloseCode::SessionInvalid);
        }
        if self.used.len() >= limits::USED_TOKENS {
            self.used.retain(|_, expires_at| *expires_at > now_unix_ms);
            if self.used.len() >= limits::USED_TOKENS {
                return Err(CloseCode::RateLimited);
            }
        }
        self.used.insert(claims.token_id, claims.expires_at_ms);
        Ok(claims)
    }

    /// Takes back every token of this participant that was signed before now.
    pub fn void(&mut self, participant: Participant, now_unix_ms: u64) {
        if self.voided.len() >= limits::VOIDED_PARTICIPANTS {
            self.voided.retain(|_, voided_at| *voided_at + LIFETIME_MS > now_unix_ms);
            if self.voided.len() >= limits::VOIDED_PARTICIPANTS {
                self.voided.clear();
            }
        }
        self.voided.insert(participant, now_unix_ms);
    }
}

/// What a token says, if one of our control planes signed it for this node.
fn verify(keys: &[VoiceKey], node: &NodeId, token: &str, now_unix_ms: u64) -> Result<VoiceClaims, CloseCode> {
    let verified = keys.iter().rev().map(|key| key.verify(token, now_unix_ms));
    let verified = verified.reduce(|found, next| if found == Err(TokenError::BadSignature) { next } else { found });
    let claims = verified.unwrap_or(Err(TokenError::BadSignature)).map_err(|error| match error {
        TokenError::Malformed | TokenError::BadSignature => CloseCode::AuthenticationFailed,
        TokenError::Expired => CloseCode::SessionInvalid,
    })?;
    if claims.node == *node { Ok(claims) } else { Err(CloseCode::SessionInvalid) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_protocol::fleet::{Epoch, Policy};
    use guildhall_protocol::{ChannelId, GuildId, Snowflake, UserId};

    const NOW: u64 = 1_800_000_000_000;

    fn key() -> VoiceKey {
        VoiceKey::new(&[7; 32])
    }

    impl Ledger {
        /// At a node that knows our key and an older one.
        fn try_admit(&mut self, identify: &Identify, now: u64) -> Result<VoiceClaims, CloseCode> {
            self.admit(&[VoiceKey::new(&[1; 32]), key()], &NodeId::from("node"), identify, now)
        }
    }

    fn claims(token_id: u64) -> VoiceClaims {
        VoiceClaims {
            participant: Participant {
                guild_id: GuildId::new(1),
                channel_id: ChannelId::new(2),
                user_id: UserId::new(3),
                session_id: "s".into(),
            },
            policy: Policy {
                can_speak: true,
                self_mute: false,
                is_deafened: false,
                is_priority: false,
                bitrate_bps: None,
                can_stream: true,
            },
            token_id,
            node: NodeId::from("node"),
            epoch: Epoch(1),
            issuer: 1,
            expires_at_ms: NOW + LIFETIME_MS,
        }
    }

    fn identify(token: String) -> Identify {
        Identify { server_id: Snowflake(1), user_id: Snowflake(3), session_id: "s".into(), token, channel_id: None }
    }

    #[test]
    fn a_token_works_once() {
        let mut ledger = Ledger::default();
        let identify = identify(key().sign(&claims(9)));
        assert_eq!(ledger.try_admit(&identify, NOW), Ok(claims(9)));
        assert_eq!(ledger.try_admit(&identify, NOW), Err(CloseCode::SessionInvalid));
    }

    #[test]
    fn each_wrong_token_and_identity_has_its_close_code_and_uses_nothing_up() {
        let good = identify(key().sign(&claims(9)));
        let elsewhere = VoiceClaims { node: NodeId::from("other"), ..claims(9) };
        let cases: [(&str, Identify, u64, CloseCode); 10] = [
            ("other node", identify(key().sign(&elsewhere)), NOW, CloseCode::SessionInvalid),
            ("no token", identify("".into()), NOW, CloseCode::AuthenticationFailed),
            ("noise", identify("a.b".into()), NOW, CloseCode::AuthenticationFailed),
            ("other key", identify(VoiceKey::new(&[8; 32]).sign(&claims(9))), NOW, CloseCode::AuthenticationFailed),
            ("expired", good.clone(), NOW + LIFETIME_MS, CloseCode::SessionInvalid),
            ("other user", Identify { user_id: Snowflake(4), ..good.clone() }, NOW, CloseCode::AuthenticationFailed),
            ("other guild", Identify { server_id: Snowflake(4), ..good.clone() }, NOW, CloseCode::AuthenticationFailed),
            ("other session", Identify { session_id: "t".into(), ..good.clone() }, NOW, CloseCode::SessionInvalid),
            ("other channel", Identify { channel_id: Some(Snowflake(4)), ..good.clone() }, NOW, CloseCode::SessionInvalid),
            (
                "cut",
                Identify { token: good.token[..good.token.len() - 2].into(), ..good.clone() },
                NOW,
                CloseCode::AuthenticationFailed,
            ),
        ];
        let mut ledger = Ledger::default();
        for (what, identify, now, expected) in cases {
            assert_eq!(ledger.try_admit(&identify, now), Err(expected), "{what}");
        }
        assert_eq!(ledger.try_admit(&good, NOW), Ok(claims(9)));
    }

    #[test]
    fn a_programs_token_opens_a_stream_once_and_no_voice_socket_and_the_other_way_round() {
        let participant = Participant { session_id: Way::Whep.session_id(&[1; 32], &[2; 16]), ..claims(1).participant };
        let program = VoiceClaims { participant, ..claims(1) };
        let token = key().sign(&program);
        let mut ledger = Ledger::default();
        let mut stream = |token: &str| ledger.admit_stream(&[key()], &NodeId::from("node"), token, NOW);
        assert_eq!(stream(&key().sign(&claims(2))), Err(CloseCode::SessionInvalid), "a person's");
        assert_eq!(stream("noise"), Err(CloseCode::AuthenticationFailed));
        let identify = Identify { session_id: program.participant.session_id.clone(), ..identify(token.clone()) };
        assert_eq!(ledger.try_admit(&identify, NOW), Err(CloseCode::SessionInvalid));
        let mut stream = |token: &str| ledger.admit_stream(&[key()], &NodeId::from("node"), token, NOW);
        assert_eq!(stream(&token), Ok((program, Way::Whep)));
        assert_eq!(stream(&token), Err(CloseCode::SessionInvalid));
    }

    #[test]
    fn a_disconnect_voids_unused_tokens_but_not_later_ones() {
        let mut ledger = Ledger::default();
        let old = identify(key().sign(&claims(1)));
        ledger.void(claims(1).participant, NOW + 5);
        assert_eq!(ledger.try_admit(&old, NOW + 10), Err(CloseCode::SessionInvalid));
        let newer = VoiceClaims { expires_at_ms: NOW + 5 + LIFETIME_MS, ..claims(2) };
        assert_eq!(ledger.try_admit(&identify(key().sign(&newer)), NOW + 10), Ok(newer));
    }

    #[test]
    fn a_full_ledger_makes_room_when_tokens_expire() {
        let used = (0..limits::USED_TOKENS as u64).map(|id| (id + 100, NOW + 1_000)).collect();
        let mut ledger = Ledger { used, ..Ledger::default() };
        let identify = identify(key().sign(&claims(1)));
        assert_eq!(ledger.try_admit(&identify, NOW), Err(CloseCode::RateLimited));
        assert_eq!(ledger.try_admit(&identify, NOW + 1_000), Ok(claims(1)));
    }
}
