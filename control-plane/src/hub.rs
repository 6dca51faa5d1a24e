//! Guilds and sessions: applies what was committed, and tells everyone who may know.
//!
//! The shell around [`core::Core`], the pure machine that holds every loaded guild and every session. Only this shell reads
//! the store and the clock and sends to the voice node. One lock guards the core; nobody holds it across a wait, and nobody
//! waits for a client: a session's mailbox takes an event, or its connection ends.

pub mod core;
mod direct;
mod events;
mod greeting;
mod handover;
#[cfg(test)]
mod list_tests;
mod lists;
mod members;
mod moving;
mod nodes;
pub mod private;
mod probes;
pub(crate) mod seats;
#[cfg(test)]
mod sibling_tests;
mod siblings;
mod subscriptions;
#[cfg(test)]
mod tests;
mod threads;
#[cfg(test)]
pub(crate) mod world;

pub use members::MemberList;
pub use moving::Left;
pub use nodes::NodeError;
pub use siblings::Told;

use crate::atlas::Atlas;
use crate::event::{Committed, Topic};
use crate::gateway::admission::admit;
use crate::gateway::cloakroom::Cloakroom;
use crate::gateway::link::{Ending, Link};
use crate::gateway::session::Refusal;
use crate::gateway::starts::{self, Remaining};
use crate::gateway::turnstile::{self, Turnstile};
use crate::gateway::{Origin, mailbox::Dispatch};
use crate::guild;
use crate::ids::unix_ms;
use crate::recordings::Intake;
use crate::siblings::words::{Deed, StageChange, Wish};
use crate::store::{self, Store};
use crate::tally::Tally;
use crate::voice::{Door, Entrance, Refused};
use core::{Attached, Core, Missing, Moment, SessionKey};
use guildhall_fleet::Reach;
use guildhall_protocol::fleet::Way;
use guildhall_protocol::gateway::{
    CloseCode, GuildSubscription, Identify, PresenceUpdate, RequestMembers, Resume, VoiceStateUpdate,
};
use guildhall_protocol::model::PrivateChannel;
use guildhall_protocol::voice_token::VoiceKey;
use guildhall_protocol::{ChannelId, GuildId, UserId};
use private::Belongings;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// How often sessions and accounts are looked at whose time is up. Nobody notices half a second in 90.
const TICK: Duration = Duration::from_millis(500);
/// Events per read when a gap is filled.
const RECOVERY: u32 = 256;
/// How often someone's own things are read anew because they changed meanwhile; after that a stale list must do.
const READS: u32 = 8;
/// Sessions that are sent away together when the server ends, and in how many groups and how long it is done for more of
/// them: a start that meets thousands of clients at once makes all of them wait for the slowest.
const TOGETHER: usize = 100;
const GROUPS: usize = 20;
const SPREAD: Duration = Duration::from_secs(2);
/// After this long, who was online before a restart is back, or is not coming.
const SETTLING: Duration = Duration::from_secs(300);
/// How long a session waits at its start for what other control planes committed. Usually it takes a millisecond.
const CATCH_UP: Duration = Duration::from_secs(2);
/// Sessions that are read from the database at the same time, of a file and of a server: two thirds of its connections for readers.
const STARTS: usize = 3;
const STARTS_SHARED: usize = 8;
/// Gateway sockets, identified or not. Each costs some 6 KiB and an open file. Beyond: the upgrade is answered 503.
const SOCKETS: usize = 50_000;
/// How long shutdown waits for sockets to close; a client that does not read is cut off.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the gateway half of the control plane needs to know.
#[derive(Clone)]
pub struct Config {
    /// `host:port` that voice clients are sent to; `None`: the `Host` that their gateway connection came with.
    pub public_host: Option<String>,
    pub voice_key: VoiceKey,
    pub heartbeat_interval: Duration,
    pub fleet: crate::fleet::Config,
    /// How far clients are that do not measure it.
    pub atlas: Option<Arc<Atlas>>,
    /// `false`: sessions may be opened and member lists asked for as often as anyone likes; for load tests.
    pub rate_limits: bool,
    /// Counts sessions that are opened, if there may be other control planes.
    pub tally: Option<Tally>,
    /// Takes what nodes record.
    pub recorded: Intake,
    /// Where sessions wait that go from one of them to another.
    pub cloakroom: Option<Cloakroom>,
}

/// How much there is of what the hub holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Guilds in memory.
    pub guilds: usize,
    /// Gateway sessions, those that wait for their client to come back included.
    pub sessions: usize,
    /// Gateway sockets that are open, those that have not identified included.
    pub connections: usize,
    /// Committed events that were applied.
    pub events: u64,
    /// Dispatches that sockets took.
    pub dispatches: u64,
    /// Connections that were closed because their clients did not read.
    pub slow: u64,
    /// Other control planes that are heard over the bus.
    pub siblings: usize,
    /// How often the database was asked for events that nobody had told.
    pub outbox_reads: u64,
    /// Clients that wait for their turn to start a session.
    pub starts_waiting: usize,
}

#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    config: Config,
    store: Store,
    core: RwLock<Core>,
    /// Guilds are loaded one after another, so that what is committed meanwhile waits in one place.
    loading: tokio::sync::Mutex<()>,
    /// The same for private channels, which do not wait for a large guild.
    loading_private: tokio::sync::Mutex<()>,
    /// True once no node's line is served any more.
    are_nodes_over: watch::Sender<bool>,
    is_closing: watch::Sender<bool>,
    /// Sessions go to other control planes from now on.
    is_leaving: AtomicBool,
    /// The last committed event that was applied.
    applied: watch::Sender<i64>,
    /// Every socket task holds a clone of the sender and nothing is ever sent: the channel closes with the last of them.
    /// `None` once the server is closing.
    sockets: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Rings when other control planes are to be told something.
    words: Notify,
    /// Sessions start by turns.
    turnstile: Turnstile,
    /// What is stored of nodes and what is known here change together.
    ordering: tokio::sync::Mutex<()>,
    /// What other control planes are asked to do, and whom their answers concern.
    wishes: Mutex<HashMap<u64, oneshot::Sender<bool>>>,
    /// For [`Census`].
    events: AtomicU64,
    dispatches: AtomicU64,
    slow: AtomicU64,
    outbox_reads: AtomicU64,
}

/// What a socket task holds while it lives: it hears of the shutdown, and the shutdown waits for it.
pub struct SocketPass {
    pub is_closing: watch::Receiver<bool>,
    _alive: mpsc::Sender<()>,
}

fn moment() -> Moment {
    Moment { now: Instant::now(), unix_ms: unix_ms() }
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}

impl Hub {
    /// Starts the hub's clocks. Nodes come by [`Hub::serve_node`].
    pub fn start(config: Config, store: Store) -> Self {
        let fleet = config.fleet.clone();
        let starts = if store.is_shared() { STARTS_SHARED } else { STARTS };
        let hub = Self(Arc::new(Inner {
            config,
            store,
            core: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
            loading_private: tokio::sync::Mutex::default(),
            are_nodes_over: watch::Sender::new(false),
            is_closing: watch::Sender::new(false),
            is_leaving: AtomicBool::new(false),
            // Until somebody counts, nothing is waited for.
            applied: watch::Sender::new(i64::MAX),
            sockets: Mutex::new(Some(mpsc::channel(1))),
            tasks: Mutex::default(),
            words: Notify::new(),
            turnstile: Turnstile::new(starts),
            ordering: tokio::sync::Mutex::default(),
            wishes: Mutex::default(),
            events: AtomicU64::new(0),
            dispatches: AtomicU64::new(0),
            slow: AtomicU64::new(0),
            outbox_reads: AtomicU64::new(0),
        }));
        hub.core_mut().fleet.configure(fleet, unix_ms());
        let tasks =
            [tokio::spawn(hub.clone().tick()), tokio::spawn(hub.clone().watch_nodes()), tokio::spawn(hub.clone().watch_orders())];
        hub.0.tasks.lock().expect("nothing panics while it holds the tasks").extend(tasks);
        hub
    }

    fn core(&self) -> RwLockReadGuard<'_, Core> {
        self.0.core.read().expect("nothing panics while it holds the core")
    }

    fn change<R>(&self, change: impl FnOnce(&mut Core, Moment) -> R) -> R {
        let mut core = self.core_mut();
        let result = change(&mut core, moment());
        if core.siblings.has_words() {
            self.0.words.notify_one();
        }
        result
    }

    fn wishes(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<bool>>> {
        self.0.wishes.lock().expect("nothing panics while it holds the wishes")
    }

    fn core_mut(&self) -> RwLockWriteGuard<'_, Core> {
        self.0.core.write().expect("nothing panics while it holds the core")
    }

    pub fn heartbeat_interval(&self) -> Duration {
        self.0.config.heartbeat_interval
    }

    /// Applies committed events in commit order and hands them to the sessions that may see them. Called by the store's
    /// publisher only, one call at a time.
    /// `first`: the number of the first of them in the order of all events.
    pub async fn publish(&self, first: i64, events: Vec<Committed>) {
        self.0.events.fetch_add(events.len() as u64, Relaxed);
        for (number, committed) in (first..).zip(events) {
            self.publish_one(number, committed).await;
        }
    }

    /// Everything up to this event was applied.
    pub fn applied(&self, last_event: i64) {
        self.core_mut().position = last_event;
        self.0.applied.send_replace(last_event);
    }

    /// Waits until what was committed by now, by whomever, is applied: what was read from the store before is not told again
    /// after. Not for long: a session that starts late is worse than one that is told something twice.
    async fn catch_up(&self) {
        if !self.0.store.is_shared() || *self.0.applied.borrow() == i64::MAX {
            return;
        }
        let Ok(last_event) = self.0.store.last_event().await else { return };
        let _ = tokio::time::timeout(CATCH_UP, self.reach(last_event)).await;
    }

    /// Waits until everything up to this event is applied.
    pub async fn reach(&self, last_event: i64) {
        let mut applied = self.0.applied.subscribe();
        applied.wait_for(|applied| *applied >= last_event).await.expect("the hub holds the other end");
    }

    /// Events are lost: nothing in memory can be trusted. Every session starts anew, from the store.
    pub fn start_over(&self) {
        self.change(|core, at| core.start_over(at));
    }

    async fn publish_one(&self, number: i64, committed: Committed) {
        let mut waiting = VecDeque::from([committed]);
        while let Some(next) = waiting.pop_front() {
            let is_last = waiting.is_empty();
            let published = self.change(|core, at| {
                let published = core.publish(next, at);
                if is_last && published.is_ok() {
                    core.position = number;
                }
                published
            });
            let Err((missing, next)) = published else { continue };
            match missing {
                Missing::Guild(id) => {
                    // Whoever is online gets the guild by its being loaded. If it cannot be, the event concerns nobody.
                    if self.load(id).await {
                        waiting.push_front(next);
                    }
                }
                Missing::Private(id) => {
                    if self.load_private(id).await {
                        waiting.push_front(next);
                    }
                }
                Missing::Events(topic, known) => {
                    let found = self.recover(topic, known, next.seq).await;
                    if found.is_empty() {
                        self.change(|core, at| core.give_up(topic, at));
                    } else {
                        waiting.push_front(next);
                        found.into_iter().rev().for_each(|found| waiting.push_front(found));
                    }
                }
            }
        }
    }

    /// Reads the next missing events of a topic; nothing if they are gone.
    async fn recover(&self, topic: Topic, known: u64, seen: u64) -> Vec<Committed> {
        tracing::warn!(?topic, known, seen, "events are missing; reading the outbox");
        let mut found = match self.0.store.outbox_after(topic, known, RECOVERY).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, ?topic, "the outbox cannot be read");
                Vec::new()
            }
        };
        found.retain(|found| found.seq < seen);
        if found.first().is_none_or(|first| first.seq != known + 1) {
            found.clear();
        }
        found
    }

    /// Has the guild in memory when it returns `true`.
    async fn load(&self, id: GuildId) -> bool {
        if self.core().guild(id).is_some() {
            return true;
        }
        let _turn = self.0.loading.lock().await;
        if self.core().guild(id).is_some() {
            return true;
        }
        self.core_mut().begin_loading(id);
        let snapshot = self.0.store.load_guild(id).await.unwrap_or_else(|error| {
            tracing::error!(%error, guild = %id, "a guild cannot be loaded");
            None
        });
        let is_found = snapshot.is_some();
        self.change(|core, at| core.end_loading(snapshot, at));
        is_found
    }

    /// Asks a guild, loading it from the store on first use. `None`: there is no such guild, or the store failed (logged).
    pub async fn with_guild<R>(&self, id: GuildId, ask: impl FnOnce(&guild::State) -> R) -> Option<R> {
        if !self.load(id).await {
            return None;
        }
        self.core().guild(id).map(ask)
    }

    /// Has the private channel in memory when it returns `true`.
    async fn load_private(&self, id: ChannelId) -> bool {
        if self.core().private(id).is_some() {
            return true;
        }
        if self.core().channel_guild(id).is_some() {
            return false;
        }
        // An event that is published meanwhile waits for this read and is applied on top of it.
        let _turn = self.0.loading_private.lock().await;
        if self.core().private(id).is_some() {
            return true;
        }
        let found = self.0.store.find_private_channel(id).await.unwrap_or_else(|error| {
            tracing::error!(%error, channel = %id, "a private channel cannot be loaded");
            None
        });
        found.map(|channel| self.core_mut().insert_private(channel)).is_some()
    }

    pub async fn is_private(&self, id: ChannelId) -> bool {
        self.load_private(id).await
    }

    /// Asks a private channel, loading it on first use. `None`: there is no such private channel, or the store failed (logged).
    pub async fn with_private<R>(&self, id: ChannelId, ask: impl FnOnce(&PrivateChannel) -> R) -> Option<R> {
        while self.load_private(id).await {
            if let Some(channel) = self.core().private(id) {
                return Some(ask(channel));
            }
        }
        None
    }

    /// The guild that a channel belongs to.
    pub async fn channel_guild(&self, id: ChannelId) -> Option<GuildId> {
        if let Some(guild) = self.core().channel_guild(id) {
            return Some(guild);
        }
        match self.0.store.find_channel_guild(id).await {
            Ok(guild) => guild,
            Err(error) => {
                tracing::error!(%error, channel = %id, "a channel cannot be looked up");
                None
            }
        }
    }

    /// TYPING_START to everyone who may see the channel. Ephemeral.
    pub async fn publish_typing(&self, guild: Option<GuildId>, channel: ChannelId, user: UserId) {
        self.change(|core, at| core.typing(guild, channel, user, at));
    }

    /// Which of the users have a session, or had one a moment ago.
    pub fn present(&self, users: &[UserId]) -> Vec<UserId> {
        let core = self.core();
        users.iter().copied().filter(|user| core.accounts.contains_key(user)).collect()
    }

    /// Members that are online now, for invites and guild counts.
    pub async fn online_count(&self, guild: GuildId) -> usize {
        self.core().online_count(guild)
    }

    /// Moves a connected member to another voice channel (`Some`) or out of voice (`None`). The caller has authorized it.
    /// `false`: the user is not connected to voice in this guild, or the target is no voice channel of it.
    pub async fn move_member(&self, guild: GuildId, user: UserId, channel: Option<ChannelId>) -> bool {
        self.fulfil(Wish { guild_id: guild, user_id: user, deed: Deed::Move(channel) }).await
    }

    /// Changes `suppress` or the request to speak of someone on a stage. The caller has authorized it. `false`: the user is not
    /// connected to voice in this guild.
    pub async fn change_voice_state(&self, guild: GuildId, user: UserId, change: StageChange) -> bool {
        self.fulfil(Wish { guild_id: guild, user_id: user, deed: Deed::Stage(change) }).await
    }

    /// Lets a program in that has somebody's stream key; `host` is where it reached us.
    pub async fn open_stream(&self, key: &store::StoredStreamKey, way: Way, host: &str) -> Result<Entrance, Refused> {
        if !self.load(key.guild_id).await {
            return Err(Refused::Hidden);
        }
        self.change(|core, at| core.open_stream(key, way, host, &random(), &self.door(), at))
    }

    fn door(&self) -> Door<'_> {
        let config = &self.0.config;
        Door { key: &config.voice_key, public_host: config.public_host.as_deref(), token_id: u64::from_ne_bytes(random()) }
    }

    /// Op 2: who is it, what may they ask for, and what is theirs.
    pub async fn identify(&self, identify: Identify, origin: &Origin, version: u8) -> Result<Attached, Refusal> {
        let token = identify.token.clone();
        let caller = self.authenticate(&token).await?;
        let session_id: String = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let user = caller.id();
        let mut turn = Some(self.0.turnstile.pass(turnstile::PATIENCE).await.ok_or(Refusal::Invalid)?);
        if self.0.config.rate_limits && !self.may_start(user).await {
            return Err(Refusal::Invalid);
        }
        let mut admission = admit(&caller, identify, origin, version, session_id)?;
        let reach = self.estimate(origin);
        self.core_mut().arrive(user);
        let guilds = self.0.store.guild_ids_of(user).await;
        if let Ok(guilds) = &guilds {
            for guild in guilds {
                self.load(*guild).await;
            }
        }
        let mut tries = 0;
        let attached = loop {
            tries += 1;
            let news = self.core().news_of(user);
            let belongings = if caller.is_bot() { Ok(Belongings::default()) } else { self.belongings_of(user).await };
            let is_known = guilds.is_ok() && belongings.is_ok();
            // What remains is to wait for the others' events, which all can do at once.
            drop(turn.take());
            self.catch_up().await;
            admission.belongings = belongings.unwrap_or_default();
            let attached = self.change(|core, at| {
                // Something changed since it was read, and nobody was there to be told.
                if core.news_of(user) != news && tries < READS {
                    return None;
                }
                core.arrived(user);
                // Without its guilds a session would look as if the user had left them all.
                let attached = if is_known { core.attach(admission.clone(), at) } else { Err(CloseCode::UnknownError) };
                Some(attached.inspect(|attached| core.estimate(attached.key, reach.clone())))
            });
            if let Some(attached) = attached {
                break attached?;
            }
        };
        // A token that was revoked while the guilds were loading has ended all of its sessions but this one.
        if let Err(code) = self.authenticate(&token).await {
            self.change(|core, at| core.detach(&attached, false, at));
            return Err(code.into());
        }
        Ok(attached)
    }

    #[cfg(test)]
    pub(crate) fn turnstile(&self) -> &Turnstile {
        &self.0.turnstile
    }

    /// Counts one more session of the account; `false` if it is too many.
    async fn may_start(&self, user: UserId) -> bool {
        if let Some(tally) = &self.0.config.tally
            && let Some(verdicts) = tally.take(&starts::windows(user)).await
        {
            return verdicts.iter().all(|verdict| verdict.is_allowed);
        }
        self.core_mut().starts.take(user, Instant::now())
    }

    async fn belongings_of(&self, user: UserId) -> store::Result<Belongings> {
        let store = &self.0.store;
        Ok(Belongings {
            private_channels: store.private_channels_of(user).await?,
            relationships: store.relationships_of(user).await?,
            read_states: store.read_states_of(user).await?,
            settings: store.settings_of(user).await?,
            guild_settings: store.guild_settings_of(user).await?,
        })
    }

    /// Op 6: a client is back, with the number of the last dispatch that it has.
    pub async fn resume(&self, resume: Resume, origin: &Origin) -> Result<Attached, Refusal> {
        let caller = self.authenticate(&resume.token).await?;
        if self.0.is_leaving.load(Relaxed) {
            // Another control plane has the session, or will have it.
            return Err(CloseCode::UnknownError.into());
        }
        if self.core().session_key(&resume.session_id).is_none() {
            return self.resume_left(&resume, &caller, origin).await;
        }
        self.resume_here(&resume, &caller.token_hash, origin)
    }

    /// A session that is here.
    fn resume_here(&self, resume: &Resume, token_hash: &[u8; 32], origin: &Origin) -> Result<Attached, Refusal> {
        let reach = self.estimate(origin);
        self.change(|core, at| {
            let attached = core.resume(&resume.session_id, token_hash, resume.seq, origin.host.clone(), at)?;
            core.estimate(attached.key, reach);
            Ok(attached)
        })
    }

    /// How far a client is that comes from there, if there is something to tell by.
    fn estimate(&self, origin: &Origin) -> Reach {
        let atlas = self.0.config.atlas.as_ref();
        atlas.zip(origin.address).map(|(atlas, address)| atlas.reach(address)).unwrap_or_default()
    }

    async fn authenticate(&self, token: &str) -> Result<Arc<crate::store::Caller>, CloseCode> {
        // Some libraries send the header's form here, too.
        let bare = token.strip_prefix("Bot ").unwrap_or(token);
        match self.0.store.authenticate(bare).await {
            Ok(caller) => caller.ok_or(CloseCode::AuthenticationFailed),
            Err(error) => {
                tracing::error!(%error, "a token cannot be looked up");
                Err(CloseCode::UnknownError)
            }
        }
    }

    /// A connection is gone. `may_resume`: it broke, rather than being closed on purpose by its client.
    pub fn detach(&self, attached: &Attached, may_resume: bool) {
        self.change(|core, at| core.detach(attached, may_resume, at));
    }

    pub fn set_presence(&self, session: &Attached, presence: PresenceUpdate) {
        self.change(|core, at| core.set_presence(session.key, presence, at));
    }

    pub fn update_voice(&self, session: &Attached, update: VoiceStateUpdate) {
        self.change(|core, at| core.update_voice(session.key, update, &self.door(), at));
    }

    /// Sessions that the account may open today.
    pub async fn remaining_starts(&self, user: UserId) -> Remaining {
        if let Some(tally) = &self.0.config.tally
            && let Some(verdicts) = tally.look(&starts::windows(user)[1..]).await
            && let Some(day) = verdicts.first()
        {
            return Remaining::of(day);
        }
        self.core().starts.remaining(user, Instant::now())
    }

    /// Ops 14 and 37: what a person's client shows of a guild's member lists.
    pub fn subscribe(&self, session: &Attached, subscription: GuildSubscription) {
        self.change(|core, at| core.subscribe(session.key, subscription, at));
    }

    /// Op 8. `None`: it is answered with silence, or (in the mailbox) with RATE_LIMITED.
    pub fn member_list(&self, session: &Attached, request: RequestMembers) -> Option<MemberList> {
        if self.0.config.rate_limits && request.wanted.is_everyone() {
            self.change(|core, at| core.count_listing(session.key, &request, at)).ok()?;
        }
        self.core().member_list(session.key, request)
    }

    pub fn next_chunk(&self, list: &mut MemberList) -> Option<Arc<Dispatch>> {
        self.core().next_chunk(list)
    }

    /// What a new socket task must hold; `None`: the server is closing, or has [`SOCKETS`].
    pub fn enter(&self) -> Option<SocketPass> {
        if self.connections() >= SOCKETS {
            return None;
        }
        let sockets = self.0.sockets.lock().expect("nothing panics while it holds the passes");
        let (alive, _) = sockets.as_ref()?;
        Some(SocketPass { is_closing: self.0.is_closing.subscribe(), _alive: alive.clone() })
    }

    /// Gateway sockets that are open.
    pub fn connections(&self) -> usize {
        self.0.is_closing.receiver_count()
    }

    /// A socket took so many dispatches.
    pub fn count_dispatches(&self, sent: usize) {
        self.0.dispatches.fetch_add(sent as u64, Relaxed);
    }

    /// A connection was closed because its client did not read.
    pub fn count_slow(&self) {
        self.0.slow.fetch_add(1, Relaxed);
    }

    /// The database was asked for events that nobody had told.
    pub fn count_outbox_read(&self) {
        self.0.outbox_reads.fetch_add(1, Relaxed);
    }

    pub fn census(&self) -> Census {
        let core = self.core();
        Census {
            guilds: core.rooms.len(),
            sessions: core.sessions.len(),
            connections: self.connections(),
            events: self.0.events.load(Relaxed),
            dispatches: self.0.dispatches.load(Relaxed),
            slow: self.0.slow.load(Relaxed),
            siblings: core.siblings.count(),
            outbox_reads: self.0.outbox_reads.load(Relaxed),
            starts_waiting: self.0.turnstile.waiting(),
        }
    }

    /// Op 7 to every session, closes every socket, ends the hub's tasks. Many sessions are sent away over some time, so that
    /// they do not all come back in one moment.
    pub async fn shutdown(&self) {
        self.0.is_leaving.store(self.0.config.cloakroom.is_some(), Relaxed);
        let links = self.core().links();
        let groups = links.len().div_ceil(TOGETHER).clamp(1, GROUPS);
        // A group is a mix of old and new sessions, and of guilds.
        for group in 0..groups {
            self.send_away(links.iter().skip(group).step_by(groups)).await;
            if group + 1 < groups {
                tokio::time::sleep(SPREAD / GROUPS as u32).await;
            }
        }
        drop(links);
        // Whoever came meanwhile.
        let late = self.core().links();
        self.send_away(late.iter()).await;
        self.0.is_closing.send_replace(true);
        self.farewell().await;
        self.0.are_nodes_over.send_replace(true);
        for task in self.0.tasks.lock().expect("nothing panics while it holds the tasks").drain(..) {
            task.abort();
        }
    }

    async fn send_away(&self, sessions: impl Iterator<Item = &(SessionKey, Arc<Link>)>) {
        let (keys, links): (Vec<SessionKey>, Vec<Arc<Link>>) = sessions.cloned().unzip();
        self.leave_sessions(&keys).await;
        links.iter().for_each(|link| link.end(Ending::Reconnect));
    }

    /// Waits until the last socket task has ended.
    async fn farewell(&self) {
        let passes = self.0.sockets.lock().expect("nothing panics while it holds the passes").take();
        let Some((alive, mut all_gone)) = passes else { return };
        drop(alive);
        if tokio::time::timeout(FAREWELL, all_gone.recv()).await.is_err() {
            tracing::warn!("gateway sockets that do not read are cut off");
        }
    }

    async fn tick(self) {
        let mut interval = tokio::time::interval(TICK);
        let (started, mut is_settled) = (Instant::now(), false);
        loop {
            interval.tick().await;
            let is_due = {
                let core = self.core();
                core.has_stale_lists() || core.next_deadline().is_some_and(|deadline| deadline <= Instant::now())
            };
            if is_due {
                let departed = self.change(|core, at| {
                    core.tick(at);
                    std::mem::take(&mut core.departed)
                });
                self.end_temporary_memberships(departed).await;
            }
            // Whoever was online when the server stopped has had time to come back.
            if !is_settled && started.elapsed() > SETTLING {
                is_settled = true;
                match self.0.store.temporary_members().await {
                    Ok(users) => self.end_temporary_memberships(users).await,
                    Err(error) => tracing::error!(%error, "temporary members cannot be looked up"),
                }
            }
        }
    }

    /// For accounts that are away: they leave where they were members only while online.
    async fn end_temporary_memberships(&self, users: Vec<UserId>) {
        for user in users {
            if self.core().accounts.contains_key(&user) {
                continue;
            }
            if let Err(error) = self.0.store.end_temporary_memberships(user).await {
                tracing::error!(%error, "a temporary membership did not end");
            }
        }
    }
}
