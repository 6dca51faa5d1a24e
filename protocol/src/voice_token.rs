//! The token of `VOICE_SERVER_UPDATE`: claims signed by the control plane, verified by the voice node alone.
//!
//! Shape: `base64url(json claims) "." base64url(HMAC-SHA256)`. The node accepts a token once (see
//! [`VoiceClaims::token_id`]) and until it expires; a resume presents the same token beside its session id.

use crate::fleet::{Epoch, NodeId, Participant, Policy, Secret};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// How long a token may wait for its first use. Libraries open the voice socket within a second; a slow TLS handshake or a
/// paused bot gets a minute.
pub const LIFETIME_MS: u64 = 60_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoiceClaims {
    #[serde(flatten)]
    pub participant: Participant,
    /// Rights at the time of signing; later changes reach the node as [`crate::fleet::ToNode::SetPolicy`].
    pub policy: Policy,
    /// Random; the node remembers it until `expires_at_ms` so that the token works once.
    pub token_id: u64,
    /// The node that it is for, and the lease under which the node has the room: a token opens no room anywhere else.
    pub node: NodeId,
    pub epoch: Epoch,
    /// The control plane that signed it.
    pub issuer: u64,
    /// Unix milliseconds.
    pub expires_at_ms: u64,
}

impl VoiceClaims {
    /// Unix milliseconds.
    pub const fn signed_at_ms(&self) -> u64 {
        self.expires_at_ms.saturating_sub(LIFETIME_MS)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the voice token is not of the form claims.signature")]
    Malformed,
    #[error("the voice token's signature does not match")]
    BadSignature,
    #[error("the voice token has expired")]
    Expired,
}

/// The key that control plane and voice nodes share. Made at first start, never a default.
#[derive(Clone)]
pub struct VoiceKey {
    key: hmac::Key,
    secret: Secret,
}

impl VoiceKey {
    pub fn new(secret: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), secret: Secret(*secret) }
    }

    /// What nodes are told.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    pub fn sign(&self, claims: &VoiceClaims) -> String {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).expect("claims are plain data"));
        let tag = hmac::sign(&self.key, body.as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Checks form, signature (in constant time) and expiry, in this order. Single use is the caller's to enforce.
    pub fn verify(&self, token: &str, now_unix_ms: u64) -> Result<VoiceClaims, TokenError> {
        let (body, tag) = token.split_once('.').ok_or(TokenError::Malformed)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| TokenError::Malformed)?;
        hmac::verify(&self.key, body.as_bytes(), &tag).map_err(|_| TokenError::BadSignature)?;
        let claims = URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenError::Malformed)?;
        let claims: VoiceClaims = serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed)?;
        if claims.expires_at_ms <= now_unix_ms {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}
