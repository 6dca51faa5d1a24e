//! The contract between the control plane and a voice node.
//!
//! Both sides run in one process today and exchange these values over bounded channels; the same values cross gRPC when a
//! node dials in from another host. The node trusts the control plane; a client's claims reach the node only inside a signed
//! [`crate::voice_token::VoiceClaims`].

use crate::{ChannelId, GuildId, UserId};
use serde::{Deserialize, Serialize};

/// What the control plane lets one participant do in a room. The SFU enforces it per packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// May publish audio: SPEAK, not suppressed, not server-muted.
    pub can_speak: bool,
    /// The user muted itself; clients stop sending, the SFU drops what still arrives.
    pub self_mute: bool,
    /// Receives nothing: deafened by itself or by the server.
    pub is_deafened: bool,
    /// PRIORITY_SPEAKER: op 5 may carry the priority bit.
    pub is_priority: bool,
    /// The bitrate of the channel, told to senders and enforced with some room; `None`: whatever they send.
    #[serde(default)]
    pub bitrate_bps: Option<u32>,
}

impl Policy {
    /// Whether this participant's audio may reach anyone.
    pub const fn is_audible(&self) -> bool {
        self.can_speak && !self.self_mute
    }
}

/// One participant of one room: which gateway session of which user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Participant {
    pub guild_id: GuildId,
    pub channel_id: ChannelId,
    pub user_id: UserId,
    /// The gateway session that joined (`VOICE_STATE_UPDATE.session_id`).
    pub session_id: String,
}

/// Control plane to voice node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToNode {
    /// New mute, deafen or speak rights; also sent in answer to [`FromNode::Joined`], so that a change between the token
    /// and the join is not lost.
    SetPolicy { participant: Participant, policy: Policy },
    /// Left, moved, kicked, or its gateway session ended: the voice socket closes with 4014 and its token is void.
    /// `as_of_ms` (Unix milliseconds, by the control plane's clock): tokens that were signed before are void, and so are
    /// their connections. What was signed since is of a newer join, which this message may cross on its way.
    Disconnect { participant: Participant, as_of_ms: u64 },
}

/// Voice node to control plane. `token_id` is that of the token that the connection was opened with: the same participant may
/// leave and come back faster than the end of the connection before is reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromNode {
    /// A voice socket identified with a valid token.
    Joined { participant: Participant, token_id: u64 },
    /// Its socket is gone for longer than the resume window, or it closed for good.
    Left { participant: Participant, token_id: u64 },
}
