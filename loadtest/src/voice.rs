//! One participant of a voice room: the voice WebSocket and a media path, native or WebRTC, behind one face.

pub mod cipher;
pub mod native;
pub mod rtp;
pub mod signaling;
pub mod webrtc;

mod ear;
mod roster;

pub use cipher::Suite;
pub use ear::{Counters, Delivery, Heard, STAMP, Tally};
pub use roster::Roster;
pub use signaling::{Signal, Signaling, SignalingError};

use crate::{Trust, VoiceGrant};
use ear::Ear;
use guildhall_protocol::UserId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// How long [`Peer::hear`] waits for audio.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// What a client sends at a pause, five times: an empty Opus frame.
pub const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
pub const SILENCE_FRAMES: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    #[error(transparent)]
    Signaling(#[from] SignalingError),
    #[error("the media socket failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("IP discovery: {0}")]
    Discovery(&'static str),
    #[error("the session description is not what was asked for: {0}")]
    Description(String),
    #[error("WebRTC: {0}")]
    WebRtc(String),
    #[error("nothing was heard in time ({0} of the packets asked for)")]
    Silence(usize),
}

impl VoiceError {
    /// The close code of the voice gateway, if it closed.
    pub fn close_code(&self) -> Option<u16> {
        match self {
            Self::Signaling(error) => error.close_code(),
            _ => None,
        }
    }
}

pub type Result<T> = std::result::Result<T, VoiceError>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Native(Suite),
    WebRtc,
}

/// How to join.
#[derive(Clone)]
pub struct Options {
    pub transport: Transport,
    /// The `v` of the voice gateway; `None` leaves it out.
    pub version: Option<u8>,
    /// `wss`, as every library does; else `ws`.
    pub is_tls: bool,
    pub trust: Trust,
    /// Audio sections of a WebRTC offer.
    pub receive_slots: usize,
    pub delivery: Delivery,
}

impl Options {
    /// Version 8 over plain `ws`, four slots, audio kept for [`Peer::hear`].
    pub fn new(transport: Transport) -> Self {
        Self { transport, version: Some(8), is_tls: false, trust: Trust::none(), receive_slots: 4, delivery: Delivery::Queue }
    }

    /// Over `wss`.
    pub fn with_tls(self, trust: &Trust) -> Self {
        Self { is_tls: true, trust: trust.clone(), ..self }
    }

    fn connect(&self) -> signaling::Connect {
        signaling::Connect {
            version: self.version,
            is_tls: self.is_tls,
            trust: self.trust.clone(),
            wants_video: self.transport == Transport::WebRtc,
        }
    }
}

enum Media {
    Native(native::Link),
    WebRtc(webrtc::Link),
}

pub struct Peer {
    pub signaling: Signaling,
    pub user_id: UserId,
    /// What our audio is announced under.
    pub ssrc: u32,
    pub roster: Arc<Roster>,
    /// op 4 as it came.
    pub description: Value,
    media: Media,
    heard: mpsc::Receiver<Heard>,
}

impl Peer {
    /// The whole way in: voice gateway, transport, keys. Returns when media can flow.
    pub async fn join(grant: &VoiceGrant, options: &Options) -> Result<Self> {
        let roster = Arc::new(Roster::default());
        let (ear, heard) = Ear::new(roster.clone(), &options.delivery);
        let (mut signaling, ready) = Signaling::identify(&options.connect(), grant, roster.clone()).await?;
        let (media, ssrc, description) = match options.transport {
            Transport::Native(suite) => {
                if !ready.modes.iter().any(|mode| mode == suite.mode()) {
                    return Err(VoiceError::Description(format!("{} is not among {:?}", suite.mode(), ready.modes)));
                }
                let discovered = native::discover(SocketAddr::new(ready.ip, ready.port), ready.ssrc).await?;
                let (address, port) = (discovered.address.ip().to_string(), discovered.address.port());
                let data = json!({ "address": address, "port": port, "mode": suite.mode() });
                signaling.send(1, json!({ "protocol": "udp", "data": data })).await?;
                let description = signaling.next(|signal| signal.op == 4).await?.data;
                let secret = read_description(&description, suite)?;
                (Media::Native(native::Link::start(discovered, ready.ssrc, suite, secret, ear)), ready.ssrc, description)
            }
            Transport::WebRtc => {
                let offer = webrtc::offer(signaling.local_ip, options.receive_slots)?;
                let codec = json!({ "name": "opus", "type": "audio", "priority": 1000, "payload_type": offer.payload_type });
                let select = json!({ "protocol": "webrtc", "data": offer.sdp, "sdp": offer.sdp, "codecs": [codec] });
                signaling.send(1, select).await?;
                let description = signaling.next(|signal| signal.op == 4).await?.data;
                let answer = description["sdp"].as_str().ok_or_else(|| VoiceError::Description("no `sdp`".to_owned()))?;
                let ssrc = offer.ssrc;
                (Media::WebRtc(webrtc::Link::connect(offer, answer, ear).await?), ssrc, description)
            }
        };
        Ok(Self { signaling, user_id: grant.user_id, ssrc, roster, description, media, heard })
    }

    /// op 5 with the microphone on: due once before the first audio.
    pub async fn start_speaking(&self) -> Result<()> {
        Ok(self.signaling.speaking(true, self.ssrc).await?)
    }

    /// The five frames of silence of a pause, then op 5 with the microphone off.
    pub async fn stop_speaking(&self) -> Result<()> {
        for _ in 0..SILENCE_FRAMES {
            self.send_opus(&SILENCE).await?;
        }
        Ok(self.signaling.speaking(false, self.ssrc).await?)
    }

    /// The next 20 ms.
    pub async fn send_opus(&self, opus: &[u8]) -> Result<()> {
        match &self.media {
            Media::Native(link) => Ok(link.send_opus(opus).await?),
            Media::WebRtc(link) => link.send_opus(opus).await,
        }
    }

    /// The next packet of anyone.
    pub async fn hear(&mut self) -> Result<Heard> {
        self.hear_within(PATIENCE).await
    }

    pub async fn hear_within(&mut self, patience: Duration) -> Result<Heard> {
        match timeout_at(Instant::now() + patience, self.heard.recv()).await {
            Ok(Some(heard)) => Ok(heard),
            Ok(None) => Err(VoiceError::WebRtc("the media task ended".to_owned())),
            Err(_) => Err(VoiceError::Silence(0)),
        }
    }

    /// The next `count` packets of one user, in order of arrival; packets of others are passed over.
    pub async fn hear_from(&mut self, user: UserId, count: usize) -> Result<Vec<Heard>> {
        let deadline = Instant::now() + PATIENCE;
        let mut found = Vec::with_capacity(count);
        while found.len() < count {
            match timeout_at(deadline, self.heard.recv()).await {
                Ok(Some(heard)) if heard.user == Some(user) => found.push(heard),
                Ok(Some(_)) => {}
                Ok(None) => return Err(VoiceError::WebRtc("the media task ended".to_owned())),
                Err(_) => return Err(VoiceError::Silence(found.len())),
            }
        }
        Ok(found)
    }

    /// What has arrived by now, without waiting.
    pub fn heard_so_far(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    pub fn counters(&self) -> &Counters {
        match &self.media {
            Media::Native(link) => &link.counters,
            Media::WebRtc(link) => &link.counters,
        }
    }

    /// The native media path, for packets that no library would send.
    pub fn native(&self) -> Option<&native::Link> {
        match &self.media {
            Media::Native(link) => Some(link),
            Media::WebRtc(_) => None,
        }
    }

    /// Cuts the voice WebSocket without a word and resumes it. Media goes on meanwhile.
    pub async fn reconnect(&mut self) -> Result<()> {
        self.signaling.cut().await;
        Ok(self.signaling.resume().await?)
    }

    /// Closes the voice WebSocket for good and stops the media path.
    pub async fn leave(mut self) {
        self.signaling.close(1000).await;
    }
}

pub(crate) fn read_description(description: &Value, suite: Suite) -> Result<[u8; 32]> {
    let wrong = |what: &str| VoiceError::Description(format!("{what} in {description}"));
    if description["mode"] != suite.mode() {
        return Err(wrong("another mode"));
    }
    if description["dave_protocol_version"] != 0 {
        return Err(wrong("no dave_protocol_version 0"));
    }
    let secret = <[u8; 32]>::deserialize(&description["secret_key"]);
    secret.map_err(|_| wrong("no secret_key of 32 bytes"))
}
