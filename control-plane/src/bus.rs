//! The bus between control planes: Redis (or Valkey) publish/subscribe. A hint and never the truth: everything durable that goes
//! over it is in the database already, and whoever misses some of it reads it there.
//!
//! Over a second channel goes what is not durable: what control planes say of their own people ([`crate::siblings`]).
//!
//! Two tasks with a connection each: one speaks, one listens. Every [`BEAT`] something is said, so that a listener that hears
//! nothing knows that its connection is dead, whatever the network says of it.

use crate::event::{Committed, Event};
use crate::hub::Told as SiblingTold;
use crate::siblings::words::Name;
use anyhow::Context;
use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisResult};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Messages that wait to be said; those beyond are not said, and come from the outbox.
const SPOKEN: usize = 1024;
/// Messages that are said with one trip to Redis: what came up during the trip before. Events of several become one message.
const AT_ONCE: usize = 64;
/// Messages that wait to be applied; when the hub lags, the listener waits, and Redis closes a connection that is far behind.
const HEARD: usize = 1024;
/// How often something is said.
const BEAT: Duration = Duration::from_secs(2);
/// A connection on which nothing was heard for this long is dead.
const SILENCE: Duration = Duration::from_secs(7);
/// How long a connection may take to come about, and an answer to come.
const ANSWER: Duration = Duration::from_secs(3);
/// How long to wait before a bus that did not answer is tried again.
const PATIENCE: Duration = Duration::from_millis(300);

/// What came over the bus from another control plane.
#[derive(Debug)]
pub enum Heard {
    /// Events of numbers `first`, `first` + 1 …
    Events { first: i64, events: Vec<Committed> },
    /// The connection is new: something may have been missed.
    Again,
}

/// A message, as JSON. It begins with who says it, so that one's own need not be read.
#[derive(Deserialize)]
struct Message<'a> {
    /// The number of the first event; those after it follow without a gap. 0: there are none.
    first: i64,
    #[serde(borrow)]
    events: Vec<Told<'a>>,
}

/// An event with the number in its topic.
#[derive(Deserialize)]
struct Told<'a>(u64, #[serde(borrow)] &'a RawValue);

/// Events with their numbers in their topics, as JSON, of which the first has this number.
struct Telling {
    first: i64,
    events: Vec<(u64, String)>,
}

impl Telling {
    const NOTHING: Self = Self { first: 0, events: Vec::new() };

    fn encode(&self, from: u64) -> Vec<u8> {
        let size = self.events.iter().map(|(_, text)| text.len() + 24).sum::<usize>();
        let mut message = String::with_capacity(size + 80);
        let _ = write!(message, "{}\"first\":{},\"events\":[", opening(from), self.first);
        for (index, (seq, text)) in self.events.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(message, "{comma}[{seq},{text}]");
        }
        message.push_str("]}");
        message.into_bytes()
    }
}

/// What every message of a process begins with.
fn opening(from: u64) -> String {
    format!("{{\"from\":{from},")
}

enum Said {
    Events(Telling),
    /// See [`crate::siblings`].
    People(Vec<u8>),
}

/// What is to be said, in order, with as few messages as it takes.
fn gather(said: impl Iterator<Item = Said>) -> Vec<Said> {
    let mut gathered: Vec<Said> = Vec::new();
    for next in said {
        match (gathered.last_mut(), next) {
            (Some(Said::Events(before)), Said::Events(next)) if before.first + before.events.len() as i64 == next.first => {
                before.events.extend(next.events);
            }
            (_, next) => gathered.push(next),
        }
    }
    gathered
}

/// A client that sends what it is given at once: with Nagle's algorithm a small message waits until the one before is confirmed.
pub fn client(url: &str) -> RedisResult<Client> {
    Client::open(url.into_connection_info()?.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// Whether it is a URL of Redis; nothing is connected.
pub fn check_url(url: &str) -> Result<(), String> {
    // The error's own words may quote the URL, and the password in it.
    let reason = |_| "it must begin with redis:// or rediss://, or be redis+unix:///path".to_owned();
    Client::open(url).map(drop).map_err(reason)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Events,
    /// See [`crate::siblings`].
    People,
}

impl Channel {
    /// In Redis.
    fn of(self, fleet: &str) -> String {
        format!("guildhall:{fleet}:{}", if self == Self::Events { "events" } else { "people" })
    }
}

/// Where what is heard goes.
struct Ears {
    events: mpsc::Sender<Heard>,
    people: mpsc::Sender<SiblingTold>,
}

/// The other ends of [`Ears`].
pub struct Listening {
    pub events: mpsc::Receiver<Heard>,
    pub people: mpsc::Receiver<SiblingTold>,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    /// A random name for this process.
    name: u64,
    speak: mpsc::Sender<Said>,
    is_up: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Bus {
    /// Starts both tasks; they connect when they can. `fleet` names the database, so that several may share one Redis.
    pub fn start(url: &str, fleet: &str) -> anyhow::Result<(Self, Listening)> {
        let client = client(url).context("the URL of Redis cannot be understood")?;
        let mut name = [0; 8];
        aws_lc_rs::rand::fill(&mut name).expect("the system has randomness");
        let name = u64::from_ne_bytes(name);
        let is_up = watch::Sender::new(false);
        let (speak, spoken) = mpsc::channel(SPOKEN);
        let ((events, heard_events), (people, heard_people)) = (mpsc::channel(HEARD), mpsc::channel(HEARD));
        let tasks = [
            tokio::spawn(speaker(client.clone(), fleet.to_owned(), name, spoken)),
            tokio::spawn(listener(client, fleet.to_owned(), name, Ears { events, people }, is_up.clone())),
        ];
        Ok((Self(Arc::new(Inner { name, speak, is_up, tasks })), Listening { events: heard_events, people: heard_people }))
    }

    /// What this process is called.
    pub fn name(&self) -> Name {
        Name(self.0.name)
    }

    /// Says something that is not durable. It is lost if the bus is down.
    pub fn say(&self, message: Vec<u8>) {
        let _ = self.0.speak.try_send(Said::People(message));
    }

    /// Tells the others what was committed: events with their numbers in their topics, as JSON, of which the first has this number.
    pub fn tell(&self, first: i64, events: Vec<(u64, String)>) {
        // A full queue is a bus that is down: the outbox has the events.
        let _ = self.0.speak.try_send(Said::Events(Telling { first, events }));
    }

    /// Whether messages are heard now.
    pub fn is_up(&self) -> bool {
        *self.0.is_up.borrow()
    }

    /// Until messages are heard, or until they are not.
    #[cfg(test)]
    pub async fn is_now(&self, is_up: bool) {
        self.0.is_up.subscribe().wait_for(|now| *now == is_up).await.unwrap();
    }
}

/// Others' messages; `None`: our own (they begin with `opening`), a beat, or what no control plane of this version says.
fn decode(payload: &[u8], opening: &[u8]) -> Option<Heard> {
    if payload.starts_with(opening) {
        return None;
    }
    let message: Message<'_> = serde_json::from_slice(payload).ok()?;
    if message.events.is_empty() {
        return None;
    }
    let committed = |Told(seq, text): &Told<'_>| {
        let event: Event = serde_json::from_str(text.get()).ok()?;
        Some(Committed { topic: event.topic(), seq: *seq, event })
    };
    let events: Option<Vec<Committed>> = message.events.iter().map(committed).collect();
    match events {
        Some(events) => Some(Heard::Events { first: message.first, events }),
        // A newer version said something that this one does not know: the outbox is asked, and complains.
        None => Some(Heard::Again),
    }
}

async fn speaker(client: Client, fleet: String, name: u64, mut spoken: mpsc::Receiver<Said>) {
    let (events, people) = (Channel::Events.of(&fleet), Channel::People.of(&fleet));
    let mut connection: Option<MultiplexedConnection> = None;
    let mut said = Vec::with_capacity(AT_ONCE);
    loop {
        match timeout(BEAT, spoken.recv_many(&mut said, AT_ONCE)).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(_) => said.push(Said::Events(Telling::NOTHING)),
        }
        if connection.is_none() {
            let config = AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
            connection = client.get_multiplexed_async_connection_with_config(&config).await.ok();
        }
        let Some(open) = &mut connection else {
            said.clear();
            sleep(PATIENCE).await;
            continue;
        };
        let mut trip = redis::pipe();
        for said in gather(said.drain(..)) {
            let (channel, payload) = match said {
                Said::Events(telling) => (&events, telling.encode(name)),
                Said::People(payload) => (&people, payload),
            };
            trip.cmd("PUBLISH").arg(channel).arg(payload).ignore();
        }
        if let Err(error) = trip.exec_async(open).await {
            tracing::warn!(error = error.category(), "the bus was not told; others read the outbox");
            connection = None;
        }
    }
}

async fn listener(client: Client, fleet: String, name: u64, ears: Ears, is_up: watch::Sender<bool>) {
    loop {
        match listen(&client, &fleet, name, &ears, &is_up).await {
            Ok(()) => return, // nobody wants to hear
            Err(error) if is_up.send_replace(false) => {
                tracing::warn!(%error, "the bus is gone; events of other control planes come late until it is back");
            }
            Err(error) => tracing::debug!(%error, "the bus does not answer"),
        }
        sleep(PATIENCE).await;
    }
}

async fn listen(client: &Client, fleet: &str, name: u64, ears: &Ears, is_up: &watch::Sender<bool>) -> anyhow::Result<()> {
    let (people, opening) = (Channel::People.of(fleet), opening(name));
    let connect = async {
        let mut pubsub = client.get_async_pubsub().await?;
        pubsub.subscribe(&[Channel::Events.of(fleet), people.clone()]).await?;
        Ok::<_, redis::RedisError>(pubsub)
    };
    let mut pubsub = timeout(ANSWER, connect).await??;
    tracing::info!("the bus is there");
    is_up.send_replace(true);
    if ears.events.send(Heard::Again).await.is_err() || ears.people.send(SiblingTold::Again).await.is_err() {
        return Ok(());
    }
    let mut messages = pubsub.on_message();
    loop {
        let message = timeout(SILENCE, messages.next()).await.context("nothing was heard for too long")?;
        let message = message.context("the connection was closed")?;
        if message.get_channel_name() == people {
            // Events do not wait for people: what does not fit is missed, and asked for again.
            let _ = ears.people.try_send(SiblingTold::Message(message.get_payload_bytes().to_vec()));
        } else if let Some(heard) = decode(message.get_payload_bytes(), opening.as_bytes())
            && ears.events.send(heard).await.is_err()
        {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bus, Heard, Listening, Said, Telling, decode, gather, opening};
    use crate::event::{Event, Topic};
    use crate::store::testing::Redis;
    use guildhall_protocol::GuildId;
    use std::time::Duration;
    use tokio::sync::mpsc;

    /// The next events that are heard.
    async fn events_first(heard: &mut mpsc::Receiver<Heard>) -> i64 {
        loop {
            if let Heard::Events { first, .. } = heard.recv().await.unwrap() {
                return first;
            }
        }
    }

    /// Until the connection is new.
    async fn again(heard: &mut mpsc::Receiver<Heard>) {
        while !matches!(heard.recv().await.unwrap(), Heard::Again) {}
    }

    #[tokio::test]
    async fn a_bus_comes_back_after_its_restart_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::start(folder.path());
        let (one, _unheard) = Bus::start(&redis.url(), "x").unwrap();
        let (_other, Listening { events: mut heard, people: _people }) = Bus::start(&redis.url(), "x").unwrap();
        let (_elsewhere, Listening { events: mut nothing, people: _nobody }) = Bus::start(&redis.url(), "y").unwrap();
        let event = Event::GuildDelete { guild_id: GuildId::new(5) };
        let events = vec![(1, serde_json::to_string(&event).unwrap())];
        again(&mut heard).await;
        one.tell(7, events.clone());
        assert_eq!(events_first(&mut heard).await, 7);
        drop(redis);
        let redis = Redis::start(folder.path());
        again(&mut heard).await;
        // What is said before the speaker has its connection back may be lost.
        let mut number = 8;
        let speaking = async {
            loop {
                one.tell(number, events.clone());
                number += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let first = tokio::select! {
            first = events_first(&mut heard) => first,
            () = speaking => unreachable!("it goes on for ever"),
        };
        assert!(first >= 8);
        while let Ok(heard) = nothing.try_recv() {
            assert!(matches!(heard, Heard::Again), "another fleet's events are its own");
        }
        drop(redis);
    }

    fn told(first: i64, seqs: std::ops::Range<u64>, text: &str) -> Telling {
        Telling { first, events: seqs.map(|seq| (seq, text.to_owned())).collect() }
    }

    #[test]
    fn others_are_heard_and_oneself_is_not() {
        let event = Event::GuildDelete { guild_id: GuildId::new(5) };
        let text = serde_json::to_string(&event).unwrap();
        let message = told(7, 3..5, &text).encode(1);
        let at = |payload: &[u8], name| decode(payload, opening(name).as_bytes());
        assert!(at(&message, 1).is_none());
        let Some(Heard::Events { first: 7, events }) = at(&message, 12) else { panic!("{}", String::from_utf8_lossy(&message)) };
        assert_eq!(events.iter().map(|committed| committed.seq).collect::<Vec<_>>(), [3, 4]);
        assert_eq!((events[1].topic, &events[1].event), (Topic::Guild(GuildId::new(5)), &event));
        assert!(at(&Telling::NOTHING.encode(1), 2).is_none(), "a beat");
        let unknown = told(9, 1..2, r#"{"t":"FromTheFuture","d":{}}"#);
        assert!(matches!(at(&unknown.encode(1), 2), Some(Heard::Again)));
        assert!(at(b"noise", 2).is_none());
    }

    #[test]
    fn events_that_follow_each_other_are_one_message() {
        let said = [
            Said::Events(told(1, 0..2, "{}")),
            Said::Events(told(3, 0..1, "{}")),
            Said::People(b"hello".to_vec()),
            Said::Events(told(4, 0..1, "{}")),
            Said::Events(told(9, 0..1, "{}")),
            Said::Events(Telling::NOTHING),
        ];
        let messages = gather(said.into_iter()).into_iter().map(|said| match said {
            Said::Events(telling) => (telling.first, telling.events.len()),
            Said::People(message) => (-1, message.len()),
        });
        assert_eq!(messages.collect::<Vec<_>>(), [(1, 3), (-1, 5), (4, 1), (9, 1), (0, 0)]);
    }
}
