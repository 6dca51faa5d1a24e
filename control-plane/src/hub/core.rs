//! The pure machine of the hub: loaded guilds, sessions, accounts that are online, and who sits where.
//!
//! It is told what happened and what time it is, changes its maps and pushes into mailboxes; it never waits, reads no clock
//! and no database. What it needs from the store it asks for by returning [`Missing`].

use super::handover::{Kept, KeptAccount, KeptSession};
use super::private::{Belongings, Privates};
use super::seats::{Room, Seat};
use crate::event::{Committed, Event, Topic};
use crate::fleet::Fleet;
use crate::gateway::link::{ConnectionId, Ending, Link};
use crate::gateway::mailbox::{Dispatch, Names, RewindError};
use crate::gateway::session::Refusal;
use crate::gateway::starts::Starts;
use crate::guild::{self, Snapshot};
use crate::presence::Shown;
use crate::siblings::Siblings;
use crate::voice::Unclaimed;
use guildhall_fleet::Reach;
use guildhall_protocol::gateway::{CloseCode, Intents, PresenceUpdate, Shard};
use guildhall_protocol::model::User;
use guildhall_protocol::{ApplicationId, ChannelId, GuildId, UserId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a session waits for its client to come back. Longer than a router's restart takes would hold voice seats and
/// "online" for people who are gone.
pub const RESUME_WINDOW: Duration = Duration::from_secs(90);
/// After the last session ended on purpose (a page reload, a bot's restart) nobody is told "offline" for this long.
pub const OFFLINE_GRACE: Duration = Duration::from_secs(3);
/// Sessions of one account: a bot with a shard for each of 2.5 million guilds has this many. More close with 4015.
pub const MAX_SESSIONS_PER_ACCOUNT: usize = 1_000;
/// Guilds that one shard may hold (documented); more close with 4011.
pub const MAX_GUILDS_PER_SHARD: usize = 2_500;
/// How often a session may be resumed in [`RESUMES_WINDOW`]. A phone on a train needs a few; a client that resumes more often
/// has every missed event replayed each time, and starts anew instead.
pub const MAX_RESUMES: u32 = 30;
pub const RESUMES_WINDOW: Duration = Duration::from_secs(60);

/// What time it is, on the clock that deadlines use and on the one that people use.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Instant,
    pub unix_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(u64);

/// Who identified, after the store and the intents were asked.
#[derive(Clone, Debug)]
pub struct Admission {
    pub user: User,
    pub email: Option<String>,
    pub application: Option<(ApplicationId, u64)>,
    pub token_hash: [u8; 32],
    pub intents: Intents,
    pub shard: Shard,
    pub large_threshold: usize,
    pub presence: PresenceUpdate,
    /// Gateway version, for READY.
    pub version: u8,
    /// Where the client resumes.
    pub resume_url: String,
    /// `host:port` that the client reached us by: where its voice connection goes unless one is configured.
    pub host: String,
    /// Random; whoever knows it and the token may resume.
    pub session_id: String,
    /// Empty for bots.
    pub belongings: Belongings,
}

/// A session as its connection holds it.
#[derive(Clone)]
pub struct Attached {
    pub key: SessionKey,
    pub connection: ConnectionId,
    pub link: Arc<Link>,
    pub is_bot: bool,
}

pub struct Session {
    pub id: String,
    pub user_id: UserId,
    pub is_bot: bool,
    pub token_hash: [u8; 32],
    pub intents: Intents,
    pub shard: Shard,
    pub large_threshold: usize,
    pub presence: PresenceUpdate,
    pub host: String,
    /// How far its client is from regions, as it measured, or as its address tells.
    pub reach: Reach,
    pub link: Arc<Link>,
    /// Set while no connection is attached.
    expires_at: Option<Instant>,
    /// When the present window of resumes began, and how many it has seen.
    resumes: (Instant, u32),
    /// Guilds whose whole list was asked for a moment ago, and when.
    pub(super) listed: BTreeMap<GuildId, Instant>,
    /// It was written down for another control plane.
    pub(super) has_left: bool,
}

/// A user with sessions, or one that was online a moment ago.
pub struct Account {
    pub user: User,
    pub email: Option<String>,
    pub sessions: Vec<SessionKey>,
    /// Loaded guilds that the user is a member of: all of them.
    pub guilds: BTreeSet<GuildId>,
    pub friends: HashSet<UserId>,
    /// What others were told.
    pub shown: Shown,
    /// When they were told last.
    pub presence_told_at: Option<Instant>,
    /// The last event of the user's topic.
    pub seq: Option<u64>,
    /// Set while there are no sessions, unless other control planes have some.
    pub(super) offline_at: Option<Instant>,
    /// What other control planes were told of the sessions here, if they were told.
    pub(super) announced: Option<Shown>,
}

impl Account {
    /// Whether the user has sessions here, or had one a moment ago.
    pub fn is_here(&self) -> bool {
        !self.sessions.is_empty() || self.offline_at.is_some()
    }

    /// Somebody who has none yet.
    pub(super) fn new(user: User, guilds: BTreeSet<GuildId>) -> Self {
        Self {
            user,
            email: None,
            sessions: Vec::new(),
            guilds,
            friends: HashSet::new(),
            shown: Shown::default(),
            presence_told_at: None,
            seq: None,
            offline_at: None,
            announced: None,
        }
    }
}

/// What the core must be given before it can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Guild(GuildId),
    Private(ChannelId),
    /// Events after this number, from the outbox.
    Events(Topic, u64),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Session(SessionKey),
    Account(UserId),
    /// Its presence changed again soon after it was told.
    Presence(UserId),
}

#[derive(Default)]
struct Arriving {
    sessions: usize,
    /// Counts what they would have been told of their own things: what was read before is stale.
    news: u64,
}

#[derive(Default)]
pub struct Core {
    pub(crate) rooms: HashMap<GuildId, Room>,
    channels: HashMap<ChannelId, GuildId>,
    pub(crate) sessions: HashMap<SessionKey, Session>,
    by_id: HashMap<String, SessionKey>,
    pub(crate) accounts: HashMap<UserId, Account>,
    pub(crate) starts: Starts,
    /// Guilds in which something changed that a member list shows.
    pub(super) stale_lists: BTreeSet<GuildId>,
    last_key: u64,
    due: BTreeSet<(Instant, Due)>,
    pub(super) privates: Privates,
    /// Users whose Identify is under way: a guild that they join now must be loaded as if they were online.
    arriving: HashMap<UserId, Arriving>,
    /// The guild that is being read from the store, with its events since the reading began.
    loading: Option<(GuildId, Vec<Committed>)>,
    /// Accounts whose last session has ended and that stayed away; the shell takes them.
    pub(super) departed: Vec<UserId>,
    /// Sessions whose mailbox overflowed during this call.
    pub(crate) lost: Vec<SessionKey>,
    pub(crate) fleet: Fleet,
    /// Voice states that no node has confirmed yet, by their sessions, and until when they wait for it.
    pub(crate) unclaimed: VecDeque<Unclaimed>,
    /// The other control planes.
    pub(crate) siblings: Siblings,
    /// The names of dispatches that other processes made.
    pub(super) names: Names,
    /// The number of the last event that was told, in the order of all events.
    pub(super) position: i64,
    /// While events are told to one session alone.
    pub(super) only: Option<SessionKey>,
}

impl Core {
    pub fn guild(&self, id: GuildId) -> Option<&guild::State> {
        self.rooms.get(&id).map(|room| &room.state)
    }

    pub fn channel_guild(&self, id: ChannelId) -> Option<GuildId> {
        self.channels.get(&id).copied()
    }

    /// Whether the user has a session in this process, or had one a moment ago.
    pub(super) fn is_here(&self, user: UserId) -> bool {
        self.accounts.get(&user).is_some_and(Account::is_here)
    }

    pub fn is_online(&self, user: UserId) -> bool {
        self.accounts.get(&user).is_some_and(|account| account.shown.is_online())
    }

    /// A user will attach soon.
    pub fn arrive(&mut self, user: UserId) {
        self.arriving.entry(user).or_default().sessions += 1;
    }

    /// How much has happened to a user's own things since they began to arrive.
    pub fn news_of(&self, user: UserId) -> u64 {
        self.arriving.get(&user).map_or(0, |arriving| arriving.news)
    }

    pub(super) fn note_news(&mut self, user: UserId) {
        if let Some(arriving) = self.arriving.get_mut(&user) {
            arriving.news += 1;
        }
    }

    pub fn arrived(&mut self, user: UserId) {
        if let Some(arriving) = self.arriving.get_mut(&user) {
            arriving.sessions -= 1;
            if arriving.sessions == 0 {
                self.arriving.remove(&user);
            }
        }
    }

    pub(super) fn is_expected(&self, user: UserId) -> bool {
        self.is_here(user) || self.arriving.contains_key(&user)
    }

    pub(super) fn is_anyone_expected(&self) -> bool {
        !self.arriving.is_empty() || self.accounts.values().any(Account::is_here)
    }

    /// The store is about to be read. One guild at a time: the events that are committed meanwhile wait here.
    pub fn begin_loading(&mut self, id: GuildId) {
        self.loading = Some((id, Vec::new()));
    }

    /// The guild was read (`None`: there is none), and catches up with what was committed meanwhile.
    pub fn end_loading(&mut self, snapshot: Option<Snapshot>, at: Moment) {
        let waiting = self.loading.take().map(|(_, waiting)| waiting).unwrap_or_default();
        let Some(snapshot) = snapshot else { return };
        self.insert_guild(snapshot, at);
        for committed in waiting {
            // Nothing can be missing: what is not in the snapshot was committed after the reading began. If it were, the next
            // event would show the gap.
            let _ = self.publish(committed, at);
        }
    }

    /// Keeps an event of the guild that is being loaded for later; gives back any other.
    pub(super) fn wait_for_loading(&mut self, committed: Committed) -> Option<Committed> {
        let Some((guild, waiting)) = &mut self.loading else { return Some(committed) };
        let concerns = match &committed.event {
            Event::MessageCreate { guild_id, .. }
            | Event::MessageUpdate { guild_id, .. }
            | Event::MessageDelete { guild_id, .. }
            | Event::MessageDeleteBulk { guild_id, .. }
            | Event::ReactionAdd { guild_id, .. }
            | Event::ReactionRemove { guild_id, .. }
            | Event::ReactionRemoveEmoji { guild_id, .. }
            | Event::ReactionRemoveAll { guild_id, .. }
            | Event::ChannelPinsUpdate { guild_id, .. } => *guild_id == Some(*guild),
            _ => committed.topic == Topic::Guild(*guild),
        };
        if !concerns {
            return Some(committed);
        }
        waiting.push(committed);
        None
    }

    /// The events of a topic after its last known one are lost. Sessions of the guild start anew, from the store.
    pub fn give_up(&mut self, topic: Topic, at: Moment) {
        let guild = match topic {
            Topic::Guild(guild) => guild,
            Topic::Channel(channel) => {
                if let Some(guild) = self.channel_guild(channel) {
                    guild
                } else {
                    return self.give_up_private(channel, at);
                }
            }
            Topic::User(user) => return self.close_user_sessions(user, at),
        };
        let Some(room) = self.rooms.get(&guild) else { return };
        let keys: BTreeSet<SessionKey> = room.seats.iter().map(|seat| seat.key).collect();
        for key in keys {
            if let Some(session) = self.sessions.get(&key) {
                session.link.end(Ending::Reconnect);
            }
            self.end_session(key, at);
        }
        self.remove_guild(guild);
        self.sweep(at);
    }

    /// Every session ends and every guild is forgotten; clients come back and start anew.
    pub fn start_over(&mut self, at: Moment) {
        let keys: Vec<SessionKey> = self.sessions.keys().copied().collect();
        for key in keys {
            if let Some(session) = self.sessions.get(&key) {
                session.link.end(Ending::Reconnect);
            }
            self.end_session(key, at);
        }
        self.rooms.clear();
        self.channels.clear();
        self.privates = Privates::default();
        self.accounts.values_mut().for_each(|account| {
            account.guilds.clear();
            account.seq = None;
        });
        self.sweep(at);
    }

    pub(crate) fn session_key(&self, id: &str) -> Option<SessionKey> {
        self.by_id.get(id).copied()
    }

    /// Members of a loaded guild who are online.
    pub fn online_count(&self, guild: GuildId) -> usize {
        self.accounts.values().filter(|account| account.shown.is_online() && account.guilds.contains(&guild)).count()
    }

    /// Loaded guilds that the user is a member of.
    pub(super) fn guilds_of(&self, user: UserId) -> BTreeSet<GuildId> {
        self.rooms.values().filter(|room| room.state.is_member(user)).map(|room| room.state.id()).collect()
    }

    pub fn set_presence(&mut self, key: SessionKey, presence: PresenceUpdate, at: Moment) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        session.presence = presence;
        let user = session.user_id;
        self.refresh_presence(user, at);
        self.sweep(at);
    }

    /// Takes a guild in. Members who are online are seated; that happens when they just joined or made it.
    fn insert_guild(&mut self, snapshot: Snapshot, at: Moment) {
        let id = snapshot.guild.id;
        if self.rooms.contains_key(&id) {
            return;
        }
        let room = Room::new(snapshot);
        self.channels.extend(room.state.channels().map(|channel| (channel.id, id)));
        self.channels.extend(room.state.threads().map(|active| (active.thread.id, id)));
        let online: Vec<UserId> = self.accounts.keys().copied().filter(|user| room.state.is_member(*user)).collect();
        self.rooms.insert(id, room);
        self.mirror_guild(id, at);
        for user in online {
            self.enter_guild(user, id);
        }
    }

    pub(super) fn remove_guild(&mut self, id: GuildId) -> Option<Room> {
        let room = self.rooms.remove(&id)?;
        self.channels.retain(|_, guild| *guild != id);
        for account in self.accounts.values_mut() {
            account.guilds.remove(&id);
        }
        Some(room)
    }

    pub(super) fn know_channel(&mut self, channel: ChannelId, guild: GuildId) {
        self.channels.insert(channel, guild);
    }

    pub(super) fn forget_channel(&mut self, channel: ChannelId) {
        self.channels.remove(&channel);
    }

    /// An online user became a member: each session of the right shard gets the guild.
    pub(super) fn enter_guild(&mut self, user: UserId, guild: GuildId) {
        let Some(account) = self.accounts.get_mut(&user) else { return };
        if !account.guilds.insert(guild) {
            return;
        }
        let sessions = account.sessions.clone();
        self.tell_presence_in(user, guild);
        for key in sessions {
            self.seat(key, guild);
        }
    }

    /// A user is no member any more: its sessions lose the guild.
    pub(super) fn leave_guild(&mut self, user: UserId, guild: GuildId) {
        if let Some(account) = self.accounts.get_mut(&user) {
            account.guilds.remove(&guild);
        }
        let Some(room) = self.rooms.get_mut(&guild) else { return };
        let gone = super::greeting::guild_gone(guild);
        let lost = &mut self.lost;
        room.seats.retain(|seat| {
            if seat.user_id == user && seat.wants(Intents::GUILDS) {
                seat.push(&gone, lost);
            }
            seat.user_id != user
        });
        if let Some(account) = self.accounts.get(&user) {
            account.sessions.iter().for_each(|key| room.windows.remove(*key));
        }
    }

    /// Tells a session its guild, and has it hear of what happens there.
    fn seat(&mut self, key: SessionKey, guild: GuildId) {
        let (Some(session), Some(room)) = (self.sessions.get(&key), self.rooms.get(&guild)) else { return };
        if session.shard.holds(guild) && session.intents.contains(Intents::GUILDS) {
            let create = self.guild_create(session, room);
            if !session.link.push(create) {
                self.lost.push(key);
            }
        }
        self.sit(key, guild);
    }

    /// Has a session hear of what happens in a guild.
    fn sit(&mut self, key: SessionKey, guild: GuildId) {
        let (Some(session), Some(room)) = (self.sessions.get(&key), self.rooms.get_mut(&guild)) else { return };
        if !session.shard.holds(guild) {
            return;
        }
        let lazy_above = if session.is_bot { usize::MAX } else { session.large_threshold };
        room.seats.push(Seat { key, user_id: session.user_id, intents: session.intents, lazy_above, link: session.link.clone() });
    }

    /// Opens a session: READY and the guilds are in its mailbox when this returns. Every guild of the user must be loaded.
    pub fn attach(&mut self, mut admission: Admission, at: Moment) -> Result<Attached, CloseCode> {
        let user_id = admission.user.id;
        let guilds: BTreeSet<GuildId> = match self.accounts.get(&user_id) {
            Some(account) if account.sessions.len() >= MAX_SESSIONS_PER_ACCOUNT => return Err(CloseCode::TooManySessions),
            Some(account) => account.guilds.clone(),
            None => self.guilds_of(user_id),
        };
        if guilds.iter().filter(|guild| admission.shard.holds(**guild)).count() > MAX_GUILDS_PER_SHARD && admission.user.bot {
            return Err(CloseCode::ShardingRequired);
        }
        self.last_key += 1;
        let key = SessionKey(self.last_key);
        let link = Arc::new(Link::default());
        let Belongings { private_channels, read_states, .. } = &mut admission.belongings;
        read_states.retain(|read| self.may_hear_of(user_id, read.id, private_channels));
        admission.belongings.catch_up(&self.privates);
        let friends = admission.belongings.friends();
        let presences = self.friend_presences(friends.iter().copied());
        let guild_ids = guilds.iter().copied().filter(|guild| admission.shard.holds(*guild));
        let ready = super::greeting::ready(&admission, guild_ids, presences);
        link.push(ready);

        let new = || Account::new(admission.user.clone(), guilds.clone());
        let account = self.accounts.entry(user_id).or_insert_with(new);
        account.user = admission.user;
        account.email = admission.email;
        account.friends = friends;
        account.sessions.push(key);
        account.offline_at = None;
        let is_bot = account.user.bot;
        self.by_id.insert(admission.session_id.clone(), key);
        self.sessions.insert(
            key,
            Session {
                id: admission.session_id,
                user_id,
                is_bot,
                token_hash: admission.token_hash,
                intents: admission.intents,
                shard: admission.shard,
                large_threshold: admission.large_threshold,
                presence: admission.presence,
                host: admission.host,
                reach: Reach::default(),
                link: link.clone(),
                expires_at: None,
                resumes: (at.now, 0),
                listed: BTreeMap::new(),
                has_left: false,
            },
        );
        // Others hear of it before this session is seated, and it finds itself online in its guilds.
        self.refresh_presence(user_id, at);
        for guild in guilds {
            self.seat(key, guild);
        }
        let connection = link.connect(None).expect("only a resume can fail");
        self.sweep(at);
        Ok(Attached { key, connection, link, is_bot })
    }

    /// A client came back, with the number of the last dispatch that it has.
    pub fn resume(
        &mut self,
        session_id: &str,
        token_hash: &[u8; 32],
        seq: u64,
        host: String,
        at: Moment,
    ) -> Result<Attached, Refusal> {
        // Whether a session exists is nobody's business who cannot prove to own it.
        let key = *self.by_id.get(session_id).ok_or(Refusal::Invalid)?;
        let session = self.sessions.get_mut(&key).filter(|session| session.token_hash == *token_hash).ok_or(Refusal::Invalid)?;
        if at.now.duration_since(session.resumes.0) >= RESUMES_WINDOW {
            session.resumes = (at.now, 0);
        }
        session.resumes.1 += 1;
        if session.resumes.1 > MAX_RESUMES {
            return Err(Refusal::Invalid);
        }
        let connection = session.link.connect(Some(seq)).map_err(|error| match error {
            RewindError::Gone => Refusal::Invalid,
            RewindError::Future => Refusal::Close(CloseCode::InvalidSeq),
        })?;
        session.expires_at = None;
        session.host = host;
        session.link.push(Dispatch::new("RESUMED", &serde_json::json!({ "_trace": [] })));
        Ok(Attached { key, connection, link: session.link.clone(), is_bot: session.is_bot })
    }

    /// What the address of a session's client tells, which is less than what the client measured.
    pub fn estimate(&mut self, key: SessionKey, reach: Reach) {
        if let Some(session) = self.sessions.get_mut(&key)
            && (session.reach.is_estimated() || !session.reach.is_known())
        {
            session.reach = reach;
        }
    }

    /// A connection is gone. `may_resume`: it broke, rather than being closed on purpose by its client.
    pub fn detach(&mut self, attached: &Attached, may_resume: bool, at: Moment) {
        if !attached.link.disconnect(attached.connection) {
            return;
        }
        if !may_resume {
            self.end_session(attached.key, at);
        } else if let Some(session) = self.sessions.get_mut(&attached.key) {
            let expires_at = at.now + RESUME_WINDOW;
            session.expires_at = Some(expires_at);
            self.due.insert((expires_at, Due::Session(attached.key)));
        }
        self.sweep(at);
    }

    /// Ends every session that was opened with this token.
    pub fn invalidate_token(&mut self, token_hash: &[u8; 32], at: Moment) {
        let keys = self.sessions.iter().filter(|(_, session)| session.token_hash == *token_hash).map(|(key, _)| *key);
        self.close_sessions(keys.collect(), at);
    }

    pub fn close_user_sessions(&mut self, user: UserId, at: Moment) {
        let keys = self.accounts.get(&user).map(|account| account.sessions.clone()).unwrap_or_default();
        self.close_sessions(keys, at);
    }

    fn close_sessions(&mut self, keys: Vec<SessionKey>, at: Moment) {
        for key in keys {
            if let Some(session) = self.sessions.get(&key) {
                session.link.end(Ending::Close(CloseCode::AuthenticationFailed));
            }
            self.end_session(key, at);
        }
        self.sweep(at);
    }

    /// All sessions that were not left to another control plane.
    pub fn links(&self) -> Vec<(SessionKey, Arc<Link>)> {
        let here = self.sessions.iter().filter(|(_, session)| !session.has_left);
        here.map(|(key, session)| (*key, session.link.clone())).collect()
    }

    /// Takes up what another process kept. Every guild of these accounts is loaded, and nobody is connected.
    pub fn take_up(&mut self, kept: Kept, at: Moment) {
        for KeptAccount { user, email, friends, status, activities } in kept.accounts {
            // Until a session of theirs turns up below.
            let offline_at = at.now + OFFLINE_GRACE;
            self.due.insert((offline_at, Due::Account(user.id)));
            let (guilds, shown) = (self.guilds_of(user.id), Shown { status, activities });
            let account = Account { email, friends, shown, offline_at: Some(offline_at), ..Account::new(user, guilds) };
            self.accounts.insert(account.user.id, account);
        }
        for kept in kept.sessions {
            if !self.accounts.contains_key(&kept.user_id) {
                continue;
            }
            let mail = kept.mail.clone();
            if let Some(link) = Link::restore(mail, &mut self.names) {
                self.put_session(kept, link, at);
            }
        }
        self.take_up_voice(kept.voice, at);
        // Sessions that could not be kept no longer count.
        let present = self.accounts.values().filter(|account| account.offline_at.is_none()).map(|account| account.user.id);
        let present: Vec<UserId> = present.collect();
        present.into_iter().for_each(|user| self.tell_presence(user, at));
        self.sweep(at);
    }

    /// Puts a session in place that waits for its client. Its account is there.
    pub(super) fn put_session(&mut self, kept: KeptSession, link: Link, at: Moment) -> SessionKey {
        self.last_key += 1;
        let key = SessionKey(self.last_key);
        let Some(account) = self.accounts.get_mut(&kept.user_id) else { return key };
        account.sessions.push(key);
        account.offline_at = None;
        let (is_bot, guilds) = (account.user.bot, account.guilds.clone());
        let expires_at = at.now + RESUME_WINDOW;
        self.due.insert((expires_at, Due::Session(key)));
        self.by_id.insert(kept.id.clone(), key);
        let session = Session {
            id: kept.id,
            user_id: kept.user_id,
            is_bot,
            token_hash: kept.token_hash,
            intents: Intents(kept.intents),
            shard: Shard { id: kept.shard.0, count: kept.shard.1.max(1) },
            large_threshold: kept.large_threshold,
            presence: PresenceUpdate { status: kept.status, activities: kept.activities },
            host: kept.host,
            reach: Reach::default(),
            link: Arc::new(link),
            expires_at: Some(expires_at),
            resumes: (at.now, 0),
            listed: BTreeMap::new(),
            has_left: false,
        };
        self.sessions.insert(key, session);
        for guild in guilds {
            self.sit(key, guild);
        }
        key
    }

    /// Has the user's presence looked at again then.
    pub(crate) fn look_at_presence(&mut self, user: UserId, then: Instant) {
        self.due.insert((then, Due::Presence(user)));
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    /// Ends sessions whose clients did not come back, and tells of accounts that stayed away.
    pub fn tick(&mut self, at: Moment) {
        while let Some(&(deadline, due)) = self.due.first().filter(|(deadline, _)| *deadline <= at.now) {
            self.due.pop_first();
            match due {
                // A stale entry: the client came back, and may have gone again since.
                Due::Session(key) if self.sessions.get(&key).is_some_and(|session| session.expires_at == Some(deadline)) => {
                    self.end_session(key, at);
                }
                Due::Account(user) if self.accounts.get(&user).is_some_and(|account| account.offline_at == Some(deadline)) => {
                    // Whoever goes is told of at once: nobody would be left to tell of later.
                    self.tell_presence(user, at);
                    if self.leave_to_siblings(user) {
                        continue;
                    }
                    self.accounts.remove(&user);
                    self.departed.push(user);
                }
                Due::Presence(user) => self.tell_presence(user, at),
                Due::Session(_) | Due::Account(_) => {}
            }
        }
        self.refresh_stale_lists(at);
        self.sweep(at);
    }

    pub(super) fn end_session(&mut self, key: SessionKey, at: Moment) {
        let Some(session) = self.sessions.remove(&key) else { return };
        self.by_id.remove(&session.id);
        let user = session.user_id;
        let Some(account) = self.accounts.get_mut(&user) else { return };
        account.sessions.retain(|other| *other != key);
        if account.sessions.is_empty() {
            let offline_at = at.now + OFFLINE_GRACE;
            account.offline_at = Some(offline_at);
            self.due.insert((offline_at, Due::Account(user)));
        }
        let guilds = account.guilds.clone();
        for guild in &guilds {
            if let Some(room) = self.rooms.get_mut(guild) {
                room.seats.retain(|seat| seat.key != key);
                room.windows.remove(key);
            }
        }
        for guild in guilds {
            self.leave_voice_of_session(guild, user, &session.id, at);
        }
        if self.accounts.get(&user).is_some_and(|account| !account.sessions.is_empty()) {
            self.refresh_presence(user, at);
        }
    }

    /// Ends the sessions whose mailbox overflowed while nobody was connected, or whose connection could not keep up by far.
    pub(crate) fn sweep(&mut self, at: Moment) {
        while let Some(key) = self.lost.pop() {
            if let Some(session) = self.sessions.get(&key) {
                session.link.end(Ending::TooSlow);
            }
            self.end_session(key, at);
        }
    }
}
