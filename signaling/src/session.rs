//! One participant's voice session as a pure machine: what each frame means in each state, what times out when, and what a
//! broken socket leaves behind.
//!
//! The shell (`task.rs`) feeds it frames, answers of the media engine, notes from the room and the clock, and carries out
//! what it answers. A session begins with its socket's greeting and outlives that socket for the resume window.

mod pins;
mod video;

pub use video::Wanted;

use crate::limits;
use crate::replay::Replay;
use crate::rooms::Occupant;
use guildhall_protocol::UserId;
use guildhall_protocol::fleet::Policy;
use guildhall_protocol::voice_gateway::{
    BackendVersion, ClientDisconnect, ClientFrame, ClientSpeaking, ClientsConnect, CloseCode, FrameError, Heartbeat, Hello,
    IceServer, Identify, MODE_AES256_GCM, MODE_XCHACHA20_POLY1305, MODES, Published, Ready, Resume, SelectProtocol,
    SessionDescription, Speaking, VERSION_BUFFERED_RESUME, VideoSource, encode, opcode, speaking,
};
use guildhall_sfu::video::Codecs;
use guildhall_sfu::{Answer, Layers, NativeSuite, Quality};
use serde::Serialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What happened to the session.
#[derive(Debug)]
pub enum Input<'a> {
    /// A text frame of the attached socket.
    Text(&'a str),
    /// A binary frame: DAVE messages of clients that speak it, which version 0 calls never need.
    Binary,
    /// The socket is gone; the client's close code, if it sent one.
    SocketClosed {
        code: Option<u16>,
    },
    /// A new socket resumed this session.
    Attached {
        version: u8,
        seq_ack: Option<i64>,
    },
    Timeout,
    /// The token was good.
    Admitted {
        policy: Policy,
    },
    /// The token, or the resume, was not.
    Refused(CloseCode),
    /// The media engine has a place for it.
    Joined {
        ssrc: u32,
        address: SocketAddr,
        media_session_id: String,
        ice_servers: Vec<IceServer>,
    },
    /// Native transport is ready to be used under this key.
    Keyed([u8; 32]),
    /// WebRTC transport is ready to be used with this SDP.
    Answered(Answer),
    /// The media engine did not do as asked.
    EngineFailed(CloseCode),
    /// Visible to the room now; these were there before.
    Entered(Vec<Occupant>),
    /// Somebody else in the room.
    Room(RoomEvent),
    /// A receive slot of this WebRTC listener changed its speaker.
    Slot {
        ssrc: u32,
        speaker: Option<UserId>,
    },
    /// A slot for sounds of this WebRTC listener carries that of another screen, or nothing.
    Sound {
        ssrc: u32,
        publisher: Option<UserId>,
    },
    /// A video slot of this WebRTC listener changed its content.
    Filled {
        slot: u8,
        showing: Option<(UserId, VideoSource)>,
    },
    /// What of this WebRTC client's video anybody wants.
    Layers {
        source: VideoSource,
        layers: Layers,
    },
    /// With which codecs this WebRTC client's video can be seen by everybody.
    Codecs(Codecs),
    /// Which video slots of this WebRTC listener get less than they could show, and which of them nothing: one bit each.
    Narrowed {
        less: u16,
        paused: u16,
    },
    /// How well this WebRTC client was connected in the last seconds.
    Quality(Quality),
    PeerLost,
    Policy(Policy),
    /// The control plane says that it left.
    Disconnect,
    /// A newer socket of the same user took the seat. `is_same_participant`: of the same gateway session, too.
    Replaced {
        is_same_participant: bool,
    },
    /// Its mailbox overflowed.
    Evicted,
    Shutdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomEvent {
    Entered(Occupant),
    Spoke(Occupant),
    /// Shows other things than before.
    Published(Occupant),
    Left(UserId),
}

/// What the shell must do, in order. Requests are answered by inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write to the attached socket.
    Send(String),
    /// Answered by `Admitted` or `Refused`.
    Authenticate(Identify),
    /// Hand this socket to the session that the frame names, or answer `Refused`.
    HandOver(Resume),
    /// Answered by `Joined` or `EngineFailed`.
    Join(Policy),
    /// Answered by `Keyed` or `EngineFailed`.
    ConnectNative {
        suite: NativeSuite,
        claimed: SocketAddr,
    },
    /// Answered by `Answered` or `EngineFailed`.
    ConnectWebRtc {
        offer: String,
    },
    /// Become visible in the room, silent at first. Answered by `Entered`.
    Enter {
        ssrc: u32,
    },
    /// Tell the room new speaking bits.
    Speak(u8),
    /// Tell the room what is shown.
    Publish(Published),
    /// What this client wants to see, in place of what it wanted before.
    Watch(Vec<Wanted>),
    /// Whom this client hears whoever else talks, in place of those before.
    Pin(Vec<UserId>),
    SetPolicy(Policy),
    /// Nothing follows: close the socket if there is one, leave the engine and the room, and tell the control plane if
    /// `is_reported`.
    End {
        close: Option<CloseCode>,
        is_reported: bool,
    },
}

pub struct Session {
    link: Link,
    stage: Stage,
    /// Of the socket, attached or last.
    version: u8,
    policy: Policy,
    /// What the media engine was told.
    granted: Option<Policy>,
    ssrc: u32,
    media_session_id: String,
    transport: Option<Transport>,
    /// A connected WebRTC client offered anew and waits for the answer.
    is_restarting: bool,
    /// The bits of the client's last op 5.
    declared: u8,
    /// The bits that the room was told.
    announced: u8,
    /// Receive slot → who is in it.
    slots: HashMap<u32, UserId>,
    videos: video::Videos,
    pins: pins::Pins,
    replay: Replay,
    frames_left: u32,
    rate_window_ends: Instant,
}

/// The socket, or its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Attached { silent_until: Instant },
    Detached { until: Instant },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Hello is sent; waiting for Identify or Resume.
    Greeting {
        until: Instant,
    },
    /// The shell checks the token, or hands the socket over.
    Checking,
    Joining,
    /// Ready is sent; waiting for Select Protocol.
    Selecting,
    /// The engine prepares the transport.
    Connecting,
    /// Op 4 is sent; the room is asked to make us visible.
    Entering,
    Connected,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Native(NativeSuite),
    WebRtc,
}

impl Session {
    /// A socket was accepted. `version` is within `VERSION_MIN..=VERSION_MAX`.
    pub fn new(now: Instant, version: u8, out: &mut Vec<Output>) -> Self {
        let hello = Hello { v: version, heartbeat_interval: limits::HEARTBEAT_INTERVAL.as_millis() as u64 };
        out.push(Output::Send(encode(opcode::HELLO, &hello, None)));
        Self {
            link: Link::Attached { silent_until: now + limits::HEARTBEAT_TIMEOUT },
            stage: Stage::Greeting { until: now + limits::IDENTIFY_TIMEOUT },
            version,
            policy: Policy {
                can_speak: false,
                self_mute: false,
                is_deafened: true,
                is_priority: false,
                bitrate_bps: None,
                can_stream: false,
            },
            granted: None,
            ssrc: 0,
            media_session_id: String::new(),
            transport: None,
            is_restarting: false,
            declared: 0,
            announced: 0,
            slots: HashMap::new(),
            videos: video::Videos::default(),
            pins: pins::Pins::default(),
            replay: Replay::default(),
            frames_left: limits::FRAMES_PER_WINDOW,
            rate_window_ends: now + limits::RATE_WINDOW,
        }
    }

    /// When `Input::Timeout` is due; `None` once closed.
    pub fn next_timeout(&self) -> Option<Instant> {
        let link = match self.link {
            Link::Attached { silent_until } => silent_until,
            Link::Detached { until } => until,
        };
        match self.stage {
            Stage::Closed => None,
            Stage::Greeting { until } => Some(until.min(link)),
            _ => Some(link),
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match (self.stage, input) {
            (Stage::Closed, _) => {}
            (_, Input::Timeout) => {
                if self.next_timeout().is_some_and(|deadline| deadline <= now) {
                    self.time_out(out);
                }
            }
            (_, Input::Text(text)) => {
                if self.spend_frame(now) {
                    match ClientFrame::parse(text) {
                        Ok(frame) => self.frame(now, frame, out),
                        Err(FrameError::Malformed) => self.end(CloseCode::DecodeError, out),
                        Err(FrameError::UnknownOpcode(_)) => self.end(CloseCode::UnknownOpcode, out),
                    }
                } else {
                    self.end(CloseCode::RateLimited, out);
                }
            }
            (Stage::Greeting { .. }, Input::Binary) => self.end(CloseCode::NotAuthenticated, out),
            (_, Input::Binary) => {
                if !self.spend_frame(now) {
                    self.end(CloseCode::RateLimited, out);
                }
            }
            (_, Input::SocketClosed { code }) => self.socket_closed(now, code, out),
            (_, Input::Attached { version, seq_ack }) => self.attach(now, version, seq_ack, out),

            (Stage::Checking, Input::Admitted { policy }) => {
                self.policy = policy;
                self.stage = Stage::Joining;
                self.granted = Some(self.grant());
                out.push(Output::Join(self.grant()));
            }
            (Stage::Checking, Input::Refused(code)) => self.end(code, out),
            (Stage::Joining, Input::Joined { ssrc, address, media_session_id, ice_servers }) => {
                self.stage = Stage::Selecting;
                self.ssrc = ssrc;
                self.media_session_id = media_session_id;
                let ready = Ready {
                    ssrc,
                    ip: address.ip().to_string(),
                    port: address.port(),
                    modes: MODES.map(str::to_owned).to_vec(),
                    heartbeat_interval: limits::HEARTBEAT_INTERVAL.as_millis() as u64,
                    experiments: Vec::new(),
                    streams: Vec::new(),
                    ice_servers,
                };
                self.send(opcode::READY, &ready, out);
            }
            (Stage::Connecting, Input::Keyed(key)) => {
                let Some(Transport::Native(suite)) = self.transport else { return };
                let mode = match suite {
                    NativeSuite::Aes256GcmRtpsize => MODE_AES256_GCM,
                    NativeSuite::XChaCha20Poly1305Rtpsize => MODE_XCHACHA20_POLY1305,
                };
                self.describe(
                    SessionDescription {
                        mode: Some(mode.to_owned()),
                        secret_key: Some(key.to_vec()),
                        ..SessionDescription::default()
                    },
                    out,
                );
            }
            (Stage::Connecting, Input::Answered(Answer { sdp, video_slots })) => {
                self.videos.open(video_slots);
                self.describe(SessionDescription { sdp: Some(sdp), ..SessionDescription::default() }, out);
            }
            (Stage::Connected, Input::Answered(Answer { sdp, .. })) if self.is_restarting => {
                self.is_restarting = false;
                let description = self.description(SessionDescription { sdp: Some(sdp), ..SessionDescription::default() });
                self.send_replayable(opcode::SESSION_DESCRIPTION, &description, out);
            }
            (Stage::Joining | Stage::Connecting, Input::EngineFailed(code)) => self.end(code, out),
            (Stage::Connected, Input::EngineFailed(code)) if self.is_restarting => self.end(code, out),
            (Stage::Entering, Input::Entered(others)) => {
                self.stage = Stage::Connected;
                if !others.is_empty() {
                    let user_ids = others.iter().map(|other| other.user_id.into()).collect();
                    self.send_replayable(opcode::CLIENTS_CONNECT, &ClientsConnect { user_ids }, out);
                }
                // Libraries drop audio of an SSRC that nobody named, so every name comes before the first packet.
                for other in others {
                    self.name_native(other, out);
                    self.other_publishes(other, out);
                }
                self.announce(out);
                self.announce_video(out);
                self.tell_codecs(out);
            }

            (Stage::Connected, Input::Room(event)) => self.room_event(event, out),
            (Stage::Connected, Input::Slot { ssrc, speaker }) => self.slot(ssrc, speaker, speaking::MICROPHONE, out),
            (Stage::Connected, Input::Sound { ssrc, publisher }) => self.slot(ssrc, publisher, speaking::SOUNDSHARE, out),
            // A session that has not entered learns of everyone when it does.
            (Stage::Connected, Input::Quality(quality)) if self.transport == Some(Transport::WebRtc) => self.tell(quality, out),
            (Stage::Connected, Input::Filled { slot, showing }) => self.filled(slot, showing, out),
            (Stage::Connected, Input::Layers { source, layers }) => self.layers(source, layers, out),
            (_, Input::Codecs(codecs)) => self.room_decodes(codecs, out),
            (Stage::Connected, Input::Narrowed { less, paused }) => self.narrowed(less, paused, out),
            (_, Input::Room(_) | Input::Slot { .. } | Input::Filled { .. } | Input::Layers { .. }) => {}
            (_, Input::Narrowed { .. } | Input::Quality(_) | Input::Sound { .. }) => {}
            (_, Input::PeerLost) => self.end(CloseCode::SessionTimedOut, out),
            (_, Input::Policy(policy)) => {
                if policy != self.policy {
                    self.policy = policy;
                    self.tell_policy(out);
                    self.announce(out);
                    self.announce_video(out);
                }
            }
            // Not reported: the control plane knows, and may have seated the same participant anew already.
            (_, Input::Disconnect) => self.finish(Some(CloseCode::Disconnected), false, out),
            (_, Input::Replaced { is_same_participant }) => {
                self.finish(Some(CloseCode::Disconnected), !is_same_participant, out);
            }
            (_, Input::Evicted) => self.end(CloseCode::ServerCrashed, out),
            // Not reported: the control plane sees the whole node go.
            (_, Input::Shutdown) => self.finish(Some(CloseCode::GoingAway), false, out),
            // Answers that nobody waits for any more.
            (
                _,
                Input::Admitted { .. }
                | Input::Refused(_)
                | Input::Joined { .. }
                | Input::Keyed(_)
                | Input::Answered(_)
                | Input::EngineFailed(_)
                | Input::Entered(_),
            ) => {}
        }
    }

    fn frame(&mut self, now: Instant, frame: ClientFrame, out: &mut Vec<Output>) {
        match (self.stage, frame) {
            (_, ClientFrame::Heartbeat(heartbeat)) => self.heartbeat(now, heartbeat, out),
            (Stage::Greeting { .. }, ClientFrame::Identify(identify)) => {
                self.stage = Stage::Checking;
                out.push(Output::Authenticate(identify));
            }
            (Stage::Greeting { .. }, ClientFrame::Resume(resume)) => {
                self.stage = Stage::Checking;
                out.push(Output::HandOver(resume));
            }
            (Stage::Greeting { .. } | Stage::Checking, _) => self.end(CloseCode::NotAuthenticated, out),
            (_, ClientFrame::Identify(_) | ClientFrame::Resume(_)) => self.end(CloseCode::AlreadyAuthenticated, out),

            (Stage::Selecting, ClientFrame::SelectProtocol(select)) => self.select(select, out),
            // A browser whose network changed restarts ICE: it offers the same media with new credentials (RFC 8445 §9).
            (Stage::Connected, ClientFrame::SelectProtocol(SelectProtocol::WebRtc { offer }))
                if self.transport == Some(Transport::WebRtc) && !self.is_restarting =>
            {
                self.is_restarting = true;
                out.push(Output::ConnectWebRtc { offer });
            }
            // Too early, or again: one transport per session, and nothing but an ICE restart is negotiated anew.
            (_, ClientFrame::SelectProtocol(_)) => self.end(CloseCode::BadRequest, out),

            (_, ClientFrame::Speaking(ClientSpeaking { speaking: bits, ssrc })) => {
                // A browser names the SSRC of its own choosing, a native client must name ours.
                let is_own = self.transport == Some(Transport::WebRtc) || ssrc.is_none_or(|ssrc| ssrc == self.ssrc);
                if is_own {
                    self.declared = bits;
                    self.tell_policy(out);
                    self.announce(out);
                }
            }
            (_, ClientFrame::Video(published)) => self.declare_video(published, out),
            (_, ClientFrame::VideoSlots(shown)) => self.show(shown, out),
            (_, ClientFrame::SinkWants(wants)) => self.sink(wants, out),
            (_, ClientFrame::Pins(named)) => self.pin(named, out),
            (_, ClientFrame::SessionUpdate) => {
                let codecs = serde_json::json!({
                    "audio_codec": "opus", "video_codec": self.video_codec(), "media_session_id": self.media_session_id,
                });
                self.send(opcode::SESSION_UPDATE, &codecs, out);
            }
            (_, ClientFrame::BackendVersion) => {
                let version = env!("CARGO_PKG_VERSION").to_owned();
                self.send(opcode::BACKEND_VERSION, &BackendVersion { voice: version.clone(), rtc_worker: version }, out);
            }
            (_, ClientFrame::Ignored) => {}
        }
    }

    fn heartbeat(&mut self, now: Instant, heartbeat: Heartbeat, out: &mut Vec<Output>) {
        if let Link::Attached { silent_until } = &mut self.link {
            *silent_until = now + limits::HEARTBEAT_TIMEOUT;
        }
        if let Some(seq_ack) = heartbeat.seq_ack {
            self.replay.acknowledge(seq_ack);
        }
        if heartbeat.is_object {
            self.send(opcode::HEARTBEAT_ACK, &serde_json::json!({ "t": heartbeat.nonce }), out);
        } else {
            self.send(opcode::HEARTBEAT_ACK, &heartbeat.nonce, out);
        }
    }

    fn select(&mut self, select: SelectProtocol, out: &mut Vec<Output>) {
        let (transport, request) = match select {
            SelectProtocol::Unknown(_) => return self.end(CloseCode::UnknownProtocol, out),
            SelectProtocol::Udp { claimed, mode } => {
                let suite = match mode.as_str() {
                    MODE_AES256_GCM => NativeSuite::Aes256GcmRtpsize,
                    MODE_XCHACHA20_POLY1305 => NativeSuite::XChaCha20Poly1305Rtpsize,
                    _ => return self.end(CloseCode::UnknownMode, out),
                };
                let Some(claimed) = claimed else { return self.end(CloseCode::BadRequest, out) };
                (Transport::Native(suite), Output::ConnectNative { suite, claimed })
            }
            SelectProtocol::WebRtc { offer } => (Transport::WebRtc, Output::ConnectWebRtc { offer }),
        };
        self.transport = Some(transport);
        self.stage = Stage::Connecting;
        out.push(request);
    }

    /// Op 4, and then the room: libraries ignore op 11 and op 5 that come before it.
    fn describe(&mut self, description: SessionDescription, out: &mut Vec<Output>) {
        let description = self.description(description);
        // First the others are told whose SSRC this is: once op 4 is out, audio may come, and libraries drop what nobody named.
        out.push(Output::Enter { ssrc: self.ssrc });
        self.send_replayable(opcode::SESSION_DESCRIPTION, &description, out);
        self.stage = Stage::Entering;
    }

    fn description(&self, description: SessionDescription) -> SessionDescription {
        SessionDescription {
            audio_codec: "opus".to_owned(),
            video_codec: self.video_codec(),
            media_session_id: self.media_session_id.clone(),
            dave_protocol_version: 0,
            ..description
        }
    }

    /// What the room shows videos in, for clients that are told of codecs; native clients have none.
    fn video_codec(&self) -> Option<String> {
        (self.transport == Some(Transport::WebRtc)).then(|| self.videos.codec().to_owned())
    }

    /// Not worth replaying: the next figure comes in a few seconds.
    fn tell(&self, quality: Quality, out: &mut Vec<Output>) {
        let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let told = serde_json::json!({
            "score": f64::from(quality.score) / 100.0,
            "loss_up": f64::from(quality.loss_up_permille) / 1000.0,
            "loss_down": f64::from(quality.loss_down_permille) / 1000.0,
            "jitter_ms": millis(quality.jitter),
            "round_trip_ms": quality.round_trip.map(millis),
        });
        self.send(opcode::QUALITY, &told, out);
    }

    fn room_event(&mut self, event: RoomEvent, out: &mut Vec<Output>) {
        match event {
            RoomEvent::Entered(occupant) => {
                let connect = ClientsConnect { user_ids: vec![occupant.user_id.into()] };
                self.send_replayable(opcode::CLIENTS_CONNECT, &connect, out);
                self.name_native(occupant, out);
                self.other_entered(occupant, out);
                self.pinned_entered(occupant, out);
            }
            RoomEvent::Spoke(occupant) => self.name_native(occupant, out),
            RoomEvent::Published(occupant) => self.other_publishes(occupant, out),
            RoomEvent::Left(user_id) => {
                self.other_left(user_id, out);
                self.slots.retain(|_, speaker| *speaker != user_id);
                self.send_replayable(opcode::CLIENT_DISCONNECT, &ClientDisconnect { user_id: user_id.into() }, out);
            }
        }
    }

    /// Op 5 with the native SSRC, for native listeners. WebRTC listeners hear speakers in slots and learn of those.
    fn name_native(&mut self, Occupant { user_id, ssrc, speaking, .. }: Occupant, out: &mut Vec<Output>) {
        if matches!(self.transport, Some(Transport::Native(_))) {
            self.send_replayable(opcode::SPEAKING, &Speaking { user_id: user_id.into(), ssrc, speaking }, out);
        }
    }

    /// Op 5 with the SSRC of a slot: these bits for who is in it, none for who was.
    fn slot(&mut self, ssrc: u32, speaker: Option<UserId>, speaking: u8, out: &mut Vec<Output>) {
        let is_known = self.slots.contains_key(&ssrc);
        let before = match speaker {
            Some(_) if !is_known && self.slots.len() >= limits::SLOTS => return,
            Some(user_id) => self.slots.insert(ssrc, user_id),
            None => self.slots.remove(&ssrc),
        };
        if before == speaker {
            return;
        }
        if let Some(user_id) = before {
            self.send_replayable(opcode::SPEAKING, &Speaking { user_id: user_id.into(), ssrc, speaking: 0 }, out);
        }
        if let Some(user_id) = speaker {
            self.send_replayable(opcode::SPEAKING, &Speaking { user_id: user_id.into(), ssrc, speaking }, out);
        }
    }

    /// What the media engine is to let this client do: priority is for who may have it, while it asks for it.
    fn grant(&self) -> Policy {
        let is_priority = self.policy.is_priority && self.declared & speaking::PRIORITY != 0;
        Policy { is_priority, ..self.policy }
    }

    /// Before the join the policy travels with that.
    fn tell_policy(&mut self, out: &mut Vec<Output>) {
        let grant = self.grant();
        if self.is_identified() && self.granted != Some(grant) {
            self.granted = Some(grant);
            out.push(Output::SetPolicy(grant));
        }
    }

    /// What others may be told of the declared bits: nothing while muted, priority only for those who have it.
    fn audible_bits(&self) -> u8 {
        let mut allowed = speaking::MICROPHONE | speaking::SOUNDSHARE;
        if self.policy.is_priority {
            allowed |= speaking::PRIORITY;
        }
        if self.policy.is_audible() { self.declared & allowed } else { 0 }
    }

    fn announce(&mut self, out: &mut Vec<Output>) {
        let bits = self.audible_bits();
        if self.stage == Stage::Connected && bits != self.announced {
            self.announced = bits;
            out.push(Output::Speak(bits));
        }
    }

    fn time_out(&mut self, out: &mut Vec<Output>) {
        match self.link {
            Link::Attached { .. } => self.end(CloseCode::SessionTimedOut, out),
            Link::Detached { .. } => self.finish(None, true, out),
        }
    }

    /// 1000 and 1001 are a client that leaves; anything else is a cut that it may come back from, once it has something to
    /// come back to.
    fn socket_closed(&mut self, now: Instant, code: Option<u16>, out: &mut Vec<Output>) {
        let is_leaving = matches!(code, Some(1000 | 1001));
        self.link = Link::Detached { until: now + limits::RESUME_WINDOW };
        if is_leaving || !self.is_identified() || self.stage == Stage::Joining {
            self.finish(None, self.is_identified(), out);
        }
    }

    fn attach(&mut self, now: Instant, version: u8, seq_ack: Option<i64>, out: &mut Vec<Output>) {
        self.link = Link::Attached { silent_until: now + limits::HEARTBEAT_TIMEOUT };
        let is_same_kind = (version >= VERSION_BUFFERED_RESUME) == self.is_numbered();
        self.version = version;
        if !is_same_kind {
            return self.end(CloseCode::SessionInvalid, out);
        }
        let missed: Option<Vec<String>> = if self.is_numbered() {
            self.replay.after(seq_ack.unwrap_or(-1)).map(|frames| frames.cloned().collect())
        } else {
            Some(self.replay.take().collect())
        };
        let Some(missed) = missed else { return self.end(CloseCode::SessionInvalid, out) };
        self.send(opcode::RESUMED, &(), out);
        out.extend(missed.into_iter().map(Output::Send));
    }

    /// Whether this socket's messages carry `seq` and a resume says where to go on.
    fn is_numbered(&self) -> bool {
        self.version >= VERSION_BUFFERED_RESUME
    }

    fn spend_frame(&mut self, now: Instant) -> bool {
        if now >= self.rate_window_ends {
            self.frames_left = limits::FRAMES_PER_WINDOW;
            self.rate_window_ends = now + limits::RATE_WINDOW;
        }
        self.frames_left = self.frames_left.saturating_sub(1);
        self.frames_left > 0
    }

    fn send(&self, op: u8, d: &impl Serialize, out: &mut Vec<Output>) {
        if matches!(self.link, Link::Attached { .. }) {
            out.push(Output::Send(encode(op, d, None)));
        }
    }

    /// Sends and remembers. Below version 8 only what is said during a cut is remembered: the client cannot acknowledge.
    fn send_replayable(&mut self, op: u8, d: &impl Serialize, out: &mut Vec<Output>) {
        let is_attached = matches!(self.link, Link::Attached { .. });
        let seq = self.is_numbered().then(|| self.replay.next_seq());
        let frame = encode(op, d, seq);
        self.replay.push((self.is_numbered() || !is_attached).then(|| frame.clone()));
        if is_attached {
            out.push(Output::Send(frame));
        }
    }

    pub fn is_identified(&self) -> bool {
        !matches!(self.stage, Stage::Greeting { .. } | Stage::Checking)
    }

    /// Ends with a close code; reported if it was anybody.
    fn end(&mut self, code: CloseCode, out: &mut Vec<Output>) {
        self.finish(Some(code), self.is_identified(), out);
    }

    fn finish(&mut self, close: Option<CloseCode>, is_reported: bool, out: &mut Vec<Output>) {
        let is_attached = matches!(self.link, Link::Attached { .. });
        self.stage = Stage::Closed;
        out.push(Output::End { close: close.filter(|_| is_attached), is_reported });
    }
}

#[cfg(test)]
mod tests;
