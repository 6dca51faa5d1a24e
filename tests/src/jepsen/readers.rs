//! A reader: a gateway session that is resumed when it breaks, and begun anew, with the history in between, when it cannot be.

use super::checker::{END, Listing, Seen, Session};
use super::cluster::PLANES;
use guildhall_loadtest::gateway::{self, Event, GatewayError, Resume};
use guildhall_loadtest::{Gateway, Rest};
use guildhall_protocol::{ChannelId, MessageId};
use rand::{RngExt, rngs::StdRng};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// GUILDS, GUILD_MESSAGES and MESSAGE_CONTENT.
const INTENTS: u64 = 1 << 0 | 1 << 9 | 1 << 15;
/// How long a control plane may take over a log-in, a resume or a page of history before the reader goes elsewhere.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a session is listened to before it is asked whether it has ended.
const LISTEN: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(100);
/// A reader's own network breaks after one of so many events.
const CUT_ONE_IN: u32 = 60;
/// Attempts to resume before a session is given up: a control plane that is started again has forgotten it anyway.
const RESUMES: usize = 20;

pub struct Reader {
    pub token: String,
    /// This account's view of each control plane.
    pub doors: [Rest; PLANES],
    pub channels: Vec<ChannelId>,
    pub random: StdRng,
    /// Where the first session is.
    pub plane: usize,
}

impl Reader {
    /// Until the end was seen in every channel.
    pub async fn read(mut self) -> Vec<Session> {
        let mut sessions = Vec::new();
        loop {
            let Some((mut session, gateway)) = self.begin().await else {
                sleep(PAUSE).await;
                self.plane = self.random.random_range(0..PLANES);
                continue;
            };
            let is_over = self.follow(&mut session, gateway).await;
            sessions.push(session);
            if is_over {
                return sessions;
            }
        }
    }

    /// Logs in, then reads what is there.
    async fn begin(&mut self) -> Option<(Session, Gateway)> {
        let door = &self.doors[self.plane];
        let gateway = timeout(PATIENCE, Gateway::connect(&self.connect())).await.ok()?.ok()?;
        let mut before = HashMap::new();
        for channel in &self.channels {
            let messages = timeout(PATIENCE, door.history(*channel)).await.ok()?.ok()?;
            let listing: Listing = messages.into_iter().map(|message| (message.id, message.content)).collect();
            before.insert(*channel, listing);
        }
        Some((Session { plane: self.plane, before, ..Session::default() }, gateway))
    }

    fn connect(&self) -> gateway::Connect {
        let url = format!("{}/gateway", self.doors[self.plane].base().replacen("http", "ws", 1));
        gateway::Connect { intents: INTENTS, ..gateway::Connect::new(url, &self.token) }
    }

    /// Listens as long as the session can be had. True when the end was seen.
    async fn follow(&mut self, session: &mut Session, mut gateway: Gateway) -> bool {
        // READY is the first.
        let mut number = 1;
        loop {
            if self.has_seen_the_end(session) {
                return true;
            }
            let event = gateway.next_event_within(LISTEN, |_| true).await;
            let is_cut = event.is_ok() && self.random.random_range(0..CUT_ONE_IN) == 0;
            // Op 7 asks for the same; op 9 says that the session is no more, or that it may be resumed.
            let mut is_over = is_cut;
            match event {
                Ok(event) if event.op == 0 => {
                    if event.seq != number + 1 {
                        session.jumps.push((number, event.seq));
                    }
                    number = event.seq;
                    session.seen.extend(read(&event, &self.channels));
                }
                Ok(event) if event.op == 9 && event.data != true => return false,
                Ok(_) | Err(GatewayError::Ended(_)) => is_over = true,
                Err(_) => {}
            }
            if is_over {
                let resume = gateway.cut().await;
                // What came before the cut and was not looked at yet comes again.
                match self.resume(&Resume { seq: number, ..resume }).await {
                    Some(resumed) => gateway = resumed,
                    None => return false,
                }
                session.resumes += 1;
            }
        }
    }

    async fn resume(&self, resume: &Resume) -> Option<Gateway> {
        for _ in 0..RESUMES {
            match timeout(PATIENCE, Gateway::resume(&self.connect(), resume)).await {
                Ok(Ok(gateway)) => return Some(gateway),
                Ok(Err(GatewayError::Invalid(_))) => return None,
                Ok(Err(_)) | Err(_) => sleep(PAUSE).await,
            }
        }
        None
    }

    fn has_seen_the_end(&self, session: &Session) -> bool {
        let seen = |channel: &ChannelId| {
            let is_end = |seen: &Seen| matches!(seen, Seen::Created(there, _, text) if there == channel && text == END);
            let listed = session.before.get(channel).is_some_and(|listing| listing.iter().any(|(_, text)| text == END));
            listed || session.seen.iter().rev().any(is_end)
        };
        self.channels.iter().all(seen)
    }
}

/// What an event says of a message in one of the round's channels.
fn read(event: &Event, channels: &[ChannelId]) -> Option<Seen> {
    let data = &event.data;
    let channel: ChannelId = data["channel_id"].as_str()?.parse().ok()?;
    let id: MessageId = data["id"].as_str()?.parse().ok()?;
    let text = |data: &Value| Some(data["content"].as_str()?.to_owned());
    match event.name.as_str() {
        _ if !channels.contains(&channel) => None,
        "MESSAGE_CREATE" => Some(Seen::Created(channel, id, text(data)?)),
        "MESSAGE_UPDATE" => Some(Seen::Edited(channel, id, text(data)?)),
        "MESSAGE_DELETE" => Some(Seen::Deleted(channel, id)),
        _ => None,
    }
}
