//! Somebody in a call who stays in it: follows the room to other nodes, opens the new connection before the old one is closed, and
//! comes back when a connection breaks. Talks all the time, and notes how long each other voice was away.

use crate::gateway::{Connect, Event, Gateway, GatewayError, Keeps, VoiceGrant};
use crate::rest::Account;
use crate::voice::{Options, Peer, Suite, Transport};
use crate::world::VOICE_INTENTS;
use guildhall_protocol::{ChannelId, GuildId, UserId};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// One Opus packet's worth of time.
pub const FRAME: Duration = Duration::from_millis(20);
/// How long a connection that was followed by another is kept, for those who have not followed yet. The server cuts it off after ten
/// seconds at the latest.
const OVERLAP: Duration = Duration::from_secs(10);
/// How long a join may take before it is tried again.
const JOIN: Duration = Duration::from_secs(5);
/// Between two attempts at a gateway: the first as long, later ones up to eight times as long, as the libraries do.
const AGAIN: Duration = Duration::from_millis(500);
const LONGEST_AGAIN: u32 = 8;
/// Who was cut off from a node and hears nothing of another for so long asks the gateway.
const ASK: Duration = Duration::from_secs(3);
/// Opus that any decoder takes for a voice: one 20 ms CELT frame.
const OPUS: [u8; 60] = {
    let mut packet = [0x55; 60];
    packet[0] = 31 << 3;
    packet
};

/// What a caller needs to begin.
#[derive(Clone)]
pub struct Call {
    pub account: Account,
    /// Of the gateways of the control planes, the own one first: the others are tried when it does not answer.
    pub gateways: Vec<String>,
    pub guild: GuildId,
    pub room: ChannelId,
    /// Milliseconds to each region, as a client measures them.
    pub distances: Vec<(String, u16)>,
    /// Opens the connection to the room's next place before it closes the one to the last. A client that cannot closes first.
    pub is_seamless: bool,
}

/// What a listener knows of the voices around it.
#[derive(Default)]
struct Ear {
    /// When each was heard last, and the longest time without it since the last [`Caller::reset`].
    voices: HashMap<UserId, (Instant, Duration)>,
    /// Where the newest connection leads.
    endpoint: String,
    moves: u32,
    joins: u32,
    logins: u32,
}

/// A running caller. Its task ends with this.
pub struct Caller {
    pub user: UserId,
    pub name: String,
    ear: Arc<Mutex<Ear>>,
    task: tokio::task::JoinHandle<()>,
}

/// A caller at one moment.
#[derive(Clone, Debug)]
pub struct State {
    pub endpoint: String,
    /// Of each voice that was ever heard: how long ago, and the longest time without it since the last reset, this one included.
    pub voices: HashMap<UserId, (Duration, Duration)>,
    /// Changes of the endpoint, connections made, and sessions begun at a gateway.
    pub moves: u32,
    pub joins: u32,
    pub logins: u32,
}

impl Caller {
    /// Joins on the given runtime, and stays.
    pub fn start(runtime: &tokio::runtime::Handle, call: Call) -> Self {
        let ear = Arc::<Mutex<Ear>>::default();
        let (user, name) = (call.account.user.id, call.account.user.username.clone());
        let task = runtime.spawn(stay(call, ear.clone()));
        Self { user, name, ear, task }
    }

    fn ear(&self) -> MutexGuard<'_, Ear> {
        lock(&self.ear)
    }

    pub fn state(&self) -> State {
        let ear = self.ear();
        let voices = ear.voices.iter().map(|(user, (last, longest))| (*user, (last.elapsed(), last.elapsed().max(*longest))));
        State { endpoint: ear.endpoint.clone(), voices: voices.collect(), moves: ear.moves, joins: ear.joins, logins: ear.logins }
    }

    /// Gaps are counted anew from now on.
    pub fn reset(&self) {
        let mut ear = self.ear();
        ear.voices.values_mut().for_each(|(_, longest)| *longest = Duration::ZERO);
        (ear.moves, ear.joins, ear.logins) = (0, 0, 0);
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(ear: &Mutex<Ear>) -> MutexGuard<'_, Ear> {
    // Plain numbers are whole even if a holder panicked.
    ear.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The gateway and the media side by side: neither waits for the other.
async fn stay(call: Call, ear: Arc<Mutex<Ear>>) {
    let (grants, granted) = watch::channel(None);
    let (lost, losses) = watch::channel(0);
    tokio::join!(listen(&call, &ear, grants, losses), talk(&ear, call.is_seamless, granted, lost));
}

/// Keeps a gateway session, asks for the room with the first, and passes on where the room is.
async fn listen(call: &Call, ear: &Mutex<Ear>, grants: watch::Sender<Option<VoiceGrant>>, mut losses: watch::Receiver<u64>) {
    let (mut wait, mut nth) = (1, 0);
    loop {
        let connect = connect(call, nth);
        match timeout(JOIN, Gateway::connect(&connect)).await {
            Ok(Ok(gateway)) => {
                wait = 1;
                lock(ear).logins += 1;
                follow(call, &connect, gateway, &grants, &mut losses).await;
            }
            Ok(Err(_)) | Err(_) => {
                nth += 1;
                // Not all at once.
                sleep(AGAIN * wait + AGAIN.mul_f64(rand::random())).await;
                wait = (wait * 2).min(LONGEST_AGAIN);
            }
        }
    }
}

fn connect(call: &Call, nth: usize) -> Connect {
    let own = call.account.user.id.to_string();
    let is_own = move |event: &Event| match event.name.as_str() {
        "VOICE_SERVER_UPDATE" => true,
        "VOICE_STATE_UPDATE" => event.data["user_id"] == own.as_str(),
        _ => false,
    };
    let url = &call.gateways[nth % call.gateways.len()];
    Connect { intents: VOICE_INTENTS, keeps: Keeps::Wanted(Arc::new(is_own)), ..Connect::new(url, &call.account.token) }
}

/// One session, resumed as long as it can be.
async fn follow(
    call: &Call,
    connect: &Connect,
    mut gateway: Gateway,
    grants: &watch::Sender<Option<VoiceGrant>>,
    losses: &mut watch::Receiver<u64>,
) {
    let distances: Vec<(&str, u16)> = call.distances.iter().map(|(region, ms)| (region.as_str(), *ms)).collect();
    // A new session is in no call: it says where it wants to be.
    if gateway.ask_for_voice(call.guild, call.room, &distances).await.is_err() {
        return;
    }
    let (guild, own) = (call.guild.to_string(), gateway.session_id().to_owned());
    losses.mark_unchanged();
    let mut asks_at: Option<tokio::time::Instant> = None;
    loop {
        let asks = async {
            match asks_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = gateway.next_event_within(ASK, |_| true) => event,
            changed = losses.changed() => match changed {
                Ok(()) => {
                    asks_at = Some(tokio::time::Instant::now() + ASK);
                    continue;
                }
                Err(_) => return,
            },
            () = asks => {
                asks_at = None;
                if gateway.ask_for_voice(call.guild, call.room, &distances).await.is_err() {
                    return;
                }
                continue;
            }
        };
        match event {
            Ok(Event { op: 0, name, data, .. }) if name == "VOICE_SERVER_UPDATE" && data["guild_id"] == guild.as_str() => {
                if let Some(grant) = granted(call, &own, &data) {
                    asks_at = None;
                    grants.send_replace(Some(grant));
                }
            }
            Ok(Event { op: 9, .. }) => return,
            Ok(Event { op: 7, .. }) | Err(GatewayError::Ended(_)) => {
                let resume = gateway.cut().await;
                match timeout(JOIN, Gateway::resume(connect, &resume)).await {
                    Ok(Ok(resumed)) => gateway = resumed,
                    Ok(Err(_)) | Err(_) => return,
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// Where the room is now. A moment without any node is passed over.
fn granted(call: &Call, session: &str, server: &Value) -> Option<VoiceGrant> {
    Some(VoiceGrant {
        guild_id: call.guild,
        channel_id: call.room,
        user_id: call.account.user.id,
        session_id: session.to_owned(),
        token: server["token"].as_str()?.to_owned(),
        endpoint: server["endpoint"].as_str()?.to_owned(),
    })
}

/// A connection that another has followed, until when.
type Old = (Peer, Instant);

/// Talks on every connection, listens on every connection, and makes a new one when a grant comes.
async fn talk(ear: &Mutex<Ear>, is_seamless: bool, mut grants: watch::Receiver<Option<VoiceGrant>>, lost: watch::Sender<u64>) {
    let mut current: Option<Peer> = None;
    let mut old: Vec<Old> = Vec::new();
    let mut joining = None;
    let mut tick = interval(FRAME);
    // A late caller does not make up for what it did not say.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let joined = async {
            match &mut joining {
                Some(join) => join.await,
                None => std::future::pending().await,
            }
        };
        let ended = async {
            match &mut current {
                Some(peer) => drop(peer.signaling.attend(|_| {}).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            peer = joined => {
                joining = None;
                match peer {
                    Some((peer, endpoint)) => {
                        old.extend(current.replace(peer).map(|peer| (peer, Instant::now() + OVERLAP)));
                        let mut ear = lock(ear);
                        ear.joins += 1;
                        ear.moves += u32::from(!ear.endpoint.is_empty() && ear.endpoint != endpoint);
                        ear.endpoint = endpoint;
                    }
                    // The token may be used up: a new one is needed.
                    None => lost.send_modify(|count| *count += 1),
                }
            }
            changed = grants.changed() => {
                if changed.is_err() {
                    return;
                }
                let grant = grants.borrow_and_update().clone();
                if !is_seamless {
                    current = None;
                }
                joining = grant.map(|grant| Box::pin(join(grant)));
            }
            () = ended => {
                current = None;
                if joining.is_none() {
                    lost.send_modify(|count| *count += 1);
                }
            }
            _ = tick.tick() => {
                let now = Instant::now();
                old.retain(|(_, until)| *until > now);
                for peer in current.iter_mut().chain(old.iter_mut().map(|(peer, _)| peer)) {
                    // An old connection that was ended takes nothing any more.
                    let _ = peer.send_opus(&OPUS).await;
                    hear(&mut lock(ear), peer);
                }
            }
        }
    }
}

async fn join(grant: VoiceGrant) -> Option<(Peer, String)> {
    let options = Options::new(Transport::Native(Suite::Aes256Gcm));
    let peer = timeout(JOIN, Peer::join(&grant, &options)).await.ok()?.ok()?;
    peer.start_speaking().await.ok()?;
    Some((peer, grant.endpoint))
}

fn hear(ear: &mut Ear, peer: &mut Peer) {
    for heard in peer.heard_so_far() {
        // Nobody knows whose it is yet: a library drops it.
        let Some(user) = heard.user else { continue };
        let (last, longest) = ear.voices.entry(user).or_insert((heard.at, Duration::ZERO));
        *longest = (*longest).max(heard.at.saturating_duration_since(*last));
        *last = (*last).max(heard.at);
    }
}
