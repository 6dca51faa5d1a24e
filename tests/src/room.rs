//! Synthetic participants of a voice channel, and what a test says about who is heard.

use std::{collections::HashMap, time::Duration};

use guildhall_loadtest::{
    Gateway, Trust, VoiceGrant,
    rest::Account,
    voice::{Options, Peer, Suite, Transport},
};
use guildhall_protocol::{ChannelId, UserId};
use tokio::time::{MissedTickBehavior, interval};

use crate::{frames::SILENCE, world::World};

pub const GCM: Transport = Transport::Native(Suite::Aes256Gcm);
pub const XCHACHA: Transport = Transport::Native(Suite::XChaCha20Poly1305);
pub const WEBRTC: Transport = Transport::WebRtc;

/// One Opus packet's worth of time.
pub const FRAME: Duration = Duration::from_millis(20);

/// An account in a voice channel: its gateway session and its voice connection.
pub struct Participant {
    pub account: Account,
    pub session: Gateway,
    pub peer: Peer,
    pub transport: Transport,
}

impl World {
    /// A new member of the guild who joins its voice channel.
    pub async fn participant(&self, name: &str, transport: Transport) -> Participant {
        let account = self.member(name).await;
        let mut session = self.session(&account).await;
        let grant = session.join_voice(self.guild, self.voice).await.expect("op 4 is answered");
        let peer = self.join(&grant, transport).await;
        Participant { account, session, peer, transport }
    }

    /// Uses a grant over TLS, as libraries do.
    pub async fn join(&self, grant: &VoiceGrant, transport: Transport) -> Peer {
        Peer::join(grant, &self.voice_options(transport)).await.unwrap_or_else(|error| panic!("{transport:?}: {error}"))
    }

    pub fn voice_options(&self, transport: Transport) -> Options {
        Options::new(transport).with_tls(&Trust::file(&self.server.ca()).expect("the server wrote its certificate authority"))
    }
}

impl Participant {
    pub fn id(&self) -> UserId {
        self.account.user.id
    }

    /// Sends packets at the pace of speech.
    pub async fn say(&self, packets: &[Vec<u8>]) {
        self.peer.start_speaking().await.expect("op 5 goes out");
        let mut tick = interval(FRAME);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for packet in packets {
            tick.tick().await;
            self.peer.send_opus(packet).await.expect("a packet goes out");
        }
    }

    /// Hears on until as many packets as given came, and asserts that they are exactly these, in order. Silence is passed over,
    /// other users are not.
    pub async fn hears_exactly(&mut self, speaker: UserId, packets: &[Vec<u8>]) {
        let mut last = HashMap::new();
        for (number, packet) in packets.iter().enumerate() {
            let heard = loop {
                let heard = match self.peer.hear().await {
                    Ok(heard) => heard,
                    Err(error) => panic!("{} heard {number} of {} packets: {error}", self.account.user.username, packets.len()),
                };
                let before = last.insert(heard.ssrc, heard.sequence);
                let is_next = before.is_none_or(|before: u16| heard.sequence == before.wrapping_add(1));
                assert!(is_next, "the sequence numbers of a stream are gap-free: {} after {before:?}", heard.sequence);
                if heard.payload[..] != SILENCE {
                    break heard;
                }
            };
            assert!(heard.payload[..] == packet[..], "{} heard packet {number} as it was sent", self.account.user.username);
            // A native client drops what it cannot tell whose it is; a browser plays it, and learns whose slot it is meanwhile.
            // The naming was sent before the speaker had keys, but two sockets have no order between them in this process.
            let user = match heard.user {
                None if number == 0 && self.transport != WEBRTC => {
                    let named = self.peer.signaling.next_speaking(speaker).await.expect("the speaker was named");
                    (named.data["ssrc"] == heard.ssrc).then_some(speaker)
                }
                user => user,
            };
            let is_told = user == Some(speaker) || (self.transport == WEBRTC && user.is_none());
            assert!(is_told, "{} was told who speaks before packet {number}: {user:?}", self.account.user.username);
        }
    }

    /// Joins again after a move: with the grant that came without asking.
    pub async fn follow(&mut self, world: &World, channel: ChannelId, transport: Transport) {
        let grant = self.session.voice_grant(world.guild, channel).await.expect("a move brings a new grant");
        self.peer = world.join(&grant, transport).await;
    }
}
