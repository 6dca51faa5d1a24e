//! A short voice call at a node, made from outside as clients make it: two participants identify at the voice WebSocket, find
//! their way over UDP, get their keys, and must hear each other.
//!
//! It knows what every client knows and no more: an endpoint and tokens. When to call and what follows from it is
//! decided by whoever calls.

mod media;
mod pulse;
mod signaling;
#[cfg(test)]
mod tests;
mod trust;

use guildhall_protocol::{GuildId, UserId};
use media::Media;
use rustls::ClientConfig;
use signaling::Line;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// The whole call. Each step has less; together they are a call that nobody would wait for.
const CALL: Duration = Duration::from_secs(12);

/// From the first packet that is sent until both have heard enough.
const MEDIA: Duration = Duration::from_secs(3);

/// How long a goodbye may take. A node that does not take it forgets the call by itself.
const FAREWELL: Duration = Duration::from_secs(1);

/// One packet each in so long, as everyone who speaks.
const FRAME: Duration = Duration::from_millis(20);

/// Packets that each must hear of the other: one could be luck.
const ENOUGH: u32 = 3;

/// Who calls, and with what.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user_id: UserId,
    pub session_id: String,
    /// A voice token for this node, guild, user and session.
    pub token: String,
}

/// A call to be made. Both tokens are for the same room.
#[derive(Clone, Debug)]
pub struct Call {
    /// `host[:port]` of the node's voice WebSocket, which is asked for over TLS.
    pub endpoint: String,
    pub guild_id: GuildId,
    pub callers: [Caller; 2],
}

/// Why nobody would be heard there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("no connection to it")]
    Unreachable,
    /// It says itself that it takes nobody now, which says nothing of those who are there.
    #[error("it takes nobody now")]
    Full,
    #[error("it refuses callers with code {0}")]
    Refused(u16),
    #[error("the voice connection breaks off")]
    Broken,
    #[error("no answer on the voice connection")]
    Mute,
    #[error("no answer over UDP")]
    NoWay,
    #[error("no audio through it")]
    Silent,
    /// Nothing was heard in time by a machine that had no time to listen.
    #[error("too much else to do here")]
    Starved,
}

/// Makes calls. Cheap to clone.
#[derive(Clone)]
pub struct Prober {
    tls: Arc<ClientConfig>,
}

impl Default for Prober {
    fn default() -> Self {
        Self { tls: Arc::new(trust::any_certificate()) }
    }
}

impl Prober {
    /// Calls, and answers with the time from the first step until both had heard the other.
    pub async fn call(&self, call: &Call) -> Result<Duration, Failure> {
        let began = Instant::now();
        // What the time is over for: until there is a connection, nobody was reached.
        let mut lines = [None, None];
        let outcome = timeout(CALL, self.converse(call, &mut lines, began));
        let (outcome, is_starved) = pulse::during(outcome).await;
        let outcome = match outcome.unwrap_or(Err(Failure::Mute)) {
            Err(failure) if is_starved && failure != Failure::Full => Err(Failure::Starved),
            outcome => outcome,
        };
        let [one, other] = lines.map(|line| async {
            if let Some(line) = line {
                line.close().await
            }
        });
        // A caller who just vanishes would be waited for.
        let _ = timeout(FAREWELL, async { tokio::join!(one, other) }).await;
        outcome
    }

    async fn converse(&self, call: &Call, lines: &mut [Option<Line>; 2], began: Instant) -> Result<Duration, Failure> {
        let [one, other] = lines;
        let [first, second] = &call.callers;
        let (mut one, mut other) = tokio::try_join!(self.join(call, first, one), self.join(call, second, other))?;
        let heard = timeout(MEDIA, talk(&mut one, &mut other)).await.map_err(|_| Failure::Silent)?;
        Ok(heard - began)
    }

    /// Joins the room. The line is left in its place whatever comes of it.
    async fn join(&self, call: &Call, caller: &Caller, line: &mut Option<Line>) -> Result<Media, Failure> {
        let line = line.insert(Line::open(&call.endpoint, &self.tls).await?);
        let ready = line.identify(call.guild_id, caller).await?;
        let way = media::discover((ready.ip, ready.port).into(), ready.ssrc).await?;
        let key = line.select(way.address).await?;
        line.speak(ready.ssrc).await?;
        Ok(Media::new(way, key))
    }
}

/// Both speak until each has heard enough of the other. Answers with when both had heard something; never, if they do not.
async fn talk(one: &mut Media, other: &mut Media) -> Instant {
    let (said, answered) = (media::words(), media::words());
    let (mut by_other, mut by_one) = (0, 0);
    let mut heard = None;
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = frames.tick() => {
                one.send(&said).await;
                other.send(&answered).await;
            }
            packet = other.receive() => by_other += u32::from(packet.ends_with(&said)),
            packet = one.receive() => by_one += u32::from(packet.ends_with(&answered)),
        }
        let least = by_one.min(by_other);
        let first = heard.or_else(|| (least > 0).then(Instant::now));
        heard = first;
        if let Some(first) = first.filter(|_| least >= ENOUGH) {
            return first;
        }
    }
}
