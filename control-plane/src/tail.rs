//! Brings every committed event to the hub, in the one order that the database gave them, whichever control plane caused it.
//!
//! What this process commits comes from its writer; what others commit comes over the bus as soon as it is committed, and from
//! the outbox if it did not. Numbers tell: the event after the last one that was applied is applied, an older one is known
//! already, and if one is missing the outbox is read. So a bus that loses or repeats messages delays, and does no more.

use crate::bus::{Bus, Heard};
use crate::event::Committed;
use crate::hub::Hub;
use crate::store::{Publication, Store, StoreError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often the outbox is asked for what nobody said: what is lost on the bus comes this late at most.
const POLL: Duration = Duration::from_secs(1);
/// The same without a bus.
const POLL_ALONE: Duration = Duration::from_millis(200);
/// Events per read.
const BATCH: u32 = 500;
/// How long to wait before a database that did not answer is asked again.
const PATIENCE: Duration = Duration::from_millis(200);

pub struct Tail {
    store: Store,
    hub: Hub,
    bus: Option<Bus>,
    heard: mpsc::Receiver<Heard>,
    /// The last event that the hub applied.
    applied: i64,
}

impl Tail {
    /// To be made before anything is loaded into the hub.
    pub async fn new(store: Store, hub: Hub, bus: Option<Bus>, heard: mpsc::Receiver<Heard>) -> anyhow::Result<Self> {
        let applied = store.last_event().await?;
        hub.applied(applied);
        Ok(Self { store, hub, bus, heard, applied })
    }

    /// Until the writer ends.
    pub async fn run(mut self, mut own: mpsc::Receiver<Publication>) {
        let mut poll = interval(if self.bus.is_some() { POLL } else { POLL_ALONE });
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let is_shared = self.store.is_shared();
        loop {
            tokio::select! {
                biased;
                publication = own.recv() => match publication {
                    Some(publication) => self.publish(publication).await,
                    None => return,
                },
                Some(heard) = self.heard.recv() => self.hear(heard).await,
                _ = poll.tick(), if is_shared => self.catch_up(None).await,
            }
        }
    }

    /// Applies what this process committed, after all that was committed before, and answers its author.
    async fn publish(&mut self, mut publication: Publication) {
        let events = std::mem::take(&mut publication.events);
        if !events.is_empty() {
            let first = publication.last_event - events.len() as i64 + 1;
            if let Some(bus) = &self.bus {
                bus.tell(first, &events, &publication.texts);
            }
            // Usually what is missing was heard already, and the outbox need not be asked.
            while first > self.applied + 1
                && let Ok(heard) = self.heard.try_recv()
            {
                self.hear(heard).await;
            }
            if first > self.applied + 1 {
                self.catch_up(Some(first)).await;
            }
            self.apply(first, events).await;
        }
        publication.complete();
    }

    async fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Events { first, events } => {
                if first > self.applied + 1 {
                    self.catch_up(Some(first)).await;
                }
                self.apply(first, events).await;
            }
            Heard::Again => self.catch_up(None).await,
        }
    }

    /// Applies those of a row of events that come next. Nothing if some before them are missing.
    async fn apply(&mut self, first: i64, mut events: Vec<Committed>) {
        let known = usize::try_from(self.applied + 1 - first).unwrap_or(0).min(events.len());
        if first > self.applied + 1 || known == events.len() {
            return;
        }
        events.drain(..known);
        self.applied += events.len() as i64;
        events.iter().for_each(|committed| self.store.hear(&committed.event));
        self.hub.publish(self.applied - events.len() as i64 + 1, events).await;
        self.hub.applied(self.applied);
    }

    /// What is in memory is of no use any more; the database is as of this event, or later.
    fn start_over(&mut self, last_event: i64) {
        tracing::error!(known = self.applied, last_event, "events are lost; every session starts anew");
        self.hub.start_over();
        self.store.forget_callers();
        self.applied = last_event;
        self.hub.applied(last_event);
    }

    /// Applies what the outbox has after the last event: all of it, or what comes before this one. Until the database answers:
    /// nothing that was committed later may be told before.
    async fn catch_up(&mut self, before: Option<i64>) {
        let started = Instant::now();
        let mut count = 0;
        loop {
            let found = match self.store.events_after(self.applied, before, BATCH).await {
                Ok(found) => found,
                Err(StoreError::Corrupt(error)) => {
                    tracing::error!(%error, "an event is of a kind that this version does not know");
                    match self.store.last_event().await {
                        Ok(last_event) => self.start_over(last_event),
                        Err(_) => sleep(PATIENCE).await,
                    }
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "the outbox cannot be read; it will be tried again");
                    if before.is_none() {
                        return;
                    }
                    sleep(PATIENCE).await;
                    continue;
                }
            };
            // Events are kept for an hour; this process was away for longer.
            let next = found.first().map(|(id, _)| *id).or(before);
            if let Some(next) = next.filter(|next| *next > self.applied + 1) {
                self.start_over(next - 1);
            }
            let Some((first, _)) = found.first() else { break };
            let first = *first;
            count += found.len();
            let is_all = found.len() < BATCH as usize;
            self.apply(first, found.into_iter().map(|(_, committed)| committed).collect()).await;
            if is_all {
                break;
            }
        }
        if count > 0 {
            tracing::debug!(count, took = ?started.elapsed(), "events came from the outbox");
        }
    }
}
