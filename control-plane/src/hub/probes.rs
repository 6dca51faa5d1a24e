//! Probe calls: which nodes they are made at and with what tokens, and what is made of their outcome.

use super::{Hub, random};
use crate::ids::unix_ms;
use guildhall_fleet::NodeId;
use guildhall_fleet::probes::{Reports, Verdict};
use guildhall_probe::{Call, Caller};
use guildhall_protocol::fleet::{Epoch, PROBES_FROM, Participant, Policy};
use guildhall_protocol::voice_token::{LIFETIME_MS, VoiceClaims};
use guildhall_protocol::{ChannelId, GuildId, UserId};
use std::collections::BTreeMap;

/// They speak, and nothing else.
const POLICY: Policy =
    Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: false };

impl Hub {
    /// Nodes that calls can be made at, with their endpoints: those of other processes that are alive and go on serving.
    pub fn nodes_to_probe(&self) -> BTreeMap<NodeId, String> {
        self.core().fleet.nodes_to_probe()
    }

    /// Who makes the calls, for the others.
    pub fn prober(&self) -> u64 {
        self.0.config.fleet.issuer
    }

    /// Whether other control planes could make them.
    pub fn has_siblings(&self) -> bool {
        self.core().siblings.count() > 0
    }

    /// A call at this node, in a room of its own.
    pub fn probe_call(&self, node: &NodeId, endpoint: String) -> Call {
        let room = ChannelId::new(PROBES_FROM | u64::from_ne_bytes(random()));
        let guild_id = GuildId::new(PROBES_FROM);
        let caller = |number: u64| {
            let user_id = UserId::new(PROBES_FROM | number);
            let session_id = format!("probe-{room}-{number}");
            let claims = VoiceClaims {
                participant: Participant { guild_id, channel_id: room, user_id, session_id: session_id.clone() },
                policy: POLICY,
                token_id: u64::from_ne_bytes(random()),
                node: node.clone(),
                epoch: Epoch::default(),
                issuer: self.prober(),
                expires_at_ms: unix_ms() + LIFETIME_MS,
            };
            Caller { user_id, session_id, token: self.0.config.voice_key.sign(&claims) }
        };
        Call { endpoint, guild_id, callers: [caller(1), caller(2)] }
    }

    /// Rooms leave the nodes that fail, and come back to those that do not.
    pub fn heed_probes(&self, reports: &Reports, verdict: &Verdict) {
        self.change(|core, at| {
            let now = core.fleet.millis(at.now);
            core.fleet.heed_probes(now, at.unix_ms, reports, verdict);
        });
    }
}
