//! The text half of a run: messages at their moments whatever the answers, readers that check every delivery, and the
//! ordinary noise of a community beside them.

use crate::bench::sends::send;
use crate::crowd::Hall;
use crate::gateway::{self, Event, Filter, Gateway, Keeps};
use crate::measure::book::{Times, times};
use crate::measure::figures::Figures;
use crate::measure::health::Health;
use crate::progress;
use crate::random::SplitMix;
use crate::rest::{Account, Rest};
use crate::scenario::Text as Settings;
use crate::world::MESSAGE_INTENTS;
use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use guildhall_protocol::ChannelId;
use guildhall_protocol::model::ChannelType;
use reqwest::Method;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

const AT_ONCE: usize = 16;
/// Sessions per account of those that are only there.
const SESSIONS: usize = 50;
/// Sends that may wait for their answer; what does not fit counts as refused.
const MOST_IN_FLIGHT: usize = 8192;
/// How long after the last answer a delivery may still come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a reader that lost its connection stays away.
const AWAY: Duration = Duration::from_secs(1);

/// Messages and readers, as far as both are known: whichever comes first waits for the other.
#[derive(Default)]
struct Ledger {
    open: HashMap<u64, Entry>,
    deliveries: Option<Times>,
    duplicates: u64,
    disordered: u64,
}

#[derive(Default)]
struct Entry {
    acknowledged: Option<Instant>,
    delivered: Vec<Instant>,
}

impl Ledger {
    fn times(&mut self) -> &mut Times {
        self.deliveries.get_or_insert_with(times)
    }

    fn acknowledge(&mut self, id: u64, at: Instant, readers: usize) {
        let entry = self.open.entry(id).or_default();
        entry.acknowledged = Some(at);
        self.settle(id, readers);
    }

    fn deliver(&mut self, id: u64, at: Instant, readers: usize) {
        self.open.entry(id).or_default().delivered.push(at);
        self.settle(id, readers);
    }

    /// Enters a message that everybody has and whose sender knows it.
    fn settle(&mut self, id: u64, readers: usize) {
        let is_complete = |entry: &Entry| entry.acknowledged.is_some() && entry.delivered.len() >= readers;
        if !self.open.get(&id).is_some_and(is_complete) {
            return;
        }
        let Some(Entry { acknowledged: Some(acknowledged), delivered }) = self.open.remove(&id) else { return };
        for at in delivered {
            // Before the answer came is as soon as can be.
            self.times().saturating_record(at.saturating_duration_since(acknowledged).as_nanos() as u64);
        }
    }

    /// Deliveries of acknowledged messages that never came.
    fn lost(&self, readers: usize) -> u64 {
        let acknowledged = self.open.values().filter(|entry| entry.acknowledged.is_some());
        acknowledged.map(|entry| readers.saturating_sub(entry.delivered.len()) as u64).sum()
    }
}

type Shared = Arc<Mutex<Ledger>>;

fn lock(ledger: &Shared) -> MutexGuard<'_, Ledger> {
    // Its entries are whole even if a holder panicked.
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one reader has seen of one channel.
#[derive(Default)]
struct Seen {
    ids: HashSet<u64>,
    last: u64,
}

impl Seen {
    /// `(is a duplicate, is out of order)`.
    fn note(&mut self, id: u64) -> (bool, bool) {
        let is_duplicate = !self.ids.insert(id);
        let is_late = id < self.last;
        self.last = self.last.max(id);
        (is_duplicate, is_late && !is_duplicate)
    }
}

pub struct Text {
    settings: Settings,
    ledger: Shared,
    channels: Vec<ChannelId>,
    senders: Vec<Rest>,
    readers: Vec<(gateway::Connect, Option<Gateway>)>,
    _idle: Vec<Gateway>,
}

/// What it came to.
pub struct Outcome {
    sent: u64,
    acknowledged: u64,
    refused: u64,
    seconds: f64,
    ack: Times,
    pages: Times,
    resumed: u64,
    lost: u64,
    ledger: Ledger,
    /// Whether messages left at their moments.
    pub health: Health,
}

impl Text {
    pub async fn prepare(settings: &Settings, hall: &Hall) -> Result<Self> {
        let world = &hall.world;
        let mut channels = Vec::with_capacity(settings.channels);
        for at in 0..settings.channels {
            channels.push(world.channel(&format!("text-{at}"), ChannelType::Text).await?);
        }
        let accounts = settings.senders + settings.readers + settings.idle.div_ceil(SESSIONS);
        progress(&format!("{accounts} accounts and {} sessions for text", settings.readers + settings.idle));
        let mut accounts: Vec<Account> = stream::iter(0..accounts)
            .map(|at| async move { world.bot_in(&format!("writer {at}"), world.guild).await })
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .context("making accounts for text")?;
        let idlers = accounts.split_off(settings.senders + settings.readers);
        let readers = accounts.split_off(settings.senders);
        let ledger = Shared::default();
        let mut open = Vec::with_capacity(readers.len());
        for reader in &readers {
            let filter = listen(ledger.clone(), &channels, settings.readers);
            let connect = world.connect(reader, MESSAGE_INTENTS, Keeps::Wanted(filter));
            let session = Gateway::connect(&connect).await.context("a reader's session")?;
            open.push((connect, Some(session)));
        }
        let idle = stream::iter(0..settings.idle)
            .map(|at| world.session(&idlers[at % idlers.len()], MESSAGE_INTENTS, false))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
            .context("connecting idle sessions")?;
        let senders = accounts.into_iter().map(|account| account.rest).collect();
        Ok(Self { settings: *settings, ledger, channels, senders, readers: open, _idle: idle })
    }

    pub async fn run(mut self, length: Duration) -> Result<Outcome> {
        let end = Instant::now() + length;
        let readers = std::mem::take(&mut self.readers);
        let (sent, pages, (resumed, readers), ()) =
            tokio::join!(self.send(length), self.page(end), resume(readers, self.settings.resumes_per_s, end), self.type_(end));
        let (sent, refused, ack, seconds, health) = sent;
        let count = readers.len();
        let deadline = Instant::now() + PATIENCE;
        while lock(&self.ledger).lost(count) > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(50)).await;
        }
        let ledger = std::mem::take(&mut *lock(&self.ledger));
        let lost = ledger.lost(count);
        Ok(Outcome { sent, acknowledged: ack.len(), refused, seconds, ack, pages, resumed, lost, ledger, health })
    }

    /// Sent, refused, acknowledgements from the intended moment, seconds, and how late the sends were.
    async fn send(&self, length: Duration) -> (u64, u64, Times, f64, Health) {
        let rate = self.settings.messages_per_s;
        let (start, total) = (Instant::now(), (rate * length.as_secs_f64()) as u64);
        let in_flight = Arc::new(Semaphore::new(MOST_IN_FLIGHT));
        let (mut tasks, mut refused, mut health) = (JoinSet::new(), 0, Health::default());
        let readers = self.settings.readers;
        for at in 0..total {
            let due = start + Duration::from_secs_f64(at as f64 / rate);
            sleep_until(due).await;
            health.note(due.elapsed().as_nanos() as u64);
            let Ok(permit) = in_flight.clone().try_acquire_owned() else {
                refused += 1;
                continue;
            };
            let author = self.senders[at as usize % self.senders.len()].clone();
            let channel = self.channels[at as usize % self.channels.len()];
            let ledger = self.ledger.clone();
            tasks.spawn(async move {
                let _permit = permit;
                let id = send(&author, channel).await;
                let now = Instant::now();
                let id = id.ok().flatten()?.parse().ok()?;
                lock(&ledger).acknowledge(id, now, readers);
                Some(now.saturating_duration_since(due))
            });
        }
        let mut ack = times();
        while let Some(task) = tasks.join_next().await {
            match task {
                Ok(Some(latency)) => ack.saturating_record(latency.as_nanos() as u64),
                Ok(None) | Err(_) => refused += 1,
            }
        }
        (total, refused, ack, start.elapsed().as_secs_f64(), health)
    }

    async fn page(&self, end: Instant) -> Times {
        let mut pages = times();
        let Some(mut tick) = pace(self.settings.pages_per_s) else { return pages };
        let mut at = 0;
        while Instant::now() < end {
            let due = tick.tick().await;
            at += 1;
            let channel = self.channels[at % self.channels.len()];
            if self.senders[at % self.senders.len()].messages(channel, "limit=50").await.is_ok() {
                pages.saturating_record(due.elapsed().as_nanos() as u64);
            }
        }
        pages
    }

    async fn type_(&self, end: Instant) {
        let Some(mut tick) = pace(self.settings.typing_per_s) else { return };
        let mut random = SplitMix::new(1);
        while Instant::now() < end {
            tick.tick().await;
            let (sender, channel) = (random.below(self.senders.len()), random.below(self.channels.len()));
            // Typing is ephemeral; one that is lost is lost.
            let path = format!("/channels/{}/typing", self.channels[channel]);
            let _ = timeout(PATIENCE, self.senders[sender].call(Method::POST, &path, None)).await;
        }
    }
}

fn pace(per_second: f64) -> Option<tokio::time::Interval> {
    let mut tick = (per_second > 0.0).then(|| interval(Duration::from_secs_f64(1.0 / per_second)))?;
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    Some(tick)
}

/// Cuts readers off in turn and resumes them; what they missed is replayed to them.
async fn resume(
    mut readers: Vec<(gateway::Connect, Option<Gateway>)>,
    per_second: f64,
    end: Instant,
) -> (u64, Vec<(gateway::Connect, Option<Gateway>)>) {
    let (mut resumed, mut at) = (0, 0);
    let Some(mut tick) = pace(per_second) else { return (0, readers) };
    // The last one is back before the window ends.
    while Instant::now() + 2 * AWAY < end && !readers.is_empty() {
        tick.tick().await;
        at = (at + 1) % readers.len();
        let (connect, session) = &mut readers[at];
        let Some(gateway) = session.take() else { continue };
        let place = gateway.cut().await;
        sleep(AWAY).await;
        match Gateway::resume(connect, &place).await {
            Ok(gateway) => (*session, resumed) = (Some(gateway), resumed + 1),
            // Its deliveries are missing from now on, which the figures say.
            Err(error) => progress(&format!("a reader could not resume: {error}")),
        }
    }
    (resumed, readers)
}

/// Looks at every message of our channels as it arrives at one reader, and keeps none.
fn listen(ledger: Shared, channels: &[ChannelId], readers: usize) -> Filter {
    let seen: HashMap<String, Mutex<Seen>> = channels.iter().map(|channel| (channel.to_string(), Mutex::default())).collect();
    Arc::new(move |event: &Event| {
        let channel = event.data["channel_id"].as_str().filter(|_| event.name == "MESSAGE_CREATE");
        if let Some(seen) = channel.and_then(|channel| seen.get(channel))
            && let Some(id) = event.data["id"].as_str().and_then(|id| id.parse().ok())
        {
            let (is_duplicate, is_disordered) = seen.lock().unwrap_or_else(PoisonError::into_inner).note(id);
            let mut ledger = lock(&ledger);
            ledger.duplicates += u64::from(is_duplicate);
            ledger.disordered += u64::from(is_disordered);
            if !is_duplicate {
                ledger.deliver(id, event.at, readers);
            }
        }
        false
    })
}

impl Outcome {
    pub fn enter(mut self, figures: &mut Figures) {
        let ms =
            |times: &Times, quantile| if times.is_empty() { f64::NAN } else { times.value_at_quantile(quantile) as f64 / 1e6 };
        figures.set("text.sent", self.sent as f64);
        figures.set("text.acknowledged", self.acknowledged as f64);
        figures.set("text.refused", self.refused as f64);
        figures.set("text.per_second", self.acknowledged as f64 / self.seconds);
        figures.set("text.ack_p50_ms", ms(&self.ack, 0.5));
        figures.set("text.ack_p99_ms", ms(&self.ack, 0.99));
        figures.set("text.ack_max_ms", ms(&self.ack, 1.0));
        figures.set("text.delivery_p50_ms", ms(self.ledger.times(), 0.5));
        figures.set("text.delivery_p99_ms", ms(self.ledger.times(), 0.99));
        figures.set("text.lost", self.lost as f64);
        figures.set("text.duplicates", self.ledger.duplicates as f64);
        figures.set("text.disordered", self.ledger.disordered as f64);
        figures.set("text.resumed", self.resumed as f64);
        figures.set("text.page_p50_ms", ms(&self.pages, 0.5));
        figures.set("text.page_p99_ms", ms(&self.pages, 0.99));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_count_from_the_answer_whichever_comes_first_and_missing_ones_are_lost() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut ledger = Ledger::default();
        ledger.deliver(1, at(5), 2);
        ledger.acknowledge(1, at(10), 2);
        assert_eq!(ledger.lost(2), 1, "the second reader has nothing yet");
        ledger.deliver(1, at(14), 2);
        ledger.acknowledge(2, at(20), 2);
        ledger.deliver(3, at(20), 2);
        assert_eq!(ledger.lost(2), 2, "what was never acknowledged is not owed");
        let times = ledger.times();
        assert_eq!((times.len(), times.max().div_ceil(1_000_000)), (2, 5));
        assert!(times.min() < 10_000);
    }

    #[test]
    fn duplicates_and_disorder_are_different_faults() {
        let mut seen = Seen::default();
        let noted: Vec<(bool, bool)> = [1, 3, 2, 2, 3, 4].into_iter().map(|id| seen.note(id)).collect();
        let (fine, duplicate, late) = ((false, false), (true, false), (false, true));
        assert_eq!(noted, [fine, fine, late, duplicate, duplicate, fine]);
    }
}
