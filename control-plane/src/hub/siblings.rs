//! What other control planes say, applied; and what they are told of the sessions here.
//!
//! [`crate::siblings`] has the machine; this is what its changes mean for accounts, and the task that joins it to the bus. Voice
//! states are in `voice/mirrors.rs`.

use super::Hub;
use super::core::{Account, Core, Moment};
use crate::bus::Bus;
use crate::gateway::mailbox::Dispatch;
use crate::presence::Shown;
use crate::siblings::words::{Deed, Message, Name, Wish, Word};
use crate::siblings::{Change, Item, Siblings};
use crate::voice::Door;
use guildhall_protocol::UserId;
use guildhall_protocol::model::User;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// How often it is looked who is gone, and whether a beat is due.
const TICK: Duration = Duration::from_millis(250);
/// What is said within this time goes in one message.
const TOGETHER: Duration = Duration::from_millis(5);
/// A tick that comes so late means that this process was asleep or starved: what others said may still wait to be heard.
const OWN_STALL: Duration = Duration::from_secs(1);
/// How long another control plane may take to carry out a wish. Tests run on machines that do much else.
const PATIENCE: Duration = if cfg!(test) { Duration::from_secs(30) } else { Duration::from_secs(2) };
/// Wishes that wait for their answer; more are refused.
const WISHES: usize = 4_096;

/// What came over the bus for [`Siblings`].
#[derive(Debug)]
pub enum Told {
    Message(Vec<u8>),
    /// The connection is new.
    Again,
}

impl Account {
    /// Tells other control planes what the sessions here show, if they do not know it.
    pub(crate) fn announce(&mut self, shown: &Shown, siblings: &mut Siblings) {
        if self.announced.as_ref() == Some(shown) || (self.announced.is_none() && self.sessions.is_empty()) {
            return;
        }
        siblings.say(match self.announced.replace(shown.clone()) {
            Some(_) => Word::Shows { user_id: self.user.id, shown: shown.clone() },
            None => Word::Here { user: Box::new(self.user.clone()), shown: shown.clone() },
        });
    }
}

impl Core {
    /// The account has no session here any more. `true`: it has some elsewhere, and stays.
    pub(super) fn leave_to_siblings(&mut self, user: UserId) -> bool {
        let Some(account) = self.accounts.get_mut(&user) else { return false };
        if account.announced.take().is_some() {
            self.siblings.say(Word::Gone { user_id: user });
        }
        if !self.siblings.is_anywhere(user) {
            return false;
        }
        account.offline_at = None;
        true
    }

    /// Applies what others said, or what time did to it. What is to be answered or carried out goes to `said`.
    pub(super) fn follow_siblings(&mut self, changes: Vec<Change>, at: Moment, said: &mut Vec<(Name, Word)>) {
        for change in changes {
            match change {
                Change::Person(user, known) => self.follow_person(user, known, at),
                Change::Stranded(user) => {
                    self.follow_person(user, None, at);
                    if !self.accounts.contains_key(&user) {
                        self.departed.push(user);
                    }
                }
                Change::Voice(guild, user) => self.reconcile_voice(guild, user, at),
                Change::Abandoned(state) => self.abandon_voice(*state, at),
                Change::Said(from, word) => said.push((from, word)),
                Change::Twin => tracing::error!(
                    "another control plane has the same issuer.key in its data folder: give each a folder of its own, and copy none"
                ),
            }
        }
        self.sweep(at);
    }

    /// Somebody is at another control plane, or shows something else there, or is there no more.
    fn follow_person(&mut self, user: UserId, known: Option<Box<User>>, at: Moment) {
        let is_elsewhere = self.siblings.is_anywhere(user);
        match (self.accounts.get(&user), known) {
            (None, Some(known)) if is_elsewhere => {
                let guilds = self.guilds_of(user);
                self.accounts.insert(user, Account::new(*known, guilds));
            }
            // Who they are is said with everything else.
            (None, _) => return,
            (Some(_), _) => {}
        }
        self.tell_presence(user, at);
        if !is_elsewhere && !self.is_here(user) {
            self.accounts.remove(&user);
        }
    }

    /// What is said once.
    pub(super) fn hear_word(&mut self, word: Word, at: Moment) {
        match word {
            Word::Typing { guild_id: Some(guild), channel_id, user_id, .. } => {
                self.tell_typing(Some(guild), channel_id, user_id, at);
            }
            Word::Typing { guild_id: None, channel_id, user_id, recipients } => {
                self.tell_typing_elsewhere(channel_id, user_id, &recipients, at);
            }
            Word::Direct { user_id, guild_id, name, d } => {
                if let Some(name) = self.names.of(name) {
                    let dispatch = Arc::new(Dispatch { name, body: d.into() });
                    self.tell_account_here(user_id, guild_id, &dispatch, at);
                }
            }
            _ => {}
        }
        self.sweep(at);
    }

    /// Fills in what comes next, if everything is to be said anew.
    pub(super) fn retell(&mut self, at: Moment) {
        if self.siblings.is_asked(at.now) {
            let people = self.accounts.iter().filter(|(_, account)| account.announced.is_some());
            let mut items: VecDeque<Item> = people.map(|(user, _)| Item::Person(*user)).collect();
            let seated = self.rooms.values().flat_map(|room| room.seated.keys().map(|user| (room.state.id(), *user)));
            items.extend(seated.map(|(guild, user)| Item::Voice(guild, user)));
            self.siblings.begin_retelling(at.now, items);
        }
        while let Some(items) = self.siblings.next_items() {
            for item in items {
                match item {
                    Item::Person(user) => {
                        let account = self.accounts.get(&user);
                        if let Some((user, shown)) = account.and_then(|it| Some((&it.user, it.announced.as_ref()?))) {
                            self.siblings.say(Word::Here { user: Box::new(user.clone()), shown: shown.clone() });
                        }
                    }
                    Item::Voice(guild, user) => self.claim_aloud(guild, user),
                }
            }
        }
    }
}

impl Hub {
    /// Other control planes are told of what happens here from now on, and heard.
    pub fn meet(&self, bus: Bus, told: mpsc::Receiver<Told>) {
        self.core_mut().siblings.meet(bus.name(), self.0.config.fleet.issuer);
        let task = tokio::spawn(self.clone().gossip(bus, told));
        self.0.tasks.lock().expect("nothing panics while it holds the tasks").push(task);
    }

    async fn gossip(self, bus: Bus, mut told: mpsc::Receiver<Told>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticked = Instant::now();
        loop {
            let mut said = Vec::new();
            tokio::select! {
                Some(told) = told.recv() => match told {
                    Told::Again => self.core_mut().siblings.bus_is_back(),
                    Told::Message(payload) => {
                        if let Some(message) = Message::decode(&payload, bus.name()) {
                            self.change(|core, at| {
                                let mut changes = Vec::new();
                                core.siblings.hear(message, at.now, &mut changes);
                                core.follow_siblings(changes, at, &mut said);
                            });
                        }
                    }
                },
                _ = ticks.tick() => {
                    let was_awake = ticked.elapsed() < OWN_STALL;
                    ticked = Instant::now();
                    self.change(|core, at| {
                        let mut changes = Vec::new();
                        core.siblings.tick(at.now, bus.is_up() && was_awake, &mut changes);
                        core.follow_siblings(changes, at, &mut said);
                    });
                }
                () = self.0.words.notified() => sleep(TOGETHER).await,
            }
            for (from, word) in said {
                self.answer(from, word);
            }
            self.speak(&bus);
        }
    }

    /// Carries out what another control plane asks for, or takes its answer.
    fn answer(&self, from: Name, word: Word) {
        match word {
            Word::Please { to, number, wish } => self.change(|core, at| {
                if core.siblings.is_named(to) {
                    let is_done = core.grant(wish, &self.door(), at);
                    core.siblings.say(Word::Done { to: from, number, is_done });
                }
            }),
            Word::Done { to, number, is_done } => {
                if self.core().siblings.is_named(to)
                    && let Some(wish) = self.wishes().remove(&number)
                {
                    let _ = wish.send(is_done); // who asked may have given up
                }
            }
            word => self.change(|core, at| core.hear_word(word, at)),
        }
    }

    /// Says what there is to say.
    fn speak(&self, bus: &Bus) {
        loop {
            let message = self.change(|core, at| {
                core.retell(at);
                core.siblings.next_message(at.now)
            });
            let Some(message) = message else { return };
            // What cannot be said is missed by the others, who see it by the next number.
            bus.say(message.encode());
        }
    }

    /// Does it here, or has it done by whoever looks after the voice state. `false`: the user is not connected, the target is no
    /// voice channel, or nobody answers.
    pub(super) async fn fulfil(&self, wish: Wish) -> bool {
        let (sender, receiver) = oneshot::channel();
        let number = u64::from_ne_bytes(super::random());
        let is_done = self.change(|core, at| {
            let Some(owner) = core.caretaker(wish.guild_id, wish.user_id) else {
                return Some(core.grant(wish, &self.door(), at));
            };
            let mut wishes = self.wishes();
            if wishes.len() >= WISHES {
                return Some(false);
            }
            wishes.insert(number, sender);
            core.siblings.say(Word::Please { to: owner, number, wish });
            None
        });
        if let Some(is_done) = is_done {
            return is_done;
        }
        let answer = timeout(PATIENCE, receiver).await;
        self.wishes().remove(&number);
        matches!(answer, Ok(Ok(true)))
    }

    /// As if the process had been killed, to everyone else.
    #[cfg(test)]
    pub fn fall_silent(&self) {
        self.0.tasks.lock().expect("nothing panics while it holds the tasks").iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Core {
    /// Does to somebody who is connected by a session here what was asked for.
    fn grant(&mut self, wish: Wish, door: &Door, at: Moment) -> bool {
        let Wish { guild_id, user_id, deed } = wish;
        if !self.is_own(guild_id, user_id) && deed != Deed::Move(None) {
            // Nobody is there who could tell them.
            return false;
        }
        match deed {
            Deed::Move(channel) => self.move_member(guild_id, user_id, channel, door, at),
            Deed::Stage(change) => self.change_voice_state(guild_id, user_id, |state| change.apply(state), at),
        }
    }
}
