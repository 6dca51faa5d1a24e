//! WebRTC transport: an unmodified str0m client, as far from the server's own media code as a browser is.
//!
//! The offer is complete and final: one audio section that sends and receives, and further ones that only receive. The
//! answer comes in Session Description; who is heard in which section is told by Speaking.

use super::VoiceError;
use super::ear::{Counters, Ear};
use super::native::FRAME_SAMPLES;
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite, SeqNo};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};

/// ICE and DTLS together. Debug builds on a busy machine take seconds for the key exchange.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Packets that wait for the task: a second of audio; a full queue makes the sender wait.
const OUTGOING: usize = 50;
const DATAGRAM: usize = 2048;
/// What we claim our voice's loudness to be (RFC 6464, −dBov): plain speech.
pub(crate) const AUDIO_LEVEL_DBOV: i8 = -20;

/// An offer that waits for its answer.
pub struct Offer {
    negotiated: Negotiated,
    pending: SdpPendingOffer,
    socket: std::net::UdpSocket,
    pub sdp: String,
    /// What we send under.
    pub ssrc: u32,
    pub payload_type: u8,
}

/// A negotiated session, for whoever drives it: ICE and DTLS are still to come.
pub struct Negotiated {
    pub rtc: Box<Rtc>,
    /// Of the socket, as the offer's candidate says it.
    pub address: SocketAddr,
    pub mid: Mid,
    pub payload: Pt,
    /// What the server sends its slots under, once it has answered.
    pub slots: Arc<[u32]>,
    pub video: Option<Video>,
}

/// The video of a negotiated session.
#[derive(Clone, Copy, Debug)]
pub struct Video {
    /// The section that sends.
    pub camera: Option<Mid>,
    pub payload: Pt,
}

/// Video sections of an offer.
#[derive(Clone, Copy, Debug, Default)]
pub struct VideoSections<'a> {
    /// Names of a camera's encodings; one name is no simulcast, none is no camera.
    pub camera: &'a [&'static str],
    pub receive_slots: usize,
}

impl Offer {
    /// Applies the answer. The socket is the one whose address was offered; it does not block.
    pub fn accept(self, answer: &str) -> Result<(Negotiated, std::net::UdpSocket), VoiceError> {
        let slots = ssrcs(answer).collect();
        // In the sections of voices; str0m asks for lost pictures anyway.
        let asked = format!("a=rtcp-fb:{} nack", self.payload_type);
        let asking = answer.split("\r\nm=").filter(|section| section.lines().any(|line| line == asked));
        let voices: Vec<u32> = asking.flat_map(ssrcs).collect();
        let answer = SdpAnswer::from_sdp_string(answer).map_err(|error| VoiceError::WebRtc(error.to_string()))?;
        let mut negotiated = Negotiated { slots, ..self.negotiated };
        let accepted = negotiated.rtc.sdp_api().accept_answer(self.pending, answer);
        accepted.map_err(|error| VoiceError::WebRtc(error.to_string()))?;
        for ssrc in voices {
            if let Some(stream) = negotiated.rtc.direct_api().stream_rx(&ssrc.into()) {
                stream.suppress_nack(false);
            }
        }
        Ok((negotiated, self.socket))
    }
}

/// `receive_slots` audio sections in all can be heard at once, the sending one among them.
pub fn offer(local_ip: IpAddr, receive_slots: usize) -> Result<Offer, VoiceError> {
    offer_with_video(local_ip, receive_slots, VideoSections::default())
}

/// The same with VP8 in sections of its own, and lost voices asked for, as our page does.
pub fn offer_with_video(local_ip: IpAddr, receive_slots: usize, sections: VideoSections<'_>) -> Result<Offer, VoiceError> {
    let has_video = !sections.camera.is_empty() || sections.receive_slots > 0;
    let socket = std::net::UdpSocket::bind((local_ip, 0))?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let config = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false).enable_vp8(has_video);
    let mut rtc = Box::new(config.build(Instant::now()));
    rtc.add_local_candidate(Candidate::host(address, "udp").map_err(|error| VoiceError::WebRtc(error.to_string()))?);
    let mut change = rtc.sdp_api();
    let mid = change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
    for _ in 1..receive_slots {
        change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    }
    let camera = (!sections.camera.is_empty()).then(|| {
        let is_simulcast = sections.camera.len() > 1;
        let send = sections.camera.iter().map(|rid| SimulcastLayer::new(rid)).collect();
        let simulcast = is_simulcast.then_some(Simulcast { send, recv: Vec::new() });
        change.add_media(MediaKind::Video, Direction::SendOnly, None, None, simulcast)
    });
    for _ in 0..sections.receive_slots {
        change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
    }
    let (offer, pending) = change.apply().ok_or_else(|| VoiceError::WebRtc("nothing to offer".to_owned()))?;
    let payload = |codec: Codec| rtc.codec_config().find(|params| params.spec().codec == codec).map(|params| params.pt());
    let video = payload(Codec::Vp8).map(|payload| Video { camera, payload });
    let payload = payload(Codec::Opus).ok_or_else(|| VoiceError::WebRtc("no Opus".to_owned()))?;
    let sdp = offer.to_sdp_string();
    let sdp = if has_video { asking(payload, &sdp) } else { sdp };
    let ssrc = ssrcs(&sdp).next().ok_or_else(|| VoiceError::WebRtc("the offer names no SSRC".to_owned()))?;
    Ok(Offer {
        negotiated: Negotiated { rtc, address, mid, payload, slots: [].into(), video },
        pending,
        socket,
        sdp,
        ssrc,
        payload_type: *payload,
    })
}

/// The offer of a client that asks for audio that it lost (RFC 4585 §4.2). str0m has no word for it.
fn asking(opus: Pt, offer: &str) -> String {
    let format = format!("a=fmtp:{opus} ");
    offer.replace(&format, &format!("a=rtcp-fb:{opus} nack\r\n{format}"))
}

fn ssrcs(sdp: &str) -> impl Iterator<Item = u32> {
    sdp.lines().filter_map(|line| line.strip_prefix("a=ssrc:")?.split(' ').next()?.parse().ok())
}

/// A connected WebRTC media path.
pub struct Link {
    outgoing: mpsc::Sender<Bytes>,
    pub counters: Arc<Counters>,
    state: watch::Receiver<State>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Ended(String),
}

impl Link {
    /// Applies the answer and waits for ICE and DTLS.
    pub(super) async fn connect(offer: Offer, answer: &str, ear: Ear) -> Result<Self, VoiceError> {
        let (negotiated, socket) = offer.accept(answer)?;
        let (outgoing, packets) = mpsc::channel(OUTGOING);
        let (state_tx, mut state) = watch::channel(State::Connecting);
        let counters = ear.counters.clone();
        let driver = Driver {
            rtc: negotiated.rtc,
            socket: UdpSocket::from_std(socket)?,
            address: negotiated.address,
            mid: negotiated.mid,
            payload: negotiated.payload,
            packets,
            ear,
            sequence: u64::from(rand::random::<u16>() / 2),
            timestamp: rand::random(),
            state: state_tx,
        };
        let task = tokio::spawn(driver.run());
        let settled = timeout(CONNECT_TIMEOUT, state.wait_for(|state| *state != State::Connecting)).await;
        let outcome = match settled.map(|state| state.map(|state| state.clone())) {
            Err(_) => Err("ICE and DTLS took too long".to_owned()),
            Ok(Err(_)) => Err("the media task ended".to_owned()),
            Ok(Ok(State::Ended(why))) => Err(why),
            Ok(Ok(State::Connecting | State::Connected)) => Ok(()),
        };
        match outcome {
            Ok(()) => Ok(Self { outgoing, counters, state, task }),
            Err(why) => {
                task.abort();
                Err(VoiceError::WebRtc(why))
            }
        }
    }

    pub async fn send_opus(&self, opus: &[u8]) -> Result<(), VoiceError> {
        let sent = self.outgoing.send(Bytes::copy_from_slice(opus)).await;
        sent.map_err(|_| VoiceError::WebRtc(format!("{:?}", *self.state.borrow())))
    }

    /// Waits until ICE or DTLS is over, and says why.
    pub async fn end(&mut self) -> String {
        match self.state.wait_for(|state| matches!(state, State::Ended(_))).await.as_deref() {
            Ok(State::Ended(why)) => why.clone(),
            _ => "the media task ended".to_owned(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task that owns the `Rtc`.
struct Driver {
    rtc: Box<Rtc>,
    socket: UdpSocket,
    address: SocketAddr,
    mid: Mid,
    payload: Pt,
    packets: mpsc::Receiver<Bytes>,
    ear: Ear,
    sequence: u64,
    timestamp: u32,
    state: watch::Sender<State>,
}

impl Driver {
    async fn run(mut self) {
        let why = match self.drive().await {
            Ok(why) => why,
            Err(error) => error.to_string(),
        };
        self.state.send_replace(State::Ended(why));
    }

    async fn drive(&mut self) -> Result<String, VoiceError> {
        let failed = |error: str0m::RtcError| VoiceError::WebRtc(error.to_string());
        let mut buffer = [0; DATAGRAM];
        loop {
            let deadline = loop {
                match self.rtc.poll_output().map_err(failed)? {
                    Output::Timeout(deadline) => break deadline,
                    Output::Transmit(transmit) => {
                        // A datagram that cannot be sent is a lost datagram.
                        let _ = self.socket.send_to(&transmit.contents, transmit.destination).await;
                    }
                    Output::Event(event) => {
                        if let Some(why) = self.accept(event) {
                            return Ok(why);
                        }
                    }
                }
            };
            tokio::select! {
                () = sleep_until(deadline.into()) => self.rtc.handle_input(Input::Timeout(Instant::now())).map_err(failed)?,
                received = self.socket.recv_from(&mut buffer) => {
                    let (len, source) = received?;
                    match Receive::new(Protocol::Udp, source, self.address, &buffer[..len]) {
                        Ok(receive) => self.rtc.handle_input(Input::Receive(Instant::now(), receive)).map_err(failed)?,
                        Err(_) => Counters::add(&self.ear.counters.bad),
                    }
                }
                packet = self.packets.recv() => {
                    let Some(packet) = packet else { return Ok("left".to_owned()) };
                    self.write(&packet);
                    self.rtc.handle_input(Input::Timeout(Instant::now())).map_err(failed)?;
                }
            }
        }
    }

    fn accept(&mut self, event: Event) -> Option<String> {
        match event {
            Event::Connected => {
                self.state.send_replace(State::Connected);
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => return Some("ICE disconnected".to_owned()),
            Event::Closed => return Some("closed".to_owned()),
            Event::RtpPacket(packet) => {
                let header = &packet.header;
                self.ear.hear(*header.ssrc, header.sequence_number, header.timestamp, Bytes::copy_from_slice(&packet.payload));
            }
            _ => {}
        }
        None
    }

    fn write(&mut self, opus: &[u8]) {
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(self.mid, None) else { return };
        let extensions =
            ExtensionValues { audio_level: Some(AUDIO_LEVEL_DBOV), voice_activity: Some(true), ..Default::default() };
        let packet =
            RtpWrite::new(self.payload, SeqNo::from(self.sequence), self.timestamp, Instant::now(), opus).ext_vals(extensions);
        stream.write_rtp(packet);
        self.sequence += 1;
        self.timestamp = self.timestamp.wrapping_add(FRAME_SAMPLES);
    }
}

#[cfg(test)]
mod tests {
    use super::super::ear::Delivery;
    use super::super::roster::Roster;
    use super::*;
    use serde_json::json;
    use std::net::Ipv4Addr;
    use str0m::change::SdpOffer;

    const SPEAKER: u64 = 77;

    /// The other side as any WebRTC server would be: str0m again, ICE-lite, which sends every packet back in the slot after
    /// the one it came in.
    async fn echo(socket: UdpSocket, mut rtc: Rtc, slot: Mid) {
        let address = socket.local_addr().expect("a bound socket");
        let mut buffer = [0; DATAGRAM];
        loop {
            let deadline = match rtc.poll_output().expect("a healthy peer") {
                Output::Timeout(deadline) => deadline,
                Output::Transmit(transmit) => {
                    socket.send_to(&transmit.contents, transmit.destination).await.expect("sending on loopback");
                    continue;
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    let mut api = rtc.direct_api();
                    let stream = api.stream_tx_by_mid(slot, None).expect("the answer sends in this slot");
                    let header = &packet.header;
                    let payload = packet.payload.clone();
                    stream.write_rtp(RtpWrite::new(
                        header.payload_type,
                        packet.seq_no,
                        header.timestamp,
                        Instant::now(),
                        payload,
                    ));
                    rtc.handle_input(Input::Timeout(Instant::now())).expect("time passes");
                    continue;
                }
                Output::Event(_) => continue,
            };
            tokio::select! {
                () = sleep_until(deadline.into()) => rtc.handle_input(Input::Timeout(Instant::now())).expect("time passes"),
                received = socket.recv_from(&mut buffer) => {
                    let (len, source) = received.expect("receiving on loopback");
                    if let Ok(receive) = Receive::new(Protocol::Udp, source, address, &buffer[..len]) {
                        rtc.handle_input(Input::Receive(Instant::now(), receive)).expect("a healthy peer");
                    }
                }
            }
        }
    }

    fn answer(rtc: &mut Rtc, offer: &str) -> String {
        let offer = SdpOffer::from_sdp_string(offer).expect("a complete offer");
        rtc.sdp_api().accept_offer(offer).expect("an offer we can answer").to_sdp_string()
    }

    #[tokio::test]
    async fn audio_comes_back_bit_for_bit_in_a_receive_only_slot() {
        let ours = offer(Ipv4Addr::LOCALHOST.into(), 3).expect("an offer");
        assert_eq!(ours.sdp.matches("m=audio").count(), 3);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket on loopback");
        let config = Rtc::builder().set_rtp_mode(true).set_ice_lite(true).clear_codecs().enable_opus(true, false);
        let mut rtc = config.build(Instant::now());
        rtc.add_local_candidate(Candidate::host(socket.local_addr().expect("bound"), "udp").expect("a candidate"));
        let sdp = answer(&mut rtc, &ours.sdp);
        let mids: Vec<Mid> = sdp.lines().filter_map(|line| line.strip_prefix("a=mid:")).map(Mid::from).collect();
        let slot_ssrc = rtc.direct_api().stream_tx_by_mid(mids[1], None).expect("the answer sends in the second slot").ssrc();
        let server = tokio::spawn(echo(socket, rtc, mids[1]));
        let roster = Arc::new(Roster::default());
        roster.note(5, &json!({ "user_id": SPEAKER.to_string(), "ssrc": *slot_ssrc, "speaking": 1 }));
        let (ear, mut heard) = Ear::new(roster, &Delivery::Queue);
        let link = Link::connect(ours, &sdp, ear).await.expect("ICE and DTLS on loopback");
        for at in 0..50u8 {
            link.send_opus(&[at; 60]).await.expect("a connected link");
            let back = timeout(CONNECT_TIMEOUT, heard.recv()).await.expect("in time").expect("a running task");
            assert_eq!((back.ssrc, &back.payload[..]), (*slot_ssrc, &[at; 60][..]));
            assert_eq!(back.user.map(|user| user.to_string()), Some(SPEAKER.to_string()));
        }
        server.abort();
    }
}
