//! Brings every committed event to the hub, in the one order that the database gave them, whichever control plane caused it.
//!
//! What this process commits comes from its writer; what others commit comes over the bus as soon as it is committed, and from
//! the outbox if it did not. Numbers tell ([`Order`]): what comes early waits for what is missing. That is usually on its way, since
//! two sources keep no order between them; only if it does not come soon, the outbox is read, beside everything else. So while the bus
//! works nothing is read, and a bus that loses or repeats messages delays, and does no more.

mod order;
#[cfg(test)]
mod tests;

use crate::bus::{Bus, Heard};
use crate::event::Committed;
use crate::hub::Hub;
use crate::store::{Publication, Store, StoreError};
use futures_util::future::BoxFuture;
use order::Order;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

/// How often the outbox is asked for what nobody said: what is lost on the bus comes this late at most.
const POLL: Duration = Duration::from_secs(1);
/// The same without a bus.
const POLL_ALONE: Duration = Duration::from_millis(200);
/// How long missing events may be on their way over a bus that is there, before the outbox is asked for them: some times what
/// the way takes. Tests run on machines that do much else.
const ON_THE_WAY: Duration = if cfg!(test) { Duration::from_secs(20) } else { Duration::from_millis(10) };
/// Events per read.
const BATCH: u32 = 500;
/// Events that wait for earlier ones, and jobs of this process that wait to be answered. If there are more, nothing more is taken in
/// until what is missing was read: jobs then wait in the writer, and others' events come from the outbox.
const WAITING: usize = 4096;
/// How long to wait before a database that did not answer is asked again.
const PATIENCE: Duration = Duration::from_millis(200);

pub struct Tail {
    store: Store,
    hub: Hub,
    bus: Option<Bus>,
    heard: mpsc::Receiver<Heard>,
    order: Order,
    /// Jobs of this process whose events, or those of jobs before them, are not applied yet.
    unanswered: VecDeque<Publication>,
    /// What was the last applied event when it turned out that the next one is missing, and when the outbox is asked for it.
    gap: Option<(i64, Instant)>,
    /// The outbox is to be read, whatever is known to be missing.
    is_read_due: bool,
    reading: Option<Reading>,
}

struct Reading {
    found: BoxFuture<'static, Result<Vec<(i64, Committed)>, StoreError>>,
    /// The last event that was known to exist when it began: one that is not found is lost.
    known: i64,
    began: Instant,
}

/// What the outbox had. Never, if nothing is read.
async fn found(reading: &mut Option<Reading>) -> Result<Vec<(i64, Committed)>, StoreError> {
    match reading {
        Some(reading) => (&mut reading.found).await,
        None => std::future::pending().await,
    }
}

impl Tail {
    /// To be made before anything is loaded into the hub.
    pub async fn new(store: Store, hub: Hub, bus: Option<Bus>, heard: mpsc::Receiver<Heard>) -> anyhow::Result<Self> {
        let last_event = store.last_event().await?;
        hub.applied(last_event);
        let order = Order::after(last_event);
        let unanswered = VecDeque::new();
        Ok(Self { store, hub, bus, heard, order, unanswered, gap: None, is_read_due: false, reading: None })
    }

    /// Until the writer ends and everything that it committed is told.
    pub async fn run(mut self, mut own: mpsc::Receiver<Publication>) {
        let mut poll = interval(if self.bus.is_some() { POLL } else { POLL_ALONE });
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (is_shared, mut is_over) = (self.store.is_shared(), false);
        while !is_over || !self.unanswered.is_empty() {
            let has_room = self.order.waiting() < WAITING && self.unanswered.len() < WAITING;
            let missed_at = self.gap.map(|(_, at)| at).filter(|_| self.reading.is_none());
            tokio::select! {
                biased;
                found = found(&mut self.reading) => self.take_found(found).await,
                publication = own.recv(), if has_room && !is_over => match publication {
                    Some(publication) => self.publish(publication),
                    None => is_over = true,
                },
                Some(heard) = self.heard.recv(), if has_room => match heard {
                    Heard::Events { first, events } => self.order.take(first, events),
                    Heard::Again => self.is_read_due = true,
                },
                () = sleep_until(missed_at.unwrap_or_else(Instant::now)), if missed_at.is_some() => self.is_read_due = true,
                _ = poll.tick(), if is_shared => self.is_read_due = true,
            }
            self.advance().await;
            if self.is_read_due && self.reading.is_none() {
                self.read();
            }
        }
    }

    /// Takes what this process committed. Others hear of it at once.
    fn publish(&mut self, mut publication: Publication) {
        let events = std::mem::take(&mut publication.events);
        if !events.is_empty() {
            let first = publication.last_event - events.len() as i64 + 1;
            if let Some(bus) = &self.bus {
                let seqs = events.iter().map(|committed| committed.seq);
                bus.tell(first, seqs.zip(std::mem::take(&mut publication.texts)).collect());
            }
            self.order.take(first, events);
        } else if self.unanswered.is_empty() {
            return publication.complete();
        }
        self.unanswered.push_back(publication);
    }

    /// Applies what comes next, answers the authors of what is applied, and notes what is missing.
    async fn advance(&mut self) {
        while let Some((first, events)) = self.order.next() {
            events.iter().for_each(|committed| self.store.hear(&committed.event));
            self.hub.publish(first, events).await;
            self.hub.applied(self.order.applied());
        }
        while let Some(publication) = self.unanswered.pop_front_if(|first| first.last_event <= self.order.applied()) {
            publication.complete();
        }
        let applied = self.order.applied();
        if self.known() <= applied {
            self.gap = None;
        } else if self.gap.is_none_or(|(after, _)| after != applied) {
            let is_bus_up = self.bus.as_ref().is_some_and(Bus::is_up);
            self.gap = Some((applied, Instant::now() + if is_bus_up { ON_THE_WAY } else { Duration::ZERO }));
        }
    }

    /// The last event that is known to exist.
    fn known(&self) -> i64 {
        self.unanswered.back().map_or(0, |publication| publication.last_event).max(self.order.last())
    }

    fn read(&mut self) {
        self.is_read_due = false;
        self.hub.count_outbox_read();
        let (store, applied, known) = (self.store.clone(), self.order.applied(), self.known());
        let found = Box::pin(async move { store.events_after(applied, BATCH).await });
        self.reading = Some(Reading { found, known, began: Instant::now() });
    }

    async fn take_found(&mut self, found: Result<Vec<(i64, Committed)>, StoreError>) {
        let Some(Reading { known, began, .. }) = self.reading.take() else { return };
        let found = match found {
            Ok(found) => found,
            Err(StoreError::Corrupt(error)) => {
                tracing::error!(%error, "an event is of a kind that this version does not know");
                return self.go_past_all().await;
            }
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read; it will be tried again");
                self.gap = Some((self.order.applied(), Instant::now() + PATIENCE));
                return;
            }
        };
        let applied = self.order.applied();
        let is_more = found.len() == BATCH as usize;
        let count = found.iter().filter(|(id, _)| *id > applied).count();
        // Events are kept for an hour; this process was away for longer.
        let next = found.iter().map(|(id, _)| *id).find(|id| *id > applied);
        let next = next.or_else(|| (known > applied).then(|| self.order.first().map_or(known + 1, |first| first.min(known + 1))));
        if let Some(next) = next.filter(|next| *next > applied + 1) {
            self.start_over(next - 1);
        }
        found.into_iter().for_each(|(id, committed)| self.order.take(id, vec![committed]));
        self.is_read_due |= is_more;
        if count > 0 {
            tracing::debug!(count, took = ?began.elapsed(), "events came from the outbox");
        }
    }

    /// What is committed by now cannot be told.
    async fn go_past_all(&mut self) {
        loop {
            match self.store.last_event().await {
                Ok(last_event) => return self.start_over(last_event),
                Err(_) => sleep(PATIENCE).await,
            }
        }
    }

    /// What is in memory is of no use any more; the database is as of this event, or later.
    fn start_over(&mut self, last_event: i64) {
        tracing::error!(known = self.order.applied(), last_event, "events are lost; every session starts anew");
        self.hub.start_over();
        self.store.forget_callers();
        self.order.go_past(last_event);
        self.hub.applied(last_event);
    }
}
