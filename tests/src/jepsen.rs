//! Rounds of writers and readers on two control planes while machines and networks fail, and a check of what they saw.
//!
//! A round has a seed, which draws what fails and when and what everybody does; how the processes interleave is not in it, so a seed
//! that failed may need a few runs to fail again. What a failed round's clients saw is left in a file.

pub mod checker;
pub mod cluster;
pub mod faults;
mod readers;
mod wire;
mod writers;

use crate::world::PASSWORD;
use crate::{artifacts, eventually};
use checker::{END, History};
use cluster::{Cluster, PLANES};
use futures_util::future::join_all;
use guildhall_loadtest::{Rest, rest::Account};
use guildhall_protocol::{ChannelId, GuildId, model::ChannelType};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use readers::Reader;
use reqwest::Method;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use writers::Writer;

const WRITERS: usize = 6;
const READERS: usize = 4;
const CHANNELS: usize = 2;
/// Writers go on so long after the last fault is over.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// Readers have seen everything so long after the last fault, or never will.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a control plane may take to acknowledge the last message before the other is asked.
const LOOK: Duration = Duration::from_secs(2);

/// Microseconds since a round's begin.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn now_us(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}

/// The processes and the people, for any number of rounds.
pub struct Arena {
    cluster: Cluster,
    owner: Rest,
    owner_token: String,
    guild: GuildId,
    writers: Vec<Account>,
    readers: Vec<Account>,
}

/// What a round came to.
pub struct Outcome {
    pub faults: Vec<String>,
    pub acknowledged: usize,
    /// Wishes that had to be repeated.
    pub repeated: usize,
    pub sessions: usize,
    pub resumes: usize,
    pub wrong: Vec<String>,
}

impl Arena {
    pub async fn build() -> Self {
        let cluster = Cluster::start().await;
        let door = Rest::new(&cluster.planes[0].server.base()).expect("a client");
        let owner = cluster.planes[0].server.owner();
        let owner = door.login(&owner.login, &owner.password).await.expect("the shown password works");
        let (owner, owner_token) = (owner.rest, owner.token);
        let guild = owner.create_guild("The arena").await.expect("the owner makes a guild").id;
        let lobby = owner.create_channel(guild, "lobby", ChannelType::Text).await.expect("a channel").id;
        let invite = owner.invite(lobby).await.expect("the owner invites");
        let mut people = Vec::new();
        for number in 0..WRITERS + READERS {
            let account = door.register(&format!("person{number}"), PASSWORD).await.expect("registration is open");
            account.rest.join(&invite).await.expect("an invited user may join");
            people.push(account);
        }
        let readers = people.split_off(WRITERS);
        Self { cluster, owner, owner_token, guild, writers: people, readers }
    }

    /// One round, after which everything is well again.
    pub async fn round(&mut self, seed: u64) -> Outcome {
        let mut random = StdRng::seed_from_u64(seed);
        let mut channels = Vec::new();
        for number in 0..CHANNELS {
            let name = format!("round-{seed}-{number}");
            let made =
                eventually("a channel", async || self.owner.create_channel(self.guild, &name, ChannelType::Text).await.ok());
            channels.push(made.await.id);
        }
        self.know(&channels).await;
        let clock = Clock(Instant::now());
        let doors = self.cluster.doors();
        let mut readers = JoinSet::new();
        for (number, account) in self.readers.iter().enumerate() {
            let random = StdRng::seed_from_u64(random.random());
            let doors = doors.each_ref().map(|door| door.as_user(&account.token));
            let reader =
                Reader { token: account.token.clone(), doors, channels: channels.clone(), random, plane: number % PLANES };
            readers.spawn(async move { (number, reader.read().await) });
        }
        let (stop, stopped) = watch::channel(false);
        let mut writers = JoinSet::new();
        for (number, account) in self.writers.iter().enumerate() {
            let random = StdRng::seed_from_u64(random.random());
            let doors = doors.each_ref().map(|door| door.as_user(&account.token));
            writers.spawn(Writer { number, doors, channels: channels.clone(), random, clock }.write(stopped.clone()));
        }

        let mut faults = Vec::new();
        for (at, step) in faults::draw(&mut random) {
            sleep_until(clock.0 + at).await;
            faults.push(format!("{:.3} s: {step}", clock.0.elapsed().as_secs_f64()));
            match step {
                faults::Step::Begin(fault) => self.cluster.begin(&fault),
                faults::Step::End(fault) => self.cluster.end(&fault),
            }
        }
        sleep_until(Instant::now() + AFTERWARDS).await;
        let _ = stop.send(true);
        let mut history = History { deeds: writers.join_all().await.into_iter().flatten().collect(), ..History::default() };
        history.readers = vec![Vec::new(); READERS];
        let reading = async {
            for channel in &channels {
                self.write_the_end(*channel).await;
            }
            while let Some(read) = readers.join_next().await {
                let (number, sessions) = read.expect("a reader does not panic");
                history.readers[number] = sessions;
            }
        };
        let all_saw_the_end = timeout(PATIENCE, reading).await.is_ok();
        for channel in &channels {
            let listings = doors.iter().map(|door| self.listing(door, *channel));
            history.listings.insert(*channel, join_all(listings).await);
        }
        let mut wrong = checker::check(&history);
        if !all_saw_the_end {
            wrong.push(format!("not all readers saw the end within {PATIENCE:?}"));
        }
        if !wrong.is_empty() {
            self.keep(seed, &faults, &history, &wrong);
        }
        for channel in channels {
            self.owner
                .expect::<serde_json::Value>(Method::DELETE, &format!("/channels/{channel}"), None)
                .await
                .expect("all is well");
        }
        Outcome {
            faults,
            acknowledged: history.deeds.iter().filter(|deed| deed.done_us.is_some()).count(),
            repeated: history.deeds.iter().filter(|deed| deed.attempts.len() > 1).count(),
            sessions: history.readers.iter().map(Vec::len).sum(),
            resumes: history.readers.iter().flatten().map(|session| session.resumes).sum(),
            wrong,
        }
    }

    /// Until it is acknowledged, by whichever control plane answers.
    async fn write_the_end(&self, channel: ChannelId) {
        for door in self.cluster.doors().iter().cycle() {
            let door = Rest::as_user(door, &self.owner_token);
            if matches!(timeout(LOOK, door.send_once(channel, END, END)).await, Ok(Ok(_))) {
                return;
            }
        }
    }

    /// Waits until every control plane knows the channels: what comes after that is its own doing.
    async fn know(&self, channels: &[ChannelId]) {
        for door in self.cluster.doors() {
            let door = door.as_user(&self.writers[0].token);
            for channel in channels {
                eventually("every control plane to know the channel", async || door.messages(*channel, "limit=1").await.ok())
                    .await;
            }
        }
    }

    async fn listing(&self, door: &Rest, channel: ChannelId) -> checker::Listing {
        let door = door.as_user(&self.readers[0].token);
        let messages = eventually("the history", async || door.history(channel).await.ok()).await;
        messages.into_iter().map(|message| (message.id, message.content)).collect()
    }

    /// Everything that is known of a failed round, and what the control planes logged.
    fn keep(&self, seed: u64, faults: &[String], history: &History, wrong: &[String]) {
        let path = artifacts().join(format!("jepsen-{seed}.json"));
        let logs: Vec<String> = self.cluster.planes.iter().map(|plane| plane.server.log()).collect();
        let all = serde_json::json!({ "seed": seed, "faults": faults, "wrong": wrong, "history": history, "logs": logs });
        std::fs::write(&path, serde_json::to_vec_pretty(&all).expect("it is plain")).expect("target is writable");
        println!("what everybody saw: {}", path.display());
    }
}
