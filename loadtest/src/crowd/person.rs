//! One person: a gateway session, and a voice connection when in a room.

use super::Hall;
use crate::callers::camera::{Camera, RIDS, Who};
use crate::callers::leg::{LegEvent, NewLeg, Start};
use crate::callers::shared::clock;
use crate::callers::{Command, mailbox};
use crate::gateway::{Event, Gateway, Keeps};
use crate::measure::book::Party;
use crate::measure::picture::{MOST_LAYERS, Viewer};
use crate::net::Path;
use crate::plan::{Deed, Person as Plan};
use crate::random::SplitMix;
use crate::rest::Account;
use crate::voice::signaling::{Connect, Signal, Signaling};
use crate::voice::webrtc::VideoSections;
use crate::voice::{Roster, Transport, read_description, webrtc};
use crate::world::VOICE_INTENTS;
use anyhow::{Context, Result, bail};
use guildhall_protocol::voice_gateway::opcode;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Voices that a WebRTC caller can hear at once: what our page asks for.
pub const SLOTS: usize = 4;
/// A media path comes up within this, handshake included.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between op 5 and the first audio, and around a change of rights: no two sockets have an order between them.
const SETTLE: Duration = Duration::from_millis(250);

pub struct Person {
    hall: Arc<Hall>,
    at: usize,
    account: Account,
    gateway: Gateway,
    voice: Option<Voice>,
    room: usize,
    /// Joins so far: each path has a network seed of its own.
    joins: u64,
}

struct Voice {
    signaling: Signaling,
    ssrc: u32,
    leg: u64,
    events: mpsc::UnboundedReceiver<LegEvent>,
}

impl Person {
    pub async fn connect(hall: Arc<Hall>, at: usize, account: Account) -> Result<Self> {
        let gateway = open_gateway(&hall, &account).await?;
        let room = hall.plan.people[at].room;
        Ok(Self { hall, at, account, gateway, voice: None, room, joins: 0 })
    }

    fn plan(&self) -> &Plan {
        &self.hall.plan.people[self.at]
    }

    /// Follows orders until there are no more, then leaves.
    pub async fn live(mut self, mut orders: mpsc::Receiver<Deed>) {
        loop {
            let ended = async {
                let Some(voice) = &mut self.voice else { return std::future::pending().await };
                let leg = voice.leg;
                loop {
                    tokio::select! {
                        end = voice.signaling.attend(|signal| heed(&self.hall, leg, signal)) => return format!("{end:?}"),
                        event = voice.events.recv() => if let Some(LegEvent::Failed(why)) = event { return why },
                    }
                }
            };
            tokio::select! {
                order = orders.recv() => match order {
                    Some(deed) => if let Err(error) = self.obey(deed).await {
                        self.hall.note_failure(self.at, &error);
                    },
                    None => return self.leave().await,
                },
                why = ended => {
                    self.drop_voice();
                    crate::progress(&format!("person {}: the voice connection ended: {why}", self.at));
                    self.hall.joins().ended += 1;
                    self.join(0, false).await;
                }
            }
        }
    }

    async fn obey(&mut self, deed: Deed) -> Result<()> {
        match deed {
            Deed::Join if self.voice.is_none() => self.join(0, false).await,
            Deed::Join => {}
            Deed::Leave => self.leave().await,
            Deed::Move(room) => {
                self.drop_voice();
                self.room = room;
                self.join(0, false).await;
            }
            Deed::SelfMute(on) => {
                let (guild, channel) = self.hall.places[self.room];
                if self.voice.is_some() {
                    self.mouth(!on);
                    self.gateway.set_voice(guild, Some(channel), on, false).await?;
                }
            }
            Deed::ServerMute(on) => self.server_mute(on).await?,
            Deed::Resume => {
                if let Some(voice) = &mut self.voice {
                    voice.signaling.cut().await;
                    voice.signaling.resume().await.context("resuming the voice socket")?;
                }
            }
            Deed::Reconnect(after) => {
                self.drop_voice();
                // Dropping the session's task cuts its socket without a word.
                self.gateway.break_off();
                sleep(after).await;
                let wished = clock();
                self.gateway = open_gateway(&self.hall, &self.account).await?;
                self.join(wished, true).await;
            }
            Deed::Rebind => self.tell(|leg| Command::Rebind { leg }),
            Deed::Shift(network) => {
                let (up, down) = self.hall.plan.networks[network];
                self.tell(|leg| Command::Network { leg, up, down });
            }
            Deed::Outage(lasts) => {
                let until = clock() + lasts.as_nanos() as u64;
                self.tell(|leg| Command::Outage { leg, until });
            }
        }
        Ok(())
    }

    /// What is said while the server has the mute in force is marked, so that hearing it is a fault; around the change
    /// nothing is said, because nobody could tell which side of it a packet was on.
    async fn server_mute(&mut self, on: bool) -> Result<()> {
        self.mouth(false);
        sleep(SETTLE).await;
        let (guild, _) = self.hall.places[self.room];
        self.hall.world.owner.rest.edit_member(guild, self.account.user.id, json!({ "mute": on })).await.context("muting")?;
        sleep(SETTLE).await;
        self.tell(|leg| Command::Muted { leg, is_muted: on });
        self.mouth(true);
        Ok(())
    }

    fn tell(&self, command: impl FnOnce(u64) -> Command) {
        if let Some(voice) = &self.voice {
            self.hall.callers.tell(voice.leg, command(voice.leg));
        }
    }

    fn mouth(&self, is_open: bool) {
        self.tell(|leg| Command::Mouth { leg, is_open });
    }

    fn drop_voice(&mut self) {
        self.tell(|leg| Command::Drop { leg });
        self.voice = None;
    }

    async fn leave(&mut self) {
        self.tell(|leg| Command::Drop { leg });
        if let Some(mut voice) = self.voice.take() {
            voice.signaling.close(1000).await;
            let (guild, _) = self.hall.places[self.room];
            // A session that is gone has left.
            let _ = self.gateway.set_voice(guild, None, false, false).await;
        }
    }

    /// Joins the room and enters how that went. `wished`: when the wish arose, if before this call.
    pub async fn join(&mut self, wished: u64, is_return: bool) {
        let wished = if wished > 0 { wished } else { clock() };
        match self.try_join(wished, is_return).await {
            Ok(ready_at) => {
                let mut joins = self.hall.joins();
                joins.took.saturating_record(ready_at.saturating_sub(wished));
                (joins.from, joins.to) = (joins.from.min(wished), joins.to.max(ready_at));
            }
            Err(error) => {
                self.drop_voice();
                self.hall.note_failure(self.at, &error);
            }
        }
        if self.voice.is_some() && self.plan().talk.is_some() {
            sleep(SETTLE).await;
            self.mouth(true);
        }
    }

    async fn try_join(&mut self, wished: u64, is_return: bool) -> Result<u64> {
        let (guild, channel) = self.hall.places[self.room];
        self.joins += 1;
        self.gateway.forget();
        let grant = self.gateway.join_voice(guild, channel).await?;
        let roster = Arc::new(Roster::default());
        let transport = self.plan().transport;
        let connect = Connect {
            version: Some(8),
            is_tls: self.hall.world.gateway_url.starts_with("wss"),
            trust: self.hall.trust.clone(),
            wants_video: transport == Transport::WebRtc,
        };
        let (mut signaling, ready) = Signaling::identify(&connect, &grant, roster.clone()).await?;
        let leg = self.hall.callers.next_leg();
        let (events, mut receiver) = mpsc::unbounded_channel();
        let new = |socket, start| Box::new(self.leg(leg, socket, start, (wished, is_return), &roster, events.clone()));
        let ssrc = match transport {
            Transport::Native(suite) => {
                let server = SocketAddr::new(ready.ip, ready.port);
                let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
                mailbox::prepare(&socket)?;
                socket.connect(server)?;
                self.hall.callers.tell(leg, Command::Adopt(new(socket, Start::Discover { ssrc: ready.ssrc })));
                let address = match event(&mut receiver).await? {
                    LegEvent::Discovered(address) => address,
                    other => bail!("{other:?} instead of our address"),
                };
                let (ip, port) = (address.ip().to_string(), address.port());
                let data = json!({ "address": ip, "port": port, "mode": suite.mode() });
                signaling.send(1, json!({ "protocol": "udp", "data": data })).await?;
                let description = signaling.next(|signal| signal.op == 4).await?.data;
                let secret = read_description(&description, suite)?;
                self.hall.callers.tell(leg, Command::Keys { leg, suite, secret });
                ready.ssrc
            }
            Transport::WebRtc => {
                let rids = self.hall.video.filter(|_| self.films()).map_or(&[][..], |video| &RIDS[MOST_LAYERS - video.layers..]);
                let sections = VideoSections { camera: rids, receive_slots: self.shows().count() };
                let offer = webrtc::offer_with_video(signaling.local_ip, SLOTS, sections)?;
                let codec = json!({ "name": "opus", "type": "audio", "priority": 1000, "payload_type": offer.payload_type });
                let select = json!({ "protocol": "webrtc", "data": offer.sdp, "sdp": offer.sdp, "codecs": [codec] });
                signaling.send(1, select).await?;
                let description = signaling.next(|signal| signal.op == 4).await?.data;
                let answer = description["sdp"].as_str().context("an answer without `sdp`")?;
                let ssrc = offer.ssrc;
                let (negotiated, socket) = offer.accept(answer)?;
                mailbox::prepare(&socket)?;
                self.hall.callers.tell(leg, Command::Adopt(new(socket, Start::WebRtc(Box::new(negotiated)))));
                ssrc
            }
        };
        // From here on a failure must also take the leg away: the caller drops the voice connection.
        self.voice = Some(Voice { signaling, ssrc, leg, events: receiver });
        let Some(voice) = &mut self.voice else { bail!("it was set just now") };
        let ready_at = loop {
            match event(&mut voice.events).await? {
                LegEvent::Ready(at) => break at,
                LegEvent::Failed(why) => bail!(why),
                // IP discovery is answered twice to a client that asked twice.
                LegEvent::Discovered(_) => {}
            }
        };
        if self.hall.plan.people[self.at].talk.is_some() {
            voice.signaling.speaking(true, voice.ssrc).await?;
        }
        self.declare_video().await?;
        Ok(ready_at)
    }

    /// Whether it shows a camera in its room.
    fn films(&self) -> bool {
        self.hall.plan.rooms[self.room].cameras.contains(&self.at)
    }

    /// The cameras that it wants to see.
    fn shows(&self) -> impl Iterator<Item = usize> {
        self.hall.plan.shown_to(self.at, self.room, self.hall.video.map_or(0, |video| video.slots))
    }

    /// Says what it publishes and what it shows.
    async fn declare_video(&self) -> Result<()> {
        let (Some(voice), Some(video)) = (&self.voice, self.hall.video) else { return Ok(()) };
        if self.films() {
            let streams = json!([{ "type": "video", "rid": "", "active": true, "quality": 100 }]);
            voice
                .signaling
                .send(opcode::VIDEO.into(), json!({ "audio_ssrc": voice.ssrc, "video_ssrc": 0, "streams": streams }))
                .await?;
        }
        let user = |person: usize| self.hall.users[person].get();
        let slots = self.shows().enumerate().filter_map(|(slot, person)| {
            let (width, height) = (video.width, video.height);
            Some(json!({ "slot": slot, "user_id": user(person)?, "source": "camera", "width": width, "height": height }))
        });
        let slots: Vec<Value> = slots.collect();
        if !slots.is_empty() {
            voice.signaling.send(opcode::VIDEO_SLOTS.into(), json!({ "slots": slots })).await?;
        }
        Ok(())
    }

    fn leg(
        &self,
        id: u64,
        socket: UdpSocket,
        start: Start,
        (wished_at, is_return): (u64, bool),
        roster: &Arc<Roster>,
        events: mpsc::UnboundedSender<LegEvent>,
    ) -> NewLeg {
        let plan = self.plan();
        let random = SplitMix::new(plan.seed).fork(self.joins);
        let path = |profile, way| Path::new(profile, random.fork(way));
        let outage_only = || (Path::new(Default::default(), random.fork(1)), Path::new(Default::default(), random.fork(2)));
        // Everybody can have an outage; only who will have one pays for a perfect network in the packet path.
        let is_shifted = self.hall.plan.is_shifted(self.at);
        let suffers = is_shifted
            || self.hall.plan.actions.iter().any(|action| action.person == self.at && matches!(action.deed, Deed::Outage(_)));
        let who = Who { run: self.hall.callers.shared.run, speaker: self.at as u32, room: self.room as u32, seed: plan.seed };
        let camera = self.hall.video.filter(|_| self.films());
        let viewers = self.hall.video.iter().flat_map(|video| self.shows().map(move |person| (video, person)));
        let network = plan.network.map(|(up, down)| (path(up, 1), path(down, 2))).or_else(|| suffers.then(outage_only));
        let talkers = self.hall.plan.rooms[self.room].speakers - usize::from(plan.talk.is_some() && self.room == plan.room);
        NewLeg {
            id,
            person: self.at as u32,
            room: self.room as u32,
            party: Party::Server,
            socket,
            start,
            network,
            wished_at,
            is_return,
            // With moves, talkers gather where nobody planned it.
            selects: plan.transport == Transport::WebRtc && (talkers > SLOTS || self.hall.has_moves()),
            decodes: self.hall.decodes(self.at),
            talk: plan.talk.as_ref().map(|talk| talk.clock()),
            camera: camera.map(|video| Box::new(Camera::new(&video, &who, None, clock()))),
            viewers: viewers.map(|(video, person)| Viewer::new(person as u32, video)).collect(),
            is_shifted,
            seed: random.fork(3).word(),
            // A browser plays what it hears and learns whose it is meanwhile; a bot drops it.
            roster: matches!(plan.transport, Transport::Native(_)).then(|| roster.clone()),
            events,
        }
    }
}

/// What the voice gateway says to a media path: which of its layers are worth sending.
fn heed(hall: &Hall, leg: u64, signal: &Signal) {
    if signal.op == u64::from(opcode::LAYERS)
        && let Some(layers) = signal.data["layers"].as_array()
    {
        let is_wanted = |layer: &Value| layer["active"] == true;
        // A camera's encodings are told in an order of the server's.
        let place = |layer: &Value| {
            let rids = &RIDS[MOST_LAYERS - hall.video.map_or(1, |video| video.layers)..];
            rids.iter().position(|rid| layer["rid"] == *rid).unwrap_or(0)
        };
        let wanted = layers.iter().filter(|layer| is_wanted(layer)).fold(0, |bits, layer| bits | 1 << place(layer));
        hall.callers.tell(leg, Command::Layers { leg, wanted });
    }
}

async fn event(events: &mut mpsc::UnboundedReceiver<LegEvent>) -> Result<LegEvent> {
    timeout(PATIENCE, events.recv())
        .await
        .context("the media path did not come up in time")?
        .context("the media thread has ended")
}

/// Keeps only what its own joins need: in a full guild everybody is told of everybody.
async fn open_gateway(hall: &Hall, account: &Account) -> Result<Gateway> {
    let own = account.user.id.to_string();
    let is_own = move |event: &Event| match event.name.as_str() {
        "VOICE_SERVER_UPDATE" => true,
        "VOICE_STATE_UPDATE" => event.data["user_id"] == own.as_str(),
        _ => false,
    };
    let connect = hall.world.connect(account, VOICE_INTENTS, Keeps::Wanted(Arc::new(is_own)));
    Gateway::connect(&connect).await.context("a gateway session")
}
