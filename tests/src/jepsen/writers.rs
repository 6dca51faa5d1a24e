//! A writer: sends, edits and deletes through whichever control plane it likes, and repeats what was not answered.

use super::Clock;
use super::checker::{Attempt, Deed, Kind};
use super::cluster::PLANES;
use guildhall_loadtest::Rest;
use guildhall_protocol::{ChannelId, MessageId};
use rand::{RngExt, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long a writer waits for an answer before it asks again, the other control plane perhaps. The first question may be answered, and
/// obeyed, all the same.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// Some thirty seconds of refusals: longer than any fault lasts.
const ATTEMPTS: usize = 400;

pub struct Writer {
    pub number: usize,
    /// This account's view of each control plane.
    pub doors: [Rest; PLANES],
    pub channels: Vec<ChannelId>,
    pub random: StdRng,
    pub clock: Clock,
}

impl Writer {
    /// Writes until it is told to stop, and brings to an end what it has begun.
    pub async fn write(mut self, stop: watch::Receiver<bool>) -> Vec<Deed> {
        let mut deeds: Vec<Deed> = Vec::new();
        // Messages that may still change: what was asked twice may be obeyed late, and is left alone from then on.
        let mut fresh: Vec<(ChannelId, MessageId)> = Vec::new();
        while !*stop.borrow() {
            let change = if fresh.is_empty() { 0 } else { self.random.random_range(0..10) };
            let (channel, message, kind) = match change {
                7 | 8 => {
                    let (channel, message) = fresh[self.random.random_range(0..fresh.len())];
                    (channel, Some(message), Kind::Edit(format!("w{} e{}", self.number, deeds.len())))
                }
                9 => {
                    let (channel, message) = fresh.swap_remove(self.random.random_range(0..fresh.len()));
                    (channel, Some(message), Kind::Delete)
                }
                _ => {
                    let channel = self.channels[self.random.random_range(0..self.channels.len())];
                    (channel, None, Kind::Create(format!("w{} #{}", self.number, deeds.len())))
                }
            };
            let deed = self.persist(channel, message, kind).await;
            let is_settled = deed.attempts.len() > 1;
            match (&deed.kind, deed.message) {
                (Kind::Create(_), Some(id)) if !is_settled => fresh.push((channel, id)),
                (Kind::Edit(_), Some(id)) if is_settled => fresh.retain(|(_, other)| *other != id),
                _ => {}
            }
            let is_done = deed.done_us.is_some();
            deeds.push(deed);
            if !is_done {
                // The checker will say that this writer was refused for good.
                break;
            }
        }
        deeds
    }

    /// Until there is an answer.
    async fn persist(&mut self, channel: ChannelId, message: Option<MessageId>, kind: Kind) -> Deed {
        let mut deed = Deed { writer: self.number, channel, kind, message, attempts: Vec::new(), done_us: None };
        let (method, path, body) = request(&deed);
        while deed.attempts.len() < ATTEMPTS && deed.done_us.is_none() {
            if !deed.attempts.is_empty() {
                sleep(PAUSE).await;
            }
            let plane = self.random.random_range(0..PLANES);
            let begun_us = self.clock.now_us();
            let asked = timeout(PATIENCE, self.doors[plane].call(method.clone(), &path, body.as_ref())).await;
            let ended_us = self.clock.now_us();
            let (status, answer) = match asked {
                Ok(Ok(reply)) => {
                    // Who deletes again what is deleted hears that it is not there.
                    let is_gone = reply.status == 404 && deed.kind == Kind::Delete && !deed.attempts.is_empty();
                    if reply.is_success() || is_gone {
                        deed.done_us = Some(ended_us);
                        deed.message = deed.message.or_else(|| reply.body["id"].as_str()?.parse().ok());
                    }
                    (Some(reply.status), if reply.is_success() { String::new() } else { reply.body.to_string() })
                }
                Ok(Err(error)) => (None, format!("{error:?}")),
                Err(_) => (None, "no answer in time".to_owned()),
            };
            deed.attempts.push(Attempt { plane, begun_us, ended_us, status, answer });
        }
        deed
    }
}

fn request(deed: &Deed) -> (Method, String, Option<Value>) {
    let base = format!("/channels/{}/messages", deed.channel);
    let path = deed.message.map_or(base.clone(), |message| format!("{base}/{message}"));
    match &deed.kind {
        // The text is its own nonce, so that a repetition is recognized.
        Kind::Create(text) => (Method::POST, path, Some(json!({ "content": text, "nonce": text, "enforce_nonce": true }))),
        Kind::Edit(text) => (Method::PATCH, path, Some(json!({ "content": text }))),
        Kind::Delete => (Method::DELETE, path, None),
    }
}
