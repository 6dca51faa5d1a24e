//! The other control planes: which of them are there, and what each says of its own people.
//!
//! Everything durable is in the database, and every control plane applies it in one order. What is not durable (who is online, who
//! is connected to which voice channel, who types) a control plane knows of its own sessions only, and tells the others over the
//! bus. Nobody stores it: [`Siblings`] holds what each of them said, in memory, for as long as its process is heard. So whatever
//! is told has one owner, and goes with it.
//!
//! A pure machine: messages and the time go in, what changed comes out. Messages are numbered, so a lost one is noticed with the
//! next (a beat, if nothing else), and its speaker is asked to say everything anew; what it does not say again by the end of that
//! is no more. So a bus that was away, or a queue that was full, heals by itself. While the bus is away nobody is heard, which
//! says nothing about them: everyone stays as they were.
//!
//! **Voice states are claimed.** A claim is numbered by the time at which somebody joined, and never below one that was known: the
//! newest wins everywhere, and whoever holds an older one lets go of it. A claim of a process that is silent loses against any
//! other, but holds for as long as sessions wait to be resumed: those people are still in their rooms and heard.

#[cfg(test)]
mod tests;
pub mod words;

use guildhall_protocol::model::{User, VoiceState};
use guildhall_protocol::{GuildId, UserId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};
use words::{Message, Name, Shown, Word};

/// How often something is said when there is nothing to say.
pub const BEAT: Duration = Duration::from_secs(1);
/// A process that was not heard for this long, over a bus that is there, takes its people's presence with it.
pub const LEASE: Duration = Duration::from_secs(6);
/// How long the voice states of a process hold that is not heard any more: as long as its sessions would wait for their clients.
pub const VOICE_LEASE: Duration = Duration::from_secs(90);
/// How long an answer to a question for everything may take before it is repeated.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Everything is said anew at most this often, whoever asks.
const RETELL_EVERY: Duration = Duration::from_secs(1);
/// Processes that are known, those that ended lately included.
const MAX_SIBLINGS: usize = 64;
/// Words in one message: some 50 KB.
const WORDS: usize = 256;
/// Words that wait to be said. If there are more, none of them is, and everything is said anew.
const WAITING: usize = 65_536;
/// People of a process that is gone whom others are told of in one step: each of them concerns every guild that they are in.
const GONE_AT_ONCE: usize = 256;

/// What is different after something was heard, or after some time.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Somebody has a session there (then with who they are), or shows something else, or is there no more.
    Person(UserId, Option<Box<User>>),
    /// The process that the person was at is gone, and nobody told them goodbye.
    Stranded(UserId),
    /// Another claim may hold.
    Voice(GuildId, UserId),
    /// The last claim went with the process that made it: nobody looks after their connection.
    Abandoned(Box<VoiceState>),
    /// Something that is said once and not kept.
    Said(Name, Word),
    /// Another process has our issuer key.
    Twin,
}

/// Who is where, by the word of the process that their session is at.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    pub owner: Name,
    /// Unix milliseconds of the join, more or less: see above.
    pub number: u64,
    pub is_bot: bool,
    pub state: VoiceState,
}

/// What is to be said anew, one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    Person(UserId),
    Voice(GuildId, UserId),
}

#[derive(Debug)]
struct Sibling {
    issuer: u64,
    heard: Instant,
    /// Of its last message.
    number: u64,
    /// Something of it was missed, and when it was asked for everything.
    is_behind: bool,
    asked: Option<Instant>,
    /// Counts how often it said everything; what is of an earlier round was not repeated.
    round: u32,
    /// It is saying everything, and nothing of that was missed.
    is_telling: bool,
    /// It was not heard for [`LEASE`].
    is_silent: bool,
    /// A later process has its issuer key, so it has ended.
    is_succeeded: bool,
    people: HashMap<UserId, (u32, Shown)>,
    voice: BTreeMap<(GuildId, UserId), (u32, Claim)>,
}

impl Sibling {
    fn new(issuer: u64, now: Instant) -> Self {
        Self {
            issuer,
            heard: now,
            number: 0,
            is_behind: true,
            asked: None,
            round: 0,
            is_telling: false,
            is_silent: false,
            is_succeeded: false,
            people: HashMap::new(),
            voice: BTreeMap::new(),
        }
    }

    const fn is_over(&self) -> bool {
        self.is_silent || self.is_succeeded
    }

    fn miss(&mut self) {
        self.is_behind = true;
        self.is_telling = false;
    }
}

/// What this process says.
#[derive(Debug)]
struct Own {
    name: Name,
    issuer: u64,
    /// Of the last message.
    number: u64,
    /// When it was said.
    said: Option<Instant>,
    words: VecDeque<Word>,
    /// Somebody wants to hear everything.
    is_asked: bool,
    /// When the last retelling began.
    retold: Option<Instant>,
    /// What is left of it.
    retelling: Option<VecDeque<Item>>,
    has_met_twin: bool,
}

/// Empty, and silent, in a control plane that is alone.
#[derive(Debug, Default)]
pub struct Siblings {
    own: Option<Own>,
    others: BTreeMap<Name, Sibling>,
    /// The bus was away.
    was_away: bool,
    /// People of processes that are gone, to be told of.
    gone: VecDeque<UserId>,
}

impl Siblings {
    /// There may be others from now on.
    pub fn meet(&mut self, name: Name, issuer: u64) {
        self.own = Some(Own {
            name,
            issuer,
            number: 0,
            said: None,
            words: VecDeque::new(),
            is_asked: false,
            retold: None,
            retelling: None,
            has_met_twin: false,
        });
    }

    pub const fn is_alone(&self) -> bool {
        self.own.is_none()
    }

    pub fn own_name(&self) -> Option<Name> {
        self.own.as_ref().map(|own| own.name)
    }

    pub fn is_named(&self, name: Name) -> bool {
        self.own_name() == Some(name)
    }

    /// Processes that are heard.
    pub fn count(&self) -> usize {
        self.others.values().filter(|sibling| !sibling.is_silent).count()
    }

    // --- what they said ---

    pub fn is_anywhere(&self, user: UserId) -> bool {
        self.others.values().any(|sibling| sibling.people.contains_key(&user))
    }

    /// What the user's sessions elsewhere show.
    pub fn shown(&self, user: UserId) -> impl Iterator<Item = &Shown> {
        self.others.values().filter_map(move |sibling| sibling.people.get(&user)).map(|(_, shown)| shown)
    }

    /// Everyone with a session elsewhere, some of them twice.
    pub fn people(&self) -> impl Iterator<Item = UserId> {
        self.others.values().flat_map(|sibling| sibling.people.keys().copied())
    }

    /// How many they are.
    pub fn count_people(&self) -> usize {
        self.others.values().map(|sibling| sibling.people.len()).sum()
    }

    /// The claim that holds among those of others.
    pub fn claim(&self, guild: GuildId, user: UserId) -> Option<&Claim> {
        let claims = self.others.values().filter_map(|it| Some((!it.is_over(), &it.voice.get(&(guild, user))?.1)));
        claims.max_by_key(|(is_alive, claim)| (*is_alive, claim.number, claim.owner)).map(|(_, claim)| claim)
    }

    /// Whether nobody is there to look after the claim.
    pub fn is_orphan(&self, claim: &Claim) -> bool {
        self.others.get(&claim.owner).is_none_or(Sibling::is_over)
    }

    /// Who is said to be in voice in a guild.
    pub fn claimed_in(&self, guild: GuildId) -> Vec<UserId> {
        let range = (guild, UserId::new(0))..=(guild, UserId::new(u64::MAX));
        let users = self.others.values().flat_map(|sibling| sibling.voice.range(range.clone()).map(|((_, user), _)| *user));
        let mut users: Vec<UserId> = users.collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// The newest claims that others have on a person, or on a bot in this guild, that is.
    pub fn newest_claim(&self, user: UserId) -> u64 {
        let all = self.others.values().flat_map(|sibling| sibling.voice.iter());
        all.filter(|((_, who), _)| *who == user).map(|(_, (_, claim))| claim.number).max().unwrap_or_default()
    }

    /// The connection that an orphaned claim stands for has ended.
    pub fn end_orphan(&mut self, guild: GuildId, user: UserId) {
        for sibling in self.others.values_mut().filter(|sibling| sibling.is_over()) {
            sibling.voice.remove(&(guild, user));
        }
    }

    /// A session whose claim had this number has left voice in this guild. Where it was before it came to where it left, an older
    /// claim by it may stand yet: the control plane that had it is about to be missed, or is gone, and will not take it back.
    pub fn end_session(&mut self, guild: GuildId, user: UserId, session_id: &str, number: u64) {
        for sibling in self.others.values_mut() {
            let is_of_it = |claim: &Claim| claim.state.session_id == session_id && claim.number < number;
            sibling.voice.extract_if((guild, user)..=(guild, user), |_, (_, claim)| is_of_it(claim)).for_each(drop);
        }
    }

    // --- hearing ---

    /// The connection to the bus is new: others may have said something meanwhile.
    pub fn bus_is_back(&mut self) {
        self.say(Word::Ask { of: None });
    }

    pub fn hear(&mut self, message: Message, now: Instant, out: &mut Vec<Change>) {
        let Some(own) = &mut self.own else { return };
        if message.from == own.name {
            return;
        }
        if message.issuer == own.issuer && !std::mem::replace(&mut own.has_met_twin, true) {
            out.push(Change::Twin);
        }
        let from = message.from;
        if !self.others.contains_key(&from) && !self.introduce(from, message.issuer, now, out) {
            return;
        }
        let Some(sibling) = self.others.get_mut(&from) else { return };
        sibling.heard = now;
        if std::mem::take(&mut sibling.is_silent) {
            // What it had said was forgotten.
            sibling.miss();
        }
        if message.number != sibling.number + 1 {
            sibling.miss();
        }
        sibling.number = message.number;
        for word in message.words {
            self.take(from, word, out);
        }
        self.ask_if_behind(from, now);
    }

    /// `false`: there are too many.
    fn introduce(&mut self, name: Name, issuer: u64, now: Instant, out: &mut Vec<Change>) -> bool {
        if self.others.len() >= MAX_SIBLINGS {
            let Some(over) = self.others.iter().find(|(_, it)| it.is_over()).map(|(name, _)| *name) else { return false };
            self.forget(over, out);
        }
        for (name, before) in self.others.iter_mut().filter(|(_, before)| before.issuer == issuer) {
            tracing::info!(%name, "a control plane has started anew");
            before.is_succeeded = true;
        }
        tracing::info!(%name, "another control plane is heard");
        self.others.insert(name, Sibling::new(issuer, now));
        true
    }

    fn take(&mut self, from: Name, word: Word, out: &mut Vec<Change>) {
        let Some(sibling) = self.others.get_mut(&from) else { return };
        let round = sibling.round;
        match word {
            Word::Anew => {
                sibling.round += 1;
                sibling.is_telling = true;
            }
            Word::Whole if std::mem::take(&mut sibling.is_telling) => {
                sibling.is_behind = false;
                let is_old = |(of, _): &(u32, Shown)| *of != round;
                let people = sibling.people.iter().filter(|(_, entry)| is_old(entry)).map(|(user, _)| *user);
                let people: Vec<UserId> = people.collect();
                let voice = sibling.voice.iter().filter(|(_, (of, _))| *of != round).map(|(key, _)| *key);
                let voice: Vec<(GuildId, UserId)> = voice.collect();
                for user in people {
                    sibling.people.remove(&user);
                    out.push(Change::Person(user, None));
                }
                for key in voice {
                    sibling.voice.remove(&key);
                    out.push(Change::Voice(key.0, key.1));
                }
            }
            Word::Whole => {}
            Word::Ask { of } => {
                if let Some(own) = &mut self.own
                    && of.is_none_or(|of| of == own.name)
                {
                    own.is_asked = true;
                }
            }
            Word::Here { user, shown } => {
                sibling.people.insert(user.id, (round, shown));
                out.push(Change::Person(user.id, Some(user)));
            }
            Word::Shows { user_id, shown } => {
                sibling.people.insert(user_id, (round, shown));
                out.push(Change::Person(user_id, None));
            }
            Word::Gone { user_id } => {
                if sibling.people.remove(&user_id).is_some() {
                    out.push(Change::Person(user_id, None));
                }
            }
            Word::Voice { state, number, is_bot } => {
                let key = (state.guild_id, state.user_id);
                sibling.voice.insert(key, (round, Claim { owner: from, number, is_bot, state: *state }));
                out.push(Change::Voice(key.0, key.1));
            }
            Word::Left { guild_id, user_id } => {
                if let Some((_, claim)) = sibling.voice.remove(&(guild_id, user_id)) {
                    self.end_session(guild_id, user_id, &claim.state.session_id, claim.number);
                    out.push(Change::Voice(guild_id, user_id));
                }
            }
            word @ (Word::Typing { .. } | Word::Direct { .. } | Word::Please { .. } | Word::Done { .. }) => {
                out.push(Change::Said(from, word));
            }
        }
    }

    fn ask_if_behind(&mut self, name: Name, now: Instant) {
        let Some(sibling) = self.others.get_mut(&name).filter(|sibling| sibling.is_behind && !sibling.is_telling) else { return };
        if sibling.asked.is_none_or(|asked| now.duration_since(asked) >= ASK_EVERY) {
            sibling.asked = Some(now);
            self.say(Word::Ask { of: Some(name) });
        }
    }

    /// Looks who is gone. `is_up`: whether the bus is there.
    pub fn tick(&mut self, now: Instant, is_up: bool, out: &mut Vec<Change>) {
        let was_away = std::mem::replace(&mut self.was_away, !is_up);
        let names: Vec<Name> = self.others.keys().copied().collect();
        for name in names.into_iter().filter(|_| is_up) {
            let Some(sibling) = self.others.get_mut(&name) else { continue };
            if was_away {
                // Nobody could be heard; silence counts from now.
                sibling.heard = now;
            }
            let silent_for = now.duration_since(sibling.heard);
            if silent_for >= LEASE && !sibling.is_silent {
                tracing::warn!(%name, people = sibling.people.len(), "another control plane is not heard any more");
                sibling.is_silent = true;
                let people = std::mem::take(&mut sibling.people);
                self.gone.extend(people.into_keys());
                out.extend(sibling.voice.keys().map(|(guild, user)| Change::Voice(*guild, *user)));
            }
            if silent_for >= VOICE_LEASE {
                self.forget(name, out);
            } else if silent_for < LEASE {
                self.ask_if_behind(name, now);
            }
        }
        let count = self.gone.len().min(GONE_AT_ONCE);
        out.extend(self.gone.drain(..count).map(Change::Stranded));
    }

    fn forget(&mut self, name: Name, out: &mut Vec<Change>) {
        let Some(sibling) = self.others.remove(&name) else { return };
        self.gone.extend(sibling.people.into_keys());
        for (_, claim) in sibling.voice.into_values() {
            out.push(Change::Abandoned(Box::new(claim.state)));
        }
    }

    // --- saying ---

    pub fn say(&mut self, word: Word) {
        let Some(own) = &mut self.own else { return };
        if own.words.len() >= WAITING {
            own.words.clear();
            (own.retelling, own.is_asked) = (None, true);
        }
        own.words.push_back(word);
    }

    pub fn has_words(&self) -> bool {
        self.own.as_ref().is_some_and(|own| !own.words.is_empty())
    }

    /// Whether it is time to say everything anew, from [`Self::begin_retelling`] on.
    pub fn is_asked(&self, now: Instant) -> bool {
        let is_due = |own: &Own| own.retold.is_none_or(|retold| now.duration_since(retold) >= RETELL_EVERY);
        self.own.as_ref().is_some_and(|own| own.is_asked && own.retelling.is_none() && is_due(own))
    }

    /// Everything that there is to say.
    pub fn begin_retelling(&mut self, now: Instant, items: VecDeque<Item>) {
        self.say(Word::Anew);
        if let Some(own) = &mut self.own {
            (own.is_asked, own.retold, own.retelling) = (false, Some(now), Some(items));
        }
    }

    /// What comes next of it, when all words before are said; the last time: nothing, and it is complete.
    pub fn next_items(&mut self) -> Option<Vec<Item>> {
        let own = self.own.as_mut().filter(|own| own.words.len() < WORDS)?;
        let items = own.retelling.as_mut()?;
        let count = items.len().min(WORDS);
        let page: Vec<Item> = items.drain(..count).collect();
        if page.is_empty() {
            own.retelling = None;
            own.words.push_back(Word::Whole);
        }
        Some(page)
    }

    /// The next message, if there is one to be said now.
    pub fn next_message(&mut self, now: Instant) -> Option<Message> {
        let own = self.own.as_mut()?;
        let is_beat = own.said.is_none_or(|said| now.duration_since(said) >= BEAT);
        if own.words.is_empty() && !is_beat {
            return None;
        }
        let count = own.words.len().min(WORDS);
        let words: Vec<Word> = own.words.drain(..count).collect();
        own.number += 1;
        own.said = Some(now);
        Some(Message { from: own.name, issuer: own.issuer, number: own.number, words })
    }
}
