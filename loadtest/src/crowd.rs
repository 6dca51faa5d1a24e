//! The people of a run: their accounts, gateway sessions and voice connections, and what the plan makes them do. The async
//! side of the harness; media itself is on the [`Callers`]' threads.

mod person;

use crate::callers::Callers;
use crate::measure::book::{Times, times};
use crate::plan::{Deed, Plan};
use crate::scenario::video::Video;
use crate::world::World;
use crate::{Trust, progress};
use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use guildhall_protocol::model::ChannelType;
use guildhall_protocol::{ChannelId, GuildId, UserId};
use person::Person;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Requests and connections of the set-up in flight at once.
const AT_ONCE: usize = 16;
/// Orders that wait for a busy person; a full queue makes the conductor wait, and the plan's rates are far below it.
const ORDERS: usize = 64;
/// Failed joins that are told one by one.
const TOLD: u64 = 5;
/// Orders may still be under way when a window ends.
const FINISH: Duration = Duration::from_secs(30);

/// What all people share.
pub struct Hall {
    pub world: World,
    pub plan: Plan,
    pub callers: Arc<Callers>,
    pub trust: Trust,
    /// Of each room.
    places: Vec<(GuildId, ChannelId)>,
    /// Of each person, once it has an account.
    users: Vec<OnceLock<UserId>>,
    pub video: Option<Video>,
    decoded: usize,
    tally: Mutex<Joins>,
}

/// How joins went.
pub struct Joins {
    pub took: Times,
    pub failed: u64,
    /// Voice connections that ended without our doing.
    pub ended: u64,
    /// First wish and last readiness since the last reset, in nanoseconds since 1970.
    pub from: u64,
    pub to: u64,
}

impl Default for Joins {
    fn default() -> Self {
        Self { took: times(), failed: 0, ended: 0, from: u64::MAX, to: 0 }
    }
}

impl Joins {
    /// Of those that came to an end.
    pub fn per_second(&self) -> f64 {
        self.took.len() as f64 / (self.to.saturating_sub(self.from) as f64 / 1e9)
    }
}

impl Hall {
    /// Guilds and channels for the plan's rooms.
    pub async fn build(
        world: World,
        plan: Plan,
        callers: Arc<Callers>,
        trust: Trust,
        (decoded, video): (usize, Option<Video>),
    ) -> Result<Self> {
        let mut guilds = vec![world.guild];
        for at in 1..plan.guilds {
            guilds.push(world.owner.rest.create_guild(&format!("Load {at}")).await?.id);
        }
        let (owner, guilds) = (&world.owner.rest, &guilds);
        let places = stream::iter(plan.rooms.iter().enumerate())
            .map(|(at, room)| async move {
                let guild = guilds[room.guild];
                let channel = owner.create_channel(guild, &format!("room-{at}"), ChannelType::Voice).await?;
                Ok::<_, crate::rest::Error>((guild, channel.id))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .context("making the rooms")?;
        let users = std::iter::repeat_with(OnceLock::new).take(plan.people.len()).collect();
        Ok(Self { world, plan, callers, trust, places, users, video, decoded, tally: Mutex::default() })
    }

    fn has_moves(&self) -> bool {
        self.plan.actions.iter().any(|action| matches!(action.deed, Deed::Move(_)))
    }

    /// The sample is of listeners, spread over all of them.
    fn decodes(&self, person: usize) -> bool {
        let people = self.plan.people.len();
        let step = (people / self.decoded.max(1)).max(1);
        self.decoded > 0 && self.plan.people[person].talk.is_none() && person % step == step - 1
    }

    fn joins(&self) -> std::sync::MutexGuard<'_, Joins> {
        // Plain numbers are whole even if a holder panicked.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What joins came to since the last time.
    pub fn take_joins(&self) -> Joins {
        std::mem::take(&mut *self.joins())
    }

    fn note_failure(&self, person: usize, error: &anyhow::Error) {
        let mut joins = self.joins();
        joins.failed += 1;
        if joins.failed <= TOLD {
            progress(&format!("person {person} could not join: {error:#}"));
        }
    }

    /// Takes the guilds away from a server that is not ours.
    pub async fn clear(&self) {
        let mut guilds: Vec<GuildId> = self.places.iter().map(|(guild, _)| *guild).chain([self.world.guild]).collect();
        guilds.sort_unstable();
        guilds.dedup();
        for guild in guilds {
            // What cannot be deleted stays as a trace of this run; its figures are good all the same.
            let _ = self.world.owner.rest.delete_guild(guild).await;
        }
    }
}

/// The people, each with a task of its own.
pub struct Crowd {
    hall: Arc<Hall>,
    orders: Vec<mpsc::Sender<Deed>>,
    people: Vec<Option<Person>>,
    tasks: JoinSet<()>,
}

impl Crowd {
    /// Accounts (bots, whose making costs no password hash) and gateway sessions; nobody is in a room yet.
    pub async fn gather(hall: Arc<Hall>, step: impl Fn(u64)) -> Result<Self> {
        let count = hall.plan.people.len();
        let people: Vec<Option<Person>> = stream::iter(0..count)
            .map(|at| {
                let hall = hall.clone();
                async move {
                    let guild = hall.places[hall.plan.people[at].room].0;
                    let account = hall.world.bot_in(&format!("caller {at}"), guild).await?;
                    let _ = hall.users[at].set(account.user.id);
                    Person::connect(hall, at, account).await
                }
            })
            .buffered(AT_ONCE)
            .inspect(|_| step(1))
            .map_ok(Some)
            .try_collect()
            .await
            .context("making the callers")?;
        Ok(Self { hall, orders: Vec::new(), people, tasks: JoinSet::new() })
    }

    /// Everybody who is there from the start joins their room.
    pub async fn join(&mut self, at_once: usize, within: Duration, step: impl Fn(u64)) -> Result<()> {
        let start = Instant::now();
        let plan = &self.hall.plan;
        let mut coming: Vec<&mut Person> = Vec::new();
        for (person, plan) in self.people.iter_mut().zip(&plan.people) {
            coming.extend(person.as_mut().filter(|_| !plan.is_late));
        }
        let count = coming.len().max(1) as u32;
        stream::iter(coming.into_iter().zip(0u32..))
            .map(|(person, nth)| async move {
                sleep_until(start + within * nth / count).await;
                person.join(0, false).await;
            })
            .buffer_unordered(at_once)
            .for_each(|()| {
                step(1);
                std::future::ready(())
            })
            .await;
        let failed = self.hall.joins().failed;
        ensure!(u64::from(count) > failed, "nobody could join");
        Ok(())
    }

    /// Each person follows orders from now on.
    pub fn set_free(&mut self) {
        for person in self.people.iter_mut().filter_map(Option::take) {
            let (orders, receiver) = mpsc::channel(ORDERS);
            self.orders.push(orders);
            self.tasks.spawn(person.live(receiver));
        }
    }

    /// Plays the plan's actions, counted from `start`.
    pub async fn conduct(&self, start: Instant) {
        for action in &self.hall.plan.actions {
            sleep_until(start + action.at).await;
            // A person whose task is over has nothing to do any more.
            let _ = self.orders[action.person].send(action.deed).await;
        }
    }

    /// Everybody leaves; what was under way is finished first.
    pub async fn disperse(mut self) {
        self.orders.clear();
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        // Who hangs is dropped with the tasks.
        let _ = tokio::time::timeout(FINISH, finished).await;
    }
}
